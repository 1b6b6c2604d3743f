#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#ifdef HAVE_LINUX_LANDLOCK_H
#include <linux/landlock.h>
#endif

#include "base/io.h"
#include "base/mem.h"
#include "base/privilege.h"
#include "log/log.h"
#include "proc/sandbox.h"
#include "base/banned.h"

#ifdef HAVE_SANITIZERS
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* ---- Landlock ---- */

#ifdef HAVE_LINUX_LANDLOCK_H

/* Rights by the ABI that brought them; the headers may be older than the kernel. */
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_ALL_1 ((1ull << 13) - 1)
#define FS_REFER (1ull << 13)    /* ABI 2 */
#define FS_TRUNCATE (1ull << 14) /* ABI 3 */
#define NET_ALL 3ull             /* ABI 4: TCP bind and connect */
#define FS_ON_FILES ((1ull << 0) | (1ull << 1) | FS_READ_FILE | FS_TRUNCATE)

struct ruleset {
	uint64_t fs, net;
};

static long landlock_abi(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static uint64_t known_rights(long abi)
{
	return FS_ALL_1 | (abi >= 2 ? FS_REFER : 0) | (abi >= 3 ? FS_TRUNCATE : 0);
}

static int make_ruleset(long abi)
{
	struct ruleset attributes = {.fs = known_rights(abi), .net = abi >= 4 ? NET_ALL : 0};
	int fd = (int)syscall(
	    SYS_landlock_create_ruleset, &attributes, abi >= 4 ? sizeof(attributes) : sizeof(uint64_t), 0);

	if (fd >= 0)
		(void)io_cloexec(fd, 1);
	return fd;
}

static int allow_path(int ruleset, const char *path, uint64_t rights, struct err *e)
{
	AUTO_CLOSE int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return 0;
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_ON_FILES;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
		return err_errno(e, "Landlock rule for %s", path);
	return 0;
}

static int enforce(int ruleset, struct err *e)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		return err_errno(e, "Landlock");
	return 0;
}

/* 1 when there is no Landlock to use. */
static int begin_ruleset(long *abi, int *fd, struct err *e)
{
	*abi = landlock_abi();
	if (*abi < 1)
		return 1;
	*fd = make_ruleset(*abi);
	if (*fd < 0)
		return err_errno(e, "Landlock");
	return 0;
}

#else

static int begin_ruleset(long *abi, int *fd, struct err *e UNUSED)
{
	*abi = 0;
	*fd = -1;
	return 1;
}
static int enforce(int ruleset UNUSED, struct err *e UNUSED)
{
	return 0;
}
static int allow_path(
    int ruleset UNUSED, const char *path UNUSED, uint64_t rights UNUSED, struct err *e UNUSED)
{
	return 0;
}
static uint64_t known_rights(long abi UNUSED)
{
	return 0;
}
#define FS_READ_FILE 0
#define FS_READ_DIR 0

#endif

/* What libraries of a session read: time zones, iconv tables, account names, locale; and the index, the
 * boot's id. */
static const char *const readable[] = {"/etc", "/usr/lib", "/usr/lib32", "/usr/lib64", "/lib", "/lib64",
    "/usr/share", "/usr/local/lib", "/usr/local/share", "/dev/null", "/dev/urandom", "/proc/self",
    "/proc/sys/kernel/random", "/run/nscd"};

int sandbox_session_files(const char *const *writable, size_t writable_count, struct err *e)
{
	AUTO_CLOSE int fd = -1;
	long abi;
	size_t i;
	int r = begin_ruleset(&abi, &fd, e);

	if (r == 1) {
		log_debug("proc", "this kernel has no Landlock");
		return 0;
	}
	if (r < 0)
		return r;
	for (i = 0; i < writable_count; i++)
		if (allow_path(fd, writable[i], known_rights(abi) & ~1ull /* not execute */, e) != 0)
			return e->code;
	for (i = 0; i < ARRAY_LEN(readable); i++)
		if (allow_path(fd, readable[i], FS_READ_FILE | FS_READ_DIR, e) != 0)
			return e->code;
	return enforce(fd, e);
}

/* ---- empty surroundings ---- */

static int empty_root(const char *root_dir, struct err *e)
{
	struct stat st;

	if (chroot(root_dir) != 0 || chdir("/") != 0)
		return err_errno(e, "chroot %s", root_dir);
	if (stat("/", &st) != 0 || st.st_uid != 0 || (st.st_mode & 022) != 0)
		return err_fault(e, MORTISE_E_PERM, "%s must be root's and not writable by others", root_dir);
	return 0;
}

