/*
 * notify_news.c: what changed since the client was told, and telling it.
 */
#include "imap/notify.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "imap/condstore.h"
#include "imap/list.h"
#include "log/log.h"
#include "store/metadata.h"
#include "base/banned.h"

/* ---- which mailboxes ---- */
static bool is_below(const char *name, const char *above)
{
	size_t n = strlen(above);

	return strncmp(name, above, n) == 0 && name[n] == '/';
}

static bool is_named(const struct notify_group *g, const char *name)
{
	size_t i;

	for (i = 0; i < g->name_count; i++)
		if (strcmp(g->names[i], name) == 0 ||
		    (g->filter == FILTER_SUBTREE && is_below(name, g->names[i])))
			return true;
	return false;
}

static bool covers(const struct notify_group *g, const char *name, bool subscribed)
{
	switch (g->filter) {
	case FILTER_SELECTED:
	case FILTER_SELECTED_DELAYED:
		return false;
	case FILTER_INBOXES: /* mail may be delivered to any mailbox (§6.3) */
	case FILTER_PERSONAL:
		return true;
	case FILTER_SUBSCRIBED:
		return subscribed;
	case FILTER_SUBTREE:
	case FILTER_MAILBOXES:
		return is_named(g, name);
	}
	UNREACHABLE("notify_filter");
}

unsigned notify_wanted(const struct notify *n, const char *name, bool subscribed)
{
	unsigned events = 0;
	size_t i;

	for (i = 0; i < n->group_count; i++) {
		if (!covers(&n->groups[i], name, subscribed))
			continue;
		if (n->groups[i].none)
			return 0;
		events |= n->groups[i].events;
	}
	return events;
}

