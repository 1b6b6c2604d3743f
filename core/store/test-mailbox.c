/* Mailboxes and views: two sessions, changes, reading, appending, copying. */
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "module/journal.h"
#include "store/test-support.h"
#include "base/banned.h"

static void test_open(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v;

	append_three(f, "#driver.memory/x");
	v = open_view(f, f->s, "x", 0, &m);
	assert_string_equal(mailbox_name(m), "x");
	assert_string_equal(m->driver->pub.name, "memory");
	assert_false(mailbox_read_only(m));
	assert_true(mailbox_uidvalidity(m) != 0);
	assert_int_equal(mailbox_uidnext(m), 4);
	assert_int_equal(mailbox_permanent_flags(m), MORTISE_FLAGS_SYSTEM);
	assert_true(mailbox_may_create_keywords(m));
	assert_true(mailbox_highestmodseq(m) >= 3);
	assert_int_equal(view_count(v), 3);
	assert_int_equal(view_recent(v), 3);
	assert_int_equal(view_first_unseen(v), 1);
	assert_int_equal(view_sequence(v, 2), 2);
	assert_int_equal(view_sequence(v, 9), 0);
	assert_int_equal(view_message(v, 3)->flags, MORTISE_FLAG_DELETED);
	assert_int_equal(view_message(v, 1)->internal_date, 1000000000);
	assert_int_equal(view_message(v, 1)->zone, 60);
	assert_string_equal(read_text(f, m, view_message(v, 2)), TWO);
	view_close(&v);
	mailbox_close(&m);
	assert_null(m);
}

/* \Recent is for the first session that opens it read-write. */
static void test_recent(void **state)
{
	struct fixture *f = *state;
	struct store *other = fixture_other(f);
	struct mailbox_status st;
	struct mailbox *m, *n;
	struct view *v, *w;

	append_three(f, "x");
	ok(f, store_status(f->s, "x", 0, &st, &f->e));
	assert_int_equal(st.recent, 3);
	v = open_view(f, f->s, "x", MAILBOX_READ_ONLY | MAILBOX_KEEP_RECENT, &m);
	assert_int_equal(view_recent(v), 3);
	view_close(&v);
	mailbox_close(&m);
	v = open_view(f, f->s, "x", 0, &m);
	assert_int_equal(view_recent(v), 3);
	assert_true(view_message(v, 1)->recent);
	w = open_view(f, other, "x", 0, &n);
	assert_int_equal(view_recent(w), 0);
	ok(f, store_status(f->s, "x", 0, &st, &f->e));
	assert_int_equal(st.recent, 0);
	append_one(f, "x", ONE, 0);
	assert_string_equal(update_text(f, w, 0), "exists 4 recent 1 ");
	assert_string_equal(update_text(f, v, 0), "exists 4 recent 3 ");
	view_close(&v);
	view_close(&w);
	mailbox_close(&m);
	mailbox_close(&n);
	store_close(&other);
}

static void test_status(void **state)
{
	struct fixture *f = *state;
	struct mailbox_status st;

	append_three(f, "x");
	ok(f, store_status(f->s, "x", STATUS_SIZE, &st, &f->e));
	assert_int_equal(st.messages, 3);
	assert_int_equal(st.unseen, 2);
	assert_int_equal(st.deleted, 1);
	assert_int_equal(st.uidnext, 4);
	assert_int_equal(st.size, strlen(ONE TWO THREE));
	fails(f, store_status(f->s, "y", 0, &st, &f->e), MORTISE_E_NOTFOUND);
}

static void test_flags(void **state)
{
	struct fixture *f = *state;
	struct str names[] = {STR_INIT("$Forwarded"), STR_INIT("work")};
	struct store *other = fixture_other(f);
	struct number_set all, one;
	struct mailbox *m, *n;
	struct view *v, *w;
	bool lost;

	append_three(f, "x");
	v = open_view(f, f->s, "x", 0, &m);
	w = open_view(f, other, "x", 0, &n);
	all = uid_set(f, "1:*");
	one = uid_set(f, "1");
	ok(f, mailbox_store_flags(m, &all, FLAGS_ADD, MORTISE_FLAG_FLAGGED, names, 1, NULL, &lost, &f->e));
	assert_false(lost);
	assert_int_equal(mailbox_keyword_count(m), 1);
	assert_string_equal(mailbox_keyword(m, 0), "$Forwarded");
	assert_string_equal(update_text(f, v, 0), "keywords flags 1=F+0 flags 2=SF+0 flags 3=DF+0 ");
	assert_string_equal(update_text(f, v, 0), "");
	assert_string_equal(update_text(f, w, 0), "keywords flags 1=F+0 flags 2=SF+0 flags 3=DF+0 ");
	ok(f,
	    mailbox_store_flags(m, &one, FLAGS_REPLACE, MORTISE_FLAG_SEEN, names + 1, 1, NULL, &lost, &f->e));
	ok(f, mailbox_store_flags(m, &all, FLAGS_REMOVE, MORTISE_FLAG_FLAGGED, names, 1, NULL, &lost, &f->e));
	view_told_flags(v, &one);
	assert_string_equal(update_text(f, v, 0), "keywords flags 2=S flags 3=D ");
	assert_string_equal(update_text(f, w, 0), "keywords flags 1=S+1 flags 2=S flags 3=D ");
	/* The same keyword in other letters is the same. */
	names[0] = STR("WORK");
	ok(f, mailbox_store_flags(n, &all, FLAGS_ADD, 0, names, 1, NULL, &lost, &f->e));
	assert_int_equal(mailbox_keyword_count(n), 2);
	assert_string_equal(update_text(f, w, 0), "flags 2=S+1 flags 3=D+1 ");
	/* \Recent cannot be stored. */
	ok(f, mailbox_store_flags(m, &one, FLAGS_REPLACE, MORTISE_FLAG_RECENT, NULL, 0, NULL, NULL, &f->e));
	assert_int_equal(view_message(v, 1)->flags, 0);
	view_close(&v);
	view_close(&w);
	mailbox_close(&m);
	mailbox_close(&n);
	store_close(&other);
}

