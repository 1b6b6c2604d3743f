/*
 * arena.h: memory by lifetime.
 *
 * Most memory in Mortise lives exactly as long as something: a call, a mailbox, a session, an instance.
 * An arena is that lifetime: allocate as you go, release everything at once. Nobody frees single pieces, so
 * there is nothing to forget and nothing to free twice. Memory is zeroed and aligned for any type.
 * A secret arena wipes what it releases.
 *
 * Disadvantage, knowingly taken: memory of a long-lived arena grows until it is cleared. Loops over messages
 * use a scratch arena and clear it each turn, or take a mark and release to it.
 */
#ifndef MORTISE_BASE_ARENA_H
#define MORTISE_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/object.h"
#include "base/str.h"

struct arena;
struct arena_mark {
	void *block;
	size_t used;
};

struct arena *arena_new(const char *name); /* name must outlive the arena; for debugging */
struct arena *arena_new_secret(const char *name);
void arena_free(struct arena **ap); /* NULL is allowed inside */
void arena_clear(struct arena *a);  /* keeps one block */
struct arena_mark arena_mark(struct arena *a);
void arena_release(struct arena *a, struct arena_mark m);
size_t arena_size(const struct arena *a); /* bytes held */

void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t count, size_t size); /* overflow-checked */
void *arena_dup(struct arena *a, const void *p, size_t n);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n); /* copies n octets and adds a NUL */
struct str arena_str(struct arena *a, struct str s);           /* copy; also NUL-terminated */
char *arena_printf(struct arena *a, const char *format, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(struct arena *a, const char *format, va_list ap) PRINTF_LIKE(2, 0);

#define arena_new_of(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define AUTO_ARENA __attribute__((cleanup(arena_free)))

#endif
