/*
 * box.h: inside the mh driver.
 *
 * A folder is a directory; a message is a regular file in it whose name is its number. Numbers change (folder
 * -pack, sortm) and come back (rmm of the last one), so they say where a message is, not which: that is its
 * identity, the file's inode, times of birth and modification, and size. Renaming keeps them. A file that is
 * edited is another message, as IMAP wants it, and so is one that was restored from a backup. Several numbers
 * for one file (refile -link into the same folder) are as many messages with as many ordinals.
 *
 * The engine remembers UIDs; the locator it gives back is the identity and then the number. Whoever uses a
 * number looks first whether the identity is still behind it.
 *
 * A box holds the list of entries it read last, and uses it as long as the directory has not changed.
 */
#ifndef MH_BOX_H
#define MH_BOX_H

#include <time.h>

#include <mortise/driver.h>

#define SEQUENCES ".mh_sequences"
#define TEMPORARY ".mortise-"             /* directories of messages that are being written begin so */
#define BATCH TEMPORARY "batch-"          /* a batch that is being made visible */
#define NUMBER_LIMIT UINT32_C(2147483646) /* what MH programs count in an int */
#define BATCHES 16                        /* unfinished ones that are looked at */
#define ALL_SEQUENCES NULL
#define STOP_EVERY 64 /* messages or names that are looked at between two questions whether to go on */

struct mh_options {
	const char *unseen, *flagged, *replied; /* names of sequences */
	bool every_directory, keep_removed;
	uint64_t message_limit;
	uint64_t sequences_limit;
};

struct mh_entry {
	uint64_t inode;
	int64_t birth; /* nanoseconds; 0 where the file system does not tell */
	int64_t mtime;
	uint64_t size;
	uint32_t ordinal; /* among the numbers of one file */
	uint32_t number;
};

struct mh_list {
	struct mh_entry *v; /* by number */
	size_t count, room;
	uint32_t highest; /* number in use, by whatever kind of file */
	size_t names;     /* that are numbers */
	bool linked;      /* a file with more than one name is among them */
	bool young;       /* one may be being written just now */
	int64_t looked;   /* when it was read, */
	int64_t all;      /* and when every file was last looked at */
	char *batches[BATCHES];
	size_t batch_count;
};

struct mh_box {
	const struct mh_options *options;
	const struct mortise_place *place;
	int dir;
	bool read_only;
	bool again; /* a file was not what the engine believes: the next sync looks at everything */
	/* What was there when the directory was last read, while its time of change is this; 0: unknown. */
	struct mh_list list;
	int64_t list_ctime;
	int mode;
	int sequences; /* .mh_sequences, open and locked while mode is not NONE; -1: there is none */
	/* the message that was last read */
	int fd;
	struct mortise_extent extent;
};

/* ---- sequence.c: text of .mh_sequences ---- */
struct mh_range {
	uint32_t first, last;
};

struct mh_sequence {
	const char *name, *raw; /* in text */
	size_t name_size, raw_size;
	struct mh_range *ranges; /* rising, apart */
	size_t count;
	bool changed;
};

struct mh_sequences {
	char *text;
	struct mh_sequence *v;
	size_t count;
};

/* Takes `text` (malloc), in any case. False: no memory. */
bool mh_sequences_parse(struct mh_sequences *s, char *text, size_t size);
bool mh_sequences_has(const struct mh_sequences *s, const char *name, uint32_t number);
/* Numbers, rising, go into or out of the sequence; out of ALL_SEQUENCES but "cur". False: no memory. */
bool mh_sequences_add(struct mh_sequences *s, const char *name, const uint32_t *numbers, size_t count);
bool mh_sequences_drop(struct mh_sequences *s, const char *name, const uint32_t *numbers, size_t count);
bool mh_sequences_changed(const struct mh_sequences *s);
bool mh_sequences_text(const struct mh_sequences *s, char **text, size_t *size);
void mh_sequences_free(struct mh_sequences *s);