/* attack-095 */
static void test_keyword_limits(void **state)
{
	static const char *const bad[] = {"", "a b", "a(", "a*", "\\Seen", "a\"", "a]", "\x80", "a%", "a\n"};
	struct fixture *f = *state;
	struct number_set all;
	struct mailbox *m;
	struct view *v;
	struct str name;
	bool lost;
	size_t i;

	set_option(f, MEMORY(f), "keywords", "5");
	append_three(f, "x");
	v = open_view(f, f->s, "x", 0, &m);
	all = uid_set(f, "2");
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		name = str_of(bad[i]);
		fails(f, mailbox_store_flags(m, &all, FLAGS_ADD, 0, &name, 1, NULL, &lost, &f->e),
		    MORTISE_E_INVALID);
	}
	name = str_mem(memset(arena_alloc(f->a, 300), 'k', 300), 300);
	fails(f, mailbox_store_flags(m, &all, FLAGS_ADD, 0, &name, 1, NULL, &lost, &f->e), MORTISE_E_INVALID);
	for (i = 0; i < 100; i++) {
		name = str_of(arena_printf(f->a, "k%zu", i));
		ok(f, mailbox_store_flags(m, &all, FLAGS_ADD, 0, &name, 1, NULL, &lost, &f->e));
		assert_int_equal(lost, i >= 64);
		assert_int_equal(mailbox_may_create_keywords(m), i < 63);
	}
	assert_int_equal(mailbox_keyword_count(m), 64);
	assert_true(view_message(v, 2)->keywords == UINT64_MAX);
	view_close(&v);
	mailbox_close(&m);
	/* What the mailbox cannot hold is there in the next session as well. */
	v = open_view(f, f->s, "x", 0, &m);
	assert_int_equal(mailbox_keyword_count(m), 64);
	assert_true(view_message(v, 2)->keywords == UINT64_MAX);
	view_close(&v);
	mailbox_close(&m);
}

/* Keywords of the index and of the format, from two sessions; bits are translated. */
static void test_keywords_of_two_sessions(void **state)
{
	struct fixture *f = *state;
	struct store *other = fixture_other(f);
	struct number_set two, three_;
	struct mailbox *m, *n;
	struct view *v, *w;
	struct str name;
	bool lost;
	size_t i;

	append_three(f, "x");
	set_option(f, MEMORY(f), "keywords", "0");
	v = open_view(f, f->s, "x", 0, &m);
	set_option(f, MEMORY(f), "keywords", "64");
	w = open_view(f, other, "x", 0, &n);
	two = uid_set(f, "2");
	three_ = uid_set(f, "3");
	for (i = 0; i < 60; i++) {
		name = str_of(arena_printf(f->a, "mine%zu", i));
		ok(f, mailbox_store_flags(m, &two, FLAGS_ADD, 0, &name, 1, NULL, &lost, &f->e));
		assert_false(lost);
	}
	update_text(f, w, 0);
	assert_true(view_message(w, 2)->keywords == (UINT64_C(1) << 60) - 1);
	name = STR("theirs");
	ok(f, mailbox_store_flags(n, &three_, FLAGS_ADD, 0, &name, 1, NULL, &lost, &f->e));
	name = STR("mine7"); /* is the format's from now on */
	ok(f, mailbox_store_flags(n, &three_, FLAGS_ADD, 0, &name, 1, NULL, &lost, &f->e));
	assert_false(lost);
	ok(f, mailbox_sync(m, &f->e));
	assert_int_equal(mailbox_keyword_count(m), 61);
	assert_string_equal(mailbox_keyword(m, 60), "theirs");
	assert_string_equal(mailbox_keyword(m, 7), "mine7");
	assert_true(view_message(v, 3)->keywords == (UINT64_C(1) << 60 | UINT64_C(1) << 7));
	assert_true(view_message(v, 2)->keywords == (UINT64_C(1) << 60) - 1);
	/* Writing goes back through the table. */
	ok(f, mailbox_store_flags(m, &three_, FLAGS_ADD, MORTISE_FLAG_SEEN, NULL, 0, NULL, &lost, &f->e));
	update_text(f, w, 0);
	assert_true(view_message(w, 3)->keywords == (UINT64_C(1) << 60 | UINT64_C(1) << 7));
	view_close(&v);
	view_close(&w);
	mailbox_close(&m);
	mailbox_close(&n);
	store_close(&other);
}

