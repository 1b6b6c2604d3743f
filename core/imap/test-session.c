/*
 * The session itself: greeting, states, mailboxes by name, limits, ends, two sessions.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "imap/capability.h"
#include "imap/test-support.h"
#include "base/banned.h"

static void greets(void **state)
{
	struct world *w = *state;
	const char *greeting;
	struct client *c = connect_greeted(w, &greeting);

	assert_has(greeting, "login OK [CAPABILITY IMAP4rev1 ");
	assert_has(greeting, "] Logged in\r\n");
	assert_has_not(greeting, " AUTH=");
	w->preauth = true;
	c = connect_greeted(w, &greeting);
	assert_has(greeting, "* PREAUTH [CAPABILITY IMAP4rev1 ");
	assert_string_equal(talk(c, "NOOP"), "T OK NOOP completed\r\n");
}

static void session_commands(void **state)
{
	struct client *c = connect_client(*state);

	assert_has(talk(c, "CAPABILITY"), "* CAPABILITY IMAP4rev1 ");
	assert_has(talk(c, "NAMESPACE"), "* NAMESPACE ((\"\" \"/\"))");
	assert_string_equal(talk(c, "ID NIL"), "* ID (\"name\" \"Mortise\")\r\nT OK ID completed\r\n");
	assert_has(talk(c, "ID (\"name\" \"x\" \"version\" NIL)"), "T OK");
	assert_has(talk(c, "ID ()"), "T OK");
	assert_has(talk(c, "ID"), "T BAD");
	assert_has(talk(c, "ID (\"name\")"), "T BAD");
	assert_has(talk(c, "ENABLE CONDSTORE X"), "* ENABLED CONDSTORE\r\nT OK");
	assert_has(talk(c, "ENABLE"), "T BAD");
	assert_has(talk(c, "noop"), "T OK");
	assert_has(talk(c, "NOOP x"), "T BAD");
	assert_has(talk(c, "LOGIN a b"), "T BAD Already logged in");
	assert_has(talk(c, "STARTTLS"), "T BAD Already logged in");
	assert_has(talk(c, "XYZZY"), "T BAD Unknown command");
	assert_has(talk(c, "UID"), "T BAD");
	assert_has(talk(c, "UID NOOP"), "T BAD Unknown command");
	assert_has(talk(c, "FETCH 1 FLAGS"), "T BAD No mailbox is selected");
	assert_has(talk(c, "NOOP"), "T OK"); /* ten bad ones in a row would end it */
	assert_has(talk(c, "LOGOUT"), "* BYE Logging out\r\nT OK LOGOUT completed\r\n");
	assert_string_equal(until_end(c), "");
	assert_int_equal(session_result(c), 0);
}

/* attack-099 */
static void id_floods(void **state)
{
	struct client *c = connect_client(*state);
	AUTO_BUF struct buf b = BUF_INIT;
	int i;

	for (i = 0; i < 31; i++)
		buf_printf(&b, "%s\"f%d\" NIL", i > 0 ? " " : "", i);
	assert_has(talk(c, "ID (%s)", buf_cstr(&b)), "T BAD Too many ID fields");
	assert_has(talk(c, "ID (\"0123456789012345678901234567890\" NIL)"), "T BAD ID field is too long");
	buf_reset(&b);
	for (i = 0; i < 1025; i++)
		buf_addc(&b, 'x');
	assert_has(talk(c, "ID (\"f\" \"%s\")", buf_cstr(&b)), "T BAD ID field is too long");
}

/* What the table says is in CAPABILITY, and every name is found. */
static void table(void **state)
{
	static const struct {
		const char *name, *capability;
	} commands[] = {
#define COMMAND(name, state, handler, flags, capability) {name, capability},
#include "imap/dispatch.def"
#undef COMMAND
	};
	struct client *c = connect_client(*state);
	AUTO_BUF struct buf list = BUF_INIT;
	size_t i;

	buf_addc(&list, ' ');
	capability_write(
	    &list, &(struct capability_facts){.authenticated = true, .unauthenticate = true, .jmap = true});
	buf_addc(&list, ' ');
	for (i = 0; i < ARRAY_LEN(commands); i++) {
		if (commands[i].capability != NULL)
			assert_has(buf_cstr(&list), arena_printf(c->f->a, " %s ", commands[i].capability));
		/* A stray argument makes each of them BAD; then the row is interrupted. */
		assert_has_not(talk(c, "%s \"", commands[i].name), "Unknown command");
		assert_has(talk(c, "NOOP"), "T OK");
	}
}

