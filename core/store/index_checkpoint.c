/* Checkpoints: a mailbox's rows in index.state, and how they come back. */
#include <inttypes.h>

#include "base/checksum.h"
#include "base/clock.h"
#include "log/log.h"
#include "store/index_int.h"
#include "base/banned.h"

/* ---- the clean mark ---- */

int clean_put(MDB_txn *state, MDB_dbi dbi, uint64_t mailbox, uint64_t generation)
{
	struct key k = key_of(ROW_CLEAN, mailbox);
	AUTO_BUF struct buf b = BUF_INIT;
	unsigned char p[8];

	if (generation == 0)
		return value_delete(state, dbi, &k);
	little_put(p, generation, 8);
	buf_add(&b, p, sizeof(p));
	return value_put(state, dbi, &k, &b);
}

static bool clean_is(MDB_txn *state, MDB_dbi dbi, uint64_t mailbox, uint64_t generation)
{
	struct key k = key_of(ROW_CLEAN, mailbox);
	MDB_val v;

	return value_get(state, dbi, &k, &v) == 0 && v.mv_size == 8 && little_get(v.mv_data, 8) == generation;
}

/* ---- the copy ---- */

static bool same_value(const MDB_val *a, const MDB_val *b)
{
	return a->mv_size == b->mv_size && memcmp(a->mv_data, b->mv_data, a->mv_size) == 0;
}

struct side {
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_cursor *cursor;
	MDB_val key, value;
	bool there;
};

