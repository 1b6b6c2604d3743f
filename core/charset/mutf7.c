/*
 * Modified UTF-7 (RFC 3501 §5.1.3): `&`, then UTF-16 in base64 without padding and with `,` for `/`, then
 * `-`; `&-` is an ampersand. One name has one spelling only: everything else is refused, so that two
 * spellings can never be two mailboxes, or one that a check did not see.
 */
#include "charset/charset_int.h"

#include "base/banned.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static bool printable(uint32_t code)
{
	return code >= 0x20 && code <= 0x7e;
}

/* Pairs surrogates. *high is the first half waiting for its second. */
static bool put_unit(struct buf *out, uint32_t unit, uint32_t *high)
{
	bool is_low = unit >= 0xdc00 && unit <= 0xdfff;

	if (is_low != (*high != 0))
		return false;
	if (is_low) {
		utf8_put(out, 0x10000 + ((*high - 0xd800) << 10) + (unit - 0xdc00));
		*high = 0;
		return true;
	}
	if (unit >= 0xd800 && unit <= 0xdbff) {
		*high = unit;
		return true;
	}
	if (unit == 0 || printable(unit))
		return false;
	utf8_put(out, unit);
	return true;
}

/* The base64 between & and -, which is not empty. */
static bool take_shifted(struct buf *out, struct str base64)
{
	uint32_t bits = 0, high = 0;
	unsigned count = 0;
	size_t i;

	for (i = 0; i < base64.n; i++) {
		const char *p = base64.p[i] != '\0' ? strchr(alphabet, base64.p[i]) : NULL;

		if (p == NULL)
			return false;
		bits = bits << 6 | (uint32_t)(p - alphabet);
		count += 6;
		if (count >= 16) {
			count -= 16;
			if (!put_unit(out, bits >> count & 0xffff, &high))
				return false;
			bits &= (1u << count) - 1;
		}
	}
	/* Less than a digit may be left over, and it must be zero. */
	return count < 6 && bits == 0 && high == 0;
}

static bool decode(struct buf *out, struct str in)
{
	bool shifted = false; /* the last thing was base64: more of it belongs into the same run */

	while (in.n != 0) {
		struct str rest = str_from(in, 1), run;
		char c = in.p[0];

		if (!printable((unsigned char)c))
			return false;
		if (c != '&') {
			buf_addc(out, c);
			shifted = false;
			in = rest;
			continue;
		}
		run = str_cut(&rest, '-');
		if (rest.p == NULL)
			return false;
		if (run.n == 0) {
			buf_addc(out, '&');
		} else if (shifted || !take_shifted(out, run)) {
			return false;
		}
		shifted = run.n != 0;
		in = rest;
	}
	return true;
}

bool mutf7_to_utf8(struct buf *out, struct str in)
{
	size_t before = out->n;

	if (decode(out, in))
		return true;
	buf_truncate(out, before);
	return false;
}

struct encoder {
	uint32_t bits;
	unsigned count;
	bool shifted;
};

static void put_bits(struct encoder *e, struct buf *out, uint32_t unit)
{
	if (!e->shifted) {
		buf_addc(out, '&');
		e->shifted = true;
	}
	e->bits = e->bits << 16 | unit;
	e->count += 16;
	while (e->count >= 6) {
		e->count -= 6;
		buf_addc(out, alphabet[e->bits >> e->count & 0x3f]);
	}
	e->bits &= (1u << e->count) - 1;
}

static void unshift(struct encoder *e, struct buf *out)
{
	if (!e->shifted)
		return;
	if (e->count != 0)
		buf_addc(out, alphabet[e->bits << (6 - e->count) & 0x3f]);
	buf_addc(out, '-');
	*e = (struct encoder){0, 0, false};
}

void utf8_to_mutf7(struct buf *out, struct str in)
{
	struct encoder e = {0, 0, false};

	while (in.n != 0) {
		uint32_t code;
		int n = utf8_step(in, &code);

		if (n <= 0) {
			code = 0xfffd;
			n = n < 0 ? -n : (int)in.n;
		}
		in = str_from(in, (size_t)n);
		if (printable(code)) {
			unshift(&e, out);
			buf_addc(out, (char)code);
			if (code == '&')
				buf_addc(out, '-');
		} else if (code >= 0x10000) {
			put_bits(&e, out, 0xd800 + ((code - 0x10000) >> 10));
			put_bits(&e, out, 0xdc00 + ((code - 0x10000) & 0x3ff));
		} else {
			put_bits(&e, out, code);
		}
	}
	unshift(&e, out);
}
