/* Part trees, BODYSTRUCTURE, sections, parameters, decoders. */
#include "mime/test-mime.h"

#include "mime/mime_int.h"
#include "conf/conf.h"
#include "base/banned.h"

static struct mime_part *parse(struct counting *c, const struct mime_limits *l, struct arena *a)
{
	struct mime_part *root;
	struct err e = ERR_INIT;

	assert_int_equal(mime_parse(&c->source, l, a, &root, &e), 0);
	assert_non_null(root);
	assert_int_equal(root->header_start, 0);
	assert_int_equal(root->end, c->octets.n);
	return root;
}

/* BODYSTRUCTURE (extended) or BODY; the same however the octets arrive. */
static void structure_of(struct str message, bool extended, struct buf *out)
{
	static const size_t pieces[] = {0, 1, 2, 3, 7, 64};
	struct buf again = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(pieces); i++) {
		struct arena *a = arena_new("test");
		struct counting c = counting_source(message, pieces[i]);
		struct mime_part *root = parse(&c, NULL, a);

		/* One pass. */
		assert_int_equal(c.back, 0);
		assert_int_equal(c.read, message.n);
		buf_reset(&again);
		mime_bodystructure(root, extended, &again);
		if (i == 0)
			buf_addstr(out, buf_str(&again));
		assert_string_equal(buf_cstr(out), buf_cstr(&again));
		arena_free(&a);
	}
	buf_free(&again);
}

#define PLAIN(octets, lines)                                                                \
	"(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" " octets " " lines \
	" NIL NIL NIL NIL)"

