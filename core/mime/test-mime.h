/*
 * test-mime.h: what this room's tests share: a source that counts and hands out small pieces, and the parts
 * of a message as one line of text.
 *
 * Hostile inputs are large enough (10^5, 10^6) that anything worse than linear would not end; the alarm turns
 * that into a failure. No test looks at a clock.
 */
#ifndef MORTISE_MIME_TEST_MIME_H
#define MORTISE_MIME_TEST_MIME_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"
#include "mime/mime.h"

#define HANG_SECONDS 300
#define ARRAY_STR(a) str_mem((a), sizeof(a) - 1) /* of a char array with its NUL */

/* Octets in memory, handed out at most `piece` at a time (0: all). */
struct counting {
	struct source source;
	struct str octets;
	size_t piece;
	uint64_t read; /* octets handed out */
	uint64_t highest;
	unsigned back;        /* how often it was asked for an earlier position than before */
	uint64_t fail_behind; /* positions from here on give an error; 0: none */
};

static int counting_chunk(struct source *s, uint64_t at, struct str *out, struct err *e)
{
	struct counting *c = (struct counting *)s;

	if (c->fail_behind != 0 && at >= c->fail_behind)
		return err_fault(e, MORTISE_E_IO, "no more");
	*out = at < c->octets.n ? str_from(c->octets, (size_t)at) : STR_NONE;
	if (c->piece != 0)
		*out = str_sub(*out, 0, c->piece);
	c->read += out->n;
	c->back += at < c->highest;
	c->highest = at;
	return 0;
}

static int counting_size(struct source *s, uint64_t *size, struct err *e UNUSED)
{
	*size = ((struct counting *)s)->octets.n;
	return 0;
}

static void counting_close(struct source *s UNUSED)
{
}

static inline struct counting counting_source(struct str octets, size_t piece)
{
	static const struct source_ops ops = {
	    .chunk = counting_chunk, .size = counting_size, .close = counting_close};

	return (struct counting){.source = {SOURCE_MAGIC, &ops}, .octets = octets, .piece = piece};
}

static inline void add_times(struct buf *b, const char *text, size_t count)
{
	while (count-- != 0)
		buf_adds(b, text);
}

#define assert_text(b, expected)                                 \
	do {                                                     \
		assert_string_equal(buf_cstr(&(b)), (expected)); \
		buf_reset(&(b));                                 \
	} while (0)

#endif
