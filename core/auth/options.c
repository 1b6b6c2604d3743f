#include "auth/auth.h"
#include "base/banned.h"

#define AUTH_OPTION(field, kind, text, ...) \
	MORTISE_OPTION(struct auth_options, field, kind, text, __VA_ARGS__)

static const struct mortise_option table[] = {
    AUTH_OPTION(mechanisms, LIST, "PLAIN, LOGIN", .since = "0.1",
        .help = "SASL mechanisms to offer, in this order",
        .detail = "A mechanism is offered when a loaded module has it, a password backend can yield what it "
                  "needs, and the connection is encrypted enough for it."),
    AUTH_OPTION(plaintext_without_tls, BOOL, "no", .since = "0.1",
        .help = "allow passwords in clear over connections without TLS"),
    AUTH_OPTION(minimum_uid, UINT, "500", .min = "0", .max = "4294967294", .since = "0.1",
        .help = "least uid that may log in; uid 0 never may"),
    AUTH_OPTION(valid_shell, BOOL, "no", .since = "0.1",
        .help = "refuse host accounts whose shell is not in /etc/shells"),
    AUTH_OPTION(lowercase_retry, BOOL, "yes", .since = "0.1",
        .help = "ask for a name with capitals that nobody knows once more in lower case"),
    AUTH_OPTION(master_users, LIST, NULL, .since = "0.1",
        .help = "users who may log in as any other user, with their own password"),
    AUTH_OPTION(master_separator, STRING, "*", .since = "0.1",
        .help = "separates target and master user where a mechanism has one user name only",
        .detail = "\"fred*admin\" logs in as fred with the password of admin. Empty: no such form."),
    AUTH_OPTION(hostname, STRING, "", .since = "0.1",
        .help = "this server's name for SASL mechanisms; empty: the machine's name"),
    AUTH_OPTION(run_user, STRING, "", .since = "0.1",
        .help = "user to check passwords as; empty: stay root, as PAM and shadow passwords need",
        .detail = "Backends open what only root may read before the change of user."),

    AUTH_OPTION(failure_delay, DURATION, "2s", .min = "0", .max = "1m", .since = "0.1",
        .help = "least time a failed attempt lasts"),
    AUTH_OPTION(attempt_timeout, DURATION, "30s", .min = "100ms", .max = "10m", .since = "0.1",
        .help = "time a password check may take before its worker is killed"),
    AUTH_OPTION(conversation_timeout, DURATION, "1m", .min = "1s", .max = "10m", .since = "0.1",
        .help = "time a client may take for its next SASL message"),
    AUTH_OPTION(response_max, SIZE, "16k", .min = "1k", .max = "48k", .since = "0.1",
        .help = "longest SASL message of a client, decoded"),
    AUTH_OPTION(grant_lifetime, DURATION, "30s", .min = "1s", .max = "5m", .since = "0.1",
        .help = "time between a successful check and the start of the session"),

    AUTH_OPTION(workers_min, UINT, "1", .min = "1", .max = "64", .since = "0.1",
        .help = "worker processes kept ready"),
    AUTH_OPTION(workers_max, UINT, "16", .min = "1", .max = "256", .since = "0.1",
        .help = "most worker processes, and so the most password checks at one time"),
    AUTH_OPTION(worker_attempts, UINT, "1000", .min = "1", .max = "1000000", .since = "0.1",
        .help = "attempts after which a worker is replaced by a fresh one"),
    AUTH_OPTION(queue_max, UINT, "512", .min = "1", .max = "65536", .since = "0.1",
        .help = "attempts that may wait for a worker; more are told to try later"),
    AUTH_OPTION(conversations_max, UINT, "4096", .min = "1", .max = "65536", .since = "0.1",
        .help = "open attempts in all, with those whose answer is being delayed"),

    AUTH_OPTION(throttle_free, UINT, "4", .min = "0", .max = "1000", .since = "0.1",
        .help = "failures of an address or for a user before answers are slowed down"),
    AUTH_OPTION(throttle_step, DURATION, "1s", .min = "0", .max = "1m", .since = "0.1",
        .help = "first slow-down; each further failure doubles it; 0: none",
        .detail = "Nobody is locked out: a user is never slowed down by other people's failures at an "
                  "address from which that user has logged in before."),
    AUTH_OPTION(
        throttle_max, DURATION, "15s", .min = "0", .max = "5m", .since = "0.1", .help = "longest slow-down"),
    AUTH_OPTION(throttle_decay, DURATION, "5m", .min = "1s", .max = "1d", .since = "0.1",
        .help = "time in which a count of failures halves"),
    AUTH_OPTION(throttle_entries, UINT, "16384", .min = "64", .max = "1048576", .since = "0.1",
        .help = "addresses, users and known pairs of both that are remembered"),
};

const struct conf_group auth_conf_group = {
    .name = "auth",
    .options = table,
    .count = ARRAY_LEN(table),
    .size = sizeof(struct auth_options),
    .summary = "who may log in, how passwords are checked",
};