static void parse_01_structures(void **state UNUSED)
{
	static const struct {
		const char *message, *expected;
	} cases[] = {
	    {"", PLAIN("0", "0")},
	    {"Subject: x\r\n\r\nhello\r\nworld", PLAIN("12", "1")},
	    {"\r\nbody\r\n", PLAIN("6", "1")},
	    {"no header end", PLAIN("0", "0")},
	    {"Content-Type: text\r\n\r\nx", PLAIN("1", "0")},
	    {"MIME-Version: 1.0\r\nContent-Type: text; charset=x\r\n\r\nx",
	        "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"x\") NIL NIL \"7BIT\" 1 0 NIL NIL NIL NIL)"},
	    {"Content-Type: image/GIF; name=\"a b\" (c); x\r\nContent-ID: <i>\r\nContent-Description: d\r\n"
	     "Content-Transfer-Encoding: base64 (x)\r\nContent-MD5: m5\r\nContent-Language: en, de\r\n"
	     "Content-Location: http://x/\r\nContent-Disposition: inline\r\n\r\nAAAA\r\n",
	        "(\"IMAGE\" \"GIF\" (\"NAME\" \"a b\") \"<i>\" \"d\" \"BASE64\" 6 \"m5\" (\"INLINE\" NIL) "
	        "(\"en\" \"de\") "
	        "\"http://x/\")"},
	    {"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\nx",
	        "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"8BIT\" 1 0 NIL NIL NIL NIL)"},
	    {"Content-Type: application\r\nMIME-Version: 1.0\r\n\r\nx",
	        "(\"APPLICATION\" \"OCTET-STREAM\" NIL NIL NIL \"7BIT\" 1 NIL NIL NIL NIL)"},
	    {"Content-Type: multipart/mixed; "
	     "boundary=b\r\n\r\npre\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n\r\n--b--\r\nepi",
	        "(" PLAIN("3", "0") PLAIN("5", "1") " \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"},
	    /* bare LF everywhere */
	    {"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n\n--b--\n",
	        "(" PLAIN("4", "1") " \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"},
	    /* bare CR is no line end */
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r--b\r\n--b--",
	        "(" PLAIN("7", "0") " \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"},
	    /* attack-104: unterminated; white space after; in the preamble of another; only a close */
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b \t\r\n\r\none",
	        "(" PLAIN("3", "0") " \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"},
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n",
	        "(" PLAIN("0", "0") " \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"},
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing\r\n",
	        "(" PLAIN("0", "0") " \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"},
	    {"Content-Type: multipart/mixed; boundary=b",
	        "(" PLAIN("0", "0") " \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"},
	    /* attack-104: missing, empty, longer than any line may be */
	    {"Content-Type: multipart/mixed\r\n\r\n--\r\nx\r\n", PLAIN("7", "2")},
	    {"Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\nx\r\n", PLAIN("7", "2")},
	    /* attack-104: one the beginning of the other, both ways round */
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/digest; "
	     "boundary=bb\r\n\r\n"
	     "--bb\r\nContent-Type: text/plain\r\n\r\nin\r\n--bb--\r\n--b\r\n\r\nout\r\n--b--\r\n",
	        "((" PLAIN("2", "0") " \"DIGEST\" (\"BOUNDARY\" \"bb\") NIL NIL NIL)" PLAIN(
	            "3", "0") " \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"},
	    {"Content-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\nContent-Type: multipart/x; "
	     "boundary=b\r\n\r\n"
	     "--b\r\n\r\nin\r\n--bb\r\n\r\nout\r\n--bb--\r\n",
	        "((" PLAIN("2", "0") " \"X\" (\"BOUNDARY\" \"b\") NIL NIL NIL)" PLAIN(
	            "3", "0") " \"MIXED\" (\"BOUNDARY\" \"bb\") NIL NIL NIL)"},
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/x; "
	     "boundary=b--x\r\n\r\n"
	     "--b--x\r\n\r\nin\r\n--b--footer\r\n",
	        "((" PLAIN("2", "0") " \"X\" (\"BOUNDARY\" \"b--x\") NIL NIL NIL) \"MIXED\" (\"BOUNDARY\" "
	                             "\"b\") NIL NIL NIL)"},
	    /* an outer delimiter ends a header that has no empty line */
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: "
	     "text/html\r\n--b\r\n--b--\r\n",
	        "((\"TEXT\" \"HTML\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 0 0 NIL NIL NIL NIL)" PLAIN(
	            "0", "0") " \"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"},
	    /* messages inside; a digest's parts are messages */
	    {"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nhi\r\n",
	        "(\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 19 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL "
	        "NIL) " PLAIN("4", "1") " 3 NIL NIL NIL NIL)"},
	    {"Content-Type: message/global\r\n\r\n",
	        "(\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 0 (NIL NIL NIL NIL NIL NIL NIL NIL NIL "
	        "NIL) " PLAIN("0", "0") " 0 NIL NIL NIL NIL)"},
	    {"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: s\r\n--b--\r\n",
	        "((\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 12 (NIL \"s\" NIL NIL NIL NIL NIL NIL NIL "
	        "NIL) " PLAIN("0", "0") " 1 NIL NIL NIL NIL) \"DIGEST\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"},
	    {"Content-Type: message/delivery-status\r\n\r\nx",
	        "(\"MESSAGE\" \"DELIVERY-STATUS\" NIL NIL NIL \"7BIT\" 1 NIL NIL "
	        "NIL NIL)"},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		structure_of(str_of(cases[i].message), true, &b);
		assert_text(b, cases[i].expected);
	}
	structure_of(str_of(cases[9].message), false, &b);
	assert_text(b, "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 3 0)(\"TEXT\" "
	               "\"PLAIN\" (\"CHARSET\" "
	               "\"US-ASCII\") NIL NIL \"7BIT\" 5 1) \"MIXED\")");
	buf_free(&b);
}

/* ---- parameters ---- */

static void parameters_of(const char *value, uint32_t limit, struct buf *out)
{
	struct arena *a = arena_new("test");
	struct content_value v;
	size_t i;

	content_parse(str_of(value), true, limit, a, &v);
	for (i = 0; i < v.parameters.n; i++)
		buf_printf(out, "%s%.*s=%.*s", i != 0 ? "|" : "", STR_FMT(v.parameters.v[i].name),
		    STR_FMT(v.parameters.v[i].value));
	arena_free(&a);
}

