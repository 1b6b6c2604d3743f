/*
 * search_parse.h: a SEARCH program from the words of the command.
 *
 * Strings come out in UTF-8. Depth and number of keys are bounded (attack-084), so the parser may recurse.
 */
#ifndef MORTISE_IMAP_SEARCH_PARSE_H
#define MORTISE_IMAP_SEARCH_PARSE_H

#include "base/vec.h"
#include "imap/session_int.h"

#define SEARCH_RETURN_MIN 0x01u
#define SEARCH_RETURN_MAX 0x02u
#define SEARCH_RETURN_COUNT 0x04u
#define SEARCH_RETURN_ALL 0x08u

struct search_request {
	struct search *program;
	unsigned returns; /* SEARCH_RETURN_… (RFC 4731); 0: RETURN was not said */
	bool sized;       /* LARGER or SMALLER stands in it */
	bool modseq;      /* MODSEQ stands in it */
	bool numbered;    /* message numbers stand in it */
	/* The charset is not known, or a string is not in it (NO [BADCHARSET] or NO): the answer's text. */
	const char *charset_error;
	bool charset_unknown;
};

/* SP ["RETURN" SP "(" options ")" SP] ["CHARSET" SP charset SP] keys. False: the parse has the error. */
bool search_parse(struct session *s, struct parse *p, struct search_request *out);
/* search-criteria of SORT and THREAD (RFC 5256 §5): SP charset SP keys. */
bool search_parse_criteria(struct session *s, struct parse *p, struct search_request *out);

/* ---- search.c: for all that search ---- */
/*
 * Whether it can be run: the strings could be read, MODSEQ finds mod-sequences (it enables CONDSTORE). If
 * not, NO or BAD was said.
 */
bool search_possible(struct session *s, const struct search_request *request);
/*
 * Sequence numbers of the messages that match, in order. `gone`: a message's text was needed and is not there
 * any more. 0, or a code.
 */
typedef VEC(uint32_t) search_numbers;
int search_messages(struct session *s, const struct search_request *request, search_numbers *found,
    bool *gone, struct err *e);
/* " (MODSEQ n)": the highest of what was found, when MODSEQ was asked for and something was (RFC 7162). */
void search_write_modseq(
    struct session *s, const struct search_request *request, const search_numbers *found);

#endif
