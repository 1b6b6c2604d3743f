/*
 * derived.h: what is computed from a message's text once and kept beside it.
 *
 * A message never changes, so neither does this. It is in the index's cache and may be lost at any time; it
 * is then computed again, which costs reading the message's header (sort records) or all of it.
 */
#ifndef MORTISE_STORE_DERIVED_H
#define MORTISE_STORE_DERIVED_H

#include "store/mailbox.h"

/*
 * Sort records (search/sort.h) of messages that are given in order of UID, told in that order. A message
 * whose text is gone is told with an empty record. `fn` returning a code ends it with that. Kept are the
 * records of the default comparator; those of another are computed each time.
 */
typedef int sort_record_fn(void *arg, size_t i, struct str packed);
int mailbox_sort_records(struct mailbox *m, enum comparator c, const struct message *const *messages,
    size_t count, sort_record_fn *fn, void *arg, struct err *e);

/*
 * The preview (mime/preview.h). `lazy`: only if it is there already, else *out has p NULL (RFC 8970 §4.1). A
 * window into the mailbox's memory until its next call, as are the ids.
 */
int mailbox_preview(struct mailbox *m, const struct message *msg, bool lazy, struct str *out, struct err *e);

/*
 * EMAILID and THREADID (RFC 8474 §5). The first is a digest of the text: copies have the same, in whatever
 * format. The second is a digest of the id that the message's thread begins with, as far as its own
 * References say: the first of them, or the message's own id; without any, of the EMAILID. So both depend on
 * the text alone, and never change.
 */
int mailbox_email_id(struct mailbox *m, const struct message *msg, struct str *out, struct err *e);
int mailbox_thread_id(struct mailbox *m, const struct message *msg, struct str *out, struct err *e);

/*
 * MAILBOXID (RFC 8474 §4): a digest of the mailbox's place and UIDVALIDITY. RENAME makes it an attribute, so
 * that it goes along; with another UIDVALIDITY it is another.
 */
#define MAILBOX_ID_SIZE 32u
void mailbox_id(struct mailbox *m, char out[MAILBOX_ID_SIZE]);
/* Before RENAME: of the mailboxes that the index knows at this path (absolute) and below. One sync. */
void store_keep_ids(struct store *s, const char *path);

/* Whether save dates are kept (RFC 8514); if not, they are 0 or mean nothing. */
bool mailbox_keeps_save_dates(const struct mailbox *m);

#endif
