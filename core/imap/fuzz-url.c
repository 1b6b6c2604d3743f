/*
 * Fuzz target: an IMAP URL. Checked besides not crashing: what is read lies in the URL or is what it decodes
 * to, and holds nothing that could end a line.
 */
#include "base/object.h"
#include "imap/url.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(struct str s, size_t most)
{
	ASSERT(s.n <= most);
	ASSERT(str_find(s, '\0') == s.n && str_find(s, '\r') == s.n && str_find(s, '\n') == s.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *a = arena_new("fuzz");
	struct str text = str_mem(data, size);
	struct imap_url u, again;
	const char *why, *name;

	if (imap_url_parse(text, a, &u, &why)) {
		check_text(u.user, size);
		check_text(u.section, size);
		check_text(u.access_user, size);
		check_text(u.mechanism, size);
		ASSERT(u.token.n == 0 || u.token.n >= 32);
		ASSERT((u.access != URL_NO_ACCESS) == (u.rump.n > 0));
		ASSERT(u.access == URL_NO_ACCESS || str_starts(text, u.rump));
		/* What is signed is a URL of its own, to the same. */
		ASSERT(u.rump.n == 0 || (imap_url_parse(u.rump, a, &again, NULL) && again.uid == u.uid &&
		                            again.access == u.access && again.token.n == 0));
		name = imap_url_mailbox(&u, "selected/one", a);
		ASSERT(name == NULL || name[0] != '\0');
	} else {
		ASSERT(why != NULL && why[0] != '\0');
	}
	arena_free(&a);
	return 0;
}
