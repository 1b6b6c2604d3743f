#include <errno.h>

#include "auth/messages.h"
#include "auth/pool_int.h"
#include "auth/work.h"
#include "base/clock.h"
#include "base/io.h"
#include "log/log.h"
#include "base/banned.h"

#define MESSAGES_A_TURN 16 /* of one front, before the others get theirs */
#define MECHANISM_MAX 20u  /* RFC 4422 §3.1 */
#define FACT_MAX 128u      /* service, addresses */

struct front *front_new(struct auth_pool *p, int fd)
{
	struct front *f = mem_new(struct front);

	f->magic = FRONT_MAGIC;
	f->fd = fd;
	(void)io_nonblock(fd, 1);
	(void)io_cloexec(fd, 1);
	*vec_push(&p->fronts) = f;
	return f;
}

static struct attempt *any_attempt(struct auth_pool *p, const struct front *f)
{
	size_t i;

	for (i = 0; i < p->attempts.n; i++)
		if (p->attempts.v[i]->front == f)
			return p->attempts.v[i];
	return NULL;
}

/* The front does not want an answer any more. */
static void abandon(struct auth_pool *p, struct attempt *t)
{
	if (t->state == ATTEMPT_RUNNING) {
		t->front->attempts--;
		t->front = NULL; /* the worker's answer still counts as a failure */
		return;
	}
	if (t->worker != NULL)
		worker_forget(p, t);
	attempt_free(p, t);
}

void front_free(struct auth_pool *p, struct front *f)
{
	struct attempt *t;
	size_t i;

	CHECK_OBJ(f, FRONT_MAGIC);
	while ((t = any_attempt(p, f)) != NULL)
		abandon(p, t);
	for (i = 0; i < p->fronts.n; i++)
		if (p->fronts.v[i] == f) {
			vec_remove(&p->fronts, i);
			break;
		}
	for (i = 0; i < f->out.n; i++)
		buf_wipe(&f->out.v[i]);
	vec_free(&f->out);
	io_close(&f->fd);
	f->magic = 0;
	mem_free(f);
}

/* 1 sent, 0 not now, -1 never. */
static int try_send(struct front *f, const struct buf *message)
{
	if (io_send(f->fd, message->p, message->n, NULL, 0) == 0)
		return 1;
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -1;
}

void front_flush(struct front *f)
{
	while (f->out.n > 0 && !f->broken) {
		int r = try_send(f, &f->out.v[0]);

		if (r == 0)
			return;
		if (r < 0)
			f->broken = true;
		f->out_size -= f->out.v[0].n;
		buf_wipe(&f->out.v[0]);
		vec_remove(&f->out, 0);
	}
}

void front_send(struct front *f, const struct buf *message)
{
	struct buf copy = BUF_INIT;
	int r = 0;

	if (f->broken)
		return;
	if (f->out.n == 0 && (r = try_send(f, message)) == 1)
		return;
	if (r < 0 || f->out_size + message->n > FRONT_OUT_MAX) {
		f->broken = true;
		return;
	}
	buf_addstr(&copy, buf_str(message));
	f->out_size += copy.n;
	*vec_push(&f->out) = copy;
}

void front_offer(struct auth_pool *p, struct front *f)
{
	pack_start(&p->out, AUTH_OFFER);
	pack_cstr(&p->out, buf_cstr(&p->offer_tls));
	pack_cstr(&p->out, buf_cstr(&p->offer_clear));
	front_send(f, &p->out);
}

void front_challenge(struct auth_pool *p, struct attempt *t, struct str octets)
{
	struct buf message = BUF_INIT; /* octets may be a window into p->in, not into p->out */

	(void)p;
	pack_start(&message, AUTH_CHALLENGE);
	pack_u64(&message, t->id);
	pack_str(&message, octets);
	front_send(t->front, &message);
	buf_wipe(&message);
}

void front_bad(struct auth_pool *p, struct front *f, uint64_t id, const char *text)
{
	pack_start(&p->out, AUTH_BAD);
	pack_u64(&p->out, id);
	pack_cstr(&p->out, text);
	front_send(f, &p->out);
}

void front_no(struct auth_pool *p, struct front *f, uint64_t id, int result)
{
	pack_start(&p->out, AUTH_NO);
	pack_u64(&p->out, id);
	pack_u32(&p->out, (uint32_t)result);
	front_send(f, &p->out);
}

static struct attempt *find_attempt(struct auth_pool *p, const struct front *f, uint64_t id)
{
	size_t i;

	for (i = 0; i < p->attempts.n; i++)
		if (p->attempts.v[i]->front == f && p->attempts.v[i]->id == id)
			return p->attempts.v[i];
	return NULL;
}

/* What a front says about its connection: short, printable, no controls. */
static bool fact_ok(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] >= 0x7f)
			return false;
	return s.p != NULL && s.n <= FACT_MAX;
}

static bool mechanism_ok(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return s.p != NULL && s.n <= MECHANISM_MAX;
}

static size_t share(const struct auth_pool *p, uint64_t whole)
{
	size_t part = (size_t)whole / (p->fronts.n > 0 ? p->fronts.n : 1);

	return part > 0 ? part : 1;
}

