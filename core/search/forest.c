#include "search/forest.h"

#include "base/banned.h"

/* In a splay tree nodes lie in order of depth: what is left of a node is nearer to the root. */

static bool is_top(const struct forest_node *n, uint32_t v)
{
	uint32_t up = n[v].up;

	return up == 0 || (n[up].left != v && n[up].right != v);
}

static void rotate(struct forest_node *n, uint32_t v)
{
	uint32_t p = n[v].up, g = n[p].up, moved;

	if (!is_top(n, p)) {
		if (n[g].left == p)
			n[g].left = v;
		else
			n[g].right = v;
	}
	if (n[p].left == v) {
		moved = n[v].right;
		n[v].right = p;
		n[p].left = moved;
	} else {
		moved = n[v].left;
		n[v].left = p;
		n[p].right = moved;
	}
	if (moved != 0)
		n[moved].up = p;
	n[p].up = v;
	n[v].up = g;
}

static void splay(struct forest_node *n, uint32_t v)
{
	while (!is_top(n, v)) {
		uint32_t p = n[v].up, g = n[p].up;

		if (!is_top(n, p))
			rotate(n, (n[g].left == p) == (n[p].left == v) ? p : v);
		rotate(n, v);
	}
}

/* Makes the way from the root to v one path, v its end and its splay tree's top. */
static void access_path(struct forest_node *n, uint32_t v)
{
	splay(n, v);
	n[v].right = 0;
	while (n[v].up != 0) {
		uint32_t w = n[v].up;

		splay(n, w);
		n[w].right = v;
		splay(n, v);
	}
}

void forest_free(struct forest *f)
{
	vec_free(&f->nodes);
}

uint32_t forest_new(struct forest *f)
{
	if (f->nodes.n == 0)
		*vec_push(&f->nodes) = (struct forest_node){0};
	*vec_push(&f->nodes) = (struct forest_node){0};
	return (uint32_t)(f->nodes.n - 1);
}

uint32_t forest_root(struct forest *f, uint32_t node)
{
	struct forest_node *n = f->nodes.v;

	access_path(n, node);
	while (n[node].left != 0)
		node = n[node].left;
	splay(n, node);
	return node;
}

void forest_link(struct forest *f, uint32_t node, uint32_t parent)
{
	struct forest_node *n = f->nodes.v;

	access_path(n, node);
	ASSERT(n[node].left == 0);
	n[node].up = parent;
}

void forest_cut(struct forest *f, uint32_t node)
{
	struct forest_node *n = f->nodes.v;

	access_path(n, node);
	ASSERT(n[node].left != 0);
	n[n[node].left].up = 0;
	n[node].left = 0;
}
