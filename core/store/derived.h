/*
 * derived.h: what is computed from a message's text once and kept beside it.
 *
 * A message never changes, so neither does this. What is kept may be lost at any time; it is then computed
 * again, which costs reading the message's header (sort records) or all of it.
 */
#ifndef MORTISE_STORE_DERIVED_H
#define MORTISE_STORE_DERIVED_H

#include "store/mailbox.h"

/*
 * Sort records (search/sort.h) of messages that are given in order of UID, told in that order. A message
 * whose text is gone is told with an empty record. `fn` returning non-zero ends it with that.
 */
typedef int sort_record_fn(void *arg, size_t i, struct str packed);
int mailbox_sort_records(struct mailbox *m, const struct message *const *messages, size_t count,
    sort_record_fn *fn, void *arg, struct err *e);

#endif
