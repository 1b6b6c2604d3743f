/*
 * Expunge.
 *
 * Records can be moved only while nobody else has the file open, and moving costs as much as lies behind the
 * first message that goes. So when others have it open, or when much would be moved for little, messages are
 * only marked (flag 8000), as c-client marks them, and nobody shows them any more. Their space is taken back
 * by a later expunge or when the box is closed. The journal makes moving safe against crashes. Where no
 * journal can be had because the disk is full, the text of marked messages gives its blocks back to the file
 * system and the records stay.
 */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK 65536u
#define NOT_NOW 1
#define NO_ROOM 2 /* for a journal */

/* Where the first gap is, and how much lies behind it that stays. */
static uint64_t first_gap(const struct mbx_box *b, size_t *next, uint64_t *behind)
{
	uint64_t at = MBX_HEADER;
	size_t i;

	for (i = 0; i < b->count && b->records[i].offset == at; i++)
		at += b->records[i].line + b->records[i].size;
	*next = i;
	*behind = 0;
	for (; i < b->count; i++)
		*behind += b->records[i].line + b->records[i].size;
	return at;
}

static int copy_out(struct mortise_call *call, const struct mbx_box *b, int out, uint64_t offset,
    uint64_t size, unsigned char *chunk)
{
	while (size > 0) {
		size_t n = size < CHUNK ? (size_t)size : CHUNK, done = 0;
		int r = call->host->should_stop(call);
		if (r != 0 || (r = mbx_pread(call, b, chunk, n, offset)) != 0)
			return r;
		while (done < n) {
			ssize_t w = write(out, chunk + done, n - done);
			if (w < 0 && errno == EINTR)
				continue;
			if (w <= 0)
				return call->host->fault_errno(
				    call, "cannot write the journal of %s", b->place->name);
			done += (size_t)w;
		}
		offset += n;
		size -= n;
	}
	return 0;
}

/* The live records from `next` on, moved to `at`. NOT_NOW: nothing was done. */
static int move_down(struct mortise_call *call, struct mbx_box *b, uint64_t at, size_t next)
{
	unsigned char *chunk = call->host->alloc(call, MORTISE_LIFE_CALL, CHUNK);
	int out = call->host->journal_begin(call, b->fd, at), r = 0;

	if (out == -1)
		return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? NO_ROOM : NOT_NOW;
	if (out < 0)
		return NOT_NOW;
	for (size_t i = next, stop; r == 0 && i < b->count; i = stop) {
		uint64_t end = b->records[i].offset;
		for (stop = i; stop < b->count && b->records[stop].offset == end; stop++)
			end += b->records[stop].line + b->records[stop].size;
		r = copy_out(call, b, out, b->records[i].offset, end - b->records[i].offset, chunk);
	}
	if (r != 0) {
		call->host->journal_drop(call, out);
		return r == MORTISE_E_QUOTA || r == MORTISE_E_TOOBIG ? NO_ROOM : NOT_NOW;
	}
	r = call->host->journal_apply(call, out);
	/* It may be half done; then it is finished before the mailbox is next looked at. */
	if (r != 0)
		mbx_forget(b);
	return r;
}

/* Where messages are now. */
static void moved(struct mbx_box *b, uint64_t at, size_t next)
{
	for (size_t i = next; i < b->count; i++) {
		b->records[i].offset = at;
		at += b->records[i].line + b->records[i].size;
	}
	b->end = at;
}

/* Only the text's blocks go. */
static void punch(struct mbx_box *b)
{
	uint64_t at = MBX_HEADER;

	for (size_t i = 0; i <= b->count; i++) {
		uint64_t stop = i < b->count ? b->records[i].offset : b->end;
		while (at < stop) {
			unsigned char line[MBX_LINE_MAX];
			struct mbx_record m;
			unsigned bad;
			ssize_t n = pread(b->fd, line, sizeof line, (off_t)at);
			if (n < 0 || mbx_record_parse(line, (size_t)n, &m, &bad) != 0)
				return;
			if (m.size > 0 && (m.flags & MBX_EXPUNGED))
				(void)!fallocate(b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    (off_t)(at + m.line), (off_t)m.size);
			at += m.line + m.size;
		}
		if (i < b->count)
			at = stop + b->records[i].line + b->records[i].size;
	}
}

