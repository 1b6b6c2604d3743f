#include "log/log.h"
#include "store/driver.h"
#include "base/banned.h"

struct wanted {
	enum flag_mode mode;
	uint32_t flags;
	uint64_t keywords;
};

static int find_keywords(
    struct mailbox *m, struct wanted *w, const struct str *names, size_t count, bool *lost, struct err *e)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (keyword_check(names[i], e) != 0)
			return e->code;
	for (i = 0; i < count; i++) {
		int bit =
		    w->mode == FLAGS_REMOVE ? keyword_bit(m, names[i]) : keyword_make(m, names[i], lost, e);

		if (e->code != 0)
			return e->code;
		if (bit >= 0)
			w->keywords |= UINT64_C(1) << bit;
	}
	return 0;
}

static void wish(const struct wanted *w, const struct record *r, uint32_t *flags, uint64_t *keywords)
{
	switch (w->mode) {
	case FLAGS_REPLACE:
		*flags = w->flags;
		*keywords = w->keywords;
		break;
	case FLAGS_ADD:
		*flags = r->m.flags | w->flags;
		*keywords = r->m.keywords | w->keywords;
		break;
	default:
		*flags = r->m.flags & ~w->flags;
		*keywords = r->m.keywords & ~w->keywords;
		break;
	}
}

/* In a change. All records that come to differ, in one call of the driver. */
static int set(struct mailbox *m, const struct number_set *uids, const struct wanted *w, struct err *e)
{
	uint32_t permanent = m->info.permanent_flags & MORTISE_FLAGS_SYSTEM;
	VEC(struct mortise_flag_change) changes = VEC_INIT;
	VEC(struct record *) touched = VEC_INIT;
	size_t i;
	int r = 0;

	for (i = 0; i < m->records.n; i++) {
		struct record *record = m->records.v[i];
		uint32_t flags;
		uint64_t keywords, bits;

		if (!set_has(uids, record->m.uid))
			continue;
		wish(w, record, &flags, &keywords);
		if (flags == record->m.flags && keywords == record->m.keywords)
			continue;
		*vec_push(&touched) = record;
		bits = keywords_to_driver(m, keywords);
		if ((flags & permanent) != (record->m.flags & permanent) ||
		    bits != keywords_to_driver(m, record->m.keywords))
			*vec_push(&changes) = (struct mortise_flag_change){
			    .ref = record_ref(record), .flags = flags & permanent, .keywords = bits};
	}
	if (changes.n > 0)
		r = box_set_flags(m, changes.v, changes.n, e);
	for (i = 0; r == 0 && i < touched.n; i++)
		wish(w, touched.v[i], &touched.v[i]->m.flags, &touched.v[i]->m.keywords);
	if (r == 0 && touched.n > 0)
		m->changes++;
	vec_free(&changes);
	vec_free(&touched);
	return r;
}

int mailbox_store_flags(struct mailbox *m, const struct number_set *uids, enum flag_mode mode, uint32_t flags,
    const struct str *keywords, size_t keyword_count, bool *lost, struct err *e)
{
	struct wanted w = {.mode = mode, .flags = flags & MORTISE_FLAGS_SYSTEM};
	bool ignored = false;
	int r;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (lost == NULL)
		lost = &ignored;
	*lost = false;
	if (change_begin(m, e) != 0)
		return e->code;
	r = find_keywords(m, &w, keywords, keyword_count, lost, e);
	if (r == 0)
		r = set(m, uids, &w, e);
	change_end(m);
	return r;
}
