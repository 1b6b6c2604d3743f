/*
 * Wire forms: what was computed from a message, as it goes to clients. One row each, so that one is read
 * without the others, and those of one kind lie together for a scan.
 */
#include "base/checksum.h"
#include "store/index_int.h"
#include "base/banned.h"

#define NAME_MAX_OCTETS 200u
#define TEXT_MAX 65536u
#define PENDING_MAX (1024u * 1024u)

/* 'W', mailbox, kind, length of the name, the name; the UID follows. */
static struct key wire_prefix(uint64_t mailbox, int kind, struct str name)
{
	struct key k = key_of(ROW_WIRE, mailbox);

	key_add(&k, (uint64_t)kind, 1);
	key_add(&k, name.n, 1);
	key_add_text(&k, name);
	return k;
}

static struct str pending_text(const struct index *x, const struct wire_put *p)
{
	return str_mem(x->put_text.p + p->at + p->name, p->text);
}

static bool pending_is(const struct index *x, const struct wire_put *p, uint64_t mailbox, uint32_t uid,
    int kind, struct str name)
{
	return p->uid == uid && p->mailbox == mailbox && p->kind == kind &&
	       str_eq(str_mem(x->put_text.p + p->at, p->name), name);
}

int index_wire(struct index *x, uint64_t mailbox, uint32_t uid, int kind, struct str name, struct buf *out,
    struct err *e)
{
	unsigned tries = 0;
	size_t i;

	CHECK_OBJ(x, INDEX_MAGIC);
	if (name.n > NAME_MAX_OCTETS)
		return 0;
	/* Mostly messages are gone through by rising UID, and those before need not be looked at. */
	for (i = x->puts.n; i > 0 && (x->puts_mixed || x->puts.v[i - 1].uid >= uid); i--)
		if (pending_is(x, &x->puts.v[i - 1], mailbox, uid, kind, name)) {
			buf_addstr(out, pending_text(x, &x->puts.v[i - 1]));
			return 1;
		}
	for (;;) {
		struct environment *v = index_rows(x);
		struct key k = wire_prefix(index_actual(x, mailbox), kind, name);
		MDB_txn *txn;
		MDB_val value;
		int rc = environment_read(v, &txn);

		key_add(&k, uid, 4);
		if (rc == 0) {
			rc = value_get(txn, v->dbi, &k, &value);
			if (rc == 0)
				buf_add(out, value.mv_data, value.mv_size);
			environment_read_end(v);
		}
		if (rc == 0)
			return 1;
		if (rc == MDB_NOTFOUND ||
		    rc == INDEX_DAMAGED) /* it is computed again, and put in its place */
			return 0;
		if (!index_recover(x, v, rc, &tries))
			return index_fault(e, rc, "reading the index");
	}
}

struct scan {
	struct key prefix;
	uint32_t next; /* UID to go on with */
	index_wire_fn *fn;
	void *arg;
	int answer;
};

