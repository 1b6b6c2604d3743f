/*
 * list.c: dovecot-uidlist, the mapping of UIDs to files.
 *
 *     3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1
 *     25006 :1276528487.M364837P9451.host,S=1355,W=1394:2,
 *     25017 W2481 :1276533073.M242911P3632.host:2,F
 *
 * One field is ours: Z60 says that the internal date was given in a zone 60 minutes east of UTC, for which a
 * file's time has no room. Fields that we do not know are kept. Who reads needs no lock.
 *
 * New messages are lines at the end; the N of the first line then lags behind, and UIDNEXT is one more than
 * the last line's UID. Dovecot does the same and reads it so. The file is replaced as a whole when there is
 * none, when something in it is wrong (a line that a crash cut short), or when most of it is about messages
 * that are gone. Courier's older form ("1 V N", no extra fields, no ':') is understood too, and its
 * courierimapuiddb is where UIDs come from while there is no dovecot-uidlist.
 *
 * The last line counts when a base is there twice. UIDs that do not rise, a line that is no line, a file
 * without a first line: what cannot be believed is left out, and its messages get UIDs anew; without a
 * UIDVALIDITY to believe all get one.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "box.h"

#define COURIER_LIST "courierimapuiddb"
#define HEADER_MAX 4096 /* octets of the first line */
#define END_MAX 8192    /* octets in which the last line must begin */

struct maildir_print maildir_print_of(const struct stat *st)
{
	return (struct maildir_print){.mtime = st->st_mtim.tv_sec * INT64_C(1000000000) + st->st_mtim.tv_nsec,
	    .inode = st->st_ino,
	    .size = S_ISDIR(st->st_mode) ? (int64_t)(st->st_nlink > 0) : st->st_size};
}

struct maildir_print maildir_print(int dir, const char *file)
{
	struct stat st;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return (struct maildir_print){0};
	return maildir_print_of(&st);
}

bool maildir_print_same(const struct maildir_print *a, const struct maildir_print *b)
{
	return a->mtime == b->mtime && a->inode == b->inode && a->size == b->size;
}

/* ---- lines ---- */

static bool number(const char **p, uint32_t *out)
{
	uint64_t n = 0;
	const char *s = *p;

	for (; *s >= '0' && *s <= '9'; s++) {
		n = n * 10 + (uint64_t)(*s - '0');
		if (n > UINT32_MAX)
			return false;
	}
	if (s == *p || n == 0)
		return false;
	*p = s;
	*out = (uint32_t)n;
	return true;
}

/* The first line, cut into words. *version 3, or 1 for Courier's. */
static bool parse_header(struct maildir_box *b, char *line, int *version)
{
	char *save = NULL, *word = strtok_r(line, " ", &save);
	struct maildir_text others = {0};
	uint32_t v = 0, n = 0;
	const char *p;

	if (word == NULL || (strcmp(word, "3") != 0 && strcmp(word, "1") != 0))
		return false;
	*version = word[0] - '0';
	while ((word = strtok_r(NULL, " ", &save)) != NULL) {
		p = *version == 3 ? word + 1 : word;
		if (*version == 3 ? word[0] == 'V' : v == 0)
			(void)number(&p, &v);
		else if (*version == 3 ? word[0] == 'N' : n == 0)
			(void)number(&p, &n);
		else if (*version == 3) {
			maildir_text_add(&others, " ", 1);
			maildir_text_add(&others, word, strlen(word));
		}
	}
	maildir_text_add(&others, "", 1);
	if (others.failed || v == 0 || n == 0) {
		free(others.p);
		return false;
	}
	b->uidvalidity = v;
	b->uidnext = n;
	free(b->header);
	b->header = others.p;
	return true;
}

/* "UID fields :NAME", or Courier's "UID NAME", NUL behind it. False: no line. */
static bool parse_line(char *line, int version, uint32_t *uid, const char **extra, const char **name)
{
	const char *p = line;
	char *colon;

	*extra = "";
	if (!number(&p, uid) || *p != ' ')
		return false;
	if (version == 1) {
		*name = p + 1;
		return true;
	}
	colon = p[1] == ':' ? line + (p + 1 - line) : strstr(line + (p - line), " :");
	if (colon == NULL)
		return false;
	if (*colon == ' ')
		colon++;
	colon[-1] = '\0';
	*name = colon + 1;
	if (p < colon - 1)
		*extra = p;
	return true;
}

