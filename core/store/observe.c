#include "store/observe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "log/log.h"
#include "store/driver.h"
#include "base/banned.h"

#define OBSERVER_MAGIC 0x4f627376u /* "Obsv" */
#define PATHS_MAX WATCHES
#define MOVED_MAX 1000u        /* names that are remembered as moved away */
#define NAME_ROUNDS 4          /* listings until the directories stand still */
#define UNSURE_NS 1100000000ll /* a file that is younger may change without its time stamps showing it */

#define BOX_EVENTS                                                                                        \
	(IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_CREATE | IN_DELETE | \
	    IN_MOVE)
#define COMING_EVENTS (IN_CREATE | IN_MOVED_TO)
#define TREE_EVENTS (IN_CREATE | IN_DELETE | IN_MOVE | IN_MOVE_SELF | IN_DELETE_SELF)
#define FILE_EVENTS (IN_CREATE | IN_DELETE | IN_MOVE | IN_MODIFY | IN_CLOSE_WRITE)

/* What a watch is for. */
#define FOR_BOX 0x01u
#define FOR_TREE 0x02u
#define FOR_SUBSCRIPTIONS 0x04u
#define FOR_INDEX 0x08u

struct watched {
	int wd;
	unsigned uses;    /* by mailboxes */
	unsigned kinds;   /* FOR_… */
	char *directory;  /* FOR_TREE: its path below the mail directory, "" for that itself */
	bool box;         /* FOR_TREE: it is a mailbox as well */
	uint64_t listing; /* FOR_TREE: the last one that found it */
};

struct observed_box {
	struct observed_box *next;
	const char *name;
	bool known;     /* what follows is of a look */
	bool sure;      /* its time stamps tell */
	uint64_t epoch; /* of the observer, when its watches were made */
	char *paths[PATHS_MAX];
	int wd[PATHS_MAX];
	size_t count;
	uint64_t signature, number, generation;
};

struct observer {
	uint32_t magic;
	struct store *s;
	int fd;
	uint64_t limit;
	VEC(struct watched) watches; /* in order of wd */
	struct observed_box *boxes;
	VEC(char *) moved;   /* paths below the mail directory */
	size_t moved_before; /* of them, before the last listing */
	uint64_t epoch;      /* counts what may have taken a watch from its file */
	uint64_t listing;
};

int observer_open(struct store *s, uint64_t limit, struct observer **out, struct err *e)
{
	struct observer *o = mem_new(struct observer);

	o->magic = OBSERVER_MAGIC;
	o->s = s;
	o->limit = limit;
	o->epoch = 1;
	o->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	*out = o;
	if (o->fd >= 0)
		return 0;
	err_errno(e, "inotify");
	if (errno == EMFILE || errno == ENFILE)
		e->code = MORTISE_E_LIMIT;
	observer_close(out);
	return e->code;
}

/* All but those that came after the last listing. */
static void forget_moved(struct observer *o)
{
	size_t i, left = o->moved.n - o->moved_before;

	for (i = 0; i < o->moved_before; i++)
		mem_free(o->moved.v[i]);
	if (o->moved_before > 0)
		memmove(o->moved.v, o->moved.v + o->moved_before, left * sizeof(*o->moved.v));
	o->moved.n = left;
	o->moved_before = 0;
}

void observer_close(struct observer **op)
{
	struct observer *o;
	size_t i;

	if (*op == NULL)
		return;
	TAKE_OBJ(o, op, OBSERVER_MAGIC);
	io_close(&o->fd); /* all watches go with it */
	while (o->boxes != NULL) {
		struct observed_box *b = o->boxes;

		observer_remove(o, &b);
	}
	for (i = 0; i < o->watches.n; i++)
		mem_free(o->watches.v[i].directory);
	vec_free(&o->watches);
	o->moved_before = o->moved.n;
	forget_moved(o);
	vec_free(&o->moved);
	o->magic = 0;
	mem_free(o);
}

int observer_fd(const struct observer *o)
{
	CHECK_OBJ(o, OBSERVER_MAGIC);
	return o->fd;
}

/* ---- watches ---- */

