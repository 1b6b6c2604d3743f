/* Base subjects, message ids, sort records and SORT. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "mime/mime.h"
#include "search/references.h"
#include "search/sort.h"
#include "search/subject.h"
#include "base/object.h"
#include "base/banned.h"

#define HANG_SECONDS 300
#define HOSTILE 100000

static void sort_01_base_subject(void **state UNUSED)
{
	/* RFC 5256 §2.1 and the rules of §5. */
	static const struct {
		const char *subject, *base;
		bool reply;
	} cases[] = {
	    {"", "", false},
	    {"plain", "plain", false},
	    {"  two   words\t here ", "two words here", false},
	    {"Re: x", "x", true},
	    {"RE: re:  Re: x", "x", true},
	    {"Re : x", "x", true},
	    {"Re:x", "x", true},
	    {"Fw: x", "x", true},
	    {"FWD: x", "x", true},
	    {"Fwd : x", "x", true},
	    {"Re[2]: x", "x", true},
	    {"re [list] : x", "x", true},
	    {"[list] Re: x", "x", true},
	    {"[a] [b][c] Re: x", "x", true},
	    {"[a] x", "x", false},
	    {"[a][b] x", "x", false},
	    {"[a]", "[a]", false},
	    {"[a] [b]", "[b]", false},
	    {"[a]\t[b]   [c]", "[c]", false},
	    {"Re: [a]", "[a]", true},
	    {"[a] Re: [b] Fwd: [c]", "[c]", true},
	    {"x (fwd)", "x", true},
	    {"x (fwd) (FWD)(fwd)  ", "x", true},
	    {"(fwd)", "", true},
	    {"x (fwd) y", "x (fwd) y", false},
	    {"[fwd: x]", "x", true},
	    {"[FWD:x (fwd)]", "x", true},
	    {"[fwd: Re: [fwd: [list] x]]", "x", true},
	    {"Re: [Fwd: x] (fwd)", "x", true},
	    {"[fwd: x] y", "y", false},
	    {"[fwd: x", "[fwd: x", false},
	    {"[fwd:]", "", true},
	    {"Re:", "", true},
	    {"re", "re", false},
	    {"Review: x", "Review: x", false},
	    {"Forward: x", "Forward: x", false},
	    {"AW: x", "AW: x", false}, /* §7: translations stay */
	    {"[unfinished Re: x", "[unfinished Re: x", false},
	    {"x]", "x]", false},
	    {"[a[b] x", "[a[b] x", false},
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = BUF_INIT;
		bool reply = base_subject(&b, str_of(cases[i].subject));

		if (strcmp(buf_cstr(&b), cases[i].base) != 0 || reply != cases[i].reply)
			fail_msg("\"%s\" gives \"%s\" %d", cases[i].subject, buf_cstr(&b), reply);
		buf_free(&b);
	}
}

static struct str repeated(struct buf *b, const char *first, const char *text, size_t count, const char *last)
{
	buf_reset(b);
	buf_adds(b, first);
	while (count-- > 0)
		buf_adds(b, text);
	buf_adds(b, last);
	return buf_str(b);
}

static void sort_02_hostile_subjects(void **state UNUSED)
{
	/* attack-084: anything worse than linear would not end. */
	static const char *const pieces[] = {"[a]", "[a", "[fwd:", "[fwd: ]", "re: ", "re ", "re[a]", "(fwd)",
	    " (fwd)]", "[]re", "fw[", "[a] re:"};
	struct buf text = BUF_INIT, out = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(pieces); i++) {
		buf_reset(&out);
		base_subject(&out, repeated(&text, "", pieces[i], HOSTILE, ""));
		base_subject(&out, repeated(&text, "", pieces[i], HOSTILE, "x"));
		base_subject(&out, repeated(&text, "[fwd:", pieces[i], HOSTILE, "]"));
	}
	buf_reset(&out);
	assert_true(base_subject(&out, repeated(&text, "", "[a]", HOSTILE, "re: x")));
	assert_string_equal(buf_cstr(&out), "x");
	buf_reset(&out);
	repeated(&text, "", "[fwd: ", HOSTILE, "x");
	for (i = 0; i < HOSTILE; i++)
		buf_addc(&text, ']');
	assert_true(base_subject(&out, buf_str(&text)));
	assert_string_equal(buf_cstr(&out), "x");
	buf_free(&text);
	buf_free(&out);
}

/* All ids of a field, with commas between. */
static const char *ids_of(struct str field, struct buf *out)
{
	buf_reset(out);
	while (message_id_next(&field, out))
		buf_addc(out, ',');
	return buf_cstr(out);
}

