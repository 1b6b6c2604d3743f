/*
 * mortise/driver.h: mailbox drivers (kind 100).
 *
 * A driver knows octets on disk: recognise, create, open, say what changed, read, append, store flags,
 * expunge, lock, close. The engine knows IMAP: sequence numbers, views, \Recent for a session, mod-sequences,
 * notifications, caches. A driver never sees a client, a sequence number or an IMAP command.
 *
 * Order of a change. The engine calls lock(EXCLUSIVE), sync (so that both sides know the same), then
 * set_flags, expunge or an append's commit, then lock(NONE). A change is durable when the callback returns 0:
 * the driver has synced it, one sync a batch; flags it may leave to the system to write. A callback that
 * fails has changed nothing, or says in its comment what may remain.
 *
 * UIDs. A driver whose format keeps UIDs (trait uid = NATIVE) gives each message its UID and keeps the rules:
 * never zero, strictly rising in mailbox order, never reused with the same UIDVALIDITY. Other drivers give
 * uid 0 and a locator whose first `identity_size` octets say which message it is; the engine assigns and
 * remembers.
 *
 * Cursors. The engine keeps the cursor, and what it was told up to there, in an index that outlives the box,
 * the process and the machine's uptime. So a cursor is data about the mailbox, never about a box in memory:
 * the one that sync is given may come from another box, another process or an older version of the module,
 * and a driver that cannot make sense of it (version, size, a file that is another one) answers with a full
 * scan. When the mailbox is as the cursor says, a fresh box tells nothing, keywords included, and has read
 * nothing but the file's or directory's status. What a driver holds of the messages it loads when a callback
 * needs it; open reads as little as it can.
 *
 * Flags are the bits below; keywords are a bit mask over the mailbox's keyword table, which the driver
 * reports with sink->keywords before a message uses a bit.
 *
 * Text. Messages cross the border as CRLF octets in both directions, or as extents of a file with its newline
 * convention named; nothing else is converted. What a format adds to a message (From lines, Status headers)
 * never shows.
 *
 * Threads: a driver is called from one thread. Several processes have the same mailbox open at once; foreign
 * programs may too.
 */
#ifndef MORTISE_DRIVER_H
#define MORTISE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <mortise/error.h>
#include <mortise/host.h>
#include <mortise/module.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MORTISE_DRIVER_MAJOR 0u
#define MORTISE_DRIVER_MINOR 3u

/* System flags (RFC 9051 §2.3.2). */
#define MORTISE_FLAG_SEEN 0x01u
#define MORTISE_FLAG_DELETED 0x02u
#define MORTISE_FLAG_FLAGGED 0x04u
#define MORTISE_FLAG_ANSWERED 0x08u
#define MORTISE_FLAG_DRAFT 0x10u
#define MORTISE_FLAGS_SYSTEM 0x1fu
/* The format itself marks the message as not yet seen by any session (mbox: no O in Status; maildir: in
 * new/). */
#define MORTISE_FLAG_RECENT 0x100u

#define MORTISE_LOCATOR_MAX 64
#define MORTISE_CURSOR_MAX 64
#define MORTISE_SIZE_UNKNOWN UINT64_MAX

/* Where a mailbox is. Relative to a directory; `path` is clean (no "..", no leading '/'). */
struct mortise_place {
	size_t size;
	int root;         /* directory descriptor, -1 when the namespace has no files */
	const char *path; /* UTF-8 */
	const char *name; /* the mailbox name as the user knows it, UTF-8, for messages */
	bool inbox;
	mode_t file_mode;      /* for what is created: 0600 */
	mode_t dir_mode;       /* 0700 */
	uint64_t lock_timeout; /* milliseconds to wait for a lock at most */
};

/* ---- recognise ---- */
#define MORTISE_NOT_MINE 0
#define MORTISE_MINE 10
#define MORTISE_DAMAGED 20 /* mine, but damaged: say why with host->fail or fault */

