/* test-mbx.c: what the mbx driver makes of files, and files of it. */
#include "../unix/test-support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

#define ONE "From: a@example.org\r\nSubject: one\r\n\r\nline1\r\n"
#define TWO "Subject: two\r\n\r\nbody two\r\n"

/* Whoever looks at this file sees it in the moment in which it is removed. */
static const char *removed_at_look;
int __real_lstat64(const char *path, struct stat *st);
int __wrap_lstat64(const char *path, struct stat *st);
int __wrap_lstat64(const char *path, struct stat *st)
{
	int r = __real_lstat64(path, st);

	if (r == 0 && removed_at_look != NULL && strcmp(path, removed_at_look) == 0) {
		unlink(path);
		st->st_nlink = 0;
		removed_at_look = NULL;
	}
	return r;
}

/* A header with these UIDs and up to two keywords. */
static char *header(uint32_t uidvalidity, uint32_t uidlast, const char *keywords)
{
	static char p[MBX_HEADER];
	size_t size = strlen(keywords), lines = 0;

	mbx_header_new(p, uidvalidity);
	for (const char *c = keywords; *c != '\0'; c++)
		lines += *c == '\n';
	memset(p + MBX_PREFIX, 0, MBX_HEADER - MBX_PREFIX);
	memcpy(p + MBX_PREFIX, keywords, size);
	for (; lines < MBX_KEYWORDS; lines++, size += 2)
		memcpy(p + MBX_PREFIX + size, "\r\n", 2);
	snprintf(p + MBX_UIDS, 17, "%08x%08x", uidvalidity, uidlast);
	p[MBX_PREFIX - 2] = '\r';
	return p;
}

/* The file: header and records as text. */
static void put(
    struct rig *r, uint32_t uidvalidity, uint32_t uidlast, const char *keywords, const char *records)
{
	/* Not just now, when somebody could write once more and it would look the same. */
	static const struct timespec times[2] = {{1704446430, 1}, {1704446430, 123456789}};

	rig_put(r, header(uidvalidity, uidlast, keywords), MBX_HEADER);
	rig_add(r, records);
	assert_int_equal(utimensat(r->root, r->file, times, 0), 0);
}

static int create(struct rig *r)
{
	struct call_env env = {.journal_dir = -1};
	struct mortise_place place = {.size = sizeof place,
	    .root = r->root,
	    .path = r->file,
	    .name = "box",
	    .file_mode = 0600,
	    .dir_mode = 0700};
	struct err e = ERR_INIT;
	struct call c;
	int result;

	call_begin(&c, r->instance, &env, "create");
	result = rig_ops(r)->create(&c.pub, &place);
	return call_end(&c, result, &e);
}

static int recognise(struct rig *r)
{
	struct call_env env = {.journal_dir = -1};
	struct mortise_place place = {.size = sizeof place, .root = r->root, .path = r->file, .name = "box"};
	unsigned char head[4096];
	struct stat st;
	struct mortise_probe probe = {.size = sizeof probe, .place = &place, .st = &st, .head = head};
	struct err e = ERR_INIT;
	struct call c;
	int result;

	probe.fd = openat(r->root, r->file, O_RDONLY);
	assert_int_equal(fstat(probe.fd, &st), 0);
	probe.head_size = (size_t)pread(probe.fd, head, sizeof head, 0);
	call_begin(&c, r->instance, &env, "recognise");
	result = rig_ops(r)->recognise(&c.pub, &probe);
	close(probe.fd);
	call_end(&c, 0, &e);
	return result;
}

/* ---- octets ---- */

#define GOLDEN_KEYWORDS "MyKey\r\nSecond\r\n"
#define GOLDEN_ONE " 5-Jan-2024 10:20:30 +0100,44;00000000001d-00000001\r\n" ONE
#define GOLDEN_TWO " 6-Feb-2023 01:02:03 -0500,26;000000030010-00000002\r\n" TWO

