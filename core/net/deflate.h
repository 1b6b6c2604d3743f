/*
 * deflate.h: DEFLATE on a stream, both ways (RFC 4978).
 *
 * Nothing is held back: what is flushed can be read by the other side. What the client sends is taken in
 * pieces as large as the room for them, so that a few octets that become gigabytes cost time only while
 * somebody reads them. One connection costs about 110 KiB: 40 KiB to read, since the client may use the whole
 * window of 32 KiB, the rest to write (a window of 8 KiB is nearly as good for mail).
 */
#ifndef MORTISE_NET_DEFLATE_H
#define MORTISE_NET_DEFLATE_H

#include <stdbool.h>

#include "base/buf.h"

struct deflate;
struct deflate *deflate_new(void);
void deflate_free(struct deflate **dp);

/* Octets from the other side, to be inflated; only when deflate_waiting is 0. Copied. */
void deflate_feed(struct deflate *d, struct str octets);
/* Octets that were fed and are not inflated yet. */
size_t deflate_waiting(const struct deflate *d);
/* At most `room` octets, appended. False: this is no DEFLATE, or it has ended. */
bool deflate_inflate(struct deflate *d, struct buf *out, size_t room);

/* Compresses to the end of `out`. flush: all that was given can be read from it. */
void deflate_compress(struct deflate *d, struct str octets, bool flush, struct buf *out);

#endif