/* ---- lock.c: the file .mh_sequences ---- */
int mh_lock(struct mortise_call *call, struct mh_box *b, int mode, uint64_t deadline);
/* `mode` with the place's timeout. *mine: no lock was held before. */
int mh_lock_take(struct mortise_call *call, struct mh_box *b, int mode, bool *mine);
void mh_lock_drop(struct mortise_call *call, struct mh_box *b, bool mine);
/* A lock is held. */
int mh_sequences_load(struct mortise_call *call, struct mh_box *b, struct mh_sequences *s);
/* What changes them; false: no memory. The exclusive lock is held. Durable when it returns 0. */
typedef bool mh_edit(struct mh_sequences *s, void *arg);
int mh_sequences_edit(struct mortise_call *call, struct mh_box *b, mh_edit *edit, void *arg);
int mh_put(struct mortise_call *call, int fd, const char *what, const void *octets, size_t size);
/* A whole small file, for free(); NULL with *size 0 when fd is -1. */
int mh_read_all(
    struct mortise_call *call, int fd, const char *what, uint64_t limit, char **out, size_t *size);

/* ---- scan.c ---- */
bool mh_number(const char *name, uint32_t *out); /* "1" … , no leading zero */
/*
 * names_only: without looking at the files, no entries then. `old`: what was there before, NULL when every
 * file is to be looked at.
 */
int mh_scan(struct mortise_call *call, struct mh_box *b, bool names_only, const struct mh_list *old,
    struct mh_list *list);
/* The time a file gets for an internal date. */
struct timespec mh_time_of(int64_t date, int32_t zone);
/* Where a message's own text begins in its file. */
uint64_t mh_text_start(int fd, const struct stat *st);
void mh_list_free(struct mh_list *list);
bool mh_entry_same(const struct mh_entry *a, const struct mh_entry *b); /* the same file */
/* A regular file (name "": dir itself is it). False with errno: 0 when it is something else. */
bool mh_look(int dir, const char *name, struct mh_entry *e, unsigned *links);
bool mh_is_there(const struct mh_box *b, const struct mh_entry *e); /* under its number */
void mh_locator_write(const struct mh_entry *e, unsigned char *locator, uint8_t *size, size_t *identity_size);
bool mh_locator_read(const struct mortise_ref *ref, struct mh_entry *e);
/* Opens the message's file, wherever it is now; *fd -1: it is gone. */
int mh_open_message(struct mortise_call *call, struct mh_box *b, const struct mortise_ref *ref, int *fd);
int mh_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink);

/* ---- batch.c: several messages at once, and what a crash leaves of them ---- */
/* A directory for messages that are being written; nobody sweeps it while *dir is open. */
int mh_temporary(struct mortise_call *call, struct mh_box *b, char **name, int *dir);
/* Such a directory goes, if nobody has it open. */
void mh_sweep(struct mh_box *b, const char *name);
int mh_batch_begin(
    struct mortise_call *call, struct mh_box *b, const struct mh_entry *v, size_t count, char **name);
int mh_batch_end(struct mortise_call *call, struct mh_box *b, const char *name);
/* Messages of batches that never came to their end leave the list. */
int mh_batch_hide(struct mortise_call *call, struct mh_box *b, struct mh_list *list);
/* They are removed. The exclusive lock is held. */
int mh_batch_undo(struct mortise_call *call, struct mh_box *b, struct mh_list *list);

/* ---- append.c, change.c, folder.c: callbacks ---- */
int mh_append_begin(struct mortise_call *call, void *box, void **tx);
int mh_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info);
int mh_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size);
int mh_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count);
int mh_append_commit_refs(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, struct mortise_ref *refs, size_t count);
int mh_append_copy(struct mortise_call *call, void *tx, void *box, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t count);
void mh_append_abort(struct mortise_call *call, void *tx);
struct mh_flags {
	uint32_t number, flags;
};
/* Lock held. `fresh`: whatever sequences say of these numbers was about other messages. Sorts v. */
int mh_flags_store(struct mortise_call *call, struct mh_box *b, struct mh_flags *v, size_t count, bool fresh);
/* Numbers of messages that are gone leave all sequences. Failing to say so is no failure. */
void mh_forget_numbers(struct mortise_call *call, struct mh_box *b, uint32_t *numbers, size_t count);
int mh_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count);
int mh_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
int mh_recognise(struct mortise_call *call, const struct mortise_probe *probe);
int mh_create(struct mortise_call *call, const struct mortise_place *place);
int mh_remove(struct mortise_call *call, const struct mortise_place *place);

#endif
