#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../secret.h"
#include "table.h"

#define WARNINGS_MAX 20u /* lines named in the log at one reading */

void table_drop(struct table *t)
{
	if (t->text != NULL)
		explicit_bzero(t->text, t->size);
	free(t->text);
	free(t->entries);
	*t = (struct table){.text = NULL};
}

/* Cuts s at the first c: what stands before it; *s is what follows, p NULL when there was no c. */
static struct slice cut(struct slice *s, char c)
{
	const char *at = s->n > 0 ? memchr(s->p, c, s->n) : NULL;
	struct slice head = *s;

	if (at == NULL) {
		*s = (struct slice){NULL, 0};
		return head;
	}
	head.n = (size_t)(at - s->p);
	s->n -= head.n + 1;
	s->p = at + 1;
	return head;
}

static bool number(struct slice s, uint32_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (s.n == 0 || s.n > 10)
		return false;
	for (i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	*out = (uint32_t)v;
	return v < UINT32_MAX;
}

static bool option_ok(struct slice s)
{
	size_t i;

	for (i = 0; i < s.n && s.p[i] != '='; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') || s.p[i] == '_' ||
		        s.p[i] == '.' || s.p[i] == '-'))
			return false;
	return i > 0 && i < s.n;
}

/* The secret field: marks that disable, then secrets. */
static const char *take_secrets(struct slice s, struct fields *f)
{
	if (s.n > 0 && (s.p[0] == '!' || s.p[0] == '*')) {
		f->disabled = true;
		while (s.n > 0 && (s.p[0] == '!' || s.p[0] == '*'))
			s = (struct slice){s.p + 1, s.n - 1};
	}
	if (s.n == 1 && s.p[0] == 'x') {
		f->disabled = true;
		return NULL;
	}
	while (s.p != NULL && s.n > 0) {
		/* A secret in clear goes to the end of the field: it may hold SP. */
		struct slice one = secret_is_plain(s) ? s : cut(&s, ' ');

		if (f->secret_count == SECRETS_MAX)
			return "too many secrets";
		if (!secret_ok(one))
			return "the secret is in no known form";
		f->secrets[f->secret_count++] = one;
		if (one.p == s.p)
			break;
	}
	return NULL;
}

static const char *take_options(struct slice s, struct fields *f)
{
	while (s.p != NULL && s.n > 0) {
		struct slice one = cut(&s, ' ');

		if (f->option_count == OPTIONS_MAX)
			return "too many options";
		if (!option_ok(one))
			return "an option is not NAME=VALUE";
		f->options[f->option_count++] = one;
	}
	return NULL;
}

/* What is wrong with the line after the user's name, or NULL. */
static const char *take_fields(struct slice rest, struct fields *f)
{
	struct slice secret = cut(&rest, ':'), uid = cut(&rest, ':'), gid = cut(&rest, ':');
	const char *wrong = take_secrets(secret, f);

	(void)cut(&rest, ':'); /* gecos */
	f->home = cut(&rest, ':');
	(void)cut(&rest, ':'); /* shell */
	if (wrong != NULL)
		return wrong;
	if ((uid.n > 0) != (gid.n > 0))
		return "uid and gid must both be there or both be empty";
	f->has_ids = uid.n > 0;
	if (f->has_ids && (!number(uid, &f->uid) || !number(gid, &f->gid)))
		return "uid or gid is not a number";
	if (f->home.n > 0 && f->home.p[0] != '/')
		return "the home directory is not an absolute path";
	return take_options(rest, f);
}

int table_fields(const struct entry *e, struct fields *f, const char **why)
{
	const char *start = e->user.p + e->user.n, *end;

	*f = (struct fields){.disabled = false};
	if (*start != ':') {
		*why = "there is no ':' after the user name";
		return -1;
	}
	start++;
	end = strchr(start, '\n'); /* the table ends with LF and NUL */
	*why = take_fields((struct slice){start, (size_t)(end - start)}, f);
	return *why == NULL ? 0 : -1;
}

static const char *line_problem(const struct slice *line, const struct entry *e)
{
	struct fields f;
	const char *why;
	size_t i;

	if (line->n > LINE_MAX_OCTETS)
		return "it is too long";
	for (i = 0; i < line->n; i++)
		if ((unsigned char)line->p[i] < 0x20 || line->p[i] == 0x7f)
			return "it holds a control character";
	if (e->user.n == 0 || e->user.n > 255)
		return "the user name is empty or too long";
	return table_fields(e, &f, &why) == 0 ? NULL : why;
}

static int compare_users(struct slice a, struct slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return r != 0 ? r : a.n < b.n ? -1 : a.n > b.n;
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int r = compare_users(x->user, y->user);

	return r != 0 ? r : x->line < y->line ? -1 : x->line > y->line;
}

struct warner {
	struct mortise_call *call;
	const char *path;
	unsigned count;
};

static void warn_line(struct warner *w, uint32_t line, const char *what)
{
	if (w->count++ < WARNINGS_MAX)
		w->call->host->log(w->call, MORTISE_LOG_WARN, "[FILE-001] %s:%u: line refused: %s", w->path,
		    (unsigned)line, what);
	else if (w->count == WARNINGS_MAX + 1)
		w->call->host->log(w->call, MORTISE_LOG_WARN, "[FILE-001] %s: more lines refused", w->path);
}

