/*
 * fuzz-sequences.c: any octets as .mh_sequences.
 *
 * Checked beside memory: what is put in is in and what is taken out is out, nothing else moves, what is not
 * changed stays octet for octet, and reading what was written gives the same.
 */
#include <stdlib.h>
#include <string.h>

#include "box.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void parse(struct mh_sequences *s, const void *octets, size_t size)
{
	char *copy = malloc(size + 1);

	must(copy != NULL);
	if (size > 0)
		memcpy(copy, octets, size);
	must(mh_sequences_parse(s, copy, size));
}

static void in_order(const struct mh_sequences *s)
{
	size_t i, k, octets = 0;

	for (i = 0; i < s->count; i++) {
		const struct mh_sequence *q = &s->v[i];

		octets += q->raw_size;
		must(q->raw == s->text + octets - q->raw_size);
		for (k = 0; k < q->count; k++) {
			must(q->ranges[k].first > 0 && q->ranges[k].first <= q->ranges[k].last);
			must(k == 0 || q->ranges[k - 1].last + UINT64_C(1) < q->ranges[k].first);
		}
	}
}

static const uint32_t probes[] = {1, 2, 3, 9, 10, 100, 2147483646, 4294967294, 4294967295};
#define PROBES (sizeof(probes) / sizeof(probes[0]))

/* The second octet of the input says which numbers, the first one what is done. */
static size_t choose(uint8_t which, uint32_t *out)
{
	size_t i, n = 0;

	for (i = 0; i < PROBES; i++)
		if (i == 8 || (which >> i & 1) != 0)
			out[n++] = probes[i];
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool before[PROBES], chosen, now;
	uint32_t numbers[PROBES];
	struct mh_sequences s, t;
	size_t i, k, n, written;
	char *text = NULL;
	bool add;

	if (size < 2)
		return 0;
	add = (data[0] & 1) != 0;
	n = choose(data[1], numbers);
	parse(&s, data + 2, size - 2);
	in_order(&s);
	for (i = 0; i < PROBES; i++)
		before[i] = mh_sequences_has(&s, "unseen", probes[i]);
	must(add ? mh_sequences_add(&s, "unseen", numbers, n) : mh_sequences_drop(&s, "unseen", numbers, n));
	must(mh_sequences_text(&s, &text, &written));
	parse(&t, text, written);
	in_order(&t);
	for (i = 0; i < PROBES; i++) {
		for (chosen = false, k = 0; k < n; k++)
			chosen = chosen || numbers[k] == probes[i];
		now = mh_sequences_has(&t, "unseen", probes[i]);
		must(now == (chosen ? add : before[i]));
	}
	if (!mh_sequences_changed(&s))
		must(written >= size - 2 && written <= size - 1 && memcmp(text, data + 2, size - 2) == 0);
	must(mh_sequences_drop(&t, ALL_SEQUENCES, numbers, n));
	for (k = 0; k < n; k++)
		must(!mh_sequences_has(&t, "unseen", numbers[k]));
	free(text);
	mh_sequences_free(&s);
	mh_sequences_free(&t);
	return 0;
}
