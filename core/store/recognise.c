/*
 * recognise.c: which driver knows what is at a place.
 *
 * Only regular files and directories are ever opened for reading: the type is looked at through an O_PATH
 * descriptor first and again on what was really opened, so a FIFO or a device put there in between is not
 * waited for. Looking does not change the access time, which LIST reads as "has been read" (\Unmarked).
 *
 * A session looks at the same few mailboxes again and again. What was recognised a moment ago is not read
 * again while its status is the same; a driver that was handed the wrong file would say so when it opens it.
 * Nobody would say so of what was found to be no mailbox: that is only remembered of things that have not
 * been changed for longer than any clock's step.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/path.h"
#include "store/driver.h"
#include "store/store_int.h"
#include "base/banned.h"

#define SETTLED 2 /* seconds */

int not_a_mailbox(const struct target *t, struct err *e)
{
	switch (t->object) {
	case OBJECT_MISSING:
		return err_fail(e, MORTISE_E_NOTFOUND, "No such mailbox");
	case OBJECT_DIRECTORY:
		return err_fail(
		    e, MORTISE_E_UNSUPPORTED, "Not a selectable mailbox: only a level with others below");
	default:
		return err_fail(e, MORTISE_E_UNSUPPORTED, "Not a mailbox of a known format");
	}
}

/* For reading, without touching the access time where the system lets us. */
static int open_quietly(const struct store *s, const struct target *t)
{
	int flags = O_RDONLY | O_NONBLOCK;
	int fd = path_open(t->place.root, t->place.path, flags | O_NOATIME, 0, store_how(s));

	if (fd < 0 && errno == EPERM)
		fd = path_open(t->place.root, t->place.path, flags, 0, store_how(s));
	return fd;
}

static int ask(struct store *s, struct target *t, int fd, struct err *e)
{
	unsigned char head[PROBE_SIZE];
	struct mortise_probe probe = {
	    .size = sizeof(probe), .place = &t->place, .fd = fd, .st = &t->st, .head = head};
	bool directory = S_ISDIR(t->st.st_mode);
	size_t i;

	if (!directory) {
		ssize_t n = io_pread(fd, head, sizeof(head), 0);

		if (n < 0)
			return err_errno(e, "read %s/%s", t->directory, t->place.path);
		probe.head_size = (size_t)n;
	}
	for (i = 0; i < s->driver_count; i++) {
		int r;

		if (driver_ops(s->drivers[i])->traits->directory != directory)
			continue;
		r = driver_recognise(s, s->drivers[i], &probe, e);
		if (r < 0)
			return r;
		if (r == MORTISE_MINE) {
			t->object = OBJECT_MAILBOX;
			t->driver = s->drivers[i];
			return 0;
		}
		if (!directory && lseek(fd, 0, SEEK_SET) != 0)
			return err_errno(e, "seek in %s/%s", t->directory, t->place.path);
	}
	return 0;
}

/* Where it is remembered; NULL: there is no such block yet. */
static struct recognised *memory_of(const struct store *s, const struct stat *st)
{
	size_t at = (size_t)((st->st_ino ^ st->st_dev) % (RECOGNISED_BLOCKS * RECOGNISED_BLOCK));
	struct recognised *block = s->recognised[at / RECOGNISED_BLOCK];

	return block != NULL ? &block[at % RECOGNISED_BLOCK] : NULL;
}

void recognised_forget(struct store *s)
{
	size_t i;

	for (i = 0; i < RECOGNISED_BLOCKS; i++) {
		mem_free(s->recognised[i]);
		s->recognised[i] = NULL;
	}
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool remembered(struct store *s, struct target *t)
{
	const struct recognised *r = memory_of(s, &t->st);

	if (r == NULL || r->dev != t->st.st_dev || r->ino != t->st.st_ino || r->size != t->st.st_size ||
	    !same_time(&r->mtime, &t->st.st_mtim) || !same_time(&r->ctime, &t->st.st_ctim))
		return false;
	if (r->driver == NULL)
		return !t->place.inbox; /* where less is asked of a mailbox */
	t->object = OBJECT_MAILBOX;
	t->driver = r->driver;
	return true;
}

static void remember(struct store *s, const struct target *t)
{
	const struct stat *st = &t->st;
	int64_t settled = clock_seconds() - SETTLED;
	struct recognised **block;

	if (t->driver == NULL &&
	    (t->place.inbox || st->st_mtim.tv_sec >= settled || st->st_ctim.tv_sec >= settled))
		return;
	block = &s->recognised[(st->st_ino ^ st->st_dev) / RECOGNISED_BLOCK % RECOGNISED_BLOCKS];
	if (*block == NULL)
		*block = mem_array(RECOGNISED_BLOCK, sizeof(**block));
	*memory_of(s, st) = (struct recognised){.driver = t->driver,
	    .dev = st->st_dev,
	    .ino = st->st_ino,
	    .size = st->st_size,
	    .mtime = st->st_mtim,
	    .ctime = st->st_ctim};
}

/* A mailbox of the default format, or of the first that keeps mailboxes in files. */
static int empty_file(struct store *s, struct target *t, struct err *e)
{
	size_t i;

	t->driver = store_default_driver(s, e);
	if (t->driver == NULL)
		return e->code;
	for (i = 0; !driver_fits(t->driver, &t->st); i++) {
		if (i == s->driver_count) {
			t->driver = NULL;
			return 0;
		}
		t->driver = s->drivers[i];
	}
	t->object = OBJECT_MAILBOX;
	return 0;
}

int recognise(struct store *s, struct target *t, struct err *e)
{
	AUTO_CLOSE int look = path_open(t->place.root, t->place.path, O_PATH, 0, store_how(s));
	AUTO_CLOSE int fd = -1;

	t->object = OBJECT_MISSING;
	t->driver = NULL;
	if (look < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return err_errno(e, "open %s/%s", t->directory, t->place.path);
	}
	if (fstat(look, &t->st) != 0)
		return err_errno(e, "stat %s/%s", t->directory, t->place.path);
	if (S_ISLNK(t->st.st_mode)) { /* without openat2 no link is followed */
		errno = ELOOP;
		return err_errno(e, "open %s/%s", t->directory, t->place.path);
	}
	t->object = S_ISDIR(t->st.st_mode) ? OBJECT_DIRECTORY : OBJECT_OTHER;
	if (!S_ISDIR(t->st.st_mode) && !S_ISREG(t->st.st_mode))
		return 0;
	if (S_ISREG(t->st.st_mode) && t->st.st_size == 0)
		return empty_file(s, t, e);
	if (remembered(s, t))
		return 0;
	fd = open_quietly(s, t);
	if (fd < 0) {
		if (errno == ENOENT) {
			t->object = OBJECT_MISSING;
			return 0;
		}
		return err_errno(e, "open %s/%s", t->directory, t->place.path);
	}
	if (fstat(fd, &t->st) != 0)
		return err_errno(e, "stat %s/%s", t->directory, t->place.path);
	t->object = S_ISDIR(t->st.st_mode) ? OBJECT_DIRECTORY : OBJECT_OTHER;
	if (!S_ISDIR(t->st.st_mode) && !S_ISREG(t->st.st_mode))
		return 0;
	if (ask(s, t, fd, e) == 0)
		remember(s, t);
	return e->code;
}
