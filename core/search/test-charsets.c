/*
 * SEARCH finds text in every charset of the UW toolkit's list, and some of iconv's others: in encoded words
 * of the header, in bodies with each transfer encoding, in parts of a multipart and in messages inside.
 */
#include <iconv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/codec.h"
#include "search/search.h"
#include "base/object.h"
#include "base/banned.h"

/* What is in the message, and what is looked for: the same in another case where there is one. */
static const struct language {
	const char *text, *wanted;
} ascii = {"Plain text of old", "PLAIN TEXT"}, west = {"Größe im Café", "GRÖßE IM CAFÉ"},
  central = {"Žluťoučký kůň", "ŽLUŤOUČKÝ KŮŇ"}, esperanto = {"Ĉirkaŭ ĝardeno", "ĉIRKAŬ ĜARDENO"},
  baltic = {"Žalioji šaka", "žALIOJI ŠAKA"}, russian = {"Привет, мир", "ПРИВЕТ, МИР"},
  ukrainian = {"Їжак і єнот", "ЇЖАК І ЄНОТ"}, arabic = {"مرحبا بالعالم", "بالعالم"},
  digits = {"٠١٢٣ ٤٥", "٢٣ ٤"}, greek = {"Καλημέρα κόσμε", "ΚΑΛΗΜΈΡΑ ΚΌΣΜΕ"}, hebrew = {"שלום עולם", "עולם"},
  turkish = {"Şeğü çay", "şEĞÜ ÇAY"}, icelandic = {"Þórður æ", "þÓRÐUR Æ"}, thai = {"สวัสดีชาวโลก", "ชาวโลก"},
  welsh = {"Ŵyr ŷd", "ŵYR ŶD"}, euro = {"Œuvre: 5 €", "œUVRE: 5 €"},
  romanian = {"Știință țară", "ȘTIINȚĂ ȚARĂ"}, vietnamese = {"Tiếng Việt Nam", "TIẾNG VIỆT"},
  simplified = {"你好世界", "好世"}, traditional = {"你好世界", "好世"},
  japanese = {"こんにちは世界", "にちは世"}, korean = {"안녕하세요 세계", "하세요 세"},
  nordic = {"På Ærø", "PÅ ÆRØ"}, portuguese = {"Ação já", "AÇÃO JÁ"}, french = {"Être où", "ÊTRE OÙ"},
  armenian = {"Բարեւ", "բԱՐԵՒ"}, georgian = {"გამარჯობა", "მარჯ"};

