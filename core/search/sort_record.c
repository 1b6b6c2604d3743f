/*
 * Sort records.
 *
 *     0   1  version
 *     1   1  bits: 1 reply, 2 has_date
 *     2   2  zero
 *     4   8  date, little-endian
 *     12  32 lengths of the texts, 4 octets each, little-endian
 *     44  …  the texts
 */
#include "search/sort.h"

#include "base/checksum.h"
#include "base/object.h"
#include "charset/charset.h"
#include "mime/mime.h"
#include "search/references.h"
#include "search/subject.h"
#include "base/banned.h"

#define VERSION 1
#define REPLY 1
#define HAS_DATE 2
#define HEAD (12 + 4 * SORT_TEXTS)

bool sort_record_current(struct str packed)
{
	return packed.n >= HEAD && packed.p[0] == VERSION;
}

bool sort_record_read(struct str packed, struct sort_record *out)
{
	struct str rest = str_from(packed, HEAD);
	size_t i;

	if (!sort_record_current(packed))
		return false;
	out->reply = (packed.p[1] & REPLY) != 0;
	out->has_date = (packed.p[1] & HAS_DATE) != 0;
	out->date = (int64_t)little_get(packed.p + 4, 8);
	for (i = 0; i < SORT_TEXTS; i++) {
		size_t n = (size_t)little_get(packed.p + 12 + 4 * i, 4);

		if (n > rest.n)
			return false;
		out->texts[i] = str_sub(rest, 0, n);
		rest = str_from(rest, n);
	}
	return rest.n == 0;
}

/* ---- the members of an ENVELOPE, as mime_envelope writes them ---- */

static bool skip(struct str *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = str_from(*s, 1);
	return true;
}

/*
 * An nstring behind an optional space, as a window. p NULL: NIL. In its quoted strings nothing is quoted (see
 * mime/string.c).
 */
static struct str read_nstring(struct str *s)
{
	struct str digits, text;
	uint64_t n = 0;

	skip(s, ' ');
	if (skip(s, '"'))
		return str_cut(s, '"');
	if (!skip(s, '{')) {
		*s = str_from(*s, strlen("NIL"));
		return STR_NONE;
	}
	digits = str_cut(s, '}');
	*s = str_from(*s, strlen("\r\n"));
	if (!str_u64(digits, &n) || n > s->n)
		n = s->n;
	text = str_sub(*s, 0, (size_t)n);
	*s = str_from(*s, (size_t)n);
	return text;
}

/* p NULL: NIL. */
struct address {
	struct str name, mailbox, host;
};

static void read_address(struct str *s, struct address *a)
{
	a->name = read_nstring(s);
	(void)read_nstring(s); /* route */
	a->mailbox = read_nstring(s);
	a->host = read_nstring(s);
	skip(s, ')');
}

/* Reads a whole list; what is kept is its first address. */
static void read_addresses(struct str *s, struct address *first)
{
	struct address other;
	bool some = false;

	skip(s, ' ');
	if (!skip(s, '(')) {
		*s = str_from(*s, strlen("NIL"));
		return;
	}
	while (skip(s, '(')) {
		read_address(s, some ? &other : first);
		some = true;
	}
	skip(s, ')');
}

/* ---- writing ---- */
struct writing {
	struct buf *out;
	size_t start; /* of the record in `out` */
	struct buf decoded;
	enum comparator comparator;
	char bits;
};

/* Text number i ends here: its length goes into the head. */
static void end_text(struct writing *w, enum sort_text i, size_t from)
{
	little_put(w->out->p + w->start + 12 + 4 * (size_t)i, w->out->n - from, 4);
}

static void add_decoded(struct writing *w, enum sort_text i, struct str raw)
{
	size_t from = w->out->n;

	buf_reset(&w->decoded);
	charset_decode_header(&w->decoded, raw);
	charset_fold_by(w->comparator, w->out, buf_str(&w->decoded));
	end_text(w, i, from);
}

static void add_subject(struct writing *w, struct str raw)
{
	AUTO_BUF struct buf base = BUF_INIT;
	size_t from = w->out->n;

	buf_reset(&w->decoded);
	charset_decode_header(&w->decoded, raw);
	if (base_subject(&base, buf_str(&w->decoded)))
		w->bits |= REPLY;
	charset_fold_by(w->comparator, w->out, buf_str(&base));
	end_text(w, SORT_TEXT_SUBJECT, from);
}

/* RFC 5957 §3. */
static void add_display(struct writing *w, enum sort_text i, const struct address *a)
{
	AUTO_BUF struct buf whole = BUF_INIT;
	size_t from = w->out->n;

	if (a->name.p != NULL)
		add_decoded(w, i, a->name);
	if (w->out->n > from || a->mailbox.p == NULL)
		return;
	buf_addstr(&whole, a->mailbox);
	if (a->host.p != NULL) {
		buf_addc(&whole, '@');
		buf_addstr(&whole, a->host);
	}
	charset_fold_by(w->comparator, w->out, buf_str(&whole));
	end_text(w, i, from);
}

static void add_id(struct writing *w, struct str field)
{
	size_t from = w->out->n;

	message_id_next(&field, w->out);
	end_text(w, SORT_TEXT_ID, from);
}

static void add_ids(struct writing *w, struct str references, struct str in_reply_to)
{
	size_t from = w->out->n;

	while (message_id_next(&references, w->out))
		buf_addc(w->out, '\0');
	/* Of In-Reply-To the first id only: addresses have been seen behind it. */
	if (w->out->n == from && message_id_next(&in_reply_to, w->out))
		buf_addc(w->out, '\0');
	end_text(w, SORT_TEXT_REFERENCES, from);
}

enum { FROM, SENDER, REPLY_TO, TO, CC, BCC, LISTS };

static void add_addresses(struct writing *w, struct str *envelope)
{
	struct address lists[LISTS] = {{.name = STR_NONE}};
	int i;

	for (i = 0; i < LISTS; i++)
		read_addresses(envelope, &lists[i]);
	add_decoded(w, SORT_TEXT_FROM, lists[FROM].mailbox);
	add_decoded(w, SORT_TEXT_TO, lists[TO].mailbox);
	add_decoded(w, SORT_TEXT_CC, lists[CC].mailbox);
	add_display(w, SORT_TEXT_DISPLAYFROM, &lists[FROM]);
	add_display(w, SORT_TEXT_DISPLAYTO, &lists[TO]);
}

void sort_record_write_by(enum comparator c, struct buf *out, struct str envelope, struct str references)
{
	static const char zeros[HEAD];
	struct writing w = {.out = out, .start = out->n, .comparator = c};
	struct str in_reply_to;
	int64_t date = 0;
	int zone;

	buf_add(out, zeros, sizeof(zeros));
	skip(&envelope, '(');
	if (mime_date(read_nstring(&envelope), &date, &zone))
		w.bits |= HAS_DATE;
	add_subject(&w, read_nstring(&envelope));
	add_addresses(&w, &envelope);
	in_reply_to = read_nstring(&envelope);
	add_id(&w, read_nstring(&envelope));
	add_ids(&w, references, in_reply_to);
	out->p[w.start] = VERSION;
	out->p[w.start + 1] = w.bits;
	little_put(out->p + w.start + 4, (uint64_t)date, 8);
	buf_free(&w.decoded);
}
