/* Names, creating, deleting, renaming, listing, subscribing. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/test-support.h"
#include "base/banned.h"

static int parse(struct fixture *f, const char *text, unsigned how)
{
	struct name n;

	return name_parse(f->s, text, how, f->a, &n, &f->e);
}

/* attack-047, attack-089: names that are no names. */
static void test_bad_names(void **state)
{
	static const char *const bad[] = {"", "/", "/etc/passwd", "a//b", "a/", "../x", "a/../b", "a/..", ".",
	    "..", "a/./b", "a\nb", "a\rb",
	    "a\x01"
	    "b",
	    "a\x7f", "\xc2\x85x",
	    "a\xe2\x80\xa8"
	    "b",
	    "\xff", "\xc0\xaf", "a\xed\xa0\x80", "a\xf4\x90\x80\x80"};
	struct fixture *f = *state;
	AUTO_BUF struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++)
		fails(f, parse(f, bad[i], 0), MORTISE_E_INVALID);
	for (i = 0; i < 10240; i++)
		buf_addc(&b, 'x');
	fails(f, parse(f, buf_cstr(&b), 0), MORTISE_E_INVALID);
	buf_truncate(&b, 256);
	fails(f, parse(f, buf_cstr(&b), 0), MORTISE_E_INVALID);
	buf_truncate(&b, 255);
	ok(f, parse(f, buf_cstr(&b), 0));
	buf_reset(&b);
	for (i = 0; i < 400; i++)
		buf_adds(&b, i == 0 ? "d" : "/d");
	ok(f, parse(f, buf_cstr(&b), 0));
	fails(f, parse(f, buf_cstr(&b), NAME_NEW), MORTISE_E_LIMIT);
}

static void test_reserved_names(void **state)
{
	static const char *const hidden[] = {
	    ".hidden", "a/.b", "x.lock", "a.lock/b", ".mortise", ".mailboxlist"};
	struct fixture *f = *state;
	struct name n;
	size_t i;

	for (i = 0; i < ARRAY_LEN(hidden); i++) {
		fails(f, parse(f, hidden[i], 0), MORTISE_E_NOTFOUND);
		fails(f, parse(f, hidden[i], NAME_NEW), MORTISE_E_INVALID);
	}
	fails(f, parse(f, "~", 0), MORTISE_E_NOTFOUND);
	fails(f, parse(f, "~root/x", NAME_NEW), MORTISE_E_NOTFOUND);
	fails(f, parse(f, "#mh/x", 0), MORTISE_E_NOTFOUND);
	fails(f, parse(f, "#driver.memory/x", 0), MORTISE_E_NOTFOUND);
	fails(f, parse(f, "#driver.memory", NAME_MAY_CHOOSE), MORTISE_E_INVALID);
	fails(f, parse(f, "#driver./x", NAME_MAY_CHOOSE), MORTISE_E_INVALID);
	fails(f, parse(f, "#driver.none/x", NAME_MAY_CHOOSE), MORTISE_E_NOTFOUND);
	fails(f, parse(f, "#driver.memory/../x", NAME_MAY_CHOOSE), MORTISE_E_INVALID);
	fails(f, parse(f, "#driver.memory//x", NAME_MAY_CHOOSE), MORTISE_E_INVALID);
	fails(f, parse(f, "#driver.memory/#driver.memory/x", NAME_MAY_CHOOSE), MORTISE_E_NOTFOUND);
	fails(f, parse(f, "inbox/x", NAME_NEW), MORTISE_E_INVALID);
	ok(f, parse(f, "INBOX/x", NAME_NEW));
	fails(f, parse(f, "a*", NAME_NEW), MORTISE_E_INVALID);
	fails(f, parse(f, "a%", NAME_NEW), MORTISE_E_INVALID);
	ok(f, name_parse(f->s, "#DRIVER.Memory/a/b", NAME_MAY_CHOOSE, f->a, &n, &f->e));
	assert_ptr_equal(n.driver, MEMORY(f));
	assert_string_equal(n.text, "a/b");
	ok(f, name_parse(f->s, "iNbOx", 0, f->a, &n, &f->e));
	assert_true(n.inbox);
	assert_string_equal(n.text, "INBOX");
}

/* The state directory and the subscriptions, when they are inside the mail directory. */
static void test_own_files_hidden(void **state)
{
	struct fixture *f = *state;

	f->o.mail_dir = "~";
	f->o.hide_dot_files = false;
	f->o.state_dir = "~/state";
	f->o.subscriptions = "~/subs";
	fixture_reopen(f);
	fails(f, store_create(f->s, "state/journals/x", &f->e), MORTISE_E_INVALID);
	fails(f, store_create(f->s, "subs", &f->e), MORTISE_E_INVALID);
	fails(f, store_create(f->s, "subs.1234", &f->e), MORTISE_E_INVALID);
	ok(f, store_create(f->s, "statement", &f->e));
	ok(f, store_subscribe(f->s, "statement", true, &f->e));
	append_one(f, "statement", "x\r\n", 0);
	assert_true(exists(f, "state/journals"));
	assert_string_equal(
	    list_text(f, "", "%"), "INBOX HasNoChildren\nstatement Noinferiors HasNoChildren\n");
}

