#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "keep.h"

#define KEYWORDS 64u
#define MARKER_SIZE 96
#define LOCATOR_SIZE \
	(2 * sizeof(uint32_t)) /* UID; UIDVALIDITY, which tells this process's messages from others */

/* A message's octets; held by the message and by a box that has just read it. */
struct text {
	size_t holders, size, room;
	unsigned char *octets;
};

struct message {
	uint32_t uid, flags;
	uint64_t keywords;
	int64_t date;
	int32_t zone;
	uint64_t added, changed; /* numbers of the changes that did so */
	struct text *text;
};

struct lost {
	uint32_t uid;
	uint64_t change;
};

/* A mailbox's content. */
struct content {
	struct content *next;
	dev_t dev;
	ino_t ino;
	uint64_t number;
	char *path; /* without files: the key */
	const char *kind;
	size_t boxes;
	bool removed;
	uint32_t uidvalidity, uidnext;
	uint64_t change; /* number of the last one */
	char *keywords[KEYWORDS];
	size_t keyword_count;
	struct message *messages;
	size_t count, room;
	struct lost *lost;
	size_t lost_count, lost_room;
	const void *exclusive; /* the box that holds it */
	size_t shared;
};

struct box {
	struct content *c;
	const struct mortise_place *place;
	bool read_only;
	int mode;
	struct text *reading;
	int file; /* for as_lf_file, or -1 */
	struct mortise_extent extent;
};

struct batch {
	struct box *box;
	struct message *messages;
	char *(*names)[KEYWORDS]; /* keywords of each message */
	size_t count, room;
};

static struct content *contents;

/* ---- memory ---- */
static void *grow(struct mortise_call *call, void *p, size_t *room, size_t need, size_t size, int *r)
{
	size_t more = *room != 0 ? *room : 16;
	void *q;

	*r = 0;
	while (more < need)
		more *= 2;
	if (more == *room)
		return p;
	q = reallocarray(p, more, size);
	if (q == NULL) {
		*r = call->host->fault(call, MORTISE_E_TEMP, "no memory for %zu entries", more);
		return p;
	}
	*room = more;
	return q;
}

static void text_release(struct text *t)
{
	if (t == NULL || --t->holders > 0)
		return;
	free(t->octets);
	free(t);
}

static struct text *text_new(void)
{
	struct text *t = calloc(1, sizeof(*t));

	if (t != NULL)
		t->holders = 1;
	return t;
}

static void content_free(struct content *c)
{
	struct content **p;
	size_t i;

	for (p = &contents; *p != NULL && *p != c; p = &(*p)->next)
		;
	if (*p == c)
		*p = c->next;
	for (i = 0; i < c->count; i++)
		text_release(c->messages[i].text);
	for (i = 0; i < c->keyword_count; i++)
		free(c->keywords[i]);
	free(c->messages);
	free(c->lost);
	free(c->path);
	free(c);
}

/* ---- markers ---- */
static int marker(const struct keep_kind *k, uint64_t number, char out[MARKER_SIZE])
{
	return snprintf(out, MARKER_SIZE, "Mortise %s mailbox\n%016" PRIx64 "\n", k->name, number);
}

/* The number in a marker; 0: not one of this kind. */
static uint64_t marker_number(const struct keep_kind *k, const unsigned char *head, size_t size)
{
	char want[MARKER_SIZE];
	uint64_t number = 0;
	int n = marker(k, 0, want), i;

	if (size != (size_t)n || memcmp(head, want, (size_t)n - 17) != 0 || head[n - 1] != '\n')
		return 0;
	for (i = n - 17; i < n - 1; i++) {
		const char *digits = "0123456789abcdef", *d = memchr(digits, head[i], 16);

		if (d == NULL)
			return 0;
		number = number << 4 | (uint64_t)(d - digits);
	}
	return number;
}

struct found {
	dev_t dev;
	ino_t ino;
	uint64_t number; /* 0: an empty file */
};