static void mailboxes(void **state)
{
	struct client *c = connect_client(*state);

	assert_string_equal(
	    talk(c, "LIST \"\" \"\""), "* LIST (\\Noselect) \"/\" \"\"\r\nT OK LIST completed\r\n");
	assert_has(talk(c, "LIST \"\" *"), "* LIST (\\Noinferiors \\Unmarked \\HasNoChildren) \"/\" box\r\n");
	assert_has(talk(c, "LIST \"\" *"), "\"/\" INBOX\r\n");
	assert_string_equal(talk(c, "CREATE box"), "T NO [ALREADYEXISTS] Mailbox already exists\r\n");
	assert_has(talk(c, "CREATE inBox"), "T NO");
	assert_has(talk(c, "CREATE {9+}\r\nwith (\"x\""), "T OK");
	assert_has(talk(c, "CREATE \"a \\\"b\\\"\""), "T OK");
	assert_has(talk(c, "LIST \"\" a*"), "\"/\" {5}\r\na \"b\"\r\n");
	assert_has(talk(c, "CREATE Entw&APw-rfe"), "T OK");
	assert_has(talk(c, "LIST \"\" Entw*"), "\"/\" Entw&APw-rfe\r\n");
	assert_has(talk(c, "RENAME Entw&APw-rfe x/y"), "T OK");
	assert_has(talk(c, "LIST \"\" %%"), "(\\Noselect \\HasChildren) \"/\" x\r\n");
	assert_has(talk(c, "RENAME nosuch z"), "T NO [NONEXISTENT]");
	assert_has(talk(c, "RENAME x/y box"), "T NO [ALREADYEXISTS]");
	assert_has(talk(c, "DELETE x/y"), "T OK");
	assert_has(talk(c, "DELETE x/y"), "T NO [NONEXISTENT]");
	assert_has(talk(c, "DELETE INBOX"), "T NO");
	assert_has(talk(c, "SUBSCRIBE box"), "T OK");
	assert_string_equal(talk(c, "LSUB \"\" *"), "* LSUB () \"/\" box\r\nT OK LSUB completed\r\n");
	assert_has(talk(c, "UNSUBSCRIBE box"), "T OK");
	assert_string_equal(talk(c, "LSUB \"\" *"), "T OK LSUB completed\r\n");
	assert_has(talk(c, "DELETE"), "T BAD");
	assert_has(talk(c, "RENAME a"), "T BAD");
}

/* attack-088, attack-089: names that are none, and names that lead somewhere else. */
static void bad_names(void **state)
{
	static const char *const bad[] = {
	    "a&b", "&", "&AGE-", "&2AA-", "&AOQ", "&AOQ=-", "\"a\303\"", "&AAo-x", "\"a\001b\""};
	static const char *const refused[] = {"../x", "a/../b", "/etc/passwd", "a//b", ".", "..", "\"\"",
	    "~/x", "#driver.nosuch/x", "#driver./x"};
	struct client *c = connect_client(*state);
	AUTO_BUF struct buf b = BUF_INIT;
	size_t i;

	for (i = 0; i < ARRAY_LEN(bad); i++) {
		const char *answer = talk(c, "CREATE %s", bad[i]);

		/* U+000A decodes; the store then refuses it. */
		if (strstr(answer, "T NO") == NULL)
			assert_has(answer, "T BAD Mailbox name is not in ");
		assert_has(talk(c, "NOOP"), "T OK");
	}
	for (i = 0; i < ARRAY_LEN(refused); i++) {
		assert_has(talk(c, "CREATE %s", refused[i]), "T NO");
		assert_has(talk(c, "SELECT %s", refused[i]), "T NO");
	}
	while (b.n < 10000)
		buf_adds(&b, "x/");
	assert_has(talk(c, "CREATE %s", buf_cstr(&b)), "T NO");
	/* attack-087 */
	buf_reset(&b);
	while (b.n < 20000)
		buf_adds(&b, "%*");
	assert_has(talk(c, "LIST \"\" %s", buf_cstr(&b)), "T OK");
}

