#include "base/clock.h"
#include "base/mem.h"
#include "imap/append.h"
#include "imap/limits.h"
#include "log/log.h"
#include "mime/recode.h"
#include "store/spool.h"
#include "base/banned.h"

#define URL_SHOWN 500u /* octets of a URL that BADURL repeats */

static bool bad(struct appending *a)
{
	reply_bad(a->s, a->p->error);
	return false;
}

static bool parse_options(struct session *s, struct parse *p, struct appending *a)
{
	size_t i;

	a->flags = (struct flag_list){0};
	a->date = clock_seconds();
	a->zone = clock_zone(a->date);
	if (parse_at_end(p))
		return parse_fail(p, "Missing message literal");
	if (!parse_sp(p))
		return false;
	if (parse_at(p, '(') &&
	    (!parse_flag_list(p, false, (size_t)s->o->keywords, &a->flags) || !parse_sp(p)))
		return false;
	/* The command's words go when its literals come. */
	for (i = 0; i < a->flags.count; i++)
		a->flags.keywords[i] = arena_str(s->arena, a->flags.keywords[i]);
	return !parse_at(p, '"') || (parse_date_time(p, &a->date, &a->zone) && parse_sp(p));
}

/* What can be found wrong before any of the message comes. */
static bool ready(struct appending *a)
{
	struct session *s = a->s;
	const char *too_many;
	uint64_t most = limit_append(s, &too_many);

	a->header.looked_at = s->o->refuse_8bit_headers && !session_utf8(s);
	a->header.over = false;
	a->header.line = 0;
	if (a->messages >= most) {
		a->code = too_many;
		err_fail(&a->err, MORTISE_E_LIMIT, "Too many messages in one APPEND");
	} else if (a->batch == NULL && append_begin(s->setup->store, a->mailbox, &a->batch, &a->err) == 0 &&
	           a->replaced.n > 0) {
		append_replaces(a->batch, s->mailbox, a->replaced.v[0].low, &a->err);
	}
	a->messages++;
	return a->err.code == 0;
}

static int announce(struct appending *a, uint64_t octets)
{
	return append_message(
	    a->batch, a->flags.flags, a->flags.keywords, a->flags.count, a->date, a->zone, octets, &a->err);
}

/* ---- literals ---- */

/* Goes on to what follows the literal. False: there is nothing to go on with. */
static bool next_piece(struct appending *a)
{
	struct session *s = a->s;

	switch (session_next(s)) {
	case READER_STREAM:
		s->at_stream = true;
		break;
	case READER_COMMAND:
		break;
	case READER_BAD:
		reply_bad(s, reader_error(s->reader));
		return false;
	default:
		return false;
	}
	session_parse(s, a->p);
	return true;
}

