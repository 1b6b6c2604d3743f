/*
 * place.c: from a checked name to a directory descriptor and a path below it.
 *
 * Mailboxes of the mail directory are below its descriptor. INBOX is below the directory of the place where
 * it was found.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "log/log.h"
#include "store/rights_int.h"
#include "base/banned.h"

static void start(const struct store *s, struct target *t, int root, const char *directory, const char *path,
    const struct name *n)
{
	*t = (struct target){
	    .place = {.size = sizeof(t->place),
	        .root = root,
	        .path = path,
	        .name = n->text,
	        .inbox = n->inbox,
	        .file_mode = s->o->file_mode,
	        .dir_mode = s->o->directory_mode,
	        .lock_timeout = s->o->lock_timeout},
	    .directory = directory,
	    .own_root = -1,
	};
}

void target_close(struct target *t)
{
	io_close(&t->own_root);
}

/* One place of INBOX. 1 it is or could be here, 0 it is not, or a code. */
static int try_place(struct store *s, const struct name *n, size_t i, struct target *t, struct err *e)
{
	const struct inbox_place *p = &s->places[i];
	int dir = open(p->directory, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0) {
		if (errno == ENOENT || errno == ENOTDIR || errno == EACCES)
			return 0;
		return err_errno(e, "open %s", p->directory);
	}
	start(s, t, dir, p->directory, p->file, n);
	t->own_root = dir;
	if (recognise(s, t, e) != 0) {
		target_close(t);
		return e->code;
	}
	if (t->object == OBJECT_MAILBOX || t->object == OBJECT_MISSING)
		return 1;
	log_debug("store", "%s/%s is not a mailbox of a known format", p->directory, p->file);
	target_close(t);
	return 0;
}

/*
 * The first place where INBOX is; else the first that is there, even when we may not write to it: what we put
 * into a later one would be out of sight as soon as a delivery makes the first.
 */
static int find_inbox(struct store *s, const struct name *n, struct target *out, struct err *e)
{
	bool have = false;
	size_t i;

	for (i = 0; i < s->place_count; i++) {
		struct target t;
		int r = try_place(s, n, i, &t, e);

		if (r < 0) {
			if (have)
				target_close(out);
			return r;
		}
		if (r == 0)
			continue;
		if (t.object == OBJECT_MAILBOX) {
			if (have)
				target_close(out);
			*out = t;
			return 0;
		}
		if (have) {
			target_close(&t);
		} else {
			*out = t;
			have = true;
		}
	}
	if (!have)
		return err_fault(e, MORTISE_E_UNAVAILABLE, "none of the places for INBOX exists");
	out->driver = n->driver != NULL ? n->driver : store_default_driver(s, e);
	if (out->driver != NULL)
		return 0;
	target_close(out);
	return e->code;
}

/* Whether a level of `path` lies in a mailbox whose format keeps things of that name there. */
static bool mailbox_s_own(struct store *s, const char *path)
{
	AUTO_FREE char *above = mem_strdup(path);
	struct str rest = str_of(path);

	while (rest.p != NULL) {
		size_t end = (size_t)(rest.p - path);
		struct str level = str_cut(&rest, '/');
		struct name parent = {.text = end > 0 ? above : "."};
		struct err e = ERR_INIT;
		struct target t;
		bool own = false;

		if (!name_maybe_own(s, level))
			continue;
		if (end > 0)
			above[end - 1] = '\0';
		start(s, &t, s->root, s->root_path, parent.text, &parent);
		if (recognise(s, &t, &e) == 0 && t.object == OBJECT_MAILBOX)
			own = driver_owns_name(t.driver, level);
		if (end > 0)
			above[end - 1] = '/';
		if (own)
			return true;
	}
	return false;
}

int target_path(struct store *s, const char *name, const char *path, struct target *out, struct err *e)
{
	const struct name n = {.text = name};

	ASSERT(s->root >= 0);
	if (mailbox_s_own(s, path))
		return err_fail(e, MORTISE_E_INVALID, "That name belongs to the mailbox above it");
	start(s, out, s->root, s->root_path, path, &n);
	if (recognise(s, out, e) != 0) {
		target_close(out);
		return e->code;
	}
	return 0;
}

