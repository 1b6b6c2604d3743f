/*
 * sandbox.h: what a role may still do once it has everything it needs.
 *
 * Three walls, one behind the other, each enough for most attacks: the account (base/privilege.h), Landlock
 * (which files) and seccomp (which system calls). They are also raised when the server runs as an ordinary
 * user; only the account cannot change then.
 *
 *   front        no file at all, an allow-list of system calls. What is not on it fails with EPERM and, for
 *                those that only an attacker would try (exec, ptrace, another process's memory), kills.
 *   log          the account, and the deny-list of a session.
 *   session      the user's mail places, a few read-only system places, and everything but a deny-list of
 *                calls: a driver may need what we do not know, but never exec, sockets, ptrace, mounts, keys,
 *                kernel modules, BPF, namespaces.
 *   spawner      keeps the capabilities to change users and to signal sessions, no others. Of a session's
 *                deny-list it has all but what makes, changes and signals processes; its sessions inherit
 * that, and the rest of the list is ready for them.
 */
#ifndef MORTISE_PROC_SANDBOX_H
#define MORTISE_PROC_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* Account, empty root, Landlock deny-all. `root_dir` is used only when privileged. */
int sandbox_empty(const char *account, const char *root_dir, bool privileged, struct err *e);
/* The log role: the account and no privileges, but its sink's path stays reachable (rotation, reconnecting).
 */
int sandbox_log(const char *account, bool privileged, struct err *e);
/* The allow-list; the last thing before serving. fds: may receive descriptors, make socket pairs (front). */
int sandbox_front_calls(struct err *e);
/* Number of system calls the front's list allows. */
size_t sandbox_front_call_count(void);

/* Landlock for a session: what it may write, what it may only read. Paths that do not exist are left out. */
int sandbox_session_files(const char *const *writable, size_t writable_count, struct err *e);
int sandbox_session_calls(struct err *e);
/* Spawner: capabilities and calls beyond those for making sessions are dropped. */
int sandbox_spawner(struct err *e);

#endif
