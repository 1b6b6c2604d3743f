/*
 * The rewrite journal: whatever step a crash comes at, whatever sectors reached the disk, and whatever a
 * delivery agent appended meanwhile, the mailbox is afterwards the old or the new one and the appended
 * message is there. attack-cases: a crash in the middle of a rewrite, a foreign writer between crash and
 * replay.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/mem.h"
#include "log/log.h"
#include "module/journal.h"
#include "module/module.h"
#include "base/banned.h"

static int dir = -1;
static char dir_path[] = "/tmp/mortise-journal-XXXXXX";
static uint32_t seed = 1;

static unsigned rnd(unsigned below)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % below;
}

static int setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir_path));
	dir = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir >= 0);
	return 0;
}

/* How many files of this kind are there; they are removed when `clean`. */
static unsigned count(const char *kind, bool clean)
{
	DIR *d = opendir(dir_path);
	struct dirent *entry;
	unsigned n = 0;

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL) {
		if (strncmp(entry->d_name, kind, strlen(kind)) != 0)
			continue;
		n++;
		if (clean)
			unlinkat(dir, entry->d_name, 0);
	}
	closedir(d);
	return n;
}

static int teardown(void **state)
{
	(void)state;
	count("box", true);
	count("journal.", true);
	count("aside.", true);
	close(dir);
	assert_int_equal(rmdir(dir_path), 0);
	return 0;
}

static int make_box(struct str content)
{
	int fd = openat(dir, "box", O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, content.p, content.n), 0);
	return fd;
}

static void append_foreign(struct str text)
{
	int fd = openat(dir, "box", O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(io_write(fd, text.p, text.n), 0);
	close(fd);
}

static bool box_is(int fd, struct str content, struct str extra)
{
	struct stat st;
	char *now;
	bool same;

	assert_int_equal(fstat(fd, &st), 0);
	if ((size_t)st.st_size != content.n + extra.n)
		return false;
	now = mem_alloc((size_t)st.st_size + 1);
	assert_int_equal(io_pread(fd, now, (size_t)st.st_size, 0), st.st_size);
	same = (content.n == 0 || memcmp(now, content.p, content.n) == 0) &&
	       (extra.n == 0 || memcmp(now + content.n, extra.p, extra.n) == 0);
	mem_free(now);
	return same;
}

static int steps_left;
static int stop_after(const char *name)
{
	(void)name;
	return --steps_left <= 0;
}

/* A rewrite from `offset`, stopped at the n-th step (0: not at all). What commit says. */
static int rewrite(int box, size_t offset, struct str after, int stop)
{
	struct err e = ERR_INIT;
	struct journal *j = NULL;
	int fd = journal_open(dir, box, offset, &j, &e), r;

	assert_true(fd >= 0);
	assert_int_equal(io_write(fd, after.p + offset, after.n - offset), 0);
	steps_left = stop;
	journal_step_hook = stop > 0 ? stop_after : NULL;
	r = journal_commit(&j, &e);
	journal_step_hook = NULL;
	assert_null(j);
	assert_int_equal(r, e.code);
	return r;
}

struct pair {
	struct buf before, after;
	size_t offset;
};

static void fill(struct buf *b, size_t n)
{
	while (n-- > 0)
		buf_addc(b, (char)(1 + rnd(255)));
}

/* A mailbox of `before` octets that keeps `offset` and has `length` new ones behind. */
static void make_pair(struct pair *p, size_t before, size_t offset, size_t length)
{
	*p = (struct pair){.offset = offset};
	fill(&p->before, before);
	buf_add(&p->after, p->before.p, offset);
	fill(&p->after, length);
}

static void free_pair(struct pair *p)
{
	buf_free(&p->before);
	buf_free(&p->after);
}

static const struct {
	size_t before, offset, length;
} shapes[] = {
    {10000, 3000, 5000},     /* shorter: an expunge */
    {10000, 3000, 7000},     /* same size */
    {10000, 3000, 9000},     /* longer */
    {10000, 10000, 4000},    /* only longer */
    {10000, 6000, 0},        /* only shorter */
    {10000, 0, 0},           /* everything gone */
    {0, 0, 600},             /* from nothing */
    {4096, 512, 1024},       /* on sector borders */
    {300000, 65000, 200000}, /* several pieces */
    {300000, 1, 299990},
    {513, 511, 1},
};

static void apply_without_crash(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
		struct err e = ERR_INIT;
		struct pair p;
		int box;

		make_pair(&p, shapes[i].before, shapes[i].offset, shapes[i].length);
		box = make_box(buf_str(&p.before));
		assert_int_equal(rewrite(box, p.offset, buf_str(&p.after), 0), 0);
		assert_true(box_is(box, buf_str(&p.after), STR("")));
		assert_int_equal(count("journal.", false), 0);
		assert_int_equal(journal_replay(dir, box, &e), 0);
		close(box);
		free_pair(&p);
	}
}

