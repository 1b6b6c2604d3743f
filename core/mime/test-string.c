/* Sources, IMAP strings, dates. */
#include "mime/test-mime.h"

#include "base/banned.h"

/* ---- source.c ---- */

static void source_01_memory_and_window(void **state UNUSED)
{
	struct source *s = source_memory(STR("0123456789")), *w = source_window(s, 2, 7), *past;
	struct err e = ERR_INIT;
	struct str chunk;
	uint64_t size;

	assert_int_equal(source_size(s, &size, &e), 0);
	assert_int_equal(size, 10);
	assert_int_equal(source_chunk(s, 9, &chunk, &e), 0);
	assert_true(str_eqc(chunk, "9"));
	assert_int_equal(source_chunk(s, 10, &chunk, &e), 0);
	assert_int_equal(chunk.n, 0);
	assert_int_equal(source_chunk(s, UINT64_MAX, &chunk, &e), 0);
	assert_int_equal(chunk.n, 0);
	assert_int_equal(source_size(w, &size, &e), 0);
	assert_int_equal(size, 5);
	assert_int_equal(source_chunk(w, 1, &chunk, &e), 0);
	assert_true(str_eqc(chunk, "3456"));
	assert_int_equal(source_chunk(w, 5, &chunk, &e), 0);
	assert_int_equal(chunk.n, 0);
	source_close(&w);
	assert_null(w);
	past = source_window(s, 8, 100);
	assert_int_equal(source_size(past, &size, &e), 0);
	assert_int_equal(size, 2);
	source_close(&past);
	source_close(&s);
	source_close(&s);
}

static void source_02_read_whole(void **state UNUSED)
{
	struct counting c = counting_source(STR("0123456789"), 3);
	struct arena *a = arena_new("test");
	struct err e = ERR_INIT;
	struct str out;

	assert_int_equal(source_read(&c.source, 1, 9, 8, a, &out, &e), 0);
	assert_true(str_eqc(out, "12345678"));
	assert_int_equal(source_read(&c.source, 5, 100, 1000, a, &out, &e), 0);
	assert_true(str_eqc(out, "56789"));
	assert_int_equal(source_read(&c.source, 5, 2, 0, a, &out, &e), 0);
	assert_int_equal(out.n, 0);
	assert_int_equal(source_read(&c.source, 0, 9, 8, a, &out, &e), MORTISE_E_LIMIT);
	err_clear(&e);
	c.fail_behind = 6;
	assert_int_equal(source_read(&c.source, 0, 9, 100, a, &out, &e), MORTISE_E_IO);
	arena_free(&a);
}

/* ---- string.c ---- */

static void string_01_quoted_or_literal(void **state UNUSED)
{
	struct buf b = BUF_INIT, big = BUF_INIT;

	imap_string(&b, STR("plain text"));
	assert_text(b, "\"plain text\"");
	imap_string(&b, STR(""));
	assert_text(b, "\"\"");
	imap_string(&b, STR("say \"x\""));
	assert_text(b, "{7}\r\nsay \"x\"");
	imap_string(&b, STR("a\\b"));
	assert_text(b, "{3}\r\na\\b");
	imap_string(&b, STR("a\r\nb"));
	assert_text(b, "{4}\r\na\r\nb");
	imap_string(&b, STR("caf\xc3\xa9"));
	assert_text(b, "{5}\r\ncaf\xc3\xa9");
	imap_string(&b, STR("a\0b\0"));
	assert_text(b, "{4}\r\na\x80"
	               "b\x80");
	imap_nstring(&b, STR_NONE);
	assert_text(b, "NIL");
	imap_nstring(&b, STR(""));
	assert_text(b, "\"\"");
	add_times(&big, "x", 1001);
	imap_string(&b, buf_str(&big));
	assert_memory_equal(b.p, "{1001}\r\nxxx", 11);
	buf_free(&big);
	buf_free(&b);
}

