/*
 * crash.c: no crash at any call, and no failing call, loses mail.
 *
 * Each scenario is one operation on a small mailbox. It is run whole once, which gives the mailbox after it.
 * Then it is repeated in a child process with one fault (faults.h) at the first call that changes a file, the
 * second, … until it ends without meeting one. After each the mailbox is opened as any session would open it,
 * and what is there is compared with what was before and what is after:
 *
 *     it opens by itself, within the lock timeout                              I1, I10
 *     an operation that was acknowledged is there, message by message          I2, I5, I7
 *     one that was not is there whole or not at all (an expunge: for each message)   I3
 *     every other message has its UID, text and date as before                 I4, U1, U4
 *     each message's flags are the old or the new                              I7
 *     UIDVALIDITY is the same, UIDNEXT above all UIDs that were seen           U2, U3
 *     no lock, journal or file of ours is left beside it; owner and mode are   I10, I14
 *     opening it again shows the same and changes nothing                      I15
 *     a message appended then gets a higher UID and everything else stays      U1
 *
 * Power loss: the calls of the whole run are recorded, and states are built in which what was not synced is
 * there, not there, there in part, or torn between sectors of 512 octets. They are checked in the same way.
 *
 *     crash [SCENARIO]       one only
 *     MORTISE_CRASH_RANDOM   random states a crash point (8)
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"
#include "store/driver.h"

extern const struct mortise_module unix_LTX_mortise_module;

#define MESSAGES 64
#define FILES 256
#define HEAD "From a@b Mon Jan  1 10:00:00 2024 +0000\n"

static struct {
	char home[64];
	struct arena *arena;
	struct store_options options;
	struct instance *driver;
	unsigned seed;
} w;

static unsigned results, failures, faults_met, states, operations;
static const char *scenario_name, *fault_text;

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void fail(const char *format, ...)
{
	va_list ap;

	failures++;
	printf("# %s, %s: ", scenario_name, fault_text);
	va_start(ap, format);
	vprintf(format, ap);
	va_end(ap);
	printf("\n");
}

static void must(int r, const struct err *e, const char *what)
{
	if (r >= 0 && e->code == 0)
		return;
	fprintf(stderr, "crash: %s: %d %s %s\n", what, r, e->admin, e->client);
	abort();
}

/* ---- a store in a folder of its own ---- */

static const char *path_of(const char *name)
{
	static char out[2][256];
	static unsigned turn;

	turn = !turn;
	snprintf(out[turn], sizeof out[turn], "%.60s/%.180s", w.home, name);
	return out[turn];
}

static void world_make(void)
{
	static const char *const places[] = {"%h/INBOX"};
	struct err e = ERR_INIT;

	/* Where syncing costs nothing: what it does is not tested here, only that it is asked for. */
	snprintf(w.home, sizeof w.home, "%s/mortise-crash-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(w.home) == NULL)
		abort();
	w.arena = arena_new("crash");
	w.driver = instance_builtin(w.arena, &unix_LTX_mortise_module, "unix");
	for (size_t i = 0; i < unix_LTX_mortise_module.option_count; i++)
		if (strcmp(unix_LTX_mortise_module.options[i].name, "session_directory") == 0)
			must(conf_set(&unix_LTX_mortise_module.options[i],
			         (void *)(uintptr_t)w.driver->pub.options, str_of(w.home), w.arena, &e),
			    &e, "option");
	for (size_t i = 0; i < store_conf_group.count; i++)
		must(conf_set(&store_conf_group.options[i], &w.options,
		         str_of(store_conf_group.options[i].fallback), w.arena, &e),
		    &e, "option");
	w.options.inbox = (struct mortise_list){places, 1};
	w.options.default_driver = "unix";
	w.options.lock_timeout = 1000;
}

static struct store *world_store(void)
{
	const struct store_user u = {.name = "fred", .home = w.home, .uid = getuid()};
	struct err e = ERR_INIT;
	struct store *s;

	must(store_open_drivers(&w.options, &u, &w.driver, 1, &s, &e), &e, "store");
	return s;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return strcmp(path, w.home) == 0 ? 0 : remove(path);
}

static void world_empty(void)
{
	nftw(w.home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	mkdir(path_of("mail"), 0700);
}

static void put_file(const char *name, const char *data, size_t size)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

/* ---- a mailbox file and its state, kept and put back ---- */

struct kept {
	char *data[2];
	size_t size[2];
};
static const char *const boxes[2] = {"mail/box", "mail/other"};

static char *slurp(const char *name, size_t *size)
{
	int fd = open(path_of(name), O_RDONLY);
	struct stat st;
	char *p;

	*size = 0;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) != 0)
		abort();
	p = malloc((size_t)st.st_size + 1);
	if (read(fd, p, (size_t)st.st_size) != st.st_size)
		abort();
	close(fd);
	*size = (size_t)st.st_size;
	return p;
}

static void keep(struct kept *k)
{
	for (size_t i = 0; i < 2; i++)
		k->data[i] = slurp(boxes[i], &k->size[i]);
}

