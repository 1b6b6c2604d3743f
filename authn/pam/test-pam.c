/*
 * test-pam.c: the PAM backend, with service files of its own (pam_wrapper), pam_matrix for ordinary answers
 * and test-evil.c for the others. The program runs itself once more with the wrapper preloaded.
 */
#include "../test-modules.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <sys/socket.h>

#include "auth/messages.h"
#include "auth/pool.h"
#include "base/pack.h"

static char folder[64];
static struct setting s;
static bool is_open;

static void write_file(const char *name, const char *text)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, text, strlen(text)), 0);
	close(fd);
}

static void open_with(const char *more, const char *auth)
{
	char lists[512];

	snprintf(lists, sizeof(lists),
	    "passwords = ( { type = \"@/authn/pam/.libs/pam.so\"; name = \"pam\"; %s } );"
	    "sasl = ( { type = \"@/authn/cyrus/.libs/cyrus.so\"; name = \"cyrus\"; } );",
	    more);
	setting_open(&s, lists, auth, false);
	is_open = true;
}

/* pam_wrapper takes the service files as they are when the program starts, so all of them are written before:
 * service "sN" is a stack of test-evil with the Nth of these for arguments, for auth and account. */
static const char *const stacks[] = {"", "password=right", "user=nobody password=right",
    "password=right password=right", "again again again again again again again again again",
    "info password=right info", "weird", "many", "empty", "password=right chat", "items", "password=\xff\xfe",
    "return=7", "return=10", "return=11", "return=6", "return=13", "return=12", "return=9", "return=4",
    "return=28", "return=26", "acct=13", "acct=12", "acct=27", "acct=6", "acct=7", "acct=10", "acct=4",
    "setcred=17", "setcred=0", "return=99", "return=-1", "rename=nobody", "rename=root", "delay return=7",
    "crash", "abort", "exit", "hang", "password=right fork", "password=right print", "password=right leak"};

static const char *service_of(const char *arguments)
{
	static char name[16];
	size_t i;

	for (i = 0; i < ARRAY_LEN(stacks); i++)
		if (strcmp(stacks[i], arguments) == 0)
			break;
	assert_true(i < ARRAY_LEN(stacks));
	snprintf(name, sizeof(name), "s%zu", i);
	return name;
}

static int attempt(
    const char *service, const char *user, const char *password, struct auth_identity *out, struct buf *why)
{
	struct auth_facts facts = *test_facts();

	facts.service = service;
	return try_password_with(&s, &facts, user, password, out, why);
}

static int evil(const char *arguments, const char *password)
{
	return attempt(service_of(arguments), "nobody", password, NULL, NULL);
}

static int setup(void **state)
{
	(void)state;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (is_open)
		setting_close(&s);
	is_open = false;
	return 0;
}

