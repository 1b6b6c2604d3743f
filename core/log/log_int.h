/*
 * log_int.h: what log.c and crash.c share: the state of this process' log. Static, because a process has one
 * log and the crash handler must find it without following a pointer that may be what is broken.
 */
#ifndef MORTISE_LOG_LOG_INT_H
#define MORTISE_LOG_LOG_INT_H

#include "log/log.h"
#include "log/log_record.h"

struct log_state {
	const char *role;
	int socket; /* -1: standard error */
	enum log_level least;
	char debug[256]; /* ",store,unix," */
	char host[65];
	char session[64];
	char user[LOG_FIELD_MAX];
	char mailbox[LOG_FIELD_MAX];
	uint64_t dropped; /* lines the log role had no room for */
};

extern struct log_state log_state;

/* Now, in milliseconds since 1970. Async-signal-safe. */
int64_t log_now(void);
/* A line of this process, about what it is doing now. Async-signal-safe. */
void log_fill(struct log_record *r, int level, int number, const char *text);
/* To the socket or standard error; false when the socket had no room. Async-signal-safe. */
bool log_emit(const struct log_record *r);

#endif
