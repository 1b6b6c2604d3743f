/*
 * scan.c: SCAN, the UW toolkit's LIST of mailboxes that contain a text.
 *
 * SCAN reference pattern text: as LIST, but only mailboxes with a message in which SEARCH TEXT finds the
 * text. c-client uses it where it is offered.
 */
#include "base/vec.h"
#include "imap/list.h"
#include "imap/search_result.h"
#include "log/log.h"
#include "base/banned.h"

struct scan {
	struct session *s;
	const char *reference, *pattern;
	struct search_request request;
	VEC(struct list_entry) entries;
	struct special_uses uses;
};

static bool scan_parse(struct scan *x, struct parse *p)
{
	struct search *key = arena_new_of(p->arena, struct search);

	if (!parse_sp(p) || !parse_mailbox(p, &x->reference) || !parse_sp(p) ||
	    !parse_pattern(p, &x->pattern) || !parse_sp(p) || !parse_astring(p, &key->text) || !parse_end(p))
		return false;
	key->key = SEARCH_TEXT;
	search_prepare(key, x->s->comparator, p->arena);
	x->request = (struct search_request){.program = key, .most = 1};
	return true;
}

static int take(void *arg, const struct list_entry *entry)
{
	struct scan *x = arg;

	if ((entry->attributes & (LIST_NOSELECT | LIST_NONEXISTENT)) != 0)
		return 0;
	if (x->entries.n >= x->s->o->search_mailboxes)
		return MORTISE_E_LIMIT;
	*vec_push(&x->entries) = *entry;
	vec_last(&x->entries)->name = arena_strdup(x->s->arena, entry->name);
	return 0;
}

static bool contains(struct scan *x, const char *name, struct err *e)
{
	search_numbers found = VEC_INIT;
	struct search_scope scope;
	bool gone, yes = false;

	if (search_open(x->s, name, &scope, e) == 0) {
		search_messages(&scope, &x->request, &found, &gone, e);
		yes = found.n > 0;
	}
	search_close(&scope);
	vec_free(&found);
	search_pass_over(x->s, e);
	return yes;
}

static void scan(struct scan *x, struct err *e)
{
	struct store *store = x->s->setup->store;
	size_t i;

	if (store_list(store, x->reference, x->pattern, take, x, e) != 0)
		return;
	store_special_uses(store, x->s->arena, &x->uses);
	for (i = 0; i < x->entries.n && e->code == 0 && session_written(x->s); i++) {
		const struct list_entry *entry = &x->entries.v[i];

		if (contains(x, entry->name, e))
			list_write(x->s, session_out(x->s),
			    &(struct list_line){.word = "LIST",
			        .entry = *entry,
			        .uses = special_use_of(&x->uses, entry->name)});
	}
}

void command_scan(struct session *s, struct parse *p)
{
	struct scan x = {.s = s};
	struct err e = ERR_INIT;

	if (!scan_parse(&x, p)) {
		reply_bad(s, p->error);
		return;
	}
	scan(&x, &e);
	vec_free(&x.entries);
	reply_result(s, &e, "SCAN completed");
}
