/*
 * source_file.c: a message's octets, from where its driver says they are.
 *
 * A driver's answer (extents of its file, or memory) is valid until the next call on its box. So the source
 * keeps the message's reference instead, and asks again whenever the box has been called in between or the
 * file has changed: then an octet that is handed out belongs to this message or the answer is EXPUNGED. Files
 * are read with pread in windows of 64 KiB, never mapped: a file that another program cuts short is then a
 * short read, not a signal.
 *
 * Text stored with bare LF is converted on the way. Marks (place in the wire form, place in the stored form)
 * are kept every so often, so that going back starts at a mark; there are at most MARKS_MAX, and their
 * distance doubles when they run out.
 *
 * What is asked for most is a header: the first window is small, those behind it grow, unless it was said
 * that all will be wanted.
 */
#include <errno.h>
#include <unistd.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/io.h"
#include "store/driver.h"
#include "store/source_file.h"
#include "base/banned.h"

#define FILE_SOURCE_MAGIC 0x46536f75u /* "FSou" */
#define MARKS_MAX 1024u
#define MARK_DISTANCE (256u * 1024u)
#define WINDOW_FIRST 4096u /* octets */
#define WINDOW_GROWTH 4u
#define ASK_AGAIN 3 /* times, when the file keeps changing under us */

struct mark {
	uint64_t wire, stored;
	bool after_cr;
};

struct file_source {
	struct source s; /* first */
	uint32_t magic;
	struct file_source *next;
	struct mailbox *m; /* NULL: the mailbox was closed */
	struct mortise_ref ref;
	uint64_t octets; /* wire size, or MORTISE_SIZE_UNKNOWN */
	uint64_t calls;  /* m->calls when the driver was last asked */
	int fd, newline;
	struct stat st;
	const unsigned char *memory;
	struct mortise_extent *extents;
	size_t extent_count, extent_room;
	unsigned char *buffers; /* SOURCE_WINDOW stored octets, then 2 × SOURCE_WINDOW of wire form */
	struct str window;      /* wire form at window_at */
	uint64_t window_at;
	struct mark here; /* behind the window */
	struct mark *marks;
	size_t mark_count, mark_room;
	uint64_t mark_distance;
	size_t step; /* stored octets of the next window */
};

static struct file_source *self(struct source *s)
{
	struct file_source *f = (struct file_source *)(void *)s;

	ASSERT(f->magic == FILE_SOURCE_MAGIC);
	return f;
}

static int is_gone(struct err *e)
{
	return err_fail(e, MORTISE_E_EXPUNGED, "Some of the messages no longer exist");
}

/* ---- the driver's answer ---- */
static int take_extents(struct file_source *f, const struct mortise_source *from, struct err *e)
{
	uint64_t size = 0;
	size_t i;

	if (from->extent_count > f->extent_room) {
		f->extent_room = from->extent_count;
		f->extents = mem_grow(f->extents, f->extent_room, sizeof(*f->extents));
	}
	for (i = 0; i < from->extent_count; i++) {
		if (from->extents[i].length > (uint64_t)INT64_MAX - size ||
		    from->extents[i].offset > (uint64_t)INT64_MAX - from->extents[i].length)
			return err_fault(e, MORTISE_E_INTERNAL, "driver \"%s\": impossible extent",
			    f->m->driver->pub.name);
		f->extents[i] = from->extents[i];
		size += from->extents[i].length;
	}
	f->extent_count = from->extent_count;
	if (f->newline == MORTISE_NEWLINE_CRLF)
		f->octets = size; /* the truth, whatever the driver's record says */
	return 0;
}

