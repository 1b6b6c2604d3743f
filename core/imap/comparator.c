/*
 * comparator.c: COMPARATOR (RFC 5255 §4.7): how SEARCH, SORT and THREAD compare texts.
 *
 * Searches that were begun before with updates keep the comparator that they were begun with.
 */
#include "imap/session_int.h"
#include "base/banned.h"

#define ORDERS_MAX 100u /* a command line has room for more */

/* A name, with "*" for anything in it; "default"; a "+" in front means the usual direction (RFC 4790 §3.3).
 */
static bool matches(struct str order, enum comparator c, struct arena *a)
{
	struct str rest = order.n > 0 && order.p[0] == '+' ? str_from(order, 1) : order;
	char *lower = arena_strndup(a, rest.p, rest.n);
	size_t i;

	if (str_ieqc(order, "default"))
		return c == COMPARATOR_UNICODE_CASEMAP;
	for (i = 0; i < rest.n; i++)
		lower[i] = ascii_lower(lower[i]);
	return strchr(lower, '%') == NULL && list_match(lower, comparator_names[c], '\0');
}

/* What matches any of the orders: a bit each. The first order that matches one chooses: its first one. */
static unsigned choose(struct session *s, const struct str *orders, size_t count)
{
	unsigned all = 0;
	size_t i;
	int c;

	for (i = 0; i < count; i++) {
		unsigned before = all;

		for (c = COMPARATORS - 1; c >= 0; c--)
			if (matches(orders[i], (enum comparator)c, s->arena)) {
				all |= 1u << c;
				if (before == 0)
					s->comparator = (enum comparator)c;
			}
	}
	return all;
}

static void answer(struct session *s, unsigned matching)
{
	struct buf *out = session_out(s);
	const char *between = " (";
	int c;

	buf_printf(out, "* COMPARATOR %s", comparator_names[s->comparator]);
	for (c = 0; (matching & (matching - 1)) != 0 && c < COMPARATORS; c++)
		if ((matching >> c & 1) != 0) {
			buf_printf(out, "%s%s", between, comparator_names[c]);
			between = " ";
		}
	buf_adds(out, between[1] == '\0' ? ")\r\n" : "\r\n");
}

void command_comparator(struct session *s, struct parse *p)
{
	struct str orders[ORDERS_MAX];
	size_t count = 0;
	unsigned matching;

	while (!parse_at_end(p)) {
		if (count == ORDERS_MAX)
			parse_fail(p, "Too many comparators");
		if (!parse_sp(p) || !parse_astring(p, &orders[count++]))
			break;
	}
	if (!arguments_end(s, p))
		return;
	matching = choose(s, orders, count);
	if (count > 0 && matching == 0) {
		reply_no(s, "BADCOMPARATOR", "No such comparator");
		return;
	}
	answer(s, matching);
	reply_ok(s, NULL, "COMPARATOR completed");
}
