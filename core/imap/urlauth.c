/*
 * urlauth.c: RESETKEY, GENURLAUTH and URLFETCH (RFC 4467), with ;PARTIAL= (RFC 5550 §3.1) and decoded parts
 * (RFC 5524).
 *
 * A session runs as its user and can read his mail only. So the user of a URL must be the user of the session
 * that makes it (GENURLAUTH: BAD) or redeems it (URLFETCH: NIL, as for every other reason). Which of its own
 * URLs a session may redeem is what the access identifier says: "user+" and "submit+" want its user's name,
 * as a submission server has it that logs in with the user's authorization identity; "authuser" and
 * "anonymous" want nothing more. Whose mail it is that other users' URLs name cannot be found out here: they
 * are NIL whether they are right or not.
 *
 * The authorisation is "01" and HMAC-SHA-256 of the URL up to it, under keys that never leave the store
 * (store/url_keys.h). The host in a URL is not looked at: a server has many names.
 */
#include "base/clock.h"
#include "base/codec.h"
#include "base/secure.h"
#include "imap/fetch.h"
#include "imap/url_part.h"
#include "mime/decoded.h"
#include "store/url_keys.h"
#include "base/banned.h"

#define MECHANISM "INTERNAL"
#define ALGORITHM "01" /* changes with the way of signing */

/* ---- RESETKEY ---- */

void command_resetkey(struct session *s, struct parse *p)
{
	const char *mailbox = NULL;
	struct str mechanism;
	struct err e = ERR_INIT;

	if (parse_skip(p, ' ') && parse_mailbox(p, &mailbox))
		while (parse_skip(p, ' '))
			if (parse_atom(p, &mechanism) && !str_ieqc(mechanism, MECHANISM))
				parse_fail(p, "Unknown mechanism");
	if (!arguments_end(s, p))
		return;
	if (store_url_reset(s->setup->store, mailbox, &e) != 0)
		reply_error(s, &e);
	else
		reply_ok(s, mailbox != NULL ? "URLMECH " MECHANISM : NULL,
		    mailbox != NULL ? "The mailbox has a new key" : "All keys removed");
}

/* ---- GENURLAUTH ---- */

static void write_token(struct buf *out, const unsigned char signature[DIGEST_OCTETS])
{
	buf_adds(out, ALGORITHM);
	hex_encode(out, str_mem(signature, DIGEST_OCTETS));
}

/* RFC 4467 §7. False: BAD or NO was said. */
static bool authorise(struct session *s, struct str text, struct buf *out)
{
	AUTO_BUF struct buf full = BUF_INIT;
	unsigned char signature[DIGEST_OCTETS];
	struct err e = ERR_INIT;
	struct imap_url url;
	const char *why, *mailbox;

	if (!imap_url_parse(text, s->arena, &url, &why)) {
		reply_bad(s, why);
		return false;
	}
	mailbox = imap_url_mailbox(&url, NULL, s->arena);
	if (!url.absolute || url.uid == 0 || mailbox == NULL || url.access == URL_NO_ACCESS ||
	    url.token.n > 0) {
		reply_bad(s, "The URL names no message, or nobody who may have it");
		return false;
	}
	if (!str_eqc(url.user, s->setup->user)) {
		reply_bad(s, "The URL is not of this user");
		return false;
	}
	if (store_url_sign(s->setup->store, mailbox, url.rump, true, signature, &e) < 0) {
		if (e.code == MORTISE_E_NOTFOUND || e.code == MORTISE_E_INVALID)
			reply_bad(s, "No such mailbox");
		else
			reply_error(s, &e);
		return false;
	}
	buf_addstr(&full, text);
	buf_adds(&full, ":internal:");
	write_token(&full, signature);
	buf_addc(out, ' ');
	imap_string(out, buf_str(&full));
	return true;
}

void command_genurlauth(struct session *s, struct parse *p)
{
	AUTO_BUF struct buf line = BUF_INIT;
	struct str url, mechanism;

	buf_adds(&line, "* GENURLAUTH");
	do {
		if (!parse_sp(p) || !parse_astring(p, &url) || !parse_sp(p) || !parse_atom(p, &mechanism) ||
		    (!str_ieqc(mechanism, MECHANISM) && !parse_fail(p, "Unknown mechanism"))) {
			reply_bad(s, p->error);
			return;
		}
		if (!authorise(s, url, &line))
			return;
	} while (parse_at(p, ' '));
	if (!arguments_end(s, p))
		return;
	buf_addstr(session_out(s), buf_str(&line));
	buf_adds(session_out(s), "\r\n");
	reply_ok(s, NULL, "GENURLAUTH completed");
}

