#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "net/deflate.h"
#include "net/stream.h"
#include "base/banned.h"

#define STREAM_MAGIC 0x5374726du
#define WINDOW 65536u                /* octets read at once */
#define RAW 16384u                   /* compressed octets read at once */
#define PIECE 65536u                 /* octets compressed at once */
#define WRITE_TIMEOUT_DEFAULT 60000u /* ms */
#define REST_AFTER 500               /* ms without input */
#define CLOSE_TIMEOUT 2000u          /* ms the last flush may take */

struct stream {
	uint32_t magic;
	int in, out;
	bool in_blocked, out_blocked; /* as they were: others may share the open file (a terminal) */
	bool dead;
	struct buf input; /* octets received, not yet consumed: [taken, input.n) */
	size_t taken;
	size_t most; /* octets that were ever in it: what is to be wiped */
	struct buf output;
	size_t output_limit;
	uint64_t write_timeout;
	uint64_t octets_in, octets_out;
	struct deflate *deflate; /* NULL: octets go as they are */
};

/* Whether it was blocking. */
static bool make_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || (flags & O_NONBLOCK) != 0)
		return false;
	io_nonblock(fd, 1);
	return true;
}

struct stream *stream_new(int in, int out, size_t output_limit)
{
	struct stream *s = mem_new(struct stream);

	s->magic = STREAM_MAGIC;
	s->in = in;
	s->out = out;
	s->output_limit = output_limit;
	s->write_timeout = WRITE_TIMEOUT_DEFAULT;
	/* Deadlines are kept with poll: no call may block beyond them. */
	s->in_blocked = make_nonblocking(in);
	s->out_blocked = out != in && make_nonblocking(out);
	return s;
}

/* Passwords have been here. The buffer is large and mostly never touched. */
static void wipe_input(struct stream *s)
{
	mem_wipe(s->input.p, s->most);
	buf_free(&s->input);
	s->most = 0;
}

void stream_free(struct stream **sp)
{
	struct stream *s;

	if (*sp == NULL)
		return;
	TAKE_OBJ(s, sp, STREAM_MAGIC);
	if (s->write_timeout > CLOSE_TIMEOUT)
		s->write_timeout = CLOSE_TIMEOUT;
	stream_flush(s);
	if (s->out_blocked)
		io_nonblock(s->out, 0);
	if (s->in_blocked)
		io_nonblock(s->in, 0);
	if (s->out != s->in)
		io_close(&s->out);
	io_close(&s->in);
	wipe_input(s);
	buf_free(&s->output);
	deflate_free(&s->deflate);
	s->magic = 0;
	mem_free(s);
}

void stream_unread(struct stream *s, struct str octets)
{
	struct buf b = BUF_INIT;

	CHECK_OBJ(s, STREAM_MAGIC);
	buf_addstr(&b, octets);
	buf_addstr(&b, stream_input(s));
	wipe_input(s);
	s->input = b;
	s->most = b.n;
	s->taken = 0;
}

struct str stream_input(const struct stream *s)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	return str_from(buf_str(&s->input), s->taken);
}

void stream_consume(struct stream *s, size_t n)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	ASSERT(n <= s->input.n - s->taken);
	s->taken += n;
}

/* At most `most` octets; *n 0 with OK: nothing is there now. */
static enum stream_result read_octets(struct stream *s, char *p, size_t most, size_t *got)
{
	ssize_t n;

	*got = 0;
	do
		n = read(s->in, p, most);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return STREAM_OK;
	if (n <= 0) {
		bool reset = n < 0 && errno != ECONNRESET && errno != EPIPE;

		return reset ? STREAM_ERROR : STREAM_EOF;
	}
	*got = (size_t)n;
	s->octets_in += (uint64_t)n;
	return STREAM_OK;
}

/* A window of what was read and not inflated yet. What is no DEFLATE has no end that could be found. */
static enum stream_result inflate_once(struct stream *s)
{
	buf_truncate(&s->input, 0);
	s->taken = 0;
	if (!deflate_inflate(s->deflate, &s->input, WINDOW))
		return STREAM_EOF;
	if (s->most < s->input.n)
		s->most = s->input.n;
	return STREAM_OK;
}

/* One read. OK with an empty window: nothing is there now. */
static enum stream_result read_once(struct stream *s)
{
	enum stream_result r;
	char raw[RAW];
	size_t n;

	if (s->deflate != NULL) {
		r = read_octets(s, raw, sizeof(raw), &n);
		if (r != STREAM_OK || n == 0)
			return r;
		deflate_feed(s->deflate, str_mem(raw, n));
		return inflate_once(s);
	}
	buf_truncate(&s->input, 0);
	s->taken = 0;
	buf_reserve(&s->input, WINDOW);
	r = read_octets(s, s->input.p, WINDOW, &n);
	s->input.n = n;
	s->input.p[n] = '\0';
	if (s->most < n)
		s->most = n;
	return r;
}

