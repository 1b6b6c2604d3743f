/* Quota: limits, usage, the lock, and the kernel's own quota (which is played here). */
#include "store/quota_int.h"
#include "store/metadata.h"
#include "store/test-support.h"
#include "base/banned.h"

static uint64_t kernel_used, kernel_limit;
static uid_t kernel_uid;

int __wrap_kernel_quota(int directory, uid_t uid, uint64_t *used, uint64_t *limit);
int __wrap_kernel_quota(int directory, uid_t uid, uint64_t *used, uint64_t *limit)
{
	assert_true(directory >= 0);
	kernel_uid = uid;
	*used = kernel_used;
	*limit = kernel_limit;
	return kernel_limit > 0;
}

static struct quota_options options;
static const char *items[8];

static void limit(struct fixture *f, const char *a, const char *b)
{
	items[0] = a;
	items[1] = b;
	options = (struct quota_options){.limits = {items, (size_t)(a != NULL) + (b != NULL)},
	    .warning = 90,
	    .administrators = {items + 4, 0}};
	ok(f, store_set_quota(f->s, &options, &f->e));
}

static struct quota_root root_of(struct fixture *f, const char *name)
{
	struct quota_root r;

	ok(f, store_quota(f->s, name, f->a, &r, &f->e));
	return r;
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	static const char *const good[] = {"STORAGE=1G", "message=10", "Annotation-Storage=1", "MAILBOX=0"};
	static const char *const bad[] = {"STORAGE", "STORAGE=x", "FILES=3", "MESSAGE=1k",
	    "STORAGE=9999999999999T", "", " ", "MESSAGE=9223372036854775807", "MESSAGE=-1"};
	struct mortise_list list = {good, 4};
	struct quota_limits l;
	size_t i;

	ok(f, quota_limits_parse(&list, &l, &f->e));
	assert_int_equal(l.of[QUOTA_STORAGE], 1024 * 1024);
	assert_int_equal(l.of[QUOTA_MESSAGE], 10);
	assert_int_equal(l.of[QUOTA_ANNOTATION_STORAGE], 1);
	assert_int_equal(l.of[QUOTA_MAILBOX], 0);
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		list = (struct mortise_list){&bad[i], 1};
		fails(f, quota_limits_parse(&list, &l, &f->e), MORTISE_E_INVALID);
	}
}

static void test_usage(void **state)
{
	struct fixture *f = *state;
	struct quota_root r;

	assert_int_equal(root_of(f, "").limit.of[QUOTA_STORAGE], QUOTA_UNLIMITED);
	limit(f, "MESSAGE=100", "STORAGE=1k");
	append_one(f, "INBOX", ONE, 0);
	append_one(f, "INBOX", TWO, 0);
	append_one(f, "INBOX", THREE, 0);
	append_three(f, "box");
	r = root_of(f, "");
	assert_int_equal(r.usage[QUOTA_MESSAGE], 6);
	assert_int_equal(r.usage[QUOTA_STORAGE], 1);
	assert_int_equal(r.limit.of[QUOTA_STORAGE], 1);
	/* Another session's change counts at once. */
	{
		struct store *other = fixture_other(f), *mine = f->s;

		f->s = other;
		append_one(f, "box", ONE, 0);
		ok(f, store_delete(other, "box", &f->e));
		f->s = mine;
		store_close(&other);
	}
	assert_int_equal(root_of(f, "").usage[QUOTA_MESSAGE], 3);
	fails(f, store_quota(f->s, "elsewhere", f->a, &r, &f->e), MORTISE_E_NOTFOUND);
}

static void test_set(void **state)
{
	struct fixture *f = *state;
	struct quota_limits l = {{QUOTA_UNLIMITED, 2, QUOTA_UNLIMITED, QUOTA_UNLIMITED}};
	struct append *a;
	const char *name = "someone";

	limit(f, "MESSAGE=100", NULL);
	assert_false(store_quota_administrator(f->s));
	options.administrators = (struct mortise_list){&name, 1};
	assert_false(store_quota_administrator(f->s));
	name = f->s->user;
	assert_true(store_quota_administrator(f->s));
	append_one(f, "INBOX", ONE, 0);
	ok(f, store_quota_set(f->s, "", &l, &f->e));
	assert_int_equal(root_of(f, "").limit.of[QUOTA_MESSAGE], 2);
	assert_false(store_quota_warns(f->s));
	append_one(f, "INBOX", ONE, 0);
	assert_true(store_quota_warns(f->s));
	assert_false(store_quota_warns(f->s));
	ok(f, append_begin(f->s, "INBOX", &a, &f->e));
	fails(f, append_message(a, 0, NULL, 0, 0, 0, 10, &f->e), MORTISE_E_QUOTA);
	append_abort(&a);
	/* A store without options has none. */
	fixture_reopen(f);
	append_one(f, "INBOX", ONE, 0);
	fails(f, store_quota_set(f->s, "other", &l, &f->e), MORTISE_E_NOTFOUND);
}

