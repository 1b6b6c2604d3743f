/*
 * names.c: what may be a mailbox name.
 *
 * Everything a client says passes here before it becomes part of a path. The rules are few and the same for
 * every command: UTF-8, no control characters, levels that are neither empty nor "." nor "..", nothing that
 * the server keeps for itself. For names of things to be made there are some more, so that whatever is made
 * can be listed and opened again.
 */
#include "base/path.h"
#include "charset/charset.h"
#include "store/store_int.h"
#include "base/banned.h"

#define DRIVER_PREFIX "#driver."

static int refuse(struct err *e, const char *why)
{
	return err_fail(e, MORTISE_E_INVALID, "Invalid mailbox name: %s", why);
}

/* C0, DEL and C1 controls, and the two line separators of Unicode, in valid UTF-8. */
static bool has_control(struct str s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c == 0x7f)
			return true;
		if (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0)
			return true;
		if (c == 0xe2 && i + 2 < s.n && (unsigned char)s.p[i + 1] == 0x80 &&
		    ((unsigned char)s.p[i + 2] == 0xa8 || (unsigned char)s.p[i + 2] == 0xa9))
			return true;
	}
	return false;
}

/* "#driver.NAME/rest". */
static int take_driver(const struct store *s, struct str *name, struct name *out, struct err *e)
{
	struct str rest = str_from(*name, sizeof(DRIVER_PREFIX) - 1);
	struct str driver = str_cut(&rest, '/');

	if (rest.p == NULL || driver.n == 0)
		return err_fail(e, MORTISE_E_INVALID, "Bad driver syntax");
	out->driver = store_driver(s, driver);
	if (out->driver == NULL)
		return err_fail(e, MORTISE_E_NOTFOUND, "No such driver");
	*name = rest;
	return 0;
}

/* "~fred/rest", "#shared/rest". */
static int take_guest(struct store *s, struct str *name, struct arena *a, struct name *out, struct err *e)
{
	struct str rest = *name, prefix = str_cut(&rest, '/');

	if (rest.p == NULL || rest.n == 0)
		return err_fail(e, MORTISE_E_NOTFOUND, "No such mailbox");
	if (store_guest(s, arena_str(a, prefix).p, &out->where, e) != 0)
		return e->code;
	*name = rest;
	return 0;
}

/* The name that is told: with the prefix of another's. */
static const char *whole(const struct name *n, const char *path, struct arena *a)
{
	return n->where != NULL ? arena_printf(a, "%s/%s", n->where->prefix, path) : path;
}

static int check_levels(const struct store *s, struct str name, unsigned how, struct err *e)
{
	struct str rest = name;
	uint64_t depth = 0;

	while (rest.p != NULL) {
		struct str level = str_cut(&rest, '/');

		if (level.n == 0)
			return refuse(e, "empty level");
		if (str_eqc(level, ".") || str_eqc(level, ".."))
			return refuse(e, "\".\" and \"..\" have no place here");
		if (level.n > LEVEL_LIMIT)
			return refuse(e, "too long");
		depth++;
	}
	if ((how & NAME_NEW) == 0)
		return 0;
	if (depth > s->o->list_depth)
		return err_fail(e, MORTISE_E_LIMIT, "Mailbox name has too many levels");
	if (str_find(name, '*') != name.n || str_find(name, '%') != name.n)
		return refuse(e, "'*' and '%' are wildcards");
	return 0;
}

/* "inbox/x" beside "INBOX/x" would be two places with one name to most clients. */
static bool inbox_twin(struct str name)
{
	struct str rest = name, first = str_cut(&rest, '/');

	return str_ieqc(first, "INBOX") && !str_eqc(first, "INBOX");
}

int name_parse(
    struct store *s, const char *text, unsigned how, struct arena *a, struct name *out, struct err *e)
{
	struct str name = str_of(text);

