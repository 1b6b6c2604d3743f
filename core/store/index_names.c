/*
 * Mailboxes by their identity. A number is random, so that no two files ever give one number to two
 * mailboxes: a session that still holds one from a file that was replaced cannot hit another mailbox with it.
 */
#include <errno.h>

#include "base/checksum.h"
#include "base/secure.h"
#include "store/index_int.h"
#include "base/banned.h"

#define PLACES 8u /* for identities whose sums are equal, which nobody but a malicious user makes */
#define IDENTITY_MAX 65536u

/* ---- one row ---- */

static struct key name_key(struct str identity, unsigned place)
{
	struct key k = {.n = 0};
	AUTO_BUF struct buf b = BUF_INIT;
	uint64_t sum = checksum(identity.p, identity.n);

	buf_add(&b, &sum, sizeof(sum));
	buf_addstr(&b, identity);
	key_add(&k, ROW_NAME, 1);
	key_add(&k, sum, 8);
	key_add(&k, checksum(b.p, b.n) + place, 8);
	return k;
}

/* 0 and the row's key, or MDB_NOTFOUND and a key that is free. */
static int name_find(MDB_txn *txn, MDB_dbi dbi, struct str identity, struct key *k, uint64_t *number)
{
	struct key place;
	bool room = false;
	unsigned i;

	for (i = 0; i < PLACES; i++) {
		MDB_val v;
		int rc;

		place = name_key(identity, i);
		rc = value_get(txn, dbi, &place, &v);
		if (rc == 0 && v.mv_size > 8 && v.mv_size - 8 == identity.n &&
		    memcmp((char *)v.mv_data + 8, identity.p, identity.n) == 0) {
			*k = place;
			*number = little_get(v.mv_data, 8);
			return 0;
		}
		if (rc != 0 && rc != MDB_NOTFOUND && rc != INDEX_DAMAGED)
			return rc;
		if (!room && rc != 0)
			*k = place;
		room = room || rc != 0;
	}
	if (!room) /* the last one makes room */
		*k = place;
	return MDB_NOTFOUND;
}

static int name_put(MDB_txn *txn, MDB_dbi dbi, struct key *k, struct str identity, uint64_t number)
{
	AUTO_BUF struct buf b = BUF_INIT;
	unsigned char p[8];

	little_put(p, number, 8);
	buf_add(&b, p, sizeof(p));
	buf_addstr(&b, identity);
	return value_put(txn, dbi, k, &b);
}

static int name_read(struct environment *v, struct str identity, uint64_t *number)
{
	struct key k;
	MDB_txn *txn;
	int rc = environment_read(v, &txn);

	if (rc != 0)
		return rc;
	rc = name_find(txn, v->dbi, identity, &k, number);
	environment_read_end(v);
	return rc;
}

/* The number in any of our files. MDB_NOTFOUND: in none. *where: the one that failed. */
static int name_search(struct index *x, struct str identity, uint64_t *number, struct environment **where)
{
	int rc = MDB_NOTFOUND;

	*where = index_rows(x);
	rc = name_read(*where, identity, number);
	if (rc == MDB_NOTFOUND && x->private && x->cache.env != NULL)
		rc = name_read(&x->cache, identity, number);
	if (rc != MDB_NOTFOUND || x->dir < 0 || (x->private && x->state.env == NULL))
		return rc;
	*where = &x->state;
	rc = index_need_state(x);
	return rc != 0 ? rc : name_read(&x->state, identity, number);
}

/* Gives it `number` (0: a new one) unless somebody was faster. */
static int name_make(struct index *x, struct str identity, uint64_t *number)
{
	struct environment *v = index_rows(x);
	uint64_t wanted = *number;
	struct key k;
	MDB_txn *txn;
	int rc = environment_write(x, v, &txn);

	if (rc != 0)
		return rc;
	rc = name_find(txn, v->dbi, identity, &k, number);
	if (rc == MDB_NOTFOUND) {
		while (wanted == 0)
			secure_random(&wanted, sizeof(wanted));
		*number = wanted;
		rc = name_put(txn, v->dbi, &k, identity, wanted);
		if (rc == 0)
			return environment_commit(&txn);
	}
	environment_abort(&txn);
	return rc;
}

