/* Parts as a client gets them decoded, and as they are stored when they came in any octets at all. */
#include "mime/test-mime.h"

#include "base/codec.h"
#include "mime/decoded.h"
#include "mime/recode.h"
#include "base/banned.h"

static void read_range(struct source *s, uint64_t from, uint64_t to, struct buf *out)
{
	struct err e = ERR_INIT;
	struct str part;

	while (from < to) {
		assert_int_equal(source_chunk(s, from, &part, &e), 0);
		if (part.n == 0)
			return;
		part = str_sub(part, 0, to - from);
		buf_addstr(out, part);
		from += part.n;
	}
}

/* Octets of every value in an order that does not repeat soon. */
static void make_octets(struct buf *b, size_t n)
{
	uint32_t x = 1;

	while (b->n < n) {
		x = x * 1103515245u + 12345u;
		buf_addc(b, (char)(x >> 16));
	}
}

static void encode_lines(struct buf *out, struct str octets)
{
	size_t i;

	for (i = 0; i < octets.n; i += 57) {
		base64_encode(out, str_sub(octets, i, 57));
		buf_adds(out, "\r\n");
	}
}

static void decoded_01_every_range(void **state UNUSED)
{
	static const size_t pieces[] = {0, 1, 7, 1000};
	static const struct {
		const char *encoding, *encoded, *decoded;
	} cases[] = {
	    {"base64", "aGVs\r\nbG8g\r\nd29ybGQ=\r\n", "hello world"},
	    {"quoted-printable", "a=3Db =\r\nc=\r\n \r\nd=", "a=b c\r\nd"},
	    {"8bit", "as it is\r\n", "as it is\r\n"},
	    {"x-none", "as it is=20", "as it is=20"},
	    {"base64", "", ""},
	    {"base64", "====", ""},
	};
	size_t i, j, from, to;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		for (j = 0; j < ARRAY_LEN(pieces); j++) {
			struct str expected = str_of(cases[i].decoded);
			AUTO_BUF struct buf message = BUF_INIT, out = BUF_INIT;
			struct counting c;
			struct decoding *d;
			struct source *s;
			struct err e = ERR_INIT;
			uint64_t size;

			buf_printf(&message, "before%safter", cases[i].encoded);
			c = counting_source(buf_str(&message), pieces[j]);
			d = decoding_new(6, message.n - 5, str_of(cases[i].encoding));
			s = source_decoded(&c.source, d);
			for (from = 0; from <= expected.n + 1; from++)
				for (to = expected.n + 1; to > from; to--) {
					buf_reset(&out);
					read_range(s, from, to, &out);
					assert_true(
					    str_eq(buf_str(&out), str_sub(expected, from, to - from)));
				}
			assert_int_equal(source_size(s, &size, &e), 0);
			assert_int_equal(size, expected.n);
			source_close(&s);
			decoding_free(&d);
		}
	}
}

/* A range that is read twice: what stands before it is decoded once, what stands behind it never. */
static void decoded_02_reads_little(void **state UNUSED)
{
	enum { SIZE = 4000000, FROM = 3000000, LENGTH = 300000 };
	AUTO_BUF struct buf octets = BUF_INIT, encoded = BUF_INIT, out = BUF_INIT;
	struct counting c;
	struct decoding *d;
	struct source *s;
	uint64_t encoded_to;

	make_octets(&octets, SIZE);
	encode_lines(&encoded, buf_str(&octets));
	encoded_to = (uint64_t)(FROM + LENGTH) * 78 / 57;
	c = counting_source(buf_str(&encoded), 65536);
	d = decoding_new(0, encoded.n, STR("base64"));
	s = source_decoded(&c.source, d);
	read_range(s, FROM, FROM + LENGTH, &out);
	assert_true(c.read < encoded_to + 2 * 65536);
	buf_reset(&out);
	read_range(s, FROM, FROM + LENGTH, &out);
	assert_true(str_eq(buf_str(&out), str_sub(buf_str(&octets), FROM, LENGTH)));
	assert_true(c.read < encoded_to + LENGTH * 78 / 57 + 4 * 65536);
	source_close(&s);

	/* The next range of the same part, asked for in the next command. */
	c.read = 0;
	buf_reset(&out);
	s = source_decoded(&c.source, d);
	read_range(s, FROM + LENGTH, FROM + 2 * LENGTH, &out);
	assert_true(str_eq(buf_str(&out), str_sub(buf_str(&octets), FROM + LENGTH, LENGTH)));
	assert_true(c.read < LENGTH * 78 / 57 + 4 * 65536);
	/* And one before it. */
	buf_reset(&out);
	read_range(s, 10, 20, &out);
	assert_true(str_eq(buf_str(&out), str_sub(buf_str(&octets), 10, 10)));
	source_close(&s);
	decoding_free(&d);
}