/* The end of what is known of the file, with `text` as the newest of it. */
static void remember_end(struct maildir_box *b, const char *text, size_t size)
{
	const size_t room = sizeof(b->list_tail), n = size < room ? size : room;

	memmove(b->list_tail, b->list_tail + n, room - n);
	memcpy(b->list_tail + room - n, text + size - n, n);
}

/* Whole lines of `text`; what is understood of it is added to list_size. */
static int parse_lines(struct mortise_call *call, struct maildir_box *b, char *text, size_t size, int version)
{
	uint32_t last = b->count > 0 ? b->entries[b->count - 1].uid : 0, uid, bad = 0;
	const char *extra, *name;
	char *line, *end;
	int r = 0;

	for (line = text; r == 0 && (end = memchr(line, '\n', size - (size_t)(line - text))) != NULL;
	     line = end + 1) {
		size_t base;

		*end = '\0';
		b->lines++;
		if (strlen(line) != (size_t)(end - line) || !parse_line(line, version, &uid, &extra, &name) ||
		    (base = maildir_name_base(name)) == 0 || uid <= last) {
			bad++;
			continue;
		}
		last = uid;
		r = maildir_entry_add(call, b, uid, name, base, extra, NULL);
		if (r == 0)
			r = maildir_go_on(call, b);
	}
	b->list_size += (uint64_t)(line - text);
	b->list_damaged = b->list_damaged || bad > 0;
	if (bad > 0)
		call->host->log(call, MORTISE_LOG_WARN, "%s/" UIDLIST ": %u lines are no good, left out",
		    b->place->path, bad);
	if (last >= b->uidnext)
		b->uidnext = last < UINT32_MAX ? last + 1 : UINT32_MAX;
	return r;
}

/* ---- reading ---- */

/* `size` octets from `from`, fewer where the file ends; a code or their number. */
static ssize_t read_at(struct mortise_call *call, int fd, char *out, size_t size, uint64_t from)
{
	size_t n = 0;

	while (n < size) {
		ssize_t got = pread(fd, out + n, size - n, (off_t)(from + n));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return call->host->fault_errno(call, UIDLIST);
		if (got == 0)
			break;
		n += (size_t)got;
	}
	return (ssize_t)n;
}

