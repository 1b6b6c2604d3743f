/*
 * rows.c: from the index: its rows become records, what others committed is taken in.
 */
#include "log/log.h"
#include "store/driver.h"
#include "store/sync.h"
#include "base/banned.h"

struct index_row row_of(const struct message *m, bool unseen_here)
{
	return (struct index_row){.uid = m->uid,
	    .flags = (uint16_t)((m->flags & MORTISE_FLAGS_SYSTEM) | (unseen_here ? MORTISE_FLAG_RECENT : 0)),
	    .zone = (int16_t)m->zone,
	    .keywords = m->keywords,
	    .internal_date = m->internal_date,
	    .octets = m->octets,
	    .modseq = m->modseq,
	    .save_date = m->save_date,
	    .locator_size = m->locator_size,
	    .identity_size = m->identity_size,
	    .locator = m->locator};
}

/* What a row says; what only this session knows of the message stays. */
static void take_row(struct message *m, const struct index_row *row)
{
	m->uid = row->uid;
	m->flags = row->flags & MORTISE_FLAGS_SYSTEM;
	m->zone = row->zone;
	m->keywords = row->keywords;
	m->internal_date = row->internal_date;
	m->octets = row->octets;
	m->modseq = row->modseq;
	m->save_date = row->save_date;
	m->locator_size = row->locator_size;
	m->identity_size = row->identity_size;
	memcpy(m->locator, row->locator, row->locator_size);
}

static bool unseen_row(const struct index_row *row)
{
	return (row->flags & MORTISE_FLAG_RECENT) != 0;
}

static struct record *new_record(struct mailbox *m, const struct index_row *row)
{
	struct record *r = record_new(m);

	take_row(&r->m, row);
	r->m.recent = r->unseen_here = unseen_row(row);
	return r;
}

/* Octets of messages that were not measured count when they are; a head says only whether there are any. */
static struct counts counts_of(const struct index_head *h)
{
	return (struct counts){.messages = h->messages,
	    .unseen = h->unseen,
	    .deleted = h->deleted,
	    .recent = h->recent,
	    .first_unseen = h->first_unseen,
	    .unmeasured = h->octets == MORTISE_SIZE_UNKNOWN ? 1 : 0,
	    .octets = h->octets == MORTISE_SIZE_UNKNOWN ? 0 : h->octets};
}

static void measure(struct mailbox *m)
{
	size_t i;

	m->counts.octets = 0;
	m->counts.unmeasured = 0;
	for (i = 0; i < m->records.n; i++)
		if (m->records.v[i]->m.octets == MORTISE_SIZE_UNKNOWN)
			m->counts.unmeasured++;
		else
			m->counts.octets += m->records.v[i]->m.octets;
}

static void adopt_head(struct mailbox *m, const struct index_head *h)
{
	m->generation = h->generation;
	m->anew = false;
	m->counts = counts_of(h);
	m->cursor = h->cursor;
	m->uidvalidity = h->uidvalidity;
	m->uidnext = h->uidnext;
	m->highest = h->highest;
	m->modseq = h->highestmodseq;
	m->vanished_since = h->vanished_since;
	m->counted_uids = h->counted_uids;
	keywords_adopt(m, h->keywords, h->keyword_count);
}

void mailbox_void(struct mailbox *m)
{
	size_t i;

	for (i = 0; i < m->records.n; i++)
		m->records.v[i]->m.expunged = true;
	records_drop_expunged(m);
	m->loaded = true;
	m->anew = true;
	m->counts = (struct counts){0};
	m->highest = 0;
	m->uidnext = 1;
	m->counted_uids = false;
	m->vanished_since = 0;
	m->cursor.size = 0;
	m->changes++;
}

/* The index has lost the mailbox. What is in memory is written again, with everything that changes next. */
static void index_lost(struct mailbox *m)
{
	log_msg(MSG_STORE_INDEX_LOST, "%s", m->target.place.name);
	m->generation = 0;
	if (m->loaded) {
		m->vanished_since = m->modseq;
		return;
	}
	mailbox_void(m);
}

/* ---- loading ---- */
static int load_row(void *arg, const struct index_row *row)
{
	struct mailbox *m = arg;

	*vec_push(&m->records) = new_record(m, row);
	return 0;
}

int records_load(struct mailbox *m, struct err *e)
{
	struct arena *a;
	struct index_head h;
	int r;

	if (m->loaded)
		return 0;
	if (m->generation == 0) {
		m->loaded = true;
		return 0;
	}
	a = arena_new("rows");
	vec_reserve(&m->records, m->counts.messages);
	r = index_load(m->index, m->number, a, &h, load_row, m, e);
	if (r == 0 && h.generation == 0) {
		index_lost(m);
		views_lost(m);
	} else if (r == 0) {
		m->changes += h.generation != m->generation ? 1 : 0;
		m->loaded = true;
		adopt_head(m, &h);
		measure(m);
		views_fill(m);
	}
	arena_free(&a);
	return r;
}