static void test_user_names(void **state)
{
	static const char *const bad[] = {"", "..", ".", "a/b", "../x", "a\nb", ".x"};
	struct fixture *f = *state;
	struct store *s;
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		const struct store_user u = {.name = bad[i], .home = f->home};

		fails(f, store_open_drivers(&f->o, &u, f->drivers, 3, &s, &f->e), MORTISE_E_INVALID);
		assert_null(s);
	}
	f->o.mail_dir = "%x";
	fails(f,
	    store_open_drivers(
	        &f->o, &(struct store_user){.name = "u", .home = f->home}, f->drivers, 3, &s, &f->e),
	    MORTISE_E_INVALID);
	f->o.mail_dir = "~/mail";
}

static void test_create(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	assert_false(exists(f, "mail"));
	ok(f, store_create(f->s, "a/b/c", &f->e));
	assert_true(exists(f, "mail/a/b/c"));
	assert_int_equal(stat(arena_printf(f->a, "%s/mail/a", f->home), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(arena_printf(f->a, "%s/mail/a/b/c", f->home), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fails(f, store_create(f->s, "a/b/c", &f->e), MORTISE_E_EXISTS);
	fails(f, store_create(f->s, "a/b", &f->e), MORTISE_E_EXISTS);
	fails(f, store_create(f->s, "INBOX", &f->e), MORTISE_E_EXISTS);
	fails(f, store_create(f->s, "inbox", &f->e), MORTISE_E_EXISTS);
	/* Below a mailbox that is a file. */
	fails(f, store_create(f->s, "a/b/c/d", &f->e), MORTISE_E_INVALID);
	fails(f, store_create(f->s, "a/b/c/d/e/f", &f->e), MORTISE_E_INVALID);
	ok(f, store_create(f->s, "level/", &f->e));
	fails(f, store_create(f->s, "level/", &f->e), MORTISE_E_EXISTS);
	assert_true(exists(f, "mail/level"));
	ok(f, store_create(f->s, "#driver.debug/dbg", &f->e));
	assert_int_equal(stat(arena_printf(f->a, "%s/mail/dbg", f->home), &st), 0);
}

/* A driver that cannot: what was made on the way goes away. */
static void test_create_fails(void **state)
{
	struct fixture *f = *state;

	set_option(f, FAIL(f), "callback", "create");
	set_option(f, FAIL(f), "code", "quota");
	fails(f, store_create(f->s, "#driver.fail/p/q/r", &f->e), MORTISE_E_QUOTA);
	assert_true(exists(f, "mail"));
	assert_false(exists(f, "mail/p"));
	ok(f, store_create(f->s, "p/", &f->e));
	fails(f, store_create(f->s, "#driver.fail/p/q/r", &f->e), MORTISE_E_QUOTA);
	assert_true(exists(f, "mail/p"));
	assert_false(exists(f, "mail/p/q"));
}

static void test_delete(void **state)
{
	struct fixture *f = *state;

	fails(f, store_delete(f->s, "x", &f->e), MORTISE_E_NOTFOUND);
	ok(f, store_create(f->s, "a/b", &f->e));
	ok(f, store_create(f->s, "#driver.debug/c", &f->e));
	fails(f, store_delete(f->s, "INBOX", &f->e), MORTISE_E_INVALID);
	fails(f, store_delete(f->s, "inbox", &f->e), MORTISE_E_INVALID);
	fails(f, store_delete(f->s, "a", &f->e), MORTISE_E_NOTEMPTY); /* not empty */
	ok(f, store_delete(f->s, "a/b", &f->e));
	assert_false(exists(f, "mail/a/b"));
	ok(f, store_delete(f->s, "a/", &f->e));
	assert_false(exists(f, "mail/a"));
	ok(f, store_delete(f->s, "c", &f->e)); /* emulated: debug has no remove */
	assert_false(exists(f, "mail/c"));
	put_file(f, "mail/letter.txt", "Dear all\n");
	fails(f, store_delete(f->s, "letter.txt", &f->e), MORTISE_E_UNSUPPORTED);
	assert_true(exists(f, "mail/letter.txt"));
}

/* U3: another mailbox of the same name has a higher UIDVALIDITY. */
static void test_delete_create(void **state)
{
	struct fixture *f = *state;
	struct mailbox_status before, after;

	ok(f, store_create(f->s, "a", &f->e));
	append_one(f, "a", "x\r\n", 0);
	ok(f, store_status(f->s, "a", 0, &before, &f->e));
	ok(f, store_delete(f->s, "a", &f->e));
	ok(f, store_create(f->s, "a", &f->e));
	ok(f, store_status(f->s, "a", 0, &after, &f->e));
	assert_int_equal(after.messages, 0);
	assert_true(after.uidvalidity > before.uidvalidity);
}

/* attack-090 */
static void test_rename(void **state)
{
	struct fixture *f = *state;
	struct mailbox_status st;

	ok(f, store_create(f->s, "a", &f->e));
	ok(f, store_create(f->s, "d/x", &f->e));
	ok(f, store_create(f->s, "d/y/z", &f->e));
	ok(f, store_create(f->s, "#driver.debug/dbg", &f->e));
	append_one(f, "a", "one\r\n", 0);
	fails(f, store_rename(f->s, "none", "b", &f->e), MORTISE_E_NOTFOUND);
	fails(f, store_rename(f->s, "a", "a", &f->e), MORTISE_E_EXISTS);
	fails(f, store_rename(f->s, "a", "d/x", &f->e), MORTISE_E_EXISTS);
	fails(f, store_rename(f->s, "a", "INBOX", &f->e), MORTISE_E_EXISTS);
	fails(f, store_rename(f->s, "a", "a/b", &f->e), MORTISE_E_INVALID);
	fails(f, store_rename(f->s, "d", "d/y/d", &f->e), MORTISE_E_INVALID);
	fails(f, store_rename(f->s, "a", "../b", &f->e), MORTISE_E_INVALID);
	fails(f, store_rename(f->s, "a", "d/x/b", &f->e), MORTISE_E_INVALID);
	ok(f, store_rename(f->s, "a", "new/level/b", &f->e));
	ok(f, store_status(f->s, "new/level/b", 0, &st, &f->e));
	assert_int_equal(st.messages, 1);
	ok(f, store_rename(f->s, "d", "e/d", &f->e));
	assert_true(exists(f, "mail/e/d/y/z"));
	ok(f, store_status(f->s, "e/d/y/z", 0, &st, &f->e));
	ok(f, store_rename(f->s, "dbg", "dbg2", &f->e));
	ok(f, store_status(f->s, "dbg2", 0, &st, &f->e));
	assert_int_equal(st.messages, 3);
	fails(f, store_status(f->s, "dbg", 0, &st, &f->e), MORTISE_E_NOTFOUND);
}

static void test_rename_fails(void **state)
{
	struct fixture *f = *state;

	ok(f, store_create(f->s, "#driver.fail/a", &f->e));
	set_option(f, FAIL(f), "callback", "rename");
	fails(f, store_rename(f->s, "a", "p/q/b", &f->e), MORTISE_E_IO);
	assert_true(exists(f, "mail/a"));
	assert_false(exists(f, "mail/p"));
}

static void test_rename_inbox(void **state)
{
	struct fixture *f = *state;
	struct mailbox_status st;

	put_file(f, "spool/fred", "");
	append_one(f, "INBOX", "one\r\n", MORTISE_FLAG_FLAGGED);
	append_one(f, "INBOX", "two\r\n", 0);
	fails(f, store_rename(f->s, "inbox", "INBOX", &f->e), MORTISE_E_EXISTS);
	ok(f, store_create(f->s, "there", &f->e));
	fails(f, store_rename(f->s, "INBOX", "there", &f->e), MORTISE_E_EXISTS);
	ok(f, store_rename(f->s, "INBOX", "old/mail", &f->e));
	ok(f, store_status(f->s, "old/mail", 0, &st, &f->e));
	assert_int_equal(st.messages, 2);
	ok(f, store_status(f->s, "INBOX", 0, &st, &f->e));
	assert_int_equal(st.messages, 0);
	assert_int_equal(st.uidnext, 3);
}

static void test_list(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(list_text(f, "", "*"), "INBOX HasNoChildren\n");
	put_file(f, "mail/letter.txt", "not mail\n");
	put_file(f, "mail/x.lock", "");
	put_file(f, "mail/.dot", "");
	put_file(f, "mail/lists/c", "");
	put_file(f, "mail/empty", NULL);
	put_file(f, "mail/deep/er/est", "");
	assert_string_equal(list_text(f, "", "lists/%"), "lists/c Noinferiors HasNoChildren\n");
	assert_string_equal(list_text(f, "lists/", "c"), "lists/c Noinferiors HasNoChildren\n");
	assert_string_equal(list_text(f, "li", "sts"), "lists Noselect HasChildren\n");
	assert_string_equal(list_text(f, "", "empty"), "empty Noselect HasNoChildren\n");
	assert_string_equal(list_text(f, "", "empty/"), "empty/ Noselect HasNoChildren\n");
	assert_string_equal(list_text(f, "", "deep*st"), "deep/er/est Noinferiors HasNoChildren\n");
	assert_string_equal(list_text(f, "", "%/%"), list_text(f, "", "%/%"));
	assert_string_equal(list_text(f, "", "inbox"), "INBOX HasNoChildren\n");
	assert_string_equal(list_text(f, "", "i%"), "INBOX HasNoChildren\n");
	assert_string_equal(list_text(f, "", "letter*"), "");
	assert_string_equal(list_text(f, "", "../*"), "");
	assert_string_equal(list_text(f, "../", "*"), "");
	assert_string_equal(list_text(f, "", "/%"), "");
	assert_string_equal(list_text(f, "lists/", "/etc/*"), "");
	assert_string_equal(list_text(f, "", "#driver.memory/*"), "");
	assert_string_equal(list_text(f, "", "nothing/*"), "");
	assert_null(strstr(list_text(f, "", "*"), "x.lock"));
	assert_null(strstr(list_text(f, "", "*"), ".dot"));
	assert_int_equal(f->e.code, 0);
}

static void test_list_inbox_children(void **state)
{
	struct fixture *f = *state;

	ok(f, store_create(f->s, "INBOX/kept", &f->e));
	put_file(f, "mail/inbox", "");
	assert_string_equal(
	    list_text(f, "", "*"), "INBOX HasChildren\nINBOX/kept Noinferiors HasNoChildren\n");
}

static void test_list_limits(void **state)
{
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 30; i++)
		put_file(f, arena_printf(f->a, "mail/m%d", i), "");
	f->o.list_entries = 10;
	list_text(f, "", "*");
	assert_int_equal(f->e.code, MORTISE_E_LIMIT);
	err_clear(&f->e);
	/* Files that do not match are looked at, but not without end. */
	f->o.list_entries = 2;
	list_text(f, "", "zz%");
	assert_int_equal(f->e.code, MORTISE_E_LIMIT);
	err_clear(&f->e);
	f->o.list_entries = 1000;
	f->o.list_depth = 3;
	put_file(f, "mail/a/b/c/d/e", "");
	assert_string_equal(list_text(f, "", "a*"),
	    "a Noselect HasChildren\na/b Noselect HasChildren\na/b/c Noselect HasChildren\n");
}

/* attack-131: what is no mailbox file is neither listed nor opened, and waits for nobody. */
static void test_special_files(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	struct mailbox *m;
	int sock;

	ok(f, store_create(f->s, "real", &f->e));
	put_file(f, "outside", "");
	assert_int_equal(mkfifo(arena_printf(f->a, "%s/mail/fifo", f->home), 0600), 0);
	assert_int_equal(symlink("../outside", arena_printf(f->a, "%s/mail/out", f->home)), 0);
	assert_int_equal(symlink("/etc", arena_printf(f->a, "%s/mail/etc", f->home)), 0);
	assert_int_equal(symlink("real", arena_printf(f->a, "%s/mail/inner", f->home)), 0);
	assert_int_equal(symlink(".", arena_printf(f->a, "%s/mail/loop", f->home)), 0);
	assert_int_equal(symlink("/dev/zero", arena_printf(f->a, "%s/mail/zero", f->home)), 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/mail/sock", f->home);
	sock = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(sock);
	fails(f, mailbox_open(f->s, "fifo", 0, &m, &f->e), MORTISE_E_UNSUPPORTED);
	fails(f, mailbox_open(f->s, "sock", 0, &m, &f->e), MORTISE_E_UNSUPPORTED);
	fails(f, mailbox_open(f->s, "out", 0, &m, &f->e), MORTISE_E_PERM);
	fails(f, mailbox_open(f->s, "zero", 0, &m, &f->e), MORTISE_E_PERM);
	if (mailbox_open(f->s, "inner", 0, &m, &f->e) != 0) {
		/* Without openat2 (valgrind, old kernels) no link at all is followed. */
		fails(f, f->e.code, MORTISE_E_PERM);
		return;
	}
	mailbox_close(&m);
	fails(f, mailbox_open(f->s, "etc/passwd", 0, &m, &f->e), MORTISE_E_PERM);
	fails(f, store_create(f->s, "etc/mortise", &f->e), MORTISE_E_PERM);
	fails(f, store_create(f->s, "fifo", &f->e), MORTISE_E_EXISTS);
	fails(f, store_rename(f->s, "real", "etc/x", &f->e), MORTISE_E_PERM);
	assert_null(strstr(list_text(f, "", "*"), "fifo"));
	assert_null(strstr(list_text(f, "", "*"), "etc"));
	assert_null(strstr(list_text(f, "", "*"), "zero"));
	assert_null(strstr(list_text(f, "", "*"), "loop/loop"));
	assert_int_equal(f->e.code, 0);
	/* With confine = false the user's links are the user's business. */
	f->o.confine = false;
	fixture_reopen(f);
	ok(f, mailbox_open(f->s, "out", 0, &m, &f->e));
	mailbox_close(&m);
	append_one(f, "out", "x\r\n", 0);
	fails(f, mailbox_open(f->s, "zero", 0, &m, &f->e), MORTISE_E_UNSUPPORTED);
	fails(f, mailbox_open(f->s, "etc/../x", 0, &m, &f->e), MORTISE_E_INVALID);
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;

	put_file(f, "mail/bad", "Mortise memory mailbox\nnonsense");
	put_file(f, "mail/text", "hello\n");
	put_file(f, "mail/dir", NULL);
	assert_int_equal(mailbox_open(f->s, "bad", 0, &m, &f->e), MORTISE_E_CORRUPT);
	assert_non_null(strstr(f->e.admin, "octet 23"));
	assert_string_equal(f->e.client, mortise_error_text(MORTISE_E_CORRUPT));
	err_clear(&f->e);
	fails(f, mailbox_open(f->s, "text", 0, &m, &f->e), MORTISE_E_UNSUPPORTED);
	assert_int_equal(mailbox_open(f->s, "dir", 0, &m, &f->e), MORTISE_E_UNSUPPORTED);
	assert_non_null(strstr(f->e.client, "selectable"));
	err_clear(&f->e);
	fails(f, mailbox_open(f->s, "gone", 0, &m, &f->e), MORTISE_E_NOTFOUND);
	fails(f, mailbox_open(f->s, "gone/deeper", 0, &m, &f->e), MORTISE_E_NOTFOUND);
	fails(f, mailbox_open(f->s, "text/deeper", 0, &m, &f->e), MORTISE_E_NOTFOUND);
	assert_string_equal(list_text(f, "", "bad"), "bad Noinferiors HasNoChildren\n");
}

struct marked {
	unsigned bits;
};

static int see_marks(void *arg, const struct list_entry *x)
{
	if (strcmp(x->name, "m") == 0)
		((struct marked *)arg)->bits = x->attributes & (LIST_MARKED | LIST_UNMARKED);
	return 0;
}

/* \Marked: changed since it was last read; looking at it does not count as reading. */
static void test_marked(void **state)
{
	struct fixture *f = *state;
	const char *path = arena_printf(f->a, "%s/mail/m", f->home);
	struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	struct timespec read_since[2] = {{.tv_sec = clock_seconds() + 1000}, {.tv_nsec = UTIME_OMIT}};
	struct marked m = {0};
	int i;

	ok(f, store_create(f->s, "m", &f->e));
	assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
	for (i = 0; i < 2; i++) {
		ok(f, store_list(f->s, "", "*", see_marks, &m, &f->e));
		assert_int_equal(m.bits, LIST_MARKED);
	}
	assert_int_equal(utimensat(AT_FDCWD, path, read_since, 0), 0);
	ok(f, store_list(f->s, "", "*", see_marks, &m, &f->e));
	assert_int_equal(m.bits, LIST_UNMARKED);
}

static int give_up(void *arg)
{
	return --*(int *)arg < 0 ? MORTISE_E_CANCELLED : 0;
}

static int stop_listing(void *arg, const struct list_entry *x)
{
	(void)x;
	return ++*(int *)arg == 2 ? MORTISE_E_IO : 0;
}

static void test_list_ends(void **state)
{
	struct fixture *f = *state;
	int seen = 0, left = 0, i;

	for (i = 0; i < 300; i++)
		put_file(f, arena_printf(f->a, "mail/m%d", i), "");
	fails(f, store_list(f->s, "", "*", stop_listing, &seen, &f->e), MORTISE_E_IO);
	assert_int_equal(seen, 2);
	store_set_stop(f->s, give_up, &left);
	list_text(f, "", "*");
	assert_int_equal(f->e.code, MORTISE_E_CANCELLED);
	err_clear(&f->e);
	store_set_stop(f->s, NULL, NULL);
}

static void test_subscriptions(void **state)
{
	struct fixture *f = *state;
	char text[512] = "";
	int fd;

	assert_string_equal(lsub_text(f, "", "*"), "");
	put_file(f, ".mailboxlist", "#mh/inbox\n{imap.example}x\nold\n\xff\xfe\n&-odd&\n");
	ok(f, store_subscribe(f->s, "inbox", true, &f->e));
	ok(f, store_subscribe(f->s, "a/b/c", true, &f->e));
	ok(f, store_subscribe(f->s, "a/b/c", true, &f->e)); /* twice is once */
	ok(f, store_subscribe(f->s, "a/d", true, &f->e));
	ok(f, store_subscribe(f->s, "K\xc3\xa4se", true, &f->e));
	fails(f, store_subscribe(f->s, "a\nb", true, &f->e), MORTISE_E_INVALID);
	assert_string_equal(lsub_text(f, "", "a*"), "a/b/c Subscribed\na/d Subscribed\n");
	assert_string_equal(lsub_text(f, "", "K*"), "K\xc3\xa4se Subscribed\n");
	assert_string_equal(lsub_text(f, "", "old"), "old Subscribed\n");
	/* RFC 3501 §6.3.9 */
	assert_string_equal(lsub_text(f, "", "a/%"), "a/d Subscribed\na/b Noselect\n");
	assert_string_equal(lsub_text(f, "", "a"), "");
	assert_string_equal(lsub_text(f, "", "a%"), "a Noselect\n");
	assert_string_equal(lsub_text(f, "", "INB%"), "INBOX Subscribed\n");
	ok(f, store_subscribe(f->s, "a/d", false, &f->e));
	ok(f, store_subscribe(f->s, "a/d", false, &f->e));
	ok(f, store_subscribe(f->s, "#mh/inbox", false, &f->e));
	fd = open(arena_printf(f->a, "%s/.mailboxlist", f->home), O_RDONLY);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	/* What is not ours is still there, in its place. */
	assert_string_equal(text, "{imap.example}x\nold\n\xff\xfe\n&-odd&\nINBOX\na/b/c\nK&AOQ-se\n");
}

/* attack-096, attack-131 */
static void test_subscription_limits(void **state)
{
	struct fixture *f = *state;
	const char *path = arena_printf(f->a, "%s/.mailboxlist", f->home);
	int i;

	f->o.subscription_limit = 3;
	for (i = 0; i < 3; i++)
		ok(f, store_subscribe(f->s, arena_printf(f->a, "m%d", i), true, &f->e));
	fails(f, store_subscribe(f->s, "m3", true, &f->e), MORTISE_E_LIMIT);
	ok(f, store_subscribe(f->s, "m1", false, &f->e));
	ok(f, store_subscribe(f->s, "m3", true, &f->e));
	assert_string_equal(lsub_text(f, "", "*"), "m0 Subscribed\nm2 Subscribed\nm3 Subscribed\n");
	assert_int_equal(truncate(path, 100 * 1024 * 1024), 0);
	lsub_text(f, "", "*");
	assert_int_equal(f->e.code, MORTISE_E_LIMIT);
	err_clear(&f->e);
	unlink(path);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	fails(f, store_subscribe(f->s, "x", true, &f->e), MORTISE_E_PERM);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	fails(f, store_subscribe(f->s, "x", true, &f->e), MORTISE_E_PERM);
}

static void test_lsub_ends(void **state)
{
	struct fixture *f = *state;
	AUTO_BUF struct buf b = BUF_INIT;
	int seen = 0, i;

	for (i = 0; i < 50; i++)
		buf_printf(&b, "a/b/c/d/e/m%d\n", i);
	put_file(f, ".mailboxlist", buf_cstr(&b));
	assert_string_equal(lsub_text(f, "", "a/%"), "a/b Noselect\n");
	fails(f, store_lsub(f->s, "", "*", stop_listing, &seen, &f->e), MORTISE_E_IO);
	assert_int_equal(seen, 2);
	f->o.list_entries = 20;
	lsub_text(f, "", "*");
	assert_int_equal(f->e.code, MORTISE_E_LIMIT);
	err_clear(&f->e);
	assert_string_equal(lsub_text(f, "", "a/%"), "a/b Noselect\n");
	assert_int_equal(f->e.code, 0);
}

static void test_subscription_mode_and_lock(void **state)
{
	struct fixture *f = *state;
	const char *path = arena_printf(f->a, "%s/.mailboxlist", f->home);
	struct stat st;
	int fd;

	ok(f, store_subscribe(f->s, "a", true, &f->e));
	assert_int_equal(chmod(path, 0644), 0);
	ok(f, store_subscribe(f->s, "b", true, &f->e));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	fd = open(path, O_RDONLY);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	fails(f, store_subscribe(f->s, "c", true, &f->e), MORTISE_E_INUSE);
	close(fd);
	ok(f, store_subscribe(f->s, "c", true, &f->e));
}

/* ---- a format that keeps mailboxes in directories ---- */
static const char *const dirs_own[] = {".box", "own", "mine-*", "#", "n#", NULL};
static const struct mortise_traits dirs_traits = {
    .size = sizeof(dirs_traits), .directory = true, .own_names = dirs_own};
static unsigned dirs_locks;

static int dirs_recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	(void)call;
	return faccessat(probe->fd, ".box", F_OK, 0) == 0 ? MORTISE_MINE : MORTISE_NOT_MINE;
}

static int dirs_create(struct mortise_call *call, const struct mortise_place *p)
{
	int fd;

	if (mkdirat(p->root, p->path, p->dir_mode) != 0 && errno != EEXIST)
		return call->host->fault_errno(call, "mkdir");
	fd = openat(p->root, call->host->print(call, MORTISE_LIFE_CALL, "%s/.box", p->path),
	    O_CREAT | O_EXCL | O_WRONLY, p->file_mode);
	if (fd < 0)
		return call->host->fault_errno(call, "create");
	close(fd);
	return 0;
}

static int dirs_open(struct mortise_call *call, const struct mortise_place *p, uint32_t flags,
    struct mortise_box_info *info, void **box)
{
	(void)p;
	(void)flags;
	info->uidvalidity = 1;
	*box = call->host->alloc(call, MORTISE_LIFE_BOX, 1);
	return 0;
}

static int dirs_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	(void)call;
	(void)box;
	cursor->size = 1;
	return sink->full_scan(sink->engine, 7);
}

static int dirs_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline)
{
	(void)call;
	(void)box;
	(void)deadline;
	dirs_locks += mode == MORTISE_LOCK_EXCLUSIVE;
	return 0;
}

