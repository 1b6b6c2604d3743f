/*
 * stream.h: a buffered connection for straight-line code.
 *
 * The session process talks through this: reads that wait until a deadline, writes that are gathered and
 * flushed in one system call, a bound on what is kept. The descriptors are blocking or not, sockets or pipes
 * (--preauth); TLS is not here, the front process has taken it off.
 */
#ifndef MORTISE_NET_STREAM_H
#define MORTISE_NET_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct stream;
/* Takes over the descriptors (they may be the same). */
struct stream *stream_new(int in, int out, size_t output_limit);
void stream_free(struct stream **sp); /* flushes (bounded wait), closes */
/* Octets received before the session began. */
void stream_unread(struct stream *s, struct str octets);

/* From here on both directions are compressed (deflate.h). What is in the output goes before. False: dead. */
bool stream_start_deflate(struct stream *s);
bool stream_deflates(const struct stream *s);
/* The peer can send nothing more (a socket). False: something has come that was not consumed. */
bool stream_end_input(struct stream *s);

enum stream_result { STREAM_OK, STREAM_EOF, STREAM_TIMEOUT, STREAM_ERROR };
/*
 * Until there is at least one octet in the input window, which stays valid until the next stream call; or
 * until one of two other descriptors becomes readable (IDLE: the mailbox may have changed; the server stops),
 * then STREAM_OK with an empty window. -1: none.
 */
enum stream_result stream_wait(struct stream *s, int other_fd, int another_fd, uint64_t deadline);
struct str stream_input(const struct stream *s);
void stream_consume(struct stream *s, size_t n);
int stream_out_fd(const struct stream *s);

/* Output is kept until flush or until output_limit is reached, then written (waiting at most write_timeout).
 */
struct buf *stream_output(struct stream *s); /* append here; then stream_written */
bool stream_written(struct stream *s);       /* flushes when there is more than the limit; false: dead */
bool stream_flush(struct stream *s);         /* false: the peer is gone or too slow */
void stream_set_write_timeout(struct stream *s, uint64_t ms);
uint64_t stream_octets_in(const struct stream *s);
uint64_t stream_octets_out(const struct stream *s);

#endif
