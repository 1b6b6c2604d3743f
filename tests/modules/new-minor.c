/* new-minor: made for a later minor: its table is longer, and nothing it needs is missing. To be accepted. */
#include "empty-driver.h"

static const struct {
	struct mortise_driver_ops ops;
	void (*later)(void);
} longer = {.ops = {.size = sizeof(struct mortise_driver_ops) + sizeof(void *), EMPTY_OPS}};

MORTISE_MODULE(
    new_minor, EMPTY_DESCRIPTOR("new-minor"), .api_minor = MORTISE_DRIVER_MINOR + 1, .ops = &longer);
