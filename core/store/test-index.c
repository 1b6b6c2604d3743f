#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "store/index_int.h"
#include "base/banned.h"

static struct index_options options = {
    .state_size = 64 << 20, .cache_size = 64 << 20, .checkpoint = 300000, .vanished = 1000};
static char directory[64];
static struct index *x;
static struct arena *arena;
static struct err e;
static uint64_t box;

/* What the kernel says of the directory's file system, unless a test knows better (--wrap in local.mk). */
static long pretended_type;
int __real_fstatfs64(int fd, struct statfs *out);
int __wrap_fstatfs64(int fd, struct statfs *out);
int __wrap_fstatfs64(int fd, struct statfs *out)
{
	int r = __real_fstatfs64(fd, out);

	if (pretended_type != 0)
		out->f_type = pretended_type;
	return r;
}

#define IDENTITY ((struct str){"mh\0/home/u/mail/a", 17})
#define OTHER ((struct str){"mh\0/home/u/mail/b", 17})

static void begin(void)
{
	err_clear(&e);
	assert_int_equal(index_open(&options, directory, &x, &e), 0);
	assert_true(index_persistent(x));
	assert_int_equal(index_mailbox(x, IDENTITY, &box, &e), 0);
}

static int fresh(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/test-index.XXXXXX");
	assert_non_null(mkdtemp(directory));
	arena = arena_new("test");
	begin();
	return 0;
}

static int gone(void **state)
{
	static const char *const names[] = {
	    "index.cache", "index.cache-lock", "index.state", "index.state-lock", "index.state.damaged"};
	char path[128];
	size_t i;

	(void)state;
	index_close(&x);
	index_test_boot = NULL;
	arena_free(&arena);
	for (i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(directory), 0);
	return 0;
}

static void again(void)
{
	index_close(&x);
	begin();
}

/* ---- messages ---- */

static struct index_row row_for(uint32_t uid, uint64_t modseq)
{
	static unsigned char locators[256][16];
	unsigned char *locator = locators[uid & 255];
	struct index_row r = {.uid = uid,
	    .flags = (uint16_t)(uid & 31),
	    .zone = -90,
	    .keywords = (uint64_t)uid << 40,
	    .internal_date = -(int64_t)uid,
	    .octets = uid * 1000ull,
	    .modseq = modseq,
	    .save_date = uid + 5,
	    .locator_size = (uint8_t)(uid % 17),
	    .identity_size = (uint8_t)(uid % 3 == 0 ? uid % 17 : 0),
	    .locator = locator};

	memset(locator, (int)(uid & 255), 16);
	return r;
}

struct model {
	struct index_row rows[5000];
	unsigned char locators[5000][16];
	size_t n;
	struct index_head head;
};

static void told(struct model *m, struct index_row row)
{
	size_t i = 0;

	while (i < m->n && m->rows[i].uid < row.uid)
		i++;
	if (i == m->n || m->rows[i].uid != row.uid) {
		memmove(&m->rows[i + 1], &m->rows[i], (m->n - i) * sizeof(m->rows[0]));
		m->n++;
	}
	m->rows[i] = row;
}

static void untold(struct model *m, uint32_t uid)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		if (m->rows[i].uid == uid) {
			memmove(&m->rows[i], &m->rows[i + 1], (m->n - i - 1) * sizeof(m->rows[0]));
			m->n--;
			return;
		}
}

static int load_row(void *arg, const struct index_row *row)
{
	struct model *m = arg;

	assert_true(m->n < ARRAY_LEN(m->rows));
	m->rows[m->n] = *row;
	memcpy(m->locators[m->n], row->locator, row->locator_size);
	m->rows[m->n].locator = m->locators[m->n];
	m->n++;
	return 0;
}

static struct model *load(void)
{
	struct model *m = arena_new_of(arena, struct model);

	assert_int_equal(index_load(x, box, arena, &m->head, load_row, m, &e), 0);
	return m;
}

static void same(const struct model *a, const struct model *b)
{
	size_t i;

	assert_int_equal(a->n, b->n);
	for (i = 0; i < a->n; i++) {
		const struct index_row *p = &a->rows[i], *q = &b->rows[i];
		struct index_row again = row_for(p->uid, 0);

		assert_int_equal(p->uid, q->uid);
		assert_int_equal(p->flags, q->flags);
		assert_int_equal(p->zone, q->zone);
		assert_true(p->keywords == q->keywords && p->modseq == q->modseq && p->octets == q->octets);
		assert_true(p->internal_date == q->internal_date && p->save_date == q->save_date);
		assert_int_equal(p->locator_size, q->locator_size);
		assert_int_equal(p->identity_size, q->identity_size);
		assert_memory_equal(q->locator, again.locator, p->locator_size);
	}
}

