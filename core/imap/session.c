/*
 * session.c: the life of a session: greeting, reading, ending.
 */
#include <poll.h>

#include "base/clock.h"
#include "base/mem.h"
#include "imap/capability.h"
#include "imap/notify.h"
#include "imap/session_int.h"
#include "log/log.h"
#include "base/banned.h"

#define LITERAL_MINUS 4096u /* octets of a literal that does not wait (RFC 7888 §5) */
#define ALERT_LINES 10u
#define LOOK_INTERVAL 100u /* ms between two looks of session_stopped */

void session_end(struct session *s, int result)
{
	if (s->ended)
		return;
	s->ended = true;
	s->result = result;
}

void session_bye(struct session *s, int result, const char *text)
{
	if (!s->ended)
		s->bye = text;
	session_end(s, result);
}

static bool readable(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return fd >= 0 && poll(&p, 1, 0) == 1 && (p.revents & (events | POLLHUP | POLLERR)) != 0;
}

bool session_stopping(struct session *s)
{
	if (readable(s->setup->stop_fd, POLLIN))
		session_bye(s, MORTISE_E_CANCELLED, "Server shutting down");
	return s->ended;
}

/* ---- progress (RFC 9585) ---- */
#define PROGRESS_PENDING 8192u /* output above which nothing more is said */

static void write_progress(struct session *s)
{
	AUTO_BUF struct buf code = BUF_INIT;

	buf_adds(&code, "INPROGRESS (");
	imap_string(&code, s->tag);
	if (s->progress.of > 0 && s->progress.done <= s->progress.of)
		buf_printf(&code, " %llu %llu)", (unsigned long long)s->progress.done,
		    (unsigned long long)s->progress.of);
	else
		buf_adds(&code, " NIL NIL)");
	response(session_out(s), STR(""), RESPONSE_OK, buf_cstr(&code), "Still working");
}

/* It does not wait for a client that does not read: locks may be held. */
static void tick(void *arg)
{
	struct session *s = arg;
	uint64_t now;

	if (!s->progress.told || s->ended)
		return;
	now = clock_ms_coarse();
	if (now < s->progress.due || session_out(s)->n > PROGRESS_PENDING ||
	    !readable(stream_out_fd(s->stream), POLLOUT))
		return;
	s->progress.due = now + s->o->progress;
	write_progress(s);
	if (!stream_flush(s->stream))
		session_end(s, MORTISE_E_IO);
}

void session_progress(struct session *s, uint64_t done, uint64_t of)
{
	s->progress.told = true;
	s->progress.done = done;
	s->progress.of = of;
}

void session_progress_end(struct session *s)
{
	s->progress.told = false;
}

bool session_stopped(struct session *s)
{
	uint64_t now = clock_ms_coarse(); /* asked for every message of a loop */

	if (s->ended)
		return true;
	tick(s);
	if (now - s->looked < LOOK_INTERVAL)
		return false;
	s->looked = now;
	/* A client that only closed its sending side (a pipe: has written all) still wants its answers. */
	if (readable(stream_out_fd(s->stream), 0))
		session_end(s, 0);
	return session_stopping(s);
}

bool session_written(struct session *s)
{
	if (!stream_written(s->stream))
		session_end(s, MORTISE_E_IO);
	return !s->ended;
}

enum stream_result session_wait(struct session *s, int other_fd, uint64_t deadline)
{
	uint64_t rest = clock_ms() + s->o->rest_after;
	enum stream_result r;

	if (s->mailbox == NULL || s->rested || rest >= deadline)
		return stream_wait(s->stream, s->setup->stop_fd, other_fd, deadline);
	r = stream_wait(s->stream, s->setup->stop_fd, other_fd, rest);
	if (r != STREAM_TIMEOUT)
		return r;
	s->rested = true;
	mailbox_rest(s->mailbox);
	return stream_wait(s->stream, s->setup->stop_fd, other_fd, deadline);
}

/*
 * Between commands NOTIFY's news go out as they come. The time that a client may be silent goes on meanwhile.
 */
static enum stream_result wait_for_input(struct session *s, uint64_t timeout)
{
	uint64_t end = clock_ms() + timeout;

	for (;;) {
		bool between = reader_idle(s->reader);
		uint64_t due = between ? notify_due(s) : end;
		enum stream_result r = session_wait(s, between ? notify_fd(s) : -1, due < end ? due : end);

		if (!between || stream_input(s->stream).n > 0 || (r != STREAM_OK && r != STREAM_TIMEOUT) ||
		    (r == STREAM_TIMEOUT && clock_ms() >= end) || session_stopping(s))
			return r;
		arena_clear(s->arena);
		notify_hear(s, false);
		if (!stream_flush(s->stream) || s->ended)
			return STREAM_ERROR;
	}
}

/* Waits for octets; what is due to the client goes out first. False: the session has ended. */
static bool more_input(struct session *s, uint64_t timeout, const char *bye)
{
	if (!stream_flush(s->stream)) {
		session_end(s, MORTISE_E_IO);
		return false;
	}
	switch (wait_for_input(s, timeout)) {
	case STREAM_OK:
		if (stream_input(s->stream).n == 0)
			session_stopping(s);
		break;
	case STREAM_EOF:
		session_end(s, 0);
		break;
	case STREAM_TIMEOUT:
		log_msg(MSG_IMAP_TIMEOUT, "%s after %llu s", bye, (unsigned long long)(timeout / 1000));
		session_bye(s, 0, bye);
		break;
	case STREAM_ERROR:
		session_end(s, MORTISE_E_IO);
		break;
	}
	return !s->ended;
}

