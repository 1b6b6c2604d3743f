/*
 * log.h: what the administrator reads.
 *
 * Every message that an administrator may have to act on has a number that never changes (MRT-0213), a level
 * and a paragraph of help; all three stand in messages.def, from which the enum, the level and the manual
 * page mortise-messages(7) are made. Debug lines have no number; they belong to a room and are off until
 * asked for.
 *
 * A line is: time, host, role[pid], then the prefix of what is being done (session, user, mailbox, module, as
 * far as set), then "MRT-nnnn level: text". Control characters in arguments are written as \xNN, so no client
 * can forge a line. Passwords and message text are never logged, at any level.
 *
 * Where it goes: a role started by the master writes datagrams to the log role (log_use_socket), which owns
 * the sink: stderr, a file, syslog (any facility) or journald. Sending never blocks: when the log role is
 * slow the line is dropped and counted, and the count is logged when there is room again. Before that, and in
 * tools, stderr. Equal messages (same number) are limited to LOG_RATE a second a process; the rest is
 * counted.
 */
#ifndef MORTISE_LOG_LOG_H
#define MORTISE_LOG_LOG_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/object.h"

enum log_level { LOG_LEVEL_ERROR = 10, LOG_LEVEL_WARN = 20, LOG_LEVEL_INFO = 30, LOG_LEVEL_DEBUG = 40 };

enum log_id {
#define MSG(number, level, name, help) MSG_##name = number,
#include "log/messages.def"
#undef MSG
};

#define LOG_RATE 20

/* `role` is a static string: "master", "front", "session", "mailutil"… */
void log_start(const char *role);
void log_use_socket(int fd);              /* datagrams to the log role; fd stays the caller's */
void log_set_level(enum log_level least); /* default INFO */
/* Rooms or modules ("store", "unix", comma-separated, "all") whose debug lines are wanted. */
void log_set_debug(const char *areas);
bool log_debugging(const char *area);

/* Parts of the prefix; NULL or "" clears. The strings are copied. */
void log_set_session(const char *session); /* short random id, also shown to the client in errors */
void log_set_user(const char *user);
void log_set_mailbox(const char *mailbox);

void log_msg(enum log_id id, const char *format, ...) PRINTF_LIKE(2, 3);
void log_vmsg(enum log_id id, const char *format, va_list ap) PRINTF_LIKE(2, 0);
/* The admin text of an error under a number, with the error code's name. */
void log_err(enum log_id id, const struct err *e, const char *doing);
void log_debug(const char *area, const char *format, ...) PRINTF_LIKE(2, 3);
/* For modules: level is MORTISE_LOG_…; the number is NAME-nnn when the text starts with "[NAME-nnn] ". */
void log_module(const char *instance, int level, const char *format, va_list ap) PRINTF_LIKE(3, 0);

const char *log_help(enum log_id id); /* the paragraph, for tools */

/*
 * Crash breadcrumbs: where the process is, kept in static memory, written by an async-signal-safe handler
 * when it dies of SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT, together with the build id; then the default
 * action follows. Not installed under sanitizers, which have their own.
 */
void log_catch_crashes(void);
/*
 * Runs in the handler, after the line was written, and may do only what is safe there: puts out of the way
 * what killed the process, so that it does not kill the next. `address`: of the fault, NULL for others. What
 * it answers is logged, unless NULL.
 */
void log_crash_hook(const char *(*hook)(int signo, const void *address));
/* The module instance and callback being run ("unix", "append"), NULL NULL when back. The strings must be
 * static or outlive. */
void log_crumb(const char *instance, const char *callback);
/*
 * From now on the instance is also written to `place`, which a parent process shares and reads after this one
 * has died. It is a pointer of this process: the parent may only compare it with pointers it had before the
 * fork.
 */
void log_crumb_share(const char *volatile *place);

#endif