static void refuse_twins(struct table *t, struct warner *w)
{
	size_t i;

	for (i = 1; i < t->count; i++) {
		struct entry *a = &t->entries[i - 1], *b = &t->entries[i];

		if (compare_users(a->user, b->user) != 0)
			continue;
		a->refused = b->refused = true;
		warn_line(w, b->line, "the user was listed before; both lines are refused");
	}
}

/* Every line that names a user becomes an entry, good or refused. */
static int index_lines(struct table *t, struct warner *w)
{
	size_t room = 0;
	uint32_t line_number = 0;
	struct slice rest = {t->text, t->size};

	while (rest.p != NULL && rest.n > 0) {
		struct slice line = cut(&rest, '\n'), after = line;
		struct entry e = {.line = ++line_number};
		const char *problem;

		if (line.n == 0 || line.p[0] == '#')
			continue;
		e.user = cut(&after, ':');
		problem = line_problem(&line, &e);
		if (problem != NULL) {
			warn_line(w, e.line, problem);
			e.refused = true;
		}
		if (t->count == room) {
			struct entry *more;

			room = room > 0 ? room * 2 : 64;
			more = reallocarray(t->entries, room, sizeof(*more));
			if (more == NULL)
				return -1;
			t->entries = more;
		}
		t->entries[t->count++] = e;
	}
	if (t->count > 1)
		qsort(t->entries, t->count, sizeof(*t->entries), compare_entries);
	refuse_twins(t, w);
	return 0;
}

static int check_file(struct mortise_call *call, const struct stat *st, const struct file_options *o)
{
	mode_t others = o->group_readable ? 027 : 077;

	if (!S_ISREG(st->st_mode))
		return call->host->fault(call, MORTISE_E_PERM, "%s is not a regular file", o->path);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return call->host->fault(call, MORTISE_E_PERM, "%s belongs to uid %u, not to root or uid %u",
		    o->path, (unsigned)st->st_uid, (unsigned)geteuid());
	if ((st->st_mode & others) != 0)
		return call->host->fault(call, MORTISE_E_PERM,
		    "%s has mode %04o; others must not reach it: chmod %s", o->path,
		    (unsigned)(st->st_mode & 07777), o->group_readable ? "0640" : "0600");
	if ((uint64_t)st->st_size > o->size_max)
		return call->host->fault(call, MORTISE_E_TOOBIG, "%s is larger than size_max (%llu octets)",
		    o->path, (unsigned long long)o->size_max);
	return 0;
}

/* The whole file; it may have grown since fstat, so the end is where the room ends. */
static int read_text(struct mortise_call *call, int fd, struct table *t, const char *path)
{
	size_t want = (size_t)t->seen.st_size, got = 0;

	t->text = malloc(want + 2);
	if (t->text == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "%s: no memory for %zu octets", path, want);
	while (got < want) {
		ssize_t n = read(fd, t->text + got, want - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return call->host->fault_errno(call, "reading %s", path);
		if (n == 0)
			break;
		got += (size_t)n;
	}
	if (got > 0 && t->text[got - 1] != '\n')
		t->text[got++] = '\n';
	t->text[got] = '\0';
	t->size = got;
	return 0;
}

static bool is_young(const struct stat *st)
{
	time_t now = time(NULL);

	return st->st_mtim.tv_sec + 2 > now || st->st_ctim.tv_sec + 2 > now;
}

static int load(struct mortise_call *call, struct table *t, const struct file_options *o)
{
	struct warner w = {.call = call, .path = o->path};
	int fd = open(o->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r;

	if (fd < 0)
		return call->host->fault_errno(call, "%s", o->path);
	if (fstat(fd, &t->seen) != 0)
		r = call->host->fault_errno(call, "%s", o->path);
	else
		r = check_file(call, &t->seen, o);
	t->young = is_young(&t->seen);
	if (r == 0)
		r = read_text(call, fd, t, o->path);
	close(fd);
	if (r == 0 && index_lines(t, &w) != 0)
		r = call->host->fault(call, MORTISE_E_TEMP, "%s: no memory", o->path);
	return r;
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool unchanged(const struct table *t, const struct stat *st)
{
	return t->text != NULL && !t->young && st->st_dev == t->seen.st_dev && st->st_ino == t->seen.st_ino &&
	       st->st_size == t->seen.st_size && st->st_mode == t->seen.st_mode &&
	       st->st_uid == t->seen.st_uid && same_time(st->st_mtim, t->seen.st_mtim) &&
	       same_time(st->st_ctim, t->seen.st_ctim);
}

int table_refresh(struct mortise_call *call, struct table *t, const struct file_options *o)
{
	struct stat st;
	int r;

	if (stat(o->path, &st) != 0) {
		table_drop(t);
		return call->host->fault_errno(call, "%s", o->path);
	}
	if (unchanged(t, &st))
		return 0;
	table_drop(t);
	r = load(call, t, o);
	if (r != 0)
		table_drop(t);
	return r;
}

const struct entry *table_find(const struct table *t, const char *user)
{
	struct entry key = {.user = {user, strlen(user)}};
	size_t low = 0, high = t->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int r = compare_users(t->entries[middle].user, key.user);

		if (r == 0)
			return &t->entries[middle];
		if (r < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

struct slice table_any_secret(const struct table *t)
{
	struct fields f;
	const char *why;
	size_t i;

	for (i = 0; i < t->count; i++)
		if (!t->entries[i].refused && table_fields(&t->entries[i], &f, &why) == 0 &&
		    f.secret_count > 0)
			return f.secrets[0];
	return (struct slice){NULL, 0};
}
