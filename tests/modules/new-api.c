/* new-api: made for a later server: another major, and host functions that this one has not. */
#include "empty-driver.h"

MORTISE_MODULE(new_api, EMPTY_DESCRIPTOR("new-api"), .api_major = MORTISE_DRIVER_MAJOR + 1, .api_minor = 3,
    .host_minor = MORTISE_HOST_MINOR + 4);
