/*
 * Built-in modules: they come before a file of the same name, share one symbol table without harm, and
 * libltdl's own search for them ("preload only", which finds nothing in 2.4.7) is not relied on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <ltdl.h>
#include <stdio.h>
#include <string.h>

#include <mortise/driver.h>

#include "log/log.h"
#include "module/module.h"
#include "base/banned.h"

static void builtin(void **state)
{
	const uint32_t kinds[] = {MORTISE_KIND_DRIVER};
	struct module_options o = {.path = "/nonexistent", .check_owner = true, .probe_timeout = 10000};
	struct arena *a = arena_new("test");
	struct conf_report *r = conf_report_new(a);
	struct conf *c =
	    conf_parse(STR("drivers = [ \"inside-two\", \"inside\", \"outside\" ];\n"), "test.conf", r);
	struct instance *one, *two;
	struct registry *g;
	char *text = NULL;
	size_t size;
	FILE *out;

	(void)state;
	assert_string_equal(module_builtin(a, 0), "inside");
	assert_string_equal(module_builtin(a, 1), "inside-two");
	assert_null(module_builtin(a, 2));
	g = registry_load(c, &o, kinds, 1, true, r);
	one = registry_find(g, MORTISE_KIND_DRIVER, "inside");
	two = registry_find(g, MORTISE_KIND_DRIVER, "inside-two");
	assert_non_null(one);
	assert_non_null(two);
	assert_string_equal(one->module->name, "inside");
	assert_string_equal(two->module->name, "inside-two");
	assert_null(registry_find(g, MORTISE_KIND_DRIVER, "outside"));
	out = open_memstream(&text, &size);
	conf_report_print(r, out);
	fclose(out);
	assert_non_null(strstr(text, "/nonexistent/outside.so: No such file or directory"));
	free(text);
	registry_free(&g);
	conf_free(&c);
	arena_free(&a);
}

static void inspection(void **state)
{
	struct module_options o = {.path = "/nonexistent", .check_owner = true, .probe_timeout = 10000};
	struct arena *a = arena_new("test");
	struct module_facts *facts;
	struct err e = ERR_INIT;
	size_t count;

	(void)state;
	assert_int_equal(module_inspect("inside", &o, CONF_TEXT, a, &facts, &count, NULL, &e), 0);
	assert_int_equal(count, 1);
	assert_string_equal(facts[0].name, "inside");
	arena_free(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(builtin), cmocka_unit_test(inspection)};

	LTDL_SET_PRELOADED_SYMBOLS();
	module_set_builtin(lt_preloaded_symbols);
	log_set_level((enum log_level)0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
