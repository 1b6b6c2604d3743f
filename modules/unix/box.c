#include "box.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define NFS_MAGIC 0x6969
#define SECTOR 512u /* what a disk writes whole or not at all */

struct unix_box *unix_box_of(void *box)
{
	struct unix_box *b = box;

	assert(b != NULL && b->magic == UNIX_BOX_MAGIC);
	return b;
}

struct unix_state *unix_state_of(struct mortise_call *call)
{
	if (call->instance->state == NULL)
		call->instance->state =
		    call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(struct unix_state));
	return call->instance->state;
}

/* ---- the file ---- */

void unix_print_of(const struct stat *st, struct unix_print *p)
{
	p->dev = (uint32_t)(st->st_dev ^ (uint64_t)st->st_dev >> 32);
	p->ino = st->st_ino;
	p->size = (uint64_t)st->st_size;
	p->mtime = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
	p->ctime = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

bool unix_print_same(const struct unix_print *a, const struct unix_print *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->mtime == b->mtime &&
	       a->ctime == b->ctime;
}

int unix_box_print(struct mortise_call *call, struct unix_box *b, struct unix_print *p)
{
	struct stat st;

	if (fstat(b->fd, &st) != 0)
		return call->host->fault_errno(call, "cannot look at %s", b->place->name);
	unix_print_of(&st, p);
	return 0;
}

int unix_box_look(struct mortise_call *call, struct unix_box *b, const struct unix_print *p)
{
	struct unix_print now;
	struct stat st, here;
	int mode = b->lock.mode, r;

	if (fstatat(b->dir, b->file, &st, 0) != 0)
		return errno == ENOENT ? call->host->fail(call, MORTISE_E_NOTFOUND, "The mailbox was removed")
		                       : call->host->fault_errno(call, "cannot look at %s", b->place->name);
	unix_print_of(&st, &now);
	if (p != NULL && unix_print_same(&now, p))
		return 0;
	/* Replaced under our lock, by somebody who asks for none: lock the one that is there now. */
	if (mode != MORTISE_LOCK_NONE && (fstat(b->fd, &here) != 0 || here.st_ino != st.st_ino)) {
		unix_lock_release(call, b);
		if ((r = unix_lock_take(call, b, mode, 0)) != 0)
			return r;
	}
	return 1;
}

/* Opens the file that has the name; the descriptor, or a code. */
static int open_file(struct mortise_call *call, const struct mortise_place *place, bool *read_only)
{
	const int flags = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat st;
	int fd = -1;

	if (!*read_only)
		fd = call->host->open_below(call, place->root, place->path, O_RDWR | flags, 0);
	if (fd < 0 && (*read_only || errno == EACCES || errno == EPERM || errno == EROFS)) {
		*read_only = true;
		fd = call->host->open_below(call, place->root, place->path, O_RDONLY | flags, 0);
	}
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return call->host->fail(call, MORTISE_E_NOTFOUND, "No such mailbox");
	if (fd < 0 && (errno == EISDIR || errno == ENXIO || errno == EXDEV || errno == ELOOP))
		return call->host->fail(call, MORTISE_E_NOTFOUND, "That is not a mailbox");
	if (fd < 0)
		return call->host->fault_errno(call, "cannot open %s", place->path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return call->host->fail(call, MORTISE_E_NOTFOUND, "That is not a mailbox");
	}
	return fd;
}

int unix_box_reopen(struct mortise_call *call, struct unix_box *b)
{
	bool read_only = b->read_only;
	int fd = open_file(call, b->place, &read_only);

	if (fd < 0)
		return fd;
	if (read_only && !b->read_only) {
		close(fd);
		return call->host->fail(call, MORTISE_E_PERM, "The mailbox cannot be written any more");
	}
	close(b->fd);
	b->fd = fd;
	return 0;
}

/*
 * Where everybody may write and delete, anybody can replace the mailbox or its lock. A sticky directory is
 * how mail spools are made safe; there the file must be ours, since somebody may have made it before us.
 */
static int check_directory(struct mortise_call *call, const struct unix_box *b)
{
	struct stat dir, file;

	if (fstat(b->dir, &dir) != 0 || fstat(b->fd, &file) != 0)
		return call->host->fault_errno(call, "cannot look at %s", b->place->path);
	if (b->options->open_directory || (dir.st_mode & S_IWOTH) == 0)
		return 0;
	if ((dir.st_mode & S_ISVTX) == 0)
		return call->host->fault(call, MORTISE_E_PERM,
		    "the directory of %s is writable by everybody and not sticky (set mode 1777, or "
		    "open_directory = true)",
		    b->place->path);
	if (file.st_uid != geteuid() && geteuid() != 0)
		return call->host->fault(call, MORTISE_E_PERM,
		    "%s belongs to uid %lu, in a directory where anybody can make it", b->place->path,
		    (unsigned long)file.st_uid);
	return 0;
}

static int open_directory(struct mortise_call *call, struct unix_box *b)
{
	const char *slash = strrchr(b->place->path, '/');
	const char *path = ".";

	b->file = b->place->path;
	if (slash != NULL) {
		b->file = slash + 1;
		path = call->host->print(
		    call, MORTISE_LIFE_CALL, "%.*s", (int)(slash - b->place->path), b->place->path);
	}
	b->dir = call->host->open_below(call, b->place->root, path, O_PATH | O_DIRECTORY, 0);
	if (b->dir < 0 && (errno == ENOENT || errno == ENOTDIR))
		return call->host->fail(call, MORTISE_E_NOTFOUND, "No such mailbox");
	if (b->dir < 0)
		return call->host->fault_errno(call, "cannot open the directory of %s", b->place->path);
	return 0;
}

static void box_free(struct mortise_call *call, struct unix_box *b)
{
	unix_lock_release(call, b);
	unix_lock_forget(b);
	if (b->fd >= 0)
		close(b->fd);
	if (b->dir >= 0)
		close(b->dir);
	free(b->trail.vanished);
	free(b->trail.changed);
	free(b->extents);
	free(b->found);
	b->magic = 0;
}

int unix_op_open(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
    struct mortise_box_info *info, void **box)
{
	struct unix_box *b = call->host->alloc(call, MORTISE_LIFE_BOX, sizeof *b);
	struct statfs fs;
	int r;

	b->magic = UNIX_BOX_MAGIC;
	b->place = place;
	b->options = call->instance->options;
	b->state = unix_state_of(call);
	b->dir = b->fd = b->lock.session = b->lock.session_idle = -1;
	b->read_only = (open_flags & MORTISE_OPEN_READ_ONLY) != 0;
	b->trail.rescan = UINT64_MAX;
	if ((r = open_directory(call, b)) == 0 && (r = open_file(call, place, &b->read_only)) >= 0) {
		b->fd = r;
		r = check_directory(call, b);
	}
	if (r < 0) {
		box_free(call, b);
		return r;
	}
	b->no_flock = fstatfs(b->fd, &fs) == 0 && fs.f_type == NFS_MAGIC;
	/* UIDVALIDITY and UIDNEXT are for sync to tell: it may know them without a look into the file. */
	info->uidvalidity = info->uidnext = 0;
	info->permanent_flags = MORTISE_FLAGS_SYSTEM;
	info->keyword_limit = (uint32_t)b->options->keyword_limit;
	info->may_create_keywords = !b->read_only && b->options->keyword_limit > 0;
	info->read_only = b->read_only;
	*box = b;
	return 0;
}

void unix_op_close(struct mortise_call *call, void *box)
{
	if (!unix_box_of(box)->checkpointed)
		unix_op_checkpoint(call, box);
	box_free(call, unix_box_of(box));
}

int unix_op_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline)
{
	return unix_lock_take(call, unix_box_of(box), mode, deadline);
}

