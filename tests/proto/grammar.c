/* grammar.c: the words, and every response but FETCH (RFC 3501 §9). */
#include <ctype.h>

#include "grammar_int.h"
#include "base/banned.h"

bool wanted(struct grammar *g, const char *what)
{
	if (g->why->n == 0)
		buf_printf(g->why, "%s wanted at octet %zu", what, g->at);
	return false;
}

bool at_end(const struct grammar *g)
{
	return g->at == g->line.n;
}

char next(const struct grammar *g)
{
	return at_end(g) ? '\0' : g->line.p[g->at];
}

bool take(struct grammar *g, char c)
{
	if (at_end(g) || g->line.p[g->at] != c)
		return false;
	g->at++;
	return true;
}

bool want(struct grammar *g, char c)
{
	char what[4] = {'\'', c, '\'', '\0'};

	return take(g, c) || wanted(g, c == ' ' ? "one space" : what);
}

bool want_end(struct grammar *g)
{
	return at_end(g) || wanted(g, "the end of the line");
}

static bool is_char(char c)
{
	return c > 0 && c < 0x7f;
}

static bool is_atom_char(char c)
{
	return c > ' ' && is_char(c) && strchr("(){%*\"\\]", c) == NULL;
}

bool take_word(struct grammar *g, const char *word)
{
	struct str rest = str_from(g->line, g->at), w = str_of(word);

	if (!str_istarts(rest, w) || (rest.n > w.n && is_atom_char(rest.p[w.n])))
		return false;
	g->at += w.n;
	return true;
}

bool number64(struct grammar *g, uint64_t *n)
{
	size_t start = g->at;
	struct str digits;

	while (!at_end(g) && ascii_digit(next(g)))
		g->at++;
	digits = str_sub(g->line, start, g->at - start);
	if (digits.n > 0 && (digits.n == 1 || digits.p[0] != '0') && str_u64(digits, n) && *n <= INT64_MAX)
		return true;
	g->at = start;
	return wanted(g, "a number");
}

bool number(struct grammar *g, uint64_t *n)
{
	return number64(g, n) && (*n <= UINT32_MAX || wanted(g, "a number of 32 bits"));
}

bool nz_number(struct grammar *g, uint64_t *n)
{
	return number(g, n) && (*n > 0 || wanted(g, "a number that is not zero"));
}

bool mod_sequence(struct grammar *g)
{
	uint64_t n;

	return number64(g, &n) && (n > 0 || wanted(g, "a mod-sequence that is not zero"));
}

bool atom(struct grammar *g, struct str *s)
{
	size_t start = g->at;

	while (!at_end(g) && is_atom_char(next(g)))
		g->at++;
	*s = str_sub(g->line, start, g->at - start);
	return s->n > 0 || wanted(g, "an atom");
}

/* RFC 3629 §4: no overlong forms, no surrogates. */
static bool is_utf8(struct str s)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
	size_t i, n, form;

	for (i = 0; i < s.n; i += form + 1) {
		uint32_t code;

		for (form = 0; form < 4 && ((unsigned char)s.p[i] & forms[form].mask) != forms[form].lead;
		     form++)
			;
		if (form == 4 || form >= s.n - i)
			return false;
		code = (unsigned char)s.p[i] & (unsigned char)~forms[form].mask;
		for (n = 1; n <= form; n++) {
			if (((unsigned char)s.p[i + n] & 0xc0) != 0x80)
				return false;
			code = code << 6 | ((unsigned char)s.p[i + n] & 0x3f);
		}
		if (code < forms[form].least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
			return false;
	}
	return true;
}

/* TEXT-CHARs; only DQUOTE and backslash are quoted, nothing else. */
bool quoted(struct grammar *g, struct buf *octets)
{
	size_t start = g->at;

	if (!want(g, '"'))
		return false;
	while (!take(g, '"')) {
		char c;

		if (take(g, '\\') && next(g) != '"' && next(g) != '\\')
			return wanted(g, "DQUOTE or backslash after a backslash");
		c = next(g);
		if (at_end(g) || c == '\0' || c == '\r' || c == '\n' || c == 0x7f ||
		    ((c & 0x80) != 0 && (g->mode & GRAMMAR_UTF8) == 0))
			return wanted(g, "a 7-bit character of a quoted string");
		if (octets != NULL)
			buf_addc(octets, c);
		g->at++;
	}
	return is_utf8(str_sub(g->line, start, g->at - start)) || wanted(g, "a quoted string in UTF-8");
}

