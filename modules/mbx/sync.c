/*
 * What changed.
 *
 * A cursor is the file's status when the engine was told of it. When that is as it was, nothing is told. When
 * all changes since came through this box, they are told; when the trail says that messages were only added,
 * those behind the old end. Otherwise others may have changed flags, or moved records, and every record's
 * line is looked at: the engine compares.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>

#define CURSOR_VERSION 2u
#define AGAIN 0x01u       /* the file may have changed since and look the same */
#define PROVISIONAL 0x02u /* UIDs are not all in the file */

struct cursor {
	uint8_t version, flags, keyword_count, zero;
	uint32_t uidvalidity, uidlast, names;
	uint64_t epoch;
	struct mbx_print print;
};
_Static_assert(sizeof(struct cursor) == MORTISE_CURSOR_MAX, "a cursor has to fit, and has no holes");

/* Of the first `count` keywords. */
static uint32_t names_sum(const struct mbx_header *h, size_t count)
{
	uint32_t sum = 2166136261u;

	for (size_t i = 0; i < count; i++) {
		for (const char *p = h->names[i]; *p != '\0'; p++)
			sum = (sum ^ (unsigned char)*p) * 16777619u;
		sum = (sum ^ h->slots[i]) * 16777619u;
	}
	return sum;
}

static void cursor_write(const struct mbx_box *b, struct mortise_cursor *cursor)
{
	const struct mbx_known *k = &b->known;
	struct cursor c = {.version = CURSOR_VERSION,
	    .flags = (k->racy ? AGAIN : 0) | (k->provisional ? PROVISIONAL : 0),
	    .keyword_count = (uint8_t)b->header.keyword_count,
	    .uidvalidity = b->uidvalidity,
	    .uidlast = b->uidlast,
	    .names = names_sum(&b->header, b->header.keyword_count),
	    .epoch = k->epoch,
	    .print = k->print};

	memcpy(cursor->data, &c, sizeof c);
	cursor->size = sizeof c;
}

static bool cursor_read(const struct mortise_cursor *cursor, struct cursor *c)
{
	if (cursor->size != sizeof *c)
		return false;
	memcpy(c, cursor->data, sizeof *c);
	return c->version == CURSOR_VERSION;
}

/* ---- telling ---- */

static int tell(const struct mbx_box *b, const struct mortise_sink *sink, const struct mbx_record *r,
    int (*how)(void *engine, const struct mortise_message *m))
{
	struct mortise_message m = {.size = sizeof m,
	    .uid = r->uid,
	    .flags = mbx_flags_from(r->flags),
	    .internal_date = r->date,
	    .zone = r->zone,
	    .octets = r->size};

	for (size_t i = 0; i < b->header.keyword_count; i++)
		if (r->keywords >> b->header.slots[i] & 1)
			m.keywords |= UINT64_C(1) << i;
	mbx_locator_make(r, &m.locator_size, m.locator);
	return how(sink->engine, &m);
}

static int tell_keywords(const struct mbx_box *b, const struct mortise_sink *sink)
{
	const char *names[MBX_KEYWORDS];

	for (size_t i = 0; i < b->header.keyword_count; i++)
		names[i] = b->header.names[i];
	return sink->keywords(sink->engine, names, b->header.keyword_count);
}

static int tell_added(const struct mbx_box *b, const struct mortise_sink *sink)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->count; i++)
		r = tell(b, sink, &b->records[i], sink->added);
	return r;
}

static int compare_own(const void *x, const void *y)
{
	const struct mbx_own_change *a = x, *b = y;

	if (a->uid != b->uid)
		return a->uid < b->uid ? -1 : 1;
	return (a->gone ? 0 : 1) - (b->gone ? 0 : 1);
}

/* What changed through this box of messages in the first `old` octets. */
static int tell_own(
    struct mortise_call *call, struct mbx_box *b, uint64_t old, const struct mortise_sink *sink)
{
	struct mbx_own_change *list = b->own.list;
	uint32_t last = 0;
	int r = 0;

