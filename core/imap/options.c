#include "imap/session_int.h"
#include "base/banned.h"

#define IMAP_OPTION(field, kind, text, ...) \
	MORTISE_OPTION(struct imap_options, field, kind, text, .since = "0.1", __VA_ARGS__)

static const struct mortise_option table[] = {
    IMAP_OPTION(line_size, SIZE, "64k", .min = "1k", .max = "1M",
        .help = "longest command line, literals not counted"),
    IMAP_OPTION(literal_size, SIZE, "64k", .min = "1k", .max = "16M",
        .help = "largest literal in a command; messages of APPEND are not meant"),
    IMAP_OPTION(command_size, SIZE, "256k", .min = "2k", .max = "64M",
        .help = "largest command, all its literals included; messages of APPEND are not meant"),
    IMAP_OPTION(literals, UINT, "100", .min = "1", .max = "10000", .help = "most literals in one command"),
    IMAP_OPTION(bad_commands, UINT, "10", .min = "1", .max = "1000",
        .help = "bad commands in a row that end a session"),
    IMAP_OPTION(fetch_items, UINT, "100", .min = "10", .max = "10000", .help = "most items in one FETCH"),
    IMAP_OPTION(section_depth, UINT, "100", .min = "1", .max = "10000",
        .help = "most part numbers in one section of FETCH"),
    IMAP_OPTION(search_keys, UINT, "1000", .min = "10", .max = "100000", .help = "most keys in one SEARCH"),
    IMAP_OPTION(search_depth, UINT, "500", .min = "1", .max = "5000",
        .help = "how deep NOT, OR and parentheses may be nested in SEARCH"),
    IMAP_OPTION(saved_ranges, UINT, "1000000", .min = "1", .max = "100000000",
        .help = "most ranges of UIDs that SEARCH RETURN (SAVE) keeps",
        .detail = "Each takes 8 octets of memory until the next SAVE."),
    IMAP_OPTION(contexts, UINT, "10", .min = "1", .max = "1000",
        .help = "most searches with updates (RETURN (UPDATE)) at a time",
        .detail = "Each takes 4 octets of memory for a message it has found, and looks at each message that "
                  "is new or has other flags."),
    IMAP_OPTION(search_mailboxes, UINT, "10000", .min = "1", .max = "1000000",
        .help = "most mailboxes that one ESEARCH or SCAN names or searches"),
    IMAP_OPTION(uid_batch_size, UINT, "500", .min = "1", .max = "500",
        .help = "fewest messages that a client may ask for in one batch of UIDBATCHES"),
    IMAP_OPTION(uid_batches, UINT, "2000", .min = "200", .max = "1000000",
        .help = "most batches in one answer of UIDBATCHES"),
    IMAP_OPTION(list_patterns, UINT, "100", .min = "1", .max = "10000", .help = "most patterns in one LIST"),
    IMAP_OPTION(thread_ids, UINT, "4000000", .min = "10", .max = "100000000",
        .help = "most messages and ids of messages that are not there in one THREAD",
        .detail = "Each takes about 100 octets of memory while the command is done."),
    IMAP_OPTION(keywords, UINT, "64", .min = "1", .max = "1000",
        .help = "most different keywords in one STORE or APPEND"),
    IMAP_OPTION(
        append_messages, UINT, "1000", .min = "1", .max = "100000", .help = "most messages in one APPEND"),
    IMAP_OPTION(message_limit, UINT, "0", .max = "4294967295",
        .help = "most messages that one command works on (MESSAGELIMIT, RFC 9738); 0: no limit",
        .detail = "Clients that do not know this take the newest messages for all. Below 1000 is for tests."),
    IMAP_OPTION(save_limit, UINT, "0", .max = "4294967295",
        .help = "most messages in one COPY or APPEND (SAVELIMIT, RFC 9738); 0: no limit",
        .detail = "With message_limit, that one is meant."),
    IMAP_OPTION(refuse_8bit_headers, BOOL, "no",
        .help = "APPEND refuses header fields that are not US-ASCII from clients that have not enabled UTF-8",
        .detail = "RFC 6855 asks for that. But such messages exist, and programs that copy mail from one "
                  "server to another could not store them here."),
    IMAP_OPTION(literal_plus, BOOL, "yes",
        .help = "clients may send literals of any size without waiting (LITERAL+)",
        .detail = "If not, up to 4096 octets (LITERAL-): messages wait for the server, which refuses what is "
                  "too large before it comes."),
    IMAP_OPTION(catenate_parts, UINT, "1000", .min = "1", .max = "100000",
        .help = "most pieces of one message in CATENATE"),
    IMAP_OPTION(idle_timeout, DURATION, "30m", .min = "1s", .max = "7d",
        .help = "time without a command, or in one IDLE, after which a session ends",
        .detail = "RFC 3501 asks for 30 minutes at least; less is for tests."),
    IMAP_OPTION(input_timeout, DURATION, "5m", .min = "1s", .max = "1h",
        .help = "time a client may pause in the middle of a command"),
    IMAP_OPTION(idle_keepalive, DURATION, "2m", .min = "1s", .max = "29m",
        .help = "how often a client in IDLE hears that the connection is alive"),
    IMAP_OPTION(idle_poll, DURATION, "1m", .min = "1s", .max = "29m",
        .help = "how often a mailbox in IDLE is looked at when nothing tells of changes",
        .detail = "Changes on local file systems are told at once by the kernel."),
    IMAP_OPTION(progress, DURATION, "10s", .min = "1s", .max = "1h",
        .help = "how often a client hears how far a long SEARCH, SORT, THREAD, COPY or MOVE is"),
    IMAP_OPTION(notify_watches, UINT, "2000", .min = "10", .max = "1000000",
        .help = "most files and directories that one session watches for NOTIFY",
        .detail =
            "Each mailbox takes one to three, each directory with mailboxes in it one. The kernel has a "
            "limit for each user as well (fs.inotify.max_user_watches)."),
    IMAP_OPTION(rest_after, DURATION, "5s", .min = "100ms", .max = "1h",
        .help = "quiet time after which a session does what it put off for its mailbox",
        .detail = "Expunged messages are taken out of the file, the index gets its checkpoint."),
};

const struct conf_group imap_conf_group = {
    .name = "imap",
    .options = table,
    .count = ARRAY_LEN(table),
    .size = sizeof(struct imap_options),
    .summary = "IMAP sessions after login: limits and times",
};
