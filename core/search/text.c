#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "search/text.h"

#include "base/object.h"
#include "base/banned.h"

const uint32_t *matcher_borders(struct arena *a, struct str needle)
{
	uint32_t *borders, length = 0;
	size_t i;

	ASSERT(needle.n < UINT32_MAX);
	borders = arena_array(a, needle.n + 1, sizeof(borders[0]));
	for (i = 1; i < needle.n; i++) {
		while (length != 0 && needle.p[i] != needle.p[length])
			length = borders[length - 1];
		length += needle.p[i] == needle.p[length];
		borders[i] = length;
	}
	return borders;
}

void matcher_start(struct matcher *m, struct str needle, const uint32_t *borders)
{
	ASSERT(needle.n == 0 || borders != NULL);
	m->needle = needle;
	m->borders = borders;
	m->state = 0;
	m->found = needle.n == 0;
}

#define PLACES 16u /* that are looked at together */

/* The first two octets of the needle, each in both of its forms. */
struct beginning {
	char first[2], second[2];
	bool has_second;
};

static struct beginning beginning_of(struct str needle, bool fold)
{
	char a = needle.p[0], b = needle.n > 1 ? needle.p[1] : '\0';

	return (struct beginning){.first = {a, fold ? ascii_lower(a) : a},
	    .second = {b, fold ? ascii_lower(b) : b},
	    .has_second = needle.n > 1};
}

#ifdef __SSE2__
static __m128i equal(const char *p, const char octets[2])
{
	__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);

	return _mm_or_si128(
	    _mm_cmpeq_epi8(v, _mm_set1_epi8(octets[0])), _mm_cmpeq_epi8(v, _mm_set1_epi8(octets[1])));
}

/* From place i on, the first where it may begin, or one near the end of the text. */
static size_t skip_places(const struct beginning *b, struct str text, size_t i)
{
	for (; text.n - i > PLACES; i += PLACES) {
		__m128i here = equal(text.p + i, b->first);
		unsigned places;

		if (b->has_second)
			here = _mm_and_si128(here, equal(text.p + i + 1, b->second));
		places = (unsigned)_mm_movemask_epi8(here);
		if (places != 0)
			return i + (size_t)__builtin_ctz(places);
	}
	return i;
}
#else
static size_t skip_places(const struct beginning *b UNUSED, struct str text UNUSED, size_t i)
{
	return i;
}
#endif

/* The first place from i on where it may begin; the end when there is none. */
static size_t next_place(const struct beginning *b, struct str text, size_t i)
{
	for (i = skip_places(b, text, i); i < text.n; i++)
		if (text.p[i] == b->first[0] || text.p[i] == b->first[1])
			break;
	return i;
}

static bool feed(struct matcher *m, struct str text, bool fold)
{
	const char *needle = m->needle.p;
	size_t i = 0, state = m->state;
	struct beginning b;

	if (m->found)
		return true;
	b = beginning_of(m->needle, fold);
	while (i < text.n && !m->found) {
		char c;

		if (state == 0) {
			i = next_place(&b, text, i);
			if (i == text.n)
				break;
		}
		c = fold ? ascii_upper(text.p[i]) : text.p[i];
		while (state != 0 && c != needle[state])
			state = m->borders[state - 1];
		state += c == needle[state];
		i++;
		m->found = state == m->needle.n;
	}
	m->state = m->found ? 0 : state;
	return m->found;
}

bool matcher_feed(struct matcher *m, struct str text)
{
	return feed(m, text, false);
}

bool matcher_feed_ascii(struct matcher *m, struct str text)
{
	return feed(m, text, true);
}
