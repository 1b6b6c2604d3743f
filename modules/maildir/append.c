/*
 * append.c: new messages.
 *
 * Text is collected in files in tmp, with LF for CRLF. A copy of a message that is a file on the same file
 * system is a link to it. commit takes the lock, gives each its UID, adds lines to the list (it may name
 * files that are not there yet, and never the other way round: a UID that is not on disk could become
 * another's), syncs files and list together, then moves the files: into new when nothing is to be said about
 * them, into cur when they have flags. One sync of the directory makes that durable. So whoever waits does so
 * twice, in a batch of up to 64 messages as with one.
 *
 * What has failed is taken back. A crash between two moves leaves the messages that were moved: the format
 * has no way to make several files appear at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "box.h"

#define BUFFER 65536
#define LINE_LEAST 8     /* octets of a line of the list, at least, nearly always */
#define WRITTEN_BACK 120 /* seconds after which the kernel has written a file by itself */
#define TOGETHER 64      /* files that are synced at one time */

struct transaction {
	struct maildir_box *box;
	struct maildir_piece *pieces;
	size_t count, room;
	int fd; /* of the last piece, or -1 */
	int unsynced[TOGETHER];
	size_t unsynced_count;
	char *buffer;
	size_t used;
	bool cr;              /* a CR waits for what comes next */
	char last;            /* octet that was stored */
	bool agreed, current; /* the list was as the engine, as the entries know it */
};

int maildir_append_begin(struct mortise_call *call, void *box, void **out)
{
	struct transaction *t;
	int r = maildir_need_tmp(call, box);

	if (r != 0)
		return r;
	t = calloc(1, sizeof(*t));
	if (t == NULL || (t->buffer = malloc(BUFFER)) == NULL) {
		free(t);
		return call->host->fault_errno(call, "append");
	}
	t->box = box;
	t->fd = -1;
	*out = t;
	return 0;
}

static int flush(struct mortise_call *call, struct transaction *t)
{
	struct maildir_piece *p = &t->pieces[t->count - 1];
	int r = maildir_put(call, t->fd, p->base, t->buffer, t->used);

	p->size += t->used;
	t->used = 0;
	return r;
}

static int store(struct mortise_call *call, struct transaction *t, char c)
{
	struct maildir_piece *p = &t->pieces[t->count - 1];

	p->wire += c == '\n' && t->last != '\r' ? 2 : 1;
	t->last = c;
	t->buffer[t->used++] = c;
	return t->used == BUFFER ? flush(call, t) : 0;
}

static void forget_unsynced(struct transaction *t)
{
	while (t->unsynced_count > 0)
		close(t->unsynced[--t->unsynced_count]);
}

/* All that was written, and `more` unless that is -1, is on disk then. */
static int sync_texts(struct mortise_call *call, struct transaction *t, int more)
{
	int fds[TOGETHER + 1], r = 0;
	size_t n = t->unsynced_count;

	memcpy(fds, t->unsynced, n * sizeof(fds[0]));
	if (more >= 0)
		fds[n++] = more;
	if (t->box->options->fsync && mortise_sync_all(call, fds, n, false) != 0)
		r = call->host->fault_errno(call, "%s", t->box->place->path);
	forget_unsynced(t);
	return r;
}

/* The file is synced with the others, and closed. */
static int sync_later(struct mortise_call *call, struct transaction *t, int fd)
{
	t->unsynced[t->unsynced_count++] = fd;
	return t->unsynced_count == TOGETHER ? sync_texts(call, t, -1) : 0;
}

/* Ends the text of the last piece. */
static int finish_piece(struct mortise_call *call, struct transaction *t)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, 0}};
	struct maildir_piece *p;
	int r = 0;

	if (t->fd < 0)
		return 0;
	p = &t->pieces[t->count - 1];
	times[1].tv_sec = p->date;
	if (t->cr)
		r = store(call, t, '\r');
	t->cr = false;
	if (r == 0)
		r = flush(call, t);
	if (r == 0 && futimens(t->fd, times) != 0)
		r = call->host->fault_errno(call, "%s/tmp/%s", t->box->place->path, p->base);
	if (r == 0)
		r = sync_later(call, t, t->fd);
	else
		close(t->fd);
	t->fd = -1;
	return r;
}

