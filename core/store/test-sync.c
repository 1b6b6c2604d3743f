/* Sync against a driver that says what the test wants: the rules, and what breaks them. */
#include "base/clock.h"
#include "store/test-support.h"
#include "base/banned.h"

/* One word of a script: "F" full scan, "V9" with UIDVALIDITY 9, "+7" added, "~7" changed (to \Flagged), "-7"
 * vanished, "n20" UIDNEXT, "kN" a table of N keywords, "L5" added without UID but with locator 5, "I57" the
 * same with identity 5 and 7 behind it, "K" added with neither, "!" fails, "*" another session syncs. */
static const char *script;
static struct {
	struct mailbox *m;
	const char *script;
} other;
static uint32_t lock_mode;

/* Once: it has its own script. */
static int other_syncs(void)
{
	struct mailbox *m = other.m;
	struct err e = ERR_INIT;
	const char *mine = script;

	other.m = NULL;
	if (m == NULL)
		return 0;
	script = other.script;
	mailbox_sync(m, &e);
	script = mine;
	return e.code;
}

static int say(const struct mortise_sink *sink, char what, uint32_t n)
{
	static const char *const names[] = {"k0", "k1", "k2", "k3", "k4", "k5"};
	static const char *many[65];
	struct mortise_message m = {.size = sizeof(m), .uid = n, .octets = 1};
	size_t i;

	switch (what) {
	case 'F':
		return sink->full_scan(sink->engine, 0);
	case 'V':
		return sink->full_scan(sink->engine, n);
	case '+':
		return sink->added(sink->engine, &m);
	case '~':
		m.flags = MORTISE_FLAG_FLAGGED;
		return sink->changed(sink->engine, &m);
	case 'L':
		m.uid = 0;
		m.locator_size = sizeof(n);
		memcpy(m.locator, &n, sizeof(n));
		return sink->added(sink->engine, &m);
	case 'I':
		m.uid = 0;
		m.locator_size = 2;
		m.identity_size = n < 100 ? 1 : 3;
		m.locator[0] = (unsigned char)(n / 10);
		m.locator[1] = (unsigned char)(n % 10);
		return sink->added(sink->engine, &m);
	case 'O': /* as a driver of 0.2 */
		m.uid = 0;
		m.locator_size = 1;
		m.locator[0] = (unsigned char)n;
		m.identity_size = 60;
		m.size = offsetof(struct mortise_message, identity_size);
		return sink->added(sink->engine, &m);
	case 'K':
		m.uid = 0;
		return sink->added(sink->engine, &m);
	case 'B':
		m.locator_size = 65;
		return sink->added(sink->engine, &m);
	case '-':
		return sink->vanished(sink->engine, n);
	case 'n':
		return sink->uidnext(sink->engine, n);
	case '*':
		return other_syncs();
	case 'k':
		for (i = 0; i < ARRAY_LEN(many); i++)
			many[i] = i < ARRAY_LEN(names) ? names[i] : "same";
		return sink->keywords(sink->engine, many, n);
	default:
		return MORTISE_E_IO;
	}
}

static int script_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink)
{
	const char *c = script;
	int r = 0;

	(void)call;
	(void)box;
	while (r == 0 && *c != '\0') {
		char what = *c++;
		uint32_t n = 0;

		for (; ascii_digit(*c); c++)
			n = n * 10 + (uint32_t)(*c - '0');
		r = say(sink, what, n);
		while (*c == ' ')
			c++;
	}
	cursor->size = 1;
	cursor->data[0]++;
	return r;
}

static int script_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline)
{
	(void)call;
	(void)box;
	(void)deadline;
	lock_mode = (uint32_t)mode;
	return 0;
}

struct bench {
	struct fixture *f;
	struct mailbox *m;
	struct mortise_driver_ops ops;
	const void *real;
};

static void bench_open(struct bench *b, void **state)
{
	b->f = *state;
	script = "";
	ok(b->f, store_create(b->f->s, "x", &b->f->e));
	b->real = MEMORY(b->f)->ops;
	b->ops = *driver_ops(MEMORY(b->f));
	b->ops.sync = script_sync;
	b->ops.lock = script_lock;
	MEMORY(b->f)->ops = &b->ops;
	ok(b->f, mailbox_open(b->f->s, "x", 0, &b->m, &b->f->e));
}

