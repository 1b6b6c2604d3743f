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

static struct known_mailbox *known_as(const struct index *x, uint64_t actual)
{
	size_t i;

	for (i = x->known.n; i > 0; i--)
		if (x->known.v[i - 1].actual == actual)
			return &x->known.v[i - 1];
	return NULL;
}

void epoch_seen(struct index *x, uint64_t actual, uint64_t epoch)
{
	struct known_mailbox *k = known_as(x, actual);

	if (k == NULL || k->epoch == epoch)
		return;
	if (k->epoch != 0)
		wire_discard(x, k->given);
	k->epoch = epoch;
}

uint64_t epoch_known(const struct index *x, uint64_t actual)
{
	const struct known_mailbox *k = known_as(x, actual);

	return k != NULL ? k->epoch : 0;
}

static void remember(struct index *x, uint64_t number, struct str identity)
{
	struct known_mailbox *k;

	k = known_by(x, number);
	if (k != NULL && str_eq(k->identity, identity))
		return;
	if (k == NULL)
		*(k = vec_push(&x->known)) = (struct known_mailbox){.epoch = 0};
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

/*
 * Only what index.cache says, too: the mailbox may have been renamed or deleted by another process, and what
 * this one called it is another mailbox's name now, or nobody's.
 */
int name_keep(struct index *x, MDB_txn *state, uint64_t actual)
{
	const struct known_mailbox *known = known_as(x, actual);
	uint64_t number;
	struct key k;
	int rc;

	if (known == NULL)
		return 0;
	rc = name_read(index_rows(x), known->identity, &number);
	if (rc == MDB_NOTFOUND || (rc == 0 && number != actual))
		return 0;
	if (rc == 0)
		rc = name_find(state, x->state.dbi, known->identity, &k, &number);
	if (rc == 0 && number == actual)
		return 0;
	return rc != 0 && rc != MDB_NOTFOUND ? rc
	                                     : name_put(state, x->state.dbi, &k, known->identity, actual);
}

int index_refind(struct index *x, uint64_t given)
{
	struct known_mailbox *k = known_by(x, given);
	struct environment *where;
	uint64_t number = 0;
	int rc;

	if (k == NULL)
		return MDB_NOTFOUND;
	rc = name_search(x, k->identity, &number, &where);
	if (rc == MDB_NOTFOUND) {
		number = k->actual;
		rc = name_make(x, k->identity, &number);
	}
	if (rc != 0 || number == k->actual)
		return rc != 0 ? rc : MDB_NOTFOUND;
	k->actual = number;
	x->renumbered = true;
	return 0;
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

/* ---- mailboxes that move and go ---- */

/*
 * Everything of the mailbox with this identity in one file; the number it has in the other one, 0: none.
 */
static int file_forget(MDB_txn *txn, MDB_dbi dbi, struct str identity, uint64_t number)
{
	struct key k, attributes;
	int rc = name_find(txn, dbi, identity, &k, &number);

	if (rc == 0)
		rc = value_delete(txn, dbi, &k);
	if ((rc != 0 && rc != MDB_NOTFOUND) || number == 0)
		return rc == MDB_NOTFOUND ? 0 : rc;
	attributes = key_of(ROW_ATTRIBUTE, number);
	rc = mailbox_drop(txn, dbi, number);
	return rc != 0 ? rc : value_delete_below(txn, dbi, &attributes);
}

static int file_move(MDB_txn *txn, MDB_dbi dbi, struct str from, struct str to, uint64_t dropped)
{
	uint64_t number, other;
	struct key k;
	int rc = file_forget(txn, dbi, to, dropped);

	if (rc == 0)
		rc = name_find(txn, dbi, from, &k, &number);
	if (rc != 0)
		return rc == MDB_NOTFOUND ? 0 : rc;
	rc = value_delete(txn, dbi, &k);
	if (rc == 0)
		rc = name_find(txn, dbi, to, &k, &other);
	return rc == MDB_NOTFOUND ? name_put(txn, dbi, &k, to, number) : rc;
}

/* The identity with the path `from`, or what is below it, as it is when that became `to`; else p NULL. */
static struct str moved(struct arena *a, struct str identity, struct str from, struct str to)
{
	struct str path = identity, driver = str_cut(&path, '\0');

	if (path.p == NULL || !str_starts(path, from) || (path.n > from.n && path.p[from.n] != '/'))
		return STR_NONE;
	path = str_from(path, from.n);
	return str_mem(arena_printf(a, "%.*s%c%.*s%.*s", STR_FMT(driver), '\0', STR_FMT(to), STR_FMT(path)),
	    driver.n + 1 + to.n + path.n);
}

struct move {
	struct str from, to; /* paths */
	bool forget;         /* from: an identity */
	uint64_t dropped;    /* number of the mailbox whose rows go; 0: none, or not known */
};

/* All names of one file. `fn` returning non-zero ends it with that. */
typedef int name_fn(void *arg, const MDB_val *key, struct str identity, uint64_t number);

static int names_each(MDB_txn *txn, MDB_dbi dbi, name_fn *fn, void *arg)
{
	struct key prefix = {.n = 0};
	MDB_val key, v;
	MDB_cursor *cursor;
	int answer = 0, rc = mdb_cursor_open(txn, dbi, &cursor);

	if (rc != 0)
		return rc;
	key_add(&prefix, ROW_NAME, 1);
	key = key_val(&prefix);
	rc = mdb_cursor_get(cursor, &key, &v, MDB_SET_RANGE);
	while (rc == 0 && answer == 0 && key_below(&key, &prefix)) {
		if (value_check(&v) && v.mv_size > 8)
			answer = fn(arg, &key, str_mem((char *)v.mv_data + 8, v.mv_size - 8),
			    little_get(v.mv_data, 8));
		rc = mdb_cursor_get(cursor, &key, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Identities of one file that the move is about. */
struct collecting {
	const struct move *move;
	struct arena *arena;
	VEC(struct str) found;
};

static int collect(void *arg, const MDB_val *key, struct str identity, uint64_t number)
{
	struct collecting *c = arg;

	(void)key;
	(void)number;
	if (moved(c->arena, identity, c->move->from, c->move->to).p != NULL)
		*vec_push(&c->found) = arena_str(c->arena, identity);
	return 0;
}

static int file_apply(MDB_txn *txn, MDB_dbi dbi, const struct move *m, struct arena *a)
{
	struct collecting all = {.move = m, .arena = a, .found = VEC_INIT};
	size_t i;
	int rc;

	if (m->forget)
		return file_forget(txn, dbi, m->from, m->dropped);
	rc = names_each(txn, dbi, collect, &all);
	for (i = 0; rc == 0 && i < all.found.n; i++)
		rc = file_move(txn, dbi, all.found.v[i], moved(a, all.found.v[i], m->from, m->to), 0);
	vec_free(&all.found);
	return rc;
}

/* index.state first, synced: what is told to the client is there after a crash. */
static int apply_once(struct index *x, const struct move *m, struct arena *a, struct environment **where)
{
	struct environment *v = index_rows(x);
	MDB_txn *txn = NULL, *state = NULL;
	int rc;

	*where = v;
	rc = environment_write(x, v, &txn);
	if (rc == 0)
		rc = file_apply(txn, v->dbi, m, a);
	if (rc == 0 && !x->private) {
		*where = &x->state;
		rc = index_need_state(x);
		if (rc == 0)
			rc = environment_write(x, &x->state, &state);
		if (rc == 0)
			rc = file_apply(state, x->state.dbi, m, a);
		if (rc == 0)
			rc = environment_commit(&state);
	}
	if (rc == 0)
		rc = environment_commit(&txn);
	environment_abort(&state);
	environment_abort(&txn);
	return rc;
}

static void known_apply(struct index *x, const struct move *m)
{
	size_t i;

	for (i = x->known.n; i > 0; i--) {
		struct known_mailbox *k = &x->known.v[i - 1];
		struct str to = m->forget ? STR_NONE : moved(x->arena, k->identity, m->from, m->to);

		if (m->forget && str_eq(k->identity, m->from))
			vec_remove(&x->known, i - 1);
		else if (to.p != NULL)
			k->identity = arena_str(x->arena, to);
	}
}

static int apply(struct index *x, struct move *m, const char *doing, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("names");
	struct environment *where;
	unsigned tries = 0;
	int rc;

	CHECK_OBJ(x, INDEX_MAGIC);
	if (!m->forget && str_eq(m->from, m->to))
		return 0;
	for (;;) {
		rc = m->forget ? name_search(x, m->from, &m->dropped, &where) : MDB_NOTFOUND;
		if (rc == MDB_NOTFOUND)
			m->dropped = 0;
		if (rc == 0 || rc == MDB_NOTFOUND)
			rc = apply_once(x, m, a, &where);
		if (rc == 0)
			break;
		if (!index_recover(x, where, rc, &tries))
			return index_fault(e, rc, doing);
	}
	known_apply(x, m);
	return 0;
}

int index_rename_below(struct index *x, struct str from, struct str to, struct err *e)
{
	return apply(x, &(struct move){.from = from, .to = to}, "renaming mailboxes in the index", e);
}

int index_forget(struct index *x, struct str identity, struct err *e)
{
	return apply(
	    x, &(struct move){.from = identity, .forget = true}, "forgetting a mailbox in the index", e);
}

/* ---- all of them ---- */

struct telling {
	index_mailbox_fn *fn;
	void *arg;
	int answer;
	MDB_txn *other; /* those in it were told */
	MDB_dbi other_dbi;
};

static int tell(void *arg, const MDB_val *key, struct str identity, uint64_t number)
{
	struct telling *t = arg;
	MDB_val name = *key, there;

	if (t->other == NULL || mdb_get(t->other, t->other_dbi, &name, &there) != 0)
		t->answer = t->fn(t->arg, identity, number);
	return t->answer;
}

int index_mailboxes(struct index *x, index_mailbox_fn *fn, void *arg, struct err *e)
{
	struct telling t = {.fn = fn, .arg = arg};
	struct environment *v;
	MDB_txn *txn, *state;
	int rc;

	CHECK_OBJ(x, INDEX_MAGIC);
	v = index_rows(x);
	rc = environment_read(v, &txn);
	if (rc != 0)
		return index_fault(e, rc, "reading the index");
	rc = names_each(txn, v->dbi, tell, &t);
	if (rc == 0 && t.answer == 0 && x->dir >= 0 && !x->private)
		rc = index_need_state(x);
	if (rc == 0 && t.answer == 0 && x->state.env != NULL &&
	    (rc = environment_read(&x->state, &state)) == 0) {
		t.other = txn;
		t.other_dbi = v->dbi;
		rc = names_each(state, x->state.dbi, tell, &t);
		environment_read_end(&x->state);
	}
	environment_read_end(v);
	return rc == 0 ? t.answer : index_fault(e, rc, "reading the index");
}