/* What is at the place: 0, NOTFOUND, CORRUPT… */
static int look(
    struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *p, struct found *out)
{
	unsigned char head[MARKER_SIZE];
	struct stat st;
	ssize_t n;
	int fd;

	*out = (struct found){0};
	if (p->root < 0)
		return 0;
	fd = call->host->open_below(call, p->root, p->path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 && errno == ENOENT)
		return call->host->fail(call, MORTISE_E_NOTFOUND, "No such mailbox");
	if (fd < 0)
		return call->host->fault_errno(call, "open %s", p->path);
	if (fstat(fd, &st) != 0 || (n = pread(fd, head, sizeof(head), 0)) < 0) {
		close(fd);
		return call->host->fault_errno(call, "read %s", p->path);
	}
	close(fd);
	out->dev = st.st_dev;
	out->ino = st.st_ino;
	out->number = marker_number(k, head, (size_t)n);
	if (n > 0 && out->number == 0)
		return call->host->fault(call, MORTISE_E_CORRUPT, "%s: no marker at octet 0", p->path);
	return 0;
}

static int write_marker(struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *p,
    uint64_t number, int flags)
{
	char text[MARKER_SIZE];
	int n = marker(k, number, text), fd, r = 0;

	fd = call->host->open_below(call, p->root, p->path, O_WRONLY | O_NONBLOCK | flags, p->file_mode);
	if (fd < 0)
		return call->host->fault_errno(call, "open %s for writing", p->path);
	if (pwrite(fd, text, (size_t)n, 0) != n || ((flags & O_CREAT) != 0 && fchmod(fd, p->file_mode) != 0))
		r = call->host->fault_errno(call, "write %s", p->path);
	close(fd);
	return r;
}

/* ---- finding content ---- */
static bool belongs(const struct content *c, const struct mortise_place *p, const struct found *f)
{
	if (p->root < 0)
		return c->path != NULL && strcmp(c->path, p->path) == 0;
	if (c->path != NULL || c->number != f->number)
		return false;
	return f->number != 0 || (c->dev == f->dev && c->ino == f->ino);
}

static struct content *find(const struct keep_kind *k, const struct mortise_place *p, const struct found *f)
{
	struct content *c;

	for (c = contents; c != NULL; c = c->next)
		if (!c->removed && strcmp(c->kind, k->name) == 0 && belongs(c, p, f))
			return c;
	return NULL;
}

/*
 * What is in memory is gone with its process, while an index remembers the mailbox. So another process's
 * content may have no UIDVALIDITY that was there before: it begins anywhere and rises from there.
 */
static uint32_t fresh_uidvalidity(struct mortise_call *call)
{
	static uint32_t last;

	if (last == 0)
		call->host->random(call, &last, sizeof(last));
	last = (last & 0x7fffffffu) + 1;
	return last;
}

static int content_new(struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *p,
    const struct found *f, struct content **out)
{
	struct content *c = calloc(1, sizeof(*c));

	if (c == NULL || (p->root < 0 && (c->path = strdup(p->path)) == NULL)) {
		free(c);
		return call->host->fault(call, MORTISE_E_TEMP, "no memory");
	}
	c->kind = k->name;
	c->dev = f->dev;
	c->ino = f->ino;
	c->number = f->number;
	c->uidvalidity = fresh_uidvalidity(call);
	c->uidnext = 1;
	c->next = contents;
	contents = c;
	*out = c;
	return 0;
}

/* ---- the callbacks ---- */
int keep_recognise(struct mortise_call *call, const struct keep_kind *k, const struct mortise_probe *probe)
{
	struct found f = {0};
	char start[MARKER_SIZE];
	int n = marker(k, 0, start) - 17;

	if (probe->fd < 0)
		return find(k, probe->place, &f) != NULL ? MORTISE_MINE : MORTISE_NOT_MINE;
	if (probe->head_size < (size_t)n || memcmp(probe->head, start, (size_t)n) != 0)
		return MORTISE_NOT_MINE;
	if (marker_number(k, probe->head, probe->head_size) != 0)
		return MORTISE_MINE;
	call->host->fault(call, MORTISE_E_CORRUPT, "%s: bad number at octet %d", probe->place->path, n);
	return MORTISE_DAMAGED;
}

int keep_create(struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *place)
{
	struct found f = {0};
	struct content *c;

	if (place->root < 0) {
		if (find(k, place, &f) != NULL)
			return call->host->fail(call, MORTISE_E_EXISTS, "Mailbox already exists");
		return content_new(call, k, place, &f, &c);
	}
	while (f.number == 0)
		call->host->random(call, &f.number, sizeof(f.number));
	return write_marker(call, k, place, f.number, O_CREAT | O_EXCL);
}

