/*
 * test-crash: each operation, killed at every call that changes a file, and with every such call failing.
 *
 * Afterwards a session opens the folder and must find: every message that was there, with its text, and the
 * old flags or the new; of an append all or nothing, with the flags it was to have, and all if it was
 * acknowledged; sequences of others as they were; nothing of ours beside. Of a crash of the machine it is
 * tested that what must be on disk before something else was synced before, and that any selection of names
 * that were not synced yet may be lost.
 */
#include "../memory/test-drive.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "box.h"
#include "faults.h"

extern const struct mortise_module mh_LTX_mortise_module;

#define MESSAGES 32
#define SEEN MORTISE_FLAG_SEEN
#define FLAGGED MORTISE_FLAG_FLAGGED
#define ANSWERED MORTISE_FLAG_ANSWERED

/* Like DRIVE, with journals. */
#define CALL(op, ...)                                                                    \
	({                                                                               \
		const struct call_env env_ = {.box = w.d.box, .journal_dir = w.journal}; \
		struct call call_;                                                       \
		err_clear(&w.d.e);                                                       \
		call_begin(&call_, w.d.i, &env_, #op);                                   \
		call_end(&call_, w.d.ops->op(&call_.pub, __VA_ARGS__), &w.d.e);          \
	})

static struct {
	struct drive d;
	struct mortise_place place;
	int journal;
	uint64_t folder; /* inode */
} w;

struct message {
	uint32_t number, flags;
	char text[64];
	struct mortise_ref ref;
};

struct seen {
	size_t count;
	struct message m[MESSAGES];
	char project[64];
};

/* ---- a folder ---- */

static const char *path_of(const char *name)
{
	static char out[2][128];
	static unsigned turn;

	turn = !turn;
	snprintf(out[turn], sizeof(out[turn]), "%s/%.80s", w.d.dir, name);
	return out[turn];
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	return ftw->level == 0 ? 0 : remove(path);
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");

	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
		abort();
}

static void start(void)
{
	static const char *const numbers[] = {"1", "2", "3", "5"};
	struct stat st;
	char name[32], text[64];

	nftw(w.d.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (mkdir(path_of("box"), 0700) != 0 || mkdir(path_of("journals"), 0700) != 0 ||
	    stat(path_of("box"), &st) != 0)
		abort();
	w.folder = st.st_ino;
	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "box/%s", numbers[i]);
		snprintf(text, sizeof(text), "Subject: old %s\n\ntext\n", numbers[i]);
		put(name, text);
	}
	put("box/" SEQUENCES, "cur: 2\nproject: 1-3\nunseen: 3 5\nflagged: 2\n");
	if (w.journal >= 0)
		close(w.journal);
	w.journal = open(path_of("journals"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void *open_box(void)
{
	struct mortise_box_info info = {.size = sizeof(info)};
	void *box = NULL;

	return CALL(open, &w.place, 0, &info, &box) == 0 ? box : NULL;
}

static void close_box(void *box)
{
	const struct call_env env = {.box = w.d.box, .journal_dir = w.journal};
	struct call c;

	call_begin(&c, w.d.i, &env, "close");
	w.d.ops->close(&c.pub, box);
	call_end(&c, 0, &w.d.e);
}

static int see_full(void *x, uint32_t uidvalidity)
{
	(void)uidvalidity;
	((struct seen *)x)->count = 0;
	return 0;
}

static int see(void *x, const struct mortise_message *m)
{
	struct seen *s = x;
	struct message *out = &s->m[s->count];
	struct mh_entry e;

	if (s->count++ == MESSAGES)
		abort();
	memcpy(&e, m->locator, sizeof(e));
	memset(out, 0, sizeof(*out));
	out->number = e.number;
	out->flags = m->flags;
	out->ref.locator_size = m->locator_size;
	memcpy(out->ref.locator, m->locator, m->locator_size);
	return 0;
}

static int sync_box(void *box, struct seen *s)
{
	const struct mortise_sink sink = {
	    .size = sizeof(sink), .engine = s, .full_scan = see_full, .added = see};
	struct mortise_cursor cursor = {0};

	memset(s, 0, sizeof(*s));
	return CALL(sync, box, &cursor, &sink);
}

/* What a session finds. */
static void look(struct seen *s)
{
	void *box = open_box();
	char line[256];
	FILE *f;

	assert_non_null(box);
	assert_int_equal(sync_box(box, s), 0);
	for (size_t i = 0; i < s->count; i++) {
		struct mortise_source source = {.size = sizeof(source)};

		assert_int_equal(CALL(read, box, &s->m[i].ref, &source), 0);
		assert_true(pread(source.fd, s->m[i].text, sizeof(s->m[i].text) - 1, 0) > 0);
	}
	close_box(box);
	f = fopen(path_of("box/" SEQUENCES), "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "project: ", 9) == 0)
			snprintf(s->project, sizeof(s->project), "%.60s", line + 9);
	if (f != NULL)
		fclose(f);
}

static const struct message *by_number(const struct seen *s, uint32_t number)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->m[i].number == number)
			return &s->m[i];
	return NULL;
}

/* ---- operations, in a child ---- */

static struct mortise_ref ref_of(const struct seen *s, uint32_t number)
{
	const struct message *m = by_number(s, number);

	if (m == NULL)
		abort();
	return m->ref;
}

static int append(void *box, size_t count, bool copies, const struct seen *s)
{
	const struct mortise_append_info info = {
	    .size = sizeof(info), .flags = FLAGGED | ANSWERED, .internal_date = 1000000};
	uint32_t uidvalidity;
	struct mortise_ref refs[4], from[2];
	char text[64];
	void *tx;
	int r = CALL(append_begin, box, &tx);

	if (r != 0)
		return r;
	for (size_t i = 0; i < count && r == 0 && !copies; i++) {
		snprintf(text, sizeof(text), "Subject: new %zu\r\n\r\ntext\r\n", i);
		r = CALL(append_message, tx, &info);
		if (r == 0)
			r = CALL(append_write, tx, text, strlen(text));
	}
	if (copies) {
		from[0] = ref_of(s, 1);
		from[1] = ref_of(s, 3);
		r = CALL(append_copy, tx, box, from, (struct mortise_append_info[2]){info, info}, 2);
	}
	if (r == 0)
		return CALL(append_commit_refs, tx, &uidvalidity, refs, count);
	DRIVE_VOID(&w.d, append_abort, tx);
	return r;
}

static int do_append(void *box, const struct seen *s)
{
	return append(box, 1, false, s);
}

static int do_batch(void *box, const struct seen *s)
{
	return append(box, 3, false, s);
}

static int do_copy(void *box, const struct seen *s)
{
	return append(box, 2, true, s);
}

static int do_flags(void *box, const struct seen *s)
{
	const struct mortise_flag_change changes[] = {{.ref = ref_of(s, 1), .flags = ANSWERED},
	    {.ref = ref_of(s, 2), .flags = SEEN}, {.ref = ref_of(s, 5), .flags = SEEN | FLAGGED}};
	int r = CALL(lock, box, MORTISE_LOCK_EXCLUSIVE, 0);

	if (r == 0)
		r = CALL(set_flags, box, changes, 3);
	(void)CALL(lock, box, MORTISE_LOCK_NONE, 0);
	return r;
}

static int do_expunge(void *box, const struct seen *s)
{
	const struct mortise_ref refs[] = {ref_of(s, 2), ref_of(s, 5)};
	int r = CALL(lock, box, MORTISE_LOCK_EXCLUSIVE, 0);

	if (r == 0)
		r = CALL(expunge, box, refs, 2);
	(void)CALL(lock, box, MORTISE_LOCK_NONE, 0);
	return r;
}

struct scenario {
	const char *name;
	int (*act)(void *box, const struct seen *s);
	size_t added;
};

static bool run(const struct scenario *now, const struct fault *f, bool record)
{
	int status;
	pid_t pid;

	start();
	shared->calls = 0;
	shared->met = shared->acknowledged = false;
	shared->events = shared->octets = 0;
	shared->recording = record;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		void *box = open_box();
		struct seen s;

		if (box == NULL || sync_box(box, &s) != 0)
			_exit(1);
		faults_arm(f);
		shared->code = now->act(box, &s);
		shared->acknowledged = shared->code == 0;
		faults_off();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
	return shared->met;
}

/* ---- checking ---- */

static struct seen after; /* of the scenario, undisturbed */

static void check_old(const struct scenario *now, const struct seen *s, bool acknowledged)
{
	static const struct {
		uint32_t number, flags;
	} old[] = {{1, SEEN}, {2, SEEN | FLAGGED}, {3, 0}, {5, 0}};
	char text[64];

	for (size_t i = 0; i < 4; i++) {
		const struct message *m = by_number(s, old[i].number),
		                     *new = by_number(&after, old[i].number);

		if (m == NULL || (new == NULL &&acknowledged)) {
			assert_null(m);
			assert_ptr_equal(now->act, do_expunge);
			assert_null(new);
			continue;
		}
		snprintf(text, sizeof(text), "Subject: old %u\n\ntext\n", old[i].number);
		assert_string_equal(m->text, text);
		assert_true(
		    (new != NULL && m->flags == new->flags) || (!acknowledged && m->flags == old[i].flags));
	}
}

static void check_new(const struct scenario *now, const struct seen *s, bool acknowledged)
{
	size_t came = 0;

	for (size_t i = 0; i < s->count; i++)
		if (s->m[i].number > 5) {
			const struct message *new = by_number(&after, s->m[i].number);

			came++;
			assert_non_null(new);
			assert_string_equal(s->m[i].text, new->text);
			assert_int_equal(s->m[i].flags, FLAGGED | ANSWERED);
		}
	assert_true(came == now->added || (came == 0 && !acknowledged));
}

/* What can be removed is gone when a session has been there. */
static void check_folder(const char *name, const char *prefix)
{
	DIR *dir = opendir(path_of(name));
	struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL)
		if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0)
			fail_msg("%s/%s is left", name, entry->d_name);
	closedir(dir);
}

