#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/pool_int.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/pack.h"
#include "log/log.h"
#include "base/mem.h"
#include "base/banned.h"

#define IDLE_TIMEOUT 60000u /* ms before a worker beyond workers_min is let go */
#define TURN_MAX 60000u     /* ms one poll may last */

struct attempt *attempt_new(struct auth_pool *p, struct front *f, uint64_t id)
{
	struct attempt *t = mem_new(struct attempt);

	*t = (struct attempt){.magic = ATTEMPT_MAGIC,
	    .front = f,
	    .id = id,
	    .number = ++p->last_number,
	    .asked = clock_ms(),
	    .arena = arena_new_secret("attempt"),
	    .user = "",
	    .why = ""};
	f->attempts++;
	*vec_push(&p->attempts) = t;
	return t;
}

void attempt_state(struct attempt *t, enum attempt_state state, uint64_t due)
{
	CHECK_OBJ(t, ATTEMPT_MAGIC);
	if (t->front != NULL) {
		if (t->state == ATTEMPT_QUEUED && state != ATTEMPT_QUEUED)
			t->front->queued--;
		if (t->state != ATTEMPT_QUEUED && state == ATTEMPT_QUEUED)
			t->front->queued++;
	}
	t->state = state;
	t->due = due;
}

void attempt_detach_worker(struct attempt *t)
{
	if (t->worker == NULL)
		return;
	if (t->worker->current == t)
		t->worker->current = NULL;
	t->worker->open--;
	t->worker = NULL;
}

void attempt_free(struct auth_pool *p, struct attempt *t)
{
	size_t i;

	CHECK_OBJ(t, ATTEMPT_MAGIC);
	ASSERT(t->worker == NULL);
	if (t->front != NULL) {
		if (t->state == ATTEMPT_QUEUED)
			t->front->queued--;
		t->front->attempts--;
	}
	for (i = 0; i < p->attempts.n; i++)
		if (p->attempts.v[i] == t) {
			vec_remove(&p->attempts, i);
			break;
		}
	buf_wipe(&t->input);
	arena_free(&t->arena);
	t->magic = 0;
	mem_free(t);
}

