/* test-mh: the driver called directly: names, sequences, identities, locks, what other programs do meanwhile.
 */
#include "../memory/test-drive.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <sys/syscall.h>

#include "box.h"

extern const struct mortise_module mh_LTX_mortise_module;

#define POLLS 1000 /* of 5 ms */

/* A program that delivers without the lock, just before we take a number. */
static const char *somebody_takes[2];

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
	size_t i;

	for (i = 0; i < 2; i++)
		if (somebody_takes[i] != NULL && strcmp(to, somebody_takes[i]) == 0) {
			int fd = openat(to_dir, to, O_CREAT | O_EXCL | O_WRONLY, 0600);

			assert_true(fd >= 0);
			assert_int_equal(write(fd, "m: first\n", 9), 9);
			close(fd);
			somebody_takes[i] = NULL;
		}
	return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

static unsigned looks;

int statx(int dir, const char *restrict name, int flags, unsigned mask, struct statx *restrict out)
{
	looks++;
	return (int)syscall(SYS_statx, dir, name, flags, mask, out);
}

/* What a sync said: "full 1(1) 7(0)", numbers and flags; identities in order. */
struct heard {
	char text[8192];
	struct mortise_message m[600];
	size_t count;
};

struct rig {
	struct drive d;
	struct mortise_place place;
	struct mortise_cursor cursor;
	struct heard heard;
	void *box;
};

static int heard_full(void *x, uint32_t uidvalidity)
{
	assert_int_equal(uidvalidity, 0);
	memcpy(((struct heard *)x)->text, "full", sizeof("full"));
	return 0;
}

static int heard_added(void *x, const struct mortise_message *m)
{
	struct heard *h = x;
	struct mh_entry e;
	size_t n = strlen(h->text);

	memcpy(&e, m->locator, sizeof(e));
	assert_int_equal(m->uid, 0);
	assert_in_range(m->identity_size, 1, m->locator_size);
	if (h->count < 600)
		h->m[h->count++] = *m;
	snprintf(h->text + n, sizeof(h->text) - n, " %u(%x)", e.number, m->flags);
	return 0;
}

static const char *sync_box(struct rig *r, void *box)
{
	const struct mortise_sink sink = {
	    .size = sizeof(sink), .engine = &r->heard, .full_scan = heard_full, .added = heard_added};

	r->heard.text[0] = '\0';
	r->heard.count = 0;
	return DRIVE(&r->d, sync, box, &r->cursor, &sink) == 0 ? r->heard.text : "failed";
}

static const char *sync_now(struct rig *r)
{
	r->cursor.size = 0;
	return sync_box(r, r->box);
}

static struct mortise_ref ref_of(const struct mortise_message *m)
{
	struct mortise_ref ref = {.locator_size = m->locator_size};

	memcpy(ref.locator, m->locator, sizeof(ref.locator));
	return ref;
}

static bool same_identity(const struct mortise_message *a, const struct mortise_message *b)
{
	return a->identity_size == b->identity_size && memcmp(a->locator, b->locator, a->identity_size) == 0;
}

