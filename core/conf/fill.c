#include "conf/conf_int.h"
#include "base/banned.h"

/* What one table is filled from, and how it is called in messages. */
struct filling {
	struct conf *c;
	const char *label; /* "imap: " or "driver \"home\" (maildir): " */
	const struct mortise_option *options;
	size_t count;
	void *out;
	struct arena *a;
	struct conf_report *r;
};

const struct mortise_option *conf_table(
    const struct mortise_option *options, size_t count, size_t option_size, struct arena *a)
{
	struct mortise_option *rows = arena_array(a, count, sizeof(*rows));
	size_t i, n = option_size < sizeof(*rows) ? option_size : sizeof(*rows);

	if (option_size == sizeof(*rows))
		return options;
	for (i = 0; i < count; i++)
		memcpy(&rows[i], (const char *)options + i * option_size, n);
	return rows;
}

/* The known name nearest to a mistyped one, or NULL. */
static const char *nearest(const char *name, const char *const *names, size_t n)
{
	unsigned best = (unsigned)strlen(name) / 3 + 1;
	const char *found = NULL;
	size_t i;

	if (best > 3)
		best = 3;
	for (i = 0; i < n; i++) {
		unsigned d = str_distance(str_of(name), str_of(names[i]));

		if (d < best || (d == best && found == NULL)) {
			best = d;
			found = names[i];
		}
	}
	return found;
}

static void unknown_option(const struct filling *f, const char *label, const struct conf_node *n)
{
	const char **names = arena_array(f->a, f->count, sizeof(*names));
	const char *hint;
	size_t i, count = 0;

	for (i = 0; i < f->count; i++)
		names[count++] = f->options[i].name;
	hint = nearest(n->name, names, count);
	conf_problem(f->r, MSG_CONF_UNKNOWN_OPTION, n->file, n->line, "%sunknown option \"%s\"%s%s%s", label,
	    n->name, hint != NULL ? "; did you mean \"" : "", hint != NULL ? hint : "",
	    hint != NULL ? "\"?" : "");
}

/* What may be shown of a value in an error: never something that may be a secret. */
static void show_value(const struct mortise_option *o, const struct conf_node *n, struct buf *b)
{
	if (o->type == MORTISE_OPTION_SECRET || n->kind == NODE_LIST)
		buf_printf(b, "\"%s\"", o->name);
	else if (n->kind == NODE_TEXT)
		buf_printf(b, "%s = \"%.80s\"", o->name, n->text.p);
	else
		buf_printf(b, "%s = %.80s", o->name, n->text.p);
}

/* Whether this kind of setting can be this type at all; text is tried for every type. */
static bool kind_fits(const struct mortise_option *o, const struct conf_node *n)
{
	switch (n->kind) {
	case NODE_BOOL:
		return o->type == MORTISE_OPTION_BOOL;
	case NODE_NUMBER:
		return conf_type_is_number(o->type) || o->type == MORTISE_OPTION_USER ||
		       o->type == MORTISE_OPTION_GROUP;
	case NODE_LIST:
		return o->type == MORTISE_OPTION_LIST;
	case NODE_TEXT:
		return true;
	default:
		return false;
	}
}

static const char *kind_name(const struct conf_node *n)
{
	return n->kind == NODE_GROUP    ? "a group"
	       : n->kind == NODE_LIST   ? "a list"
	       : n->kind == NODE_TEXT   ? "a string"
	       : n->kind == NODE_NUMBER ? "a number"
	                                : "true or false";
}

static int error_number(const struct mortise_option *o, const struct err *e)
{
	if (o->type == MORTISE_OPTION_SECRET)
		return MSG_CONF_SECRET;
	if (e->code == MORTISE_E_NOTFOUND)
		return MSG_CONF_NO_ACCOUNT;
	return e->code == MORTISE_E_LIMIT ? MSG_CONF_RANGE : MSG_CONF_VALUE;
}

