/*
 * IMAP string writers. Like the servers these clients grew up with, a string that holds a quote or a
 * backslash goes out as a literal: quoting pairs are where clients' parsers fail. NUL may stand in no IMAP
 * string outside of literal8, so it goes out as 0x80, which keeps every position and size.
 */
#include "mime/mime.h"
#include "base/banned.h"

#define QUOTED_MAX 1000u /* longer strings are literals: some clients read quoted ones into a line */

enum octet_class { PLAIN = 0, NOT_ATOM = 1, NOT_QUOTED = 2, EIGHT_BIT = 4 };

/* RFC 9051 §9: what may stand in an astring's atom (`]` may), what only in a quoted string, what in neither.
 * Octets above 0x7f are taken for UTF-8: in quoted strings, for clients that have enabled it.
 */
static const unsigned char classes[256] = {
    [0] = NOT_QUOTED,
    [1 ... 9] = NOT_ATOM,
    ['\n'] = NOT_QUOTED,
    [11 ... 12] = NOT_ATOM,
    ['\r'] = NOT_QUOTED,
    [14 ... ' '] = NOT_ATOM,
    ['"'] = NOT_QUOTED,
    ['\\'] = NOT_QUOTED,
    ['('] = NOT_ATOM,
    [')'] = NOT_ATOM,
    ['{'] = NOT_ATOM,
    ['%'] = NOT_ATOM,
    ['*'] = NOT_ATOM,
    [0x7f] = NOT_QUOTED,
    [0x80 ... 0xff] = EIGHT_BIT,
};

static enum octet_class worst_of(struct str s, bool utf8)
{
	unsigned seen = 0;
	size_t i;

	if (s.n > QUOTED_MAX)
		return NOT_QUOTED;
	for (i = 0; i < s.n; i++)
		seen |= classes[(unsigned char)s.p[i]];
	if ((seen & NOT_QUOTED) != 0 || ((seen & EIGHT_BIT) != 0 && !utf8))
		return NOT_QUOTED;
	return seen != 0 ? NOT_ATOM : PLAIN;
}

static void literal(struct buf *out, struct str s)
{
	buf_addc(out, '{');
	buf_addu(out, s.n);
	buf_adds(out, "}\r\n");
	while (s.n != 0) {
		size_t run = str_find(s, '\0');

		buf_add(out, s.p, run);
		if (run < s.n)
			buf_addc(out, (char)0x80);
		s = str_from(s, run + 1);
	}
}

static void quoted(struct buf *out, struct str s)
{
	buf_addc(out, '"');
	buf_addstr(out, s);
	buf_addc(out, '"');
}

void imap_string(struct buf *out, struct str s)
{
	if (worst_of(s, false) == NOT_QUOTED)
		literal(out, s);
	else
		quoted(out, s);
}

void imap_nstring(struct buf *out, struct str s)
{
	if (s.p == NULL)
		buf_adds(out, "NIL");
	else
		imap_string(out, s);
}

void imap_astring(struct buf *out, struct str s)
{
	/* A mailbox called NIL must not look like the absence of one. */
	if (s.n != 0 && worst_of(s, false) == PLAIN && !str_ieqc(s, "NIL"))
		buf_addstr(out, s);
	else
		imap_string(out, s);
}

void imap_string_utf8(struct buf *out, struct str s)
{
	if (worst_of(s, true) == NOT_QUOTED)
		literal(out, s);
	else
		quoted(out, s);
}
