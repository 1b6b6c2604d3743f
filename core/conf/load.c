#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libconfig.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "conf/conf_int.h"
#include "base/banned.h"

static const char *const instance_lists[] = {"modules", "drivers", "passwords", "sasl"};

bool conf_is_instance_list(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(instance_lists); i++)
		if (strcmp(instance_lists[i], name) == 0)
			return true;
	return false;
}

struct conf *conf_new(void)
{
	struct conf *c = mem_new(struct conf);

	c->magic = CONF_MAGIC;
	c->arena = arena_new("conf");
	c->folder = MORTISE_CONFDIR;
	c->root = conf_node_new(c, NODE_GROUP, NULL);
	return c;
}

void conf_free(struct conf **cp)
{
	struct conf *c;

	if (*cp == NULL)
		return;
	TAKE_OBJ(c, cp, CONF_MAGIC);
	vec_free(&c->known);
	arena_free(&c->arena);
	c->magic = 0;
	mem_free(c);
}

const char *conf_file(const struct conf *c)
{
	CHECK_OBJ(c, CONF_MAGIC);
	return c->main_file != NULL ? c->main_file : "(none)";
}

struct conf_node *conf_node_new(struct conf *c, enum node_kind kind, const char *name)
{
	struct conf_node *n = arena_new_of(c->arena, struct conf_node);

	n->kind = kind;
	n->name = name;
	n->text = STR("");
	return n;
}

void conf_node_add(struct conf_node *parent, struct conf_node *child)
{
	child->next = NULL;
	if (parent->last != NULL)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
}

struct conf_node *conf_child(const struct conf_node *parent, const char *name)
{
	struct conf_node *n;

	if (parent == NULL)
		return NULL;
	for (n = parent->first; n != NULL; n = n->next)
		if (n->name != NULL && strcmp(n->name, name) == 0)
			return n;
	return NULL;
}

/* NULL for a value that cannot be one: two of them side by side with nothing between. */
static bool copy_text(struct conf *c, struct conf_node *n, const char *value)
{
	struct str text = str_of(value != NULL ? value : "");

	n->kind = NODE_TEXT;
	if (text.n != 0 && text.p[0] == NUMBER_MARK) {
		n->kind = NODE_NUMBER;
		text = str_from(text, 1);
	}
	n->text = arena_str(c->arena, text);
	return str_find(text, NUMBER_MARK) == text.n;
}

static struct conf_node *copy_setting(
    struct conf *c, const config_setting_t *s, const char *file, struct conf_report *r)
{
	struct conf_node *n =
	    conf_node_new(c, NODE_GROUP, s->name != NULL ? arena_strdup(c->arena, s->name) : NULL);
	int i, count;

	n->file = file;
	n->line = (int)s->line;
	switch (s->type) {
	case CONFIG_TYPE_GROUP:
	case CONFIG_TYPE_ARRAY:
	case CONFIG_TYPE_LIST:
		n->kind = s->type == CONFIG_TYPE_GROUP ? NODE_GROUP : NODE_LIST;
		count = config_setting_length(s);
		for (i = 0; i < count; i++) {
			const config_setting_t *child = config_setting_get_elem(s, (unsigned)i);

			if (child->name == NULL || child->name[0] != DUPLICATE_MARK)
				conf_node_add(n, copy_setting(c, child, file, r));
		}
		break;
	case CONFIG_TYPE_BOOL:
		n->kind = NODE_BOOL;
		n->text = s->value.ival != 0 ? STR("true") : STR("false");
		break;
	default:
		if (!copy_text(c, n, config_setting_get_string(s)))
			conf_problem(r, MSG_CONF_SYNTAX, file, n->line, "two values side by side");
		break;
	}
	return n;
}

const char *conf_entry_name(const struct conf_node *entry)
{
	const struct conf_node *n;

	if (entry->kind == NODE_TEXT)
		return entry->text.p;
	if (entry->kind != NODE_GROUP)
		return NULL;
	n = conf_child(entry, "name");
	if (n == NULL)
		n = conf_child(entry, "type");
	if (n == NULL)
		n = conf_child(entry, "load");
	return n != NULL && n->kind == NODE_TEXT ? n->text.p : NULL;
}

/* Entries of a later file: at the place of the one of the same name, or at the end. */
static void join(struct conf_node *into, struct conf_node *from)
{
	struct conf_node *entry, *next, *end = into->last;

	for (entry = from->first; entry != NULL; entry = next) {
		const char *name = conf_entry_name(entry);
		struct conf_node *old = end != NULL && name != NULL ? into->first : NULL;

		next = entry->next;
		for (; old != NULL; old = old == end ? NULL : old->next) {
			const char *old_name = conf_entry_name(old);

			if (old_name != NULL && strcmp(old_name, name) == 0)
				break;
		}
		if (old == NULL) {
			conf_node_add(into, entry);
		} else {
			struct conf_node *after = old->next;

			*old = *entry;
			old->next = after;
		}
	}
}

static void merge(struct conf_node *into, struct conf_node *from, bool top)
{
	struct conf_node *n, *next;

	for (n = from->first; n != NULL; n = next) {
		struct conf_node *old = conf_child(into, n->name);

		next = n->next;
		if (old == NULL) {
			conf_node_add(into, n);
		} else if (top && n->kind == NODE_LIST && old->kind == NODE_LIST &&
		           conf_is_instance_list(n->name)) {
			join(old, n);
		} else if (n->kind == NODE_GROUP && old->kind == NODE_GROUP) {
			merge(old, n, false);
		} else {
			struct conf_node *after = old->next;

			*old = *n;
			old->next = after;
		}
	}
}

