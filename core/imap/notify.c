/*
 * notify.c: the NOTIFY command, and what the rest of the session asks of it.
 */
#include "imap/notify.h"

#include "base/mem.h"
#include "log/log.h"
#include "base/banned.h"

#define GROUPS_MAX 1000u

/* AnnotationChange is of RFC 5257, which is not spoken here. */
static const struct {
	const char *name;
	unsigned event;
} events[] = {
    {"MessageNew", EVENT_NEW},
    {"MessageExpunge", EVENT_EXPUNGE},
    {"FlagChange", EVENT_FLAGS},
    {"MailboxName", EVENT_NAME},
    {"SubscriptionChange", EVENT_SUBSCRIPTION},
    {"MailboxMetadataChange", EVENT_METADATA},
    {"ServerMetadataChange", EVENT_SERVER_METADATA},
};

static const struct {
	const char *name;
	enum notify_filter filter;
} filters[] = {
    {"SELECTED", FILTER_SELECTED},
    {"SELECTED-DELAYED", FILTER_SELECTED_DELAYED},
    {"INBOXES", FILTER_INBOXES},
    {"PERSONAL", FILTER_PERSONAL},
    {"SUBSCRIBED", FILTER_SUBSCRIBED},
    {"SUBTREE", FILTER_SUBTREE},
    {"MAILBOXES", FILTER_MAILBOXES},
};

/* What a command does to the selected mailbox itself is its result, whatever the client wants to hear. */
static const struct {
	const char *command;
	unsigned event;
} results[] = {
    {"STORE", EVENT_FLAGS},
    {"UID STORE", EVENT_FLAGS},
    {"FETCH", EVENT_FLAGS},
    {"UID FETCH", EVENT_FLAGS},
    {"EXPUNGE", EVENT_EXPUNGE},
    {"UID EXPUNGE", EVENT_EXPUNGE},
    {"MOVE", EVENT_EXPUNGE},
    {"UID MOVE", EVENT_EXPUNGE},
    {"REPLACE", EVENT_EXPUNGE | EVENT_NEW},
    {"UID REPLACE", EVENT_EXPUNGE | EVENT_NEW},
};

/* ---- words ---- */
struct reading {
	struct session *s;
	struct parse *p;
	struct notify *n;
	bool unknown; /* an event that is none of ours */
};

static bool selected_filter(const struct notify_group *g)
{
	return g->filter == FILTER_SELECTED || g->filter == FILTER_SELECTED_DELAYED;
}

/* mailbox / "(" mailbox *(SP mailbox) ")" */
static bool names(struct reading *x, struct notify_group *g)
{
	VEC(const char *) list = VEC_INIT;
	bool ok = parse_sp(x->p), several = ok && parse_skip(x->p, '(');

	do {
		ok = ok && (list.n < x->s->o->notify_watches || parse_fail(x->p, "Too many mailboxes"));
		ok = ok && parse_mailbox(x->p, vec_push(&list));
	} while (ok && several && parse_skip(x->p, ' '));
	g->names = arena_dup(x->p->arena, list.v, list.n * sizeof(*list.v));
	g->name_count = list.n;
	vec_free(&list);
	return ok && (!several || parse_char(x->p, ')'));
}

static bool filter(struct reading *x, struct notify_group *g)
{
	struct str name;
	size_t i;

	if (!parse_atom(x->p, &name))
		return false;
	for (i = 0; i < ARRAY_LEN(filters) && !str_ieqc(name, filters[i].name); i++)
		;
	if (i == ARRAY_LEN(filters))
		return parse_fail(x->p, "Unknown mailbox filter");
	g->filter = filters[i].filter;
	if (g->filter == FILTER_SUBTREE || g->filter == FILTER_MAILBOXES)
		return names(x, g);
	return true;
}

/* SP "(" attributes ")" behind MessageNew. */
static bool attributes(struct reading *x, const struct notify_group *g)
{
	if (!parse_skip(x->p, ' '))
		return false;
	if (!selected_filter(g))
		return parse_fail(x->p, "FETCH attributes are for the selected mailbox");
	x->n->fetches = true;
	return fetch_parse_items(x->s, x->p, &x->n->fetch);
}

