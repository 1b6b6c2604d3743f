/*
 * box.h: an open mbx file, and what its parts have in common.
 *
 *     record.c   a record's first line: parsed, printed
 *     lock.c     c-client's lock in /tmp, and the session's flock
 *     box.c      opening, closing, the file's header
 *     sync.c     what changed, UIDs that stick, reading
 *     change.c   flags, keywords
 *     compact.c  expunge: the space taken back, or the messages only marked
 *     append.c   new messages
 *
 * The file. 2,048 octets of header (UIDVALIDITY, last UID, keywords, the last writer's process), then
 * records: a line with date, size, keywords, flags and UID, and that many octets of text. Flags and UIDs are
 * written in place. Every session holds flock shared for as long as it has the file open, and c-client's lock
 * /tmp/.DEVICE.INODE exclusively whenever it parses or changes; records are moved only by who gets flock
 * exclusively, so they stay where they are as long as a box is open, unless the box moves them itself.
 *
 * A box keeps where every live message is, by UID: locators are UIDs and never change. Messages marked as
 * expunged are the gaps between live ones.
 *
 * An append notes the file's size and its last UID in the unused end of the header before it begins, and
 * wipes the note when it is done. When a process dies in between, a batch that is not all there, or does not
 * parse, is cut off by the next who locks the mailbox; without the note a damaged mailbox is never changed.
 */
#ifndef MBX_BOX_H
#define MBX_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mortise/driver.h>

#define MBX_BOX_MAGIC 0x6d627842u
#define MBX_APPEND_MAGIC 0x6d627841u

#define MBX_HEADER 2048u  /* octets before the first record */
#define MBX_PREFIX 25u    /* octets by which the format is recognised */
#define MBX_UIDS 7u       /* where UIDVALIDITY and the last UID are, 8 digits each */
#define MBX_NOTE 2010u    /* where an append notes the size before it, and its last UID */
#define MBX_NOTE_SIZE 25u /* 'A', 16 digits, 8 digits */
#define MBX_PID 2038u     /* 8 digits, CRLF */
#define MBX_KEYWORDS 30u
#define MBX_KEYWORD_MAX 50u
#define MBX_LINE_MAX 64u   /* a record's first line is not longer */
#define MBX_LINE_WRITE 52u /* nor, as we write it */
#define MBX_TAIL 23u       /* from the keyword digits to the line's end */
#define MBX_SIZE_MAX 9999999999999u
#define MBX_UID_LAST 4294967294u

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
	uint16_t flags;
	int16_t zone;
	uint8_t line;  /* octets, with CRLF */
	bool untold;   /* changed through this box, and the engine does not know */
	bool unstored; /* its UID is not in the file */
};

struct mbx_header {
	uint32_t uidvalidity, uidlast;
	bool note;           /* an append has not ended */
	uint64_t note_size;  /* the file's size before it */
	uint32_t note_uid;   /* of its last message */
	unsigned used_slots; /* keyword lines before the first empty one */
	size_t keyword_count;
	uint8_t slots[MBX_KEYWORDS]; /* keyword → line; a line that is no keyword has none */
	char names[MBX_KEYWORDS][MBX_KEYWORD_MAX + 1];
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
	char lock_path[256];
	struct mbx_header header;
	uint32_t uidvalidity, uidlast; /* as it is, or would be written */
	/* live messages, in order */
	bool loaded;
	uint32_t loaded_uidvalidity; /* the header's, then */
	struct mbx_record *records;
	size_t count, room;
	uint64_t end;        /* all before it has been parsed */
	uint64_t live;       /* octets of records that are there */
	uint32_t uid_before; /* the last UID met, of marked messages too */
	/* what the engine knows */
	uint64_t serial; /* in its cursor; another one whenever it must begin anew */
	size_t told;     /* records[0 … told) */
	size_t told_keywords;
	struct mbx_print print;
	bool sweep, racy; /* flags have to be looked at again, whatever the print says */
	size_t untold_count;
	uint32_t *gone; /* UIDs that went through this box */
	size_t gone_count, gone_room;
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

/* ---- lock.c ---- */
int mbx_lock_take(struct mortise_call *call, struct mbx_box *b, int mode, uint64_t deadline);
void mbx_lock_release(struct mbx_box *b);
/* Takes it unless it is held; *taken says whether to release. */
int mbx_lock_need(struct mortise_call *call, struct mbx_box *b, bool *taken);
/* Before a change: 0, or why not. */
int mbx_lock_check(struct mortise_call *call, const struct mbx_box *b);
/* The session's flock, shared; waits. */
int mbx_session_share(struct mortise_call *call, struct mbx_box *b);
/* Alone with the file? If so flock is held exclusively until mbx_session_share. */
bool mbx_session_alone(struct mortise_call *call, struct mbx_box *b);
int mbx_op_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline);