static void string_02_astring(void **state UNUSED)
{
	struct buf b = BUF_INIT;

	imap_astring(&b, STR("INBOX"));
	assert_text(b, "INBOX");
	imap_astring(&b, STR("a]b"));
	assert_text(b, "a]b");
	imap_astring(&b, STR(""));
	assert_text(b, "\"\"");
	imap_astring(&b, STR("nil"));
	assert_text(b, "\"nil\"");
	imap_astring(&b, STR("a b"));
	assert_text(b, "\"a b\"");
	imap_astring(&b, STR("a*"));
	assert_text(b, "\"a*\"");
	imap_astring(&b, STR("a\"b"));
	assert_text(b, "{3}\r\na\"b");
	buf_free(&b);
}

/* ---- date.c ---- */

static void date_01_imap_date_time(void **state UNUSED)
{
	static const char *const bad[] = {"", "1-Jan-2024 10:00:00 +0000", " 1-Jan-2024 10:00:00",
	    "01-Foo-2024 10:00:00 +0000", "31-Feb-2024 10:00:00 +0000", "01-Jan-0000 10:00:00 +0000",
	    "01-Jan-99999 10:00:00 +0000", "01-Jan-2024 24:00:00 +0000", "01-Jan-2024 10:60:00 +0000",
	    "01-Jan-2024 10:00:00 +9999", "01-Jan-2024 10:00:00 +0000 ", "  1-Jan-2024 10:00:00 +0000",
	    "00-Jan-2024 10:00:00 +0000", "01-Jan-2024 10:00:00 0000", "01 Jan 2024 10:00:00 +0000",
	    "\"01-Jan-2024 10:00:00 +0000"};
	struct buf b = BUF_INIT;
	int64_t when;
	size_t i;
	int zone;

	assert_true(imap_date_time(STR(" 5-jan-2024 10:20:30 +0100"), &when, &zone));
	assert_int_equal(when, 1704446430);
	assert_int_equal(zone, 60);
	imap_date_time_write(&b, when, zone);
	assert_text(b, " 5-Jan-2024 10:20:30 +0100");
	assert_true(imap_date_time(STR("\"29-Feb-2000 23:59:60 -0330\""), &when, &zone));
	assert_int_equal(zone, -210);
	/* attack-108 */
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(imap_date_time(str_of(bad[i]), &when, &zone));
	imap_date_time_write(&b, INT64_MIN, 0);
	assert_text(b, " 1-Jan-0001 00:00:00 +0000");
	imap_date_time_write(&b, INT64_MAX, 9999);
	assert_text(b, "31-Dec-9999 23:59:59 +0000");
	imap_date_time_write(&b, -1, 0);
	assert_text(b, "31-Dec-1969 23:59:59 +0000");
	buf_free(&b);
}

static void date_02_imap_date(void **state UNUSED)
{
	int64_t day;

	assert_true(imap_date(STR("1-Jan-1970"), &day));
	assert_int_equal(day, 0);
	assert_true(imap_date(STR("\"31-Dec-1969\""), &day));
	assert_int_equal(day, -1);
	assert_true(imap_date(STR("01-Mar-2024"), &day));
	assert_int_equal(day, 19783);
	assert_false(imap_date(STR(""), &day));
	assert_false(imap_date(STR("\"\"\"1-Jan-1970\"\"\""), &day));
	assert_false(imap_date(STR("1-Jan-70"), &day));
	assert_false(imap_date(STR("30-Feb-2024"), &day));
	assert_false(imap_date(STR("1-Jan-1970 "), &day));
}

/* Every day of ten thousand years there and back. */
static void date_03_calendar(void **state UNUSED)
{
	struct buf b = BUF_INIT;
	int64_t day, when;
	int zone;

	for (day = -719162; day <= 2932896; day += 97) {
		imap_date_time_write(&b, day * 86400 + 43200, -720);
		assert_true(imap_date_time(buf_str(&b), &when, &zone));
		assert_int_equal(when, day * 86400 + 43200);
		buf_reset(&b);
	}
	buf_free(&b);
}

