/*
 * front_int.h: inside the front, the only process that strangers talk to.
 *
 * It has no account worth having, no files, no secrets but the TLS key, and no say: whether a login is right
 * is auth's answer, whether a session is made is the spawner's. A connection's life:
 *
 *     accept → (TLS) → PRELOGIN ⇄ AUTH → SPAWN → handed over, or PROXY while there is TLS to take off
 *
 * In clear the client's own socket goes to the session and the front forgets the connection. Under TLS the
 * session gets one end of a socket pair and the front carries octets both ways through bounded buffers. When
 * such a session ends, the spawner says whether its client has asked for that (UNAUTHENTICATE, RFC 8437):
 * then the connection is in PRELOGIN again. Nothing that the session says is needed for it, or believed;
 * octets it had not taken yet are the front's own.
 */
#ifndef MORTISE_PROC_FRONT_INT_H
#define MORTISE_PROC_FRONT_INT_H

#include <sys/queue.h>

#include <event2/event.h>
#include <openssl/ssl.h>

#include "auth/messages.h"
#include "imap/prelogin.h"
#include "net/channel.h"
#include "net/listen.h"
#include "net/tls.h"
#include "proc/link.h"
#include "proc/options.h"

#define FRONT_BUCKETS 4096u

enum connection_state {
	CONNECTION_HANDSHAKE, /* TLS from the first octet */
	CONNECTION_PRELOGIN,
	CONNECTION_TURNING, /* STARTTLS: the OK goes out, then the handshake */
	CONNECTION_AUTH,    /* waits for auth */
	CONNECTION_SPAWN,   /* waits for the spawner */
	CONNECTION_PROXY,
	CONNECTION_ENDED, /* the session is gone; the spawner will say how */
	CONNECTION_CLOSING
};

struct front;

/* Connections from one address. */
struct origin {
	LIST_ENTRY(origin) chain;
	uint64_t count;
	bool told; /* the limit was logged; again when it has fallen below it */
	char key[ADDRESS_TEXT];
};

struct connection {
	uint32_t magic;
	enum connection_state state;
	struct front *front;
	TAILQ_ENTRY(connection) entry; /* in front->waiting before login, in front->proxied after */
	bool waiting;
	LIST_ENTRY(connection) chain; /* by id */
	uint64_t id;
	struct origin *origin;
	struct channel *client, *session;
	int session_fd; /* the session's end of the pair until the spawner has it */
	struct prelogin *prelogin;
	struct event *timer;
	bool tls;             /* the client's side is under TLS */
	bool unauthenticated; /* the spawner said so; counts when the session's end has come */
	bool told_end;        /* the spawner has said how it ended */
	struct buf unsent;    /* what the session did not take any more */
	bool spawn_waits;     /* CONNECTION_SPAWN: what was written must go out first */
	char grant[AUTH_GRANT_SIZE];
	char remote[ADDRESS_TEXT], local[ADDRESS_TEXT];
};
TAILQ_HEAD(connection_queue, connection);
LIST_HEAD(connection_bucket, connection);
LIST_HEAD(origin_bucket, origin);

struct front_listener {
	struct front *front;
	struct event *readable;
	int fd;
	bool tls;
	struct front_listener *next;
};

struct front {
	struct event_base *base;
	struct limit_options limits;
	struct tls_options tls_options;
	unsigned share; /* fronts among which server-wide limits are divided */
	SSL_CTX *tls;
	struct prelogin_offer offer;
	struct prelogin_options prelogin;
	bool offered, ready, going, draining;
	struct link *control, *auth, *spawner;
	struct front_listener *listeners;
	struct event *accept_again;
	struct connection_queue waiting, proxied; /* oldest first */
	size_t waiting_count, proxied_count;
	struct connection_bucket by_id[FRONT_BUCKETS];
	struct origin_bucket origins[FRONT_BUCKETS];
	uint64_t last_id;
	bool told_full;
	struct event *stop_timer;
};

/* front_connection.c */
extern const struct channel_events connection_events;
void connection_accept(struct front *f, int fd, bool tls);
/*
 * The last words were written: sends them and our end, and waits a bounded time for the client's. The
 * connection may be gone when this returns.
 */
void connection_close(struct connection *c);
/* limits.linger is shorter now: that holds for those that are closing, too. */
void connection_hurry(struct connection *c);
/* Ends it with "* BYE [code] text" when IMAP can be spoken, at once otherwise. */
void connection_bye(struct connection *c, const char *code, const char *text);
void connection_free(struct connection **cp);
struct connection *connection_by_id(struct front *f, uint64_t id);

/* front_login.c: the conversation with auth and spawner. */
void login_run(struct connection *c);   /* feeds what has come to the pre-login machine */
void login_spawn(struct connection *c); /* asks for the session of a connection that is logged in */
bool login_auth_message(struct front *f, struct link_message *m);
bool login_spawner_message(struct front *f, struct link_message *m);
/* Auth or spawner is gone: what waits for it fails. */
void login_lost(struct front *f, enum connection_state waits_in);

/* front_proxy.c */
void proxy_start(struct connection *c, int fd);
/* What the spawner said of a session's end. */
void proxy_session_over(struct connection *c, bool unauthenticated);
/* The spawner is gone: nothing will be said. */
void proxy_lost(struct front *f);

/* front.c */
void front_connection_gone(struct front *f);

#endif
