/* test-scan.c: From lines, and how a file is divided into messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "from.h"
#include "scan.h"

/* ---- From lines: every verdict of the format notes. attack-110 ---- */

static const struct {
	const char *line;
	bool valid, date;
	int64_t time; /* with a zone in the line */
	int zone;
} verdicts[] = {
    {"From a@b Wed Dec  2 05:53:22 1992 +0000", true, true, 723275602, 0},
    {"From a@b Wed Dec  2 05:53:22 1992 -0700", true, true, 723275602 + 7 * 3600, -420},
    {"From a@b Wed Dec  2 05:53:22 -0700 1992", true, true, 723275602 + 7 * 3600, -420},
    {"From a@b Wed Dec  2 05:53:22 PST 1992", true, true, 723275602 + 8 * 3600, -480},
    {"From a@b Wed Dec  2 05:53:22 1992 PST", true, true, 723275602 + 8 * 3600, -480},
    {"From a@b Wed Dec  2 05:53:22 1992 cet", true, true, 723275602 - 3600, 60},
    {"From a@b Wed Dec  2 05:53 1992 +0000", true, true, 723275580, 0},
    {"From a@b Wed Dec  2 05:53 GMT 1992", true, true, 723275580, 0},
    {"From a@b Wed Dec  2 05:53:22 1992", true, true, -1, 0},
    {"From a@b Wed Dec  2 05:53 1992", true, true, -1, 0},
    {"From - Mon Jan  1 10:00:00 2024", true, true, -1, 0},
    {"From  Mon Jan  1 10:00:00 2024", true, true, -1, 0},
    {"From Mon Jan  1 10:00:00 2024", true, true, -1, 0},
    {"From a b c Mon Jan 01 10:00:00 2024", true, true, -1, 0},
    {"From a@b Mon Jan  1 10:00:00 2024\r", true, true, -1, 0},
    {"From uucp!x Wed Dec  2 05:53:22 GMT 1992 remote from there", true, true, 723275602, 0},
    {"From x Wed Dec  2 05:53 1992 remote from y", true, true, -1, 0},
    {"From a@b Xxx Yyy  1 99:00:00 2024", true, false, 0, 0},
    {"From a@b Mon Jan xx 10:00:00 2024", true, false, 0, 0},
    {"From a@b Mon Jan  1 10:00:00 yyyy", true, false, 0, 0},
    {"From a@b Mon Jan 32 10:00:00 2024", true, false, 0, 0},
    {"From a@b Mon Jan  1 10:61:00 2024", true, false, 0, 0},
    {"From a@b Mon, 1 Jan 2024 10:00:00", false, false, 0, 0},
    {"From a@b Mon Jan  1 10:00:00 2024 PDTX", false, false, 0, 0},
    {"From a@b Mon Jan  1 10:00:00 PDTX 2024", false, false, 0, 0},
    {"From a@b Mon Jan 1 10:00:00 2024", false, false, 0, 0},
    {"From a@b Mon Jan  1 10:00:00 24", false, false, 0, 0},
    {"From a@b Mon Jan  1 10.00.00 2024", false, false, 0, 0},
    {"From the start", false, false, 0, 0},
    {"From ", false, false, 0, 0},
    {"From", false, false, 0, 0},
    {"", false, false, 0, 0},
    {"from a@b Mon Jan  1 10:00:00 2024", false, false, 0, 0},
    {">From a@b Mon Jan  1 10:00:00 2024", false, false, 0, 0},
    {" From a@b Mon Jan  1 10:00:00 2024", false, false, 0, 0},
    {"From:a@b Mon Jan  1 10:00:00 2024", false, false, 0, 0},
    {"From Mon Jan  1 10:00 2024", false, false, 0, 0}, /* 26 octets */
    {"From a@b Mon Jan  1 10:00:00 2024 remote from", false, false, 0, 0},
    {"From a@b Mon Jan  1 10:00:00 2024 \r", false, false, 0, 0},
};

