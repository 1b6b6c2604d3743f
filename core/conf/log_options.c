#include "conf/log_options.h"
#include "log/log.h"
#include "base/banned.h"

static const struct mortise_enum levels[] = {
    {"error", LOG_LEVEL_ERROR}, {"warn", LOG_LEVEL_WARN}, {"info", LOG_LEVEL_INFO}, {NULL, 0}};
static const struct mortise_enum targets[] = {{"stderr", LOG_TARGET_STDERR}, {"file", LOG_TARGET_FILE},
    {"syslog", LOG_TARGET_SYSLOG}, {"journald", LOG_TARGET_JOURNALD}, {NULL, 0}};
/* RFC 3164 §4.1.1 */
static const struct mortise_enum facilities[] = {{"kern", 0}, {"user", 1}, {"mail", 2}, {"daemon", 3},
    {"auth", 4}, {"syslog", 5}, {"lpr", 6}, {"news", 7}, {"uucp", 8}, {"cron", 9}, {"authpriv", 10},
    {"ftp", 11}, {"local0", 16}, {"local1", 17}, {"local2", 18}, {"local3", 19}, {"local4", 20},
    {"local5", 21}, {"local6", 22}, {"local7", 23}, {NULL, 0}};

static const struct mortise_option log_option_table[] = {
    MORTISE_OPTION(struct log_options, level, ENUM, "info", .values = levels,
        .flags = MORTISE_OPTION_RELOADABLE, .since = "0.1", .help = "least urgent level that is logged"),
    MORTISE_OPTION(struct log_options, debug, LIST, "", .flags = MORTISE_OPTION_RELOADABLE, .since = "0.1",
        .help = "rooms and modules whose debug lines are wanted, or \"all\"",
        .detail = "For example [ \"store\", \"unix\" ]. Debug lines never hold passwords or message text."),
    MORTISE_OPTION(struct log_options, target, ENUM, "stderr", .values = targets, .since = "0.1",
        .help = "where the log goes",
        .detail = "Under systemd, stderr is the journal too; journald adds the session, user and mailbox as "
                  "fields."),
    MORTISE_OPTION(struct log_options, facility, ENUM, "mail", .values = facilities, .since = "0.1",
        .help = "syslog facility, for the targets syslog and journald"),
    MORTISE_OPTION(struct log_options, file, PATH, "", .since = "0.1",
        .help = "the file, for the target file",
        .detail = "It is opened anew on reload, so logrotate may rename it and reload the server."),
};

const struct conf_group log_conf_group = {"log", log_option_table, ARRAY_LEN(log_option_table),
    sizeof(struct log_options), "what is logged, and where"};

void log_options_apply(const struct log_options *o)
{
	struct buf areas AUTO_BUF = BUF_INIT;
	size_t i;

	for (i = 0; i < o->debug.count; i++)
		buf_printf(&areas, "%s%s", i == 0 ? "" : ",", o->debug.items[i]);
	log_set_level((enum log_level)o->level);
	log_set_debug(buf_cstr(&areas));
}

struct log_sink *log_options_sink(const struct log_options *o, struct err *e)
{
	return log_sink_open(
	    (enum log_target)o->target, o->target == LOG_TARGET_FILE ? o->file : NULL, o->facility, e);
}
