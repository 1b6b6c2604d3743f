/* bad-magic: a symbol of the right name that is something else. */
#include "empty-driver.h"

MORTISE_MODULE(bad_magic, EMPTY_DESCRIPTOR("bad-magic"), .magic = 0x6d6f7274u);
