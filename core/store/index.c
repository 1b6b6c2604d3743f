/* Environments: opening them, telling whether they may be believed, replacing them. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/io.h"
#include "base/secure.h"
#include "log/log.h"
#include "store/index_int.h"
#include "base/banned.h"

#define READERS 1022       /* sessions of one user at one time; the lock file has 64 octets for each */
#define LOCK_SIZE 65536    /* what LMDB's lock file takes for them */
#define RESERVE (8u << 20) /* pages that become free are used again two transactions later */
#define GROWTH 512u        /* pages */
#define TRIES 4

const char *index_test_boot;

/* ---- the boot ---- */

const unsigned char *index_boot_id(void)
{
	static unsigned char id[INDEX_ID];
	static bool known;
	AUTO_CLOSE int fd = -1;
	char text[37];
	size_t i, digits = 0;

	if (index_test_boot != NULL)
		return (const unsigned char *)index_test_boot;
	if (known)
		return id;
	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || io_read(fd, text, sizeof(text)) < 36) {
		/* Not known: what this process writes is not for others. */
		secure_random(id, sizeof(id));
		known = true;
		return id;
	}
	memset(id, 0, sizeof(id));
	for (i = 0; i < 36 && digits < 2 * sizeof(id); i++) {
		char c = text[i];

		if (c == '-')
			continue;
		id[digits / 2] = (unsigned char)(id[digits / 2] << 4 | (c <= '9' ? c - '0' : c - 'a' + 10));
		digits++;
	}
	known = true;
	return id;
}

void index_prepare(void)
{
	(void)index_boot_id();
}

/* ---- transactions ---- */

int environment_read(struct environment *v, MDB_txn **txn)
{
	int rc = 0, dead;

	guard_enter(v);
	if (v->readers == 0) {
		rc = v->reader != NULL ? mdb_txn_renew(v->reader)
		                       : mdb_txn_begin(v->env, NULL, MDB_RDONLY, &v->reader);
		if (rc == MDB_READERS_FULL && mdb_reader_check(v->env, &dead) == 0 && dead > 0)
			rc = mdb_txn_begin(v->env, NULL, MDB_RDONLY, &v->reader);
	}
	if (rc != 0) {
		guard_leave(v);
		return rc;
	}
	v->readers++;
	*txn = v->reader;
	return 0;
}

void environment_read_end(struct environment *v)
{
	ASSERT(v->readers > 0);
	if (--v->readers == 0)
		mdb_txn_reset(v->reader);
	guard_leave(v);
}

