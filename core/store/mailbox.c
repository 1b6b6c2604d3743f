/*
 * mailbox.c: opening and closing a mailbox.
 *
 * An INBOX that is nowhere is an open, empty mailbox without a box. Every sync looks whether it has come into
 * being; the first append makes it.
 */
#include <fcntl.h>

#include "base/clock.h"
#include "base/io.h"
#include "log/log.h"
#include "store/driver.h"
#include "store/rights_int.h"
#include "store/sync.h"
#include "base/banned.h"

/* UIDVALIDITY of an INBOX that is not there: rises with the clock, and within a second by itself. */
static uint32_t fresh_uidvalidity(void)
{
	static uint32_t last;
	int64_t now = clock_seconds();

	last = now > (int64_t)last && now < UINT32_MAX ? (uint32_t)now : last + 1;
	return last;
}

/* What the index knows of it. The format's own UIDVALIDITY, when it says it here, decides whether it is that.
 */
static int find_rows(struct mailbox *m, struct err *e)
{
	AUTO_BUF struct buf identity = BUF_INIT;

	m->index = store_index(m->store, e);
	if (m->index == NULL)
		return e->code;
	target_identity(&m->target, &identity);
	if (index_mailbox(m->index, buf_str(&identity), &m->number, e) != 0 || mailbox_refresh(m, e) < 0)
		return e->code;
	if (m->info.uidvalidity != 0) {
		if (m->generation != 0 && m->uidvalidity != m->info.uidvalidity)
			mailbox_void(m);
		m->uidvalidity = m->info.uidvalidity;
	}
	if (m->info.uidnext > m->uidnext)
		m->uidnext = m->info.uidnext;
	return 0;
}

static int open_box(struct mailbox *m, struct err *e)
{
	if (box_open(m, (m->flags & MAILBOX_READ_ONLY) != 0, e) != 0)
		return e->code;
	if (m->info.keyword_limit > KEYWORDS_MAX)
		m->info.keyword_limit = KEYWORDS_MAX;
	return find_rows(m, e);
}

static void link_open(struct mailbox *m)
{
	m->next = m->store->open;
	m->store->open = m;
}

static void unlink_open(struct mailbox *m)
{
	struct mailbox **p;

	for (p = &m->store->open; *p != NULL; p = &(*p)->next)
		if (*p == m) {
			*p = m->next;
			return;
		}
}

int mailbox_attach(
    struct store *s, struct target *t, struct arena *a, unsigned flags, struct mailbox **out, struct err *e)
{
	struct mailbox *m = mem_new(struct mailbox);

	*out = NULL;
	m->magic = MAILBOX_MAGIC;
	m->store = s;
	m->flags = flags;
	m->arena = a;
	m->target = *t;
	*t = (struct target){.own_root = -1};
	m->driver = m->target.driver;
	m->watch = -1;
	m->same_bits = true;
	m->uidnext = 1;
	link_open(m);
	/* Who only reads has to know of a file that is half-written. */
	store_journals(s, (flags & MAILBOX_READ_ONLY) == 0);
	if (m->target.object == OBJECT_MISSING) {
		m->uidvalidity = fresh_uidvalidity();
		m->info.permanent_flags = MORTISE_FLAGS_SYSTEM;
		m->info.may_create_keywords = true;
	} else if (open_box(m, e) != 0) {
		mailbox_close(&m);
		return e->code;
	}
	*out = m;
	return 0;
}

int mailbox_open(struct store *s, const char *name, unsigned flags, struct mailbox **out, struct err *e)
{
	struct arena *a = arena_new("mailbox");
	struct target t;

	CHECK_OBJ(s, STORE_MAGIC);
	*out = NULL;
	if (target_mailbox(s, name, 0, a, &t, e) != 0) {
		arena_free(&a);
		return e->code;
	}
	if (mailbox_attach(s, &t, a, flags, out, e) != 0)
		return e->code;
	if (mailbox_sync(*out, e) < 0) {
		mailbox_close(out);
		return e->code;
	}
	(*out)->fresh = true;
	return 0;
}

/* What was put off by the driver, and wire forms. */
static void settle(struct mailbox *m)
{
	struct err e = ERR_INIT;

	if (m->box == NULL || m->gone || m->index == NULL)
		return; /* one that could not be opened has put off nothing */
	if (m->measured > 0 && sync_now(m, &e) < 0)
		log_debug("store", "%s: sizes stay unknown: %s", m->target.place.name, e.admin);
	/* Messages may have other places now: who comes next is to know them without a look at all. */
	if (box_checkpoint(m))
		sync_after(m, NULL, NULL);
	if (m->index == NULL)
		return; /* not even a private one could be had */
	index_wire_flush(m->index);
}

/* Also of what others have found: whoever only looks for a moment leaves it to who selects the mailbox. */
static void checkpoint(struct mailbox *m)
{
	if (m->box != NULL && !m->gone && m->index != NULL && !m->unindexed)
		index_checkpoint(m->index, m->number, false);
}