static void test_expunge_and_ghosts(void **state)
{
	struct fixture *f = *state;
	struct store *other = fixture_other(f);
	const struct message *ghost;
	struct number_set set, out;
	struct mailbox *m, *n;
	struct source *src;
	struct view *v, *w;
	uint32_t count;

	append_three(f, "x");
	append_one(f, "x", ONE, MORTISE_FLAG_DELETED);
	v = open_view(f, f->s, "x", 0, &m);
	w = open_view(f, other, "x", 0, &n);
	set = uid_set(f, "4");
	ok(f, mailbox_expunge(m, &set, &count, &f->e));
	assert_int_equal(count, 1);
	ok(f, mailbox_expunge(m, NULL, &count, &f->e));
	assert_int_equal(count, 1);
	ok(f, mailbox_expunge(m, NULL, &count, &f->e));
	assert_int_equal(count, 0);
	/* U9: the other session still has its numbers, though it has looked. */
	append_one(f, "x", TWO, 0);
	assert_string_equal(update_text(f, w, 0), "exists 5 recent 1 ");
	assert_int_equal(view_count(w), 5);
	ghost = view_message(w, 3);
	assert_int_equal(ghost->uid, 3);
	assert_true(ghost->expunged);
	fails(f, mailbox_read(n, ghost, &src, &f->e), MORTISE_E_EXPUNGED);
	assert_int_equal(view_sequence(w, 5), 5);
	assert_string_equal(read_text(f, n, view_message(w, 5)), TWO);
	set = uid_set(f, "3:5");
	assert_true(view_uids_of_sequences(w, &set, f->a, &out));
	assert_int_equal(out.n, 1);
	assert_int_equal(out.v[0].low, 3);
	assert_int_equal(out.v[0].high, 5);
	view_uids_of_uids(w, &set, f->a, &out); /* the dead are not found by UID */
	assert_int_equal(out.n, 1);
	assert_int_equal(out.v[0].low, 5);
	assert_string_equal(update_text(f, w, VIEW_MAY_EXPUNGE), "exp 3/3 exp 3/4 ");
	assert_string_equal(update_text(f, w, VIEW_MAY_EXPUNGE), "");
	assert_int_equal(view_count(w), 3);
	assert_string_equal(update_text(f, v, VIEW_MAY_EXPUNGE), "exp 3/3 exp 3/4 exists 3 recent 2 ");
	view_close(&v);
	view_close(&w);
	mailbox_close(&m);
	mailbox_close(&n);
	store_close(&other);
}

/* U1: the UID of a message that went is not given again, in this session or the next. */
static void test_uids_rise(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v;
	uint32_t count;

	append_three(f, "x");
	v = open_view(f, f->s, "x", 0, &m);
	ok(f, mailbox_expunge(m, NULL, &count, &f->e));
	assert_int_equal(mailbox_uidnext(m), 4);
	assert_int_equal(append_one(f, "x", ONE, 0), 4);
	assert_string_equal(update_text(f, v, VIEW_MAY_EXPUNGE), "exp 3/3 exists 3 recent 3 ");
	assert_int_equal(view_message(v, 3)->uid, 4);
	view_close(&v);
	mailbox_close(&m);
}

static void test_several_views(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v, *w;
	uint32_t count;

	append_three(f, "x");
	v = open_view(f, f->s, "x", 0, &m);
	ok(f, view_open(m, &w, &f->e));
	ok(f, mailbox_expunge(m, NULL, &count, &f->e));
	assert_string_equal(update_text(f, v, VIEW_MAY_EXPUNGE | VIEW_NO_SYNC), "exp 3/3 recent 2 ");
	assert_int_equal(view_count(w), 3);
	assert_int_equal(view_message(w, 3)->uid, 3);
	view_close(&v);
	assert_string_equal(update_text(f, w, VIEW_MAY_EXPUNGE), "exp 3/3 recent 2 ");
	view_close(&w);
	mailbox_close(&m);
}

/* Many messages come and go; the records are used again and no view is confused. */
static void test_churn(void **state)
{
	struct fixture *f = *state;
	struct store *other = fixture_other(f);
	struct number_set set;
	struct mailbox *m, *n;
	struct view *v, *w;
	uint32_t count, round, i;

	ok(f, store_create(f->s, "x", &f->e));
	v = open_view(f, f->s, "x", 0, &m);
	w = open_view(f, other, "x", 0, &n);
	for (round = 0; round < 40; round++) {
		for (i = 0; i < 30; i++)
			append_one(f, "x", "x\r\n", 0);
		update_text(f, v, 0);
		set = uid_set(f, arena_printf(f->a, "%u:%u", round * 30 + 1, round * 30 + 25));
		ok(f, mailbox_store_flags(
		          m, &set, FLAGS_ADD, MORTISE_FLAG_DELETED, NULL, 0, NULL, NULL, &f->e));
		ok(f, mailbox_expunge(m, NULL, &count, &f->e));
		assert_int_equal(count, 25);
		if (round % 3 == 0)
			update_text(f, w, VIEW_MAY_EXPUNGE);
		update_text(f, v, round % 2 == 0 ? VIEW_MAY_EXPUNGE : 0);
	}
	update_text(f, v, VIEW_MAY_EXPUNGE);
	update_text(f, w, VIEW_MAY_EXPUNGE);
	assert_int_equal(view_count(v), 200);
	assert_int_equal(view_count(w), 200);
	/* U10 */
	for (i = 1; i <= 200; i++) {
		assert_int_equal(view_message(v, i)->uid, view_message(w, i)->uid);
		assert_int_equal(view_message(v, i)->uid, (i - 1) / 5 * 30 + 26 + (i - 1) % 5);
	}
	assert_int_equal(mailbox_uidnext(m), 1201);
	view_close(&v);
	view_close(&w);
	mailbox_close(&m);
	mailbox_close(&n);
	store_close(&other);
}

