/*
 * search.h: SEARCH programs (RFC 3501 §6.4.4, RFC 5032 WITHIN) and their evaluation.
 *
 * A program is a tree in an arena, built by the IMAP parser. Evaluation is cheap first: keys on flags, UIDs,
 * sizes and dates are decided from the message record; header keys read the header; BODY and TEXT read the
 * message, part by part, decoded and case-folded (i;unicode-casemap), in bounded memory however large the
 * message is.
 */
#ifndef MORTISE_SEARCH_SEARCH_H
#define MORTISE_SEARCH_SEARCH_H

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "charset/charset.h"
#include "mime/mime.h"
#include "mime/source.h"

/* Sets of numbers or UIDs; sorted, disjoint ranges. `*` is resolved by whoever knows the mailbox. */
struct set_range {
	uint32_t low, high; /* inclusive, 1… */
};
struct number_set {
	struct set_range *v;
	size_t n;
};
#define SET_STAR UINT32_MAX
/* Parses a sequence-set; `star` replaces "*". False: not a set (0, leading zeros and numbers above 2^32-1 are
 * not). Result sorted and merged. With star 0 (an empty mailbox) "*" alone adds nothing. */
bool set_parse(struct arena *a, struct str text, uint32_t star, struct number_set *out);
bool set_has(const struct number_set *s, uint32_t n);
void set_write(struct buf *out, const struct number_set *s);
/* Builder from rising numbers, or ranges of them; from ranges in any order when set_sort follows. */
void set_add(struct arena *a, struct number_set *s, size_t *cap, uint32_t n);
void set_add_range(struct arena *a, struct number_set *s, size_t *cap, uint32_t low, uint32_t high);
void set_sort(struct number_set *s);
/*
 * What is in both; what is in `x` and not in `y`. Linear in the number of ranges. `out` may be one of them.
 */
void set_both(
    struct arena *a, const struct number_set *x, const struct number_set *y, struct number_set *out);
void set_without(
    struct arena *a, const struct number_set *x, const struct number_set *y, struct number_set *out);
uint64_t set_count(const struct number_set *s);
/* Its members from number `from` (0…) to before number `to`. `out` may be it. */
void set_slice(
    struct arena *a, const struct number_set *s, uint64_t from, uint64_t to, struct number_set *out);

enum search_key {
	SEARCH_ALL,
	SEARCH_AND,      /* children */
	SEARCH_OR,       /* two children */
	SEARCH_NOT,      /* one child */
	SEARCH_SEQUENCE, /* set of sequence numbers */
	SEARCH_UID,      /* set of UIDs */
	SEARCH_FLAG,     /* flag bit set */
	SEARCH_KEYWORD,  /* text */
	SEARCH_NEW,      /* recent and not seen */
	SEARCH_RECENT,
	SEARCH_LARGER, /* number */
	SEARCH_SMALLER,
	SEARCH_MODSEQ, /* number: mod-sequence, itself included (RFC 7162 §3.1.5) */
	SEARCH_BEFORE, /* day: internal date */
	SEARCH_ON,
	SEARCH_SINCE,
	SEARCH_SENTBEFORE, /* day: Date header */
	SEARCH_SENTON,
	SEARCH_SENTSINCE,
	SEARCH_SAVEDBEFORE, /* day: save date (RFC 8514) */
	SEARCH_SAVEDON,
	SEARCH_SAVEDSINCE,
	SEARCH_SAVEDATESUPPORTED,
	SEARCH_EMAILID, /* text (RFC 8474) */
	SEARCH_THREADID,
	SEARCH_OLDER, /* seconds */
	SEARCH_YOUNGER,
	SEARCH_HEADER,  /* field, text (empty text: field exists) */
	SEARCH_ADDRESS, /* field From, To, Cc, Bcc; text */
	SEARCH_SUBJECT,
	SEARCH_BODY,
	SEARCH_TEXT
};

struct search {
	enum search_key key;
	struct search *next, *child;
	uint32_t flag;
	uint64_t number;
	int64_t day; /* days since 1970-01-01 */
	struct number_set set;
	struct str field;
	struct str text;   /* UTF-8 as given */
	struct str folded; /* in comparable form; filled by search_prepare */
	bool fuzzy;        /* about the text will do (fuzzy.h), whatever the comparator */
	/* Filled by search_prepare too. */
	enum comparator comparator;
	struct str name;         /* `field` in lower case */
	const uint32_t *borders; /* of `folded`, for the search in one pass (text.h) */
	unsigned cost;           /* of the dearest key at or below this one; 0: the record is enough */
	const struct fuzzy_words *words; /* NULL: exactly the text */
};

/*
 * After parsing, before the first match: folds texts, orders children cheap first. Neither this nor the
 * evaluation recurses: a program may be nested as deeply as its parser allowed.
 */
void search_prepare(struct search *s, enum comparator c, struct arena *a);
bool search_needs_message(const struct search *s); /* any key that reads the message */
bool search_may_change(const struct search *s); /* a message that matches may cease to, and the other way */

/*
 * The message under test. `open` is called at most once, when a key needs the text; the source is closed when
 * the match is done.
 *
 * What the keys read: HEADER, address keys and SUBJECT the decoded text of every field of that name. TEXT the
 * header of the message and what BODY reads: text/… and message/… parts, decoded and converted, and the
 * headers of parts and of messages inside. A charset that is not known is read as octets. BEFORE, ON, SINCE
 * and SENT… compare the date as it is written, without time and zone; a message without a readable Date
 * matches no SENT… key. OLDER and YOUNGER include the second itself.
 */
struct search_target {
	uint32_t sequence, uid, flags; /* MORTISE_FLAG_… */
	bool recent;
	bool (*has_keyword)(void *arg, struct str keyword);
	int64_t internal_date;
	int zone;
	bool save_dates;   /* are kept; if not, the internal date stands for the save date */
	int64_t save_date; /* UTC */
	/* Whether the message's EMAILID or THREADID is this one: 1, 0, or a code. */
	int (*has_object_id)(void *arg, enum search_key key, struct str id, struct err *e);
	/*
	 * Optional: the values of a header field (name in lower case), decoded and folded by the default
	 * comparator, each with a line
	 * feed behind it; empty when there is no such field. 1, 0 when it is not to be had in this way, or a
	 * code.
	 */
	int (*folded_field)(void *arg, struct str field, struct str *values, struct err *e);
	uint64_t octets;
	uint64_t modseq;
	int (*open)(void *arg, struct source **out, struct err *e);
	void *arg;
	int64_t now;
	const struct mime_limits *limits;
	/* Of the fuzzy keys that matched: the sum of their relevancies, 1 to 100 each, and how many they are.
	 */
	unsigned relevancy, fuzzy_matches;
};
/* 1 match, 0 no match, or a code. What is parsed stays in `scratch`: clear it between messages. */
int search_match(const struct search *s, struct search_target *t, struct arena *scratch, struct err *e);

#endif
