/*
 * New messages.
 *
 * A batch is collected in a file without a name. commit takes the lock, sees to it that all messages that are
 * there have UIDs, notes the file's size in the header (box.h), raises the header's last UID and syncs that,
 * then writes the records behind the end, syncs once more, and wipes the note. The first sync is what makes a
 * power failure harmless: without the note nobody could tell half a record from damage. What fails is cut
 * off again.
 */
#include "box.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNK 65536u
#define IN_MEMORY_MAX (1u << 20)

struct message {
	uint64_t begin, end; /* in the spool */
	struct mbx_record record;
	char *words; /* keyword names, a NUL behind each */
	size_t word_count;
};

struct append {
	uint32_t magic;
	struct mbx_box *b;
	int fd;
	bool in_memory;
	struct message *messages;
	size_t count, room;
	uint64_t size; /* of the spool, with what is in the buffer */
	size_t fill;
	unsigned char buffer[CHUNK];
};

static struct append *append_of(void *tx)
{
	struct append *a = tx;

	assert(a != NULL && a->magic == MBX_APPEND_MAGIC);
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

int mbx_op_append_begin(struct mortise_call *call, void *box, void **tx)
{
	struct mbx_box *b = mbx_box_of(box);
	struct append *a;

	if (b->read_only)
		return call->host->fail(call, MORTISE_E_PERM, "The mailbox is open read-only");
	a = calloc(1, sizeof *a);
	if (a == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory for an append");
	a->magic = MBX_APPEND_MAGIC;
	a->b = b;
	a->fd = memfd_create("append", MFD_CLOEXEC);
	a->in_memory = a->fd >= 0;
	*tx = a;
	return 0;
}

/* ---- the spool ---- */

/* From memory, or from nothing, to a file without a name beside the mailboxes or in /tmp. */
static int to_disk(struct mortise_call *call, struct append *a)
{
	static const char *const places[] = {"/tmp", "/var/tmp"};
	unsigned char chunk[8192];
	int fd = call->host->open_below(call, a->b->place->root, ".", O_TMPFILE | O_RDWR, 0600);
	off_t at = 0;
	ssize_t n;

	for (size_t i = 0; fd < 0 && i < sizeof places / sizeof *places; i++)
		fd = open(places[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	a->in_memory = false;
	if (fd < 0 && a->fd >= 0)
		return 0; /* nowhere but in memory, then */
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

int mbx_op_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size)
{
	struct append *a = append_of(tx);
	const unsigned char *p = octets;

	if (a->count == 0)
		return call->host->fault(call, MORTISE_E_INTERNAL, "text before the first message");
	if (a->size - a->messages[a->count - 1].begin + size > MBX_SIZE_MAX)
		return call->host->fail(call, MORTISE_E_TOOBIG, "The message is too large for this format");
	while (size > 0) {
		size_t n = CHUNK - a->fill < size ? CHUNK - a->fill : size;
		int r;
		memcpy(a->buffer + a->fill, p, n);
		a->fill += n;
		a->size += n;
		p += n;
		size -= n;
		if (a->fill == CHUNK && (r = spool_flush(call, a)) != 0)
			return r;
	}
	return 0;
}

/* The message written last is complete. No message is empty: c-client cannot read a size of 0. */
static int message_end(struct mortise_call *call, struct append *a)
{
	struct message *m;

	if (a->count == 0)
		return 0;
	m = &a->messages[a->count - 1];
	m->end = a->size;
	m->record.size = m->end - m->begin;
	if (m->end == m->begin)
		return call->host->fail(call, MORTISE_E_INVALID, "The message is empty");
	return 0;
}

static char *join_words(const struct mortise_append_info *info)
{
	size_t size = 1, at = 0;
	char *words;

	for (size_t i = 0; i < info->keyword_count; i++)
		size += strlen(info->keywords[i]) + 1;
	words = malloc(size);
	for (size_t i = 0; words != NULL && i < info->keyword_count; i++) {
		size_t n = strlen(info->keywords[i]) + 1;
		memcpy(words + at, info->keywords[i], n);
		at += n;
	}
	return words;
}

int mbx_op_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
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
			return call->host->fault(call, MORTISE_E_TEMP, "no memory for %zu messages", room);
		a->messages = m;
		a->room = room;
	}
	m = &a->messages[a->count];
	*m = (struct message){.begin = a->size,
	    .record = {.flags = mbx_flags_of(info->flags),
	        .date = info->internal_date,
	        .zone = (int16_t)(info->zone > -1440 && info->zone < 1440 ? info->zone : 0)},
	    .words = join_words(info),
	    .word_count = info->keyword_count};
	if (m->words == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory for keywords");
	a->count++;
	return 0;
}

void mbx_op_append_abort(struct mortise_call *call, void *tx)
{
	(void)call;
	append_free(append_of(tx));
}

/* ---- into the mailbox ---- */

/* Names the mailbox does not know yet come into its header first. */
static int commit_keywords(struct mortise_call *call, struct append *a)
{
	struct mbx_box *b = a->b;
	const struct mbx_header before = b->header;
	int r = 0;

	for (size_t i = 0; i < a->count; i++) {
		struct message *m = &a->messages[i];
		const char *word = m->words;
		for (size_t k = 0; k < m->word_count; k++, word += strlen(word) + 1) {
			int bit = mbx_keyword(b, word, true);
			if (bit >= 0)
				m->record.keywords |= UINT32_C(1) << b->header.slots[bit];
		}
	}
	if (b->header.keyword_count != before.keyword_count)
		r = mbx_header_write_keywords(call, b);
	if (r != 0)
		b->header = before;
	return r;
}

static int put_message(struct mortise_call *call, struct append *a, struct message *m, uint64_t at)
{
	char line[MBX_LINE_MAX];
	int r;

	m->record.offset = at;
	m->record.line = (uint8_t)mbx_record_print(line, &m->record);
	if ((r = mbx_pwrite(call, a->b, line, m->record.line, at)) != 0)
		return r;
	at += m->record.line;
	for (uint64_t from = m->begin; from < m->end;) {
		size_t want = m->end - from < CHUNK ? (size_t)(m->end - from) : CHUNK;
		ssize_t n = pread(a->fd, a->buffer, want, (off_t)from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return call->host->fault_errno(call, "cannot read the collected message");
		if ((r = call->host->should_stop(call)) != 0 ||
		    (r = mbx_pwrite(call, a->b, a->buffer, (size_t)n, at)) != 0)
			return r;
		from += (uint64_t)n;
		at += (uint64_t)n;
	}
	return 0;
}

/* The last UID stays as high as it was raised: it was only promised too much. */
static void cut_off(struct mortise_call *call, struct mbx_box *b)
{
	while (ftruncate(b->fd, (off_t)b->end) != 0)
		if (errno != EINTR) {
			call->host->log(call, MORTISE_LOG_ERROR,
			    "cannot cut %s back to %llu octets after a failed append: %m", b->place->name,
			    (unsigned long long)b->end);
			return;
		}
	(void)!mbx_header_write_note(call, b, 0);
}

static int put_all(struct mortise_call *call, struct append *a)
{
	struct mbx_box *b = a->b;
	uint64_t at = b->end;
	int r;

	if ((r = mbx_header_write_note(call, b, b->end)) != 0 || (r = mbx_header_write_uids(call, b)) != 0 ||
	    (r = mbx_sync_file(call, b)) != 0)
		return r;
	for (size_t i = 0; r == 0 && i < a->count; i++) {
		r = put_message(call, a, &a->messages[i], at);
		at += a->messages[i].record.line + a->messages[i].record.size;
	}
	if (r == 0)
		r = mbx_sync_file(call, b);
	return r;
}

static int commit_locked(struct mortise_call *call, struct append *a, uint32_t *uids)
{
	struct mbx_box *b = a->b;
	uint32_t before;
	int r;

	if ((r = mbx_lock_check(call, b)) != 0 || (r = mbx_header_read(call, b)) != 0 ||
	    (r = mbx_change_begin(call, b)) != 0 || (r = mbx_load(call, b)) != 0)
		return r;
	before = b->uidlast;
	if (before > MBX_UID_LAST - (a->count < MBX_UID_LAST ? a->count : MBX_UID_LAST))
		return call->host->fail(call, MORTISE_E_LIMIT, "The mailbox has no UIDs left");
	if (b->count + a->count > b->options->message_limit)
		return call->host->fail(call, MORTISE_E_LIMIT, "The mailbox has too many messages");
	if ((r = commit_keywords(call, a)) != 0)
		return r;
	for (size_t i = 0; i < a->count; i++)
		a->messages[i].record.uid = uids[i] = before + (uint32_t)i + 1;
	b->uidlast = before + (uint32_t)a->count;
	if ((r = put_all(call, a)) != 0) {
		cut_off(call, b);
		mbx_change_end(call, b, false);
		return r;
	}
	(void)!mbx_header_write_note(call, b, 0);
	for (size_t i = 0; r == 0 && i < a->count; i++) {
		r = mbx_record_add(call, b, &a->messages[i].record);
		b->end += a->messages[i].record.line + a->messages[i].record.size;
	}
	/* They are there; who cannot remember them reads them again. */
	if (r != 0)
		mbx_forget(b);
	else
		b->uid_before = b->uidlast;
	mbx_change_end(call, b, true);
	return 0;
}

int mbx_op_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	struct append *a = append_of(tx);
	bool taken = false;
	int r = message_end(call, a);

	if (r == 0 && count != a->count)
		r = call->host->fault(
		    call, MORTISE_E_INTERNAL, "%zu messages appended, %zu committed", a->count, count);
	if (r == 0)
		r = spool_flush(call, a);
	if (r == 0 && count > 0)
		r = mbx_lock_need(call, a->b, &taken);
	if (r == 0 && count > 0) {
		r = commit_locked(call, a, uids);
		*uidvalidity = a->b->uidvalidity;
		if (taken)
			mbx_lock_release(a->b);
	}
	append_free(a);
	return r;
}
