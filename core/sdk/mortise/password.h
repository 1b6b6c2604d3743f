/*
 * mortise/password.h: password backends (kind 200).
 *
 * A backend answers two questions: is this password right for this user (verify), and who is this user
 * (lookup). It runs in an auth worker, never in a process that reads the network or mail. It may block until
 * the call's deadline; a worker that goes on longer is killed and the answer is TEMP.
 *
 * The core has already checked the user name (UTF-8, no control characters, at most 255 octets) and that the
 * password is not empty. UNKNOWN and MISMATCH look and last the same for the client; the core sees to that.
 */
#ifndef MORTISE_PASSWORD_H
#define MORTISE_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <mortise/error.h>
#include <mortise/host.h>
#include <mortise/module.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_PASSWORD_MAJOR 0u
#define MORTISE_PASSWORD_MINOR 2u

/* Results of verify and lookup. Anything but these (and any error code) counts as INTERNAL. */
#define MORTISE_AUTH_OK 0
#define MORTISE_AUTH_MISMATCH 10 /* the user is known, the password is wrong */
#define MORTISE_AUTH_NEXT 20     /* not for this backend: ask the next one */
#define MORTISE_AUTH_UNKNOWN 30  /* no such user here */
#define MORTISE_AUTH_DISABLED 40 /* account locked or not allowed to log in */
#define MORTISE_AUTH_EXPIRED 50  /* password or account expired; only when the password was right */
#define MORTISE_AUTH_TEMP 60     /* cannot say now; never "wrong password" */
#define MORTISE_AUTH_INTERNAL 70

/* Credential kinds a backend can hand out (lookup); a mechanism names what it needs. */
#define MORTISE_CREDENTIAL_VERIFY 0x01u     /* verify() works */
#define MORTISE_CREDENTIAL_PLAIN 0x02u      /* the secret itself */
#define MORTISE_CREDENTIAL_SCRAM_SHA1 0x04u /* "iterations,salt-base64:StoredKey-base64:ServerKey-base64" */
#define MORTISE_CREDENTIAL_SCRAM_SHA256 0x08u
#define MORTISE_CREDENTIAL_SCRAM_SHA512 0x10u /* 0.2 */

#define MORTISE_USER_GROUPS_MAX 64

/* The user record. Strings live in MORTISE_LIFE_CALL; secrets in MORTISE_LIFE_SECRET. */
struct mortise_user {
	size_t size;
	const char *name; /* canonical name */
	bool has_ids; /* uid, gid and groups are set; else the core asks the host for `account` or `name` */
	uid_t uid;    /* 0 is always refused by the core */
	gid_t gid;
	gid_t groups[MORTISE_USER_GROUPS_MAX]; /* supplementary */
	size_t group_count;
	const char *account;        /* host account this user's mail belongs to, or NULL */
	const char *home;           /* absolute, or NULL */
	const char *const *options; /* "name=value" for PER_USER options; option_count of them */
	size_t option_count;
	uint32_t credential_kind; /* lookup for a credential: what was found */
	const char *credential;   /* its text, or NULL */
};

/* One attempt. */
struct mortise_attempt {
	size_t size;
	const char *user;     /* as the client gave it, validated */
	const char *password; /* NUL-terminated; `password_size` octets before the NUL (it may hold no NUL) */
	size_t password_size;
	const char *service; /* "imap", "pop" */
	const char *remote;  /* client address in numbers, or "" */
	const char *local;
	bool tls;
};

struct mortise_password_ops {
	size_t size;
	uint32_t credentials; /* MORTISE_CREDENTIAL_… this backend can yield */

	/* Required. MORTISE_AUTH_…; on OK fills what it knows of *user (name may stay NULL: as given). */
	int (*verify)(
	    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user);
	/*
	 * Optional. The record without a password (for mechanisms that proved the identity themselves, and
	 * for credential kinds). `credential` is one MORTISE_CREDENTIAL_… or 0 for the record alone.
	 */
	int (*lookup)(
	    struct mortise_call *call, const char *user, uint32_t credential, struct mortise_user *record);
};

#ifdef __cplusplus
}
#endif
#endif