static void parameter_01_forms(void **state UNUSED)
{
	static const struct {
		const char *value, *expected;
	} cases[] = {
	    {"a/b; x=1;y=\"2;\\\"\"; Z = 3", "x=1|y=2;\"|Z=3"},
	    {"a/b; charset=us-ascii (plain text)", "charset=us-ascii"},
	    {"a/b; name=my old file.txt; y=2", "name=my old file.txt|y=2"},
	    {"a/b; charset=utf-8 format=flowed", "charset=utf-8|format=flowed"},
	    {"a/b charset=utf-8", "charset=utf-8"},
	    {"a/b; boundary=----=_Part=1; ; ;;x", "boundary=----=_Part=1"},
	    {"a/b; x=; y=\"", "x=|y="},
	    {"a/b; =1; x=2", "x=2"},
	    {"a/b; \"q\"; x=2", "x=2"},
	    {"a/b; x=1; x=2", "x=1|x=2"},
	    /* RFC 2231 */
	    {"a/b; t*0=ab; t*1=cd; t*2=\"e f\"", "t=abcde f"},
	    {"a/b; t*1=cd; x=1; t*0=ab", "x=1|t=abcd"},
	    {"a/b; t*0*=us-ascii'en'This%20; t*1*=%2a%2a; t*2=\"100% it!\"",
	        "t*=us-ascii'en'This%20%2a%2a100%25%20it!"},
	    {"a/b; t*0=a; t*1*=%20b", "t*=''a%20b"},
	    {"a/b; t*=utf-8''%e2%82%ac; t=EUR", "t*=utf-8''%e2%82%ac|t=EUR"},
	    /* attack-105: a gap, one number twice, no beginning, not a number */
	    {"a/b; t*0=a; t*2=c; t*1=b; t*4=e", "t=abc|t*4=e"},
	    {"a/b; t*0=a; T*0=x; t*1=b; t*1=y", "t=ab"},
	    {"a/b; t*1=b; t*2=c", "t*1=b|t*2=c"},
	    {"a/b; t*x=b; *0=c; t**=d; t*99999999999=e", "t*x=b|*0=c|t**=d|t*99999999999=e"},
	    {"a/b; t*0*=nonsense'%; t*1=x", "t*=nonsense'%x"},
	};
	struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		parameters_of(cases[i].value, 1000, &b);
		assert_text(b, cases[i].expected);
	}
	parameters_of("a/b; a=1; b=2; c=3", 2, &b);
	assert_text(b, "a=1|b=2");
	buf_free(&b);
}

static void parameter_02_floods(void **state UNUSED)
{
	static const char *const elements[] = {
	    ";x=1", ";t*1=1", "(", "\"", " x", "=", ";", "a=b ", "t*", "\\", "(x)", "a=\"\";"};
	struct buf b = BUF_INIT, out = BUF_INIT;
	size_t i, k;

	/* attack-105 */
	for (i = 0; i < ARRAY_LEN(elements); i++) {
		buf_reset(&b);
		buf_adds(&b, "a/b; ");
		add_times(&b, elements[i], 300000);
		parameters_of(buf_cstr(&b), UINT32_MAX, &out);
		buf_free(&out);
	}
	buf_reset(&b);
	buf_adds(&b, "a/b");
	for (k = 100000; k-- > 0;)
		buf_printf(&b, "; t*%zu=x", k);
	parameters_of(buf_cstr(&b), UINT32_MAX, &out);
	assert_int_equal(out.n, 100002);
	buf_free(&out);
	parameters_of(buf_cstr(&b), 1000, &out);
	buf_free(&out);
	buf_free(&b);
}

/* ---- sections ---- */

static const char nested[] =
    "Subject: outer\r\nX-A: 1\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"
    "--o\r\nContent-Type: text/plain\r\n\r\nfirst\r\n"
    "--o\r\nContent-Type: message/rfc822\r\n\r\n"
    "Subject: inner\r\nX-B: 2\r\n 3\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n"
    "--i\r\nContent-Type: text/plain\r\n\r\nalt one\r\n"
    "--i\r\n\r\nalt two\r\n--i--\r\n"
    "--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: single\r\n\r\nonly text\r\n"
    "--o--\r\n";

