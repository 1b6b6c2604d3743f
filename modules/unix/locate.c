/*
 * Locators, and what is read with them.
 *
 * A locator says where a message is, and lets that be checked: the From line's checksum, and the UID in the
 * block. Where the check fails the message was moved by another session's expunge; then the file is scanned
 * once, and what was found is kept until the file changes again.
 */
#include "box.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "from.h"

#define LOCATOR_VERSION 2u
#define LOCATOR_SIZE 58u
#define LOCATOR_UID 0x01u    /* X-UID is in the block and says the UID */
#define LOCATOR_STRAYS 0x02u /* internal fields outside the block */
#define CUTS_MAX 65536u

void unix_locator_write(const struct unix_scanned *m, bool uid_stored, struct mortise_message *out)
{
	unsigned char *p = out->locator;
	bool block = m->block && m->block_start - m->start <= UINT32_MAX;
	bool uid = block && m->block_uid && uid_stored;

	unix_put(&p, LOCATOR_VERSION, 1);
	unix_put(&p, (uid ? LOCATOR_UID : 0) | (m->strays ? LOCATOR_STRAYS : 0), 1);
	unix_put(&p, m->start, 8);
	unix_put(&p, m->header_end - m->start, 8);
	unix_put(&p, m->text_end - m->start, 8);
	unix_put(&p, m->next - m->start, 8);
	unix_put(&p, m->octets, 8);
	unix_put(&p, m->from_size, 4);
	unix_put(&p, m->from_check, 4);
	unix_put(&p, block ? m->block_start - m->start : 0, 4);
	unix_put(&p, block ? m->block_size : 0, 4);
	out->locator_size = (uint8_t)(p - out->locator);
}

static bool locator_read(const unsigned char *p, size_t size, struct unix_locator *l)
{
	unsigned flags;

	if (size != LOCATOR_SIZE || p[0] != LOCATOR_VERSION)
		return false;
	p++;
	flags = (unsigned)unix_get(&p, 1);
	l->uid_stored = flags & LOCATOR_UID;
	l->strays = flags & LOCATOR_STRAYS;
	l->start = unix_get(&p, 8);
	l->header = unix_get(&p, 8);
	l->text = unix_get(&p, 8);
	l->total = unix_get(&p, 8);
	l->octets = unix_get(&p, 8);
	l->from_size = (uint32_t)unix_get(&p, 4);
	l->from_check = (uint32_t)unix_get(&p, 4);
	l->block = (uint32_t)unix_get(&p, 4);
	l->block_size = (uint32_t)unix_get(&p, 4);
	return l->from_size <= UNIX_FROM_MAX && l->from_size <= l->header && l->header <= l->total &&
	       l->text <= l->total && l->text >= l->from_size && l->block_size <= UNIX_BLOCK_MAX &&
	       (l->block_size == 0 ||
	           (l->block >= l->from_size && (uint64_t)l->block + l->block_size <= l->header)) &&
	       l->start <= INT64_MAX - l->total && l->total <= INT64_MAX;
}

static ssize_t read_some(int fd, void *p, size_t size, uint64_t offset)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = pread(fd, (char *)p + got, size - got, (off_t)(offset + got));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -1 : (ssize_t)got;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* "X-UID: n\n" at a block's end. */
static bool block_says(const char *block, size_t size, uint32_t uid)
{
	char line[32];
	int n = snprintf(line, sizeof line, "\nX-UID: %u\n", uid);

	return size > (size_t)n && memcmp(block + size - (size_t)n, line, (size_t)n) == 0;
}

/* The message is where the locator says: the same From line, and the same UID where one is stored. */
static bool locator_holds(const struct unix_box *b, const struct unix_locator *l, uint32_t uid)
{
	char block[UNIX_BLOCK_MAX];
	unsigned char from[256 + 2];
	size_t size = l->from_size < sizeof from ? l->from_size : sizeof from;

	if (read_some(b->fd, from, size, l->start) != (ssize_t)size)
		return false;
	if (size > 0 && from[size - 1] == '\n')
		size--;
	if (size > 0 && from[size - 1] == '\r')
		size--;
	if (unix_check(from, size < 256 ? size : 256) != l->from_check)
		return false;
	if (!l->uid_stored)
		return true;
	return read_some(b->fd, block, l->block_size, l->start + l->block) == (ssize_t)l->block_size &&
	       block_says(block, l->block_size, uid);
}

