#include "search/search.h"

#include "base/object.h"
#include "base/vec.h"
#include "charset/charset.h"
#include "search/fuzzy.h"
#include "search/text.h"
#include "base/banned.h"

enum cost { COST_RECORD, COST_HEADER, COST_BODY, COSTS };

static enum cost cost_of(enum search_key key)
{
	switch (key) {
	case SEARCH_SENTBEFORE:
	case SEARCH_SENTON:
	case SEARCH_SENTSINCE:
	case SEARCH_HEADER:
	case SEARCH_ADDRESS:
	case SEARCH_SUBJECT:
		return COST_HEADER;
	case SEARCH_BODY:
	case SEARCH_TEXT:
	case SEARCH_EMAILID:
	case SEARCH_THREADID:
		return COST_BODY;
	default:
		return COST_RECORD;
	}
}

typedef VEC(struct search *) search_vec;

/* Every key of the program, parents before children. */
static void flatten(struct search *root, search_vec *all)
{
	size_t done = 0;
	struct search *child;

	*vec_push(all) = root;
	for (done = 0; done < all->n; done++)
		for (child = all->v[done]->child; child != NULL; child = child->next)
			*vec_push(all) = child;
}

static void fold_text(struct search *s, struct arena *a)
{
	struct buf b = BUF_INIT;

	charset_fold_by(s->comparator, &b, s->text);
	s->folded = arena_str(a, buf_str(&b));
	s->borders = matcher_borders(a, s->folded);
	if (s->fuzzy) {
		struct fuzzy_words *words = fuzzy_words_new(a, s->folded);

		s->words = words->n > 0 ? words : NULL;
	}
	buf_free(&b);
}

static struct str lower_case(struct arena *a, struct str s)
{
	char *copy = arena_alloc(a, s.n + 1);
	size_t i;

	for (i = 0; i < s.n; i++)
		copy[i] = ascii_lower(s.p[i]);
	return str_mem(copy, s.n);
}

/* Children, already prepared, by cost; those of one cost stay in order. */
static void order_children(struct search *s)
{
	struct search *first[COSTS] = {NULL}, **end[COSTS], *child, **link = &s->child;
	unsigned cost;

	for (cost = 0; cost < COSTS; cost++)
		end[cost] = &first[cost];
	for (child = s->child; child != NULL; child = child->next) {
		*end[child->cost] = child;
		end[child->cost] = &child->next;
	}
	for (cost = 0; cost < COSTS; cost++) {
		*end[cost] = NULL;
		if (first[cost] == NULL)
			continue;
		*link = first[cost];
		link = end[cost];
		s->cost = cost;
	}
}

void search_prepare(struct search *s, enum comparator c, struct arena *a)
{
	search_vec all = VEC_INIT;
	size_t i;

	flatten(s, &all);
	for (i = all.n; i-- > 0;) {
		struct search *key = all.v[i];

		key->cost = cost_of(key->key);
		key->comparator = key->fuzzy ? COMPARATOR_UNICODE_CASEMAP : c;
		if (key->text.p != NULL)
			fold_text(key, a);
		if (key->field.p != NULL)
			key->name = lower_case(a, key->field);
		if (key->child != NULL)
			order_children(key);
	}
	vec_free(&all);
}

/* Whether any key of the program is one of those. */
static bool any_key(const struct search *s, bool (*is)(enum search_key key))
{
	VEC(const struct search *) todo = VEC_INIT;
	bool found = false;

	*vec_push(&todo) = s;
	while (todo.n != 0 && !found) {
		const struct search *key = todo.v[--todo.n], *child;

		found = is(key->key);
		for (child = key->child; child != NULL; child = child->next)
			*vec_push(&todo) = child;
	}
	vec_free(&todo);
	return found;
}

static bool reads_message(enum search_key key)
{
	return cost_of(key) != COST_RECORD;
}

bool search_needs_message(const struct search *s)
{
	return any_key(s, reads_message);
}

static bool may_change(enum search_key key)
{
	return key == SEARCH_FLAG || key == SEARCH_KEYWORD || key == SEARCH_NEW || key == SEARCH_MODSEQ;
}

bool search_may_change(const struct search *s)
{
	return any_key(s, may_change);
}
