/*
 * host.c: the host table, and one call into a module.
 *
 * A module's `struct mortise_call *` is the head of our struct call; what the table's functions need (arena,
 * deadline, error) lies behind it. Memory of a call is made when it is first asked for, so that the many
 * calls which need none cost none.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/secure.h"
#include "log/log.h"
#include "module/journal.h"
#include "module/module.h"
#include "module/module_int.h"
#include "base/banned.h"

#define WAIT_SLICE 200u /* milliseconds between two looks at should_stop */
#define TEXT_SIZE 480u

/* The innermost call of this thread: a mechanism's conversation may call into a password backend. */
static _Thread_local struct call *current;

static struct call *call_of(struct mortise_call *pub)
{
	struct call *c = (struct call *)pub;

	ASSERT(c != NULL && c->magic == CALL_MAGIC);
	return c;
}

static struct instance *instance_of(const struct call *c)
{
	struct instance *i =
	    (struct instance *)(void *)((char *)c->pub.instance - offsetof(struct instance, pub));

	CHECK_OBJ(i, INSTANCE_MAGIC);
	return i;
}

/* ---- telling ---- */

static PRINTF_LIKE(3, 4) void host_log(struct mortise_call *pub, int level, const char *format, ...)
{
	int number = errno;
	struct call *c = call_of(pub);
	va_list ap;

	if (level >= MORTISE_LOG_DEBUG && !log_debugging(instance_of(c)->pub.module) &&
	    !log_debugging(c->pub.instance->name))
		return;
	va_start(ap, format);
	errno = number;
	log_module(c->pub.instance->name, level, format, ap);
	va_end(ap);
	errno = number;
}

