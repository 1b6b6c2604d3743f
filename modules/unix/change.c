/*
 * Flags, keywords.
 *
 * A message with a block (nearly all: sync sees to it) has its flags changed in place: as many octets as
 * before are written over it. Messages without one, or whose block is full of keywords, get a new one, for
 * which the file is rewritten from the first of them. One sync to disk a batch.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With more than this, everything behind the first is told anew. */
#define CHANGED_MAX 100000u
/* As much as this is rewritten so that a change of flags cannot be torn. */
#define REWRITE_CHEAP (1u << 20)

/* ---- what was changed through this box ---- */

int unix_trail_begin(struct mortise_call *call, struct unix_box *b)
{
	struct unix_trail *t = &b->trail;
	struct unix_print now;
	int r = unix_box_print(call, b, &now);

	if (r != 0)
		return r;
	if (!t->valid || !unix_print_same(&t->after, &now)) {
		unix_trail_clear(b);
		t->before = now;
	}
	t->valid = false;
	return 0;
}

/* Until unix_trail_end the trail is not valid: a change that fails half way leaves none. */
void unix_trail_end(struct mortise_call *call, struct unix_box *b)
{
	b->trail.valid = unix_box_print(call, b, &b->trail.after) == 0;
}

void unix_trail_clear(struct unix_box *b)
{
	b->trail.valid = false;
	b->trail.rescan = UINT64_MAX;
	b->trail.vanished_count = b->trail.changed_count = 0;
}

void unix_trail_rescan(struct unix_box *b, uint64_t offset)
{
	if (offset < b->trail.rescan)
		b->trail.rescan = offset;
}

static void *grown(struct mortise_call *call, void *p, size_t *room, size_t size)
{
	size_t want = *room != 0 ? *room * 2 : 64;
	void *q = reallocarray(p, want, size);

	if (q == NULL) {
		call->host->fault(call, MORTISE_E_LIMIT, "no memory to note %zu messages", want);
		return NULL;
	}
	*room = want;
	return q;
}

int unix_trail_vanished(struct mortise_call *call, struct unix_box *b, uint32_t uid)
{
	struct unix_trail *t = &b->trail;

	if (t->vanished_count == t->vanished_room) {
		void *p = grown(call, t->vanished, &t->vanished_room, sizeof *t->vanished);
		if (p == NULL)
			return MORTISE_E_LIMIT;
		t->vanished = p;
	}
	t->vanished[t->vanished_count++] = uid;
	return 0;
}

int unix_trail_changed(struct mortise_call *call, struct unix_box *b, const struct unix_target *changed)
{
	struct unix_trail *t = &b->trail;

	if (changed->at.start >= t->rescan)
		return 0;
	if (t->changed_count >= CHANGED_MAX) {
		for (size_t i = 0; i < t->changed_count; i++)
			unix_trail_rescan(b, t->changed[i].at.start);
		unix_trail_rescan(b, changed->at.start);
		t->changed_count = 0;
		return 0;
	}
	if (t->changed_count == t->changed_room) {
		void *p = grown(call, t->changed, &t->changed_room, sizeof *t->changed);
		if (p == NULL)
			return MORTISE_E_LIMIT;
		t->changed = p;
	}
	t->changed[t->changed_count] = *changed;
	t->changed[t->changed_count++].change = NULL;
	return 0;
}

/* ---- a change, from its beginning to its end ---- */

/* Everyone has a UID, and b->base is what the file's beginning says now. */
int unix_change_begin(struct mortise_call *call, struct unix_box *b)
{
	int r;

	if (!unix_lock_writable(b))
		return unix_lock_refuse(call, b);
	if ((r = unix_settle(call, b)) != 0 || (r = unix_base_read(call, b)) != 0)
		return r;
	b->base_moved = 0;
	b->done = false;
	return unix_trail_begin(call, b);
}

static int change_done(struct mortise_call *call, struct unix_box *b)
{
	if (b->base_moved != 0)
		unix_trail_rescan(b, 0);
	unix_times(b, false);
	unix_trail_end(call, b);
	return 0;
}

int unix_change_end(struct mortise_call *call, struct unix_box *b)
{
	int r = unix_sync_file(call, b);

	return r != 0 ? r : change_done(call, b);
}

static int by_start(const void *a, const void *b)
{
	const struct unix_target *x = a, *y = b;

	return x->at.start < y->at.start ? -1 : x->at.start > y->at.start;
}

void unix_targets_sort(struct unix_target *t, size_t count)
{
	qsort(t, count, sizeof *t, by_start);
}

struct unix_target *unix_target_at(struct unix_target *t, size_t count, uint64_t start)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (t[middle].at.start < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && t[low].at.start == start ? &t[low] : NULL;
}

