/*
 * What changed, and what of it is believed.
 *
 * Belief. A message's UID, flags and keywords stand in its own header, where its sender wrote too. X-UID
 * counts
 *   1. directly behind the From line. Only we (and c-client, appending) write there; a delivery puts
 *      its trace fields first.
 *   2. behind a padded X-Keywords, as c-client leaves it when it rewrites a message. A sender can
 *      imitate that, so
 * only what fits is believed: the file's beginning says V and L, and the UID is above the one before and
 * not above L. It must also be above the mark of an expunge (status.h) and, in messages that arrived
 * since the last sync, above L as it was then. So no UID is left that a sender could claim.
 *
 * Status, X-Status and X-Keywords are believed in messages whose X-UID is (whoever wrote them: other mail
 * programs do), and when they stand directly behind the From line. Not so in mail as it was delivered:
 * its flags are nobody's but the sender's. One exception, for mailboxes that come from other programs:
 * where V and L were never written and which is not an INBOX, flags count. Option `believe` makes all of
 * this stricter, or as lax as c-client.
 *
 * UIDs. Who is not believed gets the next UID, L+1; UIDVALIDITY stays, since no UID is used twice. A new
 * UIDVALIDITY comes only with a file that has none (and then the engine's, if it knew one and the file
 * was cut down), or when UIDs run out.
 *
 * Making it stick. A mailbox that may be written is given blocks right here: the file is rewritten from
 * the first message without a believed UID. That is nearly always what has just arrived at its end.
 */
#include "box.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define CURSOR_VERSION 2u
#define CURSOR_SIZE 64u
#define CURSOR_RACY 0x10u
#define CURSOR_UNSETTLED 0x20u
#define CURSOR_UNLISTED 0x40u

/* ---- believing ---- */

void unix_resolve_begin(struct unix_resolve *r, struct unix_box *b)
{
	memset(r, 0, sizeof *r);
	r->box = b;
	r->limit = b->base.known ? b->base.uidlast : 0;
	r->uidlast = r->limit > b->uidlast ? r->limit : b->uidlast;
	if (b->base.pseudo)
		r->floor = b->base.mark;
}

static bool place_believed(const struct unix_resolve *r, enum unix_place place)
{
	switch (place) {
	case UNIX_PLACE_HEAD:
		return true;
	case UNIX_PLACE_TAIL:
		return r->box->options->believe >= UNIX_BELIEVE_BLOCKS;
	case UNIX_PLACE_LOOSE:
		return r->box->options->believe == UNIX_BELIEVE_ALL;
	default:
		return false;
	}
}

static uint64_t word_bits(struct unix_box *b, const char *words, size_t size)
{
	const char *end = words + size, *word;
	uint64_t bits = 0;
	size_t n;

	while ((word = unix_next_word(&words, end, &n)) != NULL) {
		/* A word the file's list does not have is not lost: the list grows. */
		int bit = unix_keyword_add(&b->keywords, word, n, b->options->keyword_limit);
		if (bit >= 0)
			bits |= UINT64_C(1) << bit;
	}
	return bits;
}

/* Flags of a message whose UID is not believed. */
static void new_flags(struct unix_resolve *r, const struct unix_scanned *m, struct unix_resolved *out)
{
	struct unix_box *b = r->box;
	bool foreign = b->options->believe == UNIX_BELIEVE_ALL ||
	               (b->options->believe == UNIX_BELIEVE_BLOCKS && !b->base.known && !b->place->inbox);

	out->letters = foreign ? m->letters : m->head_letters;
	out->keywords = word_bits(b, m->words, foreign ? m->words_size : m->head_words_size);
}

/* The UID of a message that is gone, also where another program took its X-UID; or 0. */
static uint32_t gone_uid(const struct unix_resolve *r, const struct unix_scanned *m)
{
	uint32_t uid = unix_gone_code(r->box->base.uidvalidity, m->gone_code);

	if (!m->gone || !r->box->base.known || (m->uid != 0 && m->uid != uid))
		return 0;
	return uid > r->previous && uid <= r->limit ? uid : 0;
}

