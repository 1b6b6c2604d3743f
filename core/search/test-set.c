/* Number sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "search/search.h"
#include "base/object.h"
#include "base/banned.h"

#define HANG_SECONDS 300

static void set_01_parse(void **state UNUSED)
{
	static const struct {
		const char *text;
		uint32_t star;
		const char *expected; /* NULL: refused */
	} cases[] = {
	    {"1", 9, "1"},
	    {"1:3,5", 9, "1:3,5"},
	    {"*", 9, "9"},
	    {"7:*", 9, "7:9"},
	    {"*:7", 9, "7:9"},
	    {"12:*", 9, "9:12"},
	    {"*:*", 9, "9"},
	    {"*", SET_STAR, "4294967295"},
	    /* attack-82 */
	    {"5,3:4,1:2", 9, "1:5"},
	    {"3:1", 9, "1:3"},
	    {"1:5,2:3,4:8", 9, "1:8"},
	    {"1,1,1", 9, "1"},
	    {"4294967295", 9, "4294967295"},
	    {"1:4294967295,4294967295", 9, "1:4294967295"},
	    {"4294967296", 9, NULL},
	    {"99999999999999999999", 9, NULL},
	    {"0", 9, NULL},
	    {"0:1", 9, NULL},
	    {"1:0", 9, NULL},
	    {"01", 9, NULL},
	    {"", 9, NULL},
	    {",", 9, NULL},
	    {"1,", 9, NULL},
	    {",1", 9, NULL},
	    {"1:", 9, NULL},
	    {":1", 9, NULL},
	    {"1:2:3", 9, NULL},
	    {"**", 9, NULL},
	    {"1 ", 9, NULL},
	    {"-1", 9, NULL},
	    {"$", 9, NULL},
	    /* an empty mailbox */
	    {"*", 0, ""},
	    {"1:*", 0, "1"},
	    {"*:*", 0, ""},
	};
	struct arena *a = arena_new("test");
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct number_set s;
		bool ok = set_parse(a, str_of(cases[i].text), cases[i].star, &s);

		if (ok != (cases[i].expected != NULL))
			fail_msg("%s", cases[i].text);
		if (!ok)
			continue;
		set_write(&b, &s);
		assert_string_equal(buf_cstr(&b), cases[i].expected);
		buf_reset(&b);
	}
	assert_false(set_parse(a, STR("1\0"), 9, &(struct number_set){0}));
	buf_free(&b);
	arena_free(&a);
}

static void set_02_has(void **state UNUSED)
{
	struct arena *a = arena_new("test");
	struct number_set s;
	uint32_t n;

	assert_true(set_parse(a, STR("2:3,7,10:12,4294967295"), 1, &s));
	for (n = 0; n < 20; n++)
		assert_int_equal(set_has(&s, n), n == 2 || n == 3 || n == 7 || (n >= 10 && n <= 12));
	assert_true(set_has(&s, UINT32_MAX));
	assert_false(set_has(&s, UINT32_MAX - 1));
	s.n = 0;
	assert_false(set_has(&s, 1));
	arena_free(&a);
}

static void set_03_add(void **state UNUSED)
{
	static const uint32_t numbers[] = {1, 2, 2, 3, 5, 7, 8, 4294967294u, UINT32_MAX, UINT32_MAX};
	struct arena *a = arena_new("test");
	struct number_set s = {NULL, 0};
	struct buf b = BUF_INIT;
	size_t i, cap = 0;

	for (i = 0; i < ARRAY_LEN(numbers); i++)
		set_add(a, &s, &cap, numbers[i]);
	set_write(&b, &s);
	assert_string_equal(buf_cstr(&b), "1:3,5,7:8,4294967294:4294967295");
	s = (struct number_set){NULL, 0};
	cap = 0;
	for (i = 0; i < 100000; i++)
		set_add(a, &s, &cap, (uint32_t)(2 * i + 1));
	assert_int_equal(s.n, 100000);
	assert_true(set_has(&s, 199999) && !set_has(&s, 199998));
	buf_free(&b);
	arena_free(&a);
}

static void set_04_floods(void **state UNUSED)
{
	struct arena *a = arena_new("test");
	struct number_set s;
	struct buf b = BUF_INIT;
	size_t i;

	/* attack-82: 1:* 10^5 times; single numbers falling; ranges around each other */
	for (i = 0; i < 100000; i++)
		buf_adds(&b, i != 0 ? ",1:*" : "1:*");
	assert_true(set_parse(a, buf_str(&b), 1000, &s));
	assert_int_equal(s.n, 1);
	buf_reset(&b);
	for (i = 200000; i > 0; i -= 2)
		buf_printf(&b, "%s%zu", i != 200000 ? "," : "", i);
	assert_true(set_parse(a, buf_str(&b), 1000, &s));
	assert_int_equal(s.n, 100000);
	buf_reset(&b);
	for (i = 1; i <= 100000; i++)
		buf_printf(&b, "%s%zu:%zu", i != 1 ? "," : "", i, 300000 - i);
	assert_true(set_parse(a, buf_str(&b), 1000, &s));
	assert_int_equal(s.n, 1);
	buf_free(&b);
	arena_free(&a);
}

