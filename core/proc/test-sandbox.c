/*
 * A process under foreign control, behind each wall: every forbidden act is tried in a child that has put
 * itself into the sandbox (attack-141, attack-142).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/io.h"
#include "base/privilege.h"
#include "proc/sandbox.h"
#include "base/banned.h"

static char allowed_dir[] = "/var/tmp/mortise-sandbox-XXXXXX";
static char other_dir[] = "/dev/shm/mortise-sandbox-XXXXXX";
static bool landlock;

typedef int act_fn(void); /* 0: it could be done; errno otherwise */

static int answer(long r)
{
	return r >= 0 ? 0 : errno;
}

static int act_open(void)
{
	return answer(open("/etc/passwd", O_RDONLY));
}
static int act_create(void)
{
	return answer(open("/tmp/mortise-evil", O_WRONLY | O_CREAT, 0600));
}
static int act_socket(void)
{
	return answer(socket(AF_INET, SOCK_STREAM, 0));
}
static int act_unix_socket(void)
{
	return answer(socket(AF_UNIX, SOCK_STREAM, 0));
}
static int act_exec(void)
{
	char *argv[] = {(char *)(uintptr_t) "/bin/true", NULL};

	return answer(execve("/bin/true", argv, NULL));
}
static int act_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return answer(pid);
}
static int act_kill(void)
{
	return answer(kill(getppid(), 0));
}
static int act_ptrace(void)
{
	return answer(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
}
static int act_read_memory(void)
{
	char octet;
	struct iovec here = {&octet, 1}, there = {&octet, 1};

	return answer(process_vm_readv(getppid(), &here, 1, &there, 1, 0));
}
static int act_setuid(void)
{
	return answer(syscall(SYS_setuid, 0));
}
static int act_chroot(void)
{
	return answer(chroot("/"));
}
static int act_mount(void)
{
	return answer(syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL));
}
static int act_unshare(void)
{
	return answer(syscall(SYS_unshare, CLONE_NEWUSER));
}
static int act_bpf(void)
{
	return answer(syscall(SYS_bpf, 0, NULL, 0));
}
static int act_executable_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? errno : answer(mprotect(p, 4096, PROT_READ | PROT_EXEC));
}
static int act_typing(void)
{
	return answer(ioctl(0, 0x5412 /* TIOCSTI */, "x"));
}
static int act_open_allowed(void)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/file", allowed_dir);
	return answer(open(path, O_RDWR | O_CREAT, 0600));
}
static int act_open_other(void)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/file", other_dir);
	return answer(open(path, O_RDWR | O_CREAT, 0600));
}
static int act_read_etc(void)
{
	return answer(open("/etc/passwd", O_RDONLY));
}
static int act_link_out(void)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/link", allowed_dir);
	(void)symlink(other_dir, path);
	(void)snprintf(path, sizeof(path), "%s/link/file", allowed_dir);
	return answer(open(path, O_RDWR | O_CREAT, 0600));
}

static void enter_front(void)
{
	struct err e = ERR_INIT;

	if (sandbox_empty("nobody", "/proc/self/fdinfo", false, &e) != 0 || sandbox_front_calls(&e) != 0)
		_exit(251);
}

static void enter_session(void)
{
	const char *const directories[] = {allowed_dir};
	struct err e = ERR_INIT;
	uid_t uid = geteuid() != 0 ? geteuid() : 65534;
	gid_t gid = geteuid() != 0 ? getegid() : 65534;

	if (privilege_drop(uid, gid, NULL, 0, &e) != 0 || privilege_harden(&e) != 0 ||
	    sandbox_session_files(directories, 1, &e) != 0 || sandbox_session_calls(&e) != 0)
		_exit(251);
}

#define KILLED 1000

/* What came of it: 0 done, an errno, or KILLED + signal. */
static int try(void (*enter)(void), act_fn *act)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		enter();
		_exit(act());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return KILLED + WTERMSIG(status);
	assert_int_not_equal(WEXITSTATUS(status), 251);
	return WEXITSTATUS(status);
}

