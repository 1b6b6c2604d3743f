/* test-unix.c: what the driver makes of mailboxes, and mailboxes of what it does. */
#include "test-support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEEN MORTISE_FLAG_SEEN
#define DELETED MORTISE_FLAG_DELETED
#define FLAGGED MORTISE_FLAG_FLAGGED
#define ANSWERED MORTISE_FLAG_ANSWERED
#define RECENT MORTISE_FLAG_RECENT

#define TWO HEAD "Subject: one\n\nbody one\n\n" HEAD "Subject: two\n\nbody two\n\n"

static void delivered_mail_gets_uids(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char *file;

	RIG_PUT(r, TWO);
	rig_open(r);
	assert_int_equal(s->count, 2);
	assert_int_equal(s->full, 1);
	assert_int_equal(s->messages[0].uid, 1);
	assert_int_equal(s->messages[1].uid, 2);
	assert_int_equal(s->uidnext, 3);
	assert_int_equal(s->messages[0].flags, RECENT);
	assert_string_equal(session_read(s, 1, NULL), "Subject: one\r\n\r\nbody one\r\n");
	assert_string_equal(session_read(s, 2, NULL), "Subject: two\r\n\r\nbody two\r\n");
	file = rig_get(r, NULL);
	assert_non_null(strstr(file, "+0000\nX-IMAPbase: "));
	assert_non_null(strstr(file, "\nX-UID: 1\nSubject: one\n\nbody one\n\nFrom a@b"));
	/* Nothing changed: nothing is told. */
	OK(s, session_sync(s));
	assert_int_equal(s->full + s->added + s->changed + s->vanished, 0);
	/* And it stays so. */
	{
		uint32_t v = s->uidvalidity;
		rig_reopen(r);
		assert_int_equal(s->uidvalidity, v);
		assert_int_equal(s->messages[1].uid, 2);
	}
}

static int truncateat_box(struct rig *r, size_t size)
{
	int fd = openat(r->root, "box", O_WRONLY), result = ftruncate(fd, (off_t)size);

	close(fd);
	return result;
}

/* ---- flags ---- */

static void flags_are_changed_in_place(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct stat st;
	size_t before, after;
	char *file;

	RIG_PUT(r, TWO);
	rig_open(r);
	rig_get(r, &before);
	OK(s, session_flags(s, 2, SEEN | FLAGGED | ANSWERED | DELETED | MORTISE_FLAG_DRAFT, 0));
	file = rig_get(r, &after);
	assert_int_equal(before, after);
	assert_non_null(strstr(file, "Status: R \nX-Status: DFAT\n"));
	/* Only that message is told, and nothing is read in full. */
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	assert_int_equal(s->changed, 1);
	assert_int_equal(
	    session_find(s, 2)->flags, SEEN | FLAGGED | ANSWERED | DELETED | MORTISE_FLAG_DRAFT | RECENT);
	OK(s, session_seen(s));
	OK(s, session_sync(s));
	assert_int_equal(session_find(s, 1)->flags, 0);
	OK(s, session_flags(s, 2, 0, 0));
	rig_reopen(r);
	assert_int_equal(session_find(s, 2)->flags, 0);
	rig_get(r, &after);
	assert_int_equal(before, after);
	/* No mailer says "new mail" because of a flag. */
	assert_int_equal(fstatat(r->root, "box", &st, 0), 0);
	assert_true(st.st_mtim.tv_sec < st.st_atim.tv_sec);
}

static void another_session_sees_flags(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, other;

	RIG_PUT(r, TWO);
	rig_open(r);
	OK(&other, session_open(r, &other, 0));
	OK(&other, session_sync(&other));
	OK(s, session_flags(s, 1, SEEN, 0));
	OK(&other, session_sync(&other));
	assert_int_equal(session_find(&other, 1)->flags, SEEN | RECENT);
	OK(&other, session_flags(&other, 1, FLAGGED, 0));
	OK(s, session_sync(s));
	assert_int_equal(session_find(s, 1)->flags, FLAGGED | RECENT);
	/* A flag in the old part and new mail behind it: both are seen. */
	OK(&other, session_flags(&other, 2, ANSWERED, 0));
	rig_add(r, HEAD "Subject: three\n\nbody\n\n");
	OK(s, session_sync(s));
	assert_int_equal(s->count, 3);
	assert_int_equal(session_find(s, 2)->flags, ANSWERED | RECENT);
	session_close(&other);
}

