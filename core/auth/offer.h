/* offer.h: which loaded module has a mechanism. */
#ifndef MORTISE_AUTH_OFFER_H
#define MORTISE_AUTH_OFFER_H

#include "auth/auth.h"

/* The instance whose module has the mechanism, the first in configured order; NULL: none. */
struct instance *auth_mechanism(
    const struct registry *g, struct str name, const struct mortise_mechanism **out);

#endif
