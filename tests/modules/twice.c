/* twice: two descriptors of one name in one file. */
#include "empty-driver.h"

static const struct mortise_module first = {MORTISE_MODULE_HEAD, EMPTY_DESCRIPTOR("twice")};
static const struct mortise_module second = {MORTISE_MODULE_HEAD, EMPTY_DESCRIPTOR("twice")};

MORTISE_MODULES(twice, &first, &second);
