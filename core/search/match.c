/*
 * Evaluation of a program for one message. Groups are walked with a stack of their own. What a key needs of
 * the message (source, header fields, part tree) is made when the first key asks for it and kept for the
 * others.
 */
#include <mortise/driver.h>

#include "search/search.h"

#include "base/object.h"
#include "base/vec.h"
#include "charset/charset.h"
#include "search/fuzzy.h"
#include "search/text.h"
#include "base/banned.h"

#define UNKNOWN_FIELD 2 /* to be looked for in the message */
#define PIECE 32768u    /* octets that are decoded at a time */

struct field {
	struct str name, value;
	struct str folded; /* p NULL until somebody asks */
	enum comparator folded_by;
	struct field *next;
};

struct match {
	struct search_target *target;
	struct arena *arena;
	struct source *source;
	bool have_header;
	struct field *header;
	struct mime_part *root;
	struct buf decoded, utf8, folded;
	struct fuzzy fuzzy; /* of the key that is looked for, if it is a fuzzy one */
};

static int open_message(struct match *m, struct err *e)
{
	return m->source != NULL ? 0 : m->target->open(m->target->arg, &m->source, e);
}

/* ---- header keys ---- */

static int load_header(struct match *m, struct err *e)
{
	struct mime_fields *fields;
	struct mime_field f;
	struct field **end = &m->header;
	int r;

	if (m->have_header)
		return 0;
	r = open_message(m, e);
	if (r == 0)
		r = mime_fields_open(m->source, 0, UINT64_MAX, m->target->limits, m->arena, &fields, e);
	if (r != 0)
		return r;
	while (mime_fields_next(fields, &f)) {
		*end = arena_new_of(m->arena, struct field);
		(*end)->name = f.name;
		(*end)->value = f.value;
		end = &(*end)->next;
	}
	m->have_header = true;
	return 0;
}

/* Decodes and folds into m->folded. */
static struct str fold_value(struct match *m, const struct search *s, struct str value)
{
	buf_reset(&m->utf8);
	buf_reset(&m->folded);
	charset_decode_header(&m->utf8, value);
	charset_fold_by(s->comparator, &m->folded, buf_str(&m->utf8));
	return buf_str(&m->folded);
}

/* Of a fuzzy key: whether looking further is of no use. What was found counts when all has gone by. */
static bool has_folded(struct match *m, const struct search *s, struct str folded)
{
	struct matcher k;

	if (s->words != NULL)
		return fuzzy_feed(&m->fuzzy, folded) || fuzzy_break(&m->fuzzy);
	matcher_start(&k, s->folded, s->borders);
	return matcher_feed(&k, folded) || k.found;
}

static bool feed_ascii(struct matcher *k, const struct search *s, struct str plain)
{
	return s->comparator == COMPARATOR_OCTET ? matcher_feed(k, plain) : matcher_feed_ascii(k, plain);
}

/* The same of ASCII that was not folded. */
static bool has_ascii(struct match *m, const struct search *s, struct str plain)
{
	struct matcher k;

	if (s->words != NULL) {
		buf_reset(&m->folded);
		charset_fold_by(s->comparator, &m->folded, plain);
		return has_folded(m, s, buf_str(&m->folded));
	}
	matcher_start(&k, s->folded, s->borders);
	return feed_ascii(&k, s, plain) || k.found;
}

/* A text with a line end in it could be found across two values. */
static int match_folded(struct match *m, const struct search *s, struct str name, struct err *e)
{
	struct str values;
	int r = m->target->folded_field(m->target->arg, name, &values, e);

	if (r <= 0)
		return r == 0 ? UNKNOWN_FIELD : r;
	return s->folded.n == 0 ? values.n > 0 : has_folded(m, s, values);
}

static int match_field(struct match *m, const struct search *s, struct str name, struct err *e)
{
	struct field *f;
	int r;

	if (m->target->folded_field != NULL && s->comparator == COMPARATOR_UNICODE_CASEMAP &&
	    str_find(s->folded, '\n') == s->folded.n) {
		r = match_folded(m, s, name, e);
		if (r != UNKNOWN_FIELD)
			return r;
	}
	r = load_header(m, e);
	if (r != 0)
		return r;
	for (f = m->header; f != NULL; f = f->next) {
		if (!str_ieq(f->name, name))
			continue;
		if (s->folded.n == 0)
			return 1;
		if (f->folded.p == NULL || f->folded_by != s->comparator) {
			f->folded = arena_str(m->arena, fold_value(m, s, f->value));
			f->folded_by = s->comparator;
		}
		if (has_folded(m, s, f->folded))
			return 1;
	}
	return 0;
}

