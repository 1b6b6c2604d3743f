/*
 * lock.c: .mh_sequences, which is the folder's lock and what holds its flags.
 *
 * MH programs take an fcntl lock on the file, read it, and write it in place; the last sequence gone, they
 * unlink it. Others (mutt) put another file in its place without asking. So a lock counts when the name still
 * leads to the file that is locked; and what was written counts when it does so afterwards, or is written
 * again. Ours are locks of the open file description: they do not go away when some other descriptor of the
 * file is closed.
 *
 * Writing in place would leave half a file after a crash; the host's journal sees to that. Without one (a
 * full disk) the text is written over the old one, which takes no room as long as it fits into its block.
 *
 * A folder without the file has nothing to be locked for reading, and gets an empty one to be locked for
 * writing. When there is no room even for that, messages can be removed without a lock all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

#define WAIT_MS 20
#define TRIES 5

#ifndef F_OFD_SETLK
#define F_OFD_SETLK F_SETLK
#define F_OFD_GETLK F_GETLK
#endif

static int bad(struct mortise_call *call, const struct mh_box *b)
{
	return call->host->fault_errno(call, "%s/" SEQUENCES, b->place->path);
}

static void shut(struct mh_box *b)
{
	if (b->sequences >= 0)
		close(b->sequences); /* the lock goes with it */
	b->sequences = -1;
}

/* Opens the file if it is not; makes it when that is needed. 0 with b->sequences -1: there is none. */
static int open_file(struct mortise_call *call, struct mh_box *b, int mode)
{
	int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	bool make = mode == MORTISE_LOCK_EXCLUSIVE;
	struct stat st;

	if (b->sequences >= 0)
		return 0;
	b->sequences = openat(b->dir, SEQUENCES, flags | O_RDWR);
	if (b->sequences < 0 && !make && (errno == EACCES || errno == EROFS))
		b->sequences = openat(b->dir, SEQUENCES, flags | O_RDONLY);
	if (b->sequences < 0 && errno == ENOENT && make) {
		b->sequences = openat(b->dir, SEQUENCES, flags | O_CREAT | O_RDWR, b->place->file_mode);
		if (b->sequences < 0 && (errno == ENOSPC || errno == EDQUOT))
			return 0;
	}
	if (b->sequences < 0 && errno == ENOENT)
		return 0;
	if (b->sequences < 0)
		return bad(call, b);
	if (fstat(b->sequences, &st) != 0)
		return bad(call, b);
	if (!S_ISREG(st.st_mode)) {
		shut(b);
		return call->host->fault(
		    call, MORTISE_E_CORRUPT, "%s/" SEQUENCES " is no regular file", b->place->path);
	}
	return 0;
}