static void bench_close(struct bench *b)
{
	mailbox_close(&b->m);
	MEMORY(b->f)->ops = b->real;
}

/* UIDs of the mailbox after a sync that says this; "code" when it failed. */
static const char *after(struct bench *b, const char *text)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct err e = ERR_INIT;
	size_t i;

	script = text;
	if (mailbox_sync(b->m, &e) < 0)
		buf_printf(&out, "%d:", e.code);
	for (i = 0; i < b->m->records.n; i++)
		buf_printf(&out, "%s%u%s", i != 0 ? " " : "", b->m->records.v[i]->m.uid,
		    (b->m->records.v[i]->m.flags & MORTISE_FLAG_FLAGGED) != 0 ? "F" : "");
	buf_printf(&out, " n%u", b->m->uidnext);
	return arena_strdup(b->f->a, buf_cstr(&out));
}

static void test_rules(void **state)
{
	struct bench b;

	bench_open(&b, state);
	assert_string_equal(after(&b, "F +1 +2 +5 n6"), "1 2 5 n6");
	assert_string_equal(after(&b, "~2 -1 +9 n20"), "2F 5 9 n20");
	assert_string_equal(after(&b, "~77 -78"), "2F 5 9 n20");        /* of what is not known */
	assert_string_equal(after(&b, "+10 -10 +11"), "2F 5 9 11 n20"); /* came and went */
	assert_string_equal(after(&b, "-5 -5 ~9 ~9"), "2F 9F 11 n20");
	assert_string_equal(after(&b, "F +2 +9 +11 +12"), "2 9 11 12 n20"); /* flags as they are now */
	assert_string_equal(after(&b, "F"), " n20");
	assert_string_equal(after(&b, "n5"), " n20"); /* never down */
	assert_string_equal(after(&b, "+30"), "30 n31");
	bench_close(&b);
}

/* U1: what would take a number away from a message that was told of is left out. */
static void test_order(void **state)
{
	struct bench b;

	bench_open(&b, state);
	assert_string_equal(after(&b, "F +3 +5 +8"), "3 5 8 n9");
	b.m->told = true;
	assert_string_equal(after(&b, "+4"), "3 5 8 n9");
	assert_string_equal(after(&b, "F +3 +4 +5 +8"), "3 5 8 n9");
	assert_string_equal(after(&b, "F +8 +5 +3"), "8 n9");
	/* The last one went; its UID does not come back. */
	assert_string_equal(after(&b, "-8"), " n9");
	assert_string_equal(after(&b, "+8"), " n9");
	assert_string_equal(after(&b, "+9 +9 +9"), "9 n10");
	assert_string_equal(after(&b, "F +9 +9"), "9 n10");
	bench_close(&b);
}

static void test_failures_change_nothing(void **state)
{
	static const char *const bad[] = {"F !", "F +1 !", "-3 ~1 +20 !", "F +1 +2 +50 n90 !", "+21 K",
	    "+21 L1", "+21 B", "k65", "+21 k65"};
	struct bench b;
	size_t i;

	bench_open(&b, state);
	assert_string_equal(after(&b, "F +1 +3 n9"), "1 3 n9");
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		unsigned char cursor = b.m->cursor.data[0];
		const char *got = after(&b, bad[i]);

		assert_string_equal(strchr(got, ':'), ":1 3 n9");
		assert_int_equal(b.m->cursor.data[0], cursor);
	}
	assert_string_equal(after(&b, "+9"), "1 3 9 n10");
	bench_close(&b);
}

static void test_replaced(void **state)
{
	struct bench b;

	bench_open(&b, state);
	assert_string_equal(after(&b, "F +1 +3 n9"), "1 3 n9");
	b.m->told = true;
	assert_string_equal(after(&b, "V4294967295 +1 +2 +3 +4 n5"), "-10:1 3 n9");
	assert_true(mailbox_gone(b.m));
	bench_close(&b);
}

