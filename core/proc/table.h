/*
 * table.h: the sessions that run, in memory shared by the master and its spawners.
 *
 * Limits on sessions must hold across a reload (two spawners for a while) and the death of a spawner (its
 * sessions go on), so the count cannot live in a spawner. The master makes the table once; each spawner maps
 * it; sessions do not (MADV_DONTFORK). Who reaps a process clears its slot: the spawner its children, the
 * master, as their subreaper, those whose spawner has died. A pid is never reused before it was reaped, so a
 * slot is never cleared for the wrong process.
 *
 * A slot is taken before the fork (pid 0, the spawner's pid as owner), so that two spawners never take the
 * same: slots are claimed with a compare-and-swap.
 */
#ifndef MORTISE_PROC_TABLE_H
#define MORTISE_PROC_TABLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

#define TABLE_SLOTS 100000u /* no more sessions than this, whatever limits.sessions says */

struct table;

/* The master's: memory file in *fd, to be handed to spawners. */
struct table *table_new(int *fd, struct err *e);
struct table *table_map(int fd, struct err *e);
void table_free(struct table **tp); /* this process's view of it */

struct table_limits {
	uint64_t sessions, per_user, per_address;
};
/*
 * Claims a slot; its number, or MORTISE_E_LIMIT with which limit it was in e ("sessions",
 * "sessions_per_user", "sessions_per_address").
 */
int table_claim(
    struct table *t, const struct table_limits *l, struct str user, struct str address, struct err *e);
void table_set_pid(struct table *t, int slot, pid_t pid);
void table_release(struct table *t, int slot);
/* The slot with this process, or -1. */
int table_find(const struct table *t, pid_t pid);
size_t table_count(const struct table *t);
/* Slots that a dead spawner claimed and did not fill. */
void table_sweep(struct table *t, pid_t owner);
/* Sends a signal to every session. */
void table_signal(const struct table *t, int signal_number);

#endif
