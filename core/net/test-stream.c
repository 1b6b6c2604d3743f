#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "net/deflate.h"
#include "net/stream.h"
#include "base/banned.h"

struct pair {
	struct stream *s;
	int peer;
};

static struct pair pair_new(size_t limit)
{
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	return (struct pair){stream_new(fd[0], fd[0], limit), fd[1]};
}

static void reads(void **state)
{
	struct pair p = pair_new(1000);

	(void)state;
	assert_int_equal(stream_wait(p.s, -1, -1, clock_ms() + 1), STREAM_TIMEOUT);
	assert_int_equal(io_write(p.peer, "hello", 5), 0);
	assert_int_equal(stream_wait(p.s, -1, -1, clock_ms() + 5000), STREAM_OK);
	assert_true(str_eqc(stream_input(p.s), "hello"));
	stream_consume(p.s, 2);
	assert_int_equal(stream_wait(p.s, -1, -1, 1), STREAM_OK); /* what is left counts, no wait */
	assert_true(str_eqc(stream_input(p.s), "llo"));
	stream_unread(p.s, STR("he"));
	assert_true(str_eqc(stream_input(p.s), "hello"));
	stream_consume(p.s, 5);
	io_close(&p.peer);
	assert_int_equal(stream_wait(p.s, -1, -1, 0), STREAM_EOF);
	assert_int_equal(stream_octets_in(p.s), 5);
	stream_free(&p.s);
	assert_null(p.s);
}

static void waits_for_either(void **state)
{
	struct pair p = pair_new(1000);
	int other[2];

	(void)state;
	assert_int_equal(pipe(other), 0);
	assert_int_equal(io_write(other[1], "x", 1), 0);
	assert_int_equal(stream_wait(p.s, -1, other[0], clock_ms() + 5000), STREAM_OK);
	assert_int_equal(stream_input(p.s).n, 0);
	assert_int_equal(io_write(p.peer, "y", 1), 0);
	assert_int_equal(stream_wait(p.s, other[0], -1, clock_ms() + 5000), STREAM_OK);
	assert_int_equal(stream_input(p.s).n, 1);
	io_close(&other[0]);
	io_close(&other[1]);
	stream_free(&p.s);
	io_close(&p.peer);
}

static bool put(struct stream *s, struct str octets)
{
	buf_addstr(stream_output(s), octets);
	return stream_written(s);
}

static void gathers(void **state)
{
	struct pair p = pair_new(10);
	char got[64];

	(void)state;
	assert_true(put(p.s, STR("abc")));
	assert_true(put(p.s, STR("def")));
	assert_int_equal(recv(p.peer, got, sizeof(got), MSG_DONTWAIT), -1); /* below the limit: kept */
	assert_true(put(p.s, STR("0123456789")));
	assert_int_equal(recv(p.peer, got, sizeof(got), MSG_DONTWAIT), 16);
	assert_memory_equal(got, "abcdef0123456789", 16);
	buf_adds(stream_output(p.s), "tail");
	assert_true(stream_flush(p.s));
	assert_int_equal(recv(p.peer, got, sizeof(got), MSG_DONTWAIT), 4);
	assert_memory_equal(got, "tail", 4);
	assert_int_equal(stream_octets_out(p.s), 20);
	stream_free(&p.s);
	io_close(&p.peer);
}

/* attack-033: a peer that does not read is dropped, and no more than the limit is kept for it. */
static void slow_reader(void **state)
{
	struct pair p = pair_new(4096);
	char piece[1000];
	int i;

	(void)state;
	memset(piece, 'x', sizeof(piece));
	stream_set_write_timeout(p.s, 20);
	for (i = 0; i < 100000 && put(p.s, str_mem(piece, sizeof(piece))); i++)
		assert_true(stream_output(p.s)->n <= 4096 + sizeof(piece));
	assert_true(i < 100000);
	assert_false(stream_flush(p.s));
	assert_int_equal(stream_wait(p.s, -1, -1, clock_ms() + 1000), STREAM_ERROR);
	stream_free(&p.s);
	io_close(&p.peer);
}

static void gone_reader(void **state)
{
	struct pair p = pair_new(4096);

	(void)state;
	io_close(&p.peer);
	put(p.s, STR("x"));
	assert_false(stream_flush(p.s)); /* and no SIGPIPE */
	stream_free(&p.s);
}

