#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "log/log_int.h"
#include "log/log_sink.h"
#include "base/banned.h"

static int pair[2];
static char datagram[LOG_RECORD_MAX];
static char folder[] = "/tmp/mortise-log-XXXXXX";

static int setup(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	log_start("test");
	log_use_socket(pair[0]);
	log_set_level(LOG_LEVEL_INFO);
	clock_test_advance(10000); /* a new second for the rate limit */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_use_socket(-1);
	log_set_session(NULL);
	log_set_user(NULL);
	log_set_mailbox(NULL);
	log_set_debug("");
	log_state.dropped = 0;
	io_close(&pair[0]);
	io_close(&pair[1]);
	return 0;
}

/* The next record, or false when none is waiting. */
static bool next(struct log_record *r)
{
	ssize_t n = recv(pair[1], datagram, sizeof(datagram), MSG_DONTWAIT);

	if (n <= 0)
		return false;
	assert_true(log_record_decode(r, datagram, (size_t)n));
	return true;
}

static const char *line_of(const struct log_record *r, enum log_line_style style)
{
	static char line[LOG_RECORD_MAX];

	log_record_line(r, style, "host", line, sizeof(line));
	return line;
}

static void a_line_has_its_parts(void **state)
{
	struct log_record r;
	char expected[200];

	(void)state;
	log_set_session("ab12");
	log_set_user("fred");
	log_set_mailbox("INBOX");
	log_msg(MSG_ASSERT, "it is %d", 42);
	assert_true(next(&r));
	snprintf(expected, sizeof(expected),
	    "test[%d]: session \"ab12\", user \"fred\", mailbox \"INBOX\": MRT-0100 error: it is 42\n",
	    (int)getpid());
	assert_string_equal(line_of(&r, LOG_LINE_BARE), expected);
	assert_string_equal(line_of(&r, LOG_LINE_TEXT),
	    "session \"ab12\", user \"fred\", mailbox \"INBOX\": MRT-0100 error: it is 42\n");
	/* 2026-01-31T12:00:00.123+01:00 host test[…]: … */
	assert_int_equal(line_of(&r, LOG_LINE_FULL)[10], 'T');
	assert_ptr_equal(strstr(line_of(&r, LOG_LINE_FULL), " host test["), line_of(&r, LOG_LINE_FULL) + 29);
	assert_int_equal(r.pid, getpid());
	log_set_session(NULL);
	log_set_user("");
	log_set_mailbox(NULL);
	log_msg(MSG_ASSERT, "x");
	assert_true(next(&r));
	assert_string_equal(line_of(&r, LOG_LINE_TEXT), "MRT-0100 error: x\n");
}

/* attack: a client forges a line, moves the cursor, or turns the text around. */
static void lines_cannot_be_forged(void **state)
{
	struct log_record r;

	(void)state;
	log_set_user("a\nb\": MRT-0100 error: x");
	log_msg(MSG_ASSERT, "%s",
	    "one\r\nMar 1 two \x1b[2J\x7f \xc2\x9b \xe2\x80\xae \xff \xc0\xaf \xed\xa0\x80 g\xc3\xbc");
	assert_true(next(&r));
	assert_string_equal(line_of(&r, LOG_LINE_TEXT),
	    "user \"a\\x0ab\\x22: MRT-0100 error: x\": MRT-0100 error: "
	    "one\\x0d\\x0aMar 1 two \\x1b[2J\\x7f \\xc2\\x9b \\xe2\\x80\\xae \\xff \\xc0\\xaf "
	    "\\xed\\xa0\\x80 g\xc3\xbc\n");
}

/* A role that sends raw control characters in a record still makes one line. */
static void a_hostile_record_makes_one_line(void **state)
{
	static const char raw[] = "1\0"
	                          "10\0"
	                          "0\0"
	                          "5\0"
	                          "7\0"
	                          "ro\nle\0"
	                          "s\n\0"
	                          "u\r\0"
	                          "m\0"
	                          "\0"
	                          "t\next\n";
	struct log_record r;
	const char *line;

	(void)state;
	assert_true(log_record_decode(&r, raw, sizeof(raw)));
	line = line_of(&r, LOG_LINE_FULL);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	assert_null(strchr(line, '\r'));
}

