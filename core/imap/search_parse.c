#include "charset/charset.h"
#include "imap/search_parse.h"
#include "imap/search_result.h"
#include "store/metadata.h"
#include "base/banned.h"

/* A filter whose value is being parsed. */
struct open_filter {
	struct str name;
	const struct open_filter *outer;
};

struct parsing {
	struct session *s;
	struct view *view; /* what numbers are of, or NULL */
	struct parse *p;
	struct search_request *out;
	struct str charset; /* empty: none was named */
	uint64_t keys, depth;
	const struct open_filter *filter;
	unsigned fuzzy; /* FUZZY stands around what comes */
};

enum argument {
	NOTHING,
	FLAG, /* `flag` */
	NOT_FLAG,
	KEYWORD,
	NOT_KEYWORD,
	OBJECT_ID,
	STRING, /* in `field` when it has one */
	FIELD,  /* a field's name and a string */
	DATE,
	NUMBER,
	SECONDS, /* WITHIN: not 0 */
	MODSEQ,
	UIDS,
	UID_BEYOND, /* above or below one: `flag` says which */
	FILTER,
	FUZZY_KEY,
	ONE_KEY, /* NOT */
	TWO_KEYS /* OR */
};

static const struct word {
	const char *name;
	enum argument argument;
	enum search_key key;
	uint32_t flag;
	const char *field;
} words[] = {
    {"ALL", NOTHING, SEARCH_ALL, 0, NULL},
    {"ANSWERED", FLAG, SEARCH_FLAG, MORTISE_FLAG_ANSWERED, NULL},
    {"BCC", STRING, SEARCH_ADDRESS, 0, "Bcc"},
    {"BEFORE", DATE, SEARCH_BEFORE, 0, NULL},
    {"BODY", STRING, SEARCH_BODY, 0, NULL},
    {"CC", STRING, SEARCH_ADDRESS, 0, "Cc"},
    {"DELETED", FLAG, SEARCH_FLAG, MORTISE_FLAG_DELETED, NULL},
    {"DRAFT", FLAG, SEARCH_FLAG, MORTISE_FLAG_DRAFT, NULL},
    {"EMAILID", OBJECT_ID, SEARCH_EMAILID, 0, NULL},
    {"FILTER", FILTER, SEARCH_AND, 0, NULL},
    {"FLAGGED", FLAG, SEARCH_FLAG, MORTISE_FLAG_FLAGGED, NULL},
    {"FROM", STRING, SEARCH_ADDRESS, 0, "From"},
    {"FUZZY", FUZZY_KEY, SEARCH_AND, 0, NULL},
    {"HEADER", FIELD, SEARCH_HEADER, 0, NULL},
    {"KEYWORD", KEYWORD, SEARCH_KEYWORD, 0, NULL},
    {"LARGER", NUMBER, SEARCH_LARGER, 0, NULL},
    {"MODSEQ", MODSEQ, SEARCH_MODSEQ, 0, NULL},
    {"NEW", NOTHING, SEARCH_NEW, 0, NULL},
    {"NOT", ONE_KEY, SEARCH_NOT, 0, NULL},
    {"OLD", NOTHING, SEARCH_NOT, 0, NULL}, /* NOT RECENT */
    {"OLDER", SECONDS, SEARCH_OLDER, 0, NULL},
    {"ON", DATE, SEARCH_ON, 0, NULL},
    {"OR", TWO_KEYS, SEARCH_OR, 0, NULL},
    {"RECENT", NOTHING, SEARCH_RECENT, 0, NULL},
    {"SAVEDATESUPPORTED", NOTHING, SEARCH_SAVEDATESUPPORTED, 0, NULL},
    {"SAVEDBEFORE", DATE, SEARCH_SAVEDBEFORE, 0, NULL},
    {"SAVEDON", DATE, SEARCH_SAVEDON, 0, NULL},
    {"SAVEDSINCE", DATE, SEARCH_SAVEDSINCE, 0, NULL},
    {"SEEN", FLAG, SEARCH_FLAG, MORTISE_FLAG_SEEN, NULL},
    {"SENTBEFORE", DATE, SEARCH_SENTBEFORE, 0, NULL},
    {"SENTON", DATE, SEARCH_SENTON, 0, NULL},
    {"SENTSINCE", DATE, SEARCH_SENTSINCE, 0, NULL},
    {"SINCE", DATE, SEARCH_SINCE, 0, NULL},
    {"SMALLER", NUMBER, SEARCH_SMALLER, 0, NULL},
    {"SUBJECT", STRING, SEARCH_SUBJECT, 0, NULL},
    {"TEXT", STRING, SEARCH_TEXT, 0, NULL},
    {"THREADID", OBJECT_ID, SEARCH_THREADID, 0, NULL},
    {"TO", STRING, SEARCH_ADDRESS, 0, "To"},
    {"UID", UIDS, SEARCH_UID, 0, NULL},
    {"UIDAFTER", UID_BEYOND, SEARCH_UID, 1, NULL},  /* RFC 9738 §3.2 */
    {"UIDBEFORE", UID_BEYOND, SEARCH_UID, 0, NULL}, /* RFC 9738 §3.2 */
    {"UNANSWERED", NOT_FLAG, SEARCH_FLAG, MORTISE_FLAG_ANSWERED, NULL},
    {"UNDELETED", NOT_FLAG, SEARCH_FLAG, MORTISE_FLAG_DELETED, NULL},
    {"UNDRAFT", NOT_FLAG, SEARCH_FLAG, MORTISE_FLAG_DRAFT, NULL},
    {"UNFLAGGED", NOT_FLAG, SEARCH_FLAG, MORTISE_FLAG_FLAGGED, NULL},
    {"UNKEYWORD", NOT_KEYWORD, SEARCH_KEYWORD, 0, NULL},
    {"UNSEEN", NOT_FLAG, SEARCH_FLAG, MORTISE_FLAG_SEEN, NULL},
    {"YOUNGER", SECONDS, SEARCH_YOUNGER, 0, NULL},
};

