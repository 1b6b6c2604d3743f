/*
 * convert.c: a mailbox in another format that is the same mailbox to its clients.
 *
 * The new mailbox is made, empty, and adopts the numbers of the old one; then all messages go into it as one
 * batch, each with its UID; then the index gets what no format holds. Nobody knows the new mailbox by name
 * yet, and the old one is locked, so both stand still.
 */
#include "log/log.h"
#include "store/driver.h"
#include "store/sync.h"
#include "base/banned.h"

struct conversion {
	struct mailbox *from, *to;
	uint32_t *uids;
	const struct message **messages;
	size_t count;
};

static void stage_remembered(struct sync *s, void *arg)
{
	const struct conversion *c = arg;
	size_t i;

	for (i = 0; i < c->count; i++) {
		struct record *r = record_find(s->m, c->uids[i]);
		struct message next;

		if (r == NULL)
			continue;
		next = r->m;
		next.modseq = c->messages[i]->modseq;
		next.save_date = c->messages[i]->save_date;
		sync_stage(s, r, &next, r->unseen_here);
	}
}

/* Mod-sequences go on from where the old mailbox is: what it told keeps its meaning. */
static int remember(struct conversion *c, struct err *e)
{
	struct mailbox *to = c->to;

	if (sync_now(to, e) < 0)
		return e->code;
	if (to->modseq < c->from->modseq)
		to->modseq = c->from->modseq;
	to->vanished_since = c->from->modseq;
	if (sync_with(to, stage_remembered, c, e) < 0)
		return e->code;
	index_checkpoint(to->index, to->number, true);
	return 0;
}

static int take_numbers(struct conversion *c, uint32_t uidnext, struct err *e)
{
	struct mailbox *to = c->to;

	if (driver_ops(to->driver)->traits->uid != MORTISE_TRAIT_NATIVE ||
	    box_lock(to, MORTISE_LOCK_EXCLUSIVE, lock_deadline(to), e) != 0)
		return e->code;
	box_adopt(to, c->from->uidvalidity, uidnext, e);
	change_end(to);
	if (e->code == 0)
		sync_now(to, e);
	return e->code;
}

/* Formats without numbers of their own get them from the index. */
static int adopt(struct conversion *c, struct err *e)
{
	struct mailbox *to = c->to;

	if (driver_ops(to->driver)->traits->uid != MORTISE_TRAIT_NATIVE) {
		to->uidvalidity = c->from->uidvalidity;
		to->uidnext = c->from->uidnext;
		to->given = c->uids;
		return 0;
	}
	return take_numbers(c, c->count > 0 ? c->uids[0] : c->from->uidnext, e);
}

static bool same_numbers(const struct conversion *c, uint32_t uidvalidity, const uint32_t *uids, size_t n)
{
	return uidvalidity == c->from->uidvalidity && n == c->count &&
	       (n == 0 || memcmp(uids, c->uids, n * sizeof(*uids)) == 0);
}

static int fill(struct conversion *c, const char *name, struct arena *a, struct err *e)
{
	struct append *batch;
	uint32_t uidvalidity = 0, *uids;
	size_t n;

	if (c->count == 0)
		return 0;
	if (append_begin(c->to->store, name, &batch, e) != 0)
		return e->code;
	ASSERT(append_is_to(batch, c->to));
	append_give_uids(batch, c->uids);
	if (copy_messages(c->from, c->messages, c->count, batch, e) != 0) {
		append_abort(&batch);
		return e->code;
	}
	if (append_commit(&batch, &uidvalidity, a, &uids, &n, e) != 0)
		return e->code;
	if (!same_numbers(c, uidvalidity, uids, n))
		return err_fault(e, MORTISE_E_INTERNAL, "driver \"%s\" did not take the UIDs over",
		    c->to->driver->pub.name);
	return 0;
}

static int convert(struct conversion *c, const char *name, struct arena *a, struct err *e)
{
	size_t i;

	if (records_load(c->from, e) != 0)
		return e->code;
	c->count = c->from->records.n;
	c->uids = arena_array(a, c->count + 1, sizeof(*c->uids));
	c->messages = arena_array(a, c->count + 1, sizeof(*c->messages));
	for (i = 0; i < c->count; i++) {
		c->messages[i] = &c->from->records.v[i]->m;
		c->uids[i] = c->messages[i]->uid;
	}
	/* UIDs that were given and are gone are not given again. */
	if (adopt(c, e) == 0 && fill(c, name, a, e) == 0 && take_numbers(c, c->from->uidnext, e) == 0)
		remember(c, e);
	c->to->given = NULL;
	return e->code;
}

static int into_new(struct conversion *c, struct store *s, const char *to, struct arena *a, struct err *e)
{
	struct err undo = ERR_INIT;
	struct name n;

	if (name_parse(s, to, NAME_MAY_CHOOSE | NAME_NEW, a, &n, e) != 0 || store_create(s, to, e) != 0)
		return e->code;
	if (mailbox_open(s, n.text, 0, &c->to, e) == 0)
		convert(c, n.text, a, e);
	mailbox_close(&c->to);
	if (e->code != 0 && store_delete(s, n.text, &undo) != 0)
		log_err(MSG_STORE_INDEX, &undo, n.text);
	return e->code;
}

int store_convert(struct store *s, const char *from, const char *to, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("convert");
	struct conversion c = {0};

	CHECK_OBJ(s, STORE_MAGIC);
	if (mailbox_open(s, from, MAILBOX_READ_ONLY | MAILBOX_KEEP_RECENT, &c.from, e) != 0)
		return e->code;
	if (c.from->box == NULL) {
		err_fail(e, MORTISE_E_NOTFOUND, "No such mailbox");
	} else if (box_lock(c.from, MORTISE_LOCK_SHARED, lock_deadline(c.from), e) == 0) {
		if (sync_now(c.from, e) >= 0)
			into_new(&c, s, to, a, e);
		change_end(c.from);
	}
	mailbox_close(&c.from);
	return e->code;
}