static void test_full_scans(void **state)
{
	struct fixture *f = *state;

	set_option(f, MEMORY(f), "full_scans", "yes");
	test_expunge_and_ghosts(state);
	ok(f, store_delete(f->s, "x", &f->e));
	test_flags(state);
	ok(f, store_delete(f->s, "x", &f->e));
	test_churn(state);
}

/* A driver that keeps no UIDs: the engine does. */
static void test_engine_uids(void **state)
{
	struct fixture *f = *state;
	struct str name = STR_INIT("k");
	struct number_set one;
	struct mailbox *m;
	struct view *v;
	uint32_t count;

	set_option(f, MEMORY(f), "assign_uids", "no");
	set_option(f, MEMORY(f), "tell_sizes", "no");
	ok(f, store_create(f->s, "x", &f->e));
	assert_int_equal(append_one(f, "x", ONE, 0), 0);
	append_one(f, "x", TWO, MORTISE_FLAG_DELETED);
	append_one(f, "x", THREE, 0);
	v = open_view(f, f->s, "x", 0, &m);
	assert_true(mailbox_uidvalidity(m) != 0);
	assert_int_equal(mailbox_uidnext(m), 4);
	assert_int_equal(view_message(v, 2)->uid, 2);
	assert_true(view_message(v, 2)->octets == MORTISE_SIZE_UNKNOWN);
	assert_string_equal(read_text(f, m, view_message(v, 2)), TWO);
	ok(f, mailbox_expunge(m, NULL, &count, &f->e));
	append_one(f, "x", ONE, 0);
	assert_string_equal(update_text(f, v, VIEW_MAY_EXPUNGE), "exp 2/2 exists 3 recent 3 ");
	assert_int_equal(view_message(v, 3)->uid, 4);
	one = uid_set(f, "3");
	ok(f, mailbox_store_flags(m, &one, FLAGS_ADD, MORTISE_FLAG_SEEN, &name, 1, NULL, NULL, &f->e));
	assert_string_equal(update_text(f, v, 0), "keywords flags 2=S+0 ");
	assert_string_equal(read_text(f, m, view_message(v, 3)), ONE);
	view_close(&v);
	mailbox_close(&m);
}

static void test_gone(void **state)
{
	struct fixture *f = *state;
	struct number_set all;
	struct source *src;
	struct mailbox *m;
	struct view *v;
	uint32_t count;

	append_three(f, "x");
	v = open_view(f, f->s, "x", 0, &m);
	all = uid_set(f, "1:*");
	ok(f, store_delete(f->s, "x", &f->e));
	fails(f, mailbox_sync(m, &f->e), MORTISE_E_NOTFOUND);
	assert_true(mailbox_gone(m));
	assert_int_equal(view_count(v), 3);
	fails(f, mailbox_read(m, view_message(v, 1), &src, &f->e), MORTISE_E_NOTFOUND);
	fails(f, mailbox_expunge(m, NULL, &count, &f->e), MORTISE_E_NOTFOUND);
	fails(f, mailbox_store_flags(m, &all, FLAGS_ADD, 1, NULL, 0, NULL, NULL, &f->e), MORTISE_E_NOTFOUND);
	fails(f, view_update(v, 0, &(struct view_events){0}, &f->e), MORTISE_E_NOTFOUND);
	view_close(&v);
	mailbox_close(&m);
}

/* attack-138: another mailbox under the same name is not shown as if it were the old one. */
static void test_replaced(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v;

	append_three(f, "x");
	append_three(f, "y");
	v = open_view(f, f->s, "x", 0, &m);
	assert_int_equal(
	    rename(arena_printf(f->a, "%s/mail/y", f->home), arena_printf(f->a, "%s/mail/x", f->home)), 0);
	fails(f, mailbox_sync(m, &f->e), MORTISE_E_NOTFOUND);
	assert_true(mailbox_gone(m));
	assert_int_equal(view_count(v), 3);
	view_close(&v);
	mailbox_close(&m);
}

static void test_read_only(void **state)
{
	struct fixture *f = *state;
	struct number_set all;
	struct mailbox *m;
	struct view *v;
	uint32_t count;

	append_three(f, "x");
	v = open_view(f, f->s, "x", MAILBOX_READ_ONLY, &m);
	all = uid_set(f, "1:*");
	assert_true(mailbox_read_only(m));
	assert_int_equal(mailbox_permanent_flags(m), 0);
	assert_false(mailbox_may_create_keywords(m));
	fails(f, mailbox_store_flags(m, &all, FLAGS_ADD, MORTISE_FLAG_SEEN, NULL, 0, NULL, NULL, &f->e),
	    MORTISE_E_PERM);
	fails(f, mailbox_expunge(m, NULL, &count, &f->e), MORTISE_E_PERM);
	append_one(f, "x", ONE, 0); /* by a box of its own */
	assert_string_equal(update_text(f, v, 0), "exists 4 recent 4 ");
	view_close(&v);
	mailbox_close(&m);
}