/* A regular file of a size we read; -1 in *fd when there is none. */
static int open_list(
    struct mortise_call *call, struct maildir_box *b, const char *file, int flags, int *fd, struct stat *st)
{
	*fd = openat(b->dir, file, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (*fd < 0)
		return errno == ENOENT || errno == ELOOP || errno == EISDIR || errno == ENXIO
		           ? 0
		           : call->host->fault_errno(call, "%s/%s", b->place->path, file);
	memset(st, 0, sizeof(*st));
	if (fstat(*fd, st) == 0 && S_ISREG(st->st_mode) && (uint64_t)st->st_size <= b->options->list_limit)
		return 0;
	close(*fd);
	*fd = -1;
	if (!S_ISREG(st->st_mode))
		return 0;
	return call->host->fault(call, MORTISE_E_LIMIT, "%s/%s is larger than %" PRIu64 " octets",
	    b->place->path, file, b->options->list_limit);
}

/*
 * UIDVALIDITY of a maildir without a list: all who open it before there is one shall say the same. One that
 * is damaged may have got its own in this second.
 */
static uint32_t first_uidvalidity(const struct maildir_box *b, bool damaged)
{
	struct maildir_print cur = maildir_print(b->dir, "cur");
	int64_t seconds = damaged ? time(NULL) + 1 : cur.mtime / 1000000000;

	return seconds > 0 && seconds < UINT32_MAX ? (uint32_t)seconds : 1;
}

static int glance_at(struct mortise_call *call, struct maildir_box *b, const char *file, bool *found)
{
	char text[HEADER_MAX], *end;
	struct stat st;
	int fd, version, r = open_list(call, b, file, O_RDONLY, &fd, &st);
	ssize_t n;

	if (fd < 0)
		return r;
	n = read_at(call, fd, text, sizeof(text), 0);
	close(fd);
	if (n < 0)
		return (int)n;
	*found = true;
	end = memchr(text, '\n', (size_t)n);
	if (end != NULL && memchr(text, '\0', (size_t)(end - text)) == NULL) {
		*end = '\0';
		(void)parse_header(b, text, &version);
	}
	return 0;
}

int maildir_list_glance(struct mortise_call *call, struct maildir_box *b)
{
	bool found = false;
	int r = glance_at(call, b, UIDLIST, &found);

	if (r == 0 && !found)
		r = glance_at(call, b, COURIER_LIST, &found);
	if (r == 0 && b->uidvalidity == 0) {
		b->uidvalidity = first_uidvalidity(b, found);
		b->uidnext = 1;
		b->made = found;
	}
	return r;
}

static int load_file(struct mortise_call *call, struct maildir_box *b, const char *file, bool *found)
{
	char *text, *end;
	struct stat st;
	int fd, version = 0, r = open_list(call, b, file, O_RDONLY, &fd, &st);
	ssize_t n;

	if (fd < 0)
		return r;
	*found = true;
	text = maildir_room(b, (size_t)st.st_size + 1);
	if (text == NULL) {
		close(fd);
		return call->host->fault_errno(call, "%s", file);
	}
	n = read_at(call, fd, text, (size_t)st.st_size, 0);
	close(fd);
	if (n < 0)
		return (int)n;
	b->list_print = maildir_print_of(&st);
	end = memchr(text, '\n', (size_t)n);
	if (end == NULL || memchr(text, '\0', (size_t)(end - text)) != NULL)
		return 0;
	remember_end(b, text, (size_t)((char *)memrchr(text, '\n', (size_t)n) + 1 - text));
	*end = '\0';
	b->list_read = parse_header(b, text, &version);
	if (!b->list_read)
		return 0;
	b->list_damaged = version != 3; /* nothing can be added to the older form */
	b->list_size = (uint64_t)(end + 1 - text);
	return parse_lines(call, b, text + b->list_size, (size_t)n - (size_t)b->list_size, version);
}

/* What was found out about files, and told, stays known. Both in order of UID. */
static int carry_over(
    struct mortise_call *call, struct maildir_box *b, struct maildir_entry *old, size_t old_count)
{
	size_t i = 0, j;
	int r = 0;