static void status(void **state)
{
	struct client *c = connect_client(*state);

	append_text(c, "box", "(\\Seen) ", "Subject: 1\r\n\r\n1\r\n");
	append_text(c, "box", "", "Subject: 2\r\n\r\n2\r\n");
	assert_has(
	    talk(c, "STATUS box (UNSEEN MESSAGES UNSEEN)"), "* STATUS box (UNSEEN 1 MESSAGES 2)\r\nT OK");
	assert_has(talk(c, "STATUS box (uidnext)"), "* STATUS box (UIDNEXT 3)\r\n");
	assert_has(talk(c, "STATUS nosuch (MESSAGES)"), "T NO [NONEXISTENT]");
	assert_has(talk(c, "STATUS box (NONSENSE)"), "T BAD");
	assert_has(talk(c, "STATUS box ()"), "T BAD");
	assert_has(talk(c, "STATUS box"), "T BAD");
	/* Also of the selected mailbox, with the news. */
	assert_has(talk(c, "SELECT box"), "* 2 EXISTS\r\n* 2 RECENT\r\n");
	append_one(c->f, "box", "Subject: 3\r\n\r\n3\r\n", 0);
	assert_has(talk(c, "STATUS box (MESSAGES RECENT UNSEEN)"),
	    "* 3 EXISTS\r\n* 3 RECENT\r\n"
	    "* STATUS box (MESSAGES 3 RECENT 3 UNSEEN 2)");
}

static void selecting(void **state)
{
	struct client *c = connect_client(*state);
	const char *answer;

	append_text(c, "box", "(\\Seen) ", "Subject: 1\r\n\r\n1\r\n");
	append_text(c, "box", "", "Subject: 2\r\n\r\n2\r\n");
	answer = talk(c, "SELECT box");
	assert_has(answer, "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n");
	assert_has(answer, "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] ");
	assert_has(answer, "* 2 EXISTS\r\n* 2 RECENT\r\n* OK [UNSEEN 2] ");
	assert_has(answer, "* OK [UIDVALIDITY ");
	assert_has(answer, "* OK [UIDNEXT 3] ");
	assert_has(answer, "T OK [READ-WRITE] SELECT completed\r\n");
	assert_has_not(answer, "UIDNOTSTICKY");
	assert_has(talk(c, "DELETE box"), "T NO [INUSE]");
	assert_has(talk(c, "RENAME box x"), "T NO [INUSE]");
	answer = talk(c, "EXAMINE box");
	assert_has(answer, "* OK [PERMANENTFLAGS ()] ");
	assert_has(answer, "T OK [READ-ONLY] EXAMINE completed\r\n");
	assert_has(talk(c, "STORE 1 +FLAGS (\\Deleted)"), "T NO");
	assert_has(talk(c, "EXPUNGE"), "T NO");
	assert_has(talk(c, "CLOSE"), "T OK CLOSE completed");
	assert_has(talk(c, "CLOSE"), "T BAD");
	/* One that fails leaves nothing selected. */
	assert_has(talk(c, "SELECT box"), "T OK");
	assert_has(talk(c, "SELECT nosuch"), "T NO [NONEXISTENT]");
	assert_has(talk(c, "FETCH 1 FLAGS"), "T BAD");
	assert_has(talk(c, "SELECT box"), "T OK");
	assert_has(talk(c, "STORE 1 +FLAGS.SILENT (\\Deleted)"), "T OK");
	assert_has(talk(c, "UNSELECT"), "T OK");
	assert_has(talk(c, "STATUS box (MESSAGES)"), "MESSAGES 2");
	assert_has(talk(c, "SELECT box"), "T OK");
	assert_string_equal(talk(c, "CLOSE"), "T OK CLOSE completed\r\n");
	assert_has(talk(c, "STATUS box (MESSAGES)"), "MESSAGES 1");
}

/* UIDs that the format does not keep are said to be so. */
static void uid_not_sticky(void **state)
{
	struct world *w = *state;
	struct client *c;

	set_option(w->f, MEMORY(w->f), "assign_uids", "no");
	put_file(w->f, ".mortise", "in the way of the index");
	fixture_reopen(w->f);
	c = connect_client(w);
	append_text(c, "box", "", "Subject: 1\r\n\r\n1\r\n");
	assert_has(talk(c, "SELECT box"), "* NO [UIDNOTSTICKY] ");
	set_option(w->f, MEMORY(w->f), "assign_uids", "yes");
}

