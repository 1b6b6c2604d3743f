#include "conf/conf_int.h"
#include "base/banned.h"

/* A name seen in a group, for finding the second one. */
struct seen {
	uint32_t scope;
	int line;
	struct str name;
	size_t next; /* index + 1 in the bucket's chain */
};

#define BUCKETS 1024u

/* What may come next. AFTER_VALUE: an end mark, or, in a group, the next name. */
enum want { WANT_NAME, WANT_EQUALS, WANT_VALUE, AFTER_VALUE };

enum token { TOKEN_OTHER, TOKEN_STRING, TOKEN_BOOL, TOKEN_NESTED };

struct scan {
	struct str in;
	size_t at;
	int line;
	const char *file;
	struct buf *out;
	struct conf_report *report;
	size_t *settings;
	bool bad;
	enum want want;
	enum token before; /* the token before this one */
	int told_line;     /* of the last problem: one a line, since the others usually follow from it */
	unsigned depth;
	uint32_t scopes;
	struct {
		uint32_t scope; /* 0: a list */
		int line;
		char closer;
		bool empty;
		enum token kind; /* of an array's elements, which are all of one */
	} stack[CONF_DEPTH_MAX + 1];
	VEC(struct seen) seen;
	size_t buckets[BUCKETS];
};

static int peek(const struct scan *s, size_t ahead)
{
	return s->at + ahead < s->in.n ? (unsigned char)s->in.p[s->at + ahead] : -1;
}

static void take(struct scan *s)
{
	if (s->in.p[s->at++] == '\n') {
		s->line++;
		buf_addc(s->out, '\n');
	}
}

#define PROBLEM(s, number, ...)                                                                 \
	do {                                                                                    \
		if ((s)->told_line != (s)->line)                                                \
			conf_problem((s)->report, (number), (s)->file, (s)->line, __VA_ARGS__); \
		(s)->told_line = (s)->line;                                                     \
		(s)->bad = true;                                                                \
	} while (0)

static bool is_name_start(int c)
{
	return c > 0 && (ascii_alpha((char)c) || c == '*');
}

static bool is_name(int c)
{
	return c > 0 && (ascii_alpha((char)c) || ascii_digit((char)c) || c == '-' || c == '_' || c == '*');
}

static bool skip_comment(struct scan *s)
{
	int c = peek(s, 0);

	if (c == '#' || (c == '/' && peek(s, 1) == '/')) {
		while (peek(s, 0) >= 0 && peek(s, 0) != '\n')
			s->at++;
		return true;
	}
	if (c == '/' && peek(s, 1) == '*') {
		int line = s->line;

		for (s->at += 2; !(peek(s, 0) == '*' && peek(s, 1) == '/'); take(s))
			if (peek(s, 0) < 0) {
				s->line = line;
				PROBLEM(s, MSG_CONF_SYNTAX, "this comment has no end");
				return true;
			}
		s->at += 2;
		buf_addc(s->out, ' ');
		return true;
	}
	return false;
}

static int hex(int c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
	                              : -1;
}

/* One character of a string, decoded; -1 and a problem when it is none. */
static int string_character(struct scan *s)
{
	static const char letters[] = "nrtf\\\"", values[] = "\n\r\t\f\\\"";
	int c = peek(s, 0), high, low;
	const char *letter;

	s->at++;
	if (c != '\\')
		return c;
	c = peek(s, 0);
	if (c == 'x' && (high = hex(peek(s, 1))) >= 0 && (low = hex(peek(s, 2))) >= 0) {
		s->at += 3;
		return high * 16 + low;
	}
	letter = c > 0 ? strchr(letters, c) : NULL;
	if (letter == NULL) {
		PROBLEM(s, MSG_CONF_SYNTAX,
		    "unknown escape in a string: \\n \\r \\t \\f \\\\ \\\" \\xNN are known");
		return '?';
	}
	s->at++;
	return values[letter - letters];
}

