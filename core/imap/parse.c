#include <mortise/driver.h>

#include "charset/charset.h"
#include "imap/parse.h"
#include "imap/reader.h"
#include "mime/mime.h"
#include "base/banned.h"

void parse_start(struct parse *p, struct str command, struct arena *a)
{
	*p = (struct parse){.rest = command, .arena = a};
}

bool parse_fail(struct parse *p, const char *error)
{
	if (p->error == NULL)
		p->error = error;
	return false;
}

/* Octets from the front that belong to a class. */
static struct str take_while(struct parse *p, bool (*is)(char))
{
	size_t n = 0;
	struct str s;

	while (n < p->rest.n && is(p->rest.p[n]))
		n++;
	s = str_sub(p->rest, 0, n);
	p->rest = str_from(p->rest, n);
	return s;
}

bool parse_is_atom_char(char c)
{
	unsigned char u = (unsigned char)c;

	return u > ' ' && u < 0x7f && strchr("(){%*\"\\]", c) == NULL;
}

bool parse_is_astring_char(char c)
{
	return parse_is_atom_char(c) || c == ']';
}

static bool is_pattern_char(char c)
{
	return parse_is_astring_char(c) || c == '%' || c == '*';
}

static bool is_set_char(char c)
{
	return ascii_digit(c) || c == ':' || c == ',' || c == '*';
}

static bool is_digit(char c)
{
	return ascii_digit(c);
}

static bool is_date_char(char c)
{
	return ascii_digit(c) || ascii_alpha(c) || c == '-';
}

bool parse_tag(struct parse *p, struct str *tag)
{
	*tag = str_sub(p->rest, 0, str_find(p->rest, ' '));
	if (p->error != NULL || !reader_tag_ok(*tag))
		return parse_fail(p, "Invalid tag");
	p->rest = str_from(p->rest, tag->n);
	return true;
}

bool parse_at_end(const struct parse *p)
{
	return p->error == NULL && p->rest.n == 0;
}

bool parse_at(const struct parse *p, char c)
{
	return p->error == NULL && p->rest.n > 0 && p->rest.p[0] == c;
}

bool parse_skip(struct parse *p, char c)
{
	if (!parse_at(p, c))
		return false;
	p->rest = str_from(p->rest, 1);
	return true;
}

bool parse_sp(struct parse *p)
{
	return parse_skip(p, ' ') || parse_fail(p, "Missing argument");
}

bool parse_end(struct parse *p)
{
	return parse_at_end(p) || parse_fail(p, "Unexpected text after the arguments");
}

bool parse_char(struct parse *p, char c)
{
	return parse_skip(p, c) || parse_fail(p, "Syntax error");
}

bool parse_word(struct parse *p, const char *word)
{
	struct str w = str_of(word);

	if (p->error != NULL || !str_istarts(p->rest, w))
		return false;
	if (p->rest.n > w.n && parse_is_atom_char(p->rest.p[w.n]))
		return false;
	p->rest = str_from(p->rest, w.n);
	return true;
}

bool parse_atom(struct parse *p, struct str *atom)
{
	*atom = STR_NONE;
	if (p->error != NULL)
		return false;
	*atom = take_while(p, parse_is_atom_char);
	return atom->n > 0 || parse_fail(p, "Missing or invalid argument");
}

static bool is_item_char(char c)
{
	return ascii_digit(c) || ascii_alpha(c) || c == '.';
}

bool parse_item_name(struct parse *p, struct str *name)
{
	*name = STR_NONE;
	if (p->error != NULL)
		return false;
	*name = take_while(p, is_item_char);
	return name->n > 0 || parse_fail(p, "Missing or invalid item");
}

bool parse_quoted(struct parse *p, struct str *s)
{
	size_t i, n = 0, escapes = 0;
	char *copy;

	*s = STR_NONE;
	if (!parse_skip(p, '"'))
		return parse_fail(p, "Missing quoted string");
	for (i = 0; i < p->rest.n && p->rest.p[i] != '"'; i++) {
		char c = p->rest.p[i];

		if (c == '\\') {
			if (++i >= p->rest.n)
				break;
			c = p->rest.p[i];
			if (c != '"' && c != '\\')
				return parse_fail(p, "Invalid escape in quoted string");
			escapes++;
		}
		if (c == '\0' || c == '\r' || c == '\n')
			return parse_fail(p, "Control character in quoted string");
	}
	if (i >= p->rest.n)
		return parse_fail(p, "Quoted string without end");
	*s = str_sub(p->rest, 0, i);
	p->rest = str_from(p->rest, i + 1);
	if (p->utf8 && !utf8_valid(*s)) /* RFC 6855 §3 */
		return parse_fail(p, "Quoted string is not in UTF-8");
	if (escapes == 0)
		return true;
	copy = arena_alloc(p->arena, s->n + 1);
	for (i = 0; i < s->n; i++) {
		if (s->p[i] == '\\')
			i++;
		copy[n++] = s->p[i];
	}
	*s = str_mem(copy, n);
	return true;
}

