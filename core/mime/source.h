/*
 * source.h: the octets of one message, wherever they are.
 *
 * MIME parsing, FETCH and SEARCH read messages through this: wire form (every line ends CRLF), addressed by
 * position, handed out in chunks that stay where they are. A message of a gigabyte is never in memory. A
 * source over a file in LF form converts as it goes; asking for positions in rising order is cheap, going
 * back may mean starting over.
 */
#ifndef MORTISE_MIME_SOURCE_H
#define MORTISE_MIME_SOURCE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define SOURCE_MAGIC 0x536f7263u

struct source;
struct source_ops {
	/* Octets at `at`: one or more, empty only at or after the end. Valid until the next call. 0 or a
	 * code. */
	int (*chunk)(struct source *s, uint64_t at, struct str *out, struct err *e);
	/* Length in wire octets; may have to read everything once. 0 or a code. */
	int (*size)(struct source *s, uint64_t *size, struct err *e);
	void (*close)(struct source *s);
	/* Up to `most` octets at `at` behind what is in `out`: one or more, none only at or after the end. 0
	 * or a code, and `out` as it was. NULL: by way of chunk. */
	int (*add)(struct source *s, uint64_t at, size_t most, struct buf *out, struct err *e);
};
struct source {
	uint32_t magic;
	const struct source_ops *ops;
};

int source_chunk(struct source *s, uint64_t at, struct str *out, struct err *e);
/* The same for octets that go on as they are: where the source can, it puts them there without a copy of its
 * own. */
int source_add(struct source *s, uint64_t at, size_t most, struct buf *out, struct err *e);
int source_size(struct source *s, uint64_t *size, struct err *e);
void source_close(struct source **sp);

/* Octets in memory, already in wire form; they must outlive the source. */
struct source *source_memory(struct str octets);
/* The part [from, to) of another source, which must outlive it. */
struct source *source_window(struct source *of, uint64_t from, uint64_t to);
/* Reads [from, to) whole into the arena; LIMIT when to - from > limit. */
int source_read(struct source *s, uint64_t from, uint64_t to, size_t limit, struct arena *a, struct str *out,
    struct err *e);

#endif