/* A message below others stays out of sight where a session has numbers, and is there for the next one. */
static void test_inserted(void **state)
{
	struct store *s;
	struct bench b;

	bench_open(&b, state);
	assert_string_equal(after(&b, "F +1 +5 +9"), "1 5 9 n10");
	b.m->told = true;
	assert_string_equal(after(&b, "F +1 +3 +5 +9"), "1 5 9 n10");
	s = b.m->store;
	mailbox_close(&b.m);
	script = "F +1 +3 +3 +5 +9 +10";
	ok(b.f, mailbox_open(s, "x", 0, &b.m, &b.f->e));
	assert_int_equal(b.m->counts.messages, 5);
	assert_string_equal(after(&b, ""), "1 3 5 9 10 n11");
	mailbox_close(&b.m);
	script = "";
	ok(b.f, mailbox_open(s, "x", 0, &b.m, &b.f->e));
	ok(b.f, records_load(b.m, &b.f->e));
	assert_string_equal(after(&b, ""), "1 3 5 9 10 n11");
	bench_close(&b);
}

/* attack-118: the last UIDs. Nothing wraps. */
static void test_last_uids(void **state)
{
	struct bench b;

	bench_open(&b, state);
	assert_string_equal(after(&b, "F +4294967294"), "4294967294 n4294967295");
	assert_string_equal(after(&b, "+4294967295"), "4294967294 4294967295 n4294967295");
	assert_string_equal(after(&b, "+1"), "4294967294 4294967295 n4294967295");
	bench_close(&b);
}

static void test_last_engine_uids(void **state)
{
	struct bench b;

	bench_open(&b, state);
	assert_string_equal(after(&b, "F L1 L2"), "1 2 n3");
	b.m->uidnext = UINT32_MAX - 1;
	assert_string_equal(after(&b, "L3"), "1 2 4294967294 n4294967295");
	assert_string_equal(strchr(after(&b, "L4"), ':'), ":1 2 4294967294 n4294967295");
	bench_close(&b);
}

static void test_locators(void **state)
{
	AUTO_BUF struct buf b_text = BUF_INIT;
	struct bench b;
	int i;

	bench_open(&b, state);
	assert_string_equal(after(&b, "F L10 L20 L30"), "1 2 3 n4");
	assert_string_equal(after(&b, "F L30 L10"), "1 3 n4");
	assert_string_equal(after(&b, "L40 L30"), "1 3 4 n5");
	assert_string_equal(after(&b, "F L20 L40"), "4 5 n6"); /* it came back: another message */
	buf_adds(&b_text, "F ");
	for (i = 0; i < 500; i++)
		buf_printf(&b_text, "L%d ", i);
	after(&b, buf_cstr(&b_text));
	assert_int_equal(b.m->records.n, 500);
	assert_string_equal(after(&b, "F L499"), "503 n504");
	bench_close(&b);
}

/* The rest of a locator may change: it is the same message, found elsewhere. */
static void test_identities(void **state)
{
	struct bench b;

	bench_open(&b, state);
	assert_string_equal(after(&b, "F I11 I22 I33"), "1 2 3 n4");
	assert_string_equal(after(&b, "F I31 I12 I23"), "1 2 3 n4"); /* renumbered */
	assert_int_equal(b.m->records.v[0]->m.locator_size, 2);
	assert_int_equal(b.m->records.v[0]->m.locator[1], 2);
	assert_int_equal(b.m->records.v[2]->m.locator[1], 1);
	assert_string_equal(after(&b, "F I31 I42"), "3 4 n5"); /* another one in the place of 1 */
	assert_string_equal(after(&b, "I32 I32 I57"), "3 4 5 n6");
	assert_int_equal(b.m->records.v[0]->m.locator[1], 2);
	assert_string_equal(strchr(after(&b, "I100"), ':'), ":3 4 5 n6"); /* more identity than locator */
	assert_string_equal(after(&b, "F I32 O8 O9"), "3 6 7 n8"); /* all of the locator is the identity */
	bench_close(&b);
}

