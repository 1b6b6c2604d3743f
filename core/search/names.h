/*
 * names.h: strings that are looked up many times, each with a number.
 *
 * The hash is keyed (str_hash): who writes mail cannot choose ids that fall into one place.
 */
#ifndef MORTISE_SEARCH_NAMES_H
#define MORTISE_SEARCH_NAMES_H

#include "base/arena.h"
#include "base/str.h"

struct names {
	struct arena *arena; /* takes copies of the strings */
	struct name_entry *entries;
	uint32_t *places; /* entry + 1; 0: free */
	size_t count, room, place_count;
};

/* The number of a string, 0 when it is new: then it is there from now on. Valid until the next call. */
uint32_t *names_number(struct names *n, struct str name);
void names_free(struct names *n);

#endif
