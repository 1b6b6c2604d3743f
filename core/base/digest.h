/*
 * digest.h: SHA-256 (OpenSSL) of octets that come in pieces, for names that nobody can choose, and HMAC with
 * it (RFC 2104), for what only the server can have said.
 */
#ifndef MORTISE_BASE_DIGEST_H
#define MORTISE_BASE_DIGEST_H

#include "base/buf.h"
#include "base/str.h"

#define DIGEST_NAME_OCTETS 22u
#define DIGEST_OCTETS 32u

struct digest;
struct digest *digest_new(void);
void digest_add(struct digest *d, struct str octets);
/*
 * Appends the first 128 bits as 22 characters of base64url (RFC 4648 §5, without padding), which are letters,
 * digits, "-" and "_"; frees.
 */
void digest_name(struct digest **dp, struct buf *out);
void digest_free(struct digest **dp); /* NULL is allowed inside */

/* The key has DIGEST_OCTETS octets. */
void digest_hmac(const unsigned char *key, struct str octets, unsigned char out[DIGEST_OCTETS]);

#endif
