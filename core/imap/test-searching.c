/*
 * What searching commands keep between commands, and its limits.
 */
#include "imap/test-support.h"
#include "base/banned.h"

/* Messages with the subjects "0", "1", …; every second one is \Flagged. */
static struct client *with_messages(struct world *w, unsigned count)
{
	struct client *c = connect_client(w);
	char text[64];
	unsigned i;

	for (i = 0; i < count; i++) {
		snprintf(text, sizeof(text), "Subject: %u\r\n\r\ntext\r\n", i);
		append_text(c, "box", i % 2 == 0 ? "(\\Flagged) " : "", text);
	}
	assert_has(talk(c, "SELECT box"), "T OK");
	return c;
}

/* attack-097: what is saved has a limit; past it "$" is empty (RFC 5182 §2.5). */
static void saved_limit(void **state)
{
	struct world *w = *state;
	struct client *c;

	w->o.saved_ranges = 2;
	c = with_messages(w, 6);
	assert_string_equal(
	    talk(c, "SEARCH RETURN (SAVE) FLAGGED"), "T NO [NOTSAVED] Too many messages to save\r\n");
	assert_string_equal(talk(c, "SEARCH RETURN (SAVE) 1,3"), "T OK SEARCH completed\r\n");
	assert_string_equal(talk(c, "SEARCH $"), "* SEARCH 1 3\r\nT OK SEARCH completed\r\n");
	assert_string_equal(
	    talk(c, "SEARCH RETURN (SAVE COUNT) FLAGGED"), "T NO [NOTSAVED] Too many messages to save\r\n");
	assert_string_equal(talk(c, "SEARCH $"), "* SEARCH\r\nT OK SEARCH completed\r\n");
	assert_string_equal(talk(c, "UID SORT RETURN (SAVE) (SUBJECT) UTF-8 FLAGGED"),
	    "T NO [NOTSAVED] Too many messages to save\r\n");
	assert_has(
	    talk(c, "SEARCH RETURN (SAVE MIN MAX) FLAGGED"), " MIN 1 MAX 5\r\nT OK SEARCH completed\r\n");
}

/* A search that cannot read a message is NO, and what it should have saved is empty (RFC 5182 §2.1). */
static void saved_failure(void **state)
{
	struct world *w = *state;
	struct client *c = connect_client(w);

	assert_has(talk(c, "CREATE #driver.fail/broken"), "T OK");
	append_text(c, "broken", "", "Subject: x\r\n\r\ntext\r\n");
	assert_has(talk(c, "SELECT broken"), "* 1 EXISTS");
	assert_has(talk(c, "SEARCH RETURN (SAVE) ALL"), "T OK");
	set_option(w->f, FAIL(w->f), "callback", "read");
	set_option(w->f, FAIL(w->f), "code", "io");
	assert_has(talk(c, "SEARCH TEXT x"), "T NO");
	assert_has(talk(c, "SEARCH $"), "* SEARCH 1\r\n");
	assert_has(talk(c, "SEARCH RETURN (SAVE) BODY x"), "T NO");
	assert_has(talk(c, "SEARCH $"), "* SEARCH\r\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(saved_limit),
	    TEST(saved_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
