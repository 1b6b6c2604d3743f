#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"
#include "imap/reader.h"
#include "base/banned.h"

static const struct reader_limits limits = {.line = 200,
    .literal = 100,
    .command = 500,
    .literals = 4,
    .tag = 16,
    .nonsynchronising = UINT64_MAX,
    .stream = true};

/* What a reader does with an input, as text: one line an event. Streams are taken as they come. */
static void run(const struct reader_limits *l, struct str input, size_t chunk, struct buf *log)
{
	struct reader *r = reader_new(l);

	while (input.n > 0) {
		struct str part = str_sub(input, 0, chunk);
		bool more = true;

		input = str_from(input, part.n);
		while (more) {
			enum reader_state s = reader_feed(r, &part);
			bool synchronising, binary;
			struct str c = reader_command(r), tag = reader_tag(r);

			switch (s) {
			case READER_MORE:
				assert_int_equal(part.n, 0);
				more = false;
				break;
			case READER_CONTINUE:
				buf_adds(log, "+\n");
				break;
			case READER_COMMAND:
				buf_printf(log, "%.*s|%.*s\n", STR_FMT(tag), STR_FMT(c));
				break;
			case READER_BAD:
				buf_printf(log, "%.*s BAD %s\n", STR_FMT(tag), reader_error(r));
				break;
			case READER_FATAL:
				buf_printf(log, "FATAL\n");
				reader_free(&r);
				return;
			case READER_STREAM: {
				uint64_t n = reader_stream_size(r, &synchronising, &binary);

				buf_printf(log, "%.*s|%.*s stream %llu%s%s:", STR_FMT(tag), STR_FMT(c),
				    (unsigned long long)n, synchronising ? " wait" : "",
				    binary ? " binary" : "");
				/* The octets are taken from wherever they are. */
				while (n > 0 && (part.n > 0 || input.n > 0)) {
					struct str *from = part.n > 0 ? &part : &input;
					size_t take = from->n < n ? from->n : (size_t)n;

					buf_add(log, from->p, take);
					*from = str_from(*from, take);
					n -= take;
				}
				buf_adds(log, "\n");
				reader_stream_done(r);
				break;
			}
			}
			if (s == READER_COMMAND || s == READER_BAD || s == READER_STREAM)
				more = part.n > 0;
		}
	}
	buf_printf(log, "%s\n", reader_idle(r) ? "idle" : "busy");
	reader_free(&r);
}

/* The same in one piece, octet by octet and in every chunk size between. */
static void check_with(const struct reader_limits *l, struct str input, const char *expected)
{
	size_t chunk;

	for (chunk = 1; chunk <= input.n; chunk++) {
		struct buf log = BUF_INIT;

		run(l, input, chunk, &log);
		if (strcmp(buf_cstr(&log), expected) != 0)
			print_message("chunk %zu\n", chunk);
		assert_string_equal(buf_cstr(&log), expected);
		buf_free(&log);
	}
}

#define CHECK(input, expected) check_with(&limits, STR(input), expected)

static void commands(void **state)
{
	(void)state;
	CHECK("a1 NOOP\r\n", "a1|a1 NOOP\nidle\n");
	CHECK("a1 NOOP\r\na2 NOOP\r\n", "a1|a1 NOOP\na2|a2 NOOP\nidle\n");
	CHECK("a1 NOOP\n\r\n", "a1|a1 NOOP\n|\nidle\n");
	CHECK("a1 NO", "busy\n");
	CHECK("a\r\n", "a|a\nidle\n");
}

static void literals(void **state)
{
	(void)state;
	CHECK("a LOGIN {3}\r\nfoo {5}\r\nb\r\nar\r\n", "+\n+\na|a LOGIN {3}\r\nfoo {5}\r\nb\r\nar\nidle\n");
	CHECK("a LOGIN {3+}\r\nfoo {0+}\r\n\r\nb X\r\n", "a|a LOGIN {3+}\r\nfoo {0+}\r\n\nb|b X\nidle\n");
	CHECK("a LOGIN {3}\n", "+\nbusy\n");         /* attack-077: just waits */
	CHECK("a X {-1}\r\n", "a|a X {-1}\nidle\n"); /* attack-076: text, not a literal */
	CHECK("a X {}\r\n", "a|a X {}\nidle\n");
	CHECK("a X ~{2+}\r\nab\r\n", "a|a X ~{2+}\r\nab\nidle\n");
	/* Whatever stands before it. */
	CHECK("a X \"{2+}\r\nb\n\r\nc Y\r\n", "a|a X \"{2+}\r\nb\n\nc|c Y\nidle\n");
}

