/* test-fault.c: full disks, cancelled calls, killed processes, many writers. Nothing may be lost. */
#include "test-support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "module/journal.h"

static char *make_messages(unsigned first, unsigned count, size_t pad)
{
	char *text = malloc(count * (pad + 200) + 1), *p = text;

	for (unsigned i = first; i < first + count; i++) {
		p += sprintf(p, HEAD "Subject: %u\n\nbody %u\n", i, i);
		memset(p, 'a' + (int)(i % 26), pad);
		p += pad;
		p += sprintf(p, "\n\n");
	}
	*p = '\0';
	return text;
}

static void fill(struct rig *r, unsigned count, size_t pad)
{
	char *text = make_messages(1, count, pad);

	rig_put(r, text, strlen(text));
	free(text);
}

/* The number in a message's Subject, its text having been checked. */
static unsigned number_of(struct session *s, uint32_t uid, size_t pad)
{
	size_t size;
	const char *text = session_read(s, uid, &size), *p;
	unsigned n;
	char head[64];

	assert_non_null(text);
	assert_int_equal(sscanf(text, "Subject: %u", &n), 1);
	snprintf(head, sizeof head, "Subject: %u\r\n\r\nbody %u\r\n", n, n);
	assert_memory_equal(text, head, strlen(head));
	assert_int_equal(size, strlen(head) + pad + 2);
	for (p = text + strlen(head); *p != '\r'; p++)
		assert_int_equal(*p, 'a' + n % 26);
	return n;
}

static void all_are_there(struct session *s, unsigned count, size_t pad)
{
	assert_int_equal(s->count, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(number_of(s, s->messages[i].uid, pad), i + 1);
}

static void size_limit(rlim_t limit)
{
	struct rlimit now;

	getrlimit(RLIMIT_FSIZE, &now);
	now.rlim_cur = limit;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
}

/* attack-137 */
static void an_append_that_fails_is_cut_off(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char *text = malloc(300001), *before, *after;
	size_t size, now;
	uint32_t uid;

	memset(text, 'x', 300000);
	memcpy(text, "A: b\r\n\r\n", 8);
	text[300000] = '\0';
	fill(r, 3, 100);
	rig_open(r);
	before = rig_get(r, &size);
	for (rlim_t room = 0; room < 400000; room = room * 3 + 60) {
		int result;
		size_limit(size + room);
		result = session_append(s, text, 0, NULL, &uid);
		size_limit(RLIM_INFINITY);
		after = rig_get(r, &now);
		if (result == 0)
			break;
		assert_true(result == MORTISE_E_QUOTA || result == MORTISE_E_TOOBIG);
		assert_int_equal(now, size);
		OK(s, session_sync(s));
		all_are_there(s, 3, 100);
	}
	OK(s, session_append(s, "Subject: 4\r\n\r\nbody 4\r\neeee\r\n", 0, NULL, &uid));
	(void)before;
	(void)after;
	free(text);
}

/* What is expunged and still there makes room for what comes. */
static void room_is_made_for_an_append(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t two[] = {2, 3};
	char *text = malloc(20001);
	uint32_t uid;
	size_t size;

	memset(text, 'x', 20000);
	memcpy(text, "A: b\r\n\r\n", 8);
	text[20000] = '\0';
	fill(r, 4, 20000);
	rig_open(r);
	OK(s, session_expunge(s, two, 2));
	OK(s, session_sync(s));
	rig_get(r, &size);
	size_limit(size);
	OK(s, session_append(s, text, 0, NULL, &uid));
	size_limit(RLIM_INFINITY);
	assert_int_equal(uid, 5);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 3);
	assert_int_equal(number_of(s, 4, 20000), 4);
	free(text);
}

