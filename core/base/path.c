#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/banned.h"

#define PATH_LIMIT 1000u

/* The walk used when openat2 is not to be had: stricter, because no link is followed at all. */
static int walk_open(int root, const char *path, int flags, mode_t mode)
{
	AUTO_CLOSE int dir = -1;
	struct str rest = str_of(path);

	if (str_eqc(rest, "."))
		return openat(root, ".", flags, mode);
	if (path_clean(rest) != 0)
		return -1;
	for (;;) {
		struct str part = str_cut(&rest, '/');
		char name[NAME_MAX + 1];
		int fd, from = dir >= 0 ? dir : root;

		if (part.n > NAME_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(name, part.p, part.n);
		name[part.n] = '\0';
		if (rest.p == NULL)
			return openat(from, name, flags | O_NOFOLLOW, mode);
		fd = openat(from, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -1;
		io_close(&dir);
		dir = fd;
	}
}

int path_open(int root, const char *path, int flags, mode_t mode, unsigned how)
{
	struct open_how h = {.flags = (unsigned)(flags | O_CLOEXEC | ((flags & O_PATH) != 0 ? 0 : O_NOCTTY))};
	long fd;

	if ((flags & (O_CREAT | O_TMPFILE)) != 0)
		h.mode = mode;
	h.resolve =
	    (how & PATH_UNCONFINED) != 0 ? RESOLVE_NO_MAGICLINKS : RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
	if ((how & PATH_NOFOLLOW) != 0)
		h.flags |= O_NOFOLLOW;
	do
		fd = syscall(SYS_openat2, root, path, &h, sizeof(h));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	if (fd < 0 && (errno == ENOSYS || (errno == EPERM && (how & PATH_UNCONFINED) == 0)))
		return walk_open(root, path, (int)h.flags, mode);
	return (int)fd;
}

int path_clean(struct str path)
{
	struct str rest = path;
	size_t i;

	errno = EINVAL;
	if (path.n == 0 || path.n > PATH_LIMIT)
		return -1;
	for (i = 0; i < path.n; i++)
		if ((unsigned char)path.p[i] < ' ' || path.p[i] == 0x7f)
			return -1;
	while (rest.p != NULL) {
		struct str part = str_cut(&rest, '/');

		if (part.n == 0 || str_eqc(part, ".") || str_eqc(part, ".."))
			return -1;
	}
	errno = 0;
	return 0;
}

int path_mkdirs(int root, const char *path, mode_t mode, bool parents_only)
{
	AUTO_FREE char *copy = mem_strdup(path);
	char *p = copy;

	if (path_clean(str_of(path)) != 0)
		return -1;
	for (;;) {
		char *slash = strchr(p, '/');
		const char *last;
		int dir, r;

		if (slash == NULL && parents_only)
			return 0;
		if (slash != NULL)
			*slash = '\0';
		dir = path_parent(root, copy, &last, 0);
		if (dir < 0)
			return -1;
		r = mkdirat(dir, last, mode);
		if (r == 0)
			r = fchmodat(dir, last, mode, 0);
		else if (errno == EEXIST)
			r = 0;
		io_close(&dir);
		if (r != 0)
			return -1;
		if (slash == NULL)
			return 0;
		*slash = '/';
		p = slash + 1;
	}
}

int path_parent(int root, const char *path, const char **last, unsigned how)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_LIMIT + 1];

	if (slash == NULL) {
		*last = path;
		return path_open(root, ".", O_PATH | O_DIRECTORY, 0, how);
	}
	if ((size_t)(slash - path) > PATH_LIMIT) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = '\0';
	*last = slash + 1;
	return path_open(root, dir, O_PATH | O_DIRECTORY, 0, how);
}

static int check_component(const char *path, uid_t also, bool is_dir, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) != 0)
		return err_errno(e, "%s", path);
	if (st.st_uid != 0 && (also == 0 || st.st_uid != also))
		return err_fault(
		    e, MORTISE_E_PERM, "%s is owned by uid %u, not by root", path, (unsigned)st.st_uid);
	if ((st.st_mode & 022) != 0 && !(is_dir && (st.st_mode & S_ISVTX) != 0))
		return err_fault(e, MORTISE_E_PERM, "%s is writable by %s (mode %04o)", path,
		    (st.st_mode & 02) != 0 ? "everyone" : "its group", (unsigned)(st.st_mode & 07777));
	return 0;
}

int path_trusted(const char *path, uid_t also, struct err *e)
{
	AUTO_FREE char *real = realpath(path, NULL);
	bool is_dir = false;

	if (real == NULL)
		return err_errno(e, "%s", path);
	for (;;) {
		char *slash;

		if (check_component(real[0] != '\0' ? real : "/", also, is_dir, e) != 0)
			return e->code;
		if (real[0] == '\0' || real[1] == '\0')
			return 0;
		slash = strrchr(real, '/');
		ASSERT(slash != NULL);
		*slash = '\0';
		is_dir = true;
	}
}

int path_sync_parent(int root, const char *path, unsigned how)
{
	AUTO_CLOSE int parent = -1;
	AUTO_CLOSE int dir = -1;
	const char *last;

	parent = path_parent(root, path, &last, how);
	if (parent < 0)
		return -1;
	dir = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -1;
	return io_fsync(dir);
}