static bool one_key(struct parsing *x, struct search **out);
static bool all_keys(struct parsing *x, struct search **out);

/* "$" is of the selected mailbox. */
static bool saved(struct parsing *x, struct number_set *uids)
{
	if (!saved_take(x->s, x->p, uids))
		return false;
	if (x->view != x->s->view)
		uids->n = 0;
	return true;
}

static uint32_t message_count(const struct parsing *x)
{
	return x->view != NULL ? view_count(x->view) : 0;
}

static struct search *new_key(struct parsing *x, enum search_key key)
{
	struct search *k = arena_new_of(x->p->arena, struct search);

	k->key = key;
	return k;
}

static struct search *negated(struct parsing *x, struct search *k)
{
	struct search *not = new_key(x, SEARCH_NOT);

	not ->child = k;
	return not ;
}

/* A string in the command's charset. What is wrong with it is told when the whole command has been read. */
static bool text(struct parsing *x, struct str *out)
{
	AUTO_BUF struct buf utf8 = BUF_INIT;
	struct str raw;

	if (!parse_astring(x->p, &raw))
		return false;
	if (x->charset.n == 0) {
		/* US-ASCII by the RFC; UTF-8 by what clients do. */
		if (!utf8_valid(raw))
			x->out->charset_error = "The text is not in UTF-8: name its charset";
		*out = arena_str(x->p->arena, raw);
		return true;
	}
	if (!x->out->charset_unknown && !charset_to_utf8(&utf8, x->charset, raw))
		x->out->charset_error = "The text is not in the charset that was named";
	*out = arena_str(x->p->arena, buf_str(&utf8));
	return true;
}

/* What may be a window into the command. */
static bool keep(struct parsing *x, struct str *s)
{
	*s = arena_str(x->p->arena, *s);
	return true;
}

static bool number(struct parsing *x, struct search *k, bool seconds)
{
	if (!parse_number64(x->p, &k->number))
		return false;
	if (!seconds)
		x->out->sized = true;
	return !seconds || k->number != 0 || parse_fail(x->p, "Number is zero");
}

