#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "imap/test-support.h"
#include "base/banned.h"

#define PATIENCE 20000u /* ms until a silent session is a failure */
#define OUTPUT_LIMIT 16384u

int world_setup(void **state)
{
	struct world *w = mem_new(struct world);
	void *f;
	size_t i;

	fixture_setup(&f);
	w->f = f;
	for (i = 0; i < imap_conf_group.count; i++)
		ok(w->f, conf_set(&imap_conf_group.options[i], &w->o,
		             str_of(imap_conf_group.options[i].fallback), w->f->a, &w->f->e));
	ok(w->f, store_create(w->f->s, "box", &w->f->e));
	*state = w;
	return 0;
}

static void end_client(struct client *c)
{
	io_close(&c->fd);
	session_result(c);
	io_close(&c->stop[0]);
	io_close(&c->stop[1]);
	store_close(&c->store);
	buf_free(&c->in);
	mem_free(c);
}

void end_clients(struct world *w)
{
	size_t i;

	for (i = 0; i < w->count; i++)
		end_client(w->clients[i]);
	w->count = 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;
	void *f = w->f;

	end_clients(w);
	fixture_teardown(&f);
	mem_free(w);
	return 0;
}

static void *run_session(void *arg)
{
	struct client *c = arg;
	struct stream *stream = c->setup.stream;

	c->result = imap_session_run(&c->setup);
	stream_free(&stream);
	return NULL;
}

struct client *connect_greeted(struct world *w, const char **greeting)
{
	struct client *c = mem_new(struct client);
	int fd[2];

	assert_true(w->count < CLIENTS_MAX);
	w->clients[w->count++] = c;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(pipe(c->stop), 0);
	c->f = w->f;
	c->o = w->o;
	c->store = fixture_other(w->f);
	c->fd = fd[0];
	c->setup = (struct imap_session_setup){.stream = stream_new(fd[1], fd[1], OUTPUT_LIMIT),
	    .store = c->store,
	    .options = &c->o,
	    .user = "fred",
	    .session = "test",
	    .remote = "test",
	    .preauth = w->preauth,
	    .tag = STR("login"),
	    .ok_text = "Logged in",
	    .stop_fd = c->stop[0]};
	assert_int_equal(pthread_create(&c->thread, NULL, run_session, c), 0);
	c->running = true;
	*greeting = until(c, w->preauth ? "* PREAUTH" : "login ");
	return c;
}

struct client *connect_client(struct world *w)
{
	const char *greeting;

	return connect_greeted(w, &greeting);
}

int session_result(struct client *c)
{
	if (c->running)
		pthread_join(c->thread, NULL);
	c->running = false;
	return c->result;
}

/* Some more octets; false at the end. */
static bool receive(struct client *c)
{
	char piece[16384];
	ssize_t n;

	if (io_wait(c->fd, POLLIN, clock_ms() + PATIENCE) != 1)
		fail_msg("the session says nothing after:\n%s", buf_cstr(&c->in));
	n = read(c->fd, piece, sizeof(piece));
	if (n <= 0)
		return false;
	buf_add(&c->in, piece, (size_t)n);
	return true;
}

void send_raw(struct client *c, struct str octets)
{
	while (octets.n > 0) {
		struct pollfd p = {.fd = c->fd, .events = POLLIN | POLLOUT};
		ssize_t n = 0;

		assert_int_equal(poll(&p, 1, (int)PATIENCE), 1);
		if ((p.revents & POLLIN) != 0 && !receive(c))
			return;
		if ((p.revents & POLLOUT) != 0)
			n = send(c->fd, octets.p, octets.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		if ((p.revents & (POLLERR | POLLHUP)) != 0)
			return;
		octets = str_from(octets, n > 0 ? (size_t)n : 0);
	}
}

/* The first n octets received, taken. */
static const char *take(struct client *c, size_t n)
{
	const char *text = arena_strndup(c->f->a, n > 0 ? c->in.p : "", n);

	buf_consume(&c->in, n);
	return text;
}

static const char *take_until(struct client *c, struct str start)
{
	size_t line = 0;

	for (;;) {
		struct str rest = str_from(buf_str(&c->in), line);
		size_t end = str_find(rest, '\n');

		if (end == rest.n) {
			if (!receive(c))
				return take(c, c->in.n);
			continue;
		}
		line += end + 1;
		if (str_starts(rest, start))
			return take(c, line);
	}
}

const char *until(struct client *c, const char *line_start)
{
	return take_until(c, str_of(line_start));
}

const char *until_end(struct client *c)
{
	while (receive(c))
		;
	return take(c, c->in.n);
}

/* The tag at the start of the last line becomes "T". */
static const char *without_tag(struct client *c, const char *text, const char *tag)
{
	const char *last = strstr(text, tag), *next;

	while (last != NULL && (next = strstr(last + 1, tag)) != NULL)
		last = next;
	if (last == NULL)
		return text;
	return arena_printf(c->f->a, "%.*sT %s", (int)(last - text), text, last + strlen(tag));
}

const char *talk(struct client *c, const char *format, ...)
{
	AUTO_BUF struct buf line = BUF_INIT;
	const char *tag = arena_printf(c->f->a, "T%u ", ++c->tag);
	va_list ap;

	buf_adds(&line, tag);
	va_start(ap, format);
	buf_vprintf(&line, format, ap);
	va_end(ap);
	buf_adds(&line, "\r\n");
	send_raw(c, buf_str(&line));
	return without_tag(c, take_until(c, str_of(tag)), tag);
}

const char *append_text(struct client *c, const char *mailbox, const char *flags, const char *text)
{
	return talk(c, "APPEND %s %s{%zu+}\r\n%s", mailbox, flags, strlen(text), text);
}
