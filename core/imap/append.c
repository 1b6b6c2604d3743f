/*
 * append.c: APPEND (RFC 3501 §6.3.11), with APPENDUID (RFC 4315), several messages in one command (RFC 3502),
 * literal8 (RFC 3516 §4.4) and UTF8 (RFC 6855 §4).
 *
 * The messages go from the connection to the driver as they come; none of them is ever in memory. All of them
 * arrive or none: what was begun is aborted when one fails or the client goes away in the middle. A message
 * that cannot be taken is refused before the client is asked for it, if it waits to be asked. Only a literal8
 * is collected first: which of its parts have to be stored in another encoding is known at its end.
 *
 * Header fields with octets above 0x7f are taken from every client: mail has them, whoever enabled what, and
 * what copies mail from server to server would otherwise lose it. imap.refuse_8bit_headers is for those who
 * want RFC 6855 §4 to the letter.
 */
#include "base/clock.h"
#include "imap/limits.h"
#include "mime/recode.h"
#include "store/spool.h"
#include "base/banned.h"

struct appending {
	struct session *s;
	const char *mailbox;
	struct append *batch;
	uint64_t messages;
	struct spool *spool; /* of a literal8 */
	const char *code;    /* instead of that of err, or NULL */
	bool utf8;           /* UTF8 "(" was said: ")" follows the literal */
	struct {
		bool looked_at, over;
		size_t line; /* octets of the present one */
	} header;
	struct err err;
};

struct announced {
	struct flag_list flags;
	int64_t date;
	int zone;
	uint64_t octets;
	bool synchronising, binary, utf8;
};

/* [SP flag-list] [SP date-time] SP literal, or SP "UTF8" SP "(" literal8 */
static bool parse_message(struct session *s, struct parse *p, struct announced *m)
{
	*m = (struct announced){.date = clock_seconds()};
	m->zone = clock_zone(m->date);
	m->octets = reader_stream_size(s->reader, &m->synchronising, &m->binary);
	if (!parse_sp(p))
		return false;
	if (parse_at(p, '(') &&
	    (!parse_flag_list(p, false, (size_t)s->o->keywords, &m->flags) || !parse_sp(p)))
		return false;
	if (parse_at(p, '"') && (!parse_date_time(p, &m->date, &m->zone) || !parse_sp(p)))
		return false;
	m->utf8 = parse_word(p, "UTF8");
	if (m->utf8 && (!parse_sp(p) || !parse_char(p, '(')))
		return false;
	if (m->utf8 && !m->binary)
		return parse_fail(p, "UTF8 needs a literal8");
	return parse_stream_literal(p);
}

static int announce(struct appending *a, const struct announced *m, uint64_t octets)
{
	return append_message(
	    a->batch, m->flags.flags, m->flags.keywords, m->flags.count, m->date, m->zone, octets, &a->err);
}

/* Everything that can be found wrong before the message comes. */
static void begin_message(struct appending *a, const struct announced *m)
{
	struct session *s = a->s;
	const char *too_many;
	uint64_t most = limit_append(s, &too_many);

	if (m->octets == 0)
		err_fail(&a->err, MORTISE_E_INVALID, "A message may not be empty");
	else if (a->messages >= most && (a->code = too_many, true))
		err_fail(&a->err, MORTISE_E_LIMIT, "Too many messages in one APPEND");
	else if (m->utf8 && !session_utf8(s))
		err_fail(&a->err, MORTISE_E_UNSUPPORTED, "ENABLE UTF8=ACCEPT comes first");
	else if (a->batch == NULL)
		append_begin(s->setup->store, a->mailbox, &a->batch, &a->err);
	if (a->err.code == 0 && m->binary && append_check(a->batch, m->octets, &a->err) == 0)
		spool_open(s->setup->store, &a->spool, &a->err);
	else if (a->err.code == 0)
		announce(a, m, m->octets);
	a->messages++;
	a->utf8 = m->utf8;
	a->header.looked_at = s->o->refuse_8bit_headers && !session_utf8(s);
	a->header.over = false;
	a->header.line = 0;
}

/* Whether these octets of the message bring one above 0x7f into its header. */
static bool eighth_bit_in_header(struct appending *a, struct str octets)
{
	size_t i;

	for (i = 0; i < octets.n && !a->header.over; i++) {
		if (((unsigned char)octets.p[i] & 0x80) != 0)
			return true;
		if (octets.p[i] == '\n') {
			a->header.over = a->header.line == 0;
			a->header.line = 0;
		} else if (octets.p[i] != '\r') {
			a->header.line++;
		}
	}
	return false;
}

/*
 * A failure in the middle does not stop the client: what it still sends is thrown away. NUL may stand in no
 * literal (RFC 3501 §9: CHAR8); what took it could not give it back.
 */
