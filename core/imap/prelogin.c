#include <mortise/password.h>

#include "base/arena.h"
#include "base/codec.h"
#include "base/mem.h"
#include "imap/capability.h"
#include "imap/parse.h"
#include "imap/prelogin.h"
#include "imap/reader.h"
#include "imap/response.h"
#include "base/banned.h"

#define PRELOGIN_MAGIC 0x70726c67u
#define ID_PAIRS_MAX 30u

enum state {
	STATE_COMMAND,  /* a command is awaited */
	STATE_BUSY,     /* auth, TLS or the spawner is at work */
	STATE_RESPONSE, /* a SASL response is awaited */
	STATE_LAST,     /* the empty response to the server's last word is awaited */
	STATE_OVER
};

struct prelogin {
	uint32_t magic;
	const struct prelogin_options *o;
	enum state state;
	bool tls;
	uint64_t bad, failures;
	struct reader *reader;
	struct arena *secrets; /* of the command being worked on */
	char tag[80];
	char mechanism[24];
	struct buf line;     /* a SASL response line, as it comes */
	bool line_too_long;  /* the rest of it is skipped */
	struct buf response; /* decoded */
	bool has_response;
	const char *why; /* what made us close; NULL: nothing, or the client asked for it */
};

static const struct reader_limits limits = {
    .line = 16384, .literal = 4096, .command = 20480, .literals = 8, .tag = 64, .nonsynchronising = 4096};

struct prelogin *prelogin_new(const struct prelogin_options *o, bool tls)
{
	struct prelogin *p = mem_new(struct prelogin);

	p->magic = PRELOGIN_MAGIC;
	p->o = o;
	p->tls = tls;
	p->reader = reader_new(&limits);
	p->secrets = arena_new_secret("prelogin");
	return p;
}

void prelogin_free(struct prelogin **pp)
{
	struct prelogin *p;

	if (*pp == NULL)
		return;
	TAKE_OBJ(p, pp, PRELOGIN_MAGIC);
	reader_free(&p->reader);
	arena_free(&p->secrets);
	buf_wipe(&p->line);
	buf_wipe(&p->response);
	mem_wipe(p, sizeof(*p));
	mem_free(p);
}

static const char *offered(const struct prelogin *p)
{
	const char *list = p->tls ? p->o->offer->tls : p->o->offer->clear;

	return list != NULL ? list : "";
}

static bool listed(const char *list, struct str name)
{
	struct str rest = str_of(list != NULL ? list : "");

	while (rest.n > 0)
		if (str_ieq(str_cut(&rest, ' '), name))
			return true;
	return false;
}

/* LOGIN is a password in clear, as PLAIN and LOGIN mechanisms are: it goes where they go. */
static bool login_disabled(const struct prelogin *p)
{
	return !listed(offered(p), STR("PLAIN")) && !listed(offered(p), STR("LOGIN"));
}

static void write_capability(const struct prelogin *p, struct buf *out)
{
	struct capability_facts f = {.starttls = p->o->starttls && !p->tls,
	    .login_disabled = login_disabled(p),
	    .literal_minus = true,
	    .mechanisms = offered(p)};

	capability_write(out, &f);
}

void prelogin_greet(struct prelogin *p, struct buf *out)
{
	AUTO_BUF struct buf code = BUF_INIT;

	CHECK_OBJ(p, PRELOGIN_MAGIC);
	buf_adds(&code, "CAPABILITY ");
	write_capability(p, &code);
	response(out, STR(""), RESPONSE_OK, buf_cstr(&code), "Mortise ready");
}

void prelogin_bye(struct buf *out, const char *code, const char *text)
{
	response(out, STR(""), RESPONSE_BYE, code, text);
}

/* Forgets the command that was worked on, wiping what it held. */
static void forget(struct prelogin *p)
{
	buf_wipe(&p->line);
	buf_wipe(&p->response);
	arena_clear(p->secrets);
	p->has_response = p->line_too_long = false;
	p->mechanism[0] = '\0';
	p->state = STATE_COMMAND;
}

void prelogin_secured(struct prelogin *p)
{
	CHECK_OBJ(p, PRELOGIN_MAGIC);
	reader_free(&p->reader);
	p->reader = reader_new(&limits);
	forget(p);
	p->tag[0] = '\0';
	p->bad = p->failures = 0;
	p->tls = true;
}

static enum prelogin_action close_with(struct prelogin *p, struct buf *out, const char *text)
{
	if (text != NULL)
		prelogin_bye(out, NULL, text);
	p->why = text;
	p->state = STATE_OVER;
	return PRELOGIN_CLOSE;
}

const char *prelogin_why(const struct prelogin *p)
{
	CHECK_OBJ(p, PRELOGIN_MAGIC);
	return p->why;
}

