/*
 * Every callback that fails: the operation fails with the callback's code, nothing has changed, and when the
 * driver works again so does the mailbox.
 */
#include "store/test-support.h"
#include "base/banned.h"

#define TEXT "Subject: x\r\n\r\ntext\r\n"

/*
 * What a failed operation may not change, and what must be so of any mailbox (U1, U2). The list of keywords
 * may have grown: it is made before the messages are changed.
 */
static const char *picture(struct fixture *f, struct mailbox *m)
{
	AUTO_BUF struct buf b = BUF_INIT;
	uint32_t last = 0;
	size_t i;

	buf_printf(&b, "%u %u:", m->uidvalidity, m->uidnext);
	for (i = 0; i < m->records.n; i++) {
		const struct message *msg = &m->records.v[i]->m;

		assert_true(msg->uid > last);
		last = msg->uid;
		assert_false(msg->expunged);
		buf_printf(&b, " %u=%x/%llx", msg->uid, msg->flags, (unsigned long long)msg->keywords);
	}
	assert_true(m->uidnext > last);
	return arena_strdup(f->a, buf_cstr(&b));
}

struct scene {
	struct mailbox *m;
	struct view *v;
	struct number_set all, deleted;
};

static int do_store(struct fixture *f, struct scene *s)
{
	struct str k = STR_INIT("new");
	bool lost;

	return mailbox_store_flags(s->m, &s->all, FLAGS_ADD, MORTISE_FLAG_FLAGGED, &k, 1, NULL, &lost, &f->e);
}

static int do_expunge(struct fixture *f, struct scene *s)
{
	uint32_t count;

	return mailbox_expunge(s->m, NULL, &count, &f->e);
}

static int do_append(struct fixture *f, struct scene *s)
{
	uint32_t uidvalidity, *uids;
	struct append *a;
	size_t n;

	(void)s;
	if (append_begin(f->s, "x", &a, &f->e) != 0)
		return f->e.code;
	if (append_message(a, 0, NULL, 0, 0, 0, MORTISE_SIZE_UNKNOWN, &f->e) != 0 ||
	    append_write(a, STR(TEXT), &f->e) != 0) {
		append_abort(&a);
		return f->e.code;
	}
	return append_commit(&a, &uidvalidity, f->a, &uids, &n, &f->e);
}

static int do_copy(struct fixture *f, struct scene *s)
{
	struct copy_result r;

	return mailbox_copy(s->m, &s->all, "x", f->a, &r, &f->e);
}

static int do_read(struct fixture *f, struct scene *s)
{
	struct source *src;
	struct str text;

	if (mailbox_read(s->m, view_message(s->v, 1), &src, &f->e) != 0)
		return f->e.code;
	source_chunk(src, 0, &text, &f->e);
	source_close(&src);
	return f->e.code;
}

static int do_update(struct fixture *f, struct scene *s)
{
	const struct view_events none = {0};

	return view_update(s->v, VIEW_MAY_EXPUNGE, &none, &f->e);
}

static int do_status(struct fixture *f, struct scene *s)
{
	struct mailbox_status st;

	(void)s;
	return store_status(f->s, "x", 0, &st, &f->e);
}

static int do_delete(struct fixture *f, struct scene *s)
{
	(void)s;
	return store_delete(f->s, "x", &f->e);
}

static int do_rename(struct fixture *f, struct scene *s)
{
	(void)s;
	return store_rename(f->s, "x", "y", &f->e);
}

static int do_watch(struct fixture *f, struct scene *s)
{
	return mailbox_watch(s->m, &f->e) < 0 ? f->e.code : 0;
}

static const struct {
	const char *callback;
	int (*run)(struct fixture *f, struct scene *s);
	const char *name;
} cases[] = {
    {"lock", do_store, "STORE"},
    {"sync", do_store, "STORE"},
    {"set_flags", do_store, "STORE"},
    {"lock", do_expunge, "EXPUNGE"},
    {"sync", do_expunge, "EXPUNGE"},
    {"expunge", do_expunge, "EXPUNGE"},
    {"recognise", do_append, "APPEND"},
    {"append_begin", do_append, "APPEND"},
    {"append_message", do_append, "APPEND"},
    {"append_write", do_append, "APPEND"},
    {"append_commit", do_append, "APPEND"},
    {"append_begin", do_copy, "COPY"},
    {"append_message", do_copy, "COPY"},
    {"append_write", do_copy, "COPY"},
    {"append_commit", do_copy, "COPY"},
    {"read", do_copy, "COPY"},
    {"read", do_read, "FETCH"},
    {"sync", do_update, "NOOP"},
    {"recognise", do_status, "STATUS"},
    {"open", do_status, "STATUS"},
    {"sync", do_status, "STATUS"},
    {"recognise", do_delete, "DELETE"},
    {"lock", do_delete, "DELETE"},
    {"recognise", do_rename, "RENAME"},
    {"rename", do_rename, "RENAME"},
    {"watch", do_watch, "IDLE"},
};

