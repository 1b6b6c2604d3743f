#include "store/rights.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "base/vec.h"
#include "log/log.h"
#include "store/rights_int.h"
#include "base/banned.h"

#define OWN_DEPTH 2u /* levels of directories that a format has in a mailbox, and one more */

static int open_target(const struct store *s, const struct target *t)
{
	return path_open(t->place.root, t->place.path, O_PATH, 0, store_how(s));
}

static bool may(int fd, int how)
{
	return faccessat(fd, "", how, AT_EACCESS | AT_EMPTY_PATH) == 0;
}

/*
 * The folder that a name is in. In the mail of other users it must be this user's own: whoever may write to a
 * mailbox that is a directory could make others in it, as far as the kernel is concerned.
 */
static bool may_name(const struct store *s, const struct target *t)
{
	AUTO_CLOSE int folder = -1;
	const char *last;
	struct stat st;

	if (t->place.inbox)
		return t->where == NULL;
	folder = path_parent(t->place.root, t->place.path, &last, store_how(s));
	if (folder < 0 || fstat(folder, &st) != 0)
		return false;
	if (t->where != NULL && t->where->kind == NAMESPACE_OTHER)
		return st.st_uid == s->uid;
	if ((st.st_mode & S_ISVTX) != 0 && t->object != OBJECT_MISSING && t->st.st_uid != s->uid &&
	    st.st_uid != s->uid)
		return false;
	return may(folder, W_OK | X_OK);
}

unsigned target_rights(struct store *s, const struct target *t)
{
	AUTO_CLOSE int fd = -1;
	unsigned rights = 0;

	if (t->object == OBJECT_MISSING)
		return t->place.inbox && t->where == NULL ? RIGHTS_ALL : 0;
	fd = open_target(s, t);
	if (fd < 0)
		return 0;
	if (may(fd, S_ISDIR(t->st.st_mode) ? R_OK | X_OK : R_OK))
		rights |= RIGHTS_READ;
	if (rights != 0 && may(fd, W_OK))
		rights |= RIGHTS_WRITE;
	if (may_name(s, t))
		rights |= RIGHTS_NAME;
	if (t->st.st_uid == s->uid)
		rights |= RIGHTS_ADMIN;
	return rights;
}

bool target_revoked(struct store *s, const struct target *t, bool written)
{
	unsigned wanted = RIGHTS_READ | (written ? RIGHTS_WRITE : 0);

	return t->where != NULL && t->object == OBJECT_MAILBOX && (target_rights(s, t) & wanted) != wanted;
}

int target_may_name(struct store *s, const struct target *t, struct err *e)
{
	if (t->where == NULL || may_name(s, t))
		return 0;
	return err_fail(e, MORTISE_E_PERM, "Only the owner of the folder can make and remove names in it");
}

void target_share(const struct store *s, struct target *t)
{
	AUTO_CLOSE int fd = -1;
	unsigned group, others;
	const char *last;

	if (t->object != OBJECT_MISSING && (!S_ISDIR(t->st.st_mode) || (t->st.st_mode & 077) == 0))
		return;
	fd = t->object == OBJECT_MISSING ? path_parent(t->place.root, t->place.path, &last, store_how(s))
	                                 : open_target(s, t);
	if (fd < 0 || !access_default(fd, &group, &others))
		return;
	t->shared = true;
	t->place.dir_mode |= group << 3 | others;
	t->place.file_mode |= (group & ~ACCESS_EXECUTE) << 3 | (others & ~ACCESS_EXECUTE);
}

/* ---- reading ---- */
static int find(struct store *s, const char *mailbox, struct arena *a, struct target *t, struct err *e)
{
	if (target_mailbox(s, mailbox, 0, a, t, e) != 0)
		return e->code;
	if (t->where == NULL || target_rights(s, t) != 0)
		return 0;
	target_close(t);
	return err_fail(e, MORTISE_E_NOTFOUND, "No such mailbox");
}

int store_rights(struct store *s, const char *mailbox, unsigned *out, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("rights");
	struct target t;

	CHECK_OBJ(s, STORE_MAGIC);
	*out = 0;
	if (find(s, mailbox, a, &t, e) != 0)
		return e->code;
	*out = target_rights(s, &t);
	target_close(&t);
	return 0;
}

/* The mailbox, if this user may look at and change its list. */
static int find_own(struct store *s, const char *mailbox, struct arena *a, struct target *t, struct err *e)
{
	unsigned rights;

	if (find(s, mailbox, a, t, e) != 0)
		return e->code;
	rights = target_rights(s, t);
	if ((rights & RIGHTS_ADMIN) != 0)
		return 0;
	/* Whoever cannot see the mailbox does not hear that it is there. */
	if (t->where != NULL && (rights & RIGHTS_READ) == 0)
		err_fail(e, MORTISE_E_NOTFOUND, "No such mailbox");
	else
		err_fail(e, MORTISE_E_PERM, "Only the owner sees and changes who may use this mailbox");
	target_close(t);
	return e->code;
}