static char *add(char *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts a line or two at p; the end. */
static char *add(char *p, const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(p, 400, format, ap);
	va_end(ap);
	assert_true(n >= 0 && n < 400);
	return p + n;
}

static void from_lines_get_their_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		const unsigned char *line = (const unsigned char *)verdicts[i].line;
		struct unix_from f;
		bool valid = unix_from_parse(line, strlen(verdicts[i].line), &f);

		if (valid != verdicts[i].valid || f.date_valid != verdicts[i].date)
			fail_msg("%s: valid %d, date %d", verdicts[i].line, valid, f.date_valid);
		assert_int_equal(unix_from_valid(line, strlen(verdicts[i].line)), valid);
		if (verdicts[i].time >= 0) {
			assert_int_equal(f.time, verdicts[i].time);
			assert_int_equal(f.zone, verdicts[i].zone);
		}
		/* No prefix of a line may read beyond its end (found by sanitizers). */
		for (size_t n = 0; n < strlen(verdicts[i].line); n++) {
			unsigned char *cut = malloc(n + 1);
			memcpy(cut, line, n);
			unix_from_parse(cut, n, &f);
			free(cut);
		}
	}
}

static void local_dates_are_local(void **state)
{
	static const char line[] = "From a@b Mon Jul  1 12:00:00 2024";
	struct unix_from f;

	(void)state;
	setenv("TZ", "XST-05:30", 1);
	tzset();
	assert_true(unix_from_parse((const unsigned char *)line, strlen(line), &f));
	assert_int_equal(f.time, 1719835200 - 19800);
	assert_int_equal(f.zone, 330);
	setenv("TZ", "UTC0", 1);
	tzset();
}

static void written_lines_are_read_again(void **state)
{
	static const int64_t times[] = {0, 1704446430, 4102444800, 253402214399, -5, INT64_MAX, INT64_MIN};
	static const int zones[] = {0, 60, -420, 330, 1440, -1440, 99999};

	(void)state;
	for (size_t i = 0; i < sizeof times / sizeof *times; i++)
		for (size_t j = 0; j < sizeof zones / sizeof *zones; j++) {
			char line[UNIX_FROM_WRITE_MAX];
			struct unix_from f;
			size_t n = unix_from_write(line, "who ever\n@h", times[i], zones[j]);

			assert_true(n < sizeof line);
			assert_int_equal(line[n - 1], '\n');
			assert_true(unix_from_parse((unsigned char *)line, n - 1, &f));
			assert_memory_equal(line, "From whoever@h ", 15);
			if (i < 3 && i > 0 && j < 6) {
				assert_true(f.date_valid);
				assert_int_equal(f.time, times[i]);
				assert_int_equal(f.zone, zones[j]);
			}
			n = unix_from_write_ctime(line, "MAILER-DAEMON", times[i]);
			assert_true(unix_from_valid((unsigned char *)line, n - 1));
		}
}

/* ---- messages ---- */

#define FROM "From a@b Mon Jan  1 10:00:00 2024\n"

struct found {
	size_t count;
	struct unix_scanned m[8];
	int result;
	uint64_t position;
};

static void scan_input(const struct unix_input *input, struct found *f)
{
	struct unix_scanner s;

	f->count = 0;
	assert_int_equal(unix_scan_open(&s, input, 0, 0), 0);
	f->result = unix_scan_begin(&s);
	while (f->result == 0 && f->count < 8) {
		int r = unix_scan_next(&s, &f->m[f->count]);
		if (r != 1) {
			f->result = r;
			break;
		}
		f->count++;
	}
	f->position = s.position;
	unix_scan_close(&s);
}

static void scan_text(const char *text, size_t size, struct found *f)
{
	struct unix_input input = {.fd = -1, .memory = (const unsigned char *)text, .end = size};

	scan_input(&input, f);
}
#define SCAN(text, f) scan_text((text), sizeof(text) - 1, (f))

