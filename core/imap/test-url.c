/* IMAP URLs: RFC 5092 with its examples, RFC 4467, RFC 4469. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/object.h"
#include "imap/url.h"
#include "base/banned.h"

#define TOKEN "91354a473744909de610943775f92038"

/* All that was read, in one line. */
static void describe(struct str text, struct buf *out)
{
	struct arena *a = arena_new("test");
	static const char *const access[] = {"", " submit", " user", " authuser", " anonymous"};
	const char *why, *mailbox;
	struct imap_url u;

	buf_reset(out);
	if (!imap_url_parse(text, a, &u, &why)) {
		buf_printf(out, "none: %s", why);
		arena_free(&a);
		return;
	}
	assert_null(why);
	mailbox = imap_url_mailbox(&u, "lists/c", a);
	if (u.user.n > 0)
		buf_printf(out, "%.*s@", STR_FMT(u.user));
	if (u.network)
		buf_printf(out, "%.*s", STR_FMT(u.host));
	if (u.port.n > 0)
		buf_printf(out, ":%.*s", STR_FMT(u.port));
	buf_printf(out, "|%s", mailbox != NULL ? mailbox : "-");
	if (u.uidvalidity != 0)
		buf_printf(out, " validity %u", u.uidvalidity);
	if (u.uid != 0)
		buf_printf(out, " uid %u", u.uid);
	if (u.has_section)
		buf_printf(out, " section %.*s", STR_FMT(u.section));
	if (u.partial)
		buf_printf(
		    out, " partial %llu.%llu", (unsigned long long)u.offset, (unsigned long long)u.size);
	if (u.expires)
		buf_printf(out, " expire %lld", (long long)u.expire);
	buf_printf(out, "%s", access[u.access]);
	if (u.access_user.n > 0)
		buf_printf(out, " %.*s", STR_FMT(u.access_user));
	if (u.token.n > 0)
		buf_printf(out, " %.*s %zu", STR_FMT(u.mechanism), u.token.n);
	arena_free(&a);
}

static void url_01_read(void **state UNUSED)
{
	static const struct {
		const char *url, *expected;
	} cases[] = {
	    /* RFC 5092 §11 and §7 */
	    {"imap://minbari.example.org/gray-council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024",
	        "minbari.example.org|gray-council validity 385759045 uid 20 partial 0.1024"},
	    {"imap://psicorp.example.org/~peter/%E6%97%A5%E6%9C%AC%E8%AA%9E/%E5%8F%B0%E5%8C%97",
	        "psicorp.example.org|~peter/\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e/\xe5\x8f\xb0\xe5\x8c\x97"},
	    {"imap://;AUTH=GSSAPI@minbari.example.org/gray-council/;uid=20/;section=1.2",
	        "minbari.example.org|gray-council uid 20 section 1.2"},
	    {"imap://;AUTH=*@minbari.example.org/gray%20council?SUBJECT%20shadows",
	        "minbari.example.org|gray council"},
	    {"imap://john;AUTH=*@minbari.example.org/babylon5/personel?charset%20UTF-8%20SUBJECT%20%7B14+%7D"
	     "%0D%0A%D0%98",
	        "john@minbari.example.org|babylon5/personel"},
	    {"imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred:internal:" TOKEN,
	        "joe@example.com|INBOX uid 20 section 1.2 submit fred internal 32"},
	    {"imap://joe@example.com/INBOX/;uid=20/"
	     ";section=1.2;EXPIRE=2006-12-31T23:59:59Z;urlauth=user+a%40b",
	        "joe@example.com|INBOX uid 20 section 1.2 expire 1167609599 user a@b"},
	    {"imap://joe@example.com/INBOX/;uid=20;expire=2006-12-31T23:59:59.25-01:30;urlauth=authuser",
	        "joe@example.com|INBOX uid 20 expire 1167614999 authuser"},
	    {"imap://joe@[::1]:1143/inbox/;uid=20/;partial=5;urlauth=anonymous",
	        "joe@[::1]:1143|INBOX uid 20 partial 5.0 anonymous"},
	    {"imap://host", "host|-"},
	    {"imap://host/", "host|-"},
	    {"//host/a/;UID=1", "host|a uid 1"},
	    /* RFC 4469, appendix */
	    {"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER",
	        "|Drafts validity 385759045 uid 20 section HEADER"},
	    {"/Drafts;UIDVALIDITY=385759045/;UID=30", "|Drafts validity 385759045 uid 30"},
	    {"/Drafts/;UID=3002", "|Drafts uid 3002"},
	    {"/Drafts/;UID=1/;SECTION=HEADER.FIELDS%20(To%20%22X%22)/;PARTIAL=1.2",
	        "|Drafts uid 1 section HEADER.FIELDS (To \"X\") partial 1.2"},
	    {"/a/;UID=1/;SECTION=1/2", "|a uid 1 section 1/2"},
	    /* relative to the mailbox that is selected, lists/c */
	    {";UID=20/;SECTION=1.2", "|lists/c uid 20 section 1.2"},
	    {"/;UID=20", "|lists/c uid 20"},
	    {"d/;UID=20", "|lists/d uid 20"},
	    {"/d/;UID=20", "|d uid 20"},
	    {";SECTION=1/;PARTIAL=2.3", "|lists/c section 1 partial 2.3"},
	    {";PARTIAL=2", "|lists/c partial 2.0"},
	    {"/;UID=4294967295", "|lists/c uid 4294967295"},
	};
	AUTO_BUF struct buf out = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		describe(str_of(cases[i].url), &out);
		if (!str_eqc(buf_str(&out), cases[i].expected))
			fail_msg(
			    "%s\n  gives  %s\n  wanted %s", cases[i].url, buf_cstr(&out), cases[i].expected);
	}
}

