/* The source over a driver's answer: conversion, going back, files that change under it. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "store/source_file.h"
#include "store/test-support.h"
#include "base/banned.h"

/* A driver that answers read() with what the test has prepared. */
static struct {
	int fd, newline, code;
	struct mortise_extent extents[8];
	size_t count;
	const unsigned char *memory;
	unsigned asked;
	void (*on_ask)(void);
} answer;

static int answer_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *out)
{
	(void)box;
	(void)ref;
	answer.asked++;
	if (answer.on_ask != NULL)
		answer.on_ask();
	if (answer.code != 0)
		return call->host->fault(call, answer.code, "not there");
	out->fd = answer.fd;
	out->newline = answer.newline;
	out->extents = answer.extents;
	out->extent_count = answer.count;
	out->memory = answer.memory;
	return 0;
}

struct bench {
	struct fixture *f;
	struct mailbox *m;
	struct mortise_driver_ops ops;
	const void *real;
};

static void bench_open(struct bench *b, void **state)
{
	b->f = *state;
	memset(&answer, 0, sizeof(answer));
	answer.fd = -1;
	ok(b->f, store_create(b->f->s, "x", &b->f->e));
	ok(b->f, mailbox_open(b->f->s, "x", 0, &b->m, &b->f->e));
	b->ops = *driver_ops(b->m->driver);
	b->ops.read = answer_read;
	b->real = b->m->driver->ops;
	b->m->driver->ops = &b->ops;
}

static void bench_close(struct bench *b)
{
	b->m->driver->ops = b->real;
	mailbox_close(&b->m);
	io_close(&answer.fd);
}

static struct source *open_source(struct bench *b, uint64_t octets)
{
	struct mortise_ref ref = {.uid = 1};
	struct source *s;

	ok(b->f, source_file(b->m, &ref, octets, &s, &b->f->e));
	return s;
}

static int file_of(const void *p, size_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(io_write(fd, p, n), 0);
	return fd;
}

/* Octet by octet, the plain way. */
static void convert_slowly(struct buf *out, struct str in)
{
	size_t i;

	for (i = 0; i < in.n; i++) {
		if (in.p[i] == '\n' && (i == 0 || in.p[i - 1] != '\r'))
			buf_addc(out, '\r');
		buf_addc(out, in.p[i]);
	}
}

static void check_at(struct bench *b, struct source *s, struct str want, uint64_t at)
{
	AUTO_BUF struct buf out = BUF_INIT;
	size_t most = 1 + (size_t)(at * 7919 % 100000);
	struct str part;

	/* Either way of reading, each wherever the other has left off. */
	buf_addc(&out, 'x');
	ok(b->f, source_add(s, at, most, &out, &b->f->e));
	if (at >= want.n) {
		assert_int_equal(out.n, 1);
	} else {
		assert_true(out.n > 1 && out.n - 1 <= most && out.n - 1 <= want.n - at);
		assert_memory_equal(out.p + 1, want.p + at, out.n - 1);
	}
	ok(b->f, source_chunk(s, at, &part, &b->f->e));
	if (at >= want.n) {
		assert_int_equal(part.n, 0);
		return;
	}
	assert_true(part.n > 0 && part.n <= want.n - at);
	assert_memory_equal(part.p, want.p + at, part.n);
}

static void test_lf(void **state)
{
	AUTO_BUF struct buf in = BUF_INIT, want = BUF_INIT;
	struct source *s;
	struct bench b;
	uint32_t seed = 3;
	uint64_t size, at;
	struct str part;
	int i;

	bench_open(&b, state);
	for (i = 0; i < 700000; i++) {
		seed = seed * 1664525 + 1013904223;
		buf_addc(&in, "abcdefg\n\r\n"[(seed >> 16) % 10]);
	}
	convert_slowly(&want, buf_str(&in));
	answer.fd = file_of(in.p, in.n);
	answer.newline = MORTISE_NEWLINE_LF;
	/* In pieces, so that CR LF is cut by an extent's end, too. */
	answer.count = 8;
	for (i = 0; i < 8; i++)
		answer.extents[i] =
		    (struct mortise_extent){(uint64_t)i * 80000, i < 7 ? 80000 : in.n - 560000};
	s = open_source(&b, MORTISE_SIZE_UNKNOWN);
	ok(b.f, source_chunk(s, 0, &part, &b.f->e));
	ok(b.f, source_size(s, &size, &b.f->e));
	assert_int_equal(size, want.n);
	for (at = 0; at < want.n; at += part.n) {
		check_at(&b, s, buf_str(&want), at);
		ok(b.f, source_chunk(s, at, &part, &b.f->e));
	}
	for (i = 0; i < 3000; i++) {
		seed = seed * 1664525 + 1013904223;
		check_at(&b, s, buf_str(&want), (seed >> 8) % (want.n + 10));
	}
	check_at(&b, s, buf_str(&want), UINT64_MAX);
	assert_int_equal(answer.asked, 1);
	source_close(&s);
	bench_close(&b);
}