static int watch_children(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	(void)signal(SIGCHLD, SIG_DFL); /* ignored children cannot be waited for */
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

struct auth_pool *auth_pool_new(struct registry *g, const struct auth_options *o, bool unprivileged, int hide)
{
	struct auth_pool *p = mem_new(struct auth_pool);
	uint64_t i;

	p->magic = POOL_MAGIC;
	p->registry = g;
	p->options = o;
	p->unprivileged = unprivileged;
	p->hide = hide;
	p->spawner = -1;
	p->child_fd = watch_children();
	p->throttle = throttle_new(o);
	buf_reserve(&p->in, PACK_MAX);
	buf_reserve(&p->out, PACK_MAX / 4); /* more would not be kept by buf_reset */
	if (o->hostname != NULL && o->hostname[0] != '\0')
		(void)snprintf(p->host, sizeof(p->host), "%s", o->hostname);
	else if (gethostname(p->host, sizeof(p->host) - 1) != 0 || p->host[0] == '\0')
		(void)snprintf(p->host, sizeof(p->host), "localhost");
	auth_offer(g, o, true, &p->offer_tls);
	auth_offer(g, o, false, &p->offer_clear);
	for (i = 0; i < o->workers_min; i++)
		(void)worker_spawn(p);
	return p;
}

void auth_pool_free(struct auth_pool **pp)
{
	struct auth_pool *p;

	if (*pp == NULL)
		return;
	TAKE_OBJ(p, pp, POOL_MAGIC);
	while (p->fronts.n > 0)
		front_free(p, p->fronts.v[0]);
	while (p->workers.n > 0) {
		struct worker *w = p->workers.v[0];
		int status;

		(void)kill(-w->pid, SIGKILL);
		(void)kill(w->pid, SIGKILL);
		while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
			;
		if (w->current != NULL)
			attempt_detach_worker(w->current);
		worker_free(p, w);
	}
	while (p->attempts.n > 0) {
		p->attempts.v[0]->worker = NULL;
		attempt_free(p, p->attempts.v[0]);
	}
	io_close(&p->spawner);
	io_close(&p->child_fd);
	throttle_free(&p->throttle);
	vec_free(&p->fronts);
	vec_free(&p->workers);
	vec_free(&p->attempts);
	buf_free(&p->offer_tls);
	buf_free(&p->offer_clear);
	buf_wipe(&p->in);
	buf_wipe(&p->out);
	p->magic = 0;
	mem_free(p);
}

void auth_pool_front(struct auth_pool *p, int fd)
{
	CHECK_OBJ(p, POOL_MAGIC);
	if (p->fronts.n >= FRONTS_MAX) {
		log_msg(MSG_AUTH_FRONT_NONSENSE, "too many fronts; a new one is refused");
		io_close(&fd);
		return;
	}
	front_offer(p, front_new(p, fd));
}

void auth_pool_spawner(struct auth_pool *p, int fd)
{
	CHECK_OBJ(p, POOL_MAGIC);
	io_close(&p->spawner);
	(void)io_nonblock(fd, 1);
	(void)io_cloexec(fd, 1);
	p->spawner = fd;
}

void auth_pool_refuse(struct auth_pool *p)
{
	CHECK_OBJ(p, POOL_MAGIC);
	p->refuse = true;
}

bool auth_pool_settled(const struct auth_pool *p)
{
	CHECK_OBJ(p, POOL_MAGIC);
	return p->settled;
}

size_t auth_pool_fronts(const struct auth_pool *p)
{
	CHECK_OBJ(p, POOL_MAGIC);
	return p->fronts.n;
}

size_t auth_pool_attempts(const struct auth_pool *p)
{
	CHECK_OBJ(p, POOL_MAGIC);
	return p->attempts.n;
}

/* The idle worker that would lose least. */
static struct worker *idle_worker(struct auth_pool *p)
{
	struct worker *best = NULL;
	size_t i;

	for (i = 0; i < p->workers.n; i++) {
		struct worker *w = p->workers.v[i];

		if (w->state == WORKER_IDLE && w->sock >= 0 && w->attempts < p->options->worker_attempts &&
		    (best == NULL || w->open < best->open))
			best = w;
	}
	return best;
}

/* The queued attempt of the front that has waited longest for its turn. */
static struct attempt *next_queued(struct auth_pool *p)
{
	struct attempt *best = NULL;
	size_t i;

	for (i = 0; i < p->attempts.n; i++) {
		struct attempt *t = p->attempts.v[i];

		if (t->state == ATTEMPT_QUEUED && (best == NULL || t->front->served < best->front->served))
			best = t;
	}
	return best;
}

/* The client has answered and the worker that has the conversation is free. */
static bool give_steps(struct auth_pool *p)
{
	size_t i;

	for (i = 0; i < p->attempts.n; i++) {
		struct attempt *t = p->attempts.v[i];

		if (t->state == ATTEMPT_STEP && t->worker->state == WORKER_IDLE && t->worker->sock >= 0) {
			worker_give(p, t->worker, t);
			return true; /* the list may have changed */
		}
	}
	return false;
}

static void spawn_for_queue(struct auth_pool *p)
{
	size_t starting = 0, living = 0, queued = 0, i;

	for (i = 0; i < p->workers.n; i++) {
		starting += p->workers.v[i]->state == WORKER_STARTING;
		living += p->workers.v[i]->state != WORKER_GONE;
	}
	for (i = 0; i < p->attempts.n; i++)
		queued += p->attempts.v[i]->state == ATTEMPT_QUEUED;
	while ((queued > starting || living < p->options->workers_min) && worker_spawn(p)) {
		starting++;
		living++;
	}
}

static void dispatch(struct auth_pool *p)
{
	struct worker *w;
	struct attempt *t;

	while (give_steps(p))
		;
	while ((t = next_queued(p)) != NULL && (w = idle_worker(p)) != NULL) {
		t->front->served = ++p->turn;
		worker_give(p, w, t);
	}
	spawn_for_queue(p);
}

static void attempt_time_up(struct auth_pool *p, struct attempt *t)
{
	switch (t->state) {
	case ATTEMPT_THROTTLED:
		t->asked = clock_ms(); /* the slow-down is not part of the failure delay */
		attempt_state(t, ATTEMPT_QUEUED, t->asked + p->options->attempt_timeout);
		break;
	case ATTEMPT_QUEUED:
		answer_temp(p, t, "no worker became free in time");
		break;
	case ATTEMPT_CLIENT:
		front_bad(p, t->front, t->id, "too slow");
		worker_forget(p, t);
		attempt_free(p, t);
		break;
	case ATTEMPT_ANSWER:
		answer_send(p, t);
		break;
	default:
		break;
	}
}

/* One attempt whose time is up; false when there is none (left). */
static bool expire_one(struct auth_pool *p, uint64_t now)
{
	size_t i;

	for (i = 0; i < p->attempts.n; i++)
		if (p->attempts.v[i]->due != 0 && p->attempts.v[i]->due <= now) {
			attempt_time_up(p, p->attempts.v[i]);
			return true;
		}
	return false;
}

static void expire_worker(struct auth_pool *p, struct worker *w, uint64_t now, size_t living)
{
	if (w->kill_at != 0 && w->kill_at <= now) {
		if (w->state == WORKER_GONE) {
			w->kill_at = 0;
			(void)kill(-w->pid, SIGKILL);
			(void)kill(w->pid, SIGKILL);
		} else {
			worker_kill(p, w, w->sock < 0 ? "hung up" : "took too long");
		}
		return;
	}
	if (w->state != WORKER_IDLE || w->open > 0)
		return;
	if (w->attempts >= p->options->worker_attempts ||
	    (living > p->options->workers_min && now - w->since >= IDLE_TIMEOUT))
		worker_retire(p, w);
}

static void expire(struct auth_pool *p)
{
	uint64_t now = clock_ms();
	size_t living = 0, i;

	while (expire_one(p, now))
		;
	for (i = 0; i < p->workers.n; i++)
		living += p->workers.v[i]->state != WORKER_GONE;
	for (i = p->workers.n; i-- > 0;)
		expire_worker(p, p->workers.v[i], now, living);
}

static void sooner(uint64_t *when, uint64_t other)
{
	if (other != 0 && (*when == 0 || other < *when))
		*when = other;
}

static uint64_t next_event(const struct auth_pool *p, uint64_t deadline)
{
	uint64_t when = clock_ms() + TURN_MAX;
	bool queued = false;
	size_t i;

	sooner(&when, deadline);
	for (i = 0; i < p->attempts.n; i++) {
		sooner(&when, p->attempts.v[i]->due);
		queued = queued || p->attempts.v[i]->state == ATTEMPT_QUEUED;
	}
	for (i = 0; i < p->workers.n; i++) {
		sooner(&when, p->workers.v[i]->kill_at);
		if (p->workers.v[i]->state == WORKER_IDLE && p->workers.n > p->options->workers_min)
			sooner(&when, p->workers.v[i]->since + IDLE_TIMEOUT);
	}
	if (p->spawn_after > clock_ms() && (queued || p->workers.n < p->options->workers_min))
		sooner(&when, p->spawn_after);
	return when;
}

static int poll_timeout(uint64_t when)
{
	uint64_t now = clock_ms();

	return when <= now ? 0 : when - now > TURN_MAX ? (int)TURN_MAX : (int)(when - now);
}

/* The poll set: control, children, fronts, workers, in this order; -1 entries are skipped by poll(2). */
static size_t fill_poll(const struct auth_pool *p, int control, struct pollfd *set)
{
	size_t n = 0, i;

	set[n++] = (struct pollfd){.fd = control, .events = POLLIN};
	set[n++] = (struct pollfd){.fd = p->child_fd, .events = POLLIN};
	for (i = 0; i < p->fronts.n; i++)
		set[n++] = (struct pollfd){.fd = p->fronts.v[i]->fd,
		    .events = (short)(p->fronts.v[i]->out.n > 0 ? POLLIN | POLLOUT : POLLIN)};
	for (i = 0; i < p->workers.n; i++)
		set[n++] = (struct pollfd){.fd = p->workers.v[i]->sock, .events = POLLIN};
	return n;
}

static void drain_children(struct auth_pool *p)
{
	struct signalfd_siginfo info;

	while (read(p->child_fd, &info, sizeof(info)) > 0)
		;
	worker_reap(p);
}

/* Neither list changes its order or loses members here: fronts are dropped and workers reaped afterwards. */
static void serve(struct auth_pool *p, const struct pollfd *set, size_t fronts, size_t workers)
{
	size_t i;

	for (i = 0; i < fronts; i++) {
		if ((set[2 + i].revents & POLLOUT) != 0)
			front_flush(p->fronts.v[i]);
		if ((set[2 + i].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
			front_read(p, p->fronts.v[i]);
	}
	for (i = 0; i < workers; i++)
		if ((set[2 + fronts + i].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
		    p->workers.v[i]->sock >= 0)
			worker_read(p, p->workers.v[i]);
}

static void drop_broken_fronts(struct auth_pool *p)
{
	size_t i;

	for (i = p->fronts.n; i-- > 0;)
		if (p->fronts.v[i]->broken)
			front_free(p, p->fronts.v[i]);
}

int auth_pool_turn(struct auth_pool *p, int control, uint64_t deadline)
{
	CHECK_OBJ(p, POOL_MAGIC);
	for (;;) {
		size_t fronts, workers, n;
		struct pollfd *set;
		bool told;

		expire(p);
		drop_broken_fronts(p);
		dispatch(p);
		drop_broken_fronts(p);
		fronts = p->fronts.n;
		workers = p->workers.n;
		set = mem_array(2 + fronts + workers, sizeof(*set));
		n = fill_poll(p, control, set);
		if (poll(set, n, poll_timeout(next_event(p, deadline))) > 0) {
			serve(p, set, fronts, workers);
			if (set[1].revents != 0)
				drain_children(p);
		}
		told = set[0].revents != 0;
		mem_free(set);
		if (told)
			return 1;
		if (deadline != 0 && clock_ms() >= deadline)
			return 0;
	}
}