static void url_02_refused(void **state UNUSED)
{
	static const char *const urls[] = {"", "http://host/a", "imap:/host", "imap://", "imap:///a/;UID=1",
	    "imap://@/a", "imap://a@", "imap://host/a b", "imap://host/a/;UID=0",
	    "imap://host/a/;UID=", "imap://host/a/;UID=4294967296", "imap://host/a/;UID=-1",
	    "imap://host/a;UID=1", "imap://host/a;UIDVALIDITY=0/;UID=1", "imap://host/a;UIDVALIDITY=1;UID=1",
	    "imap://host/;UIDVALIDITY=1",
	    "imap://host/a/;UID=1/;SECTION=", "imap://host/a/;UID=1/;PARTIAL=1.0",
	    "imap://host/a/;UID=1/;PARTIAL=", "imap://host/a/;UID=1/;PARTIAL=9223372036854775808",
	    "imap://host/a/;UID=1/;PARTIAL=1.2/;SECTION=1", "imap://host/a/;UID=1/", "imap://host/a/;UID=1;x",
	    "/a%/;UID=1", "/a%4/;UID=1", "/a%zz/;UID=1", "/a%00/;UID=1", "/a%0d/;UID=1", "/a%0A/;UID=1",
	    "/a%ff/;UID=1", "/a%c0%80/;UID=1", "/a%01/;UID=1", "/../etc/;UID=1", "/a/../b/;UID=1",
	    "/./;UID=1", "/a/%2e%2e/;UID=1", "imap://a%ff@host/b", "imap://[::1/a", "imap://[/a",
	    "imap://h:x/a", "imap://h/a/;UID=1;EXPIRE=2006-12-31T23:59:59Z",
	    "imap://h/a/;UID=1;URLAUTH=", "imap://h/a/;UID=1;URLAUTH=x", "imap://h/a/;UID=1;URLAUTH=user+",
	    "imap://h/a/;UID=1;URLAUTH=submit+:INTERNAL:" TOKEN, "imap://h/a/;UID=1;URLAUTH=authuserx",
	    "imap://h/a/;UID=1;URLAUTH=authuser:", "imap://h/a/;UID=1;URLAUTH=authuser:INTERNAL",
	    "imap://h/a/;UID=1;URLAUTH=authuser:INTERNAL:12",
	    "imap://h/a/;UID=1;URLAUTH=authuser:INTERNAL:" TOKEN "g",
	    "imap://h/a/;UID=1;URLAUTH=authuser::" TOKEN,
	    "imap://h/a/;UID=1;EXPIRE=2006-02-30T23:59:59Z;URLAUTH=authuser",
	    "imap://h/a/;UID=1;EXPIRE=2006-13-01T23:59:59Z;URLAUTH=authuser",
	    "imap://h/a/;UID=1;EXPIRE=2006-01-01T24:00:00Z;URLAUTH=authuser",
	    "imap://h/a/;UID=1;EXPIRE=2006-01-01T00:00:00;URLAUTH=authuser",
	    "imap://h/a/;UID=1;EXPIRE=2006-01-01;URLAUTH=authuser", "imap://h/a;URLAUTH=authuser",
	    "imap://h/a/;UID=1?x", "imap://h/a?x y"};
	AUTO_BUF struct buf out = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(urls); i++) {
		describe(str_of(urls[i]), &out);
		if (!str_starts(buf_str(&out), STR("none: ")))
			fail_msg("%s\n  gives %s", urls[i], buf_cstr(&out));
	}
	describe(str_mem("/a\0b/;UID=1", 11), &out);
	assert_true(str_starts(buf_str(&out), STR("none: ")));
}

/* Whatever the URL is cut down to: no octet behind its end is looked at (the sanitizers see to it). */
static void url_03_cut(void **state UNUSED)
{
	static const char url[] =
	    "imap://joe;AUTH=*@[::1]:1143/%E6%97%A5;UIDVALIDITY=1/;UID=20/;SECTION=1.2/;PARTIAL=0.5;"
	    "EXPIRE=2006-12-31T23:59:59.5+01:00;URLAUTH=submit+f%40d:INTERNAL:" TOKEN;
	AUTO_BUF struct buf out = BUF_INIT;
	size_t n;

	for (n = 0; n < sizeof(url); n++) {
		char *copy = mem_dup(url, n);

		describe(str_mem(copy, n), &out);
		mem_free(copy);
	}
}

static void url_04_rump(void **state UNUSED)
{
	struct arena *a = arena_new("test");
	struct imap_url u;

	assert_true(imap_url_parse(STR("imap://j@h/I/;uid=2;urlauth=user+f:internal:" TOKEN), a, &u, NULL));
	assert_true(str_eqc(u.rump, "imap://j@h/I/;uid=2;urlauth=user+f"));
	assert_true(imap_url_parse(STR("imap://j@h/I/;uid=2;urlauth=user+f"), a, &u, NULL));
	assert_true(str_eqc(u.rump, "imap://j@h/I/;uid=2;urlauth=user+f"));
	assert_true(imap_url_parse(STR("/d/;UID=1"), a, &u, NULL));
	assert_string_equal(imap_url_mailbox(&u, NULL, a), "d");
	assert_true(imap_url_parse(STR(";UID=1"), a, &u, NULL));
	assert_null(imap_url_mailbox(&u, NULL, a));
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(url_01_read), cmocka_unit_test(url_02_refused),
	    cmocka_unit_test(url_03_cut), cmocka_unit_test(url_04_rump)};

	return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
