/* The host table, as a module sees it, and what the caller gets back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#undef fail /* cmocka's; the host table has a slot of this name */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <mortise/driver.h>
#include <mortise/password.h>

#include "base/clock.h"
#include "base/io.h"
#include "log/log.h"
#include "module/module.h"
#include "base/banned.h"

struct options {
	uint64_t limit;
	const char *text;
};

static const struct mortise_option table[] = {
    MORTISE_OPTION(struct options, limit, SIZE, "10k", .help = "a size"),
    MORTISE_OPTION(struct options, text, STRING, "hello", .help = "a text"),
};

static int verify(struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	(void)call, (void)attempt, (void)user;
	return MORTISE_AUTH_UNKNOWN;
}

static const struct mortise_password_ops ops = {.size = sizeof(ops), .verify = verify};

static const struct mortise_module descriptor = {MORTISE_MODULE_HEAD, .kind = MORTISE_KIND_PASSWORD,
    .api_major = MORTISE_PASSWORD_MAJOR, .api_minor = MORTISE_PASSWORD_MINOR, .name = "inner", .version = "1",
    .summary = "a test", .licence = "Apache-2.0", .url = "https://mortise.example/", .options = table,
    .option_count = 2, .instance_size = sizeof(struct options), .ops = &ops};

static struct arena *arena;
static struct instance *inst;
static struct call call;
static struct err err;
static int stop_code;

static int stop(void *arg)
{
	return *(int *)arg;
}

static struct call_env env = {.journal_dir = -1, .stop = stop, .stop_arg = &stop_code};

static int setup(void **state)
{
	(void)state;
	arena = arena_new("test");
	inst = instance_builtin(arena, &descriptor, "staff");
	env = (struct call_env){.journal_dir = -1, .stop = stop, .stop_arg = &stop_code};
	stop_code = 0;
	err_clear(&err);
	call_begin(&call, inst, &env, "verify");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

#define HOST (call.pub.host)

static void builtin_instance(void **state)
{
	const struct options *o = inst->pub.options;

	(void)state;
	assert_int_equal(o->limit, 10240);
	assert_string_equal(o->text, "hello");
	assert_string_equal(inst->pub.name, "staff");
	assert_string_equal(inst->pub.module, "inner");
	assert_int_equal(HOST->size, sizeof(struct mortise_host));
	/* A positive answer without a text is just that. */
	assert_int_equal(call_end(&call, verify(&call.pub, NULL, NULL), &err), MORTISE_AUTH_UNKNOWN);
	assert_int_equal(err.code, 0);
}

static void first_error_is_kept(void **state)
{
	(void)state;
	assert_int_equal(HOST->fail(&call.pub, MORTISE_E_QUOTA, "No room for %d", 3), MORTISE_E_QUOTA);
	assert_int_equal(HOST->fault(&call.pub, MORTISE_E_IO, "/secret/path"), MORTISE_E_IO);
	assert_int_equal(call_end(&call, MORTISE_E_IO, &err), MORTISE_E_QUOTA);
	assert_string_equal(err.client, "No room for 3");
	assert_string_equal(err.admin, "staff: verify: No room for 3");
}

static void faults_hide_from_the_client(void **state)
{
	(void)state;
	errno = EACCES;
	assert_int_equal(HOST->fault_errno(&call.pub, "/secret/%s", "path"), MORTISE_E_PERM);
	assert_int_equal(call_end(&call, MORTISE_E_PERM, &err), MORTISE_E_PERM);
	assert_string_equal(err.client, "Permission denied");
	assert_string_equal(err.admin, "staff: verify: /secret/path: Permission denied");
}

static void percent_m_is_errno(void **state)
{
	(void)state;
	errno = ENOSPC;
	HOST->fault(&call.pub, MORTISE_E_QUOTA, "write: %m");
	(void)call_end(&call, MORTISE_E_QUOTA, &err);
	assert_string_equal(err.admin, "staff: verify: write: No space left on device");
}

static void strange_codes_are_internal(void **state)
{
	static const int codes[] = {-1, -5, -11, -165, -170, INT32_MIN};

	(void)state;
	(void)call_end(&call, 0, &err);
	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		err_clear(&err);
		call_begin(&call, inst, &env, "verify");
		assert_int_equal(call_end(&call, codes[i], &err), MORTISE_E_INTERNAL);
		assert_string_equal(err.admin, "staff: verify: failed without a reason");
		assert_string_equal(err.client, "Internal error");
	}
	err_clear(&err);
	call_begin(&call, inst, &env, "verify");
	assert_int_equal(HOST->fail(&call.pub, 7, "odd"), MORTISE_E_INTERNAL);
	assert_int_equal(call_end(&call, 7, &err), 7);
	assert_int_equal(err.code, MORTISE_E_INTERNAL);
}

