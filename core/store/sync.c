/*
 * sync.c: what changed in the mailbox since we last looked: staging.
 *
 * A full scan is compared with what is known in one walk, both being in order of UID; without UIDs of the
 * driver's the identities are compared through a hash table.
 *
 * A message below a UID that was already seen cannot be shown to a session (its sequence number would be
 * taken): it is left out, with a line in the log, and the index is given no cursor, so that whoever opens the
 * mailbox next scans all of it and takes the message in at its place.
 */
#include "base/clock.h"
#include "log/log.h"
#include "store/driver.h"
#include "store/sync.h"
#include "base/banned.h"

/* Other processes' commits can come between so often that we give up for now. */
#define SYNC_TRIES 64u

void sync_begin(struct sync *s, struct mailbox *m)
{
	*s = (struct sync){.m = m, .generation = m->generation, .last = m->highest, .cursor = m->cursor};
}

void sync_end(struct sync *s)
{
	size_t i;

	for (i = 0; i < s->added.n; i++)
		record_free(s->m, s->added.v[i]);
	for (i = 0; i < s->changed.n; i++)
		s->changed.v[i].r->staged = 0;
	for (i = 0; i < s->vanished.n; i++)
		s->vanished.v[i]->leaving = false;
	vec_free(&s->added);
	vec_free(&s->changed);
	vec_free(&s->vanished);
	mem_free(s->table);
}

/* ---- staging ---- */
void sync_stage(struct sync *s, struct record *r, const struct message *next, bool unseen_here)
{
	bool claimed = false;
	struct stage *x;

	if (r->staged == 0) {
		x = vec_push(&s->changed);
		r->staged = (uint32_t)s->changed.n;
	} else {
		x = &s->changed.v[r->staged - 1];
		claimed = x->claimed;
	}
	*x = (struct stage){.r = r, .next = *next, .unseen_here = unseen_here, .claimed = claimed};
}

/* The record as it will be. */
static struct message staged(const struct sync *s, const struct record *r)
{
	return r->staged != 0 ? s->changed.v[r->staged - 1].next : r->m;
}

void sync_stage_flags(struct sync *s, struct record *r, uint32_t flags, uint64_t keywords)
{
	struct message next = staged(s, r);

	next.flags = flags;
	next.keywords = keywords;
	sync_stage(s, r, &next, r->unseen_here);
}

void sync_stage_vanished(struct sync *s, struct record *r)
{
	if (r->leaving)
		return;
	r->leaving = true;
	*vec_push(&s->vanished) = r;
}

/* ---- identities ---- */
/* The driver's words, whatever its version: where it names no identity, all of the locator is. */
static struct mortise_message said(const struct mortise_message *m)
{
	struct mortise_message own = {.size = sizeof(own)};

	memcpy(&own, m, m->size < sizeof(own) ? m->size : sizeof(own));
	if (own.identity_size == 0)
		own.identity_size = own.locator_size;
	return own;
}

static void table_put(struct sync *s, struct record *r)
{
	size_t at = str_hash(str_mem(r->m.locator, r->m.identity_size)) & (s->table_size - 1);

	while (s->table[at] != NULL)
		at = (at + 1) & (s->table_size - 1);
	s->table[at] = r;
}

static void table_make(struct sync *s, size_t room)
{
	size_t i;

	mem_free(s->table);
	for (s->table_size = 64; s->table_size < room * 2; s->table_size *= 2)
		;
	s->table = mem_array(s->table_size, sizeof(struct record *));
	for (i = 0; i < s->m->records.n; i++)
		table_put(s, s->m->records.v[i]);
	for (i = 0; i < s->added.n; i++)
		table_put(s, s->added.v[i]);
}

static struct record *by_identity(struct sync *s, const unsigned char *identity, size_t n)
{
	size_t at;

	if (s->table == NULL || s->m->records.n + s->added.n >= s->table_size / 2)
		table_make(s, s->m->records.n + s->added.n + 1);
	at = str_hash(str_mem(identity, n)) & (s->table_size - 1);
	for (; s->table[at] != NULL; at = (at + 1) & (s->table_size - 1))
		if (s->table[at]->m.identity_size == n && memcmp(s->table[at]->m.locator, identity, n) == 0)
			return s->table[at];
	return NULL;
}

