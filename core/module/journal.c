#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/str.h"
#include "log/log.h"
#include "module/journal.h"
#include "module/module.h"
#include "base/banned.h"

#define JOURNAL_MAGIC 0x4d4a726eu
#define TRAILER 128u
#define VERSION 1u
#define SECTOR 512u
#define PIECE 65536u /* a multiple of SECTOR */
#define NAME_SIZE 80
#define KNOWN_LEAST 64u /* octets that must be recognised in a file whose device has another number */
#define F_SECOND 1u     /* the old file was itself half-written: there is no way back to it */

static const char magic_text[8] = {'M', 'o', 'r', 't', 'J', 'r', 'n', 'l'};

struct journal {
	uint32_t magic;
	int fd, target, dir;
	uint64_t offset;
	struct stat before;
	bool second; /* see F_SECOND */
	bool named;  /* written under temp, because it could not be linked from nowhere */
	char name[NAME_SIZE], temp[NAME_SIZE];
};

/* What a trailer says. */
struct facts {
	uint64_t dev, ino, offset, length, before;
	uint32_t flags;
	uint64_t sectors, content_sum, table_sum;
};

int (*journal_step_hook)(const char *step);

static int step(const char *name, struct err *e)
{
	if (journal_step_hook != NULL && journal_step_hook(name) != 0)
		return err_fault(e, MORTISE_E_IO, "stopped at %s", name);
	return 0;
}

/* ---- checksums ---- */

static uint64_t checksum_add(uint64_t total, const unsigned char *p, size_t n)
{
	unsigned char pair[16];

	little_put(pair, total, 8);
	little_put(pair + 8, checksum(p, n), 8);
	return checksum(pair, sizeof(pair));
}

/* Of octets [from, from + n) of fd, in pieces. 0, or -1 with errno. */
static int checksum_file(int fd, uint64_t from, uint64_t n, unsigned char *piece, uint64_t *sum)
{
	*sum = 0;
	while (n > 0) {
		size_t want = n < PIECE ? (size_t)n : PIECE;
		ssize_t got = io_pread(fd, piece, want, from);

		if (got < 0)
			return -1;
		if ((size_t)got < want) {
			errno = EIO;
			return -1;
		}
		*sum = checksum_add(*sum, piece, want);
		from += want;
		n -= want;
	}
	return 0;
}

/* ---- sectors of the old file ---- */

/* Where the sector of [offset, before) that begins at `at` ends. */
static uint64_t sector_end(const struct facts *f, uint64_t at)
{
	uint64_t end = (at / SECTOR + 1) * SECTOR, after = f->offset + f->length;

	if (at < after && end > after)
		end = after;
	return end < f->before ? end : f->before;
}

static uint64_t sector_count(const struct facts *f)
{
	uint64_t after = f->offset + f->length, count, first, last;

	if (f->before <= f->offset)
		return 0;
	first = f->offset / SECTOR;
	last = (f->before - 1) / SECTOR;
	count = last - first + 1;
	/* A cut at `after` inside a sector makes one more. */
	if (after > f->offset && after < f->before && after % SECTOR != 0)
		count++;
	return count;
}

/* ---- names ---- */

static void journal_name(char *out, const char *kind, const struct stat *st)
{
	snprintf(out, NAME_SIZE, "%s.%" PRIx64 ".%" PRIx64, kind, (uint64_t)st->st_dev, (uint64_t)st->st_ino);
}

static int sync_dir(int dir)
{
	AUTO_CLOSE int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -1 : io_fsync(fd);
}

/* ---- writing ---- */