/* Whether the name still leads to the file that is open. */
static bool in_place(const struct index *x, const struct environment *v)
{
	struct stat st;

	return v->name == NULL || (fstatat(x->dir, v->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	                              st.st_dev == v->dev && st.st_ino == v->ino);
}

/*
 * A reader that was killed holds on to all pages that were in use then, and the file grows. So when it has
 * grown, the dead are looked for; that is a system call for each that lives, too much for every time.
 */
static void look_for_dead(struct environment *v)
{
	MDB_envinfo info;
	int dead;

	if (mdb_env_info(v->env, &info) != 0 || info.me_last_pgno < v->pages + GROWTH)
		return;
	v->pages = info.me_last_pgno;
	(void)mdb_reader_check(v->env, &dead);
}

int environment_write(struct index *x, struct environment *v, MDB_txn **txn)
{
	int rc;

	guard_enter(v);
	look_for_dead(v);
	rc = mdb_txn_begin(v->env, NULL, 0, txn);
	if (rc != 0) {
		guard_leave(v);
		*txn = NULL;
		return rc;
	}
	if (!in_place(x, v)) {
		environment_abort(txn);
		return INDEX_REPLACED;
	}
	return 0;
}

int environment_commit(MDB_txn **txn)
{
	MDB_txn *t = *txn;
	struct environment *v = mdb_env_get_userctx(mdb_txn_env(t));
	int rc = mdb_txn_commit(t);

	*txn = NULL;
	guard_leave(v);
	return rc;
}

void environment_abort(MDB_txn **txn)
{
	struct environment *v;

	if (*txn == NULL)
		return;
	v = mdb_env_get_userctx(mdb_txn_env(*txn));
	mdb_txn_abort(*txn);
	*txn = NULL;
	guard_leave(v);
}

/* ---- opening ---- */

static void environment_close(struct environment *v)
{
	if (v->env == NULL)
		return;
	guard_remove(v);
	if (v->reader != NULL)
		mdb_txn_abort(v->reader);
	mdb_env_close(v->env);
	v->reader = NULL;
	v->readers = 0;
	v->env = NULL;
}

/* With room above the limit, so that something can be deleted when it is reached. */
static uint64_t map_size(const struct index *x, const struct environment *v)
{
	uint64_t size = v == &x->cache ? x->o->cache_size : x->o->state_size;

	return (size + size / 8 + RESERVE) & ~(uint64_t)65535;
}

static int environment_begin(struct environment *v, const char *path, unsigned flags)
{
	struct stat st;
	MDB_stat stat;
	MDB_txn *txn;
	int fd, rc = mdb_env_open(v->env, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0600);

	if (rc == 0)
		rc = mdb_env_get_fd(v->env, &fd);
	if (rc == 0 && fstat(fd, &st) != 0)
		rc = errno;
	if (rc != 0)
		return rc;
	v->dev = st.st_dev;
	v->ino = st.st_ino;
	rc = mdb_env_stat(v->env, &stat);
	if (rc == 0)
		index_page = index_page == 0 || index_page == stat.ms_psize ? stat.ms_psize : PAGES_DIFFER;
	if (rc == 0)
		rc = mdb_txn_begin(v->env, NULL, MDB_RDONLY, &txn);
	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &v->dbi);
	if (rc == 0)
		return mdb_txn_commit(txn); /* keeps the handle */
	mdb_txn_abort(txn);
	return rc;
}

/* Opens what `path` names. 0 or LMDB's code. */
static int environment_open(struct index *x, struct environment *v, const char *path, unsigned flags)
{
	int rc = mdb_env_create(&v->env);

	if (rc != 0)
		return rc;
	v->size = map_size(x, v);
	rc = mdb_env_set_mapsize(v->env, (size_t)v->size);
	if (rc == 0)
		rc = mdb_env_set_maxreaders(v->env, READERS);
	if (rc == 0) {
		guard_add(v, x->dir, v == &x->state);
		guard_enter(v);
		rc = environment_begin(v, path, flags);
		guard_leave(v);
	}
	if (rc != 0)
		environment_close(v);
	return rc;
}

