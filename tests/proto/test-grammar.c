/* test-grammar.c: the grammar lets right lines pass and finds what is wrong with others. */
#include <stdio.h>

#include "grammar.h"
#include "base/banned.h"

static const char *const right[] = {
    "* OK text",
    "* BYE [UNAVAILABLE] text",
    "+ ",
    "+ Ready",
    "+ dGVzdA==",
    "a]1 OK [READ-WRITE] done",
    "a NO [BADCHARSET (UTF-8 \"US-ASCII\")] no",
    "a NO [BADCHARSET] no",
    "a OK [APPENDUID 1 4:6] done",
    "a OK [COPYUID 1 1:3,9 4:7] done",
    "* OK [PERMANENTFLAGS (\\Seen key \\*)] kept",
    "* OK [PERMANENTFLAGS ()] none",
    "* CAPABILITY IDLE IMAP4rev1 AUTH=PLAIN",
    "* FLAGS (\\Seen \\Draft $Label)",
    "* LIST () \"/\" INBOX",
    "* LIST (\\Noselect \\HasChildren) NIL \"a b\"",
    "* LIST (\\Marked) \"\\\\\" {3}\r\na%b",
    "* LIST (\\NonExistent \\Subscribed) \"/\" a",
    "* LIST (\\Drafts \\Trash \\Remote) \"/\" a",
    "* LIST () \"/\" a (CHILDINFO (\"SUBSCRIBED\" \"SPECIAL-USE\"))",
    "* LSUB () \".\" &AOQ-&-x",
    "* LIST () \"/\" &2D3eAA-",
    "* STATUS INBOX (MESSAGES 0 UIDNEXT 1)",
    "* STATUS INBOX ()",
    "* SEARCH",
    "* SEARCH 1 4294967295",
    "* SORT",
    "* SORT 2 84 882",
    "* THREAD",
    "* THREAD (166)(167)((170)(179))(196 (197)(198))(200 202)",
    "* THREAD (2)(3 6 (4 23)(44 7 96))",
    "* THREAD ((3)(5 (6)(7 (8)(9))))(10)",
    "* NAMESPACE ((\"\" \"/\")(\"#news.\" \".\")) NIL ((\"a\" NIL \"X\" (\"y\" \"z\")))",
    "* ID NIL",
    "* ID (\"name\" \"x\" \"os\" NIL)",
    "* ENABLED",
    "* ENABLED CONDSTORE",
    "* 0 EXISTS",
    "* 5 EXPUNGE",
    "* 1 FETCH (FLAGS (\\Recent) UID 7 INTERNALDATE \" 1-Feb-2024 10:00:00 +0000\" RFC822.SIZE 0)",
    "* 1 FETCH (BODY[] {3}\r\na\r\n BODY[1.2.MIME]<5> \"\" BODY[HEADER.FIELDS (TO {2}\r\nCC)] NIL)",
    "* 1 FETCH (ENVELOPE (NIL NIL ((NIL NIL \"g\" NIL)(\"n\" NIL \"m\" \"h\")(NIL NIL NIL NIL)) NIL NIL NIL "
    "NIL "
    "NIL NIL \"<i@d>\"))",
    "* 1 FETCH (BODY (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"x\") NIL NIL \"7BIT\" 1 0))",
    "* 1 FETCH (BODY ((\"A\" \"B\" NIL NIL NIL \"8BIT\" 0)(\"text\" \"x\" NIL NIL NIL \"8BIT\" 0 0) "
    "\"MIXED\"))",
    "* 1 FETCH (BODYSTRUCTURE (\"A\" \"B\" NIL NIL NIL \"8BIT\" 0 NIL (\"inline\" NIL) (\"de\" \"fr\") "
    "\"loc\" (1 (\"x\" 2))))",
    "* 1 FETCH (BODYSTRUCTURE (\"MESSAGE\" \"RFC822\" NIL NIL NIL \"8BIT\" 0 (NIL NIL NIL NIL NIL NIL NIL "
    "NIL NIL NIL) "
    "(\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 1 0 NIL NIL NIL NIL) 5 NIL NIL NIL NIL))",
};