/* attack-026 */
static void bad_commands_end_it(void **state)
{
	struct client *c = connect_client(*state);
	int i;

	for (i = 0; i < 9; i++)
		assert_has(talk(c, "X"), "T BAD");
	assert_has(talk(c, "NOOP"), "T OK");
	for (i = 0; i < 10; i++)
		assert_has(talk(c, "X"), "T BAD");
	assert_string_equal(until_end(c), "* BYE Too many bad commands\r\n");
	assert_int_equal(session_result(c), MORTISE_E_LIMIT);
}

/* attack-075, 076, 079, 080, 081: the session goes on after each. */
static void bad_input(void **state)
{
	struct client *c = connect_client(*state);
	static const struct {
		struct str in;
		const char *answer;
	} cases[] = {
	    {STR_INIT("\r\n"), "* BAD Empty command\r\n"},
	    {STR_INIT("x\r\n"), "x BAD Missing command\r\n"},
	    {STR_INIT("x \r\n"), "x BAD Missing command\r\n"},
	    {STR_INIT(" NOOP\r\n"), "* BAD Invalid tag\r\n"},
	    {STR_INIT("* NOOP\r\n"), "* BAD Invalid tag\r\n"},
	    {STR_INIT("<i>x</i> NOOP\r\n"), "* BAD Invalid tag\r\n"}, /* attack-027 */
	    {STR_INIT("x <script>alert(1)</script>\r\n"), "x BAD Unknown command\r\n"},
	    {STR_INIT("x LIST \"\" a\0b\r\n"), "x BAD "},
	    {STR_INIT("x LIST \"\" \"a\0b\"\r\n"), "x BAD Control character in quoted string\r\n"},
	    {STR_INIT("x LIST \"\" \"a\rb\"\r\n"), "x BAD Control character in quoted string\r\n"},
	    {STR_INIT("x LIST \"\" {1+}\r\n\0\r\n"), "x BAD NUL in literal\r\n"},
	    {STR_INIT("x LIST \"\" \"abc\r\n"), "x BAD Quoted string without end\r\n"},
	    {STR_INIT("x LIST \"\" \"a\\b\"\r\n"), "x BAD Invalid escape in quoted string\r\n"},
	    {STR_INIT("x LIST \"\" {99999999999999999999}\r\n"), "x BAD Literal size is out of range\r\n"},
	    {STR_INIT("x LIST \"\" {70000}\r\n"), "x BAD Literal is too long\r\n"},
	    {STR_INIT("x LIST \"\" {-1}\r\n"), "x BAD "},
	    {STR_INIT("x LIST \"\" ~{1+}\r\na\r\n"), "x BAD Binary literal is not allowed here\r\n"},
	    {STR_INIT("x STORE 1 FLAGS (((\r\n"), "x BAD "},
	    {STR_INIT("x ID ((((((((\r\n"), "x BAD "},
	    {STR_INIT("x  NOOP\r\n"), "x BAD Missing command\r\n"},
	    {STR_INIT("x NOOP \r\n"), "x BAD "},
	    {STR_INIT("x LIST \"\"  *\r\n"), "x BAD "},
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(cases); i++) {
		const char *answer;

		send_raw(c, cases[i].in);
		answer = until(c, cases[i].answer[0] == '*' ? "*" : "x");
		if (strncmp(answer, cases[i].answer, strlen(cases[i].answer)) != 0)
			fail_msg("case %zu: %s", i, answer);
		assert_string_equal(talk(c, "NOOP"), "T OK NOOP completed\r\n");
	}
	SEND(c, "x LIST \"\" {99999999999999999999+}\r\n");
	assert_string_equal(
	    until_end(c), "x BAD Literal size is out of range\r\n* BYE Cannot follow any more\r\n");
}

