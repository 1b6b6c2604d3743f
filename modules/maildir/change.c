/*
 * change.c: flags, deletions, \Recent: renames and unlinks, then one fsync of each directory.
 *
 * A file that is not under the name we know was renamed by a program without the lock; it is looked for
 * again, a bounded number of times a call, and then counts as gone.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "box.h"

#define SEARCHES 3

struct batch {
	struct maildir_box *b;
	unsigned searches; /* that found nothing under the old name */
	bool touched_cur, touched_new;
};

/* The entry, its file being there a moment ago; NULL: gone. */
static int look_up(struct mortise_call *call, struct batch *c, uint32_t uid, struct maildir_entry **out)
{
	struct maildir_entry *e = maildir_by_uid(c->b, uid);

	*out = NULL;
	if (c->searches >= SEARCHES) {
		*out = e != NULL && e->present ? e : NULL;
		return 0;
	}
	if (e == NULL)
		c->searches++;
	return maildir_locate(call, c->b, uid, out);
}

static int end(struct mortise_call *call, struct batch *c, int r)
{
	if (r == 0 &&
	    ((c->touched_cur && fsync(c->b->cur) != 0) || (c->touched_new && fsync(c->b->new) != 0)))
		r = call->host->fault_errno(call, "%s", c->b->place->path);
	return r;
}

/* 0 done, 1 it was not under this name, or a code. */
static int rename_to(struct mortise_call *call, struct batch *c, struct maildir_entry *e, const char *to)
{
	struct maildir_box *b = c->b;
	char *copy;

	if (!e->in_new && strcmp(e->name, to) == 0)
		return 0;
	if (maildir_move(e->in_new ? b->new : b->cur, e->name, b->cur, to) != 0)
		return errno == ENOENT ? 1 : call->host->fault_errno(call, "%s/%s", b->place->path, to);
	c->touched_cur = true;
	c->touched_new = c->touched_new || e->in_new;
	e->in_new = false;
	copy = strdup(to);
	if (copy == NULL)
		return call->host->fault_errno(call, "%s", to);
	free(e->name);
	e->name = copy;
	return 0;
}

static int set_one(struct mortise_call *call, struct batch *c, const struct mortise_flag_change *change)
{
	uint32_t letters = maildir_letters_of(c->b, change->keywords);
	char to[NAME_MAX + 1];
	struct maildir_entry *e;
	struct maildir_name n;
	int r;

	do {
		r = look_up(call, c, change->ref.uid, &e);
		if (r != 0 || e == NULL || !maildir_name_parse(e->name, &n))
			return r;
		/* Letters without a name stay. */
		if (!maildir_name_make(e->name, change->flags & MORTISE_FLAGS_SYSTEM,
		        letters | (n.letters & ~maildir_letters_of(c->b, UINT64_MAX)), to))
			return call->host->fault(call, MORTISE_E_LIMIT,
			    "%s: no room for flags in the name %s", c->b->place->path, e->name);
		r = rename_to(call, c, e, to);
	} while (r == 1 && ++c->searches < SEARCHES);
	return r == 1 ? 0 : r;
}

int maildir_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count)
{
	struct batch c = {.b = box};
	size_t i;
	int r = 0;

	for (i = 0; i < count && r == 0; i++) {
		r = set_one(call, &c, &changes[i]);
		if (r == 0)
			r = maildir_go_on(call, c.b);
	}
	return end(call, &c, r);
}

static int remove_one(struct mortise_call *call, struct batch *c, uint32_t uid)
{
	struct maildir_entry *e;
	int r;

	do {
		r = look_up(call, c, uid, &e);
		if (r != 0 || e == NULL)
			return r;
		if (unlinkat(e->in_new ? c->b->new : c->b->cur, e->name, 0) == 0) {
			*(e->in_new ? &c->touched_new : &c->touched_cur) = true;
			e->present = false;
			return 0;
		}
		if (errno != ENOENT)
			return call->host->fault_errno(call, "%s/%s", c->b->place->path, e->name);
	} while (++c->searches < SEARCHES);
	return 0;
}

int maildir_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct batch c = {.b = box};
	size_t i;
	int r = 0;

	for (i = 0; i < count && r == 0; i++) {
		r = remove_one(call, &c, refs[i].uid);
		if (r == 0)
			r = maildir_go_on(call, c.b);
	}
	return end(call, &c, r);
}

int maildir_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct batch c = {.b = box};
	char to[NAME_MAX + 1];
	struct maildir_entry *e;
	struct maildir_name n;
	size_t i;
	int r = 0;

	for (i = 0; i < count && r == 0; i++) {
		r = look_up(call, &c, refs[i].uid, &e);
		if (r != 0 || e == NULL || !e->in_new || !maildir_name_parse(e->name, &n))
			continue;
		if (maildir_name_make(e->name, n.flags, n.letters, to))
			r = rename_to(call, &c, e, to);
		if (r == 1)
			r = 0; /* somebody else did it */
		if (r == 0)
			r = maildir_go_on(call, c.b);
	}
	return end(call, &c, r);
}
