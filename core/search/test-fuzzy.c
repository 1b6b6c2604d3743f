/*
 * Words against words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "charset/charset.h"
#include "search/fuzzy.h"
#include "base/banned.h"

/* In pieces of every size. */
static unsigned relevancy(const char *wanted, const char *text)
{
	struct arena *a = arena_new("test");
	struct buf folded = BUF_INIT, key = BUF_INIT;
	unsigned first = 0;
	size_t piece, at;

	charset_fold(&key, str_of(wanted));
	charset_fold(&folded, str_of(text));
	for (piece = 1; piece <= folded.n + 1; piece++) {
		struct fuzzy f;
		unsigned r;

		fuzzy_start(&f, fuzzy_words_new(a, buf_str(&key)));
		for (at = 0; at < folded.n; at += piece)
			if (fuzzy_feed(&f, str_sub(buf_str(&folded), at, piece)))
				break;
		r = fuzzy_relevancy(&f);
		if (piece == 1)
			first = r;
		assert_int_equal(r, first);
	}
	buf_free(&key);
	buf_free(&folded);
	arena_free(&a);
	return first;
}

static void fuzzy_01_table(void **state)
{
	static const struct {
		const char *wanted, *text;
		unsigned relevancy;
	} cases[] = {
	    {"IMAP break", "IMAP break", 100},
	    {"IMAP break", "break, then IMAP", 100},
	    {"IMAP break", "breaking the imap server", 90},
	    {"IMAP brok", "broken IMAP", 90},
	    {"IMAP break", "IMAP only", 0},
	    {"helo", "Hello there", 60},
	    {"helo", "help!", 60},
	    {"hello", "ehllo", 0}, /* the first letter must be right */
	    {"hello", "hlelo", 60},
	    {"conference", "the confernece", 60},
	    {"conference", "conferance room", 60},
	    {"cat", "cut", 0},
	    {"cat", "category", 80},
	    {"ca", "category", 0},
	    {"ca", "ca", 100},
	    {"book", "handbook", 40},
	    {"cafe", "Caf\xc3\xa9", 100},
	    {"caf\xc3\xa9", "cafe", 100},
	    {"caf\xc3\xa9", "cafe\xcc\x81s", 80},
	    {"\xd0\x9c\xd0\xbe\xd1\x81\xd0\xba\xd0\xb2\xd0\xb0",
	        "\xd0\x9c\xd0\x9e\xd0\xa1\xd0\x9a\xd0\x92\xd0\x90", 100},
	    {"one two", "one", 0},
	    {"!?", "!?", 0},
	    {"x", "", 0},
	    {"a1", "x=a1;y", 100},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (relevancy(cases[i].wanted, cases[i].text) != cases[i].relevancy)
			fail_msg("\"%s\" in \"%s\": %u", cases[i].wanted, cases[i].text,
			    relevancy(cases[i].wanted, cases[i].text));
}

/* attack-084: long words and many of them cost no more room, and end. */
static void fuzzy_02_long(void **state)
{
	struct arena *a = arena_new("test");
	struct buf key = BUF_INIT;
	struct fuzzy f;
	size_t i;

	(void)state;
	for (i = 0; i < 100000; i++)
		buf_adds(&key, "aaaaaaaaab ");
	fuzzy_start(&f, fuzzy_words_new(a, buf_str(&key)));
	assert_int_equal(f.words->n, FUZZY_WORDS);
	for (i = 0; i < 1000000; i++)
		fuzzy_feed(&f, STR("aaaaaaaaa"));
	assert_int_equal(fuzzy_relevancy(&f), 0);
	fuzzy_start(&f, f.words);
	for (i = 0; i < 100000; i++)
		fuzzy_feed(&f, STR(" aaaaaaaaaa"));
	assert_int_equal(fuzzy_relevancy(&f), 60);
	buf_free(&key);
	arena_free(&a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(fuzzy_01_table),
	    cmocka_unit_test(fuzzy_02_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
