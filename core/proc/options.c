#include <unistd.h>

#include "base/object.h"
#include "proc/options.h"
#include "base/banned.h"

static const struct mortise_option process_option_table[] = {
    MORTISE_OPTION(struct process_options, user, STRING, "mortise",
        .help =
            "account of the processes that need no right at all (front, log); nobody when it does not exist"),
    MORTISE_OPTION(struct process_options, fronts, UINT, "0", .max = "64",
        .help = "processes that hold connections before login and under TLS; 0: one for each processor"),
    MORTISE_OPTION(struct process_options, run_dir, PATH, "/run/mortise",
        .help = "directory for the empty root directory of the fronts; made when missing, not used when "
                "started by an ordinary user"),
    MORTISE_OPTION(
        struct process_options, pid_file, PATH, "", .help = "file to write the master's process id to"),
    MORTISE_OPTION(struct process_options, restart_delay, DURATION, "100ms", .min = "1ms", .max = "1m",
        .help = "wait before a role that died is started again; doubled each time within a minute"),
    MORTISE_OPTION(struct process_options, restart_delay_max, DURATION, "10s", .min = "1ms", .max = "10m",
        .help = "longest such wait"),
    MORTISE_OPTION(struct process_options, restarts, UINT, "20", .min = "1", .max = "10000",
        .help = "starts of one role in a minute before it is given up until the next reload"),
    MORTISE_OPTION(struct process_options, grace, DURATION, "10s", .min = "0", .max = "10m",
        .help = "how long sessions may take to end when the server stops"),
    MORTISE_OPTION(struct process_options, environment, LIST, "",
        .help = "environment variables to keep (NAME) or to set (NAME=VALUE) in all roles; everything else "
                "is removed",
        .detail = "PATH, LANG and TZ (this host's zone) are set in any case."),
};

const struct conf_group process_conf_group = {
    .name = "process",
    .options = process_option_table,
    .count = ARRAY_LEN(process_option_table),
    .size = sizeof(struct process_options),
    .summary = "the processes of the server",
};

unsigned process_fronts(const struct process_options *o)
{
	long n = o->fronts != 0 ? (long)o->fronts : sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > 64 ? 64 : (unsigned)n;
}

static const struct mortise_option limit_option_table[] = {
    MORTISE_OPTION(struct limit_options, connections, UINT, "10000", .min = "1", .max = "1000000",
        .help = "connections held by the fronts: not logged in yet, or under TLS"),
    MORTISE_OPTION(struct limit_options, connections_per_address, UINT, "200", .min = "1", .max = "1000000",
        .help = "the same from one address (IPv6: one /64 network), counted by each front for itself"),
    MORTISE_OPTION(struct limit_options, connections_before_login, UINT, "1000", .min = "1", .max = "1000000",
        .help = "connections not logged in; when there are more, the oldest is closed"),
    MORTISE_OPTION(struct limit_options, login_time, DURATION, "1m", .min = "1ms", .max = "30m",
        .help = "time from connecting to being logged in, whatever the client does meanwhile"),
    MORTISE_OPTION(struct limit_options, bad_commands, UINT, "10", .min = "1", .max = "1000",
        .help = "commands in a row that make no sense before login"),
    MORTISE_OPTION(struct limit_options, failed_logins, UINT, "3", .min = "1", .max = "1000",
        .help = "failed logins of one connection"),
    MORTISE_OPTION(struct limit_options, sasl_response, SIZE, "12k", .min = "1k", .max = "14k",
        .help = "octets of one line of a SASL conversation"),
    MORTISE_OPTION(struct limit_options, output_buffer, SIZE, "64k", .min = "4k", .max = "16M",
        .help = "octets kept for a client that does not read, by front and session each"),
    MORTISE_OPTION(struct limit_options, write_timeout, DURATION, "5m", .min = "100ms", .max = "1h",
        .help = "how long a session waits for a client that does not read before it ends"),
    MORTISE_OPTION(struct limit_options, linger, DURATION, "10s", .min = "100ms", .max = "10m",
        .help = "how long the last octets of a connection may take"),
    MORTISE_OPTION(struct limit_options, sessions, UINT, "5000", .min = "1", .max = "100000",
        .help = "logged-in sessions"),
    MORTISE_OPTION(struct limit_options, sessions_per_user, UINT, "100", .min = "1", .max = "100000",
        .help = "logged-in sessions of one user"),
    MORTISE_OPTION(struct limit_options, sessions_per_address, UINT, "1000", .min = "1", .max = "100000",
        .help = "logged-in sessions from one address"),
    MORTISE_OPTION(struct limit_options, grants, UINT, "1000", .min = "1", .max = "100000",
        .help = "logins whose session has not been made yet"),
    MORTISE_OPTION(struct limit_options, module_crashes, UINT, "10", .min = "1", .max = "100000",
        .help = "crashes of sessions in one module until it is not called any more, before the next reload",
        .detail = "Crashes of one user in a row count once: nobody can take a module from everybody by "
                  "crashing alone."),
};

const struct conf_group limit_conf_group = {
    .name = "limits",
    .options = limit_option_table,
    .count = ARRAY_LEN(limit_option_table),
    .size = sizeof(struct limit_options),
    .summary = "how much of what there may be",
};