static bool one_event(struct reading *x, struct notify_group *g)
{
	struct str name;
	size_t i;

	if (!parse_atom(x->p, &name))
		return false;
	for (i = 0; i < ARRAY_LEN(events) && !str_ieqc(name, events[i].name); i++)
		;
	if (i == ARRAY_LEN(events)) {
		x->unknown = true;
		return true;
	}
	g->events |= events[i].event;
	if (events[i].event == EVENT_NEW && str_starts(x->p->rest, STR(" (")))
		return attributes(x, g);
	return true;
}

/* The rules of §5 and §6.1. */
static bool events_fit(struct reading *x, const struct notify_group *g)
{
	unsigned e = g->events;

	if (selected_filter(g) && (e & ~EVENTS_MESSAGE) != 0)
		return parse_fail(x->p, "Only message events are of the selected mailbox");
	if (((e & EVENT_NEW) == 0) != ((e & EVENT_EXPUNGE) == 0))
		return parse_fail(x->p, "MessageNew and MessageExpunge go together");
	if ((e & EVENT_FLAGS) != 0 && (e & EVENT_NEW) == 0)
		return parse_fail(x->p, "FlagChange needs MessageNew and MessageExpunge");
	return true;
}

/* "(" event *(SP event) ")" / "NONE"; or the events alone, as the RFC's examples have them. */
static bool event_list(struct reading *x, struct notify_group *g)
{
	bool enclosed;

	if (!parse_sp(x->p))
		return false;
	if (parse_word(x->p, "NONE")) {
		g->none = true;
		return true;
	}
	enclosed = parse_skip(x->p, '(');
	do {
		if (!one_event(x, g))
			return false;
	} while (parse_skip(x->p, ' '));
	return (!enclosed || parse_char(x->p, ')')) && (x->unknown || events_fit(x, g));
}

static bool group(struct reading *x, bool *selected)
{
	struct notify_group *g = &x->n->groups[x->n->group_count];

	if (x->n->group_count == GROUPS_MAX)
		return parse_fail(x->p, "Too many groups");
	*g = (struct notify_group){.none = false};
	if (!parse_char(x->p, '(') || !filter(x, g) || !event_list(x, g) || !parse_char(x->p, ')'))
		return false;
	x->n->group_count++;
	if (!selected_filter(g))
		return true;
	if (*selected)
		return parse_fail(x->p, "The selected mailbox is named twice");
	*selected = true;
	x->n->selected = g->none ? 0 : g->events;
	x->n->delayed = g->filter == FILTER_SELECTED_DELAYED;
	return true;
}

static bool set(struct reading *x)
{
	bool selected = false;

	x->n->groups = arena_array(x->n->arena, GROUPS_MAX, sizeof(*x->n->groups));
	if (!parse_sp(x->p))
		return false;
	if (parse_word(x->p, "STATUS")) {
		x->n->status = true;
		if (!parse_sp(x->p))
			return false;
	}
	do {
		if (!group(x, &selected))
			return false;
	} while (parse_skip(x->p, ' '));
	return parse_end(x->p);
}

/* What the groups make necessary. */
static void sum_up(struct notify *n)
{
	size_t i;

	for (i = 0; i < n->group_count; i++) {
		const struct notify_group *g = &n->groups[i];

		if (selected_filter(g) || g->none)
			continue;
		n->listing = n->listing || g->filter != FILTER_MAILBOXES || (g->events & EVENTS_NAMED) != 0;
		n->annotated = n->annotated || (g->events & EVENT_METADATA) != 0;
		n->server_annotated = n->server_annotated || (g->events & EVENT_SERVER_METADATA) != 0;
	}
}

/* ---- the command ---- */
static const char *bad_event(struct session *s)
{
	AUTO_BUF struct buf code = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(events); i++)
		buf_printf(&code, "%s%s", i == 0 ? "BADEVENT (" : " ", events[i].name);
	buf_addc(&code, ')');
	return arena_strdup(s->arena, buf_cstr(&code));
}

/* What was in force stays so unless the new one can be. */
static void replace(struct session *s, struct notify **np)
{
	struct notify *before = s->notify;
	struct err e = ERR_INIT;

	sum_up(*np);
	if (notify_begin(s, *np, &e) != 0) {
		log_msg(MSG_IMAP_NOTIFY, "%s", e.admin);
		if (e.code == MORTISE_E_LIMIT)
			reply_no(s, "NOTIFICATIONOVERFLOW", "This is too much to watch");
		else
			reply_error(s, &e);
		return;
	}
	s->notify = NULL;
	update_view(s, true); /* as ever */
	notify_free(&before);
	s->notify = *np;
	*np = NULL;
	if (s->notify->status)
		notify_tell_status(s, s->notify);
	reply_ok(s, NULL, "NOTIFY completed");
}

