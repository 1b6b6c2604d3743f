#include "search/subject.h"

#include "base/object.h"
#include "base/banned.h"

struct subject {
	struct str s;
	bool reply;
};

/* Step 1: tabs and continuations are spaces, and of many spaces one stays. */
static void plain_spaces(struct buf *out, struct str decoded)
{
	size_t i, start = out->n;

	for (i = 0; i < decoded.n; i++) {
		char c = decoded.p[i];

		if (c == '\t' || c == '\r' || c == '\n')
			c = ' ';
		if (c != ' ' || out->n == start || out->p[out->n - 1] != ' ')
			buf_addc(out, c);
	}
}

static bool take(struct str *s, struct str word)
{
	if (!str_istarts(*s, word))
		return false;
	*s = str_from(*s, word.n);
	return true;
}

static void take_spaces(struct str *s)
{
	while (s->n > 0 && s->p[0] == ' ')
		*s = str_from(*s, 1);
}

/* subj-blob = "[" *BLOBCHAR "]" *WSP */
static bool take_blob(struct str *s)
{
	size_t i = 1;

	if (s->n == 0 || s->p[0] != '[')
		return false;
	while (i < s->n && s->p[i] != '[' && s->p[i] != ']' && s->p[i] != '\0')
		i++;
	if (i == s->n || s->p[i] != ']')
		return false;
	*s = str_from(*s, i + 1);
	take_spaces(s);
	return true;
}

/* subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":" */
static bool take_refwd(struct str *s)
{
	struct str at = *s;

	if (!take(&at, STR("re")) && !take(&at, STR("fwd")) && !take(&at, STR("fw")))
		return false;
	take_spaces(&at);
	take_blob(&at);
	if (!take(&at, STR(":")))
		return false;
	*s = at;
	return true;
}

/* Step 2: subj-trailer = "(fwd)" / WSP */
static void cut_trailers(struct subject *x)
{
	static const struct str forward = STR_INIT("(fwd)");

	for (;;) {
		if (x->s.n > 0 && x->s.p[x->s.n - 1] == ' ') {
			x->s.n--;
		} else if (x->s.n >= forward.n && str_istarts(str_from(x->s, x->s.n - forward.n), forward)) {
			x->s.n -= forward.n;
			x->reply = true;
		} else {
			return;
		}
	}
}

/*
 * Steps 3 to 5: leaders, and blobs that something follows. A run of blobs that no subj-refwd ends has none in
 * it at whatever blob one begins, so it is looked at once and goes as a whole.
 */
static void cut_leaders(struct subject *x)
{
	for (;;) {
		struct str at = x->s, last = x->s;

		take_spaces(&at);
		if (at.n != x->s.n) {
			x->s = at;
			continue;
		}
		while (last = at, take_blob(&at))
			x->s = at.n > 0 ? x->s : last;
		if (take_refwd(&at)) {
			x->s = at;
			x->reply = true;
			continue;
		}
		if (at.n > 0)
			x->s = at;
		return;
	}
}

/* Step 6: "[fwd:" … "]" */
static bool cut_forward(struct subject *x)
{
	struct str at = x->s;

	if (at.n == 0 || at.p[at.n - 1] != ']' || !take(&at, STR("[fwd:")) || at.n == 0)
		return false;
	at.n--;
	x->s = at;
	x->reply = true;
	return true;
}

bool base_subject(struct buf *out, struct str decoded)
{
	AUTO_BUF struct buf plain = BUF_INIT;
	struct subject x = {.reply = false};

	plain_spaces(&plain, decoded);
	x.s = buf_str(&plain);
	do {
		cut_trailers(&x);
		cut_leaders(&x);
	} while (cut_forward(&x));
	buf_addstr(out, x.s);
	return x.reply;
}
