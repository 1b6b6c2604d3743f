#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "proc/link.h"
#include "proc/sandbox.h"
#include "proc/table.h"
#include "base/banned.h"

/* ---- links ---- */

struct ear {
	struct event_base *base;
	struct link *link;
	unsigned messages, ends;
	size_t fds;
	uint32_t last;
};

static bool on_message(void *arg, struct link *l, struct link_message *m)
{
	struct ear *e = arg;

	assert_ptr_equal(l, e->link);
	if (m->type != 7)
		return false;
	e->last = unpack_u32(m->fields);
	if (!unpack_done(m->fields))
		return false;
	e->messages++;
	e->fds = m->fd_count;
	return true;
}

static void on_ended(void *arg, struct link *l, const char *why)
{
	struct ear *e = arg;

	(void)l;
	assert_non_null(why);
	e->ends++;
	link_free(&e->link);
}

static const struct link_events events = {.message = on_message, .ended = on_ended};

static int listen_to(struct ear *e)
{
	int pair[2];

	*e = (struct ear){.base = event_base_new()};
	assert_int_equal(link_pair(pair), 0);
	e->link = link_new(e->base, pair[0], &events, e);
	return pair[1];
}

static void turn(struct ear *e)
{
	event_base_loop(e->base, EVLOOP_NONBLOCK);
}

