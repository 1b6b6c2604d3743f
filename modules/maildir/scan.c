/*
 * scan.c: what is in new and cur.
 *
 * One pass of readdir over the directory that has changed. A file renamed while we read may be seen twice or
 * not at all, so when a directory changed meanwhile, whoever was not found is looked for in a second pass
 * over both before it counts as gone. Files without a UID get one under the lock, after the list was read
 * again, in order of delivery; the list has them before anybody hears of them.
 *
 * Two files with one base are one message delivered half (a link that was not taken away) or two messages;
 * the second gets a base of its own. What is not a regular file is never opened and never a message.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "box.h"

/* A file of one pass that no entry knows, or that is a second one of it. */
struct file {
	const char *name; /* in the box's pool */
	uint64_t time;    /* of delivery */
	bool in_new;
	bool regular; /* readdir said so */
};

struct files {
	struct file *v;
	size_t count, room;
};

#define PASSES 4       /* over directories in which files are renamed all the time, besides the first */
#define TRY_AGAIN 5000 /* ms after which UIDs are given again where the disk was full */
#define STALE_LEAST 64 /* lines that a list may have too many in any case */

struct scan {
	struct maildir_box *b;
	struct files fresh, twins;
	bool second; /* pass */
};

static const char *const part_names[PARTS] = {[CUR] = "cur", [NEW] = "new"};

int maildir_part(struct mortise_call *call, struct maildir_box *b, bool in_new, int *fd)
{
	struct maildir_part *part = &b->part[in_new ? NEW : CUR];
	struct stat st;

	if (part->fd < 0) {
		part->fd = maildir_open_part(b->dir, part_names[in_new ? NEW : CUR]);
		if (part->fd < 0)
			return errno == ENOENT ? call->host->fail(call, MORTISE_E_NOTFOUND,
			                             "The mailbox is no longer there")
			                       : call->host->fault_errno(call, "%s/%s", b->place->path,
			                             part_names[in_new ? NEW : CUR]);
		part->inode = fstat(part->fd, &st) == 0 ? st.st_ino : 0;
	}
	*fd = part->fd;
	return 0;
}

int maildir_look(struct mortise_call *call, struct maildir_box *b, struct maildir_print now[PARTS])
{
	int i;

	for (i = 0; i < PARTS; i++) {
		struct maildir_part *part = &b->part[i];

		now[i] = maildir_print(b->dir, part_names[i]);
		if (now[i].size != 1)
			return call->host->fail(call, MORTISE_E_NOTFOUND, "The mailbox is no longer there");
		if (part->fd >= 0 && part->inode != now[i].inode) {
			close(part->fd);
			part->fd = -1;
		}
	}
	return 0;
}

/*
 * Two changes in one tick of the clock cannot be told apart: a time is to be trusted when the clock has moved
 * on. Where times have fractions a tick is a few milliseconds.
 */
bool maildir_racy(int64_t mtime)
{
	struct timespec now;
	int64_t age;

	clock_gettime(CLOCK_REALTIME, &now);
	age = now.tv_sec * INT64_C(1000000000) + now.tv_nsec - mtime;
	return age < (mtime % 1000000000 != 0 ? INT64_C(50000000) : INT64_C(2000000000));
}

/* ---- reading ---- */

static int remember(struct mortise_call *call, struct maildir_box *b, struct files *f, bool in_new,
    const char *name, bool regular)
{
	struct file *more;

	if (f->count >= b->options->message_limit)
		return call->host->fail(call, MORTISE_E_LIMIT, "Mailbox has more than %" PRIu64 " messages",
		    b->options->message_limit);
	if (f->count == f->room) {
		more = realloc(f->v, (f->room * 2 + 64) * sizeof(*more));
		if (more == NULL)
			return call->host->fault_errno(call, "%zu files", f->count);
		f->v = more;
		f->room = f->room * 2 + 64;
	}
	f->v[f->count] = (struct file){.name = maildir_keep(b, name, strlen(name)),
	    .time = maildir_name_time(name),
	    .in_new = in_new,
	    .regular = regular};
	if (f->v[f->count].name == NULL)
		return call->host->fault_errno(call, "%s", name);
	b->waste += strlen(name) + 1; /* until it becomes an entry's */
	f->count++;
	return 0;
}

