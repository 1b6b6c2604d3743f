/*
 * rights.h: who may do what with a mailbox (RFC 4314). The file system's permissions are the access list.
 *
 * A session runs as its user, so the kernel decides already what it can open; there is no second list beside
 * the mode bits and POSIX ACLs that could say something else, and delivery agents, shells and backups are
 * bound by the same one. What the RFC calls rights comes in sets that a file system cannot take apart:
 *
 *     RIGHTS_READ   l r          the mailbox can be read
 *     RIGHTS_WRITE  s w i p t e  it can be written. There is no \Seen of each reader's own, so s is here
 *     RIGHTS_NAME   k x          its name can be taken away and others made beside or below it: that is a
 *                                matter of the folder it is in, so it cannot be given with the mailbox
 *     RIGHTS_ADMIN  a            the list can be changed: only the owner
 *
 * Identifiers are names of the host's users, "group=NAME" for its groups, and "anyone"; "uid=N" and "gid=N"
 * stand for those that have no name. As in POSIX, an entry of a user is stronger than those of groups, and
 * theirs are stronger than that of "anyone": an entry without rights shuts its user out. The owner's own
 * rights are fixed.
 *
 * To change a list is to change it for the mailbox and, where the format is a directory, for the format's
 * own files and directories in it, with default entries, so that new messages have it too, and so do
 * mailboxes that are made below. The folders above, as far as they belong to the owner, let the new reader
 * pass: in the mail directory they can be listed, above it only be passed. That is not taken back when the
 * entry is, since other mailboxes may need it.
 */
#ifndef MORTISE_STORE_RIGHTS_H
#define MORTISE_STORE_RIGHTS_H

#include "store/store.h"

#define RIGHTS_READ 0x01u
#define RIGHTS_WRITE 0x02u
#define RIGHTS_NAME 0x04u
#define RIGHTS_ADMIN 0x08u
#define RIGHTS_ALL 0x0fu

/* Of this user. NOTFOUND, PERM as when it is opened. */
int store_rights(struct store *s, const char *mailbox, unsigned *out, struct err *e);

struct acl_entry {
	const char *identifier;
	unsigned rights;
};
/* The owner comes first. PERM: this user is not the owner. */
int store_acl(struct store *s, const char *mailbox, struct arena *a, struct acl_entry **out, size_t *count,
    struct err *e);
/* What an identifier has always, and what it can be given. */
int store_acl_grantable(struct store *s, const char *mailbox, const char *identifier, unsigned *always,
    unsigned *grantable, struct err *e);

enum acl_change { ACL_REPLACE, ACL_ADD, ACL_REMOVE, ACL_DELETE };
/* ACL_DELETE: the entry goes; the others change its rights. */
int store_acl_change(struct store *s, const char *mailbox, const char *identifier, enum acl_change how,
    unsigned rights, struct err *e);

#endif