void unix_resolve(struct unix_resolve *r, const struct unix_scanned *m, struct unix_resolved *out)
{
	struct unix_box *b = r->box;

	memset(out, 0, sizeof *out);
	if ((out->uid = gone_uid(r, m)) != 0) {
		out->gone = out->stored = true;
		r->previous = out->uid;
		return;
	}
	if (b->base.known && m->uid > r->previous && m->uid <= r->limit && m->uid > r->floor &&
	    place_believed(r, m->uid_place)) {
		out->letters = m->letters;
		out->keywords = word_bits(b, m->words, m->words_size);
		out->uid = r->previous = m->uid;
		out->stored = !r->renumber;
		if (m->mark > r->floor)
			r->floor = m->mark;
	} else if (unix_torn(r, m)) {
		out->torn = true;
		return;
	} else
		new_flags(r, m, out);
	if (out->stored)
		return;
	out->uid = r->uidlast < UNIX_UID_LAST ? ++r->uidlast : 0;
	if (!r->renumber && out->uid != 0)
		r->previous = out->uid;
}

void unix_block_of(const struct unix_box *b, const struct unix_scanned *m, const struct unix_resolved *is,
    struct unix_block *block)
{
	*block = (struct unix_block){.table = &b->keywords,
	    .base = unix_holds_base(b, m->start),
	    .uidvalidity = b->uidvalidity,
	    .uidlast = b->uidlast,
	    .token = b->base.token,
	    .letters = is->letters,
	    .keywords = is->keywords,
	    .uid = is->uid,
	    .mark = m->mark,
	    .gone = is->gone};
}

/* ---- the cursor ---- */

struct known {
	bool set;
	bool racy;      /* the file's time stamps were not older than the clock's step */
	bool unsettled; /* UIDs were told that are not in the file */
	bool unlisted;  /* so were keywords: a box that has not seen them would number them otherwise */
	struct unix_print print;
	uint32_t uidvalidity, uidlast, token;
	uint64_t last;  /* where the last message begins, */
	uint32_t check; /* and what its From line is */
	uint32_t gone;  /* kilobytes of expunged messages that are still there */
};

static void cursor_write(const struct known *k, struct mortise_cursor *c)
{
	unsigned char *p = c->data;

	unix_put(&p,
	    CURSOR_VERSION | (k->racy ? CURSOR_RACY : 0) | (k->unsettled ? CURSOR_UNSETTLED : 0) |
	        (k->unlisted ? CURSOR_UNLISTED : 0),
	    1);
	unix_put(&p, k->print.dev, 4);
	unix_put(&p, k->print.ino, 8);
	unix_put(&p, k->print.size, 8);
	unix_put(&p, (uint64_t)k->print.mtime, 8);
	unix_put(&p, (uint64_t)k->print.ctime, 8);
	unix_put(&p, k->uidvalidity, 4);
	unix_put(&p, k->uidlast, 4);
	unix_put(&p, k->token, 3);
	unix_put(&p, k->last, 8);
	unix_put(&p, k->check, 4);
	unix_put(&p, k->gone, 4);
	c->size = (uint8_t)(p - c->data);
}

static void cursor_read(const struct mortise_cursor *c, struct known *k)
{
	const unsigned char *p = c->data;
	unsigned head;

	memset(k, 0, sizeof *k);
	if (c->size != CURSOR_SIZE)
		return;
	head = (unsigned)unix_get(&p, 1);
	if ((head & 0x0f) != CURSOR_VERSION)
		return;
	k->set = true;
	k->racy = head & CURSOR_RACY;
	k->unsettled = head & CURSOR_UNSETTLED;
	k->unlisted = head & CURSOR_UNLISTED;
	k->print.dev = (uint32_t)unix_get(&p, 4);
	k->print.ino = unix_get(&p, 8);
	k->print.size = unix_get(&p, 8);
	k->print.mtime = (int64_t)unix_get(&p, 8);
	k->print.ctime = (int64_t)unix_get(&p, 8);
	k->uidvalidity = (uint32_t)unix_get(&p, 4);
	k->uidlast = (uint32_t)unix_get(&p, 4);
	k->token = (uint32_t)unix_get(&p, 3);
	k->last = unix_get(&p, 8);
	k->check = (uint32_t)unix_get(&p, 4);
	k->gone = (uint32_t)unix_get(&p, 4);
}

/* ---- making UIDs stick ---- */

struct stamping {
	struct unix_resolve resolve;
	uint32_t uidlast, token;
	bool base_due; /* the message that held V and L goes */
};

