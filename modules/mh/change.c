/*
 * change.c: flags and deletions.
 *
 * Three flags are sequences: \Seen is not being in "unseen". A deletion takes the number out of every
 * sequence, so that the next message to get it does not inherit what was said of this one.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

struct flag_edit {
	const struct mh_options *o;
	const struct mh_flags *v;
	size_t count;
	bool fresh;
	uint32_t *numbers; /* room for count */
};

static int by_number(const void *a, const void *b)
{
	uint32_t p = *(const uint32_t *)a, q = *(const uint32_t *)b; /* a struct mh_flags begins with it */

	return p < q ? -1 : p > q;
}

/* The numbers that have (or have not) the flag. */
static size_t with_flag(const struct flag_edit *x, uint32_t flag, bool has)
{
	size_t i, n = 0;

	for (i = 0; i < x->count; i++)
		if (((x->v[i].flags & flag) != 0) == has)
			x->numbers[n++] = x->v[i].number;
	return n;
}

static bool set_in(
    struct mh_sequences *s, const struct flag_edit *x, const char *name, uint32_t flag, bool is)
{
	size_t n = with_flag(x, flag, is);

	if (!mh_sequences_add(s, name, x->numbers, n))
		return false;
	n = with_flag(x, flag, !is);
	return mh_sequences_drop(s, name, x->numbers, n);
}

static bool edit_flags(struct mh_sequences *s, void *arg)
{
	const struct flag_edit *x = arg;

	if (x->fresh && !mh_sequences_drop(s, ALL_SEQUENCES, x->numbers, with_flag(x, 0, false)))
		return false;
	return set_in(s, x, x->o->unseen, MORTISE_FLAG_SEEN, false) &&
	       set_in(s, x, x->o->flagged, MORTISE_FLAG_FLAGGED, true) &&
	       set_in(s, x, x->o->replied, MORTISE_FLAG_ANSWERED, true);
}

int mh_flags_store(struct mortise_call *call, struct mh_box *b, struct mh_flags *v, size_t count, bool fresh)
{
	struct flag_edit x = {.o = b->options, .v = v, .count = count, .fresh = fresh};
	int r;

	if (count == 0)
		return 0;
	qsort(v, count, sizeof(*v), by_number);
	x.numbers = calloc(count, sizeof(*x.numbers));
	if (x.numbers == NULL)
		return call->host->fault_errno(call, "%zu messages", count);
	r = mh_sequences_edit(call, b, edit_flags, &x);
	free(x.numbers);
	return r;
}

static int needs_lock(struct mortise_call *call, const struct mh_box *b)
{
	return b->mode == MORTISE_LOCK_EXCLUSIVE ? 0
	                                         : call->host->fault(call, MORTISE_E_INTERNAL,
	                                               "%s is changed without its lock", b->place->path);
}

int mh_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count)
{
	struct mh_box *b = box;
	struct mh_flags *v;
	size_t i, n = 0;
	int r = needs_lock(call, b);

	if (r != 0)
		return r;
	v = calloc(count + 1, sizeof(*v));
	if (v == NULL)
		return call->host->fault_errno(call, "%zu messages", count);
	for (i = 0; i < count && r == 0; i++) {
		struct mh_entry e;

		if (mh_locator_read(&changes[i].ref, &e) && mh_is_there(b, &e))
			v[n++] = (struct mh_flags){e.number, changes[i].flags};
		else
			b->again = true;
		if (i % STOP_EVERY == 0)
			r = call->host->should_stop(call);
	}
	if (r == 0)
		r = mh_flags_store(call, b, v, n, false);
	free(v);
	return r;
}

/* ---- expunge ---- */

struct forgotten {
	const uint32_t *numbers;
	size_t count;
};

static bool edit_forget(struct mh_sequences *s, void *arg)
{
	const struct forgotten *f = arg;

	return mh_sequences_drop(s, ALL_SEQUENCES, f->numbers, f->count);
}

void mh_forget_numbers(struct mortise_call *call, struct mh_box *b, uint32_t *numbers, size_t count)
{
	struct forgotten f = {numbers, count};

	if (count == 0)
		return;
	qsort(numbers, count, sizeof(*numbers), by_number);
	if (mh_sequences_edit(call, b, edit_forget, &f) != 0)
		call->host->log(call, MORTISE_LOG_WARN,
		    "%s: sequences still have numbers of messages that are gone", b->place->path);
}

/* 1 gone now, 0 it was not there, or a code. */
static int remove_one(struct mortise_call *call, struct mh_box *b, const struct mh_entry *e)
{
	char name[16], aside[20];
	int r;

	if (!mh_is_there(b, e)) {
		b->again = true;
		return 0;
	}
	snprintf(name, sizeof(name), "%" PRIu32, e->number);
	snprintf(aside, sizeof(aside), ",%s", name);
	r = b->options->keep_removed ? renameat(b->dir, name, b->dir, aside) : unlinkat(b->dir, name, 0);
	if (r != 0)
		return errno == ENOENT ? 0 : call->host->fault_errno(call, "%s/%s", b->place->path, name);
	return 1;
}

int mh_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct mh_box *b = box;
	uint32_t *gone;
	size_t i, n = 0;
	int r = needs_lock(call, b);

	if (r != 0)
		return r;
	gone = calloc(count + 1, sizeof(*gone));
	if (gone == NULL)
		return call->host->fault_errno(call, "%zu messages", count);
	for (i = 0; i < count && r >= 0; i++) {
		struct mh_entry e;

		r = mh_locator_read(&refs[i], &e) ? remove_one(call, b, &e) : 0;
		if (r > 0)
			gone[n++] = e.number;
		if (r >= 0 && i % STOP_EVERY == 0)
			r = call->host->should_stop(call);
	}
	if (r >= 0)
		r = n > 0 && fsync(b->dir) != 0 ? call->host->fault_errno(call, "%s", b->place->path) : 0;
	mh_forget_numbers(call, b, gone, n);
	free(gone);
	return r;
}
