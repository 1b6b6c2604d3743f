#include "imap/search_result.h"

#include "log/log.h"
#include "base/banned.h"

/* Numbers that are written between two looks at whether anybody reads them. */
#define NUMBERS_A_LOOK 4096u

static uint32_t number_or_uid(const struct search_scope *x, uint32_t sequence)
{
	return x->uid ? view_message(x->view, sequence)->uid : sequence;
}

/*
 * Those of the results that are told: all of them, or the first, the last and a part. They are what is saved
 * (RFC 5182 §2.4, RFC 9394 §3.2) and whose mod-sequence counts (RFC 4731 §3.2).
 */
static void told_results(
    const struct search_request *request, const search_numbers *found, search_numbers *told)
{
	unsigned one = SEARCH_RETURN_MIN | SEARCH_RETURN_MAX | SEARCH_RETURN_PARTIAL;
	unsigned all = SEARCH_RETURN_ALL | SEARCH_RETURN_COUNT;
	bool some = (request->returns & one) != 0 && (request->returns & all) == 0;
	size_t from = 0, to = found->n, i;

	if (some && (request->returns & SEARCH_RETURN_PARTIAL) != 0)
		partial_slice(&request->partial, found->n, &from, &to);
	else if (some)
		to = 0;
	for (i = from; i < to; i++)
		*vec_push(told) = found->v[i];
	if (some && found->n > 0 && (request->returns & SEARCH_RETURN_MIN) != 0)
		*vec_push(told) = found->v[0];
	if (some && found->n > 0 && (request->returns & SEARCH_RETURN_MAX) != 0)
		*vec_push(told) = found->v[found->n - 1];
}

/* ---- "$" ---- */
void saved_clear(struct session *s)
{
	arena_free(&s->saved.arena);
	s->saved.uids = (struct number_set){0};
}

void search_failed(struct session *s, const struct search_request *request, const struct err *e)
{
	saved_failed(s, request);
	reply_error(s, e);
}

void saved_failed(struct session *s, const struct search_request *request)
{
	if ((request->returns & SEARCH_RETURN_SAVE) != 0)
		saved_clear(s);
}

bool saved_take(struct session *s, struct parse *p, struct number_set *uids)
{
	if (!parse_skip(p, '$'))
		return false;
	*uids = (struct number_set){0};
	if (s->saved.uids.n > 0)
		*uids = (struct number_set){
		    arena_dup(p->arena, s->saved.uids.v, s->saved.uids.n * sizeof(*uids->v)),
		    s->saved.uids.n};
	return true;
}

bool search_save(struct session *s, const struct search_request *request, const search_numbers *found)
{
	search_numbers told = VEC_INIT;
	struct number_set uids = {0};
	size_t cap = 0, i;

	if ((request->returns & SEARCH_RETURN_SAVE) == 0)
		return true;
	told_results(request, found, &told);
	saved_clear(s);
	s->saved.arena = arena_new("saved");
	for (i = 0; i < told.n; i++)
		set_add(s->saved.arena, &uids, &cap, view_message(s->view, told.v[i])->uid);
	vec_free(&told);
	set_sort(&uids);
	s->saved.uids = uids;
	if (uids.n <= s->o->saved_ranges)
		return true;
	log_msg(MSG_IMAP_LIMIT, "%zu ranges of UIDs to be saved", uids.n);
	saved_clear(s);
	reply_no(s, "NOTSAVED", "Too many messages to save");
	return false;
}

/* ---- the answer ---- */
static uint64_t highest_modseq(const struct search_scope *x, const search_numbers *found)
{
	uint64_t highest = 0;
	size_t i;

	for (i = 0; i < found->n; i++) {
		uint64_t modseq = view_message(x->view, found->v[i])->modseq;

		highest = modseq > highest ? modseq : highest;
	}
	return highest;
}

static void answer_plain(const struct search_scope *x, const struct search_request *request,
    const search_numbers *found, const char *name)
{
	struct buf *out = session_out(x->s);
	size_t i;

	buf_printf(out, "* %s", name);
	for (i = 0; i < found->n && session_written(x->s); i++) {
		buf_addc(out, ' ');
		buf_addu(out, number_or_uid(x, found->v[i]));
	}
	if (request->modseq && found->n > 0)
		buf_printf(out, " (MODSEQ %llu)", (unsigned long long)highest_modseq(x, found));
	buf_adds(out, "\r\n");
}

