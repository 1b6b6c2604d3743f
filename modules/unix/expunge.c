/*
 * Messages that go.
 *
 * To take a message out of the file means to write everything behind it again. So EXPUNGE only says in the
 * message's block that it is gone (status.h): some twenty octets in one sector, and one sync for all
 * messages. From then on nobody is told of it. It is taken out, with all others, when the session is quiet or
 * ends (checkpoint), when too much waits, or when the file is written again for another reason.
 *
 * A message whose block has no room for that, or that another program wrote, is taken out at once.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct expunging {
	struct mortise_call *call;
	struct unix_box *b;
	struct unix_target *targets;
	size_t count;
	struct unix_resolve resolve;
	bool base_needed; /* the first message left must hold V and L */
	bool base_done;   /* the token is another one already */
	uint32_t token;
	size_t kept;
	uint32_t last; /* UID of the last message left among those that were looked at */
	bool spare;    /* there is no room for more than there was */
};

/* Its block is where only we write, and all that there is. */
static bool markable(const struct unix_scanned *m, const struct unix_resolved *is)
{
	return is->stored && m->block && m->block_uid && !m->strays &&
	       m->block_start == m->start + m->from_size;
}

static void expunge_begin(void *arg)
{
	struct expunging *e = arg;

	unix_resolve_begin(&e->resolve, e->b);
	e->kept = 0;
	e->last = 0;
}

/* Without a journal, in the file itself. */
static void expunge_again(void *arg)
{
	struct expunging *e = arg;

	expunge_begin(e);
	e->spare = true;
}

static int expunge_one(void *arg, const struct unix_scanned *m, struct unix_verdict *v)
{
	struct expunging *e = arg;
	struct unix_resolved is;
	struct unix_block block;

	unix_resolve(&e->resolve, m, &is);
	unix_block_of(e->b, m, &is, &block);
	if (is.gone || unix_target_at(e->targets, e->count, m->start) != NULL) {
		v->action = UNIX_DROP;
		return 0;
	}
	v->action = UNIX_KEEP;
	e->last = is.torn ? e->last : is.uid;
	block.base = e->kept++ == 0 && e->base_needed;
	/* Who gets a block of ours can go in a moment the next time. */
	if (!block.base && (e->spare || !is.stored || markable(m, &is)))
		return 0;
	block.token = e->token;
	v->action = UNIX_STAMP;
	v->block_size = unix_block_write(v->block, &block, 0);
	return v->block_size != 0 ? 0 : MORTISE_E_LIMIT;
}

/* Is anything left? Only asked when the first message goes and there is no pseudo-message. */
static int all_gone(struct expunging *e, bool *gone)
{
	struct unix_scanned *m = e->call->host->alloc(e->call, MORTISE_LIFE_CALL, sizeof *m);
	struct unix_scanner s;
	struct unix_print now;
	int r = unix_box_print(e->call, e->b, &now);

	unix_resolve_begin(&e->resolve, e->b);
	*gone = true;
	if (r != 0 || (r = unix_scanner(e->call, e->b, e->b->base.start, now.size, &s)) != 0)
		return r;
	while (*gone && (r = unix_scan_next(&s, m)) == 1) {
		struct unix_resolved is;
		unix_resolve(&e->resolve, m, &is);
		*gone = is.gone || unix_target_at(e->targets, e->count, m->start) != NULL;
	}
	if (r < 0)
		r = unix_scan_fault(e->call, e->b, &s, r);
	unix_scan_close(&s);
	return r < 0 ? r : 0;
}

/* Takes out the targets and what was gone before, from `from` on, which goes, too. */
static int take_out(struct expunging *e, uint64_t from)
{
	struct unix_box *b = e->b;
	bool gone = false;
	int r;

	unix_trail_rescan(b, from);
	e->base_needed = unix_holds_base(b, from);
	if (e->base_needed && (r = all_gone(e, &gone)) != 0)
		return r;
	if (gone) {
		b->base.mark = b->uidlast;
		return unix_write_pseudo(e->call, b);
	}
	expunge_begin(e);
	e->token = unix_token(e->call, b->base.token);
	if ((r = unix_rewrite(e->call, b, from, expunge_one, e, expunge_again)) != 0)
		return r;
	if ((r = unix_base_read(e->call, b)) != 0 ||
	    (!e->base_needed && (r = unix_base_write(e->call, b, true)) != 0))
		return r;
	return e->last < b->uidlast ? unix_mark_end(e->call, b) : 0;
}