	for (j = 0; j < old_count && r == 0; j++) {
		struct maildir_entry *e;

		while (i < b->count && b->entries[i].uid < old[j].uid)
			i++;
		e = i < b->count ? &b->entries[i] : NULL;
		if (e == NULL || e->uid != old[j].uid || e->base != old[j].base ||
		    memcmp(e->name, old[j].name, e->base) != 0) {
			r = maildir_entry_gone(call, b, &old[j]);
			continue;
		}
		r = maildir_entry_rename(call, b, e, old[j].in_new, old[j].name);
		e->present = old[j].present;
		e->sought = old[j].sought;
		e->known = old[j].known;
		e->told = old[j].told;
		e->dirty = old[j].dirty;
		e->date = old[j].date;
		e->zone = old[j].zone;
		e->octets = old[j].octets;
	}
	return r;
}

static int load_all(struct mortise_call *call, struct maildir_box *b)
{
	struct maildir_box old = *b;
	bool found = false;
	int r;

	b->entries = NULL;
	b->table = NULL;
	b->pool = NULL;
	b->count = b->room = b->table_size = b->waste = b->lines = 0;
	b->list_read = b->list_damaged = b->provisional = false;
	b->list_print = (struct maildir_print){0};
	b->list_size = 0;
	b->part[CUR].read = b->part[NEW].read = false;
	r = load_file(call, b, UIDLIST, &found);
	if (r == 0 && !found) {
		r = load_file(call, b, COURIER_LIST, &found);
		b->list_print = (struct maildir_print){0};
	}
	if (r == 0 && found && !b->list_read) {
		call->host->log(call, MORTISE_LOG_WARN,
		    "%s/" UIDLIST " cannot be read: all messages get new UIDs", b->place->path);
		if (!b->made) {
			b->uidvalidity = first_uidvalidity(b, true);
			b->uidnext = 1;
		}
		b->made = true;
	}
	b->made = b->made && !b->list_read;
	if (r == 0)
		r = carry_over(call, b, old.entries, old.count);
	old.gone = NULL;
	maildir_entries_free(&old);
	if (r != 0)
		b->list_read = false;
	if (r != 0 || b->uidvalidity != b->told_uidvalidity)
		b->told.size = 0;
	b->loaded = r == 0;
	return r;
}

/* Lines that were added. 1: it is another file, not the known one with more at its end. */
static int load_more(struct mortise_call *call, struct maildir_box *b)
{
	char before[sizeof(b->list_tail)], *text, *end;
	size_t known = b->list_size < sizeof(before) ? (size_t)b->list_size : sizeof(before), size;
	struct stat st;
	int fd, r = open_list(call, b, UIDLIST, O_RDONLY, &fd, &st);
	ssize_t n;

	if (fd < 0)
		return r != 0 ? r : 1;
	size = (size_t)st.st_size - (size_t)b->list_size;
	n = read_at(call, fd, before, known, b->list_size - known);
	if (st.st_ino != b->list_print.inode || (uint64_t)st.st_size < b->list_size || n != (ssize_t)known ||
	    memcmp(before, b->list_tail + sizeof(before) - known, known) != 0) {
		close(fd);
		return n < 0 ? (int)n : 1;
	}
	text = maildir_room(b, size + 1);
	n = text != NULL ? read_at(call, fd, text, size, b->list_size)
	                 : call->host->fault_errno(call, UIDLIST);
	close(fd);
	if (n < 0)
		return (int)n;
	b->list_print = maildir_print_of(&st);
	text[n] = '\0';
	end = memrchr(text, '\n', (size_t)n);
	if (end != NULL)
		remember_end(b, text, (size_t)(end + 1 - text));
	return parse_lines(call, b, text, (size_t)n, 3);
}

int maildir_list_load(struct mortise_call *call, struct maildir_box *b)
{
	struct maildir_print now = maildir_print(b->dir, UIDLIST);
	int r = 1;

	if (b->loaded && (b->list_read || now.mtime == 0) && maildir_print_same(&now, &b->list_print))
		return 0;
	if (b->loaded && b->list_read && !b->list_damaged && !b->provisional &&
	    now.inode == b->list_print.inode && b->list_print.mtime != 0 &&
	    (uint64_t)now.size >= b->list_size)
		r = load_more(call, b);
	return r <= 0 ? r : load_all(call, b);
}

/* ---- writing ---- */

static int first_line(struct mortise_call *call, struct maildir_box *b, struct maildir_text *text)
{
	uint64_t guid[2];

	if (b->header == NULL || b->header[0] == '\0') {
		call->host->random(call, guid, sizeof(guid));
		free(b->header);
		if (asprintf(&b->header, " G%016" PRIx64 "%016" PRIx64, guid[0], guid[1]) < 0) {
			b->header = NULL;
			return call->host->fault_errno(call, UIDLIST);
		}
	}
	maildir_text_add(text, "3 V", 3);
	maildir_text_number(text, b->uidvalidity);
	maildir_text_add(text, " N", 2);
	maildir_text_number(text, b->uidnext);
	maildir_text_add(text, b->header, strlen(b->header));
	maildir_text_add(text, "\n", 1);
	return 0;
}

int maildir_list_save(struct mortise_call *call, struct maildir_box *b)
{
	struct maildir_text text = {0};
	size_t i;
	int r = maildir_drop_missing(call, b);

	if (r == 0)
		r = first_line(call, b, &text);
	for (i = 0; i < b->count; i++)
		maildir_text_line(&text, b->entries[i].uid, b->entries[i].extra, b->entries[i].name);
	if (r == 0 && text.failed)
		r = call->host->fault_errno(call, UIDLIST);
	if (r == 0)
		r = maildir_replace(call, b, UIDLIST, text.p, text.n);
	if (r == 0) {
		b->list_print = maildir_print(b->dir, UIDLIST);
		b->list_size = text.n;
		b->lines = b->count;
		b->list_read = b->loaded = true;
		b->list_damaged = false;
		remember_end(b, text.p, text.n);
	}
	free(text.p);
	return r;
}

/* The UID of the last line of text that begins within a file and ends with it. */
static bool last_uid(const char *text, size_t size, uint32_t *uid)
{
	const char *before, *p;

	if (size < 2 || text[size - 1] != '\n')
		return false;
	before = memrchr(text, '\n', size - 1);
	if (before == NULL)
		return false;
	p = before + 1;
	return number(&p, uid) && *p == ' ' &&
	       strnlen(p, (size_t)(text + size - p)) == (size_t)(text + size - p);
}

/* Reads what is at both ends of it. False: something is wrong with it. */
static int ends(struct mortise_call *call, struct maildir_box *b, int fd, uint64_t size, bool *good)
{
	char head[HEADER_MAX], tail[END_MAX], *line;
	ssize_t n = read_at(call, fd, head, sizeof(head), 0);
	uint64_t from = size > sizeof(tail) ? size - sizeof(tail) : 0;
	uint32_t uid = 0;
	int version;

	line = n > 0 ? memchr(head, '\n', (size_t)n) : NULL;
	if (line == NULL || memchr(head, '\0', (size_t)(line - head)) != NULL)
		return n < 0 ? (int)n : 0;
	*line = '\0';
	if (!parse_header(b, head, &version) || version != 3)
		return 0;
	if ((uint64_t)(line + 1 - head) < size) {
		n = read_at(call, fd, tail, (size_t)(size - from), from);
		if (n != (ssize_t)(size - from) || !last_uid(tail, (size_t)n, &uid))
			return n < 0 ? (int)n : 0;
	}
	if (uid >= b->uidnext)
		b->uidnext = uid < UINT32_MAX ? uid + 1 : UINT32_MAX;
	*good = true;
	return 0;
}

int maildir_list_end(struct mortise_call *call, struct maildir_box *b, int *fd)
{
	struct maildir_print now;
	bool good = false;
	struct stat st;
	int r = open_list(call, b, UIDLIST, O_RDWR | O_APPEND, fd, &st);

	if (*fd < 0)
		return r;
	now = maildir_print_of(&st);
	if (b->loaded && b->list_read && maildir_print_same(&now, &b->list_print))
		good = !b->list_damaged && b->list_size == (uint64_t)st.st_size;
	else
		r = ends(call, b, *fd, (uint64_t)st.st_size, &good);
	if (r == 0 && good)
		return 0;
	close(*fd);
	*fd = -1;
	return r;
}

int maildir_list_put(
    struct mortise_call *call, struct maildir_box *b, int fd, const struct maildir_text *lines, off_t *before)
{
	struct stat st;
	int r;

