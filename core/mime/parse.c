/*
 * The one pass that finds a message's parts. It goes line by line and keeps: the header block it is in (up to
 * header_size), the boundaries of the multiparts that are open, and the part tree. A line longer than any
 * boundary is only looked at in its first octets.
 *
 * Boundaries (RFC 2046 §5.1.1): a delimiter line is `--`, the boundary and white space, nothing else, so one
 * boundary may be the beginning of another; a closing delimiter may be followed by anything, for footers
 * that list servers glue on. The innermost open multipart is asked first, but an outer one's delimiter ends
 * all that is inside. The line end in front of a delimiter belongs to the delimiter.
 */
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "mime/mime_int.h"

#include "base/mem.h"
#include "base/object.h"
#include "base/vec.h"
#include "base/banned.h"

#define BOUNDARY_MAX 998u /* RFC 2046 allows 70; longer than this is none */
#define HEAD_MAX (BOUNDARY_MAX + 64u)

/* ---- lines of a source ---- */

struct line {
	uint64_t start, end;
	struct str head; /* the first octets, without the line end */
	unsigned term;   /* octets of the line end: 2 CRLF, 1 LF, 0 at the end of the message */
	bool empty;
};

struct lines {
	struct source *source;
	struct str chunk; /* what is unread of the last one */
	uint64_t at;
	char head[HEAD_MAX];
};

/* 1 and a line, 0 at the end, or a code. The line's octets are also added to `sink` when there is one. */
static int next_line(struct lines *s, struct buf *sink, struct line *line, struct err *e)
{
	size_t kept = 0;
	char last = '\0', before = '\0';
	bool ended = false, direct = false;

	*line = (struct line){.start = s->at};
	while (!ended) {
		size_t n;

		if (s->chunk.n == 0) {
			int r = source_chunk(s->source, s->at, &s->chunk, e);

			if (r != 0)
				return r;
			if (s->chunk.n == 0)
				break;
		}
		n = str_find(s->chunk, '\n');
		ended = n < s->chunk.n;
		n += ended;
		if (sink != NULL)
			buf_add(sink, s->chunk.p, n);
		if (ended && s->at == line->start) {
			line->head = str_sub(s->chunk, 0, n < HEAD_MAX ? n : HEAD_MAX);
			direct = true;
		} else {
			size_t copied = n < HEAD_MAX - kept ? n : HEAD_MAX - kept;

			memcpy(s->head + kept, s->chunk.p, copied);
			kept += copied;
		}
		before = n >= 2 ? s->chunk.p[n - 2] : last;
		last = s->chunk.p[n - 1];
		s->at += n;
		s->chunk = str_from(s->chunk, n);
	}
	line->end = s->at;
	if (line->end == line->start)
		return 0;
	line->term = !ended ? 0 : before == '\r' ? 2 : 1;
	if (!direct)
		line->head = str_mem(s->head, kept);
	if (line->head.n > line->end - line->start - line->term)
		line->head.n = (size_t)(line->end - line->start - line->term);
	line->empty = line->end - line->start == line->term;
	return 1;
}

/* ---- the parser's state ---- */

struct frame {
	struct mime_part *part;
	struct mime_part *last; /* newest child */
	struct str boundary;
	uint32_t depth;
	bool digest;
};

struct parser {
	struct mime_limits l;
	struct arena *arena;
	size_t arena_start;
	struct lines lines;
	struct mime_part *root, *current; /* the part whose header or body the next line belongs to */
	uint32_t depth;                   /* of current */
	uint32_t parts;
	bool in_header;
	bool digest_child; /* current's default type is message/rfc822 */
	struct buf header;
	size_t header_before; /* octets of it before the newest line */
	VEC(struct frame) frames;
	uint64_t line_ends;  /* so far */
	unsigned term;       /* of the line before */
	const char *reached; /* the limit that cut the tree; NULL: none */
};

static bool is_full(struct parser *p)
{
	if (p->parts >= p->l.parts)
		p->reached = "parts";
	else if (arena_size(p->arena) - p->arena_start >= p->l.structure_size)
		p->reached = "structure_size";
	else
		return false;
	return true;
}

/* Whether the current part may have parts of its own. */
static bool may_nest(struct parser *p)
{
	if (p->depth < p->l.depth)
		return !is_full(p);
	p->reached = "depth";
	return false;
}

static struct mime_part *new_part(struct parser *p, struct mime_part *parent, uint64_t at)
{
	struct mime_part *part = arena_new_of(p->arena, struct mime_part);

