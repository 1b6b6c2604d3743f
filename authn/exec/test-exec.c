/* test-exec.c: the backend that asks a program, with well-behaved programs and with others. */
#include "../test-modules.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

static char folder[] = "/tmp/test-exec.XXXXXX";
static char path[64], made[64];
static struct setting s;
static bool is_open;

static void write_program(const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);

	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, text, strlen(text)), 0);
	close(fd);
}

static void open_with(const char *program, const char *more)
{
	char lists[512];

	write_program(program);
	snprintf(lists, sizeof(lists),
	    "passwords = ( { type = \"@/authn/exec/.libs/exec.so\"; name = \"exec\"; command = [ \"%s\", "
	    "\"%s\" ]; "
	    "%s } ); sasl = [];",
	    path, made, more);
	setting_open(&s, lists, "minimum_uid = 500;", false);
	is_open = true;
}

static int teardown(void **state)
{
	(void)state;
	if (is_open)
		setting_close(&s);
	is_open = false;
	unlink(path);
	unlink(made);
	return 0;
}

static int answer(const char *user, const char *password, struct auth_identity *out)
{
	return try_password(&s, user, password, out, NULL);
}

/* The example of mortise-exec(5), with a user for each answer and what was asked in a file. */
#define PYTHON                                                                                         \
	"#!/usr/bin/python3\n"                                                                         \
	"import sys\n"                                                                                 \
	"from urllib.parse import quote, unquote\n"                                                    \
	"users = {'fred': 'open sesame', 'j\\u00fcrgen': '100% = & \\u00fc\\ttab', '$(id) `id` %75': " \
	"'\"\\'\\\\'}\n"                                                                               \
	"log = open(sys.argv[1], 'a')\n"                                                               \
	"for line in sys.stdin:\n"                                                                     \
	"    print(line, end='', file=log, flush=True)\n"                                              \
	"    question, *words = line.split()\n"                                                        \
	"    q = {k: unquote(v) for k, v in (w.split('=', 1) for w in words)}\n"                       \
	"    password = users.get(q['user'])\n"                                                        \
	"    if password is None:\n"                                                                   \
	"        answer = q['user'] if q['user'] in ('next', 'disabled', 'expired', 'temp') else "     \
	"'unknown'\n"                                                                                  \
	"    elif question == 'verify' and q['password'] != password:\n"                               \
	"        answer = 'mismatch reason=' + quote('not that one')\n"                                \
	"    else:\n"                                                                                  \
	"        answer = 'ok name=' + quote(q['user']) + ' uid=1234 gid=1235 home=/home/x%20y "       \
	"option.a.b=' + quote('1 2')\n"                                                                \
	"    print(answer, flush=True)\n"

static char *asked(void)
{
	static char text[8192];
	int fd = open(made, O_RDONLY);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n >= 0);
	text[n] = '\0';
	close(fd);
	return text;
}

