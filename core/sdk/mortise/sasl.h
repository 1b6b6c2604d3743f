/*
 * mortise/sasl.h: SASL mechanisms (kind 300).
 *
 * A module offers one or more mechanisms (RFC 4422). A conversation is start → step* → an outcome. The
 * mechanism sees decoded octets only: base64, the initial response, the `*` abort, size limits and delays are
 * the core's. It never talks to a backend itself; it asks through the conversation's functions. It says who
 * the client has proved to be (authentication identity) and who it wants to act as (authorisation identity);
 * whether that is allowed is the core's decision.
 *
 * Memory of a conversation: host->alloc(call, MORTISE_LIFE_BOX) lives until dispose and is wiped then.
 */
#ifndef MORTISE_SASL_H
#define MORTISE_SASL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mortise/error.h>
#include <mortise/host.h>
#include <mortise/module.h>
#include <mortise/password.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_SASL_MAJOR 0u
#define MORTISE_SASL_MINOR 2u

#define MORTISE_MECHANISM_PLAINTEXT 0x01u    /* shows the password to the peer: offered under TLS only */
#define MORTISE_MECHANISM_CLIENT_FIRST 0x02u /* the client speaks first */
#define MORTISE_MECHANISM_SERVER_LAST 0x04u  /* success may carry data */
#define MORTISE_MECHANISM_BINDING 0x08u /* 0.2: needs a channel binding (…-PLUS): offered under TLS only */

struct mortise_mechanism {
	const char *name; /* registered name, upper case, ≤ 20 octets; NULL ends the list */
	uint32_t flags;   /* MORTISE_MECHANISM_… */
	uint32_t needs;   /* MORTISE_CREDENTIAL_…: any one of these */
};

/* What start and step return. Anything else is INTERNAL. */
#define MORTISE_SASL_CONTINUE 10 /* *out is the challenge */
#define MORTISE_SASL_DONE 20     /* identity is proved; *out may hold server-last data */
#define MORTISE_SASL_FAIL 30     /* not proved */
#define MORTISE_SASL_BAD 40      /* the client's message was malformed */
#define MORTISE_SASL_TEMP 50     /* cannot say now */

struct mortise_octets {
	const void *data; /* NULL: absent (not the same as empty) */
	size_t size;
};

/* A conversation, as the mechanism sees it. Lives from start to dispose. */
struct mortise_conversation {
	size_t size;
	const char *mechanism;
	const char *service; /* "imap" */
	const char *host;    /* this server's name */
	const char *remote;  /* client address in numbers */
	bool tls;
	void *state; /* the mechanism's own */
	/* Set by the mechanism with DONE. */
	const char *authentication; /* who was proved */
	const char *authorisation;  /* who to act as; NULL or "" when the same */

	/* The core's. verify: MORTISE_AUTH_… of the chain. credential: likewise; *text lives in LIFE_SECRET.
	 */
	int (*verify)(struct mortise_conversation *conv, struct mortise_call *call, const char *user,
	    const char *password, size_t password_size);
	int (*credential)(struct mortise_conversation *conv, struct mortise_call *call, const char *user,
	    uint32_t kind, const char **text);

	/*
	 * 0.2: channel bindings of the client's TLS connection, data NULL when there is none: tls-exporter
	 * (RFC 9266) and tls-server-end-point (RFC 5929). Set for mechanisms with the flag, and for those
	 * that are also offered with "-PLUS" behind their name, so that they can notice a client that was
	 * told otherwise.
	 */
	struct mortise_octets exporter, endpoint;
};

struct mortise_sasl_ops {
	size_t size;
	const struct mortise_mechanism *mechanisms; /* ended by a NULL name */

	/* Required. `in` is the initial response (data NULL when there was none). */
	int (*start)(struct mortise_call *call, struct mortise_conversation *conv, struct mortise_octets in,
	    struct mortise_octets *out);
	/* Required. *out lives in LIFE_CALL or longer. */
	int (*step)(struct mortise_call *call, struct mortise_conversation *conv, struct mortise_octets in,
	    struct mortise_octets *out);
	/* Required. Always called once after start, whatever it returned. */
	void (*dispose)(struct mortise_call *call, struct mortise_conversation *conv);
};

#ifdef __cplusplus
}
#endif
#endif
