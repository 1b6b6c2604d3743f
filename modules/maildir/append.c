/*
 * append.c: new messages.
 *
 * Text is collected in files in tmp, with LF for CRLF. commit takes the lock, gives each its UID, replaces
 * the list (which may name files that are not there yet, and never the other way round), then moves the
 * files: into new when nothing is to be said about them, into cur when they have flags. What has failed is
 * taken back. A crash between two moves leaves the messages that were moved: the format has no way to make
 * several files appear at once.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "box.h"

#define BUFFER 65536
#define OLD_TMP (36 * 3600) /* seconds until a file in tmp is nobody's any more, by the format's rule */

struct piece {
	char base[160];
	char final[NAME_MAX + 1];
	uint32_t flags, letters, uid;
	int32_t zone;
	int64_t date;
	uint64_t size, wire;
	bool moved, in_new;
};

struct transaction {
	struct maildir_box *box;
	struct piece *pieces;
	size_t count, room;
	int fd; /* of the last piece, or -1 */
	char *buffer;
	size_t used;
	bool cr;   /* a CR waits for what comes next */
	char last; /* octet that was stored */
};

/* Files that deliveries left behind when they died. */
static void sweep(struct maildir_box *b)
{
	int fd = openat(b->tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *file;
	struct stat st;

	if (d == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((file = readdir(d)) != NULL)
		if (file->d_name[0] != '.' && fstatat(fd, file->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode) && st.st_ctim.tv_sec < time(NULL) - OLD_TMP)
			unlinkat(fd, file->d_name, 0);
	closedir(d);
}

static int need_tmp(struct mortise_call *call, struct maildir_box *b)
{
	if (b->tmp >= 0)
		return 0;
	if (mkdirat(b->dir, "tmp", b->place->dir_mode) != 0 && errno != EEXIST)
		return call->host->fault_errno(call, "%s/tmp", b->place->path);
	b->tmp = maildir_open_part(b->dir, "tmp");
	if (b->tmp < 0)
		return call->host->fault_errno(call, "%s/tmp", b->place->path);
	sweep(b);
	return 0;
}

int maildir_append_begin(struct mortise_call *call, void *box, void **out)
{
	struct transaction *t;
	int r = need_tmp(call, box);

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
	struct piece *p = &t->pieces[t->count - 1];
	int r = maildir_put(call, t->fd, p->base, t->buffer, t->used);

	p->size += t->used;
	t->used = 0;
	return r;
}

static int store(struct mortise_call *call, struct transaction *t, char c)
{
	struct piece *p = &t->pieces[t->count - 1];

	p->wire += c == '\n' && t->last != '\r' ? 2 : 1;
	t->last = c;
	t->buffer[t->used++] = c;
	return t->used == BUFFER ? flush(call, t) : 0;
}

/* Makes the text of the last piece durable. */
static int finish_piece(struct mortise_call *call, struct transaction *t)
{
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, 0}};
	struct piece *p;
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
	if (r == 0 && (futimens(t->fd, times) != 0 || fsync(t->fd) != 0))
		r = call->host->fault_errno(call, "%s/tmp/%s", t->box->place->path, p->base);
	close(t->fd);
	t->fd = -1;
	return r;
}

static uint32_t letters_for(
    struct mortise_call *call, struct maildir_box *b, const struct mortise_append_info *info)
{
	uint32_t letters = 0;
	unsigned bit;
	size_t i;

	for (i = 0; i < info->keyword_count; i++)
		if (maildir_keyword_add(call, b, info->keywords[i], &bit) == 0)
			letters |= maildir_letters_of(b, UINT64_C(1) << bit);
	return letters;
}

/* A keyword that finds no room is left out; that is no error of this call. */
static int want_keywords(
    struct mortise_call *call, struct transaction *t, const struct mortise_append_info *info)
{
	struct piece *p = &t->pieces[t->count - 1];
	struct maildir_box *b = t->box;
	uint64_t known = 0;
	size_t i, k;
	bool mine;
	int r = maildir_keywords_load(call, b);

	for (i = 0; i < info->keyword_count && r == 0; i++)
		for (k = 0; k < b->keywords.count; k++)
			if (strcasecmp(b->keywords.names[k], info->keywords[i]) == 0 &&
			    b->keywords.letter[k] >= 0)
				known |= UINT64_C(1) << k;
	p->letters = maildir_letters_of(b, known);
	if (r != 0 || (size_t)__builtin_popcountll(known) >= info->keyword_count)
		return r;
	r = maildir_lock_take(call, b, &mine);
	if (r != 0)
		return r;
	p->letters = letters_for(call, b, info);
	maildir_lock_drop(call, b, mine);
	return 0;
}