static void golden_records_are_read(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	size_t size;

	put(r, 0x6b03dff2, 3, GOLDEN_KEYWORDS, GOLDEN_ONE GOLDEN_TWO);
	assert_int_equal(recognise(r), MORTISE_MINE);
	rig_open(r);
	assert_int_equal(s->uidvalidity, 0x6b03dff2);
	assert_int_equal(s->uidnext, 4);
	assert_int_equal(s->count, 2);
	assert_int_equal(s->name_count, 2);
	assert_string_equal(s->names[1], "Second");
	assert_int_equal(
	    s->messages[0].flags, MORTISE_FLAG_SEEN | MORTISE_FLAG_FLAGGED | MORTISE_FLAG_ANSWERED);
	assert_int_equal(s->messages[0].m.internal_date, 1704446430);
	assert_int_equal(s->messages[0].m.zone, 60);
	assert_int_equal(s->messages[1].keywords, 3);
	assert_int_equal(s->messages[1].flags, 0);
	assert_int_equal(s->messages[1].m.internal_date, 1675663323);
	assert_int_equal(s->messages[1].m.zone, -300);
	assert_string_equal(session_read(s, 2, &size), TWO);
	assert_string_equal(session_read(s, 1, &size), ONE);
}

static void golden_records_are_written(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char expected[MBX_HEADER], *file;
	uint32_t uid;
	size_t size;

	assert_int_equal(create(r), 0);
	assert_int_equal(create(r), MORTISE_E_EXISTS);
	assert_int_equal(recognise(r), MORTISE_MINE);
	file = rig_get(r, &size);
	assert_int_equal(size, MBX_HEADER);
	mbx_header_new(expected, (uint32_t)strtoul((char[9]){file[7], file[8], file[9], file[10], file[11],
	                                               file[12], file[13], file[14]},
	                             NULL, 16));
	assert_memory_equal(file, expected, MBX_TRAIL);
	assert_memory_equal(file + 15, "00000000\r\n\r\n", 12);
	assert_int_equal(file[25 + 59], '\n');
	assert_int_equal(file[25 + 60], 0);

	rig_open(r);
	OK(s, session_append(s, ONE, MORTISE_FLAG_SEEN | MORTISE_FLAG_FLAGGED | MORTISE_FLAG_ANSWERED,
	          "MyKey Second", &uid));
	assert_int_equal(uid, 1);
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	assert_int_equal(s->added, 1);
	assert_int_equal(s->messages[0].flags & MORTISE_FLAG_RECENT, MORTISE_FLAG_RECENT);
	OK(s, session_seen(s));
	file = rig_get(r, &size);
	assert_string_equal(file + MBX_HEADER, " 5-Jan-2024 10:20:30 +0100,44;00000003001d-00000001\r\n" ONE);
	assert_memory_equal(file + 15, "00000001\r\nMyKey\r\nSecond\r\n\r\n", 27);
	for (size_t i = 25 + 15 + 2 * 28; i < MBX_TRAIL; i++)
		assert_int_equal(file[i], 0);
	/* A writer that is no process: c-client takes it for another one, whoever it is. */
	assert_true(strtoul(file + MBX_PID, NULL, 16) >> 23 == 1);
	assert_memory_equal(file + MBX_PID + 8, "\r\n", 2);
}

static void dates_survive(void **state)
{
	static const int64_t dates[] = {0, -1, 951782399, 951782400, 4102444800, 253402300799, -62135596800};
	static const int zones[] = {0, 60, -60, 330, -570, 840};

	(void)state;
	for (size_t i = 0; i < sizeof dates / sizeof *dates; i++)
		for (size_t j = 0; j < sizeof zones / sizeof *zones; j++) {
			struct mbx_record in = {.date = dates[i], .zone = (int16_t)zones[j], .size = 1}, out;
			char line[MBX_LINE_MAX];
			unsigned bad;
			size_t n = mbx_record_print(line, &in);
			assert_true(n <= MBX_LINE_MAX && line[n - 1] == '\n');
			assert_int_equal(mbx_record_parse((unsigned char *)line, n, &out, &bad), 0);
			if (i < 5)
				assert_int_equal(out.date, in.date);
			assert_int_equal(out.zone, in.zone);
		}
}

/* ---- flags and keywords ---- */