static void *reader_thread(void *arg)
{
	char piece[8192];
	size_t *total = arg;
	int fd = (int)*total;
	ssize_t n;

	*total = 0;
	while ((n = read(fd, piece, sizeof(piece))) > 0)
		*total += (size_t)n;
	return NULL;
}

static void large(void **state)
{
	struct pair p = pair_new(4096);
	size_t total = (size_t)p.peer, n = 8u << 20;
	char *octets = mem_alloc(n);
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, reader_thread, &total), 0);
	put(p.s, str_mem(octets, n));
	put(p.s, STR("end"));
	stream_free(&p.s);
	pthread_join(t, NULL);
	assert_int_equal(total, n + 3);
	mem_free(octets);
	io_close(&p.peer);
}

static void pipes_keep_their_mode(void **state)
{
	int in[2], out[2], kept;
	struct stream *s;
	char got[4];

	(void)state;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	kept = dup(in[0]);
	s = stream_new(in[0], out[1], 100);
	assert_true((fcntl(kept, F_GETFL) & O_NONBLOCK) != 0);
	put(s, STR("hi"));
	stream_free(&s);
	assert_true((fcntl(kept, F_GETFL) & O_NONBLOCK) == 0);
	assert_int_equal(read(out[0], got, sizeof(got)), 2);
	io_close(&kept);
	io_close(&in[1]);
	io_close(&out[0]);
}

/* attack-094: a peer whose few octets become many is read a window at a time. */
static void deflates(void **state)
{
	struct pair p = pair_new(4096);
	struct deflate *peer = deflate_new();
	AUTO_BUF struct buf zeros = BUF_INIT;
	AUTO_BUF struct buf packed = BUF_INIT;
	AUTO_BUF struct buf got = BUF_INIT;
	uint64_t total = 0;
	char octets[8192];
	ssize_t n;

	(void)state;
	buf_reserve(&zeros, 20 << 20);
	memset(zeros.p, '0', 20 << 20);
	zeros.n = 20 << 20;
	buf_adds(stream_output(p.s), "in clear");
	assert_true(stream_start_deflate(p.s));
	assert_true(stream_deflates(p.s));
	assert_int_equal(recv(p.peer, octets, sizeof(octets), MSG_DONTWAIT), 8);
	deflate_compress(peer, buf_str(&zeros), true, &packed);
	assert_true(packed.n < 65536);
	assert_int_equal(io_write(p.peer, packed.p, packed.n), 0);
	while (total < zeros.n) {
		assert_int_equal(stream_wait(p.s, -1, -1, clock_ms() + 5000), STREAM_OK);
		assert_true(stream_input(p.s).n <= 65536);
		total += stream_input(p.s).n;
		stream_consume(p.s, stream_input(p.s).n);
	}
	assert_int_equal(total, zeros.n);
	assert_int_equal(stream_wait(p.s, -1, -1, clock_ms()), STREAM_TIMEOUT);
	/* What is flushed can be read; nothing to flush is nothing to send. */
	buf_adds(stream_output(p.s), "a reply");
	assert_true(stream_flush(p.s));
	n = recv(p.peer, octets, sizeof(octets), MSG_DONTWAIT);
	assert_true(n > 0);
	deflate_feed(peer, str_mem(octets, (size_t)n));
	assert_true(deflate_inflate(peer, &got, 100));
	assert_string_equal(buf_cstr(&got), "a reply");
	assert_true(stream_flush(p.s));
	assert_int_equal(recv(p.peer, octets, sizeof(octets), MSG_DONTWAIT), -1);
	assert_int_equal(io_write(p.peer, "\377\377\377\377", 4), 0);
	assert_int_equal(stream_wait(p.s, -1, -1, clock_ms() + 5000), STREAM_EOF);
	deflate_free(&peer);
	stream_free(&p.s);
	io_close(&p.peer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(reads),
	    cmocka_unit_test(waits_for_either),
	    cmocka_unit_test(gathers),
	    cmocka_unit_test(slow_reader),
	    cmocka_unit_test(gone_reader),
	    cmocka_unit_test(large),
	    cmocka_unit_test(deflates),
	    cmocka_unit_test(pipes_keep_their_mode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
