/* test-pool.c: the pool with real workers, as fronts and the spawner see it. Backends are those of
 * test-fake.h. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/messages.h"
#include "auth/pool.h"
#include "auth/test-fake.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/pack.h"

#define PATIENCE 20000 /* ms before a test gives up; nothing depends on how long things take */

static struct arena *arena;
static struct auth_options options;
static struct auth_pool *pool;
static int front, spawner;

static const char *const mechanisms[] = {"PLAIN", "LOGIN", "TWICE", "SAYS"};

/* A message as it came. */
struct message {
	uint16_t type;
	struct unpack u;
	uint64_t id;
	char octets[PACK_MAX];
};
static struct message m;

static void hang_up(int *fd)
{
	size_t i;

	for (i = 0; i < FAKE_OWN_MAX; i++)
		if (fake_own_sockets[i] == *fd)
			fake_own_sockets[i] = -1; /* the number may soon be another's */
	io_close(fd);
}

static int add_front(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(io_nonblock(pair[1], 1), 0);
	auth_pool_front(pool, pair[0]);
	fake_own_sockets[fake_own_count++ % FAKE_OWN_MAX] = pair[1];
	return pair[1];
}

static void add_spawner(void)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(io_nonblock(pair[1], 1), 0);
	auth_pool_spawner(pool, pair[0]);
	fake_own_sockets[fake_own_count++ % FAKE_OWN_MAX] = pair[1];
	spawner = pair[1];
}

/* One message if it is there already: its type, 0 for the end, -1 for none. */
static int peek(int fd)
{
	ssize_t n = io_recv(fd, m.octets, sizeof(m.octets), NULL, NULL);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return -1;
	if (n <= 0)
		return 0;
	m.type = unpack_start(&m.u, m.octets, (size_t)n);
	if (m.type != AUTH_OFFER && m.type != GRANT)
		m.id = unpack_u64(&m.u);
	return m.type;
}

/* Lets the pool work until a message comes on fd. */
static int hear(int fd)
{
	uint64_t until = clock_ms() + PATIENCE;
	int type;

	while ((type = peek(fd)) == -1 && clock_ms() < until)
		(void)auth_pool_turn(pool, -1, clock_ms() + 5);
	return type;
}

static void settle(void)
{
	uint64_t until = clock_ms() + PATIENCE;

	while (!auth_pool_settled(pool) && clock_ms() < until)
		(void)auth_pool_turn(pool, -1, clock_ms() + 5);
	assert_true(auth_pool_settled(pool));
}

static void let_work(uint64_t ms)
{
	(void)auth_pool_turn(pool, -1, clock_ms() + ms);
}

static void begin(void)
{
	pool = auth_pool_new(NULL, &options, false, -1);
	front = add_front();
	assert_int_equal(hear(front), AUTH_OFFER);
	add_spawner();
}

static int setup(void **state)
{
	(void)state;
	arena = arena_new("test");
	fake_start_exits = 0;
	fake_own_count = 0;
	fake_passwords[0] = instance_builtin(arena, &fake_password_module, "fake");
	fake_password_count = 1;
	fake_sasl[0] = instance_builtin(arena, &fake_sasl_module, "fakesasl");
	fake_sasl_count = 1;
	options = (struct auth_options){.mechanisms = {mechanisms, ARRAY_LEN(mechanisms)},
	    .minimum_uid = 500,
	    .hostname = "mail.test",
	    .failure_delay = 20,
	    .attempt_timeout = 1000,
	    .conversation_timeout = 10000,
	    .response_max = 1024,
	    .grant_lifetime = 5000,
	    .workers_min = 1,
	    .workers_max = 4,
	    .worker_attempts = 1000,
	    .queue_max = 64,
	    .conversations_max = 64,
	    .throttle_free = 1000,
	    .throttle_step = 1000,
	    .throttle_max = 8000,
	    .throttle_decay = 60000,
	    .throttle_entries = 1024};
	front = spawner = -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	auth_pool_free(&pool);
	hang_up(&front);
	hang_up(&spawner);
	arena_free(&arena);
	return 0;
}

