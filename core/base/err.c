#include <errno.h>
#include <stdarg.h>

#include "base/err.h"
#include "base/banned.h"

/* One line, whatever an argument held. */
static void flatten(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

int err_fail(struct err *e, int code, const char *format, ...)
{
	va_list ap;

	ASSERT(code < 0);
	if (e->code != 0)
		return code;
	e->code = code;
	va_start(ap, format);
	vsnprintf(e->client, sizeof(e->client), format, ap);
	va_end(ap);
	flatten(e->client);
	snprintf(e->admin, sizeof(e->admin), "%s", e->client);
	return code;
}

static int fault(struct err *e, int code, const char *format, va_list ap) PRINTF_LIKE(3, 0);
static int fault(struct err *e, int code, const char *format, va_list ap)
{
	if (e->code != 0)
		return code;
	e->code = code;
	vsnprintf(e->admin, sizeof(e->admin), format, ap);
	flatten(e->admin);
	snprintf(e->client, sizeof(e->client), "%s", mortise_error_text(code));
	return code;
}

int err_fault(struct err *e, int code, const char *format, ...)
{
	va_list ap;

	ASSERT(code < 0);
	va_start(ap, format);
	fault(e, code, format, ap);
	va_end(ap);
	return code;
}

int err_code_of_errno(int number)
{
	switch (number) {
	case ENOENT:
	case ENOTDIR:
		return MORTISE_E_NOTFOUND;
	case EEXIST:
	case ENOTEMPTY:
		return MORTISE_E_EXISTS;
	case EACCES:
	case EPERM:
	case EROFS:
	case EXDEV: /* openat2: the path leaves its root */
	case ELOOP:
		return MORTISE_E_PERM;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return MORTISE_E_QUOTA;
	case ENAMETOOLONG:
	case EINVAL:
		return MORTISE_E_INVALID;
	case EAGAIN:
	case EBUSY:
	case EDEADLK:
		return MORTISE_E_INUSE;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOLCK:
	case EINTR:
		return MORTISE_E_TEMP;
	case ESTALE:
	case EIO:
	default:
		return MORTISE_E_IO;
	}
}

int err_errno(struct err *e, const char *format, ...)
{
	int number = errno, code = err_code_of_errno(number);
	size_t n;
	va_list ap;

	if (e->code != 0)
		return code;
	va_start(ap, format);
	fault(e, code, format, ap);
	va_end(ap);
	n = strlen(e->admin);
	snprintf(e->admin + n, sizeof(e->admin) - n, ": %s", strerror(number));
	errno = number;
	return code;
}

void err_clear(struct err *e)
{
	*e = (struct err)ERR_INIT;
}

int err_take(struct err *e, struct err *from)
{
	if (e->code == 0)
		*e = *from;
	err_clear(from);
	return e->code;
}
