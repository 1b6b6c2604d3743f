/*
 * Flags and keywords, in place, and what is done like them: messages are expunged by a flag, too.
 *
 * Each message's line is read where its locator says, and 21 octets of it are written. All of a batch goes to
 * the disk with one sync. What was written before an error stays: each message has its old flags or its new.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>

struct batch {
	const void *changes;
	uint32_t named; /* the file's keyword bits that have names */
	bool any;
};

static int put(struct mortise_call *call, struct mbx_box *b, struct mbx_record *m, struct batch *batch)
{
	int r = mbx_line_patch(call, b, m);

	if (r == 0)
		mbx_own_note(b, m, m->flags & MBX_EXPUNGED);
	batch->any = true;
	return r;
}

/* One sync for all. */
static int finish(struct mortise_call *call, struct mbx_box *b, const struct batch *batch, bool sync, int r)
{
	struct mbx_print now;

	if (r == 0 && !batch->any)
		return 0;
	if (r == 0)
		r = mbx_print_of(call, b, &now);
	if (r == 0)
		r = mbx_change_stamp(call, b, now.size, true);
	if (r == 0 && sync)
		r = mbx_sync_file(call, b);
	if (r == 0)
		mbx_change_end(call, b, false);
	else
		mbx_change_failed(b);
	return r;
}

static int begin(struct mortise_call *call, struct mbx_box *b)
{
	int r = mbx_lock_check(call, b);

	return r != 0 ? r : mbx_change_begin(call, b);
}

/* Bits that are no keyword's and flags that are not ours stay as they are. */
static int set_one(struct mortise_call *call, struct mbx_box *b, struct mbx_record *m, size_t i, void *arg)
{
	struct batch *batch = arg;
	const struct mortise_flag_change *change = (const struct mortise_flag_change *)batch->changes + i;
	const uint16_t ours = mbx_flags_of(MORTISE_FLAGS_SYSTEM);
	uint32_t bits = m->keywords & ~batch->named;
	uint16_t flags = (uint16_t)((m->flags & ~ours) | mbx_flags_of(change->flags));

	for (size_t k = 0; k < b->header.keyword_count; k++)
		if (change->keywords >> k & 1)
			bits |= UINT32_C(1) << b->header.slots[k];
	if (flags == m->flags && bits == m->keywords)
		return 0;
	m->flags = flags;
	m->keywords = bits;
	return put(call, b, m, batch);
}

int mbx_op_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count)
{
	struct mbx_box *b = mbx_box_of(box);
	struct batch batch = {.changes = changes};
	int r = begin(call, b);

	if (r != 0)
		return r;
	batch.named = mbx_keyword_bits(&b->header);
	r = count == 0 ? 0 : mbx_each(call, b, &changes->ref, sizeof *changes, count, set_one, &batch);
	return finish(call, b, &batch, b->options->sync_flags, r);
}

static int see_one(struct mortise_call *call, struct mbx_box *b, struct mbx_record *m, size_t i, void *arg)
{
	(void)i;
	if (m->flags & MBX_OLD)
		return 0;
	m->flags |= MBX_OLD;
	return put(call, b, m, arg);
}

/* Not synced: a message that is recent once more harms nobody. */
int mbx_op_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct mbx_box *b = mbx_box_of(box);
	struct batch batch = {.changes = NULL};
	int r = begin(call, b);

	if (r != 0)
		return r;
	r = mbx_each(call, b, refs, sizeof *refs, count, see_one, &batch);
	return finish(call, b, &batch, false, r);
}

static int expunge_one(
    struct mortise_call *call, struct mbx_box *b, struct mbx_record *m, size_t i, void *arg)
{
	struct mbx_known *k = &b->known;

	(void)i;
	m->flags |= MBX_EXPUNGED | MBX_DELETED;
	if (k->dead == 0 || m->offset < k->dead_from)
		k->dead_from = m->offset;
	k->dead += m->line + m->size;
	k->count -= k->count > 0;
	return put(call, b, m, arg);
}

/* Their space is taken back later (compact.c). Those marked before an error are gone for everybody. */
int mbx_op_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct mbx_box *b = mbx_box_of(box);
	struct batch batch = {.changes = NULL};
	int r = begin(call, b);

	if (r != 0 || (r = mbx_know(call, b)) != 0)
		return r;
	r = mbx_each(call, b, refs, sizeof *refs, count, expunge_one, &batch);
	return finish(call, b, &batch, true, r);
}

/* What goes into the header only. */
static int finish_header(struct mortise_call *call, struct mbx_box *b)
{
	struct mbx_print now;
	int r = mbx_header_write(call, b);

	if (r == 0)
		r = mbx_print_of(call, b, &now);
	if (r == 0)
		r = mbx_change_stamp(call, b, now.size, false);
	if (r == 0)
		r = mbx_sync_file(call, b);
	if (r == 0)
		mbx_change_end(call, b, false);
	else
		mbx_change_failed(b);
	return r;
}

int mbx_op_add_keyword(struct mortise_call *call, void *box, const char *name, unsigned *bit)
{
	struct mbx_box *b = mbx_box_of(box);
	size_t before;
	int r = begin(call, b), k;

	if (r != 0 || (r = mbx_know(call, b)) != 0)
		return r;
	before = b->header.keyword_count;
	k = mbx_keyword(b, name, true);
	if (k < 0)
		return call->host->fail(
		    call, MORTISE_E_LIMIT, "The mailbox can keep no keyword \"%.100s\"", name);
	*bit = (unsigned)k;
	if ((size_t)k < before)
		return 0;
	r = mbx_header_put_keywords(call, b);
	return r != 0 ? r : finish_header(call, b);
}

int mbx_op_adopt(struct mortise_call *call, void *box, uint32_t uidvalidity, uint32_t uidnext)
{
	struct mbx_box *b = mbx_box_of(box);
	struct mbx_print now;
	int r = begin(call, b);

	if (r != 0 || (r = mbx_know(call, b)) != 0 || (r = mbx_print_of(call, b, &now)) != 0)
		return r;
	if (now.size > MBX_HEADER && uidvalidity != b->uidvalidity)
		return call->host->fail(call, MORTISE_E_INVALID, "The mailbox is not empty");
	if (uidvalidity == 0 || uidnext == 0 || uidnext - 1 > MBX_UID_LAST)
		return call->host->fail(call, MORTISE_E_INVALID, "These UIDs are not possible");
	b->uidvalidity = uidvalidity;
	if (now.size == MBX_HEADER || uidnext - 1 > b->uidlast)
		b->uidlast = uidnext - 1;
	return finish_header(call, b);
}