static void date_04_header_dates(void **state UNUSED)
{
	static const struct {
		const char *text, *expected;
	} good[] = {
	    {"Mon, 1 Jan 2024 10:00:00 +0100", " 1-Jan-2024 10:00:00 +0100"},
	    {"1 Jan 2024 10:00 GMT", " 1-Jan-2024 10:00:00 +0000"},
	    {"Mon , 01 Jan 2024 10 :00:00 (a (b) c) -0800 (PST)", NULL},
	    {"Mon, 01 (day) Jan 2024 10:00:00 (a (b\\) ) c) -0800 (PST)", " 1-Jan-2024 10:00:00 -0800"},
	    {"Fri Jan  5 10:20:30 2024", " 5-Jan-2024 10:20:30 +0000"},
	    {"Fri Jan  5 10:20:30 2024 +0100", " 5-Jan-2024 10:20:30 +0100"},
	    {"Fri Jan  5 10:20:30 PST 2024", " 5-Jan-2024 10:20:30 -0800"},
	    {"5-Jan-24 1:02 EST", " 5-Jan-2024 01:02:00 -0500"},
	    {"5-Jan-49 1:02", " 5-Jan-2049 01:02:00 +0000"},
	    {"5-Jan-50 1:02", " 5-Jan-1950 01:02:00 +0000"},
	    {"5 Jan 124 01:02:03 +0000", " 5-Jan-2024 01:02:03 +0000"},
	    {"2024-01-05T10:20:30.123Z", " 5-Jan-2024 10:20:30 +0000"},
	    {"2024-01-05 10:20:30+05:30", " 5-Jan-2024 10:20:30 +0530"},
	    {"1/5/99", " 5-Jan-1999 00:00:00 +0000"},
	    {"20240105 10:20", " 5-Jan-2024 10:20:00 +0000"},
	    {"Tue, 31 Dec 2019 23:59:60 +9999", " 1-Jan-2020 00:00:00 +0000"},
	    {"Sat, 5 January 2019 10:20:30 PM", " 5-Jan-2019 22:20:30 +0000"},
	    {"Sat, 5 Jan 2019 10:20:30 XYZ", " 5-Jan-2019 10:20:30 +0000"},
	    {"Sat, 5 Jan 2019 10:20:30 GMT+0200", " 5-Jan-2019 10:20:30 +0200"},
	    {"Thu, 1 Jan 9999 00:00:00 +0000", " 1-Jan-9999 00:00:00 +0000"},
	    /* attack-108 */
	    {"", NULL},
	    {"Thu, 1 Jan 99999 00:00:00 +0000", NULL},
	    {"Thu, 1 Jan 0000 00:00:00 +0000", NULL},
	    {"32 Jan 2024 00:00:00 +0000", NULL},
	    {"2024-13-01", NULL},
	    {"1 Foo 2024 00:00:00", NULL},
	    {"1 Jan 2024 25:00:00", NULL},
	    {"1 Jan 2024 10:00:00 11:00:00", NULL},
	    {"999999999999999999999", NULL},
	    {"((((((", NULL},
	    {"1 Jan \\", NULL},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(good); i++) {
		int64_t when = 0;
		int zone = 0;
		bool ok = mime_date(str_of(good[i].text), &when, &zone);

		if (ok != (good[i].expected != NULL))
			print_message("# %s\n", good[i].text);
		assert_int_equal(ok, good[i].expected != NULL);
		if (!ok)
			continue;
		imap_date_time_write(&b, when, zone);
		assert_text(b, good[i].expected);
	}
	buf_free(&b);
}

static void date_05_huge(void **state UNUSED)
{
	struct buf b = BUF_INIT;
	int64_t when;
	int zone;

	add_times(&b, "(", 1000000);
	assert_false(mime_date(buf_str(&b), &when, &zone));
	buf_reset(&b);
	add_times(&b, "1 ", 1000000);
	assert_false(mime_date(buf_str(&b), &when, &zone));
	buf_reset(&b);
	add_times(&b, "(x) ", 1000000);
	buf_adds(&b, "1 Jan 2024");
	assert_true(mime_date(buf_str(&b), &when, &zone));
	buf_free(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(source_01_memory_and_window),
	    cmocka_unit_test(source_02_read_whole),
	    cmocka_unit_test(string_01_quoted_or_literal),
	    cmocka_unit_test(string_02_astring),
	    cmocka_unit_test(date_01_imap_date_time),
	    cmocka_unit_test(date_02_imap_date),
	    cmocka_unit_test(date_03_calendar),
	    cmocka_unit_test(date_04_header_dates),
	    cmocka_unit_test(date_05_huge),
	};

	alarm(HANG_SECONDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
