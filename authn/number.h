/*
 * number.h: a uid or gid as another program writes it. Shared as source by the backends that get text (exec,
 * ldap, sql): modules link nothing of each other.
 */
#ifndef MORTISE_AUTHN_NUMBER_H
#define MORTISE_AUTHN_NUMBER_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* Decimal digits and nothing else, below 2^32 - 1 (which is no uid). NULL is no number. */
static inline bool number_of(const char *text, uint32_t *out)
{
	unsigned long long n;
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	*out = (uint32_t)n;
	return errno == 0 && *end == '\0' && n < UINT32_MAX;
}

#endif
