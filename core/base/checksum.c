#include "base/checksum.h"
#include "base/banned.h"

#define K1 UINT64_C(0x9e3779b97f4a7c15)
#define K2 UINT64_C(0xc2b2ae3d27d4eb4f)

static inline uint64_t rotate(uint64_t v, unsigned n)
{
	return v << n | v >> (64 - n);
}

static inline uint64_t mix(uint64_t lane, uint64_t word)
{
	return rotate(lane + word * K2, 31) * K1;
}

uint64_t checksum(const void *octets, size_t n)
{
	const unsigned char *p = octets;
	uint64_t lane[4] = {1, 2, 3, 4}, h = n * K1;
	unsigned turn;

	for (; n >= 32; n -= 32, p += 32) {
		lane[0] = mix(lane[0], little_get(p, 8));
		lane[1] = mix(lane[1], little_get(p + 8, 8));
		lane[2] = mix(lane[2], little_get(p + 16, 8));
		lane[3] = mix(lane[3], little_get(p + 24, 8));
	}
	for (turn = 0; n > 0; turn++) {
		size_t some = n < 8 ? n : 8;

		lane[turn] = mix(lane[turn], little_get(p, some));
		p += some;
		n -= some;
	}
	for (turn = 0; turn < 4; turn++)
		h = rotate(h ^ lane[turn], 27) * K2;
	h ^= h >> 29;
	h *= K1;
	return h ^ h >> 32;
}
