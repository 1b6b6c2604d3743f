/* test-expunge.c: messages that are gone and still in the file. */
#include "test-support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u
#define SEEN MORTISE_FLAG_SEEN
#define RECENT MORTISE_FLAG_RECENT

static void are_there(struct session *s, const uint32_t *uids, size_t count)
{
	assert_int_equal(s->count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(s->messages[i].uid, uids[i]);
		rig_is_message(s, uids[i], uids[i]);
	}
}

static size_t occurrences(const char *text, const char *word)
{
	size_t n = 0;

	for (; (text = strstr(text, word)) != NULL; text++)
		n++;
	return n;
}

static size_t file_size(struct rig *r)
{
	size_t size;

	rig_get(r, &size);
	return size;
}

static void nothing_is_moved_until_later(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, other;
	static const uint32_t some[] = {2, 5}, left[] = {1, 3, 4, 6};
	size_t before, after;

	rig_fill(r, 6);
	rig_open(r);
	OK(&other, session_open(r, &other, 0));
	OK(&other, session_sync(&other));
	before = file_size(r);
	/* close leaves it to who knows of it */
	OK(s, session_checkpoint(s));
	OK(&other, session_checkpoint(&other));
	OK(s, session_expunge(s, some, 2));
	assert_int_equal(occurrences(rig_get(r, &after), "\nX-Expunged: "), 2);
	assert_int_equal(before, after);
	OK(s, session_sync(s));
	assert_int_equal(s->full + s->added + s->changed, 0);
	assert_int_equal(s->vanished, 2);
	are_there(s, left, 4);
	OK(&other, session_sync(&other));
	are_there(&other, left, 4);
	/* Nor again, nor with other flags. */
	OK(&other, session_expunge(&other, some, 2));
	OK(&other, session_sync(&other));
	session_close(&other);
	/* A session that comes later is not told of them. */
	OK(&other, session_inherit(&other, s, 0));
	*s = other;
	OK(s, session_sync(s));
	assert_int_equal(s->full + s->added + s->changed + s->vanished, 0);
	OK(s, session_checkpoint(s));
	assert_int_equal(occurrences(rig_get(r, &after), "\nX-Expunged: "), 0);
	assert_true(after < before);
	OK(s, session_sync(s));
	assert_int_equal(s->full + s->added + s->vanished, 0);
	assert_int_equal(s->changed, 3); /* those behind have other places */
	are_there(s, left, 4);
	assert_int_equal(s->uidnext, 7);
	/* Nothing waits any more. */
	before = file_size(r);
	OK(s, session_checkpoint(s));
	OK(s, session_sync(s));
	assert_int_equal(s->full + s->changed, 0);
	assert_int_equal(before, file_size(r));
}

static void the_first_message_can_go(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t first[] = {1}, fourth[] = {4}, rest[] = {2, 3}, left[] = {2, 3};
	uint32_t v, uid;
	unsigned bit;

	rig_fill(r, 3);
	rig_open(r);
	v = s->uidvalidity;
	OK(s, session_expunge(s, first, 1));
	assert_int_equal(occurrences(rig_get(r, NULL), "\nX-Expunged: "), 1);
	/* It holds UIDVALIDITY and the keywords as before. */
	OK(s, session_append(s, "Subject: 4\r\n\r\nbody 4\r\n>From here\r\n", 0, NULL, &uid));
	assert_int_equal(uid, 4);
	OK(s, session_keyword(s, "a-word-that-needs-some-room", &bit));
	OK(s, session_flags(s, 4, SEEN, 1));
	session_close(s); /* takes it out */
	rig_open(r);
	assert_int_equal(s->uidvalidity, v);
	assert_int_equal(s->count, 3);
	assert_int_equal(session_find(s, 4)->keywords, 1);
	assert_int_equal(occurrences(rig_get(r, NULL), "X-Expunged"), 0);
	OK(s, session_expunge(s, fourth, 1));
	OK(s, session_sync(s));
	are_there(s, left, 2);
	OK(s, session_expunge(s, rest, 2));
	OK(s, session_checkpoint(s));
	assert_non_null(strstr(rig_get(r, NULL), "FOLDER INTERNAL DATA"));
	rig_reopen(r);
	assert_int_equal(s->count, 0);
	assert_int_equal(s->uidvalidity, v);
	assert_int_equal(s->uidnext, 5);
}

/* Messages with c-client's block: taken out at once; those behind them are ours then. */
static void what_others_wrote_goes_at_once(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t one[] = {2}, another[] = {4}, left[] = {1, 3, 5}, three[] = {3};
	size_t size;

	RIG_PUT(r, HEAD "Subject: 1\nX-IMAPbase: 1700000000 5\nStatus: RO\nX-Status: \nX-Keywords:      "
	                "                                    \nX-UID: 1\n\nbody 1\n>From here\n\n");
	for (unsigned i = 2; i <= 5; i++)
		rig_add(r, arena_printf(r->arena,
		               HEAD "Subject: %u\nStatus: RO\nX-Status: \nX-Keywords:                 "
		                    "\nX-UID: %u\n\nbody %u\n>From here\n\n",
		               i, i, i));
	rig_open(r);
	assert_int_equal(s->count, 5);
	OK(s, session_expunge(s, one, 1));
	assert_int_equal(occurrences(rig_get(r, NULL), "X-Expunged"), 0);
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	size = file_size(r);
	OK(s, session_expunge(s, another, 1));
	assert_int_equal(size, file_size(r));
	rig_reopen(r);
	are_there(s, left, 3);
	OK(s, session_expunge(s, three, 1));
	rig_reopen(r);
	assert_int_equal(s->count, 2);
}

