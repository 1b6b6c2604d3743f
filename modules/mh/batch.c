/*
 * batch.c: messages on their way into the folder, and what a crash leaves of them.
 *
 * They are written in a directory .mortise-…, which is locked (flock) for as long as somebody does so; one
 * that can be locked is nobody's, and is swept away.
 *
 * A directory can be given only one name at a time. So before the first of several messages gets its number,
 * a file .mortise-batch-… says which files they are; it goes when all have theirs, and that is the moment in
 * which the batch is there. All this happens under the exclusive lock: a batch file that is found by who
 * holds the lock was left by a crash, and the messages it names, which nobody was told of, are removed again.
 *
 * The file is the array of their entries, number left out. Only a file that is exactly the one meant is
 * removed, so that whatever stands in a batch file does no harm to other messages.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

static int bad(struct mortise_call *call, const struct mh_box *b, const char *name)
{
	return call->host->fault_errno(call, "%s/%s", b->place->path, name);
}

/* ---- directories of messages that are being written ---- */

int mh_temporary(struct mortise_call *call, struct mh_box *b, char **name, int *dir)
{
	struct stat st;
	uint64_t random;
	int tries;

	*name = malloc(sizeof(TEMPORARY) + 16);
	if (*name == NULL)
		return bad(call, b, TEMPORARY);
	for (tries = 0; tries < 10; tries++) {
		call->host->random(call, &random, sizeof(random));
		snprintf(*name, sizeof(TEMPORARY) + 16, TEMPORARY "%016" PRIx64, random);
		if (mkdirat(b->dir, *name, b->place->dir_mode) != 0)
			break;
		*dir = openat(b->dir, *name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		/* Somebody may have swept it before it was locked. Where no lock can be had nobody sweeps. */
		if (*dir >= 0 && (flock(*dir, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) &&
		    fstat(*dir, &st) == 0 && st.st_nlink > 0)
			return 0;
		if (*dir >= 0)
			close(*dir);
		unlinkat(b->dir, *name, AT_REMOVEDIR);
	}
	free(*name);
	*name = NULL;
	*dir = -1;
	return bad(call, b, TEMPORARY);
}

void mh_sweep(struct mh_box *b, const char *name)
{
	int fd = openat(b->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = NULL;
	struct dirent *d;

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		dir = fdopendir(fd);
	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.')
			unlinkat(fd, d->d_name, 0);
	unlinkat(b->dir, name, AT_REMOVEDIR);
	closedir(dir);
}

/* ---- batches ---- */

int mh_batch_begin(
    struct mortise_call *call, struct mh_box *b, const struct mh_entry *v, size_t count, char **name)
{
	uint64_t random;
	int fd, r;

	call->host->random(call, &random, sizeof(random));
	*name = call->host->print(call, MORTISE_LIFE_CALL, BATCH "%016" PRIx64, random);
	fd = openat(b->dir, *name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, b->place->file_mode);
	if (fd < 0)
		return bad(call, b, *name);
	r = mh_put(call, fd, *name, v, count * sizeof(*v));
	if (r == 0 && (fsync(fd) != 0 || fsync(b->dir) != 0))
		r = bad(call, b, *name);
	close(fd);
	if (r != 0)
		unlinkat(b->dir, *name, 0);
	return r;
}

int mh_batch_end(struct mortise_call *call, struct mh_box *b, const char *name)
{
	if (unlinkat(b->dir, name, 0) != 0 || fsync(b->dir) != 0)
		return bad(call, b, name);
	return 0;
}

static int by_inode(const void *a, const void *b)
{
	uint64_t p = ((const struct mh_entry *)a)->inode, q = ((const struct mh_entry *)b)->inode;

	return p < q ? -1 : p > q;
}

/* Entries of one batch file, for free(). */
static int load(
    struct mortise_call *call, struct mh_box *b, const char *name, struct mh_entry **v, size_t *count)
{
	int fd = openat(b->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char *octets = NULL;
	struct stat st;
	size_t size = 0;
	int r = 0;

	*v = NULL;
	*count = 0;
	if (fd < 0)
		return 0; /* not one of ours, then */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (uint64_t)st.st_size / sizeof(**v) <= b->options->message_limit)
		r = mh_read_all(call, fd, name, UINT64_MAX, &octets, &size);
	close(fd);
	*v = (struct mh_entry *)(void *)octets;
	*count = size / sizeof(**v);
	if (*count > 1)
		qsort(*v, *count, sizeof(**v), by_inode);
	return r;
}

static bool named(const struct mh_entry *v, size_t count, const struct mh_entry *e)
{
	const struct mh_entry *found = bsearch(e, v, count, sizeof(*v), by_inode);

	return found != NULL && mh_entry_same(found, e);
}

/* Takes the entries of one batch file out of the list, and the files away if `undo`. */
static int apply(
    struct mortise_call *call, struct mh_box *b, struct mh_list *list, const char *name, bool undo)
{
	size_t count, i, n = 0, removed = 0;
	uint32_t *numbers = NULL;
	struct mh_entry *v;
	char file[16];
	int r = load(call, b, name, &v, &count);

	if (r == 0 && count > 0 && (numbers = calloc(list->count + 1, sizeof(*numbers))) == NULL)
		r = bad(call, b, name);
	if (numbers == NULL) {
		free(v);
		return r;
	}
	for (i = 0; i < list->count; i++) {
		if (!named(v, count, &list->v[i])) {
			list->v[n++] = list->v[i];
			continue;
		}
		snprintf(file, sizeof(file), "%" PRIu32, list->v[i].number);
		if (undo && r == 0 && unlinkat(b->dir, file, 0) != 0 && errno != ENOENT)
			r = bad(call, b, file);
		numbers[removed++] = list->v[i].number;
	}
	list->count = n;
	if (undo && r == 0 && removed > 0) {
		call->host->log(call, MORTISE_LOG_WARN,
		    "%s: removed %zu messages of an append that was interrupted", b->place->path, removed);
		mh_forget_numbers(call, b, numbers, removed);
	}
	free(numbers);
	free(v);
	return r;
}

int mh_batch_hide(struct mortise_call *call, struct mh_box *b, struct mh_list *list)
{
	size_t i;
	int r = 0;

	for (i = 0; i < list->batch_count && r == 0; i++)
		r = apply(call, b, list, list->batches[i], false);
	return r;
}

int mh_batch_undo(struct mortise_call *call, struct mh_box *b, struct mh_list *list)
{
	size_t i;
	int r = 0;

	for (i = 0; i < list->batch_count && r == 0; i++) {
		r = apply(call, b, list, list->batches[i], true);
		/* The messages are gone for good before what names them goes. */
		if (r == 0 && fsync(b->dir) != 0)
			r = bad(call, b, list->batches[i]);
		if (r == 0)
			unlinkat(b->dir, list->batches[i], 0);
	}
	return r;
}
