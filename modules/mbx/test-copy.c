/* test-copy.c: copies between mailboxes, and mailboxes that take over another one's numbers. */
#include "../unix/test-support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

#define SMALL "Subject: small\r\n\r\ntext\r\n"
#define BIG 150000u

#define CALL(s, what, expression)                                                     \
	struct call_env env = {.box = (s)->arena, .journal_dir = (s)->rig->journals}; \
	struct call c;                                                                \
	int result;                                                                   \
	err_clear(&(s)->e);                                                           \
	call_begin(&c, (s)->rig->instance, &env, what);                               \
	result = (expression);                                                        \
	return call_end(&c, result, &(s)->e)

static int create(struct rig *r, const char *name)
{
	struct mortise_place place = {.size = sizeof place,
	    .root = r->root,
	    .path = name,
	    .name = name,
	    .file_mode = 0600,
	    .dir_mode = 0700};
	struct session *s = &r->s;

	r->file = name;
	s->rig = r;
	CALL(s, "create", rig_ops(r)->create(&c.pub, &place));
}

static int begin(struct session *s, void **tx)
{
	CALL(s, "append_begin", rig_ops(s->rig)->append_begin(&c.pub, s->box, tx));
}

static int copy(struct session *s, void *tx, struct session *from, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t count)
{
	CALL(s, "append_copy", rig_ops(s->rig)->append_copy(&c.pub, tx, from->box, refs, infos, count));
}

static int put(struct session *s, void *tx, const struct mortise_append_info *info, const char *text)
{
	CALL(s, "append",
	    rig_ops(s->rig)->append_message(&c.pub, tx, info) != 0
	        ? -1
	        : rig_ops(s->rig)->append_write(&c.pub, tx, text, strlen(text)));
}

static int commit(struct session *s, void *tx, struct mortise_ref *refs, size_t count)
{
	uint32_t uidvalidity = 0;

	CALL(s, "commit", rig_ops(s->rig)->append_commit_refs(&c.pub, tx, &uidvalidity, refs, count));
}

static int adopt(struct session *s, uint32_t uidvalidity, uint32_t uidnext)
{
	CALL(s, "adopt", rig_ops(s->rig)->adopt(&c.pub, s->box, uidvalidity, uidnext));
}

static int adopt_locked(struct session *s, uint32_t uidvalidity, uint32_t uidnext)
{
	int r;

	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	r = adopt(s, uidvalidity, uidnext);
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	return r;
}

static struct mortise_ref ref_of(struct session *s, uint32_t uid)
{
	const struct known_message *k = session_find(s, uid);
	struct mortise_ref ref = {.uid = uid, .locator_size = k->m.locator_size};

	memcpy(ref.locator, k->m.locator, sizeof ref.locator);
	return ref;
}

static struct mortise_append_info info_of(uint32_t flags, uint32_t uid)
{
	return (struct mortise_append_info){.size = sizeof(struct mortise_append_info),
	    .flags = flags,
	    .internal_date = 1704446430,
	    .zone = 60,
	    .octets = MORTISE_SIZE_UNKNOWN,
	    .uid = uid};
}

static char *big_text(void)
{
	char *text = malloc(BIG + 1);

	for (size_t i = 0; i < BIG; i++)
		text[i] = (char)('a' + i % 23);
	memcpy(text, "Subject: big\r\n\r\n", 16);
	memcpy(text + BIG - 2, "\r\n", 3);
	return text;
}

/* "box" with 1 small, 2 big, 3 small; r->s has it open, `to` another one. */
static char *two_boxes(struct rig *r, struct session *to)
{
	struct session *s = &r->s;
	char *big = big_text();

	OK(s, create(r, "other"));
	OK(to, session_open(r, to, 0));
	OK(to, session_sync(to));
	OK(s, create(r, "box"));
	rig_open(r);
	OK(s, session_append(s, SMALL, 0, "word", NULL));
	OK(s, session_append(s, big, MORTISE_FLAG_SEEN, NULL, NULL));
	OK(s, session_append(s, SMALL, 0, NULL, NULL));
	OK(s, session_sync(s));
	return big;
}

