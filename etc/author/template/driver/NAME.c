/*
 * @NAME@: a mailbox driver. Begin by changing this paragraph: what is the format, who else writes it?
 *
 * As it stands it is a whole, small format. A mailbox is a directory. A message is a file in it, CRLF text, named
 * UID.FLAGS, where FLAGS are letters: S seen, D deleted, F flagged, A answered, T draft ("17.SA"). The file
 * ".@NAME@" holds two numbers, UIDVALIDITY and UIDNEXT; a file whose number is not below UIDNEXT is not (yet) a
 * message. So a batch of new messages arrives at once, when that one file is replaced; a crash before leaves files
 * that nobody sees and the next append writes over. The lock is flock(2) on the directory.
 *
 * What every callback may expect and must promise stands in <mortise/driver.h>, what it may call in
 * <mortise/host.h>.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <mortise/driver.h>

#define STATE_FILE ".@NAME@"
#define STATE_TEMP ".@NAME@.new"
#define NAME_MAX_HERE 24 /* 10 digits, '.', 5 letters, NUL, and room */

/* ---- options: imapd.conf's module = { @NAME@ = { … }; }; ---- */

struct options {
	uint64_t message_limit;
};

static const struct mortise_option option_table[] = {
	MORTISE_OPTION(struct options, message_limit, UINT, "1000000", .min = "1", .max = "4000000000",
		.since = "0.1", .help = "messages a mailbox may have",
		.detail = "A mailbox with more is not opened, an append beyond it is refused."),
};

/* ---- an open mailbox ---- */

struct entry {
	uint32_t uid;
	uint32_t flags;
};

struct box {
	int dir;
	int mode; /* MORTISE_LOCK_… */
	bool read_only;
	uint32_t uidvalidity, uidnext;
	struct entry *entries; /* rising UID */
	size_t count, room;
	int fd; /* of the message that was last read, or -1 */
	struct mortise_extent extent;
};

static const struct {
	char letter;
	uint32_t flag;
} letters[] = {
	{'S', MORTISE_FLAG_SEEN},
	{'D', MORTISE_FLAG_DELETED},
	{'F', MORTISE_FLAG_FLAGGED},
	{'A', MORTISE_FLAG_ANSWERED},
	{'T', MORTISE_FLAG_DRAFT},
};
#define LETTERS (sizeof(letters) / sizeof(letters[0]))

static void make_name(char name[NAME_MAX_HERE], uint32_t uid, uint32_t flags)
{
	int n = snprintf(name, NAME_MAX_HERE, "%" PRIu32 ".", uid);
	size_t i;

	for (i = 0; i < LETTERS; i++)
		if ((flags & letters[i].flag) != 0)
			name[n++] = letters[i].letter;
	name[n] = '\0';
}

/* False for whatever else may lie in the directory. */
static bool parse_name(const char *name, struct entry *out)
{
	uint64_t uid = 0;
	size_t i;

	if (*name < '1' || *name > '9')
		return false;
	for (; *name >= '0' && *name <= '9'; name++) {
		uid = uid * 10 + (uint64_t)(*name - '0');
		if (uid > UINT32_MAX)
			return false;
	}
	if (*name++ != '.')
		return false;
	out->uid = (uint32_t)uid;
	out->flags = 0;
	for (; *name != '\0'; name++) {
		for (i = 0; i < LETTERS && letters[i].letter != *name; i++)
			continue;
		if (i == LETTERS)
			return false;
		out->flags |= letters[i].flag;
	}
	return true;
}

/* ---- the state file ---- */

static int read_state(struct mortise_call *call, int dir, uint32_t *uidvalidity, uint32_t *uidnext)
{
	char text[64] = "";
	int fd = openat(dir, STATE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), n;
	ssize_t got;

	if (fd < 0)
		return call->host->fault_errno(call, STATE_FILE);
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got < 0)
		return call->host->fault_errno(call, STATE_FILE);
	n = sscanf(text, "%10" SCNu32 " %10" SCNu32, uidvalidity, uidnext);
	if (n != 2 || *uidvalidity == 0 || *uidnext == 0)
		return call->host->fault(call, MORTISE_E_CORRUPT, STATE_FILE " does not hold two numbers");
	return 0;
}