static int stamp_one(void *arg, const struct unix_scanned *m, struct unix_verdict *v)
{
	struct stamping *s = arg;
	struct unix_box *b = s->resolve.box;
	struct unix_resolved is;
	struct unix_block block;

	unix_resolve(&s->resolve, m, &is);
	unix_block_of(b, m, &is, &block);
	block.base = unix_holds_base(b, m->start) || s->base_due;
	if (is.torn || is.gone) {
		s->base_due = block.base;
		v->action = UNIX_DROP;
		return 0;
	}
	s->base_due = false;
	if (is.stored && !block.base) {
		v->action = UNIX_KEEP;
		return 0;
	}
	block.uidlast = s->uidlast;
	block.token = s->token;
	/* In a message that was not ours it means nothing. */
	block.mark = is.stored ? m->mark : 0;
	v->action = UNIX_STAMP;
	v->block_size = unix_block_write(v->block, &block, 0);
	return is.uid != 0 ? 0 : MORTISE_E_LIMIT;
}

/* The highest UID there will be: L is written before the last message is reached. */
static int count_uids(struct mortise_call *call, struct unix_box *b, uint64_t from, struct stamping *st)
{
	struct unix_scanned *m = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *m);
	struct unix_resolve resolve = st->resolve;
	struct unix_print now;
	struct unix_scanner s;
	int r = unix_box_print(call, b, &now);

	if (r != 0 || (r = unix_scanner(call, b, from, now.size, &s)) != 0)
		return r;
	while ((r = unix_scan_next(&s, m)) == 1) {
		struct unix_resolved is;
		unix_resolve(&resolve, m, &is);
	}
	if (r < 0)
		r = unix_scan_fault(call, b, &s, r);
	unix_scan_close(&s);
	st->uidlast = resolve.uidlast;
	return r;
}

/*
 * Blocks for everyone from `from` on who has no believed UID, then L at the file's beginning. A crash between
 * the two leaves UIDs above L; they are not believed, and the same are given again.
 */
static int stamp(
    struct mortise_call *call, struct unix_box *b, uint64_t from, const struct unix_resolve *resolve)
{
	struct stamping st = {.resolve = *resolve, .token = unix_token(call, b->base.token)};
	int r;

	if (!b->base.known && !b->base.pseudo && from != b->base.start)
		return call->host->fault(call, MORTISE_E_INTERNAL, "%s has no UIDVALIDITY", b->place->name);
	if (unix_holds_base(b, from) && (r = count_uids(call, b, from, &st)) != 0)
		return r;
	if (resolve->renumber && b->base.pseudo) {
		/* No UID may stand under the old UIDVALIDITY, not even after a crash. */
		if ((r = count_uids(call, b, from, &st)) != 0)
			return r;
		b->uidlast = st.uidlast;
		if ((r = unix_base_write(call, b, true)) != 0 || (r = unix_sync_file(call, b)) != 0)
			return r;
	}
	if ((r = unix_rewrite(call, b, from, stamp_one, &st, NULL)) != 0)
		return r;
	b->uidlast = st.resolve.uidlast;
	if (!unix_holds_base(b, from) && (r = unix_base_write(call, b, false)) != 0)
		return r;
	unix_times(b, false);
	return unix_base_read(call, b);
}

/* Not being able to write is no reason not to read. */
static bool soft(int code)
{
	return code == MORTISE_E_QUOTA || code == MORTISE_E_TOOBIG || code == MORTISE_E_PERM ||
	       code == MORTISE_E_IO;
}

/* ---- one sync ---- */

struct sync {
	struct mortise_call *call;
	struct unix_box *b;
	const struct mortise_sink *sink;
	struct known was;
	struct unix_resolve resolve;
	struct unix_scanned *m;
	uint64_t last; /* message told last */
	uint32_t check;
	uint32_t changed_up_to; /* messages with UIDs up to this are known to the engine */
	bool may_stamp, unsettled;
	bool grown; /* nothing but new messages at the end */
	bool moved; /* what was told has other locators now */
	bool whole; /* all of the file is looked at: what is gone is counted */
};

static int tell_keywords(struct sync *s)
{
	const struct unix_keywords *k = &s->b->keywords;
	const char *names[UNIX_KEYWORDS_MAX];

	if (s->sink == NULL || k->count == s->b->told_keywords)
		return 0;
	for (size_t i = 0; i < k->count; i++)
		names[i] = k->names[i];
	s->b->told_keywords = k->count;
	return s->sink->keywords(s->sink->engine, names, k->count);
}

