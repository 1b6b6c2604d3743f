/* test-grammar.c: the grammar lets right lines pass and finds what is wrong with others. */
#include <stdio.h>

#include "grammar.h"
#include "base/banned.h"

static const char *const right[] = {
    "* OK text",
    "* UIDBATCHES (TAG \"A143\") 215295:99696,99695:20351,20350:7830,7829:1",
    "* UIDBATCHES (TAG \"A1\")",
    "* UIDBATCHES (TAG \"A1\") 1",
    "* STATUS INBOX (APPENDLIMIT NIL DELETED 3)",
    "* LIST () \"/\" a (OLDNAME (b))",
    "a NO [TOOFEW] Minimum batch size is 500",
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
    "a OK [MAILBOXID (F2212ea87-6097-4256-9d51-71338625)] done",
    "a OK [METADATA LONGENTRIES 2199] done",
    "a NO [METADATA MAXSIZE 1024] no",
    "a NO [METADATA TOOMANY] no",
    "a NO [USEATTR] no",
    "* STATUS foo (MAILBOXID (F22_-z) SIZE 44421)",
    "* QUOTA \"\" (STORAGE 10 512)",
    "* QUOTA \"\" ()",
    "* QUOTA \"#user/alice\" (STORAGE 54 111 MESSAGE 42 1000)",
    "* QUOTA !partition/sda4 (MAILBOX 104 10923847 ANNOTATION-STORAGE 0 0)",
    "* QUOTAROOT INBOX \"\"",
    "* QUOTAROOT comp.mail.mime",
    "* QUOTAROOT INBOX \"#user/alice\" \"!partition/sda4\"",
    "* STATUS INBOX (MESSAGES 12 DELETED 4 DELETED-STORAGE 8)",
    "* NO [OVERQUOTA] Soft quota has been exceeded",
    "* METADATA \"\" (/shared/comment \"Shared comment\")",
    "* METADATA INBOX (/shared/comment {2}\r\nab /private/comment NIL)",
    "* METADATA INBOX (/private/vendor/x/y ~{1}\r\nb)",
    "* 1 FETCH (EMAILID (M6d99ac3275bb4e) THREADID (T64b478a75b7ea9))",
    "* 1 FETCH (THREADID NIL SAVEDATE NIL PREVIEW NIL)",
    "* 1 FETCH (SAVEDATE \"01-Jan-2015 18:50:53 +0100\" PREVIEW \"\")",
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
    "* OK [CLOSED] closed",
    "* OK [HIGHESTMODSEQ 9223372036854775807] so far",
    "* OK [NOMODSEQ] none",
    "a OK [MODIFIED 1,3:5] some",
    "* STATUS INBOX (HIGHESTMODSEQ 0 MESSAGES 1)",
    "* STATUS INBOX (HIGHESTMODSEQ 4294967296)",
    "* SEARCH 2 5 (MODSEQ 917162500)",
    "* ESEARCH (TAG \"a\")",
    "* ESEARCH (TAG \"a\") UID COUNT 0",
    "* ESEARCH (TAG \"a\") UID PARTIAL (-1:-100 7,3:5)",
    "* ESEARCH (TAG \"a\") UID PARTIAL (24000:24500 NIL)",
    "a NO [NOTSAVED] Too many",
    "* COMPARATOR i;basic",
    "* COMPARATOR i;unicode-casemap (i;unicode-casemap i;octet)",
    "a NO [BADCOMPARATOR] none",
    "* OK [INPROGRESS] Hang in there...",
    "* OK [INPROGRESS (\"tag\" NIL NIL)] Hang in there...",
    "* OK [INPROGRESS (\"tag\" 175 NIL)] Processed 175 items",
    "* OK [INPROGRESS (\"tag\" 175 1000)] Processed 17% of the work",
    "* ESEARCH (TAG \"B1\") ALL 1,5,10 RELEVANCY (4 99 42)",
    "* ESEARCH (TAG \"B1\") RELEVANCY ()",
    "* ESEARCH (TAG \"tag1\" MAILBOX \"folder1\" UIDVALIDITY 1) UID ALL 4001,4003",
    "* ESEARCH (UIDVALIDITY 1 MAILBOX INBOX TAG \"tag1\") UID COUNT 1",
    "a NO [UNDEFINED-FILTER on-the-road] none",
    "* ESEARCH (TAG \"B01\") UID ADDTO (0 32768:32769)",
    "* ESEARCH (TAG \"C01\") UID ADDTO (1 2733 1 2732 1 2731)",
    "* ESEARCH (TAG \"C01\") UID ADDTO (1 2733) ADDTO (1 2731:2732)",
    "* ESEARCH (TAG \"B01\") UID REMOVEFROM (0 32768)",
    "* NO [NOUPDATE \"B02\"] Too many contexts",
    "* NO [NOUPDATE \"B0]2\"] Too many contexts",
    "* ESEARCH (TAG \"a\") MIN 1 MAX 5 COUNT 4 ALL 1:3,5 MODSEQ 1236",
    "* VANISHED 1",
    "* VANISHED (EARLIER) 41,43:116,118",
    "* 1 FETCH (UID 4 FLAGS () MODSEQ (12121231000))",
    "* 0 EXISTS",
    "* 5 EXPUNGE",
    "* 1 FETCH (FLAGS (\\Recent) UID 7 INTERNALDATE \" 1-Feb-2024 10:00:00 +0000\" RFC822.SIZE 0)",
    "* 1 FETCH (BINARY[] NIL BINARY[1.2]<0> \"a\" BINARY[3] {2}\r\n\xc3\xa9 BINARY.SIZE[1] 0)",
    "a NO [UNKNOWN-CTE] no",
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
    "* UIDBATCHES (TAG \"A1\") 1:2",
    "* UIDBATCHES (TAG \"A1\") 9:5,5:1",
    "* UIDBATCHES (TAG \"A1\") 9:5,3:1",
    "* UIDBATCHES 9:5",
    "* LIST () \"/\" a (OLDNAME b)",
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
    "* OK [CLOSED x] closed",
    "* OK [HIGHESTMODSEQ 0] none",
    "* OK [HIGHESTMODSEQ 9223372036854775808] more than 63 bits",
    "* OK [HIGHESTMODSEQ] none",
    "a OK [MODIFIED] none",
    "a OK [MODIFIED 1:*] all",
    "* STATUS INBOX (MESSAGES 4294967296)",
    "* SEARCH (MODSEQ 1)",
    "* SEARCH 1 (MODSEQ 0)",
    "* SEARCH 1 (MODSEQ 1) 2",
    "* SEARCH 1 (MODSEQ 1",
    "* ESEARCH",
    "* ESEARCH TAG \"a\"",
    "* ESEARCH (TAG a)",
    "* ESEARCH (TAG \"a\") MIN 0",
    "* COMPARATOR",
    "* COMPARATOR i;basic (i;basic)",
    "* COMPARATOR i;basic ()",
    "* OK [INPROGRESS (tag 1 2)] x",
    "* OK [INPROGRESS (\"tag\" NIL 2)] x",
    "* OK [INPROGRESS (\"tag\" 3 2)] x",
    "* OK [INPROGRESS (\"tag\" 0 0)] x",
    "* ESEARCH (TAG \"a\") RELEVANCY (101)",
    "* ESEARCH (TAG \"a\") RELEVANCY (0)",
    "* ESEARCH (TAG \"a\") RELEVANCY 1",
    "* ESEARCH (TAG \"a\" MAILBOX INBOX) UID ALL 1",
    "* ESEARCH (TAG \"a\" TAG \"a\") UID ALL 1",
    "* ESEARCH (TAG \"a\" MAILBOX INBOX UIDVALIDITY 1) ALL 1",
    "* ESEARCH (MAILBOX INBOX UIDVALIDITY 1) UID ALL 1",
    "* ESEARCH (TAG \"a\") ADDTO (0)",
    "* ESEARCH (TAG \"a\") ADDTO ()",
    "* ESEARCH (TAG \"a\") REMOVEFROM (1 1 2)",
    "* NO [NOUPDATE B02] Too many contexts",
    "* ESEARCH (TAG \"a\") PARTIAL (1:-5 1)",
    "* ESEARCH (TAG \"a\") PARTIAL (-1:5 1)",
    "* ESEARCH (TAG \"a\") PARTIAL (0:5 1)",
    "* ESEARCH (TAG \"a\") PARTIAL (1:2 1:3)",
    "* ESEARCH (TAG \"a\") PARTIAL (1:2)",
    "* ESEARCH (TAG \"a\") ALL 1 PARTIAL (1:2 1)",
    "* ESEARCH (TAG \"a\") ALL 1 UID",
    "* ESEARCH (TAG \"a\") MIN 1 MIN 1",
    "* ESEARCH (TAG \"a\") ALL *",
    "* VANISHED",
    "* VANISHED ",
    "* VANISHED 0",
    "* VANISHED 1:*",
    "* VANISHED EARLIER 1",
    "* VANISHED (EARLIER)",
    "* 1 FETCH (MODSEQ 1)",
    "* 1 FETCH (MODSEQ (0))",
    "* SEARCH 0",
    "* SEARCH 1  2",
    "* SEARCH 1 ",
    "a OK [MAILBOXID F2212] done",
    "a OK [MAILBOXID ()] done",
    "a OK [METADATA] done",
    "a NO [METADATA TOOBIG] no",
    "* STATUS foo (MAILBOXID F22)",
    "* STATUS foo (SIZE)",
    "* QUOTA \"\"",
    "* QUOTA (STORAGE 1 2)",
    "* QUOTA \"\" (STORAGE 1)",
    "* QUOTA \"\" (STORAGE 1 2 STORAGE 1 2)",
    "* QUOTA \"\" (FILES 1 2)",
    "* QUOTA \"\" (STORAGE -1 2)",
    "* QUOTA \"\" (STORAGE 1 9223372036854775808)",
    "* QUOTAROOT",
    "* QUOTAROOT INBOX  x",
    "* STATUS INBOX (DELETED 4294967296)",
    "* METADATA INBOX ()",
    "* METADATA INBOX (/shared/comment)",
    "* METADATA INBOX (/shared//comment \"x\")",
    "* METADATA INBOX (/comment \"x\")",
    "* METADATA INBOX (/shared/comment {5}\r\nab)",
    "* 1 FETCH (EMAILID NIL)",
    "* 1 FETCH (EMAILID (M.1))",
    "* 1 FETCH (THREADID T1)",
    "* 1 FETCH (SAVEDATE 5)",
    "* 1 FETCH (PREVIEW text)",
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
    "* 1 FETCH (BINARY[TEXT] NIL)",
    "* 1 FETCH (BINARY[1.] NIL)",
    "* 1 FETCH (BINARY[1] ~{1}\r\na)",
    "* 1 FETCH (BINARY.SIZE[1] NIL)",
    "* 1 FETCH (BINARY.SIZE[1]<0> 1)",
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

/* What ENABLE changes. */
static const struct {
	unsigned mode, not_mode; /* right with one, wrong with the other */
	const char *line;
} modal[] = {
    {GRAMMAR_UTF8, 0, "* LIST () \"/\" \"\303\244\""},
    {GRAMMAR_UTF8, 0, "* LIST () \"/\" a&b"},
    {GRAMMAR_UTF8, 0, "* STATUS \"\342\202\254 &\" (MESSAGES 1)"},
    {0, GRAMMAR_REV2, "* 3 RECENT"},
    {0, GRAMMAR_REV2, "* SEARCH 1"},
    {0, GRAMMAR_REV2, "* OK [UNSEEN 3] x"},
    {0, GRAMMAR_REV2, "* 1 FETCH (FLAGS (\\Recent))"},
    {0, GRAMMAR_UIDONLY, "* 3 EXPUNGE"},
    {0, GRAMMAR_UIDONLY, "* 3 FETCH (FLAGS ())"},
    {GRAMMAR_UIDONLY, 0, "* 3 UIDFETCH (FLAGS ())"},
    {0, GRAMMAR_UIDONLY, "* OK [UNSEEN 3] x"},
};

static const char *const utf8_wrong[] = {
    "* LIST () \"/\" \"\303\"",
    "* LIST () \"/\" \"\300\200\"",
    "* LIST () \"/\" \"\355\240\200\"",
    "* LIST () \"/\" {2}\r\n\303(",
    "* LIST () \"/\" \303\244",
    "* LIST () \"/\" {1}\r\n\001",
};

static bool told(bool ok, unsigned count, const char *what, const char *line)
{
	printf("%s %u - %s\n", ok ? "ok" : "not ok", count, what);
	if (!ok)
		printf("# %s\n", line);
	return ok;
}

static void modes(unsigned *count, unsigned *failed)
{
	AUTO_BUF struct buf why = BUF_INIT;
	size_t i;

	for (i = 0; i < sizeof(modal) / sizeof(modal[0]); i++) {
		struct str line = str_of(modal[i].line);

		*failed += !told(grammar_response(line, modal[i].mode, &why) &&
		                     !grammar_response(line, modal[i].not_mode, &why),
		    ++*count, "a line that ENABLE makes right or wrong", modal[i].line);
	}
	for (i = 0; i < sizeof(utf8_wrong) / sizeof(utf8_wrong[0]); i++)
		*failed += !told(!grammar_response(str_of(utf8_wrong[i]), GRAMMAR_UTF8, &why), ++*count,
		    "a name that is no UTF-8", utf8_wrong[i]);
	*failed += !told(grammar_enables(STR("* ENABLED CONDSTORE imap4REV2 UIDONLY")) ==
	                     (GRAMMAR_UTF8 | GRAMMAR_REV2 | GRAMMAR_UIDONLY),
	    ++*count, "what an ENABLED line enables", "ENABLED");
}

int main(void)
{
	AUTO_BUF struct buf why = BUF_INIT;
	unsigned count = 0, failed = 0;
	size_t i;

	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		bool ok = grammar_response(str_of(right[i]), 0, &why);

		failed += !ok;
		printf("%s %u - right line %zu\n", ok ? "ok" : "not ok", ++count, i + 1);
		if (!ok)
			printf("# %s: %s\n", right[i], buf_cstr(&why));
	}
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		bool ok = !grammar_response(str_of(wrong[i]), 0, &why) && why.n > 0;

		failed += !ok;
		printf("%s %u - wrong line %zu\n", ok ? "ok" : "not ok", ++count, i + 1);
		if (!ok)
			printf("# passed: %s\n", wrong[i]);
	}
	modes(&count, &failed);
	printf("1..%u\n", count);
	return failed != 0;
}
