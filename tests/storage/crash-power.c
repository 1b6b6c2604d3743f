/*
 * crash-power.c: power loss. From the recorded calls of a whole run the states are built that a machine may
 * leave which loses power between them.
 *
 * Of directories of mailboxes all names are followed. There a rename is there or not: no file system in use
 * takes a file's old name away and loses the new one.
 */
#include "crash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILES 256
#define WHOLE 1
#define SECTORS 2 /* some 512-octet sectors of it */
#define PAGE 4096u
#define SIM_FILES 512 /* a lock that is tried again is another file each time */
#define SIM_SIZE (4u << 20)

struct sim {
	uint64_t inode;
	unsigned char *data;
	size_t size;
	bool shrunk; /* a size was lost */
	struct timespec mtime;
};

static struct sim sims[SIM_FILES];
/* The clock's time of a write that is not given one: nobody gave this one. */
static const struct timespec written = {1700000000, 987654321};
static size_t sim_count;

static unsigned chance(unsigned n)
{
	w.seed = w.seed * 1103515245u + 12345u;
	return (w.seed >> 16) % n;
}

static struct sim *sim_of(uint64_t inode)
{
	for (size_t i = 0; i < sim_count; i++)
		if (sims[i].inode == inode)
			return &sims[i];
	if (sim_count == SIM_FILES)
		abort();
	if (sims[sim_count].data == NULL)
		sims[sim_count].data = malloc(SIM_SIZE);
	sims[sim_count].inode = inode;
	sims[sim_count].size = 0;
	sims[sim_count].shrunk = false;
	sims[sim_count].mtime = written;
	return &sims[sim_count++];
}

static void sim_resize(struct sim *f, size_t size)
{
	if (size > SIM_SIZE)
		abort();
	if (size > f->size)
		memset(f->data + f->size, 0, size - f->size);
	f->size = size;
}

static void sim_size(struct sim *f, size_t size, unsigned how)
{
	if (how == 0)
		f->shrunk = true;
	if (!f->shrunk) {
		sim_resize(f, size);
		f->mtime = written;
	}
}

/*
 * Data may reach the disk in any order; sizes only in theirs: once one is lost (*shrunk), the later ones are.
 * What a file has grown by comes with its data, in whole pages: file systems write the data before the size.
 */
static void sim_write(struct sim *f, const struct event *r, unsigned how)
{
	size_t end = r->offset + r->size, old = f->size;

	if (how != 0)
		f->mtime = written;
	if (end > f->size && !f->shrunk && how != 0) {
		size_t page = f->size / PAGE + 1;

		if (how == SECTORS) {
			page += chance((unsigned)(end / PAGE - f->size / PAGE + 1));
			f->shrunk = page * PAGE < end;
			end = f->shrunk ? page * PAGE : end;
		}
		sim_resize(f, end);
	} else if (end > f->size) {
		f->shrunk = true;
		end = f->size;
	}
	for (size_t at = r->offset; at < end;) {
		size_t stop = (at / 512 + 1) * 512 < end ? (at / 512 + 1) * 512 : end;

		if (how == WHOLE || at >= old || (how == SECTORS && chance(2)))
			memcpy(f->data + at, shared->octet + r->data + (at - r->offset), stop - at);
		at = stop;
	}
}

/* Is record i of the first k certain to have reached the disk? */
static bool durable(size_t i, size_t k)
{
	const struct event *r = &shared->event[i];
	bool name = r->kind == EVENT_NAME || r->kind == EVENT_UNNAME;

	for (size_t j = i + 1; j < k; j++) {
		const struct event *s = &shared->event[j];

		if (s->inode == r->inode && s->kind == (name ? EVENT_SYNC_DIR : EVENT_SYNC) &&
		    (r->kind != EVENT_TIMES || s->times))
			return true;
	}
	return false;
}

static uint64_t box_inodes[2], journal_dir;
/* Of a directory driver: what was there before the recorded run, and the server's state after it. */
static struct tree base, final_state;
static uint32_t told; /* UIDVALIDITY, by the recorded run */
static struct {
	uint64_t dir, inode;
	char name[96];
} names[FILES];
static size_t name_count;

/* One that the names of are followed. */
static bool followed(uint64_t inode)
{
	for (size_t i = 0; i < base.count; i++)
		if (base.node[i].inode == inode)
			return base.node[i].directory;
	for (size_t i = 0; i < shared->events; i++)
		if (shared->event[i].directory && shared->event[i].named == inode)
			return base.count > 0;
	return inode == journal_dir && inode != 0;
}

static bool renamed(size_t i)
{
	return base.count > 0 && shared->event[i].renamed;
}

