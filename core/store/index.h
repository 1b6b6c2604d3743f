/*
 * index.h: what the engine remembers of mailboxes, on disk (LMDB).
 *
 * The mailbox is the truth; this is memory. All of it may be deleted at any time: what then happens is a full
 * scan, and for formats that cannot hold them new UIDs under a new UIDVALIDITY. Nothing here knows what a
 * driver is; rows are data.
 *
 * Two files below the state directory, each an LMDB environment of its own (MDB_NOSUBDIR):
 *
 *     index.cache   rows as they are now: heads, messages, vanished UIDs, wire forms. Never synced. It is the
 *                   file of one boot: it carries the kernel's boot id, and with another one it is deleted
 *                   unread, since what a power failure left of an unsynced LMDB file must not be looked at.
 *                   A killed process is no danger to it: transactions are whole, the lock is robust.
 *     index.state   what must survive a reboot. Every transaction is synced. Written when a reply promises
 *                   what the mailbox itself does not hold (`durable` below), and otherwise at a checkpoint:
 *                   a copy of the mailbox's rows that changed since the last one, at most every few minutes.
 *
 * So a STORE costs no sync, and a SELECT after a reboot finds what the last checkpoint knew. Mod-sequences
 * stay true all the same (RFC 7162: they never fall, and no change keeps the number it had):
 *
 *     ceiling       a number in index.state that no mod-sequence given out reaches. It is raised, synced, by
 *                   INDEX_CEILING_STEP before the first number of a boot is given, and before it is reached.
 *     clean         a mark beside a mailbox's checkpoint: nothing happened since, except that the driver's
 *                   cursor may have moved (from the older one it only looks again). It is taken away, synced,
 *                   before the first change after the checkpoint. A checkpoint that is found without it in
 *                   another boot counts for UIDs, keywords and dates; every message gets a new mod-sequence
 *                   above the ceiling, and the vanished log begins there (vanished_since): a client that
 *                   comes with older numbers is told all flags and all UIDs that are not there.
 *
 * A new mailbox begins at the ceiling as it was when the first number was given under the present
 * index.cache, so a mailbox that was forgotten never repeats a number either; nor does one whose index.cache
 * was lost between two boots. That first number is not below the clock (microseconds since 1970), so
 * an index.state that was deleted, or came from a backup, repeats none, as long as a boot (which costs a step
 * of a million) takes a second. Mailboxes' numbers and first
 * generations are random: what a session still holds of a file that was replaced never fits another mailbox,
 * or another history, by accident.
 *
 * One process changes a mailbox's rows at a time, but none waits for another while it looks: the engine loads
 * (index_load), asks the driver what changed since the loaded cursor, and commits the difference naming the
 * generation it loaded. If that is no longer the present one, somebody else found something meanwhile:
 * nothing is written, and the engine begins again from what is there now. So each change gets exactly one
 * mod-sequence, whoever found it.
 *
 * Damage. Values carry a checksum; one that does not fit makes the mailbox's rows void (in index.cache; the
 * checkpoint is tried, then nothing is known). An environment that LMDB refuses, or another version's, is
 * deleted (index.cache) or set aside as index.state.damaged (one is kept). A session that is killed inside
 * LMDB, which believes what it maps, has its file put out of the way by the crash handler (index_guard.c), so
 * the next one starts anew. A process that finds its file no longer under its name opens the other one before
 * it writes anything. Files are opened under the directory's lock, and replaced holding it alone, so that a
 * file and the lock file of another never meet.
 *
 * No room, no permission, a name that somebody else took, a file system of the network (where neither the
 * mapping nor the lock reaches the other machines): a private index in memory (memfd) takes its place for
 * this session, and index_persistent() says so. Clients cannot bring that about: wire forms and attributes
 * leave an eighth of their file to the rest.
 *
 * A mailbox that begins anew has a new epoch. Wire forms that some process still holds back were computed for
 * the UIDs of the old one, and are not kept.
 *
 * Keys begin with one octet for the kind of row, then the mailbox's number, 8 octets, big-endian, so that a
 * mailbox's rows lie together; numbers in keys are big-endian, in values little-endian. The last 8 octets of
 * every value are the checksum of what comes before (base/checksum.h).
 *
 *     in both files
 *     'I'                       what the file is: see index_rows.c
 *     'N' 16 octets             of a mailbox's identity (its checksum, and that of both): 8 its number, then
 *                               the identity itself (driver, NUL, absolute path) to tell collisions
 *                               (index.state once it is durable; until then index.cache only)
 *     'H' mailbox               head: see struct index_head; layout in index_rows.c beside the code
 *     'R' mailbox, first UID    run: up to 256 messages in order of UID. 2 octets count, 2 octets size of a
 *                               row (a multiple of 8), 4 zero, then the rows (struct index_row on disk)
 *     'V' mailbox, mod-sequence vanished UIDs of one commit: pairs of 4 octets low, 4 octets high
 *     index.cache only
 *     'W' mailbox, 1 octet kind, 1 octet length of the name, name (header fields only), UID
 *                               wire form of one message: its octets
 *     index.state only
 *     'A' mailbox, name         attribute: METADATA entries, special use, object id. Mailbox 0: the server
 *     'C' mailbox               clean mark: 8 octets generation of the checkpoint
 *
 * A row on disk: 4 UID, 2 flags (MORTISE_FLAG_…), 2 zone (minutes, signed), 8 keywords, 8 internal date,
 * 8 octets (2⁶⁴-1: not known), 8 mod-sequence, 8 save date (0: not known), 1 locator's length, 1 length of
 * the identity in it, then the locator, filled up with zeros to the run's row size.
 */
