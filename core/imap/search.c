/*
 * search.c: SEARCH and UID SEARCH (RFC 3501 §6.4.4, RFC 5032), with MODSEQ (RFC 7162 §3.1.5). What is
 * returned of what was found: search_result.h.
 */
#include "base/clock.h"
#include "imap/limits.h"
#include "imap/condstore.h"
#include "imap/contexts.h"
#include "imap/search_result.h"
#include "mime/mime.h"
#include "store/column.h"
#include "store/derived.h"
#include "base/banned.h"

#define COLUMNS 16u /* header fields of one search that are looked at in columns */

struct searching {
	const struct search_scope *scope;
	const struct message *message;
	struct search_target target; /* what is not of one message is there from the beginning */
	bool gone;                   /* a message's text was needed and is not there any more */
	struct str keyword;          /* that was asked for last, */
	size_t keyword_bit;          /* and its place; behind the last: the mailbox does not have it */
	VEC(struct column *) columns;
};

static bool has_keyword(void *arg, struct str keyword)
{
	struct searching *x = arg;
	size_t count = mailbox_keyword_count(x->scope->mailbox), bit = x->keyword_bit;

	if (x->keyword.p != keyword.p) {
		for (bit = 0; bit < count && !str_ieqc(keyword, mailbox_keyword(x->scope->mailbox, bit));
		     bit++)
			;
		x->keyword = keyword;
		x->keyword_bit = bit;
	}
	return bit < count && (x->message->keywords >> bit & 1) != 0;
}

static int open_message(void *arg, struct source **out, struct err *e)
{
	const struct searching *x = arg;

	return mailbox_read_whole(x->scope->mailbox, x->message, out, e);
}

static int folded_field(void *arg, struct str field, struct str *values, struct err *e)
{
	struct searching *x = arg;
	size_t i;

	for (i = 0; i < x->columns.n && !str_eq(column_field(x->columns.v[i]), field); i++)
		;
	if (i == COLUMNS)
		return 0;
	if (i == x->columns.n) {
		struct column *c;

		if (column_open(x->scope->mailbox, field, &c, e) != 0)
			return e->code;
		*vec_push(&x->columns) = c;
	}
	return column_get(x->columns.v[i], x->message, values, e) != 0 ? e->code : 1;
}

static int has_object_id(void *arg, enum search_key key, struct str id, struct err *e)
{
	const struct searching *x = arg;
	struct str own;

	if ((key == SEARCH_EMAILID ? mailbox_email_id : mailbox_thread_id)(
	        x->scope->mailbox, x->message, &own, e) != 0)
		return e->code;
	return str_eq(own, id);
}

static uint8_t relevancy_of(const struct search_target *t)
{
	return t->fuzzy_matches > 0 ? (uint8_t)(t->relevancy / t->fuzzy_matches) : 100;
}

static void prepare_target(struct searching *x)
{
	x->target = (struct search_target){.has_keyword = has_keyword,
	    .save_dates = mailbox_keeps_save_dates(x->scope->mailbox),
	    .has_object_id = has_object_id,
	    .folded_field = folded_field,
	    .open = open_message,
	    .arg = x,
	    .now = clock_seconds()};
}

/* 1, 0, or a code. */
static int matches(struct searching *x, const struct search_request *request, uint32_t sequence,
    struct arena *scratch, struct err *e)
{
	const struct message *msg = x->message;
	struct search_target *t = &x->target;
	int r = 0;

	if (message_unknown(msg)) {
		x->gone = true;
		return 0;
	}
	t->sequence = sequence;
	t->uid = msg->uid;
	t->flags = msg->flags;
	t->recent = msg->recent;
	t->internal_date = msg->internal_date;
	t->zone = msg->zone;
	t->save_date = msg->save_date;
	t->octets = msg->octets;
	t->modseq = msg->modseq;
	t->relevancy = t->fuzzy_matches = 0;
	if (request->sized && mailbox_octets(x->scope->mailbox, msg, &t->octets, e) != 0)
		r = e->code;
	if (r == 0)
		r = search_match(request->program, t, scratch, e);
	if (r > 0 && x->scope->relevancy != NULL)
		x->scope->relevancy[sequence - 1] = relevancy_of(t);
	if (r == MORTISE_E_EXPUNGED) {
		x->gone = true;
		err_clear(e);
		return 0;
	}
	return r;
}

static void reverse(search_numbers *found)
{
	size_t i, j;

	for (i = 0, j = found->n; i + 1 < j; i++) {
		uint32_t number = found->v[i];

		found->v[i] = found->v[--j];
		found->v[j] = number;
	}
}