/* A missing INBOX is empty; the first message makes it at the first place that can be written. */
static void test_missing_inbox(void **state)
{
	struct fixture *f = *state;
	struct number_set all;
	struct mailbox *m;
	struct view *v;
	uint32_t count;

	v = open_view(f, f->s, "inbox", 0, &m);
	assert_string_equal(mailbox_name(m), "INBOX");
	assert_int_equal(view_count(v), 0);
	assert_true(mailbox_uidvalidity(m) != 0);
	assert_int_equal(mailbox_uidnext(m), 1);
	ok(f, mailbox_expunge(m, NULL, &count, &f->e));
	assert_false(exists(f, "mbox"));
	assert_string_equal(update_text(f, v, 0), "");
	/* Another session, or the mail system, brings it about. */
	append_one(f, "INBOX", ONE, 0);
	assert_true(exists(f, "mbox"));
	assert_string_equal(update_text(f, v, 0), "exists 1 recent 1 ");
	all = uid_set(f, "1:*");
	ok(f, mailbox_store_flags(m, &all, FLAGS_ADD, MORTISE_FLAG_SEEN, NULL, 0, NULL, NULL, &f->e));
	assert_string_equal(update_text(f, v, 0), "flags 1=S ");
	view_close(&v);
	mailbox_close(&m);
}

static void test_inbox_places(void **state)
{
	struct fixture *f = *state;
	struct mailbox_status st;
	struct mailbox *m;

	put_file(f, "spool", NULL);
	put_file(f, "mbox", "");
	append_one(f, "INBOX", ONE, 0); /* the first that exists, not the first that could */
	assert_false(exists(f, "spool/fred"));
	put_file(f, "spool/fred", "no mailbox\n");
	ok(f, store_status(f->s, "INBOX", 0, &st, &f->e));
	assert_int_equal(st.messages, 1);
	put_file(f, "spool/fred", "");
	ok(f, store_status(f->s, "INBOX", 0, &st, &f->e));
	assert_int_equal(st.messages, 0);
	/* Damage is told, not stepped over. */
	put_file(f, "spool/fred", "Mortise memory mailbox\n!");
	fails(f, mailbox_open(f->s, "INBOX", 0, &m, &f->e), MORTISE_E_CORRUPT);
	unlink(arena_printf(f->a, "%s/spool/fred", f->home));
	assert_int_equal(symlink("/etc/passwd", arena_printf(f->a, "%s/spool/fred", f->home)), 0);
	fails(f, mailbox_open(f->s, "INBOX", 0, &m, &f->e), MORTISE_E_PERM);
	unlink(arena_printf(f->a, "%s/spool/fred", f->home));
	unlink(arena_printf(f->a, "%s/mbox", f->home));
	ok(f, store_create(f->s, "#driver.debug/INBOX", &f->e));
	assert_true(exists(f, "spool/fred"));
	ok(f, store_status(f->s, "INBOX", 0, &st, &f->e));
	assert_int_equal(st.messages, 3);
	fails(f, store_create(f->s, "#driver.debug/INBOX", &f->e), MORTISE_E_EXISTS);
}

static void test_append_batch(void **state)
{
	struct fixture *f = *state;
	struct str names[] = {STR_INIT("one"), STR_INIT("two")};
	uint32_t uidvalidity, *uids;
	struct append *a;
	struct mailbox *m;
	struct view *v;
	size_t n;

	fails(f, append_begin(f->s, "x", &a, &f->e), MORTISE_E_NOTFOUND);
	assert_null(a);
	ok(f, store_create(f->s, "x", &f->e));
	v = open_view(f, f->s, "x", 0, &m);
	ok(f, append_begin(f->s, "x", &a, &f->e));
	assert_true(append_is_to(a, m));
	ok(f, append_message(a, MORTISE_FLAG_SEEN, names, 2, 5, -60, 7, &f->e));
	ok(f, append_write(a, STR("abc"), &f->e));
	ok(f, append_write(a, STR(""), &f->e));
	ok(f, append_write(a, STR("d\0\r\n"), &f->e));
	ok(f, append_message(a, 0, NULL, 0, 6, 0, MORTISE_SIZE_UNKNOWN, &f->e));
	assert_string_equal(update_text(f, v, 0), ""); /* nothing before the commit */
	ok(f, append_commit(&a, &uidvalidity, f->a, &uids, &n, &f->e));
	assert_null(a);
	assert_int_equal(n, 2);
	assert_int_equal(uidvalidity, mailbox_uidvalidity(m));
	assert_int_equal(uids[0], 1);
	assert_int_equal(uids[1], 2);
	assert_string_equal(update_text(f, v, 0), "exists 2 recent 2 keywords ");
	assert_int_equal(view_message(v, 1)->octets, 7);
	assert_int_equal(view_message(v, 1)->keywords, 3);
	assert_int_equal(view_message(v, 1)->zone, -60);
	assert_int_equal(view_message(v, 2)->octets, 0);
	assert_memory_equal(read_text(f, m, view_message(v, 1)), "abcd\0\r\n", 7);
	assert_string_equal(read_text(f, m, view_message(v, 2)), "");
	/* An empty batch is nothing. */
	ok(f, append_begin(f->s, "x", &a, &f->e));
	ok(f, append_commit(&a, &uidvalidity, f->a, &uids, &n, &f->e));
	assert_int_equal(n, 0);
	ok(f, append_begin(f->s, "x", &a, &f->e));
	append_abort(&a);
	append_abort(&a);
	assert_string_equal(update_text(f, v, 0), "");
	view_close(&v);
	mailbox_close(&m);
}

