/*
 * search_parse.h: a SEARCH program from the words of the command.
 *
 * Strings come out in UTF-8. Depth and number of keys are bounded (attack-084), so the parser may recurse.
 */
#ifndef MORTISE_IMAP_SEARCH_PARSE_H
#define MORTISE_IMAP_SEARCH_PARSE_H

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

#endif
