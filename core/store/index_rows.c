/*
 * Rows as octets. Keys and the shape of runs are told in index.h. A head:
 *
 *      offset  size  content
 *      0       8     generation
 *      8       4     UIDVALIDITY
 *      12      4     UIDNEXT
 *      16      4     highest UID ever
 *      20      4     1: UIDs are counted; 2: the clean mark is in index.state (index.cache only)
 *      24      8     highest mod-sequence
 *      32      8     the vanished log is complete above this mod-sequence
 *      40      8     ranges in the vanished log
 *      48      4     messages
 *      52      4     … without \Seen
 *      56      4     … with \Deleted
 *      60      4     … with \Recent
 *      64      4     sequence number of the first without \Seen, 0: none
 *      68      1     octets of the cursor
 *      69      1     number of keywords
 *      70      2     zero
 *      72      8     octets of all messages, 2⁶⁴-1: not known
 *      80      8     generation that index.state has, 0: none (index.cache only)
 *      88      8     milliseconds since boot at the last checkpoint (index.cache only)
 *      96      8     when it was written, seconds since 1970
 *      104     8     its epoch: a number of its own from when the mailbox was begun anew
 *      112           the cursor, then for each keyword 1 octet bit, 1 octet whether the driver has it,
 *                    2 octets length, the name
 *
 * An info row ("I"):
 *
 *      0       4     version, 1
 *      4       4     last UIDVALIDITY given (index.state)
 *      8       16    id of the only boot that may read the file (index.cache)
 *      24      16    index.cache: an id of its own; index.state: that of the one `first` was given to
 *      40      8     ceiling (index.state)
 *      48      8     first mod-sequence of that index.cache (index.state)
 *
 * Everything is checked before it is believed: a checksum that fits says that we wrote it, or that somebody
 * who may write here wanted us to think so.
 */
#include "base/checksum.h"
#include "store/index_int.h"
#include "base/banned.h"

#define HEAD_FIXED 112u
#define HEAD_COUNTED 1u
#define HEAD_CLEAN 2u
#define RUN_FIXED 8u
#define ROW_MAX 120u /* fixed part, longest locator, rounded up */
#define INFO_SIZE 56u
#define PAGE_HEADER 16u /* of LMDB's pages */

/* ---- keys ---- */

void key_add(struct key *k, uint64_t v, size_t octets)
{
	ASSERT(k->n + octets <= sizeof(k->p));
	while (octets-- > 0)
		k->p[k->n++] = (unsigned char)(v >> (8 * octets));
}

void key_add_text(struct key *k, struct str s)
{
	ASSERT(s.n <= sizeof(k->p) - k->n);
	if (s.n > 0)
		memcpy(k->p + k->n, s.p, s.n);
	k->n += s.n;
}

struct key key_of(char kind, uint64_t mailbox)
{
	struct key k;

	k.n = 0;
	key_add(&k, (unsigned char)kind, 1);
	key_add(&k, mailbox, 8);
	return k;
}

uint64_t key_number(const MDB_val *k, size_t at, size_t octets)
{
	const unsigned char *p = k->mv_data;
	uint64_t v = 0;

	if (k->mv_size < at + octets)
		return 0;
	while (octets-- > 0)
		v = v << 8 | p[at++];
	return v;
}

bool key_below(const MDB_val *k, const struct key *prefix)
{
	return k->mv_size >= prefix->n && memcmp(k->mv_data, prefix->p, prefix->n) == 0;
}

/* ---- values ---- */

size_t index_page;

/*
 * A value that fills pages of its own stands behind their header, whose last 4 octets say how many they are.
 * LMDB believes that number when it frees them, and would make a list of billions. So it is looked at before
 * anything is written in the place of a value.
 */
static bool pages_fit(const MDB_val *v)
{
	const unsigned char *p = v->mv_data;
	uint32_t pages;

	/* Smaller ones stand among others; one of this transaction's, not yet written, anywhere. */
	if (index_page <= PAGES_DIFFER || v->mv_size <= index_page / 2 ||
	    ((uintptr_t)p & (index_page - 1)) != PAGE_HEADER)
		return true;
	memcpy(&pages, p - sizeof(pages), sizeof(pages));
	return pages == (PAGE_HEADER - 1 + v->mv_size) / index_page + 1;
}

bool value_check(MDB_val *v)
{
	const unsigned char *p = v->mv_data;

	if (v->mv_size < INDEX_SUM)
		return false;
	v->mv_size -= INDEX_SUM;
	return checksum(p, v->mv_size) == little_get(p + v->mv_size, INDEX_SUM);
}

