/* Looking at all of it, and idle work. */
#include <errno.h>

#include "base/checksum.h"
#include "store/index_int.h"
#include "base/banned.h"

/* ---- pages ---- */

/* Pages that are free are counted in LMDB's own list of them (its database 0). */
static int count_octets(struct environment *v, MDB_txn *txn, uint64_t *octets)
{
	MDB_envinfo info;
	MDB_stat stat;
	MDB_cursor *cursor;
	MDB_val key, value;
	uint64_t pages, unused = 0;
	int rc = mdb_env_info(v->env, &info);

	if (rc == 0)
		rc = mdb_stat(txn, 0, &stat);
	if (rc == 0)
		rc = mdb_cursor_open(txn, 0, &cursor);
	if (rc != 0)
		return rc;
	while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
		size_t count;

		if (value.mv_size < sizeof(count))
			break;
		memcpy(&count, value.mv_data, sizeof(count));
		unused += count;
	}
	mdb_cursor_close(cursor);
	pages = (uint64_t)info.me_last_pgno + 1;
	pages -= unused < pages ? unused : pages;
	*octets = pages * stat.ms_psize;
	return rc == MDB_NOTFOUND ? 0 : rc != 0 ? rc : INDEX_DAMAGED;
}

int environment_octets(struct environment *v, uint64_t *octets)
{
	MDB_txn *txn;
	int rc = environment_read(v, &txn);

	if (rc != 0)
		return rc;
	rc = count_octets(v, txn, octets);
	environment_read_end(v);
	return rc;
}

/* ---- room ---- */

struct oldest {
	uint64_t mailbox;
	int64_t used;
	bool found;
};

