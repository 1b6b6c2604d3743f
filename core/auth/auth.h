/*
 * auth.h: who somebody is.
 *
 * Two halves. The chain asks the configured password backends in order and turns their results into one
 * answer. A conversation runs one SASL mechanism against the chain. Both run in an auth worker
 * (core/auth/worker.h), a process that reads neither the network nor mail.
 *
 * Chain rules: OK ends it. NEXT asks the next. UNKNOWN asks the next. MISMATCH, DISABLED and EXPIRED end it.
 * TEMP ends it: what a broken backend would have said is not replaced by the next one's; an error code or a
 * result nobody knows counts as INTERNAL and ends it likewise. All asked and none knew: UNKNOWN. A name with
 * capitals that nobody knew is asked for once more in lower case (`lowercase_retry`). The client sees one
 * text for UNKNOWN, MISMATCH and DISABLED, after the same time. A backend says EXPIRED only when the password
 * was right.
 *
 * Identity. A backend that knows uid, gid and groups says so (has_ids); otherwise the host is asked
 * (getpwnam, getgrouplist) for the record's `account` or name. uid 0, gid 0 and uids below minimum_uid never
 * log in. Unprivileged, every account maps to this process.
 *
 * Acting for somebody else. An authorisation identity other than the authentication identity needs
 * membership in `master_users` and a target that exists and may log in. It comes from the mechanism (PLAIN's
 * first field) or, where the mechanism has no place for it, from the user name "target*master" (UW's form;
 * `master_separator`), which is looked at only when what follows the last separator is a master user.
 *
 * Messages between front and auth, and between auth and spawner, are listed in messages.h beside this.
 */
#ifndef MORTISE_AUTH_AUTH_H
#define MORTISE_AUTH_AUTH_H

#include <mortise/password.h>
#include <mortise/sasl.h>

#include "base/arena.h"
#include "base/err.h"
#include "conf/conf.h"
#include "module/module.h"

/* conf group "auth". */
struct auth_options {
	struct mortise_list mechanisms; /* offered, in order */
	bool plaintext_without_tls;
	uint64_t minimum_uid;
	bool valid_shell;     /* refuse host accounts whose shell is not in /etc/shells */
	bool lowercase_retry; /* ask again in lower case when nobody knew a name with capitals */
	struct mortise_list master_users;
	const char *master_separator; /* "" : no such form */
	const char *hostname;         /* for mechanisms; "" : the machine's */
	const char *run_user;         /* "" : stay as started (root for PAM and shadow) */

	uint64_t failure_delay;        /* ms: the least time a failed attempt lasts */
	uint64_t attempt_timeout;      /* ms a backend may take before its worker is killed */
	uint64_t conversation_timeout; /* ms a client may take for its next message */
	uint64_t response_max;         /* octets of one SASL message of a client */
	uint64_t grant_lifetime;       /* ms between AUTH_OK and SPAWN */

	uint64_t workers_min, workers_max;
	uint64_t worker_attempts;   /* a worker is replaced after so many */
	uint64_t queue_max;         /* attempts waiting for a worker */
	uint64_t conversations_max; /* open conversations in all, with those whose answer is delayed */

	uint64_t throttle_free;    /* failures that cost nothing extra */
	uint64_t throttle_step;    /* ms: the first slow-down; doubles with each failure */
	uint64_t throttle_max;     /* ms: the longest slow-down */
	uint64_t throttle_decay;   /* ms in which a count of failures halves */
	uint64_t throttle_entries; /* addresses, users and known pairs remembered */
};
extern const struct conf_group auth_conf_group;

/* The result of a login: what the spawner needs. */
struct auth_identity {
	const char *user; /* canonical */
	uid_t uid;
	gid_t gid;
	gid_t groups[MORTISE_USER_GROUPS_MAX];
	size_t group_count;
	const char *home;
	const char *const *options;
	size_t option_count;
};