/* What clients see of a message, LF as it is. */
static void is_text(const char *file, const struct unix_scanned *m, const char *want)
{
	size_t from = m->start + m->from_size, lfs = 0;

	assert_int_equal(m->text_end - from, strlen(want));
	assert_memory_equal(file + from, want, strlen(want));
	for (const char *p = want; *p != '\0'; p++)
		lfs += *p == '\n' && (p == want || p[-1] != '\r');
	assert_int_equal(m->octets, strlen(want) + lfs);
}

static void messages_end_where_they_do(void **state)
{
	static const char file[] =
	    FROM "A: 1\n\ntext\n\n" FROM "B: 2\n\nno empty line\n" FROM "C: 3\n\n\n\nmore\n\n\n" FROM
	         "D: 4\n\n" FROM "E: 5\n" FROM "F: 6\n\n>From x\nFrom x\nlast";
	struct found f;

	(void)state;
	SCAN(file, &f);
	assert_int_equal(f.result, 0);
	assert_int_equal(f.count, 5); /* a From line in a header is header */
	is_text(file, &f.m[0], "A: 1\n\ntext\n");
	assert_true(f.m[0].separated);
	is_text(file, &f.m[1], "B: 2\n\nno empty line\n");
	assert_false(f.m[1].separated);
	is_text(file, &f.m[2], "C: 3\n\n\n\nmore\n\n");
	is_text(file, &f.m[3], "D: 4\n\n");
	assert_false(f.m[3].separated);
	is_text(file, &f.m[4], "E: 5\n" FROM "F: 6\n\n>From x\nFrom x\nlast");
	assert_false(f.m[4].ends_line);
}

static void lines_may_end_with_crlf(void **state)
{
	static const char file[] = "From a@b Mon Jan  1 10:00:00 2024\r\nA: 1\r\n\r\ntext\r\nbare\rcr\n\r\n"
	                           "From a@b Mon Jan  1 10:00:00 2024\r\nB: 2\r\n\r\n\r\n";
	struct found f;

	(void)state;
	SCAN(file, &f);
	assert_int_equal(f.count, 2);
	is_text(file, &f.m[0], "A: 1\r\n\r\ntext\r\nbare\rcr\n");
	is_text(file, &f.m[1], "B: 2\r\n\r\n");
}

static void white_space_before_the_first_message(void **state)
{
	struct found f;

	(void)state;
	SCAN("\n \t\r\n" FROM "A: 1\n\n", &f);
	assert_int_equal(f.count, 1);
	assert_int_equal(f.m[0].start, 5);
	SCAN(" " FROM "A: 1\n\n", &f);
	assert_int_equal(f.result, UNIX_SCAN_BAD);
	assert_int_equal(f.position, 1);
	SCAN("\n\n\n", &f);
	assert_int_equal(f.result, 0);
	assert_int_equal(f.count, 0);
	/* attack-117 */
	SCAN("", &f);
	assert_int_equal(f.result, 0);
	SCAN("F", &f);
	assert_int_equal(f.result, UNIX_SCAN_BAD);
	scan_text("\0\0\0\0\0\0\0\0", 8, &f);
	assert_int_equal(f.result, UNIX_SCAN_BAD);
	assert_int_equal(f.position, 0);
	SCAN(FROM, &f);
	assert_int_equal(f.count, 1);
	assert_int_equal(f.m[0].octets, 0);
}

