#include "imap/url.h"

#include "base/buf.h"
#include "base/codec.h"
#include "base/object.h"
#include "mime/mime.h"
#include "base/banned.h"

#define TOKEN_MIN 32u /* hexadecimal digits of enc-urlauth */

struct reading {
	struct str rest;
	struct arena *a;
	const char *why;
};

static bool fail(struct reading *r, const char *why)
{
	if (r->why == NULL)
		r->why = why;
	return false;
}

static bool skip(struct reading *r, const char *word)
{
	if (!str_istarts(r->rest, str_of(word)))
		return false;
	r->rest = str_from(r->rest, strlen(word));
	return true;
}

/* achar without pct-encoded: unreserved, sub-delims-sh, "&", "=". */
static bool is_achar(char c)
{
	return ascii_alpha(c) || ascii_digit(c) || (c != '\0' && strchr("-._~!$'()*+,&=", c) != NULL);
}

static bool is_bchar(char c)
{
	return is_achar(c) || c == ':' || c == '@' || c == '/';
}

/* *out: the octets up to the first that is none of the class; with percent-encoding taken off. */
static bool decoded(struct reading *r, bool (*is)(char), struct str *out)
{
	size_t n = 0, escapes = 0, i, to = 0;
	char *copy;

	while (n < r->rest.n && (is(r->rest.p[n]) || r->rest.p[n] == '%')) {
		escapes += r->rest.p[n] == '%';
		n++;
	}
	*out = str_sub(r->rest, 0, n);
	r->rest = str_from(r->rest, n);
	if (escapes == 0)
		return true;
	copy = arena_alloc(r->a, n + 1);
	for (i = 0; i < n; i++) {
		AUTO_BUF struct buf octet = BUF_INIT;

		if (out->p[i] != '%') {
			copy[to++] = out->p[i];
			continue;
		}
		if (n - i < 3 || !hex_decode(&octet, str_sub(*out, i + 1, 2)))
			return fail(r, "Percent sign without two digits");
		if (octet.p[0] == '\0' || octet.p[0] == '\r' || octet.p[0] == '\n')
			return fail(r, "Control character in URL");
		copy[to++] = octet.p[0];
		i += 2;
	}
	*out = str_mem(copy, to);
	return true;
}

static bool is_utf8(struct str s)
{
	while (s.n > 0) {
		uint32_t character;
		size_t n = str_utf8(s, &character);

		if (n == 0 || character < 0x20 || character == 0x7f)
			return false;
		s = str_from(s, n);
	}
	return true;
}

static bool number(struct reading *r, uint64_t most, uint64_t *out)
{
	size_t n = 0;

	while (n < r->rest.n && ascii_digit(r->rest.p[n]))
		n++;
	if (!str_u64(str_sub(r->rest, 0, n), out) || *out > most)
		return fail(r, "Missing or invalid number in URL");
	r->rest = str_from(r->rest, n);
	return true;
}

static bool nz_number32(struct reading *r, uint32_t *out)
{
	uint64_t n;

	if (!number(r, UINT32_MAX, &n))
		return false;
	*out = (uint32_t)n;
	return n != 0 || fail(r, "Missing or invalid number in URL");
}

/* ---- [user [;AUTH=…] @] host [: port] ---- */

static bool is_host_char(char c)
{
	return is_achar(c) || c == '[' || c == ']';
}

static bool in_brackets(char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == ':' || c == '.';
}

static bool userinfo(struct reading *r, struct imap_url *u)
{
	struct str mechanism;

	if (!decoded(r, is_achar, &u->user) || !is_utf8(u->user))
		return fail(r, "Invalid user in URL");
	if (skip(r, ";AUTH=") && (!decoded(r, is_achar, &mechanism) || mechanism.n == 0))
		return fail(r, "Invalid mechanism in URL");
	return skip(r, "@") || fail(r, "Invalid user in URL");
}

static bool server(struct reading *r, struct imap_url *u)
{
	struct str authority = str_sub(r->rest, 0, str_find(r->rest, '/'));
	size_t n = 0;

	if (str_find(authority, '@') < authority.n && !userinfo(r, u))
		return false;
	if (r->rest.n > 0 && r->rest.p[0] == '[') {
		for (n = 1; n < r->rest.n && in_brackets(r->rest.p[n]); n++)
			;
		if (n == r->rest.n || r->rest.p[n] != ']')
			return fail(r, "Invalid host in URL");
		n++;
	} else {
		while (n < r->rest.n && is_host_char(r->rest.p[n]))
			n++;
	}
	u->host = str_sub(r->rest, 0, n);
	r->rest = str_from(r->rest, n);
	if (u->host.n == 0)
		return fail(r, "Missing host in URL");
	if (!skip(r, ":"))
		return true;
	for (n = 0; n < r->rest.n && ascii_digit(r->rest.p[n]); n++)
		;
	u->port = str_sub(r->rest, 0, n);
	r->rest = str_from(r->rest, n);
	return true;
}

