/*
 * pool.h: the parent of the auth workers.
 *
 * One thread, one poll(2), nothing that blocks. An attempt is one AUTH_START of a front until its answer:
 *
 *   START → [THROTTLED] → QUEUED → RUNNING ⇄ CLIENT (challenge sent) → STEP → RUNNING … → ANSWER → gone
 *
 *   THROTTLED  waits because its address failed often (throttle.h); holds no worker
 *   QUEUED     waits for a worker; fronts take turns, so one that floods delays only itself
 *   RUNNING    a worker is working on it; at attempt_timeout the worker is killed and the answer is TEMP
 *   CLIENT     the client's turn, for conversation_timeout; the worker is free for others meanwhile
 *   STEP       the client has answered, its worker is busy with somebody else
 *   ANSWER     decided, and held back: a failure until failure_delay (or a multiple of it) has passed since
 *              the client spoke last, any answer until the slow-down for that user has. Holds no worker,
 *              and makes room for new attempts when there are too many (attack-069).
 *
 * Numbers that bound everything: conversations_max attempts and queue_max waiting ones, each shared out
 * evenly among the fronts; workers_max workers.
 */
#ifndef MORTISE_AUTH_POOL_H
#define MORTISE_AUTH_POOL_H

#include "auth/auth.h"

struct auth_pool;
/* Forks the first workers. `hide`: a descriptor that workers must not have, or -1. Blocks SIGCHLD. */
struct auth_pool *auth_pool_new(
    struct registry *g, const struct auth_options *o, bool unprivileged, int hide);
/* Kills the workers and waits for them; closes every socket. */
void auth_pool_free(struct auth_pool **pp);
/* Both take the descriptor over. */
void auth_pool_front(struct auth_pool *p, int fd);
void auth_pool_spawner(struct auth_pool *p, int fd);
/* From now on every AUTH_START is answered TEMP. */
void auth_pool_refuse(struct auth_pool *p);
/* A worker is ready, or the first one has failed. */
bool auth_pool_settled(const struct auth_pool *p);
size_t auth_pool_fronts(const struct auth_pool *p);
size_t auth_pool_attempts(const struct auth_pool *p);
/* Works until `control` is readable (-1: nothing to look at): 1; or until the deadline (0 none): 0. */
int auth_pool_turn(struct auth_pool *p, int control, uint64_t deadline);

#endif