static void section(
    struct str message, const char *path, enum mime_text text, const char *field, const char *expected)
{
	struct counting c = counting_source(message, 5);
	struct arena *a = arena_new("test");
	struct mime_part *root = parse(&c, NULL, a);
	struct str rest = str_of(path), name = str_of(field);
	uint32_t numbers[16];
	struct mime_section s = {
	    .numbers = numbers, .text = text, .fields = &name, .field_count = field != NULL};
	struct mime_range out;
	struct err e = ERR_INIT;

	while (rest.n != 0)
		assert_true(str_u32(str_cut(&rest, '.'), &numbers[s.number_count++]));
	assert_int_equal(mime_find(&c.source, root, &s, NULL, a, &out, &e), 0);
	assert_int_equal(out.found, expected != NULL);
	if (out.found) {
		struct str is = out.is_built ? out.built : str_sub(message, out.from, out.to - out.from);

		assert_string_equal(arena_strndup(a, is.p, is.n), expected);
	}
	arena_free(&a);
}

static void section_01_nested(void **state UNUSED)
{
	struct str m = ARRAY_STR(nested);
	static const char inner[] =
	    "Subject: inner\r\nX-B: 2\r\n 3\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n";

	section(m, "", MIME_WHOLE, NULL, nested);
	section(m, "", MIME_HEADER, NULL,
	    "Subject: outer\r\nX-A: 1\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n");
	section(m, "", MIME_TEXT_ONLY, NULL, strstr(nested, "--o"));
	section(m, "", MIME_HEADER_FIELDS, "x-a", "X-A: 1\r\n\r\n");
	section(m, "", MIME_HEADER_FIELDS, "none", "\r\n");
	section(m, "", MIME_MIME, NULL, NULL);
	section(m, "1", MIME_WHOLE, NULL, "first");
	section(m, "1", MIME_MIME, NULL, "Content-Type: text/plain\r\n\r\n");
	section(m, "1", MIME_HEADER, NULL, NULL);
	section(m, "1", MIME_TEXT_ONLY, NULL, NULL);
	section(m, "1.1", MIME_WHOLE, NULL, NULL);
	section(m, "2", MIME_HEADER, NULL, inner);
	section(m, "2", MIME_HEADER_FIELDS, "X-b", "X-B: 2\r\n 3\r\n\r\n");
	section(m, "2", MIME_HEADER_FIELDS_NOT, "content-type", "Subject: inner\r\nX-B: 2\r\n 3\r\n\r\n");
	section(m, "2", MIME_MIME, NULL, "Content-Type: message/rfc822\r\n\r\n");
	section(m, "2.1", MIME_WHOLE, NULL, "alt one");
	section(m, "2.1", MIME_MIME, NULL, "Content-Type: text/plain\r\n\r\n");
	section(m, "2.2", MIME_WHOLE, NULL, "alt two");
	section(m, "2.2", MIME_MIME, NULL, "\r\n");
	section(m, "2.3", MIME_WHOLE, NULL, NULL);
	section(m, "3", MIME_WHOLE, NULL, "Subject: single\r\n\r\nonly text");
	section(m, "3", MIME_TEXT_ONLY, NULL, "only text");
	section(m, "3.1", MIME_WHOLE, NULL, "only text");
	section(m, "3.1", MIME_MIME, NULL, "Subject: single\r\n\r\n");
	section(m, "3.2", MIME_WHOLE, NULL, NULL);
	section(m, "3.1.1", MIME_WHOLE, NULL, NULL);
	section(m, "4", MIME_WHOLE, NULL, NULL);
	section(m, "4294967295", MIME_WHOLE, NULL, NULL);
}

