/*
 * crashy: a driver for empty mailboxes that dies in the callback its option names, for tests of what the rest
 * of the service does then. A file "empty\n" is one of its mailboxes.
 */
#include <mortise/driver.h>

static void die_in(struct mortise_call *call, const char *op);
#define BEFORE(op) die_in(call, op)
#include "empty-driver.h"

struct options {
	const char *crash_in;
};

static const struct mortise_option table[] = {
    MORTISE_OPTION(struct options, crash_in, STRING, "", .help = "the callback that crashes"),
};

static int *volatile nowhere = (int *)8;

static void die_in(struct mortise_call *call, const char *op)
{
	const struct options *o = call->instance->options;

	if (strcmp(o->crash_in, op) == 0)
		*nowhere = 1;
}

MORTISE_MODULE(crashy, EMPTY_DESCRIPTOR("crashy"), .options = table, .option_count = 1,
    .instance_size = sizeof(struct options));
