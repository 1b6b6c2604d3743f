/*
 * crash-power.c: power loss. From the recorded calls of a whole run the states are built that a machine may
 * leave which loses power between them.
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

	if (r->kind == EVENT_TIMES) /* what is synced is data */
		return false;
	for (size_t j = i + 1; j < k; j++) {
		const struct event *s = &shared->event[j];

		if (s->inode == r->inode && s->kind == (name ? EVENT_SYNC_DIR : EVENT_SYNC))
			return true;
	}
	return false;
}

static uint64_t box_inodes[2], journal_dir;
static struct {
	char name[96];
	uint64_t inode;
} names[FILES];
static size_t name_count;

static void sim_name(const struct event *r)
{
	size_t i = 0;

	if (r->inode != journal_dir)
		return;
	while (i < name_count && strcmp(names[i].name, r->name) != 0)
		i++;
	if (r->kind == EVENT_UNNAME) {
		if (i < name_count)
			names[i] = names[--name_count];
		return;
	}
	if (i == name_count && name_count++ == FILES)
		abort();
	snprintf(names[i].name, sizeof names[i].name, "%s", r->name);
	names[i].inode = r->named;
}

/* The disk after the first k calls; how[i] for what may or may not be there. */
static void build(const struct kept *start, size_t k, const unsigned char *how)
{
	sim_count = name_count = 0;
	for (size_t i = 0; i < 2; i++)
		if (start->data[i] != NULL) {
			struct sim *f = sim_of(box_inodes[i]);

			sim_resize(f, start->size[i]);
			memcpy(f->data, start->data[i], start->size[i]);
			f->mtime = start->mtime[i];
		}
	for (size_t i = 0; i < k; i++) {
		const struct event *r = &shared->event[i];
		unsigned h = durable(i, k) ? WHOLE : how[i];

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
	clean_folder("mail", false);
	clean_folder(".mortise/journals", true);
	clean_folder(".mortise", true);
	for (size_t i = 0; i < 2; i++)
		if (start->data[i] != NULL) {
			struct sim *f = sim_of(box_inodes[i]);

			put_file(boxes[i], (const char *)f->data, f->size);
			set_mtime(boxes[i], &f->mtime);
		}
	for (size_t i = 0; i < name_count; i++) {
		struct sim *f = sim_of(names[i].inode);
		char path[256];

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
	build(start, k, how);
	states++;
	check(k >= marked);
}

static void states_at(const struct kept *start, size_t k, size_t marked)
{
	unsigned char how[EVENTS_MAX] = {0};
	size_t pending[EVENTS_MAX], count = 0;
	const char *wish = getenv("MORTISE_CRASH_RANDOM");
	int random = wish != NULL ? atoi(wish) : 8;
	char text[40];

	for (size_t i = 0; i < k; i++)
		if (!durable(i, k) && shared->event[i].kind != EVENT_SYNC &&
		    shared->event[i].kind != EVENT_SYNC_DIR &&
		    (shared->event[i].inode == box_inodes[0] || shared->event[i].inode == box_inodes[1] ||
		        shared->event[i].inode == journal_dir || shared->event[i].kind == EVENT_WRITE))
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
	shared->recording = true;
	run(&none);
	shared->recording = false;
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
		states_at(start, k, marked);
	report("power loss", failed_before, states - states_before);
}
