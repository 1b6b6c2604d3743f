/* test-role.c: the whole role as the master sees it, with the bundled modules. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/messages.h"
#include "auth/role.h"
#include "base/clock.h"
#include "base/control.h"
#include "base/io.h"
#include "base/pack.h"

#define PATIENCE 20000

static char folder[] = "/tmp/test-role.XXXXXX";
static char passwd[64];
static pid_t role;
static int control, front, spawner;
static char octets[PACK_MAX];
static struct unpack u;

static const char *build_dir(void)
{
	const char *dir = getenv("top_builddir");

	return dir != NULL ? dir : ".";
}

static void begin(const char *more, bool unprivileged)
{
	struct arena *a = arena_new("test");
	struct conf_report *r = conf_report_new(a);
	struct buf text = BUF_INIT;
	struct conf *c;
	int pair[2];

	buf_printf(&text,
	    "passwords = ( { type = \"%s/authn/file/.libs/file.so\"; name = \"file\"; path = \"%s\"; plain = "
	    "true; } );\n"
	    "sasl = ( { type = \"%s/authn/cyrus/.libs/cyrus.so\"; name = \"cyrus\"; } );\n"
	    "module_loader = { check_owner = false; };\n%s",
	    build_dir(), passwd, build_dir(), more);
	c = conf_parse(buf_str(&text), "test.conf", r);
	assert_int_equal(conf_errors(r), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	role = fork();
	assert_true(role >= 0);
	if (role == 0) {
		io_close(&pair[0]);
		_exit(auth_role(c, pair[1], unprivileged));
	}
	io_close(&pair[1]);
	control = pair[0];
	buf_free(&text);
	conf_free(&c);
	arena_free(&a);
}

static void tell(uint16_t type, int fd)
{
	struct buf b = BUF_INIT;

	pack_start(&b, type);
	assert_int_equal(io_send(control, b.p, b.n, &fd, fd >= 0 ? 1 : 0), 0);
	buf_free(&b);
}

static int add_peer(uint32_t kind)
{
	struct buf b = BUF_INIT;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pack_start(&b, CONTROL_PEER);
	pack_u32(&b, kind);
	pack_u32(&b, 1);
	assert_int_equal(io_send(control, b.p, b.n, &pair[0], 1), 0);
	io_close(&pair[0]);
	buf_free(&b);
	return pair[1];
}

/* The type of the next message; 0 at the end, -1 when none comes. */
static int hear(int fd)
{
	ssize_t n;

	if (io_wait(fd, POLLIN, clock_ms() + PATIENCE) != 1)
		return -1;
	n = io_recv(fd, octets, sizeof(octets), NULL, NULL);
	return n > 0 ? unpack_start(&u, octets, (size_t)n) : 0;
}

