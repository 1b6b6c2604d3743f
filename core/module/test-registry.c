/*
 * The loader: each bad module is refused with its own words, and the good ones beside it are loaded.
 * attack-146: wrong ABI, missing symbol, constructor crash, hang in init, abort(), exit(), a path others can
 * write. attack-147: the environment chooses no module. And the traps of libltdl, each by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mortise/driver.h>

#include "base/io.h"
#include "base/mem.h"
#include "log/log.h"
#include "module/module.h"
#include "base/banned.h"

static char top[] = "/tmp/mortise-modules-XXXXXX";
static char dir[64];
static const char *built;
static struct module_options options = {.check_owner = true, .owner = "", .probe_timeout = 10000};
static struct registry *registry;
static struct conf *conf;
static struct arena *arena;
static char *report; /* of the last load */
static size_t errors;

static void path_in(char *out, size_t size, const char *folder, const char *name)
{
	assert_true((size_t)snprintf(out, size, "%s/%s", folder, name) < size);
}

static void copy(const char *from, const char *to_dir, const char *to, off_t length)
{
	char path[256];
	char *octets;
	struct stat st;
	int in, out;

	path_in(path, sizeof(path), built, from);
	in = open(path, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		fail_msg("%s is not built", path);
	assert_int_equal(fstat(in, &st), 0);
	octets = mem_alloc((size_t)st.st_size);
	assert_int_equal(io_read(in, octets, (size_t)st.st_size), st.st_size);
	path_in(path, sizeof(path), to_dir, to);
	out = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0755);
	assert_true(out >= 0);
	if (length <= 0)
		length += st.st_size;
	assert_in_range(length, 1, st.st_size);
	assert_int_equal(io_write(out, octets, (size_t)length), 0);
	mem_free(octets);
	close(in);
	close(out);
}

static void install(const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.so", name);
	copy(file, dir, file, 0);
}

static void unload(void)
{
	if (registry != NULL)
		registry_free(&registry);
	if (conf != NULL)
		conf_free(&conf);
	if (arena != NULL)
		arena_free(&arena);
	free(report);
	report = NULL;
}

static int fresh(void **state)
{
	static unsigned number;

	(void)state;
	snprintf(dir, sizeof(dir), "%s/%u", top, number++);
	assert_int_equal(mkdir(dir, 0755), 0);
	options.path = dir;
	options.check_owner = true;
	options.probe_timeout = 10000;
	install("good");
	return 0;
}

