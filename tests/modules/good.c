/* good: nothing is wrong with it. Its options can be. */
#include "empty-driver.h"

struct options {
	uint64_t limit;
	bool forbidden;
	const char *secretive;
};

static const struct mortise_option table[] = {
    MORTISE_OPTION(struct options, limit, SIZE, "10k", .min = "1k", .max = "1M", .help = "how much it takes"),
    MORTISE_OPTION(struct options, forbidden, BOOL, "no", .help = "what its check does not accept"),
    MORTISE_OPTION(struct options, secretive, STRING, "", .help = "nothing in particular"),
};

static int check(struct mortise_call *call, struct mortise_instance *inst)
{
	const struct options *o = inst->options;

	if (o->limit < 1024)
		return call->host->fault(call, MORTISE_E_INTERNAL, "the options were not filled");
	return o->forbidden ? call->host->fault(call, MORTISE_E_INVALID, "forbidden is not to be used") : 0;
}

static int start(struct mortise_call *call, struct mortise_instance *inst)
{
	const struct options *o = inst->options;

	if (strcmp(o->secretive, "do not start") == 0)
		return call->host->fault(call, MORTISE_E_UNAVAILABLE, "it was told not to start");
	inst->state = call->host->alloc(call, MORTISE_LIFE_INSTANCE, 16);
	return 0;
}

static const struct mortise_lifecycle lifecycle = {.size = sizeof(lifecycle), .check = check, .start = start};

MORTISE_MODULE(good, EMPTY_DESCRIPTOR("good"), .options = table, .option_count = 3,
    .instance_size = sizeof(struct options), .lifecycle = &lifecycle);
