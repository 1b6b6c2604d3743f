/*
 * Record lines: read, found by locators, changed in place.
 *
 * Where lines are close to each other, 64 KiB of the file are read at once, and what changes in them is
 * written back in runs; where they are not, each is read and written by itself. The file is never mapped:
 * that is slower when one line of every message is looked at, and a file that another program cuts short
 * would be a signal.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>

#define NEAR 8192u /* octets from line to line at which it is cheaper to read what is between */
#define RUN 4096u  /* and to write it */

void mbx_window_reset(struct mbx_box *b)
{
	free(b->window.many);
	b->window = (struct mbx_window){.last = UINT64_MAX};
}

int mbx_window_flush(struct mortise_call *call, struct mbx_box *b)
{
	struct mbx_window *w = &b->window;
	uint64_t from = w->dirty_from, to = w->dirty_to;

	w->dirty_from = w->dirty_to = 0;
	return from == to ? 0 : mbx_pwrite(call, b, w->octets + (from - w->at), (size_t)(to - from), from);
}

static int window_move(struct mortise_call *call, struct mbx_box *b, uint64_t offset, uint64_t left)
{
	struct mbx_window *w = &b->window;
	bool near = w->last <= offset && offset - w->last < NEAR;
	int r = mbx_window_flush(call, b);

	if (r != 0)
		return r;
	if (near && w->many == NULL)
		w->many = malloc(MBX_WINDOW);
	near = near && w->many != NULL;
	w->octets = near ? w->many : w->line;
	w->at = offset;
	w->size = near ? MBX_WINDOW : MBX_LINE_MAX;
	if (w->size > left)
		w->size = (size_t)left;
	r = mbx_pread(call, b, w->octets, w->size, offset);
	if (r != 0)
		w->size = 0;
	return r;
}

int mbx_line_read(struct mortise_call *call, struct mbx_box *b, uint64_t offset, uint64_t size,
    struct mbx_record *out, uint64_t *bad, const char **what)
{
	struct mbx_window *w = &b->window;
	size_t n = size - offset < MBX_LINE_MAX ? (size_t)(size - offset) : MBX_LINE_MAX;
	unsigned at;
	int r;

	if ((offset < w->at || offset + n > w->at + w->size) &&
	    (r = window_move(call, b, offset, size - offset)) != 0)
		return r;
	w->last = offset;
	*out = (struct mbx_record){.offset = offset};
	*what = "does not belong into a message's first line";
	if (mbx_record_parse(w->octets + (offset - w->at), n, out, &at) != 0) {
		*bad = offset + at;
		return 1;
	}
	out->stored_uid = out->uid;
	*what = "begins a message that runs past the file's end";
	*bad = offset;
	return out->size > size - offset - out->line;
}

int mbx_damaged(struct mortise_call *call, const struct mbx_box *b, uint64_t offset, const char *what)
{
	return call->host->fault(
	    call, MORTISE_E_CORRUPT, "%s: octet %llu %s", b->place->name, (unsigned long long)offset, what);
}

/* What is between two changes is written again as it was read; we have the lock. */
int mbx_line_patch(struct mortise_call *call, struct mbx_box *b, const struct mbx_record *m)
{
	struct mbx_window *w = &b->window;
	uint64_t from = m->offset + m->line - MBX_TAIL, to = from + MBX_TAIL - 2;
	char tail[MBX_LINE_MAX];
	int r;

	mbx_record_print_tail(tail, m);
	if (from < w->at || to > w->at + w->size) {
		r = mbx_window_flush(call, b);
		return r != 0 ? r : mbx_pwrite(call, b, tail, MBX_TAIL - 2, from);
	}
	if (w->dirty_to != w->dirty_from && (from < w->dirty_from || from > w->dirty_to + RUN) &&
	    (r = mbx_window_flush(call, b)) != 0)
		return r;
	memcpy(w->octets + (from - w->at), tail, MBX_TAIL - 2);
	if (w->dirty_to == w->dirty_from)
		w->dirty_from = from;
	if (to > w->dirty_to)
		w->dirty_to = to;
	return 0;
}

/* ---- locators ---- */

struct locator {
	uint64_t offset, size;
	uint32_t stored_uid;
	uint8_t line, zero[3];
};
_Static_assert(sizeof(struct locator) == 24, "a locator has no holes");

