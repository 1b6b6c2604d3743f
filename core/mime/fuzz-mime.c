/*
 * Fuzz target: a message. The first octet chooses the size of the pieces it comes in and the limits. Checked
 * besides not crashing: the tree is the same however the octets come, parts lie within their parents, what is
 * written for the client is well-formed, and every section can be asked for.
 */
#include "mime/decoded.h"
#include "mime/mime_int.h"
#include "mime/recode.h"

#include "base/mem.h"
#include "base/object.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A source in pieces. */
struct pieces {
	struct source source;
	struct str octets;
	size_t piece;
};

static int pieces_chunk(struct source *s, uint64_t at, struct str *out, struct err *e UNUSED)
{
	struct pieces *p = (struct pieces *)s;

	*out = at < p->octets.n ? str_sub(p->octets, (size_t)at, p->piece) : STR_NONE;
	return 0;
}

static int pieces_size(struct source *s, uint64_t *n, struct err *e UNUSED)
{
	*n = ((struct pieces *)s)->octets.n;
	return 0;
}

static void pieces_close(struct source *s UNUSED)
{
}

static const struct source_ops pieces_ops = {
    .chunk = pieces_chunk, .size = pieces_size, .close = pieces_close};

/* Past one string, list element by element; false: not well-formed. */
static bool skip_string(struct str *s)
{
	uint64_t n;
	size_t end;

	if (s->p[0] == '"') {
		end = str_find(str_from(*s, 1), '"');
		if (end + 1 >= s->n || str_find(str_sub(*s, 1, end), '\n') != end)
			return false;
		*s = str_from(*s, end + 2);
		return true;
	}
	end = str_find(*s, '}');
	if (!str_u64(str_sub(*s, 1, end - 1), &n) || !str_starts(str_from(*s, end), STR("}\r\n")) ||
	    n > s->n - end - 3)
		return false;
	*s = str_from(*s, end + 3 + (size_t)n);
	return true;
}

static bool well_formed(struct str s)
{
	size_t depth = 0;

	while (s.n != 0) {
		if (s.p[0] == '"' || s.p[0] == '{') {
			if (!skip_string(&s))
				return false;
			continue;
		}
		if (s.p[0] == '(')
			depth++;
		else if (s.p[0] == ')' && depth-- == 0)
			return false;
		else if (s.p[0] != ' ' && s.p[0] != ')' && !ascii_alpha(s.p[0]) && !ascii_digit(s.p[0]))
			return false;
		s = str_from(s, 1);
	}
	return depth == 0;
}

static void ask_sections(
    struct source *s, const struct mime_part *root, const struct mime_limits *l, struct arena *a)
{
	static const uint32_t paths[][3] = {{1, 1, 1}, {1, 2, 1}, {2, 1, 1}, {2, 2, 2}, {3, 1, 2}};
	const struct str fields[] = {STR("Subject"), STR("x-a")};
	size_t i, n;
	int text;

	for (i = 0; i < ARRAY_LEN(paths); i++) {
		for (n = 0; n <= 3; n++) {
			for (text = MIME_WHOLE; text <= MIME_MIME; text++) {
				struct mime_section section = {paths[i], n, (enum mime_text)text, fields, 2};
				struct mime_range range;
				struct err e = ERR_INIT;

				ASSERT(mime_find(s, root, &section, l, a, &range, &e) == 0);
				ASSERT(!range.found || range.is_built ||
				       (range.from <= range.to && range.to <= root->end));
				ASSERT(!range.is_built || str_ends(range.built, STR("\r\n")));
			}
		}
	}
}

/* Piece by piece, and a range of it again. */
static void decode_again(const struct mime_part *part, struct str octets, struct str expected)
{
	struct pieces cut = {{SOURCE_MAGIC, &pieces_ops}, octets, 7};
	struct decoding *d = decoding_new(part->body_start, part->end, part->encoding);
	struct source *s = source_decoded(&cut.source, d);
	struct err e = ERR_INIT;
	struct str chunk;
	uint64_t at, size;

	for (at = expected.n / 2;; at += chunk.n) {
		ASSERT(source_chunk(s, at, &chunk, &e) == 0);
		ASSERT(str_eq(chunk, str_sub(expected, (size_t)at, chunk.n)));
		if (chunk.n == 0)
			break;
	}
	ASSERT(at == expected.n && source_size(s, &size, &e) == 0 && size == expected.n);
	ASSERT(source_chunk(s, 0, &chunk, &e) == 0 && str_starts(expected, chunk));
	source_close(&s);
	decoding_free(&d);
}

