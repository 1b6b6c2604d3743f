/*
 * measure-index: what the index costs, printed for a human. Not a test: `make core/store/measure-index`, then
 * `core/store/measure-index DIRECTORY [MESSAGES]`; the directory must be empty.
 */
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>

#include "base/buf.h"
#include "store/index_int.h"
#include "base/banned.h"

static struct err e;

static uint64_t now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void say(const char *what, uint64_t began, uint64_t times)
{
	printf("%-52s %10.3f µs\n", what, (double)(now() - began) / 1000.0 / (double)times);
}

static int add(void *arg, const struct index_row *row)
{
	*(uint64_t *)arg += row->uid + row->locator[0];
	return 0;
}

static int add_text(void *arg, uint32_t uid, struct str text)
{
	*(uint64_t *)arg += uid + text.n;
	return 0;
}

static struct index_row row_of(uint32_t uid)
{
	static const unsigned char locator[24];

	return (struct index_row){.uid = uid,
	    .octets = 4321,
	    .modseq = 17,
	    .internal_date = 1700000000,
	    .locator_size = sizeof(locator),
	    .locator = locator};
}

static void commit(struct index *x, uint64_t box, struct index_head *head, struct index_commit *c)
{
	c->generation = head->generation;
	c->head = head;
	if (index_commit(x, box, c, &head->generation, &e) != 0) {
		fprintf(stderr, "commit: %s\n", e.admin);
		exit(1);
	}
}

static void measure_rows(
    struct index *x, uint64_t box, struct index_head *head, uint32_t messages, struct arena *a)
{
	struct index_row *rows = arena_array(a, messages, sizeof(*rows));
	struct index_commit c = {.rows = rows, .row_count = messages};
	uint64_t t, sum = 0, generation;
	uint32_t i;

	for (i = 0; i < messages; i++)
		rows[i] = row_of(i + 1);
	head->messages = head->highest = messages;
	t = now();
	commit(x, box, head, &c);
	say("first commit, a message", t, messages);
	t = now();
	for (i = 0; i < 20; i++)
		(void)index_load(x, box, a, head, add, &sum, &e);
	say("index_load, a message", t, 20ull * messages);
	t = now();
	for (i = 0; i < 100000; i++)
		(void)index_generation(x, box, &generation, &e);
	say("index_generation", t, 100000);
	t = now();
	for (i = 0; i < 10000; i++)
		(void)index_head(x, box, a, head, &e);
	say("index_head", t, 10000);
	c.row_count = 1;
	t = now();
	for (i = 0; i < 5000; i++) {
		c.rows = &rows[(i * 7919u) % messages];
		commit(x, box, head, &c);
	}
	say("commit of one changed message", t, 5000);
	t = now();
	for (i = 0; i < 5000; i++) {
		struct index_row next = row_of(++head->highest);

		head->messages++;
		c.rows = &next;
		commit(x, box, head, &c);
	}
	say("commit of one new message", t, 5000);
	c.row_count = 0;
	t = now();
	for (i = 0; i < 2000; i++) {
		uint32_t gone = 3 * i + 1;

		c.vanished = &gone;
		c.vanished_count = 1;
		c.vanished_modseq = ++head->highestmodseq;
		head->messages--;
		commit(x, box, head, &c);
	}
	say("commit of one vanished message", t, 2000);
	c.vanished_count = 0;
	c.durable = true;
	t = now();
	for (i = 0; i < 20; i++)
		commit(x, box, head, &c);
	say("durable commit", t, 20);
	t = now();
	index_checkpoint(x, box, true);
	say("checkpoint", t, 1);
}

static void measure_wire(struct index *x, uint64_t box, uint32_t messages)
{
	static const char text[] =
	    "(\"Mon, 7 Feb 1994 21:52:25 -0800\" \"Afternoon meeting\" ((\"Fred Foobar\" NIL \"foobar\" "
	    "\"Blurdybloop.example\")) NIL NIL ((NIL NIL \"mooch\" \"owatagu.siam.edu.example\")) NIL NIL "
	    "NIL "
	    "\"<B27397-0100000@Blurdybloop.example>\")";
	AUTO_BUF struct buf b = BUF_INIT;
	uint64_t t = now(), sum = 0;
	uint32_t i;

	for (i = 1; i <= messages; i++)
		index_wire_put(x, box, i, INDEX_ENVELOPE, STR(""), str_of(text));
	index_wire_flush(x);
	say("index_wire_put, a message of 256 octets", t, messages);
	for (i = 1; i <= messages; i++)
		index_wire_put(x, box, i, INDEX_SORT, STR(""), str_mem(text, 60));
	index_wire_flush(x);
	t = now();
	for (i = 1; i <= messages; i++) {
		buf_truncate(&b, 0);
		(void)index_wire(x, box, i, INDEX_ENVELOPE, STR(""), &b, &e);
	}
	say("index_wire, in order", t, messages);
	t = now();
	for (i = 1; i <= messages; i++) {
		buf_truncate(&b, 0);
		(void)index_wire(x, box, 1 + (i * 7919u) % messages, INDEX_ENVELOPE, STR(""), &b, &e);
	}
	say("index_wire, here and there", t, messages);
	t = now();
	(void)index_wire_scan(x, box, INDEX_ENVELOPE, STR(""), add_text, &sum, &e);
	say("index_wire_scan, a message of 256 octets", t, messages);
	t = now();
	(void)index_wire_scan(x, box, INDEX_SORT, STR(""), add_text, &sum, &e);
	say("index_wire_scan, a message of 60 octets", t, messages);
}

static void say_size(const char *directory, const char *name, uint32_t messages)
{
	char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (stat(path, &st) == 0)
		printf("%-52s %10" PRIu64 " octets, %.0f a message\n", name, (uint64_t)st.st_size,
		    (double)st.st_size / messages);
}

int main(int argc, char **argv)
{
	static const struct index_options o = {1 << 30, 1ull << 32, 300000, 100000};
	AUTO_ARENA struct arena *a = arena_new("measure");
	struct index_head head = {.generation = 0};
	uint32_t messages = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 10000;
	struct index *x;
	uint64_t box, t = now();
	unsigned i;

	if (argc < 2 || messages == 0 || index_open(&o, argv[1], &x, &e) != 0 ||
	    index_mailbox(x, STR("a/mailbox"), &box, &e) != 0) {
		fprintf(stderr, "usage: measure-index DIRECTORY [MESSAGES]\n%s\n", e.admin);
		return 2;
	}
	say("index_open and index_mailbox, new files", t, 1);
	measure_rows(x, box, &head, messages, a);
	say_size(argv[1], "index.cache", messages);
	say_size(argv[1], "index.state", messages);
	measure_wire(x, box, messages);
	say_size(argv[1], "index.cache", messages);
	index_close(&x);
	t = now();
	for (i = 0; i < 100; i++) {
		(void)index_open(&o, argv[1], &x, &e);
		(void)index_mailbox(x, STR("a/mailbox"), &box, &e);
		index_close(&x);
	}
	say("index_open, index_mailbox, index_close", t, 100);
	return 0;
}
