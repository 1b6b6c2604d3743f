/*
 * session.h: IMAP after login: one connection of one user, from the answer to the login command to the end.
 *
 * The process that calls it already is the user, sandboxed, with the store open (core/proc/session.c), or it
 * is `imapd --preauth` on standard input and output. Straight-line code: read a command, do it, write the
 * reply.
 *
 * It ends when the client logs out or is gone, after the autologout time, when too many commands were bad,
 * and when stop_fd becomes readable (SIGTERM: the server stops): then with BYE, between commands or in IDLE
 * at once, and in the middle of a long command at its next look (store_set_stop).
 */
#ifndef MORTISE_IMAP_SESSION_H
#define MORTISE_IMAP_SESSION_H

#include <stdbool.h>

#include "base/str.h"
#include "conf/conf.h"
#include "net/stream.h"
#include "store/store.h"

struct imap_options;                            /* session_int.h */
extern const struct conf_group imap_conf_group; /* conf group "imap" */

struct imap_session_setup {
	struct stream *stream; /* stays the caller's; has the octets that came after the login command */
	struct store *store;   /* stays the caller's */
	const struct imap_options *options; /* filled from imap_conf_group */
	const char *user;
	const char *session; /* the id the log shows */
	const char *remote;  /* address of the client, or "stdin" */
	bool tls;
	bool unauthenticate; /* the connection can go on without the session */
	bool preauth;        /* greet with PREAUTH; otherwise answer the login command: */
	struct str tag;      /* its tag */
	const char *ok_text; /* "Logged in": tag OK [CAPABILITY …] ok_text */
	struct str alert;    /* lines to be shown at the beginning */
	int stop_fd;         /* readable: end; -1: never */
};

/* The file with the alert; "": none. */
const char *imap_alert_file(const struct imap_options *o);
#define IMAP_UNAUTHENTICATED 1
/*
 * When it returns, everything that may be said was said and flushed. 0, or a MORTISE_E code for the log, or
 * IMAP_UNAUTHENTICATED: the client wants to log in again.
 */
int imap_session_run(const struct imap_session_setup *s);

#endif
