/*
 * folders.c: Maildir++: levels that are dots in the name of one directory.
 *
 * With dot_folders, mailbox "Work/2026" is the directory ".Work.2026" of the mail directory, which is a
 * maildir itself (INBOX). A name on disk is in modified UTF-7, as Courier and Dovecot write it; one in UTF-8,
 * as some programs do, is understood when it is there. A level cannot have a dot in it. A level above a
 * mailbox that is no mailbox has no directory, so there is nothing to make or to remove.
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

#define LOOK_FACTOR 10u /* directory entries looked at for each folder that may be found */

static const char *dotted(struct arena *a, struct str name, bool utf7)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct str rest = name;

	while (rest.p != NULL) {
		struct str level = str_cut(&rest, '/');

		buf_addc(&b, '.');
		if (utf7)
			utf8_to_mutf7(&b, level);
		else
			buf_add(&b, level.p, level.n);
	}
	return arena_strdup(a, buf_cstr(&b));
}

int folder_path(const struct store *s, struct name *n, unsigned how, struct arena *a, struct err *e)
{
	struct str name = str_of(n->text);
	const char *plain = dotted(a, name, false);

	if (str_find(name, '.') != name.n)
		return (how & NAME_NEW) != 0
		           ? err_fail(e, MORTISE_E_INVALID,
		                 "Invalid mailbox name: '.' stands between levels on disk here")
		           : err_fail(e, MORTISE_E_NOTFOUND, "No such mailbox");
	n->path = dotted(a, name, true);
	if (strcmp(n->path, plain) != 0 && s->root >= 0 && faccessat(s->root, plain, F_OK, 0) == 0 &&
	    faccessat(s->root, n->path, F_OK, 0) != 0)
		n->path = plain;
	if (strlen(n->path) > LEVEL_LIMIT)
		return err_fail(e, MORTISE_E_INVALID, "Invalid mailbox name: too long");
	return 0;
}

/* The mailbox name of a directory, or NULL. */
static const char *folder_name(struct arena *a, const char *path)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct str rest = str_from(str_of(path), 1);

	while (rest.p != NULL) {
		struct str level = str_cut(&rest, '.');
		size_t from;

		if (b.n > 0)
			buf_addc(&b, '/');
		from = b.n;
		if (!mutf7_to_utf8(&b, level))
			buf_add(&b, level.p, level.n);
		if (b.n == from || str_find(str_from((struct str){b.p, b.n}, from), '/') != b.n - from)
			return NULL;
	}
	return utf8_valid((struct str){b.p, b.n}) ? arena_strdup(a, buf_cstr(&b)) : NULL;
}

static int limit(uint64_t seen, struct err *e)
{
	log_msg(MSG_STORE_LIST_LIMIT, "LIST stopped after %llu directory entries", (unsigned long long)seen);
	return err_fail(e, MORTISE_E_LIMIT, "Too many files to look at all of them");
}

/* Adds the folder that the entry is, if it is one. */
static void consider(struct store *s, const char *entry, struct arena *a, struct folders *out)
{
	const char *name = folder_name(a, entry);
	struct err e = ERR_INIT;
	struct target t;
	struct name n;

	/* What is not opened under its name, and what INBOX would be taken for, is not shown. */
	if (name == NULL || name_parse(s, name, 0, a, &n, &e) != 0 || n.inbox || strcmp(n.path, entry) != 0)
		return;
	if (target_path(s, name, n.path, &t, &e) == 0) {
		if (t.object == OBJECT_MAILBOX)
			*vec_push(&out->list) = (struct folder){.name = n.text, .mailbox = true};
		target_close(&t);
	} else if (e.code == MORTISE_E_CORRUPT) {
		*vec_push(&out->list) = (struct folder){.name = n.text, .mailbox = true};
	}
}

/* The separator comes before every other character: a level, what is below it, and then the others. */
static int rank(unsigned char c)
{
	return c == '\0' ? 0 : c == '/' ? 1 : c + 1;
}

static int by_level(const void *a, const void *b)
{
	const char *x = ((const struct folder *)a)->name, *y = ((const struct folder *)b)->name;

	for (; *x == *y && *x != '\0'; x++)
		y++;
	return rank((unsigned char)*x) - rank((unsigned char)*y);
}

/* Levels above folders that are no folders. */
static void add_levels(struct arena *a, struct folders *f)
{
	size_t i, count = f->list.n;

	for (i = 0; i < count; i++) {
		const char *name = f->list.v[i].name, *slash;

		for (slash = strchr(name, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
			size_t n = (size_t)(slash - name);

			/* Sorted: the one before shares it, or it is new. */
			if (i > 0 && strncmp(f->list.v[i - 1].name, name, n) == 0 &&
			    (f->list.v[i - 1].name[n] == '/' || f->list.v[i - 1].name[n] == '\0'))
				continue;
			*vec_push(&f->list) = (struct folder){.name = arena_str(a, (struct str){name, n}).p};
		}
	}
	if (f->list.n > count)
		qsort(f->list.v, f->list.n, sizeof(*f->list.v), by_level);
}

static int read_entries(struct store *s, DIR *dir, struct arena *a, struct folders *out, struct err *e)
{
	struct dirent *d;
	uint64_t looked = 0;

	while ((d = readdir(dir)) != NULL) {
		if (++looked % 256 == 0 && store_stopped(s, e) != 0)
			return e->code;
		if (looked / LOOK_FACTOR > s->o->list_entries || out->list.n > s->o->list_entries)
			return limit(looked, e);
		if (d->d_name[0] == '.' && d->d_name[1] != '\0' && d->d_type != DT_REG)
			consider(s, d->d_name, a, out);
	}
	return 0;
}

int folders_read(struct store *s, struct arena *a, struct folders *out, struct err *e)
{
	int fd = path_open(s->root, ".", O_RDONLY | O_DIRECTORY, 0, store_how(s));
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	size_t i;
	int r;

	if (dir == NULL) {
		r = err_errno(e, "open %s", s->root_path);
		io_close(&fd);
		return r;
	}
	r = read_entries(s, dir, a, out, e);
	closedir(dir);
	if (r != 0)
		return r;
	if (out->list.n > 0)
		qsort(out->list.v, out->list.n, sizeof(*out->list.v), by_level);
	add_levels(a, out);
	for (i = 0; i + 1 < out->list.n; i++)
		out->list.v[i].children = folder_below(out->list.v[i + 1].name, out->list.v[i].name);
	return 0;
}

bool folder_below(const char *name, const char *above)
{
	size_t n = strlen(above);

	return strncmp(name, above, n) == 0 && name[n] == '/';
}
