/*
 * New messages: into the mailbox.
 *
 * Everything is written behind the file's end, synced, and only then is L raised (status.h: the rest). What
 * fails is cut off again.
 *
 * While a c-client program has the mailbox open for writing, messages are added all the same, as c-client
 * itself does: without X-UID, which that program will give them.
 */
#include "append.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "from.h"

#define CHUNK 65536u
#define RANGE (16u << 20)                /* copied at once */
#define PAGE 4096u                       /* what a write changes at once */
#define REST_MAX UINT64_C(1000000000000) /* twelve digits */

struct commit {
	struct mortise_call *call;
	struct unix_append *a;
	struct unix_box *b;
	bool with_uid, base; /* base: the first message is to hold V and L */
	bool asked;          /* UIDs were asked for */
	uint32_t before;     /* L until the messages are on the disk, */
	uint32_t after;      /* and then */
	uint32_t token;
	const char *sender;
	char pad[2]; /* what the message before lacks */
	size_t pad_size;
	uint64_t old, total; /* the file's size before, and how much comes to it */
	int journal;         /* or -1 */
	uint64_t at;         /* of what is written next, from `old` on */
	char *text;
	unsigned char *buffer;
	size_t fill;
	bool no_range; /* the file systems cannot copy between themselves */
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

	if (c->journal < 0 && size > CHUNK - c->fill) {
		int r = flush(c);
		if (r == 0)
			r = unix_pwrite(c->call, c->b, p, size, c->old + c->at);
		c->at += size;
		return r;
	}
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

static const char *sender(struct mortise_call *call)
{
	char host[128] = "localhost";
	const char *user = getenv("LOGNAME");

	if (user == NULL || *user == '\0')
		user = getenv("USER");
	if (gethostname(host, sizeof host - 1) != 0)
		memcpy(host, "localhost", sizeof "localhost");
	host[sizeof host - 1] = '\0';
	if (user != NULL && *user != '\0')
		return call->host->print(call, MORTISE_LIFE_CALL, "%.100s@%s", user, host);
	return call->host->print(call, MORTISE_LIFE_CALL, "uid%lu@%s", (unsigned long)geteuid(), host);
}

/* From the file without a name into the mailbox, by the file system. 0 octets: it cannot. */
static ssize_t copy_range(struct commit *c, uint64_t at, uint64_t size)
{
	off_t in = (off_t)at, out = (off_t)(c->old + c->at);
	ssize_t n;

	do
		n = copy_file_range(c->a->fd, &in, c->b->fd, &out, size < RANGE ? (size_t)size : RANGE, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS))
		n = 0;
	c->no_range = n == 0;
	c->at += n > 0 ? (uint64_t)n : 0;
	return n;
}

