/* pool_int.h: the pool's inner halves: fronts (pool-front.c), workers (pool-worker.c), answers
 * (pool-answer.c), the loop (pool.c). */
#ifndef MORTISE_AUTH_POOL_INT_H
#define MORTISE_AUTH_POOL_INT_H

#include <sys/types.h>

#include "auth/pool.h"
#include "auth/throttle.h"
#include "base/buf.h"
#include "base/vec.h"

#define FRONT_MAGIC 0x41465231u
#define WORKER_MAGIC 0x41574b31u
#define ATTEMPT_MAGIC 0x41415431u
#define POOL_MAGIC 0x41504f31u

#define FRONTS_MAX 256u
#define FRONT_OUT_MAX (1024u * 1024) /* octets kept for a front that does not read */

enum attempt_state {
	ATTEMPT_THROTTLED,
	ATTEMPT_QUEUED,
	ATTEMPT_RUNNING,
	ATTEMPT_CLIENT,
	ATTEMPT_STEP,
	ATTEMPT_ANSWER
};

struct attempt {
	uint32_t magic;
	enum attempt_state state;
	struct front *front;   /* NULL: cancelled while a worker was on it */
	struct worker *worker; /* RUNNING, CLIENT, STEP */
	uint64_t id;           /* the front's */
	uint64_t number;       /* ours, for the worker */
	uint64_t asked;        /* when the client spoke last */
	uint64_t due;          /* THROTTLED, QUEUED, CLIENT, ANSWER: when time is up */
	struct arena *arena;   /* secret */
	const char *mechanism, *service, *remote, *local;
	bool tls;
	struct str exporter, endpoint;
	struct buf input; /* what the worker is to be given; wiped as soon as it was */
	bool has_input;

	int result; /* MORTISE_AUTH_… */
	const char *user, *why;
	struct str server_last;
	struct auth_identity identity;
};

struct front {
	uint32_t magic;
	int fd;
	size_t attempts, queued;
	uint64_t served; /* turn at which it last got a worker */
	VEC(struct buf) out;
	size_t out_size;
	bool broken; /* to be dropped at the end of the turn */
};

enum worker_state { WORKER_STARTING, WORKER_IDLE, WORKER_BUSY, WORKER_GONE };

struct worker {
	uint32_t magic;
	enum worker_state state;
	pid_t pid;
	int sock;                /* -1 when GONE: only to be reaped */
	struct attempt *current; /* BUSY */
	size_t open;             /* attempts living in it */
	uint64_t attempts;       /* started in it so far */
	uint64_t since;          /* of the state */
	uint64_t kill_at;        /* BUSY, STARTING; GONE: when asking was not enough */
	bool killed;
};

struct auth_pool {
	uint32_t magic;
	struct registry *registry;
	const struct auth_options *options;
	bool unprivileged;
	int hide, spawner, child_fd;
	bool refuse, settled;
	char host[256];
	struct buf offer_tls, offer_clear;
	struct throttle *throttle;
	VEC(struct front *) fronts;
	VEC(struct worker *) workers;
	VEC(struct attempt *) attempts; /* in order of arrival */
	uint64_t last_number, turn;
	uint64_t spawn_after; /* back-off: no new worker before */
	unsigned start_failures;
	struct buf in, out; /* one message */
};

/* pool-front.c */
struct front *front_new(struct auth_pool *p, int fd);
void front_free(struct auth_pool *p, struct front *f); /* with its attempts */
void front_read(struct auth_pool *p, struct front *f);
void front_flush(struct front *f);
void front_send(struct front *f, const struct buf *message);
void front_offer(struct auth_pool *p, struct front *f);
void front_challenge(struct auth_pool *p, struct attempt *t, struct str octets);
void front_bad(struct auth_pool *p, struct front *f, uint64_t id, const char *text);
void front_no(struct auth_pool *p, struct front *f, uint64_t id, int result);

/* pool-worker.c */
bool worker_spawn(struct auth_pool *p); /* false: not now */
void worker_read(struct auth_pool *p, struct worker *w);
/* Gives an attempt's input to a worker, as START or STEP. */
void worker_give(struct auth_pool *p, struct worker *w, struct attempt *t);
/* WORK_CANCEL for an attempt that is not RUNNING; it has no worker afterwards. */
void worker_forget(struct auth_pool *p, struct attempt *t);
/* Its attempts get TEMP; it is killed and later reaped. */
void worker_kill(struct auth_pool *p, struct worker *w, const char *why);
void worker_retire(struct auth_pool *p, struct worker *w);
void worker_reap(struct auth_pool *p);
void worker_free(struct auth_pool *p, struct worker *w);

/* pool-answer.c */
/* The worker is done with the attempt (result, user, why… are set). It is freed or held back. */
void answer_decide(struct auth_pool *p, struct attempt *t);
/* The answer's time has come: grant, message, log; frees the attempt. */
void answer_send(struct auth_pool *p, struct attempt *t);
/* TEMP at once, for what the client cannot help; frees the attempt. */
void answer_temp(struct auth_pool *p, struct attempt *t, const char *why);
bool answer_make_room(struct auth_pool *p);

/* pool.c */
struct attempt *attempt_new(struct auth_pool *p, struct front *f, uint64_t id);
void attempt_free(struct auth_pool *p, struct attempt *t);
void attempt_state(struct attempt *t, enum attempt_state state, uint64_t due);
void attempt_detach_worker(struct attempt *t);

#endif