/* The day a clock showed, whatever its zone. */
static int64_t day_of(int64_t when, int zone)
{
	int64_t local = when + (int64_t)zone * 60;

	return (local >= 0 ? local : local - 86399) / 86400;
}

static int sent_day(struct match *m, int64_t *day, struct err *e)
{
	struct field *f;
	int64_t when;
	int zone, r = load_header(m, e);

	if (r != 0)
		return r;
	for (f = m->header; f != NULL; f = f->next) {
		if (!str_ieqc(f->name, "Date"))
			continue;
		if (!mime_date(f->value, &when, &zone))
			return 0;
		*day = day_of(when, zone);
		return 1;
	}
	return 0;
}

static int match_sent(struct match *m, const struct search *s, struct err *e)
{
	int64_t day = 0;
	int r = sent_day(m, &day, e);

	if (r <= 0)
		return r;
	return s->key == SEARCH_SENTBEFORE ? day < s->day
	       : s->key == SEARCH_SENTON   ? day == s->day
	                                   : day >= s->day;
}

/* ---- TEXT and BODY ---- */

/* Nothing of it needs decoding: no encoded words, no high octets, no designators of ISO-2022-JP. */
static bool is_plain(struct str value)
{
	size_t i;

	if (!utf8_is_ascii(value) || str_find(value, '\x1b') != value.n)
		return false;
	for (i = str_find(value, '='); i + 1 < value.n; i += 1 + str_find(str_from(value, i + 1), '='))
		if (value.p[i + 1] == '?')
			return false;
	return true;
}

/*
 * Any field of the header block [from, to): "Name: value", decoded. Those that are plain are looked through
 * together: no field has a line end of its own once it is unfolded, so one between them keeps them apart.
 */
static int match_block(struct match *m, const struct search *s, uint64_t from, uint64_t to, struct err *e)
{
	struct arena_mark mark = arena_mark(m->arena);
	struct mime_fields *fields;
	struct mime_field f;
	int r = mime_fields_open(m->source, from, to, m->target->limits, m->arena, &fields, e);
	struct buf lines = BUF_INIT;
	bool found = false;

	while (r == 0 && !found && mime_fields_next(fields, &f)) {
		size_t start = lines.n;

		buf_addstr(&lines, f.name);
		buf_adds(&lines, ": ");
		buf_addstr(&lines, f.value);
		if (is_plain(f.value)) {
			buf_addc(&lines, '\n');
		} else {
			found = has_folded(m, s, fold_value(m, s, str_from(buf_str(&lines), start)));
			buf_truncate(&lines, start);
		}
	}
	if (r == 0 && !found && str_find(s->folded, '\n') == s->folded.n) {
		found = has_ascii(m, s, buf_str(&lines));
	}
	buf_free(&lines);
	arena_release(m->arena, mark);
	return r != 0 ? r : found;
}

/* One piece of a body through transfer encoding, charset and folding; an empty one ends it. */
static bool feed_piece(struct match *m, const struct search *s, struct mime_decoder *d,
    struct charset_stream *cs, struct matcher *k, struct str piece)
{
	bool ends = piece.n == 0, plain;

	buf_reset(&m->decoded);
	buf_reset(&m->utf8);
	buf_reset(&m->folded);
	if (ends)
		mime_decoder_flush(d, &m->decoded);
	else if (!mime_decoder_copies(d))
		mime_decoder_feed(d, piece, &m->decoded);
	if (ends || !mime_decoder_copies(d))
		piece = buf_str(&m->decoded);
	plain = !ends && charset_stream_plain(cs, piece);
	if (plain && s->words == NULL)
		return feed_ascii(k, s, piece);
	if (!plain) {
		if (piece.n != 0)
			charset_stream_feed(cs, piece, &m->utf8);
		if (ends)
			charset_stream_feed(cs, STR_NONE, &m->utf8);
		piece = buf_str(&m->utf8);
	}
	charset_fold_by(s->comparator, &m->folded, piece);
	if (s->words != NULL)
		k->found = fuzzy_feed(&m->fuzzy, buf_str(&m->folded)) || (ends && fuzzy_break(&m->fuzzy));
	else
		matcher_feed(k, buf_str(&m->folded));
	return k->found;
}

static struct charset_stream *stream_of(const struct mime_part *part)
{
	struct charset_stream *cs = NULL;
	size_t i;

	for (i = 0; i < part->parameters.n && cs == NULL; i++)
		if (str_ieqc(part->parameters.v[i].name, "charset"))
			cs = charset_stream_new(part->parameters.v[i].value);
	return cs != NULL ? cs : charset_stream_new(STR("US-ASCII"));
}

