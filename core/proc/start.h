/*
 * start.h: a role as a fresh process.
 *
 * fork, then exec of ourselves: a role inherits no memory of the master (no configuration secrets, no
 * allocator state, new address layout), no descriptor but the listed ones and no environment but the listed
 * variables (attack-147, attack-150).
 */
#ifndef MORTISE_PROC_START_H
#define MORTISE_PROC_START_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/control.h"
#include "base/err.h"

struct start {
	enum role role;
	int control; /* the role's end */
	int log;     /* ROLE_FD_LOG */
	int conf;
	int text;      /* log role: reading end of the text pipe; otherwise -1 */
	int stderr_fd; /* what becomes its descriptor 2 */
	char *const *environment;
	uint64_t files; /* RLIMIT_NOFILE, 0: as it is */
};

/* The process id, or -1 with e set. */
pid_t role_start(const struct start *s, struct err *e);
const char *role_name(enum role r); /* "front" */
/* The role of a name, or 0. */
enum role role_of_name(const char *name);

/*
 * First thing a role's main does: checks that it was started by a master (descriptors are what they should
 * be), joins the log, installs the crash handler.
 */
int role_enter(enum role r, struct err *e);

/* What ps shows of this process, as far as the arguments it was started with leave room. */
void role_title_room(int argc, char **argv);
void role_set_title(const char *title);

#endif
