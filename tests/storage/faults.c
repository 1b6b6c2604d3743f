#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct shared *shared;
static struct fault armed;
static bool on;

void faults_map(void)
{
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		abort();
}

void faults_arm(const struct fault *f)
{
	armed = *f;
	on = true;
}

void faults_off(void)
{
	on = false;
}

/* What a call can fail with: nobody runs out of room by removing something. */
enum call { TAKES_ROOM, WAITS, REMOVES };

static bool possible(enum call call)
{
	switch (armed.error) {
	case ENOSPC:
	case EDQUOT:
		return call != REMOVES;
	case EINTR:
		return call == WAITS;
	default:
		return true;
	}
}

/*
 * Where a write may be torn, 0: nowhere. A disk tears between its sectors. What makes a file longer is not
 * seen before its size is, and that comes when whole pages are on the disk; a killed process stops between
 * pages, too.
 */
static size_t torn_at(int fd, size_t size, off_t offset)
{
	struct stat st;
	size_t unit = fstat(fd, &st) == 0 && offset + (off_t)size > st.st_size ? 4096 : 512;
	size_t first = unit - (size_t)offset % unit;

	return first >= size ? 0 : first + (size - first) / (2 * unit) * unit;
}

/* Counts a call. True: `error` takes its place. A write may be cut instead: *size. */
static bool strike(enum call call, int fd, size_t *size, off_t offset, int *error, bool *die)
{
	unsigned n;

	*die = false;
	if (!on)
		return false;
	n = ++shared->calls;
	if (armed.kind == FAULT_NONE || n < armed.at || (n > armed.at && !armed.sticky))
		return false;
	shared->met = true;
	if (armed.kind == FAULT_ERROR && !possible(call))
		return false;
	if (armed.kind == FAULT_KILL ||
	    (armed.kind == FAULT_TORN && (size == NULL || torn_at(fd, *size, offset) == 0)))
		kill(getpid(), SIGKILL);
	if (armed.kind == FAULT_TORN) {
		*size = torn_at(fd, *size, offset);
		*die = true;
		return false;
	}
	if (armed.kind == FAULT_SHORT) {
		if (size != NULL && *size > 1)
			*size /= 2;
		return false;
	}
	*error = armed.error;
	return true;
}

/* ---- recording ---- */

static struct event *note(enum event_kind kind)
{
	struct event *r;

	if (!on || !shared->recording)
		return NULL;
	if (shared->events == EVENTS_MAX)
		abort();
	r = &shared->event[shared->events++];
	memset(r, 0, sizeof *r);
	r->kind = kind;
	return r;
}

static uint64_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void note_write(int fd, const void *p, ssize_t n, off_t offset)
{
	struct event *r = n > 0 ? note(EVENT_WRITE) : NULL;

	if (r == NULL)
		return;
	if (shared->octets + (size_t)n > OCTETS_MAX)
		abort();
	r->inode = inode_of(fd);
	r->offset = (uint64_t)offset;
	r->size = (uint64_t)n;
	r->data = shared->octets;
	memcpy(shared->octet + shared->octets, p, (size_t)n);
	shared->octets += (size_t)n;
}

static void note_size(int fd, uint64_t size)
{
	struct event *r = note(EVENT_SIZE);

	if (r != NULL) {
		r->inode = inode_of(fd);
		r->size = size;
	}
}

static void note_sync(int fd, bool times)
{
	struct stat st;
	struct event *r;

	if (fstat(fd, &st) == 0 && (r = note(S_ISDIR(st.st_mode) ? EVENT_SYNC_DIR : EVENT_SYNC)) != NULL) {
		r->inode = st.st_ino;
		r->times = times;
	}
}

static void note_name(enum event_kind kind, int dir, const char *name, uint64_t named)
{
	struct event *r = note(kind);

	if (r == NULL)
		return;
	r->inode = inode_of(dir);
	r->named = named;
	snprintf(r->name, sizeof r->name, "%s", name);
}

/* The last two events are one rename. */
static void note_renamed(void)
{
	if (on && shared->recording)
		shared->event[shared->events - 1].renamed = true;
}

/* ---- the calls, by the names they have with offsets of 64 bits ---- */

#define REAL(type, name, ...)            \
	type __real_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__); \
	type __wrap_##name(__VA_ARGS__)

#define FAIL_HERE(call, fd, size, offset)                                    \
	do {                                                                 \
		int error_ = 0;                                              \
		if (strike((call), (fd), (size), (offset), &error_, &die)) { \
			errno = error_;                                      \
			return -1;                                           \
		}                                                            \
	} while (0)

REAL(ssize_t, pwrite64, int fd, const void *p, size_t n, off_t offset)
{
	bool die;
	ssize_t r;

	FAIL_HERE(WAITS, fd, &n, offset);
	r = __real_pwrite64(fd, p, n, offset);
	note_write(fd, p, r, offset);
	if (die)
		kill(getpid(), SIGKILL);
	return r;
}

REAL(ssize_t, write, int fd, const void *p, size_t n)
{
	bool die;
	ssize_t r;

	if (fd <= 2)
		return __real_write(fd, p, n);
	FAIL_HERE(WAITS, fd, &n, lseek(fd, 0, SEEK_CUR));
	r = __real_write(fd, p, n);
	if (r > 0)
		note_write(fd, p, r, lseek(fd, 0, SEEK_CUR) - r);
	if (die)
		kill(getpid(), SIGKILL);
	return r;
}

REAL(int, ftruncate64, int fd, off_t size)
{
	bool die;
	int r;

	FAIL_HERE(REMOVES, -1, NULL, 0);
	r = __real_ftruncate64(fd, size);
	if (r == 0)
		note_size(fd, (uint64_t)size);
	return r;
}

