/* Runs of messages, and how a commit changes them. */
#include "base/checksum.h"
#include "store/index_int.h"
#include "base/banned.h"

#define RUN_LOW 64u /* a run with fewer messages is put together with the next one */

/* Rows of the run that is being made: encoded already, or new. */
struct item {
	const unsigned char *old; /* NULL: new */
	size_t size;
	const struct index_row *row;
};

struct rewrite {
	MDB_txn *txn;
	MDB_dbi dbi;
	uint64_t mailbox;
	const struct index_commit *c;
	size_t row, vanished; /* how far */
	struct item items[INDEX_RUN_MAX];
	size_t count;
	struct buf before[2]; /* copies of the runs that items point into */
	struct buf out;
};

static uint32_t item_uid(const struct item *i)
{
	return i->old != NULL ? row_uid(i->old) : i->row->uid;
}

static struct key run_key(uint64_t mailbox, uint32_t uid)
{
	struct key k = key_of(ROW_RUN, mailbox);

	key_add(&k, uid, 4);
	return k;
}

static int run_write(struct rewrite *w)
{
	unsigned char fixed[8] = {0};
	size_t size = 0, i;
	struct key k;

	if (w->count == 0)
		return 0;
	for (i = 0; i < w->count; i++)
		if (w->items[i].size > size)
			size = w->items[i].size;
	little_put(fixed, w->count, 2);
	little_put(fixed + 2, size, 2);
	buf_truncate(&w->out, 0);
	buf_add(&w->out, fixed, sizeof(fixed));
	buf_reserve(&w->out, w->count * size + INDEX_SUM);
	for (i = 0; i < w->count; i++) {
		unsigned char *p = (unsigned char *)w->out.p + w->out.n;
		const struct item *item = &w->items[i];

		if (item->old != NULL) {
			memcpy(p, item->old, item->size);
			memset(p + item->size, 0, size - item->size);
		} else
			row_encode(p, size, item->row);
		w->out.n += size;
	}
	k = run_key(w->mailbox, item_uid(&w->items[0]));
	w->count = 0;
	return value_put(w->txn, w->dbi, &k, &w->out);
}

static int item_add(struct rewrite *w, const unsigned char *old, size_t size, const struct index_row *row)
{
	int rc = w->count == INDEX_RUN_MAX ? run_write(w) : 0;

	w->items[w->count++] = (struct item){old, size, row};
	return rc;
}

/* The UID the commit speaks of next; UINT64_MAX: none. */
static uint64_t next_uid(const struct rewrite *w)
{
	uint64_t row = w->row < w->c->row_count ? w->c->rows[w->row].uid : UINT64_MAX;
	uint64_t gone = w->vanished < w->c->vanished_count ? w->c->vanished[w->vanished] : UINT64_MAX;

	return row < gone ? row : gone;
}

/* Takes what the commit says of `uid`. A row that is both new and vanished is gone. */
static int take(struct rewrite *w, uint64_t uid)
{
	const struct index_row *row = NULL;

	if (w->row < w->c->row_count && w->c->rows[w->row].uid == uid)
		row = &w->c->rows[w->row++];
	if (w->vanished < w->c->vanished_count && w->c->vanished[w->vanished] == uid) {
		w->vanished++;
		return 0;
	}
	return row != NULL ? item_add(w, NULL, row_size(row), row) : 0;
}

/* Old rows and the commit's, in order, up to `end`. */
static int merge(struct rewrite *w, const struct run *run, uint64_t end)
{
	const unsigned char *p = run->rows;
	size_t left = run->count;
	int rc = 0;

	while (rc == 0) {
		uint64_t old = left > 0 ? row_uid(p) : UINT64_MAX, next = next_uid(w);

		if (old == UINT64_MAX && next >= end)
			return 0;
		if (next <= old)
			rc = take(w, next);
		else
			rc = item_add(w, p, run->size, NULL);
		if (old <= next) {
			p += run->size;
			left--;
		}
	}
	return rc;
}

