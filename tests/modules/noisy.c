/* noisy: writes on the terminal while it is loaded. Rude, but it works. */
#include "empty-driver.h"

#include <stdio.h>

static void __attribute__((constructor)) at_load(void)
{
	puts("noisy 1.0, evaluation copy");
	fflush(stdout);
}

MORTISE_MODULE(noisy, EMPTY_DESCRIPTOR("noisy"));
