/*
 * Reducing text to a preview, character by character.
 */
#include "mime/preview.h"

#include "base/mem.h"
#include "base/object.h"
#include "base/banned.h"

#define NAME_MAX_OCTETS 16u /* of tags and entities that mean something */

/* Words as they come together. */
struct words {
	struct buf text;
	unsigned characters;
	bool space; /* one is to come before the next character */
};

enum html_state { IN_TEXT, IN_TAG_NAME, IN_TAG, IN_QUOTES, IN_COMMENT, IN_ENTITY };

struct preview {
	bool html;
	struct words own, quoted;
	/* text/plain: the line */
	bool line_is_quoted;
	unsigned column, signature; /* octets of "-- " the line begins with */
	bool ended;                 /* by a signature */
	/* text/html */
	enum html_state state;
	char name[NAME_MAX_OCTETS + 1]; /* of the tag or entity being read */
	size_t name_size;
	char quote;
	unsigned dashes;  /* in a row, in a comment */
	const char *skip; /* name of the element whose content is passed over, or NULL */
	bool in_head;     /* what is passed over stands in a head */
};

static bool is_white(uint32_t c)
{
	return c <= ' ' || c == 0x7f || c == 0x85 || c == 0xa0 || c == 0x2028 || c == 0x2029 || c == 0x3000 ||
	       (c >= 0x2000 && c <= 0x200a);
}

/* Characters that nobody sees. */
static bool is_fill(uint32_t c)
{
	return c == 0xad || c == 0x34f || c == 0xfeff || c == 0x200b || c == 0x200e || c == 0x200f ||
	       (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x2064) || (c >= 0x80 && c < 0xa0);
}

static void put(struct words *w, struct str character, uint32_t code)
{
	/* A joiner joins nothing at the beginning of a word. */
	bool joiner = code == 0x200c || code == 0x200d;

	if (is_white(code) || w->characters >= PREVIEW_CHARACTERS) {
		w->space = w->text.n > 0;
		return;
	}
	if (is_fill(code) || (joiner && (w->space || w->text.n == 0)))
		return;
	if (w->space && w->characters + 2 > PREVIEW_CHARACTERS) {
		w->characters = PREVIEW_CHARACTERS;
		return;
	}
	if (w->space) {
		buf_addc(&w->text, ' ');
		w->characters++;
	}
	w->space = false;
	buf_addstr(&w->text, character);
	w->characters++;
}

static void put_code(struct words *w, uint32_t code)
{
	char octets[4];
	size_t n = 0;

	if (code >= 0x10000) {
		octets[n++] = (char)(0xf0 | code >> 18);
		octets[n++] = (char)(0x80 | (code >> 12 & 0x3f));
	} else if (code >= 0x800) {
		octets[n++] = (char)(0xe0 | code >> 12);
	}
	if (code >= 0x800)
		octets[n++] = (char)(0x80 | (code >> 6 & 0x3f));
	else if (code >= 0x80)
		octets[n++] = (char)(0xc0 | code >> 6);
	octets[n] = (char)(code >= 0x80 ? 0x80 | (code & 0x3f) : code);
	put(w, str_mem(octets, n + 1), code);
}

/* ---- text/plain ---- */
static void end_line(struct preview *p)
{
	p->ended = p->ended || (p->signature == 3 && p->column == 3 && !p->line_is_quoted);
	p->column = p->signature = 0;
	p->line_is_quoted = false;
	p->own.space = p->own.text.n > 0;
	p->quoted.space = p->quoted.text.n > 0;
}

static void plain(struct preview *p, struct str character, uint32_t code)
{
	static const char signature[] = "-- ";
	unsigned i;

	if (code == '\r')
		return;
	if (code == '\n') {
		end_line(p);
		return;
	}
	if (p->column == 0 && code == '>')
		p->line_is_quoted = true;
	p->column++;
	/* The beginning of a signature waits until the line goes on. */
	if (p->signature + 1 == p->column && p->signature < 3 && code == (uint32_t)signature[p->signature]) {
		p->signature++;
		return;
	}
	if (p->signature > 0 && p->column == p->signature + 1)
		for (i = 0; i < p->signature; i++)
			put_code(&p->own, (uint32_t)signature[i]);
	put(p->line_is_quoted ? &p->quoted : &p->own, character, code);
}

/* ---- text/html ---- */

