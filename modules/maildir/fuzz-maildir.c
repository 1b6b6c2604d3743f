/*
 * fuzz-maildir.c: any octets as a file's name, a locator, dovecot-uidlist, dovecot-keywords and Courier's
 * list.
 *
 * The first octet chooses. Checked beside memory: a name keeps its base and gets the flags that were given; a
 * locator is the name it was made from; UIDs of a list rise and UIDNEXT is above them; a list that was read
 * in two pieces is the one that is read at once; one that was written is read as it was.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

/* ---- a host ---- */

static void host_log(struct mortise_call *call, int level, const char *format, ...)
{
	(void)call;
	(void)level;
	(void)format;
}

static int host_fail(struct mortise_call *call, int code, const char *format, ...)
{
	(void)call;
	(void)format;
	return code;
}

static int host_fault_errno(struct mortise_call *call, const char *format, ...)
{
	(void)call;
	(void)format;
	return MORTISE_E_IO;
}

static char *host_print(struct mortise_call *call, int life, const char *format, ...) MORTISE_PRINTF(3, 4);
static char *host_print(struct mortise_call *call, int life, const char *format, ...)
{
	static char text[4][512];
	static unsigned turn;
	va_list ap;

	(void)call;
	(void)life;
	turn = (turn + 1) % 4;
	va_start(ap, format);
	vsnprintf(text[turn], sizeof(text[turn]), format, ap);
	va_end(ap);
	return text[turn];
}

static uint64_t host_now(struct mortise_call *call)
{
	(void)call;
	return 1;
}

static int host_should_stop(struct mortise_call *call)
{
	(void)call;
	return 0;
}

static void host_random(struct mortise_call *call, void *p, size_t size)
{
	(void)call;
	memset(p, 7, size);
}

static const struct mortise_host host = {.size = sizeof(host),
    .log = host_log,
    .fail = host_fail,
    .fault = host_fail,
    .fault_errno = host_fault_errno,
    .print = host_print,
    .now = host_now,
    .should_stop = host_should_stop,
    .random = host_random};
static struct mortise_call call = {.size = sizeof(call), .host = &host};

/* ---- a maildir ---- */

static const struct maildir_options options = {
    .message_limit = 10000, .list_limit = 1 << 20, .dotlock_stale = 300000};
static const struct mortise_place place = {
    .size = sizeof(place), .path = "box", .file_mode = 0600, .dir_mode = 0700};
static char folder[64];

static void remove_folder(void)
{
	static const char *const names[] = {
	    "cur", "new", "tmp", UIDLIST, KEYWORDS, "courierimapkeywords/:list", "courierimapkeywords", ""};
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		remove(path);
	}
}

static int open_folder(void)
{
	int dir;

	if (folder[0] == '\0') {
		snprintf(folder, sizeof(folder), "%s/mortise-fuzz-XXXXXX",
		    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
		must(mkdtemp(folder) != NULL);
		atexit(remove_folder);
		dir = open(folder, O_RDONLY | O_DIRECTORY);
		must(dir >= 0 && mkdirat(dir, "cur", 0700) == 0 && mkdirat(dir, "new", 0700) == 0 &&
		     mkdirat(dir, "courierimapkeywords", 0700) == 0);
		return dir;
	}
	dir = open(folder, O_RDONLY | O_DIRECTORY);
	must(dir >= 0);
	return dir;
}

static void put(int dir, const char *name, const void *octets, size_t size, int flags)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | flags, 0600);

	must(fd >= 0 && write(fd, octets, size) == (ssize_t)size);
	close(fd);
}

static struct maildir_box open_box(int dir)
{
	return (struct maildir_box){.options = &options,
	    .place = &place,
	    .dir = dir,
	    .tmp = -1,
	    .fd = -1,
	    .part = {{.fd = -1}, {.fd = -1}},
	    .mode = MORTISE_LOCK_EXCLUSIVE};
}

static void close_box(struct maildir_box *b)
{
	int p;

	for (p = 0; p < PARTS; p++)
		if (b->part[p].fd >= 0)
			close(b->part[p].fd);
	maildir_entries_free(b);
	maildir_keywords_free(b);
	free(b->header);
}

static void check_list(const struct maildir_box *b)
{
	size_t i;

	for (i = 0; i < b->count; i++) {
		const struct maildir_entry *e = &b->entries[i];

		must(e->uid > 0 && (i == 0 || e->uid > b->entries[i - 1].uid));
		must(e->uid < b->uidnext || e->uid == UINT32_MAX);
		must(e->base > 0 && maildir_name_base(e->name) == e->base);
		must(maildir_by_uid(b, e->uid) == e && maildir_by_base(b, e->name, e->base) != NULL);
	}
	must(maildir_by_uid(b, 0) == NULL);
}

