/*
 * imapd: arguments → role. Everything else is in the rooms.
 */
#include <getopt.h>
#include <ltdl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "config.h"

#include "auth/role.h"
#include "conf/commands.h"
#include "conf/log_options.h"
#include "log/log.h"
#include "module/module.h"
#include "proc/roles.h"
#include <mortise/driver.h>
#include <mortise/password.h>
#include <mortise/sasl.h>
#include "proc/start.h"
#include "base/banned.h"

extern char **environ;

#ifdef HAVE_SANITIZERS
/* Roles cannot be traced, so the leak checker cannot work in them; the unit tests run it. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
	return "print_stacktrace=1";
}
#endif

enum action {
	ACTION_SERVE,
	ACTION_CHECK,
	ACTION_DUMP,
	ACTION_DESCRIBE,
	ACTION_PREAUTH,
	ACTION_ABI,
	ACTION_MESSAGES
};

struct arguments {
	enum action action;
	const char *config, *role;
	bool strict, changed;
	const char *format;
};

static const char usage_text[] = "usage: imapd [--config FILE] [--foreground]\n"
                                 "       imapd [--config FILE] --check-config [--strict]\n"
                                 "       imapd [--config FILE] --dump-config[=all|changed]\n"
                                 "       imapd --describe-config[=text|json|mdoc|sample]\n"
                                 "       imapd [--config FILE] --preauth\n"
                                 "       imapd --describe-messages\n"
                                 "       imapd --version | --print-abi | --help\n";

static _Noreturn void usage(int status)
{
	fputs(usage_text, status == 0 ? stdout : stderr);
	exit(status);
}

static _Noreturn void version(void)
{
	printf("Mortise imapd %s\n", PACKAGE_VERSION);
	exit(0);
}

static int print_abi(void)
{
	printf("host %u.%u\ndriver %u.%u\npassword %u.%u\nsasl %u.%u\n", MORTISE_HOST_MAJOR,
	    MORTISE_HOST_MINOR, MORTISE_DRIVER_MAJOR, MORTISE_DRIVER_MINOR, MORTISE_PASSWORD_MAJOR,
	    MORTISE_PASSWORD_MINOR, MORTISE_SASL_MAJOR, MORTISE_SASL_MINOR);
	printf("pointer %zu\ntime_t %zu\noff_t %zu\nflavour %s\nvendor %s\nmodules %s\n", sizeof(void *),
	    sizeof(time_t), sizeof(off_t), MORTISE_FLAVOUR, MORTISE_VENDOR, MORTISE_MODULEDIR);
	printf("provides mortise-driver-abi-%u mortise-authn-abi-%u\n", MORTISE_DRIVER_MAJOR,
	    MORTISE_PASSWORD_MAJOR);
	return 0;
}

static void parse_dump(struct arguments *a, const char *what)
{
	a->action = ACTION_DUMP;
	a->changed = what != NULL && strcmp(what, "changed") == 0;
	if (what != NULL && !a->changed && strcmp(what, "all") != 0)
		usage(64);
}

static void parse_arguments(struct arguments *a, int argc, char **argv)
{
	enum {
		CONFIG = 256,
		CHECK,
		STRICT,
		DUMP,
		DESCRIBE,
		PREAUTH,
		FOREGROUND,
		SHOW_VERSION,
		ABI,
		MESSAGES,
		ROLE,
		HELP
	};
	static const struct option options[] = {{"config", required_argument, NULL, CONFIG},
	    {"check-config", no_argument, NULL, CHECK}, {"strict", no_argument, NULL, STRICT},
	    {"dump-config", optional_argument, NULL, DUMP},
	    {"describe-config", optional_argument, NULL, DESCRIBE}, {"preauth", no_argument, NULL, PREAUTH},
	    {"foreground", no_argument, NULL, FOREGROUND}, {"version", no_argument, NULL, SHOW_VERSION},
	    {"print-abi", no_argument, NULL, ABI}, {"describe-messages", no_argument, NULL, MESSAGES},
	    {"role", required_argument, NULL, ROLE}, {"help", no_argument, NULL, HELP}, {NULL, 0, NULL, 0}};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case CONFIG:
			a->config = optarg;
			break;
		case CHECK:
			a->action = ACTION_CHECK;
			break;
		case STRICT:
			a->strict = true;
			break;
		case DUMP:
			parse_dump(a, optarg);
			break;
		case DESCRIBE:
			a->action = ACTION_DESCRIBE;
			a->format = optarg != NULL ? optarg : "text";
			break;
		case PREAUTH:
			a->action = ACTION_PREAUTH;
			break;
		case FOREGROUND: /* there is no other way */
			break;
		case SHOW_VERSION:
			version();
		case ABI:
			a->action = ACTION_ABI;
			break;
		case MESSAGES:
			a->action = ACTION_MESSAGES;
			break;
		case ROLE:
			a->role = optarg;
			break;
		case HELP:
			usage(0);
		default:
			usage(64);
		}
	}
	if (optind != argc)
		usage(64);
}

/* A process of the server: re-executed by the master, with the configuration in a memory file. */
static int run_role(const char *name)
{
	AUTO_ARENA struct arena *a = arena_new("role");
	enum role role = role_of_name(name);
	bool unprivileged = geteuid() != 0;
	struct log_options log;
	struct err e = ERR_INIT;
	struct conf *conf;
	int status;

	if (role == 0 || role_enter(role, &e) != 0) {
		fprintf(stderr, "imapd: %s\n", role == 0 ? "no such role" : e.admin);
		return 64;
	}
	conf = conf_unseal(ROLE_FD_CONF, &e);
	if (conf == NULL) {
		log_err(MSG_START_FAILED, &e, name);
		return 71;
	}
	(void)close(ROLE_FD_CONF);
	conf_fill(conf, &log_conf_group, &log, a, conf_report_new(a));
	log_options_apply(&log);
	switch (role) {
	case ROLE_LOG:
		status = log_run(conf, unprivileged);
		break;
	case ROLE_AUTH:
		status = auth_role(conf, ROLE_FD_CONTROL, unprivileged);
		break;
	case ROLE_SPAWNER:
		status = spawner_run(conf, unprivileged);
		break;
	default:
		status = front_run(conf, unprivileged);
		break;
	}
	conf_free(&conf);
	return status;
}

int main(int argc, char **argv)
{
	struct arguments a = {0};

	LTDL_SET_PRELOADED_SYMBOLS();
	module_set_builtin(lt_preloaded_symbols);
	role_title_room(argc, argv);
	parse_arguments(&a, argc, argv);
	if (a.role != NULL)
		return run_role(a.role);
	switch (a.action) {
	case ACTION_CHECK:
		return check_run(a.config, a.strict, stderr);
	case ACTION_DUMP:
		return dump_run(a.config, a.changed, stdout);
	case ACTION_DESCRIBE:
		return describe_run(a.format, stdout);
	case ACTION_PREAUTH:
		return preauth_run(a.config);
	case ACTION_ABI:
		return print_abi();
	case ACTION_MESSAGES:
		conf_messages_manual(stdout);
		return 0;
	case ACTION_SERVE:
		break;
	}
	return master_run(a.config, environ);
}