/*
 * The run that `uid` belongs to: the last that begins at or before it, else the first. MDB_NOTFOUND: there is
 * none. *end: where the next one begins.
 */
static int run_find(
    struct rewrite *w, uint32_t uid, unsigned turn, struct key *at, struct run *run, uint64_t *end)
{
	struct key prefix = key_of(ROW_RUN, w->mailbox), k = run_key(w->mailbox, uid);
	MDB_val key = key_val(&k), v;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(w->txn, w->dbi, &cursor);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &v, MDB_SET_RANGE);
	if (rc == MDB_NOTFOUND)
		rc = mdb_cursor_get(cursor, &key, &v, MDB_LAST);
	else if (rc == 0 && (!key_below(&key, &prefix) || key_number(&key, prefix.n, 4) != uid)) {
		rc = mdb_cursor_get(cursor, &key, &v, MDB_PREV);
		if (rc == MDB_NOTFOUND || (rc == 0 && !key_below(&key, &prefix)))
			rc = mdb_cursor_get(cursor, &key, &v, rc == 0 ? MDB_NEXT : MDB_FIRST);
	}
	if (rc == 0 && !key_below(&key, &prefix))
		rc = MDB_NOTFOUND;
	if (rc == 0 && key.mv_size != prefix.n + 4)
		rc = INDEX_DAMAGED;
	if (rc == 0) {
		struct buf *copy = &w->before[turn];

		buf_truncate(copy, 0);
		buf_add(copy, v.mv_data, v.mv_size);
		*at = run_key(w->mailbox, (uint32_t)key_number(&key, prefix.n, 4));
		if (!run_of((MDB_val){copy->n, copy->p}, (uint32_t)key_number(&key, prefix.n, 4), run))
			rc = INDEX_DAMAGED;
		*end = UINT64_MAX;
		if (mdb_cursor_get(cursor, &key, &v, MDB_NEXT) == 0 && key_below(&key, &prefix))
			*end = key_number(&key, prefix.n, 4);
	}
	mdb_cursor_close(cursor);
	return rc;
}

/* Whether the first row of the run stays first, so that the new run takes the old one's place by itself. */
static bool key_stays(const struct rewrite *w, uint32_t first)
{
	const struct index_commit *c = w->c;

	return w->count == 0 && next_uid(w) >= first &&
	       !(w->vanished < c->vanished_count && c->vanished[w->vanished] == first);
}

/* Rewrites the run that the next UID of the commit belongs to; with its neighbour when it becomes short. */
static int rewrite_run(struct rewrite *w)
{
	uint64_t end = next_uid(w);
	struct run run;
	struct key at;
	unsigned i;
	int rc = 0;

	for (i = 0; i < 2; i++) {
		rc = run_find(w, (uint32_t)end, i, &at, &run, &end);
		if (rc == MDB_NOTFOUND) {
			run = (struct run){.count = 0};
			return merge(w, &run, UINT64_MAX);
		}
		if (rc != 0 || (i > 0 && w->count + run.count > INDEX_RUN_MAX))
			return rc;
		if (!key_stays(w, row_uid(run.rows)))
			rc = value_delete(w->txn, w->dbi, &at);
		if (rc == 0)
			rc = merge(w, &run, end);
		if (rc != 0 || w->count == 0 || w->count >= RUN_LOW || end == UINT64_MAX)
			return rc;
	}
	return 0;
}

int runs_change(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, const struct index_commit *c)
{
	struct rewrite *w = mem_new(struct rewrite);
	int rc = 0;

	w->txn = txn;
	w->dbi = dbi;
	w->mailbox = mailbox;
	w->c = c;
	while (rc == 0 && next_uid(w) != UINT64_MAX) {
		rc = rewrite_run(w);
		if (rc == 0)
			rc = run_write(w);
	}
	buf_free(&w->before[0]);
	buf_free(&w->before[1]);
	buf_free(&w->out);
	mem_free(w);
	return rc;
}
