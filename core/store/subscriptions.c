/*
 * subscriptions.c: the list of subscribed mailboxes, in the file that alpine and UW imapd use.
 *
 * One name a line, LF, in modified UTF-7, INBOX in capitals. Lines that are not names of ours (other
 * servers', other namespaces', anything else) stay as they are. Writers take a lock (flock) on the file and
 * make sure that it still is the file of that name; the new list is written beside it, synced, and renamed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/path.h"
#include "base/secure.h"
#include "charset/charset.h"
#include "log/log.h"
#include "store/store_int.h"
#include "base/banned.h"

#define LINE_LIMIT 1024u /* octets of a line, on average: bounds what is read */
#define LOCK_PAUSE 20    /* ms between attempts */

struct lines {
	struct buf text;
	VEC(struct str) v; /* without their LF */
};

static void lines_free(struct lines *l)
{
	buf_free(&l->text);
	vec_free(&l->v);
}

static const char *base_name(const struct store *s)
{
	return strrchr(s->subscriptions_path, '/') + 1;
}

static int open_directory(const struct store *s, struct err *e)
{
	AUTO_BUF struct buf dir = BUF_INIT;
	int fd;

	buf_add(&dir, s->subscriptions_path, (size_t)(base_name(s) - s->subscriptions_path));
	fd = open(buf_cstr(&dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		err_errno(e, "open %s", buf_cstr(&dir));
	return fd;
}

static int check_file(const struct store *s, int fd, struct stat *st, struct err *e)
{
	if (fstat(fd, st) != 0)
		return err_errno(e, "stat %s", s->subscriptions_path);
	if (!S_ISREG(st->st_mode))
		return err_fault(e, MORTISE_E_PERM, "%s is not a regular file", s->subscriptions_path);
	if ((uint64_t)st->st_size / LINE_LIMIT > s->o->subscription_limit)
		return err_fault(e, MORTISE_E_LIMIT, "%s is too large", s->subscriptions_path);
	return 0;
}

static int read_lines(const struct store *s, int fd, const struct stat *st, struct lines *l, struct err *e)
{
	struct str rest;
	ssize_t n;

	buf_reserve(&l->text, (size_t)st->st_size + 1);
	n = io_pread(fd, l->text.p, (size_t)st->st_size, 0);
	if (n < 0)
		return err_errno(e, "read %s", s->subscriptions_path);
	rest = str_mem(l->text.p, (size_t)n);
	while (rest.n > 0) {
		struct str line = str_cut(&rest, '\n');

		if (line.n > 0 && l->v.n >= s->o->subscription_limit) {
			log_msg(MSG_STORE_SUBSCRIPTIONS, "%s: only the first %llu names are used",
			    s->subscriptions_path, (unsigned long long)s->o->subscription_limit);
			return err_fail(e, MORTISE_E_LIMIT, "Too many subscriptions");
		}
		if (line.n > 0)
			*vec_push(&l->v) = line;
	}
	return 0;
}

/* The name a line stands for, in UTF-8; false when it is none. */
static bool line_name(struct str line, struct buf *out)
{
	size_t i;

	buf_reset(out);
	if (line.p[0] == '{' || line.n > NAME_LIMIT)
		return false;
	for (i = 0; i < line.n; i++)
		if ((unsigned char)line.p[i] < ' ' || line.p[i] == 0x7f)
			return false;
	if (mutf7_to_utf8(out, line))
		return true;
	buf_reset(out);
	if (!utf8_valid(line))
		return false;
	buf_addstr(out, line); /* written by a program that does not know modified UTF-7 */
	return true;
}

/* The file, locked, and still the one of that name. */
static int open_locked(const struct store *s, int dir, int *fd, struct err *e)
{
	uint64_t deadline = clock_ms() + s->o->lock_timeout;

	for (;;) {
		struct stat st, now;

		if (clock_ms() > deadline)
			return err_fault(e, MORTISE_E_INUSE, "%s stays locked", s->subscriptions_path);
		if (store_stopped(s, e) != 0)
			return e->code;

		*fd = openat(dir, base_name(s),
		    O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
		if (*fd < 0)
			return err_errno(e, "open %s", s->subscriptions_path);
		if (flock(*fd, LOCK_EX | LOCK_NB) == 0) {
			if (fstat(*fd, &st) == 0 &&
			    fstatat(dir, base_name(s), &now, AT_SYMLINK_NOFOLLOW) == 0 &&
			    st.st_dev == now.st_dev && st.st_ino == now.st_ino)
				return 0;
			io_close(fd);
			continue;
		}
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_errno(e, "lock %s", s->subscriptions_path);
		io_close(fd);
		usleep(LOCK_PAUSE * 1000);
	}
}

static int replace(const struct store *s, int dir, struct str text, const struct stat *st, struct err *e)
{
	AUTO_BUF struct buf name = BUF_INIT;
	AUTO_CLOSE int fd = -1;
	uint64_t random;

	secure_random(&random, sizeof(random));
	buf_printf(&name, "%s.%016llx", base_name(s), (unsigned long long)random);
	fd = openat(dir, buf_cstr(&name), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(e, "make %s beside %s", name.p, s->subscriptions_path);
	if (io_write(fd, text.p, text.n) != 0 || fchmod(fd, st->st_mode & 07777) != 0 || io_fsync(fd) != 0 ||
	    renameat(dir, name.p, dir, base_name(s)) != 0) {
		err_errno(e, "write %s", s->subscriptions_path);
		unlinkat(dir, name.p, 0);
		return e->code;
	}
	return io_fsync(dir) == 0 ? 0 : err_errno(e, "fsync of the directory of %s", s->subscriptions_path);
}

/* The lines without `name`, and with it at the end when `on`. *same: nothing would change. */
static void edit(const struct lines *l, const char *name, bool on, struct buf *out, bool *same)
{
	AUTO_BUF struct buf as_name = BUF_INIT;
	size_t i, found = 0;

	for (i = 0; i < l->v.n; i++) {
		if (line_name(l->v.v[i], &as_name) &&
		    (str_eqc(buf_str(&as_name), name) ||
		        (strcmp(name, "INBOX") == 0 && str_ieqc(buf_str(&as_name), "INBOX")))) {
			found++;
			if (!on || found > 1)
				continue;
		}
		buf_addstr(out, l->v.v[i]);
		buf_addc(out, '\n');
	}
	if (on && found == 0) {
		utf8_to_mutf7(out, str_of(name));
		buf_addc(out, '\n');
	}
	*same = on ? found > 0 : found == 0;
}

static int change(const struct store *s, int dir, int fd, const char *name, bool on, struct err *e)
{
	AUTO_BUF struct buf text = BUF_INIT;
	struct lines l = {.text = BUF_INIT};
	struct stat st;
	bool same;

	if (check_file(s, fd, &st, e) == 0 && read_lines(s, fd, &st, &l, e) == 0) {
		edit(&l, name, on, &text, &same);
		if (on && !same && l.v.n >= s->o->subscription_limit) {
			log_msg(MSG_STORE_SUBSCRIPTIONS, "%s has %zu names", s->subscriptions_path, l.v.n);
			err_fail(e, MORTISE_E_LIMIT, "Too many subscriptions");
		} else if (!same) {
			replace(s, dir, buf_str(&text), &st, e);
		}
	}
	lines_free(&l);
	return e->code;
}

int store_subscribe(struct store *s, const char *name, bool on, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("subscribe");
	AUTO_CLOSE int dir = -1;
	AUTO_CLOSE int fd = -1;
	struct name n;

	CHECK_OBJ(s, STORE_MAGIC);
	/* Whatever is in the file can be taken out of it. */
	if (on && name_parse(s, name, NAME_DIRECTORY, a, &n, e) != 0)
		return e->code;
	if (on)
		name = n.text;
	else if (strcasecmp(name, "INBOX") == 0)
		name = "INBOX";
	dir = open_directory(s, e);
	if (dir < 0 || open_locked(s, dir, &fd, e) != 0)
		return e->code;
	return change(s, dir, fd, name, on, e);
}

/* ---- LSUB ---- */
struct lsub {
	struct store *s;
	struct pattern pattern;
	list_fn *fn;
	void *arg;
	struct err *e;
	struct arena *a;
	struct str *seen; /* names and levels that were given: a hash table */
	size_t seen_size, given;
	bool ended; /* by who is told */
};

/* True the first time a name is put. */
static bool put(struct lsub *l, struct str name)
{
	size_t at = str_hash(name) & (l->seen_size - 1);

	for (; l->seen[at].p != NULL; at = (at + 1) & (l->seen_size - 1))
		if (str_eq(l->seen[at], name))
			return false;
	if (l->given++ >= l->s->o->list_entries) {
		log_msg(MSG_STORE_LIST_LIMIT, "LSUB stopped after %llu names",
		    (unsigned long long)l->s->o->list_entries);
		err_fail(l->e, MORTISE_E_LIMIT, "Too many subscriptions to list all of them");
		return false;
	}
	l->seen[at] = arena_str(l->a, name);
	return true;
}

static int tell(struct lsub *l, struct str name, unsigned attributes)
{
	struct list_entry entry = {
	    .name = arena_str(l->a, name).p, .separator = '/', .attributes = attributes};
	int r;

	r = l->fn(l->arg, &entry);

	if (r < 0 && l->e->code == 0)
		err_fail(l->e, r, "%s", mortise_error_text(r));
	return r;
}

/* RFC 3501 §6.3.9: "%" names the level above a subscribed name that it does not reach. */
static void tell_parents(struct lsub *l, struct str name)
{
	size_t i;

	for (i = 1; i < name.n && l->e->code == 0 && !l->ended; i++) {
		struct str parent = str_sub(name, 0, i);

		if (name.p[i] == '/' && pattern_match(&l->pattern, parent) && put(l, parent))
			l->ended = tell(l, parent, LIST_NOSELECT) != 0;
	}
}

/* One line of the file. */
static void lsub_name(struct lsub *l, struct str name, bool parents)
{
	if (parents)
		tell_parents(l, name);
	else if (pattern_match(&l->pattern, name) && put(l, name))
		l->ended = tell(l, name, LIST_SUBSCRIBED) != 0;
}

static void run_lsub(struct lsub *l, const struct lines *lines, bool parents)
{
	AUTO_BUF struct buf name = BUF_INIT;
	size_t i;

	for (i = 0; i < lines->v.n && l->e->code == 0 && !l->ended; i++) {
		if (i % 256 == 0 && store_stopped(l->s, l->e) != 0)
			return;
		if (!line_name(lines->v.v[i], &name))
			continue;
		if (str_ieqc(buf_str(&name), "INBOX"))
			lsub_name(l, STR("INBOX"), parents);
		else
			lsub_name(l, buf_str(&name), parents);
	}
}

static int lsub_lines(struct lsub *l, const struct lines *lines)
{
	size_t i, most, levels = 0;

	/* Room for every name and every level above one, as far as they are given at all. */
	for (i = 0; i < lines->text.n; i++)
		levels += lines->text.p[i] == '/';
	most = lines->v.n + levels;
	if (most > l->s->o->list_entries)
		most = l->s->o->list_entries;
	for (l->seen_size = 64; l->seen_size < (most + 1) * 2; l->seen_size *= 2)
		;
	l->seen = mem_array(l->seen_size, sizeof(*l->seen));
	run_lsub(l, lines, false);
	if (l->e->code == 0 && !l->ended && memchr(l->pattern.text, '%', l->pattern.n) != NULL)
		run_lsub(l, lines, true);
	mem_free(l->seen);
	return l->e->code;
}

int store_lsub(
    struct store *s, const char *reference, const char *pattern, list_fn *fn, void *arg, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("lsub");
	AUTO_CLOSE int dir = -1;
	AUTO_CLOSE int fd = -1;
	struct lines lines = {.text = BUF_INIT};
	struct lsub l = {.s = s, .fn = fn, .arg = arg, .e = e, .a = a};
	struct stat st;

	CHECK_OBJ(s, STORE_MAGIC);
	pattern_set(&l.pattern, reference, pattern, '/');
	dir = open_directory(s, e);
	if (dir < 0)
		return e->code;
	fd = openat(dir, base_name(s), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(e, "open %s", s->subscriptions_path);
	if (check_file(s, fd, &st, e) == 0 && read_lines(s, fd, &st, &lines, e) == 0)
		lsub_lines(&l, &lines);
	lines_free(&lines);
	return e->code;
}
