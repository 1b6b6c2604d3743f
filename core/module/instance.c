/* instance.c: configured uses of a module, apart from where modules come from. */
#include "base/arena.h"
#include "conf/conf.h"
#include "log/log.h"
#include "module/module_int.h"
#include "base/banned.h"

struct instance *instance_new(
    struct arena *a, const struct mortise_module *m, const char *name, void *options)
{
	const struct module_kind *kind = module_kind_of(m->kind);
	struct instance *i = arena_new_of(a, struct instance);

	ASSERT(kind != NULL);
	i->magic = INSTANCE_MAGIC;
	i->arena = a;
	i->module = m;
	i->pub.size = sizeof(i->pub);
	i->pub.name = arena_strdup(a, name);
	i->pub.module = m->name;
	i->pub.options = options;
	i->ops = module_copy_ops(a, kind, m->ops);
	return i;
}

struct instance *instance_builtin(struct arena *a, const struct mortise_module *m, const char *name)
{
	void *options = m->instance_size > 0 ? arena_alloc(a, m->instance_size) : NULL;

	for (size_t k = 0; k < m->option_count; k++) {
		const struct mortise_option *o =
		    (const struct mortise_option *)(const void *)((const char *)m->options +
		                                                  k * m->option_size);
		struct err e = ERR_INIT;

		/* Only for code of this program itself: a default that does not parse is a bug here. */
		if (o->fallback != NULL && conf_set(o, options, str_of(o->fallback), a, &e) != 0)
			UNREACHABLE("a built-in option's default does not parse");
	}
	return instance_new(a, m, name, options);
}

void instance_free(struct instance **ip)
{
	struct instance *i;
	struct arena *a;

	TAKE_OBJ(i, ip, INSTANCE_MAGIC);
	a = i->arena;
	arena_free(&a);
}

void instance_suspect(struct instance *i)
{
	const struct module_kind *kind;

	CHECK_OBJ(i, INSTANCE_MAGIC);
	if (i->suspect)
		return;
	kind = module_kind_of(i->module->kind);
	ASSERT(kind != NULL);
	log_msg(MSG_MODULE_SUSPECT, "%s \"%s\"", kind->name, i->pub.name);
	i->suspect = true;
	kind->suspect((void *)(uintptr_t)i->ops);
}
