/* Reading what is known of a mailbox. */
#include "base/checksum.h"
#include "store/index_int.h"
#include "base/banned.h"

/* ---- reading ---- */

#define VOIDS 2

typedef int read_fn(struct index *x, MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, void *arg);

/*
 * Calls fn in a read transaction. It answers 0, MDB_NOTFOUND when nothing is known (then a checkpoint is
 * looked for once), INDEX_DAMAGED when the mailbox's rows are void, a code of LMDB's. The answer is 0,
 * MDB_NOTFOUND, or a code with e set.
 */
static int reading(struct index *x, uint64_t mailbox, read_fn *fn, void *arg, struct err *e)
{
	unsigned tries = 0;
	bool asked = false;

	CHECK_OBJ(x, INDEX_MAGIC);
	for (;;) {
		struct environment *v = index_rows(x);
		uint64_t actual = index_actual(x, mailbox);
		MDB_txn *txn;
		int rc = environment_read(v, &txn);

		if (rc == 0) {
			rc = fn(x, txn, v->dbi, actual, arg);
			environment_read_end(v);
		}
		if (rc == 0)
			return 0;
		if (rc == INDEX_DAMAGED) {
			rc = index_void(x, actual);
			if (rc == 0 && tries++ < VOIDS)
				continue;
			rc = rc == 0 ? MDB_CORRUPTED : rc;
		}
		if (rc == MDB_NOTFOUND) {
			if (asked)
				return MDB_NOTFOUND;
			asked = true;
			rc = index_refind(x, mailbox);
			if (rc == MDB_NOTFOUND)
				rc = index_adopt(x, index_actual(x, mailbox));
			if (rc == 0)
				continue;
			if (rc == MDB_NOTFOUND)
				return MDB_NOTFOUND;
		}
		if (!index_recover(x, index_rows(x), rc, &tries))
			return index_fault(e, rc, "reading the index");
	}
}

struct head_call {
	struct arena *arena;
	struct index_head *out;
};

static int read_head(struct index *x, MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, void *arg)
{
	struct head_call *c = arg;
	struct head_row row;
	int rc = head_get(txn, dbi, mailbox, c->arena, &row);

	if (rc == 0) {
		*c->out = row.head;
		epoch_seen(x, mailbox, row.epoch);
	}
	return rc;
}

int index_head(struct index *x, uint64_t mailbox, struct arena *a, struct index_head *out, struct err *e)
{
	struct head_call c = {a, out};
	int r = reading(x, mailbox, read_head, &c, e);

	if (r == MDB_NOTFOUND) {
		memset(out, 0, sizeof(*out));
		return 0;
	}
	return r;
}

static int read_generation(struct index *x, MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, void *arg)
{
	uint64_t epoch;
	int rc = head_generation(txn, dbi, mailbox, arg, &epoch);

	if (rc == 0)
		epoch_seen(x, mailbox, epoch);
	return rc;
}

int index_generation(struct index *x, uint64_t mailbox, uint64_t *generation, struct err *e)
{
	int r = reading(x, mailbox, read_generation, generation, e);

	if (r == MDB_NOTFOUND) {
		*generation = 0;
		return 0;
	}
	return r;
}

struct load_call {
	struct head_call head;
	index_row_fn *fn;
	void *arg;
	int answer;
};

static int read_rows(struct index *x, MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, void *arg)
{
	struct load_call *c = arg;
	run_vec runs = VEC_INIT;
	size_t i, j;
	int rc = read_head(x, txn, dbi, mailbox, &c->head);

	if (rc == 0)
		rc = runs_get(txn, dbi, mailbox, c->head.out, &runs);
	guard_callback++;
	for (i = 0; rc == 0 && i < runs.n && c->answer == 0; i++) {
		const unsigned char *p = runs.v[i].rows;

		for (j = 0; j < runs.v[i].count && c->answer == 0; j++, p += runs.v[i].size) {
			struct index_row row;

			row_decode(p, &row);
			c->answer = c->fn(c->arg, &row);
		}
	}
	guard_callback--;
	vec_free(&runs);
	return rc;
}

int index_load(struct index *x, uint64_t mailbox, struct arena *a, struct index_head *head, index_row_fn *fn,
    void *arg, struct err *e)
{
	struct load_call c = {.head = {a, head}, .fn = fn, .arg = arg};
	int r = reading(x, mailbox, read_rows, &c, e);

	if (r == MDB_NOTFOUND) {
		memset(head, 0, sizeof(*head));
		return 0;
	}
	return r != 0 ? r : c.answer;
}

/* ---- what vanished ---- */

struct vanished_call {
	uint64_t since;
	index_range_fn *fn;
	void *arg;
	int answer;
};

static int read_vanished(struct index *x, MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, void *arg)
{
	struct key prefix = key_of(ROW_VANISHED, mailbox), k = prefix;
	struct vanished_call *c = arg;
	MDB_val key, v;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, dbi, &cursor);

	(void)x;
	if (rc != 0)
		return rc;
	key_add(&k, c->since + 1, 8);
	key = key_val(&k);
	rc = c->since == UINT64_MAX ? MDB_NOTFOUND : mdb_cursor_get(cursor, &key, &v, MDB_SET_RANGE);
	while (rc == 0 && key_below(&key, &prefix) && c->answer == 0) {
		const unsigned char *p = v.mv_data;

		if (!vanished_check(&key, &v)) {
			rc = INDEX_DAMAGED;
			break;
		}
		guard_callback++;
		for (; v.mv_size > 0 && c->answer == 0; v.mv_size -= 8, p += 8)
			c->answer = c->fn(c->arg, (uint32_t)little_get(p, 4), (uint32_t)little_get(p + 4, 4));
		guard_callback--;
		c->since = key_number(&key, prefix.n, 8); /* where another try goes on */
		rc = mdb_cursor_get(cursor, &key, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int index_vanished(
    struct index *x, uint64_t mailbox, uint64_t since, index_range_fn *fn, void *arg, struct err *e)
{
	struct vanished_call c = {since, fn, arg, 0};
	int r = reading(x, mailbox, read_vanished, &c, e);

	return r == MDB_NOTFOUND ? 0 : r != 0 ? r : c.answer;
}
