/*
 * status.h: what a mailbox file keeps about a message, in the message's own header.
 *
 * Six header fields are the mailbox's and not the message's; no client sees them. Spelled exactly so:
 *
 *     X-IMAP: V L[ kw]*        in the first message, which is then none but a place to keep this (the
 *                              "pseudo-message")
 *     X-IMAPbase: V L[ kw]*    in the first message, which is one
 *     Status: [R]O             seen; old: no session has still to be told
 *     X-Status: [D][F][A][T]   deleted, flagged, answered, draft
 *     X-Keywords:[ kw]*        names; each is to be in the list of X-IMAP or X-IMAPbase
 *     X-UID: n
 *
 * V is UIDVALIDITY, L the highest UID that was ever given. A *block* is the fields in this order, each
 * once, one line each, with nothing between: [X-IMAPbase] Status X-Status X-Keywords X-UID. X-Keywords
 * ends with spaces that bring the block, up to that line's end, to 50 octets (80 with X-IMAPbase), or to
 * a multiple of that. Because of them another flag or keyword changes no length and can be written in
 * place.
 *
 * The rest. A message that we append says how many octets there are from its beginning to the end of what was
 * appended with it, twelve digits in the same place. L is only raised when all of that is on the disk. So a
 * message whose UID is above L and that is shorter than it says is what a crash has left of an append that
 * nobody was promised; it is taken out again. A change of flags drops the digits.
 *
 * We give every letter its own place ("Status: R ", "X-Status:  FA "), and V and L ten digits, as far as the
 * block has room for that. Then a write that is torn between two sectors leaves each letter old or new, and
 * nothing else.
 *
 * c-client writes a block behind the other header fields when it rewrites a message, and at the header's
 * beginning when it appends. We write it at the beginning always: nobody who sends mail can do that,
 * since every delivery puts a trace field (Received, Return-Path, Delivered-To) before what the sender
 * wrote. What stands anywhere else may be the sender's; sync.c says what is believed.
 *
 * The token. Where V and L are, a number of six digits stands behind the letters of X-Status (of Status
 * in the pseudo-message): "X-Status: FA 271828". Every program looks at letters only there. It is another
 * number after every change that is not an append. So who finds the file grown, the same token, and a
 * message beginning where the end was, need only read what is new. Programs that rewrite the message drop
 * it; then everything is read.
 *
 * The mark. When the last messages of a mailbox are expunged, their UIDs lie between the last one's that
 * is left and L, and whatever is delivered next could claim one. So the last message that is left (or the
 * pseudo-message) gets L as it was then, ten digits, in the same place: "X-Status: FA 0000000010". UIDs
 * behind it must be above that.
 *
 * Gone. An expunged message stays in the file for a while, since taking it out means to write everything
 * behind it again. Its block says that it is gone, where X-Keywords was, or what comes before that:
 *
 *     Status: RO
 *     X-Status: D
 *     X-Expunged: 8f3a0c21        as many spaces as are needed
 *     X-UID: n
 *
 * The number is n, mixed with V, so that the field means nothing in another mailbox into which somebody
 * copies the message. It counts only in the fields directly behind the From line, where no sender can write.
 * It is a field of its own because every program that rewrites a message copies fields it does not know: what
 * others make of the block, the message stays expunged. They show it, as deleted, until it is taken out.
 */
#ifndef UNIX_STATUS_H
#define UNIX_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum unix_field {
	UNIX_FIELD_NONE,
	UNIX_FIELD_IMAP,
	UNIX_FIELD_BASE,
	UNIX_FIELD_STATUS,
	UNIX_FIELD_XSTATUS,
	UNIX_FIELD_KEYWORDS,
	UNIX_FIELD_UID,
	UNIX_FIELD_EXPUNGED, /* in front of a header only */
};
/* "X-IMAPbase:" and its NUL */
#define UNIX_FIELD_NAME_MAX 12u

/* What an internal header line is, spelled exactly; `size` octets of its beginning. */
enum unix_field unix_field_of(const unsigned char *line, size_t size);
/* More octets could make one of the names of these. */
bool unix_field_may_follow(const unsigned char *line, size_t size);
/* An appended message's own field that must be renamed, however it is spelled: one of the names and ':'. */
bool unix_field_reserved(const unsigned char *line, size_t size);

#define UNIX_LETTER_R 0x01u
#define UNIX_LETTER_O 0x02u
#define UNIX_LETTER_D 0x04u
#define UNIX_LETTER_F 0x08u
#define UNIX_LETTER_A 0x10u
#define UNIX_LETTER_T 0x20u
/* MORTISE_FLAG_… of letters (no O: RECENT) and back. */
uint32_t unix_flags_of_letters(unsigned letters);
unsigned unix_letters_of_flags(uint32_t flags);

#define UNIX_KEYWORDS_MAX 64u /* bits we have */
#define UNIX_KEYWORD_SIZE 50u /* octets a name may have */
#define UNIX_TOKEN_LIMIT 1000000u

/* A mailbox's keyword table: grows at its end only. */
struct unix_keywords {
	size_t count;
	char names[UNIX_KEYWORDS_MAX][UNIX_KEYWORD_SIZE + 2];
};

/* The next word of a list that spaces divide, which moves on; NULL: none is left. */
const char *unix_next_word(const char **list, const char *end, size_t *size);
bool unix_keyword_valid(const char *name, size_t size);
/* The bit of a name (case does not matter), or -1. */
int unix_keyword_find(const struct unix_keywords *k, const char *name, size_t size);
/* The bit, adding the name when it is new; -1: not valid, or `limit` names are there already. */
int unix_keyword_add(struct unix_keywords *k, const char *name, size_t size, size_t limit);

/* What a block is to say. */
struct unix_block {
	bool base;
	uint32_t uidvalidity, uidlast;     /* base */
	const struct unix_keywords *table; /* of the mailbox */
	uint32_t token;                    /* base; 0: none */
	unsigned letters;
	uint64_t keywords;
	uint32_t uid;  /* 0: no X-UID line */
	uint32_t mark; /* 0: none */
	uint64_t rest; /* 0: none; the block has the same size for every other value */
	bool gone;     /* then uidvalidity counts, and keywords do not */
};

/* What X-Expunged says of a message, and back: each undoes the other. */
uint32_t unix_gone_code(uint32_t uidvalidity, uint32_t uid);

#define UNIX_BLOCK_MAX 8192u
/*
 * Writes the block into out[UNIX_BLOCK_MAX] and returns its length. With want 0 the length is the natural
 * one; otherwise it is exactly `want` octets, or 0 is returned because less than it needs. The token gives
 * way first (and is 0 then).
 */
size_t unix_block_write(char *out, struct unix_block *b, size_t want);
/*
 * Another way to say in a block that the message is gone, by changing less of it: `way` 0, 1, …, until it
 * returns false. False also when the block holds what may not be lost.
 */
#define UNIX_GONE_WAYS 3u
bool unix_block_gone(char *block, size_t size, uint32_t code, unsigned way);

/* "X-IMAP: V L kw\nStatus: RO token\n" of the pseudo-message, exactly `want` octets (0: as long as it needs),
 * or 0. */
size_t unix_pseudo_fields(char *out, struct unix_block *b, size_t want);
/* Spaces behind the keyword list of a pseudo-message, for keywords that will come. */
#define UNIX_PSEUDO_SLACK 160u
/* A whole pseudo-message into out[UNIX_BLOCK_MAX]; `now` for its dates. */
size_t unix_pseudo_write(char *out, struct unix_block *b, int64_t now);

#endif