struct mortise_probe {
	size_t size;
	const struct mortise_place *place;
	int fd; /* the object, open read-only (file or directory), at offset 0; not the driver's */
	const struct stat *st;     /* of fd */
	const unsigned char *head; /* first octets of a file (≤ 4,096) */
	size_t head_size;
};

/* ---- open ---- */
#define MORTISE_OPEN_READ_ONLY 0x01u

struct mortise_box_info {
	size_t size;
	uint32_t uidvalidity;     /* 0: the engine keeps it */
	uint32_t uidnext;         /* 0: the engine keeps it */
	uint32_t permanent_flags; /* MORTISE_FLAG_… that the mailbox keeps */
	uint32_t keyword_limit;   /* keywords the format can hold, ≤ 64; 0: none */
	bool may_create_keywords; /* \* in PERMANENTFLAGS */
	bool read_only;           /* the driver could only open it read-only */
};

/* ---- sync ---- */
/* What the engine knows of the mailbox, in the driver's own words; see "Cursors" above. */
struct mortise_cursor {
	uint8_t size; /* 0: from the beginning */
	unsigned char data[MORTISE_CURSOR_MAX];
};

struct mortise_message {
	size_t size;
	uint32_t uid;          /* 0: the engine's affair */
	uint32_t flags;        /* MORTISE_FLAG_… */
	uint64_t keywords;     /* bit i: keyword i of the table */
	int64_t internal_date; /* seconds since 1970 UTC */
	int32_t zone;          /* minutes east of UTC of the internal date */
	uint64_t octets;       /* RFC822.SIZE: CRLF octets, or MORTISE_SIZE_UNKNOWN */
	uint8_t locator_size;  /* what read() needs to find it again */
	unsigned char locator[MORTISE_LOCATOR_MAX];
	/*
	 * 0.3: with uid 0, the first octets of the locator that stay the same for the life of the message and
	 * differ from those of every other message of the mailbox, wherever it is moved within it; the rest
	 * may change. 0: all of it.
	 */
	size_t identity_size;
};

/*
 * The engine's ear. Each returns 0 or an error code, which the driver hands on at once. Order: full_scan
 * first if at all; keywords before the messages that use them; messages in rising UID (or arrival) order.
 */
struct mortise_sink {
	size_t size;
	void *engine;
	/* All messages follow as `added`; what is not among them has vanished. UIDs decide what is the same
	 * message. */
	int (*full_scan)(void *engine, uint32_t uidvalidity);
	/* The keyword table as it now is. Bits keep their meaning for the mailbox's life. A bit that is not
	 * used has an empty name. */
	int (*keywords)(void *engine, const char *const *names, size_t count);
	/* A message: new, or (after full_scan) still there. */
	int (*added)(void *engine, const struct mortise_message *m);
	/* Flags, keywords or locator of a known message changed. */
	int (*changed)(void *engine, const struct mortise_message *m);
	int (*vanished)(void *engine, uint32_t uid);
	/* UIDNEXT is at least this. */
	int (*uidnext)(void *engine, uint32_t uidnext);
};

/* ---- read ---- */
#define MORTISE_NEWLINE_CRLF 10
#define MORTISE_NEWLINE_LF 20 /* every LF counts as CRLF; a CR before an LF in the file is not doubled */

struct mortise_extent {
	uint64_t offset;
	uint64_t length;
};

/* A message's octets: extents of a file, or memory when fd is -1. Valid until the next call on the same box.
 */
struct mortise_source {
	size_t size;
	int fd; /* the driver's own, or -1 */
	int newline;
	const struct mortise_extent *extents; /* in order; with fd -1: offsets into memory */
	size_t extent_count;
	const unsigned char *memory;
};

/* ---- changes ---- */
struct mortise_ref {
	uint32_t uid;
	uint8_t locator_size;
	unsigned char locator[MORTISE_LOCATOR_MAX];
};

struct mortise_flag_change {
	struct mortise_ref ref;
	uint32_t flags;    /* the new value, all of it (without RECENT) */
	uint64_t keywords; /* likewise */
};

