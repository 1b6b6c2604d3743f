/*
 * box.h: an open mailbox file, and what its parts have in common.
 *
 *     lock.c     dot-lock, fcntl, flock, c-client's session lock
 *     box.c      opening, the file's beginning
 *     locate.c   locators, reading
 *     sync.c     what changed, what is believed, UIDs that stick
 *     rewrite.c  a new end for the file, through the journal
 *     change.c   flags, keywords
 *     expunge.c  messages that go: at once for who looks, out of the file later
 *     mark.c     UIDs of messages that are gone
 *     torn.c     appends that a crash interrupted
 *     append.c   new messages: their text
 *     commit.c   … and into the file
 *
 * Nothing is kept of the messages between calls: the engine has them, with their locators. What is kept is
 * what the file's beginning says (struct unix_base), and a note of what was changed through this box since
 * the engine last synced (struct unix_trail), so that our own changes need no full scan.
 */
#ifndef UNIX_BOX_H
#define UNIX_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mortise/driver.h>

#include "scan.h"
#include "status.h"

#define UNIX_BOX_MAGIC 0x756e4278u
#define UNIX_APPEND_MAGIC 0x756e4170u
#define UNIX_UID_LAST 4294967294u /* 2^32-2: UIDNEXT must still be a number */

enum { UNIX_DOTLOCK_NO = 10, UNIX_DOTLOCK_TRY = 20, UNIX_DOTLOCK_REQUIRED = 30 };
enum { UNIX_BELIEVE_OWN = 10, UNIX_BELIEVE_BLOCKS = 20, UNIX_BELIEVE_ALL = 30 };
enum { UNIX_QUOTE_ALL = 10, UNIX_QUOTE_VALID = 20 };

struct unix_options {
	struct mortise_list locks;
	int dotlock;
	uint64_t dotlock_stale; /* ms */
	bool session_lock;
	const char *session_directory;
	int from_quoting;
	int believe;
	uint64_t keyword_limit;
	uint64_t expunged_max;
	uint64_t append_memory;
	bool fsync, sync_flags;
	bool open_directory;
};

/* One an instance: what is said once only, and the UIDVALIDITY last given. */
struct unix_state {
	bool told_dotlock, told_session;
	uint32_t uidvalidity;
};

/* Numbers in cursors and locators. */
static inline void unix_put(unsigned char **p, uint64_t v, size_t size)
{
	for (size_t i = 0; i < size; i++)
		*(*p)++ = (unsigned char)(v >> 8 * i);
}

static inline uint64_t unix_get(const unsigned char **p, size_t size)
{
	uint64_t v = 0;

	for (size_t i = 0; i < size; i++)
		v |= (uint64_t) * (*p)++ << 8 * i;
	return v;
}

/* A file as fstat shows it. When it is the same, so is the file. */
struct unix_print {
	uint64_t ino, size;
	uint32_t dev;         /* folded: it has to go into a cursor */
	int64_t mtime, ctime; /* ns */
};

struct unix_lock {
	int mode;        /* MORTISE_LOCK_… */
	unsigned serial; /* another one each time it is taken */
	bool dot;
	dev_t dot_dev;
	ino_t dot_ino;
	int dot_fd;           /* the lock file, flocked */
	uint64_t dot_touched; /* monotonic ms */
	int session;          /* descriptor, or -1 */
	int session_idle;     /* the same while it is not locked */
	bool session_busy;
	bool session_long; /* it was busy the last time too */
	char holder[160];  /* who has what we want */
	char session_path[160];
};

/* What the first message says of the mailbox. */
struct unix_base {
	bool known;     /* V and L are in the file */
	bool pseudo;    /* in a pseudo-message */
	bool in_place;  /* in a block that can be overwritten */
	bool head;      /* where only we write */
	uint64_t start; /* the first message, 0 in an empty file */
	uint64_t next;  /* of a pseudo-message: where it ends */
	uint64_t block_start;
	uint32_t block_size;
	uint32_t uidvalidity, uidlast, token, mark;
	bool gone;     /* the first message is, which holds it */
	size_t listed; /* keywords in its list */
	/* the first message's own, when it is one */
	uint32_t uid;
	unsigned letters;
	uint64_t keywords;
};

