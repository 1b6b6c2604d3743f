#include <sys/random.h>

#include "base/str.h"
#include "base/object.h"
#include "base/banned.h"

int str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n != 0 ? memcmp(a.p, b.p, n) : 0;

	return d != 0 ? d : a.n < b.n ? -1 : a.n > b.n;
}

int str_icmp(struct str a, struct str b)
{
	size_t i, n = a.n < b.n ? a.n : b.n;

	for (i = 0; i < n; i++) {
		unsigned char x = (unsigned char)ascii_lower(a.p[i]), y = (unsigned char)ascii_lower(b.p[i]);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

bool str_eqc(struct str a, const char *c)
{
	return str_eq(a, str_of(c));
}

bool str_ieqc(struct str a, const char *c)
{
	return str_ieq(a, str_of(c));
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool str_istarts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_ieq(str_sub(s, 0, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_from(s, s.n - suffix.n), suffix);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.n > 0 && is_space(s.p[0]))
		s = str_from(s, 1);
	while (s.n > 0 && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

size_t str_search(struct str s, struct str needle)
{
	const char *p;

	if (needle.n == 0)
		return 0;
	p = s.n != 0 ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return p != NULL ? (size_t)(p - s.p) : SIZE_MAX;
}

struct str str_cut(struct str *s, char c)
{
	size_t i = str_find(*s, c);
	struct str head = str_sub(*s, 0, i);

	*s = i < s->n ? str_from(*s, i + 1) : STR_NONE;
	return head;
}

bool str_u64(struct str s, uint64_t *out)
{
	uint64_t v = 0;
	size_t i;

	if (s.n == 0)
		return false;
	for (i = 0; i < s.n; i++) {
		if (!ascii_digit(s.p[i]))
			return false;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	*out = v;
	return true;
}

bool str_u32(struct str s, uint32_t *out)
{
	uint64_t v;

	if (!str_u64(s, &v) || v > UINT32_MAX)
		return false;
	*out = (uint32_t)v;
	return true;
}

size_t str_utf8(struct str s, uint32_t *character)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	uint32_t c;
	size_t k, more;

	if (s.n == 0)
		return 0;
	c = (unsigned char)s.p[0];
	more = c < 0x80             ? 0
	       : (c & 0xe0) == 0xc0 ? 1
	       : (c & 0xf0) == 0xe0 ? 2
	       : (c & 0xf8) == 0xf0 ? 3
	                            : SIZE_MAX;
	if (more >= s.n)
		return 0;
	if (more > 0)
		c &= 0x3fu >> more;
	for (k = 1; k <= more; k++) {
		if (((unsigned char)s.p[k] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | ((unsigned char)s.p[k] & 0x3f);
	}
	if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*character = c;
	return more + 1;
}

static uint64_t hash_key(void)
{
	static uint64_t key;

	while (key == 0)
		if (getrandom(&key, sizeof(key), 0) != (ssize_t)sizeof(key))
			key = 0;
	return key;
}

static uint64_t hash_finish(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93u;
	h ^= h >> 32;
	return h;
}

uint64_t str_hash(struct str s)
{
	uint64_t h = 0xcbf29ce484222325u ^ hash_key();
	size_t i;

	for (i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
	return hash_finish(h);
}

unsigned str_distance(struct str a, struct str b)
{
	unsigned row[3][66], i, j;

	if (a.n > 64 || b.n > 64)
		return 64;
	for (j = 0; j <= b.n; j++)
		row[0][j] = j;
	for (i = 1; i <= a.n; i++) {
		unsigned *now = row[i % 3], *before = row[(i + 2) % 3], *before2 = row[(i + 1) % 3];

		now[0] = i;
		for (j = 1; j <= b.n; j++) {
			unsigned best = before[j - 1] + (a.p[i - 1] != b.p[j - 1]);

			if (before[j] + 1 < best)
				best = before[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
			    before2[j - 2] + 1 < best)
				best = before2[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[a.n % 3][b.n];
}
