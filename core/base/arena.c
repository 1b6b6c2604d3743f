#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/banned.h"

#define ARENA_MAGIC 0x41724e41u
#define BLOCK_SIZE 4000u
#define ALIGNMENT (_Alignof(max_align_t))

struct block {
	struct block *prev;
	size_t size; /* octets of data[] */
	size_t used;
	_Alignas(max_align_t) char data[];
};

struct arena {
	uint32_t magic;
	bool secret;
	const char *name;
	struct block *top;
	size_t held;
	size_t next_size; /* doubles up to 64 KiB so that big arenas have few blocks */
};

static struct arena *new_arena(const char *name, bool secret)
{
	struct arena *a = mem_new(struct arena);

	a->magic = ARENA_MAGIC;
	a->name = name;
	a->secret = secret;
	a->next_size = BLOCK_SIZE;
	return a;
}

struct arena *arena_new(const char *name)
{
	return new_arena(name, false);
}

struct arena *arena_new_secret(const char *name)
{
	return new_arena(name, true);
}

static void drop_block(struct arena *a)
{
	struct block *b = a->top;

	a->top = b->prev;
	a->held -= b->size;
	if (a->secret)
		mem_wipe(b->data, b->used);
	mem_free(b);
}

void arena_free(struct arena **ap)
{
	struct arena *a;

	if (*ap == NULL)
		return;
	TAKE_OBJ(a, ap, ARENA_MAGIC);
	while (a->top != NULL)
		drop_block(a);
	a->magic = 0;
	mem_free(a);
}

static void reset_block(struct arena *a, size_t used)
{
	struct block *b = a->top;

	if (a->secret)
		mem_wipe(b->data + used, b->used - used);
	else
		memset(b->data + used, 0, b->used - used);
	b->used = used;
}

void arena_clear(struct arena *a)
{
	CHECK_OBJ(a, ARENA_MAGIC);
	if (a->top == NULL)
		return;
	while (a->top->prev != NULL)
		drop_block(a);
	if (a->top->size > 16 * BLOCK_SIZE) {
		drop_block(a);
		return;
	}
	reset_block(a, 0);
}

struct arena_mark arena_mark(struct arena *a)
{
	CHECK_OBJ(a, ARENA_MAGIC);
	return (struct arena_mark){a->top, a->top != NULL ? a->top->used : 0};
}

void arena_release(struct arena *a, struct arena_mark m)
{
	CHECK_OBJ(a, ARENA_MAGIC);
	while (a->top != m.block) {
		ASSERT(a->top != NULL);
		drop_block(a);
	}
	if (a->top != NULL)
		reset_block(a, m.used);
}

size_t arena_size(const struct arena *a)
{
	CHECK_OBJ(a, ARENA_MAGIC);
	return a->held;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct block *b;
	void *p;

	CHECK_OBJ(a, ARENA_MAGIC);
	ASSERT(size < SIZE_MAX / 2);
	size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
	b = a->top;
	if (b == NULL || b->size - b->used < size) {
		size_t want = size > a->next_size ? size : a->next_size;

		if (a->next_size < 16 * BLOCK_SIZE)
			a->next_size *= 2;
		b = mem_alloc(sizeof(*b) + want);
		b->size = want;
		b->prev = a->top;
		a->top = b;
		a->held += want;
	}
	p = b->data + b->used;
	b->used += size;
	return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
	ASSERT(size == 0 || count <= SIZE_MAX / size);
	return arena_alloc(a, count * size);
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
	void *q = arena_alloc(a, n);

	if (n != 0)
		memcpy(q, p, n);
	return q;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *q = arena_alloc(a, n + 1);

	if (n != 0)
		memcpy(q, s, n);
	return q;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

struct str arena_str(struct arena *a, struct str s)
{
	return (struct str){arena_strndup(a, s.p, s.n), s.n};
}

char *arena_vprintf(struct arena *a, const char *format, va_list ap)
{
	va_list again;
	char *p;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, format, again);
	va_end(again);
	ASSERT(n >= 0);
	p = arena_alloc(a, (size_t)n + 1);
	vsnprintf(p, (size_t)n + 1, format, ap);
	return p;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
	va_list ap;
	char *p;

	va_start(ap, format);
	p = arena_vprintf(a, format, ap);
	va_end(ap);
	return p;
}