/* attack-143: garbage, truncated and overlong records are refused. */
static void bad_records_are_refused(void **state)
{
	char out[LOG_RECORD_MAX], long_field[LOG_FIELD_MAX + 50];
	struct log_record r = {.level = 10,
	                      .number = 100,
	                      .time = 1,
	                      .pid = 2,
	                      .role = "a",
	                      .session = "b",
	                      .user = "c",
	                      .mailbox = "d",
	                      .module = "e",
	                      .text = "f"},
	                  back;
	size_t n = log_record_encode(&r, out, sizeof(out)), i;

	(void)state;
	assert_true(log_record_decode(&back, out, n));
	assert_string_equal(back.module, "e");
	for (i = 0; i < n; i++)
		assert_false(log_record_decode(&back, out, i));
	out[n] = '\0';
	assert_false(log_record_decode(&back, out, n + 1)); /* one field too many */
	out[0] = '2';
	assert_false(log_record_decode(&back, out, n)); /* another version */
	out[0] = '1';
	out[2] = 'x';
	assert_false(log_record_decode(&back, out, n)); /* no number */
	memset(long_field, 'u', sizeof(long_field));
	long_field[sizeof(long_field) - 1] = '\0';
	r.user = long_field; /* cut when sent */
	n = log_record_encode(&r, out, sizeof(out));
	assert_true(log_record_decode(&back, out, n));
	assert_int_equal(strlen(back.user), LOG_FIELD_MAX);
	assert_false(log_record_decode(&back, "", 0));
}

static void long_text_is_cut(void **state)
{
	static char text[20000];
	struct log_record r;

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	log_msg(MSG_ASSERT, "%s", text);
	memset(text, '\n', sizeof(text) - 1);
	log_msg(MSG_ASSERT, "%s", text);
	assert_true(next(&r));
	assert_int_equal(strlen(r.text), LOG_TEXT_MAX - 1);
	assert_true(next(&r));
	assert_true(strlen(r.text) < LOG_TEXT_MAX && strlen(r.text) % 4 == 0); /* no half \xNN */
}

static void levels_and_debug_areas(void **state)
{
	struct log_record r;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	log_msg(MSG_LOG_LOST, "a warning");
	log_debug("store", "no");
	assert_false(next(&r));
	log_set_debug("store, unix");
	assert_true(log_debugging("unix"));
	assert_false(log_debugging("uni"));
	assert_false(log_debugging("all"));
	log_debug("store", "yes %s", "it is");
	assert_true(next(&r));
	assert_string_equal(line_of(&r, LOG_LINE_TEXT), "debug: store: yes it is\n");
	log_set_debug("all");
	assert_true(log_debugging("anything"));
	log_set_debug(NULL);
	assert_false(log_debugging("anything"));
}

static void say_module(const char *instance, int level, const char *format, ...) PRINTF_LIKE(3, 4);
static void say_module(const char *instance, int level, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	log_module(instance, level, format, ap);
	va_end(ap);
}

static void modules_have_their_own_numbers(void **state)
{
	struct log_record r;

	(void)state;
	say_module("home", LOG_LEVEL_WARN, "[UNIX-017] %s", "odd");
	assert_true(next(&r));
	assert_string_equal(line_of(&r, LOG_LINE_TEXT), "module \"home\": UNIX-017 warning: odd\n");
	say_module("home", LOG_LEVEL_INFO, "[not] a number");
	assert_true(next(&r));
	assert_string_equal(line_of(&r, LOG_LINE_TEXT), "module \"home\": info: [not] a number\n");
	say_module("home", LOG_LEVEL_DEBUG, "quiet");
	assert_false(next(&r));
	log_set_debug("home");
	say_module("home", LOG_LEVEL_DEBUG, "loud");
	assert_true(next(&r));
}

static void errno_survives_and_m_works(void **state)
{
	struct log_record r;

	(void)state;
	errno = ENOSPC;
	log_msg(MSG_ASSERT, "%m");
	assert_int_equal(errno, ENOSPC);
	assert_true(next(&r));
	assert_string_equal(r.text, "No space left on device");
}

static void errors_carry_their_code(void **state)
{
	struct err e = ERR_INIT;
	struct log_record r;

	(void)state;
	err_fault(&e, MORTISE_E_QUOTA, "disk %s", "full");
	log_err(MSG_ASSERT, &e, "append");
	assert_true(next(&r));
	assert_string_equal(r.text, "append: disk full (QUOTA)");
}

static void equal_messages_are_limited(void **state)
{
	struct log_record r;
	unsigned i, n = 0;

	(void)state;
	for (i = 0; i < LOG_RATE + 15; i++)
		log_msg(MSG_ASSERT, "%u", i);
	log_msg(MSG_CRASH, "another number");
	while (next(&r))
		n++;
	assert_int_equal(n, LOG_RATE + 1);
	clock_test_advance(1000);
	log_msg(MSG_CRASH, "next second");
	assert_true(next(&r));
	assert_int_equal(r.number, MSG_LOG_LEFT_OUT);
	assert_string_equal(r.text, "15 more like MRT-0100 were left out");
	assert_true(next(&r));
	assert_string_equal(r.text, "next second");
	assert_false(next(&r));
}

