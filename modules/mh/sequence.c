/*
 * sequence.c: the text of .mh_sequences.
 *
 *     cur: 7
 *     unseen: 3 5-9
 *     project: 1-2
 *
 * A sequence is a set of ranges. A line goes on in the next one when that begins with white space. What is
 * not changed is written back octet for octet; what is no number in a sequence is left out of one that is
 * changed, as MH programs do. A name may be there twice: the message is in the sequence when it is in either.
 * Time and memory are in proportion to the text, whatever the ranges say.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "box.h"

#define OURS 3 /* sequences that may have to be made */

static int by_first(const void *a, const void *b)
{
	uint32_t p = ((const struct mh_range *)a)->first, q = ((const struct mh_range *)b)->first;

	return p < q ? -1 : p > q;
}

/* In order, and what touches becomes one. */
static void tidy(struct mh_sequence *q)
{
	size_t i, n = 0;

	if (q->count > 1)
		qsort(q->ranges, q->count, sizeof(*q->ranges), by_first);
	for (i = 0; i < q->count; i++) {
		struct mh_range *last = n > 0 ? &q->ranges[n - 1] : NULL;

		if (last == NULL || (last->last != UINT32_MAX && q->ranges[i].first > last->last + 1))
			q->ranges[n++] = q->ranges[i];
		else if (q->ranges[i].last > last->last)
			last->last = q->ranges[i].last;
	}
	q->count = n;
}

/* ---- reading ---- */

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static uint32_t number_at(const char **p, const char *end)
{
	uint64_t n = 0;

	for (; *p < end && digit(**p); ++*p)
		if (n <= UINT32_MAX)
			n = n * 10 + (uint64_t)(**p - '0');
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

/* "3" or "5-9" with white space behind it; false: something else, skipped. */
static bool range_at(const char **at, const char *end, struct mh_range *out)
{
	const char *p = *at;
	bool good = digit(*p);

	out->first = out->last = number_at(&p, end);
	if (good && p + 1 < end && *p == '-' && digit(p[1])) {
		p++;
		out->last = number_at(&p, end);
	}
	good = good && (p == end || blank(*p)) && out->first > 0 && out->first <= out->last;
	while (p < end && !blank(*p))
		p++;
	*at = p;
	return good;
}

static bool parse_ranges(struct mh_sequence *q, const char *p, const char *end)
{
	const char *c;
	size_t words = 0;

	for (c = p; c < end; c++)
		words += !blank(*c) && (c == p || blank(c[-1]));
	q->ranges = calloc(words + 1, sizeof(*q->ranges));
	if (q->ranges == NULL)
		return false;
	while (p < end) {
		if (blank(*p))
			p++;
		else if (range_at(&p, end, &q->ranges[q->count]))
			q->count++;
	}
	tidy(q);
	return true;
}

static const char *line_end(const char *p, const char *end)
{
	const char *feed = memchr(p, '\n', (size_t)(end - p));

	return feed != NULL ? feed + 1 : end;
}

bool mh_sequences_parse(struct mh_sequences *s, char *text, size_t size)
{
	const char *p = text, *end = text + size;
	size_t lines = 1, i;

	*s = (struct mh_sequences){.text = text};
	for (i = 0; i < size; i++)
		lines += text[i] == '\n';
	s->v = calloc(lines + OURS, sizeof(*s->v));
	if (s->v == NULL)
		return false;
	while (p < end) {
		struct mh_sequence *q = &s->v[s->count++];
		const char *next = line_end(p, end), *colon = memchr(p, ':', (size_t)(next - p));

		while (next < end && (*next == ' ' || *next == '\t'))
			next = line_end(next, end);
		q->raw = p;
		q->raw_size = (size_t)(next - p);
		if (colon != NULL && !blank(*p)) {
			q->name = p;
			q->name_size = (size_t)(colon - p);
			while (q->name_size > 0 && blank(p[q->name_size - 1]))
				q->name_size--;
			if (!parse_ranges(q, colon + 1, next))
				return false;
		}
		p = next;
	}
	return true;
}

void mh_sequences_free(struct mh_sequences *s)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		free(s->v[i].ranges);
	free(s->v);
	free(s->text);
	*s = (struct mh_sequences){0};
}

static bool is(const struct mh_sequence *q, const char *name)
{
	return q->name != NULL && strlen(name) == q->name_size && memcmp(q->name, name, q->name_size) == 0;
}

