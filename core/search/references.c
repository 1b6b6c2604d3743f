#include "search/references.h"

#include "base/object.h"
#include "base/banned.h"

/* Behind the quoted string whose DQUOTE was taken. False: it does not end. */
static bool quoted(struct str *s, struct buf *out)
{
	while (s->n > 0 && s->p[0] != '"') {
		if (s->p[0] == '\\' && s->n > 1)
			*s = str_from(*s, 1);
		if (s->p[0] != '\0')
			buf_addc(out, s->p[0]);
		*s = str_from(*s, 1);
	}
	if (s->n == 0)
		return false;
	*s = str_from(*s, 1);
	return true;
}

/* Behind the comment whose parenthesis was taken. False: it does not end. */
static bool comment(struct str *s)
{
	size_t depth = 1;

	while (s->n > 0 && depth > 0) {
		if (s->p[0] == '\\' && s->n > 1)
			*s = str_from(*s, 1);
		else if (s->p[0] == '(')
			depth++;
		else if (s->p[0] == ')')
			depth--;
		*s = str_from(*s, 1);
	}
	return depth == 0;
}

/* What stands behind a "<", up to its ">". False: there is none; *s is where to go on. */
static bool bracketed(struct str *s, struct buf *out)
{
	while (s->n > 0) {
		char c = s->p[0];

		if (c == '<')
			return false;
		*s = str_from(*s, 1);
		if (c == '>')
			return true;
		if (c == '"' && !quoted(s, out))
			return false;
		if (c == '(' && !comment(s))
			return false;
		if ((unsigned char)c > ' ' && c != '"' && c != '(' && c != 0x7f)
			buf_addc(out, c);
	}
	return false;
}

bool message_id_next(struct str *value, struct buf *out)
{
	size_t start = out->n;

	while (value->n > 0) {
		struct str id;
		size_t at;

		*value = str_from(*value, str_find(*value, '<'));
		if (value->n == 0)
			break;
		*value = str_from(*value, 1);
		if (bracketed(value, out)) {
			id = str_from(buf_str(out), start);
			at = str_find(id, '@');
			if (at > 0 && at + 1 < id.n)
				return true;
		}
		buf_truncate(out, start);
	}
	return false;
}
