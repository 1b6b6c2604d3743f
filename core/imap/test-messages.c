/*
 * The commands on messages: APPEND, FETCH, STORE, SEARCH, COPY, EXPUNGE.
 */
#include <unistd.h>

#include "base/io.h"
#include "imap/test-support.h"
#include "base/banned.h"

#define HEADER                                                                         \
	"From: \"A. Sender\" <a@example.org>\r\nTo: b@example.net\r\nSubject: one\r\n" \
	"Date: Mon, 1 Jan 2024 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n"
#define TEXT "line1\r\nFrom here it starts\r\nend\r\n"
#define MULTI                                                                                         \
	"Subject: multi\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"    \
	"--b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" \
	"Subject: inner\r\n\r\ninner text\r\n--b--\r\n"

static struct client *with_message(struct world *w, const char *text)
{
	struct client *c = connect_client(w);

	assert_has(append_text(c, "box", "", text), "T OK [APPENDUID ");
	assert_has(talk(c, "SELECT box"), "T OK");
	return c;
}

/* ---- APPEND ---- */
static void appends(void **state)
{
	struct client *c = connect_client(*state);

	SEND(c, "x APPEND box (\\Seen $Work) \"05-Jan-2024 10:20:30 +0100\" {20}\r\n");
	assert_string_equal(until(c, "+"), "+ Ready for message\r\n");
	SEND(c, "Subject: 1\r\n\r\nabcd\r\n\r\n");
	assert_has(until(c, "x"), "x OK [APPENDUID ");
	talk(c, "SELECT box");
	assert_string_equal(talk(c, "FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[TEXT])"),
	    "* 1 FETCH (FLAGS (\\Seen \\Recent $Work) INTERNALDATE \" 5-Jan-2024 10:20:30 +0100\" "
	    "RFC822.SIZE 20 "
	    "BODY[TEXT] {6}\r\nabcd\r\n)\r\nT OK FETCH completed\r\n");
	/* Into the selected mailbox: the news come with the answer. */
	assert_has(append_text(c, "box", "() ", "Subject: 2\r\n\r\n"), "* 2 EXISTS\r\n");
	/* The mailbox's name as a literal too, and in any case. */
	SEND(c, "x append {5+}\r\ninbox {3+}\r\nabc\r\n");
	assert_has(until(c, "x"), "x OK [APPENDUID ");
	assert_has(talk(c, "STATUS INBOX (MESSAGES)"), "MESSAGES 1");
}

static void several_in_one(void **state)
{
	struct client *c = connect_client(*state);

	SEND(c, "x APPEND box {3+}\r\none (\\Seen) {3}\r\n");
	assert_string_equal(until(c, "+"), "+ Ready for message\r\n");
	SEND(c, "two {5+}\r\nthree\r\n");
	assert_has(until(c, "x"), " 1:3] APPEND completed\r\n");
	assert_has(talk(c, "STATUS box (MESSAGES UNSEEN)"), "(MESSAGES 3 UNSEEN 2)");
}

/* What is wrong costs no message; the rest of the command is not taken for commands. */
static void bad_appends(void **state)
{
	static const struct {
		const char *in, *answer;
	} cases[] = {
	    {"x APPEND box\r\n", "x BAD Missing message literal\r\n"},
	    {"x APPEND\r\n", "x BAD"},
	    {"x APPEND box {0}\r\n", "x NO [CANNOT] A message may not be empty\r\n"},
	    {"x APPEND box {0+}\r\n\r\n", "x NO [CANNOT] A message may not be empty\r\n"},
	    {"x APPEND box UTF8 (~{3+}\r\nabc)\r\n", "x NO [CANNOT] ENABLE UTF8=ACCEPT comes first\r\n"},
	    {"x APPEND box (\\Bogus) {8+}\r\ny LOGOUT\r\n", "x BAD Unknown system flag\r\n"},
	    {"x APPEND box (\\*) {3}\r\n", "x BAD \\* is not a flag\r\n"}, /* attack-095 */
	    {"x APPEND box (\\Recent) {3}\r\n", "x BAD \\Recent cannot be stored\r\n"},
	    {"x APPEND box \"yesterday\" {3}\r\n", "x BAD Invalid date and time\r\n"},
	    {"x APPEND box  {3}\r\n", "x BAD"},
	    {"x APPEND nosuch {3+}\r\nabc\r\n", "x NO [TRYCREATE] "},
	    {"x APPEND nosuch {3}\r\n", "x NO [TRYCREATE] "},
	    {"x APPEND box {3+}\r\nabc tail\r\n", "x BAD"},
	    {"x APPEND box {3+}\r\nabc {3+}\r\nabc x\r\n", "x BAD"},
	    {"x APPEND box {3+}\r\nabc {0+}\r\n {3+}\r\nabc\r\n", "x NO [CANNOT] "},
	    {"x APPEND box {3+}\r\nabc (\\Bogus) {3}\r\n", "x BAD"},
	    {"x APPEND box {4294967296}\r\n", "x NO [TOOBIG] "},
	    {"x APPEND box {9223372036854775808}\r\n", "x BAD Literal size is out of range\r\n"},
	};
	struct client *c = connect_client(*state);
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const char *answer;

		send_raw(c, str_of(cases[i].in));
		answer = until(c, "x");
		if (strncmp(answer, cases[i].answer, strlen(cases[i].answer)) != 0)
			fail_msg("case %zu: %s", i, answer);
		assert_string_equal(talk(c, "NOOP"), "T OK NOOP completed\r\n");
	}
	assert_has(talk(c, "STATUS box (MESSAGES)"), "MESSAGES 0");
}

