#include "log/log.h"
#include "store/driver.h"
#include "store/sync.h"
#include "base/banned.h"

struct wanted {
	enum flag_mode mode;
	uint32_t flags;
	uint64_t keywords;
};

static int find_keywords(struct mailbox *m, const struct wanted *w, const struct str *names, size_t count,
    bool *lost, struct err *e)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (keyword_check(names[i], e) != 0)
			return e->code;
	for (i = 0; i < count; i++) {
		if (w->mode != FLAGS_REMOVE)
			keyword_make(m, names[i], lost, e);
		if (e->code != 0)
			return e->code;
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

/* A STORE. Staged by UID and by the keywords' names: between tries records and bits may come and go. */
struct storing {
	const struct wanted *wanted;
	const struct str *names;
	size_t name_count;
	VEC(uint32_t) uids;
};

/* The bits of keywords, as the table is now. */
static uint64_t bits_of(const struct mailbox *m, const struct storing *x)
{
	uint64_t bits = 0;
	size_t i;

	for (i = 0; i < x->name_count; i++) {
		int bit = keyword_bit(m, x->names[i]);

		if (bit >= 0)
			bits |= UINT64_C(1) << bit;
	}
	return bits;
}

static void stage_flags(struct sync *s, void *arg)
{
	const struct storing *x = arg;
	struct wanted w = *x->wanted;
	size_t i;

	w.keywords = bits_of(s->m, x);
	for (i = 0; i < x->uids.n; i++) {
		struct record *r = record_find(s->m, x->uids.v[i]);
		uint32_t flags;
		uint64_t keywords;

		if (r == NULL)
			continue;
		wish(&w, r, &flags, &keywords);
		sync_stage_flags(s, r, flags, keywords);
	}
}

/* What the format keeps: 1, 0 when that is nothing, or a code. */
static int to_driver(struct mailbox *m, const struct wanted *w, const struct storing *x, struct err *e)
{
	uint32_t permanent = m->info.permanent_flags & MORTISE_FLAGS_SYSTEM;
	VEC(struct mortise_flag_change) changes = VEC_INIT;
	size_t i;
	int r = 0;

	for (i = 0; i < x->uids.n; i++) {
		const struct record *record = record_find(m, x->uids.v[i]);
		uint64_t keywords, bits;
		uint32_t flags;

		wish(w, record, &flags, &keywords);
		bits = keywords_to_driver(m, keywords);
		if ((flags & permanent) != (record->m.flags & permanent) ||
		    bits != keywords_to_driver(m, record->m.keywords))
			*vec_push(&changes) = (struct mortise_flag_change){
			    .ref = record_ref(record), .flags = flags & permanent, .keywords = bits};
	}
	if (changes.n > 0)
		r = box_set_flags(m, changes.v, changes.n, e) == 0 ? 1 : e->code;
	vec_free(&changes);
	return r;
}

/* In a change. All records that come to differ, in one call of the driver. */
static int set(struct mailbox *m, const struct number_set *uids, struct storing *x,
    struct store_unless *unless, struct err *e)
{
	struct wanted w = *x->wanted;
	size_t i, cap = 0;
	int r = 0;

	w.keywords = bits_of(m, x);
	for (i = 0; i < uids->n; i++) {
		size_t at = record_position(m, uids->v[i].low);

		for (; at < m->records.n && m->records.v[at]->m.uid <= uids->v[i].high; at++) {
			const struct record *record = m->records.v[at];
			uint32_t flags;
			uint64_t keywords;

			if (unless != NULL && record->m.modseq > unless->since) {
				set_add(unless->arena, &unless->modified, &cap, record->m.uid);
				continue;
			}
			wish(&w, record, &flags, &keywords);
			if (flags != record->m.flags || keywords != record->m.keywords)
				*vec_push(&x->uids) = record->m.uid;
		}
	}
	if (x->uids.n > 0)
		r = to_driver(m, &w, x, e);
	if (r > 0)
		sync_after(m, stage_flags, x);
	else if (r == 0 && (x->uids.n > 0 || m->new_keywords))
		sync_with(m, stage_flags, x, e);
	vec_free(&x->uids);
	return e->code;
}

int mailbox_store_flags(struct mailbox *m, const struct number_set *uids, enum flag_mode mode, uint32_t flags,
    const struct str *keywords, size_t keyword_count, struct store_unless *unless, bool *lost, struct err *e)
{
	struct wanted w = {.mode = mode, .flags = flags & MORTISE_FLAGS_SYSTEM};
	struct storing x = {.wanted = &w, .names = keywords, .name_count = keyword_count};
	bool ignored = false;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (lost == NULL)
		lost = &ignored;
	*lost = false;
	if (change_begin(m, e) != 0)
		return e->code;
	if (find_keywords(m, &w, keywords, keyword_count, lost, e) == 0)
		set(m, uids, &x, unless, e);
	change_end(m);
	return e->code;
}
