#include "base/vec.h"
#include "imap/list.h"
#include "search/names.h"
#include "base/banned.h"

/* A name that may be told. */
struct listed {
	struct list_entry entry;
	unsigned uses;
	bool matches;   /* a pattern */
	bool selected;  /* by the selection options */
	bool children;  /* names below it are selected, */
	bool uncovered; /* and one of them is not told itself */
};

struct gathering {
	struct session *s;
	const struct list_request *r;
	const char **patterns; /* with the reference, none of them empty */
	size_t pattern_count;
	bool matching; /* what is listed now matches a pattern */
	struct special_uses uses;
	struct names names; /* → place in `listed`, + 1 */
	VEC(struct listed) listed;
};

static bool matches_any(const struct gathering *g, const char *name)
{
	size_t i;

	for (i = 0; i < g->pattern_count; i++)
		if (list_match(g->patterns[i], name, '/'))
			return true;
	return false;
}

/* The entry of a name. A new one does not exist, as far as we know. */
static struct listed *entry_of(struct gathering *g, struct str name)
{
	uint32_t *place = names_number(&g->names, name);
	struct listed *x;

	if (*place != 0)
		return &g->listed.v[*place - 1];
	x = vec_push(&g->listed);
	*x = (struct listed){.entry = {.name = arena_str(g->s->arena, name).p,
	                         .separator = '/',
	                         .attributes = LIST_NONEXISTENT | LIST_HASNOCHILDREN}};
	x->matches = matches_any(g, x->entry.name);
	*place = (uint32_t)g->listed.n;
	return x;
}

static int on_existing(void *arg, const struct list_entry *entry)
{
	struct gathering *g = arg;
	struct listed *x = entry_of(g, str_of(entry->name));

	x->entry.separator = entry->separator;
	x->entry.attributes = entry->attributes;
	x->matches = x->matches || g->matching;
	if ((entry->attributes & LIST_NOSELECT) == 0)
		x->uses = special_use_of(&g->uses, entry->name);
	return session_stopped(g->s) ? MORTISE_E_CANCELLED : 0;
}

static int on_subscribed(void *arg, const struct list_entry *entry)
{
	struct gathering *g = arg;

	if ((entry->attributes & LIST_SUBSCRIBED) != 0)
		entry_of(g, str_of(entry->name))->entry.attributes |= LIST_SUBSCRIBED;
	return session_stopped(g->s) ? MORTISE_E_CANCELLED : 0;
}

/* Mailboxes that have a special use, whether they match or not: their parents may. */
static int gather_special(struct gathering *g, struct err *e)
{
	size_t i;

	g->matching = false;
	for (i = 0; i < SPECIAL_USES && e->code == 0; i++)
		if (g->uses.names[i] != NULL)
			store_list(g->s->setup->store, "", g->uses.names[i], on_existing, g, e);
	return e->code;
}

static int gather(struct gathering *g, struct err *e)
{
	struct store *store = g->s->setup->store;
	size_t i;

	store_special_uses(store, g->s->arena, &g->uses);
	g->matching = true;
	for (i = 0; i < g->pattern_count && e->code == 0; i++)
		store_list(store, "", g->patterns[i], on_existing, g, e);
	if (e->code == 0 && (g->r->wanted & LIST_OPTION_SUBSCRIBED) != 0)
		store_lsub(store, "", "*", on_subscribed, g, e);
	if (e->code == 0 && (g->r->select & LIST_OPTION_RECURSIVEMATCH) != 0 &&
	    (g->r->select & LIST_OPTION_SPECIAL_USE) != 0)
		gather_special(g, e);
	return e->code;
}

static bool is_selected_by(unsigned select, const struct listed *x)
{
	bool subscribed = (x->entry.attributes & LIST_SUBSCRIBED) != 0;

	if ((select & LIST_OPTION_SUBSCRIBED) != 0)
		return subscribed && ((select & LIST_OPTION_SPECIAL_USE) == 0 || x->uses != 0);
	return (x->entry.attributes & LIST_NONEXISTENT) == 0 &&
	       ((select & LIST_OPTION_SPECIAL_USE) == 0 || x->uses != 0);
}

