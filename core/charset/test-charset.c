/* Conversion, encoded words, folding, modified UTF-7. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "charset/charset_int.h"
#include "base/object.h"
#include "base/banned.h"

#define HANG_SECONDS 300 /* for what would not end; no test looks at a clock */

#define assert_text(b, expected)                                 \
	do {                                                     \
		assert_string_equal(buf_cstr(&(b)), (expected)); \
		buf_reset(&(b));                                 \
	} while (0)

static void add_times(struct buf *b, struct str s, size_t count)
{
	while (count-- != 0)
		buf_addstr(b, s);
}

/* ---- names ---- */

static void name_01_all_of_uw(void **state UNUSED)
{
	/* What BADCHARSET lists, and what clients send for it. */
	static const char *const names[] = {"US-ASCII", "UTF-8", "UTF-7", "ISO-8859-1", "ISO-8859-2",
	    "ISO-8859-3", "ISO-8859-4", "ISO-8859-5", "ISO-8859-6", "ISO-8859-7", "ISO-8859-8", "ISO-8859-9",
	    "ISO-8859-10", "ISO-8859-11", "ISO-8859-13", "ISO-8859-14", "ISO-8859-15", "ISO-8859-16",
	    "KOI8-R", "KOI8-U", "KOI8-RU", "TIS-620", "VISCII", "GBK", "GB2312", "CN-GB", "ISO-2022-CN",
	    "CN-GB-12345", "BIG5", "CN-BIG5", "BIG-5", "ISO-2022-JP", "EUC-JP", "SHIFT_JIS", "SHIFT-JIS",
	    "ISO-2022-JP-1", "ISO-2022-JP-2", "ISO-2022-KR", "EUC-KR", "KSC5601", "KSC_5601",
	    "KS_C_5601-1987", "KS_C_5601-1989", "KS_C_5601-1992", "KS_C_5601-1997", "WINDOWS-874", "CP874",
	    "WINDOWS-936", "CP936", "WINDOWS-949", "CP949", "X-WINDOWS-949", "WINDOWS-1250", "CP1250",
	    "WINDOWS-1251", "CP1251", "WINDOWS-1252", "CP1252", "WINDOWS-1253", "CP1253", "WINDOWS-1254",
	    "CP1254", "WINDOWS-1255", "CP1255", "WINDOWS-1256", "CP1256", "WINDOWS-1257", "CP1257",
	    "WINDOWS-1258", "CP1258", "IBM367", "IBM437", "IBM737", "IBM775", "IBM850", "IBM852", "IBM855",
	    "IBM857", "IBM860", "IBM861", "IBM862", "IBM863", "IBM864", "IBM865", "IBM866", "IBM869",
	    "IBM874", "ANSI_X3.4-1968", "UNICODE-1-1-UTF-7", "UCS-2", "UCS-4", "UTF-16", "utf8",
	    "iso_8859-1:1987", "latin1", "x-sjis", "gb18030", "Windows-1252", "ascii"};
	static const char *const bad[] = {"", "x", "X-UNKNOWN", "ISO-8859-12", "UTF-8//IGNORE", "//",
	    "../../x", "UTF-8 ", "INTERNAL", "utf-8\xff"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		bool known = charset_known(str_of(names[i]));

		if (!known)
			fail_msg("%s", names[i]);
	}
	for (i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(charset_known(str_of(bad[i])));
	assert_false(charset_known(STR("UTF-8\0x")));
}

/* What `iconv -l` lists, but for what names_rare.c leaves out. A newer libc may know a few more. */
static void name_02_all_of_iconv(void **state UNUSED)
{
	FILE *list = popen("iconv -l 2>/dev/null", "r");
	unsigned known = 0, unknown = 0;
	char line[512];

	assert_non_null(list);
	while (fgets(line, sizeof(line), list) != NULL) {
		struct str rest = str_trim(str_of(line));

		while (rest.n > 0) {
			struct str name = str_trim(str_cut(&rest, ','));

			if (str_ends(name, STR("//")))
				name.n -= 2;
			if (name.n == 0 || str_find(name, '/') < name.n || str_eqc(name, "WCHAR_T"))
				continue;
			if (charset_known(name))
				known++;
			else
				unknown++;
		}
	}
	pclose(list);
	if (known == 0)
		skip(); /* there is no such program */
	if (unknown > known / 50)
		fail_msg("%u of %u charsets are not known", unknown, known + unknown);
}

/* ---- conversion ---- */

/* In every way of cutting it up. */
static void convert(const char *charset, struct str in, const char *expected, bool clean)
{
	struct buf b = BUF_INIT;
	size_t piece;

	assert_int_equal(charset_to_utf8(&b, str_of(charset), in), clean);
	assert_text(b, expected);
	for (piece = 1; piece <= in.n; piece++) {
		struct charset_stream *cs = charset_stream_new(str_of(charset));
		size_t i;

		assert_non_null(cs);
		for (i = 0; i < in.n; i += piece)
			charset_stream_feed(cs, str_sub(in, i, piece), &b);
		assert_int_equal(charset_stream_feed(cs, STR_NONE, &b), clean);
		assert_text(b, expected);
		charset_stream_free(&cs);
	}
	buf_free(&b);
}

static void convert_01_clean(void **state UNUSED)
{
	convert("us-ascii", STR("plain"), "plain", true);
	convert("utf-8", STR("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"),
	    "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", true);
	convert("iso-8859-1", STR("caf\xe9"), "caf\xc3\xa9", true);
	convert("windows-1252", STR("\x80"), "\xe2\x82\xac", true);
	convert("koi8-r", STR("\xf0\xd2\xc9"), "\xd0\x9f\xd1\x80\xd0\xb8", true);
	convert("shift_jis", STR("\x93\xfa\x96\x7b"), "\xe6\x97\xa5\xe6\x9c\xac", true);
	convert("iso-2022-jp", STR("\x1b$BF|K\\\x1b(B."), "\xe6\x97\xa5\xe6\x9c\xac.", true);
	convert("gb2312", STR("\xd6\xd0"), "\xe4\xb8\xad", true);
	convert("big5", STR("\xa4\xa4"), "\xe4\xb8\xad", true);
	convert("ks_c_5601-1987", STR("\xc7\xd1"), "\xed\x95\x9c", true);
	convert("utf-7", STR("+AOk-x"), "\xc3\xa9x", true);
	convert("utf-16", STR("\xfe\xff\0a\xd8\x3d\xde\0"), "a\xf0\x9f\x98\x80", true);
	convert("utf-16",
	    STR("\xff\xfe"
	        "a\0b\0"),
	    "ab", true);
	convert("utf-16", STR("\0a\0b"), "ab", true);
	convert("ucs-4", STR("\0\0\0a"), "a", true);
	convert("utf-32", STR("\xff\xfe\0\0a\0\0\0"), "a", true);
	convert("utf-16le", STR("a\0"), "a", true);
}

#define U "\xef\xbf\xbd"
static void convert_02_illegal_and_truncated(void **state UNUSED)
{
	/* attack-120 */
	convert("us-ascii", STR("caf\xe9!"), "caf" U "!", false);
	convert("us-ascii", STR("caf\xc3\xa9"), "caf\xc3\xa9", false);
	convert("utf-8", STR("\xc3"), U, false);
	convert("utf-8", STR("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80\xff"), U U U U U U U U U U, false);
	convert("utf-8", STR("\xe2\x82x\xf0\x9f\x98"), U "x" U, false);
	convert("shift_jis", STR("\x93\xfa\x96"), "\xe6\x97\xa5" U, false);
	convert("euc-jp",
	    STR("\xff"
	        "a"),
	    U "a", false);
	convert("windows-1252", STR("\x81"), U, false);
	convert("utf-16", STR("\0a\xdc\0\0b\xd8"), "a" U "b" U, false);
	convert("utf-16", STR("\0"), U, false);
	convert("iso-2022-jp", STR("\xe9"), U, false);
}

/* Mail that does not say it is Japanese. */
static void convert_03_designators(void **state UNUSED)
{
	convert("us-ascii", STR("a \x1b$BF|K\\\x1b(B b"), "a \xe6\x97\xa5\xe6\x9c\xac b", true);
	convert("us-ascii", STR("\x1b[1mbold\x1b"), "\x1b[1mbold" U, false);
}

static void convert_04_unknown(void **state UNUSED)
{
	struct buf b = BUF_INIT;

	assert_null(charset_stream_new(STR("x-none")));
	assert_false(charset_to_utf8(&b, STR("x-none"), STR("caf\xc3\xa9 \xe9")));
	assert_text(b, "caf\xc3\xa9 " U);
	assert_false(charset_to_utf8(&b, STR("x-none"), STR("")));
	assert_text(b, "");
	buf_free(&b);
}

/* attack-120: every table, every octet and pair of octets, long runs; nothing grows more than it may */
static void convert_05_every_table(void **state UNUSED)
{
	static const char *const names[] = {"utf-8", "utf-7", "utf-16", "utf-32", "ucs-2be", "ucs-4be",
	    "ucs-4le", "iso-10646", "iso-8859-1", "iso-8859-8", "windows-1258", "tis-620", "viscii",
	    "gb18030", "iso-2022-cn", "iso-2022-cn-ext", "big5", "big5-hkscs", "euc-tw", "iso-2022-jp",
	    "iso-2022-jp-3", "euc-jp", "shift_jis", "iso-2022-kr", "euc-kr", "johab", "tscii", "ibm037",
	    "x-mac-roman", "koi8-ru", "us-ascii", "tcvn", "ibm500", "ibm930", "ibm1364", "ibm1390", "t.61",
	    "iso-6937", "iso-ir-156", "ansi-x3.110", "euc-jisx0213", "shift-jisx0213", "iso-11548-1", "brf",
	    "ebcdic-at-de", "hp-roman9"};
	struct buf all = BUF_INIT, out = BUF_INIT;
	size_t i, k;

	for (k = 0; k < 65536; k++) {
		buf_addc(&all, (char)(k >> 8));
		buf_addc(&all, (char)k);
	}
	for (i = 0; i < ARRAY_LEN(names); i++) {
		charset_to_utf8(&out, str_of(names[i]), buf_str(&all));
		assert_true(utf8_valid(buf_str(&out)));
		assert_true(out.n <= 12 * all.n);
		buf_free(&out);
		for (k = 0; k < 256; k++) {
			char same[3000];

			memset(same, (int)k, sizeof(same));
			charset_to_utf8(&out, str_of(names[i]), str_mem(same, sizeof(same)));
			assert_true(utf8_valid(buf_str(&out)));
			assert_true(out.n <= 12 * sizeof(same));
			buf_reset(&out);
		}
	}
	buf_free(&all);
	buf_free(&out);
}

/* Converters are used again; none remembers what was in it. */
static void convert_06_reuse(void **state UNUSED)
{
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < 100; i++) {
		charset_to_utf8(&b, STR("iso-2022-jp"), STR("\x1b$BF|"));
		assert_text(b, "\xe6\x97\xa5");
		charset_to_utf8(&b, STR("iso-2022-jp"), STR("F|"));
		assert_text(b, "F|");
	}
	for (i = 0; i < 200; i++) {
		char name[32];

		snprintf(name, sizeof(name), i % 2 != 0 ? "iso-8859-%zu" : "windows-%zu",
		    i % 2 != 0 ? i % 16 + 1 : 1250 + i % 9);
		charset_to_utf8(&b, str_of(name), STR("x"));
	}
	buf_free(&b);
}