/* Names of ISO 8859-1's upper half, from U+00A0 (HTML 4 §24.2). */
static const char latin1[96][7] = {"nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml",
    "copy", "ordf", "laquo", "not", "shy", "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro",
    "para", "middot", "cedil", "sup1", "ordm", "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave",
    "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml",
    "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml",
    "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN", "szlig", "agrave", "aacute",
    "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc", "euml", "igrave",
    "iacute", "icirc", "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml", "divide",
    "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml"};

static const struct {
	const char *name;
	uint32_t code;
} entities[] = {
    {"amp", '&'},
    {"apos", '\''},
    {"bull", 0x2022},
    {"euro", 0x20ac},
    {"gt", '>'},
    {"hellip", 0x2026},
    {"ldquo", 0x201c},
    {"lsquo", 0x2018},
    {"lt", '<'},
    {"mdash", 0x2014},
    {"ndash", 0x2013},
    {"quot", '"'},
    {"rdquo", 0x201d},
    {"rsquo", 0x2019},
    {"trade", 0x2122},
    {"zwj", 0x200d},
    {"zwnj", 0x200c},
};

/* Elements whose content is not text that is shown. */
static const char *const hidden[] = {"head", "script", "style", "template", "title"};
/* Elements inside of words and lines. */
static const char *const inside[] = {"a", "abbr", "b", "big", "cite", "code", "em", "font", "i", "ins",
    "mark", "o:p", "q", "s", "small", "span", "strong", "sub", "sup", "tt", "u", "wbr"};

static bool is_in(struct str name, const char *const *list, size_t count, const char **found)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (str_ieqc(name, list[i])) {
			*found = list[i];
			return true;
		}
	return false;
}

/* "#8211", "#x2013"; 0: it is none. */
static uint32_t numbered(struct str name)
{
	bool hex = name.n > 1 && ascii_lower(name.p[1]) == 'x';
	uint32_t code = 0;
	size_t i = hex ? 2 : 1;

	if (i >= name.n)
		return 0;
	for (; i < name.n && code <= 0x10ffff; i++) {
		char c = ascii_lower(name.p[i]);
		uint32_t digit;

		if (ascii_digit(c))
			digit = (uint32_t)(c - '0');
		else if (hex && c >= 'a' && c <= 'f')
			digit = (uint32_t)(c - 'a' + 10);
		else
			return 0;
		code = code * (hex ? 16 : 10) + digit;
	}
	return code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0 : code;
}

static uint32_t entity(struct str name)
{
	size_t i;

	if (name.n > 0 && name.p[0] == '#')
		return numbered(name);
	for (i = 0; i < ARRAY_LEN(entities); i++)
		if (str_eqc(name, entities[i].name))
			return entities[i].code;
	for (i = 0; i < ARRAY_LEN(latin1); i++)
		if (str_eqc(name, latin1[i]))
			return (uint32_t)i + 0xa0;
	return 0;
}

static void put_name(struct preview *p, struct str end)
{
	size_t i;

	put_code(&p->own, '&');
	for (i = 0; i < p->name_size; i++)
		put_code(&p->own, (unsigned char)p->name[i]);
	if (end.n > 0)
		put_code(&p->own, (unsigned char)end.p[0]);
}

static void end_entity(struct preview *p, bool semicolon)
{
	uint32_t code = entity(str_mem(p->name, p->name_size));

	p->state = IN_TEXT;
	if (code != 0)
		put_code(&p->own, code);
	else
		put_name(p, semicolon ? STR(";") : STR_NONE);
}

/* Of what is passed over only a head has tags; in the others "<" is text until they end. */
static bool is_raw(const struct preview *p)
{
	return p->skip != NULL && strcmp(p->skip, "head") != 0;
}

static void know_hidden(struct preview *p, struct str name, bool closing)
{
	const char *found = NULL;

	if (closing && str_ieqc(name, p->skip)) {
		p->skip = is_raw(p) && p->in_head ? "head" : NULL;
	} else if (!is_raw(p) && str_ieqc(name, "body")) {
		p->skip = NULL; /* the head was not closed */
	} else if (!is_raw(p) && !closing && is_in(name, hidden, ARRAY_LEN(hidden), &found)) {
		p->skip = found;
	}
}