static struct notify *notify_new(void)
{
	struct notify *n = mem_new(struct notify);

	n->arena = arena_new("notify");
	return n;
}

void command_notify(struct session *s, struct parse *p)
{
	struct notify *n = notify_new();
	struct str words = arena_str(n->arena, p->rest); /* the names have to outlive the command */
	struct parse own;
	struct reading x = {.s = s, .p = &own, .n = n};

	own = *p;
	own.rest = words;
	own.arena = n->arena;
	if (parse_sp(&own) && parse_word(&own, "NONE")) {
		if (parse_end(&own)) {
			notify_free(&s->notify);
			s->notify = n;
			n = NULL;
			reply_ok(s, NULL, "NOTIFY completed");
		}
	} else if (own.error == NULL && !parse_word(&own, "SET")) {
		parse_fail(&own, "Expected SET or NONE");
	} else if (set(&x) && x.unknown) {
		reply_no(s, bad_event(s), "One of the events is not known here");
	} else if (own.error == NULL) {
		replace(s, &n);
	}
	if (own.error != NULL)
		reply_bad(s, own.error);
	notify_free(&n);
}

/* ---- what the session asks ---- */
int notify_fd(const struct session *s)
{
	return s->notify != NULL && s->notify->observer != NULL ? observer_fd(s->notify->observer) : -1;
}

uint64_t notify_due(const struct session *s)
{
	if (s->notify == NULL || s->notify->observer == NULL)
		return UINT64_MAX;
	if (s->notify->pending)
		return 1; /* long ago */
	return s->notify->again != 0 ? s->notify->again : s->notify->poll;
}

bool notify_filters(const struct session *s, unsigned *how)
{
	unsigned wanted;
	size_t i;

	if (s->notify == NULL)
		return true;
	wanted = s->notify->selected;
	for (i = 0; i < ARRAY_LEN(results); i++)
		if (strcmp(s->command, results[i].command) == 0)
			wanted |= results[i].event;
	if ((wanted & EVENT_NEW) == 0)
		*how |= VIEW_NO_NEW;
	if ((wanted & EVENT_FLAGS) == 0)
		*how |= VIEW_NO_FLAGS;
	if ((wanted & EVENT_EXPUNGE) == 0)
		*how &= ~VIEW_MAY_EXPUNGE;
	return wanted != 0;
}

static bool is_own(const struct notify *n, uint32_t uid)
{
	size_t i;

	for (i = 0; i < n->own_uids.n; i++)
		if (n->own_uids.v[i] == uid)
			return true;
	return false;
}

void notify_fetch_new(struct session *s, uint32_t last)
{
	struct notify *n = s->notify;
	uint32_t count, first;

	if (n == NULL || !n->fetches || s->view == NULL)
		return;
	count = view_count(s->view);
	for (first = count; first > 0 && view_message(s->view, first)->uid > last; first--)
		;
	while (++first <= count && !session_stopped(s))
		if (!is_own(n, view_message(s->view, first)->uid))
			fetch_unasked(s, &n->fetch, first);
	vec_clear(&n->own_uids);
}

void notify_did(struct session *s, unsigned event, const char *name)
{
	struct notify *n = s->notify;

	if (n == NULL || n->observer == NULL)
		return;
	*vec_push(&n->deeds) = (struct notify_deed){event, mem_strdup(name)};
	n->pending = true;
}

void notify_put_messages(struct session *s, const char *mailbox, const uint32_t *uids, size_t count)
{
	struct notify *n = s->notify;
	size_t i;

	if (n == NULL)
		return;
	if (is_selected(s, mailbox)) {
		for (i = 0; i < count && n->fetches; i++)
			*vec_push(&n->own_uids) = uids[i];
		return;
	}
	for (i = 0; i < n->boxes.n; i++)
		if (strcmp(n->boxes.v[i].name, mailbox) == 0)
			n->boxes.v[i].own += count;
}

void notify_entered(struct session *s)
{
	if (s->notify != NULL)
		s->notify->pending = true;
}

void notify_end(struct session *s)
{
	notify_free(&s->notify);
}
