/* What is computed once and kept: sort records, previews, ids; annotations and special uses. */
#include "mime/mime.h"
#include "search/sort.h"
#include "store/column.h"
#include "store/derived.h"
#include "store/mailbox_int.h"
#include "store/metadata.h"
#include "store/special_use.h"
#include "store/test-support.h"
#include "base/banned.h"

#define FIRST "Subject: b\r\nMessage-ID: <1@x>\r\n\r\nfirst text\r\n"
#define SECOND "Subject: Re: a\r\nReferences: <1@x>\r\n\r\nsecond text\r\n"
#define THIRD "\r\n"

static struct view *three(struct fixture *f, struct mailbox **m)
{
	ok(f, store_create(f->s, "box", &f->e));
	append_one(f, "box", FIRST, 0);
	append_one(f, "box", SECOND, 0);
	append_one(f, "box", THIRD, 0);
	return open_view(f, f->s, "box", 0, m);
}

/* ---- sort records ---- */
struct told {
	struct fixture *f;
	struct buf text; /* "i=subject " */
	int end;         /* is returned for message 1 */
};

static int on_record(void *arg, size_t i, struct str packed)
{
	struct told *t = arg;
	struct sort_record r;

	if (packed.n == 0) {
		buf_printf(&t->text, "%zu gone ", i);
		return 0;
	}
	assert_true(sort_record_read(packed, &r));
	buf_printf(&t->text, "%zu=%.*s ", i, STR_FMT(r.texts[SORT_TEXT_SUBJECT]));
	return i == 1 ? t->end : 0;
}

static void check_records(struct fixture *f, struct mailbox *m, struct view *v, const char *expected)
{
	const struct message *messages[3] = {view_message(v, 1), view_message(v, 2), view_message(v, 3)};
	struct told t = {.f = f};

	ok(f, mailbox_sort_records(m, COMPARATOR_UNICODE_CASEMAP, messages, 3, on_record, &t, &f->e));
	assert_string_equal(buf_cstr(&t.text), expected);
	buf_free(&t.text);
}

static bool is_kept(struct mailbox *m, uint32_t uid, int kind, struct buf *b)
{
	struct err e = ERR_INIT;

	buf_reset(b);
	index_wire_flush(m->index);
	return index_wire(m->index, m->number, uid, kind, STR(""), b, &e) == 1;
}

static void records_are_kept_and_made_again(void **state)
{
	struct fixture *f = *state;
	struct buf b = BUF_INIT;
	struct mailbox *m;
	struct view *v = three(f, &m);
	const struct message *middle = view_message(v, 2);

	assert_false(is_kept(m, middle->uid, INDEX_SORT, &b));
	check_records(f, m, v, "0=B 1=A 2= ");
	assert_true(is_kept(m, middle->uid, INDEX_SORT, &b));
	/* What is there is believed. */
	buf_reset(&b);
	sort_record_write(&b, STR("(NIL \"other\" NIL NIL NIL NIL NIL NIL NIL NIL)"), STR_NONE);
	index_wire_put(m->index, m->number, middle->uid, INDEX_SORT, STR(""), buf_str(&b));
	check_records(f, m, v, "0=B 1=OTHER 2= ");
	/* One of another version is not. */
	b.p[0] = 77;
	index_wire_put(m->index, m->number, middle->uid, INDEX_SORT, STR(""), buf_str(&b));
	check_records(f, m, v, "0=B 1=A 2= ");
	buf_free(&b);
	view_close(&v);
	mailbox_close(&m);
}