static void section_02_single(void **state UNUSED)
{
	section(STR("Subject: x\r\n\r\nhi"), "1", MIME_WHOLE, NULL, "hi");
	section(STR("Subject: x\r\n\r\nhi"), "1", MIME_MIME, NULL, "Subject: x\r\n\r\n");
	section(STR("Subject: x\r\n\r\nhi"), "1.1", MIME_WHOLE, NULL, NULL);
	section(STR("Subject: x\r\n\r\nhi"), "2", MIME_WHOLE, NULL, NULL);
	section(STR("Subject: x"), "", MIME_HEADER_FIELDS, "subject", "Subject: x\r\n\r\n");
	section(STR("Subject: x"), "", MIME_TEXT_ONLY, NULL, "");
	section(STR(">From y 1:2\r\nA: b\r\n"), "", MIME_HEADER_FIELDS_NOT, "a", ">From y 1:2\r\n\r\n");
	/* A message that is a message: 1 is the inner one, 1.1 its text. */
	section(STR("Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nhi"), "1", MIME_WHOLE, NULL,
	    "A: b\r\n\r\nhi");
	section(STR("Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nhi"), "1", MIME_HEADER, NULL,
	    "A: b\r\n\r\n");
	section(STR("Content-Type: message/rfc822\r\n\r\nA: b\r\n\r\nhi"), "1.1", MIME_WHOLE, NULL, "hi");
}

/* ---- limits and floods ---- */

static size_t part_count(const struct mime_part *root, size_t *deepest)
{
	const struct mime_part *part = root;
	size_t n = 0, depth = 0;

	*deepest = 0;
	while (part != NULL) {
		n++;
		*deepest = depth > *deepest ? depth : *deepest;
		assert_true(part->header_start <= part->body_start && part->body_start <= part->end);
		if (part->parent != NULL)
			assert_true(
			    part->header_start >= part->parent->body_start && part->end <= part->parent->end);
		if (part->child != NULL) {
			part = part->child;
			depth++;
			continue;
		}
		while (part != NULL && part->next == NULL) {
			part = part->parent;
			depth--;
		}
		part = part != NULL ? part->next : NULL;
	}
	return n;
}

static struct mime_part *flood(
    struct buf *message, const struct mime_limits *l, struct arena *a, size_t *parts, size_t *depth)
{
	struct counting c = counting_source(buf_str(message), 65536);
	struct mime_part *root = parse(&c, l, a);

	assert_int_equal(c.back, 0);
	assert_int_equal(c.read, message->n);
	*parts = part_count(root, depth);
	return root;
}

static void flood_01_parts(void **state UNUSED)
{
	struct mime_limits l = {.parts = 50};
	struct buf b = BUF_INIT;
	struct arena *a = arena_new("test");
	struct mime_part *root, *last;
	size_t parts, depth;

	/* attack-103: 10^6 parts; the last one that is allowed holds all the others */
	buf_adds(&b, "Content-Type: multipart/mixed; boundary=b\r\n\r\n");
	add_times(&b, "--b\r\n\r\nx\r\n", 1000000);
	root = flood(&b, NULL, a, &parts, &depth);
	assert_int_equal(parts, mime_limits_default.parts);
	for (last = root->child; last->next != NULL; last = last->next)
		;
	assert_int_equal(last->end, b.n);
	assert_int_equal(last->number, mime_limits_default.parts - 1);
	root = flood(&b, &l, a, &parts, &depth);
	assert_int_equal(parts, 50);
	l = (struct mime_limits){.structure_size = 200000};
	arena_clear(a);
	flood(&b, &l, a, &parts, &depth);
	assert_true(parts > 50 && parts < 5000);
	buf_free(&b);
	arena_free(&a);
}

