/*
 * The space of expunged messages taken back.
 *
 * Records can be moved only while nobody else has the file open, and moving costs as much as lies behind the
 * first message that goes. So expunging only marks messages (flag 8000), as c-client does when others have
 * the file open, and nobody shows them any more. Their space is taken back when a session is quiet or ends,
 * if it is alone and what is gained is worth what is moved. The journal makes moving safe against crashes.
 * Where no journal can be had because the disk is full, the text of marked messages gives its blocks back to
 * the file system and the records stay.
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
	return call->host->journal_apply(call, out);
}

/* Only the text's blocks go. */
static void punch(struct mbx_box *b)
{
	uint64_t at = MBX_HEADER;

	for (size_t i = 0; i <= b->count; i++) {
		uint64_t stop = i < b->count ? b->records[i].offset : b->known.print.size;
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

/* 0, NOT_NOW, NO_ROOM, or a code when the file may have been changed. *end: the file's new one. */
static int compact_alone(struct mortise_call *call, struct mbx_box *b, uint64_t *end)
{
	uint64_t behind, at;
	size_t next;
	int r;

	at = first_gap(b, &next, &behind);
	*end = at + behind;
	if (behind > 0)
		return move_down(call, b, at, next);
	while ((r = ftruncate(b->fd, (off_t)at)) != 0 && errno == EINTR)
		;
	return r != 0 ? call->host->fault_errno(call, "cannot shorten %s", b->place->name)
	              : mbx_sync_file(call, b);
}

/* Much moved for little gained is put off. */
static bool worth_it(const struct mbx_box *b)
{
	const struct mbx_known *k = &b->known;
	uint64_t behind = k->print.size - k->dead_from - k->dead;

	return behind <= b->options->compact_now || behind / 2 <= k->dead;
}

static int stamp(struct mortise_call *call, struct mbx_box *b, uint64_t end, bool flags)
{
	int r = mbx_change_stamp(call, b, end, flags);

	if (r == 0)
		mbx_change_end(call, b, false);
	else
		mbx_change_failed(b);
	return r;
}

/* Alone with the file, and locked. */
static int compact(struct mortise_call *call, struct mbx_box *b)
{
	uint64_t end = 0;
	int r = mbx_scan(call, b);

	if (r != 0 || b->known.dead == 0)
		return r;
	r = compact_alone(call, b, &end);
	if (r == NO_ROOM) {
		punch(b);
		return stamp(call, b, b->known.print.size, false);
	}
	if (r == NOT_NOW)
		return 0;
	/* Where it is only half done it is finished before the mailbox is next looked at. */
	mbx_change_failed(b);
	if (r != 0)
		return r;
	b->known = (struct mbx_known){.there = true, .count = b->count};
	return stamp(call, b, end, true);
}

static bool anything_dead(const struct mbx_box *b)
{
	return b->known.there ? b->known.dead != 0 : b->header.trail.epoch != 0 && b->header.trail.dead != 0;
}

int mbx_op_checkpoint(struct mortise_call *call, void *box)
{
	struct mbx_box *b = mbx_box_of(box);
	bool taken;
	int r;

	mbx_lock_forget(b);
	if (b->read_only || !anything_dead(b))
		return 0;
	if ((r = mbx_lock_until(call, b, call->host->now(call), &taken)) != 0)
		return r;
	if ((r = mbx_lock_check(call, b)) == 0 && (r = mbx_change_begin(call, b)) == 0 &&
	    (r = mbx_know(call, b)) == 0 && b->known.dead != 0 && worth_it(b) && mbx_session_alone(call, b)) {
		r = compact(call, b);
		(void)!mbx_session_share(call, b);
	}
	mbx_window_reset(b);
	mbx_records_free(b);
	if (taken)
		mbx_lock_release(b);
	return r;
}
