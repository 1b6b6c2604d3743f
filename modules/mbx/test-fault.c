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

#include "base/clock.h"
#include "box.h"

/* Messages 1 … count. */
static void fill(struct rig *r, unsigned count, size_t pad)
{
	char *file = malloc(MBX_HEADER + count * (pad + 200)), *p = file + MBX_HEADER;

	mbx_header_new(file, 1000);
	snprintf(file + MBX_UIDS + 8, 9, "%08x", count);
	file[MBX_PREFIX - 2] = '\r';
	for (unsigned i = 1; i <= count; i++) {
		char *text = numbered_text(i, pad);
		size_t size = strlen(text);
		p += snprintf(
		    p, MBX_LINE_MAX, " 5-Jan-2024 10:20:30 +0100,%zu;000000000010-%08x\r\n", size, i);
		memcpy(p, text, size);
		p += size;
		free(text);
	}
	rig_put(r, file, (size_t)(p - file));
	free(file);
}

/* attack-137 */
static void an_append_that_fails_is_cut_off(void **state)
{
	struct rig *r = *state;

	fill(r, 3, 100);
	appends_fail_and_leave_nothing(r, 290000);
	assert_int_equal(rig_get(r, NULL)[MBX_NOTE], 0);
}

/* Removing and marking need no room, and where no journal can be had the text's blocks are given back. */
static void a_full_disk_can_be_emptied(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t some[] = {1, 2}, rest[] = {3, 4};
	struct stat before, after;
	int expunged, checked;

	fill(r, 4, 100000);
	rig_open(r);
	assert_int_equal(fstatat(r->root, r->file, &before, 0), 0);
	size_limit(150000); /* the journal of what is behind is larger */
	expunged = session_expunge(s, some, 2);
	checked = session_checkpoint(s);
	size_limit(RLIM_INFINITY);
	assert_int_equal(expunged, 0);
	assert_int_equal(checked, 0);
	assert_int_equal(fstatat(r->root, r->file, &after, 0), 0);
	assert_true(after.st_blocks < before.st_blocks - 200);
	OK(s, session_sync(s));
	assert_int_equal(s->count, 2);
	assert_int_equal(number_of(s, 3, 100000), 3);
	session_close(s);
	assert_int_equal(fstatat(r->root, r->file, &after, 0), 0);
	assert_true(after.st_size < 210000);
	rig_open(r);
	assert_int_equal(number_of(s, 3, 100000), 3);
	OK(s, session_expunge(s, rest, 2));
	rig_reopen(r);
	assert_int_equal(s->count, 0);
	assert_int_equal(s->uidnext, 5);
}

/* ---- cancelled calls ---- */

static void cancelled_calls_change_nothing_or_all(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const uint32_t some[] = {1, 4};
	bool done = false;

	for (int at = 1; !done; at++) {
		int result;
		assert_true(at < 500);
		fill(r, 8, 200000);
		rig_open(r);
		r->stop_after = at;
		result = session_expunge(s, some, 2);
		if (result == 0)
			(void)session_checkpoint(s);
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
		for (size_t i = 0; i < s->count; i++)
			assert_int_equal(number_of(s, s->messages[i].uid, 200000), s->messages[i].uid);
		session_close(s);
	}
}

/* ---- killed processes ---- */

/* Kill -9 anywhere in an expunge: done, marked only, or not begun; never in between. */
static void killed_expunges_lose_nothing(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	unsigned finished = 0, early = 0;

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
			_exit(session_expunge(s, some, 3) == 0 && session_checkpoint(s) == 0 ? 0 : 2);
		}
		usleep(500 + turn * 300);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(!WIFEXITED(status) || WEXITSTATUS(status) == 0);
		OK(s, session_open(r, s, 0));
		replay_journal(r, s);
		OK(s, session_sync(s));
		assert_true(s->count >= 7 && s->count <= 10);
		*(s->count == 7 ? &finished : &early) += 1;
		for (size_t i = 0; i < s->count; i++)
			assert_int_equal(number_of(s, s->messages[i].uid, 100000), s->messages[i].uid);
		for (uint32_t uid = 1; uid <= 10; uid++)
			if (uid != 2 && uid != 3 && uid != 7)
				assert_non_null(session_find(s, uid));
		session_close(s);
	}
	print_message("# %u finished, %u before\n", finished, early);
}

/* At each step of the journal, without chance. */
static void a_journal_is_finished_later(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	static const char *const steps[] = {"sealed", "published", "extended", "copied", "cut", "synced"};
	static const uint32_t some[] = {2};

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		fill(r, 5, 5000);
		rig_open(r);
		OK(s, session_expunge(s, some, 1));
		stop_journal_at(steps[i]);
		assert_int_not_equal(session_checkpoint(s), 0);
		stop_journal_at(NULL);
		session_close(s);
		OK(s, session_open(r, s, 0));
		replay_journal(r, s);
		OK(s, session_sync(s));
		assert_int_equal(s->count, 4);
		for (size_t j = 0; j < s->count; j++)
			assert_int_equal(number_of(s, s->messages[j].uid, 5000), s->messages[j].uid);
		session_close(s);
	}
}

