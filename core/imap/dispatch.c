/*
 * dispatch.c: from a command's name to its handler, and from the handler's reply to the tagged line.
 */
#include "base/clock.h"
#include "imap/condstore.h"
#include "imap/limits.h"
#include "log/log.h"
#include "base/banned.h"

enum state { ANY, SELECTED, LOGGED_OUT };
#define PLAIN 1u
#define EXPUNGES 2u
#define QUIET 4u
#define NUMBERS 8u

struct command {
	const char *name;
	enum state state;
	command_fn *handler;
	unsigned flags;
};

static const struct command commands[] = {
#define COMMAND(name, state, handler, flags, capability) {name, state, handler, flags},
#include "imap/dispatch.def"
#undef COMMAND
};

static void give(struct session *s, enum response_status status, const char *code, const char *text)
{
	CHECK_OBJ(s, SESSION_MAGIC);
	if (s->reply.given)
		return;
	s->reply = (struct reply){.given = true,
	    .status = status,
	    .code = code != NULL ? arena_strdup(s->arena, code) : NULL,
	    .text = arena_strdup(s->arena, text)};
}

void reply_ok(struct session *s, const char *code, const char *text)
{
	give(s, RESPONSE_OK, code, text);
}

void reply_no(struct session *s, const char *code, const char *text)
{
	give(s, RESPONSE_NO, code, text);
}

void reply_bad(struct session *s, const char *why)
{
	give(s, RESPONSE_BAD, s->bad_code, why != NULL ? why : "Syntax error");
}

void reply_bad_code(struct session *s, const char *code, const char *why)
{
	give(s, RESPONSE_BAD, code, why);
}

/* What is not the client's doing is the administrator's to know. */
static void log_fault(struct session *s, const struct err *e)
{
	if (strcmp(e->client, e->admin) != 0)
		log_err(MSG_IMAP_FAILED, e, s->command);
}

void reply_error(struct session *s, const struct err *e)
{
	log_fault(s, e);
	give(s, RESPONSE_NO, mortise_error_imap(e->code),
	    e->client[0] != '\0' ? e->client : mortise_error_text(e->code));
}

void reply_result(struct session *s, const struct err *e, const char *completed)
{
	if (e->code != 0)
		reply_error(s, e);
	else
		reply_ok(s, NULL, completed);
}

void report_error(struct session *s, const struct err *e)
{
	log_fault(s, e);
	response_error(session_out(s), STR(""), e);
}

bool arguments_end(struct session *s, struct parse *p)
{
	if (parse_end(p))
		return true;
	reply_bad(s, p->error);
	return false;
}

/* The command's name, in two words for UID. */
static const struct command *find(struct session *s, struct parse *p)
{
	struct str name;
	size_t i;

	s->uid = false;
	if (!parse_atom(p, &name))
		return NULL;
	if (str_ieqc(name, "UID") && parse_skip(p, ' ')) {
		struct str second;

		if (!parse_atom(p, &second))
			return NULL;
		s->uid = true;
		name = str_of(arena_printf(s->arena, "UID %.*s", STR_FMT(second)));
	}
	for (i = 0; i < ARRAY_LEN(commands); i++)
		if (str_ieqc(name, commands[i].name))
			return &commands[i];
	return NULL;
}

static void run(struct session *s, const struct command *c, struct parse *p)
{
	s->command = c->name;
	log_crumb("imap", c->name);
	if (c->state == LOGGED_OUT)
		reply_bad(s, "Already logged in");
	else if (c->state == SELECTED && s->view == NULL)
		reply_bad(s, "No mailbox is selected");
	else if ((c->flags & NUMBERS) != 0 && s->uidonly)
		reply_bad_code(s, UIDREQUIRED, "Messages are named by UID only");
	else if (c->state == SELECTED && end_revoked(s))
		;
	else if ((c->flags & PLAIN) == 0 || arguments_end(s, p))
		c->handler(s, p);
	log_crumb(NULL, NULL);
}

void command_too_late(struct session *s, struct parse *p UNUSED)
{
	reply_bad(s, "Already logged in");
}

void session_parse(struct session *s, struct parse *p)
{
	parse_start(p, reader_command(s->reader), s->arena);
	p->utf8 = session_utf8(s);
	p->rev2 = s->rev2;
}

static void parse_and_run(struct session *s)
{
	const struct command *c = NULL;
	struct parse p;
	struct str tag;

	session_parse(s, &p);
	if (p.rest.n == 0) {
		reply_bad(s, "Empty command");
	} else if (s->tag.n == 0 || !parse_tag(&p, &tag)) {
		s->tag = STR("");
		reply_bad(s, "Invalid tag");
	} else if (!parse_skip(&p, ' ')) {
		reply_bad(s, "Missing command");
	} else if ((c = find(s, &p)) == NULL) {
		reply_bad(s, p.error != NULL ? "Missing command" : "Unknown command");
	} else {
		run(s, c, &p);
	}
	if (s->at_stream) {
		s->at_stream = false;
		reader_stream_refuse(s->reader);
	}
	if (c != NULL && (c->flags & QUIET) == 0 && s->reply.given && s->reply.status != RESPONSE_BAD &&
	    !s->ended)
		update_view(s, (c->flags & EXPUNGES) != 0 && !s->holds_expunges);
}

void session_dispatch(struct session *s, bool at_stream)
{
	CHECK_OBJ(s, SESSION_MAGIC);
	arena_clear(s->arena);
	s->reply = (struct reply){0};
	s->command = "";
	s->bad_code = NULL;
	s->limited_to = 0;
	s->rested = false;
	s->progress.due = clock_ms_coarse() + s->o->progress;
	s->tag = arena_str(s->arena, reader_tag(s->reader));
	s->at_stream = at_stream;
	s->told_modseq = s->told_vanished = s->holds_expunges = false;
	parse_and_run(s);
	if (s->broken || (s->ended && !s->reply.given))
		return;
	ASSERT(s->reply.given);
	limit_tell(s);
	condstore_settle(s);
	response(session_out(s), s->tag, s->reply.status, s->reply.code, s->reply.text);
	s->bad = s->reply.status == RESPONSE_BAD ? s->bad + 1 : 0;
	s->command = "";
}