static int match_leaf(struct match *m, const struct search *s, const struct mime_part *part, struct err *e)
{
	struct mime_decoder *d = mime_decoder_new(part->encoding);
	struct charset_stream *cs = stream_of(part);
	uint64_t at = part->body_start;
	struct matcher k;
	int r = 0;

	matcher_start(&k, s->folded, s->borders);
	while (r == 0 && at < part->end && !k.found) {
		struct str chunk;

		r = source_chunk(m->source, at, &chunk, e);
		if (r != 0 || chunk.n == 0)
			break;
		if (chunk.n > part->end - at)
			chunk.n = (size_t)(part->end - at);
		chunk = str_sub(chunk, 0, PIECE);
		at += chunk.n;
		feed_piece(m, s, d, cs, &k, chunk);
	}
	if (r == 0 && !k.found)
		feed_piece(m, s, d, cs, &k, STR_NONE);
	mime_decoder_free(&d);
	charset_stream_free(&cs);
	return r != 0 ? r : k.found;
}

/* Next part of the tree, parents first; NULL at the end. */
static const struct mime_part *next_part(const struct mime_part *part)
{
	if (part->child != NULL)
		return part->child;
	while (part != NULL && part->next == NULL)
		part = part->parent;
	return part != NULL ? part->next : NULL;
}

static int match_part(struct match *m, const struct search *s, const struct mime_part *part, struct err *e)
{
	int r = 0;

	if (part->parent != NULL && part->body_start > part->header_start)
		r = match_block(m, s, part->header_start, part->body_start, e);
	if (r == 0 &&
	    (part->kind == MIME_TEXT || (part->kind == MIME_LEAF && str_ieqc(part->type, "MESSAGE"))))
		r = match_leaf(m, s, part, e);
	return r;
}

static int match_body(struct match *m, const struct search *s, struct err *e)
{
	const struct mime_part *part;
	int r = open_message(m, e);

	if (r == 0 && s->folded.n == 0)
		return 1;
	if (r == 0 && m->root == NULL)
		r = mime_parse(m->source, m->target->limits, m->arena, &m->root, e);
	for (part = m->root; r == 0 && part != NULL; part = next_part(part))
		r = match_part(m, s, part, e);
	return r;
}

static int match_text(struct match *m, const struct search *s, struct err *e)
{
	int r = open_message(m, e);

	if (r == 0)
		r = match_block(m, s, 0, UINT64_MAX, e);
	return r != 0 ? r : match_body(m, s, e);
}

/* ---- single keys ---- */

/* RFC 8514 §4.3 */
static bool match_saved(const struct search *s, const struct search_target *t)
{
	int64_t day =
	    t->save_dates && t->save_date != 0 ? day_of(t->save_date, 0) : day_of(t->internal_date, t->zone);

	return s->key == SEARCH_SAVEDBEFORE ? day < s->day
	       : s->key == SEARCH_SAVEDON   ? day == s->day
	                                    : day >= s->day;
}

static bool match_record(const struct search *s, const struct search_target *t)
{
	int64_t day = day_of(t->internal_date, t->zone), age = t->now - t->internal_date;

	switch (s->key) {
	case SEARCH_ALL:
		return true;
	case SEARCH_SEQUENCE:
		return set_has(&s->set, t->sequence);
	case SEARCH_UID:
		return set_has(&s->set, t->uid);
	case SEARCH_FLAG:
		return (t->flags & s->flag) != 0;
	case SEARCH_KEYWORD:
		return t->has_keyword != NULL && t->has_keyword(t->arg, s->text);
	case SEARCH_NEW:
		return t->recent && (t->flags & MORTISE_FLAG_SEEN) == 0;
	case SEARCH_RECENT:
		return t->recent;
	case SEARCH_LARGER:
		return t->octets > s->number;
	case SEARCH_SMALLER:
		return t->octets < s->number;
	case SEARCH_MODSEQ:
		return t->modseq >= s->number;
	case SEARCH_BEFORE:
		return day < s->day;
	case SEARCH_ON:
		return day == s->day;
	case SEARCH_SINCE:
		return day >= s->day;
	case SEARCH_SAVEDBEFORE:
	case SEARCH_SAVEDON:
	case SEARCH_SAVEDSINCE:
		return match_saved(s, t);
	case SEARCH_SAVEDATESUPPORTED:
		return t->save_dates;
	case SEARCH_OLDER:
		return age >= 0 && (uint64_t)age >= s->number;
	case SEARCH_YOUNGER:
		return age < 0 || (uint64_t)age <= s->number;
	default:
		UNREACHABLE("search key");
	}
}

