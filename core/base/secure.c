#include <errno.h>
#include <sys/random.h>

#include "base/object.h"
#include "base/secure.h"
#include "base/banned.h"

void secure_random(void *p, size_t n)
{
	unsigned char *c = p;

	while (n > 0) {
		ssize_t r = getrandom(c, n, 0);

		if (r < 0) {
			ASSERT(errno == EINTR);
			continue;
		}
		c += r;
		n -= (size_t)r;
	}
}

uint32_t secure_random_below(uint32_t limit)
{
	uint32_t v, floor;

	ASSERT(limit > 0);
	floor = (uint32_t)(-limit) % limit;
	do
		secure_random(&v, sizeof(v));
	while (v < floor);
	return v % limit;
}

bool secure_equal(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char d = 0;
	size_t i;

	for (i = 0; i < n; i++)
		d |= x[i] ^ y[i];
	return d == 0;
}