/* ---- the sink ---- */
static int check_message(struct sync *s, const struct mortise_message *m)
{
	if (m->locator_size > MORTISE_LOCATOR_MAX || m->identity_size > m->locator_size ||
	    (m->uid == 0 && m->locator_size == 0))
		return err_fault(&s->err, MORTISE_E_INTERNAL, "driver \"%s\": message without identity",
		    s->m->driver->pub.name);
	if ((m->uid == 0) != s->m->counted_uids) {
		/* Another version of the driver may do it in the other way. */
		if (s->m->counts.messages > 0 && s->added.n == 0 && s->full && !s->m->told)
			mailbox_void(s->m);
		if (s->m->counts.messages > 0 || s->added.n > 0)
			return err_fault(&s->err, MORTISE_E_INTERNAL,
			    "driver \"%s\": UIDs for some messages only", s->m->driver->pub.name);
		s->m->counted_uids = m->uid == 0;
	}
	return 0;
}

/* Puts what the driver says into a message; keeps what only the engine knows. */
static void fill(const struct mailbox *m, struct message *to, const struct mortise_message *from)
{
	uint32_t kept = m->info.permanent_flags & MORTISE_FLAGS_SYSTEM;
	uint64_t keywords = keywords_translate(m, from->keywords), mine = ~keywords_kept(m);

	to->flags = (from->flags & MORTISE_FLAGS_SYSTEM) | (to->flags & ~kept & MORTISE_FLAGS_SYSTEM);
	to->keywords = keywords | (to->keywords & mine);
	to->internal_date = from->internal_date;
	to->zone = from->zone;
	if (from->octets != MORTISE_SIZE_UNKNOWN || to->octets == 0)
		to->octets = from->octets;
	to->locator_size = from->locator_size;
	to->identity_size = (uint8_t)from->identity_size;
	memcpy(to->locator, from->locator, from->locator_size);
}

static bool same_message(const struct message *a, const struct message *b)
{
	return a->flags == b->flags && a->keywords == b->keywords && a->internal_date == b->internal_date &&
	       a->zone == b->zone && a->octets == b->octets && a->locator_size == b->locator_size &&
	       a->identity_size == b->identity_size && memcmp(a->locator, b->locator, a->locator_size) == 0;
}

/* A format that has no \Recent: a message is, from when we first hear of it until a session has taken it. */
static bool recent_is_ours(const struct mailbox *m)
{
	return m->counted_uids && driver_ops(m->driver)->seen_recent == NULL;
}

static void stage_said(struct sync *s, struct record *r, const struct mortise_message *m)
{
	bool unseen = (m->flags & MORTISE_FLAG_RECENT) != 0;
	struct message next = staged(s, r);

	if (recent_is_ours(s->m))
		unseen = r->staged != 0 ? s->changed.v[r->staged - 1].unseen_here : r->unseen_here;
	fill(s->m, &next, m);
	if (r->staged != 0 || r->unseen_here != unseen || !same_message(&next, &r->m))
		sync_stage(s, r, &next, unseen);
}

static void stage_new(struct sync *s, const struct mortise_message *m)
{
	struct record *r = record_new(s->m);

	r->m.uid = m->uid;
	fill(s->m, &r->m, m);
	r->m.recent = r->unseen_here = (m->flags & MORTISE_FLAG_RECENT) != 0 || recent_is_ours(s->m);
	r->m.save_date = s->m->modseq != 0 ? clock_seconds() : 0;
	r->scan = s->m->scans;
	*vec_push(&s->added) = r;
	if (m->uid == 0)
		table_put(s, r);
	else if (m->uid > s->last)
		s->last = m->uid;
	else
		s->inserted = true;
}

/*
 * Whether the session must be told that this is another mailbox now: nothing more is of interest then. One in
 * which no message was ever seen may get its UIDVALIDITY while it is open: an empty spool gets it with its
 * first message, from whichever session comes first. So may one that nobody has looked at yet.
 */
static bool replaced(const struct sync *s)
{
	const struct mailbox *m = s->m;

	if (!m->told || (m->highest == 0 && m->counts.messages == 0 && !m->counted_uids))
		return false;
	return s->uidvalidity != 0 && m->uidvalidity != 0 && s->uidvalidity != m->uidvalidity;
}

static int sink_full_scan(void *engine, uint32_t uidvalidity)
{
	struct sync *s = engine;
	struct mailbox *m = s->m;

	s->full = true;
	m->scans++;
	if (uidvalidity != 0)
		s->uidvalidity = uidvalidity;
	if (s->uidvalidity != 0 && m->uidvalidity != 0 && s->uidvalidity != m->uidvalidity && !replaced(s)) {
		mailbox_void(m);
		s->last = 0;
	}
	return records_load(m, &s->err);
}

static int sink_keywords(void *engine, const char *const *names, size_t count)
{
	struct sync *s = engine;

	return keywords_from_driver(s->m, names, count, &s->err);
}