/* `encoder`: what iconv calls it, when that is another name. */
static const struct charset {
	const char *name, *encoder;
	const struct language *language;
} charsets[] = {
    /* clang-format off */
    {"US-ASCII", NULL, &ascii}, {"UTF-8", NULL, &russian}, {"UTF-7", NULL, &japanese},
    {"ISO-8859-1", NULL, &west}, {"ISO-8859-2", NULL, &central}, {"ISO-8859-3", NULL, &esperanto},
    {"ISO-8859-4", NULL, &baltic}, {"ISO-8859-5", NULL, &russian}, {"ISO-8859-6", NULL, &arabic},
    {"ISO-8859-7", NULL, &greek}, {"ISO-8859-8", NULL, &hebrew}, {"ISO-8859-9", NULL, &turkish},
    {"ISO-8859-10", NULL, &icelandic}, {"ISO-8859-11", NULL, &thai}, {"ISO-8859-13", NULL, &baltic},
    {"ISO-8859-14", NULL, &welsh}, {"ISO-8859-15", NULL, &euro}, {"ISO-8859-16", NULL, &romanian},
    {"KOI8-R", NULL, &russian}, {"KOI8-U", NULL, &ukrainian}, {"KOI8-RU", "KOI8-U", &ukrainian},
    {"TIS-620", NULL, &thai}, {"VISCII", NULL, &vietnamese},
    {"GBK", NULL, &simplified}, {"GB2312", "EUC-CN", &simplified}, {"CN-GB", "EUC-CN", &simplified},
    {"ISO-2022-CN", NULL, &simplified}, {"CN-GB-12345", "EUC-CN", &simplified},
    {"BIG5", NULL, &traditional}, {"CN-BIG5", "BIG5", &traditional}, {"BIG-5", "BIG5", &traditional},
    {"ISO-2022-JP", NULL, &japanese}, {"EUC-JP", NULL, &japanese}, {"SHIFT_JIS", NULL, &japanese},
    {"SHIFT-JIS", NULL, &japanese}, {"ISO-2022-JP-1", "ISO-2022-JP", &japanese}, {"ISO-2022-JP-2", NULL, &japanese},
    {"ISO-2022-KR", NULL, &korean}, {"EUC-KR", NULL, &korean}, {"KSC5601", "EUC-KR", &korean},
    {"KSC_5601", "EUC-KR", &korean}, {"KS_C_5601-1987", "EUC-KR", &korean}, {"KS_C_5601-1989", "EUC-KR", &korean},
    {"KS_C_5601-1992", "EUC-KR", &korean}, {"KS_C_5601-1997", "EUC-KR", &korean},
    {"WINDOWS-874", "CP874", &thai}, {"CP874", NULL, &thai}, {"WINDOWS-936", "GBK", &simplified},
    {"CP936", NULL, &simplified}, {"WINDOWS-949", "UHC", &korean}, {"CP949", "UHC", &korean},
    {"X-WINDOWS-949", "UHC", &korean}, {"WINDOWS-1250", NULL, &central}, {"CP1250", NULL, &central},
    {"WINDOWS-1251", NULL, &ukrainian}, {"CP1251", NULL, &russian}, {"WINDOWS-1252", NULL, &euro},
    {"CP1252", NULL, &west}, {"WINDOWS-1253", NULL, &greek}, {"CP1253", NULL, &greek},
    {"WINDOWS-1254", NULL, &turkish}, {"CP1254", NULL, &turkish}, {"WINDOWS-1255", NULL, &hebrew},
    {"CP1255", NULL, &hebrew}, {"WINDOWS-1256", NULL, &arabic}, {"CP1256", NULL, &arabic},
    {"WINDOWS-1257", NULL, &baltic}, {"CP1257", NULL, &baltic}, {"WINDOWS-1258", NULL, &vietnamese},
    {"CP1258", NULL, &vietnamese}, {"IBM367", NULL, &ascii}, {"IBM437", NULL, &west}, {"IBM737", "CP737", &greek},
    {"IBM775", "CP775", &baltic}, {"IBM850", NULL, &west}, {"IBM852", NULL, &central}, {"IBM855", NULL, &russian},
    {"IBM857", NULL, &turkish}, {"IBM860", NULL, &portuguese}, {"IBM861", NULL, &icelandic}, {"IBM862", NULL, &hebrew},
    {"IBM863", NULL, &french}, {"IBM864", NULL, &digits}, {"IBM865", NULL, &nordic}, {"IBM866", NULL, &russian},
    {"IBM869", NULL, &greek}, {"IBM874", "CP874", &thai}, {"ANSI_X3.4-1968", NULL, &ascii},
    {"UNICODE-1-1-UTF-7", "UTF-7", &russian}, {"UCS-2", "UTF-16BE", &russian}, {"UCS-4", "UTF-32BE", &japanese},
    {"UTF-16", NULL, &korean},
    /* not of that list */
    {"GB18030", NULL, &simplified}, {"BIG5-HKSCS", NULL, &traditional}, {"EUC-TW", NULL, &traditional},
    {"ISO-2022-JP-3", NULL, &japanese}, {"JOHAB", NULL, &korean}, {"MACINTOSH", NULL, &west}, {"UTF-32", NULL, &thai},
    {"UTF-16LE", NULL, &hebrew}, {"IBM037", NULL, &west}, {"IBM930", NULL, &ascii}, {"EBCDIC-AT-DE", NULL, &ascii},
    {"ARMSCII-8", NULL, &armenian}, {"GEORGIAN-PS", NULL, &georgian}, {"TCVN", NULL, &vietnamese}, {"PT154", NULL, &russian},
    {"EUC-JISX0213", NULL, &japanese}, {"T.61", NULL, &west}, {"CP500", "IBM500", &west},
    /* clang-format on */
};

static bool encode(const struct charset *c, struct buf *out)
{
	iconv_t cd = iconv_open(c->encoder != NULL ? c->encoder : c->name, "UTF-8");
	char octets[400], *to = octets, *from = (char *)c->language->text;
	size_t in = strlen(from), room = sizeof(octets), r;

	if (cd == (iconv_t)-1)
		return false;
	r = iconv(cd, &from, &in, &to, &room);
	if (r != (size_t)-1)
		iconv(cd, NULL, NULL, &to, &room);
	iconv_close(cd);
	buf_add(out, octets, sizeof(octets) - room);
	return r != (size_t)-1;
}

