/*
 * What becomes of the index when its processes are killed, and when its files are not what they were. Every
 * look at a file that may be damaged is taken in a child, as LMDB may fall over it: then the next child must
 * find the file out of the way.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "log/log.h"
#include "store/index_int.h"
#include "base/banned.h"

static struct index_options options = {
    .state_size = 64 << 20, .cache_size = 64 << 20, .checkpoint = 300000, .vanished = 1000};
static char directory[64];
static uint32_t seed;

#define IDENTITY ((struct str){"mh\0/home/u/mail/a", 17})
#define RENAMED ((struct str){"mh\0/home/u/elsewhere", 20})
#define CACHE "index.cache"
#define STATE "index.state"

static uint32_t dice(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

static const char *path_of(const char *name)
{
	static char path[2][128];
	static unsigned turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", directory, name);
	return path[turn];
}

static int fresh(void **state)
{
	(void)state;
	seed = 2463534242u;
	/* In memory where there is such a place: the many syncs here have nothing to show. */
	snprintf(directory, sizeof(directory), "%s/test-index-damage.XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(directory));
	return 0;
}

static void empty(void)
{
	static const char *const names[] = {
	    CACHE, CACHE "-lock", STATE, STATE "-lock", STATE ".damaged", "elsewhere"};
	size_t i;

	for (i = 0; i < ARRAY_LEN(names); i++)
		(void)unlink(path_of(names[i]));
}

static int gone(void **state)
{
	(void)state;
	(void)chmod(directory, 0700);
	empty();
	assert_int_equal(rmdir(directory), 0);
	return 0;
}

