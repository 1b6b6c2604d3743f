/*
 * search_result.h: what a searching command found, and what becomes of it: the answer, and "$".
 *
 * Results are sequence numbers, in the order of the mailbox or, of SORT, in the order that was asked for.
 * How they are told is the same for all: SEARCH or SORT with the numbers as in RFC 3501 and RFC 5256, or
 * ESEARCH when RETURN was said (RFC 4731, RFC 5267, RFC 9394).
 *
 * "$" (RFC 5182) is a set of UIDs, so it is right in commands of both kinds, and what is expunged leaves it
 * by itself: a UID that is not there names nothing, and it never comes back. SEARCH RETURN (SAVE) that ends
 * with NO empties it, BAD leaves it as it is, and it goes with the mailbox.
 */
#ifndef MORTISE_IMAP_SEARCH_RESULT_H
#define MORTISE_IMAP_SEARCH_RESULT_H

#include "base/vec.h"
#include "imap/search_parse.h"

typedef VEC(uint32_t) search_numbers;

/* ---- search.c ---- */
/*
 * Whether it can be run: the strings could be read, MODSEQ finds mod-sequences (it enables CONDSTORE). If
 * not, NO or BAD was said.
 */
bool search_possible(struct session *s, const struct search_request *request);
/*
 * Sequence numbers of the messages that match, in order. `gone`: a message's text was needed and is not there
 * any more. 0, or a code.
 */
int search_messages(struct session *s, const struct search_request *request, search_numbers *found,
    bool *gone, struct err *e);

/* ---- search_result.c ---- */
/* Saves what was found, if that was asked for. False: NO was said. */
bool search_save(struct session *s, const struct search_request *request, const search_numbers *found);
/* The answer; `name` is what it is called without RETURN: SEARCH or SORT. */
void search_answer(
    struct session *s, const struct search_request *request, const search_numbers *found, const char *name);

/* The command failed with NO: what it should have saved is empty. */
void saved_failed(struct session *s, const struct search_request *request);
void saved_clear(struct session *s);
/* Takes a "$" when there is one: the UIDs that were saved, there or not. */
bool saved_take(struct session *s, struct parse *p, struct number_set *uids);

#endif
