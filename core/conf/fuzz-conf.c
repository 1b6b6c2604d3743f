/*
 * fuzz-conf.c: hostile configuration text. What is read can be filled, sealed, read back and dumped; and the
 * scan never lets through what libconfig then refuses. An input that begins with "mortise-conf " goes to
 * conf_unseal as it is.
 */
#include <unistd.h>

#include "base/io.h"
#include "conf/conf_int.h"
#include "conf/log_options.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct conf_group *const groups[] = {&log_conf_group};

static void fill(struct conf *c, struct arena *a, struct conf_report *r)
{
	static const char *const lists[] = {"drivers", "passwords", "sasl"};
	struct log_options o;
	struct conf_module *modules;
	size_t i, k, n;

	conf_fill(c, &log_conf_group, &o, a, r);
	conf_modules(c, a, &modules, r);
	for (i = 0; i < ARRAY_LEN(lists); i++) {
		struct conf_instance *v;

		n = conf_instances(c, lists[i], NULL, a, &v, r);
		for (k = 0; k < n; k++)
			conf_fill_instance(c, &v[k], v[k].type, log_conf_group.options, log_conf_group.count,
			    sizeof(log_conf_group.options[0]), sizeof(o), &o, a, r);
	}
	conf_check_unused(c, r);
}

static void use(struct conf *c, struct arena *a, struct conf_report *r)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	fill(c, a, r);
	conf_dump(c, groups, 1, false, out);
	fflush(out);
	ASSERT(memchr(text, '\0', n) == NULL);
	rewind(out);
	conf_report_print(r, out);
	fclose(out);
	ASSERT(!conf_report_has(r, MSG_CONF_LIBRARY));
	mem_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_mem(data, size);
	struct arena *a AUTO_ARENA = arena_new("fuzz");
	struct conf_report *r = conf_report_new(a);
	struct err e = ERR_INIT;
	struct conf *c, *back;
	AUTO_CLOSE int fd = -1;

	if (str_starts(text, STR("mortise-conf "))) {
		fd = io_memfd("fuzz", data, size);
		c = conf_unseal(fd, &e);
		ASSERT((c == NULL) == (e.code != 0));
		if (c != NULL)
			use(c, a, r);
		conf_free(&c);
		return 0;
	}
	c = conf_parse(text, "fuzz.conf", r);
	fd = conf_seal(c, &e);
	ASSERT(fd >= 0);
	back = conf_unseal(fd, &e);
	ASSERT(back != NULL); /* whatever was read can travel */
	use(back, a, conf_report_new(a));
	use(c, a, r);
	conf_free(&back);
	conf_free(&c);
	return 0;
}
