/*
 * forest.h: trees that are linked and cut, and the root of any node.
 *
 * THREAD=REFERENCES may not make a loop: before A becomes the parent of B, is B above A? Walking up is
 * quadratic for a long thread, and mail is written by anybody. These are the link-cut trees of Sleator and
 * Tarjan, without what THREAD does not need: each operation takes O(log n) amortised time whatever the order
 * of the operations, and there is no recursion. Nodes are numbers from 1; a new node is a tree of its own.
 */
#ifndef MORTISE_SEARCH_FOREST_H
#define MORTISE_SEARCH_FOREST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"

struct forest_node {
	uint32_t up, left, right; /* of the splay tree of its path; `up` of a path's top: the path's parent */
};
struct forest {
	VEC(struct forest_node) nodes;
};

void forest_free(struct forest *f);
uint32_t forest_new(struct forest *f);
uint32_t forest_root(struct forest *f, uint32_t node);
/* `node` is a root and not that of `parent`. */
void forest_link(struct forest *f, uint32_t node, uint32_t parent);
/* `node` is not a root; it becomes one. */
void forest_cut(struct forest *f, uint32_t node);

#endif