/* A commit of what the model will be; the head's counts follow from it. */
static int commit(struct model *m, const struct index_row *rows, size_t row_count, const uint32_t *vanished,
    size_t vanished_count, bool durable)
{
	struct index_commit c = {.generation = m->head.generation,
	    .head = &m->head,
	    .rows = rows,
	    .row_count = row_count,
	    .vanished = vanished,
	    .vanished_count = vanished_count,
	    .durable = durable};
	uint64_t generation;
	size_t i;
	int r;

	for (i = 0; i < row_count; i++)
		told(m, rows[i]);
	for (i = 0; i < vanished_count; i++)
		untold(m, vanished[i]);
	m->head.uidvalidity = 77;
	m->head.highestmodseq++;
	c.vanished_modseq = m->head.highestmodseq;
	m->head.messages = (uint32_t)m->n;
	if (row_count > 0 && rows[row_count - 1].uid > m->head.highest)
		m->head.highest = rows[row_count - 1].uid;
	m->head.uidnext = m->head.highest + 1;
	r = index_commit(x, box, &c, &generation, &e);
	if (r == 0)
		m->head.generation = generation;
	return r;
}

static struct model *filled(uint32_t count)
{
	struct model *m = arena_new_of(arena, struct model);
	struct index_row *rows = arena_array(arena, count, sizeof(*rows));
	uint64_t first;
	uint32_t i;

	assert_int_equal(index_modseq(x, 0, &first, &e), 0);
	m->head.highestmodseq = first;
	m->head.vanished_since = first;
	m->head.octets = MORTISE_SIZE_UNKNOWN;
	for (i = 0; i < count; i++)
		rows[i] = row_for(i + 1, first);
	assert_int_equal(commit(m, rows, count, NULL, 0, false), 0);
	return m;
}

/* ---- tests ---- */

static void a_mailbox_keeps_its_number(void **state)
{
	uint64_t other, number;

	(void)state;
	assert_int_equal(index_mailbox(x, OTHER, &other, &e), 0);
	assert_true(other != box && other != 0);
	assert_int_equal(index_lookup(x, OTHER, &number, &e), 1);
	assert_true(number == other);
	assert_int_equal(index_lookup(x, STR("mh/nowhere"), &number, &e), 0);
	number = box;
	again();
	assert_true(number == box);
}

static void what_is_committed_is_loaded(void **state)
{
	struct index_head head;
	struct model *m, *n;
	uint64_t generation;

	(void)state;
	m = load();
	assert_true(m->head.generation == 0 && m->n == 0);
	m = filled(1000);
	m->head.keywords[0] = (struct index_keyword){"$Forwarded", true, 3};
	m->head.keywords[1] = (struct index_keyword){"", false, 63};
	m->head.keyword_count = 2;
	m->head.cursor.size = 5;
	memcpy(m->head.cursor.data, "where", 5);
	m->head.unseen = 4;
	m->head.first_unseen = 12;
	m->head.counted_uids = true;
	assert_int_equal(commit(m, NULL, 0, NULL, 0, false), 0);
	again();
	n = load();
	same(m, n);
	assert_true(n->head.generation == m->head.generation);
	assert_int_equal(index_generation(x, box, &generation, &e), 0);
	assert_true(generation == m->head.generation);
	assert_int_equal(index_head(x, box, arena, &head, &e), 0);
	assert_int_equal(head.messages, 1000);
	assert_int_equal(head.keyword_count, 2);
	assert_string_equal(head.keywords[0].name, "$Forwarded");
	assert_true(head.keywords[0].kept && !head.keywords[1].kept && head.keywords[1].bit == 63);
	assert_memory_equal(head.cursor.data, "where", 5);
	assert_int_equal(head.cursor.size, 5);
	assert_true(head.counted_uids && head.unseen == 4 && head.first_unseen == 12);
	assert_true(head.octets == MORTISE_SIZE_UNKNOWN && head.highestmodseq == m->head.highestmodseq);
}

