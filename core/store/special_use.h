/*
 * special_use.h: which mailbox is for drafts, sent mail, … (RFC 6154).
 *
 * Each use has at most one mailbox. A client gives it (CREATE with USE, or METADATA's /private/specialuse);
 * until one has, the mailbox with the configured name has it when it exists. What clients gave is an
 * attribute of the account in the index: the use's name → the mailbox's name, empty when no mailbox is to
 * have it. So LIST need not ask every mailbox. RENAME takes uses along, DELETE takes them away.
 */
#ifndef MORTISE_STORE_SPECIAL_USE_H
#define MORTISE_STORE_SPECIAL_USE_H

#include "base/str.h"
#include "store/store.h"

enum special_use {
	SPECIAL_USE_ARCHIVE,
	SPECIAL_USE_DRAFTS,
	SPECIAL_USE_JUNK,
	SPECIAL_USE_SENT,
	SPECIAL_USE_TRASH,
	SPECIAL_USES
};
extern const char *const special_use_names[SPECIAL_USES]; /* "\Archive" */
/* False: unknown, or none that can be given (\All, \Flagged). */
bool special_use_parse(struct str name, enum special_use *out);

struct special_uses {
	const char *names[SPECIAL_USES]; /* of mailboxes; NULL: none */
};
/* One read of the index; if it fails, what is configured counts. Names live in the arena. */
void store_special_uses(struct store *s, struct arena *a, struct special_uses *out);
/* Bits 1 << enum special_use. */
unsigned special_use_of(const struct special_uses *u, const char *name);
/* A mailbox that exists has these uses and no others from now on; other mailboxes lose them. Durable. */
int store_special_use_set(struct store *s, const char *name, unsigned uses, struct err *e);

/* ---- for RENAME and DELETE ---- */
void special_use_renamed(struct store *s, const char *from, const char *to);
void special_use_deleted(struct store *s, const char *name);

#endif
