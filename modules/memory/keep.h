/*
 * keep.h: mailboxes in the memory of the process.
 *
 * What the drivers memory, fail and debug have in common. A mailbox is a small marker file, so that it has a
 * place that can be listed, renamed and deleted, and its content, which is found by the number in the marker.
 * Every box opened on it in this process sees the same content; when the process ends it is gone, and the
 * mailbox is empty under a new UIDVALIDITY. Without files (place->root is -1) the path is the key.
 *
 * Marker, byte by byte: "Mortise KIND mailbox\n", 16 hexadecimal digits (the number, not zero), "\n". An
 * empty file counts as a mailbox with the number zero, found by device and inode; its first message makes it
 * a marker.
 *
 * Everything a driver may do is done here, after the words of driver.h: this is the reference that others are
 * compared with.
 */
#ifndef MORTISE_MEMORY_KEEP_H
#define MORTISE_MEMORY_KEEP_H

#include <mortise/driver.h>

/* What makes the drivers differ. A module sets it before each call it hands on. */
struct keep_kind {
	const char *name; /* in the marker */
	bool full_scans;  /* every sync that finds a change scans in full */
	bool no_uids;     /* leave UIDs to the engine */
	bool no_sizes;    /* leave sizes to the engine */
	bool as_lf_file;  /* read() gives a file with LF lines, not memory */
	unsigned keyword_limit;
	/* Fills a mailbox that has just come into memory, or NULL. */
	int (*load)(struct mortise_call *call, const struct keep_kind *kind, void *box);
};

int keep_recognise(struct mortise_call *call, const struct keep_kind *k, const struct mortise_probe *probe);
int keep_create(struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *place);
int keep_open(struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *place,
    uint32_t open_flags, struct mortise_box_info *info, void **box);
int keep_sync(struct mortise_call *call, const struct keep_kind *k, void *box, struct mortise_cursor *cursor,
    const struct mortise_sink *sink);
int keep_read(struct mortise_call *call, const struct keep_kind *k, void *box, const struct mortise_ref *ref,
    struct mortise_source *source);
int keep_append_begin(struct mortise_call *call, void *box, void **tx);
int keep_append_message(struct mortise_call *call, void *tx, const struct mortise_append_info *info);
int keep_append_write(struct mortise_call *call, void *tx, const void *octets, size_t size);
int keep_append_commit(struct mortise_call *call, const struct keep_kind *k, void *tx, uint32_t *uidvalidity,
    uint32_t *uids, size_t count);
void keep_append_abort(struct mortise_call *call, void *tx);
int keep_set_flags(
    struct mortise_call *call, void *box, const struct mortise_flag_change *changes, size_t count);
int keep_expunge(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);
int keep_lock(struct mortise_call *call, void *box, int mode, uint64_t deadline);
void keep_close(struct mortise_call *call, void *box);
int keep_add_keyword(
    struct mortise_call *call, const struct keep_kind *k, void *box, const char *name, unsigned *bit);
int keep_remove(struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *place);
int keep_rename(struct mortise_call *call, const struct keep_kind *k, const struct mortise_place *from,
    const struct mortise_place *to);
int keep_watch(struct mortise_call *call, void *box, struct mortise_watch *watch);
int keep_seen_recent(struct mortise_call *call, void *box, const struct mortise_ref *refs, size_t count);

/* For load(): sets the mailbox's UIDVALIDITY, adds a message to it. */
void keep_set_uidvalidity(void *box, uint32_t uidvalidity);
int keep_add(
    struct mortise_call *call, void *box, const void *text, size_t size, uint32_t flags, int64_t date);

#endif
