/*
 * lock.c: dovecot-uidlist.lock.
 *
 * Maildir itself needs no lock; who changes dovecot-uidlist or dovecot-keywords does, and a lock held while
 * the directories are read keeps other servers from renaming files under us. It is a dot-lock: made where
 * nothing is, "PID:HOST" in it, its time renewed while it is held. One whose process has died on this host,
 * or that is older than dotlock_stale by the file system's own clock, is taken away: renamed to a name of
 * ours first, so that of two who do so one sees that it was somebody else's young lock, and puts it back.
 *
 * Between two times that a box holds it the file waits in tmp: to move it costs less than to make it.
 *
 * On a full disk there may be no room for a lock. Messages can be deleted without one all the same: each
 * rename and unlink is whole by itself, and nothing that needs the lock could be written anyway.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

#define WAIT_MS 20
#define TOUCH_EVERY 10000

static bool owner_died(const char *text, const char *host)
{
	char *end;
	long pid = strtol(text, &end, 10);

	return pid > 1 && *end == ':' && strcmp(end + 1, host) == 0 && kill((pid_t)pid, 0) != 0 &&
	       errno == ESRCH;
}

/* Who holds it, in words; whether it is there no more for anybody. */
static bool stale(struct maildir_box *b, const struct stat *lock, char who[128])
{
	int fd = openat(b->dir, UIDLIST_LOCK, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char host[65] = "";
	struct stat now;
	ssize_t n = 0;

	if (fd >= 0) {
		n = read(fd, who, 127);
		close(fd);
	}
	who[n > 0 ? n : 0] = '\0';
	who[strcspn(who, "\r\n")] = '\0';
	(void)gethostname(host, sizeof(host) - 1);
	if (owner_died(who, host))
		return true;
	/* The time of a file made just now is the file system's time. */
	fd = openat(b->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 || fstat(fd, &now) != 0)
		now.st_mtime = time(NULL);
	if (fd >= 0)
		close(fd);
	return now.st_mtime - lock->st_mtime > (int64_t)(b->options->dotlock_stale / 1000);
}

static void take_away(
    struct mortise_call *call, struct maildir_box *b, const struct stat *lock, const char *who)
{
	char name[160], away[192];
	struct stat st;

	maildir_name_unique(call, name);
	snprintf(away, sizeof(away), ".stale-%s", name);
	if (renameat(b->dir, UIDLIST_LOCK, b->dir, away) != 0)
		return;
	if (fstatat(b->dir, away, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino != lock->st_ino)
		(void)!linkat(b->dir, away, b->dir, UIDLIST_LOCK, 0);
	else
		call->host->log(call, MORTISE_LOG_WARN, "%s: took the stale lock " UIDLIST_LOCK " of %s away",
		    b->place->path, who[0] != '\0' ? who : "somebody");
	unlinkat(b->dir, away, 0);
}

/* A file in tmp that says who we are. -1 with errno. */
static int write_lock(struct maildir_box *b, const char *name)
{
	char text[128], host[65] = "";
	int fd =
	    openat(b->tmp, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, b->place->file_mode);
	struct stat st;
	size_t size, n = 0;
	ssize_t wrote = 1;
	bool good;

	if (fd < 0)
		return -1;
	(void)gethostname(host, sizeof(host) - 1);
	size = (size_t)snprintf(text, sizeof(text), "%ld:%s", (long)getpid(), host);
	while (n < size && (wrote > 0 || (wrote < 0 && errno == EINTR))) {
		wrote = write(fd, text + n, size - n);
		n += wrote > 0 ? (size_t)wrote : 0;
	}
	good = n == size && fstat(fd, &st) == 0;
	close(fd);
	if (!good) {
		int error = errno != 0 ? errno : ENOSPC;

		unlinkat(b->tmp, name, 0);
		errno = error;
		return -1;
	}
	b->dot_inode = st.st_ino;
	return 0;
}

/*
 * 0 made, 1 somebody has it, or a code. It is written in tmp and moved to its place, so nobody ever sees one
 * that does not say whose it is.
 */
static int try_dot(struct mortise_call *call, struct maildir_box *b, char who[128])
{
	char name[160];
	struct stat st;

	if (fstatat(b->dir, UIDLIST_LOCK, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (stale(b, &st, who))
			take_away(call, b, &st, who);
		return 1;
	}
	if (maildir_need_tmp(call, b) != 0)
		return MORTISE_E_INTERNAL;
	if (b->dot_name[0] != '\0' && utimensat(b->tmp, b->dot_name, NULL, AT_SYMLINK_NOFOLLOW) != 0)
		b->dot_name[0] = '\0';
	if (b->dot_name[0] == '\0') {
		maildir_name_unique(call, name);
		errno = 0;
		if (write_lock(b, name) != 0)
			return errno == ENOSPC || errno == EDQUOT
			           ? 0
			           : call->host->fault_errno(call, "%s/" UIDLIST_LOCK, b->place->path);
		memcpy(b->dot_name, name, sizeof(name));
	}
	b->dot_touched = call->host->now(call);
	b->dot = maildir_move(b->tmp, b->dot_name, b->dir, UIDLIST_LOCK) == 0;
	if (b->dot)
		return 0;
	return errno == EEXIST ? 1
	       : errno == ENOSPC || errno == EDQUOT
	           ? 0
	           : call->host->fault_errno(call, "%s/" UIDLIST_LOCK, b->place->path);
}

static void release(struct mortise_call *call, struct maildir_box *b)
{
	struct stat st;

	if (!b->dot)
		return;
	b->dot = false;
	if (fstatat(b->dir, UIDLIST_LOCK, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == b->dot_inode) {
		if (renameat(b->dir, UIDLIST_LOCK, b->tmp, b->dot_name) == 0)
			return;
		unlinkat(b->dir, UIDLIST_LOCK, 0);
		b->dot_name[0] = '\0';
		return;
	}
	b->dot_name[0] = '\0';
	call->host->log(
	    call, MORTISE_LOG_WARN, "%s: the lock was taken from us while we held it", b->place->path);
}

int maildir_lock(struct mortise_call *call, struct maildir_box *b, int mode, uint64_t deadline)
{
	char who[128] = "";
	int r;

	if (mode == MORTISE_LOCK_NONE)
		release(call, b);
	if (mode == MORTISE_LOCK_NONE || b->mode != MORTISE_LOCK_NONE) {
		b->mode = mode;
		return 0;
	}
	while ((r = try_dot(call, b, who)) == 1) {
		if (call->host->now(call) >= deadline)
			return call->host->fault(call, MORTISE_E_INUSE, "%s/" UIDLIST_LOCK " is held by %s",
			    b->place->path, who[0] != '\0' ? who : "another program");
		r = call->host->sleep(call, WAIT_MS);
		if (r != 0)
			return r;
	}
	if (r == 0)
		b->mode = mode;
	return r;
}

void maildir_lock_end(struct mortise_call *call, struct maildir_box *b)
{
	(void)maildir_lock(call, b, MORTISE_LOCK_NONE, 0);
	if (b->dot_name[0] != '\0' && b->tmp >= 0)
		unlinkat(b->tmp, b->dot_name, 0);
	b->dot_name[0] = '\0';
}

int maildir_lock_take(struct mortise_call *call, struct maildir_box *b, bool *mine)
{
	*mine = b->mode == MORTISE_LOCK_NONE;
	return *mine ? maildir_lock(
	                   call, b, MORTISE_LOCK_EXCLUSIVE, call->host->now(call) + b->place->lock_timeout)
	             : 0;
}

void maildir_lock_drop(struct mortise_call *call, struct maildir_box *b, bool mine)
{
	if (mine)
		(void)maildir_lock(call, b, MORTISE_LOCK_NONE, 0);
}

int maildir_go_on(struct mortise_call *call, struct maildir_box *b)
{
	if (b->dot && call->host->now(call) - b->dot_touched > TOUCH_EVERY) {
		b->dot_touched = call->host->now(call);
		utimensat(b->dir, UIDLIST_LOCK, NULL, AT_SYMLINK_NOFOLLOW);
	}
	return call->host->should_stop(call);
}
