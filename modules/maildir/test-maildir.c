/* test-maildir: the driver called directly: names, Dovecot's files, the lock, what other programs do
 * meanwhile. */
#include "../memory/test-drive.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "box.h"

/* Calls that look at files, and that open them or read directories: the driver's go through these. */
static unsigned looks, opens;

int fstatat(int dir, const char *restrict name, struct stat *restrict st, int flags)
{
	looks++;
	return (int)syscall(SYS_newfstatat, dir, name, st, flags);
}

int openat(int dir, const char *name, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	opens++;
	return (int)syscall(SYS_openat, dir, name, flags, mode);
}

extern const struct mortise_module maildir_LTX_mortise_module;

struct rig {
	struct drive d;
	struct mortise_place place;
	struct mortise_cursor cursor;
	struct ear ear;
	void *box;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	drive_start(&r->d, &maildir_LTX_mortise_module);
	r->place = drive_place(&r->d, "box");
	r->place.lock_timeout = 50;
	*state = r;
	assert_int_equal(DRIVE(&r->d, create, &r->place), 0);
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void reopen(struct rig *r)
{
	if (r->box != NULL)
		DRIVE_VOID(&r->d, close, r->box);
	r->box = drive_open(&r->d, &r->place, 0);
	r->cursor = (struct mortise_cursor){0};
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
		return NULL;
	text[fread(text, 1, 65535, f)] = '\0';
	fclose(f);
	return text;
}

static bool there(struct rig *r, const char *name)
{
	return access(path_of(r, name), F_OK) == 0;
}

static const char *sync_now(struct rig *r)
{
	r->cursor.size = 0;
	return drive_sync(&r->d, r->box, &r->cursor, &r->ear);
}

static const char *made(const char *old, uint32_t flags, uint32_t letters)
{
	static char out[NAME_MAX + 1];

	return maildir_name_make(old, flags, letters, out) ? out : NULL;
}

static int flag(struct rig *r, uint32_t uid, uint32_t flags, uint64_t keywords)
{
	const struct mortise_flag_change c = {.ref = drive_ref(uid), .flags = flags, .keywords = keywords};
	int result = DRIVE(&r->d, lock, r->box, MORTISE_LOCK_EXCLUSIVE, 0);

	if (result != 0)
		return result;
	result = DRIVE(&r->d, set_flags, r->box, &c, 1);
	DRIVE(&r->d, lock, r->box, MORTISE_LOCK_NONE, 0);
	return result;
}

static void test_names(void **state)
{
	struct maildir_name n;
	char lengthy[300];

	(void)state;
	assert_true(maildir_name_parse("1.a,S=10,W=12:2,FSTabz", &n));
	assert_int_equal(n.base, 13);
	assert_int_equal(n.flags, MORTISE_FLAG_FLAGGED | MORTISE_FLAG_SEEN | MORTISE_FLAG_DELETED);
	assert_int_equal(n.letters, 1u | 2u | 1u << 25);
	assert_int_equal(n.size, 10);
	assert_int_equal(n.wire, 12);
	assert_true(maildir_name_parse("1.a,S=10x,W=:2,S,DT", &n));
	assert_true(n.size == MORTISE_SIZE_UNKNOWN && n.wire == MORTISE_SIZE_UNKNOWN);
	assert_int_equal(n.flags, MORTISE_FLAG_SEEN); /* behind the comma it is somebody else's */
	assert_true(maildir_name_parse("1.a,S=99999999999999999999999", &n));
	assert_true(n.size == MORTISE_SIZE_UNKNOWN);
	assert_true(maildir_name_parse("1.a:1,S", &n));
	assert_int_equal(n.flags, 0);
	assert_false(maildir_name_parse(".x", &n));
	assert_false(maildir_name_parse("", &n));
	assert_false(maildir_name_parse(":2,S", &n));
	assert_false(maildir_name_parse("a\nb", &n));
	assert_string_equal(made("1.a", 0, 0), "1.a:2,");
	assert_string_equal(
	    made("1.a:2,ZPSa,T", MORTISE_FLAG_DRAFT | MORTISE_FLAG_ANSWERED, 4), "1.a:2,DPRZc,T");
	memset(lengthy, 'x', 253);
	lengthy[253] = '\0';
	assert_null(made(lengthy, 0, 0));
}

static void test_first_list(void **state)
{
	struct rig *r = *state;
	const char *list = get(r, "dovecot-uidlist");
	unsigned v, next;
	char guid[40];

	assert_int_equal(sscanf(list, "3 V%u N%u G%32s\n", &v, &next, guid), 3);
	assert_in_range(v, (uint32_t)time(NULL) - 100, (uint32_t)time(NULL));
	assert_int_equal(next, 1);
	assert_int_equal(strlen(guid), 32);
	put(r, "new/2.M5.b", "b\n");
	put(r, "new/2.M4.a", "a\n");
	put(r, "cur/1.c:2,S", "c\n");
	reopen(r);
	assert_string_equal(sync_now(r), "full +1(1) +2(100) +3(100) next4");
	assert_string_equal(strchr(get(r, "dovecot-uidlist"), '\n'), "\n1 :1.c:2,S\n2 :2.M4.a\n3 :2.M5.b\n");
	assert_false(there(r, "dovecot-uidlist.lock"));
	assert_false(there(r, "dovecot-uidlist.tmp"));
}

/* Another server's list: its numbers hold, its fields stay, what is wrong in it is left out. attack-116 */
static void test_foreign_list(void **state)
{
	struct rig *r = *state;
	const char *list;

	put(r, "dovecot-uidlist",
	    "3 V77 N9 Gabc Xnew\n2 W6 P1 :1.a:2,\n5 :5.gone:2,\n5 :1.b\n4 :1.b\n7 nothing\nx\n8 "
	    ":1.a\n99999999999 :1.b\n"
	    "20 :1.d\n21 :1.to");
	put(r, "cur/1.a:2,S", "a\n\n\n");
	put(r, "cur/1.b:2,F", "b\n");
	put(r, "cur/1.d:2,", "d\n");
	reopen(r);
	/* 1.a is there twice: the later line counts. 1.b's lines do not rise. 21 has no end. */
	assert_string_equal(sync_now(r), "full +8(1) +20(0) +21(4) next22");
	list = get(r, "dovecot-uidlist");
	assert_non_null(strstr(list, "3 V77 N22 Gabc Xnew\n"));
	assert_non_null(strstr(list, "8 :1.a:2,S\n"));
	put(r, "dovecot-uidlist", "3 V77 N30 Gabc\n20 W6 P1 Q2 :1.d:2,\n");
	assert_string_equal(sync_now(r), "full +20(0) +30(1) +31(4) next32");
	assert_non_null(strstr(get(r, "dovecot-uidlist"), "20 W6 P1 Q2 :1.d:2,\n"));
	/* Without a first line to believe there is another UIDVALIDITY. */
	put(r, "dovecot-uidlist", "3 V0 N1\n1 :1.d\n");
	reopen(r);
	assert_string_equal(sync_now(r), "full +1(1) +2(4) +3(0) next4");
	assert_null(strstr(get(r, "dovecot-uidlist"), "V77 "));
}

static void test_courier_list(void **state)
{
	struct rig *r = *state;

	assert_int_equal(unlink(path_of(r, "dovecot-uidlist")), 0);
	put(r, "courierimapuiddb", "1 1234567 50\n41 1.a\n43 1.b\n");
	put(r, "cur/1.b:2,", "b\n");
	put(r, "cur/1.a:2,", "a\n");
	put(r, "cur/0.c:2,", "c\n");
	reopen(r);
	assert_string_equal(sync_now(r), "full +41(0) +43(0) +50(0) next51");
	assert_non_null(strstr(get(r, "dovecot-uidlist"), "3 V1234567 N51 G"));
}

/* Courier's keywords become ours when there are none. */
static void test_courier_keywords(void **state)
{
	struct rig *r = *state;
	const char *list;

	assert_int_equal(unlink(path_of(r, "dovecot-uidlist")), 0);
	assert_int_equal(mkdir(path_of(r, "courierimapkeywords"), 0700), 0);
	put(r, "courierimapkeywords/:list",
	    "$Label1\nwork\nbad name\n\n1.a:0 1\n1.b:1 99\n1.c:0\n1.gone:1\nnothing\n");
	put(r, "courierimapkeywords/.3.1.b", "three\n");
	put(r, "courierimapkeywords/.12.1.b", "twelve\n");
	put(r, "courierimapkeywords/1.c", "");
	put(r, "courierimapkeywords/.x.1.a", "wrong\n");
	put(r, "cur/1.a:2,S", "a\n");
	put(r, "cur/1.b:2,", "b\n");
	put(r, "cur/1.c:2,", "c\n");
	put(r, "new/1.d", "d\n");
	reopen(r);
	assert_string_equal(sync_now(r), "full kw4 +1(1) +2(0) +3(0) +4(100) next5");
	assert_true(there(r, "cur/1.a:2,Sab"));
	assert_true(there(r, "cur/1.c:2,") && there(r, "new/1.d"));
	list = get(r, "dovecot-keywords");
	assert_non_null(strstr(list, "0 $Label1\n1 work\n"));
	assert_null(strstr(list, "wrong"));
	assert_true(there(r, strstr(list, "2 three") != NULL ? "cur/1.b:2,d" : "cur/1.b:2,c"));
}

/* maildirsize of the maildir above a folder. */
static void test_quota(void **state)
{
	struct rig *r = *state;
	struct mortise_place inner = drive_place(&r->d, "box/.Sub");
	struct mortise_ref ref = {.uid = 1};
	uint32_t uid;
	void *box;

	assert_int_equal(DRIVE(&r->d, create, &inner), 0);
	assert_true(there(r, ".Sub/maildirfolder") && !there(r, "maildirfolder"));
	put(r, "maildirsize", "1000S\n");
	reopen(r);
	assert_int_equal(drive_append(&r->d, r->box, "a\r\n", &uid), 0);
	assert_string_equal(get(r, "maildirsize"), "1000S\n2 1\n");
	inner.lock_timeout = 50;
	box = drive_open(&r->d, &inner, 0);
	assert_int_equal(drive_append(&r->d, box, "abc\r\n", &uid), 0);
	assert_string_equal(get(r, "maildirsize"), "1000S\n2 1\n4 1\n");
	/* Deleted ones do not count, so they do not stop doing so. */
	assert_int_equal(flag(r, 1, MORTISE_FLAG_SEEN, 0), 0);
	assert_int_equal(flag(r, 1, MORTISE_FLAG_DELETED, 0), 0);
	assert_string_equal(get(r, "maildirsize"), "1000S\n2 1\n4 1\n-2 -1\n");
	assert_int_equal(DRIVE(&r->d, lock, r->box, MORTISE_LOCK_EXCLUSIVE, 0), 0);
	assert_int_equal(DRIVE(&r->d, expunge, r->box, &ref, 1), 0);
	assert_int_equal(DRIVE(&r->d, lock, r->box, MORTISE_LOCK_NONE, 0), 0);
	assert_int_equal(DRIVE(&r->d, lock, box, MORTISE_LOCK_EXCLUSIVE, 0), 0);
	assert_int_equal(DRIVE(&r->d, expunge, box, &ref, 1), 0);
	assert_int_equal(DRIVE(&r->d, lock, box, MORTISE_LOCK_NONE, 0), 0);
	assert_string_equal(get(r, "maildirsize"), "1000S\n2 1\n4 1\n-2 -1\n-4 -1\n");
	DRIVE_VOID(&r->d, close, box);
}

/* EXAMINE changes no message, but what it says of UIDs must be true afterwards. */
static void test_read_only(void **state)
{
	struct rig *r = *state;

	assert_int_equal(unlink(path_of(r, "dovecot-uidlist")), 0);
	put(r, "new/1.a", "a\n");
	r->box = drive_open(&r->d, &r->place, MORTISE_OPEN_READ_ONLY);
	assert_string_equal(sync_now(r), "full +1(100) next2");
	put(r, "new/0.b", "a\n");
	assert_string_equal(sync_now(r), "full +1(100) +2(100) next3");
	assert_non_null(strstr(get(r, "dovecot-uidlist"), "\n1 :1.a\n2 :0.b\n"));
	assert_true(there(r, "new/1.a"));
}

/* All times become old enough to be trusted. */
static void age(struct rig *r)
{
	static const char *const names[] = {"cur", "new", "dovecot-uidlist"};
	static long seconds = 1000;
	const struct timespec old[2] = {{0, UTIME_OMIT}, {seconds++, 0}};

	for (size_t i = 0; i < 3; i++)
		assert_int_equal(utimensat(AT_FDCWD, path_of(r, names[i]), old, 0), 0);
}

static const char *sync_on(struct rig *r)
{
	looks = opens = 0;
	return drive_sync(&r->d, r->box, &r->cursor, &r->ear);
}

/* Where nothing can be written, new messages wait for somebody who can give them UIDs that last. */
static void test_fixed(void **state)
{
	struct rig *r = *state;

	put(r, "cur/1.a:2,S", "a\n");
	reopen(r);
	assert_string_equal(sync_now(r), "full +1(1) next2");
	((struct maildir_box *)r->box)->fixed = true;
	put(r, "new/2.b", "b\n");
	assert_string_equal(sync_now(r), "full +1(1) next2");
	assert_null(strstr(get(r, "dovecot-uidlist"), "2.b"));
	((struct maildir_box *)r->box)->fixed = false;
	assert_string_equal(sync_on(r), "+2(100) next3");
	/* Without a list they have UIDs in order of delivery, until there is one. */
	assert_int_equal(unlink(path_of(r, "dovecot-uidlist")), 0);
	reopen(r);
	((struct maildir_box *)r->box)->fixed = true;
	assert_string_equal(sync_now(r), "full +1(1) +2(100) next3");
	assert_false(there(r, "dovecot-uidlist"));
}

/* attack-117: sizes of 0 and of 1 TiB, nothing but NUL. attack-118: the last UIDs. */
static void test_edges(void **state)
{
	struct rig *r = *state;
	const struct mortise_ref refs[] = {{.uid = 4294967290}, {.uid = 4294967291}, {.uid = 4294967292}};
	struct mortise_source source;
	uint32_t uid;
	int fd;

	put(r, "dovecot-uidlist", "3 V7 N4294967290 G1\n");
	put(r, "new/1.a", "");
	put(r, "new/2.b", "x");
	fd = open(path_of(r, "new/3.c,S=1,W=1"), O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0 && ftruncate(fd, INT64_C(1) << 40) == 0);
	close(fd);
	reopen(r);
	assert_string_equal(
	    sync_now(r), "full +4294967290(100) +4294967291(100) +4294967292(100) next4294967293");
	assert_true(r->ear.last.octets == MORTISE_SIZE_UNKNOWN);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(DRIVE(&r->d, read, r->box, &refs[i], &source), 0);
	assert_true(source.extents[0].length == UINT64_C(1) << 40);
	assert_int_equal(drive_append(&r->d, r->box, "a\r\n", &uid), 0);
	assert_int_equal(uid, 4294967293);
	assert_int_equal(drive_append(&r->d, r->box, "a\r\n", &uid), 0);
	assert_int_equal(uid, 4294967294);
	assert_int_equal(drive_append(&r->d, r->box, "a\r\n", &uid), MORTISE_E_LIMIT);
	put(r, "new/4.d", "d");
	assert_non_null(strstr(sync_now(r), "+4294967294(100) next4294967295"));
	assert_true(there(r, "new/4.d"));
}

static void other_box(struct rig *r)
{
	const struct mortise_cursor cursor = r->cursor;

	reopen(r);
	r->cursor = cursor;
}

static void test_cursor(void **state)
{
	struct rig *r = *state;

	put(r, "new/1.a", "a\n");
	put(r, "cur/1.b:2,S", "b\n");
	reopen(r);
	assert_string_equal(sync_now(r), "full +1(100) +2(1) next3");
	age(r);
	assert_string_equal(sync_on(r), "next3");
	assert_string_equal(sync_on(r), "");
	assert_in_range(looks, 1, 4);
	assert_int_equal(opens, 0);
	/* It is about the mailbox, not about the box. */
	other_box(r);
	assert_string_equal(sync_on(r), "");
	assert_in_range(looks, 1, 4);
	assert_int_equal(opens, 0);
	/* One directory has changed: the other one is not read. */
	put(r, "new/1.c", "c\n");
	assert_string_equal(sync_on(r), "full +1(100) +2(1) +3(100) next4");
	age(r);
	assert_string_equal(sync_on(r), "next4");
	put(r, "new/1.d", "d\n");
	put(r, "new/1.e", "e\n");
	assert_string_equal(sync_on(r), "+4(100) +5(100) next6");
	/* A time that is too young to be trusted: looked at again. */
	put(r, "new/1.f", "f\n");
	assert_string_equal(sync_on(r), "+6(100) next7");
	assert_string_equal(sync_on(r), "next7");
	/* What others do. */
	assert_int_equal(rename(path_of(r, "new/1.a"), path_of(r, "cur/1.a:2,FS")), 0);
	assert_int_equal(unlink(path_of(r, "new/1.c")), 0);
	assert_int_equal(unlink(path_of(r, "cur/1.b:2,S")), 0);
	assert_string_equal(sync_on(r), "~1(5) -2 -3 next7");
	assert_string_equal(sync_on(r), "next7");
	/* A cursor that is from elsewhere. */
	r->cursor.size = 3;
	assert_string_equal(sync_on(r), "full +1(5) +4(100) +5(100) +6(100) next7");
	/* A young one says nothing of what another box saw. */
	other_box(r);
	assert_string_equal(sync_on(r), "full +1(5) +4(100) +5(100) +6(100) next7");
}

/* What a box does itself it need not read again. */
static void test_own_changes(void **state)
{
	struct rig *r = *state;
	struct timespec times[2] = {{0, UTIME_OMIT}, {0, 0}};
	const char *told = "";
	uint32_t uid;
	struct stat st;

	put(r, "cur/1.a:2,", "a\n");
	put(r, "cur/1.b:2,", "b\n");
	reopen(r);
	assert_string_equal(sync_now(r), "full +1(0) +2(0) next3");
	age(r);
	assert_string_equal(sync_on(r), "next3");
	looks = opens = 0;
	assert_int_equal(flag(r, 1, MORTISE_FLAG_SEEN, 0), 0);
	assert_string_equal(sync_on(r), "~1(1) next3");
	assert_int_equal(opens, 0);
	assert_true(there(r, "cur/1.a:2,S"));
	/* So it is in another box, which has loaded nothing, and in the next one after that. */
	other_box(r);
	assert_string_equal(sync_on(r), "");
	assert_int_equal(drive_append(&r->d, r->box, "c\r\n", &uid), 0);
	assert_string_equal(sync_on(r), "+3(100) next4");
	assert_int_equal(opens, 0);
	assert_int_equal(r->ear.last.octets, 3);
	other_box(r);
	assert_string_equal(sync_on(r), "");
	assert_int_equal(opens, 0);
	/* What somebody else did just then, which the times do not show, is found a second later. */
	assert_int_equal(stat(path_of(r, "cur"), &st), 0);
	times[1] = st.st_mtim;
	assert_int_equal(rename(path_of(r, "cur/1.b:2,"), path_of(r, "cur/1.b:2,F")), 0);
	assert_int_equal(utimensat(AT_FDCWD, path_of(r, "cur"), times, 0), 0);
	for (int i = 0; i < 500 && told[0] == '\0'; i++) {
		told = sync_on(r);
		poll(NULL, 0, 10);
	}
	assert_string_equal(told, "full +1(1) +2(4) +3(100) next4");
	age(r);
	assert_string_equal(sync_on(r), "next4");
	assert_string_equal(sync_on(r), "");
}

static void test_locators(void **state)
{
	struct rig *r = *state;
	static const char lengthy[] =
	    "new/abcdefghijklmnopqrstuvwxyz-abcdefghijklmnopqrstuvwxyz-abcdefghijklmn";
	struct mortise_source source;
	struct mortise_ref ref = {.uid = 1};
	struct maildir_file f;

	put(r, "cur/1700000000.M123456P1234Q12.some-host-name.example,S=1234567,W=1234567:2,FSab", "a\n");
	reopen(r);
	assert_string_equal(sync_now(r), "full +1(5) next2");
	ref.locator_size = r->ear.last.locator_size;
	memcpy(ref.locator, r->ear.last.locator, sizeof(ref.locator));
	assert_true(ref.locator_size > 1);
	/* A box that has loaded nothing goes to the file. */
	reopen(r);
	opens = looks = 0;
	assert_int_equal(DRIVE(&r->d, read, r->box, &ref, &source), 0);
	assert_int_equal(opens, 2);
	assert_int_equal(looks, 0);
	/* Others have renamed it. */
	assert_int_equal(
	    rename(path_of(
	               r, "cur/1700000000.M123456P1234Q12.some-host-name.example,S=1234567,W=1234567:2,FSab"),
	        path_of(r, "cur/1700000000.M123456P1234Q12.some-host-name.example,S=1234567,W=1234567:2,")),
	    0);
	assert_int_equal(DRIVE(&r->d, read, r->box, &ref, &source), 0);
	reopen(r);
	assert_int_equal(DRIVE(&r->d, lock, r->box, MORTISE_LOCK_EXCLUSIVE, 0), 0);
	assert_int_equal(DRIVE(&r->d, expunge, r->box, &ref, 1), 0);
	assert_int_equal(DRIVE(&r->d, lock, r->box, MORTISE_LOCK_NONE, 0), 0);
	assert_string_equal(sync_now(r), "full next2");
	/* A name that has no room in a locator. */
	put(r, lengthy, "x\n");
	assert_string_equal(sync_now(r), "full +2(100) next3");
	assert_int_equal(r->ear.last.locator_size, 0);
	reopen(r);
	assert_int_equal(DRIVE(&r->d, read, r->box, &(struct mortise_ref){.uid = 2}, &source), 0);
	/* What is no locator of ours. */
	assert_false(maildir_locator_read((const unsigned char *)"c../../x", 8, &f));
	assert_false(maildir_locator_read((const unsigned char *)"x1.a", 4, &f));
	assert_false(maildir_locator_read((const unsigned char *)"c1\xff", 3, &f));
	assert_false(maildir_locator_read((const unsigned char *)"c1\0a", 4, &f));
}

/* A list grows by lines. One that a crash cut short, or left zeros in, is written anew. */
static void test_list_grows(void **state)
{
	struct rig *r = *state;
	uint32_t uid = 0;
	struct stat first, then;
	FILE *f;

	reopen(r);
	sync_now(r);
	assert_int_equal(stat(path_of(r, "dovecot-uidlist"), &first), 0);
	assert_int_equal(drive_append(&r->d, r->box, "a\r\n", &uid), 0);
	assert_int_equal(drive_append(&r->d, r->box, "b\r\n", &uid), 0);
	assert_int_equal(uid, 2);
	put(r, "new/1.c", "c\n");
	assert_string_equal(sync_on(r), "+1(100) +2(100) +3(100) next4");
	assert_int_equal(stat(path_of(r, "dovecot-uidlist"), &then), 0);
	assert_true(first.st_ino == then.st_ino);
	/* Another server's lines. */
	f = fopen(path_of(r, "dovecot-uidlist"), "a");
	fputs("9 :1.d\n", f);
	fclose(f);
	put(r, "new/1.d", "d\n");
	assert_string_equal(sync_on(r), "+9(100) next10");
	f = fopen(path_of(r, "dovecot-uidlist"), "a");
	fputs("10 :1.", f);
	fclose(f);
	reopen(r);
	assert_int_equal(drive_append(&r->d, r->box, "e\r\n", &uid), 0);
	assert_int_equal(uid, 10);
	assert_null(strstr(get(r, "dovecot-uidlist"), "\n10 :1.\n"));
	f = fopen(path_of(r, "dovecot-uidlist"), "a");
	fwrite("\0\0\0\0\0\0\0", 1, 7, f);
	fclose(f);
	assert_int_equal(drive_append(&r->d, r->box, "f\r\n", &uid), 0);
	assert_int_equal(uid, 11);
	f = fopen(path_of(r, "dovecot-uidlist"), "a");
	fwrite("\0\0\0\n", 1, 4, f);
	fclose(f);
	reopen(r);
	assert_int_equal(drive_append(&r->d, r->box, "g\r\n", &uid), 0);
	assert_int_equal(uid, 12);
	assert_string_equal(
	    sync_now(r), "full +1(100) +2(100) +3(100) +9(100) +10(100) +11(100) +12(100) next13");
}

static void test_changes(void **state)
{
	struct rig *r = *state;
	struct mortise_ref ref = drive_ref(1);
	struct mortise_source source;
	unsigned bit = 99;

	put(r, "new/1.a", "a\n");
	put(r, "cur/1.b:2,Pq,x", "b\n");
	put(r, "dovecot-keywords", "3 three\nbad\n77 x\n4 a b\n3 again\n5 THREE\n");
	reopen(r);
	assert_string_equal(sync_now(r), "full kw4 +1(100) +2(0) next3");
	assert_int_equal(DRIVE(&r->d, seen_recent, r->box, &ref, 1), 0);
	assert_true(there(r, "cur/1.a:2,"));
	assert_int_equal(DRIVE(&r->d, add_keyword, r->box, "Three", &bit), 0);
	assert_int_equal(bit, 3);
	assert_int_equal(DRIVE(&r->d, add_keyword, r->box, "new", &bit), 0);
	assert_string_equal(get(r, "dovecot-keywords"), "0 new\n3 three\n");
	assert_int_equal(flag(r, 2, MORTISE_FLAG_SEEN, 9), 0);
	assert_true(there(r, "cur/1.b:2,PSadq,x"));
	/* Renamed by a program that knows no lock; gone. */
	assert_int_equal(rename(path_of(r, "cur/1.b:2,PSadq,x"), path_of(r, "cur/1.b:2,F")), 0);
	assert_int_equal(DRIVE(&r->d, read, r->box, &(struct mortise_ref){.uid = 2}, &source), 0);
	assert_int_equal(flag(r, 2, MORTISE_FLAG_DRAFT, 0), 0);
	assert_true(there(r, "cur/1.b:2,D"));
	assert_int_equal(unlink(path_of(r, "cur/1.a:2,")), 0);
	assert_int_equal(flag(r, 1, MORTISE_FLAG_SEEN, 0), 0);
	assert_int_equal(DRIVE(&r->d, read, r->box, &ref, &source), MORTISE_E_EXPUNGED);
	ref.uid = 2;
	assert_int_equal(DRIVE(&r->d, lock, r->box, MORTISE_LOCK_EXCLUSIVE, 0), 0);
	assert_int_equal(DRIVE(&r->d, expunge, r->box, &ref, 1), 0);
	assert_int_equal(DRIVE(&r->d, lock, r->box, MORTISE_LOCK_NONE, 0), 0);
	assert_string_equal(sync_now(r), "full kw4 next3");
	reopen(r);
	put(r, "new/1.z", "z\n");
	assert_string_equal(sync_now(r), "full kw4 +3(100) next4");
}

static void test_keywords_are_26(void **state)
{
	struct rig *r = *state;
	unsigned bit;
	char name[16];

	reopen(r);
	put(r, "cur/1.a:2,c", "a\n"); /* a letter without a name is not given away */
	sync_now(r);
	for (int i = 0; i < 25; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		assert_int_equal(DRIVE(&r->d, add_keyword, r->box, name, &bit), 0);
	}
	assert_int_equal(DRIVE(&r->d, add_keyword, r->box, "more", &bit), MORTISE_E_LIMIT);
	assert_null(strstr(get(r, "dovecot-keywords"), "\n2 "));
	assert_non_null(strstr(get(r, "dovecot-keywords"), "\n25 k24\n"));
}

static void test_append(void **state)
{
	struct rig *r = *state;
	uint32_t uid = 0;

	reopen(r);
	assert_int_equal(drive_append(&r->d, r->box, "A: b\r\n\r\nx\ry\r\n", &uid), 0);
	assert_int_equal(uid, 1);
	assert_string_equal(sync_now(r), "full +1(100) next2");
	assert_int_equal(r->ear.last.octets, 13);
	assert_non_null(strstr(get(r, "dovecot-uidlist"), ",S=10,W=13\n"));
	drive_option(&r->d, "message_limit", "1");
	assert_int_equal(drive_append(&r->d, r->box, "x\r\n", &uid), MORTISE_E_LIMIT);
	put(r, "new/1.b", "b\n");
	assert_string_equal(sync_now(r), "failed");
	assert_int_equal(r->d.e.code, MORTISE_E_LIMIT);
	drive_option(&r->d, "message_limit", "10");
	assert_string_equal(sync_now(r), "full +1(100) +2(100) next3");
	DRIVE_VOID(&r->d, close, r->box);
	r->box = NULL;
	/* Less than the option's least. */
	((struct maildir_options *)(uintptr_t)r->d.i->pub.options)->list_limit = 10;
	assert_int_equal(DRIVE(&r->d, open, &r->place, 0,
	                     &(struct mortise_box_info){.size = sizeof(struct mortise_box_info)}, &r->box),
	    MORTISE_E_LIMIT);
	r->box = NULL;
}

/* Into another maildir, by link where it can be, with flags, keywords, date and zone of its own. */
static void test_copy(void **state)
{
	static const char *const names[] = {"word"};
	struct rig *r = *state;
	struct mortise_place place = drive_place(&r->d, "other");
	struct mortise_append_info infos[2] = {{.size = sizeof(infos[0]), .zone = 60, .uid = 10},
	    {.size = sizeof(infos[0]), .flags = MORTISE_FLAG_SEEN, .keywords = names, .keyword_count = 1}};
	struct mortise_ref refs[2] = {{.uid = 1}, {.uid = 2}}, made[2] = {{0}};
	struct mortise_source source;
	struct stat st;
	uint32_t uidvalidity = 0;
	void *box, *tx;

	place.lock_timeout = 50;
	put(r, "cur/1.a,S=2,W=3:2,F", "a\n");
	put(r, "new/1.b", "bb\n");
	reopen(r);
	sync_now(r);
	assert_int_equal(stat(path_of(r, "cur/1.a,S=2,W=3:2,F"), &st), 0);
	infos[0].internal_date = st.st_mtim.tv_sec;
	assert_int_equal(DRIVE(&r->d, create, &place), 0);
	box = drive_open(&r->d, &place, 0);
	/* It takes over numbers while it is empty. */
	assert_int_equal(DRIVE(&r->d, lock, box, MORTISE_LOCK_EXCLUSIVE, 0), 0);
	assert_int_equal(DRIVE(&r->d, adopt, box, 4711, 7), 0);
	assert_int_equal(DRIVE(&r->d, lock, box, MORTISE_LOCK_NONE, 0), 0);
	assert_int_equal(DRIVE(&r->d, append_begin, box, &tx), 0);
	assert_int_equal(DRIVE(&r->d, append_copy, tx, r->box, refs, infos, 2), 0);
	assert_int_equal(DRIVE(&r->d, append_commit_refs, tx, &uidvalidity, made, 2), 0);
	assert_int_equal(uidvalidity, 4711);
	assert_true(made[0].uid == 10 && made[1].uid == 11);
	assert_true(made[0].locator_size > 0 && made[1].locator_size > 0);
	assert_non_null(strstr(get(r, "../other/dovecot-uidlist"), "\n10 Z60 :"));
	assert_string_equal(get(r, "../other/dovecot-keywords"), "0 word\n");
	assert_int_equal(stat(path_of(r, "cur/1.a,S=2,W=3:2,F"), &st), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(stat(path_of(r, "new/1.b"), &st), 0);
	assert_int_equal(st.st_nlink, 1); /* another date: octets were copied */
	assert_int_equal(DRIVE(&r->d, read, box, &made[1], &source), 0);
	assert_int_equal(source.extents[0].length, 3);
	memset(&r->cursor, 0, sizeof(r->cursor));
	assert_string_equal(drive_sync(&r->d, box, &r->cursor, &r->ear), "full kw1 +10(100) +11(1) next12");
	assert_int_equal(r->ear.last.internal_date, 0);
	assert_int_equal(DRIVE(&r->d, adopt, box, 4712, 7), MORTISE_E_INVALID);
	/* A UID that was given already; a message that is gone. */
	assert_int_equal(DRIVE(&r->d, append_begin, box, &tx), 0);
	assert_int_equal(DRIVE(&r->d, append_copy, tx, r->box, refs, infos, 1), 0);
	assert_int_equal(DRIVE(&r->d, append_commit_refs, tx, &uidvalidity, made, 1), MORTISE_E_INVALID);
	refs[0].uid = 99;
	assert_int_equal(DRIVE(&r->d, append_begin, box, &tx), 0);
	assert_int_equal(DRIVE(&r->d, append_copy, tx, r->box, refs, infos, 1), MORTISE_E_EXPUNGED);
	DRIVE_VOID(&r->d, append_abort, tx);
	DRIVE_VOID(&r->d, close, box);
	assert_int_equal(rmdir(path_of(r, "../other/tmp")), 0); /* nothing is left in it */
}

/* Lines of messages that are gone leave the list when there is time. */
static void test_checkpoint(void **state)
{
	struct rig *r = *state;
	char name[32];

	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "cur/%d.a:2,", i + 1);
		put(r, name, "a\n");
	}
	reopen(r);
	sync_now(r);
	for (int i = 0; i < 199; i++) {
		snprintf(name, sizeof(name), "cur/%d.a:2,", i + 1);
		assert_int_equal(unlink(path_of(r, name)), 0);
	}
	assert_non_null(strstr(sync_on(r), "-199 next201"));
	assert_non_null(strstr(get(r, "dovecot-uidlist"), "\n1 :1.a"));
	put(r, "dovecot-uidlist.lock", "1:other.example");
	assert_int_equal(DRIVE(&r->d, checkpoint, r->box), 0);
	assert_non_null(strstr(get(r, "dovecot-uidlist"), "\n1 :1.a"));
	assert_int_equal(unlink(path_of(r, "dovecot-uidlist.lock")), 0);
	assert_int_equal(DRIVE(&r->d, checkpoint, r->box), 0);
	assert_string_equal(strchr(get(r, "dovecot-uidlist"), '\n'), "\n200 :200.a:2,\n");
	assert_false(there(r, "dovecot-uidlist.lock"));
	assert_non_null(strstr(get(r, "dovecot-uidlist"), " N201 "));
	assert_string_equal(sync_on(r), "next201");
}

