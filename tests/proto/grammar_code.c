/*
 * grammar_code.c: resp-text and its codes (RFC 3501 §7.1, RFC 4315 §3, RFC 5530 §3, RFC 7162 §7; TOOBIG of
 * RFC 4469; UNKNOWN-CTE of RFC 3516).
 */
#include "grammar_int.h"
#include "base/banned.h"

static bool no_argument(struct grammar *g)
{
	(void)g;
	return true;
}

static bool one_number(struct grammar *g)
{
	uint64_t n;

	return want(g, ' ') && nz_number(g, &n);
}

/* RFC 3501 has the list in parentheses, and it is optional. */
static bool charsets(struct grammar *g)
{
	if (!take(g, ' '))
		return true;
	if (!want(g, '('))
		return false;
	do
		if (!astring(g, NULL))
			return false;
	while (take(g, ' '));
	return want(g, ')');
}

static bool permanent_flags(struct grammar *g)
{
	return want(g, ' ') && flag_list(g, "\\*");
}

/* How many UIDs the set names; "*" is not allowed (RFC 4315 §4). */
bool uid_set(struct grammar *g, uint64_t *count)
{
	uint64_t low, high;

	*count = 0;
	do {
		if (!nz_number(g, &low))
			return false;
		high = low;
		if (take(g, ':') && !nz_number(g, &high))
			return false;
		*count += high > low ? high - low + 1 : low - high + 1;
	} while (take(g, ','));
	return true;
}

static bool append_uid(struct grammar *g)
{
	uint64_t n;

	return want(g, ' ') && nz_number(g, &n) && want(g, ' ') && uid_set(g, &n);
}

static bool copy_uid(struct grammar *g)
{
	uint64_t n, from, to;

	if (!want(g, ' ') || !nz_number(g, &n) || !want(g, ' ') || !uid_set(g, &from) || !want(g, ' ') ||
	    !uid_set(g, &to))
		return false;
	return from == to || wanted(g, "two sets of as many UIDs");
}

static bool highest_modseq(struct grammar *g)
{
	return want(g, ' ') && mod_sequence(g);
}

static bool modified(struct grammar *g)
{
	uint64_t n;

	return want(g, ' ') && uid_set(g, &n);
}

static bool mailbox_id(struct grammar *g)
{
	return want(g, ' ') && object_id(g);
}

/* RFC 5464 §5 */
static bool metadata(struct grammar *g)
{
	uint64_t n;

	if (!want(g, ' '))
		return false;
	if (take_word(g, "TOOMANY") || take_word(g, "NOPRIVATE"))
		return true;
	if (take_word(g, "LONGENTRIES") || take_word(g, "MAXSIZE"))
		return want(g, ' ') && number64(g, &n);
	return wanted(g, "a METADATA code of RFC 5464");
}

/* RFC 5267 §5 */
static bool quoted_tag(struct grammar *g)
{
	return want(g, ' ') && quoted(g, NULL);
}

/* RFC 9585 §5: [SP "(" (quoted / "NIL") SP (number / "NIL") SP (nz-number / "NIL") ")"] */
static bool progress(struct grammar *g)
{
	uint64_t done, of;
	bool known;

	if (!take(g, ' '))
		return true;
	if (!want(g, '(') || (!take_word(g, "NIL") && !quoted(g, NULL)) || !want(g, ' '))
		return false;
	known = !take_word(g, "NIL");
	if ((known && !number(g, &done)) || !want(g, ' '))
		return false;
	if (!take_word(g, "NIL") &&
	    (!nz_number(g, &of) || (!known && !wanted(g, "no goal without a count")) ||
	        (done > of && !wanted(g, "a count up to the goal"))))
		return false;
	return want(g, ')');
}

/* RFC 5466 §4 */
static bool filter_name(struct grammar *g)
{
	struct str name;

	return want(g, ' ') && atom(g, &name) &&
	       (str_find(name, '/') == name.n || wanted(g, "a filter name without a slash"));
}

/* It has no place in IMAP4rev2 (RFC 9051 appendix E), and UIDONLY knows no message numbers. */
static bool unseen(struct grammar *g)
{
	return (g->mode & (GRAMMAR_REV2 | GRAMMAR_UIDONLY)) == 0 ? one_number(g) : wanted(g, "another code");
}

/* RFC 9738 §5 */
static bool message_limit(struct grammar *g)
{
	uint64_t n;

	return one_number(g) && (!take(g, ' ') || nz_number(g, &n));
}