static void kept_free(struct kept *k)
{
	free(k->data[0]);
	free(k->data[1]);
}

static void clean_folder(const char *name, bool boxes_too)
{
	DIR *d = opendir(path_of(name));
	struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.' &&
		    (boxes_too || (strcmp(entry->d_name, "box") != 0 && strcmp(entry->d_name, "other") != 0)))
			unlinkat(dirfd(d), entry->d_name, 0);
	if (d != NULL)
		closedir(d);
}

/* The same files (not others of that name) with the old octets, and nothing beside them. */
static void restore(const struct kept *k)
{
	clean_folder("mail", false);
	clean_folder(".mortise/journals", true);
	for (size_t i = 0; i < 2; i++)
		if (k->data[i] != NULL)
			put_file(boxes[i], k->data[i], k->size[i]);
}

/* ---- what a session sees ---- */

struct seen_message {
	uint32_t uid, flags;
	char keywords[512];
	int64_t date;
	size_t size;
	char *text;
};

struct seen {
	uint32_t uidvalidity, uidnext;
	size_t count;
	struct seen_message m[MESSAGES];
	struct stat st;
};

static void seen_free(struct seen *s)
{
	for (size_t i = 0; i < s->count; i++)
		free(s->m[i].text);
	memset(s, 0, sizeof *s);
}

static int read_message(struct mailbox *m, const struct message *msg, struct seen_message *out)
{
	struct arena *a = arena_new("message");
	struct err e = ERR_INIT;
	struct source *src;
	uint64_t size = 0;
	struct str text = {0};

	out->uid = msg->uid;
	out->flags = msg->flags;
	out->date = msg->internal_date;
	out->keywords[0] = '\0';
	for (size_t i = 0; i < mailbox_keyword_count(m); i++)
		if (msg->keywords >> i & 1) {
			size_t n = strlen(out->keywords);

			snprintf(out->keywords + n, sizeof out->keywords - n, "%s ", mailbox_keyword(m, i));
		}
	if (mailbox_read(m, msg, &src, &e) == 0) {
		if (source_size(src, &size, &e) == 0)
			source_read(src, 0, size, 1u << 30, a, &text, &e);
		source_close(&src);
	}
	out->text = malloc(text.n + 1);
	memcpy(out->text, text.n > 0 ? text.p : "", text.n);
	out->text[text.n] = '\0';
	out->size = text.n;
	if (e.code != 0)
		fail("UID %u cannot be read: %s", msg->uid, e.admin);
	arena_free(&a);
	return e.code;
}

/* The mailbox as a new session sees it, all of it; false when it does not open. */
static bool look(const char *name, unsigned flags, struct seen *out)
{
	struct store *s = world_store();
	struct err e = ERR_INIT;
	struct mailbox *m = NULL;
	struct view *v = NULL;

	memset(out, 0, sizeof *out);
	if (mailbox_open(s, name, flags, &m, &e) == 0 && view_open(m, &v, &e) == 0) {
		out->uidvalidity = mailbox_uidvalidity(m);
		out->uidnext = mailbox_uidnext(m);
		for (uint32_t i = 1; i <= view_count(v) && out->count < MESSAGES; i++)
			read_message(m, view_message(v, i), &out->m[out->count++]);
		view_close(&v);
	}
	if (e.code != 0)
		fail("%s does not open: %s %s", name, e.admin, e.client);
	mailbox_close(&m);
	store_close(&s);
	stat(path_of(strcmp(name, "box") == 0 ? boxes[0] : boxes[1]), &out->st);
	return e.code == 0;
}

static const struct seen_message *by_uid(const struct seen *s, uint32_t uid)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->m[i].uid == uid)
			return &s->m[i];
	return NULL;
}

static bool same_text(const struct seen_message *a, const struct seen_message *b)
{
	return a->size == b->size && memcmp(a->text, b->text, a->size) == 0 && a->date == b->date;
}

static bool same_flags(const struct seen_message *a, const struct seen_message *b)
{
	return a->flags == b->flags && strcmp(a->keywords, b->keywords) == 0;
}

/* ---- operations ---- */

