/* test-fault.c: full disks, cancelled calls, killed processes, many writers. Nothing may be lost. */
#include "../unix/test-support.h"

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
#include "box.h"
#include "module/journal.h"

/* `count` messages of `pad` octets and a line with their number. */
static void fill(struct rig *r, unsigned count, size_t pad)
{
	char *text = malloc(MBX_HEADER + count * (pad + 200)), *p = text + MBX_HEADER;

	mbx_header_new(text, 1000);
	snprintf(text + MBX_UIDS + 8, 9, "%08x", count);
	text[MBX_PREFIX - 2] = '\r';
	for (unsigned i = 1; i <= count; i++) {
		char head[64];
		int n = snprintf(head, sizeof head, "Subject: %u\r\n\r\nbody %u\r\n", i, i);
		p += sprintf(p, " 5-Jan-2024 10:20:30 +0100,%zu;000000000010-%08x\r\n%s", (size_t)n + pad + 2,
		    i, head);
		memset(p, 'a' + (int)(i % 26), pad);
		p += pad;
		p += sprintf(p, "\r\n");
	}
	rig_put(r, text, (size_t)(p - text));
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
	for (rlim_t room = 0; room < 290000; room = room * 3 + 10) {
		int result;
		size_limit(size + room);
		result = session_append(s, text, 0, NULL, &uid);
		size_limit(RLIM_INFINITY);
		assert_true(result == MORTISE_E_QUOTA || result == MORTISE_E_TOOBIG);
		after = rig_get(r, &now);
		assert_int_equal(now, size);
		assert_memory_equal(after + MBX_NOTE, before + MBX_NOTE, MBX_NOTE_SIZE);
		assert_memory_equal(after + MBX_HEADER, before + MBX_HEADER, size - MBX_HEADER);
		OK(s, session_sync(s));
		all_are_there(s, 3, 100);
	}
	OK(s, session_append(s, "Subject: 4\r\n\r\nbody 4\r\nee\r\n", 0, NULL, &uid));
	rig_reopen(r);
	assert_int_equal(s->count, 4);
	assert_int_equal(s->messages[3].uid, uid);
	free(text);
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

static void recover(struct rig *r, struct session *s)
{
	struct err e = ERR_INIT;
	int fd = openat(r->root, "box", O_RDWR);

	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	assert_true(journal_replay(r->journals, fd, &e) >= 0);
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	close(fd);
}

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
		recover(r, s);
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

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
		fill(r, 5, 5000);
		rig_open(r);
		stop_step = steps[i];
		OK(s, session_expunge(s, some, 1));
		journal_step_hook = step;
		assert_int_not_equal(session_checkpoint(s), 0);
		journal_step_hook = NULL;
		session_close(s);
		OK(s, session_open(r, s, 0));
		recover(r, s);
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

#define WRITERS 4
#define TURNS 60
#define NUMBERS 10000

/* What became of a message: shared by the processes. */
struct ledger {
	uint32_t uid[NUMBERS]; /* by number; as append said */
	bool there[NUMBERS], gone[NUMBERS], seen[NUMBERS];
};

/* The number, or 0 when somebody else took the message away. */
static unsigned any_number(struct session *s, unsigned *seed, uint32_t *uid)
{
	const char *read;
	unsigned n;

	if (session_sync(s) != 0)
		_exit(11);
	if (s->count == 0)
		return 0;
	*uid = s->messages[(unsigned)rand_r(seed) % s->count].uid;
	read = session_read(s, *uid, NULL);
	if (read == NULL)
		return 0;
	if (sscanf(read, "Subject: %u", &n) != 1 || n >= NUMBERS)
		_exit(14);
	return n;
}

static void random_turn(struct session *s, struct ledger *l, unsigned *seed, unsigned *next)
{
	char text[200];
	uint32_t uid;
	unsigned n;
	int r;

	switch (rand_r(seed) % 5) {
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
		n = any_number(s, seed, &uid);
		if (n == 0)
			break;
		r = session_flags(s, uid, MORTISE_FLAG_SEEN, 0);
		if (r == 0)
			l->seen[n] = true;
		else if (r != MORTISE_E_EXPUNGED)
			_exit(12);
		break;
	case 3:
		n = any_number(s, seed, &uid);
		if (n == 0)
			break;
		l->gone[n] = true;
		if (session_expunge(s, &uid, 1) != 0)
			_exit(15);
		break;
	default:
		/* Alone for a moment, somebody may compact. */
		session_close(s);
		if (session_open(s->rig, s, 0) != 0 || session_sync(s) != 0)
			_exit(16);
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

static void many_writers_lose_nothing(void **state)
{
	struct rig *r = *state;
	struct session *s = &r->s;
	struct ledger *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static unsigned seen[NUMBERS];
	unsigned kept = 0;
	pid_t pids[WRITERS];
	bool watch = true;

	r->lock_timeout = 60000;
	fill(r, 0, 0);
	OK(s, session_open(r, s, 0));
	for (unsigned i = 0; i < WRITERS; i++)
		pids[i] = start_writer(r, l, i);
	/* For the first while somebody watches, and nobody can compact. */
	for (unsigned i = 0; i < WRITERS; i++) {
		int status;
		for (unsigned turn = 0; watch && turn < 20; turn++)
			OK(s, session_sync(s));
		session_close(s);
		watch = false;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fail_msg("writer %u ended with %x", i, (unsigned)status);
	}
	rig_open(r);
	for (size_t i = 0; i < s->count; i++) {
		unsigned n = number_of(s, s->messages[i].uid, 2);
		assert_true(n < NUMBERS && l->there[n]);
		seen[n]++;
		assert_int_equal(l->uid[n], s->messages[i].uid);
		assert_int_equal(!!(s->messages[i].flags & MORTISE_FLAG_SEEN), l->seen[n]);
	}
	for (unsigned n = 0; n < NUMBERS; n++) {
		assert_true(seen[n] <= 1);
		if (l->there[n])
			assert_int_equal(seen[n], !l->gone[n]);
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
