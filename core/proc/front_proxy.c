#include <unistd.h>

#include "log/log.h"
#include "proc/front_int.h"
#include "base/banned.h"

/* Carries what `from` has received, as far as `to` takes it; stops `from` when `to` is full. */
static void carry(struct connection *c, struct channel *from, struct channel *to)
{
	struct buf *in;

	if (c->session == NULL)
		return; /* CONNECTION_ENDED */
	in = channel_input(from);
	if (channel_pending(to) >= c->front->limits.output_buffer) {
		channel_pause(from, true);
		return;
	}
	if (in->n > 0) {
		channel_write(to, buf_str(in));
		buf_reset(in);
		channel_consumed(from);
	}
	channel_pause(from, channel_pending(to) >= c->front->limits.output_buffer);
}

static void on_client_input(void *arg)
{
	struct connection *c = arg;

	carry(c, c->client, c->session);
}

static void on_session_input(void *arg)
{
	struct connection *c = arg;

	carry(c, c->session, c->client);
}

/* Room towards the session: more from the client. */
static void on_session_drained(void *arg)
{
	struct connection *c = arg;

	carry(c, c->client, c->session);
}

static void on_client_drained(void *arg)
{
	struct connection *c = arg;

	carry(c, c->session, c->client);
}

/* The client sends no more: the session sees that after the last octet, and ends. */
static void on_client_ended(void *arg)
{
	struct connection *c = arg;

	if (c->session == NULL)
		return;
	channel_write(c->session, buf_str(channel_input(c->client)));
	buf_reset(channel_input(c->client));
	channel_finish(c->session);
}

/*
 * Back to where nobody is logged in, on the same connection, under the same TLS. Everything that a session
 * was told is with it; what the client sends now is read by a new pre-login machine.
 */
static void unauthenticate(struct connection *c)
{
	struct front *f = c->front;
	struct timeval t = {.tv_sec = (time_t)(f->limits.login_time / 1000),
	    .tv_usec = (suseconds_t)(f->limits.login_time % 1000 * 1000)};

	log_debug("proc", "%s: unauthenticated", c->remote);
	TAILQ_REMOVE(&f->proxied, c, entry);
	f->proxied_count--;
	TAILQ_INSERT_TAIL(&f->waiting, c, entry);
	f->waiting_count++;
	c->waiting = true;
	c->unauthenticated = c->told_end = false;
	c->prelogin = prelogin_new(&f->prelogin, c->tls);
	c->state = CONNECTION_PRELOGIN;
	channel_set_events(c->client, &connection_events);
	event_add(c->timer, &t);
	if (f->draining) {
		connection_bye(c, "UNAVAILABLE", "The server is shutting down");
		return;
	}
	channel_pause(c->client, false);
	if (channel_input(c->client)->n > 0)
		login_run(c);
}

/* What the client sent and the session did not take comes first. False: it is too much. */
static bool take_back(struct connection *c)
{
	struct buf *in = channel_input(c->client);

	if (c->unsent.n + in->n > CHANNEL_INPUT)
		return false;
	buf_addstr(&c->unsent, buf_str(in));
	buf_wipe(in);
	buf_addstr(in, buf_str(&c->unsent));
	buf_wipe(&c->unsent);
	return true;
}

/* The session's end has come, and the spawner has said how it ended. */
static void conclude(struct connection *c)
{
	if (!c->unauthenticated || channel_ended(c->client)) {
		connection_close(c);
	} else if (!take_back(c)) {
		connection_bye(c, NULL, "Too much was sent behind UNAUTHENTICATE");
	} else {
		unauthenticate(c);
	}
}

void proxy_session_over(struct connection *c, bool unauthenticated)
{
	c->unauthenticated = unauthenticated;
	c->told_end = true;
	if (c->state == CONNECTION_ENDED)
		conclude(c);
}

void proxy_lost(struct front *f)
{
	struct connection *c, *next;

	for (c = TAILQ_FIRST(&f->proxied); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->state == CONNECTION_ENDED)
			connection_close(c);
	}
}

/* The session is over: its last words go out, in bounded time. Whether the connection is, the spawner says.
 */
static void on_session_ended(void *arg)
{
	struct connection *c = arg;
	struct timeval t = {.tv_sec = (time_t)(c->front->limits.linger / 1000),
	    .tv_usec = (suseconds_t)(c->front->limits.linger % 1000 * 1000)};

	channel_write(c->client, buf_str(channel_input(c->session)));
	buf_addstr(&c->unsent, channel_unsent(c->session));
	channel_free(&c->session);
	c->state = CONNECTION_ENDED;
	channel_pause(c->client, true);
	event_add(c->timer, &t);
	if (c->told_end)
		conclude(c);
	else if (c->front->spawner == NULL)
		connection_close(c);
}

static void on_failed(void *arg, const char *why)
{
	struct connection *c = arg;

	log_debug("proc", "%s: %s", c->remote, why);
	connection_free(&c);
}

static void on_secured(void *arg UNUSED)
{
}

static const struct channel_events client_events = {.input = on_client_input,
    .drained = on_client_drained,
    .secured = on_secured,
    .ended = on_client_ended,
    .failed = on_failed};

/* The session's socket breaking is the session's end: what it wrote before still goes out. */
static void on_session_failed(void *arg, const char *why)
{
	struct connection *c = arg;

	log_debug("proc", "%s: session: %s", c->remote, why);
	on_session_ended(arg);
}

static const struct channel_events session_events = {.input = on_session_input,
    .drained = on_session_drained,
    .secured = on_secured,
    .ended = on_session_ended,
    .failed = on_session_failed};

void proxy_start(struct connection *c, int fd)
{
	struct front *f = c->front;
	struct buf *in = channel_input(c->client);

	buf_reset(in); /* the session was given it */
	channel_consumed(c->client);
	event_del(c->timer);
	prelogin_free(&c->prelogin);
	TAILQ_REMOVE(&f->waiting, c, entry);
	f->waiting_count--;
	c->waiting = false;
	TAILQ_INSERT_TAIL(&f->proxied, c, entry);
	f->proxied_count++;
	c->state = CONNECTION_PROXY;
	c->session = channel_new(f->base, fd, &session_events, c);
	channel_keep_unsent(c->session);
	channel_set_events(c->client, &client_events);
	channel_pause(c->client, false);
}