static int done(void **state)
{
	char command[160];

	(void)state;
	unload();
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

/* Loads the drivers of a configuration; what was said is in `report`. */
static void load(const char *text)
{
	const uint32_t kinds[] = {MORTISE_KIND_DRIVER};
	struct conf_report *r;
	size_t size;
	FILE *out;

	unload();
	arena = arena_new("test");
	r = conf_report_new(arena);
	conf = conf_parse(str_of(text), "test.conf", r);
	registry = registry_load(conf, &options, kinds, 1, true, r);
	errors = conf_errors(r);
	out = open_memstream(&report, &size);
	conf_report_print(r, out);
	fclose(out);
}

static void load_driver(const char *name)
{
	char text[200];

	snprintf(text, sizeof(text), "drivers = [ \"good\", \"%s\" ];\n", name);
	load(text);
}

static bool loaded(const char *name)
{
	return registry_find(registry, MORTISE_KIND_DRIVER, name) != NULL;
}

static void assert_said(const char *text)
{
	if (strstr(report, text) == NULL)
		fail_msg("not said: %s\nbut: %s", text, report);
}

/* `name` is refused with these words; its neighbour is there; the configuration itself has no error. */
static void assert_refused(const char *name, const char *words)
{
	char text[100];

	load_driver(name);
	assert_said(words);
	snprintf(text, sizeof(text), "module \"%s\" is refused: ", name);
	assert_said(text);
	snprintf(text, sizeof(text), "; switched off: driver \"%s\"", name);
	assert_said(text);
	assert_said("test.conf:1: ");
	assert_true(loaded("good"));
	assert_false(loaded(name));
	assert_int_equal(errors, 0);
}

/* ---- what works ---- */

static void good_is_loaded(void **state)
{
	struct call_env env = {.journal_dir = -1};
	const struct mortise_driver_ops *ops;
	struct instance *inst;
	struct err e = ERR_INIT;
	struct call c;
	char path[128];

	(void)state;
	load("drivers = ( \"good\", { type = \"good\"; name = \"other\"; limit = \"20k\"; } );\n");
	assert_string_equal(report, "");
	inst = registry_find(registry, MORTISE_KIND_DRIVER, "other");
	assert_non_null(inst);
	assert_string_equal(inst->pub.module, "good");
	assert_int_equal(*(const uint64_t *)inst->pub.options, 20480);
	inst = registry_find(registry, MORTISE_KIND_DRIVER, "good");
	assert_non_null(inst);
	assert_int_equal(*(const uint64_t *)inst->pub.options, 10240);
	ops = inst->ops;
	assert_int_equal(ops->size, sizeof(*ops));
	assert_null(ops->add_keyword);
	env.box = arena;
	call_begin(&c, inst, &env, "read");
	assert_int_equal(call_end(&c, ops->read(&c.pub, NULL, NULL, NULL), &e), MORTISE_E_EXPUNGED);
	assert_string_equal(e.client, "There is no message");
	/* Resident: code of a module is never taken away. */
	unload();
	path_in(path, sizeof(path), dir, "good.so");
	assert_non_null(dlopen(path, RTLD_NOW | RTLD_NOLOAD));
}

static void several_in_one_file(void **state)
{
	size_t count;

	(void)state;
	install("several");
	load_driver("several");
	assert_string_equal(report, "");
	(void)registry_instances(registry, MORTISE_KIND_DRIVER, &count);
	assert_int_equal(count, 3);
	assert_true(loaded("several"));
	assert_true(loaded("second"));
}

static void newer_minor_is_accepted(void **state)
{
	(void)state;
	install("new-minor");
	load_driver("new-minor");
	assert_string_equal(report, "");
	assert_true(loaded("new-minor"));
}

static void order_is_the_configurations(void **state)
{
	size_t count;
	struct instance *const *list;

	(void)state;
	install("new-minor");
	install("second");
	load(
	    "drivers = ( \"second\", \"good\", \"new-minor\", { type = \"second\"; name = \"again\"; } );\n");
	list = registry_instances(registry, MORTISE_KIND_DRIVER, &count);
	assert_int_equal(count, 4);
	assert_string_equal(list[0]->pub.name, "second");
	assert_string_equal(list[1]->pub.name, "good");
	assert_string_equal(list[2]->pub.name, "new-minor");
	assert_string_equal(list[3]->pub.name, "again");
}

static void noise_is_reported(void **state)
{
	(void)state;
	install("noisy");
	load_driver("noisy");
	assert_true(loaded("noisy"));
	assert_said("module \"noisy\" wrote, which a module may not: noisy 1.0, evaluation copy");
}

static void suspect_answers_unavailable(void **state)
{
	struct mortise_box_info info = {.size = sizeof(info)};
	struct call_env env = {.journal_dir = -1};
	const struct mortise_driver_ops *ops;
	struct instance *inst;
	struct err e = ERR_INIT;
	struct call c;
	void *box = &c;

	(void)state;
	load_driver("good");
	inst = registry_find(registry, MORTISE_KIND_DRIVER, "good");
	instance_suspect(inst);
	assert_true(inst->suspect);
	ops = inst->ops;
	call_begin(&c, inst, &env, "open");
	assert_int_equal(call_end(&c, ops->open(&c.pub, NULL, 0, &info, &box), &e), MORTISE_E_UNAVAILABLE);
	assert_null(box);
	assert_string_equal(e.client, "Service unavailable, try again later");
}

static void start_that_fails_disables(void **state)
{
	(void)state;
	load(
	    "drivers = ( \"good\", { type = \"good\"; name = \"lazy\"; secretive = \"do not start\"; } );\n");
	assert_true(loaded("lazy"));
	registry_prepare(registry, MORTISE_KIND_DRIVER);
	assert_true(loaded("lazy"));
	registry_start(registry, MORTISE_KIND_DRIVER);
	assert_false(loaded("lazy"));
	assert_true(loaded("good"));
	registry_stop(registry, MORTISE_KIND_DRIVER);
}

/* ---- bad options, bad lists ---- */

static void options_are_checked(void **state)
{
	(void)state;
	load("drivers = ( \"good\",\n  { type = \"good\"; name = \"small\"; limit = \"12\"; } );\n");
	assert_true(loaded("good"));
	assert_false(loaded("small"));
	assert_int_equal(errors, 1);
	assert_said("test.conf:2: ");
	load("drivers = ( \"good\",\n  { type = \"good\"; name = \"strict\"; forbidden = true; } );\n");
	assert_true(loaded("good"));
	assert_false(loaded("strict"));
	assert_int_equal(errors, 0);
	assert_said("driver \"strict\" is switched off: strict: check: forbidden is not to be used");
}

static void wrong_list(void **state)
{
	const uint32_t kinds[] = {MORTISE_KIND_PASSWORD};
	struct conf_report *r;

	(void)state;
	unload();
	arena = arena_new("test");
	r = conf_report_new(arena);
	conf = conf_parse(STR("passwords = [ \"good\" ];\n"), "test.conf", r);
	registry = registry_load(conf, &options, kinds, 1, true, r);
	{
		size_t size;
		FILE *out = open_memstream(&report, &size);

		conf_report_print(r, out);
		fclose(out);
	}
	assert_said(
	    "password \"good\" is switched off: it names a driver module, which cannot stand in the list "
	    "\"passwords\"");
	assert_null(registry_find(registry, MORTISE_KIND_PASSWORD, "good"));
}

/* ---- bad files ---- */

static void not_there(void **state)
{
	char text[200];

	(void)state;
	snprintf(text, sizeof(text), "%s/absent.so: No such file or directory", dir);
	assert_refused("absent", text);
}

static void not_a_name(void **state)
{
	struct module_facts *facts;
	struct err e = ERR_INIT;
	size_t count;

	(void)state;
	load_driver("../good");
	assert_said("\"../good\" is not a module's name");
	assert_true(loaded("good"));
	unload();
	arena = arena_new("test");
	assert_int_equal(module_inspect("../good", &options, CONF_TEXT, arena, &facts, &count, NULL, &e),
	    MORTISE_E_INVALID);
	assert_non_null(
	    strstr(e.admin, "\"../good\" cannot be a module: a name has 1 to 32 lower case letters"));
}

static void not_a_shared_object(void **state)
{
	char path[128];
	int fd;

	(void)state;
	path_in(path, sizeof(path), dir, "text.so");
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
	assert_int_equal(io_write(fd, "#!/bin/sh\necho hello\n", 21), 0);
	close(fd);
	assert_refused("text", "/text.so is not a shared object (no ELF header)");
	path_in(path, sizeof(path), dir, "empty.so");
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	assert_refused("empty", "/empty.so is not a shared object (no ELF header)");
	path_in(path, sizeof(path), dir, "folder.so");
	assert_int_equal(mkdir(path, 0755), 0);
	assert_refused("folder", "/folder.so is not a regular file");
}

static void truncated(void **state)
{
	static const off_t lengths[] = {40, 500, 5000, 10000, -1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		char name[32], file[40], words[64];

		snprintf(name, sizeof(name), "cut%zu", i);
		snprintf(file, sizeof(file), "%s.so", name);
		snprintf(words, sizeof(words), "/%s is truncated", file);
		copy("good.so", dir, file, lengths[i]);
		assert_refused(name, words);
	}
}

/* Octet by octet damage: whatever it is, it is refused or harmless, and never ends this process. */
static void damaged(void **state)
{
	(void)state;
	copy("good.so", dir, "wrong.so", 0);
	for (unsigned i = 0; i < 64; i += 3) {
		char path[128];
		unsigned char octet, other;
		int fd;

		path_in(path, sizeof(path), dir, "wrong.so");
		fd = open(path, O_RDWR | O_CLOEXEC);
		assert_int_equal(io_pread(fd, &octet, 1, i), 1);
		other = octet ^ 0xff;
		assert_int_equal(io_pwrite(fd, &other, 1, i), 0);
		load_driver("wrong");
		assert_true(loaded("good"));
		assert_false(loaded("wrong"));
		assert_int_equal(io_pwrite(fd, &octet, 1, i), 0);
		close(fd);
	}
}

static void missing_library(void **state)
{
	(void)state;
	install("missing-library");
	/* libltdl alone would say "file not found". */
	assert_refused("missing-library",
	    "/missing-library.so cannot be loaded: libmortise-gone.so.7: cannot open "
	    "shared object file: No such file or directory");
}

static void missing_symbol(void **state)
{
	(void)state;
	install("missing-symbol");
	assert_refused("missing-symbol", "undefined symbol: mortise_no_such_function");
}

static void no_descriptor(void **state)
{
	(void)state;
	install("no-descriptor");
	assert_refused("no-descriptor",
	    "/no-descriptor.so is not a Mortise module: it has no symbol no_descriptor_LTX_mortise_module");
}

static void bad_magic(void **state)
{
	(void)state;
	install("bad-magic");
	assert_refused("bad-magic", "/bad-magic.so: its descriptor begins with 6d6f7274, not with 4d6f7274");
}

static void old_api(void **state)
{
	(void)state;
	install("old-api");
	assert_refused("old-api", "/old-api.so: set_flags, which every driver needs, is missing; "
	                          "expunge, which every driver needs, is missing; "
	                          "lock, which every driver needs, is missing; "
	                          "close, which every driver needs, is missing; switched off");
}

static void new_api(void **state)
{
	char words[160];

	(void)state;
	install("new-api");
	snprintf(words, sizeof(words),
	    "/new-api.so: imapd has driver API 0.%u, module has 1.3; imapd has host API 0.%u, module needs "
	    "0.%u; "
	    "switched off",
	    MORTISE_DRIVER_MINOR, MORTISE_HOST_MINOR, MORTISE_HOST_MINOR + 4);
	assert_refused("new-api", words);
}

static void other_time_size(void **state)
{
	(void)state;
	install("time32");
	assert_refused("time32",
	    "/time32.so: imapd has time_t 8, module has 4; imapd has flavour " MORTISE_FLAVOUR
	    ", module has strange; switched off");
}

static void renamed(void **state)
{
	(void)state;
	copy("good.so", dir, "better.so", 0);
	assert_refused("better", "/better.so: the file was renamed: it holds the module \"good\"");
}

static void two_of_one_name(void **state)
{
	(void)state;
	install("twice");
	assert_refused("twice", "/twice.so has two descriptors named \"twice\"");
}

static void two_files_of_one_name(void **state)
{
	(void)state;
	install("several");
	install("second");
	load("drivers = [ \"good\", \"several\", \"second\" ];\n");
	assert_said("/second.so: there is a module named \"second\" already, in ");
	assert_said("/several.so; switched off: driver \"second\"");
	assert_true(loaded("several"));
}

static void bad_default(void **state)
{
	(void)state;
	install("bad-default");
	load_driver("bad-default");
	assert_said("/bad-default.so: option table: ");
	assert_said("limit");
	assert_said("many");
	assert_false(loaded("bad-default"));
	assert_true(loaded("good"));
}

static void dies_while_loading(void **state)
{
	(void)state;
	install("crash-load");
	assert_refused("crash-load", "/crash-load.so crashed while loading: signal 11 (Segmentation fault)");
	install("abort-load");
	assert_refused("abort-load", "/abort-load.so crashed while loading: signal 6 (Aborted)");
	install("exit-load");
	/* With the leak sanitizer exit() has a status of its own. */
	assert_refused("exit-load",
	    strcmp(MORTISE_FLAVOUR, "release") == 0
	        ? "/exit-load.so ended the process while loading: exit(3), which a module may not call"
	        : "/exit-load.so ended the process while loading: exit(");
}

static void hangs(void **state)
{
	(void)state;
	options.probe_timeout = 500;
	install("hang-load");
	assert_refused("hang-load", "/hang-load.so hung while loading: killed after 500 ms");
	install("hang-check");
	assert_refused("hang-check",
	    "/hang-check.so hung while checking the options of \"hang-check\": killed after 500 ms");
}

/* ---- who could have written it ---- */

static void writable_by_others(void **state)
{
	char path[128], words[200];

	(void)state;
	install("second");
	path_in(path, sizeof(path), dir, "second.so");
	assert_int_equal(chmod(path, 0775), 0);
	snprintf(words, sizeof(words), "%s is writable by its group (mode 0775)", path);
	assert_refused("second", words);
	assert_int_equal(chmod(path, 0757), 0);
	snprintf(words, sizeof(words), "%s is writable by everyone (mode 0757)", path);
	assert_refused("second", words);
	assert_int_equal(chmod(path, 0755), 0);
	load_driver("second");
	assert_true(loaded("second"));
	/* The folder: the offending part is named, and now nothing in it is trusted. */
	assert_int_equal(chmod(dir, 0775), 0);
	load_driver("second");
	snprintf(words, sizeof(words),
	    "module \"second\" is refused: %s is writable by its group (mode 0775)", dir);
	assert_said(words);
	assert_false(loaded("good"));
	options.check_owner = false;
	load_driver("second");
	assert_true(loaded("second"));
	assert_int_equal(chmod(dir, 0755), 0);
}

static void owned_by_another(void **state)
{
	char path[128];

	(void)state;
	if (geteuid() != 0)
		skip();
	install("second");
	path_in(path, sizeof(path), dir, "second.so");
	assert_int_equal(chown(path, 12345, 0), 0);
	assert_refused("second", "/second.so is owned by uid 12345, not by root");
	options.owner = "12345";
	load_driver("second");
	assert_true(loaded("second"));
	options.owner = "no-such-user-here";
	load_driver("second");
	assert_said("module_loader.owner: no user \"no-such-user-here\"");
	options.owner = "";
}

/* A link to a good file is as good; a link in a folder of somebody else is not. */
static void links(void **state)
{
	char path[128], target[128];

	(void)state;
	path_in(target, sizeof(target), dir, "real");
	assert_int_equal(mkdir(target, 0777), 0);
	assert_int_equal(chmod(target, 0777), 0);
	copy("second.so", target, "second.so", 0);
	path_in(path, sizeof(path), dir, "second.so");
	assert_int_equal(symlink("real/second.so", path), 0);
	assert_refused("second", "/real is writable by everyone (mode 0777)");
	assert_int_equal(chmod(target, 0755), 0);
	load_driver("second");
	assert_true(loaded("second"));
}

/* ---- traps of libltdl ---- */

/* Environment paths are searched by libltdl for a bare name. Not here. */
static void environment_chooses_nothing(void **state)
{
	char elsewhere[128], words[200];

	(void)state;
	path_in(elsewhere, sizeof(elsewhere), dir, "elsewhere");
	assert_int_equal(mkdir(elsewhere, 0755), 0);
	copy("second.so", elsewhere, "second.so", 0);
	setenv("LTDL_LIBRARY_PATH", elsewhere, 1);
	setenv("LD_LIBRARY_PATH", elsewhere, 1);
	snprintf(words, sizeof(words), "%s/second.so: No such file or directory", dir);
	assert_refused("second", words);
	unsetenv("LTDL_LIBRARY_PATH");
	unsetenv("LD_LIBRARY_PATH");
}

/* A .la file beside it could name any other file. */
static void libtool_archives_are_not_read(void **state)
{
	static const char text[] =
	    "dlname='good.so'\nlibrary_names='good.so'\ninstalled=yes\nlibdir='/tmp'\n";
	char path[128], words[200];
	int fd;

	(void)state;
	path_in(path, sizeof(path), dir, "second.la");
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
	assert_int_equal(io_write(fd, text, sizeof(text) - 1), 0);
	close(fd);
	snprintf(words, sizeof(words), "%s/second.so: No such file or directory", dir);
	assert_refused("second", words);
}

/* The environment's search path for libraries that a module needs is another matter: the linker's. */
static void names_with_other_characters(void **state)
{
	(void)state;
	/* new-minor's symbol is new_minor_LTX_…: libltdl derives it from the file name. */
	install("new-minor");
	load_driver("new-minor");
	assert_true(loaded("new-minor"));
	assert_refused("new_minor", "/new_minor.so: No such file or directory");
	copy("new-minor.so", dir, "new_minor.so", 0);
	assert_refused("new_minor", "the file was renamed: it holds the module \"new-minor\"");
}

/* An absolute path: from the main file only, which the conf room sees to. */
static void absolute_path(void **state)
{
	char elsewhere[128], text[300];

	(void)state;
	path_in(elsewhere, sizeof(elsewhere), dir, "elsewhere");
	assert_int_equal(mkdir(elsewhere, 0755), 0);
	copy("second.so", elsewhere, "second.so", 0);
	snprintf(
	    text, sizeof(text), "drivers = ( { type = \"%s/second.so\"; name = \"mine\"; } );\n", elsewhere);
	load(text);
	assert_string_equal(report, "");
	assert_true(loaded("mine"));
	assert_int_equal(chmod(elsewhere, 0777), 0);
	load(text);
	assert_said("/elsewhere is writable by everyone");
	snprintf(text, sizeof(text), "drivers = [ \"%s/second\" ];\n", elsewhere);
	load(text);
	assert_said("/second: a module file ends in .so");
}

/* ---- modules = ( … ) ---- */

static void required(void **state)
{
	(void)state;
	load("drivers = [ \"good\", \"absent\" ];\nmodules = ( { load = \"absent\"; required = true; } );\n");
	assert_int_equal(errors, 1);
	assert_said("required module \"absent\" is refused: ");
	assert_said("; switched off: driver \"absent\"");
	load("drivers = [ \"good\" ];\nmodules = ( { load = \"good\"; required = true; } );\n");
	assert_string_equal(report, "");
	install("hang-check");
	options.probe_timeout = 300;
	load("drivers = [ \"hang-check\" ];\nmodules = ( { load = \"hang-check\"; required = true; } );\n");
	assert_int_equal(errors, 1);
}

static void modules_names_no_file(void **state)
{
	(void)state;
	load("drivers = [ \"good\" ];\nmodules = ( { load = \"absent\"; } );\n");
	assert_int_equal(errors, 0);
	assert_said("test.conf:2: warning: module \"absent\" is refused: ");
	assert_said("/absent.so: No such file or directory");
	assert_true(loaded("good"));
	/* Another role's affair. */
	load("drivers = [ \"good\" ];\npasswords = [ \"absent\" ];\nmodules = ( { load = \"absent\"; } );\n");
	assert_string_equal(report, "");
}

/* ---- inspection ---- */

static void inspection(void **state)
{
	AUTO_BUF struct buf output = BUF_INIT;
	struct module_facts *facts;
	struct err e = ERR_INIT;
	char path[128];
	size_t count;

	(void)state;
	arena = arena_new("test");
	install("several");
	install("exit-load");
	path_in(path, sizeof(path), dir, "several.so");
	assert_int_equal(module_inspect(path, &options, CONF_TEXT, arena, &facts, &count, &output, &e), 0);
	assert_int_equal(count, 2);
	assert_string_equal(facts[1].name, "second");
	assert_string_equal(facts[1].kind, "driver");
	assert_string_equal(facts[1].licence, "Apache-2.0");
	assert_string_equal(facts[1].options, "");
	assert_int_equal(module_inspect("good", &options, CONF_JSON, arena, &facts, &count, &output, &e), 0);
	assert_int_equal(count, 1);
	assert_non_null(strstr(facts[0].options, "forbidden"));
	assert_true(module_inspect("exit-load", &options, CONF_TEXT, arena, &facts, &count, &output, &e) < 0);
	assert_non_null(strstr(e.admin, "ended the process while loading: exit("));
	assert_int_equal(count, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, done)
	const struct CMUnitTest tests[] = {T(good_is_loaded), T(several_in_one_file),
	    T(newer_minor_is_accepted), T(order_is_the_configurations), T(noise_is_reported),
	    T(suspect_answers_unavailable), T(start_that_fails_disables), T(options_are_checked),
	    T(wrong_list), T(not_there), T(not_a_name), T(not_a_shared_object), T(truncated), T(damaged),
	    T(missing_library), T(missing_symbol), T(no_descriptor), T(bad_magic), T(old_api), T(new_api),
	    T(other_time_size), T(renamed), T(two_of_one_name), T(two_files_of_one_name), T(bad_default),
	    T(dies_while_loading), T(hangs), T(writable_by_others), T(owned_by_another), T(links),
	    T(environment_chooses_nothing), T(libtool_archives_are_not_read), T(names_with_other_characters),
	    T(absolute_path), T(required), T(modules_names_no_file), T(inspection)};
	static char where[300];
	int failed;

	snprintf(where, sizeof(where), "%s/tests/modules",
	    getenv("top_builddir") != NULL ? getenv("top_builddir") : ".");
	built = where;
	if (mkdtemp(top) == NULL)
		return 1;
	log_set_level((enum log_level)0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(top);
	return failed;
}
