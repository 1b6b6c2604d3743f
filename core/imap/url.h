/*
 * url.h: IMAP URLs (RFC 5092, with the authorisation of RFC 4467 §9 in the syntax that RFC 5092 gave it).
 *
 *     imap://fred@host/INBOX;UIDVALIDITY=3/;UID=20/;SECTION=1.2/;PARTIAL=0.99;EXPIRE=…;URLAUTH=user+fred
 *         :INTERNAL:91354a473744909de610943775f92038
 *
 * and the relative forms, which begin at "//", at "/" or in the mailbox that is selected (RFC 4469 §3). What
 * is read is strict: every octet that may not stand in a URL is refused, percent-encoding gives neither NUL
 * nor CR nor LF nor UTF-8 that is none, and no path has "." or ".." in it. A URL is a name, nothing is looked
 * up here.
 *
 * The parser keeps nothing of its own: strings are windows into the URL, or lie in the arena when they had to
 * be decoded.
 */
#ifndef MORTISE_IMAP_URL_H
#define MORTISE_IMAP_URL_H

#include "base/arena.h"
#include "base/str.h"

enum url_access { URL_NO_ACCESS, URL_SUBMIT, URL_USER, URL_AUTHUSER, URL_ANONYMOUS };

struct imap_url {
	bool absolute;               /* begins with imap:// */
	bool network;                /* has a server: imap:// or // */
	struct str user, host, port; /* user: decoded; n 0: none */

	bool rooted;          /* the mailbox counts from the root, not from the one that is selected */
	const char *mailbox;  /* UTF-8; NULL: the one that is selected */
	uint32_t uidvalidity; /* 0: none */
	uint32_t uid;         /* 0: not one message */
	bool has_section;
	struct str section; /* decoded: "1.2.MIME" */
	bool partial;
	uint64_t offset, size; /* size 0: to the end */

	bool expires;
	int64_t expire; /* seconds since 1970 */
	enum url_access access;
	struct str access_user;      /* of SUBMIT and USER; decoded */
	struct str rump;             /* everything before the verifier: what is signed */
	struct str mechanism, token; /* n 0: not signed yet */
};

/* False: it is none. `why` (NULL allowed) is then a short text that is safe to send. */
bool imap_url_parse(struct str text, struct arena *a, struct imap_url *out, const char **why);

/*
 * The mailbox's name as the store knows it: a relative one counts from the level of `selected` (NULL: no
 * mailbox is selected). NULL: it cannot be told.
 */
const char *imap_url_mailbox(const struct imap_url *u, const char *selected, struct arena *a);

#endif
