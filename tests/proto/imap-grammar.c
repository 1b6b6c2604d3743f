/*
 * imap-grammar: holds what a server said against the grammar of the RFCs.
 *
 *     imap-grammar FILE…
 *
 * Each file is all that one connection heard, octet for octet. Deviations are printed, one a line; exit 1
 * when there was any. A last line without its end is let pass: the connection may have been cut.
 */
#include <stdio.h>

#include "grammar.h"
#include "base/banned.h"

static bool check(const char *path, struct str in)
{
	AUTO_BUF struct buf why = BUF_INIT;
	bool good = true, first = true;
	unsigned mode = 0;
	size_t n;

	for (; (n = grammar_first(in)) > 0; in = str_from(in, n), first = false) {
		struct str line = str_sub(in, 0, n - 2);

		if (first ? grammar_greeting(line, &why) : grammar_response(line, mode, &why)) {
			mode |= grammar_enables(line);
			continue;
		}
		good = false;
		printf("%s: %s: %.*s\n", path, buf_cstr(&why), line.n < 300 ? (int)line.n : 300, line.p);
	}
	return good;
}

static bool read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "re");
	char space[65536];
	size_t n;
	bool ok;

	if (f == NULL)
		return false;
	while ((n = fread(space, 1, sizeof(space), f)) > 0)
		buf_add(out, space, n);
	ok = ferror(f) == 0;
	fclose(f);
	return ok;
}

int main(int argc, char **argv)
{
	bool good = true;
	int i;

	for (i = 1; i < argc; i++) {
		AUTO_BUF struct buf text = BUF_INIT;

		if (!read_file(argv[i], &text)) {
			fprintf(stderr, "imap-grammar: cannot read %s\n", argv[i]);
			return 66;
		}
		good &= check(argv[i], buf_str(&text));
	}
	return good ? 0 : 1;
}
