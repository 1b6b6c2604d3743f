#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "auth/identity.h"
#include "auth/pool_int.h"
#include "auth/work.h"
#include "base/clock.h"
#include "base/io.h"
#include "log/log.h"
#include "base/banned.h"

#define START_TIMEOUT 60000u /* ms the modules may take to start */
#define LEAVE_TIMEOUT 5000u  /* ms a worker that was told to end may take */
#define BACK_OFF_FIRST 100u  /* ms; doubles with every worker that does not start */
#define BACK_OFF_MAX 30000u
#define SOCKET_BUFFER (256 * 1024)

/* The child: only its socket, its own process group, no dump, and an end when the parent ends. */
static _Noreturn void become_worker(struct auth_pool *p, int sock, pid_t parent)
{
	struct rlimit none = {0, 0};
	sigset_t empty;
	size_t i;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	(void)setpgid(0, 0);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0);
	/* A module that prints, prints nowhere. */
	if (null >= 0) {
		(void)dup2(null, 0);
		(void)dup2(null, 1);
		io_close(&null);
	}
	for (i = 0; i < p->fronts.n; i++)
		io_close(&p->fronts.v[i]->fd);
	for (i = 0; i < p->workers.n; i++)
		io_close(&p->workers.v[i]->sock);
	io_close(&p->spawner);
	io_close(&p->hide);
	io_close(&p->child_fd);
	/* Passwords that wait for other workers are not this one's business. */
	for (i = 0; i < p->attempts.n; i++)
		buf_wipe(&p->attempts.v[i]->input);
	mem_wipe(p->in.p, p->in.cap);
	mem_wipe(p->out.p, p->out.cap);
	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGCHLD, SIG_DFL);
	sigemptyset(&empty);
	(void)sigprocmask(SIG_SETMASK, &empty, NULL);
	work_run(p->registry, p->options, p->unprivileged, sock);
}

bool worker_spawn(struct auth_pool *p)
{
	uint64_t now = clock_ms();
	int pair[2], room = SOCKET_BUFFER;
	pid_t parent = getpid(), pid;
	struct worker *w;

	if (now < p->spawn_after || p->workers.n >= p->options->workers_max)
		return false;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		log_msg(MSG_AUTH_NO_WORKER, "cannot make a worker: socketpair: %m");
		p->spawn_after = now + 1000;
		return false;
	}
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	(void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	pid = fork();
	if (pid < 0) {
		log_msg(MSG_AUTH_NO_WORKER, "cannot make a worker: fork: %m");
		io_close(&pair[0]);
		io_close(&pair[1]);
		p->spawn_after = now + 1000;
		return false;
	}
	if (pid == 0) {
		io_close(&pair[0]);
		become_worker(p, pair[1], parent);
	}
	(void)setpgid(pid, pid);
	io_close(&pair[1]);
	(void)io_nonblock(pair[0], 1);
	w = mem_new(struct worker);
	*w = (struct worker){.magic = WORKER_MAGIC,
	    .state = WORKER_STARTING,
	    .pid = pid,
	    .sock = pair[0],
	    .since = now,
	    .kill_at = now + START_TIMEOUT};
	*vec_push(&p->workers) = w;
	return true;
}

static void set_state(struct worker *w, enum worker_state state)
{
	w->state = state;
	w->since = clock_ms();
	w->kill_at = 0;
}

void worker_give(struct auth_pool *p, struct worker *w, struct attempt *t)
{
	bool start = t->worker == NULL;
	uint64_t now = clock_ms(), limit = p->options->attempt_timeout;

	ASSERT(w->state == WORKER_IDLE);
	pack_start(&p->out, start ? WORK_START : WORK_STEP);
	pack_u64(&p->out, t->number);
	pack_u64(&p->out, now + limit);
	if (start) {
		pack_cstr(&p->out, t->mechanism);
		pack_str(&p->out, t->has_input ? str_mem(buf_cstr(&t->input), t->input.n) : STR_NONE);
		pack_cstr(&p->out, t->service);
		pack_cstr(&p->out, t->remote);
		pack_cstr(&p->out, t->local);
		pack_cstr(&p->out, p->host);
		pack_u32(&p->out, t->tls ? 1 : 0);
		pack_str(&p->out, t->exporter);
		pack_str(&p->out, t->endpoint);
	} else {
		pack_str(&p->out, str_mem(buf_cstr(&t->input), t->input.n));
	}
	buf_wipe(&t->input);
	set_state(w, WORKER_BUSY);
	w->current = t;
	/* A backend that heeds its deadline answers TEMP itself and the worker lives. */
	w->kill_at = now + limit + (limit < 4000 ? limit / 4 : 1000);
	if (start) {
		w->open++;
		w->attempts++;
		t->worker = w;
	}
	attempt_state(t, ATTEMPT_RUNNING, 0);
	if (io_send(w->sock, p->out.p, p->out.n, NULL, 0) != 0)
		worker_kill(p, w, "does not take its work");
	mem_wipe(p->out.p, p->out.n);
}