REAL(int, fallocate64, int fd, int mode, off_t offset, off_t size)
{
	bool die;

	FAIL_HERE(WAITS, -1, NULL, 0);
	return __real_fallocate64(fd, mode, offset, size);
}

REAL(int, posix_fallocate64, int fd, off_t offset, off_t size)
{
	bool die;
	int error = 0, r;

	if (strike(WAITS, -1, NULL, 0, &error, &die))
		return error;
	r = __real_posix_fallocate64(fd, offset, size);
	if (r == 0)
		note_size(fd, (uint64_t)(offset + size));
	return r;
}

REAL(int, fsync, int fd)
{
	bool die;
	int r;

	FAIL_HERE(WAITS, -1, NULL, 0);
	r = __real_fsync(fd);
	note_sync(fd, true);
	return r;
}

REAL(int, fdatasync, int fd)
{
	bool die;
	int r;

	FAIL_HERE(WAITS, -1, NULL, 0);
	r = __real_fdatasync(fd);
	note_sync(fd, false);
	return r;
}

/* In whatever order the kernel takes them: one after the other is one of these. */
REAL(int, io_sync_all, const int *fds, size_t n, bool data_only)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++)
		r = data_only ? __wrap_fdatasync(fds[i]) : __wrap_fsync(fds[i]);
	return r;
}

REAL(int, linkat, int from_dir, const char *from, int dir, const char *name, int flags)
{
	struct stat st;
	bool die;
	int r;

	FAIL_HERE(TAKES_ROOM, -1, NULL, 0);
	if (fstatat(from_dir, from, &st, 0) != 0)
		st.st_ino = 0;
	r = __real_linkat(from_dir, from, dir, name, flags);
	if (r == 0)
		note_name(EVENT_NAME, dir, name, st.st_ino);
	return r;
}

REAL(int, unlinkat, int dir, const char *name, int flags)
{
	bool die;
	int r;

	FAIL_HERE(REMOVES, -1, NULL, 0);
	r = __real_unlinkat(dir, name, flags);
	if (r == 0)
		note_name(EVENT_UNNAME, dir, name, 0);
	return r;
}

REAL(int, renameat, int from_dir, const char *from, int dir, const char *name)
{
	struct stat st;
	bool die;
	int r;

	FAIL_HERE(TAKES_ROOM, -1, NULL, 0);
	if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) != 0)
		st.st_ino = 0;
	r = __real_renameat(from_dir, from, dir, name);
	if (r == 0) {
		note_name(EVENT_NAME, dir, name, st.st_ino);
		note_name(EVENT_UNNAME, from_dir, from, 0);
		note_renamed();
	}
	return r;
}

REAL(int, renameat2, int from_dir, const char *from, int dir, const char *name, unsigned flags)
{
	struct stat st;
	bool die;
	int r;

	FAIL_HERE(TAKES_ROOM, -1, NULL, 0);
	if (fstatat(from_dir, from, &st, AT_SYMLINK_NOFOLLOW) != 0)
		st.st_ino = 0;
	r = __real_renameat2(from_dir, from, dir, name, flags);
	if (r == 0) {
		note_name(EVENT_NAME, dir, name, st.st_ino);
		note_name(EVENT_UNNAME, from_dir, from, 0);
		note_renamed();
	}
	return r;
}

REAL(int, mkdirat, int dir, const char *name, mode_t mode)
{
	struct stat st;
	bool die;
	int r;

	FAIL_HERE(TAKES_ROOM, -1, NULL, 0);
	r = __real_mkdirat(dir, name, mode);
	if (r == 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		note_name(EVENT_NAME, dir, name, st.st_ino);
		if (on && shared->recording)
			shared->event[shared->events - 1].directory = true;
	}
	return r;
}

int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...)
{
	unsigned mode = 0;
	va_list ap;
	bool die;
	int fd;

	va_start(ap, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(ap, unsigned);
	va_end(ap);
	if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE)
		FAIL_HERE(TAKES_ROOM, -1, NULL, 0);
	fd = __real_openat64(dir, name, flags, mode);
	if (fd >= 0 && (flags & O_CREAT))
		note_name(EVENT_NAME, dir, name, inode_of(fd));
	return fd;
}

REAL(int, memfd_create, const char *name, unsigned flags)
{
	bool die;

	FAIL_HERE(TAKES_ROOM, -1, NULL, 0);
	return __real_memfd_create(name, flags);
}

REAL(int, futimens, int fd, const struct timespec times[2])
{
	struct event *event;
	bool die;
	int r;

	FAIL_HERE(REMOVES, -1, NULL, 0);
	r = __real_futimens(fd, times);
	if (r == 0 && (event = note(EVENT_TIMES)) != NULL) {
		event->inode = inode_of(fd);
		event->mtime = times[1];
	}
	return r;
}

/* Recorded as a write of what is there then. */
REAL(ssize_t, copy_file_range, int from, off_t *in, int fd, off_t *out, size_t n, unsigned flags)
{
	off_t at = out != NULL ? *out : lseek(fd, 0, SEEK_CUR);
	off_t from_at = in != NULL ? *in : lseek(from, 0, SEEK_CUR);
	char *copied;
	ssize_t r;
	bool die;

	FAIL_HERE(WAITS, fd, &n, at);
	r = __real_copy_file_range(from, in, fd, out, n, flags);
	if (r > 0 && shared->recording) {
		copied = malloc((size_t)r);
		if (copied == NULL || pread(from, copied, (size_t)r, from_at) != r)
			abort();
		note_write(fd, copied, r, at);
		free(copied);
	}
	if (die)
		kill(getpid(), SIGKILL);
	return r;
}