/* ---- box.c ---- */
struct mbx_box *mbx_box_of(void *box);
void mbx_header_new(char out[MBX_HEADER], uint32_t uidvalidity);
int mbx_header_read(struct mortise_call *call, struct mbx_box *b);
/* UIDVALIDITY and the last UID, from the box. */
int mbx_header_write_uids(struct mortise_call *call, struct mbx_box *b);
int mbx_header_write_keywords(struct mortise_call *call, struct mbx_box *b);
/* size 0 wipes it */
int mbx_header_write_note(struct mortise_call *call, struct mbx_box *b, uint64_t size);
int mbx_header_write_pid(struct mortise_call *call, struct mbx_box *b);
uint32_t mbx_uidvalidity_new(struct mbx_state *s, uint32_t old);
int mbx_pread(struct mortise_call *call, const struct mbx_box *b, void *p, size_t size, uint64_t offset);
int mbx_pwrite(
    struct mortise_call *call, const struct mbx_box *b, const void *p, size_t size, uint64_t offset);
int mbx_sync_file(struct mortise_call *call, const struct mbx_box *b);
int mbx_print_of(struct mortise_call *call, const struct mbx_box *b, struct mbx_print *out);
bool mbx_print_same(const struct mbx_print *a, const struct mbx_print *b);
/* Taken so soon after a change by another that a further one may not show. */
bool mbx_print_racy(const struct mbx_print *p);
/* Around a change of our own: when nobody else changed the file since the last sync, nothing need be read. */
int mbx_change_begin(struct mortise_call *call, struct mbx_box *b);
void mbx_change_end(struct mortise_call *call, struct mbx_box *b, bool added);
int mbx_op_open(struct mortise_call *call, const struct mortise_place *place, uint32_t open_flags,
    struct mortise_box_info *info, void **box);
void mbx_op_close(struct mortise_call *call, void *box);

/* ---- sync.c ---- */
/* What is behind `end` becomes records; UIDs that are missing are given and, if possible, written. Locked. */
int mbx_scan(struct mortise_call *call, struct mbx_box *b);
/* The records are those of the file. Locked. */
int mbx_load(struct mortise_call *call, struct mbx_box *b);
int mbx_record_add(struct mortise_call *call, struct mbx_box *b, const struct mbx_record *r);
/* NULL: not there */
struct mbx_record *mbx_find(const struct mbx_box *b, uint32_t uid);
void mbx_forget(struct mbx_box *b);
int mbx_op_sync(
    struct mortise_call *call, void *box, struct mortise_cursor *cursor, const struct mortise_sink *sink);
int mbx_op_read(
    struct mortise_call *call, void *box, const struct mortise_ref *ref, struct mortise_source *source);

/* ---- change.c ---- */
int mbx_op_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count);
int mbx_op_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
int mbx_op_add_keyword(struct mortise_call *call, void *box, const char *name, unsigned *bit);
/* Keyword number, adding the name when it is new and `add`; -1: none. Nothing is written. */
int mbx_keyword(struct mbx_box *b, const char *name, bool add);

/* ---- compact.c ---- */
int mbx_op_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
/* Takes back the space of marked messages, if nobody else has the file open. */
int mbx_compact(struct mortise_call *call, struct mbx_box *b);

/* ---- append.c ---- */
int mbx_op_append_begin(struct mortise_call *call, void *box, void **tx);
int mbx_op_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info);
int mbx_op_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size);
int mbx_op_append_commit(
    struct mortise_call *call, void *tx, uint32_t *uidvalidity, uint32_t *uids, size_t count);
void mbx_op_append_abort(struct mortise_call *call, void *tx);

#endif
