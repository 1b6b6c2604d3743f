/*
 * sync.c: what changed in the mailbox since we last looked.
 *
 * The driver's report is collected in a struct sync and applied as a whole when the driver succeeded. A full
 * scan is compared with what is known in one walk, both being in order of UID; without UIDs of the driver's
 * the identities, which locators begin with, are compared through a hash table.
 *
 * A message below a UID that was already seen cannot be shown to a session (its sequence number would be
 * taken): it is left out, with a line in the log, and appears when the mailbox is next opened.
 */
#include "base/clock.h"
#include "log/log.h"
#include "store/driver.h"
#include "base/banned.h"

struct change {
	struct record *r;
	struct mortise_message m;
};

struct sync {
	struct mailbox *m;
	struct err err;
	bool full;
	uint32_t uidvalidity;
	size_t position; /* full scan: the first record that has not been compared */
	uint32_t last;   /* highest UID known or added */
	uint32_t uidnext;
	VEC(struct record *) added;
	VEC(struct change) changed;
	VEC(struct record *) vanished;
	struct record **table; /* by identity; table_size a power of two */
	size_t table_size;
	bool keywords; /* the table changed */
};

static void finish(struct sync *s)
{
	vec_free(&s->added);
	vec_free(&s->changed);
	vec_free(&s->vanished);
	mem_free(s->table);
}

/* ---- locators ---- */
/* What drivers before 0.3 could not say is 0. */
static struct mortise_message whole(const struct mortise_message *m)
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
		if (s->m->records.n > 0 || s->added.n > 0)
			return err_fault(&s->err, MORTISE_E_INTERNAL,
			    "driver \"%s\": UIDs for some messages only", s->m->driver->pub.name);
		s->m->counted_uids = m->uid == 0;
	}
	return 0;
}

static struct record *known(struct sync *s, const struct mortise_message *m)
{
	return m->uid != 0 ? record_find(s->m, m->uid) : by_identity(s, m->locator, m->identity_size);
}

/* Puts what the driver says into a record; keeps what only the session knows. */
static void fill(struct mailbox *m, struct record *r, const struct mortise_message *from)
{
	uint32_t kept = m->info.permanent_flags & MORTISE_FLAGS_SYSTEM;
	uint64_t keywords = keywords_translate(m, from->keywords), mine = ~keywords_kept(m);

	r->m.flags = (from->flags & MORTISE_FLAGS_SYSTEM) | (r->m.flags & ~kept & MORTISE_FLAGS_SYSTEM);
	r->m.keywords = keywords | (r->m.keywords & mine);
	r->m.internal_date = from->internal_date;
	r->m.zone = from->zone;
	if (from->octets != MORTISE_SIZE_UNKNOWN || r->m.octets == 0)
		r->m.octets = from->octets;
	r->m.locator_size = from->locator_size;
	r->m.identity_size = (uint8_t)from->identity_size;
	memcpy(r->m.locator, from->locator, from->locator_size);
}

static bool differs(const struct mailbox *m, const struct record *r, const struct mortise_message *from)
{
	struct record now = *r;

	fill((struct mailbox *)(uintptr_t)m, &now, from);
	return now.m.flags != r->m.flags || now.m.keywords != r->m.keywords ||
	       now.m.internal_date != r->m.internal_date || now.m.zone != r->m.zone ||
	       now.m.octets != r->m.octets || now.m.locator_size != r->m.locator_size ||
	       memcmp(now.m.locator, r->m.locator, now.m.locator_size) != 0 ||
	       r->unseen_here != ((from->flags & MORTISE_FLAG_RECENT) != 0);
}

static void stage_change(struct sync *s, struct record *r, const struct mortise_message *m)
{
	if (differs(s->m, r, m))
		*vec_push(&s->changed) = (struct change){.r = r, .m = *m};
}

static void stage_new(struct sync *s, const struct mortise_message *m)
{
	struct record *r = record_new(s->m);

	r->m.uid = m->uid;
	fill(s->m, r, m);
	r->m.recent = r->unseen_here = (m->flags & MORTISE_FLAG_RECENT) != 0;
	r->scan = s->m->scans;
	*vec_push(&s->added) = r;
	if (m->uid != 0)
		s->last = m->uid;
	else
		table_put(s, r);
}