/* ---- saying that a message is gone ---- */

struct marking {
	struct unix_scanner scan;
	struct unix_scanned *m;
	char *text;
};

/* The ways to write it, the one that says most first. 1: written, or (TRY) it can be; 0: not; or a code. */
static int mark_block(
    struct expunging *e, const struct marking *k, const struct unix_resolved *is, enum unix_patch how)
{
	const struct unix_scanned *m = k->m;
	struct unix_box *b = e->b;
	struct unix_block block;
	size_t size;
	int r;

	unix_block_of(b, m, is, &block);
	block.token = e->token; /* with it, in the same write */
	block.gone = true;
	size = unix_block_write(k->text, &block, m->block_size);
	r = size != 0 ? unix_patch(e->call, b, k->text, size, m->block_start, how, NULL) : UNIX_UNSAFE;

	for (unsigned way = 0; r == UNIX_UNSAFE && !block.base && way < UNIX_GONE_WAYS; way++) {
		if ((r = unix_pread(e->call, b, k->text, m->block_size, m->block_start)) != 0)
			return r;
		r = unix_block_gone(k->text, m->block_size, unix_gone_code(b->uidvalidity, is->uid), way)
		        ? unix_patch(e->call, b, k->text, m->block_size, m->block_start, how, NULL)
		        : UNIX_UNSAFE;
	}
	return r == UNIX_UNSAFE ? 0 : r < 0 ? r : 1;
}

static int mark_one(struct expunging *e, struct marking *k, struct unix_target *t, enum unix_patch how)
{
	struct unix_resolve resolve = e->resolve;
	struct unix_resolved is;
	int r;

	if ((r = unix_look_at(e->call, e->b, &k->scan, t, k->m)) != 1)
		return r < 0 ? r : 1;
	unix_resolve(&resolve, k->m, &is);
	if (is.gone)
		return 1;
	if (!markable(k->m, &is))
		return 0;
	if ((r = mark_block(e, k, &is, how)) != 1 || how == UNIX_PATCH_TRY)
		return r;
	e->b->done = true;
	e->b->gone += t->at.total;
	if (!unix_holds_base(e->b, t->at.start))
		return 1;
	e->base_done = true;
	r = unix_base_read(e->call, e->b);
	return r < 0 ? r : 1;
}

/* 1: all are marked, 0: not all can be and none is, or a code (then some may be). */
static int mark_targets(struct expunging *e)
{
	struct unix_print now;
	struct marking k;
	int r = unix_box_print(e->call, e->b, &now);

	if (r != 0 || (r = unix_scanner(e->call, e->b, 0, now.size, &k.scan)) != 0)
		return r;
	k.m = e->call->host->alloc(e->call, MORTISE_LIFE_CALL, sizeof *k.m);
	k.text = e->call->host->alloc(e->call, MORTISE_LIFE_CALL, UNIX_BLOCK_MAX);
	unix_resolve_begin(&e->resolve, e->b);
	e->token = unix_token(e->call, e->b->base.token);
	r = 1;
	for (enum unix_patch how = UNIX_PATCH_TRY; r == 1 && how <= UNIX_PATCH_SAFE; how++)
		for (size_t i = 0; r == 1 && i < e->count; i++)
			r = mark_one(e, &k, &e->targets[i], how);
	unix_scan_close(&k.scan);
	return r;
}

/* ---- expunge ---- */

