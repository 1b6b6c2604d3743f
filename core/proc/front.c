#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/control.h"
#include "base/io.h"
#include "base/mem.h"
#include "log/log.h"
#include "proc/front_int.h"
#include "proc/roles.h"
#include "proc/sandbox.h"
#include "base/banned.h"

#define FRONT_ACCEPTS 16 /* connections taken before those that are there get their turn */
#define FRONT_PAUSE_MS 250
#define FRONT_LAST_WORDS_MS 500

/* ---- listeners ---- */

static void set_listening(struct front *f, bool on)
{
	struct front_listener *l;

	for (l = f->listeners; l != NULL; l = l->next)
		if (on)
			event_add(l->readable, NULL);
		else
			event_del(l->readable);
}

static void on_accept_again(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct front *f = arg;

	if (f->ready && !f->draining)
		set_listening(f, true);
}

/* No descriptors or no memory: do not spin on a listener that stays readable; make room; try later. */
static void pause_accepting(struct front *f)
{
	struct timeval wait = {.tv_usec = FRONT_PAUSE_MS * 1000};
	struct connection *oldest = TAILQ_FIRST(&f->waiting);

	log_msg(MSG_LIMIT_FILES, "accept: %s", strerror(errno));
	set_listening(f, false);
	event_add(f->accept_again, &wait);
	if (oldest != NULL)
		connection_bye(oldest, "UNAVAILABLE", "Too many connections");
}

static void on_accept(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct front_listener *l = arg;
	int i;

	for (i = 0; i < FRONT_ACCEPTS; i++) {
		int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (got >= 0) {
			connection_accept(l->front, got, l->tls);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			pause_accepting(l->front);
		return;
	}
}

static void add_listener(struct front *f, int fd, bool tls)
{
	struct front_listener *l = mem_new(struct front_listener);

	l->front = f;
	l->fd = fd;
	l->tls = tls;
	(void)io_nonblock(fd, 1);
	l->readable = event_new(f->base, fd, EV_READ | EV_PERSIST, on_accept, l);
	l->next = f->listeners;
	f->listeners = l;
}

static void close_listeners(struct front *f)
{
	struct front_listener *l;

	while ((l = f->listeners) != NULL) {
		f->listeners = l->next;
		event_free(l->readable);
		io_close(&l->fd);
		mem_free(l);
	}
}

/* ---- the other roles ---- */

static void maybe_ready(struct front *f)
{
	AUTO_BUF struct buf b = BUF_INIT;

	if (f->ready || !f->going || !f->offered || f->spawner == NULL || f->control == NULL)
		return;
	f->ready = true;
	pack_start(&b, CONTROL_READY);
	(void)link_send(f->control, &b, NULL, 0);
	if (!f->draining)
		set_listening(f, true);
}

void front_connection_gone(struct front *f)
{
	if (f->draining && TAILQ_EMPTY(&f->waiting) && TAILQ_EMPTY(&f->proxied))
		event_base_loopbreak(f->base);
}

static void drain(struct front *f)
{
	f->draining = true;
	close_listeners(f);
	front_connection_gone(f);
}

static bool on_auth_message(void *arg, struct link *l UNUSED, struct link_message *m)
{
	struct front *f = arg;
	bool good = login_auth_message(f, m);

	maybe_ready(f);
	return good;
}

static void on_auth_ended(void *arg, struct link *l UNUSED, const char *why)
{
	struct front *f = arg;

	log_debug("proc", "auth: %s", why);
	link_free(&f->auth);
	login_lost(f, CONNECTION_AUTH);
}

static bool on_spawner_message(void *arg, struct link *l UNUSED, struct link_message *m)
{
	return login_spawner_message(arg, m);
}

static void on_spawner_ended(void *arg, struct link *l UNUSED, const char *why)
{
	struct front *f = arg;

	log_debug("proc", "spawner: %s", why);
	link_free(&f->spawner);
	login_lost(f, CONNECTION_SPAWN);
	proxy_lost(f);
}

static const struct link_events auth_events = {.message = on_auth_message, .ended = on_auth_ended};
static const struct link_events spawner_events = {.message = on_spawner_message, .ended = on_spawner_ended};

static int take_fd(struct link_message *m)
{
	int fd = m->fds[0];

	m->fds[0] = -1;
	return fd;
}

static bool take_peer(struct front *f, struct link_message *m)
{
	uint32_t role = unpack_u32(m->fields);

	(void)unpack_u32(m->fields);
	if (!unpack_done(m->fields) || m->fd_count != 1)
		return false;
	if (role == ROLE_AUTH) {
		link_free(&f->auth);
		login_lost(f, CONNECTION_AUTH);
		f->auth = link_new(f->base, take_fd(m), &auth_events, f);
		return true;
	}
	if (role == ROLE_SPAWNER) {
		link_free(&f->spawner);
		login_lost(f, CONNECTION_SPAWN);
		proxy_lost(f);
		f->spawner = link_new(f->base, take_fd(m), &spawner_events, f);
		maybe_ready(f);
		return true;
	}
	return false;
}

static bool take_file(struct front *f, struct link_message *m)
{
	struct str name = unpack_str(m->fields);
	struct err e = ERR_INIT;

	if (!unpack_done(m->fields) || m->fd_count != 1 || !str_eqc(name, "tls") || f->tls != NULL)
		return false;
	if (tls_context(&f->tls_options, m->fds[0], "imap", &f->tls, &e) != 0) {
		log_err(MSG_TLS_FILES, &e, "front");
		_exit(78);
	}
	f->prelogin.starttls = true;
	return true;
}

static bool take_listener(struct front *f, struct link_message *m)
{
	struct str service = unpack_str(m->fields);
	uint32_t tls = unpack_u32(m->fields);

	(void)unpack_str(m->fields);
	if (!unpack_done(m->fields) || m->fd_count != 1 || !str_eqc(service, "imap") ||
	    (tls && f->tls == NULL))
		return false;
	add_listener(f, take_fd(m), tls != 0);
	return true;
}

static void on_stop_timer(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	event_base_loopbreak(((struct front *)arg)->base);
}

/* Those who have not logged in are told; the others are told by their sessions. */
static bool stop(struct front *f, struct link_message *m)
{
	uint64_t grace = unpack_u64(m->fields);
	struct timeval t;
	struct connection *c, *next;

	if (!unpack_done(m->fields))
		return false;
	if (f->proxied_count == 0 && grace > FRONT_LAST_WORDS_MS)
		grace = FRONT_LAST_WORDS_MS; /* nobody is logged in: only the last words have to go out */
	t.tv_sec = (time_t)(grace / 1000);
	t.tv_usec = (suseconds_t)(grace % 1000 * 1000);
	if (f->limits.linger > FRONT_LAST_WORDS_MS)
		f->limits.linger = FRONT_LAST_WORDS_MS;
	f->draining = true;
	close_listeners(f);
	for (c = TAILQ_FIRST(&f->waiting); c != NULL; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->state != CONNECTION_CLOSING)
			connection_bye(c, "UNAVAILABLE", "The server is shutting down");
		else
			connection_hurry(c);
	}
	TAILQ_FOREACH (c, &f->proxied, entry)
		connection_hurry(c);
	event_add(f->stop_timer, &t);
	front_connection_gone(f);
	return true;
}

