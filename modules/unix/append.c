/*
 * New messages.
 *
 * The text of a batch is collected in a file without a name, already in the form it will have: LF for CRLF,
 * lines that begin with "From " quoted, header fields that would be taken for the mailbox's own renamed to
 * X-Original-…, in the whole header of every message. commit then needs the lock only for as long as copying
 * takes. What fails there is cut off again.
 *
 * While a c-client program has the mailbox open for writing, messages are added all the same, as c-client
 * itself does: without X-UID, which that program will give them.
 */
#include "box.h"

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
#define IN_MEMORY_MAX (1u << 20)
#define LINE_HEAD 1024u
#define PAGE 4096u                       /* what a write changes at once */
#define REST_MAX UINT64_C(1000000000000) /* twelve digits */
#define UID_LAST 4294967294u
#define ORIGINAL "X-Original-"

struct message {
	uint64_t begin, end; /* in the spool */
	unsigned letters;
	char *words; /* keyword names, each behind a space */
	int64_t time;
	int32_t zone;
};

struct append {
	uint32_t magic;
	struct unix_box *b;
	int fd;
	bool in_memory;
	struct message *messages;
	size_t count, room;
	/* the message being written */
	bool header;  /* its header goes on */
	bool in_line; /* the line's head has been dealt with */
	unsigned char head[LINE_HEAD];
	size_t head_size;
	size_t carriage_returns; /* held back: dropped before an LF */
	unsigned char last;      /* octet written */
	uint64_t size;           /* of the spool, with what is in the buffer */
	size_t fill;
	unsigned char buffer[CHUNK];
};

static struct append *append_of(void *tx)
{
	struct append *a = tx;

	assert(a != NULL && a->magic == UNIX_APPEND_MAGIC);
	return a;
}

static void append_free(struct append *a)
{
	if (a->fd >= 0)
		close(a->fd);
	for (size_t i = 0; i < a->count; i++)
		free(a->messages[i].words);
	free(a->messages);
	a->magic = 0;
	free(a);
}