static void records_that_are_too_large_to_be_kept(void **state)
{
	struct fixture *f = *state;
	struct buf text = BUF_INIT;
	struct mailbox *m;
	struct view *v;
	int i;

	buf_adds(&text, "Subject: large\r\nReferences:");
	for (i = 0; i < 5000; i++)
		buf_printf(&text, " <%d.something@example.org>", i);
	buf_adds(&text, "\r\n\r\n");
	ok(f, store_create(f->s, "box", &f->e));
	append_one(f, "box", FIRST, 0);
	append_one(f, "box", buf_cstr(&text), 0);
	append_one(f, "box", SECOND, 0);
	v = open_view(f, f->s, "box", 0, &m);
	check_records(f, m, v, "0=B 1=LARGE 2=A ");
	assert_false(is_kept(m, view_message(v, 2)->uid, INDEX_SORT, &text));
	check_records(f, m, v, "0=B 1=LARGE 2=A ");
	buf_free(&text);
	view_close(&v);
	mailbox_close(&m);
}

static void records_of_messages_that_are_gone(void **state)
{
	struct fixture *f = *state;
	struct set_range two = {2, 2};
	struct number_set uids = {&two, 1};
	struct mailbox *m;
	struct view *v = three(f, &m);
	uint32_t count;

	ok(f, mailbox_store_flags(m, &uids, FLAGS_ADD, MORTISE_FLAG_DELETED, NULL, 0, NULL, NULL, &f->e));
	ok(f, mailbox_expunge(m, NULL, &count, &f->e));
	check_records(f, m, v, "0=B 1 gone 2= ");
	view_close(&v);
	mailbox_close(&m);
}

static void a_callback_ends_it(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v = three(f, &m);
	const struct message *messages[3] = {view_message(v, 1), view_message(v, 2), view_message(v, 3)};
	struct told t = {.f = f, .end = MORTISE_E_CANCELLED};

	assert_int_equal(
	    mailbox_sort_records(m, COMPARATOR_UNICODE_CASEMAP, messages, 3, on_record, &t, &f->e),
	    MORTISE_E_CANCELLED);
	assert_string_equal(buf_cstr(&t.text), "0=B 1=A ");
	buf_free(&t.text);
	view_close(&v);
	mailbox_close(&m);
}

/* ---- preview and ids ---- */
static void previews(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v = three(f, &m);
	struct str text;

	ok(f, mailbox_preview(m, view_message(v, 1), true, &text, &f->e));
	assert_null(text.p);
	ok(f, mailbox_preview(m, view_message(v, 1), false, &text, &f->e));
	assert_true(str_eqc(text, "first text"));
	ok(f, mailbox_preview(m, view_message(v, 1), true, &text, &f->e));
	assert_true(str_eqc(text, "first text"));
	/* An empty one is known, too. */
	ok(f, mailbox_preview(m, view_message(v, 3), false, &text, &f->e));
	assert_true(text.p != NULL && text.n == 0);
	ok(f, mailbox_preview(m, view_message(v, 3), true, &text, &f->e));
	assert_true(text.p != NULL && text.n == 0);
	view_close(&v);
	mailbox_close(&m);
}

static const char *id(struct fixture *f,
    int (*of)(struct mailbox *, const struct message *, struct str *, struct err *), struct mailbox *m,
    struct view *v, uint32_t sequence)
{
	struct str text;

	ok(f, of(m, view_message(v, sequence), &text, &f->e));
	assert_int_equal(text.n, 23);
	return arena_str(f->a, text).p;
}

static void ids_of_messages(void **state)
{
	struct fixture *f = *state;
	struct copy_result done;
	struct set_range all = {1, 3};
	struct number_set uids = {&all, 1};
	struct mailbox *m, *m2;
	struct view *v = three(f, &m), *v2;
	uint32_t i;

	ok(f, store_create(f->s, "copy", &f->e));
	ok(f, mailbox_copy(m, &uids, "copy", f->a, &done, &f->e));
	v2 = open_view(f, f->s, "copy", 0, &m2);
	for (i = 1; i <= 3; i++) {
		assert_string_equal(id(f, mailbox_email_id, m, v, i), id(f, mailbox_email_id, m2, v2, i));
		assert_string_equal(id(f, mailbox_thread_id, m, v, i), id(f, mailbox_thread_id, m2, v2, i));
		assert_string_equal(id(f, mailbox_email_id, m, v, i), id(f, mailbox_email_id, m, v, i));
	}
	assert_string_not_equal(id(f, mailbox_email_id, m, v, 1), id(f, mailbox_email_id, m, v, 2));
	assert_string_equal(id(f, mailbox_thread_id, m, v, 1), id(f, mailbox_thread_id, m, v, 2));
	assert_string_not_equal(id(f, mailbox_thread_id, m, v, 1), id(f, mailbox_thread_id, m, v, 3));
	/* SHA-256 of the one CRLF of THIRD, cut. */
	assert_string_equal(id(f, mailbox_email_id, m, v, 3), "MfrcCV1k9oG9oKj3dpUqdJg");
	view_close(&v);
	view_close(&v2);
	mailbox_close(&m);
	mailbox_close(&m2);
}

