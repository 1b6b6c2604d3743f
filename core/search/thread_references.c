/*
 * THREAD=REFERENCES (RFC 5256 §3), step by step, and THREAD=REFS, which is some of them.
 */
#include <stdlib.h>

#include "search/thread_int.h"

#include "base/object.h"
#include "base/banned.h"

/* A node and its twin in the forest; 0: there are too many. */
static uint32_t new_node(struct threading *t)
{
	uint32_t node, twin;

	if (t->nodes.n > t->most)
		return 0;
	node = thread_node_new(t);
	twin = forest_new(&t->forest);
	ASSERT(node == twin);
	return node;
}

static uint32_t node_of_id(struct threading *t, struct str id)
{
	uint32_t *node = names_number(&t->ids, id);

	if (*node == 0)
		*node = new_node(t);
	return *node;
}

/* ---- step 1 ---- */

/* Unless it would make a loop: the child has no parent, so it is above the other only as its root. */
static void link_nodes(struct threading *t, uint32_t parent, uint32_t child)
{
	struct thread_node *n = t->nodes.v;

	if (parent == child || (n[child].waiting > 0 && forest_root(&t->forest, parent) == child))
		return;
	forest_link(&t->forest, child, parent);
	n[child].parent = parent;
	n[parent].waiting++;
}

static void unlink_node(struct threading *t, uint32_t child)
{
	struct thread_node *n = t->nodes.v;

	if (n[child].parent == 0)
		return;
	forest_cut(&t->forest, child);
	n[n[child].parent].waiting--;
	n[child].parent = 0;
}

/* Only the first message with an id has it. */
static uint32_t node_of_message(struct threading *t, struct str id)
{
	uint32_t node = id.n > 0 ? node_of_id(t, id) : 0;

	if (node != 0 && t->nodes.v[node].message == 0)
		return node;
	return new_node(t);
}

bool references_add(struct threading *t, uint32_t message, const struct sort_record *record)
{
	struct str rest = record->texts[SORT_TEXT_REFERENCES];
	uint32_t node = node_of_message(t, record->texts[SORT_TEXT_ID]), before = 0;

	if (node == 0)
		return false;
	t->nodes.v[node].message = message;
	while (rest.n > 0) {
		uint32_t named = node_of_id(t, str_cut(&rest, '\0'));

		if (named == 0)
			return false;
		if (before != 0 && t->nodes.v[named].parent == 0)
			link_nodes(t, before, named);
		before = named;
	}
	unlink_node(t, node);
	if (before != 0)
		link_nodes(t, before, node);
	return true;
}

/* ---- steps 2 and 3 ---- */

/* All children were here before: a dummy's go to its parent. */
static void keep(struct threading *t, uint32_t node)
{
	struct thread_node *n = &t->nodes.v[node];

	if (n->message == 0 && n->children == 0)
		return;
	if (n->parent != 0 && n->message != 0)
		thread_adopt(t, n->parent, node);
	else if (n->parent != 0)
		thread_adopt_all(t, n->parent, node);
	else
		*vec_push(&t->roots) = n->message == 0 && n->children == 1 ? n->first : node;
}

/* From the leaves up, so that nothing recurses. */
static void prune(struct threading *t)
{
	VEC(uint32_t) ready = VEC_INIT;
	uint32_t node;

	for (node = 1; node < t->nodes.n; node++)
		if (t->nodes.v[node].waiting == 0)
			*vec_push(&ready) = node;
	while (ready.n > 0) {
		uint32_t parent;

		node = ready.v[--ready.n];
		parent = t->nodes.v[node].parent;
		keep(t, node);
		if (parent != 0 && --t->nodes.v[parent].waiting == 0)
			*vec_push(&ready) = parent;
	}
	vec_free(&ready);
}

/* ---- step 5: threads with the same subject ---- */
struct gathering {
	struct threading *t;
	struct names subjects; /* → place among the roots, + 1 */
};

static bool is_dummy(const struct threading *t, uint32_t node)
{
	return t->nodes.v[node].message == 0;
}

static bool is_reply(const struct threading *t, uint32_t node)
{
	return !is_dummy(t, node) && thread_head(t, node)->reply;
}