static int ask(struct file_source *f, struct err *e)
{
	struct mortise_source answer;

	if (box_read(f->m, &f->ref, &answer, e) != 0)
		return e->code;
	if ((answer.newline != MORTISE_NEWLINE_LF && answer.newline != MORTISE_NEWLINE_CRLF) ||
	    (answer.fd < 0 && answer.memory == NULL && answer.extent_count > 0))
		return err_fault(
		    e, MORTISE_E_INTERNAL, "driver \"%s\": read gave no source", f->m->driver->pub.name);
	f->fd = answer.fd;
	f->newline = answer.newline;
	f->memory = answer.memory;
	f->calls = f->m->calls;
	if (f->fd >= 0 && fstat(f->fd, &f->st) != 0)
		return err_errno(e, "stat of a message's file");
	return take_extents(f, &answer, e);
}

/* The answer still holds. */
static bool fresh(const struct file_source *f)
{
	return f->calls == f->m->calls;
}

static bool file_moved_on(const struct file_source *f)
{
	struct stat now;

	return f->fd >= 0 && (fstat(f->fd, &now) != 0 || now.st_size != f->st.st_size ||
	                         now.st_mtim.tv_sec != f->st.st_mtim.tv_sec ||
	                         now.st_mtim.tv_nsec != f->st.st_mtim.tv_nsec);
}

static int check(struct file_source *f, struct err *e)
{
	if (f->m == NULL)
		return is_gone(e);
	return fresh(f) ? 0 : ask(f, e);
}

/* ---- stored octets ---- */
/* Copies up to n octets of the stored form at `at`. The number, or a negative code. */
static ssize_t copy_stored(struct file_source *f, uint64_t at, unsigned char *to, size_t n, struct err *e)
{
	size_t got = 0, i;

	for (i = 0; i < f->extent_count && got < n; i++) {
		const struct mortise_extent *x = &f->extents[i];
		size_t part = n - got;

		if (at >= x->length) {
			at -= x->length;
			continue;
		}
		if (part > x->length - at)
			part = (size_t)(x->length - at);
		if (f->fd < 0) {
			memcpy(to + got, f->memory + x->offset + at, part);
		} else {
			ssize_t r = io_pread(f->fd, to + got, part, x->offset + at);

			if (r < 0)
				return err_errno(e, "read a message of %s", f->m->target.place.name);
			if ((size_t)r < part)
				return is_gone(e);
		}
		got += part;
		at = 0;
	}
	return (ssize_t)got;
}

/* The same, and sure that the octets are this message's: the file did not change meanwhile. */
static ssize_t read_stored(struct file_source *f, uint64_t at, unsigned char *to, size_t n, struct err *e)
{
	int tries;

	for (tries = 0; tries < ASK_AGAIN; tries++) {
		struct err failed = ERR_INIT;
		ssize_t got = copy_stored(f, at, to, n, &failed);

		if (!file_moved_on(f)) {
			err_take(e, &failed);
			return got;
		}
		if (ask(f, e) != 0)
			return e->code;
	}
	return err_fault(e, MORTISE_E_TEMP, "%s keeps changing while it is read", f->m->target.place.name);
}

/* ---- wire form ---- */
static void put_mark(struct file_source *f)
{
	size_t i;

	if (f->newline == MORTISE_NEWLINE_CRLF)
		return;
	/* The beginning needs none. */
	if (f->here.wire < (f->mark_count > 0 ? f->marks[f->mark_count - 1].wire : 0) + f->mark_distance)
		return;
	if (f->mark_count == f->mark_room && f->mark_room < MARKS_MAX) {
		f->mark_room = f->mark_room == 0 ? 16 : 2 * f->mark_room;
		f->marks = mem_grow(f->marks, f->mark_room, sizeof(*f->marks));
	}
	if (f->mark_count == MARKS_MAX) {
		for (i = 0; i < MARKS_MAX / 2; i++)
			f->marks[i] = f->marks[2 * i];
		f->mark_count = MARKS_MAX / 2;
		f->mark_distance *= 2;
		if (f->here.wire < f->marks[f->mark_count - 1].wire + f->mark_distance)
			return;
	}
	f->marks[f->mark_count++] = f->here;
}

#define PIECE 16u /* octets that are looked at together */