/* attack-076 */
static void literal_limits(void **state)
{
	(void)state;
	CHECK("a X {101}\r\nb NOOP\r\n", "a BAD Literal is too long\nb|b NOOP\nidle\n");
	CHECK("a X {4294967295}\r\nb NOOP\r\n", "a BAD Literal is too long\nb|b NOOP\nidle\n");
	CHECK("a X {99999999999999999999}\r\nb NOOP\r\n",
	    "a BAD Literal size is out of range\nb|b NOOP\nidle\n");
	CHECK("a X {99999999999999999999999999999999999999}\r\nb NOOP\r\n",
	    "a BAD Literal size is out of range\nb|b NOOP\nidle\n");
	CHECK("a X {99999999999999999999+}\r\nb NOOP\r\n", "FATAL\n");
	/* 101 octets, among them what looks like a command. */
	CHECK("a X {101+}\r\n"
	      "0123456789\r\nb BAD\r\n456789012345678901234567890123456789012345678901234567890123456789"
	      "0123456789012345 {3+}\r\nxyz rest\r\nc NOOP\r\n",
	    "a BAD Literal is too long\nc|c NOOP\nidle\n");
	CHECK("a X {1+}\r\n1 {1+}\r\n2 {1+}\r\n3 {1+}\r\n4 {1+}\r\n5 {1+}\r\n6\r\nb NOOP\r\n",
	    "a BAD Too many literals in one command\nb|b NOOP\nidle\n");
	CHECK("a X {100+}\r\n"
	      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
	      "456789"
	      " 234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234"
	      "567890 {100+}\r\n"
	      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
	      "456789"
	      " {100+}\r\n"
	      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
	      "456789"
	      " {100}\r\nb NOOP\r\n",
	    "a BAD Command is too long\nb|b NOOP\nidle\n");
}

static void literal_minus(void **state)
{
	struct reader_limits l = limits;

	(void)state;
	l.nonsynchronising = 4;
	check_with(&l, STR("a X {4+}\r\n1234 {5+}\r\n12345\r\nb X {5}\r\n12345\r\n"),
	    "a BAD Non-synchronising literal is too long\n+\nb|b X {5}\r\n12345\nidle\n");
	check_with(&l, STR("a APPEND x {5+}\r\n12345\r\nb X\r\n"),
	    "a BAD Non-synchronising literal is too long\nb|b X\nidle\n");
}

/* attack-078, attack-080 */
static void line_limit(void **state)
{
	struct buf in = BUF_INIT;
	const char *expected = "a BAD Command line is too long\nb|b NOOP\nidle\n";
	size_t n;

	(void)state;
	for (n = 190; n < 260; n++) {
		buf_reset(&in);
		buf_adds(&in, "a X \"");
		while (in.n < n)
			buf_addc(&in, 'x');
		buf_adds(&in, "\r\nb NOOP\r\n");
		if (n > 200) {
			check_with(&limits, buf_str(&in), expected);
		} else {
			struct buf log = BUF_INIT;

			buf_printf(&log, "a|%.*s\nb|b NOOP\nidle\n", (int)n, buf_cstr(&in));
			check_with(&limits, buf_str(&in), buf_cstr(&log));
			buf_free(&log);
		}
	}
	/* A literal at the end of a line that is too long, wherever the limit falls. */
	for (n = 185; n < 210; n++) {
		buf_reset(&in);
		buf_adds(&in, "a X ");
		while (in.n < n)
			buf_addc(&in, 'x');
		buf_adds(&in, " {000000000008+}\r\nc NOOP\r\n z\r\nb NOOP\r\n");
		if (n + strlen(" {000000000008+}") > 200)
			check_with(&limits, buf_str(&in), expected);
	}
	buf_free(&in);
}

/* attack-081 */
static void tags(void **state)
{
	(void)state;
	CHECK(" NOOP\r\n", "| NOOP\nidle\n");
	CHECK("* NOOP\r\n", "|* NOOP\nidle\n");
	CHECK("+ NOOP\r\n", "|+ NOOP\nidle\n");
	CHECK("a+b NOOP\r\n", "|a+b NOOP\nidle\n");
	CHECK("a]b NOOP\r\n", "a]b|a]b NOOP\nidle\n");
	CHECK("0123456789abcdef NOOP\r\n", "0123456789abcdef|0123456789abcdef NOOP\nidle\n");
	CHECK("0123456789abcdefg NOOP\r\n", "|0123456789abcdefg NOOP\nidle\n");
	CHECK("<b>x</b> NOOP\r\n", "|<b>x</b> NOOP\nidle\n"); /* attack-027 */
	CHECK("a\001 NOOP\r\n", "|a\001 NOOP\nidle\n");
}