static int side_move(struct side *s, const struct key *prefix, MDB_cursor_op op)
{
	struct key k = *prefix;
	int rc;

	if (op == MDB_SET_RANGE)
		s->key = key_val(&k);
	rc = mdb_cursor_get(s->cursor, &s->key, &s->value, op);
	s->there = rc == 0 && key_below(&s->key, prefix);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int side_compare(const struct side *a, const struct side *b)
{
	size_t n = a->key.mv_size < b->key.mv_size ? a->key.mv_size : b->key.mv_size;
	int r;

	if (!a->there || !b->there)
		return a->there ? -1 : 1;
	r = memcmp(a->key.mv_data, b->key.mv_data, n);
	return r != 0 ? r : (a->key.mv_size > n) - (b->key.mv_size > n);
}

/* Makes `to` what `from` is, below the prefix; rows that are equal are not touched. */
static int copy_below(struct side *from, struct side *to, const struct key *prefix)
{
	int rc = side_move(from, prefix, MDB_SET_RANGE);

	if (rc == 0)
		rc = side_move(to, prefix, MDB_SET_RANGE);
	while (rc == 0 && (from->there || to->there)) {
		int r = side_compare(from, to);

		if (r > 0)
			rc = cursor_delete(to->cursor);
		else if (r < 0 || !same_value(&from->value, &to->value))
			rc = value_replace(to->txn, to->dbi, &from->key, &from->value);
		if (rc == 0 && r <= 0)
			rc = side_move(from, prefix, MDB_NEXT);
		if (rc == 0 && r >= 0)
			rc = side_move(to, prefix, MDB_NEXT);
	}
	return rc;
}

/* The rows of one kind. */
static int copy_kind(
    MDB_txn *from, MDB_dbi from_dbi, MDB_txn *to, MDB_dbi to_dbi, char kind, uint64_t mailbox)
{
	struct side a = {.txn = from, .dbi = from_dbi}, b = {.txn = to, .dbi = to_dbi};
	struct key prefix = key_of(kind, mailbox);
	int rc = mdb_cursor_open(from, from_dbi, &a.cursor);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_open(to, to_dbi, &b.cursor);
	if (rc == 0) {
		rc = copy_below(&a, &b, &prefix);
		mdb_cursor_close(b.cursor);
	}
	mdb_cursor_close(a.cursor);
	return rc;
}

int state_head_put(struct index *x, MDB_txn *state, uint64_t mailbox, const struct head_row *h)
{
	struct head_row row = *h;
	int rc = name_keep(x, state, mailbox);

	row.mirrored = row.checked = 0;
	row.clean = false;
	return rc != 0 ? rc : head_put(state, x->state.dbi, mailbox, &row);
}

int index_mirror(struct index *x, MDB_txn *cache, MDB_txn *state, uint64_t mailbox, const struct head_row *h)
{
	int rc = copy_kind(cache, x->cache.dbi, state, x->state.dbi, ROW_RUN, mailbox);

	if (rc == 0)
		rc = copy_kind(cache, x->cache.dbi, state, x->state.dbi, ROW_VANISHED, mailbox);
	return rc != 0 ? rc : state_head_put(x, state, mailbox, h);
}

/* ---- back from it ---- */

/* Where a mailbox comes from that the present file does not know. */
struct source {
	struct environment *v;
	uint64_t modseq; /* not 0: each message's new one */
	struct head_row head;
	run_vec runs;
};

static int adopt_run(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, const struct run *run, uint64_t modseq)
{
	struct key k = key_of(ROW_RUN, mailbox);
	AUTO_BUF struct buf b = BUF_INIT;
	unsigned char fixed[8] = {0};
	size_t i;

	key_add(&k, row_uid(run->rows), 4);
	little_put(fixed, run->count, 2);
	little_put(fixed + 2, run->size, 2);
	buf_add(&b, fixed, sizeof(fixed));
	buf_add(&b, run->rows, run->count * run->size);
	for (i = 0; modseq != 0 && i < run->count; i++)
		little_put(b.p + sizeof(fixed) + i * run->size + 32, modseq, 8);
	return value_put(txn, dbi, &k, &b);
}

static int adopt_into(struct environment *v, MDB_txn *txn, MDB_txn *from, struct source *s, uint64_t mailbox)
{
	struct head_row *h = &s->head, there;
	size_t i;
	int rc = head_get(txn, v->dbi, mailbox, NULL, &there);

	if (rc != MDB_NOTFOUND)
		return rc; /* somebody was faster */
	rc = mailbox_drop(txn, v->dbi, mailbox);
	for (i = 0; rc == 0 && i < s->runs.n; i++)
		rc = adopt_run(txn, v->dbi, mailbox, &s->runs.v[i], s->modseq);
	if (rc == 0 && s->modseq == 0)
		rc = copy_kind(from, s->v->dbi, txn, v->dbi, ROW_VANISHED, mailbox);
	h->mirrored = s->modseq == 0 ? h->head.generation : 0;
	h->clean = s->modseq == 0;
	h->checked = clock_ms();
	if (s->modseq != 0) {
		h->head.generation = generation_new();
		h->head.highestmodseq = h->head.vanished_since = s->modseq;
		h->ranges = 0;
	}
	return rc != 0 ? rc : head_put(txn, v->dbi, mailbox, h);
}

static int adopt_from(struct index *x, struct source *s, uint64_t mailbox, struct arena *a)
{
	struct environment *v = index_rows(x);
	MDB_txn *from = NULL, *txn = NULL;
	int rc = environment_read(s->v, &from);

	if (rc != 0)
		return rc;
	rc = head_get(from, s->v->dbi, mailbox, a, &s->head);
	if (rc == 0)
		rc = runs_get(from, s->v->dbi, mailbox, &s->head.head, &s->runs);
	if (rc == 0) {
		/* In memory, or from index.cache to memory, all is as it was. */
		if (s->v == &x->cache || clean_is(from, s->v->dbi, mailbox, s->head.head.generation))
			s->modseq = 0;
		else
			s->modseq =
			    s->head.head.highestmodseq < x->first ? x->first : s->head.head.highestmodseq + 1;
		rc = environment_write(x, v, &txn);
		if (rc == 0)
			rc = adopt_into(v, txn, from, s, mailbox);
		if (rc == 0)
			rc = environment_commit(&txn);
		environment_abort(&txn);
	}
	environment_read_end(s->v);
	vec_free(&s->runs);
	return rc;
}

int index_adopt(struct index *x, uint64_t mailbox)
{
	AUTO_ARENA struct arena *a = arena_new("adopt");
	struct source *s = arena_new_of(a, struct source);
	int rc = MDB_NOTFOUND;

	if (x->private && x->cache.env != NULL) {
		s->v = &x->cache;
		rc = adopt_from(x, s, mailbox, a);
	}
	if (rc == 0 || x->dir < 0 || (x->private && x->state.env == NULL))
		return rc == 0 ? 0 : MDB_NOTFOUND;
	rc = index_need_state(x);
	if (rc == 0)
		rc = index_raise(x, 0);
	if (rc != 0)
		return rc;
	s->v = &x->state;
	rc = adopt_from(x, s, mailbox, a);
	if (rc != INDEX_DAMAGED)
		return rc;
	log_msg(MSG_INDEX_VOID, "%s/%s: mailbox %016" PRIx64, x->path, x->state.name, mailbox);
	return MDB_NOTFOUND;
}

/* Whether all of a mailbox's rows are what we wrote. */
static int sound(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox)
{
	struct key prefix = key_of(ROW_VANISHED, mailbox), k = prefix;
	MDB_val key = key_val(&k), v;
	struct head_row *h = mem_new(struct head_row);
	run_vec runs = VEC_INIT;
	MDB_cursor *cursor;
	int rc = head_get(txn, dbi, mailbox, NULL, h);

	if (rc == 0)
		rc = runs_get(txn, dbi, mailbox, &h->head, &runs);
	vec_free(&runs);
	mem_free(h);
	if (rc == 0)
		rc = mdb_cursor_open(txn, dbi, &cursor);
	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &v, MDB_SET_RANGE);
	while (rc == 0 && key_below(&key, &prefix))
		rc = vanished_check(&key, &v) ? mdb_cursor_get(cursor, &key, &v, MDB_NEXT) : INDEX_DAMAGED;
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/*
 * Damage was seen: the mailbox's rows go, and it is as if nothing were known (MDB_NOTFOUND), unless somebody
 * else has written them anew (0).
 */
int index_void(struct index *x, uint64_t mailbox)
{
	struct environment *v = index_rows(x);
	MDB_txn *txn;
	int rc = environment_write(x, v, &txn);

	if (rc != 0)
		return rc;
	rc = sound(txn, v->dbi, mailbox);
	if (rc == INDEX_DAMAGED)
		rc = mailbox_drop(txn, v->dbi, mailbox);
	else {
		environment_abort(&txn);
		return rc;
	}
	if (rc == 0)
		rc = environment_commit(&txn);
	environment_abort(&txn);
	if (rc != 0)
		return rc;
	log_msg(MSG_INDEX_VOID, "%s/%s: mailbox %016" PRIx64, x->path != NULL ? x->path : "",
	    v->name != NULL ? v->name : "memory", mailbox);
	return MDB_NOTFOUND;
}

/* ---- checkpoints ---- */

/* The checkpoint did not reach the disk after all. */
static int not_kept(struct index *x, uint64_t mailbox, struct arena *a)
{
	struct head_row *h = arena_new_of(a, struct head_row);
	MDB_txn *txn = NULL;
	int rc = environment_write(x, &x->cache, &txn);

	if (rc == 0)
		rc = head_get(txn, x->cache.dbi, mailbox, a, h);
	h->mirrored = 0;
	h->clean = false;
	if (rc == 0)
		rc = head_put(txn, x->cache.dbi, mailbox, h);
	if (rc == 0)
		rc = environment_commit(&txn);
	environment_abort(&txn);
	return rc;
}

/* Nothing is lost with it, unless it was kept already. */
static bool never_used(const struct head_row *h)
{
	return h->mirrored == 0 && h->head.highest == 0 && h->head.messages == 0;
}

static int checkpoint_once(
    struct index *x, uint64_t mailbox, bool now, struct arena *a, struct environment **where)
{
	struct head_row *h = arena_new_of(a, struct head_row);
	MDB_txn *txn = NULL, *state = NULL;
	int rc = environment_read(&x->cache, &txn);

	*where = &x->cache;
	if (rc != 0)
		return rc;
	rc = head_get(txn, x->cache.dbi, mailbox, NULL, h);
	environment_read_end(&x->cache);
	if (rc != 0 || (h->clean && h->mirrored == h->head.generation) ||
	    (!now && (never_used(h) || clock_ms() - h->checked < x->o->checkpoint)))
		return rc;
	rc = environment_write(x, &x->cache, &txn);
	if (rc == 0)
		rc = head_get(txn, x->cache.dbi, mailbox, a, h);
	if (rc == 0) {
		*where = &x->state;
		rc = index_need_state(x);
	}
	if (rc == 0)
		rc = environment_write(x, &x->state, &state);
	if (rc == 0 && h->mirrored != h->head.generation)
		rc = index_mirror(x, txn, state, mailbox, h);
	if (rc == 0)
		rc = clean_put(state, x->state.dbi, mailbox, h->head.generation);
	if (rc == 0) {
		h->mirrored = h->head.generation;
		h->checked = clock_ms();
		h->clean = true;
		rc = head_put(txn, x->cache.dbi, mailbox, h);
	}
	/* First here: whoever changes something then waits for our transaction, and takes the mark away. */
	if (rc == 0)
		rc = environment_commit(&txn);
	if (rc == 0 && (rc = environment_commit(&state)) != 0)
		(void)not_kept(x, mailbox, a);
	environment_abort(&state);
	environment_abort(&txn);
	return rc;
}

void index_checkpoint(struct index *x, uint64_t mailbox, bool now)
{
	AUTO_ARENA struct arena *a = NULL;
	unsigned tries = 0;
	int rc = 0;

	CHECK_OBJ(x, INDEX_MAGIC);
	while (!x->private) {
		struct environment *where;

		arena_free(&a);
		a = arena_new("checkpoint");
		rc = checkpoint_once(x, index_actual(x, mailbox), now, a, &where);
		/* Not known, or void: whoever reads it next sees to that. */
		if (rc == 0 || rc == MDB_NOTFOUND || rc == INDEX_DAMAGED)
			return;
		if (!index_recover(x, where, rc, &tries))
			break;
	}
	if (rc != 0)
		log_msg(MSG_INDEX_CHECKPOINT, "%s: %s", x->path, index_reason(rc));
}
