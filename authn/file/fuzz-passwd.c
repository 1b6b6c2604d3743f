/*
 * Fuzz target: a password file. What is not refused is found under its name, and nothing in it could become
 * another line, field or option.
 */
#include "../secret.h"
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/object.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char text[65536];

static void quiet_log(struct mortise_call *call, int level, const char *format, ...)
{
	(void)call;
	(void)level;
	(void)format;
}

static int quiet_fault(struct mortise_call *call, int code, const char *format, ...)
{
	(void)call;
	(void)format;
	return code;
}

static int quiet_errno(struct mortise_call *call, const char *format, ...)
{
	(void)call;
	(void)format;
	return MORTISE_E_IO;
}

static MORTISE_PRINTF(3, 4) char *print(struct mortise_call *call, int life, const char *format, ...)
{
	va_list ap;

	(void)call;
	(void)life;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return text;
}

static void *alloc(struct mortise_call *call, int life, size_t size)
{
	(void)call;
	(void)life;
	ASSERT(size <= sizeof(text));
	memset(text, 0, size);
	return text;
}

static const struct mortise_host host = {.size = sizeof(host),
    .log = quiet_log,
    .fault = quiet_fault,
    .fault_errno = quiet_errno,
    .print = print,
    .alloc = alloc};

static void check_slice(struct slice s)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		ASSERT((unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f);
}

static void check_entry(struct mortise_call *call, const struct table *t, const struct entry *e)
{
	struct fields f;
	const char *why, *credential;
	char name[256];
	size_t i;

	if (e->refused)
		return;
	ASSERT(e->user.n >= 1 && e->user.n <= 255 && memchr(e->user.p, ':', e->user.n) == NULL);
	check_slice(e->user);
	memcpy(name, e->user.p, e->user.n);
	name[e->user.n] = '\0';
	ASSERT(table_find(t, name) == e);
	ASSERT(table_fields(e, &f, &why) == 0);
	ASSERT(f.secret_count <= SECRETS_MAX && f.option_count <= OPTIONS_MAX);
	ASSERT(f.home.n == 0 || f.home.p[0] == '/');
	check_slice(f.home);
	for (i = 0; i < f.option_count; i++) {
		check_slice(f.options[i]);
		ASSERT(memchr(f.options[i].p, '=', f.options[i].n) != NULL);
		ASSERT(memchr(f.options[i].p, ' ', f.options[i].n) == NULL);
	}
	for (i = 0; i < f.secret_count; i++) {
		check_slice(f.secrets[i]);
		ASSERT(secret_ok(f.secrets[i]));
		(void)secret_credential(call, f.secrets[i], true, &credential);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mortise_call call = {.size = sizeof(call), .host = &host};
	char path[64];
	struct file_options o = {.path = path, .size_max = 1 << 20};
	struct table t = {.text = NULL};
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	size_t i;

	ASSERT(fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (table_refresh(&call, &t, &o) == 0) {
		for (i = 0; i < t.count; i++) {
			ASSERT(i == 0 || t.entries[i].user.p != t.entries[i - 1].user.p);
			check_entry(&call, &t, &t.entries[i]);
		}
		(void)table_any_secret(&t);
		ASSERT(table_find(&t, "") == NULL || table_find(&t, "")->refused);
	}
	table_drop(&t);
	close(fd);
	return 0;
}
