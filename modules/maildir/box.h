/*
 * box.h: inside the maildir driver.
 *
 * A box is one open maildir. Opening it reads no more than the first line of dovecot-uidlist. What a
 * message's file is called the engine keeps in the message's locator (name.c packs it), so one message can be
 * read, flagged or expunged without anything being loaded.
 *
 * What is loaded when a directory or list has changed is `entries`, in order of UID: what dovecot-uidlist
 * says (list.c), and for each whether its file was there when the directories were last read and under which
 * name (scan.c). A name is taken apart by name.c: the base, which never changes and is the message's
 * identity, and the info behind ':', which holds the flags. sync.c tells the engine of the difference between
 * what it was told and what is there, or of everything when that is not known here.
 *
 * list.c reads and extends dovecot-uidlist, keyword.c dovecot-keywords, both under the lock of lock.c. own.c
 * keeps what is known of the directories up with what this box does to them.
 */
#ifndef MAILDIR_BOX_H
#define MAILDIR_BOX_H

#include <limits.h>

#include <mortise/driver.h>

#define UIDLIST "dovecot-uidlist"
#define UIDLIST_LOCK "dovecot-uidlist.lock"
#define KEYWORDS "dovecot-keywords"
#define LETTERS 26

struct maildir_options {
	uint64_t message_limit;
	uint64_t list_limit;
	uint64_t dotlock_stale;
	bool fsync, sync_flags;
};

/* One file's name, taken apart. */
struct maildir_name {
	size_t base;         /* octets of the base */
	uint32_t flags;      /* MORTISE_FLAG_… */
	uint32_t letters;    /* bit i: keyword letter 'a' + i */
	uint64_t size, wire; /* S= and W=, or MORTISE_SIZE_UNKNOWN */
};

struct maildir_entry {
	const char *name;  /* in cur or new; as the list has it while not present */
	const char *extra; /* fields of the list's line that are not ours, " Wn Px", or "" */
	uint64_t octets;
	int64_t date;
	uint32_t uid;
	int16_t zone;
	uint8_t base;     /* octets of name before ':' */
	bool present : 1; /* its file was found */
	bool in_new : 1;
	bool known : 1;  /* date and octets were read from the file */
	bool told : 1;   /* the engine was told of it, */
	bool dirty : 1;  /* and of something else than is so now */
	bool before : 1; /* should be found by the scan that goes on */
	bool sought : 1; /* by a scan, found or not */
};

/* What says that a file or directory is as it was. */
struct maildir_print {
	int64_t mtime; /* nanoseconds; 0: not there */
	uint64_t inode;
	int64_t size; /* of a directory: 1 */
};

struct maildir_keywords {
	char *names[LETTERS]; /* by letter, which is the bit; NULL: none */
	struct maildir_print print;
};

/* cur or new. */
enum { CUR, NEW, PARTS };
struct maildir_part {
	int fd; /* -1 until it is needed */
	uint64_t inode;
	struct maildir_print print; /* when it was last read */
	bool read;                  /* it was, and the entries say what was found */
	bool racy;                  /* it may have changed since without another time */
	int64_t stamp;              /* the time that this box gave it last, which nobody else's change has */
};

struct maildir_block;

/* A message that is being appended, or was. */
struct maildir_piece {
	char base[160];
	char final[NAME_MAX + 1];
	uint32_t flags, letters, uid; /* uid: the one it must get, or 0; then its own */
	int32_t zone;
	int64_t date;
	uint64_t size, wire;
	bool moved, in_new;
};

