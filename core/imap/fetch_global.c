/*
 * fetch_global.c: message/global for clients that have not enabled UTF-8.
 *
 * To RFC 9051 §9 and RFC 6855 it is a message like message/rfc822, and its structure holds an envelope, the
 * structure of what is in it, and its lines. To RFC 3501 it is a type like any other, and clients that read
 * structures by that grammar would stumble. What is kept in the index is the longer form; this takes it out.
 */
#include "imap/fetch.h"
#include "base/banned.h"

#define HEAD "(\"MESSAGE\" \"GLOBAL\" "
#define FIELDS_BEFORE 5u /* parameters, id, description, encoding, octets */
#define FIELDS_LESS 3u   /* envelope, body, lines */

/* Octets of the string at the front. */
static size_t string_size(struct str s)
{
	size_t i;
	uint64_t n;

	if (s.p[0] == '{') {
		i = str_find(s, '}');
		if (!str_u64(str_sub(s, 1, i - 1), &n) || s.n - i < 3 || n > s.n - i - 3)
			return s.n;
		return i + 3 + (size_t)n; /* "}" CRLF */
	}
	for (i = 1; i < s.n && s.p[i] != '"'; i++)
		i += s.p[i] == '\\' ? 1 : 0;
	return i < s.n ? i + 1 : s.n;
}

/* Octets up to the end of the value at the front: a list with all that is in it, a string, or a word. */
static size_t value_size(struct str s)
{
	size_t i = 0, depth = 0;

	while (i < s.n) {
		char c = s.p[i];

		if (depth == 0 && i > 0 && (c == ' ' || c == ')'))
			return i;
		if (c == '"' || c == '{') {
			i += string_size(str_from(s, i));
			continue;
		}
		depth += c == '(' ? 1 : 0;
		depth -= c == ')' ? 1 : 0;
		i++;
	}
	return s.n;
}

static struct str cut_values(struct buf *out, struct str text, unsigned count)
{
	for (; count > 0 && text.n > 0 && text.p[0] != ')'; count--) {
		size_t n = value_size(text);

		n += n < text.n && text.p[n] == ' ' ? 1 : 0;
		if (out != NULL)
			buf_add(out, text.p, n);
		text = str_from(text, n);
	}
	return text;
}

void structure_without_global(struct buf *out, struct str text)
{
	if (str_search(text, STR(HEAD)) == SIZE_MAX) {
		buf_addstr(out, text);
		return;
	}
	while (text.n > 0) {
		size_t n = 1;

		if (text.p[0] == '"' || text.p[0] == '{')
			n = string_size(text);
		if (!str_starts(text, STR(HEAD))) {
			buf_add(out, text.p, n);
			text = str_from(text, n);
			continue;
		}
		buf_adds(out, HEAD);
		text = cut_values(out, str_from(text, strlen(HEAD)), FIELDS_BEFORE);
		text = cut_values(NULL, text, FIELDS_LESS);
		if (text.n > 0 && text.p[0] == ')')
			buf_truncate(out, out->n - 1); /* the space behind the octets */
	}
}
