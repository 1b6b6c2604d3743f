/*
 * Mod-sequences and resynchronisation (RFC 7162), where the wire scripts do not reach: many messages, message
 * sequence match data against a model, mailboxes that keep no mod-sequences, limits.
 */
#include <stdlib.h>

#include "imap/test-support.h"
#include "base/banned.h"

#define TEXT "Subject: x\r\n\r\nx\r\n"

static uint64_t number_after(const char *text, const char *what)
{
	const char *at = strstr(text, what);

	if (at == NULL)
		fail_msg("\"%s\" is not in:\n%s", what, text);
	return strtoull(at + strlen(what), NULL, 10);
}

static void fill(struct client *c, unsigned count)
{
	AUTO_BUF struct buf command = BUF_INIT;
	unsigned i;

	buf_adds(&command, "x APPEND box");
	for (i = 0; i < count && i < 1000; i++)
		buf_printf(&command, " {%zu+}\r\n%s", strlen(TEXT), TEXT);
	buf_adds(&command, "\r\n");
	send_raw(c, buf_str(&command));
	assert_has(until(c, "x "), "x OK [APPENDUID ");
	if (i < count)
		fill(c, count - i);
}

/* A client that resynchronises, and what it was told at its first SELECT. */
struct known {
	struct client *c;
	uint64_t uidvalidity, modseq;
};

static struct known begin(struct world *w, unsigned count)
{
	struct known k = {.c = connect_client(w)};
	const char *answer;

	fill(k.c, count);
	assert_has(talk(k.c, "ENABLE QRESYNC"), "* ENABLED QRESYNC\r\n");
	answer = talk(k.c, "SELECT box");
	k.uidvalidity = number_after(answer, "[UIDVALIDITY ");
	k.modseq = number_after(answer, "[HIGHESTMODSEQ ");
	return k;
}

#define RESYNC(k, rest)                                                                          \
	talk((k)->c, "SELECT box (QRESYNC (%llu %llu%s))", (unsigned long long)(k)->uidvalidity, \
	    (unsigned long long)(k)->modseq, (rest))

static unsigned lines_with(const char *text, const char *part)
{
	unsigned n = 0;

	for (text = strstr(text, part); text != NULL; text = strstr(text + 1, part))
		n++;
	return n;
}

/* The UIDs of all "* VANISHED (EARLIER)". */
static void vanished_in(struct world *w, const char *answer, struct number_set *out)
{
	AUTO_BUF struct buf all = BUF_INIT;
	const char *what = "* VANISHED (EARLIER) ", *at;

	*out = (struct number_set){0};
	for (at = strstr(answer, what); at != NULL; at = strstr(at + 1, what)) {
		buf_adds(&all, all.n > 0 ? "," : "");
		buf_add(&all, at + strlen(what), strcspn(at + strlen(what), "\r"));
	}
	if (all.n > 0)
		assert_true(set_parse(w->f->a, buf_str(&all), 1, out));
}

/* Every other message of many goes. The answers come in lines that can be read. */
static void many_ranges(void **state)
{
	struct known k = begin(*state, 2600);
	AUTO_BUF struct buf odd = BUF_INIT;
	struct number_set told;
	const char *answer, *line;
	unsigned i;

	for (i = 1; i <= 2600; i += 2)
		buf_printf(&odd, "%s%u", i > 1 ? "," : "", i);
	assert_has(talk(k.c, "STORE %s +FLAGS.SILENT (\\Deleted)", buf_cstr(&odd)), "T OK");
	answer = talk(k.c, "EXPUNGE");
	assert_int_equal(lines_with(answer, "* VANISHED "), 3);
	assert_has_not(answer, "EXPUNGE\r\n");
	assert_has(answer, "T OK [HIGHESTMODSEQ ");
	answer = RESYNC(&k, "");
	assert_int_equal(lines_with(answer, "* VANISHED (EARLIER) "), 3);
	vanished_in(*state, answer, &told);
	for (i = 1; i <= 2600; i++)
		assert_int_equal(set_has(&told, i), i % 2);
	for (line = answer; line != NULL && *line != '\0'; line = strstr(line, "\r\n"), line += 2)
		assert_true(strcspn(line, "\r") < 12000);
	/* Nothing changed but by going. */
	assert_int_equal(lines_with(answer, " FETCH "), 0);
	answer = talk(k.c, "UID FETCH 1:* (FLAGS) (CHANGEDSINCE %llu)", (unsigned long long)k.modseq);
	assert_string_equal(answer, "T OK FETCH completed\r\n");
	answer = talk(k.c, "FETCH 1:* (UID) (CHANGEDSINCE %llu)", (unsigned long long)k.modseq - 1);
	assert_int_equal(lines_with(answer, " MODSEQ ("), 300); /* of the last APPEND */
}

/* ---- message sequence match data, against a model ---- */
#define UIDS 40u

static void append_set(struct buf *out, const uint32_t *numbers, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		buf_printf(out, "%s%u", i > 0 ? "," : "", numbers[i]);
}