/* A locator, taken apart. */
struct unix_locator {
	uint64_t start, header, text, total; /* relative to start: header's end, text's end, next message */
	uint32_t from_size, from_check;
	uint64_t octets;
	uint32_t block, block_size; /* relative to start; size 0: none */
	bool uid_stored, strays;
};

/* A message that is to be changed: where it is, and how. */
struct unix_target {
	struct unix_locator at;
	uint32_t uid;
	const struct mortise_flag_change *change; /* NULL: becomes old */
	bool rewrite;                             /* it has no block with room */
};

/* Changes through this box that the engine has not been told of. */
struct unix_trail {
	bool valid;
	struct unix_print before, after;
	uint64_t rescan; /* from here on locators changed; UINT64_MAX: nowhere */
	uint32_t *vanished;
	size_t vanished_count, vanished_room;
	struct unix_target *changed; /* messages whose flags changed */
	size_t changed_count, changed_room;
};

struct unix_box {
	uint32_t magic;
	const struct mortise_place *place;
	const struct unix_options *options;
	struct unix_state *state;
	int dir;          /* the directory the file is in */
	const char *file; /* its name there */
	int fd;
	bool read_only; /* asked for, or nothing else can be had */
	bool no_flock;  /* NFS: it would be an fcntl lock */
	struct unix_lock lock;
	struct mortise_call *call; /* the one that scans, for its stop */
	bool done;                 /* the change has been made; only its end is missing */
	struct unix_base base;
	int64_t base_moved;            /* by how much the last unix_base_write shifted all messages */
	uint32_t uidvalidity, uidlast; /* as it is, or will be written */
	struct unix_keywords keywords; /* the file's list, and behind it what was found in messages */
	size_t told_keywords;          /* how many of them the engine knows */
	struct unix_print seen_print;  /* the file as sync saw it last */
	struct mortise_cursor seen;    /* what sync saw last, for unix_settle, */
	unsigned seen_serial;          /* and under which lock */
	bool unsettled;                /* messages have UIDs that are not in the file */
	bool renumber;                 /* UIDs are used up */
	uint64_t gone;                 /* octets of expunged messages in the file, about */
	bool checkpointed;             /* the engine is one that calls checkpoint */
	struct unix_trail trail;
	struct mortise_extent *extents; /* of the message last read */
	size_t extent_count, extent_room;
	struct unix_found *found; /* uid → locator, for engines that are behind */
	size_t found_count, found_room;
	struct unix_print found_print;
};

/* ---- lock.c ---- */
int unix_lock_take(struct mortise_call *call, struct unix_box *b, int mode, uint64_t deadline);
void unix_lock_release(struct mortise_call *call, struct unix_box *b);
/* Removes the session's lock file that is kept for the next time. */
void unix_lock_forget(struct unix_box *b);
/* In long work under a dot-lock: tells others that it is alive. */
void unix_lock_touch(struct mortise_call *call, struct unix_box *b);
/* The box may be written: it is locked exclusively and no c-client session has it. */
bool unix_lock_writable(const struct unix_box *b);
int unix_lock_refuse(struct mortise_call *call, struct unix_box *b);
/* Takes `mode` unless something as strong is held; *taken says whether to release. */
int unix_lock_need(struct mortise_call *call, struct unix_box *b, int mode, bool *taken);

/* ---- box.c ---- */
struct unix_found {
	uint32_t uid;
	uint8_t size;
	unsigned char locator[MORTISE_LOCATOR_MAX];
};

int unix_op_open(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
    struct mortise_box_info *info, void **box);
void unix_op_close(struct mortise_call *call, void *box);
int unix_op_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline);
int unix_op_watch(struct mortise_call *call, void *box, struct mortise_watch *watch);

struct unix_box *unix_box_of(void *box);
struct unix_state *unix_state_of(struct mortise_call *call);
/* The file that has the name now, when it is another; NOTFOUND when there is none. 0, or a code. */
int unix_box_reopen(struct mortise_call *call, struct unix_box *b);
/* The file's name, not our descriptor: 0 it is as `p` shows it, 1 not (or p is NULL), or a code. */
int unix_box_look(struct mortise_call *call, struct unix_box *b, const struct unix_print *p);
int unix_box_print(struct mortise_call *call, struct unix_box *b, struct unix_print *p);
void unix_print_of(const struct stat *st, struct unix_print *p);
bool unix_print_same(const struct unix_print *a, const struct unix_print *b);
/* In long work: 0, or the code to give up with. Nothing is given up once the file was rewritten. */
int unix_stop(struct mortise_call *call, struct unix_box *b);
int unix_scanner(
    struct mortise_call *call, struct unix_box *b, uint64_t offset, uint64_t end, struct unix_scanner *s);
