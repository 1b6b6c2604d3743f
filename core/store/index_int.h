/* index_int.h: what the files of the index share. Outside core/store/index*.c nobody includes it. */
#ifndef MORTISE_STORE_INDEX_INT_H
#define MORTISE_STORE_INDEX_INT_H

#include <lmdb.h>

#include "base/vec.h"
#include "store/index.h"

#define INDEX_MAGIC 0x49647821u
#define INDEX_VERSION 1u
#define INDEX_ID 16         /* octets of a boot's and a file's id */
#define INDEX_ROW_FIXED 50u /* octets of a row before its locator */
#define INDEX_SUM 8u        /* octets of the checksum behind every value */

/* Codes of our own, beside LMDB's (negative) and errno's (positive). */
#define INDEX_DAMAGED (-31000)  /* a value that cannot be what we wrote */
#define INDEX_REPLACED (-31001) /* the file was replaced by somebody: begin again */
#define INDEX_FULL (-31002)     /* no room is left for what clients put there */

/* Kinds of rows, the first octet of a key. */
#define ROW_INFO 'I'
#define ROW_NAME 'N'
#define ROW_HEAD 'H'
#define ROW_RUN 'R'
#define ROW_VANISHED 'V'
#define ROW_WIRE 'W'
#define ROW_ATTRIBUTE 'A'
#define ROW_CLEAN 'C'

/* ---- environments (index.c) ---- */

struct environment {
	const char *name; /* of the file; NULL: in memory */
	MDB_env *env;     /* NULL: not open */
	MDB_dbi dbi;
	MDB_txn *reader;  /* reset while nobody reads */
	unsigned readers; /* how deep */
	size_t pages;     /* of the file when dead readers were looked for */
	/* For the crash handler (index_guard.c): */
	int dir;
	char file[16], lock[24], aside[28]; /* aside: empty when the file is deleted instead */
	const char *volatile somewhere;     /* an address in the mapping; NULL: not known */
	uint64_t size;                      /* of the mapping */
	volatile unsigned inside;           /* transactions, and opening */
	volatile bool failed;               /* LMDB said that it cannot be */
	dev_t dev;
	ino_t ino;
};

struct known_mailbox { /* what this process asked for: its number must be found again in a new file */
	uint64_t given, actual;
	uint64_t epoch; /* as this process saw it last; 0: not yet */
	struct str identity;
};

struct wire_put {
	uint64_t mailbox;
	uint32_t uid;
	int kind;
	size_t at, name, text; /* in the buffer: offset, octets of the name, octets of the text behind it */
};

struct index {
	uint32_t magic;
	const struct index_options *o;
	int dir; /* -1: private from the beginning */
	char *path;
	struct environment cache, state, memory;
	unsigned char file[INDEX_ID]; /* of index.cache */
	bool private;                 /* memory takes the place of cache, and nothing is written to state */
	struct arena *arena;
	VEC(struct known_mailbox) known;
	bool renumbered;         /* given and actual differ somewhere */
	uint64_t ceiling, first; /* as last read; ceiling 0: not read */
	uint32_t uidvalidity;    /* the last one, private */
	VEC(struct wire_put) puts;
	struct buf put_text;
	bool puts_mixed; /* not by rising UID */
};

/* The one that rows are read from and written to. */
static inline struct environment *index_rows(struct index *x)
{
	return x->private ? &x->memory : &x->cache;
}

/* State is opened when it is first needed. 0 or an LMDB code. */
int index_need_state(struct index *x);
/*
 * A read transaction; calls nest, the end of the outermost ends it. A write transaction: INDEX_REPLACED when
 * the file is no longer the one that has the name.
 */
int environment_read(struct environment *v, MDB_txn **txn);
void environment_read_end(struct environment *v);
int environment_write(struct index *x, struct environment *v, MDB_txn **txn);
int environment_commit(MDB_txn **txn); /* *txn is NULL then */
void environment_abort(MDB_txn **txn); /* NULL is allowed inside */
/*
 * After an operation said `rc` (neither 0 nor a result): sets aside what is damaged, goes private when
 * nothing can be written, and says whether the operation is worth another try. `tries` counts.
 */