/* One crash of the rewrite, a foreign message or none, one crash of the replay or none, then a replay. */
static bool crash_once(size_t shape, int stop, struct str foreign, int again)
{
	struct err e = ERR_INIT;
	struct pair p;
	int box, r;
	bool stopped;

	make_pair(&p, shapes[shape].before, shapes[shape].offset, shapes[shape].length);
	box = make_box(buf_str(&p.before));
	stopped = rewrite(box, p.offset, buf_str(&p.after), stop) != 0;
	append_foreign(foreign);
	if (again > 0) {
		steps_left = again;
		journal_step_hook = stop_after;
		if (journal_replay(dir, box, &e) >= 0)
			stopped = false; /* no more steps to stop at */
		journal_step_hook = NULL;
		err_clear(&e);
	}
	r = journal_replay(dir, box, &e);
	assert_int_equal(e.code, 0);
	assert_true(r >= 0);
	if (!box_is(box, buf_str(&p.before), foreign) && !box_is(box, buf_str(&p.after), foreign))
		fail_msg(
		    "shape %zu, stopped at %d and %d, %zu foreign octets", shape, stop, again, foreign.n);
	assert_int_equal(count("journal.", true), 0);
	assert_int_equal(count("aside.", true), 0);
	assert_int_equal(count("new.", true), 0);
	/* A second replay finds nothing. */
	assert_int_equal(journal_replay(dir, box, &e), 0);
	close(box);
	free_pair(&p);
	return stopped;
}

static void crash_at_every_step(void **state)
{
	static const struct str foreign[] = {
	    STR_INIT(""), STR_INIT("From joe\n\nhello\n"), STR_INIT("From z\n\n\0\0\0\0\n")};
	struct buf big = BUF_INIT;
	unsigned crashes = 0;

	(void)state;
	fill(&big, 70000);
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (size_t k = 0; k <= ARRAY_LEN(foreign); k++) {
			struct str text = k < ARRAY_LEN(foreign) ? foreign[k] : buf_str(&big);

			for (int stop = 1; stop < 40; stop++) {
				if (!crash_once(i, stop, text, 0))
					break;
				crashes++;
				/* The long ones have many equal steps: one crash is enough. */
				for (int again = 1; again < 40 && shapes[i].before < 100000; again++) {
					if (!crash_once(i, stop, text, again))
						break;
					crashes++;
				}
			}
		}
	buf_free(&big);
	assert_true(crashes > 200);
}

/* After a power failure any sector may be the old or the new one, and the size the old or the new one. */
static void any_sectors_after_power_failure(void **state)
{
	(void)state;
	for (unsigned turn = 0; turn < 400; turn++) {
		size_t shape = rnd(9), i, size, end;
		struct str foreign = turn % 3 == 0 ? STR("From joe\n\nhello\n") : STR("");
		struct err e = ERR_INIT;
		struct pair p;
		char *mixed;
		bool cut = rnd(2) != 0;
		int box;

		make_pair(&p, shapes[shape].before, shapes[shape].offset, shapes[shape].length);
		box = make_box(buf_str(&p.before));
		assert_int_not_equal(rewrite(box, p.offset, buf_str(&p.after), 2), 0);
		end = p.before.n > p.after.n ? p.before.n : p.after.n;
		size = p.after.n < p.before.n && cut ? p.after.n : end;
		mixed = mem_alloc(end + 1);
		memcpy(mixed, p.before.p != NULL ? p.before.p : "", p.before.n);
		for (i = p.offset; i < p.after.n; i = (i / 512 + 1) * 512) {
			size_t n = (i / 512 + 1) * 512 - i;

			if (n > p.after.n - i)
				n = p.after.n - i;
			if (rnd(2) != 0)
				memcpy(mixed + i, p.after.p + i, n);
		}
		assert_int_equal(io_pwrite(box, mixed, size, 0), 0);
		assert_int_equal(ftruncate(box, (off_t)size), 0);
		append_foreign(foreign);
		assert_true(journal_replay(dir, box, &e) >= 0);
		if (!box_is(box, buf_str(&p.after), foreign) && !box_is(box, buf_str(&p.before), foreign))
			fail_msg("turn %u, shape %zu, cut %d, foreign %zu", turn, shape, cut, foreign.n);
		assert_int_equal(count("journal.", true), 0);
		assert_int_equal(count("aside.", true), 0);
		mem_free(mixed);
		close(box);
		free_pair(&p);
	}
}

