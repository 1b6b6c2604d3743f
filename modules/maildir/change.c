/*
 * change.c: flags, deletions, \Recent: renames and unlinks.
 *
 * One fsync of each directory makes all deletions of a call durable. Changed flags are synced at the
 * checkpoint, or with each call (sync_flags). \Recent is not waited for.
 *
 * A file that is not under the name we know was renamed by a program without the lock; it is looked for
 * again, a bounded number of times a call, and then counts as gone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "box.h"

#define SEARCHES 3

struct batch {
	struct mortise_call *call;
	struct maildir_box *b;
	unsigned searches; /* that were needed */
	bool current;      /* the entries say what is there */
	struct maildir_own own;
	struct maildir_quota quota;
};

static void begin(struct batch *c)
{
	maildir_own_begin(c->call, c->b, &c->own);
	c->current = c->own.loaded[CUR] && c->own.loaded[NEW];
	/* The engine must be told of the names that change. */
	memset(&c->own.agreed, 0, sizeof(c->own.agreed));
}

/* What is to be done to a file: 0 done, 1 it is not there, or a code. */
typedef int act_fn(struct batch *c, struct maildir_file *f, const void *arg);

static int act(struct batch *c, const struct mortise_ref *ref, act_fn *fn, const void *arg)
{
	struct maildir_file f;
	/* What another session changed since the entries were made the engine knows, and they do not. */
	bool there = c->current ? maildir_file_of(c->b, ref, &f)
	                        : maildir_locator_read(ref->locator, ref->locator_size, &f);
	int r = there ? fn(c, &f, arg) : 1;

	while (r == 1 && c->searches < SEARCHES) {
		c->searches++;
		memset(&c->own.loaded, 0, sizeof(c->own.loaded));
		c->current = true;
		r = maildir_file_search(c->call, c->b, ref, &f, &there);
		if (r != 0 || !there)
			return r;
		r = fn(c, &f, arg);
	}
	return r == 1 ? 0 : r;
}

static int rename_to(struct batch *c, struct maildir_file *f, const char *to)
{
	struct maildir_quota before = c->quota;
	struct maildir_box *b = c->b;
	int cur, from, r;

	if (!f->in_new && strcmp(f->name, to) == 0)
		return 0;
	if ((r = maildir_part(c->call, b, false, &cur)) != 0 ||
	    (r = maildir_part(c->call, b, f->in_new, &from)) != 0)
		return r;
	maildir_quota_count(&c->quota, from, f->name, false);
	if (maildir_move(from, f->name, cur, to) != 0) {
		c->quota = before;
		return errno == ENOENT ? 1 : c->call->host->fault_errno(c->call, "%s/%s", b->place->path, to);
	}
	c->own.touched[CUR] = true;
	c->own.touched[NEW] = c->own.touched[NEW] || f->in_new;
	maildir_quota_count(&c->quota, cur, to, true); /* another one only when it is deleted now, or was */
	return f->entry != NULL ? maildir_entry_rename(c->call, b, f->entry, false, to) : 0;
}

static int set_one(struct batch *c, struct maildir_file *f, const void *arg)
{
	const struct mortise_flag_change *change = arg;
	uint32_t named = maildir_letters(c->b);
	struct maildir_name n;
	char to[NAME_MAX + 1];

	if (!maildir_name_parse(f->name, &n))
		return 1;
	/* Letters without a name stay. */
	if (!maildir_name_make(f->name, change->flags & MORTISE_FLAGS_SYSTEM,
	        ((uint32_t)change->keywords & named) | (n.letters & ~named), to))
		return c->call->host->fault(c->call, MORTISE_E_LIMIT, "%s: no room for flags in the name %s",
		    c->b->place->path, f->name);
	return rename_to(c, f, to);
}

int maildir_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count)
{
	struct batch c = {.call = call, .b = box};
	size_t i;
	int r = maildir_keywords_load(call, box);

	maildir_quota_begin(call, box, &c.quota);
	begin(&c);
	for (i = 0; i < count && r == 0; i++) {
		r = act(&c, &changes[i].ref, set_one, &changes[i]);
		if (r == 0)
			r = maildir_go_on(call, c.b);
	}
	maildir_own_end(c.b, &c.own);
	maildir_quota_end(call, &c.quota);
	if (r == 0 && c.own.touched[CUR] && !c.b->options->sync_flags)
		c.b->unsynced = true;
	else if (r == 0 && c.own.touched[CUR] && maildir_fsync(c.b, c.b->part[CUR].fd) != 0)
		r = call->host->fault_errno(call, "%s/cur", c.b->place->path);
	return r;
}

static int remove_one(struct batch *c, struct maildir_file *f, const void *arg)
{
	struct maildir_quota before = c->quota;
	int part, r = maildir_part(c->call, c->b, f->in_new, &part);

	(void)arg;
	if (r != 0)
		return r;
	maildir_quota_count(&c->quota, part, f->name, false);
	if (unlinkat(part, f->name, 0) != 0) {
		c->quota = before;
		return errno == ENOENT
		           ? 1
		           : c->call->host->fault_errno(c->call, "%s/%s", c->b->place->path, f->name);
	}
	c->own.touched[f->in_new ? NEW : CUR] = true;
	if (f->entry != NULL)
		f->entry->present = false;
	return 0;
}

int maildir_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct batch c = {.call = call, .b = box};
	size_t i;
	int r = 0, p;

	maildir_quota_begin(call, box, &c.quota);
	begin(&c);
	for (i = 0; i < count && r == 0; i++) {
		r = act(&c, &refs[i], remove_one, NULL);
		if (r == 0)
			r = maildir_go_on(call, c.b);
	}
	maildir_own_end(c.b, &c.own);
	maildir_quota_end(call, &c.quota);
	for (p = 0; p < PARTS; p++)
		if (r == 0 && c.own.touched[p] && maildir_fsync(c.b, c.b->part[p].fd) != 0)
			r = call->host->fault_errno(call, "%s", c.b->place->path);
	return r;
}

static int see_one(struct batch *c, struct maildir_file *f, const void *arg)
{
	struct maildir_name n;
	char to[NAME_MAX + 1];

	(void)arg;
	if (!f->in_new || !maildir_name_parse(f->name, &n) ||
	    !maildir_name_make(f->name, n.flags, n.letters, to))
		return 0;
	return rename_to(c, f, to);
}

int maildir_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct batch c = {.call = call, .b = box, .quota = {.fd = -1}};
	size_t i;
	int r = 0;

	begin(&c);
	for (i = 0; i < count && r == 0; i++) {
		r = act(&c, &refs[i], see_one, NULL);
		if (r == 0)
			r = maildir_go_on(call, c.b);
	}
	maildir_own_end(c.b, &c.own);
	return r;
}
