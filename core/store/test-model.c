/*
 * Two sessions do random things to one mailbox. After each pause both see the same messages, in the same
 * order, with the flags and the text they should have (U1, U2, U4, U9, U10). Then the same with a driver that
 * fails now and then. The seed is fixed; SEED and ROUNDS in the environment choose others.
 */
#include <stdlib.h>

#include "store/test-support.h"
#include "base/banned.h"

#define UIDS 20000u

struct model {
	struct fixture *f;
	struct store *s[2];
	struct mailbox *m[2];
	struct view *v[2];
	const char *text[UIDS]; /* of each UID ever given */
	uint32_t uidvalidity, serial, seed;
	bool failing; /* operations may fail */
	unsigned done, refused;
};

static uint32_t pick(struct model *x, uint32_t below)
{
	x->seed = x->seed * 1664525 + 1013904223;
	return (x->seed >> 10) % below;
}

static bool went(struct model *x, int r)
{
	if (r >= 0) {
		assert_int_equal(x->f->e.code, 0);
		x->done++;
		return true;
	}
	if (!x->failing && r != MORTISE_E_EXPUNGED)
		fail_msg("%d %s", r, x->f->e.admin);
	err_clear(&x->f->e);
	x->refused++;
	return false;
}

static void given(struct model *x, uint32_t uid, const char *text)
{
	assert_true(uid > 0 && uid < UIDS);
	if (x->text[uid] != NULL)
		fail_msg("UID %u was given twice", uid);
	x->text[uid] = text;
}

static void do_append(struct model *x)
{
	uint32_t uidvalidity, *uids, n = 1 + pick(x, 2), i;
	const char *texts[2] = {NULL};
	struct append *a;
	struct err *e = &x->f->e;
	size_t count;

	if (!went(x, append_begin(x->s[pick(x, 2)], "x", &a, e)))
		return;
	for (i = 0; i < n; i++) {
		texts[i] =
		    arena_printf(x->f->a, "Subject: %u\r\n\r\n%*s\r\n", ++x->serial, (int)pick(x, 3000), "");
		if (!went(x, append_message(a, pick(x, 32), NULL, 0, 0, 0, strlen(texts[i]), e)) ||
		    !went(x, append_write(a, str_of(texts[i]), e))) {
			append_abort(&a);
			return;
		}
	}
	if (went(x, append_commit(&a, &uidvalidity, x->f->a, &uids, &count, e))) {
		assert_int_equal(uidvalidity, x->uidvalidity);
		for (i = 0; i < n; i++)
			given(x, uids[i], texts[i]);
	}
}

static void do_copy(struct model *x, int who, const struct number_set *set)
{
	struct copy_result r;
	size_t i;

	if (went(x, mailbox_copy(x->m[who], set, "x", x->f->a, &r, &x->f->e)))
		for (i = 0; i < r.count; i++)
			given(x, r.to[i], x->text[r.from[i]]);
}

static void do_something(struct model *x, int who)
{
	static const struct str words[] = {STR_INIT("$A"), STR_INIT("b"), STR_INIT("ccc")};
	uint32_t count = view_count(x->v[who]), first, last, n;
	struct set_range range = {1, 1};
	struct number_set set = {&range, 1};

	if (count > 0) {
		first = 1 + pick(x, count);
		last = first + pick(x, 4);
		range.low = view_message(x->v[who], first)->uid;
		range.high = view_message(x->v[who], last < count ? last : count)->uid;
	}
	switch (pick(x, 8)) {
	case 0:
	case 1:
	case 2:
		do_append(x);
		break;
	case 3:
	case 4:
		went(x, mailbox_store_flags(x->m[who], &set, (enum flag_mode)pick(x, 3), pick(x, 32), words,
		            pick(x, 4), NULL, NULL, &x->f->e));
		break;
	case 5:
		went(x, mailbox_expunge(x->m[who], pick(x, 3) != 0 ? &set : NULL, &n, &x->f->e));
		break;
	case 6:
		if (count < 200)
			do_copy(x, who, &set);
		break;
	default:
		break;
	}
}

static void update(struct model *x, int who, unsigned how)
{
	const struct view_events none = {0};
	uint32_t count = view_count(x->v[who]);

	went(x, view_update(x->v[who], how, &none, &x->f->e));
	if ((how & VIEW_MAY_EXPUNGE) == 0)
		assert_true(view_count(x->v[who]) >= count);
}