/* A keyword that finds no room is left out; that is no error of this call. */
static int want_keywords(
    struct mortise_call *call, struct transaction *t, const struct mortise_append_info *info)
{
	struct maildir_piece *p = &t->pieces[t->count - 1];
	struct maildir_box *b = t->box;
	bool mine = false, locked = false;
	unsigned bit;
	size_t i;
	int letter, r = maildir_keywords_load(call, b);

	for (i = 0; i < info->keyword_count && r == 0; i++) {
		letter = maildir_letter_of(b, info->keywords[i]);
		if (letter < 0 && !locked) {
			r = maildir_lock_take(call, b, &mine);
			locked = r == 0;
		}
		if (letter < 0 && locked) {
			r = maildir_keyword_add(call, b, info->keywords[i], &bit);
			letter = r == 0 ? (int)bit : -1;
			r = r == MORTISE_E_LIMIT ? 0 : r;
		}
		if (letter >= 0)
			p->letters |= 1u << letter;
	}
	if (locked)
		maildir_lock_drop(call, b, mine);
	return r;
}

static int new_piece(struct mortise_call *call, struct transaction *t, const struct mortise_append_info *info)
{
	struct maildir_piece *p, *more;

	if (t->count == t->room) {
		more = realloc(t->pieces, (t->room * 2 + 4) * sizeof(*more));
		if (more == NULL)
			return call->host->fault_errno(call, "%zu messages", t->count);
		t->room = t->room * 2 + 4;
		t->pieces = more;
	}
	p = &t->pieces[t->count];
	*p = (struct maildir_piece){
	    .flags = info->flags & MORTISE_FLAGS_SYSTEM, .date = info->internal_date, .zone = info->zone};
	if (info->size >= offsetof(struct mortise_append_info, uid) + sizeof(info->uid))
		p->uid = info->uid;
	maildir_name_unique(call, p->base);
	return 0;
}

static int create_file(struct mortise_call *call, struct transaction *t)
{
	struct maildir_piece *p = &t->pieces[t->count];

	t->fd = openat(t->box->tmp, p->base, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
	    t->box->place->file_mode);
	if (t->fd < 0)
		return call->host->fault_errno(call, "%s/tmp/%s", t->box->place->path, p->base);
	t->count++;
	t->last = '\0';
	return 0;
}

int maildir_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	struct transaction *t = tx;
	int r = finish_piece(call, t);

	if (r == 0)
		r = new_piece(call, t, info);
	if (r == 0)
		r = create_file(call, t);
	return r == 0 && info->keyword_count > 0 ? want_keywords(call, t, info) : r;
}

int maildir_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size)
{
	struct transaction *t = tx;
	const char *p = octets;
	size_t i;
	int r = 0;

	for (i = 0; i < size && r == 0; i++) {
		bool waited = t->cr;

		t->cr = p[i] == '\r';
		if (waited && p[i] != '\n')
			r = store(call, t, '\r');
		if (r == 0 && !t->cr)
			r = store(call, t, p[i]);
	}
	return r;
}

void maildir_append_abort(struct mortise_call *call, void *tx)
{
	struct transaction *t = tx;
	size_t i;

	(void)call;
	if (t->fd >= 0)
		close(t->fd);
	forget_unsynced(t);
	for (i = 0; i < t->count; i++)
		if (!t->pieces[i].moved)
			unlinkat(t->box->tmp, t->pieces[i].base, 0);
	free(t->pieces);
	free(t->buffer);
	free(t);
}

/* ---- copies ---- */

