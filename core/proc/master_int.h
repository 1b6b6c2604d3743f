/*
 * master_int.h: inside the master.
 *
 * The master reads the configuration, opens listeners and certificate, starts the roles and keeps them
 * running. It never reads from the network and believes no role (attack-144).
 *
 * A generation is a configuration with the processes that were started for it: one auth, one spawner, some
 * fronts, wired to each other and to no process of another generation. A reload starts a new generation
 * beside the old one; when all of it is READY the old one drains, and when any of it fails the new one is
 * dropped and the old one has never noticed. The log role belongs to no generation: its socket outlives it.
 */
#ifndef MORTISE_PROC_MASTER_INT_H
#define MORTISE_PROC_MASTER_INT_H

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <event2/event.h>

#include "base/arena.h"
#include "base/control.h"
#include "conf/log_options.h"
#include "net/listen.h"
#include "net/tls.h"
#include "proc/link.h"
#include "proc/options.h"
#include "proc/table.h"

enum child_state { CHILD_STARTING, CHILD_READY, CHILD_ENDING };

struct generation {
	unsigned number;
	struct arena *arena;
	struct conf *conf;
	int conf_fd, tls_fd;
	struct process_options process;
	struct limit_options limits;
	struct listen_options listen;
	struct tls_options tls;
	struct log_options log;
	struct listeners listeners;
	char **environment, **log_environment;
	unsigned fronts;
	bool ending; /* drains: nothing of it is started again */
};

struct child {
	TAILQ_ENTRY(child) entry;
	enum role role;
	uint32_t id;
	pid_t pid;
	enum child_state state;
	uint64_t started;
	struct generation *generation; /* NULL: log */
	struct link *link;             /* NULL when the role closed it */
	struct master *master;
};
TAILQ_HEAD(child_list, child);

/* How a role is started again. */
struct respawn {
	struct event *timer;
	uint64_t delay;  /* of the next start */
	uint64_t minute; /* when the minute that is counted began */
	uint64_t starts; /* in it */
	bool given_up;
	struct master *master;
	enum role role;
};

struct master {
	struct event_base *base;
	const char *config; /* as given, or NULL */
	char **original_environment;
	struct child_list children;
	struct generation *current, *next; /* next: being started by a reload */
	unsigned generations;
	uint32_t last_id;
	int log_pair[2];  /* [0] is read by the log role, [1] written by all */
	int text_pipe[2]; /* what roles write to their stderr: [0] read by the log role */
	struct table *table;
	int table_fd;
	struct listeners inherited; /* socket activation */
	struct respawn respawn[ROLE_SESSION + 1];
	struct event *signals[5];
	struct event *deadline;
	pid_t checker; /* child that validates the new configuration, or 0 */
	bool reload_again, ready, stopping, killed, log_stopped;
	int status;
};

/* generation.c */
struct generation *generation_load(struct master *m, struct conf_report *r);
void generation_free(struct master *m, struct generation **gp);
void generation_close_listeners(struct master *m, struct generation *g);
bool generation_alive(const struct master *m, const struct generation *g); /* a process of it is left */

/* children.c */
void children_init(struct master *m);
/* Starts what generation g lacks of a role. */
void children_ensure(struct master *m, struct generation *g, enum role role);
void children_start_log(struct master *m);
void children_tell(struct master *m, const struct generation *g, enum control_message what, uint64_t grace);
/* STOP to all but the log role, of every generation. */
void children_stop(struct master *m, uint64_t grace);
void children_signal(struct master *m, const struct generation *g, int signal_number);
bool children_ready(const struct master *m, const struct generation *g);
void children_reap(struct master *m);

/* master.c: what follows from what happened to a child. */
void master_child_ready(struct master *m, struct child *c);
void master_child_gone(struct master *m, struct child *c, int wait_status); /* c is freed afterwards */
void master_checker_gone(struct master *m, int wait_status);

#endif