/* ---- URLFETCH ---- */

static bool signature_fits(struct session *s, const struct imap_url *url, const char *mailbox)
{
	AUTO_BUF struct buf right = BUF_INIT, given = BUF_INIT;
	unsigned char signature[DIGEST_OCTETS];
	struct err e = ERR_INIT;
	size_t i;

	if (store_url_sign(s->setup->store, mailbox, url->rump, false, signature, &e) != 1)
		return false;
	write_token(&right, signature);
	buf_addstr(&given, url->token);
	for (i = 0; i < given.n; i++)
		given.p[i] = ascii_lower(given.p[i]);
	return given.n == right.n && secure_equal(given.p, right.p, right.n);
}

static bool may_redeem(struct session *s, const struct imap_url *url, const char *mailbox)
{
	bool named = url->access == URL_SUBMIT || url->access == URL_USER;

	return url->absolute && url->uid != 0 && mailbox != NULL && url->access != URL_NO_ACCESS &&
	       url->token.n > 0 && str_ieqc(url->mechanism, MECHANISM) &&
	       str_eqc(url->user, s->setup->user) && (!named || str_eqc(url->access_user, s->setup->user)) &&
	       (!url->expires || url->expire > clock_seconds()) && signature_fits(s, url, mailbox);
}

#define WANT_BODY 1u
#define WANT_BINARY 2u
#define WANT_STRUCTURE 4u

static const struct {
	const char *name;
	unsigned want;
} wants[] = {{"BODY", WANT_BODY}, {"BINARY", WANT_BINARY}, {"BODYPARTSTRUCTURE", WANT_STRUCTURE}};

/* One URL on its way out. */
struct redeeming {
	struct fetch_message f;
	struct url_part part;
	const struct imap_url *url;
	struct source *built, *decoded;
	struct decoding *decoding;
	struct err err;
};

static void send_body(struct redeeming *x, const char *label)
{
	struct source *text = x->part.text;

	if (x->part.built.p != NULL)
		text = x->built = source_memory(x->part.built);
	if (x->part.from == x->part.to)
		buf_printf(session_out(x->f.s), "%s \"\"", label);
	else if (fetch_send(&x->f, text, label, x->part.from, x->part.to, false, &x->err) != 0 &&
	         !x->f.s->broken)
		buf_printf(session_out(x->f.s), "%s NIL", label);
	source_close(&x->built);
}

static bool is_leaf(const struct mime_part *part)
{
	return part != NULL && (part->kind == MIME_LEAF || part->kind == MIME_TEXT);
}

/* The part without its encoding; ;PARTIAL= counts in that. False: nobody knows the encoding. */
static bool decode(struct redeeming *x, struct source **out, uint64_t *from, uint64_t *to)
{
	const struct mime_part *part = x->part.part;

	*from = x->part.from;
	*to = x->part.to;
	if (!is_leaf(part)) {
		*out = x->built = x->part.built.p != NULL ? source_memory(x->part.built)
		                                          : source_window(x->part.text, 0, UINT64_MAX);
		return true;
	}
	if (!mime_encoding_known(part->encoding))
		return false;
	if (x->decoding == NULL)
		x->decoding = decoding_new(part->body_start, part->end, part->encoding);
	*out = x->decoded = source_decoded(x->part.text, x->decoding);
	*from = x->url->partial ? x->url->offset : 0;
	*to = x->url->size != 0 && x->url->size < UINT64_MAX - *from ? *from + x->url->size : UINT64_MAX;
	return true;
}

static void send_binary(struct redeeming *x)
{
	struct source *text;
	uint64_t from, to;

	if ((!decode(x, &text, &from, &to) ||
	        fetch_send_octets(&x->f, text, " (BINARY", from, to, &x->err) != 0) &&
	    !x->f.s->broken)
		buf_adds(session_out(x->f.s), " (BINARY NIL");
	source_close(&x->built);
	source_close(&x->decoded);
}

/* What the decoded octets are: their number and lines, and the encoding that their kind has. */
static bool describe_decoded(struct redeeming *x, struct mime_part *part)
{
	bool eighth = false, nul = false;
	uint64_t at, from, to;
	struct source *text;
	struct str octets;
	size_t i;

	if (!decode(x, &text, &from, &to))
		return true; /* as it is, undecoded */
	part->lines = 0;
	for (at = 0;; at += octets.n) {
		if (source_chunk(text, at, &octets, &x->err) != 0 || session_stopped(x->f.s))
			break;
		if (octets.n == 0)
			break;
		for (i = 0; i < octets.n; i++) {
			eighth = eighth || ((unsigned char)octets.p[i] & 0x80) != 0;
			nul = nul || octets.p[i] == '\0';
			part->lines += octets.p[i] == '\n';
		}
	}
	part->end = part->body_start + at;
	part->encoding = nul ? STR("BINARY") : eighth ? STR("8BIT") : STR("7BIT");
	source_close(&x->decoded);
	return x->err.code == 0;
}

