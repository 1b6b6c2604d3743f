/*
 * mailbox_filter.h: which mailboxes a command is about (filter-mailboxes of RFC 5465 §6, RFC 7377 §2.2).
 *
 * A filter is a word, with names behind some of them: "selected", "inboxes" (where mail is delivered: INBOX),
 * "personal", "subscribed", "subtree" and "subtree-one" of mailboxes, "mailboxes". It is resolved to names of
 * mailboxes that can be selected; names that were written out are taken as they are, there or not.
 */
#ifndef MORTISE_IMAP_MAILBOX_FILTER_H
#define MORTISE_IMAP_MAILBOX_FILTER_H

#include "imap/session_int.h"

enum mailbox_filter_kind {
	MAILBOXES_SELECTED,
	MAILBOXES_INBOXES,
	MAILBOXES_PERSONAL,
	MAILBOXES_SUBSCRIBED,
	MAILBOXES_SUBTREE,
	MAILBOXES_SUBTREE_ONE,
	MAILBOXES_NAMED
};

struct mailbox_filter {
	enum mailbox_filter_kind kind;
	const char **names;
	size_t count;
};

/* With `most` names at most. */
bool mailbox_filter_parse(struct parse *p, size_t most, struct mailbox_filter *out);

/* Names, each once, in the order in which they were found. */
struct mailbox_names;
struct mailbox_names *mailbox_names_new(struct arena *a, size_t most);
void mailbox_names_free(struct mailbox_names **np);
/* LIMIT when there are more than `most`; those that were found so far stay. Nothing for MAILBOXES_SELECTED.
 */
int mailbox_names_add(
    struct mailbox_names *n, struct store *s, const struct mailbox_filter *f, struct err *e);
int mailbox_names_add_one(struct mailbox_names *n, const char *name, struct err *e);
const char *const *mailbox_names_all(const struct mailbox_names *n, size_t *count);

#endif
