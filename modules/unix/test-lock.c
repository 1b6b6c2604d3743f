/* test-lock.c: locks, whoever else takes them, in whatever order. */
#include "test-support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define NOBODY 65534
#define ONE HEAD "Subject: one\n\nbody\n\n"

static struct unix_options *options(struct rig *r)
{
	return (struct unix_options *)(uintptr_t)r->instance->pub.options;
}

static bool there(struct rig *r, const char *name)
{
	return faccessat(r->root, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void touch(struct rig *r, const char *name, const char *text)
{
	int fd = openat(r->root, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* A child that does what `work` says, tells so, and waits to be ended. */
struct helper {
	pid_t pid;
	int to, from;
};

static void helper_start(struct helper *h, struct rig *r, void (*work)(struct rig *r, void *arg), void *arg)
{
	int down[2], up[2];
	char c;

	assert_int_equal(pipe2(down, O_CLOEXEC), 0);
	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	h->pid = fork();
	assert_true(h->pid >= 0);
	if (h->pid == 0) {
		close(down[1]);
		alarm(60);
		work(r, arg);
		(void)!write(up[1], "x", 1);
		(void)!read(down[0], &c, 1);
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	h->to = down[1];
	h->from = up[0];
	assert_int_equal(read(h->from, &c, 1), 1);
}

static void helper_end(struct helper *h)
{
	int status;

	close(h->to);
	close(h->from);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void takes_fcntl(struct rig *r, void *arg)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	(void)arg;
	if (fcntl(openat(r->root, "box", O_RDWR), F_SETLKW, &l) != 0)
		_exit(1);
}

static void takes_flock(struct rig *r, void *arg)
{
	if (flock(openat(r->root, arg != NULL ? arg : "box", O_RDWR), LOCK_EX) != 0)
		_exit(1);
}

static void setup_one(struct rig *r, uint64_t timeout)
{
	RIG_PUT(r, ONE);
	rig_open(r);
	r->s.place.lock_timeout = timeout;
}

static void names(struct session *s, const char *part)
{
	if (strstr(s->e.admin, part) == NULL)
		fail_msg("\"%s\" does not name %s", s->e.admin, part);
}

/* ---- tests ---- */

static void all_locks_are_taken_and_let_go(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char pid[32], text[32] = "", session[64];
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat st;
	int fd, other;

	setup_one(r, 100);
	assert_false(there(r, "box.lock"));
	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	fd = openat(r->root, "box.lock", O_RDONLY);
	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof text - 1) > 0);
	close(fd);
	snprintf(pid, sizeof pid, "%ld\nmortise\n", (long)getpid());
	assert_string_equal(text, pid);
	fd = openat(r->root, "box", O_RDWR);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(fcntl(fd, F_SETLK, &l), -1);
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), -1);
	snprintf(session, sizeof session, ".%llx.%llx", (unsigned long long)st.st_dev,
	    (unsigned long long)st.st_ino);
	assert_int_equal(fstatat(r->root, session, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(st.st_mode & 07777, 0666);
	assert_int_equal(st.st_size, 0); /* nobody is to be signalled */
	OK(s, session_lock(s, MORTISE_LOCK_SHARED));
	assert_int_equal(fcntl(fd, F_SETLK, &l), -1);
	assert_int_equal(flock(fd, LOCK_SH | LOCK_NB), 0);
	flock(fd, LOCK_UN);
	/* Kept for the next time, but not locked; gone when there is a pause. */
	other = openat(r->root, session, O_RDWR);
	assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
	close(other);
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	session_checkpoint(s);
	assert_false(there(r, session));
	assert_false(there(r, "box.lock"));
	assert_int_equal(fcntl(fd, F_SETLK, &l), 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
}

/* attack-132 */
static void a_dot_lock_keeps_out(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	setup_one(r, 100);
	touch(r, "box.lock", "12345\n");
	assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_INUSE);
	names(s, "12345");
	names(s, "box.lock");
	assert_true(there(r, "box.lock"));
	touch(r, "box.lock", "0");
	assert_int_equal(session_lock(s, MORTISE_LOCK_SHARED), MORTISE_E_INUSE);
	assert_int_equal(session_flags(s, 1, MORTISE_FLAG_SEEN, 0), MORTISE_E_INUSE);
	assert_int_equal(session_append(s, "A: b\r\n\r\n", 0, NULL, NULL), MORTISE_E_INUSE);
	assert_int_equal(unlinkat(r->root, "box.lock", 0), 0);
	OK(s, session_flags(s, 1, MORTISE_FLAG_SEEN, 0));
	/* Nothing of the tries is left. */
	assert_false(there(r, "box.lock"));
}

/* attack-132: age alone takes nothing away. */
static void a_stale_dot_lock_is_taken_with_care(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct helper h;
	uint64_t end;

	setup_one(r, 100);
	options(r)->dotlock_stale = 2000; /* whole seconds: two, so that one may go by */
	touch(r, "box.lock", "");
	/* Its owner lives: it holds a kernel lock, or the mailbox grows. */
	helper_start(&h, r, takes_fcntl, NULL);
	end = clock_ms() + 3500;
	while (clock_ms() < end)
		assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_INUSE);
	helper_end(&h);
	rig_add(r, HEAD "Subject: growing\n\nb\n\n");
	assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_INUSE);
	/* At last nothing speaks for it. */
	end = clock_ms() + 10000;
	while (session_lock(s, MORTISE_LOCK_EXCLUSIVE) != 0)
		assert_true(clock_ms() < end);
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	assert_false(there(r, "box.lock"));
}

static void takes_ours(struct rig *r, void *arg)
{
	(void)arg;
	if (session_open(r, &r->s, 0) != 0 || session_lock(&r->s, MORTISE_LOCK_EXCLUSIVE) != 0)
		_exit(1);
}

static size_t files_in(const struct rig *r)
{
	DIR *d = opendir(r->dir);
	size_t n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

/* attack-132: the dot-lock of a killed session is known as such, and nobody waits five minutes. */
static void the_dot_lock_of_a_killed_process_goes_at_once(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct helper h;
	size_t files;

	setup_one(r, 100);
	files = files_in(r);
	session_close(s);
	helper_start(&h, r, takes_ours, NULL);
	OK(s, session_open(r, s, 0));
	s->place.lock_timeout = 100;
	assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_INUSE);
	assert_int_equal(kill(h.pid, SIGKILL), 0);
	assert_int_equal(waitpid(h.pid, NULL, 0), h.pid);
	close(h.to);
	close(h.from);
	assert_true(there(r, "box.lock"));
	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	assert_false(there(r, "box.lock"));
	/* c-client's lock file in its folder may stay: it is not in use. */
	assert_true(files_in(r) <= files + 1);
	/* The word alone, under another's lock, is not enough. */
	touch(r, "box.lock", "12345\nmortise\n");
	helper_start(&h, r, takes_flock, (void *)(uintptr_t) "box.lock");
	assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_INUSE);
	names(s, "12345");
	helper_end(&h);
	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
}