/* ---- messages that moved ---- */

static int found_add(struct mortise_call *call, struct unix_box *b, const struct mortise_message *m)
{
	if (b->found_count == b->found_room) {
		size_t room = b->found_room != 0 ? b->found_room * 2 : 256;
		struct unix_found *p = reallocarray(b->found, room, sizeof *p);
		if (p == NULL)
			return call->host->fault(
			    call, MORTISE_E_LIMIT, "no memory for the messages of %s", b->place->name);
		b->found = p;
		b->found_room = room;
	}
	b->found[b->found_count].uid = m->uid;
	b->found[b->found_count].size = m->locator_size;
	memcpy(b->found[b->found_count++].locator, m->locator, sizeof m->locator);
	return 0;
}

/* All messages with stored UIDs, as the file is now. */
static int find_all(struct mortise_call *call, struct unix_box *b, uint64_t size)
{
	struct unix_scanned *m = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *m);
	struct unix_resolve resolve;
	struct unix_scanner s;
	int r;

	b->found_count = 0;
	if ((r = unix_base_read(call, b)) != 0)
		return r;
	unix_resolve_begin(&resolve, b);
	if ((r = unix_scanner(call, b, unix_first(b), size, &s)) != 0)
		return r;
	while ((r = unix_scan_next(&s, m)) == 1) {
		struct unix_resolved is;
		struct mortise_message out = {.size = sizeof out};
		unix_resolve(&resolve, m, &is);
		if (is.torn || is.gone)
			continue;
		out.uid = is.uid;
		unix_locator_write(m, is.stored, &out);
		if ((r = found_add(call, b, &out)) != 0)
			break;
	}
	if (r < 0)
		r = unix_scan_fault(call, b, &s, r);
	unix_scan_close(&s);
	return r;
}

