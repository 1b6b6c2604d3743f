#include <crypt.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "secret.h"

#define ITERATIONS_MIN 4096u
#define ITERATIONS_MAX 10000000u
#define SALT_MIN 8u
#define SALT_MAX 64u
#define DIGEST_MAX 32u

static const char PLAIN_PREFIX[] = "{PLAIN}";
static const char CRYPT_PREFIX[] = "{CRYPT}";

struct scram_kind {
	const char *prefix;
	size_t prefix_size;
	uint32_t credential;
	size_t digest_size;
	const EVP_MD *(*digest)(void);
};

static const struct scram_kind scram_kinds[] = {
    {"{SCRAM-SHA-256}", 15, MORTISE_CREDENTIAL_SCRAM_SHA256, 32, EVP_sha256},
    {"{SCRAM-SHA-1}", 13, MORTISE_CREDENTIAL_SCRAM_SHA1, 20, EVP_sha1},
};

struct scram {
	const struct scram_kind *kind;
	uint32_t iterations;
	unsigned char salt[SALT_MAX], stored[DIGEST_MAX], server[DIGEST_MAX];
	size_t salt_size;
};

static bool starts(struct slice s, const char *prefix, size_t n)
{
	return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

static struct slice from(struct slice s, size_t n)
{
	return (struct slice){s.p + n, s.n - n};
}

bool secret_is_plain(struct slice s)
{
	return starts(s, PLAIN_PREFIX, sizeof(PLAIN_PREFIX) - 1);
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict RFC 4648; false when it is not base64 or does not fit. */
static bool base64(struct slice s, unsigned char *out, size_t room, size_t *size)
{
	size_t i, n = 0, pad = 0;
	uint32_t bits = 0;

	if (s.n == 0 || s.n % 4 != 0)
		return false;
	while (pad < 2 && s.p[s.n - 1 - pad] == '=')
		pad++;
	for (i = 0; i < s.n; i++) {
		int v = i >= s.n - pad ? 0 : base64_value(s.p[i]);

		if (v < 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		if (i % 4 == 3) {
			size_t k, take = i + 1 == s.n ? 3 - pad : 3;

			if ((pad > 0 && i + 1 == s.n && (bits & ((1u << (8 * pad)) - 1)) != 0) ||
			    n + take > room)
				return false;
			for (k = 0; k < take; k++)
				out[n++] = (unsigned char)(bits >> (16 - 8 * k));
			bits = 0;
		}
	}
	*size = n;
	return true;
}

static struct slice next_part(struct slice *s)
{
	const char *comma = s->n > 0 ? memchr(s->p, ',', s->n) : NULL;
	struct slice part = *s;

	if (comma == NULL) {
		*s = (struct slice){s->p + s->n, 0};
		return part;
	}
	part.n = (size_t)(comma - s->p);
	*s = from(*s, part.n + 1);
	return part;
}

static bool iterations_of(struct slice s, uint32_t *out)
{
	uint32_t v = 0;
	size_t i;

	if (s.n == 0 || s.n > 8)
		return false;
	for (i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint32_t)(s.p[i] - '0');
	}
	*out = v;
	return v >= ITERATIONS_MIN && v <= ITERATIONS_MAX;
}

/* 1 a good SCRAM verifier, 0 something else, -1 a bad one. */
static int scram_parse(struct slice s, struct scram *out)
{
	size_t i, size;
	struct slice rest, salt, stored, server;

	for (i = 0; i < sizeof(scram_kinds) / sizeof(scram_kinds[0]); i++)
		if (starts(s, scram_kinds[i].prefix, scram_kinds[i].prefix_size))
			break;
	if (i == sizeof(scram_kinds) / sizeof(scram_kinds[0]))
		return 0;
	out->kind = &scram_kinds[i];
	rest = from(s, out->kind->prefix_size);
	if (!iterations_of(next_part(&rest), &out->iterations))
		return -1;
	salt = next_part(&rest);
	stored = next_part(&rest);
	server = next_part(&rest);
	if (rest.n != 0 || !base64(salt, out->salt, sizeof(out->salt), &out->salt_size) ||
	    out->salt_size < SALT_MIN)
		return -1;
	if (!base64(stored, out->stored, sizeof(out->stored), &size) || size != out->kind->digest_size)
		return -1;
	if (!base64(server, out->server, sizeof(out->server), &size) || size != out->kind->digest_size)
		return -1;
	return 1;
}

bool secret_ok(struct slice s)
{
	struct scram scram;
	int r = scram_parse(s, &scram);

	if (r != 0)
		return r == 1;
	if (secret_is_plain(s))
		return s.n > sizeof(PLAIN_PREFIX) - 1;
	if (starts(s, CRYPT_PREFIX, sizeof(CRYPT_PREFIX) - 1))
		s = from(s, sizeof(CRYPT_PREFIX) - 1);
	return s.n >= 2 && s.n < CRYPT_OUTPUT_SIZE && s.p[0] != '{' && s.p[0] != '*' && s.p[0] != '!';
}

/* RFC 5802 §3: what the client would prove, computed from the password. */
static int scram_check(struct mortise_call *call, const struct scram *s, const char *password, size_t size)
{
	unsigned char salted[DIGEST_MAX], key[DIGEST_MAX], stored[DIGEST_MAX];
	const EVP_MD *md = s->kind->digest();
	int length = (int)s->kind->digest_size, right;
	unsigned n = 0;

	if (PKCS5_PBKDF2_HMAC(password, (int)size, s->salt, (int)s->salt_size, (int)s->iterations, md, length,
	        salted) != 1 ||
	    HMAC(md, salted, length, (const unsigned char *)"Client Key", 10, key, &n) == NULL ||
	    EVP_Digest(key, (size_t)length, stored, &n, md, NULL) != 1)
		return -1;
	right = call->host->equal(call, stored, s->stored, (size_t)length);
	if (HMAC(md, salted, length, (const unsigned char *)"Server Key", 10, key, &n) == NULL)
		return -1;
	right &= call->host->equal(call, key, s->server, (size_t)length);
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(key, sizeof(key));
	explicit_bzero(stored, sizeof(stored));
	return right;
}

static int crypt_check(struct mortise_call *call, struct slice s, const char *password, size_t size)
{
	struct crypt_data *data;
	char setting[CRYPT_OUTPUT_SIZE];
	const char *made;
	int result = -1;

	if (s.n >= sizeof(setting))
		return -1;
	if (size >= CRYPT_MAX_PASSPHRASE_SIZE)
		return 0; /* no hash was ever made of so long a password */
	memcpy(setting, s.p, s.n);
	setting[s.n] = '\0';
	data = calloc(1, sizeof(*data));
	if (data == NULL)
		return -1;
	made = crypt_r(password, setting, data);
	/* NULL or "*0", "*1": the hash is of a kind this system does not know, or cut off. */
	if (made != NULL && made[0] != '*' && strlen(made) >= 13)
		result = strlen(made) == s.n && call->host->equal(call, made, s.p, s.n);
	explicit_bzero(data, sizeof(*data));
	free(data);
	return result;
}

int secret_check(struct mortise_call *call, struct slice s, const char *password, size_t size, bool plain)
{
	struct scram scram;
	int r = scram_parse(s, &scram);

	if (r != 0)
		return r == 1 ? scram_check(call, &scram, password, size) : -1;
	if (secret_is_plain(s)) {
		s = from(s, sizeof(PLAIN_PREFIX) - 1);
		if (!plain)
			return -1;
		return s.n == size && call->host->equal(call, s.p, password, size);
	}
	if (starts(s, CRYPT_PREFIX, sizeof(CRYPT_PREFIX) - 1))
		s = from(s, sizeof(CRYPT_PREFIX) - 1);
	return crypt_check(call, s, password, size);
}

uint32_t secret_credential(struct mortise_call *call, struct slice s, bool plain, const char **text)
{
	struct scram scram;
	struct slice iterations, salt, stored;
	char *copy;

	if (scram_parse(s, &scram) == 1) {
		s = from(s, scram.kind->prefix_size);
		iterations = next_part(&s);
		salt = next_part(&s);
		stored = next_part(&s);
		*text = call->host->print(call, MORTISE_LIFE_SECRET, "%.*s,%.*s:%.*s:%.*s", (int)iterations.n,
		    iterations.p, (int)salt.n, salt.p, (int)stored.n, stored.p, (int)s.n, s.p);
		return scram.kind->credential;
	}
	if (!secret_is_plain(s) || !plain)
		return 0;
	s = from(s, sizeof(PLAIN_PREFIX) - 1);
	copy = call->host->alloc(call, MORTISE_LIFE_SECRET, s.n + 1);
	memcpy(copy, s.p, s.n);
	*text = copy;
	return MORTISE_CREDENTIAL_PLAIN;
}
