/* several: two drivers in one file. */
#include "empty-driver.h"

static const struct mortise_module first = {MORTISE_MODULE_HEAD, EMPTY_DESCRIPTOR("several")};
static const struct mortise_module second = {MORTISE_MODULE_HEAD, EMPTY_DESCRIPTOR("second")};

MORTISE_MODULES(several, &first, &second);