static void same_lists(const struct maildir_box *a, const struct maildir_box *b)
{
	size_t i;

	must(a->count == b->count && a->uidvalidity == b->uidvalidity && a->uidnext == b->uidnext);
	for (i = 0; i < a->count; i++)
		must(a->entries[i].uid == b->entries[i].uid &&
		     strcmp(a->entries[i].name, b->entries[i].name) == 0 &&
		     strcmp(a->entries[i].extra, b->entries[i].extra) == 0);
}

static void fuzz_list(const uint8_t *data, size_t size)
{
	size_t cut = size > 0 ? data[0] % size : 0, i;
	int dir = open_folder();
	struct maildir_box pieces = open_box(dir), whole = open_box(dir), again = open_box(dir);

	put(dir, UIDLIST, data, cut, O_TRUNC);
	must(maildir_list_load(&call, &pieces) == 0);
	check_list(&pieces);
	put(dir, UIDLIST, data + cut, size - cut, O_APPEND);
	must(maildir_list_load(&call, &pieces) == 0 && maildir_list_load(&call, &whole) == 0);
	check_list(&pieces);
	check_list(&whole);
	if (whole.list_read)
		same_lists(&pieces, &whole);
	for (i = 0; i < whole.count; i++)
		whole.entries[i].present = true;
	must(maildir_list_save(&call, &whole) == 0 && maildir_list_load(&call, &again) == 0);
	check_list(&again);
	must(again.list_read && !again.list_damaged);
	same_lists(&whole, &again);
	close_box(&pieces);
	close_box(&whole);
	close_box(&again);
	unlinkat(dir, UIDLIST, 0);
	close(dir);
}

static void fuzz_keywords(const uint8_t *data, size_t size, bool courier)
{
	int dir = open_folder();
	struct maildir_box b = open_box(dir);
	unsigned bit;
	int i;

	if (courier) {
		put(dir, "courierimapkeywords/:list", data, size, O_TRUNC);
		must(maildir_import_keywords(&call, &b) == 0);
	} else {
		put(dir, KEYWORDS, data, size, O_TRUNC);
	}
	must(maildir_keywords_load(&call, &b) == 0);
	for (i = 0; i < LETTERS; i++)
		must(b.keywords.names[i] == NULL || maildir_letter_of(&b, b.keywords.names[i]) == i);
	must(maildir_letters(&b) >> LETTERS == 0);
	if (maildir_keyword_add(&call, &b, "fuzz", &bit) == 0)
		must(bit < LETTERS && maildir_letter_of(&b, "fuzz") == (int)bit);
	close_box(&b);
	unlinkat(dir, KEYWORDS, 0);
	unlinkat(dir, "courierimapkeywords/:list", 0);
	close(dir);
}

/* ---- names ---- */

static void fuzz_name(const char *name, uint32_t flags, uint32_t letters)
{
	struct maildir_name before, after;
	char to[NAME_MAX + 1];

	(void)maildir_name_time(name);
	if (!maildir_name_parse(name, &before) || !maildir_name_make(name, flags, letters, to))
		return;
	must(maildir_name_parse(to, &after));
	must(after.base == before.base && memcmp(name, to, before.base) == 0);
	must(after.flags == flags && after.letters == letters);
	must(after.size == before.size && after.wire == before.wire);
}

static void fuzz_locator(const uint8_t *data, size_t size)
{
	unsigned char locator[MORTISE_LOCATOR_MAX];
	struct maildir_file f, again;
	size_t n;

	if (!maildir_locator_read(data, size, &f))
		return;
	must(strchr(f.name, '/') == NULL && f.name[0] != '.');
	n = maildir_locator_make(f.in_new, f.name, locator);
	if (n > 0)
		must(maildir_locator_read(locator, n, &again) && strcmp(f.name, again.name) == 0 &&
		     f.in_new == again.in_new);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *name;

	if (size < 3)
		return 0;
	switch (data[0]) {
	case 'n':
		name = strndup((const char *)data + 3, size - 3);
		must(name != NULL);
		fuzz_name(name, data[1] & MORTISE_FLAGS_SYSTEM, data[2] * 0x10101u & ((1u << LETTERS) - 1));
		free(name);
		break;
	case 'l':
		fuzz_locator(data + 1, size - 1);
		break;
	case 'u':
		fuzz_list(data + 1, size - 1);
		break;
	case 'k':
	case 'c':
		fuzz_keywords(data + 1, size - 1, data[0] == 'c');
		break;
	default:
		break;
	}
	return 0;
}
