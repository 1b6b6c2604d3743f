#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "auth/work.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/vec.h"
#include "log/log.h"
#include "base/banned.h"

struct open_conv {
	uint64_t id;
	struct auth_conv *conv;
};

struct worker_state {
	struct auth_chain *chain;
	const struct auth_options *options;
	int sock;
	pid_t pid;
	char host[256];
	VEC(struct open_conv) open;
	struct buf in, out;
	struct arena *arena; /* of one message; wiped */
};

/*
 * A module may have forked and returned in the child as well. The child must not go on as if it were the
 * worker: its answers would come from nowhere.
 */
static void only_the_worker(const struct worker_state *w)
{
	if (getpid() != w->pid)
		_exit(1);
}

static void answer(struct worker_state *w)
{
	only_the_worker(w);
	if (w->out.n > PACK_MAX || io_send(w->sock, w->out.p, w->out.n, NULL, 0) != 0)
		_exit(1);
	mem_wipe(w->out.p, w->out.n);
}

static size_t find_open(const struct worker_state *w, uint64_t id)
{
	size_t i;

	for (i = 0; i < w->open.n; i++)
		if (w->open.v[i].id == id)
			return i;
	return SIZE_MAX;
}

static void close_conv(struct worker_state *w, size_t i)
{
	auth_conv_free(&w->open.v[i].conv);
	vec_remove(&w->open, i);
}

static void say_bad(struct worker_state *w, uint64_t id, const char *text)
{
	pack_start(&w->out, WORK_BAD);
	pack_u64(&w->out, id);
	pack_cstr(&w->out, text);
	answer(w);
}

/* The conversation proved somebody or gave up: what became of it. */
static void say_end(
    struct worker_state *w, uint64_t id, struct auth_conv *v, uint64_t deadline, struct str server_last)
{
	struct buf why = {.limit = WORK_WHY_MAX};
	struct auth_identity identity;
	int r = auth_conv_identity(v, deadline, w->arena, &identity, &why);
	/* Cut: the name is whatever the client sent. */
	struct str user = str_sub(str_of(auth_conv_user(v)), 0, AUTH_USER_MAX);

	pack_start(&w->out, r == MORTISE_AUTH_OK ? WORK_DONE : WORK_FAIL);
	pack_u64(&w->out, id);
	if (r == MORTISE_AUTH_OK) {
		pack_str(&w->out, server_last);
		pack_str(&w->out, user);
		pack_str(&w->out, buf_str(&why));
		work_pack_ids(&w->out, &identity);
		work_pack_options(&w->out, &identity);
	} else {
		pack_u32(&w->out, (uint32_t)r);
		pack_str(&w->out, user);
		pack_str(&w->out, buf_str(&why));
	}
	buf_free(&why);
	answer(w);
}

/* Tells the parent where the conversation stands; it stays open only after CONTINUE. */
static void report(struct worker_state *w, size_t i, int outcome, uint64_t deadline, struct buf *challenge)
{
	uint64_t id = w->open.v[i].id;

	only_the_worker(w);
	switch (outcome) {
	case MORTISE_SASL_CONTINUE:
		pack_start(&w->out, WORK_CHALLENGE);
		pack_u64(&w->out, id);
		pack_str(&w->out, str_mem(challenge->n > 0 ? challenge->p : "", challenge->n));
		answer(w);
		return;
	case MORTISE_SASL_BAD:
		say_bad(w, id, "malformed SASL message");
		break;
	default:
		say_end(w, id, w->open.v[i].conv, deadline, buf_str(challenge));
		break;
	}
	close_conv(w, i);
}

static bool on_start(struct worker_state *w, struct unpack *u)
{
	uint64_t id = unpack_u64(u), deadline = unpack_u64(u);
	struct str mechanism = unpack_str(u), initial = unpack_str(u);
	struct auth_facts f = {.service = unpack_cstr(u, w->arena)};
	struct buf challenge = {.limit = PACK_MAX / 2};
	struct auth_conv *v;
	int outcome;

	f.remote = unpack_cstr(u, w->arena);
	f.local = unpack_cstr(u, w->arena);
	f.host = unpack_cstr(u, w->arena);
	f.tls = unpack_u32(u) != 0;
	f.exporter = unpack_str(u);
	f.endpoint = unpack_str(u);
	if (!unpack_done(u) || find_open(w, id) != SIZE_MAX)
		return false;
	outcome = auth_conv_start(w->chain, &f, mechanism, initial, deadline, &v, &challenge);
	if (v == NULL) {
		say_bad(w, id, "mechanism not available");
	} else {
		*vec_push(&w->open) = (struct open_conv){id, v};
		report(w, w->open.n - 1, outcome, deadline, &challenge);
	}
	buf_wipe(&challenge);
	return true;
}

static bool on_step(struct worker_state *w, struct unpack *u)
{
	uint64_t id = unpack_u64(u), deadline = unpack_u64(u);
	struct str response = unpack_str(u);
	struct buf challenge = {.limit = PACK_MAX / 2};
	size_t i = find_open(w, id);

	if (!unpack_done(u) || i == SIZE_MAX)
		return false;
	report(w, i, auth_conv_step(w->open.v[i].conv, response, deadline, &challenge), deadline, &challenge);
	buf_wipe(&challenge);
	return true;
}

static bool on_cancel(struct worker_state *w, struct unpack *u)
{
	uint64_t id = unpack_u64(u);
	size_t i = find_open(w, id);

	if (!unpack_done(u))
		return false;
	if (i != SIZE_MAX)
		close_conv(w, i);
	return true;
}

static bool handle(struct worker_state *w, size_t n)
{
	struct unpack u;

	switch (unpack_start(&u, w->in.p, n)) {
	case WORK_START:
		return on_start(w, &u);
	case WORK_STEP:
		return on_step(w, &u);
	case WORK_CANCEL:
		return on_cancel(w, &u);
	default:
		return false;
	}
}

_Noreturn void work_run(struct registry *g, const struct auth_options *o, bool unprivileged, int sock)
{
	struct worker_state w = {.options = o, .sock = sock, .pid = getpid()};

	registry_start(g, MORTISE_KIND_PASSWORD);
	registry_start(g, MORTISE_KIND_SASL);
	only_the_worker(&w);
	w.chain = auth_chain_new(g, o, unprivileged);
	w.arena = arena_new_secret("auth message");
	buf_reserve(&w.in, PACK_MAX);
	buf_reserve(&w.out, PACK_MAX / 4); /* more would not be kept by buf_reset */
	pack_start(&w.out, WORK_READY);
	answer(&w);
	for (;;) {
		ssize_t n = io_recv(w.sock, w.in.p, PACK_MAX, NULL, NULL);

		if (n <= 0)
			break;
		if (!handle(&w, (size_t)n)) {
			log_msg(MSG_AUTH_WORKER_CONFUSED, "a worker cannot understand its parent");
			_exit(1);
		}
		only_the_worker(&w);
		mem_wipe(w.in.p, (size_t)n);
		arena_clear(w.arena);
	}
	while (w.open.n > 0)
		close_conv(&w, w.open.n - 1);
	registry_stop(g, MORTISE_KIND_SASL);
	registry_stop(g, MORTISE_KIND_PASSWORD);
	_exit(0);
}