static void copies_are_the_same(void **state)
{
	static const char *const words[] = {"word", "other"};
	struct rig *r = *state;
	struct session *s = &r->s, to;
	char *big = two_boxes(r, &to);
	struct mortise_ref refs[3] = {ref_of(s, 3), ref_of(s, 2), ref_of(s, 1)}, out[4];
	struct mortise_append_info infos[4] = {
	    info_of(MORTISE_FLAG_DRAFT, 0), info_of(MORTISE_FLAG_SEEN, 0), info_of(0, 0), info_of(0, 0)};
	struct known_message *k;
	void *tx;

	infos[2].keywords = words;
	infos[2].keyword_count = 2;
	OK(&to, begin(&to, &tx));
	OK(&to, put(&to, tx, &infos[3], SMALL "written\r\n"));
	OK(&to, copy(&to, tx, s, refs, infos, 3));
	OK(&to, commit(&to, tx, out, 4));
	OK(&to, session_sync(&to));
	assert_int_equal(to.full, 0);
	assert_int_equal(to.added, 4);
	assert_string_equal(session_read(&to, 1, NULL), SMALL "written\r\n");
	assert_string_equal(session_read(&to, 2, NULL), SMALL);
	assert_string_equal(session_read(&to, 3, NULL), big);
	assert_string_equal(session_read(&to, 4, NULL), SMALL);
	k = session_find(&to, 2);
	assert_int_equal(k->flags, MORTISE_FLAG_DRAFT | MORTISE_FLAG_RECENT);
	assert_int_equal(k->m.internal_date, 1704446430);
	assert_int_equal(session_find(&to, 4)->keywords, 3);
	/* What commit said of them is where they are. */
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(out[i].uid, i + 1);
		assert_int_equal(out[i].locator_size, session_find(&to, i + 1)->m.locator_size);
		assert_memory_equal(out[i].locator, session_find(&to, i + 1)->m.locator, out[i].locator_size);
	}
	session_close(&to);
	free(big);
}

static void a_mailbox_copies_into_itself(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, to;
	char *big = two_boxes(r, &to);
	struct mortise_ref refs[2] = {ref_of(s, 1), ref_of(s, 2)}, out[2];
	struct mortise_append_info infos[2] = {info_of(0, 0), info_of(0, 0)};
	void *tx;

	OK(s, begin(s, &tx));
	OK(s, copy(s, tx, s, refs, infos, 2));
	OK(s, commit(s, tx, out, 2));
	OK(s, session_sync(s));
	assert_int_equal(s->count, 5);
	assert_string_equal(session_read(s, 4, NULL), SMALL);
	assert_string_equal(session_read(s, 5, NULL), big);
	session_close(&to);
	free(big);
}

/* Where the kernel cannot copy by itself it is done by hand. */
static void copies_cross_file_systems(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, to, far;
	char dir[] = "/dev/shm/mortise-mbx-XXXXXX", *big = two_boxes(r, &to);
	struct mortise_ref refs[2] = {ref_of(s, 2), ref_of(s, 1)}, out[2];
	struct mortise_append_info infos[2] = {info_of(0, 0), info_of(0, 0)};
	int root = r->root;
	void *tx;

	session_close(&to);
	if (mkdtemp(dir) != NULL) {
		r->root = open(dir, O_PATH | O_DIRECTORY);
		OK(s, create(r, "far"));
		OK(&far, session_open(r, &far, 0));
		OK(&far, begin(&far, &tx));
		OK(&far, copy(&far, tx, s, refs, infos, 2));
		OK(&far, commit(&far, tx, out, 2));
		OK(&far, session_sync(&far));
		assert_string_equal(session_read(&far, 1, NULL), big);
		assert_string_equal(session_read(&far, 2, NULL), SMALL);
		session_close(&far);
		unlinkat(r->root, "far", 0);
		close(r->root);
		rmdir(dir);
		r->root = root;
		r->file = "box";
	}
	free(big);
}

