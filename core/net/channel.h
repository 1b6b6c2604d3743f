/*
 * channel.h: one connection in an event loop, in clear or under TLS, with bounded buffers.
 *
 * A channel reads into an input buffer that never holds more than CHANNEL_INPUT octets (it stops reading
 * until the owner has consumed some) and writes from an output buffer whose owner must look at
 * channel_pending before it adds more than a reply. Both bounds together make back-pressure: a peer that does
 * not read stops what feeds it, instead of filling memory.
 *
 * Events come from the loop only, never from inside a call the owner makes, and the owner may free the
 * channel in any of them.
 */
#ifndef MORTISE_NET_CHANNEL_H
#define MORTISE_NET_CHANNEL_H

#include <stdbool.h>

#include <event2/event.h>
#include <openssl/ssl.h>

#include "base/buf.h"

#define CHANNEL_INPUT 16384u

struct channel;

struct channel_events {
	void (*input)(void *arg);   /* octets were added to channel_input */
	void (*drained)(void *arg); /* everything written has gone to the kernel */
	void (*secured)(void *arg); /* the TLS handshake is done */
	void (*ended)(
	    void *arg); /* the peer sends no more; input may still hold octets; output still works */
	void (*failed)(void *arg, const char *why); /* the connection is dead */
};

/* Takes the descriptor (made non-blocking). */
struct channel *channel_new(struct event_base *base, int fd, const struct channel_events *events, void *arg);
void channel_free(struct channel **cp); /* closes at once */

/*
 * Begins the server's handshake. Whatever was read in clear and not consumed is thrown away (a STARTTLS
 * injection, RFC 3207 §6, CVE-2011-0411), and so must the owner's parser state be. No output may be pending.
 */
void channel_start_tls(struct channel *c, SSL_CTX *ctx);
const SSL *channel_tls(const struct channel *c); /* NULL in clear */

struct buf *channel_input(struct channel *c);      /* consume with buf_consume, then channel_consumed */
void channel_consumed(struct channel *c);          /* there is room again */
void channel_pause(struct channel *c, bool pause); /* stop reading (and input, ended events) */
void channel_write(struct channel *c, struct str octets);
size_t channel_pending(const struct channel *c);
/*
 * For a socket in clear: when the peer takes nothing more, that is no failure. What it has not been given
 * stays in channel_unsent, and what it still says is read.
 */
void channel_keep_unsent(struct channel *c);
struct str channel_unsent(const struct channel *c);
/* No more output: after what is pending, close_notify and the end of our half. */
void channel_finish(struct channel *c);
bool channel_ended(const struct channel *c); /* the peer's end has come */
int channel_fd(const struct channel *c);
void channel_set_events(struct channel *c, const struct channel_events *events); /* the argument stays */

#endif