/* With full_scan: those passed over have vanished. */
static struct record *next_known(struct sync *s, uint32_t uid)
{
	struct mailbox *m = s->m;

	while (s->position < m->records.n && m->records.v[s->position]->m.uid < uid)
		sync_stage_vanished(s, m->records.v[s->position++]);
	if (s->position == m->records.n || m->records.v[s->position]->m.uid != uid)
		return NULL;
	return m->records.v[s->position++];
}

static void left_out(struct sync *s, const struct mortise_message *m)
{
	s->m->incomplete = true;
	log_msg(MSG_STORE_UID_ORDER, "%s: message with UID %u found below UID %u", s->m->target.place.name,
	    m->uid, s->last);
}

static int added_by_uid(struct sync *s, const struct mortise_message *m)
{
	struct record *r = NULL;

	if (s->full)
		r = next_known(s, m->uid);
	else if (m->uid <= s->last && records_load(s->m, &s->err) == 0)
		r = record_find(s->m, m->uid);
	if (s->err.code != 0)
		return s->err.code;
	if (r != NULL)
		stage_said(s, r, m);
	else if (m->uid > s->last || (s->full && !s->m->told && m->uid > s->previous))
		stage_new(s, m);
	else
		left_out(s, m);
	s->previous = m->uid;
	return 0;
}

static int sink_added(void *engine, const struct mortise_message *message)
{
	struct mortise_message own = said(message), *m = &own;
	struct sync *s = engine;
	struct record *r;

	if (check_message(s, m) != 0)
		return s->err.code;
	if (replaced(s))
		return 0;
	if (m->uid != 0)
		return added_by_uid(s, m);
	if (records_load(s->m, &s->err) != 0)
		return s->err.code;
	r = by_identity(s, m->locator, m->identity_size);
	if (r == NULL) {
		stage_new(s, m);
		return 0;
	}
	r->scan = s->m->scans;
	if (r->m.uid != 0)
		stage_said(s, r, m);
	return 0;
}

static int sink_changed(void *engine, const struct mortise_message *message)
{
	struct mortise_message own = said(message), *m = &own;
	struct sync *s = engine;
	struct record *r;

	if (check_message(s, m) != 0)
		return s->err.code;
	if (replaced(s))
		return 0;
	if (records_load(s->m, &s->err) != 0)
		return s->err.code;
	r = m->uid != 0 ? record_find(s->m, m->uid) : by_identity(s, m->locator, m->identity_size);
	if (r != NULL && r->m.uid != 0)
		stage_said(s, r, m);
	return 0;
}

static int sink_vanished(void *engine, uint32_t uid)
{
	struct sync *s = engine;
	struct record *r;
	size_t i;

	if (records_load(s->m, &s->err) != 0)
		return s->err.code;
	r = record_find(s->m, uid);
	if (r != NULL) {
		sync_stage_vanished(s, r);
		return 0;
	}
	for (i = 0; uid != 0 && i < s->added.n; i++)
		if (s->added.v[i]->m.uid == uid) {
			record_free(s->m, s->added.v[i]);
			vec_remove(&s->added, i);
			break;
		}
	return 0;
}

static int sink_uidnext(void *engine, uint32_t uidnext)
{
	struct sync *s = engine;

	if (uidnext > s->uidnext)
		s->uidnext = uidnext;
	return 0;
}

static void full_scan_rest(struct sync *s)
{
	struct mailbox *m = s->m;
	size_t i;

	if (!s->full)
		return;
	for (i = m->counted_uids ? 0 : s->position; i < m->records.n; i++)
		if (!m->counted_uids || m->records.v[i]->scan != m->scans)
			sync_stage_vanished(s, m->records.v[i]);
}

/* ---- the whole ---- */
int sync_gone(struct mailbox *m, const char *text, struct err *e)
{
	m->gone = true;
	return err_fail(e, MORTISE_E_NOTFOUND, "%s", text);
}

static int ask_driver(struct sync *s, struct err *e)
{
	const struct mortise_sink sink = {.size = sizeof(sink),
	    .engine = s,
	    .full_scan = sink_full_scan,
	    .keywords = sink_keywords,
	    .added = sink_added,
	    .changed = sink_changed,
	    .vanished = sink_vanished,
	    .uidnext = sink_uidnext};
	struct err failed = ERR_INIT;
	int r = box_sync(s->m, &s->cursor, &sink, &failed);

	if (s->err.code != 0)
		return err_take(e, &s->err);
	if (r == MORTISE_E_NOTFOUND)
		return sync_gone(s->m, "The mailbox is no longer there", e);
	if (r != 0)
		return err_take(e, &failed);
	if (replaced(s))
		return sync_gone(s->m, SYNC_REPLACED, e);
	full_scan_rest(s);
	return 0;
}

