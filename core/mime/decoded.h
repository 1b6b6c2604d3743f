/*
 * decoded.h: the body of a part without its transfer encoding, as a source.
 *
 * Decoding goes forward, a piece at a time, so memory is a piece. Two places are remembered: where the piece
 * begins that was decoded last, and where the reader last jumped to. Who reads a range once to learn its
 * length and again to send it, decodes the range twice and what stands before it once.
 *
 * What a source has learned outlives it in the `struct decoding`: a client that fetches a large attachment in
 * ranges, one command after the other, goes on where the last range ended.
 */
#ifndef MORTISE_MIME_DECODED_H
#define MORTISE_MIME_DECODED_H

#include "mime/mime.h"

struct decoding;
/* Of [from, to) of a message's source, in this encoding; one that is not known changes nothing. */
struct decoding *decoding_new(uint64_t from, uint64_t to, struct str encoding);
void decoding_free(struct decoding **dp);

/*
 * The decoded octets. Both `of` and `d` must outlive the source, and `d` has one source at a time. Whatever
 * source is opened with `d` later must have the same octets.
 */
struct source *source_decoded(struct source *of, struct decoding *d);

#endif