static void test_lock(void **state)
{
	struct rig *r = *state;
	char host[65] = "";
	struct timespec old[2] = {{0, UTIME_OMIT}, {time(NULL) - 3600, 0}};
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	gethostname(host, sizeof(host) - 1);
	put(r, "cur/1.a:2,", "a\n");
	reopen(r);
	/* Of one that lives, here or elsewhere: held. */
	put(r, "dovecot-uidlist.lock", arena_printf(r->d.a, "%d:%s", (int)getpid(), host));
	assert_int_equal(flag(r, 1, 1, 0), MORTISE_E_INUSE);
	put(r, "dovecot-uidlist.lock", arena_printf(r->d.a, "%d:other.example", (int)child));
	assert_int_equal(flag(r, 1, 1, 0), MORTISE_E_INUSE);
	assert_non_null(strstr(r->d.e.admin, "other.example"));
	/* Of one that died on this host, or an old one: taken away. */
	put(r, "dovecot-uidlist.lock", arena_printf(r->d.a, "%d:%s", (int)child, host));
	assert_string_equal(sync_now(r), "full +1(0) next2");
	put(r, "dovecot-uidlist.lock", "");
	assert_int_equal(utimensat(AT_FDCWD, path_of(r, "dovecot-uidlist.lock"), old, 0), 0);
	put(r, "cur/2.a:2,", "a\n");
	assert_string_equal(sync_now(r), "full +1(0) +2(0) next3");
	assert_false(there(r, "dovecot-uidlist.lock"));
}

