#include "base/path.h"
#include "log/log.h"
#include "store/driver.h"
#include "store/quota_int.h"
#include "store/rights_int.h"
#include "base/banned.h"

int mailbox_make(struct store *s, struct target *t, struct instance *driver, struct err *e)
{
	if (driver_create(s, driver, &t->place, e) != 0)
		return e->code;
	return target_sync_parent(s, t, e);
}

static int occupied(const struct target *t, const struct instance *driver, bool directory, struct err *e)
{
	if (t->object == OBJECT_MISSING)
		return 0;
	/* A level becomes a mailbox as well when the format keeps mailboxes in directories. */
	if (t->object == OBJECT_DIRECTORY && !directory && driver != NULL &&
	    driver_ops(driver)->traits->directory)
		return 0;
	return err_fail(e, MORTISE_E_EXISTS, "Mailbox already exists");
}

/* What "x/" means. */
static int make_level(struct store *s, const struct target *t, struct err *e)
{
	if (path_mkdirs(t->place.root, t->place.path, t->place.dir_mode, false) != 0)
		return err_errno(e, "mkdir %s/%s", t->directory, t->place.path);
	return target_sync_parent(s, t, e);
}

static int make(struct store *s, const struct name *n, struct target *t, struct err *e)
{
	const struct store *at = n->where != NULL ? n->where : s;
	struct instance *driver = n->driver != NULL ? n->driver : store_default_driver(at, e);
	unsigned made = 0;

	/* What would not be found again. */
	if (driver != NULL && store_driver(at, str_of(driver->pub.name)) != driver)
		return err_fail(e, MORTISE_E_INVALID, "There are no mailboxes of this format here");
	if (driver == NULL || occupied(t, driver, n->directory, e) != 0)
		return e->code;
	if (!n->inbox && target_parents(s, t, &made, e) != 0)
		return e->code;
	if ((n->directory ? make_level(s, t, e) : mailbox_make(s, t, driver, e)) != 0)
		target_parents_undo(s, t, made);
	return e->code;
}

int store_create(struct store *s, const char *name, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("create");
	struct quota_room room = {.more[QUOTA_MAILBOX] = 1};
	int quota = -1;
	struct target t;
	struct name n;

	CHECK_OBJ(s, STORE_MAGIC);
	if (name_parse(s, name, NAME_MAY_CHOOSE | NAME_NEW | NAME_DIRECTORY, a, &n, e) != 0)
		return e->code;
	if (n.inbox && n.driver == NULL)
		return err_fail(e, MORTISE_E_EXISTS, "INBOX is always there");
	if (!n.inbox && store_is_own(n.where) && store_root(n.where != NULL ? n.where : s, true, e) != 0)
		return e->code;
	if (target_find(s, &n, &t, e) != 0)
		return e->code;
	if (n.where != NULL ? target_may_name(s, &t, e) == 0
	                    : t.object == OBJECT_MAILBOX || n.directory || n.inbox ||
	                          quota_begin(s, &room, &quota, e) == 0)
		make(s, &n, &t, e);
	quota_done(&quota);
	target_close(&t);
	return e->code;
}