static void test_front(void **state)
{
	static const struct {
		const char *name;
		act_fn *act;
		int outcome;
	} acts[] = {{"open", act_open, EPERM}, {"create", act_create, EPERM}, {"socket", act_socket, EPERM},
	    {"unix socket", act_unix_socket, EPERM}, {"exec", act_exec, KILLED + SIGSYS},
	    {"fork", act_fork, EPERM}, {"kill", act_kill, EPERM}, {"ptrace", act_ptrace, KILLED + SIGSYS},
	    {"another's memory", act_read_memory, KILLED + SIGSYS}, {"setuid", act_setuid, EPERM},
	    {"chroot", act_chroot, EPERM}, {"mount", act_mount, EPERM}, {"unshare", act_unshare, EPERM},
	    {"bpf", act_bpf, EPERM}, {"executable memory", act_executable_memory, EPERM},
	    {"typing", act_typing, EPERM}};
	size_t i;

	(void)state;
	if (strcmp(MORTISE_FLAVOUR, "sanitizer") == 0)
		skip(); /* its runtime needs calls that are not on the list, so there is no list */
	for (i = 0; i < ARRAY_LEN(acts); i++) {
		int got = try(enter_front, acts[i].act);

		if (got != acts[i].outcome)
			fail_msg("%s: %d instead of %d", acts[i].name, got, acts[i].outcome);
	}
}

/* The way of a session that a spawner forked: half of the wall was there before it. */
static void enter_spawned(void)
{
	struct err e = ERR_INIT;

	if (sandbox_spawner(&e) != 0)
		_exit(251);
	enter_session();
}

static void test_session(void **state)
{
	static const struct {
		const char *name;
		act_fn *act;
		int outcome;
	} acts[] = {{"socket", act_socket, EPERM}, {"unix socket", act_unix_socket, EPERM},
	    {"exec", act_exec, KILLED + SIGSYS}, {"fork", act_fork, EPERM}, {"kill", act_kill, EPERM},
	    {"ptrace", act_ptrace, KILLED + SIGSYS}, {"another's memory", act_read_memory, KILLED + SIGSYS},
	    {"setuid", act_setuid, EPERM}, {"chroot", act_chroot, EPERM}, {"mount", act_mount, EPERM},
	    {"unshare", act_unshare, EPERM}, {"bpf", act_bpf, EPERM}, {"typing", act_typing, EPERM},
	    {"the user's directory", act_open_allowed, 0}, {"/etc", act_read_etc, 0}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(acts); i++) {
		int got = try(enter_session, acts[i].act), spawned = try(enter_spawned, acts[i].act);

		if (got != acts[i].outcome || spawned != acts[i].outcome)
			fail_msg(
			    "%s: %d, spawned %d, instead of %d", acts[i].name, got, spawned, acts[i].outcome);
	}
	if (!landlock)
		return;
	assert_int_equal(try(enter_session, act_open_other), EACCES);
	assert_int_equal(try(enter_session, act_create), EACCES);
	assert_int_equal(try(enter_session, act_link_out), EACCES);
}

static void test_privileges(void **state)
{
	struct err e = ERR_INIT;
	gid_t gid = getegid();

	(void)state;
	assert_int_equal(privilege_drop(0, 0, NULL, 0, &e), MORTISE_E_PERM);
	err_clear(&e);
	assert_int_equal(privilege_drop((uid_t)-1, gid, NULL, 0, &e), MORTISE_E_PERM);
	if (geteuid() == 0) {
		err_clear(&e);
		assert_int_equal(privilege_drop(65534, 0, NULL, 0, &e), MORTISE_E_PERM);
	} else {
		err_clear(&e);
		assert_int_equal(privilege_drop(geteuid() + 1, gid, NULL, 0, &e), MORTISE_E_PERM);
		err_clear(&e);
		assert_int_equal(privilege_drop(geteuid(), gid, NULL, 0, &e), 0);
	}
}

static void remove_all(const char *directory)
{
	static const char *const names[] = {"file", "link"};
	char path[256];
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", directory, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_privileges),
	    cmocka_unit_test(test_front),
	    cmocka_unit_test(test_session),
	};
	int result;

	landlock = syscall(444 /* landlock_create_ruleset */, NULL, 0, 1u) > 0;
	if (mkdtemp(allowed_dir) == NULL || mkdtemp(other_dir) == NULL) {
		puts("1..0 # SKIP no place for directories");
		return 0;
	}
	(void)chmod(allowed_dir, 0777);
	(void)chmod(other_dir, 0777);
	result = cmocka_run_group_tests(tests, NULL, NULL);
	remove_all(allowed_dir);
	remove_all(other_dir);
	return result;
}
