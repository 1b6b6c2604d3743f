/* missing-library: linked with a library that is not on this machine (see local.mk). */
#include "empty-driver.h"

int mortise_gone(void);

static int check(struct mortise_call *call, struct mortise_instance *inst)
{
	(void)call, (void)inst;
	return mortise_gone();
}

static const struct mortise_lifecycle lifecycle = {.size = sizeof(lifecycle), .check = check};

MORTISE_MODULE(missing_library, EMPTY_DESCRIPTOR("missing-library"), .lifecycle = &lifecycle);
