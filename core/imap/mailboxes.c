/*
 * mailboxes.c: CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, STATUS (RFC 3501 §6.3).
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

static bool is_selected(const struct session *s, const char *name)
{
	return s->mailbox != NULL && strcmp(mailbox_name(s->mailbox), name) == 0;
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

/* ---- STATUS ---- */
enum status_item { MESSAGES, RECENT, UIDNEXT, UIDVALIDITY, UNSEEN, STATUS_ITEMS };
static const char *const status_names[STATUS_ITEMS] = {
    "MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN"};

static bool status_item(struct parse *p, enum status_item *item)
{
	struct str name;
	int i;

	if (!parse_atom(p, &name))
		return false;
	for (i = 0; i < STATUS_ITEMS; i++) {
		if (str_ieqc(name, status_names[i])) {
			*item = (enum status_item)i;
			return true;
		}
	}
	return parse_fail(p, "Unknown STATUS item");
}

static bool status_items(struct parse *p, enum status_item *items, size_t *count)
{
	enum status_item item = MESSAGES;
	size_t i;

	*count = 0;
	if (!parse_char(p, '('))
		return false;
	do {
		if (!status_item(p, &item))
			return false;
		for (i = 0; i < *count && items[i] != item; i++)
			;
		if (i == *count)
			items[(*count)++] = item;
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

/* The selected mailbox, as this session sees it after it has heard the news. */
static void status_of_selected(struct session *s, struct mailbox_status *out)
{
	uint32_t i;

	update_view(s, true);
	*out = (struct mailbox_status){.messages = view_count(s->view),
	    .recent = view_recent(s->view),
	    .uidnext = mailbox_uidnext(s->mailbox),
	    .uidvalidity = mailbox_uidvalidity(s->mailbox)};
	for (i = 1; i <= out->messages; i++)
		out->unseen += (view_message(s->view, i)->flags & MORTISE_FLAG_SEEN) == 0 ? 1 : 0;
}

static void write_status(struct session *s, const char *name, const struct mailbox_status *status,
    const enum status_item *items, size_t count)
{
	const uint32_t values[STATUS_ITEMS] = {[MESSAGES] = status->messages,
	    [RECENT] = status->recent,
	    [UIDNEXT] = status->uidnext,
	    [UIDVALIDITY] = status->uidvalidity,
	    [UNSEEN] = status->unseen};
	struct buf *out = session_out(s);
	size_t i;

	buf_adds(out, "* STATUS ");
	write_mailbox_name(out, name);
	for (i = 0; i < count; i++)
		buf_printf(out, "%s%s %u", i == 0 ? " (" : " ", status_names[items[i]], values[items[i]]);
	buf_adds(out, ")\r\n");
}

void command_status(struct session *s, struct parse *p)
{
	enum status_item items[STATUS_ITEMS];
	struct mailbox_status status;
	struct err e = ERR_INIT;
	const char *name;
	size_t count;

	if (!parse_sp(p) || !parse_mailbox(p, &name) || !parse_sp(p) || !status_items(p, items, &count) ||
	    !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	if (is_selected(s, name)) {
		status_of_selected(s, &status);
	} else if (store_status(s->setup->store, name, &status, &e) != 0) {
		reply_error(s, &e);
		return;
	}
	write_status(s, name, &status, items, count);
	reply_ok(s, NULL, "STATUS completed");
}