/* READER_MORE: all octets were taken. */
static enum reader_state feed(struct session *s)
{
	struct str in = stream_input(s->stream);
	size_t n = in.n;
	enum reader_state state = n > 0 ? reader_feed(s->reader, &in) : READER_MORE;

	stream_consume(s->stream, n - in.n);
	return state;
}

enum reader_state session_next(struct session *s)
{
	CHECK_OBJ(s, SESSION_MAGIC);
	while (!s->ended) {
		enum reader_state state = feed(s);

		switch (state) {
		case READER_MORE:
			if (reader_idle(s->reader))
				more_input(s, s->o->idle_timeout, "Autologout: idle for too long");
			else
				more_input(s, s->o->input_timeout, "Autologout: command not finished");
			break;
		case READER_CONTINUE:
			response_continue(session_out(s), "Ready for literal");
			break;
		case READER_FATAL:
			response_bad(session_out(s), reader_tag(s->reader), reader_error(s->reader));
			session_bye(s, MORTISE_E_LIMIT, "Cannot follow any more");
			break;
		case READER_COMMAND:
		case READER_STREAM:
		case READER_BAD:
			return state;
		}
	}
	return READER_MORE;
}

struct str session_octets(struct session *s, uint64_t most)
{
	struct str in;

	CHECK_OBJ(s, SESSION_MAGIC);
	while (!s->ended && stream_input(s->stream).n == 0)
		more_input(s, s->o->input_timeout, "Autologout: message not finished");
	in = stream_input(s->stream);
	if (s->ended)
		return STR_NONE;
	in = str_sub(in, 0, most < in.n ? (size_t)most : in.n);
	stream_consume(s->stream, in.n);
	return in;
}

void session_capabilities(struct session *s, struct buf *out)
{
	capability_write(out, &(struct capability_facts){.authenticated = true,
	                          .literal_minus = !s->o->literal_plus,
	                          .message_limit = s->o->message_limit,
	                          .unauthenticate = s->setup->unauthenticate,
	                          .jmap = s->o->jmap_url[0] != '\0',
	                          .save_limit = s->o->save_limit,
	                          .append_limit = store_message_size(s->setup->store)});
}

static void greet(struct session *s)
{
	const struct imap_session_setup *setup = s->setup;
	AUTO_BUF struct buf code = BUF_INIT;

	buf_adds(&code, "CAPABILITY ");
	session_capabilities(s, &code);
	if (setup->preauth)
		response_printf(session_out(s), STR(""), RESPONSE_PREAUTH, buf_cstr(&code),
		    "Mortise ready, logged in as %s", setup->user);
	else
		response(session_out(s), setup->tag, RESPONSE_OK, buf_cstr(&code), setup->ok_text);
}

/* What the administrator has to say to everybody (UW imapd's alert file). */
static void show_alert(struct session *s)
{
	struct str rest = s->setup->alert;
	unsigned lines = 0;

	while (rest.n > 0 && lines < ALERT_LINES) {
		struct str line = str_trim(str_cut(&rest, '\n'));

		if (line.n == 0)
			continue;
		lines++;
		response_printf(session_out(s), STR(""), RESPONSE_OK, "ALERT", "%.*s", STR_FMT(line));
	}
}

const char *imap_alert_file(const struct imap_options *o)
{
	return o->alert_file;
}

static void run(struct session *s)
{
	while (!s->ended) {
		switch (session_next(s)) {
		case READER_BAD:
			log_msg(MSG_IMAP_LIMIT, "%s", reader_error(s->reader));
			response_bad(session_out(s), reader_tag(s->reader), reader_error(s->reader));
			s->bad++;
			break;
		case READER_COMMAND:
			session_dispatch(s, false);
			break;
		case READER_STREAM:
			session_dispatch(s, true);
			break;
		default:
			break;
		}
		if (s->bad >= s->o->bad_commands) {
			log_msg(
			    MSG_IMAP_BAD_COMMANDS, "%llu bad commands in a row", (unsigned long long)s->bad);
			session_bye(s, MORTISE_E_LIMIT, "Too many bad commands");
		}
		session_written(s);
		if (s->compress && !s->ended && !stream_start_deflate(s->stream))
			session_end(s, MORTISE_E_IO);
		s->compress = false;
		session_stopped(s);
	}
}

int imap_session_run(const struct imap_session_setup *setup)
{
	const struct imap_options *o = setup->options;
	struct reader_limits limits = {.line = (uint32_t)o->line_size,
	    .literal = (uint32_t)o->literal_size,
	    .command = (uint32_t)o->command_size,
	    .literals = (uint32_t)o->literals,
	    .tag = 64,
	    .nonsynchronising = o->literal_plus ? UINT64_MAX : LITERAL_MINUS,
	    .stream = true};
	struct session s = {.magic = SESSION_MAGIC, .setup = setup, .o = o, .stream = setup->stream};

	s.reader = reader_new(&limits);
	s.arena = arena_new("command");
	store_set_tick(setup->store, tick, &s);
	greet(&s);
	show_alert(&s);
	run(&s);
	notify_end(&s);
	session_deselect(&s);
	if (s.bye != NULL && !s.broken)
		response(session_out(&s), STR(""), RESPONSE_BYE, NULL, s.bye);
	if (!stream_flush(s.stream) && s.result == 0)
		s.result = MORTISE_E_IO;
	reader_free(&s.reader);
	arena_free(&s.arena);
	store_set_tick(setup->store, NULL, NULL);
	return s.result;
}
