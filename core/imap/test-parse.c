#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <mortise/driver.h>

#include "base/mem.h"
#include "imap/capability.h"
#include "imap/parse.h"
#include "imap/response.h"
#include "base/banned.h"

static struct arena *arena;

static int setup(void **state)
{
	(void)state;
	arena = arena_new("test");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static struct parse over(struct str text)
{
	struct parse p;

	parse_start(&p, text, arena);
	return p;
}
#define OVER(text) over(STR(text))

typedef bool string_fn(struct parse *p, struct str *s);

/* What a string production takes, and what it leaves. */
static void takes(string_fn *f, struct str text, const char *value, const char *rest)
{
	struct parse p = over(text);
	struct str s;

	if (!f(&p, &s))
		fail_msg("%.*s: %s", STR_FMT(text), p.error);
	assert_true(str_eqc(s, value));
	assert_true(str_eqc(p.rest, rest));
}

static void refuses(string_fn *f, struct str text, const char *error)
{
	struct parse p = over(text);
	struct str s;

	if (f(&p, &s))
		fail_msg("%.*s", STR_FMT(text));
	assert_string_equal(p.error, error);
	/* And everything after it. */
	assert_false(parse_skip(&p, ' '));
	assert_false(parse_atom(&p, &s));
	assert_false(parse_at_end(&p));
	assert_string_equal(p.error, error);
}

static void strings(void **state)
{
	(void)state;
	takes(parse_atom, STR("abc def"), "abc", " def");
	takes(parse_atom, STR("a[b]"), "a[b", "]");
	refuses(parse_atom, STR(""), "Missing or invalid argument");
	refuses(parse_atom, STR("(a"), "Missing or invalid argument");
	takes(parse_astring, STR("a]b c"), "a]b", " c");
	takes(parse_astring, STR("\"a b\" c"), "a b", " c");
	takes(parse_astring, STR("\"\""), "", "");
	takes(parse_astring, STR("\"a\\\"b\\\\\"x"), "a\"b\\", "x");
	takes(parse_astring, STR("\"\303\244\""), "\303\244", "");
	takes(parse_astring, STR("{3}\r\na)b)"), "a)b", ")");
	takes(parse_astring, STR("{3+}\r\na\r\n"), "a\r\n", "");
	takes(parse_astring, STR("{0}\r\n"), "", "");
	takes(parse_astring, STR("NIL"), "NIL", "");
	takes(parse_nstring, STR("\"NIL\" x"), "NIL", " x");
	takes(parse_string, STR("\"x\""), "x", "");
	takes(parse_item_name, STR("BODY.PEEK[1]"), "BODY.PEEK", "[1]");
	refuses(parse_string, STR("x"), "Missing string");
	refuses(parse_nstring, STR("NILL"), "Missing string");
	refuses(parse_astring, STR("~{1}\r\na"), "Binary literal is not allowed here");
	refuses(parse_astring, STR("*"), "Missing or invalid argument");
}

/* attack-076, attack-079, attack-080 */
static void bad_strings(void **state)
{
	int c;

	(void)state;
	refuses(parse_astring, STR("\"abc"), "Quoted string without end");
	refuses(parse_astring, STR("\"abc\\"), "Quoted string without end");
	refuses(parse_astring, STR("\"a\\nb\""), "Invalid escape in quoted string");
	refuses(parse_astring, STR("\"a\0b\""), "Control character in quoted string");
	refuses(parse_astring, STR("\"a\rb\""), "Control character in quoted string");
	refuses(parse_astring, STR("\"a\nb\""), "Control character in quoted string");
	refuses(parse_astring, STR("{2}\r\na\0"), "NUL in literal");
	refuses(parse_astring, STR("{5}\r\nabc"), "Invalid literal");
	refuses(parse_astring, STR("{18446744073709551615}\r\nabc"), "Invalid literal");
	refuses(parse_astring, STR("{99999999999999999999}\r\nabc"), "Invalid literal");
	refuses(parse_astring, STR("{-1}\r\nabc"), "Invalid literal");
	refuses(parse_astring, STR("{}\r\nabc"), "Invalid literal");
	refuses(parse_astring, STR("{3}abc"), "Invalid literal");
	refuses(parse_astring, STR("{3"), "Invalid literal");
	/* Every octet in an atom: taken when it is an atom's, else it ends it. */
	for (c = 0; c < 256; c++) {
		char text[3] = {'a', (char)c, 'b'};
		struct parse p = over(str_mem(text, 3));
		struct str s;

		assert_true(parse_atom(&p, &s));
		assert_int_equal(s.n, parse_is_atom_char((char)c) ? 3 : 1);
		assert_true(!parse_is_atom_char((char)c) || (c > ' ' && c < 0x7f));
	}
}

static void numbers(void **state)
{
	struct parse p;
	uint32_t n;
	uint64_t wide;

	(void)state;
	p = OVER("4294967295");
	assert_true(parse_number(&p, &n));
	assert_int_equal(n, UINT32_MAX);
	p = OVER("4294967296");
	assert_false(parse_number(&p, &n));
	assert_string_equal(p.error, "Number is too large");
	p = OVER("0");
	assert_false(parse_nz_number(&p, &n));
	assert_string_equal(p.error, "Number is zero");
	p = OVER("9223372036854775807>");
	assert_true(parse_number64(&p, &wide));
	assert_true(wide == INT64_MAX);
	p = OVER("9223372036854775808");
	assert_false(parse_number64(&p, &wide));
	p = OVER("-1");
	assert_false(parse_number64(&p, &wide));
	p = OVER("");
	assert_false(parse_number64(&p, &wide));
}

static void sets(void **state)
{
	static const char *const bad[] = {
	    "", "0", "1:2:3", ",", "1,", ":1", "a", "4294967296", "1:", "1,,2", "**"};
	struct number_set set;
	struct parse p = OVER("5:*,1,7:3 x");
	size_t i;

	(void)state;
	assert_true(parse_sequence_set(&p, 10, &set));
	assert_int_equal(set.n, 2);
	assert_int_equal(set.v[1].low, 3);
	assert_int_equal(set.v[1].high, 10);
	assert_true(str_eqc(p.rest, " x"));
	for (i = 0; i < ARRAY_LEN(bad); i++) { /* attack-082 */
		p = over(str_of(bad[i]));
		if (parse_sequence_set(&p, 10, &set))
			fail_msg("%s", bad[i]);
		assert_string_equal(p.error, "Invalid sequence set");
	}
}

static void mailboxes(void **state)
{
	static const char *const bad[] = {"a&b", "&", "&AGE-", "&2AA-", "&AAA-"};
	struct parse p = OVER("iNbOx");
	const char *name;
	size_t i;

	(void)state;
	assert_true(parse_mailbox(&p, &name));
	assert_string_equal(name, "INBOX");
	p = OVER("inbox/x");
	assert_true(parse_mailbox(&p, &name));
	assert_string_equal(name, "inbox/x");
	p = OVER("{8}\r\nb&APY-se");
	assert_true(parse_mailbox(&p, &name));
	assert_string_equal(name, "b\303\266se");
	p = OVER("\"\303\244 & b\""); /* RFC 6855 §3 */
	assert_true(parse_mailbox(&p, &name));
	assert_string_equal(name, "\303\244 & b");
	p = OVER("\"a\303\"");
	assert_false(parse_mailbox(&p, &name));
	p = OVER("A&-B");
	p.utf8 = true;
	assert_true(parse_mailbox(&p, &name));
	assert_string_equal(name, "A&-B");
	p = OVER("\"\377\"");
	p.utf8 = true;
	assert_false(parse_mailbox(&p, &name));
	assert_string_equal(p.error, "Quoted string is not in UTF-8");
	p = OVER("a&-b*%");
	assert_true(parse_pattern(&p, &name));
	assert_string_equal(name, "a&b*%");
	p = OVER("a*");
	assert_true(parse_mailbox(&p, &name)); /* leaves the star, which parse_end then refuses */
	assert_false(parse_end(&p));
	for (i = 0; i < ARRAY_LEN(bad); i++) { /* attack-088 */
		p = over(str_of(bad[i]));
		if (parse_mailbox(&p, &name))
			fail_msg("%s", bad[i]);
		assert_string_equal(p.error, "Mailbox name is not in modified UTF-7");
	}
}

static void dates(void **state)
{
	struct parse p = OVER("1-Feb-1970 x");
	int64_t day, when;
	int zone;

	(void)state;
	assert_true(parse_date(&p, &day));
	assert_int_equal(day, 31);
	p = OVER("\"01-feb-1970\"");
	assert_true(parse_date(&p, &day));
	assert_int_equal(day, 31);
	p = OVER("32-Feb-1970");
	assert_false(parse_date(&p, &day));
	assert_string_equal(p.error, "Invalid date");
	p = OVER("\" 1-Jan-1970 01:00:01 +0100\"");
	assert_true(parse_date_time(&p, &when, &zone));
	assert_int_equal(when, 1);
	assert_int_equal(zone, 60);
	p = OVER("\"1-Jan-1970\"");
	assert_false(parse_date_time(&p, &when, &zone));
	p = OVER("1-Jan-1970");
	assert_false(parse_date_time(&p, &when, &zone));
}

static void bad_flags(struct str text, bool bare, const char *error)
{
	struct parse p = over(text);
	struct flag_list f;

	if (parse_flag_list(&p, bare, 3, &f))
		fail_msg("%.*s", STR_FMT(text));
	assert_string_equal(p.error, error);
}

/* attack-095 */
static void flags(void **state)
{
	struct parse p = OVER("(\\Seen \\draft $Fwd work $FWD) x");
	struct flag_list f;

	(void)state;
	assert_true(parse_flag_list(&p, false, 3, &f));
	assert_int_equal(f.flags, MORTISE_FLAG_SEEN | MORTISE_FLAG_DRAFT);
	assert_int_equal(f.count, 2);
	assert_true(str_eqc(f.keywords[1], "work"));
	assert_true(str_eqc(p.rest, " x"));
	p = OVER("()");
	assert_true(parse_flag_list(&p, false, 3, &f));
	assert_int_equal(f.flags, 0);
	p = OVER("\\Seen a");
	assert_true(parse_flag_list(&p, true, 3, &f));
	assert_int_equal(f.count, 1);
	bad_flags(STR("\\Seen"), false, "Missing flag list");
	bad_flags(STR("(\\Seen"), false, "Syntax error");
	bad_flags(STR("(\\Seen )"), false, "Missing or invalid argument");
	bad_flags(STR("(a b c d)"), false, "Too many keywords");
	bad_flags(STR("(\\*)"), false, "\\* is not a flag");
	bad_flags(STR("(\\Recent)"), false, "\\Recent cannot be stored");
	bad_flags(STR("(\\Bogus)"), false, "Unknown system flag");
	bad_flags(STR("(\\)"), false, "Missing or invalid argument");
	bad_flags(STR("(a%)"), false, "Syntax error");
	bad_flags(STR("((((("), false, "Missing or invalid argument");
}

static void words(void **state)
{
	struct parse p = OVER("a1 UID FETCH");
	struct str tag;

	(void)state;
	assert_true(parse_tag(&p, &tag) && str_eqc(tag, "a1"));
	assert_true(parse_sp(&p));
	assert_false(parse_word(&p, "UI"));
	assert_true(parse_word(&p, "uid"));
	assert_null(p.error);
	assert_true(parse_at(&p, ' '));
	assert_true(parse_sp(&p));
	assert_false(parse_sp(&p));
	assert_string_equal(p.error, "Missing argument");
	p = OVER("a");
	assert_false(parse_end(&p));
	assert_string_equal(p.error, "Unexpected text after the arguments");
	p = OVER("{5+}\r\n");
	assert_true(parse_stream_literal(&p));
	p = OVER("{5+}");
	assert_false(parse_stream_literal(&p));
}

static void mod_sequences(void **state)
{
	struct number_set set;
	struct parse p;
	uint64_t n;

	(void)state;
	p = OVER("9223372036854775807)");
	assert_true(parse_modseq(&p, &n));
	assert_true(n == INT64_MAX && parse_at(&p, ')'));
	p = OVER("0");
	assert_false(parse_modseq(&p, &n));
	assert_string_equal(p.error, "Mod-sequence is zero");
	p = OVER("9223372036854775808");
	assert_false(parse_modseq(&p, &n));
	p = OVER("1:3,9 (*)");
	assert_true(parse_uid_set(&p, &set));
	assert_true(set.n == 2 && set_has(&set, 9) && parse_at(&p, ' '));
	p = OVER("1:*");
	assert_false(parse_uid_set(&p, &set));
	assert_string_equal(p.error, "\"*\" is not allowed here");
	p = OVER("1,0");
	assert_false(parse_uid_set(&p, &set));
	p = OVER("");
	assert_false(parse_uid_set(&p, &set));
}

/* ---- responses ---- */
static void says(const struct buf *b, const char *text)
{
	assert_string_equal(b->p, text);
}

static void responses(void **state)
{
	AUTO_BUF struct buf b = BUF_INIT;

	(void)state;
	response(&b, STR("a1"), RESPONSE_OK, "UIDNEXT 3", "fine");
	says(&b, "a1 OK [UIDNEXT 3] fine\r\n");
	buf_reset(&b);
	response(&b, STR(""), RESPONSE_BYE, NULL, "bye");
	says(&b, "* BYE bye\r\n");
	buf_reset(&b);
	response_continue(&b, "go on");
	says(&b, "+ go on\r\n");
	buf_reset(&b);
	response_challenge(&b, STR("hello"));
	says(&b, "+ aGVsbG8=\r\n");
	buf_reset(&b);
	response_challenge(&b, STR(""));
	says(&b, "+ \r\n");
}

/* attack-027, attack-129, attack-130: nothing gets out of its line or passes for something else. */
static void clean_responses(void **state)
{
	AUTO_BUF struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	char text[2000];

	(void)state;
	response(&b, STR("a*b"), RESPONSE_NO, NULL, "x");
	says(&b, "* NO x\r\n");
	buf_reset(&b);
	response(&b, STR("<b>"), RESPONSE_NO, NULL, "x");
	says(&b, "* NO x\r\n");
	buf_reset(&b);
	response(&b, STR("a"), RESPONSE_NO, NULL, "[ALERT] pay\r\n* BYE \033[2J\303\244");
	says(&b, "a NO (ALERT] pay??* BYE ?[2J??\r\n");
	buf_reset(&b);
	response(&b, STR("a"), RESPONSE_NO, "X]\r\n* OK", "t");
	says(&b, "a NO [X* OK] t\r\n");
	buf_reset(&b);
	response(&b, STR("a"), RESPONSE_OK, NULL, "");
	says(&b, "a OK done\r\n");
	buf_reset(&b);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	response(&b, STR("a"), RESPONSE_OK, NULL, text);
	assert_true(b.n < 600);
	buf_reset(&b);
	err_fault(&e, MORTISE_E_IO, "open /home/fred/mail/x: no");
	response_error(&b, STR("a"), &e);
	says(&b, "a NO [UNAVAILABLE] Input/output error\r\n");
}

static void capabilities(void **state)
{
	AUTO_BUF struct buf b = BUF_INIT;

	(void)state;
	capability_write(&b, &(struct capability_facts){.starttls = true,
	                         .login_disabled = true,
	                         .literal_minus = true,
	                         .mechanisms = "PLAIN  LOGIN"});
	says(&b,
	    "IMAP4rev1 IMAP4rev2 SASL-IR ID ENABLE LITERAL- STARTTLS LOGINDISABLED AUTH=PLAIN AUTH=LOGIN");
	buf_reset(&b);
	capability_write(&b, &(struct capability_facts){.authenticated = true, .mechanisms = "PLAIN"});
	assert_true(str_starts(buf_str(&b), STR("IMAP4rev1 IMAP4rev2 ID ENABLE IDLE NAMESPACE ")));
	assert_non_null(strstr(buf_cstr(&b), " CONDSTORE QRESYNC "));
	assert_null(strstr(buf_cstr(&b), "SASL-IR"));
	assert_null(strstr(buf_cstr(&b), " AUTH="));
	assert_string_equal(strrchr(buf_cstr(&b), ' '), " LITERAL+");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(strings),
	    TEST(bad_strings),
	    TEST(numbers),
	    TEST(sets),
	    TEST(mailboxes),
	    TEST(dates),
	    TEST(flags),
	    TEST(words),
	    TEST(mod_sequences),
	    TEST(responses),
	    TEST(clean_responses),
	    TEST(capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