int keep_open(struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *place,
    uint32_t open_flags, struct mortise_box_info *info, void **box)
{
	struct content *c;
	struct found f;
	struct box *b;
	int r = look(call, k, place, &f);

	if (r != 0)
		return r;
	b = call->host->alloc(call, MORTISE_LIFE_BOX, sizeof(*b));
	*b = (struct box){.place = place,
	    .read_only = (open_flags & MORTISE_OPEN_READ_ONLY) != 0,
	    .mode = MORTISE_LOCK_NONE,
	    .file = -1};
	c = find(k, place, &f);
	if (c == NULL) {
		if (place->root < 0)
			return call->host->fail(call, MORTISE_E_NOTFOUND, "No such mailbox");
		r = content_new(call, k, place, &f, &c);
		if (r != 0)
			return r;
		b->c = c;
		r = k->load != NULL ? k->load(call, k, b) : 0;
		if (r != 0) {
			content_free(c);
			return r;
		}
	}
	b->c = c;
	c->boxes++;
	info->uidvalidity = k->no_uids ? 0 : c->uidvalidity;
	info->uidnext = k->no_uids ? 0 : c->uidnext;
	info->permanent_flags = MORTISE_FLAGS_SYSTEM;
	info->keyword_limit = k->keyword_limit < KEYWORDS ? k->keyword_limit : KEYWORDS;
	info->may_create_keywords = info->keyword_limit > 0;
	info->read_only = b->read_only;
	*box = b;
	return 0;
}

static void describe(
    const struct keep_kind *k, const struct content *c, const struct message *m, struct mortise_message *out)
{
	*out = (struct mortise_message){.size = sizeof(*out),
	    .uid = k->no_uids ? 0 : m->uid,
	    .flags = m->flags,
	    .keywords = m->keywords,
	    .internal_date = m->date,
	    .zone = m->zone,
	    .octets = k->no_sizes ? MORTISE_SIZE_UNKNOWN : m->text->size,
	    .locator_size = LOCATOR_SIZE};
	memcpy(out->locator, &m->uid, sizeof(m->uid));
	memcpy(out->locator + sizeof(m->uid), &c->uidvalidity, sizeof(c->uidvalidity));
}

/* Everything since change `since`, or all when `full`. */
static int report(struct mortise_call *call, const struct keep_kind *k, const struct content *c,
    uint64_t since, bool full, const struct mortise_sink *sink)
{
	size_t i;
	int r = 0;

	if (full)
		r = sink->full_scan(sink->engine, k->no_uids ? 0 : c->uidvalidity);
	if (r == 0)
		r = sink->keywords(sink->engine, (const char *const *)c->keywords, c->keyword_count);
	for (i = 0; r == 0 && !full && i < c->lost_count; i++)
		if (c->lost[i].change > since)
			r = sink->vanished(sink->engine, c->lost[i].uid);
	for (i = 0; r == 0 && i < c->count; i++) {
		const struct message *m = &c->messages[i];
		struct mortise_message out;

		if (!full && m->changed <= since)
			continue;
		r = call->host->should_stop(call);
		if (r != 0)
			break;
		describe(k, c, m, &out);
		r = full || m->added > since ? sink->added(sink->engine, &out)
		                             : sink->changed(sink->engine, &out);
	}
	if (r == 0 && !k->no_uids)
		r = sink->uidnext(sink->engine, c->uidnext);
	return r;
}

/* Whether the place still holds this content: 0, NOTFOUND, or another's content in *other. */
static int still_there(
    struct mortise_call *call, const struct keep_kind *k, const struct box *b, struct content **other)
{
	struct found f;
	int r;

	*other = NULL;
	if (b->c->removed)
		return call->host->fail(call, MORTISE_E_NOTFOUND, "No such mailbox");
	r = look(call, k, b->place, &f);
	if (r != 0 || belongs(b->c, b->place, &f))
		return r;
	*other = find(k, b->place, &f);
	return *other != NULL ? 0 : content_new(call, k, b->place, &f, other);
}

/* In a cursor. */
struct since {
	uint64_t uidvalidity, change;
};

