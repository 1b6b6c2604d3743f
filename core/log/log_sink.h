/*
 * log_sink.h: where the lines end up. Used by the log role, which is the only one that may block on them.
 *
 *   stderr    one line each; started by systemd (JOURNAL_STREAM is set) a line begins with <priority>
 *   file      appended; log_sink_reopen after it was rotated
 *   syslog    RFC 3164 datagrams to /dev/log under any facility
 *   journald  its native protocol, with the prefix's parts as fields: MORTISE_SESSION, MORTISE_USER, …
 *
 * A sink that cannot take a line (disk full, no syslogd) loses it and counts it; the count is told with the
 * next line that goes through. The two sockets are connected at once, so that a role may close its door
 * behind itself; when the other side restarts they are connected again, if the path can still be reached.
 */
#ifndef MORTISE_LOG_LOG_SINK_H
#define MORTISE_LOG_LOG_SINK_H

#include "base/err.h"
#include "log/log_record.h"

enum log_target {
	LOG_TARGET_STDERR = 10,
	LOG_TARGET_FILE = 20,
	LOG_TARGET_SYSLOG = 30,
	LOG_TARGET_JOURNALD = 40
};

struct log_sink;

/*
 * `path`: the file; for syslog and journald the socket, NULL: the usual place. `facility` is the number of a
 * syslog facility (2 mail), for LOG_TARGET_SYSLOG and _JOURNALD. NULL and an error when it cannot be had.
 */
struct log_sink *log_sink_open(enum log_target target, const char *path, int facility, struct err *e);
void log_sink_write(struct log_sink *s, const struct log_record *r);
/* After log rotation, or to connect again. 0 or a code; the old descriptor then stays in use. */
int log_sink_reopen(struct log_sink *s, struct err *e);
uint64_t log_sink_lost(const struct log_sink *s); /* lines lost so far and not yet told */
void log_sink_close(struct log_sink **sp);

#endif