struct mortise_append_info {
	size_t size;
	uint32_t flags;
	const char *const
	    *keywords; /* names; the driver adds missing ones to its table if it can, else leaves them out */
	size_t keyword_count;
	int64_t internal_date;
	int32_t zone;
	uint64_t octets; /* what will be written, when known, else MORTISE_SIZE_UNKNOWN */
	/*
	 * 0.3: the UID it must get, in a mailbox that `adopt` was called for: rising, not below its UIDNEXT.
	 * 0: the next one, as always.
	 */
	uint32_t uid;
};

#define MORTISE_LOCK_NONE 0
#define MORTISE_LOCK_SHARED 10    /* no other program changes the mailbox meanwhile */
#define MORTISE_LOCK_EXCLUSIVE 20 /* no other program reads or changes it */

/* ---- traits ---- */
#define MORTISE_TRAIT_NONE 0     /* neither the format nor the engine offers it */
#define MORTISE_TRAIT_EMULATE 10 /* the engine does it */
#define MORTISE_TRAIT_NATIVE 20  /* the format keeps it */

struct mortise_traits {
	size_t size;
	int uid, keywords, modseq; /* MORTISE_TRAIT_… */
	bool multi_writer;         /* several sessions may have it open read-write */
	bool directory;            /* a mailbox is a directory (and may have children); else a file */
	bool needs_journal;
	int newline; /* how text is stored */
	const char
	    *file_suffix; /* unused files beside the mailbox that LIST must hide, e.g. ".lock", or NULL */
	/*
	 * 0.2: with `directory`, what lies in a mailbox's directory and is the format's own ("cur", "new"),
	 * ended by NULL; a '*' at the end stands for anything, a '#' (0.3) also for digits. Nothing of these
	 * names is a mailbox below a mailbox of this driver, nor can be made there. NULL: nothing is.
	 */
	const char *const *own_names;
};

#define MORTISE_WATCH_MAX 4
struct mortise_watch {
	const char *paths[MORTISE_WATCH_MAX]; /* relative to the place's root; changes in them mean: sync */
	size_t count;
};

/*
 * `box` is what open returned. Every callback may be called with any lock state unless said otherwise.
 */
struct mortise_driver_ops {
	size_t size;
	const struct mortise_traits *traits;

