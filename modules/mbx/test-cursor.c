/* test-cursor.c: cursors outlive the box they come from, and what is done costs what it changes. */
#include "../unix/test-support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

#define MANY 2000u
/* The header, and the lines of a few messages. */
#define LITTLE (3u * MBX_HEADER)

static uint64_t octets_read, octets_written;
static unsigned writes, syncs;

#define REAL(type, name, ...)            \
	type __real_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__)

REAL(ssize_t, pread64, int fd, void *p, size_t size, off_t offset)
{
	ssize_t n = __real_pread64(fd, p, size, offset);

	octets_read += n > 0 ? (uint64_t)n : 0;
	return n;
}

REAL(ssize_t, pwrite64, int fd, const void *p, size_t size, off_t offset)
{
	ssize_t n = __real_pwrite64(fd, p, size, offset);

	octets_written += n > 0 ? (uint64_t)n : 0;
	writes++;
	return n;
}

REAL(int, fdatasync, int fd)
{
	syncs++;
	return __real_fdatasync(fd);
}

static void count_anew(void)
{
	octets_read = octets_written = 0;
	writes = syncs = 0;
}

static unsigned told(const struct session *s)
{
	return s->full + s->added + s->changed + s->vanished + s->keyword_calls;
}

/* `count` messages with `size` octets of text, as another program left them some time ago. */
static void fill(struct rig *r, unsigned count, unsigned size)
{
	static const struct timespec times[2] = {{1704446430, 1}, {1704446430, 123456789}};
	char *text = malloc(MBX_HEADER + count * (size + 100)), *p = text + MBX_HEADER;

	mbx_header_new(text, 1000);
	snprintf(text + MBX_UIDS + 8, 9, "%08x", count);
	text[MBX_PREFIX - 2] = '\r';
	for (unsigned i = 1; i <= count; i++) {
		int n =
		    snprintf(p, MBX_LINE_MAX, " 5-Jan-2024 10:20:30 +0100,%u;000000000010-%08x\r\n", size, i);
		memset(p + n, 'x', size);
		int subject = snprintf(p + n, size, "Subject: %u\r\n\r", i);
		p[n + subject] = '\n';
		memcpy(p + n + size - 2, "\r\n", 2);
		p += (unsigned)n + size;
	}
	rig_put(r, text, (size_t)(p - text));
	free(text);
	assert_int_equal(utimensat(r->root, r->file, times, 0), 0);
}

static void an_unchanged_file_is_not_read(void **state)
{
	struct rig *r = *state;
	struct session next;
	unsigned bit;

	fill(r, MANY, 300);
	rig_open(r);
	OK(&r->s, session_keyword(&r->s, "word", &bit));
	OK(&r->s, session_flags(&r->s, 7, MORTISE_FLAG_SEEN, 1));
	OK(&r->s, session_sync(&r->s));
	for (unsigned flags = 0; flags <= MORTISE_OPEN_READ_ONLY; flags++) {
		OK(&next, session_inherit(&next, &r->s, flags));
		count_anew();
		OK(&next, session_sync(&next));
		assert_int_equal(told(&next), 0);
		assert_int_equal(octets_read, 0);
		assert_int_equal(next.count, MANY);
		assert_string_equal(session_read(&next, 2, NULL) + 9, session_read(&next, 2, NULL) + 9);
		r->s = next;
	}
	/* One message's line and text. */
	count_anew();
	assert_memory_equal(session_read(&r->s, MANY, NULL), "Subject: 2000\r\n", 15);
	assert_true(octets_read <= 300 + MBX_LINE_MAX);
}

static void new_mail_costs_what_it_is_long(void **state)
{
	struct rig *r = *state;
	struct session other, next;
	uint32_t uid;

	fill(r, MANY, 300);
	rig_open(r);
	OK(&r->s, session_append(&r->s, "A: b\r\n\r\nc\r\n", 0, NULL, NULL));
	OK(&r->s, session_sync(&r->s));
	assert_int_equal(r->s.full, 0);
	assert_int_equal(r->s.added, 1);
	/* Delivered by somebody who knows nothing of the mailbox. */
	OK(&other, session_open(r, &other, 0));
	count_anew();
	OK(&other, session_append(&other, "A: b\r\n\r\nd\r\n", 0, "word", &uid));
	assert_int_equal(uid, MANY + 2);
	assert_true(octets_read <= LITTLE);
	session_close(&other);
	OK(&next, session_inherit(&next, &r->s, 0));
	count_anew();
	OK(&next, session_sync(&next));
	assert_int_equal(next.full, 0);
	assert_int_equal(next.added, 1);
	assert_int_equal(next.keyword_calls, 1);
	assert_true(octets_read <= LITTLE);
	assert_int_equal(next.messages[MANY + 1].uid, MANY + 2);
	assert_int_equal(next.messages[MANY + 1].keywords, 1);
	assert_string_equal(session_read(&next, MANY + 2, NULL), "A: b\r\n\r\nd\r\n");
	r->s = next;
}

