/*
 * mem.h: heap memory for long-lived objects.
 *
 * Small allocations never fail: the process dies with a message instead, which is cheap because a session
 * is a process. A size that comes from a client or a file must be bounded by its caller before it gets
 * here. Memory is zeroed. Most code wants an arena (arena.h), not this.
 */
#ifndef MORTISE_BASE_MEM_H
#define MORTISE_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);                       /* zeroed */
void *mem_array(size_t count, size_t size);         /* zeroed, overflow-checked */
void *mem_grow(void *p, size_t count, size_t size); /* realloc of an array; new part not zeroed */
char *mem_strdup(const char *s);
void *mem_dup(const void *p, size_t n);
void mem_free(void *p);
void mem_wipe(void *p, size_t n); /* the compiler may not remove it */

#define mem_new(type) ((type *)mem_alloc(sizeof(type)))

void mem_free_p(void *pp); /* for AUTO_FREE */
#define AUTO_FREE __attribute__((cleanup(mem_free_p)))

#endif
