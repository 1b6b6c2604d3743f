/*
 * url_part.h: the octets that an IMAP URL names, of a mailbox of this user.
 *
 * What they are is what FETCH BODY.PEEK[section]<partial> would give, which is what RFC 4469 §3 and RFC 4467
 * ask for. The mailbox that is selected is used as it is; another one is opened read-only and stays open for
 * the next URL of the same command, since they mostly name one mailbox.
 */
#ifndef MORTISE_IMAP_URL_PART_H
#define MORTISE_IMAP_URL_PART_H

#include "imap/session_int.h"
#include "imap/url.h"

struct url_reader {
	struct session *s;
	struct mailbox *mailbox; /* of `name`; not the selected one */
	struct view *view;
	char *name;
};
void url_reader_close(struct url_reader *r);

struct url_part {
	struct mailbox *mailbox;
	const struct message *message;
	struct arena *arena;
	struct source *text;          /* the message */
	struct mime_part *parts;      /* NULL: not looked at */
	const struct mime_part *part; /* that a section of numbers alone names; NULL: the message */
	struct str built;             /* HEADER.FIELDS: p not NULL */
	uint64_t from, to;            /* in the text or what was built */
};
/*
 * 0, or a code: url_part_missing says whether it is that there is no such thing. url_part_close in any case.
 */
int url_part_open(struct url_reader *r, const struct imap_url *u, struct url_part *out, struct err *e);
bool url_part_missing(int code);
/* Octets at `at` (from…to): one or more, valid until the next call. NUL stands in them as it is stored. */
int url_part_octets(struct url_part *p, uint64_t at, struct str *out, struct err *e);
void url_part_close(struct url_part *p);

#endif