/* What one may not look at is like what is not there. */
static int out_of_sight(struct err *e)
{
	if (e->code != MORTISE_E_PERM && e->code != MORTISE_E_UNAVAILABLE)
		return e->code;
	err_clear(e);
	return err_fail(e, MORTISE_E_NOTFOUND, "No such mailbox");
}

int target_find(struct store *s, const struct name *n, struct target *out, struct err *e)
{
	struct store *at = n->where != NULL ? n->where : s;

	CHECK_OBJ(s, STORE_MAGIC);
	if (n->inbox)
		find_inbox(at, n, out, e);
	else if (store_root(at, false, e) == 0)
		target_path(at, n->text, n->path, out, e);
	if (e->code != 0)
		return n->where != NULL ? out_of_sight(e) : e->code;
	out->where = n->where;
	target_share(at, out);
	return 0;
}

int target_mailbox(
    struct store *s, const char *name, unsigned how, struct arena *a, struct target *out, struct err *e)
{
	struct name n;

	if (name_parse(s, name, how, a, &n, e) != 0 || target_find(s, &n, out, e) != 0)
		return e->code;
	if (out->object == OBJECT_MAILBOX && n.driver != NULL && n.driver != out->driver) {
		if (out->st.st_size != 0 || !S_ISREG(out->st.st_mode) || !driver_fits(n.driver, &out->st)) {
			target_close(out);
			return err_fail(e, MORTISE_E_INVALID, "Mailbox has another format");
		}
		out->driver = n.driver;
	}
	if (out->object == OBJECT_MAILBOX ||
	    (out->object == OBJECT_MISSING && n.inbox && store_is_own(n.where)))
		return 0;
	not_a_mailbox(out, e);
	target_close(out);
	return e->code;
}

int target_parents(struct store *s, const struct target *t, unsigned *made, struct err *e)
{
	AUTO_FREE char *path = mem_strdup(t->place.path);
	AUTO_CLOSE int parent = -1;
	char *p = path, *slash;
	const char *last;

	*made = 0;
	for (; (slash = strchr(p, '/')) != NULL; p = slash + 1) {
		AUTO_CLOSE int dir = -1;

		*slash = '\0';
		dir = path_parent(t->place.root, path, &last, store_how(s));
		if (dir < 0)
			goto failed;
		if (mkdirat(dir, last, t->place.dir_mode) == 0) {
			++*made;
			if (fchmodat(dir, last, t->place.dir_mode, 0) != 0 ||
			    path_sync_parent(t->place.root, path, store_how(s)) != 0)
				goto failed;
		} else if (errno != EEXIST) {
			goto failed;
		}
		*slash = '/';
	}
	parent = path_parent(t->place.root, path, &last, store_how(s));
	if (parent >= 0)
		return 0;
failed:
	if (errno == ENOTDIR)
		err_fail(e, MORTISE_E_INVALID, "A mailbox of this format cannot have others below it");
	else
		err_errno(e, "mkdir %s/%s", t->directory, path);
	target_parents_undo(s, t, *made);
	return e->code;
}

/* Takes the last `made` levels above the target away again, as far as they are empty. */
void target_parents_undo(struct store *s, const struct target *t, unsigned made)
{
	AUTO_FREE char *path = mem_strdup(t->place.path);

	while (made-- > 0) {
		AUTO_CLOSE int dir = -1;
		char *slash = strrchr(path, '/');
		const char *last;

		ASSERT(slash != NULL);
		*slash = '\0';
		dir = path_parent(t->place.root, path, &last, store_how(s));
		if (dir < 0 || unlinkat(dir, last, AT_REMOVEDIR) != 0)
			return;
	}
}

int target_sync_parent(struct store *s, const struct target *t, struct err *e)
{
	if (path_sync_parent(t->place.root, t->place.path, store_how(s)) != 0)
		return err_errno(e, "fsync of the directory of %s/%s", t->directory, t->place.path);
	return 0;
}

bool target_same(const struct target *a, const struct target *b)
{
	if (a->object == OBJECT_MISSING || b->object == OBJECT_MISSING)
		return strcmp(a->place.name, b->place.name) == 0;
	return a->st.st_dev == b->st.st_dev && a->st.st_ino == b->st.st_ino;
}

void target_identity(const struct target *t, struct buf *out)
{
	buf_adds(out, t->driver->pub.module);
	buf_addc(out, '\0');
	buf_printf(out, "%s/%s", t->directory, t->place.path);
}
