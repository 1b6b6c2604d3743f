/*
 * box.h: an open mbx file, and what its parts have in common.
 *
 *     record.c   a record's first line: parsed, printed
 *     lock.c     c-client's lock in /tmp, and the session's flock
 *     header.c   the file's header
 *     box.c      opening, closing, what is known of the file
 *     line.c     record lines read, found by their locators, and changed in place
 *     scan.c     all records, UIDs that stick, what an append left
 *     sync.c     cursors, what changed
 *     change.c   flags, keywords, marks of expunged messages
 *     compact.c  the space of expunged messages taken back
 *     append.c   new messages
 *
 * The file. 2,048 octets of header (UIDVALIDITY, last UID, keywords, the last writer), then records: a line
 * with date, size, keywords, flags and UID, and that many octets of text. Flags and UIDs are written in
 * place. Every session holds flock shared for as long as it has the file open, and c-client's lock
 * /tmp/.DEVICE.INODE exclusively whenever it parses or changes; records are moved only by who gets flock
 * exclusively, so they stay where they are as long as a box is open, unless the box moves them itself.
 *
 * A box keeps no list of messages. A locator says where a message's line is, how long line and text are, and
 * the UID in it; who uses one reads that line, and when another is found there, all of them. Messages marked
 * as expunged are the gaps between live ones.
 *
 * The trail. With every change of ours goes a note at the unused end of the header: the file's size and its
 * modification time (whose fraction is by chance, and which no other program can set) say that nobody else
 * has written since; its epoch changes whenever flags may have. So with the trail in force a record can be
 * added without reading the others, who knows an older state with the same epoch need only look behind its
 * end, and how much there is to take back is known. c-client wipes it, or leaves it outdated.
 *
 * The note. An append writes there the file's size and its last UID before it begins, and wipes that when it
 * is done. When a process dies in between, a batch that is not all there, or does not parse, is cut off by
 * the next who locks the mailbox; without the note a damaged mailbox is never changed. Who gives UIDs to
 * messages that have none notes where he begins, and with which: done again, each gets the same.
 */
#ifndef MBX_BOX_H
#define MBX_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mortise/driver.h>

#define MBX_BOX_MAGIC 0x6d627842u
#define MBX_APPEND_MAGIC 0x6d627841u

#define MBX_HEADER 2048u /* octets before the first record */
#define MBX_PREFIX 25u   /* octets by which the format is recognised */
#define MBX_UIDS 7u      /* where UIDVALIDITY and the last UID are, 8 digits each */
#define MBX_TRAIL 1920u  /* where the trail is: 'T', 5 times 16 digits, 8 digits */
#define MBX_NOTE 2010u   /* where the note is: what is being done, 16 digits, 8 digits */
#define MBX_NOTE_SIZE 25u
#define MBX_APPENDING 'A'
#define MBX_NUMBERING 'N'
#define MBX_PID 2038u /* 8 digits, CRLF */
#define MBX_KEYWORDS 30u
#define MBX_KEYWORD_MAX 50u
#define MBX_LINE_MAX 64u /* a record's first line is not longer */
#define MBX_TAIL 23u     /* from the keyword digits to the line's end */
#define MBX_SIZE_MAX 9999999999999u
#define MBX_UID_LAST 4294967294u
#define MBX_WINDOW 65536u

/* Flags in the file. */
#define MBX_SEEN 0x0001u
#define MBX_DELETED 0x0002u
#define MBX_FLAGGED 0x0004u
#define MBX_ANSWERED 0x0008u
#define MBX_OLD 0x0010u
#define MBX_DRAFT 0x0020u
#define MBX_EXPUNGED 0x8000u

struct mbx_options {
	uint64_t keyword_limit;
	uint64_t message_limit;
	uint64_t compact_now;
	bool fsync;
	bool sync_flags;
	const char *lock_directory;
};

/* One an instance. */
struct mbx_state {
	uint32_t uidvalidity; /* last given */
};

/* A file as fstat shows it. When it is the same, so is the file. */
struct mbx_print {
	uint64_t dev, ino, size;
	int64_t mtime, ctime; /* ns */
};

struct mbx_record {
	uint64_t offset, size; /* of the line; of the text behind it */
	int64_t date;
	uint32_t uid, keywords; /* keywords: the file's bits */
	uint32_t stored_uid;    /* in the file: 0 or another one when its UID could not be written */
	uint16_t flags;
	int16_t zone;
	uint8_t line; /* octets, with CRLF */
};

struct mbx_trail {
	uint64_t epoch; /* 0: no trail */
	int64_t mtime;
	uint64_t size;
	uint64_t dead, dead_from; /* octets of expunged records; where the first is */
	uint64_t count;           /* of the others */
};

struct mbx_header {
	unsigned char raw[MBX_HEADER];
	uint32_t uidvalidity, uidlast;
	bool unwritten;    /* the file is empty */
	char note;         /* what has not ended, or '\0' */
	uint64_t note_at;  /* append: the file's size before it; numbering: the first record without UID */
	uint32_t note_uid; /* append: of its last message; numbering: what the first one gets */
	struct mbx_trail trail;
	unsigned used_slots; /* keyword lines before the first empty one */
	size_t keyword_count;
	uint8_t slots[MBX_KEYWORDS]; /* keyword → line; a line that is no keyword has none */
	char names[MBX_KEYWORDS][MBX_KEYWORD_MAX + 1];
};

