/*
 * Locking, so that everybody who locks a mailbox file in any of the usual ways keeps out.
 *
 * Three locks, in the order of the option `locks`: the dot-lock (a file NAME.lock), fcntl (as an open file
 * description lock where the system has it, so that closing another descriptor of the file does not drop it)
 * and flock. Debian's policy is fcntl, then dot-lock; c-client takes the dot-lock, then flock; others do
 * otherwise. No order is right for all of them, so none is waited for while another is held: all are tried,
 * and when one is taken everything is let go and tried again later. So no order anybody uses can make a
 * deadlock.
 *
 * A dot-lock that nobody releases. The lock files we make we keep open and flocked; one that says so and is
 * not flocked is of a process that was killed, and goes at once. Of others' locks nothing is known but their
 * age. c-client takes them away after five minutes, from slow and live owners too. Here it must be old by the
 * file server's clock, the mailbox itself must not have changed for as long, and nobody may hold a kernel
 * lock on it; the lock that is then removed is checked to be the one that was looked at. While we hold a
 * dot-lock for long, we touch it.
 *
 * The session lock. A c-client program that has a mailbox open read-write holds flock on /tmp/.DEVICE.INODE
 * all the time, remembers where messages are, and would write over what we change. So changes ask for it,
 * never wait long, and never signal anybody ("kiss of death"). It is let go with the other locks. Our copy
 * holds no process id: c-client then does not signal us either. The file stays, open and not locked, until
 * the next time that we need it, the next pause or the end: to make and remove a file for each change costs
 * more than most changes.
 */
#include "box.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define BUSY 1
#define TOUCH_EVERY 30000u
#define SESSION_WAIT 1000u
#define SIGNATURE "mortise\n" /* a lock file's second line: its maker holds a flock on it */

#ifndef F_OFD_SETLK
#define F_OFD_SETLK F_SETLK
#define F_OFD_GETLK F_GETLK
#endif