static int look_at_all(
    struct searching *x, const struct search_request *request, search_numbers *found, struct err *e)
{
	AUTO_ARENA struct arena *scratch = arena_new("search");
	const search_numbers *among = x->scope->among;
	size_t count = among != NULL ? among->n : view_count(x->scope->view), i;
	size_t first = x->scope->below;
	bool reads = request->sized || search_needs_message(request->program);

	prepare_target(x);
	for (i = 0; i < count - first; i++) {
		size_t at = request->backward ? count - 1 - i : first + i;
		uint32_t sequence = among != NULL ? among->v[at] : (uint32_t)at + 1;
		int r;

		session_progress(x->scope->s, i, count);
		/* Looking at the clock takes longer than looking at a record. */
		if ((reads || i % 256 == 0) && session_stopped(x->scope->s))
			return err_fail(e, MORTISE_E_CANCELLED, "Interrupted");
		x->message = view_message(x->scope->view, sequence);
		r = matches(x, request, sequence, scratch, e);
		if (r < 0)
			return r;
		if (r > 0)
			*vec_push(found) = sequence;
		if (reads)
			arena_clear(scratch);
		if (r > 0 && found->n == request->most)
			break;
	}
	if (request->backward)
		reverse(found);
	return 0;
}

int search_messages(const struct search_scope *scope, const struct search_request *request,
    search_numbers *found, bool *gone, struct err *e)
{
	struct searching x = {.scope = scope};
	size_t i;
	int r = look_at_all(&x, request, found, e);

	session_progress_end(scope->s);
	for (i = 0; i < x.columns.n; i++)
		column_close(&x.columns.v[i]);
	vec_free(&x.columns);
	*gone = x.gone;
	return r;
}

static const char *bad_charset(struct session *s)
{
	AUTO_BUF struct buf list = BUF_INIT;

	charset_list(&list);
	return arena_printf(s->arena, "BADCHARSET (%s)", buf_cstr(&list));
}

bool search_possible(struct session *s, const struct search_request *request)
{
	s->holds_expunges = request->numbered; /* RFC 7162 §3.2.10.2 */
	if ((request->returns & SEARCH_RETURN_UPDATE) != 0 && context_named(s, s->tag)) {
		reply_bad(s, "Tag is in use: it has updates");
		return false;
	}
	if (request->filters && !request->filter_charset) { /* RFC 5466 §3.1 */
		reply_bad_code(s, bad_charset(s), "Filters are in UTF-8");
		return false;
	}
	if (request->undefined_filter != NULL) {
		saved_failed(s, request);
		reply_no(s, arena_printf(s->arena, "UNDEFINED-FILTER %s", request->undefined_filter),
		    "The filter is not there, or is not a search");
		return false;
	}
	if (request->charset_error != NULL) {
		saved_failed(s, request);
		reply_no(s, request->charset_unknown ? bad_charset(s) : NULL, request->charset_error);
		return false;
	}
	if (!request->modseq)
		return true;
	if (!condstore_possible(s))
		return false;
	condstore_enable(s);
	return true;
}

struct search_scope search_selected(struct session *s)
{
	return (struct search_scope){
	    .s = s, .mailbox = s->mailbox, .view = s->view, .comparator = s->comparator, .uid = s->uid};
}

void search_want_relevancy(struct search_scope *scope, const struct search_request *request)
{
	if (request->relevancy || (request->returns & SEARCH_RETURN_RELEVANCY) != 0)
		scope->relevancy = arena_array(scope->s->arena, view_count(scope->view), 1);
}

static int find(struct search_scope *scope, const struct search_request *request, search_numbers *found,
    bool *gone, struct err *e)
{
	scope->below = limit_search(scope->s, request->program);
	search_want_relevancy(scope, request);
	return search_messages(scope, request, found, gone, e);
}

void command_search(struct session *s, struct parse *p)
{
	struct search_scope scope = search_selected(s);
	struct search_request request;
	search_numbers found = VEC_INIT;
	struct err e = ERR_INIT;
	bool gone = false;

	if (!search_parse(s, p, &request))
		reply_bad(s, p->error);
	else if (!search_possible(s, &request))
		;
	else if (find(&scope, &request, &found, &gone, &e) != 0)
		search_failed(s, &request, &e);
	else if (search_save(s, &request, &found))
		search_answer(&scope, &request, &found, "SEARCH");
	context_keep(&scope, &request, NULL, &found);
	vec_free(&found);
	reply_ok(s, gone ? "EXPUNGEISSUED" : NULL, "SEARCH completed");
}
