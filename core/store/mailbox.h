/*
 * mailbox.h: the mailbox engine, and what one session sees of it.
 *
 * A struct mailbox is one open mailbox: the driver's box, the messages as last synced (UID order), keywords,
 * cursor. A struct view is what an IMAP session has been told: sequence numbers. The mailbox moves on
 * whenever it is synced; the view moves only in view_update, which reports each difference in the order a
 * client must hear it: EXPUNGE (only when the command allows it), EXISTS, RECENT, FETCH FLAGS. Between
 * updates a message expunged under the view stays visible as a ghost: its record is there, reading its text
 * gives EXPUNGED.
 *
 * Promises (crash-harness.md U1-U10): UIDs strictly rise and are never reused with one UIDVALIDITY; UIDNEXT
 * is above every UID; a change acknowledged is on disk; a failed operation has changed nothing. The mailbox
 * on disk is the truth: what is kept here can be dropped at any time.
 *
 * Writing is always: exclusive lock → sync → change (driver syncs) → index → unlock → answer.
 *
 * The index (index.h) remembers between sessions what the format cannot hold: mod-sequences, vanished UIDs,
 * save dates, and UIDs, flags and keywords where the format has none. Without one that can be written the
 * mailbox works all the same; mailbox_highestmodseq is 0 then.
 */
#ifndef MORTISE_STORE_MAILBOX_H
#define MORTISE_STORE_MAILBOX_H

#include <stdbool.h>

#include <mortise/driver.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "mime/mime.h"
#include "mime/source.h"
#include "search/search.h"
#include "store/store.h"

struct mailbox;
struct view;

#define MAILBOX_READ_ONLY 0x01u
#define MAILBOX_KEEP_RECENT 0x02u /* EXAMINE, STATUS: does not take \Recent away */

/* One message as the engine knows it. Pointers to it stay valid until the view's next update. */
struct message {
	uint32_t uid;
	uint32_t flags;    /* MORTISE_FLAG_… */
	uint64_t keywords; /* bits of mailbox_keyword() */
	int64_t internal_date;
	uint64_t octets; /* MORTISE_SIZE_UNKNOWN until mailbox_octets */
	uint64_t modseq;
	int64_t save_date;                   /* seconds since 1970; 0: not known */
	int32_t zone;                        /* of the internal date */
	bool expunged;                       /* a ghost */
	bool recent;                         /* this session is the first to see it */
	uint8_t locator_size, identity_size; /* what the locator begins with, as the driver said */
	unsigned char locator[MORTISE_LOCATOR_MAX];
};

/* A ghost that went before anybody looked at it: nothing but its UID is known. */
static inline bool message_unknown(const struct message *m)
{
	return m->expunged && m->modseq == 0;
}

int mailbox_open(struct store *s, const char *name, unsigned flags, struct mailbox **out, struct err *e);
void mailbox_close(struct mailbox **mp);
const char *mailbox_name(const struct mailbox *m);
bool mailbox_read_only(const struct mailbox *m);
uint32_t mailbox_uidvalidity(const struct mailbox *m);
uint32_t mailbox_uidnext(const struct mailbox *m);
/* UIDs outlive this session; false: the format cannot keep them and they were counted for it. */
bool mailbox_uids_stick(const struct mailbox *m);
uint64_t mailbox_highestmodseq(const struct mailbox *m); /* 0: NOMODSEQ */
/*
 * UIDs expunged after `since` (a mod-sequence), within `known` when not NULL. What is too long ago to be
 * remembered counts as expunged, if it is not there: all such UIDs up to UIDNEXT.
 */
int mailbox_vanished(struct mailbox *m, uint64_t since, const struct number_set *known, struct arena *a,
    struct number_set *out, struct err *e);
