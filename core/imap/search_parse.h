/*
 * search_parse.h: a SEARCH program from the words of the command.
 *
 * Strings come out in UTF-8. Depth and number of keys are bounded (attack-084), so the parser may recurse.
 */
#ifndef MORTISE_IMAP_SEARCH_PARSE_H
#define MORTISE_IMAP_SEARCH_PARSE_H

#include "base/vec.h"
#include "imap/session_int.h"

struct search_request {
	struct search *program;
	bool sized; /* LARGER or SMALLER stands in it */
	/* The charset is not known, or a string is not in it (NO [BADCHARSET] or NO): the answer's text. */
	const char *charset_error;
	bool charset_unknown;
};

/* SP ["CHARSET" SP charset SP] keys. False: the parse has the error. */
bool search_parse(struct session *s, struct parse *p, struct search_request *out);
/* search-criteria of SORT and THREAD (RFC 5256 §5): SP charset SP keys. */
bool search_parse_criteria(struct session *s, struct parse *p, struct search_request *out);

/* ---- search.c: for all that search ---- */
/* Whether the strings could be read; if not, NO was said. */
bool search_charset_ok(struct session *s, const struct search_request *request);
/*
 * Sequence numbers of the messages that match, in order. `gone`: a message's text was needed and is not there
 * any more. 0, or a code.
 */
typedef VEC(uint32_t) search_numbers;
int search_messages(struct session *s, const struct search_request *request, search_numbers *found,
    bool *gone, struct err *e);

#endif
