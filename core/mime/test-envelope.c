/* Header fields, addresses, ENVELOPE. */
#include "mime/test-mime.h"

#include "base/banned.h"

static void envelope_of(struct str header, const struct mime_limits *l, struct buf *out)
{
	struct counting c = counting_source(header, 7);
	struct err e = ERR_INIT;

	assert_int_equal(mime_envelope(&c.source, 0, header.n, l, out, &e), 0);
}

/* The To list of a header with only that value. */
static void to_list(const char *value, struct buf *out)
{
	static const char head[] = "(NIL NIL NIL NIL NIL ", tail[] = " NIL NIL NIL NIL)";
	struct buf header = BUF_INIT, env = BUF_INIT;

	buf_printf(&header, "To: %s\r\n\r\n", value);
	envelope_of(buf_str(&header), NULL, &env);
	assert_true(str_starts(buf_str(&env), ARRAY_STR(head)));
	assert_true(str_ends(buf_str(&env), ARRAY_STR(tail)));
	buf_addstr(out, str_sub(buf_str(&env), sizeof(head) - 1, env.n - sizeof(head) - sizeof(tail) + 2));
	buf_free(&header);
	buf_free(&env);
}

static void field_01_walk(void **state UNUSED)
{
	static const char header[] = "Subject:  a\r\n b \r\n\tc\r\n"
	                             ">From x@y Mon Jan  1 10:00:00 2024\r\n"
	                             "X-Empty:\r\n"
	                             "x-space : v\n"
	                             "no colon here\r\n"
	                             "Bad Name: v\r\n"
	                             "X-Bare: a\rb\n"
	                             "X-Last: z\r\n \r\n\r\nBody: no\r\n";
	static const char *const expected[] = {
	    "Subject=a b \tc", "X-Empty=", "x-space=v", "X-Bare=a\rb", "X-Last=z"};
	struct arena *a = arena_new("test");
	struct err e = ERR_INIT;
	size_t piece;

	for (piece = 1; piece < 12; piece++) {
		struct counting c = counting_source(ARRAY_STR(header), piece);
		struct mime_fields *f;
		struct mime_field field;
		size_t n = 0;

		assert_int_equal(mime_fields_open(&c.source, 0, UINT64_MAX, NULL, a, &f, &e), 0);
		while (mime_fields_next(f, &field)) {
			char *text = arena_printf(a, "%.*s=%.*s", STR_FMT(field.name), STR_FMT(field.value));

			assert_true(n < ARRAY_LEN(expected));
			assert_string_equal(text, expected[n++]);
		}
		assert_int_equal(n, ARRAY_LEN(expected));
	}
	arena_free(&a);
}

static void field_02_get_and_raw(void **state UNUSED)
{
	struct counting c = counting_source(STR("A: 1\r\nB: 2\r\n  3\r\na: 4"), 0);
	struct arena *a = arena_new("test");
	struct err e = ERR_INIT;
	struct mime_fields *f;
	struct mime_field field;
	struct str v;

	assert_true(mime_field_of(STR("A: 1\r\nB: 2\r\n  3\r\na: 4"), STR("a"), NULL, a, &v));
	assert_true(str_eqc(v, "1"));
	assert_true(mime_field_of(STR("A: 1\r\nB: 2\r\n  3\r\n\t4"), STR("b"), NULL, a, &v));
	assert_true(str_eqc(v, "2  3\t4"));
	assert_false(mime_field_of(STR("A: 1\r\nB: 2\r\n\r\nC: 3"), STR("c"), NULL, a, &v));
	assert_null(v.p);
	assert_int_equal(mime_fields_open(&c.source, 6, 17, NULL, a, &f, &e), 0);
	assert_true(mime_fields_next(f, &field));
	assert_true(str_eqc(field.raw, "B: 2\r\n  3\r\n"));
	assert_false(mime_fields_next(f, &field));
	c.fail_behind = 1;
	assert_int_equal(mime_fields_open(&c.source, 2, 100, NULL, a, &f, &e), MORTISE_E_IO);
	assert_null(f);
	assert_int_equal(e.code, MORTISE_E_IO);
	arena_free(&a);
}

