#include <errno.h>
#include <sys/socket.h>

#include "base/io.h"
#include "base/mem.h"
#include "proc/link.h"
#include "base/banned.h"

#define LINK_MAGIC 0x6c696e6bu
#define LINK_BURST 32 /* messages of one peer before others get their turn */
#define LINK_BUFFER (1024 * 1024)

struct link {
	uint32_t magic;
	int fd;
	struct event *readable;
	const struct link_events *events;
	void *arg;
	bool *freed;
};

/*
 * Octets of one message; static, for every link of the process: a message is handled before the next. The
 * second is for link_pump, which is called while another link's message is being handled.
 */
static char space[PACK_MAX], pump_space[PACK_MAX];

static void close_left(int *fds, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		io_close(&fds[i]);
}

/* One message; false when the link is gone or nothing more is there. */
static bool receive(struct link *l, char *octets)
{
	int fds[IO_MAX_FDS] = {-1, -1, -1, -1};
	struct link_message m = {.fds = fds, .fd_count = IO_MAX_FDS};
	struct unpack fields;
	bool freed = false, good = false;
	const char *why = "broke the rules";
	ssize_t got = io_recv(l->fd, octets, PACK_MAX, fds, &m.fd_count);

	if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	if (got <= 0) {
		if (got == 0)
			why = "gone";
	} else {
		m.type = unpack_start(&fields, octets, (size_t)got);
		m.fields = &fields;
		l->freed = &freed;
		good = l->events->message(l->arg, l, &m);
		mem_wipe(octets, (size_t)got); /* passwords come this way */
	}
	close_left(fds, m.fd_count);
	if (freed)
		return false;
	l->freed = NULL;
	if (!good)
		l->events->ended(l->arg, l, why);
	return good;
}

static void on_readable(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct link *l = arg;
	int i;

	CHECK_OBJ(l, LINK_MAGIC);
	for (i = 0; i < LINK_BURST; i++)
		if (!receive(l, space))
			return;
}

void link_pump(struct link *l)
{
	CHECK_OBJ(l, LINK_MAGIC);
	while (receive(l, pump_space))
		;
}

struct link *link_new(struct event_base *base, int fd, const struct link_events *events, void *arg)
{
	struct link *l = mem_new(struct link);

	l->magic = LINK_MAGIC;
	l->fd = fd;
	l->events = events;
	l->arg = arg;
	(void)io_nonblock(fd, 1);
	l->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, l);
	ASSERT(l->readable != NULL);
	event_add(l->readable, NULL);
	return l;
}

void link_free(struct link **lp)
{
	struct link *l;

	if (*lp == NULL)
		return;
	TAKE_OBJ(l, lp, LINK_MAGIC);
	if (l->freed != NULL)
		*l->freed = true;
	event_free(l->readable);
	io_close(&l->fd);
	l->magic = 0;
	mem_free(l);
}

bool link_send(struct link *l, const struct buf *message, const int *fds, size_t fd_count)
{
	CHECK_OBJ(l, LINK_MAGIC);
	if (message->n > PACK_MAX) {
		errno = EMSGSIZE;
		return false;
	}
	return io_send(l->fd, message->p, message->n, fds, fd_count) == 0;
}

int link_pair(int out[2])
{
	int size = LINK_BUFFER, i;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out) != 0)
		return -1;
	for (i = 0; i < 2; i++)
		(void)setsockopt(out[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return 0;
}