int keep_sync(struct mortise_call *call, const struct keep_kind *k, void *box, struct mortise_cursor *cursor,
    const struct mortise_sink *sink)
{
	struct box *b = box;
	struct content *other;
	struct since since = {0};
	bool full;
	int r = still_there(call, k, b, &other);

	if (r != 0)
		return r;
	if (other != NULL)
		return report(call, k, other, 0, true, sink);
	if (cursor->size == sizeof(since))
		memcpy(&since, cursor->data, sizeof(since));
	full = since.uidvalidity != b->c->uidvalidity;
	if (!full && since.change == b->c->change)
		return 0;
	r = report(call, k, b->c, since.change, full || k->full_scans || k->no_uids, sink);
	if (r == 0) {
		since = (struct since){.uidvalidity = b->c->uidvalidity, .change = b->c->change};
		cursor->size = sizeof(since);
		memcpy(cursor->data, &since, sizeof(since));
	}
	return r;
}

static uint32_t ref_uid(const struct mortise_ref *ref)
{
	uint32_t uid = 0;

	if (ref->locator_size >= sizeof(uid))
		memcpy(&uid, ref->locator, sizeof(uid));
	return uid;
}

static struct message *by_uid(const struct content *c, uint32_t uid)
{
	size_t low = 0, high = c->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->messages[mid].uid == uid)
			return &c->messages[mid];
		if (c->messages[mid].uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* The text as a file with LF lines, for as_lf_file. */
static int give_file(
    struct mortise_call *call, struct box *b, const struct text *t, struct mortise_source *source)
{
	char *lines = call->host->alloc(call, MORTISE_LIFE_CALL, t->size + 1);
	size_t i, n = 0;

	for (i = 0; i < t->size; i++)
		if (t->octets[i] != '\r' || i + 1 == t->size || t->octets[i + 1] != '\n')
			lines[n++] = (char)t->octets[i];
	if (b->file < 0)
		b->file = memfd_create("message", MFD_CLOEXEC);
	if (b->file < 0 || ftruncate(b->file, (off_t)n) != 0 || pwrite(b->file, lines, n, 0) != (ssize_t)n)
		return call->host->fault_errno(call, "file for a message");
	b->extent = (struct mortise_extent){.offset = 0, .length = n};
	source->fd = b->file;
	source->newline = MORTISE_NEWLINE_LF;
	return 0;
}

int keep_read(struct mortise_call *call, const struct keep_kind *k, void *box, const struct mortise_ref *ref,
    struct mortise_source *source)
{
	struct box *b = box;
	const struct message *m = b->c->removed ? NULL : by_uid(b->c, ref_uid(ref));

	if (m == NULL)
		return call->host->fail(call, MORTISE_E_EXPUNGED, "Some of the messages no longer exist");
	text_release(b->reading);
	b->reading = m->text;
	b->reading->holders++;
	b->extent = (struct mortise_extent){.offset = 0, .length = m->text->size};
	source->fd = -1;
	source->newline = MORTISE_NEWLINE_CRLF;
	source->memory = m->text->octets != NULL ? m->text->octets : (const unsigned char *)"";
	source->extents = &b->extent;
	source->extent_count = 1;
	return k->as_lf_file ? give_file(call, b, m->text, source) : 0;
}

int keep_append_begin(struct mortise_call *call, void *box, void **tx)
{
	struct box *b = box;
	struct batch *t;

	if (b->read_only)
		return call->host->fail(call, MORTISE_E_PERM, "Mailbox is read-only");
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory");
	t->box = b;
	*tx = t;
	return 0;
}

int keep_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	struct batch *t = tx;
	size_t room = t->room, i;
	struct message *m;
	int r;

	t->messages = grow(call, t->messages, &room, t->count + 1, sizeof(*t->messages), &r);
	if (r == 0)
		t->names = grow(call, t->names, &t->room, t->count + 1, sizeof(*t->names), &r);
	if (r != 0)
		return r;
	m = &t->messages[t->count];
	*m = (struct message){.flags = (info->flags & MORTISE_FLAGS_SYSTEM) | MORTISE_FLAG_RECENT,
	    .date = info->internal_date,
	    .zone = info->zone,
	    .text = text_new()};
	memset(t->names[t->count], 0, sizeof(t->names[0]));
	if (m->text == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory");
	t->count++;
	for (i = 0; i < info->keyword_count && i < KEYWORDS; i++) {
		t->names[t->count - 1][i] = strdup(info->keywords[i]);
		if (t->names[t->count - 1][i] == NULL)
			return call->host->fault(call, MORTISE_E_TEMP, "no memory");
	}
	return 0;
}

static int text_add(struct mortise_call *call, struct text *t, const void *octets, size_t size)
{
	int r;

	t->octets = grow(call, t->octets, &t->room, t->size + size, 1, &r);
	if (r == 0) {
		memcpy(t->octets + t->size, octets, size);
		t->size += size;
	}
	return r;
}

int keep_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size)
{
	struct batch *t = tx;
	int r = call->host->should_stop(call);

	return r != 0 ? r : text_add(call, t->messages[t->count - 1].text, octets, size);
}