static void send_to(int fd, const struct buf *b)
{
	assert_int_equal(io_send(fd, b->p, b->n, NULL, 0), 0);
}

static void start_full(int fd, uint64_t id, const char *mechanism, struct str initial, const char *service,
    const char *remote, uint32_t tls)
{
	struct buf b = BUF_INIT;

	pack_start(&b, AUTH_START);
	pack_u64(&b, id);
	pack_cstr(&b, mechanism);
	pack_str(&b, initial);
	pack_cstr(&b, service);
	pack_cstr(&b, remote);
	pack_cstr(&b, "192.0.2.2");
	pack_u32(&b, tls);
	pack_str(&b, STR_NONE);
	pack_str(&b, STR_NONE);
	send_to(fd, &b);
	buf_free(&b);
}

static void start(int fd, uint64_t id, const char *mechanism, struct str initial)
{
	start_full(fd, id, mechanism, initial, "imap", "192.0.2.1", 1);
}

static void login(int fd, uint64_t id, const char *user, const char *password)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, user);
	buf_addc(&b, '\0');
	buf_adds(&b, password);
	start(fd, id, "", buf_str(&b));
	buf_free(&b);
}

static void step(int fd, uint64_t id, const char *response)
{
	struct buf b = BUF_INIT;

	pack_start(&b, AUTH_STEP);
	pack_u64(&b, id);
	pack_cstr(&b, response);
	send_to(fd, &b);
	buf_free(&b);
}

static void cancel(int fd, uint64_t id)
{
	struct buf b = BUF_INIT;

	pack_start(&b, AUTH_CANCEL);
	pack_u64(&b, id);
	send_to(fd, &b);
	buf_free(&b);
}

static void expect_no(int fd, uint64_t id, int result)
{
	assert_int_equal(hear(fd), AUTH_NO);
	assert_int_equal(m.id, id);
	assert_int_equal(unpack_u32(&m.u), result);
	assert_true(unpack_done(&m.u));
}

static void expect_bad(int fd, uint64_t id)
{
	assert_int_equal(hear(fd), AUTH_BAD);
	assert_int_equal(m.id, id);
}

static void expect_no_grant(void)
{
	assert_int_equal(peek(spawner), -1);
}

/* AUTH_OK, with a grant the spawner has already. *pid: the worker that answered. */
static void expect_ok(int fd, uint64_t id, int *pid)
{
	char grant[AUTH_GRANT_SIZE];
	struct str s;
	char *option;

	assert_int_equal(hear(fd), AUTH_OK);
	assert_int_equal(m.id, id);
	s = unpack_str(&m.u);
	assert_int_equal(s.n, AUTH_GRANT_SIZE);
	memcpy(grant, s.p, s.n);
	assert_true(unpack_str(&m.u).n > 0);
	(void)unpack_str(&m.u);
	assert_true(unpack_done(&m.u));
	assert_int_equal(peek(spawner), GRANT); /* it was there first */
	s = unpack_str(&m.u);
	assert_int_equal(s.n, AUTH_GRANT_SIZE);
	assert_memory_equal(s.p, grant, AUTH_GRANT_SIZE);
	assert_true(unpack_u64(&m.u) > clock_ms());
	assert_non_null(unpack_cstr(&m.u, arena)); /* user */
	assert_int_equal(unpack_u32(&m.u), 2000);
	assert_int_equal(unpack_u32(&m.u), 2000);
	assert_int_equal(unpack_u32(&m.u), 1);
	assert_int_equal(unpack_u32(&m.u), 3000);
	assert_string_equal(unpack_cstr(&m.u, arena), "/home/x");
	assert_string_equal(unpack_cstr(&m.u, arena), "imap");
	assert_non_null(unpack_cstr(&m.u, arena));
	assert_int_equal(unpack_u32(&m.u), 1);
	option = unpack_cstr(&m.u, arena);
	assert_true(unpack_done(&m.u));
	if (pid != NULL)
		assert_int_equal(sscanf(option, "pid=%d", pid), 1);
}