static void check(const struct scenario *now, bool acknowledged)
{
	struct seen s, again;
	void *box;

	look(&s);
	check_old(now, &s, acknowledged);
	check_new(now, &s, acknowledged);
	assert_true(strcmp(s.project, "1-3\n") == 0 ||
	            (now->act == do_expunge && by_number(&s, 2) == NULL && strcmp(s.project, "1 3\n") == 0));
	check_folder("box", TEMPORARY);
	check_folder("journals", "");
	look(&again);
	assert_int_equal(again.count, s.count);
	for (size_t i = 0; i < s.count; i++)
		assert_true(again.m[i].number == s.m[i].number && again.m[i].flags == s.m[i].flags);
	box = open_box();
	assert_int_equal(append(box, 1, false, &s), 0);
	close_box(box);
	look(&again);
	assert_int_equal(again.count, s.count + 1);
}

static const struct scenario scenarios[] = {{"append", do_append, 1}, {"batch", do_batch, 3},
    {"copy", do_copy, 2}, {"flags", do_flags, 0}, {"expunge", do_expunge, 0}};
#define SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

static void undisturbed(const struct scenario *now)
{
	const struct fault none = {.kind = FAULT_NONE};

	run(now, &none, true);
	assert_true(shared->acknowledged);
	look(&after);
}

