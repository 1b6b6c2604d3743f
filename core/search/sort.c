#include <stdlib.h>

#include "search/sort.h"

#include "base/object.h"
#include "base/banned.h"

/* What one message has for one criterion. */
union value {
	uint64_t number;
	struct str text;
};

struct entry {
	uint64_t prefix; /* of the first criterion, its order reversed when the criterion is */
	uint32_t at;     /* place in the mailbox's order */
	uint32_t number;
};

struct sorter {
	struct arena *arena;
	struct sort_program program;
	struct entry *entries;
	union value *values; /* [message][criterion] */
	size_t count, most;
};

void sort_program_add(struct sort_program *p, enum sort_key key, bool reverse)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		if (p->criteria[i].key == key)
			return;
	p->criteria[p->count++] = (struct sort_criterion){key, reverse};
}

bool sort_has_key(const struct sort_program *p, enum sort_key key)
{
	size_t i;

	for (i = 0; i < p->count && p->criteria[i].key != key; i++)
		;
	return i < p->count;
}

bool sort_needs_record(const struct sort_program *p)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		if (p->criteria[i].key != SORT_ARRIVAL && p->criteria[i].key != SORT_SIZE &&
		    p->criteria[i].key != SORT_RELEVANCY)
			return true;
	return false;
}

int64_t sort_sent_date(const struct sort_message *m)
{
	return m->record != NULL && m->record->has_date ? m->record->date : m->arrival;
}

/* Signed numbers in the order of unsigned ones. */
static uint64_t ordered(int64_t v)
{
	return (uint64_t)v ^ (UINT64_C(1) << 63);
}

static bool is_text(enum sort_key key, enum sort_text *text)
{
	static const struct {
		bool is;
		enum sort_text text;
	} texts[SORT_KEYS] = {
	    [SORT_CC] = {true, SORT_TEXT_CC},
	    [SORT_DISPLAYFROM] = {true, SORT_TEXT_DISPLAYFROM},
	    [SORT_DISPLAYTO] = {true, SORT_TEXT_DISPLAYTO},
	    [SORT_FROM] = {true, SORT_TEXT_FROM},
	    [SORT_SUBJECT] = {true, SORT_TEXT_SUBJECT},
	    [SORT_TO] = {true, SORT_TEXT_TO},
	};

	*text = texts[key].text;
	return texts[key].is;
}

static union value value_of(struct sorter *s, enum sort_key key, const struct sort_message *m)
{
	union value v = {.number = 0};
	enum sort_text text;

	if (is_text(key, &text)) {
		struct str t = m->record != NULL ? m->record->texts[text] : STR_NONE;

		v.text = str_mem(t.n > 0 ? arena_dup(s->arena, t.p, t.n) : "", t.n);
	} else if (key == SORT_ARRIVAL) {
		v.number = ordered(m->arrival);
	} else if (key == SORT_DATE) {
		v.number = ordered(sort_sent_date(m));
	} else if (key == SORT_RELEVANCY) {
		v.number = 100 - m->relevancy;
	} else {
		v.number = m->octets;
	}
	return v;
}

static uint64_t prefix_of(const struct sort_criterion *c, const union value *v)
{
	uint64_t prefix = 0;
	enum sort_text text;
	size_t i;

	if (!is_text(c->key, &text))
		prefix = v->number;
	else
		for (i = 0; i < 8; i++)
			prefix = prefix << 8 | (i < v->text.n ? (unsigned char)v->text.p[i] : 0);
	return c->reverse ? ~prefix : prefix;
}

struct sorter *sorter_new(struct arena *a, const struct sort_program *p, size_t most)
{
	struct sorter *s = arena_new_of(a, struct sorter);

	ASSERT(p->count > 0);
	*s = (struct sorter){.arena = a, .program = *p, .most = most};
	s->entries = arena_array(a, most, sizeof(*s->entries));
	s->values = arena_array(a, most * p->count, sizeof(*s->values));
	return s;
}

void sorter_add(struct sorter *s, const struct sort_message *m)
{
	union value *values = &s->values[s->count * s->program.count];
	size_t i;

	ASSERT(s->count < s->most);
	for (i = 0; i < s->program.count; i++)
		values[i] = value_of(s, s->program.criteria[i].key, m);
	s->entries[s->count] = (struct entry){.prefix = prefix_of(&s->program.criteria[0], &values[0]),
	    .at = (uint32_t)s->count,
	    .number = m->number};
	s->count++;
}

static int compare_values(const struct sort_criterion *c, const union value *a, const union value *b)
{
	enum sort_text text;
	int r;

	if (is_text(c->key, &text))
		r = str_cmp(a->text, b->text);
	else
		r = a->number < b->number ? -1 : a->number > b->number;
	return c->reverse ? (r < 0) - (r > 0) : r;
}

static int compare(const void *x, const void *y, void *arg)
{
	const struct sorter *s = arg;
	const struct entry *a = x, *b = y;
	size_t count = s->program.count, i;

	if (a->prefix != b->prefix)
		return a->prefix < b->prefix ? -1 : 1;
	for (i = 0; i < count; i++) {
		int r = compare_values(
		    &s->program.criteria[i], &s->values[a->at * count + i], &s->values[b->at * count + i]);

		if (r != 0)
			return r;
	}
	return a->at < b->at ? -1 : a->at > b->at;
}

const uint32_t *sorter_sort(struct sorter *s, size_t *count)
{
	uint32_t *numbers = arena_array(s->arena, s->count, sizeof(*numbers));
	size_t i;

	qsort_r(s->entries, s->count, sizeof(*s->entries), compare, s);
	for (i = 0; i < s->count; i++)
		numbers[i] = s->entries[i].number;
	*count = s->count;
	return numbers;
}
