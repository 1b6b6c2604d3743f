/*
 * privilege.h: giving up what a process does not need.
 *
 * Everything here goes one way, and is checked after it was done: a setuid that "worked" but left a way back
 * is the classic hole. uid 0 is never a target.
 */
#ifndef MORTISE_BASE_PRIVILEGE_H
#define MORTISE_BASE_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Becomes uid/gid with exactly these groups, for good, and drops every capability. When the process already
 * is that uid and cannot change its groups (unprivileged mode), this only checks. uid 0 or gid 0 is refused.
 */
int privilege_drop(uid_t uid, gid_t gid, const gid_t *groups, size_t count, struct err *e);
/* No core dumps, no ptrace by the same uid. */
int privilege_conceal(struct err *e);
/* The same, and no privileges through exec, here and in children. */
int privilege_harden(struct err *e);
/* The uid and gid of an account, by name or digits; falls back to nobody when `fallback`. */
int privilege_account(const char *name, bool fallback, uid_t *uid, gid_t *gid, struct err *e);

#endif
