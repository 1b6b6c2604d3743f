/*
 * sync.c: what the engine is told.
 *
 * A cursor says how the two directories and Dovecot's two files were. When they are so still, there is
 * nothing to tell, whichever box is asked: that is four fstatat. When they are not, what was told up to that
 * cursor is known in the box that told it, and only the difference is told. Another box tells all.
 *
 * A directory that was changed a moment before it was read may change again without getting another time. A
 * cursor says so (`racy`), and such a directory is read again; such a cursor also names the box it is from,
 * because two boxes may have seen different things under the same times.
 *
 * The internal date is the file's time, as in Dovecot and Courier: the time in its name is that of delivery,
 * which is another one for what a client appended. So a message that is told for the first time costs one
 * fstatat, half a microsecond; the size that the name claims is checked on the way.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "box.h"

#define CURSOR_VERSION 2
#define TRIES 5 /* to find files that are renamed all the time */

struct seen {
	uint8_t version, racy, zero[6];
	uint64_t cur, new, list, keywords; /* of their prints */
	uint64_t teller;                   /* when racy */
};
_Static_assert(sizeof(struct seen) <= MORTISE_CURSOR_MAX, "fits a cursor");

static uint64_t digest(const struct maildir_print *p)
{
	uint64_t h = (uint64_t)p->mtime * UINT64_C(0x9e3779b97f4a7c15);

	h = (h ^ h >> 29 ^ p->inode) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 31 ^ (uint64_t)p->size) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 30;
}

static struct seen seen_of(const struct maildir_print parts[PARTS], const struct maildir_print *list,
    const struct maildir_print *keywords)
{
	return (struct seen){.version = CURSOR_VERSION,
	    .cur = digest(&parts[CUR]),
	    .new = digest(&parts[NEW]),
	    .list = digest(list),
	    .keywords = digest(keywords)};
}

/* Date and size. False: the file is gone, or no message. */
static bool details(
    struct mortise_call *call, struct maildir_box *b, struct maildir_entry *e, const struct maildir_name *n)
{
	const char *wire = strstr(e->extra, " W"), *zone = strstr(e->extra, " Z");
	uint64_t octets = n->wire, size;
	struct stat st;
	long minutes;
	int part;

