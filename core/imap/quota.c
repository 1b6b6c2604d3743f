/*
 * quota.c: GETQUOTA, GETQUOTAROOT and SETQUOTA (RFC 9208).
 */
#include "store/quota.h"

#include "imap/session_int.h"
#include "mime/mime.h"
#include "base/banned.h"

static void write_root(struct session *s, const struct quota_root *r)
{
	struct buf *out = session_out(s);
	const char *between = "";
	int i;

	buf_adds(out, "* QUOTA ");
	imap_astring(out, str_of(r->name));
	buf_adds(out, " (");
	for (i = 0; i < QUOTA_RESOURCES; i++) {
		if (r->limit.of[i] == QUOTA_UNLIMITED)
			continue;
		buf_printf(out, "%s%s ", between, quota_resource_names[i]);
		buf_addu(out, r->usage[i]);
		buf_addc(out, ' ');
		buf_addu(out, r->limit.of[i]);
		between = " ";
	}
	buf_adds(out, ")\r\n");
}

/* A root's name as a C string; what holds a NUL is the name of none. */
static bool root_name(struct parse *p, const char **name)
{
	struct str text;

	if (!parse_astring(p, &text))
		return false;
	if (str_find(text, '\0') < text.n)
		return parse_fail(p, "Invalid quota root");
	*name = arena_str(p->arena, text).p;
	return true;
}

static int tell(struct session *s, const char *name, struct err *e)
{
	struct quota_root root;

	if (store_quota(s->setup->store, name, s->arena, &root, e) == 0)
		write_root(s, &root);
	return e->code;
}

void command_getquota(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *name;

	if (!parse_sp(p) || !root_name(p, &name) || !parse_end(p))
		reply_bad(s, p->error);
	else if (tell(s, name, &e) != 0)
		reply_error(s, &e);
	else
		reply_ok(s, NULL, "GETQUOTA completed");
}

void command_getquotaroot(struct session *s, struct parse *p)
{
	struct buf *out = session_out(s);
	const char *const *roots;
	struct err e = ERR_INIT;
	const char *mailbox;
	size_t count, i;

	if (!parse_sp(p) || !parse_mailbox(p, &mailbox) || !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	if (store_quota_roots(s->setup->store, mailbox, s->arena, &roots, &count, &e) == 0) {
		buf_adds(out, "* QUOTAROOT ");
		write_mailbox_name(s, out, mailbox);
		for (i = 0; i < count; i++) {
			buf_addc(out, ' ');
			imap_astring(out, str_of(roots[i]));
		}
		buf_adds(out, "\r\n");
		for (i = 0; i < count && tell(s, roots[i], &e) == 0; i++)
			;
	}
	reply_result(s, &e, "GETQUOTAROOT completed");
}

/* "(" [resource SP number *(SP resource SP number)] ")" */
static bool limit_list(struct parse *p, struct quota_limits *out, bool *unknown)
{
	struct str name;
	uint64_t number;
	int i;

	for (i = 0; i < QUOTA_RESOURCES; i++)
		out->of[i] = QUOTA_UNLIMITED;
	*unknown = false;
	if (!parse_char(p, '('))
		return false;
	if (parse_skip(p, ')'))
		return true;
	do {
		enum quota_resource r;

		if (!parse_atom(p, &name) || !parse_sp(p) || !parse_number64(p, &number))
			return false;
		if (!quota_resource_parse(name, &r) || number > INT64_MAX / 1024)
			*unknown = true;
		else
			out->of[r] = number;
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

void command_setquota(struct session *s, struct parse *p)
{
	struct quota_limits limits;
	struct err e = ERR_INIT;
	const char *name;
	bool unknown;

	if (!parse_sp(p) || !root_name(p, &name) || !parse_sp(p) || !limit_list(p, &limits, &unknown) ||
	    !parse_end(p)) {
		reply_bad(s, p->error);
	} else if (!store_quota_administrator(s->setup->store)) {
		reply_no(s, "NOPERM", "Limits are set by administrators");
	} else if (unknown) {
		reply_no(s, "CANNOT", "This limit cannot be set");
	} else if (store_quota_set(s->setup->store, name, &limits, &e) != 0 || tell(s, name, &e) != 0) {
		reply_error(s, &e);
	} else {
		reply_ok(s, NULL, "SETQUOTA completed");
	}
}

void write_quota_warning(struct session *s)
{
	if (store_quota_warns(s->setup->store))
		response(session_out(s), STR(""), RESPONSE_NO, "OVERQUOTA", "Soft quota has been exceeded");
}
