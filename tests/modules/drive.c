/*
 * drive: takes a driver module through a mailbox's life, without the engine: drive FILE.so DIR. Text is
 * checked octet by octet, UIDs by their rules. For drivers with UIDs of their own. TAP.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mortise/driver.h>

#include "base/clock.h"
#include "base/io.h"
#include "log/log.h"
#include "module/module.h"
#include "base/banned.h"

#define MAX 32

static unsigned number, failed;
static const struct mortise_driver_ops *ops;
static struct instance *inst;
static struct call_env env = {.journal_dir = -1};
static struct mortise_place place = {
    .size = sizeof(place), .path = "sub/box", .name = "box", .file_mode = 0600, .dir_mode = 0700};

static bool ok(bool good, const char *what)
{
	number++;
	if (!good)
		failed++;
	printf("%s %u - %s\n", good ? "ok" : "not ok", number, what);
	return good;
}

/* One call, with whatever text it gave when it failed. */
#define CALL(op, ...)                                                     \
	({                                                                \
		struct call c_;                                           \
		struct err e_ = ERR_INIT;                                 \
		int r_;                                                   \
		call_begin(&c_, inst, &env, #op);                         \
		r_ = call_end(&c_, ops->op(&c_.pub, ##__VA_ARGS__), &e_); \
		if (e_.code != 0)                                         \
			printf("# %s\n", e_.admin);                       \
		r_;                                                       \
	})

#define CALL_VOID(op, ...)                        \
	do {                                      \
		struct call c_;                   \
		struct err e_ = ERR_INIT;         \
		call_begin(&c_, inst, &env, #op); \
		ops->op(&c_.pub, ##__VA_ARGS__);  \
		(void)call_end(&c_, 0, &e_);      \
	} while (0)

struct heard {
	struct mortise_message m[MAX];
	size_t n;
	uint32_t uidnext, uidvalidity;
};

static int full_scan(void *engine, uint32_t uidvalidity)
{
	struct heard *h = engine;

	h->n = 0;
	h->uidvalidity = uidvalidity;
	return 0;
}

static int keywords(void *engine, const char *const *names, size_t count)
{
	(void)engine, (void)names, (void)count;
	return 0;
}

static int added(void *engine, const struct mortise_message *m)
{
	struct heard *h = engine;

	if (h->n == MAX || (h->n > 0 && h->m[h->n - 1].uid >= m->uid))
		return MORTISE_E_INTERNAL;
	h->m[h->n++] = *m;
	return 0;
}

static int changed(void *engine, const struct mortise_message *m)
{
	struct heard *h = engine;

	for (size_t i = 0; i < h->n; i++)
		if (h->m[i].uid == m->uid)
			h->m[i] = *m;
	return 0;
}

static int vanished(void *engine, uint32_t uid)
{
	struct heard *h = engine;

	for (size_t i = 0; i < h->n; i++)
		if (h->m[i].uid == uid)
			memmove(&h->m[i], &h->m[i + 1], (--h->n - i) * sizeof(h->m[0]));
	return 0;
}

static int uidnext(void *engine, uint32_t next)
{
	((struct heard *)engine)->uidnext = next;
	return 0;
}

static int sync_box(void *box, struct mortise_cursor *cursor, struct heard *h)
{
	const struct mortise_sink sink = {.size = sizeof(sink),
	    .engine = h,
	    .full_scan = full_scan,
	    .keywords = keywords,
	    .added = added,
	    .changed = changed,
	    .vanished = vanished,
	    .uidnext = uidnext};

	return CALL(sync, box, cursor, &sink);
}

static void *open_box(void)
{
	struct mortise_box_info info = {.size = sizeof(info)};
	void *box = NULL;

	return CALL(open, &place, 0, &info, &box) == 0 ? box : NULL;
}

static int append(
    void *box, const char *const *texts, size_t count, uint32_t flags, uint32_t *uids, bool commit)
{
	uint32_t uidvalidity = 0;
	void *tx = NULL;
	int r = CALL(append_begin, box, &tx);

	for (size_t i = 0; i < count && r == 0; i++) {
		const struct mortise_append_info info = {.size = sizeof(info),
		    .flags = flags,
		    .internal_date = 1000000000,
		    .octets = strlen(texts[i])};
		size_t half = strlen(texts[i]) / 2;

		r = CALL(append_message, tx, &info);
		if (r == 0)
			r = CALL(append_write, tx, texts[i], half);
		if (r == 0)
			r = CALL(append_write, tx, texts[i] + half, strlen(texts[i]) - half);
	}
	if (r == 0 && commit)
		return CALL(append_commit, tx, &uidvalidity, uids, count);
	CALL_VOID(append_abort, tx);
	return r;
}

/* Stored with LF, wanted with CRLF. */
static bool same_lines(const char *stored, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (stored[i] == '\n' && *text == '\r')
			text++;
		if (*text != stored[i] || *text++ == '\0')
			return false;
	}
	return *text == '\0';
}

static bool text_is(void *box, uint32_t uid, const char *text)
{
	const struct mortise_ref ref = {.uid = uid};
	struct mortise_source s = {.size = sizeof(s), .fd = -1};
	char now[512];
	size_t n = 0;

	if (CALL(read, box, &ref, &s) != 0 || s.fd < 0)
		return false;
	for (size_t i = 0; i < s.extent_count; i++) {
		if (s.extents[i].length > sizeof(now) - n)
			return false;
		n += (size_t)io_pread(s.fd, now + n, s.extents[i].length, s.extents[i].offset);
	}
	return s.newline == MORTISE_NEWLINE_LF ? same_lines(now, n, text)
	                                       : n == strlen(text) && memcmp(now, text, n) == 0;
}

static const char *const texts[] = {
    "Subject: one\r\n\r\nFirst.\r\n", "Subject: two\r\n\r\nSecond,\r\nlonger.\r\n", "\r\n"};

static int recognise(void)
{
	int fd = openat(place.root, place.path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	struct mortise_probe probe = {.size = sizeof(probe), .place = &place, .fd = fd, .st = &st};
	int r;

	if (fd < 0 || fstat(fd, &st) != 0)
		return -1;
	r = CALL(recognise, &probe);
	close(fd);
	return r;
}

static void life(void)
{
	struct heard h = {.n = 0}, h2 = {.n = 0};
	struct mortise_cursor cursor = {.size = 0}, cursor2 = {.size = 0};
	struct mortise_flag_change change = {.flags = MORTISE_FLAG_SEEN | MORTISE_FLAG_FLAGGED};
	uint32_t uids[3] = {0}, first;
	void *box, *other;

	mkdirat(place.root, "sub", 0700);
	ok(recognise() != MORTISE_MINE, "what is not there is not its mailbox");
	mkdirat(place.root, "sub/box", 0700);
	ok(recognise() == MORTISE_NOT_MINE, "an empty directory is not its mailbox");
	unlinkat(place.root, "sub/box", AT_REMOVEDIR);
	ok(CALL(create, &place) == 0, "create");
	ok(CALL(create, &place) == MORTISE_E_EXISTS, "create again: EXISTS");
	ok(recognise() == MORTISE_MINE, "recognise");
	box = open_box();
	other = open_box();
	if (!ok(box != NULL && other != NULL, "open, twice"))
		return;
	ok(sync_box(box, &cursor, &h) == 0 && h.n == 0 && h.uidvalidity != 0, "sync of an empty mailbox");
	ok(append(box, texts, 3, MORTISE_FLAG_SEEN, uids, true) == 0, "append three");
	ok(uids[0] > 0 && uids[1] == uids[0] + 1 && uids[2] == uids[0] + 2, "UIDs rise");
	first = uids[0];
	ok(append(box, texts, 2, 0, uids, false) == 0, "append, and abort");
	ok(sync_box(box, &cursor, &h) == 0 && h.n == 3 && h.uidnext == first + 3, "sync: three messages");
	ok(h.m[0].uid == first && h.m[0].flags == MORTISE_FLAG_SEEN && h.m[0].internal_date == 1000000000 &&
	        h.m[0].octets == strlen(texts[0]),
	    "UID, flags, date and size are those of the append");
	ok(text_is(box, first, texts[0]) && text_is(box, first + 1, texts[1]) &&
	        text_is(box, first + 2, texts[2]),
	    "read");
	ok(sync_box(other, &cursor2, &h2) == 0 && h2.n == 3, "the other session sees them");
	ok(CALL(lock, box, MORTISE_LOCK_EXCLUSIVE, clock_ms() + 1000) == 0, "lock");
	ok(CALL(lock, other, MORTISE_LOCK_EXCLUSIVE, clock_ms() + 50) == MORTISE_E_INUSE, "locked: INUSE");
	change.ref.uid = first + 1;
	ok(CALL(set_flags, box, &change, 1) == 0, "set flags");
	ok(CALL(expunge, box, &(struct mortise_ref){.uid = first}, 1) == 0, "expunge");
	ok(CALL(expunge, box, &(struct mortise_ref){.uid = first}, 1) == 0, "expunge again: nothing to do");
	ok(CALL(lock, box, MORTISE_LOCK_NONE, 0) == 0, "unlock");
	ok(CALL(read, other, &(struct mortise_ref){.uid = first}, &(struct mortise_source){.fd = -1}) ==
	        MORTISE_E_EXPUNGED,
	    "the other session reads what is gone: EXPUNGED");
	ok(text_is(other, first + 1, texts[1]), "and what was changed");
	ok(sync_box(other, &cursor2, &h2) == 0 && h2.n == 2 && h2.m[0].uid == first + 1 &&
	        h2.m[0].flags == change.flags,
	    "and syncs");
	CALL_VOID(close, box);
	box = open_box();
	ok(box != NULL && append(box, texts, 1, 0, uids, true) == 0 && uids[0] == first + 3,
	    "UIDs go on after close and open");
	ok(append(box, texts, 3, 0, uids, true) == 0, "append more");
	ok(CALL(expunge, box, &(struct mortise_ref){.uid = first + 6}, 1) == 0, "expunge the last");
	ok(append(box, texts, 1, 0, uids, true) == 0 && uids[0] == first + 7,
	    "the last UID is not used again");
	CALL_VOID(close, box);
	CALL_VOID(close, other);
	if (ops->remove == NULL)
		return;
	ok(CALL(remove, &place) == 0, "remove");
	ok(faccessat(place.root, place.path, F_OK, 0) != 0, "it is gone");
}

int main(int argc, char **argv)
{
	const uint32_t kinds[] = {MORTISE_KIND_DRIVER};
	const struct module_options o = {.path = "/nonexistent", .probe_timeout = 20000};
	struct arena *a = arena_new("drive"), *box = arena_new("box");
	struct conf_report *r = conf_report_new(a);
	struct instance *const *list;
	struct registry *g;
	struct conf *c;
	size_t count;

	if (argc != 3)
		return 99;
	c = conf_parse(
	    str_of(arena_printf(a, "drivers = ( { type = \"%s\"; name = \"driven\"; } );\n", argv[1])),
	    "drive", r);
	log_set_level((enum log_level)0);
	g = registry_load(c, &o, kinds, 1, true, r);
	list = registry_instances(g, MORTISE_KIND_DRIVER, &count);
	conf_report_print(r, stderr);
	if (!ok(count == 1, "is loaded"))
		return 1;
	inst = list[0];
	ops = inst->ops;
	env.box = box;
	place.lock_timeout = 1000;
	place.root = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	life();
	close(place.root);
	registry_free(&g);
	conf_free(&c);
	arena_free(&box);
	arena_free(&a);
	printf("1..%u\n", number);
	return failed == 0 ? 0 : 1;
}
