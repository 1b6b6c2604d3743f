/*
 * Fuzz target: mailbox names and LIST patterns. A name that is accepted is below its root whatever is done
 * with it; a pattern matches what a plain matcher says it matches.
 */
#include <unistd.h>

#include "base/path.h"
#include "charset/charset.h"
#include "store/store_int.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* By dynamic programming, octet by octet: slow and plain. */
static bool plain_match(struct str p, struct str s)
{
	bool now[65] = {true}, next[65];
	size_t i, j;

	ASSERT(s.n <= 64);
	for (i = 0; i < p.n; i++) {
		bool wild = p.p[i] == '*' || p.p[i] == '%';

		for (j = 0; j <= s.n; j++) {
			if (wild)
				next[j] =
				    now[j] || (j > 0 && next[j - 1] && (p.p[i] == '*' || s.p[j - 1] != '/'));
			else
				next[j] = j > 0 && now[j - 1] && s.p[j - 1] == p.p[i];
		}
		memcpy(now, next, sizeof(now));
	}
	return now[s.n];
}

static void check_pattern(struct arena *a, struct str p, struct str s)
{
	struct pattern compiled;
	bool want;

	if (s.n > 64 || p.n > 64 || memchr(p.p, 0, p.n) != NULL)
		return;
	want = plain_match(p, s);
	pattern_set(&compiled, "", arena_str(a, p).p, '/');
	ASSERT(pattern_match(&compiled, s) == want);
	ASSERT(!want || s.n == 0 || pattern_below(&compiled, str_sub(s, 0, s.n - 1)));
}

static void check_name(struct store *s, struct arena *a, struct str text, unsigned how)
{
	struct err e = ERR_INIT;
	struct name n;

	if (name_parse(s, arena_str(a, text).p, how & 7, a, &n, &e) != 0) {
		ASSERT(e.code < 0 && e.client[0] != '\0');
		return;
	}
	if (n.inbox)
		return;
	ASSERT(path_clean(str_of(n.text)) == 0);
	ASSERT(utf8_valid(str_of(n.text)));
	ASSERT(n.text[0] != '.' && n.text[0] != '~' && n.text[0] != '#' && strstr(n.text, "/.") == NULL);
	ASSERT(!str_ends(str_of(n.text), STR(".lock")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const places[] = {"~/mbox"};
	const struct store_options o = {.mail_dir = "~/mail",
	    .inbox = {places, 1},
	    .state_dir = "~/.mortise",
	    .subscriptions = "~/.mailboxlist",
	    .default_driver = "unix",
	    .list_depth = 20,
	    .confine = true,
	    .hide_dot_files = true};
	const struct store_user u = {.name = "fuzz", .home = "/nonexistent", .uid = getuid()};
	struct arena *a = arena_new("fuzz");
	struct err e = ERR_INIT;
	struct str text, p;
	struct store *s;

	ASSERT(store_open_drivers(&o, &u, NULL, 0, &s, &e) == 0);
	if (size > 0) {
		text = str_mem(data + 1, size - 1);
		check_name(s, a, text, data[0]);
		p = str_cut(&text, '\n');
		if (text.p != NULL)
			check_pattern(a, p, text);
	}
	store_close(&s);
	arena_free(&a);
	return 0;
}