static void scan_string(struct scan *s)
{
	size_t start = s->out->n;
	bool reported = false;

	buf_addc(s->out, '"');
	s->at++;
	for (;;) {
		int c = peek(s, 0);

		if (c == '"')
			break;
		if (c < 0 || c == '\n') {
			PROBLEM(s, MSG_CONF_SYNTAX, "this string has no end on its line: a \" is missing");
			buf_addc(s->out, '"');
			return;
		}
		c = string_character(s);
		if ((c == 0 || c == NUMBER_MARK) && !reported) {
			PROBLEM(s, MSG_CONF_SYNTAX, "a control character in a string");
			reported = true;
		} else if (c == '"' || c == '\\') {
			char e[2] = {'\\', (char)c};

			buf_add(s->out, e, 2);
		} else if (c < ' ' || c == 0x7f) {
			buf_printf(s->out, "\\x%02x", (unsigned)c);
		} else {
			buf_addc(s->out, (char)c);
		}
		if (s->out->n - start > CONF_VALUE_MAX && !reported) {
			PROBLEM(s, MSG_CONF_LIMIT, "a string of more than %u octets", CONF_VALUE_MAX);
			reported = true;
		}
	}
	s->at++;
	buf_addc(s->out, '"');
}

/* A number becomes a string with a mark; "10k" and the like are told how they must be written. */
static void scan_number(struct scan *s)
{
	size_t start = s->at, n;
	struct str token;
	bool suffix = false;

	while (peek(s, 0) > 0 && (is_name(peek(s, 0)) || peek(s, 0) == '+' || peek(s, 0) == '.'))
		s->at++;
	token = str_sub(s->in, start, s->at - start);
	if (token.n > 64) {
		PROBLEM(s, MSG_CONF_SYNTAX, "a number of more than 64 digits");
		return;
	}
	n = token.n;
	while (n > 1 && token.p[n - 1] == 'L' && token.n - n < 2)
		n--;
	token.n = n;
	for (n = 0; n < token.n; n++)
		suffix |= !ascii_digit(token.p[n]) &&
		          !(n == 0 && token.n > 1 && (token.p[0] == '-' || token.p[0] == '+'));
	if (suffix && !(token.n > 2 && token.p[0] == '0' && (token.p[1] | 32) == 'x') && token.p[0] != '-' &&
	    token.p[0] != '+' && str_find(token, '.') == token.n) {
		PROBLEM(
		    s, MSG_CONF_SYNTAX, "%.*s must be in quotes: \"%.*s\"", STR_FMT(token), STR_FMT(token));
		return;
	}
	buf_printf(s->out, "\"\\x%02x%.*s\"", (unsigned)NUMBER_MARK, STR_FMT(token));
}

static void note_name(struct scan *s, struct str name)
{
	struct seen *e;
	uint32_t scope = s->stack[s->depth].scope;
	size_t bucket = (str_hash(name) + scope) % BUCKETS, i;

	if (++*s->settings > CONF_SETTINGS_MAX) {
		if (*s->settings == CONF_SETTINGS_MAX + 1)
			conf_problem(s->report, MSG_CONF_LIMIT, s->file, s->line, "more than %u settings",
			    CONF_SETTINGS_MAX);
		s->bad = true;
		return;
	}
	for (i = s->buckets[bucket]; i != 0; i = s->seen.v[i - 1].next)
		if (s->seen.v[i - 1].scope == scope && str_eq(s->seen.v[i - 1].name, name)) {
			/* Not `bad`: it goes on under a name that is dropped, so that all others are read. */
			conf_problem(s->report, MSG_CONF_DUPLICATE, s->file, s->line,
			    "\"%.*s\" is set twice, first on line %d", STR_FMT(name), s->seen.v[i - 1].line);
			buf_printf(s->out, "%c%zu", DUPLICATE_MARK, *s->settings);
			return;
		}
	e = vec_push(&s->seen);
	*e = (struct seen){scope, s->line, name, s->buckets[bucket]};
	s->buckets[bucket] = s->seen.n;
	buf_addstr(s->out, name);
}

static bool in_list(const struct scan *s)
{
	return s->stack[s->depth].scope == 0;
}

