#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mortise/password.h>

#include "base/io.h"
#include "base/mem.h"
#include "log/log.h"
#include "proc/front_int.h"
#include "base/banned.h"

static void pack_binding(
    struct buf *b, struct connection *c, size_t (*binding)(const SSL *, unsigned char[TLS_BINDING_MAX]))
{
	unsigned char octets[TLS_BINDING_MAX];
	size_t n = c->tls ? binding(channel_tls(c->client), octets) : 0;

	pack_str(b, n > 0 ? str_mem(octets, n) : STR_NONE);
}

static bool ask_auth(struct connection *c, enum auth_message type)
{
	struct buf b = BUF_INIT;
	bool sent;

	if (c->front->auth == NULL)
		return false;
	pack_start(&b, type);
	pack_u64(&b, c->id);
	if (type == AUTH_START) {
		pack_str(&b, prelogin_mechanism(c->prelogin));
		pack_str(&b, prelogin_response(c->prelogin));
		pack_cstr(&b, "imap");
		pack_cstr(&b, c->remote);
		pack_cstr(&b, c->local);
		pack_u32(&b, c->tls);
		pack_binding(&b, c, tls_exporter);
		pack_binding(&b, c, tls_endpoint);
	} else if (type == AUTH_STEP) {
		pack_str(&b, prelogin_response(c->prelogin));
	}
	sent = link_send(c->front->auth, &b, NULL, 0);
	buf_wipe(&b);
	return sent;
}

/* What the session is given: the client's own socket, or one end of a pair whose other end we carry for. */
static int session_descriptor(struct connection *c)
{
	int pair[2];

	if (!c->tls)
		return channel_fd(c->client);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	c->session_fd = pair[0];
	return pair[1];
}

static bool ask_spawner(struct connection *c)
{
	struct buf b = BUF_INIT;
	int fd = c->front->spawner != NULL ? session_descriptor(c) : -1;
	bool sent;

	if (fd < 0)
		return false;
	pack_start(&b, SPAWN);
	pack_u64(&b, c->id);
	pack_str(&b, str_mem(c->grant, sizeof(c->grant)));
	pack_cstr(&b, "imap");
	pack_cstr(&b, c->remote);
	pack_cstr(&b, c->local);
	pack_u32(&b, c->tls);
	pack_str(&b, buf_str(channel_input(c->client)));
	pack_str(&b, prelogin_tag(c->prelogin));
	pack_cstr(&b, "Logged in");
	sent = link_send(c->front->spawner, &b, &fd, 1);
	if (c->tls)
		close(fd);
	buf_wipe(&b);
	mem_wipe(c->grant, sizeof(c->grant));
	return sent;
}

static void send_out(struct connection *c, struct buf *out)
{
	channel_write(c->client, buf_str(out));
	buf_free(out);
}

/* Does what the pre-login machine asks for. true: it may be fed more. */
static bool act(struct connection *c, enum prelogin_action action)
{
	AUTO_BUF struct buf out = BUF_INIT;

	switch (action) {
	case PRELOGIN_MORE:
		return true;
	case PRELOGIN_STARTTLS:
		c->state = CONNECTION_TURNING;
		channel_pause(c->client, true);
		return false;
	case PRELOGIN_START:
	case PRELOGIN_STEP:
		c->state = CONNECTION_AUTH;
		channel_pause(c->client, true);
		if (ask_auth(c, action == PRELOGIN_START ? AUTH_START : AUTH_STEP))
			return false;
		c->state = CONNECTION_PRELOGIN;
		channel_pause(c->client, false);
		action = prelogin_failed(c->prelogin, MORTISE_AUTH_TEMP, &out);
		channel_write(c->client, buf_str(&out));
		return act(c, action);
	case PRELOGIN_CANCEL:
		(void)ask_auth(c, AUTH_CANCEL);
		return true;
	case PRELOGIN_LOGIN:
		c->state = CONNECTION_SPAWN;
		channel_pause(c->client, true);
		/* In clear the session writes to the client itself: our replies must be out before. */
		c->spawn_waits = !c->tls && channel_pending(c->client) > 0;
		if (!c->spawn_waits)
			login_spawn(c);
		return false;
	case PRELOGIN_CLOSE:
		if (prelogin_why(c->prelogin) != NULL)
			log_msg(MSG_PROTOCOL_CLOSED, "%s: %s", c->remote, prelogin_why(c->prelogin));
		else
			log_debug("proc", "%s: logged out before login", c->remote);
		connection_close(c);
		return false;
	}
	return false;
}

void login_run(struct connection *c)
{
	for (;;) {
		struct buf *in = channel_input(c->client), out = BUF_INIT;
		struct str rest = buf_str(in);
		enum prelogin_action action;
		size_t before = rest.n;

		/* A client that sends commands and reads no replies waits until it has read them. */
		if (channel_pending(c->client) > c->front->limits.output_buffer) {
			channel_pause(c->client, true);
			return;
		}
		action = prelogin_feed(c->prelogin, &rest, &out);
		buf_consume(in, before - rest.n);
		channel_consumed(c->client);
		send_out(c, &out);
		if (!act(c, action))
			return;
		if (action == PRELOGIN_MORE && rest.n == 0)
			return;
	}
}

