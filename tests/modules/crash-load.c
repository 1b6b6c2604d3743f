/* crash-load: dies in its constructor. */
#include "empty-driver.h"

#include <stdlib.h>

static int *volatile nowhere = (int *)8;

static void __attribute__((constructor)) at_load(void)
{
	*nowhere = 1;
}

MORTISE_MODULE(crash_load, EMPTY_DESCRIPTOR("crash-load"));