static void reopen(struct rig *r)
{
	if (r->box != NULL)
		DRIVE_VOID(&r->d, close, r->box);
	r->box = drive_open(&r->d, &r->place, 0);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	drive_start(&r->d, &mh_LTX_mortise_module);
	r->place = drive_place(&r->d, "box");
	r->place.lock_timeout = 50;
	*state = r;
	assert_int_equal(DRIVE(&r->d, create, &r->place), 0);
	reopen(r);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct rig *r = *state;

	if (r->box != NULL)
		DRIVE_VOID(&r->d, close, r->box);
	nftw(r->d.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	drive_end(&r->d);
	free(r);
	return 0;
}

static const char *path_of(struct rig *r, const char *name)
{
	return arena_printf(r->d.a, "%s/box/%s", r->d.dir, name);
}

static void put(struct rig *r, const char *name, const char *text)
{
	FILE *f = fopen(path_of(r, name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static const char *get(struct rig *r, const char *name)
{
	FILE *f = fopen(path_of(r, name), "r");
	char *text = arena_alloc(r->d.a, 65536);

	if (f == NULL)
		return "none";
	text[fread(text, 1, 65535, f)] = '\0';
	fclose(f);
	return text;
}

static bool there(struct rig *r, const char *name)
{
	struct stat st;

	return lstat(path_of(r, name), &st) == 0;
}

static void move(struct rig *r, const char *from, const char *to)
{
	assert_int_equal(rename(path_of(r, from), path_of(r, to)), 0);
}

static void lock(struct rig *r, int mode)
{
	assert_int_equal(DRIVE(&r->d, lock, r->box, mode, 0), 0);
}

static int flag(struct rig *r, const struct mortise_message *m, uint32_t flags)
{
	const struct mortise_flag_change c = {.ref = ref_of(m), .flags = flags};
	int result;

	lock(r, MORTISE_LOCK_EXCLUSIVE);
	result = DRIVE(&r->d, set_flags, r->box, &c, 1);
	lock(r, MORTISE_LOCK_NONE);
	return result;
}

static int expunge(struct rig *r, const struct mortise_message *m)
{
	const struct mortise_ref ref = ref_of(m);
	int result;

	lock(r, MORTISE_LOCK_EXCLUSIVE);
	result = DRIVE(&r->d, expunge, r->box, &ref, 1);
	lock(r, MORTISE_LOCK_NONE);
	return result;
}

static const char *text_of(struct rig *r, void *box, const struct mortise_message *m)
{
	struct mortise_source source = {.size = sizeof(source)};
	const struct mortise_ref ref = ref_of(m);
	char *text = arena_alloc(r->d.a, 65536);
	int code = DRIVE(&r->d, read, box, &ref, &source);

	if (code != 0)
		return code == MORTISE_E_EXPUNGED ? "expunged" : "failed";
	assert_int_equal(source.newline, MORTISE_NEWLINE_LF);
	text[pread(source.fd, text, source.extents[0].length, (off_t)source.extents[0].offset)] = '\0';
	return text;
}

/* ---- names and sequences ---- */

/* attack-115 */
static void test_numbers(void **state)
{
	static const char *const bad[] = {
	    "0", "007", "4294967296", "2147483647", "99999999999999999999", "1x", "-1", "+1", " 1", "", ",1"};
	uint32_t n = 0;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(mh_number(bad[i], &n));
	assert_true(mh_number("1", &n) && n == 1);
	assert_true(mh_number("2147483646", &n) && n == 2147483646);
}

static const char *edited(struct rig *r, const char *text, const char *name, uint32_t number, bool add)
{
	struct mh_sequences s;
	char *out = NULL;
	size_t size;
	const char *copy;

	assert_true(mh_sequences_parse(&s, strdup(text), strlen(text)));
	assert_true(add ? mh_sequences_add(&s, name, &number, 1) : mh_sequences_drop(&s, name, &number, 1));
	assert_true(mh_sequences_text(&s, &out, &size));
	copy = mh_sequences_changed(&s) ? arena_strdup(r->d.a, out) : "same";
	free(out);
	mh_sequences_free(&s);
	return copy;
}

/* attack-115: ranges without end, garbage. */
static void test_sequences(void **state)
{
	static const char all[] = "cur: 3\nunseen: 1-4294967295\n";
	struct rig *r = *state;
	struct mh_sequences s;
	uint32_t many[3] = {1, 7, UINT32_MAX};
	char *out = NULL;
	size_t size;

	assert_string_equal(edited(r, "unseen: 1-3 5\n", "unseen", 4, true), "unseen: 1-5\n");
	assert_string_equal(edited(r, "unseen: 1-3 5\n", "unseen", 2, true), "same");
	assert_string_equal(edited(r, "unseen: 1-3 5", "unseen", 2, false), "unseen: 1 3 5\n");
	assert_string_equal(edited(r, "unseen: 1-3 5", "unseen", 4, false), "same");
	assert_string_equal(edited(r, "a: 2\nunseen: 2\nb: 2 x\n", "unseen", 2, false), "a: 2\nb: 2 x\n");
	assert_string_equal(edited(r, "a: 2\nunseen: 2\nb: 2 x 9", ALL_SEQUENCES, 2, false), "b: 9\n");
	assert_string_equal(edited(r, "cur: 2\na: 1 2\n", ALL_SEQUENCES, 2, false), "cur: 2\na: 1\n");
	assert_string_equal(
	    edited(r, "garbage\n\nx: y\n", "unseen", 7, true), "garbage\n\nx: y\nunseen: 7\n");
	assert_string_equal(edited(r, "u: 1\n  2 3-\n\t4-2 5-9\nv: 1\n", "u", 3, true), "u: 1-3 5-9\nv: 1\n");
	assert_string_equal(edited(r, "u: 1\nu: 2\n", "u", 2, true), "same");
	assert_string_equal(edited(r, "u: 1 2\nu: 2 3\n", "u", 2, false), "u: 1\nu: 3\n");
	assert_string_equal(edited(r, "U: 1\n", "u", 1, true), "U: 1\nu: 1\n");
	assert_string_equal(edited(r, "u: 99999999999999999999 0 5\n", "u", 5, false), "u: 4294967295\n");
	assert_true(mh_sequences_parse(&s, strdup(all), strlen(all)));
	assert_true(mh_sequences_has(&s, "unseen", 4294967295u) && mh_sequences_has(&s, "unseen", 1));
	assert_false(mh_sequences_has(&s, "cur", 4) || mh_sequences_has(&s, "other", 3));
	assert_true(mh_sequences_drop(&s, ALL_SEQUENCES, many, 3));
	assert_true(mh_sequences_text(&s, &out, &size));
	assert_string_equal(out, "cur: 3\nunseen: 2-6 8-4294967294\n");
	free(out);
	mh_sequences_free(&s);
}

/* attack-115: files that are no messages; sequences that are too many, or no file. */
static void test_hostile_folder(void **state)
{
	struct rig *r = *state;
	char big[5000];

	put(r, "1", "a: b\n");
	put(r, "0", "x\n");
	put(r, "007", "x\n");
	put(r, "4294967296", "x\n");
	put(r, ",4", "x\n");
	put(r, "#5", "x\n");
	put(r, "6~", "x\n");
	put(r, "9", "");
	assert_int_equal(mkdir(path_of(r, "2"), 0700), 0);
	assert_int_equal(mkfifo(path_of(r, "3"), 0600), 0);
	assert_int_equal(symlink("/etc/passwd", path_of(r, "4")), 0);
	assert_int_equal(symlink("1", path_of(r, "12")), 0);
	put(r, SEQUENCES, "unseen: 1-4294967295 x -5 7-\n");
	assert_string_equal(sync_now(r), "full 1(0) 9(0)");
	drive_option(&r->d, "sequences_limit", "4096");
	memset(big, ' ', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	put(r, SEQUENCES, big);
	assert_string_equal(sync_now(r), "failed");
	assert_int_equal(r->d.e.code, MORTISE_E_LIMIT);
	assert_int_equal(unlink(path_of(r, SEQUENCES)), 0);
	assert_string_equal(sync_now(r), "full 1(1) 9(1)");
	assert_int_equal(symlink("/etc/passwd", path_of(r, SEQUENCES)), 0);
	assert_string_equal(sync_now(r), "failed");
	assert_int_equal(unlink(path_of(r, SEQUENCES)), 0);
	assert_int_equal(mkfifo(path_of(r, SEQUENCES), 0600), 0);
	assert_string_equal(sync_now(r), "failed");
	assert_int_equal(r->d.e.code, MORTISE_E_CORRUPT);
	assert_int_equal(unlink(path_of(r, SEQUENCES)), 0);
	drive_option(&r->d, "message_limit", "1");
	assert_string_equal(sync_now(r), "failed");
	assert_int_equal(r->d.e.code, MORTISE_E_LIMIT);
}

/* attack-115 */
static void test_unreadable(void **state)
{
	struct rig *r = *state;
	bool root = geteuid() == 0;
	const char *text;

	put(r, "1", "a: b\n");
	assert_int_equal(chmod(path_of(r, "1"), 0), 0);
	assert_string_equal(sync_now(r), "full 1(1)");
	assert_int_equal(chmod(path_of(r, ""), 0755) + chmod(r->d.dir, 0755), 0);
	if (root) /* to whom nothing is unreadable */
		assert_int_equal(seteuid(65534), 0);
	text = text_of(r, r->box, &r->heard.m[0]);
	if (root)
		assert_int_equal(seteuid(0), 0);
	assert_string_equal(text, "failed");
	assert_int_equal(r->d.e.code, MORTISE_E_PERM);
}

/* ---- identity ---- */

static void test_identity(void **state)
{
	struct rig *r = *state;
	struct mortise_message one, two;

	put(r, "3", "m: one\n");
	put(r, "7", "m: two\n\n");
	put(r, SEQUENCES, "flagged: 7\n");
	assert_string_equal(sync_now(r), "full 3(1) 7(5)");
	one = r->heard.m[0];
	two = r->heard.m[1];
	assert_false(same_identity(&one, &two));
	/* folder -pack, sortm: the same messages elsewhere. */
	move(r, "3", "2");
	move(r, "7", "1");
	put(r, SEQUENCES, "flagged: 1\n");
	assert_string_equal(text_of(r, r->box, &one), "m: one\n"); /* found, by its inode */
	assert_string_equal(sync_now(r), "full 1(5) 2(1)");
	assert_true(same_identity(&two, &r->heard.m[0]) && same_identity(&one, &r->heard.m[1]));
	/* Edited in place: another one. */
	put(r, "2", "m: one, edited\n");
	assert_string_equal(text_of(r, r->box, &one), "expunged");
	sync_now(r);
	assert_false(same_identity(&one, &r->heard.m[1]));
	/* Gone, and the number taken by another file, perhaps with the same inode. */
	assert_int_equal(unlink(path_of(r, "1")), 0);
	put(r, "1", "m: three\n");
	assert_string_equal(text_of(r, r->box, &two), "expunged");
	assert_int_equal(flag(r, &two, MORTISE_FLAG_ANSWERED), 0);
	assert_int_equal(expunge(r, &two), 0);
	assert_true(there(r, "1"));
	assert_string_equal(get(r, SEQUENCES), "flagged: 1\n");
}

/* A file that takes the place of one that is gone, inode, time and size included, is another message. */
static void test_birth(void **state)
{
	const struct timespec old[2] = {{1000, 0}, {1000, 0}};
	struct rig *r = *state;
	struct mh_entry first, second = {0};
	int tries;

	put(r, "1", "m: one\n");
	assert_int_equal(utimensat(AT_FDCWD, path_of(r, "1"), old, 0), 0);
	assert_true(mh_look(AT_FDCWD, path_of(r, "1"), &first, NULL));
	if (first.birth == 0)
		skip(); /* this file system does not tell */
	for (tries = 0; tries < 20 && second.inode != first.inode; tries++) {
		assert_int_equal(unlink(path_of(r, "1")), 0);
		usleep(20000); /* another tick of the file system's clock */
		put(r, "1", "m: two\n");
		assert_int_equal(utimensat(AT_FDCWD, path_of(r, "1"), old, 0), 0);
		assert_true(mh_look(AT_FDCWD, path_of(r, "1"), &second, NULL));
	}
	assert_true(first.mtime == second.mtime && first.size == second.size);
	assert_false(mh_entry_same(&first, &second));
}

/* refile -link into the same folder. */
static void test_links(void **state)
{
	struct rig *r = *state;
	struct mortise_message m[3];
	size_t i;

	put(r, "1", "m: one\n");
	assert_int_equal(link(path_of(r, "1"), path_of(r, "5")), 0);
	assert_int_equal(link(path_of(r, "1"), path_of(r, "3")), 0);
	assert_string_equal(sync_now(r), "full 1(1) 3(1) 5(1)");
	memcpy(m, r->heard.m, sizeof(m));
	for (i = 0; i < 3; i++)
		assert_false(same_identity(&m[i], &m[(i + 1) % 3]));
	assert_int_equal(expunge(r, &m[1]), 0);
	assert_string_equal(sync_now(r), "full 1(1) 5(1)");
	assert_true(same_identity(&m[0], &r->heard.m[0]));
	assert_string_equal(text_of(r, r->box, &m[2]), "m: one\n");
}

/* What was told is told again by nobody, in whatever box. */
static void test_cursor(void **state)
{
	struct rig *r = *state;
	const char *told = "";
	int i;

	put(r, "1", "m: one\n");
	for (i = 0; i < POLLS && strcmp(told = sync_box(r, r->box), "") != 0; i++)
		usleep(5000); /* until the times are old enough */
	assert_string_equal(told, "");
	reopen(r);
	assert_string_equal(sync_box(r, r->box), "");
	/* A restore sets the directory's time back; flags may come from outside. */
	put(r, "2", "m: two\n");
	assert_int_equal(utimensat(AT_FDCWD, path_of(r, ""), (struct timespec[2]){{9, 0}, {9, 0}}, 0), 0);
	assert_string_equal(sync_box(r, r->box), "full 1(1) 2(1)");
	for (i = 0; i < POLLS && strcmp(told = sync_box(r, r->box), "") != 0; i++)
		usleep(5000);
	assert_string_equal(told, "");
	put(r, SEQUENCES, "unseen: 2\n");
	assert_string_equal(sync_box(r, r->box), "full 1(1) 2(0)");
	r->cursor.data[9] ^= 1;
	assert_string_equal(sync_box(r, r->box), "full 1(1) 2(0)");
	for (i = 0; i < POLLS && strcmp(told = sync_box(r, r->box), "") != 0; i++)
		usleep(5000);
	drive_option(&r->d, "unseen", "new");
	assert_string_equal(sync_box(r, r->box), "full 1(1) 2(1)");
	/* Read, and found changed: the next sync looks although the directory is as it was. */
	for (i = 0; i < POLLS && strcmp(told = sync_box(r, r->box), "") != 0; i++)
		usleep(5000);
	sync_now(r);
	for (i = 0; i < POLLS && strcmp(told = sync_box(r, r->box), "") != 0; i++)
		usleep(5000);
	{
		struct mh_entry gone = {.inode = 1, .number = 77};
		struct mortise_message m = {.uid = 0};

		mh_locator_write(&gone, m.locator, &m.locator_size, &m.identity_size);
		assert_string_equal(text_of(r, r->box, &m), "expunged");
	}
	assert_string_equal(sync_box(r, r->box), "full 1(1) 2(1)");
}

/* Of a folder that changes, what is new is looked at. */
static void test_looks(void **state)
{
	struct rig *r = *state;
	const struct timespec old[2] = {{1000000, 0}, {1000000, 0}};
	char name[16];
	unsigned i;

	for (i = 1; i <= 200; i++) {
		snprintf(name, sizeof(name), "%u", i);
		put(r, name, "m: text\n");
		assert_int_equal(utimensat(AT_FDCWD, path_of(r, name), old, 0), 0);
	}
	looks = 0;
	sync_now(r);
	assert_int_equal(r->heard.count, 200);
	assert_true(looks >= 200);
	/* new, gone, moved */
	put(r, "201", "m: new\n");
	assert_int_equal(unlink(path_of(r, "7")), 0);
	move(r, "9", "7");
	looks = 0;
	sync_now(r);
	assert_int_equal(r->heard.count, 200);
	assert_true(looks <= 3);
	/* Others have the last numbers now, and their inodes; one is edited by way of another file. */
	assert_int_equal(utimensat(AT_FDCWD, path_of(r, "201"), old, 0), 0);
	sync_now(r);
	put(r, "200", "m: another\n");
	put(r, "201", "m: and another\n");
	put(r, "edited", "m: edited\n");
	move(r, "edited", "50");
	looks = 0;
	sync_now(r);
	assert_int_equal(r->heard.count, 200);
	assert_true(looks <= 4);
	assert_string_equal(text_of(r, r->box, &r->heard.m[198]), "m: another\n");
	assert_string_equal(text_of(r, r->box, &r->heard.m[199]), "m: and another\n");
	assert_string_equal(text_of(r, r->box, &r->heard.m[48]), "m: edited\n");
	/* Changed where it is: found by who reads it, then by all. */
	put(r, "60", "m: changed\n");
	put(r, "202", "m: new\n");
	sync_now(r);
	assert_string_equal(text_of(r, r->box, &r->heard.m[58]), "expunged");
	sync_now(r);
	assert_string_equal(text_of(r, r->box, &r->heard.m[58]), "m: changed\n");
	/* Two names of one file are told apart, whichever came later. */
	assert_int_equal(link(path_of(r, "3"), path_of(r, "203")), 0);
	sync_now(r);
	assert_false(same_identity(&r->heard.m[2], &r->heard.m[r->heard.count - 1]));
}

/* ---- changes ---- */

static void test_flags(void **state)
{
	struct rig *r = *state;

	put(r, "1", "m: one\n");
	put(r, "2", "m: two\n");
	put(r, "10", "m: ten\n");
	put(r, SEQUENCES, "cur: 2\nproject: 1-2 10\nunseen: 1-10\n");
	assert_string_equal(sync_now(r), "full 1(0) 2(0) 10(0)");
	assert_int_equal(flag(r, &r->heard.m[1], MORTISE_FLAG_SEEN | MORTISE_FLAG_FLAGGED), 0);
	assert_string_equal(get(r, SEQUENCES), "cur: 2\nproject: 1-2 10\nunseen: 1 3-10\nflagged: 2\n");
	assert_int_equal(flag(r, &r->heard.m[2], MORTISE_FLAG_SEEN | MORTISE_FLAG_ANSWERED), 0);
	assert_int_equal(flag(r, &r->heard.m[1], MORTISE_FLAG_SEEN), 0);
	assert_string_equal(get(r, SEQUENCES), "cur: 2\nproject: 1-2 10\nunseen: 1 3-9\nreplied: 10\n");
	assert_string_equal(sync_now(r), "full 1(0) 2(1) 10(9)");
	assert_int_equal(expunge(r, &r->heard.m[2]), 0);
	assert_int_equal(expunge(r, &r->heard.m[1]), 0);
	assert_string_equal(get(r, SEQUENCES), "cur: 2\nproject: 1\nunseen: 1 3-9\n");
	assert_false(there(r, "2") || there(r, "10"));
	drive_option(&r->d, "keep_removed", "yes");
	assert_string_equal(sync_now(r), "full 1(0)");
	assert_int_equal(expunge(r, &r->heard.m[0]), 0);
	assert_true(there(r, ",1") && !there(r, "1"));
	assert_string_equal(sync_now(r), "full");
	put(r, "1", "m: one\n");
	sync_now(r);
	lock(r, MORTISE_LOCK_SHARED);
	assert_int_equal(DRIVE(&r->d, expunge, r->box, NULL, 0), MORTISE_E_INTERNAL);
	assert_int_equal(DRIVE(&r->d, set_flags, r->box, NULL, 0), MORTISE_E_INTERNAL);
}

static void begin(struct rig *r, void **tx, size_t count, uint32_t flags)
{
	const struct mortise_append_info info = {
	    .size = sizeof(info), .flags = flags, .internal_date = -5, .zone = -90};
	size_t i;

	assert_int_equal(DRIVE(&r->d, append_begin, r->box, tx), 0);
	for (i = 0; i < count; i++) {
		assert_int_equal(DRIVE(&r->d, append_message, *tx, &info), 0);
		assert_int_equal(DRIVE(&r->d, append_write, *tx, "m: x\r\n\r\na\r", 9), 0);
		assert_int_equal(DRIVE(&r->d, append_write, *tx, "\nb\rc\r\r\n", 8), 0);
	}
}

static int commit(struct rig *r, void *tx, struct mortise_ref *refs, size_t count)
{
	uint32_t uidvalidity = 77;
	int result = DRIVE(&r->d, append_commit_refs, tx, &uidvalidity, refs, count);

	assert_int_equal(uidvalidity, 0);
	return result;
}

static size_t files(struct rig *r, const char *prefix)
{
	DIR *dir = opendir(path_of(r, ""));
	struct dirent *d;
	size_t n = 0;

	while ((d = readdir(dir)) != NULL)
		n += strncmp(d->d_name, prefix, strlen(prefix)) == 0;
	closedir(dir);
	return n;
}

static void test_append(void **state)
{
	struct rig *r = *state;
	struct mortise_ref refs[3] = {0};
	uint32_t uid = 7;
	void *tx;

	put(r, "4", "m: four\n");
	assert_int_equal(mkdir(path_of(r, "6"), 0700), 0);
	/* What is left of messages that had these numbers is not for the new ones. */
	put(r, SEQUENCES, "cur: 4\nold: 4 7-9\nflagged: 7\n");
	begin(r, &tx, 1, MORTISE_FLAG_ANSWERED);
	assert_int_equal(commit(r, tx, refs, 1), 0);
	assert_string_equal(get(r, SEQUENCES), "cur: 4\nold: 4 8-9\nunseen: 7\nreplied: 7\n");
	assert_string_equal(get(r, "7"), "m: x\n\na\nb\rc\r\n");
	assert_string_equal(sync_now(r), "full 4(1) 7(8)");
	assert_memory_equal(r->heard.m[1].locator, refs[0].locator, refs[0].locator_size);
	assert_true(r->heard.m[1].internal_date == -5);
	assert_int_equal(r->heard.m[1].zone, -90);
	assert_int_equal(r->heard.m[0].zone, 0);
	begin(r, &tx, 3, MORTISE_FLAG_SEEN | MORTISE_FLAG_DELETED);
	put(r, "8", "m: another program was first\n");
	assert_int_equal(commit(r, tx, refs, 3), 0);
	assert_string_equal(sync_now(r), "full 4(1) 7(8) 8(1) 9(1) 10(1) 11(1)");
	assert_memory_equal(r->heard.m[5].locator, refs[2].locator, refs[2].locator_size);
	assert_int_equal(files(r, TEMPORARY), 0);
	assert_string_equal(get(r, SEQUENCES), "cur: 4\nold: 4 8\nunseen: 7\nreplied: 7\n");
	begin(r, &tx, 2, 0);
	assert_int_equal(files(r, TEMPORARY), 1);
	sync_now(r); /* nobody sweeps what is in use */
	assert_int_equal(files(r, TEMPORARY), 1);
	DRIVE_VOID(&r->d, append_abort, tx);
	assert_int_equal(files(r, TEMPORARY), 0);
	assert_int_equal(drive_append(&r->d, r->box, "m: y\r\n", &uid), 0);
	assert_int_equal(uid, 0);
	drive_option(&r->d, "message_limit", "8");
	assert_int_equal(drive_append(&r->d, r->box, "m: y\r\n", &uid), MORTISE_E_LIMIT);
	drive_option(&r->d, "message_limit", "100");
	put(r, "2147483646", "m: last\n");
	assert_int_equal(drive_append(&r->d, r->box, "m: y\r\n", &uid), MORTISE_E_LIMIT);
	/* One number is left for two messages: none arrives. */
	move(r, "2147483646", "2147483645");
	begin(r, &tx, 2, MORTISE_FLAG_FLAGGED);
	assert_int_equal(commit(r, tx, refs, 2), MORTISE_E_LIMIT);
	assert_false(there(r, "2147483646"));
	assert_int_equal(files(r, TEMPORARY), 0);
}

static void test_taken_numbers(void **state)
{
	struct rig *r = *state;
	struct mortise_ref refs[3] = {0};
	void *tx;

	put(r, "4", "m: four\n");
	put(r, SEQUENCES, "unseen: 4\n");
	begin(r, &tx, 3, MORTISE_FLAG_FLAGGED);
	somebody_takes[0] = "5";
	somebody_takes[1] = "7";
	assert_int_equal(commit(r, tx, refs, 3), 0);
	assert_null(somebody_takes[1]);
	assert_string_equal(get(r, "5"), "m: first\n");
	assert_string_equal(get(r, "7"), "m: first\n");
	/* What was theirs never has our flags. */
	assert_string_equal(get(r, SEQUENCES), "unseen: 4 6 8-9\nflagged: 6 8-9\n");
	assert_string_equal(sync_now(r), "full 4(0) 5(1) 6(4) 7(1) 8(4) 9(4)");
	assert_memory_equal(r->heard.m[2].locator, refs[0].locator, refs[0].locator_size);
	assert_memory_equal(r->heard.m[5].locator, refs[2].locator, refs[2].locator_size);
	/* The last number is taken when two messages are left: none of them arrives. */
	put(r, "2147483644", "m: last but two\n");
	sync_now(r);
	begin(r, &tx, 2, MORTISE_FLAG_FLAGGED);
	somebody_takes[0] = "2147483646";
	assert_int_equal(commit(r, tx, refs, 2), MORTISE_E_TEMP);
	assert_false(there(r, "2147483645"));
	assert_string_equal(get(r, SEQUENCES), "unseen: 4 6 8-9\nflagged: 6 8-9\n");
	assert_int_equal(files(r, TEMPORARY), 0);
}

/* A batch that a crash interrupted, and files that only look like one. */
static void test_batches(void **state)
{
	struct rig *r = *state;
	struct mh_entry v[2];
	FILE *f;

	put(r, "1", "m: one\n");
	put(r, "2", "m: two, half of it there\n");
	put(r, SEQUENCES, "unseen: 1-2\n");
	assert_true(mh_look(AT_FDCWD, path_of(r, "2"), &v[0], NULL));
	v[1] = (struct mh_entry){.inode = 12345};
	put(r, BATCH "bad", "not an entry at all, but longer than one would be");
	f = fopen(path_of(r, BATCH "1"), "w");
	fwrite(v, sizeof(v[0]), 2, f);
	fclose(f);
	DRIVE_VOID(&r->d, close, r->box);
	r->box = drive_open(&r->d, &r->place, MORTISE_OPEN_READ_ONLY);
	assert_string_equal(sync_now(r), "full 1(0)");
	assert_true(there(r, "2"));
	reopen(r);
	assert_string_equal(sync_now(r), "full 1(0)");
	assert_false(there(r, "2"));
	assert_int_equal(files(r, BATCH), 0);
	assert_string_equal(get(r, SEQUENCES), "unseen: 1\n");
	/* Found by an append. */
	put(r, "2", "m: two\n");
	assert_true(mh_look(AT_FDCWD, path_of(r, "2"), &v[0], NULL));
	f = fopen(path_of(r, BATCH "2"), "w");
	fwrite(v, sizeof(v[0]), 1, f);
	fclose(f);
	assert_int_equal(drive_append(&r->d, r->box, "m: y\r\n", &(uint32_t){0}), 0);
	assert_string_equal(get(r, "2"), "none");
	assert_string_equal(sync_now(r), "full 1(0) 3(0)");
	/* Messages that were being written. */
	assert_int_equal(mkdir(path_of(r, TEMPORARY "dead"), 0700), 0);
	put(r, TEMPORARY "dead/0", "m: half\n");
	sync_now(r);
	assert_int_equal(files(r, TEMPORARY), 0);
}

static void test_copy(void **state)
{
	const struct mortise_append_info info = {
	    .size = sizeof(info), .flags = MORTISE_FLAG_SEEN, .internal_date = 1000000, .zone = 60};
	struct rig *r = *state;
	struct mortise_ref ref;
	struct stat a, b;
	void *tx;

	put(r, "1", "m: one\n\ntext\r\nmore");
	sync_now(r);
	ref = ref_of(&r->heard.m[0]);
	assert_int_equal(DRIVE(&r->d, append_begin, r->box, &tx), 0);
	assert_int_equal(DRIVE(&r->d, append_copy, tx, r->box, &ref, &info, 1), 0);
	assert_int_equal(commit(r, tx, NULL, 0), 0);
	assert_string_equal(get(r, "2"), "m: one\n\ntext\r\nmore");
	assert_string_equal(sync_now(r), "full 1(1) 2(1)");
	assert_true(r->heard.m[1].internal_date == 1000000);
	assert_int_equal(r->heard.m[1].zone, 60);
	assert_int_equal(stat(path_of(r, "1"), &a) + stat(path_of(r, "2"), &b), 0);
	assert_true(a.st_ino != b.st_ino);
	assert_int_equal(unlink(path_of(r, "1")), 0);
	assert_int_equal(DRIVE(&r->d, append_begin, r->box, &tx), 0);
	assert_int_equal(DRIVE(&r->d, append_copy, tx, r->box, &ref, &info, 1), MORTISE_E_EXPUNGED);
	DRIVE_VOID(&r->d, append_abort, tx);
	assert_int_equal(files(r, TEMPORARY), 0);
}

/* What procmail puts before a message. */
static void test_from_lines(void **state)
{
	struct rig *r = *state;
	const struct mortise_append_info info = {.size = sizeof(info)};
	char text[3000] = "From ";
	struct mortise_ref ref;
	void *tx;

	memset(text + 5, 'x', sizeof(text) - 7);
	text[sizeof(text) - 2] = '\n';
	put(r, "1", "From a@b Tue Nov 24 12:29:33 2026\nFrom: x\n\nFrom here\n");
	put(r, "2", "From a@b, and no end");
	put(r, "3", "From \n");
	put(r, "4", "From: x\n");
	put(r, "5", text);
	put(r, "6", "");
	assert_string_equal(sync_now(r), "full 1(1) 2(1) 3(1) 4(1) 5(1) 6(1)");
	assert_string_equal(text_of(r, r->box, &r->heard.m[0]), "From: x\n\nFrom here\n");
	assert_string_equal(text_of(r, r->box, &r->heard.m[1]), "From a@b, and no end");
	assert_string_equal(text_of(r, r->box, &r->heard.m[2]), "");
	assert_string_equal(text_of(r, r->box, &r->heard.m[3]), "From: x\n");
	assert_int_equal(strlen(text_of(r, r->box, &r->heard.m[4])), sizeof(text) - 1);
	assert_string_equal(text_of(r, r->box, &r->heard.m[5]), "");
	/* It does not go along; one that a client gave stays. */
	ref = ref_of(&r->heard.m[0]);
	assert_int_equal(DRIVE(&r->d, append_begin, r->box, &tx), 0);
	assert_int_equal(DRIVE(&r->d, append_copy, tx, r->box, &ref, &info, 1), 0);
	assert_int_equal(commit(r, tx, NULL, 0), 0);
	assert_string_equal(get(r, "7"), "From: x\n\nFrom here\n");
	assert_int_equal(drive_append(&r->d, r->box, "From x\r\nA: b\r\n", &(uint32_t){0}), 0);
	assert_string_equal(sync_now(r), "full 1(1) 2(1) 3(1) 4(1) 5(1) 6(1) 7(0) 8(0)");
	assert_string_equal(text_of(r, r->box, &r->heard.m[7]), "From x\nA: b\n");
}

/* ---- locks ---- */

static pid_t hold(struct rig *r, short type, int *end)
{
	const char *path = path_of(r, SEQUENCES);
	int ready[2], done[2];
	char c;
	pid_t child;

	assert_int_equal(pipe(ready) + pipe(done), 0);
	child = fork();
	if (child == 0) {
		struct flock l = {.l_type = type, .l_whence = SEEK_SET};
		int fd = open(path, O_RDWR);

		close(done[1]);
		_exit(
		    fcntl(fd, F_SETLK, &l) != 0 || write(ready[1], "x", 1) != 1 || read(done[0], &c, 1) != 0);
	}
	close(done[0]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	*end = done[1];
	return child;
}

static void test_lock(void **state)
{
	struct rig *r = *state;
	struct mortise_message m;
	int end, status;
	pid_t child;
	void *other;

	put(r, "1", "m: one\n");
	put(r, SEQUENCES, "a: 1\n");
	sync_now(r);
	m = r->heard.m[0];
	child = hold(r, F_WRLCK, &end);
	assert_string_equal(sync_now(r), "failed");
	assert_int_equal(r->d.e.code, MORTISE_E_INUSE);
	assert_non_null(strstr(r->d.e.admin, arena_printf(r->d.a, "process %d", (int)child)));
	close(end);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	child = hold(r, F_RDLCK, &end);
	assert_string_equal(sync_now(r), "full 1(1)");
	assert_int_equal(DRIVE(&r->d, lock, r->box, MORTISE_LOCK_EXCLUSIVE, 0), MORTISE_E_INUSE);
	close(end);
	assert_int_equal(waitpid(child, &status, 0), child);
	/* Two boxes of one process. */
	other = drive_open(&r->d, &r->place, 0);
	lock(r, MORTISE_LOCK_EXCLUSIVE);
	assert_int_equal(DRIVE(&r->d, lock, other, MORTISE_LOCK_EXCLUSIVE, 0), MORTISE_E_INUSE);
	DRIVE_VOID(&r->d, close, other);
	/* Replaced while we hold it, as mutt does: the change is in the new file. */
	{
		const struct mortise_flag_change c = {.ref = ref_of(&m), .flags = MORTISE_FLAG_FLAGGED};

		put(r, "new", "unseen: 1\nb: 1\n");
		move(r, "new", SEQUENCES);
		assert_int_equal(DRIVE(&r->d, set_flags, r->box, &c, 1), 0);
	}
	lock(r, MORTISE_LOCK_NONE);
	assert_string_equal(get(r, SEQUENCES), "unseen: 1\nb: 1\nflagged: 1\n");
	/* Unlinked, as nmh does with the last sequence. */
	assert_int_equal(unlink(path_of(r, SEQUENCES)), 0);
	assert_string_equal(sync_now(r), "full 1(1)");
	assert_false(there(r, SEQUENCES));
	assert_int_equal(flag(r, &m, 0), 0);
	assert_string_equal(get(r, SEQUENCES), "unseen: 1\n");
}

/* ---- folders ---- */

static int recognise_box(struct rig *r)
{
	struct mortise_probe probe = {.size = sizeof(probe), .place = &r->place};
	struct stat st;
	int result;

	probe.fd = open(path_of(r, ""), O_RDONLY | O_DIRECTORY);
	assert_int_equal(fstat(probe.fd, &st), 0);
	probe.st = &st;
	result = DRIVE(&r->d, recognise, &probe);
	close(probe.fd);
	return result;
}

static void test_recognise(void **state)
{
	struct rig *r = *state;

	assert_int_equal(recognise_box(r), MORTISE_MINE);
	assert_int_equal(unlink(path_of(r, SEQUENCES)), 0);
	assert_int_equal(recognise_box(r), MORTISE_NOT_MINE);
	r->place.inbox = true;
	assert_int_equal(recognise_box(r), MORTISE_MINE);
	assert_int_equal(mkdir(path_of(r, "cur"), 0700), 0);
	assert_int_equal(recognise_box(r), MORTISE_NOT_MINE);
	r->place.inbox = false;
	put(r, "2025", "From a@b Tue Nov 24 12:29:33 2026\nFrom: x\n\nan mbox\n");
	put(r, "2026", "");
	put(r, "x", "From: x\n");
	put(r, "007", "From: x\n");
	assert_int_equal(symlink("x", path_of(r, "1")), 0);
	assert_int_equal(mkfifo(path_of(r, "3"), 0600), 0);
	assert_int_equal(recognise_box(r), MORTISE_NOT_MINE);
	put(r, "4", "Received: from x\n");
	assert_int_equal(recognise_box(r), MORTISE_MINE);
	assert_int_equal(DRIVE(&r->d, create, &r->place), MORTISE_E_EXISTS);
	assert_int_equal(unlink(path_of(r, "4")), 0);
	drive_option(&r->d, "every_directory", "yes");
	assert_int_equal(recognise_box(r), MORTISE_MINE);
	drive_option(&r->d, "every_directory", "no");
	assert_int_equal(symlink("x", path_of(r, SEQUENCES)), 0);
	assert_int_equal(recognise_box(r), MORTISE_DAMAGED);
}

static void test_create_remove(void **state)
{
	struct rig *r = *state;

	assert_int_equal(DRIVE(&r->d, create, &r->place), MORTISE_E_EXISTS);
	put(r, "1", "m: one\n");
	put(r, ",2", "m: removed\n");
	put(r, ".xmhcache", "x");
	assert_int_equal(mkdir(path_of(r, TEMPORARY "left"), 0700), 0);
	put(r, TEMPORARY "left/0", "x");
	assert_int_equal(mkdir(path_of(r, "child"), 0700), 0);
	assert_int_equal(mkdir(path_of(r, "5"), 0700), 0);
	assert_int_equal(DRIVE(&r->d, remove, &r->place), 0);
	assert_true(there(r, "child") && there(r, "5"));
	assert_false(there(r, "1") || there(r, ",2") || there(r, ".xmhcache") || there(r, SEQUENCES) ||
	             there(r, TEMPORARY "left"));
	assert_int_equal(DRIVE(&r->d, create, &r->place), 0);
	assert_int_equal(rmdir(path_of(r, "child")) + rmdir(path_of(r, "5")), 0);
	assert_int_equal(DRIVE(&r->d, remove, &r->place), 0);
	assert_false(there(r, ""));
	assert_string_equal(sync_now(r), "failed");
	assert_int_equal(r->d.e.code, MORTISE_E_NOTFOUND);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_numbers), T(test_sequences), T(test_hostile_folder),
	    T(test_unreadable), T(test_identity), T(test_links), T(test_birth), T(test_from_lines),
	    T(test_cursor), T(test_looks), T(test_flags), T(test_append), T(test_taken_numbers),
	    T(test_batches), T(test_copy), T(test_lock), T(test_recognise), T(test_create_remove)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
