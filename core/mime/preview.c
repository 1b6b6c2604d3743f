#include "mime/preview.h"

#include "base/object.h"
#include "charset/charset.h"
#include "mime/mime_int.h"
#include "base/banned.h"

#define PIECE 4096u /* octets that are decoded at a time */

static struct charset_stream *stream_of(const struct mime_part *part)
{
	const struct mime_parameter *charset = parameter_find(&part->parameters, "charset");
	struct charset_stream *cs = charset != NULL ? charset_stream_new(charset->value) : NULL;

	return cs != NULL ? cs : charset_stream_new(STR("UTF-8"));
}

struct reducing {
	struct preview *preview;
	struct mime_decoder *decoder;
	struct charset_stream *charset;
	struct buf decoded, utf8;
};

/* One piece through transfer encoding and charset; an empty one ends it. False: there is enough. */
static bool feed(struct reducing *r, struct str piece)
{
	buf_reset(&r->decoded);
	buf_reset(&r->utf8);
	if (piece.n != 0)
		mime_decoder_feed(r->decoder, piece, &r->decoded);
	else
		mime_decoder_flush(r->decoder, &r->decoded);
	if (r->decoded.n != 0)
		charset_stream_feed(r->charset, buf_str(&r->decoded), &r->utf8);
	if (piece.n == 0)
		charset_stream_feed(r->charset, STR_NONE, &r->utf8);
	return preview_feed(r->preview, buf_str(&r->utf8));
}

static int reduce(struct source *s, const struct mime_part *part, struct buf *out, struct err *e)
{
	struct reducing r = {.preview = preview_new(str_ieqc(part->subtype, "HTML")),
	    .decoder = mime_decoder_new(part->encoding),
	    .charset = stream_of(part)};
	uint64_t at = part->body_start, end = part->end, limit = mime_limits_default.preview_size;
	bool more = true;

	if (end - at > limit)
		end = at + limit;
	while (more && at < end) {
		struct str chunk;

		if (source_chunk(s, at, &chunk, e) != 0 || chunk.n == 0)
			break;
		if (chunk.n > end - at)
			chunk.n = (size_t)(end - at);
		chunk = str_sub(chunk, 0, PIECE);
		at += chunk.n;
		more = feed(&r, chunk);
	}
	if (more)
		feed(&r, STR_NONE);
	preview_finish(r.preview, out);
	preview_free(&r.preview);
	mime_decoder_free(&r.decoder);
	charset_stream_free(&r.charset);
	buf_free(&r.decoded);
	buf_free(&r.utf8);
	return e->code;
}

/* Next part, parents first, without what stands in messages. */
static const struct mime_part *next_part(const struct mime_part *part)
{
	if (part->kind == MIME_MULTIPART && part->child != NULL)
		return part->child;
	while (part != NULL && part->next == NULL)
		part = part->parent;
	return part != NULL ? part->next : NULL;
}

static bool is_text(const struct mime_part *part, const char *subtype)
{
	return part->kind == MIME_TEXT && str_ieqc(part->subtype, subtype) &&
	       !(part->disposition.p != NULL && str_ieqc(part->disposition, "ATTACHMENT"));
}

int mime_preview(struct source *s, const struct mime_part *root, struct buf *out, struct err *e)
{
	static const char *const subtypes[] = {"PLAIN", "HTML"};
	const struct mime_part *part;
	size_t start = out->n, i;

	for (i = 0; i < ARRAY_LEN(subtypes); i++)
		for (part = root; part != NULL && out->n == start && e->code == 0; part = next_part(part))
			if (is_text(part, subtypes[i]))
				reduce(s, part, out, e);
	return e->code;
}