static unsigned rights_of(unsigned access, bool directory)
{
	unsigned rights = 0;

	if ((access & ACCESS_READ) != 0 && (!directory || (access & ACCESS_EXECUTE) != 0))
		rights |= RIGHTS_READ;
	if ((access & ACCESS_WRITE) != 0 && rights != 0)
		rights |= RIGHTS_WRITE;
	return rights;
}

static unsigned access_of(unsigned rights, bool directory)
{
	return ((rights & RIGHTS_READ) != 0 ? ACCESS_READ | (directory ? ACCESS_EXECUTE : 0) : 0) |
	       ((rights & RIGHTS_WRITE) != 0 ? ACCESS_WRITE : 0);
}

static int read_entries(struct store *s, const struct target *t, struct arena *a, struct acl_entry **out,
    size_t *count, struct err *e)
{
	bool directory = S_ISDIR(t->st.st_mode);
	AUTO_CLOSE int fd = open_target(s, t);
	struct access_entry *list;
	size_t n, i;

	if (fd < 0)
		return err_errno(e, "open %s/%s", t->directory, t->place.path);
	if (access_list(fd, a, &list, &n, e) != 0)
		return e->code;
	*out = arena_array(a, n + 1, sizeof(**out));
	for (i = 0; i < n; i++) {
		unsigned rights = rights_of(list[i].access, directory);
		bool user = list[i].who.kind == IDENTITY_USER;

		if (list[i].owner && user)
			rights |= RIGHTS_ADMIN | RIGHTS_NAME;
		/* The own group and others always have an entry: one that says nothing is none. */
		if (rights == 0 && (list[i].who.kind == IDENTITY_ANYONE || (list[i].owner && !user)))
			continue;
		(*out)[(*count)++] = (struct acl_entry){identity_text(s, &list[i].who, a), rights};
	}
	return 0;
}

int store_acl(struct store *s, const char *mailbox, struct arena *a, struct acl_entry **out, size_t *count,
    struct err *e)
{
	struct target t;

	CHECK_OBJ(s, STORE_MAGIC);
	*count = 0;
	if (find_own(s, mailbox, a, &t, e) != 0)
		return e->code;
	if (t.object == OBJECT_MISSING) { /* an INBOX that will be the user's own */
		*out = arena_new_of(a, struct acl_entry);
		**out = (struct acl_entry){s->user, RIGHTS_ALL};
		*count = 1;
	} else {
		read_entries(s, &t, a, out, count, e);
	}
	target_close(&t);
	return e->code;
}

static bool is_owner(const struct target *t, const struct identity *who)
{
	return t->object == OBJECT_MISSING || (who->kind == IDENTITY_USER && who->id == t->st.st_uid);
}

int store_acl_grantable(struct store *s, const char *mailbox, const char *identifier, unsigned *always,
    unsigned *grantable, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("rights");
	struct identity who;
	struct target t;

	CHECK_OBJ(s, STORE_MAGIC);
	*always = *grantable = 0;
	if (find_own(s, mailbox, a, &t, e) != 0)
		return e->code;
	if (identity_parse(s, identifier, &who, e) == 0) {
		*always = is_owner(&t, &who) ? RIGHTS_ALL : 0;
		*grantable = *always != 0 ? 0 : RIGHTS_READ | RIGHTS_WRITE;
	}
	target_close(&t);
	return e->code;
}

/* ---- changing ---- */
struct changing {
	struct store *s;
	const struct target *t;
	struct identity who;
	unsigned rights;
	bool remove;
	struct err *e;
};

static int set_object(struct changing *c, int fd, bool directory)
{
	return access_set(fd, &c->who, access_of(c->rights, directory), c->remove, directory, c->e);
}

static int set_below(struct changing *c, int directory, unsigned depth);

/* One entry of a mailbox's directory. What is somebody else's, or a mailbox of its own, is left alone. */
static int set_entry(struct changing *c, int directory, const char *name, unsigned depth)
{
	AUTO_CLOSE int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	bool level;

	if (fd < 0 || fstat(fd, &st) != 0 || st.st_uid != c->t->st.st_uid)
		return 0;
	level = S_ISDIR(st.st_mode);
	if ((!level && !S_ISREG(st.st_mode)) ||
	    (depth == 0 && !driver_owns_name(c->t->driver, str_of(name)) && (level || name[0] != '.')))
		return 0;
	if (set_object(c, fd, level) != 0)
		return c->e->code;
	return level && depth < OWN_DEPTH ? set_below(c, fd, depth + 1) : 0;
}

static int set_below(struct changing *c, int directory, unsigned depth)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;

	if (dir == NULL) {
		io_close(&fd);
		return err_errno(c->e, "open a directory of %s", c->t->place.path);
	}
	while (c->e->code == 0 && (d = readdir(dir)) != NULL)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
		    store_stopped(c->s, c->e) == 0)
			set_entry(c, fd, d->d_name, depth);
	closedir(dir);
	return c->e->code;
}

