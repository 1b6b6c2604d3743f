/*
 * apply.c: what was staged, to the index and to the records.
 */
#include <stdlib.h>

#include "log/log.h"
#include "store/driver.h"
#include "store/sync.h"
#include "base/banned.h"

/* ---- as it will be ---- */
static const struct message *after_of(const struct sync *s, const struct record *r)
{
	return r->staged != 0 ? &s->changed.v[r->staged - 1].next : &r->m;
}

static bool unseen(const struct message *m)
{
	return (m->flags & MORTISE_FLAG_SEEN) == 0;
}

static void count(struct counts *c, const struct message *m, bool unseen_here, int by)
{
	uint32_t one = (uint32_t)by;

	c->messages += one;
	c->unseen += unseen(m) ? one : 0;
	c->deleted += (m->flags & MORTISE_FLAG_DELETED) != 0 ? one : 0;
	c->recent += unseen_here ? one : 0;
	if (m->octets == MORTISE_SIZE_UNKNOWN)
		c->unmeasured += one;
	else
		c->octets += by > 0 ? m->octets : 0 - m->octets;
}

/* Known and added messages in order of UID, as they will be. */
static uint32_t first_unseen_merged(const struct sync *s)
{
	const struct mailbox *m = s->m;
	size_t i = 0, j = 0;
	uint32_t sequence = 0;

	while (i < m->records.n || j < s->added.n) {
		bool known =
		    j == s->added.n || (i < m->records.n && m->records.v[i]->m.uid < s->added.v[j]->m.uid);
		const struct record *r = known ? m->records.v[i++] : s->added.v[j++];

		if (r->leaving)
			continue;
		sequence++;
		if (unseen(after_of(s, r)))
			return sequence;
	}
	return 0;
}

/* Nothing is unseen before the first unseen message, but for what is staged; so the search begins there. */
static uint32_t first_unseen(const struct sync *s, const struct counts *after)
{
	const struct mailbox *m = s->m;
	size_t live = m->loaded ? m->records.n : m->counts.messages, at, i, leaving = 0;

	at = m->counts.first_unseen != 0 ? m->counts.first_unseen - 1 : live;
	if (after->unseen == 0)
		return 0;
	if (s->inserted)
		return first_unseen_merged(s);
	for (i = 0; m->loaded && i < s->changed.n; i++)
		if (unseen(&s->changed.v[i].next)) {
			size_t place = record_position(m, s->changed.v[i].r->m.uid);

			at = place < at ? place : at;
		}
	while (
	    m->loaded && at < live && (m->records.v[at]->leaving || !unseen(after_of(s, m->records.v[at]))))
		at++;
	if (at < live) {
		for (i = 0; i < s->vanished.n; i++)
			leaving += s->vanished.v[i]->m.uid < m->records.v[at]->m.uid ? 1 : 0;
		return (uint32_t)(at + 1 - leaving);
	}
	for (i = 0; i < s->added.n && !unseen(&s->added.v[i]->m); i++)
		;
	return (uint32_t)(live - s->vanished.n + i + 1);
}

static struct counts counts_after(const struct sync *s)
{
	struct counts c = s->m->counts;
	size_t i;

	for (i = 0; i < s->changed.n; i++) {
		const struct stage *x = &s->changed.v[i];

		if (x->r->leaving)
			continue;
		count(&c, &x->r->m, x->r->unseen_here, -1);
		count(&c, &x->next, x->unseen_here, 1);
	}
	for (i = 0; i < s->vanished.n; i++)
		count(&c, &s->vanished.v[i]->m, s->vanished.v[i]->unseen_here, -1);
	for (i = 0; i < s->added.n; i++)
		count(&c, &s->added.v[i]->m, s->added.v[i]->unseen_here, 1);
	c.first_unseen = first_unseen(s, &c);
	return c;
}

/* ---- numbers ---- */
/* Where neither the format nor the index has one yet. */
static int give_uidvalidity(struct sync *s, struct err *e)
{
	struct mailbox *m = s->m;

	if (s->uidvalidity != 0 || m->uidvalidity != 0)
		return 0;
	return index_uidvalidity(m->index, &s->uidvalidity, e);
}

static int give_uids(struct sync *s, struct err *e)
{
	struct mailbox *m = s->m;
	size_t i;

	if (!m->counted_uids)
		return 0;
	if (s->uidnext < m->uidnext)
		s->uidnext = m->uidnext;
	if (s->added.n > UINT32_MAX - s->uidnext)
		return err_fault(e, MORTISE_E_LIMIT, "%s: no UIDs are left", m->target.place.name);
	for (i = 0; i < s->added.n; i++) {
		if (m->given != NULL)
			s->uidnext = m->given[i];
		s->added.v[i]->m.uid = s->uidnext++;
	}
	if (s->added.n > 0)
		s->last = s->uidnext - 1;
	return 0;
}

/* What a client sees of a message without reading it. */
static bool visible(const struct stage *x)
{
	return x->next.flags != x->r->m.flags || x->next.keywords != x->r->m.keywords;
}

