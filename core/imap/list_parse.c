#include "base/vec.h"
#include "imap/list.h"
#include "base/banned.h"

static const struct option {
	const char *name;
	unsigned bit;
	bool select, wanted; /* where it may stand */
} options[] = {
    {"SUBSCRIBED", LIST_OPTION_SUBSCRIBED, true, true},
    {"SPECIAL-USE", LIST_OPTION_SPECIAL_USE, true, true},
    {"RECURSIVEMATCH", LIST_OPTION_RECURSIVEMATCH, true, false},
    {"REMOTE", LIST_OPTION_REMOTE, true, false},
    {"CHILDREN", LIST_OPTION_CHILDREN, false, true},
    {"STATUS", LIST_OPTION_STATUS, false, true},
    {"METADATA", LIST_OPTION_METADATA, false, true},
    {"MYRIGHTS", LIST_OPTION_MYRIGHTS, false, true},
};

static const struct option *find(struct str name, bool select)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(options); i++)
		if (str_ieqc(name, options[i].name) && (select ? options[i].select : options[i].wanted))
			return &options[i];
	return NULL;
}

static bool one_option(struct session *s, struct parse *p, bool select, struct list_request *out)
{
	const struct option *o;
	struct str name;

	if (!parse_atom(p, &name))
		return false;
	o = find(name, select);
	if (o == NULL)
		return parse_fail(p, "Unknown LIST option");
	if (select)
		out->select |= o->bit;
	else
		out->wanted |= o->bit;
	if (o->bit == LIST_OPTION_METADATA)
		return parse_sp(p) && metadata_parse_entries(s, p, out);
	return o->bit != LIST_OPTION_STATUS || (parse_sp(p) && status_parse(p, &out->status));
}

/* "(" [option *(SP option)] ")" */
static bool option_list(struct session *s, struct parse *p, bool select, struct list_request *out)
{
	if (!parse_char(p, '('))
		return false;
	if (parse_skip(p, ')'))
		return true;
	do {
		if (!one_option(s, p, select, out))
			return false;
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

/* RECURSIVEMATCH needs something that is to match (RFC 5258 §3.1). */
static bool selection(struct session *s, struct parse *p, struct list_request *out)
{
	out->extended = true;
	if (!option_list(s, p, true, out))
		return false;
	if ((out->select & LIST_OPTION_RECURSIVEMATCH) != 0 &&
	    (out->select & (LIST_OPTION_SUBSCRIBED | LIST_OPTION_SPECIAL_USE)) == 0)
		return parse_fail(p, "RECURSIVEMATCH needs another selection option");
	out->wanted |= out->select & (LIST_OPTION_SUBSCRIBED | LIST_OPTION_SPECIAL_USE);
	return parse_sp(p);
}

static bool pattern_list(struct session *s, struct parse *p, struct list_request *out)
{
	VEC(const char *) patterns = VEC_INIT;
	bool several = parse_skip(p, '('), ok;

	do {
		ok = patterns.n < s->o->list_patterns || parse_fail(p, "Too many patterns");
		ok = ok && parse_pattern(p, vec_push(&patterns));
	} while (ok && several && parse_skip(p, ' '));
	out->patterns = arena_dup(p->arena, patterns.v, patterns.n * sizeof(*patterns.v));
	out->pattern_count = patterns.n;
	vec_free(&patterns);
	out->extended = out->extended || several;
	return ok && (!several || parse_char(p, ')'));
}

static bool returns(struct session *s, struct parse *p, struct list_request *out)
{
	if (!parse_skip(p, ' '))
		return true;
	out->extended = true;
	if (!parse_word(p, "RETURN"))
		return parse_fail(p, "Unexpected text after the arguments");
	return parse_sp(p) && option_list(s, p, false, out);
}

bool list_parse(struct session *s, struct parse *p, struct list_request *out)
{
	*out = (struct list_request){.extended = false};
	if (!parse_sp(p) || (parse_at(p, '(') && !selection(s, p, out)))
		return false;
	return parse_mailbox(p, &out->reference) && parse_sp(p) && pattern_list(s, p, out) &&
	       returns(s, p, out) && parse_end(p);
}
