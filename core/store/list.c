/*
 * list.c: LIST.
 *
 * The mail directory is walked in directory order from the last level before the pattern's first wildcard.
 * A file is only looked at when its name matches, a directory only entered when something below it could.
 * The walk is bounded: in depth (list_depth), in what it gives (list_entries), in what it looks at (ten times
 * that), and it does not enter a directory that it is already in (links).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "charset/charset.h"
#include "log/log.h"
#include "store/store_int.h"
#include "base/banned.h"

#define LOOK_FACTOR 10u /* directory entries looked at for each that may be given */

struct walk {
	struct store *s;
	const char *prefix;     /* of names that are others': "~fred/" */
	struct pattern pattern; /* behind it */
	bool levels;            /* the pattern ends in a separator: only levels that can have others below */
	list_fn *fn;
	void *arg;
	struct err *e;
	struct arena *a;
	uint64_t given, looked;
};

struct level {
	const struct level *up;
	dev_t dev;
	ino_t ino;
	unsigned depth;
	const char *path; /* "" for the mail directory */
	DIR *dir;
};

static int give(struct walk *w, const char *name, unsigned attributes)
{
	const char *told = w->prefix[0] != '\0' ? arena_printf(w->a, "%s%s", w->prefix, name) : name;
	struct list_entry entry = {.name = told, .separator = '/', .attributes = attributes};
	int r;

	if (w->given++ >= w->s->o->list_entries) {
		log_msg(MSG_STORE_LIST_LIMIT, "LIST stopped after %llu mailboxes",
		    (unsigned long long)w->s->o->list_entries);
		return err_fail(w->e, MORTISE_E_LIMIT, "Too many mailboxes to list all of them");
	}
	r = w->fn(w->arg, &entry);
	if (r < 0 && w->e->code == 0)
		err_fail(w->e, r, "%s", mortise_error_text(r));
	return r;
}

static int open_level(struct walk *w, const char *path, const struct level *up, struct level *l)
{
	int fd = path_open(w->s->root, path[0] != '\0' ? path : ".", O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0,
	    store_how(w->s));
	const struct level *x;
	struct stat st;

	*l = (struct level){.up = up, .path = path, .depth = up != NULL ? up->depth + 1 : 0};
	if (fd < 0 || fstat(fd, &st) != 0) {
		io_close(&fd);
		return -1;
	}
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	for (x = up; x != NULL; x = x->up)
		if (x->dev == l->dev && x->ino == l->ino) {
			close(fd);
			return -1;
		}
	l->dir = fdopendir(fd);
	if (l->dir == NULL)
		close(fd);
	return l->dir != NULL ? 0 : -1;
}

/* The next entry that could be a mailbox or a level: its name in the walk's arena. NULL at the end or with
 * w->e. */
static const char *next_entry(struct walk *w, struct level *l, unsigned char *type)
{
	struct dirent *d;

	while ((d = readdir(l->dir)) != NULL) {
		const char *name;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (++w->looked % 256 == 0 && store_stopped(w->s, w->e) != 0)
			return NULL;
		if (w->looked / LOOK_FACTOR > w->s->o->list_entries) {
			log_msg(MSG_STORE_LIST_LIMIT, "LIST stopped after %llu directory entries",
			    (unsigned long long)w->looked);
			err_fail(w->e, MORTISE_E_LIMIT, "Too many files to look at all of them");
			return NULL;
		}
		if (d->d_type != DT_REG && d->d_type != DT_DIR && d->d_type != DT_LNK &&
		    d->d_type != DT_UNKNOWN)
			continue;
		name = l->path[0] != '\0' ? arena_printf(w->a, "%s/%s", l->path, d->d_name)
		                          : arena_strdup(w->a, d->d_name);
		if (path_clean(str_of(name)) != 0 || !utf8_valid(str_of(name)) || name_hidden(w->s, name))
			continue;
		*type = d->d_type;
		return name;
	}
	return NULL;
}

/* What is there. OTHER also for what cannot be looked at; damaged mailboxes are mailboxes. */
static enum object look_at(struct walk *w, const char *name, struct target *t)
{
	struct err e = ERR_INIT;

	if (target_path(w->s, name, name, t, &e) == 0)
		return t->object;
	log_debug("store", "LIST %s: %s", name, e.admin);
	*t = (struct target){.own_root = -1};
	return e.code == MORTISE_E_CORRUPT ? OBJECT_MAILBOX : OBJECT_OTHER;
}

/* Whether there is anything below the directory; `driver`: whose mailbox it is, or NULL. */
static bool has_children(
    struct walk *w, const char *path, const struct instance *driver, const struct level *up)
{
	struct arena_mark mark = arena_mark(w->a);
	bool found = false;
	unsigned char type;
	const char *name;
	struct level l;