static void sort_03_message_ids(void **state UNUSED)
{
	static const struct {
		const char *field, *ids;
	} cases[] = {
	    {"<a@b>", "a@b,"},
	    {"<a@b> <c@d>\t<e@f>", "a@b,c@d,e@f,"},
	    {"<a@b><c@d>", "a@b,c@d,"},
	    /* RFC 5256 §3: these are the same */
	    {"<\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>", "01KF8JCEOCBS0045PS@xxx.yyy.com,"},
	    {"<01KF8JCEOCBS0045PS@xxx.yyy.com>", "01KF8JCEOCBS0045PS@xxx.yyy.com,"},
	    {"<\"a\\\"b\"@c>", "a\"b@c,"},
	    {"<a (comment (inside)) @ b>", "a@b,"},
	    {"<a @\r\n b>", "a@b,"},
	    {"<A@b> <a@b>", "A@b,a@b,"},
	    {"<a@[127.0.0.1]>", "a@[127.0.0.1],"},
	    {"message of Monday <a@b> by <nobody>", "a@b,"},
	    {"joe@example.org's message", ""},
	    {"<nobody>", ""},
	    {"<@b> <a@> <>", ""},
	    {"<a@b", ""},
	    {"<a <b@c>", "b@c,"},
	    {"<\"a@b> <c@d>", ""},
	    {"<(a@b> <c@d>", ""},
	    {"", ""},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(ids_of(str_of(cases[i].field), &b), cases[i].ids);
	buf_free(&b);
}

static void sort_04_hostile_ids(void **state UNUSED)
{
	static const char *const pieces[] = {"<", "<a", "<\"", "<(", "<a@b", "<a@b>", "<\\", "\"<a@"};
	struct buf text = BUF_INIT, out = BUF_INIT;
	struct str s;
	size_t i, count;

	for (i = 0; i < ARRAY_LEN(pieces); i++)
		ids_of(repeated(&text, "", pieces[i], HOSTILE, ""), &out);
	s = repeated(&text, "", "<a@b>", HOSTILE, "");
	buf_reset(&out);
	for (count = 0; message_id_next(&s, &out); count++)
		buf_reset(&out);
	assert_int_equal(count, HOSTILE);
	buf_free(&text);
	buf_free(&out);
}

/* ---- records ---- */

/* The record of a header block, as the store makes it. */
static void record_of(const char *header, struct buf *packed, struct sort_record *r)
{
	struct arena *a = arena_new("test");
	struct source *s = source_memory(str_of(header));
	struct err e = ERR_INIT;
	struct buf envelope = BUF_INIT;
	struct str references = STR_NONE;

	assert_int_equal(mime_envelope(s, 0, strlen(header), NULL, &envelope, &e), 0);
	mime_field_of(str_of(header), STR("References"), NULL, a, &references);
	buf_reset(packed);
	sort_record_write(packed, buf_str(&envelope), references);
	assert_true(sort_record_read(buf_str(packed), r));
	buf_free(&envelope);
	source_close(&s);
	arena_free(&a);
}

#define assert_text(r, which, expected)                                                \
	do {                                                                           \
		if (!str_eqc((r).texts[which], expected))                              \
			fail_msg("%s is \"%.*s\"", #which, STR_FMT((r).texts[which])); \
	} while (0)

static void sort_05_record(void **state UNUSED)
{
	struct buf packed = BUF_INIT;
	struct sort_record r;

	record_of("Date: Sun, 31 Dec 2000 16:01:33 -0800\r\n"
	          "Subject: [list] Re: =?utf-8?q?Gr=C3=BCn?= an\r\n alle\r\n"
	          "From: =?utf-8?q?J=C3=BCrgen?= Doe <Jurgen@Example.ORG>, other@example.net\r\n"
	          "To: \"quo\\\"ted\" <to@example.net>\r\n"
	          "Cc: plain@example.net\r\n"
	          "Message-ID: <\"me\"@example.org>\r\n"
	          "In-Reply-To: <not@used>\r\n"
	          "References: <one@example.org> junk\r\n <two@example.org>\r\n\r\n",
	    &packed, &r);
	assert_true(r.reply);
	assert_true(r.has_date);
	assert_int_equal(r.date, 978307293); /* RFC 5256 §2.2: 1 Jan 2001 00:01:33 */
	assert_text(r, SORT_TEXT_SUBJECT, "GRU\xcc\x88N AN ALLE");
	assert_text(r, SORT_TEXT_FROM, "JURGEN");
	assert_text(r, SORT_TEXT_TO, "TO");
	assert_text(r, SORT_TEXT_CC, "PLAIN");
	assert_text(r, SORT_TEXT_DISPLAYFROM, "JU\xcc\x88RGEN DOE");
	assert_text(r, SORT_TEXT_DISPLAYTO, "QUO\"TED");
	assert_text(r, SORT_TEXT_ID, "me@example.org");
	assert_int_equal(r.texts[SORT_TEXT_REFERENCES].n, 32);
	assert_memory_equal(r.texts[SORT_TEXT_REFERENCES].p, "one@example.org\0two@example.org\0", 32);
	buf_free(&packed);
}

static void sort_06_record_without(void **state UNUSED)
{
	struct buf packed = BUF_INIT;
	struct sort_record r;
	size_t i;

	record_of("X-None: x\r\n\r\n", &packed, &r);
	assert_false(r.reply);
	assert_false(r.has_date);
	for (i = 0; i < SORT_TEXTS; i++)
		assert_int_equal(r.texts[i].n, 0);
	/* A group is what ENVELOPE shows: its name is the mailbox, there is no host. */
	record_of("From: friends: a@b, c@d;\r\nTo: nowhere\r\nCc: =?utf-8?q?_?= <x@y>\r\n"
	          "In-Reply-To: Your message of Monday <a@b> <joe@example.org>\r\nReferences: none\r\n\r\n",
	    &packed, &r);
	assert_text(r, SORT_TEXT_FROM, "FRIENDS");
	assert_text(r, SORT_TEXT_DISPLAYFROM, "FRIENDS");
	assert_text(r, SORT_TEXT_TO, "NOWHERE");
	assert_memory_equal(r.texts[SORT_TEXT_REFERENCES].p, "a@b\0", 4);
	assert_int_equal(r.texts[SORT_TEXT_REFERENCES].n, 4);
	record_of("From: b@c\r\nTo: \"\" <d@e>\r\n\r\n", &packed, &r);
	assert_text(r, SORT_TEXT_DISPLAYFROM, "B@C");
	assert_text(r, SORT_TEXT_DISPLAYTO, "D@E");
	buf_free(&packed);
}

static void sort_07_damaged_record(void **state UNUSED)
{
	struct buf packed = BUF_INIT;
	struct sort_record r;
	size_t i;

	record_of("Subject: abc\r\nFrom: a@b\r\n\r\n", &packed, &r);
	for (i = 0; i < packed.n; i++)
		assert_false(sort_record_read(str_sub(buf_str(&packed), 0, i), &r));
	buf_addc(&packed, 'x');
	assert_false(sort_record_read(buf_str(&packed), &r));
	packed.n--;
	for (i = 12; i < 44; i++) {
		char was = packed.p[i];

		packed.p[i] = (char)0xff;
		assert_false(sort_record_read(buf_str(&packed), &r));
		packed.p[i] = was;
	}
	packed.p[0] = 2;
	assert_false(sort_record_read(buf_str(&packed), &r));
	buf_free(&packed);
}

static void sort_08_envelopes_that_end_early(void **state UNUSED)
{
	static const char whole[] =
	    "(\"Mon, 1 Jan 2001 00:00:00 +0000\" {5}\r\nhello ((\"n\" NIL \"m\" \"h\")) "
	    "((\"n\" NIL \"m\" \"h\")) NIL NIL NIL NIL \"<a@b>\" \"<c\\\"@d>\")";
	struct buf packed = BUF_INIT;
	struct sort_record r;
	size_t i;

	for (i = 0; i < sizeof(whole); i++) {
		buf_reset(&packed);
		sort_record_write(&packed, str_mem(whole, i), STR_NONE);
		assert_true(sort_record_read(buf_str(&packed), &r));
	}
	assert_text(r, SORT_TEXT_FROM, "M");
	buf_free(&packed);
}

/* ---- SORT ---- */

struct sample {
	int64_t arrival;
	uint64_t octets;
	const char *header;
};

static const struct sample samples[] = {
    {100, 30,
        "Date: Mon, 1 Jan 2001 10:00:00 +0000\r\nSubject: beta\r\nFrom: zoe@a\r\nTo: Alice <x@y>\r\n\r\n"},
    {300, 10,
        "Date: Mon, 1 Jan 2001 12:00:00 +0200\r\nSubject: Re: Alpha\r\nFrom: Adam <bob@a>\r\nCc: "
        "q@r\r\n\r\n"},
    {200, 20, "Date: Mon, 1 Jan 2001 09:00:00 +0000\r\nSubject: alpha\r\nFrom: bob@a\r\nTo: bert@b\r\n\r\n"},
    {400, 20, "Subject: [x] BETA (fwd)\r\nFrom: Carol <anna@a>\r\nCc: P@r\r\n\r\n"},
    {978343200, 5, "Subject: \r\nDate: nonsense\r\nTo: alice@b\r\n\r\n"},
};

static void sort_program_of(const char *words, struct sort_program *p)
{
	static const char *const names[SORT_KEYS] = {"ARRIVAL", "CC", "DATE", "DISPLAYFROM", "DISPLAYTO",
	    "FROM", "SIZE", "SUBJECT", "TO", "RELEVANCY"};
	struct str rest = str_of(words);
	bool reverse = false;
	int i;

	*p = (struct sort_program){.count = 0};
	while (rest.n > 0) {
		struct str word = str_cut(&rest, ' ');

		if (str_eqc(word, "REVERSE")) {
			reverse = true;
			continue;
		}
		for (i = 0; i < SORT_KEYS && !str_eqc(word, names[i]); i++)
			;
		assert_true(i < SORT_KEYS);
		sort_program_add(p, (enum sort_key)i, reverse);
		reverse = false;
	}
}

static void check_sort(const char *program, const char *expected)
{
	struct arena *a = arena_new("test");
	struct buf packed = BUF_INIT, out = BUF_INIT;
	struct sort_program p;
	struct sorter *s;
	const uint32_t *numbers;
	size_t i, count;

	sort_program_of(program, &p);
	s = sorter_new(a, &p, ARRAY_LEN(samples));
	for (i = 0; i < ARRAY_LEN(samples); i++) {
		struct sort_record r;

		record_of(samples[i].header, &packed, &r);
		sorter_add(s, &(struct sort_message){.number = (uint32_t)i + 1,
		                  .arrival = samples[i].arrival,
		                  .octets = samples[i].octets,
		                  .record = sort_needs_record(&p) ? &r : NULL});
	}
	numbers = sorter_sort(s, &count);
	for (i = 0; i < count; i++)
		buf_printf(&out, i > 0 ? " %u" : "%u", numbers[i]);
	if (strcmp(buf_cstr(&out), expected) != 0)
		fail_msg("%s gives %s, not %s", program, buf_cstr(&out), expected);
	buf_free(&packed);
	buf_free(&out);
	arena_free(&a);
}

static void sort_09_keys(void **state UNUSED)
{
	check_sort("ARRIVAL", "1 3 2 4 5");
	check_sort("SIZE", "5 2 3 4 1");
	check_sort("REVERSE SIZE", "1 3 4 2 5"); /* equal ones stay in order */
	check_sort("DATE", "4 3 1 2 5");         /* 1, 2 and 5 at the same moment */
	check_sort("REVERSE DATE", "1 2 5 3 4");
	check_sort("SUBJECT", "5 2 3 1 4");
	check_sort("REVERSE SUBJECT", "1 4 2 3 5");
	check_sort("SUBJECT DATE", "5 3 2 4 1");
	check_sort("SUBJECT REVERSE DATE", "5 2 3 1 4");
	check_sort("FROM", "5 4 2 3 1");
	check_sort("CC", "1 3 5 4 2");
	check_sort("TO", "2 4 5 3 1");
	check_sort("DISPLAYFROM", "5 2 3 4 1");
	check_sort("DISPLAYTO", "2 4 1 5 3");
	check_sort("SIZE REVERSE ARRIVAL", "5 2 4 3 1");
	/* A key that was named before decides nothing. */
	check_sort("SUBJECT REVERSE SUBJECT SUBJECT", "5 2 3 1 4");
}

static void sort_10_long_texts(void **state UNUSED)
{
	/* Equal in the first eight octets, and in all but the last of many. */
	struct arena *a = arena_new("test");
	struct sort_program p = {.count = 0};
	struct sort_record r = {.reply = false};
	struct buf text = BUF_INIT;
	struct sorter *s;
	const uint32_t *numbers;
	size_t count;
	uint32_t i;

	sort_program_add(&p, SORT_SUBJECT, true);
	s = sorter_new(a, &p, 20000);
	for (i = 0; i < 20000; i++) {
		buf_reset(&text);
		buf_printf(&text, "THE SAME BEGINNING %05u", i * 7919 % 20000);
		r.texts[SORT_TEXT_SUBJECT] = buf_str(&text);
		sorter_add(s, &(struct sort_message){.number = i * 7919 % 20000 + 1, .record = &r});
	}
	numbers = sorter_sort(s, &count);
	assert_int_equal(count, 20000);
	for (i = 0; i < count; i++)
		assert_int_equal(numbers[i], 20000 - i);
	buf_free(&text);
	arena_free(&a);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sort_01_base_subject),
	    cmocka_unit_test(sort_02_hostile_subjects),
	    cmocka_unit_test(sort_03_message_ids),
	    cmocka_unit_test(sort_04_hostile_ids),
	    cmocka_unit_test(sort_05_record),
	    cmocka_unit_test(sort_06_record_without),
	    cmocka_unit_test(sort_07_damaged_record),
	    cmocka_unit_test(sort_08_envelopes_that_end_early),
	    cmocka_unit_test(sort_09_keys),
	    cmocka_unit_test(sort_10_long_texts),
	};

	alarm(HANG_SECONDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
