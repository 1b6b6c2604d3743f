/* THREAD, and the forest below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "search/forest.h"
#include "search/subject.h"
#include "search/thread.h"
#include "base/object.h"
#include "base/banned.h"

#define HANG_SECONDS 300
#define HOSTILE 100000u

struct sample {
	int64_t date;
	const char *subject, *id, *references; /* ids with spaces between */
};

static void add(struct threading *t, uint32_t number, int64_t date, const char *subject, const char *id,
    const char *references)
{
	struct buf base = BUF_INIT, ids = BUF_INIT;
	struct str rest = str_of(references);
	struct sort_record r = {.has_date = true, .date = date};

	r.reply = base_subject(&base, str_of(subject));
	while (rest.n > 0) {
		buf_addstr(&ids, str_cut(&rest, ' '));
		buf_addc(&ids, '\0');
	}
	r.texts[SORT_TEXT_SUBJECT] = buf_str(&base);
	r.texts[SORT_TEXT_ID] = str_of(id);
	r.texts[SORT_TEXT_REFERENCES] = buf_str(&ids);
	assert_true(threading_add(t, &(struct sort_message){.number = number, .record = &r}));
	buf_free(&base);
	buf_free(&ids);
}

static void check(
    enum thread_algorithm algorithm, const struct sample *samples, size_t count, const char *expected)
{
	struct threading *t = threading_new(algorithm, 1000);
	struct buf out = BUF_INIT;
	size_t i;

	for (i = 0; i < count; i++)
		add(t, (uint32_t)i + 1, samples[i].date, samples[i].subject, samples[i].id,
		    samples[i].references);
	threading_write(t, &out);
	assert_string_equal(buf_cstr(&out), expected);
	buf_free(&out);
	threading_free(&t);
}

#define check_references(expected, ...)                              \
	do {                                                         \
		static const struct sample s[] = {__VA_ARGS__};      \
		check(THREAD_REFERENCES, s, ARRAY_LEN(s), expected); \
	} while (0)

static void thread_01_ordered_subject(void **state UNUSED)
{
	static const struct sample s[] = {{10, "b", "", ""}, {30, "a", "", ""}, {20, "Re: b", "", ""},
	    {25, "[x] a (fwd)", "", ""}, {15, "b", "", ""}, {5, "c", "", ""}, {40, "", "", ""},
	    {41, "Re:", "", ""}};

	check(THREAD_ORDEREDSUBJECT, s, ARRAY_LEN(s), "(6)(1 (5)(3))(4 2)(7 8)");
	check(THREAD_ORDEREDSUBJECT, s, 0, "");
	check(THREAD_ORDEREDSUBJECT, s, 1, "(1)");
	check(THREAD_REFERENCES, s, 0, "");
}

static void thread_02_response_shapes(void **state UNUSED)
{
	/* RFC 5256, THREAD response: (2)(3 6 (4 23)(44 7 96)), here as 1, 2 3 (4 5)(6 7 8). */
	check_references("(1)(2 3 (4 5)(6 7 8))", {1, "p", "2@", ""}, {2, "q", "3@", ""},
	    {3, "q", "6@", "3@"}, {4, "q", "4@", "3@ 6@"}, {5, "q", "23@", "3@ 6@ 4@"},
	    {6, "q", "44@", "3@ 6@"}, {7, "q", "7@", "3@ 6@ 44@"}, {8, "q", "96@", "3@ 6@ 44@ 7@"});
	/* ((3)(5)): siblings of a parent that is not there. */
	check_references("((1)(2))", {1, "a", "3@", "gone@"}, {2, "b", "5@", "gone@"});
	/* A dummy with one child: the child stands alone. */
	check_references("(1)", {1, "a", "3@", "gone@ gone-too@"});
	/* Dummies between messages go, their children come up. */
	check_references(
	    "(1 (2)(3))", {1, "a", "1@", ""}, {2, "a", "2@", "1@ x@"}, {3, "a", "3@", "1@ y@ x@"});
}

