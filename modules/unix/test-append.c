/* test-append.c: text on its way into a mailbox: collected, copied, with numbers of another one. */
#include "test-support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEEN MORTISE_FLAG_SEEN
#define FLAGGED MORTISE_FLAG_FLAGGED
#define RECENT MORTISE_FLAG_RECENT

#define BEGIN(s)                                                                      \
	struct call_env env = {.box = (s)->arena, .journal_dir = (s)->rig->journals}; \
	struct call c;                                                                \
	const struct mortise_driver_ops *ops = rig_ops((s)->rig);                     \
	void *tx = NULL;                                                              \
	uint32_t v;                                                                   \
	err_clear(&(s)->e);                                                           \
	call_begin(&c, (s)->rig->instance, &env, "append")

/* Copies, and commits when all could be. */
static int copy(struct session *to, struct session *from, const uint32_t *uids, size_t count, uint32_t *got)
{
	struct mortise_append_info *infos = arena_array(to->rig->arena, count, sizeof *infos);
	struct mortise_ref *refs = arena_array(to->rig->arena, count, sizeof *refs);
	int r;
	BEGIN(to);

	for (size_t i = 0; i < count; i++) {
		struct known_message *k = session_find(from, uids[i]);
		refs[i] = (struct mortise_ref){.uid = k->uid, .locator_size = k->m.locator_size};
		memcpy(refs[i].locator, k->m.locator, sizeof refs[i].locator);
		infos[i] = (struct mortise_append_info){.size = sizeof infos[i],
		    .flags = k->flags & MORTISE_FLAGS_SYSTEM,
		    .internal_date = k->m.internal_date,
		    .zone = k->m.zone,
		    .octets = k->m.octets};
	}
	assert_int_equal(ops->append_begin(&c.pub, to->box, &tx), 0);
	r = ops->append_copy(&c.pub, tx, from->box, refs, infos, count);
	if (r == 0)
		r = ops->append_commit(&c.pub, tx, &v, got, count);
	else
		ops->append_abort(&c.pub, tx);
	return call_end(&c, r, &to->e);
}

static int append_as(struct session *s, const char *text, const uint32_t *uids, size_t count, uint32_t *got)
{
	int r;
	BEGIN(s);

	assert_int_equal(ops->append_begin(&c.pub, s->box, &tx), 0);
	for (size_t i = r = 0; r == 0 && i < count; i++) {
		struct mortise_append_info info = {
		    .size = sizeof info, .internal_date = 1704446430, .uid = uids[i]};
		if ((r = ops->append_message(&c.pub, tx, &info)) == 0)
			r = ops->append_write(&c.pub, tx, text, strlen(text));
	}
	if (r == 0)
		r = ops->append_commit(&c.pub, tx, &v, got, count);
	else
		ops->append_abort(&c.pub, tx);
	return call_end(&c, r, &s->e);
}

static int adopt(struct session *s, uint32_t uidvalidity, uint32_t uidnext)
{
	int r = session_lock(s, MORTISE_LOCK_EXCLUSIVE);
	BEGIN(s);

	(void)tx;
	(void)v;
	if (r == 0)
		r = ops->adopt(&c.pub, s->box, uidvalidity, uidnext);
	r = call_end(&c, r, &s->e);
	assert_int_equal(session_lock(s, MORTISE_LOCK_NONE), 0);
	return r;
}

/* A text of `size` octets and more, with a line that begins with "From " now and then. */
static char *long_text(struct rig *r, size_t size, const char *newline)
{
	char *text = arena_alloc(r->arena, size + 200);
	size_t n = (size_t)snprintf(text, 200, "Subject: long%s%s", newline, newline);

	for (unsigned i = 0; n < size; i++)
		n += (size_t)snprintf(text + n, 100, "%sline %u%.*s%s", i % 7 == 3 ? "From " : "", i,
		    (int)(i * 13 % 60), "............................................................",
		    newline);
	return text;
}