/* attack-116: the same base twice, as a half delivery and as two messages. */
static void test_twins(void **state)
{
	struct rig *r = *state;

	put(r, "new/1.a", "one\n");
	assert_int_equal(link(path_of(r, "new/1.a"), path_of(r, "cur/1.a:2,S")), 0);
	put(r, "new/1.b", "one\n");
	put(r, "cur/1.b:2,S", "another\n");
	reopen(r);
	sync_now(r);
	assert_int_equal(there(r, "new/1.a") + there(r, "cur/1.a:2,S"), 1);
	assert_int_equal(there(r, "new/1.b") + there(r, "cur/1.b:2,S"), 1);
	assert_non_null(strstr(r->ear.text, "+3("));
	assert_null(strstr(r->ear.text, "+4("));
}

/* attack-115, attack-116 */
static void test_recognise(void **state)
{
	struct rig *r = *state;
	struct mortise_probe probe = {.size = sizeof(probe), .place = &r->place};
	struct stat st;

	probe.fd = open(path_of(r, ""), O_RDONLY | O_DIRECTORY);
	assert_int_equal(fstat(probe.fd, &st), 0);
	probe.st = &st;
	assert_int_equal(DRIVE(&r->d, recognise, &probe), MORTISE_MINE);
	assert_int_equal(rmdir(path_of(r, "new")), 0);
	assert_int_equal(DRIVE(&r->d, recognise, &probe), MORTISE_NOT_MINE);
	assert_int_equal(symlink("/tmp", path_of(r, "new")), 0);
	assert_int_equal(DRIVE(&r->d, recognise, &probe), MORTISE_DAMAGED);
	close(probe.fd);
	assert_int_equal(DRIVE(&r->d, create, &r->place), MORTISE_E_EXISTS);
}