/* RFC 4467 §9: INTERNAL comes first; other mechanisms there are not. */
static bool url_mechanisms(struct grammar *g)
{
	return want(g, ' ') && (take_word(g, "INTERNAL") || wanted(g, "INTERNAL"));
}

/* RFC 4469 §5: url-resp-text, here of what a URL may be made of. */
static bool bad_url(struct grammar *g)
{
	size_t start;

	if (!want(g, ' '))
		return false;
	for (start = g->at;
	     !at_end(g) && next(g) >= ' ' && next(g) < 0x7f && next(g) != ']' && next(g) != '"'; g->at++)
		;
	return g->at > start || wanted(g, "a URL");
}

/* RFC 5465 §8 */
static bool bad_event(struct grammar *g)
{
	static const char *const names[] = {"MessageNew", "MessageExpunge", "FlagChange", "AnnotationChange",
	    "MailboxName", "SubscriptionChange", "MailboxMetadataChange", "ServerMetadataChange"};
	size_t i;

	if (!want(g, ' ') || !want(g, '('))
		return false;
	do {
		for (i = 0; i < sizeof(names) / sizeof(names[0]) && !take_word(g, names[i]); i++)
			;
		if (i == sizeof(names) / sizeof(names[0]))
			return wanted(g, "an event of RFC 5465 §8");
	} while (take(g, ' '));
	return want(g, ')');
}

static const struct {
	const char *name;
	bool (*argument)(struct grammar *g);
} codes[] = {
    {"ALERT", no_argument},
    {"BADCHARSET", charsets},
    {"CAPABILITY", capability_data},
    {"PARSE", no_argument},
    {"PERMANENTFLAGS", permanent_flags},
    {"READ-ONLY", no_argument},
    {"READ-WRITE", no_argument},
    {"TRYCREATE", no_argument},
    {"UIDNEXT", one_number},
    {"UIDVALIDITY", one_number},
    {"UNSEEN", unseen},
    {"APPENDUID", append_uid},
    {"COPYUID", copy_uid},
    {"UIDNOTSTICKY", no_argument},
    {"HIGHESTMODSEQ", highest_modseq},
    {"NOMODSEQ", no_argument},
    {"MODIFIED", modified},
    {"CLOSED", no_argument},
    {"UNAVAILABLE", no_argument},
    {"AUTHENTICATIONFAILED", no_argument},
    {"AUTHORIZATIONFAILED", no_argument},
    {"EXPIRED", no_argument},
    {"PRIVACYREQUIRED", no_argument},
    {"CONTACTADMIN", no_argument},
    {"NOPERM", no_argument},
    {"INUSE", no_argument},
    {"EXPUNGEISSUED", no_argument},
    {"HASCHILDREN", no_argument},
    {"UIDREQUIRED", no_argument},
    {"MESSAGELIMIT", message_limit},
    {"TOOFEW", no_argument},
    {"TOOMANY", no_argument},
    {"CORRUPTION", no_argument},
    {"SERVERBUG", no_argument},
    {"CLIENTBUG", no_argument},
    {"CANNOT", no_argument},
    {"LIMIT", no_argument},
    {"OVERQUOTA", no_argument},
    {"ALREADYEXISTS", no_argument},
    {"NONEXISTENT", no_argument},
    {"TOOBIG", no_argument},
    {"MAILBOXID", mailbox_id},
    {"METADATA", metadata},
    {"USEATTR", no_argument},
    {"NOTSAVED", no_argument},
    {"UNKNOWN-CTE", no_argument},
    {"BADURL", bad_url},
    {"URLMECH", url_mechanisms},
    {"NOUPDATE", quoted_tag},
    {"BADCOMPARATOR", no_argument},
    {"INPROGRESS", progress},
    {"UNDEFINED-FILTER", filter_name},
    {"COMPRESSIONACTIVE", no_argument},
    {"NOTIFICATIONOVERFLOW", no_argument},
    {"BADEVENT", bad_event},
};

static bool code(struct grammar *g)
{
	size_t i;

	for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (take_word(g, codes[i].name))
			return codes[i].argument(g) && want(g, ']') && want(g, ' ');
	return wanted(g, "a response code that is registered");
}

bool resp_text(struct grammar *g)
{
	if (take(g, '[') && !code(g))
		return false;
	if (at_end(g))
		return wanted(g, "text");
	for (; !at_end(g); g->at++)
		if (next(g) <= 0 || next(g) == '\r' || next(g) == '\n')
			return wanted(g, "7-bit text");
	return true;
}