static void a_program(void **state)
{
	static const struct {
		const char *user;
		int result;
	} others[] = {{"nobody-there", MORTISE_AUTH_UNKNOWN}, {"next", MORTISE_AUTH_UNKNOWN},
	    {"disabled", MORTISE_AUTH_DISABLED}, {"expired", MORTISE_AUTH_EXPIRED},
	    {"temp", MORTISE_AUTH_TEMP}};
	struct auth_identity i;
	struct buf why = BUF_INIT;
	size_t n;

	(void)state;
	open_with(PYTHON, "");
	assert_int_equal(answer("fred", "open sesame", &i), MORTISE_AUTH_OK);
	assert_string_equal(i.user, "fred");
	assert_int_equal(i.uid, 1234);
	assert_int_equal(i.gid, 1235);
	assert_string_equal(i.home, "/home/x y");
	assert_int_equal(i.option_count, 1);
	assert_string_equal(i.options[0], "a.b=1 2");
	assert_int_equal(try_password(&s, "fred", "Open sesame", NULL, &why), MORTISE_AUTH_MISMATCH);
	assert_non_null(strstr(buf_cstr(&why), "not that one"));
	/* attack-042, attack-043, attack-067: what a user types is a value and nothing else */
	assert_int_equal(answer("j\xc3\xbcrgen", "100% = & \xc3\xbc\ttab", NULL), MORTISE_AUTH_OK);
	assert_int_equal(answer("$(id) `id` %75", "\"'\\", NULL), MORTISE_AUTH_OK);
	assert_int_equal(answer("fred", "x password=open%20sesame", NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("fred", "x\nok", NULL), MORTISE_AUTH_MISMATCH);
	for (n = 0; n < ARRAY_LEN(others); n++)
		assert_int_equal(answer(others[n].user, "x", NULL), others[n].result);
	buf_reset(&why);
	assert_int_equal(auth_lookup(s.chain, "fred", 0, s.arena, &i, &why), MORTISE_AUTH_OK);
	assert_int_equal(i.uid, 1234);
	assert_non_null(
	    strstr(asked(), "verify user=fred password=open%20sesame service=imap remote=192.0.2.1 "
	                    "local=192.0.2.2 tls=yes\n"));
	assert_non_null(strstr(asked(), "\nlookup user=fred\n"));
	buf_free(&why);
}

static void a_shell_script(void **state)
{
	(void)state;
	open_with(
	    "#!/bin/sh\nwhile read -r question user password rest; do\n"
	    "case \"$user $password\" in\n'user=ann password=right') echo ok uid=1234 gid=1234 home=/;;\n"
	    "user=ann*) echo mismatch;;\n*) echo unknown;;\nesac\ndone\n",
	    "");
	assert_int_equal(answer("ann", "right", NULL), MORTISE_AUTH_OK);
	assert_int_equal(answer("ann", "wrong", NULL), MORTISE_AUTH_MISMATCH);
	assert_int_equal(answer("bob", "right", NULL), MORTISE_AUTH_UNKNOWN);
}

/* A long password arrives whole; what is longer than any is refused before. */
static void long_words(void **state)
{
	char password[AUTH_PASSWORD_MAX + 1], user[AUTH_USER_MAX + 1];

	(void)state;
	memset(password, ' ', sizeof(password) - 1);
	password[sizeof(password) - 1] = '\0';
	memset(user, ' ', sizeof(user) - 1);
	user[sizeof(user) - 1] = '\0';
	open_with("#!/usr/bin/python3\nimport sys\nfor l in sys.stdin:\n"
	          "    print('ok uid=1234 gid=1234 home=/' if l.count('%20') == 255 + 4096 else 'mismatch', "
	          "flush=True)\n",
	    "");
	assert_int_equal(answer(user, password, NULL), MORTISE_AUTH_OK);
}

/* What is no answer is "cannot say": attack-073. Each is followed by a good one, from a new program. */
static void bad_answers(void **state)
{
	static const char *const bad[] = {"", "OK", "ok uid=1", "ok uid=x gid=1", "ok uid=-1 gid=1",
	    "ok uid=4294967295 gid=1", "ok  uid=1234 gid=1234", "ok uid=1234 gid=1234 ", "ok shell=/bin/sh",
	    "ok uid=1234 uid=0 gid=1234", "ok home=%", "ok home=%4", "ok home=%zz", "ok home=%00",
	    "ok home=/\\303\\274", "ok option.=x", "ok x", "ok =", "mismatch because", "verify user=x",
	    "ok uid=1234 gid=1234\\nok uid=1 gid=1", "ok\\000uid=1"};
	char program[512];
	size_t n;

	(void)state;
	for (n = 0; n < ARRAY_LEN(bad); n++) {
		snprintf(program, sizeof(program),
		    "#!/bin/sh\nwhile read -r q u r; do case $u in user=good) echo ok uid=1234 gid=1234 "
		    "home=/;; "
		    "*) printf '%s\\n';; esac; done\n",
		    bad[n]);
		open_with(program, "");
		if (answer("fred", "x", NULL) != MORTISE_AUTH_TEMP)
			fail_msg("\"%s\" was taken for an answer", bad[n]);
		assert_int_equal(answer("good", "x", NULL), MORTISE_AUTH_OK);
		teardown(NULL);
	}
}

static void uid_zero_is_refused(void **state)
{
	(void)state;
	/* attack-066 */
	open_with("#!/bin/sh\nwhile read -r l; do echo ok uid=0 gid=0 home=/root; done\n", "");
	assert_int_equal(answer("fred", "x", NULL), MORTISE_AUTH_DISABLED);
}

/* Programs that end, hang, chatter: the attempt is lost, the next one is not. */
static void bad_programs(void **state)
{
	char long_line[256];

	(void)state;
	open_with("#!/bin/sh\nexit 3\n", "");
	assert_int_equal(answer("fred", "x", NULL), MORTISE_AUTH_TEMP);
	assert_int_equal(answer("fred", "x", NULL), MORTISE_AUTH_TEMP);
	teardown(NULL);
	open_with("#!/bin/sh\nread -r l; echo ok uid=1234 gid=1234 home=/; exit 0\n", "");
	assert_int_equal(answer("fred", "x", NULL), MORTISE_AUTH_OK);
	assert_int_equal(answer("fred", "x", NULL), MORTISE_AUTH_OK); /* started again */
	teardown(NULL);
	open_with("#!/bin/sh\necho hello\nwhile read -r l; do echo ok uid=1234 gid=1234 home=/; done\n", "");
	assert_int_equal(answer("fred", "x", NULL), MORTISE_AUTH_TEMP);
	teardown(NULL);
	snprintf(long_line, sizeof(long_line), "#!/bin/sh\nread -r l; printf '%%0100d'; sleep 30\n");
	open_with(long_line, "answer_max = 64;");
	assert_int_equal(answer("fred", "x", NULL), MORTISE_AUTH_TEMP);
	teardown(NULL);
	open_with("not a program", "");
	assert_int_equal(answer("fred", "x", NULL), MORTISE_AUTH_TEMP);
}

/* It is killed with what it has started; nobody waits longer than the option says. */
static void a_hanging_program(void **state)
{
	uint64_t before = clock_ms();
	char *text;
	long pid;
	int i;

	(void)state;
	open_with("#!/bin/sh\nsleep 60 & echo $! >\"$1\"\nread -r l; wait\n", "timeout = \"300ms\";");
	assert_int_equal(answer("fred", "x", NULL), MORTISE_AUTH_TEMP);
	assert_true(clock_ms() - before < 30000);
	text = asked();
	pid = strtol(text, NULL, 10);
	assert_true(pid > 1);
	for (i = 0; i < 1000 && kill((pid_t)pid, 0) == 0; i++)
		usleep(10000);
	assert_true(kill((pid_t)pid, 0) < 0 && errno == ESRCH);
}

/* Neither descriptors nor environment nor blocked signals come along. */
static void it_inherits_nothing(void **state)
{
	const char *text;

	(void)state;
	setenv("SECRET", "x", 1);
	open_with(
	    "#!/usr/bin/python3\nimport os, sys\nout = open(sys.argv[1], 'w')\nfor l in sys.stdin:\n"
	    "    fds = [f for f in os.listdir('/proc/self/fd') if int(f) > 2 and "
	    "os.path.exists('/proc/self/fd/' + f)]\n"
	    "    print(sorted(k for k in os.environ if k != 'LC_CTYPE'), len(fds), file=out, flush=True)\n"
	    "    print('unknown', flush=True)\n",
	    "");
	assert_int_equal(answer("fred", "x", NULL), MORTISE_AUTH_UNKNOWN);
	text = asked();
	assert_string_equal(text, "['PATH'] 1\n"); /* the 1: the file it has opened itself */
	unsetenv("SECRET");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_teardown(a_program, teardown),
	    cmocka_unit_test_teardown(a_shell_script, teardown),
	    cmocka_unit_test_teardown(long_words, teardown),
	    cmocka_unit_test_teardown(bad_answers, teardown),
	    cmocka_unit_test_teardown(uid_zero_is_refused, teardown),
	    cmocka_unit_test_teardown(bad_programs, teardown),
	    cmocka_unit_test_teardown(a_hanging_program, teardown),
	    cmocka_unit_test_teardown(it_inherits_nothing, teardown),
	};
	int r;

	if (mkdtemp(folder) == NULL)
		return 1;
	snprintf(path, sizeof(path), "%s/program", folder);
	snprintf(made, sizeof(made), "%s/made", folder);
	r = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	return r;
}