static PRINTF_LIKE(3, 4) int host_fail(struct mortise_call *pub, int code, const char *format, ...)
{
	struct call *c = call_of(pub);
	char text[TEXT_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return err_fail(&c->err, module_known_code(code), "%s", text);
}

static PRINTF_LIKE(3, 4) int host_fault(struct mortise_call *pub, int code, const char *format, ...)
{
	struct call *c = call_of(pub);
	char text[TEXT_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return err_fault(&c->err, module_known_code(code), "%s", text);
}

static PRINTF_LIKE(2, 3) int host_fault_errno(struct mortise_call *pub, const char *format, ...)
{
	int number = errno;
	struct call *c = call_of(pub);
	char text[TEXT_SIZE];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	errno = number;
	return err_errno(&c->err, "%s", text);
}

/* ---- memory ---- */

static struct arena *arena_of(struct call *c, int life)
{
	struct instance *i = instance_of(c);

	switch (life) {
	case MORTISE_LIFE_BOX:
		if (c->env->box != NULL)
			return c->env->box;
		log_msg(
		    MSG_MODULE_NO_BOX, "%s: %s: memory for a mailbox that is not there", i->pub.name, c->op);
		return i->arena;
	case MORTISE_LIFE_INSTANCE:
		return i->arena;
	case MORTISE_LIFE_SECRET:
		if (c->secret == NULL)
			c->secret = arena_new_secret("secret");
		return c->secret;
	default:
		if (c->call == NULL)
			c->call = arena_new("call");
		return c->call;
	}
}

static void *host_alloc(struct mortise_call *pub, int life, size_t size)
{
	return arena_alloc(arena_of(call_of(pub), life), size);
}

static void *host_alloc_bounded(struct mortise_call *pub, int life, size_t count, size_t size, size_t limit)
{
	struct call *c = call_of(pub);
	size_t total;

	if (__builtin_mul_overflow(count, size, &total) || total > limit) {
		err_fail(
		    &c->err, MORTISE_E_LIMIT, "This needs more memory than is allowed (%zu octets)", limit);
		return NULL;
	}
	return arena_alloc(arena_of(c, life), total);
}

static PRINTF_LIKE(3, 4) char *host_print(struct mortise_call *pub, int life, const char *format, ...)
{
	va_list ap;
	char *s;

	va_start(ap, format);
	s = arena_vprintf(arena_of(call_of(pub), life), format, ap);
	va_end(ap);
	return s;
}

/* ---- stopping and waiting ---- */

static uint64_t host_now(struct mortise_call *pub)
{
	(void)call_of(pub);
	return clock_ms();
}

static uint64_t host_deadline(struct mortise_call *pub)
{
	return call_of(pub)->env->deadline;
}

static int host_should_stop(struct mortise_call *pub)
{
	struct call *c = call_of(pub);
	int r = c->env->stop != NULL ? c->env->stop(c->env->stop_arg) : 0;

	if (r != 0)
		return r < 0 ? r : MORTISE_E_CANCELLED;
	if (c->env->deadline != 0 && clock_ms() >= c->env->deadline)
		return MORTISE_E_TEMP;
	return 0;
}

/* Waits on fd (-1: only time passes) in slices. 1 ready, 0 at `deadline` (0: none), or what should_stop says.
 */
static int wait_sliced(struct mortise_call *pub, int fd, short events, uint64_t deadline)
{
	for (;;) {
		uint64_t now = clock_ms(), until = now + WAIT_SLICE;
		int r = host_should_stop(pub);

		if (r != 0)
			return r;
		if (deadline != 0 && deadline < until)
			until = deadline;
		if (call_of(pub)->env->deadline != 0 && call_of(pub)->env->deadline < until)
			until = call_of(pub)->env->deadline;
		/* poll(2) ignores a negative descriptor; an error of the descriptor is for its reader to see.
		 */
		r = io_wait(fd, events, until > 0 ? until : 1);
		if (r != 0)
			return 1;
		if (deadline != 0 && clock_ms() >= deadline)
			return 0;
	}
}

static int host_sleep(struct mortise_call *pub, uint64_t ms)
{
	uint64_t now = clock_ms();

	if (ms == 0)
		return host_should_stop(pub);
	return wait_sliced(pub, -1, 0, ms > UINT64_MAX - now ? 0 : now + ms);
}

static int host_wait_fd(struct mortise_call *pub, int fd, short events, uint64_t deadline)
{
	return wait_sliced(pub, fd, events, deadline);
}

/* ---- randomness, files ---- */

static void host_random(struct mortise_call *pub, void *p, size_t size)
{
	(void)call_of(pub);
	secure_random(p, size);
}

static int host_equal(struct mortise_call *pub, const void *a, const void *b, size_t size)
{
	(void)call_of(pub);
	return secure_equal(a, b, size) ? 1 : 0;
}

static int host_open_below(struct mortise_call *pub, int root, const char *path, int flags, mode_t mode)
{
	const struct call *c = call_of(pub);
	bool self = path[0] == '.' && path[1] == '\0';

	if (path[0] == '/') {
		errno = EXDEV;
		return -1;
	}
	if (!c->env->unconfined)
		return path_open(root, path, flags, mode, 0);
	/* Links may lead anywhere, ".." may not. */
	if (!self && path_clean(str_of(path)) != 0) {
		errno = EXDEV;
		return -1;
	}
	return path_open(root, path, flags, mode, PATH_UNCONFINED);
}

/* ---- the rewrite journal ---- */

static int host_journal_begin(struct mortise_call *pub, int target, uint64_t offset)
{
	struct call *c = call_of(pub);
	size_t i;

	for (i = 0; i < CALL_JOURNALS && c->journals[i] != NULL; i++)
		continue;
	if (i == CALL_JOURNALS) {
		errno = EMFILE;
		return -1;
	}
	return journal_open(c->env->journal_dir, target, offset, &c->journals[i], &c->err);
}

static struct journal **find_journal(struct call *c, int fd)
{
	for (size_t i = 0; i < CALL_JOURNALS; i++)
		if (c->journals[i] != NULL && journal_fd(c->journals[i]) == fd)
			return &c->journals[i];
	return NULL;
}

static int host_journal_apply(struct mortise_call *pub, int fd)
{
	struct call *c = call_of(pub);
	struct journal **jp = find_journal(c, fd);

	if (jp == NULL)
		return err_fault(&c->err, MORTISE_E_INTERNAL, "journal_apply: not a journal of this call");
	return journal_commit(jp, &c->err);
}

static void host_journal_drop(struct mortise_call *pub, int fd)
{
	struct journal **jp = find_journal(call_of(pub), fd);

	if (jp != NULL)
		journal_discard(jp);
}

static int host_journal_recover(struct mortise_call *pub, int target, bool exclusive)
{
	struct call *c = call_of(pub);

	if (!journal_pending(c->env->journal_dir, target))
		return 0;
	if (exclusive)
		return journal_replay(c->env->journal_dir, target, &c->err);
	return err_fault(&c->err, MORTISE_E_UNAVAILABLE, "the mailbox is half-written and its journal waits");
}

static int host_sync_all(struct mortise_call *pub, const int *fds, size_t count, bool data_only)
{
	(void)call_of(pub);
	return io_sync_all(fds, count, data_only);
}

const struct mortise_host module_host = {
    .size = sizeof(struct mortise_host),
    .major = MORTISE_HOST_MAJOR,
    .minor = MORTISE_HOST_MINOR,
    .log = host_log,
    .fail = host_fail,
    .fault = host_fault,
    .fault_errno = host_fault_errno,
    .alloc = host_alloc,
    .alloc_bounded = host_alloc_bounded,
    .print = host_print,
    .now = host_now,
    .deadline = host_deadline,
    .should_stop = host_should_stop,
    .sleep = host_sleep,
    .wait_fd = host_wait_fd,
    .random = host_random,
    .equal = host_equal,
    .open_below = host_open_below,
    .journal_begin = host_journal_begin,
    .journal_apply = host_journal_apply,
    .journal_drop = host_journal_drop,
    .journal_recover = host_journal_recover,
    .sync_all = host_sync_all,
};

/* ---- a call ---- */

int module_known_code(int code)
{
	return code <= MORTISE_E_NOTFOUND && code >= MORTISE_E_INTERNAL && code % 10 == 0
	           ? code
	           : MORTISE_E_INTERNAL;
}

void call_begin(struct call *c, struct instance *i, const struct call_env *env, const char *op)
{
	static const struct call_env nothing = {.journal_dir = -1};

	CHECK_OBJ(i, INSTANCE_MAGIC);
	memset(c, 0, offsetof(struct call, err));
	err_clear(&c->err);
	c->magic = CALL_MAGIC;
	c->pub.size = sizeof(c->pub);
	c->pub.host = &module_host;
	c->pub.instance = &i->pub;
	c->env = env != NULL ? env : &nothing;
	c->op = op;
	c->outer = current;
	current = c;
	log_crumb(i->pub.name, op);
}

/* The text of a failure names who failed at what; one is made up for a module that gave none. */
static void complete_error(struct call *c, int result)
{
	char text[sizeof(c->err.admin)];

	if (c->err.code == 0 && result < 0) {
		if (result == MORTISE_E_CANCELLED)
			err_fail(&c->err, result, "%s", mortise_error_text(result));
		else if (result == MORTISE_E_TEMP && c->env->deadline != 0 && clock_ms() >= c->env->deadline)
			err_fault(&c->err, result, "not finished before its deadline");
		else
			err_fault(&c->err, result, "failed without a reason");
	}
	if (c->err.code == 0)
		return;
	memcpy(text, c->err.admin, sizeof(text));
	snprintf(c->err.admin, sizeof(c->err.admin), "%s: %s: %.400s", c->pub.instance->name, c->op, text);
}

int call_end_keep(struct call *c, int result, struct err *e)
{
	ASSERT(c->magic == CALL_MAGIC && current == c);
	current = c->outer;
	if (current != NULL)
		log_crumb(current->pub.instance->name, current->op);
	else
		log_crumb(NULL, NULL);
	for (size_t i = 0; i < CALL_JOURNALS; i++) {
		if (c->journals[i] == NULL)
			continue;
		journal_discard(&c->journals[i]);
		log_msg(MSG_MODULE_LEFT_JOURNAL, "%s: %s", c->pub.instance->name, c->op);
	}
	if (result == 0)
		return 0;
	if (result < 0)
		result = module_known_code(result);
	complete_error(c, result);
	if (c->err.code == 0)
		return result;
	/* The first error's code is the one that counts; a positive result keeps its number and its text. */
	if (result < 0)
		result = c->err.code;
	err_take(e, &c->err);
	return result;
}

void call_clear(struct call *c)
{
	ASSERT(c->magic == CALL_MAGIC);
	arena_free(&c->call);
	arena_free(&c->secret);
}

int call_end(struct call *c, int result, struct err *e)
{
	result = call_end_keep(c, result, e);
	call_clear(c);
	return result;
}
