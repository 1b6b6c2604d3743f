/*
 * options.h: settings of the processes and their limits.
 *
 * Every limit is a number; none can be switched off (a limit nobody needs is set high). Where a limit is for
 * the whole server and is kept by the fronts, each front gets its share.
 */
#ifndef MORTISE_PROC_OPTIONS_H
#define MORTISE_PROC_OPTIONS_H

#include "conf/conf.h"

/* conf group "process". */
struct process_options {
	const char *user;    /* of fronts and log */
	uint64_t fronts;     /* 0: one a processor */
	const char *run_dir; /* holds the fronts' empty root directory */
	const char *pid_file;
	uint64_t restart_delay, restart_delay_max; /* ms */
	uint64_t restarts;                         /* of one role in a minute, then it is given up */
	uint64_t grace;                            /* ms sessions have to say goodbye at shutdown */
	struct mortise_list environment;
};
extern const struct conf_group process_conf_group;
unsigned process_fronts(const struct process_options *o); /* how many: 1…64 */

/* conf group "limits". */
struct limit_options {
	uint64_t connections;             /* held by the fronts: before login, or under TLS */
	uint64_t connections_per_address; /* the same, from one address, each front for itself */
	uint64_t connections_before_login;
	uint64_t login_time; /* ms */
	uint64_t bad_commands;
	uint64_t failed_logins;
	uint64_t sasl_response; /* octets of one line */
	uint64_t output_buffer; /* octets waiting for a client that does not read */
	uint64_t write_timeout; /* ms a session waits for such a client */
	uint64_t linger;        /* ms the last words may take */
	uint64_t sessions, sessions_per_user, sessions_per_address;
	uint64_t grants; /* logins waiting for their session */
	uint64_t module_crashes;
};
extern const struct conf_group limit_conf_group;

/* Every core group, for filling, checking, dumping and describing. */
extern const struct conf_group *const all_conf_groups[];
extern const size_t all_conf_group_count;

#endif