/* What a mailbox makes of it. */
static const char *quoted(struct rig *r, const char *text)
{
	struct buf out = BUF_INIT;
	const char *copied;

	for (const char *p = text, *end; *p != '\0'; p = end) {
		end = strchr(p, '\n') + 1;
		if (strncmp(p, "From ", 5) == 0)
			buf_addc(&out, '>');
		for (; p < end; p++)
			buf_addc(&out, *p);
	}
	buf_addc(&out, '\0');
	copied = arena_strdup(r->arena, out.p);
	buf_free(&out);
	return copied;
}

/* In memory, half in memory, in a file. */
static void text_of_any_length_arrives(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const size_t sizes[] = {100, 16000, 16384, 17000, 65000, 66000, 300000, 2000000};
	static const char *const memory[] = {"16k", "64k", "1M"};

	for (size_t m = 0; m < sizeof memory / sizeof *memory; m++) {
		rig_option(r, "append_memory", memory[m]);
		RIG_PUT(r, "");
		rig_open(r);
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			const char *text = long_text(r, sizes[i], "\r\n");
			uint32_t uid;
			OK(s, session_append(s, text, 0, NULL, &uid));
			OK(s, session_sync(s));
			assert_int_equal(s->full, 0);
			assert_string_equal(session_read(s, uid, NULL), quoted(r, text));
		}
		rig_reopen(r);
		assert_int_equal(s->count, sizeof sizes / sizeof *sizes);
		session_close(s);
	}
}

static void messages_are_copied_as_they_are(void **state)
{
	struct rig *r = *state, *other = rig_new();
	struct session *s = &r->s, *from = &other->s;
	static const uint32_t all[] = {1, 2, 3, 4, 5, 6, 7};
	uint32_t got[7];
	const char *text[8];

	rig_option(r, "append_memory", "16k");
	RIG_PUT(other, HEAD "Received: by x\nSubject: 1\nX-UID: 77\nStatus: RO\nAnother: field\n\nFrom the "
	                    "start\nand From within\nFro\n\n");
	rig_add(other, HEAD "Subject: no text\n\n");
	rig_add(other, "From a@b Mon Jan  1 10:00:00 2024\n\nonly text\nFrom\n\n");
	rig_add(other, "From a@b Mon Jan  1 10:00:00 2024\r\nSubject: CRLF\r\n\r\nFrom x\r\nend\r\n\r\n");
	rig_add(other, HEAD);
	rig_add(other, long_text(other, 300000, "\n"));
	rig_add(other, "\n" HEAD "Subject: last\n\nno end");
	rig_open(other);
	assert_int_equal(from->count, 6);
	OK(from, session_flags(from, 2, SEEN | FLAGGED, 0));
	OK(from, session_sync(from));
	for (size_t i = 0; i < from->count; i++)
		text[i] = session_read(from, from->messages[i].uid, NULL);
	for (unsigned how = 0; how < 2; how++) {
		rig_option(r, "from_quoting", how == 0 ? "all" : "valid");
		RIG_PUT(r, "");
		rig_open(r);
		OK(s, copy(s, from, all, from->count, got));
		OK(s, session_sync(s));
		assert_int_equal(s->count, from->count);
		for (size_t i = 0; i < s->count; i++) {
			assert_int_equal(got[i], s->messages[i].uid);
			assert_string_equal(
			    session_read(s, got[i], NULL), how == 0 ? quoted(r, text[i]) : text[i]);
			assert_int_equal(s->messages[i].m.internal_date, from->messages[i].m.internal_date);
		}
		assert_int_equal(s->messages[1].flags & ~RECENT, SEEN | FLAGGED);
		rig_reopen(r);
		assert_int_equal(s->count, from->count);
		/* Onto itself, too. */
		OK(s, copy(s, s, all, 2, got));
		OK(s, session_sync(s));
		assert_int_equal(s->count, from->count + 2);
		assert_string_equal(session_read(s, got[1], NULL), session_read(s, 2, NULL));
		session_close(s);
	}
	rig_free(other);
}

