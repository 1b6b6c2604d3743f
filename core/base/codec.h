/*
 * codec.h: base64 and hexadecimal (RFC 4648). Decoding is strict: no white space, correct padding, zero
 * trailing bits. The lenient decoders that mail bodies need are in the mime room.
 */
#ifndef MORTISE_BASE_CODEC_H
#define MORTISE_BASE_CODEC_H

#include "base/buf.h"

void base64_encode(struct buf *out, struct str in);
bool base64_decode(struct buf *out, struct str in); /* false: not base64; out is then unchanged */
void hex_encode(struct buf *out, struct str in);    /* lower case */
bool hex_decode(struct buf *out, struct str in);

#endif
