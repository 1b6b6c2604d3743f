/* second: a module whose name another file ("several") has as well. */
#include "empty-driver.h"

MORTISE_MODULE(second, EMPTY_DESCRIPTOR("second"));