/* What becomes of event i when the power is lost after k: as wished, or there, being synced. */
static unsigned fate(size_t i, size_t k, const unsigned char *how)
{
	size_t first = renamed(i) ? i - 1 : i;
	bool pair = renamed(i) || (i + 1 < k && renamed(i + 1));

	return durable(first, k) || (pair && durable(first + 1, k)) ? WHOLE : how[first];
}

static void add_name(uint64_t dir, const char *name, uint64_t inode)
{
	if (name_count == FILES)
		abort();
	names[name_count].dir = dir;
	names[name_count].inode = inode;
	snprintf(names[name_count++].name, sizeof names->name, "%s", name);
}

static void sim_name(const struct event *r)
{
	size_t i = 0;

	if (!followed(r->inode))
		return;
	while (i < name_count && (names[i].dir != r->inode || strcmp(names[i].name, r->name) != 0))
		i++;
	if (r->kind == EVENT_UNNAME) {
		if (i < name_count)
			names[i] = names[--name_count];
		return;
	}
	if (i == name_count)
		add_name(r->inode, r->name, r->named);
	names[i].inode = r->named;
}

/* ---- trees ---- */

static void sim_tree(void)
{
	for (size_t i = 0; i < base.count; i++) {
		const struct node *n = &base.node[i];
		const char *slash = strrchr(n->path, '/');
		struct sim *f;

		for (size_t j = 0; slash != NULL && j < i; j++)
			if (strncmp(base.node[j].path, n->path, (size_t)(slash - n->path)) == 0 &&
			    base.node[j].path[slash - n->path] == '\0')
				add_name(base.node[j].inode, slash + 1, n->inode);
		if (n->directory)
			continue;
		f = sim_of(n->inode);
		sim_resize(f, n->size);
		memcpy(f->data, n->data, n->size);
		f->mtime = n->mtime;
	}
}

static void put_tree(struct tree *out, uint64_t dir, const char *path)
{
	for (size_t i = 0; i < name_count; i++) {
		struct node *n = &out->node[out->count];
		struct sim *f;

		if (names[i].dir != dir)
			continue;
		if (out->count++ == TREE_MAX)
			abort();
		memset(n, 0, sizeof *n);
		snprintf(n->path, sizeof n->path, "%.60s/%.90s", path, names[i].name);
		n->directory = followed(names[i].inode);
		if (n->directory) {
			clock_gettime(CLOCK_REALTIME, &n->mtime); /* nobody knows this time */
			put_tree(out, names[i].inode, n->path);
			continue;
		}
		n->inode = names[i].inode;
		f = sim_of(names[i].inode);
		n->data = (char *)f->data;
		n->size = f->size;
		n->mtime = f->mtime;
	}
}

static void build_tree(void)
{
	static struct tree out;

	out.count = 1;
	out.node[0] = base.node[0];
	put_tree(&out, base.node[0].inode, "mail");
	tree_put(&out, "mail");
}

/*
 * The server's state when it had told nobody, or when it had told all of it: LMDB sees to it that it is one
 * of them. What is of one boot only is not looked at after another one; journals are followed.
 */
static void build_state(const struct tree *t)
{
	static struct tree out;

	out.count = 0;
	for (size_t i = 0; i < t->count; i++)
		if (strstr(t->node[i].path, "index.cache") == NULL &&
		    strncmp(t->node[i].path, ".mortise/journals/", 18) != 0)
			out.node[out.count++] = t->node[i];
	tree_put(&out, ".mortise");
}

static void build_files(const struct kept *start)
{
	clean_folder("mail", false);
	clean_folder(".mortise/journals", true);
	clean_folder(".mortise", true);
	for (size_t i = 0; i < 2; i++)
		if (start->data[i] != NULL) {
			struct sim *f = sim_of(box_inodes[i]);

			put_file(boxes[i], (const char *)f->data, f->size);
			set_mtime(boxes[i], &f->mtime);
		}
}

/* The disk after the first k of `marked` calls; how[i] for what may or may not be there. */
static void build(const struct kept *start, size_t k, size_t marked, const unsigned char *how)
{
	sim_count = name_count = 0;
	sim_tree();
	for (size_t i = 0; i < 2; i++)
		if (start->data[i] != NULL) {
			struct sim *f = sim_of(box_inodes[i]);

			sim_resize(f, start->size[i]);
			memcpy(f->data, start->data[i], start->size[i]);
			f->mtime = start->mtime[i];
		}
	for (size_t i = 0; i < k; i++) {
		const struct event *r = &shared->event[i];
		unsigned h = fate(i, k, how);

		if (r->kind == EVENT_WRITE)
			sim_write(sim_of(r->inode), r, h);
		else if (r->kind == EVENT_SIZE)
			sim_size(sim_of(r->inode), r->size, h);
		else if (h == 0)
			continue;
		else if (r->kind == EVENT_TIMES)
			sim_of(r->inode)->mtime = r->mtime;
		else if (r->kind == EVENT_NAME || r->kind == EVENT_UNNAME)
			sim_name(r);
	}
	if (base.count > 0) {
		build_tree();
		build_state(k == marked ? &final_state : start->state);
	} else {
		build_files(start);
	}
	for (size_t i = 0; i < name_count; i++) {
		struct sim *f = sim_of(names[i].inode);
		char path[256];

		if (names[i].dir != journal_dir)
			continue;
		snprintf(path, sizeof path, ".mortise/journals/%.90s", names[i].name);
		put_file(path, (const char *)f->data, f->size);
	}
}