/* A scanner's or stop's code as an error of the call. */
int unix_scan_fault(struct mortise_call *call, struct unix_box *b, const struct unix_scanner *s, int code);
/* Reads what the file's beginning says into b->base and b->keywords. */
int unix_base_read(struct mortise_call *call, struct unix_box *b);
void unix_base_of(struct unix_box *b, const struct unix_scanned *m);
/* Where the first message that shows begins: behind a pseudo-message. */
static inline uint64_t unix_first(const struct unix_box *b)
{
	return b->base.pseudo ? b->base.next : b->base.start;
}
int unix_pread(struct mortise_call *call, struct unix_box *b, void *p, size_t size, uint64_t offset);
int unix_pwrite(struct mortise_call *call, struct unix_box *b, const void *p, size_t size, uint64_t offset);
/*
 * A block over one of the same size that is there: writes the octets that differ. 1 they did, 0 none, or a
 * code. UNIX_UNSAFE, with nothing written: a crash in the middle could leave what neither block says.
 */
#define UNIX_UNSAFE 2
enum unix_patch {
	UNIX_PATCH_TRY,      /* write nothing, but say what would be */
	UNIX_PATCH_SAFE,     /* write what is safe */
	UNIX_PATCH_WHATEVER, /* take the risk */
};
int unix_patch(struct mortise_call *call, struct unix_box *b, const char *text, size_t size, uint64_t offset,
    enum unix_patch how, const char *old /* what is there, or NULL: it is read */);
int unix_sync_file(struct mortise_call *call, struct unix_box *b);
/* File times after a change: `added` when it was an append. */
void unix_times(struct unix_box *b, bool added);
/*
 * The file's time stamps move in steps, and *p was taken within the current one: what somebody writes before
 * it is over would not show. The file gets a time stamp of its own, or, where that may not be, the step is
 * waited for. True when *p is good then.
 */
bool unix_calm(struct mortise_call *call, struct unix_box *b, struct unix_print *p);

/* ---- locate.c ---- */
void unix_locator_write(const struct unix_scanned *m, bool uid_stored, struct mortise_message *out);
/* Where a message is now: verified, else looked for by UID. EXPUNGED when it is gone, which is no error yet.
 */
int unix_find(
    struct mortise_call *call, struct unix_box *b, const struct mortise_ref *ref, struct unix_locator *l);
/* Where it was told to be, unproved. */
int unix_target_of(
    struct mortise_call *call, struct unix_box *b, const struct mortise_ref *ref, struct unix_target *t);
/*
 * What stands there: its From line and block, and the rest of the header only when it may matter. The message
 * is looked for when it is elsewhere. 1, 0: it is gone, or a code.
 */
int unix_look_at(struct mortise_call *call, struct unix_box *b, struct unix_scanner *s, struct unix_target *t,
    struct unix_scanned *m);
int unix_op_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *source);
/* ---- sync.c ---- */
/* What to believe of one message after another, and which UIDs they get. */
struct unix_resolve {
	struct unix_box *box;
	uint32_t uidlast;   /* given so far */
	uint32_t limit;     /* stored UIDs above it are not believed */
	uint32_t previous;  /* UID of the message before */
	uint32_t floor;     /* stored UIDs up to this are not believed */
	bool renumber;      /* everyone gets a new UID */
	uint64_t batch_end; /* of what was appended at once and looked at last, */
	bool batch_torn;    /* and whether it is all there */
};
struct unix_resolved {
	uint32_t uid; /* 0: there are no UIDs left, or `torn` */
	bool torn;    /* the rest of an append that was not acknowledged: no message */
	bool gone;    /* expunged: no message any more; it has its UID still */
	bool stored;
	unsigned letters;
	uint64_t keywords;
};
void unix_resolve_begin(struct unix_resolve *r, struct unix_box *b);
void unix_resolve(struct unix_resolve *r, const struct unix_scanned *m, struct unix_resolved *out);
/* What its block is to say when nothing changes. */
void unix_block_of(const struct unix_box *b, const struct unix_scanned *m, const struct unix_resolved *is,
    struct unix_block *block);
