/*
 * spawner_int.h: inside the spawner.
 *
 * It has the drivers loaded, the right to become any user, and no network. It makes a session for whoever
 * shows a grant, and a grant is made only by auth: 32 random octets, told to the spawner first, good for one
 * session, of one user, from one address, for a short time. A front that is under foreign control can present
 * what it was given and nothing else.
 */
#ifndef MORTISE_PROC_SPAWNER_INT_H
#define MORTISE_PROC_SPAWNER_INT_H

#include <sys/queue.h>

#include <event2/event.h>

#include <mortise/password.h>

#include "auth/messages.h"
#include "imap/reader.h"
#include "proc/link.h"
#include "proc/session.h"
#include "proc/table.h"

#define SPAWNER_OPTIONS_MAX 64u

struct descriptors {
	int *v;
	size_t n, cap;
};

struct grant {
	TAILQ_ENTRY(grant) entry;
	struct arena *arena;
	unsigned char key[AUTH_GRANT_SIZE];
	uint64_t expires;
	const char *user, *home, *service, *remote;
	uid_t uid;
	gid_t gid;
	gid_t groups[MORTISE_USER_GROUPS_MAX];
	size_t group_count;
	const char **options;
	size_t option_count;
};

/* A front's wish. */
struct spawn {
	uint64_t id;
	struct str grant, input, tag;
	const char *service, *remote, *local, *ok_text;
	uint32_t tls;
};

struct session {
	TAILQ_ENTRY(session) entry;
	bool listed;
	pid_t pid;
	int slot; /* in the table */
	uint32_t front;
	uint64_t connection;
	char *user;
	char id[12];
	const char *volatile *crumb; /* a page shared with it */
};

struct front_peer {
	TAILQ_ENTRY(front_peer) entry;
	struct spawner *spawner;
	struct link *link;
	uint32_t id;
};

struct crash_count {
	struct crash_count *next;
	struct instance *instance;
	char *user; /* of the last crash */
	uint64_t count;
};

struct spawner {
	struct event_base *base;
	struct session_settings settings;
	struct limit_options limits;
	struct descriptors kept;
	struct table *table;
	struct link *control, *auth;
	TAILQ_HEAD(, front_peer) fronts;
	TAILQ_HEAD(, grant) grants; /* oldest first */
	size_t grant_count;
	TAILQ_HEAD(, session) sessions;
	struct crash_count *crashes;
	struct event *grace;
	bool draining, stopping;
};

#endif
