/*
 * scan.c: what is in the folder.
 *
 * One readdir, and when a box looks for the first time one statx for each message: a number and an inode
 * alone would not do, because a file that was removed gives both away to the next one. The folder is as it
 * was when the directory and .mh_sequences have not changed since; their times of change (ctime: a restore or
 * rsync sets mtimes back) are what the cursor holds. A time that is too young could hide another change
 * within the same tick and is not kept; nor is anything while a file may still be written to, which does not
 * show in the directory (inc writes into the folder).
 *
 * Afterwards a box knows the list, and looks only at what is new in it, a file whose number or inode is
 * another, and from the last one of the others down until one is found to be what it was: whoever makes a
 * message gives it a number above all others, so below one that stayed all that are still there stayed, too.
 * What is missed so: a message that was changed where it is without another name (nobody's way but that of
 * `anno -inplace` and of editors that are told so), and one that was removed and whose inode came back under
 * the same number by way of another folder (`refile -preserve`) or of `sortm`, all between two looks. It is
 * found when the message is read, since that compares, or when the folder changes and every file was looked
 * at EVERY minutes ago, or is opened anew.
 *
 * The internal date is the file's time of modification. A zone that came with it is in the last digits of
 * the nanoseconds of files we make: they are (minutes + 1440) * 1000 + 7, and another file's are hardly ever.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "box.h"

#define SECOND INT64_C(1000000000)
#define CURSOR_VERSION 1u
#define EVERY (10 * 60 * SECOND)
#define NOT_LOOKED_AT UINT32_MAX /* in the place of an ordinal: as it was before */

static int64_t nanoseconds(int64_t seconds, uint32_t fraction)
{
	const int64_t most = INT64_MAX / SECOND - 1;

	return (seconds > most ? most : seconds < -most ? -most : seconds) * SECOND + fraction;
}

static int64_t time_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return nanoseconds(now.tv_sec, (uint32_t)now.tv_nsec);
}

/* Two changes in one tick of the clock; where times have fractions a tick is a few milliseconds. */
static bool young_at(int64_t time, int64_t now)
{
	return now - time < (time % SECOND != 0 ? SECOND / 10 : 2 * SECOND);
}

static bool young(int64_t time)
{
	return young_at(time, time_now());
}

/* A time somebody set is not young because it is in the future. */
static bool being_written(int64_t mtime, int64_t now)
{
	return mtime < now + 2 * SECOND && young_at(mtime, now);
}

bool mh_number(const char *name, uint32_t *out)
{
	uint64_t n = 0;
	size_t i;

	if (name[0] < '1' || name[0] > '9')
		return false;
	for (i = 0; name[i] != '\0'; i++) {
		if (name[i] < '0' || name[i] > '9' || i == 10)
			return false;
		n = n * 10 + (uint64_t)(name[i] - '0');
	}
	*out = (uint32_t)n;
	return n <= NUMBER_LIMIT;
}

/* ---- identity ---- */