static void another_generation_is_refused(void **state)
{
	struct model *m = filled(10), *n = load();
	struct index_row row = row_for(3, 9);

	(void)state;
	assert_int_equal(commit(m, &row, 1, NULL, 0, false), 0);
	assert_int_equal(commit(n, &row, 1, NULL, 0, false), 1);
	n = load();
	same(m, n);
	n->head.generation = 0;
	assert_int_equal(commit(n, &row, 1, NULL, 0, false), 1);
}

/* Random changes against a model, so that runs are split, shortened, put together and emptied. */
static void runs_stay_true(void **state)
{
	struct model *m = filled(700), *n;
	struct index_row rows[300];
	uint32_t vanished[300], seed = 1, turn;

	(void)state;
	for (turn = 0; turn < 200; turn++) {
		size_t row_count = 0, vanished_count = 0, i;
		uint32_t uid = m->n > 0 ? m->rows[0].uid : 0;

		seed = seed * 1103515245u + 12345u;
		for (i = 0; i < m->n && row_count < 250 && vanished_count < 250; i++) {
			uint32_t dice = (seed = seed * 1103515245u + 12345u) >> 20;

			uid = m->rows[i].uid;
			if (dice % 100 < (turn % 7 == 0 ? 60 : 3))
				vanished[vanished_count++] = uid;
			else if (dice % 100 < 10)
				rows[row_count++] = row_for(uid, m->head.highestmodseq + 1);
		}
		if (turn % 3 != 0 || m->n < 20)
			for (i = 0; i < (turn % 5) * 8 && m->n + row_count < 4000; i++) {
				rows[row_count] = row_for(m->head.highest + 1 + (uint32_t)(2 * i), 5);
				row_count++;
			}
		assert_int_equal(commit(m, rows, row_count, vanished, vanished_count, turn % 50 == 9), 0);
		n = load();
		same(m, n);
	}
}

static void a_mailbox_begins_anew(void **state)
{
	struct model *m = filled(500), *n;
	struct index_row row = row_for(4, 3);
	struct index_commit c = {
	    .generation = m->head.generation, .anew = true, .head = &m->head, .rows = &row, .row_count = 1};
	AUTO_BUF struct buf b = BUF_INIT;
	uint64_t generation;

	(void)state;
	index_wire_put(x, box, 4, INDEX_ENVELOPE, STR(""), STR("(old)"));
	index_wire_flush(x);
	m->head.messages = 1;
	m->head.uidvalidity = 78;
	assert_int_equal(index_commit(x, box, &c, &generation, &e), 0);
	n = load();
	assert_int_equal(n->n, 1);
	assert_int_equal(n->head.uidvalidity, 78);
	assert_int_equal(index_wire(x, box, 4, INDEX_ENVELOPE, STR(""), &b, &e), 0);
}

struct ranges {
	uint32_t low[2000], high[2000];
	size_t n;
};

static int range(void *arg, uint32_t low, uint32_t high)
{
	struct ranges *r = arg;

	assert_true(r->n < 2000);
	r->low[r->n] = low;
	r->high[r->n++] = high;
	return 0;
}

static void vanished_uids_are_told(void **state)
{
	static const uint32_t first[] = {3, 4, 5, 9}, second[] = {100}, every[] = {50, 52, 54, 56, 58};
	struct model *m = filled(300);
	struct ranges r = {.n = 0};
	uint64_t before = m->head.highestmodseq;
	struct index_head head;

	(void)state;
	assert_int_equal(commit(m, NULL, 0, first, 4, false), 0);
	assert_int_equal(commit(m, NULL, 0, second, 1, false), 0);
	assert_int_equal(index_vanished(x, box, before, range, &r, &e), 0);
	assert_int_equal(r.n, 3);
	assert_true(r.low[0] == 3 && r.high[0] == 5 && r.low[1] == 9 && r.high[1] == 9 && r.low[2] == 100);
	r.n = 0;
	assert_int_equal(index_vanished(x, box, before + 1, range, &r, &e), 0);
	assert_int_equal(r.n, 1);
	r.n = 0;
	assert_int_equal(index_vanished(x, box, UINT64_MAX, range, &r, &e), 0);
	assert_int_equal(r.n, 0);
	/* The limit: the oldest are forgotten, and the head says since when the log is whole. */
	options.vanished = 6;
	assert_int_equal(commit(m, NULL, 0, every, 5, false), 0);
	options.vanished = 1000;
	assert_int_equal(index_head(x, box, arena, &head, &e), 0);
	assert_true(head.vanished_since == before + 1);
	assert_int_equal(index_vanished(x, box, head.vanished_since, range, &r, &e), 0);
	assert_int_equal(r.n, 6);
}

