/*
 * view.c: what one session has been told of a mailbox.
 *
 * A view is the list of records by sequence number, with the flags the client was last told. Comparing it
 * with the mailbox gives the untagged responses; when the mailbox's change counter has not moved there is
 * nothing to compare.
 *
 * A view of a mailbox whose records are not loaded knows how many messages there are, and at which
 * mod-sequence and below which UID. It takes its seats when somebody looks at one. What changed in between
 * counts as not told yet; what other processes expunged is found in the index and takes seats as ghosts.
 */
#include "log/log.h"
#include "store/mailbox_int.h"
#include "base/banned.h"

#define NEVER_TOLD UINT32_MAX /* no message has these flags */

struct seat {
	struct record *r;
	uint32_t flags;
	uint64_t keywords;
};

struct view {
	uint32_t magic;
	struct mailbox *m;
	struct view *next; /* of the mailbox */
	bool filled;       /* seats are there */
	uint32_t count;    /* else: how many, */
	uint64_t modseq;   /* as of this mod-sequence, */
	uint32_t uidnext;  /* with UIDs below this, */
	uint32_t unseen;   /* the first unseen one */
	VEC(struct seat) seats;
	uint32_t highest; /* UID of the last message taken in, ever */
	uint32_t recent;  /* told */
	size_t keyword_count;
	uint64_t changes; /* of the mailbox when everything had been told */
	bool ghosts;      /* expunged messages that the client does not know of */
};

static bool recent(const struct view *v, size_t i)
{
	return v->seats.v[i].r->m.recent;
}

static uint32_t count_recent(const struct view *v)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < v->seats.n; i++)
		n += recent(v, i) ? 1 : 0;
	return n;
}

static void told(struct seat *s)
{
	s->flags = s->r->m.flags;
	s->keywords = s->r->m.keywords;
}

static void add_seat(struct view *v, struct record *r)
{
	struct seat *s = vec_push(&v->seats);

	s->r = r;
	r->views++;
	told(s);
	v->highest = r->m.uid;
}

/* Messages the mailbox has and the view has not. All of them have higher UIDs than the view ever had. */
static size_t take_new(struct view *v)
{
	const struct mailbox *m = v->m;
	size_t first = m->records.n, i;

	while (first > 0 && m->records.v[first - 1]->m.uid > v->highest)
		first--;
	vec_reserve(&v->seats, v->seats.n + (m->records.n - first));
	for (i = first; i < m->records.n; i++)
		add_seat(v, m->records.v[i]);
	return m->records.n - first;
}

static struct record *ghost(struct mailbox *m, uint32_t uid)
{
	struct record *r = record_new(m);

	r->m.uid = uid;
	r->m.expunged = true;
	return r;
}

/* Messages that were there when the view was opened, in order of UID; some of them are gone by now. */
static void fill(struct view *v, const struct number_set *gone)
{
	struct mailbox *m = v->m;
	size_t i = 0, at = 0;
	uint32_t uid = 0;

	vec_reserve(&v->seats, v->count);
	for (;;) {
		bool live = i < m->records.n && m->records.v[i]->m.uid < v->uidnext;

		if (at < gone->n && uid < gone->v[at].low)
			uid = gone->v[at].low;
		if (at < gone->n && uid < v->uidnext && (!live || uid < m->records.v[i]->m.uid)) {
			add_seat(v, ghost(m, uid));
			if (uid++ == gone->v[at].high)
				at++;
		} else if (live) {
			add_seat(v, m->records.v[i]);
			if (m->records.v[i++]->m.modseq > v->modseq)
				v->seats.v[v->seats.n - 1].flags = NEVER_TOLD;
		} else {
			break;
		}
	}
}

static void lost(struct view *v)
{
	while (v->seats.n < v->count)
		add_seat(v, ghost(v->m, UINT32_MAX));
	v->m->gone = true;
}

static void fill_view(struct view *v)
{
	AUTO_ARENA struct arena *a = arena_new("view");
	struct number_set gone = {0};
	struct err e = ERR_INIT;

	v->filled = true;
	if (mailbox_vanished(v->m, v->modseq, NULL, a, &gone, &e) != 0)
		log_err(MSG_STORE_INDEX, &e, v->m->target.place.name);
	fill(v, &gone);
	/* More is gone than is remembered. The session cannot know which: it has to begin again. */
	if (v->seats.n != v->count)
		lost(v);
}

