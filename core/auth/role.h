/*
 * role.h: the auth role: how it is started, what it promises.
 *
 * Called by core/proc after the process was re-executed: log and crash handler are up, ROLE_FD_CONTROL is the
 * master's control socket (base/control.h). The role loads the registry (passwords, sasl), prepares it, drops
 * to auth.run_user when there is one, answers READY after GO, and from then on serves the fronts it is given
 * (CONTROL_PEER, ROLE_FRONT) and tells grants to the spawner (CONTROL_PEER, ROLE_SPAWNER; may be replaced at
 * any time; while there is none, logins are TEMP). It returns the exit status: 0 after DRAIN (or the master's
 * death) when the last front is gone, after STOP when the open conversations have ended or the grace is over;
 * 78 when the configuration cannot be used. A reload is a new auth role with the new configuration, while the
 * old one drains.
 *
 *   fronts   <--one socket each-->  parent   messages.h: AUTH_START, AUTH_STEP, AUTH_CANCEL, AUTH_OFFER…
 *   spawner  <--GRANT--             parent   messages.h
 *   workers  <--one socket each-->  parent   work.h: nobody else's business
 *
 * The process that runs it is the pool's parent: it loads the modules and lets them `prepare`, and after that
 * never runs module code. Workers are forked from it; each holds nothing but a socket to the parent, and runs
 * conversations: one call at a time, several open. A worker that hangs, crashes, exits or talks nonsense
 * costs the attempts that were open in it (result TEMP) and is replaced.
 *
 * Every message is validated: a front that breaks the protocol is disconnected, a worker is killed.
 *
 * What a hostile front can do: ask for logins, as any client can. It cannot make a grant, because only the
 * parent does, after a worker said DONE for a conversation that was given to that worker. What a hostile
 * worker can do: lie about a conversation that was started in it. It never holds the spawner's or a front's
 * socket, and whatever it says, uid 0, a uid below minimum_uid or, unprivileged, another uid than our own is
 * refused by the parent.
 *
 * The LOGIN command (mechanism "") is allowed where the offer for that connection holds PLAIN or LOGIN; a
 * front shows LOGINDISABLED where it holds neither.
 */
#ifndef MORTISE_AUTH_ROLE_H
#define MORTISE_AUTH_ROLE_H

#include "auth/auth.h"
#include "conf/conf.h"

/* `unprivileged`: every account maps to this process's own uid. */
int auth_role(struct conf *conf, int control, bool unprivileged);

/*
 * How the role begins, for it and for who asks the same backends by hand: reads the options, loads and
 * prepares backends and mechanisms, becomes auth.run_user. NULL when the configuration cannot be used; the
 * report says why, or the log.
 */
struct registry *auth_prepare(struct conf *conf, bool unprivileged, struct arena *a,
    struct conf_report *report, struct auth_options *o);

#endif