/* Any line length, at any place in the window; the same answers as in one piece. attack-110 */
static void long_lines_cost_no_memory(void **state)
{
	static const size_t sizes[] = {8191, 8192, 8193, 131071, 131072, 131073, 262144, 300000, 10 << 20};

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int kind = 0; kind < 4; kind++) {
			size_t n = sizes[i];
			char *text = malloc(n + 1000), *p = text;
			struct found f;
			/* A header line; a text line; a From line too long to be one; one that is not. */
			p = add(p, FROM "A: 1\n%s", kind == 0 ? "X: " : "\n");
			if (kind >= 2)
				p = add(p, "From ");
			memset(p, kind == 3 ? '\0' : 'x', n);
			p += n;
			p = add(p, "%s\n%s\nend\n\n" FROM "B: 2\n\n",
			    kind == 2 ? " Mon Jan  1 10:00:00 2024" : "", kind == 0 ? "" : "text");
			scan_text(text, (size_t)(p - text), &f);
			assert_int_equal(f.result, 0);
			if (kind == 2 && n + 40 < UNIX_FROM_MAX)
				assert_int_equal(f.count, 3);
			else
				assert_int_equal(f.count, 2);
			assert_int_equal(f.m[f.count - 1].next, p - text);
			if (kind == 0)
				assert_int_equal(f.m[0].octets, 4 + 2 + 3 + n + 2 + 2 + 5);
			free(text);
		}
}

/* A line begins at every octet around a window's end. */
static void window_ends_do_not_matter(void **state)
{
	(void)state;
	for (size_t shift = 0; shift < 80; shift++) {
		size_t n = UNIX_WINDOW - 40 - shift;
		char *text = malloc(n + 400), *p = text;
		struct found f;

		p = add(p, FROM "A: 1\n\n");
		memset(p, 'x', n - (size_t)(p - text));
		p = text + n;
		p = add(p, "\n\n" FROM "Status: RO\nX-Status: \nX-Keywords:                 \nX-UID: "
		           "7\nB: 2\n\nFrom x\r\nF\n\n" FROM "C: 3\n\nFr");
		scan_text(text, (size_t)(p - text), &f);
		assert_int_equal(f.count, 3);
		assert_int_equal(f.m[1].start, n + 2);
		assert_int_equal(f.m[1].octets, 6 + 2 + 8 + 3);
		assert_int_equal(f.m[1].uid, 7);
		assert_true(f.m[1].block);
		assert_int_equal(f.m[2].text_end, p - text);
		free(text);
	}
}

/* attack-117: a terabyte of nothing is passed over; offsets beyond 4 GiB are right. */
static void holes_are_passed_over(void **state)
{
	static const char first[] = FROM "A: 1\n\ntext", second[] = "\n\n" FROM "B: 2\n\n";
	const uint64_t far = (uint64_t)1 << 40;
	int fd = memfd_create("holes", 0);
	struct unix_input input = {.fd = fd};
	struct found f;

	(void)state;
	assert_int_equal(pwrite(fd, first, sizeof first - 1, 0), sizeof first - 1);
	if (ftruncate(fd, (off_t)far) != 0 || pwrite(fd, second, sizeof second - 1, (off_t)far) < 0) {
		close(fd);
		skip();
	}
	input.end = far + sizeof second - 1;
	scan_input(&input, &f);
	assert_int_equal(f.result, 0);
	assert_int_equal(f.count, 2);
	assert_int_equal(f.m[1].start, far + 2);
	assert_int_equal(f.m[0].octets, far + 1 - (sizeof FROM - 1) + 1 + 2);
	close(fd);
}

static void a_file_that_shrinks_is_an_error(void **state)
{
	int fd = memfd_create("short", 0);
	struct unix_input input = {.fd = fd, .end = 100000};
	struct found f;

	(void)state;
	assert_int_equal(write(fd, FROM "A: 1\n\n", sizeof FROM + 5), sizeof FROM + 5);
	scan_input(&input, &f);
	assert_int_equal(f.result, UNIX_SCAN_SHORT);
	assert_int_equal(f.position, sizeof FROM + 5);
	close(fd);
}

static int stop_at(void *arg)
{
	int *left = arg;

	return --*left < 0 ? -140 : 0;
}

