/*
 * fetch_binary.c: BINARY and BINARY.SIZE (RFC 3516, RFC 9051 §6.4.5): a part without its transfer encoding.
 *
 * The answer is a string when no NUL is in it, else a literal8, and its length comes first: both have to be
 * known before the first octet goes out. So the range is decoded to look at it and, when it is more than a
 * piece, again to send it; what stands before the range is decoded once, what stands behind it never.
 *
 * The message itself, multiparts and messages within have no encoding to take off (RFC 2045 §6.4); they go as
 * they are.
 */
#include "imap/fetch.h"
#include "mime/decoded.h"
#include "base/banned.h"

/* The part's decoding, where the command before has left it if it was the same part. */
static struct decoding *decoding_of(struct fetch_kept *k, const struct mime_part *part)
{
	bool leaf = part->kind == MIME_LEAF || part->kind == MIME_TEXT;

	if (k->part != part) {
		decoding_free(&k->decoding);
		k->decoding = decoding_new(part->body_start, part->end, leaf ? part->encoding : STR("8BIT"));
		k->part = part;
	}
	return k->decoding;
}

/* *out NULL: there is no such part. */
static int open_decoded(
    struct fetch_message *f, const struct fetch_item *item, struct source **out, struct err *e)
{
	const struct mime_part *part;
	uint64_t octets;

	*out = NULL;
	if (fetch_open(f, e) != 0)
		return e->code;
	if (item->section.number_count == 0) {
		if (source_size(f->source, &octets, e) == 0)
			*out = source_window(f->source, 0, octets);
		return e->code;
	}
	if (fetch_parts(f, &part, e) != 0)
		return e->code;
	part = mime_part_at(part, item->section.numbers, item->section.number_count);
	if (part == NULL)
		return 0;
	if (!mime_encoding_known(part->encoding)) {
		f->unknown_cte = true;
		return err_fail(e, MORTISE_E_UNSUPPORTED, "The encoding of the part is not known");
	}
	*out = source_decoded(f->source, decoding_of(f->s->kept, part));
	return 0;
}

/* How much of [*from, *to) there is, and whether a NUL is in it. */
static int look(
    struct session *s, struct source *decoded, uint64_t from, uint64_t *to, bool *nul, struct err *e)
{
	uint64_t at = from;
	struct str part;

	*nul = false;
	while (at < *to) {
		if (source_chunk(decoded, at, &part, e) != 0)
			return e->code;
		if (part.n == 0)
			break;
		part = str_sub(part, 0, *to - at < part.n ? (size_t)(*to - at) : part.n);
		*nul = *nul || memchr(part.p, '\0', part.n) != NULL;
		at += part.n;
		if (session_stopped(s))
			return err_fail(e, MORTISE_E_CANCELLED, "Stopped");
	}
	*to = at;
	return 0;
}

int fetch_send_octets(struct fetch_message *f, struct source *source, const char *label, uint64_t from,
    uint64_t to, struct err *e)
{
	bool nul;

	if (look(f->s, source, from, &to, &nul, e) != 0)
		return e->code;
	if (from < to)
		return fetch_send(f, source, label, from, to, nul, e);
	buf_printf(session_out(f->s), "%s \"\"", label);
	return 0;
}

int fetch_binary(struct fetch_message *f, const struct fetch_item *item, struct err *e)
{
	uint64_t from = 0, to = UINT64_MAX;
	struct source *decoded;

	if (open_decoded(f, item, &decoded, e) != 0)
		return e->code;
	if (decoded == NULL) {
		buf_printf(session_out(f->s), "%s NIL", item->label);
		return 0;
	}
	fetch_cut(item, &from, &to);
	fetch_send_octets(f, decoded, item->label, from, to, e);
	source_close(&decoded);
	return e->code;
}

int fetch_binary_size(struct fetch_message *f, const struct fetch_item *item, struct err *e)
{
	uint64_t octets = 0;
	struct source *decoded;

	if (open_decoded(f, item, &decoded, e) != 0)
		return e->code;
	if (decoded != NULL)
		source_size(decoded, &octets, e);
	source_close(&decoded);
	if (e->code == 0)
		buf_printf(session_out(f->s), "%s %llu", item->label, (unsigned long long)octets);
	return e->code;
}