static void fill_from(
    const struct filling *f, const char *label, const struct mortise_option *o, struct conf_node *n)
{
	struct value_context v = {f->c->folder, !f->c->from_master};
	struct buf shown AUTO_BUF = BUF_INIT;
	struct err e = ERR_INIT;

	n->used = true;
	n->option = o;
	if (!kind_fits(o, n)) {
		conf_problem(f->r, MSG_CONF_TYPE, n->file, n->line, "%s\"%s\" is %s; it must be %s %s: %s",
		    label, o->name, kind_name(n), conf_type_article(o->type), conf_type_name(o->type),
		    conf_type_hint(o->type));
		return;
	}
	if ((o->flags & MORTISE_OPTION_DEPRECATED) != 0)
		conf_warning(f->r, MSG_CONF_DEPRECATED, n->file, n->line, "%s\"%s\" is old%s%s%s", label,
		    o->name, o->instead != NULL ? "; use \"" : "", o->instead != NULL ? o->instead : "",
		    o->instead != NULL ? "\"" : "");
	if (n->kind == NODE_LIST)
		conf_value_list(o, f->out, n, f->a, &e);
	else
		conf_value(o, f->out, n->text, &v, f->a, &e);
	if (e.code == 0)
		return;
	show_value(o, n, &shown);
	conf_problem(
	    f->r, error_number(o, &e), n->file, n->line, "%s%s: %s", label, buf_cstr(&shown), e.admin);
}

static bool is_reserved(const char *name)
{
	return strcmp(name, "type") == 0 || strcmp(name, "name") == 0;
}

/* Settings of a group that are in no row. */
static void find_unknown(const struct filling *f, const char *label, struct conf_node *group, bool instance)
{
	struct conf_node *n;
	size_t i;

	if (group == NULL)
		return;
	group->used = true;
	for (n = group->first; n != NULL; n = n->next) {
		if (instance && is_reserved(n->name)) {
			n->used = true;
			continue;
		}
		for (i = 0; i < f->count; i++)
			if (strcmp(f->options[i].name, n->name) == 0)
				break;
		if (i == f->count) {
			n->used = true; /* told once is enough */
			unknown_option(f, label, n);
		}
	}
}

/* Every text, so that nothing is NULL where the struct promises a string. */
static void fill_default(const struct filling *f, const struct mortise_option *o)
{
	struct value_context v = {f->c->folder, false};
	struct err e = ERR_INIT;

	if (o->fallback != NULL && conf_value(o, f->out, str_of(o->fallback), &v, f->a, &e) != 0)
		conf_problem(
		    f->r, MSG_CONF_TABLE, NULL, 0, "%sthe default of \"%s\" %s", f->label, o->name, e.admin);
}

static void fill_table(const struct filling *f, struct conf_node *shared, const char *shared_label,
    struct conf_node *own, const char *file, int line)
{
	size_t i;

	find_unknown(f, shared_label, shared, false);
	find_unknown(f, f->label, own, true);
	for (i = 0; i < f->count; i++) {
		const struct mortise_option *o = &f->options[i];
		struct conf_node *in_shared = conf_child(shared, o->name);
		struct conf_node *in_own = is_reserved(o->name) ? NULL : conf_child(own, o->name);

		fill_default(f, o);
		if (in_shared != NULL)
			fill_from(f, shared_label, o, in_shared);
		if (in_own != NULL)
			fill_from(f, f->label, o, in_own);
		if (in_shared == NULL && in_own == NULL && (o->flags & MORTISE_OPTION_REQUIRED) != 0)
			conf_problem(
			    f->r, MSG_CONF_REQUIRED, file, line, "%s\"%s\" must be set", f->label, o->name);
	}
}

void conf_know(struct conf *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->known.n; i++)
		if (strcmp(c->known.v[i], name) == 0)
			return;
	*vec_push(&c->known) = name;
}

/* The group of this name below parent, or NULL; something else of the name is a problem. */
static struct conf_node *get_group(
    struct conf_node *parent, const char *name, const char *label, struct conf_report *r)
{
	struct conf_node *n = conf_child(parent, name);

	if (n == NULL)
		return NULL;
	n->used = true;
	if (n->kind == NODE_GROUP)
		return n;
	conf_problem(r, MSG_CONF_TYPE, n->file, n->line, "\"%s%s\" is %s; it must be a group: %s = { ... };",
	    label, name, kind_name(n), name);
	return NULL;
}

void conf_fill(struct conf *c, const struct conf_group *g, void *out, struct arena *a, struct conf_report *r)
{
	struct filling f = {c, NULL, g->options, g->count, out, a, r};
	struct conf_node *group;

	CHECK_OBJ(c, CONF_MAGIC);
	memset(out, 0, g->size);
	conf_know(c, g->name);
	group = get_group(c->root, g->name, "", r);
	f.label = arena_printf(a, "%s: ", g->name);
	fill_table(&f, group, f.label, NULL, c->main_file, 0);
}

static const char *kind_of_list(const char *list)
{
	return list == NULL                     ? "instance"
	       : strcmp(list, "drivers") == 0   ? "driver"
	       : strcmp(list, "passwords") == 0 ? "password backend"
	       : strcmp(list, "sasl") == 0      ? "mechanism module"
	                                        : list;
}