/* Runs f in a child: its exit status, or 1000 + the signal. */
static int in_child(int (*f)(void *), void *arg)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
	size_t i;
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		(void)dup2(null, 2);
		/* Not the test program's handlers, which would go on with the next test. */
		for (i = 0; i < ARRAY_LEN(fatal); i++)
			(void)signal(fatal[i], SIG_DFL);
		log_catch_crashes();
		(void)alarm(20);
		_exit(f(arg));
	}
	assert_true(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* ---- a mailbox in it ---- */

struct seen {
	uint32_t count, last;
	uint64_t modseq;
	bool wrong;
};

static int see(void *arg, const struct index_row *row)
{
	struct seen *s = arg;
	size_t i;

	s->wrong = s->wrong || row->uid <= s->last || row->locator_size != 8;
	for (i = 0; i < row->locator_size; i++)
		s->wrong = s->wrong || row->locator[i] != (row->uid & 255);
	s->last = row->uid;
	s->count++;
	if (row->modseq > s->modseq)
		s->modseq = row->modseq;
	return 0;
}

static int add_messages(struct index *x, uint64_t box, struct index_head *head, uint32_t count, bool durable)
{
	struct index_row rows[600];
	unsigned char locators[600][8];
	struct index_commit c = {.generation = head->generation,
	    .head = head,
	    .rows = rows,
	    .row_count = count,
	    .durable = durable};
	struct err e = ERR_INIT;
	uint64_t first;
	uint32_t i;

	if (index_modseq(x, head->highestmodseq, &first, &e) != 0)
		return e.code;
	head->highestmodseq = (head->generation == 0 ? first : head->highestmodseq) + 1;
	for (i = 0; i < count; i++) {
		rows[i] = (struct index_row){.uid = head->highest + 1 + i,
		    .modseq = head->highestmodseq,
		    .locator_size = 8,
		    .locator = locators[i]};
		memset(locators[i], (int)(rows[i].uid & 255), 8);
	}
	head->uidvalidity = 1;
	head->highest += count;
	head->uidnext = head->highest + 1;
	head->messages += count;
	return index_commit(x, box, &c, &head->generation, &e);
}

/* The index, and the mailbox's number in it; NULL: it cannot be had. */
static struct index *open_box(uint64_t *box)
{
	struct err e = ERR_INIT;
	struct index *x;

	if (index_open(&options, directory, &x, &e) != 0)
		return NULL;
	return index_mailbox(x, IDENTITY, box, &e) == 0 ? x : NULL;
}

/* Fills both files with 600 messages, their wire forms, attributes; a checkpoint and a change after it. */
static int fill(void *arg)
{
	struct index_head head = {.generation = 0};
	struct err e = ERR_INIT;
	struct str value = STR("value");
	struct index *x;
	uint64_t box;
	uint32_t uid;

	(void)arg;
	if ((x = open_box(&box)) == NULL)
		return 1;
	if (add_messages(x, box, &head, 600, true) != 0)
		return 2;
	for (uid = 1; uid <= 600; uid++)
		index_wire_put(x, box, uid, INDEX_ENVELOPE, STR(""), STR("(NIL NIL NIL NIL NIL)"));
	index_wire_flush(x);
	if (index_attribute_set(x, box, STR("/comment"), &value, &e) != 0)
		return 3;
	index_checkpoint(x, box, true);
	if (add_messages(x, box, &head, 5, false) != 0)
		return 4;
	index_close(&x);
	return 0;
}

static int count_wire(void *arg, uint32_t uid, struct str text)
{
	(void)uid;
	*(bool *)arg = *(bool *)arg || !str_eq(text, STR("(NIL NIL NIL NIL NIL)"));
	return 0;
}

/*
 * All that sessions do. What comes back is right or is nothing: 0; 50 and more is a wrong answer. *arg: how
 * many messages were known is written there (a pipe would do no better than the exit status: 10 none, 0
 * some).
 */
static int use(void *arg)
{
	AUTO_ARENA struct arena *a = arena_new("use");
	AUTO_BUF struct buf b = BUF_INIT;
	struct index_report report;
	struct seen s = {.count = 0};
	struct index_head head;
	struct err e = ERR_INIT;
	struct index *x;
	bool wrong = false;
	uint64_t box;
	int i;

	(void)arg;
	if ((x = open_box(&box)) == NULL)
		return 50;
	if (index_load(x, box, a, &head, see, &s, &e) != 0)
		return 52;
	if (s.wrong || s.count != head.messages || s.count != s.last || s.count > 700)
		return 53;
	if (index_wire_scan(x, box, INDEX_ENVELOPE, STR(""), count_wire, &wrong, &e) != 0 || wrong)
		return 54;
	if (index_attribute(x, box, STR("/comment"), &b, &e) < 0 ||
	    (b.n != 0 && !str_eq(buf_str(&b), STR("value"))))
		return 55;
	for (i = 0; i < 4; i++) {
		int r = add_messages(x, box, &head, 3, i >= 2);

		/* Damage that was found just now: another look, as the engine does. */
		if (r == 1 && (memset(&s, 0, sizeof(s)), index_load(x, box, a, &head, see, &s, &e)) == 0)
			r = add_messages(x, box, &head, 3, i >= 2);
		if (r != 0)
			return 56;
	}
	index_checkpoint(x, box, true);
	memset(&s, 0, sizeof(s));
	if (index_load(x, box, a, &head, see, &s, &e) != 0 || s.wrong)
		return 58;
	/* What was just committed is there, unless even that fell to damage found meanwhile. */
	if (s.count != 0 && s.count < 3)
		return 59;
	if (index_verify(x, 0, &report, &e) != 0)
		return 60;
	index_tidy(x);
	index_close(&x);
	return head.messages >= 600 ? 0 : 10;
}

static unsigned crashes, tries, lost;

/*
 * A child that LMDB kills has put the file out of the way, so each file kills once at most; whatever does
 * come back is right. In the end there are two in a row that nothing happens to.
 */
static void must_be_usable(const char *what, uint32_t where)
{
	unsigned good = 0, killed = 0, i;

	tries++;
	for (i = 0; i < 6 && good < 2; i++) {
		int r = in_child(use, NULL);

#ifdef HAVE_SANITIZERS /* log_catch_crashes does nothing, and what LMDB does is seen by them first */
		if (r >= 1000 || r == 1) {
			empty();
			r = r == 1 ? 1000 : r;
		}
#endif
		killed += r >= 1000;
		if (r >= 1000 ? killed > 2 || r == 1000 + SIGALRM : r != 0 && r != 10)
			print_message("%s at %u: %d\n", what, where, r);
		assert_true(r >= 1000 ? killed <= 2 && r != 1000 + SIGALRM : r == 0 || r == 10);
		good = r < 1000 ? good + 1 : 0;
		lost += r == 10 && good == 1;
	}
	assert_int_equal(good, 2);
	crashes += killed;
}

/* ---- copies ---- */

struct image {
	unsigned char *p;
	size_t n;
};

static struct image read_image(const char *name)
{
	struct image i = {.n = 0};
	AUTO_CLOSE int fd = open(path_of(name), O_RDONLY);
	struct stat st;

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	i.n = (size_t)st.st_size;
	i.p = mem_alloc(i.n + 1);
	assert_true(io_read(fd, i.p, i.n) == (ssize_t)i.n);
	return i;
}

static void write_image(const char *name, const struct image *i)
{
	AUTO_CLOSE int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0 && io_write(fd, i->p, i->n) == 0);
}