static bool literal_octets(struct grammar *g, struct str *octets)
{
	uint64_t n;

	if (!want(g, '{') || !number64(g, &n) || !want(g, '}') || !want(g, '\r') || !want(g, '\n'))
		return false;
	if (n > g->line.n - g->at)
		return wanted(g, "as many octets as the literal says");
	*octets = str_sub(g->line, g->at, n);
	g->at += n;
	return true;
}

static bool literal(struct grammar *g, struct buf *octets)
{
	struct str s;

	if (!literal_octets(g, &s))
		return false;
	if (str_find(s, '\0') < s.n)
		return wanted(g, "a literal without NUL");
	if (octets != NULL)
		buf_addstr(octets, s);
	return true;
}

bool literal8(struct grammar *g, struct buf *octets)
{
	struct str s;

	if (!want(g, '~') || !literal_octets(g, &s))
		return false;
	if (octets != NULL)
		buf_addstr(octets, s);
	return true;
}

bool string(struct grammar *g, struct buf *octets)
{
	if (next(g) == '{')
		return literal(g, octets);
	return next(g) == '"' ? quoted(g, octets) : wanted(g, "a string");
}

bool nstring(struct grammar *g, struct buf *octets, bool *nil)
{
	*nil = take_word(g, "NIL");
	return *nil || (next(g) != '{' && next(g) != '"' ? wanted(g, "a string or NIL") : string(g, octets));
}

bool astring(struct grammar *g, struct buf *octets)
{
	size_t start = g->at;

	if (next(g) == '"' || next(g) == '{')
		return string(g, octets);
	while (!at_end(g) && (is_atom_char(next(g)) || next(g) == ']'))
		g->at++;
	if (octets != NULL)
		buf_add(octets, g->line.p + start, g->at - start);
	return g->at > start || wanted(g, "an astring");
}

/* One "&…-" of RFC 3501 §5.1.3, from behind the "&"; how far it goes, 0: it is none. */
static size_t shifted(struct str s)
{
	uint32_t bits = 0, unit, held = 0;
	unsigned have = 0;
	size_t i;

	for (i = 0; i < s.n && s.p[i] != '-'; i++) {
		const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
		const char *place = s.p[i] != '\0' ? strchr(alphabet, s.p[i]) : NULL;

		if (place == NULL)
			return 0;
		bits = bits << 6 | (uint32_t)(place - alphabet);
		have += 6;
		if (have < 16)
			continue;
		have -= 16;
		unit = bits >> have & 0xffff;
		bits &= (1u << have) - 1;
		if (unit >= 0x20 && unit < 0x7f)
			return 0; /* would have stood for itself */
		if ((held != 0) != (unit >= 0xdc00 && unit < 0xe000))
			return 0; /* half a surrogate pair */
		held = unit >= 0xd800 && unit < 0xdc00 ? unit : 0;
	}
	return i < s.n && held == 0 && have < 6 && bits == 0 ? i + 1 : 0;
}

/* RFC 9051 §5.1: UTF-8 without controls. */
static bool utf8_mailbox(struct grammar *g, struct str name)
{
	size_t i;

	for (i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < ' ' || name.p[i] == 0x7f)
			return wanted(g, "a mailbox name without controls");
	return is_utf8(name) || wanted(g, "a mailbox name in UTF-8");
}

/* A name is 7-bit and modified UTF-7. */
bool mailbox(struct grammar *g)
{
	AUTO_BUF struct buf name = BUF_INIT;
	struct str rest;

	if (!astring(g, &name))
		return false;
	if ((g->mode & GRAMMAR_UTF8) != 0)
		return utf8_mailbox(g, buf_str(&name));
	for (rest = buf_str(&name); rest.n > 0; rest = str_from(rest, 1)) {
		if (rest.p[0] < ' ' || rest.p[0] == 0x7f)
			return wanted(g, "a mailbox name in printable ASCII");
		if (rest.p[0] != '&')
			continue;
		rest = str_from(rest, 1);
		if (rest.n > 0 && rest.p[0] == '-')
			continue;
		if (shifted(rest) == 0)
			return wanted(g, "a mailbox name in modified UTF-7");
		rest = str_from(rest, shifted(rest) - 1);
	}
	return true;
}

