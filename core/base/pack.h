/*
 * pack.h: typed fields of the messages between roles.
 *
 * A message is one datagram (SOCK_SEQPACKET): a 16-bit type and then fields, each with its own tag octet, so
 * that sender and receiver cannot disagree about what comes next without noticing. No delimiters: whatever a
 * user name or a password holds cannot end a field early. The reader never trusts: any mismatch, overrun or
 * left-over octet makes `bad` true and every later get returns zero or empty; check unpack_done() once at the
 * end. Numbers are little-endian; the peers are the same binary on the same machine.
 */
#ifndef MORTISE_BASE_PACK_H
#define MORTISE_BASE_PACK_H

#include "base/arena.h"
#include "base/buf.h"

#define PACK_MAX 65536u /* octets of one message */

void pack_start(struct buf *b, uint16_t type); /* resets b */
void pack_u32(struct buf *b, uint32_t v);
void pack_u64(struct buf *b, uint64_t v);
void pack_str(struct buf *b, struct str s); /* p == NULL stays distinct from empty */
void pack_cstr(struct buf *b, const char *s);

struct unpack {
	struct str rest;
	bool bad;
};

/* The type, or 0 for a message too short to have one. Type 0 is never sent. */
uint16_t unpack_start(struct unpack *u, const void *p, size_t n);
uint32_t unpack_u32(struct unpack *u);
uint64_t unpack_u64(struct unpack *u);
struct str unpack_str(struct unpack *u); /* window into the message */
/* As a C string in the arena; bad when it holds a NUL. NULL stays NULL. */
char *unpack_cstr(struct unpack *u, struct arena *a);
bool unpack_done(struct unpack *u); /* nothing was bad and nothing is left */

#endif
