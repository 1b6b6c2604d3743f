/*
 * Fuzz target: rows of the index that carry the right checksum and are wrong all the same, as somebody who
 * may write the files can make them. Whatever they say, what is told is in order and within bounds, and the
 * mailbox can be written again. (Files that are wrong below the rows are LMDB's affair: test-index-damage.)
 *
 * The input is records: 1 octet kind, 4 octets that end the key, 2 octets length (little-endian), the value.
 */
#include "base/checksum.h"
#include "store/index_int.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
	uint32_t last;
	uint64_t count;
};

static int row(void *arg, const struct index_row *r)
{
	struct told *t = arg;
	unsigned sum = 0;
	size_t i;

	ASSERT(r->uid > t->last && r->locator_size <= MORTISE_LOCATOR_MAX &&
	       r->identity_size <= r->locator_size);
	for (i = 0; i < r->locator_size; i++)
		sum += r->locator[i];
	t->last = r->uid;
	t->count += 1 + 0 * sum;
	return 0;
}

static int range(void *arg, uint32_t low, uint32_t high)
{
	*(uint64_t *)arg += low ^ high;
	return 0;
}

static int text(void *arg, uint32_t uid, struct str s)
{
	*(uint64_t *)arg += uid + (s.n > 0 ? (unsigned char)s.p[s.n - 1] : 0);
	return 0;
}

static int name(void *arg, struct str identity, uint64_t number)
{
	*(uint64_t *)arg += number + identity.n;
	return 0;
}

static void put_records(struct index *x, uint64_t box, const uint8_t *p, size_t n)
{
	static const char kinds[] = {ROW_HEAD, ROW_RUN, ROW_VANISHED, ROW_WIRE, ROW_NAME, ROW_INFO};
	AUTO_BUF struct buf b = BUF_INIT;
	MDB_txn *txn;

	ASSERT(environment_write(x, &x->memory, &txn) == 0);
	while (n >= 7) {
		char kind = kinds[p[0] % sizeof(kinds)];
		size_t length = (size_t)little_get(p + 5, 2);
		struct key k = key_of(kind, box);

		if (kind == ROW_INFO)
			k.n = 1;
		else if (kind != ROW_HEAD)
			key_add_text(&k, str_mem(p + 1, 4));
		if (kind == ROW_VANISHED)
			key_add_text(&k, str_mem(p + 1, 4));
		length = length > n - 7 ? n - 7 : length;
		buf_truncate(&b, 0);
		buf_add(&b, p + 7, length);
		ASSERT(value_put(txn, x->memory.dbi, &k, &b) == 0);
		p += 7 + length;
		n -= 7 + length;
	}
	ASSERT(environment_commit(&txn) == 0);
}

static void look(struct index *x, uint64_t box, struct arena *a)
{
	struct told t = {.count = 0};
	struct index_report report;
	struct index_head *h = arena_new_of(a, struct index_head);
	AUTO_BUF struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct info_row info;
	uint64_t sum = 0;
	MDB_txn *txn;
	size_t i;

	ASSERT(index_verify(x, box, &report, &e) == 0);
	ASSERT(index_head(x, box, a, h, &e) == 0 && h->keyword_count <= INDEX_KEYWORDS);
	for (i = 0; i < h->keyword_count; i++)
		ASSERT(h->keywords[i].bit < INDEX_KEYWORDS && strlen(h->keywords[i].name) < 65536);
	ASSERT(index_vanished(x, box, 3, range, &sum, &e) == 0);
	ASSERT(index_wire(x, box, 1, INDEX_ENVELOPE, STR(""), &b, &e) >= 0);
	ASSERT(index_wire_scan(x, box, INDEX_ENVELOPE, STR(""), text, &sum, &e) == 0);
	ASSERT(index_mailboxes(x, name, &sum, &e) == 0);
	ASSERT(environment_read(&x->memory, &txn) == 0);
	(void)info_get(txn, x->memory.dbi, &info);
	environment_read_end(&x->memory);
	ASSERT(index_load(x, box, a, h, row, &t, &e) == 0 && t.count == h->messages && t.last <= h->highest);
}

/* It can be written on, or is found damaged and begun anew. */
static void write_on(struct index *x, uint64_t box, struct arena *a)
{
	struct index_row one = {.uid = 5, .locator_size = 64, .locator = arena_alloc(a, 64)};
	struct index_head *h = arena_new_of(a, struct index_head);
	uint32_t two = 2;
	struct index_commit c = {.head = h,
	    .rows = &one,
	    .row_count = 1,
	    .vanished = &two,
	    .vanished_count = 1,
	    .vanished_modseq = 9};
	struct err e = ERR_INIT;
	struct told t;
	int r = 1, i;

	for (i = 0; i < 3 && r == 1; i++) {
		t = (struct told){.count = 0};
		ASSERT(index_load(x, box, a, h, row, &t, &e) == 0);
		c.generation = h->generation;
		c.anew = i == 2;
		r = index_commit(x, box, &c, &h->generation, &e);
	}
	ASSERT(r == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct index_options o = {16 << 20, 16 << 20, 300000, 100};
	struct arena *a = arena_new("fuzz");
	struct err e = ERR_INIT;
	struct index *x;
	uint64_t box;

	ASSERT(index_open_private(&o, &x, &e) == 0);
	ASSERT(index_mailbox(x, STR("fuzz"), &box, &e) == 0);
	put_records(x, box, data, size);
	look(x, box, a);
	write_on(x, box, a);
	index_close(&x);
	arena_free(&a);
	return 0;
}
