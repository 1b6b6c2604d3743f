/*
 * Section specifications (RFC 3501 §6.4.5). A part number counts among the parts of a multipart; a message
 * that is not multipart has one part, 1, its body. The number behind a message/rfc822 part counts in the
 * message that is inside.
 */
#include "mime/mime_int.h"

#include "base/object.h"
#include "base/banned.h"

/* The part that `number` names in a message or a part that holds parts. */
static const struct mime_part *step(const struct mime_part *message, uint32_t number)
{
	const struct mime_part *part;

	if (message->kind != MIME_MULTIPART)
		return number == 1 ? message : NULL;
	for (part = message->child; part != NULL && part->number != number; part = part->next)
		;
	return part;
}

const struct mime_part *mime_part_at(const struct mime_part *root, const uint32_t *numbers, size_t count)
{
	const struct mime_part *part = root;
	size_t i;

	for (i = 0; i < count && part != NULL; i++) {
		if (i == 0 || part->kind == MIME_MULTIPART)
			part = step(part, numbers[i]);
		else if (part->kind == MIME_MESSAGE)
			part = step(part->child, numbers[i]);
		else
			part = NULL;
	}
	return part;
}

int mime_header_end(struct source *s, uint64_t *end, struct err *e)
{
	enum { AT_START, AFTER_CR, IN_LINE } where = AT_START;
	struct str part;
	size_t i;

	for (*end = 0;; *end += part.n) {
		if (source_chunk(s, *end, &part, e) != 0)
			return e->code;
		if (part.n == 0)
			return 0;
		for (i = 0; i < part.n; i++) {
			char c = part.p[i];

			if (c == '\n' && where != IN_LINE) {
				*end += i + 1;
				return 0;
			}
			if (c == '\n')
				where = AT_START;
			else
				where = c == '\r' && where == AT_START ? AFTER_CR : IN_LINE;
		}
	}
}

static bool is_listed(struct str name, const struct mime_section *section)
{
	size_t i;

	for (i = 0; i < section->field_count; i++)
		if (str_ieq(name, section->fields[i]))
			return true;
	return false;
}

/* Lines that are no fields are in no list of fields, so HEADER.FIELDS.NOT shows them. */
static int build_fields(struct source *s, const struct mime_part *part, const struct mime_section *section,
    const struct mime_limits *l, struct arena *a, struct mime_range *out, struct err *e)
{
	bool wanted = section->text == MIME_HEADER_FIELDS;
	uint64_t to = part->body_start;
	struct field_cursor cursor;
	struct raw_field field;
	struct buf b = BUF_INIT;
	int r;

	if (to - part->header_start > l->header_size)
		to = part->header_start + l->header_size;
	r = source_read(s, part->header_start, to, l->header_size, a, &cursor.rest, e);
	if (r != 0)
		return r;
	while (field_step(&cursor, &field)) {
		if (is_listed(field.name, section) != wanted)
			continue;
		buf_addstr(&b, field.raw);
		if (field.raw.p[field.raw.n - 1] != '\n')
			buf_adds(&b, "\r\n");
	}
	buf_adds(&b, "\r\n");
	out->found = out->is_built = true;
	out->built = arena_str(a, buf_str(&b));
	buf_free(&b);
	return 0;
}

static void set_range(struct mime_range *out, uint64_t from, uint64_t to)
{
	out->found = true;
	out->from = from;
	out->to = to > from ? to : from;
}

int mime_find(struct source *s, const struct mime_part *root, const struct mime_section *section,
    const struct mime_limits *l, struct arena *a, struct mime_range *out, struct err *e)
{
	struct mime_limits limits = mime_limits_of(l);
	const struct mime_part *part = mime_part_at(root, section->numbers, section->number_count);
	bool whole = section->number_count == 0;
	const struct mime_part *message; /* whose HEADER and TEXT are meant */

	*out = (struct mime_range){0};
	if (part == NULL)
		return 0;
	message = whole ? root : part->kind == MIME_MESSAGE ? part->child : NULL;
	switch (section->text) {
	case MIME_WHOLE:
		set_range(out, whole ? part->header_start : part->body_start, part->end);
		return 0;
	case MIME_MIME:
		if (!whole)
			set_range(out, part->header_start, part->body_start);
		return 0;
	case MIME_HEADER:
		if (message != NULL)
			set_range(out, message->header_start, message->body_start);
		return 0;
	case MIME_TEXT_ONLY:
		if (message != NULL)
			set_range(out, message->body_start, message->end);
		return 0;
	case MIME_HEADER_FIELDS:
	case MIME_HEADER_FIELDS_NOT:
		return message != NULL ? build_fields(s, message, section, &limits, a, out, e) : 0;
	}
	UNREACHABLE("mime_text");
}
