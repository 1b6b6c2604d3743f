/*
 * name.c: names of message files.
 *
 *     1491941793.M41850P8566.host,S=10956,W=11200:2,Sab,x
 *     `------------- base ----------------------' `info'
 *
 * Letters that we do not know (P, "passed", among them) and what follows a comma in the info stay as they
 * are. A name without ':' has no flags; that is how files are called in new/, and in cur/ with some programs.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "box.h"

static const struct {
	char letter;
	uint32_t flag;
} flag_letters[] = {
    {'D', MORTISE_FLAG_DRAFT},
    {'F', MORTISE_FLAG_FLAGGED},
    {'R', MORTISE_FLAG_ANSWERED},
    {'S', MORTISE_FLAG_SEEN},
    {'T', MORTISE_FLAG_DELETED},
};
#define FLAG_LETTERS (sizeof(flag_letters) / sizeof(flag_letters[0]))

static uint32_t flag_of(char c)
{
	size_t i;

	for (i = 0; i < FLAG_LETTERS; i++)
		if (flag_letters[i].letter == c)
			return flag_letters[i].flag;
	return 0;
}

/* The number of ",S=123" in the base, or MORTISE_SIZE_UNKNOWN. */
static uint64_t field(const char *name, size_t base, char key)
{
	size_t i;

	for (i = 0; i + 3 < base; i++) {
		uint64_t n = 0;
		size_t j = i + 3;

		if (name[i] != ',' || name[i + 1] != key || name[i + 2] != '=')
			continue;
		for (; j < base && name[j] >= '0' && name[j] <= '9' && n < UINT64_MAX / 100; j++)
			n = n * 10 + (uint64_t)(name[j] - '0');
		if (j > i + 3 && (j == base || name[j] == ','))
			return n;
	}
	return MORTISE_SIZE_UNKNOWN;
}

size_t maildir_name_base(const char *name)
{
	size_t base = strcspn(name, ":/\n");

	if (name[0] == '.' || base > NAME_MAX || strpbrk(name + base, "/\n") != NULL ||
	    strnlen(name, NAME_MAX + 1) > NAME_MAX)
		return 0;
	return base;
}

bool maildir_name_parse(const char *name, struct maildir_name *out)
{
	const char *colon, *p;

	out->base = maildir_name_base(name);
	if (out->base == 0)
		return false;
	colon = name[out->base] == ':' ? name + out->base : NULL;
	out->flags = out->letters = 0;
	out->size = field(name, out->base, 'S');
	out->wire = field(name, out->base, 'W');
	if (colon == NULL || strncmp(colon, ":2,", 3) != 0)
		return true;
	for (p = colon + 3; *p != '\0' && *p != ','; p++) {
		out->flags |= flag_of(*p);
		if (*p >= 'a' && *p <= 'z')
			out->letters |= 1u << (*p - 'a');
	}
	return true;
}

static int by_octet(const void *a, const void *b)
{
	return (int)*(const unsigned char *)a - (int)*(const unsigned char *)b;
}

bool maildir_name_make(const char *old, uint32_t flags, uint32_t letters, char *out)
{
	const char *colon = strchr(old, ':'), *p = "", *rest = "";
	size_t base = colon != NULL ? (size_t)(colon - old) : strlen(old), n = 0, i;
	char info[128];

	if (colon != NULL && strncmp(colon, ":2,", 3) == 0) {
		p = colon + 3;
		rest = strchrnul(p, ',');
	}
	for (i = 0; i < FLAG_LETTERS; i++)
		if ((flags & flag_letters[i].flag) != 0)
			info[n++] = flag_letters[i].letter;
	for (i = 0; i < LETTERS; i++)
		if ((letters >> i & 1) != 0)
			info[n++] = (char)('a' + i);
	for (; *p != '\0' && *p != ',' && n < sizeof(info); p++)
		if (flag_of(*p) == 0 && (*p < 'a' || *p > 'z') && memchr(info, *p, n) == NULL)
			info[n++] = *p;
	qsort(info, n, 1, by_octet);
	return snprintf(out, NAME_MAX + 1, "%.*s:2,%.*s%s", (int)base, old, (int)n, info, rest) <= NAME_MAX;
}

void maildir_name_unique(struct mortise_call *call, char out[160])
{
	static uint32_t number; /* of this process */
	struct timespec now;
	char host[65] = "", safe[sizeof(host)];
	size_t i;

	if (number == 0) /* two processes on hosts of one name differ all the same */
		call->host->random(call, &number, sizeof(number));
	if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
		snprintf(host, sizeof(host), "localhost");
	for (i = 0; host[i] != '\0'; i++)
		safe[i] =
		    host[i] == '/' || host[i] == ':' || host[i] == ',' || host[i] <= ' ' ? '_' : host[i];
	safe[i] = '\0';
	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(out, 160, "%lld.M%06ldP%ldQ%" PRIu32 ".%s", (long long)now.tv_sec, now.tv_nsec / 1000,
	    (long)getpid(), number++, safe);
}

uint64_t maildir_name_time(const char *name)
{
	uint64_t seconds = 0, micros = 0;

	for (; *name >= '0' && *name <= '9' && seconds < UINT64_MAX / 100000000; name++)
		seconds = seconds * 10 + (uint64_t)(*name - '0');
	if (name[0] == '.' && name[1] == 'M')
		for (name += 2; *name >= '0' && *name <= '9' && micros < 100000; name++)
			micros = micros * 10 + (uint64_t)(*name - '0');
	return seconds > UINT64_MAX / 2000000 ? UINT64_MAX : seconds * 1000000 + micros;
}

/*
 * A locator: 'n' or 'c' for the directory, then the name, two digits of it in one octet (0x80 to 0xe3) where
 * they stand together. Names are digits mostly, so one of 80 characters has room.
 */
#define PAIR 0x80u

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

size_t maildir_locator_make(bool in_new, const char *name, unsigned char out[MORTISE_LOCATOR_MAX])
{
	size_t n = 1;

	out[0] = in_new ? 'n' : 'c';
	for (; *name != '\0'; name++) {
		if (n == MORTISE_LOCATOR_MAX || (unsigned char)*name >= PAIR)
			return 0;
		if (digit(name[0]) && digit(name[1])) {
			out[n++] = (unsigned char)(PAIR + 10u * (unsigned)(name[0] - '0') +
			                           (unsigned)(name[1] - '0'));
			name++;
		} else {
			out[n++] = (unsigned char)*name;
		}
	}
	return n;
}

bool maildir_locator_read(const unsigned char *locator, size_t size, struct maildir_file *out)
{
	size_t i, n = 0;

	*out = (struct maildir_file){.in_new = size > 0 && locator[0] == 'n'};
	if (size < 2 || size > MORTISE_LOCATOR_MAX || (locator[0] != 'n' && locator[0] != 'c'))
		return false;
	for (i = 1; i < size; i++) {
		unsigned c = locator[i];

		if (c >= PAIR + 100 || c == 0)
			return false;
		if (c >= PAIR)
			out->name[n++] = (char)('0' + (c - PAIR) / 10);
		out->name[n++] = (char)(c >= PAIR ? '0' + (c - PAIR) % 10 : c);
	}
	return maildir_name_base(out->name) > 0;
}