static int by_time(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? -1 : 1;
	return strcmp(x->name, y->name);
}

static int found(
    struct mortise_call *call, struct maildir_box *b, struct maildir_entry *e, bool in_new, const char *name)
{
	int r = maildir_entry_rename(call, b, e, in_new, name);

	e->present = r == 0;
	return r;
}

static int one_file(struct mortise_call *call, struct scan *s, bool in_new, const struct dirent *d)
{
	size_t base;
	struct maildir_entry *e;

	if ((d->d_type != DT_REG && d->d_type != DT_UNKNOWN) || (base = maildir_name_base(d->d_name)) == 0)
		return 0;
	e = maildir_by_base(s->b, d->d_name, base);
	if (e == NULL)
		return s->second ? 0
		                 : remember(call, s->b, &s->fresh, in_new, d->d_name, d->d_type == DT_REG);
	if (!e->present)
		return found(call, s->b, e, in_new, d->d_name);
	if (e->in_new == in_new && strcmp(e->name, d->d_name) == 0)
		return 0;
	return s->second ? 0 : remember(call, s->b, &s->twins, in_new, d->d_name, d->d_type == DT_REG);
}

static int pass_over(struct mortise_call *call, struct scan *s, bool in_new)
{
	int part, r = maildir_part(call, s->b, in_new, &part);
	int fd = r == 0 ? openat(part, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;

	if (dir == NULL) {
		if (r == 0)
			r = call->host->fault_errno(call, "%s", s->b->place->path);
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, d = readdir(dir)) != NULL) {
		r = one_file(call, s, in_new, d);
		if (r == 0)
			r = maildir_go_on(call, s->b);
	}
	if (r == 0 && errno != 0)
		r = call->host->fault_errno(call, "%s", s->b->place->path);
	closedir(dir);
	return r;
}

/* Entries that were there, or that no scan has looked for yet, and were not found. */
static size_t missing(const struct maildir_box *b)
{
	size_t i, n = 0;

	for (i = 0; i < b->count; i++)
		n += b->entries[i].before && !b->entries[i].present;
	return n;
}

/* Files go from new to cur. */
static int pass(struct mortise_call *call, struct scan *s, bool cur, bool new)
{
	int r = new ? pass_over(call, s, true) : 0;

	return r == 0 && cur ? pass_over(call, s, false) : r;
}

/* Whether a file may have been renamed while we read. */
static bool moved(struct mortise_call *call, struct maildir_box *b, const struct maildir_print before[PARTS])
{
	struct maildir_print now[PARTS];

	return maildir_look(call, b, now) != 0 || !maildir_print_same(&now[CUR], &before[CUR]) ||
	       !maildir_print_same(&now[NEW], &before[NEW]);
}

/*
 * Looks for who is missing, under the lock: who knows it renames nothing meanwhile. Who does not know it may,
 * so when something has changed all the same there is another pass.
 */
static int more_passes(struct mortise_call *call, struct scan *s)
{
	struct maildir_box *b = s->b;
	struct maildir_print then[PARTS];
	bool mine = false;
	int tries, r = b->fixed ? 0 : maildir_lock_take(call, b, &mine);

	if (r != 0)
		return r;
	s->second = true;
	for (tries = 0; tries < PASSES && r == 0 && missing(b) > 0; tries++) {
		r = maildir_look(call, b, then);
		if (r == 0)
			r = pass(call, s, true, true);
		if (r == 0 && !moved(call, b, then))
			break;
	}
	s->second = false;
	maildir_lock_drop(call, b, mine);
	return r;
}