	if (lines->failed || fstat(fd, &st) != 0)
		return call->host->fault_errno(call, "%s/" UIDLIST, b->place->path);
	if ((uint64_t)st.st_size + lines->n > b->options->list_limit)
		return call->host->fail(call, MORTISE_E_LIMIT, "The mailbox's list of messages is full");
	*before = st.st_size;
	r = maildir_put(call, fd, UIDLIST, lines->p, lines->n);
	if (r != 0)
		(void)!ftruncate(fd, st.st_size);
	return r;
}

int maildir_list_append(
    struct mortise_call *call, struct maildir_box *b, int fd, const struct maildir_text *lines, size_t known)
{
	struct stat st;
	off_t before;
	int r = maildir_list_put(call, b, fd, lines, &before);

	if (r != 0)
		return r;
	if (b->options->fsync && fdatasync(fd) != 0) {
		r = call->host->fault_errno(call, "%s/" UIDLIST, b->place->path);
		(void)!ftruncate(fd, before);
		return r;
	}
	if (known > 0 && fstat(fd, &st) == 0) {
		b->list_print = maildir_print_of(&st);
		b->list_size += lines->n;
		b->lines += known;
		remember_end(b, lines->p, lines->n);
	}
	return 0;
}

int maildir_list_lines(struct mortise_call *call, int fd, uint64_t *lines)
{
	char text[65536];
	const char *p, *end;
	uint64_t from = 0;
	ssize_t n;

	*lines = 0;
	while ((n = read_at(call, fd, text, sizeof(text), from)) > 0) {
		end = text + n;
		for (p = text; (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
			++*lines;
		from += (uint64_t)n;
	}
	return (int)n;
}