/* The first range that ends at `number` or behind it. */
static size_t range_for(const struct mh_sequence *q, uint32_t number)
{
	size_t low = 0, high = q->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (q->ranges[middle].last < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool contains(const struct mh_sequence *q, uint32_t number)
{
	size_t i = range_for(q, number);

	return i < q->count && q->ranges[i].first <= number;
}

bool mh_sequences_has(const struct mh_sequences *s, const char *name, uint32_t number)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		if (is(&s->v[i], name) && contains(&s->v[i], number))
			return true;
	return false;
}

/* ---- changing ---- */

static struct mh_sequence *named(struct mh_sequences *s, const char *name)
{
	struct mh_sequence *q;
	size_t i;

	for (i = 0; i < s->count; i++)
		if (is(&s->v[i], name))
			return &s->v[i];
	q = &s->v[s->count++]; /* there is room for ours, see mh_sequences_parse */
	q->name = name;
	q->name_size = strlen(name);
	return q;
}

bool mh_sequences_add(struct mh_sequences *s, const char *name, const uint32_t *numbers, size_t count)
{
	struct mh_sequence *q;
	struct mh_range *more;
	size_t i, n;

	if (count == 0)
		return true;
	q = named(s, name);
	more = realloc(q->ranges, (q->count + count) * sizeof(*more));
	if (more == NULL)
		return false;
	q->ranges = more;
	n = q->count;
	for (i = 0; i < count; i++)
		if (!mh_sequences_has(s, name, numbers[i]))
			q->ranges[n++] = (struct mh_range){numbers[i], numbers[i]};
	q->changed = q->changed || n > q->count;
	q->count = n;
	tidy(q);
	return true;
}

static bool take_out(struct mh_sequence *q, const uint32_t *numbers, size_t count)
{
	struct mh_range *left;
	size_t i, at = 0, n = 0;
	bool touched = false;

	for (i = 0; i < count && !touched; i++)
		touched = contains(q, numbers[i]);
	if (!touched)
		return true;
	left = calloc(q->count + count, sizeof(*left));
	if (left == NULL)
		return false;
	for (i = 0; i < q->count; i++) {
		struct mh_range r = q->ranges[i];
		bool empty = false;

		while (at < count && numbers[at] < r.first)
			at++;
		for (; at < count && numbers[at] <= r.last && !empty; at++) {
			if (numbers[at] > r.first)
				left[n++] = (struct mh_range){r.first, numbers[at] - 1};
			empty = numbers[at] == r.last;
			r.first = numbers[at] + !empty;
		}
		if (!empty)
			left[n++] = r;
	}
	free(q->ranges);
	q->ranges = left;
	q->count = n;
	q->changed = true;
	return true;
}

bool mh_sequences_drop(struct mh_sequences *s, const char *name, const uint32_t *numbers, size_t count)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		if (s->v[i].name != NULL &&
		    (name != ALL_SEQUENCES ? is(&s->v[i], name) : !is(&s->v[i], "cur")) &&
		    !take_out(&s->v[i], numbers, count))
			return false;
	return true;
}

bool mh_sequences_changed(const struct mh_sequences *s)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		if (s->v[i].changed)
			return true;
	return false;
}

static void write_ranges(FILE *out, const struct mh_sequence *q)
{
	size_t i;

	fwrite(q->name, 1, q->name_size, out);
	fputc(':', out);
	for (i = 0; i < q->count; i++)
		if (q->ranges[i].first == q->ranges[i].last)
			fprintf(out, " %" PRIu32, q->ranges[i].first);
		else
			fprintf(out, " %" PRIu32 "-%" PRIu32, q->ranges[i].first, q->ranges[i].last);
	fputc('\n', out);
}

bool mh_sequences_text(const struct mh_sequences *s, char **text, size_t *size)
{
	FILE *out = open_memstream(text, size);
	size_t i;

	if (out == NULL)
		return false;
	for (i = 0; i < s->count; i++) {
		const struct mh_sequence *q = &s->v[i];

		if (q->changed && q->count > 0)
			write_ranges(out, q);
		else if (!q->changed && q->raw_size > 0) {
			fwrite(q->raw, 1, q->raw_size, out);
			if (q->raw[q->raw_size - 1] != '\n')
				fputc('\n', out);
		}
	}
	return fclose(out) == 0;
}