static void utf8_01_valid(void **state UNUSED)
{
	assert_true(utf8_valid(STR("")));
	assert_true(utf8_valid(STR("abcdefghijk\0lmnop")));
	assert_true(utf8_valid(STR("abcdefgh\xc3\xa9\xf4\x8f\xbf\xbf")));
	assert_false(utf8_valid(STR("\xc3")));
	assert_false(utf8_valid(STR("\x80")));
	assert_false(utf8_valid(STR("\xed\xa0\x80")));
	assert_false(utf8_valid(STR("\xc1\x81")));
	assert_false(utf8_valid(STR("\xf4\x90\x80\x80")));
	assert_false(utf8_valid(STR("\xe0\x80\x80")));
	assert_false(utf8_valid(STR("\xf5\x80\x80\x80")));
}

/* ---- encoded words ---- */

static void word_01_forms(void **state UNUSED)
{
	static const struct {
		const char *in, *expected;
	} cases[] = {
	    {"plain text", "plain text"},
	    {"=?utf-8?Q?caf=C3=A9?=", "caf\xc3\xa9"},
	    {"=?UTF-8?b?Y2Fmw6k=?=", "caf\xc3\xa9"},
	    {"=?utf-8?B?Y2Fmw6k?=", "caf\xc3\xa9"},
	    {"=?iso-8859-1*fr?q?a_b=E9?=", "a b\xc3\xa9"},
	    {"Re: =?utf-8?q?a?=  =?utf-8?q?b?= c =?utf-8?q?d?=", "Re: ab c d"},
	    {"=?utf-8?q?a?=\r\n\t=?iso-8859-1?q?=E9?=", "a\xc3\xa9"},
	    /* a character cut between words */
	    {"=?utf-8?b?w4M=?= =?UTF-8?q?=C2?= =?utf-8?q?=A9?=", "\xc3\x83\xc2\xa9"},
	    {"x=?utf-8?q?y?=z", "xyz"},
	    {"(=?utf-8?q?y?=)", "(y)"},
	    {"=?utf-8?q?a=0D=0AInjected:_x?=", "aInjected: x"},
	    {"=?utf-8?q?"
	     "?=",
	        ""},
	    {"=?us-ascii?q?a=ZZb=4?=", "a=ZZb=4"},
	    {"raw \xe9 and \xc3\xa9", "raw " U " and \xc3\xa9"},
	    /* attack-106 */
	    {"=?x-none?q?a?= =?utf-8?q?b?= =?x-none?q?c?=", "=?x-none?q?a?= b =?x-none?q?c?="},
	    {"=?utf-8?q?trunc", "=?utf-8?q?trunc"},
	    {"=?utf-8?q?trunc?", "=?utf-8?q?trunc?"},
	    {"=?utf-8?q", "=?utf-8?q"},
	    {"=?utf-8", "=?utf-8"},
	    {"=?", "=?"},
	    {"=", "="},
	    {"=??q?a?=", "=??q?a?="},
	    {"=?utf-8?x?a?=", "=?utf-8?x?a?="},
	    {"=?utf-8?q?=?utf-8?q?a?=?=", "=?utf-8?q?a?="},
	    {"=?utf-8?q?=C3?=", U},
	    {"=?utf-8?b?!!!?=", ""},
	    {"=?utf-8//IGNORE?q?a?=", "=?utf-8//IGNORE?q?a?="},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		charset_decode_header(&b, str_of(cases[i].in));
		assert_text(b, cases[i].expected);
	}
	buf_free(&b);
}

