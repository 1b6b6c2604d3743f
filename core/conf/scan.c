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

struct scan {
	struct str in;
	size_t at;
	int line;
	const char *file;
	struct buf *out;
	struct conf_report *report;
	size_t *settings;
	bool bad;
	bool value_next; /* after = or :, or inside a list */
	unsigned depth;
	uint32_t scopes;
	struct {
		uint32_t scope; /* 0: a list */
		int line;
		char closer;
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

#define PROBLEM(s, number, ...)                                                         \
	do {                                                                            \
		conf_problem((s)->report, (number), (s)->file, (s)->line, __VA_ARGS__); \
		(s)->bad = true;                                                        \
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

static void scan_name(struct scan *s)
{
	size_t start = s->at;
	struct str name;

	while (is_name(peek(s, 0)))
		s->at++;
	name = str_sub(s->in, start, s->at - start);
	if (s->value_next) {
		if (str_ieqc(name, "true") || str_ieqc(name, "false"))
			buf_addstr(s->out, name);
		else if (name.n > 64)
			PROBLEM(s, MSG_CONF_SYNTAX, "a string must be in quotes");
		else
			PROBLEM(s, MSG_CONF_SYNTAX, "%.*s must be in quotes: \"%.*s\"", STR_FMT(name),
			    STR_FMT(name));
		return;
	}
	if (name.n > 64)
		PROBLEM(s, MSG_CONF_SYNTAX, "a name of more than 64 octets");
	else if (str_find(name, '*') != name.n)
		PROBLEM(s, MSG_CONF_SYNTAX, "\"%.*s\": a name has no *", STR_FMT(name));
	else if (str_ieqc(name, "true") || str_ieqc(name, "false"))
		PROBLEM(s, MSG_CONF_SYNTAX, "\"%.*s\" cannot be a name", STR_FMT(name));
	else
		note_name(s, name);
}

static void open_scope(struct scan *s, char c)
{
	if (s->depth == CONF_DEPTH_MAX) {
		PROBLEM(s, MSG_CONF_LIMIT, "more than %u levels of groups and lists", CONF_DEPTH_MAX);
		s->at = s->in.n; /* nothing after this can be told apart */
		return;
	}
	s->depth++;
	s->stack[s->depth].scope = c == '{' ? ++s->scopes : 0;
	s->stack[s->depth].line = s->line;
	s->stack[s->depth].closer = (char)(c == '{' ? '}' : c == '(' ? ')' : ']');
	s->value_next = c != '{';
}

static void close_scope(struct scan *s, char c)
{
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
	s->depth--;
	s->value_next = s->stack[s->depth].scope == 0;
}

static void scan_punctuation(struct scan *s, char c)
{
	s->at++;
	buf_addc(s->out, c);
	if (c == '{' || c == '(' || c == '[')
		open_scope(s, c);
	else if (c == '}' || c == ')' || c == ']')
		close_scope(s, c);
	else
		s->value_next = c == '=' || c == ':' || s->stack[s->depth].scope == 0;
}

static void scan_token(struct scan *s)
{
	int c = peek(s, 0);

	if (c == '"') {
		scan_string(s);
		/* The next name of a group may follow without a semicolon. */
		s->value_next = s->stack[s->depth].scope == 0;
	} else if (is_name_start(c)) {
		bool value = s->value_next;

		scan_name(s);
		s->value_next = value && s->stack[s->depth].scope == 0;
		buf_addc(s->out, ' ');
	} else if (ascii_digit((char)c) || c == '-' || c == '+') {
		scan_number(s);
		s->value_next = s->stack[s->depth].scope == 0;
	} else if (c != 0 && strchr("=:;,{}[]()", c) != NULL) {
		scan_punctuation(s, (char)c);
	} else if (c == '@' && str_starts(str_from(s->in, s->at), STR("@include"))) {
		PROBLEM(s, MSG_CONF_INCLUDE,
		    "@include is not read: put the file into the folder imapd.conf.d beside the main file");
		while (peek(s, 0) >= 0 && peek(s, 0) != '\n')
			s->at++;
	} else if (c > ' ' && c < 0x7f) {
		PROBLEM(s, MSG_CONF_SYNTAX, "unexpected %c", c);
		s->at++;
	} else {
		PROBLEM(s, MSG_CONF_SYNTAX, "unexpected octet 0x%02x", (unsigned)c);
		s->at++;
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
	if (!s.bad && s.depth != 0) {
		s.line = s.stack[s.depth].line;
		PROBLEM(
		    &s, MSG_CONF_SYNTAX, "%c is missing for what is opened here", s.stack[s.depth].closer);
	}
	vec_free(&s.seen);
	return !s.bad;
}

const char *conf_scan_line_name(struct str plain, int line, char *name, size_t room)
{
	struct str rest = plain, one = STR_NONE;
	size_t n = 0;

	while (line-- > 0 && rest.p != NULL)
		one = str_cut(&rest, '\n');
	one = str_trim(one);
	while (n < one.n && n < room - 1 && is_name((unsigned char)one.p[n]))
		n++;
	memcpy(name, one.p != NULL ? one.p : "", n);
	name[n] = '\0';
	return name;
}