/* ---- ordinary logins ---- */

static void offer_and_login(void **state)
{
	(void)state;
	pool = auth_pool_new(NULL, &options, false, -1);
	front = add_front();
	assert_int_equal(hear(front), AUTH_OFFER);
	assert_string_equal(unpack_cstr(&m.u, arena), "PLAIN LOGIN TWICE SAYS");
	assert_string_equal(unpack_cstr(&m.u, arena), "TWICE SAYS");
	assert_true(unpack_done(&m.u));
	add_spawner();
	login(front, 7, "ok", "right");
	expect_ok(front, 7, NULL);
	expect_no_grant(); /* one login, one grant */
	start(front, 7, "PLAIN", str_mem("ok\0right", 8));
	expect_ok(front, 7, NULL);
}

static void every_grant_is_another(void **state)
{
	char seen[32][AUTH_GRANT_SIZE];
	int i, k;

	(void)state;
	begin();
	for (i = 0; i < 32; i++) {
		login(front, (uint64_t)i, "ok", "right");
		assert_int_equal(hear(front), AUTH_OK);
		memcpy(seen[i], unpack_str(&m.u).p, AUTH_GRANT_SIZE);
		for (k = 0; k < i; k++)
			assert_memory_not_equal(seen[i], seen[k], AUTH_GRANT_SIZE);
	}
}

/* attack-058: the client cannot tell these apart; attack-064, 073 */
static void refusals(void **state)
{
	static const struct {
		const char *user;
		int told;
	} cases[] = {{"ok", MORTISE_AUTH_MISMATCH}, {"unknown", MORTISE_AUTH_MISMATCH},
	    {"disabled", MORTISE_AUTH_MISMATCH}, {"next", MORTISE_AUTH_MISMATCH},
	    {"bad\nname", MORTISE_AUTH_MISMATCH}, {"expired", MORTISE_AUTH_EXPIRED},
	    {"temp", MORTISE_AUTH_TEMP}, {"odd", MORTISE_AUTH_TEMP}, {"negative", MORTISE_AUTH_TEMP},
	    {"internal", MORTISE_AUTH_TEMP}};
	size_t i;

	(void)state;
	options.failure_delay = 50;
	begin();
	settle();
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t before = clock_ms();

		login(front, i, cases[i].user, "wrong");
		expect_no(front, i, cases[i].told);
		assert_true(clock_ms() - before >= 50);
	}
	expect_no_grant();
}

static void conversations(void **state)
{
	(void)state;
	begin();
	start(front, 1, "LOGIN", STR_NONE);
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	assert_true(str_eqc(unpack_str(&m.u), "Username:"));
	step(front, 1, "ok");
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	step(front, 1, "right");
	expect_ok(front, 1, NULL);
	/* an empty challenge is there, but empty */
	start(front, 2, "PLAIN", STR_NONE);
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	assert_non_null(unpack_str(&m.u).p);
	step(front, 2, ""); /* attack-036 */
	expect_bad(front, 2);
	start(front, 3, "PLAIN", STR(""));
	expect_bad(front, 3);
	/* cancelled at each step */
	start(front, 4, "LOGIN", STR_NONE);
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	cancel(front, 4);
	start(front, 4, "LOGIN", STR_NONE);
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	step(front, 4, "ok");
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	cancel(front, 4);
	cancel(front, 4);
	step(front, 4, "right"); /* replayed into nothing */
	let_work(50);
	assert_int_equal(peek(front), -1);
	expect_no_grant();
	assert_int_equal(auth_pool_attempts(pool), 0);
	/* server-last data reaches the client */
	start(front, 5, "SAYS", STR("ok"));
	assert_int_equal(hear(front), AUTH_OK);
	(void)unpack_str(&m.u);
	assert_true(str_eqc(unpack_str(&m.u), "ok"));
	assert_true(str_eqc(unpack_str(&m.u), "last words"));
}