/* ---- the mailbox, the message, the part ---- */

static bool has_dot_segment(struct str path)
{
	while (path.p != NULL) {
		struct str level = str_cut(&path, '/');

		if (str_eqc(level, ".") || str_eqc(level, ".."))
			return true;
	}
	return false;
}

/* enc-mailbox, with the "/" that stands between it and ";UID=". */
static bool mailbox(struct reading *r, struct imap_url *u)
{
	struct str name;

	if (!decoded(r, is_bchar, &name))
		return false;
	if (name.n > 0 && name.p[name.n - 1] == '/' && str_istarts(r->rest, STR(";UID=")))
		name.n--;
	else if (name.n > 0 && str_istarts(r->rest, STR(";UID=")))
		return fail(r, "Missing / before ;UID= in URL");
	if (name.n > 0) {
		if (!is_utf8(name) || has_dot_segment(name))
			return fail(r, "Invalid mailbox in URL");
		u->mailbox = arena_strndup(r->a, name.p, name.n);
	}
	if (!skip(r, ";UIDVALIDITY="))
		return true;
	if (name.n == 0)
		return fail(r, "Missing mailbox in URL");
	if (!nz_number32(r, &u->uidvalidity))
		return false;
	return r->rest.n == 0 || r->rest.p[0] == '?' || skip(r, "/") || fail(r, "Invalid URL");
}

static bool section(struct reading *r, struct imap_url *u)
{
	size_t slash = str_find(r->rest, '/');
	struct reading part = {.rest = str_sub(r->rest, 0, slash), .a = r->a};

	/* "/" may stand in a section, but not before ";PARTIAL=". */
	while (slash < r->rest.n && !str_istarts(str_from(r->rest, slash), STR("/;PARTIAL="))) {
		slash += 1 + str_find(str_from(r->rest, slash + 1), '/');
		part.rest = str_sub(r->rest, 0, slash);
	}
	if (!decoded(&part, is_bchar, &u->section))
		return fail(r, part.why);
	if (u->section.n == 0)
		return fail(r, "Empty section in URL");
	u->has_section = true;
	r->rest = str_from(r->rest, (size_t)(part.rest.p - r->rest.p));
	return true;
}

static bool partial(struct reading *r, struct imap_url *u)
{
	u->partial = true;
	if (!number(r, INT64_MAX, &u->offset))
		return false;
	if (!skip(r, "."))
		return true;
	return number(r, INT64_MAX, &u->size) && (u->size != 0 || fail(r, "A partial of no octets"));
}

/* iuid ["/" isection] ["/" ipartial], each of which may be the first in a relative URL. */
static bool message(struct reading *r, struct imap_url *u)
{
	bool first = true;

	if (skip(r, ";UID=")) {
		if (!nz_number32(r, &u->uid))
			return false;
		first = false;
	}
	if (skip(r, first ? ";SECTION=" : "/;SECTION=")) {
		if (!section(r, u))
			return false;
		first = false;
	}
	if (skip(r, first ? ";PARTIAL=" : "/;PARTIAL="))
		return partial(r, u);
	return true;
}

/* ---- [;EXPIRE=…] ;URLAUTH=access [:mechanism:token] ---- */

/* `form`: what each octet is, 'd' for a digit. */
static bool looks(struct reading *r, const char *form, struct str *out)
{
	size_t n = strlen(form), i;

	for (i = 0; i < n && i < r->rest.n; i++)
		if (form[i] == 'd' ? !ascii_digit(r->rest.p[i]) : ascii_upper(r->rest.p[i]) != form[i])
			return false;
	if (i < n)
		return false;
	*out = str_sub(r->rest, 0, n);
	r->rest = str_from(r->rest, n);
	return true;
}

/* date-time of RFC 3339, read as what IMAP writes. */
static bool expire(struct reading *r, struct imap_url *u)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct str moment, zone = STR("+00:00");
	uint32_t month;
	char *same;
	int minutes;

	if (!looks(r, "dddd-dd-ddTdd:dd:dd", &moment))
		return fail(r, "Invalid date in URL");
	if (skip(r, "."))
		while (r->rest.n > 0 && ascii_digit(r->rest.p[0]))
			r->rest = str_from(r->rest, 1);
	if (!skip(r, "Z") && !looks(r, "+dd:dd", &zone) && !looks(r, "-dd:dd", &zone))
		return fail(r, "Invalid date in URL");
	if (!str_u32(str_sub(moment, 5, 2), &month) || month < 1 || month > 12)
		return fail(r, "Invalid date in URL");
	same = arena_printf(r->a, "%.2s-%.3s-%.4s %.8s %.3s%.2s", moment.p + 8, months + (month - 1) * 3,
	    moment.p, moment.p + 11, zone.p, zone.p + 4);
	u->expires = true;
	return imap_date_time(str_of(same), &u->expire, &minutes) || fail(r, "Invalid date in URL");
}