static void a_scan_can_be_stopped(void **state)
{
	size_t size = 3 << 20;
	char *text = malloc(size);
	int left = 4;
	struct unix_input input = {
	    .fd = -1, .memory = (unsigned char *)text, .end = size, .stop = stop_at, .stop_arg = &left};
	struct found f;

	(void)state;
	memset(text, 'x', size);
	memcpy(text, FROM "A: 1\n\n", sizeof FROM + 5);
	scan_input(&input, &f);
	assert_int_equal(f.result, -140);
	/* Asked at least every 256 KiB. */
	left = 1000;
	scan_input(&input, &f);
	assert_int_equal(f.count, 1);
	assert_true(1000 - left >= (int)(size / UNIX_WINDOW));
	free(text);
}

/* ---- internal fields ---- */

#define TAIL(uid) "Status: RO\nX-Status: FA\nX-Keywords:               \nX-UID: " uid "\n"

static void fields_are_told_by_their_place(void **state)
{
	static const char file[] = FROM TAIL("1") "A: 1\n\n\n" FROM "A: 1\n" TAIL(
	    "2") "\n\n" FROM "A: 1\nX-UID: 3\nStatus: D\n\n\n" FROM
	         "A: 1\nX-Keywords: k\nX-UID: 4\n\n\n" FROM TAIL("5")
	             TAIL("6") "\n\n" FROM "A: 1\nStatus: R\n D\nB: 2\nX-UID: 7x\n\n\n" FROM
	                       "status: R\nX-Status : D\nXX-UID: 1\n\n\n";
	struct found f;

	(void)state;
	SCAN(file, &f);
	assert_int_equal(f.count, 7);
	assert_int_equal(f.m[0].uid_place, UNIX_PLACE_HEAD);
	assert_true(f.m[0].block && f.m[0].block_uid && !f.m[0].strays);
	assert_int_equal(f.m[0].letters, UNIX_LETTER_R | UNIX_LETTER_O | UNIX_LETTER_F | UNIX_LETTER_A);
	assert_int_equal(f.m[0].head_letters, f.m[0].letters);
	assert_int_equal(f.m[1].uid_place, UNIX_PLACE_TAIL);
	assert_int_equal(f.m[1].head_letters, 0);
	assert_true(f.m[1].block && !f.m[1].strays);
	assert_int_equal(f.m[1].octets, 6 + 2);
	assert_int_equal(f.m[2].uid_place, UNIX_PLACE_LOOSE);
	assert_true(!f.m[2].block && f.m[2].strays);
	assert_int_equal(f.m[3].uid_place, UNIX_PLACE_LOOSE);
	assert_int_equal(f.m[4].uid, 5);
	assert_true(f.m[4].strays && !f.m[4].block);
	assert_int_equal(f.m[5].uid, 0);
	assert_int_equal(f.m[5].letters, UNIX_LETTER_R); /* a continuation is nobody's */
	assert_int_equal(f.m[5].octets, 6 + 6 + 2);
	assert_int_equal(f.m[6].octets, strlen("status: R\nX-Status : D\nXX-UID: 1\n\n") + 4);
	assert_false(f.m[6].strays);
}

/* attack-109: too small, too large, negative, no number, on a From line of the text. */
static void content_length_is_not_looked_at(void **state)
{
	static const char *const lies[] = {
	    "0", "1", "3", "12", "999999", "18446744073709551615", "-1", "x", "", "12 13"};
	static const char body[] = "one\nFrom here\n\ntwo\n";

	(void)state;
	for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
		char text[600];
		struct found f;
		int n = snprintf(text, sizeof text,
		    FROM "Content-Length: %s\nLines: %s\n\n%s\n" FROM "B: 2\n\nend\n\n", lies[i], lies[i],
		    body);

		scan_text(text, (size_t)n, &f);
		assert_int_equal(f.result, 0);
		assert_int_equal(f.count, 2);
		assert_int_equal(f.m[0].text_end - f.m[0].header_end, strlen(body));
		assert_int_equal(f.m[1].next, n);
	}
}