/* Then every line is read, and no text. */
static void others_may_have_changed_flags(void **state)
{
	struct rig *r = *state;
	struct session next, other;
	uint32_t uid = 9;

	fill(r, 100, 20000);
	rig_open(r);
	OK(&other, session_open(r, &other, 0));
	OK(&other, session_sync(&other));
	OK(&other, session_flags(&other, 3, MORTISE_FLAG_FLAGGED, 0));
	OK(&other, session_expunge(&other, &uid, 1));
	OK(&other, session_append(&other, "A: b\r\n\r\nd\r\n", 0, NULL, NULL));
	count_anew();
	OK(&next, session_inherit(&next, &r->s, 0));
	OK(&next, session_sync(&next));
	assert_int_equal(next.full, 1);
	assert_int_equal(next.count, 100);
	assert_int_equal(session_find(&next, 3)->flags, MORTISE_FLAG_FLAGGED);
	assert_true(octets_read <= 4 * MBX_HEADER + 102 * MBX_LINE_MAX);
	session_close(&other);
	r->s = next;
}

/* A cursor of another file, another version, another mailbox under the same name. */
static void other_cursors_mean_nothing(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct mortise_cursor kept;
	int fd;

	fill(r, 20, 300);
	rig_open(r);
	kept = s->cursor;
	for (size_t i = 0; i < kept.size; i += 8) {
		s->cursor = kept;
		s->cursor.data[i] ^= 0x55;
		OK(s, session_sync(s));
		/* An epoch or a checksum of names alone says nothing about a file that is the same. */
		assert_true(s->full == 1 || told(s) == 0);
		assert_int_equal(s->count, 20);
	}
	s->cursor = kept;
	s->cursor.size--;
	OK(s, session_sync(s));
	assert_int_equal(s->full, 1);
	session_close(s);
	fd = openat(r->root, r->file, O_RDONLY);
	assert_int_equal(unlinkat(r->root, r->file, 0), 0);
	fill(r, 20, 300);
	OK(s, session_open(r, s, 0));
	s->cursor = kept;
	OK(s, session_sync(s));
	assert_int_equal(s->full, 1);
	close(fd);
}

/* attack-113: a locator that says anything finds the message or nothing, and touches nothing else. */
static void locators_are_verified(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct mortise_message good;
	char *before, *after;
	size_t size;

	fill(r, 20, 300);
	rig_open(r);
	good = session_find(s, 5)->m;
	OK(s, session_flags(s, 5, 0, 0)); /* as it is: nothing is written */
	before = rig_get(r, &size);
	for (size_t i = 0; i < good.locator_size; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(session_find(s, 5)->m.locator, good.locator, sizeof good.locator);
			session_find(s, 5)->m.locator[i] ^= (unsigned char)(1u << bit);
			assert_memory_equal(session_read(s, 5, NULL), "Subject: 5\r\n", 12);
		}
	session_find(s, 5)->m.locator[0] ^= 1;
	OK(s, session_flags(s, 5, MORTISE_FLAG_DRAFT, 0));
	after = rig_get(r, NULL);
	for (size_t i = MBX_HEADER; i < size; i++)
		if (after[i] != before[i])
			assert_true(i >= MBX_HEADER + 4 * 351 && i < MBX_HEADER + 4 * 351 + 60);
	/* and of one that is gone */
	good.locator[0] ^= 1;
	memcpy(session_find(s, 5)->m.locator, good.locator, sizeof good.locator);
	assert_memory_equal(session_read(s, 5, NULL), "Subject: 5\r\n", 12);
}

