/*
 * test-modules.h: what the tests of the backends share: a registry made of built modules and a scratch
 * folder.
 */
#ifndef MORTISE_AUTHN_TEST_MODULES_H
#define MORTISE_AUTHN_TEST_MODULES_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/auth.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"

struct setting {
	struct arena *arena;
	struct conf *conf;
	struct registry *registry;
	struct auth_options options;
	struct auth_chain *chain;
	struct conf_report *report;
};

static inline const char *build_dir(void)
{
	const char *dir = getenv("top_builddir");

	return dir != NULL ? dir : ".";
}

/* `lists`: passwords and sasl, with "@" where the build folder is to stand; `auth`: the group auth. */
static inline void setting_open(struct setting *s, const char *lists, const char *auth, bool unprivileged)
{
	static const uint32_t kinds[] = {MORTISE_KIND_PASSWORD, MORTISE_KIND_SASL};
	struct module_options modules;
	struct buf text = BUF_INIT;

	*s = (struct setting){.arena = arena_new("test")};
	s->report = conf_report_new(s->arena);
	for (; *lists != '\0'; lists++)
		if (*lists == '@')
			buf_adds(&text, build_dir());
		else
			buf_addc(&text, *lists);
	buf_printf(&text, "\nmodule_loader = { check_owner = false; };\nauth = { %s };\n", auth);
	s->conf = conf_parse(buf_str(&text), "test.conf", s->report);
	conf_fill(s->conf, &auth_conf_group, &s->options, s->arena, s->report);
	conf_fill(s->conf, &module_conf_group, &modules, s->arena, s->report);
	s->registry = registry_load(s->conf, &modules, kinds, 2, false, s->report);
	if (conf_errors(s->report) > 0)
		conf_report_print(s->report, stderr);
	assert_int_equal(conf_errors(s->report), 0);
	registry_prepare(s->registry, MORTISE_KIND_PASSWORD);
	registry_prepare(s->registry, MORTISE_KIND_SASL);
	registry_start(s->registry, MORTISE_KIND_PASSWORD);
	registry_start(s->registry, MORTISE_KIND_SASL);
	s->chain = auth_chain_new(s->registry, &s->options, unprivileged);
	buf_free(&text);
}

static inline void setting_close(struct setting *s)
{
	registry_stop(s->registry, MORTISE_KIND_SASL);
	registry_stop(s->registry, MORTISE_KIND_PASSWORD);
	auth_chain_free(&s->chain);
	registry_free(&s->registry);
	conf_free(&s->conf);
	arena_free(&s->arena);
}

static inline const struct auth_facts *test_facts(void)
{
	static const struct auth_facts facts = {
	    .service = "imap", .remote = "192.0.2.1", .local = "192.0.2.2", .host = "mail.test", .tls = true};

	return &facts;
}

/* MORTISE_AUTH_…; the reason is kept in *why when that is not NULL. */
static inline int try_password_with(struct setting *s, const struct auth_facts *f, const char *user,
    const char *password, struct auth_identity *out, struct buf *why)
{
	struct auth_identity identity;
	struct buf reason = BUF_INIT;
	int r = auth_verify(s->chain, f, user, password, strlen(password), clock_ms() + 10000, s->arena,
	    out != NULL ? out : &identity, &reason);

	if (getenv("TEST_VERBOSE") != NULL)
		fprintf(stderr, "# %s: %s\n", user, buf_cstr(&reason));
	if (why != NULL) {
		buf_reset(why);
		buf_addstr(why, buf_str(&reason));
	}
	buf_free(&reason);
	return r;
}

static inline int try_password(
    struct setting *s, const char *user, const char *password, struct auth_identity *out, struct buf *why)
{
	return try_password_with(s, test_facts(), user, password, out, why);
}

/* A file with exactly these octets and this mode. */
static inline void write_with_mode(const char *path, const char *text, size_t n, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(io_write(fd, text, n), 0);
	close(fd);
}

/* The path of a library that this process has loaded, by a part of its name; "" when it has not. */
static inline const char *loaded_library(const char *part)
{
	static char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");
	const char *found = "";

	while (maps != NULL && found[0] == '\0' && fgets(line, sizeof(line), maps) != NULL)
		if (strstr(line, part) != NULL && strchr(line, '/') != NULL) {
			line[strcspn(line, "\n")] = '\0';
			found = strchr(line, '/');
		}
	if (maps != NULL)
		fclose(maps);
	return found;
}

/* Before the program runs itself once more: a library that wants to come first. A sanitizer wants it more. */
static inline void preload_library(const char *name)
{
	char text[640];

	snprintf(text, sizeof(text), "%s %s", loaded_library("libasan"), name);
	setenv("LD_PRELOAD", text, 1);
}

#endif