/* attack-023 */
static void gone_while_appending(void **state)
{
	struct client *c = connect_client(*state), *d;

	SEND(c, "x APPEND box {3+}\r\nabc {100+}\r\nonly the beginn");
	io_close(&c->fd);
	session_result(c);
	d = connect_client(*state);
	assert_has(talk(d, "STATUS box (MESSAGES)"), "MESSAGES 0");
}

static void append_limits(void **state)
{
	struct world *w = *state;
	struct client *c;

	w->o.append_messages = 2;
	c = connect_client(w);
	SEND(c, "x APPEND box {1+}\r\na {1+}\r\nb {1+}\r\nc\r\n");
	assert_string_equal(until(c, "x"), "x NO [LIMIT] Too many messages in one APPEND\r\n");
	assert_has(talk(c, "STATUS box (MESSAGES)"), "MESSAGES 0");
}

/* attack-095: keywords without end, too long, with specials. */
static void many_keywords(void **state)
{
	struct client *c = with_message(*state, "Subject: 1\r\n\r\n1\r\n");
	AUTO_BUF struct buf b = BUF_INIT;
	int i;

	for (i = 0; i < 65; i++)
		buf_printf(&b, "%sk%d", i > 0 ? " " : "", i);
	assert_has(talk(c, "STORE 1 +FLAGS (%s)", buf_cstr(&b)), "T BAD Too many keywords");
	buf_reset(&b);
	while (b.n < 129)
		buf_addc(&b, 'k');
	assert_has(talk(c, "STORE 1 +FLAGS (%s)", buf_cstr(&b)), "T BAD Keyword is too long");
	assert_has(talk(c, "STORE 1 +FLAGS (a]b)"), "T BAD");
	assert_has(talk(c, "STORE 1 +FLAGS (\"a\")"), "T BAD");
	/* More names than a mailbox has bits: NO or told to be lost, and no harm. */
	for (i = 0; i < 70; i++)
		talk(c, "STORE 1 +FLAGS.SILENT (key%d)", i);
	assert_has(talk(c, "FETCH 1 FLAGS"), "key63");
	assert_has_not(talk(c, "FETCH 1 FLAGS"), "key64");
}

/* ---- FETCH ---- */
static void fetches(void **state)
{
	struct client *c = with_message(*state, HEADER TEXT);

	assert_has(talk(c, "FETCH 1 ENVELOPE"),
	    "* 1 FETCH (ENVELOPE (\"Mon, 1 Jan 2024 10:00:00 +0000\" \"one\" ((");
	assert_has(talk(c, "FETCH 1 BODY"),
	    "* 1 FETCH (BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 33 3))\r\n");
	assert_has(talk(c, "FETCH 1 BODYSTRUCTURE"), "\"7BIT\" 33 3 NIL NIL NIL NIL))\r\n");
	assert_has(talk(c, "FETCH 1 FAST"), "* 1 FETCH (FLAGS (\\Recent) INTERNALDATE \"");
	assert_has(talk(c, "FETCH 1 ALL"), " RFC822.SIZE 170 ENVELOPE (");
	assert_has(talk(c, "FETCH 1 FULL"), ") BODY (\"TEXT\" ");
	assert_has(talk(c, "FETCH 1:* (UID FLAGS)"), "* 1 FETCH (UID 1 FLAGS (\\Recent))\r\n");
	assert_has(talk(c, "UID FETCH 1:* (FLAGS UID)"), "* 1 FETCH (UID 1 FLAGS (\\Recent))\r\n");
	assert_string_equal(talk(c, "UID FETCH 2:3 FLAGS"), "T OK FETCH completed\r\n");
	assert_has(talk(c, "UID FETCH 9:* UID"), "* 1 FETCH (UID 1)\r\n"); /* *:9 */
	assert_has(talk(c, "FETCH 1 BODY.PEEK[HEADER.FIELDS (subject \"X-No\")]"),
	    "* 1 FETCH (BODY[HEADER.FIELDS (subject X-No)] {16}\r\nSubject: one\r\n\r\n)\r\n");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (From Subject Date Message-ID)]"),
	    "(BODY[HEADER.FIELDS.NOT (From Subject Date Message-ID)] {21}\r\nTo: b@example.net\r\n\r\n)");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[]"), "(BODY[] {170}\r\n" HEADER TEXT ")\r\n");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[HEADER]"), "(BODY[HEADER] {137}\r\n" HEADER ")\r\n");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[1]"), "(BODY[1] {33}\r\n" TEXT ")\r\n");
	assert_has(talk(c, "FETCH 1 RFC822.HEADER"), "(RFC822.HEADER {137}\r\n" HEADER ")\r\n");
	assert_has(talk(c, "FETCH 1 FLAGS"), "FLAGS (\\Recent)");
}

static void partials(void **state)
{
	struct client *c = with_message(*state, HEADER TEXT);

	assert_has(talk(c, "FETCH 1 BODY.PEEK[TEXT]<0.5>"), "(BODY[TEXT]<0> {5}\r\nline1)\r\n");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[TEXT]<30.100>"), "(BODY[TEXT]<30> {3}\r\nd\r\n)\r\n");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[]<137.5>"), "(BODY[]<137> {5}\r\nline1)\r\n");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject)]<9.3>"), "<9> {3}\r\none)\r\n");
	/* attack-083 */
	assert_has(talk(c, "FETCH 1 BODY.PEEK[TEXT]<33.1>"), "(BODY[TEXT]<33> \"\")");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[TEXT]<4294967295.1>"), "(BODY[TEXT]<4294967295> \"\")");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[TEXT]<32.9223372036854775807>"), "<32> {1}\r\n\n)");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[TEXT]<0.0>"), "T BAD");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[TEXT]<1.18446744073709551615>"), "T BAD");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[TEXT]<1>"), "T BAD");
}

