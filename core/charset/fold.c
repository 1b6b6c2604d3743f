#include <utf8proc.h>

#include "charset/charset_int.h"

#include "base/object.h"
#include "base/banned.h"

#define DECOMPOSED_MAX 32 /* code points; the longest mapping of Unicode has 18 */

static void fold_one(struct buf *out, uint32_t code)
{
	utf8proc_int32_t parts[DECOMPOSED_MAX];
	utf8proc_ssize_t n, i;
	int boundary = 0;

	n = utf8proc_decompose_char(utf8proc_totitle((utf8proc_int32_t)code), parts, DECOMPOSED_MAX,
	    UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, &boundary);
	if (n <= 0 || n > DECOMPOSED_MAX) {
		utf8_put(out, code);
		return;
	}
	for (i = 0; i < n; i++)
		utf8_put(out, (uint32_t)parts[i]);
}

#define EIGHT(octet) (0x0101010101010101u * (octet))

/* Upper case of ASCII, eight octets at a time: adding moves the bounds of a-z to the top bit. */
static void upper(char *p, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		uint64_t v, letters;

		memcpy(&v, p + i, 8);
		letters = ((v & EIGHT(0x7f)) + EIGHT(0x80 - 'a')) &
		          ~((v & EIGHT(0x7f)) + EIGHT(0x80 - 'z' - 1)) & ~v & EIGHT(0x80);
		v ^= letters >> 2;
		memcpy(p + i, &v, 8);
	}
	for (; i < n; i++)
		p[i] = ascii_upper(p[i]);
}

void charset_fold(struct buf *out, struct str utf8)
{
	while (utf8.n != 0) {
		size_t run = ascii_run(utf8), start = out->n;
		uint32_t code;
		int n;

		buf_add(out, utf8.p, run);
		if (run != 0)
			upper(out->p + start, out->n - start);
		utf8 = str_from(utf8, run);
		if (utf8.n == 0)
			return;
		n = utf8_step(utf8, &code);
		if (n > 0) {
			fold_one(out, code);
		} else {
			buf_adds(out, REPLACEMENT);
			n = n < 0 ? -n : (int)utf8.n;
		}
		utf8 = str_from(utf8, (size_t)n);
	}
}

const char *const comparator_names[COMPARATORS] = {
    [COMPARATOR_UNICODE_CASEMAP] = "i;unicode-casemap",
    [COMPARATOR_ASCII_CASEMAP] = "i;ascii-casemap",
    [COMPARATOR_OCTET] = "i;octet",
};

void charset_fold_by(enum comparator c, struct buf *out, struct str utf8)
{
	size_t start = out->n;

	if (c == COMPARATOR_UNICODE_CASEMAP) {
		charset_fold(out, utf8);
		return;
	}
	buf_addstr(out, utf8);
	if (c == COMPARATOR_ASCII_CASEMAP && utf8.n > 0)
		upper(out->p + start, utf8.n);
}

/* What cannot be normalised (it is no UTF-8, there is no memory) stays as it is. */
void utf8_to_nfc(struct buf *out, struct str utf8)
{
	utf8proc_uint8_t *composed = NULL;
	utf8proc_ssize_t n = -1;

	if (!utf8_is_ascii(utf8))
		n = utf8proc_map((const utf8proc_uint8_t *)utf8.p, (utf8proc_ssize_t)utf8.n, &composed,
		    UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	if (n >= 0)
		buf_add(out, composed, (size_t)n);
	else
		buf_addstr(out, utf8);
	free(composed);
}