static void keywords_are_kept(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, other;
	size_t before, after;
	unsigned a, b, again;

	RIG_PUT(r, TWO);
	rig_open(r);
	rig_get(r, &before);
	OK(s, session_keyword(s, "$Label1", &a));
	OK(s, session_keyword(s, "MyKey", &b));
	OK(s, session_keyword(s, "mykey", &again));
	assert_int_equal(b, again);
	assert_int_not_equal(a, b);
	OK(s, session_flags(s, 1, SEEN, 1u << a | 1u << b));
	OK(s, session_flags(s, 2, 0, 1u << b));
	OK(s, session_sync(s));
	assert_int_equal(session_find(s, 1)->keywords, 1u << a | 1u << b);
	OK(&other, session_open(r, &other, 0));
	OK(&other, session_sync(&other));
	assert_int_equal(other.name_count, 2);
	assert_string_equal(other.names[a], "$Label1");
	assert_int_equal(session_find(&other, 2)->keywords, 1u << b);
	assert_string_equal(session_read(s, 2, NULL), "Subject: two\r\n\r\nbody two\r\n");
	assert_string_equal(session_read(&other, 1, NULL), "Subject: one\r\n\r\nbody one\r\n");
	session_close(&other);
	/* In place again once there is room. */
	rig_get(r, &before);
	OK(s, session_flags(s, 1, 0, 1u << a));
	OK(s, session_flags(s, 1, FLAGGED, 1u << a | 1u << b));
	rig_get(r, &after);
	assert_int_equal(before, after);
}

/* A pseudo-message that has to grow is no message afterwards either. */
static void keywords_outgrow_the_pseudo_message(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	unsigned bit;
	uint32_t uid;

	RIG_PUT(r, "From MAILER-DAEMON Mon Jan  1 10:00:00 2024\nDate: 01 Jan 2024 10:00:00 +0000\n"
	           "From: Mail System Internal Data <MAILER-DAEMON@h>\n"
	           "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\nMessage-ID: <1@h>\n"
	           "X-IMAP: 1700000000 0000000000\nStatus: RO\n\nnot a message\n\n");
	rig_open(r);
	OK(s, session_append(s, "Subject: one\r\n\r\nbody\r\n", 0, NULL, &uid));
	OK(s, session_append(s, "Subject: two\r\n\r\nbody\r\n", 0, NULL, &uid));
	OK(s, session_sync(s));
	for (unsigned i = 0; i < 12; i++) {
		char name[48];
		snprintf(name, sizeof name, "a-keyword-that-takes-room-%02u", i);
		OK(s, session_keyword(s, name, &bit));
		OK(s, session_flags(s, uid, SEEN, UINT64_C(1) << bit));
		OK(s, session_sync(s));
		assert_int_equal(s->count, 2);
		assert_int_equal(s->messages[0].uid, 1);
		assert_int_equal(session_find(s, 2)->keywords, UINT64_C(1) << bit);
	}
	assert_true(strncmp(rig_get(r, NULL), "From MAILER-DAEMON ", 19) == 0);
	assert_non_null(strstr(rig_get(r, NULL), "FOLDER INTERNAL DATA"));
	assert_non_null(strstr(rig_get(r, NULL), "X-IMAP: "));
	rig_reopen(r);
	assert_int_equal(s->count, 2);
	assert_int_equal(s->messages[1].uid, 2);
}