static bool access(struct reading *r, struct imap_url *u)
{
	static const struct {
		const char *word;
		enum url_access access;
		bool names_user;
	} table[] = {{"submit+", URL_SUBMIT, true}, {"user+", URL_USER, true},
	    {"authuser", URL_AUTHUSER, false}, {"anonymous", URL_ANONYMOUS, false}};
	size_t i;

	for (i = 0; i < ARRAY_LEN(table) && !skip(r, table[i].word); i++)
		;
	if (i == ARRAY_LEN(table))
		return fail(r, "Unknown access identifier in URL");
	u->access = table[i].access;
	if (!table[i].names_user)
		return true;
	return (decoded(r, is_achar, &u->access_user) && u->access_user.n > 0 && is_utf8(u->access_user)) ||
	       fail(r, "Invalid user in access identifier");
}

static bool is_mechanism_char(char c)
{
	return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '.';
}

static bool verifier(struct reading *r, struct imap_url *u)
{
	size_t n;

	if (!skip(r, ":"))
		return true;
	for (n = 0; n < r->rest.n && is_mechanism_char(r->rest.p[n]); n++)
		;
	u->mechanism = str_sub(r->rest, 0, n);
	r->rest = str_from(r->rest, n);
	if (n == 0 || !skip(r, ":"))
		return fail(r, "Invalid authorisation in URL");
	for (n = 0; n < r->rest.n && (ascii_digit(r->rest.p[n]) || (ascii_lower(r->rest.p[n]) >= 'a' &&
	                                                               ascii_lower(r->rest.p[n]) <= 'f'));
	     n++)
		;
	u->token = str_sub(r->rest, 0, n);
	r->rest = str_from(r->rest, n);
	return n >= TOKEN_MIN || fail(r, "Authorisation in URL is too short");
}

static bool authorisation(struct reading *r, struct imap_url *u, struct str text)
{
	if (skip(r, ";EXPIRE=") && !expire(r, u))
		return false;
	if (skip(r, ";URLAUTH=")) {
		if (!access(r, u))
			return false;
		u->rump = str_sub(text, 0, (size_t)(r->rest.p - text.p));
		return verifier(r, u);
	}
	return !u->expires || fail(r, "An expiry without authorisation");
}

/* ---- all of it ---- */

static bool is_query_char(char c)
{
	return is_bchar(c) || c == ';' || c == '?' || c == '%';
}

/* imessagelist's search is looked at by nobody here. */
static bool query(struct reading *r)
{
	if (!skip(r, "?"))
		return true;
	while (r->rest.n > 0 && is_query_char(r->rest.p[0]))
		r->rest = str_from(r->rest, 1);
	return true;
}

static bool read_url(struct reading *r, struct imap_url *u, struct str text)
{
	u->absolute = skip(r, "imap://");
	u->network = u->absolute || skip(r, "//");
	if (u->network && !server(r, u))
		return false;
	u->rooted = skip(r, "/");
	if (u->network && !u->rooted)
		return r->rest.n == 0;
	if (!u->rooted && str_find(r->rest, ':') < str_find(r->rest, '/') &&
	    str_find(r->rest, ':') < str_find(r->rest, ';'))
		return fail(r, "Unknown scheme of URL"); /* RFC 3986 §4.2 */
	if (!mailbox(r, u) || !message(r, u))
		return false;
	if (u->uid != 0 || u->has_section || u->partial)
		return authorisation(r, u, text);
	return query(r);
}

bool imap_url_parse(struct str text, struct arena *a, struct imap_url *out, const char **why)
{
	struct reading r = {.rest = text, .a = a};
	bool ok;

	*out = (struct imap_url){.absolute = false};
	ok = text.n > 0 && read_url(&r, out, text) && r.rest.n == 0;
	if (why != NULL)
		*why = ok ? NULL : r.why != NULL ? r.why : "Invalid URL";
	return ok;
}

const char *imap_url_mailbox(const struct imap_url *u, const char *selected, struct arena *a)
{
	const char *slash;

	if (u->mailbox == NULL)
		return u->network ? NULL : selected;
	if (u->rooted || selected == NULL)
		return str_ieqc(str_of(u->mailbox), "INBOX") ? "INBOX" : u->mailbox;
	slash = strrchr(selected, '/');
	if (slash == NULL)
		return str_ieqc(str_of(u->mailbox), "INBOX") ? "INBOX" : u->mailbox;
	return arena_printf(a, "%.*s/%s", (int)(slash - selected), selected, u->mailbox);
}
