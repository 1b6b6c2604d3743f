/* test-cursor.c: cursors outlive the box they come from, and cost no more than what changed. */
#include "test-support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEEN MORTISE_FLAG_SEEN
#define RECENT MORTISE_FLAG_RECENT
#define MANY 2000u
/* A look at the file's beginning, and at one or two messages. */
#define LITTLE (8u * 8192u)

static uint64_t octets_read;

ssize_t __real_pread64(int fd, void *p, size_t size, off_t offset);
ssize_t __wrap_pread64(int fd, void *p, size_t size, off_t offset);

ssize_t __wrap_pread64(int fd, void *p, size_t size, off_t offset)
{
	ssize_t n = __real_pread64(fd, p, size, offset);

	octets_read += n > 0 ? (uint64_t)n : 0;
	return n;
}

static unsigned told(const struct session *s)
{
	return s->full + s->added + s->changed + s->vanished + s->keyword_calls;
}

/* Messages of some 300 octets. */
static void fill(struct rig *r, unsigned n)
{
	size_t room = n * 400u, at = 0;
	char *text = malloc(room);

	for (unsigned i = 1; i <= n; i++)
		at += (size_t)snprintf(text + at, room - at, HEAD "Subject: %u\n\nbody %0200u\n\n", i, i);
	rig_put(r, text, at);
	free(text);
}

static void an_unchanged_file_is_not_read(void **state)
{
	struct rig *r = *state;
	struct session next;
	unsigned bit;

	fill(r, MANY);
	rig_open(r);
	OK(&r->s, session_keyword(&r->s, "word", &bit));
	OK(&r->s, session_flags(&r->s, 7, SEEN, 1));
	OK(&r->s, session_sync(&r->s));
	for (unsigned flags = 0; flags <= MORTISE_OPEN_READ_ONLY; flags++) {
		octets_read = 0;
		OK(&next, session_inherit(&next, &r->s, flags));
		OK(&next, session_sync(&next));
		assert_int_equal(told(&next), 0);
		assert_int_equal(octets_read, 0);
		assert_int_equal(next.count, MANY);
		r->s = next;
		r->s.place.path = r->file;
	}
}

/* Delivered at this moment, by somebody who could write more before the clock's next step. */
static void what_just_came_is_read_once(void **state)
{
	struct rig *r = *state;
	struct session next;
	struct stat st;

	fill(r, MANY);
	OK(&r->s, session_open(r, &r->s, MORTISE_OPEN_READ_ONLY));
	OK(&r->s, session_sync(&r->s));
	assert_int_equal(r->s.count, MANY);
	octets_read = 0;
	OK(&r->s, session_sync(&r->s));
	assert_int_equal(octets_read, 0);
	/* From a place where the clock goes ahead: nobody can tell what it will be by then. */
	assert_int_equal(fstatat(r->root, "box", &st, 0), 0);
	st.st_mtim.tv_sec += 3600;
	assert_int_equal(utimensat(r->root, "box", (struct timespec[]){st.st_atim, st.st_mtim}, 0), 0);
	OK(&r->s, session_sync(&r->s));
	OK(&r->s, session_sync(&r->s));
	assert_int_equal(r->s.full, 1);
	OK(&next, session_inherit(&next, &r->s, 0));
	OK(&next, session_sync(&next));
	octets_read = 0;
	OK(&r->s, session_inherit(&r->s, &next, 0));
	OK(&r->s, session_sync(&r->s));
	assert_int_equal(told(&r->s), 0);
	assert_int_equal(octets_read, 0);
}

static void new_mail_costs_what_it_is_long(void **state)
{
	struct rig *r = *state;
	struct session next;

	fill(r, MANY);
	rig_open(r);
	rig_add(r, HEAD "Received: by x\nSubject: new\n\nnew\n\n");
	octets_read = 0;
	OK(&next, session_inherit(&next, &r->s, 0));
	OK(&next, session_sync(&next));
	assert_int_equal(next.full, 0);
	assert_int_equal(next.added, 1);
	assert_int_equal(next.count, MANY + 1);
	assert_int_equal(next.messages[MANY].uid, MANY + 1);
	assert_true(octets_read < LITTLE);
	assert_string_equal(
	    session_read(&next, MANY + 1, NULL), "Received: by x\r\nSubject: new\r\n\r\nnew\r\n");
	session_close(&next);
}

static void a_change_reads_what_it_changes(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, next;
	uint32_t uid;

	fill(r, MANY);
	rig_open(r);
	OK(&next, session_inherit(&next, s, 0));
	octets_read = 0;
	OK(&next, session_flags(&next, MANY / 2, SEEN, 0));
	assert_true(octets_read < LITTLE);
	/* Another one at once, and what both did. */
	OK(&next, session_sync(&next));
	OK(&next, session_flags(&next, MANY, SEEN, 0));
	OK(&next, session_sync(&next));
	assert_int_equal(next.full, 0);
	assert_int_equal(next.changed, 1);
	OK(s, session_inherit(s, &next, 0));
	OK(s, session_sync(s));
	assert_int_equal(told(s), 0);
	OK(s, session_append(s, "Subject: more\r\n\r\nmore\r\n", 0, NULL, &uid));
	assert_int_equal(uid, MANY + 1);
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	assert_int_equal(s->added, 1);
	assert_true(octets_read < 3 * LITTLE);
	assert_int_equal(session_find(s, MANY / 2)->flags, SEEN | RECENT);
}

/* What one box has found in messages alone, another must not number in another way. */
static void unlisted_keywords_are_looked_for(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, next;

	RIG_PUT(r,
	    HEAD "X-IMAPbase: 1700000000 2 known\nStatus: RO\nX-Status: \nX-Keywords: known            "
	         "                           \nX-UID: 1\nSubject: x\n\nb\n\n" HEAD
	         "Status: RO\nX-Status: \nX-Keywords: stranger           \nX-UID: 2\nSubject: "
	         "y\n\nb\n\n");
	OK(s, session_open(r, s, MORTISE_OPEN_READ_ONLY));
	OK(s, session_sync(s));
	assert_int_equal(s->name_count, 2);
	OK(s, session_sync(s));
	assert_int_equal(told(s), 0);
	OK(&next, session_inherit(&next, s, 0));
	OK(&next, session_sync(&next));
	assert_int_equal(next.full, 1);
	assert_int_equal(next.name_count, 2);
	OK(&next, session_flags(&next, 1, 0, 2));
	OK(&next, session_sync(&next));
	OK(s, session_inherit(s, &next, 0));
	OK(s, session_sync(s));
	assert_int_equal(told(s), 0);
	assert_int_equal(session_find(s, 1)->keywords, 2);
}

static void a_cursor_of_something_else_is_none(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	fill(r, 3);
	rig_open(r);
	for (unsigned i = 0; i < 4; i++) {
		if (i == 0)
			s->cursor.data[0] ^= 0x0f; /* its version */
		else if (i == 1)
			s->cursor.size--;
		else if (i == 2)
			memset(s->cursor.data, 0xff, s->cursor.size = MORTISE_CURSOR_MAX);
		else
			s->cursor.size = 0;
		OK(s, session_sync(s));
		assert_int_equal(s->full, 1);
		assert_int_equal(s->count, 3);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_unchanged_file_is_not_read),
	    TEST(what_just_came_is_read_once),
	    TEST(new_mail_costs_what_it_is_long),
	    TEST(a_change_reads_what_it_changes),
	    TEST(unlisted_keywords_are_looked_for),
	    TEST(a_cursor_of_something_else_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
