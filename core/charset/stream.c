/*
 * Conversion to UTF-8, chunk by chunk. A character cut by the end of a chunk waits in `pending`; everything
 * else goes straight through, so memory does not depend on the size of the text. Every octet that iconv
 * refuses costs one U+FFFD and one call: three octets out for one in is the worst there is, but for the few
 * charsets whose single octets stand for two characters.
 */
#include <errno.h>

#include "charset/charset_int.h"

#include "base/mem.h"
#include "base/object.h"
#include "base/banned.h"

#define STREAM_MAGIC 0x63737472u
#define PENDING_MAX 32u
#define ESCAPE '\x1b'

struct charset_stream {
	uint32_t magic;
	enum charset_how how;
	const char *iconv; /* the converter's name, once it is open */
	iconv_t cd;
	size_t unit; /* octets to pass over when something is illegal */
	bool clean;
	size_t pending_count;
	char pending[PENDING_MAX];
};

static bool open_converter(struct charset_stream *cs, const char *name)
{
	cs->cd = converter_take(name);
	if (cs->cd == (iconv_t)-1)
		return false;
	cs->iconv = name;
	cs->how = CHARSET_ICONV;
	return true;
}

struct charset_stream *charset_stream_new(struct str charset)
{
	const struct charset_name *name = charset_find(charset);
	struct charset_stream *cs;

	if (name == NULL)
		return NULL;
	cs = mem_new(struct charset_stream);
	cs->magic = STREAM_MAGIC;
	cs->how = name->how;
	cs->unit = 1;
	cs->clean = true;
	if (name->how == CHARSET_ICONV && !open_converter(cs, name->iconv))
		charset_stream_free(&cs);
	return cs;
}

void charset_stream_free(struct charset_stream **csp)
{
	struct charset_stream *cs;

	if (*csp == NULL)
		return;
	TAKE_OBJ(cs, csp, STREAM_MAGIC);
	if (cs->iconv != NULL)
		converter_give(cs->iconv, cs->cd);
	cs->magic = 0;
	mem_free(cs);
}

static void replace(struct charset_stream *cs, struct buf *out)
{
	buf_adds(out, REPLACEMENT);
	cs->clean = false;
}

/* Converts what can be; the rest is the beginning of a character. */
static struct str run_iconv(struct charset_stream *cs, struct str in, struct buf *out)
{
	while (in.n != 0) {
		char room[4096], *to = room, *from = (char *)(uintptr_t)in.p;
		size_t to_left = sizeof(room), from_left = in.n;
		size_t r = iconv(cs->cd, &from, &from_left, &to, &to_left);
		int why = r == (size_t)-1 ? errno : 0;
		bool stuck = from_left == in.n && to == room;

		buf_add(out, room, (size_t)(to - room));
		in = str_from(in, in.n - from_left);
		if (why == EINVAL && in.n < PENDING_MAX)
			return in;
		if (why != 0 && (why != E2BIG || stuck)) {
			replace(cs, out);
			in = str_from(in, cs->unit);
		} else if (why == 0 && stuck) {
			return STR_NONE;
		}
	}
	return in;
}

/* Valid UTF-8 stays. In text said to be ASCII, high octets are not clean all the same. */
static struct str run_utf8(struct charset_stream *cs, struct str in, struct buf *out)
{
	if (cs->how == CHARSET_ASCII && cs->clean)
		cs->clean = ascii_run(in) == in.n;
	if (!utf8_clean(out, &in))
		cs->clean = false;
	return in;
}

static struct str run(struct charset_stream *cs, struct str in, struct buf *out);

/* `ESC $` designates a character set of ISO-2022-JP, in mail that does not say so. */
static struct str run_ascii(struct charset_stream *cs, struct str in, struct buf *out)
{
	for (;;) {
		size_t at = str_find(in, ESCAPE);
		struct str plain = str_sub(in, 0, at), rest = str_from(in, at);

		plain = run_utf8(cs, plain, out);
		if (rest.n == 0)
			return plain;
		if (plain.n != 0)
			replace(cs, out);
		if (rest.n == 1)
			return rest;
		if (rest.p[1] == '$' && open_converter(cs, "ISO-2022-JP-2"))
			return run(cs, rest, out);
		buf_addc(out, ESCAPE);
		in = str_from(rest, 1);
	}
}