static int count_text(void *arg, uint32_t uid, struct str text)
{
	uint32_t *last = arg;

	assert_true(uid > *last);
	assert_int_equal(text.n, 6);
	*last = uid;
	return 0;
}

static void wire_forms(void **state)
{
	static const uint32_t gone_uids[] = {2, 4};
	struct model *m = filled(10);
	AUTO_BUF struct buf b = BUF_INIT;
	uint32_t uid, last = 0;

	(void)state;
	for (uid = 1; uid <= 5; uid++) {
		index_wire_put(x, box, uid, INDEX_ENVELOPE, STR(""), STR("(NIL)"));
		index_wire_put(x, box, uid, INDEX_HEADER, STR("subject"), STR("s: x\r\n"));
		index_wire_put(x, box, uid, INDEX_HEADER, STR("to"), STR(""));
	}
	/* Not yet written, but known. */
	assert_int_equal(index_wire(x, box, 2, INDEX_ENVELOPE, STR(""), &b, &e), 1);
	assert_true(str_eq(buf_str(&b), STR("(NIL)")));
	index_wire_flush(x);
	assert_int_equal(index_wire(x, box, 3, INDEX_HEADER, STR("subject"), &b, &e), 1);
	assert_true(str_eq(buf_str(&b), STR("(NIL)s: x\r\n")));
	assert_int_equal(index_wire(x, box, 3, INDEX_HEADER, STR("to"), &b, &e), 1);
	assert_int_equal(index_wire(x, box, 3, INDEX_HEADER, STR("subjec"), &b, &e), 0);
	assert_int_equal(index_wire(x, box, 3, INDEX_BODY, STR(""), &b, &e), 0);
	assert_int_equal(index_wire_scan(x, box, INDEX_HEADER, STR("subject"), count_text, &last, &e), 0);
	assert_int_equal(last, 5);
	assert_int_equal(commit(m, NULL, 0, gone_uids, 2, false), 0);
	assert_int_equal(index_wire(x, box, 2, INDEX_HEADER, STR("to"), &b, &e), 0);
	assert_int_equal(index_wire(x, box, 4, INDEX_ENVELOPE, STR(""), &b, &e), 0);
	assert_int_equal(index_wire(x, box, 5, INDEX_ENVELOPE, STR(""), &b, &e), 1);
}

static void the_ceiling_is_above_what_is_given(void **state)
{
	uint64_t first, other;

	(void)state;
	assert_int_equal(index_modseq(x, 0, &first, &e), 0);
	assert_true(first >= 1);
	again();
	assert_int_equal(index_modseq(x, first + 10, &other, &e), 0);
	assert_true(other == first);
	assert_int_equal(index_modseq(x, first + 5 * INDEX_CEILING_STEP, &other, &e), 0);
	assert_true(other == first);
	/* Another boot begins above all of that. */
	index_test_boot = "another boot's i";
	again();
	assert_int_equal(index_modseq(x, 0, &other, &e), 0);
	assert_true(other > first + 5 * INDEX_CEILING_STEP);
}

static void after_a_reboot(void **state)
{
	static const uint32_t seven[] = {7};
	struct index_row row = row_for(3, 4);
	struct model *m = filled(600), *n;
	struct ranges r = {.n = 0};
	uint64_t highest;

	(void)state;
	assert_int_equal(commit(m, NULL, 0, seven, 1, false), 0);
	index_checkpoint(x, box, true);
	/* Clean: all is as it was. */
	index_test_boot = "boot number two.";
	again();
	n = load();
	same(m, n);
	assert_true(n->head.generation == m->head.generation);
	assert_true(n->head.highestmodseq == m->head.highestmodseq);
	assert_int_equal(index_vanished(x, box, 0, range, &r, &e), 0);
	assert_int_equal(r.n, 1);
	/* Not clean: UIDs are known, every mod-sequence is new. */
	row.modseq = m->head.highestmodseq + 1;
	assert_int_equal(commit(m, &row, 1, NULL, 0, false), 0);
	highest = m->head.highestmodseq;
	index_test_boot = "boot number 3 ..";
	again();
	n = load();
	assert_int_equal(n->n, m->n);
	assert_true(n->head.highestmodseq > highest && n->head.vanished_since == n->head.highestmodseq);
	assert_true(
	    n->rows[0].modseq == n->head.highestmodseq && n->rows[598].modseq == n->head.highestmodseq);
	assert_true(n->head.generation != m->head.generation);
	r.n = 0;
	assert_int_equal(index_vanished(x, box, 0, range, &r, &e), 0);
	assert_int_equal(r.n, 0);
}

