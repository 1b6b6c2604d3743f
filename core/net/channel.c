#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>

#include "base/io.h"
#include "base/mem.h"
#include "net/channel.h"
#include "net/tls.h"
#include "base/banned.h"

#define CHANNEL_MAGIC 0x6368616eu
/* Post-handshake messages (KeyUpdate) a peer may send without sending data in between. */
#define CHANNEL_KEY_UPDATES 64u

enum io_result { IO_SOME, IO_BLOCKED, IO_ENDED, IO_FAILED };

struct channel {
	uint32_t magic;
	int fd;
	struct event_base *base;
	struct event *readable, *writable, *again;
	const struct channel_events *events;
	void *arg;
	struct buf in, out;
	SSL *ssl;
	bool shaking;             /* handshake not done */
	bool read_wants_write;    /* TLS: the next read needs the socket writable */
	bool write_wants_read;    /* TLS: the next write needs the socket readable */
	bool paused, ended, dead; /* no reading by wish; peer's end came; failed was told */
	bool finishing, finished; /* our end is to be sent; was sent */
	bool keeps, deaf;         /* a peer that reads no more is no failure; it reads no more */
	bool told_drained;        /* drained was told for what was written last */
	unsigned key_updates;
	const char *why;
	bool *freed; /* set when the owner frees the channel in one of its events */
};

static void schedule(struct channel *c);

/* Calls an owner's event; false when the channel is gone afterwards. */
static bool tell(struct channel *c, void (*event)(void *arg))
{
	bool freed = false, *outer = c->freed;

	c->freed = &freed;
	event(c->arg);
	if (freed) {
		if (outer != NULL)
			*outer = true;
		return false;
	}
	c->freed = outer;
	return true;
}

static void fail(struct channel *c, const char *why)
{
	if (c->dead)
		return;
	c->dead = true;
	event_del(c->readable);
	event_del(c->writable);
	c->events->failed(c->arg, why);
}

/* What an SSL_… call's failure means. `blocked_other` is set when it waits for the other direction. */
static enum io_result tls_result(struct channel *c, int r, int waits_for, bool *blocked_other)
{
	int why = SSL_get_error(c->ssl, r);

	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
		*blocked_other = why != waits_for;
		return IO_BLOCKED;
	}
	if (why == SSL_ERROR_ZERO_RETURN)
		return IO_ENDED;
	if (why == SSL_ERROR_SYSCALL) {
		c->why = errno != 0 ? strerror(errno) : "connection closed";
		ERR_clear_error();
		return IO_FAILED;
	}
	if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING && !c->shaking) {
		ERR_clear_error();
		return IO_ENDED;
	}
	c->why = tls_reason();
	return IO_FAILED;
}

static enum io_result read_some(struct channel *c)
{
	size_t room = CHANNEL_INPUT - c->in.n;
	ssize_t got;

	buf_reserve(&c->in, room);
	c->read_wants_write = false;
	if (c->ssl != NULL) {
		errno = 0;
		got = SSL_read(c->ssl, c->in.p + c->in.n, (int)room);
		if (got <= 0)
			return tls_result(c, (int)got, SSL_ERROR_WANT_READ, &c->read_wants_write);
		c->key_updates = 0;
	} else {
		do
			got = read(c->fd, c->in.p + c->in.n, room);
		while (got < 0 && errno == EINTR);
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return IO_BLOCKED;
		if (got < 0) {
			c->why = strerror(errno);
			return IO_FAILED;
		}
		if (got == 0)
			return IO_ENDED;
	}
	c->in.n += (size_t)got;
	c->in.p[c->in.n] = '\0';
	return IO_SOME;
}

static enum io_result write_some(struct channel *c)
{
	ssize_t put;

