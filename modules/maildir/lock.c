/*
 * lock.c: dovecot-uidlist.lock.
 *
 * Maildir itself needs no lock; who changes dovecot-uidlist or dovecot-keywords does, and a lock held while
 * the directories are read keeps other servers from renaming files under us. It is a dot-lock: made with
 * O_EXCL, "PID:HOST" in it, its time renewed while it is held. One whose process has died on this host, or
 * that is older than dotlock_stale by the file system's own clock, is taken away: renamed to a name of ours
 * first, so that of two who do so one sees that it was somebody else's young lock, and puts it back.
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

/* 0 made, 1 somebody has it, or a code. */
static int try_dot(struct mortise_call *call, struct maildir_box *b, char who[128])
{
	int fd = openat(
	    b->dir, UIDLIST_LOCK, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, b->place->file_mode);
	char text[128], host[65] = "";
	struct stat st;

	if (fd >= 0) {
		(void)gethostname(host, sizeof(host) - 1);
		snprintf(text, sizeof(text), "%ld:%s", (long)getpid(), host);
		(void)!write(fd, text, strlen(text)); /* on a full disk it is an empty lock */
		b->dot = fstat(fd, &st) == 0;
		b->dot_inode = b->dot ? st.st_ino : 0;
		b->dot_touched = call->host->now(call);
		close(fd);
		return b->dot ? 0 : call->host->fault_errno(call, UIDLIST_LOCK);
	}
	if (errno == ENOSPC || errno == EDQUOT)
		return 0;
	if (errno != EEXIST)
		return call->host->fault_errno(call, "%s/" UIDLIST_LOCK, b->place->path);
	if (fstatat(b->dir, UIDLIST_LOCK, &st, AT_SYMLINK_NOFOLLOW) == 0 && stale(b, &st, who))
		take_away(call, b, &st, who);
	return 1;
}

static void release(struct mortise_call *call, struct maildir_box *b)
{
	struct stat st;

	if (!b->dot)
		return;
	b->dot = false;
	if (fstatat(b->dir, UIDLIST_LOCK, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == b->dot_inode)
		unlinkat(b->dir, UIDLIST_LOCK, 0);
	else
		call->host->log(call, MORTISE_LOG_WARN, "%s: the lock was taken from us while we held it",
		    b->place->path);
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
