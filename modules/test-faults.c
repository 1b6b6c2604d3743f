#include "test-faults.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "module/journal.h"

/* ---- messages ---- */

char *numbered_text(unsigned n, size_t pad)
{
	char *text = malloc(pad + 80);
	size_t at;

	assert_non_null(text);
	at = (size_t)snprintf(text, 64, "Subject: %u\r\n\r\nbody %u\r\n", n, n);
	memset(text + at, 'a' + (int)(n % 26), pad);
	memcpy(text + at + pad, "\r\n", 3);
	return text;
}

unsigned number_of(struct session *s, uint32_t uid, size_t pad)
{
	size_t size;
	const char *text = session_read(s, uid, &size);
	unsigned n;
	char *expected;

	assert_non_null(text);
	assert_int_equal(sscanf(text, "Subject: %u", &n), 1);
	expected = numbered_text(n, pad);
	assert_int_equal(size, strlen(expected));
	assert_memory_equal(text, expected, size);
	free(expected);
	return n;
}

void all_are_there(struct session *s, unsigned count, size_t pad)
{
	assert_int_equal(s->count, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(number_of(s, s->messages[i].uid, pad), i + 1);
}

/* ---- full disks ---- */

void size_limit(rlim_t limit)
{
	struct rlimit now;

	getrlimit(RLIMIT_FSIZE, &now);
	now.rlim_cur = limit;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
}

void appends_fail_and_leave_nothing(struct rig *r, rlim_t most)
{
	struct session *s = &r->s;
	char *text = numbered_text(9, 300000), *small = numbered_text(4, 4);
	size_t size, now;
	uint32_t uid;
	unsigned failed = 0;

	rig_open(r);
	rig_get(r, &size);
	for (rlim_t room = 0; room < most; room = room * 3 + 60) {
		int result;

		size_limit(size + room);
		result = session_append(s, text, 0, NULL, &uid);
		size_limit(RLIM_INFINITY);
		if (result == 0)
			break;
		failed++;
		assert_true(result == MORTISE_E_QUOTA || result == MORTISE_E_TOOBIG);
		rig_get(r, &now);
		assert_int_equal(now, size);
		OK(s, session_sync(s));
		all_are_there(s, 3, 100);
	}
	assert_true(failed > 5);
	OK(s, session_append(s, small, 0, NULL, &uid));
	rig_reopen(r);
	assert_int_equal(number_of(s, uid, 4), 4);
	free(text);
	free(small);
}

/* ---- journals ---- */

void replay_journal(struct rig *r, struct session *s)
{
	struct err e = ERR_INIT;
	int fd = openat(r->root, r->file, O_RDWR);

	OK(s, session_lock(s, MORTISE_LOCK_EXCLUSIVE));
	assert_true(journal_replay(r->journals, fd, &e) >= 0);
	OK(s, session_lock(s, MORTISE_LOCK_NONE));
	close(fd);
}

static const char *stop_step;

static int step(const char *name)
{
	return strcmp(name, stop_step) == 0 ? -1 : 0;
}

void stop_journal_at(const char *name)
{
	stop_step = name;
	journal_step_hook = name != NULL ? step : NULL;
}

/* ---- many writers ---- */

struct ledger *ledger_new(void)
{
	struct ledger *l = mmap(NULL, sizeof *l, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(l != MAP_FAILED);
	return l;
}

/* The number of any message, or 0 when somebody else took it away. */
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

static void append_one(struct session *s, struct ledger *l, unsigned n)
{
	char *text = numbered_text(n, 2);
	uint32_t uid;

	if (session_append(s, text, 0, NULL, &uid) != 0)
		_exit(10);
	free(text);
	l->uid[n] = uid;
	l->there[n] = true;
}

static void random_turn(struct session *s, struct ledger *l, unsigned *seed, unsigned *next)
{
	unsigned turn = (unsigned)rand_r(seed) % 5, n = 0;
	uint32_t uid;
	int r;

	if (turn == 2 || turn == 3)
		n = any_number(s, seed, &uid);
	if (turn <= 1) {
		append_one(s, l, (*next)++);
	} else if (turn == 2 && n != 0) {
		r = session_flags(s, uid, MORTISE_FLAG_SEEN, 0);
		if (r != 0 && r != MORTISE_E_EXPUNGED)
			_exit(12);
		l->seen[n] = l->seen[n] || r == 0;
	} else if (turn == 3 && n != 0) {
		l->gone[n] = true;
		if (session_expunge(s, &uid, 1) != 0)
			_exit(15);
	} else if (turn == 4) {
		/* Alone for a moment, somebody may take space back. */
		session_close(s);
		if (session_open(s->rig, s, 0) != 0 || session_sync(s) != 0)
			_exit(16);
	}
}

pid_t start_writer(struct rig *r, struct ledger *l, unsigned i, unsigned turns)
{
	pid_t pid = fork();
	unsigned seed = i * 77 + 5, next = i * 1000 + 1;
	struct session mine;

	if (pid != 0)
		return pid;
	alarm(120);
	if (session_open(r, &mine, 0) != 0 || session_sync(&mine) != 0)
		_exit(1);
	for (unsigned turn = 0; turn < turns; turn++)
		random_turn(&mine, l, &seed, &next);
	session_close(&mine);
	_exit(0);
}

void wait_for_writer(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("a writer ended with %x", (unsigned)status);
}

void ledger_check(struct rig *r, struct ledger *l)
{
	static unsigned seen[NUMBERS];
	struct session *s = &r->s;
	unsigned kept = 0;

	OK(s, session_sync(s));
	memset(seen, 0, sizeof seen);
	for (size_t i = 0; i < s->count; i++) {
		unsigned n = number_of(s, s->messages[i].uid, 2);

		assert_true(n < NUMBERS && l->there[n]);
		seen[n]++;
		if (l->uid[n] != 0)
			assert_int_equal(l->uid[n], s->messages[i].uid);
		assert_int_equal(!!(s->messages[i].flags & MORTISE_FLAG_SEEN), l->seen[n]);
	}
	for (unsigned n = 0; n < NUMBERS; n++) {
		assert_int_equal(seen[n], l->there[n] && !l->gone[n]);
		kept += seen[n];
	}
	print_message("# %u messages left, UIDNEXT %u\n", kept, s->uidnext);
	rig_reopen(r);
	assert_int_equal(s->count, kept);
	munmap(l, sizeof *l);
}
