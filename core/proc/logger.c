#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/control.h"
#include "base/io.h"
#include "log/log.h"
#include "conf/log_options.h"
#include "proc/link.h"
#include "proc/options.h"
#include "proc/roles.h"
#include "proc/sandbox.h"
#include "base/banned.h"

/*
 * The log role: takes records from the socket all roles write to, and lines from the pipe that is their error
 * output, and gives both to the sink. It is the only process that may wait for a sink; when it falls behind,
 * the others drop and count.
 */
struct logger {
	struct event_base *base;
	struct log_sink *sink;
	struct link *control;
	struct event *records, *text, *end;
	struct buf line; /* of the text pipe */
};

#define TEXT_LINE_MAX 1024u

/* One record; false when there is none. */
static bool take_record(struct logger *g)
{
	static char datagram[LOG_RECORD_MAX];
	union {
		char space[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = datagram, .iov_len = sizeof(datagram)};
	struct msghdr msg = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space)};
	struct log_record r;
	struct cmsghdr *c;
	ssize_t got = recvmsg(ROLE_FD_LOG, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (got < 0)
		return errno == EINTR;
	if ((msg.msg_flags & MSG_TRUNC) != 0 || !log_record_decode(&r, datagram, (size_t)got))
		return true;
	for (c = CMSG_FIRSTHDR(&msg); c != NULL; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred who;

			memcpy(&who, CMSG_DATA(c), sizeof(who));
			r.pid = (uint32_t)who.pid;
		}
	log_sink_write(g->sink, &r);
	return true;
}

static void on_record(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	int i;

	for (i = 0; i < 256 && take_record(arg); i++)
		;
}

static void write_text(struct logger *g, struct str line)
{
	struct log_record r = {.level = LOG_LEVEL_WARN,
	    .number = MSG_ROLE_TEXT,
	    .time = clock_seconds() * 1000,
	    .pid = (uint32_t)getpid(),
	    .role = "log",
	    .session = "",
	    .user = "",
	    .mailbox = "",
	    .module = ""};
	char text[LOG_TEXT_MAX];

	if (line.n == 0)
		return;
	(void)log_escape(text, sizeof(text), line.p, line.n);
	r.text = text;
	log_sink_write(g->sink, &r);
}

static void on_text(evutil_socket_t fd, short what UNUSED, void *arg)
{
	struct logger *g = arg;
	char chunk[4096];
	ssize_t got = read(fd, chunk, sizeof(chunk)), i;

	if (got == 0) { /* nobody is left who could write: the master, every role and session have ended */
		event_del(g->text);
		event_active(g->end, EV_TIMEOUT, 1);
	}
	for (i = 0; i < got; i++) {
		if (chunk[i] != '\n')
			buf_addc(&g->line, chunk[i]);
		if (chunk[i] == '\n' || g->line.n >= TEXT_LINE_MAX) {
			write_text(g, buf_str(&g->line));
			buf_reset(&g->line);
		}
	}
}

/* Whatever was said before the end was said. */
static void on_end(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct logger *g = arg;
	int i;

	for (i = 0; i < 100000 && take_record(g); i++)
		;
	if (event_pending(g->text, EV_READ, NULL))
		on_text(ROLE_FD_TEXT, 0, g);
	write_text(g, buf_str(&g->line));
	event_base_loopbreak(g->base);
}

static bool on_control(void *arg, struct link *l, struct link_message *m)
{
	struct logger *g = arg;
	AUTO_BUF struct buf b = BUF_INIT;

	switch (m->type) {
	case CONTROL_GO:
		pack_start(&b, CONTROL_READY);
		(void)link_send(l, &b, NULL, 0);
		return unpack_done(m->fields);
	case CONTROL_STOP:
		(void)unpack_u64(m->fields);
		event_active(g->end, EV_TIMEOUT, 1);
		return unpack_done(m->fields);
	case CONTROL_DRAIN:
		event_active(g->end, EV_TIMEOUT, 1);
		return unpack_done(m->fields);
	default:
		return false;
	}
}

/* The master is gone; sessions go on and may have something to say, until nobody holds the text pipe. */
static void on_control_ended(void *arg, struct link *l UNUSED, const char *why UNUSED)
{
	struct logger *g = arg;

	link_free(&g->control);
}

static const struct link_events control_events = {.message = on_control, .ended = on_control_ended};

int log_run(struct conf *conf, bool unprivileged)
{
	AUTO_ARENA struct arena *a = arena_new("log");
	struct conf_report *r = conf_report_new(a);
	static struct logger g;
	struct process_options process;
	struct log_options o;
	struct err e = ERR_INIT;
	int on = 1;

	conf_fill(conf, &log_conf_group, &o, a, r);
	conf_fill(conf, &process_conf_group, &process, a, r);
	(void)setsockopt(ROLE_FD_LOG, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	g.sink = log_options_sink(&o, &e);
	if (g.sink == NULL) {
		/* Better a log in the wrong place than none. */
		fprintf(stderr, "imapd: log: %s\n", e.admin);
		err_clear(&e);
		g.sink = log_sink_open(LOG_TARGET_STDERR, NULL, o.facility, &e);
	}
	if (g.sink == NULL)
		return 71;
	g.base = event_base_new();
	if (g.base == NULL)
		return 71;
	g.records = event_new(g.base, ROLE_FD_LOG, EV_READ | EV_PERSIST, on_record, &g);
	g.text = event_new(g.base, ROLE_FD_TEXT, EV_READ | EV_PERSIST, on_text, &g);
	g.end = event_new(g.base, -1, 0, on_end, &g);
	if (sandbox_log(process.user, !unprivileged, &e) != 0) {
		fprintf(stderr, "imapd: log: %s\n", e.admin);
		return 71;
	}
	g.control = link_new(g.base, ROLE_FD_CONTROL, &control_events, &g);
	event_add(g.records, NULL);
	event_add(g.text, NULL);
	event_base_dispatch(g.base);
	log_sink_close(&g.sink);
	return 0;
}