	part->type = STR("TEXT");
	part->subtype = STR("PLAIN");
	part->kind = MIME_TEXT;
	part->parent = parent;
	part->number = 1;
	part->header_start = part->body_start = part->end = at;
	p->parts++;
	return part;
}

static void start_header(struct parser *p, struct mime_part *part, uint32_t depth, bool digest_child)
{
	p->current = part;
	p->depth = depth;
	p->digest_child = digest_child;
	p->in_header = true;
	buf_reset(&p->header);
}

/* ---- what a header says ---- */

enum content_field {
	CONTENT_TYPE,
	CONTENT_ENCODING,
	CONTENT_ID,
	CONTENT_DESCRIPTION,
	CONTENT_MD5,
	CONTENT_DISPOSITION,
	CONTENT_LANGUAGE,
	CONTENT_LOCATION,
	MIME_VERSION,
	CONTENT_FIELDS
};
static const char *const content_names[CONTENT_FIELDS] = {
    [CONTENT_TYPE] = "Content-Type",
    [CONTENT_ENCODING] = "Content-Transfer-Encoding",
    [CONTENT_ID] = "Content-ID",
    [CONTENT_DESCRIPTION] = "Content-Description",
    [CONTENT_MD5] = "Content-MD5",
    [CONTENT_DISPOSITION] = "Content-Disposition",
    [CONTENT_LANGUAGE] = "Content-Language",
    [CONTENT_LOCATION] = "Content-Location",
    [MIME_VERSION] = "MIME-Version",
};

/* The first field of each name; p NULL when there is none. */
static void find_content(struct str header, uint32_t limit, struct str found[CONTENT_FIELDS])
{
	struct field_cursor cursor = {header};
	struct raw_field field;

	memset(found, 0, sizeof(found[0]) * CONTENT_FIELDS);
	while (limit-- != 0 && field_step(&cursor, &field)) {
		int i;

		if (field.name.n == 0 ||
		    (ascii_lower(field.name.p[0]) != 'c' && ascii_lower(field.name.p[0]) != 'm'))
			continue;
		for (i = 0; i < CONTENT_FIELDS; i++)
			if (found[i].p == NULL && str_ieqc(field.name, content_names[i]))
				found[i] = field.value;
	}
}

static struct str text_of(const struct parser *p, struct str folded)
{
	return folded.p != NULL ? arena_str(p->arena, field_unfold(folded, p->arena)) : STR_NONE;
}

/* Subtypes of top-level types that came without one (RFC 2045 §5.2 knows only text/plain). */
static const struct {
	struct str type, subtype;
} default_subtypes[] = {{STR_INIT("TEXT"), STR_INIT("PLAIN")}, {STR_INIT("MULTIPART"), STR_INIT("MIXED")},
    {STR_INIT("MESSAGE"), STR_INIT("RFC822")}, {STR_INIT("AUDIO"), STR_INIT("BASIC")}};

static void set_type(struct mime_part *part, const struct content_value *type)
{
	size_t i;

	part->type = type->first;
	part->subtype = type->second;
	part->parameters = type->parameters;
	for (i = 0; i < ARRAY_LEN(default_subtypes) && part->subtype.p == NULL; i++)
		if (str_eq(part->type, default_subtypes[i].type))
			part->subtype = default_subtypes[i].subtype;
	if (part->subtype.p == NULL) {
		part->type = STR("APPLICATION");
		part->subtype = STR("OCTET-STREAM");
	}
}

/* text/plain without its charset says US-ASCII (RFC 2045 §5.2), unless its encoding says that it is not. */
static void default_charset(struct mime_part *part, struct arena *a)
{
	struct mime_parameters old = part->parameters;

	if (parameter_find(&old, "charset") != NULL || parameter_find(&old, "charset*") != NULL ||
	    str_eqc(part->encoding, "8BIT") || str_eqc(part->encoding, "BINARY"))
		return;
	part->parameters.v = arena_array(a, old.n + 1, sizeof(old.v[0]));
	part->parameters.n = old.n + 1;
	part->parameters.v[0] = (struct mime_parameter){STR("CHARSET"), STR("US-ASCII")};
	if (old.n != 0)
		memcpy(part->parameters.v + 1, old.v, old.n * sizeof(old.v[0]));
}