static void keyword_limit_is_told(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	unsigned bit;

	rig_option(r, "keyword_limit", "2");
	RIG_PUT(r, TWO);
	rig_open(r);
	assert_int_equal(s->info.keyword_limit, 2);
	OK(s, session_keyword(s, "a", &bit));
	OK(s, session_keyword(s, "b", &bit));
	assert_int_equal(session_keyword(s, "c", &bit), MORTISE_E_LIMIT);
	assert_int_equal(session_keyword(s, "not a keyword", &bit), MORTISE_E_INVALID);
	OK(s, session_keyword(s, "B", &bit));
	assert_int_equal(bit, 1);
}

static void sixty_four_long_keywords_fit(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	unsigned bit;

	rig_option(r, "keyword_limit", "64");
	RIG_PUT(r, TWO);
	rig_open(r);
	for (unsigned i = 0; i < 64; i++) {
		char name[64];
		snprintf(name, sizeof name, "%048u%02u", 0u, i);
		OK(s, session_keyword(s, name, &bit));
		assert_int_equal(bit, i);
		OK(s,
		    session_flags(s, 1 + (i & 1), SEEN, i == 63 ? UINT64_MAX : (UINT64_C(1) << (i + 1)) - 1));
	}
	rig_reopen(r);
	assert_int_equal(s->name_count, 64);
	assert_true(session_find(s, 2)->keywords == UINT64_MAX);
	assert_int_equal(s->messages[1].uid, 2);
	assert_string_equal(session_read(s, 2, NULL), "Subject: two\r\n\r\nbody two\r\n");
}

/* A name that only a message has, not the list: not dropped without a word, as elsewhere. */
static void unlisted_keywords_are_not_lost(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	RIG_PUT(r, HEAD
	    "X-IMAPbase: 1700000000 1 known\nStatus: RO\nX-Status: \nX-Keywords: known stranger          "
	    "                  \nX-UID: 1\nSubject: x\n\nb\n\n");
	rig_open(r);
	assert_int_equal(s->name_count, 2);
	assert_string_equal(s->names[1], "stranger");
	assert_int_equal(s->messages[0].keywords, 3);
	OK(s, session_flags(s, 1, FLAGGED, 3));
	assert_non_null(strstr(rig_get(r, NULL), "X-IMAPbase: 1700000000 1 known stranger\n"));
}

/* ---- expunge ---- */

static void expunge_keeps_uids(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, other;
	static const uint32_t some[] = {2, 3, 5, 99}, first[] = {1}, rest[] = {4, 6};
	uint32_t v, uid;
	char *file;

	rig_fill(r, 6);
	rig_open(r);
	v = s->uidvalidity;
	OK(&other, session_open(r, &other, 0));
	OK(&other, session_sync(&other));
	OK(s, session_flags(s, 4, FLAGGED, 0));
	OK(s, session_sync(s));
	OK(s, session_expunge(s, some, 4));
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	assert_int_equal(s->vanished, 3);
	assert_int_equal(s->count, 3);
	rig_is_message(s, 1, 1);
	rig_is_message(s, 4, 4);
	rig_is_message(s, 6, 6);
	/* One that has not synced yet finds its messages all the same. */
	rig_is_message(&other, 6, 6);
	rig_is_message(&other, 5, 5);
	OK(s, session_checkpoint(s));
	rig_is_message(&other, 6, 6);
	assert_null(session_read(&other, 5, NULL));
	assert_int_equal(other.e.code, MORTISE_E_EXPUNGED);
	OK(&other, session_sync(&other));
	assert_int_equal(other.count, 3);
	assert_int_equal(session_find(&other, 4)->flags, FLAGGED | RECENT);
	/* The first one goes: what it held goes to the next. */
	OK(s, session_expunge(s, first, 1));
	rig_reopen(r);
	assert_int_equal(s->uidvalidity, v);
	assert_int_equal(s->uidnext, 7);
	assert_int_equal(s->messages[0].uid, 4);
	rig_is_message(s, 4, 4);
	/* All go: the file is never empty again. */
	OK(s, session_expunge(s, rest, 2));
	OK(s, session_checkpoint(s));
	file = rig_get(r, NULL);
	assert_memory_equal(file, "From MAILER-DAEMON ", 19);
	assert_non_null(strstr(file, "\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"));
	rig_reopen(r);
	assert_int_equal(s->count, 0);
	assert_int_equal(s->uidvalidity, v);
	assert_int_equal(s->uidnext, 7);
	OK(s, session_append(s, "Subject: 7\r\n\r\nbody 7\r\n", 0, NULL, &uid));
	assert_int_equal(uid, 7);
	session_close(&other);
}