static void fill_table(struct gathering *g)
{
	struct threading *t = g->t;
	size_t i;

	for (i = 0; i < t->roots.n; i++) {
		uint32_t node = t->roots.v[i], there;
		struct str subject = thread_head(t, node)->subject;
		uint32_t *place;

		if (subject.n == 0)
			continue;
		place = names_number(&g->subjects, subject);
		there = *place != 0 ? t->roots.v[*place - 1] : 0;
		if (there == 0 || (!is_dummy(t, there) &&
		                      (is_dummy(t, node) || (is_reply(t, there) && !is_reply(t, node)))))
			*place = (uint32_t)i + 1;
	}
}

/* Root number i goes into the thread at `place`; its own place is then empty. */
static void merge(struct threading *t, size_t i, size_t place)
{
	uint32_t node = t->roots.v[i], there = t->roots.v[place], both;

	t->roots.v[i] = 0;
	if (is_dummy(t, node) && is_dummy(t, there)) {
		thread_adopt_all(t, there, node);
	} else if (is_dummy(t, there) || (is_reply(t, node) && !is_reply(t, there))) {
		thread_adopt(t, there, node);
	} else {
		both = thread_node_new(t);
		thread_adopt(t, both, there);
		thread_adopt(t, both, node);
		t->roots.v[place] = both;
	}
}

static void merge_threads(struct gathering *g)
{
	struct threading *t = g->t;
	size_t i, kept = 0;

	for (i = 0; i < t->roots.n; i++) {
		struct str subject = thread_head(t, t->roots.v[i])->subject;
		size_t place = subject.n > 0 ? *names_number(&g->subjects, subject) - 1 : i;

		if (place != i)
			merge(t, i, place);
	}
	for (i = 0; i < t->roots.n; i++)
		if (t->roots.v[i] != 0)
			t->roots.v[kept++] = t->roots.v[i];
	t->roots.n = kept;
}

void references_finish(struct threading *t)
{
	struct gathering g = {.t = t, .subjects = {.arena = t->arena}};
	uint32_t node;
	size_t i;

	prune(t);
	for (i = 0; i < t->roots.n; i++)
		if (is_dummy(t, t->roots.v[i]))
			thread_sort_children(t, t->roots.v[i]);
	thread_sort_roots(t);
	fill_table(&g);
	merge_threads(&g);
	names_free(&g.subjects);
	for (node = 1; node < t->nodes.n; node++)
		thread_sort_children(t, node);
	thread_sort_roots(t);
}

/* ---- REFS ---- */
struct latest {
	uint32_t root;
	uint32_t message; /* the one that came last, + 1 */
	int64_t arrival;
};

static void look_at(const struct threading *t, uint32_t node, struct latest *l)
{
	uint32_t message = t->nodes.v[node].message;
	int64_t arrival;

	if (message == 0)
		return;
	arrival = t->messages.v[message - 1].arrival;
	if (l->message == 0 || arrival > l->arrival || (arrival == l->arrival && message > l->message)) {
		l->message = message;
		l->arrival = arrival;
	}
}

/* Through the whole thread, without recursion. */
static struct latest latest_of(struct threading *t, uint32_t root)
{
	const struct thread_node *n = t->nodes.v;
	struct latest l = {.root = root};

	vec_clear(&t->scratch);
	*vec_push(&t->scratch) = root;
	while (t->scratch.n > 0) {
		uint32_t node = t->scratch.v[--t->scratch.n], child;

		look_at(t, node, &l);
		for (child = n[node].first; child != 0; child = n[child].next)
			*vec_push(&t->scratch) = child;
	}
	return l;
}

static int by_latest(const void *x, const void *y)
{
	const struct latest *a = x, *b = y;

	if (a->arrival != b->arrival)
		return a->arrival < b->arrival ? -1 : 1;
	return a->message < b->message ? -1 : a->message > b->message;
}

void refs_finish(struct threading *t)
{
	VEC(struct latest) threads = VEC_INIT;
	uint32_t node;
	size_t i;

	prune(t);
	for (node = 1; node < t->nodes.n; node++)
		thread_sort_children(t, node);
	for (i = 0; i < t->roots.n; i++)
		*vec_push(&threads) = latest_of(t, t->roots.v[i]);
	if (threads.n > 0)
		qsort(threads.v, threads.n, sizeof(*threads.v), by_latest);
	for (i = 0; i < threads.n; i++)
		t->roots.v[i] = threads.v[i].root;
	vec_free(&threads);
}