struct maildir_box {
	const struct maildir_options *options;
	const struct mortise_place *place;
	int dir, tmp; /* tmp is -1 until it is needed */
	struct maildir_part part[PARTS];
	bool read_only; /* the session changes no messages; UIDs of new ones are written all the same */
	bool fixed;     /* nothing can be written */
	bool unsynced;  /* flags have changed in cur */
	/* lock */
	int mode;
	bool dot;
	ino_t dot_inode;
	char dot_name[160]; /* in tmp, while it is not held; empty: it is yet to be made */
	uint64_t dot_touched;
	/* dovecot-uidlist */
	struct maildir_print list_print;
	bool made;          /* UIDVALIDITY: the list that is there says none */
	bool loaded;        /* it was looked at, */
	bool list_read;     /* there is a usable one, and the entries are its */
	bool list_damaged;  /* it should be written anew */
	bool provisional;   /* some entries are this box's own */
	uint64_t list_size; /* octets of it that were understood */
	char list_tail[64]; /* the last of them */
	size_t lines;
	uint32_t uidvalidity, uidnext;
	char *header; /* fields of its first line that are not V and N, " Gx", or NULL */
	struct maildir_entry *entries;
	size_t count, room;
	uint32_t *table; /* index + 1 of entries by base; table_size a power of two */
	size_t table_size;
	struct maildir_block *pool; /* names and lines */
	size_t waste;               /* octets of it that nobody needs any more */
	size_t unnumbered;          /* files without UID that the last scan found */
	uint64_t full_until;        /* the disk was: not tried again before */
	/* what the engine was told */
	struct mortise_cursor told;
	uint32_t told_uidvalidity;
	bool agreed; /* what the engine knows is what was there under these prints, */
	struct maildir_print agreed_part[PARTS], agreed_list;
	int64_t due;                 /* and is to be read again then, ms since 1970; 0: it need not */
	struct maildir_piece *trail; /* what was appended since, when nothing else has changed, */
	size_t trail_count;
	struct maildir_print trail_part[PARTS], trail_list; /* and what was there before */
	uint32_t *gone; /* UIDs that were told and have no entry any more */
	size_t gone_count, gone_room;
	struct maildir_keywords keywords;
	/* the message that was last read */
	int fd;
	struct mortise_extent extent;
};

/* Where a message's file is, as far as we know. */
struct maildir_file {
	struct maildir_entry *entry; /* or NULL: only its locator is known */
	bool in_new;
	char name[NAME_MAX + 1];
};

/* Text that grows. */
struct maildir_text {
	char *p;
	size_t n, room;
	bool failed;
};

/* ---- name.c ---- */
/* Octets of the base of a message's file; 0 for what is none: ".x", or what a list cannot hold. */
size_t maildir_name_base(const char *name);
bool maildir_name_parse(const char *name, struct maildir_name *out);
/* "BASE:2,FLAGS" with what of the old info is not ours kept. In `out` of NAME_MAX + 1 octets; false: too
 * long. */
bool maildir_name_make(const char *old, uint32_t flags, uint32_t letters, char *out);
/* A base that nobody else uses. */
void maildir_name_unique(struct mortise_call *call, char out[160]);
/* Microseconds of delivery as the name tells them. */
uint64_t maildir_name_time(const char *name);
/* A locator of a file; its size, 0 when the name does not fit. */
size_t maildir_locator_make(bool in_new, const char *name, unsigned char out[MORTISE_LOCATOR_MAX]);
bool maildir_locator_read(const unsigned char *locator, size_t size, struct maildir_file *out);

/* ---- lock.c ---- */
int maildir_lock(struct mortise_call *call, struct maildir_box *b, int mode, uint64_t deadline);
/* Lets go of it for good. */
void maildir_lock_end(struct mortise_call *call, struct maildir_box *b);
/* The same with the place's timeout. *mine: it was not held before. */
int maildir_lock_take(struct mortise_call *call, struct maildir_box *b, bool *mine);
void maildir_lock_drop(struct mortise_call *call, struct maildir_box *b, bool mine);
/* Once a message: 0, or what should_stop says. Keeps a lock that is held young. */
int maildir_go_on(struct mortise_call *call, struct maildir_box *b);

/* ---- entry.c: the messages in memory ---- */
/* A copy in the box's pool, or NULL. */
char *maildir_keep(struct maildir_box *b, const char *text, size_t size);
/* Room for `size` octets, which the caller fills. */
char *maildir_room(struct maildir_box *b, size_t size);
/* Throws away what nobody needs when that is most of the pool. */
int maildir_tidy(struct mortise_call *call, struct maildir_box *b);
/* name and extra live in the pool. */
int maildir_entry_add(struct mortise_call *call, struct maildir_box *b, uint32_t uid, const char *name,
    size_t base, const char *extra, struct maildir_entry **out);