static void append_to(struct store *s, const char *name, const char *const *texts, size_t count,
    uint32_t flags, const char *keyword, struct err *e)
{
	struct str words[1] = {str_of(keyword != NULL ? keyword : "")};
	uint32_t uidvalidity, *uids;
	struct append *a;
	size_t n;

	if (append_begin(s, name, &a, e) != 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (append_message(a, flags, words, keyword != NULL, 1704446430 + (int64_t)i, 60,
		        strlen(texts[i]), e) != 0 ||
		    append_write(a, str_of(texts[i]), e) != 0) {
			append_abort(&a);
			return;
		}
	if (append_commit(&a, &uidvalidity, w.arena, &uids, &n, e) == 0)
		shared->uidvalidity = uidvalidity;
}

static const char *text_of(const char *subject, size_t size)
{
	char *p = arena_alloc(w.arena, size + 200);
	size_t n = (size_t)snprintf(p, 200, "Subject: %s\r\nFrom: x@example.org\r\n\r\n", subject);

	while (n < size)
		n += (size_t)snprintf(p + n, 100, "%s line at %zu, which says nothing else\r\n", subject, n);
	return p;
}

static struct mailbox *open_box(struct store *s, struct err *e)
{
	struct mailbox *m;

	mailbox_open(s, "box", 0, &m, e);
	return m;
}

static void flag(struct store *s, const char *uids, enum flag_mode mode, uint32_t flags, const char *keyword,
    struct err *e)
{
	struct str words[1] = {str_of(keyword != NULL ? keyword : "")};
	struct mailbox *m = open_box(s, e);
	struct number_set set;

	set_parse(w.arena, str_of(uids), UINT32_MAX, &set);
	if (m != NULL)
		mailbox_store_flags(m, &set, mode, flags, words, keyword != NULL, NULL, e);
	mailbox_close(&m);
}

static void expunge(struct store *s, struct err *e)
{
	struct mailbox *m = open_box(s, e);
	uint32_t count;

	if (m != NULL)
		mailbox_expunge(m, NULL, &count, e);
	mailbox_close(&m);
}

static void copy(struct store *s, const char *uids, const char *to, struct err *e)
{
	struct mailbox *m = open_box(s, e);
	struct copy_result out;
	struct number_set set;

	set_parse(w.arena, str_of(uids), UINT32_MAX, &set);
	if (m != NULL)
		mailbox_copy(m, &set, to, w.arena, &out, e);
	mailbox_close(&m);
}

/* ---- mailboxes to begin with ---- */

static const char long_words[] = "a-long-keyword-that-fills-the-block-of-its-message";

static void fill_box(bool pseudo, size_t count, size_t size)
{
	struct err e = ERR_INIT;
	struct store *s = world_store();

	if (pseudo)
		must(store_create(s, "box", &e), &e, "create");
	else
		put_file("mail/box", "", 0);
	for (size_t i = 0; i < count; i++) {
		const char *text = text_of(arena_printf(w.arena, "message %zu", i + 1), size);

		append_to(s, "box", &text, 1, i % 2 ? MORTISE_FLAG_SEEN : 0, i == 1 ? "red" : NULL, &e);
	}
	store_close(&s);
	must(0, &e, "fill");
}

static void start_pseudo(void)
{
	fill_box(true, 4, 300);
}

static void start_base(void)
{
	fill_box(false, 4, 300);
}

static void start_big(void)
{
	fill_box(true, 5, 9000);
}

static void start_empty(void)
{
	put_file("mail/box", "", 0);
}

static void start_created(void)
{
	fill_box(true, 0, 0);
}

static void start_delivered(void)
{
	static const char text[] =
	    HEAD "Received: by x\nSubject: one\n\nbody one\n\n" HEAD
	         "Received: by x\nSubject: two\nX-UID: 77\nStatus: RO\n\nbody two\n\n" HEAD
	         "Received: by x\nSubject: three\n\nbody three\n\n";

	put_file("mail/box", text, sizeof text - 1);
}

static void add_delivered(const char *text)
{
	int fd = open(path_of("mail/box"), O_WRONLY | O_APPEND);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	close(fd);
}

static void start_more_delivered(void)
{
	start_pseudo();
	add_delivered(HEAD "Received: by x\nSubject: new\n\nnew body\n\n" HEAD
	                   "Received: by y\nSubject: newer\n\nnewer body\n\n");
}

static void start_unfinished(void)
{
	start_pseudo();
	add_delivered(HEAD "Received: by x\nSubject: new\n\nbody without its end");
}

static void mark(const char *uids, uint32_t flags)
{
	struct err e = ERR_INIT;
	struct store *s = world_store();

	flag(s, uids, FLAGS_ADD, flags, NULL, &e);
	store_close(&s);
	must(0, &e, "mark");
}

static void start_doomed_first(void)
{
	start_base();
	mark("1", MORTISE_FLAG_DELETED);
}

static void start_doomed_middle(void)
{
	start_base();
	mark("2:3", MORTISE_FLAG_DELETED);
}

static void start_doomed_last(void)
{
	start_base();
	mark("4", MORTISE_FLAG_DELETED);
}

static void start_doomed_all(void)
{
	start_base();
	mark("1:4", MORTISE_FLAG_DELETED);
}

static void start_doomed_pseudo(void)
{
	start_big();
	mark("1,3,5", MORTISE_FLAG_DELETED);
}

static void start_doomed_pseudo_all(void)
{
	start_pseudo();
	mark("1:4", MORTISE_FLAG_DELETED);
}

/* Expunged and still in the file, because somebody has it locked when the session ends. */
static void start_marked(void (*start)(void))
{
	struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct err e = ERR_INIT;
	struct store *s;
	struct mailbox *m;
	uint32_t count;
	size_t size;
	char *file;
	int fd;

	start();
	s = world_store();
	must(mailbox_open(s, "box", 0, &m, &e), &e, "open");
	must(mailbox_expunge(m, NULL, &count, &e), &e, "expunge");
	fd = open(path_of("mail/box"), O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &whole) != 0)
		abort();
	mailbox_close(&m);
	store_close(&s);
	close(fd);
	file = slurp("mail/box", &size);
	if (memmem(file, size, "\nX-Expunged: ", 13) == NULL)
		fail("nothing waits to be taken out");
	free(file);
}