static void what_is_gone_is_not_copied(void **state)
{
	struct rig *r = *state, *other = rig_new();
	struct session *s = &r->s, *from = &other->s;
	static const uint32_t both[] = {1, 2}, two[] = {2};
	uint32_t got[2];
	struct session late;
	size_t before, after;

	RIG_PUT(other, HEAD "Subject: 1\n\n1\n\n" HEAD "Subject: 2\n\n2\n\n");
	rig_open(other);
	OK(&late, session_open(other, &late, 0));
	OK(&late, session_sync(&late));
	OK(from, session_expunge(from, two, 1));
	OK(from, session_checkpoint(from));
	RIG_PUT(r, "");
	rig_open(r);
	rig_get(r, &before);
	assert_int_equal(copy(s, &late, both, 2, got), MORTISE_E_EXPUNGED);
	rig_get(r, &after);
	assert_int_equal(before, after);
	session_close(&late);
	rig_free(other);
}

static void another_mailboxs_numbers_are_taken(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t uids[] = {7, 20, 4000000000}, low[] = {4000000000},
	                      mixed[] = {0, 4000000005, 0}, last[] = {4294967295};
	uint32_t got[3];

	for (unsigned way = 0; way < 2; way++) {
		if (way == 0)
			RIG_PUT(r, "");
		else {
			const struct mortise_place place = {.size = sizeof place,
			    .root = r->root,
			    .path = "box",
			    .name = "box",
			    .file_mode = 0600};
			struct call_env env = {.journal_dir = -1};
			struct call c;
			assert_int_equal(unlinkat(r->root, "box", 0), 0);
			call_begin(&c, r->instance, &env, "create");
			assert_int_equal(call_end(&c, rig_ops(r)->create(&c.pub, &place), &s->e), 0);
		}
		rig_open(r);
		assert_int_equal(adopt(s, 0, 5), MORTISE_E_INVALID);
		OK(s, adopt(s, 1234567890, 5));
		OK(s, session_sync(s));
		assert_int_equal(s->uidvalidity, 1234567890);
		assert_int_equal(s->uidnext, 5);
		OK(s, append_as(s, "Subject: x\r\n\r\nx\r\n", uids, 3, got));
		assert_memory_equal(got, uids, sizeof uids);
		assert_int_equal(append_as(s, "Subject: x\r\n\r\nx\r\n", low, 1, got), MORTISE_E_INVALID);
		rig_reopen(r);
		assert_int_equal(s->uidvalidity, 1234567890);
		assert_int_equal(s->count, 3);
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(s->messages[i].uid, uids[i]);
		OK(s, append_as(s, "Subject: x\r\n\r\nx\r\n", mixed, 3, got));
		assert_int_equal(got[0], 4000000001);
		assert_int_equal(got[1], 4000000005);
		assert_int_equal(got[2], 4000000006);
		assert_int_equal(append_as(s, "Subject: x\r\n\r\nx\r\n", last, 1, got), MORTISE_E_LIMIT);
		/* With messages it only goes up, and under its own UIDVALIDITY. */
		OK(s, adopt(s, 1234567890, 5));
		assert_int_equal(adopt(s, 1234567891, 5), MORTISE_E_INVALID);
		rig_reopen(r);
		assert_int_equal(s->count, 6);
		assert_int_equal(s->uidnext, 4000000007);
		/* What is delivered comes behind it. */
		rig_add(r, HEAD "Received: by x\nX-UID: 4000000006\nSubject: y\n\ny\n\n");
		OK(s, session_sync(s));
		assert_int_equal(s->messages[6].uid, 4000000007);
		session_close(s);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(text_of_any_length_arrives),
	    TEST(messages_are_copied_as_they_are),
	    TEST(what_is_gone_is_not_copied),
	    TEST(another_mailboxs_numbers_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