/* ---- flags ---- */
static bool flag_word(struct grammar *g, const char *extra, struct str *s)
{
	static const char *const system[] = {"\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"};
	size_t start = g->at, i;

	if (extra != NULL && str_istarts(str_from(g->line, g->at), str_of(extra))) {
		g->at += strlen(extra);
	} else if (take(g, '\\')) {
		if (!atom(g, s))
			return false;
		for (i = 0; i < sizeof(system) / sizeof(system[0]); i++)
			if (str_ieqc(*s, system[i] + 1))
				break;
		if (i == sizeof(system) / sizeof(system[0]))
			return wanted(g, "a system flag of RFC 3501 §2.3.2");
	} else if (!atom(g, s)) {
		return false;
	}
	*s = str_sub(g->line, start, g->at - start);
	return true;
}

bool flag_list(struct grammar *g, const char *extra)
{
	struct str seen[256], s;
	size_t count = 0, i;

	if (!want(g, '('))
		return false;
	if (take(g, ')'))
		return true;
	do {
		if (!flag_word(g, extra, &s))
			return false;
		for (i = 0; i < count; i++)
			if (str_ieq(seen[i], s))
				return wanted(g, "each flag once");
		if (count < 256)
			seen[count++] = s;
	} while (take(g, ' '));
	return want(g, ')');
}

/* ---- the untagged responses that are data ---- */
bool capability_data(struct grammar *g)
{
	bool rev1 = false;
	struct str s;

	while (take(g, ' ')) {
		if (!atom(g, &s))
			return false;
		rev1 |= str_ieqc(s, "IMAP4rev1");
	}
	return rev1 || wanted(g, "the capability IMAP4rev1");
}

enum {
	NOSELECT = 1,
	MARKED = 2,
	UNMARKED = 4,
	NOINFERIORS = 8,
	CHILDREN = 16,
	NO_CHILDREN = 32,
	NONEXISTENT = 64,
	SUBSCRIBED = 128,
	REMOTE = 256,
	NO_ACCESS = 512,
	FIRST_USE = 1024
};

static bool list_attribute(struct grammar *g, unsigned *seen)
{
	static const struct {
		const char *name;
		unsigned bit;
	} names[] = {{"Noselect", NOSELECT}, {"Marked", MARKED}, {"Unmarked", UNMARKED},
	    {"Noinferiors", NOINFERIORS}, {"HasChildren", CHILDREN}, {"HasNoChildren", NO_CHILDREN},
	    {"NonExistent", NONEXISTENT}, {"Subscribed", SUBSCRIBED}, {"Remote", REMOTE},
	    {"NoAccess", NO_ACCESS}, {"All", FIRST_USE}, {"Archive", FIRST_USE << 1},
	    {"Drafts", FIRST_USE << 2}, {"Flagged", FIRST_USE << 3}, {"Junk", FIRST_USE << 4},
	    {"Sent", FIRST_USE << 5}, {"Trash", FIRST_USE << 6}};
	struct str s;
	size_t i;

	if (!want(g, '\\') || !atom(g, &s))
		return false;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (str_ieqc(s, names[i].name))
			break;
	if (i == sizeof(names) / sizeof(names[0]))
		return wanted(g, "a mailbox attribute of RFC 3501 §7.2.2, RFC 5258 or RFC 6154");
	if ((*seen & names[i].bit) != 0)
		return wanted(g, "each attribute once");
	*seen |= names[i].bit;
	return true;
}

static bool both(unsigned seen, unsigned pair)
{
	return (seen & pair) == pair;
}