static void decoded_03_error_goes_through(void **state UNUSED)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct counting c = counting_source(STR("aGVsbG8gd29ybGQ=aGVsbG8gd29ybGQ="), 4);
	struct decoding *d = decoding_new(0, 32, STR("base64"));
	struct source *s = source_decoded(&c.source, d);
	struct err e = ERR_INIT;
	struct str part;

	read_range(s, 0, 3, &out);
	c.fail_behind = 8;
	assert_int_equal(source_chunk(s, 20, &part, &e), MORTISE_E_IO);
	err_clear(&e);
	c.fail_behind = 0;
	buf_reset(&out);
	read_range(s, 0, 100, &out);
	assert_string_equal(buf_cstr(&out), "hello worldhello world");
	source_close(&s);
	decoding_free(&d);
}

/* ---- recode ---- */

static int collect(void *arg, struct str octets, struct err *e UNUSED)
{
	buf_addstr(arg, octets);
	return 0;
}

/* False: it cannot be done. */
static bool recode(struct str message, size_t piece, struct buf *out)
{
	struct arena *a = arena_new("test");
	struct counting c = counting_source(message, piece);
	struct err e = ERR_INIT;
	struct recoding r;

	assert_int_equal(mime_recode(&c.source, NULL, a, &r, &e), 0);
	if (r.possible) {
		assert_int_equal(mime_recode_write(&c.source, &r, collect, out, &e), 0);
		assert_int_equal(out->n, r.octets);
		assert_int_equal(str_find(buf_str(out), '\0'), out->n);
	}
	arena_free(&a);
	return r.possible;
}

#define CASE(in, out)                          \
	{                                      \
		{(in), sizeof(in) - 1},        \
		{                              \
			(out), sizeof(out) - 1 \
		}                              \
	}
#define NEVER(in)                       \
	{                               \
		{(in), sizeof(in) - 1}, \
		{                       \
			NULL, 0         \
		}                       \
	}
#define MULTI "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n"
#define B64 "Content-Transfer-Encoding: base64\r\n"

