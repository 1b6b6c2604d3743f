/* debug makes its mailboxes up, the same every time, and says what was called. */
#include <sys/mman.h>

#include "../memory/test-drive.h"

extern const struct mortise_module debug_LTX_mortise_module;

static void *start(struct drive *d, struct mortise_place *p, const char *messages, const char *size)
{
	drive_start(d, &debug_LTX_mortise_module);
	drive_option(d, "messages", messages);
	drive_option(d, "size", size);
	drive_option(d, "uidvalidity", "77");
	*p = drive_place(d, "a");
	assert_int_equal(DRIVE(d, create, p), 0);
	return drive_open(d, p, 0);
}

static void test_made_up(void **state)
{
	static const char *const sizes[] = {"256", "257", "1k", "100k"};
	char first[8192];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(sizes); i++) {
		struct mortise_source src = {.size = sizeof(src)};
		struct mortise_cursor c = {0};
		struct mortise_ref ref = drive_ref(3);
		struct mortise_place p;
		struct drive d;
		struct ear ear;
		const char *text;
		void *box = start(&d, &p, "3", sizes[i]);
		uint64_t n;

		assert_string_equal(drive_sync(&d, box, &c, &ear), "full +1(0) +2(1) +3(0) next4");
		assert_int_equal(DRIVE(&d, read, box, &ref, &src), 0);
		n = src.extents[0].length;
		assert_int_equal(n, ear.last.octets);
		text = (const char *)src.memory;
		assert_memory_equal(text + n - 2, "\r\n", 2);
		assert_non_null(memmem(text, n, "\r\nSubject: message 3\r\n", 22));
		assert_non_null(memmem(text, n, "\r\n\r\n", 4));
		if (i == 0)
			memcpy(first, text, 200);
		assert_memory_equal(first, text, 200);
		DRIVE_VOID(&d, close, box);
		drive_end(&d);
	}
}

static void test_says(void **state)
{
	struct mortise_place p;
	struct drive d;
	char said[4096];
	int saved, file;
	ssize_t n;
	void *box;

	(void)state;
	file = memfd_create("said", 0);
	saved = dup(STDERR_FILENO);
	dup2(file, STDERR_FILENO);
	box = start(&d, &p, "1", "1k");
	DRIVE(&d, lock, box, MORTISE_LOCK_EXCLUSIVE, 1);
	DRIVE_VOID(&d, close, box);
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = pread(file, said, sizeof(said) - 1, 0);
	assert_true(n > 0);
	said[n] = '\0';
	close(file);
	assert_non_null(strstr(said, "create(a, 0) = 0"));
	assert_non_null(strstr(said, "open(a, 0) = 0"));
	assert_non_null(strstr(said, "lock(mode, 20) = 0"));
	assert_non_null(strstr(said, "close(0) = 0"));
	drive_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {/* First: equal lines are limited to so many a second. */
	    cmocka_unit_test(test_says), cmocka_unit_test(test_made_up)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