static void parts(void **state)
{
	struct client *c = with_message(*state, MULTI);

	assert_has(talk(c, "FETCH 1 BODY.PEEK[1]"), "(BODY[1] {5}\r\nfirst)");
	assert_has(
	    talk(c, "FETCH 1 BODY.PEEK[1.MIME]"), "(BODY[1.MIME] {28}\r\nContent-Type: text/plain\r\n\r\n)");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[2.HEADER]"), "(BODY[2.HEADER] {18}\r\nSubject: inner\r\n\r\n)");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[2.TEXT]"), "(BODY[2.TEXT] {10}\r\ninner text)");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[2.1]"), "(BODY[2.1] {10}\r\ninner text)");
	assert_has(
	    talk(c, "FETCH 1 BODY.PEEK[2.HEADER.FIELDS (Subject)]"), "{18}\r\nSubject: inner\r\n\r\n)");
	assert_has(
	    talk(c, "FETCH 1 (BODY.PEEK[7.2] BODY.PEEK[1.HEADER])"), "(BODY[7.2] NIL BODY[1.HEADER] NIL)");
}

/* \Seen comes with the text and only with it; one STORE at the end. */
static void sets_seen(void **state)
{
	struct client *c = with_message(*state, HEADER TEXT);

	append_text(c, "box", "", HEADER TEXT);
	assert_has_not(talk(c, "FETCH 1:2 (BODY.PEEK[] RFC822.HEADER ENVELOPE BODY)"), "\\Seen");
	assert_has(talk(c, "FETCH 1 BODY[TEXT]<0.1>"),
	    "* 1 FETCH (BODY[TEXT]<0> {1}\r\nl)\r\n* 1 FETCH (FLAGS (\\Seen \\Recent))\r\nT OK");
	assert_has_not(talk(c, "FETCH 1 BODY[TEXT]<0.1>"), "FLAGS");
	assert_has(talk(c, "UID FETCH 2 RFC822.TEXT"), "* 2 FETCH (UID 2 FLAGS (\\Seen");
	assert_has(talk(c, "STORE 1:2 -FLAGS.SILENT (\\Seen)"), "T OK");
	assert_has(talk(c, "FETCH 1:2 RFC822"), "* 2 FETCH (FLAGS (\\Seen");
	assert_has(talk(c, "STORE 1:2 -FLAGS.SILENT (\\Seen)"), "T OK");
	assert_has(talk(c, "EXAMINE box"), "T OK");
	assert_has_not(talk(c, "FETCH 1 BODY[]"), "\\Seen");
}

static void bad_fetches(void **state)
{
	static const char *const bad[] = {"FETCH", "FETCH 1", "FETCH 1 ", "FETCH 1 NONSENSE",
	    "FETCH 1 (FLAGS", "FETCH 1 FLAGS)", "FETCH 1 ()", "FETCH 1 (ALL)", "FETCH 1 FLAGS UID",
	    "FETCH 1 BODY[", "FETCH 1 BODY[1", "FETCH 1 BODY[0]", "FETCH 1 BODY[1.]", "FETCH 1 BODY[1.0]",
	    "FETCH 1 BODY[.1]", "FETCH 1 BODY[MIME]", "FETCH 1 BODY[HEADER.FIELDS]",
	    "FETCH 1 BODY[HEADER.FIELDS ()]", "FETCH 1 BODY[HEADER.FIELDS (a b]",
	    "FETCH 1 BODY[1.HEADER.FIELDS]", "FETCH 1 BODY[TEXT.1]", "FETCH 1 BODY[FROB]",
	    "FETCH 1 BODY[4294967296]", "FETCH 1 BINARY[TEXT]", "FETCH 1 RFC822[1]",
	    "FETCH 1 BODY[HEADER.FIELDS (\"a\001\")]", "FETCH 1 BODY[HEADER.FIELDS (a:b)]",
	    "FETCH 1 BODY[]<5", "FETCH 1 BODY[]<a.b>", "FETCH 1 (FLAGS  UID)",
	    /* attack-082 */
	    "FETCH 0 FLAGS", "FETCH 2 FLAGS", "FETCH 1:2:3 FLAGS", "FETCH , FLAGS", "FETCH 1, FLAGS",
	    "FETCH a FLAGS", "FETCH 4294967296 FLAGS", "UID FETCH 0 FLAGS", "UID FETCH 1:4294967296 FLAGS",
	    "FETCH -1 FLAGS", "FETCH 4294967295 FLAGS"};
	struct client *c = with_message(*state, HEADER TEXT);
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		const char *answer = talk(c, "%s", bad[i]);

		if (strncmp(answer, "T BAD ", 6) != 0)
			fail_msg("%s: %s", bad[i], answer);
		assert_has(talk(c, "NOOP"), "T OK");
	}
	assert_has(talk(c, "UID FETCH 4294967295 UID"), "T OK");
	assert_has(talk(c, "FETCH *:1,1,1:* UID"), "* 1 FETCH (UID 1)\r\nT OK");
}

/* attack-082: 10^4 times everything is everything once. attack-086: items without end, parts without bottom.
 */
