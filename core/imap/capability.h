/*
 * capability.h: what the server says it can do, before and after login.
 *
 * One table. An extension stands in it only when all of it works.
 */
#ifndef MORTISE_IMAP_CAPABILITY_H
#define MORTISE_IMAP_CAPABILITY_H

#include <stdbool.h>

#include "base/buf.h"

struct capability_facts {
	bool authenticated;
	bool starttls;                      /* may be offered now */
	bool login_disabled;                /* LOGIN would be refused now */
	bool literal_minus;                 /* LITERAL- instead of LITERAL+ */
	uint64_t append_limit;              /* largest message; 0: not told */
	uint64_t message_limit, save_limit; /* 0: none */
	bool unauthenticate;
	bool jmap;              /* GETJMAPACCESS has an answer */
	const char *mechanisms; /* "PLAIN LOGIN": what AUTHENTICATE takes now; NULL or "" none */
};

/* "IMAP4rev1 LITERAL+ …", without "CAPABILITY" and line end: for the response and for response codes. */
void capability_write(struct buf *out, const struct capability_facts *f);

#endif
