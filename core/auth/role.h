/*
 * role.h: the auth role's main function.
 *
 * Called by core/proc after the process was re-executed: log and crash handler are up, ROLE_FD_CONTROL is the
 * master's control socket (base/control.h). The role loads the registry (passwords, sasl), prepares it, drops
 * to auth.run_user when there is one, answers READY after GO, and from then on serves the fronts it is given
 * (CONTROL_PEER, ROLE_FRONT) and tells grants to the spawner (CONTROL_PEER, ROLE_SPAWNER; may be replaced at
 * any time). It returns the exit status: 0 after DRAIN (or the master's death) when the last front is gone,
 * and after STOP at once.
 */
#ifndef MORTISE_AUTH_ROLE_H
#define MORTISE_AUTH_ROLE_H

#include "conf/conf.h"

/* `unprivileged`: every account maps to this process's own uid. */
int auth_role(struct conf *conf, int control, bool unprivileged);

#endif