static int tell(struct sync *s, const struct unix_resolved *is)
{
	const struct unix_scanned *m = s->m;
	struct mortise_message out = {.size = sizeof out,
	    .uid = is->uid,
	    .flags = unix_flags_of_letters(is->letters),
	    .keywords = is->keywords,
	    .internal_date = m->time,
	    .zone = m->zone,
	    .octets = m->octets};
	int r = tell_keywords(s);

	if (r != 0)
		return r;
	unix_locator_write(m, is->stored, &out);
	s->last = m->start;
	s->check = m->from_check;
	if (!is->stored)
		s->unsettled = true;
	if (s->sink == NULL)
		return 0;
	if (is->uid <= s->changed_up_to)
		return s->sink->changed(s->sink->engine, &out);
	return s->sink->added(s->sink->engine, &out);
}

/* No UIDs are left. Its message stays out of sight until the next sync has renumbered the mailbox. */
static void exhausted(struct sync *s)
{
	struct unix_box *b = s->b;

	if (!b->renumber)
		s->call->host->log(s->call, MORTISE_LOG_WARN,
		    "%s has used up its UIDs; it gets a new UIDVALIDITY", b->place->name);
	b->renumber = true;
	s->unsettled = true;
}

/* The message that was just scanned has no UID in the file. 0: it has now, scan again; 1: it will not. */
static int settle_from(struct sync *s, const struct unix_resolve *before)
{
	uint64_t from = s->m->start;
	int r;

	if (!s->may_stamp)
		return 1;
	s->may_stamp = false;
	s->b->base_moved = 0;
	r = stamp(s->call, s->b, from, before);
	s->b->done = false;
	if (soft(r)) {
		if (!s->b->unsettled)
			s->call->host->log(s->call, MORTISE_LOG_WARN,
			    "UIDs of new messages in %s cannot be written yet", s->b->place->name);
		r = unix_base_read(s->call, s->b);
	}
	if (r != 0)
		return r;
	if (s->b->base_moved != 0) {
		s->moved = true;
		s->m->start = (uint64_t)((int64_t)s->m->start + s->b->base_moved);
	}
	s->resolve = *before;
	s->resolve.limit = s->b->base.known ? s->b->base.uidlast : 0;
	return 0;
}

/* Tells the messages from `from` on, up to `end` (UINT64_MAX: all). */
static int tell_range(struct sync *s, uint64_t from, uint64_t end)
{
	struct unix_scanner scan;
	struct unix_print now;
	int r = unix_box_print(s->call, s->b, &now);

	if (r != 0 || from >= now.size)
		return r;
	if ((r = unix_scanner(s->call, s->b, from, now.size, &scan)) != 0)
		return r;
	while (scan.base + scan.at < end && (r = unix_scan_next(&scan, s->m)) == 1) {
		struct unix_resolve before = s->resolve;
		struct unix_resolved is;

		unix_resolve(&s->resolve, s->m, &is);
		if (is.uid == 0 && !is.torn) {
			exhausted(s);
			continue;
		}
		if (!is.stored) {
			r = settle_from(s, &before);
			if (r == 0) {
				uint64_t again = s->m->start;
				unix_scan_close(&scan);
				if ((r = unix_box_print(s->call, s->b, &now)) != 0 ||
				    (r = unix_scanner(s->call, s->b, again, now.size, &scan)) != 0)
					return r;
				continue;
			}
			if (r < 0)
				break;
		}
		/* What cannot be taken out now is not shown. */
		if (is.torn)
			s->unsettled = true;
		else if (is.gone)
			s->b->gone += s->whole ? s->m->next - s->m->start : 0;
		else if ((r = tell(s, &is)) != 0)
			break;
	}
	if (r < 0)
		r = unix_scan_fault(s->call, s->b, &scan, r);
	unix_scan_close(&scan);
	return r < 0 ? r : 0;
}

/* ---- which way ---- */

static uint32_t next_uidvalidity(const struct unix_print *p)
{
	int64_t seconds = p->ctime / 1000000000;

	return seconds <= 0 ? 1 : seconds > UINT32_MAX ? UINT32_MAX : (uint32_t)seconds;
}

/*
 * V and L to go on with. A file that has none gets the time of its last change, which rises. One that had
 * some (as the cursor knows) and was cut down keeps them.
 */