/* attack-137: new mail that cannot be given UIDs in the file is shown all the same. */
static void a_full_disk_hides_nothing(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	size_t size, now;
	static const uint32_t two[] = {2};
	char *text = make_messages(4, 2, 100);

	fill(r, 3, 100);
	rig_open(r);
	rig_add(r, text);
	free(text);
	rig_get(r, &size);
	size_limit(size);
	OK(s, session_sync(s));
	all_are_there(s, 5, 100);
	assert_int_equal(s->messages[4].uid, 5);
	assert_int_equal(session_flags(s, 5, MORTISE_FLAG_SEEN, 0), MORTISE_E_QUOTA);
	OK(s, session_flags(s, 1, MORTISE_FLAG_SEEN, 0)); /* in place */
	OK(s, session_sync(s));
	assert_int_equal(s->messages[4].uid, 5);
	/* Removing a message needs no room. */
	OK(s, session_expunge(s, two, 1));
	OK(s, session_checkpoint(s));
	rig_get(r, &now);
	assert_true(now < size);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 4);
	size_limit(RLIM_INFINITY);
	rig_reopen(r);
	assert_int_equal(s->count, 4);
	assert_int_equal(s->messages[3].uid, 5);
	assert_int_equal(number_of(s, 5, 100), 5);
	assert_int_equal(s->messages[0].flags & MORTISE_FLAG_SEEN, MORTISE_FLAG_SEEN);
}

/* ---- cancelled calls ---- */

static void cancelled_calls_change_nothing_or_all(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t some[] = {1, 4};
	bool done = false;

	rig_option(r, "expunged_max", "0");
	for (int at = 1; !done; at++) {
		int result;
		assert_true(at < 500);
		fill(r, 8, 200000);
		rig_open(r);
		r->stop_after = at;
		result = session_expunge(s, some, 2);
		done = r->stop_after > 0;
		r->stop_after = 0;
		assert_true(result == 0 || result == MORTISE_E_CANCELLED);
		assert_int_equal(session_lock(s, MORTISE_LOCK_NONE), 0);
		OK(s, session_sync(s));
		if (result != 0)
			all_are_there(s, 8, 200000);
		else
			assert_int_equal(s->count, 6);
		rig_reopen(r);
		assert_int_equal(s->count, result == 0 ? 6 : 8);
		assert_int_equal(s->messages[1].uid, result == 0 ? 3 : 2);
		session_close(s);
	}
}

static void cancelled_syncs_are_done_again(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	bool done = false;

	for (int at = 1; !done; at++) {
		fill(r, 4, 300000);
		OK(s, session_open(r, s, 0));
		r->stop_after = at;
		if (session_sync(s) != 0)
			assert_int_equal(s->e.code, MORTISE_E_CANCELLED);
		done = r->stop_after > 0;
		r->stop_after = 0;
		OK(s, session_sync(s));
		all_are_there(s, 4, 300000);
		assert_int_equal(s->messages[3].uid, 4);
		session_close(s);
	}
}

/* ---- killed processes ---- */

static void recover(struct rig *r, struct session *s)
{
	struct err e = ERR_INIT;
	int fd = openat(r->root, "box", O_RDWR);

	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	assert_true(journal_replay(r->journals, fd, &e) >= 0);
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	close(fd);
}

/* Kill -9 anywhere in an expunge: replayed or not begun. */
static void killed_expunges_lose_nothing(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	unsigned finished = 0, early = 0;

	rig_option(r, "expunged_max", "0");
	rig_option(r, "dotlock", "no"); /* a killed process leaves one; that is another test */
	for (unsigned turn = 0; turn < 40; turn++) {
		static const uint32_t some[] = {2, 3, 7};
		pid_t pid;
		int status;

		fill(r, 10, 100000);
		rig_open(r);
		session_close(s);
		pid = fork();
		if (pid == 0) {
			if (session_open(r, s, 0) != 0 || session_sync(s) != 0)
				_exit(1);
			_exit(session_expunge(s, some, 3) == 0 ? 0 : 2);
		}
		usleep(2000 + turn * 400);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
		OK(s, session_open(r, s, 0));
		recover(r, s);
		OK(s, session_sync(s));
		if (s->count == 7) {
			finished++;
			assert_int_equal(s->messages[1].uid, 4);
			for (unsigned i = 0; i < 7; i++)
				assert_int_equal(
				    number_of(s, s->messages[i].uid, 100000), s->messages[i].uid);
		} else {
			early++;
			all_are_there(s, 10, 100000);
			for (unsigned i = 0; i < 10; i++)
				assert_int_equal(s->messages[i].uid, i + 1);
		}
		session_close(s);
	}
	print_message("# %u finished, %u not begun\n", finished, early);
}