static void read_type(struct parser *p, struct mime_part *part, const struct str found[CONTENT_FIELDS])
{
	struct content_value type = {0};

	if (found[CONTENT_TYPE].p != NULL)
		content_parse(found[CONTENT_TYPE], true, p->l.parameters, p->arena, &type);
	/* MIME without MIME-Version is common; a Content-Type without `/` and it is from before MIME. */
	if (type.first.p != NULL &&
	    (type.second.p != NULL || found[MIME_VERSION].p != NULL || found[CONTENT_ENCODING].p != NULL)) {
		set_type(part, &type);
	} else if (p->digest_child) {
		part->type = STR("MESSAGE");
		part->subtype = STR("RFC822");
	}
}

static void read_content(struct parser *p, struct mime_part *part, struct str header)
{
	struct str found[CONTENT_FIELDS];
	struct content_value disposition;

	find_content(header, p->l.header_fields, found);
	read_type(p, part, found);
	if (found[CONTENT_ENCODING].p != NULL)
		part->encoding = content_token(found[CONTENT_ENCODING], p->arena);
	part->id = text_of(p, found[CONTENT_ID]);
	part->description = text_of(p, found[CONTENT_DESCRIPTION]);
	part->md5 = text_of(p, found[CONTENT_MD5]);
	part->location = text_of(p, found[CONTENT_LOCATION]);
	if (found[CONTENT_DISPOSITION].p != NULL) {
		content_parse(found[CONTENT_DISPOSITION], false, p->l.parameters, p->arena, &disposition);
		part->disposition = disposition.first;
		part->disposition_parameters = disposition.parameters;
	}
	if (found[CONTENT_LANGUAGE].p != NULL)
		part->languages = content_languages(
		    found[CONTENT_LANGUAGE], p->l.parameters, p->arena, &part->language_count);
}

/* The boundary, or p NULL when it is none that a line could hold. */
static struct str boundary_of(const struct mime_part *part)
{
	const struct mime_parameter *b = parameter_find(&part->parameters, "boundary");
	struct str value = b != NULL ? b->value : STR_NONE;

	while (value.n != 0 && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
		value.n--;
	return value.n != 0 && value.n <= BOUNDARY_MAX ? value : STR_NONE;
}

static void make_opaque(struct mime_part *part)
{
	part->kind = MIME_LEAF;
	part->type = STR("APPLICATION");
	part->subtype = STR("OCTET-STREAM");
	part->parameters = (struct mime_parameters){NULL, 0};
}

static void classify(struct parser *p, struct mime_part *part)
{
	part->kind = MIME_LEAF;
	if (str_eqc(part->type, "MULTIPART")) {
		if (boundary_of(part).p == NULL) {
			/* Nothing can be told apart in it: it is read as the text that it is. */
			part->type = STR("TEXT");
			part->subtype = STR("PLAIN");
			part->parameters = (struct mime_parameters){NULL, 0};
		} else if (may_nest(p)) {
			part->kind = MIME_MULTIPART;
		} else {
			make_opaque(part);
		}
	} else if (str_eqc(part->type, "MESSAGE") &&
	           (str_eqc(part->subtype, "RFC822") || str_eqc(part->subtype, "GLOBAL"))) {
		if (may_nest(p))
			part->kind = MIME_MESSAGE;
		else
			make_opaque(part);
	}
	if (str_eqc(part->type, "TEXT")) {
		part->kind = MIME_TEXT;
		default_charset(part, p->arena);
	}
}

/* The header of the current part ends at `at`, where its body begins. */
static void end_header(struct parser *p, uint64_t at)
{
	struct mime_part *part = p->current, *parent = part->parent;
	struct str header = buf_str(&p->header);

	p->in_header = false;
	if (p->header.overflow)
		p->reached = "header_size";
	part->body_start = part->end = at;
	part->lines = p->line_ends; /* until the part is closed: the count at its start */
	read_content(p, part, header);
	classify(p, part);
	if (parent != NULL && parent->kind == MIME_MESSAGE) {
		struct buf b = BUF_INIT;

		envelope_write(&b, header, &p->l);
		parent->envelope = arena_str(p->arena, buf_str(&b));
		buf_free(&b);
	}
	if (part->kind == MIME_MULTIPART) {
		*vec_push(&p->frames) =
		    (struct frame){part, NULL, boundary_of(part), p->depth, str_eqc(part->subtype, "DIGEST")};
	} else if (part->kind == MIME_MESSAGE) {
		part->child = new_part(p, part, at);
		start_header(p, part->child, p->depth + 1, false);
	}
}

/* ---- delimiters ---- */

enum delimiter { NO_DELIMITER, OPENING, CLOSING };

static bool is_blank(struct str s)
{
	while (s.n != 0 && (s.p[0] == ' ' || s.p[0] == '\t' || s.p[0] == '\r'))
		s = str_from(s, 1);
	return s.n == 0;
}

/* What `rest`, a line behind its "--", is to this boundary. */
static enum delimiter match(struct str rest, struct str boundary, bool exact)
{
	if (!str_starts(rest, boundary))
		return NO_DELIMITER;
	rest = str_from(rest, boundary.n);
	if (is_blank(rest))
		return OPENING;
	if (!str_starts(rest, STR("--")) || (exact && !is_blank(str_from(rest, 2))))
		return NO_DELIMITER;
	return CLOSING;
}

/* Which frame's delimiter the line is. Exact ones first: a boundary may begin with another one and `--`. */
static enum delimiter find_delimiter(const struct parser *p, const struct line *line, size_t *frame)
{
	int exact;