	c->write_wants_read = false;
	if (c->ssl != NULL) {
		size_t n = c->out.n < 16384 ? c->out.n : 16384;

		errno = 0;
		put = SSL_write(c->ssl, c->out.p, (int)n);
		if (put <= 0)
			return tls_result(c, (int)put, SSL_ERROR_WANT_WRITE, &c->write_wants_read);
	} else {
		do
			put = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
		while (put < 0 && errno == EINTR);
		if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return IO_BLOCKED;
		if (put < 0) {
			c->why = strerror(errno);
			return IO_FAILED;
		}
	}
	buf_consume(&c->out, (size_t)put);
	return IO_SOME;
}

/* The handshake; true when it is over and the channel still there. */
static bool shake(struct channel *c)
{
	bool other = false;
	int r;

	errno = 0;
	r = SSL_accept(c->ssl);
	if (r == 1) {
		c->shaking = false;
		c->key_updates = 0;
		return tell(c, c->events->secured);
	}
	switch (tls_result(c, r, SSL_ERROR_WANT_READ, &other)) {
	case IO_BLOCKED:
		c->read_wants_write = other;
		schedule(c);
		return false;
	case IO_ENDED:
	case IO_SOME:
		c->why = "connection closed";
		break;
	case IO_FAILED:
		break;
	}
	fail(c, c->why);
	return false;
}

/* Sends our end of the conversation once. */
static void send_end(struct channel *c)
{
	if (c->ssl != NULL && !c->shaking)
		(void)SSL_shutdown(c->ssl);
	ERR_clear_error();
	(void)shutdown(c->fd, SHUT_WR);
	c->finished = true;
}

/* Writes what there is; false when the channel is gone or dead. */
static bool push(struct channel *c)
{
	enum io_result r = IO_SOME;

	if (c->deaf)
		return true;
	while (c->out.n > 0 && r == IO_SOME)
		r = write_some(c);
	if (r == IO_FAILED && c->keeps && errno == EPIPE) {
		c->deaf = true;
		return true;
	}
	if (r == IO_FAILED || r == IO_ENDED) {
		fail(c, r == IO_ENDED ? "connection closed" : c->why);
		return false;
	}
	if (c->out.n > 0 || c->told_drained)
		return true;
	c->told_drained = true;
	if (c->finishing && !c->finished)
		send_end(c);
	return tell(c, c->events->drained);
}

/* Reads once and tells; false when the channel is gone or dead. */
static bool pull(struct channel *c)
{
	size_t before = c->in.n;

	if (c->paused || c->ended || c->in.n >= CHANNEL_INPUT)
		return true;
	switch (read_some(c)) {
	case IO_SOME:
		break;
	case IO_BLOCKED:
		return true;
	case IO_ENDED:
		c->ended = true;
		return tell(c, c->events->ended);
	case IO_FAILED:
		fail(c, c->why);
		return false;
	}
	return c->in.n == before || tell(c, c->events->input);
}

static void on_event(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct channel *c = arg;

	CHECK_OBJ(c, CHANNEL_MAGIC);
	if (c->dead)
		return;
	if (c->shaking && !shake(c))
		return;
	if (!push(c) || !pull(c))
		return;
	/* An event may have added output or room. */
	if (c->out.n > 0 && !push(c))
		return;
	schedule(c);
}

/* Tells the loop what to wait for. Octets TLS has already decrypted raise no event by themselves. */
static void schedule(struct channel *c)
{
	bool reading = !c->paused && !c->ended && c->in.n < CHANNEL_INPUT;
	bool writing = c->out.n > 0 && !c->deaf;
	bool want_read = (reading && !c->read_wants_write) || (writing && c->write_wants_read);
	bool want_write = (writing && !c->write_wants_read) || (reading && c->read_wants_write);

	if (c->dead)
		return;
	if (c->shaking) {
		want_read = !c->read_wants_write;
		want_write = c->read_wants_write;
	}
	if (want_read)
		event_add(c->readable, NULL);
	else
		event_del(c->readable);
	if (want_write)
		event_add(c->writable, NULL);
	else
		event_del(c->writable);
	if (reading && c->ssl != NULL && !c->shaking && SSL_pending(c->ssl) > 0)
		event_active(c->again, EV_TIMEOUT, 1);
}