/* A write that ended inside a sector. */
static void torn_inside_a_sector(void **state)
{
	(void)state;
	for (size_t k = 1; k < 5000; k += 37) {
		struct err e = ERR_INIT;
		struct pair p;
		int box;

		make_pair(&p, 10000, 3000, 5000);
		box = make_box(buf_str(&p.before));
		assert_int_not_equal(rewrite(box, p.offset, buf_str(&p.after), 2), 0);
		assert_int_equal(io_pwrite(box, p.after.p + 3000, k, 3000), 0);
		assert_int_equal(journal_replay(dir, box, &e), 1);
		assert_true(box_is(box, buf_str(&p.after), STR("")));
		close(box);
		free_pair(&p);
	}
}

/* Somebody else rewrote, cut or replaced the mailbox since: the journal is kept, the mailbox is not touched.
 */
static void foreign_change_sets_aside(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 4; how++) {
		struct buf other = BUF_INIT;
		struct err e = ERR_INIT;
		struct pair p;
		int box;

		make_pair(&p, 10000, 3000, 5000);
		box = make_box(buf_str(&p.before));
		/* Half of it was written. */
		assert_int_not_equal(rewrite(box, p.offset, buf_str(&p.after), 2), 0);
		assert_int_equal(io_pwrite(box, p.after.p + 3000, 2000, 3000), 0);
		if (how == 0) /* a flag octet far behind */
			assert_int_equal(io_pwrite(box, "R", 1, 7777), 0);
		else if (how == 1) /* in what was already written */
			assert_int_equal(io_pwrite(box, "R", 1, 3700), 0);
		else if (how == 2)
			assert_int_equal(ftruncate(box, 7000), 0);
		fill(&other, 12000);
		if (how == 3)
			assert_int_equal(io_pwrite(box, other.p, other.n, 0), 0);
		buf_reset(&other);
		buf_reserve(&other, 20000);
		other.n = (size_t)io_pread(box, other.p, 20000, 0);
		assert_int_equal(journal_replay(dir, box, &e), 0);
		assert_true(box_is(box, buf_str(&other), STR("")));
		assert_int_equal(count("aside.", true), 1);
		assert_int_equal(count("journal.", true), 0);
		close(box);
		buf_free(&other);
		free_pair(&p);
	}
}

/* A crash after the rewrite was done, then a flag set in place by another program: that flag stays. */
static void change_after_completion_stays(void **state)
{
	struct err e = ERR_INIT;
	struct pair p;
	int box;

	(void)state;
	make_pair(&p, 10000, 3000, 5000);
	box = make_box(buf_str(&p.before));
	assert_int_not_equal(rewrite(box, p.offset, buf_str(&p.after), 6), 0);
	assert_true(box_is(box, buf_str(&p.after), STR("")));
	assert_int_equal(count("journal.", false), 1);
	p.after.p[5000] ^= 1;
	assert_int_equal(io_pwrite(box, p.after.p + 5000, 1, 5000), 0);
	assert_int_equal(journal_replay(dir, box, &e), 0);
	assert_true(box_is(box, buf_str(&p.after), STR("")));
	assert_int_equal(count("journal.", true), 0);
	count("aside.", true);
	close(box);
	free_pair(&p);
}

/* Flips each part of a journal in turn: it is never replayed. */
static void damaged_is_set_aside(void **state)
{
	(void)state;
	for (unsigned back = 1; back < 5000 + 8 * 16 + 128; back += back < 300 ? 1 : 131) {
		char name[80];
		struct err e = ERR_INIT;
		struct stat st;
		struct pair p;
		unsigned char octet;
		off_t size;
		int box, fd, r;

		make_pair(&p, 10000, 3000, 5000);
		box = make_box(buf_str(&p.before));
		assert_int_not_equal(rewrite(box, p.offset, buf_str(&p.after), 4), 0);
		assert_int_equal(fstat(box, &st), 0);
		snprintf(name, sizeof(name), "journal.%lx.%lx", (unsigned long)st.st_dev,
		    (unsigned long)st.st_ino);
		fd = openat(dir, name, O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
		size = lseek(fd, 0, SEEK_END);
		assert_int_equal(size, 5000 + 8 * 16 + 128);
		assert_int_equal(io_pread(fd, &octet, 1, (uint64_t)size - back), 1);
		octet ^= 0x10;
		assert_int_equal(io_pwrite(fd, &octet, 1, (uint64_t)size - back), 0);
		r = journal_replay(dir, box, &e);
		if (back >= 13 && back <= 16) { /* the version */
			assert_int_equal(r, MORTISE_E_UNAVAILABLE);
			assert_non_null(strstr(e.admin, "version"));
			assert_int_equal(count("journal.", true), 1);
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(count("aside.", true), 1);
		}
		close(fd);
		close(box);
		free_pair(&p);
	}
}

/* After a reboot the device has another number: the journal is found by inode, and by what is in the file. */
static void device_with_another_number(void **state)
{
	static const struct str foreign[] = {STR_INIT(""), STR_INIT("From joe\n\nhello\n")};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(foreign); i++) {
		struct str text = foreign[i % ARRAY_LEN(foreign)];
		bool replaced = i >= ARRAY_LEN(foreign);
		char name[80], moved[80];
		struct err e = ERR_INIT;
		struct buf other = BUF_INIT;
		struct stat st;
		struct pair p;
		int box;

		make_pair(&p, 10000, 3000, 5000);
		box = make_box(buf_str(&p.before));
		assert_int_not_equal(rewrite(box, p.offset, buf_str(&p.after), 2), 0);
		assert_int_equal(io_pwrite(box, p.after.p + 3000, 2000, 3000), 0);
		append_foreign(text);
		assert_int_equal(fstat(box, &st), 0);
		snprintf(name, sizeof(name), "journal.%lx.%lx", (unsigned long)st.st_dev,
		    (unsigned long)st.st_ino);
		snprintf(moved, sizeof(moved), "journal.abcdef.%lx", (unsigned long)st.st_ino);
		assert_int_equal(renameat(dir, name, dir, moved), 0);
		assert_true(journal_waiting(dir, box));
		/* Another file with that inode: nothing is done, and the journal waits for its own. */
		fill(&other, 12000);
		if (replaced)
			assert_int_equal(io_pwrite(box, other.p, other.n, 0), 0);
		assert_int_equal(journal_pending(dir, box), !replaced);
		assert_int_equal(journal_replay(dir, box, &e), replaced ? 0 : 1);
		assert_true(
		    replaced ? box_is(box, buf_str(&other), STR("")) : box_is(box, buf_str(&p.after), text));
		assert_int_equal(count("journal.", true), replaced ? 1 : 0);
		assert_int_equal(count("aside.", true), 0);
		close(box);
		buf_free(&other);
		free_pair(&p);
	}
}