static void expunge_works_without_a_journal(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t some[] = {1, 3};
	int kept = r->journals;

	r->journals = -1;
	rig_option(r, "expunged_max", "0");
	rig_fill(r, 5);
	rig_open(r);
	OK(s, session_expunge(s, some, 2));
	rig_reopen(r);
	assert_int_equal(s->count, 3);
	rig_is_message(s, 2, 2);
	rig_is_message(s, 4, 4);
	rig_is_message(s, 5, 5);
	r->journals = kept;
}

/* ---- append ---- */

static void appended_is_what_was_given(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	uint32_t uid;
	unsigned bit;
	char *file;

	RIG_PUT(r, "");
	rig_open(r);
	assert_int_equal(s->count, 0);
	OK(s, session_append(s, "Subject: a\r\n\r\nFrom me\r\nline\r\n", SEEN | FLAGGED, "Key1 Key2", &uid));
	assert_int_equal(uid, 1);
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0); /* nothing but our own */
	assert_int_equal(s->count, 1);
	assert_int_equal(s->messages[0].flags, SEEN | FLAGGED | RECENT);
	assert_int_equal(s->messages[0].keywords, 3);
	assert_int_equal(s->messages[0].m.internal_date, 1704446430);
	assert_int_equal(s->messages[0].m.zone, 60);
	assert_string_equal(session_read(s, 1, NULL), "Subject: a\r\n\r\n>From me\r\nline\r\n");
	OK(s, session_append(s, "Subject: b\r\n\r\nno end", 0, NULL, &uid));
	assert_int_equal(uid, 2);
	OK(s, session_keyword(s, "Key3", &bit));
	OK(s, session_append(s, "Subject: c\r\n\r\n\r\nbare\rCR\r\r\nend\r\n\r\n", 0, "Key3", &uid));
	OK(s, session_sync(s));
	assert_string_equal(session_read(s, 2, NULL), "Subject: b\r\n\r\nno end\r\n");
	assert_string_equal(session_read(s, 3, NULL), "Subject: c\r\n\r\n\r\nbare\rCR\r\nend\r\n\r\n");
	assert_int_equal(session_find(s, 3)->keywords, 4);
	file = rig_get(r, NULL);
	assert_non_null(strstr(file, " Fri Jan  5 10:20:30 2024 +0100\nX-IMAPbase: "));
	rig_reopen(r);
	assert_int_equal(s->count, 3);
	assert_string_equal(session_read(s, 3, NULL), "Subject: c\r\n\r\n\r\nbare\rCR\r\nend\r\n\r\n");
	assert_int_equal(session_append(s, "", 0, NULL, NULL), MORTISE_E_INVALID);
}

