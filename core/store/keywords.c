/*
 * keywords.c: the mailbox's keyword table.
 *
 * The engine's table is what sessions see; each entry says whether the driver has it and under which bit.
 * Most of the time both tables are the same and translating costs nothing. A keyword that the mailbox cannot
 * keep lives in this session only; when the driver needs the room for one of its own, such a keyword goes.
 */
#include "log/log.h"
#include "store/driver.h"
#include "base/banned.h"

int keyword_check(struct str name, struct err *e)
{
	size_t i;

	if (name.n == 0 || name.n > KEYWORD_SIZE)
		return err_fail(e, MORTISE_E_INVALID, "Keywords have 1 to %u characters", KEYWORD_SIZE);
	for (i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c <= ' ' || c >= 0x7f || strchr("(){%*\"\\]", c) != NULL)
			return err_fail(e, MORTISE_E_INVALID, "Invalid character in a keyword");
	}
	return 0;
}

int keyword_bit(const struct mailbox *m, struct str name)
{
	size_t i;

	for (i = 0; i < m->keyword_count; i++)
		if (str_ieqc(name, m->keywords[i].name))
			return (int)i;
	return -1;
}

uint64_t keywords_kept(const struct mailbox *m)
{
	uint64_t bits = 0;
	size_t i;

	for (i = 0; i < m->keyword_count; i++)
		if (m->keywords[i].kept)
			bits |= UINT64_C(1) << i;
	return bits;
}

bool keywords_room(const struct mailbox *m)
{
	return (unsigned)__builtin_popcountll(keywords_kept(m)) < m->info.keyword_limit;
}

/* No message has it any more. */
static void clear_bit(struct mailbox *m, size_t bit)
{
	size_t i;

	for (i = 0; i < m->records.n; i++)
		m->records.v[i]->m.keywords &= ~(UINT64_C(1) << bit);
	m->changes++;
}

/* A bit of the engine's for `name`: a free one, or one that only this session had. -1: all 64 are kept. */
static int take_bit(struct mailbox *m, struct str name, bool kept)
{
	size_t i;

	if (m->keyword_count < KEYWORDS_MAX) {
		i = m->keyword_count++;
	} else if (kept) {
		for (i = KEYWORDS_MAX; i > 0 && m->keywords[i - 1].kept; i--)
			;
		if (i-- == 0)
			return -1;
		clear_bit(m, i);
	} else {
		return -1;
	}
	m->keywords[i] = (struct keyword){.name = arena_str(m->arena, name).p, .kept = kept};
	return (int)i;
}

/* Links the driver's bit `bit` to the engine's. */
static int link_bit(struct mailbox *m, unsigned bit, struct str name, struct err *e)
{
	int i = keyword_bit(m, name);

	if (i < 0)
		i = take_bit(m, name, true);
	if (i < 0)
		return err_fault(e, MORTISE_E_INTERNAL, "driver \"%s\": more keywords than there is room for",
		    m->driver->pub.name);
	/* What only this session had set is not in the mailbox: from now on the mailbox says who has it. */
	if (!m->keywords[i].kept)
		clear_bit(m, (size_t)i);
	m->keywords[i].kept = true;
	m->keywords[i].bit = bit;
	m->from_driver[bit] = (uint8_t)i;
	if (bit >= m->driver_keywords)
		m->driver_keywords = bit + 1;
	if ((unsigned)i != bit)
		m->same_bits = false;
	return 0;
}

int keywords_from_driver(struct mailbox *m, const char *const *names, size_t count, struct err *e)
{
	size_t i;

	if (count > KEYWORDS_MAX)
		return err_fault(
		    e, MORTISE_E_INTERNAL, "driver \"%s\": %zu keywords", m->driver->pub.name, count);
	for (i = 0; i < count; i++) {
		struct str name = str_of(names[i]);

		if (name.n == 0)
			continue; /* a bit that is not used */
		if (i < m->driver_keywords && m->keywords[m->from_driver[i]].kept &&
		    m->keywords[m->from_driver[i]].bit == i &&
		    str_ieqc(name, m->keywords[m->from_driver[i]].name))
			continue;
		if (link_bit(m, (unsigned)i, name, e) != 0)
			return e->code;
		m->changes++;
	}
	return 0;
}

uint64_t keywords_translate(const struct mailbox *m, uint64_t driver_bits)
{
	uint64_t bits = 0, left;

	if (m->driver_keywords < KEYWORDS_MAX)
		driver_bits &= (UINT64_C(1) << m->driver_keywords) - 1;
	if (m->same_bits || driver_bits == 0)
		return driver_bits;
	for (left = driver_bits; left != 0; left &= left - 1)
		bits |= UINT64_C(1) << m->from_driver[__builtin_ctzll(left)];
	return bits;
}

uint64_t keywords_to_driver(const struct mailbox *m, uint64_t bits)
{
	uint64_t out = 0, left;

	for (left = bits; left != 0; left &= left - 1) {
		const struct keyword *k = &m->keywords[__builtin_ctzll(left)];

		if (k->kept)
			out |= UINT64_C(1) << k->bit;
	}
	return out;
}

int keyword_make(struct mailbox *m, struct str name, bool *lost, struct err *e)
{
	int i = keyword_bit(m, name);
	unsigned bit;

	if (i >= 0 && m->keywords[i].kept)
		return i;
	if (m->info.may_create_keywords && keywords_room(m)) {
		AUTO_ARENA struct arena *a = arena_new("keyword");
		struct err failed = ERR_INIT;

		if (box_add_keyword(m, arena_str(a, name).p, &bit, &failed) == 0)
			return link_bit(m, bit, name, e) != 0 ? e->code : keyword_bit(m, name);
		if (failed.code != MORTISE_E_LIMIT && failed.code != MORTISE_E_UNSUPPORTED &&
		    failed.code != MORTISE_E_INVALID)
			return err_take(e, &failed);
	}
	*lost = true;
	if (i < 0)
		i = take_bit(m, name, false);
	return i;
}
