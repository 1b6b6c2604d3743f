/*
 * work.h: what the pool's parent and its workers say to each other, and the worker itself.
 *
 * parent → worker (ids are the parent's, never used twice)
 *   WORK_START     u64 id, u64 deadline (monotonic ms), str mechanism, str initial (absent: none),
 *                  str service, str remote, str local, str host, u32 tls,
 *                  str exporter, str endpoint (absent: none)
 *   WORK_STEP      u64 id, u64 deadline, str response
 *   WORK_CANCEL    u64 id                     (no answer)
 * worker → parent
 *   WORK_READY                                (once: the modules have started here)
 *   WORK_CHALLENGE u64 id, str octets
 *   WORK_DONE      u64 id, str server-last data (absent: none), str authenticated user, str why,
 *                  str user, u32 uid, u32 gid, u32 n, n × u32 group, str home, u32 m, m × str option
 *   WORK_FAIL      u64 id, u32 result (MORTISE_AUTH_…, not OK), str user (tried; may be empty), str why
 *   WORK_BAD       u64 id, str text
 *
 * One call at a time: the parent sends START or STEP only to a worker that has answered the last one. The
 * deadline is what the backend is told; the parent kills the worker a little after it.
 */
#ifndef MORTISE_AUTH_WORK_H
#define MORTISE_AUTH_WORK_H

#include "auth/auth.h"
#include "base/pack.h"

enum work_message {
	WORK_START = 0x1a1,
	WORK_STEP = 0x1a2,
	WORK_CANCEL = 0x1a3,
	WORK_READY = 0x1b1,
	WORK_CHALLENGE = 0x1b2,
	WORK_DONE = 0x1b3,
	WORK_FAIL = 0x1b4,
	WORK_BAD = 0x1b5
};

#define WORK_WHY_MAX 2048u

/* Identity fields, as in WORK_DONE and GRANT. */
void work_pack_ids(struct buf *b, const struct auth_identity *i);
void work_pack_options(struct buf *b, const struct auth_identity *i);
/* Any mismatch makes u->bad; the rest of *i is then meaningless. */
void work_unpack_identity(struct unpack *u, struct arena *a, struct auth_identity *i);

/*
 * The worker's life: starts the modules, then answers the parent until it hangs up. Never returns. The
 * caller has closed everything but `sock`.
 */
_Noreturn void work_run(struct registry *g, const struct auth_options *o, bool unprivileged, int sock);

#endif