/* attack-112: in what is appended, in the whole header, in every message, also behind other X- fields. */
static void reserved_fields_are_renamed(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char text[] =
	    "X-Foo: 1\r\nStatus: junk\r\nX-UID: 77\r\nx-imap: 1 2\r\nX-IMAPbase: 1 2\r\nX-IMAPbasement: "
	    "mine\r\nX-KEYWORDS: k\r\nX-Status: D\r\n folded\r\nSubject: s\r\n\r\nStatus: body\r\n";
	static const char want[] =
	    "X-Foo: 1\r\nX-Original-Status: junk\r\nX-Original-X-UID: 77\r\nX-Original-x-imap: 1 "
	    "2\r\nX-Original-X-IMAPbase: 1 2\r\nX-IMAPbasement: mine\r\nX-Original-X-KEYWORDS: "
	    "k\r\nX-Original-X-Status: D\r\n folded\r\nSubject: s\r\n\r\nStatus: body\r\n";

	RIG_PUT(r, "");
	rig_open(r);
	OK(s, session_append(s, text, 0, NULL, NULL));
	OK(s, session_append(s, text, 0, NULL, NULL));
	rig_reopen(r);
	assert_int_equal(s->count, 2);
	assert_string_equal(session_read(s, 1, NULL), want);
	assert_string_equal(session_read(s, 2, NULL), want);
	assert_int_equal(s->messages[1].flags, RECENT);
	assert_int_equal(s->messages[1].uid, 2);
}

static void from_quoting_can_spare_text(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char text[] =
	    "Subject: q\r\n\r\nFrom the start\r\nFrom - Mon Jan  1 10:00:00 2024\r\nFrom \r\nFrom";

	rig_option(r, "from_quoting", "valid");
	RIG_PUT(r, "");
	rig_open(r);
	OK(s, session_append(s, text, 0, NULL, NULL));
	OK(s, session_sync(s));
	assert_int_equal(s->count, 1);
	assert_string_equal(session_read(s, 1, NULL),
	    "Subject: q\r\n\r\nFrom the start\r\n>From - Mon Jan  1 10:00:00 2024\r\nFrom \r\nFrom\r\n");
}

static void appending_after_an_unfinished_message(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char *const ends[] = {"Subject: u\n\nno newline", "Subject: u\n\nno separator\n",
	    "Subject: u", "Subject: u\n", "Subject: u\n\n", ""};

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		RIG_PUT(r, HEAD);
		rig_add(r, ends[i]);
		rig_open(r);
		assert_int_equal(s->count, 1);
		OK(s, session_append(s, "Subject: next\r\n\r\nb\r\n", 0, NULL, NULL));
		rig_add(r, HEAD "Subject: third\n\nb\n\n");
		rig_reopen(r);
		assert_int_equal(s->count, 3);
		assert_string_equal(session_read(s, 2, NULL), "Subject: next\r\n\r\nb\r\n");
		session_close(s);
	}
}

/* The driver takes no part of a batch: see the last message of it. */
static void read_only_mailboxes_are_not_written(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct stat before, after;
	unsigned bit;

	RIG_PUT(r, TWO);
	assert_int_equal(fstatat(r->root, "box", &before, 0), 0);
	OK(s, session_open(r, s, MORTISE_OPEN_READ_ONLY));
	assert_true(s->info.read_only);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 2);
	assert_int_equal(s->messages[1].uid, 2);
	assert_string_equal(session_read(s, 2, NULL), "Subject: two\r\n\r\nbody two\r\n");
	assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_PERM);
	assert_int_equal(session_flags(s, 1, SEEN, 0), MORTISE_E_PERM);
	assert_int_equal(session_keyword(s, "k", &bit), MORTISE_E_PERM);
	assert_int_equal(session_append(s, "a: b\r\n\r\n", 0, NULL, NULL), MORTISE_E_PERM);
	assert_int_equal(fstatat(r->root, "box", &after, 0), 0);
	assert_int_equal(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
	assert_int_equal(before.st_size, after.st_size);
	/* New mail comes, and the session goes on. */
	{
		uint32_t v = s->uidvalidity;
		rig_add(r, HEAD "Subject: three\n\nb\n\n");
		OK(s, session_sync(s));
		assert_int_equal(s->full, 0);
		assert_int_equal(s->uidvalidity, v);
		assert_int_equal(s->count, 3);
		assert_int_equal(s->messages[2].uid, 3);
		assert_string_equal(session_read(s, 3, NULL), "Subject: three\r\n\r\nb\r\n");
	}
}

/* ---- new mail, and what others do ---- */

