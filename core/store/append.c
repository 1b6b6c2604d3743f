/*
 * append.c: adding messages.
 *
 * A batch goes to the driver as it comes. When the mailbox is open in this store already, its box is used, so
 * that no second descriptor of the same file comes and goes under its locks.
 */
#include "log/log.h"
#include "store/driver.h"
#include "base/banned.h"

struct append {
	uint32_t magic;
	struct mailbox *m;
	bool own; /* m was opened for this */
	void *tx;
	bool within;        /* a message was begun */
	uint64_t announced; /* its size, or MORTISE_SIZE_UNKNOWN */
	uint64_t written;
	size_t count;
};

static void release(struct append *a)
{
	if (a->own)
		mailbox_close(&a->m);
	a->magic = 0;
	mem_free(a);
}

/* The mailbox at the target: the open one, or one opened for this batch. */
static int find_mailbox(struct append *a, struct store *s, const char *name, struct err *e)
{
	struct arena *arena = arena_new("append");
	struct target t;

	if (target_mailbox(s, name, NAME_MAY_CHOOSE, arena, &t, e) != 0) {
		arena_free(&arena);
		return e->code;
	}
	a->m = mailbox_already(s, &t);
	if (a->m != NULL) {
		target_close(&t);
		arena_free(&arena);
		return 0;
	}
	a->own = true;
	return mailbox_attach(s, &t, arena, 0, &a->m, e);
}

static int ready(struct mailbox *m, struct err *e)
{
	if (mailbox_must_live(m, e) != 0)
		return e->code;
	if (mailbox_read_only(m))
		return err_fail(e, MORTISE_E_PERM, "Mailbox is read-only");
	if (m->box == NULL && mailbox_bring_about(m, e) != 0)
		return e->code;
	return mailbox_recover(m, e);
}

int append_begin(struct store *s, const char *name, struct append **out, struct err *e)
{
	struct append *a;

	CHECK_OBJ(s, STORE_MAGIC);
	*out = NULL;
	a = mem_new(struct append);
	a->magic = APPEND_MAGIC;
	if (find_mailbox(a, s, name, e) != 0 || ready(a->m, e) != 0 ||
	    box_append_begin(a->m, &a->tx, e) != 0) {
		release(a);
		return e->code;
	}
	*out = a;
	return 0;
}

bool append_is_to(const struct append *a, const struct mailbox *m)
{
	CHECK_OBJ(a, APPEND_MAGIC);
	return a->m == m;
}

static int end_message(struct append *a, struct err *e)
{
	if (a->within && a->announced != MORTISE_SIZE_UNKNOWN && a->written != a->announced)
		return err_fail(e, MORTISE_E_INVALID, "Message is shorter than announced");
	a->within = false;
	return 0;
}

static int too_big(const struct append *a, struct err *e)
{
	log_msg(MSG_STORE_TOO_BIG, "%s: message_size is %llu octets", a->m->target.place.name,
	    (unsigned long long)a->m->store->o->message_size);
	return err_fail(e, MORTISE_E_TOOBIG, "Message is too large");
}

int append_message(struct append *a, uint32_t flags, const struct str *keywords, size_t keyword_count,
    int64_t internal_date, int zone, uint64_t octets, struct err *e)
{
	AUTO_ARENA struct arena *arena = arena_new("append keywords");
	struct mortise_append_info info = {.size = sizeof(info),
	    .flags = flags & MORTISE_FLAGS_SYSTEM,
	    .internal_date = internal_date,
	    .zone = zone,
	    .octets = octets};
	const char **names;
	size_t i;

	CHECK_OBJ(a, APPEND_MAGIC);
	if (end_message(a, e) != 0)
		return e->code;
	if (octets != MORTISE_SIZE_UNKNOWN && octets > a->m->store->o->message_size)
		return too_big(a, e);
	names = arena_array(arena, keyword_count + 1, sizeof(*names));
	for (i = 0; i < keyword_count; i++) {
		if (keyword_check(keywords[i], e) != 0)
			return e->code;
		names[i] = arena_str(arena, keywords[i]).p;
	}
	info.keywords = names;
	info.keyword_count = keyword_count;
	if (box_append_message(a->m, a->tx, &info, e) != 0)
		return e->code;
	a->within = true;
	a->announced = octets;
	a->written = 0;
	a->count++;
	return 0;
}

int append_write(struct append *a, struct str octets, struct err *e)
{
	CHECK_OBJ(a, APPEND_MAGIC);
	ASSERT(a->within);
	if (octets.n > a->announced - a->written)
		return err_fail(e, MORTISE_E_INVALID, "Message is longer than announced");
	if (octets.n > a->m->store->o->message_size - a->written)
		return too_big(a, e);
	if (store_stopped(a->m->store, e) != 0)
		return e->code;
	if (octets.n > 0 && box_append_write(a->m, a->tx, octets.p, octets.n, e) != 0)
		return e->code;
	a->written += octets.n;
	return 0;
}

int append_commit(struct append **ap, uint32_t *uidvalidity, struct arena *arena, uint32_t **uids,
    size_t *count, struct err *e)
{
	struct append *a = *ap;
	int r;

	CHECK_OBJ(a, APPEND_MAGIC);
	*count = 0;
	*uidvalidity = 0;
	*uids = NULL;
	if (end_message(a, e) != 0 || a->count == 0) {
		append_abort(ap);
		return e->code;
	}
	*ap = NULL;
	*uids = arena_array(arena, a->count, sizeof(**uids));
	r = box_append_commit(a->m, a->tx, uidvalidity, *uids, a->count, e);
	if (r == 0)
		*count = a->count;
	release(a);
	return r;
}

void append_abort(struct append **ap)
{
	struct append *a;

	if (*ap == NULL)
		return;
	TAKE_OBJ(a, ap, APPEND_MAGIC);
	box_append_abort(a->m, a->tx);
	release(a);
}