static int sink_full_scan(void *engine, uint32_t uidvalidity)
{
	struct sync *s = engine;

	s->full = true;
	s->m->scans++;
	if (uidvalidity != 0)
		s->uidvalidity = uidvalidity;
	return 0;
}

static int sink_keywords(void *engine, const char *const *names, size_t count)
{
	struct sync *s = engine;
	uint64_t before = s->m->changes;
	int r = keywords_from_driver(s->m, names, count, &s->err);

	s->keywords = s->keywords || s->m->changes != before;
	return r;
}

/*
 * Whether the session must be told that this is another mailbox now: nothing more is of interest then. One in
 * which no message was ever seen may get its UIDVALIDITY while it is open: an empty spool gets it with its
 * first message, from whichever session comes first.
 */
static bool replaced(const struct sync *s)
{
	if (s->m->highest == 0 && s->m->records.n == 0 && !s->m->counted_uids)
		return false;
	return s->uidvalidity != 0 && s->m->uidvalidity != 0 && s->uidvalidity != s->m->uidvalidity;
}

static void added_by_uid(struct sync *s, const struct mortise_message *m)
{
	struct mailbox *box = s->m;
	struct record *r;

	if (!s->full) {
		r = record_find(box, m->uid);
	} else {
		while (s->position < box->records.n && box->records.v[s->position]->m.uid < m->uid)
			*vec_push(&s->vanished) = box->records.v[s->position++];
		r = s->position < box->records.n ? box->records.v[s->position] : NULL;
		if (r != NULL && r->m.uid == m->uid)
			s->position++;
		else
			r = NULL;
	}
	if (r != NULL)
		stage_change(s, r, m);
	else if (m->uid > s->last)
		stage_new(s, m);
	else
		log_msg(MSG_STORE_UID_ORDER, "%s: message with UID %u found below UID %u",
		    box->target.place.name, m->uid, s->last);
}

static int sink_added(void *engine, const struct mortise_message *said)
{
	const struct mortise_message own = whole(said), *m = &own;
	struct sync *s = engine;
	struct record *r;

	if (check_message(s, m) != 0)
		return s->err.code;
	if (replaced(s))
		return 0;
	if (m->uid != 0) {
		added_by_uid(s, m);
		return 0;
	}
	r = by_identity(s, m->locator, m->identity_size);
	if (r == NULL) {
		stage_new(s, m);
		return 0;
	}
	r->scan = s->m->scans;
	if (r->m.uid != 0)
		stage_change(s, r, m);
	return 0;
}

static int sink_changed(void *engine, const struct mortise_message *said)
{
	const struct mortise_message own = whole(said), *m = &own;
	struct sync *s = engine;
	struct record *r;

	if (check_message(s, m) != 0)
		return s->err.code;
	r = replaced(s) ? NULL : known(s, m);
	if (r != NULL)
		stage_change(s, r, m);
	return 0;
}