/* Pairs as the client has them: of the first state (right or stale), or of nowhere. */
static void match_round(struct world *w, const struct known *k, const bool *gone, unsigned seed)
{
	AUTO_BUF struct buf rest = BUF_INIT;
	uint32_t numbers[UIDS], uids[UIDS], uid, sequence = 0, highest = 0, present[UIDS + 1] = {0};
	struct number_set told;
	size_t n = 0;

	srand(seed);
	for (uid = 1; uid <= UIDS; uid++) {
		if (!gone[uid])
			present[++sequence] = uid;
		if (rand() % 3 == 0) {
			numbers[n] = rand() % 2 == 0 ? sequence + 1 - (gone[uid] ? 0 : 1) : uid;
			uids[n] = uid;
			if (n == 0 || numbers[n] > numbers[n - 1])
				n++;
		}
	}
	if (n == 0)
		return;
	buf_printf(&rest, " 1:%u (", UIDS);
	append_set(&rest, numbers, n);
	buf_addc(&rest, ' ');
	append_set(&rest, uids, n);
	buf_addc(&rest, ')');
	while (n-- > 0)
		if (numbers[n] <= UIDS && present[numbers[n]] == uids[n] && uids[n] > highest)
			highest = uids[n];
	vanished_in(w, RESYNC(k, buf_cstr(&rest)), &told);
	for (uid = 1; uid <= UIDS; uid++)
		if (set_has(&told, uid) != (gone[uid] && uid > highest))
			fail_msg("seed %u, UID %u, known up to %u:%s", seed, uid, highest, buf_cstr(&rest));
}

static void match_data(void **state)
{
	struct known k = begin(*state, UIDS);
	AUTO_BUF struct buf doomed = BUF_INIT;
	bool gone[UIDS + 1] = {false};
	unsigned seed, uid;

	for (uid = 1; uid <= UIDS; uid++)
		if (uid % 7 == 3 || (uid > 20 && uid < 25)) {
			gone[uid] = true;
			buf_printf(&doomed, "%s%u", doomed.n > 0 ? "," : "", uid);
		}
	assert_has(talk(k.c, "UID STORE %s +FLAGS.SILENT (\\Deleted)", buf_cstr(&doomed)), "T OK");
	assert_has(talk(k.c, "EXPUNGE"), "T OK");
	for (seed = 0; seed < 200; seed++)
		match_round(*state, &k, gone, seed);
}

/* All that numbers can say, at once; none of it may cost time. attack-082 */
static void widest_sets(void **state)
{
	static const char *const rests[] = {" 1:4294967295", " 1:4294967295 (1:4294967295 1:4294967295)",
	    " (1:2,4:4294967295 2:3,5:4294967295,1)", " (4294967295 4294967295)", " (1 4294967295)",
	    " (4294967295 1)", " 4294967295", " 4294967295 (1:3 1:3)", " (2:4294967295 1:4294967294)"};
	struct known k = begin(*state, 3);
	size_t i;

	talk(k.c, "STORE 2 +FLAGS.SILENT (\\Deleted)");
	talk(k.c, "EXPUNGE");
	for (i = 0; i < ARRAY_LEN(rests); i++)
		assert_has(RESYNC(&k, rests[i]), "T OK [READ-WRITE] ");
	assert_has(talk(k.c, "UID FETCH 1:4294967295 (FLAGS) (CHANGEDSINCE %llu VANISHED)",
	               (unsigned long long)k.modseq),
	    "* VANISHED (EARLIER) 2\r\n");
	assert_has_not(talk(k.c, "UID FETCH 4:4294967295 (FLAGS) (CHANGEDSINCE 1 VANISHED)"), "VANISHED");
}

/* Known UIDs are as long as a command line may be, and then the command is refused. */
static void set_too_long(void **state)
{
	struct world *w = *state;
	AUTO_BUF struct buf rest = BUF_INIT;
	struct known k;
	unsigned i;

	w->o.line_size = 4096;
	k = begin(w, 1);
	for (i = 1; rest.n < 3900; i += 2)
		buf_printf(&rest, "%c%u", i == 1 ? ' ' : ',', i);
	assert_has(RESYNC(&k, buf_cstr(&rest)), "T OK");
	while (rest.n < 5000)
		buf_printf(&rest, ",%u", i += 2);
	assert_has(RESYNC(&k, buf_cstr(&rest)), " BAD ");
	assert_has(talk(k.c, "NOOP"), "T OK");
}

