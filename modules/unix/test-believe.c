/* test-believe.c: what senders and other programs write into messages, and what of it counts. */
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

/* mutt moves Status behind everything else and leaves the rest. */
static void other_programs_flags_are_believed_with_our_uid(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	RIG_PUT(r,
	    HEAD "X-IMAPbase: 1700000000 2\nX-Keywords:                              \nX-UID: 1\nSubject: "
	         "x\nStatus: "
	         "RO\nContent-Length: 2\n\nb\n\n" HEAD "X-Keywords:                              \nX-UID: "
	         "2\nSubject: y\nStatus: O\nX-Status: AF\n\nc\n\n");
	rig_open(r);
	assert_int_equal(s->uidvalidity, 1700000000);
	assert_int_equal(s->count, 2);
	assert_int_equal(s->messages[0].flags, SEEN);
	assert_int_equal(s->messages[1].flags, ANSWERED | FLAGGED);
	assert_string_equal(session_read(s, 1, NULL), "Subject: x\r\nContent-Length: 2\r\n\r\nb\r\n");
	OK(s, session_flags(s, 2, SEEN, 0));
	OK(s, session_sync(s));
	assert_string_equal(session_read(s, 2, NULL), "Subject: y\r\n\r\nc\r\n");
	assert_int_equal(session_find(s, 2)->flags, SEEN);
	rig_reopen(r);
	assert_int_equal(s->messages[0].flags, SEEN);
	assert_int_equal(s->messages[1].flags, SEEN);
	assert_int_equal(s->messages[1].uid, 2);
}

/* ---- what senders write ---- */

#define FORGED_BLOCK "Status: RO\nX-Status: DFA\nX-Keywords: forged                        \nX-UID: %s\n"
#define DELIVERED "From s@x Mon Jan  1 10:00:00 2024\nReturn-Path: <s@x>\nReceived: by mx\nSubject: forged\n"

static const char *forged(struct rig *r, const char *base, const char *uid)
{
	return arena_printf(r->arena, DELIVERED "%s" FORGED_BLOCK "\nsteering\n\n", base, uid);
}

static void is_untouched_by_forgery(struct session *s, struct known_message *k)
{
	assert_int_equal(k->flags, RECENT);
	assert_int_equal(k->keywords, 0);
	assert_string_equal(session_read(s, k->uid, NULL),
	    "Return-Path: <s@x>\r\nReceived: by mx\r\nSubject: forged\r\n\r\nsteering\r\n");
}

/* attack-112: in a mailbox that has its numbers. */
static void forged_fields_steer_nothing(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char *const uids[] = {"1", "4", "5", "6", "7777", "4294967295", "99999999999", "0", "x"};
	uint32_t v, next = 4;

	rig_fill(r, 3);
	rig_open(r);
	v = s->uidvalidity;
	for (size_t i = 0; i < sizeof uids / sizeof *uids; i++) {
		rig_add(r, forged(r, "X-IMAPbase: 1 99999 forged\nX-IMAP: 1 99999\n", uids[i]));
		if (i % 2)
			OK(s, session_sync(s));
		else
			rig_reopen(r); /* without a cursor */
		assert_int_equal(s->uidvalidity, v);
		assert_int_equal(s->messages[s->count - 1].uid, next++);
		is_untouched_by_forgery(s, &s->messages[s->count - 1]);
		assert_int_equal(s->name_count, 0);
	}
	assert_null(strstr(rig_get(r, NULL), "forged   "));
}

/* attack-112: UIDs of expunged messages at the end lie free for the taking. */
static void uids_of_the_expunged_cannot_be_claimed(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t last[] = {4, 5}, all[] = {1, 2, 3, 6};

	rig_fill(r, 5);
	rig_open(r);
	OK(s, session_expunge(s, last, 2));
	session_close(s);
	rig_add(r, forged(r, "", "5"));
	rig_open(r);
	assert_int_equal(s->count, 4);
	assert_int_equal(s->messages[3].uid, 6);
	is_untouched_by_forgery(s, &s->messages[3]);
	assert_string_equal(session_read(s, 3, NULL), "Subject: 3\r\n\r\nbody 3\r\n>From here\r\n");
	/* Flags of the message that holds the mark do not lose it. */
	OK(s, session_expunge(s, all + 3, 1));
	OK(s, session_flags(s, 3, SEEN | FLAGGED | ANSWERED | DELETED | MORTISE_FLAG_DRAFT, 0));
	session_close(s);
	rig_add(r, forged(r, "", "6"));
	rig_open(r);
	assert_int_equal(s->messages[3].uid, 7);
	/* With nothing left but a pseudo-message, likewise. */
	OK(s, session_sync(s));
	{
		static const uint32_t everyone[] = {1, 2, 3, 7};
		OK(s, session_expunge(s, everyone, 4));
	}
	session_close(s);
	rig_add(r, forged(r, "", "7"));
	rig_open(r);
	assert_int_equal(s->count, 1);
	assert_int_equal(s->messages[0].uid, 8);
	is_untouched_by_forgery(s, &s->messages[0]);
}

