/*
 * recode.h: a message that holds what mailboxes and IMAP's strings cannot.
 *
 * With literal8 (RFC 3516 §4.4) a client may append parts of any octets at all. No format here has to keep
 * them: a mailbox of text lines would lose a NUL, a CR or an LF that stands alone, and BODY[] could not give
 * it back. So such a part is stored in base64, under a header that says so, and nothing is lost; a message
 * that has no such part stays as it is, octet by octet, since signatures are made over it.
 *
 * Recoded are parts with a NUL, and parts declared "binary" in which a CR or LF stands alone. It cannot be
 * done for a NUL outside of any part (in a header, between the parts), nor for one in a part that says that
 * it is encoded already: what that would mean nobody knows.
 *
 * The plan is a list of cuts, so a message is read twice and never in memory.
 */
#ifndef MORTISE_MIME_RECODE_H
#define MORTISE_MIME_RECODE_H

#include "mime/mime.h"

struct recode_cut {
	enum { RECODE_COPY, RECODE_BASE64, RECODE_TEXT } kind;
	uint64_t from, to; /* of the source; COPY, BASE64 */
	struct str text;
};

struct recoding {
	bool possible;
	struct recode_cut *cuts; /* in the arena; one that copies everything when nothing is to be done */
	size_t count;
	uint64_t octets; /* of the result */
};

int mime_recode(
    struct source *s, const struct mime_limits *l, struct arena *a, struct recoding *out, struct err *e);

/* The result, piece by piece. Stops at the first code that is not 0 and returns it. */
typedef int recode_write(void *arg, struct str octets, struct err *e);
int mime_recode_write(
    struct source *s, const struct recoding *r, recode_write *write, void *arg, struct err *e);

#endif