static void start_marked_first(void)
{
	start_marked(start_doomed_first);
}

static void start_marked_middle(void)
{
	start_marked(start_doomed_middle);
}

static void start_marked_all(void)
{
	start_marked(start_doomed_all);
}

static void start_marked_pseudo(void)
{
	start_marked(start_doomed_pseudo);
}

static void start_marked_delivered(void)
{
	start_marked(start_doomed_last);
	add_delivered(HEAD "Received: by x\nSubject: new\n\nnew body\n\n");
}

static void start_two(void)
{
	struct err e = ERR_INIT;
	struct store *s = world_store();

	start_pseudo();
	must(store_create(s, "other", &e), &e, "create");
	store_close(&s);
}

/* ---- what is done ---- */

static void do_open(struct store *s, struct err *e)
{
	struct mailbox *m = open_box(s, e);

	if (m != NULL)
		shared->uidvalidity = mailbox_uidvalidity(m);
	mailbox_close(&m);
}

static void do_append(struct store *s, struct err *e)
{
	const char *text = text_of("appended", 500);

	append_to(s, "box", &text, 1, MORTISE_FLAG_FLAGGED, NULL, e);
}

static void do_append_big(struct store *s, struct err *e)
{
	const char *text = text_of("appended", 200000);

	append_to(s, "box", &text, 1, 0, NULL, e);
}

static void do_append_batch(struct store *s, struct err *e)
{
	const char *texts[3] = {text_of("first", 300), text_of("second", 6000), text_of("third", 900)};

	append_to(s, "box", texts, 3, MORTISE_FLAG_SEEN, "blue", e);
}

static void do_flags(struct store *s, struct err *e)
{
	flag(s, "1,3", FLAGS_ADD, MORTISE_FLAG_FLAGGED | MORTISE_FLAG_ANSWERED, NULL, e);
}

static void do_clear(struct store *s, struct err *e)
{
	flag(s, "2,4", FLAGS_REPLACE, 0, NULL, e);
}

static void do_keyword(struct store *s, struct err *e)
{
	flag(s, "2", FLAGS_ADD, 0, "green", e);
}

static void do_long_keyword(struct store *s, struct err *e)
{
	flag(s, "2:3", FLAGS_ADD, MORTISE_FLAG_FLAGGED, long_words, e);
}

static void do_expunge(struct store *s, struct err *e)
{
	expunge(s, e);
}

static void do_copy(struct store *s, struct err *e)
{
	copy(s, "1:2,4", "other", e);
}

static void do_copy_here(struct store *s, struct err *e)
{
	copy(s, "2,4", "box", e);
}

struct scenario {
	const char *name;
	void (*start)(void);
	void (*act)(struct store *s, struct err *e);
	const char *watched; /* the mailbox that is changed */
	bool fresh;          /* it has no UIDs yet: they count once told */
};

static const struct scenario scenarios[] = {
    {"first-open", start_delivered, do_open, "box", true},
    {"new-mail", start_more_delivered, do_open, "box", false},
    {"append", start_pseudo, do_append, "box", false},
    {"append-to-empty-file", start_empty, do_append, "box", true},
    {"append-to-created", start_created, do_append, "box", false},
    {"append-to-base", start_base, do_append, "box", false},
    {"append-big", start_base, do_append_big, "box", false},
    {"append-batch", start_pseudo, do_append_batch, "box", false},
    {"append-batch-to-base", start_base, do_append_batch, "box", false},
    {"append-to-unfinished", start_unfinished, do_append, "box", false},
    {"flags", start_pseudo, do_flags, "box", false},
    {"flags-base", start_base, do_flags, "box", false},
    {"clear", start_big, do_clear, "box", false},
    {"keyword", start_pseudo, do_keyword, "box", false},
    {"keyword-base", start_base, do_keyword, "box", false},
    {"long-keyword", start_pseudo, do_long_keyword, "box", false},
    {"long-keyword-base", start_base, do_long_keyword, "box", false},
    {"expunge-first", start_doomed_first, do_expunge, "box", false},
    {"expunge-middle", start_doomed_middle, do_expunge, "box", false},
    {"expunge-last", start_doomed_last, do_expunge, "box", false},
    {"expunge-all", start_doomed_all, do_expunge, "box", false},
    {"expunge-pseudo", start_doomed_pseudo, do_expunge, "box", false},
    {"expunge-pseudo-all", start_doomed_pseudo_all, do_expunge, "box", false},
    {"take-out-first", start_marked_first, do_open, "box", false},
    {"take-out-middle", start_marked_middle, do_open, "box", false},
    {"take-out-all", start_marked_all, do_open, "box", false},
    {"take-out-pseudo", start_marked_pseudo, do_open, "box", false},
    {"take-out-new-mail", start_marked_delivered, do_open, "box", false},
    {"append-behind-marked", start_marked_pseudo, do_append, "box", false},
    {"keyword-marked", start_marked_first, do_long_keyword, "box", false},
    {"copy", start_two, do_copy, "other", false},
    {"copy-here", start_pseudo, do_copy_here, "box", false},
};