static void parse(struct conf *c, struct str text, const char *name, struct conf_report *r)
{
	struct buf plain AUTO_BUF = BUF_INIT;
	config_t parsed;

	conf_report_file(r, name);
	if (!conf_scan(text, name, &plain, &c->settings, r))
		return;
	config_init(&parsed);
	if (config_read_string(&parsed, buf_cstr(&plain)) == CONFIG_TRUE) {
		struct conf_node *tree = copy_setting(c, config_root_setting(&parsed), name, r);

		merge(c->root, tree, true);
	} else {
		/* conf_scan knows the grammar, so this is a libconfig that reads another one. What stands
		 * there is not shown: it may be a secret somebody wrote into the file. */
		conf_problem(r, MSG_CONF_LIBRARY, name, config_error_line(&parsed),
		    "%s here or on the line before",
		    config_error_text(&parsed) != NULL ? config_error_text(&parsed) : "syntax error");
	}
	config_destroy(&parsed);
}

struct conf *conf_parse(struct str text, const char *name, struct conf_report *r)
{
	struct conf *c = conf_new();

	c->main_file = arena_strdup(c->arena, name);
	if (text.n > CONF_FILE_MAX)
		conf_problem(r, MSG_CONF_LIMIT, c->main_file, 0, "more than %u octets", CONF_FILE_MAX);
	else
		parse(c, text, c->main_file, r);
	return c;
}

/* What root is told to load must not be for others to write. */
static bool owned_safely(const struct stat *st, const char *path, struct conf_report *r)
{
	if (geteuid() != 0)
		return true;
	if (st->st_uid != 0) {
		conf_problem(
		    r, MSG_CONF_UNSAFE, path, 0, "is owned by uid %u, not by root", (unsigned)st->st_uid);
		return false;
	}
	if ((st->st_mode & 022) != 0) {
		conf_problem(r, MSG_CONF_UNSAFE, path, 0, "is writable by %s (mode %04o)",
		    (st->st_mode & 02) != 0 ? "everyone" : "its group", (unsigned)(st->st_mode & 07777));
		return false;
	}
	return true;
}

/* False only when the file is not there and `optional`. */
static bool read_file(struct conf *c, const char *path, bool optional, struct conf_report *r)
{
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *name = arena_strdup(c->arena, path);
	AUTO_FREE char *text = NULL;
	struct stat st;
	ssize_t n;

	if (fd < 0 && optional && errno == ENOENT)
		return false;
	conf_report_file(r, name);
	if (fd < 0 || fstat(fd, &st) != 0) {
		conf_problem(r, MSG_CONF_READ, name, 0, "cannot be opened: %s", strerror(errno));
		return true;
	}
	if (!S_ISREG(st.st_mode)) {
		conf_problem(r, MSG_CONF_READ, name, 0, "is not a regular file");
		return true;
	}
	if (!owned_safely(&st, name, r))
		return true;
	text = mem_alloc(CONF_FILE_MAX + 1);
	n = io_read(fd, text, CONF_FILE_MAX + 1);
	if (n < 0)
		conf_problem(r, MSG_CONF_READ, name, 0, "cannot be read: %s", strerror(errno));
	else if ((size_t)n > CONF_FILE_MAX)
		conf_problem(r, MSG_CONF_LIMIT, name, 0, "more than %u octets", CONF_FILE_MAX);
	else
		parse(c, str_mem(text, (size_t)n), name, r);
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void read_folder(struct conf *c, const char *folder, struct conf_report *r)
{
	DIR *d = opendir(folder);
	VEC(char *) names = VEC_INIT;
	struct dirent *entry;
	size_t i;

	if (d == NULL) {
		if (errno != ENOENT)
			conf_problem(r, MSG_CONF_READ, folder, 0, "cannot be read: %s", strerror(errno));
		return;
	}
	while ((entry = readdir(d)) != NULL && names.n <= CONF_FILES_MAX)
		if (entry->d_name[0] != '.' && str_ends(str_of(entry->d_name), STR(".conf")))
			*vec_push(&names) = arena_printf(c->arena, "%s/%s", folder, entry->d_name);
	closedir(d);
	if (names.n > CONF_FILES_MAX) {
		conf_problem(r, MSG_CONF_LIMIT, folder, 0, "more than %u files", CONF_FILES_MAX);
		names.n = CONF_FILES_MAX;
	}
	if (names.n != 0)
		qsort(names.v, names.n, sizeof(names.v[0]), by_name);
	for (i = 0; i < names.n; i++)
		read_file(c, names.v[i], true, r);
	vec_free(&names);
}

static const char *folder_of(struct conf *c, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash == NULL   ? arena_strdup(c->arena, ".")
	               : slash == path ? arena_strdup(c->arena, "/")
	                               : arena_strndup(c->arena, path, (size_t)(slash - path));
	AUTO_FREE char *real = realpath(folder, NULL);

	return real != NULL ? arena_strdup(c->arena, real) : folder;
}

static void keep_secrets(const struct conf_node *n)
{
	conf_secret_keep(n);
	for (n = n->first; n != NULL; n = n->next)
		keep_secrets(n);
}

struct conf *conf_load(const char *path, struct conf_report *r)
{
	struct conf *c = conf_new();
	const char *main_file = path != NULL ? path : MORTISE_CONFDIR "/imapd.conf";

	c->folder = folder_of(c, main_file);
	if (read_file(c, main_file, path == NULL, r))
		c->main_file = arena_strdup(c->arena, main_file);
	read_folder(c, arena_printf(c->arena, "%s.d", main_file), r);
	keep_secrets(c->root);
	return c;
}