static void dirs_close(struct mortise_call *call, void *box)
{
	(void)call;
	(void)box;
}

/* The mailbox goes, what is below it stays. */
static int dirs_remove(struct mortise_call *call, const struct mortise_place *p)
{
	if (unlinkat(p->root, call->host->print(call, MORTISE_LIFE_CALL, "%s/.box", p->path), 0) != 0)
		return call->host->fault_errno(call, "unlink");
	if (unlinkat(p->root, p->path, AT_REMOVEDIR) != 0 && errno != ENOTEMPTY)
		return call->host->fault_errno(call, "rmdir");
	return 0;
}

/* What a mailbox keeps in its directory is no mailbox; elsewhere the same names are names like others. */
static void directory_format_own_names(struct fixture *f)
{
	ok(f, store_create(f->s, "#driver.fail/only", &f->e));
	put_file(f, "mail/only/own", NULL);
	put_file(f, "mail/only/mine-1", "");
	assert_string_equal(list_text(f, "", "only*"), "only HasNoChildren\n");
	fails(f, store_create(f->s, "only/own", &f->e), MORTISE_E_INVALID);
	fails(f, store_create(f->s, "only/own/deep", &f->e), MORTISE_E_INVALID);
	fails(f, store_create(f->s, "only/mine-2", &f->e), MORTISE_E_INVALID);
	fails(f, store_create(f->s, "only/2026", &f->e), MORTISE_E_INVALID);
	fails(f, store_create(f->s, "only/n0", &f->e), MORTISE_E_INVALID);
	ok(f, store_create(f->s, "only/n", &f->e));
	ok(f, store_create(f->s, "only/2026a", &f->e));
	ok(f, store_delete(f->s, "only/n", &f->e));
	ok(f, store_delete(f->s, "only/2026a", &f->e));
	fails(f, store_rename(f->s, "box/child", "only/mine-3", &f->e), MORTISE_E_INVALID);
	ok(f, store_create(f->s, "own/mine-2", &f->e));
	assert_string_equal(
	    list_text(f, "", "own*"), "own Noselect HasChildren\nown/mine-2 Noinferiors HasNoChildren\n");
	/* An empty file is of the first format that keeps mailboxes in files. */
	f->o.default_driver = "fail";
	fixture_reopen(f);
	put_file(f, "mail/empty", "");
	assert_non_null(strstr(list_text(f, "", "empty"), "empty Noinferiors HasNoChildren"));
	f->o.default_driver = "memory";
	fixture_reopen(f);
	ok(f, store_delete(f->s, "own/mine-2", &f->e));
}