int maildir_entry_rename(
    struct mortise_call *call, struct maildir_box *b, struct maildir_entry *e, bool in_new, const char *name);
struct maildir_entry *maildir_by_uid(const struct maildir_box *b, uint32_t uid);
struct maildir_entry *maildir_by_base(const struct maildir_box *b, const char *name, size_t base);
/* Those whose files are not there. */
int maildir_drop_missing(struct mortise_call *call, struct maildir_box *b);
/* Takes back what has UIDs from `uidnext` on: it could not be saved. */
void maildir_entries_cut(struct maildir_box *b, uint32_t uidnext);
/* The engine has to be told that it is no more. */
int maildir_entry_gone(struct mortise_call *call, struct maildir_box *b, const struct maildir_entry *e);
void maildir_entries_free(struct maildir_box *b);

/* ---- list.c ---- */
struct maildir_print maildir_print(int dir, const char *file); /* of what is there now, no link followed */
struct maildir_print maildir_print_of(const struct stat *st);
bool maildir_print_same(const struct maildir_print *a, const struct maildir_print *b);
/* UIDVALIDITY and UIDNEXT of the list, as far as its first line tells. */
int maildir_list_glance(struct mortise_call *call, struct maildir_box *b);
/* Reads dovecot-uidlist, or what was added to it, when it is not the one that is known. */
int maildir_list_load(struct mortise_call *call, struct maildir_box *b);
/* Replaces it by the entries whose files are there. Lock held. Durable when it returns 0. */
int maildir_list_save(struct mortise_call *call, struct maildir_box *b);
/*
 * Ready to add lines: uidvalidity and uidnext are what the list says, *fd is it. -1: there is none to which
 * lines can be added; load, scan and save first. Lock held.
 */
int maildir_list_end(struct mortise_call *call, struct maildir_box *b, int *fd);
/* Adds lines; the caller syncs them, or cuts the file off at *before. Lock held. */
int maildir_list_put(struct mortise_call *call, struct maildir_box *b, int fd,
    const struct maildir_text *lines, off_t *before);
/* Adds lines, durably. Lock held. known: their number when the entries, which are the list's, have them. */
int maildir_list_append(
    struct mortise_call *call, struct maildir_box *b, int fd, const struct maildir_text *lines, size_t known);
/* Lines of the file behind fd, at least. */
int maildir_list_lines(struct mortise_call *call, int fd, uint64_t *lines);

/* ---- file.c ---- */
/* A whole small file below dir, NUL behind it, for free(); NULL with *size 0 when there is none. */
int maildir_read_file(
    struct mortise_call *call, int dir, const char *name, uint64_t limit, char **out, size_t *size);
/* Writes a file beside, syncs it, renames it over, syncs the directory. */
int maildir_replace(
    struct mortise_call *call, struct maildir_box *b, const char *name, const char *text, size_t size);
/* Waits until what was written (to a directory: named) is on disk. 0, or -1 with errno. */
int maildir_fsync(const struct maildir_box *b, int fd);
int maildir_put(struct mortise_call *call, int fd, const char *what, const void *octets, size_t size);
void maildir_text_add(struct maildir_text *t, const char *octets, size_t size);
void maildir_text_number(struct maildir_text *t, uint64_t n);
/* A line of the list. */
void maildir_text_line(struct maildir_text *t, uint32_t uid, const char *extra, const char *name);

/* ---- keyword.c ---- */
int maildir_keywords_load(struct mortise_call *call, struct maildir_box *b);
int maildir_keyword_add(struct mortise_call *call, struct maildir_box *b, const char *name, unsigned *bit);
/* Letters that have names; they are the engine's bits. */
uint32_t maildir_letters(const struct maildir_box *b);
/* The letter of a name, or -1. */
int maildir_letter_of(const struct maildir_box *b, const char *name);
void maildir_keywords_free(struct maildir_box *b);

