/* hang-load: never comes back from its constructor. */
#include "empty-driver.h"

#include <stdlib.h>

static void __attribute__((constructor)) at_load(void)
{
	for (;;)
		pause();
}

MORTISE_MODULE(hang_load, EMPTY_DESCRIPTOR("hang-load"));