static const char *const wrong[] = {
    "",
    "*",
    "* ",
    "* OK",
    "* OK ",
    "+",
    "* OK  [ALERT] x\x80",
    "* OK [ALERT]",
    "* OK [ALERT]x",
    "* OK [ALERT x] y",
    "* OK [NOSUCHCODE] x",
    "* PREAUTH late",
    "* FROB",
    "a BYE x",
    "a+ OK x",
    "a OK [UIDNEXT 0] x",
    "a OK [UIDVALIDITY 4294967296] x",
    "a OK [COPYUID 1 1:3 4:5] x",
    "a OK [COPYUID 1 1:* 4:5] x",
    "a NO [BADCHARSET UTF-8] x",
    "a NO [BADCHARSET ()] x",
    "* OK [PERMANENTFLAGS \\Seen] x",
    "* CAPABILITY IDLE",
    "* CAPABILITY  IMAP4rev1",
    "* FLAGS (\\Seen \\seen)",
    "* FLAGS (\\Recent)",
    "* FLAGS (\\*)",
    "* FLAGS (a )",
    "* LIST (\\Noselect \\Marked) \"/\" a",
    "* LIST (\\HasChildren \\HasNoChildren) \"/\" a",
    "* LIST (\\Frob) \"/\" a",
    "* LIST () \"//\" a",
    "* LIST () / a",
    "* LIST () \"/\" a b",
    "* LIST () \"/\" a%b",
    "* LIST (\\Sent \\sent) \"/\" a",
    "* LIST () \"/\" a ()",
    "* LIST () \"/\" a (CHILDINFO ())",
    "* LIST () \"/\" a (CHILDINFO (SUBSCRIBED))",
    "* LIST () \"/\" a (CHILDINFO (\"SUBSCRIBED\" \"SUBSCRIBED\"))",
    "* LIST () \"/\" a (CHILDINFO (\"CHILDREN\"))",
    "* LIST () \"/\" &AGE-",
    "* LIST () \"/\" &AOQ",
    "* LIST () \"/\" &2D0-",
    "* LIST () \"/\" \"a\\b\"",
    "* LIST () \"/\" {4}\r\nabc",
    "* LIST () \"/\" {3}\r\na\xc3\xa4",
    "* STATUS INBOX (MESSAGES)",
    "* STATUS INBOX (MESSAGES 1 MESSAGES 1)",
    "* STATUS INBOX (UIDNEXT 0)",
    "* SEARCH 0",
    "* SEARCH 1  2",
    "* SEARCH 1 ",
    "* SORT 0",
    "* SORT 1 ",
    "* THREAD ",
    "* THREAD 1",
    "* THREAD ()",
    "* THREAD (1",
    "* THREAD (1))",
    "* THREAD (0)",
    "* THREAD (1) (2)",
    "* THREAD (1 (2))",
    "* THREAD ((2))",
    "* THREAD (1(2)(3))",
    "* THREAD (1 (2)(3) 4)",
    "* NAMESPACE NIL NIL",
    "* NAMESPACE () NIL NIL",
    "* ID",
    "* ID (\"name\")",
    "* 01 EXISTS",
    "* 0 EXPUNGE",
    "* 0 FETCH (UID 1)",
    "* 1 FETCH ()",
    "* 1 FETCH (UID 1) ",
    "* 1 FETCH (UID 0)",
    "* 1 FETCH (INTERNALDATE \"1-Feb-2024 10:00:00 +0000\")",
    "* 1 FETCH (INTERNALDATE \"32-Feb-2024 10:00:00 +0000\")",
    "* 1 FETCH (INTERNALDATE \"01-Feb-2024 24:00:00 +0000\")",
    "* 1 FETCH (BODY[] {2}\r\na)",
    "* 1 FETCH (BODY.PEEK[] NIL)",
    "* 1 FETCH (BODY[MIME] NIL)",
    "* 1 FETCH (BODY[1.] NIL)",
    "* 1 FETCH (BODY[0] NIL)",
    "* 1 FETCH (BODY[HEADER.FIELDS ()] NIL)",
    "* 1 FETCH (BODY[TEXT]<0.5> \"\")",
    "* 1 FETCH (ENVELOPE (NIL NIL () NIL NIL NIL NIL NIL NIL NIL))",
    "* 1 FETCH (ENVELOPE (NIL NIL ((NIL NIL \"g\" NIL)) NIL NIL NIL NIL NIL NIL NIL))",
    "* 1 FETCH (ENVELOPE (NIL NIL ((NIL NIL NIL \"h\")) NIL NIL NIL NIL NIL NIL NIL))",
    "* 1 FETCH (ENVELOPE (NIL NIL NIL NIL NIL NIL NIL NIL NIL))",
    "* 1 FETCH (BODY (\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 1))",
    "* 1 FETCH (BODY (\"TEXT\" \"PLAIN\" NIL NIL NIL NIL 1 0))",
    "* 1 FETCH (BODY (\"TEXT\" \"PLAIN\" () NIL NIL \"7BIT\" 1 0))",
    "* 1 FETCH (BODY (\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 1 0 NIL))",
    "* 1 FETCH (BODY (\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 1))",
    "* 1 FETCH (BODY (\"MULTIPART\" \"MIXED\" NIL NIL NIL \"7BIT\" 1))",
    "* 1 FETCH (BODYSTRUCTURE ((\"A\" \"B\" NIL NIL NIL \"8BIT\" 0)))",
    "* 1 FETCH (BODYSTRUCTURE (\"A\" \"B\" NIL NIL NIL \"8BIT\" 0 NIL \"inline\"))",
};

int main(void)
{
	AUTO_BUF struct buf why = BUF_INIT;
	unsigned count = 0, failed = 0;
	size_t i;

	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		bool ok = grammar_response(str_of(right[i]), &why);

		failed += !ok;
		printf("%s %u - right line %zu\n", ok ? "ok" : "not ok", ++count, i + 1);
		if (!ok)
			printf("# %s: %s\n", right[i], buf_cstr(&why));
	}
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		bool ok = !grammar_response(str_of(wrong[i]), &why) && why.n > 0;

		failed += !ok;
		printf("%s %u - wrong line %zu\n", ok ? "ok" : "not ok", ++count, i + 1);
		if (!ok)
			printf("# passed: %s\n", wrong[i]);
	}
	printf("1..%u\n", count);
	return failed != 0;
}
