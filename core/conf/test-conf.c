#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "conf/conf_int.h"
#include "base/banned.h"

static struct arena *arena;
static struct conf_report *report;
static struct conf *conf;

static int setup(void **state)
{
	(void)state;
	arena = arena_new("test");
	report = conf_report_new(arena);
	conf = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	conf_free(&conf);
	arena_free(&arena);
	return 0;
}

/* The report as one string. */
static const char *told(void)
{
	char *text = NULL, *copy;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);

	conf_report_print(report, f);
	fclose(f);
	copy = arena_strdup(arena, text);
	free(text);
	return copy;
}

static void parse(const char *text)
{
	conf_free(&conf);
	report = conf_report_new(arena);
	conf = conf_parse(str_of(text), "imapd.conf", report);
}

enum colour { RED = 1, GREEN = 2 };
static const struct mortise_enum colours[] = {{"red", RED}, {"green", GREEN}, {NULL, 0}};

struct all {
	bool flag;
	int64_t number;
	uint64_t count;
	uint64_t size;
	uint64_t wait;
	uint32_t mode;
	const char *text;
	int colour;
	const char *path;
	const char *user;
	const char *group;
	const char *listen;
	const char *url;
	struct mortise_list list;
	struct mortise_secret secret;
};

static const struct mortise_option all_options[] = {
    MORTISE_OPTION(struct all, flag, BOOL, "no", .help = "a flag"),
    MORTISE_OPTION(struct all, number, INT, "-5", .min = "-10", .max = "10", .help = "a number"),
    MORTISE_OPTION(struct all, count, UINT, "7", .help = "a count"),
    MORTISE_OPTION(struct all, size, SIZE, "8k", .min = "1k", .max = "1G", .help = "a size"),
    MORTISE_OPTION(struct all, wait, DURATION, "5m", .min = "1s", .max = "1d", .help = "a time"),
    MORTISE_OPTION(struct all, mode, OCTAL, "0640", .help = "a mode"),
    MORTISE_OPTION(struct all, text, STRING, "hello", .help = "a text"),
    MORTISE_OPTION(struct all, colour, ENUM, "red", .values = colours, .help = "a colour"),
    MORTISE_OPTION(struct all, path, PATH, "", .help = "a path"),
    MORTISE_OPTION(struct all, user, USER, "", .help = "a user"),
    MORTISE_OPTION(struct all, group, GROUP, "", .help = "a group"),
    MORTISE_OPTION(struct all, listen, HOSTPORT, "*:143", .help = "an address"),
    MORTISE_OPTION(struct all, url, URL, "ldap://x", .help = "a URL"),
    MORTISE_OPTION(struct all, list, LIST, "a, b", .help = "a list"),
    MORTISE_OPTION(struct all, secret, SECRET, NULL, .help = "a secret"),
};
static const struct conf_group all_group = {
    "all", all_options, ARRAY_LEN(all_options), sizeof(struct all), "everything"};

static struct all fill(const char *text)
{
	struct all v;

	parse(text);
	conf_fill(conf, &all_group, &v, arena, report);
	return v;
}

static void nothing_gives_the_defaults(void **state)
{
	struct all v = fill("");

	(void)state;
	assert_string_equal(told(), "");
	assert_false(v.flag);
	assert_int_equal(v.number, -5);
	assert_int_equal(v.count, 7);
	assert_int_equal(v.size, 8192);
	assert_int_equal(v.wait, 300000);
	assert_int_equal(v.mode, 0640);
	assert_string_equal(v.text, "hello");
	assert_int_equal(v.colour, RED);
	assert_string_equal(v.path, "");
	assert_string_equal(v.listen, "*:143");
	assert_int_equal(v.list.count, 2);
	assert_string_equal(v.list.items[1], "b");
	assert_null(v.secret.data);
}

struct maildir {
	uint64_t max_messages;
};
static const struct mortise_option maildir_options[] = {
    MORTISE_OPTION(struct maildir, max_messages, SIZE, "1M", .help = "messages of a mailbox"),
};

