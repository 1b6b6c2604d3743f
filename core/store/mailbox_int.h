/*
 * mailbox_int.h: inside the mailbox engine.
 *
 * A message is a record that stays where it is from the first sync that saw it until nobody looks at it any
 * more: the mailbox holds the live ones, each view those it has told its client of. A record that left the
 * mailbox while views hold it is a ghost (message.expunged).
 *
 * Keywords: the engine has its own table of 64, which is in the index. Bits of the driver's table are mapped
 * to it; a name without a driver bit is kept by the index alone.
 *
 * The index (index.h) has the same records on disk. A mailbox that is opened takes the head only: how many
 * messages there are, how many of them unseen. The records are loaded when somebody looks at one. What
 * changes goes through a sync (sync.h), to the index first.
 */
#ifndef MORTISE_STORE_MAILBOX_INT_H
#define MORTISE_STORE_MAILBOX_INT_H

#include "base/vec.h"
#include "store/index.h"
#include "store/mailbox.h"
#include "store/store_int.h"

#define MAILBOX_MAGIC 0x4d626f78u /* "Mbox" */
#define VIEW_MAGIC 0x56696577u    /* "View" */
#define APPEND_MAGIC 0x41707064u  /* "Appd" */
#define KEYWORDS_MAX 64u
#define KEYWORD_SIZE 255u /* octets of a keyword */
#define KEYWORD_NONE 255u
#define RECORDS_A_SLAB 256u
#define WATCHES 8u /* at least MORTISE_WATCH_MAX, and as many places of a missing INBOX */

struct record {
	struct message m; /* first: what others see of it */
	uint32_t views;   /* that hold it */
	uint32_t scan;    /* number of the last full scan that saw it (messages without the driver's UID) */
	uint32_t staged;  /* in the sync that is under way: its place there + 1, or 0 */
	bool leaving;     /* that sync has it as vanished */
	bool measured;    /* its octets are not in the index */
	bool unseen_here; /* the driver still marks it RECENT */
};

/* Of the live messages, whether they are loaded or not. */
struct counts {
	uint32_t messages, unseen, deleted;
	uint32_t recent;       /* with unseen_here */
	uint32_t first_unseen; /* sequence number, 0: none */
	uint32_t unmeasured;   /* whose octets are not known */
	uint64_t octets;       /* of the others */
};

struct slab {
	struct slab *next;
	struct record r[RECORDS_A_SLAB];
};

struct keyword {
	const char *name;
	bool kept;    /* the driver has it */
	unsigned bit; /* the driver's, when kept */
};

struct file_source;

struct mailbox {
	uint32_t magic;
	struct store *store;
	struct mailbox *next; /* open in this store */
	unsigned flags;       /* MAILBOX_… */
	struct arena *arena;  /* MORTISE_LIFE_BOX */
	struct target target;
	struct instance *driver;
	void *box; /* NULL: an INBOX that is not there (yet) */
	struct mortise_box_info info;
	struct mortise_cursor cursor;
	bool gone;
	bool told;         /* somebody was told its UIDVALIDITY: another one is another mailbox */
	bool claimed;      /* \Recent, once */
	bool fresh;        /* nothing was done with it since it was opened and synced */
	bool incomplete;   /* a message was left out: whoever opens it next has to scan all of it */
	bool counted_uids; /* the driver gives no UIDs: ours */
	uint32_t uidvalidity, uidnext;
	uint32_t highest; /* UID of a message, ever */
	struct index *index;
	uint64_t number;         /* the mailbox's in the index */
	uint64_t generation;     /* of its rows, as they are known here; 0: there are none */
	bool anew;               /* rows that are there belong to something else */
	bool unindexed;          /* writing failed: nothing is remembered any more */
	bool loaded;             /* `records` are there; else only `counts` */
	uint64_t modseq;         /* HIGHESTMODSEQ; 0: nothing was synced yet */
	uint64_t vanished_since; /* the index knows what vanished after this mod-sequence */
	struct counts counts;
	struct keyword keywords[KEYWORDS_MAX];
	size_t keyword_count;
	uint8_t from_driver[KEYWORDS_MAX]; /* engine bit of each driver bit, or KEYWORD_NONE */
	size_t driver_keywords;
	bool new_keywords;            /* that the index does not know */
	bool same_bits;               /* from_driver is the identity */
	VEC(struct record *) records; /* live, in order of UID; see `loaded` */
	struct slab *slabs;
	struct record *spare; /* unused records, linked through their first octets */
	size_t slab_used;
	uint64_t changes; /* counts applied differences: views compare */
	uint64_t calls;   /* counts calls on the box: sources compare */
	uint32_t scans;
	struct file_source *sources;
	unsigned char *window; /* spare buffers of a source, or NULL */
	struct buf wire;       /* the form that was asked for last */
	size_t measured;       /* records whose octets became known and are not in the index */
	struct view *views;
	const uint32_t *given; /* UIDs for the messages that are added next, in their order, or NULL */
	int watch;             /* inotify, or -1 */
	bool watch_stale;      /* what is watched may have been replaced */
	int watched[WATCHES];
	size_t watched_count;
};

/* A mailbox with its box open and nothing synced. absent INBOX: box stays NULL. */
int mailbox_attach(
    struct store *s, struct target *t, struct arena *a, unsigned flags, struct mailbox **out, struct err *e);
