/*
 * prelogin.h: IMAP before login (RFC 9051 §6.1, §6.2).
 *
 * A pure state machine: octets in, replies out, and now and then an action for its owner (the front's event
 * loop, a unit test, a fuzzer), who does the I/O. It knows CAPABILITY, NOOP, LOGOUT, ID, STARTTLS, LOGIN and
 * AUTHENTICATE; everything else is refused until the connection has become a session, in another process.
 *
 * Rules kept here: no password in clear unless the offer says so (LOGINDISABLED, attack-012); nothing that
 * came before STARTTLS has an effect after it (attack-001, 005, 011): prelogin_secured forgets all; bad
 * commands and failed logins are counted and end the connection; web browsers are shown the door
 * (attack-025); one text for every wrong login (attack-058).
 */
#ifndef MORTISE_IMAP_PRELOGIN_H
#define MORTISE_IMAP_PRELOGIN_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

/* What auth offers now; shared by all connections, changed in place. Space-separated mechanism names. */
struct prelogin_offer {
	const char *tls, *clear;
};

struct prelogin_options {
	const struct prelogin_offer *offer;
	bool starttls;          /* a certificate is there and the connection may turn to TLS */
	uint64_t bad_commands;  /* in a row, until BYE */
	uint64_t failures;      /* failed logins until BYE */
	uint64_t response_size; /* octets of one SASL line */
};

enum prelogin_action {
	PRELOGIN_MORE,     /* nothing to do but to send what was written; feed more when it comes */
	PRELOGIN_STARTTLS, /* send, then begin TLS, then prelogin_secured */
	PRELOGIN_START,  /* ask auth: prelogin_mechanism, prelogin_response. Feed nothing until it answered */
	PRELOGIN_STEP,   /* hand prelogin_response to auth. Feed nothing until it answered */
	PRELOGIN_CANCEL, /* the client gave up: tell auth, which does not answer. Then go on feeding */
	PRELOGIN_LOGIN,  /* authenticated and confirmed: make the session */
	PRELOGIN_CLOSE   /* send what was written, then close */
};

struct prelogin;
/* The options outlive it. tls: the connection is under TLS from the start. */
struct prelogin *prelogin_new(const struct prelogin_options *o, bool tls);
void prelogin_free(struct prelogin **pp);
void prelogin_greet(struct prelogin *p, struct buf *out);
/* The TLS handshake after STARTTLS is done. */
void prelogin_secured(struct prelogin *p);
/* Takes octets from the front of *in until there is an action or nothing is left (MORE). */
enum prelogin_action prelogin_feed(struct prelogin *p, struct str *in, struct buf *out);

/* START, STEP: valid until the next call. mechanism "" is the LOGIN command, response then user NUL password.
 */
struct str prelogin_mechanism(const struct prelogin *p);
struct str prelogin_response(const struct prelogin *p); /* p == NULL: no initial response */
/* LOGIN: the tag of the command the session has to answer. */
struct str prelogin_tag(const struct prelogin *p);

/* What auth said to START or STEP. */
void prelogin_challenge(struct prelogin *p, struct str octets, struct buf *out);
/* last.p NULL: none. MORE (one more response is due) or LOGIN. */
enum prelogin_action prelogin_succeeded(struct prelogin *p, struct str last, struct buf *out);
/* result is MORTISE_AUTH_… */
enum prelogin_action prelogin_failed(struct prelogin *p, int result, struct buf *out);
/* The conversation broke the mechanism's rules. */
enum prelogin_action prelogin_refused(struct prelogin *p, struct buf *out);
/* Authenticated, but there will be no session: code is MORTISE_E_…. */
enum prelogin_action prelogin_no_session(struct prelogin *p, int code, struct buf *out);
/* CLOSE: what the client did wrong; NULL when it said LOGOUT. */
const char *prelogin_why(const struct prelogin *p);
/* The server ends it: "* BYE text". */
void prelogin_bye(struct buf *out, const char *code, const char *text);

#endif