static int compare_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static int compare_name(const void *a, const void *b)
{
	const struct observed_name *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static bool is_subscribed(const struct notify_names *l, const char *name)
{
	return l->subscribed_count > 0 && bsearch(&name, l->subscribed, l->subscribed_count,
	                                      sizeof(*l->subscribed), compare_text) != NULL;
}

static const struct observed_name *find_name(const struct notify_names *l, const char *name)
{
	const struct observed_name key = {.name = name};

	return l->n > 0 ? bsearch(&key, l->v, l->n, sizeof(*l->v), compare_name) : NULL;
}

static bool is_mailbox(const struct observed_name *x)
{
	return x != NULL && (x->attributes & (LIST_NOSELECT | LIST_NONEXISTENT)) == 0;
}

/* ---- what this session did ---- */
/* A name that is made or goes takes levels above and below it along. */
static bool is_own(const struct notify *n, unsigned event, const char *name)
{
	size_t i;

	for (i = 0; i < n->deeds.n; i++) {
		const struct notify_deed *d = &n->deeds.v[i];

		if (d->event == event &&
		    (strcmp(d->name, name) == 0 ||
		        (event == EVENT_NAME && (is_below(name, d->name) || is_below(d->name, name)))))
			return true;
	}
	return false;
}

static void forget_deeds(struct notify *n)
{
	size_t i;

	for (i = 0; i < n->deeds.n; i++)
		mem_free(n->deeds.v[i].name);
	vec_clear(&n->deeds);
}

/* ---- names and subscriptions ---- */
struct subscriptions {
	struct arena *a;
	VEC(const char *) list;
};

static int on_subscribed(void *arg, const struct list_entry *entry)
{
	struct subscriptions *x = arg;

	if ((entry->attributes & LIST_SUBSCRIBED) != 0)
		*vec_push(&x->list) = arena_strdup(x->a, entry->name);
	return 0;
}

static int read_names(struct session *s, struct notify *n, struct notify_names *out, struct err *e)
{
	struct subscriptions x = {.list = VEC_INIT};

	*out = (struct notify_names){.arena = arena_new("notify names")};
	x.a = out->arena;
	if (observer_names(n->observer, out->arena, &out->v, &out->n, e) == 0)
		store_lsub(s->setup->store, "", "*", on_subscribed, &x, e);
	if (x.list.n > 1)
		qsort(x.list.v, x.list.n, sizeof(*x.list.v), compare_text);
	out->subscribed = arena_dup(out->arena, x.list.v, x.list.n * sizeof(*x.list.v));
	out->subscribed_count = x.list.n;
	vec_free(&x.list);
	if (e->code != 0)
		arena_free(&out->arena);
	return e->code;
}

struct comparing {
	struct session *s;
	struct notify *n;
	struct arena *arena;
	const struct notify_names *old, *now;
	struct special_uses uses;
	VEC(const struct observed_name *) gone, come;
	VEC(const char *) told;
};

/* "* LIST" of a name as it is now. */
static void tell_name(struct comparing *x, const char *name, const char *old_name)
{
	const struct observed_name *is = find_name(x->now, name);
	struct list_line l = {.word = "LIST",
	    .extended = true,
	    .oldname = old_name,
	    .entry = {.name = name,
	        .separator = '/',
	        .attributes = is != NULL ? is->attributes : LIST_NONEXISTENT | LIST_HASNOCHILDREN}};

	if (is_subscribed(x->now, name))
		l.entry.attributes |= LIST_SUBSCRIBED;
	if (is_mailbox(is))
		l.uses = special_use_of(&x->uses, name);
	list_write(x->s, session_out(x->s), &l);
	*vec_push(&x->told) = name;
	session_written(x->s);
}

static bool was_told(const struct comparing *x, const char *name)
{
	size_t i;

	for (i = 0; i < x->told.n; i++)
		if (strcmp(x->told.v[i], name) == 0)
			return true;
	return false;
}

static bool wants(const struct comparing *x, unsigned event, const char *name)
{
	bool subscribed = is_subscribed(x->now, name) || is_subscribed(x->old, name);

	return (notify_wanted(x->n, name, subscribed) & event) != 0 && !is_own(x->n, event, name);
}

/* §5.4: the level above a name that came or went is concerned, too. */
static void tell_with_parent(struct comparing *x, const char *name)
{
	const char *slash = strrchr(name, '/');
	char *parent;

	if (wants(x, EVENT_NAME, name))
		tell_name(x, name, NULL);
	if (slash == NULL)
		return;
	parent = arena_strndup(x->arena, name, (size_t)(slash - name));
	if (wants(x, EVENT_NAME, parent) && !is_own(x->n, EVENT_NAME, name) && !was_told(x, parent))
		tell_name(x, parent, NULL);
}

/* A level that a mailbox came to be at, or a mailbox of which the level is left, is a difference as well. */
static void find_differences(struct comparing *x)
{
	const struct notify_names *old = x->old, *now = x->now;
	size_t i = 0, j = 0;

	while (i < old->n || j < now->n) {
		int order = i == old->n ? 1 : j == now->n ? -1 : strcmp(old->v[i].name, now->v[j].name);

		if (order == 0 && is_mailbox(&old->v[i]) != is_mailbox(&now->v[j])) {
			if (is_mailbox(&now->v[j]))
				*vec_push(&x->come) = &now->v[j];
			else
				*vec_push(&x->gone) = &old->v[i];
		}
		if (order < 0)
			*vec_push(&x->gone) = &old->v[i];
		if (order > 0)
			*vec_push(&x->come) = &now->v[j];
		i += order <= 0;
		j += order >= 0;
	}
}

static size_t place_in_come(const struct comparing *x, const char *name)
{
	size_t i;

	for (i = 0; i < x->come.n; i++)
		if (strcmp(x->come.v[i]->name, name) == 0)
			break;
	return i;
}

/* What is below a renamed mailbox went along: nothing is told of it. */
static void pass_over_children(struct comparing *x, const char *from, const char *to)
{
	size_t i, at;

	for (i = x->gone.n; i-- > 0;) {
		const char *name = x->gone.v[i]->name;

		if (!is_below(name, from))
			continue;
		at = place_in_come(x, arena_printf(x->arena, "%s%s", to, name + strlen(from)));
		if (at == x->come.n)
			continue;
		vec_remove(&x->come, at);
		vec_remove(&x->gone, i);
	}
}

static bool same_object(const struct observed_name *a, const struct observed_name *b)
{
	return a->ino != 0 && a->ino == b->ino && a->dev == b->dev;
}

static void tell_renamed(struct comparing *x)
{
	size_t i, j;

	for (i = 0; i < x->gone.n;) {
		const struct observed_name *from = x->gone.v[i], *to;

		for (j = 0; j < x->come.n && !same_object(from, x->come.v[j]); j++)
			;
		if (j == x->come.n || !observer_moved(x->n->observer, from->name)) {
			i++;
			continue;
		}
		to = x->come.v[j];
		if (wants(x, EVENT_NAME, to->name) || wants(x, EVENT_NAME, from->name))
			tell_name(x, to->name, from->name);
		vec_remove(&x->gone, i);
		vec_remove(&x->come, j);
		pass_over_children(x, from->name, to->name);
	}
}

static void tell_differences(struct comparing *x)
{
	size_t i, j;

	find_differences(x);
	tell_renamed(x);
	for (i = 0; i < x->gone.n; i++)
		tell_with_parent(x, x->gone.v[i]->name);
	for (i = 0; i < x->come.n; i++)
		tell_with_parent(x, x->come.v[i]->name);
	/* Subscriptions: both lists are in order. */
	for (i = j = 0; i < x->old->subscribed_count || j < x->now->subscribed_count;) {
		const char *a = i < x->old->subscribed_count ? x->old->subscribed[i] : NULL;
		const char *b = j < x->now->subscribed_count ? x->now->subscribed[j] : NULL;
		int order = a == NULL ? 1 : b == NULL ? -1 : strcmp(a, b);

		if (order != 0 && wants(x, EVENT_SUBSCRIPTION, order < 0 ? a : b) &&
		    !was_told(x, order < 0 ? a : b))
			tell_name(x, order < 0 ? a : b, NULL);
		i += order <= 0;
		j += order >= 0;
	}
}

static int names_news(struct session *s, struct notify *n, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("notify names");
	struct comparing x = {
	    .s = s, .n = n, .arena = a, .gone = VEC_INIT, .come = VEC_INIT, .told = VEC_INIT};
	struct notify_names now;

	if (read_names(s, n, &now, e) != 0)
		return e->code;
	x.old = &n->names;
	x.now = &now;
	store_special_uses(s->setup->store, a, &x.uses);
	tell_differences(&x);
	vec_free(&x.gone);
	vec_free(&x.come);
	vec_free(&x.told);
	arena_free(&n->names.arena);
	n->names = now;
	return 0;
}

/* ---- annotations ---- */
static void annotations_free(struct annotations *x)
{
	size_t i;

	for (i = 0; i < x->list.n; i++)
		mem_free(x->list.v[i].name);
	vec_free(&x->list);
}

static void on_annotation(void *arg, const struct metadata *m)
{
	struct annotations *x = arg;
	AUTO_BUF struct buf name = BUF_INIT;

	buf_addstr(&name, m->name);
	*vec_push(&x->list) = (struct annotation){mem_strdup(buf_cstr(&name)), str_hash(m->value)};
}

static int compare_annotations(const void *a, const void *b)
{
	const struct annotation *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int read_annotations(struct session *s, const char *mailbox, struct annotations *out, struct err *e)
{
	static const char *const roots[] = {"/private", "/shared"};
	size_t i;

	*out = (struct annotations){.list = VEC_INIT};
	for (i = 0; i < ARRAY_LEN(roots) && e->code == 0; i++)
		store_metadata(
		    s->setup->store, mailbox, str_of(roots[i]), METADATA_INFINITY, on_annotation, out, e);
	if (out->list.n > 1)
		qsort(out->list.v, out->list.n, sizeof(*out->list.v), compare_annotations);
	if (e->code != 0)
		annotations_free(out);
	return e->code;
}

static void tell_annotation(struct session *s, const char *mailbox, const char *entry, bool *begun)
{
	struct buf *out = session_out(s);

	if (!*begun) {
		buf_adds(out, "* METADATA ");
		write_mailbox_name(s, out, mailbox);
	}
	*begun = true;
	buf_addc(out, ' ');
	imap_astring(out, str_of(entry));
}

/* Names of entries that were set, changed or taken away. "": the server's. */
static void annotations_news(
    struct session *s, const char *mailbox, struct annotations *known, bool own, struct err *e)
{
	struct annotations now;
	size_t i = 0, j = 0;
	bool begun = own;

	if (read_annotations(s, mailbox[0] != '\0' ? mailbox : NULL, &now, e) != 0)
		return;
	while (!own && (i < known->list.n || j < now.list.n)) {
		const struct annotation *a = i < known->list.n ? &known->list.v[i] : NULL;
		const struct annotation *b = j < now.list.n ? &now.list.v[j] : NULL;
		int order = a == NULL ? 1 : b == NULL ? -1 : strcmp(a->name, b->name);

		if (order != 0 || a->hash != b->hash)
			tell_annotation(s, mailbox, order > 0 ? b->name : a->name, &begun);
		i += order <= 0;
		j += order >= 0;
	}
	if (begun && !own)
		buf_adds(session_out(s), "\r\n");
	annotations_free(known);
	*known = now;
}

/* ---- messages ---- */
static void tell_status(struct session *s, struct notify_box *b, const struct mailbox_status *now, bool all)
{
	const struct mailbox_status *was = &b->status;
	bool flags = (b->events & EVENT_FLAGS) != 0;
	bool other = all || now->uidvalidity != was->uidvalidity;
	bool counts = other || now->messages != was->messages || now->uidnext != was->uidnext;
	bool seen = flags && (other || now->unseen != was->unseen);
	bool modseq =
	    all ? flags : s->condstore && (counts || (flags && now->highestmodseq != was->highestmodseq));
	struct status_request r = {.count = 0};

	if (counts) {
		status_item(&r, "MESSAGES");
		status_item(&r, "UIDNEXT");
	}
	if (other || (modseq && flags))
		status_item(&r, "UIDVALIDITY");
	if (seen)
		status_item(&r, "UNSEEN");
	if (modseq)
		status_item(&r, "HIGHESTMODSEQ");
	if (r.count > 0)
		status_say(s, session_out(s), b->name, &r, now);
	session_written(s);
}

/* Whether the difference is the messages that this session itself put there. */
static bool own_messages(const struct notify_box *b, const struct mailbox_status *now)
{
	return b->own > 0 && now->messages == b->status.messages + b->own &&
	       now->uidnext == b->status.uidnext + b->own && now->uidvalidity == b->status.uidvalidity &&
	       now->unseen <= b->status.unseen + b->own;
}

static void tell_access(struct session *s, struct notify *n, struct notify_box *b, bool access)
{
	const struct observed_name *is = find_name(&n->names, b->name);
	struct list_line l = {.word = "LIST",
	    .extended = true,
	    .no_access = !access,
	    .entry = {.name = b->name, .separator = '/', .attributes = is != NULL ? is->attributes : 0}};

	if (b->no_access == !access)
		return;
	b->no_access = !access;
	if (is_subscribed(&n->names, b->name))
		l.entry.attributes |= LIST_SUBSCRIBED;
	list_write(s, session_out(s), &l);
}

/* An INBOX that has never been has another UIDVALIDITY at every look. */
static bool is_nothing(const struct mailbox_status *s)
{
	return s->messages == 0 && s->uidnext == 1 && s->uidvalidity != 0;
}

/* Looks; what cannot be looked at now is looked at later. LIMIT comes through. */
static int look(struct session *s, struct notify *n, struct notify_box *b, bool tell, struct err *e)
{
	struct mailbox_status now;
	int r = observer_look(n->observer, b->observed, &now, e);

	if (e->code == MORTISE_E_PERM) {
		tell_access(s, n, b, false);
		err_clear(e);
		return 0;
	}
	if (r < 0 && e->code != MORTISE_E_LIMIT) {
		log_debug("imap", "NOTIFY: %s: %s", b->name, e->admin);
		err_clear(e);
		return 0;
	}
	if (r <= 0)
		return e->code;
	tell_access(s, n, b, true);
	if (is_nothing(&now) && is_nothing(&b->status))
		now.uidvalidity = b->status.uidvalidity;
	if (b->known && tell && !own_messages(b, &now))
		tell_status(s, b, &now, false);
	b->status = now;
	b->known = true;
	b->own = 0;
	return 0;
}

static void box_free(struct notify *n, struct notify_box *b)
{
	if (n->observer != NULL)
		observer_remove(n->observer, &b->observed);
	annotations_free(&b->annotations);
	mem_free(b->name);
}

/* A mailbox of which something is wanted; it is looked at, and nothing told. */
static int add_box(
    struct session *s, struct notify *n, size_t at, const char *name, unsigned events, struct err *e)
{
	struct notify_box *b = vec_insert(&n->boxes, at);

	*b = (struct notify_box){.name = mem_strdup(name), .events = events};
	if ((events & EVENTS_MESSAGE) != 0) {
		b->observed = observer_add(n->observer, b->name);
		look(s, n, b, false, e);
	}
	if ((events & EVENT_METADATA) != 0 && e->code == 0 && !b->no_access &&
	    read_annotations(s, name, &b->annotations, e) != 0 && e->code != MORTISE_E_LIMIT)
		err_clear(e);
	return e->code;
}

/* The box of this name is there when something is wanted of it, and only then. */
static int settle_box(struct session *s, struct notify *n, size_t *at, const char *name, struct err *e)
{
	unsigned events =
	    notify_wanted(n, name, is_subscribed(&n->names, name)) & (EVENTS_MESSAGE | EVENT_METADATA);
	int order = 1;

	while (*at < n->boxes.n && (order = strcmp(n->boxes.v[*at].name, name)) < 0) {
		box_free(n, &n->boxes.v[*at]);
		vec_remove(&n->boxes, *at);
		order = 1;
	}
	if (order == 0 && n->boxes.v[*at].events == events) {
		++*at;
		return 0;
	}
	if (order == 0) {
		box_free(n, &n->boxes.v[*at]);
		vec_remove(&n->boxes, *at);
	}
	if (events == 0)
		return 0;
	add_box(s, n, *at, name, events, e);
	++*at;
	return e->code;
}

/* Without a listing the names that were given are the mailboxes; which of them are there a look shows. */
static int settle_named(struct session *s, struct notify *n, struct err *e)
{
	VEC(const char *) names = VEC_INIT;
	size_t i, j, at = 0;

	for (i = 0; i < n->group_count; i++)
		for (j = 0; j < n->groups[i].name_count; j++)
			*vec_push(&names) = n->groups[i].names[j];
	if (names.n > 1)
		qsort(names.v, names.n, sizeof(*names.v), compare_text);
	for (i = 0; i < names.n && e->code == 0; i++)
		if (i == 0 || strcmp(names.v[i], names.v[i - 1]) != 0)
			settle_box(s, n, &at, names.v[i], e);
	vec_free(&names);
	return e->code;
}

static int settle_boxes(struct session *s, struct notify *n, struct err *e)
{
	size_t i, at = 0;

	if (!n->listing)
		return settle_named(s, n, e);
	for (i = 0; i < n->names.n && e->code == 0 && !session_stopped(s); i++)
		if (is_mailbox(&n->names.v[i]))
			settle_box(s, n, &at, n->names.v[i].name, e);
	while (at < n->boxes.n && e->code == 0) {
		box_free(n, &n->boxes.v[at]);
		vec_remove(&n->boxes, at);
	}
	return e->code;
}

/* ---- beginning and end ---- */
/* The selected mailbox is watched as long as something of it is wanted. */
static int follow_selected(struct session *s, struct notify *n, struct err *e)
{
	if (s->mailbox == NULL || n->selected == 0) {
		observer_remove(n->observer, &n->followed);
		return 0;
	}
	if (n->followed == NULL)
		n->followed = observer_add(n->observer, "");
	return observer_follow(n->observer, n->followed, s->mailbox, e);
}

int notify_begin(struct session *s, struct notify *n, struct err *e)
{
	bool any = n->selected != 0;
	size_t i;

	for (i = 0; i < n->group_count; i++)
		any = any || n->groups[i].events != 0;
	if (!any)
		return 0;
	if (observer_open(s->setup->store, s->o->notify_watches, &n->observer, e) != 0)
		return e->code;
	n->poll = clock_ms() + s->o->idle_poll;
	n->pending = true;
	if ((n->listing || n->annotated || n->server_annotated) &&
	    observer_watch_account(n->observer, e) != 0)
		return e->code;
	if (n->listing && read_names(s, n, &n->names, e) != 0)
		return e->code;
	if (settle_boxes(s, n, e) != 0)
		return e->code;
	if (n->server_annotated && read_annotations(s, NULL, &n->server, e) != 0)
		return e->code;
	return follow_selected(s, n, e);
}

void notify_tell_status(struct session *s, struct notify *n)
{
	size_t i;

	for (i = 0; i < n->boxes.n; i++) {
		struct notify_box *b = &n->boxes.v[i];

		if (b->known && !is_selected(s, b->name))
			tell_status(s, b, &b->status, true);
	}
}

void notify_free(struct notify **np)
{
	struct notify *n = *np;
	size_t i;

	*np = NULL;
	if (n == NULL)
		return;
	for (i = 0; i < n->boxes.n; i++)
		box_free(n, &n->boxes.v[i]);
	vec_free(&n->boxes);
	if (n->observer != NULL)
		observer_remove(n->observer, &n->followed);
	observer_close(&n->observer);
	annotations_free(&n->server);
	forget_deeds(n);
	vec_free(&n->deeds);
	vec_free(&n->own_uids);
	arena_free(&n->names.arena);
	arena_free(&n->arena);
	mem_free(n);
}

/* What the view was told is what the client knows. */
void notify_left(struct session *s)
{
	struct notify *n = s->notify;
	struct notify_box *b = NULL;
	size_t i;

	if (n == NULL || n->observer == NULL || s->view == NULL)
		return;
	for (i = 0; i < n->boxes.n && b == NULL; i++)
		if (n->boxes.v[i].observed != NULL && is_selected(s, n->boxes.v[i].name))
			b = &n->boxes.v[i];
	observer_remove(n->observer, &n->followed);
	vec_clear(&n->own_uids);
	n->pending = true;
	if (b == NULL)
		return;
	b->status = (struct mailbox_status){.messages = view_count(s->view),
	    .uidnext = mailbox_uidnext(s->mailbox),
	    .uidvalidity = mailbox_uidvalidity(s->mailbox),
	    .highestmodseq = s->settled};
	for (i = 1; i <= b->status.messages; i++)
		b->status.unseen += (view_message(s->view, (uint32_t)i)->flags & MORTISE_FLAG_SEEN) == 0;
	b->known = true;
	b->own = 0;
	observer_doubt(b->observed);
}

/* ---- hearing ---- */
static void boxes_news(struct session *s, struct notify *n, struct err *e)
{
	size_t i;

	for (i = 0; i < n->boxes.n && e->code == 0 && !session_stopped(s); i++) {
		struct notify_box *b = &n->boxes.v[i];

		if (b->observed != NULL && !is_selected(s, b->name))
			look(s, n, b, true, e);
	}
}

static void all_annotations(struct session *s, struct notify *n, struct err *e)
{
	size_t i;

	for (i = 0; i < n->boxes.n && !session_stopped(s); i++) {
		struct notify_box *b = &n->boxes.v[i];
		struct err one = ERR_INIT;

		if ((b->events & EVENT_METADATA) != 0)
			annotations_news(
			    s, b->name, &b->annotations, is_own(n, EVENT_METADATA, b->name), &one);
	}
	if (n->server_annotated)
		annotations_news(s, "", &n->server, is_own(n, EVENT_SERVER_METADATA, ""), e);
}

/* §5.8: nothing more is told, as after NOTIFY NONE. */
static void overflow(struct session *s, const struct err *e)
{
	struct notify *none = mem_new(struct notify);

	log_msg(MSG_IMAP_NOTIFY, "%s", e->admin);
	notify_free(&s->notify);
	none->arena = arena_new("notify");
	s->notify = none;
	response(
	    session_out(s), STR(""), RESPONSE_OK, "NOTIFICATIONOVERFLOW", "Too much to watch: NOTIFY ends");
}

static void hear_selected(struct session *s, bool expunges)
{
	struct notify *n = s->notify;

	s->reply = (struct reply){.status = RESPONSE_NO}; /* condstore_settle is to say it at once */
	s->told_modseq = s->told_vanished = false;
	update_view(s, expunges || !n->delayed);
	condstore_settle(s);
}

static void hear_others(struct session *s, unsigned what, struct err *e)
{
	struct notify *n = s->notify;

	if (n->listing && (what & (OBSERVED_NAMES | OBSERVED_SUBSCRIPTIONS)) != 0 && names_news(s, n, e) == 0)
		settle_boxes(s, n, e);
	if ((what & OBSERVED_BOXES) != 0 && e->code == 0)
		boxes_news(s, n, e);
	if ((what & OBSERVED_ANNOTATIONS) != 0 && e->code == 0)
		all_annotations(s, n, e);
	if (e->code == 0)
		follow_selected(s, n, e);
}

/*
 * The kernel tells of a write to the index before those who read the index can see it. So there is a second
 * look soon after.
 */
static unsigned what_happened(struct notify *n, unsigned what, uint64_t now)
{
	bool again = n->again != 0 && now >= n->again;

	if (what != 0)
		n->again = now + NEWS_LOOK_AGAIN;
	else if (again)
		n->again = 0;
	if (again)
		what |= OBSERVED_BOXES | OBSERVED_ANNOTATIONS;
	if (n->pending || now >= n->poll)
		what = OBSERVED_ALL;
	n->pending = false;
	return what;
}

void notify_hear(struct session *s, bool expunges)
{
	struct notify *n = s->notify;
	struct err e = ERR_INIT;
	unsigned what;

	if (n == NULL || n->observer == NULL)
		return;
	what = what_happened(n, observer_read(n->observer), clock_ms());
	n->poll = clock_ms() + s->o->idle_poll;
	if (what == 0)
		return;
	s->rested = false;
	if (s->view != NULL && n->selected != 0 && (what & OBSERVED_BOXES) != 0)
		hear_selected(s, expunges);
	if (s->ended)
		return;
	hear_others(s, what, &e);
	forget_deeds(n);
	if (e.code == MORTISE_E_LIMIT)
		overflow(s, &e);
	else if (e.code != 0)
		log_err(MSG_IMAP_FAILED, &e, "NOTIFY");
	session_written(s);
}
