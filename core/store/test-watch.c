/* What wakes a session that waits: the mailbox's files, an INBOX that comes into being, the index. */
#include <fcntl.h>
#include <poll.h>

#include "base/clock.h"
#include "base/io.h"
#include "store/test-support.h"
#include "base/banned.h"

static bool readable(int fd, int timeout)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout) == 1;
}

static int open_descriptors(void)
{
	int n = 0, fd;

	for (fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_watch(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	int fd, before, i;

	append_three(f, "x");
	ok(f, mailbox_open(f->s, "x", 0, &m, &f->e));
	fd = mailbox_watch(m, &f->e);
	assert_true(fd >= 0);
	before = open_descriptors();
	for (i = 0; i < 50; i++) {
		assert_int_equal(mailbox_watch(m, &f->e), fd);
		put_file(f, "mail/other", "x");
		assert_false(readable(fd, 0));
		assert_int_equal(utimensat(AT_FDCWD, arena_printf(f->a, "%s/mail/x", f->home), NULL, 0), 0);
		assert_true(readable(fd, 5000));
		mailbox_watch_read(m);
		/* Replaced: what is there now is watched. */
		put_file(f, "mail/new", "x");
		assert_int_equal(rename(arena_printf(f->a, "%s/mail/new", f->home),
		                     arena_printf(f->a, "%s/mail/x", f->home)),
		    0);
		assert_true(readable(fd, 5000));
		mailbox_watch_read(m);
		while (readable(fd, 0))
			mailbox_watch_read(m);
		put_file(f, "mail/x", "again");
		assert_true(readable(fd, 5000));
		mailbox_watch_read(m);
	}
	assert_int_equal(open_descriptors(), before);
	mailbox_close(&m);
	assert_true(open_descriptors() < before);
}

static void test_watch_missing_inbox(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v;
	int fd;

	v = open_view(f, f->s, "INBOX", 0, &m);
	fd = mailbox_watch(m, &f->e);
	assert_true(fd >= 0);
	assert_false(readable(fd, 0));
	append_one(f, "INBOX", ONE, 0);
	assert_true(readable(fd, 5000));
	mailbox_watch_read(m);
	assert_string_equal(update_text(f, v, 0), "exists 1 recent 1 ");
	assert_int_equal(mailbox_watch(m, &f->e), fd);
	view_close(&v);
	mailbox_close(&m);
}

/* A missing INBOX may come at a place that is not the first that could be written to. */
static void test_watch_all_places(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v;
	int fd;

	put_file(f, "spool", NULL);
	v = open_view(f, f->s, "INBOX", 0, &m);
	fd = mailbox_watch(m, &f->e);
	assert_true(fd >= 0);
	put_file(f, "mbox", "");
	assert_true(readable(fd, 5000));
	mailbox_watch_read(m);
	append_one(f, "INBOX", ONE, 0);
	assert_string_equal(update_text(f, v, 0), "exists 1 recent 1 ");
	assert_false(exists(f, "spool/fred"));
	view_close(&v);
	mailbox_close(&m);
}

/* What only the index holds wakes other sessions, too. */
static void test_watch_index(void **state)
{
	struct fixture *f = *state;
	struct store *other = fixture_other(f);
	struct number_set all = uid_set(f, "1:*");
	struct str name = STR_INIT("word");
	struct mailbox *m, *n;
	struct view *v;
	int fd;

	append_three(f, "x");
	set_option(f, MEMORY(f), "keywords", "0");
	v = open_view(f, f->s, "x", 0, &m);
	ok(f, mailbox_open(other, "x", 0, &n, &f->e));
	fd = mailbox_watch(m, &f->e);
	assert_true(fd >= 0);
	mailbox_watch_read(m);
	assert_string_equal(update_text(f, v, 0), "");
	assert_int_equal(io_wait(fd, POLLIN, 1), 0);
	ok(f, mailbox_store_flags(n, &all, FLAGS_ADD, 0, &name, 1, NULL, NULL, &f->e));
	assert_int_equal(io_wait(fd, POLLIN, clock_ms() + 10000), 1);
	mailbox_watch_read(m);
	assert_string_equal(update_text(f, v, 0), "keywords flags 1=+0 flags 2=S+0 flags 3=D+0 ");
	view_close(&v);
	mailbox_close(&m);
	mailbox_close(&n);
	store_close(&other);
}

#define T(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_watch), T(test_watch_missing_inbox), T(test_watch_all_places), T(test_watch_index)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
