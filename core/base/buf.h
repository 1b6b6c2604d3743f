/*
 * buf.h: a growing octet buffer.
 *
 * One type for building replies, lines and names. Memory grows by doubling; octets at p[0..n) are always
 * followed by a NUL that is not counted, so p may be used as a C string when the content has no NUL.
 * A buffer with a limit refuses to grow past it and remembers that it did (`overflow`), so a loop over
 * hostile input tests once at the end. Without a limit it grows until memory ends.
 * A zeroed struct is a valid empty buffer.
 */
#ifndef MORTISE_BASE_BUF_H
#define MORTISE_BASE_BUF_H

#include <stdarg.h>

#include "base/object.h"
#include "base/str.h"

struct buf {
	char *p; /* NULL or NUL-terminated */
	size_t n;
	size_t cap;
	size_t limit;  /* 0: none */
	bool overflow; /* something was left out because of the limit */
};

#define BUF_INIT                     \
	{                            \
		NULL, 0, 0, 0, false \
	}

void buf_free(struct buf *b);              /* back to a zeroed struct */
void buf_wipe(struct buf *b);              /* overwrites, then frees */
void buf_reset(struct buf *b);             /* n = 0, overflow = false; keeps the memory up to 64 KiB */
void buf_grow(struct buf *b, size_t more); /* what buf_reserve does when there is no room yet */
/* Room for more octets (ignores the limit). */
static inline void buf_reserve(struct buf *b, size_t more)
{
	if (more >= b->cap - b->n)
		buf_grow(b, more);
}
void buf_add(struct buf *b, const void *p, size_t n);
static inline void buf_addc(struct buf *b, char c)
{
	if (b->limit != 0 || b->cap - b->n < 2) {
		buf_add(b, &c, 1);
		return;
	}
	b->p[b->n++] = c;
	b->p[b->n] = '\0';
}
static inline void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}
static inline void buf_addstr(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.n);
}
void buf_addu(struct buf *b, uint64_t v); /* decimal */
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *format, va_list ap) PRINTF_LIKE(2, 0);
void buf_consume(struct buf *b, size_t n);  /* drops the first n octets */
void buf_truncate(struct buf *b, size_t n); /* n <= b->n */
char *buf_cstr(struct buf *b);              /* never NULL; valid until the next change */
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){b->p, b->n};
}

#define AUTO_BUF __attribute__((cleanup(buf_free)))

#endif