/* Which octets of a piece are LF: a bit each, the first lowest. Elsewhere only the first of them. */
static unsigned find_lf(const unsigned char *p)
{
#ifdef __SSE2__
	__m128i piece = _mm_loadu_si128((const __m128i *)(const void *)p);

	return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(piece, _mm_set1_epi8('\n')));
#else
	const unsigned char *lf = memchr(p, '\n', PIECE);

	return lf != NULL ? 1u << (lf - p) : 0;
#endif
}

/*
 * LF → CRLF, but not after a CR. `to` has room for twice as much, which is why a piece may be put there
 * before it is known how much of it is wanted.
 */
static size_t convert(const unsigned char *from, size_t n, bool *after_cr, unsigned char *to)
{
	const unsigned char *end = from + n;
	unsigned char *out = to;

	while (from < end) {
		if ((size_t)(end - from) >= PIECE) {
			unsigned lf = find_lf(from);
			/* A branch, so that the next piece need not wait for the count. */
			size_t part = lf == 0 ? PIECE : (size_t)__builtin_ctz(lf);

			memcpy(out, from, PIECE);
			from += part;
			out += part;
			if (lf == 0)
				continue;
		}
		if (*from == '\n' && !(out > to ? out[-1] == '\r' : *after_cr))
			*out++ = '\r';
		*out++ = *from++;
	}
	if (out > to)
		*after_cr = out[-1] == '\r';
	return (size_t)(out - to);
}

/* The window behind the present one. Empty at the end. */
static int next_window(struct file_source *f, struct err *e)
{
	unsigned char *stored = f->buffers, *wire = f->buffers + SOURCE_WINDOW;
	ssize_t n = read_stored(f, f->here.stored, stored, f->step, e);

	if (n < 0)
		return (int)n;
	if (f->step < SOURCE_WINDOW)
		f->step *= WINDOW_GROWTH;
	put_mark(f);
	f->window_at = f->here.wire;
	if (f->newline == MORTISE_NEWLINE_CRLF)
		f->window = str_mem(stored, (size_t)n);
	else
		f->window = str_mem(wire, convert(stored, (size_t)n, &f->here.after_cr, wire));
	f->here.stored += (uint64_t)n;
	f->here.wire += f->window.n;
	return 0;
}

/* Goes to a place from which `at` is reached by moving forward. */
static void rewind_to(struct file_source *f, uint64_t at)
{
	size_t low = 0, high = f->mark_count;

	if (f->newline == MORTISE_NEWLINE_CRLF) {
		f->here = (struct mark){.wire = at, .stored = at};
		return;
	}
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->marks[mid].wire <= at)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		f->here = (struct mark){0};
	else if (at < f->here.wire || f->marks[low - 1].wire > f->here.wire)
		f->here = f->marks[low - 1];
}

static void need_buffers(struct file_source *f)
{
	if (f->buffers != NULL)
		return;
	f->buffers = f->m->window;
	f->m->window = NULL;
	if (f->buffers == NULL)
		f->buffers = mem_grow(NULL, 3, SOURCE_WINDOW);
}

static int file_chunk(struct source *s, uint64_t at, struct str *out, struct err *e)
{
	struct file_source *f = self(s);

	*out = STR_NONE;
	if (check(f, e) != 0)
		return e->code;
	need_buffers(f);
	if (at < f->window_at || at > f->here.wire || f->window.p == NULL) {
		rewind_to(f, at);
		f->window = STR_NONE;
		f->window_at = f->here.wire;
	}
	while (at >= f->here.wire) {
		if (next_window(f, e) != 0) {
			f->window = STR_NONE;
			return e->code;
		}
		if (f->window.n == 0)
			return 0;
	}
	*out = str_from(f->window, (size_t)(at - f->window_at));
	return 0;
}

/* Stored as it goes out: read to where it goes. */
static int add_stored(struct file_source *f, uint64_t at, size_t most, struct buf *out, struct err *e)
{
	ssize_t n;

	if (most > SOURCE_WINDOW)
		most = SOURCE_WINDOW;
	buf_reserve(out, most);
	n = read_stored(f, at, (unsigned char *)out->p + out->n, most, e);
	if (n < 0)
		return (int)n;
	out->n += (size_t)n;
	out->p[out->n] = '\0';
	return 0;
}

