#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/privilege.h"
#include "log/log.h"
#include "proc/master_int.h"
#include "proc/notify.h"
#include "proc/roles.h"
#include "proc/start.h"
#include "base/banned.h"

/* After the grace, roles get this long to see it through before they are killed. */
#define STOP_MARGIN_MS 3000u

static void reload(struct master *m);

static void after(struct event *timer, uint64_t ms)
{
	struct timeval t = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

	event_add(timer, &t);
}

static void start_generation(struct master *m, struct generation *g)
{
	children_ensure(m, g, ROLE_AUTH);
	children_ensure(m, g, ROLE_SPAWNER);
	children_ensure(m, g, ROLE_FRONT);
}

/* ---- reload ---- */

static void reload_done(struct master *m)
{
	notify_send("READY=1");
	if (m->reload_again) {
		m->reload_again = false;
		reload(m);
	}
}

/* All of the new generation is ready: it takes over and the old one drains. */
static void commit(struct master *m)
{
	struct generation *old = m->current;
	size_t i;

	m->current = m->next;
	m->next = NULL;
	log_options_apply(&m->current->log);
	for (i = 0; i < ARRAY_LEN(m->respawn); i++)
		m->respawn[i].given_up = false;
	old->ending = true;
	generation_close_listeners(m, old);
	children_tell(m, old, CONTROL_DRAIN, 0);
	log_msg(MSG_RELOADED, "configuration %s is in force (generation %u)", conf_file(m->current->conf),
	    m->current->number);
	children_tell(m, NULL, CONTROL_DRAIN, 0); /* the log role: a new one with the new settings */
	children_start_log(m);
	if (!generation_alive(m, old))
		generation_free(m, &old);
	reload_done(m);
}

/* The new generation does not come up: the old one stays. */
static void abandon(struct master *m, const char *why)
{
	struct generation *g = m->next;

	log_msg(MSG_RELOAD_REFUSED, "the new configuration is not used: %s; the old one stays in force", why);
	m->next = NULL;
	if (g != NULL) {
		g->ending = true;
		children_tell(m, g, CONTROL_STOP, 0);
		children_signal(m, g, SIGKILL);
		if (!generation_alive(m, g))
			generation_free(m, &g);
	}
	reload_done(m);
}

static void begin_generation(struct master *m)
{
	AUTO_ARENA struct arena *a = arena_new("report");
	struct conf_report *r = conf_report_new(a);

	m->next = generation_load(m, r);
	conf_report_log(r);
	if (m->next == NULL) {
		abandon(m, "it has errors");
		return;
	}
	start_generation(m, m->next);
}

void master_checker_gone(struct master *m, int status)
{
	m->checker = 0;
	if (m->stopping)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		begin_generation(m);
	else
		abandon(m, "it has errors, which are listed above");
}

/* `imapd --check-config` in a process of its own; its report goes to the log. */
static _Noreturn void run_checker(struct master *m)
{
	const char *const argv[] = {
	    "imapd: check", "--check-config", m->config != NULL ? "--config" : NULL, m->config, NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), text = m->text_pipe[1];

	(void)dup2(null, 0);
	(void)dup2(text, 1);
	(void)dup2(text, 2);
	execve("/proc/self/exe", (char *const *)(uintptr_t)argv, m->current->environment);
	_exit(71);
}

static void reload(struct master *m)
{
	if (m->stopping)
		return;
	if (m->checker != 0 || m->next != NULL) {
		m->reload_again = true;
		return;
	}
	log_msg(MSG_RELOADING, "reading the configuration again");
	notify_reloading();
	m->checker = fork();
	if (m->checker == 0)
		run_checker(m);
	if (m->checker < 0) {
		m->checker = 0;
		abandon(m, "no process to check it");
	}
}

/* ---- stop ---- */

static void stop_log(struct master *m)
{
	if (m->log_stopped)
		return;
	m->log_stopped = true;
	log_msg(MSG_STOPPED, "stopped");
	children_tell(m, NULL, CONTROL_STOP, 0);
	after(m->deadline, 2000);
}

