/*
 * directory.c: making and removing maildirs.
 *
 * `cur` is what makes a directory a maildir here: it is made last and renamed away first.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "box.h"

#define REMOVED ".removed-cur"
#define OLD_TMP (36 * 3600) /* seconds until a file in tmp is nobody's any more, by the format's rule */
#define FOLDER "maildirfolder"

int maildir_open_part(int dir, const char *name)
{
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

int maildir_move(int from_dir, const char *from, int to_dir, const char *to)
{
	if (renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system that does not know how: two steps. */
	if (linkat(from_dir, from, to_dir, to, 0) != 0)
		return -1;
	return unlinkat(from_dir, from, 0);
}

/* Files that deliveries left behind when they died. */
static void sweep(struct maildir_box *b)
{
	int fd = openat(b->tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *file;
	struct stat st;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((file = readdir(d)) != NULL)
		if (file->d_name[0] != '.' && fstatat(fd, file->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_ctim.tv_sec < time(NULL) - OLD_TMP)
			unlinkat(fd, file->d_name, 0);
	closedir(d);
}

int maildir_need_tmp(struct mortise_call *call, struct maildir_box *b)
{
	if (b->tmp >= 0)
		return 0;
	if (mkdirat(b->dir, "tmp", b->place->dir_mode) != 0 && errno != EEXIST)
		return call->host->fault_errno(call, "%s/tmp", b->place->path);
	b->tmp = maildir_open_part(b->dir, "tmp");
	if (b->tmp < 0)
		return call->host->fault_errno(call, "%s/tmp", b->place->path);
	sweep(b);
	return 0;
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

static int write_first_list(struct mortise_call *call, const struct mortise_place *place, int dir)
{
	struct maildir_options o = {.fsync = true};
	struct maildir_box b = {.options = &o, .place = place, .dir = dir, .uidnext = 1};
	int r;

	b.uidvalidity = (uint32_t)time(NULL);
	r = maildir_list_save(call, &b);
	free(b.header);
	return r;
}

static const char *const parts[] = {"tmp", "new", "cur"};

/* Takes away what furnish made. */
static void strip(int dir)
{
	size_t i;

	for (i = 3; i-- > 0;)
		unlinkat(dir, parts[i], AT_REMOVEDIR);
	unlinkat(dir, UIDLIST, 0);
	unlinkat(dir, FOLDER, 0);
}

/* Says to delivery agents that the maildir above is the one whose quota counts. */
static int write_folder_mark(struct mortise_call *call, const struct mortise_place *place, int dir)
{
	int fd = openat(dir, FOLDER, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, place->file_mode);

	if (fd < 0)
		return call->host->fault_errno(call, "%s/" FOLDER, place->path);
	close(fd);
	return 0;
}

/* What a maildir consists of, in a directory that is there; `cur` last. */
static int furnish(struct mortise_call *call, const struct mortise_place *place, int parent, int dir)
{
	int r = write_first_list(call, place, dir);
	size_t i;

	if (r == 0 && faccessat(parent, "cur", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = write_folder_mark(call, place, dir);
	for (i = 0; i < 3 && r == 0; i++)
		if (mkdirat(dir, parts[i], place->dir_mode) != 0 && (errno != EEXIST || i == 2))
			r = call->host->fault_errno(call, "%s/%s", place->path, parts[i]);
	if (r == 0 && fsync(dir) != 0)
		r = call->host->fault_errno(call, "%s", place->path);
	if (r != 0)
		strip(dir);
	return r;
}

/* A level that is there becomes a maildir as well. */
static int furnish_level(
    struct mortise_call *call, const struct mortise_place *place, int parent, const char *last)
{
	int dir = maildir_open_part(parent, last), r;

	if (dir < 0)
		return errno == ENOTDIR || errno == ELOOP
		           ? call->host->fail(call, MORTISE_E_EXISTS, "Mailbox already exists")
		           : call->host->fault_errno(call, "%s", place->path);
	if (faccessat(dir, "cur", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		r = call->host->fail(call, MORTISE_E_EXISTS, "Mailbox already exists");
	else
		r = furnish(call, place, parent, dir);
	close(dir);
	return r;
}

/* Made under another name and moved to its own when it is whole: nobody sees half a maildir. */
static int make_new(
    struct mortise_call *call, const struct mortise_place *place, int parent, const char *last)
{
	uint64_t number;
	char *temp;
	int dir, r;

	call->host->random(call, &number, sizeof number);
	temp = call->host->print(call, MORTISE_LIFE_CALL, ".new-%016llx", (unsigned long long)number);
	if (mkdirat(parent, temp, place->dir_mode) != 0)
		return call->host->fault_errno(call, "%s", place->path);
	dir = maildir_open_part(parent, temp);
	if (dir < 0)
		r = call->host->fault_errno(call, "%s", place->path);
	else
		r = furnish(call, place, parent, dir);
	if (r == 0 && renameat2(parent, temp, parent, last, RENAME_NOREPLACE) != 0) {
		r = errno == EEXIST ? call->host->fail(call, MORTISE_E_EXISTS, "Mailbox already exists")
		                    : call->host->fault_errno(call, "%s", place->path);
		strip(dir);
	}
	if (r != 0)
		unlinkat(parent, temp, AT_REMOVEDIR);
	if (dir >= 0)
		close(dir);
	return r;
}

int maildir_create(struct mortise_call *call, const struct mortise_place *place)
{
	const char *last;
	int parent = open_parent(call, place, &last), r;
	struct stat st;

	if (parent < 0)
		return call->host->fault_errno(call, "%s", place->path);
	if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) == 0)
		r = furnish_level(call, place, parent, last);
	else
		r = make_new(call, place, parent, last);
	close(parent);
	return r;
}

/* ---- removing ---- */

/* Files below dir/name, then itself, as far as it goes. */
static void clear(int dir, const char *name)
{
	int fd = maildir_open_part(dir, name), tries;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *file;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	/* A delivery may come in between. */
	for (tries = 0; tries < 3; tries++) {
		rewinddir(d);
		while ((file = readdir(d)) != NULL)
			if (strcmp(file->d_name, ".") != 0 && strcmp(file->d_name, "..") != 0)
				unlinkat(fd, file->d_name, 0);
		if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			break;
	}
	closedir(d);
}

/* Files that servers keep in a maildir beside cur, new and tmp. */
static bool control_file(const char *name)
{
	static const char *const names[] = {"dovecot-uidlist", "dovecot-keywords", "dovecot-acl",
	    "dovecot.index", "courierimap", "courierpop3", "maildirfolder", "maildirsize"};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(name, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static void clear_control(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *file;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((file = readdir(d)) != NULL)
		if (control_file(file->d_name))
			unlinkat(fd, file->d_name, 0);
	closedir(d);
	clear(dir, "courierimapkeywords");
}

/*
 * A mailbox of this name that is made within the same second must not get the same UIDVALIDITY: one so young
 * is not removed before that second is over.
 */
static int outlive(
    struct mortise_call *call, const struct mortise_place *place, int dir, const struct maildir_options *o)
{
	struct maildir_box b = {.options = o, .place = place, .dir = dir};
	int r = maildir_list_glance(call, &b);

	while (r == 0 && (int64_t)b.uidvalidity == time(NULL))
		r = call->host->sleep(call, 50);
	free(b.header);
	return r;
}

int maildir_remove(struct mortise_call *call, const struct mortise_place *place)
{
	const char *last;
	int parent = open_parent(call, place, &last);
	int dir = parent >= 0 ? maildir_open_part(parent, last) : -1;
	int r = 0;

	if (dir < 0)
		r = call->host->fault_errno(call, "%s", place->path);
	if (r == 0)
		r = outlive(call, place, dir, call->instance->options);
	if (r == 0) {
		clear(dir, REMOVED);
		if (renameat(dir, "cur", dir, REMOVED) != 0 || fsync(dir) != 0)
			r = call->host->fault_errno(call, "%s/cur", place->path);
	}
	if (r == 0) {
		clear(dir, REMOVED);
		clear(dir, "new");
		clear(dir, "tmp");
		clear_control(dir);
		/* What is below it stays, and so does the level. */
		if (unlinkat(parent, last, AT_REMOVEDIR) != 0 && errno != ENOTEMPTY && errno != EEXIST)
			r = call->host->fault_errno(call, "%s", place->path);
	}
	if (dir >= 0)
		close(dir);
	if (parent >= 0)
		close(parent);
	return r;
}
