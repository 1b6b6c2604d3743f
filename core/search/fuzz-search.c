/*
 * Fuzz target: a search. First line: what is looked for; the rest is the message. The answer must not depend
 * on whether the program is nested, and BODY implies TEXT.
 */
#include "search/search.h"

#include "base/object.h"
#include "base/banned.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int open_memory(void *arg, struct source **out, struct err *e UNUSED)
{
	*out = source_memory(*(struct str *)arg);
	return 0;
}

static int match(struct search *s, struct str *message)
{
	struct arena *a = arena_new("fuzz");
	struct search_target t = {.sequence = 1, .uid = 1, .open = open_memory, .arg = message};
	struct err e = ERR_INIT;
	int r;

	search_prepare(s, COMPARATOR_UNICODE_CASEMAP, a);
	r = search_match(s, &t, a, &e);
	ASSERT(r == 0 || r == 1);
	arena_free(&a);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str message = str_mem(data, size), needle = str_cut(&message, '\n');
	struct search body = {.key = SEARCH_BODY, .text = needle},
	              text = {.key = SEARCH_TEXT, .text = needle},
	              subject = {.key = SEARCH_SUBJECT, .text = needle},
	              to = {.key = SEARCH_ADDRESS, .field = STR("To"), .text = needle},
	              sent = {.key = SEARCH_SENTSINCE, .day = 0};
	struct search group = {.key = SEARCH_OR, .child = &sent}, not = {.key = SEARCH_NOT, .child = &group};
	int in_body = match(&body, &message), in_text = match(&text, &message),
	    any = (match(&subject, &message) | match(&to, &message) | match(&sent, &message)) != 0;

	ASSERT(in_text >= in_body);
	sent.next = &subject;
	subject.next = &to;
	ASSERT(match(&not, &message) == !any);
	return 0;
}
