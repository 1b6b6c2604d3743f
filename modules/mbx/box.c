/*
 * Opening, closing, and the file's header.
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

/* Two changes by c-client this close to each other (ns) may look the same to fstat. */
#define RACY 50000000

struct mbx_box *mbx_box_of(void *box)
{
	struct mbx_box *b = box;

	assert(b != NULL && b->magic == MBX_BOX_MAGIC);
	return b;
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
	int64_t t;

	clock_gettime(CLOCK_REALTIME, &now);
	t = now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
	return p->mtime % 1000000000 == 0 && t - p->ctime < RACY;
}

int mbx_change_begin(struct mortise_call *call, struct mbx_box *b)
{
	struct mbx_print now;
	int r = mbx_print_of(call, b, &now);

	if (r == 0 && !mbx_print_same(&now, &b->print))
		b->sweep = true;
	return r;
}

/*
 * Read just now, but a second before new mail came, so that mailers say so. The fraction of the second is by
 * chance: the clock's steps are coarse, and so nobody else's change looks like ours.
 */
void mbx_change_end(struct mortise_call *call, struct mbx_box *b, bool added)
{
	struct timespec times[2];
	uint32_t noise;

	call->host->random(call, &noise, sizeof noise);
	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[1] = times[0];
	if (added)
		times[0].tv_sec--;
	times[1].tv_nsec = (long)(noise % 999999999) + 1;
	(void)!futimens(b->fd, times);
	if (mbx_print_of(call, b, &b->print) != 0)
		b->sweep = true;
	b->racy = false;
}

/* ---- the header ---- */

void mbx_header_new(char out[MBX_HEADER], uint32_t uidvalidity)
{
	int at = snprintf(out, MBX_HEADER, "*mbx*\r\n%08x%08x\r\n", uidvalidity, 0u);

	memset(out + at, 0, MBX_HEADER - (size_t)at);
	for (unsigned i = 0; i < MBX_KEYWORDS; i++, at += 2)
		memcpy(out + at, "\r\n", 2);
}

/* What may be a keyword: an atom, as c-client sees it. */
static bool keyword_valid(const char *p, size_t size)
{
	if (size == 0 || size > MBX_KEYWORD_MAX)
		return false;
	for (size_t i = 0; i < size; i++)
		if (p[i] <= ' ' || p[i] == 0x7f || (p[i] & 0x80) != 0 || strchr("(){%*\"\\]", p[i]) != NULL)
			return false;
	return true;
}

/* Lines that are no keyword, or one that was there before, keep their place and have no name. */
static void read_keywords(struct mbx_header *h, const char *p)
{
	const char *end = p + MBX_PID, *line = p + MBX_PREFIX, *cr;

	h->keyword_count = 0;
	for (h->used_slots = 0; h->used_slots < MBX_KEYWORDS; h->used_slots++, line = cr + 2) {
		size_t size;
		bool known = false;
		cr = memmem(line, (size_t)(end - line), "\r\n", 2);
		if (cr == NULL || cr == line)
			return;
		size = (size_t)(cr - line);
		if (!keyword_valid(line, size))
			continue;
		for (size_t i = 0; i < h->keyword_count; i++)
			known =
			    known || (strncasecmp(h->names[i], line, size) == 0 && h->names[i][size] == '\0');
		if (known)
			continue;
		h->slots[h->keyword_count] = (uint8_t)h->used_slots;
		memcpy(h->names[h->keyword_count], line, size);
		h->names[h->keyword_count++][size] = '\0';
	}
}

int mbx_keyword(struct mbx_box *b, const char *name, bool add)
{
	struct mbx_header *h = &b->header;
	size_t size = strlen(name);

	for (size_t i = 0; i < h->keyword_count; i++)
		if (strcasecmp(h->names[i], name) == 0)
			return (int)i;
	if (!add || !keyword_valid(name, size) || h->keyword_count >= b->options->keyword_limit ||
	    h->used_slots >= MBX_KEYWORDS)
		return -1;
	h->slots[h->keyword_count] = (uint8_t)h->used_slots++;
	memcpy(h->names[h->keyword_count], name, size + 1);
	return (int)h->keyword_count++;
}

int mbx_header_read(struct mortise_call *call, struct mbx_box *b)
{
	unsigned char p[MBX_HEADER];
	uint64_t uidvalidity, uidlast, note_uid = 0;
	int r = mbx_pread(call, b, p, sizeof p, 0);

	if (r != 0)
		return r;
	if (memcmp(p, "*mbx*\r\n", MBX_UIDS) != 0 || !mbx_hex(p + MBX_UIDS, 8, &uidvalidity) ||
	    !mbx_hex(p + MBX_UIDS + 8, 8, &uidlast) || memcmp(p + MBX_PREFIX - 2, "\r\n", 2) != 0)
		return call->host->fault(call, MORTISE_E_CORRUPT,
		    "%s: the first %u octets are not those of an mbx file", b->place->name, MBX_PREFIX);
	b->header.uidvalidity = (uint32_t)uidvalidity;
	b->header.uidlast = (uint32_t)uidlast;
	b->header.note = p[MBX_NOTE] == 'A' && mbx_hex(p + MBX_NOTE + 1, 16, &b->header.note_size) &&
	                 mbx_hex(p + MBX_NOTE + 17, 8, &note_uid) && b->header.note_size >= MBX_HEADER;
	b->header.note_uid = (uint32_t)note_uid;
	read_keywords(&b->header, (const char *)p);
	return 0;
}