/* attack-113: bits nobody knows stay. */
static void flags_change_in_place_only(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char *before, *after;
	size_t size, now, at;

	/* keyword 20, flag 0100 */
	put(r, 1000, 2, "A\r\n", " 5-Jan-2024 10:20:30 +0100,44;001000000110-00000001\r\n" ONE GOLDEN_TWO);
	rig_open(r);
	before = rig_get(r, &size);
	OK(s, session_flags(s, 1, MORTISE_FLAG_SEEN | MORTISE_FLAG_DRAFT, 1));
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	assert_int_equal(s->changed, 1);
	assert_int_equal(session_find(s, 1)->keywords, 1);
	after = rig_get(r, &now);
	assert_int_equal(size, now);
	at = MBX_HEADER + strlen(" 5-Jan-2024 10:20:30 +0100,44;");
	assert_memory_equal(after + at, "001000010131-00000001", 21);
	memcpy(after + at, before + at, 21);
	memcpy(after + MBX_TRAIL, before + MBX_TRAIL, MBX_HEADER - MBX_TRAIL);
	assert_memory_equal(before, after, size);
	OK(s, session_sync(s));
	assert_int_equal(s->changed + s->added + s->vanished + s->full, 0);
}

/* Sixty-fifth keywords and the like; over-long and doubled lines keep their place. */
static void keywords_keep_their_lines(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char name[64], *file;
	unsigned bit;

	put(r, 1000, 1, "A\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nB\r\na\r\n",
	    " 5-Jan-2024 10:20:30 +0100,44;0000000f0010-00000001\r\n" ONE);
	rig_open(r);
	assert_int_equal(s->name_count, 2);
	assert_string_equal(s->names[1], "B");
	assert_int_equal(session_find(s, 1)->keywords, 3);
	OK(s, session_keyword(s, "C", &bit));
	assert_int_equal(bit, 2);
	OK(s, session_keyword(s, "b", &bit));
	assert_int_equal(bit, 1);
	OK(s, session_sync(s));
	OK(s, session_flags(s, 1, 0, 4));
	file = rig_get(r, NULL);
	assert_memory_equal(file + MBX_HEADER + 30, "0000001a0010-", 13);
	assert_int_equal(session_keyword(s, "sp ace", &bit), MORTISE_E_LIMIT);
	assert_int_equal(session_keyword(s, "p%", &bit), MORTISE_E_LIMIT);
	memset(name, 'n', sizeof name);
	name[51] = '\0';
	assert_int_equal(session_keyword(s, name, &bit), MORTISE_E_LIMIT);
	for (unsigned i = 5; i < 30; i++) {
		snprintf(name, sizeof name, "k%u", i);
		OK(s, session_keyword(s, name, &bit));
	}
	assert_int_equal(session_keyword(s, "more", &bit), MORTISE_E_LIMIT);
	rig_reopen(r);
	assert_int_equal(s->name_count, 28);
	assert_string_equal(s->names[27], "k29");
	assert_false(s->info.may_create_keywords);
	/* An append with one too many leaves it out. */
	OK(s, session_append(s, TWO, 0, "more k29", NULL));
	OK(s, session_sync(s));
	assert_int_equal(session_find(s, 2)->keywords, UINT64_C(1) << 27);
}

/* ---- several sessions ---- */