static int match_exact(struct match *m, const struct search *s, struct err *e)
{
	switch (s->key) {
	case SEARCH_SENTBEFORE:
	case SEARCH_SENTON:
	case SEARCH_SENTSINCE:
		return match_sent(m, s, e);
	case SEARCH_HEADER:
	case SEARCH_ADDRESS:
		return match_field(m, s, s->name, e);
	case SEARCH_SUBJECT:
		return match_field(m, s, STR("subject"), e);
	case SEARCH_EMAILID:
	case SEARCH_THREADID:
		return m->target->has_object_id != NULL
		           ? m->target->has_object_id(m->target->arg, s->key, s->text, e)
		           : 0;
	case SEARCH_BODY:
		return match_body(m, s, e);
	case SEARCH_TEXT:
		return match_text(m, s, e);
	default:
		return match_record(s, m->target);
	}
}

static int match_key(struct match *m, const struct search *s, struct err *e)
{
	unsigned relevancy;
	int r;

	if (s->words == NULL)
		return match_exact(m, s, e);
	fuzzy_start(&m->fuzzy, s->words);
	r = match_exact(m, s, e);
	if (r < 0)
		return r;
	relevancy = fuzzy_relevancy(&m->fuzzy);
	if (relevancy == 0)
		return 0;
	m->target->relevancy += relevancy;
	m->target->fuzzy_matches++;
	return 1;
}

/* ---- groups ---- */

static bool is_group(const struct search *s)
{
	return s->key == SEARCH_AND || s->key == SEARCH_OR || s->key == SEARCH_NOT;
}

struct frame {
	const struct search *group;
	const struct search *next; /* child to be asked */
};

/* Whether a child's value settles its group, and what the group is then. */
static bool settles(enum search_key group, bool child, bool *value)
{
	*value = group == SEARCH_NOT ? !child : child;
	return group == SEARCH_NOT || child == (group == SEARCH_OR);
}

/* A key, or NOT of one. */
static bool is_simple(const struct search *s)
{
	return !is_group(s) || (s->key == SEARCH_NOT && s->child != NULL && !is_group(s->child));
}

static int match_simple(struct match *m, const struct search *s, struct err *e)
{
	int r = match_key(m, is_group(s) ? s->child : s, e);

	return is_group(s) && r >= 0 ? r == 0 : r;
}

static bool is_list(const struct search *root)
{
	const struct search *s = root->key == SEARCH_AND ? root->child : NULL;

	while (s != NULL && is_simple(s))
		s = s->next;
	return root->key == SEARCH_AND && s == NULL;
}

/* What nearly all programs are, without a stack. */
static int evaluate_list(struct match *m, const struct search *root, struct err *e)
{
	const struct search *s;
	int r = 1;

	for (s = root->child; s != NULL && r > 0; s = s->next)
		r = match_simple(m, s, e);
	return r;
}

static int evaluate(struct match *m, const struct search *root, struct err *e)
{
	VEC(struct frame) stack = VEC_INIT;
	const struct search *s = root;
	int r = 0;

	for (;;) {
		/* Down to a key, or to a group with nothing in it. */
		while (is_group(s) && s->child != NULL) {
			*vec_push(&stack) = (struct frame){s, s->child->next};
			s = s->child;
		}
		r = is_group(s) ? s->key == SEARCH_AND : match_key(m, s, e);
		/* Up, as long as what is known is enough. */
		s = NULL;
		while (r >= 0 && s == NULL && stack.n != 0) {
			struct frame *f = vec_last(&stack);
			bool value;

			if (settles(f->group->key, r != 0, &value) || f->next == NULL) {
				r = value;
				stack.n--;
			} else {
				s = f->next;
				f->next = s->next;
			}
		}
		if (s == NULL)
			break;
	}
	vec_free(&stack);
	return r;
}

#define UNDECIDED 2

/* By keys that look at the record only, which come first: 1, 0, or UNDECIDED. */
static int decide_by_record(const struct search *root, const struct search_target *t)
{
	const struct search *s;

	if (root->key != SEARCH_AND)
		return is_group(root) || root->cost != 0 ? UNDECIDED : match_record(root, t);
	for (s = root->child; s != NULL; s = s->next) {
		const struct search *key = s->key == SEARCH_NOT && s->child != NULL ? s->child : s;

		if (is_group(key) || key->cost != 0)
			return UNDECIDED;
		if (match_record(key, t) == (key != s))
			return 0;
	}
	return 1;
}

static int match_message(
    const struct search *s, struct search_target *t, struct arena *scratch, struct err *e)
{
	struct match m = {.target = t, .arena = scratch};
	int r = is_list(s) ? evaluate_list(&m, s, e) : evaluate(&m, s, e);

	source_close(&m.source);
	buf_free(&m.decoded);
	buf_free(&m.utf8);
	buf_free(&m.folded);
	return r;
}

int search_match(const struct search *s, struct search_target *t, struct arena *scratch, struct err *e)
{
	int r = decide_by_record(s, t);

	return r != UNDECIDED ? r : match_message(s, t, scratch, e);
}