/* The octets of a file, as the file system can do it best. */
static int copy_octets(struct mortise_call *call, struct transaction *t, int from, uint64_t size)
{
	struct maildir_piece *p = &t->pieces[t->count - 1];
	ssize_t n = 1;

	while (p->size < size && n > 0) {
		uint64_t left = size - p->size;

		n = copy_file_range(from, NULL, t->fd, NULL, left < SSIZE_MAX ? (size_t)left : SSIZE_MAX, 0);
		if (n > 0)
			p->size += (uint64_t)n;
		else if (n < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
			return call->host->fault_errno(call, "%s/tmp/%s", t->box->place->path, p->base);
	}
	while (p->size < size && (n = read(from, t->buffer, BUFFER)) > 0) {
		int r = maildir_put(call, t->fd, p->base, t->buffer, (size_t)n);

		if (r != 0)
			return r;
		p->size += (uint64_t)n;
	}
	return n < 0 ? call->host->fault_errno(call, "%s", p->base) : 0;
}

/* What the source says of its size as CRLF octets, believed as far as sync.c believes it. */
static uint64_t wire_size(const struct maildir_file *f, uint64_t size)
{
	struct maildir_name n;

	if (!maildir_name_parse(f->name, &n) || n.size != size || n.wire < size || n.wire / 2 > size)
		return MORTISE_SIZE_UNKNOWN;
	return n.wire;
}

/*
 * Who delivered a file may not have synced it. Nobody has to when the kernel has come to it by itself, which
 * it does half a minute after the octets were written; that is no sooner than the file was made, and no
 * later than both that and its time.
 */
static bool written_back(int part, const char *name)
{
	int64_t then = time(NULL) - WRITTEN_BACK;
	struct statx st;

	return statx(part, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME | STATX_MTIME, &st) == 0 &&
	       (st.stx_mask & STATX_BTIME) != 0 && st.stx_btime.tv_sec < then && st.stx_mtime.tv_sec < then;
}

/* A link is all there is to it. 1: it cannot be one; -1: the file is not there. */
static int link_file(struct mortise_call *call, struct transaction *t, int part, const char *name)
{
	struct maildir_piece *p = &t->pieces[t->count];
	struct stat st;
	int fd;

	if (fstatat(part, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? -1 : call->host->fault_errno(call, "%s", name);
	if (!S_ISREG(st.st_mode) || st.st_mtim.tv_sec != p->date ||
	    linkat(part, name, t->box->tmp, p->base, 0) != 0)
		return 1;
	t->count++;
	p->size = (uint64_t)st.st_size;
	if (!t->box->options->fsync || written_back(part, name))
		return 0;
	fd = openat(t->box->tmp, p->base, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	return fd >= 0 ? sync_later(call, t, fd) : call->host->fault_errno(call, "%s", name);
}

static int copy_file(struct mortise_call *call, struct transaction *t, int part, const char *name)
{
	int fd = openat(part, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? -1 : call->host->fault_errno(call, "%s", name);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		r = call->host->fault(call, MORTISE_E_CORRUPT, "%s is no regular file", name);
	else
		r = create_file(call, t);
	if (r == 0)
		r = copy_octets(call, t, fd, (uint64_t)st.st_size);
	if (r == 0)
		r = finish_piece(call, t);
	close(fd);
	return r;
}

/* The new piece is a link to the file, or has its octets. 0 done, 1 the file is not there, or a code. */
static int take_file(struct mortise_call *call, struct transaction *t, struct maildir_box *source,
    const struct maildir_file *f)
{
	int part, r = maildir_part(call, source, f->in_new, &part);

	if (r != 0)
		return r;
	r = link_file(call, t, part, f->name);
	if (r == 1)
		r = copy_file(call, t, part, f->name);
	if (r == 0)
		t->pieces[t->count - 1].wire = wire_size(f, t->pieces[t->count - 1].size);
	return r == -1 ? 1 : r;
}

int maildir_append_copy(struct mortise_call *call, void *tx, void *box, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t count)
{
	struct transaction *t = tx;
	struct maildir_file f;
	bool there;
	size_t i;
	int r = finish_piece(call, t);

	for (i = 0; i < count && r == 0; i++) {
		r = new_piece(call, t, &infos[i]);
		if (r != 0)
			return r;
		r = maildir_file_of(box, &refs[i], &f) ? take_file(call, t, box, &f) : 1;
		if (r == 1) {
			r = maildir_file_search(call, box, &refs[i], &f, &there);
			if (r == 0)
				r = there ? take_file(call, t, box, &f) : 1;
		}
		if (r == 1)
			return call->host->fail(call, MORTISE_E_EXPUNGED, "Message is gone");
		if (r == 0 && infos[i].keyword_count > 0)
			r = want_keywords(call, t, &infos[i]);
		if (r == 0)
			r = maildir_go_on(call, t->box);
	}
	return r;
}

/* ---- commit ---- */

/* A list to which lines can be added; made, or made anew, when there is none. */
static int ready_list(struct mortise_call *call, struct maildir_box *b, int *fd)
{
	int r;

	*fd = -1;
	if (!b->dot)
		return call->host->fault(
		    call, MORTISE_E_QUOTA, "%s: no room for " UIDLIST_LOCK, b->place->path);
	r = maildir_list_end(call, b, fd);
	if (r != 0 || *fd >= 0)
		return r;
	/* A list that is to be made knows the messages that are there first. */
	r = maildir_list_load(call, b);
	if (r == 0)
		r = maildir_scan(call, b, true);
	if (r == 0)
		r = maildir_list_end(call, b, fd);
	return r != 0 || *fd >= 0 ? r
	                          : call->host->fault(call, MORTISE_E_CORRUPT,
	                                "%s/" UIDLIST " cannot be written", b->place->path);
}

/* Counts only when there may be too many. */
static int check_limit(struct mortise_call *call, struct transaction *t, int fd)
{
	struct maildir_box *b = t->box;
	uint64_t limit = b->options->message_limit, lines = 0;
	struct stat st;
	size_t i;
	int r;

	if (fstat(fd, &st) == 0 && (uint64_t)st.st_size / LINE_LEAST + t->count < limit)
		return 0;
	r = maildir_list_lines(call, fd, &lines);
	if (r != 0 || lines + t->count <= limit + 1)
		return r;
	r = maildir_load(call, b);
	for (lines = t->count, i = 0; i < b->count; i++)
		lines += b->entries[i].present;
	if (r == 0 && lines > limit)
		return call->host->fail(
		    call, MORTISE_E_LIMIT, "Mailbox may have %" PRIu64 " messages", limit);
	return r;
}

static int name_piece(struct mortise_call *call, struct transaction *t, struct maildir_piece *p)
{
	char sized[NAME_MAX + 1];
	int n =
	    p->wire == MORTISE_SIZE_UNKNOWN
	        ? snprintf(sized, sizeof(sized), "%s,S=%" PRIu64, p->base, p->size)
	        : snprintf(sized, sizeof(sized), "%s,S=%" PRIu64 ",W=%" PRIu64, p->base, p->size, p->wire);

	p->in_new = p->flags == 0 && p->letters == 0;
	if (p->in_new)
		memcpy(p->final, sized, (size_t)n + 1);
	else if (!maildir_name_make(sized, p->flags, p->letters, p->final))
		return call->host->fault(
		    call, MORTISE_E_LIMIT, "%s: the name %s is too long", t->box->place->path, sized);
	return 0;
}

static int give_uid(struct mortise_call *call, struct maildir_box *b, struct maildir_piece *p)
{
	if (p->uid != 0 && p->uid < b->uidnext)
		return call->host->fault(
		    call, MORTISE_E_INVALID, "%s: UID %" PRIu32 " is below UIDNEXT", b->place->path, p->uid);
	if (p->uid == 0)
		p->uid = b->uidnext;
	if (p->uid == UINT32_MAX)
		return call->host->fault(call, MORTISE_E_LIMIT, "%s: no UIDs are left", b->place->path);
	b->uidnext = p->uid + 1;
	return 0;
}

/* Before and after lines are added to the list. */
static void compare_list(struct transaction *t, int fd)
{
	const struct maildir_box *b = t->box;
	struct maildir_print now;
	struct stat st;

	t->agreed = t->current = false;
	if (fstat(fd, &st) != 0)
		return;
	now = maildir_print_of(&st);
	t->agreed = b->agreed && maildir_print_same(&now, &b->agreed_list);
	t->current = b->loaded && b->list_read && maildir_print_same(&now, &b->list_print);
}

static int follow_list(struct mortise_call *call, struct transaction *t, int fd)
{
	struct maildir_box *b = t->box;
	struct stat st;

	b->agreed = t->agreed && b->trail_count == 0 && fstat(fd, &st) == 0;
	if (b->agreed) {
		memcpy(b->trail_part, b->agreed_part, sizeof(b->trail_part));
		b->trail_list = b->agreed_list;
		b->agreed_list = maildir_print_of(&st);
	}
	return t->current ? maildir_list_load(call, b) : 0;
}

/* Names and UIDs, and the list that has them. */
static int announce(struct mortise_call *call, struct transaction *t)
{
	struct maildir_text lines = {0};
	uint32_t uidnext = 0;
	off_t before;
	size_t i;
	int fd, r = ready_list(call, t->box, &fd);

	if (r == 0)
		r = check_limit(call, t, fd);
	if (r == 0)
		compare_list(t, fd);
	uidnext = t->box->uidnext;
	for (i = 0; i < t->count && r == 0; i++) {
		struct maildir_piece *p = &t->pieces[i];
		char zone[16] = "";

		r = give_uid(call, t->box, p);
		if (r == 0)
			r = name_piece(call, t, p);
		if (p->zone != 0)
			snprintf(zone, sizeof(zone), " Z%" PRId32, p->zone);
		maildir_text_line(&lines, p->uid, zone, p->final);
	}
	if (r == 0)
		r = maildir_list_put(call, t->box, fd, &lines, &before);
	if (r == 0) {
		r = sync_texts(call, t, fd);
		if (r != 0)
			(void)!ftruncate(fd, before);
	}
	if (r == 0)
		r = follow_list(call, t, fd);
	if (r != 0)
		t->box->uidnext = uidnext;
	if (fd >= 0)
		close(fd);
	free(lines.p);
	return r;
}

static int move_in(struct mortise_call *call, struct transaction *t)
{
	struct maildir_box *b = t->box;
	struct maildir_own own;
	struct maildir_quota quota;
	size_t i;
	int part, p, r = 0;

	maildir_quota_begin(call, b, &quota);
	maildir_own_begin(call, b, &own);
	for (i = 0; i < t->count; i++) {
		struct maildir_piece *piece = &t->pieces[i];

		r = maildir_part(call, b, piece->in_new, &part);
		if (r == 0 && maildir_move(b->tmp, piece->base, part, piece->final) != 0)
			r = call->host->fault_errno(call, "%s/%s", b->place->path, piece->final);
		if (r != 0)
			break;
		piece->moved = own.touched[piece->in_new ? NEW : CUR] = true;
		maildir_quota_count(&quota, part, piece->final, true);
	}
	maildir_own_end(b, &own);
	if (r == 0 && t->current)
		maildir_own_added(b, &own, t->pieces, t->count);
	for (p = 0; p < PARTS && r == 0; p++)
		if (own.touched[p] && maildir_fsync(b, b->part[p].fd) != 0)
			r = call->host->fault_errno(call, "%s", b->place->path);
	if (r != 0)
		quota.octets = quota.messages = 0;
	maildir_quota_end(call, &quota);
	return r;
}

static void take_back(struct transaction *t)
{
	size_t i;

	t->box->agreed = false;
	t->box->part[CUR].read = t->box->part[NEW].read = false;
	for (i = 0; i < t->count; i++)
		if (t->pieces[i].moved)
			unlinkat(t->box->part[t->pieces[i].in_new ? NEW : CUR].fd, t->pieces[i].final, 0);
}

static int commit(struct mortise_call *call, struct transaction *t, uint32_t *uidvalidity)
{
	struct maildir_box *b = t->box;
	bool mine = false;
	int r = finish_piece(call, t);

	if (r == 0)
		r = maildir_lock_take(call, b, &mine);
	if (r != 0)
		return r;
	r = announce(call, t);
	if (r == 0) {
		r = move_in(call, t);
		if (r != 0)
			take_back(t);
	}
	*uidvalidity = b->uidvalidity;
	maildir_lock_drop(call, b, mine);
	return r;
}

/* The box tells the engine of them. */
static void done(struct mortise_call *call, struct transaction *t, int r)
{
	struct maildir_box *b = t->box;

	if (r == 0 && b->agreed) {
		b->trail = t->pieces;
		b->trail_count = t->count;
		t->pieces = NULL;
		t->count = 0;
	}
	maildir_append_abort(call, t);
}

int maildir_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	struct transaction *t = tx;
	int r = commit(call, t, uidvalidity);
	size_t i;

	for (i = 0; i < count && i < t->count; i++)
		uids[i] = t->pieces[i].uid;
	done(call, t, r);
	return r;
}

int maildir_append_commit_refs(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, struct mortise_ref *refs, size_t count)
{
	struct transaction *t = tx;
	int r = commit(call, t, uidvalidity);
	size_t i;

	for (i = 0; i < count && i < t->count; i++) {
		const struct maildir_piece *p = &t->pieces[i];

		refs[i].uid = p->uid;
		refs[i].locator_size = (uint8_t)maildir_locator_make(p->in_new, p->final, refs[i].locator);
	}
	done(call, t, r);
	return r;
}

int maildir_adopt(struct mortise_call *call, void *box, uint32_t uidvalidity, uint32_t uidnext)
{
	struct maildir_box *b = box;
	size_t i;
	int r = maildir_load(call, b);

	if (r != 0)
		return r;
	for (i = 0; i < b->count && !b->entries[i].present; i++)
		continue;
	if ((i < b->count || b->unnumbered > 0) && uidvalidity != b->uidvalidity)
		return call->host->fail(call, MORTISE_E_INVALID, "The mailbox is not empty");
	b->uidvalidity = uidvalidity;
	b->uidnext = uidnext > b->uidnext ? uidnext : b->uidnext;
	return maildir_list_save(call, b);
}