int value_get(MDB_txn *txn, MDB_dbi dbi, struct key *k, MDB_val *out)
{
	MDB_val key = key_val(k);
	int rc = mdb_get(txn, dbi, &key, out);

	return rc != 0 ? rc : value_check(out) ? 0 : INDEX_DAMAGED;
}

int value_replace(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *v)
{
	MDB_val old;
	int rc = mdb_get(txn, dbi, key, &old);

	if (rc == 0 && !pages_fit(&old))
		return MDB_CORRUPTED;
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	return v != NULL ? mdb_put(txn, dbi, key, v, 0) : rc == 0 ? mdb_del(txn, dbi, key, NULL) : 0;
}

int value_put(MDB_txn *txn, MDB_dbi dbi, struct key *k, struct buf *b)
{
	unsigned char sum[INDEX_SUM];
	MDB_val key = key_val(k), v;

	little_put(sum, checksum(b->p, b->n), INDEX_SUM);
	buf_add(b, sum, INDEX_SUM);
	v = (MDB_val){b->n, b->p};
	return value_replace(txn, dbi, &key, &v);
}

int value_delete(MDB_txn *txn, MDB_dbi dbi, struct key *k)
{
	MDB_val key = key_val(k);

	return value_replace(txn, dbi, &key, NULL);
}

int cursor_delete(MDB_cursor *cursor)
{
	MDB_val key, v;
	int rc = mdb_cursor_get(cursor, &key, &v, MDB_GET_CURRENT);

	return rc != 0 ? rc : pages_fit(&v) ? mdb_cursor_del(cursor, 0) : MDB_CORRUPTED;
}