/* ---- flags ---- */

struct flagging {
	struct mortise_call *call;
	struct unix_box *b;
	struct unix_target *targets;
	size_t count;
	struct unix_resolve resolve;
	struct unix_scanned *m;
	char *text;
	bool written;
};

static void block_for(struct flagging *f, const struct unix_target *t, const struct unix_scanned *m,
    const struct unix_resolved *is, struct unix_block *block)
{
	unix_block_of(f->b, m, is, block);
	if (block->token == 0)
		block->token = unix_token(f->call, 0);
	if (t->change == NULL) {
		block->letters |= UNIX_LETTER_O;
		return;
	}
	block->letters = (is->letters & UNIX_LETTER_O) | unix_letters_of_flags(t->change->flags);
	block->keywords = t->change->keywords;
}

/* One message: in place when it can be, else noted for rewriting. */
static int flag_one(struct flagging *f, struct unix_target *t, struct unix_scanner *s)
{
	struct unix_box *b = f->b;
	struct unix_resolve resolve = f->resolve;
	struct unix_resolved is;
	struct unix_block block;
	size_t size;
	int r;

	if ((r = unix_look_at(f->call, b, s, t, f->m)) != 1)
		return r;
	unix_resolve(&resolve, f->m, &is);
	if (is.gone)
		return 0;
	if (!is.stored)
		return f->call->host->fault(f->call, MORTISE_E_QUOTA,
		    "%s: UID %u cannot be written, so its flags cannot", b->place->name, t->uid);
	block_for(f, t, f->m, &is, &block);
	size = f->m->block && f->m->block_uid && !f->m->strays
	           ? unix_block_write(f->text, &block, f->m->block_size)
	           : 0;
	t->rewrite = size == 0;
	if (t->rewrite)
		return 0;
	/* What could be torn is written through the journal, unless that costs much. */
	r = unix_patch(f->call, b, f->text, size, f->m->block_start,
	    s->input.end - f->m->block_start > REWRITE_CHEAP ? UNIX_PATCH_WHATEVER : UNIX_PATCH_SAFE,
	    (const char *)unix_scan_octets(s, f->m->block_start, size));
	t->rewrite = r == UNIX_UNSAFE;
	if (r <= 0 || r == UNIX_UNSAFE)
		return r < 0 ? r : 0;
	f->written = b->done = true;
	if (block.base) {
		b->base.letters = block.letters;
		b->base.keywords = block.keywords;
		b->base.token = block.token;
	}
	return unix_trail_changed(f->call, b, t);
}

static int restamp_one(void *arg, const struct unix_scanned *m, struct unix_verdict *v)
{
	struct flagging *f = arg;
	struct unix_target *t = unix_target_at(f->targets, f->count, m->start);
	struct unix_resolved is;
	struct unix_block block;

	unix_resolve(&f->resolve, m, &is);
	v->action = is.gone && !unix_holds_base(f->b, m->start) ? UNIX_DROP : UNIX_KEEP;
	if (t == NULL || !t->rewrite)
		return 0;
	block_for(f, t, m, &is, &block);
	v->action = UNIX_STAMP;
	v->block_size = unix_block_write(v->block, &block, 0);
	return v->block_size != 0 ? 0 : MORTISE_E_LIMIT;
}

/* Those that could not be changed in place. */
static int rewrite_targets(struct flagging *f)
{
	size_t i = 0;
	int r;

	while (i < f->count && !f->targets[i].rewrite)
		i++;
	if (i == f->count)
		return 0;
	unix_resolve_begin(&f->resolve, f->b);
	r = unix_rewrite(f->call, f->b, f->targets[i].at.start, restamp_one, f, NULL);
	if (r != 0)
		return r;
	f->written = true;
	unix_trail_rescan(f->b, f->targets[i].at.start);
	return unix_base_read(f->call, f->b);
}

static int change_flags(struct flagging *f)
{
	struct mortise_call *call = f->call;
	struct unix_scanner s;
	struct unix_print now;
	int r;

	unix_targets_sort(f->targets, f->count);
	if ((r = unix_box_print(call, f->b, &now)) != 0 ||
	    (r = unix_scanner(call, f->b, 0, now.size, &s)) != 0)
		return r;
	f->m = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *f->m);
	f->text = call->host->alloc(call, MORTISE_LIFE_CALL, UNIX_BLOCK_MAX);
	for (size_t i = 0; r == 0 && i < f->count; i++)
		r = flag_one(f, &f->targets[i], &s);
	unix_scan_close(&s);
	/* Some may have been found elsewhere. */
	unix_targets_sort(f->targets, f->count);
	if (r == 0)
		r = rewrite_targets(f);
	if (r == 0 && f->written)
		r = unix_base_write(call, f->b, true);
	return r;
}

