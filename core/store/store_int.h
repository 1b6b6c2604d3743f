/*
 * store_int.h: inside the store room: what a store holds, and the way from a name to a driver.
 *
 * A name goes through three steps. names.c says whether it is a name at all. place.c turns it into a target:
 * a directory descriptor and a path below it. recognise.c looks at what is there and finds the driver.
 * driver.c is the only file that calls into drivers.
 *
 * Strings of a target live in the arena that was given when it was made.
 */
#ifndef MORTISE_STORE_STORE_INT_H
#define MORTISE_STORE_STORE_INT_H

#include <sys/stat.h>

#include <mortise/driver.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/vec.h"
#include "store/index.h"
#include "store/store.h"

#define STORE_MAGIC 0x53746f72u /* "Stor" */
#define NAME_LIMIT 1000u        /* octets of a mailbox name: what path_clean allows */
#define LEVEL_LIMIT 255u        /* octets of one level: NAME_MAX */
#define PROBE_SIZE 4096u        /* octets of a file that drivers are shown */

struct mailbox;
struct shared_index;
struct quota_options;
struct quota_limits;

/* A place where INBOX may be: an absolute path, cut in two. */
struct inbox_place {
	const char *directory;
	const char *file;
};

/* What was found at a file or directory, as it was then. */
struct recognised {
	struct instance *driver; /* NULL: it is no mailbox */
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime, ctime;
};
/* As many as this at most, in blocks that are there when something was found that belongs in them. */
#define RECOGNISED_BLOCKS 16u
#define RECOGNISED_BLOCK 64u

struct store {
	uint32_t magic;
	const struct store_options *o;
	const char *user, *home;
	uid_t uid;
	struct arena *arena;
	struct instance *const *drivers; /* in order of recognition */
	size_t driver_count;
	const char *root_path; /* mail_dir, expanded */
	int root;              /* of root_path; -1 while it is not there */
	struct inbox_place *places;
	size_t place_count;
	const char *state_path;
	int journals;          /* directory of rewrite journals, or -1 */
	bool journals_tried;   /* making it failed: do not try (and log) again */
	struct timespec quiet; /* mtime of the journal directory when it was found empty */
	struct index_options index;
	struct shared_index *shared; /* NULL until it is needed */
	const char *subscriptions_path;
	const struct quota_options *quota_options; /* NULL: nothing is limited */
	struct quota_limits *quota;                /* as configured */
	bool quota_soft;                           /* a warning is due: store_quota_warns */
	const struct store_namespace *namespaces;
	size_t namespace_count;
	struct store *guests, *next_guest; /* mail that is not the user's own: guests.c */
	size_t guest_count;
	struct store *host;  /* of a guest: whose session it is */
	const char *mh_path; /* root of "#mh/", or NULL */
	const char *prefix;  /* of a guest's names, without the separator: "~fred", "#shared" */
	int kind;            /* NAMESPACE_… */
	int (*stop)(void *arg);
	void *stop_arg;
	void (*tick)(void *arg);
	void *tick_arg;
	struct mailbox *open;                             /* open mailboxes, linked */
	struct recognised *recognised[RECOGNISED_BLOCKS]; /* or NULL */
};

/* store_open for code that brings its drivers along (unit tests, tools). The array must outlive the store. */
int store_open_drivers(const struct store_options *o, const struct store_user *u,
    struct instance *const *drivers, size_t driver_count, struct store **out, struct err *e);
int store_stopped(const struct store *s, struct err *e); /* 0, or the stop code with e set */
/* The mail directory's descriptor; made when `create`. NOTFOUND while it is not there. */
int store_root(struct store *s, bool create, struct err *e);
int store_state(const struct store *s); /* makes the state directory: 0, or -1 with errno */
/* Opened when it is first asked for; NULL with e set: none can be had, not even in memory. */
struct index *store_index(struct store *s, struct err *e);
void store_index_close(struct store *s);
/* The mailbox's number in the index; 0 for the server (NULL). */
int store_mailbox_number(struct store *s, const char *mailbox, uint64_t *number, struct err *e);
/* For call_env: the journal directory, made when `create`, or -1. */
int store_journals(struct store *s, bool create);
/* Whether any journal is waiting there (one fstat when nothing changed since it was found empty). */
bool store_journals_waiting(struct store *s);

static inline const struct mortise_driver_ops *driver_ops(const struct instance *i)
{
	return i->ops;
}
/* Whether the format is one of directories, as this file is one or not. */
static inline bool driver_fits(const struct instance *i, const struct stat *st)
{
	return driver_ops(i)->traits->directory == (S_ISDIR(st->st_mode) != 0);
}
struct instance *store_driver(const struct store *s, struct str name); /* or NULL */
struct instance *store_default_driver(const struct store *s, struct err *e);