	if (open_level(w, path, up, &l) != 0)
		return false;
	while (!found && (name = next_entry(w, &l, &type)) != NULL) {
		const char *slash = strrchr(name, '/');
		enum object o = OBJECT_DIRECTORY;
		struct target t;

		if (driver != NULL && driver_owns_name(driver, str_of(slash != NULL ? slash + 1 : name)))
			continue;
		if (type != DT_DIR) {
			o = look_at(w, name, &t);
			target_close(&t);
		}
		found = o == OBJECT_DIRECTORY || o == OBJECT_MAILBOX;
	}
	closedir(l.dir);
	arena_release(w->a, mark);
	return found;
}

static unsigned marks(const struct target *t)
{
	const struct stat *st = &t->st;

	if (t->object != OBJECT_MAILBOX || !S_ISREG(st->st_mode))
		return 0;
	return st->st_ctim.tv_sec > st->st_atim.tv_sec ||
	               (st->st_ctim.tv_sec == st->st_atim.tv_sec && st->st_ctim.tv_nsec > st->st_atim.tv_nsec)
	           ? LIST_MARKED
	           : LIST_UNMARKED;
}

static unsigned attributes(
    struct walk *w, const char *name, const struct target *t, enum object o, const struct level *up)
{
	bool directory =
	    o == OBJECT_DIRECTORY || (t->driver != NULL && driver_ops(t->driver)->traits->directory);
	unsigned bits = marks(t);

	if (!directory)
		return bits | LIST_NOINFERIORS | LIST_HASNOCHILDREN;
	bits |= has_children(w, name, t->driver, up) ? LIST_HASCHILDREN : LIST_HASNOCHILDREN;
	return o == OBJECT_DIRECTORY ? bits | LIST_NOSELECT : bits;
}

static int walk_level(struct walk *w, const char *path, const struct level *up);

static int visit(struct walk *w, const char *name, unsigned char type, const struct level *l)
{
	const char *as_level = arena_printf(w->a, "%s/", name);
	bool matches = pattern_match(&w->pattern, str_of(w->levels ? as_level : name));
	bool below = type != DT_REG && pattern_below(&w->pattern, str_of(as_level));
	struct target t;
	enum object o;
	bool directory;

	if (!matches && !below)
		return 0;
	o = look_at(w, name, &t);
	directory = o != OBJECT_MISSING && o != OBJECT_OTHER && S_ISDIR(t.st.st_mode);
	/* INBOX in any case was given already; what is below a directory of that name is not INBOX. */
	if (strcasecmp(name, "INBOX") == 0 || (w->levels && !directory))
		matches = false;
	if (matches && (o == OBJECT_MAILBOX || o == OBJECT_DIRECTORY))
		give(w, w->levels ? as_level : name, attributes(w, name, &t, o, l));
	target_close(&t);
	if (w->e->code == 0 && below && directory && l->depth + 1 < w->s->o->list_depth)
		walk_level(w, name, l);
	return w->e->code;
}

static int walk_level(struct walk *w, const char *path, const struct level *up)
{
	unsigned char type;
	const char *name;
	struct level l;

	if (open_level(w, path, up, &l) != 0) {
		log_debug("store", "LIST %s: %m", path);
		return 0;
	}
	for (;;) {
		struct arena_mark mark = arena_mark(w->a);
		int r;

		name = next_entry(w, &l, &type);
		r = name == NULL || visit(w, name, type, &l) != 0;
		arena_release(w->a, mark);
		if (r != 0)
			break;
	}
	closedir(l.dir);
	return w->e->code;
}

/* A directory of that name is no mailbox that could be opened, whatever is in it, but what is below it is. */
static bool below_inbox(struct walk *w)
{
	struct target t;
	bool found;

	(void)look_at(w, "INBOX", &t);
	found = has_children(w, "INBOX", t.driver, NULL);
	target_close(&t);
	return found;
}

static int list_inbox(struct walk *w, bool children)
{
	const struct name n = {.text = "INBOX", .inbox = true};
	struct pattern p = w->pattern;
	struct err e = ERR_INIT;
	bool there = false;
	unsigned bits;
	struct target t;
	size_t i;

	for (i = 0; i < p.n; i++)
		p.text[i] = ascii_upper(p.text[i]);
	if (!pattern_match(&p, STR("INBOX")))
		return 0;
	bits = children ? LIST_HASCHILDREN : LIST_HASNOCHILDREN;
	if (target_find(w->s, &n, &t, &e) == 0) {
		there = t.object == OBJECT_MAILBOX;
		bits |= marks(&t);
		target_close(&t);
	}
	return there || w->prefix[0] == '\0' ? give(w, "INBOX", bits) : 0;
}