/* ---- transfer encodings ---- */
static void word_b(struct buf *out, const struct charset *c, struct str octets)
{
	buf_printf(out, "=?%s?B?", c->name);
	base64_encode(out, octets);
	buf_adds(out, "?=");
}

static void word_q(struct buf *out, const struct charset *c, struct str octets)
{
	size_t i;

	buf_printf(out, "=?%s*en?q?", c->name);
	for (i = 0; i < octets.n; i++)
		buf_printf(out, "=%02X", (unsigned char)octets.p[i]);
	buf_adds(out, "?=");
}

/* In lines of few octets, so that characters and designators are cut everywhere. */
static void body(struct buf *out, const struct charset *c, const char *encoding, struct str octets)
{
	AUTO_BUF struct buf base64 = BUF_INIT;
	size_t i;

	buf_printf(out, "Content-Type: text/plain; charset=\"%s\"\r\nContent-Transfer-Encoding: %s\r\n\r\n",
	    c->name, encoding);
	if (encoding[0] == 'b') {
		base64_encode(&base64, octets);
		for (i = 0; i < base64.n; i += 5)
			buf_printf(out, "%.5s\r\n", base64.p + i);
	} else if (encoding[0] == 'q') {
		for (i = 0; i < octets.n; i++)
			buf_printf(out, "=%02X%s", (unsigned char)octets.p[i], i % 3 == 2 ? "=\r\n" : "");
	} else {
		buf_addstr(out, octets);
	}
	buf_adds(out, "\r\n");
}

/* ---- where it is ---- */
enum place {
	SUBJECT_B,
	SUBJECT_Q,
	NAME,
	TOP_BASE64,
	TOP_QP,
	TOP_8BIT,
	PART,
	INNER_BODY,
	INNER_SUBJECT,
	PLACES
};

#define MULTIPART                                                                             \
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=b\"\r\n\r\n--=b\r\n" \
	"Content-Type: text/plain\r\n\r\nnothing\r\n--=b\r\n"

static void message(struct buf *out, enum place place, const struct charset *c, struct str octets)
{
	buf_reset(out);
	switch (place) {
	case SUBJECT_B:
	case SUBJECT_Q:
	case NAME:
		buf_adds(out, place == NAME ? "From: \"A. B.\" " : "Subject: ");
		(place == SUBJECT_Q ? word_q : word_b)(out, c, octets);
		buf_adds(out, place == NAME ? " <a@example.org>\r\n\r\nnothing\r\n" : "\r\n\r\nnothing\r\n");
		break;
	case TOP_BASE64:
		body(out, c, "base64", octets);
		break;
	case TOP_QP:
		body(out, c, "quoted-printable", octets);
		break;
	case TOP_8BIT:
		body(out, c, "8bit", octets);
		break;
	case PART:
		buf_adds(out, MULTIPART);
		body(out, c, "base64", octets);
		buf_adds(out, "--=b--\r\n");
		break;
	case INNER_BODY:
		buf_adds(out, MULTIPART "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n");
		body(out, c, "quoted-printable", octets);
		buf_adds(out, "--=b--\r\n");
		break;
	default:
		buf_adds(out, MULTIPART "Content-Type: message/rfc822\r\n\r\nSubject: ");
		word_b(out, c, octets);
		buf_adds(out, "\r\n\r\nnothing\r\n--=b--\r\n");
	}
}

static int open_octets(void *arg, struct source **out, struct err *e)
{
	(void)e;
	*out = source_memory(*(struct str *)arg);
	return 0;
}

static bool finds(enum search_key key, const char *field, const char *wanted, struct str octets)
{
	AUTO_ARENA struct arena *a = arena_new("test"), *scratch = arena_new("scratch");
	struct search s = {
	    .key = key, .text = str_of(wanted), .field = field != NULL ? str_of(field) : STR_NONE};
	struct search_target t = {.open = open_octets, .arg = &octets};
	struct err e = ERR_INIT;

	search_prepare(&s, COMPARATOR_UNICODE_CASEMAP, a);
	return search_match(&s, &t, scratch, &e) == 1;
}

