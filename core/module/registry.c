/*
 * registry.c: which modules are wanted, which of them can be had, and the instances made of them.
 *
 * A "use" is one module with everything in the configuration that names it. Its fate is one line in the
 * report, which also says what is switched off by it.
 */
#include <string.h>
#include <unistd.h>

#include "base/vec.h"
#include "log/log.h"
#include "module/module_int.h"
#include "base/banned.h"

#define REGISTRY_MAGIC 0x4d526567u
#define KINDS_MAX 8

static const struct mortise_option module_option_table[] = {
    MORTISE_OPTION(struct module_options, path, PATH, MORTISE_MODULEDIR,
        .help = "the one folder in which modules are looked for"),
    MORTISE_OPTION(struct module_options, check_owner, BOOL, "yes",
        .help = "refuse a module that others than root could have written",
        .detail = "The file and every folder above it must belong to root (or to owner, or to the user an "
                  "unprivileged server runs as) and not be writable by group or others."),
    MORTISE_OPTION(
        struct module_options, owner, STRING, NULL, .help = "a user besides root that may own modules"),
    MORTISE_OPTION(struct module_options, probe_timeout, DURATION, "10s", .min = "100ms", .max = "5m",
        .help = "how long a module may take to be loaded and checked"),
};

const struct conf_group module_conf_group = {
    .name = "module_loader",
    .options = module_option_table,
    .count = ARRAY_LEN(module_option_table),
    .size = sizeof(struct module_options),
    .summary = "where modules come from and how they are checked",
};

struct registry {
	uint32_t magic;
	struct arena *arena;
	VEC(struct module_file *) files;
	VEC(struct instance *) instances[KINDS_MAX]; /* as module_kinds */
	VEC(struct instance *) off; /* could not be made ready; somebody may still know them */
};

/* An entry of an instance list. */
struct entry {
	const struct module_kind *kind;
	const struct conf_instance *conf;
	size_t use;
	bool off; /* its options were not accepted */
};

struct use {
	const char *type;
	bool required;
	const char *file; /* where it is first named */
	int line;
	struct module_file *module; /* NULL: refused */
	size_t entries;             /* how many name it */
};

struct load {
	struct registry *registry;
	struct conf *conf;
	const struct module_options *options;
	bool probe;
	struct conf_report *report;
	VEC(struct use) uses;
	VEC(struct entry) entries; /* kind by kind, in the configuration's order */
};

/* ---- what is wanted ---- */

static const char *const *fallback_of(uint32_t kind)
{
	static const char *const drivers[] = {"unix", NULL}, *const sasl[] = {"cyrus", NULL};
	static const char *const privileged[] = {"pam", NULL}, *const unprivileged[] = {"file", NULL};

	switch (kind) {
	case MORTISE_KIND_DRIVER:
		return drivers;
	case MORTISE_KIND_PASSWORD:
		return geteuid() == 0 ? privileged : unprivileged;
	default:
		return sasl;
	}
}

static size_t use_of(struct load *l, const char *type, const char *file, int line)
{
	for (size_t i = 0; i < l->uses.n; i++)
		if (strcmp(l->uses.v[i].type, type) == 0)
			return i;
	*vec_push(&l->uses) = (struct use){.type = type, .file = file, .line = line};
	return l->uses.n - 1;
}

static bool is_wanted(const uint32_t *kinds, size_t count, uint32_t kind)
{
	for (size_t i = 0; i < count; i++)
		if (kinds[i] == kind)
			return true;
	return false;
}

static void collect_instances(struct load *l, const struct module_kind *kind)
{
	struct conf_instance *list;
	size_t n = conf_instances(
	    l->conf, kind->list, fallback_of(kind->kind), l->registry->arena, &list, l->report);

	for (size_t i = 0; i < n; i++) {
		size_t use = use_of(l, list[i].type, list[i].file, list[i].line);

		l->uses.v[use].entries++;
		*vec_push(&l->entries) = (struct entry){.kind = kind, .conf = &list[i], .use = use};
	}
}