/* Text that is in the file without a name. */
static int put_spooled(struct commit *c, uint64_t at, uint64_t end)
{
	unsigned char *chunk = c->call->host->alloc(c->call, MORTISE_LIFE_CALL, CHUNK);
	int r = c->journal < 0 ? flush(c) : 0;

	while (r == 0 && at < end) {
		ssize_t n = 0;

		if ((r = unix_stop(c->call, c->b)) != 0)
			return r;
		if (c->journal < 0 && !c->no_range)
			n = copy_range(c, at, end - at);
		if (n < 0)
			return c->call->host->fault_errno(c->call, "cannot write %s", c->b->place->name);
		at += (uint64_t)n;
		if (n > 0)
			continue;
		n = pread(c->a->fd, chunk, end - at < CHUNK ? (size_t)(end - at) : CHUNK, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return c->call->host->fault_errno(c->call, "cannot read the collected message");
		r = put(c, chunk, (size_t)n);
		at += (uint64_t)n;
	}
	return r;
}

static int put_text(struct commit *c, const struct unix_appended *m)
{
	const struct unix_append *a = c->a;
	uint64_t at = m->begin, spooled = m->end < a->spooled ? m->end : a->spooled;
	int r = unix_stop(c->call, c->b);

	if (r == 0 && at < spooled) {
		r = put_spooled(c, at, spooled);
		at = spooled;
	}
	if (r == 0 && at < m->end)
		r = put(c, a->text + (at - a->spooled), (size_t)(m->end - at));
	return r != 0 ? r : put(c, "\n", 1);
}

/* From line and block into c->text; their size, or 0. */
static size_t message_head(struct commit *c, size_t i, uint64_t rest)
{
	const struct unix_appended *m = &c->a->messages[i];
	struct unix_box *b = c->b;
	struct unix_block block = {.table = &b->keywords,
	    .base = c->base && i == 0,
	    .uidvalidity = b->uidvalidity,
	    .uidlast = c->before,
	    .token = c->token,
	    .letters = m->letters,
	    .keywords = message_bits(b, m->words, false),
	    .uid = m->uid,
	    .rest = c->with_uid ? rest : 0};
	size_t from = unix_from_write(c->text, c->sender, m->time, m->zone);
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

static int put_octets(struct commit *c)
{
	int r = put(c, c->pad, c->pad_size);

	for (size_t i = 0; r == 0 && i < c->a->count; i++) {
		size_t size = message_head(c, i, c->total - c->at - c->fill);
		if ((r = put(c, c->text, size)) == 0)
			r = put_text(c, &c->a->messages[i]);
	}
	return r != 0 ? r : flush(c);
}

/* All messages behind the file's end, and when they are on the disk, L. */
static int put_all(struct commit *c)
{
	struct unix_box *b = c->b;
	size_t head = 0;
	int r = close_last(c), journal;

	if (r != 0 || (r = count_octets(c, &head)) != 0 || (r = choose_way(c, head)) != 0)
		return r;
	if ((r = put_octets(c)) != 0)
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
		b->base.uid = c->a->messages[0].uid;
	}
	b->uidlast = c->after;
	if ((r = unix_base_write(c->call, b, false)) != 0 || !c->asked)
		return r;
	/* Others would be given again as they are; these would not. */
	return unix_sync_file(c->call, b);
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

/* One UID after the other, or those that were asked for. */
static int give_uids(struct commit *c)
{
	c->after = c->before;
	c->asked = false;
	for (size_t i = 0; i < c->a->count; i++) {
		struct unix_appended *m = &c->a->messages[i];

		if (!c->with_uid) {
			m->uid = 0;
			continue;
		}
		if (m->uid != 0 && m->uid <= c->after)
			return c->call->host->fail(
			    c->call, MORTISE_E_INVALID, "UID %u cannot come behind UID %u", m->uid, c->after);
		if (m->uid > UNIX_UID_LAST || (m->uid == 0 && c->after == UNIX_UID_LAST))
			return c->call->host->fail(c->call, MORTISE_E_LIMIT, "The mailbox has no UIDs left");
		c->asked = c->asked || m->uid != 0;
		c->after = m->uid = m->uid != 0 ? m->uid : c->after + 1;
	}
	return 0;
}

static int commit_locked(struct commit *c)
{
	struct unix_box *b = c->b;
	struct mortise_call *call = c->call;
	struct unix_print now;
	int r;

	if (unix_lock_writable(b) && (r = unix_settle(call, b)) != 0)
		return r;
	if ((r = unix_base_read(call, b)) != 0)
		return r;
	if (b->uidvalidity == 0)
		b->uidvalidity = b->base.uidvalidity;
	b->base_moved = 0;
	b->done = false;
	c->with_uid = unix_lock_writable(b) && !b->unsettled;
	if ((r = unix_trail_begin(call, b)) != 0 || (r = commit_keywords(c)) != 0 ||
	    (r = unix_box_print(call, b, &now)) != 0)
		return r;
	c->before = b->uidlast;
	if ((r = give_uids(c)) != 0)
		return r;
	c->old = now.size;
	c->base = c->with_uid && !b->base.known;
	c->token = unix_token(call, b->base.token);
	if ((r = put_all(c)) != 0) {
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

int unix_commit(struct mortise_call *call, struct unix_append *a)
{
	struct commit c = {.call = call, .a = a, .b = a->b, .journal = -1, .sender = sender(call)};
	int r;

	c.text = call->host->alloc(call, MORTISE_LIFE_CALL, UNIX_FROM_WRITE_MAX + UNIX_BLOCK_MAX);
	c.buffer = call->host->alloc(call, MORTISE_LIFE_CALL, CHUNK);
	r = commit_locked(&c);
	/* What was expunged and is still there must not be in the way. */
	if (r != MORTISE_E_QUOTA || !unix_lock_writable(a->b) || a->b->gone == 0 ||
	    unix_compact(call, a->b) != 0)
		return r;
	c.fill = 0;
	c.at = 0;
	c.journal = -1;
	for (size_t i = 0; c.asked == false && i < a->count; i++)
		a->messages[i].uid = 0;
	return commit_locked(&c);
}