int unix_op_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink);
/* Gives every message a UID that sticks, as sync does. Exclusive lock held. */
int unix_settle(struct mortise_call *call, struct unix_box *b);

/* ---- torn.c ---- */
/* Is this what a crash left of an append? Its UID is above L. */
bool unix_torn(struct unix_resolve *r, const struct unix_scanned *m);

/* ---- rewrite.c ---- */
enum unix_action { UNIX_KEEP, UNIX_DROP, UNIX_STAMP, UNIX_REPLACE };
struct unix_verdict {
	enum unix_action action;
	/* STAMP: goes behind the From line, instead of all internal fields. REPLACE: the whole message. */
	char block[UNIX_BLOCK_MAX];
	size_t block_size;
};
typedef int unix_decide(void *arg, const struct unix_scanned *m, struct unix_verdict *v);
/*
 * The file from `from` (where a message begins) to its end, anew: each message is kept, dropped or stamped.
 * Durable when it returns 0. Changes nothing when it fails, unless `again` was given and no room but the file
 * itself could be had: then `decide` is asked from the beginning once more, after `again`.
 */
int unix_rewrite(struct mortise_call *call, struct unix_box *b, uint64_t from, unix_decide *decide, void *arg,
    void (*again)(void *arg));
/* Nothing but a pseudo-message. */
int unix_write_pseudo(struct mortise_call *call, struct unix_box *b);
/* b's V, L and keywords into the file's beginning: in place (not synced), or by rewriting all of it:
 * base_moved. */
int unix_base_write(struct mortise_call *call, struct unix_box *b, bool new_token);
uint32_t unix_token(struct mortise_call *call, uint32_t old);

/* ---- change.c ---- */
int unix_op_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count);
int unix_op_adopt(struct mortise_call *call, void *box, uint32_t uidvalidity, uint32_t uidnext);
int unix_op_add_keyword(struct mortise_call *call, void *box, const char *name, unsigned *bit);
int unix_op_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
/* A change: everyone has a UID, b->base is what the file's beginning says now. And what comes after it. */
int unix_change_begin(struct mortise_call *call, struct unix_box *b);
int unix_change_end(struct mortise_call *call, struct unix_box *b);
void unix_targets_sort(struct unix_target *t, size_t count);
/* Of sorted ones, the one that begins there, or NULL. */
struct unix_target *unix_target_at(struct unix_target *t, size_t count, uint64_t start);
/* V and L are in the message that begins there. */
static inline bool unix_holds_base(const struct unix_box *b, uint64_t start)
{
	return !b->base.pseudo && start == b->base.start;
}
int unix_trail_begin(struct mortise_call *call, struct unix_box *b);
void unix_trail_rescan(struct unix_box *b, uint64_t offset);
int unix_trail_vanished(struct mortise_call *call, struct unix_box *b, uint32_t uid);
int unix_trail_changed(struct mortise_call *call, struct unix_box *b, const struct unix_target *t);
void unix_trail_end(struct mortise_call *call, struct unix_box *b);
void unix_trail_clear(struct unix_box *b);

/* ---- expunge.c ---- */
int unix_op_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
/* Takes out what is gone, if anything is. The box may be written. */
int unix_compact(struct mortise_call *call, struct unix_box *b);
int unix_op_checkpoint(struct mortise_call *call, void *box);

/* ---- mark.c ---- */
/* The last messages are gone, their UIDs not given again: nobody who comes next may claim one. */
int unix_mark_end(struct mortise_call *call, struct unix_box *b);

/* ---- append.c ---- */
int unix_op_append_begin(struct mortise_call *call, void *box, void **tx);
int unix_op_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info);
int unix_op_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size);
int unix_op_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count);
void unix_op_append_abort(struct mortise_call *call, void *tx);
int unix_op_append_copy(struct mortise_call *call, void *tx, void *box, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t count);

#endif