static void restore(const struct image *cache, const struct image *state)
{
	empty();
	write_image(CACHE, cache);
	write_image(STATE, state);
}

static void every_octet_may_be_wrong(void **state)
{
	struct image both[2];
	static const char *const names[] = {CACHE, STATE};
	uint32_t turn;

	(void)state;
	assert_int_equal(in_child(fill, NULL), 0);
	both[0] = read_image(CACHE);
	both[1] = read_image(STATE);
	restore(&both[0], &both[1]);
	assert_int_equal(in_child(use, NULL), 0);
	for (turn = 0; turn < 300; turn++) {
		unsigned which = turn & 1, many = turn % 3 == 2 ? 64 : 1, i;
		struct image *m = &both[which];
		struct image copy = {mem_dup(m->p, m->n), m->n};
		/* Heads of pages are where it hurts. */
		uint32_t page = dice() % (uint32_t)(m->n / 4096),
		         at = page * 4096 + dice() % (turn % 4 == 0 ? 4096 : 64);

		for (i = 0; i < many; i++)
			copy.p[(at + i) % copy.n] ^= (unsigned char)(1 + dice() % 255);
		restore(&both[0], &both[1]);
		write_image(names[which], &copy);
		mem_free(copy.p);
		must_be_usable(names[which], at);
	}
	print_message("%u looks: %u killed by LMDB, %u found nothing known\n", tries, crashes, lost);
	mem_free(both[0].p);
	mem_free(both[1].p);
}

static void a_file_may_be_cut(void **state)
{
	static const size_t cuts[] = {0, 1, 100, 4096, 5000, 8192, 8193, 12288, 16384, 30000, 65536};
	struct image both[2];
	size_t i;

	(void)state;
	assert_int_equal(in_child(fill, NULL), 0);
	both[0] = read_image(CACHE);
	both[1] = read_image(STATE);
	for (i = 0; i < 2 * ARRAY_LEN(cuts); i++) {
		restore(&both[0], &both[1]);
		assert_int_equal(truncate(path_of(i & 1 ? STATE : CACHE), (off_t)cuts[i / 2]), 0);
		must_be_usable(i & 1 ? "cut " STATE : "cut " CACHE, (uint32_t)cuts[i / 2]);
	}
	mem_free(both[0].p);
	mem_free(both[1].p);
}

/* ---- killed ---- */

/* What a writer says through the pipe when a commit came back. */
struct said {
	uint64_t generation, modseq;
	uint32_t highest;
};