static void what_is_not_offered(void **state)
{
	char *big = test_calloc(1, 2000);
	struct buf b = BUF_INIT;

	(void)state;
	begin();
	start(front, 1, "GSSAPI", STR_NONE);
	expect_bad(front, 1);
	start(front, 2, "pla in", STR_NONE);
	expect_bad(front, 2);
	start(front, 3, "AVERYLONGNAMEOFAMECHANISMINDEED", STR_NONE);
	expect_bad(front, 3);
	/* attack-012: in clear neither LOGIN nor PLAIN */
	start_full(front, 4, "", str_mem("ok\0right", 8), "imap", "192.0.2.1", 0);
	expect_bad(front, 4);
	start_full(front, 5, "PLAIN", str_mem("ok\0right", 8), "imap", "192.0.2.1", 0);
	expect_bad(front, 5);
	/* attack-038 */
	start(front, 6, "PLAIN", str_mem(big, 1025));
	expect_bad(front, 6);
	start(front, 7, "LOGIN", STR_NONE);
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	pack_start(&b, AUTH_STEP);
	pack_u64(&b, 7);
	pack_str(&b, str_mem(big, 1025));
	send_to(front, &b);
	expect_bad(front, 7);
	assert_int_equal(auth_pool_attempts(pool), 0);
	buf_free(&b);
	test_free(big);
}

/* ---- workers that fail (attack-063) ---- */

static void a_bad_worker_costs_one_attempt(void **state)
{
	static const char *const users[] = {"crash", "abort", "exit", "killed", "hang", "stopped", "orphan",
	    "garbage", "short", "lie", "double"};
	size_t i;

	(void)state;
	options.attempt_timeout = 200;
	begin();
	for (i = 0; i < ARRAY_LEN(users); i++) {
		login(front, 2 * i, users[i], "right");
		expect_no(front, 2 * i, MORTISE_AUTH_TEMP);
		options.attempt_timeout = 10000;
		login(front, 2 * i + 1, "ok", "right");
		expect_ok(front, 2 * i + 1, NULL);
		options.attempt_timeout = 200;
	}
	expect_no_grant();
}

static void others_go_on_while_one_hangs(void **state)
{
	int i;

	(void)state;
	options.attempt_timeout = 5000;
	options.workers_max = 2;
	begin();
	login(front, 1, "hang", "right");
	for (i = 0; i < 10; i++) {
		login(front, 10 + (uint64_t)i, "ok", "right");
		expect_ok(front, 10 + (uint64_t)i, NULL);
	}
	clock_test_advance(10000);
	expect_no(front, 1, MORTISE_AUTH_TEMP);
}

/* Conversations that were open in a worker end with it; they do not continue in another. */
static void conversations_end_with_their_worker(void **state)
{
	(void)state;
	options.workers_max = 1;
	begin();
	start(front, 1, "LOGIN", STR_NONE);
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	login(front, 2, "crash", "right");
	assert_int_equal(hear(front), AUTH_NO);
	assert_int_equal(hear(front), AUTH_NO);
	step(front, 1, "ok");
	login(front, 3, "ok", "right");
	expect_ok(front, 3, NULL);
}

/* With a choice, an attempt does not go where a conversation is open. */
static void open_conversations_are_spared(void **state)
{
	(void)state;
	options.workers_min = 2;
	begin();
	settle();
	let_work(100);
	start(front, 1, "LOGIN", STR_NONE);
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	let_work(100);
	login(front, 2, "crash", "right");
	expect_no(front, 2, MORTISE_AUTH_TEMP);
	step(front, 1, "ok");
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	step(front, 1, "right");
	expect_ok(front, 1, NULL);
}

