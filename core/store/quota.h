/*
 * quota.h: how much a user may keep (RFC 9208).
 *
 * There are two kinds of quota roots. The root "" is the user's own mail: what LIST "" "*" shows, INBOX among
 * it. Its limits are the configuration's (quota.limits, which a user's record may replace), or those that an
 * administrator gave it with SETQUOTA, which are an attribute of the account in the index. A root
 * "!filesystem/MAJOR:MINOR" is the kernel's quota of the user on the file system where his mailboxes are;
 * there is one only if the kernel counts. It counts all files of the user, enforces its limit itself, and
 * nobody changes it here.
 *
 * Usage is counted, not kept: a running total would be wrong as soon as another program delivers. Of each
 * mailbox the index has what was counted last, together with the status of what the driver says is to be
 * watched; a mailbox that has the same status is not opened. Those that do not are synced as STATUS does.
 *
 *     STORAGE             octets of all messages as IMAP sees them (RFC822.SIZE)
 *     MESSAGE             messages
 *     MAILBOX             mailboxes that can be selected, INBOX included
 *     ANNOTATION-STORAGE  octets of names and values of METADATA entries, of mailboxes and of the account
 *
 * Those of octets are in units of 1024, rounded up.
 *
 * What adds to the usage (append, copy, create, annotations) holds the account's quota lock from counting to
 * the end of the change, so of two sessions that race for the last room one loses. Without a limit nothing is
 * counted and nothing locked. A move within the user's mail adds nothing and is never refused. What other
 * programs deliver is counted, but not refused here.
 */
#ifndef MORTISE_STORE_QUOTA_H
#define MORTISE_STORE_QUOTA_H

#include "conf/conf.h"
#include "store/store.h"

/* conf group "quota". */
struct quota_options {
	struct mortise_list limits;         /* "STORAGE=1G", "MESSAGE=100000" */
	uint64_t warning;                   /* percent of a limit */
	struct mortise_list administrators; /* who may SETQUOTA */
};
extern const struct conf_group quota_conf_group;

enum quota_resource {
	QUOTA_STORAGE,
	QUOTA_MESSAGE,
	QUOTA_MAILBOX,
	QUOTA_ANNOTATION_STORAGE,
	QUOTA_RESOURCES
};
extern const char *const quota_resource_names[QUOTA_RESOURCES];
#define QUOTA_UNLIMITED UINT64_MAX

/* Of the protocol: STORAGE and ANNOTATION-STORAGE in units of 1024 octets. */
struct quota_limits {
	uint64_t of[QUOTA_RESOURCES]; /* QUOTA_UNLIMITED: none */
};
bool quota_resource_parse(struct str name, enum quota_resource *out);
/* From the option's list. */
int quota_limits_parse(const struct mortise_list *list, struct quota_limits *out, struct err *e);

/* Without it there are no limits. The options outlive the store. */
int store_set_quota(struct store *s, const struct quota_options *o, struct err *e);

struct quota_root {
	const char *name;
	struct quota_limits limit;
	uint64_t usage[QUOTA_RESOURCES]; /* of those that are limited */
};
/* With usage and limits; strings in the arena. NOTFOUND: no such root. */
int store_quota(struct store *s, const char *root, struct arena *a, struct quota_root *out, struct err *e);
/* Names of the roots that a mailbox belongs to or would belong to. */
int store_quota_roots(struct store *s, const char *mailbox, struct arena *a, const char *const **names,
    size_t *count, struct err *e);
/* SETQUOTA. PERM for a root that cannot be changed; NOTFOUND. Whether the user may is for the caller. */
int store_quota_set(struct store *s, const char *root, const struct quota_limits *l, struct err *e);
/* Whether the account is an administrator. */
bool store_quota_administrator(const struct store *s);
/* Whether what was added since this was asked last went above the warning. */
bool store_quota_warns(struct store *s);

#endif
