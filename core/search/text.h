/*
 * text.h: finding a string in a text that goes by in pieces.
 *
 * Knuth, Morris and Pratt: the state is a number, so a match may begin in one piece and end in another, no
 * text is kept, and no needle, however repetitive, costs more than two steps an octet (attack case 84). Where
 * nothing has matched yet its first two octets are looked for, many places at once.
 */
#ifndef MORTISE_SEARCH_TEXT_H
#define MORTISE_SEARCH_TEXT_H

#include "base/arena.h"
#include "base/str.h"

struct matcher {
	struct str needle;
	const uint32_t *borders;
	size_t state; /* octets of the needle that the text just ended with */
	bool found;   /* sticks until matcher_start */
};

/* For each prefix, the length of its longest proper border. */
const uint32_t *matcher_borders(struct arena *a, struct str needle);
void matcher_start(struct matcher *m, struct str needle, const uint32_t *borders);
bool matcher_feed(struct matcher *m, struct str text);
/* The same of ASCII that was not folded: as if it had been. */
bool matcher_feed_ascii(struct matcher *m, struct str text);

#endif