static const char *mailbox_id_of(struct fixture *f, const char *name)
{
	struct mailbox_status status;

	ok(f, store_status(f->s, name, STATUS_MAILBOX_ID, &status, &f->e));
	assert_int_equal(strlen(status.mailbox_id), 23);
	return arena_strdup(f->a, status.mailbox_id);
}

static void ids_of_mailboxes(void **state)
{
	struct fixture *f = *state;
	const char *first, *deep, *again;

	ok(f, store_create(f->s, "box", &f->e));
	ok(f, store_create(f->s, "a/b", &f->e));
	first = mailbox_id_of(f, "box");
	deep = mailbox_id_of(f, "a/b");
	assert_string_not_equal(first, deep);
	fixture_reopen(f);
	assert_string_equal(mailbox_id_of(f, "box"), first);
	ok(f, store_rename(f->s, "box", "other", &f->e));
	ok(f, store_rename(f->s, "a", "c", &f->e));
	fixture_reopen(f);
	assert_string_equal(mailbox_id_of(f, "other"), first);
	assert_string_equal(mailbox_id_of(f, "c/b"), deep);
	ok(f, store_create(f->s, "box", &f->e));
	again = mailbox_id_of(f, "box");
	assert_string_not_equal(again, first);
	ok(f, store_delete(f->s, "other", &f->e));
	ok(f, store_rename(f->s, "box", "other", &f->e));
	assert_string_equal(mailbox_id_of(f, "other"), again);
	/* An INBOX that is not there has one, of its UIDVALIDITY of the moment. */
	mailbox_id_of(f, "INBOX");
}

static void save_dates(void **state)
{
	struct fixture *f = *state;
	struct mailbox *m;
	struct view *v = three(f, &m);

	assert_true(mailbox_keeps_save_dates(m));
	assert_true(view_message(v, 1)->save_date > 0);
	view_close(&v);
	mailbox_close(&m);
	/* The first message of an INBOX that it makes. */
	append_one(f, "INBOX", FIRST, 0);
	v = open_view(f, f->s, "INBOX", 0, &m);
	assert_true(view_message(v, 1)->save_date > 0);
	view_close(&v);
	mailbox_close(&m);
}

/* ---- annotations ---- */
static void on_entry(void *arg, const struct metadata *m)
{
	buf_printf(arg, "%.*s=%.*s ", STR_FMT(m->name), STR_FMT(m->value));
}

static const char *entries(
    struct fixture *f, const char *mailbox, const char *name, enum metadata_depth depth)
{
	struct buf b = BUF_INIT;
	const char *text;

	ok(f, store_metadata(f->s, mailbox, str_of(name), depth, on_entry, &b, &f->e));
	text = arena_strdup(f->a, buf_cstr(&b));
	buf_free(&b);
	return text;
}

static int set(struct fixture *f, const char *mailbox, const char *name, const char *value)
{
	const struct metadata m = {str_of(name), value != NULL ? str_of(value) : STR_NONE};
	enum metadata_refusal why;

	return store_metadata_set(f->s, mailbox, &m, 1, &why, &f->e);
}