void worker_forget(struct auth_pool *p, struct attempt *t)
{
	struct worker *w = t->worker;

	ASSERT(w != NULL && t->state != ATTEMPT_RUNNING);
	attempt_detach_worker(t);
	pack_start(&p->out, WORK_CANCEL);
	pack_u64(&p->out, t->number);
	if (w->sock >= 0 && io_send(w->sock, p->out.p, p->out.n, NULL, 0) != 0)
		worker_kill(p, w, "does not take a cancellation");
}

/* What lived in it is lost: TEMP. */
static void lose_attempts(struct auth_pool *p, struct worker *w, const char *why)
{
	size_t i;

	for (i = p->attempts.n; i-- > 0;) {
		struct attempt *t = p->attempts.v[i];

		if (t->worker != w)
			continue;
		attempt_detach_worker(t);
		answer_temp(p, t, why);
	}
	ASSERT(w->open == 0 && w->current == NULL);
}

static void note_start_failure(struct auth_pool *p)
{
	uint64_t wait = BACK_OFF_FIRST << (p->start_failures < 9 ? p->start_failures : 9);

	p->start_failures++;
	p->settled = true;
	if (wait > BACK_OFF_MAX)
		wait = BACK_OFF_MAX;
	p->spawn_after = clock_ms() + wait;
	log_msg(MSG_AUTH_BACK_OFF, "a worker did not start; the next one is tried in %u ms", (unsigned)wait);
}

void worker_kill(struct auth_pool *p, struct worker *w, const char *why)
{
	enum worker_state was = w->state;

	CHECK_OBJ(w, WORKER_MAGIC);
	if (was == WORKER_GONE)
		return;
	/* The group: what a module forked goes too. */
	(void)kill(-w->pid, SIGKILL);
	(void)kill(w->pid, SIGKILL);
	w->killed = true;
	io_close(&w->sock);
	set_state(w, WORKER_GONE);
	log_msg(MSG_AUTH_WORKER_KILLED, "worker %d %s; it was killed, %zu attempt(s) lost", (int)w->pid, why,
	    w->open);
	lose_attempts(p, w, why);
	if (was == WORKER_STARTING)
		note_start_failure(p);
}

void worker_retire(struct auth_pool *p, struct worker *w)
{
	(void)p;
	ASSERT(w->open == 0);
	io_close(&w->sock); /* the end of file tells it */
	set_state(w, WORKER_GONE);
	w->kill_at = w->since + LEAVE_TIMEOUT;
}

/* It ended without having been told to. */
static void log_death(const struct worker *w, int status)
{
	if (WIFSIGNALED(status))
		log_msg(MSG_AUTH_WORKER_DIED, "worker %d died of signal %d%s; %zu attempt(s) lost",
		    (int)w->pid, WTERMSIG(status), WCOREDUMP(status) ? " (core dumped)" : "", w->open);
	else
		log_msg(MSG_AUTH_WORKER_DIED, "worker %d ended with status %d; %zu attempt(s) lost",
		    (int)w->pid, WIFEXITED(status) ? WEXITSTATUS(status) : -1, w->open);
}

void worker_free(struct auth_pool *p, struct worker *w)
{
	size_t i;

	for (i = 0; i < p->workers.n; i++)
		if (p->workers.v[i] == w) {
			vec_remove(&p->workers, i);
			break;
		}
	io_close(&w->sock);
	w->magic = 0;
	mem_free(w);
}

void worker_reap(struct auth_pool *p)
{
	size_t i;

	for (i = p->workers.n; i-- > 0;) {
		struct worker *w = p->workers.v[i];
		bool starting = w->state == WORKER_STARTING;
		int status = 0;
		pid_t r = waitpid(w->pid, &status, WNOHANG);

		if (r == 0 || (r < 0 && errno == EINTR))
			continue;
		if (w->state != WORKER_GONE) {
			log_death(w, status);
			(void)kill(-w->pid, SIGKILL);
			set_state(w, WORKER_GONE);
			lose_attempts(p, w, "the worker died");
			if (starting)
				note_start_failure(p);
		}
		worker_free(p, w);
	}
}

