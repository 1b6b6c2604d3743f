#include "search/fuzzy.h"

#include "base/object.h"
#include "base/banned.h"

#define SAME 100u
#define BEGINS 80u
#define LIKE 60u
#define WITHIN 40u

/* U+0300 to U+036F: CC 80 to CD AF. */
static bool begins_mark(char c)
{
	return (unsigned char)c == 0xcc || (unsigned char)c == 0xcd;
}

static bool ends_mark(char first, char c)
{
	unsigned char u = (unsigned char)c;

	return (unsigned char)first == 0xcc ? u >= 0x80 && u < 0xc0 : u >= 0x80 && u < 0xb0;
}

static bool in_word(char c)
{
	return ascii_alpha(c) || ascii_digit(c) || (unsigned char)c >= 0x80;
}

static bool is_like(struct str wanted, struct str word)
{
	size_t far = wanted.n >= 8 ? 2 : 1;

	if (wanted.n < 4 || word.n + far < wanted.n || word.n > wanted.n + far || word.p[0] != wanted.p[0])
		return false;
	return str_distance(wanted, word) <= far;
}

static unsigned points(struct str wanted, struct str word)
{
	if (str_eq(wanted, word))
		return SAME;
	if (wanted.n >= 3 && str_starts(word, wanted))
		return BEGINS;
	if (is_like(wanted, word))
		return LIKE;
	return wanted.n >= 4 && word.n > wanted.n && str_search(word, wanted) != SIZE_MAX ? WITHIN : 0;
}

static bool perfect(const struct fuzzy *f)
{
	size_t i;

	for (i = 0; i < f->words->n && f->best[i] == SAME; i++)
		;
	return f->words->n > 0 && i == f->words->n;
}

static bool end_word(struct fuzzy *f)
{
	struct str word = str_mem(f->word, f->n);
	size_t i;

	if (f->n == 0)
		return false;
	for (i = 0; i < f->words->n; i++) {
		unsigned p = f->best[i] < SAME ? points(f->words->v[i], word) : 0;

		f->best[i] = p > f->best[i] ? p : f->best[i];
	}
	f->n = 0;
	return perfect(f);
}

static void add(struct fuzzy *f, char c)
{
	if (f->n < FUZZY_OCTETS)
		f->word[f->n++] = c;
}

void fuzzy_start(struct fuzzy *f, const struct fuzzy_words *words)
{
	*f = (struct fuzzy){.words = words};
}

bool fuzzy_feed(struct fuzzy *f, struct str folded)
{
	size_t i;

	for (i = 0; i < folded.n; i++) {
		char c = folded.p[i];

		if (f->mark) {
			f->mark = false;
			if (ends_mark(f->first, c))
				continue;
			add(f, f->first);
		}
		if (begins_mark(c)) {
			f->mark = true;
			f->first = c;
		} else if (in_word(c)) {
			add(f, c);
		} else if (end_word(f)) {
			return true;
		}
	}
	return false;
}

bool fuzzy_break(struct fuzzy *f)
{
	f->mark = false;
	return end_word(f) || perfect(f);
}

unsigned fuzzy_relevancy(struct fuzzy *f)
{
	unsigned sum = 0;
	size_t i;

	fuzzy_break(f);
	for (i = 0; i < f->words->n; i++) {
		if (f->best[i] == 0)
			return 0;
		sum += f->best[i];
	}
	return f->words->n > 0 ? sum / (unsigned)f->words->n : 0;
}

struct fuzzy_words *fuzzy_words_new(struct arena *a, struct str folded)
{
	struct fuzzy_words *words = arena_new_of(a, struct fuzzy_words);
	char word[FUZZY_OCTETS];
	size_t i, n = 0;

	for (i = 0; i <= folded.n && words->n < FUZZY_WORDS; i++) {
		char c = i < folded.n ? folded.p[i] : ' ';

		if (begins_mark(c) && i + 1 < folded.n && ends_mark(c, folded.p[i + 1])) {
			i++;
		} else if (in_word(c)) {
			if (n < FUZZY_OCTETS)
				word[n++] = c;
		} else if (n > 0) {
			words->v[words->n++] = arena_str(a, str_mem(word, n));
			n = 0;
		}
	}
	return words;
}
