/* Previews of messages. */
#include "mime/test-mime.h"

#include "mime/preview.h"
#include "base/object.h"
#include "base/banned.h"

static const char *preview_of(struct buf *b, const char *message)
{
	struct arena *a = arena_new("test");
	struct source *s = source_memory(str_of(message));
	struct mime_part *root;
	struct err e = ERR_INIT;

	buf_reset(b);
	assert_int_equal(mime_parse(s, NULL, a, &root, &e), 0);
	assert_int_equal(mime_preview(s, root, b, &e), 0);
	source_close(&s);
	arena_free(&a);
	return buf_cstr(b);
}

static const char *reduced(struct buf *b, bool html, const char *text)
{
	struct preview *p = preview_new(html);

	buf_reset(b);
	preview_feed(p, str_of(text));
	preview_finish(p, b);
	preview_free(&p);
	return buf_cstr(b);
}

static void preview_01_plain(void **state UNUSED)
{
	static const struct {
		const char *text, *preview;
	} cases[] = {
	    {"", ""},
	    {" \r\n\t\r\n", ""},
	    {"Hello\r\n\r\n  world\t!", "Hello world !"},
	    {"> what you said\r\nmy answer\r\n> more\r\nand this", "my answer and this"},
	    {"> only\r\n> quoted", "> only > quoted"},
	    {"text\r\n-- \r\nJoe, CEO", "text"},
	    {"text\r\n--\r\nmore", "text more"},
	    {"- one\r\n-- two\r\n--- three", "- one -- two --- three"},
	    {"-- \r\nsignature only", ""},
	    {"a\xc2\xa0\xe2\x80\x8b\xc2\xad\xef\xbb\xbf z", "a z"},
	    {"\xd9\x85\xdb\x8c\xe2\x80\x8c\xd8\xae", "\xd9\x85\xdb\x8c\xe2\x80\x8c\xd8\xae"},
	    {"x \xe2\x80\x8c \xe2\x80\x8c y", "x y"},
	    {"bell\x07 esc\x1b[1m", "bell esc [1m"},
	    {"<b>not html</b> &amp;", "<b>not html</b> &amp;"},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(reduced(&b, false, cases[i].text), cases[i].preview);
	buf_free(&b);
}

static void preview_02_html(void **state UNUSED)
{
	static const struct {
		const char *text, *preview;
	} cases[] = {
	    {"<p>Hello</p><p>world</p>", "Hello world"},
	    {"one<br>two<BR/>three", "one two three"},
	    {"b<b>ol</b>d <i>it</i><span>al</span>ic", "bold italic"},
	    {"<html><head><title>T</title><meta x></head><body>B</body></html>", "B"},
	    {"<head><title>T</title><body>B", "B"},
	    {"<style>p > a { x: \"<p>\" }</style>x<script>if (a<b) y</script>z", "xz"},
	    {"<head><script>a<b c=\"</script><style>x<y '</style></head>z", "z"},
	    {"<!-- no <p> --> yes <!---->!<!-- a > b -- c -->?", "yes !?"},
	    {"<!DOCTYPE html><?xml?>x", "x"},
	    {"<a href=\"x>y\" title='<z>'>link</a>", "link"},
	    {"Gr&uuml;&szlig;e &amp; &lt;&gt; &quot;&#39;&#x20AC;&euro;&hellip;",
	        "Gr\xc3\xbc\xc3\x9f"
	        "e & <> \"'\xe2\x82\xac\xe2\x82\xac\xe2\x80\xa6"},
	    {"a&nbsp;&nbsp;b&zwnj;&nbsp;&zwnj;&nbsp;&shy;c", "a b\xe2\x80\x8c c"},
	    {"AT&T &bogus; &; & &#; &#xd800; &#99999999; &am",
	        "AT&T &bogus; &; & &#; &#xd800; &#99999999; &am"},
	    {"1 < 2 <3 a<-b", "1 < 2 <3 a<-b"},
	    {"<p", ""},
	    {"x<p title=\"never closed", "x"},
	    {"x<!-- never closed", "x"},
	    {"x<script>never closed", "x"},
	    {"<td>a</td><td>b</td>", "a b"},
	    {"&#0;&#8;x", "&#0; x"},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(reduced(&b, true, cases[i].text), cases[i].preview);
	buf_free(&b);
}

static void preview_03_parts(void **state UNUSED)
{
	static const struct {
		const char *message, *preview;
	} cases[] = {
	    {"Subject: x\r\n\r\nbody", "body"},
	    {"Content-Type: text/html\r\n\r\n<b>b</b>", "b"},
	    {"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n"
	     "\r\nGr=FC=DFe=\r\n!",
	        "Gr\xc3\xbc\xc3\x9f"
	        "e!"},
	    {"Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n", "hello"},
	    {"Content-Type: text/plain; charset=x-no-such\r\n\r\nstill", "still"},
	    {"\r\n\xc3\xa4 without a charset", "\xc3\xa4 without a charset"},
	    {"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n"
	     "<p>html\r\n--b\r\n\r\nplain\r\n--b--",
	        "plain"},
	    {"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n \r\n--b\r\n"
	     "Content-Type: text/html\r\n\r\n<p>html\r\n--b--",
	        "html"},
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment\r\n\r\n"
	     "attached\r\n--b\r\n\r\nshown\r\n--b--",
	        "shown"},
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
	     "Subject: y\r\n\r\ninner\r\n--b--",
	        ""},
	    {"Content-Type: image/png\r\n\r\npixels", ""},
	    {"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\nContent-Type: "
	     "application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b--",
	        ""},
	    {"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR", ""},
	    {"", ""},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(preview_of(&b, cases[i].message), cases[i].preview);
	buf_free(&b);
}

static size_t characters(const struct buf *b)
{
	size_t i, n = 0;

	for (i = 0; i < b->n; i++)
		n += ((unsigned char)b->p[i] & 0xc0) != 0x80;
	return n;
}

static void preview_04_length(void **state UNUSED)
{
	struct buf text = BUF_INIT, b = BUF_INIT;
	int html;

	for (html = 0; html < 2; html++) {
		buf_reset(&text);
		add_times(&text, "\xf0\x9f\x93\xa7", 1000);
		reduced(&b, html != 0, buf_cstr(&text));
		assert_int_equal(b.n, 4 * 200);
		buf_reset(&text);
		add_times(&text, "word ", 1000);
		reduced(&b, html != 0, buf_cstr(&text));
		assert_int_equal(characters(&b), 199); /* the 200th is a space */
		assert_true(str_ends(buf_str(&b), STR(" word")));
		buf_reset(&text);
		add_times(&text, "x", 198);
		buf_adds(&text, " y z");
		reduced(&b, html != 0, buf_cstr(&text));
		assert_int_equal(characters(&b), 200);
		assert_true(str_ends(buf_str(&b), STR("x y")));
		buf_reset(&text);
		add_times(&text, "x", 199);
		buf_adds(&text, " y");
		reduced(&b, html != 0, buf_cstr(&text));
		assert_int_equal(characters(&b), 199);
	}
	buf_free(&text);
	buf_free(&b);
}

/* attack-108: however large the part is, a bounded piece of it is looked at. */
static void preview_05_hostile(void **state UNUSED)
{
	static const char *const pieces[] = {"<", "<!--", "&", "<p title='", "\r\n>", "-- ", " ",
	    "\xe2\x80\x8c", "&#", "</", "<script>", "&nbsp;", "\xff"};
	struct buf text = BUF_INIT, b = BUF_INIT;
	struct counting c;
	struct arena *a = arena_new("test");
	struct mime_part *root;
	struct err e = ERR_INIT;
	size_t i;
	uint64_t before;

	for (i = 0; i < ARRAY_LEN(pieces); i++) {
		buf_reset(&text);
		buf_adds(&text, i % 2 == 0 ? "Content-Type: text/html\r\n\r\n" : "\r\n");
		add_times(&text, pieces[i], 1000000);
		c = counting_source(buf_str(&text), 1000);
		assert_int_equal(mime_parse(&c.source, NULL, a, &root, &e), 0);
		before = c.read;
		buf_reset(&b);
		assert_int_equal(mime_preview(&c.source, root, &b, &e), 0);
		assert_true(c.read - before <= 2 * mime_limits_default.preview_size + 2000);
		assert_true(characters(&b) <= 200);
		arena_clear(a);
	}
	arena_free(&a);
	buf_free(&text);
	buf_free(&b);
}

static void preview_06_errors(void **state UNUSED)
{
	static const char message[] = "\r\nabc def ghi";
	struct counting c = counting_source(ARRAY_STR(message), 4);
	struct arena *a = arena_new("test");
	struct buf b = BUF_INIT;
	struct mime_part *root;
	struct err e = ERR_INIT;

	assert_int_equal(mime_parse(&c.source, NULL, a, &root, &e), 0);
	c.fail_behind = 6;
	assert_int_equal(mime_preview(&c.source, root, &b, &e), MORTISE_E_IO);
	arena_free(&a);
	buf_free(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(preview_01_plain),
	    cmocka_unit_test(preview_02_html),
	    cmocka_unit_test(preview_03_parts),
	    cmocka_unit_test(preview_04_length),
	    cmocka_unit_test(preview_05_hostile),
	    cmocka_unit_test(preview_06_errors),
	};

	alarm(HANG_SECONDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
