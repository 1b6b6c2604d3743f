/*
 * All records.
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

#define UID_LEAP 1000000u /* as many messages as a mailbox can have in c-client */
#define UID_MANY 0x80000000u

struct scan {
	struct mortise_call *call;
	struct mbx_box *b;
	uint64_t size; /* the file's */
	bool void_uids, writable;
	bool unstored;  /* some UIDs are not in the file */
	uint32_t given; /* the last UID that a message without got */
	uint64_t first; /* the first of those, or 0 */
	uint32_t first_uid;
};

static int record_add(struct mortise_call *call, struct mbx_box *b, const struct mbx_record *r)
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
	return 0;
}

/* Idle sessions are many. */
void mbx_records_free(struct mbx_box *b)
{
	free(b->records);
	b->records = NULL;
	b->count = b->room = 0;
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

/* ---- UIDs ---- */

/* Another one than the header's. Where that cannot be written it stays the same for as long as the box. */
static uint32_t other_uidvalidity(struct mbx_box *b, uint32_t old)
{
	if (b->given == 0 || b->given_for != old) {
		b->given = mbx_uidvalidity_new(b->state, old);
		b->given_for = old;
	}
	return b->given;
}

/* UIDs void: from here on they are given again. */
static void void_uids(struct scan *s, const struct mbx_record *r)
{
	struct mbx_box *b = s->b;

	s->call->host->log(s->call, MORTISE_LOG_WARN,
	    "%s: the message at octet %llu has UID %u, after UID %u; all messages get new UIDs",
	    b->place->name, (unsigned long long)r->offset, r->uid, b->uid_before);
	s->void_uids = true;
	b->uidvalidity = other_uidvalidity(b, b->header.uidvalidity);
	b->uidlast = b->uid_before = b->count > 0 ? b->records[b->count - 1].uid : 0;
	if (b->uidlast < UID_MANY)
		return;
	/* Then there is room again for all that may come. */
	for (size_t i = 0; i < b->count; i++)
		b->records[i].uid = (uint32_t)i + 1;
	s->unstored = true;
	b->uidlast = b->uid_before = (uint32_t)b->count;
}

/* The next one; from where somebody did not come to an end, as he would have. */
static void give_uid(struct scan *s, struct mbx_record *r)
{
	struct mbx_box *b = s->b;
	const struct mbx_header *h = &b->header;

	if (b->uidlast >= MBX_UID_LAST)
		void_uids(s, r);
	if (s->first == 0 && h->note == MBX_NUMBERING && r->offset >= h->note_at && !s->void_uids &&
	    h->note_uid > b->uid_before && h->note_uid <= h->uidlast)
		s->given = h->note_uid - 1;
	else if (s->first == 0 || s->void_uids)
		s->given = b->uidlast;
	if (s->given < b->uid_before)
		s->given = b->uid_before;
	r->uid = ++s->given;
	if (b->uidlast < r->uid)
		b->uidlast = r->uid;
	if (s->first == 0) {
		s->first = r->offset;
		s->first_uid = r->uid;
	}
	s->unstored = true;
}

static int take_record(struct scan *s, struct mbx_record *r)
{
	struct mbx_box *b = s->b;
	struct mbx_known *k = &b->known;
	int result = 0;

	if (r->uid != 0 && !s->void_uids &&
	    (r->uid <= b->uid_before || r->uid > MBX_UID_LAST ||
	        (r->uid > b->uidlast && r->uid - b->uidlast > UID_LEAP)))
		void_uids(s, r);
	if (r->flags & MBX_EXPUNGED) {
		/* Where UIDs are void nobody knows it. */
		if (r->uid != 0 && !s->void_uids)
			b->uid_before = r->uid;
		if (k->dead == 0)
			k->dead_from = r->offset;
		k->dead += r->line + r->size;
	} else {
		if (r->uid == 0 || s->void_uids)
			give_uid(s, r);
		b->uid_before = r->uid;
		result = record_add(s->call, b, r);
	}
	if (b->uid_before > b->uidlast && !s->void_uids)
		b->uidlast = b->uid_before;
	return result;
}

/* UIDs that were given go into the file; the header first, so that none is above its last one. */
static int store_uids(struct scan *s)
{
	struct mbx_box *b = s->b;
	int r;

	b->header.note = s->first != 0 && !s->void_uids ? MBX_NUMBERING : '\0';
	b->header.note_at = s->first;
	b->header.note_uid = s->first_uid;
	r = mbx_header_write(s->call, b);
	if (r == 0 && b->header.note != '\0')
		r = mbx_sync_file(s->call, b);
	mbx_window_reset(b);
	for (size_t i = 0; r == 0 && i < b->count; i++) {
		struct mbx_record *m = &b->records[i];
		if (m->stored_uid == m->uid)
			continue;
		m->stored_uid = m->uid;
		r = mbx_line_patch(s->call, b, m);
	}
	/* Before the note goes. */
	if (r == 0)
		r = mbx_sync_file(s->call, b);
	if (r == 0)
		r = mbx_change_stamp(s->call, b, s->size, true);
	if (r == 0)
		mbx_change_end(s->call, b, false);
	return r;
}

/* ---- what an append left ---- */

/*
 * Its messages have UIDs up to the one in the note, in order; what others have added since has none, or
 * higher ones. So when the last octets are its own and its last message is not whole, the batch does not
 * count: from where it begins, or, when others who have the file open may have seen its first messages, from
 * behind those. What does not parse nobody has seen. *end: of what counts.
 */
static int end_of_whole(struct scan *s, uint64_t *end)
{
	struct mbx_box *b = s->b;
	uint64_t begin = b->header.note_at, at = begin, bad;
	const char *what;
	struct mbx_record m = {0};
	int r = 0;

	*end = s->size;
	while (r == 0 && at < s->size && (r = mbx_line_read(s->call, b, at, s->size, &m, &bad, &what)) == 0)
		at = mbx_record_end(&m);
	mbx_window_reset(b);
	if (r < 0 || begin > s->size || (r == 0 && (m.uid == 0 || m.uid >= b->header.note_uid)))
		return r;
	if (at > begin && s->writable && !mbx_session_alone(s->call, b))
		begin = at;
	*end = begin;
	return s->writable ? mbx_session_share(s->call, b) : 0;
}

static int cut_off(struct scan *s)
{
	struct mbx_box *b = s->b;
	uint64_t end;
	int r = end_of_whole(s, &end);

	if (r == 0 && end < s->size && s->writable) {
		s->call->host->log(s->call, MORTISE_LOG_WARN,
		    "%s: an append was interrupted; octets %llu to %llu, no whole batch, are removed",
		    b->place->name, (unsigned long long)end, (unsigned long long)s->size);
		if (ftruncate(b->fd, (off_t)end) != 0)
			return s->call->host->fault_errno(s->call, "cannot shorten %s", b->place->name);
		r = mbx_sync_file(s->call, b); /* before the note goes */
	}
	s->size = end;
	return r;
}

/* ---- scans ---- */

static int scan_from(struct scan *s, uint64_t at)
{
	const char *what;
	uint64_t bad;
	int r = 0;

	for (unsigned n = 1; r == 0 && at < s->size; n++) {
		struct mbx_record m;
		if (n % 1024 == 0 && (r = s->call->host->should_stop(s->call)) != 0)
			break;
		r = mbx_line_read(s->call, s->b, at, s->size, &m, &bad, &what);
		if (r == 0) {
			at = mbx_record_end(&m);
			r = take_record(s, &m);
		} else if (r == 1)
			r = mbx_damaged(s->call, s->b, bad, what);
	}
	return r;
}

static int scan_all(struct scan *s)
{
	struct mbx_box *b = s->b;
	bool note = b->header.note != '\0';
	int r = 0;

	if (b->header.note == MBX_APPENDING)
		r = cut_off(s);
	if (r == 0 && s->size > MBX_HEADER)
		r = scan_from(s, MBX_HEADER);
	if (r != 0)
		return r;
	b->known.there = true;
	b->known.count = b->count;
	s->unstored =
	    s->unstored || b->uidlast != b->header.uidlast || b->uidvalidity != b->header.uidvalidity;
	if (s->writable && (s->unstored || note) && !b->header.unwritten)
		return store_uids(s);
	b->known.provisional = s->unstored || note;
	return mbx_print_of(s->call, b, &b->known.print);
}

int mbx_scan(struct mortise_call *call, struct mbx_box *b)
{
	struct scan s = {.call = call, .b = b, .writable = mbx_may_write(b)};
	struct mbx_print now;
	int r = mbx_print_of(call, b, &now);

	mbx_window_reset(b);
	b->known = (struct mbx_known){.there = false};
	b->count = 0;
	b->uid_before = 0;
	b->uidvalidity = b->header.uidvalidity;
	b->uidlast = b->header.uidlast;
	if (b->uidvalidity == 0)
		b->uidvalidity = other_uidvalidity(b, 0);
	s.size = now.size;
	if (mbx_trail_holds(&b->header, &now))
		b->known.epoch = b->header.trail.epoch;
	if (r == 0)
		r = scan_all(&s);
	if (r != 0)
		mbx_change_failed(b);
	else
		b->known.racy = mbx_print_racy(&b->known.print);
	mbx_window_reset(b);
	return r;
}

int mbx_scan_tail(struct mortise_call *call, struct mbx_box *b, uint64_t from, uint32_t uid_before)
{
	struct mbx_print now;
	struct mbx_record m;
	const char *what;
	uint64_t bad;
	int r = mbx_print_of(call, b, &now);

	mbx_window_reset(b);
	b->count = 0;
	for (unsigned n = 1; r == 0 && from < now.size; n++) {
		if (n % 1024 == 0 && (r = call->host->should_stop(call)) != 0)
			break;
		r = mbx_line_read(call, b, from, now.size, &m, &bad, &what);
		if (r == 0 && (m.uid <= uid_before || m.uid > b->header.uidlast))
			r = 1;
		if (r != 0)
			break;
		uid_before = m.uid;
		from = mbx_record_end(&m);
		if (!(m.flags & MBX_EXPUNGED))
			r = record_add(call, b, &m);
	}
	mbx_window_reset(b);
	return r;
}