/* What is not a journal at all under the name of one. */
static void hostile_names(void **state)
{
	struct err e = ERR_INIT;
	char name[80];
	struct stat st;
	int box = make_box(STR("From x\n")), fd;

	(void)state;
	assert_int_equal(fstat(box, &st), 0);
	snprintf(name, sizeof(name), "journal.%lx.%lx", (unsigned long)st.st_dev, (unsigned long)st.st_ino);
	/* An empty file, a FIFO, a directory. */
	fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	assert_int_equal(journal_replay(dir, box, &e), 0);
	assert_int_equal(count("aside.", true), 1);
	assert_int_equal(mkfifoat(dir, name, 0600), 0);
	assert_int_equal(journal_replay(dir, box, &e), 0);
	assert_int_equal(count("aside.", true), 1);
	assert_int_equal(symlinkat("box", dir, name), 0);
	assert_true(journal_replay(dir, box, &e) < 0);
	assert_int_equal(unlinkat(dir, name, 0), 0);
	assert_true(box_is(box, STR("From x\n"), STR("")));
	close(box);
}

static void waiting_journal_blocks_another(void **state)
{
	struct err e = ERR_INIT;
	struct journal *j = NULL;
	struct pair p;
	int box;

	(void)state;
	make_pair(&p, 10000, 3000, 5000);
	box = make_box(buf_str(&p.before));
	assert_int_not_equal(rewrite(box, p.offset, buf_str(&p.after), 4), 0);
	assert_int_equal(journal_open(dir, box, 0, &j, &e), MORTISE_E_UNAVAILABLE);
	assert_null(j);
	err_clear(&e);
	assert_int_equal(journal_replay(dir, box, &e), 1);
	assert_true(box_is(box, buf_str(&p.after), STR("")));
	assert_true(journal_open(dir, box, 0, &j, &e) >= 0);
	journal_discard(&j);
	assert_int_equal(count("new.", false) + count("journal.", false), 0);
	/* Not possible: no directory, a directory, an offset behind the end. */
	assert_int_equal(journal_open(-1, box, 0, &j, &e), -1);
	assert_int_equal(journal_open(dir, dir, 0, &j, &e), -1);
	assert_int_equal(journal_open(dir, box, 1000000, &j, &e), -1);
	assert_int_equal(e.code, 0);
	close(box);
	free_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(apply_without_crash),
	    cmocka_unit_test(crash_at_every_step),
	    cmocka_unit_test(any_sectors_after_power_failure),
	    cmocka_unit_test(torn_inside_a_sector),
	    cmocka_unit_test(foreign_change_sets_aside),
	    cmocka_unit_test(change_after_completion_stays),
	    cmocka_unit_test(damaged_is_set_aside),
	    cmocka_unit_test(device_with_another_number),
	    cmocka_unit_test(hostile_names),
	    cmocka_unit_test(waiting_journal_blocks_another),
	};

	log_set_level((enum log_level)0);
	return cmocka_run_group_tests(tests, setup, teardown);
}
