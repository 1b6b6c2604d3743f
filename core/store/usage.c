/*
 * usage.c: what a user has, counted.
 *
 * What was counted of a mailbox lies in the index as a wire form without a message (UID 0): the number of
 * messages, their octets, the generation of the mailbox's rows, and the status of its file or of what the
 * driver watches. It may go at any time. It is not written while one of the files was changed within the last
 * seconds: a second change in the same tick of the file system's clock would not be seen. Nor is it for a
 * file that is far smaller than its messages: they are kept elsewhere then.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/path.h"
#include "log/log.h"
#include "store/driver.h"
#include "store/quota_int.h"
#include "store/sync.h"
#include "base/banned.h"

#define TICK_MICROSECONDS 2000000u /* of the coarsest clock of a file system (FAT) */

struct counted {
	uint64_t messages, octets; /* or MORTISE_SIZE_UNKNOWN: they were not asked for */
	uint64_t generation;       /* of the rows in the index: changes of our own */
	uint64_t files;            /* their states follow, each with its path: changes of others */
};

struct file_state {
	uint64_t device, inode, size, modified, changed; /* times in nanoseconds */
};

struct counting {
	struct store *s;
	unsigned wanted;
	uint64_t *usage;
	struct err *e;
};

static uint64_t nanoseconds(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

/* What is not there has a state, too. */
static struct file_state state_of(const struct store *s, const struct target *t, const char *path)
{
	AUTO_CLOSE int fd = path_open(t->place.root, path, O_PATH, 0, store_how(s));
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return (struct file_state){.device = 0};
	return (struct file_state){.device = st.st_dev,
	    .inode = st.st_ino,
	    .size = (uint64_t)st.st_size,
	    .modified = nanoseconds(&st.st_mtim),
	    .changed = nanoseconds(&st.st_ctim)};
}

static bool same_state(const struct file_state *a, const struct file_state *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* ---- what was counted before ---- */

static bool same_files(const struct store *s, const struct target *t, struct str rest, uint64_t files)
{
	for (; files > 0; files--) {
		struct file_state then, now;
		size_t end;

		if (rest.n < sizeof(then))
			return false;
		memcpy(&then, rest.p, sizeof(then));
		rest = str_from(rest, sizeof(then));
		end = str_find(rest, '\0');
		if (end == rest.n)
			return false;
		now = state_of(s, t, rest.p);
		if (!same_state(&then, &now))
			return false;
		rest = str_from(rest, end + 1);
	}
	return rest.n == 0;
}

static bool recall(struct store *s, struct target *t, bool sizes, struct counted *out)
{
	AUTO_BUF struct buf identity = BUF_INIT;
	AUTO_BUF struct buf row = BUF_INIT;
	struct err e = ERR_INIT;
	struct index *x = store_index(s, &e);
	uint64_t number, generation;

	if (x == NULL)
		return false;
	target_identity(t, &identity);
	if (index_lookup(x, buf_str(&identity), &number, &e) != 1 ||
	    index_wire(x, number, 0, INDEX_USAGE, STR(""), &row, &e) != 1 || row.n < sizeof(*out) ||
	    index_generation(x, number, &generation, &e) != 0)
		return false;
	memcpy(out, row.p, sizeof(*out));
	return out->generation == generation && out->files > 0 &&
	       (!sizes || out->octets != MORTISE_SIZE_UNKNOWN) &&
	       same_files(s, t, str_from(buf_str(&row), sizeof(*out)), out->files);
}

/* ---- counting one ---- */
struct watched {
	size_t count;
	const char *paths[MORTISE_WATCH_MAX + 1];
	struct file_state states[MORTISE_WATCH_MAX + 1];
};

/* Before it is synced: what changes later is seen next time. */
static void look_at_files(struct mailbox *m, struct watched *w)
{
	struct mortise_watch named = {.count = 0};
	struct err e = ERR_INIT;
	size_t i;

	*w = (struct watched){.count = 0};
	if (m->box == NULL)
		return;
	if (S_ISDIR(m->target.st.st_mode) &&
	    (box_watch(m, &named, &e) != 0 || named.count > MORTISE_WATCH_MAX))
		named.count = 0;
	w->paths[w->count++] = m->target.place.path;
	for (i = 0; i < named.count; i++)
		w->paths[w->count++] = named.paths[i];
	for (i = 0; i < w->count; i++)
		w->states[i] = state_of(m->store, &m->target, w->paths[i]);
}

static bool in_the_file(const struct mailbox *m, const struct watched *w, const struct counted *c)
{
	return S_ISDIR(m->target.st.st_mode) || c->octets / 2 <= w->states[0].size;
}

static void keep(struct mailbox *m, const struct watched *w, struct counted *c)
{
	uint64_t settled = ((uint64_t)clock_microseconds() - TICK_MICROSECONDS) * 1000;
	AUTO_BUF struct buf row = BUF_INIT;
	size_t i;

	if (w->count == 0 || m->index == NULL || m->unindexed || m->measured > 0 || !in_the_file(m, w, c))
		return;
	c->generation = m->generation;
	c->files = w->count;
	buf_add(&row, c, sizeof(*c));
	for (i = 0; i < w->count; i++) {
		if (w->states[i].changed > settled || w->states[i].modified > settled)
			return;
		buf_add(&row, &w->states[i], sizeof(w->states[i]));
		buf_add(&row, w->paths[i], strlen(w->paths[i]) + 1);
	}
	index_wire_put(m->index, m->number, 0, INDEX_USAGE, STR(""), buf_str(&row));
}

static int count_open(struct mailbox *m, bool sizes, struct counted *out, struct err *e)
{
	struct watched w;

	look_at_files(m, &w);
	if (sync_now(m, e) < 0)
		return e->code;
	out->messages = m->counts.messages;
	out->octets = m->counts.unmeasured == 0 ? m->counts.octets : MORTISE_SIZE_UNKNOWN;
	if (sizes && mailbox_total(m, &out->octets, e) != 0)
		return e->code;
	keep(m, &w, out);
	return 0;
}

/* One that goes away meanwhile has nothing in it, and one that cannot be opened is not counted. */
static bool passes(const struct err *e)
{
	return e->code == MORTISE_E_NOTFOUND || e->code == MORTISE_E_PERM || e->code == MORTISE_E_CORRUPT ||
	       e->code == MORTISE_E_UNSUPPORTED;
}

static bool empty_file(const struct target *t)
{
	return t->object == OBJECT_MISSING || (S_ISREG(t->st.st_mode) && t->st.st_size == 0);
}

static int count_messages(
    struct store *s, struct target *t, struct arena *a, bool sizes, struct counted *out, struct err *e)
{
	struct mailbox *m = mailbox_already(s, t);
	struct err failed = ERR_INIT;

	*out = (struct counted){0};
	if (m == NULL && (empty_file(t) || recall(s, t, sizes, out))) {
		target_close(t);
		arena_free(&a);
		return 0;
	}
	if (m != NULL) {
		target_close(t);
		arena_free(&a);
		return count_open(m, sizes, out, e);
	}
	if (mailbox_attach(s, t, a, MAILBOX_READ_ONLY | MAILBOX_KEEP_RECENT, &m, &failed) == 0) {
		count_open(m, sizes, out, &failed);
		mailbox_close(&m);
	}
	if (failed.code == 0 || passes(&failed))
		return 0;
	return err_take(e, &failed);
}

/* ---- annotations ---- */
static int add_annotation(void *arg, struct str name, struct str value)
{
	*(uint64_t *)arg += name.n + value.n;
	return 0;
}

static int count_annotations(struct counting *c, const struct target *t)
{
	AUTO_BUF struct buf identity = BUF_INIT;
	struct index *x = store_index(c->s, c->e);
	uint64_t number = 0;

	if (x == NULL)
		return c->e->code;
	if (t != NULL) {
		int there;

		target_identity(t, &identity);
		there = index_lookup(x, buf_str(&identity), &number, c->e);
		if (there <= 0)
			return there;
	}
	return index_attributes(
	    x, number, STR("/"), add_annotation, &c->usage[QUOTA_ANNOTATION_STORAGE], c->e);
}

/* ---- all ---- */
static int on_mailbox(void *arg, const struct list_entry *entry)
{
	const unsigned texts = QUOTA_BIT(QUOTA_STORAGE) | QUOTA_BIT(QUOTA_MESSAGE);
	struct counting *c = arg;
	struct arena *a;
	struct err e = ERR_INIT;
	struct counted counted;
	struct target t;

	if ((entry->attributes & (LIST_NOSELECT | LIST_NONEXISTENT)) != 0)
		return 0;
	c->usage[QUOTA_MAILBOX]++;
	if ((c->wanted & ~QUOTA_BIT(QUOTA_MAILBOX)) == 0)
		return 0;
	a = arena_new("usage");
	if (target_mailbox(c->s, entry->name, 0, a, &t, &e) != 0) {
		arena_free(&a);
		return passes(&e) ? 0 : err_take(c->e, &e);
	}
	if ((c->wanted & QUOTA_BIT(QUOTA_ANNOTATION_STORAGE)) != 0 && t.driver != NULL)
		count_annotations(c, &t);
	if ((c->wanted & texts) == 0 || c->e->code != 0) {
		target_close(&t);
		arena_free(&a);
		return c->e->code;
	}
	if (count_messages(c->s, &t, a, (c->wanted & QUOTA_BIT(QUOTA_STORAGE)) != 0, &counted, c->e) != 0)
		return c->e->code;
	c->usage[QUOTA_MESSAGE] += counted.messages;
	c->usage[QUOTA_STORAGE] += counted.octets != MORTISE_SIZE_UNKNOWN ? counted.octets : 0;
	return store_stopped(c->s, c->e);
}

int quota_usage(struct store *s, unsigned wanted, uint64_t usage[QUOTA_RESOURCES], struct err *e)
{
	struct counting c = {.s = s, .wanted = wanted, .usage = usage, .e = e};

	memset(usage, 0, QUOTA_RESOURCES * sizeof(*usage));
	if (wanted == 0)
		return 0;
	if ((wanted & QUOTA_BIT(QUOTA_ANNOTATION_STORAGE)) != 0 && count_annotations(&c, NULL) != 0)
		return e->code;
	return store_list(s, "", "*", on_mailbox, &c, e);
}
