#include "conf/commands.h"
#include "conf/conf_int.h"
#include "conf/manual.h"
#include "base/banned.h"

#define EXIT_USAGE 64 /* EX_USAGE of sysexits.h */

/* Reads all there is to read, so that the report is whole. */
static struct conf *read_all(const char *file, const struct conf_group *const *groups, size_t n,
    conf_instances_hook *hook, void *arg, struct arena *a, struct conf_report *r)
{
	static const char *const lists[] = {"drivers", "passwords", "sasl"};
	struct conf *c = conf_load(file, r);
	struct conf_instance *instances;
	struct conf_module *modules;
	size_t i;

	for (i = 0; i < n; i++) {
		struct err e = ERR_INIT;

		if (conf_check_table(groups[i]->options, groups[i]->count, sizeof(struct mortise_option),
		        groups[i]->size, &e) != 0)
			conf_problem(r, MSG_CONF_TABLE, NULL, 0, "%s: %s", groups[i]->name, e.admin);
		conf_fill(c, groups[i], arena_alloc(a, groups[i]->size), a, r);
	}
	conf_modules(c, a, &modules, r);
	for (i = 0; i < ARRAY_LEN(lists); i++)
		conf_instances(c, lists[i], NULL, a, &instances, r);
	if (hook != NULL)
		hook(c, a, r, arg);
	conf_check_unused(c, r);
	return c;
}

int conf_command_check(const char *file, const struct conf_group *const *groups, size_t n, bool strict,
    conf_instances_hook *hook, void *arg, FILE *out)
{
	struct arena *a AUTO_ARENA = arena_new_secret("check");
	struct conf_report *r = conf_report_new(a);
	struct conf *c AUTO_CONF = read_all(file, groups, n, hook, arg, a, r);
	size_t errors = conf_errors(r), warnings = conf_warnings(r);

	conf_report_print(r, out);
	if (errors != 0 || (strict && warnings != 0)) {
		fprintf(out, "%s: %zu error%s, %zu warning%s\n", conf_file(c), errors, errors == 1 ? "" : "s",
		    warnings, warnings == 1 ? "" : "s");
		return CONF_EXIT_CONFIG;
	}
	fprintf(out, "%s: good\n", conf_file(c));
	return 0;
}

int conf_command_dump(const char *file, const struct conf_group *const *groups, size_t n, bool changed,
    conf_instances_hook *hook, void *arg, FILE *out, FILE *errors)
{
	struct arena *a AUTO_ARENA = arena_new_secret("dump");
	struct conf_report *r = conf_report_new(a);
	struct conf *c AUTO_CONF = read_all(file, groups, n, hook, arg, a, r);

	conf_dump(c, groups, n, changed, out);
	if (conf_errors(r) == 0)
		return 0;
	conf_report_print(r, errors);
	return CONF_EXIT_CONFIG;
}

int conf_command_describe(const struct conf_group *const *groups, size_t n, const char *format, FILE *out)
{
	static const char *const names[] = {
	    [CONF_TEXT] = "text", [CONF_JSON] = "json", [CONF_MDOC] = "mdoc", [CONF_SAMPLE] = "sample"};
	struct buf b AUTO_BUF = BUF_INIT;
	size_t f, i;

	for (f = 0; f < ARRAY_LEN(names) && strcmp(names[f], format) != 0; f++)
		continue;
	if (f == ARRAY_LEN(names))
		return EXIT_USAGE;
	if (f == CONF_MDOC) {
		conf_manual(groups, n, &b);
	} else {
		buf_adds(&b, f == CONF_JSON ? "[" : "");
		for (i = 0; i < n; i++) {
			if (i != 0)
				buf_adds(&b, f == CONF_JSON ? "," : "\n");
			if (f == CONF_SAMPLE)
				buf_printf(&b, "# %s\n", groups[i]->summary);
			conf_describe(groups[i]->name, groups[i]->options, groups[i]->count,
			    sizeof(struct mortise_option), (enum conf_format)f, &b);
		}
		buf_adds(&b, f == CONF_JSON ? "]\n" : "");
	}
	fwrite(buf_cstr(&b), 1, b.n, out);
	return 0;
}
