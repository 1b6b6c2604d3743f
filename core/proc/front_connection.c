#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "log/log.h"
#include "proc/front_int.h"
#include "base/banned.h"

#define CONNECTION_MAGIC 0x636f6e6eu

static void after(struct event *timer, uint64_t ms)
{
	struct timeval t = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	event_add(timer, &t);
}

struct connection *connection_by_id(struct front *f, uint64_t id)
{
	struct connection *c;

	LIST_FOREACH (c, &f->by_id[id % FRONT_BUCKETS], chain)
		if (c->id == id)
			return c;
	return NULL;
}

static struct origin *origin_enter(struct front *f, const char *key)
{
	struct origin_bucket *bucket = &f->origins[str_hash(str_of(key)) % FRONT_BUCKETS];
	struct origin *o;

	LIST_FOREACH (o, bucket, chain)
		if (strcmp(o->key, key) == 0)
			break;
	if (o == NULL) {
		o = mem_new(struct origin);
		(void)snprintf(o->key, sizeof(o->key), "%s", key);
		LIST_INSERT_HEAD(bucket, o, chain);
	}
	o->count++;
	return o;
}

static void origin_leave(struct origin *o)
{
	o->told = false;
	if (--o->count > 0)
		return;
	LIST_REMOVE(o, chain);
	mem_free(o);
}

void connection_free(struct connection **cp)
{
	struct connection *c;
	struct front *f;

	TAKE_OBJ(c, cp, CONNECTION_MAGIC);
	f = c->front;
	if (c->waiting) {
		TAILQ_REMOVE(&f->waiting, c, entry);
		f->waiting_count--;
	} else {
		TAILQ_REMOVE(&f->proxied, c, entry);
		f->proxied_count--;
	}
	LIST_REMOVE(c, chain);
	origin_leave(c->origin);
	channel_free(&c->client);
	channel_free(&c->session);
	buf_wipe(&c->unsent);
	io_close(&c->session_fd);
	prelogin_free(&c->prelogin);
	event_free(c->timer);
	mem_wipe(c, sizeof(*c));
	mem_free(c);
	front_connection_gone(f);
}

static void cancel_auth(struct connection *c)
{
	AUTO_BUF struct buf b = BUF_INIT;

	if (c->state != CONNECTION_AUTH || c->front->auth == NULL)
		return;
	pack_start(&b, AUTH_CANCEL);
	pack_u64(&b, c->id);
	(void)link_send(c->front->auth, &b, NULL, 0);
}

/*
 * The end of our half is sent and the client's half read until it ends too: closing at once with unread input
 * would make the kernel answer with a reset, which can overtake our last words.
 */
void connection_close(struct connection *c)
{
	c->state = CONNECTION_CLOSING;
	channel_free(&c->session);
	channel_set_events(c->client, &connection_events);
	channel_finish(c->client);
	buf_reset(channel_input(c->client));
	channel_consumed(c->client);
	channel_pause(c->client, false);
	after(c->timer, c->front->limits.linger);
	if (channel_ended(c->client) && channel_pending(c->client) == 0)
		connection_free(&c);
}

void connection_hurry(struct connection *c)
{
	if (c->state == CONNECTION_CLOSING)
		after(c->timer, c->front->limits.linger);
}

void connection_bye(struct connection *c, const char *code, const char *text)
{
	AUTO_BUF struct buf out = BUF_INIT;

	cancel_auth(c);
	if (c->state == CONNECTION_HANDSHAKE || c->state == CONNECTION_TURNING ||
	    c->state == CONNECTION_CLOSING) {
		connection_free(&c);
		return;
	}
	prelogin_bye(&out, code, text);
	channel_write(c->client, buf_str(&out));
	connection_close(c);
}

/* ---- events of the client's channel before login ---- */

static void on_input(void *arg)
{
	struct connection *c = arg;

	CHECK_OBJ(c, CONNECTION_MAGIC);
	if (c->state == CONNECTION_PRELOGIN) {
		login_run(c);
	} else if (c->state == CONNECTION_CLOSING) {
		buf_reset(channel_input(c->client));
		channel_consumed(c->client);
	}
}

static void on_drained(void *arg)
{
	struct connection *c = arg;

	CHECK_OBJ(c, CONNECTION_MAGIC);
	if (c->state == CONNECTION_CLOSING && channel_ended(c->client)) {
		connection_free(&c);
	} else if (c->state == CONNECTION_TURNING) {
		channel_pause(c->client, false);
		channel_start_tls(c->client, c->front->tls);
	} else if (c->state == CONNECTION_SPAWN && c->spawn_waits) {
		login_spawn(c);
	} else if (c->state == CONNECTION_PRELOGIN) {
		channel_pause(c->client, false);
		login_run(c);
	}
}

static void on_secured(void *arg)
{
	struct connection *c = arg;

	CHECK_OBJ(c, CONNECTION_MAGIC);
	log_debug("net", "%s: %s %s", c->remote, SSL_get_version(channel_tls(c->client)),
	    SSL_get_cipher_name(channel_tls(c->client)));
	if (c->state == CONNECTION_TURNING) {
		prelogin_secured(c->prelogin);
	} else {
		AUTO_BUF struct buf out = BUF_INIT;

		prelogin_greet(c->prelogin, &out);
		channel_write(c->client, buf_str(&out));
	}
	c->tls = true;
	c->state = CONNECTION_PRELOGIN;
}

static void on_ended(void *arg)
{
	struct connection *c = arg;

	CHECK_OBJ(c, CONNECTION_MAGIC);
	cancel_auth(c);
	connection_free(&c);
}