/* Every pair of sets of numbers below 8, against set_has. */
static void set_05_both_without(void **state UNUSED)
{
	unsigned x, y, n;

	for (x = 0; x < 128; x++) {
		for (y = 0; y < 128; y++) {
			AUTO_ARENA struct arena *a = arena_new("test");
			struct number_set sx = {NULL, 0}, sy = {NULL, 0}, both, without;
			size_t cx = 0, cy = 0;

			for (n = 1; n < 8; n++) {
				if ((x >> n & 1) != 0)
					set_add(a, &sx, &cx, n);
				if ((y >> n & 1) != 0)
					set_add(a, &sy, &cy, n);
			}
			set_both(a, &sx, &sy, &both);
			set_without(a, &sx, &sy, &without);
			for (n = 1; n < 8; n++) {
				assert_int_equal(set_has(&both, n), (x & y) >> n & 1);
				assert_int_equal(set_has(&without, n), (x & ~y) >> n & 1);
			}
		}
	}
}

static void set_06_edges(void **state UNUSED)
{
	static const struct {
		const char *x, *y, *both, *without;
	} cases[] = {
	    {"1:4294967295", "1:4294967295", "1:4294967295", ""},
	    {"1:4294967295", "4294967295", "4294967295", "1:4294967294"},
	    {"1:4294967295", "1", "1", "2:4294967295"},
	    {"10:20,30:40", "15:35", "15:20,30:35", "10:14,36:40"},
	    {"10:20,30:40", "1:5,12,14,38:50", "12,14,38:40", "10:11,13,15:20,30:37"},
	    {"4294967295", "1:4294967294", "", "4294967295"},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_ARENA struct arena *a = arena_new("test");
		struct number_set x, y, both, without;

		assert_true(set_parse(a, str_of(cases[i].x), 1, &x));
		assert_true(set_parse(a, str_of(cases[i].y), 1, &y));
		both = x;
		set_both(a, &both, &y, &both);
		without = y;
		set_without(a, &x, &without, &without);
		set_write(&b, &both);
		assert_string_equal(buf_cstr(&b), cases[i].both);
		buf_reset(&b);
		set_write(&b, &without);
		assert_string_equal(buf_cstr(&b), cases[i].without);
		buf_reset(&b);
	}
	buf_free(&b);
}

static void set_07_slices(void **state UNUSED)
{
	static const struct {
		const char *text;
		uint64_t from, to;
		const char *expected; /* NULL: nothing */
	} cases[] = {
	    {"1:3,7,9:10", 0, 6, "1:3,7,9:10"},
	    {"1:3,7,9:10", 2, 5, "3,7,9"},
	    {"1:3,7,9:10", 3, 4, "7"},
	    {"1:3,7,9:10", 5, 100, "10"},
	    {"1:3,7,9:10", 6, 100, NULL},
	    {"1:3,7,9:10", 4, 4, NULL},
	    {"1:4294967295", 4294967294, 4294967295, "4294967295"},
	    {"1:4294967295", 0, 1, "1"},
	};
	struct arena *a = arena_new("slices");
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_BUF struct buf b = BUF_INIT;
		struct number_set set;

		assert_true(set_parse(a, str_of(cases[i].text), 0, &set));
		set_slice(a, &set, cases[i].from, cases[i].to, &set);
		assert_int_equal(set.n == 0, cases[i].expected == NULL);
		if (set.n > 0)
			set_write(&b, &set);
		assert_string_equal(buf_cstr(&b), cases[i].expected != NULL ? cases[i].expected : "");
	}
	arena_free(&a);
}

static void set_08_count(void **state UNUSED)
{
	struct set_range all[] = {{1, UINT32_MAX}}, some[] = {{1, 3}, {7, 7}};

	assert_true(set_count(&(struct number_set){all, 1}) == UINT32_MAX);
	assert_int_equal(set_count(&(struct number_set){some, 2}), 4);
	assert_int_equal(set_count(&(struct number_set){0}), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(set_01_parse),
	    cmocka_unit_test(set_02_has),
	    cmocka_unit_test(set_03_add),
	    cmocka_unit_test(set_04_floods),
	    cmocka_unit_test(set_05_both_without),
	    cmocka_unit_test(set_06_edges),
	    cmocka_unit_test(set_07_slices),
	    cmocka_unit_test(set_08_count),
	};

	alarm(HANG_SECONDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