/* ---- names.c ---- */
struct name {
	const char *text;        /* canonical: INBOX in capitals, without prefix and trailing separator */
	const char *path;        /* below the mail directory */
	struct store *where;     /* the guest whose it is, or NULL: the user's own */
	bool inbox;              /* INBOX itself */
	bool directory;          /* it ended with the separator */
	struct instance *driver; /* from "#driver.NAME/", or NULL */
};
#define NAME_MAY_CHOOSE 0x01u /* "#driver.NAME/x" is allowed */
#define NAME_NEW 0x02u        /* for something to be made: stricter */
#define NAME_DIRECTORY 0x04u  /* a trailing separator is allowed */
/* Checks and takes apart. INVALID, NOTFOUND (no such namespace), LIMIT. */
int name_parse(
    struct store *s, const char *text, unsigned how, struct arena *a, struct name *out, struct err *e);
/* Whether a file or directory called `path` (below the mail directory) may be seen at all. */
bool name_hidden(const struct store *s, const char *path);

/* Whether a level of this name is some directory format's own (mortise_traits.own_names), lexically. */
bool name_maybe_own(const struct store *s, struct str level);
bool driver_owns_name(const struct instance *driver, struct str level);

/* ---- place.c ---- */
enum object { OBJECT_MISSING, OBJECT_MAILBOX, OBJECT_DIRECTORY, OBJECT_OTHER };
struct target {
	struct mortise_place place;
	const char *directory; /* absolute path of place.root: for watches and messages */
	struct store *where;   /* as in struct name */
	bool shared;           /* what is made in it is for others, too */
	int own_root;          /* place.root when it is closed with the target, else -1 */
	enum object object;
	struct instance *driver; /* of OBJECT_MAILBOX; of a missing INBOX: what would make it */
	struct stat st;          /* when not MISSING */
};
/* Where a name points to and what is there. A missing INBOX is MISSING at the first usable place. */
int target_find(struct store *s, const struct name *n, struct target *out, struct err *e);
/* What is at a clean path below the mail directory, which must be open. INVALID for what is a mailbox's own.
 */
int target_path(struct store *s, const char *name, const char *path, struct target *out, struct err *e);
/* The same for what must be a mailbox, or an INBOX that is not there yet. */
int target_mailbox(
    struct store *s, const char *name, unsigned how, struct arena *a, struct target *out, struct err *e);
void target_close(struct target *t);
/* Parent directories of a target that is to be made; *made: how many levels are new. Synced. */
int target_parents(struct store *s, const struct target *t, unsigned *made, struct err *e);
void target_parents_undo(struct store *s, const struct target *t, unsigned made);
/* fsync of the directory that holds it. */
int target_sync_parent(struct store *s, const struct target *t, struct err *e);
/* What the index knows a mailbox by: the driver's name, a NUL, the absolute path. */
void target_identity(const struct target *t, struct buf *out);
bool target_same(const struct target *a, const struct target *b);
static inline unsigned store_how(const struct store *s)
{
	return s->o->confine ? 0 : 2u; /* PATH_UNCONFINED */
}

/* ---- guests.c ---- */
#define MH_PREFIX "#mh"
#define MH_INBOX "#mhinbox"
/* What is made there is this user's own. */
static inline bool store_is_own(const struct store *where)
{
	return where == NULL || where->kind == NAMESPACE_PERSONAL;
}
/* What a prefix without its separator means: a store, NULL for the user's own, or NOTFOUND, LIMIT. */
int store_guest(struct store *s, const char *prefix, struct store **out, struct err *e);
void store_guest_namespaces(struct store *s);
void store_close_guests(struct store *s);
/* The configured directories; at most store_guest_directory_limit. */
size_t store_guest_directories(const struct store *s, const char **out);
size_t store_guest_directory_limit(const struct store *s);

/* ---- folders.c: names and directories of Maildir++ (dot_folders) ---- */
struct folder {
	const char *name;
	bool mailbox; /* else only a level with others below */
	bool children;
};
struct folders {
	VEC(struct folder) list;
};
/* Sets n->path. */
int folder_path(const struct store *s, struct name *n, unsigned how, struct arena *a, struct err *e);
/* All of them, a level before what is below it. The mail directory must be open. */
int folders_read(struct store *s, struct arena *a, struct folders *out, struct err *e);
bool folder_below(const char *name, const char *above);

/* ---- recognise.c ---- */
/* Fills object, driver, st. Errors: PERM, CORRUPT (the driver says damaged), IO… */
int recognise(struct store *s, struct target *t, struct err *e);
void recognised_forget(struct store *s); /* what was remembered of that */
/* Refused with the right words when it is not a mailbox. */
int not_a_mailbox(const struct target *t, struct err *e);

/* ---- create.c ---- */
/* Makes a mailbox where nothing is (an empty directory is nothing to a directory format). */
int mailbox_make(struct store *s, struct target *t, struct instance *driver, struct err *e);

/* ---- match.c ---- */
#define PATTERN_LIMIT (2 * NAME_LIMIT + 2)
struct pattern {
	char text[PATTERN_LIMIT];
	size_t n;
	char separator;
	bool never; /* longer than any name */
};
void pattern_set(struct pattern *p, const char *reference, const char *pattern, char separator);
bool pattern_match(const struct pattern *p, struct str name);
/* Whether a name that begins with `prefix` could match. */
bool pattern_below(const struct pattern *p, struct str prefix);

#endif
