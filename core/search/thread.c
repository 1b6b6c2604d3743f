#include <stdlib.h>

#include "search/thread_int.h"

#include "base/object.h"
#include "base/banned.h"

struct threading *threading_new(enum thread_algorithm algorithm, size_t most)
{
	struct threading *t = mem_new(struct threading);

	t->magic = THREADING_MAGIC;
	t->algorithm = algorithm;
	t->most = most;
	t->arena = arena_new("thread");
	t->ids.arena = t->arena;
	*vec_push(&t->nodes) = (struct thread_node){0};
	return t;
}

void threading_free(struct threading **tp)
{
	struct threading *t;

	if (*tp == NULL)
		return;
	TAKE_OBJ(t, tp, THREADING_MAGIC);
	names_free(&t->ids);
	forest_free(&t->forest);
	vec_free(&t->messages);
	vec_free(&t->nodes);
	vec_free(&t->roots);
	vec_free(&t->scratch);
	arena_free(&t->arena);
	mem_free(t);
}

/* ---- trees ---- */
uint32_t thread_node_new(struct threading *t)
{
	*vec_push(&t->nodes) = (struct thread_node){0};
	return (uint32_t)(t->nodes.n - 1);
}

void thread_adopt(struct threading *t, uint32_t parent, uint32_t child)
{
	struct thread_node *n = t->nodes.v;

	n[child].next = 0;
	if (n[parent].first == 0)
		n[parent].first = child;
	else
		n[n[parent].last].next = child;
	n[parent].last = child;
	n[parent].children++;
}

void thread_adopt_all(struct threading *t, uint32_t to, uint32_t from)
{
	struct thread_node *n = t->nodes.v;

	if (n[from].first == 0)
		return;
	if (n[to].first == 0)
		n[to].first = n[from].first;
	else
		n[n[to].last].next = n[from].first;
	n[to].last = n[from].last;
	n[to].children += n[from].children;
	n[from].first = n[from].last = n[from].children = 0;
}

const struct thread_message *thread_head(const struct threading *t, uint32_t node)
{
	const struct thread_node *n = &t->nodes.v[node];

	if (n->message == 0)
		n = &t->nodes.v[n->first];
	ASSERT(n->message != 0);
	return &t->messages.v[n->message - 1];
}

/* By sent date; messages lie in the order of the mailbox. */
static int by_date(const void *x, const void *y, void *arg)
{
	const struct threading *t = arg;
	const struct thread_message *a = thread_head(t, *(const uint32_t *)x),
	                            *b = thread_head(t, *(const uint32_t *)y);

	if (a->date != b->date)
		return a->date < b->date ? -1 : 1;
	return a < b ? -1 : a > b;
}

static void sort_nodes(struct threading *t, uint32_t *nodes, size_t count)
{
	if (count > 1)
		qsort_r(nodes, count, sizeof(*nodes), by_date, t);
}

void thread_sort_roots(struct threading *t)
{
	sort_nodes(t, t->roots.v, t->roots.n);
}

void thread_sort_children(struct threading *t, uint32_t node)
{
	struct thread_node *n = t->nodes.v;
	uint32_t child;
	size_t i;

	if (n[node].children < 2)
		return;
	vec_clear(&t->scratch);
	for (child = n[node].first; child != 0; child = n[child].next)
		*vec_push(&t->scratch) = child;
	sort_nodes(t, t->scratch.v, t->scratch.n);
	n[node].first = n[node].last = n[node].children = 0;
	for (i = 0; i < t->scratch.n; i++)
		thread_adopt(t, node, t->scratch.v[i]);
}

/* ---- ORDEREDSUBJECT ---- */
static int by_subject(const void *x, const void *y, void *arg)
{
	const struct threading *t = arg;
	int r = str_cmp(
	    thread_head(t, *(const uint32_t *)x)->subject, thread_head(t, *(const uint32_t *)y)->subject);

	return r != 0 ? r : by_date(x, y, arg);
}

static void ordered_subject(struct threading *t)
{
	size_t i, threads = 0;

	for (i = 0; i < t->messages.n; i++) {
		uint32_t node = thread_node_new(t);

		t->nodes.v[node].message = (uint32_t)i + 1;
		*vec_push(&t->roots) = node;
	}
	if (t->roots.n == 0)
		return;
	qsort_r(t->roots.v, t->roots.n, sizeof(*t->roots.v), by_subject, t);
	for (i = 1; i < t->roots.n; i++) {
		uint32_t root = t->roots.v[threads], node = t->roots.v[i];

		if (str_eq(thread_head(t, root)->subject, thread_head(t, node)->subject))
			thread_adopt(t, root, node);
		else
			t->roots.v[++threads] = node;
	}
	t->roots.n = threads + 1;
	thread_sort_roots(t);
}

/* ---- both ---- */
bool threading_add(struct threading *t, const struct sort_message *m)
{
	struct thread_message *message;

	CHECK_OBJ(t, THREADING_MAGIC);
	if (t->messages.n >= t->most)
		return false;
	message = vec_push(&t->messages);
	*message = (struct thread_message){.number = m->number,
	    .reply = m->record->reply,
	    .date = sort_sent_date(m),
	    .arrival = m->arrival,
	    .subject = arena_str(t->arena, m->record->texts[SORT_TEXT_SUBJECT])};
	if (t->algorithm == THREAD_ORDEREDSUBJECT)
		return true;
	return references_add(t, (uint32_t)t->messages.n, m->record);
}

/* thread-list (RFC 5256 §5); `waiting` holds, for each open branch, the sibling that comes next. */
static void write_thread(struct threading *t, uint32_t node, struct buf *out)
{
	const struct thread_node *n = t->nodes.v;

	vec_clear(&t->scratch);
	buf_addc(out, '(');
	for (;;) {
		if (n[node].message != 0)
			buf_addu(out, t->messages.v[n[node].message - 1].number);
		if (n[node].message != 0 && n[node].children > 0)
			buf_addc(out, ' ');
		if (n[node].children > 1)
			buf_addc(out, '(');
		if (n[node].children > 1)
			*vec_push(&t->scratch) = n[n[node].first].next;
		if (n[node].children > 0) {
			node = n[node].first;
			continue;
		}
		buf_addc(out, ')');
		while (t->scratch.n > 0 && *vec_last(&t->scratch) == 0) {
			t->scratch.n--;
			buf_addc(out, ')');
		}
		if (t->scratch.n == 0)
			return;
		node = *vec_last(&t->scratch);
		*vec_last(&t->scratch) = n[node].next;
		buf_addc(out, '(');
	}
}

void threading_write(struct threading *t, struct buf *out)
{
	size_t i;

	CHECK_OBJ(t, THREADING_MAGIC);
	if (t->algorithm == THREAD_ORDEREDSUBJECT)
		ordered_subject(t);
	else if (t->algorithm == THREAD_REFERENCES)
		references_finish(t);
	else
		refs_finish(t);
	for (i = 0; i < t->roots.n; i++)
		write_thread(t, t->roots.v[i], out);
}
