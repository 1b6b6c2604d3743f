/*
 * quota_int.h: inside the store: room for what is to be added.
 */
#ifndef MORTISE_STORE_QUOTA_INT_H
#define MORTISE_STORE_QUOTA_INT_H

#include "store/mailbox_int.h"
#include "store/quota.h"

/* What is to be added, in octets, messages, mailboxes, octets. */
struct quota_room {
	uint64_t more[QUOTA_RESOURCES];
};
bool quota_limits(struct store *s, enum quota_resource r); /* whether there is a limit */
/* 0, or QUOTA when it does not fit. */
int quota_check(struct store *s, const struct quota_room *r, struct err *e);
/*
 * The same under the account's lock, which is held when it returns 0: *lock is for quota_done. Without a
 * limit that it concerns nothing is locked (-1).
 */
int quota_begin(struct store *s, const struct quota_room *r, int *lock, struct err *e);
void quota_done(int *lock);

/* ---- usage.c ---- */
#define QUOTA_BIT(resource) (1u << (resource))
/* Octets and numbers of the resources in `wanted` (QUOTA_BIT). */
int quota_usage(struct store *s, unsigned wanted, uint64_t usage[QUOTA_RESOURCES], struct err *e);

/* ---- kernel_quota.c ---- */
/* The kernel's quota of this user where the directory is: octets. 1 there is one, 0 there is none. */
int kernel_quota(int directory, uid_t uid, uint64_t *used, uint64_t *limit);

#endif
