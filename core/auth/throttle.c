#include <arpa/inet.h>

#include "auth/throttle.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/banned.h"

#define THROTTLE_MAGIC 0x41544831u
#define PLACES 8u

enum key_kind { KEY_ADDRESS = 'a', KEY_USER = 'u', KEY_PAIR = 'p' };

/* Two hashes stand for the key: a collision slows somebody down for nothing, once in 2^64. */
struct entry {
	uint64_t hash;  /* 0: free */
	uint64_t when;  /* of the last change */
	uint32_t count; /* failures, in 1/256, as of `when`; a known pair has KNOWN */
};

#define ONE 256u
#define KNOWN (64u * ONE)       /* as important as so many failures */
#define COUNT_MAX (1024u * ONE) /* forgotten after ten decays at most */

struct throttle {
	uint32_t magic;
	const struct auth_options *options;
	size_t buckets;
	struct entry *entries;
};

struct throttle *throttle_new(const struct auth_options *o)
{
	struct throttle *t = mem_new(struct throttle);

	t->magic = THROTTLE_MAGIC;
	t->options = o;
	t->buckets = o->throttle_entries / PLACES > 0 ? o->throttle_entries / PLACES : 1;
	t->entries = mem_array(t->buckets * PLACES, sizeof(struct entry));
	return t;
}

void throttle_free(struct throttle **tp)
{
	struct throttle *t;

	if (*tp == NULL)
		return;
	TAKE_OBJ(t, tp, THROTTLE_MAGIC);
	t->magic = 0;
	mem_free(t->entries);
	mem_free(t);
}

/* The address in one spelling: IPv4 whole, also when mapped into IPv6; IPv6 cut to its network. */
static size_t address_key(const char *address, unsigned char *key, size_t room)
{
	static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	unsigned char in6[16];
	size_t n = strlen(address);

	if (inet_pton(AF_INET, address, key) == 1)
		return 4;
	if (inet_pton(AF_INET6, address, in6) == 1) {
		if (memcmp(in6, mapped, sizeof(mapped)) == 0) {
			memcpy(key, in6 + 12, 4);
			return 4;
		}
		memcpy(key, in6, 8);
		return 8;
	}
	if (n > room)
		n = room;
	memcpy(key, address, n);
	return n;
}

static uint64_t key_hash(enum key_kind kind, const char *address, const char *user)
{
	unsigned char key[1 + 64 + 1 + AUTH_USER_MAX];
	size_t n = 0, length;
	uint64_t h;

	key[n++] = (unsigned char)kind;
	if (address != NULL) {
		size_t at = n++;

		key[at] = (unsigned char)address_key(address, key + n, 64);
		n += key[at];
	}
	if (user != NULL) {
		length = strlen(user);
		if (length > AUTH_USER_MAX)
			length = AUTH_USER_MAX;
		memcpy(key + n, user, length);
		n += length;
	}
	h = str_hash(str_mem(key, n));
	return h != 0 ? h : 1;
}

/* The count now: halved for every decay that has passed, evenly in between. */
static uint32_t count_now(const struct throttle *t, const struct entry *e, uint64_t now)
{
	uint64_t decay = t->options->throttle_decay, passed = now - e->when, halves = passed / decay;
	uint64_t count = halves < 32 ? e->count >> halves : 0;

	return (uint32_t)(count - count * (passed % decay) / decay / 2);
}

static struct entry *find(struct throttle *t, uint64_t hash)
{
	struct entry *bucket = t->entries + (hash % t->buckets) * PLACES;
	size_t i;

	for (i = 0; i < PLACES; i++)
		if (bucket[i].hash == hash)
			return &bucket[i];
	return NULL;
}

static struct entry *find_or_make(struct throttle *t, uint64_t hash, uint64_t now)
{
	struct entry *bucket = t->entries + (hash % t->buckets) * PLACES, *least = bucket;
	struct entry *e = find(t, hash);
	size_t i;

	if (e != NULL)
		return e;
	for (i = 0; i < PLACES; i++) {
		if (bucket[i].hash == 0) {
			least = &bucket[i];
			break;
		}
		if (count_now(t, &bucket[i], now) < count_now(t, least, now))
			least = &bucket[i];
	}
	*least = (struct entry){.hash = hash, .when = now};
	return least;
}

static void add_failure(struct throttle *t, uint64_t hash)
{
	uint64_t now = clock_ms();
	struct entry *e = find_or_make(t, hash, now);
	uint32_t count = count_now(t, e, now) + ONE;

	e->count = count < COUNT_MAX ? count : COUNT_MAX;
	e->when = now;
}

void throttle_failed(struct throttle *t, const char *address, const char *user)
{
	CHECK_OBJ(t, THROTTLE_MAGIC);
	if (address != NULL && address[0] != '\0')
		add_failure(t, key_hash(KEY_ADDRESS, address, NULL));
	if (user != NULL && user[0] != '\0')
		add_failure(t, key_hash(KEY_USER, NULL, user));
}

void throttle_succeeded(struct throttle *t, const char *address, const char *user)
{
	uint64_t now = clock_ms();
	struct entry *e;

	CHECK_OBJ(t, THROTTLE_MAGIC);
	if (address == NULL || address[0] == '\0' || user == NULL || user[0] == '\0')
		return;
	e = find_or_make(t, key_hash(KEY_PAIR, address, user), now);
	e->count = KNOWN;
	e->when = now;
}

static uint64_t delay_of(struct throttle *t, uint64_t hash)
{
	const struct auth_options *o = t->options;
	const struct entry *e = find(t, hash);
	uint64_t failures, delay, i;

	if (e == NULL || o->throttle_step == 0)
		return 0;
	failures = (count_now(t, e, clock_ms()) + ONE / 2) / ONE; /* the nearest: decay begins at once */
	if (failures <= o->throttle_free)
		return 0;
	delay = o->throttle_step;
	for (i = o->throttle_free + 1; i < failures && delay < o->throttle_max; i++)
		delay *= 2;
	return delay < o->throttle_max ? delay : o->throttle_max;
}

uint64_t throttle_address(struct throttle *t, const char *address)
{
	CHECK_OBJ(t, THROTTLE_MAGIC);
	if (address == NULL || address[0] == '\0')
		return 0;
	return delay_of(t, key_hash(KEY_ADDRESS, address, NULL));
}

uint64_t throttle_user(struct throttle *t, const char *address, const char *user)
{
	CHECK_OBJ(t, THROTTLE_MAGIC);
	if (user == NULL || user[0] == '\0')
		return 0;
	/* Known here: other people's guesses elsewhere do not count. */
	if (address != NULL && address[0] != '\0' && find(t, key_hash(KEY_PAIR, address, user)) != NULL)
		return 0;
	return delay_of(t, key_hash(KEY_USER, NULL, user));
}
