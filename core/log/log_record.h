/*
 * log_record.h: one line of the log on its way from the process that says it to the sink.
 *
 * A role sends its records as datagrams to the log role. A record is text: the fields below in their order,
 * each ended by a NUL, after a first field "1" that is the version. Nothing is trusted on arrival: a field
 * too many, too few, too long or not a number and the datagram is refused; control characters are escaped
 * again when the line is made, so what a hostile process sends can be wrong but cannot look like two lines.
 * The log role knows better than the record who speaks: it overwrites `pid` from the socket's credentials.
 *
 * Encoding and line making neither allocate nor call stdio, and, but for the time of LOG_LINE_FULL, do not
 * lock, so that the crash handler can use them.
 */
#ifndef MORTISE_LOG_LOG_RECORD_H
#define MORTISE_LOG_LOG_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_TEXT_MAX 4096u   /* octets of the text, after escaping */
#define LOG_FIELD_MAX 256u   /* octets of any other field */
#define LOG_RECORD_MAX 8192u /* octets of a datagram or a line */

struct log_record {
	int level;    /* LOG_LEVEL_… */
	int number;   /* log_id, or 0 for debug lines and modules */
	int64_t time; /* milliseconds since 1970 UTC */
	uint32_t pid;
	const char *role;
	const char *session; /* these four may be "" */
	const char *user;
	const char *mailbox;
	const char *module;
	const char *text;
};

enum log_line_style {
	LOG_LINE_FULL, /* time, host, role[pid]: prefix: text */
	LOG_LINE_BARE, /* role[pid]: prefix: text, for a sink that adds time and host itself */
	LOG_LINE_TEXT  /* prefix: text, for a sink that has fields for the rest */
};

/* Control characters, broken UTF-8, C1 controls and bidirectional overrides become \xNN. Cut at room - 1. */
size_t log_escape(char *out, size_t room, const char *in, size_t n);
/* Octets written. */
size_t log_record_encode(const struct log_record *r, char *out, size_t room);
/* The record's strings point into `datagram`. */
bool log_record_decode(struct log_record *r, const char *datagram, size_t n);
/* A line with its LF and a NUL (not counted). `host` is used by LOG_LINE_FULL only. */
size_t log_record_line(
    const struct log_record *r, enum log_line_style style, const char *host, char *out, size_t room);
const char *log_level_name(int level);

#endif