static int passes(struct mortise_call *call, struct scan *s)
{
	struct maildir_box *b = s->b;
	bool read[PARTS], racy[PARTS];
	struct maildir_print now[PARTS];
	bool due = maildir_is_due(b->due);
	size_t i;
	int p, r = maildir_look(call, b, now);

	if (r != 0)
		return r;
	for (p = 0; p < PARTS; p++) {
		struct maildir_part *part = &b->part[p];

		racy[p] = now[p].mtime != part->stamp && maildir_racy(now[p].mtime);
		read[p] = due || !part->read || part->racy || !maildir_print_same(&now[p], &part->print);
		part->read = part->read && !read[p];
	}
	for (i = 0; i < b->count; i++) {
		struct maildir_entry *e = &b->entries[i];

		e->before = e->present || !e->sought;
		e->present = e->present && !read[e->in_new ? NEW : CUR];
	}
	r = pass(call, s, read[CUR], read[NEW]);
	if (r == 0 && missing(b) > 0 && (racy[CUR] || racy[NEW] || moved(call, b, now)))
		r = more_passes(call, s);
	for (i = 0; i < b->count && r == 0; i++)
		b->entries[i].sought = true;
	for (p = 0; p < PARTS && r == 0; p++) {
		b->part[p].racy = read[p] ? racy[p] : b->part[p].racy;
		b->part[p].print = now[p];
		b->part[p].read = true;
	}
	if (r == 0 && read[CUR] && read[NEW])
		b->due = 0;
	return r;
}

/* ---- new messages ---- */

