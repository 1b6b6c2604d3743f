/*
 * Address lists (RFC 5322 §3.4 with the obsolete syntax of §4.4), read leniently and written as ENVELOPE
 * shows them. One pass over the octets, one state; nothing nests but comments, which are counted.
 *
 * What is no address is shown as it stands, as a mailbox with an empty host: never with a NIL host, which
 * would be a group marker. Words before `<` are the personal name even when they hold an unquoted `@`
 * (`joe@here <joe@there>` is common); without angle brackets a comment is the name. Quoting is removed
 * (RFC 9051 §7.5.2), encoded words stay.
 */
#include "mime/mime_int.h"

#include "base/object.h"
#include "base/banned.h"

enum where { IN_PHRASE, IN_ANGLE, AFTER_ANGLE };

struct parser {
	struct str in;
	struct buf *out;
	uint32_t *left;
	bool in_group;
	enum where where;
	bool spaced; /* white space or a comment since the last word */
	bool dotted; /* the last word of the local part or domain was a dot */
	bool at;     /* `@` was seen: words belong to the domain */
	bool domain_done;
	struct buf phrase, local, domain, comment, route;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void write_string(struct buf *out, const struct buf *b, bool nil_when_empty)
{
	if (b->n != 0)
		imap_string(out, buf_str(b));
	else
		buf_adds(out, nil_when_empty ? "NIL" : "\"\"");
}

static bool may_write(struct parser *p)
{
	if (*p->left == 0)
		return false;
	--*p->left;
	return true;
}

static void reset(struct parser *p)
{
	buf_reset(&p->phrase);
	buf_reset(&p->local);
	buf_reset(&p->domain);
	buf_reset(&p->comment);
	buf_reset(&p->route);
	p->where = IN_PHRASE;
	p->spaced = p->dotted = p->at = p->domain_done = false;
}

static void write_address(struct parser *p, const struct buf *personal, const struct buf *mailbox)
{
	if (!may_write(p))
		return;
	buf_addc(p->out, '(');
	write_string(p->out, personal, true);
	buf_addc(p->out, ' ');
	write_string(p->out, &p->route, true);
	buf_addc(p->out, ' ');
	write_string(p->out, mailbox, false);
	buf_addc(p->out, ' ');
	write_string(p->out, &p->domain, false);
	buf_addc(p->out, ')');
}

/* A comma, a semicolon or the end. */
static void end_address(struct parser *p)
{
	if (p->where != IN_PHRASE)
		write_address(p, p->phrase.n != 0 ? &p->phrase : &p->comment, &p->local);
	else if (p->at)
		write_address(p, &p->comment, &p->local);
	else if (p->phrase.n != 0)
		write_address(p, &p->comment, &p->phrase);
	reset(p);
}

static void start_group(struct parser *p)
{
	/* The end marker needs its place too. */
	if (*p->left >= 2) {
		*p->left -= 2;
		buf_adds(p->out, "(NIL NIL ");
		write_string(p->out, &p->phrase, false);
		buf_adds(p->out, " NIL)");
		p->in_group = true;
	} else {
		*p->left = 0;
	}
	reset(p);
}

static void end_group(struct parser *p)
{
	if (p->in_group)
		buf_adds(p->out, "(NIL NIL NIL NIL)");
	p->in_group = false;
}

/* A word, or a piece of one: `.` and `@` come as words of their own. */
static void add_word(struct parser *p, struct str word, bool dot)
{
	struct buf *part = p->at ? &p->domain : &p->local;

	if (p->where == IN_PHRASE) {
		if (p->spaced && p->phrase.n != 0)
			buf_addc(&p->phrase, ' ');
		buf_addstr(&p->phrase, word);
	}
	if (p->where != AFTER_ANGLE) {
		bool gap = p->spaced && part->n != 0 && !dot && !p->dotted;

		if (p->at && gap)
			p->domain_done = true;
		if (!p->at || !p->domain_done) {
			if (gap)
				buf_addc(part, ' ');
			buf_addstr(part, word);
		}
		p->dotted = dot;
	}
	p->spaced = false;
}

static void add_at(struct parser *p)
{
	if (p->where == IN_PHRASE) {
		if (p->spaced && p->phrase.n != 0)
			buf_addc(&p->phrase, ' ');
		buf_addc(&p->phrase, '@');
	}
	if (p->at) {
		/* The last `@` parts the host from the rest. */
		buf_addc(&p->local, '@');
		buf_addstr(&p->local, buf_str(&p->domain));
		buf_reset(&p->domain);
	}
	p->at = true;
	p->domain_done = p->spaced = p->dotted = false;
}

/* The inside of a comment; the last one of an address is kept, for it may be the name. */
static void take_comment(struct parser *p)
{
	size_t i, depth = 1;

	buf_reset(&p->comment);
	for (i = 1; i < p->in.n; i++) {
		char c = p->in.p[i];

		if (c == '\\' && i + 1 < p->in.n)
			c = p->in.p[++i];
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0)
			break;
		if (c != '\r' && c != '\n')
			buf_addc(&p->comment, c);
	}
	p->in = str_from(p->in, i + 1);
	p->spaced = true;
}

