/*
 * copy.c: COPY and MOVE, to any mailbox of the same store whatever its format.
 *
 * All messages go in one batch of the target: all of them arrive or none. They are the ones that are there
 * when the copy begins; one that goes away meanwhile ends it with EXPUNGED.
 */
#include "store/driver.h"
#include "base/banned.h"

static int copy_text(struct append *to, struct source *from, bool same_box, struct err *e)
{
	AUTO_BUF struct buf own = BUF_INIT;
	uint64_t at = 0;
	struct str part;

	for (;;) {
		if (source_chunk(from, at, &part, e) != 0)
			return e->code;
		if (part.n == 0)
			return 0;
		at += part.n;
		if (same_box) {
			buf_reset(&own);
			buf_addstr(&own, part);
			part = buf_str(&own);
		}
		if (append_write(to, part, e) != 0)
			return e->code;
	}
}

static int copy_one(struct mailbox *m, const struct message *msg, struct append *to, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("copy");
	struct str names[KEYWORDS_MAX];
	struct source *text;
	const char **keywords;
	uint64_t octets;
	size_t n, i;

	if (mailbox_read(m, msg, &text, e) != 0)
		return e->code;
	keywords = keyword_names(m, msg->keywords, a, &n);
	for (i = 0; i < n; i++)
		names[i] = str_of(keywords[i]);
	if (source_size(text, &octets, e) == 0 &&
	    append_message(to, msg->flags, names, n, msg->internal_date, msg->zone, octets, e) == 0)
		copy_text(to, text, append_is_to(to, m), e);
	source_close(&text);
	return e->code;
}

int copy_messages(
    struct mailbox *m, const struct message *const *chosen, size_t n, struct append *to, struct err *e)
{
	struct err failed = ERR_INIT;
	size_t i;

	if (n == 0 || append_copies(to, m, chosen, n, &failed) == 0)
		return 0;
	if (failed.code != MORTISE_E_UNSUPPORTED)
		return err_take(e, &failed);
	for (i = 0; i < n && e->code == 0; i++)
		copy_one(m, chosen[i], to, e);
	return e->code;
}

/* `moved`: they will go here, so the user has no more than before. */
static int copy_chosen(struct mailbox *m, const struct number_set *uids, const char *to, bool moved,
    struct arena *a, struct copy_result *out, struct err *e)
{
	VEC(const struct message *) chosen = VEC_INIT;
	struct append *batch = NULL;
	size_t i, count = 0;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	*out = (struct copy_result){0};
	if (mailbox_must_live(m, e) != 0 || records_load(m, e) != 0)
		return e->code;
	for (i = 0; i < m->records.n; i++)
		if (set_has(uids, m->records.v[i]->m.uid))
			*vec_push(&chosen) = &m->records.v[i]->m;
	if (append_begin(m->store, to, &batch, e) == 0) {
		if (moved && m->target.where == NULL)
			append_exempt(batch);
		out->from = arena_array(a, chosen.n + 1, sizeof(*out->from));
		for (i = 0; i < chosen.n; i++)
			out->from[i] = chosen.v[i]->uid;
		if (copy_messages(m, chosen.v, chosen.n, batch, e) != 0)
			append_abort(&batch);
		else if (append_commit(&batch, &out->uidvalidity, a, &out->to, &count, e) == 0)
			out->count = count;
	}
	vec_free(&chosen);
	return e->code;
}

int mailbox_copy(struct mailbox *m, const struct number_set *uids, const char *to, struct arena *a,
    struct copy_result *out, struct err *e)
{
	return copy_chosen(m, uids, to, false, a, out, e);
}

int mailbox_copy_moved(struct mailbox *m, const struct number_set *uids, const char *to, struct arena *a,
    struct copy_result *out, struct err *e)
{
	return copy_chosen(m, uids, to, true, a, out, e);
}

/* In a change: what of these UIDs is still there. */
static int expunge_copied(struct mailbox *m, const struct copy_result *copied, struct err *e)
{
	VEC(uint32_t) doomed = VEC_INIT;
	size_t i;
	int r;

	for (i = 0; i < copied->count; i++)
		if (record_find(m, copied->from[i]) != NULL)
			*vec_push(&doomed) = copied->from[i];
	r = expunge_uids(m, doomed.v, doomed.n, e);
	vec_free(&doomed);
	return r;
}

int mailbox_move(struct mailbox *m, const struct number_set *uids, const char *to, struct arena *a,
    struct copy_result *out, struct err *e)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	*out = (struct copy_result){0};
	if (mailbox_read_only(m))
		return err_fail(e, MORTISE_E_PERM, "Mailbox is read-only");
	if (copy_chosen(m, uids, to, true, a, out, e) != 0 || out->count == 0 || change_begin(m, e) != 0)
		return e->code;
	expunge_copied(m, out, e);
	change_end(m);
	return e->code;
}
