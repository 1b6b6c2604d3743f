#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/privilege.h"
#include "log/log.h"
#include "proc/start.h"
#include "base/banned.h"

static const struct {
	enum role role;
	const char *name, *argument, *title;
} roles[] = {
    {ROLE_MASTER, "master", NULL, NULL},
    {ROLE_LOG, "log", "--role=log", "imapd: log"},
    {ROLE_AUTH, "auth", "--role=auth", "imapd: auth"},
    {ROLE_SPAWNER, "spawner", "--role=spawner", "imapd: spawner"},
    {ROLE_FRONT, "front", "--role=front", "imapd: front"},
    {ROLE_SESSION, "session", NULL, NULL},
};

const char *role_name(enum role r)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(roles); i++)
		if (roles[i].role == r)
			return roles[i].name;
	return "unknown";
}

enum role role_of_name(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(roles); i++)
		if (roles[i].argument != NULL && strcmp(roles[i].name, name) == 0)
			return roles[i].role;
	return (enum role)0;
}

/* Moves a descriptor out of the way of the fixed numbers; the child ends when it cannot. */
static int aside(int fd)
{
	int up = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 20) : -1;

	if (fd >= 0 && up < 0)
		_exit(71);
	return up;
}

static void place(int from, int to)
{
	if (from >= 0 && dup2(from, to) < 0)
		_exit(71);
}

static void close_from(unsigned first)
{
	if (syscall(SYS_close_range, first, ~0u, 0) == 0)
		return;
	for (long fd = (long)first, end = sysconf(_SC_OPEN_MAX); fd < end && fd < 65536; fd++)
		close((int)fd);
}

static void reset_signals(void)
{
	sigset_t none;
	int i;

	for (i = 1; i < NSIG; i++)
		(void)signal(i, i == SIGPIPE || i == SIGXFSZ ? SIG_IGN : SIG_DFL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become(const struct start *s)
{
	int null = aside(open("/dev/null", O_RDWR | O_CLOEXEC)), control = aside(s->control);
	int log = aside(s->log), conf = aside(s->conf), text = aside(s->text), err = aside(s->stderr_fd);
	char *argv[3] = {NULL, NULL, NULL};
	size_t i;

	place(null, 0);
	place(null, 1);
	place(err, 2);
	place(control, ROLE_FD_CONTROL);
	place(log, ROLE_FD_LOG);
	place(conf, ROLE_FD_CONF);
	place(text, ROLE_FD_TEXT);
	close_from(text >= 0 ? ROLE_FD_TEXT + 1 : ROLE_FD_CONF + 1);
	reset_signals();
	if (s->files != 0) {
		struct rlimit files = {s->files, s->files};

		if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
			files.rlim_cur = files.rlim_max;
			(void)setrlimit(RLIMIT_NOFILE, &files);
		}
	}
	(void)setsid();
	(void)umask(077);
	(void)chdir("/");
	for (i = 0; i < ARRAY_LEN(roles); i++)
		if (roles[i].role == s->role) {
			argv[0] = (char *)(uintptr_t)roles[i].title;
			argv[1] = (char *)(uintptr_t)roles[i].argument;
		}
	execve("/proc/self/exe", argv, s->environment);
	_exit(71);
}

pid_t role_start(const struct start *s, struct err *e)
{
	pid_t pid = fork();

	if (pid < 0)
		err_errno(e, "fork");
	if (pid == 0)
		become(s);
	return pid;
}

int role_enter(enum role r, struct err *e)
{
	int type = 0;
	socklen_t n = sizeof(type);

	if (getsockopt(ROLE_FD_CONTROL, SOL_SOCKET, SO_TYPE, &type, &n) != 0 || type != SOCK_SEQPACKET)
		return err_fault(e, MORTISE_E_INVALID, "--role is for the master's use only");
	(void)io_cloexec(ROLE_FD_CONTROL, 1);
	(void)io_cloexec(ROLE_FD_LOG, 1);
	(void)io_cloexec(ROLE_FD_CONF, 1);
	(void)prctl(PR_SET_NAME, role_name(r), 0, 0, 0);
	log_start(role_name(r));
	if (r != ROLE_LOG)
		log_use_socket(ROLE_FD_LOG);
	log_catch_crashes();
	return privilege_conceal(e);
}

static char *title_room;
static size_t title_size;

void role_title_room(int argc, char **argv)
{
	title_room = argv[0];
	title_size = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]);
}

void role_set_title(const char *title)
{
	if (title_room == NULL)
		return;
	memset(title_room, 0, title_size);
	(void)snprintf(title_room, title_size, "%s", title);
}
