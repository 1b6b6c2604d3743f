/* fail fails where and when it is told to, and works otherwise. */
#include "../memory/test-drive.h"

extern const struct mortise_module fail_LTX_mortise_module;

static void test_counts(void **state)
{
	static const int want[] = {0, 0, MORTISE_E_QUOTA, MORTISE_E_QUOTA, MORTISE_E_QUOTA, 0, 0};
	struct mortise_place p;
	struct drive d;
	size_t i;
	void *a;

	(void)state;
	drive_start(&d, &fail_LTX_mortise_module);
	p = drive_place(&d, "a");
	assert_int_equal(DRIVE(&d, create, &p), 0);
	a = drive_open(&d, &p, 0);
	drive_option(&d, "callback", "lock");
	drive_option(&d, "code", "quota");
	drive_option(&d, "after", "2");
	drive_option(&d, "times", "3");
	for (i = 0; i < ARRAY_LEN(want); i++) {
		assert_int_equal(DRIVE(&d, lock, a, MORTISE_LOCK_SHARED, 1), want[i]);
		assert_int_equal(DRIVE(&d, lock, a, MORTISE_LOCK_NONE, 0), 0); /* giving back always works */
	}
	DRIVE_VOID(&d, close, a);
	drive_end(&d);
}

static void test_commit_takes_nothing(void **state)
{
	struct mortise_cursor c = {0};
	struct mortise_place p;
	struct drive d;
	struct ear ear;
	uint32_t uid;
	void *a;

	(void)state;
	drive_start(&d, &fail_LTX_mortise_module);
	p = drive_place(&d, "a");
	assert_int_equal(DRIVE(&d, create, &p), 0);
	a = drive_open(&d, &p, 0);
	drive_option(&d, "callback", "append_commit");
	drive_option(&d, "times", "1");
	assert_int_equal(drive_append(&d, a, "x", &uid), MORTISE_E_IO);
	assert_non_null(strstr(d.e.admin, "fail: append_commit: told to fail at call 1"));
	assert_string_equal(drive_sync(&d, a, &c, &ear), "full next1");
	assert_int_equal(drive_append(&d, a, "x", &uid), 0);
	DRIVE_VOID(&d, close, a);
	drive_end(&d);
}

static void test_late(void **state)
{
	struct mortise_cursor c = {0};
	struct mortise_place p;
	struct drive d;
	struct ear ear;
	uint32_t uid;
	void *a;

	(void)state;
	drive_start(&d, &fail_LTX_mortise_module);
	p = drive_place(&d, "a");
	assert_int_equal(DRIVE(&d, create, &p), 0);
	a = drive_open(&d, &p, 0);
	assert_int_equal(drive_append(&d, a, "x", &uid), 0);
	drive_option(&d, "callback", "sync");
	drive_option(&d, "late", "yes");
	assert_string_equal(drive_sync(&d, a, &c, &ear), "failed");
	assert_string_equal(ear.text, "full +1(100) next2");
	drive_option(&d, "late", "no");
	assert_string_equal(drive_sync(&d, a, &c, &ear), "failed");
	assert_string_equal(ear.text, "");
	DRIVE_VOID(&d, close, a);
	drive_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_counts),
	    cmocka_unit_test(test_commit_takes_nothing), cmocka_unit_test(test_late)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