static void fetch_floods(void **state)
{
	struct client *c = with_message(*state, HEADER TEXT);
	AUTO_BUF struct buf b = BUF_INIT;
	int i;

	for (i = 0; i < 10000; i++)
		buf_adds(&b, i > 0 ? ",1:*" : "1:*");
	assert_string_equal(
	    talk(c, "FETCH %s UID", buf_cstr(&b)), "* 1 FETCH (UID 1)\r\nT OK FETCH completed\r\n");
	buf_reset(&b);
	for (i = 0; i < 101; i++)
		buf_printf(&b, "%sBODY.PEEK[%d]", i > 0 ? " " : "", i + 1);
	assert_has(talk(c, "FETCH 1 (%s)", buf_cstr(&b)), "T BAD Too many FETCH items");
	buf_reset(&b);
	for (i = 0; i < 10000; i++)
		buf_adds(&b, i > 0 ? ".1" : "1");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[%s]", buf_cstr(&b)), "T BAD Section is too deep");
	buf_truncate(&b, 199);
	assert_has(talk(c, "FETCH 1 BODY.PEEK[%s]", buf_cstr(&b)), "T OK");
	buf_reset(&b);
	for (i = 0; i < 10000; i++)
		buf_adds(&b, i > 0 ? " x" : "x");
	assert_has(talk(c, "FETCH 1 BODY.PEEK[HEADER.FIELDS (%s)]", buf_cstr(&b)), "T OK");
}

/* NUL may stand in no string: APPEND takes none, and what is there already goes out as 0x80, in its place. */
static void nul_octets(void **state)
{
	static const char text[] = "Subject: a\0b\r\n\r\n\0\0\r\n";
	struct world *w = *state;
	struct client *c = connect_client(w);
	struct fixture *f = w->f;
	struct append *a;
	const char *answer;
	uint32_t uidvalidity, *uids;
	size_t count;

	SEND(c, "x APPEND box {20+}\r\nSubject: a\0b\r\n\r\n\0\0\r\n\r\n");
	assert_has(until(c, "x"), "x NO [CANNOT] A message may not contain NUL");
	assert_has(talk(c, "STATUS box (MESSAGES)"), "(MESSAGES 0)");
	ok(f, append_begin(f->s, "box", &a, &f->e));
	ok(f, append_message(a, 0, NULL, 0, 0, 0, sizeof(text) - 1, &f->e));
	ok(f, append_write(a, str_mem(text, sizeof(text) - 1), &f->e));
	ok(f, append_commit(&a, &uidvalidity, f->a, &uids, &count, &f->e));
	talk(c, "SELECT box");
	answer = talk(c, "FETCH 1 (BODY.PEEK[] BODY.PEEK[HEADER.FIELDS (Subject)])");
	assert_has(answer, "BODY[] {20}\r\nSubject: a\200b\r\n\r\n\200\200\r\n");
	assert_has(answer, "BODY[HEADER.FIELDS (Subject)] {16}\r\nSubject: a\200b\r\n\r\n)");
	assert_has(talk(c, "FETCH 1 (BINARY.SIZE[1] BINARY.PEEK[1]<2.2> BINARY.PEEK[1]<0.2>)"),
	    "(BINARY.SIZE[1] 4 BINARY[1]<2> {2}\r\n\r\n BINARY[1]<0> ~{2}\r\n");
}

/* A message much larger than any buffer comes back as it went. */
static void large_message(void **state)
{
	struct client *c = connect_client(*state);
	AUTO_BUF struct buf b = BUF_INIT;
	const char *answer, *at;
	int i;

	buf_adds(&b, "Subject: large\r\n\r\n");
	for (i = 0; i < 100000; i++)
		buf_printf(&b, "line number %d of a message that is large\r\n", i);
	assert_has(append_text(c, "box", "", buf_cstr(&b)), "T OK");
	talk(c, "SELECT box");
	answer = talk(c, "FETCH 1 (BODY.PEEK[] UID)");
	at = strstr(answer, "}\r\n");
	assert_non_null(at);
	assert_memory_equal(at + 3, b.p, b.n);
	assert_string_equal(at + 3 + b.n, " UID 1)\r\nT OK FETCH completed\r\n");
	answer = talk(c, "FETCH 1 BODY.PEEK[]<2000000.20>");
	assert_memory_equal(strstr(answer, "}\r\n") + 3, b.p + 2000000, 20);
}

/* ---- STORE ---- */
static void stores(void **state)
{
	struct client *c = with_message(*state, HEADER TEXT);

	append_text(c, "box", "", HEADER TEXT);
	talk(c, "NOOP");
	assert_string_equal(talk(c, "STORE 1 +FLAGS (\\Deleted)"),
	    "* 1 FETCH (FLAGS (\\Deleted \\Recent))\r\nT OK STORE completed\r\n");
	assert_string_equal(talk(c, "STORE 1 -FLAGS (\\Deleted)"),
	    "* 1 FETCH (FLAGS (\\Recent))\r\nT OK STORE completed\r\n");
	assert_has(talk(c, "STORE 1 FLAGS (\\Answered \\Draft)"), "(FLAGS (\\Answered \\Draft \\Recent))");
	assert_has(talk(c, "STORE 1 FLAGS \\Seen \\Flagged"),
	    "(FLAGS (\\Flagged \\Seen \\Recent))"); /* without () */
	assert_has(talk(c, "STORE 1 FLAGS ()"), "(FLAGS (\\Recent))");
	assert_string_equal(talk(c, "STORE 1:2 +flags.silent (\\Seen)"), "T OK STORE completed\r\n");
	assert_has(talk(c, "UID STORE 2 +FLAGS (work)"), "* 2 FETCH (UID 2 FLAGS (\\Seen");
	assert_string_equal(talk(c, "UID STORE 7 +FLAGS (work)"), "T OK STORE completed\r\n");
	assert_has(talk(c, "STORE 2 -FLAGS (WORK other)"), "* 2 FETCH (FLAGS (\\Seen");
	assert_has_not(talk(c, "FETCH 2 FLAGS"), "work");
	assert_has(talk(c, "STORE 1 XFLAGS (\\Seen)"), "T BAD");
	assert_has(talk(c, "STORE 1 +FLAGS"), "T BAD");
	assert_has(talk(c, "STORE 1 +FLAGS (\\Seen) x"), "T BAD");
	assert_has(talk(c, "STORE 1 +FLAGS (\\Recent)"), "T BAD");
	assert_has(talk(c, "STORE 3 +FLAGS (\\Seen)"), "T BAD");
}

