/*
 * crash.h: the parts of the crash harness.
 *
 *     crash.c        what must hold, and a fault at each call
 *     crash-power.c  what a machine without power may leave
 *     crash-world.c  a store in a folder of its own, mailboxes kept and put back, what a session sees
 *     crash-tree.c   mailboxes that are directories, kept and put back
 *     crash-do.c     operations
 *     crash-unix.c, crash-mbx.c, crash-maildir.c, crash-mh.c   of each driver: mailboxes to begin with, and
 *                    what is done to them
 */
#ifndef TESTS_STORAGE_CRASH_H
#define TESTS_STORAGE_CRASH_H

#include "faults.h"
#include "store/driver.h"

#define MESSAGES 64

/* A mailbox to begin with may be */
#define WITHOUT_UIDS 0x01u /* they count once told */
#define UNFINISHED 0x02u   /* who may not write does not complete what a delivery left without its end */
#define APART 0x10u        /* what only the server knows of a message is there when that was acknowledged */
#define IN_PARTS 0x08u     /* of a batch that was not acknowledged some messages may be there */
#define SKIPS_UIDS 0x04u   /* UIDs that were given and not told may be left out: higher ones follow */

struct scenario {
	const char *name;
	void (*start)(void);
	void (*act)(struct store *s, struct err *e);
	const char *watched; /* the mailbox that is changed */
	unsigned is;
};

/* One a program. */
struct crash_driver {
	const char *name;
	const struct mortise_module *module;
	bool directory; /* a mailbox is one */
	const char
	    *locks; /* NULL, or the option that says where locks are, for those not to meet real programs */
	const struct scenario *scenarios;
	size_t count;
	void (*look)(void); /* NULL, or what more must hold of the mailbox that is watched */
};
extern const struct crash_driver crash_driver;

struct world {
	char home[64];
	struct arena *arena;
	struct store_options options;
	struct instance *driver;
	unsigned seed;
};
extern struct world w;

/* ---- crash.c ---- */
extern const struct scenario *now;
extern unsigned failures, states;
extern const char *fault_text;
void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void must(int r, const struct err *e, const char *what);
void report(const char *what, unsigned failed_before, unsigned points);
bool run(const struct fault *f);
void check(bool acknowledged);

/* ---- crash-world.c ---- */
#define TREE_MAX 512
struct node {
	char path[160]; /* below the world's folder */
	uint64_t inode;
	struct timespec mtime;
	bool directory;
	char *data;
	size_t size;
};

struct tree {
	size_t count;
	struct node node[TREE_MAX];
};

struct kept {
	struct tree *mail, *state; /* of a directory driver; then nothing else */
	char *data[2];
	size_t size[2];
	struct timespec mtime[2];
};
extern const char *const boxes[2];

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

const char *path_of(const char *name);
void world_make(void);
struct store *world_store(void);
void world_empty(void);
void world_end(void);
void put_file(const char *name, const char *data, size_t size);
/* Behind what is there. */
void add_to_file(const char *name, const char *data, size_t size);
char *slurp(const char *name, size_t *size);
void keep(struct kept *k);
void kept_free(struct kept *k);
void clean_folder(const char *name, bool boxes_too);
/* The same files (not others of that name) with the old octets and times, and nothing beside them. */
void restore(const struct kept *k);
void set_mtime(const char *name, const struct timespec *mtime);
void seen_free(struct seen *s);
/* The mailbox as a new session sees it, all of it; false when it does not open. */
bool look(const char *name, unsigned flags, struct seen *out);
const struct seen_message *by_uid(const struct seen *s, uint32_t uid);
bool same_text(const struct seen_message *a, const struct seen_message *b);
bool same_flags(const struct seen_message *a, const struct seen_message *b);

/* ---- crash-tree.c ---- */
void tree_take(struct tree *t, const char *path);
void tree_free(struct tree *t);
/* What is at `path`, and nothing else there. */
void tree_put(const struct tree *t, const char *path);

/* ---- crash-do.c ---- */
void append_to(struct store *s, const char *name, const char *const *texts, size_t count, uint32_t flags,
    const char *keyword, struct err *e);
const char *text_of(const char *subject, size_t size);
/* `count` messages of that size, some with flags, into the mailbox "box". */
void fill_box(size_t count, size_t size);
void make_box(const char *name);
void mark(const char *uids, uint32_t flags);
/* Of no format in particular: just made; with four messages; and another one beside it; some or all \Deleted.
 */
void start_created(void);
void start_four(void);
void start_two(void);
void start_doomed_some(void);
void start_doomed_all(void);
void do_open(struct store *s, struct err *e);
void do_append(struct store *s, struct err *e);
void do_append_big(struct store *s, struct err *e);
void do_append_batch(struct store *s, struct err *e);
void do_flags(struct store *s, struct err *e);
void do_clear(struct store *s, struct err *e);
void do_keyword(struct store *s, struct err *e);
void do_long_keyword(struct store *s, struct err *e);
void do_expunge(struct store *s, struct err *e);
void do_copy(struct store *s, struct err *e);
void do_copy_here(struct store *s, struct err *e);
void do_move(struct store *s, struct err *e);

/* ---- crash-power.c ---- */
void power_loss(const struct kept *start);

#endif