static void new_mail_is_read_from_the_old_end(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	RIG_PUT(r, TWO);
	rig_open(r);
	rig_add(r, HEAD "Subject: three\n\nbody three\n\n" HEAD "Subject: four\n\nbody four\n\n");
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	assert_int_equal(s->added, 2);
	assert_int_equal(s->messages[3].uid, 4);
	assert_string_equal(session_read(s, 4, NULL), "Subject: four\r\n\r\nbody four\r\n");
	assert_string_equal(session_read(s, 1, NULL), "Subject: one\r\n\r\nbody one\r\n");
	rig_reopen(r);
	assert_int_equal(s->count, 4);
	assert_int_equal(s->messages[3].uid, 4);
}

/* attack-138 */
static void a_truncated_mailbox_is_noticed(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	size_t size;
	char *before, *after;

	rig_fill(r, 5);
	rig_open(r);
	assert_int_equal(truncateat_box(r, 20), 0);
	assert_null(session_read(s, 5, NULL));
	assert_int_equal(session_sync(s), MORTISE_E_CORRUPT);
	assert_non_null(strstr(s->e.admin, "octet 0"));
	before = rig_get(r, &size);
	assert_int_equal(session_sync(s), MORTISE_E_CORRUPT);
	after = rig_get(r, &size);
	assert_string_equal(before, after);
	/* To a whole message: the rest has vanished. */
	session_close(s);
	rig_fill(r, 3);
	rig_open(r);
	after = rig_get(r, &size);
	assert_int_equal(truncateat_box(r, strstr(after, HEAD "X-IMAPbase") == NULL
	                                       ? size
	                                       : (size_t)(strstr(after + 40, "\n" HEAD) + 1 - after)),
	    0);
	OK(s, session_sync(s));
	assert_int_equal(s->full, 1);
	assert_int_equal(s->count, 1);
	rig_is_message(s, 1, 1);
	OK(s, session_append(s, "Subject: 4\r\n\r\nbody 4\r\n>From here\r\n", 0, NULL, NULL));
	OK(s, session_sync(s));
	rig_is_message(s, 4, 4); /* 2 and 3 are not given again */
	/* Emptied: UIDVALIDITY and UIDs go on. */
	{
		uint32_t v = s->uidvalidity;
		assert_int_equal(truncateat_box(r, 0), 0);
		OK(s, session_sync(s));
		assert_int_equal(s->count, 0);
		assert_int_equal(s->uidvalidity, v);
		assert_int_equal(s->uidnext, 5);
		rig_add(r, HEAD "Subject: 5\n\nbody 5\n>From here\n\n");
		OK(s, session_sync(s));
		assert_int_equal(s->uidvalidity, v);
		rig_is_message(s, 5, 5);
	}
}

/* attack-138 */
static void a_replaced_mailbox_is_noticed(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	uint32_t v;

	rig_fill(r, 3);
	rig_open(r);
	v = s->uidvalidity;
	assert_int_equal(renameat(r->root, "box", r->root, "away"), 0);
	assert_int_equal(session_sync(s), MORTISE_E_NOTFOUND);
	rig_fill(r, 2);
	OK(s, session_sync(s));
	assert_int_equal(s->full, 1);
	assert_int_equal(s->count, 2);
	(void)v;
	rig_is_message(s, s->messages[1].uid, 2);
	OK(s, session_flags(s, s->messages[0].uid, SEEN, 0));
	assert_int_equal(renameat(r->root, "away", r->root, "box"), 0);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 3);
	assert_int_equal(s->uidvalidity, v);
}

static void unlocked_garbage_at_the_end_is_text(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	RIG_PUT(r, TWO);
	rig_open(r);
	rig_add(r, "garbage\n");
	OK(s, session_sync(s));
	assert_int_equal(s->full, 1);
	assert_int_equal(s->count, 2);
	assert_string_equal(session_read(s, 2, NULL), "Subject: two\r\n\r\nbody two\r\n\r\ngarbage\r\n");
}