void views_fill(struct mailbox *m)
{
	struct view *v;

	for (v = m->views; v != NULL; v = v->next)
		if (!v->filled)
			fill_view(v);
}

void views_lost(struct mailbox *m)
{
	struct view *v;

	for (v = m->views; v != NULL; v = v->next)
		if (!v->filled) {
			v->filled = true;
			lost(v);
		}
}

/* A view's seats, when somebody looks at one of them. */
static void load(const struct view *v)
{
	struct err e = ERR_INIT;

	if (records_load(v->m, &e) == 0) {
		views_fill(v->m); /* a mailbox that came into being under a view was loaded without */
		return;
	}
	log_err(MSG_STORE_INDEX, &e, v->m->target.place.name);
	views_lost(v->m);
}

static inline void need(const struct view *v)
{
	CHECK_OBJ(v, VIEW_MAGIC);
	if (!v->filled)
		load(v);
}

int view_open(struct mailbox *m, struct view **out, struct err *e)
{
	struct view *v;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	*out = NULL;
	if (!m->fresh && mailbox_sync(m, e) < 0)
		return e->code;
	m->fresh = false;
	v = mem_new(struct view);
	v->magic = VIEW_MAGIC;
	v->m = m;
	v->next = m->views;
	m->views = v;
	m->told = true;
	v->filled = m->loaded;
	if (m->loaded)
		take_new(v);
	v->count = m->counts.messages;
	v->modseq = m->modseq;
	v->uidnext = m->uidnext;
	v->unseen = m->counts.first_unseen;
	v->recent = v->filled ? count_recent(v) : m->counts.recent;
	v->keyword_count = m->keyword_count;
	v->changes = m->changes;
	*out = v;
	return 0;
}

void view_close(struct view **vp)
{
	struct view *v, **p;
	size_t i;

	if (*vp == NULL)
		return;
	TAKE_OBJ(v, vp, VIEW_MAGIC);
	for (p = &v->m->views; *p != v; p = &(*p)->next)
		;
	*p = v->next;
	for (i = 0; i < v->seats.n; i++)
		record_leave(v->m, v->seats.v[i].r);
	vec_free(&v->seats);
	v->magic = 0;
	mem_free(v);
}

uint32_t view_count(const struct view *v)
{
	CHECK_OBJ(v, VIEW_MAGIC);
	return v->filled ? (uint32_t)v->seats.n : v->count;
}

uint32_t view_recent(const struct view *v)
{
	CHECK_OBJ(v, VIEW_MAGIC);
	return v->recent;
}

uint32_t view_first_unseen(const struct view *v)
{
	size_t i;

	CHECK_OBJ(v, VIEW_MAGIC);
	if (!v->filled)
		return v->unseen;
	for (i = 0; i < v->seats.n; i++)
		if ((v->seats.v[i].r->m.flags & MORTISE_FLAG_SEEN) == 0)
			return (uint32_t)i + 1;
	return 0;
}

bool view_news(const struct view *v, uint32_t sequence)
{
	const struct seat *s;

	need(v);
	ASSERT(sequence >= 1 && sequence <= v->seats.n);
	s = &v->seats.v[sequence - 1];
	return s->flags != s->r->m.flags || s->keywords != s->r->m.keywords;
}

bool view_ghosts(const struct view *v)
{
	CHECK_OBJ(v, VIEW_MAGIC);
	return v->ghosts;
}

bool view_changed(const struct view *v)
{
	CHECK_OBJ(v, VIEW_MAGIC);
	return v->changes != v->m->changes;
}

const struct message *view_message(const struct view *v, uint32_t sequence)
{
	need(v);
	ASSERT(sequence >= 1 && sequence <= v->seats.n);
	return &v->seats.v[sequence - 1].r->m;
}

