/*
 * sort.c: SORT, THREAD and their UID forms (RFC 5256, RFC 5957), SORT with RETURN (RFC 5267 §3),
 * THREAD=REFS (draft-ietf-morg-inthread §4).
 */
#include "imap/limits.h"
#include "imap/contexts.h"
#include "search/sort.h"
#include "search/thread.h"
#include "store/derived.h"
#include "base/banned.h"

static const char *const key_names[SORT_KEYS] = {
    [SORT_ARRIVAL] = "ARRIVAL",
    [SORT_CC] = "CC",
    [SORT_DATE] = "DATE",
    [SORT_DISPLAYFROM] = "DISPLAYFROM",
    [SORT_DISPLAYTO] = "DISPLAYTO",
    [SORT_FROM] = "FROM",
    [SORT_RELEVANCY] = "RELEVANCY",
    [SORT_SIZE] = "SIZE",
    [SORT_SUBJECT] = "SUBJECT",
    [SORT_TO] = "TO",
};

struct sorting {
	const struct search_scope *scope;
	const struct message **messages; /* that were found */
	const uint32_t *sequences;
	size_t count;
	bool gone, too_many;
	/* One of these takes them. */
	struct sorter *sorter;
	struct threading *threading;
	bool sizes; /* are needed */
};

static bool criterion(struct parse *p, struct sort_program *out)
{
	bool reverse = parse_word(p, "REVERSE");
	int key;

	if (reverse && !parse_sp(p))
		return false;
	for (key = 0; key < SORT_KEYS; key++) {
		if (parse_word(p, key_names[key])) {
			sort_program_add(out, (enum sort_key)key, reverse);
			return true;
		}
	}
	return parse_fail(p, "Unknown sort key");
}

