#include "base/arena.h"
#include "base/pack.h"
#include "base/banned.h"

enum { TAG_U32 = 0x34, TAG_U64 = 0x38, TAG_STR = 0x53, TAG_NONE = 0x4e };

static void put_number(struct buf *b, uint64_t v, unsigned octets)
{
	unsigned i;

	for (i = 0; i < octets; i++)
		buf_addc(b, (char)(v >> (8 * i)));
}

void pack_start(struct buf *b, uint16_t type)
{
	ASSERT(type != 0);
	buf_reset(b);
	put_number(b, type, 2);
}

void pack_u32(struct buf *b, uint32_t v)
{
	buf_addc(b, TAG_U32);
	put_number(b, v, 4);
}

void pack_u64(struct buf *b, uint64_t v)
{
	buf_addc(b, TAG_U64);
	put_number(b, v, 8);
}

void pack_str(struct buf *b, struct str s)
{
	if (s.p == NULL) {
		buf_addc(b, TAG_NONE);
		return;
	}
	buf_addc(b, TAG_STR);
	put_number(b, s.n, 4);
	buf_addstr(b, s);
}

void pack_cstr(struct buf *b, const char *s)
{
	pack_str(b, str_of(s));
}

static uint64_t get_number(struct unpack *u, unsigned octets)
{
	uint64_t v = 0;
	unsigned i;

	if (u->bad || u->rest.n < octets) {
		u->bad = true;
		return 0;
	}
	for (i = 0; i < octets; i++)
		v |= (uint64_t)(unsigned char)u->rest.p[i] << (8 * i);
	u->rest = str_from(u->rest, octets);
	return v;
}

uint16_t unpack_start(struct unpack *u, const void *p, size_t n)
{
	*u = (struct unpack){.rest = str_mem(p, n)};
	return (uint16_t)get_number(u, 2);
}

static void expect(struct unpack *u, unsigned tag)
{
	if (get_number(u, 1) != tag)
		u->bad = true;
}

uint32_t unpack_u32(struct unpack *u)
{
	expect(u, TAG_U32);
	return (uint32_t)get_number(u, 4);
}

uint64_t unpack_u64(struct unpack *u)
{
	expect(u, TAG_U64);
	return get_number(u, 8);
}

struct str unpack_str(struct unpack *u)
{
	struct str s;
	uint64_t tag = get_number(u, 1), n;

	if (tag == TAG_NONE && !u->bad)
		return STR_NONE;
	if (tag != TAG_STR)
		u->bad = true;
	n = get_number(u, 4);
	if (u->bad || n > u->rest.n) {
		u->bad = true;
		return STR_NONE;
	}
	s = str_sub(u->rest, 0, n);
	u->rest = str_from(u->rest, n);
	return s;
}

char *unpack_cstr(struct unpack *u, struct arena *a)
{
	struct str s = unpack_str(u);

	if (s.p == NULL)
		return NULL;
	if (str_find(s, '\0') != s.n) {
		u->bad = true;
		return NULL;
	}
	return arena_strndup(a, s.p, s.n);
}

bool unpack_done(struct unpack *u)
{
	if (u->rest.n != 0)
		u->bad = true;
	return !u->bad;
}