/* A hundred thousand of them: linear, and nothing is kept. */
static void many_fields_cost_nothing(void **state)
{
	const size_t n = 100000;
	char *text = malloc(n * 40 + 200), *p = text;
	struct found f;

	(void)state;
	p = add(p, FROM);
	for (size_t i = 0; i < n; i++)
		p = add(p, "X-Keywords: keyword%zu\nA: %06zu\n", i, i);
	p = add(p, "\ntext\n\n");
	scan_text(text, (size_t)(p - text), &f);
	assert_int_equal(f.count, 1);
	assert_int_equal(f.m[0].octets, n * 11 + 2 + 6);
	assert_true(f.m[0].words_lost);
	free(text);
}

/* As the essay in scan.h says it, octet by octet. */
static void by_hand(const char *text, size_t size, size_t header_end, struct unix_scanned *m)
{
	size_t last = size, cr;

	m->octets = 0;
	for (size_t i = header_end; i < size; i++)
		m->octets += 1 + (text[i] == '\n' && text[i - 1] != '\r');
	while (last > header_end && (last == size || text[last - 1] != '\n'))
		last--;
	cr = size - last == 2 && text[last] == '\r';
	m->ends_line = text[size - 1] == '\n';
	m->separated = last < size && m->ends_line && size - last == 1 + cr;
	m->text_end = m->separated ? last : size;
	m->octets -= m->separated ? 2 : 0;
}

static void lines_are_counted_as_by_hand(void **state)
{
	static const char some[] = "\n\r\n\rFrom FFrr\nx";
	struct unix_scanned want;
	struct found f;
	uint32_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 4000; round++) {
		size_t head = strlen(FROM "A: 1\n\n"), lead = round % 40 == 0 ? UNIX_WINDOW - 60 - head : 0;
		size_t size = head + lead + round % 120, at = head;
		char *text = malloc(size + 100);

		memcpy(text, FROM "A: 1\n\n", head);
		for (; at < head + lead; at++)
			text[at] = at % 61 == 0 ? '\n' : 'y';
		for (; at < size; at++) {
			seed = seed * 1103515245u + 12345u;
			/* Few line ends at one time, many at another. */
			text[at] = round % 3 == 0 ? some[(seed >> 16) % (sizeof some - 1)]
			                          : "ab\nF"[(seed >> 16) % 4];
		}
		scan_text(text, size, &f);
		assert_int_equal(f.count, 1);
		by_hand(text, size, head, &want);
		assert_int_equal(f.m[0].octets, want.octets + 8);
		assert_int_equal(f.m[0].text_end, want.text_end);
		assert_int_equal(f.m[0].separated, want.separated);
		if (size > head)
			assert_int_equal(f.m[0].ends_line, want.ends_line);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(from_lines_get_their_verdicts),
	    cmocka_unit_test(local_dates_are_local),
	    cmocka_unit_test(written_lines_are_read_again),
	    cmocka_unit_test(messages_end_where_they_do),
	    cmocka_unit_test(lines_may_end_with_crlf),
	    cmocka_unit_test(white_space_before_the_first_message),
	    cmocka_unit_test(long_lines_cost_no_memory),
	    cmocka_unit_test(window_ends_do_not_matter),
	    cmocka_unit_test(holes_are_passed_over),
	    cmocka_unit_test(a_file_that_shrinks_is_an_error),
	    cmocka_unit_test(a_scan_can_be_stopped),
	    cmocka_unit_test(fields_are_told_by_their_place),
	    cmocka_unit_test(content_length_is_not_looked_at),
	    cmocka_unit_test(many_fields_cost_nothing),
	    cmocka_unit_test(lines_are_counted_as_by_hand),
	};

	setenv("TZ", "UTC0", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
