#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "log/log.h"
#include "log/log_sink.h"
#include "base/banned.h"

#define SINK_MAGIC 0x4c6f6753u

struct log_sink {
	uint32_t magic;
	enum log_target target;
	int fd;
	int facility;
	bool prioritised; /* stderr is systemd's: lines begin with <n> */
	char *path;
	char host[65];
	uint64_t lost;
};

/* syslog(3) priorities; <syslog.h> is left out because its names are ours. */
static int priority(int level)
{
	return level <= LOG_LEVEL_ERROR ? 3 : level <= LOG_LEVEL_WARN ? 4 : level <= LOG_LEVEL_INFO ? 6 : 7;
}

static int open_socket(const char *path, struct err *e)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t n = strlen(path);
	int fd;

	if (n >= sizeof(a.sun_path))
		return err_fault(e, MORTISE_E_INVALID, "%s: too long for a socket's path", path);
	memcpy(a.sun_path, path, n);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_errno(e, "socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		err_errno(e, "cannot connect to %s", path);
		close(fd);
		return e->code;
	}
	return fd;
}

static int open_target(const struct log_sink *s, struct err *e)
{
	int fd;

	switch (s->target) {
	case LOG_TARGET_FILE:
		fd = open(s->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
		return fd >= 0 ? fd : err_errno(e, "cannot open %s", s->path);
	case LOG_TARGET_SYSLOG:
	case LOG_TARGET_JOURNALD:
		return open_socket(s->path, e);
	case LOG_TARGET_STDERR:
	default:
		return STDERR_FILENO;
	}
}

struct log_sink *log_sink_open(enum log_target target, const char *path, int facility, struct err *e)
{
	struct log_sink *s = mem_new(struct log_sink);

	s->magic = SINK_MAGIC;
	s->target = target;
	s->facility = facility;
	s->fd = -1;
	if (target == LOG_TARGET_STDERR)
		s->prioritised = getenv("JOURNAL_STREAM") != NULL;
	else if (target == LOG_TARGET_SYSLOG)
		s->path = mem_strdup(path != NULL ? path : "/dev/log");
	else if (target == LOG_TARGET_JOURNALD)
		s->path = mem_strdup(path != NULL ? path : "/run/systemd/journal/socket");
	else if (path != NULL && path[0] != '\0')
		s->path = mem_strdup(path);
	if (gethostname(s->host, sizeof(s->host) - 1) != 0)
		snprintf(s->host, sizeof(s->host), "localhost");
	s->host[strcspn(s->host, ".")] = '\0';
	if (target == LOG_TARGET_FILE && s->path == NULL)
		err_fault(e, MORTISE_E_INVALID, "log target \"file\" needs a file");
	else
		s->fd = open_target(s, e);
	if (s->fd < 0)
		log_sink_close(&s);
	return s;
}

int log_sink_reopen(struct log_sink *s, struct err *e)
{
	int fd;

	CHECK_OBJ(s, SINK_MAGIC);
	if (s->target == LOG_TARGET_STDERR)
		return 0;
	fd = open_target(s, e);
	if (fd < 0)
		return e->code;
	close(s->fd);
	s->fd = fd;
	return 0;
}

static void add_journal_field(struct buf *b, const char *name, const char *value)
{
	char clean[2 * LOG_FIELD_MAX];

	if (value[0] == '\0')
		return;
	log_escape(clean, sizeof(clean), value, strnlen(value, LOG_FIELD_MAX));
	buf_printf(b, "%s=%s\n", name, clean);
}

static void make_journal(const struct log_sink *s, const struct log_record *r, struct buf *b)
{
	char line[LOG_RECORD_MAX];

	log_record_line(r, LOG_LINE_TEXT, "", line, sizeof(line));
	buf_printf(b, "PRIORITY=%d\nSYSLOG_IDENTIFIER=mortise\nSYSLOG_FACILITY=%d\nMORTISE_PID=%u\n",
	    priority(r->level), s->facility, r->pid);
	if (r->number != 0)
		buf_printf(b, "MORTISE_NUMBER=MRT-%04d\n", r->number);
	add_journal_field(b, "MORTISE_ROLE", r->role);
	add_journal_field(b, "MORTISE_SESSION", r->session);
	add_journal_field(b, "MORTISE_USER", r->user);
	add_journal_field(b, "MORTISE_MAILBOX", r->mailbox);
	add_journal_field(b, "MORTISE_MODULE", r->module);
	buf_printf(b, "MESSAGE=%s", line);
}

static void make_syslog(const struct log_sink *s, const struct log_record *r, struct buf *b)
{
	char line[LOG_RECORD_MAX];
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t t = (time_t)(r->time / 1000);
	struct tm tm = {0};
	size_t n = log_record_line(r, LOG_LINE_BARE, "", line, sizeof(line));

	localtime_r(&t, &tm);
	buf_printf(b, "<%d>%.3s %2d %02d:%02d:%02d mortise-", s->facility * 8 + priority(r->level),
	    months + 3 * (tm.tm_mon % 12), tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	buf_add(b, line, n - 1); /* no LF: one datagram is one line */
}

static bool deliver(struct log_sink *s, const struct log_record *r)
{
	struct buf b AUTO_BUF = BUF_INIT;
	char line[LOG_RECORD_MAX];
	size_t n;
	unsigned attempt;

	if (s->target == LOG_TARGET_STDERR || s->target == LOG_TARGET_FILE) {
		n = log_record_line(
		    r, s->prioritised ? LOG_LINE_BARE : LOG_LINE_FULL, s->host, line, sizeof(line));
		if (s->prioritised)
			buf_printf(&b, "<%d>", priority(r->level));
		buf_add(&b, line, n);
		return io_write(s->fd, b.p, b.n) == 0;
	}
	if (s->target == LOG_TARGET_JOURNALD)
		make_journal(s, r, &b);
	else
		make_syslog(s, r, &b);
	for (attempt = 0; attempt < 2; attempt++) {
		struct err e = ERR_INIT;

		if (send(s->fd, b.p, b.n, MSG_NOSIGNAL) >= 0)
			return true;
		if (errno == EAGAIN || errno == ENOBUFS || errno == EMSGSIZE || log_sink_reopen(s, &e) != 0)
			return false;
	}
	return false;
}

void log_sink_write(struct log_sink *s, const struct log_record *r)
{
	CHECK_OBJ(s, SINK_MAGIC);
	if (s->lost != 0) {
		char text[80];
		struct log_record lost = *r;

		snprintf(text, sizeof(text), "%llu lines were lost: the log could not take them",
		    (unsigned long long)s->lost);
		lost.level = LOG_LEVEL_WARN;
		lost.number = MSG_LOG_LOST;
		lost.role = "log";
		lost.pid = (uint32_t)getpid();
		lost.session = lost.user = lost.mailbox = lost.module = "";
		lost.text = text;
		if (deliver(s, &lost))
			s->lost = 0;
	}
	if (!deliver(s, r))
		s->lost++;
}

uint64_t log_sink_lost(const struct log_sink *s)
{
	CHECK_OBJ(s, SINK_MAGIC);
	return s->lost;
}

void log_sink_close(struct log_sink **sp)
{
	struct log_sink *s;

	if (*sp == NULL)
		return;
	TAKE_OBJ(s, sp, SINK_MAGIC);
	if (s->target != LOG_TARGET_STDERR)
		io_close(&s->fd);
	mem_free(s->path);
	s->magic = 0;
	mem_free(s);
}