static int ended(void)
{
	uint64_t until = clock_ms() + PATIENCE;
	int status;

	for (;;) {
		pid_t r = waitpid(role, &status, WNOHANG);

		if (r == role)
			break;
		if (clock_ms() > until) {
			(void)kill(role, SIGKILL);
			(void)waitpid(role, &status, 0);
			return -1;
		}
		(void)io_wait(-1, 0, clock_ms() + 10);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}

static void login(const char *user, const char *password)
{
	struct buf b = BUF_INIT, initial = BUF_INIT;

	buf_addc(&initial, '\0');
	buf_adds(&initial, user);
	buf_addc(&initial, '\0');
	buf_adds(&initial, password);
	pack_start(&b, AUTH_START);
	pack_u64(&b, 1);
	pack_cstr(&b, "PLAIN");
	pack_str(&b, buf_str(&initial));
	pack_cstr(&b, "imap");
	pack_cstr(&b, "127.0.0.1");
	pack_cstr(&b, "127.0.0.1");
	pack_u32(&b, 1);
	pack_str(&b, STR_NONE);
	pack_str(&b, STR_NONE);
	assert_int_equal(io_send(front, b.p, b.n, NULL, 0), 0);
	buf_free(&b);
	buf_free(&initial);
}

static void up(void)
{
	begin("auth = { failure_delay = \"10ms\"; };", true);
	front = add_peer(ROLE_FRONT);
	spawner = add_peer(ROLE_SPAWNER);
	tell(CONTROL_GO, -1);
	assert_int_equal(hear(control), CONTROL_READY);
	assert_int_equal(hear(front), AUTH_OFFER);
}

static int setup(void **state)
{
	static const char users[] = "fred:{PLAIN}secret::::/home/fred\n";
	int fd;

	(void)state;
	snprintf(passwd, sizeof(passwd), "%s/passwd", folder);
	fd = open(passwd, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(io_write(fd, users, sizeof(users) - 1), 0);
	close(fd);
	control = front = spawner = -1;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	io_close(&control);
	io_close(&front);
	io_close(&spawner);
	unlink(passwd);
	return 0;
}

static void serves_and_drains(void **state)
{
	(void)state;
	up();
	assert_true(str_eqc(unpack_str(&u), "PLAIN LOGIN"));
	assert_int_equal(unpack_str(&u).n, 0);
	login("fred", "secret");
	assert_int_equal(hear(front), AUTH_OK);
	assert_int_equal(hear(spawner), GRANT);
	login("fred", "Secret");
	assert_int_equal(hear(front), AUTH_NO);
	/* a new spawner takes the place of the old one */
	io_close(&spawner);
	spawner = add_peer(ROLE_SPAWNER);
	tell(CONTROL_DRAIN, -1);
	login("fred", "secret"); /* the front still has clients */
	assert_int_equal(hear(front), AUTH_OK);
	assert_int_equal(hear(spawner), GRANT);
	io_close(&front);
	assert_int_equal(ended(), 0);
}

static void stops(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	up();
	pack_start(&b, CONTROL_STOP);
	pack_u64(&b, 5000);
	assert_int_equal(io_send(control, b.p, b.n, NULL, 0), 0);
	assert_int_equal(ended(), 0);
	buf_free(&b);
}

static void ends_with_the_master(void **state)
{
	(void)state;
	up();
	io_close(&control);
	login("fred", "secret");
	assert_int_equal(hear(front), AUTH_OK);
	io_close(&front);
	assert_int_equal(ended(), 0);
}

/* attack-143, 144 */
static void nonsense_on_the_control_socket(void **state)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), i;

	(void)state;
	up();
	assert_int_equal(io_send(control, "garbage", 7, NULL, 0), 0);
	assert_int_equal(io_send(control, "x", 1, &null, 1), 0);
	tell(CONTROL_PEER, -1);
	tell(CONTROL_PEER, null);
	tell(CONTROL_FILE, null);
	tell(AUTH_OK, null);
	for (i = 0; i < 3; i++)
		tell(CONTROL_GO, -1);
	login("fred", "secret");
	assert_int_equal(hear(front), AUTH_OK);
	tell(CONTROL_DRAIN, -1);
	io_close(&front);
	assert_int_equal(ended(), 0);
	io_close(&null);
}

static void configurations_that_cannot_be_used(void **state)
{
	(void)state;
	begin("auth = { run_user = \"no-such-user-here\"; };", false);
	assert_int_equal(ended(), 78);
	io_close(&control);
	begin("modules = ( { load = \"not-there\"; required = true; } );", true);
	assert_int_equal(ended(), 78);
	io_close(&control);
	begin("auth = { workers_max = 0; };", true);
	assert_int_equal(ended(), 78);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(serves_and_drains), TEST(stops), TEST(ends_with_the_master),
	    TEST(nonsense_on_the_control_socket), TEST(configurations_that_cannot_be_used)};
	int r;

	if (mkdtemp(folder) == NULL)
		return 1;
	alarm(240);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return r;
}