bool mh_look(int dir, const char *name, struct mh_entry *e, unsigned *links)
{
	struct statx st;

	if (statx(dir, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &st) != 0)
		return false;
	*e = (struct mh_entry){.inode = st.stx_ino,
	    .mtime = nanoseconds(st.stx_mtime.tv_sec, st.stx_mtime.tv_nsec),
	    .size = st.stx_size};
	if ((st.stx_mask & STATX_BTIME) != 0)
		e->birth = nanoseconds(st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
	if (links != NULL)
		*links = st.stx_nlink;
	errno = 0;
	return S_ISREG(st.stx_mode);
}

bool mh_entry_same(const struct mh_entry *a, const struct mh_entry *b)
{
	return a->inode == b->inode && a->birth == b->birth && a->mtime == b->mtime && a->size == b->size;
}

bool mh_is_there(const struct mh_box *b, const struct mh_entry *e)
{
	struct mh_entry now;
	char name[16];

	snprintf(name, sizeof(name), "%" PRIu32, e->number);
	return mh_look(b->dir, name, &now, NULL) && mh_entry_same(&now, e);
}

void mh_locator_write(const struct mh_entry *e, unsigned char *locator, uint8_t *size, size_t *identity_size)
{
	const size_t identity = offsetof(struct mh_entry, number);

	_Static_assert(sizeof(struct mh_entry) == 40 && sizeof(*e) <= MORTISE_LOCATOR_MAX, "no holes");
	memcpy(locator, e, sizeof(*e));
	*size = sizeof(*e);
	if (identity_size != NULL)
		*identity_size = identity;
}

bool mh_locator_read(const struct mortise_ref *ref, struct mh_entry *e)
{
	if (ref->locator_size != sizeof(*e))
		return false;
	memcpy(e, ref->locator, sizeof(*e));
	return e->number > 0 && e->number <= NUMBER_LIMIT;
}

/* ---- dates ---- */

#define ZONES 1440 /* minutes east or west at most */

struct timespec mh_time_of(int64_t date, int32_t zone)
{
	if (zone <= -ZONES || zone >= ZONES)
		zone = 0;
	return (struct timespec){.tv_sec = date, .tv_nsec = (zone + ZONES) * 1000 + 7};
}

static bool is_ours(int64_t fraction)
{
	return fraction % 1000 == 7 && fraction / 1000 < 2 * ZONES;
}

static int32_t zone_of(int64_t mtime)
{
	int64_t fraction = (mtime % SECOND + SECOND) % SECOND;

	return is_ours(fraction) ? (int32_t)(fraction / 1000 - ZONES) : 0;
}

/*
 * Delivery agents (procmail, rcvstore) leave the mbox line "From x date" before some messages; it is none of
 * theirs. What a client gave us begins where it begins.
 */
uint64_t mh_text_start(int fd, const struct stat *st)
{
	char head[1024];
	ssize_t n = is_ours(st->st_mtim.tv_nsec) ? 0 : pread(fd, head, sizeof(head), 0);
	const char *end = n > 5 && memcmp(head, "From ", 5) == 0 ? memchr(head, '\n', (size_t)n) : NULL;
	uint64_t start = end != NULL ? (uint64_t)(end + 1 - head) : 0;

	return start <= (uint64_t)st->st_size ? start : 0;
}

/* ---- the directory ---- */

static int list_room(struct mortise_call *call, struct mh_box *b, struct mh_list *list)
{
	struct mh_entry *more;

	if (list->count >= b->options->message_limit)
		return call->host->fail(call, MORTISE_E_LIMIT, "Mailbox has more than %" PRIu64 " messages",
		    b->options->message_limit);
	if (list->count < list->room)
		return 0;
	more = realloc(list->v, (list->room * 2 + 64) * sizeof(*more));
	if (more == NULL)
		return call->host->fault_errno(call, "%zu messages", list->count);
	list->v = more;
	list->room = list->room * 2 + 64;
	return 0;
}

/* Not a message: perhaps ours. */
static int other_name(struct mortise_call *call, struct mh_box *b, struct mh_list *list, const char *name)
{
	if (strncmp(name, TEMPORARY, sizeof(TEMPORARY) - 1) != 0)
		return 0;
	if (strncmp(name, BATCH, sizeof(BATCH) - 1) != 0) {
		if (!b->read_only)
			mh_sweep(b, name);
		return 0;
	}
	if (list->batch_count == BATCHES)
		return 0;
	list->batches[list->batch_count] = strdup(name);
	if (list->batches[list->batch_count] == NULL)
		return call->host->fault_errno(call, "%s", name);
	list->batch_count++;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint32_t p = ((const struct mh_entry *)a)->number, q = ((const struct mh_entry *)b)->number;

	return p < q ? -1 : p > q;
}

/* As the file is that has this number. 1, 0 none has, or a code. */
static int look_at(
    struct mortise_call *call, struct mh_box *b, struct mh_list *list, uint32_t number, struct mh_entry *e)
{
	unsigned links;
	char name[16];

	snprintf(name, sizeof(name), "%" PRIu32, number);
	if (!mh_look(b->dir, name, e, &links))
		return errno == 0 || errno == ENOENT
		           ? 0
		           : call->host->fault_errno(call, "%s/%s", b->place->path, name);
	e->number = number;
	list->young = list->young || being_written(e->mtime, time_now());
	list->linked = list->linked || links > 1;
	return 1;
}

/* The one that was there before with this number, if it seems to be still it and nobody wrote to it then. */
static const struct mh_entry *seems_old(const struct mh_list *old, const struct dirent *d, uint32_t number)
{
	const struct mh_entry wanted = {.number = number};
	const struct mh_entry *e = NULL;

	if (old != NULL && old->count > 0 && d->d_type == DT_REG)
		e = bsearch(&wanted, old->v, old->count, sizeof(wanted), by_number);
	return e != NULL && e->inode == d->d_ino && !being_written(e->mtime, old->looked) ? e : NULL;
}

static int one_name(struct mortise_call *call, struct mh_box *b, struct mh_list *list, bool names_only,
    const struct mh_list *old, const struct dirent *d)
{
	const struct mh_entry *known;
	struct mh_entry e;
	uint32_t number;
	int r;

	if (!mh_number(d->d_name, &number))
		return other_name(call, b, list, d->d_name);
	if (number > list->highest)
		list->highest = number;
	list->names++;
	if (names_only || (d->d_type != DT_REG && d->d_type != DT_UNKNOWN))
		return 0;
	known = seems_old(old, d, number);
	if (known != NULL) {
		e = *known;
		e.ordinal = NOT_LOOKED_AT;
	} else if ((r = look_at(call, b, list, number, &e)) <= 0) {
		return r;
	}
	r = list_room(call, b, list);
	if (r == 0)
		list->v[list->count++] = e;
	return r;
}

static DIR *open_list(struct mh_box *b)
{
	int fd = openat(b->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	if (d == NULL && fd >= 0)
		close(fd);
	return d;
}

static int by_inode(const void *a, const void *b)
{
	uint64_t p = ((const struct mh_entry *)a)->inode, q = ((const struct mh_entry *)b)->inode;

	return p < q ? -1 : p > q ? 1 : by_number(a, b);
}

static void count_links(struct mh_list *list)
{
	size_t i;

	qsort(list->v, list->count, sizeof(*list->v), by_inode);
	for (i = 1; i < list->count; i++)
		if (mh_entry_same(&list->v[i], &list->v[i - 1]))
			list->v[i].ordinal = list->v[i - 1].ordinal + 1;
}

/* From the last one down until one is what it was: see above. */
static int look_again(struct mortise_call *call, struct mh_box *b, struct mh_list *list)
{
	bool as_before = false;
	size_t i, n = 0;

	for (i = list->count; i-- > 0;) {
		struct mh_entry *e = &list->v[i], now;
		int r;

		if (e->ordinal != NOT_LOOKED_AT)
			continue;
		e->ordinal = 0;
		if (as_before)
			continue;
		r = look_at(call, b, list, e->number, &now);
		if (r < 0)
			return r;
		as_before = r > 0 && mh_entry_same(&now, e);
		*e = r > 0 ? now : (struct mh_entry){.number = 0};
	}
	for (i = 0; i < list->count; i++)
		if (list->v[i].number != 0)
			list->v[n++] = list->v[i];
	list->count = n;
	return 0;
}

int mh_scan(struct mortise_call *call, struct mh_box *b, bool names_only, const struct mh_list *old,
    struct mh_list *list)
{
	DIR *dir = open_list(b);
	struct dirent *d;
	size_t i, n, seen = 0;
	int r = 0;

	*list = (struct mh_list){.looked = time_now()};
	if (old != NULL && (old->linked || list->looked - old->all >= EVERY || list->looked < old->looked))
		old = NULL;
	list->all = old != NULL ? old->all : list->looked;
	if (dir == NULL)
		return call->host->fault_errno(call, "%s", b->place->path);
	while (r == 0 && (errno = 0, d = readdir(dir)) != NULL) {
		r = one_name(call, b, list, names_only, old, d);
		if (r == 0 && ++seen % STOP_EVERY == 0)
			r = call->host->should_stop(call);
	}
	if (r == 0 && errno != 0)
		r = call->host->fault_errno(call, "%s", b->place->path);
	closedir(dir);
	if (r != 0 || list->count == 0)
		return r;
	qsort(list->v, list->count, sizeof(*list->v), by_number);
	/* A name that came and went while the directory was read may be there twice. */
	for (i = n = 1; i < list->count; i++)
		if (list->v[i].number != list->v[n - 1].number)
			list->v[n++] = list->v[i];
	list->count = n;
	r = look_again(call, b, list);
	if (r == 0 && list->linked) {
		count_links(list);
		qsort(list->v, list->count, sizeof(*list->v), by_number);
	}
	return r;
}

void mh_list_free(struct mh_list *list)
{
	size_t i;

	free(list->v);
	for (i = 0; i < list->batch_count; i++)
		free(list->batches[i]);
	*list = (struct mh_list){0};
}

/* ---- one message ---- */

static int open_number(const struct mh_box *b, const struct mh_entry *e, uint32_t number)
{
	struct mh_entry now;
	char name[16];
	int fd;

	snprintf(name, sizeof(name), "%" PRIu32, number);
	fd = openat(b->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -1;
	if (mh_look(fd, "", &now, NULL) && mh_entry_same(&now, e))
		return fd;
	close(fd);
	errno = ENOENT;
	return -1;
}

/* A number that the file has now; 0 none. */
static uint32_t find_number(struct mh_box *b, const struct mh_entry *e)
{
	DIR *dir = open_list(b);
	uint32_t number, found = 0;
	struct dirent *d;

	while (dir != NULL && found == 0 && (d = readdir(dir)) != NULL)
		if (d->d_ino == e->inode && mh_number(d->d_name, &number))
			found = number;
	if (dir != NULL)
		closedir(dir);
	return found;
}

int mh_open_message(struct mortise_call *call, struct mh_box *b, const struct mortise_ref *ref, int *fd)
{
	struct mh_entry e;

	*fd = -1;
	if (!mh_locator_read(ref, &e))
		return 0;
	*fd = open_number(b, &e, e.number);
	if (*fd < 0 && (errno == ENOENT || errno == ELOOP || errno == ENXIO)) {
		uint32_t number;

		b->again = true;
		number = find_number(b, &e);
		errno = ENOENT;
		if (number != 0)
			*fd = open_number(b, &e, number);
	}
	if (*fd < 0 && errno != ENOENT && errno != ELOOP && errno != ENXIO)
		return call->host->fault_errno(call, "%s/%" PRIu32, b->place->path, e.number);
	return 0;
}

/* ---- sync ---- */

/* What a cursor holds. */
struct seen {
	uint32_t version;
	uint32_t names; /* of the sequences that are flags */
	uint64_t dir_inode;
	int64_t dir_ctime;
	uint64_t file_inode;
	int64_t file_ctime;
	uint64_t file_size;
};
_Static_assert(sizeof(struct seen) == 48 && sizeof(struct seen) <= MORTISE_CURSOR_MAX, "no holes");

static uint32_t hash_names(const struct mh_options *o)
{
	const char *const names[] = {o->unseen, o->flagged, o->replied};
	uint32_t h = 2166136261u;
	size_t i, k;

	for (i = 0; i < 3; i++)
		for (k = 0; k <= strlen(names[i]); k++)
			h = (h ^ (unsigned char)names[i][k]) * 16777619u;
	return h;
}

static int look(struct mortise_call *call, const struct mh_box *b, struct seen *out)
{
	struct stat st;

	*out = (struct seen){.version = CURSOR_VERSION, .names = hash_names(b->options)};
	if (fstat(b->dir, &st) != 0)
		return call->host->fault_errno(call, "%s", b->place->path);
	if (st.st_nlink == 0)
		return call->host->fail(call, MORTISE_E_NOTFOUND, "The mailbox is no longer there");
	out->dir_inode = st.st_ino;
	out->dir_ctime = nanoseconds(st.st_ctim.tv_sec, (uint32_t)st.st_ctim.tv_nsec);
	if (fstatat(b->dir, SEQUENCES, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		out->file_inode = st.st_ino;
		out->file_ctime = nanoseconds(st.st_ctim.tv_sec, (uint32_t)st.st_ctim.tv_nsec);
		out->file_size = (uint64_t)st.st_size;
	}
	return 0;
}

static uint32_t flags_of(const struct mh_options *o, const struct mh_sequences *s, uint32_t number)
{
	return (mh_sequences_has(s, o->unseen, number) ? 0 : MORTISE_FLAG_SEEN) |
	       (mh_sequences_has(s, o->flagged, number) ? MORTISE_FLAG_FLAGGED : 0) |
	       (mh_sequences_has(s, o->replied, number) ? MORTISE_FLAG_ANSWERED : 0);
}

static int tell(struct mortise_call *call, struct mh_box *b, const struct mh_list *list,
    const struct mh_sequences *s, const struct mortise_sink *sink)
{
	int r = sink->full_scan(sink->engine, 0);
	size_t i;

	for (i = 0; i < list->count && r == 0; i++) {
		const struct mh_entry *e = &list->v[i];
		struct mortise_message m = {.size = sizeof(m), .octets = MORTISE_SIZE_UNKNOWN};

		m.flags = flags_of(b->options, s, e->number);
		m.internal_date = e->mtime / SECOND - (e->mtime % SECOND < 0);
		m.zone = zone_of(e->mtime);
		mh_locator_write(e, m.locator, &m.locator_size, &m.identity_size);
		r = i % STOP_EVERY == 0 ? call->host->should_stop(call) : 0;
		if (r == 0)
			r = sink->added(sink->engine, &m);
	}
	return r;
}

/* Messages, without those of a batch that a crash interrupted: removed when we may, else left out. */
static int scan_whole(
    struct mortise_call *call, struct mh_box *b, bool mine, const struct mh_list *old, struct mh_list *list)
{
	int r = mh_scan(call, b, false, old, list);

	if (r != 0 || list->batch_count == 0)
		return r;
	if (b->read_only || (!mine && b->mode != MORTISE_LOCK_EXCLUSIVE))
		return mh_batch_hide(call, b, list);
	r = mh_lock(call, b, MORTISE_LOCK_EXCLUSIVE, call->host->now(call) + b->place->lock_timeout);
	if (r != 0)
		return r;
	mh_list_free(list);
	r = mh_scan(call, b, false, NULL, list); /* whoever was writing it is done, or will never be */
	return r != 0 ? r : mh_batch_undo(call, b, list);
}

/* The list in the box is what is there: still, or again. */
static int list_now(struct mortise_call *call, struct mh_box *b, bool mine, const struct seen *now)
{
	struct mh_list old = b->list;
	int r;

	if (!b->again && b->list_ctime != 0 && b->list_ctime == now->dir_ctime)
		return 0;
	b->list = (struct mh_list){0};
	b->list_ctime = 0;
	r = scan_whole(call, b, mine, b->again ? NULL : &old, &b->list);
	mh_list_free(&old);
	if (r != 0)
		mh_list_free(&b->list);
	if (r == 0 && b->list.batch_count == 0 && !b->list.young && !young(now->dir_ctime))
		b->list_ctime = now->dir_ctime;
	return r;
}

static int sync_locked(
    struct mortise_call *call, struct mh_box *b, bool mine, struct seen *now, const struct mortise_sink *sink)
{
	struct mh_sequences s = {0};
	int r = look(call, b, now);

	if (r == 0)
		r = list_now(call, b, mine, now);
	if (r == 0)
		r = mh_sequences_load(call, b, &s);
	if (r == 0)
		r = tell(call, b, &b->list, &s, sink);
	if (b->list_ctime == 0 || young(now->file_ctime))
		now->version = 0; /* no cursor of ours */
	mh_sequences_free(&s);
	return r;
}

int mh_sync(
    struct mortise_call *call, void *opened, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	struct mh_box *b = opened;
	struct seen now;
	bool mine;
	int r = look(call, b, &now);

	if (r != 0)
		return r;
	if (!b->again && cursor->size == sizeof(now) && memcmp(cursor->data, &now, sizeof(now)) == 0)
		return 0;
	r = mh_lock_take(call, b, MORTISE_LOCK_SHARED, &mine);
	if (r != 0)
		return r;
	r = sync_locked(call, b, mine, &now, sink);
	mh_lock_drop(call, b, mine);
	if (r != 0)
		return r;
	b->again = false;
	memcpy(cursor->data, &now, sizeof(now));
	cursor->size = sizeof(now);
	return 0;
}
