/*
 * thread.h: THREAD: ORDEREDSUBJECT and REFERENCES (RFC 5256 §3), and REFS (draft-ietf-morg-inthread §4),
 * which is REFERENCES without subjects, the thread with the latest arrival last.
 *
 * Messages come one after the other in the order of the mailbox, each with its sort record; then the threads
 * are written as the THREAD response shows them. Numbers of messages that were only named by others (dummies)
 * count against a limit, because one message may name thousands. Whatever the messages say, the time is
 * O(n log n) in the number of messages and ids, memory is linear in them, and nothing recurses: the chain of
 * references of a thread may be as long as it likes (attack-084).
 */
#ifndef MORTISE_SEARCH_THREAD_H
#define MORTISE_SEARCH_THREAD_H

#include "search/sort.h"

enum thread_algorithm { THREAD_ORDEREDSUBJECT, THREAD_REFERENCES, THREAD_REFS };

struct threading;
/* `most`: messages and dummies together. */
struct threading *threading_new(enum thread_algorithm algorithm, size_t most);
void threading_free(struct threading **tp);
/* False: more than `most`; nothing can be added any more. */
bool threading_add(struct threading *t, const struct sort_message *m);
/* "(1)(2 3 (4)(5))", nothing when there is no message. To be called once. */
void threading_write(struct threading *t, struct buf *out);

#endif
