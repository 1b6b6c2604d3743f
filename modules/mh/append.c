/*
 * append.c: new messages.
 *
 * Text is collected in files in a directory that MH programs pass over, with LF for CRLF, and synced
 * together. commit takes the lock, writes into the sequences what they shall say of the next numbers, gives
 * each file its number by renaming it to a name that nobody has, and syncs the folder, once. So a message
 * never is there without its flags. Programs that deliver without the lock (procmail) may take a number
 * first; then it is a later one, and the sequences are put right. Several messages come and go together, see
 * batch.c.
 *
 * A copy is a copy, shared blocks where the file system has that: a second link would be the same file, and
 * what is done to the one message (an annotation, its date) would happen to the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

#define BUFFER 65536
#define TAKEN 1000000 /* numbers that others may take before us */
#define TOGETHER 64   /* files that are synced at one time */

struct piece {
	struct mh_entry entry;
	uint32_t flags;
	int64_t date;
	int32_t zone;
	bool placed;
};

struct transaction {
	struct mh_box *box;
	char *temporary; /* directory */
	int dir;
	struct piece *pieces; /* called 0, 1, … in it */
	size_t count, room;
	uint32_t first; /* number that was thought to be free, for the first piece */
	int fd;         /* of the last piece, or -1 */
	int unsynced[TOGETHER];
	size_t unsynced_count;
	char *buffer;
	size_t used;
	bool cr; /* one waits for what comes next */
};

int mh_append_begin(struct mortise_call *call, void *box, void **out)
{
	struct transaction *t = calloc(1, sizeof(*t));
	int r;

	if (t == NULL || (t->buffer = malloc(BUFFER)) == NULL) {
		free(t);
		return call->host->fault_errno(call, "append");
	}
	t->box = box;
	t->fd = -1;
	r = mh_temporary(call, box, &t->temporary, &t->dir);
	if (r != 0) {
		free(t->buffer);
		free(t);
		return r;
	}
	*out = t;
	return 0;
}

static int bad(struct mortise_call *call, const struct transaction *t)
{
	return call->host->fault_errno(call, "%s: a new message", t->box->place->path);
}

static int flush(struct mortise_call *call, struct transaction *t)
{
	int r = mh_put(call, t->fd, "a new message", t->buffer, t->used);

	t->used = 0;
	return r;
}

static int store(struct mortise_call *call, struct transaction *t, char c)
{
	t->buffer[t->used++] = c;
	return t->used == BUFFER ? flush(call, t) : 0;
}

static void forget_unsynced(struct transaction *t)
{
	while (t->unsynced_count > 0)
		close(t->unsynced[--t->unsynced_count]);
}

static int sync_pieces(struct mortise_call *call, struct transaction *t)
{
	int r = mortise_sync_all(call, t->unsynced, t->unsynced_count, false) == 0 ? 0 : bad(call, t);

	forget_unsynced(t);
	return r;
}

/* Makes what the last piece is final. It is synced with the others. */
static int finish_piece(struct mortise_call *call, struct transaction *t)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, 0}};
	struct piece *p;
	int r = 0;

	if (t->fd < 0)
		return 0;
	p = &t->pieces[t->count - 1];
	times[1] = mh_time_of(p->date, p->zone);
	if (t->cr)
		r = store(call, t, '\r');
	t->cr = false;
	if (r == 0)
		r = flush(call, t);
	if (r == 0 && (futimens(t->fd, times) != 0 || !mh_look(t->fd, "", &p->entry, NULL)))
		r = bad(call, t);
	t->unsynced[t->unsynced_count++] = t->fd;
	t->fd = -1;
	return r == 0 && t->unsynced_count == TOGETHER ? sync_pieces(call, t) : r;
}

int mh_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	struct transaction *t = tx;
	struct piece *more;
	char name[24];
	int r = finish_piece(call, t);

	if (r != 0)
		return r;
	if (t->count == t->room) {
		more = realloc(t->pieces, (t->room * 2 + 4) * sizeof(*more));
		if (more == NULL)
			return bad(call, t);
		t->room = t->room * 2 + 4;
		t->pieces = more;
	}
	t->pieces[t->count] = (struct piece){
	    .flags = info->flags & MORTISE_FLAGS_SYSTEM, .date = info->internal_date, .zone = info->zone};
	snprintf(name, sizeof(name), "%zu", t->count);
	t->fd = openat(
	    t->dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, t->box->place->file_mode);
	if (t->fd < 0)
		return bad(call, t);
	t->count++;
	return 0;
}

