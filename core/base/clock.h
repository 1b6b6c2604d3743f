/*
 * clock.h: two clocks. Timers and deadlines use the monotonic one, so a step of the wall clock neither fires
 * nor stalls them; what is written to a mailbox uses the wall clock. Tests may move both (clock_test_*).
 */
#ifndef MORTISE_BASE_CLOCK_H
#define MORTISE_BASE_CLOCK_H

#include <stdint.h>

uint64_t clock_ms(void);        /* monotonic, milliseconds */
uint64_t clock_ms_coarse(void); /* some milliseconds behind, for a fraction of the price: not for deadlines */
int64_t clock_seconds(void);    /* wall clock, seconds since 1970 UTC */
int64_t clock_microseconds(void);
/* Minutes east of UTC of local time at `when` (seconds since 1970). */
int clock_zone(int64_t when);
void clock_test_advance(int64_t ms); /* adds to both clocks; tests only */

#endif