static void take_quoted(struct parser *p)
{
	struct buf *part = p->at ? &p->domain : &p->local;
	size_t i;

	/* Opens the word (a space where one belongs), then adds its octets behind it. */
	add_word(p, STR(""), false);
	for (i = 1; i < p->in.n && p->in.p[i] != '"'; i++) {
		char c = p->in.p[i];

		if (c == '\\' && i + 1 < p->in.n)
			c = p->in.p[++i];
		if (c == '\r' || c == '\n')
			continue;
		if (p->where == IN_PHRASE)
			buf_addc(&p->phrase, c);
		if (p->where != AFTER_ANGLE && !p->domain_done)
			buf_addc(part, c);
	}
	p->in = str_from(p->in, i + 1);
}

/* `@a,@b:` after `<`: everything up to the colon, without white space. No colon: it was no route. */
static void take_route(struct parser *p)
{
	size_t i;

	for (i = 0; i < p->in.n && p->in.p[i] != ':' && p->in.p[i] != '>' && p->in.p[i] != ';'; i++)
		if (!is_space(p->in.p[i]))
			buf_addc(&p->route, p->in.p[i]);
	if (i < p->in.n && p->in.p[i] == ':') {
		p->in = str_from(p->in, i + 1);
		return;
	}
	p->in = str_from(p->in, i);
	buf_addstr(&p->domain, str_from(buf_str(&p->route), 1));
	buf_reset(&p->route);
	p->at = true;
}

static void start_angle(struct parser *p)
{
	p->in = str_from(p->in, 1);
	if (p->where != IN_PHRASE)
		return;
	buf_reset(&p->local);
	buf_reset(&p->domain);
	p->where = IN_ANGLE;
	p->at = p->domain_done = p->spaced = p->dotted = false;
	while (p->in.n != 0 && is_space(p->in.p[0]))
		p->in = str_from(p->in, 1);
	if (p->in.n != 0 && p->in.p[0] == '@')
		take_route(p);
}

static void take_atom(struct parser *p)
{
	static const bool ends[256] = {[' '] = true,
	    ['\t'] = true,
	    ['\r'] = true,
	    ['\n'] = true,
	    ['('] = true,
	    [')'] = true,
	    ['<'] = true,
	    ['>'] = true,
	    ['@'] = true,
	    [','] = true,
	    [';'] = true,
	    [':'] = true,
	    ['\\'] = true,
	    ['"'] = true,
	    ['['] = true,
	    [']'] = true,
	    ['.'] = true};
	size_t n = 0;

	if (p->in.p[0] == '[' && p->at) {
		/* A domain literal is one word, colons and all. */
		n = str_find(p->in, ']');
		n += n < p->in.n;
	} else {
		while (n < p->in.n && !ends[(unsigned char)p->in.p[n]])
			n++;
		n = n != 0 ? n : 1;
	}
	add_word(p, str_sub(p->in, 0, n), n == 1 && p->in.p[0] == '.');
	p->in = str_from(p->in, n);
}

static void take_colon(struct parser *p)
{
	if (p->where == IN_PHRASE && !p->in_group && !p->at) {
		if (p->phrase.n != 0)
			start_group(p);
	} else if (p->where == IN_ANGLE || p->phrase.n != 0) {
		add_word(p, STR(":"), true);
	}
	p->in = str_from(p->in, 1);
}

static void take_octet(struct parser *p, char c)
{
	switch (c) {
	case ' ':
	case '\t':
	case '\r':
	case '\n':
		p->spaced = true;
		break;
	case ',':
	case ';':
		end_address(p);
		if (c == ';')
			end_group(p);
		break;
	case '>':
		if (p->where == IN_ANGLE)
			p->where = AFTER_ANGLE;
		break;
	case '@':
		if (p->where != AFTER_ANGLE)
			add_at(p);
		break;
	case '\\':
		if (p->in.n > 1)
			add_word(p, str_sub(p->in, 1, 1), false);
		p->in = str_from(p->in, 1);
		break;
	}
	p->in = str_from(p->in, 1);
}

static void take(struct parser *p)
{
	char c = p->in.p[0];

	if (c == '(')
		take_comment(p);
	else if (c == '"')
		take_quoted(p);
	else if (c == '<')
		start_angle(p);
	else if (c == ':')
		take_colon(p);
	else if (is_space(c) || c == ',' || c == ';' || c == '>' || c == '@' || c == '\\')
		take_octet(p, c);
	else
		take_atom(p);
}

void address_write(struct buf *out, struct str value, uint32_t *left)
{
	struct parser p = {.in = str_trim(value), .out = out, .left = left};

	while (p.in.n != 0 && *left != 0)
		take(&p);
	end_address(&p);
	end_group(&p);
	buf_free(&p.phrase);
	buf_free(&p.local);
	buf_free(&p.domain);
	buf_free(&p.comment);
	buf_free(&p.route);
}
