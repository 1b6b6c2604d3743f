/*
 * scan.c: what is in new and cur.
 *
 * One pass of readdir over both. A file renamed meanwhile may be seen twice or not at all, so whoever was not
 * found is looked for in a second pass before it counts as gone. Files without a UID get one under the lock,
 * after the list was read again, in order of delivery; the list is replaced before anybody hears of them.
 *
 * Two files with one base are one message delivered half (a link that was not taken away) or two messages;
 * the second gets a base of its own. What is not a regular file is never opened and never a message.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "box.h"

/* Files of one pass that no entry knows, or that are a second one of it. The first octet says where: n or c.
 */
struct files {
	char **v;
	size_t count, room;
};

struct scan {
	struct maildir_box *b;
	struct files fresh, twins;
	bool second; /* pass */
};

static int remember(
    struct mortise_call *call, struct maildir_box *b, struct files *f, bool in_new, const char *name)
{
	char **more;

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
	/* The place goes behind the name, so that names compare. */
	if (asprintf(&f->v[f->count], "%s%c%c", name, '\0', in_new ? 'n' : 'c') < 0)
		return call->host->fault_errno(call, "%s", name);
	f->count++;
	return 0;
}

static bool place_of(const char *file)
{
	return file[strlen(file) + 1] == 'n';
}

static void forget(struct files *f)
{
	size_t i;

	for (i = 0; i < f->count; i++)
		free(f->v[i]);
	free(f->v);
	*f = (struct files){0};
}

static int found(struct mortise_call *call, struct maildir_entry *e, bool in_new, const char *name)
{
	if (strcmp(e->name, name) != 0) {
		char *copy = strdup(name);

		if (copy == NULL)
			return call->host->fault_errno(call, "%s", name);
		free(e->name);
		e->name = copy;
	}
	e->in_new = in_new;
	e->present = true;
	return 0;
}

static int one_file(struct mortise_call *call, struct scan *s, bool in_new, const struct dirent *d)
{
	struct maildir_name n;
	struct maildir_entry *e;

	if ((d->d_type != DT_REG && d->d_type != DT_UNKNOWN) || !maildir_name_parse(d->d_name, &n))
		return 0;
	e = maildir_by_base(s->b, d->d_name, n.base);
	if (e == NULL)
		return s->second ? 0 : remember(call, s->b, &s->fresh, in_new, d->d_name);
	if (!e->present)
		return found(call, e, in_new, d->d_name);
	if (e->in_new == in_new && strcmp(e->name, d->d_name) == 0)
		return 0;
	return s->second ? 0 : remember(call, s->b, &s->twins, in_new, d->d_name);
}

