/*
 * kernel_quota.c: the kernel's own quota. A system without it has none.
 */
#include <sys/quota.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/quota_int.h"
#include "base/banned.h"

/* Through the directory's descriptor: the device itself cannot be seen from a sandbox. */
int kernel_quota(int directory, uid_t uid, uint64_t *used, uint64_t *limit)
{
#ifdef SYS_quotactl_fd
	struct dqblk q = {.dqb_valid = 0};
	uint64_t blocks;

	if (syscall(SYS_quotactl_fd, directory, QCMD((unsigned)Q_GETQUOTA, USRQUOTA), uid, &q) != 0)
		return 0;
	blocks = q.dqb_bhardlimit != 0 ? q.dqb_bhardlimit : q.dqb_bsoftlimit;
	if (blocks == 0)
		return 0;
	*used = q.dqb_curspace;
	*limit = blocks * 1024;
	return 1;
#else
	(void)directory;
	(void)uid;
	(void)used;
	(void)limit;
	return 0;
#endif
}