static int find_targets(struct expunging *e, const struct mortise_ref *refs, size_t count)
{
	struct mortise_call *call = e->call;

	e->targets =
	    call->host->alloc_bounded(call, MORTISE_LIFE_CALL, count, sizeof *e->targets, (size_t)1 << 30);
	if (e->targets == NULL)
		return MORTISE_E_LIMIT;
	for (size_t i = 0; i < count; i++) {
		int r = unix_target_of(call, e->b, &refs[i], &e->targets[e->count]);
		if (r == MORTISE_E_EXPUNGED)
			continue;
		if (r != 0 || (r = unix_trail_vanished(call, e->b, refs[i].uid)) != 0)
			return r;
		e->count++;
	}
	unix_targets_sort(e->targets, e->count);
	return 0;
}

int unix_op_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct unix_box *b = unix_box_of(box);
	struct expunging e = {.call = call, .b = b};
	int r;

	if (count == 0)
		return 0;
	if ((r = unix_change_begin(call, b)) != 0 || (r = find_targets(&e, refs, count)) != 0)
		return r;
	if (e.count == 0) {
		unix_trail_end(call, b);
		return 0;
	}
	r = b->options->expunged_max > 0 ? mark_targets(&e) : 0;
	if (r == 1)
		r = e.base_done ? 0 : unix_base_write(call, b, true);
	else if (r == 0)
		r = take_out(&e, e.targets[0].at.start);
	if (r != 0 || (r = unix_change_end(call, b)) != 0)
		return r;
	/* They are gone; that they are still in the file is no failure. */
	if (b->gone > b->options->expunged_max)
		(void)unix_compact(call, b);
	return 0;
}

/* ---- later ---- */

/* Where the first one is that is gone; UINT64_MAX: there is none. */
static int first_gone(struct expunging *e, uint64_t *start)
{
	struct unix_scanned *m = e->call->host->alloc(e->call, MORTISE_LIFE_CALL, sizeof *m);
	struct unix_scanner s;
	struct unix_print now;
	int r = unix_box_print(e->call, e->b, &now);

	*start = UINT64_MAX;
	unix_resolve_begin(&e->resolve, e->b);
	if (r != 0 || (r = unix_scanner(e->call, e->b, unix_first(e->b), now.size, &s)) != 0)
		return r;
	while (*start == UINT64_MAX && (r = unix_scan_next(&s, m)) == 1) {
		struct unix_resolved is;
		unix_resolve(&e->resolve, m, &is);
		if (is.gone)
			*start = m->start;
	}
	if (r < 0)
		r = unix_scan_fault(e->call, e->b, &s, r);
	unix_scan_close(&s);
	return r < 0 ? r : 0;
}

int unix_compact(struct mortise_call *call, struct unix_box *b)
{
	struct expunging e = {.call = call, .b = b};
	struct unix_print before, after;
	uint64_t from;
	int r;

	if (b->gone == 0)
		return 0;
	if ((r = unix_base_read(call, b)) != 0 || (r = unix_box_print(call, b, &before)) != 0 ||
	    (r = first_gone(&e, &from)) != 0 || (r = unix_trail_begin(call, b)) != 0)
		return r;
	b->base_moved = 0;
	if (from != UINT64_MAX)
		r = take_out(&e, from);
	if (r == 0 && from != UINT64_MAX)
		r = unix_change_end(call, b);
	else if (unix_box_print(call, b, &after) == 0 && unix_print_same(&before, &after))
		unix_trail_end(call, b);
	if (r == 0)
		b->gone = 0;
	return r;
}

int unix_op_checkpoint(struct mortise_call *call, void *box)
{
	struct unix_box *b = unix_box_of(box);
	bool held = b->lock.mode == MORTISE_LOCK_EXCLUSIVE;
	int r = 0;

	b->checkpointed = true;
	unix_lock_forget(b);
	if (b->gone == 0 || b->read_only || b->lock.mode == MORTISE_LOCK_SHARED)
		return 0;
	/* Nobody is waited for, also not one who may be only looking. */
	b->lock.session_long = true;
	if (!held && unix_lock_take(call, b, MORTISE_LOCK_EXCLUSIVE, call->host->now(call)) != 0)
		return 0;
	b->done = false;
	if (unix_lock_writable(b) && (r = unix_settle(call, b)) == 0)
		r = unix_compact(call, b);
	if (!held)
		unix_lock_release(call, b);
	return r;
}
