/*
 * Fuzz target: text. First line: the charset; the rest is converted whole and in pieces, decoded as a header,
 * folded, and read as modified UTF-7. All that comes out is valid UTF-8 and bounded by what went in.
 */
#include "charset/charset_int.h"

#include "base/object.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct buf *b, size_t in, size_t times)
{
	ASSERT(utf8_valid(buf_str(b)));
	ASSERT(b->n <= times * in + 16);
}

static void in_pieces(struct str charset, struct str in, size_t piece, struct buf *out)
{
	struct charset_stream *cs = charset_stream_new(charset);
	size_t i;

	if (cs == NULL)
		cs = charset_stream_new(STR("UTF-8"));
	for (i = 0; i < in.n; i += piece)
		charset_stream_feed(cs, str_sub(in, i, piece), out);
	charset_stream_feed(cs, STR_NONE, out);
	charset_stream_free(&cs);
}

static bool is_shifting(struct str charset)
{
	const struct charset_name *name = charset_find(charset);

	return name != NULL && name->iconv != NULL &&
	       (strncmp(name->iconv, "ISO-2022", 8) == 0 || strcmp(name->iconv, "UTF-7") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_mem(data, size), charset = str_cut(&in, '\n');
	size_t piece = size % 13 + 1;
	struct buf whole = BUF_INIT, cut = BUF_INIT;

	charset_known(charset);
	charset_to_utf8(&whole, charset, in);
	check(&whole, in.n, 12);
	in_pieces(charset, in, piece, &cut);
	check(&cut, in.n, 12);
	/* glibc's ISO 2022 and UTF-7 converters forget a shift before something illegal, depending on where a
	 * call began. */
	ASSERT(is_shifting(charset) || str_eq(buf_str(&whole), buf_str(&cut)));
	buf_reset(&cut);
	charset_fold(&cut, buf_str(&whole));
	check(&cut, whole.n, 12);
	buf_reset(&cut);
	charset_fold(&cut, in);
	check(&cut, in.n, 12);
	buf_reset(&cut);
	charset_decode_header(&cut, in);
	check(&cut, in.n, 12);
	buf_reset(&cut);
	buf_reset(&whole);
	if (mutf7_to_utf8(&whole, in)) {
		ASSERT(utf8_valid(buf_str(&whole)));
		utf8_to_mutf7(&cut, buf_str(&whole));
		ASSERT(str_eq(buf_str(&cut), in));
	}
	buf_reset(&cut);
	buf_reset(&whole);
	utf8_to_mutf7(&cut, in);
	if (utf8_valid(in) && str_find(in, '\0') == in.n) {
		ASSERT(mutf7_to_utf8(&whole, buf_str(&cut)));
		ASSERT(str_eq(buf_str(&whole), in));
	}
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