static int give_modseqs(struct sync *s, uint64_t *modseq, struct err *e)
{
	struct mailbox *m = s->m;
	bool seen = s->added.n + s->vanished.n > 0;
	uint64_t first = 0;
	size_t i;

	for (i = 0; i < s->changed.n && !seen; i++)
		seen = visible(&s->changed.v[i]);
	*modseq = m->modseq;
	if (!seen && m->modseq != 0)
		return 0;
	if (!m->unindexed && index_modseq(m->index, m->modseq + 1, &first, e) != 0)
		return e->code;
	*modseq = m->modseq != 0 ? m->modseq + 1 : first != 0 ? first : 1;
	for (i = 0; i < s->changed.n; i++)
		if (visible(&s->changed.v[i]))
			s->changed.v[i].next.modseq = *modseq;
	for (i = 0; i < s->added.n; i++)
		s->added.v[i]->m.modseq = *modseq;
	return 0;
}

/* ---- to the index ---- */
static int by_row_uid(const void *a, const void *b)
{
	uint32_t x = ((const struct index_row *)a)->uid, y = ((const struct index_row *)b)->uid;

	return x < y ? -1 : x > y;
}

static int by_uid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void rows_push(struct index_row *rows, size_t *n, bool *sorted, struct index_row row)
{
	*sorted = *sorted && (*n == 0 || rows[*n - 1].uid < row.uid);
	rows[(*n)++] = row;
}

/* Rows to write: what changed, or all when the index has none of them. */
static struct index_row *make_rows(const struct sync *s, size_t *count_out)
{
	const struct mailbox *m = s->m;
	bool all = m->anew || m->generation == 0, sorted = true;
	size_t room = s->added.n + (all ? m->records.n : s->changed.n), n = 0, i;
	struct index_row *rows = mem_array(room + 1, sizeof(*rows));

	for (i = 0; all && i < m->records.n; i++) {
		const struct record *r = m->records.v[i];
		bool here = r->staged != 0 ? s->changed.v[r->staged - 1].unseen_here : r->unseen_here;

		if (!r->leaving)
			rows_push(rows, &n, &sorted, row_of(after_of(s, r), here));
	}
	for (i = 0; !all && i < s->changed.n; i++)
		if (!s->changed.v[i].r->leaving)
			rows_push(
			    rows, &n, &sorted, row_of(&s->changed.v[i].next, s->changed.v[i].unseen_here));
	for (i = 0; i < s->added.n; i++)
		rows_push(rows, &n, &sorted, row_of(&s->added.v[i]->m, s->added.v[i]->unseen_here));
	if (!sorted)
		qsort(rows, n, sizeof(*rows), by_row_uid);
	*count_out = n;
	return rows;
}

static uint32_t *make_vanished(const struct sync *s)
{
	uint32_t *uids = mem_array(s->vanished.n + 1, sizeof(*uids));
	size_t i;

	for (i = 0; i < s->vanished.n; i++)
		uids[i] = s->vanished.v[i]->m.uid;
	qsort(uids, s->vanished.n, sizeof(*uids), by_uid);
	return uids;
}

static void make_head(const struct sync *s, const struct counts *c, uint64_t modseq, struct index_head *h)
{
	const struct mailbox *m = s->m;
	size_t i;

	*h = (struct index_head){.uidvalidity = s->uidvalidity != 0 ? s->uidvalidity : m->uidvalidity,
	    .uidnext = s->uidnext > m->uidnext ? s->uidnext : m->uidnext,
	    .highest = s->last > m->highest || m->anew ? s->last : m->highest,
	    .highestmodseq = modseq,
	    .vanished_since = m->vanished_since != 0 ? m->vanished_since : modseq,
	    .counted_uids = m->counted_uids,
	    .cursor = s->cursor,
	    .messages = c->messages,
	    .unseen = c->unseen,
	    .deleted = c->deleted,
	    .recent = c->recent,
	    .first_unseen = c->first_unseen,
	    .octets = c->unmeasured == 0 ? c->octets : MORTISE_SIZE_UNKNOWN,
	    .keyword_count = m->keyword_count};
	if (m->incomplete)
		h->cursor.size = 0;
	if (h->highest >= h->uidnext)
		h->uidnext = h->highest < UINT32_MAX ? h->highest + 1 : UINT32_MAX;
	for (i = 0; i < m->keyword_count; i++)
		h->keywords[i] = (struct index_keyword){.name = m->keywords[i].name,
		    .kept = m->keywords[i].kept,
		    .bit = (uint8_t)m->keywords[i].bit};
}

/* Flags and keywords that only the index holds. */
static bool index_alone(const struct mailbox *m, const struct message *msg)
{
	return (msg->flags & MORTISE_FLAGS_SYSTEM & ~m->info.permanent_flags) != 0 ||
	       (msg->keywords & ~keywords_kept(m)) != 0;
}

