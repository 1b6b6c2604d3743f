/* memory, callback by callback: the words of driver.h. */
#include "test-drive.h"

extern const struct mortise_module memory_LTX_mortise_module;

static int probe(struct drive *d, const struct mortise_place *p)
{
	unsigned char head[4096];
	struct mortise_probe x = {.size = sizeof(x), .place = p, .head = head};
	struct stat st;
	int r;

	x.fd = openat(d->root, p->path, O_RDONLY);
	assert_true(x.fd >= 0);
	assert_int_equal(fstat(x.fd, &st), 0);
	x.st = &st;
	x.head_size = (size_t)pread(x.fd, head, sizeof(head), 0);
	r = DRIVE(d, recognise, &x);
	close(x.fd);
	return r;
}

static void put(struct drive *d, const char *path, const char *text)
{
	int fd = openat(d->root, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void test_recognise(void **state)
{
	struct drive d;
	struct mortise_place p;

	(void)state;
	drive_start(&d, &memory_LTX_mortise_module);
	p = drive_place(&d, "a");
	assert_int_equal(DRIVE(&d, create, &p), 0);
	assert_int_equal(probe(&d, &p), MORTISE_MINE);
	assert_int_equal(DRIVE(&d, create, &p), MORTISE_E_EXISTS);
	put(&d, "a", "Mortise memory mailbox\n0123456789abcdeX\n");
	assert_int_equal(probe(&d, &p), MORTISE_DAMAGED);
	assert_int_equal(d.e.code, MORTISE_E_CORRUPT);
	put(&d, "a", "Mortise memory mailbox\n0000000000000000\n");
	assert_int_equal(probe(&d, &p), MORTISE_DAMAGED);
	put(&d, "a", "Mortise memory mailbox\n0123456789abcdef\nmore");
	assert_int_equal(probe(&d, &p), MORTISE_DAMAGED);
	put(&d, "a", "Mortise memory mailbo");
	assert_int_equal(probe(&d, &p), MORTISE_NOT_MINE);
	put(&d, "a", "");
	assert_int_equal(probe(&d, &p), MORTISE_NOT_MINE);
	drive_end(&d);
}

static void test_life(void **state)
{
	struct mortise_cursor one = {0}, two = {0};
	struct mortise_flag_change change = {.flags = MORTISE_FLAG_SEEN, .keywords = 1};
	struct mortise_source src = {.size = sizeof(src)};
	struct mortise_ref ref;
	struct mortise_place p;
	struct drive d;
	struct ear ear;
	void *a, *b;
	uint32_t uid;
	unsigned bit;

	(void)state;
	drive_start(&d, &memory_LTX_mortise_module);
	p = drive_place(&d, "a");
	assert_int_equal(DRIVE(&d, create, &p), 0);
	a = drive_open(&d, &p, 0);
	b = drive_open(&d, &p, 0);
	assert_string_equal(drive_sync(&d, a, &one, &ear), "full next1");
	assert_int_equal(drive_append(&d, a, "one", &uid), 0);
	assert_int_equal(uid, 1);
	assert_int_equal(drive_append(&d, b, "two", &uid), 0);
	assert_string_equal(drive_sync(&d, a, &one, &ear), "+1(100) +2(100) next3");
	assert_int_equal(ear.last.octets, 3);
	assert_string_equal(drive_sync(&d, a, &one, &ear), "");
	assert_string_equal(drive_sync(&d, b, &two, &ear), "full +1(100) +2(100) next3");
	change.ref = drive_ref(2);
	assert_int_equal(DRIVE(&d, set_flags, a, &change, 1), MORTISE_E_INTERNAL); /* no lock */
	assert_int_equal(DRIVE(&d, lock, a, MORTISE_LOCK_EXCLUSIVE, 1), 0);
	assert_int_equal(DRIVE(&d, lock, b, MORTISE_LOCK_SHARED, 1), MORTISE_E_INUSE);
	assert_int_equal(DRIVE(&d, add_keyword, a, "k", &bit), 0);
	assert_int_equal(bit, 0);
	assert_int_equal(DRIVE(&d, set_flags, a, &change, 1), 0);
	assert_int_equal(DRIVE(&d, seen_recent, a, &change.ref, 1), 0);
	ref = drive_ref(1);
	assert_int_equal(DRIVE(&d, expunge, a, &ref, 1), 0);
	assert_int_equal(DRIVE(&d, expunge, a, &ref, 1), 0); /* already gone: skipped */
	assert_int_equal(DRIVE(&d, lock, a, MORTISE_LOCK_NONE, 0), 0);
	assert_string_equal(drive_sync(&d, b, &two, &ear), "kw1 -1 ~2(1) next3");
	assert_int_equal(DRIVE(&d, read, b, &ref, &src), MORTISE_E_EXPUNGED);
	assert_int_equal(DRIVE(&d, read, b, &change.ref, &src), 0);
	/* What was handed out stays while another box takes the message away. */
	assert_int_equal(DRIVE(&d, lock, a, MORTISE_LOCK_EXCLUSIVE, 1), 0);
	assert_int_equal(DRIVE(&d, expunge, a, &change.ref, 1), 0);
	assert_memory_equal(src.memory + src.extents[0].offset, "two", 3);
	DRIVE_VOID(&d, close, a);
	DRIVE_VOID(&d, close, b);
	/* Across opens: UIDs go on. */
	a = drive_open(&d, &p, 0);
	assert_int_equal(drive_append(&d, a, "three", &uid), 0);
	assert_int_equal(uid, 3);
	DRIVE_VOID(&d, close, a);
	assert_int_equal(DRIVE(&d, remove, &p), 0);
	drive_end(&d);
}

static void test_gone_and_replaced(void **state)
{
	struct mortise_cursor c = {0};
	struct mortise_place p, q;
	struct drive d;
	struct ear ear;
	uint32_t uid;
	void *a, *b;

	(void)state;
	drive_start(&d, &memory_LTX_mortise_module);
	p = drive_place(&d, "a");
	q = drive_place(&d, "b");
	assert_int_equal(DRIVE(&d, create, &p), 0);
	assert_int_equal(DRIVE(&d, create, &q), 0);
	a = drive_open(&d, &p, 0);
	b = drive_open(&d, &q, 0);
	assert_int_equal(drive_append(&d, b, "b's", &uid), 0);
	drive_sync(&d, a, &c, &ear);
	assert_int_equal(DRIVE(&d, rename, &q, &p), MORTISE_E_EXISTS);
	assert_int_equal(renameat(d.root, "b", d.root, "a"), 0);
	assert_string_equal(drive_sync(&d, a, &c, &ear), "full +1(100) next2");
	assert_int_equal(DRIVE(&d, remove, &p), 0);
	assert_string_equal(drive_sync(&d, a, &c, &ear), "failed");
	assert_int_equal(d.e.code, MORTISE_E_NOTFOUND);
	DRIVE_VOID(&d, close, a);
	DRIVE_VOID(&d, close, b);
	drive_end(&d);
}

/* An empty file is a mailbox; its first message makes it a marker. */
static void test_empty_file(void **state)
{
	struct mortise_cursor c = {0};
	struct mortise_place p;
	struct drive d;
	struct ear ear;
	uint32_t uid;
	void *a;

	(void)state;
	drive_start(&d, &memory_LTX_mortise_module);
	put(&d, "a", "");
	p = drive_place(&d, "a");
	a = drive_open(&d, &p, 0);
	assert_string_equal(drive_sync(&d, a, &c, &ear), "full next1");
	assert_int_equal(drive_append(&d, a, "x", &uid), 0);
	assert_int_equal(probe(&d, &p), MORTISE_MINE);
	assert_string_equal(drive_sync(&d, a, &c, &ear), "+1(100) next2");
	DRIVE_VOID(&d, close, a);
	drive_end(&d);
}

static void test_without_files(void **state)
{
	struct mortise_place p, q;
	struct mortise_box_info info = {.size = sizeof(info)};
	struct mortise_cursor c = {0};
	struct mortise_probe x = {.size = sizeof(x), .place = &p, .fd = -1};
	struct drive d;
	struct ear ear;
	uint32_t uid;
	void *a;

	(void)state;
	drive_start(&d, &memory_LTX_mortise_module);
	p = drive_place(&d, "somewhere");
	p.root = -1;
	q = p;
	q.path = "elsewhere";
	assert_int_equal(DRIVE(&d, recognise, &x), MORTISE_NOT_MINE);
	assert_int_equal(DRIVE(&d, open, &p, 0, &info, &a), MORTISE_E_NOTFOUND);
	assert_int_equal(DRIVE(&d, create, &p), 0);
	assert_int_equal(DRIVE(&d, create, &p), MORTISE_E_EXISTS);
	assert_int_equal(DRIVE(&d, recognise, &x), MORTISE_MINE);
	a = drive_open(&d, &p, 0);
	assert_int_equal(drive_append(&d, a, "x", &uid), 0);
	DRIVE_VOID(&d, close, a);
	assert_int_equal(DRIVE(&d, rename, &p, &q), 0);
	a = drive_open(&d, &q, MORTISE_OPEN_READ_ONLY);
	assert_string_equal(drive_sync(&d, a, &c, &ear), "full +1(100) next2");
	assert_int_equal(DRIVE(&d, append_begin, a, (void **)&x), MORTISE_E_PERM);
	DRIVE_VOID(&d, close, a);
	assert_int_equal(DRIVE(&d, remove, &q), 0);
	drive_end(&d);
}

static void test_batches(void **state)
{
	const struct mortise_append_info info = {.size = sizeof(info), .octets = MORTISE_SIZE_UNKNOWN};
	uint32_t uids[3], uidvalidity;
	struct mortise_cursor c = {0};
	struct mortise_place p;
	struct drive d;
	struct ear ear;
	void *a, *tx;
	int i;

	(void)state;
	drive_start(&d, &memory_LTX_mortise_module);
	p = drive_place(&d, "a");
	assert_int_equal(DRIVE(&d, create, &p), 0);
	a = drive_open(&d, &p, 0);
	assert_int_equal(DRIVE(&d, append_begin, a, &tx), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(DRIVE(&d, append_message, tx, &info), 0);
	assert_int_equal(DRIVE(&d, append_commit, tx, &uidvalidity, uids, 3), 0);
	assert_int_equal(uids[2], 3);
	assert_int_equal(DRIVE(&d, append_begin, a, &tx), 0);
	assert_int_equal(DRIVE(&d, append_message, tx, &info), 0);
	DRIVE_VOID(&d, append_abort, tx);
	assert_string_equal(drive_sync(&d, a, &c, &ear), "full +1(100) +2(100) +3(100) next4");
	DRIVE_VOID(&d, close, a);
	assert_int_equal(DRIVE(&d, remove, &p), 0);
	drive_end(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_recognise), cmocka_unit_test(test_life),
	    cmocka_unit_test(test_gone_and_replaced), cmocka_unit_test(test_empty_file),
	    cmocka_unit_test(test_without_files), cmocka_unit_test(test_batches)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
