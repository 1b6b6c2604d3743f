/* secure.h: random octets and comparison that takes the same time wherever the difference is. */
#ifndef MORTISE_BASE_SECURE_H
#define MORTISE_BASE_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void secure_random(void *p, size_t n);        /* getrandom(2); never fails */
uint32_t secure_random_below(uint32_t limit); /* 0 … limit-1, unbiased; limit > 0 */
bool secure_equal(const void *a, const void *b, size_t n);

#endif