/* Replaces the file; what it says is durable when this returns 0. */
static int write_state(struct mortise_call *call, int dir, uint32_t uidvalidity, uint32_t uidnext, mode_t mode)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%" PRIu32 " %" PRIu32 "\n", uidvalidity, uidnext);
	int fd = openat(dir, STATE_TEMP, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode), r = 0;

	if (fd < 0)
		return call->host->fault_errno(call, STATE_TEMP);
	if (write(fd, text, (size_t)n) != n || fsync(fd) != 0)
		r = call->host->fault_errno(call, STATE_TEMP);
	close(fd);
	if (r == 0 && (renameat(dir, STATE_TEMP, dir, STATE_FILE) != 0 || fsync(dir) != 0))
		r = call->host->fault_errno(call, STATE_FILE);
	return r;
}

/* ---- reading the directory ---- */

static int by_uid(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->uid < y->uid ? -1 : x->uid > y->uid;
}

static int add_entry(struct mortise_call *call, struct box *box, const struct entry *e)
{
	const struct options *o = call->instance->options;
	struct entry *more;

	if (box->count == o->message_limit)
		return call->host->fail(call, MORTISE_E_LIMIT, "Mailbox has more than %" PRIu64 " messages",
			o->message_limit);
	if (box->count == box->room) {
		more = realloc(box->entries, (box->room * 2 + 64) * sizeof(more[0]));
		if (more == NULL)
			return call->host->fault_errno(call, "%zu messages", box->count);
		box->room = box->room * 2 + 64;
		box->entries = more;
	}
	box->entries[box->count++] = *e;
	return 0;
}