static int find_keyword(const struct content *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->keyword_count; i++)
		if (strcasecmp(c->keywords[i], name) == 0)
			return (int)i;
	return -1;
}

/* The bit of a keyword, made when there is room; -1 else. */
static int make_keyword(struct content *c, const struct keep_kind *k, const char *name)
{
	int bit = find_keyword(c, name);

	if (bit >= 0 || c->keyword_count >= KEYWORDS || c->keyword_count >= k->keyword_limit)
		return bit;
	c->keywords[c->keyword_count] = strdup(name);
	return c->keywords[c->keyword_count] != NULL ? (int)c->keyword_count++ : -1;
}

static void batch_free(struct batch *t)
{
	size_t i, j;

	for (i = 0; i < t->count; i++) {
		text_release(t->messages[i].text);
		for (j = 0; j < KEYWORDS; j++)
			free(t->names[i][j]);
	}
	free(t->messages);
	free(t->names);
	free(t);
}

/* An empty file that gets its first message becomes a marker. */
static int settle(struct mortise_call *call, const struct keep_kind *k, struct box *b)
{
	uint64_t number = 0;
	int r;

	if (b->place->root < 0 || b->c->number != 0)
		return 0;
	while (number == 0)
		call->host->random(call, &number, sizeof(number));
	r = write_marker(call, k, b->place, number, 0);
	if (r == 0)
		b->c->number = number;
	return r;
}

static int insert(struct mortise_call *call, struct content *c, const struct message *from, uint32_t *uid)
{
	struct message *m;
	int r;

	if (c->uidnext >= UINT32_MAX - 1)
		return call->host->fault(call, MORTISE_E_LIMIT, "no UIDs are left");
	c->messages = grow(call, c->messages, &c->room, c->count + 1, sizeof(*c->messages), &r);
	if (r != 0)
		return r;
	m = &c->messages[c->count++];
	*m = *from;
	m->text->holders++;
	m->uid = *uid = c->uidnext++;
	m->added = m->changed = c->change + 1;
	return 0;
}

static int commit(struct mortise_call *call, const struct keep_kind *k, struct batch *t, uint32_t *uids)
{
	struct content *c = t->box->c;
	size_t before = c->count, i, j;
	int r = settle(call, k, t->box);

	for (i = 0; r == 0 && i < t->count; i++) {
		for (j = 0; j < KEYWORDS && t->names[i][j] != NULL; j++) {
			int bit = make_keyword(c, k, t->names[i][j]);

			if (bit >= 0)
				t->messages[i].keywords |= UINT64_C(1) << bit;
		}
		r = insert(call, c, &t->messages[i], &uids[i]);
	}
	if (r != 0) {
		while (c->count > before)
			text_release(c->messages[--c->count].text);
		return r;
	}
	c->change++;
	for (i = 0; k->no_uids && i < t->count; i++)
		uids[i] = 0;
	return 0;
}

int keep_append_commit(struct mortise_call *call, const struct keep_kind *k, void *tx, uint32_t *uidvalidity,
    uint32_t *uids, size_t count)
{
	struct batch *t = tx;
	int r = 0;

	if (count != t->count)
		r = call->host->fault(
		    call, MORTISE_E_INTERNAL, "%zu messages begun, %zu committed", t->count, count);
	else if (t->box->c->removed)
		r = call->host->fail(call, MORTISE_E_NOTFOUND, "No such mailbox");
	else if (t->box->c->exclusive != NULL && t->box->c->exclusive != t->box)
		r = call->host->fault(call, MORTISE_E_INUSE, "locked by another session of this process");
	if (r == 0)
		r = commit(call, k, t, uids);
	if (r == 0)
		*uidvalidity = k->no_uids ? 0 : t->box->c->uidvalidity;
	batch_free(t);
	return r;
}