/* "{" number ["+"] "}" CRLF octets */
static bool octets(struct parse *p, struct str *s)
{
	struct str digits;
	uint64_t n;

	if (!parse_char(p, '{'))
		return false;
	digits = take_while(p, is_digit);
	parse_skip(p, '+');
	if (!str_u64(digits, &n) || !str_starts(p->rest, STR("}\r\n")))
		return parse_fail(p, "Invalid literal");
	p->rest = str_from(p->rest, 3);
	if (n > p->rest.n)
		return parse_fail(p, "Invalid literal");
	*s = str_sub(p->rest, 0, (size_t)n);
	p->rest = str_from(p->rest, (size_t)n);
	return true;
}

static bool literal(struct parse *p, struct str *s)
{
	if (!octets(p, s))
		return false;
	return str_find(*s, '\0') == s->n || parse_fail(p, "NUL in literal");
}

bool parse_string(struct parse *p, struct str *s)
{
	*s = STR_NONE;
	if (parse_at(p, '"'))
		return parse_quoted(p, s);
	if (parse_at(p, '{'))
		return literal(p, s);
	if (parse_at(p, '~'))
		return parse_fail(p, "Binary literal is not allowed here");
	return parse_fail(p, "Missing string");
}

bool parse_nstring(struct parse *p, struct str *s)
{
	*s = STR_NONE;
	return parse_word(p, "NIL") || parse_string(p, s);
}

bool parse_nstring8(struct parse *p, struct str *s)
{
	if (parse_skip(p, '~'))
		return octets(p, s);
	return parse_nstring(p, s);
}

static bool astring_of(struct parse *p, bool (*is)(char), struct str *s)
{
	*s = STR_NONE;
	if (p->error != NULL)
		return false;
	if (parse_at(p, '"') || parse_at(p, '{') || str_starts(p->rest, STR("~{")))
		return parse_string(p, s);
	*s = take_while(p, is);
	return s->n > 0 || parse_fail(p, "Missing or invalid argument");
}

bool parse_astring(struct parse *p, struct str *s)
{
	return astring_of(p, parse_is_astring_char, s);
}

bool parse_number64(struct parse *p, uint64_t *n)
{
	if (p->error != NULL)
		return false;
	return (str_u64(take_while(p, is_digit), n) && *n <= INT64_MAX) ||
	       parse_fail(p, "Missing or invalid number");
}

bool parse_number(struct parse *p, uint32_t *n)
{
	uint64_t wide;

	if (!parse_number64(p, &wide))
		return false;
	*n = (uint32_t)wide;
	return wide <= UINT32_MAX || parse_fail(p, "Number is too large");
}

bool parse_nz_number(struct parse *p, uint32_t *n)
{
	return parse_number(p, n) && (*n != 0 || parse_fail(p, "Number is zero"));
}

bool parse_sequence_set(struct parse *p, uint32_t star, struct number_set *set)
{
	if (p->error != NULL)
		return false;
	return set_parse(p->arena, take_while(p, is_set_char), star, set) ||
	       parse_fail(p, "Invalid sequence set");
}

bool parse_uid_set(struct parse *p, struct number_set *set)
{
	size_t n = 0;

	while (n < p->rest.n && is_set_char(p->rest.p[n]))
		if (p->rest.p[n++] == '*')
			return parse_fail(p, "\"*\" is not allowed here");
	return parse_sequence_set(p, 1, set);
}

bool parse_modseq(struct parse *p, uint64_t *n)
{
	return parse_number64(p, n) && (*n != 0 || parse_fail(p, "Mod-sequence is zero"));
}