/* Where the watch with that descriptor is, or would be. */
static size_t place_of(const struct observer *o, int wd)
{
	size_t low = 0, high = o->watches.n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (o->watches.v[mid].wd < wd)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct watched *find(struct observer *o, int wd)
{
	size_t i = place_of(o, wd);

	return i < o->watches.n && o->watches.v[i].wd == wd ? &o->watches.v[i] : NULL;
}

static void remove_watch(struct observer *o, struct watched *w)
{
	mem_free(w->directory);
	vec_remove(&o->watches, (size_t)(w - o->watches.v));
}

static int too_many(struct observer *o, struct err *e)
{
	return err_fault(e, MORTISE_E_LIMIT, "%zu watches are as many as there may be", o->watches.n);
}

/* The entry of a path that is watched now, or NULL. An error of the file system is no error: nothing is
 * there.
 */
static struct watched *add_watch(
    struct observer *o, const char *path, uint32_t events, unsigned kind, struct err *e)
{
	int wd = inotify_add_watch(o->fd, path, events | IN_MASK_ADD);
	struct watched *w;

	if (wd < 0) {
		if (errno == ENOSPC || errno == ENOMEM)
			too_many(o, e);
		return NULL;
	}
	w = find(o, wd);
	if (w == NULL && o->watches.n >= o->limit) {
		(void)inotify_rm_watch(o->fd, wd);
		too_many(o, e);
		return NULL;
	}
	if (w == NULL) {
		size_t at = place_of(o, wd);

		w = vec_insert(&o->watches, at);
		*w = (struct watched){.wd = wd};
	}
	w->kinds |= kind;
	return w;
}

/* A path, or while nothing is there the directory where it will come. */
static struct watched *add_coming(
    struct observer *o, const char *path, uint32_t events, unsigned kind, struct err *e)
{
	AUTO_BUF struct buf up = BUF_INIT;
	struct watched *w = add_watch(o, path, events, kind, e);
	const char *slash = strrchr(path, '/');

	if (w != NULL || e->code != 0 || slash == NULL)
		return w;
	buf_add(&up, path, slash == path ? 1 : (size_t)(slash - path));
	return add_watch(o, buf_cstr(&up), COMING_EVENTS, kind, e);
}

static void drop_watch(struct observer *o, int wd)
{
	struct watched *w = wd >= 0 ? find(o, wd) : NULL;

	if (w == NULL || (w->uses > 0 && --w->uses > 0))
		return;
	w->kinds &= ~FOR_BOX;
	if (w->kinds != 0)
		return;
	if (o->fd >= 0)
		(void)inotify_rm_watch(o->fd, wd);
	remove_watch(o, w);
}

/* ---- mailboxes ---- */

struct observed_box *observer_add(struct observer *o, const char *name)
{
	struct observed_box *b = mem_new(struct observed_box);

	CHECK_OBJ(o, OBSERVER_MAGIC);
	b->name = name;
	b->next = o->boxes;
	o->boxes = b;
	return b;
}

static void unwatch_box(struct observer *o, struct observed_box *b)
{
	size_t i;

	for (i = 0; i < b->count; i++) {
		drop_watch(o, b->wd[i]);
		mem_free(b->paths[i]);
	}
	b->count = 0;
}

void observer_remove(struct observer *o, struct observed_box **bp)
{
	struct observed_box *b = *bp, **p;

	if (b == NULL)
		return;
	*bp = NULL;
	for (p = &o->boxes; *p != b; p = &(*p)->next)
		;
	*p = b->next;
	unwatch_box(o, b);
	mem_free(b);
}

void observer_doubt(struct observed_box *b)
{
	b->known = false;
}

static int watch_paths(struct observer *o, struct observed_box *b, struct err *e)
{
	size_t i;

	for (i = 0; i < b->count; i++) {
		struct watched *w = add_coming(o, b->paths[i], BOX_EVENTS, FOR_BOX, e);
		int before = b->wd[i];

		if (e->code != 0)
			return e->code;
		b->wd[i] = w != NULL ? w->wd : -1;
		if (b->wd[i] == before)
			continue;
		if (w != NULL)
			w->uses++;
		drop_watch(o, before);
	}
	b->epoch = o->epoch;
	return 0;
}

static void add_path(struct observed_box *b, const char *directory, const char *file)
{
	AUTO_BUF struct buf path = BUF_INIT;

	if (b->count == PATHS_MAX)
		return;
	buf_printf(&path, "%s/%s", directory, file);
	b->paths[b->count] = mem_strdup(buf_cstr(&path));
	b->wd[b->count++] = -1;
}

/* The files of an open mailbox; of a missing INBOX all places where it may come. */
static int find_paths(struct observed_box *b, struct mailbox *m, struct err *e)
{
	const struct store *s = m->store;
	struct mortise_watch w;
	size_t i;

	if (m->box == NULL) {
		for (i = 0; i < s->place_count; i++)
			add_path(b, s->places[i].directory, s->places[i].file);
		return 0;
	}
	if (box_watch(m, &w, e) != 0)
		return e->code;
	if (w.count == 0 || w.count > MORTISE_WATCH_MAX)
		add_path(b, m->target.directory, m->target.place.path);
	else
		for (i = 0; i < w.count; i++)
			add_path(b, m->target.directory, w.paths[i]);
	return 0;
}

/* Other watches than before are only made when other files are concerned. */
static int renew_paths(struct observer *o, struct observed_box *b, struct mailbox *m, struct err *e)
{
	struct observed_box now = {.count = 0};
	size_t i;
	bool same;

	find_paths(&now, m, e);
	same = now.count == b->count;
	for (i = 0; same && i < now.count; i++)
		same = strcmp(now.paths[i], b->paths[i]) == 0;
	if (e->code == 0 && !same) {
		unwatch_box(o, b);
		memcpy(b->paths, now.paths, sizeof(b->paths));
		memcpy(b->wd, now.wd, sizeof(b->wd));
		b->count = now.count;
		b->sure = false;
		b->epoch = 0;
		now.count = 0;
	}
	unwatch_box(o, &now);
	if (e->code == 0 && b->epoch != o->epoch)
		watch_paths(o, b, e);
	return e->code;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
	return (h ^ x) * UINT64_C(0x100000001b3);
}

static bool is_old(const struct timespec *t, const struct timespec *now)
{
	return (now->tv_sec - t->tv_sec) * INT64_C(1000000000) + (now->tv_nsec - t->tv_nsec) > UNSURE_NS;
}

/* What the files look like; *sure: a later change will show. */
static uint64_t look_at_paths(const struct observed_box *b, bool *sure)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	struct timespec now;
	size_t i;

	clock_gettime(CLOCK_REALTIME, &now);
	*sure = b->count > 0;
	for (i = 0; i < b->count; i++) {
		struct stat st;

		if (stat(b->paths[i], &st) != 0) {
			h = mix(h, (uint64_t)errno);
			continue;
		}
		h = mix(mix(mix(h, st.st_dev), st.st_ino), (uint64_t)st.st_size);
		h = mix(mix(h, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
		h = mix(mix(h, (uint64_t)st.st_ctim.tv_sec), (uint64_t)st.st_ctim.tv_nsec);
		*sure = *sure && is_old(&st.st_mtim, &now) && is_old(&st.st_ctim, &now);
	}
	return h;
}

static uint64_t generation_of(const struct observer *o, const struct observed_box *b)
{
	struct err e = ERR_INIT;
	struct index *x = store_index(o->s, &e);
	uint64_t generation;

	return x != NULL && index_generation(x, b->number, &generation, &e) == 0 ? generation : 0;
}

static int find_out(struct observer *o, struct observed_box *b, struct mailbox_status *out, struct err *e)
{
	struct mailbox *m;

	if (mailbox_open(o->s, b->name, MAILBOX_READ_ONLY | MAILBOX_KEEP_RECENT, &m, e) != 0)
		return e->code;
	if (mailbox_status_now(m, 0, out, e) == 0 && renew_paths(o, b, m, e) == 0) {
		b->number = m->number;
		b->generation = m->generation;
		b->known = true;
	}
	mailbox_close(&m);
	return e->code != 0 ? e->code : 1;
}

int observer_look(struct observer *o, struct observed_box *b, struct mailbox_status *out, struct err *e)
{
	uint64_t signature;
	bool sure, changed;

	CHECK_OBJ(o, OBSERVER_MAGIC);
	if (b->epoch != o->epoch && watch_paths(o, b, e) != 0)
		return e->code;
	signature = look_at_paths(b, &sure);
	changed = !b->known || !b->sure || signature != b->signature ||
	          (b->number != 0 && generation_of(o, b) != b->generation);
	if (!changed)
		return 0;
	b->known = false;
	b->signature = signature;
	b->sure = sure;
	return find_out(o, b, out, e);
}

int observer_follow(struct observer *o, struct observed_box *b, struct mailbox *m, struct err *e)
{
	CHECK_OBJ(o, OBSERVER_MAGIC);
	return renew_paths(o, b, m, e);
}

/* ---- names ---- */

struct naming {
	struct observer *o;
	struct arena *a;
	VEC(struct observed_name) names;
	bool more; /* directories were found that had not been watched while they were listed */
	struct err *e;
};

/* Path below the mail directory; false: it has none. */
static bool path_of(struct store *s, const char *name, struct arena *a, const char **path)
{
	struct err e = ERR_INIT;
	struct name n;

	if (name_parse(s, name, NAME_DIRECTORY, a, &n, &e) != 0)
		return false;
	*path = n.inbox ? "INBOX" : n.path; /* what is below INBOX is in a directory of that name */
	return true;
}

static void watch_directory(struct naming *x, const char *path, bool box)
{
	AUTO_BUF struct buf full = BUF_INIT;
	struct watched *w;

	buf_printf(&full, "%s%s%s", x->o->s->root_path, path[0] != '\0' ? "/" : "", path);
	w = path[0] != '\0' ? add_watch(x->o, buf_cstr(&full), TREE_EVENTS | IN_ONLYDIR, FOR_TREE, x->e)
	                    : add_coming(x->o, buf_cstr(&full), TREE_EVENTS, FOR_TREE, x->e);
	if (w == NULL)
		return;
	if (w->directory == NULL || strcmp(w->directory, path) != 0) {
		mem_free(w->directory);
		w->directory = mem_strdup(path);
		x->more = true;
	}
	w->box = box;
	w->listing = x->o->listing;
}

static int on_name(void *arg, const struct list_entry *entry)
{
	struct naming *x = arg;
	struct observed_name *n = vec_push(&x->names);
	struct store *s = x->o->s;
	const char *path;
	struct stat st;

	*n = (struct observed_name){.name = arena_strdup(x->a, entry->name), .attributes = entry->attributes};
	if (!path_of(s, entry->name, x->a, &path))
		return 0;
	if (s->root >= 0 && fstatat(s->root, path, &st, 0) == 0) {
		n->dev = st.st_dev;
		n->ino = st.st_ino;
	}
	if ((entry->attributes & LIST_NOINFERIORS) == 0 && !s->o->dot_folders)
		watch_directory(x, path, (entry->attributes & LIST_NOSELECT) == 0);
	return x->e->code;
}

static void drop_directories(struct observer *o)
{
	size_t i;

	for (i = o->watches.n; i-- > 0;) {
		struct watched *w = &o->watches.v[i];

		if ((w->kinds & FOR_TREE) == 0 || w->listing == o->listing)
			continue;
		w->kinds &= ~FOR_TREE;
		if (w->kinds != 0)
			continue;
		(void)inotify_rm_watch(o->fd, w->wd);
		remove_watch(o, w);
	}
}

static int compare_names(const void *a, const void *b)
{
	const struct observed_name *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* What is in a directory before it is watched may be missed: so it is listed again. */
int observer_names(
    struct observer *o, struct arena *a, struct observed_name **out, size_t *count, struct err *e)
{
	struct naming x = {.o = o, .a = a, .names = VEC_INIT, .e = e};
	int rounds = 0;

	CHECK_OBJ(o, OBSERVER_MAGIC);
	forget_moved(o);
	o->moved_before = o->moved.n;
	do {
		vec_clear(&x.names);
		x.more = false;
		o->listing++;
		watch_directory(&x, "", false);
		if (e->code == 0)
			store_list(o->s, "", "*", on_name, &x, e);
	} while (e->code == 0 && x.more && ++rounds < NAME_ROUNDS);
	drop_directories(o);
	if (x.names.n > 1)
		qsort(x.names.v, x.names.n, sizeof(*x.names.v), compare_names);
	*out = arena_dup(a, x.names.v, x.names.n * sizeof(*x.names.v));
	*count = x.names.n;
	vec_free(&x.names);
	return e->code;
}

bool observer_moved(struct observer *o, const char *name)
{
	AUTO_ARENA struct arena *a = arena_new("moved");
	const char *path;
	size_t i;

	CHECK_OBJ(o, OBSERVER_MAGIC);
	if (!path_of(o->s, name, a, &path))
		return false;
	for (i = 0; i < o->moved.n; i++)
		if (strcmp(o->moved.v[i], path) == 0)
			return true;
	return false;
}

int observer_watch_account(struct observer *o, struct err *e)
{
	AUTO_BUF struct buf directory = BUF_INIT;
	const char *file = o->s->subscriptions_path;

	CHECK_OBJ(o, OBSERVER_MAGIC);
	buf_add(&directory, file, (size_t)(strrchr(file, '/') - file));
	if (directory.n == 0)
		buf_addc(&directory, '/');
	add_watch(o, buf_cstr(&directory), FILE_EVENTS, FOR_SUBSCRIPTIONS, e);
	if (store_state(o->s) == 0 && e->code == 0)
		add_watch(o, o->s->state_path, FILE_EVENTS, FOR_INDEX, e);
	return e->code;
}

/* ---- events ---- */

static unsigned tree_event(struct observer *o, const struct watched *w, const struct inotify_event *x)
{
	AUTO_BUF struct buf path = BUF_INIT;

	if (x->len == 0)
		return (x->mask & (IN_MOVE_SELF | IN_DELETE_SELF)) != 0 ? OBSERVED_NAMES : 0;
	if ((x->mask & (IN_CREATE | IN_DELETE | IN_MOVE)) == 0)
		return 0;
	buf_printf(&path, "%s%s%s", w->directory, w->directory[0] != '\0' ? "/" : "", x->name);
	if (name_hidden(o->s, buf_cstr(&path)) || (w->box && name_maybe_own(o->s, str_of(x->name))))
		return 0;
	if ((x->mask & IN_MOVED_FROM) != 0 && o->moved.n < MOVED_MAX)
		*vec_push(&o->moved) = mem_strdup(buf_cstr(&path));
	return OBSERVED_NAMES;
}

static unsigned one_event(struct observer *o, const struct inotify_event *x)
{
	struct watched *w = find(o, x->wd);
	unsigned what = 0;

	if ((x->mask & IN_Q_OVERFLOW) != 0) {
		o->epoch++;
		return OBSERVED_ALL;
	}
	if (w == NULL)
		return 0;
	if ((x->mask & (IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_CREATE | IN_MOVED_TO | IN_IGNORED)) !=
	    0)
		o->epoch++;
	if ((w->kinds & FOR_BOX) != 0)
		what |= OBSERVED_BOXES;
	if ((w->kinds & FOR_TREE) != 0)
		what |= tree_event(o, w, x);
	if ((w->kinds & FOR_SUBSCRIPTIONS) != 0 && x->len > 0 &&
	    strcmp(x->name, strrchr(o->s->subscriptions_path, '/') + 1) == 0)
		what |= OBSERVED_SUBSCRIPTIONS;
	if ((w->kinds & FOR_INDEX) != 0 && x->len > 0) {
		what |= str_starts(str_of(x->name), STR("index.cache")) ? OBSERVED_BOXES : 0;
		what |= str_starts(str_of(x->name), STR("index.state")) ? OBSERVED_ANNOTATIONS : 0;
	}
	if ((x->mask & IN_IGNORED) != 0) {
		what |= (w->kinds & FOR_TREE) != 0 ? OBSERVED_NAMES : 0;
		remove_watch(o, w);
	}
	return what;
}

unsigned observer_read(struct observer *o)
{
	_Alignas(struct inotify_event) char events[8192];
	unsigned what = 0;
	ssize_t n;

	CHECK_OBJ(o, OBSERVER_MAGIC);
	while ((n = read(o->fd, events, sizeof(events))) > 0) {
		const char *p = events;

		while (p < events + n) {
			const struct inotify_event *x = (const struct inotify_event *)(const void *)p;

			what |= one_event(o, x);
			p += sizeof(*x) + x->len;
		}
	}
	return what;
}
