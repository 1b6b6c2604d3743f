#include "base/vec.h"
#include "imap/fetch.h"
#include "base/banned.h"

struct parsing {
	struct session *s;
	struct parse *p;
	struct fetch_request *out;
};

static const struct {
	const char *name;
	enum fetch_kind kind;
} simple_items[] = {
    {"UID", FETCH_UID},
    {"FLAGS", FETCH_FLAGS},
    {"INTERNALDATE", FETCH_INTERNALDATE},
    {"RFC822.SIZE", FETCH_SIZE},
    {"ENVELOPE", FETCH_ENVELOPE},
    {"BODY", FETCH_BODY},
    {"BODYSTRUCTURE", FETCH_BODYSTRUCTURE},
    {"EMAILID", FETCH_EMAILID},
    {"THREADID", FETCH_THREADID},
    {"SAVEDATE", FETCH_SAVEDATE},
    {"MODSEQ", FETCH_MODSEQ},
};

static const struct {
	const char *name;
	enum fetch_kind items[5];
	size_t count;
} macros[] = {
    {"FAST", {FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE}, 3},
    {"ALL", {FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE}, 4},
    {"FULL", {FETCH_FLAGS, FETCH_INTERNALDATE, FETCH_SIZE, FETCH_ENVELOPE, FETCH_BODY}, 5},
};

/* The items that RFC 822 clients knew: a label, what it means, whether it sets \Seen. */
static const struct {
	const char *name;
	enum mime_text text;
	bool sets_seen;
} old_items[] = {
    {"RFC822", MIME_WHOLE, true},
    {"RFC822.HEADER", MIME_HEADER, false},
    {"RFC822.TEXT", MIME_TEXT_ONLY, true},
};

static const struct {
	const char *name;
	enum mime_text text;
} section_texts[] = {
    {"HEADER", MIME_HEADER},
    {"HEADER.FIELDS", MIME_HEADER_FIELDS},
    {"HEADER.FIELDS.NOT", MIME_HEADER_FIELDS_NOT},
    {"TEXT", MIME_TEXT_ONLY},
    {"MIME", MIME_MIME},
};

static struct fetch_item *add(struct parsing *x, enum fetch_kind kind)
{
	struct fetch_request *r = x->out;
	struct fetch_item *item;

	if (r->count >= x->s->o->fetch_items) {
		parse_fail(x->p, "Too many FETCH items");
		return NULL;
	}
	item = &r->items[r->count++];
	*item = (struct fetch_item){.kind = kind};
	return item;
}

static bool add_simple(struct parsing *x, enum fetch_kind kind)
{
	size_t i;

	x->out->modseq = x->out->modseq || kind == FETCH_MODSEQ;
	for (i = 0; i < x->out->count; i++)
		if (x->out->items[i].kind == kind)
			return true;
	return add(x, kind) != NULL;
}

/* ---- BODY[section]<partial>, BINARY[section]<partial>, BINARY.SIZE[section] ---- */
static bool part_numbers(
    struct parsing *x, struct mime_section *section, struct buf *label, bool *text_follows)
{
	VEC(uint32_t) numbers = VEC_INIT;
	bool ok = true;

	*text_follows = !parse_at(x->p, ']');
	while (ok && x->p->rest.n > 0 && ascii_digit(x->p->rest.p[0])) {
		if (numbers.n >= x->s->o->section_depth) {
			ok = parse_fail(x->p, "Section is too deep");
			break;
		}
		ok = parse_nz_number(x->p, vec_push(&numbers));
		buf_printf(label, numbers.n > 1 ? ".%u" : "%u", numbers.v[numbers.n - 1]);
		*text_follows = parse_skip(x->p, '.');
		if (!*text_follows)
			break;
	}
	section->number_count = numbers.n;
	section->numbers = arena_dup(x->p->arena, numbers.v, numbers.n * sizeof(*numbers.v));
	vec_free(&numbers);
	return ok;
}

/* SP "(" field names ")". A name that no field can have is refused: it would be repeated in the answer. */
static bool field_list(struct parsing *x, struct mime_section *section, struct buf *label)
{
	VEC(struct str) fields = VEC_INIT;
	bool ok = parse_sp(x->p) && parse_char(x->p, '(');
	size_t i;

	buf_adds(label, " (");
	while (ok) {
		struct str *name = vec_push(&fields);

		ok = parse_astring(x->p, name);
		if (ok && name->n == 0)
			ok = parse_fail(x->p, "Empty header field name");
		for (i = 0; ok && i < name->n; i++)
			if (name->p[i] <= ' ' || name->p[i] >= 0x7f || name->p[i] == ':')
				ok = parse_fail(x->p, "Invalid header field name");
		if (!ok)
			break;
		if (fields.n > 1)
			buf_addc(label, ' ');
		imap_astring(label, *name);
		if (!parse_skip(x->p, ' '))
			break;
	}
	buf_addc(label, ')');
	section->field_count = fields.n;
	section->fields = arena_dup(x->p->arena, fields.v, fields.n * sizeof(*fields.v));
	vec_free(&fields);
	return ok && parse_char(x->p, ')');
}