static void holder(struct unix_box *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void holder(struct unix_box *b, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(b->lock.holder, sizeof b->lock.holder, format, ap);
	va_end(ap);
}

/* ---- the kernel's locks ---- */

/* Who holds a FLOCK or POSIX lock on the file, by /proc/locks; 0: cannot be known. */
static long lock_owner(const struct stat *st, const char *kind)
{
	char line[256], type[16];
	FILE *f = fopen("/proc/locks", "re");
	long pid, found = 0;
	unsigned major_number, minor_number;
	unsigned long inode;

	if (f == NULL)
		return 0;
	while (found == 0 && fgets(line, sizeof line, f) != NULL)
		if (sscanf(line, "%*d: %15s %*s %*s %ld %x:%x:%lu", type, &pid, &major_number, &minor_number,
		        &inode) == 5 &&
		    strcmp(type, kind) == 0 && inode == (unsigned long)st->st_ino && pid > 0)
			found = pid;
	fclose(f);
	return found;
}

static int fcntl_try(struct unix_box *b, int mode)
{
	struct flock l = {
	    .l_type = (short)(mode == MORTISE_LOCK_EXCLUSIVE ? F_WRLCK : F_RDLCK), .l_whence = SEEK_SET};

	if (fcntl(b->fd, F_OFD_SETLK, &l) == 0)
		return 0;
	if (errno == ENOLCK)
		holder(b, "no fcntl lock can be had: %s", strerror(errno));
	else if (errno != EAGAIN && errno != EACCES)
		return -1;
	else {
		holder(b, "another process holds an fcntl lock");
		if (fcntl(b->fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK && l.l_pid > 0)
			holder(b, "process %ld holds an fcntl lock", (long)l.l_pid);
	}
	return BUSY;
}

static int flock_try(struct unix_box *b, int mode)
{
	struct stat st;
	long pid;

	if (b->no_flock)
		return 0;
	while (flock(b->fd, (mode == MORTISE_LOCK_EXCLUSIVE ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
		if (errno == EINTR)
			continue;
		if (errno == ENOLCK) {
			holder(b, "no flock can be had: %s", strerror(errno));
			return BUSY;
		}
		if (errno != EWOULDBLOCK)
			return -1;
		pid = fstat(b->fd, &st) == 0 ? lock_owner(&st, "FLOCK") : 0;
		if (pid > 0)
			holder(b, "process %ld holds a flock", pid);
		else
			holder(b, "another process holds a flock");
		return BUSY;
	}
	return 0;
}

static void kernel_release(struct unix_box *b)
{
	struct flock l = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	if (b->fd < 0)
		return;
	fcntl(b->fd, F_OFD_SETLK, &l);
	flock(b->fd, LOCK_UN);
}

/* ---- the dot-lock ---- */

static int dot_name(const struct unix_box *b, char *out)
{
	int n = snprintf(out, NAME_MAX + 1, "%s.lock", b->file);

	return n > 0 && n <= NAME_MAX ? 0 : -1;
}

/* A name beside the lock that nobody else uses. */
static int post_name(char *name, const char *lock)
{
	static unsigned count;
	char host[64] = "localhost";
	int n;

	if (gethostname(host, sizeof host - 1) != 0)
		memcpy(host, "localhost", sizeof "localhost");
	host[sizeof host - 1] = '\0';
	for (char *p = host; *p != '\0'; p++)
		if (*p == '/')
			*p = '_';
	n = snprintf(name, NAME_MAX + 1, "%s.%lld.%ld.%u.%s", lock, (long long)time(NULL), (long)getpid(),
	    count++, host);
	if (n >= 0 && n <= NAME_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

/*
 * Our process number, for others to name us, and the word that says that we hold a flock on the lock file
 * itself for as long as it is ours. Both may be missing on a full disk; then only age speaks against it.
 */
static void sign(const struct unix_box *b, int fd)
{
	char text[48];
	bool held = !b->no_flock && flock(fd, LOCK_EX | LOCK_NB) == 0;
	int n = snprintf(text, sizeof text, "%ld\n%s", (long)getpid(), held ? SIGNATURE : "");

	(void)!write(fd, text, (size_t)n);
}

/* A file of our own beside the lock, to be linked to its name. */
static int hitching_post(struct unix_box *b, char *name, const char *lock, struct stat *st)
{
	int fd;

	if (post_name(name, lock) != 0)
		return -1;
	fd = openat(b->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd >= 0 && fstat(fd, st) != 0) {
		close(fd);
		unlinkat(b->dir, name, 0);
		fd = -1;
	}
	return fd;
}

static int64_t distance(int64_t a, int64_t b)
{
	return a > b ? a - b : b - a;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* `now` is the file server's. Old, and nothing else speaks for its owner being alive. */
static bool dot_stale(struct unix_box *b, const struct stat *lock, int64_t now)
{
	const int64_t age = (int64_t)(b->options->dotlock_stale / 1000);
	struct stat box;

	if (distance(now, lock->st_ctime) < age || distance(now, lock->st_mtime) < age)
		return false;
	if (fstat(b->fd, &box) != 0 || distance(now, box.st_mtime) < age)
		return false;
	/* Both stay held until the lock is gone, so no two of us do this at once. */
	return flock_try(b, MORTISE_LOCK_EXCLUSIVE) == 0 &&
	       (b->read_only || fcntl_try(b, MORTISE_LOCK_EXCLUSIVE) == 0);
}

/* Takes the lock file away, if it is still the one that `seen` shows. */
static bool dot_seize(
    struct mortise_call *call, struct unix_box *b, const char *lock, const struct stat *seen, const char *why)
{
	char away[NAME_MAX + 1];
	struct stat st;

	if (post_name(away, lock) != 0)
		return false;
	if (renameat(b->dir, lock, b->dir, away) != 0)
		return errno == ENOENT;
	if (fstatat(b->dir, away, &st, AT_SYMLINK_NOFOLLOW) == 0 && !same_file(&st, seen)) {
		/* Somebody was faster and this is his: give it back. */
		linkat(b->dir, away, b->dir, lock, 0);
		unlinkat(b->dir, away, 0);
		return false;
	}
	unlinkat(b->dir, away, 0);
	call->host->log(call, MORTISE_LOG_WARN, "removed %s, %lld s old: %s", lock,
	    (long long)distance(time(NULL), seen->st_ctime), why);
	return true;
}

/* One of us made it and does not hold it any more: was killed, then. True: it is gone. */
static bool dot_abandoned(
    struct mortise_call *call, struct unix_box *b, const char *lock, const struct stat *seen)
{
	int fd = b->no_flock ? -1 : openat(b->dir, lock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[48], *line;
	struct stat st;
	bool gone = false;
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, sizeof text - 1);
	text[n > 0 ? n : 0] = '\0';
	line = strchr(text, '\n');
	/* The flock is kept until it is gone, so no two of us do this at once. */
	if (line != NULL && strcmp(line + 1, SIGNATURE) == 0 && fstat(fd, &st) == 0 && same_file(&st, seen) &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0)
		gone = dot_seize(call, b, lock, seen, "the process that made it has ended");
	close(fd);
	return gone;
}

/* 1: it was stale, and is gone; 0: it holds; -1: no file can be made here to ask the file server's clock. */
static int dot_expired(
    struct mortise_call *call, struct unix_box *b, const char *lock, const struct stat *seen)
{
	char post[NAME_MAX + 1];
	struct stat st;
	int fd;

	/* By our own clock it is young: no need to ask the file server's. */
	if (distance(time(NULL), seen->st_ctime) < (int64_t)(b->options->dotlock_stale / 1000))
		return 0;
	fd = hitching_post(b, post, lock, &st);
	if (fd < 0)
		return -1;
	close(fd);
	unlinkat(b->dir, post, 0);
	return dot_stale(b, seen, st.st_mtime) &&
	       dot_seize(call, b, lock, seen, "the mailbox is unchanged since and nobody holds a lock on it");
}

static void dot_holder(struct unix_box *b, const char *lock, const struct stat *st)
{
	char text[24] = "";
	long long age = (long long)distance(time(NULL), st->st_ctime);
	int fd = openat(b->dir, lock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	long pid = n > 0 ? strtol(text, NULL, 10) : 0;

	if (fd >= 0)
		close(fd);
	if (pid > 0)
		holder(b, "process %ld made %.64s %lld s ago", pid, lock, age);
	else
		holder(b, "there is a lock file %.64s, %lld s old", lock, age);
}

static int dot_own(struct unix_box *b, int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0) {
		close(fd);
		return -1;
	}
	b->lock.dot_dev = st.st_dev;
	b->lock.dot_ino = st.st_ino;
	b->lock.dot_fd = fd;
	return 0;
}

/* A file without a name is given the lock's: nothing is left of it when we are killed meanwhile. */
static int dot_link_nameless(struct unix_box *b, const char *lock)
{
	int fd = openat(b->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0644), why;
	char proc[40];

	if (fd < 0)
		return -1;
	sign(b, fd);
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, proc, b->dir, lock, AT_SYMLINK_FOLLOW) == 0)
		return dot_own(b, fd);
	why = errno;
	close(fd);
	errno = why;
	return why == EEXIST ? BUSY : -1;
}

/* link(2) is sure on NFS where O_EXCL once was not; file systems without links get O_EXCL. */
static int dot_link(struct unix_box *b, const char *lock)
{
	char post[NAME_MAX + 1];
	struct stat st, own;
	int fd = hitching_post(b, post, lock, &own);
	bool linked;

	if (fd < 0)
		return -1;
	sign(b, fd);
	if (linkat(b->dir, post, b->dir, lock, 0) != 0 && (errno == EPERM || errno == EOPNOTSUPP)) {
		close(fd);
		unlinkat(b->dir, post, 0);
		fd = openat(b->dir, lock, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		if (fd < 0)
			return errno == EEXIST ? BUSY : -1;
		sign(b, fd);
		return dot_own(b, fd);
	}
	/* What link said may be a lie; the count is the truth. */
	linked =
	    fstatat(b->dir, post, &st, AT_SYMLINK_NOFOLLOW) == 0 && same_file(&st, &own) && st.st_nlink == 2;
	unlinkat(b->dir, post, 0);
	if (linked)
		return dot_own(b, fd);
	close(fd);
	return BUSY;
}

/* No lock file can be made here. What that means is the administrator's choice. */
static int dot_cannot(struct mortise_call *call, struct unix_box *b, const char *lock)
{
	int why = errno;

	if (b->options->dotlock == UNIX_DOTLOCK_REQUIRED) {
		errno = why;
		return call->host->fault_errno(call, "cannot make the dot-lock %s", lock);
	}
	if (!b->state->told_dotlock) {
		b->state->told_dotlock = true;
		errno = why;
		call->host->log(call, MORTISE_LOG_WARN,
		    "cannot make the dot-lock %s: %m; going on with kernel locks only "
		    "(dotlock = \"required\" forbids that, \"no\" silences this)",
		    lock);
	}
	return 0;
}

static int dot_try(struct mortise_call *call, struct unix_box *b)
{
	char lock[NAME_MAX + 1];
	struct stat old;
	int r;

	if (b->options->dotlock == UNIX_DOTLOCK_NO || b->lock.dot)
		return 0;
	if (dot_name(b, lock) != 0) {
		errno = ENAMETOOLONG;
		return dot_cannot(call, b, b->file);
	}
	if (fstatat(b->dir, lock, &old, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!S_ISREG(old.st_mode)) {
			holder(b, "%.64s is not a regular file: somebody put it there", lock);
			return BUSY;
		}
		r = dot_abandoned(call, b, lock, &old) ? 1 : dot_expired(call, b, lock, &old);
		if (r < 0)
			return dot_cannot(call, b, lock);
		if (r == 0) {
			dot_holder(b, lock, &old);
			return BUSY;
		}
	}
	r = dot_link_nameless(b, lock);
	if (r < 0)
		r = dot_link(b, lock);
	if (r < 0)
		return dot_cannot(call, b, lock);
	if (r == BUSY) {
		holder(b, "another process was faster to make %.64s", lock);
		return BUSY;
	}
	b->lock.dot = true;
	b->lock.dot_touched = call->host->now(call);
	return 0;
}

static void dot_release(struct mortise_call *call, struct unix_box *b)
{
	char lock[NAME_MAX + 1];
	struct stat st;

	if (!b->lock.dot || dot_name(b, lock) != 0)
		return;
	b->lock.dot = false;
	if (fstatat(b->dir, lock, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == b->lock.dot_dev &&
	    st.st_ino == b->lock.dot_ino)
		unlinkat(b->dir, lock, 0);
	else
		call->host->log(
		    call, MORTISE_LOG_WARN, "the dot-lock %s was taken from us while we held it", lock);
	/* Only now, so that nobody takes it for abandoned before. */
	close(b->lock.dot_fd);
}

void unix_lock_touch(struct mortise_call *call, struct unix_box *b)
{
	char lock[NAME_MAX + 1];
	uint64_t now;

	if (!b->lock.dot)
		return;
	now = call->host->now(call);
	if (now - b->lock.dot_touched < TOUCH_EVERY || dot_name(b, lock) != 0)
		return;
	b->lock.dot_touched = now;
	utimensat(b->dir, lock, NULL, AT_SYMLINK_NOFOLLOW);
}

/* ---- c-client's session lock ---- */

/* A file that we have locked is still the one that has the name. */
static bool session_named(int fd, const char *path)
{
	struct stat st, now;

	return fstat(fd, &st) == 0 && lstat(path, &now) == 0 && same_file(&st, &now) && now.st_nlink == 1;
}

/* The lock file, opened as c-client opens it. -1: not to be had, `why` says why. */
static int session_open(const char *path, const char **why)
{
	struct stat st;
	int fd = -1;

	for (int tries = 0; tries < 5; tries++) {
		if (lstat(path, &st) == 0) {
			/* No link at all: its holder has just removed it. */
			if (!S_ISREG(st.st_mode) || st.st_nlink > 1) {
				*why = "it is a link or no regular file";
				return -1;
			}
			fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		} else
			fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
		if (fd < 0 && (errno == ENOENT || errno == EEXIST))
			continue;
		if (fd < 0) {
			*why = strerror(errno);
			return -1;
		}
		if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 0777) != 0666)
			(void)!fchmod(fd, 0666);
		if (flock(fd, LOCK_EX | LOCK_NB) != 0)
			return fd;
		/* Still the file that has the name? */
		if (session_named(fd, path))
			return fd;
		close(fd);
	}
	*why = "it changes all the time";
	return -1;
}

/*
 * Anybody can make and lock the file in /tmp. The lock counts when its holder, as the kernel tells, is this
 * user or root; when that cannot be known, when the file's owner is.
 */
static bool session_credible(int fd, long *pid)
{
	char path[64];
	struct stat lock, process;

	if (fstat(fd, &lock) != 0)
		return false;
	*pid = lock_owner(&lock, "FLOCK");
	snprintf(path, sizeof path, "/proc/%ld", *pid);
	if (*pid > 0 && stat(path, &process) == 0)
		return process.st_uid == geteuid() || process.st_uid == 0;
	return lock.st_uid == geteuid() || lock.st_uid == 0;
}

static void session_cannot(struct mortise_call *call, struct unix_box *b, const char *path, const char *why)
{
	if (b->state->told_session)
		return;
	b->state->told_session = true;
	call->host->log(call, MORTISE_LOG_WARN,
	    "cannot use %s to keep c-client programs out: %s; going on without", path, why);
}

static void session_release(struct unix_box *b)
{
	if (b->lock.session < 0)
		return;
	(void)!flock(b->lock.session, LOCK_UN);
	b->lock.session_idle = b->lock.session;
	b->lock.session = -1;
}

void unix_lock_forget(struct unix_box *b)
{
	if (b->lock.session_idle < 0)
		return;
	/* Who has it locked now will remove it. */
	if (flock(b->lock.session_idle, LOCK_EX | LOCK_NB) == 0 &&
	    session_named(b->lock.session_idle, b->lock.session_path))
		unlink(b->lock.session_path);
	close(b->lock.session_idle);
	b->lock.session_idle = -1;
}

/* 0: held, or not needed. BUSY: a c-client program has the mailbox open. */
static int session_try(struct mortise_call *call, struct unix_box *b)
{
	char path[sizeof b->lock.session_path];
	const char *why = "";
	struct stat st;
	long pid = 0;
	int fd = -1;

	if (!b->options->session_lock || b->lock.session >= 0 || fstat(b->fd, &st) != 0)
		return 0;
	snprintf(path, sizeof path, "%s/.%llx.%llx", b->options->session_directory,
	    (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	if (b->lock.session_idle >= 0 && strcmp(path, b->lock.session_path) == 0 &&
	    flock(b->lock.session_idle, LOCK_EX | LOCK_NB) == 0 &&
	    session_named(b->lock.session_idle, path)) {
		b->lock.session = b->lock.session_idle;
		b->lock.session_idle = -1;
		return 0;
	}
	unix_lock_forget(b);
	memcpy(b->lock.session_path, path, sizeof path);
	fd = session_open(b->lock.session_path, &why);
	if (fd < 0) {
		session_cannot(call, b, b->lock.session_path, why);
		return 0;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		b->lock.session = fd;
		return 0;
	}
	if (!session_credible(fd, &pid)) {
		session_cannot(call, b, b->lock.session_path, "somebody else holds it");
		close(fd);
		return 0;
	}
	if (pid > 0)
		holder(b, "process %ld has the mailbox open for writing (%s)", pid, b->lock.session_path);
	else
		holder(b, "another program has the mailbox open for writing (%s)", b->lock.session_path);
	close(fd);
	return BUSY;
}

/* ---- all of them ---- */

static void release(struct mortise_call *call, struct unix_box *b)
{
	session_release(b);
	kernel_release(b);
	dot_release(call, b);
	b->lock.mode = MORTISE_LOCK_NONE;
	b->lock.session_busy = false;
}

void unix_lock_release(struct mortise_call *call, struct unix_box *b)
{
	if (b->lock.mode != MORTISE_LOCK_NONE)
		release(call, b);
}

/* 0, BUSY, or a code. After BUSY or a code nothing is held. */
static int try_all(struct mortise_call *call, struct unix_box *b, int mode)
{
	const struct mortise_list *locks = &b->options->locks;
	struct stat here, named;

	for (size_t i = 0; i < locks->count; i++) {
		const char *name = locks->items[i];
		int r = 0;
		if (strcmp(name, "dotlock") == 0)
			r = dot_try(call, b);
		else if (strcmp(name, "fcntl") == 0)
			r = fcntl_try(b, mode);
		else if (strcmp(name, "flock") == 0)
			r = flock_try(b, mode);
		if (r == -1)
			r = call->host->fault_errno(call, "cannot lock %s", b->place->name);
		if (r != 0) {
			release(call, b);
			return r;
		}
	}
	/* The name may belong to another file meanwhile; then we have locked the wrong one. */
	if (fstat(b->fd, &here) != 0 || fstatat(b->dir, b->file, &named, 0) != 0 ||
	    !same_file(&here, &named)) {
		int r;
		release(call, b);
		r = unix_box_reopen(call, b);
		holder(b, "the file is being replaced");
		return r < 0 ? r : BUSY;
	}
	b->lock.mode = mode;
	b->lock.serial++;
	return 0;
}

static uint64_t pause_length(struct mortise_call *call, unsigned tries)
{
	uint16_t r;
	uint64_t most = tries > 7 ? 250 : (uint64_t)2 << tries;

	/* By chance, so that two who wait do not meet again and again. */
	call->host->random(call, &r, sizeof r);
	return most / 2 + r % (most / 2 + 1);
}

/* c-client holds it for a moment while it looks, or for hours. The first is worth waiting for, once. */
static int session_wait(struct mortise_call *call, struct unix_box *b)
{
	uint64_t until = call->host->now(call) + SESSION_WAIT;
	int r;

	for (unsigned tries = 0;; tries++) {
		r = session_try(call, b);
		if (r != BUSY) {
			b->lock.session_long = false;
			return r;
		}
		if (b->lock.session_long || call->host->now(call) >= until) {
			b->lock.session_busy = b->lock.session_long = true;
			return 0;
		}
		r = call->host->sleep(call, pause_length(call, tries));
		if (r != 0)
			return r;
	}
}

int unix_lock_take(struct mortise_call *call, struct unix_box *b, int mode, uint64_t deadline)
{
	int r;

	if (mode == b->lock.mode)
		return 0;
	unix_lock_release(call, b);
	if (mode == MORTISE_LOCK_NONE)
		return 0;
	if (mode == MORTISE_LOCK_EXCLUSIVE && b->read_only)
		return call->host->fail(call, MORTISE_E_PERM, "the mailbox is open read-only");
	if (deadline == 0)
		deadline = call->host->now(call) + b->place->lock_timeout;
	for (unsigned tries = 0;; tries++) {
		uint64_t now, wait;
		r = try_all(call, b, mode);
		if (r != BUSY)
			break;
		now = call->host->now(call);
		if (now >= deadline)
			return call->host->fault(
			    call, MORTISE_E_INUSE, "%s is locked: %s", b->place->name, b->lock.holder);
		wait = pause_length(call, tries);
		r = call->host->sleep(call, wait < deadline - now ? wait : deadline - now);
		if (r != 0)
			return r;
	}
	if (r == 0 && mode == MORTISE_LOCK_EXCLUSIVE)
		r = session_wait(call, b);
	/* Whoever held it before us may have been killed. */
	if (r == 0 && mode == MORTISE_LOCK_EXCLUSIVE)
		r = call->host->journal_recover(call, b->fd, true);
	if (r < 0 && b->lock.mode != MORTISE_LOCK_NONE)
		release(call, b);
	return r < 0 ? r : 0;
}

int unix_lock_need(struct mortise_call *call, struct unix_box *b, int mode, bool *taken)
{
	int r;

	*taken = false;
	if (b->lock.mode >= mode)
		return 0;
	*taken = true;
	r = unix_lock_take(call, b, mode, 0);
	if (r == 0 && mode == MORTISE_LOCK_SHARED &&
	    (r = call->host->journal_recover(call, b->fd, false)) != 0)
		unix_lock_release(call, b);
	return r;
}

bool unix_lock_writable(const struct unix_box *b)
{
	return b->lock.mode == MORTISE_LOCK_EXCLUSIVE && !b->read_only && !b->lock.session_busy;
}

int unix_lock_refuse(struct mortise_call *call, struct unix_box *b)
{
	if (b->read_only)
		return call->host->fail(call, MORTISE_E_PERM, "the mailbox is open read-only");
	if (b->lock.mode != MORTISE_LOCK_EXCLUSIVE)
		return call->host->fault(
		    call, MORTISE_E_INTERNAL, "%s is to be changed without a lock", b->place->name);
	return call->host->fault(
	    call, MORTISE_E_INUSE, "%s cannot be changed: %s", b->place->name, b->lock.holder);
}