static void decode_body(const struct mime_part *part, struct str octets)
{
	struct mime_decoder *d = mime_decoder_new(part->encoding);
	struct buf out = BUF_INIT;

	mime_decoder_feed(d, str_sub(octets, part->body_start, part->end - part->body_start), &out);
	mime_decoder_flush(d, &out);
	ASSERT(out.n <= part->end - part->body_start);
	decode_again(part, octets, buf_str(&out));
	buf_free(&out);
	mime_decoder_free(&d);
}

static int collect(void *arg, struct str octets, struct err *e UNUSED)
{
	buf_addstr(arg, octets);
	return 0;
}

/* What can be stored holds no NUL, is as long as was said, and is the same message if there was none. */
static void recode(struct source *s, struct str octets, const struct mime_limits *l, struct arena *a)
{
	struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	struct recoding r;

	ASSERT(mime_recode(s, l, a, &r, &e) == 0);
	if (r.possible) {
		ASSERT(mime_recode_write(s, &r, collect, &out, &e) == 0);
		ASSERT(out.n == r.octets && str_find(buf_str(&out), '\0') == out.n);
		ASSERT(r.count > 1 || str_eq(buf_str(&out), octets));
	} else {
		ASSERT(str_find(octets, '\0') < octets.n || l->header_size < 1000);
	}
	buf_free(&out);
}

static void check_tree(const struct mime_part *root, struct str octets)
{
	const struct mime_part *part = root;

	ASSERT(root->end == octets.n && root->header_start == 0);
	while (part != NULL) {
		ASSERT(part->header_start <= part->body_start && part->body_start <= part->end);
		ASSERT(part->lines <= part->end - part->body_start);
		ASSERT(part->type.n != 0 && part->subtype.n != 0);
		ASSERT((part->child != NULL) == (part->kind == MIME_MULTIPART || part->kind == MIME_MESSAGE));
		if (part->parent != NULL)
			ASSERT(
			    part->header_start >= part->parent->body_start && part->end <= part->parent->end);
		if (part->next != NULL)
			ASSERT(
			    part->next->header_start >= part->end && part->next->number == part->number + 1);
		decode_body(part, octets);
		if (part->child != NULL) {
			part = part->child;
			continue;
		}
		while (part != NULL && part->next == NULL)
			part = part->parent;
		part = part != NULL ? part->next : NULL;
	}
}

static void walk_fields(
    struct source *s, const struct mime_part *root, const struct mime_limits *l, struct arena *a)
{
	struct mime_fields *fields;
	struct mime_field field;
	struct err e = ERR_INIT;
	int64_t when;
	int zone;

	ASSERT(mime_fields_open(s, 0, root->body_start, l, a, &fields, &e) == 0);
	while (mime_fields_next(fields, &field)) {
		ASSERT(field.name.n != 0 && str_find(field.value, '\n') == field.value.n);
		if (mime_date(field.value, &when, &zone))
			ASSERT(zone > -1440 && zone < 1440);
		imap_date_time(field.value, &when, &zone);
		imap_date(field.value, &when);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mime_limits small = {
	    .depth = 3, .parts = 5, .header_size = 200, .header_fields = 5, .addresses = 4, .parameters = 3};
	const struct mime_limits *l = size != 0 && data[0] >= 128 ? &small : &mime_limits_default;
	struct str octets = size != 0 ? str_mem(data + 1, size - 1) : STR("");
	struct pieces cut = {{SOURCE_MAGIC, &pieces_ops}, octets, size != 0 ? data[0] % 128 + 1u : 1};
	struct source *whole = source_memory(octets);
	struct arena *a = arena_new("fuzz");
	struct buf one = BUF_INIT, two = BUF_INIT;
	struct mime_part *root, *again;
	struct err e = ERR_INIT;

	ASSERT(mime_parse(whole, l, a, &root, &e) == 0);
	ASSERT(mime_parse(&cut.source, l, a, &again, &e) == 0);
	mime_bodystructure(root, true, &one);
	mime_bodystructure(again, true, &two);
	ASSERT(str_eq(buf_str(&one), buf_str(&two)));
	ASSERT(well_formed(buf_str(&one)));
	buf_reset(&one);
	mime_bodystructure(root, false, &one);
	ASSERT(well_formed(buf_str(&one)));
	buf_reset(&one);
	ASSERT(mime_envelope(&cut.source, 0, root->body_start, l, &one, &e) == 0);
	ASSERT(well_formed(buf_str(&one)));
	check_tree(root, octets);
	ask_sections(&cut.source, root, l, a);
	walk_fields(&cut.source, root, l, a);
	recode(&cut.source, octets, l, a);
	buf_free(&one);
	buf_free(&two);
	source_close(&whole);
	arena_free(&a);
	return 0;
}