/* Takes the attempt away from a worker that has answered for good. */
static struct attempt *finish_call(struct worker *w)
{
	struct attempt *t = w->current;

	w->current = NULL;
	set_state(w, WORKER_IDLE);
	return t;
}

static bool on_challenge(struct auth_pool *p, struct worker *w, struct unpack *u)
{
	struct str octets = unpack_str(u);
	struct attempt *t;

	if (!unpack_done(u) || octets.p == NULL)
		return false;
	t = finish_call(w);
	attempt_state(t, ATTEMPT_CLIENT, clock_ms() + p->options->conversation_timeout);
	if (t->front != NULL) {
		front_challenge(p, t, octets);
		return true;
	}
	worker_forget(p, t);
	attempt_free(p, t);
	return true;
}

static char *take_text(struct attempt *t, struct str s)
{
	return arena_strndup(t->arena, s.n > 0 ? s.p : "", s.n);
}

static bool on_done(struct auth_pool *p, struct worker *w, struct unpack *u)
{
	struct attempt *t = w->current;
	struct str last = unpack_str(u), user = unpack_str(u), why = unpack_str(u);
	struct auth_identity identity;
	const char *refusal;

	work_unpack_identity(u, t->arena, &identity);
	if (!unpack_done(u) || user.n > AUTH_USER_MAX || why.n > WORK_WHY_MAX)
		return false;
	refusal = identity_refusal(p->options, p->unprivileged, &identity);
	if (refusal != NULL) {
		log_msg(MSG_AUTH_WORKER_LIES, "worker %d claims a login that cannot be: %s", (int)w->pid,
		    refusal);
		return false;
	}
	finish_call(w);
	attempt_detach_worker(t);
	t->result = MORTISE_AUTH_OK;
	t->identity = identity;
	t->user = take_text(t, user);
	t->why = take_text(t, why);
	t->server_last = last.p != NULL ? arena_str(t->arena, last) : STR_NONE;
	answer_decide(p, t);
	return true;
}

static bool on_fail(struct auth_pool *p, struct worker *w, struct unpack *u)
{
	struct attempt *t = w->current;
	uint32_t result = unpack_u32(u);
	struct str user = unpack_str(u), why = unpack_str(u);

	if (!unpack_done(u) || result == MORTISE_AUTH_OK || user.n > AUTH_USER_MAX || why.n > WORK_WHY_MAX)
		return false;
	finish_call(w);
	attempt_detach_worker(t);
	t->result = (int)result;
	t->user = take_text(t, user);
	t->why = take_text(t, why);
	answer_decide(p, t);
	return true;
}

static bool on_bad(struct auth_pool *p, struct worker *w, struct unpack *u)
{
	struct str text = unpack_str(u);
	struct attempt *t;
	char copy[128];

	if (!unpack_done(u) || text.n >= sizeof(copy))
		return false;
	memcpy(copy, text.n > 0 ? text.p : "", text.n);
	copy[text.n] = '\0';
	t = finish_call(w);
	attempt_detach_worker(t);
	if (t->front != NULL)
		front_bad(p, t->front, t->id, copy);
	attempt_free(p, t);
	return true;
}

static bool handle(struct auth_pool *p, struct worker *w, size_t n)
{
	struct unpack u;
	uint16_t type = unpack_start(&u, p->in.p, n);

	if (w->state == WORKER_STARTING) {
		if (type != WORK_READY || !unpack_done(&u))
			return false;
		set_state(w, WORKER_IDLE);
		p->start_failures = 0;
		p->settled = true;
		return true;
	}
	/* An answer counts only for what this worker was given and has not answered (attack-036, 143). */
	if (w->state != WORKER_BUSY || unpack_u64(&u) != w->current->number)
		return false;
	switch (type) {
	case WORK_CHALLENGE:
		return on_challenge(p, w, &u);
	case WORK_DONE:
		return on_done(p, w, &u);
	case WORK_FAIL:
		return on_fail(p, w, &u);
	case WORK_BAD:
		return on_bad(p, w, &u);
	default:
		return false;
	}
}

void worker_read(struct auth_pool *p, struct worker *w)
{
	ssize_t n = io_recv(w->sock, p->in.p, PACK_MAX, NULL, NULL);

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n == 0 || (n < 0 && errno == ECONNRESET)) {
		/* It is gone or as good as: its end is the reaper's to explain, unless that never comes. */
		io_close(&w->sock);
		w->kill_at = clock_ms() + 100;
		return;
	}
	if (n < 0 || !handle(p, w, (size_t)n))
		worker_kill(p, w, "talks nonsense");
	mem_wipe(p->in.p, n > 0 ? (size_t)n : 0);
}