static void annotations_outlive_the_store(void **state)
{
	struct fixture *f = *state;

	ok(f, store_create(f->s, "box", &f->e));
	ok(f, set(f, "box", "/private/comment", "mine"));
	ok(f, set(f, "box", "/private/comment/deep", "below"));
	ok(f, set(f, "box", "/private/comments", "other"));
	ok(f, set(f, NULL, "/private/comment", "account"));
	fixture_reopen(f);
	assert_string_equal(entries(f, "box", "/private/comment", METADATA_ENTRY), "/private/comment=mine ");
	assert_string_equal(entries(f, "box", "/private/comment", METADATA_CHILDREN),
	    "/private/comment=mine /private/comment/deep=below ");
	assert_string_equal(entries(f, "box", "/private", METADATA_CHILDREN),
	    "/private/comment=mine /private/comments=other ");
	assert_string_equal(entries(f, NULL, "/private", METADATA_INFINITY), "/private/comment=account ");
	ok(f, set(f, "box", "/private/comment", NULL));
	assert_string_equal(entries(f, "box", "/private/comment", METADATA_ENTRY), "");
	fails(f, set(f, "none", "/private/comment", "x"), MORTISE_E_NOTFOUND);
}

static void the_servers_entries_are_options(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(entries(f, NULL, "/shared", METADATA_INFINITY), "");
	f->o.admin = "mailto:root@example.org";
	f->o.comment = "hello";
	assert_string_equal(entries(f, NULL, "/shared", METADATA_INFINITY),
	    "/shared/admin=mailto:root@example.org /shared/comment=hello ");
	fails(f, set(f, NULL, "/shared/comment", "x"), MORTISE_E_PERM);
}

static void limits(void **state)
{
	struct fixture *f = *state;
	const struct metadata large = {STR("/private/a"), STR("four")},
	                      two[2] = {{STR("/private/a"), STR("1")}, {STR("/private/b"), STR("2")}};
	enum metadata_refusal why;

	ok(f, store_create(f->s, "box", &f->e));
	f->o.metadata_size = 3;
	assert_int_equal(store_metadata_set(f->s, "box", &large, 1, &why, &f->e), MORTISE_E_TOOBIG);
	assert_int_equal(why, METADATA_TOO_LARGE);
	err_clear(&f->e);
	f->o.metadata_entries = 1;
	assert_int_equal(store_metadata_set(f->s, "box", two, 2, &why, &f->e), MORTISE_E_LIMIT);
	assert_int_equal(why, METADATA_TOO_MANY);
	err_clear(&f->e);
	ok(f, store_metadata_set(f->s, "box", two, 1, &why, &f->e));
	assert_int_equal(store_metadata_set(f->s, "box", two + 1, 1, &why, &f->e), MORTISE_E_LIMIT);
	assert_int_equal(why, METADATA_TOO_MANY);
	err_clear(&f->e);
	ok(f, store_metadata_set(f->s, "box", two, 1, &why, &f->e));
}

static void names(void **state)
{
	static const struct {
		const char *name;
		bool get, set;
	} cases[] = {{"/private", true, false}, {"/shared", true, false}, {"/private/a", true, true},
	    {"/Shared/A/b", true, true}, {"/privates/a", false, false}, {"private/a", false, false},
	    {"", false, false}, {"/", false, false}, {"/private/", false, false},
	    {"/private//a", false, false}, {"/private/a*", false, false}, {"/private/%", false, false},
	    {"/private/\xc3\xa4", false, false}, {"/private/a\x01", false, false},
	    {"/private/vendor", true, false}, {"/private/vendor/x", true, false},
	    {"/private/vendor/x/y", true, true}, {"/shared/vendors/x", true, true}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		if (metadata_name_ok(str_of(cases[i].name), false) != cases[i].get ||
		    metadata_name_ok(str_of(cases[i].name), true) != cases[i].set)
			fail_msg("%s", cases[i].name);
	}
}