static void modules_are_limited_too(void **state)
{
	struct log_record r;
	unsigned i, n = 0;

	(void)state;
	for (i = 0; i < 100; i++)
		say_module("m", LOG_LEVEL_INFO, "%u", i);
	while (next(&r))
		n++;
	assert_int_equal(n, LOG_RATE);
}

/* attack-153: the log role is blocked; the sender goes on and tells later how much was lost. */
static void a_full_socket_drops_and_counts(void **state)
{
	struct log_record r;
	unsigned i, n = 0, dropped;
	char text[40];

	(void)state;
	log_set_debug("x");
	for (i = 0; i < 100000 && log_state.dropped < 10; i++)
		log_debug("x", "%0500u", i);
	assert_int_equal(log_state.dropped, 10);
	dropped = (unsigned)log_state.dropped;
	while (next(&r))
		n++;
	assert_int_equal(n + dropped, i);
	log_debug("x", "after");
	assert_true(next(&r));
	assert_int_equal(r.number, MSG_LOG_DROPPED);
	snprintf(text, sizeof(text), "%u lines were dropped", dropped);
	assert_ptr_equal(strstr(r.text, text), r.text);
	assert_true(next(&r));
	assert_string_equal(r.text, "x: after");
}

static void a_dead_log_role_is_survived(void **state)
{
	(void)state;
	io_close(&pair[1]);
	log_msg(MSG_ASSERT, "nobody listens"); /* no SIGPIPE */
	assert_int_equal(log_state.dropped, 1);
}

static void an_assertion_is_logged(void **state)
{
	struct log_record r;
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		freopen("/dev/null", "w", stderr);
		signal(SIGABRT, SIG_DFL);
		assert_failed("f.c", 7, "g", "x > 0");
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_true(next(&r));
	assert_int_equal(r.number, MSG_ASSERT);
	assert_string_equal(r.text, "f.c:7: g: assertion failed: x > 0");
}

static void a_crash_leaves_crumbs(void **state)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	struct log_record r;
	size_t i;

	(void)state;
	if (strcmp(MORTISE_FLAVOUR, "sanitizer") == 0)
		return; /* not skip(): its TAP line is "not ok" */
	for (i = 0; i < ARRAY_LEN(signals); i++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			log_catch_crashes();
			log_crumb("unix", "append");
			raise(signals[i]);
			_exit(1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
		assert_true(next(&r));
		assert_int_equal(r.number, MSG_CRASH);
		assert_non_null(strstr(r.text, "in module \"unix\", callback append, pc 0x"));
		assert_non_null(strstr(r.text, "build id "));
		assert_null(strstr(r.text, "unknown"));
		assert_false(next(&r)); /* once */
	}
}

/* A stack overflow has no stack to tell itself on; the handler brings its own. */
static int fall(volatile int depth)
{
	volatile char room[4096];

	room[0] = (char)depth;
	return depth == -1 ? 0 : fall(depth + 1) + room[0];
}