static void flood_02_depth(void **state UNUSED)
{
	struct mime_limits l = {.depth = 3};
	struct buf b = BUF_INIT;
	struct arena *a = arena_new("test");
	struct mime_part *part;
	size_t parts, depth, i;

	/* attack-103: depth 10^6, all with one boundary and with different ones; rfc822 in rfc822 */
	for (i = 0; i < 1000000; i++)
		buf_adds(&b, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n");
	flood(&b, NULL, a, &parts, &depth);
	assert_int_equal(depth, mime_limits_default.depth);
	buf_reset(&b);
	for (i = 0; i < 100000; i++)
		buf_printf(&b, "Content-Type: multipart/mixed; boundary=b%zu\r\n\r\n--b%zu\r\n", i, i);
	for (i = 0; i < 100000; i++)
		buf_adds(&b, "--b0x\r\n");
	flood(&b, NULL, a, &parts, &depth);
	assert_int_equal(depth, mime_limits_default.depth);
	buf_reset(&b);
	add_times(&b, "Content-Type: message/rfc822\r\n\r\n", 100000);
	part = flood(&b, &l, a, &parts, &depth);
	assert_int_equal(depth, 3);
	while (part->child != NULL)
		part = part->child;
	/* An opaque leaf. */
	assert_int_equal(part->kind, MIME_LEAF);
	assert_true(str_eqc(part->type, "APPLICATION"));
	assert_int_equal(part->end, b.n);
	buf_free(&b);
	arena_free(&a);
}

static void flood_03_headers_and_lines(void **state UNUSED)
{
	struct buf b = BUF_INIT, out = BUF_INIT;
	struct arena *a = arena_new("test");
	struct mime_part *root;
	size_t parts, depth;

	/* attack-102: 10^6 fields, a header of 50 MB without end */
	add_times(&b, "X: y\r\n", 1000000);
	buf_adds(&b, "Content-Type: image/gif\r\n\r\nbody");
	root = flood(&b, NULL, a, &parts, &depth);
	assert_int_equal(root->end - root->body_start, 4);
	/* Beyond the limit nothing is looked at. */
	assert_true(str_eqc(root->type, "TEXT"));
	buf_reset(&b);
	buf_adds(&b, "Content-Type: multipart/mixed; boundary=\"");
	add_times(&b, "0123456789", 5000000);
	flood(&b, NULL, a, &parts, &depth);
	assert_true(arena_size(a) < 16u * 1024 * 1024);
	/* attack-104: a boundary of 10 KB is none; one of 998 octets is one */
	buf_reset(&b);
	buf_adds(&b, "Content-Type: multipart/mixed; boundary=");
	add_times(&b, "x", 10000);
	buf_adds(&b, "\r\n\r\n--");
	add_times(&b, "x", 10000);
	buf_adds(&b, "\r\n\r\nhi");
	assert_true(str_eqc(flood(&b, NULL, a, &parts, &depth)->type, "TEXT"));
	buf_reset(&b);
	buf_adds(&b, "Content-Type: multipart/mixed; boundary=");
	add_times(&b, "x", 998);
	buf_adds(&b, "\r\n\r\n--");
	add_times(&b, "x", 998);
	buf_adds(&b, "\r\n\r\nhi");
	flood(&b, NULL, a, &parts, &depth);
	assert_int_equal(parts, 2);
	/* One body line of 10 MB, and 10^6 lines that look like delimiters. */
	buf_reset(&b);
	buf_adds(&b, "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n");
	add_times(&b, "0123456789", 1000000);
	add_times(&b, "--", 1000000);
	add_times(&b, "\r\n--bb", 1000000);
	flood(&b, NULL, a, &parts, &depth);
	assert_int_equal(parts, 2);
	buf_free(&b);
	buf_free(&out);
	arena_free(&a);
}

/* The options are the limits: their defaults are those built in, and what is set is what counts. */
static void options_01_set(void **state UNUSED)
{
	struct mime_limits before = mime_limits_default;
	struct mime_options o = {0};
	struct arena *a = arena_new("test");
	struct err e = ERR_INIT;
	struct counting c = counting_source(ARRAY_STR(nested), 0);
	size_t i, depth;

	for (i = 0; i < mime_conf_group.count; i++) {
		const struct mortise_option *option = &mime_conf_group.options[i];

		assert_int_equal(conf_set(option, &o, str_of(option->fallback), a, &e), 0);
	}
	mime_limits_default = (struct mime_limits){0};
	mime_limits_set(&o);
	assert_memory_equal(&mime_limits_default, &before, sizeof(before));
	o.parts = 2;
	mime_limits_set(&o);
	assert_int_equal(part_count(parse(&c, NULL, a), &depth), 2);
	mime_limits_default = before;
	arena_free(&a);
}

static void parse_02_read_error(void **state UNUSED)
{
	struct counting c = counting_source(ARRAY_STR(nested), 10);
	struct arena *a = arena_new("test");
	struct mime_part *root;
	struct err e = ERR_INIT;

	/* Anywhere: the error comes out, nothing is left behind (valgrind, sanitizers). */
	for (c.fail_behind = 1; c.fail_behind < sizeof(nested); c.fail_behind += 7) {
		err_clear(&e);
		assert_int_equal(mime_parse(&c.source, NULL, a, &root, &e), MORTISE_E_IO);
		assert_null(root);
	}
	arena_free(&a);
}

/* ---- decoders ---- */

static void decode(const char *encoding, struct str in, const char *expected, size_t n)
{
	size_t piece;

	for (piece = 1; piece <= in.n + 1; piece++) {
		struct mime_decoder *d = mime_decoder_new(str_of(encoding));
		struct buf out = BUF_INIT;
		size_t i;

		for (i = 0; i < in.n; i += piece)
			mime_decoder_feed(d, str_sub(in, i, piece), &out);
		mime_decoder_flush(d, &out);
		assert_int_equal(out.n, n);
		assert_memory_equal(buf_cstr(&out), expected, n);
		buf_free(&out);
		mime_decoder_free(&d);
	}
}
#define DECODE(encoding, in, expected) decode(encoding, STR(in), expected, sizeof(expected) - 1)

static void decode_01_lenient(void **state UNUSED)
{
	DECODE("BASE64", "aGVsbG8=", "hello");
	DECODE("base64", "aGVs\r\nbG8", "hello");
	/* attack-119 */
	DECODE("base64", "a!G*V s\r\nbG8====", "hello");
	DECODE("base64", "aGk=aGk=", "hihi");
	DECODE("base64", "aGVsbG8=\r\n--\r\n", "hello");
	DECODE("base64", "a", "");
	DECODE("base64", "====", "");
	DECODE("base64", "AAEC\xff\0/w==", "\0\1\2\xff");
	DECODE("quoted-printable", "a=20b=3D=3d", "a b==");
	DECODE("quoted-printable", "soft=\r\nbreak = \t\r\nx", "softbreak x");
	DECODE("quoted-printable", "lf=\nbreak", "lfbreak");
	DECODE("quoted-printable", "trailing  \t\r\nnext \n", "trailing\r\nnext\n");
	DECODE("quoted-printable", "=", "");
	DECODE("quoted-printable", "x =4", "x =4");
	DECODE("quoted-printable", "=4x =G1 == =\rx", "=4x =G1 == =\rx");
	DECODE("quoted-printable", "end  ", "end  ");
	DECODE("quoted-printable", "=00=0D=0a", "\0\r\n");
	DECODE("8bit", "a=20\0\xff", "a=20\0\xff");
	DECODE("x-unknown", "a=20", "a=20");
	assert_true(mime_encoding_known(STR("Base64")));
	assert_true(mime_encoding_known(STR_NONE));
	assert_false(mime_encoding_known(STR("x-uuencode")));
	assert_false(mime_encoding_known(STR("")));
}

static void decode_02_floods(void **state UNUSED)
{
	static const char *const elements[] = {"=", " ", "=\r", "= ", "\r", "=4", "\t=", "AAAA", "=3D"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(elements) * 2; i++) {
		struct mime_decoder *d =
		    mime_decoder_new(i % 2 != 0 ? STR("base64") : STR("quoted-printable"));
		struct buf in = BUF_INIT, out = BUF_INIT;

		add_times(&in, elements[i / 2], 1000000);
		mime_decoder_feed(d, buf_str(&in), &out);
		mime_decoder_flush(d, &out);
		/* attack-119: never more than what came in */
		assert_true(out.n <= in.n);
		buf_free(&in);
		buf_free(&out);
		mime_decoder_free(&d);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parse_01_structures),
	    cmocka_unit_test(parse_02_read_error),
	    cmocka_unit_test(options_01_set),
	    cmocka_unit_test(parameter_01_forms),
	    cmocka_unit_test(parameter_02_floods),
	    cmocka_unit_test(section_01_nested),
	    cmocka_unit_test(section_02_single),
	    cmocka_unit_test(flood_01_parts),
	    cmocka_unit_test(flood_02_depth),
	    cmocka_unit_test(flood_03_headers_and_lines),
	    cmocka_unit_test(decode_01_lenient),
	    cmocka_unit_test(decode_02_floods),
	};

	alarm(HANG_SECONDS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
