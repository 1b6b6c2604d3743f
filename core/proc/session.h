/*
 * session.h: the process that is the user.
 *
 * Forked (not executed) from the spawner, so the modules are loaded already and a login costs no dlopen.
 * Before it looks at one octet of the client it closes what is not its own, becomes the user for good, and
 * raises its sandbox. `imapd --preauth` runs the same code without the spawner.
 */
#ifndef MORTISE_PROC_SESSION_H
#define MORTISE_PROC_SESSION_H

#include <stdbool.h>

#include "base/vec.h"
#include "conf/conf.h"
#include "module/module.h"
#include "proc/options.h"
#include "store/quota.h"
#include "store/store.h"

/* What all sessions of a process are made from: filled once, before the first. */
struct session_settings {
	struct registry *registry;
	struct store_options store;
	struct quota_options quota;
	void *imap; /* struct imap_options */
	uint64_t write_timeout, output_buffer;
};
int session_settings_fill(
    struct session_settings *s, struct conf *conf, struct arena *a, struct conf_report *r);

struct session_request {
	int in, out; /* the connection; may be the same descriptor */
	const char *user, *home, *remote, *id;
	uid_t uid;
	gid_t gid;
	const gid_t *groups;
	size_t group_count;
	const char *const *options; /* "group.name=value" of the user's record */
	size_t option_count;
	bool tls, preauth;
	struct str input; /* octets after the login command */
	struct str tag;
	const char *ok_text;
};

/* Exit status of a session whose connection goes on without it. */
#define SESSION_UNAUTHENTICATED 17

/* Runs the session; its exit status. The process should end then. SIGTERM must be blocked. */
int session_run(struct session_settings *s, const struct session_request *q);

#endif