/* Kill -9 anywhere in an append: the message is there or not, and the mailbox is whole. */
static void killed_appends_leave_a_whole_mailbox(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	size_t size = 3000000;
	char *text = malloc(size + 1);
	unsigned there = 0, cut = 0;

	memset(text, 'x', size);
	memcpy(text, "A: b\r\n\r\n", 8);
	text[size] = '\0';
	for (unsigned turn = 0; turn < 40; turn++) {
		pid_t pid;
		int status;
		size_t before, after;

		fill(r, 3, 100);
		rig_get(r, &before);
		pid = fork();
		if (pid == 0) {
			if (session_open(r, s, 0) != 0)
				_exit(1);
			_exit(session_append(s, text, 0, NULL, NULL) == 0 ? 0 : 2);
		}
		/* Once it writes, at some moment or other. */
		for (uint64_t end = clock_ms() + 5000; clock_ms() < end;) {
			struct stat st;
			if (fstatat(r->root, r->file, &st, 0) == 0 &&
			    (size_t)st.st_size > before + turn * 70000)
				break;
		}
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		rig_get(r, &after);
		rig_open(r);
		assert_true(s->count == 3 || s->count == 4);
		*(s->count == 4 ? &there : &cut) += 1;
		if (s->count == 4)
			assert_int_equal(s->messages[3].m.octets, size);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(number_of(s, i + 1, 100), i + 1);
		OK(s, session_append(s, "Subject: 9\r\n\r\nbody 9\r\njj\r\n", 0, NULL, NULL));
		rig_reopen(r);
		assert_int_equal(number_of(s, s->messages[s->count - 1].uid, 2), 9);
		session_close(s);
	}
	print_message("# %u there, %u cut off\n", there, cut);
	free(text);
}

/* The note is for what is behind it only; without it nothing is cut. */
static void only_an_appends_rest_is_removed(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	char note[64];
	size_t size, now;
	int fd;

	fill(r, 3, 100);
	rig_get(r, &size);
	rig_add(r, " 5-Jan-2024 10:20:30 +0100,1000;000000000010-00000004\r\nSubject");
	OK(s, session_open(r, s, 0));
	assert_int_equal(session_sync(s), MORTISE_E_CORRUPT);
	session_close(s);
	fd = openat(r->root, r->file, O_RDWR);
	snprintf(note, sizeof note, "A%016zx%08x", size + 1, 4);
	assert_int_equal(pwrite(fd, note, MBX_NOTE_SIZE, MBX_NOTE), MBX_NOTE_SIZE);
	OK(s, session_open(r, s, 0));
	assert_int_equal(session_sync(s), MORTISE_E_CORRUPT);
	session_close(s);
	snprintf(note, sizeof note, "A%016zx%08x", size, 4);
	assert_int_equal(pwrite(fd, note, MBX_NOTE_SIZE, MBX_NOTE), MBX_NOTE_SIZE);
	close(fd);
	OK(s, session_open(r, s, MORTISE_OPEN_READ_ONLY));
	OK(s, session_sync(s));
	all_are_there(s, 3, 100);
	rig_reopen(r);
	all_are_there(s, 3, 100);
	assert_int_equal(rig_get(r, &now)[MBX_NOTE], 0);
	assert_int_equal(now, size);
}

/* ---- many writers ---- */

static void many_writers_lose_nothing(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct ledger *l = ledger_new();
	pid_t pids[WRITERS];

	r->lock_timeout = 60000;
	fill(r, 0, 0);
	OK(s, session_open(r, s, 0));
	for (unsigned i = 0; i < WRITERS; i++)
		pids[i] = start_writer(r, l, i, 60);
	/* For the first while somebody watches, and nobody can compact. */
	for (unsigned turn = 0; turn < 20; turn++)
		OK(s, session_sync(s));
	session_close(s);
	for (unsigned i = 0; i < WRITERS; i++)
		wait_for_writer(pids[i]);
	rig_open(r);
	ledger_check(r, l);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_append_that_fails_is_cut_off),
	    TEST(a_full_disk_can_be_emptied),
	    TEST(cancelled_calls_change_nothing_or_all),
	    TEST(killed_expunges_lose_nothing),
	    TEST(a_journal_is_finished_later),
	    TEST(killed_appends_leave_a_whole_mailbox),
	    TEST(only_an_appends_rest_is_removed),
	    TEST(many_writers_lose_nothing),
	};

	signal(SIGXFSZ, SIG_IGN); /* as the server does: writing then fails with EFBIG */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
