#include "mime/mime_int.h"

#include "base/object.h"
#include "base/banned.h"

#define FIELDS_MAGIC 0x6d666c64u

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* ftext (RFC 5322 §3.6.8), white space before the colon allowed (§4.5), of a field's first line. Empty: this
 * is no field. */
static struct str name_of(struct str line, size_t *colon)
{
	struct str name;
	size_t i;

	*colon = str_find(line, ':');
	name = str_sub(line, 0, *colon);
	while (name.n != 0 && is_blank(name.p[name.n - 1]))
		name.n--;
	for (i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] >= 0x7f)
			return STR_NONE;
	return *colon < line.n ? name : STR_NONE;
}

bool field_step(struct field_cursor *c, struct raw_field *out)
{
	struct str rest = c->rest;
	size_t end, first, colon;

	if (rest.n == 0 || rest.p[0] == '\n' || (rest.n >= 2 && rest.p[0] == '\r' && rest.p[1] == '\n'))
		return false;
	end = first = str_find(rest, '\n');
	end += end < rest.n;
	while (end < rest.n && is_blank(rest.p[end])) {
		end += str_find(str_from(rest, end), '\n');
		end += end < rest.n;
	}
	out->raw = str_sub(rest, 0, end);
	out->name = name_of(str_sub(rest, 0, first), &colon);
	out->value = out->name.n != 0 ? str_from(out->raw, colon + 1) : STR_NONE;
	c->rest = str_from(rest, end);
	return true;
}

struct str field_unfold(struct str folded, struct arena *a)
{
	struct str s = str_trim(folded);
	size_t n = 0, line = str_find(s, '\n');
	char *p;

	if (line == s.n)
		return s.n != 0 ? s : STR("");
	p = arena_alloc(a, s.n + 1);
	for (; s.n > 0; line = str_find(s, '\n')) {
		size_t text = line > 0 && line < s.n && s.p[line - 1] == '\r' ? line - 1 : line;

		memcpy(p + n, s.p, text);
		n += text;
		s = str_from(s, line + 1);
	}
	return str_mem(p, n);
}

/* ---- the public walk ---- */

struct mime_fields {
	uint32_t magic;
	uint32_t left;
	struct field_cursor cursor;
	struct arena *arena;
};

/* Where the header ends: behind its empty line. `from` is where to begin to look; 0: not yet. */
static size_t header_end(struct str s, size_t from)
{
	for (;;) {
		size_t at;

		/* At the start of a line. */
		if (from < s.n && s.p[from] == '\n')
			return from + 1;
		if (from + 1 < s.n && s.p[from] == '\r' && s.p[from + 1] == '\n')
			return from + 2;
		at = str_find(str_from(s, from), '\n');
		if (from + at >= s.n)
			return 0;
		from += at + 1;
	}
}

/* Start of the last line of s. */
static size_t last_line(struct str s)
{
	const char *p = s.n != 0 ? memrchr(s.p, '\n', s.n) : NULL;

	return p != NULL ? (size_t)(p - s.p) + 1 : 0;
}

/* A header block, up to its empty line, `to` or the limit: no more of the source is read than that. */
static int read_header(struct source *s, uint64_t from, uint64_t to, size_t limit, struct arena *a,
    struct str *out, struct err *e)
{
	struct buf b = BUF_INIT;
	size_t line = 0, end = 0;
	int r = 0;

	while (end == 0 && b.n < limit && from + b.n < to) {
		struct str chunk;
		/* Twice as much each time: a long line is then looked at twice, not a thousand times. */
		size_t most = b.n < 4096 ? 4096 : b.n;

		r = source_chunk(s, from + b.n, &chunk, e);
		if (r != 0 || chunk.n == 0)
			break;
		if (most > limit - b.n)
			most = limit - b.n;
		if (most > to - from - b.n)
			most = (size_t)(to - from - b.n);
		buf_addstr(&b, str_sub(chunk, 0, most));
		end = header_end(buf_str(&b), line);
		line = last_line(buf_str(&b));
	}
	*out = arena_str(a, str_sub(buf_str(&b), 0, end != 0 ? end : b.n));
	buf_free(&b);
	return r;
}

struct mime_fields *mime_fields_of(struct str header, const struct mime_limits *l, struct arena *a)
{
	struct mime_limits limits = mime_limits_of(l);
	struct mime_fields *f = arena_new_of(a, struct mime_fields);

	f->magic = FIELDS_MAGIC;
	f->left = limits.header_fields;
	f->arena = a;
	f->cursor.rest = str_sub(header, 0, limits.header_size);
	return f;
}

int mime_fields_open(struct source *s, uint64_t from, uint64_t to, const struct mime_limits *l,
    struct arena *a, struct mime_fields **out, struct err *e)
{
	struct mime_limits limits = mime_limits_of(l);
	struct str header;
	int r = read_header(s, from, to > from ? to : from, limits.header_size, a, &header, e);

	*out = r == 0 ? mime_fields_of(header, l, a) : NULL;
	return r;
}

bool mime_fields_next(struct mime_fields *f, struct mime_field *out)
{
	struct raw_field raw;

	CHECK_OBJ(f, FIELDS_MAGIC);
	do {
		if (f->left == 0 || !field_step(&f->cursor, &raw))
			return false;
		f->left--;
	} while (raw.name.n == 0);
	out->name = raw.name;
	out->raw = raw.raw;
	out->value = field_unfold(raw.value, f->arena);
	return true;
}

bool mime_field_of(
    struct str header, struct str name, const struct mime_limits *l, struct arena *a, struct str *value)
{
	struct mime_limits limits = mime_limits_of(l);
	struct field_cursor cursor = {str_sub(header, 0, limits.header_size)};
	uint32_t left = limits.header_fields;
	struct raw_field raw;

	*value = STR_NONE;
	while (left-- > 0 && field_step(&cursor, &raw)) {
		if (str_ieq(raw.name, name)) {
			*value = field_unfold(raw.value, a);
			return true;
		}
	}
	return false;
}