/* One that is already open read-write at this target, or NULL. */
struct mailbox *mailbox_already(struct store *s, const struct target *t);
/* An absent INBOX that may have come into being: opens it. */
int mailbox_appeared(struct mailbox *m, struct err *e);
/* Closes the box of an absent INBOX's target and makes the mailbox there. */
int mailbox_bring_about(struct mailbox *m, struct err *e);
/* How it is as last synced. `want`: STATUS_… */
int mailbox_status_now(struct mailbox *m, unsigned want, struct mailbox_status *out, struct err *e);
int mailbox_must_live(const struct mailbox *m, struct err *e); /* NOTFOUND when gone */

/* ---- sync.c, records.c, rows.c ---- */
/*
 * The messages of the index become records, if they are not yet: 0, or a code. Whoever looks at m->records
 * calls this first. Damage found on the way makes them void: they come again with the next sync, anew.
 */
int records_load(struct mailbox *m, struct err *e);
struct record *record_new(struct mailbox *m);
void record_free(struct mailbox *m, struct record *r);  /* not live, no views */
void record_leave(struct mailbox *m, struct record *r); /* a view lets go */
struct record *record_find(const struct mailbox *m, uint32_t uid);
/* Place of the first record with that UID or a higher one. */
size_t record_position(const struct mailbox *m, uint32_t uid);
/* What is known of the messages is of another mailbox: all of it goes. Nobody looks at them. */
void mailbox_void(struct mailbox *m);
void records_drop_expunged(struct mailbox *m); /* out of the live list */
struct mortise_ref record_ref(const struct record *r);
static inline const struct record *record_of(const struct message *msg)
{
	return (const struct record *)(const void *)msg;
}
/* ---- view.c ---- */
/* The records were just loaded: views that were opened before take theirs. */
void views_fill(struct mailbox *m);
/* They never will: the index was damaged in between. */
void views_lost(struct mailbox *m);

int sync_now(struct mailbox *m, struct err *e); /* without taking RECENT away */
/* Tells the driver that its RECENT messages have been seen. The lock is held. Failures do not matter. */
void sync_seen_recent(struct mailbox *m);

/* ---- keywords.c ---- */
int keywords_from_driver(struct mailbox *m, const char *const *names, size_t count, struct err *e);
/* The table becomes what the index says. */
void keywords_adopt(struct mailbox *m, const struct index_keyword *k, size_t count);
uint64_t keywords_translate(const struct mailbox *m, uint64_t driver_bits);
uint64_t keywords_to_driver(const struct mailbox *m, uint64_t bits);
uint64_t keywords_kept(const struct mailbox *m); /* bits the driver has */
bool keywords_room(const struct mailbox *m);     /* it may have room for one more */
int keyword_check(struct str name, struct err *e);
int keyword_bit(const struct mailbox *m, struct str name); /* or -1 */
/* Makes one, in the mailbox if it can, else in the index. The bit; or -1 when there is no room (*lost). */
int keyword_make(struct mailbox *m, struct str name, bool *lost, struct err *e);
int keyword_keep(struct mailbox *m, struct str name, bool *lost); /* in the index */
/* The names of these bits, in the arena. */
const char **keyword_names(const struct mailbox *m, uint64_t bits, struct arena *a, size_t *count);

/* ---- status.c ---- */
/* Octets of all messages; those that are not known are measured. */
int mailbox_total(struct mailbox *m, uint64_t *out, struct err *e);

/* ---- change.c: lock, sync, change, unlock ---- */
int change_begin(struct mailbox *m, struct err *e); /* the records are loaded afterwards */
void change_end(struct mailbox *m);
uint64_t lock_deadline(const struct mailbox *m);
/* A journal that a crash left for this mailbox is replayed. */
int mailbox_recover(struct mailbox *m, struct err *e);
int expunge_uids(
    struct mailbox *m, const uint32_t *uids, size_t n, struct err *e); /* in a change; live ones, rising */

/* ---- read.c, source_file.c ---- */
void sources_orphan(struct mailbox *m);
#define SOURCE_WINDOW 65536u

/* The message header, as far as it is looked at, and perhaps a little more; appended. */
int source_header(struct source *s, struct buf *out, struct err *e);
int mailbox_header(struct mailbox *m, const struct message *msg, struct buf *out, struct err *e);

/* ---- cache.c ---- */
/* The form of a message that the index has, in m->wire; false: it has none. */
bool wire_find(struct mailbox *m, uint32_t uid, int kind, struct str *out);
/* The one that was made in m->wire is kept there. What it is; never NULL. */
struct str wire_keep(struct mailbox *m, uint32_t uid, int kind);

/* ---- copy.c ---- */
/* mailbox_copy of what the caller takes out of `m` then. */
int mailbox_copy_moved(struct mailbox *m, const struct number_set *uids, const char *to, struct arena *a,
    struct copy_result *out, struct err *e);

/* ---- append.c ---- */
/* The mailbox a batch goes to, when it is `m`: then driver memory may move while it is written. */
bool append_is_to(const struct append *a, const struct mailbox *m);
/* What is added is taken from another mailbox of the user: his quota does not count it. Before the first. */
void append_exempt(struct append *a);
/* UIDs for the messages that follow, in their order; the target has adopted the numbers they are from. */
void append_give_uids(struct append *a, const uint32_t *uids);
/* Messages of an open mailbox into a batch, by the shortest way there is. */
int copy_messages(
    struct mailbox *m, const struct message *const *chosen, size_t n, struct append *to, struct err *e);
/* Messages of an open mailbox by the format's short way; UNSUPPORTED: there is none, nothing was added. */
int append_copies(
    struct append *a, struct mailbox *from, const struct message *const *messages, size_t n, struct err *e);

#endif
