/*
 * search_parse.h: the words of SEARCH, SORT and THREAD: what is searched for and what is to be returned.
 *
 * Strings come out in UTF-8. Depth and number of keys are bounded (attack-084), so the parser may recurse.
 */
#ifndef MORTISE_IMAP_SEARCH_PARSE_H
#define MORTISE_IMAP_SEARCH_PARSE_H

#include "imap/session_int.h"

#define SEARCH_RETURN_MIN 0x01u
#define SEARCH_RETURN_MAX 0x02u
#define SEARCH_RETURN_COUNT 0x04u
#define SEARCH_RETURN_ALL 0x08u
#define SEARCH_RETURN_PARTIAL 0x10u /* RFC 9394 */
#define SEARCH_RETURN_SAVE 0x20u    /* RFC 5182 */
#define SEARCH_RETURN_UPDATE 0x40u  /* RFC 5267 */
#define SEARCH_RETURN_CONTEXT 0x80u
#define SEARCH_RETURN_RELEVANCY 0x100u /* RFC 6203 */

/* partial-range (RFC 9394 §4), as it was written. */
struct partial_range {
	bool from_end;
	uint32_t first, second;
};

struct search_request {
	struct search *program; /* prepared */
	/*
	 * With UPDATE: where the program is, as it outlives the command. Whoever parsed it gives it to
	 * context_keep. Else NULL, and the program is of the command.
	 */
	struct arena *arena;
	unsigned returns; /* SEARCH_RETURN_… (RFC 4731); 0: RETURN was not said */
	struct partial_range partial;
	bool sized;     /* LARGER or SMALLER stands in it */
	bool modseq;    /* MODSEQ stands in it */
	bool numbered;  /* message numbers stand in it */
	bool fuzzy;     /* FUZZY stands in it */
	bool relevancy; /* SORT is by it: for SORT to say before the criteria are parsed */
	/*
	 * Only so many of the messages that match are wanted, from the first or from the last one on; 0: all.
	 */
	uint32_t most;
	bool backward;
	/* The charset is not known, or a string is not in it (NO [BADCHARSET] or NO): the answer's text. */
	const char *charset_error;
	bool charset_unknown;
	/* FILTER stands in it; the charset allows that; the name of one that cannot be used, or NULL. */
	bool filters, filter_charset;
	const char *undefined_filter;
};

/* SP partial-range */
bool parse_partial_range(struct parse *p, struct partial_range *out);
/* Those of `count` that it names: [*from, *to). */
void partial_slice(const struct partial_range *p, size_t count, size_t *from, size_t *to);
/* [SP "RETURN" SP "(" options ")"] SP ["CHARSET" SP charset SP] keys. False: the parse has the error. */
bool search_parse(struct session *s, struct parse *p, struct search_request *out);
/* [SP "RETURN" SP "(" options ")"] of SORT (RFC 5267 §3); *out is begun with it. */
bool search_parse_return(struct parse *p, struct search_request *out);
/* The same behind the options, with numbers of this view (NULL: of none). */
bool search_parse_program(struct session *s, struct view *view, struct parse *p, struct search_request *out);
/* search-criteria of SORT and THREAD (RFC 5256 §5), behind what began *out: SP charset SP keys. */
bool search_parse_criteria(struct session *s, struct parse *p, struct search_request *out);

/* Whether this may be the value of a filter (RFC 5466 §3.2). */
bool search_parse_filter(struct session *s, struct str value, const char **error);

#endif
