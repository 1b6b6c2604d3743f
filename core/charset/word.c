/*
 * Encoded words (RFC 2047, with RFC 2231's language suffix). Read as mail has them: longer than 75 octets,
 * in the middle of other text, characters cut between two words. Adjacent words of one charset therefore
 * feed one converter. A word that cannot be decoded stays as it is written.
 *
 * One pass: from each `=?` the scan ends at the third `?`, and no `=?` begins inside what was scanned.
 */
#include "charset/charset_int.h"

#include "base/object.h"
#include "base/banned.h"

#define CHARSET_NAME_MAX 60u

struct word {
	struct str charset;
	char encoding; /* 'B' or 'Q' */
	struct str text;
	size_t length; /* of the whole */
};

/* An encoded word at the front of s, which begins with "=?". */
static bool take_word(struct str s, struct word *w)
{
	struct str rest = str_from(s, 2);
	size_t n = str_find(str_sub(rest, 0, CHARSET_NAME_MAX + 1), '?');

	if (n == 0 || n > CHARSET_NAME_MAX || n + 2 >= rest.n || rest.p[n] != '?' || rest.p[n + 2] != '?')
		return false;
	w->charset = str_sub(rest, 0, n);
	w->charset.n = str_find(w->charset, '*');
	w->encoding = ascii_upper(rest.p[n + 1]);
	if (w->encoding != 'B' && w->encoding != 'Q')
		return false;
	rest = str_from(rest, n + 3);
	n = str_find(rest, '?');
	/* In Q the text may, wrongly, hold a question mark: "=?utf-8?Q?Why?=" is the end, "?x" is not. */
	if (n + 1 >= rest.n || rest.p[n + 1] != '=')
		return false;
	w->text = str_sub(rest, 0, n);
	w->length = (size_t)(rest.p - s.p) + n + 2;
	return true;
}

static int hex_digit(char c)
{
	if (ascii_digit(c))
		return c - '0';
	c = ascii_upper(c);
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void decode_q(struct buf *out, struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		int high = s.p[i] == '=' && i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;

		if (low >= 0) {
			buf_addc(out, (char)(high << 4 | low));
			i += 2;
		} else {
			buf_addc(out, s.p[i] == '_' ? ' ' : s.p[i]);
		}
	}
}

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

static void decode_b(struct buf *out, struct str s)
{
	uint32_t bits = 0;
	unsigned count = 0;
	size_t i;

	for (i = 0; i < s.n && s.p[i] != '='; i++) {
		int digit = base64_digit(s.p[i]);

		if (digit < 0)
			continue;
		bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
		count += 6;
		if (count >= 8) {
			count -= 8;
			buf_addc(out, (char)(bits >> count & 0xff));
		}
	}
}

struct header_decoder {
	struct charset_stream *cs; /* of the words just read; NULL between other text */
	struct str charset;
	struct buf octets, text;
};

/* Ends a run of words. */
static void end_words(struct header_decoder *d, struct buf *out)
{
	size_t i;

	if (d->cs == NULL)
		return;
	charset_stream_feed(d->cs, STR_NONE, &d->text);
	charset_stream_free(&d->cs);
	for (i = 0; i < d->text.n; i++)
		if (d->text.p[i] != '\r' && d->text.p[i] != '\n')
			buf_addc(out, d->text.p[i]);
	buf_reset(&d->text);
}

static bool add_word(struct header_decoder *d, const struct word *w, struct buf *out)
{
	if (d->cs == NULL || !str_ieq(d->charset, w->charset)) {
		struct charset_stream *cs = charset_stream_new(w->charset);

		if (cs == NULL)
			return false;
		end_words(d, out);
		d->cs = cs;
		d->charset = w->charset;
	}
	buf_reset(&d->octets);
	(w->encoding == 'B' ? decode_b : decode_q)(&d->octets, w->text);
	if (d->octets.n != 0)
		charset_stream_feed(d->cs, buf_str(&d->octets), &d->text);
	return true;
}

static void plain(struct buf *out, struct str s)
{
	utf8_clean(out, &s);
	if (s.n != 0)
		buf_adds(out, REPLACEMENT);
}

static bool is_blank(struct str s)
{
	return str_trim(s).n == 0;
}

void charset_decode_header(struct buf *out, struct str value)
{
	struct header_decoder d = {0};
	struct str waiting = str_sub(value, 0, 0); /* plain text not yet written */
	size_t i = 0, from = 0;

	while (i < value.n) {
		size_t at = str_find(str_from(value, i), '=') + i;
		struct word w;

		if (at + 1 >= value.n)
			break;
		if (value.p[at + 1] != '?' || !take_word(str_from(value, at), &w)) {
			i = at + 1;
			continue;
		}
		waiting = str_sub(value, from, at - from);
		if (waiting.n != 0 && (d.cs == NULL || !is_blank(waiting))) {
			end_words(&d, out);
			plain(out, waiting);
			waiting.n = 0;
		}
		i = at + w.length;
		from = i;
		if (!add_word(&d, &w, out)) {
			end_words(&d, out);
			plain(out, waiting);
			plain(out, str_sub(value, at, w.length));
		}
	}
	end_words(&d, out);
	plain(out, str_from(value, from));
	buf_free(&d.octets);
	buf_free(&d.text);
}
