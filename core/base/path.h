/*
 * path.h: opening files below a root, safely.
 *
 * Every path that a client, a mailbox or a configuration can influence is opened here: relative to a
 * directory descriptor, with openat2(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS), so `..`, absolute links and
 * races cannot leave the root. Symbolic links inside the root are followed unless PATH_NOFOLLOW. Without
 * openat2 (old kernel, seccomp) the walk is done one component at a time with O_NOFOLLOW, which also refuses
 * inner links.
 */
#ifndef MORTISE_BASE_PATH_H
#define MORTISE_BASE_PATH_H

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

#define PATH_NOFOLLOW 1u /* the last component may not be a link */
#define PATH_UNCONFINED                                                                     \
	2u /* confine = false: links may lead anywhere; `..` is still refused by path_clean \
	    */

/* Descriptor or -1 with errno (EXDEV: it would leave the root). O_CLOEXEC and O_NOCTTY are always added. */
int path_open(int root, const char *path, int flags, mode_t mode, unsigned how);
/*
 * 0, or -1 with errno EINVAL: a relative path with no empty, "." or ".." component, no NUL, no control octet,
 * at most 1,000 octets.
 */
int path_clean(struct str path);
/* mkdir -p below root, up to but not including the last component of path when `parents_only`. */
int path_mkdirs(int root, const char *path, mode_t mode, bool parents_only);
/* Descriptor (O_PATH) of the directory that holds path's last component; *last points into path. */
int path_parent(int root, const char *path, const char **last, unsigned how);
/*
 * Whether `path` (absolute) and every directory above it is owned by root (or by `also`, pass 0 for none) and
 * not writable by group or others (a sticky directory counts as safe above a root-owned entry). On refusal
 * the error names the component. Symbolic links are resolved first.
 */
int path_trusted(const char *path, uid_t also, struct err *e);
/* fsync of the directory that holds path. */
int path_sync_parent(int root, const char *path, unsigned how);

#endif
