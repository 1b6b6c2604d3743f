/*
 * secret.h: what a password is checked against, in the backends that keep such a thing themselves (file,
 * sql). Each compiles it in.
 *
 *   {SCRAM-SHA-256}ITERATIONS,SALT,STOREDKEY,SERVERKEY   RFC 5802 §3, RFC 7677: the last three in base64.
 *   {SCRAM-SHA-1}ITERATIONS,SALT,STOREDKEY,SERVERKEY     4,096 to 10,000,000 iterations; salt of 8 to 64
 *                                                        octets. Good for SCRAM and for passwords.
 *   {CRYPT}HASH, or HASH alone                           crypt(5). HASH has no '{' in front.
 *   {PLAIN}TEXT                                          the password itself, only with option `plain`;
 *                                                        TEXT holds no ':' and goes to the end of the field
 *
 * The ':' of the SCRAM form in RFC 5803 is ',' here, because ':' ends a field.
 */
#ifndef MORTISE_AUTHN_SECRET_H
#define MORTISE_AUTHN_SECRET_H

#include <mortise/password.h>

struct slice {
	const char *p;
	size_t n;
};

bool secret_is_plain(struct slice s);
/* Whether the form is known and every part of it can be used. */
bool secret_ok(struct slice s);
/* 1 right, 0 wrong, -1 cannot be checked (a hash that crypt(3) does not know, {PLAIN} without the option). */
int secret_check(struct mortise_call *call, struct slice s, const char *password, size_t size, bool plain);
/* MORTISE_CREDENTIAL_… that the secret can be handed out as, or 0; *text in LIFE_SECRET. */
uint32_t secret_credential(struct mortise_call *call, struct slice s, bool plain, const char **text);

#endif