#define AUTH_USER_MAX 255u   /* octets of a user name */
#define AUTH_OPTIONS_MAX 64u /* per-user options of a record */
#define AUTH_TEXT_MAX 1024u  /* octets of a home or an option */
#define AUTH_PASSWORD_MAX 4096u

struct auth_facts {
	const char *service, *remote, *local, *host;
	bool tls;
	struct str exporter, endpoint; /* channel bindings (mortise/sasl.h); p NULL: none */
};

/* A copy that is none when there is none. */
static inline struct str auth_binding(struct arena *a, struct str s)
{
	return s.p != NULL ? arena_str(a, s) : STR_NONE;
}

struct auth_chain;
/* unprivileged: every account maps to this process's uid, gid and, unless the record has one, home. */
struct auth_chain *auth_chain_new(struct registry *g, const struct auth_options *o, bool unprivileged);
void auth_chain_free(struct auth_chain **cp);
/* MORTISE_AUTH_…; identity in the arena. why: what each backend said, for the log and `imapctl auth test`. */
int auth_verify(struct auth_chain *c, const struct auth_facts *f, const char *user, const char *password,
    size_t password_size, uint64_t deadline, struct arena *a, struct auth_identity *out, struct buf *why);
int auth_lookup(struct auth_chain *c, const char *user, uint64_t deadline, struct arena *a,
    struct auth_identity *out, struct buf *why);
/* One credential of a user, for mechanisms that do not see the password; *text in the arena (a secret one).
 */
int auth_credential(struct auth_chain *c, const char *user, uint32_t kind, uint64_t deadline, struct arena *a,
    const char **text, struct buf *why);
/*
 * What each backend says by itself, in their order: MORTISE_AUTH_… and why, for who wants to know why
 * somebody cannot log in. Each has `timeout` ms. password NULL: who it is, without one.
 */
typedef void auth_verdict(void *arg, const char *backend, int result, const char *why);
void auth_verdicts(struct auth_chain *c, const struct auth_facts *f, const char *user, const char *password,
    size_t password_size, uint64_t timeout, struct arena *a, auth_verdict *tell, void *arg);
/* A user name before any backend sees it: UTF-8, no controls, 1…255 octets. */
bool auth_user_name_ok(struct str name);
/* "ok", "mismatch"…: MORTISE_AUTH_… as text for logs. */
const char *auth_result_name(int result);

/* What it was made with. */
const struct auth_options *auth_chain_options(const struct auth_chain *c);
struct registry *auth_chain_registry(const struct auth_chain *c);

/* "PLAIN LOGIN": what may be offered with and without TLS. Space-separated, in configured order. */
void auth_offer(struct registry *g, const struct auth_options *o, bool tls, struct buf *out);
/* Whether an offer has this mechanism; "" (the LOGIN command) needs PLAIN or LOGIN. */
bool auth_offered(struct str offer, struct str mechanism);

struct auth_conv;
/*
 * MORTISE_SASL_…; `challenge` gets the raw octets. in.p NULL: no initial response. *out is set unless the
 * answer is BAD for a mechanism that is not offered.
 */
int auth_conv_start(struct auth_chain *c, const struct auth_facts *f, struct str mechanism, struct str in,
    uint64_t deadline, struct auth_conv **out, struct buf *challenge);
int auth_conv_step(struct auth_conv *v, struct str in, uint64_t deadline, struct buf *challenge);
/*
 * After DONE: MORTISE_AUTH_… of the authorisation decision and the identity. After FAIL and TEMP: the
 * MORTISE_AUTH_… behind it, never OK.
 */
int auth_conv_identity(
    struct auth_conv *v, uint64_t deadline, struct arena *a, struct auth_identity *out, struct buf *why);
/* Who authenticated or tried to, as far as known ("" before that): for the log and for throttling. */
const char *auth_conv_user(const struct auth_conv *v);
void auth_conv_free(struct auth_conv **vp);

#endif