bool index_recover(struct index *x, struct environment *v, int rc, unsigned *tries);
const char *index_reason(int rc);
int index_fault(struct err *e, int rc, const char *doing);
const unsigned char *index_boot_id(void);
extern const char *index_test_boot; /* for tests: another boot's id (16 octets) */

/* ---- what a damaged file does to the process (index_guard.c) ---- */
void guard_add(struct environment *v, int dir, bool keep); /* before it is opened */
void guard_remove(struct environment *v);
static inline void guard_enter(struct environment *v)
{
	v->inside++;
}
static inline void guard_leave(struct environment *v)
{
	v->inside--;
}
/* While others' code runs between: a crash is theirs, unless a mapped page could not be read. */
extern volatile unsigned guard_callback;

/* ---- mailboxes (index_names.c) ---- */
/* What the mailbox with the number `given` is called in the present file. */
uint64_t index_actual(const struct index *x, uint64_t given);
/* index.cache is another file: what this process knows is looked for in it, or put there. 0 or LMDB's code.
 */
int index_renumber(struct index *x);
/*
 * Nothing is known under the mailbox's number: another process may have deleted it, and perhaps made it anew
 * under another one. 0: it has another one now; MDB_NOTFOUND: it has not.
 */
int index_refind(struct index *x, uint64_t given);
/*
 * The mailbox has this epoch: wire forms that wait and are of another one go. What the process knows (0:
 * nothing).
 */
void epoch_seen(struct index *x, uint64_t actual, uint64_t epoch);
uint64_t epoch_known(const struct index *x, uint64_t actual);
/* Writes the mailbox's name to index.state, in the transaction. */
int name_keep(struct index *x, MDB_txn *state, uint64_t actual);

/* ---- keys and values (index_rows.c) ---- */

struct key {
	unsigned char p[511];
	size_t n;
};

struct key key_of(char kind, uint64_t mailbox);
void key_add(struct key *k, uint64_t v, size_t octets);
void key_add_text(struct key *k, struct str s);
static inline MDB_val key_val(struct key *k)
{
	return (MDB_val){k->n, k->p};
}
uint64_t key_number(const MDB_val *k, size_t at, size_t octets); /* 0 when it is shorter */
bool key_below(const MDB_val *k, const struct key *prefix);

/* Whether the checksum fits; then v->mv_size is without it. */
bool value_check(MDB_val *v);
int value_get(MDB_txn *txn, MDB_dbi dbi, struct key *k, MDB_val *out);
/* Adds the checksum to b and puts it. */
int value_put(MDB_txn *txn, MDB_dbi dbi, struct key *k, struct buf *b);
int value_delete(MDB_txn *txn, MDB_dbi dbi, struct key *k); /* 0 when it was not there, too */
/* What mdb_put (v NULL: mdb_del) and mdb_cursor_del do, once it is known that the old value lets them. */
int value_replace(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *v);
int cursor_delete(MDB_cursor *cursor);
extern size_t index_page; /* LMDB's; 0: none is open yet */
#define PAGES_DIFFER 1u   /* files of machines with different ones */
/* All keys that begin with the prefix. */
int value_delete_below(MDB_txn *txn, MDB_dbi dbi, const struct key *prefix);

struct info_row {
	unsigned char boot[INDEX_ID], file[INDEX_ID];
	uint64_t ceiling, first;
	uint32_t uidvalidity;
};

int info_get(MDB_txn *txn, MDB_dbi dbi, struct info_row *out);
int info_put(MDB_txn *txn, MDB_dbi dbi, const struct info_row *info);

