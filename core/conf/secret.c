#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "conf/conf_int.h"
#include "base/banned.h"

/* The content without its last line end, as editors and `echo` add one. */
static int take_secret(struct mortise_secret *out, const char *p, size_t n, struct arena *a, struct err *e)
{
	unsigned char *data;

	if (n > CONF_SECRET_MAX)
		return err_fault(e, MORTISE_E_LIMIT, "is more than %u octets", CONF_SECRET_MAX);
	if (n > 0 && p[n - 1] == '\n')
		n--;
	if (n > 0 && p[n - 1] == '\r')
		n--;
	if (n == 0)
		return err_fault(e, MORTISE_E_INVALID, "is empty");
	data = (unsigned char *)arena_strndup(a, p, n);
	*out = (struct mortise_secret){data, n};
	return 0;
}

static int read_secret(struct mortise_secret *out, int fd, bool seekable, struct arena *a, struct err *e)
{
	char *p = mem_alloc(CONF_SECRET_MAX + 1);
	ssize_t n = seekable ? io_pread(fd, p, CONF_SECRET_MAX + 1, 0) : io_read(fd, p, CONF_SECRET_MAX + 1);

	if (n < 0)
		err_errno(e, "cannot be read");
	else
		take_secret(out, p, (size_t)n, a, e);
	mem_wipe(p, CONF_SECRET_MAX + 1);
	mem_free(p);
	return e->code;
}

static int secret_file(struct mortise_secret *out, const char *path, struct arena *a, struct err *e)
{
	AUTO_CLOSE int fd = -1;
	struct stat st;

	if (path[0] != '/')
		return err_fault(e, MORTISE_E_INVALID, "needs an absolute path after file:");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) != 0)
		return err_errno(e, "%s cannot be opened", path);
	if (!S_ISREG(st.st_mode))
		return err_fault(e, MORTISE_E_INVALID, "%s is not a regular file", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_fault(e, MORTISE_E_PERM, "%s is owned by uid %u", path, (unsigned)st.st_uid);
	if ((st.st_mode & 027) != 0)
		return err_fault(e, MORTISE_E_PERM,
		    "%s can be read or written by others (mode %04o): use 0600, or 0640 with a group of its "
		    "own",
		    path, (unsigned)(st.st_mode & 07777));
	return read_secret(out, fd, true, a, e);
}

int conf_secret(struct mortise_secret *out, struct str text, struct arena *a, struct err *e)
{
	uint32_t fd;

	*out = (struct mortise_secret){NULL, 0};
	if (text.n == 0)
		return 0;
	if (str_starts(text, STR("file:")) && conf_good_text(text))
		return secret_file(out, arena_strndup(a, text.p + 5, text.n - 5), a, e);
	if (str_starts(text, STR("fd:")) && str_u32(str_from(text, 3), &fd) && fd > 2 && fd < 65536) {
		if (fcntl((int)fd, F_GETFD) < 0)
			return err_errno(e, "descriptor %u", fd);
		return read_secret(out, (int)fd, lseek((int)fd, 0, SEEK_CUR) >= 0, a, e);
	}
	return err_fault(e, MORTISE_E_PERM,
	    "a secret does not stand in the configuration: write \"file:/path\" or \"fd:N\" (3 or more)");
}

void conf_secret_keep(const struct conf_node *n)
{
	struct stat st;
	uint32_t fd;
	char *p;
	ssize_t got;
	int copy;

	if (n->kind != NODE_TEXT || !str_starts(n->text, STR("fd:")) || !str_u32(str_from(n->text, 3), &fd) ||
	    fd <= 2 || fd > 65535 || fstat((int)fd, &st) != 0 || !S_ISFIFO(st.st_mode))
		return;
	p = mem_alloc(CONF_SECRET_MAX + 1);
	got = io_read((int)fd, p, CONF_SECRET_MAX + 1);
	copy = got >= 0 ? io_memfd("secret", p, (size_t)got) : -1;
	if (copy >= 0)
		dup2(copy, (int)fd);
	io_close(&copy);
	mem_wipe(p, CONF_SECRET_MAX + 1);
	mem_free(p);
}
