/*
 * What changed, and reading.
 *
 * The file is looked at only when fstat shows a change: then what is new behind the known end is parsed, and
 * if anybody else may have changed flags, every record's line is read again and compared with what the
 * engine was told. Changes through this box need neither.
 *
 * UIDs. A record without one (c-client leaves that to the next who opens) gets the next; the header's last
 * UID is raised before. A UID that does not rise, or a wild one, makes all UIDs void: a new UIDVALIDITY, and
 * what follows is numbered again, as c-client does. A UID a little above the header's last one is what a
 * power failure can leave, and only raises that. In a mailbox that may not be written all this is so only for
 * as long as it is open.
 */
#include "box.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CURSOR_VERSION 1u
#define UID_LEAP 1000000u /* as many messages as a mailbox can have in c-client */
#define UID_MANY 0x80000000u

struct cursor {
	uint64_t version, serial;
	struct mbx_print print;
};

_Static_assert(sizeof(struct cursor) <= MORTISE_CURSOR_MAX, "a cursor has to fit");

/* ---- the records ---- */

void mbx_forget(struct mbx_box *b)
{
	b->count = b->told = b->untold_count = b->gone_count = 0;
	b->end = MBX_HEADER;
	b->live = 0;
	b->uid_before = 0;
	b->loaded = false;
	b->serial = 0;
}

int mbx_record_add(struct mortise_call *call, struct mbx_box *b, const struct mbx_record *r)
{
	if (b->count >= b->options->message_limit)
		return call->host->fault(call, MORTISE_E_LIMIT,
		    "%s has more than message_limit = %llu messages", b->place->name,
		    (unsigned long long)b->options->message_limit);
	if (b->count == b->room) {
		size_t room = b->room != 0 ? b->room * 2 : 64;
		struct mbx_record *p = reallocarray(b->records, room, sizeof *p);
		if (p == NULL)
			return call->host->fault(
			    call, MORTISE_E_TEMP, "no memory for the messages of %s", b->place->name);
		b->records = p;
		b->room = room;
	}
	b->records[b->count++] = *r;
	b->live += r->line + r->size;
	return 0;
}