static void test_append_limits(void **state)
{
	struct fixture *f = *state;
	uint32_t uidvalidity, *uids;
	struct mailbox_status st;
	struct str bad = STR_INIT("a b");
	struct append *a;
	size_t n;

	f->o.message_size = 1024;
	ok(f, store_create(f->s, "x", &f->e));
	ok(f, append_begin(f->s, "x", &a, &f->e));
	fails(f, append_message(a, 0, NULL, 0, 0, 0, 1025, &f->e), MORTISE_E_TOOBIG);
	fails(f, append_message(a, 0, &bad, 1, 0, 0, 10, &f->e), MORTISE_E_INVALID);
	ok(f, append_message(a, 0, NULL, 0, 0, 0, 10, &f->e));
	fails(f, append_write(a, STR("12345678901"), &f->e), MORTISE_E_INVALID);
	ok(f, append_write(a, STR("123456789"), &f->e));
	fails(f, append_commit(&a, &uidvalidity, f->a, &uids, &n, &f->e), MORTISE_E_INVALID);
	assert_null(a);
	ok(f, append_begin(f->s, "x", &a, &f->e));
	ok(f, append_message(a, 0, NULL, 0, 0, 0, MORTISE_SIZE_UNKNOWN, &f->e));
	ok(f, append_write(a, str_mem(arena_alloc(f->a, 1000), 1000), &f->e));
	fails(f, append_write(a, str_mem(arena_alloc(f->a, 25), 25), &f->e), MORTISE_E_TOOBIG);
	append_abort(&a);
	ok(f, store_status(f->s, "x", 0, &st, &f->e));
	assert_int_equal(st.messages, 0);
}

/* "#driver.NAME/x" in APPEND. */
static void test_append_driver(void **state)
{
	struct fixture *f = *state;
	struct append *a;
	struct mailbox *m;

	put_file(f, "mail/empty", "");
	append_one(f, "#driver.debug/empty", ONE, 0);
	ok(f, mailbox_open(f->s, "empty", 0, &m, &f->e));
	assert_string_equal(m->driver->pub.name, "debug");
	mailbox_close(&m);
	fails(f, append_begin(f->s, "#driver.memory/empty", &a, &f->e), MORTISE_E_INVALID);
	fails(f, append_begin(f->s, "#driver.nix/empty", &a, &f->e), MORTISE_E_NOTFOUND);
	fails(f, mailbox_open(f->s, "#driver.debug/empty", 0, &m, &f->e), MORTISE_E_NOTFOUND);
	append_one(f, "#driver.debug/INBOX", ONE, 0);
	ok(f, mailbox_open(f->s, "INBOX", 0, &m, &f->e));
	assert_string_equal(m->driver->pub.name, "debug");
	mailbox_close(&m);
}

static void test_copy(void **state)
{
	struct fixture *f = *state;
	struct str name = STR_INIT("label");
	struct number_set set;
	struct copy_result r;
	struct mailbox *m, *n;
	struct view *v, *w;

	append_three(f, "x");
	ok(f, store_create(f->s, "#driver.fail/y", &f->e));
	append_one(f, "y", ONE, 0);
	v = open_view(f, f->s, "x", 0, &m);
	set = uid_set(f, "3");
	ok(f, mailbox_store_flags(m, &set, FLAGS_ADD, 0, &name, 1, NULL, NULL, &f->e));
	set = uid_set(f, "1,3,77");
	fails(f, mailbox_copy(m, &set, "z", f->a, &r, &f->e), MORTISE_E_NOTFOUND);
	ok(f, mailbox_copy(m, &set, "y", f->a, &r, &f->e));
	assert_int_equal(r.count, 2);
	assert_int_equal(r.from[0], 1);
	assert_int_equal(r.from[1], 3);
	assert_int_equal(r.to[0], 2);
	assert_int_equal(r.to[1], 3);
	w = open_view(f, f->s, "y", 0, &n);
	assert_int_equal(r.uidvalidity, mailbox_uidvalidity(n));
	/* U4 */
	assert_string_equal(read_text(f, n, view_message(w, 3)), THREE);
	assert_int_equal(view_message(w, 3)->flags, MORTISE_FLAG_DELETED);
	assert_string_equal(mailbox_keyword(n, 0), "label");
	assert_int_equal(view_message(w, 3)->keywords, 1);
	assert_int_equal(view_message(w, 3)->internal_date, 1000000000);
	assert_int_equal(view_message(w, 3)->zone, 60);
	/* Into itself. */
	ok(f, mailbox_copy(m, &set, "x", f->a, &r, &f->e));
	assert_int_equal(r.to[1], 5);
	assert_string_equal(update_text(f, v, 0), "exists 5 recent 5 keywords flags 3=D+0 ");
	assert_string_equal(read_text(f, m, view_message(v, 5)), THREE);
	assert_string_equal(read_text(f, m, view_message(v, 4)), ONE);
	/* Nothing to copy is no error. */
	set = uid_set(f, "77");
	ok(f, mailbox_copy(m, &set, "y", f->a, &r, &f->e));
	assert_int_equal(r.count, 0);
	view_close(&v);
	view_close(&w);
	mailbox_close(&m);
	mailbox_close(&n);
}

