/*
 * test-support.h: a driver's callbacks, driven directly. The unix driver's, or, compiled with RIG_DRIVER,
 * another's.
 *
 * A rig is a folder with one mailbox file in it and a session that has it open: what an engine would know of
 * it, kept by the rules of mortise/driver.h and checked against them at every call.
 */
#ifndef UNIX_TEST_SUPPORT_H
#define UNIX_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include <mortise/driver.h>

#include "module/module.h"
#ifndef RIG_DRIVER
#define RIG_DRIVER unix
#define RIG_LOCKS "session_directory"
#define RIG_NEWLINE MORTISE_NEWLINE_LF
#include "box.h"
#endif

#define HEAD "From a@b Mon Jan  1 10:00:00 2024 +0000\n"

struct known_message {
	uint32_t uid, flags;
	uint64_t keywords;
	struct mortise_message m;
};

/* One session. */
struct session {
	struct rig *rig;
	struct mortise_place place;
	struct mortise_box_info info;
	struct arena *arena; /* LIFE_BOX */
	void *box;
	struct mortise_cursor cursor;
	struct known_message *messages;
	size_t count, room;
	char names[64][64];
	size_t name_count;
	uint32_t uidvalidity, uidnext;
	/* what the last sync told */
	unsigned full, added, changed, vanished, keyword_calls;
	bool fresh; /* after full_scan: `seen` counts */
	size_t seen;
	struct err e;
};

struct rig {
	char dir[64];
	int root, journals;
	struct arena *arena;
	struct instance *instance;
	struct session s; /* the usual one */
	int stop_after;   /* should_stop says CANCELLED at this call; 0 never */
	const char *file; /* "box" */
	bool inbox;
	uint64_t lock_timeout;
};

struct rig *rig_new(void);
void rig_free(struct rig *r);
int rig_setup(void **state);
int rig_teardown(void **state);
void rig_option(struct rig *r, const char *name, const char *text);
/* The mailbox file's octets. */
void rig_put(struct rig *r, const char *data, size_t size);
#define RIG_PUT(r, text) rig_put((r), (text), sizeof(text) - 1)
/* A mailbox of n messages, numbered from 1, and a check that a message is one of these. */
void rig_fill(struct rig *r, unsigned n);
void rig_is_message(struct session *s, uint32_t uid, unsigned number);
void rig_add(struct rig *r, const char *data); /* appended, as a program without manners does */
char *rig_get(struct rig *r, size_t *size);    /* NUL behind it; in the arena */

int session_open(struct rig *r, struct session *s, uint32_t flags);
/* With what another session knew, which is closed then: as an engine with an index does. */
int session_inherit(struct session *s, struct session *from, uint32_t flags);
void session_close(struct session *s);
int session_sync(struct session *s);
int session_lock(struct session *s, int mode);
/* lock, sync, change, unlock. */
int session_flags(struct session *s, uint32_t uid, uint32_t flags, uint64_t keywords);
int session_add_flags(struct session *s, uint32_t uid, uint32_t flags, uint64_t keywords);
int session_remove_flags(struct session *s, uint32_t uid, uint32_t flags, uint64_t keywords);
int session_expunge(struct session *s, const uint32_t *uids, size_t count);
int session_seen(struct session *s);
int session_checkpoint(struct session *s);
int session_keyword(struct session *s, const char *name, unsigned *bit);
/* One message of these flags and keywords ("a b" or NULL); *uid may be NULL. */
int session_append(struct session *s, const char *text, uint32_t flags, const char *keywords, uint32_t *uid);
/* The wire form, in the rig's arena; NULL after an error (in s->e). */
const char *session_read(struct session *s, uint32_t uid, size_t *size);
struct known_message *session_find(struct session *s, uint32_t uid);
/* Everything must be so: opens, syncs. */
void rig_open(struct rig *r);
void rig_reopen(struct rig *r);
const struct mortise_module *rig_module(void);
const struct mortise_driver_ops *rig_ops(const struct rig *r);

#define OK(s, x)                                                                                            \
	do {                                                                                                \
		int result_ = (x);                                                                          \
		if (result_ != 0)                                                                           \
			fail_msg("%s: %d %s", #x, result_, (s)->e.admin[0] ? (s)->e.admin : (s)->e.client); \
	} while (0)

#endif