struct start {
	uint64_t id;
	struct str mechanism, initial, service, remote, local, exporter, endpoint;
	uint32_t tls;
};

static void begin_attempt(struct auth_pool *p, struct front *f, const struct start *s)
{
	struct attempt *t = attempt_new(p, f, s->id);
	uint64_t wait;

	t->mechanism = arena_strndup(t->arena, s->mechanism.p, s->mechanism.n);
	t->service = arena_strndup(t->arena, s->service.p, s->service.n);
	t->remote = arena_strndup(t->arena, s->remote.p, s->remote.n);
	t->local = arena_strndup(t->arena, s->local.p, s->local.n);
	t->tls = s->tls != 0;
	t->exporter = auth_binding(t->arena, s->exporter);
	t->endpoint = auth_binding(t->arena, s->endpoint);
	t->has_input = s->initial.p != NULL;
	buf_addstr(&t->input, s->initial);
	wait = throttle_address(p->throttle, t->remote);
	if (wait > 0)
		attempt_state(t, ATTEMPT_THROTTLED, t->asked + wait);
	else
		attempt_state(t, ATTEMPT_QUEUED, t->asked + p->options->attempt_timeout);
}

/* false: the front broke the protocol. */
static bool on_start(struct auth_pool *p, struct front *f, struct unpack *u)
{
	struct start s = {.id = unpack_u64(u)};
	struct buf *offer;

	s.mechanism = unpack_str(u);
	s.initial = unpack_str(u);
	s.service = unpack_str(u);
	s.remote = unpack_str(u);
	s.local = unpack_str(u);
	s.tls = unpack_u32(u);
	s.exporter = unpack_str(u);
	s.endpoint = unpack_str(u);
	if (!unpack_done(u) || s.tls > 1 || s.exporter.n > AUTH_BINDING_MAX ||
	    s.endpoint.n > AUTH_BINDING_MAX || s.service.n == 0 || !fact_ok(s.service) ||
	    !fact_ok(s.remote) || !fact_ok(s.local) || s.mechanism.p == NULL ||
	    find_attempt(p, f, s.id) != NULL)
		return false;
	offer = s.tls != 0 ? &p->offer_tls : &p->offer_clear;
	if (!mechanism_ok(s.mechanism) || !auth_offered(buf_str(offer), s.mechanism)) {
		front_bad(p, f, s.id, "mechanism not available");
		return true;
	}
	if (s.initial.n > p->options->response_max) {
		front_bad(p, f, s.id, "SASL message too long");
		return true;
	}
	if (f->attempts >= share(p, p->options->conversations_max) ||
	    f->queued >= share(p, p->options->queue_max) || p->refuse ||
	    (p->attempts.n >= p->options->conversations_max && !answer_make_room(p))) {
		if (!p->refuse)
			log_msg(MSG_AUTH_FULL, "too many attempts at one time: %zu open", p->attempts.n);
		front_no(p, f, s.id, MORTISE_AUTH_TEMP);
		return true;
	}
	begin_attempt(p, f, &s);
	return true;
}

static bool on_step(struct auth_pool *p, struct front *f, struct unpack *u)
{
	uint64_t id = unpack_u64(u);
	struct str response = unpack_str(u);
	struct attempt *t;

	if (!unpack_done(u) || response.p == NULL)
		return false;
	t = find_attempt(p, f, id);
	if (t == NULL)
		return true; /* our time-out and the client's answer crossed */
	if (t->state != ATTEMPT_CLIENT)
		return false; /* it was not asked anything */
	if (response.n > p->options->response_max) {
		front_bad(p, f, id, "SASL message too long");
		abandon(p, t);
		return true;
	}
	buf_reset(&t->input);
	buf_addstr(&t->input, response);
	t->asked = clock_ms();
	attempt_state(t, ATTEMPT_STEP, 0);
	return true;
}

static bool on_cancel(struct auth_pool *p, struct front *f, struct unpack *u)
{
	uint64_t id = unpack_u64(u);
	struct attempt *t;

	if (!unpack_done(u))
		return false;
	t = find_attempt(p, f, id);
	if (t != NULL)
		abandon(p, t);
	return true;
}

static bool handle(struct auth_pool *p, struct front *f, size_t n)
{
	struct unpack u;

	switch (unpack_start(&u, p->in.p, n)) {
	case AUTH_START:
		return on_start(p, f, &u);
	case AUTH_STEP:
		return on_step(p, f, &u);
	case AUTH_CANCEL:
		return on_cancel(p, f, &u);
	default:
		return false;
	}
}

void front_read(struct auth_pool *p, struct front *f)
{
	unsigned i;

	for (i = 0; i < MESSAGES_A_TURN && !f->broken; i++) {
		ssize_t n = io_recv(f->fd, p->in.p, PACK_MAX, NULL, NULL);

		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n == 0 || (n < 0 && errno != EMSGSIZE)) {
			f->broken = true;
			return;
		}
		if (n < 0 || !handle(p, f, (size_t)n)) {
			log_msg(MSG_AUTH_FRONT_NONSENSE, "a front broke the protocol and is disconnected");
			f->broken = true;
		}
		mem_wipe(p->in.p, n > 0 ? (size_t)n : PACK_MAX);
	}
}