static void test_directory_format(void **state)
{
	const struct mortise_driver_ops ops = {.size = sizeof(ops),
	    .traits = &dirs_traits,
	    .recognise = dirs_recognise,
	    .create = dirs_create,
	    .open = dirs_open,
	    .sync = dirs_sync,
	    .lock = dirs_lock,
	    .close = dirs_close,
	    .remove = dirs_remove};
	struct fixture *f = *state;
	struct mailbox *m;

	FAIL(f)->ops = &ops;
	ok(f, store_create(f->s, "#driver.fail/box", &f->e));
	assert_string_equal(list_text(f, "", "b%"), "box HasNoChildren\n");
	ok(f, store_create(f->s, "box/child", &f->e)); /* of another format */
	ok(f, store_create(f->s, "#driver.fail/box/sub/deep", &f->e));
	assert_string_equal(list_text(f, "", "box"), "box HasChildren\n");
	assert_string_equal(list_text(f, "", "box/%/%"), "box/sub/deep HasNoChildren\n");
	fails(f, store_create(f->s, "#driver.fail/box", &f->e), MORTISE_E_EXISTS);
	fails(f, store_create(f->s, "box/", &f->e), MORTISE_E_EXISTS);
	directory_format_own_names(f);
	/* A level becomes a mailbox; a file of another format does not. */
	assert_string_equal(list_text(f, "", "box/sub"), "box/sub Noselect HasChildren\n");
	ok(f, store_create(f->s, "#driver.fail/box/sub", &f->e));
	assert_string_equal(list_text(f, "", "box/sub"), "box/sub HasChildren\n");
	fails(f, store_create(f->s, "#driver.fail/box/child", &f->e), MORTISE_E_EXISTS);
	/* Children go along; the mailbox is locked meanwhile. */
	dirs_locks = 0;
	fails(f, store_rename(f->s, "box", "box/sub/box", &f->e), MORTISE_E_INVALID);
	ok(f, store_rename(f->s, "box", "new/box", &f->e));
	assert_int_equal(dirs_locks, 1);
	assert_true(exists(f, "mail/new/box/sub/deep/.box"));
	ok(f, mailbox_open(f->s, "new/box/child", 0, &m, &f->e));
	mailbox_close(&m);
	/* With children, DELETE leaves a level behind. */
	ok(f, store_delete(f->s, "new/box", &f->e));
	assert_string_equal(list_text(f, "", "new/box"), "new/box Noselect HasChildren\n");
	fails(f, store_delete(f->s, "new/box", &f->e), MORTISE_E_NOTEMPTY);
	ok(f, store_delete(f->s, "new/box/sub/deep", &f->e));
	ok(f, store_delete(f->s, "new/box/sub", &f->e));
	ok(f, store_delete(f->s, "new/box/child", &f->e));
	ok(f, store_delete(f->s, "new/box", &f->e));
	assert_false(exists(f, "mail/new/box"));
}