void conf_fill_instance(struct conf *c, const struct conf_instance *i, const char *module,
    const struct mortise_option *options, size_t count, size_t option_size, size_t size, void *out,
    struct arena *a, struct conf_report *r)
{
	struct filling f = {c, NULL, NULL, count, out, a, r};
	struct conf_node *shared, *own = (struct conf_node *)i->node;

	CHECK_OBJ(c, CONF_MAGIC);
	f.options = conf_table(options, count, option_size, c->arena);
	if (size != 0)
		memset(out, 0, size);
	conf_know(c, "module");
	shared = get_group(get_group(c->root, "module", "", r), module, "module.", r);
	f.label = strcmp(i->name, module) == 0
	              ? arena_printf(a, "%s \"%s\": ", kind_of_list(i->list), i->name)
	              : arena_printf(a, "%s \"%s\" (%s): ", kind_of_list(i->list), i->name, module);
	fill_table(&f, shared, arena_printf(a, "module.%s: ", module), own, i->file, i->line);
}

static bool good_module_name(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return s.n != 0 && s.n <= 64;
}

/* A module's name, or an absolute path, and that only from the file the administrator himself keeps. */
static bool check_module(
    const struct conf *c, const struct conf_node *n, const char *what, struct conf_report *r)
{
	struct str s = n->text;

	if (n->kind != NODE_TEXT || !conf_good_text(s)) {
		conf_problem(r, MSG_CONF_INSTANCE, n->file, n->line, "%s must be a string", what);
		return false;
	}
	if (s.n != 0 && s.p[0] == '/') {
		if (c->from_master || c->main_file == NULL || strcmp(n->file, c->main_file) == 0)
			return true;
		conf_problem(r, MSG_CONF_MODULE_PATH, n->file, n->line,
		    "%s = \"%.80s\": a module may be named by its path in the main file only", what, s.p);
		return false;
	}
	if (good_module_name(s))
		return true;
	conf_problem(
	    r, MSG_CONF_INSTANCE, n->file, n->line, "%s = \"%.80s\" is not a module's name", what, s.p);
	return false;
}

/* "maildir" of "/usr/lib/x/maildir.so". */
static const char *stem(const char *path, struct arena *a)
{
	const char *slash = strrchr(path, '/');
	struct str s = str_of(slash != NULL ? slash + 1 : path);

	if (slash != NULL && str_ends(s, STR(".so")))
		s.n -= 3;
	return arena_strndup(a, s.p, s.n);
}

/* False when the entry is none; the problem is in the report. */
static bool read_instance(const struct conf *c, const char *list, struct conf_node *n,
    struct conf_instance *i, struct arena *a, struct conf_report *r)
{
	struct conf_node *type = n, *name = NULL;

	n->used = true;
	if (n->kind == NODE_GROUP) {
		type = conf_child(n, "type");
		name = conf_child(n, "name");
		i->node = n;
	}
	if (type == NULL) {
		conf_problem(r, MSG_CONF_INSTANCE, n->file, n->line, "%s: this entry has no \"type\"", list);
		return false;
	}
	if (!check_module(c, type, n->kind == NODE_GROUP ? "type" : list, r))
		return false;
	if (name != NULL && (name->kind != NODE_TEXT || !good_module_name(name->text))) {
		conf_problem(r, MSG_CONF_INSTANCE, name->file, name->line,
		    "%s: a \"name\" is letters, digits, - and _, 64 octets at most", list);
		return false;
	}
	i->list = list;
	i->type = arena_strdup(a, type->text.p);
	i->name = name != NULL ? arena_strdup(a, name->text.p) : stem(i->type, a);
	i->file = n->file;
	i->line = n->line;
	return true;
}

static bool name_taken(
    const struct conf_instance *v, size_t n, const struct conf_instance *i, struct conf_report *r)
{
	size_t k;

	for (k = 0; k < n; k++)
		if (strcmp(v[k].name, i->name) == 0) {
			conf_problem(r, MSG_CONF_INSTANCE_TWICE, i->file, i->line,
			    "%s \"%s\" is there twice, first on line %d: give one another name",
			    kind_of_list(i->list), i->name, v[k].line);
			return true;
		}
	return false;
}

static struct conf_node *get_list(struct conf *c, const char *name, struct conf_report *r)
{
	struct conf_node *n = conf_child(c->root, name);

