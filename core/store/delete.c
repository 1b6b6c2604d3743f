/*
 * delete.c: DELETE.
 *
 * A driver that has `remove` does it all, its locks included. Else the mailbox is a file: it is unlinked
 * while the driver's exclusive lock is held, so that nobody is writing to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "log/log.h"
#include "store/driver.h"
#include "store/rights_int.h"
#include "store/special_use.h"
#include "base/banned.h"

static int remove_name(struct store *s, const struct target *t, int flags, struct err *e)
{
	AUTO_CLOSE int dir = -1;
	const char *last;

	dir = path_parent(t->place.root, t->place.path, &last, store_how(s));
	if (dir < 0 || unlinkat(dir, last, flags) != 0) {
		if (errno == ENOTEMPTY || (errno == EEXIST && flags != 0))
			return err_fail(e, MORTISE_E_NOTEMPTY, "Mailbox has others below it");
		return err_errno(e, "remove %s/%s", t->directory, t->place.path);
	}
	return target_sync_parent(s, t, e);
}

/* Under the lock: the name still means the file that was recognised (or a link). */
static bool still_the_same(const struct store *s, const struct target *t)
{
	AUTO_CLOSE int dir = -1;
	const char *last;
	struct stat st;

	dir = path_parent(t->place.root, t->place.path, &last, store_how(s));
	if (dir < 0 || fstatat(dir, last, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return false;
	return S_ISLNK(st.st_mode) || (st.st_dev == t->st.st_dev && st.st_ino == t->st.st_ino);
}

static int remove_file(struct store *s, const struct target *t, struct mailbox *m, struct err *e)
{
	int r;

	if (mailbox_recover(m, e) != 0 || box_lock(m, MORTISE_LOCK_EXCLUSIVE, lock_deadline(m), e) != 0)
		return e->code;
	if (still_the_same(s, t))
		r = remove_name(s, t, 0, e);
	else
		r = err_fail(e, MORTISE_E_TEMP, "The mailbox changed meanwhile");
	change_end(m);
	return r;
}

/* With the lock of a box: of the one that is open, or one opened for this. */
static int remove_locked(struct store *s, struct target *t, struct err *e)
{
	struct mailbox *m = mailbox_already(s, t);
	struct target copy = *t;

	if (m != NULL)
		return remove_file(s, t, m, e);
	copy.own_root = -1; /* they stay ours */
	if (mailbox_attach(s, &copy, arena_new("delete"), 0, &m, e) != 0)
		return e->code;
	remove_file(s, t, m, e);
	mailbox_close(&m);
	return e->code;
}

static void forget_rows(struct store *s, const struct target *t)
{
	AUTO_BUF struct buf identity = BUF_INIT;
	struct err e = ERR_INIT;
	struct index *x = store_index(s, &e);

	target_identity(t, &identity);
	if (x == NULL || index_forget(x, buf_str(&identity), &e) != 0)
		log_err(MSG_STORE_INDEX, &e, t->place.name);
}

int store_delete(struct store *s, const char *name, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("delete");
	struct target t;
	struct name n;

	CHECK_OBJ(s, STORE_MAGIC);
	if (name_parse(s, name, NAME_DIRECTORY, a, &n, e) != 0)
		return e->code;
	if (n.inbox)
		return err_fail(e, MORTISE_E_INVALID, "INBOX cannot be deleted");
	if (target_find(s, &n, &t, e) != 0)
		return e->code;
	if (target_may_name(s, &t, e) != 0)
		;
	else if (t.object == OBJECT_DIRECTORY)
		remove_name(s, &t, AT_REMOVEDIR, e);
	else if (t.object != OBJECT_MAILBOX)
		not_a_mailbox(&t, e);
	else if (driver_ops(t.driver)->remove != NULL)
		driver_remove(s, t.driver, &t.place, e);
	else if (S_ISDIR(t.st.st_mode))
		err_fail(e, MORTISE_E_UNSUPPORTED, "This format does not delete mailboxes");
	else
		remove_locked(s, &t, e);
	if (e->code == 0 && t.object == OBJECT_MAILBOX) {
		forget_rows(s, &t);
		special_use_deleted(s, n.text);
	}
	target_close(&t);
	return e->code;
}
