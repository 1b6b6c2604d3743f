/*
 * mailboxes.c: CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3).
 */
#include "charset/charset.h"
#include "imap/list.h"
#include "imap/notify.h"
#include "store/special_use.h"
#include "base/banned.h"

static bool one_name(struct session *s, struct parse *p, const char **name)
{
	if (parse_sp(p) && parse_mailbox(p, name) && parse_end(p))
		return true;
	reply_bad(s, p->error);
	return false;
}

/* The ground is not taken from under a session's own feet. */
static bool refuse_selected(struct session *s, const char *name)
{
	if (!is_selected(s, name))
		return false;
	reply_no(s, "INUSE", "The mailbox is selected in this session");
	return true;
}

/*
 * A name to be made by a client that speaks UTF-8 is made in Net-Unicode (RFC 9051 §5.1, RFC 6855 §3), and
 * when that is not how it was written, the client is told.
 */
static const char *net_unicode(struct session *s, const char *name)
{
	AUTO_BUF struct buf b = BUF_INIT;

	if (!session_utf8(s))
		return name;
	utf8_to_nfc(&b, str_of(name));
	return arena_strdup(s->arena, buf_cstr(&b));
}

static void tell_name(struct session *s, const char *name, const char *oldname)
{
	list_write(s, session_out(s),
	    &(struct list_line){
	        .word = "LIST", .entry = {.name = name, .separator = '/'}, .oldname = oldname});
}

/* ---- CREATE (RFC 6154 §3: with special uses) ---- */
struct creation {
	const char *name, *given; /* how it is made, how it was written */
	unsigned uses;
	bool refused; /* one of the uses cannot be given */
};

static bool use_list(struct parse *p, struct creation *c)
{
	struct str name;
	enum special_use use;

	if (!parse_char(p, '('))
		return false;
	if (parse_skip(p, ')'))
		return true;
	do {
		if (!parse_char(p, '\\') || !parse_atom(p, &name))
			return false;
		/* With the backslash that stands in front of it. */
		if (special_use_parse(str_mem(name.p - 1, name.n + 1), &use))
			c->uses |= 1u << use;
		else
			c->refused = true;
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

/* [SP "(" "USE" SP "(" uses "))"] */
static bool create_parameters(struct parse *p, struct creation *c)
{
	if (!parse_skip(p, ' '))
		return true;
	if (!parse_char(p, '('))
		return false;
	do {
		if (!parse_word(p, "USE"))
			return parse_fail(p, "Unknown CREATE parameter");
		if (!parse_sp(p) || !use_list(p, c))
			return false;
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

/* The name without the choice of a format. */
static const char *plain_name(const char *name)
{
	const char *slash = strncmp(name, "#driver.", 8) == 0 ? strchr(name, '/') : NULL;

	return slash != NULL ? slash + 1 : name;
}

static bool is_level(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && name[n - 1] == '/';
}

/* Without its uses the mailbox may not be there either. */
static void create(struct session *s, const struct creation *c, struct mailbox_status *status, struct err *e)
{
	struct store *store = s->setup->store;
	struct err ignored = ERR_INIT; /* what was asked for is done, or not, all the same */

	if (store_create(store, c->name, e) != 0)
		return;
	notify_did(s, EVENT_NAME, plain_name(c->name));
	if (is_level(c->name))
		return;
	if (c->uses != 0 && store_special_use_set(store, plain_name(c->name), c->uses, e) != 0)
		store_delete(store, plain_name(c->name), &ignored);
	else
		store_status(store, plain_name(c->name), STATUS_MAILBOX_ID, status, &ignored);
}

void command_create(struct session *s, struct parse *p)
{
	struct creation c = {.refused = false};
	struct mailbox_status status = {.messages = 0};
	struct err e = ERR_INIT;
	const char *code = NULL;

	if (!parse_sp(p) || !parse_mailbox(p, &c.given) || !create_parameters(p, &c) || !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	c.name = net_unicode(s, c.given);
	if (c.refused || (c.uses != 0 && is_level(c.name))) {
		reply_no(s, "USEATTR", "A special use cannot be given to this mailbox");
		return;
	}
	create(s, &c, &status, &e);
	if (e.code == 0 && strcmp(c.name, c.given) != 0)
		tell_name(s, plain_name(c.name), plain_name(c.given));
	if (status.mailbox_id[0] != '\0')
		code = arena_printf(s->arena, "MAILBOXID (%s)", status.mailbox_id);
	if (e.code != 0)
		reply_error(s, &e);
	else
		reply_ok(s, code, "CREATE completed");
}

void command_delete(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *name;

	if (!one_name(s, p, &name) || refuse_selected(s, name))
		return;
	if (store_delete(s->setup->store, name, &e) == 0)
		notify_did(s, EVENT_NAME, name);
	reply_result(s, &e, "DELETE completed");
}

void command_rename(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *from, *given, *to;

	if (!parse_sp(p) || !parse_mailbox(p, &from)) {
		reply_bad(s, p->error);
		return;
	}
	if (!one_name(s, p, &given) || refuse_selected(s, from))
		return;
	to = net_unicode(s, given);
	if (store_rename(s->setup->store, from, to, &e) == 0) {
		notify_did(s, EVENT_NAME, from);
		notify_did(s, EVENT_NAME, to);
	}
	if (e.code == 0 && strcmp(to, given) != 0)
		tell_name(s, to, from);
	reply_result(s, &e, "RENAME completed");
}

void command_subscribe(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *name;

	if (!one_name(s, p, &name))
		return;
	if (store_subscribe(s->setup->store, name, true, &e) == 0)
		notify_did(s, EVENT_SUBSCRIPTION, name);
	reply_result(s, &e, "SUBSCRIBE completed");
}

void command_unsubscribe(struct session *s, struct parse *p)
{
	struct err e = ERR_INIT;
	const char *name;

	if (!one_name(s, p, &name))
		return;
	if (store_subscribe(s->setup->store, name, false, &e) == 0)
		notify_did(s, EVENT_SUBSCRIPTION, name);
	reply_result(s, &e, "UNSUBSCRIBE completed");
}
