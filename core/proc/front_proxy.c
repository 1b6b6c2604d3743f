#include <unistd.h>

#include "log/log.h"
#include "proc/front_int.h"
#include "base/banned.h"

/* Carries what `from` has received, as far as `to` takes it; stops `from` when `to` is full. */
static void carry(struct connection *c, struct channel *from, struct channel *to)
{
	struct buf *in = channel_input(from);

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

	channel_write(c->session, buf_str(channel_input(c->client)));
	buf_reset(channel_input(c->client));
	channel_finish(c->session);
}

/* The session is over: its last words go out, in bounded time. */
static void on_session_ended(void *arg)
{
	struct connection *c = arg;

	channel_write(c->client, buf_str(channel_input(c->session)));
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
	channel_set_events(c->client, &client_events);
	channel_pause(c->client, false);
}
