#include "log/log.h"
#include "store/driver.h"
#include "base/banned.h"

struct frame {
	struct call c;
	struct call_env env;
};

static void enter(
    struct frame *f, const struct store *s, struct instance *i, struct arena *box, const char *op)
{
	f->env = (struct call_env){.box = box,
	    .stop = s->stop,
	    .stop_arg = s->stop_arg,
	    .journal_dir = s->journals,
	    .unconfined = !s->o->confine};
	call_begin(&f->c, i, &f->env, op);
}

static void enter_box(struct frame *f, struct mailbox *m, const char *op)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	m->calls++;
	enter(f, m->store, m->driver, m->arena, op);
}

/* Callbacks here know 0 and failures only. */
static int leave(struct frame *f, int r, struct err *e)
{
	const char *name = f->c.pub.instance->name, *op = f->c.op;

	r = call_end(&f->c, r, e);
	if (r > 0)
		return err_fault(e, MORTISE_E_INTERNAL, "driver \"%s\": %s returned %d", name, op, r);
	return r;
}

int driver_recognise(struct store *s, struct instance *i, const struct mortise_probe *p, struct err *e)
{
	struct err said = ERR_INIT;
	struct frame f;
	int r;

	enter(&f, s, i, NULL, "recognise");
	r = call_end(&f.c, driver_ops(i)->recognise(&f.c.pub, p), &said);
	if (r == MORTISE_DAMAGED) {
		if (said.code == 0)
			err_fault(&said, MORTISE_E_CORRUPT, "driver \"%s\": %s is damaged", i->pub.name,
			    p->place->path);
		said.code = MORTISE_E_CORRUPT;
		return err_take(e, &said);
	}
	if (r < 0)
		return err_take(e, &said);
	if (r > 0 && r != MORTISE_MINE)
		return err_fault(
		    e, MORTISE_E_INTERNAL, "driver \"%s\": recognise returned %d", i->pub.name, r);
	return r;
}

int driver_create(struct store *s, struct instance *i, const struct mortise_place *p, struct err *e)
{
	struct frame f;

	enter(&f, s, i, NULL, "create");
	return leave(&f, driver_ops(i)->create(&f.c.pub, p), e);
}

int driver_remove(struct store *s, struct instance *i, const struct mortise_place *p, struct err *e)
{
	struct frame f;

	enter(&f, s, i, NULL, "remove");
	return leave(&f, driver_ops(i)->remove(&f.c.pub, p), e);
}

int driver_rename(struct store *s, struct instance *i, const struct mortise_place *from,
    const struct mortise_place *to, struct err *e)
{
	struct frame f;

	enter(&f, s, i, NULL, "rename");
	return leave(&f, driver_ops(i)->rename(&f.c.pub, from, to), e);
}

int box_open(struct mailbox *m, bool read_only, struct err *e)
{
	struct frame f;
	int r;

	enter_box(&f, m, "open");
	m->info = (struct mortise_box_info){.size = sizeof(m->info)};
	r = leave(&f,
	    driver_ops(m->driver)->open(
	        &f.c.pub, &m->target.place, read_only ? MORTISE_OPEN_READ_ONLY : 0, &m->info, &m->box),
	    e);
	if (r != 0)
		m->box = NULL;
	else if (m->box == NULL)
		r = err_fault(e, MORTISE_E_INTERNAL, "driver \"%s\": open gave no box", m->driver->pub.name);
	return r;
}

void box_close(struct mailbox *m)
{
	struct err e = ERR_INIT;
	struct frame f;

	if (m->box == NULL)
		return;
	enter_box(&f, m, "close");
	driver_ops(m->driver)->close(&f.c.pub, m->box);
	call_end(&f.c, 0, &e);
	m->box = NULL;
}

int box_sync(struct mailbox *m, struct mortise_cursor *c, const struct mortise_sink *sink, struct err *e)
{
	struct frame f;

	enter_box(&f, m, "sync");
	return leave(&f, driver_ops(m->driver)->sync(&f.c.pub, m->box, c, sink), e);
}

int box_lock(struct mailbox *m, int mode, uint64_t deadline, struct err *e)
{
	struct frame f;

	enter_box(&f, m, "lock");
	return leave(&f, driver_ops(m->driver)->lock(&f.c.pub, m->box, mode, deadline), e);
}

int box_read(struct mailbox *m, const struct mortise_ref *r, struct mortise_source *out, struct err *e)
{
	struct frame f;

	enter_box(&f, m, "read");
	*out = (struct mortise_source){.size = sizeof(*out), .fd = -1};
	return leave(&f, driver_ops(m->driver)->read(&f.c.pub, m->box, r, out), e);
}

int box_set_flags(struct mailbox *m, const struct mortise_flag_change *c, size_t n, struct err *e)
{
	struct frame f;

	enter_box(&f, m, "set_flags");
	return leave(&f, driver_ops(m->driver)->set_flags(&f.c.pub, m->box, c, n), e);
}

int box_expunge(struct mailbox *m, const struct mortise_ref *refs, size_t n, struct err *e)
{
	struct frame f;

	enter_box(&f, m, "expunge");
	return leave(&f, driver_ops(m->driver)->expunge(&f.c.pub, m->box, refs, n), e);
}

