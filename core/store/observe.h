/*
 * observe.h: many mailboxes, their names, the subscriptions and the annotations at once, for NOTIFY.
 *
 * One inotify descriptor for all of it. What it says is only that somebody has to look: the observer compares
 * what is there with what was there, so that nothing is lost when events are (a queue that runs over, a file
 * that is replaced while it is looked at), and a change that was undone is none. A look is cheap when nothing
 * changed: a stat of the mailbox's files, and the index's generation of it. A file that was written to within
 * the last second is looked at again all the same, since its time stamps cannot tell two changes apart.
 *
 * Watches are counted against a limit of the caller's and against the kernel's own
 * (fs.inotify.max_user_watches); both say MORTISE_E_LIMIT.
 */
#ifndef MORTISE_STORE_OBSERVE_H
#define MORTISE_STORE_OBSERVE_H

#include <sys/types.h>

#include "store/mailbox.h"

struct observer;
struct observed_box;

int observer_open(struct store *s, uint64_t limit, struct observer **out, struct err *e);
void observer_close(struct observer **op);
int observer_fd(const struct observer *o);

#define OBSERVED_BOXES 0x1u
#define OBSERVED_NAMES 0x2u
#define OBSERVED_SUBSCRIPTIONS 0x4u
#define OBSERVED_ANNOTATIONS 0x8u
#define OBSERVED_ALL 0xfu
/* Empties the descriptor: of what there may be news. */
unsigned observer_read(struct observer *o);

/* A mailbox or level as LIST tells it, and what its name leads to. */
struct observed_name {
	const char *name;
	unsigned attributes; /* LIST_… */
	dev_t dev;
	ino_t ino;
};
/* All names, in order; their directories are watched from now on. They live in the arena. */
int observer_names(
    struct observer *o, struct arena *a, struct observed_name **out, size_t *count, struct err *e);
/* Whether what had this name was given another one between the last two observer_names. */
bool observer_moved(struct observer *o, const char *name);
/* The subscription file and the annotations. */
int observer_watch_account(struct observer *o, struct err *e);

/* A mailbox that is watched from its first look on. The name is the caller's. */
struct observed_box *observer_add(struct observer *o, const char *name);
void observer_remove(struct observer *o, struct observed_box **bp);
/* 1: *out is how it is now. 0: as it was when it was looked at last. Or a code. */
int observer_look(struct observer *o, struct observed_box *b, struct mailbox_status *out, struct err *e);
/* The next look finds it out, whatever it seems. */
void observer_doubt(struct observed_box *b);
/* The same for a mailbox that is open here: it is only watched, its owner looks. Again after every read. */
int observer_follow(struct observer *o, struct observed_box *b, struct mailbox *m, struct err *e);

#endif
