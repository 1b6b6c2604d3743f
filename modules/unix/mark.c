/*
 * The mark: see status.h. After an expunge the mailbox's last message is looked for, from the end
 * backwards, and L is written into its block.
 */
#include "box.h"

#include <string.h>

#include "from.h"

#define BACK 65536u

/* Does a From line begin at window[i]? `first`: the window's first octet begins a line. */
static bool from_at(const char *window, size_t size, size_t i, bool first)
{
	const char *lf;

	if (window[i] != 'F' || (i == 0 ? !first : window[i - 1] != '\n'))
		return false;
	lf = memchr(window + i, '\n', size - i);
	return lf != NULL && unix_from_valid((const unsigned char *)window + i, (size_t)(lf - window) - i);
}

/* The last place before `end` where a From line begins; `end` when there is none. */
static int last_from(struct mortise_call *call, struct unix_box *b, uint64_t end, uint64_t *start)
{
	char *window = call->host->alloc(call, MORTISE_LIFE_CALL, BACK + UNIX_FROM_WRITE_MAX);
	uint64_t at = end;

	*start = end;
	while (at > b->base.start) {
		uint64_t begin = at - b->base.start > BACK ? at - BACK : b->base.start;
		uint64_t behind = end - at < UNIX_FROM_WRITE_MAX ? end - at : UNIX_FROM_WRITE_MAX;
		size_t size = (size_t)(at - begin + behind);
		int r = unix_stop(call, b);

		if (r != 0 || (r = unix_pread(call, b, window, size, begin)) != 0)
			return r;
		for (size_t i = (size_t)(at - begin); i-- > 0;)
			if (from_at(window, size, i, begin == b->base.start)) {
				*start = begin + i;
				return 0;
			}
		/* One octet twice: it could not be seen whether it begins a line. */
		at = begin > b->base.start ? begin + 1 : begin;
	}
	return 0;
}

struct marking {
	struct unix_box *b;
	struct unix_resolve resolve;
};

/* Its block has no room for the mark: a new one, with nothing behind it that would have to be moved. */
static int mark_one(void *arg, const struct unix_scanned *m, struct unix_verdict *v)
{
	struct marking *k = arg;
	struct unix_resolved is;
	struct unix_block block;

	unix_resolve(&k->resolve, m, &is);
	v->action = UNIX_KEEP;
	if (!is.stored)
		return 0;
	unix_block_of(k->b, m, &is, &block);
	block.mark = k->b->uidlast;
	v->action = UNIX_STAMP;
	v->block_size = unix_block_write(v->block, &block, 0);
	return v->block_size != 0 ? 0 : MORTISE_E_LIMIT;
}

static int mark_message(struct mortise_call *call, struct unix_box *b, const struct unix_scanned *m,
    const struct unix_resolved *is)
{
	char *text = call->host->alloc(call, MORTISE_LIFE_CALL, UNIX_BLOCK_MAX);
	struct marking k = {.b = b};
	struct unix_block block;
	size_t size = 0;
	int r;

	unix_block_of(b, m, is, &block);
	block.mark = b->uidlast;
	if (m->block && m->block_uid && !m->strays)
		size = unix_block_write(text, &block, m->block_size);
	if (size == 0) {
		unix_resolve_begin(&k.resolve, b);
		return unix_rewrite(call, b, m->start, mark_one, &k, NULL);
	}
	if (block.base) {
		b->base.mark = block.mark;
		b->base.token = block.token;
	}
	r = unix_patch(call, b, text, size, m->block_start, UNIX_PATCH_WHATEVER, NULL);
	return r < 0 ? r : 0;
}

/* The header of what may be a message, and what is believed of it. */
static int look_at(struct mortise_call *call, struct unix_box *b, uint64_t start, uint64_t end,
    struct unix_scanned *m, struct unix_resolved *is)
{
	struct unix_resolve resolve;
	struct unix_scanner s;
	int r = unix_scanner(call, b, start, end, &s);

	if (r != 0)
		return r;
	r = unix_scan_header(&s, m);
	if (r < 0)
		r = unix_scan_fault(call, b, &s, r);
	unix_scan_close(&s);
	unix_resolve_begin(&resolve, b);
	if (r > 0)
		unix_resolve(&resolve, m, is);
	return r < 0 ? r : 0;
}

int unix_mark_end(struct mortise_call *call, struct unix_box *b)
{
	struct unix_scanned *m = call->host->alloc(call, MORTISE_LIFE_CALL, sizeof *m);
	struct unix_resolved is = {.stored = false};
	struct unix_print now;
	uint64_t start, end;
	int r = unix_box_print(call, b, &now);

	if (r != 0)
		return r;
	if (b->base.pseudo && b->base.next == now.size) {
		b->base.mark = b->uidlast;
		return unix_base_write(call, b, false);
	}
	/* A From line may also stand in a header, behind the block. Every message has a UID by now. */
	for (end = now.size; !is.stored; end = start) {
		if ((r = last_from(call, b, end, &start)) != 0 || start == end)
			return r;
		if ((r = look_at(call, b, start, now.size, m, &is)) != 0)
			return r;
	}
	return is.uid < b->uidlast ? mark_message(call, b, m, &is) : 0;
}