/* A slow matcher that is plainly right. */
static bool naive(const char *p, const char *s)
{
	if (*p == '\0')
		return *s == '\0';
	if (*p == '*' || *p == '%') {
		for (;; s++) {
			if (naive(p + 1, s))
				return true;
			if (*s == '\0' || (*p == '%' && *s == '/'))
				return false;
		}
	}
	return *p == *s && naive(p + 1, s + 1);
}

static void random_text(char *out, size_t most, const char *letters, uint32_t *seed)
{
	size_t n, i;

	*seed = *seed * 1664525 + 1013904223;
	n = (*seed >> 16) % (most + 1);
	for (i = 0; i < n; i++) {
		*seed = *seed * 1664525 + 1013904223;
		out[i] = letters[(*seed >> 16) % strlen(letters)];
	}
	out[n] = '\0';
}

static void test_match_like_naive(void **state)
{
	uint32_t seed = 1;
	int i;

	(void)state;
	for (i = 0; i < 200000; i++) {
		char p[10], s[10];

		random_text(p, 8, "ab/*%", &seed);
		random_text(s, 8, "ab/", &seed);
		if (list_match(p, s, '/') != naive(p, s))
			fail_msg("\"%s\" and \"%s\"", p, s);
	}
}

/* pattern_below: nothing below a prefix matches when it says so. */
static void test_match_below(void **state)
{
	uint32_t seed = 7;
	int i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		char p[10], s[10], prefix[10];
		struct pattern compiled;
		size_t n;

		random_text(p, 8, "ab/*%", &seed);
		random_text(s, 8, "ab/", &seed);
		pattern_set(&compiled, "", p, '/');
		for (n = 0; n < strlen(s); n++) {
			memcpy(prefix, s, n);
			prefix[n] = '\0';
			if (compiled.n > 0 && p[0] != '/' && naive(p, s) &&
			    !pattern_below(&compiled, str_of(prefix)))
				fail_msg("\"%s\" below \"%s\" matches \"%s\"", s, prefix, p);
		}
	}
}