static void settle_numbers(struct sync *s, const struct unix_print *now)
{
	struct unix_box *b = s->b;
	const struct known *was = &s->was;
	uint32_t v = b->uidvalidity != 0 ? b->uidvalidity : next_uidvalidity(now);

	if (b->base.known)
		v = b->base.uidvalidity;
	else if (was->set && (!was->unsettled || s->grown || unix_print_same(now, &was->print)))
		v = was->uidvalidity;
	else if (was->set) {
		/* UIDs were told that were not in the file, and the file is another one. */
		v = next_uidvalidity(now);
		if (v <= was->uidvalidity && was->uidvalidity < UINT32_MAX)
			v = was->uidvalidity + 1;
	}
	b->uidvalidity = v;
	b->uidlast = b->base.known ? b->base.uidlast : 0;
	if (was->set && !was->unsettled && was->uidvalidity == v && was->uidlast > b->uidlast)
		b->uidlast = was->uidlast;
	unix_resolve_begin(&s->resolve, b);
}

/* A From line, the one that was there, is at the last message's place, and a new one where the end was. */
static bool boundary(struct sync *s, uint64_t size)
{
	struct unix_scanner scan;
	bool good;

	if (unix_scanner(s->call, s->b, s->was.last, size, &scan) != 0)
		return false;
	good = s->was.last == s->was.print.size ||
	       (unix_scan_header(&scan, s->m) == 1 && s->m->from_check == s->was.check);
	if (good) {
		unix_scan_seek(&scan, s->was.print.size - 1);
		good = unix_scan_begin(&scan) == 0 && scan.position > s->was.print.size - 1;
		unix_scan_seek(&scan, scan.position);
		good = good && unix_scan_header(&scan, s->m) == 1;
	}
	unix_scan_close(&scan);
	return good;
}

static bool only_grown(struct sync *s, const struct unix_print *now)
{
	const struct known *was = &s->was;
	const struct unix_base *base = &s->b->base;

	if (!was->set || s->b->renumber || was->print.dev != now->dev || was->print.ino != now->ino ||
	    was->print.size == 0 || now->size <= was->print.size)
		return false;
	/* Without a token, a file that no program of our kind has written to yet can only have grown. */
	if (base->known
	        ? base->token == 0 || base->token != was->token || base->uidvalidity != was->uidvalidity
	        : !was->unsettled || was->token != 0)
		return false;
	return boundary(s, now->size);
}

static bool only_ours(const struct sync *s, const struct unix_print *now)
{
	const struct unix_trail *t = &s->b->trail;

	return t->valid && s->was.set && !s->was.unsettled && !s->b->renumber && s->b->base.known &&
	       s->b->base.uidvalidity == s->was.uidvalidity && unix_print_same(&t->before, &s->was.print) &&
	       unix_print_same(&t->after, now);
}

static int sync_grown(struct sync *s, uint64_t start)
{
	/* UIDs that were told and are not in the file stay as they are: nothing here is to be given one
	 * again. */
	if (s->was.unsettled) {
		s->unsettled = true;
		s->resolve.uidlast = s->was.uidlast;
	}
	if (s->was.uidlast > s->resolve.floor)
		s->resolve.floor = s->was.uidlast;
	s->resolve.previous = s->was.uidlast;
	if (s->b->gone == 0)
		s->b->gone = (uint64_t)s->was.gone * 1024;
	return tell_range(s, start, UINT64_MAX);
}

static int order_uid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Flags that were changed in place: the message is as its locator says. */
static int tell_one_changed(struct sync *s, struct unix_scanner *scan, struct unix_target *t)
{
	const struct unix_locator *l = &t->at;
	struct unix_resolved is;
	int r = unix_look_at(s->call, s->b, scan, t, s->m);

	if (r != 1)
		return r;
	s->resolve.previous = 0;
	unix_resolve(&s->resolve, s->m, &is);
	if (!is.stored || is.gone)
		return 0;
	s->m->header_end = l->start + l->header;
	s->m->text_end = l->start + l->text;
	s->m->next = l->start + l->total;
	s->m->octets = l->octets;
	s->m->strays = l->strays;
	return tell(s, &is);
}