/* Wherever the block lies between two sectors of the disk: one of them is written, or the journal. */
static void a_mark_is_in_one_sector(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	unsigned moved = 0;

	for (unsigned shift = 0; shift < SECTOR; shift += shift % 7 + 1) {
		char text[2000], *before, *after;
		size_t size, now, first = 0, last;

		snprintf(text, sizeof text,
		    HEAD "Subject: 1\n\nbody 1\n>From here\n\n" HEAD "X-Pad: %0*u\n\nx\n\n", (int)shift + 1,
		    0u);
		rig_put(r, text, strlen(text));
		rig_add(r,
		    HEAD "Subject: 3\n\nbody 3\n>From here\n\n" HEAD "Subject: 4\n\nbody 4\n>From here\n\n");
		rig_open(r);
		OK(s, session_append(s, "Subject: 5\r\n\r\nbody 5\r\n>From here\r\n", 0, NULL, NULL));
		OK(s, session_sync(s));
		for (uint32_t uid = 3; uid <= 5; uid += 2) {
			before = rig_get(r, &size);
			OK(s, session_expunge(s, &uid, 1));
			OK(s, session_sync(s));
			after = rig_get(r, &now);
			if (now != size) {
				moved++;
				continue;
			}
			/* The token is somewhere in the first sector; it may be torn. */
			for (first = 300; before[first] == after[first];)
				first++;
			for (last = size; before[last - 1] == after[last - 1];)
				last--;
			assert_int_equal(first / SECTOR, (last - 1) / SECTOR);
		}
		assert_int_equal(s->count, 3);
		session_close(s);
		rig_open(r);
		assert_int_equal(s->count, 3);
		rig_is_message(s, 1, 1);
		rig_is_message(s, 4, 4);
		session_close(s);
	}
	/* There are places in which it cannot be, but they are few. */
	print_message("# %u of some 300 were taken out at once\n", moved);
	assert_true(moved < 15);
}

/* The file with `old` in one place replaced. */
static void edit(struct rig *r, const char *old, const char *new)
{
	char *file = rig_get(r, NULL), *at = strstr(file, old), *out;
	size_t size = strlen(file) + strlen(new) + 1;

	assert_non_null(at);
	out = arena_alloc(r->arena, size);
	snprintf(out, size, "%.*s%s%s", (int)(at - file), file, new, at + strlen(old));
	rig_put(r, out, strlen(out));
}

static char *line_of(struct rig *r, const char *name)
{
	char *file = rig_get(r, NULL), *at = strstr(file, name);

	assert_non_null(at);
	return arena_printf(r->arena, "%.*s", (int)strcspn(at, "\n") + 1, at);
}

/* What c-client makes of it when it writes the message again, and what a program makes that knows no UIDs. */
static void other_programs_bring_nothing_back(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t two[] = {2}, left[] = {1, 3};

	for (unsigned way = 0; way < 3; way++) {
		const char *gone, *uid;

		rig_fill(r, 3);
		rig_open(r);
		OK(s, session_expunge(s, two, 1));
		gone = line_of(r, "X-Expunged: ");
		uid = "X-UID: 2\n";
		if (way == 0) /* its own fields, behind the others */
			edit(r, arena_printf(r->arena, "Status: O\nX-Status: D\n%s%sSubject: 2\n", gone, uid),
			    arena_printf(r->arena,
			        "%sSubject: 2\nStatus: RO\nX-Status: D\nX-Keywords:%30s\nX-UID: 2\n", gone,
			        ""));
		else if (way == 1) /* no UID */
			edit(r, arena_printf(r->arena, "Status: O\nX-Status: D\n%s%s", gone, uid), gone);
		else /* a letter */
			edit(r, "Status: O\nX-Status: D\nX-Exp", "Status: RO\nX-Status: DF\nX-Exp");
		session_close(s);
		rig_open(r);
		are_there(s, left, 2);
		rig_add(r, HEAD "Subject: 4\n\nbody 4\n>From here\n\n");
		OK(s, session_sync(s));
		assert_int_equal(s->messages[2].uid, 4);
		OK(s, session_flags(s, 3, SEEN, 0));
		OK(s, session_checkpoint(s));
		assert_int_equal(occurrences(rig_get(r, NULL), "Expunged"), 0);
		rig_reopen(r);
		assert_int_equal(s->count, 3);
		rig_is_message(s, 1, 1);
		rig_is_message(s, 3, 3);
		rig_is_message(s, 4, 4);
		session_close(s);
	}
}