/* One message went away: none is copied. */
static void test_copy_all_or_none(void **state)
{
	struct fixture *f = *state;
	struct store *other = fixture_other(f);
	struct number_set set;
	struct mailbox_status st;
	struct copy_result r;
	struct mailbox *m, *n;
	uint32_t count;

	append_three(f, "x");
	ok(f, store_create(f->s, "y", &f->e));
	ok(f, mailbox_open(f->s, "x", 0, &m, &f->e));
	ok(f, mailbox_open(other, "x", 0, &n, &f->e));
	ok(f, mailbox_expunge(n, NULL, &count, &f->e));
	set = uid_set(f, "1:3");
	fails(f, mailbox_copy(m, &set, "y", f->a, &r, &f->e), MORTISE_E_EXPUNGED);
	ok(f, store_status(f->s, "y", 0, &st, &f->e));
	assert_int_equal(st.messages, 0);
	mailbox_close(&m);
	mailbox_close(&n);
	store_close(&other);
}

static void test_locked_out(void **state)
{
	struct fixture *f = *state;
	struct store *other = fixture_other(f);
	struct number_set all;
	struct mailbox *m, *n;
	uint32_t count;

	append_three(f, "x");
	ok(f, mailbox_open(f->s, "x", 0, &m, &f->e));
	ok(f, mailbox_open(other, "x", 0, &n, &f->e));
	all = uid_set(f, "1:*");
	ok(f, change_begin(n, &f->e));
	fails(f, mailbox_store_flags(m, &all, FLAGS_ADD, MORTISE_FLAG_SEEN, NULL, 0, NULL, NULL, &f->e),
	    MORTISE_E_INUSE);
	fails(f, mailbox_expunge(m, NULL, &count, &f->e), MORTISE_E_INUSE);
	fails(f, store_delete(f->s, "x", &f->e), MORTISE_E_INUSE);
	fails(f, store_rename(f->s, "x", "y", &f->e), MORTISE_E_INUSE);
	ok(f, mailbox_sync(m, &f->e)); /* reading goes on */
	change_end(n);
	ok(f, mailbox_expunge(m, NULL, &count, &f->e));
	assert_int_equal(count, 1);
	mailbox_close(&m);
	mailbox_close(&n);
	store_close(&other);
}

static int stop_after(void *arg)
{
	return --*(int *)arg < 0 ? MORTISE_E_CANCELLED : 0;
}

/* Every operation, cancelled at every poll: nothing has changed, and the mailbox is usable. */
static void test_cancelled(void **state)
{
	struct fixture *f = *state;
	struct number_set all;
	struct mailbox_status st;
	struct copy_result r;
	struct mailbox *m;
	uint32_t count;
	int polls, left, done = 0;

	append_three(f, "x");
	ok(f, store_create(f->s, "y", &f->e));
	ok(f, mailbox_open(f->s, "x", 0, &m, &f->e));
	all = uid_set(f, "1:*");
	for (polls = 0; polls < 200 && done < 3; polls++) {
		done = 0;
		store_set_stop(f->s, stop_after, &left);
		left = polls;
		if (mailbox_copy(m, &all, "y", f->a, &r, &f->e) == 0)
			done++;
		else
			fails(f, f->e.code, MORTISE_E_CANCELLED);
		left = polls;
		if (mailbox_sync(m, &f->e) >= 0)
			done++;
		else
			fails(f, f->e.code, MORTISE_E_CANCELLED);
		left = polls;
		if (store_create(f->s, arena_printf(f->a, "new%d", polls), &f->e) == 0)
			done++;
		else
			fails(f, f->e.code, MORTISE_E_CANCELLED);
		store_set_stop(f->s, NULL, NULL);
		ok(f, store_status(f->s, "y", 0, &st, &f->e));
		assert_int_equal(st.messages % 3, 0);
	}
	assert_int_equal(done, 3);
	ok(f, mailbox_expunge(m, NULL, &count, &f->e));
	assert_int_equal(count, 1);
	mailbox_close(&m);
}

static int stop_at_copied(const char *step)
{
	return strcmp(step, "copied") == 0;
}