static int sink_vanished(void *engine, uint32_t uid)
{
	struct sync *s = engine;
	struct record *r = record_find(s->m, uid);
	size_t i;

	if (r != NULL) {
		*vec_push(&s->vanished) = r;
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

/* ---- applying ---- */
static void forget(struct sync *s)
{
	size_t i;

	for (i = 0; i < s->added.n; i++)
		record_free(s->m, s->added.v[i]);
}

static void full_scan_rest(struct sync *s)
{
	struct mailbox *m = s->m;
	size_t i;

	if (!s->full)
		return;
	if (!m->counted_uids)
		for (i = s->position; i < m->records.n; i++)
			*vec_push(&s->vanished) = m->records.v[i];
	else
		for (i = 0; i < m->records.n; i++)
			if (m->records.v[i]->scan != m->scans)
				*vec_push(&s->vanished) = m->records.v[i];
}

static void apply_change(struct mailbox *m, const struct change *c)
{
	struct record *r = c->r;
	bool unseen = (c->m.flags & MORTISE_FLAG_RECENT) != 0;

	fill(m, r, &c->m);
	if (r->unseen_here && !unseen) {
		r->m.recent = false; /* another session saw it before we could say that we had */
		m->recent_waiting--;
	} else if (!r->unseen_here && unseen) {
		m->recent_waiting++;
	}
	r->unseen_here = unseen;
}

static int apply_new(struct sync *s, struct err *e)
{
	struct mailbox *m = s->m;
	size_t i;

	if (m->counted_uids && s->added.n > UINT32_MAX - m->uidnext)
		return err_fault(e, MORTISE_E_LIMIT, "%s: no UIDs are left", m->target.place.name);
	vec_reserve(&m->records, m->records.n + s->added.n);
	for (i = 0; i < s->added.n; i++) {
		struct record *r = s->added.v[i];

		if (m->counted_uids)
			r->m.uid = m->uidnext++;
		if (r->unseen_here)
			m->recent_waiting++;
		*vec_push(&m->records) = r;
	}
	return 0;
}

static int apply(struct sync *s, struct err *e)
{
	struct mailbox *m = s->m;
	size_t i;

	full_scan_rest(s);
	if (apply_new(s, e) != 0)
		return e->code;
	for (i = 0; i < s->changed.n; i++)
		apply_change(m, &s->changed.v[i]);
	for (i = 0; i < s->vanished.n; i++)
		s->vanished.v[i]->m.expunged = true;
	if (s->vanished.n > 0)
		records_drop_expunged(m);
	if (s->uidnext > m->uidnext)
		m->uidnext = s->uidnext;
	if (s->last > m->highest)
		m->highest = s->last;
	if (m->highest >= m->uidnext)
		m->uidnext = m->highest < UINT32_MAX ? m->highest + 1 : UINT32_MAX;
	if (s->uidvalidity != 0)
		m->uidvalidity = s->uidvalidity;
	if (s->added.n + s->changed.n + s->vanished.n == 0)
		return s->keywords ? 1 : 0;
	m->changes++;
	return 1;
}

static int gone(struct mailbox *m, struct err *e, const char *text)
{
	m->gone = true;
	return err_fail(e, MORTISE_E_NOTFOUND, "%s", text);
}

int sync_now(struct mailbox *m, struct err *e)
{
	struct sync s = {.m = m, .last = m->highest};
	const struct mortise_sink sink = {.size = sizeof(sink),
	    .engine = &s,
	    .full_scan = sink_full_scan,
	    .keywords = sink_keywords,
	    .added = sink_added,
	    .changed = sink_changed,
	    .vanished = sink_vanished,
	    .uidnext = sink_uidnext};
	struct mortise_cursor cursor = m->cursor;
	struct err failed = ERR_INIT;
	int r;

	r = box_sync(m, &cursor, &sink, &failed);
	if (s.err.code != 0) {
		r = err_take(e, &s.err);
	} else if (r == MORTISE_E_NOTFOUND) {
		r = gone(m, e, "The mailbox is no longer there");
	} else if (r != 0) {
		err_take(e, &failed);
	} else if (replaced(&s)) {
		r = gone(m, e, "The mailbox was replaced by another one");
	} else {
		r = apply(&s, e);
		if (r >= 0)
			m->cursor = cursor;
	}
	if (r < 0)
		forget(&s);
	finish(&s);
	return r;
}

void sync_seen_recent(struct mailbox *m)
{
	struct err e = ERR_INIT;
	VEC(struct mortise_ref) refs = VEC_INIT;
	size_t i;

	for (i = 0; i < m->records.n; i++)
		if (m->records.v[i]->unseen_here)
			*vec_push(&refs) = record_ref(m->records.v[i]);
	if (refs.n > 0 && box_seen_recent(m, refs.v, refs.n, &e) == 0) {
		for (i = 0; i < m->records.n; i++)
			m->records.v[i]->unseen_here = false;
		m->recent_waiting = 0;
	} else if (e.code != 0) {
		log_debug("store", "%s: \\Recent stays: %s", m->target.place.name, e.admin);
	}
	vec_free(&refs);
}

/* New mail is this session's to announce when nobody else can be doing so just now. */
static void claim_recent(struct mailbox *m)
{
	struct err e = ERR_INIT;

	if (m->recent_waiting == 0 || mailbox_read_only(m) || (m->flags & MAILBOX_KEEP_RECENT) != 0 ||
	    driver_ops(m->driver)->seen_recent == NULL)
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
	if (m->box == NULL) {
		r = mailbox_appeared(m, e);
		if (r <= 0)
			return r;
	}
	if (mailbox_recover(m, e) != 0)
		return e->code;
	r = sync_now(m, e);
	if (r > 0)
		claim_recent(m);
	return r;
}