static int pass_over(struct mortise_call *call, struct scan *s, bool in_new)
{
	int fd = openat(in_new ? s->b->new : s->b->cur, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;

	if (dir == NULL) {
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

static int passes(struct mortise_call *call, struct scan *s)
{
	size_t i, missing = 0;
	int r;

	for (i = 0; i < s->b->count; i++)
		s->b->entries[i].present = false;
	r = pass_over(call, s, true);
	if (r == 0)
		r = pass_over(call, s, false);
	for (i = 0; i < s->b->count; i++)
		missing += !s->b->entries[i].present;
	if (r != 0 || missing == 0)
		return r;
	s->second = true;
	r = pass_over(call, s, true);
	return r != 0 ? r : pass_over(call, s, false);
}

/* ---- new messages ---- */

static int part(const struct maildir_box *b, bool in_new)
{
	return in_new ? b->new : b->cur;
}

/* Under the lock: a second file of one base. It gets a base of its own, or goes when it is the same file. */
static int part_twins(struct mortise_call *call, struct scan *s, bool in_new, const char *name)
{
	struct maildir_box *b = s->b;
	struct maildir_name n;
	struct maildir_entry *e;
	struct stat first, second;
	char unique[160], to[NAME_MAX + 1];

	if (!maildir_name_parse(name, &n) || (e = maildir_by_base(b, name, n.base)) == NULL)
		return 0;
	if (fstatat(part(b, in_new), name, &second, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(second.st_mode))
		return 0;
	if (fstatat(part(b, e->in_new), e->name, &first, AT_SYMLINK_NOFOLLOW) != 0)
		return found(call, e, in_new, name); /* it was renamed while we read */
	if (e->in_new == in_new && strcmp(e->name, name) == 0)
		return 0;
	if (first.st_dev == second.st_dev && first.st_ino == second.st_ino)
		return unlinkat(part(b, in_new), name, 0) == 0 || errno == ENOENT
		           ? 0
		           : call->host->fault_errno(call, "%s", name);
	maildir_name_unique(call, unique);
	if (snprintf(to, sizeof(to), "%s%s", unique, name + n.base) >= (int)sizeof(to) ||
	    maildir_move(part(b, in_new), name, part(b, in_new), to) != 0)
		return errno == ENOENT ? 0 : call->host->fault_errno(call, "%s", name);
	call->host->log(call, MORTISE_LOG_WARN, "%s: two files are called %.*s; one is %s now",
	    b->place->path, (int)n.base, name, to);
	return remember(call, b, &s->fresh, in_new, to);
}

static int give_uid(struct mortise_call *call, struct scan *s, bool in_new, const char *name, size_t *given)
{
	struct maildir_box *b = s->b;
	struct maildir_entry *e;
	struct maildir_name n;
	struct stat st;
	int r;

	if (!maildir_name_parse(name, &n) || fstatat(part(b, in_new), name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISREG(st.st_mode))
		return 0;
	if (maildir_by_base(b, name, n.base) != NULL)
		return b->read_only ? 0 : remember(call, b, &s->twins, in_new, name);
	if (b->uidnext == UINT32_MAX)
		return call->host->fault(call, MORTISE_E_LIMIT, "%s: no UIDs are left", b->place->path);
	r = maildir_list_add(call, b, b->uidnext, name, n.base, NULL, &e);
	if (r != 0)
		return r;
	b->uidnext++;
	e->present = true;
	e->in_new = in_new;
	++*given;
	return 0;
}

static int give_uids(struct mortise_call *call, struct scan *s, size_t *given)
{
	size_t i, from = 0;
	int r = 0;

	do {
		if (!s->b->read_only)
			for (i = 0; i < s->twins.count && r == 0; i++)
				r = part_twins(call, s, place_of(s->twins.v[i]), s->twins.v[i]);
		forget(&s->twins);
		if (s->fresh.count - from > 1)
			qsort(s->fresh.v + from, s->fresh.count - from, sizeof(char *), maildir_name_order);
		for (; from < s->fresh.count && r == 0; from++)
			r = give_uid(call, s, place_of(s->fresh.v[from]), s->fresh.v[from], given);
	} while (
	    r == 0 && s->twins.count > 0); /* of two fresh files with one base, the second is a twin now */
	return r;
}

int maildir_scan(struct mortise_call *call, struct maildir_box *b, bool assign, size_t *fresh)
{
	struct scan s = {.b = b};
	uint32_t uidnext = b->uidnext;
	size_t given = 0, kept;
	int r = passes(call, &s);

	*fresh = s.fresh.count + s.twins.count;
	maildir_drop_missing(b);
	kept = b->count;
	if (r == 0 && (assign || b->read_only))
		r = give_uids(call, &s, &given);
	forget(&s.fresh);
	forget(&s.twins);
	if (r != 0)
		return r;
	if (b->count > b->options->message_limit)
		return call->host->fail(call, MORTISE_E_LIMIT, "Mailbox has more than %" PRIu64 " messages",
		    b->options->message_limit);
	if (assign && (given > 0 || !b->list_read || b->list_print.mtime == 0))
		r = maildir_list_save(call, b);
	if (r != 0)
		maildir_list_cut(b, kept, uidnext);
	return r;
}

int maildir_locate(struct mortise_call *call, struct maildir_box *b, uint32_t uid, struct maildir_entry **out)
{
	struct maildir_entry *e = maildir_by_uid(b, uid);
	struct stat st;
	size_t fresh;
	int r;

	*out = NULL;
	if (e != NULL && e->present && fstatat(part(b, e->in_new), e->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		*out = e;
		return 0;
	}
	r = maildir_list_load(call, b);
	if (r == 0)
		r = maildir_scan(call, b, false, &fresh);
	if (r == 0)
		*out = maildir_by_uid(b, uid);
	return r;
}

/* ---- sync ---- */

/* What a cursor holds. */
struct seen {
	struct maildir_print cur, new;
	int64_t list, keywords; /* mtimes */
};
_Static_assert(sizeof(struct seen) <= MORTISE_CURSOR_MAX, "fits a cursor");

static struct seen look(const struct maildir_box *b)
{
	return (struct seen){.cur = maildir_print(b->cur, ""),
	    .new = maildir_print(b->new, ""),
	    .list = maildir_print(b->dir, UIDLIST).mtime,
	    .keywords = maildir_print(b->dir, KEYWORDS).mtime};
}

/*
 * Two changes in one tick of the clock cannot be told apart: a time is to be trusted when the clock has moved
 * on. Where times have fractions a tick is a few milliseconds.
 */
static bool racy(int64_t mtime)
{
	struct timespec now;
	int64_t age;

	clock_gettime(CLOCK_REALTIME, &now);
	age = now.tv_sec * INT64_C(1000000000) + now.tv_nsec - mtime;
	return age < (mtime % 1000000000 != 0 ? INT64_C(100000000) : INT64_C(2000000000));
}

/* Date and size. False: the file is gone, or no message. */
static bool details(const struct maildir_box *b, struct maildir_entry *e)
{
	struct maildir_name n;
	const char *wire, *zone;
	struct stat st;
	uint64_t size;
	long minutes;

	if (e->known)
		return true;
	if (fstatat(part(b, e->in_new), e->name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) ||
	    !maildir_name_parse(e->name, &n))
		return false;
	size = (uint64_t)st.st_size;
	wire = e->extra != NULL ? strstr(e->extra, " W") : NULL;
	zone = e->extra != NULL ? strstr(e->extra, " Z") : NULL;
	if (zone != NULL) {
		minutes = strtol(zone + 2, NULL, 10);
		e->zone = minutes > -1440 && minutes < 1440 ? (int32_t)minutes : 0;
	}
	if (n.wire == MORTISE_SIZE_UNKNOWN && wire != NULL)
		n.wire = strtoull(wire + 2, NULL, 10);
	else if (n.size != size)
		n.wire = MORTISE_SIZE_UNKNOWN; /* a name that lies about S= is not believed about W= */
	e->octets = n.wire >= size && n.wire / 2 <= size ? n.wire : MORTISE_SIZE_UNKNOWN;
	e->date = st.st_mtim.tv_sec;
	e->known = true;
	return true;
}

static int tell(struct mortise_call *call, struct maildir_box *b, const struct mortise_sink *sink)
{
	struct maildir_keywords *k = &b->keywords;
	int r = sink->full_scan(sink->engine, b->uidvalidity);
	size_t i;

	if (r == 0 && !k->told) {
		r = sink->keywords(sink->engine, (const char *const *)k->names, k->count);
		k->told = r == 0;
	}
	for (i = 0; i < b->count && r == 0; i++) {
		struct maildir_entry *e = &b->entries[i];
		struct mortise_message m = {.size = sizeof(m), .uid = e->uid};
		struct maildir_name n;

		r = maildir_go_on(call, b);
		/* Gone, or renamed, since the directory was read: the next sync will tell. */
		if (r != 0 || !details(b, e) || !maildir_name_parse(e->name, &n))
			continue;
		m.flags = n.flags | (e->in_new ? MORTISE_FLAG_RECENT : 0);
		m.keywords = maildir_keywords_of(b, n.letters);
		m.internal_date = e->date;
		m.zone = e->zone;
		m.octets = e->octets;
		r = sink->added(sink->engine, &m);
	}
	return r != 0 ? r : sink->uidnext(sink->engine, b->uidnext);
}

/* New files, or no list yet. On a full disk they wait: a UID that is not on disk could become another's. */
static int assign(struct mortise_call *call, struct maildir_box *b, bool *waiting)
{
	bool mine;
	size_t fresh;
	int r = maildir_lock_take(call, b, &mine);

	if (r != 0)
		return r;
	r = maildir_list_load(call, b);
	if (r == 0)
		r = maildir_scan(call, b, b->dot, &fresh);
	if (r == MORTISE_E_QUOTA) {
		call->host->log(
		    call, MORTISE_LOG_WARN, "%s: no room for " UIDLIST ": new messages wait", b->place->path);
		r = 0;
		*waiting = true;
	}
	*waiting = *waiting || (r == 0 && !b->dot);
	maildir_lock_drop(call, b, mine);
	return r;
}

int maildir_sync(
    struct mortise_call *call, void *opened, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	struct maildir_box *b = opened;
	struct seen now = look(b), before;
	bool waiting = false;
	size_t fresh;
	int r;

	if (now.cur.size == 0)
		return call->host->fail(call, MORTISE_E_NOTFOUND, "The mailbox is no longer there");
	memcpy(&before, cursor->data, sizeof(before));
	if (cursor->size == sizeof(before) && memcmp(&before, &now, sizeof(now)) == 0)
		return 0;
	if ((r = maildir_list_load(call, b)) != 0 || (r = maildir_keywords_load(call, b)) != 0 ||
	    (r = maildir_scan(call, b, false, &fresh)) != 0)
		return r;
	if (!b->read_only && (fresh > 0 || !b->list_read || b->list_print.mtime == 0)) {
		r = assign(call, b, &waiting);
		if (r != 0)
			return r;
		now.list = b->list_print.mtime;
	}
	r = tell(call, b, sink);
	if (r != 0)
		return r;
	if (waiting || racy(now.cur.mtime) || racy(now.new.mtime) || racy(now.list) || racy(now.keywords))
		now.cur.mtime = -1;
	memcpy(cursor->data, &now, sizeof(now));
	cursor->size = sizeof(now);
	return 0;
}