uint32_t mailbox_permanent_flags(const struct mailbox *m);
bool mailbox_may_create_keywords(const struct mailbox *m);
size_t mailbox_keyword_count(const struct mailbox *m);
const char *mailbox_keyword(const struct mailbox *m, size_t bit);
/* For when the session is quiet: what drivers and index put off is done. */
void mailbox_rest(struct mailbox *m);
/* Asks the driver what changed. 1 something did, 0 nothing, or a code. */
int mailbox_sync(struct mailbox *m, struct err *e);
/* The same name at another place or format now (deleted, replaced): the session must be told. */
bool mailbox_gone(const struct mailbox *m);
/* Of other people's: the right to read it, or to write it as it is open, was taken back. */
bool mailbox_revoked(const struct mailbox *m);

struct mailbox_status {
	uint32_t messages, recent, unseen, deleted, uidnext, uidvalidity;
	uint64_t size, deleted_size, highestmodseq;
	char mailbox_id[32]; /* RFC 8474 */
};
/*
 * STATUS of a mailbox that is not open here. `size`, `deleted_size` (RFC 9208: of messages with \Deleted) and
 * `mailbox_id` are there only when they are wanted: where the format does not say how large messages are, all
 * of them may have to be read.
 */
#define STATUS_SIZE 0x01u
#define STATUS_MAILBOX_ID 0x02u
#define STATUS_DELETED_SIZE 0x04u
int store_status(struct store *s, const char *name, unsigned want, struct mailbox_status *out, struct err *e);

/* Text of a message; EXPUNGED for ghosts whose text is gone. */
int mailbox_read(struct mailbox *m, const struct message *msg, struct source **out, struct err *e);
/* The same for who wants more of it than the header. */
int mailbox_read_whole(struct mailbox *m, const struct message *msg, struct source **out, struct err *e);
int mailbox_octets(struct mailbox *m, const struct message *msg, uint64_t *octets, struct err *e);
/*
 * Wire forms; computed and kept on first use. Windows into the mailbox's memory until its next call. *text is
 * the message's source if it is open already; if it is NULL and has to be opened, it stays open for whoever
 * asks next, and the caller closes it.
 */
int mailbox_envelope(
    struct mailbox *m, const struct message *msg, struct source **text, struct str *out, struct err *e);
int mailbox_structure(struct mailbox *m, const struct message *msg, bool extended, struct source **text,
    struct str *out, struct err *e);
/* The part tree. */
int mailbox_parts(struct mailbox *m, const struct message *msg, struct source **text, struct arena *a,
    struct mime_part **out, struct err *e);

/* ---- changing ---- */
enum flag_mode { FLAGS_REPLACE, FLAGS_ADD, FLAGS_REMOVE };
/*
 * Keywords are names; unknown ones are created, in the format if it can hold them, else in the index; *lost:
 * there was no room for one. uids are those of live messages; others are skipped. One sync to disk.
 *
 * `unless` (NULL: unconditional) is for STORE UNCHANGEDSINCE: messages with a mod-sequence above its `since`
 * are left as they are and come back in `modified`. That is looked at under the mailbox's lock: of two racing
 * STOREs one wins.
 */
struct store_unless {
	uint64_t since;
	struct arena *arena;
	struct number_set modified;
};
int mailbox_store_flags(struct mailbox *m, const struct number_set *uids, enum flag_mode mode, uint32_t flags,
    const struct str *keywords, size_t keyword_count, struct store_unless *unless, bool *lost, struct err *e);
/* Removes messages with \Deleted, within `uids` when not NULL. *count: how many. */
int mailbox_expunge(struct mailbox *m, const struct number_set *uids, uint32_t *count, struct err *e);

/* A batch of messages into a mailbox by name (open here or not): all or none. */
struct append;
int append_begin(struct store *s, const char *name, struct append **out, struct err *e);
int append_message(struct append *a, uint32_t flags, const struct str *keywords, size_t keyword_count,
    int64_t internal_date, int zone, uint64_t octets, struct err *e);