static void error_that_was_handled_is_dropped(void **state)
{
	(void)state;
	HOST->fault(&call.pub, MORTISE_E_IO, "first try failed");
	assert_int_equal(call_end(&call, 0, &err), 0);
	assert_int_equal(err.code, 0);
}

static void memory_by_lifetime(void **state)
{
	static const int lives[] = {
	    MORTISE_LIFE_CALL, MORTISE_LIFE_BOX, MORTISE_LIFE_INSTANCE, MORTISE_LIFE_SECRET, 999};
	struct arena *box = arena_new("box");
	size_t before = arena_size(box);

	(void)state;
	env.box = box;
	for (size_t i = 0; i < ARRAY_LEN(lives); i++) {
		unsigned char *p = HOST->alloc(&call.pub, lives[i], 10000);

		for (size_t k = 0; k < 10000; k++)
			assert_int_equal(p[k], 0);
		memset(p, 0x55, 10000);
	}
	assert_true(arena_size(box) >= before + 10000);
	assert_string_equal(HOST->print(&call.pub, MORTISE_LIFE_CALL, "%s-%d", "a", 1), "a-1");
	/* Results of a kept call stay until it is cleared. */
	{
		const char *kept = HOST->print(&call.pub, MORTISE_LIFE_CALL, "kept");

		assert_int_equal(call_end_keep(&call, 0, &err), 0);
		assert_string_equal(kept, "kept");
		call_clear(&call);
		assert_null(call.call);
	}
	arena_free(&box);
	/* No mailbox: not a crash. */
	env.box = NULL;
	call_begin(&call, inst, &env, "verify");
	assert_non_null(HOST->alloc(&call.pub, MORTISE_LIFE_BOX, 10));
	(void)call_end(&call, 0, &err);
}

static void bounded_memory(void **state)
{
	(void)state;
	assert_non_null(HOST->alloc_bounded(&call.pub, MORTISE_LIFE_CALL, 100, 10, 1000));
	assert_null(HOST->alloc_bounded(&call.pub, MORTISE_LIFE_CALL, 101, 10, 1000));
	assert_null(HOST->alloc_bounded(&call.pub, MORTISE_LIFE_CALL, SIZE_MAX / 2, 3, SIZE_MAX));
	assert_int_equal(call_end(&call, MORTISE_E_LIMIT, &err), MORTISE_E_LIMIT);
	assert_string_equal(err.client, "This needs more memory than is allowed (1000 octets)");
}

