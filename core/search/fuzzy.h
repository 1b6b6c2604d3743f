/*
 * fuzzy.h: does a text say about what was asked for? (RFC 6203)
 *
 * This is the matcher where no search engine stands: words against words, in one pass and without an index.
 * Words are runs of letters and digits of the folded text, without its combining marks, so that "cafe" is
 * "café". Each word that was asked for must be found, or one like it:
 *
 *     100  the word itself
 *     80   a word that begins with it
 *     60   with one letter wrong, missing, too much, or two swapped; with two of them in a long word
 *     40   within a word
 *
 * The mean over all words is the relevancy. Order and distance of words do not count, so "broken IMAP" is
 * found by "IMAP broken". A word asked for has 3 letters before another may begin with it, 4 before a letter
 * may be wrong, 8 before two may be; the first letter must be right, which spares comparing most words letter
 * by letter. Of a key the first FUZZY_WORDS words count, of a word the first FUZZY_OCTETS octets.
 */
#ifndef MORTISE_SEARCH_FUZZY_H
#define MORTISE_SEARCH_FUZZY_H

#include "base/arena.h"
#include "base/str.h"

#define FUZZY_WORDS 16u
#define FUZZY_OCTETS 64u

/* What is asked for. */
struct fuzzy_words {
	struct str v[FUZZY_WORDS];
	size_t n;
};
/* From a folded text; without any word in it nothing is found. */
struct fuzzy_words *fuzzy_words_new(struct arena *a, struct str folded);

/* A text that goes by in pieces. */
struct fuzzy {
	const struct fuzzy_words *words;
	unsigned best[FUZZY_WORDS];
	char word[FUZZY_OCTETS];
	size_t n;
	bool mark; /* the first octet of what may be a combining mark was seen */
	char first;
};
void fuzzy_start(struct fuzzy *f, const struct fuzzy_words *words);
/* The next piece, folded. True: nothing can become better any more. */
bool fuzzy_feed(struct fuzzy *f, struct str folded);
/* The text ends, or another begins that is looked at together with it. */
bool fuzzy_break(struct fuzzy *f);
/* 1 to 100, or 0: not found. */
unsigned fuzzy_relevancy(struct fuzzy *f);

#endif
