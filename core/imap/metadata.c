/*
 * metadata.c: GETMETADATA and SETMETADATA (RFC 5464).
 *
 * The RFC's syntax has the options of GETMETADATA in front of the mailbox, its examples behind; both are
 * taken.
 */
#include "store/metadata.h"

#include "base/vec.h"
#include "imap/search_parse.h"
#include "imap/list.h"
#include "imap/notify.h"
#include "mime/mime.h"
#include "base/banned.h"

struct request {
	const char *mailbox; /* "": the server */
	bool limited;
	uint64_t size_max;
	enum metadata_depth depth;
	VEC(struct metadata) entries;
};

/* ---- words ---- */
static bool entry_name(struct parse *p, bool to_be_set, struct str *name)
{
	struct str given;
	char *lower;
	size_t i;

	if (!parse_astring(p, &given))
		return false;
	if (!metadata_name_ok(given, to_be_set))
		return parse_fail(p, "Invalid entry name");
	lower = arena_strndup(p->arena, given.p, given.n);
	for (i = 0; i < given.n; i++)
		lower[i] = ascii_lower(lower[i]);
	*name = str_mem(lower, given.n);
	return true;
}

static struct metadata *add_entry(struct request *r)
{
	*vec_push(&r->entries) = (struct metadata){.name = STR_NONE};
	return vec_last(&r->entries);
}

static bool depth_option(struct parse *p, struct request *r)
{
	struct str value;

	if (!parse_sp(p) || !parse_astring(p, &value))
		return false;
	if (str_eqc(value, "0"))
		r->depth = METADATA_ENTRY;
	else if (str_eqc(value, "1"))
		r->depth = METADATA_CHILDREN;
	else if (str_ieqc(value, "infinity"))
		r->depth = METADATA_INFINITY;
	else
		return parse_fail(p, "Invalid DEPTH");
	return true;
}