/* The next window, converted to where it goes. */
static int add_next(struct file_source *f, size_t most, struct buf *out, struct err *e)
{
	ssize_t n = read_stored(f, f->here.stored, f->buffers, SOURCE_WINDOW, e);
	size_t wire;

	if (n < 0)
		return (int)n;
	put_mark(f);
	buf_reserve(out, 2 * (size_t)n);
	wire = convert(f->buffers, (size_t)n, &f->here.after_cr, (unsigned char *)out->p + out->n);
	f->here.stored += (uint64_t)n;
	f->here.wire += wire;
	f->window = STR_NONE;
	f->window_at = f->here.wire;
	out->n += wire < most ? wire : most;
	out->p[out->n] = '\0';
	return 0;
}

static int file_add(struct source *s, uint64_t at, size_t most, struct buf *out, struct err *e)
{
	struct file_source *f = self(s);
	struct str chunk;

	if (check(f, e) != 0)
		return e->code;
	if (out->limit == 0 && f->newline == MORTISE_NEWLINE_CRLF)
		return add_stored(f, at, most, out, e);
	need_buffers(f);
	if (out->limit == 0 && at == f->here.wire)
		return add_next(f, most, out, e);
	if (file_chunk(s, at, &chunk, e) != 0)
		return e->code;
	buf_addstr(out, str_sub(chunk, 0, most));
	return 0;
}

static int file_size(struct source *s, uint64_t *size, struct err *e)
{
	struct file_source *f = self(s);
	struct str part;
	uint64_t at;

	if (f->octets != MORTISE_SIZE_UNKNOWN) {
		*size = f->octets;
		return 0;
	}
	if (check(f, e) != 0)
		return e->code;
	for (at = f->here.wire;;) {
		if (file_chunk(s, at, &part, e) != 0)
			return e->code;
		if (part.n == 0)
			break;
		at += part.n;
		if (f->m->store->stop != NULL && store_stopped(f->m->store, e) != 0)
			return e->code;
	}
	*size = f->octets = at;
	return 0;
}

static void unlink_source(struct file_source *f)
{
	struct file_source **p;

	for (p = &f->m->sources; *p != NULL; p = &(*p)->next)
		if (*p == f) {
			*p = f->next;
			return;
		}
}

static void file_close(struct source *s)
{
	struct file_source *f = self(s);

	if (f->m != NULL) {
		unlink_source(f);
		if (f->m->window == NULL) {
			f->m->window = f->buffers;
			f->buffers = NULL;
		}
	}
	mem_free(f->buffers);
	mem_free(f->extents);
	mem_free(f->marks);
	f->magic = 0;
	mem_free(f);
}

void sources_orphan(struct mailbox *m)
{
	struct file_source *f;

	for (f = m->sources; f != NULL; f = f->next) {
		f->m = NULL;
		f->window = STR_NONE;
	}
	m->sources = NULL;
}

void source_file_whole(struct source *s)
{
	self(s)->step = SOURCE_WINDOW;
}

static const struct source_ops file_ops = {
    .chunk = file_chunk, .size = file_size, .close = file_close, .add = file_add};

int source_file(
    struct mailbox *m, const struct mortise_ref *ref, uint64_t octets, struct source **out, struct err *e)
{
	struct file_source *f = mem_new(struct file_source);

	*out = NULL;
	f->s.magic = SOURCE_MAGIC;
	f->s.ops = &file_ops;
	f->magic = FILE_SOURCE_MAGIC;
	f->m = m;
	f->ref = *ref;
	f->octets = octets;
	f->fd = -1;
	f->mark_distance = MARK_DISTANCE;
	f->step = WINDOW_FIRST;
	f->next = m->sources;
	m->sources = f;
	if (ask(f, e) != 0) {
		file_close(&f->s);
		return e->code;
	}
	*out = &f->s;
	return 0;
}