static bool section_text(struct parsing *x, struct mime_section *section, struct buf *label)
{
	struct str name;
	size_t i;

	if (!parse_item_name(x->p, &name))
		return parse_fail(x->p, "Invalid section");
	for (i = 0; i < ARRAY_LEN(section_texts) && !str_ieqc(name, section_texts[i].name); i++)
		;
	if (i == ARRAY_LEN(section_texts))
		return parse_fail(x->p, "Invalid section");
	section->text = section_texts[i].text;
	if (section->text == MIME_MIME && section->number_count == 0)
		return parse_fail(x->p, "MIME needs a part number");
	if (section->number_count > 0)
		buf_addc(label, '.');
	buf_adds(label, section_texts[i].name);
	if (section->text == MIME_HEADER_FIELDS || section->text == MIME_HEADER_FIELDS_NOT)
		return field_list(x, section, label);
	return true;
}

static bool partial(struct parsing *x, struct fetch_item *item, struct buf *label)
{
	if (!parse_skip(x->p, '<'))
		return true;
	item->partial = true;
	if (!parse_number64(x->p, &item->offset) || !parse_char(x->p, '.') ||
	    !parse_number64(x->p, &item->size))
		return false;
	if (item->size == 0)
		return parse_fail(x->p, "A partial of no octets");
	buf_printf(label, "<%llu>", (unsigned long long)item->offset);
	return parse_char(x->p, '>');
}

bool fetch_parse_section(struct session *s, struct str text, struct arena *a, struct mime_section *out)
{
	AUTO_BUF struct buf label = BUF_INIT;
	struct parse p;
	struct parsing x = {s, &p, NULL};
	bool text_follows;

	*out = (struct mime_section){.text = MIME_WHOLE};
	parse_start(&p, str_of(arena_printf(a, "%.*s]", STR_FMT(text))), a);
	return part_numbers(&x, out, &label, &text_follows) &&
	       (!text_follows || section_text(&x, out, &label)) && parse_char(&p, ']') && parse_end(&p);
}

static bool body_section(struct parsing *x, bool peek)
{
	AUTO_BUF struct buf label = BUF_INIT;
	struct fetch_item *item = add(x, FETCH_SECTION);
	bool text_follows;

	if (item == NULL)
		return false;
	item->section.text = MIME_WHOLE;
	buf_adds(&label, "BODY[");
	if (!part_numbers(x, &item->section, &label, &text_follows) ||
	    (text_follows && !section_text(x, &item->section, &label)) || !parse_char(x->p, ']'))
		return false;
	buf_addc(&label, ']');
	if (!partial(x, item, &label))
		return false;
	item->label = arena_strdup(x->p->arena, buf_cstr(&label));
	if (!peek)
		x->out->sets_seen = true;
	return true;
}

/* RFC 3516 §7: section-binary is numbers only. */
static bool binary_section(struct parsing *x, enum fetch_kind kind, bool peek)
{
	AUTO_BUF struct buf label = BUF_INIT;
	struct fetch_item *item = add(x, kind);
	bool text_follows;

	if (item == NULL)
		return false;
	item->section.text = MIME_WHOLE;
	buf_adds(&label, kind == FETCH_BINARY ? "BINARY[" : "BINARY.SIZE[");
	if (!part_numbers(x, &item->section, &label, &text_follows))
		return false;
	if (text_follows || !parse_skip(x->p, ']'))
		return parse_fail(x->p, "BINARY takes part numbers only");
	buf_addc(&label, ']');
	if (kind == FETCH_BINARY && !partial(x, item, &label))
		return false;
	item->label = arena_strdup(x->p->arena, buf_cstr(&label));
	if (kind == FETCH_BINARY && !peek)
		x->out->sets_seen = true;
	return true;
}

/* ---- items ---- */
static bool old_item(struct parsing *x, size_t i)
{
	struct fetch_item *item = add(x, FETCH_SECTION);

	if (item == NULL)
		return false;
	item->section.text = old_items[i].text;
	item->label = old_items[i].name;
	if (old_items[i].sets_seen)
		x->out->sets_seen = true;
	return true;
}