static void envelope_01_full(void **state UNUSED)
{
	struct buf b = BUF_INIT;

	envelope_of(STR("From: Joe <joe@x.org>\r\nSubject: one\r\n two\r\nSUBJECT: other\r\n"
	                "date: Mon, 1 Jan 2024 10:00:00 +0100\r\nTo: a@b\r\nTo: c@d\r\nSender: s@t\r\n"
	                "In-Reply-To: <1@x>\r\nMessage-ID: <2@x>\r\nBcc: z@z\r\nCc: \r\nReply-To: "
	                "()\r\n\r\nTo: no@body\r\n"),
	    NULL, &b);
	assert_text(b,
	    "(\"Mon, 1 Jan 2024 10:00:00 +0100\" \"one two\" ((\"Joe\" NIL \"joe\" \"x.org\")) "
	    "((NIL NIL \"s\" \"t\")) ((\"Joe\" NIL \"joe\" \"x.org\")) ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" "
	    "\"d\")) NIL ((NIL NIL \"z\" \"z\")) \"<1@x>\" \"<2@x>\")");
	envelope_of(STR(""), NULL, &b);
	assert_text(b, "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
	envelope_of(STR("Subject:\r\nDate:   \r\n"), NULL, &b);
	assert_text(b, "(\"\" \"\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	buf_free(&b);
}

static void address_01_forms(void **state UNUSED)
{
	static const struct {
		const char *value, *expected;
	} cases[] = {
	    {"a@b", "((NIL NIL \"a\" \"b\"))"},
	    {"Joe Q. Public <joe@x>", "((\"Joe Q. Public\" NIL \"joe\" \"x\"))"},
	    {"\"Doe, \\\"J\\\"\" <j@x>", "(({8}\r\nDoe, \"J\" NIL \"j\" \"x\"))"},
	    {"j@x (Joe (the) Doe)", "((\"Joe (the) Doe\" NIL \"j\" \"x\"))"},
	    {"(c) Joe (d) <j@x> (e)", "((\"Joe\" NIL \"j\" \"x\"))"},
	    {"<@r1,@r2:j@x>", "((NIL \"@r1,@r2\" \"j\" \"x\"))"},
	    {"<@ r1 , @r2 : j@x>", "((NIL \"@r1,@r2\" \"j\" \"x\"))"},
	    {"\"a b\"@x", "((NIL NIL \"a b\" \"x\"))"},
	    {"a . b @ c . d", "((NIL NIL \"a.b\" \"c.d\"))"},
	    {"j@[IPv6:::1]", "((NIL NIL \"j\" \"[IPv6:::1]\"))"},
	    {"=?utf-8?q?J=C3=BC?= <j@x>", "((\"=?utf-8?q?J=C3=BC?=\" NIL \"j\" \"x\"))"},
	    {"joe@here <joe@there>", "((\"joe@here\" NIL \"joe\" \"there\"))"},
	    {"a@b, , ,c@d,", "((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\"))"},
	    {"a@b; c@d", "((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\"))"},
	    {"a@b\r\n\tc", "((NIL NIL \"a\" \"b\"))"},
	    {"a@b@c", "((NIL NIL \"a@b\" \"c\"))"},
	    {"<a@b@c>", "((NIL NIL \"a@b\" \"c\"))"},
	    {"<a@b, c@d>", "((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\"))"},
	    {"<<a@b>>", "((NIL NIL \"a\" \"b\"))"},
	    {"MAILER-DAEMON <>", "((\"MAILER-DAEMON\" NIL \"\" \"\"))"},
	    {"<@b>", "((NIL NIL \"\" \"b\"))"},
	    {"@b", "((NIL NIL \"\" \"b\"))"},
	    {"a@", "((NIL NIL \"a\" \"\"))"},
	    {"some plain words", "((NIL NIL \"some plain words\" \"\"))"},
	    {"root", "((NIL NIL \"root\" \"\"))"},
	    {"J\xfcrgen <j@x>", "(({6}\r\nJ\xfcrgen NIL \"j\" \"x\"))"},
	    /* attack-107 */
	    {"(", "NIL"},
	    {"(a\\", "NIL"},
	    {"a@b (c\\", "(({2}\r\nc\\ NIL \"a\" \"b\"))"},
	    {"\"", "NIL"},
	    {"\"a\\", "((NIL NIL {2}\r\na\\ \"\"))"},
	    {"\\", "NIL"},
	    {"<", "((NIL NIL \"\" \"\"))"},
	    {">", "NIL"},
	    {"undisclosed-recipients:;", "((NIL NIL \"undisclosed-recipients\" NIL)(NIL NIL NIL NIL))"},
	    {"g: a@b, c@d; e@f", "((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")(NIL NIL NIL "
	                         "NIL)(NIL NIL \"e\" \"f\"))"},
	    {"g: a@b", "((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL))"},
	    {"g: h: a@b; c@d",
	        "((NIL NIL \"g\" NIL)(NIL NIL \"h:a\" \"b\")(NIL NIL NIL NIL)(NIL NIL \"c\" \"d\"))"},
	    {":;", "NIL"},
	    {";;;", "NIL"},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		to_list(cases[i].value, &b);
		assert_text(b, cases[i].expected);
	}
	buf_free(&b);
}

static void address_02_nul(void **state UNUSED)
{
	struct buf b = BUF_INIT;

	/* attack-107: a quoted NUL */
	envelope_of(STR("To: \"a\0b\" <c\0d@e>\r\n\r\n"), NULL, &b);
	assert_text(b, "(NIL NIL NIL NIL NIL (({3}\r\na\x80"
	               "b NIL {3}\r\nc\x80"
	               "d \"e\")) NIL NIL NIL NIL)");
	buf_free(&b);
}

static size_t count(struct str s, const char *needle)
{
	size_t n = 0, at;

	while ((at = str_search(s, str_of(needle))) != SIZE_MAX) {
		n++;
		s = str_from(s, at + 1);
	}
	return n;
}

static void address_03_limits(void **state UNUSED)
{
	struct mime_limits l = mime_limits_default;
	struct buf b = BUF_INIT;

	l.addresses = 3;
	envelope_of(STR("To: a@b,c@d\r\nTo: e@f, g@h\r\n\r\n"), &l, &b);
	assert_text(b, "(NIL NIL NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")(NIL NIL \"e\" "
	               "\"f\")) NIL NIL NIL "
	               "NIL)");
	/* A group that was begun is ended. */
	envelope_of(STR("To: g:a@b,c@d,e@f;\r\n\r\n"), &l, &b);
	assert_text(b, "(NIL NIL NIL NIL NIL ((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL)) NIL "
	               "NIL NIL NIL)");
	l = mime_limits_default;
	l.header_fields = 2;
	envelope_of(STR("A: 1\r\nSubject: seen\r\nDate: not seen\r\n\r\n"), &l, &b);
	assert_text(b, "(NIL \"seen\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	l = mime_limits_default;
	l.header_size = 20;
	envelope_of(STR("Subject: 0123456789abcdef\r\nDate: not seen\r\n\r\n"), &l, &b);
	assert_text(b, "(NIL \"0123456789a\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	buf_free(&b);
}

/* attack-102, attack-107: sizes at which anything but one pass would not end */
static void address_04_floods(void **state UNUSED)
{
	static const char *const elements[] = {"a@b,", "(", "(x)", "<", "<a", "g:", "g:;", "\"", "\"\"", "a ",
	    ".", "@", "a@b@", "<@a,", "\\", "[", "a@[", ":", ";", ">", "(\\"};
	struct mime_limits l = {.addresses = UINT32_MAX, .header_size = 64 * 1024 * 1024};
	struct buf header = BUF_INIT, b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(elements); i++) {
		buf_reset(&header);
		buf_adds(&header, "To: ");
		add_times(&header, elements[i], 500000);
		envelope_of(buf_str(&header), &l, &b);
		if (i == 0)
			assert_int_equal(count(buf_str(&b), "(NIL NIL \"a\" \"b\")"), 500000);
		buf_free(&b);
		envelope_of(buf_str(&header), NULL, &b);
		buf_free(&b);
	}
	buf_free(&header);
}

static void field_03_floods(void **state UNUSED)
{
	struct buf header = BUF_INIT;
	struct arena *a = arena_new("test");
	struct err e = ERR_INIT;
	struct counting c;
	struct mime_fields *f;
	struct mime_field field;
	size_t n = 0;

	/* attack-102: 10^6 fields, one field of 100 MB; no more is read than the limit */
	add_times(&header, "A: b\r\n", 1000000);
	c = counting_source(buf_str(&header), 4096);
	assert_int_equal(mime_fields_open(&c.source, 0, UINT64_MAX, NULL, a, &f, &e), 0);
	while (mime_fields_next(f, &field))
		n++;
	assert_int_equal(n, mime_limits_default.header_fields);
	assert_true(c.read <= 2u * mime_limits_default.header_size);
	buf_reset(&header);
	buf_adds(&header, "A: ");
	add_times(&header, "0123456789", 10000000);
	c = counting_source(buf_str(&header), 0);
	assert_int_equal(mime_fields_open(&c.source, 0, UINT64_MAX, NULL, a, &f, &e), 0);
	assert_true(mime_fields_next(f, &field));
	assert_int_equal(field.raw.n, mime_limits_default.header_size);
	assert_true(arena_size(a) < 8u * mime_limits_default.header_size);
	buf_free(&header);
	arena_free(&a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(field_01_walk),
	    cmocka_unit_test(field_02_get_and_raw),
	    cmocka_unit_test(field_03_floods),
	    cmocka_unit_test(envelope_01_full),
	    cmocka_unit_test(address_01_forms),
	    cmocka_unit_test(address_02_nul),
	    cmocka_unit_test(address_03_limits),
	    cmocka_unit_test(address_04_floods),
	};

	alarm(HANG_SECONDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