static int list_folders(struct walk *w)
{
	struct folders f = {.list = VEC_INIT};
	bool inbox = false;
	size_t i;

	if (w->s->root >= 0 && folders_read(w->s, w->a, &f, w->e) != 0) {
		vec_free(&f.list);
		return w->e->code;
	}
	for (i = 0; i < f.list.n && !inbox; i++)
		inbox = folder_below(f.list.v[i].name, "INBOX");
	list_inbox(w, inbox);
	for (i = 0; i < f.list.n && w->e->code == 0; i++) {
		const char *name = w->levels ? arena_printf(w->a, "%s/", f.list.v[i].name) : f.list.v[i].name;

		if (strcmp(f.list.v[i].name, "INBOX") != 0 && pattern_match(&w->pattern, str_of(name)))
			give(w, name,
			    (f.list.v[i].children ? LIST_HASCHILDREN : LIST_HASNOCHILDREN) |
			        (f.list.v[i].mailbox ? 0 : LIST_NOSELECT | LIST_NONEXISTENT));
	}
	vec_free(&f.list);
	return w->e->code;
}

/* The levels of the pattern in front of its first wildcard: "a/b/c%" begins in "a/b". NULL: nothing can
 * match. */
static const char *start_path(struct walk *w, unsigned *depth)
{
	struct str text = {w->pattern.text, w->pattern.n}, path;
	struct err e = ERR_INIT;
	size_t i, end = 0;
	struct name n;

	*depth = 0;
	for (i = 0; i < text.n && text.p[i] != '*' && text.p[i] != '%'; i++)
		if (text.p[i] == '/' && i + 1 < text.n) {
			end = i;
			++*depth;
		}
	if (end == 0)
		return text.n > 0 && text.p[0] == '/' ? NULL : "";
	path = arena_str(w->a, str_sub(text, 0, end));
	return name_parse(w->s, path.p, 0, w->a, &n, &e) == 0 ? path.p : NULL;
}

/* It stands alone: "#mh/" does not end it. */
static int list_mh_inbox(struct walk *w)
{
	struct list_entry entry = {.name = MH_INBOX, .attributes = LIST_NOINFERIORS};
	struct err e = ERR_INIT;
	bool there;
	struct name n;
	struct target t;

	if (name_parse(w->s, MH_INBOX, 0, w->a, &n, &e) != 0 || target_find(w->s, &n, &t, &e) != 0)
		return 0;
	there = t.object == OBJECT_MAILBOX;
	entry.attributes |= marks(&t);
	target_close(&t);
	return there ? w->fn(w->arg, &entry) : 0;
}

/* "~fred/%": the walk is fred's. False: there is nothing to be seen. */
static bool begin_guest(struct walk *w)
{
	struct str text = {w->pattern.text, w->pattern.n};
	size_t end = str_find(text, '/');
	struct err e = ERR_INIT;
	struct store *guest;
	const char *prefix;

	if (text.n == 0 || (text.p[0] != '~' && text.p[0] != '#'))
		return true;
	if (end == text.n || str_find(str_sub(text, 0, end), '*') < end ||
	    str_find(str_sub(text, 0, end), '%') < end)
		return false;
	prefix = arena_str(w->a, str_sub(text, 0, end)).p;
	if (store_guest(w->s, prefix, &guest, &e) != 0)
		return false;
	w->prefix = arena_printf(w->a, "%s/", prefix);
	w->s = guest != NULL ? guest : w->s;
	w->pattern.n -= end + 1;
	memmove(w->pattern.text, w->pattern.text + end + 1, w->pattern.n);
	return w->pattern.n > 0;
}

int store_list(
    struct store *s, const char *reference, const char *pattern, list_fn *fn, void *arg, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("list");
	struct walk w = {.s = s, .prefix = "", .fn = fn, .arg = arg, .e = e, .a = a};
	struct err missing = ERR_INIT;
	const char *path;
	unsigned depth;

	CHECK_OBJ(s, STORE_MAGIC);
	pattern_set(&w.pattern, reference, pattern, '/');
	if (str_ieqc((struct str){w.pattern.text, w.pattern.n}, MH_INBOX))
		return list_mh_inbox(&w);
	if (!begin_guest(&w))
		return 0;
	s = w.s;
	w.levels = w.pattern.n > 1 && w.pattern.text[w.pattern.n - 1] == '/';
	store_root(s, false, &missing);
	if (s->o->dot_folders && (s->root >= 0 || missing.code == MORTISE_E_NOTFOUND))
		return list_folders(&w);
	if (list_inbox(&w, s->root >= 0 && below_inbox(&w)) != 0)
		return e->code;
	path = start_path(&w, &depth);
	if (s->root < 0 || path == NULL || w.pattern.never)
		return missing.code == MORTISE_E_NOTFOUND || s->root >= 0 || s->host != NULL
		           ? 0
		           : err_take(e, &missing);
	if (depth > 0) {
		const struct level above = {.depth = depth - 1, .path = ""};

		return walk_level(&w, path, &above);
	}
	return walk_level(&w, path, NULL);
}
