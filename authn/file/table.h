/*
 * table.h: the password file, as octets and as entries.
 *
 * One user a line, fields separated by ':', lines ended by LF:
 *
 *     user:secret:uid:gid:gecos:home:shell:options
 *
 *   user     1 to 255 octets of UTF-8 without ':'. Compared octet by octet.
 *   secret   what the password is checked against (secret.h). Empty: no password is right. A '!' or '*' in
 *            front disables the account and keeps the secret for later; "x" alone (as in passwd(5), "look in
 *            shadow") disables too. Up to four secrets may stand here, separated by one SP each; a password
 *            is checked against the first, mechanisms take the one they need.
 *   uid gid  decimal, both or neither. Neither: the host's account of that name (or of option `account`).
 *   gecos    not looked at
 *   home     absolute path, or empty: the host account's
 *   shell    not looked at
 *   options  NAME=VALUE, separated by one SP each: per-user settings. May hold ':'.
 *
 * Fields from the third on may be left out together with their ':'. Lines that are empty or begin with '#'
 * are skipped. The last line may lack its LF.
 *
 * A line is refused, and its user with it, when it is longer than LINE_MAX_OCTETS, holds a control character
 * (NUL, TAB, CR and DEL too), has a bad number, path or option, or a secret in a form nobody knows. A user on
 * two lines is refused on both: the file does not say which is meant. Refused lines are logged with their
 * numbers; all others stay good.
 *
 * The file is read whole when its device, inode, size or times have changed since, or when it was changed
 * less than two seconds before it was read (times are not finer than that everywhere). It must be a regular
 * file, owned by root or by the user of this process, and closed to everybody else.
 */
#ifndef MORTISE_AUTHN_FILE_TABLE_H
#define MORTISE_AUTHN_FILE_TABLE_H

#include <sys/stat.h>

#include "../secret.h"

#define LINE_MAX_OCTETS 8192u
#define SECRETS_MAX 4u
#define OPTIONS_MAX 64u

struct file_options {
	const char *path;
	const char *account;
	bool plain;
	bool group_readable;
	uint64_t size_max;
};

struct entry {
	struct slice user;
	uint32_t line;
	bool refused; /* the line is bad or the user is listed twice */
};

/* A line, taken apart. Slices point into the table. */
struct fields {
	bool disabled;
	struct slice secrets[SECRETS_MAX];
	size_t secret_count;
	bool has_ids;
	uint32_t uid, gid;
	struct slice home;
	struct slice options[OPTIONS_MAX];
	size_t option_count;
};

struct table {
	char *text;
	size_t size;
	struct entry *entries; /* sorted by user */
	size_t count;
	struct stat seen;
	bool young; /* it may still have been changed within one tick of its times */
};

/* Reads the file when it has changed. 0, or an error code with the fault recorded; the old table is then gone
 * too. */
int table_refresh(struct mortise_call *call, struct table *t, const struct file_options *o);
void table_drop(struct table *t);
/* The user's entry, or NULL. */
const struct entry *table_find(const struct table *t, const char *user);
/* Takes an entry's line apart; 0, or -1 with *why. The entry's own check when it was read was the same. */
int table_fields(const struct entry *e, struct fields *f, const char **why);
/* A secret that somebody has: to do the same work for users that are not there. p NULL: nobody has one. */
struct slice table_any_secret(const struct table *t);

#endif