int unix_op_append_begin(struct mortise_call *call, void *box, void **tx)
{
	struct unix_box *b = unix_box_of(box);
	struct append *a;

	if (b->read_only)
		return call->host->fail(call, MORTISE_E_PERM, "The mailbox is open read-only");
	a = calloc(1, sizeof *a);
	if (a == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory for an append");
	a->magic = UNIX_APPEND_MAGIC;
	a->b = b;
	a->fd = memfd_create("append", MFD_CLOEXEC);
	a->in_memory = a->fd >= 0;
	*tx = a;
	return 0;
}

/* ---- the spool ---- */

/* From memory, or from nothing, to a file without a name beside the mailbox or in /tmp. */
static int to_disk(struct mortise_call *call, struct append *a)
{
	static const char *const places[] = {"/tmp", "/var/tmp"};
	unsigned char chunk[8192];
	int fd = openat(a->b->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	off_t at = 0;
	ssize_t n;

	for (size_t i = 0; fd < 0 && i < sizeof places / sizeof *places; i++)
		fd = open(places[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && a->fd >= 0) {
		/* Nowhere but in memory, then. */
		a->in_memory = false;
		return 0;
	}
	if (fd < 0)
		return call->host->fault_errno(call, "no place to collect a message");
	while (a->fd >= 0 && (n = pread(a->fd, chunk, sizeof chunk, at)) > 0) {
		if (write(fd, chunk, (size_t)n) != n) {
			close(fd);
			return call->host->fault_errno(call, "cannot collect a message");
		}
		at += n;
	}
	if (a->fd >= 0)
		close(a->fd);
	a->fd = fd;
	a->in_memory = false;
	return 0;
}

static int spool_flush(struct mortise_call *call, struct append *a)
{
	const unsigned char *p = a->buffer;
	size_t left = a->fill;
	int r;

	if ((a->fd < 0 || (a->in_memory && a->size > IN_MEMORY_MAX)) && (r = to_disk(call, a)) != 0)
		return r;
	a->fill = 0;
	while (left > 0) {
		ssize_t n = write(a->fd, p, left);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return call->host->fault_errno(call, "cannot collect a message");
		p += n;
		left -= (size_t)n;
	}
	return 0;
}

static int spool(struct mortise_call *call, struct append *a, const void *data, size_t size)
{
	const unsigned char *p = data;

	while (size > 0) {
		size_t n = CHUNK - a->fill < size ? CHUNK - a->fill : size;
		unsigned char *out = a->buffer + a->fill, *nul;
		int r;

		memcpy(out, p, n);
		/* There is no NUL in a mailbox; c-client makes this of it. */
		for (nul = out; (nul = memchr(nul, 0, (size_t)(out + n - nul))) != NULL;)
			*nul = 0x80;
		a->last = out[n - 1];
		a->fill += n;
		a->size += n;
		p += n;
		size -= n;
		if (a->fill == CHUNK && (r = spool_flush(call, a)) != 0)
			return r;
	}
	return 0;
}

/* ---- the text, line by line ---- */

static bool says_from(const unsigned char *p, size_t size)
{
	return memcmp(p, "From ", size < 5 ? size : 5) == 0;
}

/* What is to be done with the line cannot be told from its head yet. */
static bool undecided(const struct append *a)
{
	if (a->head_size == LINE_HEAD)
		return false;
	if (a->header && a->head[a->head_size - 1] == '\r' && a->head[0] == '\r')
		return true;
	if (a->header && unix_field_may_follow(a->head, a->head_size))
		return true;
	if (!says_from(a->head, a->head_size))
		return false;
	return a->head_size < 5 || a->b->options->from_quoting == UNIX_QUOTE_VALID;
}

/* Octets of a line, without its LF. */
static int line_octets(struct mortise_call *call, struct append *a, const unsigned char *p, size_t size)
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

static bool must_quote(const struct append *a, size_t size, bool whole)
{
	if (size < 5 || !says_from(a->head, size))
		return false;
	return a->b->options->from_quoting == UNIX_QUOTE_ALL || !whole || unix_from_valid(a->head, size);
}

/* The line's head is known well enough; `whole`: it is all of the line, its LF left out. */
static int line_head(struct mortise_call *call, struct append *a, bool whole)
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

static int line_end(struct mortise_call *call, struct append *a)
{
	a->carriage_returns = 0;
	a->in_line = false;
	return spool(call, a, "\n", 1);
}

int unix_op_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size)
{
	struct append *a = append_of(tx);
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
static int message_end(struct mortise_call *call, struct append *a)
{
	struct message *m;
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

int unix_op_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	struct append *a = append_of(tx);
	struct message *m;
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
	*m = (struct message){.begin = a->size,
	    .end = a->size,
	    .letters = unix_letters_of_flags(info->flags),
	    .words = join_words(info),
	    .time = info->internal_date,
	    .zone = info->zone};
	if (m->words == NULL)
		return call->host->fault(call, MORTISE_E_LIMIT, "no memory for keywords");
	a->count++;
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

/* ---- into the mailbox ---- */

struct commit {
	struct mortise_call *call;
	struct append *a;
	struct unix_box *b;
	bool with_uid, base; /* base: the first message is to hold V and L */
	uint32_t before;     /* L until the messages are on the disk */
	uint32_t token;
	char pad[2]; /* what the message before lacks */
	size_t pad_size;
	uint64_t old, total; /* the file's size before, and how much comes to it */
	int journal;         /* or -1 */
	uint64_t at;         /* of what is written next, from `old` on */
	char *text;
	unsigned char *buffer;
	size_t fill;
};

static uint64_t message_bits(struct unix_box *b, const char *words, bool add)
{
	uint64_t bits = 0;

	for (const char *p = words; *p == ' ';) {
		size_t n = strcspn(++p, " ");
		int bit = add ? unix_keyword_add(&b->keywords, p, n, b->options->keyword_limit)
		              : unix_keyword_find(&b->keywords, p, n);
		if (bit >= 0)
			bits |= UINT64_C(1) << bit;
		p += n;
	}
	return bits;
}

/* New names go into the list at the file's beginning before a message uses them. */
static int commit_keywords(struct commit *c)
{
	struct unix_box *b = c->b;
	size_t before = b->keywords.count;
	int r;

	if (!c->with_uid)
		return 0;
	for (size_t i = 0; i < c->a->count; i++)
		message_bits(b, c->a->messages[i].words, true);
	if (b->keywords.count == before || !b->base.known)
		return 0;
	r = unix_base_write(c->call, b, true);
	if (b->base_moved != 0)
		unix_trail_rescan(b, 0);
	b->base_moved = 0;
	return r;
}

static int flush(struct commit *c)
{
	size_t size = c->fill, at = 0;
	int r = 0;

	c->fill = 0;
	if (c->journal < 0)
		r = unix_pwrite(c->call, c->b, c->buffer, size, c->old + c->at);
	while (c->journal >= 0 && at < size) {
		ssize_t n = write(c->journal, c->buffer + at, size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return c->call->host->fault_errno(c->call, "cannot write the journal of an append");
		at += (size_t)n;
	}
	c->at += size;
	return r;
}

/* In as few writes as can be: one is made whole or not at all, up to the next page of the file. */
static int put(struct commit *c, const void *p, size_t size)
{
	const unsigned char *in = p;

	while (size > 0) {
		size_t n = CHUNK - c->fill < size ? CHUNK - c->fill : size;
		int r;
		memcpy(c->buffer + c->fill, in, n);
		c->fill += n;
		in += n;
		size -= n;
		if (c->fill == CHUNK && (r = flush(c)) != 0)
			return r;
	}
	return 0;
}

/* The last message may lack its end; then what follows would be taken for its text. */
static int close_last(struct commit *c)
{
	unsigned char end[2] = {'\n', '\n'};
	size_t size = c->old < 2 ? (size_t)c->old : 2;
	int r = 0;

	if (size > 0)
		r = unix_pread(c->call, c->b, end + 2 - size, size, c->old - size);
	memset(c->pad, '\n', sizeof c->pad);
	c->pad_size = end[1] != '\n' ? 2 : end[0] != '\n' ? 1 : 0;
	return r;
}

static const char *sender(void)
{
	static char text[256];
	char host[128] = "localhost";
	const char *user = getenv("LOGNAME");

	if (user == NULL || *user == '\0')
		user = getenv("USER");
	if (gethostname(host, sizeof host - 1) != 0)
		memcpy(host, "localhost", sizeof "localhost");
	host[sizeof host - 1] = '\0';
	if (user != NULL && *user != '\0')
		snprintf(text, sizeof text, "%.100s@%s", user, host);
	else
		snprintf(text, sizeof text, "uid%lu@%s", (unsigned long)geteuid(), host);
	return text;
}

static int put_text(struct commit *c, const struct message *m)
{
	for (uint64_t at = m->begin; at < m->end;) {
		size_t want = m->end - at < CHUNK ? (size_t)(m->end - at) : CHUNK;
		ssize_t n = pread(c->a->fd, c->a->buffer, want, (off_t)at);
		int r;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return c->call->host->fault_errno(c->call, "cannot read the collected message");
		if ((r = unix_stop(c->call, c->b)) != 0 || (r = put(c, c->a->buffer, (size_t)n)) != 0)
			return r;
		at += (uint64_t)n;
	}
	return put(c, "\n", 1);
}

/* From line and block into c->text; their size, or 0. */
static size_t message_head(struct commit *c, size_t i, uint64_t rest)
{
	const struct message *m = &c->a->messages[i];
	struct unix_box *b = c->b;
	struct unix_block block = {.table = &b->keywords,
	    .base = c->base && i == 0,
	    .uidvalidity = b->uidvalidity,
	    .uidlast = c->before,
	    .token = c->token,
	    .letters = m->letters,
	    .keywords = message_bits(b, m->words, false),
	    .uid = c->with_uid ? c->before + (uint32_t)i + 1 : 0,
	    .rest = c->with_uid ? rest : 0};
	size_t from = unix_from_write(c->text, sender(), m->time, m->zone);
	size_t size = unix_block_write(c->text + UNIX_FROM_WRITE_MAX, &block, 0);

	if (size == 0)
		return 0;
	memmove(c->text + from, c->text + UNIX_FROM_WRITE_MAX, size);
	return from + size;
}

/* How much it will be; *head: of the first message up to its block's end. */
static int count_octets(struct commit *c, size_t *head)
{
	c->total = c->pad_size;
	for (size_t i = 0; i < c->a->count; i++) {
		size_t size = message_head(c, i, 1);
		if (size == 0)
			return c->call->host->fault(c->call, MORTISE_E_LIMIT, "too many keywords");
		if (i == 0)
			*head = size;
		c->total += size + (c->a->messages[i].end - c->a->messages[i].begin) + 1;
	}
	if (c->total >= REST_MAX || c->total > (uint64_t)INT64_MAX - c->old)
		return c->call->host->fail(c->call, MORTISE_E_TOOBIG, "That is too much at once");
	return 0;
}

/*
 * A process can be killed between two pages of a write. The first message's beginning says how to tell that
 * (status.h: the rest); where it would lie in two pages itself, everything goes through the journal.
 */
static int choose_way(struct commit *c, size_t head)
{
	c->journal = -1;
	if (c->with_uid && c->old % PAGE + c->pad_size + head > PAGE)
		c->journal = c->call->host->journal_begin(c->call, c->b->fd, c->old);
	return c->journal < -1 ? c->journal : 0;
}

static int put_octets(struct commit *c, uint32_t *uids)
{
	int r = put(c, c->pad, c->pad_size);

	for (size_t i = 0; r == 0 && i < c->a->count; i++) {
		size_t size = message_head(c, i, c->total - c->at - c->fill);
		uids[i] = c->with_uid ? c->before + (uint32_t)i + 1 : 0;
		if ((r = put(c, c->text, size)) == 0)
			r = put_text(c, &c->a->messages[i]);
	}
	return r != 0 ? r : flush(c);
}

/* All messages behind the file's end, and when they are on the disk, L. */
static int put_all(struct commit *c, uint32_t *uids)
{
	struct unix_box *b = c->b;
	size_t head = 0;
	int r = close_last(c), journal;

	if (r != 0 || (r = count_octets(c, &head)) != 0 || (r = choose_way(c, head)) != 0)
		return r;
	if ((r = put_octets(c, uids)) != 0)
		return r;
	journal = c->journal;
	c->journal = -1;
	r = journal >= 0 ? c->call->host->journal_apply(c->call, journal) : unix_sync_file(c->call, b);
	if (r != 0 || !c->with_uid)
		return r;
	b->done = true;
	if (c->base) {
		if ((r = unix_base_read(c->call, b)) != 0)
			return r;
		/* It is above L as yet and was not believed. */
		b->base.uid = c->before + 1;
	}
	b->uidlast = c->before + (uint32_t)c->a->count;
	return unix_base_write(c->call, b, false);
}

/* Takes back what was written; what the file's beginning says of L may stay: it is only too high. */
static void cut_off(struct commit *c)
{
	struct unix_print now;

	if (c->journal >= 0)
		c->call->host->journal_drop(c->call, c->journal);
	if (unix_box_print(c->call, c->b, &now) == 0 && now.size <= c->old)
		return;
	while (ftruncate(c->b->fd, (off_t)c->old) != 0)
		if (errno != EINTR) {
			c->call->host->log(c->call, MORTISE_LOG_ERROR,
			    "cannot cut %s back to %llu octets after a failed append: %m", c->b->place->name,
			    (unsigned long long)c->old);
			return;
		}
}

static int commit_locked(struct commit *c, uint32_t *uids)
{
	struct unix_box *b = c->b;
	struct mortise_call *call = c->call;
	struct unix_print now;
	int r;

	if (unix_lock_writable(b) && (r = unix_settle(call, b)) != 0)
		return r;
	if ((r = unix_base_read(call, b)) != 0)
		return r;
	b->base_moved = 0;
	b->done = false;
	c->with_uid = unix_lock_writable(b) && !b->unsettled;
	if ((r = unix_trail_begin(call, b)) != 0 || (r = commit_keywords(c)) != 0 ||
	    (r = unix_box_print(call, b, &now)) != 0)
		return r;
	c->before = b->uidlast;
	if (c->with_uid && c->before > UID_LAST - (c->a->count < UID_LAST ? c->a->count : UID_LAST))
		return call->host->fail(call, MORTISE_E_LIMIT, "The mailbox has no UIDs left");
	c->old = now.size;
	c->base = c->with_uid && !b->base.known;
	c->token = unix_token(call, b->base.token);
	if ((r = put_all(c, uids)) != 0) {
		/* A journal that waits has the last word. */
		if (r != MORTISE_E_UNAVAILABLE && b->base_moved == 0)
			cut_off(c);
		b->uidlast = c->before;
		return r;
	}
	unix_times(b, true);
	if (b->base_moved != 0)
		unix_trail_rescan(b, 0);
	unix_trail_rescan(b, c->old + c->pad_size);
	unix_trail_end(call, b);
	return 0;
}

int unix_op_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	struct append *a = append_of(tx);
	struct commit c = {.call = call, .a = a, .b = a->b, .journal = -1};
	bool taken = false;
	int r = message_end(call, a);

	if (r == 0 && count != a->count)
		r = call->host->fault(
		    call, MORTISE_E_INTERNAL, "%zu messages appended, %zu committed", a->count, count);
	if (r == 0)
		r = spool_flush(call, a);
	if (r == 0 && count > 0)
		r = unix_lock_need(call, a->b, MORTISE_LOCK_EXCLUSIVE, &taken);
	if (r == 0 && count > 0) {
		c.text = call->host->alloc(call, MORTISE_LIFE_CALL, UNIX_FROM_WRITE_MAX + UNIX_BLOCK_MAX);
		c.buffer = call->host->alloc(call, MORTISE_LIFE_CALL, CHUNK);
		r = commit_locked(&c, uids);
		*uidvalidity = a->b->uidvalidity;
		if (taken)
			unix_lock_release(call, a->b);
	}
	append_free(a);
	return r;
}