#ifndef MORTISE_STORE_INDEX_H
#define MORTISE_STORE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include <mortise/driver.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct index;

#define INDEX_CEILING_STEP 1000000u
#define INDEX_RUN_MAX 256u
#define INDEX_KEYWORDS 64u

struct index_options {
	uint64_t state_size; /* largest index.state: 1 GiB */
	uint64_t
	    cache_size; /* largest index.cache: 4 GiB; wire forms of the longest unused mailboxes go first */
	uint64_t checkpoint; /* ms between checkpoints of one mailbox: 5 minutes */
	uint64_t vanished;   /* expunged UID ranges remembered a mailbox: 100,000 */
};

/* For a process that forks sessions: reads once what each of them would. Opens nothing. */
void index_prepare(void);
/*
 * `directory` exists and is the user's. Only one in a process for one directory (LMDB's rule). Never fails
 * for what is on disk: see "Damage". The options outlive it.
 */
int index_open(const struct index_options *o, const char *directory, struct index **out, struct err *e);
/* The private one: nothing outlives it. */
int index_open_private(const struct index_options *o, struct index **out, struct err *e);
void index_close(struct index **xp);
/* False: private, or writing failed since: numbers told now are not remembered (NOMODSEQ). */
bool index_persistent(const struct index *x);

/* The file to watch (inotify) for what other processes commit. False: there is none. */
bool index_watch(struct index *x, struct buf *out);

/* ---- mailboxes ---- */
/*
 * The number of the mailbox with this identity; a new one when there is none. `identity` is the driver's
 * name, a NUL and the absolute path. 0 or a code.
 */
int index_mailbox(struct index *x, struct str identity, uint64_t *number, struct err *e);
/*
 * All mailboxes whose path is `from` or below it, whatever the driver, are elsewhere now. What was known of
 * those with the new paths is dropped. Durable.
 */
int index_rename_below(struct index *x, struct str from, struct str to, struct err *e);
/* All of it goes (mailbox deleted). The name, too. */
int index_forget(struct index *x, struct str identity, struct err *e);
/* A UIDVALIDITY above every one given here before, and not below the clock. Durable. */
int index_uidvalidity(struct index *x, uint32_t *out, struct err *e);

struct index_keyword {
	const char *name;
	bool kept;   /* the driver has it, */
	uint8_t bit; /* under this bit */
};

/* What is known of a mailbox as a whole. */
struct index_head {
	uint64_t generation; /* 0: nothing is known */
	uint32_t uidvalidity, uidnext;
	uint32_t highest; /* UID of a message, ever */
	uint64_t highestmodseq;
	uint64_t vanished_since; /* the vanished log is complete for changes above this mod-sequence */
	bool counted_uids;       /* the driver gives none */
	struct mortise_cursor cursor;
	uint32_t messages, unseen, deleted, recent; /* recent: MORTISE_FLAG_RECENT on disk */
	uint32_t first_unseen;                      /* sequence number, 0: none */
	uint64_t octets;                            /* of all, or MORTISE_SIZE_UNKNOWN */
	struct index_keyword keywords[INDEX_KEYWORDS];
	size_t keyword_count;
};

struct index_row {
	uint32_t uid;
	uint16_t flags; /* MORTISE_FLAG_…, RECENT among them */
	int16_t zone;
	uint64_t keywords; /* bits of head.keywords */
	int64_t internal_date;
	uint64_t octets;
	uint64_t modseq;
	int64_t save_date;
	uint8_t locator_size, identity_size;
	const unsigned char *locator; /* index_load: valid in the callback */
};

/* Of the head, 0 when nothing is known: what every command asks first. */
int index_generation(struct index *x, uint64_t mailbox, uint64_t *generation, struct err *e);
/* Head only: one read transaction. Keyword names live in the arena. generation 0: nothing is known. */
int index_head(struct index *x, uint64_t mailbox, struct arena *a, struct index_head *out, struct err *e);
/*
 * Head and messages of one moment, in order of UID. `fn` returning non-zero ends it with that. Damage: void,
 * as if nothing were known (generation 0, no rows were told: they are checked before).
 */
typedef int index_row_fn(void *arg, const struct index_row *row);
int index_load(struct index *x, uint64_t mailbox, struct arena *a, struct index_head *head, index_row_fn *fn,
    void *arg, struct err *e);

