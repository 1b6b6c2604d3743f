/*
 * change.c: the frame of every change: lock, sync, change, unlock.
 *
 * Before a change, and before a mailbox is first looked at, a rewrite that a crash interrupted is finished
 * (mailbox_recover). The file is opened for that before the lock is taken and closed after it was let go: on
 * Unix, closing any descriptor of a file drops the process's record locks on it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/path.h"
#include "log/log.h"
#include "store/driver.h"
#include "base/banned.h"

uint64_t lock_deadline(const struct mailbox *m)
{
	return clock_ms() + m->store->o->lock_timeout + 1;
}

static void unlock(struct mailbox *m)
{
	struct err e = ERR_INIT;

	if (box_lock(m, MORTISE_LOCK_NONE, 0, &e) != 0)
		log_err(MSG_STORE_UNLOCK, &e, m->target.place.name);
}

/*
 * A box that only reads takes no lock to write with. Whoever is rewriting holds one; a journal that is still
 * there when a lock to read is had was left by a crash, and is replayed through a box that may write.
 */
static int recover_read_only(struct mailbox *m, int fd, struct err *e)
{
	struct target t = m->target;
	struct mailbox *writer;
	bool waiting;

	if (box_lock(m, MORTISE_LOCK_SHARED, lock_deadline(m), e) != 0)
		return e->code;
	waiting = journal_waiting(m->store->journals, fd);
	unlock(m);
	t.own_root = -1;
	if (!waiting || mailbox_attach(m->store, &t, arena_new("recover"), 0, &writer, e) != 0)
		return e->code;
	if (mailbox_read_only(writer))
		err_fail(e, MORTISE_E_PERM, "The mailbox is read-only and has to be repaired first");
	else
		mailbox_recover(writer, e);
	mailbox_close(&writer);
	return e->code;
}

int mailbox_recover(struct mailbox *m, struct err *e)
{
	const struct mortise_traits *traits = driver_ops(m->driver)->traits;
	AUTO_CLOSE int fd = -1;
	int r;

	if (m->box == NULL || !traits->needs_journal || traits->directory ||
	    !store_journals_waiting(m->store))
		return 0;
	fd = path_open(m->target.place.root, m->target.place.path, O_RDWR | O_NONBLOCK, 0,
	    m->store->o->confine ? 0 : PATH_UNCONFINED);
	if (fd < 0 || !journal_waiting(m->store->journals, fd))
		return 0; /* not ours; or read-only or gone: the driver will say what it thinks of it */
	if (mailbox_read_only(m))
		return recover_read_only(m, fd, e);
	if (box_lock(m, MORTISE_LOCK_EXCLUSIVE, lock_deadline(m), e) != 0)
		return e->code;
	r = journal_replay(m->store->journals, fd, e);
	unlock(m);
	return r < 0 ? r : 0;
}

int change_begin(struct mailbox *m, struct err *e)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (mailbox_must_live(m, e) != 0 || store_stopped(m->store, e) != 0)
		return e->code;
	if (mailbox_read_only(m))
		return err_fail(e, MORTISE_E_PERM, "Mailbox is read-only");
	if (m->box == NULL && mailbox_bring_about(m, e) != 0)
		return e->code;
	if (mailbox_recover(m, e) != 0)
		return e->code;
	if (box_lock(m, MORTISE_LOCK_EXCLUSIVE, lock_deadline(m), e) != 0)
		return e->code;
	if (sync_now(m, e) < 0) {
		unlock(m);
		return e->code;
	}
	if (m->counts.recent > 0 && (m->flags & MAILBOX_KEEP_RECENT) == 0)
		sync_seen_recent(m);
	if (records_load(m, e) != 0)
		unlock(m);
	return e->code;
}

void change_end(struct mailbox *m)
{
	unlock(m);
}