static void thread_03_links(void **state UNUSED)
{
	/* Children before their parents. */
	check_references("(3 2 1)", {3, "a", "c@", "a@ b@"}, {2, "a", "b@", "a@"}, {1, "a", "a@", ""});
	/* A message's own references count more than what others say of it (1.B)… */
	check_references("(2)(3 1)", {3, "x", "c@", "a@ b@"}, {1, "y", "a@", ""}, {2, "z", "b@", ""});
	/* …and between two others the first to speak is right (1.A). */
	check_references("(1 2 3)", {1, "x", "a@", ""}, {2, "x", "b@", "a@"}, {3, "x", "c@", "z@ b@"});
	/* Ids are compared with regard to case. */
	check_references("(1)(2)", {1, "x", "A@", ""}, {2, "y", "b@", "a@"});
}

static void thread_04_loops(void **state UNUSED)
{
	check_references("(1)", {1, "x", "a@", "a@"});
	check_references("(1)", {1, "x", "a@", "a@ a@ a@"});
	check_references("(2 1)", {1, "x", "a@", "b@"}, {2, "y", "b@", "a@"});
	check_references("(3 2 1)", {1, "x", "a@", "b@"}, {2, "y", "b@", "c@"}, {3, "z", "c@", "a@"});
	check_references("(2 1)", {1, "x", "a@", "b@ a@ b@"}, {2, "y", "b@", "a@ b@ a@"});
}

static void thread_05_ids_that_are_missing_or_twice(void **state UNUSED)
{
	check_references("(1)(2)", {1, "x", "", ""}, {2, "y", "", ""});
	/* The first of two has it. */
	check_references("(1 3)(2)", {1, "x", "a@", ""}, {2, "y", "a@", ""}, {3, "z", "c@", "a@"});
	check_references("(1 (2)(3))", {1, "x", "a@", ""}, {2, "y", "b@", "a@"}, {3, "z", "b@", "a@"});
}

static void thread_06_subjects(void **state UNUSED)
{
	/* A reply without references goes below the message. */
	check_references("(1 2)", {1, "x", "a@", ""}, {2, "Re: x", "b@", ""});
	/* Also when the reply is older: the table has what is no reply. */
	check_references("(2 1)", {1, "Re: x", "a@", ""}, {2, "x", "b@", ""});
	/* Two of the same kind get a dummy. */
	check_references("((1)(2))", {1, "x", "a@", ""}, {2, "x", "b@", ""});
	check_references("((1)(2))", {1, "Re: x", "a@", ""}, {2, "Fwd: x", "b@", ""});
	check_references("((1)(2)(3))", {1, "x", "a@", ""}, {2, "x", "b@", ""}, {3, "Re: x", "c@", ""});
	/* Into a dummy that is there; two dummies become one. */
	check_references("((1)(2)(3))", {1, "x", "a@", "gone@"}, {2, "x", "b@", "gone@"}, {3, "x", "c@", ""});
	check_references("((1)(2)(3)(4))", {1, "x", "a@", "gone@"}, {2, "y", "b@", "gone@"},
	    {3, "x", "c@", "lost@"}, {4, "z", "d@", "lost@"});
	/* Nothing is gathered for an empty subject. */
	check_references("(1)(2)", {1, "", "a@", ""}, {2, "Re:", "b@", ""});
	/* Whole threads move. */
	check_references("(1 (2)(3 4))", {1, "x", "a@", ""}, {2, "q", "b@", "a@"}, {3, "Re: x", "c@", ""},
	    {4, "r", "d@", "c@"});
}

static void thread_07_dates(void **state UNUSED)
{
	check_references("(2)(3)(1)", {30, "x", "a@", ""}, {10, "y", "b@", ""}, {20, "z", "c@", ""});
	check_references("(1 (4)(3)(2))", {1, "x", "a@", ""}, {30, "x", "b@", "a@"}, {20, "x", "c@", "a@"},
	    {10, "x", "d@", "a@"});
	/* A dummy counts as its first child; equal dates stay in the order of the mailbox. */
	check_references("((3)(1))(2)(4)", {30, "x", "a@", "gone@"}, {20, "y", "b@", ""},
	    {10, "z", "c@", "gone@"}, {20, "w", "d@", ""});
}

/* ---- hostile ---- */

struct hostile {
	struct threading *t;
	uint32_t count;
	struct buf ids;
};