static const char *stop_step;

static int step(const char *name)
{
	return strcmp(name, stop_step) == 0 ? -1 : 0;
}

/* At each step of the journal, without chance. */
static void a_journal_is_finished_later(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char *const steps[] = {"sealed", "published", "extended", "copied", "cut", "synced"};
	static const uint32_t some[] = {2};

	rig_option(r, "expunged_max", "0");
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		int result;
		fill(r, 5, 5000);
		rig_open(r);
		stop_step = steps[i];
		journal_step_hook = step;
		result = session_expunge(s, some, 1);
		journal_step_hook = NULL;
		session_close(s);
		OK(s, session_open(r, s, 0));
		recover(r, s);
		OK(s, session_sync(s));
		assert_true(s->count == 4 || s->count == 5);
		if (result == 0)
			assert_int_equal(s->count, 4);
		for (size_t j = 0; j < s->count; j++)
			assert_int_equal(number_of(s, s->messages[j].uid, 5000), s->messages[j].uid);
		session_close(s);
	}
}

static void append_many(struct session *s, unsigned from)
{
	for (unsigned i = from; i < from + 3; i++) {
		char text[200];
		snprintf(text, sizeof text, "Subject: %u\r\n\r\nlater %u\r\n", i, i);
		OK(s, session_append(s, text, 0, NULL, NULL));
	}
}

/* Another process is killed between the core's look for a journal and our lock. */
static void a_journal_is_finished_under_the_lock(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, other;
	static const char *const steps[] = {"published", "extended", "copied", "cut", "synced"};
	static const uint32_t some[] = {2};

	rig_option(r, "expunged_max", "0");
	for (size_t i = 0; i < 2 * sizeof steps / sizeof *steps; i++) {
		fill(r, 5, 5000);
		rig_open(r);
		OK(&other, session_open(r, &other, 0));
		OK(&other, session_sync(&other));
		stop_step = steps[i / 2];
		journal_step_hook = step;
		assert_int_not_equal(session_expunge(s, some, 1), 0);
		journal_step_hook = NULL;
		session_close(s);
		if (i % 2 == 0)
			OK(&other, session_sync(&other));
		append_many(&other, 100);
		OK(&other, session_sync(&other));
		/* Where nothing of it was done yet, it never was. */
		assert_true(other.count == 7 || (i / 2 < 2 && other.count == 8));
		for (size_t j = 0; j + 3 < other.count; j++)
			assert_int_equal(
			    number_of(&other, other.messages[j].uid, 5000), other.messages[j].uid);
		session_close(&other);
	}
}

/* ---- many writers ---- */

#define WRITERS 4
#define TURNS 30
#define NUMBERS 10000

/* What became of a message: shared by the processes. */
struct ledger {
	uint32_t uid[NUMBERS]; /* by number; as append said */
	bool there[NUMBERS], gone[NUMBERS];
};

static void random_turn(struct session *s, struct ledger *l, unsigned *seed, unsigned *next)
{
	char text[200];
	uint32_t uid;

	switch (rand_r(seed) % 4) {
	case 0:
	case 1:
		snprintf(text, sizeof text, "Subject: %u\r\n\r\nbody %u\r\n%c%c\r\n", *next, *next,
		    'a' + *next % 26, 'a' + *next % 26);
		if (session_append(s, text, 0, NULL, &uid) != 0)
			_exit(10);
		l->uid[*next] = uid;
		l->there[(*next)++] = true;
		break;
	case 2:
		if (session_sync(s) != 0)
			_exit(11);
		if (s->count > 0) {
			uid = s->messages[(unsigned)rand_r(seed) % s->count].uid;
			int r = session_flags(s, uid, MORTISE_FLAG_SEEN, 0);
			if (r != 0 && r != MORTISE_E_EXPUNGED)
				_exit(12);
		}
		break;
	default:
		if (session_sync(s) != 0)
			_exit(13);
		if (s->count > 0) {
			/* Another may take it away first: then it cannot be read, which is an answer too. */
			uint32_t victim = s->messages[(unsigned)rand_r(seed) % s->count].uid;
			const char *read = session_read(s, victim, NULL);
			unsigned n;
			if (read == NULL)
				break;
			if (sscanf(read, "Subject: %u", &n) != 1 || n >= NUMBERS)
				_exit(14);
			l->gone[n] = true;
			if (session_expunge(s, &victim, 1) != 0) {
				print_error("expunge: %s %s\n", s->e.admin, s->e.client);
				_exit(15);
			}
		}
	}
}

