/*
 * auth.h: who somebody is.
 *
 * Two halves. The chain asks the configured password backends in order and turns their results into one
 * answer. A conversation runs one SASL mechanism against the chain. Both run in an auth worker
 * (core/auth/worker.h), a process that reads neither the network nor mail.
 *
 * Chain rules: OK ends it. NEXT asks the next. UNKNOWN asks the next. MISMATCH, DISABLED and EXPIRED end it.
 * TEMP ends it: what a broken backend would have said is not replaced by the next one's. All asked and none
 * knew: UNKNOWN. The client sees one text for UNKNOWN, MISMATCH and DISABLED, after the same time. uid 0
 * never logs in. An authorisation identity other than the authentication identity needs membership in
 * `master_users`.
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
	struct mortise_list mechanisms; /* offered, in order: PLAIN, LOGIN */
	bool plaintext_without_tls;     /* no */
	uint64_t minimum_uid;           /* 500? 0 refuses only root */
	uint64_t failure_delay;         /* ms: 2s, the least time a failed attempt lasts */
	uint64_t attempt_timeout;       /* ms a backend may take before its worker is killed: 30s */
	uint64_t conversation_timeout;  /* ms */
	uint64_t workers_min, workers_max;
	struct mortise_list master_users;
	const char *run_user; /* "" : stay as started (root for PAM and shadow) */
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

struct auth_facts {
	const char *service, *remote, *local, *host;
	bool tls;
};

struct auth_chain;
/* unprivileged: every account maps to this process's uid, gid and, unless the record has one, home. */
struct auth_chain *auth_chain_new(struct registry *g, const struct auth_options *o, bool unprivileged);
void auth_chain_free(struct auth_chain **cp);
/* MORTISE_AUTH_…; identity in the arena. why: what each backend said, for the log and `imapctl auth test`. */
int auth_verify(struct auth_chain *c, const struct auth_facts *f, const char *user, const char *password,
    size_t password_size, uint64_t deadline, struct arena *a, struct auth_identity *out, struct buf *why);
int auth_lookup(struct auth_chain *c, const char *user, uint64_t deadline, struct arena *a,
    struct auth_identity *out, struct buf *why);
/* A user name before any backend sees it: UTF-8, no controls, 1…255 octets. */
bool auth_user_name_ok(struct str name);

/* "PLAIN LOGIN": what may be offered with and without TLS. Space-separated, in configured order. */
void auth_offer(struct registry *g, const struct auth_options *o, bool tls, struct buf *out);

struct auth_conv;
/* MORTISE_SASL_…; `challenge` gets the raw octets. in.p NULL: no initial response. */
int auth_conv_start(struct auth_chain *c, const struct auth_facts *f, struct str mechanism, struct str in,
    struct auth_conv **out, struct buf *challenge);
int auth_conv_step(struct auth_conv *v, struct str in, struct buf *challenge);
/* After DONE: MORTISE_AUTH_… of the authorisation decision and the identity. */
int auth_conv_identity(struct auth_conv *v, struct arena *a, struct auth_identity *out, struct buf *why);
void auth_conv_free(struct auth_conv **vp);

#endif
