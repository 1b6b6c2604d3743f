/* hang-check: never comes back from `check`. */
#include "empty-driver.h"

static int check(struct mortise_call *call, struct mortise_instance *inst)
{
	(void)call, (void)inst;
	for (;;)
		pause();
	return 0;
}

static const struct mortise_lifecycle lifecycle = {.size = sizeof(lifecycle), .check = check};

MORTISE_MODULE(hang_check, EMPTY_DESCRIPTOR("hang-check"), .lifecycle = &lifecycle);