static int scan_once(MDB_txn *txn, MDB_dbi dbi, struct scan *s)
{
	struct key k = s->prefix;
	MDB_val key, v;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, dbi, &cursor);

	if (rc != 0)
		return rc;
	key_add(&k, s->next, 4);
	key = key_val(&k);
	rc = mdb_cursor_get(cursor, &key, &v, MDB_SET_RANGE);
	while (rc == 0 && key_below(&key, &s->prefix) && s->answer == 0) {
		uint32_t uid = (uint32_t)key_number(&key, s->prefix.n, 4);

		s->next = uid + 1;
		if (key.mv_size == s->prefix.n + 4 && value_check(&v)) {
			guard_callback++;
			s->answer = s->fn(s->arg, uid, str_mem(v.mv_data, v.mv_size));
			guard_callback--;
		}
		rc = mdb_cursor_get(cursor, &key, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int index_wire_scan(
    struct index *x, uint64_t mailbox, int kind, struct str name, index_wire_fn *fn, void *arg, struct err *e)
{
	struct scan s = {.fn = fn, .arg = arg};
	unsigned tries = 0;

	CHECK_OBJ(x, INDEX_MAGIC);
	if (name.n > NAME_MAX_OCTETS)
		return 0;
	index_wire_flush(x);
	for (;;) {
		struct environment *v = index_rows(x);
		MDB_txn *txn;
		int rc = environment_read(v, &txn);

		s.prefix = wire_prefix(index_actual(x, mailbox), kind, name);
		if (rc == 0) {
			rc = scan_once(txn, v->dbi, &s);
			environment_read_end(v);
		}
		if (rc == 0)
			return s.answer;
		if (!index_recover(x, v, rc, &tries))
			return index_fault(e, rc, "reading the index");
	}
}

void index_wire_put(
    struct index *x, uint64_t mailbox, uint32_t uid, int kind, struct str name, struct str text)
{
	CHECK_OBJ(x, INDEX_MAGIC);
	if (name.n > NAME_MAX_OCTETS || text.n > TEXT_MAX)
		return;
	if (x->puts.n > 0 && x->puts.v[x->puts.n - 1].uid > uid)
		x->puts_mixed = true;
	*vec_push(&x->puts) = (struct wire_put){mailbox, uid, kind, x->put_text.n, name.n, text.n};
	buf_addstr(&x->put_text, name);
	buf_addstr(&x->put_text, text);
	if (x->put_text.n >= PENDING_MAX)
		index_wire_flush(x);
}

void wire_discard(struct index *x, uint64_t given)
{
	size_t i;

	for (i = 0; i < x->puts.n; i++)
		if (x->puts.v[i].mailbox == given)
			x->puts.v[i].kind = 0;
}

/* Whether what was put before now may still be of messages of this mailbox. */
static bool same_epoch(struct index *x, MDB_txn *txn, MDB_dbi dbi, uint64_t actual)
{
	uint64_t generation, epoch, known = epoch_known(x, actual);

	return head_generation(txn, dbi, actual, &generation, &epoch) == 0 && (known == 0 || known == epoch);
}

static int flush_puts(struct index *x, MDB_txn *txn, MDB_dbi dbi)
{
	AUTO_BUF struct buf b = BUF_INIT;
	uint64_t asked = 0;
	bool good = false;
	size_t i;
	int rc = 0;

	for (i = 0; rc == 0 && i < x->puts.n; i++) {
		const struct wire_put *p = &x->puts.v[i];
		uint64_t actual = index_actual(x, p->mailbox);
		struct key k;

		if (actual != asked)
			good = same_epoch(x, txn, dbi, actual);
		asked = actual;
		if (!good || p->kind == 0)
			continue;
		k = wire_prefix(actual, p->kind, str_mem(x->put_text.p + p->at, p->name));
		key_add(&k, p->uid, 4);
		buf_truncate(&b, 0);
		buf_addstr(&b, pending_text(x, p));
		rc = value_put(txn, dbi, &k, &b);
	}
	return rc;
}

static int flush_once(struct index *x, struct environment *v)
{
	MDB_txn *txn;
	int rc = wire_room(x, v);

	if (rc == 0)
		rc = environment_write(x, v, &txn);
	if (rc != 0)
		return rc;
	rc = flush_puts(x, txn, v->dbi);
	if (rc == 0)
		rc = environment_commit(&txn);
	environment_abort(&txn);
	return rc;
}

void index_wire_flush(struct index *x)
{
	unsigned tries = 0;
	int rc;

	CHECK_OBJ(x, INDEX_MAGIC);
	/* They can be computed again: nobody need know when they could not be kept. */
	while (x->puts.n > 0 && (rc = flush_once(x, index_rows(x))) != 0)
		if (!index_recover(x, index_rows(x), rc, &tries))
			break;
	vec_clear(&x->puts);
	buf_reset(&x->put_text);
	x->puts_mixed = false;
}

/* ---- what goes with its message ---- */

/* Of one kind and name: the rows of these UIDs. */
static int vanish_kind(MDB_cursor *cursor, const struct key *prefix, const uint32_t *uids, size_t count)
{
	size_t i = 0;

	while (i < count) {
		struct key k = *prefix;
		MDB_val key;
		uint32_t uid;
		int rc;

		key_add(&k, uids[i], 4);
		key = key_val(&k);
		rc = mdb_cursor_get(cursor, &key, NULL, MDB_SET_RANGE);
		if (rc == MDB_NOTFOUND || (rc == 0 && !key_below(&key, prefix)))
			return 0;
		if (rc != 0)
			return rc;
		uid = (uint32_t)key_number(&key, prefix->n, 4);
		while (i < count && uids[i] < uid)
			i++;
		if (i == count || uids[i] != uid)
			continue;
		rc = cursor_delete(cursor);
		if (rc != 0)
			return rc;
		i++;
	}
	return 0;
}

int wire_vanish(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, const uint32_t *uids, size_t count)
{
	struct key all = key_of(ROW_WIRE, mailbox), k = all;
	MDB_cursor *cursor;
	int rc;

	if (count == 0)
		return 0;
	rc = mdb_cursor_open(txn, dbi, &cursor);
	if (rc != 0)
		return rc;
	for (;;) {
		MDB_val key = key_val(&k);

		rc = mdb_cursor_get(cursor, &key, NULL, MDB_SET_RANGE);
		if (rc != 0 || !key_below(&key, &all))
			break;
		if (key.mv_size < all.n + 6 || key.mv_size > all.n + 6 + NAME_MAX_OCTETS) { /* not ours */
			rc = cursor_delete(cursor);
			if (rc != 0)
				break;
			continue;
		}
		k.n = key.mv_size - 4;
		memcpy(k.p, key.mv_data, k.n);
		rc = vanish_kind(cursor, &k, uids, count);
		if (rc != 0)
			break;
		key_add(&k, UINT64_MAX, 5); /* behind the last of this kind and name */
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}