/* Under the lock: a second file of one base. It gets a base of its own, or goes when it is the same file. */
static int part_twins(struct mortise_call *call, struct scan *s, bool in_new, const char *name)
{
	struct maildir_box *b = s->b;
	size_t base = maildir_name_base(name);
	struct maildir_entry *e = base > 0 ? maildir_by_base(b, name, base) : NULL;
	struct stat first, second;
	char unique[160], to[NAME_MAX + 1];
	int parts[PARTS], r;

	if (e == NULL || (r = maildir_part(call, b, false, &parts[CUR])) != 0 ||
	    (r = maildir_part(call, b, true, &parts[NEW])) != 0)
		return e == NULL ? 0 : r;
	if (fstatat(parts[in_new], name, &second, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(second.st_mode))
		return 0;
	if (fstatat(parts[e->in_new], e->name, &first, AT_SYMLINK_NOFOLLOW) != 0)
		return found(call, b, e, in_new, name); /* it was renamed while we read */
	if (e->in_new == in_new && strcmp(e->name, name) == 0)
		return 0;
	if (first.st_dev == second.st_dev && first.st_ino == second.st_ino)
		return unlinkat(parts[in_new], name, 0) == 0 || errno == ENOENT
		           ? 0
		           : call->host->fault_errno(call, "%s", name);
	maildir_name_unique(call, unique);
	if (snprintf(to, sizeof(to), "%s%s", unique, name + base) >= (int)sizeof(to) ||
	    maildir_move(parts[in_new], name, parts[in_new], to) != 0)
		return errno == ENOENT ? 0 : call->host->fault_errno(call, "%s", name);
	call->host->log(call, MORTISE_LOG_WARN, "%s: two files are called %.*s; one is %s now",
	    b->place->path, (int)base, name, to);
	return remember(call, b, &s->fresh, in_new, to, true);
}

static int give_uid(struct mortise_call *call, struct scan *s, const struct file *f)
{
	struct maildir_box *b = s->b;
	size_t base = maildir_name_base(f->name);
	struct maildir_entry *e;
	struct stat st;
	int r, part;

	if (!f->regular) {
		r = maildir_part(call, b, f->in_new, &part);
		if (r != 0 || fstatat(part, f->name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
			return r;
	}
	if (maildir_by_base(b, f->name, base) != NULL)
		return b->fixed ? 0 : remember(call, b, &s->twins, f->in_new, f->name, f->regular);
	if (b->uidnext == UINT32_MAX)
		return call->host->fault(call, MORTISE_E_LIMIT, "%s: no UIDs are left", b->place->path);
	r = maildir_entry_add(call, b, b->uidnext, f->name, base, "", &e);
	if (r != 0)
		return r;
	b->waste -= strlen(f->name) + 1;
	b->uidnext++;
	e->present = true;
	e->in_new = f->in_new;
	return 0;
}

static int give_uids(struct mortise_call *call, struct scan *s)
{
	size_t i, from = 0;
	int r = 0;

	do {
		if (!s->b->fixed)
			for (i = 0; i < s->twins.count && r == 0; i++)
				r = part_twins(call, s, s->twins.v[i].in_new, s->twins.v[i].name);
		s->twins.count = 0;
		if (s->fresh.count - from > 1)
			qsort(s->fresh.v + from, s->fresh.count - from, sizeof(*s->fresh.v), by_time);
		for (; from < s->fresh.count && r == 0; from++)
			r = give_uid(call, s, &s->fresh.v[from]);
	} while (
	    r == 0 && s->twins.count > 0); /* of two fresh files with one base, the second is a twin now */
	s->fresh.count = 0;
	return r;
}

static size_t stale_lines(const struct maildir_box *b)
{
	size_t i, present = 0;

	for (i = 0; i < b->count; i++)
		present += b->entries[i].present;
	return b->lines > present ? b->lines - present : 0;
}

/* The list with the entries from `from` on: lines at its end, or all of it anew. */
static int write_list(struct mortise_call *call, struct maildir_box *b, size_t from)
{
	struct maildir_text lines = {0};
	int fd = -1, r = 0;
	size_t i;

	if (stale_lines(b) * 2 < b->lines + STALE_LEAST)
		r = maildir_list_end(call, b, &fd);
	if (r != 0 || (fd >= 0 && b->count == from)) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (fd < 0)
		return maildir_list_save(call, b);
	for (i = from; i < b->count; i++)
		maildir_text_line(&lines, b->entries[i].uid, "", b->entries[i].name);
	r = maildir_list_append(call, b, fd, &lines, b->count - from);
	free(lines.p);
	close(fd);
	return r;
}

/* Lock held: the list is read again if need be, and new files get UIDs that are on disk. */
static int number(struct mortise_call *call, struct scan *s)
{
	struct maildir_box *b = s->b;
	struct maildir_print list = maildir_print(b->dir, UIDLIST);
	uint32_t uidnext;
	size_t kept;
	int r = 0;

	if (!maildir_print_same(&list, &b->list_print)) {
		r = maildir_list_load(call, b);
		b->part[CUR].read = b->part[NEW].read = false;
		s->fresh.count = s->twins.count = 0;
		if (r == 0)
			r = passes(call, s);
	}
	kept = b->count;
	uidnext = b->uidnext;
	if (r == 0)
		r = give_uids(call, s);
	if (r == 0 && b->count > b->options->message_limit)
		r = call->host->fail(call, MORTISE_E_LIMIT, "Mailbox has more than %" PRIu64 " messages",
		    b->options->message_limit);
	if (r == 0 && !b->list_damaged && b->list_print.mtime == 0)
		r = maildir_import_keywords(call, b);
	if (r == 0)
		r = write_list(call, b, kept);
	if (r != 0)
		maildir_entries_cut(b, uidnext);
	return r;
}

/* On a full disk new files wait: a UID that is not on disk could become another's. So they do when there is
 * none. */
static int number_locked(struct mortise_call *call, struct scan *s)
{
	struct maildir_box *b = s->b;
	size_t waiting = s->fresh.count + s->twins.count;
	bool mine;
	int r = maildir_lock_take(call, b, &mine);

	if (r != 0)
		return r;
	if (b->dot)
		r = number(call, s);
	else
		r = MORTISE_E_QUOTA;
	if (r == MORTISE_E_QUOTA || (r == MORTISE_E_LIMIT && b->uidnext == UINT32_MAX)) {
		call->host->log(call, MORTISE_LOG_WARN, "%s: %s: new messages wait", b->place->path,
		    r == MORTISE_E_QUOTA ? "no room for " UIDLIST : "no UIDs are left");
		b->unnumbered = waiting;
		b->full_until = call->host->now(call) + TRY_AGAIN;
		r = 0;
	}
	maildir_lock_drop(call, b, mine);
	return r;
}

/* There is none that is whole. */
static bool list_lacking(const struct maildir_box *b)
{
	return !b->list_read || b->list_damaged || b->list_print.mtime == 0 ||
	       (uint64_t)b->list_print.size != b->list_size;
}

int maildir_scan(struct mortise_call *call, struct maildir_box *b, bool assign)
{
	struct scan s = {.b = b};
	int r = passes(call, &s);

	b->unnumbered = 0;
	if (r == 0 && b->fixed && b->list_print.mtime == 0) {
		b->provisional = b->provisional || s.fresh.count > 0;
		r = give_uids(call, &s);
	} else if (r == 0 && assign && !b->fixed && call->host->now(call) >= b->full_until &&
	           (s.fresh.count + s.twins.count > 0 || list_lacking(b))) {
		r = number_locked(call, &s);
	} else {
		b->unnumbered = s.fresh.count + s.twins.count;
	}
	/* Who found them and could do nothing about them finds them again. */
	if (r != 0 || b->unnumbered > 0)
		b->part[CUR].read = b->part[NEW].read = false;
	free(s.fresh.v);
	free(s.twins.v);
	return r;
}

int maildir_load(struct mortise_call *call, struct maildir_box *b)
{
	int r = maildir_list_load(call, b);

	return r == 0 ? maildir_scan(call, b, false) : r;
}

/* Flag changes are made durable, lines of messages that are gone leave the list when they are most of it. */
int maildir_checkpoint(struct mortise_call *call, void *box)
{
	struct maildir_box *b = box;
	int r = 0;

	if (b->unsynced && b->part[CUR].fd >= 0 && maildir_fsync(b, b->part[CUR].fd) == 0)
		b->unsynced = false;
	if (b->fixed || !b->loaded || !b->list_read || stale_lines(b) * 2 < b->lines + STALE_LEAST ||
	    b->mode != MORTISE_LOCK_NONE || maildir_lock(call, b, MORTISE_LOCK_EXCLUSIVE, 0) != 0)
		return 0;
	if (b->dot)
		r = maildir_load(call, b);
	if (b->dot && r == 0 && stale_lines(b) * 2 >= b->lines + STALE_LEAST)
		r = maildir_list_save(call, b);
	(void)maildir_lock(call, b, MORTISE_LOCK_NONE, 0);
	return r;
}

/* ---- one message's file ---- */

bool maildir_file_of(const struct maildir_box *b, const struct mortise_ref *ref, struct maildir_file *out)
{
	struct maildir_entry *e = b->loaded ? maildir_by_uid(b, ref->uid) : NULL;

	if (e == NULL || !e->present)
		return maildir_locator_read(ref->locator, ref->locator_size, out);
	*out = (struct maildir_file){.entry = e, .in_new = e->in_new};
	memcpy(out->name, e->name, strlen(e->name) + 1);
	return true;
}

int maildir_file_search(struct mortise_call *call, struct maildir_box *b, const struct mortise_ref *ref,
    struct maildir_file *out, bool *there)
{
	int r;

	/* It is not where the entries say, whatever the directories' times are. */
	b->part[CUR].read = b->part[NEW].read = false;
	r = maildir_load(call, b);
	*there = false;
	if (r == 0) {
		const struct maildir_entry *e = maildir_by_uid(b, ref->uid);

		*there = e != NULL && e->present && maildir_file_of(b, ref, out);
	}
	return r;
}