/* attack-112: the first message of a fresh spool. */
static void a_fresh_spool_is_not_steered(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char *const bases[] = {"X-IMAP: 1 4294967290 kw\n", "X-IMAPbase: 1 4294967290 kw\n",
	    "X-IMAPbase: 7 9\nX-Other: between\n"};

	r->inbox = true;
	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
		char *text = (char *)(uintptr_t)forged(r, bases[i], "77");
		/* The block is broken by what a sender who knows less would write. */
		rig_put(r, text, strlen(text));
		if (i == 1)
			rig_option(r, "believe", "own"); /* even a perfect one */
		rig_open(r);
		assert_int_equal(s->count, 1);
		assert_int_equal(s->messages[0].uid, 1);
		assert_true(s->uidvalidity > 1000000000);
		session_close(s);
		rig_option(r, "believe", "blocks");
	}
	/* "From MAILER-DAEMON" makes no pseudo-message of delivered mail. */
	RIG_PUT(r, "From MAILER-DAEMON Mon Jan  1 10:00:00 2024\nReturn-Path: <>\nReceived: x\nSubject: "
	           "FOLDER INTERNAL "
	           "DATA\nX-IMAP: 5 5\nStatus: RO\n\nbounce\n\n");
	rig_open(r);
	assert_int_equal(s->count, 1);
	assert_int_equal(s->messages[0].flags, RECENT);
	assert_string_equal(session_read(s, 1, NULL),
	    "Return-Path: <>\r\nReceived: x\r\nSubject: FOLDER INTERNAL DATA\r\n\r\nbounce\r\n");
}

/* Flags of mailboxes that come from mail, mailx or mutt. */
static void flags_of_a_mailbox_from_elsewhere(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char text[] =
	    HEAD "Subject: x\nStatus: RO\nX-Status: A\n\nb\n\n" HEAD "Subject: y\nStatus: O\n\nb\n\n";

	RIG_PUT(r, text);
	rig_open(r);
	assert_int_equal(s->messages[0].flags, SEEN | ANSWERED);
	assert_int_equal(s->messages[1].flags, 0);
	rig_reopen(r);
	assert_int_equal(s->messages[0].flags, SEEN | ANSWERED);
	session_close(s);
	/* In an INBOX only when asked for. */
	r->inbox = true;
	RIG_PUT(r, text);
	rig_open(r);
	assert_int_equal(s->messages[0].flags, RECENT);
	session_close(s);
	rig_option(r, "believe", "all");
	RIG_PUT(r, text);
	rig_open(r);
	assert_int_equal(s->messages[0].flags, SEEN | ANSWERED);
}

/* attack-118 */
static void uids_run_out(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char text[] =
	    HEAD "X-IMAPbase: 1700000000 4294967293\nStatus: RO\nX-Status: F\nX-Keywords:                  "
	         "                    \nX-UID: 4294967293\nSubject: x\n\nb\n\n";
	uint32_t uid;

	RIG_PUT(r, text);
	rig_open(r);
	assert_true(s->messages[0].uid == 4294967293u);
	OK(s, session_append(s, "Subject: last\r\n\r\nb\r\n", SEEN, NULL, &uid));
	assert_true(uid == 4294967294u);
	OK(s, session_sync(s));
	assert_true(s->uidnext == 4294967295u);
	assert_int_equal(session_append(s, "Subject: more\r\n\r\nb\r\n", 0, NULL, &uid), MORTISE_E_LIMIT);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 2);
	/* Mail that is delivered cannot be refused: a new UIDVALIDITY. */
	rig_add(r, HEAD "Subject: new\n\nb\n\n");
	OK(s, session_sync(s));
	assert_int_equal(s->count, 2);
	OK(s, session_sync(s));
	assert_int_equal(s->full, 1);
	assert_int_equal(s->count, 3);
	assert_true(s->uidvalidity > 1700000000);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(s->messages[i].uid, i + 1);
	assert_int_equal(s->messages[0].flags, SEEN | FLAGGED);
	assert_int_equal(s->messages[1].flags, SEEN | RECENT);
	rig_reopen(r);
	assert_int_equal(s->messages[2].uid, 3);
	assert_int_equal(s->uidnext, 4);
}

/* Somebody sorted the mailbox, or saved a message twice. */
static void uids_out_of_order_are_given_anew(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
#define BLOCK(uid) "Status: RO\nX-Status: \nX-Keywords:                 \nX-UID: " uid "\n"

	RIG_PUT(r, HEAD "X-IMAPbase: 1700000000 5\n" BLOCK("1") "Subject: 1\n\nb\n\n" HEAD
	               BLOCK("4") "Subject: 2\n\nb\n\n" HEAD BLOCK("2") "Subject: 3\n\nb\n\n" HEAD BLOCK(
	                   "5") "Subject: 4\n\nb\n\n");
	rig_open(r);
	assert_int_equal(s->uidvalidity, 1700000000);
	assert_int_equal(s->messages[0].uid, 1);
	assert_int_equal(s->messages[1].uid, 4);
	assert_int_equal(s->messages[2].uid, 6);
	assert_int_equal(s->messages[3].uid, 7);
	assert_string_equal(session_read(s, 7, NULL), "Subject: 4\r\n\r\nb\r\n");
	rig_reopen(r);
	assert_int_equal(s->messages[3].uid, 7);
	assert_int_equal(s->uidnext, 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(other_programs_flags_are_believed_with_our_uid),
	    TEST(forged_fields_steer_nothing),
	    TEST(uids_of_the_expunged_cannot_be_claimed),
	    TEST(a_fresh_spool_is_not_steered),
	    TEST(flags_of_a_mailbox_from_elsewhere),
	    TEST(uids_run_out),
	    TEST(uids_out_of_order_are_given_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