static int tell_changed(struct sync *s)
{
	struct unix_trail *t = &s->b->trail;
	const uint64_t last = s->last;
	const uint32_t check = s->check;
	struct unix_scanner scan;
	struct unix_print now;
	int r;

	if (t->changed_count == 0)
		return 0;
	if ((r = unix_box_print(s->call, s->b, &now)) != 0 ||
	    (r = unix_scanner(s->call, s->b, 0, now.size, &scan)) != 0)
		return r;
	unix_targets_sort(t->changed, t->changed_count);
	for (size_t i = 0; r == 0 && i < t->changed_count && t->changed[i].at.start < t->rescan; i++)
		if (i == 0 || t->changed[i].at.start != t->changed[i - 1].at.start)
			r = tell_one_changed(s, &scan, &t->changed[i]);
	unix_scan_close(&scan);
	s->last = last;
	s->check = check;
	return r;
}

/* Nothing but what was done through this box. */
static int sync_ours(struct sync *s)
{
	struct unix_trail *t = &s->b->trail;
	int r = 0;

	s->changed_up_to = s->was.uidlast;
	/* Where the last message was there is another one, or the end. */
	s->last = s->was.last < t->rescan ? s->was.last : UINT64_MAX;
	s->check = s->was.check;
	if (t->vanished_count > 1)
		qsort(t->vanished, t->vanished_count, sizeof *t->vanished, order_uid);
	for (size_t i = 0; r == 0 && s->sink != NULL && i < t->vanished_count; i++)
		r = s->sink->vanished(s->sink->engine, t->vanished[i]);
	if (r == 0)
		r = tell_changed(s);
	s->resolve.previous = 0;
	if (r == 0 && t->rescan != UINT64_MAX)
		r = tell_range(s, t->rescan > unix_first(s->b) ? t->rescan : unix_first(s->b), UINT64_MAX);
	return r;
}

/* Used up UIDs: everyone gets a new one, under a new UIDVALIDITY. */
static int renumber(struct sync *s)
{
	struct unix_box *b = s->b;
	uint32_t now = (uint32_t)time(NULL);
	int r;

	if (!b->renumber || !s->may_stamp)
		return 0;
	/* Who is gone is known by the old numbers. */
	if ((r = unix_compact(s->call, b)) != 0)
		return r;
	b->uidvalidity = b->uidvalidity < now ? now : b->uidvalidity + 1;
	b->uidlast = 0;
	unix_resolve_begin(&s->resolve, b);
	s->resolve.uidlast = 0;
	s->resolve.renumber = true;
	r = stamp(s->call, b, unix_first(b), &s->resolve);
	if (r == 0) {
		b->renumber = false;
		unix_resolve_begin(&s->resolve, b);
	}
	return r;
}

static int sync_full(struct sync *s)
{
	struct unix_box *b = s->b;
	struct unix_print now;
	int r = renumber(s);

	if (r != 0 && !soft(r))
		return r;
	if (s->sink != NULL && (r = s->sink->full_scan(s->sink->engine, b->uidvalidity)) != 0)
		return r;
	b->told_keywords = 0;
	s->whole = true;
	b->gone = 0;
	if ((r = tell_keywords(s)) != 0 || (r = unix_box_print(s->call, b, &now)) != 0)
		return r;
	if (now.size == 0 && s->may_stamp && b->uidlast > 0) {
		/* It was emptied by somebody who does not know of UIDs: write down where they stand. */
		if ((r = unix_write_pseudo(s->call, b)) != 0 && !soft(r))
			return r;
		return 0;
	}
	return tell_range(s, unix_first(b), UINT64_MAX);
}

/* Read by mail software: where the file system does not note that itself, and mailers would say "new mail".
 */
static void mark_read(struct unix_box *b)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
	struct stat st;

	if (b->read_only || fstat(b->fd, &st) != 0)
		return;
	if (st.st_mtim.tv_sec > st.st_atim.tv_sec ||
	    (st.st_mtim.tv_sec == st.st_atim.tv_sec && st.st_mtim.tv_nsec > st.st_atim.tv_nsec))
		(void)!futimens(b->fd, times);
}