/* ---- batches, making, recognising ---- */

#define BEGIN(r, s, op)                                                          \
	struct call_env env = {.box = (s)->arena, .journal_dir = (r)->journals}; \
	struct call c;                                                           \
	err_clear(&(s)->e);                                                      \
	call_begin(&c, (r)->instance, &env, op)

static int append_batch(struct rig *r, const char *const *texts, size_t count, uint32_t *uids)
{
	struct session *s = &r->s;
	struct mortise_append_info info = {.size = sizeof info, .internal_date = 1704446430};
	uint32_t uidvalidity = 0;
	void *tx = NULL;
	int result;

	BEGIN(r, s, "append");
	result = rig_ops(r)->append_begin(&c.pub, s->box, &tx);
	for (size_t i = 0; result == 0 && i < count; i++) {
		result = rig_ops(r)->append_message(&c.pub, tx, &info);
		if (result == 0)
			result = rig_ops(r)->append_write(&c.pub, tx, texts[i], strlen(texts[i]));
	}
	if (result == 0)
		result = rig_ops(r)->append_commit(&c.pub, tx, &uidvalidity, uids, count);
	else
		rig_ops(r)->append_abort(&c.pub, tx);
	result = call_end(&c, result, &s->e);
	if (result == 0)
		assert_int_equal(uidvalidity, s->uidvalidity);
	return result;
}

static void a_batch_arrives_whole_or_not(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char *const good[] = {"A: 1\r\n\r\nx\r\n", "A: 2\r\n\r\nno end", "A: 3\r\n"};
	static const char *const bad[] = {"A: 4\r\n\r\nx\r\n", "", "A: 5\r\n\r\n"};
	static const char *const bad_last[] = {"A: 4\r\n\r\nx\r\n", ""};
	uint32_t uids[3];
	size_t before, after;

	RIG_PUT(r, TWO);
	rig_open(r);
	OK(s, append_batch(r, good, 3, uids));
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(uids[i], i + 3);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 5);
	assert_string_equal(session_read(s, 3, NULL), "A: 1\r\n\r\nx\r\n");
	assert_string_equal(session_read(s, 4, NULL), "A: 2\r\n\r\nno end\r\n");
	assert_string_equal(session_read(s, 5, NULL), "A: 3\r\n\r\n");
	rig_get(r, &before);
	assert_int_equal(append_batch(r, bad, 3, uids), MORTISE_E_INVALID);
	assert_int_equal(append_batch(r, bad_last, 2, uids), MORTISE_E_INVALID);
	rig_get(r, &after);
	assert_int_equal(before, after);
	assert_int_equal(faccessat(r->root, "box.lock", F_OK, 0), -1);
}