/* attack-127: what was counted stays true until it is written. */
static void test_lock(void **state)
{
	struct fixture *f = *state;
	struct quota_room room = {.more[QUOTA_MESSAGE] = 1};
	struct store *other;
	uint32_t validity, *uids;
	struct append *a;
	size_t n;
	int lock, second;

	f->o.lock_timeout = 30;
	fixture_reopen(f);
	limit(f, "MESSAGE=1", NULL);
	other = fixture_other(f);
	ok(f, store_set_quota(other, &options, &f->e));
	ok(f, append_begin(other, "INBOX", &a, &f->e));
	ok(f, append_message(a, 0, NULL, 0, 0, 0, 1, &f->e));
	ok(f, append_write(a, STR("x"), &f->e));
	ok(f, quota_begin(f->s, &room, &lock, &f->e));
	assert_true(lock >= 0);
	fails(f, quota_begin(other, &room, &second, &f->e), MORTISE_E_INUSE);
	/* Both had room when they began; the first to commit has it. */
	quota_done(&lock);
	append_one(f, "INBOX", ONE, 0);
	fails(f, append_commit(&a, &validity, f->a, &uids, &n, &f->e), MORTISE_E_QUOTA);
	store_close(&other);
	assert_int_equal(root_of(f, "").usage[QUOTA_MESSAGE], 1);
	/* Nothing to count, nothing to lock. */
	room = (struct quota_room){.more[QUOTA_MAILBOX] = 1};
	ok(f, quota_begin(f->s, &room, &lock, &f->e));
	assert_int_equal(lock, -1);
}

static void test_overflow(void **state)
{
	struct fixture *f = *state;
	struct quota_room room = {.more[QUOTA_STORAGE] = UINT64_MAX};

	limit(f, "STORAGE=1M", NULL);
	append_one(f, "INBOX", ONE, 0);
	fails(f, quota_check(f->s, &room, &f->e), MORTISE_E_QUOTA);
}

static void test_annotations(void **state)
{
	struct fixture *f = *state;
	struct metadata m = {STR("/private/comment"), STR("0123456789")};
	enum metadata_refusal why;

	limit(f, "ANNOTATION-STORAGE=1", NULL);
	ok(f, store_metadata_set(f->s, NULL, &m, 1, &why, &f->e));
	append_one(f, "INBOX", ONE, 0);
	ok(f, store_metadata_set(f->s, "INBOX", &m, 1, &why, &f->e));
	assert_int_equal(root_of(f, "").usage[QUOTA_ANNOTATION_STORAGE], 1);
}

static void test_kernel(void **state)
{
	struct fixture *f = *state;
	const char *const *names;
	struct quota_limits l = {{1, 1, 1, 1}};
	struct quota_root r;
	char *kernel;
	size_t n;

	ok(f, store_quota_roots(f->s, "some/where", f->a, &names, &n, &f->e));
	assert_int_equal(n, 1);
	kernel_used = 5000;
	kernel_limit = 1 << 20;
	append_one(f, "INBOX", ONE, 0);
	ok(f, store_create(f->s, "box", &f->e));
	ok(f, store_quota_roots(f->s, "some/where", f->a, &names, &n, &f->e));
	assert_int_equal(n, 2);
	assert_string_equal(names[0], "");
	assert_int_equal(strncmp(names[1], "!filesystem/", 12), 0);
	kernel = arena_strdup(f->a, names[1]);
	ok(f, store_quota_roots(f->s, "INBOX", f->a, &names, &n, &f->e));
	assert_int_equal(n, 2);
	assert_string_equal(names[1], kernel);
	r = root_of(f, kernel);
	assert_int_equal(kernel_uid, f->s->uid);
	assert_int_equal(r.usage[QUOTA_STORAGE], 5);
	assert_int_equal(r.limit.of[QUOTA_STORAGE], 1024);
	assert_int_equal(r.limit.of[QUOTA_MESSAGE], QUOTA_UNLIMITED);
	fails(f, store_quota_set(f->s, kernel, &l, &f->e), MORTISE_E_PERM);
	kernel_limit = 0;
	fails(f, store_quota(f->s, kernel, f->a, &r, &f->e), MORTISE_E_NOTFOUND);
	fails(f, store_quota_roots(f->s, "a//b", f->a, &names, &n, &f->e), MORTISE_E_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_limits, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_usage, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_set, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_lock, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_overflow, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_annotations, fixture_setup, fixture_teardown),
	    cmocka_unit_test_setup_teardown(test_kernel, fixture_setup, fixture_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
