/*
 * list.c: dovecot-uidlist, the mapping of UIDs to files.
 *
 *     3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1
 *     25006 :1276528487.M364837P9451.host,S=1355,W=1394:2,
 *     25017 W2481 :1276533073.M242911P3632.host:2,F
 *
 * One field is ours: Z60 says that the internal date was given in a zone 60 minutes east of UTC, for which a
 * file's time has no room. Fields that we do not know are kept. Who reads needs no lock; lines may have been
 * added behind what we know, by another server; we replace the file as a whole. Courier's older form ("1 V
 * N", no extra fields, no
 * ':') is understood too, and its courierimapuiddb is where UIDs come from while there is no dovecot-uidlist.
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

struct maildir_print maildir_print(int dir, const char *file)
{
	struct stat st;

	if (fstatat(dir, file, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0)
		return (struct maildir_print){0};
	return (struct maildir_print){.mtime = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec,
	    .inode = st.st_ino,
	    .size = S_ISDIR(st.st_mode) ? (int64_t)(st.st_nlink > 0) : st.st_size};
}

bool maildir_print_same(const struct maildir_print *a, const struct maildir_print *b)
{
	return a->mtime == b->mtime && a->inode == b->inode && a->size == b->size;
}

int maildir_read_file(
    struct mortise_call *call, int dir, const char *name, uint64_t limit, char **out, size_t *size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r = 0;
	struct stat st;
	size_t n = 0;

	*out = NULL;
	*size = 0;
	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? 0 : call->host->fault_errno(call, "%s", name);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return 0;
	}
	if ((uint64_t)st.st_size > limit)
		r = call->host->fault(
		    call, MORTISE_E_LIMIT, "%s is larger than %" PRIu64 " octets", name, limit);
	else if ((*out = malloc((size_t)st.st_size + 1)) == NULL)
		r = call->host->fault_errno(call, "%s", name);
	while (r == 0 && n < (size_t)st.st_size) {
		ssize_t got = read(fd, *out + n, (size_t)st.st_size - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			r = call->host->fault_errno(call, "%s", name);
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	close(fd);
	if (r != 0) {
		free(*out);
		*out = NULL;
		return r;
	}
	(*out)[n] = '\0';
	*size = n;
	return 0;
}

int maildir_put(struct mortise_call *call, int fd, const char *what, const void *octets, size_t size)
{
	const char *p = octets;

	while (size > 0) {
		ssize_t n = write(fd, p, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return call->host->fault_errno(call, "%s", what);
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

int maildir_replace(
    struct mortise_call *call, struct maildir_box *b, const char *name, const char *text, size_t size)
{
	const char *temp = call->host->print(call, MORTISE_LIFE_CALL, "%s.tmp", name);
	int fd, r;

	unlinkat(b->dir, temp, 0); /* of one who died with the lock */
	fd = openat(b->dir, temp, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, b->place->file_mode);
	if (fd < 0)
		return call->host->fault_errno(call, "%s/%s", b->place->path, temp);
	r = maildir_put(call, fd, temp, text, size);
	if (r == 0 && fsync(fd) != 0)
		r = call->host->fault_errno(call, "%s/%s", b->place->path, temp);
	close(fd);
	if (r == 0 && (renameat(b->dir, temp, b->dir, name) != 0 || fsync(b->dir) != 0))
		r = call->host->fault_errno(call, "%s/%s", b->place->path, name);
	if (r != 0)
		unlinkat(b->dir, temp, 0);
	return r;
}

/* ---- entries ---- */