static bool durable(const struct sync *s)
{
	const struct mailbox *m = s->m;
	size_t i;

	if (m->counted_uids && s->added.n + s->vanished.n > 0)
		return true;
	for (i = 0; i < s->changed.n; i++)
		if (visible(&s->changed.v[i]) &&
		    (index_alone(m, &s->changed.v[i].next) || index_alone(m, &s->changed.v[i].r->m)))
			return true;
	return false;
}

static bool same_cursor(const struct mortise_cursor *a, const struct mortise_cursor *b)
{
	return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static bool nothing(const struct sync *s)
{
	const struct mailbox *m = s->m;

	return s->changed.n + s->added.n + s->vanished.n == 0 && !m->new_keywords && m->generation != 0 &&
	       !m->anew && same_cursor(&s->cursor, &m->cursor) && s->uidnext <= m->uidnext &&
	       (s->uidvalidity == 0 || s->uidvalidity == m->uidvalidity);
}

static int write_index(struct sync *s, const struct index_head *h, struct err *e)
{
	struct mailbox *m = s->m;
	size_t rows;
	struct index_row *row = make_rows(s, &rows);
	uint32_t *vanished = make_vanished(s);
	struct index_commit c = {.generation = m->generation,
	    .anew = m->anew,
	    .head = h,
	    .rows = row,
	    .row_count = rows,
	    .vanished = vanished,
	    .vanished_count = s->vanished.n,
	    .vanished_modseq = h->highestmodseq,
	    .durable = durable(s)};
	uint64_t generation;
	int r = index_commit(m->index, m->number, &c, &generation, e);

	mem_free(row);
	mem_free(vanished);
	if (r == 0) {
		m->generation = generation;
		m->anew = false;
	}
	return r;
}

/* In the staged records, for sync_apply. */
int sync_commit(struct sync *s, struct err *e)
{
	struct err failed = ERR_INIT;
	struct mailbox *m = s->m;
	struct index_head h;
	int r;

	if (nothing(s)) {
		s->counts = m->counts;
		s->modseq = m->modseq;
		return 0;
	}
	if (give_uidvalidity(s, e) != 0 || give_uids(s, e) != 0 || give_modseqs(s, &s->modseq, e) != 0)
		return e->code;
	s->counts = counts_after(s);
	make_head(s, &s->counts, s->modseq, &h);
	if (!m->unindexed) {
		r = write_index(s, &h, &failed);
		if (r > 0)
			return SYNC_AGAIN;
		if (r < 0) {
			m->unindexed = true;
			log_err(MSG_STORE_INDEX, &failed, m->target.place.name);
		}
	}
	s->uidnext = h.uidnext;
	s->last = h.highest;
	if (m->vanished_since == 0)
		m->vanished_since = h.vanished_since;
	return 0;
}

/* ---- to the records ---- */
static void apply_change(struct mailbox *m, const struct stage *x)
{
	struct record *r = x->r;
	bool recent = r->m.recent;

	if (r->unseen_here && !x->unseen_here && !x->claimed)
		recent = false; /* another session saw it before we could say that we had */
	r->m = x->next;
	r->m.recent = recent;
	r->unseen_here = x->unseen_here;
	r->staged = 0;
	if (r->measured) {
		r->measured = false;
		m->measured--;
	}
}

static int by_record_uid(const void *a, const void *b)
{
	const struct record *const *x = a, *const *y = b;

	return (*x)->m.uid < (*y)->m.uid ? -1 : (*x)->m.uid > (*y)->m.uid;
}

/* New records of a mailbox that is not loaded are in the index, that is enough. */
static void apply_new(struct sync *s)
{
	struct mailbox *m = s->m;
	size_t i;

	if (!m->loaded)
		return;
	vec_reserve(&m->records, m->records.n + s->added.n);
	for (i = 0; i < s->added.n; i++)
		*vec_push(&m->records) = s->added.v[i];
	if (s->inserted)
		qsort(m->records.v, m->records.n, sizeof(*m->records.v), by_record_uid);
	s->added.n = 0;
}

int sync_apply(struct sync *s)
{
	struct mailbox *m = s->m;
	bool any = s->added.n + s->changed.n + s->vanished.n > 0 || m->new_keywords;
	size_t i;

	apply_new(s);
	for (i = 0; i < s->changed.n; i++)
		apply_change(m, &s->changed.v[i]);
	s->changed.n = 0;
	for (i = 0; i < s->vanished.n; i++) {
		s->vanished.v[i]->m.expunged = true;
		s->vanished.v[i]->leaving = false;
	}
	if (s->vanished.n > 0)
		records_drop_expunged(m);
	s->vanished.n = 0;
	m->counts = s->counts;
	m->modseq = s->modseq;
	m->cursor = s->cursor;
	if (s->uidnext > m->uidnext)
		m->uidnext = s->uidnext;
	m->highest = s->last;
	if (s->uidvalidity != 0)
		m->uidvalidity = s->uidvalidity;
	m->new_keywords = false;
	if (any)
		m->changes++;
	return any ? 1 : 0;
}