int maildir_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	struct transaction *t = tx;
	struct piece *p, *more;
	int r = finish_piece(call, t);

	if (r != 0)
		return r;
	if (t->count == t->room) {
		more = realloc(t->pieces, (t->room * 2 + 4) * sizeof(*more));
		if (more == NULL)
			return call->host->fault_errno(call, "%zu messages", t->count);
		t->room = t->room * 2 + 4;
		t->pieces = more;
	}
	p = &t->pieces[t->count];
	*p = (struct piece){
	    .flags = info->flags & MORTISE_FLAGS_SYSTEM, .date = info->internal_date, .zone = info->zone};
	maildir_name_unique(call, p->base);
	t->fd = openat(t->box->tmp, p->base, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW,
	    t->box->place->file_mode);
	if (t->fd < 0)
		return call->host->fault_errno(call, "%s/tmp/%s", t->box->place->path, p->base);
	t->count++;
	t->last = '\0';
	return info->keyword_count > 0 ? want_keywords(call, t, info) : 0;
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
	for (i = 0; i < t->count; i++)
		if (!t->pieces[i].moved)
			unlinkat(t->box->tmp, t->pieces[i].base, 0);
	free(t->pieces);
	free(t->buffer);
	free(t);
}

/* Names and UIDs, and the list that has them. */
static int announce(struct mortise_call *call, struct transaction *t)
{
	struct maildir_box *b = t->box;
	size_t i, fresh, known;
	uint32_t uidnext;
	/* A list that is to be made knows the messages that are there first. */
	int r = maildir_list_load(call, b);

	if (r == 0)
		r = maildir_scan(call, b, true, &fresh);
	if (r == 0 && b->count + t->count > b->options->message_limit)
		r = call->host->fail(call, MORTISE_E_LIMIT, "Mailbox may have %" PRIu64 " messages",
		    b->options->message_limit);
	if (r == 0 && t->count >= UINT32_MAX - b->uidnext)
		r = call->host->fault(call, MORTISE_E_LIMIT, "%s: no UIDs are left", b->place->path);
	known = b->count;
	uidnext = b->uidnext;
	for (i = 0; i < t->count && r == 0; i++) {
		struct piece *p = &t->pieces[i];
		char sized[NAME_MAX + 1], zone[16] = "";
		struct maildir_name n;

		p->in_new = p->flags == 0 && p->letters == 0;
		p->uid = b->uidnext++;
		snprintf(sized, sizeof(sized), "%s,S=%" PRIu64 ",W=%" PRIu64, p->base, p->size, p->wire);
		if (p->in_new)
			memcpy(p->final, sized, sizeof(sized));
		else
			(void)maildir_name_make(sized, p->flags, p->letters, p->final);
		if (p->zone != 0)
			snprintf(zone, sizeof(zone), " Z%" PRId32, p->zone);
		if (maildir_name_parse(p->final, &n))
			r = maildir_list_add(call, b, p->uid, p->final, n.base, zone, NULL);
	}
	if (r == 0)
		r = maildir_list_save(call, b);
	if (r != 0)
		maildir_list_cut(b, known, uidnext);
	return r;
}

static int move_in(struct mortise_call *call, struct transaction *t)
{
	struct maildir_box *b = t->box;
	bool into[2] = {false, false};
	size_t i;

	for (i = 0; i < t->count; i++) {
		struct piece *p = &t->pieces[i];

		if (maildir_move(b->tmp, p->base, p->in_new ? b->new : b->cur, p->final) != 0)
			return call->host->fault_errno(call, "%s/%s", b->place->path, p->final);
		p->moved = into[p->in_new] = true;
	}
	if ((into[0] && fsync(b->cur) != 0) || (into[1] && fsync(b->new) != 0))
		return call->host->fault_errno(call, "%s", b->place->path);
	return 0;
}

static void take_back(struct transaction *t)
{
	size_t i;

	for (i = 0; i < t->count; i++)
		if (t->pieces[i].moved)
			unlinkat(t->pieces[i].in_new ? t->box->new : t->box->cur, t->pieces[i].final, 0);
}

int maildir_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	struct transaction *t = tx;
	struct maildir_box *b = t->box;
	bool mine = false;
	size_t i;
	int r = finish_piece(call, t);

	if (r == 0)
		r = maildir_lock_take(call, b, &mine);
	if (r == 0) {
		r = announce(call, t);
		if (r == 0)
			r = move_in(call, t);
		if (r != 0)
			take_back(t);
		*uidvalidity = b->uidvalidity;
		for (i = 0; i < count && i < t->count; i++)
			uids[i] = t->pieces[i].uid;
		maildir_lock_drop(call, b, mine);
	}
	maildir_append_abort(call, t);
	return r;
}