static void sessions_see_each_other(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, t;
	static const uint32_t one[] = {1};
	unsigned bit;
	size_t size;

	put(r, 1000, 2, "", GOLDEN_ONE GOLDEN_TWO);
	rig_open(r);
	OK(&t, session_open(r, &t, 0));
	OK(&t, session_sync(&t));
	OK(s, session_keyword(s, "New", &bit));
	OK(s, session_flags(s, 2, MORTISE_FLAG_FLAGGED, 1));
	OK(s, session_sync(s));
	OK(&t, session_sync(&t));
	assert_string_equal(t.names[0], "New");
	assert_int_equal(session_find(&t, 2)->flags, MORTISE_FLAG_FLAGGED);
	OK(&t, session_append(&t, TWO, 0, NULL, NULL));
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	assert_int_equal(s->added, 1);
	/* Not alone: marked, the octets stay and so does what the other can read. */
	rig_get(r, &size);
	OK(s, session_expunge(s, one, 1));
	OK(s, session_checkpoint(s));
	OK(s, session_sync(s));
	assert_int_equal(s->full, 0);
	assert_int_equal(s->vanished, 1);
	assert_memory_equal(rig_get(r, NULL) + MBX_HEADER + 30, "00000000801f-00000001", 21);
	assert_null(session_read(&t, 1, NULL));
	assert_int_equal(t.e.code, MORTISE_E_EXPUNGED);
	assert_string_equal(session_read(&t, 2, NULL), TWO);
	OK(&t, session_sync(&t));
	assert_int_equal(t.count, 2);
	session_close(s);
	assert_int_equal(strlen(rig_get(r, NULL) + MBX_HEADER), size - MBX_HEADER);
	session_close(&t);
	/* The last one takes the space back. */
	assert_int_equal(strlen(rig_get(r, NULL) + MBX_HEADER), size - MBX_HEADER - strlen(GOLDEN_ONE));
	rig_open(r);
	assert_int_equal(s->count, 2);
	assert_int_equal(s->messages[0].uid, 2);
	assert_int_equal(s->uidnext, 4);
}

static void space_is_taken_back_later(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t one[] = {1}, rest[] = {2, 3, 77};

	put(r, 1000, 3, "",
	    GOLDEN_ONE GOLDEN_TWO " 6-Feb-2023 01:02:03 -0500,26;000000000010-00000003\r\n" TWO);
	rig_open(r);
	OK(s, session_expunge(s, one, 1));
	assert_memory_equal(rig_get(r, NULL) + MBX_HEADER, GOLDEN_ONE, 20);
	OK(s, session_sync(s));
	assert_int_equal(s->full + s->changed + s->added, 0);
	assert_int_equal(s->vanished, 1);
	OK(s, session_checkpoint(s));
	assert_memory_equal(rig_get(r, NULL) + MBX_HEADER, GOLDEN_TWO, strlen(GOLDEN_TWO));
	/* What the engine knows is where it was: looked for. */
	assert_string_equal(session_read(s, 3, NULL), TWO);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 2);
	OK(s, session_flags(s, 3, MORTISE_FLAG_SEEN, 0));
	OK(s, session_expunge(s, rest, 3));
	OK(s, session_checkpoint(s));
	assert_string_equal(rig_get(r, NULL) + MBX_HEADER, "");
	OK(s, session_sync(s));
	assert_int_equal(s->count, 0);
	assert_int_equal(s->uidnext, 4);
	rig_reopen(r);
	assert_int_equal(s->uidnext, 4);
}

/* Option compact_now: much moved for little is put off. */
static void little_gain_waits(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t one[] = {1};
	char *text = malloc(4001);
	size_t size, now;

	memset(text, 'x', 4000);
	text[4000] = '\0';
	rig_option(r, "compact_now", "1k");
	put(r, 1000, 3, "", GOLDEN_ONE);
	rig_open(r);
	OK(s, session_append(s, text, 0, NULL, NULL));
	rig_get(r, &size);
	OK(s, session_expunge(s, one, 1));
	rig_get(r, &now);
	assert_int_equal(now, size);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 1);
	rig_reopen(r);
	assert_int_equal(s->count, 1);
	free(text);
}

/* ---- UIDs ---- */

static void missing_uids_are_given(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char *file;

	put(r, 1000, 5, "",
	    GOLDEN_ONE " 6-Feb-2023 01:02:03 -0500,26;000000000000-00000000\r\n" TWO
	               " 6-Feb-2023 01:02:03 -0500,26;000000000000-00000000\r\n" TWO);
	OK(s, session_open(r, s, MORTISE_OPEN_READ_ONLY));
	OK(s, session_sync(s));
	assert_int_equal(s->messages[2].uid, 7);
	assert_memory_equal(rig_get(r, NULL) + 15, "00000005", 8);
	rig_reopen(r);
	assert_int_equal(s->uidvalidity, 1000);
	assert_int_equal(s->messages[1].uid, 6);
	assert_int_equal(s->messages[2].uid, 7);
	file = rig_get(r, NULL);
	assert_memory_equal(file + 15, "00000007", 8);
	assert_memory_equal(
	    file + MBX_HEADER + strlen(GOLDEN_ONE GOLDEN_TWO) + 30, "000000000000-00000007", 21);
}