/* attack-079: whatever octet comes anywhere, the next command is found. */
static void octets(void **state)
{
	char line[] = "a1 LOGIN \"u\" p\r\nb NOOP\r\n";
	size_t i;
	int c;

	(void)state;
	for (i = 0; i < 14; i++) {
		for (c = 0; c < 256; c++) {
			struct buf log = BUF_INIT;
			char *end;
			char copy[sizeof(line)];

			memcpy(copy, line, sizeof(line));
			copy[i] = (char)c;
			run(&limits, str_mem(copy, sizeof(copy) - 1), 1 + (size_t)c % 5, &log);
			end = log.p + log.n - strlen("b|b NOOP\nidle\n");
			assert_string_equal(end, "b|b NOOP\nidle\n");
			buf_free(&log);
		}
	}
}

static void append(void **state)
{
	(void)state;
	CHECK(
	    "a APPEND x {3}\r\nfoo\r\nb X\r\n", "a|a APPEND x {3}\r\n stream 3 wait:foo\na|\nb|b X\nidle\n");
	CHECK("a append {1+}\r\nx (\\Seen) {3+}\r\nf\r\n\r\n",
	    "a|a append {1+}\r\nx (\\Seen) {3+}\r\n stream 3:f\r\n\na|\nidle\n");
	CHECK("a APPEND x {3+}\r\nfoo \"d\" ~{2+}\r\nba tail\r\n",
	    "a|a APPEND x {3+}\r\n stream 3:foo\na| \"d\" ~{2+}\r\n stream 2 binary:ba\na| tail\nidle\n");
	CHECK("a APPEND x {9223372036854775807}\r\n",
	    "a|a APPEND x {9223372036854775807}\r\n stream 9223372036854775807 wait:\n"
	    "busy\n");
	CHECK("a APPEND x {9223372036854775808}\r\nb X\r\n",
	    "a BAD Literal size is out of range\nb|b X\nidle\n");
	/* Not a usable tag: an ordinary literal, which parsing then refuses. */
	CHECK("* APPEND x {3+}\r\nfoo\r\n", "|* APPEND x {3+}\r\nfoo\nidle\n");
}

static void append_collected(void **state)
{
	struct reader_limits l = limits;

	(void)state;
	l.stream = false;
	check_with(&l, STR("a APPEND x {3+}\r\nfoo\r\n"), "a|a APPEND x {3+}\r\nfoo\nidle\n");
	check_with(&l, STR("a APPEND x {300}\r\n"), "a BAD Literal is too long\nidle\n");
}

static void append_refused(void **state)
{
	struct reader *r = reader_new(&limits);
	struct str in = STR("a APPEND x {5+}\r\nb X\r\n {3+}\r\nabc tail\r\nc NOOP\r\n");

	(void)state;
	assert_int_equal(reader_feed(r, &in), READER_STREAM);
	reader_stream_refuse(r);
	assert_false(reader_idle(r));
	assert_int_equal(reader_feed(r, &in), READER_COMMAND);
	assert_true(str_eqc(reader_command(r), "c NOOP"));

	in = STR("a APPEND x {5}\r\nc NOOP\r\n");
	assert_int_equal(reader_feed(r, &in), READER_STREAM);
	reader_stream_refuse(r);
	assert_int_equal(reader_feed(r, &in), READER_COMMAND);
	assert_true(str_eqc(reader_command(r), "c NOOP"));

	/* The first message was taken and could not be kept; the second is not wanted. */
	in = STR("a APPEND x {2+}\r\nzz {2+}\r\nyy {2+}\r\n\r\n {9}\r\nc NOOP\r\n");
	assert_int_equal(reader_feed(r, &in), READER_STREAM);
	in = str_from(in, 2);
	reader_stream_done(r);
	reader_skip_line(r);
	assert_int_equal(reader_feed(r, &in), READER_COMMAND);
	assert_true(str_eqc(reader_command(r), "c NOOP"));
	reader_free(&r);
	assert_null(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(commands),
	    cmocka_unit_test(literals),
	    cmocka_unit_test(literal_limits),
	    cmocka_unit_test(literal_minus),
	    cmocka_unit_test(line_limit),
	    cmocka_unit_test(tags),
	    cmocka_unit_test(octets),
	    cmocka_unit_test(append),
	    cmocka_unit_test(append_collected),
	    cmocka_unit_test(append_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