int value_delete_below(MDB_txn *txn, MDB_dbi dbi, const struct key *prefix)
{
	struct key k = *prefix;
	MDB_val key = key_val(&k);
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, dbi, &cursor);

	if (rc != 0)
		return rc;
	rc = mdb_cursor_get(cursor, &key, NULL, MDB_SET_RANGE);
	while (rc == 0 && key_below(&key, prefix)) {
		rc = cursor_delete(cursor);
		if (rc == 0)
			rc = mdb_cursor_get(cursor, &key, NULL, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* ---- info ---- */

int info_get(MDB_txn *txn, MDB_dbi dbi, struct info_row *out)
{
	struct key k = {.n = 0};
	const unsigned char *p;
	MDB_val v;
	int rc;

	key_add(&k, ROW_INFO, 1);
	rc = value_get(txn, dbi, &k, &v);
	if (rc != 0)
		return rc;
	p = v.mv_data;
	if (v.mv_size != INFO_SIZE || little_get(p, 4) != INDEX_VERSION)
		return INDEX_DAMAGED;
	out->uidvalidity = (uint32_t)little_get(p + 4, 4);
	memcpy(out->boot, p + 8, INDEX_ID);
	memcpy(out->file, p + 24, INDEX_ID);
	out->ceiling = little_get(p + 40, 8);
	out->first = little_get(p + 48, 8);
	return 0;
}

int info_put(MDB_txn *txn, MDB_dbi dbi, const struct info_row *info)
{
	AUTO_BUF struct buf b = BUF_INIT;
	unsigned char p[INFO_SIZE];
	struct key k = {.n = 0};

	key_add(&k, ROW_INFO, 1);
	little_put(p, INDEX_VERSION, 4);
	little_put(p + 4, info->uidvalidity, 4);
	memcpy(p + 8, info->boot, INDEX_ID);
	memcpy(p + 24, info->file, INDEX_ID);
	little_put(p + 40, info->ceiling, 8);
	little_put(p + 48, info->first, 8);
	buf_add(&b, p, sizeof(p));
	return value_put(txn, dbi, &k, &b);
}

/* ---- heads ---- */

static bool keywords_decode(
    const unsigned char *p, size_t n, size_t count, struct arena *a, struct index_head *h)
{
	size_t i;

	for (i = 0; i < count; i++) {
		size_t length;

		if (n < 4)
			return false;
		length = (size_t)little_get(p + 2, 2);
		if (p[0] >= INDEX_KEYWORDS || n - 4 < length || memchr(p + 4, 0, length) != NULL)
			return false;
		h->keywords[i].bit = p[0];
		h->keywords[i].kept = p[1] != 0;
		h->keywords[i].name = a != NULL ? arena_strndup(a, (const char *)p + 4, length) : NULL;
		p += 4 + length;
		n -= 4 + length;
	}
	h->keyword_count = a != NULL ? count : 0;
	return n == 0;
}

static void head_decode(const unsigned char *p, struct head_row *out)
{
	struct index_head *h = &out->head;
	uint32_t flags = (uint32_t)little_get(p + 20, 4);

	h->generation = little_get(p, 8);
	h->uidvalidity = (uint32_t)little_get(p + 8, 4);
	h->uidnext = (uint32_t)little_get(p + 12, 4);
	h->highest = (uint32_t)little_get(p + 16, 4);
	h->counted_uids = (flags & HEAD_COUNTED) != 0;
	out->clean = (flags & HEAD_CLEAN) != 0;
	h->highestmodseq = little_get(p + 24, 8);
	h->vanished_since = little_get(p + 32, 8);
	out->ranges = little_get(p + 40, 8);
	h->messages = (uint32_t)little_get(p + 48, 4);
	h->unseen = (uint32_t)little_get(p + 52, 4);
	h->deleted = (uint32_t)little_get(p + 56, 4);
	h->recent = (uint32_t)little_get(p + 60, 4);
	h->first_unseen = (uint32_t)little_get(p + 64, 4);
	h->octets = little_get(p + 72, 8);
	out->mirrored = little_get(p + 80, 8);
	out->checked = little_get(p + 88, 8);
	out->used = (int64_t)little_get(p + 96, 8);
	out->epoch = little_get(p + 104, 8);
}

int head_get(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, struct arena *a, struct head_row *out)
{
	struct key k = key_of(ROW_HEAD, mailbox);
	const unsigned char *p;
	MDB_val v;
	size_t left;
	int rc = value_get(txn, dbi, &k, &v);

	if (rc != 0)
		return rc;
	p = v.mv_data;
	if (v.mv_size < HEAD_FIXED || p[68] > MORTISE_CURSOR_MAX || v.mv_size - HEAD_FIXED < p[68] ||
	    p[69] > INDEX_KEYWORDS)
		return INDEX_DAMAGED;
	memset(out, 0, sizeof(*out));
	head_decode(p, out);
	out->head.cursor.size = p[68];
	memcpy(out->head.cursor.data, p + HEAD_FIXED, p[68]);
	left = v.mv_size - HEAD_FIXED - p[68];
	if (!keywords_decode(p + HEAD_FIXED + p[68], left, p[69], a, &out->head) || out->head.generation == 0)
		return INDEX_DAMAGED;
	return 0;
}

int head_generation(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, uint64_t *out, uint64_t *epoch)
{
	struct key k = key_of(ROW_HEAD, mailbox);
	MDB_val v;
	int rc = value_get(txn, dbi, &k, &v);

	if (rc == 0 && v.mv_size < HEAD_FIXED)
		rc = INDEX_DAMAGED;
	if (rc == 0) {
		*out = little_get(v.mv_data, 8);
		*epoch = little_get((unsigned char *)v.mv_data + 104, 8);
	}
	return rc;
}

static void keywords_encode(struct buf *b, const struct index_head *h)
{
	size_t i;

	for (i = 0; i < h->keyword_count; i++) {
		struct str name = str_of(h->keywords[i].name);
		unsigned char p[4] = {h->keywords[i].bit, h->keywords[i].kept};

		little_put(p + 2, name.n, 2);
		buf_add(b, p, sizeof(p));
		buf_addstr(b, name);
	}
}

int head_put(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, const struct head_row *row)
{
	const struct index_head *h = &row->head;
	struct key k = key_of(ROW_HEAD, mailbox);
	AUTO_BUF struct buf b = BUF_INIT;
	unsigned char p[HEAD_FIXED] = {0};

	little_put(p, h->generation, 8);
	little_put(p + 8, h->uidvalidity, 4);
	little_put(p + 12, h->uidnext, 4);
	little_put(p + 16, h->highest, 4);
	little_put(p + 20, (h->counted_uids ? HEAD_COUNTED : 0) | (row->clean ? HEAD_CLEAN : 0), 4);
	little_put(p + 24, h->highestmodseq, 8);
	little_put(p + 32, h->vanished_since, 8);
	little_put(p + 40, row->ranges, 8);
	little_put(p + 48, h->messages, 4);
	little_put(p + 52, h->unseen, 4);
	little_put(p + 56, h->deleted, 4);
	little_put(p + 60, h->recent, 4);
	little_put(p + 64, h->first_unseen, 4);
	p[68] = h->cursor.size;
	p[69] = (unsigned char)h->keyword_count;
	little_put(p + 72, h->octets, 8);
	little_put(p + 80, row->mirrored, 8);
	little_put(p + 88, row->checked, 8);
	little_put(p + 96, (uint64_t)row->used, 8);
	little_put(p + 104, row->epoch, 8);
	buf_add(&b, p, sizeof(p));
	buf_add(&b, h->cursor.data, h->cursor.size);
	keywords_encode(&b, h);
	return value_put(txn, dbi, &k, &b);
}

/* ---- rows and runs ---- */

size_t row_size(const struct index_row *r)
{
	return (INDEX_ROW_FIXED + r->locator_size + 7) & ~(size_t)7;
}

void row_encode(unsigned char *p, size_t size, const struct index_row *r)
{
	little_put(p, r->uid, 4);
	little_put(p + 4, r->flags, 2);
	little_put(p + 6, (uint16_t)r->zone, 2);
	little_put(p + 8, r->keywords, 8);
	little_put(p + 16, (uint64_t)r->internal_date, 8);
	little_put(p + 24, r->octets, 8);
	little_put(p + 32, r->modseq, 8);
	little_put(p + 40, (uint64_t)r->save_date, 8);
	p[48] = r->locator_size;
	p[49] = r->identity_size;
	memcpy(p + INDEX_ROW_FIXED, r->locator, r->locator_size);
	memset(p + INDEX_ROW_FIXED + r->locator_size, 0, size - INDEX_ROW_FIXED - r->locator_size);
}

void row_decode(const unsigned char *p, struct index_row *r)
{
	r->uid = (uint32_t)little_get(p, 4);
	r->flags = (uint16_t)little_get(p + 4, 2);
	r->zone = (int16_t)little_get(p + 6, 2);
	r->keywords = little_get(p + 8, 8);
	r->internal_date = (int64_t)little_get(p + 16, 8);
	r->octets = little_get(p + 24, 8);
	r->modseq = little_get(p + 32, 8);
	r->save_date = (int64_t)little_get(p + 40, 8);
	r->locator_size = p[48];
	r->identity_size = p[49];
	r->locator = p + INDEX_ROW_FIXED;
}

bool run_of(MDB_val v, uint32_t first_uid, struct run *out)
{
	const unsigned char *p = v.mv_data;
	uint32_t last = 0;
	size_t i;

	if (!value_check(&v) || v.mv_size < RUN_FIXED)
		return false;
	out->count = (size_t)little_get(p, 2);
	out->size = (size_t)little_get(p + 2, 2);
	out->rows = p + RUN_FIXED;
	if (out->count == 0 || out->count > INDEX_RUN_MAX || out->size < INDEX_ROW_FIXED ||
	    out->size > ROW_MAX || v.mv_size != RUN_FIXED + out->count * out->size ||
	    row_uid(out->rows) != first_uid)
		return false;
	for (i = 0, p = out->rows; i < out->count; i++, p += out->size) {
		uint32_t uid = row_uid(p);

		if (uid <= last || p[48] > MORTISE_LOCATOR_MAX || p[49] > p[48] ||
		    out->size < INDEX_ROW_FIXED + (size_t)p[48])
			return false;
		last = uid;
	}
	return true;
}

int runs_get(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, const struct index_head *head, run_vec *out)
{
	struct key prefix = key_of(ROW_RUN, mailbox), k = prefix;
	MDB_val key = key_val(&k), v;
	uint32_t last = 0;
	uint64_t count = 0;
	MDB_cursor *cursor;
	int rc = mdb_cursor_open(txn, dbi, &cursor);

	if (rc != 0)
		return rc;
	vec_reserve(out, head->messages / INDEX_RUN_MAX < 65536 ? head->messages / INDEX_RUN_MAX + 2 : 65536);
	rc = mdb_cursor_get(cursor, &key, &v, MDB_SET_RANGE);
	while (rc == 0 && key_below(&key, &prefix)) {
		struct run *run = vec_push(out);

		if (key.mv_size != prefix.n + 4 || !run_of(v, (uint32_t)key_number(&key, prefix.n, 4), run) ||
		    row_uid(run->rows) <= last) {
			mdb_cursor_close(cursor);
			return INDEX_DAMAGED;
		}
		last = row_uid(run->rows + (run->count - 1) * run->size);
		count += run->count;
		rc = mdb_cursor_get(cursor, &key, &v, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	return count == head->messages && last <= head->highest ? 0 : INDEX_DAMAGED;
}

bool vanished_check(const MDB_val *key, MDB_val *v)
{
	return key->mv_size == 1 + 8 + 8 && value_check(v) && v->mv_size % 8 == 0;
}

int mailbox_drop(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox)
{
	static const char kinds[] = {ROW_HEAD, ROW_RUN, ROW_VANISHED, ROW_WIRE, ROW_CLEAN};
	size_t i;

	for (i = 0; i < sizeof(kinds); i++) {
		struct key k = key_of(kinds[i], mailbox);
		int rc = value_delete_below(txn, dbi, &k);

		if (rc != 0)
			return rc;
	}
	return 0;
}
