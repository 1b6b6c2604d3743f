/*
 * mailboxes.c: CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3).
 */
#include "imap/session_int.h"
#include "base/banned.h"

static bool one_name(struct session *s, struct parse *p, const char **name)
{
	if (parse_sp(p) && parse_mailbox(p, name) && parse_end(p))
		return true;
	reply_bad(s, p->error);
	return false;
}

static void conclude(struct session *s, const struct err *e, const char *completed)
{
	if (e->code != 0)
		reply_error(s, e);
	else
		reply_ok(s, NULL, completed);
}

/* The ground is not taken from under a session's own feet. */
static bool refuse_selected(struct session *s, const char *name)
{
	if (!is_selected(s, name))
		return false;
	reply_no(s, "INUSE", "The mailbox is selected in this session");
	return true;
}

void command_create(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *name;

	if (!one_name(s, p, &name))
		return;
	store_create(s->setup->store, name, &e);
	conclude(s, &e, "CREATE completed");
}

void command_delete(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *name;

	if (!one_name(s, p, &name) || refuse_selected(s, name))
		return;
	store_delete(s->setup->store, name, &e);
	conclude(s, &e, "DELETE completed");
}

void command_rename(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *from, *to;

	if (!parse_sp(p) || !parse_mailbox(p, &from)) {
		reply_bad(s, p->error);
		return;
	}
	if (!one_name(s, p, &to) || refuse_selected(s, from))
		return;
	store_rename(s->setup->store, from, to, &e);
	conclude(s, &e, "RENAME completed");
}

void command_subscribe(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *name;

	if (!one_name(s, p, &name))
		return;
	store_subscribe(s->setup->store, name, true, &e);
	conclude(s, &e, "SUBSCRIBE completed");
}

void command_unsubscribe(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *name;

	if (!one_name(s, p, &name))
		return;
	store_subscribe(s->setup->store, name, false, &e);
	conclude(s, &e, "UNSUBSCRIBE completed");
}
