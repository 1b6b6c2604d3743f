/* grammar_stream.c: responses as they come, one after the other, literals in them. */
#include "grammar.h"
#include "base/banned.h"

#define LITERAL_MAX (64u << 20)

/* Size of a literal announced at the end of the line in[0..end), or -1. */
int64_t grammar_announced(struct str line)
{
	size_t i = line.n;
	uint64_t n;

	if (i == 0 || line.p[i - 1] != '}')
		return -1;
	while (i > 0 && line.p[i - 1] != '{')
		i--;
	if (i == 0 || !str_u64(str_sub(line, i, line.n - 1 - i), &n) || n > LITERAL_MAX)
		return -1;
	return (int64_t)n;
}

size_t grammar_first(struct str in)
{
	size_t from = 0;

	for (;;) {
		size_t at = str_search(str_from(in, from), STR("\r\n"));
		int64_t literal;

		if (at == SIZE_MAX)
			return 0;
		literal = grammar_announced(str_sub(in, from, at));
		from += at + 2;
		if (literal < 0)
			return from;
		if ((uint64_t)literal > in.n - from)
			return 0;
		from += (size_t)literal;
	}
}
