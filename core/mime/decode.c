/*
 * Transfer encodings, decoded as mail has them (RFC 2045 §6): base64 with line breaks, garbage, missing or
 * early padding; quoted-printable with bare `=`, small hexadecimal letters and white space that a relay has
 * added. What makes no sense in quoted-printable stays as it is. Never more octets out than in, but for what
 * waited from the chunk before.
 */
#include "mime/mime.h"

#include "base/mem.h"
#include "base/object.h"
#include "base/banned.h"

#define DECODER_MAGIC 0x6d646563u
/* White space at a line's end that is held back to see whether the line ends there. More is no line's end. */
#define BLANKS_MAX 1000u

enum encoding { IDENTITY, BASE64, QUOTED_PRINTABLE };

struct mime_decoder {
	uint32_t magic;
	enum encoding encoding;
	uint32_t bits; /* base64 */
	unsigned bit_count;
	bool equals;     /* quoted-printable: `=` was seen */
	char hex;        /* and this digit behind it, or NUL */
	size_t blanks_n; /* then or else this white space */
	char blanks[BLANKS_MAX];
};

static const struct {
	struct str name;
	enum encoding encoding;
} encodings[] = {{STR_INIT("7BIT"), IDENTITY}, {STR_INIT("8BIT"), IDENTITY}, {STR_INIT("BINARY"), IDENTITY},
    {STR_INIT("BASE64"), BASE64}, {STR_INIT("QUOTED-PRINTABLE"), QUOTED_PRINTABLE}};

bool mime_encoding_known(struct str encoding)
{
	size_t i;

	/* No Content-Transfer-Encoding is 7BIT. */
	if (encoding.p == NULL)
		return true;
	for (i = 0; i < ARRAY_LEN(encodings); i++)
		if (str_ieq(encoding, encodings[i].name))
			return true;
	return false;
}

void mime_decoder_free(struct mime_decoder **dp)
{
	struct mime_decoder *d;

	if (*dp == NULL)
		return;
	TAKE_OBJ(d, dp, DECODER_MAGIC);
	d->magic = 0;
	mem_free(d);
}

/* ---- base64 ---- */

#define NO_DIGIT 64u

static unsigned char digits[256]; /* what each octet stands for; made by the first decoder */

static void make_digits(void)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned i;

	if (digits[0] == NO_DIGIT)
		return;
	memset(digits, NO_DIGIT, sizeof(digits));
	for (i = 0; i < NO_DIGIT; i++)
		digits[(unsigned char)alphabet[i]] = (unsigned char)i;
}

/* Whole groups of four digits, as long as nothing else comes: all but line ends, mostly. */
static size_t feed_groups(struct str in, struct buf *out)
{
	const unsigned char *p = (const unsigned char *)in.p, *end = p + in.n - in.n % 4;
	char *to = out->p + out->n;

	for (; p < end; p += 4) {
		unsigned a = digits[p[0]], b = digits[p[1]], c = digits[p[2]], d = digits[p[3]];

		if (((a | b | c | d) & NO_DIGIT) != 0)
			break;
		*to++ = (char)(a << 2 | b >> 4);
		*to++ = (char)(b << 4 | c >> 2);
		*to++ = (char)(c << 6 | d);
	}
	out->n = (size_t)(to - out->p);
	return (size_t)((const char *)p - in.p);
}

static void feed_base64(struct mime_decoder *d, struct str in, struct buf *out)
{
	size_t i = 0;

	buf_reserve(out, in.n / 4 * 3 + 3);
	while (i < in.n) {
		unsigned digit;

		if (d->bit_count == 0) {
			i += feed_groups(str_from(in, i), out);
			if (i == in.n)
				break;
		}
		digit = digits[(unsigned char)in.p[i]];
		if (digit != NO_DIGIT) {
			d->bits = (d->bits << 6 | digit) & 0xffffff;
			d->bit_count += 6;
			if (d->bit_count >= 8) {
				d->bit_count -= 8;
				out->p[out->n++] = (char)(d->bits >> d->bit_count & 0xff);
			}
		} else if (in.p[i] == '=') {
			/* Padding ends a run; another may follow (parts glued together). */
			d->bit_count = 0;
		}
		i++;
	}
	out->p[out->n] = '\0';
}

/* ---- quoted-printable ---- */

