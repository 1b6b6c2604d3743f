/*
 * Values of the Content-… fields (RFC 2045 §5.1, RFC 2183, RFC 3282) and their parameters. Read as mail has
 * them: comments, missing semicolons, unquoted file names with spaces, parameters without a value (dropped).
 *
 * RFC 2231: `name*0`, `name*1`, … are joined, whatever their order; the first of two with one number counts;
 * what comes after a gap stays as it is written. When a piece is extended (`name*0*`), the whole is kept
 * encoded and named `name*`, so that charset and language are not lost (RFC 2231 §6).
 */
#include "mime/mime_int.h"

#include "base/object.h"
#include "base/vec.h"
#include "base/banned.h"

#define SECTION_NONE UINT32_MAX
#define SECTION_DIGITS 5u

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Past a comment that begins at the front of s. */
static struct str skip_comment(struct str s)
{
	size_t i, depth = 0;

	for (i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			break;
	}
	return str_from(s, i + 1);
}

/* Past white space and comments; true when there was any. */
static bool skip_cfws(struct str *s)
{
	size_t before = s->n;

	while (s->n != 0 && (is_space(s->p[0]) || s->p[0] == '('))
		*s = s->p[0] == '(' ? skip_comment(*s) : str_from(*s, 1);
	return s->n != before;
}

/* A quoted string at the front of *s, without its quotes and quoting. */
static struct str take_quoted(struct str *s, struct arena *a)
{
	size_t i, n = 0, end = 1;
	char *p;

	while (end < s->n && s->p[end] != '"')
		end += s->p[end] == '\\' ? 2 : 1;
	end = end < s->n ? end : s->n;
	p = arena_alloc(a, end + 1);
	for (i = 1; i < end; i++) {
		if (s->p[i] == '\\' && i + 1 < end)
			i++;
		else if (s->p[i] == '\r' || s->p[i] == '\n')
			continue;
		p[n++] = s->p[i];
	}
	*s = str_from(*s, end + 1);
	return str_mem(p, n);
}

/* Octets up to one of `ends` or white space. */
static struct str take_until(struct str *s, const char *ends)
{
	struct str word = str_sub(*s, 0, 0);

	while (word.n < s->n && !is_space(s->p[word.n]) &&
	       (s->p[word.n] == '\0' || strchr(ends, s->p[word.n]) == NULL))
		word.n++;
	*s = str_from(*s, word.n);
	return word;
}

/*
 * An unquoted value. It goes on over white space, as file names do, unless what follows is the next
 * parameter (its `=` comes before the next semicolon).
 */
static struct str take_plain(struct str *s, struct arena *a)
{
	struct str word = take_until(s, ";("), rest = *s;
	size_t i = 0;

	while (i < rest.n && rest.p[i] != ';' && rest.p[i] != '=' && rest.p[i] != '(')
		i++;
	if (i == rest.n || rest.p[i] == ';') {
		word.n += i;
		*s = str_from(rest, i);
	}
	return arena_str(a, field_unfold(word, a));
}

static struct str take_value(struct str *s, struct arena *a)
{
	skip_cfws(s);
	return s->n != 0 && s->p[0] == '"' ? take_quoted(s, a) : take_plain(s, a);
}

/* ---- parameters ---- */

struct piece {
	struct str name; /* without section and mark of extension */
	struct str written;
	struct str value;
	uint32_t section; /* RFC 2231, or SECTION_NONE */
	bool extended;
	uint32_t order;
};
typedef VEC(struct piece) piece_vec;

/* Splits "name*1*". */
static void split_name(struct piece *p)
{
	struct str rest = p->written, base, digits;

	p->name = p->written;
	p->section = SECTION_NONE;
	if (str_find(rest, '*') == rest.n)
		return;
	base = str_cut(&rest, '*');
	digits = rest;
	if (digits.n != 0 && digits.p[digits.n - 1] == '*')
		digits.n--;
	/* "name*" alone is one extended value, already in the form that is kept. */
	if (base.n == 0 || digits.n == 0 || digits.n > SECTION_DIGITS || !str_u32(digits, &p->section)) {
		p->section = SECTION_NONE;
		return;
	}
	p->name = base;
	p->extended = digits.n != rest.n;
}

/* Whatever cannot begin a parameter is passed over. False: the end. */
static bool take_piece(struct str *s, struct arena *a, struct piece *out)
{
	while (s->n != 0) {
		struct str name;

		if (skip_cfws(s))
			continue;
		name = take_until(s, "=;(\"");
		if (name.n == 0) {
			if (s->p[0] == '"')
				take_quoted(s, a);
			else
				*s = str_from(*s, 1);
			continue;
		}
		skip_cfws(s);
		if (s->n == 0 || s->p[0] != '=')
			continue;
		*s = str_from(*s, 1);
		*out = (struct piece){.written = arena_str(a, name)};
		out->value = take_value(s, a);
		split_name(out);
		return true;
	}
	return false;
}

static int by_section(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	int d = str_icmp(x->name, y->name);

	if (d != 0)
		return d;
	if (x->section != y->section)
		return x->section < y->section ? -1 : 1;
	return x->order < y->order ? -1 : 1;
}

