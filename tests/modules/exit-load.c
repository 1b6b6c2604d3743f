/* exit-load: ends the process in its constructor. */
#include "empty-driver.h"

#include <stdlib.h>

static void __attribute__((constructor)) at_load(void)
{
	exit(3);
}

MORTISE_MODULE(exit_load, EMPTY_DESCRIPTOR("exit-load"));