/* Whether the name leads to the file that is open. */
static bool still_it(const struct mh_box *b)
{
	struct stat named, opened;

	if (b->sequences < 0)
		return fstatat(b->dir, SEQUENCES, &named, AT_SYMLINK_NOFOLLOW) != 0;
	return fstat(b->sequences, &opened) == 0 &&
	       fstatat(b->dir, SEQUENCES, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
}

/* 0 locked, 1 somebody has it, or a code. */
static int try_lock(struct mortise_call *call, struct mh_box *b, int mode, long *who)
{
	struct flock l = {
	    .l_type = (short)(mode == MORTISE_LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK), .l_whence = SEEK_SET};
	int r = open_file(call, b, mode);

	if (r != 0 || b->sequences < 0)
		return r;
	if (fcntl(b->sequences, F_OFD_SETLK, &l) == 0) {
		if (still_it(b))
			return 0;
		shut(b);
		return 1;
	}
	if (errno != EAGAIN && errno != EACCES)
		return bad(call, b);
	if (fcntl(b->sequences, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK)
		*who = l.l_pid;
	return 1;
}

static int wait_lock(struct mortise_call *call, struct mh_box *b, int mode, uint64_t deadline)
{
	long who = 0;
	int r;

	while ((r = try_lock(call, b, mode, &who)) == 1) {
		if (call->host->now(call) < deadline)
			r = call->host->sleep(call, WAIT_MS);
		else if (who > 0)
			r = call->host->fault(call, MORTISE_E_INUSE,
			    "%s/" SEQUENCES " is locked by process %ld", b->place->path, who);
		else
			r = call->host->fault(call, MORTISE_E_INUSE,
			    "%s/" SEQUENCES " is locked by another program", b->place->path);
		if (r != 0)
			return r;
	}
	return r;
}

/* Finishes a rewrite that another process was killed in; a shared lock becomes an exclusive one for that. */
static int recover(struct mortise_call *call, struct mh_box *b, int mode, uint64_t deadline)
{
	int r, access;

	if (b->sequences < 0)
		return 0;
	if (mode == MORTISE_LOCK_EXCLUSIVE || call->host->journal_recover(call, b->sequences, false) == 0) {
		r = mode == MORTISE_LOCK_EXCLUSIVE ? call->host->journal_recover(call, b->sequences, true)
		                                   : 0;
		return r < 0 ? r : 0;
	}
	access = fcntl(b->sequences, F_GETFL);
	if (access < 0 || (access & O_ACCMODE) != O_RDWR)
		return call->host->fault(call, MORTISE_E_UNAVAILABLE,
		    "%s/" SEQUENCES " is half-written and cannot be repaired read-only", b->place->path);
	r = wait_lock(call, b, MORTISE_LOCK_EXCLUSIVE, deadline);
	if (r == 0)
		r = call->host->journal_recover(call, b->sequences, true);
	return r < 0 ? r : wait_lock(call, b, mode, deadline);
}

int mh_lock(struct mortise_call *call, struct mh_box *b, int mode, uint64_t deadline)
{
	int r = 0;

	if (mode != MORTISE_LOCK_NONE && mode != b->mode) {
		r = wait_lock(call, b, mode, deadline);
		if (r == 0)
			r = recover(call, b, mode, deadline);
		if (r != 0)
			mode = MORTISE_LOCK_NONE;
	}
	if (mode == MORTISE_LOCK_NONE)
		shut(b);
	b->mode = mode;
	return r;
}

int mh_lock_take(struct mortise_call *call, struct mh_box *b, int mode, bool *mine)
{
	*mine = b->mode == MORTISE_LOCK_NONE;
	return *mine ? mh_lock(call, b, mode, call->host->now(call) + b->place->lock_timeout) : 0;
}

void mh_lock_drop(struct mortise_call *call, struct mh_box *b, bool mine)
{
	if (mine)
		(void)mh_lock(call, b, MORTISE_LOCK_NONE, 0);
}

/* ---- reading and writing ---- */

int mh_put(struct mortise_call *call, int fd, const char *what, const void *octets, size_t size)
{
	const char *p = octets;

	while (size > 0) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return call->host->fault_errno(call, "%s", what);
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int mh_read_all(struct mortise_call *call, int fd, const char *what, uint64_t limit, char **out, size_t *size)
{
	struct stat st;
	size_t room;
	ssize_t n = 1;

	*out = NULL;
	*size = 0;
	if (fstat(fd, &st) != 0)
		return call->host->fault_errno(call, "%s", what);
	if ((uint64_t)st.st_size > limit)
		return call->host->fault(
		    call, MORTISE_E_LIMIT, "%s has more than %llu octets", what, (unsigned long long)limit);
	room = (size_t)st.st_size;
	*out = malloc(room + 1);
	if (*out == NULL)
		return call->host->fault_errno(call, "%s", what);
	while (*size < room && n > 0) {
		n = pread(fd, *out + *size, room - *size, (off_t)*size);
		if (n < 0 && errno != EINTR) {
			free(*out);
			*out = NULL;
			return call->host->fault_errno(call, "%s", what);
		}
		*size += n > 0 ? (size_t)n : 0;
		n = n < 0 ? 1 : n;
	}
	return 0;
}

int mh_sequences_load(struct mortise_call *call, struct mh_box *b, struct mh_sequences *s)
{
	char *text = NULL;
	size_t size = 0;
	int r = 0;

	*s = (struct mh_sequences){0};
	if (b->sequences >= 0)
		r = mh_read_all(call, b->sequences,
		    call->host->print(call, MORTISE_LIFE_CALL, "%s/" SEQUENCES, b->place->path),
		    b->options->sequences_limit, &text, &size);
	if (r == 0 && !mh_sequences_parse(s, text, size)) {
		mh_sequences_free(s);
		errno = ENOMEM;
		r = bad(call, b);
	}
	return r;
}

/* Over what is there. What does not succeed is taken back as far as it can be. */
static int write_over(struct mortise_call *call, struct mh_box *b, const struct mh_sequences *old,
    size_t old_size, const char *text, size_t size)
{
	if (pwrite(b->sequences, text, size, 0) == (ssize_t)size &&
	    ftruncate(b->sequences, (off_t)size) == 0 && fsync(b->sequences) == 0)
		return 0;
	if (pwrite(b->sequences, old->text, old_size, 0) != (ssize_t)old_size ||
	    ftruncate(b->sequences, (off_t)old_size) != 0)
		call->host->log(call, MORTISE_LOG_WARN, "%s/" SEQUENCES ": %m", b->place->path);
	return bad(call, b);
}

static int save(struct mortise_call *call, struct mh_box *b, const struct mh_sequences *s)
{
	size_t size = 0, old_size = 0, i;
	char *text = NULL;
	int journal, r;

	if (b->sequences < 0) {
		errno = ENOSPC;
		return bad(call, b);
	}
	journal = call->host->journal_begin(call, b->sequences, 0);
	if (journal < -1)
		return journal;
	if (!mh_sequences_text(s, &text, &size)) {
		free(text);
		errno = ENOMEM;
		return bad(call, b);
	}
	for (i = 0; i < s->count; i++)
		old_size += s->v[i].raw_size;
	if (journal >= 0) {
		r = mh_put(call, journal, "journal", text, size);
		if (r == 0)
			r = call->host->journal_apply(call, journal);
		else
			call->host->journal_drop(call, journal);
	}
	if (journal < 0 || r == MORTISE_E_QUOTA)
		r = write_over(call, b, s, old_size, text, size);
	free(text);
	return r;
}

/* The file was replaced under our lock: the new one is locked. */
static int lock_again(struct mortise_call *call, struct mh_box *b)
{
	shut(b);
	return wait_lock(call, b, MORTISE_LOCK_EXCLUSIVE, call->host->now(call) + b->place->lock_timeout);
}

int mh_sequences_edit(struct mortise_call *call, struct mh_box *b, mh_edit *edit, void *arg)
{
	int tries, r = 0;

	for (tries = 0; tries < TRIES; tries++) {
		struct mh_sequences s;

		if (!still_it(b) && (r = lock_again(call, b)) != 0)
			return r;
		r = mh_sequences_load(call, b, &s);
		if (r != 0)
			return r;
		if (!edit(&s, arg)) {
			errno = ENOMEM;
			r = bad(call, b);
		} else if (mh_sequences_changed(&s)) {
			r = save(call, b, &s);
		}
		mh_sequences_free(&s);
		if (r != 0 || still_it(b))
			return r;
	}
	return call->host->fault(
	    call, MORTISE_E_TEMP, "%s/" SEQUENCES " is replaced all the time", b->place->path);
}