static _Noreturn void write_for_ever(int to)
{
	AUTO_ARENA struct arena *a = arena_new("writer");
	struct err e = ERR_INIT;
	struct index *x;
	uint64_t box;
	unsigned turn = (unsigned)getpid();

	(void)alarm(20);
	if ((x = open_box(&box)) == NULL)
		_exit(1);
	for (;; turn++) {
		struct seen seen = {.count = 0};
		struct index_head head;
		struct said said;
		int r;

		arena_clear(a);
		if (index_load(x, box, a, &head, see, &seen, &e) != 0 || seen.wrong ||
		    seen.count != head.messages)
			_exit(2);
		r = add_messages(x, box, &head, 1 + turn % 3, turn % 8 == 0);
		if (r < 0)
			_exit(3);
		said = (struct said){head.generation, head.highestmodseq, head.highest};
		if (r == 0 && io_write(to, &said, sizeof(said)) != 0)
			_exit(4);
		if (turn % 16 == 0)
			index_checkpoint(x, box, true);
		index_wire_put(x, box, head.highest, INDEX_ENVELOPE, STR(""), STR("(NIL NIL NIL NIL NIL)"));
		if (turn % 4 == 0)
			index_wire_flush(x);
	}
}

/* Nothing of what a writer said is missing, whenever it was killed. */
static int look_after_kill(void *arg)
{
	AUTO_ARENA struct arena *a = arena_new("look");
	const struct said *last = arg;
	struct seen seen = {.count = 0};
	struct index_report report;
	struct index_head head;
	struct err e = ERR_INIT;
	struct index *x;
	uint64_t box;

	if ((x = open_box(&box)) == NULL)
		return 1;
	if (index_load(x, box, a, &head, see, &seen, &e) != 0 || seen.wrong || seen.count != head.messages)
		return 2;
	if (head.generation < last->generation || head.highestmodseq < last->modseq ||
	    head.highest < last->highest)
		return 3;
	if (index_verify(x, 0, &report, &e) != 0 || report.damaged != 0)
		return 4;
	index_close(&x);
	return 0;
}