static const struct {
	const char *name;
	int code;
} codes[] = {{"io", MORTISE_E_IO}, {"quota", MORTISE_E_QUOTA}, {"inuse", MORTISE_E_INUSE},
    {"corrupt", MORTISE_E_CORRUPT}, {"cancelled", MORTISE_E_CANCELLED}};

static void arm(struct fixture *f, const char *callback, const char *code, unsigned after)
{
	if (FAIL(f)->pub.state != NULL)
		*(uint64_t *)FAIL(f)->pub.state = 0;
	set_option(f, FAIL(f), "callback", callback);
	set_option(f, FAIL(f), "code", code);
	set_option(f, FAIL(f), "after", arena_printf(f->a, "%u", after));
}

static void open_scene(struct fixture *f, struct scene *s)
{
	ok(f, store_create(f->s, "#driver.fail/x", &f->e));
	append_one(f, "x", TEXT, 0);
	append_one(f, "x", TEXT, MORTISE_FLAG_DELETED);
	append_one(f, "x", TEXT, MORTISE_FLAG_SEEN);
	s->v = open_view(f, f->s, "x", 0, &s->m);
	s->all = uid_set(f, "1:*");
}

static void close_scene(struct scene *s)
{
	view_close(&s->v);
	mailbox_close(&s->m);
}

/* Fails at the first, second, … call until the operation gets through. */
static void run_case(struct fixture *f, size_t c, size_t code)
{
	unsigned after;

	for (after = 0; after < 100; after++) {
		struct scene s;
		const char *before;
		struct err said;
		int r;

		open_scene(f, &s);
		before = picture(f, s.m);
		recognised_forget(f->s);
		arm(f, cases[c].callback, codes[code].name, after);
		r = cases[c].run(f, &s);
		said = f->e;
		err_clear(&f->e);
		arm(f, "", "none", 0);
		if (r == 0) {
			close_scene(&s);
			if (exists(f, "mail/y"))
				ok(f, store_delete(f->s, "y", &f->e));
			else if (exists(f, "mail/x"))
				ok(f, store_delete(f->s, "x", &f->e));
			if (after == 0)
				fail_msg("%s never calls %s", cases[c].name, cases[c].callback);
			return;
		}
		if (r != codes[code].code)
			fail_msg("%s, %s fails: %d, not %d", cases[c].name, cases[c].callback, r,
			    codes[code].code);
		assert_int_equal(said.code, r);
		assert_non_null(strstr(said.admin, "told to fail"));
		assert_string_equal(said.client, mortise_error_text(r)); /* attack-129 */
		ok(f, mailbox_sync(s.m, &f->e));
		assert_string_equal(picture(f, s.m), before);
		assert_int_equal(view_count(s.v), 3);
		/* And now it works. */
		ok(f, cases[c].run(f, &s));
		close_scene(&s);
		if (exists(f, "mail/y"))
			ok(f, store_delete(f->s, "y", &f->e));
		else if (exists(f, "mail/x"))
			ok(f, store_delete(f->s, "x", &f->e));
	}
	fail_msg("%s never gets through", cases[c].name);
}

static void test_every_callback(void **state)
{
	struct fixture *f = *state;
	size_t c, code;

	for (c = 0; c < ARRAY_LEN(cases); c++)
		for (code = 0; code < ARRAY_LEN(codes); code++)
			run_case(f, c, code);
}