static int find_uid(struct mortise_call *call, struct unix_box *b, uint32_t uid, struct unix_locator *l)
{
	struct unix_print now;
	size_t low = 0, high;
	bool taken;
	int r;

	if ((r = unix_box_print(call, b, &now)) != 0)
		return r;
	if (!unix_print_same(&now, &b->found_print) || b->found_count == 0) {
		if ((r = unix_lock_need(call, b, MORTISE_LOCK_SHARED, &taken)) != 0)
			return r;
		if ((r = unix_box_print(call, b, &now)) == 0 && (r = find_all(call, b, now.size)) == 0)
			b->found_print = now;
		if (taken)
			unix_lock_release(call, b);
		if (r != 0)
			return r;
	}
	for (high = b->found_count; low < high;) {
		size_t middle = low + (high - low) / 2;
		if (b->found[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == b->found_count || b->found[low].uid != uid ||
	    !locator_read(b->found[low].locator, b->found[low].size, l))
		return MORTISE_E_EXPUNGED;
	return 0;
}

int unix_find(
    struct mortise_call *call, struct unix_box *b, const struct mortise_ref *ref, struct unix_locator *l)
{
	if (locator_read(ref->locator, ref->locator_size, l) && locator_holds(b, l, ref->uid))
		return 0;
	return find_uid(call, b, ref->uid, l);
}

int unix_target_of(
    struct mortise_call *call, struct unix_box *b, const struct mortise_ref *ref, struct unix_target *t)
{
	*t = (struct unix_target){.uid = ref->uid};
	if (locator_read(ref->locator, ref->locator_size, &t->at))
		return 0;
	return find_uid(call, b, ref->uid, &t->at);
}

/* Is it there? With a block that only we write, and no field elsewhere, that is all that must be read. */
static int look_once(struct unix_scanner *s, const struct unix_target *t, struct unix_scanned *m)
{
	const struct unix_locator *l = &t->at;
	const uint64_t end = s->input.end;
	int r;

	if (l->uid_stored && !l->strays && l->block == l->from_size &&
	    l->start + l->block + l->block_size < end)
		s->input.end = l->start + l->block + l->block_size;
	unix_scan_seek(s, l->start);
	r = unix_scan_header(s, m);
	s->input.end = end;
	return r == 1 && m->from_check == l->from_check && (!l->uid_stored || m->uid == t->uid);
}

int unix_look_at(struct mortise_call *call, struct unix_box *b, struct unix_scanner *s, struct unix_target *t,
    struct unix_scanned *m)
{
	int r;

	if (look_once(s, t, m))
		return 1;
	r = find_uid(call, b, t->uid, &t->at);
	if (r == MORTISE_E_EXPUNGED)
		return 0;
	if (r != 0 || look_once(s, t, m))
		return r != 0 ? r : 1;
	return call->host->fault(
	    call, MORTISE_E_IO, "%s: UID %u is not where it was a moment ago", b->place->name, t->uid);
}

/* ---- reading ---- */

/* Cuts as they come from the scanner become the extents between them. */
struct cutter {
	struct mortise_call *call;
	struct unix_box *box;
	uint64_t at;
	int error;
};

static void add_extent(struct cutter *c, uint64_t end)
{
	struct unix_box *b = c->box;

	if (c->error != 0 || end <= c->at)
		return;
	if (b->extent_count >= CUTS_MAX) {
		c->error = c->call->host->fault(c->call, MORTISE_E_LIMIT,
		    "%s: the message before octet %llu has over %u internal header fields", b->place->name,
		    (unsigned long long)end, CUTS_MAX);
		return;
	}
	if (b->extent_count == b->extent_room) {
		size_t room = b->extent_room != 0 ? b->extent_room * 2 : 4;
		struct mortise_extent *p = reallocarray(b->extents, room, sizeof *p);
		if (p == NULL) {
			c->error = c->call->host->fault(c->call, MORTISE_E_LIMIT, "no memory");
			return;
		}
		b->extents = p;
		b->extent_room = room;
	}
	b->extents[b->extent_count++] = (struct mortise_extent){.offset = c->at, .length = end - c->at};
}

static void on_cut(void *arg, uint64_t offset, uint64_t size)
{
	struct cutter *c = arg;

	add_extent(c, offset);
	c->at = offset + size;
}

/* The header's lines have to be looked at again: internal fields are in more places than one. */
static int cut_strays(
    struct mortise_call *call, struct unix_box *b, const struct unix_locator *l, struct cutter *c)
{
	struct unix_scanned *m = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *m);
	struct unix_scanner s;
	int r = unix_scanner(call, b, l->start, l->start + l->total, &s);

	if (r != 0)
		return r;
	s.cut = on_cut;
	s.cut_arg = c;
	r = unix_scan_header(&s, m);
	if (r < 0)
		r = unix_scan_fault(call, b, &s, r);
	unix_scan_close(&s);
	return r < 0 ? r : c->error;
}

/* A file that was changed since may be half-written, by somebody who was killed: then that is finished first.
 */
static int whole(struct mortise_call *call, struct unix_box *b)
{
	struct unix_print now;
	bool taken = false;
	int r = unix_box_print(call, b, &now);

	if (r != 0 || unix_print_same(&now, &b->seen_print))
		return r;
	r = call->host->journal_recover(call, b->fd, b->lock.mode == MORTISE_LOCK_EXCLUSIVE);
	if (r >= 0 || b->lock.mode != MORTISE_LOCK_NONE || b->read_only)
		return r < 0 ? r : 0;
	/* Whoever gets the lock makes it whole. */
	r = unix_lock_need(call, b, MORTISE_LOCK_EXCLUSIVE, &taken);
	if (taken)
		unix_lock_release(call, b);
	return r;
}

int unix_op_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *source)
{
	struct unix_box *b = unix_box_of(box);
	struct unix_locator l;
	struct cutter c = {.call = call, .box = b};
	int r = whole(call, b);

	if (r == 0)
		r = unix_find(call, b, ref, &l);
	if (r == MORTISE_E_EXPUNGED)
		return call->host->fail(call, r, "The message is no longer there");
	if (r != 0)
		return r;
	b->extent_count = 0;
	c.at = l.start + l.from_size;
	if (l.strays)
		r = cut_strays(call, b, &l, &c);
	else if (l.block_size > 0)
		on_cut(&c, l.start + l.block, l.block_size);
	add_extent(&c, l.start + l.text);
	if (r == 0)
		r = c.error;
	source->fd = b->fd;
	source->newline = MORTISE_NEWLINE_LF;
	source->extents = b->extents;
	source->extent_count = b->extent_count;
	source->memory = NULL;
	return r;
}