static bool uids(struct parsing *x, struct search *k)
{
	uint32_t count = message_count(x);

	if (saved(x, &k->set))
		return true;
	return parse_sequence_set(x->p, count > 0 ? view_message(x->view, count)->uid : 0, &k->set);
}

static bool uid_beyond(struct parsing *x, struct search *k)
{
	bool after = k->flag != 0;
	size_t cap = 0;
	uint32_t uid;

	k->flag = 0;
	if (!parse_nz_number(x->p, &uid))
		return false;
	if (after && uid < UINT32_MAX)
		set_add_range(x->p->arena, &k->set, &cap, uid + 1, UINT32_MAX);
	else if (!after && uid > 1)
		set_add_range(x->p->arena, &k->set, &cap, 1, uid - 1);
	return true;
}

/* objectid (RFC 8474 §7): its octets are compared as they are. */
static bool object_id(struct parsing *x, struct str *out)
{
	size_t i;

	if (!parse_astring(x->p, out))
		return false;
	for (i = 0; i < out->n; i++)
		if (!ascii_alpha(out->p[i]) && !ascii_digit(out->p[i]) && out->p[i] != '_' &&
		    out->p[i] != '-')
			return parse_fail(x->p, "Invalid object id");
	return (out->n > 0 && out->n <= 255) || parse_fail(x->p, "Invalid object id");
}

/* entry-name SP entry-type-req: checked and passed over, as there is one mod-sequence a message. */
static bool modseq_entry(struct parse *p)
{
	struct str name, flag;

	if (!parse_quoted(p, &name))
		return false;
	flag = str_from(name, strlen("/flags/"));
	if (!str_istarts(name, STR("/flags/")) || flag.n == 0)
		return parse_fail(p, "Unknown entry name");
	if (flag.p[0] == '\\')
		flag = str_from(flag, 1);
	for (; flag.n > 0 && parse_is_atom_char(flag.p[0]); flag = str_from(flag, 1))
		;
	if (flag.n > 0)
		return parse_fail(p, "Entry name is not of a flag");
	return parse_sp(p) && (parse_word(p, "all") || parse_word(p, "shared") || parse_word(p, "priv") ||
	                          parse_fail(p, "Unknown entry type"));
}

static bool modseq(struct parsing *x, struct search *k)
{
	x->out->modseq = true;
	if (parse_at(x->p, '"') && !(modseq_entry(x->p) && parse_sp(x->p)))
		return false;
	return parse_number64(x->p, &k->number);
}

/* ---- FILTER (RFC 5466) ---- */
struct value {
	struct arena *arena;
	struct str text;
};

static void take_value(void *arg, const struct metadata *m)
{
	struct value *v = arg;

	v->text = arena_str(v->arena, m->value);
}

/* The account's own, else the public one. p NULL: there is none. */
static struct str filter_value(struct parsing *x, struct str name)
{
	static const char *const kinds[] = {"private", "shared"};
	struct value v = {x->p->arena, STR_NONE};
	size_t i;

	for (i = 0; i < ARRAY_LEN(kinds) && v.text.p == NULL; i++) {
		struct err e = ERR_INIT;
		const char *entry =
		    arena_printf(x->p->arena, "/%s/filters/values/%.*s", kinds[i], STR_FMT(name));

		if (metadata_name_ok(str_of(entry), false))
			store_metadata(
			    x->s->setup->store, NULL, str_of(entry), METADATA_ENTRY, take_value, &v, &e);
	}
	return v.text;
}

static bool is_open(const struct parsing *x, struct str name)
{
	const struct open_filter *f;

	for (f = x->filter; f != NULL && !str_eq(f->name, name); f = f->outer)
		;
	return f != NULL;
}