/* "(" options ")" */
static bool option_list(struct parse *p, struct request *r)
{
	if (!parse_char(p, '('))
		return false;
	do {
		if (parse_word(p, "MAXSIZE")) {
			r->limited = true;
			if (!parse_sp(p) || !parse_number64(p, &r->size_max))
				return false;
		} else if (!parse_word(p, "DEPTH")) {
			return parse_fail(p, "Unknown GETMETADATA option");
		} else if (!depth_option(p, r)) {
			return false;
		}
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

/* Entries in parentheses, or one. */
static bool entry_list(struct parse *p, struct request *r)
{
	bool several = parse_skip(p, '(');

	do {
		if (!entry_name(p, false, &add_entry(r)->name))
			return false;
	} while (several && parse_skip(p, ' '));
	return !several || parse_char(p, ')');
}

/* Whether the list in parentheses that comes now is one of options: entries begin with "/". */
static bool at_options(const struct parse *p)
{
	return parse_at(p, '(') && p->rest.n > 1 && ascii_alpha(p->rest.p[1]);
}

static bool getmetadata_parse(struct parse *p, struct request *r)
{
	if (!parse_sp(p) || (parse_at(p, '(') && (!option_list(p, r) || !parse_sp(p))))
		return false;
	if (!parse_mailbox(p, &r->mailbox) || !parse_sp(p))
		return false;
	if (at_options(p) && (!option_list(p, r) || !parse_sp(p)))
		return false;
	return entry_list(p, r) && parse_end(p);
}

static bool setmetadata_parse(struct parse *p, struct request *r)
{
	if (!parse_sp(p) || !parse_mailbox(p, &r->mailbox) || !parse_sp(p) || !parse_char(p, '('))
		return false;
	do {
		struct metadata *m = add_entry(r);

		if (!entry_name(p, true, &m->name) || !parse_sp(p) || !parse_nstring8(p, &m->value))
			return false;
	} while (parse_skip(p, ' '));
	return parse_char(p, ')') && parse_end(p);
}

/* ---- GETMETADATA ---- */
struct answering {
	struct session *s;
	const struct request *r;
	uint64_t longest; /* value that was too long */
	size_t told;
	bool found;
};

static void write_entry(struct answering *x, struct str name, struct str value)
{
	struct buf *out = session_out(x->s);

	if (x->told++ == 0) {
		buf_adds(out, "* METADATA ");
		write_mailbox_name(x->s, out, x->r->mailbox);
		buf_adds(out, " (");
	} else {
		buf_addc(out, ' ');
	}
	imap_astring(out, name);
	buf_addc(out, ' ');
	if (value.p != NULL && str_find(value, '\0') < value.n) {
		buf_printf(out, "~{%zu}\r\n", value.n);
		buf_addstr(out, value);
	} else {
		imap_nstring(out, value);
	}
	session_written(x->s);
}

static void on_entry(void *arg, const struct metadata *m)
{
	struct answering *x = arg;

	x->found = true;
	if (x->r->limited && m->value.n > x->r->size_max) {
		x->longest = m->value.n > x->longest ? m->value.n : x->longest;
		return;
	}
	write_entry(x, m->name, m->value);
}

static const char *mailbox_of(const struct request *r)
{
	return r->mailbox[0] != '\0' ? r->mailbox : NULL;
}

static void answer(struct answering *x, struct err *e)
{
	struct store *store = x->s->setup->store;
	size_t i;

	for (i = 0; i < x->r->entries.n && e->code == 0 && !session_stopped(x->s); i++) {
		struct str name = x->r->entries.v[i].name;

		x->found = false;
		store_metadata(store, mailbox_of(x->r), name, x->r->depth, on_entry, x, e);
		if (!x->found && e->code == 0 && x->r->depth == METADATA_ENTRY)
			write_entry(x, name, STR_NONE);
	}
	if (x->told > 0)
		buf_adds(session_out(x->s), ")\r\n");
}

/* ---- LIST's return option (RFC 9590) ---- */
bool metadata_parse_entries(struct session *s, struct parse *p, struct list_request *out)
{
	VEC(struct str) names = VEC_INIT;
	bool ok = parse_char(p, '(');

	do {
		ok = ok && (names.n < s->o->list_patterns || parse_fail(p, "Too many entries"));
		ok = ok && entry_name(p, false, vec_push(&names));
	} while (ok && parse_skip(p, ' '));
	out->metadata = arena_dup(p->arena, names.v, names.n * sizeof(*names.v));
	out->metadata_count = names.n;
	vec_free(&names);
	return ok && parse_char(p, ')');
}

int metadata_write(struct session *s, const char *mailbox, const struct list_request *r, struct err *e)
{
	struct request q = {.mailbox = mailbox, .entries = VEC_INIT};
	struct answering x = {.s = s, .r = &q};
	size_t i;

	for (i = 0; i < r->metadata_count; i++)
		add_entry(&q)->name = r->metadata[i];
	answer(&x, e);
	vec_free(&q.entries);
	return e->code;
}

void command_getmetadata(struct session *s, struct parse *p)
{
	struct request r = {.entries = VEC_INIT};
	struct answering x = {.s = s, .r = &r};
	struct err e = ERR_INIT;
	const char *code = NULL;

	if (!getmetadata_parse(p, &r)) {
		reply_bad(s, p->error);
	} else {
		answer(&x, &e);
		if (x.longest > 0)
			code = arena_printf(
			    s->arena, "METADATA LONGENTRIES %llu", (unsigned long long)x.longest);
		if (e.code != 0)
			reply_error(s, &e);
		else
			reply_ok(s, code, "GETMETADATA completed");
	}
	vec_free(&r.entries);
}

/* ---- SETMETADATA ---- */
static void refuse(struct session *s, enum metadata_refusal why, const struct err *e)
{
	if (why == METADATA_TOO_LARGE)
		reply_no(s,
		    arena_printf(s->arena, "METADATA MAXSIZE %llu",
		        (unsigned long long)store_metadata_size(s->setup->store)),
		    e->client);
	else if (why == METADATA_TOO_MANY)
		reply_no(s, "METADATA TOOMANY", e->client);
	else
		reply_error(s, e);
}

/* RFC 5466 §3.2 */
static bool filters_ok(struct session *s, const struct request *r)
{
	const char *error;
	size_t i;

	for (i = 0; r->mailbox[0] == '\0' && i < r->entries.n; i++)
		if (str_starts(r->entries.v[i].name, STR("/private/filters/values/")) &&
		    r->entries.v[i].value.p != NULL &&
		    !search_parse_filter(s, r->entries.v[i].value, &error)) {
			reply_no(s, "CANNOT", error);
			return false;
		}
	return true;
}

static void set_done(struct session *s, const char *mailbox)
{
	notify_did(s, mailbox[0] != '\0' ? EVENT_METADATA : EVENT_SERVER_METADATA, mailbox);
	reply_ok(s, NULL, "SETMETADATA completed");
}

void command_setmetadata(struct session *s, struct parse *p)
{
	struct request r = {.entries = VEC_INIT};
	enum metadata_refusal why;
	struct err e = ERR_INIT;

	if (!setmetadata_parse(p, &r))
		reply_bad(s, p->error);
	else if (!filters_ok(s, &r))
		;
	else if (store_metadata_set(s->setup->store, mailbox_of(&r), r.entries.v, r.entries.n, &why, &e) != 0)
		refuse(s, why, &e);
	else
		set_done(s, r.mailbox);
	vec_free(&r.entries);
}
