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

static void read_quoted(struct str *s, struct buf *out)
{
	while (s->n > 0 && s->p[0] != '"') {
		if (s->p[0] == '\\')
			*s = str_from(*s, 1);
		if (s->n > 0)
			buf_addc(out, s->p[0]);
		*s = str_from(*s, 1);
	}
	skip(s, '"');
}

/* An nstring behind an optional space: its octets at the end of `out`. False: NIL. */
static bool read_nstring(struct str *s, struct buf *out)
{
	struct str digits;
	uint64_t n = 0;

	skip(s, ' ');
	if (skip(s, '"')) {
		read_quoted(s, out);
		return true;
	}
	if (!skip(s, '{')) {
		*s = str_from(*s, strlen("NIL"));
		return false;
	}
	digits = str_cut(s, '}');
	*s = str_from(*s, strlen("\r\n"));
	if (!str_u64(digits, &n) || n > s->n)
		n = s->n;
	buf_add(out, s->p, (size_t)n);
	*s = str_from(*s, (size_t)n);
	return true;
}

struct address {
	bool named, has_mailbox, has_host;
	struct buf name, mailbox, host;
};

static void address_reset(struct address *a)
{
	buf_reset(&a->name);
	buf_reset(&a->mailbox);
	buf_reset(&a->host);
}

static void address_free(struct address *a)
{
	buf_free(&a->name);
	buf_free(&a->mailbox);
	buf_free(&a->host);
}

static void read_address(struct str *s, struct address *a)
{
	struct buf route = BUF_INIT;

	a->named = read_nstring(s, &a->name);
	read_nstring(s, &route);
	a->has_mailbox = read_nstring(s, &a->mailbox);
	a->has_host = read_nstring(s, &a->host);
	skip(s, ')');
	buf_free(&route);
}

/* Reads a whole list; what is kept is its first address. False: NIL. */
static bool read_addresses(struct str *s, struct address *first)
{
	struct address other = {.named = false};
	bool some = false;

	skip(s, ' ');
	if (!skip(s, '(')) {
		*s = str_from(*s, strlen("NIL"));
		return false;
	}
	while (skip(s, '(')) {
		read_address(s, some ? &other : first);
		some = true;
		address_reset(&other);
	}
	skip(s, ')');
	address_free(&other);
	return some;
}

/* ---- writing ---- */
struct writing {
	struct buf *out;
	size_t start; /* of the record in `out` */
	struct buf raw, decoded;
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
	charset_fold(w->out, buf_str(&w->decoded));
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
	charset_fold(w->out, buf_str(&base));
	end_text(w, SORT_TEXT_SUBJECT, from);
}

/* RFC 5957 §3. */
static void add_display(struct writing *w, enum sort_text i, const struct address *a)
{
	AUTO_BUF struct buf whole = BUF_INIT;
	size_t from = w->out->n;

	if (a->named)
		add_decoded(w, i, buf_str(&a->name));
	if (w->out->n > from || !a->has_mailbox)
		return;
	buf_addstr(&whole, buf_str(&a->mailbox));
	if (a->has_host) {
		buf_addc(&whole, '@');
		buf_addstr(&whole, buf_str(&a->host));
	}
	charset_fold(w->out, buf_str(&whole));
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
	struct address lists[LISTS] = {{.named = false}};
	int i;

	for (i = 0; i < LISTS; i++)
		read_addresses(envelope, &lists[i]);
	add_decoded(w, SORT_TEXT_FROM, buf_str(&lists[FROM].mailbox));
	add_decoded(w, SORT_TEXT_TO, buf_str(&lists[TO].mailbox));
	add_decoded(w, SORT_TEXT_CC, buf_str(&lists[CC].mailbox));
	add_display(w, SORT_TEXT_DISPLAYFROM, &lists[FROM]);
	add_display(w, SORT_TEXT_DISPLAYTO, &lists[TO]);
	for (i = 0; i < LISTS; i++)
		address_free(&lists[i]);
}

void sort_record_write(struct buf *out, struct str envelope, struct str references)
{
	static const char zeros[HEAD];
	struct writing w = {.out = out, .start = out->n};
	AUTO_BUF struct buf in_reply_to = BUF_INIT;
	int64_t date = 0;
	int zone;

	buf_add(out, zeros, sizeof(zeros));
	skip(&envelope, '(');
	read_nstring(&envelope, &w.raw);
	if (mime_date(buf_str(&w.raw), &date, &zone))
		w.bits |= HAS_DATE;
	buf_reset(&w.raw);
	read_nstring(&envelope, &w.raw);
	add_subject(&w, buf_str(&w.raw));
	add_addresses(&w, &envelope);
	read_nstring(&envelope, &in_reply_to);
	buf_reset(&w.raw);
	read_nstring(&envelope, &w.raw);
	add_id(&w, buf_str(&w.raw));
	add_ids(&w, references, buf_str(&in_reply_to));
	out->p[w.start] = VERSION;
	out->p[w.start + 1] = w.bits;
	little_put(out->p + w.start + 4, (uint64_t)date, 8);
	buf_free(&w.raw);
	buf_free(&w.decoded);
}