static int hex_digit(char c)
{
	if (ascii_digit(c))
		return c - '0';
	c = ascii_upper(c);
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* What was held back turns out to be text. */
static void release(struct mime_decoder *d, struct buf *out)
{
	if (d->equals)
		buf_addc(out, '=');
	if (d->hex != '\0')
		buf_addc(out, d->hex);
	buf_add(out, d->blanks, d->blanks_n);
	d->equals = false;
	d->hex = '\0';
	d->blanks_n = 0;
}

/* An octet behind `=`. True: it belonged to it. */
static bool after_equals(struct mime_decoder *d, char c, struct buf *out)
{
	if (d->hex != '\0') {
		if (hex_digit(c) < 0)
			return false;
		buf_addc(out, (char)(hex_digit(d->hex) << 4 | hex_digit(c)));
		d->equals = false;
		d->hex = '\0';
		return true;
	}
	if (d->blanks_n == 0 && hex_digit(c) >= 0) {
		d->hex = c;
		return true;
	}
	if (c == '\n') {
		/* A soft line break, white space before it or not. */
		d->equals = false;
		d->blanks_n = 0;
		return true;
	}
	return false;
}

static void feed_one(struct mime_decoder *d, char c, struct buf *out)
{
	if (d->equals && after_equals(d, c, out))
		return;
	if ((c == ' ' || c == '\t' || c == '\r') && d->hex == '\0') {
		if (d->blanks_n == BLANKS_MAX)
			release(d, out);
		d->blanks[d->blanks_n++] = c;
	} else if (c == '\n') {
		bool crlf = d->blanks_n != 0 && d->blanks[d->blanks_n - 1] == '\r';

		if (d->hex != '\0')
			release(d, out);
		d->blanks_n = 0;
		buf_adds(out, crlf ? "\r\n" : "\n");
	} else {
		release(d, out);
		if (c == '=')
			d->equals = true;
		else if (c == ' ' || c == '\t' || c == '\r')
			d->blanks[d->blanks_n++] = c;
		else
			buf_addc(out, c);
	}
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Text and whole `=XX` of [i, end). How far that went: up to what has to be looked at octet by octet. */
static size_t feed_text(struct str in, size_t i, size_t end, struct buf *out)
{
	while (i < end) {
		const char *equals = memchr(in.p + i, '=', end - i);
		size_t run = equals != NULL ? (size_t)(equals - in.p) - i : end - i;

		buf_add(out, in.p + i, run);
		i += run;
		if (end - i < 3 || hex_digit(in.p[i + 1]) < 0 || hex_digit(in.p[i + 2]) < 0)
			break;
		buf_addc(out, (char)(hex_digit(in.p[i + 1]) << 4 | hex_digit(in.p[i + 2])));
		i += 3;
	}
	return i;
}

/* Line by line where nothing is held back: what a line ends with is then known. */
static void feed_quoted(struct mime_decoder *d, struct str in, struct buf *out)
{
	size_t i = 0, text = 0, line = 0; /* ends of the text of this line, and of the line */

	while (i < in.n) {
		if (d->equals || d->blanks_n != 0) {
			feed_one(d, in.p[i++], out);
			continue;
		}
		if (i >= line) {
			line = i + str_find(str_from(in, i), '\n');
			for (text = line; text > i && is_blank(in.p[text - 1]); text--)
				;
			line += line < in.n;
		}
		i = feed_text(in, i, text, out);
		if (i >= text && i < line && in.p[line - 1] == '\n' && line - i <= BLANKS_MAX) {
			buf_adds(out, line - i >= 2 && in.p[line - 2] == '\r' ? "\r\n" : "\n");
			i = line;
		} else if (i < in.n) {
			feed_one(d, in.p[i++], out);
		}
	}
}

struct mime_decoder *mime_decoder_new(struct str encoding)
{
	struct mime_decoder *d = mem_new(struct mime_decoder);
	size_t i;

	d->magic = DECODER_MAGIC;
	for (i = 0; i < ARRAY_LEN(encodings); i++)
		if (str_ieq(encoding, encodings[i].name))
			d->encoding = encodings[i].encoding;
	make_digits();
	return d;
}

void mime_decoder_copy(struct mime_decoder *to, const struct mime_decoder *from)
{
	CHECK_OBJ(to, DECODER_MAGIC);
	CHECK_OBJ(from, DECODER_MAGIC);
	*to = *from;
}

bool mime_decoder_copies(const struct mime_decoder *d)
{
	CHECK_OBJ(d, DECODER_MAGIC);
	return d->encoding == IDENTITY;
}

void mime_decoder_feed(struct mime_decoder *d, struct str in, struct buf *out)
{
	CHECK_OBJ(d, DECODER_MAGIC);
	switch (d->encoding) {
	case IDENTITY:
		buf_addstr(out, in);
		break;
	case BASE64:
		feed_base64(d, in, out);
		break;
	case QUOTED_PRINTABLE:
		feed_quoted(d, in, out);
		break;
	}
}

void mime_decoder_flush(struct mime_decoder *d, struct buf *out)
{
	CHECK_OBJ(d, DECODER_MAGIC);
	if (d->encoding == QUOTED_PRINTABLE && (d->hex != '\0' || !d->equals))
		release(d, out);
	/* A `=` at the very end is a soft line break whose line end the boundary took. */
	d->equals = false;
	d->hex = '\0';
	d->blanks_n = 0;
	d->bits = 0;
	d->bit_count = 0;
}