static int sync_locked(struct sync *s, struct mortise_cursor *cursor)
{
	struct unix_box *b = s->b;
	struct unix_print now;
	struct known is;
	uint32_t last;
	uint64_t start;
	int r;

	b->done = false;
	if ((r = unix_box_print(s->call, b, &now)) != 0 || (r = unix_base_read(s->call, b)) != 0)
		return r;
	s->grown = only_grown(s, &now);
	start = s->m->start;
	settle_numbers(s, &now);
	s->may_stamp = unix_lock_writable(b);
	if (only_ours(s, &now))
		r = sync_ours(s);
	else if (s->grown && !(s->was.unsettled && s->may_stamp))
		r = sync_grown(s, start);
	else {
		s->last = now.size;
		r = sync_full(s);
	}
	if (r == 0 && s->moved) {
		s->changed_up_to = UINT32_MAX;
		s->whole = true;
		b->gone = 0;
		unix_resolve_begin(&s->resolve, b);
		r = tell_range(s, unix_first(b), UINT64_MAX);
	}
	if (r != 0)
		return r;
	mark_read(b);
	if ((r = unix_box_print(s->call, b, &now)) != 0)
		return r;
	memset(&is, 0, sizeof is);
	is.racy = !unix_calm(s->call, b, &now);
	is.print = now;
	is.unlisted = b->keywords.count > b->base.listed;
	is.unsettled = s->unsettled;
	is.uidvalidity = b->uidvalidity;
	is.uidlast = s->unsettled ? s->resolve.uidlast : b->uidlast;
	is.token = b->base.token;
	is.last = s->last < now.size ? s->last : now.size;
	is.check = s->check;
	is.gone = b->gone / 1024 < UINT32_MAX ? (uint32_t)((b->gone + 1023) / 1024) : UINT32_MAX;
	cursor_write(&is, cursor);
	if (s->sink != NULL)
		unix_trail_clear(b);
	b->unsettled = s->unsettled;
	b->seen = *cursor;
	b->seen_print = now;
	b->seen_serial = b->lock.serial;
	if (s->sink == NULL)
		return 0;
	last = s->resolve.uidlast > b->uidlast ? s->resolve.uidlast : b->uidlast;
	return s->sink->uidnext(s->sink->engine, last + 1);
}

/* The file is as the cursor says; so is what is to be known of it. */
static bool as_known(const struct unix_box *b, const struct known *was)
{
	if (was->racy || (b->renumber && !b->read_only))
		return false;
	if ((was->unsettled || b->unsettled) && unix_lock_writable(b))
		return false;
	return !was->unlisted || b->keywords.count > b->base.listed;
}

/* The cursor may be another box's. */
static void known_as(struct unix_box *b, const struct known *was, const struct mortise_cursor *cursor)
{
	b->uidvalidity = was->uidvalidity;
	b->uidlast = was->uidlast;
	b->unsettled = was->unsettled;
	b->gone = (uint64_t)was->gone * 1024;
	b->seen = *cursor;
	b->seen_print = was->print;
	b->seen_serial = b->lock.serial;
}

int unix_op_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	struct unix_box *b = unix_box_of(box);
	struct sync s = {.call = call, .b = b, .sink = sink};
	bool taken;
	int r;

	cursor_read(cursor, &s.was);
	r = unix_box_look(call, b, s.was.set ? &s.was.print : NULL);
	if (r < 0)
		return r;
	if (r == 0 && as_known(b, &s.was)) {
		known_as(b, &s.was, cursor);
		return 0;
	}
	r = unix_lock_need(call, b, b->read_only ? MORTISE_LOCK_SHARED : MORTISE_LOCK_EXCLUSIVE, &taken);
	if (r != 0)
		return r;
	s.m = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *s.m);
	r = sync_locked(&s, cursor);
	if (taken)
		unix_lock_release(call, b);
	return r;
}

/*
 * For changes that come without a sync: the same, with nobody to tell. What the box itself saw last is its
 * cursor. When there was something to see, the engine's own cursor does not fit the trail any more.
 */
int unix_settle(struct mortise_call *call, struct unix_box *b)
{
	struct sync s = {.call = call, .b = b};
	size_t told = b->told_keywords;
	struct unix_print now;
	int r;

	cursor_read(&b->seen, &s.was);
	r = unix_box_look(call, b, s.was.set ? &s.was.print : NULL);
	/* Nothing but what was done through this box. */
	if (r == 1 && s.was.set && !s.was.unsettled && b->trail.valid && unix_box_print(call, b, &now) == 0 &&
	    unix_print_same(&b->trail.after, &now) && unix_print_same(&b->trail.before, &s.was.print))
		return 0;
	/* Under one lock nobody else can have changed it, whatever the clock says. */
	if (r < 0 || (r == 0 && (b->seen_serial == b->lock.serial || (!s.was.racy && !s.was.unsettled))))
		return r;
	s.m = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *s.m);
	r = sync_locked(&s, &b->seen);
	b->told_keywords = told;
	b->trail.valid = false;
	return r;
}
