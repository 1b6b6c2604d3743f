#include "imap/contexts.h"

#include "base/clock.h"
#include "log/log.h"
#include "base/banned.h"

struct context {
	struct arena *arena; /* of program and tag */
	struct str tag;
	bool uid, named; /* as in search_scope */
	bool may_change; /* by flags and keywords */
	struct search_request request;
	bool sorted;
	struct sort_program order;
	enum comparator comparator; /* of when it was begun */
	search_numbers results;     /* UIDs, as told */
	/* Looked at: messages with UIDs up to this one, and changes up to this mod-sequence. */
	uint32_t highest;
	uint64_t modseq;
};

struct contexts {
	VEC(struct context) all;
};

static struct context *find(const struct session *s, struct str tag)
{
	size_t i;

	for (i = 0; s->contexts != NULL && i < s->contexts->all.n; i++)
		if (str_eq(s->contexts->all.v[i].tag, tag))
			return &s->contexts->all.v[i];
	return NULL;
}

bool context_named(const struct session *s, struct str tag)
{
	return find(s, tag) != NULL;
}

static void end(struct context *c)
{
	vec_free(&c->results);
	arena_free(&c->arena);
}

void contexts_clear(struct session *s)
{
	size_t i;

	if (s->contexts == NULL)
		return;
	for (i = 0; i < s->contexts->all.n; i++)
		end(&s->contexts->all.v[i]);
	vec_free(&s->contexts->all);
	mem_free(s->contexts);
	s->contexts = NULL;
}

/* ---- beginning ---- */
static void looked_at(const struct session *s, struct context *c)
{
	uint32_t count = view_count(s->view), i;

	for (i = 1; i <= count; i++) {
		const struct message *m = view_message(s->view, i);

		c->highest = m->uid > c->highest ? m->uid : c->highest;
		c->modseq = m->modseq > c->modseq ? m->modseq : c->modseq;
	}
}

static void refuse(struct session *s)
{
	AUTO_BUF struct buf code = BUF_INIT;

	buf_adds(&code, "NOUPDATE ");
	imap_string(&code, s->tag);
	log_msg(MSG_IMAP_LIMIT, "%zu searches with updates", s->contexts->all.n);
	response(session_out(s), STR(""), RESPONSE_NO, buf_cstr(&code), "Too many contexts");
}

void context_keep(const struct search_scope *scope, struct search_request *request,
    const struct sort_program *order, const search_numbers *found)
{
	struct session *s = scope->s;
	struct context *c;
	size_t i;

	if (request->arena == NULL || s->reply.given) {
		arena_free(&request->arena);
		return;
	}
	if (s->contexts == NULL)
		s->contexts = mem_new(struct contexts);
	/* An order by relevancy would have to be found anew for all results. */
	if (s->contexts->all.n >= s->o->contexts || request->relevancy) {
		refuse(s);
		arena_free(&request->arena);
		return;
	}
	c = vec_push(&s->contexts->all);
	*c = (struct context){.arena = request->arena,
	    .tag = arena_str(request->arena, s->tag),
	    .uid = scope->uid,
	    .named = scope->named,
	    .may_change = search_may_change(request->program),
	    .request = {.program = request->program, .sized = request->sized},
	    .sorted = order != NULL,
	    .comparator = scope->comparator};
	request->arena = NULL;
	if (order != NULL)
		c->order = *order;
	for (i = 0; i < found->n; i++)
		*vec_push(&c->results) = view_message(s->view, found->v[i])->uid;
	looked_at(s, c);
}

/* ---- telling ---- */

/* SP number SP set: results that stand one behind the other. */
static void write_run(struct session *s, const struct context *c, size_t position, const uint32_t *uids,
    size_t count, struct arena *a)
{
	uint32_t *numbers = arena_array(a, count, sizeof(*numbers));
	struct buf *out = session_out(s);
	size_t i;

	for (i = 0; i < count; i++)
		numbers[i] = c->uid ? uids[i] : view_sequence(s->view, uids[i]);
	buf_printf(out, "%s%zu ", out->p[out->n - 1] == '(' ? "" : " ", position);
	write_numbers(s, numbers, count);
}