/* attack-113: UIDs that descend void all of them. */
static void descending_uids_are_void(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	put(r, 1000, 5, "",
	    " 6-Feb-2023 01:02:03 -0500,26;000000000000-00000004\r\n" TWO GOLDEN_TWO
	    " 6-Feb-2023 01:02:03 -0500,26;000000000000-00000005\r\n" TWO);
	rig_open(r);
	assert_true(s->uidvalidity > 1000);
	assert_int_equal(s->messages[0].uid, 4);
	assert_int_equal(s->messages[1].uid, 5);
	assert_int_equal(s->messages[2].uid, 6);
	rig_reopen(r);
	assert_int_equal(s->messages[2].uid, 6);
	assert_int_equal(s->uidnext, 7);
}

/* What a power failure leaves: a record's UID above the header's. And one nobody can have given. */
static void uids_above_the_last(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	put(r, 1000, 1, "", GOLDEN_ONE GOLDEN_TWO);
	rig_open(r);
	assert_int_equal(s->uidvalidity, 1000);
	assert_int_equal(s->uidnext, 3);
	assert_memory_equal(rig_get(r, NULL) + 15, "00000002", 8);
	session_close(s);
	put(r, 1000, 1, "", GOLDEN_ONE " 6-Feb-2023 01:02:03 -0500,26;000000000000-f0000000\r\n" TWO);
	rig_open(r);
	assert_true(s->uidvalidity > 1000);
	assert_int_equal(s->messages[1].uid, 2);
}

/* attack-118 */
static void the_last_uids(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	size_t size, now;
	uint32_t uid;

	put(r, 1000, 0xfffffffd, "", " 6-Feb-2023 01:02:03 -0500,26;000000000000-fffffffd\r\n" TWO);
	rig_open(r);
	assert_int_equal(s->uidnext, 0xfffffffe);
	OK(s, session_append(s, ONE, 0, NULL, &uid));
	assert_int_equal(uid, 0xfffffffe);
	rig_get(r, &size);
	assert_int_equal(session_append(s, ONE, 0, NULL, &uid), MORTISE_E_LIMIT);
	rig_get(r, &now);
	assert_int_equal(size, now);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 2);
	/* Another program adds one without: all are numbered anew. */
	rig_add(r, " 6-Feb-2023 01:02:03 -0500,26;000000000000-00000000\r\n" TWO);
	OK(s, session_sync(s));
	assert_true(s->uidvalidity > 1000);
	assert_int_equal(s->messages[0].uid, 1);
	assert_int_equal(s->messages[2].uid, 3);
	rig_reopen(r);
	assert_int_equal(s->messages[2].uid, 3);
	assert_int_equal(s->uidnext, 4);
}

/* ---- hostile files ---- */

