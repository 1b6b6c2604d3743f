/*
 * mailbox_int.h: inside the mailbox engine.
 *
 * A message is a record that stays where it is from the first sync that saw it until nobody looks at it any
 * more: the mailbox holds the live ones, each view those it has told its client of. A record that left the
 * mailbox while views hold it is a ghost (message.expunged).
 *
 * Keywords: the engine has its own table of 64. Bits of the driver's table are mapped to it; a name without a
 * driver bit lives in this session only.
 *
 * A sync is a transaction. What the driver says is collected and only applied when it came back with 0, so a
 * driver that fails half way leaves the mailbox as it was.
 */
#ifndef MORTISE_STORE_MAILBOX_INT_H
#define MORTISE_STORE_MAILBOX_INT_H

#include "base/vec.h"
#include "store/mailbox.h"
#include "store/store_int.h"

#define MAILBOX_MAGIC 0x4d626f78u /* "Mbox" */
#define VIEW_MAGIC 0x56696577u    /* "View" */
#define APPEND_MAGIC 0x41707064u  /* "Appd" */
#define KEYWORDS_MAX 64u
#define KEYWORD_SIZE 255u /* octets of a keyword */
#define RECORDS_A_SLAB 256u
#define WATCHES 8u /* at least MORTISE_WATCH_MAX, and as many places of a missing INBOX */

struct record {
	struct message m; /* first: what others see of it */
	uint32_t views;   /* that hold it */
	uint32_t scan;    /* number of the last full scan that saw it (messages without the driver's UID) */
	bool unseen_here; /* the driver still marks it RECENT */
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
struct cache;

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
	bool counted_uids; /* the driver gives no UIDs: ours */
	uint32_t uidvalidity, uidnext;
	uint32_t highest; /* UID of a message, ever */
	struct keyword keywords[KEYWORDS_MAX];
	size_t keyword_count;
	uint8_t from_driver[KEYWORDS_MAX]; /* engine bit of each driver bit */
	size_t driver_keywords;
	bool same_bits;               /* from_driver is the identity */
	VEC(struct record *) records; /* live, in order of UID */
	struct slab *slabs;
	struct record *spare; /* unused records, linked through their first octets */
	size_t slab_used;
	uint64_t changes; /* counts applied differences: views compare */
	uint64_t calls;   /* counts calls on the box: sources compare */
	uint32_t scans;
	size_t recent_waiting; /* records with unseen_here */
	struct file_source *sources;
	unsigned char *window; /* spare buffers of a source, or NULL */
	struct cache *cache;
	int watch;        /* inotify, or -1 */
	bool watch_stale; /* what is watched may have been replaced */
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
int mailbox_must_live(const struct mailbox *m, struct err *e); /* NOTFOUND when gone */

/* ---- sync.c, records.c ---- */
struct record *record_new(struct mailbox *m);
void record_free(struct mailbox *m, struct record *r);  /* not live, no views */
void record_leave(struct mailbox *m, struct record *r); /* a view lets go */
struct record *record_find(const struct mailbox *m, uint32_t uid);
void records_drop_expunged(struct mailbox *m); /* out of the live list */
struct mortise_ref record_ref(const struct record *r);
static inline const struct record *record_of(const struct message *msg)
{
	return (const struct record *)(const void *)msg;
}
int sync_now(struct mailbox *m, struct err *e); /* without taking RECENT away */
/* Tells the driver that its RECENT messages have been seen. The lock is held. Failures do not matter. */
void sync_seen_recent(struct mailbox *m);

/* ---- keywords.c ---- */
int keywords_from_driver(struct mailbox *m, const char *const *names, size_t count, struct err *e);
uint64_t keywords_translate(const struct mailbox *m, uint64_t driver_bits);
uint64_t keywords_to_driver(const struct mailbox *m, uint64_t bits);
uint64_t keywords_kept(const struct mailbox *m); /* bits the driver has */
bool keywords_room(const struct mailbox *m);     /* it may have room for one more */
int keyword_check(struct str name, struct err *e);
int keyword_bit(const struct mailbox *m, struct str name); /* or -1 */
/* Makes one, in the mailbox if it can, else for this session (*lost). The bit, or -1 when there is no room.
 */
int keyword_make(struct mailbox *m, struct str name, bool *lost, struct err *e);

/* ---- change.c: lock, sync, change, unlock ---- */
int change_begin(struct mailbox *m, struct err *e);
void change_end(struct mailbox *m);
uint64_t lock_deadline(const struct mailbox *m);
/* A journal that a crash left for this mailbox is replayed. */
int mailbox_recover(struct mailbox *m, struct err *e);
int expunge_records(struct mailbox *m, struct record *const *r, size_t n, struct err *e); /* in a change */

/* ---- read.c, source_file.c ---- */
void sources_orphan(struct mailbox *m);
#define SOURCE_WINDOW 65536u

/* ---- cache.c ---- */
void cache_free(struct cache **cp);
void cache_forget(struct mailbox *m, uint32_t uid);

/* ---- append.c ---- */
/* The mailbox a batch goes to, when it is `m`: then driver memory may move while it is written. */
bool append_is_to(const struct append *a, const struct mailbox *m);

#endif
