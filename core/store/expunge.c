#include "store/driver.h"
#include "base/banned.h"

int expunge_records(struct mailbox *m, struct record *const *r, size_t n, struct err *e)
{
	struct mortise_ref *refs;
	size_t i;

	if (n == 0)
		return 0;
	refs = mem_array(n, sizeof(*refs));
	for (i = 0; i < n; i++)
		refs[i] = record_ref(r[i]);
	if (box_expunge(m, refs, n, e) == 0) {
		for (i = 0; i < n; i++)
			r[i]->m.expunged = true;
		records_drop_expunged(m);
		m->changes++;
	}
	mem_free(refs);
	return e->code;
}

int mailbox_expunge(struct mailbox *m, const struct number_set *uids, uint32_t *count, struct err *e)
{
	VEC(struct record *) doomed = VEC_INIT;
	size_t i;
	int r;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	*count = 0;
	if (m->box == NULL && !mailbox_read_only(m))
		return mailbox_must_live(m, e);
	if (change_begin(m, e) != 0)
		return e->code;
	for (i = 0; i < m->records.n; i++) {
		struct record *record = m->records.v[i];

		if ((record->m.flags & MORTISE_FLAG_DELETED) != 0 &&
		    (uids == NULL || set_has(uids, record->m.uid)))
			*vec_push(&doomed) = record;
	}
	r = expunge_records(m, doomed.v, doomed.n, e);
	if (r == 0)
		*count = (uint32_t)doomed.n;
	vec_free(&doomed);
	change_end(m);
	return r;
}
