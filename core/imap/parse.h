/*
 * parse.h: the words of a command (RFC 9051 §9, RFC 3501 §9).
 *
 * A lexer over one complete command as the reader hands it out. Each function takes one production from the
 * front of what is left and returns whether it was there. The first failure is kept in `error`, a short
 * static text that is safe to send (it never repeats what the client said), and everything after it fails
 * too: callers may chain with && and look once. Decoded results live in the arena or are windows into the
 * command; each list is bounded by its caller.
 *
 * Strictness: exactly one SP between arguments, no NUL and no bare CR or LF anywhere, literals may not hold
 * NUL. Quoted strings may hold octets above 0x7f (passwords); what they mean is for the user of the string to
 * decide. Once the client has enabled UTF-8 (RFC 6855, RFC 9051) they must be valid UTF-8, and mailbox names
 * are in UTF-8; before, they are in modified UTF-7 (RFC 3501 §5.1.3), or in UTF-8 when they hold such octets.
 */
#ifndef MORTISE_IMAP_PARSE_H
#define MORTISE_IMAP_PARSE_H

#include "base/arena.h"
#include "base/str.h"
#include "search/search.h"

struct parse {
	struct str rest;
	struct arena *arena;
	const char *error; /* NULL: none yet */
	bool utf8;         /* the client has enabled UTF-8: mailbox names and quoted strings are in it */
	bool rev2;         /* it has enabled IMAP4rev2: \Recent in a list of flags means nothing */
};

void parse_start(struct parse *p, struct str command, struct arena *a);
/* Sets the error unless there is one. Always false. */
bool parse_fail(struct parse *p, const char *error);

bool parse_tag(struct parse *p, struct str *tag);
bool parse_sp(struct parse *p);
bool parse_end(struct parse *p);                    /* nothing may follow */
bool parse_at_end(const struct parse *p);           /* a look, never an error */
bool parse_at(const struct parse *p, char c);       /* a look */
bool parse_char(struct parse *p, char c);           /* must be there */
bool parse_skip(struct parse *p, char c);           /* takes it when it is there; never an error */
bool parse_word(struct parse *p, const char *word); /* takes the word (without case) when it stands there as a
                                                       whole atom; never an error */
bool parse_atom(struct parse *p, struct str *atom);
/* Letters, digits and dots: FETCH's items and sections, STORE's item. */
bool parse_item_name(struct parse *p, struct str *name);
bool parse_astring(struct parse *p, struct str *s);
bool parse_string(struct parse *p, struct str *s);   /* quoted or literal */
bool parse_nstring(struct parse *p, struct str *s);  /* NIL: p == NULL */
bool parse_nstring8(struct parse *p, struct str *s); /* nstring / literal8: may hold NUL (RFC 5464) */
bool parse_quoted(struct parse *p, struct str *s);
bool parse_number(struct parse *p, uint32_t *n);
bool parse_nz_number(struct parse *p, uint32_t *n);
bool parse_number64(struct parse *p, uint64_t *n); /* below 2^63 */
/* `star` is what "*" means. Sorted, disjoint. */
bool parse_sequence_set(struct parse *p, uint32_t star, struct number_set *set);
/* Likewise without "*" (RFC 4315 uid-set). */
bool parse_uid_set(struct parse *p, struct number_set *set);
bool parse_modseq(struct parse *p, uint64_t *n); /* 1 to 2^63-1 */
/* UTF-8, NUL-terminated; INBOX in any case is "INBOX". */
bool parse_mailbox(struct parse *p, const char **name);
/* LIST's pattern: like a mailbox, but % and * may stand without quotes. */
bool parse_pattern(struct parse *p, const char **pattern);
/* date, quoted or not: days since 1970-01-01. */
bool parse_date(struct parse *p, int64_t *day);
/* date-time in quotes: seconds since 1970 and minutes east of UTC. */
bool parse_date_time(struct parse *p, int64_t *when, int *zone);

#define KEYWORD_OCTETS_MAX 128u

struct flag_list {
	uint32_t flags; /* MORTISE_FLAG_… */
	struct str *keywords;
	size_t count;
};
/*
 * "(" flags ")", or without parentheses when `bare` allows it (STORE). \Recent (but see rev2), \* and unknown
 * system flags are refused; a keyword named twice counts once.
 */
bool parse_flag_list(struct parse *p, bool bare, size_t keywords_max, struct flag_list *out);
/* A keyword alone (SEARCH KEYWORD). */
bool parse_keyword(struct parse *p, struct str *keyword);

/* The announcement of a message literal at the end of what READER_STREAM hands out. */
bool parse_stream_literal(struct parse *p);

/* Character classes, for those who look ahead. */
bool parse_is_atom_char(char c);
bool parse_is_astring_char(char c);

#endif