static bool sort_parse(struct parse *p, struct sort_program *out)
{
	*out = (struct sort_program){.count = 0};
	if (!parse_sp(p) || !parse_char(p, '('))
		return false;
	do {
		if (!criterion(p, out))
			return false;
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

static unsigned relevancy_of(const struct sorting *x, size_t i)
{
	return x->scope->relevancy != NULL ? x->scope->relevancy[x->sequences[i] - 1] : 0;
}

/* A sort_record_fn. */
static int take_message(void *arg, size_t i, struct str packed)
{
	struct sorting *x = arg;
	const struct message *msg = x->messages[i];
	struct sort_record record;
	struct sort_message m = {
	    .number = x->threading != NULL && x->scope->s->uid ? msg->uid : x->sequences[i],
	    .arrival = msg->internal_date,
	    .octets = msg->octets,
	    .relevancy = relevancy_of(x, i),
	    .record = &record};

	session_progress(x->scope->s, i, x->count);
	if (i % 64 == 0 && session_stopped(x->scope->s))
		return MORTISE_E_CANCELLED;
	if (packed.n == 0 || !sort_record_read(packed, &record)) {
		x->gone = true;
		return 0;
	}
	if (x->threading != NULL) {
		x->too_many = !threading_add(x->threading, &m);
		return x->too_many ? MORTISE_E_LIMIT : 0;
	}
	sorter_add(x->sorter, &m);
	return 0;
}

/* Sizes that are not known yet. */
static int find_sizes(struct sorting *x, size_t count, struct err *e)
{
	uint64_t octets;
	size_t i;

	for (i = 0; i < count; i++) {
		session_progress(x->scope->s, i, count);
		if (session_stopped(x->scope->s))
			return err_fail(e, MORTISE_E_CANCELLED, "Interrupted");
		if (mailbox_octets(x->scope->mailbox, x->messages[i], &octets, e) == MORTISE_E_EXPUNGED)
			err_clear(e);
		else if (e->code != 0)
			return e->code;
	}
	return 0;
}

/* What is found goes to the sorter or the threads, in the order of the mailbox. */
static int take_found(
    struct sorting *x, struct arena *a, const search_numbers *found, bool records, struct err *e)
{
	size_t i;
	int r;

	x->messages = arena_array(a, found->n, sizeof(*x->messages));
	x->sequences = found->v;
	x->count = found->n;
	for (i = 0; i < found->n; i++)
		x->messages[i] = view_message(x->scope->view, found->v[i]);
	if (x->sizes && find_sizes(x, found->n, e) != 0)
		return e->code;
	if (records) {
		session_progress(x->scope->s, 0, 0);
		r = mailbox_sort_records(
		    x->scope->mailbox, x->scope->comparator, x->messages, found->n, take_message, x, e);
		session_progress_end(x->scope->s);
		if (x->too_many)
			return err_fail(e, MORTISE_E_LIMIT, "Too many messages to thread");
		return r == 0 || e->code != 0 ? e->code : err_fail(e, r, "Interrupted");
	}
	for (i = 0; i < found->n; i++)
		sorter_add(x->sorter, &(struct sort_message){.number = x->sequences[i],
		                          .arrival = x->messages[i]->internal_date,
		                          .octets = x->messages[i]->octets,
		                          .relevancy = relevancy_of(x, i)});
	return 0;
}

int sort_messages(const struct search_scope *scope, const struct sort_program *order, struct arena *a,
    search_numbers *found, bool *gone, struct err *e)
{
	struct sorting x = {.scope = scope,
	    .sizes = sort_has_key(order, SORT_SIZE),
	    .sorter = sorter_new(a, order, found->n)};
	const uint32_t *sorted;
	size_t i;

	if (take_found(&x, a, found, sort_needs_record(order), e) != 0)
		return e->code;
	sorted = sorter_sort(x.sorter, &found->n);
	for (i = 0; i < found->n; i++)
		found->v[i] = sorted[i];
	*gone |= x.gone;
	return 0;
}

/* The order of some of them would be of no use (RFC 9738 §3.3). NO was said. */
static bool sort_limited(struct session *s, const struct search_request *request)
{
	if (limit_search(s, request->program) == 0)
		return false;
	saved_failed(s, request);
	return limit_exceeded(s, UINT64_MAX);
}

void command_sort(struct session *s, struct parse *p)
{
	struct search_scope scope = search_selected(s);
	struct sort_program order;
	struct search_request request;
	search_numbers found = VEC_INIT;
	struct err e = ERR_INIT;
	bool gone = false;

	if (!search_parse_return(p, &request) || !sort_parse(p, &order) ||
	    ((request.relevancy = sort_has_key(&order, SORT_RELEVANCY)),
	        !search_parse_criteria(s, p, &request)))
		reply_bad(s, p->error);
	else if (!search_possible(s, &request) || sort_limited(s, &request))
		;
	else if ((search_want_relevancy(&scope, &request),
	             search_messages(&scope, &request, &found, &gone, &e)) != 0 ||
	         sort_messages(&scope, &order, s->arena, &found, &gone, &e) != 0)
		search_failed(s, &request, &e);
	else if (search_save(s, &request, &found))
		search_answer(&scope, &request, &found, "SORT");
	context_keep(&scope, &request, &order, &found);
	vec_free(&found);
	reply_ok(s, gone ? "EXPUNGEISSUED" : NULL, "SORT completed");
}

/* ---- THREAD ---- */
static bool algorithm(struct parse *p, enum thread_algorithm *out)
{
	if (!parse_sp(p))
		return false;
	if (parse_word(p, "ORDEREDSUBJECT"))
		*out = THREAD_ORDEREDSUBJECT;
	else if (parse_word(p, "REFERENCES"))
		*out = THREAD_REFERENCES;
	else if (parse_word(p, "REFS"))
		*out = THREAD_REFS;
	else
		return parse_fail(p, "Unknown threading algorithm");
	return true;
}

static void write_threads(struct session *s, struct threading *t)
{
	struct buf *out = session_out(s);
	size_t before;

	buf_adds(out, "* THREAD ");
	before = out->n;
	threading_write(t, out);
	if (out->n == before)
		buf_truncate(out, before - 1);
	buf_adds(out, "\r\n");
}

void command_thread(struct session *s, struct parse *p)
{
	struct search_scope scope = search_selected(s);
	struct sorting x = {.scope = &scope};
	enum thread_algorithm by = THREAD_REFERENCES;
	struct search_request request = {0};
	search_numbers found = VEC_INIT;
	struct err e = ERR_INIT;

	if (!algorithm(p, &by) || !search_parse_criteria(s, p, &request)) {
		reply_bad(s, p->error);
		return;
	}
	if (!search_possible(s, &request) || sort_limited(s, &request))
		return;
	x.threading = threading_new(by, (size_t)s->o->thread_ids);
	if (search_messages(&scope, &request, &found, &x.gone, &e) == 0)
		take_found(&x, s->arena, &found, true, &e);
	vec_free(&found);
	if (e.code == 0)
		write_threads(s, x.threading);
	threading_free(&x.threading);
	if (e.code != 0)
		reply_error(s, &e);
	else
		reply_ok(s, x.gone ? "EXPUNGEISSUED" : NULL, "THREAD completed");
}
