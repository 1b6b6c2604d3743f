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

/* attack-097: there are so many contexts, and one of another mailbox less is not one more. */
static void context_limit(void **state)
{
	struct world *w = *state;
	struct client *c;

	w->o.contexts = 1;
	c = with_messages(w, 3);
	assert_has_not(talk(c, "SEARCH RETURN (UPDATE COUNT) FLAGGED"), "NOUPDATE");
	assert_has(talk(c, "UID SORT RETURN (UPDATE COUNT) (SUBJECT) UTF-8 FLAGGED"),
	    "UID COUNT 2\r\n* NO [NOUPDATE \"");
	assert_has(talk(c, "STORE 2 +FLAGS.SILENT (\\Flagged)"), " ADDTO (0 2)\r\n");
	assert_has(talk(c, "SELECT box"), "T OK");
	assert_has_not(talk(c, "SEARCH RETURN (UPDATE COUNT) FLAGGED"), "NOUPDATE");
}

/* A context whose messages cannot be read now is looked at again with the next news. */
static void context_failure(void **state)
{
	struct world *w = *state;
	struct client *c = connect_client(w);

	assert_has(talk(c, "CREATE #driver.fail/broken"), "T OK");
	append_text(c, "broken", "", "Subject: x\r\n\r\nneedle\r\n");
	assert_has(talk(c, "SELECT broken"), "* 1 EXISTS");
	assert_has(talk(c, "SEARCH RETURN (UPDATE COUNT) FLAGGED BODY needle"), "COUNT 0");
	set_option(w->f, FAIL(w->f), "callback", "read");
	set_option(w->f, FAIL(w->f), "code", "io");
	assert_has_not(talk(c, "STORE 1 +FLAGS (\\Flagged)"), "ADDTO");
	set_option(w->f, FAIL(w->f), "callback", "");
	assert_has(talk(c, "STORE 1 +FLAGS (\\Seen)"), " ADDTO (0 1)\r\n");
}

/* ESEARCH names and searches so many mailboxes (RFC 7377 §2.4), and does not stop at one that is damaged. */
static void multisearch_limit(void **state)
{
	struct world *w = *state;
	struct client *c;
	const char *answer;

	w->o.search_mailboxes = 2;
	c = with_messages(w, 1);
	assert_has(talk(c, "ESEARCH IN (mailboxes (a b c)) ALL"), "T BAD Too many mailboxes");
	assert_has(talk(c, "CREATE #driver.fail/broken"), "T OK");
	assert_has(talk(c, "ESEARCH IN (mailboxes (box broken)) ALL"), " MAILBOX box UIDVALIDITY ");
	assert_has(talk(c, "CREATE third"), "T OK");
	assert_has(talk(c, "ESEARCH IN (personal) ALL"), "T NO [LIMIT] Too many mailboxes\r\n");
	assert_has(talk(c, "SCAN \"\" * text"), "T NO [LIMIT] ");
	set_option(w->f, FAIL(w->f), "callback", "open");
	set_option(w->f, FAIL(w->f), "code", "corrupt");
	assert_has(talk(c, "SELECT third"), "T OK");
	answer = talk(c, "ESEARCH IN (mailboxes (broken box)) ALL");
	assert_has(answer, "* NO [CORRUPTION] ");
	assert_has(answer, " MAILBOX box UIDVALIDITY ");
	assert_has(answer, "T OK");
}

/* RFC 9585. At each look, and not only after some seconds. */
static void progress(void **state)
{
	static const char *const commands[] = {"SEARCH TEXT nothing", "UID SORT (SUBJECT) UTF-8 ALL",
	    "THREAD REFERENCES UTF-8 ALL", "SORT (SIZE) UTF-8 ALL", "COPY 1:2 target", "UID MOVE 1:2 target",
	    "ESEARCH IN (personal) TEXT nothing"};
	struct world *w = *state;
	struct client *c;
	size_t i;

	w->o.progress = 0;
	c = with_messages(w, 3);
	talk(c, "CREATE target");
	for (i = 0; i < ARRAY_LEN(commands); i++) {
		const char *answer = talk(c, "%s", commands[i]);

		if (strstr(answer, "* OK [INPROGRESS (\"") == NULL || strstr(answer, "\r\nT OK") == NULL)
			fail_msg("%s: %s", commands[i], answer);
	}
	assert_has_not(talk(c, "FETCH 1 BODY[]"), "INPROGRESS");
	assert_has_not(talk(c, "NOOP"), "INPROGRESS");
	append_text(c, "box", "", "Subject: more\r\n\r\ntext\r\n");
	assert_has(talk(c, "SEARCH TEXT nothing"), " 1 2)] Still working\r\n");
	assert_has(talk(c, "NOOP"), "T OK");
	w->o.progress = 3600000;
	c = connect_client(w);
	assert_has(talk(c, "SELECT box"), "T OK");
	assert_has_not(talk(c, "SEARCH TEXT nothing"), "INPROGRESS");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(saved_limit),
	    TEST(saved_failure),
	    TEST(context_limit),
	    TEST(context_failure),
	    TEST(multisearch_limit),
	    TEST(progress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
