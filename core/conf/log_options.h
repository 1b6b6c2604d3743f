/*
 * log_options.h: the group "log" of imapd.conf. It stands here because the log room is below this one.
 */
#ifndef MORTISE_CONF_LOG_OPTIONS_H
#define MORTISE_CONF_LOG_OPTIONS_H

#include "conf/conf.h"
#include "log/log_sink.h"

struct log_options {
	int level; /* enum log_level */
	struct mortise_list debug;
	int target;   /* enum log_target */
	int facility; /* syslog's number */
	const char *file;
};
extern const struct conf_group log_conf_group;

/* Level and debug areas of this process. */
void log_options_apply(const struct log_options *o);
/* The sink they ask for; for the log role. NULL and an error. */
struct log_sink *log_options_sink(const struct log_options *o, struct err *e);

#endif