static void check(const struct charset *c, enum place place, struct str octets)
{
	AUTO_BUF struct buf m = BUF_INIT;
	const char *wanted = c->language->wanted;
	bool header = place <= NAME, ok;

	message(&m, place, c, octets);
	ok = finds(SEARCH_TEXT, NULL, wanted, buf_str(&m)) &&
	     finds(SEARCH_BODY, NULL, wanted, buf_str(&m)) == !header &&
	     finds(SEARCH_SUBJECT, NULL, wanted, buf_str(&m)) == (place <= SUBJECT_Q) &&
	     finds(SEARCH_ADDRESS, "From", wanted, buf_str(&m)) == (place == NAME) &&
	     !finds(SEARCH_TEXT, NULL, "not what is there", buf_str(&m));
	if (!ok)
		fail_msg("%s, place %d:\n%s", c->name, place, buf_cstr(&m));
}

static void charset_01_everywhere(void **state)
{
	size_t i, missing = 0;

	(void)state;
	for (i = 0; i < ARRAY_LEN(charsets); i++) {
		AUTO_BUF struct buf octets = BUF_INIT;
		AUTO_BUF struct buf back = BUF_INIT;
		int place;

		if (!charset_known(str_of(charsets[i].name))) {
			missing++; /* a libc without its converters */
			continue;
		}
		if (!encode(&charsets[i], &octets))
			fail_msg("%s: not encoded", charsets[i].name);
		/* SEARCH CHARSET: a key in it is understood. */
		assert_true(charset_to_utf8(&back, str_of(charsets[i].name), buf_str(&octets)));
		for (place = 0; place < PLACES; place++)
			/* Text with NUL or without line ends of its own is not sent as 8bit. */
			if (place != TOP_8BIT || memchr(octets.p, '\0', octets.n) == NULL)
				check(&charsets[i], (enum place)place, buf_str(&octets));
	}
	if (missing > 0)
		print_message("%zu charsets have no converter here\n", missing);
	assert_true(missing < ARRAY_LEN(charsets) / 2);
}

/* What is not labelled, or with a lie: octets are looked for as they are (attack-085). */
static void charset_02_unlabelled(void **state)
{
	static const struct {
		const char *message, *wanted;
	} cases[] = {
	    {"Subject: x\r\n\r\nGr\xc3\xb6\xc3\x9f"
	     "e\r\n",
	        "GR\xc3\x96\xc3\x9f"},
	    {"Subject: Gr\xc3\xb6\xc3\x9f"
	     "e\r\n\r\n",
	        "GR\xc3\x96\xc3\x9f"},
	    {"Subject: x\r\nContent-Type: text/plain; charset=x-none\r\n\r\nGr\xc3\xb6\xc3\x9f"
	     "e\r\n",
	        "GR\xc3\x96\xc3\x9f"},
	    {"Subject: x\r\n\r\n\x1b$B$3$s$K$A$O\x1b(B\r\n", "\xe3\x81\x93\xe3\x82\x93"},
	    {"Subject: =?x-none?Q?Plain?= word\r\n\r\n", "=?X-NONE?Q?PLAIN?= word"},
	    {"Subject: =?utf-8?B?R3LDtsOfZQ==?= =?utf-8?Q?_und_=C3=9Cber?=\r\n\r\n", "GR\xc3\x96\xc3\x9f"
	                                                                             "E UND \xc3\xbc"},
	    {"Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nab\xff\xfe"
	     "cd\r\n",
	        "cd"},
	    {"Subject: x\r\nContent-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: "
	     "base64\r\n\r\n!!!!\r\nAGEAYgBj\r\n",
	        "ABC"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		if (!finds(SEARCH_TEXT, NULL, cases[i].wanted, str_of(cases[i].message)))
			fail_msg("case %zu: %s", i, cases[i].message);
}

/* Each name that clients are told of is one of the table above. */
static void charset_03_list(void **state)
{
	AUTO_BUF struct buf list = BUF_INIT;
	struct str rest;
	size_t i, count = 0;

	(void)state;
	charset_list(&list);
	for (rest = buf_str(&list); rest.n > 0; count++) {
		struct str name = str_cut(&rest, ' ');

		for (i = 0; i < ARRAY_LEN(charsets) && !str_eqc(name, charsets[i].name); i++)
			;
		if (i == ARRAY_LEN(charsets))
			fail_msg("%.*s is not tested", STR_FMT(name));
	}
	assert_true(count >= 2);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(charset_01_everywhere),
	    cmocka_unit_test(charset_02_unlabelled),
	    cmocka_unit_test(charset_03_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
