/* test-fault.c: full disks, cancelled calls, killed processes, many writers. Nothing may be lost. */
#include "../test-faults.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *make_messages(unsigned first, unsigned count, size_t pad)
{
	size_t room = count * (pad + 200) + 1, at = 0;
	char *text = malloc(room);

	for (unsigned i = first; i < first + count; i++) {
		at += (size_t)snprintf(text + at, room - at, HEAD "Subject: %u\n\nbody %u\n", i, i);
		memset(text + at, 'a' + (int)(i % 26), pad);
		at += pad;
		memcpy(text + at, "\n\n", 2);
		at += 2;
	}
	text[at] = '\0';
	return text;
}

static void fill(struct rig *r, unsigned count, size_t pad)
{
	char *text = make_messages(1, count, pad);

	rig_put(r, text, strlen(text));
	free(text);
}

/* attack-137 */
static void an_append_that_fails_is_cut_off(void **state)
{
	struct rig *r = *state;

	fill(r, 3, 100);
	appends_fail_and_leave_nothing(r, 400000);
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
		replay_journal(r, s);
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
		stop_journal_at(steps[i]);
		result = session_expunge(s, some, 1);
		stop_journal_at(NULL);
		session_close(s);
		OK(s, session_open(r, s, 0));
		replay_journal(r, s);
		OK(s, session_sync(s));
		assert_true(s->count == 4 || s->count == 5);
		if (result == 0)
			assert_int_equal(s->count, 4);
		for (size_t j = 0; j < s->count; j++)
			assert_int_equal(number_of(s, s->messages[j].uid, 5000), s->messages[j].uid);
		session_close(s);
	}
}

/* FETCH, before anybody has taken the lock again. */
static void a_half_written_mailbox_is_not_read(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s, other;
	static const char *const steps[] = {"published", "extended", "copied", "cut", "synced"};
	static const uint32_t some[] = {2};

	rig_option(r, "expunged_max", "0");
	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		fill(r, 5, 5000);
		rig_open(r);
		OK(&other, session_open(r, &other, i % 2 == 0 ? 0 : MORTISE_OPEN_READ_ONLY));
		OK(&other, session_sync(&other));
		stop_journal_at(steps[i]);
		assert_int_not_equal(session_expunge(s, some, 1), 0);
		stop_journal_at(NULL);
		for (uint32_t uid = 3; uid <= 5; uid++)
			if (i % 2 == 0)
				assert_int_equal(number_of(&other, uid, 5000), uid);
			else if (session_read(&other, uid, NULL) == NULL)
				assert_int_equal(other.e.code, MORTISE_E_UNAVAILABLE);
			else
				assert_int_equal(number_of(&other, uid, 5000), uid);
		assert_int_equal(number_of(s, 5, 5000), 5);
		assert_int_equal(number_of(&other, 5, 5000), 5);
		session_close(&other);
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
		stop_journal_at(steps[i / 2]);
		assert_int_not_equal(session_expunge(s, some, 1), 0);
		stop_journal_at(NULL);
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
	struct ledger *l = ledger_new();
	pid_t pids[WRITERS + 1];

	r->lock_timeout = 60000;
	fill(r, 0, 0);
	rig_open(r);
	s->place.lock_timeout = 60000;
	for (unsigned i = 0; i < WRITERS; i++)
		pids[i] = start_writer(r, l, i, 30);
	pids[WRITERS] = start_transport(r, l);
	for (unsigned i = 0; i <= WRITERS; i++)
		wait_for_writer(pids[i]);
	ledger_check(r, l);
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
	    TEST(a_half_written_mailbox_is_not_read),
	    TEST(a_journal_is_finished_under_the_lock),
	    TEST(many_writers_lose_nothing),
	};

	signal(SIGXFSZ, SIG_IGN); /* as the server does: writing then fails with EFBIG */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