static int by_order(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

/* attribute-char of RFC 2231 §7: what needs no percent sign. */
static bool is_attribute_char(char c)
{
	return c > ' ' && c < 0x7f && strchr("*'%()<>@,;:\\\"/[]?=", c) == NULL;
}

static void add_joined(struct buf *b, const struct piece *p, bool extended)
{
	size_t i;

	for (i = 0; i < p->value.n; i++) {
		if (!extended || p->extended || is_attribute_char(p->value.p[i]))
			buf_addc(b, p->value.p[i]);
		else
			buf_printf(b, "%%%02X", (unsigned char)p->value.p[i]);
	}
}

/* Pieces v[0..n) have one name and sections 0, 0, 1, 2, 2, …: makes v[0] the whole and drops the others. */
static void join(struct piece *v, size_t n, struct arena *a)
{
	struct buf b = BUF_INIT;
	bool extended = false;
	size_t i;

	for (i = 0; i < n; i++)
		extended = extended || v[i].extended;
	if (extended && !v[0].extended)
		buf_adds(&b, "''");
	for (i = 0; i < n; i++) {
		if (i == 0 || v[i].section != v[i - 1].section)
			add_joined(&b, &v[i], extended);
		v[i].written = STR_NONE;
	}
	v[0].value = arena_str(a, buf_str(&b));
	v[0].written = extended ? str_of(arena_printf(a, "%.*s*", STR_FMT(v[0].name))) : v[0].name;
	buf_free(&b);
}

/* How many of v[0..n) belong to the run of sections that begins at v[0] with section 0. */
static size_t run_length(const struct piece *v, size_t n)
{
	size_t i = 1;

	while (i < n && str_ieq(v[i].name, v[0].name) && v[i].section != SECTION_NONE &&
	       v[i].section <= v[i - 1].section + 1)
		i++;
	return i;
}

static void join_all(piece_vec *pieces, struct arena *a)
{
	size_t i = 0;

	qsort(pieces->v, pieces->n, sizeof(pieces->v[0]), by_section);
	while (i < pieces->n) {
		size_t n = 1;

		if (pieces->v[i].section == 0) {
			n = run_length(&pieces->v[i], pieces->n - i);
			join(&pieces->v[i], n, a);
		}
		i += n;
	}
	qsort(pieces->v, pieces->n, sizeof(pieces->v[0]), by_order);
}

static void take_parameters(struct str s, uint32_t limit, struct arena *a, struct mime_parameters *out)
{
	piece_vec pieces = VEC_INIT;
	struct piece piece;
	bool sections = false;
	size_t i;

	while (pieces.n < limit && take_piece(&s, a, &piece)) {
		piece.order = (uint32_t)pieces.n;
		sections = sections || piece.section != SECTION_NONE;
		*vec_push(&pieces) = piece;
	}
	if (pieces.n == limit && str_trim(s).n != 0)
		mime_limit_reached("parameters", limit);
	if (sections)
		join_all(&pieces, a);
	out->v = arena_array(a, pieces.n, sizeof(out->v[0]));
	out->n = 0;
	for (i = 0; i < pieces.n; i++)
		if (pieces.v[i].written.p != NULL)
			out->v[out->n++] = (struct mime_parameter){pieces.v[i].written, pieces.v[i].value};
	vec_free(&pieces);
}

const struct mime_parameter *parameter_find(const struct mime_parameters *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (str_ieqc(p->v[i].name, name))
			return &p->v[i];
	return NULL;
}

/* ---- whole fields ---- */

static struct str upper(struct str s, struct arena *a)
{
	char *p = arena_strndup(a, s.p, s.n);
	size_t i;

	for (i = 0; i < s.n; i++)
		p[i] = ascii_upper(p[i]);
	return str_mem(p, s.n);
}

void content_parse(
    struct str value, bool with_subtype, uint32_t limit, struct arena *a, struct content_value *out)
{
	struct str word;

	*out = (struct content_value){0};
	skip_cfws(&value);
	word = take_until(&value, "/;=(\"");
	if (word.n != 0)
		out->first = upper(word, a);
	skip_cfws(&value);
	if (with_subtype && value.n != 0 && value.p[0] == '/') {
		value = str_from(value, 1);
		skip_cfws(&value);
		word = take_until(&value, ";=(\"");
		if (word.n != 0)
			out->second = upper(word, a);
	}
	take_parameters(value, limit, a, &out->parameters);
}

struct str content_token(struct str value, struct arena *a)
{
	struct str word;

	skip_cfws(&value);
	if (value.n != 0 && value.p[0] == '"')
		word = str_trim(take_quoted(&value, a));
	else
		word = take_until(&value, ";(\"");
	return word.n != 0 ? upper(word, a) : STR_NONE;
}

struct str *content_languages(struct str value, uint32_t limit, struct arena *a, size_t *count)
{
	VEC(struct str) tags = VEC_INIT;
	struct str *v;

	while (value.n != 0 && tags.n < limit) {
		struct str word;

		if (skip_cfws(&value))
			continue;
		word = take_until(&value, ",;(");
		if (word.n != 0)
			*vec_push(&tags) = arena_str(a, word);
		else
			value = str_from(value, 1);
	}
	*count = tags.n;
	v = arena_array(a, tags.n, sizeof(v[0]));
	if (tags.n != 0)
		memcpy(v, tags.v, tags.n * sizeof(v[0]));
	vec_free(&tags);
	return v;
}
