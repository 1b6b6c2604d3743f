/* time32: compiled with another width of time_t, for another flavour of the server: both must be named. */
#include "empty-driver.h"

MORTISE_MODULE(time32, EMPTY_DESCRIPTOR("time32"),
    .abi = {.pointer_size = sizeof(void *),
        .time_size = 4,
        .off_size = sizeof(off_t),
        .byte_order = MORTISE_BYTE_ORDER,
        .flavour = "strange",
        .vendor = MORTISE_VENDOR});