struct channel *channel_new(struct event_base *base, int fd, const struct channel_events *events, void *arg)
{
	struct channel *c = mem_new(struct channel);

	c->magic = CHANNEL_MAGIC;
	c->fd = fd;
	c->base = base;
	c->events = events;
	c->arg = arg;
	c->told_drained = true;
	(void)io_nonblock(fd, 1);
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_event, c);
	c->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, on_event, c);
	c->again = event_new(base, -1, 0, on_event, c);
	ASSERT(c->readable != NULL && c->writable != NULL && c->again != NULL);
	schedule(c);
	return c;
}

static void dismantle(struct channel *c)
{
	if (c->freed != NULL)
		*c->freed = true;
	event_free(c->readable);
	event_free(c->writable);
	event_free(c->again);
	if (c->ssl != NULL)
		SSL_free(c->ssl);
	ERR_clear_error();
	buf_wipe(&c->in);
	buf_wipe(&c->out);
	c->magic = 0;
	mem_free(c);
}

void channel_free(struct channel **cp)
{
	struct channel *c;
	int fd;

	if (*cp == NULL)
		return;
	TAKE_OBJ(c, cp, CHANNEL_MAGIC);
	fd = c->fd;
	dismantle(c);
	close(fd);
}

/* Counts messages of the handshake layer that come after it: a flood of KeyUpdate costs more than it says. */
static void on_message(
    int writing, int version UNUSED, int type, const void *p UNUSED, size_t n UNUSED, SSL *ssl, void *arg)
{
	struct channel *c = arg;

	if (!writing && type == SSL3_RT_HANDSHAKE && !c->shaking && ++c->key_updates > CHANNEL_KEY_UPDATES)
		SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
}

void channel_start_tls(struct channel *c, SSL_CTX *ctx)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	ASSERT(c->ssl == NULL && c->out.n == 0);
	buf_wipe(&c->in);
	c->ssl = SSL_new(ctx);
	ASSERT(c->ssl != NULL);
	SSL_set_msg_callback(c->ssl, on_message);
	SSL_set_msg_callback_arg(c->ssl, c);
	SSL_set_accept_state(c->ssl);
	SSL_set_fd(c->ssl, c->fd);
	c->shaking = true;
	schedule(c);
}

const SSL *channel_tls(const struct channel *c)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	return c->shaking ? NULL : c->ssl;
}

struct buf *channel_input(struct channel *c)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	return &c->in;
}

void channel_consumed(struct channel *c)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	if (c->in.n == 0)
		buf_wipe(&c->in); /* an idle connection keeps no buffer, and passwords do not stay */
	schedule(c);
}

void channel_pause(struct channel *c, bool pause)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	c->paused = pause;
	schedule(c);
}

void channel_write(struct channel *c, struct str octets)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	if (c->dead || c->finishing || octets.n == 0)
		return;
	buf_addstr(&c->out, octets);
	c->told_drained = false;
	schedule(c);
}

size_t channel_pending(const struct channel *c)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	return c->out.n;
}

void channel_keep_unsent(struct channel *c)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	c->keeps = true;
}

struct str channel_unsent(const struct channel *c)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	return buf_str(&c->out);
}

void channel_finish(struct channel *c)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	if (c->finishing || c->dead)
		return;
	c->finishing = true;
	if (c->out.n == 0)
		send_end(c);
}

bool channel_ended(const struct channel *c)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	return c->ended;
}

int channel_fd(const struct channel *c)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	return c->fd;
}

void channel_set_events(struct channel *c, const struct channel_events *events)
{
	CHECK_OBJ(c, CHANNEL_MAGIC);
	c->events = events;
}