/* A rewrite that a crash cut off is finished before the mailbox is looked at, under the lock. */
static void test_journal(void **state)
{
	static const char text[] = "Mortise memory mailbox\n00000000000000aa\n";
	struct fixture *f = *state;
	struct store *other = fixture_other(f);
	struct mortise_driver_ops ops = *driver_ops(MEMORY(f));
	struct mortise_traits traits = *ops.traits;
	const void *real = MEMORY(f)->ops;
	struct journal *j;
	struct mailbox *m, *n, *reader;
	char now[sizeof(text)] = "";
	int fd;

	traits.needs_journal = true;
	ops.traits = &traits;
	MEMORY(f)->ops = &ops;
	put_file(f, "mail/x", "Mortise memory mailbox\n00000000000000ff\n");
	put_file(f, "mail/y", "Mortise memory mailbox\n00000000000000bb\n");
	append_one(f, "x", "Subject: seen\r\n\r\n", 0);
	ok(f, mailbox_open(f->s, "x", 0, &m, &f->e));
	ok(f, mailbox_open(other, "x", 0, &n, &f->e));
	ok(f, mailbox_open(f->s, "x", MAILBOX_READ_ONLY, &reader, &f->e));
	m->told = reader->told = true;
	fd = open(arena_printf(f->a, "%s/mail/x", f->home), O_RDWR);
	assert_true(journal_open(f->s->journals, fd, 0, &j, &f->e) >= 0);
	assert_int_equal(io_write(journal_fd(j), text, sizeof(text) - 1), 0);
	journal_step_hook = stop_at_copied;
	fails(f, journal_commit(&j, &f->e), MORTISE_E_UNAVAILABLE);
	journal_step_hook = NULL;
	assert_true(journal_waiting(f->s->journals, fd));
	/* Others are not held up by it. */
	{
		struct mailbox_status st;

		ok(f, store_status(f->s, "y", 0, &st, &f->e));
	}
	assert_true(journal_waiting(f->s->journals, fd));
	/* Somebody has the lock: it waits its turn, and says so in time. */
	ok(f, box_lock(n, MORTISE_LOCK_EXCLUSIVE, 1, &f->e));
	fails(f, mailbox_sync(m, &f->e), MORTISE_E_INUSE);
	fails(f, mailbox_sync(reader, &f->e), MORTISE_E_INUSE);
	ok(f, box_lock(n, MORTISE_LOCK_NONE, 0, &f->e));
	fails(f, mailbox_sync(reader, &f->e), MORTISE_E_NOTFOUND); /* it has it replayed, too */
	assert_false(journal_waiting(f->s->journals, fd));
	fails(f, mailbox_sync(m, &f->e), MORTISE_E_NOTFOUND); /* the marker is another mailbox's now */
	assert_int_equal(pread(fd, now, sizeof(now) - 1, 0), sizeof(text) - 1);
	assert_string_equal(now, text);
	close(fd);
	mailbox_close(&m);
	mailbox_close(&n);
	mailbox_close(&reader);
	store_close(&other);
	MEMORY(f)->ops = real;
}

/* A state directory that cannot be made is no reason to lock anybody out. */
static void test_no_state_dir(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	uint32_t count;

	put_file(f, ".mortise", "in the way");
	fixture_reopen(f);
	append_three(f, "x");
	ok(f, mailbox_open(f->s, "x", 0, &m, &f->e));
	assert_int_equal(f->s->journals, -1);
	ok(f, mailbox_expunge(m, NULL, &count, &f->e));
	assert_int_equal(count, 1);
	mailbox_close(&m);
}

static void test_envelope_and_structure(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v;
	struct source *text = NULL;
	struct str s, t;
	uint64_t octets;
	struct mime_part *root;
	int i;

	ok(f, store_create(f->s, "x", &f->e));
	for (i = 0; i < 300; i++)
		append_one(f, "x",
		    arena_printf(f->a, "Subject: number %d\r\nFrom: a@b.example\r\n\r\nbody\r\n", i), 0);
	v = open_view(f, f->s, "x", 0, &m);
	for (i = 0; i < 600; i++) {
		const struct message *msg = view_message(v, (uint32_t)(i % 300) + 1);

		ok(f, mailbox_envelope(m, msg, &text, &s, &f->e));
		assert_true(str_search(s, str_of(arena_printf(f->a, "\"number %d\"", i % 300))) != SIZE_MAX);
		ok(f, mailbox_envelope(m, msg, &text, &t, &f->e));
		assert_int_equal(s.n, t.n);
		ok(f, mailbox_structure(m, msg, i % 2 == 0, &text, &s, &f->e));
		assert_true(str_istarts(s, STR("(\"TEXT\" \"PLAIN\"")));
		source_close(&text);
	}
	ok(f, mailbox_octets(m, view_message(v, 1), &octets, &f->e));
	assert_int_equal(octets, view_message(v, 1)->octets);
	ok(f, mailbox_parts(m, view_message(v, 1), &text, f->a, &root, &f->e));
	assert_int_equal(root->kind, MIME_TEXT);
	assert_non_null(text);
	source_close(&text);
	view_close(&v);
	mailbox_close(&m);
}

#define T(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_open), T(test_recent), T(test_status), T(test_flags),
	    T(test_keyword_limits), T(test_keywords_of_two_sessions), T(test_expunge_and_ghosts),
	    T(test_uids_rise), T(test_several_views), T(test_churn), T(test_full_scans), T(test_engine_uids),
	    T(test_gone), T(test_replaced), T(test_read_only), T(test_missing_inbox), T(test_inbox_places),
	    T(test_append_batch), T(test_append_limits), T(test_append_driver), T(test_copy),
	    T(test_copy_all_or_none), T(test_locked_out), T(test_cancelled), T(test_journal),
	    T(test_no_state_dir), T(test_envelope_and_structure)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