/* Fills box->entries with what is in the directory now. */
static int scan(struct mortise_call *call, struct box *box)
{
	int fd = openat(box->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *file;
	struct entry e;

	if (d == NULL) {
		r = call->host->fault_errno(call, "directory");
		if (fd >= 0)
			close(fd);
		return r;
	}
	box->count = 0;
	r = read_state(call, box->dir, &box->uidvalidity, &box->uidnext);
	while (r == 0 && (errno = 0, file = readdir(d)) != NULL) {
		r = call->host->should_stop(call);
		if (r == 0 && parse_name(file->d_name, &e) && e.uid < box->uidnext)
			r = add_entry(call, box, &e);
	}
	if (r == 0 && errno != 0)
		r = call->host->fault_errno(call, "directory");
	closedir(d);
	if (box->count > 1)
		qsort(box->entries, box->count, sizeof(box->entries[0]), by_uid);
	return r;
}

static struct entry *find(struct box *box, uint32_t uid)
{
	struct entry wanted = {.uid = uid};

	return box->count == 0 ? NULL
	                       : bsearch(&wanted, box->entries, box->count, sizeof(wanted), by_uid);
}

/* ---- recognise, create, open, close ---- */

static int recognise(struct mortise_call *call, const struct mortise_probe *probe)
{
	(void)call;
	if (!S_ISDIR(probe->st->st_mode) || faccessat(probe->fd, STATE_FILE, F_OK, 0) != 0)
		return MORTISE_NOT_MINE;
	return MORTISE_MINE;
}

/* The directory that place->path lies in, opened below the root, and the last part of the path. */
static int open_parent(struct mortise_call *call, const struct mortise_place *place, const char **last)
{
	const char *slash = strrchr(place->path, '/');
	const char *parent = slash == NULL ? "." : call->host->print(call, MORTISE_LIFE_CALL, "%.*s",
						   (int)(slash - place->path), place->path);

	*last = slash == NULL ? place->path : slash + 1;
	return call->host->open_below(call, place->root, parent, O_PATH | O_DIRECTORY, 0);
}

static int create(struct mortise_call *call, const struct mortise_place *place)
{
	uint32_t uidvalidity = (uint32_t)time(NULL);
	const char *last;
	int parent = open_parent(call, place, &last), dir, r;

	if (parent < 0)
		return call->host->fault_errno(call, "%s", place->path);
	r = mkdirat(parent, last, place->dir_mode);
	dir = r == 0 ? openat(parent, last, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : -1;
	if (dir < 0)
		r = call->host->fault_errno(call, "%s", place->path);
	close(parent);
	if (dir < 0)
		return r;
	r = write_state(call, dir, uidvalidity, 1, place->file_mode);
	close(dir);
	return r;
}

static int open_box(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
	struct mortise_box_info *info, void **out)
{
	struct box *box = call->host->alloc(call, MORTISE_LIFE_BOX, sizeof(*box));
	int r;

	box->fd = -1;
	box->dir = call->host->open_below(call, place->root, place->path, O_RDONLY | O_DIRECTORY, 0);
	if (box->dir < 0)
		return call->host->fault_errno(call, "%s", place->path);
	r = read_state(call, box->dir, &box->uidvalidity, &box->uidnext);
	if (r != 0) {
		close(box->dir);
		return r;
	}
	box->read_only = (open_flags & MORTISE_OPEN_READ_ONLY) != 0 || faccessat(box->dir, ".", W_OK, 0) != 0;
	info->uidvalidity = box->uidvalidity;
	info->uidnext = box->uidnext;
	info->permanent_flags = MORTISE_FLAGS_SYSTEM;
	info->read_only = box->read_only;
	*out = box;
	return 0;
}

static void close_box(struct mortise_call *call, void *opened)
{
	struct box *box = opened;

	(void)call;
	if (box->fd >= 0)
		close(box->fd);
	close(box->dir); /* and with it the lock */
	free(box->entries);
}

/* ---- lock ---- */

static int lock(struct mortise_call *call, void *opened, int mode, uint64_t deadline)
{
	struct box *box = opened;
	int how = mode == MORTISE_LOCK_NONE ? LOCK_UN : mode == MORTISE_LOCK_SHARED ? LOCK_SH : LOCK_EX;

	while (flock(box->dir, how | LOCK_NB) != 0) {
		int r;

		if (errno != EWOULDBLOCK && errno != EINTR)
			return call->host->fault_errno(call, "flock");
		if (call->host->now(call) >= deadline)
			return call->host->fault(call, MORTISE_E_INUSE, "another process holds the lock");
		r = call->host->sleep(call, 20);
		if (r != 0)
			return r;
	}
	box->mode = mode;
	return 0;
}

/* ---- sync, read ---- */

/* What a cursor holds: the directory as it was. */
struct seen {
	struct timespec mtime;
	uint32_t uidvalidity, uidnext;
};

static int tell(struct mortise_call *call, struct box *box, const struct mortise_sink *sink)
{
	size_t i;
	int r = sink->full_scan(sink->engine, box->uidvalidity);

	for (i = 0; i < box->count && r == 0; i++) {
		struct mortise_message m = {.size = sizeof(m), .uid = box->entries[i].uid,
			.flags = box->entries[i].flags};
		char name[NAME_MAX_HERE];
		struct stat st;

		r = call->host->should_stop(call);
		make_name(name, m.uid, m.flags);
		/* Gone, or renamed, since the directory was read: the next sync will tell. */
		if (r != 0 || fstatat(box->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
			continue;
		m.internal_date = st.st_mtim.tv_sec;
		m.octets = (uint64_t)st.st_size;
		r = sink->added(sink->engine, &m);
	}
	return r != 0 ? r : sink->uidnext(sink->engine, box->uidnext);
}

static int sync_box(
	struct mortise_call *call, void *opened, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	struct box *box = opened;
	struct seen now = {{0, 0}, 0, 0}, before;
	struct stat st;
	int r;

	/* Taken before the scan: what happens during it makes the next sync look again. */
	if (fstat(box->dir, &st) != 0)
		return call->host->fault_errno(call, "directory");
	memcpy(&before, cursor->data, sizeof(before));
	if (cursor->size == sizeof(before) && before.mtime.tv_sec == st.st_mtim.tv_sec &&
		before.mtime.tv_nsec == st.st_mtim.tv_nsec)
		return 0;
	r = scan(call, box);
	if (r == 0)
		r = tell(call, box, sink);
	if (r != 0)
		return r;
	now.mtime = st.st_mtim;
	now.uidvalidity = box->uidvalidity;
	now.uidnext = box->uidnext;
	/* Two changes in one tick of the clock cannot be told apart: trust only what is older. */
	if (time(NULL) - now.mtime.tv_sec < 2)
		now.mtime.tv_nsec = -1;
	memcpy(cursor->data, &now, sizeof(now));
	cursor->size = sizeof(now);
	return 0;
}

static int read_message(
	struct mortise_call *call, void *opened, const struct mortise_ref *ref, struct mortise_source *source)
{
	struct box *box = opened;
	int tries, r;
	struct stat st;

	if (box->fd >= 0)
		close(box->fd);
	box->fd = -1;
	for (tries = 0; tries < 2 && box->fd < 0; tries++) {
		const struct entry *e;
		char name[NAME_MAX_HERE];

		/* Another session may have changed the flags, and so the name. */
		if ((tries > 0 || box->count == 0) && (r = scan(call, box)) != 0)
			return r;
		e = find(box, ref->uid);
		if (e == NULL)
			continue;
		make_name(name, e->uid, e->flags);
		box->fd = openat(box->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (box->fd < 0 && errno != ENOENT)
			return call->host->fault_errno(call, "%s", name);
	}
	if (box->fd < 0)
		return call->host->fail(call, MORTISE_E_EXPUNGED, "Message is gone");
	if (fstat(box->fd, &st) != 0)
		return call->host->fault_errno(call, "message %" PRIu32, ref->uid);
	box->extent.offset = 0;
	box->extent.length = (uint64_t)st.st_size;
	source->fd = box->fd;
	source->newline = MORTISE_NEWLINE_CRLF;
	source->extents = &box->extent;
	source->extent_count = 1;
	return 0;
}

/* ---- append ---- */

struct piece {
	uint32_t flags;
	char name[NAME_MAX_HERE + 16];
};

struct transaction {
	struct box *box;
	struct piece *pieces;
	size_t count, room;
	int fd; /* of the last piece */
	int64_t date;
	char id[17];
};

static int append_begin(struct mortise_call *call, void *box, void **out)
{
	struct transaction *t = calloc(1, sizeof(*t));
	uint64_t number;

	if (t == NULL)
		return call->host->fault_errno(call, "append");
	call->host->random(call, &number, sizeof(number));
	snprintf(t->id, sizeof(t->id), "%016" PRIx64, number);
	t->box = box;
	t->fd = -1;
	*out = t;
	return 0;
}

/* Makes the text of the last piece durable. */
static int finish_piece(struct mortise_call *call, struct transaction *t)
{
	const struct timespec times[2] = {{0, UTIME_OMIT}, {t->date, 0}};
	int r = 0;

	if (t->fd < 0)
		return 0;
	if (futimens(t->fd, times) != 0 || fsync(t->fd) != 0)
		r = call->host->fault_errno(call, "%s", t->pieces[t->count - 1].name);
	close(t->fd);
	t->fd = -1;
	return r;
}

static int append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	struct transaction *t = tx;
	struct piece *p, *more;
	int r = finish_piece(call, t);

	if (r != 0)
		return r;
	if (t->count == t->room) {
		more = realloc(t->pieces, (t->room * 2 + 4) * sizeof(more[0]));
		if (more == NULL)
			return call->host->fault_errno(call, "%zu messages", t->count);
		t->room = t->room * 2 + 4;
		t->pieces = more;
	}
	p = &t->pieces[t->count];
	p->flags = info->flags & MORTISE_FLAGS_SYSTEM;
	snprintf(p->name, sizeof(p->name), ".new-%s-%zu", t->id, t->count);
	t->fd = openat(t->box->dir, p->name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (t->fd < 0)
		return call->host->fault_errno(call, "%s", p->name);
	t->count++;
	t->date = info->internal_date;
	return 0;
}

static int append_write(struct mortise_call *call, void *tx, const void *octets, size_t size)
{
	struct transaction *t = tx;
	const char *p = octets;

	while (size > 0) {
		ssize_t n = write(t->fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return call->host->fault_errno(call, "%s", t->pieces[t->count - 1].name);
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

static void append_abort(struct mortise_call *call, void *tx)
{
	struct transaction *t = tx;
	size_t i;

	(void)call;
	if (t->fd >= 0)
		close(t->fd);
	/* After a commit those names are gone already. */
	for (i = 0; i < t->count; i++)
		unlinkat(t->box->dir, t->pieces[i].name, 0);
	free(t->pieces);
	free(t);
}

/* Under the lock: gives the pieces their names, then makes them messages by raising UIDNEXT. */
static int publish(
	struct mortise_call *call, struct transaction *t, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	const struct options *o = call->instance->options;
	struct box *box = t->box;
	struct stat st;
	size_t i;
	int r = scan(call, box);

	if (r != 0)
		return r;
	if (box->count + t->count > o->message_limit || UINT32_MAX - box->uidnext < t->count)
		return call->host->fail(call, MORTISE_E_LIMIT, "Mailbox may have %" PRIu64 " messages",
			o->message_limit);
	for (i = 0; i < t->count; i++) {
		char name[NAME_MAX_HERE];

		make_name(name, box->uidnext + (uint32_t)i, t->pieces[i].flags);
		if (renameat(box->dir, t->pieces[i].name, box->dir, name) != 0)
			return call->host->fault_errno(call, "%s", name);
		if (i < count)
			uids[i] = box->uidnext + (uint32_t)i;
	}
	*uidvalidity = box->uidvalidity;
	if (fsync(box->dir) != 0 || fstatat(box->dir, STATE_FILE, &st, 0) != 0)
		return call->host->fault_errno(call, STATE_FILE);
	return write_state(call, box->dir, box->uidvalidity, box->uidnext + (uint32_t)t->count, st.st_mode & 0777);
}

/* Files that a crash left behind UIDNEXT: they never were messages. A later one may not find them there. */
static int clear_leftovers(struct mortise_call *call, struct box *box)
{
	int fd = openat(box->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *file;
	struct entry e;
	int r;

	if (d == NULL)
		return call->host->fault_errno(call, "directory");
	r = read_state(call, box->dir, &box->uidvalidity, &box->uidnext);
	while (r == 0 && (file = readdir(d)) != NULL)
		if (parse_name(file->d_name, &e) && e.uid >= box->uidnext)
			unlinkat(box->dir, file->d_name, 0);
	closedir(d);
	return r;
}

static int append_commit(
	struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	struct transaction *t = tx;
	struct box *box = t->box;
	int mode = box->mode;
	uint64_t deadline = call->host->deadline(call);
	int r = finish_piece(call, t);

	if (r == 0 && mode != MORTISE_LOCK_EXCLUSIVE)
		r = lock(call, box, MORTISE_LOCK_EXCLUSIVE, deadline != 0 ? deadline : call->host->now(call) + 30000);
	if (r == 0)
		r = clear_leftovers(call, box);
	if (r == 0)
		r = publish(call, t, uidvalidity, uids, count);
	if (box->mode != mode)
		(void)lock(call, box, mode, 0);
	append_abort(call, t);
	return r;
}

/* ---- flags, expunge ---- */

static int set_flags(
	struct mortise_call *call, void *opened, const struct mortise_flag_change *changes, size_t count)
{
	struct box *box = opened;
	int r = scan(call, box);
	size_t i;

	for (i = 0; i < count && r == 0; i++) {
		struct entry *e = find(box, changes[i].ref.uid);
		uint32_t flags = changes[i].flags & MORTISE_FLAGS_SYSTEM;
		char from[NAME_MAX_HERE], to[NAME_MAX_HERE];

		if (e == NULL || e->flags == flags)
			continue;
		make_name(from, e->uid, e->flags);
		make_name(to, e->uid, flags);
		if (renameat(box->dir, from, box->dir, to) != 0)
			r = call->host->fault_errno(call, "%s", from);
		else
			e->flags = flags;
	}
	if (r == 0 && fsync(box->dir) != 0)
		r = call->host->fault_errno(call, "directory");
	return r;
}

static int expunge(struct mortise_call *call, void *opened, const struct mortise_ref *refs, size_t count)
{
	struct box *box = opened;
	int r = scan(call, box);
	size_t i;

	for (i = 0; i < count && r == 0; i++) {
		const struct entry *e = find(box, refs[i].uid);
		char name[NAME_MAX_HERE];

		if (e == NULL)
			continue;
		make_name(name, e->uid, e->flags);
		if (unlinkat(box->dir, name, 0) != 0 && errno != ENOENT)
			r = call->host->fault_errno(call, "%s", name);
	}
	if (r == 0 && fsync(box->dir) != 0)
		r = call->host->fault_errno(call, "directory");
	return r;
}

/* Optional, but a directory cannot be unlinked by the engine. What lies in it besides our files stays. */
static int remove_box(struct mortise_call *call, const struct mortise_place *place)
{
	const char *last;
	int parent = open_parent(call, place, &last), fd, r = 0;
	struct dirent *file;
	struct entry e;
	DIR *d;

	if (parent < 0)
		return call->host->fault_errno(call, "%s", place->path);
	fd = openat(parent, last, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		r = call->host->fault_errno(call, "%s", place->path);
		close(parent);
		return r;
	}
	/* First what makes it a mailbox. */
	if (unlinkat(dirfd(d), STATE_FILE, 0) != 0)
		r = call->host->fault_errno(call, STATE_FILE);
	while (r == 0 && (file = readdir(d)) != NULL)
		if (parse_name(file->d_name, &e) || strncmp(file->d_name, ".new-", 5) == 0 ||
			strcmp(file->d_name, STATE_TEMP) == 0)
			unlinkat(dirfd(d), file->d_name, 0);
	closedir(d);
	if (r == 0 && unlinkat(parent, last, AT_REMOVEDIR) != 0 && errno != ENOTEMPTY && errno != EEXIST)
		r = call->host->fault_errno(call, "%s", place->path);
	close(parent);
	return r;
}

/* ---- the module ---- */

static const struct mortise_traits traits = {
	.size = sizeof(struct mortise_traits),
	.uid = MORTISE_TRAIT_NATIVE,
	.keywords = MORTISE_TRAIT_EMULATE,
	.modseq = MORTISE_TRAIT_EMULATE,
	.multi_writer = true,
	.directory = true,
	.newline = MORTISE_NEWLINE_CRLF,
};

static const struct mortise_driver_ops ops = {
	.size = sizeof(struct mortise_driver_ops),
	.traits = &traits,
	.recognise = recognise,
	.create = create,
	.open = open_box,
	.sync = sync_box,
	.read = read_message,
	.append_begin = append_begin,
	.append_message = append_message,
	.append_write = append_write,
	.append_commit = append_commit,
	.append_abort = append_abort,
	.set_flags = set_flags,
	.expunge = expunge,
	.lock = lock,
	.close = close_box,
	.remove = remove_box,
};

MORTISE_MODULE(@IDENT@,
	.kind = MORTISE_KIND_DRIVER,
	.api_major = MORTISE_DRIVER_MAJOR,
	.api_minor = MORTISE_DRIVER_MINOR,
	.name = "@NAME@",
	.version = "0.1",
	.summary = "mailboxes that are directories with a file for each message",
	.licence = "Apache-2.0",
	.url = "https://example.org/mortise-@NAME@",
	.options = option_table,
	.option_count = sizeof(option_table) / sizeof(option_table[0]),
	.instance_size = sizeof(struct options),
	.ops = &ops);