struct mbx_record *mbx_find(const struct mbx_box *b, uint32_t uid)
{
	size_t low = 0, high = b->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (b->records[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < b->count && b->records[low].uid == uid ? &b->records[low] : NULL;
}

static int damaged(struct mortise_call *call, const struct mbx_box *b, uint64_t offset, const char *what)
{
	return call->host->fault(
	    call, MORTISE_E_CORRUPT, "%s: octet %llu %s", b->place->name, (unsigned long long)offset, what);
}

/* One record's line. 0, a code, or 1 with *bad: the octet that is wrong, and *what. */
static int read_line(struct mortise_call *call, const struct mbx_box *b, uint64_t offset, uint64_t size,
    struct mbx_record *out, uint64_t *bad, const char **what)
{
	unsigned char line[MBX_LINE_MAX];
	size_t n = size - offset < sizeof line ? (size_t)(size - offset) : sizeof line;
	unsigned at;
	int r = mbx_pread(call, b, line, n, offset);

	if (r != 0)
		return r;
	*out = (struct mbx_record){.offset = offset};
	*what = "does not belong into a message's first line";
	if (mbx_record_parse(line, n, out, &at) != 0) {
		*bad = offset + at;
		return 1;
	}
	*what = "begins a message that runs past the file's end";
	*bad = offset;
	return out->size > size - offset - out->line;
}

/* UIDs void: from `first` on they are given again. */
struct scan {
	struct mortise_call *call;
	struct mbx_box *b;
	uint64_t size; /* the file's */
	bool void_uids;
	size_t first_given; /* records from here on may need their UID written */
};

static void void_uids(struct scan *s, const struct mbx_record *r)
{
	struct mbx_box *b = s->b;

	s->call->host->log(s->call, MORTISE_LOG_WARN,
	    "%s: the message at octet %llu has UID %u, after UID %u; all messages get new UIDs",
	    b->place->name, (unsigned long long)r->offset, r->uid, b->uid_before);
	s->void_uids = true;
	b->uidvalidity = mbx_uidvalidity_new(b->state, b->uidvalidity);
	b->uidlast = b->count > 0 ? b->records[b->count - 1].uid : 0;
	if (b->uidlast < UID_MANY)
		return;
	/* Then there is room again for all that may come. */
	for (size_t i = 0; i < b->count; i++) {
		b->records[i].uid = (uint32_t)i + 1;
		b->records[i].unstored = true;
	}
	b->uidlast = (uint32_t)b->count;
	s->first_given = 0;
}

static void give_uid(struct scan *s, struct mbx_record *r)
{
	if (s->b->uidlast >= MBX_UID_LAST)
		void_uids(s, r);
	r->uid = ++s->b->uidlast;
	r->unstored = true;
}

static int take_record(struct scan *s, struct mbx_record *r)
{
	struct mbx_box *b = s->b;
	bool expunged = r->flags & MBX_EXPUNGED;
	int result = 0;

	if (r->uid != 0 && !s->void_uids &&
	    (r->uid <= b->uid_before || r->uid > MBX_UID_LAST ||
	        (r->uid > b->uidlast && r->uid - b->uidlast > UID_LEAP)))
		void_uids(s, r);
	if (expunged) {
		/* Where UIDs are void nobody knows it. */
		if (r->uid != 0 && !s->void_uids)
			b->uid_before = r->uid;
	} else {
		if (r->uid == 0 || s->void_uids)
			give_uid(s, r);
		b->uid_before = r->uid;
		result = mbx_record_add(s->call, b, r);
	}
	if (b->uid_before > b->uidlast && !s->void_uids)
		b->uidlast = b->uid_before;
	b->end = r->offset + r->line + r->size;
	return result;
}

/*
 * An append did not end. Its messages have UIDs up to the one in the note, in order; what others have added
 * since has none, or higher ones. So when the last octets are its own and its last message is not whole, the
 * batch is cut off: where it begins, or, when others who have the file open may have seen its first messages,
 * behind those. What does not parse nobody has seen.
 */
static int cut_off(struct scan *s)
{
	struct mbx_box *b = s->b;
	uint64_t at = b->header.note_size, bad;
	const char *what;
	struct mbx_record m = {0};
	int r = 0;

	while (r == 0 && at < s->size && (r = read_line(s->call, b, at, s->size, &m, &bad, &what)) == 0)
		at += m.line + m.size;
	if (r < 0 || b->header.note_size > s->size || (r == 0 && (m.uid == 0 || m.uid >= b->header.note_uid)))
		return r;
	if (at > b->header.note_size && mbx_session_alone(s->call, b))
		at = b->header.note_size;
	if (at == s->size)
		return 0;
	s->call->host->log(s->call, MORTISE_LOG_WARN,
	    "%s: an append was interrupted; octets %llu to %llu, no whole batch, are removed", b->place->name,
	    (unsigned long long)at, (unsigned long long)s->size);
	if (ftruncate(b->fd, (off_t)at) != 0)
		r = s->call->host->fault_errno(s->call, "cannot shorten %s", b->place->name);
	else
		r = 0;
	s->size = at;
	return r != 0 ? r : mbx_session_share(s->call, b);
}

/* UIDs that were given go into the file; the header first, so that none is above its last one. */
static int store_uids(struct scan *s)
{
	struct mbx_box *b = s->b;
	bool any = b->uidlast != b->header.uidlast || b->uidvalidity != b->header.uidvalidity;
	char tail[MBX_LINE_MAX];
	int r = 0;

	if (b->read_only || b->lock_fd < 0 || !any)
		return 0;
	r = mbx_header_write_uids(s->call, b);
	for (size_t i = s->first_given; r == 0 && i < b->count; i++) {
		struct mbx_record *m = &b->records[i];
		if (!m->unstored)
			continue;
		m->unstored = false;
		mbx_record_print_tail(tail, m);
		r = mbx_pwrite(s->call, b, tail, MBX_TAIL - 2, m->offset + m->line - MBX_TAIL);
	}
	return r != 0 ? r : mbx_sync_file(s->call, b);
}

int mbx_scan(struct mortise_call *call, struct mbx_box *b)
{
	struct scan s = {.call = call, .b = b, .first_given = b->count};
	bool writable = !b->read_only && b->lock_fd >= 0;
	struct mbx_print now;
	const char *what;
	uint64_t bad;
	int r = mbx_print_of(call, b, &now);

	s.size = now.size;
	if (r == 0 && b->header.note && writable)
		r = cut_off(&s);
	else if (r == 0 && b->header.note && b->header.note_size < s.size)
		s.size = b->header.note_size; /* who may not write leaves it to others */
	for (unsigned n = 1; r == 0 && b->end < s.size; n++) {
		struct mbx_record m;
		if (n % 1024 == 0 && (r = call->host->should_stop(call)) != 0)
			break;
		r = read_line(call, b, b->end, s.size, &m, &bad, &what);
		if (r == 0)
			r = take_record(&s, &m);
		else if (r == 1)
			r = damaged(call, b, bad, what);
	}
	if (r == 0 && b->header.note && writable)
		r = mbx_header_write_note(call, b, 0);
	return r != 0 ? r : store_uids(&s);
}

/* What is known of the records was said of another state of the file than one that can have become this. */
static bool outdated(const struct mbx_box *b, const struct mbx_print *now)
{
	return b->loaded && (b->header.uidvalidity != b->loaded_uidvalidity || now->size < b->end);
}

int mbx_load(struct mortise_call *call, struct mbx_box *b)
{
	struct mbx_print now;
	uint64_t serial = b->serial;
	bool known;
	int r = mbx_print_of(call, b, &now);

	if (r != 0)
		return r;
	if (outdated(b, &now))
		mbx_forget(b);
	known = !b->loaded && serial != 0 && mbx_print_same(&now, &b->print);
	if (!b->loaded) {
		mbx_forget(b);
		b->uidvalidity = b->loaded_uidvalidity = b->header.uidvalidity;
		b->uidlast = b->header.uidlast;
		if (b->uidvalidity == 0)
			b->uidvalidity = mbx_uidvalidity_new(b->state, 0);
	} else if (b->header.uidlast > b->uidlast)
		b->uidlast = b->header.uidlast;
	if ((r = mbx_scan(call, b)) != 0) {
		mbx_forget(b);
		return r;
	}
	if (known) {
		b->serial = serial;
		b->told = b->count;
	}
	b->loaded = true;
	if (!b->read_only && b->lock_fd >= 0)
		b->loaded_uidvalidity = b->header.uidvalidity;
	return 0;
}

/* ---- telling ---- */

static int tell(struct mbx_box *b, const struct mortise_sink *sink, const struct mbx_record *r,
    int (*how)(void *engine, const struct mortise_message *m))
{
	struct mortise_message m = {.size = sizeof m,
	    .uid = r->uid,
	    .flags = mbx_flags_from(r->flags),
	    .internal_date = r->date,
	    .zone = r->zone,
	    .octets = r->size,
	    .locator_size = sizeof r->uid};

	for (size_t i = 0; i < b->told_keywords; i++)
		if (r->keywords >> b->header.slots[i] & 1)
			m.keywords |= UINT64_C(1) << i;
	memcpy(m.locator, &r->uid, sizeof r->uid);
	return how(sink->engine, &m);
}

static int tell_keywords(struct mbx_box *b, const struct mortise_sink *sink)
{
	const char *names[MBX_KEYWORDS];

	for (size_t i = 0; i < b->header.keyword_count; i++)
		names[i] = b->header.names[i];
	b->told_keywords = b->header.keyword_count;
	return sink->keywords(sink->engine, names, b->told_keywords);
}

static int tell_all(struct mbx_box *b, const struct mortise_sink *sink)
{
	int r = sink->full_scan(sink->engine, b->uidvalidity);

	if (r == 0)
		r = tell_keywords(b, sink);
	for (b->told = 0; r == 0 && b->told < b->count; b->told++) {
		b->records[b->told].untold = false;
		r = tell(b, sink, &b->records[b->told], sink->added);
	}
	b->untold_count = b->gone_count = 0;
	return r;
}

/* Every record's line again. Told what differs; those marked as expunged meanwhile are taken out. */
static int sweep(struct mortise_call *call, struct mbx_box *b, const struct mortise_sink *sink)
{
	size_t kept = 0, told = 0;
	int r = 0;

	for (size_t i = 0; i < b->count; i++) {
		struct mbx_record *old = &b->records[i], now;
		const char *what = "";
		uint64_t bad = old->offset;
		if (r == 0 && i % 1024 == 1023)
			r = call->host->should_stop(call);
		if (r == 0 && (r = read_line(call, b, old->offset, b->end, &now, &bad, &what)) == 1)
			r = damaged(call, b, bad, what);
		if (r == 0 && (now.size != old->size || now.line != old->line ||
		                  (now.uid != old->uid && !old->unstored)))
			r = damaged(call, b, old->offset, "began another message before");
		if (r == 0 && old->unstored && now.uid != 0 && now.uid != old->uid)
			r = call->host->fault(call, MORTISE_E_TEMP,
			    "%s: another program has given the message at octet %llu another UID",
			    b->place->name, (unsigned long long)old->offset);
		if (r == 0 && (now.flags & MBX_EXPUNGED)) {
			b->live -= old->line + old->size;
			if (i < b->told)
				r = sink->vanished(sink->engine, old->uid);
			continue;
		}
		if (r == 0 && (old->untold || now.flags != old->flags || now.keywords != old->keywords)) {
			old->flags = now.flags;
			old->keywords = now.keywords;
			old->untold = false;
			if (i < b->told)
				r = tell(b, sink, old, sink->changed);
		}
		told += i < b->told;
		b->records[kept++] = *old;
	}
	b->count = kept;
	b->told = told;
	b->untold_count = 0;
	return r;
}

static int tell_untold(struct mbx_box *b, const struct mortise_sink *sink)
{
	int r = 0;

	for (size_t i = 0; r == 0 && b->untold_count > 0 && i < b->told; i++)
		if (b->records[i].untold) {
			b->records[i].untold = false;
			b->untold_count--;
			r = tell(b, sink, &b->records[i], sink->changed);
		}
	b->untold_count = 0;
	return r;
}

static int tell_changes(struct mortise_call *call, struct mbx_box *b, const struct mortise_sink *sink)
{
	int r = 0;

	if (b->header.keyword_count != b->told_keywords)
		r = tell_keywords(b, sink);
	for (size_t i = 0; r == 0 && i < b->gone_count; i++)
		r = sink->vanished(sink->engine, b->gone[i]);
	b->gone_count = 0;
	if (r == 0)
		r = b->sweep ? sweep(call, b, sink) : tell_untold(b, sink);
	for (; r == 0 && b->told < b->count; b->told++) {
		b->records[b->told].untold = false;
		r = tell(b, sink, &b->records[b->told], sink->added);
	}
	return r;
}

/* ---- sync ---- */

static void cursor_write(struct mbx_box *b, struct mortise_cursor *cursor)
{
	struct cursor c = {.version = CURSOR_VERSION, .serial = b->serial, .print = b->print};

	memcpy(cursor->data, &c, sizeof c);
	cursor->size = sizeof c;
}

static bool cursor_read(const struct mortise_cursor *cursor, struct cursor *c)
{
	if (cursor->size != sizeof *c)
		return false;
	memcpy(c, cursor->data, sizeof *c);
	return c->version == CURSOR_VERSION && c->serial != 0;
}

/* Locked. */
static int sync_locked(
    struct mortise_call *call, struct mbx_box *b, const struct mortise_sink *sink, bool full)
{
	struct mbx_header before = b->header;
	struct mbx_print now;
	int r;

	if ((r = mbx_header_read(call, b)) != 0 || (r = mbx_print_of(call, b, &now)) != 0)
		return r;
	full = full || !b->loaded || outdated(b, &now);
	for (size_t i = 0; i < b->told_keywords && !full; i++)
		full = i >= b->header.keyword_count || strcmp(before.names[i], b->header.names[i]) != 0;
	if (full)
		mbx_forget(b);
	/* From here on, who fails begins anew. */
	b->serial = 0;
	b->sweep = b->sweep || b->racy || !mbx_print_same(&now, &b->print);
	before.uidvalidity = b->uidvalidity;
	if ((r = mbx_load(call, b)) != 0)
		return r;
	r = full || b->uidvalidity != before.uidvalidity ? tell_all(b, sink) : tell_changes(call, b, sink);
	if (r == 0)
		r = sink->uidnext(sink->engine, b->uidlast < MBX_UID_LAST ? b->uidlast + 1 : UINT32_MAX);
	if (r == 0)
		r = mbx_print_of(call, b, &b->print);
	if (r != 0) {
		mbx_forget(b);
		return r;
	}
	b->sweep = false;
	b->racy = mbx_print_racy(&b->print);
	while (b->serial == 0)
		call->host->random(call, &b->serial, sizeof b->serial);
	return 0;
}

int mbx_op_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	struct mbx_box *b = mbx_box_of(box);
	struct cursor c;
	struct mbx_print now;
	bool known = cursor_read(cursor, &c), taken;
	int r;

	if ((r = mbx_print_of(call, b, &now)) != 0)
		return r;
	if (known && mbx_print_same(&now, &c.print) && !b->racy && !b->sweep) {
		bool quiet = b->untold_count == 0 && b->gone_count == 0 && b->told == b->count &&
		             b->told_keywords == b->header.keyword_count;
		if (b->serial == c.serial && quiet)
			return 0;
		/* Another box of this file said so. */
		if (b->serial == 0 && !mbx_print_racy(&now)) {
			b->serial = c.serial;
			b->print = now;
			b->told_keywords = b->header.keyword_count;
			return 0;
		}
	}
	if ((r = mbx_lock_need(call, b, &taken)) != 0)
		return r;
	r = sync_locked(call, b, sink, !known || b->serial != c.serial);
	if (r == 0)
		cursor_write(b, cursor);
	if (taken)
		mbx_lock_release(b);
	return r;
}

/* ---- reading ---- */

int mbx_op_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *source)
{
	struct mbx_box *b = mbx_box_of(box);
	struct mbx_record *m;
	bool taken;
	int r;

	if (!b->loaded) {
		if ((r = mbx_lock_need(call, b, &taken)) != 0)
			return r;
		if ((r = mbx_header_read(call, b)) == 0)
			r = mbx_load(call, b);
		if (taken)
			mbx_lock_release(b);
		if (r != 0)
			return r;
	}
	m = mbx_find(b, ref->uid);
	if (m == NULL)
		return call->host->fail(call, MORTISE_E_EXPUNGED, "The message is no longer there");
	b->extent = (struct mortise_extent){.offset = m->offset + m->line, .length = m->size};
	source->fd = b->fd;
	source->newline = MORTISE_NEWLINE_CRLF;
	source->extents = &b->extent;
	source->extent_count = 1;
	source->memory = NULL;
	return 0;
}
