/*
 * uidbatches.c: UIDBATCHES (draft-ietf-mailmaint-imap-uidbatches): ranges of UIDs with so many messages each.
 *
 * Batches are counted from the newest message on, and they leave no UID out: each begins right below the one
 * before it, the last one ends at UID 1. With a range of batches only these are told.
 */
#include "imap/session_int.h"
#include "mime/mime.h"
#include "log/log.h"
#include "base/banned.h"

struct batches {
	uint32_t size;        /* messages of one */
	uint32_t first, last; /* which, 1…; 0: all */
};

static bool batches_parse(struct parse *p, struct batches *b)
{
	*b = (struct batches){0};
	if (!parse_sp(p) || !parse_nz_number(p, &b->size))
		return false;
	if (!parse_skip(p, ' '))
		return parse_end(p);
	return parse_nz_number(p, &b->first) && parse_char(p, ':') && parse_nz_number(p, &b->last) &&
	       parse_end(p);
}

/* The lowest UID of batch n. */
static uint32_t lowest(const struct view *v, const struct batches *b, uint32_t n)
{
	uint64_t through = (uint64_t)b->size * n; /* messages up to the end of this batch */
	uint32_t count = view_count(v);

	return through >= count ? 1 : view_message(v, count - (uint32_t)through + 1)->uid;
}

static uint32_t highest(const struct view *v, const struct batches *b, uint32_t n)
{
	return n == 1 ? view_message(v, view_count(v))->uid : lowest(v, b, n - 1) - 1;
}

static void write_batches(struct session *s, const struct batches *b, uint32_t total)
{
	uint32_t last = b->last != 0 && b->last < total ? b->last : total, n;
	struct buf *out = session_out(s);
	const char *between = " ";

	buf_adds(out, "* UIDBATCHES (TAG ");
	imap_string(out, s->tag);
	buf_addc(out, ')');
	for (n = b->first != 0 ? b->first : 1; n <= last; n++, between = ",") {
		uint32_t high = highest(s->view, b, n), low = lowest(s->view, b, n);

		buf_printf(out, high > low ? "%s%u:%u" : "%s%u", between, high, low);
	}
	buf_adds(out, "\r\n");
}

void command_uidbatches(struct session *s, struct parse *p)
{
	struct batches b;
	uint32_t total, told;

	if (!batches_parse(p, &b)) {
		reply_bad(s, p->error);
		return;
	}
	if (b.first > b.last) {
		reply_bad_code(s, "CLIENTBUG", "A range of batches goes from the lower to the higher");
		return;
	}
	if (b.size < s->o->uid_batch_size) {
		reply_no(s, "TOOFEW",
		    arena_printf(
		        s->arena, "Minimum batch size is %llu", (unsigned long long)s->o->uid_batch_size));
		return;
	}
	total = (uint32_t)(((uint64_t)view_count(s->view) + b.size - 1) / b.size);
	told = b.first == 0 ? total : b.last - b.first + 1;
	if (told > s->o->uid_batches) {
		log_msg(MSG_IMAP_LIMIT, "%u batches of UIDs", told);
		reply_no(s, "TOOMANY", "Too many batches, ask for a range of them");
		return;
	}
	write_batches(s, &b, total);
	reply_ok(s, NULL, "UIDBATCHES completed");
}