static void begin_item(struct session *s, const struct context *c, const char *item)
{
	struct search_scope scope = search_selected(s);

	scope.uid = c->uid;
	scope.named = c->named;
	esearch_begin(&scope, c->tag);
	buf_printf(session_out(s), " %s (", item);
}

static void end_item(struct session *s)
{
	buf_adds(session_out(s), ")\r\n");
	session_written(s);
}

/* Results in `which`, in order: the runs of them, from the last one to the first; or, without positions, all.
 */
static void tell_removed(
    struct session *s, const struct context *c, const struct number_set *which, struct arena *a)
{
	size_t to = c->results.n;

	while (to > 0) {
		size_t from = to;

		while (from > 0 && set_has(which, c->results.v[from - 1]))
			from--;
		if (from < to)
			write_run(s, c, from + 1, c->results.v + from, to - from, a);
		to = from > 0 ? from - 1 : 0;
	}
}

static void tell_added(
    struct session *s, const struct context *c, const struct number_set *which, struct arena *a)
{
	size_t from = 0;

	while (from < c->results.n) {
		size_t to = from;

		while (to < c->results.n && set_has(which, c->results.v[to]))
			to++;
		if (to > from)
			write_run(s, c, from + 1, c->results.v + from, to - from, a);
		from = to + 1;
	}
}

static void tell_unordered(
    struct session *s, const struct context *c, const struct number_set *which, struct arena *a)
{
	search_numbers uids = VEC_INIT;
	size_t i;

	for (i = 0; i < c->results.n; i++)
		if (set_has(which, c->results.v[i]))
			*vec_push(&uids) = c->results.v[i];
	write_run(s, c, 0, uids.v, uids.n, a);
	vec_free(&uids);
}

/* Takes those of `which` that are results out of them. */
static void remove_results(
    struct session *s, struct context *c, const struct number_set *which, struct arena *a)
{
	size_t i, kept = 0;

	for (i = 0; i < c->results.n && !set_has(which, c->results.v[i]); i++)
		;
	if (i == c->results.n)
		return;
	begin_item(s, c, "REMOVEFROM");
	if (c->sorted)
		tell_removed(s, c, which, a);
	else
		tell_unordered(s, c, which, a);
	end_item(s);
	for (i = 0; i < c->results.n; i++)
		if (!set_has(which, c->results.v[i]))
			c->results.v[kept++] = c->results.v[i];
	c->results.n = kept;
}

/* ---- following ---- */
void contexts_forget_expunged(struct session *s)
{
	AUTO_ARENA struct arena *a = NULL;
	struct number_set gone = {0};
	uint32_t count, i;
	size_t cap = 0, n;

	if (s->contexts == NULL || !view_changed(s->view))
		return;
	a = arena_new("contexts");
	count = view_count(s->view);
	for (i = 1; i <= count; i++)
		if (view_message(s->view, i)->expunged)
			set_add(a, &gone, &cap, view_message(s->view, i)->uid);
	for (n = 0; gone.n > 0 && n < s->contexts->all.n; n++)
		remove_results(s, &s->contexts->all.v[n], &gone, a);
}

static struct number_set set_of_results(const struct context *c, struct arena *a)
{
	struct number_set set = {0};
	size_t cap = 0, i;

	for (i = 0; i < c->results.n; i++)
		set_add(a, &set, &cap, c->results.v[i]);
	set_sort(&set);
	return set;
}

static struct number_set uids_of(const struct session *s, const search_numbers *sequences, struct arena *a)
{
	struct number_set set = {0};
	size_t cap = 0, i;

	for (i = 0; i < sequences->n; i++)
		set_add(a, &set, &cap, view_message(s->view, sequences->v[i])->uid);
	return set;
}