static void state(
    const struct kept *start, size_t k, size_t marked, const unsigned char *how, const char *what)
{
	char text[120];

	snprintf(text, sizeof text, "power loss after call %zu of %zu, %s", k, marked, what);
	fault_text = text;
	build(start, k, marked, how);
	shared->uidvalidity = told;
	states++;
	check(k >= marked);
}

static void states_at(const struct kept *start, size_t k, size_t marked)
{
	unsigned char how[EVENTS_MAX] = {0};
	size_t pending[EVENTS_MAX], count = 0;
	const char *wish = getenv("MORTISE_CRASH_RANDOM");
	int random = wish != NULL ? atoi(wish) : base.count > 0 ? 2 : 8;
	char text[40];

	for (size_t i = 0; i < k; i++)
		if (!durable(i, k) && shared->event[i].kind != EVENT_SYNC &&
		    shared->event[i].kind != EVENT_SYNC_DIR && !renamed(i) &&
		    (followed(shared->event[i].inode) || shared->event[i].inode == box_inodes[0] ||
		        shared->event[i].inode == box_inodes[1] || shared->event[i].inode == journal_dir ||
		        shared->event[i].kind == EVENT_WRITE))
			pending[count++] = i;
	memset(how, WHOLE, k);
	state(start, k, marked, how, "all there");
	if (count == 0)
		return;
	memset(how, 0, k);
	state(start, k, marked, how, "what is pending lost");
	for (size_t i = 0; i < count && count > 1; i++) {
		memset(how, 0, k);
		how[pending[i]] = WHOLE;
		snprintf(text, sizeof text, "only %zu there", pending[i]);
		state(start, k, marked, how, text);
		memset(how, WHOLE, k);
		how[pending[i]] = 0;
		snprintf(text, sizeof text, "only %zu lost", pending[i]);
		state(start, k, marked, how, text);
	}
	for (size_t i = 0; i < count; i++) {
		if (shared->event[pending[i]].kind != EVENT_WRITE)
			continue;
		memset(how, WHOLE, k);
		how[pending[i]] = SECTORS;
		snprintf(text, sizeof text, "%zu torn", pending[i]);
		state(start, k, marked, how, text);
	}
	for (int i = 0; i < random; i++) {
		for (size_t j = 0; j < k; j++)
			how[j] = (unsigned char)chance(3);
		snprintf(text, sizeof text, "random %d", i);
		state(start, k, marked, how, text);
	}
}

static uint64_t inode_at(const char *name)
{
	struct stat st;

	return stat(path_of(name), &st) == 0 ? st.st_ino : 0;
}

void power_loss(const struct kept *start)
{
	const struct fault none = {.kind = FAULT_NONE};
	unsigned failed_before = failures, states_before = states;
	size_t marked;

	restore(start);
	if (crash_driver.directory)
		tree_take(&base, "mail");
	shared->recording = true;
	run(&none);
	shared->recording = false;
	told = shared->uidvalidity;
	if (crash_driver.directory) {
		struct tree *made = calloc(1, sizeof *made);

		tree_take(&final_state, ".mortise");
		/* The files that came are kept aside, too. */
		tree_take(made, "mail");
		tree_free(made);
		free(made);
	}
	for (size_t i = 0; i < 2; i++)
		box_inodes[i] = inode_at(boxes[i]);
	journal_dir = inode_at(".mortise/journals");
	marked = shared->events;
	if (getenv("MORTISE_CRASH_TELL") != NULL)
		for (size_t k = 0; k < marked; k++)
			printf("# %zu: %d of %llu at %llu, %llu %s\n", k, shared->event[k].kind,
			    (unsigned long long)shared->event[k].inode,
			    (unsigned long long)shared->event[k].offset,
			    (unsigned long long)shared->event[k].size, shared->event[k].name);
	for (size_t k = 0; k <= marked; k++)
		if (k == marked || !renamed(k))
			states_at(start, k, marked);
	tree_free(&base);
	tree_free(&final_state);
	report("power loss", failed_before, states - states_before);
}