void mailbox_rest(struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	settle(m);
	checkpoint(m);
	if (m->index != NULL)
		index_tidy(m->index);
}

/* The index keeps what is promised now. */
static bool mailbox_remembers(const struct mailbox *m)
{
	return m->box != NULL && !m->unindexed && index_persistent(m->index);
}

void mailbox_close(struct mailbox **mp)
{
	struct mailbox *m;
	struct slab *s;

	if (*mp == NULL)
		return;
	TAKE_OBJ(m, mp, MAILBOX_MAGIC);
	sources_orphan(m);
	settle(m);
	if ((m->flags & MAILBOX_READ_ONLY) == 0)
		checkpoint(m);
	box_close(m);
	unlink_open(m);
	target_close(&m->target);
	io_close(&m->watch);
	buf_free(&m->wire);
	vec_free(&m->records);
	while ((s = m->slabs) != NULL) {
		m->slabs = s->next;
		mem_free(s);
	}
	mem_free(m->window);
	arena_free(&m->arena);
	m->magic = 0;
	mem_free(m);
}

struct mailbox *mailbox_already(struct store *s, const struct target *t)
{
	struct mailbox *m;

	for (m = s->open; m != NULL; m = m->next)
		if (!m->gone && !mailbox_read_only(m) && m->driver == t->driver && m->box != NULL &&
		    target_same(&m->target, t))
			return m;
	return NULL;
}

int mailbox_must_live(const struct mailbox *m, struct err *e)
{
	return m->gone ? err_fail(e, MORTISE_E_NOTFOUND, "The mailbox is no longer there") : 0;
}

/* The box of an INBOX that was not there: 1 open now, 0 still nothing, or a code. */
int mailbox_appeared(struct mailbox *m, struct err *e)
{
	struct err failed = ERR_INIT;
	struct target t;

	ASSERT(m->box == NULL);
	if (target_mailbox(m->store, m->target.place.name, 0, m->arena, &t, e) != 0)
		return e->code;
	if (t.object == OBJECT_MISSING) {
		target_close(&t);
		return 0;
	}
	/* What was chosen for it stays chosen while there is nothing to recognise. */
	if (S_ISREG(t.st.st_mode) && t.st.st_size == 0 && driver_fits(m->driver, &t.st))
		t.driver = m->driver;
	target_close(&m->target);
	m->target = t;
	m->driver = t.driver;
	if (open_box(m, &failed) != 0) {
		if (failed.code != MORTISE_E_NOTFOUND)
			return err_take(e, &failed);
		m->target.object = OBJECT_MISSING;
		return 0;
	}
	m->watch_stale = true;
	return 1;
}

int mailbox_bring_about(struct mailbox *m, struct err *e)
{
	struct err failed = ERR_INIT;
	int r = mailbox_appeared(m, e);

	if (r != 0)
		return r < 0 ? r : 0;
	if (mailbox_make(m->store, &m->target, m->driver, &failed) != 0 && failed.code != MORTISE_E_EXISTS)
		return err_take(e, &failed);
	r = mailbox_appeared(m, e);
	if (r == 0)
		return err_fault(e, MORTISE_E_INTERNAL, "INBOX was made and is not there");
	return r < 0 ? r : 0;
}

/* ---- what it is ---- */
const char *mailbox_name(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	return m->target.place.name;
}

bool mailbox_read_only(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	return (m->flags & MAILBOX_READ_ONLY) != 0 || m->info.read_only;
}

uint32_t mailbox_uidvalidity(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	return m->uidvalidity;
}

uint32_t mailbox_uidnext(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	return m->uidnext;
}

uint64_t mailbox_highestmodseq(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	return mailbox_remembers(m) ? m->modseq : 0;
}

bool mailbox_uids_stick(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	return !m->counted_uids || mailbox_remembers(m);
}

uint32_t mailbox_permanent_flags(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (mailbox_read_only(m))
		return 0;
	return mailbox_remembers(m) ? MORTISE_FLAGS_SYSTEM : m->info.permanent_flags & MORTISE_FLAGS_SYSTEM;
}

bool mailbox_may_create_keywords(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (mailbox_read_only(m))
		return false;
	if (mailbox_remembers(m))
		return m->keyword_count < KEYWORDS_MAX;
	if (!m->info.may_create_keywords)
		return false;
	return m->box == NULL || (keywords_room(m) && driver_ops(m->driver)->add_keyword != NULL);
}

size_t mailbox_keyword_count(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	return m->keyword_count;
}

const char *mailbox_keyword(const struct mailbox *m, size_t bit)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	ASSERT(bit < m->keyword_count);
	return m->keywords[bit].name;
}

bool mailbox_gone(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	return m->gone;
}

bool mailbox_revoked(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	return target_revoked(m->store, &m->target, !mailbox_read_only(m));
}