	CHECK_OBJ(s, STORE_MAGIC);
	*out = (struct name){.text = "", .path = ""};
	if (name.n == 0)
		return refuse(e, "empty");
	if (name.n > NAME_LIMIT)
		return refuse(e, "too long");
	if (!utf8_valid(name))
		return refuse(e, "not UTF-8");
	if (has_control(name))
		return refuse(e, "control characters");
	if (str_istarts(name, STR(DRIVER_PREFIX)) && (how & NAME_MAY_CHOOSE) != 0 &&
	    take_driver(s, &name, out, e) != 0)
		return e->code;
	if (str_ieqc(name, MH_INBOX)) {
		out->inbox = true;
		out->text = MH_INBOX;
		return store_guest(s, MH_PREFIX, &out->where, e);
	}
	if (name.n > 0 && (name.p[0] == '#' || name.p[0] == '~')) {
		if (take_guest(s, &name, a, out, e) != 0)
			return e->code;
		if (out->where != NULL)
			s = out->where;
	}
	if (name.n > 1 && name.p[name.n - 1] == '/' && (how & NAME_DIRECTORY) != 0) {
		out->directory = true;
		name.n--;
	}
	if (str_ieqc(name, "INBOX")) {
		out->inbox = true;
		out->text = whole(out, "INBOX", a);
		return 0;
	}
	if (check_levels(s, name, how, e) != 0)
		return e->code;
	if ((how & NAME_NEW) != 0 && inbox_twin(name))
		return refuse(e, "INBOX is written in capitals here");
	out->text = out->path = arena_str(a, name).p;
	if (s->o->dot_folders) {
		out->directory = false; /* there is no level without a mailbox */
		if (folder_path(s, out, how, a, e) != 0)
			return e->code;
	}
	if (name_hidden(s, out->path))
		return (how & NAME_NEW) != 0 ? refuse(e, "the server keeps such names for itself")
		                             : err_fail(e, MORTISE_E_NOTFOUND, "No such mailbox");
	out->text = whole(out, out->text, a);
	return 0;
}

/* Whether `path` below the mail directory is `file` (absolute) or below it, or a sibling made from it. */
static bool belongs_to(const struct store *s, struct str path, const char *file)
{
	struct str root = str_of(s->root_path), f = str_of(file);

	if (!str_starts(f, root) || f.n <= root.n + 1)
		return false;
	if (root.n > 1) {
		if (f.p[root.n] != '/')
			return false;
		root.n++;
	}
	f = str_from(f, root.n);
	return str_starts(path, f) && (path.n == f.n || path.p[f.n] == '/' || path.p[f.n] == '.');
}

static bool has_suffix(const struct store *s, struct str level)
{
	size_t i;

	if (str_ends(level, STR(".lock")))
		return true;
	for (i = 0; i < s->driver_count; i++) {
		const char *suffix = driver_ops(s->drivers[i])->traits->file_suffix;

		if (suffix != NULL && suffix[0] != '\0' && str_ends(level, str_of(suffix)))
			return true;
	}
	return false;
}

static bool number_behind(struct str level, struct str stem)
{
	size_t i = stem.n;

	if (!str_starts(level, stem) || level.n == i)
		return false;
	while (i < level.n && ascii_digit(level.p[i]))
		i++;
	return i == level.n;
}

bool driver_owns_name(const struct instance *driver, struct str level)
{
	const struct mortise_traits *t = driver_ops(driver)->traits;
	const char *const *own;

	if (!t->directory || t->size < offsetof(struct mortise_traits, own_names) + sizeof(t->own_names) ||
	    t->own_names == NULL)
		return false;
	for (own = t->own_names; *own != NULL; own++) {
		struct str name = str_of(*own);
		char end = name.n > 0 ? name.p[name.n - 1] : '\0';
		struct str stem = str_sub(name, 0, name.n - (end != '\0'));

		if (end == '*' ? str_starts(level, stem)
		               : str_eq(level, name) || (end == '#' && number_behind(level, stem)))
			return true;
	}
	return false;
}

bool name_maybe_own(const struct store *s, struct str level)
{
	size_t i;

	for (i = 0; i < s->driver_count; i++)
		if (driver_owns_name(s->drivers[i], level))
			return true;
	return false;
}

bool name_hidden(const struct store *s, const char *path)
{
	struct str rest = str_of(path);

	if (belongs_to(s, rest, s->state_path) || belongs_to(s, rest, s->subscriptions_path))
		return true;
	while (rest.p != NULL && !s->o->dot_folders) {
		struct str level = str_cut(&rest, '/');

		if (level.n > 0 && level.p[0] == '.' && s->o->hide_dot_files)
			return true;
		if (has_suffix(s, level))
			return true;
	}
	return false;
}