/* That the driver looked and found nothing is no change: the checkpoint stays as clean as it was. */
static void only_the_cursor_moves(void **state)
{
	struct model *m = filled(5), *n;
	struct index_commit c = {.generation = m->head.generation, .head = &m->head};
	uint8_t before = m->head.cursor.size;
	uint64_t generation;

	(void)state;
	index_checkpoint(x, box, true);
	m->head.cursor.size = 3;
	memcpy(m->head.cursor.data, "abc", 3);
	assert_int_equal(index_commit(x, box, &c, &generation, &e), 0);
	n = load();
	assert_int_equal(n->head.cursor.size, 3);
	index_test_boot = "boot of a cursor";
	again();
	n = load();
	assert_int_equal(n->n, 5);
	assert_true(n->head.highestmodseq == m->head.highestmodseq);
	assert_int_equal(n->head.cursor.size, before);
	/* Anything else is one. */
	index_checkpoint(x, box, true);
	m->head.uidnext++;
	c.generation = n->head.generation;
	assert_int_equal(index_commit(x, box, &c, &generation, &e), 0);
	index_test_boot = "boot of another.";
	again();
	n = load();
	assert_true(n->head.highestmodseq > m->head.highestmodseq);
}

static void what_is_durable_survives(void **state)
{
	struct model *m = filled(5), *n;
	struct index_row row = row_for(900, 4);
	uint64_t number = box;

	(void)state;
	assert_int_equal(commit(m, &row, 1, NULL, 0, true), 0);
	index_test_boot = "boot number four";
	again();
	assert_true(number == box);
	n = load();
	assert_int_equal(n->n, 6);
	assert_int_equal(n->rows[5].uid, 900);
}

static void a_private_index_works_alike(void **state)
{
	struct model *m, *n;
	uint32_t v, w;

	(void)state;
	index_close(&x);
	assert_int_equal(index_open_private(&options, &x, &e), 0);
	assert_false(index_persistent(x));
	assert_int_equal(index_mailbox(x, IDENTITY, &box, &e), 0);
	m = filled(300);
	n = load();
	same(m, n);
	index_checkpoint(x, box, true);
	assert_int_equal(index_uidvalidity(x, &v, &e), 0);
	assert_int_equal(index_uidvalidity(x, &w, &e), 0);
	assert_true(w > v);
}

/* Machines cannot share the files there. */
static void not_on_the_network(void **state)
{
	static const long types[] = {0x6969, (long)0xff534d42, 0x01021997};
	char path[128];
	size_t i;

	(void)state;
	index_close(&x);
	snprintf(path, sizeof(path), "%s/index.cache", directory);
	assert_int_equal(unlink(path), 0);
	for (i = 0; i < ARRAY_LEN(types); i++) {
		pretended_type = types[i];
		assert_int_equal(index_open(&options, directory, &x, &e), 0);
		assert_false(index_persistent(x));
		assert_int_equal(index_mailbox(x, IDENTITY, &box, &e), 0);
		assert_int_equal(access(path, F_OK), -1);
		index_close(&x);
	}
	pretended_type = 0;
	begin();
}

static void a_uidvalidity_is_given_once(void **state)
{
	uint32_t v, w;

	(void)state;
	assert_int_equal(index_uidvalidity(x, &v, &e), 0);
	again();
	assert_int_equal(index_uidvalidity(x, &w, &e), 0);
	assert_true(w > v && (int64_t)v >= clock_seconds() - 5);
}

/* ---- names ---- */