static enum prelogin_action count_bad(struct prelogin *p, struct buf *out)
{
	if (++p->bad >= p->o->bad_commands)
		return close_with(p, out, "Too many bad commands");
	return PRELOGIN_MORE;
}

static enum prelogin_action bad(struct prelogin *p, struct str tag, const char *why, struct buf *out)
{
	response_bad(out, tag, why);
	return count_bad(p, out);
}

static void keep_tag(struct prelogin *p, struct str tag)
{
	ASSERT(tag.n < sizeof(p->tag));
	memcpy(p->tag, tag.p, tag.n);
	p->tag[tag.n] = '\0';
}

/* One command's arguments to its reply. */
typedef enum prelogin_action command_fn(
    struct prelogin *p, struct str tag, struct parse *words, struct buf *out);

static enum prelogin_action do_capability(
    struct prelogin *p, struct str tag, struct parse *words, struct buf *out)
{
	if (!parse_end(words))
		return bad(p, tag, words->error, out);
	buf_adds(out, "* CAPABILITY ");
	write_capability(p, out);
	buf_adds(out, "\r\n");
	response(out, tag, RESPONSE_OK, NULL, "CAPABILITY completed");
	return PRELOGIN_MORE;
}

static enum prelogin_action do_noop(struct prelogin *p, struct str tag, struct parse *words, struct buf *out)
{
	if (!parse_end(words))
		return bad(p, tag, words->error, out);
	response(out, tag, RESPONSE_OK, NULL, "NOOP completed");
	return PRELOGIN_MORE;
}

static enum prelogin_action do_logout(
    struct prelogin *p, struct str tag, struct parse *words, struct buf *out)
{
	if (!parse_end(words))
		return bad(p, tag, words->error, out);
	prelogin_bye(out, NULL, "Logging out");
	response(out, tag, RESPONSE_OK, NULL, "LOGOUT completed");
	return close_with(p, out, NULL);
}

/* RFC 2971: what the client says of itself is taken and not kept. */
static bool parse_id(struct parse *words)
{
	struct str s;
	unsigned pairs = 0;

	if (!parse_sp(words))
		return false;
	if (!parse_skip(words, '('))
		return parse_nstring(words, &s) && parse_end(words);
	if (parse_skip(words, ')'))
		return parse_end(words);
	for (;;) {
		if (++pairs > ID_PAIRS_MAX)
			return parse_fail(words, "Too many ID parameters");
		if (!parse_string(words, &s) || !parse_sp(words) || !parse_nstring(words, &s))
			return false;
		if (parse_skip(words, ')'))
			return parse_end(words);
		if (!parse_sp(words))
			return false;
	}
}

static enum prelogin_action do_id(struct prelogin *p, struct str tag, struct parse *words, struct buf *out)
{
	if (!parse_id(words))
		return bad(p, tag, words->error, out);
	buf_adds(out, "* ID (\"name\" \"Mortise\")\r\n");
	response(out, tag, RESPONSE_OK, NULL, "ID completed");
	return PRELOGIN_MORE;
}

static enum prelogin_action do_starttls(
    struct prelogin *p, struct str tag, struct parse *words, struct buf *out)
{
	if (!parse_end(words))
		return bad(p, tag, words->error, out);
	if (p->tls)
		return bad(p, tag, "TLS is already in use", out);
	if (!p->o->starttls)
		return bad(p, tag, "TLS is not available", out);
	response(out, tag, RESPONSE_OK, NULL, "Begin TLS negotiation now");
	p->state = STATE_BUSY;
	return PRELOGIN_STARTTLS;
}

static enum prelogin_action do_login(struct prelogin *p, struct str tag, struct parse *words, struct buf *out)
{
	struct str user, password;

	if (!parse_sp(words) || !parse_astring(words, &user) || !parse_sp(words) ||
	    !parse_astring(words, &password) || !parse_end(words))
		return bad(p, tag, words->error, out);
	if (login_disabled(p)) {
		response(out, tag, RESPONSE_NO, p->tls ? "CANNOT" : "PRIVACYREQUIRED",
		    p->tls ? "LOGIN is disabled" : "LOGIN is disabled before STARTTLS");
		return count_bad(p, out);
	}
	keep_tag(p, tag);
	buf_addstr(&p->response, user);
	buf_addc(&p->response, '\0');
	buf_addstr(&p->response, password);
	p->has_response = true;
	p->state = STATE_BUSY;
	return PRELOGIN_START;
}

static enum prelogin_action refuse_mechanism(
    struct prelogin *p, struct str tag, struct str mechanism, struct buf *out)
{
	if (!p->tls && p->o->starttls && listed(p->o->offer->tls, mechanism))
		response(out, tag, RESPONSE_NO, "PRIVACYREQUIRED", "This mechanism needs STARTTLS first");
	else
		response(out, tag, RESPONSE_NO, "CANNOT", "This mechanism is not offered");
	return count_bad(p, out);
}

