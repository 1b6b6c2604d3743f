#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "cyrus.h"

#define KEY_OCTETS 32
#define SALT_OCTETS 16
#define BASE64(n) (((n) + 2) / 3 * 4 + 1)

static unsigned char key[KEY_OCTETS];
static bool has_key;

void secret_start(struct mortise_call *call)
{
	if (!has_key)
		call->host->random(call, key, sizeof(key));
	has_key = true;
}

/* HMAC of what is made from a user name, under this server's key. */
static void derive(
    const struct bridge *b, const char *what, const char *user, unsigned char out[EVP_MAX_MD_SIZE])
{
	char *text =
	    b->call->host->print(b->call, MORTISE_LIFE_CALL, "%s %s %s", what, b->mechanism->scheme, user);

	HMAC(EVP_sha256(), key, sizeof(key), (const unsigned char *)text, strlen(text), out, NULL);
}

/*
 * RFC 5802 §3 from a password: "SCRAM-SHA-1$iterations:salt$StoredKey:ServerKey" in base64, as libsasl2 keeps
 * it. NULL when OpenSSL cannot.
 */
static char *make_verifier(const struct bridge *b, const char *user, const char *password)
{
	const struct cyrus_options *o = b->call->instance->options;
	const EVP_MD *md = EVP_get_digestbyname(b->mechanism->digest);
	unsigned char salt[EVP_MAX_MD_SIZE], salted[EVP_MAX_MD_SIZE], client[EVP_MAX_MD_SIZE],
	    stored[EVP_MAX_MD_SIZE], server[EVP_MAX_MD_SIZE];
	unsigned char text[3][BASE64(EVP_MAX_MD_SIZE)];
	int n = md != NULL ? EVP_MD_get_size(md) : 0;
	char *out = NULL;

	derive(b, "salt", user, salt);
	if (n > 0 &&
	    PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, SALT_OCTETS, (int)o->scram_iterations,
	        md, n, salted) == 1 &&
	    HMAC(md, salted, n, (const unsigned char *)"Client Key", 10, client, NULL) != NULL &&
	    HMAC(md, salted, n, (const unsigned char *)"Server Key", 10, server, NULL) != NULL &&
	    EVP_Digest(client, (size_t)n, stored, NULL, md, NULL) == 1) {
		EVP_EncodeBlock(text[0], salt, SALT_OCTETS);
		EVP_EncodeBlock(text[1], stored, n);
		EVP_EncodeBlock(text[2], server, n);
		out = b->call->host->print(b->call, MORTISE_LIFE_SECRET, "%s$%u:%s$%s:%s",
		    b->mechanism->scheme, (unsigned)o->scram_iterations, text[0], text[1], text[2]);
	}
	explicit_bzero(salted, sizeof(salted));
	explicit_bzero(client, sizeof(client));
	explicit_bzero(stored, sizeof(stored));
	explicit_bzero(server, sizeof(server));
	explicit_bzero(text, sizeof(text));
	return out;
}

/* A backend's verifier, "iterations,salt:StoredKey:ServerKey", the way libsasl2 keeps it. */
static char *translate(const struct bridge *b, const char *text)
{
	char *out = b->call->host->print(b->call, MORTISE_LIFE_SECRET, "%s$%s", b->mechanism->scheme, text);
	char *comma = strchr(out, ','), *colon = strchr(out, ':');

	if (comma == NULL || colon == NULL || comma > colon)
		return NULL;
	*comma = ':';
	*colon = '$';
	return out;
}

static int ask(struct bridge *b, const char *user, uint32_t kind, const char **text)
{
	*text = NULL;
	b->verified = b->conv->credential(b->conv, b->call, user, kind, text);
	return b->verified;
}

/* What SCRAM needs of a user: a verifier in any case, and b->verified says whether it is a real one. */
static const char *scram_secret(struct bridge *b, const char *user)
{
	unsigned char octets[EVP_MAX_MD_SIZE];
	const char *text;
	char nobody[2 * 16 + 1];
	size_t i;

	if (ask(b, user, b->mechanism->verifier, &text) == MORTISE_AUTH_OK)
		return translate(b, text);
	if (b->verified == MORTISE_AUTH_UNKNOWN &&
	    ask(b, user, MORTISE_CREDENTIAL_PLAIN, &text) == MORTISE_AUTH_OK)
		return make_verifier(b, user, text);
	derive(b, "nobody", user, octets);
	for (i = 0; i < 16; i++)
		snprintf(nobody + 2 * i, 3, "%02x", octets[i]);
	return make_verifier(b, user, nobody);
}

/* One property that libsasl2 would like to have, its name without the '*'. */
static int fill(
    struct bridge *b, sasl_server_params_t *parameters, const char *name, const char *asked, const char *user)
{
	const char *text = NULL;

	if (b->mechanism->proof != PROOF_SECRET)
		return SASL_OK;
	if (b->mechanism->scheme != NULL && strcmp(name, "authPassword") == 0)
		text = scram_secret(b, user);
	else if (b->mechanism->scheme == NULL && strcmp(name, SASL_AUX_PASSWORD_PROP) == 0)
		(void)ask(b, user, MORTISE_CREDENTIAL_PLAIN, &text);
	if (text == NULL)
		return SASL_OK;
	return parameters->utils->prop_set(parameters->propctx, asked, text, (int)strlen(text));
}

int secret_fill(
    struct bridge *b, sasl_server_params_t *parameters, unsigned flags, const char *user, size_t n)
{
	const struct propval *wanted = parameters->utils->prop_get(parameters->propctx);
	const char *name = b->call->host->print(b->call, MORTISE_LIFE_CALL, "%.*s", (int)n, user);
	int r = SASL_OK;

	/* Only of who authenticates: names of such properties begin with a '*'. */
	if ((flags & SASL_AUXPROP_AUTHZID) != 0 || wanted == NULL)
		return SASL_OK;
	for (; wanted->name != NULL && r == SASL_OK; wanted++)
		if (wanted->name[0] == '*' && wanted->values == NULL)
			r = fill(b, parameters, wanted->name + 1, wanted->name, name);
	return r;
}
