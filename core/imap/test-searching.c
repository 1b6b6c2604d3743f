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

/* ---- a client that believes every update ---- */
struct model {
	const char *tag, *command; /* what began it */
	const char *again;         /* the same search without updates */
	bool sorted, uid;
	uint32_t v[200];
	size_t n;
};

static void insert_at(struct model *m, size_t at, uint32_t number)
{
	assert_true(at <= m->n && m->n < ARRAY_LEN(m->v));
	memmove(&m->v[at + 1], &m->v[at], (m->n - at) * sizeof(m->v[0]));
	m->v[at] = number;
	m->n++;
}

static void remove_at(struct model *m, size_t at)
{
	assert_true(at < m->n);
	memmove(&m->v[at], &m->v[at + 1], (m->n - at - 1) * sizeof(m->v[0]));
	m->n--;
}

/* Where it is, or in the order of the mailbox belongs. */
static size_t place_of(const struct model *m, uint32_t number)
{
	size_t at;

	for (at = 0; at < m->n && (m->sorted ? m->v[at] != number : m->v[at] < number); at++)
		;
	return at;
}

static void change(struct model *m, bool add, size_t position, uint32_t number, size_t nth)
{
	size_t at = position > 0 ? position - 1 + (add ? nth : 0) : place_of(m, number);

	assert_int_equal(position > 0, m->sorted);
	if (add) {
		insert_at(m, at, number);
		return;
	}
	assert_true(at < m->n);
	assert_int_equal(m->v[at], number);
	remove_at(m, at);
}

static void take_set(struct model *m, bool add, size_t position, struct str set)
{
	size_t nth = 0;

	while (set.n > 0) {
		struct str range = str_cut(&set, ','), low = str_cut(&range, ':');
		uint32_t from, to, i;

		assert_true(str_u32(low, &from));
		to = from;
		assert_true(range.p == NULL || str_u32(range, &to));
		for (i = from; i <= to; i++)
			change(m, add, position, i, nth++);
	}
}

static void take_changes(struct model *m, bool add, struct str pairs)
{
	while (pairs.n > 0) {
		uint32_t position;

		assert_true(str_u32(str_cut(&pairs, ' '), &position));
		take_set(m, add, position, str_cut(&pairs, ' '));
	}
}

static void expunged(struct model *m, uint32_t number)
{
	size_t i;

	for (i = 0; !m->uid && i < m->n; i++) {
		assert_int_not_equal(m->v[i], number); /* it left before (§4.3.4) */
		m->v[i] -= m->v[i] > number;
	}
}

static void take_line(struct model *models, size_t count, struct str line)
{
	static const struct str begins = STR_INIT("* ESEARCH (TAG \"");
	struct str rest = line, tag;
	uint32_t number;
	size_t i;

	if (str_ends(line, STR(" EXPUNGE")) && str_u32(str_sub(line, 2, line.n - 10), &number))
		for (i = 0; i < count; i++)
			expunged(&models[i], number);
	if (!str_starts(line, begins))
		return;
	rest = str_from(line, begins.n);
	tag = str_cut(&rest, '"');
	for (i = 0; i < count; i++) {
		bool add = str_search(rest, STR("ADDTO (")) != SIZE_MAX;
		size_t at = str_find(str_from(rest, 1), '(');

		if (!str_eqc(tag, models[i].tag))
			continue;
		assert_int_equal(str_starts(rest, STR(") UID ")), models[i].uid);
		rest = str_from(rest, at + 2);
		take_changes(&models[i], add, str_sub(rest, 0, str_find(rest, ')')));
	}
}

static const char *tell(struct client *c, struct model *models, size_t count, const char *command)
{
	AUTO_BUF struct buf all = BUF_INIT;
	struct str rest;
	const char *answer;

	buf_printf(&all, "x %s\r\n", command);
	send_raw(c, buf_str(&all));
	answer = until(c, "x ");
	for (rest = str_of(answer); rest.n > 0;)
		take_line(models, count, str_trim(str_cut(&rest, '\n')));
	return answer;
}

