/* bad-default: an option whose default its own parser refuses. */
#include "empty-driver.h"

struct options {
	uint64_t limit;
};

static const struct mortise_option table[] = {
    MORTISE_OPTION(struct options, limit, SIZE, "many", .help = "how much it takes"),
};

MORTISE_MODULE(bad_default, EMPTY_DESCRIPTOR("bad-default"), .options = table, .option_count = 1,
    .instance_size = sizeof(struct options));