/* ---- COPY, EXPUNGE ---- */
static void copies(void **state)
{
	struct client *c = with_message(*state, HEADER TEXT);
	const char *answer;

	append_text(c, "box", "(\\Flagged kept) ", HEADER TEXT);
	append_text(c, "box", "", HEADER TEXT);
	talk(c, "CREATE target");
	answer = talk(c, "COPY 2:3 target");
	assert_has(answer, "T OK [COPYUID ");
	assert_has(answer, " 2:3 1:2] COPY completed\r\n");
	assert_has(talk(c, "UID COPY 1 target"), " 1 3] COPY completed");
	assert_has(talk(c, "UID COPY 99 target"), "T OK COPY completed: no such messages");
	assert_has(talk(c, "COPY 1 nosuch"), "T NO [TRYCREATE] ");
	assert_has(talk(c, "COPY 1"), "T BAD");
	assert_has(talk(c, "COPY 4 target"), "T BAD");
	assert_has(talk(c, "COPY 1 box"), "* 4 EXISTS\r\n"); /* onto itself */
	talk(c, "SELECT target");
	assert_has(talk(c, "FETCH 1 (FLAGS BODY.PEEK[TEXT])"),
	    "(FLAGS (\\Flagged \\Recent kept) BODY[TEXT] {33}\r\n" TEXT ")");
}

static void expunges(void **state)
{
	struct client *c = with_message(*state, HEADER TEXT);

	append_text(c, "box", "(\\Deleted) ", HEADER TEXT);
	append_text(c, "box", "(\\Deleted) ", HEADER TEXT);
	append_text(c, "box", "", HEADER TEXT);
	talk(c, "NOOP");
	assert_has(talk(c, "UID EXPUNGE 1:2"), "* 2 EXPUNGE\r\n* 3 RECENT\r\nT OK");
	assert_has(talk(c, "EXPUNGE"), "* 2 EXPUNGE\r\n");
	assert_string_equal(talk(c, "EXPUNGE"), "T OK EXPUNGE completed\r\n");
	assert_has(talk(c, "UID FETCH 1:* UID"), "* 1 FETCH (UID 1)\r\n* 2 FETCH (UID 4)\r\n");
	assert_has(talk(c, "UID EXPUNGE"), "T BAD");
	assert_has(talk(c, "EXPUNGE 1"), "T BAD");
}

/* ---- SEARCH ---- */
static struct client *with_searchable(struct world *w)
{
	struct client *c = connect_client(w);

	append_text(c, "box", "(\\Seen work) \"01-Feb-2020 12:00:00 +0000\" ",
	    "From: alice@example.org\r\nTo: team@example.net\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= aus "
	    "Berlin\r\n"
	    "Date: Sat, 1 Feb 2020 12:00:00 +0000\r\n\r\nneedle here\r\n");
	append_text(c, "box", "(\\Flagged) \"10-Mar-2021 12:00:00 +0000\" ",
	    "From: Bob <bob@example.org>\r\nCc: carol@example.net\r\nSubject: second\r\n"
	    "Date: Tue, 9 Mar 2021 23:59:59 -0500\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Content-Transfer-Encoding: base64\r\n\r\nSGVsbG8gbmVlZGxlIMOc\r\n");
	append_text(c, "box", "\"20-Mar-2022 12:00:00 +0000\" ", "Subject: third\r\n\r\nhay\r\n");
	talk(c, "SELECT box");
	return c;
}

static void searches(void **state)
{
	static const struct {
		const char *keys, *found;
	} cases[] = {
	    {"ALL", " 1 2 3"},
	    {"2:*", " 2 3"},
	    {"*", " 3"},
	    {"NOT 2", " 1 3"},
	    {"SEEN", " 1"},
	    {"UNSEEN FLAGGED", " 2"},
	    {"OR SEEN FLAGGED", " 1 2"},
	    {"OR (SEEN FLAGGED) NOT (OR SEEN FLAGGED)", " 3"},
	    {"UNDELETED UNANSWERED UNDRAFT UNFLAGGED", " 1 3"},
	    {"ANSWERED", ""},
	    {"DELETED", ""},
	    {"DRAFT", ""},
	    {"KEYWORD work", " 1"},
	    {"KEYWORD WORK", " 1"},
	    {"UNKEYWORD work", " 2 3"},
	    {"KEYWORD nosuch", ""},
	    {"RECENT", " 1 2 3"},
	    {"NEW", " 2 3"},
	    {"OLD", ""},
	    {"FROM ALICE", " 1"},
	    {"TO team", " 1"},
	    {"CC carol", " 2"},
	    {"BCC x", ""},
	    {"SUBJECT berlin", " 1"},
	    {"CHARSET UTF-8 SUBJECT \"gr\303\274\303\237e\"", " 1"},
	    {"SUBJECT \"gr\303\274\303\237e\"", " 1"},
	    {"CHARSET ISO-8859-1 SUBJECT {5+}\r\ngr\374\337e", " 1"},
	    {"HEADER Subject \"\"", " 1 2 3"},
	    {"HEADER X-None \"\"", ""},
	    {"HEADER Cc carol", " 2"},
	    {"BODY needle", " 1 2"},
	    {"TEXT third", " 3"},
	    {"BODY third", ""},
	    {"SINCE 10-Mar-2021", " 2 3"},
	    {"BEFORE \"10-Mar-2021\"", " 1"},
	    {"ON 20-Mar-2022", " 3"},
	    {"SENTON 9-Mar-2021", " 2"},
	    {"SENTBEFORE 1-Jan-2021", " 1"},
	    {"SENTSINCE 1-Jan-2021", " 2"},
	    {"SMALLER 30", " 3"},
	    {"LARGER 100", " 1 2"},
	    {"OLDER 60", " 1 2 3"},
	    {"YOUNGER 60", ""},
	    {"UID 2:9", " 2 3"},
	    {"UID 99", ""},
	    {"1,3 (UNSEEN)", " 3"},
	};
	struct client *c = with_searchable(*state);
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const char *want =
		    arena_printf(c->f->a, "* SEARCH%s\r\nT OK SEARCH completed\r\n", cases[i].found);
		const char *answer = talk(c, "SEARCH %s", cases[i].keys);

		if (strcmp(answer, want) != 0)
			fail_msg("%s: %s", cases[i].keys, answer);
	}
	assert_has(talk(c, "UID SEARCH SUBJECT third"), "* SEARCH 3\r\n");
}