/* RFC 5258 §3.5: SP "(CHILDINFO (" quoted selection options "))" */
static bool childinfo(struct grammar *g)
{
	static const char *const options[] = {"SUBSCRIBED", "SPECIAL-USE"};
	unsigned seen = 0, i;

	if (!want(g, ' ') || !want(g, '('))
		return false;
	do {
		AUTO_BUF struct buf option = BUF_INIT;

		if (!quoted(g, &option))
			return false;
		for (i = 0; i < 2 && strcmp(buf_cstr(&option), options[i]) != 0; i++)
			;
		if (i == 2 || (seen & 1u << i) != 0)
			return wanted(g, "a selection option, each once");
		seen |= 1u << i;
	} while (take(g, ' '));
	return want(g, ')');
}

static bool mbox_list_extended(struct grammar *g)
{
	if (!want(g, ' ') || !want(g, '('))
		return false;
	if (take_word(g, "OLDNAME")) /* RFC 9051 §6.3.9.7 */
		return want(g, ' ') && want(g, '(') && mailbox(g) && want(g, ')') && want(g, ')');
	if (!take_word(g, "CHILDINFO"))
		return wanted(g, "an extended data item of RFC 5258, 5465 or 9051");
	return childinfo(g) && want(g, ')');
}

static bool mailbox_list(struct grammar *g)
{
	unsigned seen = 0;

	if (!want(g, ' ') || !want(g, '('))
		return false;
	if (!take(g, ')')) {
		do
			if (!list_attribute(g, &seen))
				return false;
		while (take(g, ' '));
		if (!want(g, ')'))
			return false;
	}
	if (both(seen, NOSELECT | MARKED) || both(seen, NOSELECT | UNMARKED) || both(seen, MARKED | UNMARKED))
		return wanted(g, "one of \\Noselect, \\Marked, \\Unmarked at most");
	if (both(seen, CHILDREN | NO_CHILDREN) || both(seen, CHILDREN | NOINFERIORS))
		return wanted(g, "attributes about children that agree");
	if (!want(g, ' '))
		return false;
	if (!take_word(g, "NIL")) {
		AUTO_BUF struct buf delimiter = BUF_INIT;

		if (!quoted(g, &delimiter))
			return false;
		if (delimiter.n != 1)
			return wanted(g, "a delimiter of one character");
	}
	return want(g, ' ') && mailbox(g) && (at_end(g) || mbox_list_extended(g));
}

static bool status_number(struct grammar *g)
{
	uint64_t n;

	return number(g, &n);
}

static bool status_number64(struct grammar *g)
{
	uint64_t n;

	return number64(g, &n);
}

static bool status_nz_number(struct grammar *g)
{
	uint64_t n;

	return nz_number(g, &n);
}

static bool status_limit(struct grammar *g)
{
	return take_word(g, "NIL") || status_number64(g);
}

static bool status_data(struct grammar *g)
{
	static const struct {
		const char *name;
		bool (*value)(struct grammar *g);
	} items[] = {{"MESSAGES", status_number}, {"RECENT", status_number}, {"UIDNEXT", status_nz_number},
	    {"UIDVALIDITY", status_nz_number}, {"UNSEEN", status_number}, {"HIGHESTMODSEQ", status_number64},
	    {"SIZE", status_number64}, {"MAILBOXID", object_id}, {"DELETED", status_number},
	    {"DELETED-STORAGE", status_number64}, {"APPENDLIMIT", status_limit}};
	const unsigned count = sizeof(items) / sizeof(items[0]);
	unsigned seen = 0, i;

	if (!want(g, ' ') || !mailbox(g) || !want(g, ' ') || !want(g, '('))
		return false;
	if (take(g, ')'))
		return true;
	do {
		for (i = 0; i < count && !take_word(g, items[i].name); i++)
			;
		if (i == count || (seen & 1u << i) != 0)
			return wanted(g, "a STATUS item, each once");
		seen |= 1u << i;
		if (!want(g, ' ') || !items[i].value(g))
			return false;
	} while (take(g, ' '));
	return want(g, ')');
}

/* The mod-sequence comes last and not without numbers (RFC 7162 §7). */
static bool search_data(struct grammar *g)
{
	bool any = false;
	uint64_t n;

	while (take(g, ' ')) {
		if (any && take(g, '('))
			return (take_word(g, "MODSEQ") || wanted(g, "MODSEQ")) && want(g, ' ') &&
			       mod_sequence(g) && want(g, ')');
		if (!nz_number(g, &n))
			return false;
		any = true;
	}
	return true;
}

