/*
 * sort.h: SORT (RFC 5256, RFC 5957).
 *
 * What SORT and THREAD compare of a message is brought into comparable form once, when the message is first
 * needed, and packed in a record that can be kept beside the message: base subject, addresses and display
 * names in the comparable form of a comparator, so comparing is memcmp, the sent date, the message id and the
 * references. Everything comes from the ENVELOPE in its wire form, as RFC 5957 §4 wants it, and the
 * References field.
 *
 * A sorter takes the records in the order of the mailbox, copies what its criteria need into its arena, and
 * sorts an array of small entries: the first eight octets of the first criterion decide most comparisons.
 * Messages that are equal stay in the order of the mailbox.
 */
#ifndef MORTISE_SEARCH_SORT_H
#define MORTISE_SEARCH_SORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "charset/charset.h"

/* Texts of a record, in its order. */
enum sort_text {
	SORT_TEXT_SUBJECT, /* base subject */
	SORT_TEXT_FROM,    /* addr-mailbox of the first address */
	SORT_TEXT_TO,
	SORT_TEXT_CC,
	SORT_TEXT_DISPLAYFROM, /* RFC 5957 §3 */
	SORT_TEXT_DISPLAYTO,
	SORT_TEXT_ID,         /* not folded; empty: the message has none */
	SORT_TEXT_REFERENCES, /* ids, each followed by NUL */
	SORT_TEXTS
};

struct sort_record {
	bool reply;    /* or a forward, by its subject */
	bool has_date; /* the sent date can be read */
	int64_t date;
	struct str texts[SORT_TEXTS]; /* windows into the packed record */
};

/* `references`: the unfolded field; empty or p NULL: there is none. */
void sort_record_write_by(enum comparator c, struct buf *out, struct str envelope, struct str references);
/* By the default comparator: what is kept. */
static inline void sort_record_write(struct buf *out, struct str envelope, struct str references)
{
	sort_record_write_by(COMPARATOR_UNICODE_CASEMAP, out, envelope, references);
}
bool sort_record_current(struct str packed); /* of this version */
/* False: it is damaged or of another version. */
bool sort_record_read(struct str packed, struct sort_record *out);

enum sort_key {
	SORT_ARRIVAL,
	SORT_CC,
	SORT_DATE,
	SORT_DISPLAYFROM,
	SORT_DISPLAYTO,
	SORT_FROM,
	SORT_SIZE,
	SORT_SUBJECT,
	SORT_TO,
	SORT_RELEVANCY, /* the highest first (RFC 6203 §6) */
	SORT_KEYS
};
struct sort_criterion {
	enum sort_key key;
	bool reverse;
};
struct sort_program {
	struct sort_criterion criteria[SORT_KEYS]; /* a key that was named before decides nothing */
	size_t count;
};
void sort_program_add(struct sort_program *p, enum sort_key key, bool reverse);
bool sort_has_key(const struct sort_program *p, enum sort_key key);
/* Whether a record is needed: not for ARRIVAL, SIZE and RELEVANCY. */
bool sort_needs_record(const struct sort_program *p);

struct sort_message {
	uint32_t number; /* what the answer names: sequence number or UID */
	int64_t arrival; /* internal date */
	uint64_t octets;
	const struct sort_record *record; /* NULL: not needed */
	unsigned relevancy;               /* 1 to 100 */
};
/* The sent date of RFC 5256 §2.2: that of the Date field, else the internal date. */
int64_t sort_sent_date(const struct sort_message *m);

struct sorter;
/* In the arena, for `most` messages. */
struct sorter *sorter_new(struct arena *a, const struct sort_program *p, size_t most);
void sorter_add(struct sorter *s, const struct sort_message *m);
/* Numbers in order; to be called once. */
const uint32_t *sorter_sort(struct sorter *s, size_t *count);

#endif