static void ordinary_answers(void **state)
{
	struct auth_identity i;

	(void)state;
	open_with("", "minimum_uid = 2;");
	assert_int_equal(attempt("matrix", "nobody", "neo's secret", &i, NULL), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "nobody");
	assert_true(i.uid > 0 && i.home[0] == '/');
	assert_int_equal(attempt("matrix", "nobody", "neo's secre", NULL, NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(attempt("matrix", "nobody", "Neo's secret", NULL, NULL), MORTISE_AUTH_MISMATCH);
	assert_int_not_equal(attempt("matrix", "nosuch", "x", NULL, NULL), MORTISE_AUTH_OK);
	/* PAM says yes, the host has no such account */
	assert_int_equal(attempt("matrix", "ghost-account", "x", NULL, NULL), MORTISE_AUTH_UNKNOWN);
	/* the account may not use this service */
	assert_int_equal(attempt("matrix", "daemon", "x", NULL, NULL), MORTISE_AUTH_DISABLED);
}

/* attack-066 */
static void uids_below_the_floor(void **state)
{
	(void)state;
	open_with("", "minimum_uid = 500;");
	assert_int_equal(attempt("matrix", "mail", "x", NULL, NULL), MORTISE_AUTH_DISABLED);
	assert_int_equal(attempt("matrix", "nobody", "neo's secret", NULL, NULL), MORTISE_AUTH_OK);
	assert_int_equal(attempt(service_of(""), "root", "x", NULL, NULL), MORTISE_AUTH_DISABLED);
}

static void prompts(void **state)
{
	(void)state;
	open_with("", "");
	assert_int_equal(evil("password=right", "right"), MORTISE_AUTH_OK);
	assert_int_equal(evil("password=right", "wrong"), MORTISE_AUTH_MISMATCH);
	assert_int_equal(evil("user=nobody password=right", "right"), MORTISE_AUTH_OK);
	/* attack-063: asked twice, asked again and again */
	assert_int_equal(evil("password=right password=right", "right"), MORTISE_AUTH_OK);
	assert_int_equal(
	    evil("again again again again again again again again again", "right"), MORTISE_AUTH_TEMP);
	assert_int_equal(evil("info password=right info", "right"), MORTISE_AUTH_OK);
	assert_int_equal(evil("weird", "right"), MORTISE_AUTH_TEMP);
	assert_int_equal(evil("many", "right"), MORTISE_AUTH_TEMP);
	assert_int_equal(evil("empty", "right"), MORTISE_AUTH_TEMP);
	/* a prompt after authentication would be for a new password */
	assert_int_equal(evil("password=right chat", "right"), MORTISE_AUTH_TEMP);
	assert_int_equal(evil("items", "right"), MORTISE_AUTH_OK);
	/* attack-067 */
	assert_int_equal(evil("password=\xff\xfe", "\xff\xfe"), MORTISE_AUTH_OK);
}

static void what_codes_mean(void **state)
{
	static const struct {
		const char *arguments;
		int result;
	} cases[] = {
	    {"return=7", MORTISE_AUTH_MISMATCH},  /* PAM_AUTH_ERR */
	    {"return=10", MORTISE_AUTH_UNKNOWN},  /* PAM_USER_UNKNOWN */
	    {"return=11", MORTISE_AUTH_MISMATCH}, /* PAM_MAXTRIES */
	    {"return=6", MORTISE_AUTH_DISABLED},  /* PAM_PERM_DENIED */
	    {"return=13",
	        MORTISE_AUTH_DISABLED}, /* PAM_ACCT_EXPIRED before the password is known to be right */
	    {"return=12", MORTISE_AUTH_DISABLED}, /* PAM_NEW_AUTHTOK_REQD likewise */
	    {"return=9", MORTISE_AUTH_TEMP},      /* PAM_AUTHINFO_UNAVAIL: attack-073 */
	    {"return=4", MORTISE_AUTH_TEMP},      /* PAM_SYSTEM_ERR */
	    {"return=28", MORTISE_AUTH_TEMP},     /* PAM_MODULE_UNKNOWN */
	    {"return=26", MORTISE_AUTH_TEMP},     /* PAM_ABORT */
	    {"acct=13", MORTISE_AUTH_EXPIRED},    /* attack-064 */
	    {"acct=12", MORTISE_AUTH_EXPIRED},    /* the password must be changed */
	    {"acct=27", MORTISE_AUTH_EXPIRED},    /* PAM_AUTHTOK_EXPIRED */
	    {"acct=6", MORTISE_AUTH_DISABLED},    /* not at this time of the day */
	    {"acct=7", MORTISE_AUTH_DISABLED}, {"acct=10", MORTISE_AUTH_UNKNOWN},
	    {"acct=4", MORTISE_AUTH_TEMP}, {"setcred=17", MORTISE_AUTH_OK}, /* not called */
	};
	size_t i;

	(void)state;
	open_with("", "");
	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(evil(cases[i].arguments, "x"), cases[i].result);
	/* codes that do not exist never let anybody in */
	assert_int_not_equal(evil("return=99", "x"), MORTISE_AUTH_OK);
	assert_int_not_equal(evil("return=-1", "x"), MORTISE_AUTH_OK);
	setting_close(&s);
	open_with("setcred = true;", "");
	assert_int_equal(evil("setcred=0", "x"), MORTISE_AUTH_OK);
	assert_int_equal(evil("setcred=17", "x"), MORTISE_AUTH_TEMP);
}

static void the_reason_is_told(void **state)
{
	struct buf why = BUF_INIT;

	(void)state;
	open_with("", "");
	assert_int_equal(attempt(service_of("acct=13"), "nobody", "x", NULL, &why), MORTISE_AUTH_EXPIRED);
	assert_non_null(strstr(buf_cstr(&why), "pam_acct_mgmt"));
	buf_free(&why);
}

static void services(void **state)
{
	char option[64];

	(void)state;
	snprintf(option, sizeof(option), "service = \"%s\";", service_of("password=right"));
	open_with(option, "");
	assert_int_equal(attempt("imap", "nobody", "right", NULL, NULL), MORTISE_AUTH_OK);
	setting_close(&s);
	/* no service file, no "other": nobody gets in */
	open_with("service = \"not-there\";", "");
	assert_int_equal(attempt("imap", "nobody", "right", NULL, NULL), MORTISE_AUTH_TEMP);
	setting_close(&s);
	/* a stack whose module is missing */
	open_with("", "");
	assert_int_equal(attempt("missing", "nobody", "right", NULL, NULL), MORTISE_AUTH_TEMP);
}

static void renamed_users(void **state)
{
	struct auth_identity i;

	(void)state;
	open_with("", "minimum_uid = 2;");
	assert_int_equal(attempt(service_of("rename=nobody"), "mail", "x", &i, NULL), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "nobody");
	assert_int_equal(
	    attempt(service_of("rename=root"), "nobody", "x", NULL, NULL), MORTISE_AUTH_DISABLED);
}

static void failures_do_not_wait(void **state)
{
	uint64_t before = clock_ms();

	(void)state;
	open_with("", "");
	assert_int_equal(evil("delay return=7", "x"), MORTISE_AUTH_MISMATCH);
	assert_true(
	    clock_ms() - before < 25000); /* it was asked to wait 30 s; the core waits, not the worker */
}

static int look_up(const char *arguments, const char *user, struct auth_identity *out)
{
	char option[64];
	struct buf why = BUF_INIT;
	int r;

	snprintf(option, sizeof(option), "service = \"%s\";", service_of(arguments));
	open_with(option, "");
	r = auth_lookup(s.chain, user, 0, s.arena, out, &why);
	if (r == MORTISE_AUTH_OK)
		assert_string_equal(out->user, user);
	buf_free(&why);
	setting_close(&s);
	is_open = false;
	return r;
}

static void lookup_asks_for_the_account(void **state)
{
	struct auth_identity i;

	(void)state;
	assert_int_equal(look_up("return=7", "nobody", &i), MORTISE_AUTH_OK); /* no password is asked for */
	assert_int_equal(look_up("acct=13", "nobody", &i), MORTISE_AUTH_EXPIRED);
	assert_int_equal(look_up("acct=13", "nosuchuser", &i), MORTISE_AUTH_EXPIRED);
	assert_int_equal(look_up("", "nosuchuser", &i), MORTISE_AUTH_UNKNOWN);
}

/* ---- modules that hang or crash, in the pool ---- */

static struct auth_pool *pool;
static int front, spawner;

static int answer(uint64_t id, const char *arguments, const char *password)
{
	struct buf b = BUF_INIT, initial = BUF_INIT;
	uint64_t until = clock_ms() + 20000;
	char message[4096];
	struct unpack u;
	ssize_t n = -1;
	int type;

	buf_add(&initial, "nobody", 7);
	buf_adds(&initial, password);
	pack_start(&b, AUTH_START);
	pack_u64(&b, id);
	pack_cstr(&b, "");
	pack_str(&b, buf_str(&initial));
	pack_cstr(&b, service_of(arguments));
	pack_cstr(&b, "192.0.2.1");
	pack_cstr(&b, "");
	pack_u32(&b, 1);
	pack_str(&b, STR_NONE);
	pack_str(&b, STR_NONE);
	assert_int_equal(io_send(front, b.p, b.n, NULL, 0), 0);
	while (n < 0 && clock_ms() < until) {
		(void)auth_pool_turn(pool, -1, clock_ms() + 5);
		n = io_recv(front, message, sizeof(message), NULL, NULL);
	}
	buf_free(&b);
	buf_free(&initial);
	type = unpack_start(&u, message, n > 0 ? (size_t)n : 0);
	assert_int_equal(unpack_u64(&u), id);
	return type == AUTH_OK ? MORTISE_AUTH_OK : type == AUTH_NO ? (int)unpack_u32(&u) : -1;
}

static void open_pool(const char *auth)
{
	int a[2], b[2];
	char offer[4096];

	open_with("", auth);
	pool = auth_pool_new(s.registry, &s.options, false, -1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, b), 0);
	(void)io_nonblock(a[1], 1);
	auth_pool_front(pool, a[0]);
	auth_pool_spawner(pool, b[0]);
	front = a[1];
	spawner = b[1];
	assert_true(io_recv(front, offer, sizeof(offer), NULL, NULL) > 0);
}

/* attack-063 */
static void modules_that_hang_or_crash(void **state)
{
	static const char *const bad[] = {"crash", "abort", "exit", "hang"};
	uint64_t id = 0;
	size_t i;

	(void)state;
	open_pool("attempt_timeout = \"400ms\"; failure_delay = 0;");
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		assert_int_equal(answer(++id, bad[i], "right"), MORTISE_AUTH_TEMP);
		s.options.attempt_timeout = 10000;
		assert_int_equal(answer(++id, "password=right", "right"), MORTISE_AUTH_OK);
		assert_int_equal(answer(++id, "password=right", "wrong"), MORTISE_AUTH_MISMATCH);
		s.options.attempt_timeout = 400;
	}
	s.options.attempt_timeout = 10000;
	assert_int_equal(answer(++id, "password=right fork", "right"), MORTISE_AUTH_OK);
	assert_int_equal(answer(++id, "password=right print", "right"), MORTISE_AUTH_OK);
	s.options.worker_attempts = 5; /* what leaks goes with its worker */
	for (i = 0; i < 20; i++)
		assert_int_equal(answer(++id, "password=right leak", "right"), MORTISE_AUTH_OK);
	auth_pool_free(&pool);
	io_close(&front);
	io_close(&spawner);
}

