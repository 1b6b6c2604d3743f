/*
 * The spawner as a program of its own, with this test as master, auth and front at once: what a process under
 * foreign control could send it.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/messages.h"
#include "base/clock.h"
#include "base/control.h"
#include "base/io.h"
#include "base/pack.h"
#include "conf/conf.h"
#include "proc/link.h"
#include "proc/table.h"
#include "base/banned.h"

static char binary[512], home[] = "/tmp/mortise-spawner-XXXXXX";
static uid_t uid;
static gid_t gid;

struct world {
	pid_t pid;
	int control, auth, front, table_fd;
	struct table *table;
};

static _Noreturn void exec_role(int control, int conf, const char *role)
{
	char argument[32];
	char *argv[] = {(char *)(uintptr_t) "imapd", argument, NULL};
	char *environment[] = {NULL};
	int null = open("/dev/null", O_RDWR), up[3], log[2];

	(void)snprintf(argument, sizeof(argument), "--role=%s", role);
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, log) != 0)
		_exit(71);
	up[0] = fcntl(control, F_DUPFD, 20);
	up[1] = fcntl(log[1], F_DUPFD, 20);
	up[2] = fcntl(conf, F_DUPFD, 20);
	(void)dup2(null, 0);
	(void)dup2(null, 1);
	(void)dup2(up[0], ROLE_FD_CONTROL);
	(void)dup2(up[1], ROLE_FD_LOG);
	(void)dup2(up[2], ROLE_FD_CONF);
	execve(binary, argv, environment);
	_exit(71);
}

static void send_control(struct world *w, uint16_t type, uint32_t role, const char *name, int fd)
{
	struct buf b = BUF_INIT;

	pack_start(&b, type);
	if (role != 0) {
		pack_u32(&b, role);
		pack_u32(&b, 1);
	}
	if (name != NULL)
		pack_cstr(&b, name);
	assert_int_equal(io_send(w->control, b.p, b.n, &fd, fd >= 0 ? 1 : 0), 0);
	buf_free(&b);
}

static int give_peer(struct world *w, uint32_t role)
{
	int pair[2];

	assert_int_equal(link_pair(pair), 0);
	send_control(w, CONTROL_PEER, role, NULL, pair[1]);
	close(pair[1]);
	return pair[0];
}

/* The next message's type, fields after it in u; 0: the other side has closed, or said nothing in time. */
static uint16_t receive(int fd, struct unpack *u)
{
	static char space[PACK_MAX];
	ssize_t n;

	if (io_wait(fd, POLLIN, clock_ms() + 10000) != 1)
		return 0;
	n = io_recv(fd, space, sizeof(space), NULL, NULL);
	return n > 0 ? unpack_start(u, space, (size_t)n) : 0;
}

static void start(struct world *w, const char *more)
{
	struct arena *a = arena_new("test");
	struct err e = ERR_INIT;
	struct buf text = BUF_INIT;
	struct conf *c;
	struct unpack u;
	int pair[2], conf;

	buf_printf(&text,
	    "drivers = []; store = { mail_dir = \"%s\"; inbox = [ \"%s/inbox\" ]; state_dir = \"%s/s\"; };%s",
	    home, home, home, more);
	c = conf_parse(buf_str(&text), "test", conf_report_new(a));
	conf = conf_seal(c, &e);
	assert_true(conf >= 0);
	assert_int_equal(link_pair(pair), 0);
	w->pid = fork();
	if (w->pid == 0)
		exec_role(pair[1], conf, "spawner");
	close(pair[1]);
	close(conf);
	w->control = pair[0];
	w->table = table_new(&w->table_fd, &e);
	send_control(w, CONTROL_FILE, 0, "table", w->table_fd);
	w->auth = give_peer(w, ROLE_AUTH);
	w->front = give_peer(w, ROLE_FRONT);
	send_control(w, CONTROL_GO, 0, NULL, -1);
	assert_int_equal(receive(w->control, &u), CONTROL_READY);
	conf_free(&c);
	buf_free(&text);
	arena_free(&a);
}

static void stop(struct world *w)
{
	struct buf b = BUF_INIT;
	int status;

	pack_start(&b, CONTROL_STOP);
	pack_u64(&b, 5000);
	(void)io_send(w->control, b.p, b.n, NULL, 0);
	assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
	assert_int_equal(status, 0);
	close(w->control);
	close(w->auth);
	close(w->front);
	close(w->table_fd);
	table_free(&w->table);
	buf_free(&b);
}