static void maybe_stopped(struct master *m)
{
	const struct child *c;

	if (!m->stopping)
		return;
	TAILQ_FOREACH (c, &m->children, entry)
		if (c->role != ROLE_LOG)
			return;
	if (table_count(m->table) > 0 && !m->killed) {
		/* Sessions without a spawner: their deadline is ours. */
		table_signal(m->table, SIGTERM);
		return;
	}
	if (!TAILQ_EMPTY(&m->children))
		stop_log(m);
	else
		event_base_loopbreak(m->base);
}

static void kill_rest(struct master *m)
{
	struct child *c;

	m->killed = true;
	table_signal(m->table, SIGKILL);
	TAILQ_FOREACH (c, &m->children, entry)
		if (c->role != ROLE_LOG || m->log_stopped)
			(void)kill(c->pid, SIGKILL);
}

static void stop(struct master *m)
{
	if (m->stopping) {
		kill_rest(m);
		return;
	}
	m->stopping = true;
	notify_send("STOPPING=1");
	log_msg(MSG_STOPPING, "stopping; sessions have %llu ms to end",
	    (unsigned long long)m->current->process.grace);
	children_stop(m, m->current->process.grace);
	after(m->deadline, m->current->process.grace + STOP_MARGIN_MS);
	maybe_stopped(m);
}

static void on_deadline(evutil_socket_t fd UNUSED, short what UNUSED, void *arg)
{
	struct master *m = arg;

	if (m->killed)
		event_base_loopbreak(m->base);
	kill_rest(m);
	after(m->deadline, STOP_MARGIN_MS);
	maybe_stopped(m);
}

/* ---- what happens to children ---- */

void master_child_ready(struct master *m, struct child *c)
{
	if (c->generation == NULL)
		return;
	if (m->next != NULL && c->generation == m->next && children_ready(m, m->next))
		commit(m);
	else if (!m->ready && children_ready(m, m->current)) {
		m->ready = true;
		log_msg(
		    MSG_READY, "ready: %u fronts, %zu sockets", m->current->fronts, m->current->listeners.n);
		notify_send("READY=1");
	}
}

void master_child_gone(struct master *m, struct child *c, int status)
{
	struct generation *g = c->generation;

	if (m->stopping) {
		maybe_stopped(m);
		return;
	}
	if (g != NULL && g == m->next) {
		abandon(m, "a process of it did not come up");
		return;
	}
	if (g != NULL && g->ending && !generation_alive(m, g)) {
		generation_free(m, &g);
		return;
	}
	/* A configuration that cannot work, found at the start by the role that needs it. */
	if (!m->ready && c->state == CHILD_STARTING && WIFEXITED(status) && WEXITSTATUS(status) == 78) {
		m->status = 78;
		stop(m);
	}
}

/* ---- start ---- */

static void on_signal(evutil_socket_t number, short what UNUSED, void *arg)
{
	struct master *m = arg;

	switch ((int)number) {
	case SIGCHLD:
		children_reap(m);
		maybe_stopped(m);
		break;
	case SIGHUP:
		reload(m);
		break;
	default:
		stop(m);
		break;
	}
}

static void catch_signals(struct master *m)
{
	static const int numbers[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT};
	size_t i;

	(void)signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < ARRAY_LEN(numbers); i++) {
		m->signals[i] = evsignal_new(m->base, numbers[i], on_signal, m);
		event_add(m->signals[i], NULL);
	}
	m->deadline = event_new(m->base, -1, 0, on_deadline, m);
}

static int inherit_sockets(struct master *m, struct err *e)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint32_t p, n;

	if (pid == NULL || count == NULL || !str_u32(str_of(pid), &p) || p != (uint32_t)getpid() ||
	    !str_u32(str_of(count), &n) || n == 0)
		return 0;
	if (n > 64)
		return err_fault(e, MORTISE_E_LIMIT, "socket activation with %u sockets, at most 64", n);
	return listen_inherit(&m->inherited, n, getenv("LISTEN_FDNAMES"), e);
}