static void test_crlf(void **state)
{
	static const char text[] = "a\r\n\nb\rc\r\n";
	struct source *s;
	struct bench b;
	uint64_t size;
	size_t at;

	bench_open(&b, state);
	answer.fd = file_of(text, sizeof(text) - 1);
	answer.newline = MORTISE_NEWLINE_CRLF;
	answer.extents[0] = (struct mortise_extent){0, 4};
	answer.extents[1] = (struct mortise_extent){4, sizeof(text) - 5};
	answer.count = 2;
	s = open_source(&b, 12345); /* a driver's record that lies: the extents are the truth */
	ok(b.f, source_size(s, &size, &b.f->e));
	assert_int_equal(size, sizeof(text) - 1);
	for (at = sizeof(text) + 3; at-- > 0;)
		check_at(&b, s, str_of(text), at);
	source_close(&s);
	/* The same from memory. */
	io_close(&answer.fd);
	answer.memory = (const unsigned char *)text;
	s = open_source(&b, MORTISE_SIZE_UNKNOWN);
	for (at = 0; at < sizeof(text) + 3; at++)
		check_at(&b, s, str_of(text), at);
	source_close(&s);
	bench_close(&b);
}

static void test_empty(void **state)
{
	struct source *s;
	struct bench b;
	uint64_t size;

	bench_open(&b, state);
	answer.newline = MORTISE_NEWLINE_LF;
	s = open_source(&b, MORTISE_SIZE_UNKNOWN);
	check_at(&b, s, STR(""), 0);
	ok(b.f, source_size(s, &size, &b.f->e));
	assert_int_equal(size, 0);
	source_close(&s);
	bench_close(&b);
}

/* attack-138: cut short while it is read. No signal, no garbage. */
static void test_truncated(void **state)
{
	char *text = mem_alloc(200000);
	struct source *s;
	struct bench b;
	struct str part;

	memset(text, 'x', 200000);
	bench_open(&b, state);
	answer.fd = file_of(text, 200000);
	answer.newline = MORTISE_NEWLINE_CRLF;
	answer.extents[0] = (struct mortise_extent){0, 200000};
	answer.count = 1;
	s = open_source(&b, MORTISE_SIZE_UNKNOWN);
	ok(b.f, source_chunk(s, 0, &part, &b.f->e));
	assert_int_equal(ftruncate(answer.fd, 70000), 0);
	fails(b.f, source_chunk(s, 65536, &part, &b.f->e), MORTISE_E_EXPUNGED);
	source_close(&s);
	bench_close(&b);
	mem_free(text);
}

static int moves_left;

static void move_once(void)
{
	if (moves_left-- > 0)
		return;
	answer.on_ask = NULL;
}

static void touch_on_ask(void)
{
	const struct timespec t[2] = {{.tv_sec = moves_left + 1}, {.tv_sec = moves_left + 1}};

	moves_left++;
	(void)futimens(answer.fd, t);
}

/* The file was rewritten by another program: the driver is asked where the message is now. */
static void test_moved(void **state)
{
	struct source *s;
	struct bench b;
	struct str part;
	char *big = mem_alloc(100000);

	memset(big, 'a', 100000);
	bench_open(&b, state);
	answer.fd = file_of(big, 100000);
	answer.newline = MORTISE_NEWLINE_CRLF;
	answer.extents[0] = (struct mortise_extent){0, 100000};
	answer.count = 1;
	s = open_source(&b, MORTISE_SIZE_UNKNOWN);
	ok(b.f, source_chunk(s, 0, &part, &b.f->e));
	/* It moves by ten octets; what was its place holds somebody else's text. */
	memset(big, 'B', 10);
	assert_int_equal(io_pwrite(answer.fd, big, 10, 65536), 0);
	assert_int_equal(io_pwrite(answer.fd, "0123456789", 10, 100000), 0);
	answer.extents[0].offset = 10;
	answer.extents[0].length = 100000;
	moves_left = 0;
	answer.on_ask = move_once;
	ok(b.f, source_chunk(s, 99990, &part, &b.f->e));
	assert_true(answer.asked > 1);
	assert_memory_equal(part.p, "0123456789", 10);
	/* It is gone. */
	answer.code = MORTISE_E_EXPUNGED;
	b.m->calls++;
	fails(b.f, source_chunk(s, 0, &part, &b.f->e), MORTISE_E_EXPUNGED);
	answer.code = 0;
	/* It changes whenever one looks: an end comes all the same. */
	moves_left = 100;
	answer.on_ask = touch_on_ask;
	b.m->calls++;
	ok(b.f, source_chunk(s, 5, &part, &b.f->e));
	source_close(&s);
	bench_close(&b);
	mem_free(big);
}

static void test_impossible_answers(void **state)
{
	struct mortise_ref ref = {.uid = 1};
	struct source *s;
	struct bench b;

	bench_open(&b, state);
	answer.newline = 77;
	fails(b.f, source_file(b.m, &ref, 1, &s, &b.f->e), MORTISE_E_INTERNAL);
	answer.newline = MORTISE_NEWLINE_LF;
	answer.count = 2;
	fails(b.f, source_file(b.m, &ref, 1, &s, &b.f->e), MORTISE_E_INTERNAL); /* neither file nor memory */
	answer.fd = file_of("x", 1);
	answer.extents[0] = (struct mortise_extent){UINT64_MAX, 10};
	fails(b.f, source_file(b.m, &ref, 1, &s, &b.f->e), MORTISE_E_INTERNAL);
	answer.extents[0] = answer.extents[1] = (struct mortise_extent){0, INT64_MAX - 5};
	fails(b.f, source_file(b.m, &ref, 1, &s, &b.f->e), MORTISE_E_INTERNAL);
	bench_close(&b);
}