static void compare(struct client *c, const struct model *m)
{
	struct model fresh = {.n = 0};
	const char *answer = tell(c, NULL, 0, m->again), *all = strstr(answer, " ALL ");
	size_t i;

	if (all != NULL) {
		struct str set = str_of(all + 5);
		size_t end = str_find(set, '\r');

		fresh.sorted = true;
		take_set(&fresh, true, 1, str_sub(set, 0, end));
	}
	for (i = 0; i < fresh.n && i < m->n && fresh.v[i] == m->v[i]; i++)
		;
	if (i < fresh.n || i < m->n)
		fail_msg(
		    "%s: %zu results, told of %zu, other at %zu: %s", m->command, fresh.n, m->n, i, answer);
}

/* Whatever happens, what was told makes what is there (RFC 5267 §4.3.2). */
static void contexts_are_right(void **state)
{
	struct model models[] = {
	    {.tag = "m1",
	        .command = "UID SEARCH RETURN (UPDATE) FLAGGED",
	        .again = "UID SEARCH RETURN () FLAGGED",
	        .uid = true},
	    {.tag = "m2", .command = "SEARCH RETURN (UPDATE) UNSEEN", .again = "SEARCH RETURN () UNSEEN"},
	    {.tag = "m3",
	        .command = "UID SORT RETURN (UPDATE) (SUBJECT) UTF-8 FLAGGED",
	        .again = "UID SORT RETURN () (SUBJECT) UTF-8 FLAGGED",
	        .sorted = true,
	        .uid = true},
	    {.tag = "m4",
	        .command = "SORT RETURN (UPDATE) (REVERSE SUBJECT ARRIVAL) UTF-8 UNSEEN",
	        .again = "SORT RETURN () (REVERSE SUBJECT ARRIVAL) UTF-8 UNSEEN",
	        .sorted = true},
	    {.tag = "m5",
	        .command = "SEARCH RETURN (UPDATE) OR FLAGGED SUBJECT 3",
	        .again = "SEARCH RETURN () OR FLAGGED SUBJECT 3"},
	};
	static const char *const flags[] = {"\\Flagged", "\\Seen", "\\Flagged \\Seen", "\\Deleted"};
	struct client *c = connect_client(*state);
	unsigned random = 1;
	char command[160];
	size_t i, k;

	append_text(c, "box", "", "Subject: 0\r\n\r\nfirst\r\n");
	assert_has(talk(c, "SELECT box"), "T OK");
	talk(c, "STORE 1 +FLAGS.SILENT (\\Seen)");
	for (i = 0; i < ARRAY_LEN(models); i++) {
		snprintf(command, sizeof(command), "%s %s\r\n", models[i].tag, models[i].command);
		send_raw(c, str_of(command));
		assert_has(until(c, models[i].tag), " OK ");
	}
	for (k = 0; k < 150; k++) {
		random = random * 1103515245u + 12345u;
		switch (random >> 16 & 7) {
		case 0:
		case 1:
		case 2: {
			unsigned subject = random >> 20 & 15;

			snprintf(command, sizeof(command), "APPEND box (%s) {%d+}\r\nSubject: %u\r\n\r\n",
			    flags[random >> 24 & 3], subject > 9 ? 15 : 14, subject);
			break;
		}
		case 3:
			snprintf(command, sizeof(command), "EXPUNGE");
			break;
		default:
			snprintf(command, sizeof(command), "UID STORE %u:%u %cFLAGS%s (%s)",
			    random >> 20 & 31, (random >> 20 & 31) + 3, random & 0x100000 ? '+' : '-',
			    random & 0x80000 ? ".SILENT" : "", flags[random >> 24 & 3]);
		}
		tell(c, models, ARRAY_LEN(models), command);
		for (i = 0; i < ARRAY_LEN(models); i++)
			compare(c, &models[i]);
	}
	assert_true(models[0].n > 0 && models[3].n > 0);
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
	    TEST(contexts_are_right),
	    TEST(multisearch_limit),
	    TEST(progress),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