/* What came already was sent by a client that did not wait for the answer: it can only be compressed. */
bool stream_start_deflate(struct stream *s)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	ASSERT(s->deflate == NULL);
	if (!stream_flush(s))
		return false;
	s->deflate = deflate_new();
	if (s->deflate == NULL)
		return false;
	deflate_feed(s->deflate, stream_input(s));
	wipe_input(s);
	s->input.n = s->taken = 0;
	return true;
}

bool stream_end_input(struct stream *s)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	if (shutdown(s->in, SHUT_RD) != 0 || stream_input(s).n > 0 ||
	    (s->deflate != NULL && deflate_waiting(s->deflate) > 0))
		return false;
	return read_once(s) == STREAM_EOF;
}

bool stream_deflates(const struct stream *s)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	return s->deflate != NULL;
}

static int wait_time(uint64_t deadline)
{
	uint64_t now = clock_ms();

	if (deadline == 0)
		return -1;
	if (deadline <= now)
		return 0;
	return deadline - now > 1000u * 1000u ? 1000 * 1000 : (int)(deadline - now);
}

/* Who waits long gives back what the last command needed: idle sessions are most of a server's memory. */
static void rest(struct stream *s)
{
	wipe_input(s);
	s->input.n = s->taken = 0;
	if (s->output.n == 0)
		buf_free(&s->output);
	(void)malloc_trim(0);
}

enum stream_result stream_wait(struct stream *s, int other_fd, int another_fd, uint64_t deadline)
{
	bool rested = false;

	CHECK_OBJ(s, STREAM_MAGIC);
	for (;;) {
		struct pollfd p[3] = {{.fd = s->in, .events = POLLIN}, {.fd = other_fd, .events = POLLIN},
		    {.fd = another_fd, .events = POLLIN}};
		int n, timeout = wait_time(deadline);
		enum stream_result result;

		if (s->taken < s->input.n)
			return STREAM_OK;
		if (s->dead)
			return STREAM_ERROR;
		if (s->deflate != NULL && deflate_waiting(s->deflate) > 0) {
			result = inflate_once(s);
			if (result != STREAM_OK || s->input.n > 0)
				return result;
		}
		if (!rested && (timeout < 0 || timeout > REST_AFTER))
			timeout = REST_AFTER;
		n = poll(p, ARRAY_LEN(p), timeout);
		if (n < 0 && errno != EINTR)
			return STREAM_ERROR;
		if (n == 0 && !rested) {
			rest(s);
			rested = true;
		}
		if (n <= 0) {
			if (n == 0 && deadline != 0 && clock_ms() >= deadline)
				return STREAM_TIMEOUT;
			continue;
		}
		if (p[0].revents != 0) {
			result = read_once(s);
			if (result != STREAM_OK || s->input.n > 0)
				return result;
		}
		if (p[1].revents != 0 || p[2].revents != 0)
			return STREAM_OK;
	}
}

int stream_out_fd(const struct stream *s)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	return s->out;
}

/* A socket whose peer is gone must not raise SIGPIPE; a pipe cannot be asked not to, its owner ignores it. */
static ssize_t write_once(int fd, const void *p, size_t n)
{
	ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

	return w < 0 && errno == ENOTSOCK ? write(fd, p, n) : w;
}

/* Writes what is there; the octets are the caller's or the buffer's. */
static bool write_all(struct stream *s, struct str octets)
{
	uint64_t deadline = clock_ms() + s->write_timeout;

	while (octets.n > 0 && !s->dead) {
		ssize_t n = write_once(s->out, octets.p, octets.n);

		if (n > 0) {
			octets = str_from(octets, (size_t)n);
			s->octets_out += (uint64_t)n;
			deadline = clock_ms() + s->write_timeout; /* it is slow, but it goes on */
		} else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			if (io_wait(s->out, POLLOUT, deadline) != 1)
				s->dead = true;
		} else if (n < 0 && errno != EINTR) {
			s->dead = true;
		}
	}
	return !s->dead;
}

/* Compressed so that the peer can read all of it. */
static void send_deflated(struct stream *s, struct str octets)
{
	while (octets.n > 0 && !s->dead) {
		AUTO_BUF struct buf out = BUF_INIT;
		struct str piece = str_sub(octets, 0, PIECE);

		octets = str_from(octets, piece.n);
		deflate_compress(s->deflate, piece, octets.n == 0, &out);
		write_all(s, buf_str(&out));
	}
}

bool stream_flush(struct stream *s)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	if (s->deflate != NULL)
		send_deflated(s, buf_str(&s->output));
	else
		write_all(s, buf_str(&s->output));
	buf_truncate(&s->output, 0);
	return !s->dead;
}

struct buf *stream_output(struct stream *s)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	return &s->output;
}

bool stream_written(struct stream *s)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	return s->output.n > s->output_limit || s->dead ? stream_flush(s) : true;
}

void stream_set_write_timeout(struct stream *s, uint64_t ms)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	s->write_timeout = ms;
}

uint64_t stream_octets_in(const struct stream *s)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	return s->octets_in;
}

uint64_t stream_octets_out(const struct stream *s)
{
	CHECK_OBJ(s, STREAM_MAGIC);
	return s->octets_out;
}