/* What is known of the whole file. */
struct mbx_known {
	bool there;
	struct mbx_print print; /* as it was then */
	uint64_t epoch;         /* of the trail in force, or 0 */
	uint64_t dead, dead_from, count;
	bool provisional; /* UIDs could not be written, or an append's rest is still there */
	bool racy;        /* the print may be that of a later state, too */
};

/* Changes through this box that the engine was not told. */
struct mbx_own_change {
	uint64_t offset;
	uint32_t uid;
	bool gone;
};

struct mbx_own {
	struct mbx_print from, to; /* the file before the first and after the last of them */
	struct mbx_own_change *list;
	size_t count, room;
};

/* A piece of the file: a line, or where lines are close to each other, many. */
struct mbx_window {
	uint64_t at, last; /* where it is; the line that was asked for last */
	size_t size;
	uint64_t dirty_from, dirty_to; /* to be written */
	unsigned char line[MBX_LINE_MAX], *many, *octets;
};

struct mbx_box {
	uint32_t magic;
	const struct mortise_place *place;
	const struct mbx_options *options;
	struct mbx_state *state;
	int fd;
	bool read_only;
	int lock_mode; /* MORTISE_LOCK_… */
	int lock_fd;   /* the file in /tmp, or -1 */
	int idle_fd;   /* the same while it is not locked */
	char lock_path[256];
	struct mbx_header header;
	uint32_t uidvalidity, uidlast; /* as they are, or would be written */
	uint32_t given, given_for;     /* UIDVALIDITY in place of the header's, which could not be written */
	struct mbx_known known;
	struct mbx_own own;
	int64_t stamp; /* the modification time of a change that has not ended */
	/* of a scan, in order, until its user frees them */
	struct mbx_record *records;
	size_t count, room;
	uint32_t uid_before; /* the last UID met, of expunged messages too */
	struct mbx_window window;
	struct mortise_extent extent; /* of the message last read */
};

/* ---- record.c ---- */
/* 0, or -1 and in *bad the octet of the line that is wrong. The text's size is not checked. */
int mbx_record_parse(const unsigned char *p, size_t size, struct mbx_record *out, unsigned *bad);
/* The whole line; its size. */
size_t mbx_record_print(char out[MBX_LINE_MAX], const struct mbx_record *r);
/* The 21 octets that change in place. */
void mbx_record_print_tail(char out[MBX_LINE_MAX], const struct mbx_record *r);
bool mbx_hex(const unsigned char *p, size_t size, uint64_t *out);
uint16_t mbx_flags_of(uint32_t flags);  /* MORTISE_FLAG_… to the file's */
uint32_t mbx_flags_from(uint16_t bits); /* and back; RECENT too */
static inline uint64_t mbx_record_end(const struct mbx_record *r)
{
	return r->offset + r->line + r->size;
}

/* ---- lock.c ---- */
int mbx_lock_take(struct mortise_call *call, struct mbx_box *b, int mode, uint64_t deadline);
void mbx_lock_release(struct mbx_box *b);
/* Removes the lock file that is kept for the next time. */
void mbx_lock_forget(struct mbx_box *b);
/* Takes it unless it is held, and finishes what the journal has; *taken says whether to release. */
int mbx_lock_until(struct mortise_call *call, struct mbx_box *b, uint64_t deadline, bool *taken);
int mbx_lock_need(struct mortise_call *call, struct mbx_box *b, bool *taken);
/* Before a change: 0, or why not. */
int mbx_lock_check(struct mortise_call *call, const struct mbx_box *b);
/* The session's flock, shared; waits. */
int mbx_session_share(struct mortise_call *call, struct mbx_box *b);
/* Alone with the file? If so flock is held exclusively until mbx_session_share. */
bool mbx_session_alone(struct mortise_call *call, struct mbx_box *b);
int mbx_op_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline);
static inline bool mbx_may_write(const struct mbx_box *b)
{
	return !b->read_only && b->lock_fd >= 0;
}

/* ---- header.c ---- */
void mbx_header_new(char out[MBX_HEADER], uint32_t uidvalidity);
/* As it is now. */
int mbx_header_read(struct mortise_call *call, struct mbx_box *b);
/* All of it, with the box's UIDVALIDITY and last UID. */
int mbx_header_write(struct mortise_call *call, struct mbx_box *b);
/* Trail, note and last writer only. */
int mbx_header_write_end(struct mortise_call *call, struct mbx_box *b);
/* The next mbx_header_write has the names; LIMIT when they do not fit. */
int mbx_header_put_keywords(struct mortise_call *call, struct mbx_box *b);
/* Keyword number, adding the name when it is new and `add`; -1: none. Nothing is written. */
int mbx_keyword(struct mbx_box *b, const char *name, bool add);
/* The file's keyword bits that have names. */
uint32_t mbx_keyword_bits(const struct mbx_header *h);
uint32_t mbx_uidvalidity_new(struct mbx_state *s, uint32_t old);