static void word_02_floods(void **state UNUSED)
{
	static const struct str elements[] = {STR_INIT("=?"), STR_INIT("=?utf-8?q?"),
	    STR_INIT("=?utf-8?q?a?= "), STR_INIT("=?utf-8?q?a?= =?koi8-r?q?b?= =?big5?b?xx?= "),
	    STR_INIT("=?x?q?a?= "), STR_INIT("=?utf-8?q?a"), STR_INIT("="), STR_INIT("\xff"),
	    STR_INIT("=?utf-8?q?=C3?= "), STR_INIT("=?iso-2022-jp?b?GyRC?= ")};
	struct buf b = BUF_INIT, out = BUF_INIT;
	size_t i;

	/* attack-106 */
	for (i = 0; i < ARRAY_LEN(elements); i++) {
		add_times(&b, elements[i], 300000);
		charset_decode_header(&out, buf_str(&b));
		assert_true(out.n <= 3 * b.n);
		assert_true(utf8_valid(buf_str(&out)));
		buf_free(&b);
		buf_free(&out);
	}
}

/* ---- folding ---- */

static void fold(const char *in, const char *expected)
{
	struct buf b = BUF_INIT;

	charset_fold(&b, str_of(in));
	assert_text(b, expected);
	buf_free(&b);
}