static void a_module_that_forks_or_prints(void **state)
{
	int first, second;

	(void)state;
	options.workers_max = 1;
	begin();
	login(front, 1, "fork", "right");
	expect_ok(front, 1, &first);
	login(front, 2, "print", "right");
	expect_ok(front, 2, &second);
	assert_int_equal(first, second);
	let_work(50);
	expect_no_grant(); /* the child's answer did not count */
	assert_int_equal(peek(front), -1);
}

/* P4, attack-142: a worker holds its own socket and nobody else's; its word counts for its own work only. */
static void what_a_worker_can_reach(void **state)
{
	int other;

	(void)state;
	begin();
	other = add_front();
	assert_int_equal(hear(other), AUTH_OFFER);
	login(front, 1, "lie-root", "right");
	expect_no(front, 1, MORTISE_AUTH_TEMP);
	expect_no_grant();
	login(front, 2, "sockets", "right");
	expect_ok(front, 2, NULL);
	hang_up(&other);
}

static void workers_are_replaced_after_a_while(void **state)
{
	int pids[6];
	uint64_t i;

	(void)state;
	options.worker_attempts = 2;
	options.workers_max = 2;
	begin();
	for (i = 0; i < 6; i++) {
		login(front, i, "ok", "right");
		expect_ok(front, i, &pids[i]);
	}
	assert_int_not_equal(pids[0], pids[2]);
	assert_int_not_equal(pids[2], pids[4]);
}

static void workers_that_do_not_start(void **state)
{
	(void)state;
	fake_start_exits = 1;
	options.attempt_timeout = 400;
	begin();
	settle();
	login(front, 1, "ok", "right");
	expect_no(front, 1, MORTISE_AUTH_TEMP);
	/* as soon as they start again they are used */
	fake_start_exits = 0;
	options.attempt_timeout = 10000;
	login(front, 2, "ok", "right");
	clock_test_advance(1000);
	expect_ok(front, 2, NULL);
}

/* ---- fronts that misbehave (attack-143) ---- */

static void raw(int fd, const void *p, size_t n)
{
	assert_int_equal(io_send(fd, p, n, NULL, 0), 0);
}

typedef void evil(int fd);

static void evil_garbage(int fd)
{
	raw(fd, "* LOGIN fred secret\r\n", 21);
}
static void evil_short(int fd)
{
	raw(fd, "x", 1);
}
static void evil_type(int fd)
{
	struct buf b = BUF_INIT;

	pack_start(&b, AUTH_OK); /* a front that says what auth says */
	pack_u64(&b, 1);
	send_to(fd, &b);
	buf_free(&b);
}
static void evil_grant(int fd)
{
	struct buf b = BUF_INIT;

	pack_start(&b, GRANT);
	pack_cstr(&b, "0123456789abcdef0123456789abcdef");
	send_to(fd, &b);
	buf_free(&b);
}
static void evil_truncated(int fd)
{
	struct buf b = BUF_INIT;

	pack_start(&b, AUTH_START);
	pack_u64(&b, 1);
	pack_cstr(&b, "PLAIN");
	send_to(fd, &b);
	buf_free(&b);
}
static void evil_trailing(int fd)
{
	struct buf b = BUF_INIT;

	pack_start(&b, AUTH_CANCEL);
	pack_u64(&b, 1);
	pack_u64(&b, 1);
	send_to(fd, &b);
	buf_free(&b);
}
static void evil_twice(int fd)
{
	start(fd, 1, "LOGIN", STR_NONE);
	start(fd, 1, "LOGIN", STR_NONE);
}
static void evil_step(int fd)
{
	login(fd, 1, "slow", "right");
	step(fd, 1, "right");
}
static void evil_service(int fd)
{
	start_full(fd, 1, "LOGIN", STR_NONE, "im\nap", "192.0.2.1", 1);
}
static void evil_remote(int fd)
{
	start_full(fd, 1, "LOGIN", STR_NONE, "imap", "192.0.2.1\t x=y", 1);
}
static void evil_tls(int fd)
{
	start_full(fd, 1, "LOGIN", STR_NONE, "imap", "192.0.2.1", 2);
}
static void evil_size(int fd)
{
	char *big = test_calloc(1, PACK_MAX + 1);

	raw(fd, big, PACK_MAX + 1);
	test_free(big);
}

