/*
 * OpenSSL's old functions, on purpose: the new ones fetch providers and read a configuration file first,
 * which takes a short session more time and memory than all that it hashes.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "base/digest.h"

#include <openssl/sha.h>

#include "base/mem.h"
#include "base/object.h"
#include "base/banned.h"

#define DIGEST_MAGIC 0x44696765u /* "Dige" */

struct digest {
	uint32_t magic;
	SHA256_CTX context;
};

struct digest *digest_new(void)
{
	struct digest *d = mem_new(struct digest);

	d->magic = DIGEST_MAGIC;
	ASSERT(SHA256_Init(&d->context) == 1);
	return d;
}

void digest_add(struct digest *d, struct str octets)
{
	CHECK_OBJ(d, DIGEST_MAGIC);
	ASSERT(octets.n == 0 || SHA256_Update(&d->context, octets.p, octets.n) == 1);
}

void digest_free(struct digest **dp)
{
	struct digest *d = *dp;

	*dp = NULL;
	if (d == NULL)
		return;
	CHECK_OBJ(d, DIGEST_MAGIC);
	mem_free(d);
}

void digest_name(struct digest **dp, struct buf *out)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	unsigned char hash[SHA256_DIGEST_LENGTH];
	uint32_t bits = 0;
	unsigned have = 0, i, at = 0;

	CHECK_OBJ(*dp, DIGEST_MAGIC);
	ASSERT(SHA256_Final(hash, &(*dp)->context) == 1);
	for (i = 0; i < DIGEST_NAME_OCTETS; i++) {
		if (have < 6) {
			bits = bits << 8 | (at < 16 ? hash[at] : 0);
			at++;
			have += 8;
		}
		have -= 6;
		buf_addc(out, letters[bits >> have & 63]);
	}
	digest_free(dp);
}

static void hash_two(const unsigned char *block, struct str rest, unsigned char out[DIGEST_OCTETS])
{
	SHA256_CTX c;

	ASSERT(SHA256_Init(&c) == 1 && SHA256_Update(&c, block, SHA256_CBLOCK) == 1 &&
	       SHA256_Update(&c, rest.p, rest.n) == 1 && SHA256_Final(out, &c) == 1);
}

void digest_hmac(const unsigned char *key, struct str octets, unsigned char out[DIGEST_OCTETS])
{
	unsigned char inner[SHA256_CBLOCK] = {0}, outer[SHA256_CBLOCK], inside[DIGEST_OCTETS];
	size_t i;

	memcpy(inner, key, DIGEST_OCTETS);
	for (i = 0; i < SHA256_CBLOCK; i++) {
		outer[i] = inner[i] ^ 0x5c;
		inner[i] ^= 0x36;
	}
	hash_two(inner, octets, inside);
	hash_two(outer, str_mem(inside, sizeof(inside)), out);
	mem_wipe(inner, sizeof(inner));
	mem_wipe(outer, sizeof(outer));
}
