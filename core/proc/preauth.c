#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "conf/log_options.h"
#include "log/log.h"
#include "proc/roles.h"
#include "proc/session.h"
#include "base/banned.h"

/*
 * imapd --preauth: what rimapd was. ssh or inetd has decided who this is; the session is that user's own
 * process from the start, so there is no master, no spawner and nothing to drop.
 */

static void prepare_process(void)
{
	sigset_t set;
	int null;

	/* Nothing of the caller's that a library might read (attack-147); the log goes to stderr. */
	(void)clearenv();
	(void)setenv("PATH", "/usr/bin:/bin", 1);
	(void)setenv("LANG", "C.UTF-8", 1);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* as elsewhere: a limit is like a full disk */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_SETMASK, &set, NULL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (null >= 0 && null < 3) /* never let a mailbox become descriptor 2 */
		null = dup(null);
	(void)umask(077);
}

static int load(struct session_settings *s, const char *config, struct arena *a)
{
	static const uint32_t kinds[] = {MORTISE_KIND_DRIVER};
	struct conf_report *r = conf_report_new(a);
	struct conf *conf = conf_load(config, r);
	struct module_options o;
	struct log_options l;

	conf_fill(conf, &log_conf_group, &l, a, r);
	conf_fill(conf, &module_conf_group, &o, a, r);
	log_options_apply(&l);
	if (l.level > LOG_LEVEL_WARN && l.debug.count == 0)
		log_set_level(LOG_LEVEL_WARN); /* stderr is the user's terminal */
	s->registry = registry_load(conf, &o, kinds, 1, true, r);
	(void)session_settings_fill(s, conf, a, r);
	conf_report_print(r, stderr);
	if (conf_errors(r) > 0)
		return 78;
	registry_prepare(s->registry, MORTISE_KIND_DRIVER);
	return 0;
}

int preauth_run(const char *config)
{
	AUTO_ARENA struct arena *a = arena_new("preauth");
	struct session_settings s = {0};
	const struct passwd *pw = getpwuid(getuid());
	struct session_request q = {.out = 1, .remote = "standard input", .id = "preauth", .preauth = true};
	int status;

	log_start("session");
	log_catch_crashes();
	if (getuid() == 0 || geteuid() != getuid()) {
		fputs("* BYE root has no mailbox here\r\n", stdout);
		return 64;
	}
	if (pw == NULL) {
		fputs("* BYE you have no account on this host\r\n", stdout);
		return 64;
	}
	prepare_process();
	q.user = arena_strdup(a, pw->pw_name);
	q.home = arena_strdup(a, pw->pw_dir);
	q.uid = getuid();
	q.gid = getgid();
	status = load(&s, config, a);
	if (status != 0)
		return status;
	_exit(session_run(&s, &q)); /* as in the spawner's children: sandboxed, there is nothing to tidy */
}