/* RFC 9394 §4: "(" partial-range SP (set / "NIL") ")" */
static bool partial_data(struct grammar *g)
{
	uint64_t first, second, count, most;
	bool from_end;

	if (!want(g, '('))
		return false;
	from_end = take(g, '-');
	if (!nz_number(g, &first) || !want(g, ':') || (from_end && !want(g, '-')) || !nz_number(g, &second) ||
	    !want(g, ' '))
		return false;
	most = (first > second ? first - second : second - first) + 1;
	if (!take_word(g, "NIL") && (!uid_set(g, &count) || (count > most && !wanted(g, "as many results as "
	                                                                                "the range has"))))
		return false;
	return want(g, ')');
}

/* RFC 5267 §5: "(" position SP set *(SP position SP set) ")" */
static bool changes_data(struct grammar *g)
{
	uint64_t position, count;

	if (!want(g, '('))
		return false;
	do
		if (!number(g, &position) || !want(g, ' ') || !uid_set(g, &count))
			return false;
	while (take(g, ' '));
	return want(g, ')');
}

/* RFC 6203 §7 */
static bool scores_data(struct grammar *g)
{
	uint64_t n;

	if (!want(g, '('))
		return false;
	if (take(g, ')'))
		return true;
	do
		if (!nz_number(g, &n) || (n > 100 && !wanted(g, "a score up to 100")))
			return false;
	while (take(g, ' '));
	return want(g, ')');
}

static bool set_data(struct grammar *g)
{
	uint64_t count;

	return uid_set(g, &count);
}

static bool count_data(struct grammar *g)
{
	uint64_t n;

	return number(g, &n);
}

static bool one_message(struct grammar *g)
{
	uint64_t n;

	return nz_number(g, &n);
}

/* RFC 7377 §4: each once; the mailbox and its UIDVALIDITY come together. */
static bool correlators(struct grammar *g, bool *named)
{
	static const char *const names[] = {"TAG", "MAILBOX", "UIDVALIDITY"};
	unsigned seen = 0, i;
	uint64_t n;

	if (!want(g, '('))
		return false;
	do {
		for (i = 0; i < 3 && !take_word(g, names[i]); i++)
			;
		if (i == 3 || (seen & 1u << i) != 0)
			return wanted(g, "a correlator, each once");
		seen |= 1u << i;
		if (!want(g, ' ') || !(i == 0 ? string(g, NULL) : i == 1 ? mailbox(g) : nz_number(g, &n)))
			return false;
	} while (take(g, ' '));
	*named = seen == 7;
	return (seen == 1 || seen == 7 || wanted(g, "TAG, with MAILBOX and UIDVALIDITY or without both")) &&
	       want(g, ')');
}

/* RFC 4466 §2.6.2, RFC 4731 §3.1, RFC 7162 §3.1.10, RFC 5267 §5, RFC 9394 §4. */
static bool esearch_data(struct grammar *g)
{
	static const struct {
		const char *name;
		bool (*data)(struct grammar *g);
	} items[] = {{"MIN", one_message}, {"MAX", one_message}, {"COUNT", count_data}, {"ALL", set_data},
	    {"PARTIAL", partial_data}, {"MODSEQ", mod_sequence}, {"ADDTO", changes_data},
	    {"REMOVEFROM", changes_data}, {"RELEVANCY", scores_data}};
	const unsigned several = 1u << 6 | 1u << 7;
	unsigned seen = 0, i;
	bool named = false;
	const unsigned uid = 1u << 31, all = 1u << 3, partial = 1u << 4;

	if (!want(g, ' ') || !correlators(g, &named))
		return false;
	while (take(g, ' ')) {
		if (seen == 0 && take_word(g, "UID")) {
			seen = uid;
			continue;
		}
		for (i = 0; i < sizeof(items) / sizeof(items[0]) && !take_word(g, items[i].name); i++)
			;
		if (i == sizeof(items) / sizeof(items[0]) || (seen & 1u << i & ~several) != 0)
			return wanted(g, "a result of RFC 4731, RFC 5267 or RFC 9394, each once");
		seen |= 1u << i;
		if (!want(g, ' ') || !items[i].data(g))
			return false;
	}
	if (named && (seen & uid) == 0)
		return wanted(g, "UIDs, as the mailbox is named");
	return !both(seen, all | partial) || wanted(g, "one of ALL and PARTIAL");
}