static bool filter_keys(struct parsing *x, struct str name, struct str value, struct search **out)
{
	struct open_filter open = {name, x->filter};
	struct parsing inner = *x;
	struct parse p;
	bool ok;

	parse_start(&p, value, x->p->arena);
	inner.p = &p;
	inner.charset = STR("");
	inner.filter = &open;
	ok = all_keys(&inner, out) && parse_end(&p);
	x->keys = inner.keys;
	return ok;
}

/* A filter that is not there, is not a search, or stands in itself: all the same (§3.1). */
static bool filter(struct parsing *x, struct search *k)
{
	struct str name, value;
	char *lower;
	size_t i;

	if (!parse_atom(x->p, &name) || str_find(name, '/') < name.n)
		return parse_fail(x->p, "Invalid filter name");
	lower = arena_strndup(x->p->arena, name.p, name.n);
	for (i = 0; i < name.n; i++)
		lower[i] = ascii_lower(lower[i]);
	name = str_mem(lower, name.n);
	x->out->filters = true;
	value = is_open(x, name) ? STR_NONE : filter_value(x, name);
	if (value.p == NULL || !filter_keys(x, name, value, &k->child)) {
		k->child = NULL;
		x->out->undefined_filter = lower;
	}
	return true;
}

static bool two_keys(struct parsing *x, struct search *k)
{
	return one_key(x, &k->child) && parse_sp(x->p) && one_key(x, &k->child->next);
}

/* RFC 6203 */
static bool fuzzy_key(struct parsing *x, struct search *k)
{
	bool ok;

	x->fuzzy++;
	x->out->fuzzy = true;
	ok = one_key(x, &k->child);
	x->fuzzy--;
	return ok;
}

static bool argument(struct parsing *x, const struct word *w, struct search *k)
{
	if (w->argument >= KEYWORD && !parse_sp(x->p))
		return false;
	switch (w->argument) {
	case NOTHING:
	case FLAG:
	case NOT_FLAG:
		return true;
	case KEYWORD:
	case NOT_KEYWORD:
		return parse_keyword(x->p, &k->text) && keep(x, &k->text);
	case OBJECT_ID:
		return object_id(x, &k->text) && keep(x, &k->text);
	case FIELD:
		return parse_astring(x->p, &k->field) && keep(x, &k->field) && parse_sp(x->p) &&
		       text(x, &k->text);
	case STRING:
		return text(x, &k->text);
	case DATE:
		return parse_date(x->p, &k->day);
	case NUMBER:
	case SECONDS:
		return number(x, k, w->argument == SECONDS);
	case MODSEQ:
		return modseq(x, k);
	case UIDS:
		return uids(x, k);
	case UID_BEYOND:
		return uid_beyond(x, k);
	case FILTER:
		return filter(x, k);
	case FUZZY_KEY:
		return fuzzy_key(x, k);
	case ONE_KEY:
		return one_key(x, &k->child);
	case TWO_KEYS:
		return two_keys(x, k);
	}
	UNREACHABLE("argument");
}

static bool named_key(struct parsing *x, struct search **out)
{
	struct str name;
	struct search *k;
	size_t i;

	if (!parse_item_name(x->p, &name))
		return parse_fail(x->p, "Missing search key");
	for (i = 0; i < ARRAY_LEN(words) && !str_ieqc(name, words[i].name); i++)
		;
	if (i == ARRAY_LEN(words))
		return parse_fail(x->p, "Unknown search key");
	k = new_key(x, words[i].key);
	k->flag = words[i].flag;
	k->fuzzy = x->fuzzy > 0;
	k->field = words[i].field != NULL ? str_of(words[i].field) : STR_NONE;
	*out = k;
	if (words[i].argument == NOTHING && words[i].key == SEARCH_NOT)
		k->child = new_key(x, SEARCH_RECENT);
	if (words[i].argument == NOT_FLAG || words[i].argument == NOT_KEYWORD)
		*out = negated(x, k);
	return argument(x, &words[i], k);
}