static void on_failed(void *arg, const char *why)
{
	struct connection *c = arg;

	CHECK_OBJ(c, CONNECTION_MAGIC);
	if (c->state == CONNECTION_HANDSHAKE || c->state == CONNECTION_TURNING)
		log_msg(MSG_TLS_REFUSED, "%s: %s", c->remote, why);
	cancel_auth(c);
	connection_free(&c);
}

const struct channel_events connection_events = {
    .input = on_input, .drained = on_drained, .secured = on_secured, .ended = on_ended, .failed = on_failed};

/* Before login: the time is over. While closing or carrying: the last octets took too long. */
static void on_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct connection *c = arg;

	CHECK_OBJ(c, CONNECTION_MAGIC);
	if (c->state == CONNECTION_ENDED) {
		connection_close(c);
		return;
	}
	if (c->state == CONNECTION_CLOSING) {
		if (channel_pending(c->client) > 0)
			log_msg(MSG_SLOW_CLIENT, "%s does not take its last octets", c->remote);
		connection_free(&c);
		return;
	}
	log_msg(MSG_LIMIT_LOGIN_TIME, "%s did not log in within %llu ms", c->remote,
	    (unsigned long long)c->front->limits.login_time);
	connection_bye(c, NULL, "Too slow to log in");
}

/* ---- accepting ---- */

static bool address_full_up(struct front *f, struct origin *o, const char *remote)
{
	if (o->count <= f->limits.connections_per_address)
		return false;
	if (!o->told)
		log_msg(MSG_LIMIT_ADDRESS, "%s: limits.connections_per_address = %llu", remote,
		    (unsigned long long)f->limits.connections_per_address);
	o->told = true;
	return true;
}

static uint64_t share_of(const struct front *f, uint64_t limit)
{
	return (limit + f->share - 1) / f->share;
}

/* Makes room for one more; false: refuse it. */
static bool make_room(struct front *f)
{
	if (f->waiting_count + f->proxied_count >= share_of(f, f->limits.connections)) {
		if (!f->told_full)
			log_msg(MSG_LIMIT_CONNECTIONS, "limits.connections = %llu",
			    (unsigned long long)f->limits.connections);
		f->told_full = true;
		return false;
	}
	f->told_full = false;
	if (f->waiting_count >= share_of(f, f->limits.connections_before_login)) {
		struct connection *oldest = TAILQ_FIRST(&f->waiting);

		log_msg(MSG_LIMIT_BEFORE_LOGIN, "%s: closed for a newer connection", oldest->remote);
		if (oldest->state == CONNECTION_PRELOGIN && oldest->client != NULL) {
			AUTO_BUF struct buf out = BUF_INIT;

			/* One attempt to say so; it may not cost a slot. */
			prelogin_bye(&out, "UNAVAILABLE", "Too many connections");
			if (!oldest->tls && channel_pending(oldest->client) == 0)
				(void)send(
				    channel_fd(oldest->client), out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		}
		cancel_auth(oldest);
		connection_free(&oldest);
	}
	return true;
}

/* A few words in clear to somebody who is not let in. */
static void turn_away(int fd, bool tls)
{
	AUTO_BUF struct buf out = BUF_INIT;

	prelogin_bye(&out, "UNAVAILABLE", "Too many connections");
	if (!tls)
		(void)send(fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void set_socket(int fd)
{
	int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static struct connection *connection_new(struct front *f, int fd, struct origin *o)
{
	struct connection *c = mem_new(struct connection);

	c->magic = CONNECTION_MAGIC;
	c->front = f;
	c->id = ++f->last_id;
	c->origin = o;
	c->session_fd = -1;
	c->waiting = true;
	c->timer = event_new(f->base, -1, 0, on_timer, c);
	c->client = channel_new(f->base, fd, &connection_events, c);
	TAILQ_INSERT_TAIL(&f->waiting, c, entry);
	f->waiting_count++;
	LIST_INSERT_HEAD(&f->by_id[c->id % FRONT_BUCKETS], c, chain);
	after(c->timer, f->limits.login_time);
	return c;
}

void connection_accept(struct front *f, int fd, bool tls)
{
	struct sockaddr_storage peer = {0}, own = {0};
	socklen_t peer_size = sizeof(peer), own_size = sizeof(own);
	char key[ADDRESS_TEXT], remote[ADDRESS_TEXT];
	struct connection *c;
	struct origin *o;

	if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) != 0 ||
	    getsockname(fd, (struct sockaddr *)&own, &own_size) != 0) {
		close(fd);
		return;
	}
	address_key(&peer, key);
	address_host(&peer, remote);
	o = origin_enter(f, key);
	if (address_full_up(f, o, remote) || !make_room(f)) {
		o->count--;
		if (o->count == 0) {
			o->count = 1;
			origin_leave(o);
		}
		turn_away(fd, tls);
		return;
	}
	set_socket(fd);
	c = connection_new(f, fd, o);
	address_host(&peer, c->remote);
	address_full(&own, c->local);
	c->prelogin = prelogin_new(&f->prelogin, tls);
	if (tls) {
		c->state = CONNECTION_HANDSHAKE;
		channel_start_tls(c->client, f->tls);
	} else {
		AUTO_BUF struct buf out = BUF_INIT;

		c->state = CONNECTION_PRELOGIN;
		prelogin_greet(c->prelogin, &out);
		channel_write(c->client, buf_str(&out));
	}
}