/* attack-113, attack-108: named by octet, untouched. */
static void damaged_records_are_named(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const struct {
		const char *line;
		unsigned at;
	} bad[] = {
	    {" 6-Feb-2023 01:02:03 -0500,27;000000000000-00000002\r\n", 0},
	    {" 6-Feb-2023 01:02:03 -0500,79;000000000000-00000002\r\n" TWO
	     " 6-Feb-2023 01:02:03 -0500,27;000000000000-00000003\r\n",
	        132},
	    {" 6-Feb-2023 01:02:03 -0500,9999999999999;000000000000-00000002\r\n", 0},
	    {" 6-Feb-2023 01:02:03 -0500,99999999999999;000000000000-00000002\r\n", 26},
	    {" 6-Feb-2023 01:02:03 -0500,-26;000000000000-00000002\r\n", 27},
	    {" 6-Feb-2023 01:02:03 -0500,2x;000000000000-00000002\r\n", 28},
	    {" 6-Feb-2023 01:02:03 -0500,26;00000000g000-00000002\r\n", 38},
	    {" 6-Feb-2023 01:02:03 -0500,26;000000000000+00000002\r\n", 42},
	    {" 6-Feb-2023 01:02:03 -0500,26;000000000000-0000000 \r\n", 43},
	    {" 6-Feb-2023 01:02:03 -0500;26;000000000000-00000002\r\n", 26},
	    {" 6-Fab-2023 01:02:03 -0500,26;000000000000-00000002\r\n", 0},
	    {"32-Feb-2023 01:02:03 -0500,26;000000000000-00000002\r\n", 0},
	    {" 6-Feb-2023 01:02:03 -0500,26;000000000000-00000002\n", 26},
	    {" 6-Feb-2023 01:02:03 -0500\r\n", 26},
	    {"\r\n", 0},
	    {"x", 0},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char records[600], octet[64], *before, *after;
		size_t size, now;
		snprintf(records, sizeof records, "%s%s%s", GOLDEN_ONE, bad[i].line, TWO);
		put(r, 1000, 2, "", records);
		before = rig_get(r, &size);
		OK(s, session_open(r, s, 0));
		if (session_sync(s) != MORTISE_E_CORRUPT)
			fail_msg("%s", bad[i].line);
		snprintf(octet, sizeof octet, "octet %zu ", MBX_HEADER + strlen(GOLDEN_ONE) + bad[i].at);
		if (strstr(s->e.admin, octet) == NULL)
			fail_msg("%s is not in: %s", octet, s->e.admin);
		assert_int_equal(session_append(s, ONE, 0, NULL, NULL), MORTISE_E_CORRUPT);
		session_close(s);
		after = rig_get(r, &now);
		assert_int_equal(size, now);
		assert_memory_equal(before, after, size);
	}
}

/* attack-113: any octet is any other. Understood or refused, and what is refused is not touched. */
static void any_octet_may_be_wrong(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	unsigned seed = 113, refused = 0;
	char *good, *bad;
	size_t size, now;

	put(r, 1000, 2, "A\r\nB\r\n", GOLDEN_ONE GOLDEN_TWO);
	rig_open(r);
	OK(s, session_append(s, TWO, 0, "A", NULL)); /* with a trail in the header */
	session_close(s);
	good = rig_get(r, &size);
	bad = malloc(size);
	for (unsigned turn = 0; turn < 1500; turn++) {
		int result;
		memcpy(bad, good, size);
		for (unsigned n = (unsigned)rand_r(&seed) % 3; n < 3; n++) {
			/* Most are lines, or what begins the header, or ends it. */
			size_t from = (unsigned)rand_r(&seed) % 2 ? MBX_HEADER : n % 2 ? 0 : MBX_TRAIL;
			bad[from + (unsigned)rand_r(&seed) % (from == 0 ? 40 : size - from)] =
			    (char)((unsigned)rand_r(&seed) % 4
			               ? "0123456789abcdef \r\n,;-+NATx\xff"[rand_r(&seed) % 28]
			               : rand_r(&seed));
		}
		rig_put(r, bad, size);
		result = session_open(r, s, 0);
		if (result == 0 && (result = session_sync(s)) == 0) {
			for (size_t i = 0; i < s->count; i++)
				(void)session_read(s, s->messages[i].uid, NULL);
			if (s->count > 0)
				(void)session_flags(s, s->messages[0].uid, MORTISE_FLAG_SEEN, 0);
			(void)session_append(s, ONE, 0, "B", NULL);
			(void)session_sync(s);
		} else {
			assert_int_equal(result, MORTISE_E_CORRUPT);
			assert_memory_equal(rig_get(r, &now), bad, size);
			assert_int_equal(now, size);
			refused++;
		}
		session_close(s);
	}
	print_message("# %u of 1500 refused\n", refused);
	free(bad);
}