	conf_know(c, name);
	if (n == NULL)
		return NULL;
	n->used = true;
	if (n->kind != NODE_LIST)
		conf_problem(r, MSG_CONF_TYPE, n->file, n->line,
		    "\"%s\" is %s; it must be a list: %s = ( ... );", name, kind_name(n), name);
	return n;
}

#define INSTANCES_MAX 256u

size_t conf_instances(struct conf *c, const char *name, const char *const *fallback, struct arena *a,
    struct conf_instance **out, struct conf_report *r)
{
	struct conf_node *list, *n;
	struct conf_instance *v;
	size_t count = 0, room = 0;

	CHECK_OBJ(c, CONF_MAGIC);
	list = get_list(c, name, r);
	for (n = list != NULL ? list->first : NULL; n != NULL; n = n->next)
		room++;
	while (list == NULL && fallback != NULL && fallback[room] != NULL)
		room++;
	if (room > INSTANCES_MAX) {
		conf_problem(r, MSG_CONF_LIMIT, list != NULL ? list->file : NULL,
		    list != NULL ? list->line : 0, "%s: more than %u entries", name, INSTANCES_MAX);
		room = INSTANCES_MAX;
	}
	v = arena_array(a, room, sizeof(*v));
	for (n = list != NULL ? list->first : NULL; n != NULL && count < room; n = n->next) {
		v[count] = (struct conf_instance){0};
		if (read_instance(c, name, n, &v[count], a, r) && !name_taken(v, count, &v[count], r))
			count++;
	}
	for (; list == NULL && count < room; count++)
		v[count] = (struct conf_instance){
		    .name = fallback[count], .type = fallback[count], .file = c->main_file, .list = name};
	*out = v;
	return count;
}

static const struct mortise_option module_entry_options[] = {
    {.name = "load",
        .type = MORTISE_OPTION_STRING,
        .offset = offsetof(struct conf_module, load),
        .flags = MORTISE_OPTION_REQUIRED,
        .help = "name of the module, or its absolute path"},
    {.name = "required",
        .type = MORTISE_OPTION_BOOL,
        .offset = offsetof(struct conf_module, required),
        .fallback = "no",
        .help = "do not start without it"},
};

size_t conf_modules(struct conf *c, struct arena *a, struct conf_module **out, struct conf_report *r)
{
	struct filling f = {
	    c, "modules: ", module_entry_options, ARRAY_LEN(module_entry_options), NULL, a, r};
	struct conf_node *list, *n;
	size_t count = 0, room = 0;

	CHECK_OBJ(c, CONF_MAGIC);
	list = get_list(c, "modules", r);
	for (n = list != NULL ? list->first : NULL; n != NULL && room < INSTANCES_MAX; n = n->next)
		room++;
	*out = arena_array(a, room, sizeof(**out));
	for (n = list != NULL ? list->first : NULL; n != NULL && count < room; n = n->next) {
		struct conf_module *m = &(*out)[count];
		struct conf_node *load = n->kind == NODE_GROUP ? conf_child(n, "load") : n;

		n->used = true;
		m->file = n->file;
		m->line = n->line;
		f.out = m;
		if (n->kind == NODE_GROUP)
			fill_table(&f, n, f.label, NULL, n->file, n->line);
		if (load == NULL || !check_module(c, load, "load", r))
			continue;
		m->load = arena_strdup(a, load->text.p);
		count++;
	}
	return count;
}

static void check_modules_unused(const struct conf *c, struct conf_report *r)
{
	struct conf_node *group = conf_child(c->root, "module"), *n;

	for (n = group != NULL ? group->first : NULL; n != NULL; n = n->next)
		if (!n->used)
			conf_warning(r, MSG_CONF_UNUSED_MODULE, n->file, n->line,
			    "module.%s: nothing uses this module, so its options have no effect", n->name);
}

void conf_check_unused(struct conf *c, struct conf_report *r)
{
	struct conf_node *n;

	CHECK_OBJ(c, CONF_MAGIC);
	conf_know(c, "module");
	for (n = c->root->first; n != NULL; n = n->next) {
		const char *hint;

		if (n->used || strcmp(n->name, "module") == 0)
			continue;
		hint = nearest(n->name, c->known.v, c->known.n);
		conf_problem(r, MSG_CONF_UNUSED, n->file, n->line, "unknown setting \"%s\"%s%s%s", n->name,
		    hint != NULL ? "; did you mean \"" : "", hint != NULL ? hint : "",
		    hint != NULL ? "\"?" : "");
	}
	check_modules_unused(c, r);
}