static int flag_refs(struct mortise_call *call, struct unix_box *b, const struct mortise_flag_change *changes,
    const struct mortise_ref *refs, size_t count)
{
	struct flagging f = {.call = call, .b = b};
	int r;

	if (count == 0)
		return 0;
	if ((r = unix_change_begin(call, b)) != 0)
		return r;
	f.targets =
	    call->host->alloc_bounded(call, MORTISE_LIFE_CALL, count, sizeof *f.targets, (size_t)1 << 30);
	if (f.targets == NULL)
		return MORTISE_E_LIMIT;
	for (size_t i = 0; i < count; i++) {
		const struct mortise_ref *ref = changes != NULL ? &changes[i].ref : &refs[i];
		struct unix_target *t = &f.targets[f.count];
		r = unix_target_of(call, b, ref, t);
		if (r == MORTISE_E_EXPUNGED)
			continue;
		if (r != 0)
			return r;
		t->change = changes != NULL ? &changes[i] : NULL;
		f.count++;
	}
	unix_resolve_begin(&f.resolve, b);
	r = change_flags(&f);
	/* Also after a failure: what was written is whole, and flags that changed are told. */
	if (f.written) {
		int end = b->options->sync_flags ? unix_change_end(call, b) : change_done(call, b);
		return r != 0 ? r : end;
	}
	if (r == 0)
		unix_trail_end(call, b);
	return r;
}

int unix_op_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count)
{
	return flag_refs(call, unix_box_of(box), changes, NULL, count);
}

int unix_op_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	return flag_refs(call, unix_box_of(box), NULL, refs, count);
}

/* ---- numbers ---- */

static int raise_uidlast(
    struct mortise_call *call, struct unix_box *b, uint32_t uidvalidity, uint32_t uidlast)
{
	int r;

	if (!b->base.known || b->base.uidvalidity != uidvalidity)
		return call->host->fail(call, MORTISE_E_INVALID, "The mailbox is not empty");
	if (uidlast > b->uidlast) {
		b->uidlast = uidlast;
		if ((r = unix_base_write(call, b, true)) != 0 || (r = unix_mark_end(call, b)) != 0)
			return r;
		unix_trail_rescan(b, 0);
	}
	return unix_change_end(call, b);
}

/* Nothing is there but, perhaps, a pseudo-message; the numbers go into that. */
int unix_op_adopt(struct mortise_call *call, void *box, uint32_t uidvalidity, uint32_t uidnext)
{
	struct unix_box *b = unix_box_of(box);
	struct unix_print now;
	int r = unix_change_begin(call, b);

	if (r != 0 || (r = unix_box_print(call, b, &now)) != 0)
		return r;
	if (uidvalidity == 0 || uidnext == 0 || uidnext - 1 > UNIX_UID_LAST)
		return call->host->fail(call, MORTISE_E_INVALID, "These are no UIDs");
	if (now.size != 0 && (!b->base.pseudo || b->base.next != now.size))
		return raise_uidlast(call, b, uidvalidity, uidnext - 1);
	if (b->base.known && b->base.uidvalidity == uidvalidity && b->uidlast > uidnext - 1)
		uidnext = b->uidlast + 1;
	b->uidvalidity = uidvalidity;
	b->uidlast = b->base.mark = uidnext - 1;
	if ((r = unix_write_pseudo(call, b)) != 0)
		return r;
	unix_trail_rescan(b, 0);
	return unix_change_end(call, b);
}

/* ---- keywords ---- */

int unix_op_add_keyword(struct mortise_call *call, void *box, const char *name, unsigned *bit)
{
	struct unix_box *b = unix_box_of(box);
	size_t before;
	int r = unix_change_begin(call, b), found;

	if (r != 0)
		return r;
	if (!unix_keyword_valid(name, strlen(name)))
		return call->host->fail(
		    call, MORTISE_E_INVALID, "That keyword cannot be kept in this mailbox");
	before = b->keywords.count;
	found = unix_keyword_add(&b->keywords, name, strlen(name), b->options->keyword_limit);
	if (found < 0)
		return call->host->fail(call, MORTISE_E_LIMIT,
		    "The mailbox has %llu keywords and takes no more",
		    (unsigned long long)b->options->keyword_limit);
	*bit = (unsigned)found;
	if (b->keywords.count == before) {
		unix_trail_end(call, b);
		return 0;
	}
	/* An empty file has no place for the list: the first message brings it along. */
	r = b->base.known ? unix_base_write(call, b, true) : 0;
	if (r != 0) {
		b->keywords.count = before;
		return r;
	}
	return unix_change_end(call, b);
}
