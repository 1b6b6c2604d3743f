/* grammar_fetch.c: the data items of FETCH (RFC 3501 §7.4.2, §9; RFC 7162 §7; RFC 3516 §7). */
#include "grammar_int.h"
#include "base/banned.h"

#define DEPTH_MAX 1000u

static bool body(struct grammar *g, bool extended);

/* ---- ENVELOPE ---- */
/* Counts groups: an address without host opens one, one without host and mailbox closes it. */
static bool address(struct grammar *g, bool *in_group)
{
	bool nil[4];
	unsigned i;

	if (!want(g, '('))
		return false;
	for (i = 0; i < 4; i++)
		if ((i > 0 && !want(g, ' ')) || !nstring(g, NULL, &nil[i]))
			return false;
	if (nil[3] && nil[2] && !*in_group)
		return wanted(g, "the end of a group only where one began");
	if (nil[3])
		*in_group = !nil[2];
	else if (nil[2])
		return wanted(g, "a mailbox where there is a host");
	return want(g, ')');
}

static bool addresses(struct grammar *g)
{
	bool in_group = false;

	if (take_word(g, "NIL"))
		return true;
	if (!want(g, '('))
		return false;
	do
		if (!address(g, &in_group))
			return false;
	while (next(g) == '(');
	return in_group ? wanted(g, "the end of the group") : want(g, ')');
}

static bool envelope(struct grammar *g)
{
	unsigned i;
	bool nil;

	if (!want(g, '(') || !nstring(g, NULL, &nil) || !want(g, ' ') || !nstring(g, NULL, &nil))
		return false;
	for (i = 0; i < 6; i++)
		if (!want(g, ' ') || !addresses(g))
			return false;
	return want(g, ' ') && nstring(g, NULL, &nil) && want(g, ' ') && nstring(g, NULL, &nil) &&
	       want(g, ')');
}

/* ---- BODY and BODYSTRUCTURE ---- */
static bool parameters(struct grammar *g)
{
	if (take_word(g, "NIL"))
		return true;
	if (!want(g, '('))
		return false;
	do
		if (!string(g, NULL) || !want(g, ' ') || !string(g, NULL))
			return false;
	while (take(g, ' '));
	return want(g, ')');
}

static bool disposition(struct grammar *g)
{
	if (take_word(g, "NIL"))
		return true;
	return want(g, '(') && string(g, NULL) && want(g, ' ') && parameters(g) && want(g, ')');
}

static bool languages(struct grammar *g)
{
	bool nil;

	if (!take(g, '('))
		return nstring(g, NULL, &nil);
	do
		if (!string(g, NULL))
			return false;
	while (take(g, ' '));
	return want(g, ')');
}

/* A string, a number or a list of them. */
static bool body_extension(struct grammar *g)
{
	uint64_t n;
	bool nil, ok;

	if (ascii_digit(next(g)))
		return number64(g, &n);
	if (!take(g, '('))
		return nstring(g, NULL, &nil);
	if (++g->depth > DEPTH_MAX)
		return wanted(g, "fewer levels");
	do
		ok = body_extension(g);
	while (ok && take(g, ' '));
	g->depth--;
	return ok && want(g, ')');
}

/* What follows MD5 of a part or the parameters of a multipart. */
static bool body_ext_rest(struct grammar *g)
{
	bool nil;

	if (!take(g, ' '))
		return true;
	if (!disposition(g))
		return false;
	if (!take(g, ' '))
		return true;
	if (!languages(g))
		return false;
	if (!take(g, ' '))
		return true;
	if (!nstring(g, NULL, &nil))
		return false;
	while (take(g, ' '))
		if (!body_extension(g))
			return false;
	return true;
}

static bool body_fields(struct grammar *g)
{
	uint64_t octets;
	bool nil;

	return parameters(g) && want(g, ' ') && nstring(g, NULL, &nil) && want(g, ' ') &&
	       nstring(g, NULL, &nil) && want(g, ' ') && string(g, NULL) && want(g, ' ') &&
	       number64(g, &octets);
}

/* RFC 9051 §9, media-message; RFC 3501 has RFC822 alone. */
static bool is_message(struct grammar *g, struct str subtype)
{
	return str_ieqc(subtype, "rfc822") || (str_ieqc(subtype, "global") && (g->mode & GRAMMAR_UTF8) != 0);
}

static bool body_one_part(struct grammar *g, bool extended)
{
	AUTO_BUF struct buf type = BUF_INIT, subtype = BUF_INIT;
	uint64_t lines;
	bool nil;

	if (!string(g, &type) || !want(g, ' ') || !string(g, &subtype) || !want(g, ' ') || !body_fields(g))
		return false;
	if (str_ieqc(buf_str(&type), "multipart"))
		return wanted(g, "no multipart without parts");
	if (str_ieqc(buf_str(&type), "message") && is_message(g, buf_str(&subtype)) &&
	    !(want(g, ' ') && envelope(g) && want(g, ' ') && body(g, extended) && want(g, ' ') &&
	        number64(g, &lines)))
		return false;
	if (str_ieqc(buf_str(&type), "text") && !(want(g, ' ') && number64(g, &lines)))
		return false;
	if (extended && take(g, ' '))
		return nstring(g, NULL, &nil) && body_ext_rest(g);
	return true;
}

