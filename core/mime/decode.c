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

struct mime_decoder *mime_decoder_new(struct str encoding)
{
	struct mime_decoder *d = mem_new(struct mime_decoder);
	size_t i;

	d->magic = DECODER_MAGIC;
	for (i = 0; i < ARRAY_LEN(encodings); i++)
		if (str_ieq(encoding, encodings[i].name))
			d->encoding = encodings[i].encoding;
	return d;
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

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (ascii_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static void feed_base64(struct mime_decoder *d, struct str in, struct buf *out)
{
	size_t i;

	buf_reserve(out, in.n / 4 * 3 + 3);
	for (i = 0; i < in.n; i++) {
		int digit = base64_digit(in.p[i]);

		if (digit >= 0) {
			d->bits = (d->bits << 6 | (uint32_t)digit) & 0xffffff;
			d->bit_count += 6;
			if (d->bit_count >= 8) {
				d->bit_count -= 8;
				buf_addc(out, (char)(d->bits >> d->bit_count & 0xff));
			}
		} else if (in.p[i] == '=') {
			/* Padding ends a run; another may follow (parts glued together). */
			d->bit_count = 0;
		}
	}
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

static void feed_quoted(struct mime_decoder *d, struct str in, struct buf *out)
{
	size_t i = 0;

	while (i < in.n) {
		size_t run = i;

		if (!d->equals && d->blanks_n == 0) {
			while (run < in.n && in.p[run] != '=' && in.p[run] != ' ' && in.p[run] != '\t' &&
			       in.p[run] != '\r' && in.p[run] != '\n')
				run++;
			buf_add(out, in.p + i, run - i);
			i = run;
		}
		if (i < in.n)
			feed_one(d, in.p[i++], out);
	}
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