static struct maildir fill_first_driver(void)
{
	struct conf_instance *i;
	struct maildir m = {0};

	if (conf_instances(conf, "drivers", NULL, arena, &i, report) > 0)
		conf_fill_instance(conf, &i[0], i[0].type, maildir_options, 1, sizeof(maildir_options[0]),
		    sizeof(m), &m, arena, report);
	return m;
}

static void a_typo_in_an_instance_is_told_with_the_nearest_name(void **state)
{
	(void)state;
	parse("# one\n# two\ndrivers = (\n  { type = \"maildir\"; name = \"home\";\n    max_mesages = "
	      "\"10k\"; }\n);\n");
	fill_first_driver();
	assert_string_equal(told(),
	    "imapd.conf:5: driver \"home\" (maildir): unknown option \"max_mesages\"; did you mean "
	    "\"max_messages\"? [MRT-0213]\n");
}

/* Fills from `text`, which must be refused with exactly this report. */
static void assert_refused(const char *text, const char *expected)
{
	fill(text);
	assert_string_equal(told(), expected);
}

#define V(setting) "all = {\n " setting ";\n};"

static void every_type_takes_its_good_values(void **state)
{
	struct all v =
	    fill("all = { flag = true; number = -10; count = 18446744073709551615; size = \"2M\"; "
	         "wait = \"250s\"; mode = 0600; text = \"gr\xc3\xbc\xc3\x9f\"; colour = \"green\"; "
	         "path = \"/a b\"; user = \"root\"; group = 0; listen = \"[::1]:1143\"; "
	         "url = \"https://h/x?y\"; list = [ \"x,y\", \"\" ]; };");

	(void)state;
	assert_string_equal(told(), "");
	assert_true(v.flag);
	assert_int_equal(v.number, -10);
	assert_true(v.count == UINT64_MAX); /* 64 bits, although libconfig has 32 */
	assert_int_equal(v.size, 2 * 1024 * 1024);
	assert_int_equal(v.wait, 250000);
	assert_int_equal(v.mode, 0600);
	assert_string_equal(v.text, "gr\xc3\xbc\xc3\x9f");
	assert_int_equal(v.colour, GREEN);
	assert_string_equal(v.path, "/a b");
	assert_string_equal(v.user, "root");
	assert_string_equal(v.group, "0");
	assert_string_equal(v.listen, "[::1]:1143");
	assert_string_equal(v.url, "https://h/x?y");
	assert_int_equal(v.list.count, 2);
	assert_string_equal(v.list.items[0], "x,y");
	assert_string_equal(v.list.items[1], "");
}

static void units_and_notations(void **state)
{
	(void)state;
	assert_int_equal(fill(V("size = \"1G\"")).size, 1024 * 1024 * 1024);
	assert_int_equal(fill(V("size = \"1024\"")).size, 1024);
	assert_int_equal(fill(V("size = 4096")).size, 4096);
	assert_int_equal(fill(V("size = 4096L")).size, 4096);
	assert_int_equal(fill(V("size = \"3 K\"")).size, 3072);
	assert_int_equal(fill(V("wait = 3")).wait, 3000);
	assert_int_equal(fill(V("wait = \"1500ms\"")).wait, 1500);
	assert_int_equal(fill(V("wait = \"2h\"")).wait, 7200000);
	assert_int_equal(fill(V("wait = \"1d\"")).wait, 86400000);
	assert_int_equal(fill(V("number = \"+7\"")).number, 7);
	assert_true(fill(V("flag = \"On\"")).flag);
	assert_false(fill(V("flag = FALSE")).flag);
	assert_string_equal(fill(V("listen = \"unix:/run/x\"")).listen, "unix:/run/x");
	assert_string_equal(fill(V("listen = \"mail.example:0\"")).listen, "mail.example:0");
	assert_string_equal(fill(V("path = \"~/mail\"")).path, "~/mail");
	assert_string_equal(fill(V("path = \"sub/x\"")).path, MORTISE_CONFDIR "/sub/x");
	assert_int_equal(fill(V("list = \" a ,b,, c\"")).list.count, 3);
	assert_int_equal(fill(V("list = ()")).list.count, 0);
	assert_string_equal(told(), "");
}