static void what_is_gone_is_not_copied(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, to;
	char *big = two_boxes(r, &to);
	struct mortise_ref refs[2] = {ref_of(s, 3), ref_of(s, 2)}, out[2];
	struct mortise_append_info infos[2] = {info_of(0, 0), info_of(0, 0)};
	uint32_t uid = 2;
	struct stat before, after;
	void *tx;

	OK(s, session_expunge(s, &uid, 1));
	assert_int_equal(fstatat(r->root, "other", &before, 0), 0);
	OK(&to, begin(&to, &tx));
	assert_int_equal(copy(&to, tx, s, refs, infos, 2), MORTISE_E_EXPUNGED);
	/* Nothing was added, and the rest can be. */
	OK(&to, copy(&to, tx, s, refs, infos, 1));
	/* Moved before it is copied. */
	OK(s, session_checkpoint(s));
	assert_int_equal(commit(&to, tx, out, 1), MORTISE_E_EXPUNGED);
	assert_int_equal(fstatat(r->root, "other", &after, 0), 0);
	assert_int_equal(before.st_size, after.st_size);
	OK(&to, session_sync(&to));
	assert_int_equal(to.count, 0);
	/* Found again where it is now. */
	OK(&to, begin(&to, &tx));
	OK(&to, copy(&to, tx, s, refs, infos, 1));
	OK(&to, commit(&to, tx, out, 1));
	OK(&to, session_sync(&to));
	assert_string_equal(session_read(&to, out[0].uid, NULL), SMALL);
	session_close(&to);
	free(big);
}

static void a_mailbox_adopts_numbers(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct mortise_append_info infos[3] = {info_of(0, 17), info_of(0, 0), info_of(0, 99)};
	struct mortise_ref out[3];
	void *tx;

	OK(s, create(r, "box"));
	rig_open(r);
	assert_int_equal(adopt_locked(s, 0, 1), MORTISE_E_INVALID);
	assert_int_equal(adopt_locked(s, 5, 0), MORTISE_E_INVALID);
	assert_int_equal(adopt(s, 5, 10), MORTISE_E_INTERNAL); /* no lock */
	OK(s, adopt_locked(s, 4000000000u, 10));
	OK(s, session_sync(s));
	assert_int_equal(s->uidvalidity, 4000000000u);
	assert_int_equal(s->uidnext, 10);
	OK(s, begin(s, &tx));
	for (unsigned i = 0; i < 3; i++)
		OK(s, put(s, tx, &infos[i], SMALL));
	OK(s, commit(s, tx, out, 3));
	assert_int_equal(out[0].uid, 17);
	assert_int_equal(out[1].uid, 18);
	assert_int_equal(out[2].uid, 99);
	rig_reopen(r);
	assert_int_equal(s->uidvalidity, 4000000000u);
	assert_int_equal(s->uidnext, 100);
	assert_int_equal(s->count, 3);
	assert_int_equal(s->messages[2].uid, 99);
	assert_int_equal(adopt_locked(s, 5, 1000), MORTISE_E_INVALID);
	/* Never one again, never one that does not rise. */
	infos[0].uid = 99;
	OK(s, begin(s, &tx));
	OK(s, put(s, tx, &infos[0], SMALL));
	assert_int_equal(commit(s, tx, out, 1), MORTISE_E_INVALID);
	infos[0].uid = UINT32_MAX;
	OK(s, begin(s, &tx));
	OK(s, put(s, tx, &infos[0], SMALL));
	assert_int_equal(commit(s, tx, out, 1), MORTISE_E_INVALID);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(copies_are_the_same),
	    TEST(a_mailbox_copies_into_itself),
	    TEST(copies_cross_file_systems),
	    TEST(what_is_gone_is_not_copied),
	    TEST(a_mailbox_adopts_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