static void fronts_that_break_the_protocol(void **state)
{
	static evil *const evils[] = {evil_garbage, evil_short, evil_type, evil_grant, evil_truncated,
	    evil_trailing, evil_twice, evil_step, evil_service, evil_remote, evil_tls, evil_size};
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < ARRAY_LEN(evils); i++) {
		int fd = add_front(), type;

		assert_int_equal(hear(fd), AUTH_OFFER);
		evils[i](fd);
		do
			type = hear(fd);
		while (type == AUTH_CHALLENGE); /* of the first of two */
		assert_int_equal(type, 0);
		hang_up(&fd);
		login(front, i, "ok", "right");
		expect_ok(front, i, NULL);
	}
	expect_no_grant();
	assert_int_equal(auth_pool_fronts(pool), 1);
}

/* Descriptors that come along are closed, whatever the message. */
static void descriptors_are_not_kept(void **state)
{
	struct buf b = BUF_INIT;
	int pair[2];
	char c;

	(void)state;
	begin();
	assert_int_equal(pipe(pair), 0);
	pack_start(&b, AUTH_CANCEL);
	pack_u64(&b, 99);
	assert_int_equal(io_send(front, b.p, b.n, &pair[1], 1), 0);
	io_close(&pair[1]);
	let_work(50);
	assert_int_equal(read(pair[0], &c, 1), 0); /* nobody has the other end */
	io_close(&pair[0]);
	login(front, 1, "ok", "right");
	expect_ok(front, 1, NULL);
	buf_free(&b);
}

static void fronts_that_go_away(void **state)
{
	int other, i;

	(void)state;
	options.workers_max = 2;
	begin();
	for (i = 0; i < 5; i++) {
		other = add_front();
		assert_int_equal(hear(other), AUTH_OFFER);
		login(other, 1, "slow", "right");
		login(other, 2, "slow", "right");
		login(other, 3, "unknown", "right");
		start(other, 4, "LOGIN", STR_NONE);
		if (i % 2 == 0)
			let_work(20);
		hang_up(&other);
	}
	login(front, 1, "ok", "right");
	expect_ok(front, 1, NULL);
	let_work(600);
	expect_no_grant(); /* attack-036: nobody is let in whom nobody waits for */
	assert_int_equal(auth_pool_attempts(pool), 0);
	assert_int_equal(auth_pool_fronts(pool), 1);
}

/* A front that never reads costs a bounded amount of memory and then itself. */
static void fronts_that_do_not_read(void **state)
{
	int other, i;
	bool gone = false;

	(void)state;
	begin();
	other = add_front();
	for (i = 0; i < 200000 && !gone; i++) {
		struct buf b = BUF_INIT;

		pack_start(&b, AUTH_START);
		pack_u64(&b, (uint64_t)i);
		pack_cstr(&b, "GSSAPI");
		pack_str(&b, STR_NONE);
		pack_cstr(&b, "imap");
		pack_cstr(&b, "192.0.2.1");
		pack_cstr(&b, "192.0.2.2");
		pack_u32(&b, 1);
		pack_str(&b, STR_NONE);
		pack_str(&b, STR_NONE);
		if (io_send(other, b.p, b.n, NULL, 0) != 0) {
			gone = errno != EAGAIN;
			(void)auth_pool_turn(pool, -1, clock_ms() + 1);
		}
		buf_free(&b);
	}
	assert_true(gone);
	hang_up(&other);
	login(front, 1, "ok", "right");
	expect_ok(front, 1, NULL);
}

/* ---- limits ---- */

