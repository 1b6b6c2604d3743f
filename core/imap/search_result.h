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
#include "search/sort.h"

typedef VEC(uint32_t) search_numbers;

/* Where is searched: a mailbox as a view shows it, all of it or some of its messages. */
struct search_scope {
	struct session *s;
	struct mailbox *mailbox;
	struct view *view;
	uint32_t below;              /* messages 1 to it are not searched (limits.h); not with `among` */
	const search_numbers *among; /* sequence numbers that rise, or NULL */
	uint8_t *relevancy;          /* of message n at n - 1: filled by search_messages; NULL: not wanted */
	enum comparator comparator;  /* of SORT and THREAD; a program has its own */
	bool uid;                    /* answers are in UIDs */
	bool named;                  /* answers name the mailbox (RFC 7377 §2.1) */
};
struct search_scope search_selected(struct session *s);

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
int search_messages(const struct search_scope *scope, const struct search_request *request,
    search_numbers *found, bool *gone, struct err *e);

/* Room for relevancies, if they will be asked for. */
void search_want_relevancy(struct search_scope *scope, const struct search_request *request);

/* ---- multisearch.c ---- */
/* A mailbox to be searched: the selected one as it is, another one read-only. To be closed also when it
 * fails. */
int search_open(struct session *s, const char *name, struct search_scope *out, struct err *e);
void search_close(struct search_scope *scope);
/*
 * A mailbox that cannot be read does not keep others from being searched: one that is not there, or not the
 * client's, is passed over without a word, of others "* NO" is said. Only CANCELLED stays.
 */
void search_pass_over(struct session *s, struct err *e);

/* ---- sort.c ---- */
/* Brings what was found in order. Messages whose text is needed and gone are left out. */
int sort_messages(const struct search_scope *scope, const struct sort_program *order, struct arena *a,
    search_numbers *found, bool *gone, struct err *e);

/* ---- search_result.c ---- */
/* Saves what was found, if that was asked for. False: NO was said. */
bool search_save(struct session *s, const struct search_request *request, const search_numbers *found);
/* A sequence-set of numbers as they come; only what rises by one is a range (RFC 5267 §3.2). */
void write_numbers(struct session *s, const uint32_t *numbers, size_t count);
/* "* ESEARCH (TAG "tag") UID" */
void esearch_begin(const struct search_scope *scope, struct str tag);
/* The answer; `name` is what it is called without RETURN: SEARCH or SORT. */
void search_answer(const struct search_scope *scope, const struct search_request *request,
    const search_numbers *found, const char *name);

/* NO with the error. */
void search_failed(struct session *s, const struct search_request *request, const struct err *e);
/* The command fails with NO: what it should have saved is empty. */
void saved_failed(struct session *s, const struct search_request *request);
void saved_clear(struct session *s);
/* Takes a "$" when there is one: the UIDs that were saved, there or not. */
bool saved_take(struct session *s, struct parse *p, struct number_set *uids);

#endif