	if (p->frames.n == 0 || line->head.n < 3 || line->head.p[0] != '-' || line->head.p[1] != '-')
		return NO_DELIMITER;
	for (exact = 1; exact >= 0; exact--) {
		size_t i;

		for (i = p->frames.n; i-- > 0;) {
			enum delimiter d =
			    match(str_from(line->head, 2), p->frames.v[i].boundary, exact != 0);

			if (d != NO_DELIMITER) {
				*frame = i;
				return d;
			}
		}
	}
	return NO_DELIMITER;
}

static void add_empty_child(struct parser *p, struct mime_part *part)
{
	/* body-type-mpart needs a part: an empty one stands for those that are not there. */
	part->child = new_part(p, part, part->end);
	default_charset(part->child, p->arena);
}

/* Closes the current part and those around it, up to but not including `stop`, at wire position `at`. */
static void close_parts(struct parser *p, const struct mime_part *stop, uint64_t at, uint64_t line_ends)
{
	while (p->current != stop) {
		struct mime_part *part = p->current;

		if (part->body_start > at) {
			/* An empty body right behind its header: there is no line end to give away. */
			at = part->body_start;
			line_ends = part->lines;
		}
		part->end = at;
		part->lines = line_ends > part->lines ? line_ends - part->lines : 0;
		if (part->kind == MIME_MULTIPART && part->child == NULL)
			add_empty_child(p, part);
		p->current = part->parent;
	}
}

static void end_headers(struct parser *p, uint64_t at)
{
	while (p->in_header)
		end_header(p, at);
}

static void take_delimiter(struct parser *p, enum delimiter d, size_t index, const struct line *line)
{
	struct frame *f = &p->frames.v[index];
	uint64_t before = p->term != 0;

	close_parts(p, f->part, line->start - p->term, p->line_ends - before);
	p->frames.n = index + 1;
	p->depth = f->depth;
	if (d == CLOSING) {
		p->frames.n = index;
		if (f->part->child == NULL) {
			f->part->end = line->start;
			add_empty_child(p, f->part);
		}
	} else {
		struct mime_part *part = new_part(p, f->part, line->end);

		if (f->last != NULL) {
			f->last->next = part;
			part->number = f->last->number + 1;
		} else {
			f->part->child = part;
		}
		f->last = part;
		start_header(p, part, f->depth + 1, f->digest);
	}
}

static void take_line(struct parser *p, const struct line *line)
{
	size_t frame = 0;
	enum delimiter d = find_delimiter(p, line, &frame);

	/* When no more parts may be made, the last one reaches to the end. */
	if (d == OPENING && is_full(p))
		d = NO_DELIMITER;
	if (d != NO_DELIMITER) {
		if (p->in_header) {
			/* The delimiter itself was collected with the header it ends. */
			buf_truncate(&p->header, p->header_before);
			end_headers(p, line->start);
		}
		/* Ending a header may have opened a multipart: it is inside of `frame`, and closed with it.
		 */
		take_delimiter(p, d, frame, line);
	} else if (p->in_header && line->empty) {
		p->line_ends += line->term != 0;
		end_header(p, line->end);
		p->term = line->term;
		return;
	}
	p->line_ends += line->term != 0;
	p->term = line->term;
}

#ifdef __SSE2__
#define PIECE sizeof(__m128i)
#define PIECES 4u /* that are looked at together */
#define BLOCK (PIECES * PIECE)
#define COUNT_MAX (256u - PIECES) /* that a count of eight bits can take */

static __m128i equal(const char *p, char c)
{
	return _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)p), _mm_set1_epi8(c));
}