int box_add_keyword(struct mailbox *m, const char *name, unsigned *bit, struct err *e)
{
	struct frame f;
	int r;

	if (driver_ops(m->driver)->add_keyword == NULL)
		return err_fail(e, MORTISE_E_UNSUPPORTED, "This mailbox cannot keep new keywords");
	enter_box(&f, m, "add_keyword");
	r = leave(&f, driver_ops(m->driver)->add_keyword(&f.c.pub, m->box, name, bit), e);
	if (r == 0 && *bit >= KEYWORDS_MAX)
		return err_fault(
		    e, MORTISE_E_INTERNAL, "driver \"%s\": keyword bit %u", m->driver->pub.name, *bit);
	return r;
}

int box_seen_recent(struct mailbox *m, const struct mortise_ref *refs, size_t n, struct err *e)
{
	struct frame f;

	if (driver_ops(m->driver)->seen_recent == NULL)
		return 0;
	enter_box(&f, m, "seen_recent");
	return leave(&f, driver_ops(m->driver)->seen_recent(&f.c.pub, m->box, refs, n), e);
}

int box_watch(struct mailbox *m, struct mortise_watch *w, struct err *e)
{
	struct frame f;

	*w = (struct mortise_watch){.count = 0};
	if (m->box == NULL || driver_ops(m->driver)->watch == NULL)
		return 0;
	enter_box(&f, m, "watch");
	return leave(&f, driver_ops(m->driver)->watch(&f.c.pub, m->box, w), e);
}

int box_append_begin(struct mailbox *m, void **tx, struct err *e)
{
	struct frame f;

	enter_box(&f, m, "append_begin");
	return leave(&f, driver_ops(m->driver)->append_begin(&f.c.pub, m->box, tx), e);
}

int box_append_message(struct mailbox *m, void *tx, const struct mortise_append_info *i, struct err *e)
{
	struct frame f;

	enter_box(&f, m, "append_message");
	return leave(&f, driver_ops(m->driver)->append_message(&f.c.pub, tx, i), e);
}

int box_append_write(struct mailbox *m, void *tx, const void *p, size_t n, struct err *e)
{
	struct frame f;

	enter_box(&f, m, "append_write");
	return leave(&f, driver_ops(m->driver)->append_write(&f.c.pub, tx, p, n), e);
}

static int commit_uids(
    struct frame *f, struct mailbox *m, void *tx, uint32_t *uidvalidity, struct mortise_ref *refs, size_t n)
{
	uint32_t *uids = mem_array(n, sizeof(*uids));
	int r = driver_ops(m->driver)->append_commit(&f->c.pub, tx, uidvalidity, uids, n);
	size_t i;

	for (i = 0; i < n; i++)
		refs[i].uid = uids[i];
	mem_free(uids);
	return r;
}

int box_append_commit(
    struct mailbox *m, void *tx, uint32_t *uidvalidity, struct mortise_ref *refs, size_t n, struct err *e)
{
	struct frame f;

	enter_box(&f, m, "append_commit");
	if (driver_ops(m->driver)->append_commit_refs == NULL)
		return leave(&f, commit_uids(&f, m, tx, uidvalidity, refs, n), e);
	return leave(&f, driver_ops(m->driver)->append_commit_refs(&f.c.pub, tx, uidvalidity, refs, n), e);
}

int box_append_copy(struct mailbox *m, void *tx, struct mailbox *from, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t n, struct err *e)
{
	struct frame f;

	if (m->driver != from->driver || from->box == NULL || driver_ops(m->driver)->append_copy == NULL)
		return err_fail(e, MORTISE_E_UNSUPPORTED, "These messages are copied one by one");
	from->calls++;
	enter_box(&f, m, "append_copy");
	return leave(&f, driver_ops(m->driver)->append_copy(&f.c.pub, tx, from->box, refs, infos, n), e);
}

int box_adopt(struct mailbox *m, uint32_t uidvalidity, uint32_t uidnext, struct err *e)
{
	struct frame f;

	if (driver_ops(m->driver)->adopt == NULL)
		return err_fail(e, MORTISE_E_UNSUPPORTED, "This format cannot take UIDs over");
	enter_box(&f, m, "adopt");
	return leave(&f, driver_ops(m->driver)->adopt(&f.c.pub, m->box, uidvalidity, uidnext), e);
}

bool box_checkpoint(struct mailbox *m)
{
	struct err e = ERR_INIT;
	struct frame f;

	if (m->box == NULL || driver_ops(m->driver)->checkpoint == NULL || mailbox_read_only(m))
		return false;
	enter_box(&f, m, "checkpoint");
	if (leave(&f, driver_ops(m->driver)->checkpoint(&f.c.pub, m->box), &e) != 0)
		log_debug("store", "%s: checkpoint: %s", m->target.place.name, e.admin);
	return true;
}

void box_append_abort(struct mailbox *m, void *tx)
{
	struct err e = ERR_INIT;
	struct frame f;

	enter_box(&f, m, "append_abort");
	driver_ops(m->driver)->append_abort(&f.c.pub, tx);
	call_end(&f.c, 0, &e);
}
