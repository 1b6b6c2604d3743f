/*
 * module_check.c: mortise-module check. What can be known about a module without using it, as TAP.
 *
 * Who may write the file is not looked at here: it is the author's build directory. The server looks.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module/elf.h"
#include "tools/module_tool.h"
#include "base/banned.h"

struct checks {
	unsigned number, failed;
};

static void say(struct checks *c, bool good, const char *what, const char *detail)
{
	c->number++;
	if (!good)
		c->failed++;
	printf("%s %u - %s\n", good ? "ok" : "not ok", c->number, what);
	if (!good && detail != NULL && detail[0] != '\0')
		printf("#   %s\n", detail);
}

/* Sanitizers and coverage put their own constructors and symbols into everything. */
static bool instrumented(const struct elf_facts *f)
{
	size_t count = f->export_count < ELF_NAMES_MAX ? f->export_count : ELF_NAMES_MAX;

	for (size_t i = 0; i < f->needed_count; i++)
		if (strstr(f->needed[i], "san.so") != NULL)
			return true;
	for (size_t i = 0; i < count; i++)
		if (strncmp(f->exports[i].name, "__asan", 6) == 0 ||
		    strncmp(f->exports[i].name, "__odr_asan", 10) == 0)
			return true;
	return strcmp(MORTISE_FLAVOUR, "release") != 0;
}

static void check_symbols(struct checks *c, const struct elf_facts *f)
{
	AUTO_BUF struct buf others = BUF_INIT;
	size_t count = f->export_count < ELF_NAMES_MAX ? f->export_count : ELF_NAMES_MAX, own = 0;

	for (size_t i = 0; i < count; i++) {
		struct str name = str_of(f->exports[i].name);

		if (str_starts(name, STR("__asan")) || str_starts(name, STR("__odr_asan")) ||
		    str_starts(name, STR("__ubsan")))
			continue;
		if (str_ends(name, STR("_LTX_mortise_module")) || str_ends(name, STR("_LTX_mortise_modules")))
			own++;
		else
			buf_printf(&others, "%s%s", others.n > 0 ? ", " : "shown too: ", f->exports[i].name);
	}
	say(c, own == 1 && others.n == 0, "shows its descriptor and no other symbol", buf_cstr(&others));
}

static void check_file(struct checks *c, struct module_tool *t, const char *path)
{
	struct elf_facts f;
	struct err e = ERR_INIT;
	bool whole = elf_read(path, t->arena, &f, &e) == 0;

	say(c, whole, "is a whole shared object", e.admin);
	if (!whole)
		return;
	check_symbols(c, &f);
	if (!instrumented(&f))
		say(c, !f.constructors, "has no constructors",
		    "code that runs before the descriptor was checked");
	say(c, f.binds_now, "is linked with -z now", "a missing function would be found out by a user");
	say(c, !f.text_relocations, "has no text relocations", "it was compiled without -fPIC");
	say(c, !f.writable_code && !f.executable_stack, "has no memory that is writable and executable",
	    NULL);
}

int tool_check(struct module_tool *t, const char *file)
{
	struct checks c = {0, 0};
	AUTO_BUF struct buf output = BUF_INIT;
	struct module_facts *facts;
	struct err e = ERR_INIT;
	char path[PATH_MAX];
	size_t count;
	bool loads;

	if (realpath(file, path) == NULL) {
		fprintf(stderr, "mortise-module: %s: %s\n", file, strerror(errno));
		return 1;
	}
	t->options.check_owner = false;
	check_file(&c, t, path);
	loads = module_inspect(path, &t->options, CONF_TEXT, t->arena, &facts, &count, &output, &e) == 0;
	say(&c, loads, "loads, and its descriptor, callbacks and options are accepted", e.admin);
	if (loads)
		say(&c, output.n == 0, "writes nothing while it is loaded", buf_cstr(&output));
	for (size_t i = 0; loads && i < count; i++)
		printf("# %s %s, %s %u.%u, needs host %u.%u\n", facts[i].name, facts[i].version,
		    facts[i].kind, facts[i].api_major, facts[i].api_minor, MORTISE_HOST_MAJOR,
		    facts[i].host_minor);
	printf("1..%u\n", c.number);
	return c.failed == 0 ? 0 : 1;
}
