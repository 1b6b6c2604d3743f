/* grammar_acl.c: the responses of quotas (RFC 9208) and of access lists (RFC 4314). */
#include "grammar_int.h"
#include "base/banned.h"

/*
 * RFC 9208 §7; an empty list is in §4.2.1. The usage may be above the limit: a limit can be lowered, and
 * other programs deliver.
 */
bool quota_data(struct grammar *g)
{
	static const char *const names[] = {"STORAGE", "MESSAGE", "MAILBOX", "ANNOTATION-STORAGE"};
	unsigned seen = 0, i;
	uint64_t n;

	if (!want(g, ' ') || !astring(g, NULL) || !want(g, ' ') || !want(g, '('))
		return false;
	if (take(g, ')'))
		return true;
	do {
		for (i = 0; i < 4 && !take_word(g, names[i]); i++)
			;
		if (i == 4 || (seen & 1u << i) != 0)
			return wanted(g, "a resource of RFC 9208, each once");
		seen |= 1u << i;
		if (!want(g, ' ') || !number64(g, &n) || !want(g, ' ') || !number64(g, &n))
			return false;
	} while (take(g, ' '));
	return want(g, ')');
}

bool quotaroot_data(struct grammar *g)
{
	if (!want(g, ' ') || !mailbox(g))
		return false;
	while (take(g, ' '))
		if (!astring(g, NULL))
			return false;
	return true;
}

/*
 * RFC 4314 §6: an astring of lower-case letters and digits, each once (`seen`: over several lists); with k or
 * x comes c, with t or e comes d (§2.1.1).
 */
static bool rights(struct grammar *g, uint64_t *seen)
{
	AUTO_BUF struct buf text = BUF_INIT;
	const char *t;
	size_t i;

	if (!astring(g, &text))
		return false;
	t = buf_cstr(&text);
	for (i = 0; i < text.n; i++) {
		const char *all = "lrswipkxtecda0123456789", *place = strchr(all, t[i]);

		if (t[i] == '\0' || place == NULL || (*seen & UINT64_C(1) << (place - all)) != 0)
			return wanted(g, "rights of RFC 4314, each once");
		*seen |= UINT64_C(1) << (place - all);
	}
	if ((strpbrk(t, "kx") != NULL && strchr(t, 'c') == NULL) ||
	    (strpbrk(t, "te") != NULL && strchr(t, 'd') == NULL))
		return wanted(g, "c with k or x, and d with t or e");
	return true;
}

bool acl_data(struct grammar *g)
{
	if (!want(g, ' ') || !mailbox(g))
		return false;
	while (take(g, ' ')) {
		uint64_t seen = 0;

		if (!astring(g, NULL) || !want(g, ' ') || !rights(g, &seen))
			return false;
	}
	return true;
}

bool myrights_data(struct grammar *g)
{
	uint64_t seen = 0;

	return want(g, ' ') && mailbox(g) && want(g, ' ') && rights(g, &seen);
}

bool listrights_data(struct grammar *g)
{
	uint64_t seen = 0;

	if (!want(g, ' ') || !mailbox(g) || !want(g, ' ') || !astring(g, NULL) || !want(g, ' ') ||
	    !rights(g, &seen))
		return false;
	while (take(g, ' '))
		if (!rights(g, &seen))
			return false;
	return true;
}