/* ---- mailboxes without lasting mod-sequences (RFC 7162 §3.1.2.2) ---- */
static void no_modseq(void **state)
{
	static const char *const refused[] = {"FETCH 1 (MODSEQ)", "FETCH 1 (FLAGS) (CHANGEDSINCE 1)",
	    "UID FETCH 1 (FLAGS) (CHANGEDSINCE 1 VANISHED)", "STORE 1 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)",
	    "SEARCH MODSEQ 1", "SEARCH OR SEEN NOT MODSEQ \"/flags/x\" all 0",
	    "SORT (ARRIVAL) UTF-8 MODSEQ 1"};
	struct world *w = *state;
	struct client *c;
	const char *answer;
	size_t i;

	put_file(w->f, ".mortise", "in the way of the index");
	fixture_reopen(w->f);
	c = connect_client(w);
	fill(c, 3);
	assert_has(talk(c, "ENABLE QRESYNC"), "* ENABLED QRESYNC\r\nT OK");
	answer = talk(c, "SELECT box (CONDSTORE)");
	assert_has(answer, "* OK [NOMODSEQ] ");
	assert_has_not(answer, "HIGHESTMODSEQ");
	for (i = 0; i < ARRAY_LEN(refused); i++)
		assert_string_equal(talk(c, "%s", refused[i]), "T BAD The mailbox has no mod-sequences\r\n");
	assert_has(talk(c, "STATUS box (HIGHESTMODSEQ)"), "(HIGHESTMODSEQ 0)");
	answer = talk(c, "STORE 1 +FLAGS (\\Deleted)");
	assert_has(answer, "UID 1 FLAGS (\\Deleted");
	assert_has_not(answer, "MODSEQ");
	assert_string_equal(talk(c, "EXPUNGE"), "* 1 EXPUNGE\r\n* 2 RECENT\r\nT OK EXPUNGE completed\r\n");
	answer = talk(c, "SELECT box (QRESYNC (%llu 1 1:9 (1 1)))",
	    (unsigned long long)number_after(talk(c, "STATUS box (UIDVALIDITY)"), "(UIDVALIDITY "));
	assert_has(answer, "* OK [NOMODSEQ] ");
	assert_has_not(answer, "VANISHED");
	assert_has_not(answer, "FETCH");
}

/* What enables CONDSTORE, and that BAD does not. */
static void enabling(void **state)
{
	static const struct {
		const char *command;
		bool enables;
	} cases[] = {
	    {"STATUS other (HIGHESTMODSEQ)", true},
	    {"STATUS other (MESSAGES)", false},
	    {"FETCH 1 (MODSEQ)", true},
	    {"FETCH 1 (FLAGS) (CHANGEDSINCE 1)", true},
	    {"FETCH 1 (FLAGS) (CHANGEDSINCE 0)", false},
	    {"SEARCH MODSEQ 0", true},
	    {"SEARCH MODSEQ", false},
	    {"SORT (ARRIVAL) UTF-8 MODSEQ 1", true},
	    {"STORE 1 (UNCHANGEDSINCE 1) +FLAGS.SILENT (\\Seen)", true},
	    {"STORE 1 +FLAGS.SILENT (\\Seen)", false},
	    {"ENABLE CONDSTORE", true},
	    {"ENABLE QRESYNC", true},
	    {"ENABLE IDLE", false},
	};
	struct world *w = *state;
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		struct client *c = connect_client(w);
		const char *answer;

		if (i == 0) {
			fill(c, 1);
			talk(c, "CREATE other");
		}
		talk(c, "SELECT box");
		answer = talk(c, "%s", cases[i].command);
		assert_int_equal(lines_with(answer, "* OK [HIGHESTMODSEQ "), cases[i].enables ? 1 : 0);
		assert_int_equal(
		    lines_with(talk(c, "STORE 1 FLAGS (k%zu)", i), " MODSEQ ("), cases[i].enables);
		talk(c, "LOGOUT");
		end_clients(w);
	}
}

/* Extended SEARCH: the results for all combinations of options (RFC 4731). */
static void esearch(void **state)
{
	struct client *c = connect_client(*state);
	unsigned options;

	fill(c, 6);
	talk(c, "SELECT box");
	talk(c, "STORE 2,4:5 +FLAGS.SILENT (\\Flagged)");
	for (options = 1; options < 16; options++) {
		AUTO_BUF struct buf names = BUF_INIT, want = BUF_INIT;

		buf_printf(&names, "%s%s%s%s", options & 1 ? " MIN" : "", options & 2 ? " MAX" : "",
		    options & 4 ? " COUNT" : "", options & 8 ? " ALL" : "");
		buf_printf(&want, ")%s%s%s%s\r\n", options & 1 ? " MIN 2" : "", options & 2 ? " MAX 5" : "",
		    options & 4 ? " COUNT 3" : "", options & 8 ? " ALL 2,4:5" : "");
		assert_has(talk(c, "SEARCH RETURN (%s) FLAGGED", buf_cstr(&names) + 1), buf_cstr(&want));
		buf_reset(&want);
		buf_printf(&want, ")%s\r\n", options & 4 ? " COUNT 0" : "");
		assert_has(talk(c, "SEARCH RETURN (%s) DRAFT", buf_cstr(&names) + 1), buf_cstr(&want));
	}
	assert_has(talk(c, "UID SEARCH RETURN (ALL) CHARSET UTF-8 ALL"), ") UID ALL 1:6\r\n");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)
	static const struct CMUnitTest tests[] = {
	    TEST(many_ranges),
	    TEST(match_data),
	    TEST(widest_sets),
	    TEST(set_too_long),
	    TEST(no_modseq),
	    TEST(enabling),
	    TEST(esearch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
