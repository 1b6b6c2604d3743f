/*
 * qresync.c: SELECT and EXAMINE with (CONDSTORE) and (QRESYNC …) (RFC 7162 §3.1.8, §3.2.5).
 */
#include "imap/condstore.h"
#include "base/banned.h"

/* ---- the parameters ---- */
/* "(" known-sequence-set SP known-uid-set ")" */
static bool match_data(struct parse *p, struct select_parameters *out)
{
	if (!parse_char(p, '(') || !parse_uid_set(p, &out->sequences) || !parse_sp(p) ||
	    !parse_uid_set(p, &out->matches) || !parse_char(p, ')'))
		return false;
	return set_count(&out->sequences) == set_count(&out->matches) ||
	       parse_fail(p, "As many message numbers as UIDs are needed");
}

static bool parse_qresync(struct session *s, struct parse *p, struct select_parameters *out)
{
	if (!s->qresync)
		return parse_fail(p, "ENABLE QRESYNC comes first");
	out->qresync = true;
	if (!parse_sp(p) || !parse_char(p, '(') || !parse_nz_number(p, &out->uidvalidity) || !parse_sp(p) ||
	    !parse_modseq(p, &out->modseq))
		return false;
	if (parse_skip(p, ' ') && !parse_at(p, '(')) {
		out->has_known = true;
		if (!parse_uid_set(p, &out->known))
			return false;
		if (!parse_skip(p, ' '))
			return parse_char(p, ')');
	}
	if (parse_at(p, '(') && s->uidonly) { /* RFC 9586 §3.7 */
		s->bad_code = UIDREQUIRED;
		return parse_fail(p, "Message numbers are not allowed");
	}
	if (parse_at(p, '(') && !match_data(p, out))
		return false;
	return parse_char(p, ')');
}

bool select_parameters(struct session *s, struct parse *p, struct select_parameters *out)
{
	*out = (struct select_parameters){0};
	if (!parse_skip(p, ' '))
		return true;
	if (!parse_char(p, '('))
		return false;
	do {
		if (!out->condstore && parse_word(p, "CONDSTORE"))
			out->condstore = true;
		else if (out->qresync || !parse_word(p, "QRESYNC"))
			return parse_fail(p, "Unknown parameter");
		else if (!parse_qresync(s, p, out))
			return false;
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

/* ---- message sequence match data ---- */
/*
 * Messages sequence… had the UIDs uid…, n of them. The highest of these UIDs that is still at its place, 0:
 * none is. UID minus number never falls along the mailbox, so it is found by halving.
 */
static uint32_t highest_match(const struct view *v, uint32_t sequence, uint32_t uid, uint32_t n)
{
	uint32_t count = view_count(v), low, high;

	if (sequence > count || uid < sequence)
		return 0;
	low = sequence;
	high = n - 1 < count - sequence ? sequence + (n - 1) : count;
	while (low < high) {
		uint32_t middle = high - (high - low) / 2;

		if (view_message(v, middle)->uid - middle <= uid - sequence)
			low = middle;
		else
			high = middle - 1;
	}
	return view_message(v, low)->uid - low == uid - sequence ? view_message(v, low)->uid : 0;
}

/* The client knows of every expunge up to this UID. */
static uint32_t known_up_to(const struct session *s, const struct select_parameters *w)
{
	const struct set_range *numbers = w->sequences.v, *uids = w->matches.v;
	uint32_t done = 0, skipped = 0, highest = 0; /* of the present range of numbers, of UIDs */
	size_t i = 0, j = 0;

	while (i < w->sequences.n && j < w->matches.n) {
		uint32_t a = numbers[i].high - numbers[i].low - done,
		         b = uids[j].high - uids[j].low - skipped;
		uint32_t n = a < b ? a : b; /* one less than there are: all of 32 bits may be one range */
		uint32_t sequence = numbers[i].low + done, uid = uids[j].low + skipped;
		uint32_t match = highest_match(s->view, sequence, uid, n + 1);

		if (match != 0)
			highest = match;
		done = a == n ? 0 : done + n + 1;
		skipped = b == n ? 0 : skipped + n + 1;
		i += a == n ? 1 : 0;
		j += b == n ? 1 : 0;
	}
	return highest;
}

/* ---- the answer ---- */
static void write_changed(struct session *s, const struct select_parameters *w)
{
	uint32_t count = view_count(s->view), i;

	for (i = 1; i <= count && !session_stopped(s); i++) {
		const struct message *msg = view_message(s->view, i);

		if (msg->modseq > w->modseq && (!w->has_known || set_has(&w->known, msg->uid)))
			write_fetch_news(s, i, msg, true);
	}
}

void resynchronise(struct session *s, struct select_parameters *w)
{
	struct set_range all = {1, UINT32_MAX};
	struct number_set asked = w->has_known ? w->known : (struct number_set){&all, 1};
	uint32_t known;

	if (s->no_modseq || w->uidvalidity != mailbox_uidvalidity(s->mailbox) || w->modseq == s->settled)
		return;
	if (w->modseq > s->settled) /* nobody here said that: what was remembered is lost */
		w->modseq = 0;
	known = known_up_to(s, w);
	if (known != 0) {
		struct set_range below = {1, known};

		set_without(s->arena, &asked, &(struct number_set){&below, 1}, &asked);
	}
	write_vanished_earlier(s, w->modseq, &asked);
	write_changed(s, w);
}