/* Index of the first seat with that UID or a higher one. */
static size_t lower_bound(const struct view *v, uint32_t uid)
{
	size_t low = 0, high = v->seats.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (v->seats.v[mid].r->m.uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

uint32_t view_sequence(const struct view *v, uint32_t uid)
{
	size_t i;

	need(v);
	i = lower_bound(v, uid);
	return i < v->seats.n && v->seats.v[i].r->m.uid == uid ? (uint32_t)i + 1 : 0;
}

bool view_uids_of_sequences(
    const struct view *v, const struct number_set *s, struct arena *a, struct number_set *out)
{
	size_t i, cap = 0;

	need(v);
	*out = (struct number_set){0};
	for (i = 0; i < s->n; i++)
		if (s->v[i].low == 0 || s->v[i].high > v->seats.n)
			return false;
	for (i = 0; i < s->n; i++) {
		size_t n;

		for (n = s->v[i].low; n <= s->v[i].high; n++)
			set_add(a, out, &cap, v->seats.v[n - 1].r->m.uid);
	}
	return true;
}

void view_uids_of_uids(
    const struct view *v, const struct number_set *s, struct arena *a, struct number_set *out)
{
	size_t i, cap = 0;

	need(v);
	*out = (struct number_set){0};
	for (i = 0; i < s->n; i++) {
		size_t n = lower_bound(v, s->v[i].low);

		for (; n < v->seats.n && v->seats.v[n].r->m.uid <= s->v[i].high; n++)
			if (!v->seats.v[n].r->m.expunged)
				set_add(a, out, &cap, v->seats.v[n].r->m.uid);
	}
}

static void tell_expunged(struct view *v, const struct view_events *ev)
{
	size_t i, kept = 0;

	for (i = 0; i < v->seats.n; i++) {
		struct seat s = v->seats.v[i];

		if (!s.r->m.expunged) {
			v->seats.v[kept++] = s;
			continue;
		}
		if (ev->expunged != NULL)
			ev->expunged(ev->arg, (uint32_t)kept + 1, s.r->m.uid);
		record_leave(v->m, s.r);
	}
	v->seats.n = kept;
	v->ghosts = false;
}

static void find_ghosts(struct view *v)
{
	size_t i;

	v->ghosts = false;
	for (i = 0; i < v->seats.n && !v->ghosts; i++)
		v->ghosts = v->seats.v[i].r->m.expunged;
}

static void tell_flags(struct view *v, const struct view_events *ev)
{
	size_t i;

	for (i = 0; i < v->seats.n; i++) {
		struct seat *s = &v->seats.v[i];

		if (s->r->m.expunged || (s->flags == s->r->m.flags && s->keywords == s->r->m.keywords))
			continue;
		told(s);
		if (ev->flags != NULL)
			ev->flags(ev->arg, (uint32_t)i + 1, &s->r->m);
	}
}

bool view_new_keywords(struct view *v)
{
	CHECK_OBJ(v, VIEW_MAGIC);
	if (v->keyword_count == v->m->keyword_count)
		return false;
	v->keyword_count = v->m->keyword_count;
	return true;
}

int view_update(struct view *v, unsigned how, const struct view_events *ev, struct err *e)
{
	bool expunge = (how & VIEW_MAY_EXPUNGE) != 0, more;
	uint32_t now;

	CHECK_OBJ(v, VIEW_MAGIC);
	if ((how & VIEW_NO_SYNC) == 0 && mailbox_sync(v->m, e) < 0)
		return e->code;
	if (v->changes == v->m->changes && !(v->ghosts && expunge))
		return 0;
	need(v);
	if (expunge)
		tell_expunged(v, ev);
	else
		find_ghosts(v);
	more = (how & VIEW_NO_NEW) == 0 && take_new(v) > 0;
	now = count_recent(v);
	if (more && ev->exists != NULL)
		ev->exists(ev->arg, (uint32_t)v->seats.n);
	if ((more || now != v->recent) && ev->recent != NULL)
		ev->recent(ev->arg, now);
	v->recent = now;
	if (view_new_keywords(v) && ev->keywords != NULL)
		ev->keywords(ev->arg);
	if ((how & VIEW_NO_FLAGS) == 0)
		tell_flags(v, ev);
	if ((how & (VIEW_NO_NEW | VIEW_NO_FLAGS)) == 0)
		v->changes = v->m->changes;
	return 0;
}

void view_told_flags(struct view *v, const struct number_set *uids)
{
	size_t i;

	need(v);
	for (i = 0; i < uids->n; i++) {
		size_t n = lower_bound(v, uids->v[i].low);

		for (; n < v->seats.n && v->seats.v[n].r->m.uid <= uids->v[i].high; n++)
			told(&v->seats.v[n]);
	}
}