/* Whether a list that this process does not load names the module: then another process sees to it. */
static bool named_elsewhere(struct load *l, const uint32_t *kinds, size_t count, const char *load)
{
	for (size_t k = 0; k < module_kind_count; k++) {
		struct conf_instance *list;
		size_t n;

		if (is_wanted(kinds, count, module_kinds[k].kind))
			continue;
		n = conf_instances(l->conf, module_kinds[k].list, fallback_of(module_kinds[k].kind),
		    l->registry->arena, &list, conf_report_new(l->registry->arena));
		for (size_t i = 0; i < n; i++)
			if (strcmp(list[i].type, load) == 0)
				return true;
	}
	return false;
}

static void collect_modules(struct load *l, const uint32_t *kinds, size_t count)
{
	struct conf_module *list;
	size_t n = conf_modules(l->conf, l->registry->arena, &list, l->report);

	for (size_t i = 0; i < n; i++) {
		size_t use;

		if (named_elsewhere(l, kinds, count, list[i].load))
			continue;
		use = use_of(l, list[i].load, list[i].file, list[i].line);
		if (list[i].required)
			l->uses.v[use].required = true;
	}
}

/* ---- telling ---- */

static void refuse(struct load *l, const struct use *u, const char *reason)
{
	AUTO_BUF struct buf text = BUF_INIT;
	const char *before = "; switched off: ";

	buf_printf(&text, "%smodule \"%s\" is refused: %s", u->required ? "required " : "", u->type, reason);
	for (size_t i = 0; i < l->entries.n; i++) {
		const struct entry *n = &l->entries.v[i];

		if (&l->uses.v[n->use] != u)
			continue;
		buf_printf(&text, "%s%s \"%s\"", before, n->kind->name, n->conf->name);
		before = ", ";
	}
	if (u->required)
		conf_problem(l->report, MSG_MODULE_REQUIRED, u->file, u->line, "%s", buf_cstr(&text));
	else
		conf_warning(l->report, MSG_MODULE_REFUSED, u->file, u->line, "%s", buf_cstr(&text));
}

static void refuse_entry(struct load *l, struct entry *n, const char *reason)
{
	const struct use *u = &l->uses.v[n->use];
	static const char format[] = "%s \"%s\" is switched off: %s";

	if (u->required)
		conf_problem(l->report, MSG_MODULE_REQUIRED, n->conf->file, n->conf->line, format,
		    n->kind->name, n->conf->name, reason);
	else
		conf_warning(l->report, MSG_INSTANCE_REFUSED, n->conf->file, n->conf->line, format,
		    n->kind->name, n->conf->name, reason);
	n->off = true;
}

/* ---- instances ---- */

/* Of a file with several descriptors each gives an instance; only the one of the file's name needs no own. */
static const char *instance_name(
    const struct module_file *f, const struct mortise_module *m, const struct entry *n, struct arena *a)
{
	if (f->count == 1 || strcmp(m->name, f->stem) == 0)
		return n->conf->name;
	if (strcmp(n->conf->name, n->conf->type) == 0)
		return m->name;
	return arena_printf(a, "%s.%s", n->conf->name, m->name);
}

/* NULL: its options are wrong, which is then in the report. */
static struct instance *make_instance(struct conf *c, const struct module_file *f,
    const struct mortise_module *m, const struct entry *n, struct conf_report *r)
{
	struct arena *a = arena_new("instance");
	void *options = m->instance_size > 0 ? arena_alloc(a, m->instance_size) : NULL;
	size_t before = conf_errors(r);

	conf_fill_instance(c, n->conf, m->name, m->options, m->option_count, m->option_size, m->instance_size,
	    options, a, r);
	if (conf_errors(r) == before)
		return instance_new(a, m, instance_name(f, m, n, a), options);
	arena_free(&a);
	return NULL;
}

/* ---- probing ---- */

struct probe_work {
	struct load *load;
	struct use *use;
};

/* lifecycle->check; what it says is told as "ENTRY\0REASON\0". */
static void check_instance(struct instance *i, size_t entry)
{
	const struct mortise_lifecycle *life = i->module->lifecycle;
	AUTO_BUF struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	struct call c;

	if (life == NULL || life->check == NULL)
		return;
	buf_printf(&text, "checking the options of \"%s\"", i->pub.name);
	module_step(buf_cstr(&text));
	call_begin(&c, i, NULL, "check");
	if (call_end(&c, life->check(&c.pub, &i->pub), &e) == 0)
		return;
	buf_reset(&text);
	buf_printf(&text, "%zu%c%s%c", entry, '\0', e.admin, '\0');
	probe_tell(buf_str(&text));
}