static void a_mailbox_moves(void **state)
{
	struct model *m = filled(20), *n;
	struct str value = STR("x");
	AUTO_BUF struct buf b = BUF_INIT;
	uint64_t other, number;

	(void)state;
	assert_int_equal(index_mailbox(x, OTHER, &other, &e), 0);
	assert_int_equal(index_attribute_set(x, other, STR("/comment"), &value, &e), 0);
	assert_int_equal(commit(m, NULL, 0, NULL, 0, true), 0);
	index_checkpoint(x, box, true);
	assert_int_equal(index_rename_below(x, STR("/home/u/mail/a"), STR("/home/u/mail/b"), &e), 0);
	assert_int_equal(index_lookup(x, IDENTITY, &number, &e), 0);
	assert_int_equal(index_mailbox(x, OTHER, &number, &e), 0);
	assert_true(number == box);
	assert_int_equal(index_attribute(x, other, STR("/comment"), &b, &e), 0);
	/* Over a reboot, too. */
	index_test_boot = "boot number five";
	again();
	assert_true(number != box);
	box = number;
	n = load();
	same(m, n);
	assert_int_equal(index_forget(x, OTHER, &e), 0);
	n = load();
	assert_true(n->head.generation == 0);
	assert_int_equal(index_lookup(x, OTHER, &number, &e), 0);
}

static void a_directory_moves(void **state)
{
	static const struct str old[] = {
	    STR_INIT("mh\0/m/a"), STR_INIT("unix\0/m/a/b"), STR_INIT("unix\0/m/ab")};
	static const struct str new[] = {
	    STR_INIT("mh\0/m/z"), STR_INIT("unix\0/m/z/b"), STR_INIT("unix\0/m/ab")};
	uint64_t numbers[3], number;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		assert_int_equal(index_mailbox(x, old[i], &numbers[i], &e), 0);
	assert_int_equal(index_rename_below(x, STR("/m/a"), STR("/m/z"), &e), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(index_lookup(x, new[i], &number, &e), 1);
		assert_true(number == numbers[i]);
	}
	assert_int_equal(index_lookup(x, old[0], &number, &e), 0);
	assert_int_equal(index_lookup(x, old[1], &number, &e), 0);
}

static int count_attribute(void *arg, struct str name, struct str value)
{
	struct buf *b = arg;

	buf_addstr(b, name);
	buf_addc(b, '=');
	buf_addstr(b, value);
	buf_addc(b, ' ');
	return 0;
}

static void attributes(void **state)
{
	struct str one = STR("1"), two = STR("two"), none = STR("");
	AUTO_BUF struct buf b = BUF_INIT;
	char longest[600];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(index_attribute(x, box, STR("/a"), &b, &e), 0);
	assert_int_equal(index_attribute_set(x, box, STR("/a"), &one, &e), 0);
	assert_int_equal(index_attribute_set(x, box, STR("/a/b"), &two, &e), 0);
	assert_int_equal(index_attribute_set(x, box, STR("/c"), &none, &e), 0);
	assert_int_equal(index_attribute_set(x, 0, STR("/a"), &two, &e), 0);
	index_test_boot = "boot number six.";
	again();
	assert_int_equal(index_attributes(x, box, STR("/a"), count_attribute, &b, &e), 0);
	assert_string_equal(buf_cstr(&b), "/a=1 /a/b=two ");
	buf_reset(&b);
	assert_int_equal(index_attribute(x, 0, STR("/a"), &b, &e), 1);
	assert_int_equal(index_attribute(x, box, STR("/c"), &b, &e), 1);
	assert_string_equal(buf_cstr(&b), "two");
	assert_int_equal(index_attribute_set(x, box, STR("/a"), NULL, &e), 0);
	assert_int_equal(index_attribute_set(x, box, STR("/a"), NULL, &e), 0);
	assert_int_equal(index_attribute(x, box, STR("/a"), &b, &e), 0);
	assert_int_equal(
	    index_attribute_set(x, box, str_mem(longest, sizeof(longest)), &one, &e), MORTISE_E_LIMIT);
	err_clear(&e);
	/* In memory nothing is durable, so nothing is promised. */
	index_close(&x);
	assert_int_equal(index_open_private(&options, &x, &e), 0);
	assert_int_equal(index_attribute_set(x, 0, STR("/a"), &one, &e), MORTISE_E_UNAVAILABLE);
	err_clear(&e);
}