void write_numbers(struct session *s, const uint32_t *numbers, size_t count)
{
	struct buf *out = session_out(s);
	size_t i = 0, written = 0;

	while (i < count && (++written % NUMBERS_A_LOOK != 0 || session_written(s))) {
		uint32_t first = numbers[i], last = first;

		for (i++; i < count && numbers[i] == last + 1; i++)
			last++;
		if (written > 1)
			buf_addc(out, ',');
		buf_addu(out, first);
		if (last == first)
			continue;
		buf_addc(out, ':');
		buf_addu(out, last);
	}
}

static void write_results(const struct search_scope *x, const uint32_t *sequences, size_t count)
{
	uint32_t *numbers = arena_array(x->s->arena, count, sizeof(*numbers));
	size_t i;

	for (i = 0; i < count; i++)
		numbers[i] = number_or_uid(x, sequences[i]);
	write_numbers(x->s, numbers, count);
}

static void write_partial(
    const struct search_scope *x, const struct partial_range *p, const search_numbers *found)
{
	const char *sign = p->from_end ? "-" : "";
	struct buf *out = session_out(x->s);
	size_t from, to;

	partial_slice(p, found->n, &from, &to);
	buf_printf(out, " PARTIAL (%s%u:%s%u ", sign, p->first, sign, p->second);
	if (from < to)
		write_results(x, found->v + from, to - from);
	else
		buf_adds(out, "NIL");
	buf_addc(out, ')');
}

/* In the order of the results that ALL or PARTIAL tells (RFC 6203 §4). */
static void write_relevancy(
    const struct search_scope *x, const struct search_request *request, const search_numbers *found)
{
	struct buf *out = session_out(x->s);
	size_t from = 0, to = found->n, i;

	if ((request->returns & SEARCH_RETURN_PARTIAL) != 0)
		partial_slice(&request->partial, found->n, &from, &to);
	buf_adds(out, " RELEVANCY (");
	for (i = from; i < to; i++) {
		if (i % NUMBERS_A_LOOK == 0)
			session_written(x->s);
		if (i > from)
			buf_addc(out, ' ');
		buf_addu(out, x->relevancy[found->v[i] - 1]);
	}
	buf_addc(out, ')');
}

static void write_found(const struct search_scope *x, unsigned returns, const search_numbers *found)
{
	struct buf *out = session_out(x->s);

	if ((returns & SEARCH_RETURN_MIN) != 0 && found->n > 0)
		buf_printf(out, " MIN %u", number_or_uid(x, found->v[0]));
	if ((returns & SEARCH_RETURN_MAX) != 0 && found->n > 0)
		buf_printf(out, " MAX %u", number_or_uid(x, found->v[found->n - 1]));
	if ((returns & SEARCH_RETURN_COUNT) != 0)
		buf_printf(out, " COUNT %zu", found->n);
	if ((returns & SEARCH_RETURN_ALL) != 0 && found->n > 0) {
		buf_adds(out, " ALL ");
		write_results(x, found->v, found->n);
	}
}

void esearch_begin(const struct search_scope *x, struct str tag)
{
	struct buf *out = session_out(x->s);

	buf_adds(out, "* ESEARCH (TAG ");
	imap_string(out, tag);
	if (x->named) {
		buf_adds(out, " MAILBOX ");
		write_mailbox_name(x->s, out, mailbox_name(x->mailbox));
		buf_printf(out, " UIDVALIDITY %u", mailbox_uidvalidity(x->mailbox));
	}
	buf_adds(out, x->uid ? ") UID" : ")");
}

static void answer_extended(
    const struct search_scope *x, const struct search_request *request, const search_numbers *found)
{
	search_numbers told = VEC_INIT;
	struct buf *out = session_out(x->s);

	esearch_begin(x, x->s->tag);
	write_found(x, request->returns, found);
	if ((request->returns & SEARCH_RETURN_PARTIAL) != 0)
		write_partial(x, &request->partial, found);
	if (x->relevancy != NULL && (request->returns & SEARCH_RETURN_RELEVANCY) != 0)
		write_relevancy(x, request, found);
	if (request->modseq) {
		told_results(request, found, &told);
		if (told.n > 0)
			buf_printf(out, " MODSEQ %llu", (unsigned long long)highest_modseq(x, &told));
		vec_free(&told);
	}
	buf_adds(out, "\r\n");
}

void search_answer(const struct search_scope *x, const struct search_request *request,
    const search_numbers *found, const char *name)
{
	if (request->returns == 0)
		answer_plain(x, request, found, name);
	else if (request->returns != SEARCH_RETURN_SAVE)
		answer_extended(x, request, found);
}
