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

bool maildir_name_parse(const char *name, struct maildir_name *out)
{
	const char *colon, *p;

	/* A line feed could not be written into the list. */
	if (name[0] == '.' || name[0] == '\0' || name[0] == ':' || strchr(name, '\n') != NULL)
		return false;
	colon = strchr(name, ':');
	out->base = colon != NULL ? (size_t)(colon - name) : strlen(name);
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
	struct timespec now;
	char host[65] = "", safe[sizeof(host)];
	uint64_t number;
	size_t i;

	if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
		snprintf(host, sizeof(host), "localhost");
	for (i = 0; host[i] != '\0'; i++)
		safe[i] =
		    host[i] == '/' || host[i] == ':' || host[i] == ',' || host[i] <= ' ' ? '_' : host[i];
	safe[i] = '\0';
	clock_gettime(CLOCK_REALTIME, &now);
	call->host->random(call, &number, sizeof(number));
	snprintf(out, 160, "%lld.M%06ldP%ldR%016" PRIx64 ".%s", (long long)now.tv_sec, now.tv_nsec / 1000,
	    (long)getpid(), number, safe);
}

/* Microseconds of delivery as the name tells them. */
static uint64_t delivered(const char *name)
{
	uint64_t seconds = 0, micros = 0;

	for (; *name >= '0' && *name <= '9' && seconds < UINT64_MAX / 100000000; name++)
		seconds = seconds * 10 + (uint64_t)(*name - '0');
	if (name[0] == '.' && name[1] == 'M')
		for (name += 2; *name >= '0' && *name <= '9' && micros < 100000; name++)
			micros = micros * 10 + (uint64_t)(*name - '0');
	return seconds > UINT64_MAX / 2000000 ? UINT64_MAX : seconds * 1000000 + micros;
}

int maildir_name_order(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	uint64_t p = delivered(x), q = delivered(y);

	if (p != q)
		return p < q ? -1 : 1;
	return strcmp(x, y);
}
