/* imapctl, run as a program on an index that is made here. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/io.h"
#include "store/index.h"
#include "base/banned.h"

static const struct index_options options = {16 << 20, 16 << 20, 300000, 1000};
static char directory[64], config[96];
static struct buf output;
static struct err e;

#define NOBODY 65534

/* Exit status; what it printed is in `output`. */
static int imapctl(const char *command, const char *mailbox)
{
	const char *build = getenv("top_builddir");
	char program[512];
	const char *arguments[] = {
	    program, "--config", config, "--state-dir", directory, "index", command, mailbox, NULL};
	int ends[2], status;
	char piece[1024];
	ssize_t n;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/imapctl", build != NULL ? build : ".");
	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(ends[1], 1);
		(void)dup2(ends[1], 2);
		(void)close(ends[0]);
		(void)execv(program, (char *const *)(uintptr_t)arguments);
		_exit(99);
	}
	(void)close(ends[1]);
	buf_reset(&output);
	while ((n = io_read(ends[0], piece, sizeof(piece))) > 0)
		buf_add(&output, piece, (size_t)n);
	(void)close(ends[0]);
	assert_true(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool said(const char *text)
{
	if (strstr(buf_cstr(&output), text) != NULL)
		return true;
	print_message("%s\n", buf_cstr(&output));
	return false;
}

static void fill_mailbox(struct index *x, struct str identity)
{
	struct index_row row = {
	    .uid = 7, .modseq = 5, .locator_size = 1, .locator = (const unsigned char *)"x"};
	struct index_head head = {.uidvalidity = 4711,
	    .uidnext = 8,
	    .highest = 7,
	    .highestmodseq = 5,
	    .messages = 1,
	    .counted_uids = true,
	    .octets = MORTISE_SIZE_UNKNOWN,
	    .keyword_count = 1};
	struct index_commit c = {.head = &head, .rows = &row, .row_count = 1, .durable = true};
	struct str value = STR("a comment");
	uint64_t box, generation;

	head.keywords[0] = (struct index_keyword){"$Forwarded", false, 0};
	assert_int_equal(index_mailbox(x, identity, &box, &e), 0);
	assert_int_equal(index_commit(x, box, &c, &generation, &e), 0);
	assert_int_equal(index_attribute_set(x, box, STR("/comment"), &value, &e), 0);
	index_wire_put(x, box, 7, INDEX_ENVELOPE, STR(""), STR("()"));
}

/* As the user whose index it is: nobody, when the test is root. */
static int fill(void **state)
{
	AUTO_CLOSE int fd = -1;
	char home[128];
	pid_t pid;
	int status;

	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/test-imapctl.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(config, sizeof(config), "%s/imapd.conf", directory);
	fd = open(config, O_WRONLY | O_CREAT, 0644);
	snprintf(home, sizeof(home), "store = { mail_dir = \"/m\"; inbox = [ \"/spool/u\" ]; };\n");
	assert_true(fd >= 0 && io_write(fd, home, strlen(home)) == 0);
	if (geteuid() == 0)
		assert_int_equal(chown(directory, NOBODY, NOBODY), 0);
	pid = fork();
	if (pid == 0) {
		struct index *x;

		if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
			_exit(1);
		if (index_open(&options, directory, &x, &e) != 0)
			_exit(2);
		fill_mailbox(x, (struct str){"mh\0/m/a/b", 9});
		fill_mailbox(x, (struct str){"unix\0/spool/u", 13});
		index_close(&x);
		_exit(0);
	}
	assert_true(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

static int empty(void **state)
{
	static const char *const names[] = {"index.cache", "index.cache-lock", "index.state",
	    "index.state-lock", "index.state.damaged", "imapd.conf"};
	char path[128];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		(void)unlink(path);
	}
	buf_free(&output);
	return rmdir(directory);
}

static void show_tells_what_is_known(void **state)
{
	(void)state;
	assert_int_equal(imapctl("show", "a/b"), 0);
	assert_true(said("/m/a/b\n") && said("driver           mh\n") && said("UIDVALIDITY      4711\n"));
	assert_true(said("UIDNEXT          8, counted") && said("$Forwarded (kept here)"));
	assert_true(said("1 wire forms, 1 attributes"));
	assert_null(strstr(buf_cstr(&output), "/spool/u"));
	assert_int_equal(imapctl("show", "inbox"), 0);
	assert_true(said("/spool/u\n") && said("driver           unix\n"));
	assert_int_equal(imapctl("show", "/m/a/b"), 0);
	assert_int_equal(imapctl("show", "--all"), 0);
	assert_true(said("/m/a/b\n") && said("/spool/u\n"));
	assert_int_equal(imapctl("show", "elsewhere"), 1);
	assert_true(said("does not know \"elsewhere\""));
}

static void verify_finds_damage(void **state)
{
	char path[128], page[4096];
	int fd;
	off_t at;

	(void)state;
	assert_int_equal(imapctl("verify", "--all"), 0);
	assert_true(said("2 mailboxes, 2 messages, 2 wire forms, 2 attributes;") && said("; 0 damaged\n"));
	assert_int_equal(imapctl("verify", "a/b"), 0);
	assert_true(said("1 mailboxes, 1 messages, 1 wire forms"));
	snprintf(path, sizeof(path), "%s/index.state", directory);
	fd = open(path, O_RDWR);
	for (at = 0; io_pread(fd, page, sizeof(page), (uint64_t)at) == (ssize_t)sizeof(page);
	     at += (off_t)sizeof(page)) {
		char *comment = memmem(page, sizeof(page), "a comment", 9);

		if (comment == NULL)
			continue;
		*comment ^= 1;
		assert_int_equal(io_pwrite(fd, page, sizeof(page), (uint64_t)at), 0);
	}
	(void)close(fd);
	assert_int_equal(imapctl("verify", "--all"), 1);
	assert_null(strstr(buf_cstr(&output), "; 0 damaged"));
}

static void drop_forgets(void **state)
{
	(void)state;
	assert_int_equal(imapctl("drop", "a/b"), 0);
	assert_true(said("1 mailbox forgotten"));
	assert_int_equal(imapctl("show", "a/b"), 1);
	assert_int_equal(imapctl("drop", "--all"), 0);
	assert_true(said("1 mailbox forgotten"));
	assert_int_equal(imapctl("verify", "--all"), 0);
	assert_true(said("0 mailboxes, 0 messages, 0 wire forms, 0 attributes"));
}

static void wrong_use(void **state)
{
	(void)state;
	assert_int_equal(imapctl("frobnicate", "INBOX"), 64);
	assert_int_equal(imapctl("show", NULL), 64);
	assert_true(said("usage:"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(show_tells_what_is_known, fill, empty),
	    cmocka_unit_test_setup_teardown(verify_finds_damage, fill, empty),
	    cmocka_unit_test_setup_teardown(drop_forgets, fill, empty),
	    cmocka_unit_test_setup_teardown(wrong_use, fill, empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
