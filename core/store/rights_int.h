/*
 * rights_int.h: inside the store: rights of targets, and access lists of files.
 */
#ifndef MORTISE_STORE_RIGHTS_INT_H
#define MORTISE_STORE_RIGHTS_INT_H

#include "store/rights.h"
#include "store/store_int.h"

/* ---- rights.c ---- */
/* What the kernel lets this user do with what is there. */
unsigned target_rights(struct store *s, const struct target *t);
/* A mailbox that is open and that this user may no longer read (or write). Only of other people's. */
bool target_revoked(struct store *s, const struct target *t, bool written);
/* The name of a target may be given or taken: 0 or PERM. */
int target_may_name(struct store *s, const struct target *t, struct err *e);
/* Modes of what is made in a directory that has default entries: readable for whom these say. */
void target_share(const struct store *s, struct target *t);

/* ---- identifier.c ---- */
struct identity {
	enum { IDENTITY_USER, IDENTITY_GROUP, IDENTITY_ANYONE } kind;
	uint32_t id; /* uid or gid */
};
int identity_parse(const struct store *s, const char *text, struct identity *out, struct err *e);
const char *identity_text(const struct store *s, const struct identity *i, struct arena *a);

/* ---- acl.c ---- */
#define ACCESS_EXECUTE 1u
#define ACCESS_WRITE 2u
#define ACCESS_READ 4u

struct access_entry {
	struct identity who;
	bool owner; /* the file's own user or group */
	unsigned access;
};
/* Entries of an open object, in order of kind; what masks hide is left out. */
int access_list(int fd, struct arena *a, struct access_entry **out, size_t *count, struct err *e);
/* Sets (or with `remove` takes away) one. `inherit`: of a directory, its default entries become the same. */
int access_set(int fd, const struct identity *who, unsigned access, bool remove, bool inherit, struct err *e);
/* What the default entries of a directory give to the group class and to others; false: it has none. */
bool access_default(int fd, unsigned *group, unsigned *others);

#endif