static void a_new_mailbox_holds_the_pseudo_message(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	const struct mortise_place place = {
	    .size = sizeof place, .root = r->root, .path = "box", .name = "box", .file_mode = 0640};
	struct stat st;
	char *file;

	{
		BEGIN(r, s, "create");
		assert_int_equal(call_end(&c, rig_ops(r)->create(&c.pub, &place), &s->e), 0);
	}
	assert_int_equal(fstatat(r->root, "box", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	file = rig_get(r, NULL);
	assert_memory_equal(file, "From MAILER-DAEMON ", 19);
	assert_non_null(strstr(file, "\nSubject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n"));
	assert_non_null(strstr(file, " 0000000000\nStatus: RO "));
	rig_open(r);
	assert_int_equal(s->count, 0);
	assert_int_equal(s->uidnext, 1);
	{
		BEGIN(r, s, "create");
		assert_int_equal(call_end(&c, rig_ops(r)->create(&c.pub, &place), &s->e), MORTISE_E_EXISTS);
	}
}

/* attack-117 */
static void only_mailboxes_are_recognised(void **state)
{
	struct rig *r = *state;
	static const struct {
		const char *text;
		size_t size;
		int verdict;
	} files[] = {
	    {HEAD "A: 1\n\nx\n", 0, MORTISE_MINE},
	    {"\n\r\n \t\n" HEAD "A: 1\n", 0, MORTISE_MINE},
	    {HEAD, 0, MORTISE_MINE},
	    {"From a@b Mon Jan  1 10:00:00 2024\r\nA: 1\r\n\r\n", 0, MORTISE_MINE},
	    {" " HEAD, 0, MORTISE_NOT_MINE},
	    {"From me to you\n", 0, MORTISE_NOT_MINE},
	    {"*mbx*\r\n", 0, MORTISE_NOT_MINE},
	    {"\1\1\1\1\n" HEAD, 0, MORTISE_NOT_MINE},
	    {"", 0, MORTISE_NOT_MINE},
	    {"F", 0, MORTISE_NOT_MINE},
	    {"\0\0\0\0\0\0\0\0\0\0", 10, MORTISE_NOT_MINE},
	};

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		size_t size = files[i].size != 0 ? files[i].size : strlen(files[i].text);
		struct stat st = {.st_mode = S_IFREG | 0600, .st_size = (off_t)size};
		const struct mortise_probe probe = {.size = sizeof probe,
		    .fd = -1,
		    .st = &st,
		    .head = (const unsigned char *)files[i].text,
		    .head_size = size};
		struct call_env env = {.journal_dir = -1};
		struct err e = ERR_INIT;
		struct call c;

		call_begin(&c, r->instance, &env, "recognise");
		assert_int_equal(call_end(&c, rig_ops(r)->recognise(&c.pub, &probe), &e), files[i].verdict);
		st.st_mode = S_IFDIR | 0700;
		call_begin(&c, r->instance, &env, "recognise");
		assert_int_equal(call_end(&c, rig_ops(r)->recognise(&c.pub, &probe), &e), MORTISE_NOT_MINE);
	}
}

static void options_are_checked(void **state)
{
	struct rig *r = *state;
	static const struct {
		const char *locks, *dotlock;
		int result;
	} cases[] = {
	    {"dotlock, fcntl, flock", "try", 0},
	    {"fcntl", "no", 0},
	    {"dotlock", "required", 0},
	    {"dotlock", "try", MORTISE_E_INVALID},
	    {"dotlock, fnctl", "try", MORTISE_E_INVALID},
	    {"", "no", MORTISE_E_INVALID},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct call_env env = {.journal_dir = -1};
		struct err e = ERR_INIT;
		struct call c;

		rig_option(r, "locks", cases[i].locks);
		rig_option(r, "dotlock", cases[i].dotlock);
		call_begin(&c, r->instance, &env, "check");
		assert_int_equal(call_end(&c, rig_module()->lifecycle->check(&c.pub, &r->instance->pub), &e),
		    cases[i].result);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(delivered_mail_gets_uids),
	    TEST(flags_are_changed_in_place),
	    TEST(another_session_sees_flags),
	    TEST(keywords_are_kept),
	    TEST(keywords_outgrow_the_pseudo_message),
	    TEST(keyword_limit_is_told),
	    TEST(sixty_four_long_keywords_fit),
	    TEST(unlisted_keywords_are_not_lost),
	    TEST(expunge_keeps_uids),
	    TEST(expunge_works_without_a_journal),
	    TEST(appended_is_what_was_given),
	    TEST(reserved_fields_are_renamed),
	    TEST(from_quoting_can_spare_text),
	    TEST(appending_after_an_unfinished_message),
	    TEST(read_only_mailboxes_are_not_written),
	    TEST(new_mail_is_read_from_the_old_end),
	    TEST(a_truncated_mailbox_is_noticed),
	    TEST(a_replaced_mailbox_is_noticed),
	    TEST(unlocked_garbage_at_the_end_is_text),
	    TEST(a_batch_arrives_whole_or_not),
	    TEST(a_new_mailbox_holds_the_pseudo_message),
	    TEST(only_mailboxes_are_recognised),
	    TEST(options_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