static void fold_01_rfc5051(void **state UNUSED)
{
	fold("Hello, World 123", "HELLO, WORLD 123");
	{
		struct buf b = BUF_INIT;
		char all[130];
		size_t i;

		/* Every ASCII octet, at every place of the eight that are taken together. */
		for (i = 0; i < 128 + 2; i++)
			all[i] = (char)(i % 128);
		charset_fold(&b, str_mem(all + 1, 129));
		charset_fold(&b, str_mem(all + 3, 125));
		for (i = 0; i < 129; i++)
			assert_int_equal(b.p[i], ascii_upper(all[i + 1]));
		for (i = 0; i < 125; i++)
			assert_int_equal(b.p[129 + i], ascii_upper(all[i + 3]));
		buf_free(&b);
	}
	fold("\xc3\xa9", "E\xcc\x81");
	fold("e\xcc\x81", "E\xcc\x81");
	/* the example of RFC 5051 §2: U+01C4 */
	fold("\xc7\x84", "Dz\xcc\x8c");
	fold("\xd0\xb6", "\xd0\x96");
	fold("\xef\xbd\x81", "A");
	fold("\xff", U);
	fold("a\xc3", "A" U);
	fold("\xe6\x97\xa5", "\xe6\x97\xa5");
}

static void fold_02_expansion(void **state UNUSED)
{
	struct buf b = BUF_INIT, out = BUF_INIT;
	uint32_t code;

	/* attack-120: U+FDFA is the worst: three octets become 33 */
	for (code = 0; code < 0x110000; code++) {
		struct buf one = BUF_INIT;

		if (code >= 0xd800 && code <= 0xdfff)
			continue;
		utf8_put(&one, code);
		charset_fold(&out, buf_str(&one));
		assert_true(out.n <= 12 * one.n);
		assert_true(utf8_valid(buf_str(&out)));
		buf_reset(&out);
		buf_free(&one);
	}
	add_times(&b, STR("\xef\xb7\xba"), 100000);
	charset_fold(&out, buf_str(&b));
	assert_true(out.n <= 12 * b.n);
	buf_free(&b);
	buf_free(&out);
}

