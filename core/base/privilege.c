#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/capability.h>

#include "base/privilege.h"
#include "base/str.h"
#include "base/banned.h"

static int drop_capabilities(struct err *e)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capset, &head, data) != 0)
		return err_errno(e, "capset");
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return 0;
}

/* Nothing of root may be left, and no way back may work. */
static int check_dropped(uid_t uid, gid_t gid, struct err *e)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;

	if (getresuid(&ruid, &euid, &suid) != 0 || getresgid(&rgid, &egid, &sgid) != 0)
		return err_errno(e, "getresuid");
	if (ruid != uid || euid != uid || suid != uid || rgid != gid || egid != gid || sgid != gid)
		return err_fault(e, MORTISE_E_INTERNAL, "privileges were not dropped to %u:%u", (unsigned)uid,
		    (unsigned)gid);
	if (setuid(0) == 0 || seteuid(0) == 0)
		return err_fault(e, MORTISE_E_INTERNAL, "dropped privileges could be regained");
	return 0;
}

int privilege_drop(uid_t uid, gid_t gid, const gid_t *groups, size_t count, struct err *e)
{
	if (uid == 0 || gid == 0 || uid == (uid_t)-1 || gid == (gid_t)-1)
		return err_fault(
		    e, MORTISE_E_PERM, "refusing to run as uid %u, gid %u", (unsigned)uid, (unsigned)gid);
	if (geteuid() != 0) {
		if (uid != geteuid())
			return err_fault(e, MORTISE_E_PERM, "running as uid %u, cannot become uid %u",
			    (unsigned)geteuid(), (unsigned)uid);
		return drop_capabilities(e);
	}
	if (setgroups(count, groups) != 0)
		return err_errno(e, "setgroups");
	if (setresgid(gid, gid, gid) != 0)
		return err_errno(e, "setresgid %u", (unsigned)gid);
	if (setresuid(uid, uid, uid) != 0)
		return err_errno(e, "setresuid %u", (unsigned)uid);
	if (drop_capabilities(e) != 0)
		return e->code;
	return check_dropped(uid, gid, e);
}

int privilege_conceal(struct err *e)
{
	struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		return err_errno(e, "setrlimit RLIMIT_CORE");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return err_errno(e, "PR_SET_DUMPABLE");
	return 0;
}

int privilege_harden(struct err *e)
{
	if (privilege_conceal(e) != 0)
		return e->code;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_errno(e, "PR_SET_NO_NEW_PRIVS");
	return 0;
}

int privilege_account(const char *name, bool fallback, uid_t *uid, gid_t *gid, struct err *e)
{
	uint32_t number;
	struct passwd *pw;

	if (str_u32(str_of(name), &number)) {
		pw = getpwuid((uid_t)number);
		*uid = (uid_t)number;
		*gid = pw != NULL ? pw->pw_gid : (gid_t)number;
		return 0;
	}
	pw = getpwnam(name);
	if (pw == NULL && fallback)
		pw = getpwnam("nobody");
	if (pw == NULL)
		return err_fault(e, MORTISE_E_NOTFOUND, "there is no account %s", name);
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}