static void stopping(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(HOST->should_stop(&call.pub), 0);
	assert_int_equal(HOST->sleep(&call.pub, 1), 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(HOST->wait_fd(&call.pub, fds[0], POLLIN, clock_ms() + 5), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(HOST->wait_fd(&call.pub, fds[0], POLLIN, 0), 1);
	stop_code = MORTISE_E_CANCELLED;
	assert_int_equal(HOST->should_stop(&call.pub), MORTISE_E_CANCELLED);
	assert_int_equal(HOST->sleep(&call.pub, 60000), MORTISE_E_CANCELLED);
	assert_int_equal(HOST->wait_fd(&call.pub, fds[0], POLLIN, 0), MORTISE_E_CANCELLED);
	stop_code = 0;
	env.deadline = clock_ms() + 20;
	assert_int_equal(HOST->deadline(&call.pub), env.deadline);
	assert_int_equal(HOST->sleep(&call.pub, 60000), MORTISE_E_TEMP);
	assert_true(HOST->now(&call.pub) >= env.deadline);
	assert_int_equal(call_end(&call, MORTISE_E_TEMP, &err), MORTISE_E_TEMP);
	assert_string_equal(err.admin, "staff: verify: not finished before its deadline");
	close(fds[0]);
	close(fds[1]);
}

static void randomness_and_secrets(void **state)
{
	unsigned char a[32] = {0}, b[32] = {0};

	(void)state;
	HOST->random(&call.pub, a, sizeof(a));
	assert_int_equal(HOST->equal(&call.pub, a, b, sizeof(a)), 0);
	memcpy(b, a, sizeof(b));
	assert_int_equal(HOST->equal(&call.pub, a, b, sizeof(a)), 1);
	b[31] ^= 1;
	assert_int_equal(HOST->equal(&call.pub, a, b, sizeof(a)), 0);
	(void)call_end(&call, 0, &err);
}

static int try_open(int root, const char *path)
{
	int fd = HOST->open_below(&call.pub, root, path, O_RDONLY, 0);

	if (fd < 0)
		return -errno;
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	close(fd);
	return 0;
}

static void files_below_a_root(void **state)
{
	char dir[] = "/tmp/mortise-host-XXXXXX";
	int root;

	(void)state;
	assert_non_null(mkdtemp(dir));
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(root, "in", 0700), 0);
	assert_int_equal(symlinkat("in", root, "inner"), 0);
	assert_int_equal(symlinkat("/etc", root, "out"), 0);
	assert_int_equal(symlinkat("..", root, "up"), 0);
	assert_int_equal(try_open(root, "."), 0);
	assert_int_equal(try_open(root, "in"), 0);
	assert_int_equal(try_open(root, "inner"), 0);
	assert_int_equal(try_open(root, "out/passwd"), -EXDEV);
	assert_int_equal(try_open(root, "up"), -EXDEV);
	assert_int_equal(try_open(root, "../etc"), -EXDEV);
	assert_int_equal(try_open(root, "/etc/passwd"), -EXDEV);
	env.unconfined = true;
	assert_int_equal(try_open(root, "out/passwd"), 0);
	assert_int_equal(try_open(root, "."), 0);
	assert_int_equal(try_open(root, "../etc"), -EXDEV);
	assert_int_equal(try_open(root, "in/../in"), -EXDEV);
	assert_int_equal(try_open(root, "/etc/passwd"), -EXDEV);
	unlinkat(root, "up", 0);
	unlinkat(root, "out", 0);
	unlinkat(root, "inner", 0);
	unlinkat(root, "in", AT_REMOVEDIR);
	close(root);
	rmdir(dir);
	(void)call_end(&call, 0, &err);
}

static void journals(void **state)
{
	char dir[] = "/tmp/mortise-host-XXXXXX", text[16] = "";
	int root, box, j;

	(void)state;
	/* No directory: the driver goes on without. */
	box = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(HOST->journal_begin(&call.pub, box, 0), -1);
	close(box);
	assert_non_null(mkdtemp(dir));
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	box = openat(root, "box", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(io_write(box, "one two three", 13), 0);
	env.journal_dir = root;
	j = HOST->journal_begin(&call.pub, box, 4);
	assert_true(j >= 0);
	assert_int_equal(io_write(j, "three", 5), 0);
	assert_int_equal(HOST->journal_apply(&call.pub, j), 0);
	assert_int_equal(io_pread(box, text, sizeof(text), 0), 9);
	assert_string_equal(text, "one three");
	/* Given up, and left open by a careless module: nothing happens to the file. */
	j = HOST->journal_begin(&call.pub, box, 0);
	HOST->journal_drop(&call.pub, j);
	j = HOST->journal_begin(&call.pub, box, 0);
	assert_int_equal(io_write(j, "bad", 3), 0);
	assert_int_equal(call_end(&call, 0, &err), 0);
	assert_int_equal(io_pread(box, text, sizeof(text), 0), 9);
	assert_int_equal(fcntl(j, F_GETFD), -1);
	/* A descriptor that is no journal. */
	call_begin(&call, inst, &env, "expunge");
	assert_int_equal(HOST->journal_apply(&call.pub, box), MORTISE_E_INTERNAL);
	assert_int_equal(call_end(&call, MORTISE_E_INTERNAL, &err), MORTISE_E_INTERNAL);
	close(box);
	unlinkat(root, "box", 0);
	close(root);
	assert_int_equal(rmdir(dir), 0);
}

static void calls_nest(void **state)
{
	struct call inner;
	struct err e = ERR_INIT;

	(void)state;
	HOST->fault(&call.pub, MORTISE_E_IO, "outer");
	call_begin(&inner, inst, NULL, "lookup");
	inner.pub.host->fail(&inner.pub, MORTISE_E_NOTFOUND, "inner");
	assert_int_equal(call_end(&inner, MORTISE_E_NOTFOUND, &e), MORTISE_E_NOTFOUND);
	assert_string_equal(e.admin, "staff: lookup: inner");
	assert_int_equal(call_end(&call, MORTISE_E_IO, &err), MORTISE_E_IO);
	assert_string_equal(err.admin, "staff: verify: outer");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {T(builtin_instance), T(first_error_is_kept),
	    T(faults_hide_from_the_client), T(percent_m_is_errno), T(strange_codes_are_internal),
	    T(error_that_was_handled_is_dropped), T(memory_by_lifetime), T(bounded_memory), T(stopping),
	    T(randomness_and_secrets), T(files_below_a_root), T(journals), T(calls_nest)};

	log_set_level((enum log_level)0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
