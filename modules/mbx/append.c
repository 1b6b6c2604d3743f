/*
 * New messages.
 *
 * A batch is collected: in memory while it is small, then in a file without a name; of messages that are
 * copied from another mailbox of this format only where they are. commit takes the lock, sees to it that all
 * messages that are there have UIDs, notes the file's size in the header (box.h), raises the header's last
 * UID and syncs that, then writes the records behind the end, syncs once more, and wipes the note. The first
 * sync is what makes a power failure harmless: without the note nobody could tell half a record from damage.
 * What fails is cut off again.
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
#define COPY_LEAST 32768u /* less is cheaper to read and write along with what is around it */
#define COPY_STEP (16u << 20)

struct message {
	int source;          /* -1: the spool */
	uint64_t begin, end; /* of the text, there */
	uint32_t wish;       /* the UID it must get, or 0 */
	struct mbx_record record;
	char *words; /* keyword names, a NUL behind each */
	size_t word_count;
	struct mbx_record from; /* with a source: its record there */
};

struct append {
	uint32_t magic;
	struct mbx_box *b;
	int fd; /* the spool's file, when it is larger than the buffer */
	bool in_memory;
	struct message *messages;
	size_t count, room;
	int *sources; /* files of other boxes */
	size_t source_count;
	uint64_t size; /* of the spool, with what is in the buffer */
	size_t fill;
	unsigned char buffer[CHUNK];
	/* to the mailbox */
	uint64_t at;
	size_t out_fill;
	unsigned char out[CHUNK];
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
	for (size_t i = 0; i < a->source_count; i++)
		close(a->sources[i]);
	for (size_t i = 0; i < a->count; i++)
		free(a->messages[i].words);
	free(a->sources);
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
	a = malloc(sizeof *a);
	if (a == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory for an append");
	memset(a, 0, offsetof(struct append, buffer));
	a->magic = MBX_APPEND_MAGIC;
	a->b = b;
	a->fd = -1;
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

	if (a->fd < 0) {
		a->fd = memfd_create("append", MFD_CLOEXEC);
		a->in_memory = a->fd >= 0;
	}
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

	if (a->count == 0 || a->messages[a->count - 1].source >= 0)
		return call->host->fault(call, MORTISE_E_INTERNAL, "text before the first message");
	if (a->size - a->messages[a->count - 1].begin + size > MBX_SIZE_MAX)
		return call->host->fail(call, MORTISE_E_TOOBIG, "The message is too large for this format");
	while (size > 0) {
		size_t n = CHUNK - a->fill < size ? CHUNK - a->fill : size;
		int r;
		if (n == 0) {
			if ((r = spool_flush(call, a)) != 0)
				return r;
			continue;
		}
		memcpy(a->buffer + a->fill, p, n);
		a->fill += n;
		a->size += n;
		p += n;
		size -= n;
	}
	return 0;
}

/* The message written last is complete. No message is empty: c-client cannot read a size of 0. */
static int message_end(struct mortise_call *call, struct append *a)
{
	struct message *m;

	if (a->count == 0 || a->messages[a->count - 1].source >= 0)
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

static int message_add(struct mortise_call *call, struct append *a, const struct mortise_append_info *info)
{
	bool has_uid = info->size >= offsetof(struct mortise_append_info, uid) + sizeof info->uid;
	struct message *m;

	if (a->count == a->room) {
		size_t room = a->room != 0 ? a->room * 2 : 8;
		m = reallocarray(a->messages, room, sizeof *m);
		if (m == NULL)
			return call->host->fault(call, MORTISE_E_TEMP, "no memory for %zu messages", room);
		a->messages = m;
		a->room = room;
	}
	m = &a->messages[a->count];
	*m = (struct message){.source = -1,
	    .begin = a->size,
	    .wish = has_uid ? info->uid : 0,
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

int mbx_op_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info)
{
	struct append *a = append_of(tx);
	int r = message_end(call, a);

	return r != 0 ? r : message_add(call, a, info);
}

/* ---- copies ---- */

static int take(struct mortise_call *call, struct mbx_box *b, struct mbx_record *m, size_t i, void *arg)
{
	(void)call;
	(void)b;
	((struct mbx_record *)arg)[i] = *m;
	return 0;
}

static int find_sources(struct mortise_call *call, struct mbx_box *b, const struct mortise_ref *refs,
    size_t count, struct mbx_record *out)
{
	bool taken;
	int r = mbx_lock_need(call, b, &taken);

	if (r != 0)
		return r;
	r = mbx_each(call, b, refs, sizeof *refs, count, take, out);
	mbx_window_reset(b);
	if (taken)
		mbx_lock_release(b);
	for (size_t i = 0; r == 0 && i < count; i++)
		if (out[i].offset == 0)
			r = call->host->fail(
			    call, MORTISE_E_EXPUNGED, "Some of the messages no longer exist");
		else if (out[i].size == 0)
			r = call->host->fail(call, MORTISE_E_INVALID, "The message is empty");
	return r;
}

static int add_source(struct mortise_call *call, struct append *a, const struct mbx_box *b)
{
	int *p = reallocarray(a->sources, a->source_count + 1, sizeof *p);

	if (p == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory to copy from a mailbox");
	a->sources = p;
	p[a->source_count] = fcntl(b->fd, F_DUPFD_CLOEXEC, 0);
	if (p[a->source_count] < 0)
		return call->host->fault_errno(call, "cannot copy from %s", b->place->name);
	a->source_count++;
	return 0;
}

/* Only where they are: the copy is made in commit, which looks whether they still are there. */
int mbx_op_append_copy(struct mortise_call *call, void *tx, void *box, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t count)
{
	struct append *a = append_of(tx);
	struct mbx_box *b = mbx_box_of(box);
	struct mbx_record *found;
	size_t before = a->count;
	int r = message_end(call, a);

	if (r != 0 || count == 0)
		return r;
	found = calloc(count, sizeof *found);
	if (found == NULL)
		return call->host->fault(call, MORTISE_E_TEMP, "no memory to copy %zu messages", count);
	if ((r = find_sources(call, b, refs, count, found)) == 0)
		r = add_source(call, a, b);
	for (size_t i = 0; r == 0 && i < count; i++)
		if ((r = message_add(call, a, &infos[i])) == 0) {
			struct message *m = &a->messages[a->count - 1];
			m->source = a->sources[a->source_count - 1];
			m->from = found[i];
			m->begin = found[i].offset + found[i].line;
			m->end = m->begin + found[i].size;
			m->record.size = found[i].size;
		}
	free(found);
	while (r != 0 && a->count > before)
		free(a->messages[--a->count].words);
	return r;
}

static int source_is_there(struct mortise_call *call, const struct message *m)
{
	unsigned char line[MBX_LINE_MAX];
	struct mbx_record now;
	unsigned bad;
	ssize_t n = pread(m->source, line, sizeof line, (off_t)m->from.offset);

	if (n < 0)
		return call->host->fault_errno(call, "cannot read the mailbox that is copied from");
	if (mbx_record_parse(line, (size_t)n, &now, &bad) != 0 || now.size != m->from.size ||
	    now.line != m->from.line || now.uid != m->from.stored_uid)
		return call->host->fail(call, MORTISE_E_EXPUNGED, "Some of the messages no longer exist");
	return 0;
}

void mbx_op_append_abort(struct mortise_call *call, void *tx)
{
	(void)call;
	append_free(append_of(tx));
}

/* ---- into the mailbox ---- */

static int out_flush(struct mortise_call *call, struct append *a)
{
	int r = mbx_pwrite(call, a->b, a->out, a->out_fill, a->at);

	a->at += a->out_fill;
	a->out_fill = 0;
	return r;
}

static int out_put(struct mortise_call *call, struct append *a, const void *octets, size_t size)
{
	const unsigned char *p = octets;

	while (size > 0) {
		size_t n = CHUNK - a->out_fill < size ? CHUNK - a->out_fill : size;
		int r;
		memcpy(a->out + a->out_fill, p, n);
		a->out_fill += n;
		p += n;
		size -= n;
		if (a->out_fill == CHUNK && (r = out_flush(call, a)) != 0)
			return r;
	}
	return 0;
}

static bool cannot_copy(int number)
{
	return number == EXDEV || number == EINVAL || number == ENOSYS || number == EOPNOTSUPP ||
	       number == EBADF || number == EPERM;
}

/* As much as the kernel copies by itself; *from and *size are what is left. */
static int copy_range(struct mortise_call *call, struct append *a, int fd, uint64_t *from, uint64_t *size)
{
	int r = out_flush(call, a);

	while (r == 0 && *size > 0) {
		loff_t in = (loff_t)*from, to = (loff_t)a->at;
		ssize_t n = copy_file_range(fd, &in, a->b->fd, &to, *size < COPY_STEP ? *size : COPY_STEP, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && cannot_copy(errno))
			return 0;
		if (n < 0)
			return call->host->fault_errno(call, "cannot copy into %s", a->b->place->name);
		if (n == 0)
			return 0;
		*from += (uint64_t)n;
		*size -= (uint64_t)n;
		a->at += (uint64_t)n;
		r = call->host->should_stop(call);
	}
	return r;
}

static int put_range(struct mortise_call *call, struct append *a, int fd, uint64_t from, uint64_t size)
{
	bool small = size < COPY_LEAST || (fd == a->fd && a->in_memory);
	int r = small ? 0 : copy_range(call, a, fd, &from, &size);

	while (r == 0 && size > 0) {
		size_t want = CHUNK - a->out_fill < size ? CHUNK - a->out_fill : (size_t)size;
		ssize_t n = pread(fd, a->out + a->out_fill, want, (off_t)from);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return call->host->fault_errno(call, "cannot read the collected message");
		if (n == 0)
			return call->host->fault(call, MORTISE_E_TEMP, "the collected message is cut short");
		a->out_fill += (size_t)n;
		from += (uint64_t)n;
		size -= (uint64_t)n;
		if (a->out_fill == CHUNK && (r = out_flush(call, a)) == 0)
			r = call->host->should_stop(call);
	}
	return r;
}

static int put_message(struct mortise_call *call, struct append *a, struct message *m)
{
	char line[MBX_LINE_MAX];
	int r;

	m->record.offset = a->at + a->out_fill;
	m->record.line = (uint8_t)mbx_record_print(line, &m->record);
	if ((r = out_put(call, a, line, m->record.line)) != 0)
		return r;
	if (m->source < 0 && a->fd < 0)
		return out_put(call, a, a->buffer + m->begin, m->record.size);
	if (m->source >= 0 && (r = source_is_there(call, m)) != 0)
		return r;
	return put_range(call, a, m->source < 0 ? a->fd : m->source, m->begin, m->record.size);
}

/* The last UID stays as high as it was raised: it was only promised too much. */
static void cut_off(struct mortise_call *call, struct mbx_box *b, uint64_t end)
{
	while (ftruncate(b->fd, (off_t)end) != 0)
		if (errno != EINTR) {
			call->host->log(call, MORTISE_LOG_ERROR,
			    "cannot cut %s back to %llu octets after a failed append: %m", b->place->name,
			    (unsigned long long)end);
			return;
		}
	/* As long as what is cut off can come back, the note has to be there. */
	b->header.note = '\0';
	if (end > 0 && mbx_sync_file(call, b) == 0)
		(void)!mbx_header_write_end(call, b);
}

static int put_all(struct mortise_call *call, struct append *a, uint64_t end)
{
	struct mbx_box *b = a->b;
	int r;

	b->header.note = MBX_APPENDING;
	b->header.note_at = end;
	b->header.note_uid = b->uidlast;
	if ((r = mbx_header_write(call, b)) != 0 || (r = mbx_sync_file(call, b)) != 0)
		return r;
	a->at = end;
	a->out_fill = 0;
	for (size_t i = 0; r == 0 && i < a->count; i++)
		r = put_message(call, a, &a->messages[i]);
	if (r == 0)
		r = out_flush(call, a);
	if (r == 0)
		r = mbx_sync_file(call, b);
	return r;
}

/* Names the mailbox does not know yet come into its header. */
static int give_keywords(struct mortise_call *call, struct append *a)
{
	struct mbx_box *b = a->b;
	size_t before = b->header.keyword_count;

	for (size_t i = 0; i < a->count; i++) {
		struct message *m = &a->messages[i];
		const char *word = m->words;
		for (size_t k = 0; k < m->word_count; k++, word += strlen(word) + 1) {
			int bit = mbx_keyword(b, word, true);
			if (bit >= 0)
				m->record.keywords |= UINT32_C(1) << b->header.slots[bit];
		}
	}
	return b->header.keyword_count == before ? 0 : mbx_header_put_keywords(call, b);
}

static int give_uids(struct mortise_call *call, struct append *a)
{
	struct mbx_box *b = a->b;
	uint32_t last = b->uidlast;

	if (b->known.count + a->count > b->options->message_limit)
		return call->host->fail(call, MORTISE_E_LIMIT, "The mailbox has too many messages");
	for (size_t i = 0; i < a->count; i++) {
		struct message *m = &a->messages[i];
		if (m->wish > MBX_UID_LAST || (m->wish != 0 && m->wish <= last))
			return call->host->fail(
			    call, MORTISE_E_INVALID, "UID %u cannot follow UID %u", m->wish, last);
		if (last >= MBX_UID_LAST)
			return call->host->fail(call, MORTISE_E_LIMIT, "The mailbox has no UIDs left");
		last = m->wish != 0 ? m->wish : last + 1;
		m->record.uid = m->record.stored_uid = last;
	}
	b->uidlast = last;
	return 0;
}

static int commit_locked(struct mortise_call *call, struct append *a)
{
	struct mbx_box *b = a->b;
	struct mbx_print now;
	uint64_t end;
	bool fresh;
	int r;

	if ((r = mbx_lock_check(call, b)) != 0 || (r = mbx_change_begin(call, b)) != 0 ||
	    (r = mbx_know(call, b)) != 0 || (r = mbx_print_of(call, b, &now)) != 0)
		return r;
	fresh = b->header.unwritten;
	end = fresh ? MBX_HEADER : now.size;
	if ((r = give_keywords(call, a)) != 0 || (r = give_uids(call, a)) != 0)
		return r;
	if ((r = put_all(call, a, end)) != 0) {
		cut_off(call, b, fresh && b->header.unwritten ? 0 : end);
		mbx_change_failed(b);
		return r;
	}
	b->known.count += a->count;
	/* They are there, whatever comes. */
	if (mbx_change_stamp(call, b, a->at, false) == 0)
		mbx_change_end(call, b, true);
	else
		mbx_change_failed(b);
	return 0;
}

static int commit(struct mortise_call *call, struct append *a, uint32_t *uidvalidity, size_t count)
{
	bool taken = false;
	int r = message_end(call, a);

	if (r == 0 && count != a->count)
		r = call->host->fault(
		    call, MORTISE_E_INTERNAL, "%zu messages appended, %zu committed", a->count, count);
	if (r == 0 && a->fd >= 0)
		r = spool_flush(call, a);
	if (r != 0 || count == 0 || (r = mbx_lock_need(call, a->b, &taken)) != 0)
		return r;
	r = commit_locked(call, a);
	*uidvalidity = a->b->uidvalidity;
	if (taken)
		mbx_lock_release(a->b);
	return r;
}

int mbx_op_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count)
{
	struct append *a = append_of(tx);
	int r = commit(call, a, uidvalidity, count);

	for (size_t i = 0; r == 0 && i < count; i++)
		uids[i] = a->messages[i].record.uid;
	append_free(a);
	return r;
}

int mbx_op_append_commit_refs(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, struct mortise_ref *refs, size_t count)
{
	struct append *a = append_of(tx);
	int r = commit(call, a, uidvalidity, count);

	for (size_t i = 0; r == 0 && i < count; i++) {
		refs[i].uid = a->messages[i].record.uid;
		mbx_locator_make(&a->messages[i].record, &refs[i].locator_size, refs[i].locator);
	}
	append_free(a);
	return r;
}
