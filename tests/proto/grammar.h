/*
 * grammar.h: is this a line that an IMAP server may say?
 *
 * The response half of RFC 3501 §9, as RFC 9051 §9 has made it stricter where both agree, and the extensions
 * that this server offers: ID, NAMESPACE, UIDPLUS, ENABLE, CHILDREN, UNSELECT, ESEARCH, CONDSTORE and
 * QRESYNC, and the codes of RFC 5530, BINARY. It is written from the ABNF, one function a rule and with the
 * rule's name, and shares nothing with the server, so that a mistake there cannot hide here. What it does not
 * know is a deviation: whoever teaches the server a new response teaches it to this file first.
 *
 * Beyond the ABNF it wants what the text around it says: dates that exist, ranges of COPYUID of one length,
 * no flag twice, attributes of LIST that do not contradict each other, BODY without extension data, no NUL
 * anywhere.
 */
#ifndef TESTS_PROTO_GRAMMAR_H
#define TESTS_PROTO_GRAMMAR_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * What a client has enabled changes what it may be told: UTF-8 in names and quoted strings (RFC 6855, RFC
 * 9051); nothing that is recent, no SEARCH (RFC 9051 appendix E); UIDFETCH and VANISHED instead of FETCH and
 * EXPUNGE (RFC 9586).
 */
#define GRAMMAR_UTF8 0x01u
#define GRAMMAR_REV2 0x02u
#define GRAMMAR_UIDONLY 0x04u
/* What this line enables, if it is an ENABLED response: for the lines behind it. */
unsigned grammar_enables(struct str line);

/*
 * One response without its last CRLF, literals where they stand, `mode` as it was enabled before. False:
 * `why` says what is wrong and where.
 */
bool grammar_response(struct str line, unsigned mode, struct buf *why);

/* Likewise for the first line of a connection: "* OK", "* PREAUTH" or "* BYE". */
bool grammar_greeting(struct str line, struct buf *why);

/* Octets of the literal that a line's end announces, -1: none. */
int64_t grammar_announced(struct str line);
/* Octets of the first response in `in`, its literals and its CRLF included, or 0: it is not whole. */
size_t grammar_first(struct str in);

#endif