/* ---- special uses ---- */
static unsigned uses(struct fixture *f, const char *name)
{
	struct special_uses u;

	store_special_uses(f->s, f->a, &u);
	return special_use_of(&u, name);
}

static void special_uses_outlive_the_store(void **state)
{
	const unsigned drafts = 1u << SPECIAL_USE_DRAFTS, sent = 1u << SPECIAL_USE_SENT;
	struct fixture *f = *state;

	assert_int_equal(uses(f, "Drafts"), drafts);
	ok(f, store_create(f->s, "x", &f->e));
	ok(f, store_special_use_set(f->s, "x", drafts | sent, &f->e));
	fixture_reopen(f);
	assert_int_equal(uses(f, "x"), drafts | sent);
	assert_int_equal(uses(f, "Drafts"), 0);
	assert_int_equal(uses(f, "Sent"), 0);
	ok(f, store_rename(f->s, "x", "y/x", &f->e));
	ok(f, store_rename(f->s, "y", "z", &f->e));
	assert_int_equal(uses(f, "z/x"), drafts | sent);
	ok(f, store_special_use_set(f->s, "z/x", sent, &f->e));
	assert_int_equal(uses(f, "z/x"), sent);
	assert_int_equal(uses(f, "Drafts"), drafts);
	ok(f, store_delete(f->s, "z/x", &f->e));
	assert_int_equal(uses(f, "Sent"), sent);
	/* That the configured name has none is remembered. */
	ok(f, store_special_use_set(f->s, "Drafts", 0, &f->e));
	assert_int_equal(uses(f, "Drafts"), 0);
	ok(f, store_special_use_set(f->s, "Drafts", drafts, &f->e));
	assert_int_equal(uses(f, "Drafts"), drafts);
}

/* ---- columns ---- */
static void check_column(
    struct fixture *f, struct mailbox *m, struct view *v, const char *field, const char *expected)
{
	struct buf text = BUF_INIT;
	struct column *c;
	struct str values;
	uint32_t i;

	ok(f, column_open(m, str_of(field), &c, &f->e));
	for (i = 1; i <= view_count(v); i++) {
		ok(f, column_get(c, view_message(v, i), &values, &f->e));
		buf_printf(&text, "%u=%.*s", i, STR_FMT(values));
	}
	assert_string_equal(buf_cstr(&text), expected);
	column_close(&c);
	buf_free(&text);
}

/* Decoded and folded, all fields of a name; the second time without looking at any message. */
static void columns_are_kept(void **state)
{
	struct fixture *f = *state;
	struct mortise_driver_ops ops = *driver_ops(MEMORY(f));
	const void *real = MEMORY(f)->ops;
	struct mailbox *m;
	struct view *v = three(f, &m);
	unsigned i;

	append_one(f, "box", "Subject: =?iso-8859-1?q?=C4rger?=\r\nSUBJECT: two\r\nX-Own: 1\r\n\r\n", 0);
	update_text(f, v, 0);
	for (i = 0; i < 2; i++) {
		check_column(f, m, v, "subject", "1=B\n2=RE: A\n3=4=A\314\210RGER\nTWO\n");
		check_column(f, m, v, "x-own", "1=2=3=4=1\n");
		ops.read = NULL;
		MEMORY(f)->ops = &ops;
	}
	MEMORY(f)->ops = real;
	view_close(&v);
	mailbox_close(&m);
}

#define test(t) cmocka_unit_test_setup_teardown(t, fixture_setup, fixture_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    test(records_are_kept_and_made_again),
	    test(records_that_are_too_large_to_be_kept),
	    test(records_of_messages_that_are_gone),
	    test(a_callback_ends_it),
	    test(previews),
	    test(ids_of_messages),
	    test(ids_of_mailboxes),
	    test(save_dates),
	    test(annotations_outlive_the_store),
	    test(the_servers_entries_are_options),
	    test(limits),
	    test(columns_are_kept),
	    cmocka_unit_test(names),
	    test(special_uses_outlive_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
