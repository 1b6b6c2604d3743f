/* file.c: small files as a whole, and text that grows. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

int maildir_read_file(
    struct mortise_call *call, int dir, const char *name, uint64_t limit, char **out, size_t *size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r = 0;
	struct stat st;
	size_t n = 0;

	*out = NULL;
	*size = 0;
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : call->host->fault_errno(call, "%s", name);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return 0;
	}
	if ((uint64_t)st.st_size > limit)
		r = call->host->fault(
		    call, MORTISE_E_LIMIT, "%s is larger than %" PRIu64 " octets", name, limit);
	else if ((*out = malloc((size_t)st.st_size + 1)) == NULL)
		r = call->host->fault_errno(call, "%s", name);
	while (r == 0 && n < (size_t)st.st_size) {
		ssize_t got = read(fd, *out + n, (size_t)st.st_size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			r = call->host->fault_errno(call, "%s", name);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	if (r != 0) {
		free(*out);
		*out = NULL;
		return r;
	}
	(*out)[n] = '\0';
	*size = n;
	return 0;
}

int maildir_fsync(const struct maildir_box *b, int fd)
{
	return b->options->fsync ? fsync(fd) : 0;
}

int maildir_put(struct mortise_call *call, int fd, const char *what, const void *octets, size_t size)
{
	const char *p = octets;

	while (size > 0) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return call->host->fault_errno(call, "%s", what);
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int maildir_replace(
    struct mortise_call *call, struct maildir_box *b, const char *name, const char *text, size_t size)
{
	const char *temp = call->host->print(call, MORTISE_LIFE_CALL, "%s.tmp", name);
	int fd, r;

	unlinkat(b->dir, temp, 0); /* of one who died with the lock */
	fd = openat(b->dir, temp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, b->place->file_mode);
	if (fd < 0)
		return call->host->fault_errno(call, "%s/%s", b->place->path, temp);
	r = maildir_put(call, fd, temp, text, size);
	if (r == 0 && maildir_fsync(b, fd) != 0)
		r = call->host->fault_errno(call, "%s/%s", b->place->path, temp);
	close(fd);
	if (r == 0 && (renameat(b->dir, temp, b->dir, name) != 0 || maildir_fsync(b, b->dir) != 0))
		r = call->host->fault_errno(call, "%s/%s", b->place->path, name);
	if (r != 0)
		unlinkat(b->dir, temp, 0);
	return r;
}

void maildir_text_add(struct maildir_text *t, const char *octets, size_t size)
{
	if (t->room - t->n < size) {
		size_t room = t->room * 2 + size + 4096;
		char *more = realloc(t->p, room);

		if (more == NULL) {
			t->failed = true;
			return;
		}
		t->p = more;
		t->room = room;
	}
	memcpy(t->p + t->n, octets, size);
	t->n += size;
}

void maildir_text_number(struct maildir_text *t, uint64_t n)
{
	char digits[20];
	size_t i = sizeof(digits);

	do
		digits[--i] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	maildir_text_add(t, digits + i, sizeof(digits) - i);
}

void maildir_text_line(struct maildir_text *t, uint32_t uid, const char *extra, const char *name)
{
	maildir_text_number(t, uid);
	maildir_text_add(t, extra, strlen(extra));
	maildir_text_add(t, " :", 2);
	maildir_text_add(t, name, strlen(name));
	maildir_text_add(t, "\n", 1);
}