static void the_queue_is_bounded(void **state)
{
	int temp = 0, ok = 0, i;

	(void)state;
	options.workers_max = 1;
	options.queue_max = 2;
	options.attempt_timeout = 10000;
	begin();
	login(front, 0, "slow", "right");
	let_work(50);
	for (i = 1; i <= 5; i++)
		login(front, (uint64_t)i, "slow", "right");
	for (i = 0; i <= 5; i++) {
		int type = hear(front);

		temp += type == AUTH_NO;
		ok += type == AUTH_OK;
	}
	assert_int_equal(temp, 3);
	assert_int_equal(ok, 3);
}

static void waiting_ends(void **state)
{
	(void)state;
	options.workers_max = 1;
	options.attempt_timeout = 3000;
	begin();
	login(front, 1, "hang", "right");
	let_work(50);
	login(front, 2, "ok", "right");
	let_work(50);
	clock_test_advance(4000);
	assert_int_equal(hear(front), AUTH_NO);
	assert_int_equal(hear(front), AUTH_NO);
}

/* A front that floods delays itself, not the others. */
static void fronts_take_turns(void **state)
{
	int other, i, before = 0;

	(void)state;
	options.workers_max = 1;
	options.queue_max = 200;
	options.conversations_max = 200;
	options.attempt_timeout = 60000;
	begin();
	other = add_front();
	assert_int_equal(hear(other), AUTH_OFFER);
	/* The worker is busy until all of them wait. */
	login(front, 0, "slow", "right");
	let_work(20);
	for (i = 1; i < 60; i++)
		login(front, (uint64_t)i, "ok", "right");
	while (peek(front) == AUTH_OK)
		;
	login(other, 1, "ok", "right");
	/* One event at a time: in a millisecond many are answered. */
	while (peek(other) == -1)
		(void)auth_pool_turn(pool, -1, clock_ms());
	assert_int_equal(m.type, AUTH_OK);
	while (peek(front) == AUTH_OK)
		before++;
	/* What was being checked, and one more. */
	assert_in_range(before, 0, 5);
	hang_up(&other);
}

/* attack-069: delayed answers hold no worker and give way */
static void delays_hold_nothing(void **state)
{
	uint64_t i;

	(void)state;
	options.workers_max = 1;
	options.failure_delay = 60000;
	options.conversations_max = 20;
	begin();
	for (i = 0; i < 19; i++)
		login(front, i, "ok", "wrong");
	login(front, 100, "ok", "right");
	expect_ok(front, 100, NULL);
	assert_int_equal(auth_pool_attempts(pool), 19);
	clock_test_advance(60000);
	for (i = 0; i < 19; i++) {
		assert_int_equal(hear(front), AUTH_NO);
		assert_int_equal(unpack_u32(&m.u), MORTISE_AUTH_MISMATCH);
	}
	assert_int_equal(auth_pool_attempts(pool), 0);
}

static void room_is_made(void **state)
{
	int other;
	uint64_t i;

	(void)state;
	options.failure_delay = 60000;
	options.conversations_max = 8;
	begin();
	for (i = 0; i < 8; i++)
		login(front, i, "ok", "wrong");
	while (auth_pool_attempts(pool) < 8)
		let_work(5);
	let_work(200); /* all of them are decided */
	other = add_front();
	assert_int_equal(hear(other), AUTH_OFFER);
	login(other, 1, "ok", "right");
	expect_ok(other, 1, NULL);
	assert_int_equal(peek(front), AUTH_NO); /* one answer came early */
	assert_int_equal(peek(front), -1);
	/* a front beyond its share is told to wait */
	login(front, 50, "ok", "right");
	expect_no(front, 50, MORTISE_AUTH_TEMP);
	hang_up(&other);
}

/* attack-034 in spirit: a client that stops in the middle of an exchange */
static void a_slow_client_is_dropped(void **state)
{
	(void)state;
	begin();
	start(front, 1, "LOGIN", STR_NONE);
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	clock_test_advance(10001);
	expect_bad(front, 1);
	step(front, 1, "ok"); /* the client's answer crossed with ours: not a crime */
	login(front, 2, "ok", "right");
	expect_ok(front, 2, NULL);
	assert_int_equal(auth_pool_attempts(pool), 0);
}

