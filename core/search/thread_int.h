/* thread_int.h: trees of messages: thread.c has what both algorithms need, thread_references.c the other. */
#ifndef MORTISE_SEARCH_THREAD_INT_H
#define MORTISE_SEARCH_THREAD_INT_H

#include "base/vec.h"
#include "search/forest.h"
#include "search/names.h"
#include "search/thread.h"

#define THREADING_MAGIC 0x54687264u /* "Thrd" */

struct thread_message {
	uint32_t number;
	bool reply;
	int64_t date, arrival; /* sent, and internal */
	struct str subject;
};

/* Nodes are numbers from 1, 0 is none. Siblings are a list. */
struct thread_node {
	uint32_t message; /* index + 1; 0: a dummy */
	uint32_t parent;
	uint32_t waiting; /* REFERENCES: nodes whose parent this is; then those still to be seen */
	uint32_t first, last, next;
	uint32_t children; /* in the list */
};

struct threading {
	uint32_t magic;
	enum thread_algorithm algorithm;
	size_t most;
	struct arena *arena;
	VEC(struct thread_message) messages;
	VEC(struct thread_node) nodes;
	VEC(uint32_t) roots;
	VEC(uint32_t) scratch;
	struct names ids;     /* → node */
	struct forest forest; /* node numbers are the same */
};

uint32_t thread_node_new(struct threading *t);
void thread_adopt(struct threading *t, uint32_t parent, uint32_t child); /* to the end of its list */
/* The children of `from` go to the end of those of `to`. */
void thread_adopt_all(struct threading *t, uint32_t to, uint32_t from);
/* The message itself, or of a dummy the first child. */
const struct thread_message *thread_head(const struct threading *t, uint32_t node);
void thread_sort_children(struct threading *t, uint32_t node);
void thread_sort_roots(struct threading *t);

/* ---- thread_references.c: steps of RFC 5256 §3 ---- */
bool references_add(struct threading *t, uint32_t message, const struct sort_record *record); /* 1 */
void references_finish(struct threading *t);                                                  /* 2 to 6 */
void refs_finish(struct threading *t);                                                        /* of REFS */

#endif
