/*
 * folder.c: which directories are folders, making and removing them.
 *
 * A directory with .mh_sequences in it is one, and so is one with a file whose name is a number and whose
 * text begins like a message: a mail directory may well have mbox files called 2025 and 2026. An empty
 * directory is none, unless all are (every_directory).
 *
 * What is below a folder are files that MH programs know and other folders. Only the former go with it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "box.h"

#define LOOKED_AT 4096 /* names until a directory is none of ours */
#define OPENED 8       /* files with numbers, likewise */

/* "From: x", not "From x" or anything else. */
static bool begins_like_a_message(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	char head[128];
	struct stat st;
	ssize_t n = -1, i;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		n = pread(fd, head, sizeof(head), 0);
	close(fd);
	for (i = 0; i < n && head[i] > ' ' && head[i] < 0x7f; i++)
		if (head[i] == ':')
			return i > 0;
	return false;
}

static bool has_message(int probe)
{
	int fd = openat(probe, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	unsigned names = 0, files = 0;
	bool found = false;
	struct dirent *d;
	uint32_t number;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	while (!found && names++ < LOOKED_AT && files < OPENED && (d = readdir(dir)) != NULL)
		if ((d->d_type == DT_REG || d->d_type == DT_UNKNOWN) && mh_number(d->d_name, &number)) {
			files++;
			found = begins_like_a_message(fd, d->d_name);
		}
	closedir(dir);
	return found;
}

int mh_recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	const struct mh_options *o = call->instance->options;
	struct stat st;

	if (!S_ISDIR(probe->st->st_mode))
		return MORTISE_NOT_MINE;
	if (fstatat(probe->fd, SEQUENCES, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISREG(st.st_mode))
			return MORTISE_MINE;
		call->host->fault(
		    call, MORTISE_E_CORRUPT, "%s/" SEQUENCES " is no regular file", probe->place->path);
		return MORTISE_DAMAGED;
	}
	if (o->every_directory || has_message(probe->fd))
		return MORTISE_MINE;
	/* Not a maildir whose driver comes later. */
	return probe->place->inbox && fstatat(probe->fd, "cur", &st, AT_SYMLINK_NOFOLLOW) != 0
	           ? MORTISE_MINE
	           : MORTISE_NOT_MINE;
}

/* The directory that place->path lies in, opened below the root, and the last part of the path. */
static int open_parent(struct mortise_call *call, const struct mortise_place *place, const char **last)
{
	const char *slash = strrchr(place->path, '/');
	const char *parent = slash == NULL ? "."
	                                   : call->host->print(call, MORTISE_LIFE_CALL, "%.*s",
	                                         (int)(slash - place->path), place->path);

	*last = slash == NULL ? place->path : slash + 1;
	return call->host->open_below(call, place->root, parent, O_PATH | O_DIRECTORY, 0);
}

static int exists(struct mortise_call *call)
{
	return call->host->fail(call, MORTISE_E_EXISTS, "Mailbox already exists");
}

/* The sequences make it a folder. */
static int furnish(struct mortise_call *call, const struct mortise_place *place, int dir, bool level)
{
	int fd;

	if (level && has_message(dir))
		return exists(call);
	fd = openat(dir, SEQUENCES, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, place->file_mode);
	if (fd < 0)
		return errno == EEXIST ? exists(call) : call->host->fault_errno(call, "%s", place->path);
	close(fd);
	if (fsync(dir) == 0)
		return 0;
	unlinkat(dir, SEQUENCES, 0);
	return call->host->fault_errno(call, "%s", place->path);
}

int mh_create(struct mortise_call *call, const struct mortise_place *place)
{
	const char *last;
	int parent = open_parent(call, place, &last), dir, r;
	bool made;

	if (parent < 0)
		return call->host->fault_errno(call, "%s", place->path);
	made = mkdirat(parent, last, place->dir_mode) == 0;
	dir = made || errno == EEXIST ? openat(parent, last, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
	                              : -1;
	if (dir >= 0)
		r = furnish(call, place, dir, !made);
	else
		r = errno == ENOTDIR || errno == ELOOP ? exists(call)
		                                       : call->host->fault_errno(call, "%s", place->path);
	if (r != 0 && made)
		unlinkat(parent, last, AT_REMOVEDIR);
	if (dir >= 0)
		close(dir);
	close(parent);
	return r;
}

/* ---- removing ---- */

/* Messages, those MH programs have put aside, ours, and files about messages of programs we know. */
static bool goes_along(const char *name)
{
	static const char *const caches[] = {".xmhcache", ".mew-cache", ".mew-summary", ".claws_cache",
	    ".claws_mark", ".claws_tags", ".sylpheed_cache", ".sylpheed_mark", ".mhcache"};
	uint32_t number;
	size_t i;

	if (mh_number(name, &number) || strncmp(name, BATCH, sizeof(BATCH) - 1) == 0)
		return true;
	if ((name[0] == ',' || name[0] == '#') && mh_number(name + 1, &number))
		return true;
	for (i = 0; i < sizeof(caches) / sizeof(caches[0]); i++)
		if (strcmp(name, caches[i]) == 0)
			return true;
	return false;
}

static int clear(struct mortise_call *call, struct mh_box *b)
{
	int fd = openat(b->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;

	if (dir == NULL) {
		r = call->host->fault_errno(call, "%s", b->place->path);
		if (fd >= 0)
			close(fd);
		return r;
	}
	while (r == 0 && (d = readdir(dir)) != NULL) {
		if (strncmp(d->d_name, TEMPORARY, sizeof(TEMPORARY) - 1) == 0)
			mh_sweep(b, d->d_name);
		/* A directory of such a name stays. */
		if (goes_along(d->d_name) && unlinkat(fd, d->d_name, 0) != 0 && errno != ENOENT &&
		    errno != EISDIR && errno != EPERM)
			r = call->host->fault_errno(call, "%s/%s", b->place->path, d->d_name);
		if (r == 0)
			r = call->host->should_stop(call);
	}
	if (r == 0 && unlinkat(fd, SEQUENCES, 0) != 0 && errno != ENOENT)
		r = call->host->fault_errno(call, "%s/" SEQUENCES, b->place->path);
	if (r == 0 && fsync(fd) != 0)
		r = call->host->fault_errno(call, "%s", b->place->path);
	closedir(dir);
	return r;
}

int mh_remove(struct mortise_call *call, const struct mortise_place *place)
{
	struct mh_box b = {
	    .options = call->instance->options, .place = place, .dir = -1, .sequences = -1, .fd = -1};
	const char *last;
	int parent = open_parent(call, place, &last), r;
	bool mine;

	if (parent < 0)
		return call->host->fault_errno(call, "%s", place->path);
	b.dir = openat(parent, last, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (b.dir < 0) {
		r = call->host->fault_errno(call, "%s", place->path);
	} else {
		r = mh_lock_take(call, &b, MORTISE_LOCK_EXCLUSIVE, &mine);
		if (r == 0)
			r = clear(call, &b);
		/* What is below it stays, and so does the level. */
		if (r == 0 && unlinkat(parent, last, AT_REMOVEDIR) != 0 && errno != ENOTEMPTY &&
		    errno != EEXIST)
			r = call->host->fault_errno(call, "%s", place->path);
		(void)mh_lock(call, &b, MORTISE_LOCK_NONE, 0);
		close(b.dir);
	}
	close(parent);
	return r;
}
