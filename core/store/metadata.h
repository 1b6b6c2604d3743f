/*
 * metadata.h: annotations of mailboxes and of the account (RFC 5464).
 *
 * They are attributes in the index, durable, under their entry's name in lower case; they go along with
 * RENAME and go with DELETE. A mailbox belongs to one user, so "/shared" and "/private" differ by name only.
 * Of the server, "/shared" entries are the administrator's: "/shared/comment" and "/shared/admin" are
 * options, and clients cannot change them; "/private" ones belong to the account. "/private/specialuse" of a
 * mailbox is what special_use.h says.
 */
#ifndef MORTISE_STORE_METADATA_H
#define MORTISE_STORE_METADATA_H

#include "base/str.h"
#include "store/store.h"

/*
 * Whether an entry may be called so: "/private…" or "/shared…", no empty level, none of the octets that
 * RFC 5464 §3.2 forbids. To be set: two levels at least, four of a vendor.
 */
bool metadata_name_ok(struct str name, bool to_be_set);

struct metadata {
	struct str name;  /* in lower case */
	struct str value; /* p NULL: NIL */
};

enum metadata_depth { METADATA_ENTRY, METADATA_CHILDREN, METADATA_INFINITY };
typedef void metadata_fn(void *arg, const struct metadata *m);
/*
 * Entries of a mailbox (NULL: of the server) that are there, in the order of their names: `name` itself and
 * below it as deep as wanted. Nothing that `fn` is given outlives it.
 */
int store_metadata(struct store *s, const char *mailbox, struct str name, enum metadata_depth depth,
    metadata_fn *fn, void *arg, struct err *e);

uint64_t store_metadata_size(const struct store *s); /* largest value that can be set */
/* All or none. */
enum metadata_refusal { METADATA_FINE, METADATA_TOO_LARGE, METADATA_TOO_MANY };
int store_metadata_set(struct store *s, const char *mailbox, const struct metadata *entries, size_t count,
    enum metadata_refusal *refusal, struct err *e);
/* RENAME of INBOX: what was said of it is said of the new mailbox, too. */
int store_metadata_copy(struct store *s, const char *from, const char *to, struct err *e);

#endif