/* A value begins here: whether one may. Strings side by side are one string. */
static void begin_value(struct scan *s, enum token kind)
{
	bool array = s->stack[s->depth].closer == ']';

	if (s->want == WANT_EQUALS)
		PROBLEM(s, MSG_CONF_SYNTAX, "a = is missing after the name");
	else if (s->want == WANT_NAME)
		PROBLEM(s, MSG_CONF_SYNTAX, "a value without a name");
	else if (s->want == AFTER_VALUE && !(kind == TOKEN_STRING && s->before == TOKEN_STRING))
		PROBLEM(s, MSG_CONF_SYNTAX, "two values side by side");
	else if (array && kind == TOKEN_NESTED)
		PROBLEM(s, MSG_CONF_SYNTAX, "groups and lists stand in ( ), not in [ ]");
	else if (array && !s->stack[s->depth].empty && s->stack[s->depth].kind != kind)
		PROBLEM(s, MSG_CONF_SYNTAX, "values of two kinds in one [ ]");
	s->stack[s->depth].kind = kind;
	s->stack[s->depth].empty = false;
	s->want = AFTER_VALUE;
	s->before = kind;
}

static bool is_bool(struct str name)
{
	return str_ieqc(name, "true") || str_ieqc(name, "false");
}

/* A word where a value must be. */
static void scan_word(struct scan *s, struct str word)
{
	if (word.n > 64)
		PROBLEM(s, MSG_CONF_SYNTAX, "a string must be in quotes");
	else if (!is_bool(word))
		PROBLEM(s, MSG_CONF_SYNTAX, "%.*s must be in quotes: \"%.*s\"", STR_FMT(word), STR_FMT(word));
	begin_value(s, TOKEN_BOOL);
	buf_addstr(s->out, word);
}

static void scan_name(struct scan *s)
{
	size_t start = s->at;
	struct str name;

	while (is_name(peek(s, 0)))
		s->at++;
	name = str_sub(s->in, start, s->at - start);
	if (s->want == WANT_VALUE || in_list(s)) {
		scan_word(s, name);
		return;
	}
	if (s->want == WANT_EQUALS)
		PROBLEM(s, MSG_CONF_SYNTAX, "a = is missing after the name");
	if (name.n > 64)
		PROBLEM(s, MSG_CONF_SYNTAX, "a name of more than 64 octets");
	else if (str_find(name, '*') != name.n)
		PROBLEM(s, MSG_CONF_SYNTAX, "\"%.*s\": a name has no *", STR_FMT(name));
	else if (is_bool(name))
		PROBLEM(s, MSG_CONF_SYNTAX, "\"%.*s\" cannot be a name", STR_FMT(name));
	else
		note_name(s, name);
	s->want = WANT_EQUALS;
	s->before = TOKEN_OTHER;
}

static void open_scope(struct scan *s, char c)
{
	begin_value(s, TOKEN_NESTED);
	if (s->depth == CONF_DEPTH_MAX) {
		PROBLEM(s, MSG_CONF_LIMIT, "more than %u levels of groups and lists", CONF_DEPTH_MAX);
		s->at = s->in.n; /* nothing after this can be told apart */
		return;
	}
	s->depth++;
	s->stack[s->depth].scope = c == '{' ? ++s->scopes : 0;
	s->stack[s->depth].line = s->line;
	s->stack[s->depth].closer = (char)(c == '{' ? '}' : c == '(' ? ')' : ']');
	s->stack[s->depth].empty = true;
	s->want = c == '{' ? WANT_NAME : WANT_VALUE;
}

static void close_scope(struct scan *s, char c)
{
	bool complete = s->want == WANT_NAME || s->want == AFTER_VALUE;

	if (s->depth == 0) {
		PROBLEM(s, MSG_CONF_SYNTAX, "this %c closes nothing", c);
		return;
	}
	if (s->stack[s->depth].closer != c) {
		PROBLEM(s, MSG_CONF_SYNTAX, "%c here, but %c is missing for what line %d opens", c,
		    s->stack[s->depth].closer, s->stack[s->depth].line);
		s->at = s->in.n;
		return;
	}
	if (!complete && !(in_list(s) && s->stack[s->depth].empty))
		PROBLEM(s, MSG_CONF_SYNTAX, "a value is missing before this %c", c);
	s->depth--;
	s->want = AFTER_VALUE;
	s->before = TOKEN_NESTED;
}

