#include <stdint.h>

#include "base/mem.h"
#include "base/object.h"
#include "base/banned.h"

void (*assert_hook)(const char *text);

_Noreturn void assert_failed(const char *file, int line, const char *function, const char *what)
{
	char text[512];

	snprintf(text, sizeof(text), "%s:%d: %s: assertion failed: %s", file, line, function, what);
	fprintf(stderr, "%s\n", text);
	if (assert_hook != NULL)
		assert_hook(text);
	abort();
}

static _Noreturn void out_of_memory(size_t size)
{
	fprintf(stderr, "out of memory (%zu bytes)\n", size);
	abort();
}

void *mem_alloc(size_t size)
{
	void *p = calloc(1, size != 0 ? size : 1);

	if (p == NULL)
		out_of_memory(size);
	return p;
}

void *mem_array(size_t count, size_t size)
{
	void *p = calloc(count != 0 ? count : 1, size != 0 ? size : 1);

	if (p == NULL)
		out_of_memory(count);
	return p;
}

void *mem_grow(void *p, size_t count, size_t size)
{
	void *q;

	if (count == 0)
		count = 1;
	ASSERT(size != 0 && count <= SIZE_MAX / size);
	q = realloc(p, count * size);
	if (q == NULL)
		out_of_memory(count * size);
	return q;
}

char *mem_strdup(const char *s)
{
	return mem_dup(s, strlen(s) + 1);
}

void *mem_dup(const void *p, size_t n)
{
	void *q = mem_alloc(n);

	if (n != 0)
		memcpy(q, p, n);
	return q;
}

void mem_free(void *p)
{
	free(p);
}

void mem_free_p(void *pp)
{
	free(*(void **)pp);
}

void mem_wipe(void *p, size_t n)
{
	if (n != 0)
		explicit_bzero(p, n);
}