/* PREVIEW [SP "(LAZY)"] (RFC 8970 §6). Who also asks without LAZY wants it. */
static bool preview(struct parsing *x)
{
	bool lazy = str_istarts(x->p->rest, STR(" (LAZY"));
	struct fetch_item *item = NULL;
	size_t i;

	for (i = 0; i < x->out->count && item == NULL; i++)
		if (x->out->items[i].kind == FETCH_PREVIEW)
			item = &x->out->items[i];
	if (item != NULL)
		item->lazy = item->lazy && lazy;
	else if ((item = add(x, FETCH_PREVIEW)) != NULL)
		item->lazy = lazy;
	else
		return false;
	if (!lazy)
		return true;
	x->p->rest = str_from(x->p->rest, 2);
	do {
		if (!parse_word(x->p, "LAZY"))
			return parse_fail(x->p, "Unknown PREVIEW modifier");
	} while (parse_skip(x->p, ' '));
	return parse_char(x->p, ')');
}

static bool one_item(struct parsing *x, struct str name)
{
	size_t i;

	if (parse_skip(x->p, '[')) {
		if (str_ieqc(name, "BODY") || str_ieqc(name, "BODY.PEEK"))
			return body_section(x, name.n > strlen("BODY"));
		if (str_ieqc(name, "BINARY") || str_ieqc(name, "BINARY.PEEK"))
			return binary_section(x, FETCH_BINARY, name.n > strlen("BINARY"));
		if (str_ieqc(name, "BINARY.SIZE"))
			return binary_section(x, FETCH_BINARY_SIZE, true);
		return parse_fail(x->p, "Unknown FETCH item");
	}
	if (str_ieqc(name, "PREVIEW"))
		return preview(x);
	for (i = 0; i < ARRAY_LEN(simple_items); i++)
		if (str_ieqc(name, simple_items[i].name))
			return add_simple(x, simple_items[i].kind);
	for (i = 0; i < ARRAY_LEN(old_items); i++)
		if (str_ieqc(name, old_items[i].name))
			return old_item(x, i);
	return parse_fail(x->p, "Unknown FETCH item");
}

static bool macro_or_item(struct parsing *x)
{
	struct str name;
	size_t i, j;

	if (!parse_item_name(x->p, &name))
		return false;
	for (i = 0; i < ARRAY_LEN(macros); i++) {
		if (!str_ieqc(name, macros[i].name))
			continue;
		for (j = 0; j < macros[i].count; j++)
			if (!add_simple(x, macros[i].items[j]))
				return false;
		return true;
	}
	return one_item(x, name);
}

static bool item_list(struct parsing *x)
{
	struct str name;

	do {
		if (!parse_item_name(x->p, &name) || !one_item(x, name))
			return false;
	} while (parse_skip(x->p, ' '));
	return parse_char(x->p, ')');
}

/* ---- modifiers (RFC 4466 §2.4, RFC 7162 §3.1.4.1, §3.2.6, RFC 9394 §3.3) ---- */
static bool modifier(struct parsing *x)
{
	struct fetch_request *r = x->out;

	if (r->changed_since == 0 && parse_word(x->p, "CHANGEDSINCE"))
		return parse_sp(x->p) && parse_modseq(x->p, &r->changed_since);
	if (!r->partial && parse_word(x->p, "PARTIAL")) {
		r->partial = true;
		return (x->s->uid || parse_fail(x->p, "PARTIAL is for UID FETCH")) &&
		       parse_partial_range(x->p, &r->range);
	}
	if (r->vanished || !parse_word(x->p, "VANISHED"))
		return parse_fail(x->p, "Unknown FETCH modifier");
	r->vanished = true;
	if (!x->s->uid)
		return parse_fail(x->p, "VANISHED is for UID FETCH");
	return x->s->qresync || parse_fail(x->p, "ENABLE QRESYNC comes first");
}

static bool modifiers(struct parsing *x)
{
	if (!parse_skip(x->p, ' '))
		return true;
	if (!parse_char(x->p, '('))
		return false;
	do {
		if (!modifier(x))
			return false;
	} while (parse_skip(x->p, ' '));
	if (!parse_char(x->p, ')'))
		return false;
	if (x->out->changed_since != 0)
		return add_simple(x, FETCH_MODSEQ);
	return !x->out->vanished || parse_fail(x->p, "VANISHED needs CHANGEDSINCE");
}

bool fetch_parse_items(struct session *s, struct parse *p, struct fetch_request *out)
{
	struct parsing x = {s, p, out};

	*out = (struct fetch_request){0};
	out->items = arena_array(p->arena, (size_t)s->o->fetch_items, sizeof(*out->items));
	return parse_char(p, '(') && item_list(&x);
}

bool fetch_parse(struct session *s, struct parse *p, struct fetch_request *out)
{
	struct parsing x = {s, p, out};

	*out = (struct fetch_request){0};
	out->items = arena_array(p->arena, (size_t)s->o->fetch_items, sizeof(*out->items));
	if (!parse_sp(p) || (s->uid && !s->uidonly && !add_simple(&x, FETCH_UID)))
		return false;
	return (parse_skip(p, '(') ? item_list(&x) : macro_or_item(&x)) && modifiers(&x) && parse_end(p);
}