int mbx_header_write_uids(struct mortise_call *call, struct mbx_box *b)
{
	char text[32];
	int r;

	snprintf(text, sizeof text, "%08x%08x", b->uidvalidity, b->uidlast);
	if ((r = mbx_pwrite(call, b, text, 16, MBX_UIDS)) != 0)
		return r;
	b->header.uidvalidity = b->uidvalidity;
	b->header.uidlast = b->uidlast;
	return 0;
}

/* Only the lines from the first new one on: those before stay as they are, whatever they are. */
int mbx_header_write_keywords(struct mortise_call *call, struct mbx_box *b)
{
	const struct mbx_header *h = &b->header;
	char p[MBX_HEADER];
	unsigned slot = 0;
	size_t at = MBX_PREFIX, from;
	int r = mbx_pread(call, b, p, sizeof p, 0);

	if (r != 0)
		return r;
	for (; slot < h->used_slots; slot++) {
		const char *cr = memmem(p + at, MBX_NOTE - at, "\r\n", 2);
		if (cr == NULL || cr == p + at)
			break;
		at = (size_t)(cr - p) + 2;
	}
	from = at;
	for (size_t i = 0; i < h->keyword_count; i++)
		if (h->slots[i] >= slot) {
			size_t size = strlen(h->names[i]);
			if (at + size + 2 + 2 * (MBX_KEYWORDS - slot) > MBX_NOTE)
				return call->host->fail(
				    call, MORTISE_E_LIMIT, "There is no room for another keyword");
			memcpy(p + at, h->names[i], size);
			memcpy(p + at + size, "\r\n", 2);
			at += size + 2;
			slot++;
		}
	for (; slot < MBX_KEYWORDS && at + 2 <= MBX_NOTE; slot++, at += 2)
		memcpy(p + at, "\r\n", 2);
	memset(p + at, 0, MBX_NOTE - at);
	return mbx_pwrite(call, b, p + from, MBX_NOTE - from, from);
}

int mbx_header_write_note(struct mortise_call *call, struct mbx_box *b, uint64_t size)
{
	char text[32] = "";

	if (size != 0)
		snprintf(text, sizeof text, "A%016llx%08x", (unsigned long long)size, b->uidlast);
	b->header.note = size != 0;
	b->header.note_size = size;
	return mbx_pwrite(call, b, text, MBX_NOTE_SIZE, MBX_NOTE);
}

int mbx_header_write_pid(struct mortise_call *call, struct mbx_box *b)
{
	char text[16];

	snprintf(text, sizeof text, "%08x\r\n", (unsigned)getpid());
	return mbx_pwrite(call, b, text, 10, MBX_PID);
}

/* Rises, also when mailboxes are made and removed faster than seconds pass. */
uint32_t mbx_uidvalidity_new(struct mbx_state *s, uint32_t old)
{
	uint32_t now = (uint32_t)time(NULL);

	if (now <= old)
		now = old + 1;
	s->uidvalidity = now > s->uidvalidity ? now : s->uidvalidity + 1;
	if (s->uidvalidity == 0)
		s->uidvalidity = 1;
	return s->uidvalidity;
}

/* ---- open and close ---- */

static struct mbx_state *state_of(struct mortise_call *call)
{
	if (call->instance->state == NULL)
		call->instance->state =
		    call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(struct mbx_state));
	return call->instance->state;
}

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
	b->state = state_of(call);
	b->read_only = open_flags & MORTISE_OPEN_READ_ONLY;
	b->fd = b->lock_fd = -1;
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

/* Space of messages that could only be marked goes now, if it can be had without waiting for anybody. */
static void reclaim(struct mortise_call *call, struct mbx_box *b)
{
	if (b->read_only || !b->loaded || b->live == b->end - MBX_HEADER)
		return;
	if (b->lock_fd < 0 && mbx_lock_take(call, b, MORTISE_LOCK_EXCLUSIVE, call->host->now(call)) != 0)
		return;
	if (mbx_header_read(call, b) == 0 && mbx_load(call, b) == 0)
		(void)!mbx_compact(call, b);
}

void mbx_op_close(struct mortise_call *call, void *box)
{
	struct mbx_box *b = mbx_box_of(box);

	reclaim(call, b);
	mbx_lock_release(b);
	close(b->fd);
	mbx_forget(b);
	free(b->records);
	free(b->gone);
	b->magic = 0;
}
