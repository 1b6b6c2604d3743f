#include "crash.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct world w;

/* ---- a store in a folder of its own ---- */

const char *path_of(const char *name)
{
	static char out[2][256];
	static unsigned turn;

	turn = !turn;
	snprintf(out[turn], sizeof out[turn], "%.60s/%.180s", w.home, name);
	return out[turn];
}

static void driver_option(const struct mortise_option *o, const char *text)
{
	struct err e = ERR_INIT;

	must(conf_set(o, (void *)(uintptr_t)w.driver->pub.options, str_of(text), w.arena, &e), &e, "option");
}

void world_make(void)
{
	static const char *const places[] = {"%h/INBOX"};
	struct err e = ERR_INIT;

	/* Where syncing costs nothing: what it does is not tested here, only that it is asked for. */
	snprintf(w.home, sizeof w.home, "%s/mortise-crash-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	if (mkdtemp(w.home) == NULL)
		abort();
	w.arena = arena_new("crash");
	w.driver = instance_builtin(w.arena, crash_driver.module, crash_driver.name);
	for (size_t i = 0; i < crash_driver.module->option_count; i++)
		if (crash_driver.locks != NULL &&
		    strcmp(crash_driver.module->options[i].name, crash_driver.locks) == 0)
			driver_option(&crash_driver.module->options[i], w.home);
		else if (strcmp(crash_driver.module->options[i].name, "sync_flags") == 0)
			driver_option(&crash_driver.module->options[i], "yes");
	for (size_t i = 0; i < store_conf_group.count; i++)
		must(conf_set(&store_conf_group.options[i], &w.options,
		         str_of(store_conf_group.options[i].fallback), w.arena, &e),
		    &e, "option");
	w.options.inbox = (struct mortise_list){places, 1};
	w.options.default_driver = crash_driver.name;
	w.options.lock_timeout = 1000;
}

struct store *world_store(void)
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

void world_empty(void)
{
	nftw(w.home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	mkdir(path_of("mail"), 0700);
}

void world_end(void)
{
	world_empty();
	nftw(w.home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	rmdir(w.home);
	arena_free(&w.arena);
}

void put_file(const char *name, const char *data, size_t size)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

void add_to_file(const char *name, const char *data, size_t size)
{
	int fd = open(path_of(name), O_WRONLY | O_APPEND);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	close(fd);
}

void set_mtime(const char *name, const struct timespec *mtime)
{
	const struct timespec times[2] = {*mtime, *mtime};

	if (utimensat(AT_FDCWD, path_of(name), times, 0) != 0)
		abort();
}

/* ---- a mailbox file and its state, kept and put back ---- */

const char *const boxes[2] = {"mail/box", "mail/other"};

char *slurp(const char *name, size_t *size)
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

void keep(struct kept *k)
{
	struct stat st;

	memset(k, 0, sizeof *k);
	if (crash_driver.directory) {
		k->mail = calloc(1, sizeof *k->mail);
		k->state = calloc(1, sizeof *k->state);
		tree_take(k->mail, "mail");
		tree_take(k->state, ".mortise");
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		k->data[i] = slurp(boxes[i], &k->size[i]);
		if (stat(path_of(boxes[i]), &st) == 0)
			k->mtime[i] = st.st_mtim;
	}
}

void kept_free(struct kept *k)
{
	if (crash_driver.directory) {
		tree_free(k->mail);
		tree_free(k->state);
		free(k->mail);
		free(k->state);
	}
	free(k->data[0]);
	free(k->data[1]);
}

void clean_folder(const char *name, bool boxes_too)
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

void restore(const struct kept *k)
{
	if (crash_driver.directory) {
		tree_put(k->mail, "mail");
		tree_put(k->state, ".mortise");
		return;
	}
	clean_folder("mail", false);
	clean_folder(".mortise/journals", true);
	clean_folder(".mortise", true); /* the index knows what will not have been */
	for (size_t i = 0; i < 2; i++)
		if (k->data[i] != NULL)
			put_file(boxes[i], k->data[i], k->size[i]);
	for (size_t i = 0; i < 2; i++)
		if (k->data[i] != NULL)
			set_mtime(boxes[i], &k->mtime[i]);
}

/* ---- what a session sees ---- */

void seen_free(struct seen *s)
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

bool look(const char *name, unsigned flags, struct seen *out)
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

const struct seen_message *by_uid(const struct seen *s, uint32_t uid)
{
	for (size_t i = 0; i < s->count; i++)
		if (s->m[i].uid == uid)
			return &s->m[i];
	return NULL;
}

bool same_text(const struct seen_message *a, const struct seen_message *b)
{
	return a->size == b->size && memcmp(a->text, b->text, a->size) == 0 && a->date == b->date;
}

bool same_flags(const struct seen_message *a, const struct seen_message *b)
{
	return a->flags == b->flags && strcmp(a->keywords, b->keywords) == 0;
}