static void take_octets(struct appending *a, uint64_t left)
{
	while (left > 0) {
		struct str octets = session_octets(a->s, left);

		if (octets.n == 0)
			return;
		left -= octets.n;
		if (a->err.code == 0 && a->header.looked_at && eighth_bit_in_header(a, octets))
			err_fail(
			    &a->err, MORTISE_E_UNSUPPORTED, "Header fields in UTF-8 need ENABLE UTF8=ACCEPT");
		else if (a->err.code == 0 && a->spool != NULL)
			spool_add(a->spool, octets, &a->err);
		else if (a->err.code == 0 && memchr(octets.p, '\0', octets.n) != NULL)
			err_fail(&a->err, MORTISE_E_INVALID, "A message may not contain NUL");
		else if (a->err.code == 0)
			append_write(a->batch, octets, &a->err);
	}
}

static int write_recoded(void *arg, struct str octets, struct err *e)
{
	return append_write(arg, octets, e);
}

/* A literal8 has come: to the driver with it, in a form that mailboxes hold. */
static void take_spooled(struct appending *a, const struct announced *m)
{
	AUTO_ARENA struct arena *arena = arena_new("recode");
	struct recoding recoding;
	struct source *text;

	if (spool_source(a->spool, &text, &a->err) != 0)
		return;
	if (mime_recode(text, NULL, arena, &recoding, &a->err) == 0 && !recoding.possible) {
		a->code = "UNKNOWN-CTE";
		err_fail(&a->err, MORTISE_E_UNSUPPORTED,
		    "NUL can only be stored within a part that is not encoded");
	}
	if (a->err.code == 0 && announce(a, m, recoding.octets) == 0)
		mime_recode_write(text, &recoding, write_recoded, a->batch, &a->err);
	source_close(&text);
}

/* The message at which the reader stands. False: no more of this command is to be read. */
static bool take_message(struct appending *a, struct parse *p)
{
	struct session *s = a->s;
	struct announced m;

	if (!parse_message(s, p, &m)) {
		reply_bad(s, p->error);
		return false;
	}
	begin_message(a, &m);
	if (a->err.code != 0)
		return false;
	if (m.synchronising)
		response_continue(session_out(s), "Ready for message");
	take_octets(a, m.octets);
	if (a->err.code == 0 && !s->ended && a->spool != NULL)
		take_spooled(a, &m);
	spool_close(&a->spool);
	s->at_stream = false;
	reader_stream_done(s->reader);
	if (a->err.code != 0)
		reader_skip_line(s->reader);
	return a->err.code == 0 && !s->ended;
}

/* True when there is another message; false at the command's end. */
static bool more_messages(struct appending *a, struct parse *p)
{
	struct session *s = a->s;

	switch (session_next(s)) {
	case READER_STREAM:
		s->at_stream = true;
		session_parse(s, p);
		if (a->utf8)
			parse_char(p, ')');
		return true;
	case READER_COMMAND:
		session_parse(s, p);
		if (a->utf8)
			parse_char(p, ')');
		arguments_end(s, p);
		return false;
	case READER_BAD:
		reply_bad(s, reader_error(s->reader));
		return false;
	default:
		return false;
	}
}

static void conclude(struct appending *a)
{
	struct session *s = a->s;
	AUTO_BUF struct buf code = BUF_INIT;
	struct number_set set = {0};
	uint32_t uidvalidity, *uids;
	size_t count, cap = 0, i;

	if (append_commit(&a->batch, &uidvalidity, s->arena, &uids, &count, &a->err) != 0)
		return;
	write_quota_warning(s);
	for (i = 0; i < count && uids[i] != 0; i++)
		set_add(s->arena, &set, &cap, uids[i]);
	if (i == 0 || i < count || uidvalidity == 0) {
		reply_ok(s, NULL, "APPEND completed");
		return;
	}
	buf_printf(&code, "APPENDUID %u ", uidvalidity);
	set_write(&code, &set);
	reply_ok(s, buf_cstr(&code), "APPEND completed");
}

void command_append(struct session *s, struct parse *p)
{
	struct appending a = {.s = s, .err = ERR_INIT};

	if (!parse_sp(p) || !parse_mailbox(p, &a.mailbox)) {
		reply_bad(s, p->error);
		return;
	}
	if (!s->at_stream) {
		reply_bad(s, "Missing message literal");
		return;
	}
	while (take_message(&a, p) && more_messages(&a, p))
		;
	if (a.err.code == 0 && !s->reply.given && !s->ended)
		conclude(&a);
	append_abort(&a.batch);
	if (a.code != NULL)
		reply_no(s, a.code, a.err.client);
	else if (a.err.code == MORTISE_E_NOTFOUND)
		reply_no(s, "TRYCREATE", a.err.client);
	else if (a.err.code != 0)
		reply_error(s, &a.err);
}
