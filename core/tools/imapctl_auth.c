#include "tools/imapctl_auth.h"

#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/role.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/banned.h"

struct tester {
	struct auth_options options;
	struct registry *registry;
	struct auth_chain *chain;
	struct arena *arena;
};

/* The first line of standard input; from a terminal, without showing it. False: there is none. */
static bool read_password(char *out, size_t size)
{
	struct termios shown, hidden;
	bool terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
	bool good;

	if (terminal) {
		hidden = shown;
		hidden.c_lflag &= ~(tcflag_t)ECHO;
		fputs("Password: ", stderr);
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
	}
	good = fgets(out, (int)size, stdin) != NULL;
	if (terminal) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
		fputc('\n', stderr);
	}
	if (good)
		out[strcspn(out, "\n")] = '\0';
	return good;
}

static void print_verdict(void *arg, const char *backend, int result, const char *why)
{
	(void)arg;
	printf("%-12s %-10s %s\n", backend, auth_result_name(result), why);
}

static void print_identity(const struct auth_identity *i)
{
	size_t n;

	printf("  user     %s\n  uid      %u\n  gid      %u", i->user, (unsigned)i->uid, (unsigned)i->gid);
	for (n = 0; n < i->group_count; n++)
		printf("%s%u", n == 0 ? "\n  groups   " : " ", (unsigned)i->groups[n]);
	printf("\n  home     %s\n", i->home);
	for (n = 0; n < i->option_count; n++)
		printf("  option   %s\n", i->options[n]);
}

static int ask(struct tester *x, const struct auth_test *t, const char *password)
{
	struct auth_facts facts = {.service = t->service != NULL ? t->service : "imap",
	    .remote = "",
	    .local = "",
	    .host = "localhost",
	    .tls = true};
	uint64_t timeout = x->options.attempt_timeout;
	size_t n = password != NULL ? strlen(password) : 0;
	struct auth_identity identity;
	struct buf why = BUF_INIT;
	int r;

	auth_verdicts(x->chain, &facts, t->user, password, n, timeout, x->arena, print_verdict, NULL);
	r = password != NULL
	        ? auth_verify(
	              x->chain, &facts, t->user, password, n, clock_ms() + timeout, x->arena, &identity, &why)
	        : auth_lookup(x->chain, t->user, clock_ms() + timeout, x->arena, &identity, &why);
	printf("%-12s %-10s %s\n", "together", auth_result_name(r), buf_cstr(&why));
	if (r == MORTISE_AUTH_OK)
		print_identity(&identity);
	buf_free(&why);
	return r == MORTISE_AUTH_OK ? 0 : AUTH_TEST_NO;
}

static int prepare(struct tester *x, const char *config, bool unprivileged)
{
	struct conf_report *report = conf_report_new(x->arena);
	struct conf *conf = conf_load(config, report);

	x->registry =
	    conf_errors(report) == 0 ? auth_prepare(conf, unprivileged, x->arena, report, &x->options) : NULL;
	conf_report_print(report, stderr);
	conf_free(&conf);
	return x->registry != NULL ? 0 : AUTH_TEST_CONFIG;
}

int auth_test(const struct auth_test *t)
{
	struct tester x = {.arena = arena_new_secret("imapctl auth")};
	char password[AUTH_PASSWORD_MAX + 2];
	bool unprivileged = geteuid() != 0;
	int status = prepare(&x, t->config, unprivileged);

	if (status == 0 && !t->lookup && !read_password(password, sizeof(password))) {
		fputs("imapctl: no password on standard input\n", stderr);
		status = AUTH_TEST_NO;
	} else if (status == 0) {
		registry_start(x.registry, MORTISE_KIND_PASSWORD);
		x.chain = auth_chain_new(x.registry, &x.options, unprivileged);
		status = ask(&x, t, t->lookup ? NULL : password);
		registry_stop(x.registry, MORTISE_KIND_PASSWORD);
	}
	mem_wipe(password, sizeof(password));
	auth_chain_free(&x.chain);
	if (x.registry != NULL)
		registry_free(&x.registry);
	arena_free(&x.arena);
	return status;
}
