/*
 * sync.h: how what is known of a mailbox changes. One way for all reasons.
 *
 * A sync is a transaction. What is to change is staged (by the driver's report, by the index, or by an
 * operation of our own that the driver has just carried out), then committed to the index, then applied to
 * the records in memory. What fails before the last step leaves the mailbox as it was, so views never see
 * half of it.
 *
 * Several processes do this at once. Each commit names the generation of rows it was made for; when another
 * process was faster everything staged is dropped, its rows are taken in (mailbox_refresh) and the driver is
 * asked again, from its cursor. An operation stages its part anew each time, by UID (sync_stage_fn), which is
 * why that part may run more than once.
 *
 * Mod-sequences: all that one commit changes gets one number, the next. Changes that no client sees (a
 * locator, a size that became known) get none.
 */
#ifndef MORTISE_STORE_SYNC_H
#define MORTISE_STORE_SYNC_H

#include "store/mailbox_int.h"

struct stage {
	struct record *r;
	struct message next;
	bool unseen_here;
	bool claimed; /* no longer unseen, because this session is the one that saw it */
};

struct sync {
	struct mailbox *m;
	uint64_t generation; /* of the rows that it began with */
	struct err err;
	bool full;
	uint32_t uidvalidity;
	size_t position;   /* full scan: the first record that has not been compared */
	uint32_t last;     /* highest UID known or added */
	uint32_t previous; /* told last */
	bool inserted;     /* some that were added lie between known ones */
	uint32_t uidnext;
	VEC(struct stage) changed;     /* r->staged is the place here + 1 */
	VEC(struct record *) added;    /* not among the mailbox's records yet */
	VEC(struct record *) vanished; /* r->leaving */
	struct record **table;         /* by identity; table_size a power of two */
	size_t table_size;
	struct mortise_cursor cursor;
	/* as it will be, from sync_commit */
	struct counts counts;
	uint64_t modseq;
};

/* Stages the operation's own part. The records are loaded. */
typedef void sync_stage_fn(struct sync *s, void *arg);

/* 1 something changed, 0 nothing, or a code. `stage` may be NULL. */
int sync_with(struct mailbox *m, sync_stage_fn *stage, void *arg, struct err *e);
/*
 * The same after the driver has changed the mailbox. What cannot be learned now is learned by the next sync;
 * the change stands.
 */
void sync_after(struct mailbox *m, sync_stage_fn *stage, void *arg);
void sync_stage_flags(struct sync *s, struct record *r, uint32_t flags, uint64_t keywords);
void sync_stage_vanished(struct sync *s, struct record *r);

/* ---- sync.c, for its other halves ---- */
void sync_begin(struct sync *s, struct mailbox *m);
void sync_end(struct sync *s); /* what was not applied is forgotten */
void sync_stage(struct sync *s, struct record *r, const struct message *next, bool unseen_here);

/* The session that has it open must be told. NOTFOUND with this text. */
int sync_gone(struct mailbox *m, const char *text, struct err *e);
#define SYNC_REPLACED "The mailbox was replaced by another one"

/* ---- apply.c ---- */
#define SYNC_AGAIN 2
/* To the index: 0, SYNC_AGAIN, or a code. */
int sync_commit(struct sync *s, struct err *e);
/* To the records. 1 when there was anything, else 0. */
int sync_apply(struct sync *s);

/* ---- rows.c: from the index ---- */
/* Takes in what other processes committed. 1 something changed, 0 nothing, or a code. */
int mailbox_refresh(struct mailbox *m, struct err *e);
struct index_row row_of(const struct message *m, bool unseen_here);

#endif
