/*
 * charset.h: text into UTF-8 and into comparable form.
 *
 * Mail is written in two hundred charsets and lies about which. Decoding here never fails: what cannot be
 * converted becomes U+FFFD, an unknown charset is taken as octets (valid UTF-8 stays, other high octets
 * become U+FFFD). Whether it was clean is reported for those who must know (SEARCH's BADCHARSET, APPEND under
 * UTF8=ACCEPT).
 */
#ifndef MORTISE_CHARSET_CHARSET_H
#define MORTISE_CHARSET_CHARSET_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

bool charset_known(struct str name);
/* Names with spaces between, for [BADCHARSET]; not all that are known. */
void charset_list(struct buf *out);
/* Appends `in` as UTF-8. False when the charset is unknown or something had to be replaced. */
bool charset_to_utf8(struct buf *out, struct str charset, struct str in);
bool utf8_valid(struct str s);
bool utf8_is_ascii(struct str s); /* all octets below 0x80 */
/* Streaming: feed chunks, then flush with an empty one. NULL for an unknown charset. False from then on, once
 * something was replaced. */
struct charset_stream;
struct charset_stream *charset_stream_new(struct str charset);
bool charset_stream_feed(struct charset_stream *cs, struct str in, struct buf *out);
void charset_stream_free(struct charset_stream **csp);
/* Feeding this would only copy it: US-ASCII where it means itself. */
bool charset_stream_plain(const struct charset_stream *cs, struct str in);

/* Decodes RFC 2047 encoded words in an unfolded header value; raw 8-bit text that is not UTF-8 becomes
 * U+FFFD. */
void charset_decode_header(struct buf *out, struct str value);

/*
 * Comparators (RFC 4790) that can find a substring, which is what RFC 5255 §4.4 wants of one. The first is
 * the default.
 */
enum comparator {
	COMPARATOR_UNICODE_CASEMAP, /* i;unicode-casemap (RFC 5051) */
	COMPARATOR_ASCII_CASEMAP,   /* i;ascii-casemap (RFC 4790 §9.2) */
	COMPARATOR_OCTET,           /* i;octet (RFC 4790 §9.3) */
	COMPARATORS
};
extern const char *const comparator_names[COMPARATORS];
/* Comparable form: texts are compared octet by octet in it. May be made in pieces, like charset_fold. */
void charset_fold_by(enum comparator c, struct buf *out, struct str utf8);

/* Comparable form for SEARCH: i;unicode-casemap (RFC 5051): each character's title case, fully decomposed
 * (canonical and compatibility mappings). Works character by character, so a text may be folded in pieces
 * that end between characters. */
void charset_fold(struct buf *out, struct str utf8);

/* Normalisation form C, as Net-Unicode (RFC 5198 §2) has it. */
void utf8_to_nfc(struct buf *out, struct str utf8);

/* Modified UTF-7 (RFC 3501 §5.1.3). Strict: false (and out as it was) for what is not canonical or holds a
 * NUL. Output is UTF-8, NFC kept as given. */
bool mutf7_to_utf8(struct buf *out, struct str in);
void utf8_to_mutf7(struct buf *out, struct str in); /* in is valid UTF-8 */

#endif