/* ---- modified UTF-7 ---- */

static void nfc_01(void **state UNUSED)
{
	static const char *const pairs[][2] = {{"abc", "abc"}, {"Cafe\xcc\x81", "Caf\xc3\xa9"},
	    {"\xe2\x84\xab", "\xc3\x85"}, {"\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80"},
	    {"q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87"}, {"\xff", "\xff"}, {"", ""}};
	size_t i;

	for (i = 0; i < ARRAY_LEN(pairs); i++) {
		AUTO_BUF struct buf b = BUF_INIT;

		utf8_to_nfc(&b, str_of(pairs[i][0]));
		assert_string_equal(buf_cstr(&b), pairs[i][1]);
		buf_reset(&b);
		utf8_to_nfc(&b, str_of(pairs[i][1]));
		assert_string_equal(buf_cstr(&b), pairs[i][1]);
	}
	assert_true(utf8_is_ascii(STR("abc\x7f")));
	assert_false(utf8_is_ascii(STR("abcdefgh\x80")));
	assert_true(utf8_is_ascii(STR("")));
}

static void mutf7_01_both_ways(void **state UNUSED)
{
	static const struct {
		const char *mutf7, *utf8;
	} cases[] = {
	    {"", ""},
	    {"INBOX", "INBOX"},
	    {"a&-b", "a&b"},
	    {"&-&-", "&&"},
	    {"~peter/mail/&U,BTFw-/&ZeVnLIqe-",
	        "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"},
	    {"&AOk-", "\xc3\xa9"},
	    {"&AOkA6Q-", "\xc3\xa9\xc3\xa9"},
	    {"&AOkA6QDp-x", "\xc3\xa9\xc3\xa9\xc3\xa9x"},
	    {"&AOk-&-&AOk-", "\xc3\xa9&\xc3\xa9"},
	    {"&2D3eAA-", "\xf0\x9f\x98\x80"},
	    {"&AAk-", "\t"},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		assert_true(mutf7_to_utf8(&b, str_of(cases[i].mutf7)));
		assert_text(b, cases[i].utf8);
		utf8_to_mutf7(&b, str_of(cases[i].utf8));
		assert_text(b, cases[i].mutf7);
	}
	buf_free(&b);
}

static void mutf7_02_strict(void **state UNUSED)
{
	/* attack-88: not canonical, truncated, lone surrogates, `&-` games, two spellings of one name */
	static const char *const bad[] = {"&", "a&", "&AOk", "&AOk-&AOk-", "&AGE-", "&AGEA6Q-", "&AOl-",
	    "&AOkA-", "&AOkAA-", "&2D0-", "&3gA-", "&2D0AYQ-", "&3gDYPQ-", "&A-", "&AA-", "&AAA-", "&ACY-",
	    "&AOk/-", "&AOk=-", "&AOk -", "caf\xc3\xa9", "a\tb", "a\x7f", "&,,,-", "&2D3YPQ-"};
	struct buf b = BUF_INIT;
	size_t i;

	buf_adds(&b, "kept");
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		if (mutf7_to_utf8(&b, str_of(bad[i])))
			print_message("# %s\n", bad[i]);
		assert_string_equal(buf_cstr(&b), "kept");
	}
	assert_false(mutf7_to_utf8(&b, STR("a\0b")));
	assert_false(mutf7_to_utf8(&b, STR("&A\0k-")));
	buf_free(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(name_01_all_of_uw),
	    cmocka_unit_test(name_02_all_of_iconv),
	    cmocka_unit_test(convert_01_clean),
	    cmocka_unit_test(convert_02_illegal_and_truncated),
	    cmocka_unit_test(convert_03_designators),
	    cmocka_unit_test(convert_04_unknown),
	    cmocka_unit_test(convert_05_every_table),
	    cmocka_unit_test(convert_06_reuse),
	    cmocka_unit_test(utf8_01_valid),
	    cmocka_unit_test(word_01_forms),
	    cmocka_unit_test(word_02_floods),
	    cmocka_unit_test(fold_01_rfc5051),
	    cmocka_unit_test(fold_02_expansion),
	    cmocka_unit_test(nfc_01),
	    cmocka_unit_test(mutf7_01_both_ways),
	    cmocka_unit_test(mutf7_02_strict),
	};

	alarm(HANG_SECONDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