/* c-client cannot read these, and nobody writes them. */
static void empty_messages(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	size_t size;

	put(r, 1000, 2, "", " 6-Feb-2023 01:02:03 -0500,0;000000000000-00000001\r\n" GOLDEN_TWO);
	rig_open(r);
	assert_int_equal(s->count, 2);
	assert_string_equal(session_read(s, 1, &size), "");
	assert_int_equal(session_append(s, "", 0, NULL, NULL), MORTISE_E_INVALID);
}

/* attack-117 */
static void files_that_are_none(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static char zeros[5000];
	int fd;

	rig_put(r, zeros, 0);
	assert_int_equal(recognise(r), MORTISE_NOT_MINE);
	rig_put(r, "*", 1);
	assert_int_equal(recognise(r), MORTISE_NOT_MINE);
	rig_put(r, zeros, sizeof zeros);
	assert_int_equal(recognise(r), MORTISE_NOT_MINE);
	assert_int_equal(session_open(r, s, 0), MORTISE_E_CORRUPT);
	session_close(s);
	rig_put(r, header(1, 0, ""), 100);
	assert_int_equal(recognise(r), MORTISE_DAMAGED);
	assert_int_equal(session_open(r, s, 0), MORTISE_E_CORRUPT);
	session_close(s);
	rig_put(r, "*mbx*\r\n0000000100000000\n\n", 25);
	assert_int_equal(recognise(r), MORTISE_NOT_MINE);
	/* sparse, 1 TiB */
	put(r, 1000, 2, "", GOLDEN_ONE);
	fd = openat(r->root, r->file, O_RDWR);
	assert_int_equal(ftruncate(fd, INT64_C(1) << 40), 0);
	OK(s, session_open(r, s, 0));
	assert_int_equal(session_sync(s), MORTISE_E_CORRUPT);
	session_close(s);
	/* and one message of that size */
	put(r, 1000, 2, "", " 6-Feb-2023 01:02:03 -0500,1099511627776;000000000000-00000001\r\n");
	assert_int_equal(ftruncate(fd, (INT64_C(1) << 40) + MBX_HEADER + 64), 0);
	close(fd);
	rig_open(r);
	assert_int_equal(s->messages[0].m.octets, UINT64_C(1) << 40);
}

/* An engine that is told to keep empty files in this format: the first message brings the header. */
static void empty_files_become_mailboxes(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	uint32_t uid, uidvalidity;
	size_t size;

	rig_put(r, "", 0);
	rig_open(r);
	assert_int_equal(s->count, 0);
	uidvalidity = s->uidvalidity;
	rig_get(r, &size);
	assert_int_equal(size, 0);
	OK(s, session_append(s, ONE, 0, "word", &uid));
	OK(s, session_sync(s));
	assert_int_equal(s->uidvalidity, uidvalidity);
	assert_int_equal(s->count, 1);
	assert_int_equal(recognise(r), MORTISE_MINE);
	rig_reopen(r);
	assert_int_equal(s->uidvalidity, uidvalidity);
	assert_string_equal(session_read(s, uid, NULL), ONE);
	assert_string_equal(s->names[0], "word");
}

/* Option message_limit. */
static void too_many_messages(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	rig_option(r, "message_limit", "2");
	put(r, 1000, 2, "", GOLDEN_ONE GOLDEN_TWO);
	rig_open(r);
	assert_int_equal(session_append(s, ONE, 0, NULL, NULL), MORTISE_E_LIMIT);
	rig_add(r, " 6-Feb-2023 01:02:03 -0500,26;000000000000-00000000\r\n" TWO);
	assert_int_equal(session_sync(s), MORTISE_E_LIMIT);
}

/* ---- locks and times ---- */