static void grant(struct world *w, char key, uint64_t lifetime, uid_t as)
{
	struct buf b = BUF_INIT;
	char octets[AUTH_GRANT_SIZE];

	memset(octets, key, sizeof(octets));
	pack_start(&b, GRANT);
	pack_str(&b, str_mem(octets, sizeof(octets)));
	pack_u64(&b, clock_ms() + lifetime);
	pack_cstr(&b, "alice");
	pack_u32(&b, as);
	pack_u32(&b, gid);
	pack_u32(&b, 0);
	pack_cstr(&b, home);
	pack_cstr(&b, "imap");
	pack_cstr(&b, "192.0.2.1");
	pack_u32(&b, 0);
	assert_int_equal(io_send(w->auth, b.p, b.n, NULL, 0), 0);
	buf_free(&b);
}

/* Asks for a session; our end of its connection. */
static int ask(struct world *w, char key, const char *service, const char *remote)
{
	struct buf b = BUF_INIT;
	char octets[AUTH_GRANT_SIZE];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	memset(octets, key, sizeof(octets));
	pack_start(&b, SPAWN);
	pack_u64(&b, 77);
	pack_str(&b, str_mem(octets, sizeof(octets)));
	pack_cstr(&b, service);
	pack_cstr(&b, remote);
	pack_cstr(&b, "192.0.2.2:143");
	pack_u32(&b, 0);
	pack_str(&b, STR("b LOGOUT\r\n"));
	pack_str(&b, STR("a"));
	pack_cstr(&b, "Logged in");
	assert_int_equal(io_send(w->front, b.p, b.n, &pair[1], 1), 0);
	close(pair[1]);
	buf_free(&b);
	return pair[0];
}

/* 0: a session was made; otherwise the code. */
static int outcome(struct world *w)
{
	struct unpack u;
	uint16_t type;
	uint32_t ok, code;

	do
		type = receive(w->front, &u);
	while (type == ENDED);
	assert_int_equal(type, SPAWNED);
	assert_int_equal(unpack_u64(&u), 77);
	ok = unpack_u32(&u);
	code = unpack_u32(&u);
	assert_true(unpack_done(&u));
	assert_int_equal(ok, code == 0);
	return (int)code;
}

static void test_grant(void **state)
{
	struct world w;
	char reply[2048];
	ssize_t n;
	int c, i;

	(void)state;
	start(&w, "");
	grant(&w, 'x', 5000, uid);
	c = ask(&w, 'x', "imap", "192.0.2.1");
	assert_int_equal(outcome(&w), 0);
	n = io_read(c, reply, sizeof(reply) - 1);
	assert_true(n > 0);
	reply[n] = '\0';
	assert_non_null(strstr(reply, "a OK "));
	assert_non_null(strstr(reply, "b OK "));
	close(c);
	/* Single use, also of the same connection. */
	for (i = 0; i < 2; i++) {
		close(ask(&w, 'x', "imap", "192.0.2.1"));
		assert_int_equal(outcome(&w), MORTISE_E_UNAVAILABLE);
	}
	/* Forged, expired, for another address, for another service. */
	close(ask(&w, 'f', "imap", "192.0.2.1"));
	assert_int_equal(outcome(&w), MORTISE_E_UNAVAILABLE);
	grant(&w, 'e', 0, uid);
	close(ask(&w, 'e', "imap", "192.0.2.1"));
	assert_int_equal(outcome(&w), MORTISE_E_UNAVAILABLE);
	grant(&w, 'r', 5000, uid);
	close(ask(&w, 'r', "imap", "192.0.2.99"));
	assert_int_equal(outcome(&w), MORTISE_E_UNAVAILABLE);
	grant(&w, 's', 5000, uid);
	close(ask(&w, 's', "pop3", "192.0.2.1"));
	assert_int_equal(outcome(&w), MORTISE_E_UNAVAILABLE);
	/* A wrong use uses it up. */
	close(ask(&w, 's', "imap", "192.0.2.1"));
	assert_int_equal(outcome(&w), MORTISE_E_UNAVAILABLE);
	stop(&w);
}

/* Even auth cannot make root of anybody. */
static void test_no_root(void **state)
{
	struct world w;
	char reply[2048];
	ssize_t n;
	int c;

	(void)state;
	start(&w, "");
	grant(&w, 'x', 5000, 0);
	c = ask(&w, 'x', "imap", "192.0.2.1");
	(void)outcome(&w);
	n = io_read(c, reply, sizeof(reply) - 1);
	reply[n > 0 ? n : 0] = '\0';
	assert_null(strstr(reply, "a OK"));
	assert_non_null(strstr(reply, "a NO"));
	close(c);
	stop(&w);
}