/* ---- checking ---- */

static const struct scenario *now;
static bool debris;               /* what could not be removed may be left */
static struct seen before, after; /* of the watched mailbox */
static struct seen other_before;  /* of "box" when another is watched */

static void check_message(const struct seen_message *m, bool acknowledged)
{
	const struct seen_message *old = by_uid(&before, m->uid), *new = by_uid(&after, m->uid);

	if (old == NULL && new == NULL)
		fail("UID %u comes from nowhere: %.60s", m->uid, m->text);
	else if (!same_text(m, old != NULL ? old : new))
		fail("UID %u is not what it was: %zu octets, %zu before", m->uid, m->size,
		    old != NULL ? old->size : new->size);
	else if (new == NULL && acknowledged)
		fail("UID %u was expunged and is back", m->uid);
	else if (!(new != NULL &&same_flags(m, new)) && !(old != NULL && !acknowledged && same_flags(m, old)))
		fail("UID %u has flags %#x \"%s\"", m->uid, m->flags, m->keywords);
}

static void check_missing(const struct seen *s, bool acknowledged)
{
	size_t came = 0, fresh = 0;

	for (size_t i = 0; i < after.count; i++) {
		bool is_new = by_uid(&before, after.m[i].uid) == NULL;
		bool there = by_uid(s, after.m[i].uid) != NULL;

		fresh += is_new;
		came += is_new && there;
		if (!there && (!is_new || acknowledged))
			fail("UID %u is lost", after.m[i].uid);
	}
	if (came != 0 && came != fresh)
		fail("%zu of a batch of %zu are there", came, fresh);
}

static void check_order(const struct seen *s)
{
	for (size_t i = 0; i < s->count; i++) {
		if (i > 0 && s->m[i].uid <= s->m[i - 1].uid)
			fail("UID %u follows %u", s->m[i].uid, s->m[i - 1].uid);
		if (s->m[i].uid >= s->uidnext)
			fail("UIDNEXT %u, but there is UID %u", s->uidnext, s->m[i].uid);
	}
}

static void check_same(const struct seen *a, const struct seen *b, const char *what)
{
	bool same = a->count == b->count && a->uidvalidity == b->uidvalidity && a->uidnext == b->uidnext;

	for (size_t i = 0; same && i < a->count; i++)
		same = a->m[i].uid == b->m[i].uid && same_text(&a->m[i], &b->m[i]) &&
		       same_flags(&a->m[i], &b->m[i]);
	if (!same)
		fail("%s", what);
}

static void check_folder(const char *name, bool boxes_allowed)
{
	DIR *d = opendir(path_of(name));
	struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.' && !(boxes_allowed && (strcmp(entry->d_name, "box") == 0 ||
		                                                      strcmp(entry->d_name, "other") == 0)))
			fail("%s/%s is left", name, entry->d_name);
	if (d != NULL)
		closedir(d);
}

/* A later message gets a later UID and harms nobody. */
static void check_append(const struct seen *s, bool acknowledged)
{
	const char *text = text_of("a later one", 100);
	struct err e = ERR_INIT;
	struct store *store = world_store();
	struct seen then;
	uint32_t least = acknowledged && after.uidnext > s->uidnext ? after.uidnext : s->uidnext;

	append_to(store, now->watched, &text, 1, 0, NULL, &e);
	store_close(&store);
	if (e.code != 0)
		fail("a later append fails: %s", e.admin);
	else if (look(now->watched, 0, &then)) {
		if (then.count != s->count + 1 || then.m[s->count].uid < least ||
		    strcmp(then.m[s->count].text, text) != 0)
			fail("a later message: %zu there, UID %u, expected from %u on", then.count,
			    then.count > 0 ? then.m[then.count - 1].uid : 0, least);
		for (size_t i = 0; i < s->count && i < then.count; i++)
			if (then.m[i].uid != s->m[i].uid || !same_text(&then.m[i], &s->m[i]) ||
			    !same_flags(&then.m[i], &s->m[i]))
				fail("UID %u changed by a later append", s->m[i].uid);
		seen_free(&then);
	}
}

