/* inside: linked into a program. */
#include "empty-driver.h"

MORTISE_MODULE(inside, EMPTY_DESCRIPTOR("inside"));
