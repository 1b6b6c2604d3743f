/*
 * keywords.c: the mailbox's keyword table.
 *
 * The engine's table is what sessions see; each entry says whether the driver has it and under which bit.
 * Most of the time both tables are the same and translating costs nothing. A keyword that the format cannot
 * keep is kept by the index, and no room is ever taken from it: bits keep their meaning as long as the index
 * does.
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

/* A bit of the engine's for `name`; -1: all are taken. */
static int take_bit(struct mailbox *m, struct str name)
{
	if (m->keyword_count == KEYWORDS_MAX)
		return -1;
	m->keywords[m->keyword_count] = (struct keyword){.name = arena_str(m->arena, name).p};
	m->new_keywords = true;
	return (int)m->keyword_count++;
}

/* The driver's bit is the engine's bit `i`, or KEYWORD_NONE. */
static void link_bit(struct mailbox *m, unsigned bit, unsigned i)
{
	unsigned old = bit < m->driver_keywords ? m->from_driver[bit] : KEYWORD_NONE;

	if (old != KEYWORD_NONE && old != i && m->keywords[old].bit == bit)
		m->keywords[old].kept = false; /* the driver has another one there now */
	m->from_driver[bit] = (uint8_t)i;
	m->new_keywords = true;
	for (; m->driver_keywords <= bit; m->driver_keywords++)
		if (m->driver_keywords < bit)
			m->from_driver[m->driver_keywords] = KEYWORD_NONE;
	if (i != bit)
		m->same_bits = false;
	if (i == KEYWORD_NONE)
		return;
	m->keywords[i].kept = true;
	m->keywords[i].bit = bit;
}

/* A keyword for which there is no room any more is not shown. */
static void link_name(struct mailbox *m, unsigned bit, struct str name)
{
	int i = keyword_bit(m, name);

	if (i < 0)
		i = take_bit(m, name);
	if (i < 0)
		log_msg(MSG_STORE_KEYWORDS, "%s: \"%.*s\"", m->target.place.name, (int)name.n, name.p);
	link_bit(m, bit, i < 0 ? KEYWORD_NONE : (unsigned)i);
}

static bool linked(const struct mailbox *m, size_t bit, struct str name)
{
	const struct keyword *k;

	if (bit >= m->driver_keywords || m->from_driver[bit] == KEYWORD_NONE)
		return false;
	k = &m->keywords[m->from_driver[bit]];
	return k->kept && k->bit == bit && str_ieqc(name, k->name);
}

int keywords_from_driver(struct mailbox *m, const char *const *names, size_t count, struct err *e)
{
	size_t i;

	if (count > KEYWORDS_MAX)
		return err_fault(
		    e, MORTISE_E_INTERNAL, "driver \"%s\": %zu keywords", m->driver->pub.name, count);
	for (i = 0; i < count; i++) {
		struct str name = str_of(names[i]);

		if (name.n == 0 /* a bit that is not used */ || linked(m, i, name))
			continue;
		link_name(m, (unsigned)i, name);
		m->changes++;
	}
	return 0;
}

void keywords_adopt(struct mailbox *m, const struct index_keyword *k, size_t count)
{
	size_t i;

	m->same_bits = true;
	m->driver_keywords = 0;
	for (i = 0; i < count; i++) {
		if (i >= m->keyword_count || strcmp(m->keywords[i].name, k[i].name) != 0)
			m->keywords[i].name = arena_strdup(m->arena, k[i].name);
		m->keywords[i].kept = false;
	}
	m->keyword_count = count;
	for (i = 0; i < count; i++)
		if (k[i].kept)
			link_bit(m, k[i].bit, (unsigned)i);
	m->new_keywords = false;
}

uint64_t keywords_translate(const struct mailbox *m, uint64_t driver_bits)
{
	uint64_t bits = 0, left;

	if (m->driver_keywords < KEYWORDS_MAX)
		driver_bits &= (UINT64_C(1) << m->driver_keywords) - 1;
	if (m->same_bits || driver_bits == 0)
		return driver_bits;
	for (left = driver_bits; left != 0; left &= left - 1) {
		uint8_t i = m->from_driver[__builtin_ctzll(left)];

		if (i != KEYWORD_NONE)
			bits |= UINT64_C(1) << i;
	}
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

		if (box_add_keyword(m, arena_str(a, name).p, &bit, &failed) == 0) {
			link_name(m, bit, name);
			return keyword_bit(m, name);
		}
		if (failed.code != MORTISE_E_LIMIT && failed.code != MORTISE_E_UNSUPPORTED &&
		    failed.code != MORTISE_E_INVALID)
			return err_take(e, &failed);
	}
	return keyword_keep(m, name, lost);
}

int keyword_keep(struct mailbox *m, struct str name, bool *lost)
{
	int i = keyword_bit(m, name);

	if (i < 0)
		i = take_bit(m, name);
	*lost = *lost || i < 0 || m->unindexed;
	return i;
}

const char **keyword_names(const struct mailbox *m, uint64_t bits, struct arena *a, size_t *count)
{
	const char **names = arena_array(a, KEYWORDS_MAX, sizeof(*names));

	for (*count = 0; bits != 0; bits &= bits - 1)
		names[(*count)++] = m->keywords[__builtin_ctzll(bits)].name;
	return names;
}
