/*
 * vec.h: typed growing arrays.
 *
 *     VEC(uint32_t) uids = VEC_INIT;
 *     *vec_push(&uids) = 7;
 *     for (size_t i = 0; i < uids.n; i++) use(uids.v[i]);
 *     vec_free(&uids);
 *
 * A zeroed struct is empty. Elements move when the array grows: keep indexes, not pointers.
 */
#ifndef MORTISE_BASE_VEC_H
#define MORTISE_BASE_VEC_H

#include <stddef.h>

#include "base/mem.h"
#include "base/object.h"

#define VEC(type)              \
	struct {               \
		type *v;       \
		size_t n, cap; \
	}
#define VEC_INIT           \
	{                  \
		NULL, 0, 0 \
	}

/* Pointer to a new last element; its content is undefined. */
#define vec_push(x)                                                                                \
	((x)->n == (x)->cap ? ((x)->cap = (x)->cap != 0 ? (x)->cap * 2 : 8,                        \
	                          (x)->v = mem_grow((x)->v, (x)->cap, sizeof((x)->v[0])), (void)0) \
	                    : (void)0,                                                             \
	    &(x)->v[(x)->n++])
#define vec_reserve(x, count)                                                                           \
	((x)->cap < (count)                                                                             \
	        ? ((x)->cap = (count), (x)->v = mem_grow((x)->v, (x)->cap, sizeof((x)->v[0])), (void)0) \
	        : (void)0)
#define vec_last(x) (&(x)->v[(x)->n - 1])
#define vec_clear(x) ((void)((x)->n = 0))
#define vec_remove(x, i) \
	(memmove(&(x)->v[i], &(x)->v[(i) + 1], ((x)->n - (i)-1) * sizeof((x)->v[0])), (void)(x)->n--)
#define vec_insert(x, i)                                                                                 \
	((void)vec_push(x), memmove(&(x)->v[(i) + 1], &(x)->v[i], ((x)->n - (i)-1) * sizeof((x)->v[0])), \
	    &(x)->v[i])
#define vec_free(x) (mem_free((x)->v), (x)->v = NULL, (void)((x)->n = (x)->cap = 0))

#endif
