/*
 * multisearch.c: ESEARCH, the search of several mailboxes (RFC 7377).
 *
 * The keys are parsed once for what is wrong with them, and once more for each mailbox, as numbers in them
 * mean another thing in each. A mailbox that is not selected is opened read-only and closed again; one that
 * is not there, or not the client's to read, is passed over.
 */
#include "imap/condstore.h"
#include "imap/contexts.h"
#include "imap/mailbox_filter.h"
#include "log/log.h"
#include "base/banned.h"

struct multisearch {
	struct session *s;
	bool selected, others; /* are searched */
	struct mailbox_names *names;
	struct search_request request;
	struct str program; /* its words */
	struct err limit;   /* more mailboxes than may be searched */
	bool gone;
};

/* ---- words ---- */

/* "IN" SP "(" filters ")" */
static bool sources(struct multisearch *x, struct parse *p)
{
	size_t most = (size_t)x->s->o->search_mailboxes;

	if (!parse_sp(p) || !parse_char(p, '('))
		return false;
	do {
		struct mailbox_filter f;

		if (!mailbox_filter_parse(p, most, &f))
			return false;
		if (f.kind == MAILBOXES_SELECTED)
			x->selected = true;
		else
			x->others = true;
		if (x->limit.code == 0)
			mailbox_names_add(x->names, x->s->setup->store, &f, &x->limit);
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

static bool states_fit(const struct multisearch *x, struct parse *p)
{
	if (x->s->view == NULL && (x->selected || (x->request.returns & SEARCH_RETURN_UPDATE) != 0))
		return parse_fail(p, "No mailbox is selected");
	if (x->others && (x->request.returns & SEARCH_RETURN_SAVE) != 0)
		return parse_fail(p, "SAVE is for the selected mailbox alone");
	return true;
}

static bool multisearch_parse(struct multisearch *x, struct parse *p)
{
	x->request = (struct search_request){0};
	if (!parse_word(p, " IN"))
		x->selected = true;
	else if (!sources(x, p))
		return false;
	if (!search_parse_return(p, &x->request))
		return false;
	if (x->request.returns == 0)
		x->request.returns = SEARCH_RETURN_ALL;
	x->program = p->rest;
	return search_parse_program(x->s, x->s->view, p, &x->request) && states_fit(x, p);
}

/* ---- searching ---- */

/* Nothing is said of a mailbox where nothing was found (§2.1). */
static void search_one(struct multisearch *x, struct search_scope *scope, struct search_request *request,
    search_numbers *found, struct err *e)
{
	bool gone = false;

	search_want_relevancy(scope, request);
	if (search_messages(scope, request, found, &gone, e) != 0)
		return;
	x->gone |= gone;
	if (found->n > 0)
		search_answer(scope, request, found, "ESEARCH");
}

static void search_selected_one(struct multisearch *x, struct err *e)
{
	struct search_scope scope = search_selected(x->s);
	search_numbers found = VEC_INIT;

	scope.uid = scope.named = true;
	search_one(x, &scope, &x->request, &found, e);
	if (e->code == 0 && search_save(x->s, &x->request, &found))
		context_keep(&scope, &x->request, NULL, &found);
	vec_free(&found);
}

static void search_opened(struct multisearch *x, struct search_scope *scope, struct err *e)
{
	struct search_request request = x->request;
	search_numbers found = VEC_INIT;
	struct parse p;

	request.arena = NULL;
	parse_start(&p, x->program, x->s->arena);
	if (search_parse_program(x->s, scope->view, &p, &request))
		search_one(x, scope, &request, &found, e);
	vec_free(&found);
}

int search_open(struct session *s, const char *name, struct search_scope *out, struct err *e)
{
	*out = search_selected(s);
	if (is_selected(s, name))
		return 0;
	out->mailbox = NULL;
	out->view = NULL;
	if (mailbox_open(s->setup->store, name, MAILBOX_READ_ONLY | MAILBOX_KEEP_RECENT, &out->mailbox, e) !=
	    0)
		return e->code;
	view_open(out->mailbox, &out->view, e);
	return e->code;
}

void search_close(struct search_scope *scope)
{
	if (scope->mailbox == scope->s->mailbox)
		return;
	view_close(&scope->view);
	mailbox_close(&scope->mailbox);
}

void search_pass_over(struct session *s, struct err *e)
{
	switch (e->code) {
	case 0:
	case MORTISE_E_CANCELLED:
		return;
	case MORTISE_E_NOTFOUND:
	case MORTISE_E_PERM:
	case MORTISE_E_INVALID:
	case MORTISE_E_UNSUPPORTED: /* a level without a mailbox */
		break;
	default:
		report_error(s, e);
	}
	err_clear(e);
}

static void search_named(struct multisearch *x, const char *name, struct err *e)
{
	struct search_scope scope;

	if (search_open(x->s, name, &scope, e) == 0) {
		scope.uid = scope.named = true;
		search_opened(x, &scope, e);
	}
	search_close(&scope);
}

static void search_all(struct multisearch *x, struct err *e)
{
	size_t count, i;
	const char *const *names = mailbox_names_all(x->names, &count);

	if (x->selected)
		search_selected_one(x, e);
	for (i = 0; i < count && e->code == 0; i++) {
		struct arena_mark mark = arena_mark(x->s->arena);
		bool selected = is_selected(x->s, names[i]);

		if (selected && !x->selected) {
			search_selected_one(x, e);
		} else if (!selected) {
			search_named(x, names[i], e);
			search_pass_over(x->s, e);
			arena_release(x->s->arena, mark);
		}
	}
}

static void run(struct multisearch *x)
{
	struct session *s = x->s;
	struct err e = ERR_INIT;

	if (x->limit.code != 0) {
		log_err(MSG_IMAP_LIMIT, &x->limit, "ESEARCH");
		reply_error(s, &x->limit);
		return;
	}
	search_all(x, &e);
	if (e.code != 0)
		search_failed(s, &x->request, &e);
}

void command_esearch(struct session *s, struct parse *p)
{
	struct search_scope scope = search_selected(s);
	struct multisearch x = {.s = s, .limit = ERR_INIT};
	search_numbers none = VEC_INIT;

	x.names = mailbox_names_new(s->arena, (size_t)s->o->search_mailboxes);
	if (!multisearch_parse(&x, p))
		reply_bad(s, p->error);
	else if (search_possible(s, &x.request))
		run(&x);
	mailbox_names_free(&x.names);
	if (x.request.arena != NULL) { /* no context was begun with it */
		if (!s->reply.given)
			reply_no(s, "CANNOT", "Updates are of the selected mailbox, which was not searched");
		context_keep(&scope, &x.request, NULL, &none);
	}
	reply_ok(s, x.gone ? "EXPUNGEISSUED" : NULL, "ESEARCH completed");
}