/* ---- box.c ---- */
struct mbx_box *mbx_box_of(void *box);
struct mbx_state *mbx_state_of(struct mortise_call *call);
int mbx_pread(struct mortise_call *call, const struct mbx_box *b, void *p, size_t size, uint64_t offset);
int mbx_pwrite(
    struct mortise_call *call, const struct mbx_box *b, const void *p, size_t size, uint64_t offset);
int mbx_sync_file(struct mortise_call *call, const struct mbx_box *b);
int mbx_print_of(struct mortise_call *call, const struct mbx_box *b, struct mbx_print *out);
bool mbx_print_same(const struct mbx_print *a, const struct mbx_print *b);
/* Taken so soon after a change by another that a further one may not show. */
bool mbx_print_racy(const struct mbx_print *p);
/* The trail in the header is about the file as it is. */
bool mbx_trail_holds(const struct mbx_header *h, const struct mbx_print *now);
/*
 * A change: begin; write; stamp, which goes to the disk with it; sync; end. `flags`: of what is there, else
 * only something is added. The header is as it is now after begin. What fails ends with mbx_change_failed.
 */
int mbx_change_begin(struct mortise_call *call, struct mbx_box *b);
int mbx_change_stamp(struct mortise_call *call, struct mbx_box *b, uint64_t size, bool flags);
void mbx_change_end(struct mortise_call *call, struct mbx_box *b, bool added);
void mbx_change_failed(struct mbx_box *b);
/* For the next sync. */
void mbx_own_note(struct mbx_box *b, const struct mbx_record *m, bool gone);
/* b->known, from the trail or by reading. Locked. */
int mbx_know(struct mortise_call *call, struct mbx_box *b);
bool mbx_known_holds(const struct mbx_box *b, const struct mbx_print *now);
int mbx_op_open(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
    struct mortise_box_info *info, void **box);
void mbx_op_close(struct mortise_call *call, void *box);

/* ---- line.c ---- */
/* Forgets what is in the window. */
void mbx_window_reset(struct mbx_box *b);
int mbx_window_flush(struct mortise_call *call, struct mbx_box *b);
/* The record at `offset`. 0, a code, or 1 with *bad, the octet that is wrong, and *what is wrong with it. */
int mbx_line_read(struct mortise_call *call, struct mbx_box *b, uint64_t offset, uint64_t size,
    struct mbx_record *out, uint64_t *bad, const char **what);
int mbx_damaged(struct mortise_call *call, const struct mbx_box *b, uint64_t offset, const char *what);
/* Keywords, flags and UID in place; done after mbx_window_flush. */
int mbx_line_patch(struct mortise_call *call, struct mbx_box *b, const struct mbx_record *m);
void mbx_locator_make(const struct mbx_record *m, uint8_t *size, unsigned char *out);
/*
 * Calls visit for each message of refs (the first member of structures of `stride` octets) that is there, in
 * their order as long as their locators hold. Locked.
 */
typedef int mbx_visitor(
    struct mortise_call *call, struct mbx_box *b, struct mbx_record *m, size_t i, void *arg);
int mbx_each(struct mortise_call *call, struct mbx_box *b, const struct mortise_ref *refs, size_t stride,
    size_t count, mbx_visitor *visit, void *arg);
int mbx_op_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *source);

/* ---- scan.c ---- */
/*
 * b->records are all that there are, b->known is about the file; UIDs that are missing are given and, if
 * possible, written, and what an interrupted append left is removed. The header was just read. Locked.
 */
int mbx_scan(struct mortise_call *call, struct mbx_box *b);
/* b->records are those from `from` on, all with UIDs above `uid_before`. 0, or 1: all have to be looked at.
 */
int mbx_scan_tail(struct mortise_call *call, struct mbx_box *b, uint64_t from, uint32_t uid_before);
void mbx_records_free(struct mbx_box *b);
/* In b->records; NULL: not there */
struct mbx_record *mbx_find(const struct mbx_box *b, uint32_t uid);

/* ---- sync.c ---- */
int mbx_op_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink);

/* ---- change.c ---- */
int mbx_op_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count);
int mbx_op_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
int mbx_op_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
int mbx_op_add_keyword(struct mortise_call *call, void *box, const char *name, unsigned *bit);
int mbx_op_adopt(struct mortise_call *call, void *box, uint32_t uidvalidity, uint32_t uidnext);

/* ---- compact.c ---- */
/* Takes back the space of expunged messages if nobody else has the file open and no lock is waited for. */
int mbx_op_checkpoint(struct mortise_call *call, void *box);

/* ---- append.c ---- */
int mbx_op_append_begin(struct mortise_call *call, void *box, void **tx);
int mbx_op_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info);
int mbx_op_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size);
int mbx_op_append_copy(struct mortise_call *call, void *tx, void *box, const struct mortise_ref *refs,
    const struct mortise_append_info *infos, size_t count);
int mbx_op_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count);
int mbx_op_append_commit_refs(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, struct mortise_ref *refs, size_t count);
void mbx_op_append_abort(struct mortise_call *call, void *tx);

#endif