static void bad_searches(void **state)
{
	static const char *const bad[] = {"SEARCH", "SEARCH ", "SEARCH OR SEEN", "SEARCH (SEEN",
	    "SEARCH SEEN)", "SEARCH ()", "SEARCH NOT", "SEARCH NONSENSE", "SEARCH SINCE yesterday",
	    "SEARCH SINCE 32-Jan-2020", "SEARCH FROM", "SEARCH LARGER x", "SEARCH OLDER 0",
	    "SEARCH 4:", "SEARCH 0", "SEARCH UID x", "SEARCH KEYWORD (x)", "SEARCH CHARSET UTF-8",
	    "SEARCH HEADER x", "SEARCH SEEN  UNSEEN", "SEARCH RETURN (SAVED) ALL"};
	struct client *c = with_searchable(*state);
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		const char *answer = talk(c, "%s", bad[i]);

		if (strncmp(answer, "T BAD ", 6) != 0)
			fail_msg("%s: %s", bad[i], answer);
		assert_has(talk(c, "NOOP"), "T OK");
	}
	/* attack-085 */
	assert_has(talk(c, "SEARCH CHARSET X-NO-SUCH TEXT a"), "T NO [BADCHARSET (US-ASCII UTF-8 ");
	assert_has(talk(c, "SEARCH CHARSET UTF-8 TEXT \"\374\""), "T NO The text is not in the charset");
	assert_has(talk(c, "SEARCH TEXT \"\374\""), "T NO The text is not in UTF-8");
	assert_has(talk(c, "SEARCH CHARSET \"\" TEXT a"), "T NO [BADCHARSET");
}

/* attack-084 */
static void search_floods(void **state)
{
	struct client *c = with_searchable(*state);
	AUTO_BUF struct buf b = BUF_INIT;
	int i;

	for (i = 0; i < 10000; i++)
		buf_adds(&b, "NOT ");
	assert_has(talk(c, "SEARCH %sSEEN", buf_cstr(&b)), "T BAD Search keys are nested too deep");
	buf_truncate(&b, 4 * 499);
	assert_has(talk(c, "SEARCH %sSEEN", buf_cstr(&b)), "* SEARCH 2 3\r\n");
	buf_reset(&b);
	for (i = 0; i < 10000; i++)
		buf_adds(&b, "(");
	assert_has(talk(c, "SEARCH %s", buf_cstr(&b)), "T BAD Search keys are nested too deep");
	buf_reset(&b);
	for (i = 0; i < 1001; i++)
		buf_adds(&b, " SEEN");
	assert_has(talk(c, "SEARCH%s", buf_cstr(&b)), "T BAD Too many search keys");
	buf_truncate(&b, 5 * 900);
	assert_has(talk(c, "SEARCH%s", buf_cstr(&b)), "* SEARCH 1\r\n");
}

/* Driver faults reach the client as NO with a code and say nothing of files; the session goes on. */
/* All of it, or nothing is lost: a copy that was made is told, and the message stays where it was. */
static void moves(void **state)
{
	struct world *w = *state;
	struct client *c = connect_client(w);
	const char *answer;

	assert_has(talk(c, "CREATE #driver.fail/broken"), "T OK");
	append_text(c, "broken", "(\\Flagged kept) ", HEADER TEXT);
	append_text(c, "broken", "", HEADER TEXT);
	assert_has(talk(c, "SELECT broken"), "* 2 EXISTS");
	set_option(w->f, FAIL(w->f), "callback", "expunge");
	set_option(w->f, FAIL(w->f), "code", "quota");
	answer = talk(c, "MOVE 1 box");
	set_option(w->f, FAIL(w->f), "callback", "");
	assert_has(answer, "* OK [COPYUID ");
	assert_has(answer, " 1 1] Copied\r\n");
	assert_has(answer, "T NO [OVERQUOTA] ");
	assert_has_not(answer, "EXPUNGE");
	assert_has(talk(c, "FETCH 1 (UID FLAGS)"), "UID 1 FLAGS (\\Flagged ");
	answer = talk(c, "UID MOVE 1:2 box");
	assert_has(answer, " 1:2 2:3] Copied\r\n* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n");
	assert_has(answer, "T OK MOVE completed\r\n");
	assert_has(talk(c, "SELECT box"), "* 3 EXISTS");
	assert_has(talk(c, "FETCH 2 FLAGS"), "(\\Flagged ");
	assert_has(talk(c, "FETCH 2 FLAGS"), " kept)");
	assert_has(talk(c, "UID MOVE 99 broken"), "T OK MOVE completed: no such messages");
	assert_has(talk(c, "EXAMINE box"), "T OK");
	assert_has(talk(c, "MOVE 1 broken"), "T NO Mailbox is open read-only");
}