static void writers_may_be_killed(void **state)
{
	struct said last = {.generation = 0};
	pid_t writers[3] = {0};
	unsigned kills = 0;
	uint64_t end = clock_ms() + 2000, commits = 0;
	int ends[2];
	size_t i;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	(void)fcntl(ends[1], F_SETFL, 0);
	while (clock_ms() < end) {
		struct pollfd wait = {.fd = ends[0], .events = POLLIN};
		uint64_t next = clock_ms() + dice() % 12;
		struct said said;
		int status;

		for (i = 0; i < 3; i++)
			if (writers[i] == 0 && (writers[i] = fork()) == 0)
				write_for_ever(ends[1]);
		/* In the order of the pipe a later number may stand first; none may be lost. */
		while (clock_ms() < next && poll(&wait, 1, (int)(next - clock_ms())) >= 0)
			while (io_read(ends[0], &said, sizeof(said)) == (ssize_t)sizeof(said)) {
				commits++;
				if (said.generation > last.generation)
					last = said;
			}
		i = dice() % 3;
		assert_int_equal(kill(writers[i], SIGKILL), 0);
		assert_true(waitpid(writers[i], &status, 0) == writers[i]);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		writers[i] = 0;
		kills++;
		if (kills % 8 == 0)
			assert_int_equal(in_child(look_after_kill, &last), 0);
	}
	for (i = 0; i < 3; i++)
		if (writers[i] != 0) {
			(void)kill(writers[i], SIGKILL);
			(void)waitpid(writers[i], NULL, 0);
		}
	assert_int_equal(in_child(look_after_kill, &last), 0);
	print_message("%u killed, %lu commits\n", kills, (unsigned long)commits);
	assert_true(kills > 5 && commits > 5);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

/* ---- files that are not there, not ours, or cannot be written ---- */

/* 0 persistent, 1 in memory; either way it works. */
static int persistent(void *arg)
{
	AUTO_ARENA struct arena *a = arena_new("use");
	struct index_head head = {.generation = 0};
	struct seen seen = {.count = 0};
	struct err e = ERR_INIT;
	struct index *x;
	uint64_t box;
	int r = 1, i;

	(void)arg;
	if ((x = open_box(&box)) == NULL)
		return 50;
	/* Where the index went into memory meanwhile, it is another generation. */
	for (i = 0; i < 3 && r == 1; i++) {
		memset(&seen, 0, sizeof(seen));
		if (index_load(x, box, a, &head, see, &seen, &e) != 0 || seen.wrong)
			return 51;
		r = add_messages(x, box, &head, 40, true);
	}
	if (r != 0)
		return 52;
	memset(&seen, 0, sizeof(seen));
	if (index_load(x, box, a, &head, see, &seen, &e) != 0 || seen.wrong || seen.count != head.messages)
		return 53;
	return index_persistent(x) ? 0 : 1;
}

static void a_name_may_be_taken(void **state)
{
	static const char *const names[] = {CACHE, CACHE "-lock", STATE, STATE "-lock"};
	size_t i, kind;

	(void)state;
	for (i = 0; i < ARRAY_LEN(names); i++)
		for (kind = 0; kind < 4; kind++) {
			const char *path = path_of(names[i]), *other = path_of("elsewhere");
			int fd = open(other, O_WRONLY | O_CREAT, 0600);
			struct stat st;

			assert_true(fd >= 0 && close(fd) == 0);
			assert_int_equal(kind == 0   ? symlink(other, path)
			                 : kind == 1 ? mkdir(path, 0700)
			                 : kind == 2 ? mkfifo(path, 0600)
			                             : link(other, path),
			    0);
			assert_int_equal(in_child(persistent, NULL), 1);
			assert_true(stat(other, &st) == 0 && st.st_size == 0);
			assert_int_equal(kind == 1 ? rmdir(path) : unlink(path), 0);
			empty();
		}
	assert_int_equal(in_child(persistent, NULL), 0);
}

/* A file system of its own for this process, of that many KiB. False: may not be done here. */
static bool small_disk(unsigned kib)
{
	char options_text[32];

	snprintf(options_text, sizeof(options_text), "size=%uk", kib);
	return unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", directory, "tmpfs", 0, options_text) == 0;
}

/* As long as the disk is full, and once there is room again. 0 kept, 1 in memory. */
static int on_a_small_disk(void *arg)
{
	int full, more;

	if (!small_disk(*(const unsigned *)arg))
		return 77;
	full = in_child(persistent, NULL);
	more = in_child(persistent, NULL);
	if (full > 1 || more > 1)
		return full > 1 ? full : more;
	/* (In a name space of a user's own a mount's options stay as they are.) */
	if (mount(NULL, directory, NULL, MS_REMOUNT, "size=4m") == 0 && in_child(persistent, NULL) != 0)
		return 60;
	return full;
}

static void there_may_be_no_room(void **state)
{
	unsigned private = 0, kept = 0, kib;

	(void)state;
	for (kib = 4; kib < 500; kib += 4) {
		int r = in_child(on_a_small_disk, &kib);

		if (r == 77)
			skip();
		if (r > 1)
			print_message("%u KiB: %d\n", kib, r);
		assert_true(r == 0 || r == 1);
		private += r == 1;
		kept += r == 0;
	}
	print_message("kept %u times, in memory %u times\n", kept, private);
	assert_true(private > 0 && kept > 0);
}

/* A home that cannot be written at all. */
static int on_a_read_only_disk(void *arg)
{
	if (!small_disk(1000))
		return 77;
	if (*(const bool *)arg && in_child(persistent, NULL) != 0)
		return 60;
	if (mount(NULL, directory, NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0)
		return 77;
	return in_child(persistent, NULL);
}

static void a_disk_may_be_read_only(void **state)
{
	bool filled;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		int r;

		filled = i != 0;
		r = in_child(on_a_read_only_disk, &filled);
		if (r == 77)
			skip();
		assert_int_equal(r, 1);
	}
}

static void a_directory_may_not_be_writable(void **state)
{
	char saved[sizeof(directory)];

	(void)state;
	memcpy(saved, directory, sizeof(saved));
	snprintf(directory, sizeof(directory), "%s", "/nowhere/at/all");
	assert_int_equal(in_child(persistent, NULL), 1);
	memcpy(directory, saved, sizeof(saved));
	if (geteuid() == 0)
		return; /* root may */
	assert_int_equal(chmod(directory, 0500), 0);
	assert_int_equal(in_child(persistent, NULL), 1);
}

/* Another process deletes the files while this one has them open. */
static int lose_files(void *arg)
{
	AUTO_ARENA struct arena *a = arena_new("use");
	struct index_head head = {.generation = 0};
	struct seen seen = {.count = 0};
	struct err e = ERR_INIT;
	struct index *x;
	uint64_t box, generation;
	int r;

	(void)arg;
	if ((x = open_box(&box)) == NULL)
		return 1;
	if (add_messages(x, box, &head, 40, true) != 0)
		return 2;
	index_checkpoint(x, box, true);
	if (add_messages(x, box, &head, 1, false) != 0)
		return 3;
	if (unlink(path_of(CACHE)) != 0 || unlink(path_of(CACHE "-lock")) != 0)
		return 4;
	/* The other makes it anew from the checkpoint. */
	if (in_child(persistent, NULL) != 0)
		return 5;
	generation = head.generation;
	r = add_messages(x, box, &head, 1, false);
	if (r != 1)
		return 6;
	if (index_load(x, box, a, &head, see, &seen, &e) != 0 || seen.wrong || seen.count != 80)
		return 7;
	if (head.generation == generation || add_messages(x, box, &head, 1, false) != 0)
		return 8;
	return index_persistent(x) ? 0 : 9;
}

static void files_may_be_deleted_meanwhile(void **state)
{
	(void)state;
	assert_int_equal(in_child(lose_files, NULL), 0);
}

/* The number of a mailbox that only the lost file knew is another one now; this process goes on all the same.
 */
static int lose_number(void *arg)
{
	AUTO_ARENA struct arena *a = arena_new("use");
	struct index_head head = {.generation = 0};
	struct seen seen = {.count = 0};
	struct err e = ERR_INIT;
	struct index *x;
	uint64_t box;

	(void)arg;
	if ((x = open_box(&box)) == NULL)
		return 1;
	if (add_messages(x, box, &head, 7, false) != 0)
		return 2;
	if (unlink(path_of(CACHE)) != 0 || unlink(path_of(CACHE "-lock")) != 0)
		return 3;
	if (in_child(persistent, NULL) != 0)
		return 4;
	if (add_messages(x, box, &head, 1, false) != 1)
		return 5;
	if (index_load(x, box, a, &head, see, &seen, &e) != 0 || seen.wrong || seen.count != 40)
		return 6;
	return add_messages(x, box, &head, 1, false) == 0 ? 0 : 7;
}

static void a_number_may_change(void **state)
{
	(void)state;
	assert_int_equal(in_child(lose_number, NULL), 0);
}

/* As above, but another process begins the mailbox anew while wire forms wait in this one. */
static int begin_anew(void *arg)
{
	struct index_head head = {.generation = *(uint64_t *)arg, .uidvalidity = 2, .octets = 1};
	struct index_commit c = {.generation = head.generation, .head = &head, .anew = true};
	struct err e = ERR_INIT;
	struct index *x;
	uint64_t box, generation;

	if ((x = open_box(&box)) == NULL)
		return 1;
	return index_commit(x, box, &c, &generation, &e);
}

static int keep_waiting(void *arg)
{
	struct index_head head = {.generation = 0};
	AUTO_BUF struct buf b = BUF_INIT;
	struct err e = ERR_INIT;
	struct index *x;
	uint64_t box;

	(void)arg;
	if ((x = open_box(&box)) == NULL)
		return 1;
	if (add_messages(x, box, &head, 7, false) != 0)
		return 2;
	index_wire_put(x, box, 3, INDEX_ENVELOPE, STR(""), STR("(old)"));
	if (in_child(begin_anew, &head.generation) != 0)
		return 3;
	index_wire_flush(x);
	return index_wire(x, box, 3, INDEX_ENVELOPE, STR(""), &b, &e) == 0 ? 0 : 4;
}

/* Another process deletes the mailbox and makes it again: this one goes on with what is there now. */
static int delete_and_make(void *arg)
{
	struct err e = ERR_INIT;
	struct index *x;

	if (index_open(&options, directory, &x, &e) != 0 || index_forget(x, IDENTITY, &e) != 0)
		return 1;
	index_close(&x);
	return persistent(arg);
}

static int stay_with_deleted(void *arg)
{
	AUTO_ARENA struct arena *a = arena_new("use");
	struct index_head head = {.generation = 0};
	struct seen seen = {.count = 0};
	struct err e = ERR_INIT;
	struct index *x;
	uint64_t box;

	(void)arg;
	if ((x = open_box(&box)) == NULL)
		return 1;
	if (add_messages(x, box, &head, 7, true) != 0 || in_child(delete_and_make, NULL) != 0)
		return 2;
	if (add_messages(x, box, &head, 1, true) != 1)
		return 3;
	if (index_load(x, box, a, &head, see, &seen, &e) != 0 || seen.count != 40)
		return 4;
	return add_messages(x, box, &head, 1, true) == 0 ? 0 : 5;
}

static void a_mailbox_may_be_deleted_meanwhile(void **state)
{
	(void)state;
	assert_int_equal(in_child(stay_with_deleted, NULL), 0);
}

/* Another renames it: the old name leads nowhere, whatever this one commits. */
static int rename_it(void *arg)
{
	struct err e = ERR_INIT;
	struct index *x;

	(void)arg;
	return index_open(&options, directory, &x, &e) == 0 &&
	               index_rename_below(x, STR("/home/u/mail/a"), STR("/home/u/elsewhere"), &e) == 0
	           ? 0
	           : 1;
}

static int look_for_both(void *arg)
{
	AUTO_ARENA struct arena *a = arena_new("use");
	struct seen seen = {.count = 0};
	struct index_head head;
	struct err e = ERR_INIT;
	struct index *x;
	uint64_t box;

	index_test_boot = arg;
	if (index_open(&options, directory, &x, &e) != 0 || index_lookup(x, IDENTITY, &box, &e) != 0)
		return 1;
	if (index_lookup(x, RENAMED, &box, &e) != 1)
		return 2;
	return index_load(x, box, a, &head, see, &seen, &e) == 0 && seen.count == 8 ? 0 : 3;
}

static int stay_with_renamed(void *arg)
{
	struct index_head head = {.generation = 0};
	struct index *x;
	uint64_t box;

	(void)arg;
	if ((x = open_box(&box)) == NULL)
		return 1;
	if (add_messages(x, box, &head, 7, true) != 0 || in_child(rename_it, NULL) != 0)
		return 2;
	if (add_messages(x, box, &head, 1, true) != 0)
		return 3;
	index_checkpoint(x, box, true);
	return 0;
}

static void a_mailbox_may_be_renamed_meanwhile(void **state)
{
	char boot[] = "after a reboot..";

	(void)state;
	assert_int_equal(in_child(stay_with_renamed, NULL), 0);
	assert_int_equal(in_child(look_for_both, NULL), 0);
	assert_int_equal(in_child(look_for_both, boot), 0);
}

static void another_may_begin_anew(void **state)
{
	(void)state;
	assert_int_equal(in_child(keep_waiting, NULL), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_octet_may_be_wrong),
	    TEST(a_file_may_be_cut),
	    TEST(writers_may_be_killed),
	    TEST(a_name_may_be_taken),
	    TEST(there_may_be_no_room),
	    TEST(a_disk_may_be_read_only),
	    TEST(a_directory_may_not_be_writable),
	    TEST(files_may_be_deleted_meanwhile),
	    TEST(a_number_may_change),
	    TEST(another_may_begin_anew),
	    TEST(a_mailbox_may_be_deleted_meanwhile),
	    TEST(a_mailbox_may_be_renamed_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