/* attack-117: a sparse file of a terabyte is opened and read at its end without reading it all or keeping it.
 */
static void test_sparse(void **state)
{
	const uint64_t size = UINT64_C(1) << 40;
	struct source *s;
	struct bench b;
	struct str part;

	bench_open(&b, state);
	answer.fd = file_of("x", 1);
	if (ftruncate(answer.fd, (off_t)size) != 0) {
		bench_close(&b);
		skip();
	}
	answer.newline = MORTISE_NEWLINE_CRLF;
	answer.extents[0] = (struct mortise_extent){0, size};
	answer.count = 1;
	s = open_source(&b, MORTISE_SIZE_UNKNOWN);
	ok(b.f, source_chunk(s, size - 3, &part, &b.f->e));
	assert_int_equal(part.n, 3);
	source_close(&s);
	bench_close(&b);
}

/* Marks stay bounded however long the message is: going back works after they were thinned out. */
static void test_many_marks(void **state)
{
	const uint64_t stored = UINT64_C(600) << 20;
	struct source *s;
	struct bench b;
	struct str part;
	uint64_t size;

	bench_open(&b, state);
	answer.fd = file_of("line\n", 5);
	assert_int_equal(ftruncate(answer.fd, (off_t)stored), 0); /* NULs: no line ends */
	assert_int_equal(io_pwrite(answer.fd, "\nlast\n", 6, stored - 6), 0);
	answer.newline = MORTISE_NEWLINE_LF;
	answer.extents[0] = (struct mortise_extent){0, stored};
	answer.count = 1;
	s = open_source(&b, MORTISE_SIZE_UNKNOWN);
	ok(b.f, source_size(s, &size, &b.f->e));
	assert_int_equal(size, stored + 3);
	ok(b.f, source_chunk(s, 4, &part, &b.f->e));
	assert_memory_equal(part.p, "\r\n", 2);
	ok(b.f, source_chunk(s, size / 2, &part, &b.f->e));
	assert_int_equal(part.p[0], 0);
	ok(b.f, source_chunk(s, size - 8, &part, &b.f->e));
	assert_memory_equal(part.p, "\r\nlast\r\n", 8);
	source_close(&s);
	bench_close(&b);
}

/* A source may outlive its mailbox; it then says so. */
static void test_orphan(void **state)
{
	struct fixture *f = *state;
	struct source *s, *t;
	struct mailbox *m;
	struct str part;
	struct view *v;

	ok(f, store_create(f->s, "x", &f->e));
	append_one(f, "x", "text\r\n", 0);
	v = open_view(f, f->s, "x", 0, &m);
	ok(f, mailbox_read(m, view_message(v, 1), &s, &f->e));
	ok(f, mailbox_read(m, view_message(v, 1), &t, &f->e));
	ok(f, source_chunk(s, 0, &part, &f->e));
	source_close(&t);
	view_close(&v);
	mailbox_close(&m);
	fails(f, source_chunk(s, 0, &part, &f->e), MORTISE_E_EXPUNGED);
	source_close(&s);
}

/* Through the whole engine, with a driver that hands out LF files. */
static void test_lf_driver(void **state)
{
	struct fixture *f = *state;
	struct number_set all;
	struct copy_result r;
	struct mailbox *m;
	uint64_t octets;
	struct view *v;

	set_option(f, MEMORY(f), "lf_files", "yes");
	set_option(f, MEMORY(f), "tell_sizes", "no");
	ok(f, store_create(f->s, "x", &f->e));
	append_one(f, "x", "Subject: a\r\n\r\nb\r\n", 0);
	append_one(f, "x", "no line end", 0);
	v = open_view(f, f->s, "x", 0, &m);
	assert_string_equal(read_text(f, m, view_message(v, 1)), "Subject: a\r\n\r\nb\r\n");
	ok(f, mailbox_octets(m, view_message(v, 1), &octets, &f->e));
	assert_int_equal(octets, 17);
	assert_int_equal(view_message(v, 1)->octets, 17);
	all = uid_set(f, "1:*");
	ok(f, mailbox_copy(m, &all, "x", f->a, &r, &f->e));
	update_text(f, v, 0);
	assert_string_equal(read_text(f, m, view_message(v, 3)), "Subject: a\r\n\r\nb\r\n");
	assert_string_equal(read_text(f, m, view_message(v, 4)), "no line end");
	view_close(&v);
	mailbox_close(&m);
}

#define T(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_lf), T(test_crlf), T(test_empty), T(test_truncated),
	    T(test_moved), T(test_impossible_answers), T(test_sparse), T(test_many_marks), T(test_orphan),
	    T(test_lf_driver)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
