/*
 * append.c: APPEND (RFC 3501 §6.3.11), with APPENDUID (RFC 4315) and several messages in one command
 * (RFC 3502).
 *
 * The messages go from the connection to the driver as they come; none of them is ever in memory. All of them
 * arrive or none: what was begun is aborted when one fails or the client goes away in the middle. A message
 * that cannot be taken is refused before the client is asked for it, if it waits to be asked.
 */
#include "base/clock.h"
#include "imap/session_int.h"
#include "base/banned.h"

struct appending {
	struct session *s;
	const char *mailbox;
	struct append *batch;
	uint64_t messages;
	struct err err;
};

struct announced {
	struct flag_list flags;
	int64_t date;
	int zone;
	uint64_t octets;
	bool synchronising;
};

/* [SP flag-list] [SP date-time] SP literal */
static bool parse_message(struct session *s, struct parse *p, struct announced *m)
{
	bool binary;

	*m = (struct announced){.date = clock_seconds()};
	m->zone = clock_zone(m->date);
	m->octets = reader_stream_size(s->reader, &m->synchronising, &binary);
	if (!parse_sp(p))
		return false;
	if (parse_at(p, '(') &&
	    (!parse_flag_list(p, false, (size_t)s->o->keywords, &m->flags) || !parse_sp(p)))
		return false;
	if (parse_at(p, '"') && (!parse_date_time(p, &m->date, &m->zone) || !parse_sp(p)))
		return false;
	if (binary)
		return parse_fail(p, "Binary literals are not supported");
	return parse_stream_literal(p);
}

/* Everything that can be found wrong before the message comes. */
static void begin_message(struct appending *a, const struct announced *m)
{
	struct session *s = a->s;

	if (m->octets == 0)
		err_fail(&a->err, MORTISE_E_INVALID, "A message may not be empty");
	else if (a->messages >= s->o->append_messages)
		err_fail(&a->err, MORTISE_E_LIMIT, "Too many messages in one APPEND");
	else if (a->batch == NULL)
		append_begin(s->setup->store, a->mailbox, &a->batch, &a->err);
	if (a->err.code == 0 && append_message(a->batch, m->flags.flags, m->flags.keywords, m->flags.count,
	                            m->date, m->zone, m->octets, &a->err) == 0)
		a->messages++;
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
		if (a->err.code == 0 && memchr(octets.p, '\0', octets.n) != NULL)
			err_fail(&a->err, MORTISE_E_INVALID, "A message may not contain NUL");
		if (a->err.code == 0)
			append_write(a->batch, octets, &a->err);
	}
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
		parse_start(p, reader_command(s->reader), s->arena);
		return true;
	case READER_COMMAND:
		parse_start(p, reader_command(s->reader), s->arena);
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
	if (a.err.code == MORTISE_E_NOTFOUND)
		reply_no(s, "TRYCREATE", a.err.client);
	else if (a.err.code != 0)
		reply_error(s, &a.err);
}
