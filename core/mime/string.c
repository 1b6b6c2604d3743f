/*
 * IMAP string writers. Like the servers these clients grew up with, a string that holds a quote or a
 * backslash goes out as a literal: quoting pairs are where clients' parsers fail. NUL may stand in no IMAP
 * string outside of literal8, so it goes out as 0x80, which keeps every position and size.
 */
#include "mime/mime.h"
#include "base/banned.h"

#define QUOTED_MAX 1000u /* longer strings are literals: some clients read quoted ones into a line */

enum octet_class { PLAIN = 0, NOT_ATOM = 1, NOT_QUOTED = 2 };

/* RFC 9051 §9: what may stand in an astring's atom (`]` may), what only in a quoted string, what in neither.
 * Octets above 0x7f are taken for UTF-8: in quoted strings, for clients that have enabled it.
 */
static enum octet_class class_of(unsigned char c, bool utf8)
{
	if (c > 0x7f && utf8)
		return NOT_ATOM;
	if (c == 0 || c == '\r' || c == '\n' || c == '"' || c == '\\' || c >= 0x7f)
		return NOT_QUOTED;
	if (c <= ' ' || c == '(' || c == ')' || c == '{' || c == '%' || c == '*')
		return NOT_ATOM;
	return PLAIN;
}

static enum octet_class worst_of(struct str s, bool utf8)
{
	enum octet_class worst = PLAIN;
	size_t i;

	for (i = 0; i < s.n && worst != NOT_QUOTED; i++) {
		enum octet_class c = class_of((unsigned char)s.p[i], utf8);

		if (c > worst)
			worst = c;
	}
	return s.n > QUOTED_MAX ? NOT_QUOTED : worst;
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
