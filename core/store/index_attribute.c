/* Attributes: METADATA, special use, object ids. In index.state only, durable when the call returns. */
#include "store/index_int.h"
#include "base/banned.h"

static bool attribute_key(struct index *x, uint64_t mailbox, struct str name, struct key *k)
{
	*k = key_of(ROW_ATTRIBUTE, mailbox == 0 ? 0 : index_actual(x, mailbox));
	if (name.n > sizeof(k->p) - k->n)
		return false;
	key_add_text(k, name);
	return true;
}

/* State may be read in a private index, too, if it could be opened. */
static int state_read(struct index *x, MDB_txn **txn)
{
	int rc = x->dir < 0 || (x->private && x->state.env == NULL) ? MDB_NOTFOUND : index_need_state(x);

	return rc != 0 ? rc : environment_read(&x->state, txn);
}

int index_attribute(struct index *x, uint64_t mailbox, struct str name, struct buf *out, struct err *e)
{
	unsigned tries = 0;

	CHECK_OBJ(x, INDEX_MAGIC);
	for (;;) {
		struct key k;
		MDB_txn *txn;
		MDB_val v;
		int rc;

		if (!attribute_key(x, mailbox, name, &k))
			return 0;
		rc = state_read(x, &txn);
		if (rc == 0) {
			rc = value_get(txn, x->state.dbi, &k, &v);
			if (rc == 0)
				buf_add(out, v.mv_data, v.mv_size);
			environment_read_end(&x->state);
		}
		if (rc == 0)
			return 1;
		if (rc == MDB_NOTFOUND || rc == INDEX_DAMAGED)
			return 0;
		if (!index_recover(x, &x->state, rc, &tries))
			return index_fault(e, rc, "reading an attribute");
	}
}

/*
 * Clients choose how much they put here. The last eighth is for what the server must remember, so that they
 * can not make it forget.
 */
static bool room_left(struct index *x)
{
	uint64_t octets, limit = x->o->state_size / 8 * 7;
	MDB_envinfo info;

	if (mdb_env_info(x->state.env, &info) != 0 || (uint64_t)info.me_last_pgno * index_page < limit)
		return true;
	return environment_octets(&x->state, &octets) != 0 || octets < limit;
}

static int put(struct index *x, MDB_txn *txn, struct str name, const struct index_value *v)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct key k;
	int rc;

	attribute_key(x, v->mailbox, name, &k);
	if (v->value.p == NULL)
		return value_delete(txn, x->state.dbi, &k);
	buf_addstr(&b, v->value);
	rc = room_left(x) ? value_put(txn, x->state.dbi, &k, &b) : INDEX_FULL;
	return rc == 0 && v->mailbox != 0 ? name_keep(x, txn, index_actual(x, v->mailbox)) : rc;
}

static int set_once(struct index *x, struct str name, const struct index_value *v, size_t count)
{
	MDB_txn *txn = NULL;
	int rc = index_need_state(x);
	size_t i;

	if (rc == 0)
		rc = environment_write(x, &x->state, &txn);
	for (i = 0; rc == 0 && i < count; i++)
		rc = put(x, txn, name, &v[i]);
	if (rc == 0)
		rc = environment_commit(&txn);
	environment_abort(&txn);
	return rc;
}

int index_attribute_set_all(
    struct index *x, struct str name, const struct index_value *v, size_t count, struct err *e)
{
	unsigned tries = 0;
	struct key k;
	int rc;

	CHECK_OBJ(x, INDEX_MAGIC);
	if (!attribute_key(x, 0, name, &k))
		return err_fail(e, MORTISE_E_LIMIT, "The name is too long");
	for (;;) {
		if (x->private)
			return err_fault(e, MORTISE_E_UNAVAILABLE,
			    "an attribute cannot be kept: the index is in memory only");
		rc = set_once(x, name, v, count);
		if (rc == 0)
			return 0;
		if (rc == INDEX_FULL)
			return err_fault(e, MORTISE_E_QUOTA,
			    "an attribute: index.state has reached "
			    "store.index_state_size");
		if (!index_recover(x, &x->state, rc, &tries))
			return index_fault(e, rc, "writing an attribute");
	}
}

int index_attribute_set(
    struct index *x, uint64_t mailbox, struct str name, const struct str *value, struct err *e)
{
	const struct index_value v = {.mailbox = mailbox, .value = value != NULL ? *value : STR_NONE};

	return index_attribute_set_all(x, name, &v, 1, e);
}

struct listing {
	struct key prefix;
	struct key last; /* told already; n 0: none */
	index_attribute_fn *fn;
	void *arg;
	int answer;
};

static int list_once(MDB_txn *txn, MDB_dbi dbi, struct listing *l)
{
	struct key from = l->last.n > 0 ? l->last : l->prefix;
	size_t skip = 1 + 8;
	MDB_val key = key_val(&from), v;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, dbi, &cursor);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &key, &v, MDB_SET_RANGE);
	if (rc == 0 && l->last.n > 0 && key.mv_size == l->last.n && key_below(&key, &l->last))
		rc = mdb_cursor_get(cursor, &key, &v, MDB_NEXT);
	while (rc == 0 && key_below(&key, &l->prefix) && l->answer == 0) {
		l->last.n = 0;
		key_add_text(&l->last, str_mem(key.mv_data, key.mv_size));
		if (value_check(&v)) {
			guard_callback++;
			l->answer = l->fn(l->arg, str_from(str_mem(key.mv_data, key.mv_size), skip),
			    str_mem(v.mv_data, v.mv_size));
			guard_callback--;
		}
		rc = mdb_cursor_get(cursor, &key, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int index_attributes(
    struct index *x, uint64_t mailbox, struct str prefix, index_attribute_fn *fn, void *arg, struct err *e)
{
	struct listing l = {.fn = fn, .arg = arg};
	unsigned tries = 0;

	CHECK_OBJ(x, INDEX_MAGIC);
	for (;;) {
		MDB_txn *txn;
		int rc;

		if (!attribute_key(x, mailbox, prefix, &l.prefix))
			return 0;
		rc = state_read(x, &txn);
		if (rc == MDB_NOTFOUND)
			return 0;
		if (rc == 0) {
			rc = list_once(txn, x->state.dbi, &l);
			environment_read_end(&x->state);
		}
		if (rc == 0)
			return l.answer;
		if (!index_recover(x, &x->state, rc, &tries))
			return index_fault(e, rc, "reading attributes");
	}
}