/* attack-084: one message may name thousands that are not there. */
static void thread_limit(void **state)
{
	struct world *w = *state;
	AUTO_BUF struct buf text = BUF_INIT;
	struct client *c;
	int i;

	buf_adds(&text, "References:");
	for (i = 0; i < 20; i++)
		buf_printf(&text, " <%d@x>", i);
	buf_adds(&text, "\r\n\r\nx\r\n");
	w->o.thread_ids = 20;
	c = with_message(w, buf_cstr(&text));
	assert_string_equal(
	    talk(c, "THREAD REFERENCES UTF-8 ALL"), "T NO [LIMIT] Too many messages to thread\r\n");
	assert_string_equal(
	    talk(c, "THREAD ORDEREDSUBJECT UTF-8 ALL"), "* THREAD (1)\r\nT OK THREAD completed\r\n");
	assert_has(talk(c, "SORT (SUBJECT) UTF-8 ALL"), "* SORT 1\r\n");
}

static void driver_fails(void **state)
{
	static const struct {
		const char *callback, *code, *command, *answer;
	} cases[] = {
	    {"set_flags", "quota", "STORE 1 +FLAGS (\\Seen)",
	        "T NO [OVERQUOTA] No space left for this operation\r\n"},
	    {"lock", "inuse", "STORE 1 +FLAGS (\\Seen)", "T NO [INUSE] Mailbox is in use\r\n"},
	    {"read", "io", "FETCH 1 BODY.PEEK[]", "T NO [UNAVAILABLE] Input/output error\r\n"},
	    {"read", "corrupt", "FETCH 1 (UID BODY.PEEK[] FLAGS)",
	        "* 1 FETCH (UID 1 FLAGS (\\Recent))\r\nT NO [CORRUPTION] Mailbox is damaged\r\n"},
	    {"read", "corrupt", "FETCH 1 (BODYSTRUCTURE ENVELOPE)",
	        "T NO [CORRUPTION] Mailbox is damaged\r\n"},
	    {"read", "io", "SEARCH TEXT x", "T NO [UNAVAILABLE] Input/output error\r\n"},
	    {"read", "io", "COPY 1 box", "T NO [UNAVAILABLE] Input/output error\r\n"},
	    {"read", "io", "MOVE 1 box", "T NO [UNAVAILABLE] Input/output error\r\n"},
	    {"append_commit", "quota", "MOVE 1 broken",
	        "T NO [OVERQUOTA] No space left for this operation\r\n"},
	    {"append_commit", "quota", "COPY 1 broken",
	        "T NO [OVERQUOTA] No space left for this operation\r\n"},
	    {"append_commit", "quota", "APPEND broken {1+}\r\na",
	        "T NO [OVERQUOTA] No space left for this operation\r\n"},
	    {"append_write", "quota", "APPEND broken {1+}\r\na {5+}\r\nbbbbb",
	        "T NO [OVERQUOTA] No space left for this operation\r\n"},
	    {"sync", "corrupt", "NOOP", "* NO [CORRUPTION] Mailbox is damaged\r\nT OK NOOP completed\r\n"},
	    {"open", "perm", "STATUS broken2 (MESSAGES)", "T NO [NOPERM] Permission denied\r\n"},
	};
	struct world *w = *state;
	struct client *c = connect_client(w);
	size_t i;

	assert_has(talk(c, "CREATE #driver.fail/broken"), "T OK");
	assert_has(talk(c, "CREATE #driver.fail/broken2"), "T OK");
	append_text(c, "broken", "", HEADER TEXT);
	assert_has(talk(c, "SELECT broken"), "* 1 EXISTS");
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const char *answer;

		set_option(w->f, FAIL(w->f), "callback", cases[i].callback);
		set_option(w->f, FAIL(w->f), "code", cases[i].code);
		answer = talk(c, "%s", cases[i].command);
		if (strcmp(answer, cases[i].answer) != 0)
			fail_msg("%s, %s: %s", cases[i].callback, cases[i].command, answer);
		set_option(w->f, FAIL(w->f), "callback", "");
		assert_string_equal(talk(c, "NOOP"), "T OK NOOP completed\r\n");
		assert_has(talk(c, "FETCH 1 FLAGS"), "* 1 FETCH (FLAGS (\\Recent))\r\nT OK");
	}
	/* The text was sent; only the flag could not be kept. */
	set_option(w->f, FAIL(w->f), "callback", "set_flags");
	set_option(w->f, FAIL(w->f), "code", "quota");
	assert_has(talk(c, "FETCH 1 BODY[TEXT]<0.1>"), "<0> {1}\r\nl)\r\n* NO [OVERQUOTA] ");
	/* CLOSE leaves the mailbox whatever happens, and loses nothing. */
	set_option(w->f, FAIL(w->f), "callback", "");
	assert_string_equal(talk(c, "EXPUNGE"), "T OK EXPUNGE completed\r\n");
	talk(c, "STORE 1 +FLAGS.SILENT (\\Deleted)");
	set_option(w->f, FAIL(w->f), "code", "inuse");
	set_option(w->f, FAIL(w->f), "callback", "lock");
	assert_string_equal(talk(c, "EXPUNGE"), "T NO [INUSE] Mailbox is in use\r\n");
	set_option(w->f, FAIL(w->f), "code", "quota");
	set_option(w->f, FAIL(w->f), "callback", "expunge");
	assert_has(talk(c, "CLOSE"),
	    "* NO [OVERQUOTA] No space left for this operation\r\nT OK CLOSE completed\r\n");
	set_option(w->f, FAIL(w->f), "callback", "");
	assert_has(talk(c, "STATUS broken (MESSAGES)"), "MESSAGES 1");
}