static void write_stack(const char *name, const char *module, const char *arguments)
{
	struct buf text = BUF_INIT;

	buf_printf(
	    &text, "auth required %s %s\naccount required %s %s\n", module, arguments, module, arguments);
	write_file(name, buf_cstr(&text));
	buf_free(&text);
}

/* pam_wrapper's own folder of modules; "" when it is not installed. */
static const char *matrix_module(void)
{
	static char path[256];
	glob_t found;

	if (path[0] == '\0' && glob("/usr/lib*/*/pam_wrapper/pam_matrix.so", 0, NULL, &found) == 0) {
		snprintf(path, sizeof(path), "%s", found.gl_pathv[0]);
		globfree(&found);
	}
	return path;
}

/* What the libraries lose themselves, for builds with sanitizers. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libpam\n";
}

static void write_services(void)
{
	struct buf module = BUF_INIT, arguments = BUF_INIT;
	size_t i;

	buf_printf(&module, "%s/authn/pam/.libs/test-evil.so", build_dir());
	for (i = 0; i < ARRAY_LEN(stacks); i++)
		write_stack(service_of(stacks[i]), buf_cstr(&module), stacks[i]);
	write_stack("missing", "pam_not_there.so", "");
	buf_printf(&arguments, "passdb=%s/users", folder);
	write_stack("matrix", matrix_module(), buf_cstr(&arguments));
	write_file(
	    "users", "nobody:neo's secret:matrix\nmail:x:matrix\ndaemon:x:other\nghost-account:x:matrix\n");
	buf_free(&module);
	buf_free(&arguments);
}

/* pam_wrapper makes a folder for each process and leaves it behind when that was killed, as workers are. */
static void remove_wrapper_folders(void)
{
	glob_t pids, files;
	size_t i, k;

	if (glob("/tmp/pam.?/pid", 0, NULL, &pids) != 0)
		return;
	for (i = 0; i < pids.gl_pathc; i++) {
		char text[32] = "", pattern[64];
		int fd = open(pids.gl_pathv[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		if (io_read(fd, text, sizeof(text) - 1) > 0 && kill(atoi(text), 0) != 0 && errno == ESRCH) {
			snprintf(pattern, sizeof(pattern), "%.10s/*", pids.gl_pathv[i]);
			if (glob(pattern, 0, NULL, &files) == 0) {
				for (k = 0; k < files.gl_pathc; k++)
					(void)unlink(files.gl_pathv[k]);
				globfree(&files);
			}
			pattern[10] = '\0';
			(void)rmdir(pattern);
		}
		close(fd);
	}
	globfree(&pids);
}

static void remove_services(void)
{
	static const char *const others[] = {"missing", "matrix", "users"};
	char path[128];
	size_t i;

	for (i = 0; i < ARRAY_LEN(stacks) + ARRAY_LEN(others); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder,
		    i < ARRAY_LEN(stacks) ? service_of(stacks[i]) : others[i - ARRAY_LEN(stacks)]);
		(void)unlink(path);
	}
	rmdir(folder);
	remove_wrapper_folders();
}

static void wrapped(char **argv)
{
	if (getenv("PAM_WRAPPER") != NULL)
		return;
	snprintf(folder, sizeof(folder), "/tmp/test-pam.XXXXXX");
	if (mkdtemp(folder) == NULL)
		exit(1);
	write_services();
	preload_library("libpam_wrapper.so");
	setenv("PAM_WRAPPER", "1", 1);
	setenv("PAM_WRAPPER_SERVICE_DIR", folder, 1);
	execv(argv[0], argv);
	exit(1);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(ordinary_answers), TEST(uids_below_the_floor), TEST(prompts),
	    TEST(what_codes_mean), TEST(the_reason_is_told), TEST(services), TEST(renamed_users),
	    TEST(failures_do_not_wait), TEST(lookup_asks_for_the_account), TEST(modules_that_hang_or_crash)};
	int r;

	(void)argc;
	wrapped(argv);
	snprintf(folder, sizeof(folder), "%s", getenv("PAM_WRAPPER_SERVICE_DIR"));
	if (loaded_library("libpam_wrapper")[0] == '\0' || matrix_module()[0] == '\0') {
		printf("1..0 # SKIP pam_wrapper is not installed\n");
		remove_services();
		return 0;
	}
	alarm(240);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	remove_services();
	return r;
}