static void close_ear(struct ear *e, int fd)
{
	close(fd);
	link_free(&e->link);
	event_base_free(e->base);
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_link_carries(void **state)
{
	struct ear e;
	struct buf b = BUF_INIT;
	int fd = listen_to(&e), zero = open("/dev/null", O_RDONLY);
	unsigned before = open_descriptors();

	(void)state;
	pack_start(&b, 7);
	pack_u32(&b, 42);
	assert_int_equal(io_send(fd, b.p, b.n, &zero, 1), 0);
	turn(&e);
	assert_int_equal(e.messages, 1);
	assert_int_equal(e.last, 42);
	assert_int_equal(e.fds, 1);
	assert_int_equal(open_descriptors(), before); /* nobody took it: closed */
	close(zero);
	buf_free(&b);
	close_ear(&e, fd);
}

/* attack-143: garbage ends the link and nothing else. */
static void test_link_garbage(void **state)
{
	static const struct {
		const char *octets;
		size_t n;
	} bad[] = {{"", 1}, {"\7", 1}, {"\0\0", 2}, {"\7\0", 2}, {"\7\0\x34\1\2\3", 6},
	    {"\7\0\x34\1\2\3\4\5", 8}, {"\7\0\x53\xff\xff\xff\xff", 7}, {"\x99\x99zzzzzzzzzzzz", 14}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		struct ear e;
		int fd = listen_to(&e);

		assert_int_equal(send(fd, bad[i].octets, bad[i].n, 0), (ssize_t)bad[i].n);
		turn(&e);
		assert_int_equal(e.messages, 0);
		assert_int_equal(e.ends, 1);
		assert_null(e.link);
		close_ear(&e, fd);
	}
}

/* attack-143: descriptors by the hundred, and messages longer than any may be. */
static void test_link_floods(void **state)
{
	struct ear e;
	int fd = listen_to(&e), fds[253], zero = open("/dev/null", O_RDONLY);
	union {
		char space[CMSG_SPACE(sizeof(fds))];
		struct cmsghdr align;
	} control = {{0}};
	static char big[PACK_MAX + 1];
	struct iovec iov = {.iov_base = big, .iov_len = 8};
	struct msghdr msg = {
	    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	unsigned before = open_descriptors();
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = zero;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	assert_int_equal(sendmsg(fd, &msg, 0), 8);
	turn(&e);
	assert_int_equal(e.ends, 1);
	assert_int_equal(open_descriptors(), before - 1); /* less the link's own */
	close_ear(&e, fd);
	fd = listen_to(&e);
	big[0] = 7;
	assert_int_equal(send(fd, big, sizeof(big), 0), (ssize_t)sizeof(big));
	turn(&e);
	assert_int_equal(e.messages, 0);
	assert_int_equal(e.ends, 1);
	close_ear(&e, fd);
	close(zero);
}

static void test_link_end(void **state)
{
	struct ear e;
	int fd = listen_to(&e);

	(void)state;
	shutdown(fd, SHUT_RDWR);
	turn(&e);
	assert_int_equal(e.ends, 1);
	close_ear(&e, fd);
}

/* A peer that does not read makes sending fail; it does not make us wait. */
static void test_link_does_not_wait(void **state)
{
	struct ear e;
	struct buf b = BUF_INIT;
	int fd = listen_to(&e);
	unsigned sent = 0;

	(void)state;
	pack_start(&b, 7);
	pack_u32(&b, 1);
	while (sent < 10000000 && link_send(e.link, &b, NULL, 0))
		sent++;
	assert_in_range(sent, 100, 9999999);
	buf_free(&b);
	close_ear(&e, fd);
}

/* ---- the session table ---- */

static void test_table_limits(void **state)
{
	struct table_limits l = {.sessions = 4, .per_user = 2, .per_address = 3};
	struct err e = ERR_INIT;
	struct table *t;
	int fd, a, b;

	(void)state;
	t = table_new(&fd, &e);
	assert_non_null(t);
	a = table_claim(t, &l, STR("u1"), STR("1"), &e);
	b = table_claim(t, &l, STR("u1"), STR("1"), &e);
	assert_true(a >= 0 && b >= 0 && a != b);
	assert_int_equal(table_claim(t, &l, STR("u1"), STR("2"), &e), MORTISE_E_LIMIT);
	assert_string_equal(e.admin, "limits.sessions_per_user");
	err_clear(&e);
	assert_true(table_claim(t, &l, STR("u2"), STR("1"), &e) >= 0);
	assert_int_equal(table_claim(t, &l, STR("u3"), STR("1"), &e), MORTISE_E_LIMIT);
	assert_string_equal(e.admin, "limits.sessions_per_address");
	err_clear(&e);
	assert_true(table_claim(t, &l, STR("u3"), STR("2"), &e) >= 0);
	assert_int_equal(table_claim(t, &l, STR("u4"), STR("3"), &e), MORTISE_E_LIMIT);
	assert_string_equal(e.admin, "limits.sessions");
	err_clear(&e);
	table_release(t, a);
	assert_int_equal(table_count(t), 3);
	assert_int_equal(table_claim(t, &l, STR("u1"), STR("9"), &e), a);
	table_set_pid(t, a, 4711);
	assert_int_equal(table_find(t, 4711), a);
	assert_int_equal(table_find(t, 4712), -1);
	table_free(&t);
	close(fd);
}

/* Two spawners see one table; what a dead one left half done is swept, what it made is kept. */
static void test_table_shared(void **state)
{
	struct table_limits l = {.sessions = 10, .per_user = 10, .per_address = 10};
	struct err e = ERR_INIT;
	struct table *t;
	int fd, status;
	pid_t pid;

	(void)state;
	t = table_new(&fd, &e);
	pid = fork();
	if (pid == 0) {
		struct table *mine = table_map(fd, &e);
		int slot = table_claim(mine, &l, STR("u"), STR("a"), &e);

		table_set_pid(mine, slot, 12345);
		slot = table_claim(mine, &l, STR("u"), STR("a"), &e);
		table_free(&mine);
		_exit(slot >= 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(table_count(t), 2);
	table_sweep(t, pid);
	assert_int_equal(table_count(t), 1);
	assert_true(table_find(t, 12345) >= 0);
	table_free(&t);
	close(fd);
}

static void test_table_wrong_size(void **state)
{
	struct err e = ERR_INIT;
	int fd = io_memfd("x", "x", 1);

	(void)state;
	assert_null(table_map(fd, &e));
	assert_int_equal(e.code, MORTISE_E_INTERNAL);
	close(fd);
}

/* Promise: few calls, counted from the filter itself. */
static void test_front_call_count(void **state)
{
	(void)state;
	assert_in_range(sandbox_front_call_count(), 20, 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_link_carries),
	    cmocka_unit_test(test_link_garbage),
	    cmocka_unit_test(test_link_floods),
	    cmocka_unit_test(test_link_end),
	    cmocka_unit_test(test_link_does_not_wait),
	    cmocka_unit_test(test_table_limits),
	    cmocka_unit_test(test_table_shared),
	    cmocka_unit_test(test_table_wrong_size),
	    cmocka_unit_test(test_front_call_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