/* Messages that were not there, or may match now and did not, or the other way. */
static void collect(const struct session *s, const struct context *c, search_numbers *news)
{
	uint32_t count = view_count(s->view), i;

	for (i = 1; i <= count; i++) {
		const struct message *m = view_message(s->view, i);

		if (!m->expunged && (m->uid > c->highest || (c->may_change && m->modseq > c->modseq)))
			*vec_push(news) = i;
	}
}

/* The results with these UIDs among them, in order. False: not to be had now. */
static bool add_in_order(
    struct session *s, struct context *c, const struct number_set *added, struct arena *a, struct err *e)
{
	struct search_scope scope = search_selected(s);
	size_t had = c->results.n, i;
	search_numbers all = VEC_INIT;
	bool gone = false, ok;
	uint32_t count = view_count(s->view), n;
	struct number_set wanted = set_of_results(c, a);

	for (n = 1; n <= count; n++) {
		uint32_t uid = view_message(s->view, n)->uid;

		if (set_has(&wanted, uid) || set_has(added, uid))
			*vec_push(&all) = n;
	}
	count = (uint32_t)all.n;
	scope.comparator = c->comparator;
	ok = !c->sorted || (sort_messages(&scope, &c->order, a, &all, &gone, e) == 0 && all.n == count);
	if (ok && all.n > had) {
		vec_clear(&c->results);
		for (i = 0; i < all.n; i++)
			*vec_push(&c->results) = view_message(s->view, all.v[i])->uid;
	}
	vec_free(&all);
	return ok;
}

static int follow(struct session *s, struct context *c, struct arena *a, struct err *e)
{
	struct search_scope scope = search_selected(s);
	search_numbers news = VEC_INIT, found = VEC_INIT;
	struct number_set looked, match, had, added, removed;
	bool gone = false;

	collect(s, c, &news);
	scope.among = &news;
	if (news.n > 0 && search_messages(&scope, &c->request, &found, &gone, e) == 0) {
		looked = uids_of(s, &news, a);
		match = uids_of(s, &found, a);
		had = set_of_results(c, a);
		set_without(a, &looked, &match, &removed);
		set_without(a, &match, &had, &added);
		remove_results(s, c, &removed, a);
		if (added.n > 0 && add_in_order(s, c, &added, a, e)) {
			begin_item(s, c, "ADDTO");
			if (c->sorted)
				tell_added(s, c, &added, a);
			else
				tell_unordered(s, c, &added, a);
			end_item(s);
		}
	}
	vec_free(&news);
	vec_free(&found);
	return e->code;
}

/* What cannot be looked at now is looked at with the next news. */
void contexts_follow(struct session *s)
{
	size_t i;

	s->progress.due = clock_ms_coarse() + s->o->progress; /* an IDLE may have begun long ago */
	for (i = 0; s->contexts != NULL && i < s->contexts->all.n && !s->ended; i++) {
		AUTO_ARENA struct arena *a = arena_new("context");
		struct err e = ERR_INIT;

		if (follow(s, &s->contexts->all.v[i], a, &e) == 0)
			looked_at(s, &s->contexts->all.v[i]);
		else
			log_err(MSG_IMAP_FAILED, &e, "UPDATE");
	}
}

/* ---- CANCELUPDATE ---- */
void command_cancelupdate(struct session *s, struct parse *p)
{
	struct parse names = *p;
	struct str tag;

	do {
		if (!parse_sp(p) || !parse_quoted(p, &tag))
			break;
	} while (!parse_at_end(p));
	if (!arguments_end(s, p))
		return;
	while (parse_sp(&names) && parse_quoted(&names, &tag)) {
		struct context *c = find(s, tag);

		if (c == NULL)
			continue;
		end(c);
		vec_remove(&s->contexts->all, (size_t)(c - s->contexts->all.v));
	}
	reply_ok(s, NULL, "CANCELUPDATE completed");
}
