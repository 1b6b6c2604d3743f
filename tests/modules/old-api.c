/* old-api: made when a driver had fewer callbacks than are needed now. */
#include "empty-driver.h"

#include <stddef.h>

static const struct mortise_driver_ops old_ops = {
    .size = offsetof(struct mortise_driver_ops, set_flags), EMPTY_OPS};

MORTISE_MODULE(old_api, EMPTY_DESCRIPTOR("old-api"), .api_minor = 0, .ops = &old_ops);
