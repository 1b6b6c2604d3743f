/*
 * Opening and closing, and what is known of the file: what it looks like, what has changed through this box,
 * and the trail of our changes in its header.
 */
#include "box.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Two changes by others this close to each other (ns) may look the same to fstat. */
#define RACY 50000000
#define OWN_MAX 65536u
/* No process has such a number: c-client takes every writer for another one, and looks at flags again. */
#define NO_PROCESS 0x00800000u

struct mbx_box *mbx_box_of(void *box)
{
	struct mbx_box *b = box;

	assert(b != NULL && b->magic == MBX_BOX_MAGIC);
	return b;
}

struct mbx_state *mbx_state_of(struct mortise_call *call)
{
	if (call->instance->state == NULL)
		call->instance->state =
		    call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(struct mbx_state));
	return call->instance->state;
}

/* ---- octets ---- */

int mbx_pread(struct mortise_call *call, const struct mbx_box *b, void *p, size_t size, uint64_t offset)
{
	unsigned char *out = p;

	while (size > 0) {
		ssize_t n = pread(b->fd, out, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return call->host->fault_errno(
			    call, "cannot read %s at %llu", b->place->name, (unsigned long long)offset);
		if (n == 0)
			return call->host->fault(call, MORTISE_E_CORRUPT, "%s ends at octet %llu, too early",
			    b->place->name, (unsigned long long)offset);
		out += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

int mbx_pwrite(
    struct mortise_call *call, const struct mbx_box *b, const void *p, size_t size, uint64_t offset)
{
	const unsigned char *in = p;

	while (size > 0) {
		ssize_t n = pwrite(b->fd, in, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return call->host->fault_errno(
			    call, "cannot write %s at %llu", b->place->name, (unsigned long long)offset);
		in += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

int mbx_sync_file(struct mortise_call *call, const struct mbx_box *b)
{
	if (b->options->fsync && fdatasync(b->fd) != 0)
		return call->host->fault_errno(call, "cannot sync %s", b->place->name);
	return 0;
}

/* ---- what the file looks like ---- */

int mbx_print_of(struct mortise_call *call, const struct mbx_box *b, struct mbx_print *out)
{
	struct stat st;

	if (fstat(b->fd, &st) != 0)
		return call->host->fault_errno(call, "cannot look at %s", b->place->name);
	*out = (struct mbx_print){.dev = st.st_dev,
	    .ino = st.st_ino,
	    .size = (uint64_t)st.st_size,
	    .mtime = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
	    .ctime = st.st_ctim.tv_sec * INT64_C(1000000000) + st.st_ctim.tv_nsec};
	return 0;
}

bool mbx_print_same(const struct mbx_print *a, const struct mbx_print *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime == b->mtime &&
	       a->ctime == b->ctime;
}

bool mbx_print_racy(const struct mbx_print *p)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (p->mtime % 1000000000 == 0 || p->mtime == p->ctime) &&
	       now.tv_sec * INT64_C(1000000000) + now.tv_nsec - p->ctime < RACY;
}

static void know_from_trail(struct mbx_box *b, const struct mbx_print *now)
{
	const struct mbx_trail *t = &b->header.trail;

	b->known = (struct mbx_known){.there = true,
	    .print = *now,
	    .epoch = t->epoch,
	    .dead = t->dead,
	    .dead_from = t->dead_from,
	    .count = t->count};
	b->uidvalidity = b->header.uidvalidity;
	b->uidlast = b->header.uidlast;
}

bool mbx_known_holds(const struct mbx_box *b, const struct mbx_print *now)
{
	return b->known.there && !b->known.racy && mbx_print_same(now, &b->known.print);
}

int mbx_know(struct mortise_call *call, struct mbx_box *b)
{
	struct mbx_print now;
	int r = mbx_print_of(call, b, &now);

	if (r != 0 || mbx_known_holds(b, &now))
		return r;
	b->known.there = false;
	if ((r = mbx_header_read(call, b)) != 0)
		return r;
	if (!mbx_trail_holds(&b->header, &now)) {
		r = mbx_scan(call, b);
		mbx_records_free(b);
		return r;
	}
	know_from_trail(b, &now);
	return 0;
}

/* ---- changes ---- */

static void own_forget(struct mbx_box *b)
{
	b->own.count = 0;
	b->own.from = (struct mbx_print){.dev = 0};
}

void mbx_own_note(struct mbx_box *b, const struct mbx_record *m, bool gone)
{
	struct mbx_own *o = &b->own;

	if (o->count == o->room && o->count < OWN_MAX) {
		size_t room = o->room != 0 ? o->room * 4 : 16;
		struct mbx_own_change *p = reallocarray(o->list, room, sizeof *p);
		if (p != NULL) {
			o->list = p;
			o->room = room;
		}
	}
	/* So many: the next sync tells all. */
	if (o->count == o->room)
		own_forget(b);
	else
		o->list[o->count++] =
		    (struct mbx_own_change){.offset = m->offset, .uid = m->uid, .gone = gone};
}

int mbx_change_begin(struct mortise_call *call, struct mbx_box *b)
{
	struct mbx_print now;
	int r = mbx_print_of(call, b, &now);

	mbx_window_reset(b);
	if (r != 0 || (r = mbx_header_read(call, b)) != 0)
		return r;
	if (!mbx_print_same(&now, &b->own.to)) {
		b->own.count = 0;
		b->own.from = b->own.to = now;
	}
	if (!mbx_known_holds(b, &now)) {
		b->known.there = false;
		if (mbx_trail_holds(&b->header, &now))
			know_from_trail(b, &now);
	}
	return 0;
}

/*
 * The fraction of the second is by chance: the clock's steps are coarse, and so nobody else's change looks
 * like ours.
 */
static int64_t time_by_chance(struct mortise_call *call)
{
	struct timespec now;
	uint32_t noise;

	call->host->random(call, &noise, sizeof noise);
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * INT64_C(1000000000) + noise % 999999999 + 1;
}

int mbx_change_stamp(struct mortise_call *call, struct mbx_box *b, uint64_t size, bool flags)
{
	struct mbx_header *h = &b->header;
	struct mbx_known *k = &b->known;
	char text[16];
	uint32_t writer;

	if (flags) {
		call->host->random(call, &writer, sizeof writer);
		snprintf(text, sizeof text, "%08x\r\n", NO_PROCESS | writer % NO_PROCESS);
		memcpy(h->raw + MBX_PID, text, 10);
		k->epoch = 0;
	}
	b->stamp = time_by_chance(call);
	h->note = '\0';
	h->trail = (struct mbx_trail){.epoch = 0};
	if (k->there && !k->provisional) {
		while (k->epoch == 0)
			call->host->random(call, &k->epoch, sizeof k->epoch);
		h->trail = (struct mbx_trail){.epoch = k->epoch,
		    .mtime = b->stamp,
		    .size = size,
		    .dead = k->dead,
		    .dead_from = k->dead_from,
		    .count = k->count};
	}
	return mbx_header_write_end(call, b);
}

/* Read just now, but a second before new mail came, so that mailers say so. */
void mbx_change_end(struct mortise_call *call, struct mbx_box *b, bool added)
{
	struct timespec times[2];

	clock_gettime(CLOCK_REALTIME, &times[0]);
	if (added)
		times[0].tv_sec--;
	times[1] = (struct timespec){.tv_sec = b->stamp / 1000000000, .tv_nsec = b->stamp % 1000000000};
	(void)!futimens(b->fd, times);
	if (mbx_print_of(call, b, &b->own.to) != 0) {
		mbx_change_failed(b);
		return;
	}
	b->known.print = b->own.to;
	b->known.racy = mbx_print_racy(&b->own.to);
	if (b->known.racy)
		own_forget(b);
	mbx_window_reset(b);
}

void mbx_change_failed(struct mbx_box *b)
{
	b->known.there = false;
	own_forget(b);
	mbx_window_reset(b);
}

/* ---- open and close ---- */

static int open_file(struct mortise_call *call, struct mbx_box *b)
{
	const struct mortise_host *h = call->host;
	struct stat st;

	b->fd = h->open_below(call, b->place->root, b->place->path,
	    (b->read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_NOCTTY, 0);
	if (b->fd < 0 && !b->read_only && (errno == EACCES || errno == EPERM || errno == EROFS)) {
		b->read_only = true;
		b->fd =
		    h->open_below(call, b->place->root, b->place->path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	}
	if (b->fd < 0 && errno == ENOENT)
		return h->fail(call, MORTISE_E_NOTFOUND, "No such mailbox");
	if (b->fd < 0)
		return h->fault_errno(call, "cannot open %s", b->place->path);
	if (fstat(b->fd, &st) != 0)
		return h->fault_errno(call, "cannot look at %s", b->place->path);
	if (!S_ISREG(st.st_mode))
		return h->fault(call, MORTISE_E_CORRUPT, "%s is no regular file", b->place->path);
	return 0;
}

int mbx_op_open(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
    struct mortise_box_info *info, void **box)
{
	struct mbx_box *b = call->host->alloc(call, MORTISE_LIFE_BOX, sizeof *b);
	int r;

	b->magic = MBX_BOX_MAGIC;
	b->place = place;
	b->options = call->instance->options;
	b->state = mbx_state_of(call);
	b->read_only = open_flags & MORTISE_OPEN_READ_ONLY;
	b->fd = b->lock_fd = b->idle_fd = -1;
	b->lock_mode = MORTISE_LOCK_NONE;
	if ((r = open_file(call, b)) == 0 && (r = mbx_session_share(call, b)) == 0)
		r = mbx_header_read(call, b);
	if (r != 0) {
		if (b->fd >= 0)
			close(b->fd);
		return r;
	}
	b->uidvalidity = b->header.uidvalidity;
	b->uidlast = b->header.uidlast;
	info->uidvalidity = b->uidvalidity;
	info->uidnext = b->uidlast < MBX_UID_LAST ? b->uidlast + 1 : UINT32_MAX;
	info->permanent_flags = MORTISE_FLAGS_SYSTEM;
	info->keyword_limit = (uint32_t)b->options->keyword_limit;
	info->may_create_keywords = !b->read_only && b->header.used_slots < b->options->keyword_limit;
	info->read_only = b->read_only;
	*box = b;
	return 0;
}

void mbx_op_close(struct mortise_call *call, void *box)
{
	struct mbx_box *b = mbx_box_of(box);

	(void)!mbx_op_checkpoint(call, b);
	mbx_lock_release(b);
	mbx_lock_forget(b);
	close(b->fd);
	mbx_window_reset(b);
	mbx_records_free(b);
	free(b->own.list);
	b->magic = 0;
}