/* attack-075, attack-078: a million parentheses, an argument list without end. */
static void large_commands(void **state)
{
	struct client *c = connect_client(*state);
	AUTO_BUF struct buf b = BUF_INIT;
	int i;

	buf_adds(&b, "x SEARCH ");
	for (i = 0; i < 1000000; i++)
		buf_addc(&b, '(');
	buf_adds(&b, "\r\n");
	send_raw(c, buf_str(&b));
	assert_string_equal(until(c, "x"), "x BAD Command line is too long\r\n");
	buf_reset(&b);
	buf_adds(&b, "x LIST");
	for (i = 0; i < 1000; i++)
		buf_adds(&b, " {1+}\r\na");
	buf_adds(&b, "\r\n");
	send_raw(c, buf_str(&b));
	assert_string_equal(until(c, "x"), "x BAD Too many literals in one command\r\n");
	assert_string_equal(talk(c, "NOOP"), "T OK NOOP completed\r\n");
}

/* Literals are asked for, and whole lines that came together are answered in order. */
static void pipelining(void **state)
{
	struct client *c = connect_client(*state);
	AUTO_BUF struct buf b = BUF_INIT;
	int i;

	SEND(c, "x LIST \"\" {1}\r\n");
	assert_string_equal(until(c, "+"), "+ Ready for literal\r\n");
	SEND(c, "*\r\n");
	assert_has(until(c, "x"), "x OK");
	/* attack-091, attack-093 */
	for (i = 0; i < 20000; i++)
		buf_printf(&b, "n%d NOOP\r\n", i);
	send_raw(c, buf_str(&b));
	assert_has(until(c, "n19999 "), "n0 OK NOOP completed\r\nn1 OK ");
	assert_string_equal(talk(c, "NOOP"), "T OK NOOP completed\r\n");
}

static void times_out(void **state)
{
	struct world *w = *state;
	struct client *c;

	w->o.idle_timeout = 30;
	c = connect_client(w);
	assert_string_equal(until_end(c), "* BYE Autologout: idle for too long\r\n");
	assert_int_equal(session_result(c), 0);
	/* attack-077 */
	w->o.idle_timeout = 60000;
	w->o.input_timeout = 30;
	c = connect_client(w);
	SEND(c, "x LIST \"\" {100}\r\n");
	assert_string_equal(
	    until_end(c), "+ Ready for literal\r\n* BYE Autologout: command not finished\r\n");
	c = connect_client(w);
	SEND(c, "x APPEND box {100}\r\nabc");
	assert_string_equal(
	    until_end(c), "+ Ready for message\r\n* BYE Autologout: message not finished\r\n");
	w->o.idle_timeout = 50;
	w->o.idle_keepalive = 20;
	c = connect_client(w);
	SEND(c, "x IDLE\r\n");
	assert_has(until_end(c), "* OK Still here\r\n");
}

static void is_stopped(void **state)
{
	struct client *c = connect_client(*state);

	assert_int_equal(io_write(c->stop[1], "x", 1), 0);
	assert_string_equal(until_end(c), "* BYE Server shutting down\r\n");
	assert_int_equal(session_result(c), MORTISE_E_CANCELLED);
	c = connect_client(*state);
	SEND(c, "x IDLE\r\n");
	assert_string_equal(until(c, "+"), "+ idling\r\n");
	assert_int_equal(io_write(c->stop[1], "x", 1), 0);
	assert_string_equal(until_end(c), "* BYE Server shutting down\r\n");
}

/* A client that sends everything and closes its side gets all its answers. */
static void half_closed(void **state)
{
	struct client *c = connect_client(*state);

	SEND(c, "a NOOP\r\nb SELECT box\r\nc LOGOUT\r\n");
	shutdown(c->fd, SHUT_WR);
	assert_has(until_end(c), "c OK LOGOUT completed\r\n");
}

/* ---- two sessions on one mailbox ---- */
static void three_messages(struct client *c)
{
	append_text(c, "box", "", "Subject: one\r\n\r\n1\r\n");
	append_text(c, "box", "", "Subject: two\r\n\r\n2\r\n");
	append_text(c, "box", "", "Subject: three\r\n\r\n3\r\n");
}

static void two_sessions(void **state)
{
	struct client *a = connect_client(*state), *b = connect_client(*state);

	three_messages(a);
	talk(a, "SELECT box");
	assert_has(talk(b, "SELECT box"), "* 3 EXISTS\r\n* 0 RECENT\r\n");
	assert_string_equal(talk(a, "STORE 1 +FLAGS (\\Flagged)"),
	    "* 1 FETCH (FLAGS (\\Flagged \\Recent))\r\nT OK STORE completed\r\n");
	assert_string_equal(talk(b, "NOOP"), "* 1 FETCH (FLAGS (\\Flagged))\r\nT OK NOOP completed\r\n");
	assert_string_equal(talk(b, "NOOP"), "T OK NOOP completed\r\n");
	append_text(a, "box", "", "Subject: four\r\n\r\n4\r\n");
	assert_has(talk(b, "CHECK"), "* 4 EXISTS\r\n");
	/* A keyword the other has not heard of. */
	assert_has(talk(a, "STORE 2 +FLAGS ($New)"), "* 2 FETCH (FLAGS (\\Recent $New");
	assert_has(talk(b, "NOOP"), "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $New)\r\n");
}