int unix_op_watch(struct mortise_call *call, void *box, struct mortise_watch *watch)
{
	struct unix_box *b = unix_box_of(box);
	const char *slash = strrchr(b->place->path, '/');

	watch->paths[0] = b->place->path;
	watch->paths[1] = slash == NULL ? "."
	                                : call->host->print(call, MORTISE_LIFE_BOX, "%.*s",
	                                      (int)(slash - b->place->path), b->place->path);
	watch->count = 2;
	return 0;
}

int unix_pread(struct mortise_call *call, struct unix_box *b, void *p, size_t size, uint64_t offset)
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
			return call->host->fault(call, MORTISE_E_IO, "%s ends at octet %llu, too early",
			    b->place->name, (unsigned long long)offset);
		out += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

int unix_pwrite(struct mortise_call *call, struct unix_box *b, const void *p, size_t size, uint64_t offset)
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

/* The line of a block that holds octet i of it; what differs there must not be written by halves. */
static bool line_is_torn(const char *old, const char *text, size_t size, size_t i)
{
	size_t begin = i, end = i;

	while (begin > 0 && text[begin - 1] != '\n')
		begin--;
	while (end < size && text[end] != '\n')
		end++;
	if (memcmp(old + begin, text + begin, end - begin) == 0)
		return false;
	return strncmp(text + begin, "Status:", 7) != 0 && strncmp(text + begin, "X-Status:", 9) != 0;
}

static bool same_lines(const char *old, const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if ((old[i] == '\n') != (text[i] == '\n'))
			return false;
	return true;
}

