/*
 * column.h: one header field of all messages, as SEARCH compares it.
 *
 * A search for a subject or an address looks at one field of every message. The decoded and folded values of
 * the fields that are usually asked for are kept in the index, one row a message and field, so that the rows
 * of a field lie together; a column takes all of them in one pass. What is not there is computed from the
 * message's header, once, for the usual fields together.
 */
#ifndef MORTISE_STORE_COLUMN_H
#define MORTISE_STORE_COLUMN_H

#include "store/mailbox.h"

struct column;

/* `field`: a field name in lower case. */
int column_open(struct mailbox *m, struct str field, struct column **out, struct err *e);
void column_close(struct column **cp);
struct str column_field(const struct column *c);
/*
 * The values, each with a line feed behind it; empty: the message has no such field. Cheapest when messages
 * come in order of UID. Valid until the next call. EXPUNGED as mailbox_read.
 */
int column_get(struct column *c, const struct message *msg, struct str *values, struct err *e);

#endif
