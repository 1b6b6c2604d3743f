/*
 * box.h: inside the maildir driver.
 *
 * A box is one open maildir: descriptors of the directory and of cur, new and tmp, and what is known of its
 * messages. That is `entries`, in order of UID: what dovecot-uidlist says, and for each whether its file was
 * there when the directories were last read and under which name. A name is taken apart by name.c: the base,
 * which never changes and is the message's identity, and the info behind ':', which holds the flags.
 *
 * list.c reads and replaces dovecot-uidlist, keyword.c dovecot-keywords, both under the lock of lock.c.
 */
#ifndef MAILDIR_BOX_H
#define MAILDIR_BOX_H

#include <mortise/driver.h>

#define UIDLIST "dovecot-uidlist"
#define UIDLIST_LOCK "dovecot-uidlist.lock"
#define KEYWORDS "dovecot-keywords"
#define LETTERS 26

struct maildir_options {
	uint64_t message_limit;
	uint64_t list_limit;
	uint64_t dotlock_stale;
};

/* One file's name, taken apart. */
struct maildir_name {
	size_t base;         /* octets of the base */
	uint32_t flags;      /* MORTISE_FLAG_… */
	uint32_t letters;    /* bit i: keyword letter 'a' + i */
	uint64_t size, wire; /* S= and W=, or MORTISE_SIZE_UNKNOWN */
};

struct maildir_entry {
	uint32_t uid;
	uint32_t base; /* octets of name before ':' */
	bool present;  /* its file was found */
	bool in_new;
	bool known;  /* date and octets were read from the file */
	bool again;  /* put aside by maildir_list_cut */
	char *name;  /* in cur or new; as the list has it while not present */
	char *extra; /* fields of the list's line that are not ours, " Wn Px", or NULL */
	int64_t date;
	int32_t zone;
	uint64_t octets;
};

/* What says that a file or directory is as it was. */
struct maildir_print {
	int64_t mtime; /* nanoseconds; 0: not there */
	uint64_t inode;
	int64_t size;
};

struct maildir_keywords {
	char *names[64]; /* by bit; what once had a bit keeps it */
	size_t count;
	int8_t bit[LETTERS]; /* of a letter, or -1 */
	int8_t letter[64];   /* of a bit, or -1 */
	struct maildir_print print;
	bool told; /* the engine knows the table */
};

struct maildir_box {
	const struct maildir_options *options;
	const struct mortise_place *place;
	int dir, cur, new, tmp; /* tmp is -1 until it is needed */
	bool read_only;
	/* lock */
	int mode;
	bool dot;
	ino_t dot_inode;
	uint64_t dot_touched;
	/* dovecot-uidlist */
	struct maildir_print list_print;
	bool list_read; /* there is a usable one, and this is it */
	uint32_t uidvalidity, uidnext;
	char *header; /* fields of its first line that are not V and N, " Gx", or NULL */
	struct maildir_entry *entries;
	size_t count, room;
	uint32_t *table; /* index + 1 of entries by base; table_size a power of two */
	size_t table_size;
	struct maildir_keywords keywords;
	/* the message that was last read */
	int fd;
	struct mortise_extent extent;
};

/* ---- name.c ---- */
/* False for what is no message: ".x", or longer than a name may be. */
bool maildir_name_parse(const char *name, struct maildir_name *out);
/* "BASE:2,FLAGS" with what of the old info is not ours kept. In `out` of NAME_MAX + 1 octets; false: too
 * long. */
bool maildir_name_make(const char *old, uint32_t flags, uint32_t letters, char *out);
/* A base that nobody else uses. */
void maildir_name_unique(struct mortise_call *call, char out[160]);
int maildir_name_order(const void *a, const void *b); /* of two char *: by time of delivery */

/* ---- lock.c ---- */
int maildir_lock(struct mortise_call *call, struct maildir_box *b, int mode, uint64_t deadline);
/* The same with the place's timeout. *mine: it was not held before. */
int maildir_lock_take(struct mortise_call *call, struct maildir_box *b, bool *mine);
void maildir_lock_drop(struct mortise_call *call, struct maildir_box *b, bool mine);
/* Once a message: 0, or what should_stop says. Keeps a lock that is held young. */
int maildir_go_on(struct mortise_call *call, struct maildir_box *b);

/* ---- list.c ---- */
struct maildir_print maildir_print(int dir, const char *file); /* of what is there now, no link followed */
bool maildir_print_same(const struct maildir_print *a, const struct maildir_print *b);
/* Reads dovecot-uidlist when it is not the one that is known. */
int maildir_list_load(struct mortise_call *call, struct maildir_box *b);
/* Replaces it by what is in entries. Lock held. Durable when it returns 0. */
int maildir_list_save(struct mortise_call *call, struct maildir_box *b);
int maildir_list_add(struct mortise_call *call, struct maildir_box *b, uint32_t uid, const char *name,
    size_t base, const char *extra, struct maildir_entry **out);
void maildir_list_free(struct maildir_box *b);
struct maildir_entry *maildir_by_uid(const struct maildir_box *b, uint32_t uid);
struct maildir_entry *maildir_by_base(const struct maildir_box *b, const char *name, size_t base);
void maildir_drop_missing(struct maildir_box *b);
/* Takes back what was added behind `count`: it could not be saved. */
void maildir_list_cut(struct maildir_box *b, size_t count, uint32_t uidnext);
/* A whole small file below dir, NUL behind it, for free(); NULL with *size 0 when there is none. */
int maildir_read_file(
    struct mortise_call *call, int dir, const char *name, uint64_t limit, char **out, size_t *size);
/* Writes a file beside, syncs it, renames it over, syncs the directory. */
int maildir_replace(
    struct mortise_call *call, struct maildir_box *b, const char *name, const char *text, size_t size);
int maildir_put(struct mortise_call *call, int fd, const char *what, const void *octets, size_t size);

/* ---- keyword.c ---- */
int maildir_keywords_load(struct mortise_call *call, struct maildir_box *b);
int maildir_keyword_add(struct mortise_call *call, struct maildir_box *b, const char *name, unsigned *bit);
uint64_t maildir_keywords_of(const struct maildir_box *b, uint32_t letters);
uint32_t maildir_letters_of(const struct maildir_box *b, uint64_t keywords);
void maildir_keywords_free(struct maildir_box *b);

/* ---- scan.c ---- */
/*
 * Reads both directories; gives UIDs to new files if the lock is held and the list can be written (`assign`).
 * Without, new files have no entry, or one for this session only (read-only boxes).
 */
int maildir_scan(struct mortise_call *call, struct maildir_box *b, bool assign, size_t *fresh);
int maildir_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink);
/* The entry of a message whose file is under its name now, NULL when it is gone. */
int maildir_locate(
    struct mortise_call *call, struct maildir_box *b, uint32_t uid, struct maildir_entry **out);

/* ---- append.c, change.c: callbacks ---- */
int maildir_append_begin(struct mortise_call *call, void *box, void **tx);
int maildir_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info);
int maildir_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size);
int maildir_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count);
void maildir_append_abort(struct mortise_call *call, void *tx);
int maildir_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count);
int maildir_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
int maildir_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
int maildir_create(struct mortise_call *call, const struct mortise_place *place);
int maildir_remove(struct mortise_call *call, const struct mortise_place *place);
/* cur or new of a maildir: a real directory. -1 with errno. */
int maildir_open_part(int dir, const char *name);
/* Renames where nothing is: EEXIST when something is. */
int maildir_move(int from_dir, const char *from, int to_dir, const char *to);

#endif
