/*
 * copy.c: COPY, to any mailbox of the same store whatever its format.
 *
 * All messages go in one batch of the target: all of them arrive or none. They are the ones that are there
 * when the copy begins; one that goes away meanwhile ends it with EXPUNGED.
 */
#include "store/driver.h"
#include "base/banned.h"

/* Keyword names of a record, in the arena. */
static size_t keyword_names(const struct mailbox *m, uint64_t bits, struct str **out, struct arena *a)
{
	size_t n = 0;

	*out = arena_array(a, KEYWORDS_MAX, sizeof(**out));
	for (; bits != 0; bits &= bits - 1)
		(*out)[n++] = str_of(m->keywords[__builtin_ctzll(bits)].name);
	return n;
}

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
	struct source *text;
	struct str *names;
	uint64_t octets;
	size_t n;

	if (mailbox_read(m, msg, &text, e) != 0)
		return e->code;
	n = keyword_names(m, msg->keywords, &names, a);
	if (source_size(text, &octets, e) == 0 &&
	    append_message(to, msg->flags, names, n, msg->internal_date, msg->zone, octets, e) == 0)
		copy_text(to, text, append_is_to(to, m), e);
	source_close(&text);
	return e->code;
}

int mailbox_copy(struct mailbox *m, const struct number_set *uids, const char *to, struct arena *a,
    struct copy_result *out, struct err *e)
{
	VEC(struct record *) chosen = VEC_INIT;
	struct append *batch = NULL;
	size_t i, count = 0;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	*out = (struct copy_result){0};
	if (mailbox_must_live(m, e) != 0)
		return e->code;
	for (i = 0; i < m->records.n; i++)
		if (set_has(uids, m->records.v[i]->m.uid))
			*vec_push(&chosen) = m->records.v[i];
	if (append_begin(m->store, to, &batch, e) == 0) {
		out->from = arena_array(a, chosen.n + 1, sizeof(*out->from));
		for (i = 0; i < chosen.n && e->code == 0; i++) {
			out->from[i] = chosen.v[i]->m.uid;
			copy_one(m, &chosen.v[i]->m, batch, e);
		}
		if (e->code != 0)
			append_abort(&batch);
		else if (append_commit(&batch, &out->uidvalidity, a, &out->to, &count, e) == 0)
			out->count = count;
	}
	vec_free(&chosen);
	return e->code;
}