static size_t hash(const struct maildir_box *b, const char *name, size_t base)
{
	/* Seeded by an address: names come from outside. */
	uint64_t h = (uint64_t)(uintptr_t)b * UINT64_C(0x9e3779b97f4a7c15);
	size_t i;

	for (i = 0; i < base; i++)
		h = (h ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
	return (size_t)(h ^ h >> 29) & (b->table_size - 1);
}

static bool same_base(const struct maildir_entry *e, const char *name, size_t base)
{
	return e->base == base && memcmp(e->name, name, base) == 0;
}

static void table_put(struct maildir_box *b, size_t index)
{
	const struct maildir_entry *e = &b->entries[index];
	size_t at = hash(b, e->name, e->base);

	while (b->table[at] != 0 && !same_base(&b->entries[b->table[at] - 1], e->name, e->base))
		at = (at + 1) & (b->table_size - 1);
	b->table[at] = (uint32_t)index + 1;
}

static int table_make(struct mortise_call *call, struct maildir_box *b)
{
	size_t i;

	free(b->table);
	for (b->table_size = 64; b->table_size < b->room * 2; b->table_size *= 2)
		continue;
	b->table = calloc(b->table_size, sizeof(*b->table));
	if (b->table == NULL)
		return call->host->fault_errno(call, "%zu messages", b->count);
	for (i = 0; i < b->count; i++)
		table_put(b, i);
	return 0;
}

struct maildir_entry *maildir_by_base(const struct maildir_box *b, const char *name, size_t base)
{
	size_t at;

	if (b->table == NULL)
		return NULL;
	for (at = hash(b, name, base); b->table[at] != 0; at = (at + 1) & (b->table_size - 1))
		if (same_base(&b->entries[b->table[at] - 1], name, base))
			return &b->entries[b->table[at] - 1];
	return NULL;
}

struct maildir_entry *maildir_by_uid(const struct maildir_box *b, uint32_t uid)
{
	size_t low = 0, high = b->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (b->entries[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < b->count && b->entries[low].uid == uid ? &b->entries[low] : NULL;
}

int maildir_list_add(struct mortise_call *call, struct maildir_box *b, uint32_t uid, const char *name,
    size_t base, const char *extra, struct maildir_entry **out)
{
	struct maildir_entry *e, *more;

	if (b->count == b->room) {
		size_t room = b->room * 2 + 64;

		more = room < UINT32_MAX / 2 ? realloc(b->entries, room * sizeof(*more)) : NULL;
		if (more == NULL)
			return call->host->fault_errno(call, "%zu messages", b->count);
		b->entries = more;
		b->room = room;
		if (table_make(call, b) != 0)
			return MORTISE_E_INTERNAL;
	}
	e = &b->entries[b->count];
	*e = (struct maildir_entry){.uid = uid, .base = (uint32_t)base, .octets = MORTISE_SIZE_UNKNOWN};
	e->name = strdup(name);
	e->extra = extra != NULL && extra[0] != '\0' ? strdup(extra) : NULL;
	if (e->name == NULL)
		return call->host->fault_errno(call, "%s", name);
	table_put(b, b->count++);
	if (out != NULL)
		*out = e;
	return 0;
}

static void free_entries(struct maildir_entry *entries, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		free(entries[i].name);
		free(entries[i].extra);
	}
	free(entries);
}

void maildir_list_free(struct maildir_box *b)
{
	free_entries(b->entries, b->count);
	free(b->table);
	free(b->header);
	b->entries = NULL;
	b->table = NULL;
	b->header = NULL;
	b->count = b->room = b->table_size = 0;
}

void maildir_drop_missing(struct maildir_box *b)
{
	size_t i, kept = 0;

	for (i = 0; i < b->count; i++) {
		if (b->entries[i].present) {
			b->entries[kept++] = b->entries[i];
			continue;
		}
		free(b->entries[i].name);
		free(b->entries[i].extra);
	}
	if (kept == b->count)
		return;
	b->count = kept;
	memset(b->table, 0, b->table_size * sizeof(*b->table));
	for (i = 0; i < kept; i++)
		table_put(b, i);
}

void maildir_list_cut(struct maildir_box *b, size_t count, uint32_t uidnext)
{
	size_t i;

	for (i = 0; i < b->count; i++)
		b->entries[i].again = b->entries[i].present;
	for (i = 0; i < b->count; i++)
		b->entries[i].present = i < count;
	maildir_drop_missing(b);
	for (i = 0; i < b->count; i++)
		b->entries[i].present = b->entries[i].again;
	b->uidnext = uidnext;
}

/* ---- reading ---- */

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
	FILE *others;
	size_t size;
	char *text = NULL;
	uint32_t v = 0, n = 0;
	const char *p;

	if (word == NULL || (strcmp(word, "3") != 0 && strcmp(word, "1") != 0) ||
	    (others = open_memstream(&text, &size)) == NULL)
		return false;
	*version = word[0] - '0';
	while ((word = strtok_r(NULL, " ", &save)) != NULL) {
		p = *version == 3 ? word + 1 : word;
		if (*version == 3 ? word[0] == 'V' : v == 0)
			(void)number(&p, &v);
		else if (*version == 3 ? word[0] == 'N' : n == 0)
			(void)number(&p, &n);
		else if (*version == 3)
			fprintf(others, " %s", word);
	}
	if (fclose(others) != 0 || v == 0 || n == 0) {
		free(text);
		return false;
	}
	b->uidvalidity = v;
	b->uidnext = n;
	free(b->header);
	b->header = text;
	return true;
}

/* "UID fields :NAME", or Courier's "UID NAME". False: no line. */
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

static int parse_lines(struct mortise_call *call, struct maildir_box *b, char *text, int version)
{
	uint32_t last = 0, uid, bad = 0;
	const char *extra, *name;
	char *line, *end;
	int r = 0;

	for (line = text; r == 0 && (end = strchr(line, '\n')) != NULL; line = end + 1) {
		struct maildir_name parsed;

		*end = '\0';
		if (!parse_line(line, version, &uid, &extra, &name) || !maildir_name_parse(name, &parsed) ||
		    uid <= last) {
			bad++;
			continue;
		}
		last = uid;
		r = maildir_list_add(call, b, uid, name, parsed.base, extra, NULL);
		if (r == 0)
			r = maildir_go_on(call, b);
	}
	if (bad + (line[0] != '\0') > 0) /* a last line without its end is being written, or was cut short */
		call->host->log(call, MORTISE_LOG_WARN, "%s/" UIDLIST ": %u lines are no good, left out",
		    b->place->path, bad + (line[0] != '\0'));
	if (last >= b->uidnext)
		b->uidnext = last < UINT32_MAX ? last + 1 : UINT32_MAX;
	return r;
}

/* What was found out about files stays known. Both in order of UID. */
static void carry_over(struct maildir_box *b, struct maildir_entry *old, size_t old_count)
{
	size_t i, j = 0;

	for (i = 0; i < b->count; i++) {
		struct maildir_entry *e = &b->entries[i];
		char *name;

		while (j < old_count && old[j].uid < e->uid)
			j++;
		if (j == old_count || old[j].uid != e->uid || !same_base(&old[j], e->name, e->base))
			continue;
		e->present = old[j].present;
		e->in_new = old[j].in_new;
		e->known = old[j].known;
		e->date = old[j].date;
		e->zone = old[j].zone;
		e->octets = old[j].octets;
		name = e->name;
		e->name = old[j].name;
		old[j].name = name;
	}
}

/* UIDVALIDITY of a maildir without a list: all who open it before there is one shall say the same. */
static uint32_t first_uidvalidity(const struct maildir_box *b, bool damaged)
{
	struct maildir_print cur = maildir_print(b->cur, "");
	int64_t seconds = damaged ? time(NULL) : cur.mtime / 1000000000;

	return seconds > 0 && seconds < UINT32_MAX ? (uint32_t)seconds : 1;
}

static int load_text(struct mortise_call *call, struct maildir_box *b, const char *file, bool *found)
{
	char *text, *end;
	int version = 0, r;
	size_t size;

	r = maildir_read_file(call, b->dir, file, b->options->list_limit, &text, &size);
	if (r != 0 || text == NULL)
		return r;
	*found = true;
	end = memchr(text, '\n', size);
	if (end != NULL) {
		*end = '\0';
		b->list_read = memchr(text, '\0', size) == end && parse_header(b, text, &version);
	}
	if (b->list_read)
		r = parse_lines(call, b, end + 1, version);
	free(text);
	return r;
}

int maildir_list_load(struct mortise_call *call, struct maildir_box *b)
{
	struct maildir_print now = maildir_print(b->dir, UIDLIST);
	struct maildir_entry *old = b->entries;
	size_t old_count = b->count;
	bool found = false, first = b->uidvalidity == 0;
	int r;

	if (b->list_read && maildir_print_same(&now, &b->list_print))
		return 0;
	if (!b->list_read && now.mtime == 0 && !first)
		return 0; /* still none; a Courier list was read then */
	b->entries = NULL;
	b->count = b->room = 0;
	b->list_read = false;
	r = load_text(call, b, UIDLIST, &found);
	if (r == 0 && !found)
		r = load_text(call, b, COURIER_LIST, &found);
	if (r == 0 && !b->list_read) {
		if (found)
			call->host->log(call, MORTISE_LOG_WARN,
			    "%s/" UIDLIST " cannot be read: all messages get new UIDs", b->place->path);
		if (found || first) {
			b->uidvalidity = first_uidvalidity(b, found);
			b->uidnext = 1;
		}
	}
	if (b->count == 0) {
		free(b->table);
		b->table = NULL;
		b->table_size = 0;
	}
	if (r == 0)
		carry_over(b, old, old_count);
	free_entries(old, old_count);
	b->list_print = now;
	return r;
}

/* ---- writing ---- */

int maildir_list_save(struct mortise_call *call, struct maildir_box *b)
{
	char *text = NULL;
	size_t size = 0, i;
	FILE *out = open_memstream(&text, &size);
	uint64_t guid[2];
	int r;

	if (out == NULL)
		return call->host->fault_errno(call, UIDLIST);
	fprintf(out, "3 V%" PRIu32 " N%" PRIu32, b->uidvalidity, b->uidnext);
	if (b->header == NULL || b->header[0] == '\0') {
		call->host->random(call, guid, sizeof(guid));
		free(b->header);
		if (asprintf(&b->header, " G%016" PRIx64 "%016" PRIx64, guid[0], guid[1]) < 0)
			b->header = NULL;
	}
	fprintf(out, "%s\n", b->header != NULL ? b->header : "");
	for (i = 0; i < b->count; i++) {
		const struct maildir_entry *e = &b->entries[i];

		fprintf(out, "%" PRIu32 "%s :%s\n", e->uid, e->extra != NULL ? e->extra : "", e->name);
	}
	if (fclose(out) != 0) {
		free(text);
		return call->host->fault_errno(call, UIDLIST);
	}
	r = maildir_replace(call, b, UIDLIST, text, size);
	free(text);
	if (r == 0) {
		b->list_print = maildir_print(b->dir, UIDLIST);
		b->list_read = true;
	}
	return r;
}