static void check(bool acknowledged)
{
	struct timespec begin, end;
	struct seen s, again;
	static unsigned turn;
	bool only_look;
	struct stat st;
	uint32_t was;

	/* Who may not write does not complete what a delivery left without its end. */
	only_look = ++turn % 3 == 0 && now->start != start_unfinished;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (!look(now->watched, only_look ? MAILBOX_READ_ONLY : 0, &s))
		return;
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (end.tv_sec - begin.tv_sec > 2)
		fail("opening took %ld s", (long)(end.tv_sec - begin.tv_sec));
	was = now->fresh ? shared->uidvalidity : after.uidvalidity;
	if ((!now->fresh || acknowledged) && s.uidvalidity != was)
		fail("UIDVALIDITY is %u, was %u", s.uidvalidity, was);
	for (size_t i = 0; i < s.count; i++)
		check_message(&s.m[i], acknowledged);
	check_missing(&s, acknowledged);
	check_order(&s);
	if (s.uidnext < before.uidnext || (acknowledged && s.uidnext < after.uidnext))
		fail("UIDNEXT went back to %u", s.uidnext);
	if (look(now->watched, 0, &again)) {
		check_same(&s, &again, "opened again it is another");
		if ((!only_look && again.st.st_size != s.st.st_size) || again.st.st_ino != s.st.st_ino)
			fail("opening it again changed the file");
		seen_free(&again);
	}
	if (stat(path_of(strcmp(now->watched, "box") == 0 ? boxes[0] : boxes[1]), &st) != 0 ||
	    (st.st_mode & 07777) != 0600 || st.st_uid != geteuid())
		fail("owner or mode changed");
	if (strcmp(now->watched, "box") != 0 && look("box", 0, &again)) {
		check_same(&other_before, &again, "the mailbox that was copied from changed");
		seen_free(&again);
	}
	if (!debris) {
		check_folder("mail", true);
		check_folder(".mortise/journals", false);
	}
	check_append(&s, acknowledged);
	seen_free(&s);
}

/* ---- one run with a fault ---- */

static void child(const struct fault *f)
{
	struct err e = ERR_INIT;
	struct store *s = world_store();

	/* Who cannot let go of a lock need not be waited for long. */
	if (f->kind == FAULT_ERROR)
		w.options.lock_timeout = 50;
	faults_arm(f);
	now->act(s, &e);
	shared->code = e.code;
	snprintf(shared->text, sizeof shared->text, "%.500s", e.admin[0] != '\0' ? e.admin : e.client);
	shared->acknowledged = e.code == 0;
	store_close(&s);
	faults_off();
	_exit(0);
}

static bool run(const struct fault *f)
{
	int status;
	pid_t pid;

	shared->calls = 0;
	shared->met = shared->acknowledged = false;
	shared->events = shared->octets = 0;
	shared->code = 0;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		child(f);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		abort();
	operations++;
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		fail("died of signal %d", WTERMSIG(status));
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		fail("ended with %d", WEXITSTATUS(status));
	return shared->met;
}

static const struct {
	const char *name;
	struct fault fault;
} kinds[] = {
    {"killed", {.kind = FAULT_KILL}},
    {"killed in a write", {.kind = FAULT_TORN}},
    {"ENOSPC", {.kind = FAULT_ERROR, .error = ENOSPC}},
    {"ENOSPC from then on", {.kind = FAULT_ERROR, .error = ENOSPC, .sticky = true}},
    {"EIO", {.kind = FAULT_ERROR, .error = EIO}},
    {"EIO from then on", {.kind = FAULT_ERROR, .error = EIO, .sticky = true}},
    {"EDQUOT", {.kind = FAULT_ERROR, .error = EDQUOT}},
    {"EINTR", {.kind = FAULT_ERROR, .error = EINTR}},
    {"short write", {.kind = FAULT_SHORT}},
    {"short writes", {.kind = FAULT_SHORT, .sticky = true}},
};

static void report(const char *what, unsigned failed_before, unsigned points)
{
	printf("%s %u - %s, %s (%u points)\n", failures == failed_before ? "ok" : "not ok", ++results,
	    now->name, what, points);
	fflush(stdout);
}

static void sweep(size_t kind, const struct kept *start)
{
	struct fault f = kinds[kind].fault;
	unsigned failed_before = failures;
	char text[80];

	debris = f.error == EIO;
	for (f.at = 1; f.at < 10000; f.at++) {
		bool met;

		restore(start);
		snprintf(text, sizeof text, "%s at call %u", kinds[kind].name, f.at);
		fault_text = text;
		met = run(&f);
		if (!met && !shared->acknowledged)
			fail("fails without a fault: %s", shared->text);
		if (met)
			faults_met++;
		if (getenv("MORTISE_CRASH_TELL") != NULL)
			printf("# %s %s: acknowledged %d, %s\n", now->name, text, shared->acknowledged,
			    shared->text);
		/* A short write or an interrupted call is no reason to fail. */
		if (met && f.kind == FAULT_SHORT && !shared->acknowledged)
			fail("fails after a short write: %s", shared->text);
		check(shared->acknowledged);
		if (!met)
			break;
	}
	debris = false;
	report(kinds[kind].name, failed_before, f.at - 1);
}

/* ---- power loss ---- */

