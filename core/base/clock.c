#include <time.h>

#include "base/clock.h"
#include "base/banned.h"

static int64_t moved_ms;

uint64_t clock_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + moved_ms);
}

uint64_t clock_ms_coarse(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + moved_ms);
}

int64_t clock_microseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 + moved_ms * 1000;
}

int64_t clock_seconds(void)
{
	return clock_microseconds() / 1000000;
}

int clock_zone(int64_t when)
{
	time_t t = (time_t)when;
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL)
		return 0;
	return (int)(tm.tm_gmtoff / 60);
}

void clock_test_advance(int64_t ms)
{
	moved_ms += ms;
}