/* RFC 5258 §3.5: the levels above a selected name hear of it. */
static void tell_parents(struct gathering *g, const char *name, bool told)
{
	size_t i;

	for (i = strlen(name); i-- > 1;) {
		struct listed *parent;

		if (name[i] != '/')
			continue;
		parent = entry_of(g, str_mem(name, i));
		parent->children = true;
		parent->uncovered = parent->uncovered || !told;
	}
}

static void select_entries(struct gathering *g)
{
	size_t count = g->listed.n, i;

	for (i = 0; i < count; i++)
		g->listed.v[i].selected = is_selected_by(g->r->select, &g->listed.v[i]);
	if ((g->r->select & LIST_OPTION_RECURSIVEMATCH) == 0)
		return;
	for (i = 0; i < count && !session_stopped(g->s); i++)
		if (g->listed.v[i].selected)
			tell_parents(g, g->listed.v[i].entry.name, g->listed.v[i].matches);
}

/* Whether the mailbox cannot be selected; other errors pass, and then STATUS is left out (RFC 5819 §2). */
static bool forbids_selecting(int code)
{
	return code == MORTISE_E_NOTFOUND || code == MORTISE_E_PERM || code == MORTISE_E_CORRUPT ||
	       code == MORTISE_E_INVALID || code == MORTISE_E_UNSUPPORTED;
}

static bool wants(const struct gathering *g, const struct listed *x, unsigned option)
{
	return (g->r->wanted & option) != 0 && x->selected &&
	       (x->entry.attributes & (LIST_NOSELECT | LIST_NONEXISTENT)) == 0;
}

/* STATUS comes behind its LIST, but what it finds may change that. */
static void tell(struct gathering *g, struct listed *x)
{
	AUTO_BUF struct buf status = BUF_INIT;
	struct list_line l = {.word = "LIST", .extended = true, .entry = x->entry, .uses = x->uses};
	struct err e = ERR_INIT;

	if (wants(g, x, LIST_OPTION_STATUS))
		status_write(g->s, &status, x->entry.name, &g->r->status, &e);
	if (forbids_selecting(e.code))
		l.entry.attributes = (l.entry.attributes & ~(LIST_MARKED | LIST_UNMARKED)) | LIST_NOSELECT;
	if (x->children)
		l.childinfo = g->r->select;
	list_write(g->s, session_out(g->s), &l);
	buf_addstr(session_out(g->s), buf_str(&status));
	err_clear(&e);
	if (wants(g, x, LIST_OPTION_METADATA))
		metadata_write(g->s, x->entry.name, g->r, &e); /* RFC 9590 §3: or not at all */
	err_clear(&e);
	if (wants(g, x, LIST_OPTION_MYRIGHTS))
		myrights_write(g->s, session_out(g->s), x->entry.name, &e); /* RFC 8440 §3: or not at all */
}

/* The canonical patterns (RFC 5258 §2); an empty one matches nothing. */
static void join_patterns(struct gathering *g)
{
	size_t i;

	g->patterns = arena_array(g->s->arena, g->r->pattern_count, sizeof(*g->patterns));
	for (i = 0; i < g->r->pattern_count; i++) {
		const char *pattern = g->r->patterns[i];

		if (pattern[0] != '\0')
			g->patterns[g->pattern_count++] = list_pattern(g->r->reference, pattern, g->s->arena);
	}
}

int list_extended(struct session *s, const struct list_request *r, struct err *e)
{
	struct gathering g = {.s = s, .r = r, .names = {.arena = s->arena}};
	size_t i;

	join_patterns(&g);
	if (gather(&g, e) == 0) {
		select_entries(&g);
		for (i = 0; i < g.listed.n; i++) {
			struct listed *x = &g.listed.v[i];

			if (!x->matches || !(x->selected || x->uncovered))
				continue;
			tell(&g, x);
			if (!session_written(s) || session_stopped(s))
				break;
		}
	}
	names_free(&g.names);
	vec_free(&g.listed);
	return e->code;
}