/* A file that is cut short while it is open is an error, no signal. */
static void a_file_cut_short_kills_nobody(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	int fd;

	fill(r, 200, 300);
	rig_open(r);
	fd = openat(r->root, r->file, O_RDWR);
	assert_int_equal(ftruncate(fd, MBX_HEADER + 5000), 0);
	assert_null(session_read(s, 199, NULL));
	assert_int_equal(session_sync(s), MORTISE_E_CORRUPT);
	assert_int_equal(session_flags(s, 199, MORTISE_FLAG_SEEN, 0), MORTISE_E_CORRUPT);
	assert_int_equal(ftruncate(fd, 0), 0);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 0);
	close(fd);
}

/* ---- what changes cost ---- */

static int call_flags(struct session *s, struct mortise_flag_change *changes, size_t count)
{
	struct call_env env = {.box = s->arena, .journal_dir = s->rig->journals};
	struct call c;

	call_begin(&c, s->rig->instance, &env, "set_flags");
	return call_end(&c, rig_ops(s->rig)->set_flags(&c.pub, s->box, changes, count), &s->e);
}

static void flag_all(struct session *s, uint32_t flags)
{
	struct mortise_flag_change *changes = calloc(s->count, sizeof *changes);

	for (size_t i = 0; i < s->count; i++) {
		changes[i].ref.uid = s->messages[i].uid;
		changes[i].ref.locator_size = s->messages[i].m.locator_size;
		memcpy(changes[i].ref.locator, s->messages[i].m.locator, MORTISE_LOCATOR_MAX);
		changes[i].flags = flags;
	}
	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	OK(s, session_sync(s));
	count_anew();
	OK(s, call_flags(s, changes, s->count));
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	free(changes);
}

static void changes_cost_what_they_are(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char *text = malloc(4097);
	uint32_t uid = 4;

	memset(text, 'x', 4096);
	memcpy(text, "A: b\r\n\r\n", 8);
	text[4096] = '\0';
	rig_option(r, "sync_flags", "yes");
	fill(r, MANY, 300);
	rig_open(r);
	OK(s, session_flags(s, 7, MORTISE_FLAG_SEEN, 0));
	OK(s, session_sync(s));

	count_anew();
	OK(s, session_append(s, text, 0, NULL, NULL));
	print_message("# APPEND 4 KiB: %u writes, %u octets, %u syncs, %u octets read\n", writes,
	    (unsigned)octets_written, syncs, (unsigned)octets_read);
	assert_true(writes <= 3 && syncs <= 2 && octets_written <= 4096 + MBX_HEADER + 300);
	OK(s, session_sync(s));

	count_anew();
	OK(s, session_flags(s, 9, MORTISE_FLAG_SEEN, 0));
	print_message("# STORE of one: %u writes, %u octets, %u syncs, %u octets read\n", writes,
	    (unsigned)octets_written, syncs, (unsigned)octets_read);
	assert_true(writes == 2 && syncs == 1 && octets_written <= 21 + 128 && octets_read <= LITTLE);

	OK(s, session_sync(s));
	count_anew();
	OK(s, session_expunge(s, &uid, 1));
	print_message("# EXPUNGE of one: %u writes, %u octets, %u syncs, %u octets read\n", writes,
	    (unsigned)octets_written, syncs, (unsigned)octets_read);
	assert_true(writes == 2 && syncs == 1 && octets_written <= 21 + 128);

	OK(s, session_sync(s));
	flag_all(s, MORTISE_FLAG_FLAGGED);
	print_message("# STORE 1:%u of small ones: %u writes, %u octets, %u syncs\n", MANY, writes,
	    (unsigned)octets_written, syncs);
	assert_true(writes <= MANY / 100 && syncs == 1);
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	assert_int_equal(s->changed, MANY);
	free(text);
}

/* Option sync_flags. */
static void flags_need_not_be_synced(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	uint32_t uid = 4;

	rig_option(r, "sync_flags", "no");
	fill(r, 20, 300);
	rig_open(r);
	count_anew();
	OK(s, session_flags(s, 9, MORTISE_FLAG_SEEN, 0));
	assert_int_equal(syncs, 0);
	OK(s, session_expunge(s, &uid, 1));
	assert_int_equal(syncs, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_unchanged_file_is_not_read),
	    TEST(new_mail_costs_what_it_is_long),
	    TEST(others_may_have_changed_flags),
	    TEST(other_cursors_mean_nothing),
	    TEST(locators_are_verified),
	    TEST(a_file_cut_short_kills_nobody),
	    TEST(changes_cost_what_they_are),
	    TEST(flags_need_not_be_synced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