	/* Required. MORTISE_NOT_MINE, MORTISE_MINE, MORTISE_DAMAGED or an error code. No side effects on the
	 * file. */
	int (*recognise)(struct mortise_call *call, const struct mortise_probe *probe);
	/* Required. A new, empty mailbox; its parent directories are there. EXISTS when something is there.
	 */
	int (*create)(struct mortise_call *call, const struct mortise_place *place);
	/*
	 * Required. Opens an existing mailbox (for an INBOX that is not there: NOTFOUND). place lives as long
	 * as the box. Nothing is changed on disk here.
	 */
	int (*open)(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
	    struct mortise_box_info *info, void **box);
	/*
	 * Required. Pushes what changed since *cursor into the sink and moves *cursor on. Takes its own
	 * shared lock when none is held. May write to the mailbox what makes UIDs stick, if it is open
	 * read-write. When nothing changed this costs one fstat.
	 */
	int (*sync)(struct mortise_call *call, void *box, struct mortise_cursor *cursor,
	    const struct mortise_sink *sink);
	/* Required. EXPUNGED when the message is no longer there. */
	int (*read)(struct mortise_call *call, void *box, const struct mortise_ref *ref,
	    struct mortise_source *source);
	/*
	 * Required. append_begin … append_message, append_write* … append_commit or append_abort. Several
	 * messages in one batch; all or none of them arrive, with one sync. The exclusive lock need not be
	 * held between begin and commit (the driver takes what it needs in commit); text is collected outside
	 * the mailbox until then, or in it where an abort can take it back. commit fills uids[0..count) (0:
	 * not known) and *uidvalidity, in order of append_message calls. After commit or abort, tx is gone.
	 */
	int (*append_begin)(struct mortise_call *call, void *box, void **tx);
	int (*append_message)(struct mortise_call *call, void *tx, const struct mortise_append_info *info);
	int (*append_write)(struct mortise_call *call, void *tx, const void *octets, size_t size);
	int (*append_commit)(
	    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count);
	void (*append_abort)(struct mortise_call *call, void *tx);
	/* Required. Exclusive lock held. Messages that are gone are skipped. */
	int (*set_flags)(
	    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count);
	/* Required. Exclusive lock held. Removes exactly these; those already gone are skipped. */
	int (*expunge)(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
	/*
	 * Required. Moves to the mode (NONE, SHARED, EXCLUSIVE); waits until `deadline` at most, then INUSE
	 * with a fault that names the holder when it can be known.
	 */
	int (*lock)(struct mortise_call *call, void *box, int mode, uint64_t deadline);
	/* Required. Releases everything, and the box. */
	void (*close)(struct mortise_call *call, void *box);

	/* Optional (NULL: the engine emulates, or answers UNSUPPORTED where it cannot). */
	/* Keyword `name` gets a bit, durable by the next set_flags. LIMIT when the table is full. Exclusive
	 * lock. */
	int (*add_keyword)(struct mortise_call *call, void *box, const char *name, unsigned *bit);
	/*
	 * Removes the whole mailbox / moves it; parents of `to` are there, `to` itself is not (EXISTS when it
	 * is). Both take the locks they need themselves. What is below a directory mailbox stays when it is
	 * removed and goes along when it is moved. Emulated by unlink (of a file) and rename, under the lock
	 * of a box.
	 */
	int (*remove)(struct mortise_call *call, const struct mortise_place *place);
	int (*rename)(
	    struct mortise_call *call, const struct mortise_place *from, const struct mortise_place *to);
	/* What to watch for changes. Emulated by watching the file. */
	int (*watch)(struct mortise_call *call, void *box, struct mortise_watch *watch);
	/* Clears MORTISE_FLAG_RECENT of these messages on disk (a session has been told). */
	int (*seen_recent)(
	    struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);

	/* Since 0.3, all optional. */
	/*
	 * Called instead of append_commit by engines that know it: refs[0..count) get the UIDs or, where the
	 * engine numbers the messages (uid 0), locators of the new messages, in order of append_message
	 * calls.
	 */
	int (*append_commit_refs)(struct mortise_call *call, void *tx, uint32_t *uidvalidity,
	    struct mortise_ref *refs, size_t count);
	/*
	 * Copies messages of `box` into the open append `tx` (of another box of this driver, or the same one)
	 * as append_message and append_write would, but by the shortest way the file system has:
	 * copy_file_range, links. infos[i] is for refs[i] (flags, keywords, dates). Locks as for read.
	 * UNSUPPORTED: this cannot be done for these two; nothing was added to tx, and the engine copies.
	 */
	int (*append_copy)(struct mortise_call *call, void *tx, void *box, const struct mortise_ref *refs,
	    const struct mortise_append_info *infos, size_t count);
	/*
	 * A new, empty mailbox takes over another one's numbers: UIDVALIDITY is exactly this, UIDNEXT at
	 * least this. In a mailbox with messages, and with the UIDVALIDITY that it has, it only raises
	 * UIDNEXT. INVALID otherwise. Exclusive lock. Without it (uid NATIVE) a conversion into this format
	 * cannot keep UIDs.
	 */
	int (*adopt)(struct mortise_call *call, void *box, uint32_t uidvalidity, uint32_t uidnext);
	/*
	 * Time for what was put off: called when the session has been quiet for a few seconds, and before
	 * close. No lock is held; the driver takes what it gets without waiting, and does nothing if it gets
	 * none. Nobody is told of a failure; what must not fail may not be put off.
	 */
	int (*checkpoint)(struct mortise_call *call, void *box);
};

#ifdef __cplusplus
}
#endif
#endif
