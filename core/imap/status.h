/*
 * status.h: STATUS, alone and as LIST's return option (RFC 3501 §6.3.10, RFC 5819).
 */
#ifndef MORTISE_IMAP_STATUS_H
#define MORTISE_IMAP_STATUS_H

#include "imap/session_int.h"

#define STATUS_ITEMS_MAX 16

struct status_request {
	unsigned items[STATUS_ITEMS_MAX]; /* places in status.c's table, each once */
	size_t count;
	bool modseq; /* HIGHESTMODSEQ is among them */
};

/* "(" items ")" */
bool status_parse(struct parse *p, struct status_request *out);
/* One more item, by its name in the table. */
void status_item(struct status_request *r, const char *name);
/* "* STATUS name (…)" of what is known. */
void status_say(struct session *s, struct buf *out, const char *name, const struct status_request *r,
    const struct mailbox_status *status);
/* "* STATUS name (…)" to `out`; of the selected mailbox what this session sees. 0, or a code: nothing is
 * written.
 */
int status_write(
    struct session *s, struct buf *out, const char *name, const struct status_request *r, struct err *e);

#endif