/* A crash can leave the one sector new and the other old. Would that be read as something else? */
static bool patch_is_safe(const char *old, const char *text, size_t size, uint64_t offset)
{
	size_t first = 0, last = size;

	while (first < size && old[first] == text[first])
		first++;
	while (last > first && old[last - 1] == text[last - 1])
		last--;
	if (first == last || (offset + first) / SECTOR == (offset + last - 1) / SECTOR)
		return true;
	if (!same_lines(old, text, size))
		return false;
	for (uint64_t at = ((offset + first) / SECTOR + 1) * SECTOR; at < offset + last; at += SECTOR)
		if (line_is_torn(old, text, size, (size_t)(at - offset)))
			return false;
	return true;
}

int unix_patch(struct mortise_call *call, struct unix_box *b, const char *text, size_t size, uint64_t offset,
    enum unix_patch how, const char *old)
{
	char there[UNIX_BLOCK_MAX];
	size_t first = 0, last = size;
	int r;

	if (size > sizeof there)
		return call->host->fault(call, MORTISE_E_INTERNAL, "a block of %zu octets", size);
	if (old == NULL) {
		if ((r = unix_pread(call, b, there, size, offset)) != 0)
			return r;
		old = there;
	}
	while (first < size && old[first] == text[first])
		first++;
	if (first == size)
		return 0;
	if (how != UNIX_PATCH_WHATEVER && !patch_is_safe(old, text, size, offset))
		return UNIX_UNSAFE;
	if (how == UNIX_PATCH_TRY)
		return 1;
	while (old[last - 1] == text[last - 1])
		last--;
	r = unix_pwrite(call, b, text + first, last - first, offset + first);
	return r != 0 ? r : 1;
}

int unix_sync_file(struct mortise_call *call, struct unix_box *b)
{
	if (b->options->fsync && fdatasync(b->fd) != 0)
		return call->host->fault_errno(call, "cannot sync %s", b->place->name);
	return 0;
}

/*
 * Mailers say "new mail" when a file was modified after it was last read. So a change that is no new message
 * leaves it modified a second before it was read, and a new one read a second before it was modified. The
 * fraction of the second is by chance: the clock's steps are coarse, and so nobody else's change looks like
 * ours.
 */
void unix_times(struct unix_box *b, bool added)
{
	struct timespec now, times[2];
	struct timespec noise;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	clock_gettime(CLOCK_MONOTONIC, &noise);
	times[0] = times[1] = now;
	if (added) {
		times[0].tv_sec--;
		times[1].tv_nsec -= (noise.tv_nsec ^ (long)getpid() * 7919) % 1000000;
		if (times[1].tv_nsec < 0)
			times[1].tv_nsec = 0;
	} else {
		times[1].tv_sec--;
		times[1].tv_nsec = (noise.tv_nsec ^ ((long)getpid() * 7919 & 0xfffff)) % 1000000000;
	}
	(void)!futimens(b->fd, times);
}

#define STEP_MAX 20000000 /* ns: longer than the clock's steps */

static bool racy(const struct unix_print *p, int64_t *now)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	*now = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
	return p->mtime >= *now;
}

/* A fraction of a millisecond before the step began: the mailbox is not younger than its newest message. */
static void own_time(struct unix_box *b, int64_t now)
{
	struct timespec noise, times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};

	clock_gettime(CLOCK_MONOTONIC, &noise);
	now -= 1 + (noise.tv_nsec ^ (long)getpid() * 7919) % 1000000;
	times[1].tv_sec = now / 1000000000;
	times[1].tv_nsec = now % 1000000000;
	(void)!futimens(b->fd, times);
}

bool unix_calm(struct mortise_call *call, struct unix_box *b, struct unix_print *p)
{
	struct unix_print after = *p;
	int64_t now;

	if (!racy(p, &now))
		return true;
	if (unix_lock_writable(b)) {
		own_time(b, now);
		return unix_box_print(call, b, p) == 0 && !racy(p, &now);
	}
	for (unsigned i = 0; i < 4 && racy(p, &now); i++)
		if (p->mtime - now > STEP_MAX || call->host->sleep(call, STEP_MAX / 4000000) != 0)
			return false;
	return !racy(p, &now) && unix_box_print(call, b, &after) == 0 && unix_print_same(p, &after);
}

/* ---- scanning ---- */

int unix_stop(struct mortise_call *call, struct unix_box *b)
{
	unix_lock_touch(call, b);
	return b->done ? 0 : call->host->should_stop(call);
}

static int stop(void *arg)
{
	struct unix_box *b = arg;

	return unix_stop(b->call, b);
}

