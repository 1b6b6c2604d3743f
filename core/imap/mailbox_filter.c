#include "imap/mailbox_filter.h"

#include "base/vec.h"
#include "search/names.h"
#include "base/banned.h"

#define MAILBOX_NAMES_MAGIC 0x4d624e6du /* "MbNm" */

struct mailbox_names {
	uint32_t magic;
	struct arena *arena;
	struct names known;
	VEC(const char *) all;
	size_t most;
};

/* ---- words ---- */
static bool names(struct parse *p, size_t most, struct mailbox_filter *out)
{
	VEC(const char *) all = VEC_INIT;
	bool several, ok = parse_sp(p);

	several = ok && parse_skip(p, '(');
	do {
		const char *name = "";

		ok = ok && parse_mailbox(p, &name) && (all.n < most || parse_fail(p, "Too many mailboxes"));
		*vec_push(&all) = name;
	} while (ok && several && parse_skip(p, ' '));
	ok = ok && (!several || parse_char(p, ')'));
	out->names = arena_dup(p->arena, all.v, all.n * sizeof(*all.v));
	out->count = all.n;
	vec_free(&all);
	return ok;
}

bool mailbox_filter_parse(struct parse *p, size_t most, struct mailbox_filter *out)
{
	static const char *const words[] = {
	    [MAILBOXES_SELECTED] = "selected",
	    [MAILBOXES_INBOXES] = "inboxes",
	    [MAILBOXES_PERSONAL] = "personal",
	    [MAILBOXES_SUBSCRIBED] = "subscribed",
	    [MAILBOXES_SUBTREE] = "subtree",
	    [MAILBOXES_SUBTREE_ONE] = "subtree-one",
	    [MAILBOXES_NAMED] = "mailboxes",
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(words) && !parse_word(p, words[i]); i++)
		;
	if (i == ARRAY_LEN(words))
		return parse_fail(p, "Unknown kind of mailboxes");
	*out = (struct mailbox_filter){.kind = (enum mailbox_filter_kind)i};
	return out->kind < MAILBOXES_SUBTREE || names(p, most, out);
}

/* ---- names ---- */
struct mailbox_names *mailbox_names_new(struct arena *a, size_t most)
{
	struct mailbox_names *n = mem_new(struct mailbox_names);

	n->magic = MAILBOX_NAMES_MAGIC;
	n->arena = a;
	n->known.arena = a;
	n->most = most;
	return n;
}

void mailbox_names_free(struct mailbox_names **np)
{
	struct mailbox_names *n;

	if (*np == NULL)
		return;
	TAKE_OBJ(n, np, MAILBOX_NAMES_MAGIC);
	names_free(&n->known);
	vec_free(&n->all);
	mem_free(n);
}

const char *const *mailbox_names_all(const struct mailbox_names *n, size_t *count)
{
	CHECK_OBJ(n, MAILBOX_NAMES_MAGIC);
	*count = n->all.n;
	return n->all.v;
}

int mailbox_names_add_one(struct mailbox_names *n, const char *name, struct err *e)
{
	uint32_t *number;

	CHECK_OBJ(n, MAILBOX_NAMES_MAGIC);
	number = names_number(&n->known, str_of(name));
	if (*number != 0)
		return 0;
	if (n->all.n >= n->most)
		return err_fail(e, MORTISE_E_LIMIT, "Too many mailboxes");
	*number = 1;
	*vec_push(&n->all) = arena_strdup(n->arena, name);
	return 0;
}

/* What LIST tells, if it is below `above` (NULL: anywhere), directly when `one`. */
struct taking {
	struct mailbox_names *n;
	const char *above;
	bool one;
	struct err *e;
};

static bool is_below(const struct taking *x, const struct list_entry *entry)
{
	struct str name = str_of(entry->name), above = str_of(x->above);

	if (x->above == NULL)
		return true;
	if (!str_starts(name, above) || name.n <= above.n + 1 || name.p[above.n] != entry->separator)
		return false;
	return !x->one || str_find(str_from(name, above.n + 1), entry->separator) == name.n - above.n - 1;
}

static int take(void *arg, const struct list_entry *entry)
{
	struct taking *x = arg;

	if ((entry->attributes & (LIST_NOSELECT | LIST_NONEXISTENT)) != 0 || !is_below(x, entry))
		return 0;
	return mailbox_names_add_one(x->n, entry->name, x->e);
}

static int list(struct taking *x, struct store *s, const char *reference, const char *pattern)
{
	int r = store_list(s, reference, pattern, take, x, x->e);

	return x->e->code != 0 ? x->e->code : r;
}

static int add_subtree(struct taking *x, struct store *s, const char *name)
{
	/* A name with a wildcard in it is no pattern. */
	bool plain = strpbrk(name, "*%") == NULL;
	const char *pattern = plain ? arena_printf(x->n->arena, "%s%s", name, x->one ? "/%" : "/*") : "*";

	x->above = name;
	if (mailbox_names_add_one(x->n, name, x->e) != 0)
		return x->e->code;
	return list(x, s, "", pattern);
}

static int add_personal(struct taking *x, struct store *s)
{
	const struct store_namespace *all;
	size_t count = store_namespaces(s, &all), i;

	for (i = 0; i < count && x->e->code == 0; i++)
		if (all[i].kind == NAMESPACE_PERSONAL)
			list(x, s, all[i].prefix, "*");
	return x->e->code;
}

static int add_subscribed(struct taking *x, struct store *s)
{
	int r = store_lsub(s, "", "*", take, x, x->e);

	return x->e->code != 0 ? x->e->code : r;
}

int mailbox_names_add(struct mailbox_names *n, struct store *s, const struct mailbox_filter *f, struct err *e)
{
	struct taking x = {.n = n, .one = f->kind == MAILBOXES_SUBTREE_ONE, .e = e};
	size_t i;

	switch (f->kind) {
	case MAILBOXES_SELECTED:
		return 0;
	case MAILBOXES_INBOXES:
		return mailbox_names_add_one(n, "INBOX", e);
	case MAILBOXES_PERSONAL:
		return add_personal(&x, s);
	case MAILBOXES_SUBSCRIBED:
		return add_subscribed(&x, s);
	case MAILBOXES_SUBTREE:
	case MAILBOXES_SUBTREE_ONE:
		for (i = 0; i < f->count && e->code == 0; i++)
			add_subtree(&x, s, f->names[i]);
		return e->code;
	case MAILBOXES_NAMED:
		for (i = 0; i < f->count && e->code == 0; i++)
			mailbox_names_add_one(n, f->names[i], e);
		return e->code;
	}
	UNREACHABLE("filter");
}
