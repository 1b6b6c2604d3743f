/*
 * Appends that a crash interrupted: see status.h, "the rest".
 *
 * Nothing of them was promised to anybody, so they may go; but only they. A delivery can have been appended
 * behind such a message, and even in the middle of a line of it. So what holds something that could begin a
 * message is left alone.
 */
#include "box.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "from.h"

#define PIECE 16384u

static size_t read_at(const struct unix_box *b, char *p, size_t size, uint64_t offset)
{
	ssize_t n;

	do
		n = pread(b->fd, p, size, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

/* All octets up to `end` are there, no NUL among them, and there the next message begins or the file ends. */
static bool whole(const struct unix_box *b, uint64_t start, uint64_t end, uint64_t size)
{
	char piece[PIECE];
	char last[2] = {0};

	if (end > size || end < start + 2)
		return false;
	for (uint64_t at = start; at < end;) {
		size_t want = end - at < PIECE ? (size_t)(end - at) : PIECE;
		size_t n = read_at(b, piece, want, at);
		if (n == 0 || memchr(piece, 0, n) != NULL)
			return false;
		at += n;
	}
	if (read_at(b, last, 2, end - 2) != 2 || last[0] != '\n' || last[1] != '\n')
		return false;
	return end == size || (read_at(b, piece, 5, end) == 5 && memcmp(piece, "From ", 5) == 0);
}

/* Does a From line stand in [from, end), at a line's beginning or within a line? */
static bool holds_from(const struct unix_box *b, uint64_t from, uint64_t end)
{
	char piece[PIECE];

	while (from < end) {
		size_t want = end - from < PIECE ? (size_t)(end - from) : PIECE;
		size_t n = read_at(b, piece, want, from), step;

		for (const char *p = piece; (p = memmem(p, n - (size_t)(p - piece), "From ", 5)) != NULL;
		     p++) {
			const char *lf = memchr(p, '\n', n - (size_t)(p - piece));
			if (unix_from_valid((const unsigned char *)p,
			        lf != NULL ? (size_t)(lf - p) : n - (size_t)(p - piece)))
				return true;
		}
		/* The longest From line may begin before the piece's end. */
		step = n > UNIX_FROM_WRITE_MAX ? n - UNIX_FROM_WRITE_MAX : n;
		if (n == 0)
			break;
		from += n < want || from + n >= end ? n : step;
	}
	return false;
}

bool unix_torn(struct unix_resolve *r, const struct unix_scanned *m)
{
	const struct unix_box *b = r->box;
	uint64_t end;
	struct stat st;

	if (m->rest == 0 || m->uid_place != UNIX_PLACE_HEAD || m->uid <= r->limit || fstat(b->fd, &st) != 0)
		return false;
	end = m->start + m->rest;
	if (end == r->batch_end)
		return r->batch_torn;
	r->batch_end = end;
	r->batch_torn =
	    !whole(b, m->start, end, (uint64_t)st.st_size) && !holds_from(b, m->header_end, m->next);
	return r->batch_torn;
}