/* A copy in another mailbox is a message there. attack-112: and nobody who sends mail can hide any. */
static void only_this_mailbox_is_meant(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t two[] = {2};
	char *gone;

	rig_fill(r, 2);
	rig_open(r);
	OK(s, session_expunge(s, two, 1));
	gone = line_of(r, "X-Expunged: ");
	session_close(s);
	RIG_PUT(r, HEAD "X-IMAPbase: 1500000000 2\nStatus: RO\nX-Status: \nX-Keywords:            "
	                "                       \nX-UID: 1\nSubject: 1\n\nbody 1\n>From here\n\n");
	rig_add(
	    r, arena_printf(r->arena,
	           HEAD "Status: O\nX-Status: D\n%sX-UID: 2\nSubject: 2\n\nbody 2\n>From here\n\n", gone));
	/* UID 3 in this mailbox, as a sender would have it. */
	rig_add(r, arena_printf(r->arena,
	               HEAD "Received: by x\nX-Expunged: %08x\nSubject: 3\n\nbody 3\n>From here\n\n",
	               unix_gone_code(1500000000, 3)));
	rig_add(r, arena_printf(r->arena, HEAD "X-Expunged: %08x\nSubject: 4\n\nbody 4\n>From here\n\n",
	               unix_gone_code(1500000000, 4)));
	rig_open(r);
	assert_int_equal(s->uidvalidity, 1500000000);
	assert_int_equal(s->count, 4);
	rig_is_message(s, 1, 1);
	rig_is_message(s, 2, 2);
	assert_non_null(strstr(session_read(s, 3, NULL), "Received: by x\r\nX-Expunged: "));
	rig_is_message(s, 4, 4);
	/* What is appended cannot say so either. */
	OK(s, session_append(s,
	          arena_printf(r->arena, "X-Expunged: %08x\r\nSubject: 5\r\n\r\nbody\r\n",
	              unix_gone_code(1500000000, 5)),
	          0, NULL, NULL));
	rig_reopen(r);
	assert_int_equal(s->count, 5);
	assert_non_null(strstr(session_read(s, 5, NULL), "X-Original-X-Expunged: "));
}

static void what_waits_is_bounded(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t one[] = {2}, two[] = {3}, left[] = {1, 4};
	size_t before;

	rig_option(r, "expunged_max", "200");
	rig_fill(r, 4);
	rig_open(r);
	before = file_size(r);
	OK(s, session_expunge(s, one, 1));
	assert_int_equal(before, file_size(r));
	OK(s, session_sync(s));
	OK(s, session_expunge(s, two, 1));
	assert_true(file_size(r) < before);
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	are_there(s, left, 2);
	session_close(s);
	rig_option(r, "expunged_max", "0");
	rig_fill(r, 4);
	rig_open(r);
	before = file_size(r);
	OK(s, session_expunge(s, one, 1));
	assert_true(file_size(r) < before);
}

/* checkpoint waits for nobody, and what it left undone is done by another session. */
static void a_locked_mailbox_is_left_alone(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, other;
	static const uint32_t one[] = {2}, left[] = {1, 3};
	size_t before;

	rig_fill(r, 3);
	rig_open(r);
	OK(s, session_expunge(s, one, 1));
	OK(s, session_sync(s));
	OK(&other, session_open(r, &other, 0));
	OK(&other, session_lock(&other, MORTISE_LOCK_EXCLUSIVE));
	before = file_size(r);
	OK(s, session_checkpoint(s));
	assert_int_equal(before, file_size(r));
	OK(&other, session_lock(&other, MORTISE_LOCK_NONE));
	session_close(&other);
	OK(&other, session_inherit(&other, s, 0));
	*s = other;
	OK(s, session_sync(s));
	are_there(s, left, 2);
	OK(s, session_checkpoint(s));
	assert_true(file_size(r) < before);
	OK(s, session_sync(s));
	are_there(s, left, 2);
}

/* The mailbox's last messages are gone: nobody who comes next may have their UIDs. attack-112 */
static void uids_of_the_gone_are_not_claimed(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t last[] = {3, 4};

	for (unsigned when = 0; when < 2; when++) {
		rig_fill(r, 4);
		rig_open(r);
		OK(s, session_expunge(s, last, 2));
		if (when == 1)
			OK(s, session_checkpoint(s));
		rig_add(r, HEAD "Status: RO\nX-Status: F\nX-Keywords:                               \n"
		                "X-UID: 4\nSubject: 5\n\nbody 5\n>From here\n\n");
		session_close(s);
		rig_open(r);
		assert_int_equal(s->count, 3);
		assert_int_equal(s->messages[2].uid, 5);
		rig_is_message(s, 5, 5);
		session_close(s);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(nothing_is_moved_until_later),
	    TEST(the_first_message_can_go),
	    TEST(what_others_wrote_goes_at_once),
	    TEST(a_mark_is_in_one_sector),
	    TEST(other_programs_bring_nothing_back),
	    TEST(only_this_mailbox_is_meant),
	    TEST(what_waits_is_bounded),
	    TEST(a_locked_mailbox_is_left_alone),
	    TEST(uids_of_the_gone_are_not_claimed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
