/*
 * identity.h: from a backend's record to what the spawner needs.
 *
 * A record that carries ids is taken at its word, within the rules of auth.h; one that does not is completed
 * from the host's account. Everything in it is checked again here, because it ends in a setuid: a backend is
 * somebody else's code reading somebody else's data.
 */
#ifndef MORTISE_AUTH_IDENTITY_H
#define MORTISE_AUTH_IDENTITY_H

#include "auth/auth.h"

/* MORTISE_AUTH_OK, DISABLED, UNKNOWN (no host account), TEMP or INTERNAL; the reason is added to why. */
int identity_resolve(const struct auth_options *o, bool unprivileged, const struct mortise_user *record,
    const char *asked, struct arena *a, struct auth_identity *out, struct buf *why);
/*
 * Whether an identity may become a session at all: ids and texts. NULL, or what is wrong. The pool's parent
 * asks this of whatever a worker said.
 */
const char *identity_refusal(const struct auth_options *o, bool unprivileged, const struct auth_identity *i);

#endif
