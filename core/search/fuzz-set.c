/* Fuzz target: a sequence-set. What is accepted is sorted, disjoint, and reads as the same when written. */
#include "search/search.h"

#include "base/object.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t star = size != 0 && data[0] % 2 != 0 ? SET_STAR : size != 0 ? data[0] / 2 : 0;
	struct str text = size != 0 ? str_mem(data + 1, size - 1) : STR("");
	struct arena *a = arena_new("fuzz");
	struct number_set set, again;
	struct buf b = BUF_INIT;
	size_t i;

	if (set_parse(a, text, star, &set)) {
		for (i = 0; i < set.n; i++) {
			ASSERT(set.v[i].low >= 1 && set.v[i].low <= set.v[i].high);
			ASSERT(i == 0 || set.v[i].low > set.v[i - 1].high + 1);
			ASSERT(set_has(&set, set.v[i].low) && set_has(&set, set.v[i].high));
			ASSERT(set.v[i].low == 1 || !set_has(&set, set.v[i].low - 1));
			ASSERT(set.v[i].high == UINT32_MAX || !set_has(&set, set.v[i].high + 1));
		}
		set_write(&b, &set);
		ASSERT(set.n == 0 || set_parse(a, buf_str(&b), 1, &again));
		ASSERT(set.n == 0 ||
		       (again.n == set.n && memcmp(again.v, set.v, set.n * sizeof(set.v[0])) == 0));
	}
	buf_free(&b);
	arena_free(&a);
	return 0;
}