/* Modified UTF-7, or UTF-8 as it is, to a UTF-8 C string. */
static bool decode_name(struct parse *p, struct str s, const char **name)
{
	struct buf b = BUF_INIT;
	bool ok;

	if (p->utf8 || !utf8_is_ascii(s)) {
		ok = str_find(s, '\0') == s.n && utf8_valid(s);
		*name = ok ? arena_str(p->arena, s).p : NULL;
		return ok || parse_fail(p, "Mailbox name is not in UTF-8");
	}
	ok = str_find(s, '\0') == s.n && mutf7_to_utf8(&b, s);

	*name = ok ? arena_strndup(p->arena, b.n > 0 ? b.p : "", b.n) : NULL;
	buf_free(&b);
	return ok || parse_fail(p, "Mailbox name is not in modified UTF-7");
}

bool parse_mailbox(struct parse *p, const char **name)
{
	struct str s;

	*name = NULL;
	if (!parse_astring(p, &s))
		return false;
	if (str_ieqc(s, "INBOX")) {
		*name = "INBOX";
		return true;
	}
	return decode_name(p, s, name);
}

bool parse_pattern(struct parse *p, const char **pattern)
{
	struct str s;

	*pattern = NULL;
	return astring_of(p, is_pattern_char, &s) && decode_name(p, s, pattern);
}

bool parse_date(struct parse *p, int64_t *day)
{
	struct str s;

	if (parse_at(p, '"')) {
		if (!parse_quoted(p, &s))
			return false;
	} else if (p->error == NULL) {
		s = take_while(p, is_date_char);
	} else {
		return false;
	}
	return imap_date(s, day) || parse_fail(p, "Invalid date");
}

bool parse_date_time(struct parse *p, int64_t *when, int *zone)
{
	struct str s;

	return parse_quoted(p, &s) &&
	       (imap_date_time(s, when, zone) || parse_fail(p, "Invalid date and time"));
}

static const struct {
	const char *name;
	uint32_t flag;
} system_flags[] = {
    {"Seen", MORTISE_FLAG_SEEN},
    {"Deleted", MORTISE_FLAG_DELETED},
    {"Flagged", MORTISE_FLAG_FLAGGED},
    {"Answered", MORTISE_FLAG_ANSWERED},
    {"Draft", MORTISE_FLAG_DRAFT},
};

static bool system_flag(struct parse *p, struct flag_list *out)
{
	struct str name;
	size_t i;

	if (!parse_atom(p, &name))
		return parse_fail(p, "Invalid system flag");
	for (i = 0; i < ARRAY_LEN(system_flags); i++) {
		if (str_ieqc(name, system_flags[i].name)) {
			out->flags |= system_flags[i].flag;
			return true;
		}
	}
	if (p->rev2 && str_ieqc(name, "Recent"))
		return true;
	return parse_fail(p, str_ieqc(name, "Recent") ? "\\Recent cannot be stored" : "Unknown system flag");
}

bool parse_keyword(struct parse *p, struct str *keyword)
{
	return parse_atom(p, keyword) &&
	       (keyword->n <= KEYWORD_OCTETS_MAX || parse_fail(p, "Keyword is too long"));
}

static bool flag(struct parse *p, size_t keywords_max, struct flag_list *out)
{
	struct str name;
	size_t i;

	if (p->error == NULL && parse_at(p, '\\')) {
		parse_skip(p, '\\');
		if (parse_at(p, '*'))
			return parse_fail(p, "\\* is not a flag");
		return system_flag(p, out);
	}
	if (!parse_keyword(p, &name))
		return false;
	for (i = 0; i < out->count; i++)
		if (str_ieq(out->keywords[i], name))
			return true;
	if (out->count >= keywords_max)
		return parse_fail(p, "Too many keywords");
	out->keywords[out->count++] = name;
	return true;
}

bool parse_flag_list(struct parse *p, bool bare, size_t keywords_max, struct flag_list *out)
{
	bool list = parse_skip(p, '(');

	*out = (struct flag_list){.keywords = arena_array(p->arena, keywords_max, sizeof(struct str))};
	if (!list && !bare)
		return parse_fail(p, "Missing flag list");
	if (list && parse_skip(p, ')'))
		return true;
	do {
		if (!flag(p, keywords_max, out))
			return false;
	} while (parse_skip(p, ' '));
	return !list || parse_char(p, ')');
}

bool parse_stream_literal(struct parse *p)
{
	parse_skip(p, '~');
	if (!parse_char(p, '{'))
		return parse_fail(p, "Missing message literal");
	take_while(p, is_digit);
	parse_skip(p, '+');
	return str_eqc(p->rest, "}\r\n") || parse_fail(p, "Missing message literal");
}