/* U9: EXPUNGE in no answer to FETCH, STORE, SEARCH by number. */
static void expunge_is_held_back(void **state)
{
	struct client *a = connect_client(*state), *b = connect_client(*state);

	three_messages(a);
	talk(a, "SELECT box");
	talk(b, "SELECT box");
	assert_has(talk(a, "STORE 2 +FLAGS.SILENT (\\Deleted)"), "T OK");
	assert_string_equal(talk(a, "EXPUNGE"), "* 2 EXPUNGE\r\n* 2 RECENT\r\nT OK EXPUNGE completed\r\n");
	assert_has_not(talk(b, "FETCH 1:3 FLAGS"), " EXPUNGE\r");
	assert_has_not(talk(b, "SEARCH ALL"), " EXPUNGE\r");
	assert_has_not(talk(b, "STORE 1 +FLAGS (\\Seen)"), "EXPUNGE\r");
	assert_has(talk(b, "FETCH 3 BODY.PEEK[TEXT]"), "* 3 FETCH (BODY[TEXT] {3}\r\n3\r\n)");
	/* Its text is gone; the others' is told all the same. */
	assert_string_equal(talk(b, "FETCH 1:3 BODY.PEEK[TEXT]"),
	    "* 1 FETCH (BODY[TEXT] {3}\r\n1\r\n)\r\n* 3 FETCH (BODY[TEXT] {3}\r\n3\r\n)\r\n"
	    "T NO [EXPUNGEISSUED] Some of the messages no longer exist\r\n");
	assert_has(talk(b, "SEARCH TEXT one"), "* SEARCH 1\r\nT OK [EXPUNGEISSUED]");
	assert_has(talk(b, "STORE 1:2 +FLAGS (\\Draft)"), "T NO [EXPUNGEISSUED]");
	assert_has(talk(b, "COPY 1:2 box"), "T NO [EXPUNGEISSUED]");
	assert_string_equal(talk(b, "NOOP"), "T OK NOOP completed\r\n"); /* told after COPY */
	assert_has(talk(b, "FETCH 2 BODY.PEEK[TEXT]"), "* 2 FETCH (BODY[TEXT] {3}\r\n3\r\n)");
	/* UID forms may tell. */
	talk(a, "NOOP");
	assert_has(talk(a, "STORE 1 +FLAGS.SILENT (\\Deleted)"), "T OK");
	talk(a, "EXPUNGE");
	assert_has(talk(b, "UID SEARCH ALL"), "* SEARCH 1 3\r\n* 1 EXPUNGE\r\nT OK");
}

/* A foreign change is told although STORE.SILENT was the command. */
static void silent_is_not_deaf(void **state)
{
	struct client *a = connect_client(*state), *b = connect_client(*state);

	three_messages(a);
	talk(a, "SELECT box");
	talk(b, "SELECT box");
	assert_string_equal(talk(a, "STORE 1 +FLAGS.SILENT (\\Seen)"), "T OK STORE completed\r\n");
	assert_has(
	    talk(b, "STORE 1:2 +FLAGS.SILENT (\\Draft)"), "* 1 FETCH (FLAGS (\\Seen \\Draft))\r\nT OK");
	assert_has(talk(a, "NOOP"), "* 1 FETCH (FLAGS (\\Seen \\Draft \\Recent))\r\n* 2 FETCH");
}

static void mailbox_goes_away(void **state)
{
	struct client *a = connect_client(*state), *b = connect_client(*state);

	talk(a, "SELECT box");
	assert_has(talk(b, "DELETE box"), "T OK");
	SEND(a, "x NOOP\r\n");
	assert_has(until_end(a), "* BYE The selected mailbox was deleted or replaced\r\n");
}

