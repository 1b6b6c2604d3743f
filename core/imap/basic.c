/*
 * basic.c: commands that are about the session, not about mail: CAPABILITY, NOOP, LOGOUT, CHECK (RFC 3501
 * §6.1, §6.4.1), ID (RFC 2971), NAMESPACE (RFC 2342).
 */
#include "imap/session_int.h"
#include "mime/mime.h"
#include "base/banned.h"

#define ID_PAIRS_MAX 30u /* RFC 2971 §3.3 */
#define ID_FIELD_MAX 30u
#define ID_VALUE_MAX 1024u

void command_capability(struct session *s, struct parse *p UNUSED)
{
	struct buf *out = session_out(s);

	buf_adds(out, "* CAPABILITY ");
	session_capabilities(s, out);
	buf_adds(out, "\r\n");
	reply_ok(s, NULL, "CAPABILITY completed");
}

/* RFC 9698 */
void command_getjmapaccess(struct session *s, struct parse *p UNUSED)
{
	if (s->o->jmap_url[0] == '\0') {
		reply_bad(s, "JMAP is not offered");
		return;
	}
	buf_adds(session_out(s), "* JMAPACCESS ");
	imap_nstring(session_out(s), str_of(s->o->jmap_url));
	buf_adds(session_out(s), "\r\n");
	reply_ok(s, NULL, "GETJMAPACCESS completed");
}

void command_noop(struct session *s, struct parse *p UNUSED)
{
	reply_ok(s, NULL, "NOOP completed");
}

/* What was acknowledged is on disk already: there is nothing to do but to look for news. */
void command_check(struct session *s, struct parse *p UNUSED)
{
	reply_ok(s, NULL, "CHECK completed");
}

void command_logout(struct session *s, struct parse *p UNUSED)
{
	response(session_out(s), STR(""), RESPONSE_BYE, NULL, "Logging out");
	reply_ok(s, NULL, "LOGOUT completed");
	session_end(s, 0);
}

static bool id_pairs(struct parse *p)
{
	struct str field, value;
	unsigned pairs;

	for (pairs = 0; !parse_skip(p, ')'); pairs++) {
		if (pairs >= ID_PAIRS_MAX)
			return parse_fail(p, "Too many ID fields");
		if (pairs > 0 && !parse_sp(p))
			return false;
		if (!parse_string(p, &field) || !parse_sp(p) || !parse_nstring(p, &value))
			return false;
		if (field.n > ID_FIELD_MAX || value.n > ID_VALUE_MAX)
			return parse_fail(p, "ID field is too long");
	}
	return true;
}

/* What the client says of itself is taken and not kept. */
void command_id(struct session *s, struct parse *p)
{
	if (parse_sp(p) && !parse_word(p, "NIL"))
		(void)(parse_char(p, '(') && id_pairs(p));
	if (!arguments_end(s, p))
		return;
	buf_adds(session_out(s), "* ID (\"name\" \"Mortise\")\r\n");
	reply_ok(s, NULL, "ID completed");
}

void command_namespace(struct session *s, struct parse *p UNUSED)
{
	const struct store_namespace *all;
	size_t count = store_namespaces(s->setup->store, &all), i;
	struct buf *out = session_out(s);
	int kind;

	buf_adds(out, "* NAMESPACE");
	for (kind = NAMESPACE_PERSONAL; kind <= NAMESPACE_SHARED; kind++) {
		size_t found = 0;

		buf_addc(out, ' ');
		for (i = 0; i < count; i++) {
			char separator[2] = {all[i].separator, '\0'};

			if ((int)all[i].kind != kind)
				continue;
			buf_adds(out, found++ == 0 ? "((" : "(");
			write_name_prefix(s, out, all[i].prefix);
			buf_addc(out, ' ');
			imap_nstring(out, separator[0] != '\0' ? str_of(separator) : STR_NONE);
			buf_addc(out, ')');
		}
		buf_adds(out, found > 0 ? ")" : "NIL");
	}
	buf_adds(out, "\r\n");
	reply_ok(s, NULL, "NAMESPACE completed");
}