/* = or : and what ends a setting or an element. */
static void scan_mark(struct scan *s, char c)
{
	if (c == '=' || c == ':') {
		if (s->want != WANT_EQUALS)
			PROBLEM(s, MSG_CONF_SYNTAX, "no name before this %c", c);
		s->want = WANT_VALUE;
	} else {
		if (s->want != AFTER_VALUE)
			PROBLEM(s, MSG_CONF_SYNTAX, "no value before this %c", c);
		else if (c == ';' && in_list(s))
			PROBLEM(s, MSG_CONF_SYNTAX, "a list has commas");
		s->want = in_list(s) ? WANT_VALUE : WANT_NAME;
	}
	s->before = TOKEN_OTHER;
}

static void scan_other(struct scan *s, int c)
{
	if (c == '@' && str_starts(str_from(s->in, s->at), STR("@include"))) {
		PROBLEM(s, MSG_CONF_INCLUDE,
		    "@include is not read: put the file into the folder imapd.conf.d beside the main file");
		while (peek(s, 0) >= 0 && peek(s, 0) != '\n')
			s->at++;
		return;
	}
	if (c > ' ' && c < 0x7f)
		PROBLEM(s, MSG_CONF_SYNTAX, "unexpected %c", c);
	else
		PROBLEM(s, MSG_CONF_SYNTAX, "unexpected octet 0x%02x", (unsigned)c);
	s->at++;
}

static void scan_token(struct scan *s)
{
	int c = peek(s, 0);

	if (c == '"') {
		begin_value(s, TOKEN_STRING);
		scan_string(s);
	} else if (is_name_start(c)) {
		scan_name(s);
		buf_addc(s->out, ' ');
	} else if (ascii_digit((char)c) || c == '-' || c == '+') {
		begin_value(s, s->stack[s->depth].closer == ']' ? TOKEN_STRING : TOKEN_OTHER);
		s->before = TOKEN_OTHER;
		scan_number(s);
	} else if (c != 0 && strchr("=:;,{}[]()", c) != NULL) {
		s->at++;
		buf_addc(s->out, (char)c);
		if (strchr("{([", c) != NULL)
			open_scope(s, (char)c);
		else if (strchr("})]", c) != NULL)
			close_scope(s, (char)c);
		else
			scan_mark(s, (char)c);
	} else {
		scan_other(s, c);
	}
}

/* What is missing when the file ends. */
static void finish(struct scan *s)
{
	if (s->bad)
		return;
	if (s->depth != 0) {
		s->line = s->stack[s->depth].line;
		PROBLEM(
		    s, MSG_CONF_SYNTAX, "%c is missing for what is opened here", s->stack[s->depth].closer);
	} else if (s->want == WANT_EQUALS || s->want == WANT_VALUE) {
		PROBLEM(s, MSG_CONF_SYNTAX, "the file ends before the value");
	}
}

#define LEXICAL_MAX 50u /* problems of this kind in one file before the rest is not looked at */

bool conf_scan(struct str text, const char *file, struct buf *out, size_t *settings, struct conf_report *r)
{
	struct scan s = {
	    .in = text, .line = 1, .file = file, .out = out, .report = r, .settings = settings, .scopes = 1};
	size_t before = conf_errors(r);

	s.stack[0].scope = 1;
	if (str_starts(text, STR("\xef\xbb\xbf")))
		s.at = 3;
	while (s.at < s.in.n && conf_errors(r) - before < LEXICAL_MAX) {
		int c = peek(&s, 0);

		if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f') {
			take(&s);
			if (c != '\n')
				buf_addc(out, ' ');
		} else if (!skip_comment(&s)) {
			scan_token(&s);
		}
	}
	finish(&s);
	vec_free(&s.seen);
	return !s.bad;
}