/* Numbers beyond the last message name nothing, they are not wrong (RFC 7377 §2). */
static bool sequence_key(struct parsing *x, struct search **out)
{
	struct search *k = new_key(x, SEARCH_SEQUENCE);
	struct set_range there = {1, message_count(x)};
	struct number_set numbers;

	*out = k;
	if (saved(x, &k->set)) {
		k->key = SEARCH_UID;
		return true;
	}
	if (x->s->uidonly) {
		x->s->bad_code = UIDREQUIRED;
		return parse_fail(x->p, "Message numbers are not allowed");
	}
	x->out->numbered = true;
	if (!parse_sequence_set(x->p, there.high, &k->set))
		return false;
	if (x->out->arena == NULL)
		return true;
	/* The numbers are those of now (RFC 5267 §4.3). */
	k->key = SEARCH_UID;
	set_both(x->p->arena, &k->set, &(struct number_set){&there, there.high > 0}, &numbers);
	k->set.n = 0;
	return numbers.n == 0 || view_uids_of_sequences(x->view, &numbers, x->p->arena, &k->set);
}

/* Keys with SP between them, all of which must match. */
static bool all_keys(struct parsing *x, struct search **out)
{
	struct search *and = new_key(x, SEARCH_AND), **link = &and->child;

	*out = and;
	do {
		if (!one_key(x, link))
			return false;
		link = &(*link)->next;
	} while (parse_skip(x->p, ' '));
	return true;
}

static bool one_key(struct parsing *x, struct search **out)
{
	bool ok;

	if (++x->keys > x->s->o->search_keys)
		return parse_fail(x->p, "Too many search keys");
	if (++x->depth > x->s->o->search_depth)
		return parse_fail(x->p, "Search keys are nested too deep");
	if (parse_skip(x->p, '('))
		ok = all_keys(x, out) && parse_char(x->p, ')');
	else if (parse_at(x->p, '*') || parse_at(x->p, '$') ||
	         (x->p->rest.n > 0 && ascii_digit(x->p->rest.p[0])))
		ok = sequence_key(x, out);
	else
		ok = named_key(x, out);
	x->depth--;
	return ok;
}

static bool charset(struct parsing *x)
{
	if (!parse_sp(x->p) || !parse_astring(x->p, &x->charset) || !parse_sp(x->p))
		return false;
	x->out->charset_unknown = x->charset.n == 0 || !charset_known(x->charset);
	return true;
}

static bool keys_to_the_end(struct parsing *x)
{
	if (!all_keys(x, &x->out->program) || !parse_end(x->p))
		return false;
	if (!x->out->fuzzy && (x->out->relevancy || (x->out->returns & SEARCH_RETURN_RELEVANCY) != 0))
		return parse_fail(x->p, "RELEVANCY needs FUZZY");
	x->out->filter_charset =
	    x->charset.n == 0 || str_ieqc(x->charset, "UTF-8") || str_ieqc(x->charset, "US-ASCII");
	if (x->out->charset_unknown)
		x->out->charset_error = "Unknown charset";
	search_prepare(x->out->program, x->s->comparator, x->p->arena);
	return true;
}

/* ["-"] nz-number ":" ["-"] nz-number */
bool parse_partial_range(struct parse *p, struct partial_range *out)
{
	if (!parse_sp(p))
		return false;
	out->from_end = parse_skip(p, '-');
	return parse_nz_number(p, &out->first) && parse_char(p, ':') &&
	       (!out->from_end || parse_char(p, '-')) && parse_nz_number(p, &out->second);
}

void partial_slice(const struct partial_range *p, size_t count, size_t *from, size_t *to)
{
	size_t low = p->first < p->second ? p->first : p->second;
	size_t high = p->first < p->second ? p->second : p->first;

	low = low <= count ? low - 1 : count;
	high = high <= count ? high : count;
	*from = p->from_end ? count - high : low;
	*to = p->from_end ? count - low : high;
}

