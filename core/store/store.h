/*
 * store.h: one user's mail: namespaces, names, subscriptions.
 *
 * A name is what the user says ("INBOX", "lists/c", "#driver.mbx/x"), in UTF-8 with '/' between levels; a
 * place is where it is. Between them stand namespaces: a prefix, a root directory and a way to find drivers.
 * In a file namespace the object is opened once, below its root, its stat and first 4 KiB are shown to the
 * configured drivers in order, and the first that says "mine" has it, so every mailbox may have another
 * format. A zero-length file belongs to the namespace's default driver. INBOX is looked for in its own list
 * of places (mail spool first).
 *
 * Names that begin with "~USER/" or "#shared/" and the like are other people's mail, where the configuration
 * says so (store.other_users, store.shared…). It is looked for as theirs is, with their home and name; what
 * the file system does not let this user see does not exist. "~" and one's own name is one's own mail.
 * "#mh/" is one's own, too: the folders of MH (store.mh), served by that driver only; "#mhinbox" is its
 * inbox.
 *
 * Nothing a name says leads outside its root. Names with control characters, empty levels, "." or ".." are
 * refused. Files that are not mailboxes (locks, the state directory, dot files when hidden) are never listed
 * or opened.
 */
#ifndef MORTISE_STORE_STORE_H
#define MORTISE_STORE_STORE_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/err.h"
#include "conf/conf.h"
#include "module/module.h"

struct store;

/* conf group "store". */
struct store_options {
	const char *mail_dir;               /* "~/mail": root of the personal namespace */
	struct mortise_list inbox;          /* places of INBOX in order: "/var/mail/%u", "~/mbox" */
	const char *state_dir;              /* "~/.mortise": journals and the index */
	const char *subscriptions;          /* "~/.mailboxlist" */
	const char *default_driver;         /* for CREATE and empty files: "unix" */
	uint32_t file_mode, directory_mode; /* 0600, 0700 */
	uint64_t lock_timeout;              /* ms */
	uint64_t list_depth;                /* levels LIST descends: 20 */
	uint64_t list_entries;              /* entries one LIST may give: 100000 */
	bool confine;                       /* links may not leave a root */
	bool hide_dot_files;
	uint64_t message_size;                              /* largest message taken: 1 GiB */
	uint64_t subscription_limit;                        /* names in the subscription file */
	const char *archive, *drafts, *junk, *sent, *trash; /* names with these special uses */
	bool dot_folders;                                   /* Maildir++ */
	uint64_t index_state_size, index_cache_size, index_checkpoint, index_vanished; /* see index.h */
	const char *admin, *comment;              /* METADATA of the server */
	uint64_t metadata_size, metadata_entries; /* of one entry, of one mailbox */
	struct mortise_list other_users;          /* directories that other users' mail may be in */
	const char *shared, *public, *ftp;        /* roots of "#shared/", "#public/", "#ftp/", or "" */
	const char *mh;                           /* of "#mh/" */
	uint64_t guests;                          /* of them that one session reaches */
};
extern const struct conf_group store_conf_group;

struct store_user {
	const char *name; /* %u */
	const char *home; /* absolute; ~ */
	uid_t uid;
};

/*
 * Runs as the user. The registry and options outlive the store. Creates nothing. Without a registry (NULL)
 * only paths are known.
 */
int store_open(const struct store_options *o, const struct store_user *u, struct registry *g,
    struct store **out, struct err *e);
void store_close(struct store **sp);
/*
 * Directories that the store reads and writes below, for a sandbox: home, mail, state, subscriptions, places
 * of INBOX. They live as long as the store; some may not exist.
 */
size_t store_directories(const struct store *s, struct arena *a, const char *const **out);
/* Where the user's index and journals are; it may not exist. Lives as long as the store. */
const char *store_state_directory(const struct store *s);
struct index_options;
const struct index_options *store_index_options(const struct store *s);
/* The absolute paths that may have this name, for tools that do not open it; they live in the arena. */
size_t store_paths(const struct store *s, const char *name, struct arena *a, const char *const **out);
/* Polled by long operations (client gone, shutdown): 0 or a MORTISE_E code. */
void store_set_stop(struct store *s, int (*stop)(void *arg), void *arg);
/* Called where long operations look whether to stop, for who tells that they go on. It must not wait. */
void store_set_tick(struct store *s, void (*tick)(void *arg), void *arg);

#define LIST_NOSELECT 0x001u
#define LIST_NOINFERIORS 0x002u
#define LIST_HASCHILDREN 0x004u
#define LIST_HASNOCHILDREN 0x008u
#define LIST_MARKED 0x010u
#define LIST_UNMARKED 0x020u
#define LIST_NONEXISTENT 0x040u
#define LIST_SUBSCRIBED 0x080u

struct list_entry {
	const char *name; /* UTF-8 */
	char separator;   /* 0: NIL */
	unsigned attributes;
};
/* Not 0 ends the listing with that code. */
typedef int list_fn(void *arg, const struct list_entry *entry);
/* LIST: reference and pattern as given (UTF-8; '*' and '%'). Entries come in directory order, INBOX first. */
int store_list(
    struct store *s, const char *reference, const char *pattern, list_fn *fn, void *arg, struct err *e);
/* LSUB with RFC 3501's \Noselect rule for '%'. */
int store_lsub(
    struct store *s, const char *reference, const char *pattern, list_fn *fn, void *arg, struct err *e);
/* The matcher both use, linear in name × pattern. */
bool list_match(const char *pattern, const char *name, char separator);
/* The one pattern that reference and pattern mean together. */
const char *list_pattern(const char *reference, const char *pattern, struct arena *a);

int store_subscribe(struct store *s, const char *name, bool on, struct err *e);
/* "x/" makes only the directory. "#driver.NAME/x" chooses the format. */
int store_create(struct store *s, const char *name, struct err *e);
int store_delete(struct store *s, const char *name, struct err *e);
int store_rename(struct store *s, const char *from, const char *to, struct err *e);

/* Octets of the largest message that is taken. */
uint64_t store_message_size(const struct store *s);

struct store_namespace {
	enum { NAMESPACE_PERSONAL, NAMESPACE_OTHER, NAMESPACE_SHARED } kind;
	const char *prefix;
	char separator;
};
/*
 * A new mailbox with everything of an old one, in another format: UIDVALIDITY, UIDs, flags, keywords,
 * internal and save dates, mod-sequences. A client that knew the old one downloads nothing again once the new
 * one has its name. `to` chooses the format: "#driver.mbx/x". UNSUPPORTED where it cannot take UIDs over. The
 * old mailbox is locked meanwhile and stays as it is. All or nothing.
 */
int store_convert(struct store *s, const char *from, const char *to, struct err *e);
size_t store_namespaces(const struct store *s, const struct store_namespace **out);

#endif