/* The driver reported everything, and then failed: nothing of it was taken, and nothing is missed later. */
static void test_late_sync(void **state)
{
	struct fixture *f = *state;
	struct store *other = fixture_other(f);
	struct mailbox *n;
	const char *before;
	struct scene s;
	uint32_t count;

	open_scene(f, &s);
	ok(f, mailbox_open(other, "x", 0, &n, &f->e));
	ok(f, mailbox_expunge(n, NULL, &count, &f->e));
	append_one(f, "x", TEXT, 0);
	before = picture(f, s.m);
	set_option(f, FAIL(f), "late", "yes");
	arm(f, "sync", "io", 0);
	fails(f, mailbox_sync(s.m, &f->e), MORTISE_E_IO);
	fails(f, mailbox_sync(s.m, &f->e), MORTISE_E_IO);
	assert_string_equal(picture(f, s.m), before);
	arm(f, "", "none", 0);
	set_option(f, FAIL(f), "late", "no");
	assert_string_equal(update_text(f, s.v, VIEW_MAY_EXPUNGE), "exp 2/2 exists 3 recent 3 ");
	mailbox_close(&n);
	close_scene(&s);
	store_close(&other);
}

/* A keyword that cannot be made for lack of room is the index's; any other failure is told. */
static void test_add_keyword(void **state)
{
	struct fixture *f = *state;
	struct str k = STR_INIT("word");
	struct scene s;
	bool lost;

	open_scene(f, &s);
	arm(f, "add_keyword", "limit", 0);
	ok(f, mailbox_store_flags(s.m, &s.all, FLAGS_ADD, 0, &k, 1, NULL, &lost, &f->e));
	assert_false(lost);
	assert_string_equal(update_text(f, s.v, 0), "keywords flags 1=+0 flags 2=D+0 flags 3=S+0 ");
	arm(f, "add_keyword", "quota", 0);
	fails(f, mailbox_store_flags(s.m, &s.all, FLAGS_ADD, 0, &k, 1, NULL, &lost, &f->e), MORTISE_E_QUOTA);
	arm(f, "", "none", 0);
	/* Now it can be kept, and is, under the bit it has here. */
	ok(f, mailbox_store_flags(s.m, &s.all, FLAGS_ADD, 0, &k, 1, NULL, &lost, &f->e));
	assert_false(lost);
	close_scene(&s);
	s.v = open_view(f, f->s, "x", 0, &s.m);
	assert_int_equal(view_message(s.v, 1)->keywords, 1);
	close_scene(&s);
}

/* \Recent that cannot be taken away on disk is no failure of anything. */
static void test_seen_recent(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v;

	ok(f, store_create(f->s, "#driver.fail/x", &f->e));
	append_one(f, "x", TEXT, 0);
	arm(f, "seen_recent", "io", 0);
	v = open_view(f, f->s, "x", 0, &m);
	assert_int_equal(view_recent(v), 1);
	view_close(&v);
	mailbox_close(&m);
	v = open_view(f, f->s, "x", 0, &m);
	assert_int_equal(view_recent(v), 1);
	view_close(&v);
	mailbox_close(&m);
}

/* RENAME of INBOX that cannot copy leaves everything as it was. */
static void test_rename_inbox(void **state)
{
	struct fixture *f = *state;
	struct mailbox_status st;

	append_one(f, "#driver.fail/INBOX", TEXT, 0);
	arm(f, "read", "io", 0);
	fails(f, store_rename(f->s, "INBOX", "old", &f->e), MORTISE_E_IO);
	assert_false(exists(f, "mail/old"));
	arm(f, "expunge", "io", 0);
	fails(f, store_rename(f->s, "INBOX", "old", &f->e), MORTISE_E_IO);
	arm(f, "", "none", 0);
	ok(f, store_status(f->s, "INBOX", 0, &st, &f->e));
	assert_int_equal(st.messages, 1);
}

/* A damaged mailbox, or one that cannot be asked about, does not spoil LIST. */
static void test_list(void **state)
{
	struct fixture *f = *state;

	ok(f, store_create(f->s, "#driver.fail/x", &f->e));
	ok(f, store_create(f->s, "y", &f->e));
	arm(f, "recognise", "io", 0);
	assert_string_equal(list_text(f, "", "y"), "y Noinferiors HasNoChildren\n");
	assert_string_equal(list_text(f, "", "x"), "");
	assert_int_equal(f->e.code, 0);
}

#define T(x) cmocka_unit_test_setup_teardown(x, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_every_callback), T(test_late_sync), T(test_add_keyword),
	    T(test_seen_recent), T(test_rename_inbox), T(test_list)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