static int probe_work(void *arg, struct err *e)
{
	struct probe_work *w = arg;
	struct load *l = w->load;
	struct module_file *f = w->use->module;
	struct arena *a = l->registry->arena;

	if (module_open(f, a, e) != 0)
		return e->code;
	for (size_t i = 0; i < l->entries.n; i++) {
		const struct entry *n = &l->entries.v[i];

		for (size_t k = 0; k < f->count && &l->uses.v[n->use] == w->use; k++) {
			struct instance *made;

			if (f->modules[k]->kind != n->kind->kind)
				continue;
			module_step("filling its options");
			made = make_instance(l->conf, f, f->modules[k], n, conf_report_new(a));
			if (made != NULL)
				check_instance(made, i);
		}
	}
	return 0;
}

/* Switches off the entries whose options the module did not accept. */
static void hear_checks(struct load *l, struct str told)
{
	while (told.n > 0) {
		struct str number = str_cut(&told, '\0'), reason = str_cut(&told, '\0');
		AUTO_BUF struct buf text = BUF_INIT;
		uint32_t i;

		if (!str_u32(number, &i) || i >= l->entries.n || reason.p == NULL)
			return;
		buf_addstr(&text, reason);
		refuse_entry(l, &l->entries.v[i], buf_cstr(&text));
	}
}

static int probe(struct load *l, struct use *u, struct err *e)
{
	AUTO_BUF struct buf told = BUF_INIT;
	AUTO_BUF struct buf output = BUF_INIT;
	struct probe_work w = {.load = l, .use = u};

	if (probe_run(l->options, u->module->path, probe_work, &w, &told, &output, e) != 0)
		return e->code;
	if (output.n > 0)
		conf_warning(l->report, MSG_MODULE_OUTPUT, u->file, u->line,
		    "module \"%s\" wrote, which a module may not: %s", u->type, buf_cstr(&output));
	hear_checks(l, buf_str(&told));
	return 0;
}

/* ---- loading ---- */

/* Two files may not bring modules of one name: which one is meant would depend on the order. */
static int check_duplicates(const struct registry *g, const struct module_file *f, struct err *e)
{
	for (size_t i = 0; i < g->files.n; i++) {
		const struct module_file *other = g->files.v[i];

		for (size_t k = 0; k < f->count; k++)
			for (size_t m = 0; m < other->count; m++)
				if (strcmp(f->modules[k]->name, other->modules[m]->name) == 0)
					return err_fault(e, MORTISE_E_EXISTS,
					    "%s: there is a module named \"%s\" already, in %s", f->path,
					    f->modules[k]->name, other->path);
	}
	return 0;
}

static int load_use(struct load *l, struct use *u, struct err *e)
{
	struct registry *g = l->registry;

	if (module_find(u->type, l->options, g->arena, &u->module, e) != 0)
		return e->code;
	if (l->probe && probe(l, u, e) != 0)
		return e->code;
	/* Only named in `modules`, by no instance: being loadable is all that was asked. */
	if (u->entries == 0)
		return 0;
	if (module_open(u->module, g->arena, e) != 0 || check_duplicates(g, u->module, e) != 0)
		return e->code;
	*vec_push(&g->files) = u->module;
	return 0;
}

static void add_instances(struct load *l, struct entry *n)
{
	const struct module_file *f = l->uses.v[n->use].module;
	size_t list = (size_t)(n->kind - module_kinds);
	AUTO_BUF struct buf text = BUF_INIT;
	bool any = false;

	for (size_t k = 0; k < f->count; k++) {
		struct instance *made;

		if (f->modules[k]->kind != n->kind->kind)
			continue;
		any = true;
		made = make_instance(l->conf, f, f->modules[k], n, l->report);
		if (made != NULL)
			*vec_push(&l->registry->instances[list]) = made;
	}
	if (any)
		return;
	buf_printf(&text, "it names a %s module, which cannot stand in the list \"%s\"",
	    module_kind_of(f->modules[0]->kind)->name, n->kind->list);
	refuse_entry(l, n, buf_cstr(&text));
}