int sandbox_empty(const char *account, const char *root_dir, bool privileged, struct err *e)
{
	struct rlimit none = {0, 0};
	AUTO_CLOSE int fd = -1;
	uid_t uid = geteuid();
	gid_t gid = getegid();
	long abi;
	int r;

	tzset();
	if (privileged) {
		if (privilege_account(account, true, &uid, &gid, e) != 0 || empty_root(root_dir, e) != 0 ||
		    privilege_drop(uid, gid, NULL, 0, e) != 0)
			return e->code;
	}
	if (privilege_harden(e) != 0)
		return e->code;
	r = begin_ruleset(&abi, &fd, e);
	if (r < 0 || (r == 0 && enforce(fd, e) != 0))
		return e->code;
	if (!SANITIZED && (setrlimit(RLIMIT_FSIZE, &none) != 0 || setrlimit(RLIMIT_NPROC, &none) != 0))
		return err_errno(e, "setrlimit");
	return 0;
}

int sandbox_log(const char *account, bool privileged, struct err *e)
{
	uid_t uid;
	gid_t gid;

	tzset();
	if (privileged && (privilege_account(account, true, &uid, &gid, e) != 0 ||
	                      privilege_drop(uid, gid, NULL, 0, e) != 0))
		return e->code;
	return privilege_harden(e);
}

/* ---- seccomp ---- */

static const int front_calls[] = {
    /* events, sockets it was given */
    SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(accept4), SCMP_SYS(read),
    SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(sendto),
    SCMP_SYS(recvfrom), SCMP_SYS(shutdown), SCMP_SYS(close), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(fcntl), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
    SCMP_SYS(pread64),
    /* memory, time, random */
    SCMP_SYS(mmap), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk), SCMP_SYS(madvise), SCMP_SYS(futex),
    SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom),
    /* signals, dying */
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
    SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(tgkill), SCMP_SYS(exit), SCMP_SYS(exit_group)};

size_t sandbox_front_call_count(void)
{
	return ARRAY_LEN(front_calls) + 1; /* socketpair has a rule of its own */
}

/* Calls that only somebody who has taken the process over makes. */
static const int deadly[] = {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev)};

/* Nor does a spawner need these, which raises this part of the wall once for all its sessions. */
static const int never[] = {SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen),
    SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
    SCMP_SYS(chroot), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(bpf), SCMP_SYS(perf_event_open),
    SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(init_module), SCMP_SYS(finit_module),
    SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff),
    SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(adjtimex),
    SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(personality), SCMP_SYS(userfaultfd),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(name_to_handle_at), SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp), SCMP_SYS(mknod), SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen),
    SCMP_SYS(fsmount)};

/* What makes and ends sessions is for the spawner only. */
static const int session_denied[] = {SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(setuid), SCMP_SYS(setgid),
    SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setgroups),
    SCMP_SYS(capset), SCMP_SYS(kill), SCMP_SYS(tkill)};

static int add_each(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t n)
{
	size_t i;
	int r = 0;

	for (i = 0; i < n && r == 0; i++) {
		r = seccomp_rule_add(ctx, action, calls[i], 0);
		if (r == -EDOM || r == -EOPNOTSUPP) /* a call this architecture does not have */
			r = 0;
	}
	return r;
}

/* Conditions on the arguments of a call. */
static const struct scmp_arg_cmp unix_only = {.arg = 0, .op = SCMP_CMP_EQ, .datum_a = AF_UNIX};
static const struct scmp_arg_cmp no_thread = {
    .arg = 0, .op = SCMP_CMP_MASKED_EQ, .datum_a = CLONE_THREAD, .datum_b = 0};
static const struct scmp_arg_cmp typing = {
    .arg = 1, .op = SCMP_CMP_MASKED_EQ, .datum_a = 0xffffffffu, .datum_b = 0x5412u /* TIOCSTI */};

static int load(scmp_filter_ctx ctx, int r, const char *what, struct err *e)
{
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r != 0)
		return err_fault(e, MORTISE_E_INTERNAL, "seccomp filter of the %s: %s", what, strerror(-r));
	return 0;
}

int sandbox_front_calls(struct err *e)
{
	scmp_filter_ctx ctx;
	int r;

	if (SANITIZED)
		return 0; /* the sanitizer's own calls are not on the list */
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (ctx == NULL)
		return err_fault(e, MORTISE_E_INTERNAL, "seccomp_init");
	r = add_each(ctx, SCMP_ACT_KILL_PROCESS, deadly, ARRAY_LEN(deadly));
	if (r == 0)
		r = add_each(ctx, SCMP_ACT_ALLOW, front_calls, ARRAY_LEN(front_calls));
	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, &unix_only);
	return load(ctx, r, "front", e);
}