/* RFC 8508 §3.4: what fails before the new message is there changes nothing; after it, nothing is lost. */
static void replace_fails(void **state)
{
	static const struct {
		const char *callback, *command;
	} before[] = {
	    {"lock", "REPLACE 1 broken {3+}\r\nabc"},
	    {"append_begin", "REPLACE 1 broken {3+}\r\nabc"},
	    {"append_write", "REPLACE 1 broken {3+}\r\nabc"},
	    {"append_commit", "REPLACE 1 broken {3+}\r\nabc"},
	    {"append_commit", "UID REPLACE 1 broken CATENATE (URL \"/broken/;UID=1\" TEXT {3+}\r\nabc)"},
	    {"lock", "REPLACE 1 box {3+}\r\nabc"},
	    {"read", "REPLACE 1 box CATENATE (URL \"/broken/;UID=1\")"},
	};
	struct world *w = *state;
	struct client *c = connect_client(w);
	const char *answer;
	size_t i;

	assert_has(talk(c, "CREATE #driver.fail/broken"), "T OK");
	append_text(c, "broken", "", HEADER TEXT);
	assert_has(talk(c, "SELECT broken"), "* 1 EXISTS");
	set_option(w->f, FAIL(w->f), "code", "quota");
	for (i = 0; i < ARRAY_LEN(before); i++) {
		set_option(w->f, FAIL(w->f), "callback", before[i].callback);
		answer = talk(c, "%s", before[i].command);
		if (strcmp(answer, "T NO [OVERQUOTA] No space left for this operation\r\n") != 0)
			fail_msg("%s, %s: %s", before[i].callback, before[i].command, answer);
		set_option(w->f, FAIL(w->f), "callback", "");
		assert_string_equal(talk(c, "NOOP"), "T OK NOOP completed\r\n");
		assert_has(talk(c, "UID SEARCH ALL"), "* SEARCH 1\r\n");
		assert_has(talk(c, "STATUS box (MESSAGES)"), "(MESSAGES 0)");
	}
	/* The new message is there, and the client knows; the old one could not be taken away. */
	set_option(w->f, FAIL(w->f), "callback", "expunge");
	answer = talk(c, "REPLACE 1 box {3+}\r\nabc");
	assert_has(answer, "* OK [APPENDUID ");
	assert_has(answer, "T NO [OVERQUOTA] ");
	assert_has_not(answer, "EXPUNGE");
	assert_has(talk(c, "UID SEARCH ALL"), "* SEARCH 1\r\n");
	assert_has(talk(c, "STATUS box (MESSAGES)"), "(MESSAGES 1)");
	set_option(w->f, FAIL(w->f), "callback", "");
	answer = talk(c, "REPLACE 1 box {3+}\r\nabc");
	assert_has(answer, "* 1 EXPUNGE\r\n");
	assert_has(answer, "T OK");
	assert_has(talk(c, "STATUS box (MESSAGES)"), "(MESSAGES 2)");
}

/* imap.catenate_parts, store.message_size: refused before the client sends what is too much. */
static void catenate_limits(void **state)
{
	struct world *w = *state;
	struct client *c;

	w->o.catenate_parts = 2;
	c = with_message(w, HEADER TEXT);
	assert_has(talk(c, "APPEND box CATENATE (URL \";UID=1\" TEXT {3+}\r\nabc)"), "T OK");
	assert_string_equal(talk(c, "APPEND box CATENATE (URL \";UID=1\" URL \";UID=1\" TEXT {3}"),
	    "T NO [LIMIT] Too many pieces in one CATENATE\r\n");
	assert_string_equal(talk(c, "APPEND box CATENATE (URL \";UID=1\" TEXT {4611686018427387904}"),
	    "T NO [TOOBIG] Message is too large\r\n");
	assert_string_equal(talk(c, "APPEND box CATENATE (TEXT {3+}\r\nabc TEXT {9223372036854775807}"),
	    "T NO [TOOBIG] Message is too large\r\n");
	assert_string_equal(
	    talk(c, "APPEND box ~{4611686018427387904}"), "T NO [TOOBIG] Message is too large\r\n");
	assert_has(talk(c, "STATUS box (MESSAGES)"), "(MESSAGES 2)");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(appends),
	    TEST(several_in_one),
	    TEST(bad_appends),
	    TEST(gone_while_appending),
	    TEST(append_limits),
	    TEST(many_keywords),
	    TEST(fetches),
	    TEST(partials),
	    TEST(parts),
	    TEST(sets_seen),
	    TEST(bad_fetches),
	    TEST(fetch_floods),
	    TEST(nul_octets),
	    TEST(large_message),
	    TEST(stores),
	    TEST(copies),
	    TEST(expunges),
	    TEST(searches),
	    TEST(bad_searches),
	    TEST(search_floods),
	    TEST(thread_limit),
	    TEST(driver_fails),
	    TEST(replace_fails),
	    TEST(catenate_limits),
	    TEST(moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
