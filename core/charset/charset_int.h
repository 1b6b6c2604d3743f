/*
 * charset_int.h: what the files of this room share: the table of names, and one step through UTF-8.
 */
#ifndef MORTISE_CHARSET_CHARSET_INT_H
#define MORTISE_CHARSET_CHARSET_INT_H

#include <iconv.h>

#include "charset/charset.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

enum charset_how {
	CHARSET_ASCII, /* also unlabelled: valid UTF-8 stays, ISO-2022-JP is recognised by its designators */
	CHARSET_UTF8,
	CHARSET_ICONV,
	CHARSET_BOM16, /* big-endian unless a byte order mark says otherwise */
	CHARSET_BOM32
};
struct charset_name {
	const char *name;  /* upper case, '_' as '-' */
	const char *iconv; /* what iconv_open is told; NULL for those converted here */
	enum charset_how how;
};
/* NULL: not known. */
const struct charset_name *charset_find(struct str name);
/* The table of names_rare.c. */
const struct charset_name *charset_rare(size_t *count);

/*
 * One character at the front of s, which is not empty. > 0: its length, *code is set. < 0: minus the number
 * of octets that are no UTF-8 (one U+FFFD for all of them). 0: the octets are the beginning of a character.
 */
int utf8_step(struct str s, uint32_t *code);
/* Octets at the front that are plain ASCII. */
size_t ascii_run(struct str s);
void utf8_put(struct buf *out, uint32_t code);
/* Copies with everything invalid replaced; what is left is an unfinished character. False: replaced. */
bool utf8_clean(struct buf *out, struct str *in);

/* Open converters are kept between uses: opening one loads a library. */
iconv_t converter_take(const char *name);
void converter_give(const char *name, iconv_t cd);

#endif