/* The sockets and memory that outlive every role. */
static int make_common(struct master *m, struct err *e)
{
	int size = 1024 * 1024, on = 1;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, m->log_pair) != 0)
		return err_errno(e, "socket pair for the log");
	(void)setsockopt(m->log_pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)setsockopt(m->log_pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	if (pipe2(m->text_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return err_errno(e, "pipe");
	m->table = table_new(&m->table_fd, e);
	if (m->table == NULL)
		return e->code;
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		return err_errno(e, "PR_SET_CHILD_SUBREAPER");
	return 0;
}

static void write_pid_file(const char *path)
{
	AUTO_CLOSE int fd = -1;
	char text[24];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (path == NULL || *path == '\0')
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0 || io_write(fd, text, (size_t)n) != 0)
		log_msg(MSG_START_FAILED, "%s: %s", path, strerror(errno));
}

/* Only our PATH stays: nothing a library of the master reads later comes from outside (attack-147). */
static void scrub(struct master *m, char **environment)
{
	size_t n = 0, i;

	while (environment[n] != NULL)
		n++;
	m->original_environment = mem_array(n + 1, sizeof(char *));
	for (i = 0; i < n; i++)
		m->original_environment[i] = mem_strdup(environment[i]);
	(void)clearenv();
	(void)setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
}

/* The fronts' root: an empty directory that only root may change. */
static int make_run_dir(const char *run_dir, struct err *e)
{
	AUTO_BUF struct buf empty = BUF_INIT;

	if (geteuid() != 0)
		return 0;
	buf_printf(&empty, "%s/empty", run_dir);
	(void)umask(022);
	if ((mkdir(run_dir, 0755) != 0 && errno != EEXIST) ||
	    (mkdir(buf_cstr(&empty), 0755) != 0 && errno != EEXIST))
		err_errno(e, "%s", buf_cstr(&empty));
	(void)umask(077);
	return e->code != 0 ? e->code : path_trusted(buf_cstr(&empty), 0, e);
}

static int first_generation(struct master *m)
{
	AUTO_ARENA struct arena *a = arena_new("report");
	struct conf_report *r = conf_report_new(a);

	m->current = generation_load(m, r);
	conf_report_print(r, stderr);
	if (m->current != NULL)
		log_options_apply(&m->current->log);
	return m->current != NULL ? 0 : 78;
}

static int serve(struct master *m)
{
	struct err e = ERR_INIT;
	uid_t uid;
	gid_t gid;

	log_msg(MSG_STARTED, "Mortise %s starts as %s, configuration %s", PACKAGE_VERSION,
	    geteuid() == 0 ? "root" : "an ordinary user", conf_file(m->current->conf));
	write_pid_file(m->current->process.pid_file);
	children_init(m);
	catch_signals(m);
	children_start_log(m);
	log_use_socket(m->log_pair[1]);
	if (geteuid() == 0 && privilege_account(m->current->process.user, false, &uid, &gid, &e) != 0)
		log_msg(MSG_NO_ACCOUNT, "there is no account \"%s\" (process.user); using nobody",
		    m->current->process.user);
	start_generation(m, m->current);
	event_base_dispatch(m->base);
	if (m->current->process.pid_file != NULL && *m->current->process.pid_file != '\0')
		(void)unlink(m->current->process.pid_file);
	generation_free(m, &m->current);
	return m->status;
}

int master_run(const char *config, char **environment)
{
	static struct master m;
	char real[PATH_MAX];
	struct err e = ERR_INIT;

	log_start("master");
	log_catch_crashes();
	(void)umask(077);
	if (config != NULL && realpath(config, real) != NULL)
		config = real;
	m.config = config;
	notify_start();
	m.base = event_base_new();
	if (m.base == NULL || inherit_sockets(&m, &e) != 0 || make_common(&m, &e) != 0) {
		log_err(MSG_START_FAILED, &e, "master");
		return 71;
	}
	scrub(&m, environment);
	if (first_generation(&m) != 0)
		return 78;
	(void)chdir("/");
	if (make_run_dir(m.current->process.run_dir, &e) != 0 || privilege_conceal(&e) != 0) {
		log_err(MSG_START_FAILED, &e, "process.run_dir");
		return 71;
	}
	return serve(&m);
}
