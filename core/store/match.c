/*
 * match.c: LIST patterns.
 *
 * A pattern is run as a set of positions that moves along the name octet by octet, so the time is name ×
 * pattern whatever the pattern is ("*%*%*%…"). Runs of wildcards are one wildcard; what then is still longer
 * than any name could match is not run at all. The same set answers whether anything below a prefix could
 * match, which keeps LIST out of directories that cannot matter.
 */
#include "store/store_int.h"
#include "base/banned.h"

static bool wildcard(char c)
{
	return c == '*' || c == '%';
}

static void add(struct pattern *p, struct str s, size_t *literals)
{
	size_t i;

	for (i = 0; i < s.n && !p->never; i++) {
		char c = s.p[i];

		if (wildcard(c) && p->n > 0 && wildcard(p->text[p->n - 1])) {
			if (c == '*')
				p->text[p->n - 1] = '*';
			continue;
		}
		if (!wildcard(c) && ++*literals > NAME_LIMIT)
			p->never = true;
		else
			p->text[p->n++] = c;
	}
}

/* A pattern that begins at a root of its own has no use for the reference. */
static bool needs_reference(const char *pattern)
{
	return pattern[0] != '#' && pattern[0] != '/' && pattern[0] != '~';
}

const char *list_pattern(const char *reference, const char *pattern, struct arena *a)
{
	return arena_printf(a, "%s%s", needs_reference(pattern) ? reference : "", pattern);
}

void pattern_set(struct pattern *p, const char *reference, const char *pattern, char separator)
{
	size_t literals = 0;

	p->n = 0;
	p->separator = separator;
	p->never = false;
	if (needs_reference(pattern))
		add(p, str_of(reference), &literals);
	add(p, str_of(pattern), &literals);
}

struct positions {
	bool at[PATTERN_LIMIT + 1];
	size_t low, high; /* none outside [low, high] */
};

/* Wildcards also match nothing: whoever stands before one stands behind it too. */
static void settle(const struct pattern *p, struct positions *s)
{
	size_t i;

	for (i = s->low; i <= s->high && i < p->n; i++)
		if (s->at[i] && wildcard(p->text[i])) {
			s->at[i + 1] = true;
			if (i + 1 > s->high)
				s->high = i + 1;
		}
}

/* Moves by one octet; false when no position is left. */
static bool step(const struct pattern *p, struct positions *s, char c)
{
	size_t i, low = p->n + 1, high = 0;
	bool carry = false; /* position i is reached from i - 1 */

	for (i = s->low; i <= s->high + 1 && i <= p->n; i++) {
		bool here = i <= s->high && s->at[i], stay = false, next = false;

		if (here && i < p->n) {
			if (p->text[i] == '*' || (p->text[i] == '%' && c != p->separator))
				stay = true;
			else if (p->text[i] == c && !wildcard(p->text[i]))
				next = true;
		}
		s->at[i] = stay || carry;
		carry = next;
		if (s->at[i]) {
			low = i < low ? i : low;
			high = i;
		}
	}
	s->low = low;
	s->high = high;
	if (low > p->n)
		return false;
	settle(p, s);
	return true;
}

static bool run(const struct pattern *p, struct str name, struct positions *s)
{
	size_t i;

	memset(s->at, 0, (p->n + 1) * sizeof(s->at[0]));
	s->at[0] = true;
	s->low = s->high = 0;
	settle(p, s);
	for (i = 0; i < name.n; i++)
		if (!step(p, s, name.p[i]))
			return false;
	return true;
}

bool pattern_match(const struct pattern *p, struct str name)
{
	struct positions s;

	return !p->never && run(p, name, &s) && s.high == p->n && s.at[p->n];
}

bool pattern_below(const struct pattern *p, struct str prefix)
{
	struct positions s;

	/* A position at the very end has matched already and cannot match more. */
	return !p->never && run(p, prefix, &s) && s.low < p->n;
}

bool list_match(const char *pattern, const char *name, char separator)
{
	struct pattern p;

	pattern_set(&p, "", pattern, separator);
	return pattern_match(&p, str_of(name));
}