/* The connection may be fed again after an answer. */
static void resume(struct connection *c, enum prelogin_action action, struct buf *out)
{
	c->state = CONNECTION_PRELOGIN;
	channel_pause(c->client, false);
	send_out(c, out);
	if (act(c, action) && channel_input(c->client)->n > 0)
		login_run(c);
}

void login_spawn(struct connection *c)
{
	struct buf out = BUF_INIT;
	enum prelogin_action action;

	c->spawn_waits = false;
	if (ask_spawner(c))
		return;
	io_close(&c->session_fd);
	action = prelogin_no_session(c->prelogin, MORTISE_E_UNAVAILABLE, &out);
	resume(c, action, &out);
}

static bool set_offer(struct front *f, struct link_message *m, struct arena *a)
{
	const char *tls = unpack_cstr(m->fields, a), *clear = unpack_cstr(m->fields, a);

	if (!unpack_done(m->fields) || tls == NULL || clear == NULL || strlen(tls) > 1000 ||
	    strlen(clear) > 1000)
		return false;
	mem_free((void *)(uintptr_t)f->offer.tls);
	mem_free((void *)(uintptr_t)f->offer.clear);
	f->offer.tls = mem_strdup(tls);
	f->offer.clear = mem_strdup(clear);
	f->offered = true;
	return true;
}

static bool take_ok(struct connection *c, struct unpack *u, struct buf *out)
{
	struct str grant = unpack_str(u), user = unpack_str(u), last = unpack_str(u);
	enum prelogin_action action;

	if (!unpack_done(u) || grant.n != AUTH_GRANT_SIZE || user.n == 0)
		return false;
	if (c == NULL)
		return true;
	memcpy(c->grant, grant.p, AUTH_GRANT_SIZE);
	action = prelogin_succeeded(c->prelogin, last, out);
	resume(c, action, out);
	return true;
}

bool login_auth_message(struct front *f, struct link_message *m)
{
	AUTO_ARENA struct arena *a = arena_new("auth message");
	struct buf out = BUF_INIT;
	struct connection *c;
	struct str text;
	uint32_t result;

	if (m->fd_count != 0)
		return false;
	if (m->type == AUTH_OFFER)
		return set_offer(f, m, a);
	c = connection_by_id(f, unpack_u64(m->fields));
	if (c != NULL && c->state != CONNECTION_AUTH)
		c = NULL; /* the client left meanwhile, or it is another's answer */
	switch (m->type) {
	case AUTH_CHALLENGE:
		text = unpack_str(m->fields);
		if (!unpack_done(m->fields))
			return false;
		if (c != NULL) {
			prelogin_challenge(c->prelogin, text, &out);
			resume(c, PRELOGIN_MORE, &out);
		}
		return true;
	case AUTH_OK:
		return take_ok(c, m->fields, &out);
	case AUTH_NO:
		result = unpack_u32(m->fields);
		if (!unpack_done(m->fields))
			return false;
		if (c != NULL) {
			enum prelogin_action action = prelogin_failed(c->prelogin, (int)result, &out);

			resume(c, action, &out);
		}
		return true;
	case AUTH_BAD:
		(void)unpack_str(m->fields);
		if (!unpack_done(m->fields))
			return false;
		if (c != NULL) {
			enum prelogin_action action = prelogin_refused(c->prelogin, &out);

			resume(c, action, &out);
		}
		return true;
	default:
		return false;
	}
}

/* The session has the connection now. */
static void hand_over(struct connection *c)
{
	int fd = c->session_fd;

	if (!c->tls) {
		connection_free(&c);
		return;
	}
	c->session_fd = -1;
	proxy_start(c, fd);
}

bool login_spawner_message(struct front *f, struct link_message *m)
{
	struct connection *c = connection_by_id(f, unpack_u64(m->fields));
	struct buf out = BUF_INIT;
	enum prelogin_action action;
	uint32_t ok, reason;

	if (m->fd_count != 0)
		return false;
	if (m->type == ENDED) {
		ok = unpack_u32(m->fields);
		if (!unpack_done(m->fields))
			return false;
		if (c != NULL)
			proxy_session_over(c, ok != 0);
		return true;
	}
	if (m->type != SPAWNED)
		return false;
	ok = unpack_u32(m->fields);
	reason = unpack_u32(m->fields);
	if (!unpack_done(m->fields))
		return false;
	if (c == NULL || c->state != CONNECTION_SPAWN)
		return true;
	if (ok) {
		hand_over(c);
		return true;
	}
	io_close(&c->session_fd);
	action = prelogin_no_session(c->prelogin, (int)reason, &out);
	resume(c, action, &out);
	return true;
}

void login_lost(struct front *f, enum connection_state waits_in)
{
	struct connection *c, *next;

	for (c = TAILQ_FIRST(&f->waiting); c != NULL; c = next) {
		struct buf out = BUF_INIT;
		enum prelogin_action action;

		next = TAILQ_NEXT(c, entry);
		if (c->state != waits_in)
			continue;
		io_close(&c->session_fd);
		if (waits_in == CONNECTION_AUTH)
			action = prelogin_failed(c->prelogin, MORTISE_AUTH_TEMP, &out);
		else
			action = prelogin_no_session(c->prelogin, MORTISE_E_UNAVAILABLE, &out);
		resume(c, action, &out);
	}
}