/* RFC 5524 §3.2: of what is sent, so without the encoding when BINARY is asked for. */
static bool write_structure(struct redeeming *x, bool binary)
{
	struct url_part *p = &x->part;
	const struct mime_part *part = p->part;
	struct mime_part decoded;

	if (p->parts == NULL &&
	    mailbox_parts(p->mailbox, p->message, &p->text, p->arena, &p->parts, &x->err) != 0)
		return false;
	if (part == NULL)
		part = p->parts;
	if (binary && is_leaf(p->part)) {
		decoded = *part;
		if (!describe_decoded(x, &decoded))
			return false;
		part = &decoded;
	}
	buf_adds(session_out(x->f.s), " (BODYPARTSTRUCTURE ");
	mime_bodystructure(part, true, session_out(x->f.s));
	buf_addc(session_out(x->f.s), ')');
	return true;
}

static void write_wanted(struct redeeming *x, unsigned want)
{
	struct buf *out = session_out(x->f.s);
	size_t before = out->n;

	if ((want & WANT_STRUCTURE) != 0 && !write_structure(x, (want & WANT_BINARY) != 0)) {
		buf_truncate(out, before);
		buf_adds(out, " NIL");
		return;
	}
	if ((want & WANT_BINARY) != 0) {
		send_binary(x);
		buf_adds(out, x->f.s->broken ? "" : ")");
	}
	if ((want & WANT_BODY) != 0 && !x->f.s->broken) {
		send_body(x, " (BODY");
		buf_adds(out, x->f.s->broken ? "" : ")");
	}
}

/* `want` 0: the simple form of RFC 4467. */
static void redeem(struct url_reader *r, struct str text, unsigned want)
{
	AUTO_ARENA struct arena *arena = arena_new("url");
	struct session *s = r->s;
	struct buf *out = session_out(s);
	struct imap_url url;
	struct redeeming x = {.f = {.s = s, .arena = arena}, .url = &url, .err = ERR_INIT};

	buf_adds(out, "* URLFETCH ");
	imap_string(out, text);
	if (!imap_url_parse(text, arena, &url, NULL) ||
	    !may_redeem(s, &url, imap_url_mailbox(&url, NULL, arena)) ||
	    url_part_open(r, &url, &x.part, &x.err) != 0) {
		buf_adds(out, " NIL");
	} else {
		x.f.message = x.part.message;
		x.f.source = x.part.text;
		if (want == 0)
			send_body(&x, "");
		else
			write_wanted(&x, want);
	}
	if (!s->broken)
		buf_adds(out, "\r\n");
	url_part_close(&x.part);
	decoding_free(&x.decoding);
	session_written(s);
}

/* url, or "(" url *(SP parameter) ")" */
static bool parse_wanted(struct parse *p, struct str *url, unsigned *want)
{
	struct str name;
	size_t i;

	*want = 0;
	if (!parse_skip(p, '('))
		return parse_astring(p, url);
	if (!parse_astring(p, url))
		return false;
	while (parse_skip(p, ' ')) {
		if (!parse_atom(p, &name))
			return false;
		for (i = 0; i < ARRAY_LEN(wants) && !str_ieqc(name, wants[i].name); i++)
			;
		if (i == ARRAY_LEN(wants))
			return parse_fail(p, "Unknown parameter of URLFETCH");
		*want |= wants[i].want;
	}
	*want = *want == 0 ? WANT_BODY : *want;
	return parse_char(p, ')');
}

void command_urlfetch(struct session *s, struct parse *p)
{
	struct parse again = *p;
	struct url_reader reader = {.s = s};
	struct str url;
	unsigned want;

	/* All of it is right before any of it is done. */
	do
		if (!parse_sp(&again) || !parse_wanted(&again, &url, &want)) {
			reply_bad(s, again.error);
			return;
		}
	while (parse_at(&again, ' '));
	if (!arguments_end(s, &again))
		return;
	while (parse_sp(p) && parse_wanted(p, &url, &want) && !session_stopped(s)) {
		redeem(&reader, url, want);
		if (s->broken || !parse_at(p, ' '))
			break;
	}
	url_reader_close(&reader);
	reply_ok(s, NULL, "URLFETCH completed");
}
