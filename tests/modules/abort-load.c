/* abort-load: aborts in its constructor. */
#include "empty-driver.h"

#include <stdlib.h>

static void __attribute__((constructor)) at_load(void)
{
	abort();
}

MORTISE_MODULE(abort_load, EMPTY_DESCRIPTOR("abort-load"));