/* attack-068 */
static void guessing_gets_slow(void **state)
{
	uint64_t i;

	(void)state;
	options.throttle_free = 3;
	options.throttle_step = 8000;
	options.failure_delay = 1;
	begin();
	start_full(front, 1, "", str_mem("ok\0right", 8), "imap", "203.0.113.9", 1);
	expect_ok(front, 1, NULL); /* the owner, at home */
	for (i = 10; i < 14; i++) {
		login(front, i, "ok", "guess");
		expect_no(front, i, MORTISE_AUTH_MISMATCH);
	}
	/* now the address waits before it is heard: even the right password is not answered at once */
	login(front, 20, "ok", "right");
	let_work(100);
	assert_int_equal(peek(front), -1);
	/* from elsewhere the same user is slow too … */
	start_full(front, 21, "", str_mem("ok\0right", 8), "imap", "198.51.100.1", 1);
	let_work(100);
	assert_int_equal(peek(front), -1);
	/* … but not the owner at home, and nobody else */
	start_full(front, 22, "", str_mem("ok\0right", 8), "imap", "203.0.113.9", 1);
	expect_ok(front, 22, NULL);
	start_full(front, 23, "", str_mem("spelled\0right", 13), "imap", "198.51.100.1", 1);
	expect_ok(front, 23, NULL);
	/* and nobody is locked out */
	clock_test_advance(20000);
	assert_int_equal(hear(front), AUTH_OK);
	clock_test_advance(20000);
	assert_int_equal(hear(front), AUTH_OK);
}

/* ---- the spawner ---- */

static void without_a_spawner(void **state)
{
	(void)state;
	begin();
	hang_up(&spawner);
	login(front, 1, "ok", "right");
	expect_no(front, 1, MORTISE_AUTH_TEMP);
	add_spawner();
	login(front, 2, "ok", "right");
	expect_ok(front, 2, NULL);
	/* one that does not read: no AUTH_OK without its grant */
	hang_up(&spawner);
	add_spawner();
	for (uint64_t i = 0; i < 5000; i++) {
		login(front, 3, "ok", "right");
		if (hear(front) == AUTH_NO)
			break;
		assert_int_equal(m.type, AUTH_OK);
	}
	assert_int_equal(m.type, AUTH_NO);
	assert_int_equal(unpack_u32(&m.u), MORTISE_AUTH_TEMP);
}

static void refusing_new_ones(void **state)
{
	(void)state;
	begin();
	start(front, 1, "LOGIN", STR_NONE);
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	auth_pool_refuse(pool);
	login(front, 2, "ok", "right");
	expect_no(front, 2, MORTISE_AUTH_TEMP);
	step(front, 1, "ok"); /* what is open goes on */
	assert_int_equal(hear(front), AUTH_CHALLENGE);
	step(front, 1, "right");
	expect_ok(front, 1, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(offer_and_login), TEST(every_grant_is_another),
	    TEST(refusals), TEST(conversations), TEST(what_is_not_offered),
	    TEST(a_bad_worker_costs_one_attempt), TEST(others_go_on_while_one_hangs),
	    TEST(conversations_end_with_their_worker), TEST(open_conversations_are_spared),
	    TEST(a_module_that_forks_or_prints), TEST(what_a_worker_can_reach),
	    TEST(workers_are_replaced_after_a_while), TEST(workers_that_do_not_start),
	    TEST(fronts_that_break_the_protocol), TEST(descriptors_are_not_kept), TEST(fronts_that_go_away),
	    TEST(fronts_that_do_not_read), TEST(the_queue_is_bounded), TEST(waiting_ends),
	    TEST(fronts_take_turns), TEST(delays_hold_nothing), TEST(room_is_made),
	    TEST(a_slow_client_is_dropped), TEST(guessing_gets_slow), TEST(without_a_spawner),
	    TEST(refusing_new_ones)};

	alarm(240); /* a test that waits for ever fails */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
