#include "conf/conf_int.h"
#include "conf/mdoc.h"
#include "base/banned.h"

static void print(FILE *out, struct buf *b)
{
	fwrite(buf_cstr(b), 1, b->n, out);
	buf_reset(b);
}

static void origin(struct buf *b, const struct conf_node *n)
{
	if (n == NULL)
		buf_adds(b, " # default\n");
	else
		buf_printf(b, " # %s:%d\n", n->file, n->line);
}

/* A secret's reference is shown, since it is none; anything else that stands there is not. */
static void secret_text(struct buf *b, const struct conf_node *n)
{
	if (n != NULL && n->kind == NODE_TEXT && conf_good_text(n->text) &&
	    (n->text.n == 0 || str_starts(n->text, STR("file:/")) ||
	        (str_starts(n->text, STR("fd:")) && n->text.n < 10)))
		conf_quote(b, n->text.p);
	else
		buf_adds(b, n != NULL ? "\"(not shown)\"" : "\"\"");
}

static void add_item(struct buf *b, const char *text, bool *first)
{
	buf_adds(b, *first ? " " : ", ");
	conf_quote(b, text);
	*first = false;
}

static void option_value(
    struct buf *b, const struct mortise_option *o, const void *value, const struct conf_node *n)
{
	struct buf text AUTO_BUF = BUF_INIT;
	bool first = true;
	size_t i;

	if (o->type == MORTISE_OPTION_SECRET) {
		secret_text(b, n);
	} else if (o->type == MORTISE_OPTION_LIST) {
		const struct mortise_list *l = (const void *)((const char *)value + o->offset);

		buf_addc(b, '[');
		for (i = 0; i < l->count; i++)
			add_item(b, l->items[i], &first);
		buf_adds(b, first ? "]" : " ]");
	} else {
		conf_value_text(o, value, &text);
		conf_write_value(o, buf_cstr(&text), b);
	}
}

/* The lines of one group. */
static void dump_group(struct conf *c, const struct conf_group *g, bool changed, FILE *out)
{
	struct arena *a AUTO_ARENA = arena_new_secret("dump");
	struct conf_report *r = conf_report_new(a); /* problems were told by whoever checked */
	struct conf *none AUTO_CONF = conf_new();
	void *now = arena_alloc(a, g->size), *before = arena_alloc(a, g->size);
	const struct conf_node *group = conf_child(c->root, g->name);
	struct buf b AUTO_BUF = BUF_INIT, x AUTO_BUF = BUF_INIT, y AUTO_BUF = BUF_INIT;
	bool open = false;
	size_t i;

	none->folder = c->folder;
	conf_fill(c, g, now, a, r);
	conf_fill(none, g, before, a, r);
	for (i = 0; i < g->count; i++) {
		const struct mortise_option *o = &g->options[i];
		const struct conf_node *n =
		    group != NULL && group->kind == NODE_GROUP ? conf_child(group, o->name) : NULL;

		if (n == NULL &&
		    (changed || (o->flags & (MORTISE_OPTION_HIDDEN | MORTISE_OPTION_DEPRECATED)) != 0))
			continue;
		buf_reset(&x);
		buf_reset(&y);
		option_value(&x, o, now, n);
		option_value(&y, o, before, NULL);
		if (changed && str_eq(buf_str(&x), buf_str(&y)))
			continue;
		if (!open)
			buf_printf(&b, "%s = {\n", g->name);
		open = true;
		buf_printf(&b, "\t%s = %s;", o->name, buf_cstr(&x));
		origin(&b, n);
	}
	if (open)
		buf_adds(&b, "};\n");
	print(out, &b);
}

/* A setting of a module, whose table we may not have: then it cannot be known whether it is a secret. */
static void dump_scalar(struct buf *b, const struct conf_node *n, bool open)
{
	if (n->option != NULL && n->option->type == MORTISE_OPTION_SECRET)
		secret_text(b, n);
	else if (!open && n->option == NULL)
		buf_adds(b, "\"(not shown)\"");
	else if (n->kind == NODE_TEXT)
		conf_quote(b, n->text.p);
	else
		buf_addstr(b, n->text);
}

static void dump_node(struct buf *b, const struct conf_node *n, unsigned depth, bool open);

static void dump_member(struct buf *b, const struct conf_node *n, unsigned depth, bool open)
{
	bool plain = open || strcmp(n->name, "type") == 0 || strcmp(n->name, "name") == 0;

	buf_printf(b, "%.*s%s = ", (int)depth, "\t\t\t\t\t\t\t\t", n->name);
	dump_node(b, n, depth, plain);
	buf_addc(b, ';');
	if (n->kind == NODE_GROUP || n->kind == NODE_LIST)
		buf_addc(b, '\n');
	else
		origin(b, n);
}

static void dump_node(struct buf *b, const struct conf_node *n, unsigned depth, bool open)
{
	const struct conf_node *child;
	bool names = depth == 0 && n->name != NULL && conf_is_instance_list(n->name);

	if (n->kind == NODE_GROUP) {
		buf_adds(b, "{\n");
		for (child = n->first; child != NULL; child = child->next)
			dump_member(b, child, depth + 1, open);
		buf_printf(b, "%.*s}", (int)depth, "\t\t\t\t\t\t\t\t");
	} else if (n->kind == NODE_LIST) {
		buf_addc(b, '(');
		for (child = n->first; child != NULL; child = child->next) {
			buf_adds(b, child == n->first ? " " : ", ");
			/* A bare name in an instance list is a module's name; in an option it has the
			 * option's type. */
			dump_node(b, child, depth,
			    open || n->option != NULL || (names && child->kind == NODE_TEXT));
		}
		buf_adds(b, n->first != NULL ? " )" : ")");
	} else {
		dump_scalar(b, n, open);
	}
}

void conf_dump(struct conf *c, const struct conf_group *const *groups, size_t count, bool changed, FILE *out)
{
	struct buf b AUTO_BUF = BUF_INIT;
	const struct conf_node *n;
	size_t i;

	CHECK_OBJ(c, CONF_MAGIC);
	buf_printf(&b, "# %s values of %s\n", changed ? "changed" : "all", conf_file(c));
	print(out, &b);
	for (i = 0; i < count; i++)
		dump_group(c, groups[i], changed, out);
	for (n = c->root->first; n != NULL; n = n->next)
		if (conf_is_instance_list(n->name) || strcmp(n->name, "module") == 0) {
			dump_member(&b, n, 0, strcmp(n->name, "modules") == 0);
			print(out, &b);
		}
}