	if (maildir_part(call, b, e->in_new, &part) != 0 ||
	    fstatat(part, e->name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
		return false;
	size = (uint64_t)st.st_size;
	if (zone != NULL) {
		minutes = strtol(zone + 2, NULL, 10);
		e->zone = minutes > -1440 && minutes < 1440 ? (int16_t)minutes : 0;
	}
	if (octets == MORTISE_SIZE_UNKNOWN && wire != NULL)
		octets = strtoull(wire + 2, NULL, 10);
	else if (n->size != size)
		octets = MORTISE_SIZE_UNKNOWN; /* a name that lies about S= is not believed about W= */
	e->octets = octets >= size && octets / 2 <= size ? octets : MORTISE_SIZE_UNKNOWN;
	e->date = st.st_mtim.tv_sec;
	e->known = true;
	return true;
}

/* Entries whose files are not where they were found. */
static size_t look_at_all(struct mortise_call *call, struct maildir_box *b, int *r)
{
	size_t i, lost = 0;

	for (i = 0; i < b->count && *r == 0; i++) {
		struct maildir_entry *e = &b->entries[i];
		struct maildir_name n;

		if (!e->present || e->known)
			continue;
		*r = maildir_go_on(call, b);
		if (*r == 0 && (!maildir_name_parse(e->name, &n) || !details(call, b, e, &n)))
			lost++;
	}
	return lost;
}

/*
 * Learns date and size of those who are there. One who was renamed since the directory was read is not gone:
 * it is looked for again, under the lock.
 */
static int learn(struct mortise_call *call, struct maildir_box *b)
{
	bool mine = false;
	int r = 0, tries;
	size_t i;

	for (tries = 0; look_at_all(call, b, &r) > 0 && r == 0 && tries < TRIES; tries++) {
		if (tries == 0 && !b->fixed)
			r = maildir_lock_take(call, b, &mine);
		b->part[CUR].read = b->part[NEW].read = false;
		if (r == 0)
			r = maildir_scan(call, b, true);
	}
	for (i = 0; i < b->count && tries == TRIES; i++)
		b->entries[i].present = b->entries[i].present && b->entries[i].known;
	maildir_lock_drop(call, b, mine);
	return r;
}

static void describe(const struct maildir_entry *e, uint32_t letters, struct mortise_message *m)
{
	struct maildir_name n;

	(void)maildir_name_parse(e->name, &n);
	m->uid = e->uid;
	m->flags = n.flags | (e->in_new ? MORTISE_FLAG_RECENT : 0);
	m->keywords = n.letters & letters;
	m->internal_date = e->date;
	m->zone = e->zone;
	m->octets = e->octets;
	m->locator_size = (uint8_t)maildir_locator_make(e->in_new, e->name, m->locator);
}

static int tell_keywords(struct mortise_call *call, struct maildir_box *b, const struct mortise_sink *sink)
{
	const char *names[LETTERS];
	size_t i, count = 0;

	(void)call;
	for (i = 0; i < LETTERS; i++) {
		names[i] = b->keywords.names[i] != NULL ? b->keywords.names[i] : "";
		if (names[i][0] != '\0')
			count = i + 1;
	}
	return sink->keywords(sink->engine, names, count);
}

static int tell_gone(struct maildir_box *b, const struct mortise_sink *sink, bool all)
{
	int r = 0;
	size_t i;

	for (i = 0; i < b->gone_count && r == 0 && !all; i++)
		r = sink->vanished(sink->engine, b->gone[i]);
	b->gone_count = 0;
	return r;
}

static int tell_messages(
    struct mortise_call *call, struct maildir_box *b, const struct mortise_sink *sink, bool all)
{
	struct mortise_message m = {.size = sizeof(m)};
	uint32_t letters = maildir_letters(b);
	size_t i;
	int r = 0;

	for (i = 0; i < b->count && r == 0; i++) {
		struct maildir_entry *e = &b->entries[i];

		if (!all && e->told && e->present && !e->dirty)
			continue;
		e->told = e->told && !all;
		if (!e->present) {
			if (e->told)
				r = sink->vanished(sink->engine, e->uid);
			e->told = false;
			continue;
		}
		r = maildir_go_on(call, b);
		if (r != 0)
			break;
		describe(e, letters, &m);
		r = all || !e->told ? sink->added(sink->engine, &m) : sink->changed(sink->engine, &m);
		e->told = true;
		e->dirty = false;
	}
	return r;
}

static int tell(struct mortise_call *call, struct maildir_box *b, const struct mortise_sink *sink, bool all)
{
	int r = all ? sink->full_scan(sink->engine, b->uidvalidity) : 0;

	if (r == 0 && all)
		r = tell_keywords(call, b, sink);
	if (r == 0)
		r = tell_gone(b, sink, all);
	if (r == 0)
		r = tell_messages(call, b, sink, all);
	return r != 0 ? r : sink->uidnext(sink->engine, b->uidnext);
}

int maildir_sync(
    struct mortise_call *call, void *opened, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	struct maildir_box *b = opened;
	struct maildir_print parts[PARTS], list, keywords;
	struct seen before = {0}, now;
	bool same;
	int r = maildir_look(call, b, parts);

	if (r != 0)
		return r;
	list = maildir_print(b->dir, UIDLIST);
	keywords = maildir_print(b->dir, KEYWORDS);
	now = seen_of(parts, &list, &keywords);
	if (cursor->size == sizeof(before))
		memcpy(&before, cursor->data, sizeof(before));
	if (memcmp(&before, &now, sizeof(now)) == 0)
		return 0;
	/* This box knows what was told up to here, and the keywords are the same. */
	same = b->told.size > 0 && cursor->size == b->told.size &&
	       memcmp(cursor->data, b->told.data, cursor->size) == 0 && before.keywords == now.keywords;
	b->told.size = 0;
	if ((r = maildir_list_load(call, b)) != 0 || (r = maildir_keywords_load(call, b)) != 0 ||
	    (r = maildir_scan(call, b, true)) != 0 || (r = learn(call, b)) != 0)
		return r;
	same = same && b->told_uidvalidity == b->uidvalidity;
	r = tell(call, b, sink, !same);
	if (r != 0)
		return r;
	parts[CUR] = b->part[CUR].print;
	parts[NEW] = b->part[NEW].print;
	now = seen_of(parts, &b->list_print, &b->keywords.print);
	now.racy = b->unnumbered > 0 || b->part[CUR].racy || b->part[NEW].racy;
	if (now.racy)
		call->host->random(call, &now.teller, sizeof(now.teller));
	memcpy(cursor->data, &now, sizeof(now));
	cursor->size = sizeof(now);
	b->told = *cursor;
	b->told_uidvalidity = b->uidvalidity;
	return maildir_tidy(call, b);
}