/* What is under a name: 0 a file of ours, ENOENT, or EPERM for anything else. */
static int look(const struct index *x, const char *name)
{
	struct stat st;

	if (fstatat(x->dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno;
	return S_ISREG(st.st_mode) && st.st_uid == geteuid() && st.st_nlink == 1 ? 0 : EPERM;
}

struct file_name {
	char p[64];
};

static struct file_name name_with(const struct environment *v, const char *ending)
{
	struct file_name f;

	snprintf(f.p, sizeof(f.p), "%s%s", v->name, ending);
	return f;
}

static int info_check(struct index *x, struct environment *v)
{
	MDB_val key = {1, (char[]){ROW_INFO}}, value;
	struct info_row info;
	MDB_txn *txn;
	int rc = environment_read(v, &txn);

	if (rc != 0)
		return rc;
	if (mdb_get(txn, v->dbi, &key, &value) == 0)
		v->somewhere = value.mv_data;
	rc = info_get(txn, v->dbi, &info);
	environment_read_end(v);
	if (rc != 0 || v == &x->state)
		return rc;
	memcpy(x->file, info.file, INDEX_ID);
	return memcmp(info.boot, index_boot_id(), INDEX_ID) == 0 ? 0 : INDEX_REPLACED;
}

/* Opens the file that is there, and looks whether it is one to be used. The directory is locked. */
static int file_open(struct index *x, struct environment *v)
{
	struct file_name lock = name_with(v, "-lock");
	bool cache = v == &x->cache;
	char path[4200];
	int rc = look(x, v->name), rc_lock = look(x, lock.p);

	if (rc != 0 && rc != ENOENT)
		return rc;
	/* A file that was put back without its lock file is well. */
	if (rc_lock != 0 && rc_lock != ENOENT)
		return rc_lock;
	if (rc != 0)
		return rc;
	if (snprintf(path, sizeof(path), "%s/%s", x->path, v->name) >= (int)sizeof(path))
		return ENAMETOOLONG;
	rc = environment_open(x, v, path, cache ? MDB_NOSYNC : 0);
	if (rc == 0 && !in_place(x, v))
		rc = EPERM;
	if (rc == 0)
		rc = info_check(x, v);
	if (rc != 0)
		environment_close(v);
	return rc;
}

static int info_begin(struct index *x, struct environment *v)
{
	struct info_row info = {.ceiling = 1};
	MDB_txn *txn;
	int rc;

	memcpy(info.boot, index_boot_id(), INDEX_ID);
	if (v == &x->cache) {
		secure_random(info.file, sizeof(info.file));
		memcpy(x->file, info.file, INDEX_ID);
		info.ceiling = 0;
	} else {
		info_raise(x, &info, 0); /* here, so that it costs no sync of its own */
	}
	rc = environment_write(x, v, &txn);
	if (rc != 0)
		return rc;
	rc = info_put(txn, v->dbi, &info);
	if (rc == 0)
		rc = environment_commit(&txn);
	environment_abort(&txn);
	return rc != 0 ? rc : info_check(x, v);
}

/*
 * Made here with all its octets: LMDB would make it with holes, and filling one through its mapping when the
 * disk is full kills the process.
 */
static int lock_make(struct index *x, const char *name)
{
	AUTO_CLOSE int fd = -1;

	if (unlinkat(x->dir, name, 0) != 0 && errno != ENOENT)
		return errno;
	fd = openat(x->dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? errno : posix_fallocate(fd, 0, LOCK_SIZE);
}

/* A new, empty file takes the place of what is there. The directory is locked by us alone. */
static int file_replace(struct index *x, struct environment *v, int why)
{
	struct file_name lock = name_with(v, "-lock"), aside = name_with(v, ".damaged");
	bool cache = v == &x->cache;
	char path[4200];
	int rc;

	if (why != ENOENT && !cache) {
		if (renameat(x->dir, v->name, x->dir, aside.p) != 0)
			return errno;
		log_msg(
		    MSG_INDEX_ASIDE, "%s/%s: %s; kept as %s", x->path, v->name, index_reason(why), aside.p);
	} else if (why != ENOENT) {
		if (unlinkat(x->dir, v->name, 0) != 0 && errno != ENOENT)
			return errno;
		if (why != INDEX_REPLACED)
			log_msg(MSG_INDEX_DROPPED, "%s/%s: %s", x->path, v->name, index_reason(why));
	}
	rc = lock_make(x, lock.p);
	if (rc != 0)
		return rc;
	if (snprintf(path, sizeof(path), "%s/%s", x->path, v->name) >= (int)sizeof(path))
		return ENAMETOOLONG;
	rc = environment_open(x, v, path, cache ? MDB_NOSYNC : 0);
	if (rc == 0 && (rc = info_begin(x, v)) == 0 && !cache && fsync(x->dir) != 0)
		rc = errno;
	if (rc != 0)
		environment_close(v);
	return rc;
}

/* Whether a new file helps: it is not there, of another boot, or cannot be one of ours. */
static bool is_damage(int rc)
{
	switch (rc) {
	case INDEX_DAMAGED:
	case INDEX_REPLACED:
	case MDB_INVALID:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_PANIC:
	case MDB_VERSION_MISMATCH:
	case MDB_INCOMPATIBLE:
	case MDB_NOTFOUND:
	case MDB_BAD_DBI:
	case MDB_BAD_TXN:
	case MDB_CURSOR_FULL:
	case MDB_PAGE_FULL:
	case MDB_BAD_VALSIZE:
		return true;
	default:
		return false;
	}
}

/*
 * Openers hold the directory's lock shared, so that nobody sees a file of one environment and a lock file of
 * the next; whoever replaces one holds it alone.
 */
static int file_need(struct index *x, struct environment *v)
{
	int rc;

	if (v->env != NULL)
		return 0;
	if (flock(x->dir, LOCK_SH) != 0)
		return errno;
	rc = file_open(x, v);
	if (rc == ENOENT || is_damage(rc)) {
		(void)flock(x->dir, LOCK_UN);
		if (flock(x->dir, LOCK_EX) != 0)
			return errno;
		rc = file_open(x, v);
		if (rc == ENOENT || is_damage(rc))
			rc = file_replace(x, v, rc);
	}
	(void)flock(x->dir, LOCK_UN);
	return rc;
}

int index_need_state(struct index *x)
{
	return file_need(x, &x->state);
}

static int memory_open(struct index *x)
{
	char path[40];
	int rc, fd;

	if (x->memory.env != NULL)
		return 0;
	fd = memfd_create("index", MFD_CLOEXEC);
	if (fd < 0)
		return errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	x->memory.name = NULL;
	rc = environment_open(x, &x->memory, path, MDB_NOSYNC | MDB_NOLOCK);
	(void)close(fd);
	return rc;
}

static int go_private(struct index *x, int why)
{
	int rc;

	if (x->private)
		return 0;
	rc = memory_open(x);
	if (rc != 0)
		return rc;
	x->private = true;
	if (x->path != NULL)
		log_msg(MSG_INDEX_PRIVATE, "%s: %s", x->path, index_reason(why));
	return 0;
}

/* Shared mappings and the locks in them reach the processes of one machine only. */
static bool on_network(int dir)
{
	static const unsigned long types[] = {0x6969 /* NFS */, 0xff534d42 /* CIFS */, 0xfe534d42 /* SMB 2 */,
	    0x517b /* SMB */, 0x5346414f /* AFS */, 0x6b414653 /* kernel AFS */, 0x00c36400 /* Ceph */,
	    0x73757245 /* Coda */, 0x7461636f /* OCFS2 */, 0x01161970 /* GFS2 */, 0x0bd00bd0 /* Lustre */,
	    0x01021997 /* 9P */, 0x47504653 /* GPFS */};
	struct statfs fs;
	size_t i;

	if (fstatfs(dir, &fs) != 0)
		return false;
	for (i = 0; i < ARRAY_LEN(types); i++)
		if (((unsigned long)fs.f_type & 0xffffffffu) == types[i])
			return true;
	return false;
}

static struct index *index_new(const struct index_options *o)
{
	struct index *x = mem_new(struct index);

	x->magic = INDEX_MAGIC;
	x->o = o;
	x->dir = -1;
	x->cache.name = "index.cache";
	x->state.name = "index.state";
	x->arena = arena_new("index");
	return x;
}

int index_open(const struct index_options *o, const char *directory, struct index **out, struct err *e)
{
	struct index *x = index_new(o);
	int rc = 0;

	x->path = mem_strdup(directory);
	x->dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (x->dir < 0)
		rc = errno;
	else if (on_network(x->dir))
		rc = EREMOTE;
	if (rc == 0)
		rc = file_need(x, &x->cache);
	if (rc != 0)
		rc = go_private(x, rc);
	*out = x;
	if (rc != 0) {
		index_close(out);
		return index_fault(e, rc, "opening the index");
	}
	return 0;
}

int index_open_private(const struct index_options *o, struct index **out, struct err *e)
{
	struct index *x = index_new(o);
	int rc = go_private(x, 0);

	*out = x;
	if (rc != 0) {
		index_close(out);
		return index_fault(e, rc, "opening an index in memory");
	}
	return 0;
}

bool index_watch(struct index *x, struct buf *out)
{
	CHECK_OBJ(x, INDEX_MAGIC);
	if (!index_persistent(x))
		return false;
	buf_printf(out, "%s/%s", x->path, x->cache.name);
	return true;
}

void index_close(struct index **xp)
{
	struct index *x;

	if (*xp == NULL)
		return;
	TAKE_OBJ(x, xp, INDEX_MAGIC);
	index_wire_flush(x);
	environment_close(&x->cache);
	environment_close(&x->state);
	environment_close(&x->memory);
	io_close(&x->dir);
	mem_free(x->path);
	vec_free(&x->known);
	vec_free(&x->puts);
	buf_free(&x->put_text);
	arena_free(&x->arena);
	x->magic = 0;
	mem_free(x);
}

bool index_persistent(const struct index *x)
{
	CHECK_OBJ(x, INDEX_MAGIC);
	return !x->private;
}

/* ---- when something went wrong ---- */

const char *index_reason(int rc)
{
	switch (rc) {
	case 0:
		return "no reason";
	case INDEX_DAMAGED:
		return "a checksum does not fit, or another version wrote it";
	case INDEX_REPLACED:
		return "the file was replaced";
	case INDEX_FULL:
		return "no room is left";
	case EREMOTE:
		return "the directory is on a file system of the network";
	case EPERM:
		return "something that is not a file of this user has the name";
	default:
		return mdb_strerror(rc);
	}
}

int index_fault(struct err *e, int rc, const char *doing)
{
	int code = rc > 0 ? err_code_of_errno(rc) : MORTISE_E_UNAVAILABLE;

	return err_fault(e, code, "%s: %s", doing, index_reason(rc));
}

/* Another file may be in its place: the numbers that this process knows are looked for in it, or put there.
 */
static int reopen(struct index *x, struct environment *v)
{
	if (v->readers > 0)
		return INDEX_REPLACED;
	environment_close(v);
	x->ceiling = 0;
	return file_need(x, v);
}

static int replace(struct index *x, struct environment *v, int why)
{
	int rc = 0;

	if (v->readers > 0)
		return why;
	if (flock(x->dir, LOCK_EX) != 0)
		return errno;
	/* Somebody may have done so already. */
	if (in_place(x, v)) {
		environment_close(v);
		rc = file_replace(x, v, why);
	}
	(void)flock(x->dir, LOCK_UN);
	x->ceiling = 0;
	return rc != 0 ? rc : reopen(x, v);
}

bool index_recover(struct index *x, struct environment *v, int rc, unsigned *tries)
{
	int dead, again = rc;

	if ((*tries)++ >= TRIES || v == &x->memory)
		return false;
	if (rc == INDEX_REPLACED)
		again = reopen(x, v);
	else if (rc == MDB_MAP_RESIZED)
		again = mdb_env_set_mapsize(v->env, 0);
	else if (rc == MDB_MAP_FULL && *tries == 1)
		again = mdb_reader_check(v->env, &dead);
	else if (rc == MDB_MAP_FULL && v == &x->cache)
		again = wire_evict(x, v);
	else if (rc == MDB_READERS_FULL && *tries == 1)
		again = mdb_reader_check(v->env, &dead);
	else if (is_damage(rc))
		again = replace(x, v, rc);
	if (again == 0 && v == &x->cache && (rc == INDEX_REPLACED || is_damage(rc)))
		again = index_renumber(x);
	return again == 0 || go_private(x, again) == 0;
}