/* The mailbox that has wire forms and was not changed for the longest time. */
static int find_oldest(struct environment *v, struct oldest *o)
{
	struct key k = {.n = 0};
	MDB_val key, value;
	MDB_cursor *cursor = NULL;
	MDB_txn *txn;
	int rc = environment_read(v, &txn);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_open(txn, v->dbi, &cursor);
	key_add(&k, ROW_WIRE, 1);
	while (rc == 0) {
		struct head_row row = {.used = 0};
		uint64_t mailbox;

		key = key_val(&k);
		rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
		if (rc != 0 || *(unsigned char *)key.mv_data != ROW_WIRE)
			break;
		mailbox = key_number(&key, 1, 8);
		(void)head_get(txn, v->dbi, mailbox, NULL, &row);
		if (!o->found || row.used < o->used)
			*o = (struct oldest){mailbox, row.used, true};
		if (mailbox == UINT64_MAX)
			break;
		k = key_of(ROW_WIRE, mailbox + 1);
	}
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	environment_read_end(v);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Drops one mailbox's wire forms. MDB_MAP_FULL: there are none. */
int wire_evict(struct index *x, struct environment *v)
{
	struct oldest o = {.found = false};
	struct key k;
	MDB_txn *txn = NULL;
	int rc = find_oldest(v, &o);

	if (rc == 0 && !o.found)
		return MDB_MAP_FULL;
	if (rc == 0)
		rc = environment_write(x, v, &txn);
	if (rc != 0)
		return rc;
	k = key_of(ROW_WIRE, o.mailbox);
	rc = value_delete_below(txn, v->dbi, &k);
	if (rc == 0)
		rc = environment_commit(&txn);
	environment_abort(&txn);
	return rc;
}

/* Before wire forms are written: room is made while there still is some. */
int wire_room(struct index *x, struct environment *v)
{
	uint64_t limit = v == &x->cache ? x->o->cache_size : x->o->state_size, octets = 0;
	MDB_envinfo info;
	int rc = mdb_env_info(v->env, &info);

	/* The file never becomes smaller, but pages in it become free: they are counted only when it is near.
	 */
	if (rc != 0 || (uint64_t)info.me_last_pgno * index_page < limit / 8 * 7)
		return rc;
	rc = environment_octets(v, &octets);
	return rc == 0 && octets >= limit / 8 * 7 ? wire_evict(x, v) : rc;
}

void index_tidy(struct index *x)
{
	int dead;

	CHECK_OBJ(x, INDEX_MAGIC);
	index_wire_flush(x);
	if (x->cache.env != NULL)
		(void)mdb_reader_check(x->cache.env, &dead);
	if (x->state.env != NULL)
		(void)mdb_reader_check(x->state.env, &dead);
}

/* ---- verify ---- */

struct survey {
	struct index *x;
	uint64_t mailbox; /* 0: all */
	struct index_report *out;
	MDB_txn *other; /* rows of mailboxes that this one has were counted there; NULL: none were */
	MDB_dbi other_dbi;
	uint64_t asked; /* the mailbox it was asked for last */
	bool counted;
};

/* Whether the other file has the mailbox, so that its rows there are the ones that count. */
static bool counted_there(struct survey *s, uint64_t mailbox)
{
	uint64_t generation, epoch;

	if (s->other == NULL)
		return false;
	if (s->asked != mailbox) {
		s->asked = mailbox;
		s->counted = head_generation(s->other, s->other_dbi, mailbox, &generation, &epoch) == 0;
	}
	return s->counted;
}

static void survey_name(struct survey *s, MDB_val *key, const MDB_val *v)
{
	MDB_val there;

	if (v->mv_size < 8 || (s->mailbox != 0 && little_get(v->mv_data, 8) != s->mailbox))
		return;
	if (s->other == NULL || mdb_get(s->other, s->other_dbi, key, &there) != 0)
		s->out->mailboxes++;
}

static void survey_row(struct survey *s, MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val v)
{
	char kind = key->mv_size > 0 ? *(const char *)key->mv_data : '\0';
	uint64_t mailbox = key_number(key, 1, 8);
	struct index_report *r = s->out;
	MDB_val whole = v;
	struct head_row head;
	struct run run;
	bool good;

	if (kind != ROW_NAME && kind != ROW_INFO && s->mailbox != 0 && mailbox != s->mailbox)
		return;
	good = value_check(&v);
	if (good && kind == ROW_RUN)
		good = key->mv_size == 13 && run_of(whole, (uint32_t)key_number(key, 9, 4), &run);
	else if (good && kind == ROW_HEAD)
		good = head_get(txn, dbi, mailbox, NULL, &head) == 0;
	if (!good) {
		r->damaged++;
		return;
	}
	if (kind == ROW_NAME)
		survey_name(s, key, &v);
	else if (kind == ROW_ATTRIBUTE)
		r->attributes++;
	else if (kind == ROW_WIRE)
		r->wire_rows++;
	else if (kind == ROW_RUN && !counted_there(s, mailbox)) {
		r->runs++;
		r->messages += run.count;
	} else if (kind == ROW_VANISHED && !counted_there(s, mailbox))
		r->vanished_ranges += v.mv_size / 8;
}

static int survey_file(struct survey *s, struct environment *v)
{
	MDB_val key, value;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int rc = environment_read(v, &txn);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_open(txn, v->dbi, &cursor);
	if (rc == 0) {
		while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
			survey_row(s, txn, v->dbi, &key, value);
		mdb_cursor_close(cursor);
	}
	environment_read_end(v);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int verify_once(
    struct index *x, uint64_t mailbox, struct index_report *out, struct environment **where)
{
	struct survey s = {.x = x, .mailbox = mailbox, .out = out, .asked = 0};
	struct environment *v = index_rows(x);
	int rc;

	memset(out, 0, sizeof(*out));
	*where = v;
	rc = survey_file(&s, v);
	if (rc == 0)
		rc = environment_octets(v, &out->cache_octets);
	if (rc != 0 || x->dir < 0 || (x->private && x->state.env == NULL))
		return rc;
	*where = &x->state;
	rc = index_need_state(x);
	if (rc == 0)
		rc = environment_read(v, &s.other);
	if (rc != 0)
		return rc;
	s.other_dbi = v->dbi;
	rc = survey_file(&s, &x->state);
	environment_read_end(v);
	return rc != 0 ? rc : environment_octets(&x->state, &out->state_octets);
}

int index_verify(struct index *x, uint64_t mailbox, struct index_report *out, struct err *e)
{
	unsigned tries = 0;

	CHECK_OBJ(x, INDEX_MAGIC);
	for (;;) {
		struct environment *where;
		int rc = verify_once(x, mailbox == 0 ? 0 : index_actual(x, mailbox), out, &where);

		if (rc == 0)
			return 0;
		if (!index_recover(x, where, rc, &tries))
			return index_fault(e, rc, "verifying the index");
	}
}