/* Which messages are recent: of a format that does not know. */
static void test_recent_of_ours(void **state)
{
	struct bench b;

	bench_open(&b, state);
	b.ops.seen_recent = NULL;
	assert_string_equal(after(&b, "F L10 L20"), "1 2 n3");
	assert_true(b.m->records.v[0]->m.recent && b.m->records.v[1]->m.recent);
	mailbox_close(&b.m);
	ok(b.f, mailbox_open(b.f->s, "x", 0, &b.m, &b.f->e));
	assert_string_equal(after(&b, "F L10 L20 L30"), "1 2 3 n4");
	assert_false(b.m->records.v[0]->m.recent || b.m->records.v[1]->m.recent);
	assert_true(b.m->records.v[2]->m.recent); /* it came meanwhile */
	assert_string_equal(after(&b, "F L30"), "3 n4");
	assert_true(b.m->records.v[0]->m.recent);
	bench_close(&b);
}

static void test_keyword_table(void **state)
{
	struct bench b;

	bench_open(&b, state);
	after(&b, "k3");
	assert_int_equal(mailbox_keyword_count(b.m), 3);
	after(&b, "k3 k3");
	assert_int_equal(mailbox_keyword_count(b.m), 3);
	after(&b, "k6");
	assert_int_equal(mailbox_keyword_count(b.m), 6);
	/* A driver that repeats a name does no harm beyond its own bits. */
	after(&b, "k64");
	assert_true(mailbox_keyword_count(b.m) <= 64);
	assert_string_equal(mailbox_keyword(b.m, 5), "k5");
	bench_close(&b);
}

/* In the midst of a sync of a session that has not looked at its messages yet another one commits. */
static void test_committed_meanwhile(void **state)
{
	struct mailbox *first, *late;
	struct bench b;

	bench_open(&b, state);
	assert_string_equal(after(&b, "F +1 +3 +5 n6"), "1 3 5 n6");
	script = "";
	ok(b.f, mailbox_open(b.f->s, "x", 0, &late, &b.f->e));
	assert_false(late->loaded);
	other.m = first = b.m;
	other.script = "+6 +7 n8";
	b.m = late;
	assert_string_equal(after(&b, "* +6 +7 ~3"), "1 3F 5 6 7 n8");
	assert_string_equal(after(&b, "+8"), "1 3F 5 6 7 8 n9");
	assert_string_equal(after(&b, "-1"), "3F 5 6 7 8 n9");
	mailbox_close(&b.m);
	/* Who opens it next knows all of it, too. */
	script = "";
	ok(b.f, mailbox_open(b.f->s, "x", 0, &b.m, &b.f->e));
	ok(b.f, records_load(b.m, &b.f->e));
	assert_string_equal(after(&b, ""), "3F 5 6 7 8 n9");
	mailbox_close(&first);
	bench_close(&b);
}

/* However the change ends, the lock is given back. */
static void test_lock_is_given_back(void **state)
{
	struct number_set all;
	struct bench b;
	uint32_t count;

	bench_open(&b, state);
	all = uid_set(b.f, "1:*");
	script = "!";
	assert_int_equal(mailbox_expunge(b.m, NULL, &count, &b.f->e), MORTISE_E_IO);
	err_clear(&b.f->e);
	assert_int_equal(lock_mode, MORTISE_LOCK_NONE);
	script = "F +1";
	b.ops.set_flags = NULL; /* never reached: nothing differs */
	ok(b.f,
	    mailbox_store_flags(b.m, &all, FLAGS_REMOVE, MORTISE_FLAG_SEEN, NULL, 0, NULL, NULL, &b.f->e));
	assert_int_equal(lock_mode, MORTISE_LOCK_NONE);
	bench_close(&b);
}

#define T(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_rules), T(test_order), T(test_failures_change_nothing),
	    T(test_replaced), T(test_inserted), T(test_last_uids), T(test_last_engine_uids), T(test_locators),
	    T(test_identities), T(test_recent_of_ours), T(test_keyword_table), T(test_committed_meanwhile),
	    T(test_lock_is_given_back)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