/* attack-087: time is name × pattern, not exponential; this ends. */
static void test_match_hostile(void **state)
{
	AUTO_BUF struct buf p = BUF_INIT, s = BUF_INIT;
	struct fixture *f = *state;
	int i;

	for (i = 0; i < 30000; i++)
		buf_adds(&p, "*%");
	for (i = 0; i < 1000; i++)
		buf_addc(&s, 'a');
	assert_true(list_match(buf_cstr(&p), buf_cstr(&s), '/'));
	buf_reset(&p);
	for (i = 0; i < 490; i++)
		buf_adds(&p, i % 2 == 0 ? "*a" : "%a");
	assert_true(list_match(buf_cstr(&p), buf_cstr(&s), '/'));
	buf_addc(&p, 'b');
	assert_false(list_match(buf_cstr(&p), buf_cstr(&s), '/'));
	for (i = 0; i < 100000; i++)
		buf_addc(&p, 'x');
	assert_false(list_match(buf_cstr(&p), buf_cstr(&s), '/'));
	assert_string_equal(list_text(f, buf_cstr(&p), buf_cstr(&p)), "");
	assert_string_equal(lsub_text(f, buf_cstr(&p), buf_cstr(&p)), "");
	assert_int_equal(f->e.code, 0);
}

#define T(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_bad_names), T(test_reserved_names),
	    T(test_own_files_hidden), T(test_user_names), T(test_create), T(test_create_fails),
	    T(test_delete), T(test_delete_create), T(test_rename), T(test_rename_fails), T(test_rename_inbox),
	    T(test_list), T(test_list_inbox_children), T(test_list_limits), T(test_special_files),
	    T(test_damaged), T(test_marked), T(test_list_ends), T(test_subscriptions),
	    T(test_subscription_limits), T(test_lsub_ends), T(test_subscription_mode_and_lock),
	    T(test_directory_format), T(test_match_like_naive), T(test_match_below), T(test_match_hostile)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
