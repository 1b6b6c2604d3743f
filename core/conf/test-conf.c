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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(nothing_gives_the_defaults, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_typo_in_an_instance_is_told_with_the_nearest_name, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
