/*
 * imapctl_auth.h: "imapctl auth test USER": why can this user not log in?
 *
 * Loads the backends that imapd.conf names, as the auth role does and with the same rights (auth.run_user),
 * asks each of them alone and then all of them as a login would, and prints who said what and why. Nobody is
 * logged in, and no failure is counted against the user.
 */
#ifndef MORTISE_TOOLS_IMAPCTL_AUTH_H
#define MORTISE_TOOLS_IMAPCTL_AUTH_H

#include <stdbool.h>

struct auth_test {
	const char *config; /* NULL: the usual file */
	const char *user;
	const char *service; /* NULL: "imap" */
	bool lookup;         /* who is it, without a password; else that is read from standard input */
};

#define AUTH_TEST_NO 1      /* the user would not be let in */
#define AUTH_TEST_CONFIG 78 /* the configuration cannot be used */

/* The exit status. */
int auth_test(const struct auth_test *t);

#endif