static bool body_multipart(struct grammar *g, bool extended)
{
	do
		if (!body(g, extended))
			return false;
	while (next(g) == '(');
	if (!want(g, ' ') || !string(g, NULL))
		return false;
	if (extended && take(g, ' '))
		return parameters(g) && body_ext_rest(g);
	return true;
}

static bool body(struct grammar *g, bool extended)
{
	bool ok;

	if (++g->depth > DEPTH_MAX)
		return wanted(g, "fewer levels");
	ok = want(g, '(') && (next(g) == '(' ? body_multipart(g, extended) : body_one_part(g, extended)) &&
	     want(g, ')');
	g->depth--;
	return ok;
}

/* ---- BODY[section]<origin> ---- */
static bool header_list(struct grammar *g)
{
	if (!want(g, ' ') || !want(g, '('))
		return false;
	do
		if (!astring(g, NULL))
			return false;
	while (take(g, ' '));
	return want(g, ')');
}

static bool section(struct grammar *g)
{
	bool numbered = false;
	uint64_t n;

	if (take(g, ']'))
		return true;
	while (ascii_digit(next(g))) {
		if (!nz_number(g, &n))
			return false;
		numbered = true;
		if (!take(g, '.'))
			return want(g, ']');
	}
	if (take_word(g, "HEADER.FIELDS.NOT") || take_word(g, "HEADER.FIELDS"))
		return header_list(g) && want(g, ']');
	if (take_word(g, "HEADER") || take_word(g, "TEXT") || (numbered && take_word(g, "MIME")))
		return want(g, ']');
	return wanted(g, "a section");
}

static bool body_section(struct grammar *g)
{
	AUTO_BUF struct buf octets = BUF_INIT;
	uint64_t origin;
	bool nil;

	if (!section(g))
		return false;
	if (take(g, '<') && (!number64(g, &origin) || !want(g, '>')))
		return false;
	return want(g, ' ') && nstring(g, &octets, &nil);
}

/* ---- BINARY[section-part]<origin>, BINARY.SIZE[section-part] (RFC 3516 §7) ---- */
static bool section_binary(struct grammar *g)
{
	uint64_t n;

	if (take(g, ']'))
		return true;
	do
		if (!nz_number(g, &n))
			return false;
	while (take(g, '.'));
	return want(g, ']');
}

/* §4.3: a string where there is no NUL. */
static bool binary_octets(struct grammar *g)
{
	AUTO_BUF struct buf octets = BUF_INIT;
	bool nil;

	if (next(g) != '~')
		return nstring(g, NULL, &nil);
	return literal8(g, &octets) &&
	       (str_find(buf_str(&octets), '\0') < octets.n || wanted(g, "a literal8 only around a NUL"));
}

static bool binary(struct grammar *g)
{
	uint64_t origin;

	if (!section_binary(g))
		return false;
	if (take(g, '<') && (!number64(g, &origin) || !want(g, '>')))
		return false;
	return want(g, ' ') && binary_octets(g);
}

static bool binary_size(struct grammar *g)
{
	uint64_t n;

	return section_binary(g) && want(g, ' ') && number64(g, &n);
}

/* ---- INTERNALDATE ---- */
static bool two_digits(struct grammar *g, unsigned most)
{
	char a, b;

	a = next(g);
	if (!take(g, a) || !ascii_digit(a))
		return wanted(g, "two digits");
	b = next(g);
	if (!take(g, b) || !ascii_digit(b) || (unsigned)(a - '0') * 10 + (unsigned)(b - '0') > most)
		return wanted(g, "two digits within their range");
	return true;
}

static bool day(struct grammar *g)
{
	if (!take(g, ' '))
		return two_digits(g, 31);
	if (next(g) < '1' || next(g) > '9')
		return wanted(g, "the digit of a day");
	g->at++;
	return true;
}

static bool month(struct grammar *g)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	unsigned i;

	for (i = 0; i < 12; i++)
		if (str_istarts(str_from(g->line, g->at), str_mem(names + i * 3, 3))) {
			g->at += 3;
			return true;
		}
	return wanted(g, "a month");
}

static bool date_time(struct grammar *g)
{
	if (!want(g, '"') || !day(g) || !want(g, '-') || !month(g) || !want(g, '-') || !two_digits(g, 99) ||
	    !two_digits(g, 99) || !want(g, ' '))
		return false;
	if (!two_digits(g, 23) || !want(g, ':') || !two_digits(g, 59) || !want(g, ':') ||
	    !two_digits(g, 60) || !want(g, ' '))
		return false;
	if (!take(g, '+') && !take(g, '-'))
		return wanted(g, "the sign of a zone");
	return two_digits(g, 99) && two_digits(g, 59) && want(g, '"');
}

