/* module_show.c: mortise-module describe and list. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "conf/mdoc.h"
#include "tools/module_tool.h"
#include "base/banned.h"

/* ---- describe ---- */

static void describe_text(const struct module_facts *f)
{
	printf("%s %s\n    %s\n", f->name, f->version, f->summary);
	printf("    %s, interface %u.%u, host interface %u.%u or later\n", f->kind, f->api_major,
	    f->api_minor, MORTISE_HOST_MAJOR, f->host_minor);
	printf("    %s, %s\n", f->licence, f->url);
	if (f->options[0] != '\0')
		printf("\n%s", f->options);
}

static void describe_json(const struct module_facts *f)
{
	const struct {
		const char *name, *text;
	} members[] = {{"name", f->name}, {"kind", f->kind}, {"version", f->version}, {"summary", f->summary},
	    {"licence", f->licence}, {"url", f->url}};
	AUTO_BUF struct buf b = BUF_INIT;

	buf_addc(&b, '{');
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		buf_printf(&b, "\"%s\": ", members[i].name);
		json_text(&b, members[i].text);
		buf_adds(&b, ", ");
	}
	buf_printf(&b, "\"api\": \"%u.%u\", \"host_api\": \"%u.%u\", \"options\": ", f->api_major,
	    f->api_minor, MORTISE_HOST_MAJOR, f->host_minor);
	buf_adds(&b, f->options[0] != '\0' ? f->options : "null\n");
	while (b.n > 0 && b.p[b.n - 1] == '\n')
		buf_truncate(&b, b.n - 1);
	printf("%s}\n", buf_cstr(&b));
}

static const char *list_of(const char *kind)
{
	return strcmp(kind, "driver") == 0 ? "drivers" : strcmp(kind, "password") == 0 ? "passwords" : "sasl";
}

/* A file for imapd.conf.d. */
static void describe_sample(const struct module_facts *f)
{
	const char *line = f->options;

	printf("# %s: %s\n%s = [ \"%s\" ];\n", f->name, f->summary, list_of(f->kind), f->name);
	if (f->options[0] == '\0')
		return;
	printf("\nmodule = {\n");
	while (*line != '\0') {
		size_t n = strcspn(line, "\n");

		printf("%s%.*s\n", n > 0 ? "\t" : "", (int)n, line);
		line += n + (line[n] == '\n');
	}
	printf("};\n");
}

int tool_describe(struct module_tool *t, const char *file)
{
	AUTO_BUF struct buf output = BUF_INIT;
	struct module_facts *facts;
	struct err e = ERR_INIT;
	size_t count;

	if (module_inspect(file, &t->options, t->format, t->arena, &facts, &count, &output, &e) != 0) {
		fprintf(stderr, "mortise-module: %s\n", e.admin);
		return 1;
	}
	if (t->format == CONF_JSON)
		printf("[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			printf(t->format == CONF_JSON ? ", " : "\n");
		switch (t->format) {
		case CONF_TEXT:
			describe_text(&facts[i]);
			break;
		case CONF_JSON:
			describe_json(&facts[i]);
			break;
		case CONF_MDOC:
			printf("%s", facts[i].options[0] != '\0' ? facts[i].options : "It has no options.\n");
			break;
		case CONF_SAMPLE:
			describe_sample(&facts[i]);
			break;
		}
	}
	if (t->format == CONF_JSON)
		printf("]\n");
	return 0;
}

/* ---- list ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool list_one(struct module_tool *t, const char *name, const char *where)
{
	struct module_facts *facts;
	struct err e = ERR_INIT;
	size_t count;

	if (module_inspect(name, &t->options, CONF_TEXT, t->arena, &facts, &count, NULL, &e) != 0) {
		printf("%-16s refused: %s\n", name, e.admin);
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		char api[32];

		snprintf(api, sizeof(api), "%u.%u", facts[i].api_major, facts[i].api_minor);
		printf(
		    "%-16s %-9s %-5s %-10s %s\n", facts[i].name, facts[i].kind, api, facts[i].version, where);
	}
	return true;
}

int tool_list(struct module_tool *t)
{
	VEC(char *) names = VEC_INIT;
	struct dirent *entry;
	const char *name;
	bool good = true;
	DIR *d = opendir(t->options.path);
	int number = errno;

	printf("%-16s %-9s %-5s %-10s %s\n", "NAME", "KIND", "API", "VERSION", "FILE");
	for (size_t i = 0; (name = module_builtin(t->arena, i)) != NULL; i++)
		good = list_one(t, name, "built in") && good;
	if (d == NULL && number != ENOENT) {
		fprintf(stderr, "mortise-module: %s: %s\n", t->options.path, strerror(number));
		return 1;
	}
	while (d != NULL && (entry = readdir(d)) != NULL) {
		struct str file = str_of(entry->d_name);

		if (str_ends(file, STR(".so")) && file.n > 3)
			*vec_push(&names) = arena_strndup(t->arena, file.p, file.n - 3);
	}
	if (d != NULL)
		closedir(d);
	if (names.n > 0)
		qsort(names.v, names.n, sizeof(names.v[0]), by_name);
	for (size_t i = 0; i < names.n; i++) {
		/* By its path: a built-in module of the same name does not hide it here. */
		const char *path = arena_printf(t->arena, "%s/%s.so", t->options.path, names.v[i]);

		good = list_one(t, path, path) && good;
	}
	vec_free(&names);
	return good ? 0 : 1;
}