/* ---- courier.c ---- */
/* Keywords that Courier kept become letters in the names of the entries' files. Lock held. */
int maildir_import_keywords(struct mortise_call *call, struct maildir_box *b);

/* ---- quota.c ---- */
struct maildir_quota {
	int fd; /* of maildirsize; -1: there is none */
	int64_t octets, messages;
};
void maildir_quota_begin(struct mortise_call *call, const struct maildir_box *b, struct maildir_quota *q);
/* A file that comes (`add`) or goes; in directory `part`, when its name does not tell its size. */
void maildir_quota_count(struct maildir_quota *q, int part, const char *name, bool add);
void maildir_quota_end(struct mortise_call *call, struct maildir_quota *q);

/* ---- scan.c ---- */
/* The descriptor of cur or new, or a code. */
int maildir_part(struct mortise_call *call, struct maildir_box *b, bool in_new, int *fd);
/* How they are now. NOTFOUND when the maildir is gone. Lets go of descriptors of what was replaced. */
int maildir_look(struct mortise_call *call, struct maildir_box *b, struct maildir_print now[PARTS]);
/* A time so young that a change may not have made another of it. */
bool maildir_racy(int64_t mtime);
/*
 * Reads the directories that have changed; gives UIDs to new files if the lock is held and the list can be
 * written (`assign`). Without, new files have no entry, or one for this session only (read-only boxes).
 */
int maildir_scan(struct mortise_call *call, struct maildir_box *b, bool assign);
/* Loads the list and reads the directories. */
int maildir_load(struct mortise_call *call, struct maildir_box *b);
/* Where a message's file should be. False: it is not known, or gone. */
bool maildir_file_of(const struct maildir_box *b, const struct mortise_ref *ref, struct maildir_file *out);
/* It is not there: where it is. *found false: nowhere. */
int maildir_file_search(struct mortise_call *call, struct maildir_box *b, const struct mortise_ref *ref,
    struct maildir_file *out, bool *found);

/* ---- own.c ---- */
struct maildir_own {
	/* By begin: as the entries say, as the engine knows. By end: still so. */
	bool loaded[PARTS], agreed[PARTS];
	bool touched[PARTS]; /* the caller sets it */
};
/* Around renames and unlinks of ours, as close as can be. Lock held. */
void maildir_own_begin(struct mortise_call *call, struct maildir_box *b, struct maildir_own *o);
void maildir_own_end(struct maildir_box *b, struct maildir_own *o);
/* What was moved in between them; the entries have the list's lines for it. */
void maildir_own_added(
    struct maildir_box *b, const struct maildir_own *o, const struct maildir_piece *pieces, size_t count);
int64_t maildir_clock(void); /* ms since 1970 */
bool maildir_is_due(int64_t due);
void maildir_trail_clear(struct maildir_box *b);

/* ---- sync.c ---- */
int maildir_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink);

/* ---- append.c, change.c, directory.c: callbacks ---- */
int maildir_append_begin(struct mortise_call *call, void *box, void **tx);
int maildir_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info);
int maildir_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size);
int maildir_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count);
int maildir_append_commit_refs(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, struct mortise_ref *refs, size_t count);
int maildir_append_copy(struct mortise_call *call, void *tx, void *box, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t count);
void maildir_append_abort(struct mortise_call *call, void *tx);
int maildir_adopt(struct mortise_call *call, void *box, uint32_t uidvalidity, uint32_t uidnext);
int maildir_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count);
int maildir_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
int maildir_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
int maildir_checkpoint(struct mortise_call *call, void *box);
int maildir_create(struct mortise_call *call, const struct mortise_place *place);
int maildir_remove(struct mortise_call *call, const struct mortise_place *place);
/* b->tmp is open; what others left in it long ago is gone. */
int maildir_need_tmp(struct mortise_call *call, struct maildir_box *b);
/* cur or new of a maildir: a real directory. -1 with errno. */
int maildir_open_part(int dir, const char *name);
/* Renames where nothing is: EEXIST when something is. */
int maildir_move(int from_dir, const char *from, int to_dir, const char *to);

#endif
