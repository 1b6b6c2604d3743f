/* Commits: what changed in a mailbox becomes what is known of it. */
#include "base/checksum.h"
#include "base/clock.h"
#include "base/secure.h"
#include "store/index_int.h"
#include "base/banned.h"

/* ---- the vanished log ---- */

/* The oldest rows go until no more than `limit` ranges are left. */
static int vanished_trim(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, uint64_t limit, struct head_row *h)
{
	struct key prefix = key_of(ROW_VANISHED, mailbox), k = prefix;
	MDB_val key = key_val(&k), v;
	MDB_cursor *cursor;
	int rc = 0;

	if (h->ranges <= limit)
		return 0;
	rc = mdb_cursor_open(txn, dbi, &cursor);
	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &v, MDB_SET_RANGE);
	while (rc == 0 && key_below(&key, &prefix) && h->ranges > limit) {
		uint64_t ranges = v.mv_size / 8 - 1, modseq = key_number(&key, prefix.n, 8);

		h->ranges -= ranges < h->ranges ? ranges : h->ranges;
		if (h->head.vanished_since < modseq)
			h->head.vanished_since = modseq;
		rc = cursor_delete(cursor);
		if (rc == 0)
			rc = mdb_cursor_get(cursor, &key, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Adds what vanished in this commit, as ranges, to the log. */
static int vanished_add(
    MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, const struct index_commit *c, struct head_row *h)
{
	struct key k = key_of(ROW_VANISHED, mailbox);
	AUTO_BUF struct buf b = BUF_INIT;
	MDB_val v;
	size_t i = 0;
	int rc;

	if (c->vanished_count == 0)
		return 0;
	key_add(&k, c->vanished_modseq, 8);
	/* Another commit under the same mod-sequence: both are told to whoever asks for one. */
	rc = value_get(txn, dbi, &k, &v);
	if (rc == 0 && v.mv_size % 8 != 0)
		rc = INDEX_DAMAGED;
	if (rc == 0)
		buf_add(&b, v.mv_data, v.mv_size);
	else if (rc != MDB_NOTFOUND)
		return rc;
	while (i < c->vanished_count) {
		uint32_t low = c->vanished[i], high = low;
		unsigned char p[8];

		while (++i < c->vanished_count && c->vanished[i] == high + 1)
			high++;
		little_put(p, low, 4);
		little_put(p + 4, high, 4);
		buf_add(&b, p, sizeof(p));
		h->ranges++;
	}
	return value_put(txn, dbi, &k, &b);
}

/* ---- commits ---- */

uint64_t generation_new(void)
{
	uint64_t v;

	secure_random(&v, sizeof(v));
	return v >> 2 | UINT64_C(1) << 62;
}

struct commit_call {
	struct index *x;
	struct environment *v;
	MDB_txn *txn, *state;
	uint64_t mailbox;
	const struct index_commit *c;
	struct head_row before, after;
};

static int apply(struct commit_call *m, MDB_txn *txn, MDB_dbi dbi, struct head_row *h)
{
	int rc = runs_change(txn, dbi, m->mailbox, m->c);

	if (rc == 0)
		rc = vanished_add(txn, dbi, m->mailbox, m->c, h);
	return rc != 0 ? rc : vanished_trim(txn, dbi, m->mailbox, m->x->o->vanished, h);
}

/* 0, 1 when it is not the generation that was loaded, or LMDB's code. */
static int commit_rows(struct commit_call *m)
{
	const struct index_commit *c = m->c;
	MDB_dbi dbi = m->v->dbi;
	int rc = head_get(m->txn, dbi, m->mailbox, NULL, &m->before);
	bool there = rc == 0;

	if (rc != 0 && rc != MDB_NOTFOUND && rc != INDEX_DAMAGED)
		return rc;
	if (!there)
		memset(&m->before, 0, sizeof(m->before));
	if (m->before.head.generation != c->generation)
		return 1;
	m->after = m->before;
	m->after.head = *c->head;
	m->after.head.generation = m->before.head.generation + 1;
	m->after.used = clock_seconds();
	rc = 0;
	if (c->anew || !there) {
		rc = mailbox_drop(m->txn, dbi, m->mailbox);
		m->after.ranges = 0;
		m->after.epoch = generation_new();
	}
	if (!there)
		m->after.head.generation = generation_new();
	if (rc == 0 && !c->anew)
		rc = wire_vanish(m->txn, dbi, m->mailbox, c->vanished, c->vanished_count);
	return rc != 0 ? rc : apply(m, m->txn, dbi, &m->after);
}

/* The same change once more, or, where index.state did not have what it began with, a copy of all. */
static int commit_copy(struct commit_call *m)
{
	MDB_dbi dbi = m->x->state.dbi;
	struct head_row row = m->before;
	uint64_t generation, epoch;
	int rc = INDEX_DAMAGED;

	if (!m->c->anew && m->before.mirrored != 0 &&
	    head_generation(m->state, dbi, m->mailbox, &generation, &epoch) == 0 &&
	    generation == m->before.head.generation && epoch == m->before.epoch)
		rc = apply(m, m->state, dbi, &row);
	if (rc == INDEX_DAMAGED)
		return index_mirror(m->x, m->txn, m->state, m->mailbox, &m->after);
	return rc != 0 ? rc : state_head_put(m->x, m->state, m->mailbox, &m->after);
}

static bool same_keywords(struct commit_call *m)
{
	AUTO_ARENA struct arena *a = arena_new("keywords");
	struct head_row *now = arena_new_of(a, struct head_row);
	const struct index_head *next = &m->after.head;
	size_t i;

	if (head_get(m->txn, m->v->dbi, m->mailbox, a, now) != 0 ||
	    now->head.keyword_count != next->keyword_count)
		return false;
	for (i = 0; i < next->keyword_count; i++) {
		const struct index_keyword *x = &now->head.keywords[i], *y = &next->keywords[i];

		if (strcmp(x->name, y->name) != 0 || x->kept != y->kept || x->bit != y->bit)
			return false;
	}
	return true;
}

/*
 * Nothing but the driver's cursor is another: the checkpoint says the same of all messages, and with its
 * older cursor the driver is only asked for more.
 */
static bool moves_cursor_only(struct commit_call *m)
{
	const struct index_head *a = &m->before.head, *b = &m->after.head;

	return !m->c->durable && !m->c->anew && m->c->row_count == 0 && m->c->vanished_count == 0 &&
	       a->uidvalidity == b->uidvalidity && a->uidnext == b->uidnext && a->highest == b->highest &&
	       a->highestmodseq == b->highestmodseq && a->vanished_since == b->vanished_since &&
	       a->counted_uids == b->counted_uids && a->messages == b->messages && a->unseen == b->unseen &&
	       a->deleted == b->deleted && a->recent == b->recent && m->before.mirrored == a->generation &&
	       same_keywords(m);
}

/* What index.state must know before index.cache does. */
static int commit_state(struct commit_call *m)
{
	struct index *x = m->x;
	int rc;

	if (x->private || (!m->c->durable && !m->after.clean))
		return 0;
	if (moves_cursor_only(m)) {
		m->after.mirrored = m->after.head.generation;
		return 0;
	}
	rc = index_need_state(x);
	if (rc == 0)
		rc = environment_write(x, &x->state, &m->state);
	if (rc == 0)
		rc = clean_put(m->state, x->state.dbi, m->mailbox, 0);
	m->after.clean = false;
	if (rc == 0 && m->c->durable) {
		m->after.mirrored = m->after.head.generation;
		rc = commit_copy(m);
	}
	if (rc == 0)
		rc = environment_commit(&m->state);
	environment_abort(&m->state);
	return rc;
}

static int commit_once(struct commit_call *m, bool *in_state)
{
	int rc = environment_write(m->x, m->v, &m->txn);

	*in_state = false;
	if (rc != 0)
		return rc;
	rc = commit_rows(m);
	if (rc == 0) {
		rc = commit_state(m);
		*in_state = rc != 0;
	}
	if (rc == 0)
		rc = head_put(m->txn, m->v->dbi, m->mailbox, &m->after);
	if (rc == 0)
		rc = environment_commit(&m->txn);
	environment_abort(&m->txn);
	return rc;
}

int index_commit(
    struct index *x, uint64_t mailbox, const struct index_commit *c, uint64_t *generation, struct err *e)
{
	struct commit_call *m = mem_new(struct commit_call);
	unsigned tries = 0;
	int rc;

	CHECK_OBJ(x, INDEX_MAGIC);
	for (;;) {
		bool in_state;

		m->x = x;
		m->v = index_rows(x);
		m->mailbox = index_actual(x, mailbox);
		m->c = c;
		rc = commit_once(m, &in_state);
		if (rc == INDEX_DAMAGED && !in_state)
			rc = index_void(x, m->mailbox) == MDB_NOTFOUND ? 1 : MDB_CORRUPTED;
		if (rc == 0 || rc == 1 || !index_recover(x, in_state ? &x->state : m->v, rc, &tries))
			break;
	}
	*generation = rc == 0 ? m->after.head.generation : 0;
	if (rc == 0)
		epoch_seen(x, m->mailbox, m->after.epoch);
	mem_free(m);
	return rc == 0 || rc == 1 ? rc : index_fault(e, rc, "writing the index");
}

/* ---- mod-sequences and UIDVALIDITY ---- */

/* A transaction that changes what index.state is. */
static int state_begin(struct index *x, MDB_txn **txn, struct info_row *info)
{
	int rc = index_need_state(x);

	if (rc == 0)
		rc = environment_write(x, &x->state, txn);
	if (rc != 0)
		return rc;
	rc = info_get(*txn, x->state.dbi, info);
	if (rc != 0)
		environment_abort(txn);
	return rc;
}

static int state_commit(struct index *x, MDB_txn **txn, const struct info_row *info)
{
	int rc = info_put(*txn, x->state.dbi, info);

	return rc == 0 ? environment_commit(txn) : rc;
}

void info_raise(const struct index *x, struct info_row *info, uint64_t highest)
{
	if (memcmp(info->file, x->file, INDEX_ID) != 0) {
		uint64_t by_clock = (uint64_t)clock_microseconds();

		memcpy(info->file, x->file, INDEX_ID);
		info->first = info->ceiling > by_clock ? info->ceiling : by_clock;
	}
	info->ceiling = info->ceiling > info->first ? info->ceiling : info->first;
	info->ceiling = (highest > info->ceiling ? highest : info->ceiling) + INDEX_CEILING_STEP;
}

static int raise_once(struct index *x, uint64_t highest)
{
	struct info_row info;
	MDB_txn *txn;
	int rc = state_begin(x, &txn, &info);

	if (rc != 0)
		return rc;
	if (memcmp(info.file, x->file, INDEX_ID) != 0 || highest + INDEX_CEILING_STEP / 2 >= info.ceiling) {
		info_raise(x, &info, highest);
		rc = state_commit(x, &txn, &info);
	}
	environment_abort(&txn);
	if (rc == 0) {
		x->ceiling = info.ceiling;
		x->first = info.first;
	}
	return rc;
}

int index_raise(struct index *x, uint64_t highest)
{
	if (x->ceiling != 0 && highest + INDEX_CEILING_STEP / 2 < x->ceiling)
		return 0;
	if (x->private) { /* nobody is told that these are remembered */
		x->first = x->first != 0 ? x->first : 1;
		return 0;
	}
	return raise_once(x, highest);
}

int index_modseq(struct index *x, uint64_t highest, uint64_t *first, struct err *e)
{
	unsigned tries = 0;
	int rc;

	CHECK_OBJ(x, INDEX_MAGIC);
	while ((rc = index_raise(x, highest)) != 0)
		if (!index_recover(x, &x->state, rc, &tries))
			return index_fault(e, rc, "raising the mod-sequences' ceiling");
	*first = x->first;
	return 0;
}

static int uidvalidity_once(struct index *x, uint32_t *out)
{
	uint32_t now = (uint32_t)clock_seconds();
	struct info_row info;
	MDB_txn *txn;
	int rc = state_begin(x, &txn, &info);

	if (rc != 0)
		return rc;
	*out = info.uidvalidity < now ? now : info.uidvalidity + 1;
	info.uidvalidity = *out;
	rc = state_commit(x, &txn, &info);
	environment_abort(&txn);
	return rc;
}

int index_uidvalidity(struct index *x, uint32_t *out, struct err *e)
{
	unsigned tries = 0;
	int rc;

	CHECK_OBJ(x, INDEX_MAGIC);
	while (!x->private && (rc = uidvalidity_once(x, out)) != 0)
		if (!index_recover(x, &x->state, rc, &tries))
			return index_fault(e, rc, "giving a UIDVALIDITY");
	if (x->private) {
		uint32_t now = (uint32_t)clock_seconds();

		x->uidvalidity = x->uidvalidity < now ? now : x->uidvalidity + 1;
		*out = x->uidvalidity;
	}
	return 0;
}