/* Only so many grants wait; the oldest goes. */
static void test_grants_limit(void **state)
{
	struct world w;

	(void)state;
	start(&w, " limits = { grants = 2; };");
	grant(&w, '1', 5000, uid);
	grant(&w, '2', 5000, uid);
	grant(&w, '3', 5000, uid);
	close(ask(&w, '1', "imap", "192.0.2.1"));
	assert_int_equal(outcome(&w), MORTISE_E_UNAVAILABLE);
	close(ask(&w, '3', "imap", "192.0.2.1"));
	assert_int_equal(outcome(&w), 0);
	stop(&w);
}

/* attack-143: whoever talks nonsense is cut off; the others are served. */
static void test_nonsense(void **state)
{
	static const struct {
		const char *octets;
		size_t n;
	} bad[] = {{"x", 1}, {"\x31\x01", 2}, {"\x21\x01\x53\xff\xff\xff\xff", 7}, {"\x05\x02", 2},
	    {"\x31\x01\x38\1\2\3\4\5\6\7\x8\x53\1\0\0\0x", 17}};
	struct world w;
	struct unpack u;
	size_t i;

	(void)state;
	start(&w, "");
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		int other = give_peer(&w, ROLE_FRONT), fds[4] = {0, 1, 2, 0};

		assert_int_equal(io_send(other, bad[i].octets, bad[i].n, fds, i % 5), 0);
		assert_int_equal(receive(other, &u), 0); /* closed */
		close(other);
	}
	/* A grant from a front, a wish from auth: not theirs to say. */
	{
		int other = give_peer(&w, ROLE_FRONT), mine = w.auth;

		w.auth = other;
		grant(&w, 'g', 5000, uid);
		assert_int_equal(receive(other, &u), 0);
		close(other);
		w.auth = mine;
		close(ask(&w, 'g', "imap", "192.0.2.1"));
		assert_int_equal(outcome(&w), MORTISE_E_UNAVAILABLE);
	}
	grant(&w, 'x', 5000, uid);
	close(ask(&w, 'x', "imap", "192.0.2.1"));
	assert_int_equal(outcome(&w), 0);
	stop(&w);
}

static void test_session_limits(void **state)
{
	struct world w;
	int held;

	(void)state;
	start(&w, " limits = { sessions_per_user = 1; };");
	/* The table says that alice has a session, whoever made it. */
	held = table_claim(
	    w.table, &(struct table_limits){9, 9, 9}, STR("alice"), STR("192.0.2.3"), &(struct err){0});
	assert_true(held >= 0);
	grant(&w, 'x', 5000, uid);
	close(ask(&w, 'x', "imap", "192.0.2.1"));
	assert_int_equal(outcome(&w), MORTISE_E_LIMIT);
	table_release(w.table, held);
	grant(&w, 'y', 5000, uid);
	close(ask(&w, 'y', "imap", "192.0.2.1"));
	assert_int_equal(outcome(&w), 0);
	stop(&w);
}

/* The master's end: sessions that are there end by themselves, and then the spawner does. */
static void test_orphaned(void **state)
{
	struct world w;
	int status, c;

	(void)state;
	start(&w, "");
	grant(&w, 'x', 5000, uid);
	c = ask(&w, 'x', "imap", "192.0.2.1");
	assert_int_equal(outcome(&w), 0);
	close(w.control);
	close(w.auth);
	close(w.front);
	close(w.table_fd);
	table_free(&w.table);
	close(c);
	assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_grant),
	    cmocka_unit_test(test_no_root),
	    cmocka_unit_test(test_grants_limit),
	    cmocka_unit_test(test_nonsense),
	    cmocka_unit_test(test_session_limits),
	    cmocka_unit_test(test_orphaned),
	};
	const char *build = getenv("top_builddir");
	int result;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)alarm(120); /* whatever goes wrong, it ends */
	(void)snprintf(binary, sizeof(binary), "%s/imapd", build != NULL ? build : ".");
	if (mkdtemp(home) == NULL)
		return 1;
	uid = geteuid() != 0 ? geteuid() : 65534;
	gid = geteuid() != 0 ? getegid() : 65534;
	if (geteuid() == 0 && chown(home, uid, gid) != 0)
		return 1;
	result = cmocka_run_group_tests(tests, NULL, NULL);
	(void)rmdir(home);
	return result;
}