/* attack-131 */
static void what_is_no_lock_file_is_no_lock_file(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	setup_one(r, 100);
	options(r)->dotlock_stale = 1;
	touch(r, "precious", "keep");
	assert_int_equal(symlinkat("precious", r->root, "box.lock"), 0);
	assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_INUSE);
	names(s, "not a regular file");
	assert_true(there(r, "precious"));
	assert_int_equal(unlinkat(r->root, "box.lock", 0), 0);
	assert_int_equal(mkdirat(r->root, "box.lock", 0700), 0);
	assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_INUSE);
	assert_int_equal(unlinkat(r->root, "box.lock", AT_REMOVEDIR), 0);
	assert_int_equal(mkfifoat(r->root, "box.lock", 0600), 0);
	assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_INUSE);
	assert_int_equal(unlinkat(r->root, "box.lock", 0), 0);
	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
}

/* attack-132: a spool in which nobody but the mail group can make files. */
static void no_dot_lock_can_be_made(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	if (getuid() != 0)
		skip();
	RIG_PUT(r, ONE);
	assert_int_equal(fchownat(r->root, "box", NOBODY, NOBODY, 0), 0);
	assert_int_equal(chmod(r->dir, 0755), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	OK(s, session_open(r, s, 0));
	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	rig_option(r, "dotlock", "required");
	assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_PERM);
	names(s, "dot-lock");
	rig_option(r, "dotlock", "no");
	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	session_close(s);
	assert_int_equal(seteuid(0), 0);
}