static void compare_messages(struct model *x, uint32_t n)
{
	const struct message *a = view_message(x->v[0], n), *b = view_message(x->v[1], n);
	uint64_t octets;

	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->flags, b->flags);
	assert_true(a->keywords == b->keywords);
	assert_true(n == 1 || a->uid > view_message(x->v[0], n - 1)->uid);
	assert_true(a->uid < mailbox_uidnext(x->m[0]) && a->uid < mailbox_uidnext(x->m[1]));
	assert_string_equal(read_text(x->f, x->m[n % 2], n % 2 != 0 ? b : a), x->text[a->uid]);
	ok(x->f, mailbox_octets(x->m[1], b, &octets, &x->f->e));
	assert_int_equal(octets, strlen(x->text[a->uid]));
}

/* Quiet: each looks until nobody changes anything any more. */
static void compare(struct model *x)
{
	uint32_t n;
	int i;

	for (i = 0; i < 4; i++)
		update(x, i % 2, VIEW_MAY_EXPUNGE);
	assert_int_equal(view_count(x->v[0]), view_count(x->v[1]));
	for (n = 1; n <= view_count(x->v[0]); n++)
		compare_messages(x, n);
	for (i = 0; i < 2; i++) {
		assert_int_equal(mailbox_uidvalidity(x->m[i]), x->uidvalidity);
		assert_false(mailbox_gone(x->m[i]));
	}
}

static void reopen(struct model *x, int who)
{
	view_close(&x->v[who]);
	mailbox_close(&x->m[who]);
	x->v[who] = open_view(x->f, x->s[who], "x", 0, &x->m[who]);
}

static void fail_somewhere(struct model *x, bool on)
{
	static const char *const callbacks[] = {"sync", "lock", "set_flags", "expunge", "append_begin",
	    "append_message", "append_write", "append_commit", "read", "recognise", "open", "seen_recent"};
	static const char *const codes[] = {"io", "quota", "inuse", "temp"};

	if (FAIL(x->f)->pub.state != NULL)
		*(uint64_t *)FAIL(x->f)->pub.state = 0;
	set_option(x->f, FAIL(x->f), "callback", on ? callbacks[pick(x, ARRAY_LEN(callbacks))] : "");
	set_option(x->f, FAIL(x->f), "code", codes[pick(x, ARRAY_LEN(codes))]);
	set_option(x->f, FAIL(x->f), "after", pick(x, 2) != 0 ? "0" : "1");
	set_option(x->f, FAIL(x->f), "late", pick(x, 2) != 0 ? "yes" : "no");
}

static uint32_t from_environment(const char *name, uint32_t otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

static void run(struct fixture *f, const char *driver, bool failing)
{
	struct model *x = mem_new(struct model);
	uint32_t round, rounds = from_environment("ROUNDS", 1000);
	int i, who;

	x->f = f;
	x->seed = from_environment("SEED", 1);
	x->failing = failing;
	x->s[0] = f->s;
	x->s[1] = fixture_other(f);
	ok(f, store_create(f->s, arena_printf(f->a, "#driver.%s/x", driver), &f->e));
	for (i = 0; i < 2; i++)
		x->v[i] = open_view(f, x->s[i], "x", 0, &x->m[i]);
	x->uidvalidity = mailbox_uidvalidity(x->m[0]);
	for (round = 0; round < rounds; round++) {
		who = (int)pick(x, 2);
		fail_somewhere(x, failing && pick(x, 2) != 0);
		do_something(x, who);
		update(x, who, pick(x, 2) != 0 ? VIEW_MAY_EXPUNGE : 0);
		if (pick(x, 4) != 0)
			continue;
		fail_somewhere(x, false);
		compare(x);
		if (pick(x, 8) == 0)
			reopen(x, who);
	}
	assert_true(x->done > rounds);
	assert_true(failing == (x->refused > rounds / 20));
	for (i = 0; i < 2; i++) {
		view_close(&x->v[i]);
		mailbox_close(&x->m[i]);
	}
	store_close(&x->s[1]);
	mem_free(x);
}

static void test_memory(void **state)
{
	run(*state, "memory", false);
}

static void test_full_scans(void **state)
{
	set_option(*state, MEMORY((struct fixture *)*state), "full_scans", "yes");
	run(*state, "memory", false);
}

static void test_lf_files(void **state)
{
	set_option(*state, MEMORY((struct fixture *)*state), "lf_files", "yes");
	set_option(*state, MEMORY((struct fixture *)*state), "tell_sizes", "no");
	run(*state, "memory", false);
}

static void test_failing(void **state)
{
	run(*state, "fail", true);
}

#define T(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_memory), T(test_full_scans), T(test_lf_files), T(test_failing)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
