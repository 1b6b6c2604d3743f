/*
 * err.h: what went wrong, told twice.
 *
 * A struct err carries a code from <mortise/error.h>, a text that is safe to show to a client and a text for
 * the administrator. The client's text never holds a path, a user name other than the client's own, or what a
 * library said. The first error sticks: a later one, usually from clean-up, is ignored until err_clear.
 *
 * Functions that can fail return 0 or a negative code (the same that err holds) and take `struct err *`,
 * which must not be NULL. A zeroed struct is "no error". Texts are cut at the array's size.
 */
#ifndef MORTISE_BASE_ERR_H
#define MORTISE_BASE_ERR_H

#include <mortise/error.h>

#include "base/object.h"

struct err {
	int code;         /* 0 or MORTISE_E_… (negative) */
	char client[160]; /* UTF-8, no CR or LF */
	char admin[480];  /* may hold paths and errno texts */
};

#define ERR_INIT          \
	{                 \
		0, "", "" \
	}

/* Both return code, so that `return err_set(e, MORTISE_E_LIMIT, "…");` reads well. */
/* What the client did: the same text for both. */
int err_fail(struct err *e, int code, const char *format, ...) PRINTF_LIKE(3, 4);
/* What the client cannot help: the client sees the code's general text (mortise_error_text). %m works. */
int err_fault(struct err *e, int code, const char *format, ...) PRINTF_LIKE(3, 4);
/* err_fault with the code that belongs to errno (ENOENT → NOTFOUND, ENOSPC/EDQUOT → QUOTA, …), adding ": %m".
 */
int err_errno(struct err *e, const char *format, ...) PRINTF_LIKE(2, 3);
int err_code_of_errno(int number);
void err_clear(struct err *e);
/* Moves `from` into e unless e already has one; returns e->code. */
int err_take(struct err *e, struct err *from);

#endif