/* Whether these octets of the message bring one above 0x7f into its header. */
static bool eighth_bit_in_header(struct appending *a, struct str octets)
{
	size_t i;

	if (!a->header.looked_at)
		return false;
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

static int collect(struct appending *a, struct str octets)
{
	a->collected += octets.n;
	return spool_add(a->spool, octets, &a->err);
}

/*
 * A failure in the middle does not stop the client: what it still sends is thrown away. NUL may stand in no
 * literal (RFC 3501 §9: CHAR8); what took it could not give it back.
 */
static bool take_octets(struct appending *a, uint64_t left, bool synchronising, bool binary)
{
	struct session *s = a->s;

	if (synchronising)
		response_continue(session_out(s), "Ready for message");
	while (left > 0 && !s->ended) {
		struct str octets = session_octets(s, left);

		left -= octets.n;
		if (a->err.code != 0)
			continue;
		if (eighth_bit_in_header(a, octets))
			err_fail(
			    &a->err, MORTISE_E_UNSUPPORTED, "Header fields in UTF-8 need ENABLE UTF8=ACCEPT");
		else if (!binary && str_find(octets, '\0') < octets.n)
			err_fail(&a->err, MORTISE_E_INVALID, "A message may not contain NUL");
		else if (a->spool != NULL)
			collect(a, octets);
		else
			append_write(a->batch, octets, &a->err);
	}
	s->at_stream = false;
	reader_stream_done(s->reader);
	if (a->err.code != 0)
		reader_skip_line(s->reader);
	return a->err.code == 0 && !s->ended;
}

/* The literal at which the reader stands. */
static bool parse_literal(struct appending *a, uint64_t *octets, bool *synchronising, bool *binary)
{
	if (!a->s->at_stream || !parse_stream_literal(a->p))
		return parse_fail(a->p, "Missing message literal");
	*octets = reader_stream_size(a->s->reader, synchronising, binary);
	return true;
}

/* "UTF8" SP "(" literal8 ")", the word has been taken. */
static bool parse_utf8(struct appending *a, uint64_t *octets, bool *synchronising)
{
	bool binary;

	if (!parse_sp(a->p) || !parse_char(a->p, '(') || !parse_literal(a, octets, synchronising, &binary))
		return false;
	return binary || parse_fail(a->p, "UTF8 needs a literal8");
}

static bool may_utf8(struct appending *a)
{
	if (!session_utf8(a->s))
		err_fail(&a->err, MORTISE_E_UNSUPPORTED, "ENABLE UTF8=ACCEPT comes first");
	return a->err.code == 0;
}

/* ---- what was collected ---- */

static int write_recoded(void *arg, struct str octets, struct err *e)
{
	return append_write(arg, octets, e);
}

static void hand_on(struct appending *a, struct source *text)
{
	AUTO_ARENA struct arena *arena = arena_new("recode");
	struct recode_cut all = {.kind = RECODE_COPY, .to = a->collected};
	struct recoding recoding = {.possible = true, .cuts = &all, .count = 1, .octets = a->collected};

	if (a->literal8 && mime_recode(text, NULL, arena, &recoding, &a->err) != 0)
		return;
	if (!recoding.possible) {
		a->code = "UNKNOWN-CTE";
		err_fail(&a->err, MORTISE_E_UNSUPPORTED,
		    "NUL can only be stored within a part that is not encoded");
	} else if (announce(a, recoding.octets) == 0) {
		mime_recode_write(text, &recoding, write_recoded, a->batch, &a->err);
	}
}

/* To the driver with it, in a form that mailboxes hold. */
static bool finish(struct appending *a)
{
	struct source *text;

	if (a->collected == 0)
		err_fail(&a->err, MORTISE_E_INVALID, "A message may not be empty");
	else if (spool_source(a->spool, &text, &a->err) == 0) {
		hand_on(a, text);
		source_close(&text);
	}
	return a->err.code == 0;
}

/* ---- a message literal ---- */

static bool take_literal(struct appending *a)
{
	bool synchronising, binary = true, utf8 = parse_word(a->p, "UTF8");
	uint64_t octets;

	if (!(utf8 ? parse_utf8(a, &octets, &synchronising)
	           : parse_literal(a, &octets, &synchronising, &binary)))
		return bad(a);
	if (utf8 && !may_utf8(a))
		return false;
	if (octets == 0) {
		err_fail(&a->err, MORTISE_E_INVALID, "A message may not be empty");
		return false;
	}
	if (!ready(a))
		return false;
	a->literal8 = binary;
	if (binary) {
		if (append_check(a->batch, octets, &a->err) != 0 ||
		    spool_open(a->s->setup->store, &a->spool, &a->err) != 0)
			return false;
	} else if (announce(a, octets) != 0) {
		return false;
	}
	if (!take_octets(a, octets, synchronising, binary))
		return false;
	if (binary && !finish(a)) {
		reader_skip_line(a->s->reader);
		return false;
	}
	return next_piece(a) && (!utf8 || parse_char(a->p, ')') || bad(a));
}

/* ---- CATENATE ---- */

/* [BADURL url]: as much of it as is fit to be repeated. */
static void bad_url(struct appending *a, struct str url, const char *why)
{
	char *c, *code = arena_printf(
	             a->s->arena, "BADURL %.*s", (int)(url.n < URL_SHOWN ? url.n : URL_SHOWN), url.p);

	for (c = code; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || (unsigned char)*c >= 0x7f || strchr("]\"\\<>", *c) != NULL)
			*c = '?';
	a->code = url.n > 0 ? code : "BADURL ?";
	err_clear(&a->err);
	err_fail(&a->err, MORTISE_E_INVALID, "%s", why);
}

static bool room_for(struct appending *a, uint64_t more)
{
	if (more > UINT64_MAX - a->collected)
		more = UINT64_MAX - a->collected - 1;
	return append_check(a->batch, a->collected + more, &a->err) == 0;
}

/* As a literal of FETCH BODY would have them (RFC 4469 §3): without NUL. */
static int add_part(struct appending *a, struct url_part *part)
{
	AUTO_BUF struct buf clean = BUF_INIT;
	uint64_t at;
	struct str octets;
	char *nul;

	for (at = part->from; at < part->to; at += octets.n) {
		if (url_part_octets(part, at, &octets, &a->err) != 0)
			return a->err.code;
		if (session_stopped(a->s))
			return err_fail(&a->err, MORTISE_E_CANCELLED, "Stopped");
		buf_reset(&clean);
		buf_addstr(&clean, octets);
		for (nul = clean.p; (nul = memchr(nul, '\0', (size_t)(clean.p + clean.n - nul))) != NULL;)
			*nul = '\x80';
		if (collect(a, buf_str(&clean)) != 0)
			return a->err.code;
	}
	return 0;
}

static bool add_url(struct appending *a, struct str text)
{
	AUTO_ARENA struct arena *arena = arena_new("url");
	struct url_part part;
	struct imap_url url;
	const char *why;

	if (!imap_url_parse(text, arena, &url, &why)) {
		bad_url(a, text, why);
		return false;
	}
	if (url.network) { /* RFC 4469 §3: only what is in this session */
		bad_url(a, text, "Only URLs without a server are allowed here");
		return false;
	}
	if (url_part_open(&a->reader, &url, &part, &a->err) == 0 && room_for(a, part.to - part.from))
		add_part(a, &part);
	else if (url_part_missing(a->err.code))
		bad_url(a, text, arena_strdup(arena, a->err.client));
	url_part_close(&part);
	return a->err.code == 0;
}

/* astring; the reader takes any literal here for a message's, so one is collected by hand. */
static bool take_url(struct appending *a)
{
	AUTO_BUF struct buf text = BUF_INIT;
	bool synchronising, binary;
	uint64_t octets;
	struct str s;

	if (!a->s->at_stream || !parse_at(a->p, '{') || str_find(a->p->rest, '\n') + 1 != a->p->rest.n)
		return parse_astring(a->p, &s) ? add_url(a, s) : bad(a);
	if (!parse_literal(a, &octets, &synchronising, &binary))
		return bad(a);
	if (octets > a->s->o->line_size) {
		err_fail(&a->err, MORTISE_E_LIMIT, "The URL is too long");
		return false;
	}
	if (synchronising)
		response_continue(session_out(a->s), "Ready for URL");
	while (text.n < octets && !a->s->ended)
		buf_addstr(&text, session_octets(a->s, octets - text.n));
	a->s->at_stream = false;
	reader_stream_done(a->s->reader);
	if (a->s->ended)
		return false;
	if (!add_url(a, buf_str(&text))) {
		reader_skip_line(a->s->reader);
		return false;
	}
	return next_piece(a);
}

static bool take_text(struct appending *a, bool utf8)
{
	bool synchronising, binary = true;
	uint64_t octets;

	if (!(utf8 ? parse_utf8(a, &octets, &synchronising)
	           : parse_sp(a->p) && parse_literal(a, &octets, &synchronising, &binary)))
		return bad(a);
	if ((utf8 && !may_utf8(a)) || !room_for(a, octets))
		return false;
	a->literal8 = a->literal8 || binary;
	return take_octets(a, octets, synchronising, binary) && next_piece(a) &&
	       (!utf8 || parse_char(a->p, ')') || bad(a));
}

static bool take_piece(struct appending *a)
{
	if (parse_word(a->p, "TEXT"))
		return take_text(a, false);
	if (parse_word(a->p, "UTF8")) /* RFC 6855 §4 */
		return take_text(a, true);
	if (parse_word(a->p, "URL"))
		return parse_sp(a->p) ? take_url(a) : bad(a);
	parse_fail(a->p, "TEXT or URL is missing");
	return bad(a);
}

static bool take_pieces(struct appending *a)
{
	uint64_t pieces = 0;

	if (!parse_sp(a->p) || !parse_char(a->p, '('))
		return bad(a);
	if (!ready(a) || spool_open(a->s->setup->store, &a->spool, &a->err) != 0)
		return false;
	do {
		if (++pieces > a->s->o->catenate_parts) {
			log_msg(MSG_IMAP_LIMIT, "catenate_parts is %llu",
			    (unsigned long long)a->s->o->catenate_parts);
			err_fail(&a->err, MORTISE_E_LIMIT, "Too many pieces in one CATENATE");
			return false;
		}
		if (!take_piece(a))
			return false;
	} while (parse_skip(a->p, ' '));
	if (!parse_char(a->p, ')'))
		return bad(a);
	return finish(a);
}

bool append_take(struct appending *a)
{
	bool ok;

	if (!parse_options(a->s, a->p, a))
		return bad(a);
	a->collected = 0;
	a->literal8 = false;
	ok = parse_word(a->p, "CATENATE") ? take_pieces(a) : take_literal(a);
	spool_close(&a->spool);
	return ok;
}