/* Without a name when the name can be given later (that needs /proc), else under a temporary one. */
static int open_unnamed(struct journal *j)
{
	char proc[40];
	int fd = openat(j->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0) {
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
		if (faccessat(AT_FDCWD, proc, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return fd;
		close(fd);
	} else if (errno == ENOSPC || errno == EDQUOT || errno == EMFILE || errno == ENFILE) {
		return -1;
	}
	j->named = true;
	if (unlinkat(j->dir, j->temp, 0) != 0 && errno != ENOENT)
		return -1;
	return openat(j->dir, j->temp, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
}

int journal_open(int dir, int target, uint64_t offset, struct journal **out, struct err *e)
{
	struct journal *j;
	struct stat st;
	int number;

	*out = NULL;
	if (dir < 0) {
		errno = ENOTDIR;
		return -1;
	}
	if (fstat(target, &st) != 0)
		return -1;
	if (!S_ISREG(st.st_mode) || offset > (uint64_t)st.st_size) {
		errno = EINVAL;
		return -1;
	}
	j = mem_new(struct journal);
	j->magic = JOURNAL_MAGIC;
	j->dir = dir;
	j->target = target;
	j->offset = offset;
	j->before = st;
	journal_name(j->name, "journal", &st);
	journal_name(j->temp, "new", &st);
	if (faccessat(dir, j->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		err_fault(
		    e, MORTISE_E_UNAVAILABLE, "%s: a journal of an earlier crash was not replayed", j->name);
		mem_free(j);
		return e->code;
	}
	j->fd = open_unnamed(j);
	if (j->fd < 0) {
		number = errno;
		mem_free(j);
		errno = number;
		return -1;
	}
	*out = j;
	return j->fd;
}

int journal_fd(const struct journal *j)
{
	CHECK_OBJ(j, JOURNAL_MAGIC);
	return j->fd;
}

static void journal_close(struct journal *j, bool keep_temp)
{
	if (j->named && !keep_temp)
		(void)unlinkat(j->dir, j->temp, 0);
	io_close(&j->fd);
	j->magic = 0;
	mem_free(j);
}

void journal_discard(struct journal **jp)
{
	struct journal *j;

	if (*jp == NULL)
		return;
	TAKE_OBJ(j, jp, JOURNAL_MAGIC);
	journal_close(j, false);
}

/* Appends the checksums of the old sectors behind the new octets. */
static int write_table(int fd, int target, struct facts *f, unsigned char *piece)
{
	AUTO_BUF struct buf table = BUF_INIT;
	uint64_t at = f->offset, put_at = f->length;

	f->table_sum = 0;
	f->sectors = 0;
	while (at < f->before) {
		uint64_t piece_end = (at / PIECE + 1) * PIECE;
		size_t want = (size_t)((piece_end < f->before ? piece_end : f->before) - at), used = 0;
		ssize_t got = io_pread(target, piece, want, at);

		if (got < 0)
			return -1;
		if ((size_t)got < want) {
			errno = ESTALE;
			return -1;
		}
		buf_reset(&table);
		while (used < want) {
			size_t n = (size_t)(sector_end(f, at + used) - (at + used));
			unsigned char number[8];

			little_put(number, checksum(piece + used, n), 8);
			buf_add(&table, number, 8);
			used += n;
			f->sectors++;
		}
		if (io_pwrite(fd, table.p, table.n, put_at) != 0)
			return -1;
		f->table_sum = checksum_add(f->table_sum, (const unsigned char *)table.p, table.n);
		put_at += table.n;
		at += want;
	}
	return 0;
}

static int write_trailer(int fd, const struct facts *f)
{
	unsigned char t[TRAILER] = {0};

	little_put(t, f->dev, 8);
	little_put(t + 8, f->ino, 8);
	little_put(t + 16, f->offset, 8);
	little_put(t + 24, f->length, 8);
	little_put(t + 32, f->before, 8);
	little_put(t + 40, f->sectors, 8);
	little_put(t + 48, SECTOR, 4);
	little_put(t + 52, f->flags, 4);
	little_put(t + 56, f->content_sum, 8);
	little_put(t + 64, f->table_sum, 8);
	little_put(t + 72, (uint64_t)clock_seconds(), 8);
	little_put(t + 104, checksum(t, 104), 8);
	little_put(t + 112, VERSION, 4);
	little_put(t + 116, TRAILER, 4);
	memcpy(t + 120, magic_text, 8);
	return io_pwrite(fd, t, sizeof(t), f->length + 8 * f->sectors);
}

/* Completes the journal's file for what is in [0, length) of it, syncs it. */
static int seal(struct journal *j, uint64_t length, struct facts *f, struct err *e)
{
	AUTO_FREE unsigned char *piece = mem_alloc(PIECE);

	*f = (struct facts){
	    .dev = j->before.st_dev,
	    .ino = j->before.st_ino,
	    .offset = j->offset,
	    .length = length,
	    .before = (uint64_t)j->before.st_size,
	    .flags = j->second ? F_SECOND : 0,
	};
	if (checksum_file(j->fd, 0, length, piece, &f->content_sum) != 0 ||
	    write_table(j->fd, j->target, f, piece) != 0 || write_trailer(j->fd, f) != 0 ||
	    io_fsync(j->fd) != 0)
		return err_errno(e, "%s: cannot write the rewrite journal", j->name);
	return step("sealed", e);
}

/* From here on the journal has the last word: whoever goes on must replay it first. */
static int left_for_replay(const struct journal *j, struct err *e)
{
	struct err why = *e;

	err_clear(e);
	return err_fault(
	    e, MORTISE_E_UNAVAILABLE, "%s; the journal %s stays to be replayed", why.admin, j->name);
}

/* The mailbox was not touched. One that took an older one's place stays: that one's work is half done. */
static int withdraw(const struct journal *j, bool replace, struct err *e)
{
	return !replace && unlinkat(j->dir, j->name, 0) == 0 ? e->code : left_for_replay(j, e);
}

/* Gives the complete journal its name, durably. */
static int publish(struct journal *j, bool replace, struct err *e)
{
	char proc[40];
	int r;

	if (!j->named && replace) {
		(void)unlinkat(j->dir, j->temp, 0);
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", j->fd);
		if (linkat(AT_FDCWD, proc, j->dir, j->temp, AT_SYMLINK_FOLLOW) != 0)
			return err_errno(e, "%s: cannot name the rewrite journal", j->temp);
		j->named = true;
	}
	if (j->named) {
		r = renameat(j->dir, j->temp, j->dir, j->name);
		if (r == 0)
			j->named = false;
	} else {
		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", j->fd);
		r = linkat(AT_FDCWD, proc, j->dir, j->name, AT_SYMLINK_FOLLOW);
	}
	if (r != 0)
		return err_errno(e, "%s: cannot name the rewrite journal", j->name);
	if (sync_dir(j->dir) != 0) {
		err_errno(e, "%s: cannot sync the journal directory", j->name);
		return withdraw(j, replace, e);
	}
	return step("published", e);
}

/* Extended at once, so that the file has only two sizes meanwhile and what others append is known. */
static int extend(int target, const struct facts *f, const char *name, struct err *e)
{
	uint64_t after = f->offset + f->length;
	struct stat st;

	if (fstat(target, &st) != 0)
		return err_errno(e, "%s: the mailbox file", name);
	if ((uint64_t)st.st_size < after && ftruncate(target, (off_t)after) != 0)
		return err_errno(e, "%s: cannot extend the mailbox file", name);
	return 0;
}

/* Copies length octets of the journal over the target and makes it exactly that long. Can be repeated. */
static int copy_in(int fd, int target, const struct facts *f, const char *name, struct err *e)
{
	AUTO_FREE unsigned char *piece = mem_alloc(PIECE);
	uint64_t after = f->offset + f->length, at = 0;

	if (step("extended", e) != 0)
		return e->code;
	while (at < f->length) {
		size_t want = f->length - at < PIECE ? (size_t)(f->length - at) : PIECE;
		ssize_t got = io_pread(fd, piece, want, at);

		if (got >= 0 && (size_t)got < want)
			errno = EIO;
		if (got < 0 || (size_t)got < want)
			return err_errno(e, "%s: cannot read the journal", name);
		if (io_pwrite(target, piece, want, f->offset + at) != 0)
			return err_errno(e, "%s: cannot write the mailbox file", name);
		at += want;
		if (step("copied", e) != 0)
			return e->code;
	}
	if (ftruncate(target, (off_t)after) != 0)
		return err_errno(e, "%s: cannot cut the mailbox file", name);
	if (step("cut", e) != 0)
		return e->code;
	if (io_fsync(target) != 0)
		return err_errno(e, "%s: cannot sync the mailbox file", name);
	return step("synced", e);
}

/* Room for a file that grows is taken before the journal has its name: full disks are met while nothing has
 * happened yet. */
static int reserve(const struct journal *j, uint64_t after, struct err *e)
{
	uint64_t before = (uint64_t)j->before.st_size;

	if (after <= before ||
	    fallocate(j->target, FALLOC_FL_KEEP_SIZE, (off_t)before, (off_t)(after - before)) == 0)
		return 0;
	if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)
		return 0;
	return err_errno(e, "%s: no room to extend the mailbox file", j->name);
}

static int finish(struct journal *j, bool replace, struct err *e)
{
	struct stat st, now;
	struct facts f;

	if (fstat(j->fd, &st) != 0 || fstat(j->target, &now) != 0)
		return err_errno(e, "%s", j->name);
	if (now.st_size != j->before.st_size)
		return err_fault(
		    e, MORTISE_E_IO, "%s: the mailbox file changed its size under the lock", j->name);
	/* The checksums are of what is on the disk: changes in place may not have been synced yet. */
	if (fdatasync(j->target) != 0)
		return err_errno(e, "%s: cannot sync the mailbox file", j->name);
	if (reserve(j, j->offset + (uint64_t)st.st_size, e) != 0 ||
	    seal(j, (uint64_t)st.st_size, &f, e) != 0 || publish(j, replace, e) != 0)
		return e->code;
	if (extend(j->target, &f, j->name, e) != 0)
		return withdraw(j, replace, e);
	if (copy_in(j->fd, j->target, &f, j->name, e) != 0)
		return left_for_replay(j, e);
	/* Durably gone, or it would come back after later changes to the same file. */
	if (unlinkat(j->dir, j->name, 0) != 0 || sync_dir(j->dir) != 0) {
		err_errno(e, "%s: cannot remove the replayed journal", j->name);
		return left_for_replay(j, e);
	}
	return 0;
}

int journal_commit(struct journal **jp, struct err *e)
{
	struct err own = ERR_INIT;
	struct journal *j;
	int r;

	TAKE_OBJ(j, jp, JOURNAL_MAGIC);
	r = finish(j, false, &own);
	journal_close(j, false);
	if (r != 0)
		err_take(e, &own);
	return r;
}

/* ---- replaying ---- */

enum verdict { REPLAY, COMPLETE, UNTOUCHED, FOREIGN };

static int read_trailer(int fd, const struct stat *st, struct facts *f, const char *name, struct err *e)
{
	unsigned char t[TRAILER];
	uint64_t size = (uint64_t)st->st_size;

	if (size < 16)
		return 0;
	if (io_pread(fd, t + TRAILER - 16, 16, size - 16) != 16)
		return err_errno(e, "%s", name);
	if (memcmp(t + 120, magic_text, 8) != 0)
		return 0;
	if (little_get(t + 112, 4) != VERSION)
		return err_fault(e, MORTISE_E_UNAVAILABLE,
		    "%s: a rewrite journal of version %u, this server knows %u; it belongs to a mailbox that "
		    "a newer server left half-written: use that server, or move the journal away",
		    name, (unsigned)little_get(t + 112, 4), VERSION);
	if (size < TRAILER || io_pread(fd, t, TRAILER, size - TRAILER) != (ssize_t)TRAILER)
		return 0;
	if (little_get(t + 116, 4) != TRAILER || little_get(t + 104, 8) != checksum(t, 104) ||
	    little_get(t + 48, 4) != SECTOR)
		return 0;
	f->dev = little_get(t, 8);
	f->ino = little_get(t + 8, 8);
	f->offset = little_get(t + 16, 8);
	f->length = little_get(t + 24, 8);
	f->before = little_get(t + 32, 8);
	f->sectors = little_get(t + 40, 8);
	f->flags = (uint32_t)little_get(t + 52, 4);
	f->content_sum = little_get(t + 56, 8);
	f->table_sum = little_get(t + 64, 8);
	if (f->offset > INT64_MAX / 4 || f->length > INT64_MAX / 4 || f->before > INT64_MAX / 4 ||
	    f->offset > f->before || f->sectors != sector_count(f) ||
	    size != f->length + 8 * f->sectors + TRAILER)
		return 0;
	return 1;
}

/* The checksums of what is inside, before any of it is believed. */
static bool intact(int fd, const struct facts *f, unsigned char *piece)
{
	uint64_t sum, at = f->offset, from = f->length, total = 0;

	if (checksum_file(fd, 0, f->length, piece, &sum) != 0 || sum != f->content_sum)
		return false;
	while (at < f->before) {
		uint64_t piece_end = (at / PIECE + 1) * PIECE, stop;
		size_t n = 0;

		stop = piece_end < f->before ? piece_end : f->before;
		for (; at < stop; at = sector_end(f, at))
			n += 8;
		if (io_pread(fd, piece, n, from) != (ssize_t)n)
			return false;
		total = checksum_add(total, piece, n);
		from += n;
	}
	return total == f->table_sum;
}

/* What the mailbox file holds now, sector by sector. */
struct survey {
	bool all_old, all_new; /* of [offset, min(before, after)) */
	bool tail_old;         /* [after, before) is there as it was */
	bool torn;             /* one sector is neither; new ones before it, none behind it */
	bool foreign;          /* a sector is neither old nor new, and not our torn one */
	uint64_t known;        /* octets that were found to be old or new */
};

/* A write that was torn inside a sector leaves one that is neither, where the new ones end. */
static void note_sector(struct survey *s, size_t size, bool old, bool fresh, bool *seen_old)
{
	if (old || fresh)
		s->known += size;
	s->all_old = s->all_old && old;
	s->all_new = s->all_new && fresh;
	if (old && !fresh)
		*seen_old = true;
	if (old)
		return;
	if (s->torn || (!fresh && *seen_old))
		s->foreign = true;
	if (!fresh)
		s->torn = true;
}

static int survey_old(int fd, int target, uint64_t size, const struct facts *f, struct survey *s)
{
	uint64_t at = f->offset, after = f->offset + f->length, from = f->length;
	bool seen_old = false;

	*s = (struct survey){.all_old = true, .all_new = true, .tail_old = size >= f->before};
	while (at < f->before) {
		uint64_t end = sector_end(f, at);
		unsigned char now[SECTOR], fresh[SECTOR], number[8];
		size_t n = (size_t)(end - at);
		ssize_t got = io_pread(target, now, n, at);
		bool old;

		if (got < 0 || io_pread(fd, number, 8, from) != 8)
			return -1;
		old = (size_t)got == n && checksum(now, n) == little_get(number, 8);
		if (at >= after) {
			s->tail_old = s->tail_old && old;
			s->known += old ? n : 0;
		} else {
			if (io_pread(fd, fresh, n, at - f->offset) != (ssize_t)n)
				return -1;
			note_sector(s, n, old, (size_t)got == n && memcmp(now, fresh, n) == 0, &seen_old);
		}
		from += 8;
		at = end;
	}
	return 0;
}

/*
 * [before, after) of a file that grows, as much of it as is there: 1 when each sector is new, still empty, or
 * torn between the two; 0 when it is something else, that is, what somebody appended. -1 on errors.
 */
static int survey_growth(int fd, int target, uint64_t size, const struct facts *f, struct survey *s)
{
	uint64_t at = f->before, after = f->offset + f->length, stop = size < after ? size : after;

	s->all_new = s->all_new && size >= after;
	while (at < stop) {
		unsigned char now[SECTOR], fresh[SECTOR];
		uint64_t end = (at / SECTOR + 1) * SECTOR;
		size_t n = (size_t)((end < stop ? end : stop) - at), same = 0, i;

		if (io_pread(target, now, n, at) != (ssize_t)n ||
		    io_pread(fd, fresh, n, at - f->offset) != (ssize_t)n)
			return -1;
		while (same < n && now[same] == fresh[same])
			same++;
		for (i = same; i < n; i++)
			if (now[i] != 0)
				return 0;
		s->all_new = s->all_new && same == n;
		s->known += same;
		at += n;
	}
	return 1;
}

struct judgement {
	enum verdict verdict;
	uint64_t base, extra; /* octets from base on were appended by others and must stay */
	uint64_t known;
};

/*
 * UNTOUCHED: nothing was written before the crash, the mailbox is what it was (and a message more, perhaps).
 * REPLAY: half done. COMPLETE: all done.
 */
static int judge(int fd, int target, const struct facts *f, struct judgement *j)
{
	uint64_t size, after = f->offset + f->length;
	struct survey s;
	struct stat st;
	int ours = 1;

	*j = (struct judgement){.verdict = FOREIGN, .base = after};
	if (fstat(target, &st) != 0)
		return -1;
	size = (uint64_t)st.st_size;
	if (size < f->before && size < after)
		return 0;
	if (survey_old(fd, target, size, f, &s) != 0)
		return -1;
	if (after > f->before)
		ours = survey_growth(fd, target, size, f, &s);
	j->known = s.known;
	if (ours < 0)
		return -1;
	/* Octets may have reached the disk when the new size did not: then what is behind is others'. */
	if (after > f->before && (ours == 0 || size < after)) {
		if (s.all_old && (ours == 0 || size == f->before))
			j->verdict = UNTOUCHED;
		else if (!s.foreign) {
			j->verdict = REPLAY;
			j->base = f->before;
			j->extra = ours == 0 ? size - f->before : 0;
		}
		return 0;
	}
	if (after <= f->before && (f->flags & F_SECOND) == 0 && s.all_old && s.tail_old &&
	    !(after == f->before && s.all_new)) {
		j->verdict = UNTOUCHED;
		return 0;
	}
	if (after <= f->before && s.tail_old)
		j->base = f->before;
	else if (after <= f->before && s.torn)
		return 0; /* it was cut, so the copy was complete: somebody else wrote here */
	if (s.foreign)
		return 0;
	j->extra = size - j->base;
	j->verdict = s.all_new && j->base == after ? COMPLETE : REPLAY;
	return 0;
}

/* The same journal with what others appended behind it, so that a crash in the replay loses nothing either.
 */
static int replay_with_tail(
    int dir, int fd, int target, const struct facts *f, uint64_t base, uint64_t extra, struct err *e)
{
	struct journal j = {.magic = JOURNAL_MAGIC,
	    .dir = dir,
	    .target = target,
	    .offset = f->offset,
	    .second = true,
	    .fd = -1};
	AUTO_FREE unsigned char *piece = mem_alloc(PIECE);
	uint64_t done = 0, total = f->length + extra;
	int r;

	if (fstat(target, &j.before) != 0)
		return err_errno(e, "mailbox file");
	journal_name(j.name, "journal", &j.before);
	journal_name(j.temp, "new", &j.before);
	j.fd = open_unnamed(&j);
	if (j.fd < 0)
		return err_errno(e, "%s: cannot write a new journal", j.name);
	r = 0;
	while (done < total && r == 0) {
		uint64_t left = done < f->length ? f->length - done : total - done;
		size_t want = left < PIECE ? (size_t)left : PIECE;
		ssize_t got = done < f->length ? io_pread(fd, piece, want, done)
		                               : io_pread(target, piece, want, base + (done - f->length));

		if (got >= 0 && (size_t)got < want)
			errno = EIO;
		if (got != (ssize_t)want || io_pwrite(j.fd, piece, want, done) != 0)
			r = err_errno(e, "%s: cannot write a new journal", j.name);
		done += want;
	}
	if (r == 0)
		r = finish(&j, true, e);
	if (j.named)
		(void)unlinkat(dir, j.temp, 0);
	io_close(&j.fd);
	return r;
}

static int set_aside(int dir, const char *name, const struct stat *st, const char *why, struct err *e)
{
	char kind[NAME_SIZE], to[NAME_SIZE + 24];
	int64_t when = clock_seconds();
	int r;

	journal_name(kind, "aside", st);
	do /* never over an earlier one */
		snprintf(to, sizeof(to), "%s.%" PRId64, kind, when);
	while (
	    (r = linkat(dir, name, dir, to, 0)) != 0 && errno == EEXIST && when++ < clock_seconds() + 1000);
	if (r != 0 || unlinkat(dir, name, 0) != 0 || sync_dir(dir) != 0)
		return err_errno(e, "%s: cannot set the journal aside", name);
	log_msg(MSG_JOURNAL_ASIDE, "%s: %s; kept as %s", name, why, to);
	return 0;
}

static int drop(int dir, const char *name, struct err *e)
{
	if (unlinkat(dir, name, 0) != 0 || sync_dir(dir) != 0)
		return err_errno(e, "%s: cannot remove the journal", name);
	return 0;
}

/*
 * The name of the file's journal. When there is none of its device and inode, one of another device will do
 * (*own false): a device may have another number after the machine came up again. Then the content decides.
 */
static bool find_journal(int dir, const struct stat *st, char name[NAME_SIZE], bool *own)
{
	char ending[NAME_SIZE];
	struct dirent *entry;
	bool found = false;
	DIR *d;
	int fd;

	journal_name(name, "journal", st);
	*own = faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	if (*own)
		return true;
	snprintf(ending, sizeof(ending), ".%" PRIx64, (uint64_t)st->st_ino);
	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd >= 0 ? fdopendir(fd) : NULL;
	if (d == NULL) {
		io_close(&fd);
		return false;
	}
	while (!found && (entry = readdir(d)) != NULL) {
		struct str file = str_of(entry->d_name);

		found =
		    file.n < NAME_SIZE && str_starts(file, STR("journal.")) && str_ends(file, str_of(ending));
		if (found)
			snprintf(name, NAME_SIZE, "%.*s", STR_FMT(file));
	}
	closedir(d);
	return found;
}

/* What is in the journal, and what is to be done with it. 1, 0: nothing more to do, or a code. */
static int examine(int dir, int fd, int target, const char *name, const struct stat *st, bool own,
    struct facts *f, struct judgement *j, struct err *e)
{
	AUTO_FREE unsigned char *piece = mem_alloc(PIECE);
	struct err why = ERR_INIT;
	struct stat file;
	int r;

	if (fstat(fd, &file) != 0)
		return err_errno(e, "%s", name);
	r = S_ISREG(file.st_mode) ? read_trailer(fd, &file, f, name, &why) : 0;
	/* What bears another device's number is left alone unless it proves to be this file's. */
	if (r < 0)
		return own ? err_take(e, &why) : 0;
	if (r == 0 || !intact(fd, f, piece))
		return own ? set_aside(dir, name, st, "the journal is damaged", e) : 0;
	if (f->ino != (uint64_t)st->st_ino || (own && f->dev != (uint64_t)st->st_dev))
		return own ? set_aside(dir, name, st, "the journal is of another file", e) : 0;
	if (judge(fd, target, f, j) != 0)
		return err_errno(e, "%s: cannot compare the mailbox with its journal", name);
	if (!own && (j->verdict == FOREIGN || j->known < KNOWN_LEAST))
		return 0;
	if (j->verdict == FOREIGN)
		return set_aside(dir, name, st, "the mailbox was replaced or changed since the crash", e);
	return 1;
}

static int replay(
    int dir, int fd, int target, const char *name, const struct stat *st, bool own, struct err *e)
{
	struct facts f = {0};
	struct judgement j = {.verdict = FOREIGN};
	int r = examine(dir, fd, target, name, st, own, &f, &j, e);

	if (r != 1)
		return r;
	if (j.verdict == UNTOUCHED || j.verdict == COMPLETE)
		return drop(dir, name, e);
	if (j.extra > 0)
		r = replay_with_tail(dir, fd, target, &f, j.base, j.extra, e);
	else if ((r = extend(target, &f, name, e)) == 0)
		r = copy_in(fd, target, &f, name, e);
	/* With a tail, the second journal took the first one's name, if that was its own, and is gone. */
	if (r == 0 && (j.extra == 0 || !own))
		r = drop(dir, name, e);
	if (r != 0)
		return r;
	log_msg(MSG_JOURNAL_REPLAYED,
	    "%s: %" PRIu64 " octets written again from offset %" PRIu64 ", %" PRIu64 " appended since kept",
	    name, f.length, f.offset, j.extra);
	return 1;
}

bool journal_pending(int dir, int target)
{
	AUTO_CLOSE int fd = -1;
	struct err e = ERR_INIT;
	struct judgement j;
	char name[NAME_SIZE];
	struct facts f;
	struct stat st;
	bool own;

	if (dir < 0 || fstat(target, &st) != 0 || !find_journal(dir, &st, name, &own))
		return false;
	if (own)
		return true;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && examine(dir, fd, target, name, &st, false, &f, &j, &e) == 1 && j.verdict == REPLAY;
}

bool journal_waiting(int journal_dir, int target)
{
	char name[NAME_SIZE];
	struct stat st;
	bool own;

	return journal_dir >= 0 && fstat(target, &st) == 0 && S_ISREG(st.st_mode) &&
	       find_journal(journal_dir, &st, name, &own);
}

int journal_replay(int journal_dir, int target, struct err *e)
{
	AUTO_CLOSE int fd = -1;
	char name[NAME_SIZE];
	struct stat st;
	bool own;

	if (journal_dir < 0)
		return 0;
	if (fstat(target, &st) != 0)
		return err_errno(e, "mailbox file");
	if (!S_ISREG(st.st_mode) || !find_journal(journal_dir, &st, name, &own))
		return 0;
	fd = openat(journal_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || !own ? 0 : err_errno(e, "%s", name);
	return replay(journal_dir, fd, target, name, &st, own, e);
}