/* ---- the items ---- */
static bool flags_item(struct grammar *g)
{
	return flag_list(g, (g->mode & GRAMMAR_REV2) == 0 ? "\\Recent" : NULL);
}

static bool nstring_item(struct grammar *g)
{
	bool nil;

	return nstring(g, NULL, &nil);
}

static bool number_item(struct grammar *g)
{
	uint64_t n;

	return number64(g, &n);
}

/* RFC 8474 §7: "(" 1*255(ALPHA / DIGIT / "_" / "-") ")" */
bool object_id(struct grammar *g)
{
	size_t start;

	if (!want(g, '('))
		return false;
	for (start = g->at; ascii_alpha(next(g)) || ascii_digit(next(g)) || next(g) == '_' || next(g) == '-';)
		g->at++;
	if (g->at == start || g->at - start > 255)
		return wanted(g, "an object id");
	return want(g, ')');
}

static bool thread_id_item(struct grammar *g)
{
	return take_word(g, "NIL") || object_id(g);
}

static bool save_date_item(struct grammar *g)
{
	return take_word(g, "NIL") || date_time(g);
}

/* RFC 8970 §3.3: at most 256 characters. */
static bool preview_item(struct grammar *g)
{
	AUTO_BUF struct buf text = BUF_INIT;
	size_t i, characters = 0;
	bool nil;

	if (!nstring(g, &text, &nil))
		return false;
	for (i = 0; i < text.n; i++)
		characters += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	return characters <= 256 || wanted(g, "a preview of 256 characters at most");
}

static bool uid_item(struct grammar *g)
{
	uint64_t n;

	return nz_number(g, &n);
}

static bool body_item(struct grammar *g)
{
	return body(g, false);
}

static bool bodystructure_item(struct grammar *g)
{
	return body(g, true);
}

/* RFC 7162 §7, fetch-mod-resp */
static bool modseq_item(struct grammar *g)
{
	return want(g, '(') && mod_sequence(g) && want(g, ')');
}

static const struct {
	const char *name;
	bool (*value)(struct grammar *g);
} items[] = {
    {"FLAGS", flags_item},
    {"ENVELOPE", envelope},
    {"INTERNALDATE", date_time},
    {"RFC822", nstring_item},
    {"RFC822.HEADER", nstring_item},
    {"RFC822.TEXT", nstring_item},
    {"RFC822.SIZE", number_item},
    {"BODY", body_item},
    {"BODYSTRUCTURE", bodystructure_item},
    {"EMAILID", object_id},
    {"THREADID", thread_id_item},
    {"SAVEDATE", save_date_item},
    {"PREVIEW", preview_item},
    {"UID", uid_item},
    {"MODSEQ", modseq_item},
};

static const struct {
	const char *name;
	bool (*value)(struct grammar *g);
} sections[] = {
    {"BODY[", body_section},
    {"BINARY[", binary},
    {"BINARY.SIZE[", binary_size},
};

static bool item(struct grammar *g)
{
	size_t i;

	for (i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
		if (str_istarts(str_from(g->line, g->at), str_of(sections[i].name))) {
			g->at += strlen(sections[i].name);
			return sections[i].value(g);
		}
	for (i = 0; i < sizeof(items) / sizeof(items[0]); i++)
		if (take_word(g, items[i].name))
			return want(g, ' ') && items[i].value(g);
	return wanted(g, "a FETCH item of RFC 3501 §7.4.2");
}

bool msg_att(struct grammar *g)
{
	if (!want(g, '('))
		return false;
	do
		if (!item(g))
			return false;
	while (take(g, ' '));
	return want(g, ')');
}

/* ---- URLFETCH (RFC 4467 §9; RFC 5524 §5, with one SP where its ABNF has two) ---- */

static bool url_metadata(struct grammar *g)
{
	bool nil;

	if (take_word(g, "BODYPARTSTRUCTURE"))
		return want(g, ' ') && body(g, true);
	if (take_word(g, "BINARY"))
		return want(g, ' ') && binary_octets(g);
	if (take_word(g, "BODY"))
		return want(g, ' ') && nstring(g, NULL, &nil);
	return wanted(g, "what RFC 5524 knows");
}

bool urlfetch_data(struct grammar *g)
{
	bool nil;

	do {
		if (!want(g, ' ') || !astring(g, NULL) || !want(g, ' '))
			return false;
		if (!take(g, '(')) {
			if (!nstring(g, NULL, &nil))
				return false;
			continue;
		}
		do
			if (!url_metadata(g) || !want(g, ')'))
				return false;
		while (str_starts(str_from(g->line, g->at), STR(" (")) && (g->at += 2, true));
	} while (next(g) == ' ');
	return true;
}