static enum prelogin_action do_authenticate(
    struct prelogin *p, struct str tag, struct parse *words, struct buf *out)
{
	struct str mechanism, initial = STR_NONE;

	if (!parse_sp(words) || !parse_atom(words, &mechanism))
		return bad(p, tag, words->error, out);
	if (!parse_at_end(words)) { /* RFC 4959: base64, or "=" for an empty one */
		if (!parse_sp(words) || words->rest.n == 0)
			return bad(p, tag, "Missing initial response", out);
		initial = words->rest;
	}
	if (initial.n > p->o->response_size)
		return bad(p, tag, "Initial response is too long", out);
	if (mechanism.n >= sizeof(p->mechanism) || !listed(offered(p), mechanism))
		return refuse_mechanism(p, tag, mechanism, out);
	if (initial.p != NULL && !str_eqc(initial, "=") && !base64_decode(&p->response, initial))
		return bad(p, tag, "Initial response is not base64", out);
	p->has_response = initial.p != NULL;
	keep_tag(p, tag);
	memcpy(p->mechanism, mechanism.p, mechanism.n);
	p->mechanism[mechanism.n] = '\0';
	p->state = STATE_BUSY;
	return PRELOGIN_START;
}

static const struct {
	const char *name;
	command_fn *run;
} commands[] = {
    {"CAPABILITY", do_capability},
    {"NOOP", do_noop},
    {"LOGOUT", do_logout},
    {"ID", do_id},
    {"STARTTLS", do_starttls},
    {"LOGIN", do_login},
    {"AUTHENTICATE", do_authenticate},
};

