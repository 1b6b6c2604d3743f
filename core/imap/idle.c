/*
 * idle.c: IDLE (RFC 2177).
 *
 * The client hears of changes when the kernel tells us that the mailbox's files were touched, and at least
 * every idle_poll; a line now and then keeps NATs open and finds out that a client is gone. The kernel tells
 * of a write to the index before those who read the index can see it, so each burst of news is followed by
 * one more look.
 */
#include "base/clock.h"
#include "imap/notify.h"
#include "log/log.h"
#include "base/banned.h"

struct idling {
	uint64_t end, keepalive, poll; /* clock_ms */
	uint64_t again;                /* the look after the news; UINT64_MAX: none is due */
};

/* "DONE" and nothing else ends it well. True: it is over. */
static bool client_spoke(struct session *s)
{
	while (stream_input(s->stream).n > 0) {
		struct str in = stream_input(s->stream);
		size_t n = in.n;
		enum reader_state state = reader_feed(s->reader, &in);

		stream_consume(s->stream, n - in.n);
		if (state == READER_MORE)
			continue;
		if (state == READER_COMMAND && str_ieqc(reader_command(s->reader), "DONE"))
			reply_ok(s, NULL, "IDLE terminated");
		else
			reply_bad(s, "Expected DONE");
		if (state == READER_STREAM)
			s->at_stream = true; /* dispatch.c refuses it */
		else if (state == READER_CONTINUE)
			reader_literal_refuse(s->reader);
		else if (state == READER_FATAL)
			session_bye(s, MORTISE_E_LIMIT, "Cannot follow any more");
		return true;
	}
	return false;
}

static void hear_news(struct session *s)
{
	if (s->notify != NULL) {
		notify_hear(s, true);
		return;
	}
	if (s->view == NULL)
		return;
	mailbox_watch_read(s->mailbox);
	s->rested = false;
	update_view(s, true);
}

static void idle_timed(struct session *s, struct idling *i)
{
	uint64_t now = clock_ms();

	if (now >= i->end) {
		log_msg(
		    MSG_IMAP_TIMEOUT, "in IDLE for %llu s", (unsigned long long)(s->o->idle_timeout / 1000));
		session_bye(s, 0, "Autologout: idle for too long");
	}
	if (now >= i->keepalive) {
		response(session_out(s), STR(""), RESPONSE_OK, NULL, "Still here");
		i->keepalive = now + s->o->idle_keepalive;
	}
	if (now >= i->poll || now >= i->again) {
		hear_news(s);
		i->poll = now + s->o->idle_poll;
		i->again = UINT64_MAX;
	}
}

static void hear_twice(struct session *s, struct idling *i)
{
	hear_news(s);
	i->again = clock_ms() + NEWS_LOOK_AGAIN;
}

static int watch(struct session *s)
{
	struct err e = ERR_INIT;
	int fd;

	if (s->notify != NULL)
		return notify_fd(s);
	if (s->view == NULL)
		return -1;
	fd = mailbox_watch(s->mailbox, &e);
	if (fd < 0)
		log_debug("imap", "IDLE polls: %s", e.admin);
	return fd;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void command_idle(struct session *s, struct parse *p UNUSED)
{
	uint64_t now = clock_ms();
	struct idling i = {
	    now + s->o->idle_timeout, now + s->o->idle_keepalive, now + s->o->idle_poll, UINT64_MAX};
	int watch_fd = watch(s);

	response_continue(session_out(s), "idling");
	hear_twice(s, &i); /* what changed before the watch stood */
	while (!s->ended && !client_spoke(s)) {
		if (!stream_flush(s->stream)) {
			session_end(s, MORTISE_E_IO);
			return;
		}
		switch (session_wait(s, watch_fd, least(least(i.end, i.keepalive), least(i.poll, i.again)))) {
		case STREAM_OK:
			if (stream_input(s->stream).n == 0 && !session_stopping(s))
				hear_twice(s, &i);
			break;
		case STREAM_EOF:
			session_end(s, 0);
			break;
		case STREAM_ERROR:
			session_end(s, MORTISE_E_IO);
			break;
		case STREAM_TIMEOUT:
			break;
		}
		if (!s->ended)
			idle_timed(s, &i);
	}
}
