/*
 * quota.c: maildirsize, the file in which Maildir++ keeps what a maildir and its folders hold.
 *
 *     10000000S,1000C
 *     1048576 210
 *     2481 1
 *     -2481 -1
 *
 * The first line is the quota, the others add up to octets and messages. Delivery agents believe it, so
 * whoever adds or removes messages adds a line. It is made, and made anew when it has become long, by those
 * who enforce the quota; where there is none, nobody does, and nothing is written. It is in the maildir above
 * all those that have a file maildirfolder. Messages with T (deleted) and folders called Trash do not count.
 *
 * A line that is not written is no failure: the file is recounted now and then by its owners.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

#define FILE_NAME "maildirsize"
#define DEPTH_MAX 20

static bool trash(const char *path)
{
	const char *last = strrchr(path, '/');

	last = last != NULL ? last + 1 : path;
	return strcmp(last, ".Trash") == 0 || strcmp(last, "Trash") == 0;
}

/* The maildir whose quota counts: its directory, for close; -1 when it cannot be had. */
static int open_top(struct mortise_call *call, const struct maildir_box *b)
{
	char *path = call->host->print(call, MORTISE_LIFE_CALL, "%s", b->place->path), *slash;
	int fd = openat(b->dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC), depth;

	for (depth = 0; fd >= 0 && depth < DEPTH_MAX && faccessat(fd, "maildirfolder", F_OK, 0) == 0;
	     depth++) {
		close(fd);
		slash = strrchr(path, '/');
		if (slash == NULL && strcmp(path, ".") == 0)
			return -1;
		if (slash != NULL)
			*slash = '\0';
		fd = call->host->open_below(
		    call, b->place->root, slash != NULL ? path : ".", O_PATH | O_DIRECTORY, 0);
		if (slash == NULL)
			path = call->host->print(call, MORTISE_LIFE_CALL, ".");
	}
	return fd;
}

void maildir_quota_begin(struct mortise_call *call, const struct maildir_box *b, struct maildir_quota *q)
{
	int top = trash(b->place->path) ? -1 : open_top(call, b);

	*q = (struct maildir_quota){.fd = -1};
	if (top < 0)
		return;
	q->fd = openat(top, FILE_NAME, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	close(top);
}

void maildir_quota_count(struct maildir_quota *q, int part, const char *name, bool add)
{
	struct maildir_name n;
	struct stat st;

	if (q->fd < 0 || !maildir_name_parse(name, &n) || (n.flags & MORTISE_FLAG_DELETED) != 0)
		return;
	if (n.size == MORTISE_SIZE_UNKNOWN) {
		if (fstatat(part, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			return;
		n.size = (uint64_t)st.st_size;
	}
	if (n.size > INT64_MAX / 2)
		return;
	q->octets += add ? (int64_t)n.size : -(int64_t)n.size;
	q->messages += add ? 1 : -1;
}

void maildir_quota_end(struct mortise_call *call, struct maildir_quota *q)
{
	char line[64];
	int n;

	if (q->fd < 0)
		return;
	if (q->messages != 0 || q->octets != 0) {
		n = snprintf(line, sizeof(line), "%" PRId64 " %" PRId64 "\n", q->octets, q->messages);
		if (write(q->fd, line, (size_t)n) != n)
			call->host->log(call, MORTISE_LOG_WARN, FILE_NAME " could not be written: %m");
	}
	close(q->fd);
	q->fd = -1;
}