/* draft-ietf-mailmaint-imap-uidbatches: (TAG string) and ranges, each from its end, each below the last. */
static bool uidbatches_data(struct grammar *g)
{
	uint64_t below = UINT64_MAX, high, low;

	if (!want(g, ' ') || !want(g, '(') || !(take_word(g, "TAG") || wanted(g, "TAG")) || !want(g, ' ') ||
	    !string(g, NULL) || !want(g, ')'))
		return false;
	if (at_end(g))
		return true;
	if (!want(g, ' '))
		return false;
	do {
		if (!nz_number(g, &high))
			return false;
		low = high;
		if (take(g, ':') && !nz_number(g, &low))
			return false;
		if (low > high || (below != UINT64_MAX && high != below - 1))
			return wanted(g, "a batch right below the one before");
		below = low;
	} while (take(g, ','));
	return true;
}

/* RFC 7162 §7, expunged-resp */
static bool vanished_data(struct grammar *g)
{
	uint64_t n;

	if (!want(g, ' '))
		return false;
	if (take(g, '('))
		return (take_word(g, "EARLIER") || wanted(g, "EARLIER")) && want(g, ')') && want(g, ' ') &&
		       uid_set(g, &n);
	return uid_set(g, &n);
}

/*
 * RFC 5256 §5: 1*thread-list, each "(" (thread-members / thread-nested) ")". With a count of open lists
 * instead of recursion: `alone` is the number of lists that the open one has so far, behind its members.
 */
static bool thread_data(struct grammar *g)
{
	AUTO_BUF struct buf lists = BUF_INIT; /* an octet for each open one: '0', '1', '2' or more in it */
	uint64_t n;
	bool space; /* behind the members: lists follow */

	if (at_end(g))
		return true;
	if (!want(g, ' '))
		return false;
	do {
		if (!want(g, '('))
			return false;
		if (lists.n > 0 && lists.p[lists.n - 1] < '2')
			lists.p[lists.n - 1]++;
		buf_addc(&lists, '0');
		if (next(g) == '(')
			continue;
		do
			space = next(g) == '(';
		while (!space && nz_number(g, &n) && take(g, ' '));
		if (g->why->n > 0)
			return false;
		if (space)
			continue;
		if (next(g) != ')')
			return want(g, ')');
		while (lists.n > 0 && take(g, ')')) {
			if (lists.p[lists.n - 1] == '1')
				return wanted(g, "two thread lists side by side");
			buf_truncate(&lists, lists.n - 1);
		}
	} while (lists.n > 0 || !at_end(g));
	return true;
}

/* value = nstring / literal8 (RFC 5464 §5) */
static bool metadata_value(struct grammar *g)
{
	bool nil;

	return next(g) == '~' ? literal8(g, NULL) : nstring(g, NULL, &nil);
}

static bool metadata_entry(struct grammar *g)
{
	AUTO_BUF struct buf name = BUF_INIT;

	if (!astring(g, &name))
		return false;
	if (!str_istarts(buf_str(&name), STR("/private/")) && !str_istarts(buf_str(&name), STR("/shared/")))
		return wanted(g, "an entry below /private or /shared");
	if (strpbrk(buf_cstr(&name), "*%") != NULL || strstr(buf_cstr(&name), "//") != NULL ||
	    name.p[name.n - 1] == '/')
		return wanted(g, "an entry name of RFC 5464 §3.2");
	return true;
}

/* With values, or unsolicited: names only (RFC 5464 §4.4). An empty mailbox name is the server. */
static bool metadata_data(struct grammar *g)
{
	if (!want(g, ' ') || !mailbox(g) || !want(g, ' '))
		return false;
	if (!take(g, '(')) {
		do
			if (!metadata_entry(g))
				return false;
		while (take(g, ' '));
		return true;
	}
	do
		if (!metadata_entry(g) || !want(g, ' ') || !metadata_value(g))
			return false;
	while (take(g, ' '));
	return want(g, ')');
}