static uint64_t sum(__m128i counts)
{
	uint64_t halves[2];
	__m128i sums = _mm_sad_epu8(counts, _mm_setzero_si128());

	memcpy(halves, &sums, sizeof(halves));
	return halves[0] + halves[1];
}

/*
 * Passes over lines a block at a time, up to one in which, when that matters, a line begins with '-', or
 * where fewer octets are left. Where the line begins in which that is; *count: lines before it.
 */
static const char *pass_blocks(const char *start, const char *end, bool dashes_matter, uint64_t *count)
{
	const char *at = start, *lf;
	bool found = false;

	while (!found && (size_t)(end - at) > BLOCK) {
		__m128i counts = _mm_setzero_si128();
		unsigned i;

		for (i = 0; i < COUNT_MAX && (size_t)(end - at) > BLOCK; i += PIECES, at += BLOCK) {
			__m128i lines = _mm_setzero_si128(), dashes = lines;
			size_t k;

			for (k = 0; k < BLOCK; k += PIECE) {
				__m128i ends = equal(at + k, '\n');

				lines = _mm_sub_epi8(lines, ends);
				dashes = _mm_or_si128(dashes, _mm_and_si128(ends, equal(at + k + 1, '-')));
			}
			found = dashes_matter && _mm_movemask_epi8(dashes) != 0;
			if (found)
				break;
			counts = _mm_add_epi8(counts, lines);
		}
		*count += sum(counts);
	}
	lf = at > start ? memrchr(start, '\n', (size_t)(at - start)) : NULL;
	return lf != NULL ? lf + 1 : start;
}
#else
static const char *pass_blocks(
    const char *start, const char *end UNUSED, bool dashes_matter UNUSED, uint64_t *count UNUSED)
{
	return start;
}
#endif

/* Whole lines of a body that cannot be delimiters, as far as the chunk goes. Most of a mailbox is such lines.
 */
static void pass_lines(struct parser *p)
{
	struct str chunk = p->lines.chunk;
	const char *at = chunk.p, *end, *last = NULL;
	bool dashes_matter = p->frames.n != 0;

	if (chunk.n == 0)
		return;
	end = chunk.p + chunk.n;
	if (*at != '-' || !dashes_matter)
		at = pass_blocks(at, end, dashes_matter, &p->line_ends);
	if (at > chunk.p)
		last = at - 1;
	while (at < end && (*at != '-' || !dashes_matter)) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));

		if (lf == NULL)
			break;
		p->line_ends++;
		last = lf;
		at = lf + 1;
	}
	if (last == NULL)
		return;
	p->term = last > chunk.p && last[-1] == '\r' ? 2 : 1;
	p->lines.at += (uint64_t)(at - chunk.p);
	p->lines.chunk = str_from(chunk, (size_t)(at - chunk.p));
}

static void report_limit(const struct parser *p)
{
	const struct {
		const char *name;
		uint32_t value;
	} limits[] = {{"depth", p->l.depth}, {"parts", p->l.parts}, {"structure_size", p->l.structure_size},
	    {"header_size", p->l.header_size}};
	size_t i;

	for (i = 0; i < ARRAY_LEN(limits) && p->reached != NULL; i++)
		if (strcmp(p->reached, limits[i].name) == 0)
			mime_limit_reached(limits[i].name, limits[i].value);
}

int mime_parse(
    struct source *s, const struct mime_limits *l, struct arena *a, struct mime_part **root, struct err *e)
{
	struct parser *p = mem_new(struct parser);
	struct line line;
	int r;

	*root = NULL;
	p->l = mime_limits_of(l);
	p->arena = a;
	p->arena_start = arena_size(a);
	p->lines.source = s;
	p->header.limit = p->l.header_size;
	p->root = new_part(p, NULL, 0);
	start_header(p, p->root, 0, false);
	while ((r = next_line(&p->lines, p->in_header ? &p->header : NULL, &line, e)) > 0) {
		take_line(p, &line);
		p->header_before = p->header.n;
		if (!p->in_header)
			pass_lines(p);
	}
	if (r == 0) {
		end_headers(p, p->lines.at);
		close_parts(p, NULL, p->lines.at, p->line_ends);
		*root = p->root;
		report_limit(p);
	}
	buf_free(&p->header);
	vec_free(&p->frames);
	mem_free(p);
	return r;
}