/* Sizes that were found out since go to the index with whatever else does. */
static void stage_measured(struct sync *s)
{
	size_t i;

	for (i = 0; i < s->m->records.n; i++) {
		struct record *r = s->m->records.v[i];

		if (r->measured)
			sync_stage(s, r, &r->m, r->unseen_here);
	}
}

static int once(struct mailbox *m, sync_stage_fn *stage, void *arg, struct err *e)
{
	struct sync s;
	int r;

	sync_begin(&s, m);
	if (m->measured > 0)
		stage_measured(&s);
	if (stage != NULL)
		stage(&s, arg);
	r = ask_driver(&s, e);
	if (r == 0 && m->generation != s.generation)
		r = SYNC_AGAIN; /* the records were loaded meanwhile, and are newer than what was staged */
	if (r == 0)
		r = sync_commit(&s, e);
	if (r == 0)
		r = sync_apply(&s);
	sync_end(&s);
	return r;
}

int sync_with(struct mailbox *m, sync_stage_fn *stage, void *arg, struct err *e)
{
	bool changed = false;
	unsigned i;

	for (i = 0; i < SYNC_TRIES; i++) {
		int r = mailbox_refresh(m, e);

		if (r < 0 || (stage != NULL && records_load(m, e) != 0))
			return e->code;
		changed = changed || r > 0;
		r = once(m, stage, arg, e);
		if (r != SYNC_AGAIN)
			return r < 0 ? r : r > 0 || changed;
	}
	return err_fault(e, MORTISE_E_TEMP, "%s: changed by others all the time", m->target.place.name);
}

void sync_after(struct mailbox *m, sync_stage_fn *stage, void *arg)
{
	struct err e = ERR_INIT;

	if (sync_with(m, stage, arg, &e) < 0)
		log_debug("store", "%s: not synced after a change: %s", m->target.place.name, e.admin);
}

int sync_now(struct mailbox *m, struct err *e)
{
	return sync_with(m, NULL, NULL, e);
}

/* ---- \Recent ---- */
static void stage_seen(struct sync *s, void *arg UNUSED)
{
	size_t i;

	for (i = 0; i < s->m->records.n; i++) {
		struct record *r = s->m->records.v[i];

		if (!r->unseen_here)
			continue;
		sync_stage(s, r, &r->m, false);
		s->changed.v[r->staged - 1].claimed = true;
	}
}

void sync_seen_recent(struct mailbox *m)
{
	struct err e = ERR_INIT;
	VEC(struct mortise_ref) refs = VEC_INIT;
	size_t i;

	if (records_load(m, &e) == 0)
		for (i = 0; i < m->records.n; i++)
			if (m->records.v[i]->unseen_here)
				*vec_push(&refs) = record_ref(m->records.v[i]);
	if (refs.n > 0 && box_seen_recent(m, refs.v, refs.n, &e) == 0)
		sync_with(m, stage_seen, NULL, &e);
	if (e.code != 0)
		log_debug("store", "%s: \\Recent stays: %s", m->target.place.name, e.admin);
	vec_free(&refs);
}

/* New mail is this session's to announce when nobody else can be doing so just now. */
static void claim_recent(struct mailbox *m)
{
	struct err e = ERR_INIT;

	if (m->counts.recent == 0 || mailbox_read_only(m) || (m->flags & MAILBOX_KEEP_RECENT) != 0 ||
	    (driver_ops(m->driver)->seen_recent == NULL && !recent_is_ours(m)))
		return;
	if (box_lock(m, MORTISE_LOCK_EXCLUSIVE, clock_ms(), &e) != 0)
		return;
	if (sync_now(m, &e) >= 0)
		sync_seen_recent(m);
	change_end(m);
}

int mailbox_sync(struct mailbox *m, struct err *e)
{
	int r;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (mailbox_must_live(m, e) != 0 || store_stopped(m->store, e) != 0)
		return e->code;
	m->fresh = false;
	if (m->box == NULL) {
		r = mailbox_appeared(m, e);
		if (r <= 0)
			return r;
	}
	if (mailbox_recover(m, e) != 0)
		return e->code;
	r = sync_now(m, e);
	if (r > 0 || (r == 0 && !m->claimed))
		claim_recent(m);
	m->claimed = true;
	return r;
}
