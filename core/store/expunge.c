#include "store/driver.h"
#include "store/sync.h"
#include "base/banned.h"

struct doomed {
	const uint32_t *uids;
	size_t n;
};

static void stage(struct sync *s, void *arg)
{
	const struct doomed *d = arg;
	size_t i;

	for (i = 0; i < d->n; i++) {
		struct record *r = record_find(s->m, d->uids[i]);

		if (r != NULL)
			sync_stage_vanished(s, r);
	}
}

int expunge_uids(struct mailbox *m, const uint32_t *uids, size_t n, struct err *e)
{
	struct doomed d = {.uids = uids, .n = n};
	struct mortise_ref *refs;
	size_t i;

	if (n == 0)
		return 0;
	refs = mem_array(n, sizeof(*refs));
	for (i = 0; i < n; i++)
		refs[i] = record_ref(record_find(m, uids[i]));
	if (box_expunge(m, refs, n, e) == 0)
		sync_after(m, stage, &d);
	mem_free(refs);
	return e->code;
}

int mailbox_expunge(struct mailbox *m, const struct number_set *uids, uint32_t *count, struct err *e)
{
	VEC(uint32_t) doomed = VEC_INIT;
	size_t i;
	int r;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	*count = 0;
	if (m->box == NULL && !mailbox_read_only(m))
		return mailbox_must_live(m, e);
	/* CLOSE comes here every time, mostly for nothing: that takes no lock. */
	if (!mailbox_read_only(m) && mailbox_sync(m, e) >= 0 && m->counts.deleted == 0)
		return 0;
	if (e->code != 0 || change_begin(m, e) != 0)
		return e->code;
	for (i = 0; i < m->records.n; i++) {
		const struct record *record = m->records.v[i];

		if ((record->m.flags & MORTISE_FLAG_DELETED) != 0 &&
		    (uids == NULL || set_has(uids, record->m.uid)))
			*vec_push(&doomed) = record->m.uid;
	}
	r = expunge_uids(m, doomed.v, doomed.n, e);
	if (r == 0)
		*count = (uint32_t)doomed.n;
	vec_free(&doomed);
	change_end(m);
	return r;
}