void keep_append_abort(struct mortise_call *call, void *tx)
{
	(void)call;
	batch_free(tx);
}

/* Only under the exclusive lock: the engine's promise. */
static int may_change(struct mortise_call *call, const struct box *b)
{
	if (b->read_only)
		return call->host->fail(call, MORTISE_E_PERM, "Mailbox is read-only");
	if (b->c->exclusive != b)
		return call->host->fault(call, MORTISE_E_INTERNAL, "changed without the exclusive lock");
	return b->c->removed ? call->host->fail(call, MORTISE_E_NOTFOUND, "No such mailbox") : 0;
}

int keep_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count)
{
	struct box *b = box;
	size_t i;
	int r = may_change(call, b);

	if (r != 0)
		return r;
	b->c->change++;
	for (i = 0; i < count; i++) {
		struct message *m = by_uid(b->c, ref_uid(&changes[i].ref));

		if (m == NULL)
			continue;
		m->flags = (m->flags & MORTISE_FLAG_RECENT) | (changes[i].flags & MORTISE_FLAGS_SYSTEM);
		m->keywords = changes[i].keywords;
		m->changed = b->c->change;
	}
	return 0;
}

int keep_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct box *b = box;
	struct content *c = b->c;
	size_t i, kept = 0;
	int r = may_change(call, b);

	if (r != 0)
		return r;
	c->lost = grow(call, c->lost, &c->lost_room, c->lost_count + count, sizeof(*c->lost), &r);
	if (r != 0)
		return r;
	c->change++;
	for (i = 0; i < count; i++) {
		struct message *m = by_uid(c, ref_uid(&refs[i]));

		if (m == NULL || m->text == NULL)
			continue;
		text_release(m->text);
		m->text = NULL;
		c->lost[c->lost_count++] = (struct lost){.uid = m->uid, .change = c->change};
	}
	for (i = 0; i < c->count; i++)
		if (c->messages[i].text != NULL)
			c->messages[kept++] = c->messages[i];
	c->count = kept;
	return 0;
}

static void unlock(struct box *b)
{
	if (b->mode == MORTISE_LOCK_EXCLUSIVE)
		b->c->exclusive = NULL;
	else if (b->mode == MORTISE_LOCK_SHARED)
		b->c->shared--;
	b->mode = MORTISE_LOCK_NONE;
}

int keep_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline)
{
	struct box *b = box;
	int r;

	unlock(b);
	while (mode != MORTISE_LOCK_NONE &&
	       (b->c->exclusive != NULL || (mode == MORTISE_LOCK_EXCLUSIVE && b->c->shared > 0))) {
		if (call->host->now(call) >= deadline)
			return call->host->fault(
			    call, MORTISE_E_INUSE, "locked by another session of this process");
		r = call->host->sleep(call, 10);
		if (r != 0)
			return r;
	}
	if (mode == MORTISE_LOCK_EXCLUSIVE)
		b->c->exclusive = b;
	else if (mode == MORTISE_LOCK_SHARED)
		b->c->shared++;
	b->mode = mode;
	return 0;
}

void keep_close(struct mortise_call *call, void *box)
{
	struct box *b = box;

	(void)call;
	unlock(b);
	text_release(b->reading);
	b->reading = NULL;
	if (b->file >= 0)
		close(b->file);
	if (--b->c->boxes == 0 && b->c->removed)
		content_free(b->c);
}

int keep_add_keyword(
    struct mortise_call *call, const struct keep_kind *k, void *box, const char *name, unsigned *bit)
{
	struct box *b = box;
	size_t before = b->c->keyword_count;
	int i, r = may_change(call, b);

	if (r != 0)
		return r;
	i = make_keyword(b->c, k, name);
	if (i < 0)
		return call->host->fail(call, MORTISE_E_LIMIT, "No room for another keyword");
	*bit = (unsigned)i;
	if (b->c->keyword_count != before)
		b->c->change++;
	return 0;
}

