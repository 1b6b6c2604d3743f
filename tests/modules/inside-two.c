/* inside-two: linked into the same program: their symbols share one table. */
#include "empty-driver.h"

MORTISE_MODULE(inside_two, EMPTY_DESCRIPTOR("inside-two"));