/* The name of a tag is complete. */
static void know_tag(struct preview *p)
{
	struct str name = str_mem(p->name, p->name_size);
	bool closing = name.n > 0 && name.p[0] == '/';
	const char *found = NULL;

	if (closing)
		name = str_from(name, 1);
	if (p->skip != NULL) {
		know_hidden(p, name, closing);
	} else if (!closing && is_in(name, hidden, ARRAY_LEN(hidden), &found)) {
		p->skip = found;
		p->in_head = str_ieqc(name, "head");
	} else if (!is_in(name, inside, ARRAY_LEN(inside), &found)) {
		p->own.space = p->own.text.n > 0;
	}
}

static void tag_name(struct preview *p, char c)
{
	bool first = p->name_size == 0;

	if (first && (is_raw(p) ? c != '/' : !ascii_alpha(c) && c != '/' && c != '!' && c != '?')) {
		/* "<" that begins no tag. */
		p->state = IN_TEXT;
		if (p->skip == NULL) {
			put_code(&p->own, '<');
			put_code(&p->own, (unsigned char)c);
		}
		return;
	}
	if (c == '>' || (unsigned char)c <= ' ' || (c == '/' && !first)) {
		know_tag(p);
		p->state = c == '>' ? IN_TEXT : IN_TAG;
		return;
	}
	if (p->name_size < NAME_MAX_OCTETS)
		p->name[p->name_size++] = c;
	if (p->name_size == 3 && memcmp(p->name, "!--", 3) == 0) {
		p->state = IN_COMMENT;
		p->dashes = 0;
	}
}

/* Inside of markup; only ASCII means something there. */
static void markup(struct preview *p, char c)
{
	switch (p->state) {
	case IN_TAG_NAME:
		tag_name(p, c);
		return;
	case IN_TAG:
		if (c == '"' || c == '\'') {
			p->state = IN_QUOTES;
			p->quote = c;
		} else if (c == '>') {
			p->state = IN_TEXT;
		}
		return;
	case IN_QUOTES:
		if (c == p->quote)
			p->state = IN_TAG;
		return;
	case IN_COMMENT:
		if (c == '>' && p->dashes >= 2)
			p->state = IN_TEXT;
		p->dashes = c == '-' ? p->dashes + 1 : 0;
		return;
	default:
		UNREACHABLE("html_state");
	}
}

static void html(struct preview *p, struct str character, uint32_t code)
{
	char c = character.n == 1 ? character.p[0] : 'x';

	if (p->state == IN_ENTITY) {
		if ((ascii_alpha(c) || ascii_digit(c) || (c == '#' && p->name_size == 0)) &&
		    character.n == 1 && p->name_size < NAME_MAX_OCTETS) {
			p->name[p->name_size++] = c;
			return;
		}
		end_entity(p, c == ';');
		if (c == ';')
			return;
	}
	if (p->state != IN_TEXT) {
		markup(p, c);
		return;
	}
	if (c == '<' || (c == '&' && p->skip == NULL)) {
		p->state = c == '<' ? IN_TAG_NAME : IN_ENTITY;
		p->name_size = 0;
	} else if (p->skip == NULL) {
		put(&p->own, character, code);
	}
}

/* ---- both ---- */
struct preview *preview_new(bool is_html)
{
	struct preview *p = mem_new(struct preview);

	p->html = is_html;
	return p;
}

void preview_free(struct preview **pp)
{
	struct preview *p = *pp;

	if (p == NULL)
		return;
	buf_free(&p->own.text);
	buf_free(&p->quoted.text);
	mem_free(p);
	*pp = NULL;
}

bool preview_feed(struct preview *p, struct str utf8)
{
	while (utf8.n > 0 && !p->ended && p->own.characters < PREVIEW_CHARACTERS) {
		uint32_t code = ' ';
		size_t n = str_utf8(utf8, &code);
		struct str character = str_sub(utf8, 0, n > 0 ? n : 1);

		if (n == 0)
			character = STR(" ");
		if (p->html)
			html(p, character, code);
		else
			plain(p, character, code);
		utf8 = str_from(utf8, n > 0 ? n : 1);
	}
	return !p->ended && p->own.characters < PREVIEW_CHARACTERS;
}

void preview_finish(struct preview *p, struct buf *out)
{
	if (p->html && p->state == IN_ENTITY)
		end_entity(p, false);
	if (!p->html)
		end_line(p);
	buf_addstr(out, buf_str(p->own.text.n > 0 ? &p->own.text : &p->quoted.text));
}
