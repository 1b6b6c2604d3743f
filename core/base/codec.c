#include "base/codec.h"
#include "base/banned.h"

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, struct str in)
{
	size_t i;

	for (i = 0; i + 2 < in.n; i += 3) {
		const unsigned char *u = (const unsigned char *)in.p + i;
		char q[4] = {base64_digits[u[0] >> 2], base64_digits[(u[0] & 3) << 4 | u[1] >> 4],
		    base64_digits[(u[1] & 15) << 2 | u[2] >> 6], base64_digits[u[2] & 63]};

		buf_add(out, q, 4);
	}
	if (i < in.n) {
		unsigned a = (unsigned char)in.p[i], b = i + 1 < in.n ? (unsigned char)in.p[i + 1] : 0;
		char q[4] = {base64_digits[a >> 2], base64_digits[(a & 3) << 4 | b >> 4],
		    i + 1 < in.n ? base64_digits[(b & 15) << 2] : '=', '='};

		buf_add(out, q, 4);
	}
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool base64_decode(struct buf *out, struct str in)
{
	size_t i, start = out->n;

	if (in.n % 4 != 0)
		return false;
	for (i = 0; i < in.n; i += 4) {
		bool last = i + 4 == in.n;
		unsigned pad =
		    last ? (unsigned)((in.p[i + 3] == '=') + (in.p[i + 2] == '=' && in.p[i + 3] == '=')) : 0;
		unsigned bits = 0, k;
		char o[3];

		for (k = 0; k < 4 - pad; k++) {
			int v = base64_value(in.p[i + k]);

			if (v < 0)
				goto bad;
			bits = bits << 6 | (unsigned)v;
		}
		bits <<= 6 * pad;
		if ((pad == 1 && (bits & 0xff) != 0) || (pad == 2 && (bits & 0xffff) != 0))
			goto bad;
		o[0] = (char)(bits >> 16);
		o[1] = (char)(bits >> 8);
		o[2] = (char)bits;
		buf_add(out, o, 3 - pad);
	}
	return true;
bad:
	buf_truncate(out, start);
	return false;
}

static int hex_value(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

void hex_encode(struct buf *out, struct str in)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < in.n; i++) {
		buf_addc(out, digits[(unsigned char)in.p[i] >> 4]);
		buf_addc(out, digits[(unsigned char)in.p[i] & 15]);
	}
}

bool hex_decode(struct buf *out, struct str in)
{
	size_t i, start = out->n;

	if (in.n % 2 != 0)
		return false;
	for (i = 0; i < in.n; i += 2) {
		int a = hex_value(in.p[i]), b = hex_value(in.p[i + 1]);

		if (a < 0 || b < 0) {
			buf_truncate(out, start);
			return false;
		}
		buf_addc(out, (char)(a << 4 | b));
	}
	return true;
}