int mh_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size)
{
	struct transaction *t = tx;
	const char *p = octets;
	size_t i;
	int r = 0;

	for (i = 0; i < size && r == 0; i++) {
		if (t->cr && p[i] != '\n')
			r = store(call, t, '\r');
		t->cr = p[i] == '\r';
		if (r == 0 && !t->cr)
			r = store(call, t, p[i]);
	}
	return r;
}

void mh_append_abort(struct mortise_call *call, void *tx)
{
	struct transaction *t = tx;
	char name[24];
	size_t i;

	(void)call;
	if (t->fd >= 0)
		close(t->fd);
	forget_unsynced(t);
	for (i = 0; i < t->count; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		if (!t->pieces[i].placed)
			unlinkat(t->dir, name, 0);
	}
	unlinkat(t->box->dir, t->temporary, AT_REMOVEDIR);
	close(t->dir);
	free(t->temporary);
	free(t->pieces);
	free(t->buffer);
	free(t);
}

/* ---- commit ---- */

/* Numbers behind all that are there. */
static int choose_numbers(struct mortise_call *call, struct transaction *t)
{
	struct mh_box *b = t->box;
	struct mh_list list;
	size_t i;
	int r = mh_scan(call, b, true, NULL, &list);

	if (r == 0 && list.batch_count > 0) {
		mh_list_free(&list);
		r = mh_scan(call, b, false, NULL, &list);
		if (r == 0)
			r = mh_batch_undo(call, b, &list);
	}
	if (r == 0 && list.names + t->count > b->options->message_limit)
		r = call->host->fail(call, MORTISE_E_LIMIT, "Mailbox may have %" PRIu64 " messages",
		    b->options->message_limit);
	if (r == 0 && t->count > NUMBER_LIMIT - list.highest)
		r = call->host->fault(call, MORTISE_E_LIMIT,
		    "%s: no number is left behind the last message; folder -pack makes some", b->place->path);
	t->first = list.highest + 1;
	for (i = 0; i < t->count && r == 0; i++)
		t->pieces[i].entry.number = t->first + (uint32_t)i;
	mh_list_free(&list);
	return r;
}

