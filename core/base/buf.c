#include "base/buf.h"
#include "base/mem.h"
#include "base/banned.h"

#define KEEP_MAX 65536u

void buf_free(struct buf *b)
{
	size_t limit = b->limit;

	mem_free(b->p);
	*b = (struct buf){.limit = limit};
}

void buf_wipe(struct buf *b)
{
	mem_wipe(b->p, b->cap);
	buf_free(b);
}

void buf_reset(struct buf *b)
{
	if (b->cap > KEEP_MAX) {
		buf_free(b);
		return;
	}
	b->n = 0;
	b->overflow = false;
	if (b->p != NULL)
		b->p[0] = '\0';
}

void buf_grow(struct buf *b, size_t more)
{
	size_t need, cap;

	ASSERT(more < SIZE_MAX - b->n - 1);
	need = b->n + more + 1;
	cap = b->cap < 64 ? 64 : b->cap;
	while (cap < need)
		cap = cap > SIZE_MAX / 2 ? need : cap * 2;
	b->p = mem_grow(b->p, cap, 1);
	b->cap = cap;
	b->p[b->n] = '\0';
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	if (b->limit != 0 && n > b->limit - (b->n < b->limit ? b->n : b->limit)) {
		b->overflow = true;
		n = b->n < b->limit ? b->limit - b->n : 0;
	}
	if (n == 0)
		return;
	buf_reserve(b, n);
	memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_addu(struct buf *b, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	buf_add(b, digits + i, sizeof(digits) - i);
}

void buf_vprintf(struct buf *b, const char *format, va_list ap)
{
	char small[512];
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), format, ap);
	ASSERT(n >= 0);
	if ((size_t)n < sizeof(small)) {
		buf_add(b, small, (size_t)n);
	} else {
		char *big = mem_alloc((size_t)n + 1);

		vsnprintf(big, (size_t)n + 1, format, again);
		buf_add(b, big, (size_t)n);
		mem_free(big);
	}
	va_end(again);
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	buf_vprintf(b, format, ap);
	va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
	ASSERT(n <= b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n + 1);
	b->n -= n;
}

void buf_truncate(struct buf *b, size_t n)
{
	ASSERT(n <= b->n);
	b->n = n;
	if (b->p != NULL)
		b->p[n] = '\0';
}

char *buf_cstr(struct buf *b)
{
	buf_reserve(b, 0);
	return b->p;
}