/* ---- what others committed ---- */
static int compare_row(void *arg, const struct index_row *row)
{
	struct sync *s = arg;
	struct mailbox *m = s->m;
	struct message next;
	struct record *r;

	while (s->position < m->records.n && m->records.v[s->position]->m.uid < row->uid)
		sync_stage_vanished(s, m->records.v[s->position++]);
	r = s->position < m->records.n ? m->records.v[s->position] : NULL;
	if (r == NULL || r->m.uid != row->uid) {
		if (row->uid > s->last) {
			*vec_push(&s->added) = new_record(m, row);
			s->last = row->uid;
		}
		return 0;
	}
	s->position++;
	next = r->m;
	take_row(&next, row);
	if (row->octets == MORTISE_SIZE_UNKNOWN)
		next.octets = r->m.octets;
	if (next.modseq != r->m.modseq || next.flags != r->m.flags || next.keywords != r->m.keywords ||
	    r->unseen_here != unseen_row(row) || next.octets != r->m.octets ||
	    next.locator_size != r->m.locator_size ||
	    memcmp(next.locator, r->m.locator, next.locator_size) != 0)
		sync_stage(s, r, &next, unseen_row(row));
	return 0;
}

/* Rows against records; both in order of UID. */
static int merge(struct mailbox *m, struct err *e)
{
	struct arena *a = arena_new("rows");
	struct index_head h;
	struct sync s;
	int r;

	sync_begin(&s, m);
	r = index_load(m->index, m->number, a, &h, compare_row, &s, e);
	if (r == 0 && h.generation == 0) {
		index_lost(m);
	} else if (r == 0 && h.uidvalidity != m->uidvalidity && m->told && m->highest != 0) {
		r = sync_gone(m, SYNC_REPLACED, e);
	} else if (r == 0) {
		while (s.position < m->records.n)
			sync_stage_vanished(&s, m->records.v[s.position++]);
		s.cursor = h.cursor;
		s.counts = counts_of(&h);
		s.modseq = h.highestmodseq;
		s.uidnext = h.uidnext;
		s.uidvalidity = h.uidvalidity;
		r = sync_apply(&s);
		adopt_head(m, &h);
		measure(m);
	}
	sync_end(&s);
	arena_free(&a);
	return r;
}

int mailbox_refresh(struct mailbox *m, struct err *e)
{
	uint64_t generation;
	struct index_head h;
	struct arena *a;
	int r;

	if (m->unindexed || m->box == NULL)
		return 0;
	if (index_generation(m->index, m->number, &generation, e) != 0)
		return e->code;
	if (generation == m->generation)
		return 0;
	if (generation == 0) {
		index_lost(m);
		return 1;
	}
	if (m->loaded)
		return merge(m, e);
	a = arena_new("head");
	r = index_head(m->index, m->number, a, &h, e);
	if (r == 0 && m->told && h.uidvalidity != m->uidvalidity && m->highest != 0) {
		r = sync_gone(m, SYNC_REPLACED, e);
	} else if (r == 0 && h.generation != 0) {
		r = m->generation != 0;
		adopt_head(m, &h);
		m->changes++;
	}
	arena_free(&a);
	return r;
}

/* ---- what vanished ---- */
struct vanished {
	struct arena *a;
	struct number_set set;
	size_t cap;
};

static int add_range(void *arg, uint32_t low, uint32_t high)
{
	struct vanished *v = arg;

	set_add_range(v->a, &v->set, &v->cap, low, high);
	return 0;
}

/* Every UID that is not there. */
static void add_gaps(struct mailbox *m, struct vanished *v)
{
	uint32_t next = 1;
	size_t i;

	for (i = 0; i < m->records.n; i++) {
		uint32_t uid = m->records.v[i]->m.uid;

		if (uid > next)
			add_range(v, next, uid - 1);
		next = uid + 1;
	}
	if (m->uidnext > next)
		add_range(v, next, m->uidnext - 1);
}

int mailbox_vanished(struct mailbox *m, uint64_t since, const struct number_set *known, struct arena *a,
    struct number_set *out, struct err *e)
{
	struct vanished v = {.a = a};

	CHECK_OBJ(m, MAILBOX_MAGIC);
	*out = (struct number_set){0};
	if (since >= m->modseq)
		return 0;
	if (since < m->vanished_since || m->unindexed || m->generation == 0) {
		if (records_load(m, e) != 0)
			return e->code;
		add_gaps(m, &v);
	} else if (index_vanished(m->index, m->number, since, add_range, &v, e) != 0) {
		return e->code;
	}
	set_sort(&v.set);
	if (known != NULL)
		set_both(a, &v.set, known, out);
	else
		*out = v.set;
	return 0;
}
