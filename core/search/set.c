/*
 * Number sets. A parsed set is sorted and its ranges are merged, whatever the client wrote: `1:*` a hundred
 * thousand times is one range.
 */
#include "search/search.h"

#include "base/object.h"
#include "base/banned.h"

/* seq-number = nz-number / "*". Takes it off the front of *s. */
static bool take_number(struct str *s, uint32_t star, uint32_t *out)
{
	size_t i = 0;

	if (s->n != 0 && s->p[0] == '*') {
		*out = star;
		*s = str_from(*s, 1);
		return true;
	}
	while (i < s->n && ascii_digit(s->p[i]))
		i++;
	if (i == 0 || s->p[0] == '0' || !str_u32(str_sub(*s, 0, i), out))
		return false;
	*s = str_from(*s, i);
	return true;
}

static bool take_range(struct str *s, uint32_t star, struct set_range *r)
{
	if (!take_number(s, star, &r->low))
		return false;
	r->high = r->low;
	if (s->n != 0 && s->p[0] == ':') {
		*s = str_from(*s, 1);
		if (!take_number(s, star, &r->high))
			return false;
	}
	if (r->low > r->high) {
		uint32_t swap = r->low;

		r->low = r->high;
		r->high = swap;
	}
	return true;
}

static int by_low(const void *a, const void *b)
{
	const struct set_range *x = a, *y = b;

	if (x->low != y->low)
		return x->low < y->low ? -1 : 1;
	return x->high < y->high ? -1 : x->high > y->high;
}

void set_sort(struct number_set *s)
{
	size_t i, kept = 0;

	if (s->n == 0)
		return;
	qsort(s->v, s->n, sizeof(s->v[0]), by_low);
	for (i = 1; i < s->n; i++) {
		struct set_range *last = &s->v[kept];

		if (last->high != UINT32_MAX && s->v[i].low > last->high + 1)
			s->v[++kept] = s->v[i];
		else if (s->v[i].high > last->high)
			last->high = s->v[i].high;
	}
	s->n = kept + 1;
}

bool set_parse(struct arena *a, struct str text, uint32_t star, struct number_set *out)
{
	size_t i, count = 1;

	*out = (struct number_set){NULL, 0};
	for (i = 0; i < text.n; i++)
		count += text.p[i] == ',';
	out->v = arena_array(a, count, sizeof(out->v[0]));
	for (;;) {
		struct set_range r;

		if (!take_range(&text, star, &r))
			return false;
		/* star 0: the mailbox is empty, `*` is no number in it. */
		if (r.high != 0) {
			ASSERT(out->n < count);
			r.low = r.low != 0 ? r.low : 1;
			out->v[out->n++] = r;
		}
		if (text.n == 0)
			break;
		if (text.p[0] != ',')
			return false;
		text = str_from(text, 1);
	}
	set_sort(out);
	return true;
}

bool set_has(const struct number_set *s, uint32_t n)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->v[middle].high < n)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->n && s->v[low].low <= n;
}

void set_write(struct buf *out, const struct number_set *s)
{
	size_t i;

	for (i = 0; i < s->n; i++) {
		if (i != 0)
			buf_addc(out, ',');
		buf_addu(out, s->v[i].low);
		if (s->v[i].high != s->v[i].low) {
			buf_addc(out, ':');
			buf_addu(out, s->v[i].high);
		}
	}
}

void set_add_range(struct arena *a, struct number_set *s, size_t *cap, uint32_t low, uint32_t high)
{
	struct set_range *last = s->n != 0 ? &s->v[s->n - 1] : NULL;

	ASSERT(low != 0 && low <= high);
	if (last != NULL && low >= last->high && low - last->high <= 1) {
		last->high = high;
		return;
	}
	if (s->n == *cap) {
		struct set_range *more;

		*cap = *cap != 0 ? *cap * 2 : 8;
		more = arena_array(a, *cap, sizeof(more[0]));
		if (s->n != 0)
			memcpy(more, s->v, s->n * sizeof(more[0]));
		s->v = more;
	}
	s->v[s->n++] = (struct set_range){low, high};
}

void set_add(struct arena *a, struct number_set *s, size_t *cap, uint32_t n)
{
	set_add_range(a, s, cap, n, n);
}

void set_both(struct arena *a, const struct number_set *x, const struct number_set *y, struct number_set *out)
{
	struct number_set both = {NULL, 0};
	size_t i = 0, j = 0, cap = 0;

	while (i < x->n && j < y->n) {
		uint32_t low = x->v[i].low > y->v[j].low ? x->v[i].low : y->v[j].low;
		uint32_t high = x->v[i].high < y->v[j].high ? x->v[i].high : y->v[j].high;

		if (low <= high)
			set_add_range(a, &both, &cap, low, high);
		if (x->v[i].high < y->v[j].high)
			i++;
		else
			j++;
	}
	*out = both;
}

void set_without(
    struct arena *a, const struct number_set *x, const struct number_set *y, struct number_set *out)
{
	struct number_set rest = {NULL, 0};
	size_t i, j = 0, cap = 0;

	for (i = 0; i < x->n; i++) {
		uint64_t low = x->v[i].low, high = x->v[i].high; /* low may go one beyond 32 bits */

		for (; j < y->n && y->v[j].low <= high; j++) {
			if (y->v[j].low > low)
				set_add_range(a, &rest, &cap, (uint32_t)low, y->v[j].low - 1);
			if (y->v[j].high >= low)
				low = (uint64_t)y->v[j].high + 1;
			if (low > high)
				break; /* this one may reach into the next range */
		}
		if (low <= high)
			set_add_range(a, &rest, &cap, (uint32_t)low, (uint32_t)high);
	}
	*out = rest;
}

uint64_t set_count(const struct number_set *s)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < s->n; i++)
		n += (uint64_t)s->v[i].high - s->v[i].low + 1;
	return n;
}

void set_slice(
    struct arena *a, const struct number_set *s, uint64_t from, uint64_t to, struct number_set *out)
{
	struct number_set slice = {0};
	uint64_t before = 0; /* members of the ranges before this one */
	size_t cap = 0, i;

	for (i = 0; i < s->n && before < to; i++) {
		uint64_t n = (uint64_t)s->v[i].high - s->v[i].low + 1;
		uint64_t first = from > before ? from - before : 0, end = to - before < n ? to - before : n;

		if (first < end)
			set_add_range(a, &slice, &cap, s->v[i].low + (uint32_t)first,
			    s->v[i].low + (uint32_t)(end - 1));
		before += n;
	}
	*out = slice;
}