static bool return_option(struct parse *p, struct search_request *out)
{
	static const struct {
		const char *name;
		unsigned option;
	} options[] = {{"MIN", SEARCH_RETURN_MIN}, {"MAX", SEARCH_RETURN_MAX}, {"ALL", SEARCH_RETURN_ALL},
	    {"COUNT", SEARCH_RETURN_COUNT}, {"PARTIAL", SEARCH_RETURN_PARTIAL}, {"SAVE", SEARCH_RETURN_SAVE},
	    {"UPDATE", SEARCH_RETURN_UPDATE}, {"CONTEXT", SEARCH_RETURN_CONTEXT},
	    {"RELEVANCY", SEARCH_RETURN_RELEVANCY}};
	const unsigned lists = SEARCH_RETURN_ALL | SEARCH_RETURN_PARTIAL;
	size_t i;

	for (i = 0; i < ARRAY_LEN(options) && !parse_word(p, options[i].name); i++)
		;
	if (i == ARRAY_LEN(options))
		return parse_fail(p, "Unknown result option");
	if ((options[i].option & lists) != 0 && (out->returns & lists) != 0)
		return parse_fail(p, "One of ALL and PARTIAL, once");
	out->returns |= options[i].option;
	if (options[i].option == SEARCH_RETURN_UPDATE && out->arena == NULL)
		p->arena = out->arena = arena_new("context");
	return options[i].option != SEARCH_RETURN_PARTIAL || parse_partial_range(p, &out->partial);
}

/* SP "(" options ")"; without any option, ALL is meant. */
static bool return_options(struct parse *p, struct search_request *out)
{
	if (!parse_sp(p) || !parse_char(p, '('))
		return false;
	if (parse_skip(p, ')')) {
		out->returns = SEARCH_RETURN_ALL;
		return true;
	}
	do {
		if (!return_option(p, out))
			return false;
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

bool search_parse_return(struct parse *p, struct search_request *out)
{
	*out = (struct search_request){0};
	return !parse_word(p, " RETURN") || return_options(p, out);
}

/* What need not be looked for. */
static void bound(struct search_request *r)
{
	unsigned wanted = r->returns & ~(SEARCH_RETURN_SAVE | SEARCH_RETURN_CONTEXT);

	if (wanted == SEARCH_RETURN_MIN || wanted == SEARCH_RETURN_MAX)
		r->most = 1;
	if (wanted == SEARCH_RETURN_PARTIAL)
		r->most = r->partial.first > r->partial.second ? r->partial.first : r->partial.second;
	r->backward = wanted == SEARCH_RETURN_MAX || (wanted == SEARCH_RETURN_PARTIAL && r->partial.from_end);
}

bool search_parse_program(struct session *s, struct view *view, struct parse *p, struct search_request *out)
{
	struct parsing x = {.s = s, .view = view, .p = p, .out = out, .charset = STR("")};

	if (!parse_sp(p))
		return false;
	if (parse_word(p, "CHARSET")) {
		if (s->utf8_accept) /* RFC 6855 §3 */
			return parse_fail(p, "CHARSET has no place after ENABLE UTF8=ACCEPT");
		if (!charset(&x))
			return false;
	}
	if (s->rev2 && out->returns == 0) /* RFC 9051 §6.4.4: the answer is ESEARCH */
		out->returns = SEARCH_RETURN_ALL;
	bound(out);
	return keys_to_the_end(&x);
}

bool search_parse(struct session *s, struct parse *p, struct search_request *out)
{
	return search_parse_return(p, out) && search_parse_program(s, s->view, p, out);
}

bool search_parse_filter(struct session *s, struct str value, const char **error)
{
	struct search_request request = {0};
	struct parse p;
	struct parsing x = {.s = s, .view = s->view, .p = &p, .out = &request, .charset = STR("")};
	bool ok;

	parse_start(&p, value, s->arena);
	ok = all_keys(&x, &request.program) && parse_end(&p);
	*error = ok ? request.charset_error : p.error;
	return *error == NULL;
}

bool search_parse_criteria(struct session *s, struct parse *p, struct search_request *out)
{
	struct parsing x = {.s = s, .view = s->view, .p = p, .out = out, .charset = STR("")};

	return charset(&x) && keys_to_the_end(&x);
}