/* ---- what this process knows ---- */

static struct known_mailbox *known_by(struct index *x, uint64_t given)
{
	size_t i;

	for (i = x->known.n; i > 0; i--)
		if (x->known.v[i - 1].given == given)
			return &x->known.v[i - 1];
	return NULL;
}

uint64_t index_actual(const struct index *x, uint64_t given)
{
	size_t i;

	if (!x->renumbered)
		return given;
	for (i = x->known.n; i > 0; i--)
		if (x->known.v[i - 1].given == given)
			return x->known.v[i - 1].actual;
	return given;
}

static void remember(struct index *x, uint64_t number, struct str identity)
{
	struct known_mailbox *k;

	k = known_by(x, number);
	if (k == NULL)
		k = vec_push(&x->known);
	else if (str_eq(k->identity, identity))
		return;
	k->given = k->actual = number;
	k->identity = arena_str(x->arena, identity);
}

int index_renumber(struct index *x)
{
	size_t i;

	x->renumbered = false;
	for (i = 0; i < x->known.n; i++) {
		struct known_mailbox *k = &x->known.v[i];
		struct environment *where;
		uint64_t number = 0;
		int rc = name_search(x, k->identity, &number, &where);

		if (rc == MDB_NOTFOUND)
			number = k->actual;
		else if (rc != 0)
			return rc;
		rc = name_make(x, k->identity, &number);
		if (rc != 0)
			return rc;
		k->actual = number;
		x->renumbered = x->renumbered || k->actual != k->given;
	}
	return 0;
}

static struct str identity_of(const struct index *x, uint64_t actual)
{
	size_t i;

	for (i = x->known.n; i > 0; i--)
		if (x->known.v[i - 1].actual == actual)
			return x->known.v[i - 1].identity;
	return STR_NONE;
}

int name_keep(struct index *x, MDB_txn *state, uint64_t actual)
{
	struct str identity = identity_of(x, actual);
	uint64_t number;
	struct key k;
	int rc;

	if (identity.n == 0)
		return 0;
	rc = name_find(state, x->state.dbi, identity, &k, &number);
	if (rc == 0 && number == actual)
		return 0;
	return rc != 0 && rc != MDB_NOTFOUND ? rc : name_put(state, x->state.dbi, &k, identity, actual);
}

/* ---- the calls ---- */

int index_mailbox(struct index *x, struct str identity, uint64_t *number, struct err *e)
{
	unsigned tries = 0;

	CHECK_OBJ(x, INDEX_MAGIC);
	if (identity.n == 0 || identity.n > IDENTITY_MAX)
		return err_fault(e, MORTISE_E_LIMIT, "a mailbox's path of %zu octets", identity.n);
	for (;;) {
		struct environment *where;
		int rc;

		*number = 0;
		rc = name_search(x, identity, number, &where);
		if (rc == MDB_NOTFOUND || (rc == 0 && where != index_rows(x))) {
			where = index_rows(x);
			rc = name_make(x, identity, number);
		}
		if (rc == 0) {
			remember(x, *number, identity);
			return 0;
		}
		if (!index_recover(x, where, rc, &tries))
			return index_fault(e, rc, "looking for a mailbox in the index");
	}
}

int index_lookup(struct index *x, struct str identity, uint64_t *number, struct err *e)
{
	unsigned tries = 0;

	CHECK_OBJ(x, INDEX_MAGIC);
	for (;;) {
		struct environment *where;
		int rc = name_search(x, identity, number, &where);

		if (rc == 0) {
			remember(x, *number, identity);
			return 1;
		}
		if (rc == MDB_NOTFOUND)
			return 0;
		if (!index_recover(x, where, rc, &tries))
			return index_fault(e, rc, "looking for a mailbox in the index");
	}
}