static void recode_01_cases(void **state UNUSED)
{
	static const size_t pieces[] = {0, 1, 3};
	static const struct {
		struct str in, out;
	} cases[] = {
	    CASE("", ""),
	    CASE("Subject: x\r\n\r\nbody\r\n", "Subject: x\r\n\r\nbody\r\n"),
	    CASE("Subject: x\n\nlines of a lone LF\n", "Subject: x\n\nlines of a lone LF\n"),
	    CASE("\r\n\0", "MIME-Version: 1.0\r\n" B64 "\r\nAA==\r\n"),
	    CASE("MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\nX: y\r\n\r\n\0",
	        "MIME-Version: 1.0\r\nX: y\r\n" B64 "\r\nAA==\r\n"),
	    /* A folded field, named twice. */
	    CASE("Content-Transfer-Encoding:\r\n binary\r\nMIME-Version: 1.0\r\ncontent-transfer-encoding: "
	         "7bit"
	         "\r\n\r\n\0",
	        "MIME-Version: 1.0\r\n" B64 "\r\nAA==\r\n"),
	    CASE("MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\na\rb",
	        "MIME-Version: 1.0\r\n" B64 "\r\nYQ1i\r\n"),
	    CASE("MIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\nab\r",
	        "MIME-Version: 1.0\r\n" B64 "\r\nYWIN\r\n"),
	    CASE("Content-Transfer-Encoding: binary\r\n\r\nlines\r\nonly\r\n",
	        "Content-Transfer-Encoding: binary\r\n\r\nlines\r\nonly\r\n"),
	    CASE(MULTI "--q\r\n\r\n\0\r\n--q\r\nX: y\r\n\r\n\0\r\n--q\r\n\r\nz\r\n--q--\r\n",
	        MULTI "--q\r\n" B64 "\r\nAA==\r\n\r\n--q\r\nX: y\r\n" B64
	              "\r\nAA==\r\n\r\n--q\r\n\r\nz\r\n--q--\r\n"),
	    /* Within a message within a part. */
	    CASE(MULTI "--q\r\nContent-Type: message/rfc822\r\n\r\nSubject: s\r\n\r\n\0\r\n--q--\r\n", MULTI
	        "--q\r\nContent-Type: message/rfc822\r\n\r\nSubject: s\r\n" B64 "\r\nAA==\r\n\r\n--q--\r\n"),
	    NEVER("Subject: \0\r\n\r\nx"),
	    NEVER("Subject: \0\r\n\r\n\0"),
	    NEVER("X: y\0"),
	    NEVER(MULTI "\0\r\n--q\r\n\r\nx\r\n--q--\r\n"),
	    NEVER(MULTI "--q\r\n\r\nx\r\n--q--\r\n\0"),
	    NEVER(MULTI "--q\r\n\r\n\0\r\n--q--\r\n\0"),
	    NEVER("Content-Transfer-Encoding: base64\r\n\r\nAA\0=="),
	    NEVER("Content-Transfer-Encoding: quoted-printable\r\n\r\n\0"),
	    NEVER("Content-Transfer-Encoding: x-other\r\n\r\n\0"),
	};
	size_t i, j;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		for (j = 0; j < ARRAY_LEN(pieces); j++) {
			AUTO_BUF struct buf out = BUF_INIT;

			assert_int_equal(recode(cases[i].in, pieces[j], &out), cases[i].out.p != NULL);
			if (cases[i].out.p != NULL && !str_eq(buf_str(&out), cases[i].out))
				fail_msg("case %zu: %s", i, buf_cstr(&out));
		}
}

/* What went in comes out of the decoder again, at sizes around a line's and a piece's end. */
static void recode_02_nothing_is_lost(void **state UNUSED)
{
	static const size_t sizes[] = {1, 2, 3, 56, 57, 58, 114, 56999, 57000, 57001, 200000};
	size_t i;

	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		AUTO_BUF struct buf message = BUF_INIT, out = BUF_INIT, back = BUF_INIT;
		struct mime_decoder *d = mime_decoder_new(STR("base64"));
		static const char header[] = "MIME-Version: 1.0\r\n" B64 "\r\n";

		buf_adds(&message, "MIME-Version: 1.0\r\n\r\n");
		buf_addc(&message, '\0');
		make_octets(&message, sizes[i] + strlen("MIME-Version: 1.0\r\n\r\n"));
		assert_true(recode(buf_str(&message), 1000, &out));
		assert_true(str_starts(buf_str(&out), str_of(header)));
		mime_decoder_feed(d, str_from(buf_str(&out), strlen(header)), &back);
		mime_decoder_flush(d, &back);
		assert_true(
		    str_eq(buf_str(&back), str_from(buf_str(&message), strlen("MIME-Version: 1.0\r\n\r\n"))));
		mime_decoder_free(&d);
	}
}

/* A header beyond the limit is not rewritten. */
static void recode_03_limit(void **state UNUSED)
{
	AUTO_BUF struct buf message = BUF_INIT, out = BUF_INIT;

	add_times(&message, "X: y\r\n", mime_limits_default.header_size / 6 + 10);
	buf_add(&message, "\r\n\0", 3);
	assert_false(recode(buf_str(&message), 0, &out));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(decoded_01_every_range),
	    cmocka_unit_test(decoded_02_reads_little), cmocka_unit_test(decoded_03_error_goes_through),
	    cmocka_unit_test(recode_01_cases), cmocka_unit_test(recode_02_nothing_is_lost),
	    cmocka_unit_test(recode_03_limit)};

	alarm(HANG_SECONDS);
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("decoded", tests, NULL, NULL);
}