/* The directory that holds the place, for calls that take a name in a directory; -1 with the fault told. */
static int parent(struct mortise_call *call, const struct mortise_place *p, const char **last)
{
	const char *slash = strrchr(p->path, '/');
	const char *dir = slash == NULL ? "."
	                                : call->host->print(call, MORTISE_LIFE_CALL, "%.*s",
	                                      (int)(slash - p->path), p->path);
	int fd = call->host->open_below(call, p->root, dir, O_PATH | O_DIRECTORY, 0);

	*last = slash == NULL ? p->path : slash + 1;
	if (fd < 0)
		call->host->fault_errno(call, "open the directory of %s", p->path);
	return fd;
}

static int unlink_file(struct mortise_call *call, const struct mortise_place *p)
{
	const char *last;
	int dir = parent(call, p, &last), r = 0;

	if (dir < 0)
		return MORTISE_E_IO;
	if (unlinkat(dir, last, 0) != 0)
		r = call->host->fault_errno(call, "unlink %s", p->path);
	close(dir);
	return r;
}

static int rename_file(
    struct mortise_call *call, const struct mortise_place *from, const struct mortise_place *to)
{
	const char *old_last, *new_last;
	int old_dir = parent(call, from, &old_last), new_dir, r = 0;

	if (old_dir < 0)
		return MORTISE_E_IO;
	new_dir = parent(call, to, &new_last);
	if (new_dir < 0)
		r = MORTISE_E_IO;
	else if (renameat2(old_dir, old_last, new_dir, new_last, RENAME_NOREPLACE) != 0)
		r = call->host->fault_errno(call, "rename %s to %s", from->path, to->path);
	close(old_dir);
	if (new_dir >= 0)
		close(new_dir);
	return r;
}

int keep_remove(struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *place)
{
	struct content *c;
	struct found f;
	int r = look(call, k, place, &f);

	if (r != 0)
		return r;
	c = find(k, place, &f);
	if (c != NULL && c->exclusive != NULL)
		return call->host->fault(call, MORTISE_E_INUSE, "locked by another session of this process");
	if (place->root >= 0 && (r = unlink_file(call, place)) != 0)
		return r;
	if (c != NULL) {
		c->removed = true;
		if (c->boxes == 0)
			content_free(c);
	}
	return 0;
}

int keep_rename(struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *from,
    const struct mortise_place *to)
{
	struct content *c;
	struct found f;
	char *path;
	int r = look(call, k, from, &f);

	if (r != 0)
		return r;
	c = find(k, from, &f);
	if (c != NULL && c->exclusive != NULL)
		return call->host->fault(call, MORTISE_E_INUSE, "locked by another session of this process");
	if (from->root >= 0)
		return rename_file(call, from, to);
	if (c == NULL)
		return call->host->fail(call, MORTISE_E_NOTFOUND, "No such mailbox");
	path = strdup(to->path);
	if (path == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory");
	free(c->path);
	c->path = path;
	return 0;
}

int keep_watch(struct mortise_call *call, void *box, struct mortise_watch *watch)
{
	const struct box *b = box;

	(void)call;
	watch->paths[0] = b->place->path;
	watch->count = 1;
	return 0;
}

int keep_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count)
{
	struct box *b = box;
	size_t i;

	if (b->read_only)
		return call->host->fail(call, MORTISE_E_PERM, "Mailbox is read-only");
	b->c->change++;
	for (i = 0; i < count; i++) {
		struct message *m = by_uid(b->c, ref_uid(&refs[i]));

		if (m == NULL)
			continue;
		m->flags &= ~MORTISE_FLAG_RECENT;
		m->changed = b->c->change;
	}
	return 0;
}

void keep_set_uidvalidity(void *box, uint32_t uidvalidity)
{
	((struct box *)box)->c->uidvalidity = uidvalidity;
}

int keep_add(
    struct mortise_call *call, void *box, const void *text, size_t size, uint32_t flags, int64_t date)
{
	struct message m = {.flags = flags, .date = date, .text = text_new()};
	uint32_t uid;
	int r;

	if (m.text == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory");
	r = text_add(call, m.text, text, size);
	if (r == 0)
		r = insert(call, ((struct box *)box)->c, &m, &uid);
	text_release(m.text);
	return r;
}
