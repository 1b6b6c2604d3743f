#include "charset/charset_int.h"

#include "base/object.h"
#include "base/banned.h"

int utf8_step(struct str s, uint32_t *code)
{
	unsigned char c = (unsigned char)s.p[0];
	unsigned char low = 0x80,
	              high = 0xbf; /* bounds of the second octet: no overlong forms, no surrogates */
	size_t need, i;
	uint32_t v;

	ASSERT(s.n != 0);
	if (c < 0x80) {
		*code = c;
		return 1;
	}
	if (c < 0xc2 || c > 0xf4)
		return -1;
	need = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	v = c & (0x7fu >> need);
	for (i = 1; i < need; i++) {
		if (i == s.n)
			return 0;
		c = (unsigned char)s.p[i];
		if (c < low || c > high)
			return -(int)i;
		low = 0x80;
		high = 0xbf;
		v = v << 6 | (c & 0x3f);
	}
	*code = v;
	return (int)need;
}

void utf8_put(struct buf *out, uint32_t code)
{
	char c[4];
	size_t n = 0;

	if (code < 0x80) {
		c[n++] = (char)code;
	} else if (code < 0x800) {
		c[n++] = (char)(0xc0 | code >> 6);
		c[n++] = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		c[n++] = (char)(0xe0 | code >> 12);
		c[n++] = (char)(0x80 | (code >> 6 & 0x3f));
		c[n++] = (char)(0x80 | (code & 0x3f));
	} else {
		c[n++] = (char)(0xf0 | code >> 18);
		c[n++] = (char)(0x80 | (code >> 12 & 0x3f));
		c[n++] = (char)(0x80 | (code >> 6 & 0x3f));
		c[n++] = (char)(0x80 | (code & 0x3f));
	}
	buf_add(out, c, n);
}

size_t ascii_run(struct str s)
{
	size_t i = 0;

	while (i + 8 <= s.n) {
		uint64_t eight;

		memcpy(&eight, s.p + i, 8);
		if (eight & 0x8080808080808080u)
			break;
		i += 8;
	}
	while (i < s.n && (unsigned char)s.p[i] < 0x80)
		i++;
	return i;
}

bool utf8_is_ascii(struct str s)
{
	return ascii_run(s) == s.n;
}

bool utf8_valid(struct str s)
{
	for (;;) {
		uint32_t code;
		int n;

		s = str_from(s, ascii_run(s));
		if (s.n == 0)
			return true;
		n = utf8_step(s, &code);
		if (n <= 0)
			return false;
		s = str_from(s, (size_t)n);
	}
}

bool utf8_clean(struct buf *out, struct str *in)
{
	size_t good = 0; /* octets from in->p that go out as they are */
	bool clean = true;

	for (;;) {
		struct str rest;
		uint32_t code;
		int n;

		good += ascii_run(str_from(*in, good));
		rest = str_from(*in, good);
		n = rest.n != 0 ? utf8_step(rest, &code) : 0;
		if (n > 0) {
			good += (size_t)n;
			continue;
		}
		buf_add(out, in->p, good);
		*in = rest;
		if (n == 0)
			return clean;
		buf_adds(out, REPLACEMENT);
		*in = str_from(*in, (size_t)-n);
		clean = false;
		good = 0;
	}
}