int append_write(struct append *a, struct str octets, struct err *e);
/* Whether a message of this size could be added; for those who will know it only later. */
int append_check(struct append *a, uint64_t octets, struct err *e);
/*
 * Message `uid` of `from`, which may be the same mailbox, is expunged when the batch is committed: in one
 * change where both are one mailbox, else after it. What it takes is free for the batch. Before the first
 * message.
 */
int append_replaces(struct append *a, struct mailbox *from, uint32_t uid, struct err *e);
/* Commits, frees. A code and a count: all is there, but what it replaces, too. uids in order of
 * append_message, in the arena. A UID of 0: not to be had. */
int append_commit(struct append **ap, uint32_t *uidvalidity, struct arena *arena, uint32_t **uids,
    size_t *count, struct err *e);
void append_abort(struct append **ap);

/* COPY to a mailbox by name. from/to: COPYUID sets in the arena, in step. Flags, keywords and dates go along.
 */
struct copy_result {
	uint32_t uidvalidity;
	uint32_t *from, *to;
	size_t count;
};
int mailbox_copy(struct mailbox *m, const struct number_set *uids, const char *to, struct arena *a,
    struct copy_result *out, struct err *e);
/*
 * Likewise, and then they are expunged here, \Deleted or not. When only that fails, *out says where the
 * copies are, and the originals stay.
 */
int mailbox_move(struct mailbox *m, const struct number_set *uids, const char *to, struct arena *a,
    struct copy_result *out, struct err *e);

/* ---- views ---- */
int view_open(struct mailbox *m, struct view **out, struct err *e); /* syncs */
void view_close(struct view **vp);
uint32_t view_count(const struct view *v);
uint32_t view_recent(const struct view *v);
uint32_t view_first_unseen(const struct view *v);        /* sequence number or 0 */
bool view_news(const struct view *v, uint32_t sequence); /* its flags are not the ones that were told */
bool view_ghosts(const struct view *v);                  /* an expunge waits to be told */
bool view_changed(const struct view *v);                 /* the mailbox has changed since the last update */
const struct message *view_message(const struct view *v, uint32_t sequence); /* 1…count; never NULL */
uint32_t view_sequence(const struct view *v, uint32_t uid);                  /* 0: not in the view */
/* Sequence set → UIDs (false: a number above the count), and UID set → the UIDs that are there. */
bool view_uids_of_sequences(
    const struct view *v, const struct number_set *s, struct arena *a, struct number_set *out);
void view_uids_of_uids(
    const struct view *v, const struct number_set *s, struct arena *a, struct number_set *out);

struct view_events {
	void (*expunged)(void *arg, uint32_t sequence, uint32_t uid); /* numbers as they are at that moment */
	void (*exists)(void *arg, uint32_t count);
	void (*recent)(void *arg, uint32_t count);
	void (*flags)(void *arg, uint32_t sequence, const struct message *m);
	void (*keywords)(void *arg); /* the mailbox's keyword list grew: FLAGS, PERMANENTFLAGS */
	void *arg;
};
#define VIEW_MAY_EXPUNGE 0x01u
#define VIEW_NO_SYNC 0x02u  /* only report what the mailbox already knows */
#define VIEW_NO_NEW 0x04u   /* new messages wait, */
#define VIEW_NO_FLAGS 0x08u /* changes of flags wait */
int view_update(struct view *v, unsigned how, const struct view_events *ev, struct err *e);
/* Flags of these UIDs were just told in another way (STORE.SILENT): do not repeat unless they differ. */
void view_told_flags(struct view *v, const struct number_set *uids);
/* Whether the keyword list grew since it was last told; it counts as told then. */
bool view_new_keywords(struct view *v);

/* A descriptor that becomes readable when the mailbox may have changed (inotify); -1 when there is none. */
int mailbox_watch(struct mailbox *m, struct err *e);
void mailbox_watch_read(struct mailbox *m); /* empties it */

#endif
