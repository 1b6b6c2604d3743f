#include "mime/source.h"

#include "base/mem.h"
#include "base/banned.h"

#define MEMORY_MAGIC 0x736d656du
#define WINDOW_MAGIC 0x7377696eu

int source_chunk(struct source *s, uint64_t at, struct str *out, struct err *e)
{
	CHECK_OBJ(s, SOURCE_MAGIC);
	*out = STR_NONE;
	return s->ops->chunk(s, at, out, e);
}

int source_add(struct source *s, uint64_t at, size_t most, struct buf *out, struct err *e)
{
	struct str chunk;

	CHECK_OBJ(s, SOURCE_MAGIC);
	if (s->ops->add != NULL)
		return s->ops->add(s, at, most, out, e);
	if (source_chunk(s, at, &chunk, e) != 0)
		return e->code;
	buf_addstr(out, str_sub(chunk, 0, most));
	return 0;
}

int source_size(struct source *s, uint64_t *size, struct err *e)
{
	CHECK_OBJ(s, SOURCE_MAGIC);
	*size = 0;
	return s->ops->size(s, size, e);
}

void source_close(struct source **sp)
{
	struct source *s;

	if (*sp == NULL)
		return;
	TAKE_OBJ(s, sp, SOURCE_MAGIC);
	s->ops->close(s);
}

/* ---- octets in memory ---- */

struct memory {
	struct source source;
	uint32_t magic;
	struct str octets;
};

static struct memory *memory_of(struct source *s)
{
	struct memory *m = (struct memory *)s;

	CHECK_OBJ(m, MEMORY_MAGIC);
	return m;
}

static int memory_chunk(struct source *s, uint64_t at, struct str *out, struct err *e UNUSED)
{
	struct memory *m = memory_of(s);

	*out = at < m->octets.n ? str_from(m->octets, (size_t)at) : STR_NONE;
	return 0;
}

static int memory_size(struct source *s, uint64_t *size, struct err *e UNUSED)
{
	*size = memory_of(s)->octets.n;
	return 0;
}

static void memory_close(struct source *s)
{
	struct memory *m = memory_of(s);

	m->magic = 0;
	s->magic = 0;
	mem_free(m);
}

static const struct source_ops memory_ops = {
    .chunk = memory_chunk, .size = memory_size, .close = memory_close};

struct source *source_memory(struct str octets)
{
	struct memory *m = mem_new(struct memory);

	m->source.magic = SOURCE_MAGIC;
	m->source.ops = &memory_ops;
	m->magic = MEMORY_MAGIC;
	m->octets = octets;
	return &m->source;
}

/* ---- a part of another source ---- */

struct window {
	struct source source;
	uint32_t magic;
	struct source *of;
	uint64_t from, to;
};

static struct window *window_of(struct source *s)
{
	struct window *w = (struct window *)s;

	CHECK_OBJ(w, WINDOW_MAGIC);
	return w;
}

static int window_chunk(struct source *s, uint64_t at, struct str *out, struct err *e)
{
	struct window *w = window_of(s);
	int r;

	if (at >= w->to - w->from)
		return 0;
	r = source_chunk(w->of, w->from + at, out, e);
	if (r == 0 && out->n > w->to - w->from - at)
		out->n = (size_t)(w->to - w->from - at);
	return r;
}

static int window_size(struct source *s, uint64_t *size, struct err *e)
{
	struct window *w = window_of(s);
	uint64_t whole;
	int r = source_size(w->of, &whole, e);

	if (r != 0)
		return r;
	*size = whole <= w->from ? 0 : (whole < w->to ? whole : w->to) - w->from;
	return 0;
}

static void window_close(struct source *s)
{
	struct window *w = window_of(s);

	w->magic = 0;
	s->magic = 0;
	mem_free(w);
}

static const struct source_ops window_ops = {
    .chunk = window_chunk, .size = window_size, .close = window_close};

struct source *source_window(struct source *of, uint64_t from, uint64_t to)
{
	struct window *w = mem_new(struct window);

	CHECK_OBJ(of, SOURCE_MAGIC);
	w->source.magic = SOURCE_MAGIC;
	w->source.ops = &window_ops;
	w->magic = WINDOW_MAGIC;
	w->of = of;
	w->from = from;
	w->to = to > from ? to : from;
	return &w->source;
}

int source_read(struct source *s, uint64_t from, uint64_t to, size_t limit, struct arena *a, struct str *out,
    struct err *e)
{
	size_t want, have = 0;
	char *p;

	*out = STR_NONE;
	if (to < from)
		to = from;
	if (to - from > limit)
		return err_fail(e, MORTISE_E_LIMIT, "Text of %llu octets is over the limit of %zu",
		    (unsigned long long)(to - from), limit);
	want = (size_t)(to - from);
	p = arena_alloc(a, want + 1);
	while (have < want) {
		struct str chunk;
		int r = source_chunk(s, from + have, &chunk, e);

		if (r != 0)
			return r;
		if (chunk.n == 0)
			break;
		if (chunk.n > want - have)
			chunk.n = want - have;
		memcpy(p + have, chunk.p, chunk.n);
		have += chunk.n;
	}
	*out = str_mem(p, have);
	return 0;
}