/* RFC 4467 §9: URLs with their authorisation, 32 hexadecimal digits at least. */
static bool genurlauth_data(struct grammar *g)
{
	do {
		AUTO_BUF struct buf url = BUF_INIT;
		size_t i;

		if (!want(g, ' ') || !astring(g, &url))
			return false;
		for (i = url.n; i > 0 && isxdigit((unsigned char)url.p[i - 1]); i--)
			;
		if (!str_istarts(buf_str(&url), STR("imap://")) || url.n - i < 32 || i == 0 ||
		    url.p[i - 1] != ':')
			return wanted(g, "a URL with its authorisation");
	} while (next(g) == ' ');
	return true;
}

/* RFC 2342 §6: NIL, or one or more (prefix delimiter *(SP string SP "(" strings ")")). */
static bool namespaces(struct grammar *g)
{
	if (take_word(g, "NIL"))
		return true;
	if (!want(g, '('))
		return false;
	do {
		if (!want(g, '(') || !string(g, NULL) || !want(g, ' '))
			return false;
		if (!take_word(g, "NIL") && !quoted(g, NULL))
			return false;
		while (take(g, ' ')) {
			if (!string(g, NULL) || !want(g, ' ') || !want(g, '('))
				return false;
			do
				if (!string(g, NULL))
					return false;
			while (take(g, ' '));
			if (!want(g, ')'))
				return false;
		}
		if (!want(g, ')'))
			return false;
	} while (next(g) == '(');
	return want(g, ')');
}

static bool namespace_data(struct grammar *g)
{
	return want(g, ' ') && namespaces(g) && want(g, ' ') && namespaces(g) && want(g, ' ') &&
	       namespaces(g);
}

/* RFC 2971 §4: at most 30 pairs, names of 30 octets, values of 1024. */
static bool id_data(struct grammar *g)
{
	unsigned pairs = 0;
	bool nil;

	if (!want(g, ' '))
		return false;
	if (take_word(g, "NIL"))
		return true;
	if (!want(g, '('))
		return false;
	if (take(g, ')'))
		return true;
	do {
		AUTO_BUF struct buf name = BUF_INIT, value = BUF_INIT;

		if (!string(g, &name) || !want(g, ' ') || !nstring(g, &value, &nil))
			return false;
		if (++pairs > 30 || name.n > 30 || value.n > 1024)
			return wanted(g, "an ID within the limits of RFC 2971");
	} while (take(g, ' '));
	return want(g, ')');
}

static bool enabled_data(struct grammar *g)
{
	struct str s;

	while (take(g, ' '))
		if (!atom(g, &s))
			return false;
	return true;
}

/* RFC 5255 §4.10: the list is there only when more than one matched (§4.8). */
static bool comparator_data(struct grammar *g)
{
	unsigned count = 0;

	if (!want(g, ' ') || !astring(g, NULL))
		return false;
	if (!take(g, ' '))
		return true;
	if (!want(g, '('))
		return false;
	do {
		if (!astring(g, NULL))
			return false;
		count++;
	} while (take(g, ' '));
	return want(g, ')') && (count > 1 || wanted(g, "several comparators"));
}

static bool flags_data(struct grammar *g)
{
	return want(g, ' ') && flag_list(g, NULL);
}

static bool numbered_data(struct grammar *g)
{
	uint64_t n;

	if (!number(g, &n) || !want(g, ' '))
		return false;
	if (take_word(g, "EXISTS") || ((g->mode & GRAMMAR_REV2) == 0 && take_word(g, "RECENT")))
		return true;
	if (n == 0)
		return wanted(g, "a message number");
	if ((g->mode & GRAMMAR_UIDONLY) != 0)
		return take_word(g, "UIDFETCH") ? want(g, ' ') && msg_att(g)
		                                : wanted(g, "EXISTS or UIDFETCH");
	if (take_word(g, "EXPUNGE"))
		return true;
	return take_word(g, "FETCH") ? want(g, ' ') && msg_att(g)
	                             : wanted(g, "EXISTS, RECENT, EXPUNGE or FETCH");
}

static bool condition(struct grammar *g, const char *const *words)
{
	for (; *words != NULL; words++)
		if (take_word(g, *words))
			return want(g, ' ') && resp_text(g);
	return false;
}