static void others_who_lock_are_waited_for(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char path[256];
	struct stat st;
	int fd;

	r->lock_timeout = 60;
	put(r, 1000, 2, "", GOLDEN_ONE GOLDEN_TWO);
	rig_open(r);
	assert_int_equal(fstatat(r->root, r->file, &st, 0), 0);
	snprintf(path, sizeof path, "%s/.%llx.%llx", r->dir, (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino);
	session_checkpoint(s);
	assert_int_equal(access(path, F_OK), -1);
	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0666);
	assert_int_equal(st.st_size, 0);
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	/* Kept for the next time, but not locked; gone when there is a pause. */
	fd = open(path, O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
	session_checkpoint(s);
	assert_int_equal(access(path, F_OK), -1);
	OK(s, session_flags(s, 1, 0, 0));
	fd = open(path, O_RDWR | O_CREAT, 0666);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(session_flags(s, 1, 0, 0), MORTISE_E_INUSE);
	assert_non_null(strstr(s->e.admin, path));
	close(fd);
	OK(s, session_flags(s, 1, 0, 0));
	/* its holder lets go of it while we look at it */
	close(open(path, O_RDWR | O_CREAT, 0666));
	removed_at_look = path;
	OK(s, session_flags(s, 1, 0, 0));
	assert_null(removed_at_look);
	/* or takes it away while we keep it */
	OK(s, session_flags(s, 1, MORTISE_FLAG_SEEN, 0));
	assert_int_equal(unlink(path), 0);
	OK(s, session_flags(s, 1, 0, 0));
	assert_int_equal(access(path, F_OK), 0);
	session_checkpoint(s);
	/* a link is not followed */
	assert_int_equal(symlinkat("target", r->root, strrchr(path, '/') + 1), 0);
	assert_int_equal(session_flags(s, 1, 0, 0), MORTISE_E_TEMP);
	assert_int_equal(faccessat(r->root, "target", F_OK, 0), -1);
	unlink(path);
	/* flock: somebody compacts */
	session_close(s);
	fd = openat(r->root, r->file, O_RDWR);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(session_open(r, s, 0), MORTISE_E_INUSE);
	session_close(s);
	close(fd);
}

static void times_tell_of_new_mail(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct stat st;

	put(r, 1000, 2, "", GOLDEN_ONE GOLDEN_TWO);
	rig_open(r);
	OK(s, session_append(s, ONE, 0, NULL, NULL));
	assert_int_equal(fstatat(r->root, r->file, &st, 0), 0);
	assert_true(st.st_atime < st.st_ctime && st.st_atime < st.st_mtime);
	OK(s, session_seen(s));
	assert_int_equal(fstatat(r->root, r->file, &st, 0), 0);
	assert_true(st.st_atime >= st.st_mtime);
}

static void removed_while_open(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	put(r, 1000, 2, "", GOLDEN_ONE GOLDEN_TWO);
	rig_open(r);
	assert_int_equal(unlinkat(r->root, r->file, 0), 0);
	assert_int_equal(session_append(s, ONE, 0, NULL, NULL), MORTISE_E_NOTFOUND);
	assert_int_equal(session_flags(s, 1, 0, 0), MORTISE_E_NOTFOUND);
}

static void read_only_changes_nothing(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	put(r, 1000, 2, "", GOLDEN_ONE GOLDEN_TWO);
	OK(s, session_open(r, s, MORTISE_OPEN_READ_ONLY));
	OK(s, session_sync(s));
	assert_int_equal(s->count, 2);
	assert_int_equal(session_append(s, ONE, 0, NULL, NULL), MORTISE_E_PERM);
	assert_int_equal(session_flags(s, 1, 0, 0), MORTISE_E_PERM);
	assert_string_equal(session_read(s, 2, NULL), TWO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(golden_records_are_read),
	    TEST(golden_records_are_written),
	    TEST(dates_survive),
	    TEST(flags_change_in_place_only),
	    TEST(keywords_keep_their_lines),
	    TEST(sessions_see_each_other),
	    TEST(space_is_taken_back_later),
	    TEST(little_gain_waits),
	    TEST(missing_uids_are_given),
	    TEST(descending_uids_are_void),
	    TEST(uids_above_the_last),
	    TEST(the_last_uids),
	    TEST(damaged_records_are_named),
	    TEST(any_octet_may_be_wrong),
	    TEST(empty_messages),
	    TEST(files_that_are_none),
	    TEST(empty_files_become_mailboxes),
	    TEST(too_many_messages),
	    TEST(others_who_lock_are_waited_for),
	    TEST(times_tell_of_new_mail),
	    TEST(removed_while_open),
	    TEST(read_only_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
