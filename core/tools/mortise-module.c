/* mortise-module.c: arguments. What it does: module_tool.h, mortise-module(1). */
#include <getopt.h>
#include <limits.h>
#include <ltdl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "log/log.h"
#include "tools/module_tool.h"
#include "base/banned.h"

static const char usage[] =
    "usage: mortise-module [OPTION]… COMMAND\n"
    "  new NAME KIND DIR    write a project for a module; KIND is driver, password or sasl\n"
    "  describe MODULE      what a module says about itself (MODULE: a name, or a file)\n"
    "  list                 all modules, and why one is refused\n"
    "  check FILE           what can be checked without using it (TAP)\n"
    "options:\n"
    "  -c, --config FILE    imapd.conf, for module_loader\n"
    "  -f, --format FORMAT  describe: text (default), json, mdoc, conf\n"
    "  -m, --modules DIR    instead of module_loader.path\n"
    "  -t, --templates DIR  new: instead of the installed templates\n"
    "      --no-owner-check accept files that others could have written\n"
    "  -h, --help           this\n";

static bool set_format(struct module_tool *t, const char *name)
{
	static const struct {
		const char *name;
		enum conf_format format;
	} formats[] = {{"text", CONF_TEXT}, {"json", CONF_JSON}, {"mdoc", CONF_MDOC}, {"conf", CONF_SAMPLE}};

	for (size_t i = 0; i < ARRAY_LEN(formats); i++)
		if (strcmp(formats[i].name, name) == 0) {
			t->format = formats[i].format;
			return true;
		}
	return false;
}

/* module_loader of the configuration. False: it is broken, and was reported. */
static bool read_options(struct module_tool *t, const char *file)
{
	struct conf_report *r = conf_report_new(t->arena);
	struct conf *c = conf_load(file, r);

	conf_fill(c, &module_conf_group, &t->options, t->arena, r);
	conf_free(&c);
	if (conf_errors(r) == 0)
		return true;
	conf_report_print(r, stderr);
	return false;
}

/* A file for describe may be named as the shell names it; the loader wants whole paths. */
static const char *module_type(struct module_tool *t, const char *given)
{
	char path[PATH_MAX];

	if (strchr(given, '/') == NULL && !str_ends(str_of(given), STR(".so")))
		return given;
	return realpath(given, path) != NULL ? arena_strdup(t->arena, path) : given;
}

static int run(struct module_tool *t, int argc, char **argv)
{
	const char *command = argc > 0 ? argv[0] : "";

	if (strcmp(command, "new") == 0 && argc == 4)
		return tool_new(t, argv[1], argv[2], argv[3]);
	if (strcmp(command, "describe") == 0 && argc == 2)
		return tool_describe(t, module_type(t, argv[1]));
	if (strcmp(command, "list") == 0 && argc == 1)
		return tool_list(t);
	if (strcmp(command, "check") == 0 && argc == 2)
		return tool_check(t, argv[1]);
	fputs(usage, stderr);
	return TOOL_USAGE;
}

int main(int argc, char **argv)
{
	enum { NO_OWNER_CHECK = 256 };
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
	    {"format", required_argument, NULL, 'f'}, {"modules", required_argument, NULL, 'm'},
	    {"templates", required_argument, NULL, 't'},
	    {"no-owner-check", no_argument, NULL, NO_OWNER_CHECK}, {"help", no_argument, NULL, 'h'},
	    {NULL, 0, NULL, 0}};
	struct module_tool t = {.templates = MORTISE_TEMPLATEDIR};
	const char *config = NULL, *modules = NULL;
	bool check_owner = true;
	char path[PATH_MAX];
	int c, r;

	LTDL_SET_PRELOADED_SYMBOLS();
	module_set_builtin(lt_preloaded_symbols);
	log_start("mortise-module");
	while ((c = getopt_long(argc, argv, "c:f:m:t:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			config = optarg;
			break;
		case 'f':
			if (set_format(&t, optarg))
				break;
			fprintf(
			    stderr, "mortise-module: no format \"%s\": text, json, mdoc or conf\n", optarg);
			return TOOL_USAGE;
		case 'm':
			modules = optarg;
			break;
		case 't':
			t.templates = optarg;
			break;
		case NO_OWNER_CHECK:
			check_owner = false;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return TOOL_USAGE;
		}
	}
	t.arena = arena_new("tool");
	if (!read_options(&t, config)) {
		arena_free(&t.arena);
		return 78;
	}
	if (modules != NULL)
		t.options.path = realpath(modules, path) != NULL ? path : modules;
	t.options.check_owner = t.options.check_owner && check_owner;
	r = run(&t, argc - optind, argv + optind);
	arena_free(&t.arena);
	return r;
}