static void kernel_locks_keep_out(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct helper h;
	char pid[32];

	setup_one(r, 100);
	helper_start(&h, r, takes_fcntl, NULL);
	assert_int_equal(session_lock(s, MORTISE_LOCK_EXCLUSIVE), MORTISE_E_INUSE);
	snprintf(pid, sizeof pid, "process %ld", (long)h.pid);
	names(s, pid);
	assert_false(there(r, "box.lock")); /* nothing is held while waiting */
	helper_end(&h);
	helper_start(&h, r, takes_flock, NULL);
	assert_int_equal(session_lock(s, MORTISE_LOCK_SHARED), MORTISE_E_INUSE);
	names(s, "flock");
	/* Only what the option names. */
	rig_option(r, "locks", "dotlock, fcntl");
	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	helper_end(&h);
}

static void tries_fcntl(struct rig *r, void *arg)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(openat(r->root, "box", O_RDWR), F_SETLK, &l) == 0)
		_exit(1);
	(void)arg;
}

/* attack-135 */
static void closing_another_descriptor_drops_no_lock(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct helper h;
	int fd;

	setup_one(r, 100);
	rig_option(r, "locks", "fcntl");
	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	fd = openat(r->root, "box", O_RDWR);
	close(fd);
	helper_start(&h, r, tries_fcntl, NULL);
	helper_end(&h);
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
}

/* Two kinds of neighbours, each waiting for its second lock while it holds the first. attack-134 */
#define ROUNDS 40

static void dot_lock(struct rig *r)
{
	int fd;

	while ((fd = openat(r->root, "box.lock", O_WRONLY | O_CREAT | O_EXCL, 0600)) < 0)
		usleep(500);
	close(fd);
}

static void neighbour(struct rig *r, bool dot_first)
{
	struct flock l = {.l_whence = SEEK_SET};
	int fd = openat(r->root, "box", O_RDWR);

	for (int i = 0; i < ROUNDS; i++) {
		if (dot_first)
			dot_lock(r);
		l.l_type = F_WRLCK;
		if (fcntl(fd, F_SETLKW, &l) != 0)
			_exit(1);
		if (!dot_first)
			dot_lock(r);
		usleep(300);
		if (unlinkat(r->root, "box.lock", 0) != 0)
			_exit(2);
		l.l_type = F_UNLCK;
		fcntl(fd, F_SETLK, &l);
	}
	_exit(0);
}

static void no_order_makes_a_deadlock(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char *const orders[] = {
	    "dotlock, fcntl, flock", "fcntl, dotlock", "flock, fcntl, dotlock"};

	setup_one(r, 20000);
	for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
		for (int dot_first = 0; dot_first < 2; dot_first++) {
			pid_t pid;
			int status;
			rig_option(r, "locks", orders[i]);
			pid = fork();
			if (pid == 0) {
				alarm(60);
				neighbour(r, dot_first);
			}
			for (int n = 0; n < ROUNDS; n++) {
				OK(s, session_lock(s, n % 2 ? MORTISE_LOCK_EXCLUSIVE : MORTISE_LOCK_SHARED));
				OK(s, session_lock(s, MORTISE_LOCK_NONE));
			}
			assert_int_equal(waitpid(pid, &status, 0), pid);
			assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
		}
}

/* ---- c-client's session lock ---- */