/* What a head's row says beside the head. */
struct head_row {
	struct index_head head;
	uint64_t ranges;   /* in the vanished log */
	uint64_t mirrored; /* cache: the generation that state has, 0: none */
	uint64_t checked;  /* cache: clock_ms of the last checkpoint */
	int64_t used;      /* when it was written, seconds since 1970 */
	bool clean;        /* cache: state has the clean mark */
	uint64_t epoch;    /* of this UIDVALIDITY, so to say: wire forms of another are not for these UIDs */
};

/* 0, MDB_NOTFOUND, INDEX_DAMAGED … Keyword names are copied to the arena; without one they are left out. */
int head_get(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, struct arena *a, struct head_row *out);
int head_put(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, const struct head_row *h);

/* A run as it lies in the file, checked: count ≥ 1 rows of `size` octets in rising order of UID. */
struct run {
	const unsigned char *rows;
	size_t count, size;
};

bool run_of(MDB_val value, uint32_t first_uid, struct run *out);
size_t row_size(const struct index_row *r); /* on disk */
void row_encode(unsigned char *p, size_t size, const struct index_row *r);
void row_decode(const unsigned char *p, struct index_row *r);
static inline uint32_t row_uid(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Whether this can be a row of the vanished log; then v->mv_size is without the checksum. */
bool vanished_check(const MDB_val *key, MDB_val *v);

/* All runs of a mailbox, checked; vec_free it. */
typedef VEC(struct run) run_vec;
int runs_get(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, const struct index_head *head, run_vec *out);
/* Heads, rows, vanished log; not the name, nor attributes. */
int mailbox_drop(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox);

/* Of the head, generation and epoch. */
int head_generation(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, uint64_t *out, uint64_t *epoch);
/* The commit's rows and vanished UIDs go into the mailbox's runs (index_runs.c). */
int runs_change(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, const struct index_commit *c);

/* ---- commits (index_commit.c) ---- */
/* By chance, so that a generation of a file that was lost is never taken for one of its successor. */
uint64_t generation_new(void);
/* The ceiling goes above `highest`, and there is a first number of this index.cache. */
void info_raise(const struct index *x, struct info_row *info, uint64_t highest);
/* Reads the ceiling, and raises it when `highest` is near it or this index.cache has given no number yet. */
int index_raise(struct index *x, uint64_t highest);

/* ---- checkpoints (index_checkpoint.c) ---- */
/*
 * What a checkpoint or the file before knows of the mailbox, when the present one knows nothing: 0, or
 * MDB_NOTFOUND when that is nothing, too.
 */
int index_adopt(struct index *x, uint64_t mailbox);
/* Drops rows that are damaged. MDB_NOTFOUND: it is as if nothing were known. 0: they are sound. */
int index_void(struct index *x, uint64_t mailbox);
/* Makes the mailbox in index.state what it is in index.cache, its head as given. */
int index_mirror(struct index *x, MDB_txn *cache, MDB_txn *state, uint64_t mailbox, const struct head_row *h);
/* The head in index.state, and the mailbox's name. */
int state_head_put(struct index *x, MDB_txn *state, uint64_t mailbox, const struct head_row *h);
/* Sets the clean mark, or takes it away (generation 0). */
int clean_put(MDB_txn *state, MDB_dbi dbi, uint64_t mailbox, uint64_t generation);

/* ---- size (index_verify.c) ---- */
int environment_octets(struct environment *v, uint64_t *octets); /* in use */
/* Drops the wire forms of the mailbox that was not changed for the longest time. MDB_MAP_FULL: there are
 * none. */
int wire_evict(struct index *x, struct environment *v);
/* Drops some when the file is nearly full. */
int wire_room(struct index *x, struct environment *v);

/* ---- wire forms (index_wire.c) ---- */
void wire_discard(struct index *x, uint64_t given); /* those that wait */
int wire_vanish(MDB_txn *txn, MDB_dbi dbi, uint64_t mailbox, const uint32_t *uids, size_t count);

#endif
