/* missing-symbol: calls what is nowhere. Bound lazily, this would only be found out by a user's first mail.
 */
#include "empty-driver.h"

int mortise_no_such_function(void);

static int check(struct mortise_call *call, struct mortise_instance *inst)
{
	(void)call, (void)inst;
	return mortise_no_such_function();
}

static const struct mortise_lifecycle lifecycle = {.size = sizeof(lifecycle), .check = check};

MORTISE_MODULE(missing_symbol, EMPTY_DESCRIPTOR("missing-symbol"), .lifecycle = &lifecycle);