static void every_type_refuses_its_bad_values(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
	    {V("flag = \"maybe\""), "imapd.conf:2: all: flag = \"maybe\": is not a bool: yes or no (or true, "
	                            "false, on, off) [MRT-0211]\n"},
	    {V("flag = 1"),
	        "imapd.conf:2: all: \"flag\" is a number; it must be a bool: yes or no (or true, false, on, "
	        "off) [MRT-0210]\n"},
	    {V("number = \"x\""),
	        "imapd.conf:2: all: number = \"x\": is not an integer: a decimal number [MRT-0211]\n"},
	    {V("number = 1.5"),
	        "imapd.conf:2: all: number = 1.5: is not an integer: a decimal number [MRT-0211]\n"},
	    {V("number = 11"), "imapd.conf:2: all: number = 11: is more than the maximum, 10 [MRT-0212]\n"},
	    {V("number = -11"),
	        "imapd.conf:2: all: number = -11: is less than the minimum, -10 [MRT-0212]\n"},
	    {V("count = -1"),
	        "imapd.conf:2: all: count = -1: is not a number: a decimal number that is not negative "
	        "[MRT-0211]\n"},
	    {V("count = 18446744073709551616"),
	        "imapd.conf:2: all: count = 18446744073709551616: is too large a number [MRT-0211]\n"},
	    {V("count = 0x10"), "imapd.conf:2: all: count = 0x10: is not a number: a decimal number that is "
	                        "not negative [MRT-0211]\n"},
	    {V("size = \"1P\""),
	        "imapd.conf:2: all: size = \"1P\": is not a size: octets, as digits and an optional k, M, "
	        "G or T [MRT-0211]\n"},
	    {V("size = \"99999999999T\""),
	        "imapd.conf:2: all: size = \"99999999999T\": is too large a number [MRT-0211]\n"},
	    {V("size = 1"), "imapd.conf:2: all: size = 1: is less than the minimum, 1k [MRT-0212]\n"},
	    {V("wait = \"5y\""),
	        "imapd.conf:2: all: wait = \"5y\": is not a duration: digits and ms, s, m, h or d (seconds "
	        "when bare) [MRT-0211]\n"},
	    {V("wait = \"2d\""),
	        "imapd.conf:2: all: wait = \"2d\": is more than the maximum, 1d [MRT-0212]\n"},
	    {V("mode = 0690"),
	        "imapd.conf:2: all: mode = 0690: is not a mode: octal digits, as for chmod [MRT-0211]\n"},
	    {V("mode = 77777"), "imapd.conf:2: all: mode = 77777: is more than 07777 [MRT-0211]\n"},
	    {V("text = 5"),
	        "imapd.conf:2: all: \"text\" is a number; it must be a string: UTF-8 text without control "
	        "characters [MRT-0210]\n"},
	    {V("text = \"a\\nb\""), "imapd.conf:2: all: text = \"a\\x0ab\": has a control character or is "
	                            "not UTF-8 [MRT-0211]\n"},
	    {V("text = \"\xff\""),
	        "imapd.conf:2: all: text = \"\\xff\": has a control character or is not UTF-8 [MRT-0211]\n"},
	    {V("text = { }"),
	        "imapd.conf:2: all: \"text\" is a group; it must be a string: UTF-8 text without control "
	        "characters [MRT-0210]\n"},
	    {V("colour = \"blue\""),
	        "imapd.conf:2: all: colour = \"blue\": is none of: red, green [MRT-0211]\n"},
	    {V("user = \"no-such-user-here\""),
	        "imapd.conf:2: all: user = \"no-such-user-here\": there is no such user [MRT-0217]\n"},
	    {V("group = \"no-such-group-here\""),
	        "imapd.conf:2: all: group = \"no-such-group-here\": there is no such group [MRT-0217]\n"},
	    {V("user = 4294967295"),
	        "imapd.conf:2: all: user = 4294967295: is not a user: a user's name or number "
	        "[MRT-0211]\n"},
	    {V("listen = \"host\""),
	        "imapd.conf:2: all: listen = \"host\": is not an address: HOST:PORT, [IPV6]:PORT, *:PORT "
	        "or unix:/path [MRT-0211]\n"},
	    {V("listen = \"::1:143\""),
	        "imapd.conf:2: all: listen = \"::1:143\": is not an address: HOST:PORT, [IPV6]:PORT, "
	        "*:PORT or unix:/path [MRT-0211]\n"},
	    {V("listen = \"h:65536\""),
	        "imapd.conf:2: all: listen = \"h:65536\": is not an address: HOST:PORT, [IPV6]:PORT, "
	        "*:PORT or unix:/path [MRT-0211]\n"},
	    {V("url = \"no scheme\""),
	        "imapd.conf:2: all: url = \"no scheme\": is not a URL: scheme:rest [MRT-0211]\n"},
	    {V("list = ( \"a\", ( \"b\" ) )"),
	        "imapd.conf:2: all: \"list\": has an item that is not a string [MRT-0211]\n"},
	    {V("list = 5"), "imapd.conf:2: all: \"list\" is a number; it must be a list: a list of strings: "
	                    "[ \"a\", \"b\" ] "
	                    "[MRT-0210]\n"},
	    {"\nall = 5;",
	        "imapd.conf:2: \"all\" is a number; it must be a group: all = { ... }; [MRT-0210]\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_refused(cases[i].text, cases[i].expected);
}

static void a_refused_value_leaves_the_default(void **state)
{
	struct all v = fill(V("size = \"x\""));

	(void)state;
	assert_int_equal(v.size, 8192);
	v = fill(V("size = \"1T\"")); /* out of range */
	assert_int_equal(v.size, 8192);
}

static void all_problems_are_told_at_once_in_order(void **state)
{
	struct all v;

	(void)state;
	parse("other = {};\nall = {\n wait = \"x\";\n siez = 5;\n colour = \"blue\";\n number = "
	      "\"99\";\n};\nal = {};\n");
	conf_fill(conf, &all_group, &v, arena, report);
	conf_check_unused(conf, report);
	assert_string_equal(told(),
	    "imapd.conf:1: unknown setting \"other\" [MRT-0214]\n"
	    "imapd.conf:3: all: wait = \"x\": is not a duration: digits and ms, s, m, h or d (seconds when "
	    "bare) "
	    "[MRT-0211]\n"
	    "imapd.conf:4: all: unknown option \"siez\"; did you mean \"size\"? [MRT-0213]\n"
	    "imapd.conf:5: all: colour = \"blue\": is none of: red, green [MRT-0211]\n"
	    "imapd.conf:6: all: number = \"99\": is more than the maximum, 10 [MRT-0212]\n"
	    "imapd.conf:8: unknown setting \"al\"; did you mean \"all\"? [MRT-0214]\n");
	assert_int_equal(conf_errors(report), 6);
}

/* attack-155: duplicate keys, all of them, and what follows is still read. */
static void duplicates_are_all_told(void **state)
{
	struct all v =
	    fill("all = {\n size = 2048;\n size = 4096;\n wait = \"1s\";\n wait = \"2s\";\n};\nall = { };\n");

	(void)state;
	assert_string_equal(told(), "imapd.conf:3: \"size\" is set twice, first on line 2 [MRT-0203]\n"
	                            "imapd.conf:5: \"wait\" is set twice, first on line 4 [MRT-0203]\n"
	                            "imapd.conf:7: \"all\" is set twice, first on line 1 [MRT-0203]\n");
	assert_int_equal(v.size, 2048);
	/* The same name in two groups is none. */
	parse("a = { x = 1; b = { x = 2; }; }; c = { x = 3; };");
	assert_string_equal(told(), "");
}

static void syntax_is_refused_with_the_line(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
	    {"a = 1;\nb = \"x\nc = 2;",
	        "imapd.conf:2: this string has no end on its line: a \" is missing [MRT-0202]\n"},
	    {"a = 10k;\nb = yes;", "imapd.conf:1: 10k must be in quotes: \"10k\" [MRT-0202]\n"
	                           "imapd.conf:2: yes must be in quotes: \"yes\" [MRT-0202]\n"},
	    {"a = {\n b = (\n};",
	        "imapd.conf:3: } here, but ) is missing for what line 2 opens [MRT-0202]\n"},
	    {"a = {\n b = 1;\n", "imapd.conf:1: } is missing for what is opened here [MRT-0202]\n"},
	    {"a = 1; }", "imapd.conf:1: this } closes nothing [MRT-0202]\n"},
	    {"\n/* x", "imapd.conf:2: this comment has no end [MRT-0202]\n"},
	    {"a = \"\\q\";", "imapd.conf:1: unknown escape in a string: \\n \\r \\t \\f \\\\ \\\" \\xNN are "
	                     "known [MRT-0202]\n"},
	    {"a = \"\\x00\";", "imapd.conf:1: a control character in a string [MRT-0202]\n"},
	    {"a = 1 $;", "imapd.conf:1: unexpected $ [MRT-0202]\n"},
	    {"a = 1;\nb = = 2;\nc = ;\nd 1;\ne f = 1;\n5;\n;\ng = ( ; );\nh = [ 1, ];\ni = { j = };\nk = ( "
	     "\"x\" {} "
	     ");\nl = [ {} ];\nm = [ true, 1 ];\nn = ( 1; 2 );\no",
	        "imapd.conf:2: no name before this = [MRT-0202]\n"
	        "imapd.conf:3: no value before this ; [MRT-0202]\n"
	        "imapd.conf:4: a = is missing after the name [MRT-0202]\n"
	        "imapd.conf:5: a = is missing after the name [MRT-0202]\n"
	        "imapd.conf:6: a value without a name [MRT-0202]\n"
	        "imapd.conf:7: no value before this ; [MRT-0202]\n"
	        "imapd.conf:8: no value before this ; [MRT-0202]\n"
	        "imapd.conf:9: a value is missing before this ] [MRT-0202]\n"
	        "imapd.conf:10: a value is missing before this } [MRT-0202]\n"
	        "imapd.conf:11: two values side by side [MRT-0202]\n"
	        "imapd.conf:12: groups and lists stand in ( ), not in [ ] [MRT-0202]\n"
	        "imapd.conf:13: values of two kinds in one [ ] [MRT-0202]\n"
	        "imapd.conf:14: a list has commas [MRT-0202]\n"},
	    {"a = ( 1, );", "imapd.conf:1: a value is missing before this ) [MRT-0202]\n"},
	    {"a = 1;\nb = ", "imapd.conf:2: the file ends before the value [MRT-0202]\n"},
	    {"a = { b =", "imapd.conf:1: } is missing for what is opened here [MRT-0202]\n"},
	    {"a = 1 2;", "imapd.conf:1: two values side by side [MRT-0202]\n"},
	    /* attack-155: includes are not followed, so there are no loops */
	    {"@include \"imapd.conf\"\n",
	        "imapd.conf:1: @include is not read: put the file into the folder imapd.conf.d "
	        "beside the main file [MRT-0204]\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		parse(cases[i].text);
		assert_string_equal(told(), cases[i].expected);
	}
	parse("\xef\xbb\xbf# bom\r\na = 1;\r\nb : { c = \"x\" \"y\"; }, d = [ 1, 2, ]");
	assert_int_equal(conf_errors(report), 1); /* libconfig takes no comma before ] */
	parse("\xef\xbb\xbf# bom\r\na = 1;\r\nb : { c = \"x\" \"y\"; }, d = [ 1, 2 ] // end");
	assert_string_equal(told(), "");
	assert_string_equal(conf_child(conf_child(conf->root, "b"), "c")->text.p, "xy");
}

/* attack-155: a huge file, many settings, deep nesting. */
static void size_is_bounded(void **state)
{
	struct buf b AUTO_BUF = BUF_INIT;
	size_t i;

	(void)state;
	for (i = 0; i < CONF_FILE_MAX; i++)
		buf_addc(&b, ' ');
	parse(buf_cstr(&b));
	assert_string_equal(told(), "");
	buf_addc(&b, ' ');
	parse(buf_cstr(&b));
	assert_string_equal(told(), "imapd.conf: more than 1048576 octets [MRT-0201]\n");
	buf_reset(&b);
	for (i = 0; i <= CONF_SETTINGS_MAX; i++)
		buf_printf(&b, "a%zu=1;\n", i);
	parse(buf_cstr(&b));
	assert_string_equal(told(), "imapd.conf:20001: more than 20000 settings [MRT-0201]\n");
	buf_reset(&b);
	buf_adds(&b, "a = ");
	for (i = 0; i < 100000; i++)
		buf_addc(&b, '(');
	parse(buf_cstr(&b));
	assert_string_equal(told(), "imapd.conf:1: more than 32 levels of groups and lists [MRT-0201]\n");
	buf_reset(&b);
	buf_adds(&b, "a = \"");
	for (i = 0; i <= CONF_VALUE_MAX; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, "\";");
	parse(buf_cstr(&b));
	assert_string_equal(told(), "imapd.conf:1: a string of more than 16384 octets [MRT-0201]\n");
	buf_reset(&b);
	for (i = 0; i < 100000; i++)
		buf_adds(&b, "$\n");
	parse(buf_cstr(&b));
	assert_int_equal(conf_errors(report), 50);
}

static void instances_are_read_in_order(void **state)
{
	static const char *const fallback[] = {"unix", "memory", NULL};
	struct conf_instance *v;

	(void)state;
	parse("drivers = (\"unix\",\n {type = \"/opt/x/odd.so\";},\n {type = \"unix\"; name = \"home\";});");
	assert_int_equal(conf_instances(conf, "drivers", fallback, arena, &v, report), 3);
	assert_string_equal(told(), "");
	assert_string_equal(v[0].name, "unix");
	assert_null(v[0].node);
	assert_string_equal(v[1].name, "odd");
	assert_string_equal(v[1].type, "/opt/x/odd.so");
	assert_int_equal(v[1].line, 2);
	assert_string_equal(v[2].name, "home");
	assert_string_equal(v[2].type, "unix");
	parse("");
	assert_int_equal(conf_instances(conf, "drivers", fallback, arena, &v, report), 2);
	assert_string_equal(v[1].type, "memory");
	parse("drivers = ();");
	assert_int_equal(conf_instances(conf, "drivers", fallback, arena, &v, report), 0);
	parse("drivers = [ \"unix\" ];");
	assert_int_equal(conf_instances(conf, "drivers", fallback, arena, &v, report), 1);
}

static void bad_instances_are_told(void **state)
{
	struct conf_instance *v;

	(void)state;
	parse("drivers = (\"unix\", \"unix\",\n 5,\n {name = \"x\";},\n {type = \"a/b\";},\n {type = \"x\"; "
	      "name = \"a b\";},\n"
	      "\"\", \"../x\");");
	assert_int_equal(conf_instances(conf, "drivers", NULL, arena, &v, report), 1);
	assert_string_equal(told(),
	    "imapd.conf:1: driver \"unix\" is there twice, first on line 1: give one another name "
	    "[MRT-0220]\n"
	    "imapd.conf:2: drivers must be a string [MRT-0219]\n"
	    "imapd.conf:3: drivers: this entry has no \"type\" [MRT-0219]\n"
	    "imapd.conf:4: type = \"a/b\" is not a module's name [MRT-0219]\n"
	    "imapd.conf:5: drivers: a \"name\" is letters, digits, - and _, 64 octets at most [MRT-0219]\n"
	    "imapd.conf:6: drivers = \"\" is not a module's name [MRT-0219]\n"
	    "imapd.conf:6: drivers = \"../x\" is not a module's name [MRT-0219]\n");
	parse("drivers = \"unix\";");
	assert_int_equal(conf_instances(conf, "drivers", NULL, arena, &v, report), 0);
	assert_string_equal(told(),
	    "imapd.conf:1: \"drivers\" is a string; it must be a list: drivers = ( ... ); [MRT-0210]\n");
}

static void module_options_lie_below_those_of_the_instance(void **state)
{
	(void)state;
	parse("module = { maildir = { max_messages = 5; }; };\ndrivers = (\"maildir\");");
	assert_int_equal(fill_first_driver().max_messages, 5);
	assert_string_equal(told(), "");
	parse("module = { maildir = { max_messages = 5; }; };\ndrivers = ({ type = \"maildir\"; max_messages "
	      "= 6; });");
	assert_int_equal(fill_first_driver().max_messages, 6);
	parse("module = {\n maildir = {\n max = 5; }; };\ndrivers = (\"maildir\");");
	fill_first_driver();
	fill_first_driver(); /* told once */
	assert_string_equal(told(), "imapd.conf:3: module.maildir: unknown option \"max\" [MRT-0213]\n");
	parse("drivers = ();\nmodule = {\n maildri = { };\n};");
	fill_first_driver();
	conf_check_unused(conf, report);
	assert_string_equal(told(),
	    "imapd.conf:3: warning: module.maildri: nothing uses this module, so its options have "
	    "no effect [MRT-0222]\n");
	assert_int_equal(conf_errors(report), 0);
}

static void modules_say_what_is_required(void **state)
{
	struct conf_module *m;

	(void)state;
	parse("modules = ( \"unix\",\n { load = \"pam\"; required = true; },\n { load = 5; },\n { laod = "
	      "\"x\"; } );");
	assert_int_equal(conf_modules(conf, arena, &m, report), 2);
	assert_string_equal(m[0].load, "unix");
	assert_false(m[0].required);
	assert_string_equal(m[1].load, "pam");
	assert_true(m[1].required);
	assert_int_equal(m[1].line, 2);
	assert_int_equal(conf_errors(report), 4);
	assert_non_null(strstr(
	    told(), "imapd.conf:4: modules: unknown option \"laod\"; did you mean \"load\"? [MRT-0213]"));
	assert_non_null(strstr(told(), "imapd.conf:4: modules: \"load\" must be set [MRT-0215]"));
}

struct strict {
	const char *must;
	uint64_t old;
};
static const struct mortise_option strict_options[] = {
    MORTISE_OPTION(
        struct strict, must, STRING, NULL, .flags = MORTISE_OPTION_REQUIRED, .help = "must be set"),
    MORTISE_OPTION(
        struct strict, old, UINT, "1", .flags = MORTISE_OPTION_DEPRECATED, .instead = "must", .help = "old"),
};
static const struct conf_group strict_group = {
    "strict", strict_options, ARRAY_LEN(strict_options), sizeof(struct strict), "strict"};

static void required_and_old_options(void **state)
{
	struct strict v;

	(void)state;
	parse("strict = { old = 5; };");
	conf_fill(conf, &strict_group, &v, arena, report);
	assert_string_equal(told(),
	    "imapd.conf: strict: \"must\" must be set [MRT-0215]\n"
	    "imapd.conf:1: warning: strict: \"old\" is old; use \"must\" [MRT-0218]\n");
	assert_int_equal(v.old, 5);
	assert_int_equal(conf_errors(report), 1);
	assert_int_equal(conf_warnings(report), 1);
}

static void a_message_cannot_be_forged(void **state)
{
	const char *text;

	(void)state;
	fill("all = { text = \"a\\x1b[2J\\n/etc/x:1: fine\"; };");
	text = told();
	assert_null(strchr(text, 0x1b));
	assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n'));
}

/* Mutated text must be read or refused, never crash; what is read can be sealed, filled and dumped. */
static void mutated_text_never_crashes(void **state)
{
	static const char seed[] =
	    "log = { level = \"info\"; debug = [ \"a\", \"b\" ]; };\n"
	    "drivers = ( \"unix\", { type = \"maildir\"; max_messages = 10; } );\n"
	    "all = { flag = true; number = -5; size = \"8k\"; list = ( \"x\" ); secret = \"fd:x\"; };\n"
	    "/* c */ // d\n# e\nmodule = { maildir = { } ; };\n";
	static const char pieces[] = "{}[]()=:;,\"\\@/*#\n -+.0x9LtrueA\x01\xff";
	uint64_t random = 88172645463325252u;
	char text[2 * sizeof(seed)];
	unsigned round, k, whole = 0;
	FILE *out = fopen("/dev/null", "w");

	(void)state;
	assert_non_null(out);
	for (round = 0; round < 20000; round++) {
		size_t n = sizeof(seed) - 1;
		struct arena *a = arena_new("round");
		struct conf_report *r = conf_report_new(a);
		struct conf_instance *i;
		const struct conf_group *groups[] = {&all_group};
		struct conf *c;
		struct all v;

		memcpy(text, seed, n);
		for (k = 0; k <= round % 6; k++) {
			size_t at;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			at = (size_t)(random >> 20) % n;
			switch (random % 4) {
			case 0: /* replace */
				text[at] = pieces[(random >> 8) % (sizeof(pieces) - 1)];
				break;
			case 1: /* insert */
				memmove(text + at + 1, text + at, n - at);
				text[at] = pieces[(random >> 8) % (sizeof(pieces) - 1)];
				n++;
				break;
			case 2: /* remove */
				memmove(text + at, text + at + 1, n - at - 1);
				n--;
				break;
			default: /* cut */
				n = at > 8 ? at : n;
				break;
			}
		}
		c = conf_parse(str_mem(text, n), "fuzz", r);
		whole += conf_errors(r) == 0;
		assert_false(conf_report_has(r, MSG_CONF_LIBRARY)); /* it and the scan agree on the grammar */
		conf_fill(c, &all_group, &v, a, r);
		conf_instances(c, "drivers", NULL, a, &i, r);
		conf_check_unused(c, r);
		if (round % 50 == 0)
			conf_dump(c, groups, 1, false, out);
		conf_free(&c);
		arena_free(&a);
	}
	fclose(out);
	assert_in_range(
	    whole, 2000, 18000); /* the mutations reach both what is behind the scan and what is not */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(nothing_gives_the_defaults, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_typo_in_an_instance_is_told_with_the_nearest_name, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_type_takes_its_good_values, setup, teardown),
	    cmocka_unit_test_setup_teardown(units_and_notations, setup, teardown),
	    cmocka_unit_test_setup_teardown(every_type_refuses_its_bad_values, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_refused_value_leaves_the_default, setup, teardown),
	    cmocka_unit_test_setup_teardown(all_problems_are_told_at_once_in_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(duplicates_are_all_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(syntax_is_refused_with_the_line, setup, teardown),
	    cmocka_unit_test_setup_teardown(size_is_bounded, setup, teardown),
	    cmocka_unit_test_setup_teardown(instances_are_read_in_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(bad_instances_are_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(module_options_lie_below_those_of_the_instance, setup, teardown),
	    cmocka_unit_test_setup_teardown(modules_say_what_is_required, setup, teardown),
	    cmocka_unit_test_setup_teardown(required_and_old_options, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_message_cannot_be_forged, setup, teardown),
	    cmocka_unit_test_setup_teardown(mutated_text_never_crashes, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