static bool on_control(void *arg, struct link *l UNUSED, struct link_message *m)
{
	struct front *f = arg;

	switch (m->type) {
	case CONTROL_PEER:
		return take_peer(f, m);
	case CONTROL_FILE:
		return take_file(f, m);
	case CONTROL_LISTENER:
		return take_listener(f, m);
	case CONTROL_GO:
		f->going = true;
		maybe_ready(f);
		return unpack_done(m->fields);
	case CONTROL_DRAIN:
		drain(f);
		return unpack_done(m->fields);
	case CONTROL_STOP:
		return stop(f, m);
	default:
		return false;
	}
}

static void on_control_ended(void *arg, struct link *l UNUSED, const char *why UNUSED)
{
	struct front *f = arg;

	link_free(&f->control);
	drain(f);
}

static const struct link_events control_events = {.message = on_control, .ended = on_control_ended};

/* ---- start ---- */

static int configure(struct front *f, struct conf *conf, struct arena *a, struct process_options *process)
{
	struct conf_report *r = conf_report_new(a);

	conf_fill(conf, &process_conf_group, process, a, r);
	conf_fill(conf, &limit_conf_group, &f->limits, a, r);
	conf_fill(conf, &tls_conf_group, &f->tls_options, a, r);
	f->share = process_fronts(process);
	f->prelogin = (struct prelogin_options){.offer = &f->offer,
	    .bad_commands = f->limits.bad_commands,
	    .failures = f->limits.failed_logins,
	    .response_size = f->limits.sasl_response};
	conf_report_log(r);
	return conf_errors(r) == 0 ? 0 : -1;
}

int front_run(struct conf *conf, bool unprivileged)
{
	AUTO_ARENA struct arena *a = arena_new("front");
	static struct front f;
	struct process_options process;
	struct err e = ERR_INIT;
	char *root;

	if (configure(&f, conf, a, &process) != 0)
		return 78;
	TAILQ_INIT(&f.waiting);
	TAILQ_INIT(&f.proxied);
	f.base = event_base_new();
	if (f.base == NULL)
		return 71;
	f.accept_again = event_new(f.base, -1, 0, on_accept_again, &f);
	f.stop_timer = event_new(f.base, -1, 0, on_stop_timer, &f);
	root = arena_printf(a, "%s/empty", process.run_dir);
	if (sandbox_empty(process.user, root, !unprivileged, &e) != 0 || sandbox_front_calls(&e) != 0) {
		log_err(MSG_SANDBOX, &e, "front");
		return 71;
	}
	f.control = link_new(f.base, ROLE_FD_CONTROL, &control_events, &f);
	event_base_dispatch(f.base);
	return 0;
}