static void add_hostile(struct hostile *h, const char *id)
{
	struct sort_record r = {.has_date = true, .date = h->count};

	r.texts[SORT_TEXT_ID] = str_of(id);
	r.texts[SORT_TEXT_REFERENCES] = buf_str(&h->ids);
	assert_true(threading_add(h->t, &(struct sort_message){.number = ++h->count, .record = &r}));
	buf_reset(&h->ids);
}

static void refer(struct hostile *h, const char *prefix, uint32_t n)
{
	buf_printf(&h->ids, "%s%u@", prefix, n);
	buf_addc(&h->ids, '\0');
}

static const char *id_of(char text[16], const char *prefix, uint32_t n)
{
	snprintf(text, 16, "%s%u@", prefix, n);
	return text;
}

/* Every message is in the answer once. */
static void finish_hostile(struct hostile *h)
{
	struct buf out = BUF_INIT;
	uint32_t numbers = 0;
	int64_t open = 0;
	size_t i;

	threading_write(h->t, &out);
	for (i = 0; i < out.n; i++) {
		open += out.p[i] == '(' ? 1 : out.p[i] == ')' ? -1 : 0;
		assert_true(open >= 0);
		numbers += ascii_digit(out.p[i]) && !ascii_digit(out.p[i + 1]);
	}
	assert_int_equal(open, 0);
	assert_int_equal(numbers, h->count);
	buf_free(&out);
	buf_free(&h->ids);
	threading_free(&h->t);
}

static struct hostile hostile(void)
{
	return (struct hostile){.t = threading_new(THREAD_REFERENCES, 4 * HOSTILE)};
}

/* attack-084: with a walk up the thread for each link these would not end. */
/* draft-ietf-morg-inthread §4: threads by their latest arrival, messages in them by sent date, no subjects.
 */
static void thread_08_refs(void **state UNUSED)
{
	static const struct {
		const char *id, *references; /* each followed by NUL */
		int64_t arrival, date;
	} messages[] = {{"a@", "", 100, 9}, {"b@", "", 50, 8}, {"c@", "a@\0", 90, 7}, {"d@", "b@\0", 300, 1},
	    {"e@", "b@\0", 10, 6}, {"f@", "gone@\0", 200, 5}, {"g@", "gone@\0", 20, 4}, {"h@", "", 300, 3}};
	struct threading *t = threading_new(THREAD_REFS, 1000);
	struct buf out = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(messages); i++) {
		struct sort_record r = {.has_date = true, .date = messages[i].date};

		r.texts[SORT_TEXT_SUBJECT] = STR("the same");
		r.texts[SORT_TEXT_ID] = str_of(messages[i].id);
		r.texts[SORT_TEXT_REFERENCES] = str_mem(messages[i].references,
		    strlen(messages[i].references) + (messages[i].references[0] != '\0'));
		assert_true(threading_add(
		    t, &(struct sort_message){
		           .number = (uint32_t)i + 1, .arrival = messages[i].arrival, .record = &r}));
	}
	threading_write(t, &out);
	assert_string_equal(buf_cstr(&out), "(1 3)((7)(6))(2 (4)(5))(8)");
	buf_free(&out);
	threading_free(&t);
	check(THREAD_REFS, NULL, 0, "");
}

static void thread_10_long_chains(void **state UNUSED)
{
	struct hostile h = hostile();
	char id[16];
	uint32_t i;

	for (i = 0; i < HOSTILE; i++) {
		if (i > 0)
			refer(&h, "", i - 1);
		add_hostile(&h, id_of(id, "", i));
	}
	finish_hostile(&h);
	h = hostile(); /* from the other end */
	for (i = HOSTILE; i > 0; i--) {
		refer(&h, "", i - 1);
		add_hostile(&h, id_of(id, "", i));
	}
	finish_hostile(&h);
}

static void thread_11_loops_below_a_long_chain(void **state UNUSED)
{
	struct hostile h = hostile();
	char id[16];
	uint32_t i;

	for (i = 1; i < HOSTILE / 4; i++) {
		refer(&h, "", i - 1);
		add_hostile(&h, id_of(id, "", i));
	}
	/* Nodes that have children, so that each link must ask whether the chain's end is below them… */
	for (i = 0; i < HOSTILE / 4; i++) {
		refer(&h, "x", i);
		add_hostile(&h, id_of(id, "y", i));
	}
	for (i = 0; i < HOSTILE / 4; i++) {
		refer(&h, "", HOSTILE / 4 - 1);
		refer(&h, "x", i);
		add_hostile(&h, "");
	}
	/* …and the chain's beginning, which may never come below its end. */
	for (i = 0; i < HOSTILE / 4; i++) {
		refer(&h, "", HOSTILE / 4 - 1);
		refer(&h, "", 0);
		add_hostile(&h, "");
	}
	finish_hostile(&h);
}