/* What this identity may do with a folder already: by its own entry, or as one of all. */
static unsigned has_access(const struct access_entry *list, size_t n, const struct identity *who)
{
	unsigned others = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		if (list[i].who.kind == who->kind && list[i].who.id == who->id)
			return list[i].access;
		if (list[i].who.kind == IDENTITY_ANYONE)
			others = list[i].access;
	}
	return others;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* One folder above. */
static void let_pass(struct changing *c, int fd, unsigned need)
{
	AUTO_ARENA struct arena *a = arena_new("rights");
	struct access_entry *list;
	unsigned has;
	size_t n;

	if (access_list(fd, a, &list, &n, c->e) != 0)
		return;
	has = has_access(list, n, &c->who);
	if ((has & need) != need)
		access_set(fd, &c->who, has | need, false, false, c->e);
}

/*
 * The folders above let pass who may read now, as far as they are the owner's: up to his home, or to the
 * first that is not his.
 */
static int open_the_way(struct changing *c)
{
	const char *last;
	int fd = path_parent(c->t->place.root, c->t->place.path, &last, store_how(c->s));
	bool in_mail = !c->t->place.inbox, top = false;
	struct stat st, mail, home;

	if (fstat(c->t->place.root, &mail) != 0)
		mail = (struct stat){.st_ino = 0};
	if (stat(c->s->home, &home) != 0)
		home = (struct stat){.st_ino = 0};
	while (!top && fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == c->s->uid && c->e->code == 0) {
		struct stat above;
		int up;

		let_pass(c, fd, ACCESS_EXECUTE | (in_mail ? ACCESS_READ : 0));
		in_mail = in_mail && !same_file(&st, &mail);
		up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		top = same_file(&st, &home) || up < 0 || fstat(up, &above) != 0 || same_file(&st, &above);
		close(fd);
		fd = up;
	}
	io_close(&fd);
	return c->e->code;
}

/* The way first: an entry that is told of is one that works. */
static int change(struct changing *c)
{
	AUTO_CLOSE int fd = open_target(c->s, c->t);
	bool directory = S_ISDIR(c->t->st.st_mode);

	if (fd < 0)
		return err_errno(c->e, "open %s/%s", c->t->directory, c->t->place.path);
	if (c->rights != 0 && open_the_way(c) != 0)
		return c->e->code;
	if (set_object(c, fd, directory) == 0 && directory)
		set_below(c, fd, 0);
	return c->e->code;
}

/* What the identity's entry says now. */
static int present_rights(struct changing *c, unsigned *out)
{
	AUTO_ARENA struct arena *a = arena_new("rights");
	AUTO_CLOSE int fd = open_target(c->s, c->t);
	struct access_entry *list;
	size_t n, i;

	*out = 0;
	if (fd < 0)
		return err_errno(c->e, "open %s/%s", c->t->directory, c->t->place.path);
	if (access_list(fd, a, &list, &n, c->e) != 0)
		return c->e->code;
	for (i = 0; i < n; i++)
		if (list[i].who.kind == c->who.kind && list[i].who.id == c->who.id)
			*out = rights_of(list[i].access, S_ISDIR(c->t->st.st_mode));
	return 0;
}

static int change_entry(struct changing *c, enum acl_change how, unsigned rights)
{
	unsigned now;

	if (c->t->object == OBJECT_MISSING)
		return err_fail(c->e, MORTISE_E_UNSUPPORTED, "INBOX is not there yet");
	if (is_owner(c->t, &c->who))
		return err_fail(c->e, MORTISE_E_UNSUPPORTED, "The owner's rights are fixed");
	if (present_rights(c, &now) != 0)
		return c->e->code;
	c->remove = how == ACL_DELETE;
	c->rights = how == ACL_REPLACE  ? rights
	            : how == ACL_ADD    ? now | rights
	            : how == ACL_REMOVE ? now & ~rights
	                                : 0;
	if ((c->rights & (RIGHTS_NAME | RIGHTS_ADMIN)) != 0)
		return err_fail(c->e, MORTISE_E_UNSUPPORTED, "The rights a, k and x cannot be given");
	if (c->rights == RIGHTS_WRITE)
		return err_fail(c->e, MORTISE_E_UNSUPPORTED, "Who may not read cannot write");
	return change(c);
}

int store_acl_change(struct store *s, const char *mailbox, const char *identifier, enum acl_change how,
    unsigned rights, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("rights");
	struct target t;
	struct changing c = {.s = s, .t = &t, .e = e};

	CHECK_OBJ(s, STORE_MAGIC);
	if (find_own(s, mailbox, a, &t, e) != 0)
		return e->code;
	if (identity_parse(s, identifier, &c.who, e) == 0)
		change_entry(&c, how, rights);
	target_close(&t);
	return e->code;
}
