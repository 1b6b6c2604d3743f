/*
 * Flags and keywords, in place.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>

static int write_tail(
    struct mortise_call *call, struct mbx_box *b, struct mbx_record *m, uint16_t flags, uint32_t keywords)
{
	char tail[MBX_LINE_MAX];
	struct mbx_record now = *m;
	int r;

	now.flags = flags;
	now.keywords = keywords;
	mbx_record_print_tail(tail, &now);
	if ((r = mbx_pwrite(call, b, tail, MBX_TAIL - 2, m->offset + m->line - MBX_TAIL)) != 0)
		return r;
	m->flags = flags;
	m->keywords = keywords;
	if (!m->untold)
		b->untold_count++;
	m->untold = true;
	return 0;
}

/* The process number tells c-client sessions to look at flags again. One sync for all. */
static int finish(struct mortise_call *call, struct mbx_box *b, int r)
{
	if (r == 0)
		r = mbx_header_write_pid(call, b);
	if (r == 0)
		r = mbx_sync_file(call, b);
	mbx_change_end(call, b, false);
	return r;
}

static int begin(struct mortise_call *call, struct mbx_box *b)
{
	int r;

	if ((r = mbx_lock_check(call, b)) != 0 || (r = mbx_change_begin(call, b)) != 0)
		return r;
	return b->loaded ? 0 : mbx_load(call, b);
}

/* Bits that are no keyword's and flags that are not ours stay as they are. */
int mbx_op_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count)
{
	struct mbx_box *b = mbx_box_of(box);
	const uint16_t ours = mbx_flags_of(MORTISE_FLAGS_SYSTEM);
	uint32_t all = 0;
	size_t written = 0;
	int r = begin(call, b);

	if (r != 0)
		return r;
	for (size_t k = 0; k < b->header.keyword_count; k++)
		all |= UINT32_C(1) << b->header.slots[k];
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct mbx_record *m = mbx_find(b, changes[i].ref.uid);
		uint32_t bits = 0;
		uint16_t flags;
		if (m == NULL)
			continue;
		for (size_t k = 0; k < b->header.keyword_count; k++)
			if (changes[i].keywords >> k & 1)
				bits |= UINT32_C(1) << b->header.slots[k];
		bits |= m->keywords & ~all;
		flags = (uint16_t)((m->flags & ~ours) | mbx_flags_of(changes[i].flags));
		if (flags == m->flags && bits == m->keywords)
			continue;
		r = write_tail(call, b, m, flags, bits);
		written++;
	}
	return written > 0 || r != 0 ? finish(call, b, r) : mbx_sync_file(call, b);
}

int mbx_op_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct mbx_box *b = mbx_box_of(box);
	size_t written = 0;
	int r = begin(call, b);

	if (r != 0)
		return r;
	for (size_t i = 0; r == 0 && i < count; i++) {
		struct mbx_record *m = mbx_find(b, refs[i].uid);
		if (m == NULL || (m->flags & MBX_OLD))
			continue;
		r = write_tail(call, b, m, m->flags | MBX_OLD, m->keywords);
		written++;
	}
	return written > 0 || r != 0 ? finish(call, b, r) : 0;
}

int mbx_op_add_keyword(struct mortise_call *call, void *box, const char *name, unsigned *bit)
{
	struct mbx_box *b = mbx_box_of(box);
	struct mbx_header before = b->header;
	int r = begin(call, b), k;

	if (r != 0)
		return r;
	k = mbx_keyword(b, name, true);
	if (k < 0)
		return call->host->fail(
		    call, MORTISE_E_LIMIT, "The mailbox can keep no keyword \"%.100s\"", name);
	*bit = (unsigned)k;
	if ((size_t)k < before.keyword_count)
		return 0;
	r = mbx_header_write_keywords(call, b);
	if (r != 0)
		b->header = before;
	mbx_change_end(call, b, false);
	return r;
}