struct registry *registry_load(struct conf *c, const struct module_options *o, const uint32_t *kinds,
    size_t kind_count, bool probe_first, struct conf_report *r)
{
	struct registry *g = mem_new(struct registry);
	struct load l = {.registry = g, .conf = c, .options = o, .probe = probe_first, .report = r};

	ASSERT(module_kind_count <= KINDS_MAX);
	g->magic = REGISTRY_MAGIC;
	g->arena = arena_new("registry");
	for (size_t k = 0; k < module_kind_count; k++)
		if (is_wanted(kinds, kind_count, module_kinds[k].kind))
			collect_instances(&l, &module_kinds[k]);
	collect_modules(&l, kinds, kind_count);
	for (size_t i = 0; i < l.uses.n; i++) {
		struct err e = ERR_INIT;

		if (load_use(&l, &l.uses.v[i], &e) == 0)
			continue;
		l.uses.v[i].module = NULL;
		refuse(&l, &l.uses.v[i], e.admin);
	}
	for (size_t i = 0; i < l.entries.n; i++)
		if (!l.entries.v[i].off && l.uses.v[l.entries.v[i].use].module != NULL)
			add_instances(&l, &l.entries.v[i]);
	vec_free(&l.uses);
	vec_free(&l.entries);
	return g;
}

void registry_free(struct registry **rp)
{
	struct registry *g;

	TAKE_OBJ(g, rp, REGISTRY_MAGIC);
	for (size_t k = 0; k < module_kind_count; k++) {
		for (size_t i = 0; i < g->instances[k].n; i++)
			instance_free(&g->instances[k].v[i]);
		vec_free(&g->instances[k]);
	}
	for (size_t i = 0; i < g->off.n; i++)
		instance_free(&g->off.v[i]);
	vec_free(&g->off);
	vec_free(&g->files);
	arena_free(&g->arena);
	g->magic = 0;
	mem_free(g);
}

/* ---- what is there ---- */

static size_t list_of(uint32_t kind)
{
	const struct module_kind *k = module_kind_of(kind);

	ASSERT(k != NULL);
	return (size_t)(k - module_kinds);
}

struct instance *const *registry_instances(const struct registry *g, uint32_t kind, size_t *count)
{
	CHECK_OBJ(g, REGISTRY_MAGIC);
	*count = g->instances[list_of(kind)].n;
	return g->instances[list_of(kind)].v;
}

struct instance *registry_find(const struct registry *g, uint32_t kind, const char *name)
{
	size_t count;
	struct instance *const *list = registry_instances(g, kind, &count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i]->pub.name, name) == 0)
			return list[i];
	return NULL;
}

/* ---- lifecycle ---- */

typedef int lifecycle_fn(struct mortise_call *call, struct mortise_instance *inst);

/* A step of every instance of a kind; one that fails is out of the list from then on. */
static void run_step(struct registry *g, uint32_t kind, const char *name, size_t offset)
{
	size_t list;

	CHECK_OBJ(g, REGISTRY_MAGIC);
	list = list_of(kind);
	for (size_t i = 0; i < g->instances[list].n;) {
		struct instance *inst = g->instances[list].v[i];
		const struct mortise_lifecycle *life = inst->module->lifecycle;
		lifecycle_fn *step = NULL;
		struct err e = ERR_INIT;
		struct call c;

		if (life != NULL)
			memcpy(&step, (const char *)life + offset, sizeof(step));
		if (step != NULL) {
			call_begin(&c, inst, NULL, name);
			if (call_end(&c, step(&c.pub, &inst->pub), &e) != 0) {
				log_err(MSG_INSTANCE_FAILED, &e, "switched off");
				*vec_push(&g->off) = inst;
				vec_remove(&g->instances[list], i);
				continue;
			}
		}
		i++;
	}
}

void registry_prepare(struct registry *g, uint32_t kind)
{
	run_step(g, kind, "prepare", offsetof(struct mortise_lifecycle, prepare));
}

void registry_start(struct registry *g, uint32_t kind)
{
	run_step(g, kind, "start", offsetof(struct mortise_lifecycle, start));
}

void registry_stop(struct registry *g, uint32_t kind)
{
	size_t count;
	struct instance *const *list = registry_instances(g, kind, &count);

	for (size_t i = count; i-- > 0;) {
		const struct mortise_lifecycle *life = list[i]->module->lifecycle;
		struct err e = ERR_INIT;
		struct call c;

		if (life == NULL || life->stop == NULL)
			continue;
		call_begin(&c, list[i], NULL, "stop");
		life->stop(&c.pub, &list[i]->pub);
		(void)call_end(&c, 0, &e);
	}
}
