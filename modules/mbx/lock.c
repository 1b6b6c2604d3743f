/*
 * Locks, as c-client takes them for this format.
 *
 * flock shared on the mailbox is held as long as a box is open: records stay where they are. It becomes
 * exclusive only to move them, and only under the other lock, since Linux lets go of a shared lock before it
 * gives an exclusive one.
 *
 * The other lock is flock on /tmp/.DEVICE.INODE, exclusive, for every parse and change. The file is made when
 * it is not there and removed when the lock is let go, so who has waited for it checks that it still has the
 * name. Ours stays, open and not locked, until the next time that we need it, the next pause or the end: to
 * make and remove a file for each change costs more than the change. Anybody can put something there: links
 * and what is no regular file are not followed.
 */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY 1

static uint64_t pause_length(struct mortise_call *call, unsigned tries)
{
	uint16_t r;
	uint64_t most = tries > 5 ? 64 : (uint64_t)2 << tries;

	/* By chance, so that two who wait do not meet again and again. */
	call->host->random(call, &r, sizeof r);
	return most / 2 + r % (most / 2 + 1);
}

/* 0: go and try again. */
static int wait_turn(
    struct mortise_call *call, const struct mbx_box *b, unsigned tries, uint64_t deadline, const char *what)
{
	uint64_t now = call->host->now(call), length = pause_length(call, tries);

	if (now >= deadline)
		return call->host->fault(
		    call, MORTISE_E_INUSE, "%s is locked: another process holds %s", b->place->name, what);
	return call->host->sleep(call, length < deadline - now ? length : deadline - now);
}

/* The file is locked by us and has the name still. */
static bool lock_good(const struct mbx_box *b, int fd)
{
	struct stat st, named;

	return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && lstat(b->lock_path, &named) == 0 &&
	       st.st_dev == named.st_dev && st.st_ino == named.st_ino && st.st_nlink == 1;
}