static void all_is_counted(void **state)
{
	static const uint32_t gone_uids[] = {2, 4};
	struct model *m = filled(600);
	struct index_report r;
	struct str one = STR("1");
	uint64_t other;

	(void)state;
	assert_int_equal(commit(m, NULL, 0, gone_uids, 2, true), 0);
	assert_int_equal(index_attribute_set(x, box, STR("/a"), &one, &e), 0);
	index_wire_put(x, box, 3, INDEX_ENVELOPE, STR(""), STR("()"));
	index_wire_flush(x);
	assert_int_equal(index_mailbox(x, OTHER, &other, &e), 0);
	assert_int_equal(index_verify(x, 0, &r, &e), 0);
	assert_true(r.mailboxes == 2 && r.messages == 598 && r.runs == 3 && r.vanished_ranges == 2);
	assert_true(r.wire_rows == 1 && r.attributes == 1 && r.damaged == 0);
	assert_true(r.state_octets > 20000 && r.cache_octets > 20000);
	assert_int_equal(index_verify(x, other, &r, &e), 0);
	assert_true(r.mailboxes == 1 && r.messages == 0 && r.wire_rows == 0);
	index_tidy(x);
}

/* The oldest mailbox's wire forms make room; what cannot be computed again stays. */
static void a_full_cache_makes_room(void **state)
{
	static char text[60000];
	struct model *m;
	struct index_report r;
	AUTO_BUF struct buf b = BUF_INIT;
	uint32_t uid;
	uint64_t other;

	(void)state;
	options.cache_size = 4 << 20;
	index_close(&x);
	begin();
	assert_int_equal(index_mailbox(x, OTHER, &other, &e), 0);
	box = other;
	(void)filled(400);
	assert_int_equal(index_mailbox(x, IDENTITY, &box, &e), 0);
	m = filled(100);
	for (uid = 1; uid <= 400; uid++)
		index_wire_put(x, other, uid, INDEX_BODY, STR(""), str_mem(text, sizeof(text)));
	for (uid = 1; uid <= 400; uid++)
		index_wire_put(x, box, uid, INDEX_BODY, STR(""), str_mem(text, sizeof(text)));
	index_wire_flush(x);
	options.cache_size = 64 << 20;
	assert_true(index_persistent(x));
	same(m, load());
	assert_int_equal(index_verify(x, 0, &r, &e), 0);
	assert_true(r.cache_octets < 12 << 20);
	assert_true(r.wire_rows > 0);
	assert_int_equal(index_wire(x, box, 400, INDEX_BODY, STR(""), &b, &e), 1);
}

/* Clients may fill it with attributes; what the server must remember still fits. */
static void attributes_are_limited(void **state)
{
	static char text[60000];
	struct str value = {text, sizeof(text)};
	struct model *m;
	unsigned i;
	int r = 0;

	(void)state;
	options.state_size = 1 << 20;
	index_close(&x);
	begin();
	m = filled(100);
	for (i = 0; i < 100 && r == 0; i++) {
		char name[32];

		snprintf(name, sizeof(name), "/private/%u", i);
		r = index_attribute_set(x, box, str_of(name), &value, &e);
	}
	assert_int_equal(r, MORTISE_E_QUOTA);
	assert_true(i > 10 && i < 20);
	err_clear(&e);
	assert_true(index_persistent(x));
	assert_int_equal(commit(m, NULL, 0, NULL, 0, true), 0);
	assert_int_equal(index_attribute_set(x, box, STR("/private/1"), NULL, &e), 0);
	assert_int_equal(commit(m, NULL, 0, NULL, 0, true), 0);
	assert_true(index_persistent(x));
	options.state_size = 64 << 20;
}

/* A checkpoint is made when one is due, and not before: what was not in it is new to clients after a reboot.
 */
static void checkpoints_are_made_in_time(void **state)
{
	struct index_row row = row_for(900, 4);
	struct model *m = filled(5), *n;

	(void)state;
	index_checkpoint(x, box, true);
	assert_int_equal(commit(m, &row, 1, NULL, 0, false), 0);
	index_checkpoint(x, box, false);
	index_test_boot = "a boot of 1st ..";
	again();
	n = load();
	assert_int_equal(n->n, 5);
	m->head.generation = n->head.generation;
	m->n = 5;
	row.uid = 800;
	assert_int_equal(commit(m, &row, 1, NULL, 0, false), 0);
	clock_test_advance(300001);
	index_checkpoint(x, box, false);
	index_test_boot = "a boot of 2nd ..";
	again();
	clock_test_advance(-300001);
	n = load();
	assert_int_equal(n->n, 6);
	assert_true(n->head.highestmodseq == m->head.highestmodseq);
}

