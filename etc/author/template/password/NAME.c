/*
 * @NAME@: a password backend. Begin by changing this paragraph: where do your users come from?
 *
 * As it stands it reads a file, each time it is asked, so that an edit takes effect at once. A line is
 * USER:HASH, or USER:HASH:ACCOUNT where ACCOUNT is the host account that the mail belongs to (the user's own name
 * otherwise). HASH is what crypt(3) makes ("openssl passwd -6", "mkpasswd"); one that begins with '!' locks the
 * user out. Empty lines and lines that begin with '#' are skipped.
 *
 * What may be returned, and when, stands in <mortise/password.h>. The most important rule: a file that cannot be
 * read is MORTISE_AUTH_TEMP, never a wrong password.
 */
#define _GNU_SOURCE
#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mortise/password.h>

#define LINE_MAX_HERE 1024

/* ---- options: passwords = ( { type = "@NAME@"; path = "/etc/mortise/@NAME@.users"; } ); ---- */

struct options {
	const char *path;
};

static const struct mortise_option option_table[] = {
	MORTISE_OPTION(struct options, path, PATH, "/etc/mortise/@NAME@.users", .since = "0.1",
		.help = "the file of users",
		.detail = "Lines of USER:HASH or USER:HASH:ACCOUNT. It should be readable by root only."),
};

/* One line, cut at its colons. */
struct record {
	char line[LINE_MAX_HERE];
	const char *name, *hash, *account;
};

static bool cut(struct record *r)
{
	char *rest;

	r->line[strcspn(r->line, "\r\n")] = '\0';
	if (r->line[0] == '\0' || r->line[0] == '#')
		return false;
	rest = strchr(r->line, ':');
	if (rest == NULL)
		return false;
	*rest++ = '\0';
	r->name = r->line;
	r->hash = rest;
	rest = strchr(rest, ':');
	r->account = NULL;
	if (rest != NULL) {
		*rest++ = '\0';
		r->account = *rest != '\0' ? rest : NULL;
	}
	return true;
}

/* MORTISE_AUTH_OK, MORTISE_AUTH_UNKNOWN or MORTISE_AUTH_TEMP. */
static int find(struct mortise_call *call, const char *user, struct record *out)
{
	const struct options *o = call->instance->options;
	FILE *f = fopen(o->path, "re");
	int found = MORTISE_AUTH_UNKNOWN;

	if (f == NULL) {
		call->host->fault_errno(call, "%s", o->path);
		return MORTISE_AUTH_TEMP;
	}
	while (found == MORTISE_AUTH_UNKNOWN && fgets(out->line, sizeof(out->line), f) != NULL) {
		if (strchr(out->line, '\n') == NULL && !feof(f)) {
			call->host->fault(call, MORTISE_E_CORRUPT, "%s: a line is longer than %d octets", o->path,
				LINE_MAX_HERE - 2);
			found = MORTISE_AUTH_TEMP;
		} else if (cut(out) && strcmp(out->name, user) == 0) {
			found = MORTISE_AUTH_OK;
		}
	}
	if (ferror(f)) {
		call->host->fault_errno(call, "%s", o->path);
		found = MORTISE_AUTH_TEMP;
	}
	fclose(f);
	return found;
}

/* What a callback returns must live longer than its own variables. */
static void fill(struct mortise_call *call, const struct record *r, struct mortise_user *user)
{
	user->name = call->host->print(call, MORTISE_LIFE_CALL, "%s", r->name);
	if (r->account != NULL)
		user->account = call->host->print(call, MORTISE_LIFE_CALL, "%s", r->account);
}

static int verify(struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	struct crypt_data *data;
	struct record r;
	const char *made;
	int found = find(call, attempt->user, &r);

	if (found != MORTISE_AUTH_OK)
		return found;
	if (r.hash[0] == '!' || r.hash[0] == '*')
		return MORTISE_AUTH_DISABLED;
	/* In memory that is wiped when the callback returns: crypt leaves the password in it. */
	data = call->host->alloc(call, MORTISE_LIFE_SECRET, sizeof(*data));
	made = crypt_r(attempt->password, r.hash, data);
	if (made == NULL || made[0] == '*') {
		call->host->fault(call, MORTISE_E_CORRUPT, "%s has a hash that crypt(3) does not know", r.name);
		return MORTISE_AUTH_TEMP;
	}
	if (strlen(made) != strlen(r.hash) || !call->host->equal(call, made, r.hash, strlen(made)))
		return MORTISE_AUTH_MISMATCH;
	fill(call, &r, user);
	return MORTISE_AUTH_OK;
}

static int lookup(struct mortise_call *call, const char *user, uint32_t credential, struct mortise_user *record)
{
	struct record r;
	int found;

	if (credential != 0)
		return MORTISE_AUTH_NEXT; /* hashes of crypt(3) are of no use to a mechanism */
	found = find(call, user, &r);
	if (found != MORTISE_AUTH_OK)
		return found;
	if (r.hash[0] == '!' || r.hash[0] == '*')
		return MORTISE_AUTH_DISABLED;
	fill(call, &r, record);
	return MORTISE_AUTH_OK;
}

/* ---- the module ---- */

static const struct mortise_password_ops ops = {
	.size = sizeof(struct mortise_password_ops),
	.credentials = MORTISE_CREDENTIAL_VERIFY,
	.verify = verify,
	.lookup = lookup,
};

MORTISE_MODULE(@IDENT@,
	.kind = MORTISE_KIND_PASSWORD,
	.api_major = MORTISE_PASSWORD_MAJOR,
	.api_minor = MORTISE_PASSWORD_MINOR,
	.name = "@NAME@",
	.version = "0.1",
	.summary = "users and hashed passwords in a file",
	.licence = "Apache-2.0",
	.url = "https://example.org/mortise-@NAME@",
	.options = option_table,
	.option_count = sizeof(option_table) / sizeof(option_table[0]),
	.instance_size = sizeof(struct options),
	.ops = &ops);
