/*
 * A new end for the file.
 *
 * The new octets from some message to the end are first written somewhere else and then put in place.
 * Somewhere else is the host's journal, which a crash cannot take away; without one it is a file without a
 * name (then a crash while it is copied back can, as with c-client). When nothing else has room and the file
 * only becomes shorter, the octets are moved down in the file itself, so that a full disk can be emptied.
 */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 262144u
#define IN_MEMORY_MAX (16u << 20)

enum output_mode { JOURNAL, SPOOL, DIRECT };

struct output {
	struct mortise_call *call;
	struct unix_box *b;
	enum output_mode mode;
	int fd;
	bool touched;  /* the mailbox is not what it was any more */
	uint64_t from; /* where in the mailbox it begins */
	uint64_t done; /* octets written, the buffer's not */
	unsigned char *buffer, *chunk;
	size_t fill;
	uint64_t keep, keep_end;   /* kept octets not copied yet */
	struct unix_scanner again; /* for headers that are looked at twice */
	struct unix_scanned *header;
};

/* ---- where it is written first ---- */

/* A file without a name: small ones in memory, others beside the mailbox, or in /tmp. */
static int nameless(const struct unix_box *b, uint64_t size)
{
	int fd = -1;

	if (size <= IN_MEMORY_MAX)
		fd = memfd_create("mailbox", MFD_CLOEXEC);
	if (fd < 0)
		fd = openat(b->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd;
}

static int output_begin(struct output *o, enum output_mode mode)
{
	struct mortise_call *call = o->call;
	struct unix_print now;
	int r = unix_box_print(call, o->b, &now);

	if (r != 0)
		return r;
	o->mode = mode;
	o->fd = -1;
	o->fill = 0;
	o->done = o->keep = o->keep_end = 0;
	if (mode == JOURNAL)
		o->fd = call->host->journal_begin(call, o->b->fd, o->from);
	if (mode != DIRECT && o->fd < 0) {
		o->mode = SPOOL;
		o->fd = nameless(o->b, now.size - o->from);
		if (o->fd < 0)
			return call->host->fault_errno(
			    call, "cannot make room to rewrite %s", o->b->place->name);
	}
	if (o->buffer == NULL)
		o->buffer = malloc(CHUNK);
	if (o->chunk == NULL)
		o->chunk = malloc(CHUNK);
	if (o->buffer == NULL || o->chunk == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory to rewrite %s", o->b->place->name);
	return 0;
}

static void output_drop(struct output *o)
{
	if (o->mode == JOURNAL && o->fd >= 0)
		o->call->host->journal_drop(o->call, o->fd);
	else if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}

static int output_put(struct output *o, const unsigned char *p, size_t size)
{
	while (size > 0) {
		ssize_t n = o->mode == DIRECT ? pwrite(o->b->fd, p, size, (off_t)(o->from + o->done))
		                              : write(o->fd, p, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return o->call->host->fault_errno(
			    o->call, "cannot write the new part of %s", o->b->place->name);
		p += n;
		size -= (size_t)n;
		o->done += (uint64_t)n;
	}
	return 0;
}

static int output_flush(struct output *o)
{
	size_t n = o->fill;

	o->fill = 0;
	return output_put(o, o->buffer, n);
}

static int output_text(struct output *o, const void *p, size_t size)
{
	const unsigned char *in = p;

	while (size > 0) {
		size_t n = CHUNK - o->fill < size ? CHUNK - o->fill : size;
		int r;
		memcpy(o->buffer + o->fill, in, n);
		o->fill += n;
		in += n;
		size -= n;
		if (o->fill == CHUNK && (r = output_flush(o)) != 0)
			return r;
	}
	return 0;
}

/* Octets of the mailbox as they are. */
static int output_copy(struct output *o, uint64_t offset, uint64_t end)
{
	struct mortise_call *call = o->call;
	int r;

	if (o->mode == DIRECT && offset < end && o->from + o->done + o->fill > offset)
		return call->host->fault(call, MORTISE_E_QUOTA,
		    "no room to rewrite %s: the new part would overtake the old", o->b->place->name);
	while (offset < end) {
		size_t n = end - offset < CHUNK ? (size_t)(end - offset) : CHUNK;
		if (o->mode == DIRECT)
			unix_lock_touch(call, o->b);
		else if ((r = unix_stop(call, o->b)) != 0)
			return r;
		if ((r = unix_pread(call, o->b, o->chunk, n, offset)) != 0 ||
		    (r = output_text(o, o->chunk, n)) != 0)
			return r;
		offset += n;
	}
	return 0;
}

/* ---- putting it in place ---- */

/* So that a full disk is found out before the first octet is overwritten. */
static int grow(struct output *o, uint64_t size, uint64_t end)
{
	int r;

	if (end <= size)
		return 0;
	do
		r = posix_fallocate(o->b->fd, (off_t)size, (off_t)(end - size));
	while (r == EINTR);
	if (r == 0)
		return 0;
	if (ftruncate(o->b->fd, (off_t)size) != 0)
		r = errno;
	errno = r;
	return o->call->host->fault_errno(o->call, "no room to rewrite %s", o->b->place->name);
}

static int copy_back(struct output *o)
{
	uint64_t at = 0;

	while (at < o->done) {
		ssize_t n = pread(o->fd, o->chunk, CHUNK, (off_t)at);
		int r;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return o->call->host->fault_errno(
			    o->call, "cannot read back the new part of %s", o->b->place->name);
		if ((r = unix_pwrite(o->call, o->b, o->chunk, (size_t)n, o->from + at)) != 0)
			return r;
		at += (uint64_t)n;
		unix_lock_touch(o->call, o->b);
	}
	return 0;
}

static int output_commit(struct output *o)
{
	struct unix_print now;
	uint64_t end;
	int r, fd;

	if ((r = output_flush(o)) != 0 || (r = unix_box_print(o->call, o->b, &now)) != 0)
		return r;
	end = o->from + o->done;
	if (o->mode == JOURNAL) {
		fd = o->fd;
		o->fd = -1;
		return o->call->host->journal_apply(o->call, fd);
	}
	if (o->mode == SPOOL && (r = grow(o, now.size, end)) != 0)
		return r;
	o->touched = true;
	if (o->mode == SPOOL && (r = copy_back(o)) != 0)
		return r;
	if (ftruncate(o->b->fd, (off_t)end) != 0)
		return o->call->host->fault_errno(o->call, "cannot cut %s", o->b->place->name);
	return unix_sync_file(o->call, o->b);
}

static void output_end(struct output *o)
{
	output_drop(o);
	if (o->header != NULL)
		unix_scan_close(&o->again);
	free(o->buffer);
	free(o->chunk);
}

/* ---- message by message ---- */

static int keep_flush(struct output *o)
{
	uint64_t from = o->keep, end = o->keep_end;

	o->keep = o->keep_end = 0;
	return output_copy(o, from, end);
}

static int keep(struct output *o, uint64_t from, uint64_t end)
{
	int r;

	if (o->keep_end != from) {
		if ((r = keep_flush(o)) != 0)
			return r;
		o->keep = from;
	}
	o->keep_end = end;
	return 0;
}

struct skipper {
	struct output *o;
	uint64_t at;
	int error;
};

static void skip_cut(void *arg, uint64_t offset, uint64_t size)
{
	struct skipper *s = arg;

	if (s->error == 0)
		s->error = keep(s->o, s->at, offset);
	s->at = offset + size;
}

/* The header without its internal fields. Its lines are looked at a second time; nothing of them is kept in
 * memory. */
static int header_without(struct output *o, const struct unix_scanned *m)
{
	struct skipper skip = {.o = o, .at = m->start + m->from_size};
	int r;

	if (o->header == NULL) {
		o->header = o->call->host->alloc(o->call, MORTISE_LIFE_CALL, sizeof *o->header);
		if ((r = unix_scanner(o->call, o->b, m->start, UINT64_MAX, &o->again)) != 0)
			return r;
		o->again.input.stop = NULL;
	}
	unix_scan_seek(&o->again, m->start);
	o->again.input.end = m->next;
	o->again.cut = skip_cut;
	o->again.cut_arg = &skip;
	r = unix_scan_header(&o->again, o->header);
	if (r < 0)
		r = unix_scan_fault(o->call, o->b, &o->again, r);
	if (r < 0 || skip.error != 0)
		return r < 0 ? r : skip.error;
	return keep(o, skip.at, m->header_end);
}

static int stamped(struct output *o, const struct unix_scanned *m, const struct unix_verdict *v)
{
	int r;

	if ((r = keep(o, m->start, m->start + m->from_size)) != 0 || (r = keep_flush(o)) != 0)
		return r;
	if (m->header_end == m->start + m->from_size && !m->ends_line && (r = output_text(o, "\n", 1)) != 0)
		return r;
	if ((r = output_text(o, v->block, v->block_size)) != 0)
		return r;
	if (!m->block && !m->strays)
		r = keep(o, m->start + m->from_size, m->header_end);
	else
		r = header_without(o, m);
	if (r != 0 || (r = keep(o, m->header_end, m->next)) != 0)
		return r;
	if (m->ends_line && m->header_closed && m->separated)
		return 0;
	if ((r = keep_flush(o)) != 0)
		return r;
	/* What a message has to end with, so that the next can begin. */
	if (!m->ends_line && m->next > m->start + m->from_size)
		r = output_text(o, "\n", 1);
	if (r == 0 && !m->header_closed)
		r = output_text(o, "\n", 1);
	if (r == 0 && !m->separated)
		r = output_text(o, "\n", 1);
	return r;
}

static int rewrite_pass(struct output *o, unix_decide *decide, void *arg)
{
	struct mortise_call *call = o->call;
	struct unix_scanned *m = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *m);
	struct unix_verdict *v = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *v);
	struct unix_scanner s;
	struct unix_print now;
	int r;

	if ((r = unix_box_print(call, o->b, &now)) != 0 ||
	    (r = unix_scanner(call, o->b, o->from, now.size, &s)) != 0)
		return r;
	if (o->mode == DIRECT)
		s.input.stop = NULL;
	while ((r = unix_scan_next(&s, m)) == 1) {
		if ((r = decide(arg, m, v)) != 0)
			break;
		if (v->action == UNIX_DROP && m->gone)
			o->b->gone -= m->next - m->start < o->b->gone ? m->next - m->start : o->b->gone;
		if (v->action == UNIX_KEEP)
			r = keep(o, m->start, m->next);
		else if (v->action == UNIX_STAMP)
			r = stamped(o, m, v);
		else if (v->action == UNIX_REPLACE && (r = keep_flush(o)) == 0)
			r = output_text(o, v->block, v->block_size);
		if (r != 0)
			break;
	}
	if (r < 0)
		r = unix_scan_fault(call, o->b, &s, r);
	unix_scan_close(&s);
	return r < 0 ? r : keep_flush(o);
}

int unix_rewrite(struct mortise_call *call, struct unix_box *b, uint64_t from, unix_decide *decide, void *arg,
    void (*again)(void *arg))
{
	struct output o = {.call = call, .b = b, .fd = -1, .from = from};
	const uint64_t gone = b->gone;
	int r;

	for (enum output_mode mode = JOURNAL;; mode = DIRECT) {
		if ((r = output_begin(&o, mode)) == 0 && (r = rewrite_pass(&o, decide, arg)) == 0)
			r = output_commit(&o);
		output_drop(&o);
		if (r != MORTISE_E_QUOTA || again == NULL || o.touched || mode == DIRECT)
			break;
		again(arg);
		b->gone = gone;
		call->host->log(call, MORTISE_LOG_WARN, "no room for a journal: %s is shortened without one",
		    b->place->name);
	}
	output_end(&o);
	if (r != 0)
		b->gone = gone;
	b->done = b->done || r == 0;
	return r;
}

/* ---- the file's beginning ---- */

uint32_t unix_token(struct mortise_call *call, uint32_t old)
{
	uint32_t r, token;

	do {
		call->host->random(call, &r, sizeof r);
		token = r % (UNIX_TOKEN_LIMIT - 1) + 1;
	} while (token == old);
	return token;
}

static struct unix_block base_block(struct mortise_call *call, const struct unix_box *b, bool new_token)
{
	return (struct unix_block){.base = true,
	    .uidvalidity = b->uidvalidity,
	    .uidlast = b->uidlast,
	    .table = &b->keywords,
	    .token = new_token || b->base.token == 0 ? unix_token(call, b->base.token) : b->base.token,
	    .mark = b->base.mark,
	    .letters = b->base.letters,
	    .keywords = b->base.keywords,
	    .uid = b->base.uid,
	    .gone = b->base.gone};
}

int unix_write_pseudo(struct mortise_call *call, struct unix_box *b)
{
	struct output o = {.call = call, .b = b, .fd = -1};
	struct unix_block block = base_block(call, b, true);
	char *text = call->host->alloc(call, MORTISE_LIFE_CALL, UNIX_BLOCK_MAX);
	size_t size = unix_pseudo_write(text, &block, (int64_t)time(NULL));
	int r;

	for (enum output_mode mode = JOURNAL;; mode = DIRECT) {
		if ((r = output_begin(&o, mode)) == 0 && (r = output_text(&o, text, size)) == 0)
			r = output_commit(&o);
		output_drop(&o);
		if (r != MORTISE_E_QUOTA || o.touched || mode == DIRECT)
			break;
	}
	output_end(&o);
	return r != 0 ? r : unix_base_read(call, b);
}

struct rebase {
	struct unix_block block;
	bool pseudo;
	uint64_t first;
};

static int rebase_one(void *arg, const struct unix_scanned *m, struct unix_verdict *v)
{
	struct rebase *r = arg;

	v->action = UNIX_KEEP;
	if (m->start != r->first)
		return 0;
	/* c-client cannot make head or tail of a pseudo-message in another form than its own. */
	v->action = r->pseudo ? UNIX_REPLACE : UNIX_STAMP;
	v->block_size = r->pseudo ? unix_pseudo_write(v->block, &r->block, (int64_t)time(NULL))
	                          : unix_block_write(v->block, &r->block, 0);
	return v->block_size != 0 ? 0 : MORTISE_E_LIMIT;
}

static int rebase(struct mortise_call *call, struct unix_box *b, const struct unix_block *block)
{
	struct rebase rb = {.block = *block, .pseudo = b->base.pseudo, .first = b->base.start};
	struct unix_print before, after;
	int r;

	if ((r = unix_box_print(call, b, &before)) != 0 ||
	    (r = unix_rewrite(call, b, b->base.start, rebase_one, &rb, NULL)) != 0 ||
	    (r = unix_box_print(call, b, &after)) != 0)
		return r;
	b->base_moved += (int64_t)(after.size - before.size);
	return unix_base_read(call, b);
}

int unix_base_write(struct mortise_call *call, struct unix_box *b, bool new_token)
{
	struct unix_block block = base_block(call, b, new_token);
	char *text = call->host->alloc(call, MORTISE_LIFE_CALL, UNIX_BLOCK_MAX);
	size_t size = 0;
	int r;

	if (!b->base.known)
		return call->host->fault(
		    call, MORTISE_E_INTERNAL, "%s has no UIDVALIDITY yet", b->place->name);
	/* Where another program has moved the block, X-Expunged stands by itself. */
	block.gone = block.gone && b->base.head;
	if (b->base.in_place && b->base.pseudo)
		size = unix_pseudo_fields(text, &block, b->base.block_size);
	else if (b->base.in_place)
		size = unix_block_write(text, &block, b->base.block_size);
	r = size != 0 ? unix_patch(call, b, text, size, b->base.block_start, UNIX_PATCH_SAFE, NULL)
	              : UNIX_UNSAFE;
	block.gone = b->base.gone;
	if (r == UNIX_UNSAFE)
		return rebase(call, b, &block);
	if (r < 0)
		return r;
	b->base.uidvalidity = block.uidvalidity;
	b->base.uidlast = block.uidlast;
	b->base.token = block.token;
	return 0;
}