/* The first line of a web request, in any version that has one. */
static bool from_browser(struct str line)
{
	static const char *const verbs[] = {
	    "GET", "POST", "HEAD", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI"};
	struct str rest = line, verb = str_cut(&rest, ' ');
	size_t i;

	for (i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_eqc(verb, verbs[i]))
			return str_search(rest, STR("HTTP/")) != SIZE_MAX || str_starts(rest, STR("/")) ||
			       str_search(rest, STR("://")) != SIZE_MAX;
	return false;
}

static enum prelogin_action run_command(struct prelogin *p, struct buf *out)
{
	struct str line = reader_command(p->reader), tag = STR_NONE, name;
	struct parse words;
	enum prelogin_action action;
	uint64_t was = p->bad;
	size_t i;

	if (from_browser(line)) {
		action = close_with(p, out, NULL);
		p->why = "a web browser";
		return action;
	}
	arena_clear(p->secrets);
	parse_start(&words, line, p->secrets);
	if (!parse_tag(&words, &tag))
		return bad(p, STR(""), words.error, out);
	tag = reader_tag(p->reader);
	if (tag.n == 0 || tag.n >= sizeof(p->tag))
		return bad(p, STR(""), "Bad tag", out);
	if (!parse_sp(&words) || !parse_atom(&words, &name))
		return bad(p, tag, words.error, out);
	for (i = 0; i < ARRAY_LEN(commands); i++)
		if (str_ieqc(name, commands[i].name)) {
			action = commands[i].run(p, tag, &words, out);
			if (p->bad == was)
				p->bad = 0; /* bad ones count in a row */
			return action;
		}
	return bad(p, tag, "Unknown command, or not before login", out);
}

static enum prelogin_action take_command(struct prelogin *p, struct str *in, struct buf *out)
{
	enum prelogin_action action = PRELOGIN_MORE;

	switch (reader_feed(p->reader, in)) {
	case READER_MORE:
		return PRELOGIN_MORE;
	case READER_CONTINUE:
		response_continue(out, "Go on");
		return PRELOGIN_MORE;
	case READER_COMMAND:
		return run_command(p, out);
	case READER_STREAM: /* not with limits.stream false */
	case READER_FATAL:
		response_bad(out, reader_tag(p->reader), reader_error(p->reader));
		return close_with(p, out, "Cannot go on");
	case READER_BAD:
		action = bad(p, reader_tag(p->reader), reader_error(p->reader), out);
		break;
	}
	return action;
}

/* Collects one line of a SASL conversation, without its LF; true when it is whole. */
static bool take_line(struct prelogin *p, struct str *in)
{
	size_t end = str_find(*in, '\n');
	bool whole = end < in->n;

	if (p->line.n + end > p->o->response_size + 1)
		p->line_too_long = true;
	else
		buf_add(&p->line, in->p, end);
	*in = str_from(*in, whole ? end + 1 : end);
	return whole;
}

static enum prelogin_action give_up(struct prelogin *p, const char *why, struct buf *out)
{
	struct str tag = str_of(p->tag);
	enum prelogin_action action;

	response_bad(out, tag, why);
	forget(p);
	action = count_bad(p, out);
	return action == PRELOGIN_MORE ? PRELOGIN_CANCEL : action;
}

static enum prelogin_action run_response(struct prelogin *p, struct buf *out)
{
	struct str line = buf_str(&p->line);

	if (p->line_too_long || line.n > p->o->response_size)
		return give_up(p, "Response is too long", out);
	if (str_eqc(line, "*"))
		return give_up(p, "Authentication cancelled", out);
	buf_wipe(&p->response);
	if (line.n > 0 && !base64_decode(&p->response, line))
		return give_up(p, "Response is not base64", out);
	buf_wipe(&p->line);
	if (p->state == STATE_LAST) {
		if (p->response.n > 0)
			return give_up(p, "An empty response was expected", out);
		p->state = STATE_BUSY;
		return PRELOGIN_LOGIN;
	}
	p->has_response = true;
	p->state = STATE_BUSY;
	return PRELOGIN_STEP;
}

static enum prelogin_action take_response(struct prelogin *p, struct str *in, struct buf *out)
{
	if (!take_line(p, in))
		return PRELOGIN_MORE;
	if (p->line.n > 0 && p->line.p[p->line.n - 1] == '\r')
		buf_truncate(&p->line, p->line.n - 1);
	return run_response(p, out);
}

enum prelogin_action prelogin_feed(struct prelogin *p, struct str *in, struct buf *out)
{
	CHECK_OBJ(p, PRELOGIN_MAGIC);
	while (in->n > 0) {
		enum prelogin_action action = PRELOGIN_MORE;

		if (p->state == STATE_OVER)
			return PRELOGIN_CLOSE;
		if (p->state == STATE_BUSY)
			return PRELOGIN_MORE;
		action = p->state == STATE_COMMAND ? take_command(p, in, out) : take_response(p, in, out);
		if (action != PRELOGIN_MORE)
			return action;
	}
	return PRELOGIN_MORE;
}

struct str prelogin_mechanism(const struct prelogin *p)
{
	CHECK_OBJ(p, PRELOGIN_MAGIC);
	return str_of(p->mechanism);
}

struct str prelogin_response(const struct prelogin *p)
{
	CHECK_OBJ(p, PRELOGIN_MAGIC);
	if (!p->has_response)
		return STR_NONE;
	return p->response.p != NULL ? buf_str(&p->response) : STR("");
}

struct str prelogin_tag(const struct prelogin *p)
{
	CHECK_OBJ(p, PRELOGIN_MAGIC);
	return str_of(p->tag);
}

void prelogin_challenge(struct prelogin *p, struct str octets, struct buf *out)
{
	CHECK_OBJ(p, PRELOGIN_MAGIC);
	buf_wipe(&p->response);
	response_challenge(out, octets);
	p->state = STATE_RESPONSE;
}

enum prelogin_action prelogin_succeeded(struct prelogin *p, struct str last, struct buf *out)
{
	CHECK_OBJ(p, PRELOGIN_MAGIC);
	buf_wipe(&p->response);
	if (last.p == NULL || p->mechanism[0] == '\0')
		return PRELOGIN_LOGIN;
	response_challenge(out, last);
	p->state = STATE_LAST;
	return PRELOGIN_MORE;
}

static enum prelogin_action after_failure(struct prelogin *p, struct buf *out)
{
	forget(p);
	if (++p->failures >= p->o->failures)
		return close_with(p, out, "Too many failed logins");
	return PRELOGIN_MORE;
}

enum prelogin_action prelogin_failed(struct prelogin *p, int result, struct buf *out)
{
	struct str tag = str_of(p->tag);

	CHECK_OBJ(p, PRELOGIN_MAGIC);
	if (result == MORTISE_AUTH_TEMP)
		response(out, tag, RESPONSE_NO, "UNAVAILABLE", "Cannot check now, try again later");
	else if (result == MORTISE_AUTH_EXPIRED)
		response(out, tag, RESPONSE_NO, "EXPIRED", "The password has expired");
	else
		response(out, tag, RESPONSE_NO, "AUTHENTICATIONFAILED", "Wrong user name or password");
	return after_failure(p, out);
}

enum prelogin_action prelogin_refused(struct prelogin *p, struct buf *out)
{
	CHECK_OBJ(p, PRELOGIN_MAGIC);
	response_bad(out, str_of(p->tag), "The mechanism does not allow that");
	return after_failure(p, out);
}

enum prelogin_action prelogin_no_session(struct prelogin *p, int code, struct buf *out)
{
	CHECK_OBJ(p, PRELOGIN_MAGIC);
	response(out, str_of(p->tag), RESPONSE_NO, mortise_error_imap(code),
	    code == MORTISE_E_LIMIT ? "Too many sessions" : mortise_error_text(code));
	return after_failure(p, out);
}