/* The kernel tells; the wait is for it, not for a time. */
static void touch(struct client *c)
{
	const char *path = arena_printf(c->f->a, "%s/mail/box", c->f->home);

	assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0);
}

static void idles(void **state)
{
	struct client *c = connect_client(*state);

	/* With nothing selected it only waits. */
	SEND(c, "x IDLE\r\n");
	assert_string_equal(until(c, "+"), "+ idling\r\n");
	SEND(c, "done\r\n");
	assert_string_equal(until(c, "x"), "x OK IDLE terminated\r\n");
	three_messages(c);
	talk(c, "SELECT box");
	SEND(c, "x IDLE\r\n");
	assert_string_equal(until(c, "+"), "+ idling\r\n");
	append_one(c->f, "box", "Subject: four\r\n\r\n4\r\n", 0);
	touch(c);
	assert_has(until(c, "* 4 RECENT"), "* 4 EXISTS\r\n");
	append_one(c->f, "box", "Subject: five\r\n\r\n5\r\n", 0);
	touch(c);
	assert_has(until(c, "* 5 RECENT"), "* 5 EXISTS\r\n");
	SEND(c, "DONE\r\n");
	assert_string_equal(until(c, "x"), "x OK IDLE terminated\r\n");
	assert_has(talk(c, "IDLE x"), "T BAD");
}

/* attack-092 */
static void bad_idle(void **state)
{
	static const char *const lines[] = {"y NOOP\r\n", "\r\n", "DONE \r\n", "y LOGIN {5}\r\n",
	    "y LOGIN {2+}\r\nab\r\n", "y APPEND box {3}\r\n", "y APPEND box {3+}\r\nabc\r\n"};
	struct client *c = connect_client(*state);
	size_t i;

	for (i = 0; i < ARRAY_LEN(lines); i++) {
		SEND(c, "x IDLE\r\n");
		until(c, "+");
		send_raw(c, str_of(lines[i]));
		assert_string_equal(until(c, "x"), "x BAD Expected DONE\r\n");
		assert_string_equal(talk(c, "NOOP"), "T OK NOOP completed\r\n");
	}
	/* DONE twice: the second is a command, and none. */
	SEND(c, "x IDLE\r\nDONE\r\nDONE\r\n");
	until(c, "x");
	assert_string_equal(until(c, "DONE"), "DONE BAD Missing command\r\n");
	SEND(c, "x IDLE\r\nDONE\r\ny NOOP\r\n");
	assert_string_equal(until(c, "y"), "+ idling\r\nx OK IDLE terminated\r\ny OK NOOP completed\r\n");
	/* Gone in the middle. */
	SEND(c, "x IDLE\r\n");
	until(c, "+");
	io_close(&c->fd);
	assert_int_equal(session_result(c), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, world_setup, world_teardown)

/* RFC 5465 §3.1, §5.8: too much to watch, at the command and later. */
static void notify_limit(void **state)
{
	struct world *w = *state;
	struct client *c, *other;
	int i;

	w->o.notify_watches = 10;
	c = connect_client(w);
	other = connect_client(w);
	assert_has(talk(c, "NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))"), "T OK");
	for (i = 0; i < 12; i++)
		assert_has(talk(other, "CREATE m%d", i), "T OK");
	assert_has(until(c, "* OK [NOTIFICATIONOVERFLOW] "), "* OK [NOTIFICATIONOVERFLOW] ");
	assert_has(talk(c, "NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))"),
	    "T NO [NOTIFICATIONOVERFLOW] ");
	assert_has(talk(c, "NOTIFY SET (mailboxes m1 (MessageNew MessageExpunge))"), "T OK");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(greets),
	    TEST(session_commands),
	    TEST(id_floods),
	    TEST(table),
	    TEST(mailboxes),
	    TEST(bad_names),
	    TEST(status),
	    TEST(selecting),
	    TEST(uid_not_sticky),
	    TEST(bad_commands_end_it),
	    TEST(bad_input),
	    TEST(large_commands),
	    TEST(pipelining),
	    TEST(times_out),
	    TEST(is_stopped),
	    TEST(half_closed),
	    TEST(two_sessions),
	    TEST(expunge_is_held_back),
	    TEST(silent_is_not_deaf),
	    TEST(mailbox_goes_away),
	    TEST(idles),
	    TEST(bad_idle),
	    TEST(notify_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