/* RFC 9698 §3: a quoted https URL */
static bool jmap_data(struct grammar *g)
{
	AUTO_BUF struct buf url = BUF_INIT;

	return want(g, ' ') && quoted(g, &url) &&
	       (str_starts(buf_str(&url), STR("https://")) || wanted(g, "an https URL"));
}

static bool untagged(struct grammar *g)
{
	static const char *const conditions[] = {"OK", "NO", "BAD", "BYE", NULL};
	static const struct {
		const char *name;
		bool (*data)(struct grammar *g);
	} kinds[] = {{"CAPABILITY", capability_data}, {"FLAGS", flags_data}, {"LIST", mailbox_list},
	    {"LSUB", mailbox_list}, {"STATUS", status_data}, {"SEARCH", search_data}, {"SORT", search_data},
	    {"THREAD", thread_data}, {"METADATA", metadata_data}, {"JMAPACCESS", jmap_data},
	    {"QUOTA", quota_data}, {"QUOTAROOT", quotaroot_data}, {"ACL", acl_data},
	    {"MYRIGHTS", myrights_data}, {"LISTRIGHTS", listrights_data}, {"NAMESPACE", namespace_data},
	    {"ID", id_data}, {"ENABLED", enabled_data}, {"COMPARATOR", comparator_data},
	    {"ESEARCH", esearch_data}, {"VANISHED", vanished_data}, {"GENURLAUTH", genurlauth_data},
	    {"URLFETCH", urlfetch_data}, {"UIDBATCHES", uidbatches_data}};
	size_t i;

	if (ascii_digit(next(g)))
		return numbered_data(g);
	if ((g->mode & GRAMMAR_REV2) != 0 && take_word(g, "SEARCH"))
		return wanted(g, "ESEARCH");
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (take_word(g, kinds[i].name))
			return kinds[i].data(g);
	return condition(g, conditions) || wanted(g, "a response of RFC 3501 §7");
}

/* "+ " and base64 or text: both are TEXT-CHARs, and a challenge may be empty. */
static bool continuation(struct grammar *g)
{
	if (!want(g, ' '))
		return false;
	return at_end(g) || resp_text(g);
}

static bool tag(struct grammar *g)
{
	size_t start = g->at;

	while (!at_end(g) && (is_atom_char(next(g)) || next(g) == ']') && next(g) != '+')
		g->at++;
	return g->at > start || wanted(g, "a tag");
}

static bool response(struct grammar *g)
{
	static const char *const conditions[] = {"OK", "NO", "BAD", NULL};

	if (take(g, '*'))
		return want(g, ' ') && untagged(g) && want_end(g);
	if (take(g, '+'))
		return continuation(g) && want_end(g);
	if (!tag(g) || !want(g, ' '))
		return false;
	return condition(g, conditions) ? want_end(g) : wanted(g, "OK, NO or BAD");
}

unsigned grammar_enables(struct str line)
{
	static const struct {
		const char *name;
		unsigned mode;
	} names[] = {{"UTF8=ACCEPT", GRAMMAR_UTF8}, {"IMAP4rev2", GRAMMAR_UTF8 | GRAMMAR_REV2},
	    {"UIDONLY", GRAMMAR_UIDONLY}};
	unsigned mode = 0;
	size_t i;

	if (!str_starts(line, STR("* ENABLED ")))
		return 0;
	while (line.n > 0) {
		struct str word = str_cut(&line, ' ');

		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (str_ieqc(word, names[i].name))
				mode |= names[i].mode;
	}
	return mode;
}

bool grammar_response(struct str line, unsigned mode, struct buf *why)
{
	struct grammar g = {.line = line, .why = why, .mode = mode};

	buf_reset(why);
	return response(&g) && why->n == 0;
}

bool grammar_greeting(struct str line, struct buf *why)
{
	static const char *const conditions[] = {"OK", "PREAUTH", "BYE", NULL};
	struct grammar g = {.line = line, .why = why};

	buf_reset(why);
	if (!want(&g, '*') || !want(&g, ' '))
		return false;
	return condition(&g, conditions) ? want_end(&g) : wanted(&g, "OK, PREAUTH or BYE");
}