static void a_stack_overflow_is_told(void **state)
{
	struct log_record r;
	int status;
	pid_t pid;

	(void)state;
	if (strcmp(MORTISE_FLAVOUR, "sanitizer") == 0)
		return;
	pid = fork();
	if (pid == 0) {
		log_catch_crashes();
		_exit(fall(0));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	assert_true(next(&r));
	assert_non_null(strstr(r.text, "crashed: SIGSEGV"));
	assert_non_null(strstr(r.text, "in the core"));
}

static void every_message_has_help(void **state)
{
	(void)state;
	assert_true(strlen(log_help(MSG_ASSERT)) > 20);
	assert_true(strlen(log_help(MSG_CONF_UNUSED)) > 20);
	assert_string_equal(log_help((enum log_id)1), "");
}

static const struct log_record sample = {.level = LOG_LEVEL_WARN,
    .number = 102,
    .time = 1000,
    .pid = 7,
    .role = "front",
    .session = "s1",
    .user = "u\nMESSAGE=forged",
    .mailbox = "",
    .module = "",
    .text = "hello"};

static const char *path_in(const char *name)
{
	static char path[100];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int make_socket(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, path, strlen(path));
	unlink(path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static const char *receive(int fd)
{
	static char text[LOG_RECORD_MAX];
	ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void the_file_sink_appends_and_rotates(void **state)
{
	struct err e = ERR_INIT;
	struct log_sink *s;
	char moved[100], text[500] = "";
	int fd;

	(void)state;
	s = log_sink_open(LOG_TARGET_FILE, path_in("log"), 2, &e);
	assert_non_null(s);
	log_sink_write(s, &sample);
	snprintf(moved, sizeof(moved), "%s/log.1", folder);
	assert_int_equal(rename(path_in("log"), moved), 0);
	assert_int_equal(log_sink_reopen(s, &e), 0);
	log_sink_write(s, &sample);
	log_sink_close(&s);
	fd = open(moved, O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	assert_non_null(strstr(
	    text, " front[7]: session \"s1\", user \"u\\x0aMESSAGE=forged\": MRT-0102 warning: hello\n"));
	assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n'));
	assert_int_equal(access(path_in("log"), R_OK), 0);
	assert_null(log_sink_open(LOG_TARGET_FILE, "/no/such/folder/x", 2, &e));
	assert_int_equal(e.code, MORTISE_E_NOTFOUND);
	err_clear(&e);
	assert_null(log_sink_open(LOG_TARGET_FILE, "", 2, &e));
}

static void a_full_disk_is_counted(void **state)
{
	struct err e = ERR_INIT;
	struct log_sink *s = log_sink_open(LOG_TARGET_FILE, "/dev/full", 2, &e);

	(void)state;
	assert_non_null(s);
	log_sink_write(s, &sample);
	log_sink_write(s, &sample);
	assert_int_equal(log_sink_lost(s), 2);
	log_sink_close(&s);
}

static void the_syslog_sink_speaks_rfc3164(void **state)
{
	struct err e = ERR_INIT;
	int fd = make_socket(path_in("dev-log"));
	struct log_sink *s = log_sink_open(LOG_TARGET_SYSLOG, path_in("dev-log"), 16 /* local0 */, &e);
	const char *text;

	(void)state;
	assert_non_null(s);
	log_sink_write(s, &sample);
	text = receive(fd);
	assert_ptr_equal(strstr(text, "<132>"), text); /* 16 * 8 + warning */
	assert_ptr_equal(strstr(text, " mortise-front[7]: session \"s1\""), text + 5 + 15);
	assert_null(strchr(text, '\n'));
	/* syslogd restarts: a new socket in the same place */
	close(fd);
	fd = make_socket(path_in("dev-log"));
	log_sink_write(s, &sample);
	assert_non_null(strstr(receive(fd), "hello"));
	/* and is gone for a while */
	close(fd);
	unlink(path_in("dev-log"));
	log_sink_write(s, &sample);
	assert_int_equal(log_sink_lost(s), 1);
	fd = make_socket(path_in("dev-log"));
	log_sink_write(s, &sample);
	assert_non_null(strstr(receive(fd), "MRT-0104 warning: 1 lines were lost"));
	assert_non_null(strstr(receive(fd), "hello"));
	assert_int_equal(log_sink_lost(s), 0);
	log_sink_close(&s);
	close(fd);
}

static void the_journal_gets_fields(void **state)
{
	struct err e = ERR_INIT;
	int fd = make_socket(path_in("journal"));
	struct log_sink *s = log_sink_open(LOG_TARGET_JOURNALD, path_in("journal"), 2, &e);

	(void)state;
	assert_non_null(s);
	log_sink_write(s, &sample);
	assert_string_equal(receive(fd),
	    "PRIORITY=4\nSYSLOG_IDENTIFIER=mortise\nSYSLOG_FACILITY=2\nMORTISE_PID=7\n"
	    "MORTISE_NUMBER=MRT-0102\nMORTISE_ROLE=front\nMORTISE_SESSION=s1\n"
	    "MORTISE_USER=u\\x0aMESSAGE=forged\n"
	    "MESSAGE=session \"s1\", user \"u\\x0aMESSAGE=forged\": MRT-0102 warning: hello\n");
	log_sink_close(&s);
	close(fd);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"log", "log.1", "dev-log", "journal"};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++)
		unlink(path_in(names[i]));
	return rmdir(folder);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_line_has_its_parts),
	    TEST(lines_cannot_be_forged),
	    TEST(a_hostile_record_makes_one_line),
	    TEST(bad_records_are_refused),
	    TEST(long_text_is_cut),
	    TEST(levels_and_debug_areas),
	    TEST(modules_have_their_own_numbers),
	    TEST(errno_survives_and_m_works),
	    TEST(errors_carry_their_code),
	    TEST(equal_messages_are_limited),
	    TEST(modules_are_limited_too),
	    TEST(a_full_socket_drops_and_counts),
	    TEST(a_dead_log_role_is_survived),
	    TEST(an_assertion_is_logged),
	    TEST(a_crash_leaves_crumbs),
	    TEST(a_stack_overflow_is_told),
	    TEST(every_message_has_help),
	    TEST(the_file_sink_appends_and_rotates),
	    TEST(a_full_disk_is_counted),
	    TEST(the_syslog_sink_speaks_rfc3164),
	    TEST(the_journal_gets_fields),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
