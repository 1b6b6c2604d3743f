/*
 * New messages: their text.
 *
 * It is brought into the form it will have in the mailbox: LF for CRLF, lines that begin with "From " quoted,
 * header fields that would be taken for the mailbox's own renamed to X-Original-…, in the whole header of
 * every message. commit then needs the lock only for as long as one write takes.
 *
 * Text that is copied from another mailbox of this kind has that form already; only its header is looked at.
 */
#include "append.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "from.h"

#define CHUNK 65536u
#define LEAST_ROOM 16384u
#define LINE_HEAD sizeof(((struct unix_append *)NULL)->head)
#define FROM_SIZE 5u /* "From " */
#define ORIGINAL "X-Original-"

static struct unix_append *append_of(void *tx)
{
	struct unix_append *a = tx;

	assert(a != NULL && a->magic == UNIX_APPEND_MAGIC);
	return a;
}

static void append_free(struct unix_append *a)
{
	if (a->fd >= 0)
		close(a->fd);
	for (size_t i = 0; i < a->count; i++)
		free(a->messages[i].words);
	free(a->messages);
	free(a->text);
	a->magic = 0;
	free(a);
}

int unix_op_append_begin(struct mortise_call *call, void *box, void **tx)
{
	struct unix_box *b = unix_box_of(box);
	struct unix_append *a;

	if (b->read_only)
		return call->host->fail(call, MORTISE_E_PERM, "The mailbox is open read-only");
	a = calloc(1, sizeof *a);
	if (a == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory for an append");
	a->magic = UNIX_APPEND_MAGIC;
	a->b = b;
	a->fd = -1;
	*tx = a;
	return 0;
}

/* ---- where it is collected ---- */

/* A file without a name beside the mailbox or in /tmp; in memory where there is none. */
static int nameless(struct mortise_call *call, struct unix_append *a)
{
	static const char *const places[] = {"/tmp", "/var/tmp"};

	a->fd = openat(a->b->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	for (size_t i = 0; a->fd < 0 && i < sizeof places / sizeof *places; i++)
		a->fd = open(places[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (a->fd < 0)
		a->fd = memfd_create("append", MFD_CLOEXEC);
	return a->fd < 0 ? call->host->fault_errno(call, "no place to collect a message") : 0;
}

/* What is in memory goes to the file. */
static int spool_flush(struct mortise_call *call, struct unix_append *a)
{
	const unsigned char *p = a->text;
	size_t left = a->fill;
	int r;

	if (a->fd < 0 && (r = nameless(call, a)) != 0)
		return r;
	while (left > 0) {
		ssize_t n = write(a->fd, p, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return call->host->fault_errno(call, "cannot collect a message");
		p += n;
		left -= (size_t)n;
	}
	a->spooled += a->fill;
	a->fill = 0;
	return 0;
}

static int spool_room(struct mortise_call *call, struct unix_append *a)
{
	size_t most = (size_t)a->b->options->append_memory;
	size_t room = a->text_room != 0 ? a->text_room * 2 : LEAST_ROOM;
	unsigned char *p = a->text_room < most ? realloc(a->text, room < most ? room : most) : NULL;

	if (p == NULL)
		return a->text_room == 0
		           ? call->host->fault(call, MORTISE_E_TEMP, "no memory to collect a message")
		           : spool_flush(call, a);
	a->text = p;
	a->text_room = room < most ? room : most;
	return 0;
}

static int spool(struct mortise_call *call, struct unix_append *a, const void *data, size_t size)
{
	const unsigned char *p = data;

	while (size > 0) {
		unsigned char *out, *nul;
		size_t n;
		int r;

		if (a->fill == a->text_room && (r = spool_room(call, a)) != 0)
			return r;
		n = a->text_room - a->fill < size ? a->text_room - a->fill : size;
		out = a->text + a->fill;
		memcpy(out, p, n);
		/* There is no NUL in a mailbox; c-client makes this of it. */
		for (nul = out; (nul = memchr(nul, 0, (size_t)(out + n - nul))) != NULL;)
			*nul = 0x80;
		a->last = out[n - 1];
		a->fill += n;
		a->size += n;
		p += n;
		size -= n;
	}
	return 0;
}

/* ---- the text, line by line ---- */

static bool says_from(const unsigned char *p, size_t size)
{
	return memcmp(p, "From ", size < FROM_SIZE ? size : FROM_SIZE) == 0;
}

/* What is to be done with the line cannot be told from its head yet. */
static bool undecided(const struct unix_append *a)
{
	if (a->head_size == LINE_HEAD)
		return false;
	if (a->header && a->head[a->head_size - 1] == '\r' && a->head[0] == '\r')
		return true;
	if (a->header && unix_field_may_follow(a->head, a->head_size))
		return true;
	if (!says_from(a->head, a->head_size))
		return false;
	return a->head_size < FROM_SIZE || a->b->options->from_quoting == UNIX_QUOTE_VALID;
}

/* Octets of a line, without its LF. */
static int line_octets(struct mortise_call *call, struct unix_append *a, const unsigned char *p, size_t size)
{
	size_t held = 0;
	int r;

	while (held < size && p[size - 1 - held] == '\r')
		held++;
	if (held < size) {
		for (; a->carriage_returns > 0; a->carriage_returns--)
			if ((r = spool(call, a, "\r", 1)) != 0)
				return r;
		if ((r = spool(call, a, p, size - held)) != 0)
			return r;
	}
	a->carriage_returns += held;
	return 0;
}

static bool must_quote(const struct unix_append *a, size_t size, bool whole)
{
	if (size < FROM_SIZE || !says_from(a->head, size))
		return false;
	return a->b->options->from_quoting == UNIX_QUOTE_ALL || !whole || unix_from_valid(a->head, size);
}

/* The line's head is known well enough; `whole`: it is all of the line, its LF left out. */
static int line_head(struct mortise_call *call, struct unix_append *a, bool whole)
{
	size_t size = a->head_size, text = size;
	int r = 0;

	a->head_size = 0;
	while (whole && text > 0 && a->head[text - 1] == '\r')
		text--;
	if (a->header && whole && text == 0)
		a->header = false;
	else if (a->header && unix_field_reserved(a->head, size))
		r = spool(call, a, ORIGINAL, sizeof ORIGINAL - 1);
	if (r == 0 && must_quote(a, size, whole))
		r = spool(call, a, ">", 1);
	return r != 0 ? r : line_octets(call, a, a->head, size);
}

static int line_end(struct mortise_call *call, struct unix_append *a)
{
	a->carriage_returns = 0;
	a->in_line = false;
	return spool(call, a, "\n", 1);
}

int unix_op_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size)
{
	struct unix_append *a = append_of(tx);
	const unsigned char *p = octets, *end = p + size;
	int r = 0;

	while (r == 0 && p < end) {
		if (a->in_line) {
			const unsigned char *lf = memchr(p, '\n', (size_t)(end - p));
			const unsigned char *stop = lf != NULL ? lf : end;
			r = line_octets(call, a, p, (size_t)(stop - p));
			p = stop;
			if (r == 0 && lf != NULL) {
				r = line_end(call, a);
				p++;
			}
			continue;
		}
		if (*p == '\n') {
			r = line_head(call, a, true);
			if (r == 0)
				r = line_end(call, a);
			p++;
			continue;
		}
		a->head[a->head_size++] = *p++;
		if (!undecided(a)) {
			a->in_line = true;
			r = line_head(call, a, false);
		}
	}
	return r;
}

/* ---- one message after another ---- */

/* The message written last is complete: its text ends with LF and its header with an empty line. */
static int message_end(struct mortise_call *call, struct unix_append *a)
{
	struct unix_appended *m;
	int r;

	if (a->count == 0)
		return 0;
	m = &a->messages[a->count - 1];
	if (a->head_size > 0 && (r = line_head(call, a, false)) != 0)
		return r;
	for (; a->carriage_returns > 0; a->carriage_returns--)
		if ((r = spool(call, a, "\r", 1)) != 0)
			return r;
	if (a->size == m->begin)
		return call->host->fail(call, MORTISE_E_INVALID, "The message is empty");
	if (a->last != '\n' && (r = spool(call, a, "\n", 1)) != 0)
		return r;
	if (a->header && (r = spool(call, a, "\n", 1)) != 0)
		return r;
	m->end = a->size;
	return 0;
}

static char *join_words(const struct mortise_append_info *info)
{
	size_t size = 1, at = 0;
	char *words;

	for (size_t i = 0; i < info->keyword_count; i++)
		size += strlen(info->keywords[i]) + 1;
	words = malloc(size);
	for (size_t i = 0; words != NULL && i < info->keyword_count; i++)
		at += (size_t)snprintf(words + at, size - at, " %s", info->keywords[i]);
	if (words != NULL)
		words[at] = '\0';
	return words;
}

/* Modules made for an older engine are given less. */
static uint32_t asked_uid(const struct mortise_append_info *info)
{
	return info->size >= offsetof(struct mortise_append_info, uid) + sizeof info->uid ? info->uid : 0;
}

int unix_op_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	struct unix_append *a = append_of(tx);
	struct unix_appended *m;
	int r = message_end(call, a);

	if (r != 0)
		return r;
	if (a->count == a->room) {
		size_t room = a->room != 0 ? a->room * 2 : 8;
		m = reallocarray(a->messages, room, sizeof *m);
		if (m == NULL)
			return call->host->fault(call, MORTISE_E_LIMIT, "no memory for %zu messages", room);
		a->messages = m;
		a->room = room;
	}
	m = &a->messages[a->count];
	*m = (struct unix_appended){.begin = a->size,
	    .end = a->size,
	    .letters = unix_letters_of_flags(info->flags),
	    .words = join_words(info),
	    .time = info->internal_date,
	    .zone = info->zone,
	    .uid = asked_uid(info)};
	if (m->words == NULL)
		return call->host->fault(call, MORTISE_E_LIMIT, "no memory for keywords");
	a->count++;
	a->last = 0;
	a->header = true;
	a->in_line = false;
	a->head_size = 0;
	return 0;
}

void unix_op_append_abort(struct mortise_call *call, void *tx)
{
	(void)call;
	append_free(append_of(tx));
}

int unix_op_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	struct unix_append *a = append_of(tx);
	bool taken = false;
	int r = message_end(call, a);

	if (r == 0 && count != a->count)
		r = call->host->fault(
		    call, MORTISE_E_INTERNAL, "%zu messages appended, %zu committed", a->count, count);
	if (r == 0 && count > 0)
		r = unix_lock_need(call, a->b, MORTISE_LOCK_EXCLUSIVE, &taken);
	if (r == 0 && count > 0) {
		r = unix_commit(call, a);
		*uidvalidity = a->b->uidvalidity;
		for (size_t i = 0; r == 0 && i < count; i++)
			uids[i] = a->messages[i].uid;
		if (taken)
			unix_lock_release(call, a->b);
	}
	append_free(a);
	return r;
}

/* ---- from another mailbox ---- */

/* Octets of a text that are lines, with what a file of this kind must not say quoted. `begun`: within a line.
 */
static int copy_lines(struct mortise_call *call, struct unix_append *a, const unsigned char *p, size_t size,
    size_t *used, bool whole)
{
	const unsigned char *at = p, *end = p + size;
	int r = 0;

	if (a->b->options->from_quoting != UNIX_QUOTE_ALL) {
		*used = size;
		return spool(call, a, p, size);
	}
	/* What may be the beginning of "\nFrom " is looked at again with what follows. */
	if (!whole)
		end -= size < FROM_SIZE ? size : FROM_SIZE;
	*used = (size_t)(end - p);
	while (r == 0 && at < end) {
		bool quote = a->last == '\n' && p + size - at >= FROM_SIZE && says_from(at, FROM_SIZE);
		const unsigned char *next =
		    memmem(at, (size_t)(p + size - at), "\nFrom ", 1 + (size_t)FROM_SIZE);
		const unsigned char *stop = next != NULL && next < end ? next + 1 : end;

		if (quote)
			r = spool(call, a, ">", 1);
		if (r == 0)
			r = spool(call, a, at, (size_t)(stop - at));
		at = stop;
	}
	return r;
}

/* Octets [from, end) of the other mailbox: a text, which is in the form of one. */
static int copy_text(struct mortise_call *call, struct unix_append *a, struct unix_box *from,
    unsigned char *chunk, struct mortise_extent e)
{
	while (e.length > 0) {
		size_t n = e.length < CHUNK ? (size_t)e.length : CHUNK, used;
		int r;

		if ((r = unix_stop(call, from)) != 0 ||
		    (r = unix_pread(call, from, chunk, n, e.offset)) != 0 ||
		    (r = copy_lines(call, a, chunk, n, &used, n == e.length)) != 0)
			return r;
		e.offset += used;
		e.length -= used;
	}
	return 0;
}

/* A header: what is renamed there, and whether it ends, is for the reader of lines. */
static int copy_header(struct mortise_call *call, struct unix_append *a, struct unix_box *from,
    unsigned char *chunk, struct mortise_extent e)
{
	while (e.length > 0) {
		size_t n = e.length < CHUNK ? (size_t)e.length : CHUNK;
		int r;

		if ((r = unix_pread(call, from, chunk, n, e.offset)) != 0 ||
		    (r = unix_op_append_write(call, a, chunk, n)) != 0)
			return r;
		e.offset += n;
		e.length -= n;
	}
	return 0;
}

static int copy_one(struct mortise_call *call, struct unix_append *a, struct unix_box *from,
    const struct mortise_ref *ref, unsigned char *chunk)
{
	struct mortise_source source = {.size = sizeof source};
	struct unix_locator l;
	int r = unix_op_read(call, from, ref, &source);

	if (r == 0)
		r = unix_find(call, from, ref, &l);
	for (size_t i = 0; r == 0 && i < source.extent_count; i++) {
		struct mortise_extent header = source.extents[i], text = header;
		uint64_t end = l.start + l.header;

		if (header.offset + header.length > end)
			header.length = header.offset < end ? end - header.offset : 0;
		text.offset += header.length;
		text.length -= header.length;
		if ((r = copy_header(call, a, from, chunk, header)) == 0 && text.length > 0)
			r = copy_text(call, a, from, chunk, text);
	}
	return r;
}

int unix_op_append_copy(struct mortise_call *call, void *tx, void *box, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t count)
{
	struct unix_append *a = append_of(tx);
	struct unix_box *from = unix_box_of(box);
	unsigned char *chunk = call->host->alloc(call, MORTISE_LIFE_CALL, CHUNK);
	struct unix_locator l;

	/* All are there before the first is added. */
	for (size_t i = 0; i < count; i++) {
		int r = unix_find(call, from, &refs[i], &l);
		if (r == MORTISE_E_EXPUNGED)
			r = call->host->fail(call, r, "The message is no longer there");
		if (r != 0)
			return r;
	}
	for (size_t i = 0; i < count; i++) {
		int r = unix_op_append_message(call, a, &infos[i]);
		if (r != 0 || (r = copy_one(call, a, from, &refs[i], chunk)) != 0)
			return r;
	}
	return 0;
}
