/*
 * notify.h: NOTIFY (RFC 5465).
 *
 * A client says of which mailboxes it wants to hear what, and from then on hears it whenever it happens:
 * in commands, in IDLE, and between commands, when the session waits. notify.c reads what it says,
 * notify_news.c finds out and tells. What there is to tell is always the difference between how things are
 * and what the client knows (store/observe.h), so nothing is lost between two looks, and what happened twice
 * is told once.
 *
 * The selected mailbox goes the way of every update (update.c); NOTIFY only says what of it may be told. The
 * client's own commands have their results all the same: STORE tells flags, EXPUNGE tells what went.
 *
 * Several groups may name one mailbox: their events add up. A group with NONE takes its mailboxes out,
 * whatever others say of them. What this session did itself is not told to its client (§5).
 *
 * Limits: the watches one NOTIFY may hold (imap.notify_watches), and the kernel's. Too many at the command:
 * NO [NOTIFICATIONOVERFLOW], and what was in force stays so; later, when mailboxes have come: the untagged
 * one, and nothing is told any more (§5.8).
 */
#ifndef MORTISE_IMAP_NOTIFY_H
#define MORTISE_IMAP_NOTIFY_H

#include "base/vec.h"
#include "imap/fetch.h"
#include "store/observe.h"

/* Between the kernel's word of a write and the second look: readers of the index see it a little later. */
#define NEWS_LOOK_AGAIN 100u /* ms */

#define EVENT_NEW 0x01u
#define EVENT_EXPUNGE 0x02u
#define EVENT_FLAGS 0x04u
#define EVENT_NAME 0x08u
#define EVENT_SUBSCRIPTION 0x10u
#define EVENT_METADATA 0x20u
#define EVENT_SERVER_METADATA 0x40u
#define EVENTS_MESSAGE (EVENT_NEW | EVENT_EXPUNGE | EVENT_FLAGS)
#define EVENTS_NAMED (EVENT_NAME | EVENT_SUBSCRIPTION)

enum notify_filter {
	FILTER_SELECTED,
	FILTER_SELECTED_DELAYED,
	FILTER_INBOXES,
	FILTER_PERSONAL,
	FILTER_SUBSCRIBED,
	FILTER_SUBTREE,
	FILTER_MAILBOXES
};

struct notify_group {
	enum notify_filter filter;
	const char **names; /* of SUBTREE and MAILBOXES */
	size_t name_count;
	bool none;
	unsigned events;
};

/* An entry that has a value, and which one. */
struct annotation {
	char *name;
	uint64_t hash;
};
struct annotations {
	VEC(struct annotation) list; /* in order of name */
};

/* A mailbox of which messages or annotations are told. */
struct notify_box {
	char *name;
	unsigned events;
	struct observed_box *observed; /* NULL: its messages are not told */
	bool known;
	bool no_access;
	struct mailbox_status status; /* what the client knows */
	uint64_t own;                 /* messages this session put there since */
	struct annotations annotations;
};

/* Names and subscriptions as the client knows them, in order. */
struct notify_names {
	struct arena *arena;
	struct observed_name *v;
	size_t n;
	const char **subscribed;
	size_t subscribed_count;
};

/* What this session did: nothing to tell. */
struct notify_deed {
	unsigned event;
	char *name;
};

struct notify {
	struct arena *arena; /* of the groups */
	struct notify_group *groups;
	size_t group_count;
	bool status;       /* NOTIFY SET STATUS */
	unsigned selected; /* events of the selected mailbox */
	bool delayed;
	bool fetches; /* new messages come with these: */
	struct fetch_request fetch;

	struct observer *observer; /* NULL: nothing to watch */
	bool listing;              /* groups need to know which names there are */
	bool annotated, server_annotated;
	struct notify_names names;
	VEC(struct notify_box) boxes; /* in order of name */
	struct annotations server;
	struct observed_box *followed; /* the selected mailbox */
	VEC(struct notify_deed) deeds;
	VEC(uint32_t) own_uids; /* in the selected mailbox */
	bool pending;           /* something is to be looked at without being called */
	uint64_t poll;          /* clock_ms of the next look at everything */
	uint64_t again;         /* of a second look after something happened, or 0 */
};

/* ---- for the session; all of them do nothing without NOTIFY ---- */
/* To be waited for, or -1. Look again at notify_due. */
int notify_fd(const struct session *s);
uint64_t notify_due(const struct session *s);
/* Tells what is new. `expunges`: those of a delayed one, too (in IDLE). */
void notify_hear(struct session *s, bool expunges);
/* Of what update_view would do, what the client wants: VIEW_… bits taken away or added. False: nothing. */
bool notify_filters(const struct session *s, unsigned *how);
/* After an update: the new messages, those behind `last`, with what was asked for. */
void notify_fetch_new(struct session *s, uint32_t last);
/* A mailbox was selected. */
void notify_entered(struct session *s);
/* The mailbox is being left; what its session knew is what is known. */
void notify_left(struct session *s);
void notify_end(struct session *s);

/* This session did it. */
void notify_did(struct session *s, unsigned event, const char *name);
void notify_put_messages(struct session *s, const char *mailbox, const uint32_t *uids, size_t count);

/* ---- notify_news.c, for notify.c ---- */
/* Learns how everything is, and watches it from now on. 0, or a code: LIMIT when it is too much. */
int notify_begin(struct session *s, struct notify *n, struct err *e);
/* "* STATUS" of every mailbox whose messages are told. */
void notify_tell_status(struct session *s, struct notify *n);
void notify_free(struct notify **np);
unsigned notify_wanted(const struct notify *n, const char *name, bool subscribed);

#endif