struct index_commit {
	uint64_t generation; /* that was loaded; 0: nothing was known */
	bool anew;           /* another mailbox now: rows and vanished UIDs that are there go first */
	const struct index_head *head; /* new; its generation is set by index_commit */
	const struct index_row *rows;  /* new or changed, in order of UID */
	size_t row_count;
	const uint32_t *vanished; /* in order of UID */
	size_t vanished_count;
	uint64_t vanished_modseq; /* of all of them; ≤ head->highestmodseq */
	bool durable;
};
/* 0: done, *generation is the new one. 1: not the present generation, nothing was written. Or a code. */
int index_commit(
    struct index *x, uint64_t mailbox, const struct index_commit *c, uint64_t *generation, struct err *e);
/*
 * Before mod-sequences above `highest` are given out: raises the ceiling when it is near. For a mailbox that
 * nothing is known of, *first is where it begins.
 */
int index_modseq(struct index *x, uint64_t highest, uint64_t *first, struct err *e);

/* Ranges of UIDs that vanished after `since` (mod-sequence), in order of time. */
typedef int index_range_fn(void *arg, uint32_t low, uint32_t high);
int index_vanished(
    struct index *x, uint64_t mailbox, uint64_t since, index_range_fn *fn, void *arg, struct err *e);

/* When one is due (or `now`), makes the checkpoint. For idle time and close; failures are logged. */
void index_checkpoint(struct index *x, uint64_t mailbox, bool now);
/* Idle work of the whole: dead readers, size. Bounded to a few milliseconds. */
void index_tidy(struct index *x);

/* ---- wire forms (cache only) ---- */
#define INDEX_ENVELOPE 1
#define INDEX_BODY 2
#define INDEX_BODYSTRUCTURE 3
#define INDEX_PREVIEW 4
#define INDEX_HEADER 5  /* one header field, all its occurrences with their names, as in the message */
#define INDEX_EMAILID 6 /* digest of the text */
#define INDEX_SORT 7    /* what SORT and THREAD compare; see its writer */
#define INDEX_FOLDED 8  /* one header field as SEARCH compares it; see column.h */
#define INDEX_USAGE 9   /* of a mailbox, UID 0: what it counts for its quota; see usage.c */
/*
 * The field of a message, copied to the end of `out`: 1, 0 when it is not there, or a code. `name`: of a
 * header field, lower case; else empty. Costs one short read transaction.
 */
int index_wire(struct index *x, uint64_t mailbox, uint32_t uid, int kind, struct str name, struct buf *out,
    struct err *e);
/* All messages' fields of that kind in order of UID, in one read transaction; text valid in the callback. */
typedef int index_wire_fn(void *arg, uint32_t uid, struct str text);
int index_wire_scan(struct index *x, uint64_t mailbox, int kind, struct str name, index_wire_fn *fn,
    void *arg, struct err *e);
/* Kept in memory until index_wire_flush or 1 MiB is together. A text above 64 KiB is not kept. */
void index_wire_put(
    struct index *x, uint64_t mailbox, uint32_t uid, int kind, struct str name, struct str text);
void index_wire_flush(struct index *x);

/* ---- attributes (state, durable) ---- */
/* Mailbox 0: the account's. 1 there, 0 not, or a code. */
int index_attribute(struct index *x, uint64_t mailbox, struct str name, struct buf *out, struct err *e);
/* `value` NULL: removed. */
int index_attribute_set(
    struct index *x, uint64_t mailbox, struct str name, const struct str *value, struct err *e);
/* The same attribute of many mailboxes, with one sync. */
struct index_value {
	uint64_t mailbox;
	struct str value; /* p NULL: removed */
};
int index_attribute_set_all(
    struct index *x, struct str name, const struct index_value *v, size_t count, struct err *e);
typedef int index_attribute_fn(void *arg, struct str name, struct str value);
/* Those whose names begin with `prefix`. */
int index_attributes(
    struct index *x, uint64_t mailbox, struct str prefix, index_attribute_fn *fn, void *arg, struct err *e);

/* ---- for imapctl ---- */
/* All mailboxes that have a number, in no order. `fn` may not call the index. */
typedef int index_mailbox_fn(void *arg, struct str identity, uint64_t number);
int index_mailboxes(struct index *x, index_mailbox_fn *fn, void *arg, struct err *e);
struct index_report {
	uint64_t mailboxes, messages, runs, vanished_ranges, wire_rows, attributes;
	uint64_t state_octets, cache_octets; /* in use */
	uint64_t damaged;                    /* values whose checksum does not fit */
};
/* mailbox 0: all. Reads everything. */
int index_verify(struct index *x, uint64_t mailbox, struct index_report *out, struct err *e);
/* Is there one with this identity? 1, 0 or a code; makes nothing. */
int index_lookup(struct index *x, struct str identity, uint64_t *number, struct err *e);

#endif
