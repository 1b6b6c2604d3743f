/*
 * checksum.h: a checksum of what is on disk, and numbers as they are there.
 *
 * It tells a torn, swapped or rotten block from a whole one at the speed of memory. It is no defence against
 * somebody who wants two blocks to have the same one. Files carry it, so it never changes:
 *
 * Four lanes begin with 1 … 4; each 8 octets (as a number, the last ones filled up with zeros) go to the next
 * lane in turn: lane = rotate_left(lane + word × K2, 31) × K1. Then h = n × K1, for each lane
 * h = rotate_left(h ^ lane, 27) × K2, and last h ^= h >> 29, h *= K1, h ^= h >> 32.
 * K1 = 0x9e3779b97f4a7c15, K2 = 0xc2b2ae3d27d4eb4f.
 */
#ifndef MORTISE_BASE_CHECKSUM_H
#define MORTISE_BASE_CHECKSUM_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

uint64_t checksum(const void *p, size_t n);

/* Little-endian numbers of 1 … 8 octets. */
static inline uint64_t little_get(const void *p, size_t octets)
{
	uint64_t v = 0;

	memcpy(&v, p, octets);
	return le64toh(v);
}

static inline void little_put(void *p, uint64_t v, size_t octets)
{
	v = htole64(v);
	memcpy(p, &v, octets);
}

#endif