static void test_faults(void **state)
{
	static const struct fault kinds[] = {{.kind = FAULT_KILL}, {.kind = FAULT_TORN},
	    {.kind = FAULT_ERROR, .error = ENOSPC}, {.kind = FAULT_ERROR, .error = ENOSPC, .sticky = true},
	    {.kind = FAULT_ERROR, .error = EIO}, {.kind = FAULT_SHORT}};

	(void)state;
	for (size_t i = 0; i < SCENARIOS; i++) {
		unsigned points = 0;

		undisturbed(&scenarios[i]);
		check(&scenarios[i], true);
		for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			struct fault f = kinds[k];

			for (f.at = 1; f.at < 1000 && run(&scenarios[i], &f, false); f.at++) {
				points++;
				check(&scenarios[i], shared->acknowledged);
				/* A write that was cut short is no reason to fail. */
				assert_true(f.kind != FAULT_SHORT || shared->acknowledged);
			}
			assert_in_range(f.at, 2, 999);
		}
		print_message("# %s: %u faults\n", scenarios[i].name, points);
	}
}

/* ---- power ---- */

static bool is_number(const char *name)
{
	uint32_t number;

	return mh_number(name, &number);
}

/* Whether `inode` was synced between its last write (or name in it) before event `end`, and `end`. */
static bool synced(uint64_t inode, size_t end)
{
	bool clean = true;

	for (size_t i = 0; i < end; i++) {
		const struct event *e = &shared->event[i];

		if (e->inode != inode)
			continue;
		clean = e->kind == EVENT_SYNC || e->kind == EVENT_SYNC_DIR;
	}
	return clean;
}