	if (b->own.count > 1)
		qsort(list, b->own.count, sizeof *list, compare_own);
	for (size_t i = 0; r == 0 && i < b->own.count; i++) {
		struct mbx_record m;
		const char *what;
		uint64_t bad;
		if (list[i].offset >= old || list[i].uid == last)
			continue;
		last = list[i].uid;
		if (list[i].gone) {
			r = sink->vanished(sink->engine, last);
			continue;
		}
		r = mbx_line_read(call, b, list[i].offset, b->known.print.size, &m, &bad, &what);
		if (r == 1)
			r = mbx_damaged(call, b, bad, what);
		m.uid = last;
		if (r == 0)
			r = tell(b, sink, &m, sink->changed);
	}
	return r;
}

/* ---- sync ---- */

enum how { ALL, OWN, TAIL };

/* How to find out what changed since c, the header and b->known being of now. */
static enum how how_to_sync(const struct mbx_box *b, const struct cursor *c, const struct mbx_print *now)
{
	const struct mbx_header *h = &b->header;

	if (c == NULL || c->flags != 0 || c->print.dev != now->dev || c->print.ino != now->ino ||
	    c->uidvalidity != h->uidvalidity || c->uidlast > h->uidlast || c->print.size > now->size ||
	    c->print.size < MBX_HEADER || c->keyword_count > h->keyword_count ||
	    names_sum(h, c->keyword_count) != c->names || h->note != '\0' || !mbx_known_holds(b, now))
		return ALL;
	if (mbx_print_same(&b->own.from, &c->print) && mbx_print_same(&b->own.to, now))
		return OWN;
	return c->epoch != 0 && c->epoch == b->known.epoch ? TAIL : ALL;
}

static int sync_part(struct mortise_call *call, struct mbx_box *b, const struct cursor *c, enum how how,
    const struct mortise_sink *sink)
{
	int r = mbx_scan_tail(call, b, c->print.size, c->uidlast);

	if (r != 0)
		return r;
	if (c->keyword_count != b->header.keyword_count)
		r = tell_keywords(b, sink);
	if (r == 0 && how == OWN)
		r = tell_own(call, b, c->print.size, sink);
	return r != 0 ? r : tell_added(b, sink);
}

static int sync_all(struct mortise_call *call, struct mbx_box *b, const struct mortise_sink *sink)
{
	int r = mbx_scan(call, b);

	if (r == 0)
		r = sink->full_scan(sink->engine, b->uidvalidity);
	if (r == 0)
		r = tell_keywords(b, sink);
	return r != 0 ? r : tell_added(b, sink);
}

static int sync_locked(
    struct mortise_call *call, struct mbx_box *b, const struct cursor *c, const struct mortise_sink *sink)
{
	struct mbx_print now;
	enum how how;
	int r = mbx_change_begin(call, b);

	if (r != 0 || (r = mbx_print_of(call, b, &now)) != 0)
		return r;
	how = how_to_sync(b, c, &now);
	r = how != ALL ? sync_part(call, b, c, how, sink) : 1;
	if (r == 1)
		r = sync_all(call, b, sink);
	if (r == 0)
		r = sink->uidnext(sink->engine, b->uidlast < MBX_UID_LAST ? b->uidlast + 1 : UINT32_MAX);
	mbx_window_reset(b);
	mbx_records_free(b);
	b->own.count = 0;
	b->own.from = b->own.to = r == 0 && !b->known.racy ? b->known.print : (struct mbx_print){.dev = 0};
	return r;
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
	if (known && mbx_print_same(&now, &c.print) && !(c.flags & AGAIN) &&
	    (b->read_only || !(c.flags & PROVISIONAL)))
		return 0;
	if ((r = mbx_lock_need(call, b, &taken)) != 0)
		return r;
	r = sync_locked(call, b, known ? &c : NULL, sink);
	if (r == 0)
		cursor_write(b, cursor);
	if (taken)
		mbx_lock_release(b);
	return r;
}