static pid_t start_writer(struct rig *r, struct ledger *l, unsigned i)
{
	pid_t pid = fork();
	unsigned seed = i * 77 + 5, next = i * 1000 + 1;
	struct session mine;

	if (pid != 0)
		return pid;
	alarm(120);
	if (session_open(r, &mine, 0) != 0 || session_sync(&mine) != 0)
		_exit(1);
	for (unsigned turn = 0; turn < TURNS; turn++)
		random_turn(&mine, l, &seed, &next);
	session_close(&mine);
	_exit(0);
}

/* A transport: procmail's lockfile program when it is there, and fcntl. */
static pid_t start_transport(struct rig *r, struct ledger *l)
{
	char lock[128], command[300];
	bool have = access("/usr/bin/lockfile", X_OK) == 0;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	alarm(120);
	snprintf(lock, sizeof lock, "%s/box.lock", r->dir);
	snprintf(command, sizeof command, "/usr/bin/lockfile -1 -r 200 %s", lock);
	for (unsigned i = 0; i < 15; i++) {
		unsigned n = 9000 + i;
		struct flock f = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
		int fd = openat(r->root, "box", O_RDWR | O_APPEND);
		char text[300];

		if (have && system(command) != 0)
			_exit(20);
		if (fcntl(fd, F_SETLKW, &f) != 0)
			_exit(21);
		snprintf(text, sizeof text,
		    "From s@x Mon Jan  1 10:00:00 2024\nSubject: %u\n\nbody %u\n%c%c\n\n", n, n, 'a' + n % 26,
		    'a' + n % 26);
		if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
			_exit(22);
		l->there[n] = true;
		close(fd);
		if (have && unlink(lock) != 0)
			_exit(23);
	}
	_exit(0);
}

static void many_writers_lose_nothing(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct ledger *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static unsigned seen[NUMBERS];
	unsigned kept = 0;
	pid_t pids[WRITERS + 1];

	r->lock_timeout = 60000;
	fill(r, 0, 0);
	rig_open(r);
	s->place.lock_timeout = 60000;
	for (unsigned i = 0; i < WRITERS; i++)
		pids[i] = start_writer(r, l, i);
	pids[WRITERS] = start_transport(r, l);
	for (unsigned i = 0; i <= WRITERS; i++) {
		int status;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fail_msg("writer %u ended with %x", i, (unsigned)status);
	}
	OK(s, session_sync(s));
	for (size_t i = 0; i < s->count; i++) {
		unsigned n = number_of(s, s->messages[i].uid, 2);
		assert_true(n < NUMBERS && l->there[n]);
		seen[n]++;
		if (l->uid[n] != 0)
			assert_int_equal(l->uid[n], s->messages[i].uid);
	}
	for (unsigned n = 0; n < NUMBERS; n++) {
		assert_true(seen[n] <= 1);
		if (l->there[n] && !l->gone[n])
			assert_int_equal(seen[n], 1);
		if (l->gone[n])
			assert_int_equal(seen[n], 0);
		kept += seen[n];
	}
	print_message("# %u messages left, UIDNEXT %u\n", kept, s->uidnext);
	rig_reopen(r);
	assert_int_equal(s->count, kept);
	munmap(l, sizeof *l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_append_that_fails_is_cut_off),
	    TEST(room_is_made_for_an_append),
	    TEST(a_full_disk_hides_nothing),
	    TEST(cancelled_calls_change_nothing_or_all),
	    TEST(cancelled_syncs_are_done_again),
	    TEST(killed_expunges_lose_nothing),
	    TEST(a_journal_is_finished_later),
	    TEST(a_journal_is_finished_under_the_lock),
	    TEST(many_writers_lose_nothing),
	};

	signal(SIGXFSZ, SIG_IGN); /* as the server does: writing then fails with EFBIG */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