static void test_remove(void **state)
{
	struct rig *r = *state;
	unsigned before = 0, after = 0;

	sscanf(get(r, "dovecot-uidlist"), "3 V%u", &before);
	put(r, "new/1.a", "a\n");
	put(r, "dovecot.index.log", "x");
	reopen(r);
	assert_int_equal(mkdir(path_of(r, "child"), 0700), 0);
	assert_int_equal(DRIVE(&r->d, remove, &r->place), 0);
	assert_true(there(r, "child"));
	assert_false(there(r, "cur") || there(r, "new") || there(r, "dovecot-uidlist") ||
	             there(r, "dovecot.index.log"));
	assert_string_equal(sync_now(r), "failed"); /* the session that has it open */
	assert_int_equal(r->d.e.code, MORTISE_E_NOTFOUND);
	assert_int_equal(DRIVE(&r->d, create, &r->place), 0); /* the level becomes a mailbox again */
	sscanf(get(r, "dovecot-uidlist"), "3 V%u", &after);
	assert_true(after > before);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_names), T(test_first_list), T(test_foreign_list),
	    T(test_courier_list), T(test_courier_keywords), T(test_quota), T(test_read_only), T(test_fixed),
	    T(test_edges), T(test_cursor), T(test_own_changes), T(test_locators), T(test_list_grows),
	    T(test_changes), T(test_keywords_are_26), T(test_append), T(test_copy), T(test_checkpoint),
	    T(test_lock), T(test_twins), T(test_recognise), T(test_remove)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