/* Between two files of one boot: a number that was given is not given again. */
static void a_lost_file_repeats_no_number(void **state)
{
	struct model *m = filled(5), *n;
	char path[128];
	uint64_t first, again_first;

	(void)state;
	assert_int_equal(index_modseq(x, 0, &first, &e), 0);
	assert_int_equal(commit(m, NULL, 0, NULL, 0, true), 0);
	assert_int_equal(commit(m, NULL, 0, NULL, 0, false), 0);
	index_close(&x);
	snprintf(path, sizeof(path), "%s/index.cache", directory);
	assert_int_equal(unlink(path), 0);
	begin();
	assert_int_equal(index_modseq(x, 0, &again_first, &e), 0);
	assert_true(again_first > m->head.highestmodseq);
	n = load();
	assert_true(n->head.highestmodseq >= again_first);
}

/* UIDs of a mailbox that begins anew are others' than those that wire forms were computed for. */
static void old_wire_forms_do_not_return(void **state)
{
	struct index_row row = row_for(4, 3);
	struct model *m = filled(10);
	struct index_commit c = {
	    .generation = m->head.generation, .anew = true, .head = &m->head, .rows = &row, .row_count = 1};
	AUTO_BUF struct buf b = BUF_INIT;
	uint64_t generation;

	(void)state;
	index_wire_put(x, box, 4, INDEX_ENVELOPE, STR(""), STR("(old)"));
	m->head.messages = 1;
	assert_int_equal(index_commit(x, box, &c, &generation, &e), 0);
	assert_int_equal(index_wire(x, box, 4, INDEX_ENVELOPE, STR(""), &b, &e), 0);
	index_wire_put(x, box, 4, INDEX_BODY, STR(""), STR("(new)"));
	index_wire_flush(x);
	assert_int_equal(index_wire(x, box, 4, INDEX_ENVELOPE, STR(""), &b, &e), 0);
	assert_int_equal(index_wire(x, box, 4, INDEX_BODY, STR(""), &b, &e), 1);
}

/* What durable commits put into index.state, one after the other, is the whole mailbox. */
static void durable_commits_add_up(void **state)
{
	struct model *m = filled(600), *n;
	struct ranges r = {.n = 0}, s = {.n = 0};
	uint64_t before = m->head.highestmodseq;
	uint32_t turn;

	(void)state;
	for (turn = 0; turn < 58; turn++) {
		struct index_row rows[2] = {
		    row_for(2 * turn + 200, before), row_for(m->head.highest + 3, before)};
		uint32_t gone_uids[3] = {turn * 3 + 1, turn * 3 + 2, 500 + turn};

		assert_int_equal(commit(m, rows, 2, gone_uids, turn % 4, turn % 5 != 4), 0);
		if (turn == 30)
			index_checkpoint(x, box, true);
	}
	assert_int_equal(index_vanished(x, box, before, range, &r, &e), 0);
	assert_int_equal(commit(m, NULL, 0, NULL, 0, true), 0);
	index_checkpoint(x, box, true);
	index_test_boot = "boot after boot.";
	again();
	n = load();
	same(m, n);
	assert_int_equal(index_vanished(x, box, before, range, &s, &e), 0);
	assert_true(r.n == s.n && memcmp(r.low, s.low, r.n * sizeof(r.low[0])) == 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_mailbox_keeps_its_number),
	    TEST(what_is_committed_is_loaded),
	    TEST(another_generation_is_refused),
	    TEST(runs_stay_true),
	    TEST(a_mailbox_begins_anew),
	    TEST(vanished_uids_are_told),
	    TEST(wire_forms),
	    TEST(the_ceiling_is_above_what_is_given),
	    TEST(after_a_reboot),
	    TEST(only_the_cursor_moves),
	    TEST(what_is_durable_survives),
	    TEST(a_private_index_works_alike),
	    TEST(a_uidvalidity_is_given_once),
	    TEST(not_on_the_network),
	    TEST(a_mailbox_moves),
	    TEST(a_directory_moves),
	    TEST(attributes),
	    TEST(attributes_are_limited),
	    TEST(checkpoints_are_made_in_time),
	    TEST(a_lost_file_repeats_no_number),
	    TEST(old_wire_forms_do_not_return),
	    TEST(durable_commits_add_up),
	    TEST(all_is_counted),
	    TEST(a_full_cache_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