/* Where nothing is: 0, or -1 with errno. */
static int rename_to(const struct transaction *t, const char *from, const char *to)
{
	if (renameat2(t->dir, from, t->box->dir, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system that does not know how: two steps. What a crash leaves of the first is swept. */
	if (linkat(t->dir, from, t->box->dir, to, 0) != 0)
		return -1;
	unlinkat(t->dir, from, 0);
	return 0;
}

/* Piece i and those behind it get later numbers: somebody has this one. */
static bool go_further(struct transaction *t, size_t i)
{
	for (; i < t->count; i++)
		if (t->pieces[i].entry.number++ == NUMBER_LIMIT)
			return false;
	return true;
}

static int place_one(struct mortise_call *call, struct transaction *t, size_t i, size_t *taken)
{
	char from[24], to[16];

	snprintf(from, sizeof(from), "%zu", i);
	for (;;) {
		snprintf(to, sizeof(to), "%" PRIu32, t->pieces[i].entry.number);
		if (rename_to(t, from, to) == 0) {
			t->pieces[i].placed = true;
			return 0;
		}
		if (errno != EEXIST)
			return bad(call, t);
		if (++*taken > TAKEN || !go_further(t, i))
			return call->host->fault(
			    call, MORTISE_E_TEMP, "%s: every number is taken by others", t->box->place->path);
	}
}

static int say_flags(struct mortise_call *call, struct transaction *t)
{
	struct mh_flags *v = calloc(t->count, sizeof(*v));
	size_t i;
	int r;

	if (v == NULL)
		return bad(call, t);
	for (i = 0; i < t->count; i++)
		v[i] = (struct mh_flags){t->pieces[i].entry.number, t->pieces[i].flags};
	r = mh_flags_store(call, t->box, v, t->count, true);
	free(v);
	return r;
}

/* What was said of these numbers is said no more: those we thought to be free, and those we came to. */
static void unsay_flags(struct mortise_call *call, struct transaction *t)
{
	uint32_t *numbers = calloc(t->count, 2 * sizeof(*numbers));
	size_t i;

	for (i = 0; i < t->count && numbers != NULL; i++) {
		numbers[2 * i] = t->first + (uint32_t)i;
		numbers[2 * i + 1] = t->pieces[i].entry.number;
	}
	if (numbers != NULL)
		mh_forget_numbers(call, t->box, numbers, 2 * t->count);
	free(numbers);
}

static int place_all(struct mortise_call *call, struct transaction *t)
{
	size_t i, taken = 0;
	int r = say_flags(call, t);

	for (i = 0; i < t->count && r == 0; i++)
		r = place_one(call, t, i, &taken);
	if (r == 0 && taken > 0) {
		unsay_flags(call, t);
		r = say_flags(call, t);
	}
	return r;
}

/* Takes back what was placed, best effort; the failure is told already. */
static void take_back(struct mortise_call *call, struct transaction *t, const char *batch)
{
	char name[16];
	size_t i;

	for (i = 0; i < t->count; i++) {
		const struct piece *p = &t->pieces[i];

		snprintf(name, sizeof(name), "%" PRIu32, p->entry.number);
		if (p->placed && mh_is_there(t->box, &p->entry))
			unlinkat(t->box->dir, name, 0);
	}
	if (batch != NULL && fsync(t->box->dir) == 0)
		unlinkat(t->box->dir, batch, 0);
	unsay_flags(call, t);
}

static int begin_batch(struct mortise_call *call, struct transaction *t, char **batch)
{
	struct mh_entry *v = calloc(t->count, sizeof(*v));
	size_t i;
	int r;

	if (v == NULL)
		return bad(call, t);
	for (i = 0; i < t->count; i++)
		v[i] = t->pieces[i].entry;
	r = mh_batch_begin(call, t->box, v, t->count, batch);
	if (r != 0)
		*batch = NULL;
	free(v);
	return r;
}

static int commit_locked(struct mortise_call *call, struct transaction *t)
{
	char *batch = NULL;
	int r = choose_numbers(call, t);

	if (r != 0)
		return r;
	if (t->count > 1)
		r = begin_batch(call, t, &batch);
	if (r == 0)
		r = place_all(call, t);
	if (r == 0 && fsync(t->box->dir) != 0)
		r = bad(call, t);
	if (r == 0 && batch != NULL)
		r = mh_batch_end(call, t->box, batch);
	if (r != 0)
		take_back(call, t, batch);
	return r;
}

int mh_append_commit_refs(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, struct mortise_ref *refs, size_t count)
{
	struct transaction *t = tx;
	bool mine;
	size_t i;
	int r = finish_piece(call, t);

	if (r == 0)
		r = sync_pieces(call, t);
	*uidvalidity = 0;
	if (r == 0)
		r = mh_lock_take(call, t->box, MORTISE_LOCK_EXCLUSIVE, &mine);
	if (r == 0) {
		if (t->count > 0)
			r = commit_locked(call, t);
		mh_lock_drop(call, t->box, mine);
	}
	for (i = 0; i < count && i < t->count && refs != NULL && r == 0; i++) {
		refs[i].uid = 0;
		mh_locator_write(&t->pieces[i].entry, refs[i].locator, &refs[i].locator_size, NULL);
	}
	mh_append_abort(call, t);
	return r;
}

int mh_append_commit(struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	memset(uids, 0, count * sizeof(*uids));
	return mh_append_commit_refs(call, tx, uidvalidity, NULL, 0);
}

/* ---- copies ---- */

static int copy_octets(struct mortise_call *call, struct transaction *t, int from)
{
	bool in_kernel = true;
	struct stat st;
	int r = 0;

	if (fstat(from, &st) != 0 || lseek(from, (off_t)mh_text_start(from, &st), SEEK_SET) < 0)
		return bad(call, t);
	while (r == 0) {
		ssize_t n;

		if (in_kernel) {
			n = copy_file_range(from, NULL, t->fd, NULL, 1 << 20, 0);
			if (n < 0 && errno != EINTR && errno != EIO && errno != ENOSPC && errno != EDQUOT) {
				in_kernel = false; /* not between these two: by hand, from where we are */
				continue;
			}
		} else {
			n = read(from, t->buffer, BUFFER);
			if (n > 0)
				r = mh_put(call, t->fd, "a copy", t->buffer, (size_t)n);
		}
		if (n == 0)
			break;
		if (n < 0 && errno != EINTR)
			return bad(call, t);
		if (r == 0)
			r = call->host->should_stop(call);
	}
	return r;
}

int mh_append_copy(struct mortise_call *call, void *tx, void *box, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t count)
{
	struct transaction *t = tx;
	size_t i;
	int r = 0;

	for (i = 0; i < count && r == 0; i++) {
		int from;

		r = mh_open_message(call, box, &refs[i], &from);
		if (r == 0 && from < 0)
			r = call->host->fail(call, MORTISE_E_EXPUNGED, "Message is gone");
		if (r == 0)
			r = mh_append_message(call, t, &infos[i]);
		if (r == 0)
			r = copy_octets(call, t, from);
		if (from >= 0)
			close(from);
	}
	return r;
}