#define WHOLE 1
#define SECTORS 2 /* some 512-octet sectors of it */
#define PAGE 4096u
#define SIM_FILES 512 /* a lock that is tried again is another file each time */
#define SIM_SIZE (4u << 20)

struct sim {
	uint64_t inode;
	unsigned char *data;
	size_t size;
	bool shrunk; /* a size was lost */
};

static struct sim sims[SIM_FILES];
static size_t sim_count;

static unsigned chance(unsigned n)
{
	w.seed = w.seed * 1103515245u + 12345u;
	return (w.seed >> 16) % n;
}

static struct sim *sim_of(uint64_t inode)
{
	for (size_t i = 0; i < sim_count; i++)
		if (sims[i].inode == inode)
			return &sims[i];
	if (sim_count == SIM_FILES)
		abort();
	if (sims[sim_count].data == NULL)
		sims[sim_count].data = malloc(SIM_SIZE);
	sims[sim_count].inode = inode;
	sims[sim_count].size = 0;
	sims[sim_count].shrunk = false;
	return &sims[sim_count++];
}

static void sim_resize(struct sim *f, size_t size)
{
	if (size > SIM_SIZE)
		abort();
	if (size > f->size)
		memset(f->data + f->size, 0, size - f->size);
	f->size = size;
}

static void sim_size(struct sim *f, size_t size, unsigned how)
{
	if (how == 0)
		f->shrunk = true;
	if (!f->shrunk)
		sim_resize(f, size);
}

/*
 * Data may reach the disk in any order; sizes only in theirs: once one is lost (*shrunk), the later ones are.
 * What a file has grown by comes with its data, in whole pages: file systems write the data before the size.
 */
static void sim_write(struct sim *f, const struct event *r, unsigned how)
{
	size_t end = r->offset + r->size, old = f->size;

	if (end > f->size && !f->shrunk && how != 0) {
		size_t page = f->size / PAGE + 1;

		if (how == SECTORS) {
			page += chance((unsigned)(end / PAGE - f->size / PAGE + 1));
			f->shrunk = page * PAGE < end;
			end = f->shrunk ? page * PAGE : end;
		}
		sim_resize(f, end);
	} else if (end > f->size) {
		f->shrunk = true;
		end = f->size;
	}
	for (size_t at = r->offset; at < end;) {
		size_t stop = (at / 512 + 1) * 512 < end ? (at / 512 + 1) * 512 : end;

		if (how == WHOLE || at >= old || (how == SECTORS && chance(2)))
			memcpy(f->data + at, shared->octet + r->data + (at - r->offset), stop - at);
		at = stop;
	}
}

/* Is record i of the first k certain to have reached the disk? */
static bool durable(size_t i, size_t k)
{
	const struct event *r = &shared->event[i];
	bool name = r->kind == EVENT_NAME || r->kind == EVENT_UNNAME;

	for (size_t j = i + 1; j < k; j++) {
		const struct event *s = &shared->event[j];

		if (s->inode == r->inode && s->kind == (name ? EVENT_SYNC_DIR : EVENT_SYNC))
			return true;
	}
	return false;
}

static uint64_t box_inodes[2], journal_dir;
static struct {
	char name[96];
	uint64_t inode;
} names[FILES];
static size_t name_count;

static void sim_name(const struct event *r)
{
	size_t i = 0;

	if (r->inode != journal_dir)
		return;
	while (i < name_count && strcmp(names[i].name, r->name) != 0)
		i++;
	if (r->kind == EVENT_UNNAME) {
		if (i < name_count)
			names[i] = names[--name_count];
		return;
	}
	if (i == name_count && name_count++ == FILES)
		abort();
	snprintf(names[i].name, sizeof names[i].name, "%s", r->name);
	names[i].inode = r->named;
}

/* The disk after the first k calls; how[i] for what may or may not be there. */
static void build(const struct kept *start, size_t k, const unsigned char *how)
{
	sim_count = name_count = 0;
	for (size_t i = 0; i < 2; i++)
		if (start->data[i] != NULL) {
			struct sim *f = sim_of(box_inodes[i]);

			sim_resize(f, start->size[i]);
			memcpy(f->data, start->data[i], start->size[i]);
		}
	for (size_t i = 0; i < k; i++) {
		const struct event *r = &shared->event[i];
		unsigned h = durable(i, k) ? WHOLE : how[i];

		if (r->kind == EVENT_WRITE)
			sim_write(sim_of(r->inode), r, h);
		else if (r->kind == EVENT_SIZE)
			sim_size(sim_of(r->inode), r->size, h);
		else if (h == 0)
			continue;
		else if (r->kind == EVENT_NAME || r->kind == EVENT_UNNAME)
			sim_name(r);
	}
	clean_folder("mail", false);
	clean_folder(".mortise/journals", true);
	for (size_t i = 0; i < 2; i++)
		if (start->data[i] != NULL) {
			struct sim *f = sim_of(box_inodes[i]);

			put_file(boxes[i], (const char *)f->data, f->size);
		}
	for (size_t i = 0; i < name_count; i++) {
		struct sim *f = sim_of(names[i].inode);
		char path[256];

		snprintf(path, sizeof path, ".mortise/journals/%.90s", names[i].name);
		put_file(path, (const char *)f->data, f->size);
	}
}

