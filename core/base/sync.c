/*
 * sync.c: many files to disk at once.
 *
 * One fsync after the other waits for the device as often as there are files. The kernel's asynchronous
 * fsync has them all under way together: a journal commits once for all, a device works on many. Where it
 * cannot be had they are synced one after the other, as ever.
 *
 * The context is kept: to give one back takes the kernel many milliseconds. A forked process makes its own.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/banned.h"

#define TOGETHER 64

static struct {
	aio_context_t context;
	pid_t pid; /* whose it is */
	bool lacking;
} aio;

static bool ready(void)
{
	if (aio.pid == getpid())
		return !aio.lacking;
	aio.context = 0;
	aio.pid = getpid();
	aio.lacking = syscall(SYS_io_setup, TOGETHER, &aio.context) != 0;
	return !aio.lacking;
}

static int one(int fd, bool data_only)
{
	int r;

	do
		r = data_only ? fdatasync(fd) : fsync(fd);
	while (r != 0 && errno == EINTR);
	return r;
}

/* Waits for `n` that are under way. 0, or -1 with the errno of one that failed. */
static int gather(size_t n)
{
	struct io_event events[TOGETHER];
	int error = 0;

	while (n > 0) {
		long got = syscall(SYS_io_getevents, aio.context, 1, n, events, NULL), i;

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return -1; /* impossible; what is under way is not known to be done */
		for (i = 0; i < got; i++)
			if (events[i].res != 0)
				error = (int)-events[i].res;
		n -= (size_t)got;
	}
	errno = error;
	return error == 0 ? 0 : -1;
}

/* `n` ≤ TOGETHER. How many were begun; what failed of them is in *r. */
static size_t begin(const int *fds, size_t n, bool data_only, int *r)
{
	struct iocb blocks[TOGETHER], *list[TOGETHER];
	long begun;
	size_t i;

	*r = 0;
	memset(blocks, 0, n * sizeof(blocks[0]));
	for (i = 0; i < n; i++) {
		blocks[i].aio_fildes = (uint32_t)fds[i];
		blocks[i].aio_lio_opcode = data_only ? IOCB_CMD_FDSYNC : IOCB_CMD_FSYNC;
		list[i] = &blocks[i];
	}
	begun = syscall(SYS_io_submit, aio.context, n, list);
	if (begun <= 0)
		return 0;
	*r = gather((size_t)begun);
	return (size_t)begun;
}

int io_sync_all(const int *fds, size_t n, bool data_only)
{
	size_t done = 0;
	int r = 0;

	while (r == 0 && n - done > 1 && ready()) {
		size_t some = n - done < TOGETHER ? n - done : TOGETHER;
		size_t begun = begin(fds + done, some, data_only, &r);

		done += begun;
		if (begun == 0)
			break; /* a file system or kernel that does not know how, or the system's limit */
	}
	for (; r == 0 && done < n; done++)
		r = one(fds[done], data_only);
	return r;
}