static void thread_12_all_refer_to_all(void **state UNUSED)
{
	struct hostile h = hostile();
	char id[16];
	uint32_t i, j;

	for (i = 0; i < 1000; i++) {
		for (j = 0; j < 1000; j++)
			refer(&h, "", (i + j * 7) % 1000);
		add_hostile(&h, id_of(id, "", i));
	}
	/* One message, a chain of many that are not there. */
	for (j = 0; j < HOSTILE; j++)
		refer(&h, "gone", j);
	add_hostile(&h, "last@");
	finish_hostile(&h);
}

static void thread_13_one_id(void **state UNUSED)
{
	struct hostile h = hostile();
	uint32_t i;

	for (i = 0; i < HOSTILE; i++) {
		refer(&h, "same", 0);
		add_hostile(&h, "same0@");
	}
	finish_hostile(&h);
}

static void thread_14_limit(void **state UNUSED)
{
	struct threading *t = threading_new(THREAD_REFERENCES, 10);
	struct buf ids = BUF_INIT;
	struct sort_record r = {.reply = false};
	uint32_t i;

	for (i = 0; i < 9; i++) {
		buf_printf(&ids, "%u@", i);
		buf_addc(&ids, '\0');
	}
	r.texts[SORT_TEXT_REFERENCES] = buf_str(&ids);
	assert_true(threading_add(t, &(struct sort_message){.number = 1, .record = &r}));
	assert_false(threading_add(t, &(struct sort_message){.number = 2, .record = &r}));
	threading_free(&t);
	t = threading_new(THREAD_ORDEREDSUBJECT, 1);
	assert_true(threading_add(t, &(struct sort_message){.number = 1, .record = &r}));
	assert_false(threading_add(t, &(struct sort_message){.number = 2, .record = &r}));
	threading_free(&t);
	threading_free(&t);
	buf_free(&ids);
}

/* ---- the forest against a walk ---- */

static uint32_t random_below(uint32_t *state, uint32_t limit)
{
	*state = *state * 1664525u + 1013904223u;
	return (*state >> 8) % limit;
}

static void thread_20_forest(void **state UNUSED)
{
	enum { NODES = 200 };
	uint32_t parents[NODES + 1] = {0}, seed = 20260101, i, step;
	struct forest f = {.nodes = VEC_INIT};

	for (i = 1; i <= NODES; i++)
		assert_int_equal(forest_new(&f), i);
	for (step = 0; step < 50000; step++) {
		uint32_t a = 1 + random_below(&seed, NODES), b = 1 + random_below(&seed, NODES), root = b;

		while (parents[root] != 0)
			root = parents[root];
		assert_int_equal(forest_root(&f, b), root);
		if (parents[a] != 0 && random_below(&seed, 3) == 0) {
			forest_cut(&f, a);
			parents[a] = 0;
		} else if (parents[a] == 0 && root != a) {
			forest_link(&f, a, b);
			parents[a] = b;
		}
	}
	forest_free(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(thread_01_ordered_subject),
	    cmocka_unit_test(thread_02_response_shapes),
	    cmocka_unit_test(thread_03_links),
	    cmocka_unit_test(thread_04_loops),
	    cmocka_unit_test(thread_05_ids_that_are_missing_or_twice),
	    cmocka_unit_test(thread_06_subjects),
	    cmocka_unit_test(thread_07_dates),
	    cmocka_unit_test(thread_08_refs),
	    cmocka_unit_test(thread_10_long_chains),
	    cmocka_unit_test(thread_11_loops_below_a_long_chain),
	    cmocka_unit_test(thread_12_all_refer_to_all),
	    cmocka_unit_test(thread_13_one_id),
	    cmocka_unit_test(thread_14_limit),
	    cmocka_unit_test(thread_20_forest),
	};

	alarm(HANG_SECONDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