static uint64_t inode_of(const char *name)
{
	struct stat st;

	return stat(path_of(name), &st) == 0 ? st.st_ino : 0;
}

/* What a message needs is on disk before it has its number, the number before anybody is told. */
static void test_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < SCENARIOS; i++) {
		size_t named = 0;
		uint64_t sequences;
		bool marked = false;

		undisturbed(&scenarios[i]);
		sequences = inode_of("box/" SEQUENCES);
		for (size_t k = 0; k < shared->events; k++) {
			const struct event *e = &shared->event[k];

			if (e->inode != w.folder || (e->kind != EVENT_NAME && e->kind != EVENT_UNNAME))
				continue;
			if (strncmp(e->name, BATCH, sizeof(BATCH) - 1) == 0) {
				marked = e->kind == EVENT_NAME;
				/* It goes when all that it names is on disk. */
				assert_true(marked || (synced(w.folder, k) && synced(sequences, k)));
			} else if (e->kind == EVENT_NAME && is_number(e->name)) {
				assert_true(synced(e->named, k) && synced(sequences, k));
				assert_true(marked == (scenarios[i].added > 1));
				assert_true(named++ > 0 || !marked || synced(w.folder, k));
			}
		}
		assert_false(marked);
		assert_int_equal(named, scenarios[i].added);
		assert_true(synced(sequences, shared->events));
		/* Directories of messages that were being written may be there again. */
		for (size_t k = shared->events; k > 0; k--) {
			struct event *e = &shared->event[k - 1];

			if (e->inode != w.folder)
				continue;
			if (e->kind == EVENT_SYNC_DIR)
				break;
			assert_true(scenarios[i].added == 0 || strncmp(e->name, TEMPORARY, 9) == 0);
		}
	}
}

/* Numbers that were given since the folder was last synced; those whose bit is set are lost. */
static void lose_names(unsigned lost)
{
	size_t i, from = 0;
	char name[128];

	for (i = 0; i < shared->events; i++)
		if (shared->event[i].inode == w.folder && shared->event[i].kind == EVENT_SYNC_DIR)
			from = i;
	for (i = from; i < shared->events; i++) {
		const struct event *e = &shared->event[i];

		if (e->inode != w.folder || e->kind != EVENT_NAME || !is_number(e->name))
			continue;
		snprintf(name, sizeof(name), "box/%.80s", e->name);
		if ((lost & 1) != 0)
			unlink(path_of(name));
		lost >>= 1;
	}
}

/* Killed at each call, and then without power. */
static void test_lost_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < SCENARIOS; i++) {
		struct fault f = {.kind = FAULT_KILL, .at = 1};

		if (scenarios[i].added == 0)
			continue;
		undisturbed(&scenarios[i]);
		for (; f.at < 1000 && run(&scenarios[i], &f, true); f.at++)
			for (unsigned lost = 1; lost < 1u << scenarios[i].added; lost++) {
				lose_names(lost);
				check(&scenarios[i], false);
				run(&scenarios[i], &f, true);
			}
		assert_in_range(f.at, 2, 999);
	}
}

/* Where syncing costs nothing: that it is asked for is what matters. */
static void use_memory(void)
{
	if (access("/dev/shm", W_OK) != 0)
		return;
	close(w.d.root);
	rmdir(w.d.dir);
	snprintf(w.d.dir, sizeof(w.d.dir), "/dev/shm/mortise-mh-XXXXXX");
	assert_non_null(mkdtemp(w.d.dir));
	w.d.root = open(w.d.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_faults), cmocka_unit_test(test_order), cmocka_unit_test(test_lost_names)};
	int r;

	faults_map();
	w.journal = -1;
	drive_start(&w.d, &mh_LTX_mortise_module);
	use_memory();
	w.place = drive_place(&w.d, "box");
	w.place.lock_timeout = 200;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	nftw(w.d.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	drive_end(&w.d);
	return r;
}
