/* inspect.c: what a module file says about itself, for people and for package builders. */
#include <inttypes.h>
#include <string.h>

#include "base/vec.h"
#include "module/module_int.h"
#include "base/banned.h"

struct inspection {
	struct module_file *file;
	struct arena *arena;
	enum conf_format format;
};

static void add_text(struct buf *b, const char *s)
{
	buf_adds(b, s);
	buf_addc(b, '\0');
}

static void add_number(struct buf *b, uint32_t v)
{
	buf_addu(b, v);
	buf_addc(b, '\0');
}

/* In the child: each descriptor as ten texts that end in NUL. */
static int inspect(void *arg, struct err *e)
{
	struct inspection *w = arg;
	AUTO_BUF struct buf b = BUF_INIT;

	if (module_open(w->file, w->arena, e) != 0)
		return e->code;
	module_step("describing it");
	for (size_t i = 0; i < w->file->count; i++) {
		const struct mortise_module *m = w->file->modules[i];

		add_text(&b, m->name);
		add_text(&b, module_kind_of(m->kind)->name);
		add_text(&b, m->version);
		add_text(&b, m->summary);
		add_text(&b, m->licence);
		add_text(&b, m->url);
		add_number(&b, m->api_major);
		add_number(&b, m->api_minor);
		add_number(&b, m->host_minor);
		if (m->option_count > 0)
			conf_describe(m->name, m->options, m->option_count, m->option_size, w->format, &b);
		buf_addc(&b, '\0');
	}
	probe_tell(buf_str(&b));
	return 0;
}

static const char *take_text(struct str *told, struct arena *a)
{
	struct str s = str_cut(told, '\0');

	return arena_strndup(a, s.p != NULL ? s.p : "", s.n);
}

static uint32_t take_number(struct str *told)
{
	uint32_t v;

	return str_u32(str_cut(told, '\0'), &v) ? v : 0;
}

int module_inspect(const char *type, const struct module_options *o, enum conf_format format, struct arena *a,
    struct module_facts **facts, size_t *count, struct buf *output, struct err *e)
{
	struct inspection w = {.arena = a, .format = format};
	AUTO_BUF struct buf told = {.limit = 16u << 20};
	VEC(struct module_facts) list = VEC_INIT;
	struct str rest;

	*facts = NULL;
	*count = 0;
	if (module_find(type, o, a, &w.file, e) != 0 ||
	    probe_run(o, w.file->path, inspect, &w, &told, output, e) != 0)
		return e->code;
	for (rest = buf_str(&told); rest.n > 0;) {
		struct module_facts *f = vec_push(&list);

		f->name = take_text(&rest, a);
		f->kind = take_text(&rest, a);
		f->version = take_text(&rest, a);
		f->summary = take_text(&rest, a);
		f->licence = take_text(&rest, a);
		f->url = take_text(&rest, a);
		f->api_major = take_number(&rest);
		f->api_minor = take_number(&rest);
		f->host_minor = take_number(&rest);
		f->options = take_text(&rest, a);
	}
	*count = list.n;
	if (list.n > 0)
		*facts = arena_dup(a, list.v, list.n * sizeof(list.v[0]));
	vec_free(&list);
	return 0;
}

const char *module_builtin(struct arena *a, size_t index)
{
	const char *archive = module_builtin_name(index);

	return archive != NULL ? arena_strndup(a, archive, strlen(archive) - 2) : NULL;
}
