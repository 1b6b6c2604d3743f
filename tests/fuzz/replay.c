/*
 * replay.c: runs a fuzz target over its corpus, for `make check` and for compilers without libFuzzer.
 *
 * Arguments are files or folders; without any, it is the folder of the program's name: fuzz-mime reads
 * tests/fuzz/corpus/mime. One TAP line a file. A finding is fixed by adding its input to the corpus: it then
 * fails here until the code is right, and for ever after if it breaks again. (To fuzz: configure with
 * CC=clang --enable-fuzzers; the same programs then are fuzzers.)
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/banned.h"

#define HANG_SECONDS 300
#define INPUT_MAX (16u * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned tests, failed;

static void report(bool ok, const char *path, const char *why)
{
	tests++;
	failed += !ok;
	printf("%sok %u - %s%s%s\n", ok ? "" : "not ", tests, path, why != NULL ? ": " : "",
	    why != NULL ? why : "");
	fflush(stdout);
}

static void run_file(const char *path)
{
	struct buf b = BUF_INIT;
	FILE *f = fopen(path, "rb");
	uint8_t *copy;
	size_t n;

	if (f == NULL) {
		report(false, path, strerror(errno));
		return;
	}
	do {
		buf_reserve(&b, 65536);
		n = fread(b.p + b.n, 1, 65536, f);
		b.n += n;
	} while (n != 0 && b.n < INPUT_MAX);
	fclose(f);
	/* Exactly as large as the input, so that the sanitizers see one octet too far. */
	copy = mem_dup(b.p, b.n);
	LLVMFuzzerTestOneInput(copy, b.n);
	mem_free(copy);
	buf_free(&b);
	report(true, path, NULL);
}

static void run_path(const char *path)
{
	struct dirent **entries;
	struct stat st;
	int n, i;

	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	n = scandir(path, &entries, NULL, alphasort);
	for (i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.') {
			struct buf name = BUF_INIT;

			buf_printf(&name, "%s/%s", path, entries[i]->d_name);
			run_file(buf_cstr(&name));
			buf_free(&name);
		}
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

int main(int argc, char **argv)
{
	const char *top = getenv("top_srcdir"), *name = strstr(argv[0], "fuzz-");
	int i;

	alarm(HANG_SECONDS);
	for (i = 1; i < argc; i++)
		run_path(argv[i]);
	if (argc == 1 && name != NULL) {
		struct buf path = BUF_INIT;

		buf_printf(&path, "%s/tests/fuzz/corpus/%s", top != NULL ? top : ".", strrchr(name, '-') + 1);
		run_path(buf_cstr(&path));
		buf_free(&path);
	}
	if (tests == 0)
		report(false, "corpus", "nothing to run");
	printf("1..%u\n", tests);
	return failed != 0;
}