void mbx_locator_make(const struct mbx_record *m, uint8_t *size, unsigned char *out)
{
	const struct locator l = {
	    .offset = m->offset, .size = m->size, .stored_uid = m->stored_uid, .line = m->line};

	*size = sizeof l;
	memcpy(out, &l, sizeof l);
}

#define LOST 1 /* not there; it may have moved */
#define GONE 2

/* 0 and *out, LOST, GONE, or a code. */
static int find_there(struct mortise_call *call, struct mbx_box *b, const struct mortise_ref *ref,
    uint64_t size, struct mbx_record *out)
{
	struct locator l;
	uint64_t bad;
	const char *what;
	int r;

	if (ref->locator_size != sizeof l)
		return LOST;
	memcpy(&l, ref->locator, sizeof l);
	if (l.offset < MBX_HEADER || l.offset >= size)
		return LOST;
	r = mbx_line_read(call, b, l.offset, size, out, &bad, &what);
	if (r != 0)
		return r < 0 ? r : LOST;
	if (out->size != l.size || out->line != l.line || (out->uid != l.stored_uid && out->uid != ref->uid))
		return LOST;
	out->uid = ref->uid;
	return out->flags & MBX_EXPUNGED ? GONE : 0;
}

static const struct mortise_ref *ref_at(const struct mortise_ref *refs, size_t stride, size_t i)
{
	return (const struct mortise_ref *)(const void *)((const char *)refs + i * stride);
}

static int visit_lost(struct mortise_call *call, struct mbx_box *b, const struct mortise_ref *refs,
    size_t stride, const size_t *lost, size_t count, mbx_visitor *visit, void *arg)
{
	int r = mbx_window_flush(call, b);

	mbx_window_reset(b);
	if (r == 0 && (r = mbx_header_read(call, b)) == 0)
		r = mbx_scan(call, b);
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct mbx_record *m = mbx_find(b, ref_at(refs, stride, lost[i])->uid);
		if (m != NULL)
			r = visit(call, b, m, lost[i], arg);
	}
	mbx_records_free(b);
	return r;
}

int mbx_each(struct mortise_call *call, struct mbx_box *b, const struct mortise_ref *refs, size_t stride,
    size_t count, mbx_visitor *visit, void *arg)
{
	struct mbx_print now;
	struct mbx_record m;
	size_t *lost = NULL, lost_count = 0;
	int r = mbx_print_of(call, b, &now);

	mbx_window_reset(b);
	for (size_t i = 0; r >= 0 && i < count; i++) {
		r = find_there(call, b, ref_at(refs, stride, i), now.size, &m);
		if (r == 0)
			r = visit(call, b, &m, i, arg);
		if (r != LOST)
			continue;
		if (lost == NULL && (lost = reallocarray(NULL, count, sizeof *lost)) == NULL)
			return call->host->fault(call, MORTISE_E_TEMP, "no memory for %zu messages", count);
		lost[lost_count++] = i;
	}
	if (r >= 0)
		r = lost_count == 0 ? 0 : visit_lost(call, b, refs, stride, lost, lost_count, visit, arg);
	if (r == 0)
		r = mbx_window_flush(call, b);
	free(lost);
	return r;
}

/* ---- reading ---- */

static int take(struct mortise_call *call, struct mbx_box *b, struct mbx_record *m, size_t i, void *arg)
{
	(void)call;
	(void)b;
	(void)i;
	*(struct mbx_record *)arg = *m;
	return 0;
}

int mbx_op_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *source)
{
	struct mbx_box *b = mbx_box_of(box);
	struct mbx_record m = {.offset = 0};
	struct mbx_print now;
	bool taken = false;
	int r = mbx_print_of(call, b, &now);

	mbx_window_reset(b);
	if (r == 0)
		r = find_there(call, b, ref, now.size, &m);
	if (r == LOST && (r = mbx_lock_need(call, b, &taken)) == 0) {
		m.offset = 0;
		r = mbx_each(call, b, ref, sizeof *ref, 1, take, &m);
	}
	if (taken)
		mbx_lock_release(b);
	if (r < 0)
		return r;
	if (r == GONE || m.offset == 0)
		return call->host->fail(call, MORTISE_E_EXPUNGED, "The message is no longer there");
	b->extent = (struct mortise_extent){.offset = m.offset + m.line, .length = m.size};
	source->fd = b->fd;
	source->newline = MORTISE_NEWLINE_CRLF;
	source->extents = &b->extent;
	source->extent_count = 1;
	source->memory = NULL;
	return 0;
}
