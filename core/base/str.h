/*
 * str.h: counted strings that own nothing.
 *
 * A struct str is a window on octets that live elsewhere (an arena, a buffer, a mapping): pointer and
 * length, not NUL-terminated unless its maker says so. Mail and clients send NULs; code that carries the
 * length is right by construction. Case folding here is ASCII only (RFC 9051 keywords, RFC 5322 field
 * names); anything wider belongs to the charset room.
 */
#ifndef MORTISE_BASE_STR_H
#define MORTISE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal)                       \
	{                                       \
		"" literal, sizeof(literal) - 1 \
	}
#define STR_NONE ((struct str){NULL, 0})
#define STR_FMT(s) (int)(s).n, (s).p /* for "%.*s" */

static inline struct str str_of(const char *c)
{
	return (struct str){c, c != NULL ? strlen(c) : 0};
}
static inline struct str str_mem(const void *p, size_t n)
{
	return (struct str){(const char *)p, n};
}
static inline char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}
static inline char ascii_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}
static inline bool ascii_digit(char c)
{
	return c >= '0' && c <= '9';
}
static inline bool ascii_alpha(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
int str_cmp(struct str a, struct str b);
int str_icmp(struct str a, struct str b); /* ASCII case-insensitive */
static inline bool str_ieq(struct str a, struct str b)
{
	return a.n == b.n && str_icmp(a, b) == 0;
}
bool str_eqc(struct str a, const char *c);
bool str_ieqc(struct str a, const char *c);
bool str_starts(struct str s, struct str prefix);
bool str_istarts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Clamped to s. */
static inline struct str str_sub(struct str s, size_t from, size_t n)
{
	if (from > s.n)
		from = s.n;
	if (n > s.n - from)
		n = s.n - from;
	return (struct str){s.p != NULL ? s.p + from : NULL, n};
}
static inline struct str str_from(struct str s, size_t from)
{
	return str_sub(s, from, s.n);
}
struct str str_trim(struct str s); /* SP, TAB, CR, LF at both ends */
/* Index of c, or s.n. */
static inline size_t str_find(struct str s, char c)
{
	const char *p = s.n != 0 ? (const char *)memchr(s.p, c, s.n) : NULL;

	return p != NULL ? (size_t)(p - s.p) : s.n;
}
/* Index of needle, or SIZE_MAX. */
size_t str_search(struct str s, struct str needle);
/* Splits s at the first c: the part before is returned, *s is what follows (p == NULL when there was no c).
 */
struct str str_cut(struct str *s, char c);
/* Decimal digits only, the whole of s, no sign, no overflow; false otherwise. */
bool str_u64(struct str s, uint64_t *out);
bool str_u32(struct str s, uint32_t *out);
/* Octets of the well-formed UTF-8 character at the head of s (RFC 3629: shortest form, no surrogates); 0:
 * none.
 */
size_t str_utf8(struct str s, uint32_t *character);
uint64_t str_hash(struct str s); /* FNV-1a with a random key a process: not for disk, not for peers */
/* Number of edits (insert, delete, replace, swap of neighbours) between two short names; > 64 octets count as
 * far. */
unsigned str_distance(struct str a, struct str b);

#endif