static void state(
    const struct kept *start, size_t k, size_t marked, const unsigned char *how, const char *what)
{
	char text[120];

	snprintf(text, sizeof text, "power loss after call %zu of %zu, %s", k, marked, what);
	fault_text = text;
	build(start, k, how);
	states++;
	check(k >= marked);
}

static void states_at(const struct kept *start, size_t k, size_t marked)
{
	unsigned char how[EVENTS_MAX] = {0};
	size_t pending[EVENTS_MAX], count = 0;
	const char *wish = getenv("MORTISE_CRASH_RANDOM");
	int random = wish != NULL ? atoi(wish) : 8;
	char text[40];

	for (size_t i = 0; i < k; i++)
		if (!durable(i, k) && shared->event[i].kind != EVENT_SYNC &&
		    shared->event[i].kind != EVENT_SYNC_DIR &&
		    (shared->event[i].inode == box_inodes[0] || shared->event[i].inode == box_inodes[1] ||
		        shared->event[i].inode == journal_dir || shared->event[i].kind == EVENT_WRITE))
			pending[count++] = i;
	memset(how, WHOLE, k);
	state(start, k, marked, how, "all there");
	if (count == 0)
		return;
	memset(how, 0, k);
	state(start, k, marked, how, "what is pending lost");
	for (size_t i = 0; i < count && count > 1; i++) {
		memset(how, 0, k);
		how[pending[i]] = WHOLE;
		snprintf(text, sizeof text, "only %zu there", pending[i]);
		state(start, k, marked, how, text);
		memset(how, WHOLE, k);
		how[pending[i]] = 0;
		snprintf(text, sizeof text, "only %zu lost", pending[i]);
		state(start, k, marked, how, text);
	}
	for (size_t i = 0; i < count; i++) {
		if (shared->event[pending[i]].kind != EVENT_WRITE)
			continue;
		memset(how, WHOLE, k);
		how[pending[i]] = SECTORS;
		snprintf(text, sizeof text, "%zu torn", pending[i]);
		state(start, k, marked, how, text);
	}
	for (int i = 0; i < random; i++) {
		for (size_t j = 0; j < k; j++)
			how[j] = (unsigned char)chance(3);
		snprintf(text, sizeof text, "random %d", i);
		state(start, k, marked, how, text);
	}
}

static uint64_t inode_at(const char *name)
{
	struct stat st;

	return stat(path_of(name), &st) == 0 ? st.st_ino : 0;
}

static void power_loss(const struct kept *start)
{
	const struct fault none = {.kind = FAULT_NONE};
	unsigned failed_before = failures, states_before = states;
	size_t marked;

	restore(start);
	shared->recording = true;
	run(&none);
	shared->recording = false;
	for (size_t i = 0; i < 2; i++)
		box_inodes[i] = inode_at(boxes[i]);
	journal_dir = inode_at(".mortise/journals");
	marked = shared->events;
	if (getenv("MORTISE_CRASH_TELL") != NULL)
		for (size_t k = 0; k < marked; k++)
			printf("# %zu: %d of %llu at %llu, %llu %s\n", k, shared->event[k].kind,
			    (unsigned long long)shared->event[k].inode,
			    (unsigned long long)shared->event[k].offset,
			    (unsigned long long)shared->event[k].size, shared->event[k].name);
	for (size_t k = 0; k <= marked; k++)
		states_at(start, k, marked);
	report("power loss", failed_before, states - states_before);
}

/* ---- all of it ---- */

static void try_scenario(const struct scenario *s)
{
	const struct fault none = {.kind = FAULT_NONE};
	struct kept start;

	now = s;
	scenario_name = s->name;
	fault_text = "without a fault";
	world_empty();
	s->start();
	keep(&start);
	/* What is there before may have no UIDs yet: then it is what it is afterwards. */
	run(&none);
	if (!shared->acknowledged)
		fail("fails: %s", shared->text);
	look(s->watched, 0, &after);
	restore(&start);
	look(s->watched, 0, &before);
	if (strcmp(s->watched, "box") != 0)
		look("box", 0, &other_before);
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		sweep(i, &start);
	power_loss(&start);
	seen_free(&before);
	seen_free(&after);
	seen_free(&other_before);
	kept_free(&start);
}

int main(int argc, char **argv)
{
	faults_map();
	world_make();
	w.seed = 1;
	for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
		if (argc < 2 || strcmp(argv[1], scenarios[i].name) == 0)
			try_scenario(&scenarios[i]);
	printf("# %u operations, %u faults met, %u states after power loss, %u failures\n", operations,
	    faults_met, states, failures);
	printf("1..%u\n", results);
	world_empty();
	nftw(w.home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	rmdir(w.home);
	arena_free(&w.arena);
	return failures > 0;
}