/* 0 with b->lock_fd, BUSY, or a code. */
static int lock_try(struct mortise_call *call, struct mbx_box *b)
{
	struct stat st;
	bool new_file = false;
	int fd;

	if (b->idle_fd >= 0) {
		fd = b->idle_fd;
		b->idle_fd = -1;
		if (lock_good(b, fd)) {
			b->lock_fd = fd;
			return 0;
		}
		close(fd);
	}
	if (lstat(b->lock_path, &st) == 0) {
		/* No link at all: its holder has just removed it. */
		if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
			return call->host->fault(call, MORTISE_E_TEMP,
			    "cannot lock %s: %s is a link or no regular file", b->place->name, b->lock_path);
		fd = open(b->lock_path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	} else {
		fd = open(b->lock_path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
		new_file = fd >= 0;
	}
	if (fd < 0)
		return errno == ENOENT || errno == EEXIST
		           ? BUSY
		           : call->host->fault_errno(
		                 call, "cannot lock %s with %s", b->place->name, b->lock_path);
	/* Others who share the mailbox must be able to, whatever the umask is. */
	if (new_file)
		(void)!fchmod(fd, 0666);
	if (lock_good(b, fd)) {
		b->lock_fd = fd;
		return 0;
	}
	close(fd);
	return BUSY;
}

int mbx_lock_take(struct mortise_call *call, struct mbx_box *b, int mode, uint64_t deadline)
{
	struct stat st;
	int r;

	if (mode == MORTISE_LOCK_NONE) {
		mbx_lock_release(b);
		return 0;
	}
	if (mode == MORTISE_LOCK_EXCLUSIVE && b->read_only)
		return call->host->fail(call, MORTISE_E_PERM, "The mailbox is open read-only");
	if (b->lock_fd >= 0) {
		b->lock_mode = mode;
		return 0;
	}
	if (fstat(b->fd, &st) != 0)
		return call->host->fault_errno(call, "cannot look at %s", b->place->name);
	if (snprintf(b->lock_path, sizeof b->lock_path, "%s/.%llx.%llx", b->options->lock_directory,
	        (unsigned long long)st.st_dev, (unsigned long long)st.st_ino) >= (int)sizeof b->lock_path)
		return call->host->fault(call, MORTISE_E_LIMIT, "the lock directory's name is too long");
	if (deadline == 0)
		deadline = call->host->now(call) + b->place->lock_timeout;
	for (unsigned tries = 0; (r = lock_try(call, b)) == BUSY; tries++)
		if ((r = wait_turn(call, b, tries, deadline, b->lock_path)) != 0)
			return r;
	if (r == 0)
		b->lock_mode = mode;
	return r;
}

void mbx_lock_release(struct mbx_box *b)
{
	if (b->lock_fd >= 0) {
		(void)!flock(b->lock_fd, LOCK_UN);
		b->idle_fd = b->lock_fd;
	}
	b->lock_fd = -1;
	b->lock_mode = MORTISE_LOCK_NONE;
}

void mbx_lock_forget(struct mbx_box *b)
{
	if (b->idle_fd < 0)
		return;
	/* Who has it locked now will remove it. */
	if (lock_good(b, b->idle_fd))
		unlink(b->lock_path);
	close(b->idle_fd);
	b->idle_fd = -1;
}

int mbx_lock_until(struct mortise_call *call, struct mbx_box *b, uint64_t deadline, bool *taken)
{
	int mode = b->read_only ? MORTISE_LOCK_SHARED : MORTISE_LOCK_EXCLUSIVE, r;

	*taken = b->lock_fd < 0;
	if (!*taken)
		return 0;
	r = mbx_lock_take(call, b, mode, deadline);
	/* Somebody may have died moving records, we ourselves have failed to. */
	if (r == 0 && (r = call->host->journal_recover(call, b->fd, !b->read_only)) < 0)
		mbx_lock_release(b);
	*taken = r >= 0;
	return r < 0 ? r : 0;
}

int mbx_lock_need(struct mortise_call *call, struct mbx_box *b, bool *taken)
{
	return mbx_lock_until(call, b, 0, taken);
}

int mbx_lock_check(struct mortise_call *call, const struct mbx_box *b)
{
	struct stat st;

	if (b->read_only)
		return call->host->fail(call, MORTISE_E_PERM, "The mailbox is open read-only");
	if (b->lock_mode != MORTISE_LOCK_EXCLUSIVE)
		return call->host->fault(
		    call, MORTISE_E_INTERNAL, "%s is to be changed without a lock", b->place->name);
	if (fstat(b->fd, &st) != 0)
		return call->host->fault_errno(call, "cannot look at %s", b->place->name);
	if (st.st_nlink == 0)
		return call->host->fault(
		    call, MORTISE_E_NOTFOUND, "%s was removed while it was open", b->place->name);
	return 0;
}

int mbx_session_share(struct mortise_call *call, struct mbx_box *b)
{
	uint64_t deadline = call->host->now(call) + b->place->lock_timeout;
	int r = 0;

	for (unsigned tries = 0; r == 0 && flock(b->fd, LOCK_SH | LOCK_NB) != 0; tries++)
		if (errno != EWOULDBLOCK && errno != EINTR)
			r = call->host->fault_errno(call, "cannot lock %s", b->place->name);
		else
			r = wait_turn(call, b, tries, deadline, "a flock");
	return r;
}

bool mbx_session_alone(struct mortise_call *call, struct mbx_box *b)
{
	if (flock(b->fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	/* The shared lock may be lost by now. Nobody gets an exclusive one while we have the other lock. */
	if (flock(b->fd, LOCK_SH) != 0)
		call->host->log(call, MORTISE_LOG_ERROR, "lost the lock of %s: %m", b->place->name);
	return false;
}

int mbx_op_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline)
{
	return mbx_lock_take(call, mbx_box_of(box), mode, deadline);
}