static void session_name(struct rig *r, char *out, size_t size)
{
	struct stat st;

	assert_int_equal(fstatat(r->root, "box", &st, 0), 0);
	snprintf(out, size, ".%llx.%llx", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
}

static void takes_flock_as_nobody(struct rig *r, void *arg)
{
	if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
		_exit(1);
	takes_flock(r, arg);
}

/* attack-133 */
static void the_session_lock_cannot_be_abused(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char name[64];
	struct stat st;
	struct helper h;

	setup_one(r, 100);
	session_name(r, name, sizeof name);
	session_checkpoint(s);
	touch(r, "precious", "keep");
	assert_int_equal(fchmodat(r->root, "precious", 0600, 0), 0);
	/* Links to somewhere else: left alone, and no reason to stop. */
	assert_int_equal(symlinkat("precious", r->root, name), 0);
	OK(s, session_flags(s, 1, MORTISE_FLAG_SEEN, 0));
	assert_int_equal(fstatat(r->root, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(unlinkat(r->root, name, 0), 0);
	assert_int_equal(linkat(r->root, "precious", r->root, name, 0), 0);
	OK(s, session_flags(s, 1, 0, 0));
	assert_int_equal(fstatat(r->root, "precious", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(unlinkat(r->root, name, 0), 0);
	/* Held by this user's own program: flags wait. */
	touch(r, name, "1");
	helper_start(&h, r, takes_flock, name);
	assert_int_equal(session_flags(s, 1, MORTISE_FLAG_SEEN, 0), MORTISE_E_INUSE);
	names(s, "open for writing");
	assert_true(there(r, name));
	rig_option(r, "session_lock", "no");
	OK(s, session_flags(s, 1, MORTISE_FLAG_SEEN, 0));
	rig_option(r, "session_lock", "yes");
	helper_end(&h);
	OK(s, session_flags(s, 1, 0, 0));
	/* Held by a stranger, who may not stop us. */
	if (getuid() == 0) {
		touch(r, name, "1");
		assert_int_equal(fchmodat(r->root, name, 0666, 0), 0);
		assert_int_equal(chmod(r->dir, 0755), 0);
		assert_int_equal(fchownat(r->root, name, NOBODY, NOBODY, 0), 0);
		helper_start(&h, r, takes_flock_as_nobody, name);
		OK(s, session_flags(s, 1, MORTISE_FLAG_SEEN, 0));
		helper_end(&h);
	}
}

/* ---- places ---- */

/* attack-131 */
static void only_regular_files_are_opened(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	assert_int_equal(session_open(r, s, 0), MORTISE_E_NOTFOUND);
	session_close(s);
	assert_int_equal(mkfifoat(r->root, "box", 0600), 0);
	assert_int_equal(session_open(r, s, 0), MORTISE_E_NOTFOUND);
	session_close(s);
	assert_int_equal(session_open(r, s, MORTISE_OPEN_READ_ONLY), MORTISE_E_NOTFOUND);
	session_close(s);
	assert_int_equal(unlinkat(r->root, "box", 0), 0);
	assert_int_equal(mkdirat(r->root, "box", 0700), 0);
	assert_int_equal(session_open(r, s, 0), MORTISE_E_NOTFOUND);
	session_close(s);
	assert_int_equal(unlinkat(r->root, "box", AT_REMOVEDIR), 0);
	assert_int_equal(symlinkat("/etc/passwd", r->root, "box"), 0);
	assert_int_equal(session_open(r, s, 0), MORTISE_E_NOTFOUND);
	session_close(s);
	assert_int_equal(unlinkat(r->root, "box", 0), 0);
	/* A link that stays inside is followed. */
	touch(r, "real", ONE);
	assert_int_equal(symlinkat("real", r->root, "box"), 0);
	rig_open(r);
	assert_int_equal(s->count, 1);
}

/* attack-140 */
static void a_spool_that_everybody_may_write_must_be_sticky(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;

	RIG_PUT(r, ONE);
	assert_int_equal(chmod(r->dir, 0777), 0);
	assert_int_equal(session_open(r, s, 0), MORTISE_E_PERM);
	names(s, "sticky");
	session_close(s);
	assert_int_equal(chmod(r->dir, 01777), 0);
	OK(s, session_open(r, s, 0));
	session_close(s);
	assert_int_equal(chmod(r->dir, 0777), 0);
	rig_option(r, "open_directory", "yes");
	OK(s, session_open(r, s, 0));
	session_close(s);
	rig_option(r, "open_directory", "no");
	if (getuid() != 0)
		return;
	/* A file that somebody else put there. */
	assert_int_equal(chmod(r->dir, 01777), 0);
	assert_int_equal(fchownat(r->root, "box", 1, 1, 0), 0);
	assert_int_equal(fchmodat(r->root, "box", 0666, 0), 0);
	assert_int_equal(seteuid(NOBODY), 0);
	assert_int_equal(session_open(r, s, 0), MORTISE_E_PERM);
	names(s, "belongs to uid 1");
	session_close(s);
	assert_int_equal(seteuid(0), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(all_locks_are_taken_and_let_go),
	    TEST(a_dot_lock_keeps_out),
	    TEST(a_stale_dot_lock_is_taken_with_care),
	    TEST(the_dot_lock_of_a_killed_process_goes_at_once),
	    TEST(what_is_no_lock_file_is_no_lock_file),
	    TEST(no_dot_lock_can_be_made),
	    TEST(kernel_locks_keep_out),
	    TEST(closing_another_descriptor_drops_no_lock),
	    TEST(no_order_makes_a_deadlock),
	    TEST(the_session_lock_cannot_be_abused),
	    TEST(only_regular_files_are_opened),
	    TEST(a_spool_that_everybody_may_write_must_be_sticky),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