int unix_scanner(
    struct mortise_call *call, struct unix_box *b, uint64_t offset, uint64_t end, struct unix_scanner *s)
{
	struct unix_input input = {.fd = b->fd, .end = end, .stop = stop, .stop_arg = b};
	int r;

	b->call = call;
	r = unix_scan_open(s, &input, offset, UNIX_WINDOW);
	return r == 0 ? 0 : unix_scan_fault(call, b, s, r);
}

int unix_scan_fault(struct mortise_call *call, struct unix_box *b, const struct unix_scanner *s, int code)
{
	const struct mortise_host *h = call->host;

	switch (code) {
	case UNIX_SCAN_BAD:
		return h->fault(call, MORTISE_E_CORRUPT,
		    "%s: octet %llu should begin a \"From \" line and does not", b->place->name,
		    (unsigned long long)s->position);
	case UNIX_SCAN_IO:
		return h->fault_errno(call, "cannot read %s", b->place->name);
	case UNIX_SCAN_SHORT:
		return h->fault(call, MORTISE_E_IO, "%s became shorter while it was read, at octet %llu",
		    b->place->name, (unsigned long long)s->position);
	case UNIX_SCAN_MEMORY:
		return h->fault(call, MORTISE_E_TEMP, "no memory to read %s", b->place->name);
	default:
		return code;
	}
}

/* ---- the file's beginning ---- */

static size_t list_words(struct unix_keywords *k, const char *words, size_t size)
{
	const char *end = words + size, *word;
	size_t count = 0, n;

	while ((word = unix_next_word(&words, end, &n)) != NULL)
		count += unix_keyword_add(k, word, n, UNIX_KEYWORDS_MAX) >= 0;
	return count;
}

/*
 * Is V and L what this mailbox's programs wrote? A pseudo-message is told by its form (scan.c). X-IMAPbase
 * must be where only we write, or where and how c-client does; option `believe` moves the line.
 */
static bool base_believed(const struct unix_box *b, const struct unix_scanned *m)
{
	if (m->pseudo)
		return true;
	switch (b->options->believe) {
	case UNIX_BELIEVE_OWN:
		return m->base_place == UNIX_PLACE_HEAD;
	case UNIX_BELIEVE_BLOCKS:
		return m->base_place >= UNIX_PLACE_TAIL;
	default:
		return m->base_place >= UNIX_PLACE_LOOSE;
	}
}

void unix_base_of(struct unix_box *b, const struct unix_scanned *m)
{
	struct unix_base *base = &b->base;
	const char *words = m->words, *word;
	size_t n;

	memset(base, 0, sizeof *base);
	base->start = m->start;
	base->known = base_believed(b, m) && m->uidvalidity != 0;
	if (!base->known)
		return;
	base->pseudo = m->pseudo;
	base->in_place = m->block && m->base_block;
	base->head = m->base_place == UNIX_PLACE_HEAD;
	base->block_start = m->block_start;
	base->block_size = m->block_size;
	base->uidvalidity = m->uidvalidity;
	base->uidlast = m->uidlast;
	base->token = m->token;
	base->mark = m->mark;
	base->uid = m->uid <= m->uidlast ? m->uid : 0;
	base->gone = m->gone && m->gone_code == unix_gone_code(m->uidvalidity, m->uid);
	base->letters = m->letters;
	base->listed = list_words(&b->keywords, m->base_words, m->base_words_size);
	/* Bits of the first message, for when its block is written again. */
	while (!m->pseudo && (word = unix_next_word(&words, m->words + m->words_size, &n)) != NULL) {
		int bit = unix_keyword_find(&b->keywords, word, n);
		if (bit >= 0)
			base->keywords |= UINT64_C(1) << bit;
	}
}

int unix_base_read(struct mortise_call *call, struct unix_box *b)
{
	struct unix_scanner s;
	struct unix_scanned *m;
	struct unix_print p;
	int r = unix_box_print(call, b, &p);

	memset(&b->base, 0, sizeof b->base);
	if (r != 0 || p.size == 0)
		return r;
	m = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *m);
	if ((r = unix_scanner(call, b, 0, p.size, &s)) != 0)
		return r;
	if ((r = unix_scan_begin(&s)) == 0 && (r = unix_scan_header(&s, m)) == 1) {
		unix_base_of(b, m);
		/* Only a pseudo-message's end is asked for, and that is near. */
		if (b->base.pseudo) {
			unix_scan_seek(&s, m->start);
			if ((r = unix_scan_next(&s, m)) == 1)
				b->base.next = m->next;
		}
	}
	if (r < 0)
		r = unix_scan_fault(call, b, &s, r);
	unix_scan_close(&s);
	return r < 0 ? r : 0;
}