/*
 * Filters as the kernel takes them, made once by whoever makes the sessions. They are trees of comparisons:
 * the kernel tries every call that there is when it takes a filter.
 */
struct filter {
	struct sock_filter *v;
	size_t n;
};
static struct filter common, own; /* of spawner and sessions; of sessions only */
static bool common_raised;

static int add_common(scmp_filter_ctx ctx)
{
	int r = add_each(ctx, SCMP_ACT_KILL_PROCESS, deadly, ARRAY_LEN(deadly));

	if (r == 0)
		r = add_each(ctx, SCMP_ACT_ERRNO(EPERM), never, ARRAY_LEN(never));
	/* No typing into the administrator's terminal. */
	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1, &typing);
	return r;
}

static int add_own(scmp_filter_ctx ctx)
{
	int r = add_each(ctx, SCMP_ACT_ERRNO(EPERM), session_denied, ARRAY_LEN(session_denied));

	/* Threads yes, processes and namespaces no. clone3 hides its flags: libc falls back to clone. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, &no_thread);
	return r;
}

static int read_filter(int fd, struct filter *f)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || st.st_size <= 0 || (size_t)st.st_size > BPF_MAXINSNS * sizeof(f->v[0]))
		return -EINVAL;
	f->n = (size_t)st.st_size / sizeof(f->v[0]);
	f->v = mem_array(f->n, sizeof(f->v[0]));
	return io_pread(fd, f->v, (size_t)st.st_size, 0) == st.st_size ? 0 : -EIO;
}

static int make_filter(struct filter *f, int (*add)(scmp_filter_ctx), struct err *e)
{
	AUTO_CLOSE int fd = memfd_create("filter", MFD_CLOEXEC);
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = fd < 0 || ctx == NULL ? -errno : seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);

	if (r == 0)
		r = add(ctx);
	if (r == 0)
		r = seccomp_export_bpf(ctx, fd);
	if (r == 0)
		r = read_filter(fd, f);
	seccomp_release(ctx);
	if (r != 0)
		return err_fault(e, MORTISE_E_INTERNAL, "seccomp filter of the session: %s", strerror(-r));
	return 0;
}

static int raise_filter(const struct filter *f, struct err *e)
{
	struct sock_fprog program = {.len = (unsigned short)f->n, .filter = f->v};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
		return err_errno(e, "seccomp filter of the session");
	return 0;
}

static int make_filters(struct err *e)
{
	if (own.v == NULL && (make_filter(&common, add_common, e) != 0 || make_filter(&own, add_own, e) != 0))
		return e->code;
	return 0;
}

int sandbox_session_calls(struct err *e)
{
	if (make_filters(e) != 0 || (!common_raised && raise_filter(&common, e) != 0))
		return e->code;
	return raise_filter(&own, e);
}

/* Said once, by the process that makes the sessions, not by each of them. */
static void tell_missing(void)
{
	AUTO_CLOSE int fd = -1;
	struct err e = ERR_INIT;
	long abi;

	if (begin_ruleset(&abi, &fd, &e) == 1)
		log_msg(MSG_SANDBOX_PART,
		    "this kernel has no Landlock: a session reaches every file that its user may");
}

static int drop_capabilities(struct err *e)
{
	/* Change uid, gid and groups; end sessions; read the user's places when setting up. */
	static const int kept[] = {CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_SETPCAP, CAP_DAC_READ_SEARCH};
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};
	size_t i;
	int cap;

	if (geteuid() != 0)
		return 0;
	for (i = 0; i < ARRAY_LEN(kept); i++)
		data[CAP_TO_INDEX(kept[i])].permitted |= CAP_TO_MASK(kept[i]);
	for (cap = 0; cap <= 63; cap++)
		if ((data[CAP_TO_INDEX(cap)].permitted & CAP_TO_MASK(cap)) == 0)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	for (i = 0; i < ARRAY_LEN(data); i++)
		data[i].effective = data[i].permitted;
	if (syscall(SYS_capset, &head, data) != 0)
		return err_errno(e, "capset");
	return 0;
}

int sandbox_spawner(struct err *e)
{
	tell_missing();
	if (drop_capabilities(e) != 0 || make_filters(e) != 0)
		return e->code;
	if (SANITIZED) /* the leak checker traces its process */
		return 0;
	common_raised = true;
	return raise_filter(&common, e);
}