/* Alone with the file. 0, NOT_NOW, NO_ROOM, or a code when the file may have been changed. */
static int compact_alone(struct mortise_call *call, struct mbx_box *b)
{
	uint64_t behind, at;
	size_t next;
	int r = 0;

	at = first_gap(b, &next, &behind);
	if (behind > b->options->compact_now && behind / 2 > b->end - at - behind)
		return NOT_NOW;
	if (behind > 0)
		r = move_down(call, b, at, next);
	else if (ftruncate(b->fd, (off_t)at) != 0)
		r = call->host->fault_errno(call, "cannot shorten %s", b->place->name);
	else
		r = mbx_sync_file(call, b);
	if (r == 0)
		moved(b, at, next);
	return r;
}

int mbx_compact(struct mortise_call *call, struct mbx_box *b)
{
	int r;

	if (b->live == b->end - MBX_HEADER || (r = mbx_change_begin(call, b)) != 0)
		return 0;
	if (!mbx_session_alone(call, b))
		return 0;
	r = compact_alone(call, b);
	if (r == NO_ROOM)
		punch(b);
	mbx_change_end(call, b, false);
	(void)!mbx_session_share(call, b);
	return r > 0 ? 0 : r;
}

/* ---- expunge ---- */

static int compare_uids(const void *x, const void *y)
{
	uint32_t a = ((const struct mortise_ref *)x)->uid, b = ((const struct mortise_ref *)y)->uid;

	return a < b ? -1 : a > b;
}

static int note_gone(struct mortise_call *call, struct mbx_box *b, size_t count)
{
	if (b->gone_count + count > b->gone_room) {
		size_t room = b->gone_count + count;
		uint32_t *p = reallocarray(b->gone, room, sizeof *p);
		if (p == NULL)
			return call->host->fault(
			    call, MORTISE_E_TEMP, "no memory to expunge %zu messages", count);
		b->gone = p;
		b->gone_room = room;
	}
	return 0;
}

static int mark(struct mortise_call *call, struct mbx_box *b, const struct mbx_record *m)
{
	char tail[MBX_LINE_MAX];
	struct mbx_record now = *m;

	now.flags |= MBX_EXPUNGED | MBX_DELETED;
	mbx_record_print_tail(tail, &now);
	return mbx_pwrite(call, b, tail, MBX_TAIL - 2, m->offset + m->line - MBX_TAIL);
}

/* Marks and forgets. Those marked before an error are gone for everybody. */
static int mark_all(struct mortise_call *call, struct mbx_box *b, struct mortise_ref *refs, size_t count)
{
	size_t kept = 0, told = 0, next = 0;
	int r = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct mbx_record *m = &b->records[i];
		while (next < count && refs[next].uid < m->uid)
			next++;
		if (r == 0 && next < count && refs[next].uid == m->uid && (r = mark(call, b, m)) == 0) {
			b->live -= m->line + m->size;
			if (m->untold)
				b->untold_count--;
			if (i < b->told)
				b->gone[b->gone_count++] = m->uid;
			continue;
		}
		told += i < b->told;
		b->records[kept++] = *m;
	}
	b->count = kept;
	b->told = told;
	return r;
}

/*
 * Marked first, all of them, and that is durable: what follows only saves space, and when it fails nothing is
 * said of it but in the log.
 */
int mbx_op_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct mbx_box *b = mbx_box_of(box);
	struct mortise_ref *sorted;
	size_t before;
	int r;

	if ((r = mbx_lock_check(call, b)) != 0 || (r = mbx_change_begin(call, b)) != 0)
		return r;
	if ((!b->loaded && (r = mbx_load(call, b)) != 0) || (r = note_gone(call, b, count)) != 0)
		return r;
	sorted = reallocarray(NULL, count + 1, sizeof *sorted);
	if (sorted == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory to expunge %zu messages", count);
	memcpy(sorted, refs, count * sizeof *sorted);
	qsort(sorted, count, sizeof *sorted, compare_uids);
	before = b->count;
	r = mark_all(call, b, sorted, count);
	free(sorted);
	if (r == 0 && b->count == before)
		return 0;
	if (r == 0)
		r = mbx_header_write_pid(call, b);
	if (r == 0)
		r = mbx_sync_file(call, b);
	mbx_change_end(call, b, false);
	return r != 0 ? r : mbx_compact(call, b);
}
