/*
 * sync.c: what the engine is told.
 *
 * A cursor says how the two directories and Dovecot's two files were. When they are so still, there is
 * nothing to tell, whichever box is asked: that is four fstatat. When they are not, what was told up to that
 * cursor is known in the box that told it, and only the difference is told. Another box tells all.
 *
 * A directory that was changed a moment before it was read may change again without getting another time. A
 * cursor says so (`racy`), and such a directory is read again; such a cursor also names the box it is from,
 * because two boxes may have seen different things under the same times. So does one that is to be believed
 * for a while only (`due`, see own.c).
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

#define CURSOR_VERSION 3
#define TRIES 5 /* to find files that are renamed all the time */

struct seen {
	uint8_t version, racy, zero[6];
	uint64_t cur, new, list, keywords; /* of their prints */
	uint64_t teller;                   /* when racy or due */
	int64_t due;                       /* see own.c */
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

/* The engine knows the mailbox as it is under these prints. */
static void agree(struct maildir_box *b, const struct maildir_print parts[PARTS],
    const struct maildir_print *list, int64_t due)
{
	memcpy(b->agreed_part, parts, sizeof(b->agreed_part));
	b->agreed_list = *list;
	b->agreed = true;
	if (due != 0 && (b->due == 0 || due < b->due))
		b->due = due;
}

static bool same_prints(const struct seen *a, const struct seen *b)
{
	return a->version == b->version && a->cur == b->cur && a->new == b->new && a->list == b->list &&
	       a->keywords == b->keywords;
}

static void make_cursor(
    struct mortise_call *call, const struct maildir_box *b, struct seen *now, struct mortise_cursor *cursor)
{
	now->due = b->due;
	if (now->racy || now->due != 0)
		call->host->random(call, &now->teller, sizeof(now->teller));
	memcpy(cursor->data, now, sizeof(*now));
	cursor->size = sizeof(*now);
}

/* From `before` to `now` there is nothing but what was appended through this box. */
static bool trail_leads(const struct maildir_box *b, const struct seen *before, const struct seen *now,
    const struct maildir_print *keywords)
{
	struct seen from, to;

	if (b->trail_count == 0 || !b->agreed || before->racy)
		return false;
	from = seen_of(b->trail_part, &b->trail_list, keywords);
	to = seen_of(b->agreed_part, &b->agreed_list, keywords);
	return same_prints(before, &from) && same_prints(now, &to);
}

static int tell_trail(struct mortise_call *call, struct maildir_box *b, const struct mortise_sink *sink)
{
	struct mortise_message m = {.size = sizeof(m)};
	uint32_t letters = 0;
	size_t i;
	int r = 0;

	for (i = 0; i < b->trail_count && r == 0; i++) {
		const struct maildir_piece *p = &b->trail[i];

		if (p->letters != 0 && letters == 0) {
			r = maildir_keywords_load(call, b);
			letters = maildir_letters(b);
		}
		m.uid = p->uid;
		m.flags = p->flags | (p->in_new ? MORTISE_FLAG_RECENT : 0);
		m.keywords = p->letters & letters;
		m.internal_date = p->date;
		m.zone = p->zone;
		m.octets = p->wire;
		m.locator_size = (uint8_t)maildir_locator_make(p->in_new, p->final, m.locator);
		if (r == 0)
			r = sink->added(sink->engine, &m);
	}
	return r != 0 ? r : sink->uidnext(sink->engine, b->uidnext);
}

/* The same of the entries, when they have these messages. False: they do not. */
static bool trail_told(struct maildir_box *b)
{
	size_t i;

	for (i = 0; i < b->trail_count; i++) {
		struct maildir_entry *e = maildir_by_uid(b, b->trail[i].uid);

		if (e == NULL || !e->present)
			return false;
		e->told = true;
		e->dirty = false;
	}
	return true;
}

/* Reads what has changed, and tells of it. */
static int look_again(struct mortise_call *call, struct maildir_box *b, struct mortise_cursor *cursor,
    const struct mortise_sink *sink, bool same)
{
	struct maildir_print parts[PARTS];
	struct seen now;
	int r;

	b->told.size = 0;
	b->agreed = false;
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
	make_cursor(call, b, &now, cursor);
	b->told = *cursor;
	b->told_uidvalidity = b->uidvalidity;
	if (!now.racy)
		agree(b, parts, &b->list_print, 0);
	return maildir_tidy(call, b);
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
	if (same_prints(&before, &now) && !before.racy && !maildir_is_due(before.due)) {
		agree(b, parts, &list, before.due);
		return 0;
	}
	/* This box knows what was told up to here, and the keywords are the same. */
	same = b->told.size > 0 && cursor->size == b->told.size &&
	       memcmp(cursor->data, b->told.data, cursor->size) == 0 && before.keywords == now.keywords;
	if (!trail_leads(b, &before, &now, &keywords)) {
		maildir_trail_clear(b);
		return look_again(call, b, cursor, sink, same);
	}
	b->told.size = 0;
	r = tell_trail(call, b, sink);
	if (r == 0) {
		make_cursor(call, b, &now, cursor);
		if (same && trail_told(b))
			b->told = *cursor;
	}
	maildir_trail_clear(b);
	return r;
}