/* Looks for the byte order mark. Big-endian without one (RFC 2781 §4.3). */
static struct str run_mark(struct charset_stream *cs, struct str in, struct buf *out)
{
	bool wide = cs->how == CHARSET_BOM32, little;
	size_t unit = wide ? 4 : 2;

	if (in.n < unit)
		return in;
	little = wide ? memcmp(in.p, "\xff\xfe\0\0", 4) == 0 : memcmp(in.p, "\xff\xfe", 2) == 0;
	if (little || memcmp(in.p, wide ? "\0\0\xfe\xff" : "\xfe\xff", unit) == 0)
		in = str_from(in, unit);
	cs->unit = unit;
	if (!open_converter(
	        cs, wide ? (little ? "UTF-32LE" : "UTF-32BE") : (little ? "UTF-16LE" : "UTF-16BE")))
		cs->how = CHARSET_UTF8;
	return run(cs, in, out);
}

static struct str run(struct charset_stream *cs, struct str in, struct buf *out)
{
	switch (cs->how) {
	case CHARSET_ASCII:
		return run_ascii(cs, in, out);
	case CHARSET_UTF8:
		return run_utf8(cs, in, out);
	case CHARSET_ICONV:
		return run_iconv(cs, in, out);
	case CHARSET_BOM16:
	case CHARSET_BOM32:
		return run_mark(cs, in, out);
	}
	UNREACHABLE("charset_how");
}

static void flush(struct charset_stream *cs, struct buf *out)
{
	char room[64], *to = room;
	size_t left = sizeof(room);

	if (cs->pending_count != 0)
		replace(cs, out);
	cs->pending_count = 0;
	if (cs->how == CHARSET_ICONV) {
		iconv(cs->cd, NULL, NULL, &to, &left);
		buf_add(out, room, (size_t)(to - room));
	}
}

static void keep_pending(struct charset_stream *cs, struct str rest)
{
	ASSERT(rest.n < PENDING_MAX);
	if (rest.n != 0)
		memcpy(cs->pending, rest.p, rest.n);
	cs->pending_count = rest.n;
}

/* Completes the character that waits, with octets of *in. */
static void finish_pending(struct charset_stream *cs, struct str *in, struct buf *out)
{
	while (cs->pending_count != 0 && in->n != 0) {
		char both[2 * PENDING_MAX];
		size_t had = cs->pending_count, taken = in->n < PENDING_MAX ? in->n : PENDING_MAX, used;
		struct str rest;

		memcpy(both, cs->pending, had);
		memcpy(both + had, in->p, taken);
		rest = run(cs, str_mem(both, had + taken), out);
		used = had + taken - rest.n;
		if (used >= had) {
			cs->pending_count = 0;
			*in = str_from(*in, used - had);
		} else {
			keep_pending(cs, rest);
			*in = str_from(*in, taken);
		}
	}
}

bool charset_stream_feed(struct charset_stream *cs, struct str in, struct buf *out)
{
	CHECK_OBJ(cs, STREAM_MAGIC);
	if (in.n == 0) {
		flush(cs, out);
		return cs->clean;
	}
	finish_pending(cs, &in, out);
	if (in.n != 0)
		keep_pending(cs, run(cs, in, out));
	return cs->clean;
}

bool charset_stream_plain(const struct charset_stream *cs, struct str in)
{
	CHECK_OBJ(cs, STREAM_MAGIC);
	return cs->pending_count == 0 && ascii_run(in) == in.n &&
	       (cs->how == CHARSET_UTF8 || (cs->how == CHARSET_ASCII && str_find(in, ESCAPE) == in.n));
}

bool charset_to_utf8(struct buf *out, struct str charset, struct str in)
{
	struct charset_stream *cs = charset_stream_new(charset);
	bool known = cs != NULL, clean;

	if (!known)
		cs = charset_stream_new(STR("UTF-8"));
	if (in.n != 0)
		charset_stream_feed(cs, in, out);
	clean = charset_stream_feed(cs, STR_NONE, out);
	charset_stream_free(&cs);
	return known && clean;
}
