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

bool matcher_feed(struct matcher *m, struct str text)
{
	const char *needle = m->needle.p;
	size_t i = 0, state = m->state;

	while (i < text.n && !m->found) {
		if (state == 0) {
			i += str_find(str_from(text, i), needle[0]);
			if (i == text.n)
				break;
		}
		while (state != 0 && text.p[i] != needle[state])
			state = m->borders[state - 1];
		state += text.p[i] == needle[state];
		i++;
		m->found = state == m->needle.n;
	}
	m->state = m->found ? 0 : state;
	return m->found;
}
