#include "imap/condstore.h"
#include "imap/status.h"
#include "store/derived.h"
#include "base/banned.h"

static uint64_t messages(const struct mailbox_status *s)
{
	return s->messages;
}

static uint64_t recent(const struct mailbox_status *s)
{
	return s->recent;
}

static uint64_t uidnext(const struct mailbox_status *s)
{
	return s->uidnext;
}

static uint64_t uidvalidity(const struct mailbox_status *s)
{
	return s->uidvalidity;
}

static uint64_t unseen(const struct mailbox_status *s)
{
	return s->unseen;
}

static uint64_t size(const struct mailbox_status *s)
{
	return s->size;
}

static uint64_t deleted(const struct mailbox_status *s)
{
	return s->deleted;
}

static uint64_t deleted_size(const struct mailbox_status *s)
{
	return s->deleted_size;
}

static uint64_t highestmodseq(const struct mailbox_status *s)
{
	return s->highestmodseq;
}

static const struct {
	const char *name;
	uint64_t (*value)(const struct mailbox_status *status); /* NULL: write_other knows */
	unsigned want;                                          /* STATUS_… */
} items[] = {
    {"MAILBOXID", NULL, STATUS_MAILBOX_ID}, {"MESSAGES", messages, 0}, {"RECENT", recent, 0},
    {"SIZE", size, STATUS_SIZE}, {"UIDNEXT", uidnext, 0}, {"UIDVALIDITY", uidvalidity, 0},
    {"UNSEEN", unseen, 0}, {"DELETED", deleted, 0},         /* RFC 9051 */
    {"DELETED-STORAGE", deleted_size, STATUS_DELETED_SIZE}, /* RFC 9208 */
    {"HIGHESTMODSEQ", highestmodseq, 0},                    /* RFC 7162; enables CONDSTORE */
    {"APPENDLIMIT", NULL, 0},                               /* RFC 7889 */
};

static bool one_item(struct parse *p, unsigned *item)
{
	struct str name;

	if (!parse_atom(p, &name))
		return false;
	for (*item = 0; *item < ARRAY_LEN(items); ++*item)
		if (str_ieqc(name, items[*item].name))
			return true;
	return parse_fail(p, "Unknown STATUS item");
}

bool status_parse(struct parse *p, struct status_request *out)
{
	unsigned item = 0;
	size_t i;

	_Static_assert(ARRAY_LEN(items) <= STATUS_ITEMS_MAX, "a request has room for all items");
	*out = (struct status_request){.count = 0};
	if (!parse_char(p, '('))
		return false;
	do {
		if (!one_item(p, &item))
			return false;
		for (i = 0; i < out->count && out->items[i] != item; i++)
			;
		if (i == out->count)
			out->items[out->count++] = item;
		out->modseq = out->modseq || items[item].value == highestmodseq;
	} while (parse_skip(p, ' '));
	return parse_char(p, ')');
}

/* The selected mailbox, as this session sees it after it has heard the news. */
static int status_of_selected(struct session *s, unsigned want, struct mailbox_status *out, struct err *e)
{
	bool is_deleted;
	uint64_t octets;
	uint32_t i;

	update_view(s, true);
	*out = (struct mailbox_status){.messages = view_count(s->view),
	    .recent = view_recent(s->view),
	    .uidnext = mailbox_uidnext(s->mailbox),
	    .uidvalidity = mailbox_uidvalidity(s->mailbox),
	    .highestmodseq = s->no_modseq ? 0 : s->settled};
	if ((want & STATUS_MAILBOX_ID) != 0)
		mailbox_id(s->mailbox, out->mailbox_id);
	for (i = 1; i <= out->messages; i++) {
		const struct message *msg = view_message(s->view, i);

		out->unseen += (msg->flags & MORTISE_FLAG_SEEN) == 0 ? 1 : 0;
		if (msg->expunged)
			continue;
		is_deleted = (msg->flags & MORTISE_FLAG_DELETED) != 0;
		out->deleted += is_deleted ? 1 : 0;
		if ((want & STATUS_SIZE) == 0 && ((want & STATUS_DELETED_SIZE) == 0 || !is_deleted))
			continue;
		if (mailbox_octets(s->mailbox, msg, &octets, e) != 0)
			return e->code;
		out->size += octets;
		out->deleted_size += is_deleted ? octets : 0;
	}
	return 0;
}

/* What is no number of the mailbox: its id, and the one limit for all of them. */
static void write_other(
    const struct session *s, struct buf *out, unsigned want, const struct mailbox_status *status)
{
	if (want == STATUS_MAILBOX_ID)
		buf_printf(out, "(%s)", status->mailbox_id);
	else
		buf_addu(out, store_message_size(s->setup->store));
}

static void write_items(const struct session *s, struct buf *out, const struct status_request *r,
    const struct mailbox_status *status)
{
	const char *between = " (";
	size_t i;

	for (i = 0; i < r->count; i++, between = " ") {
		buf_printf(out, "%s%s ", between, items[r->items[i]].name);
		if (items[r->items[i]].value != NULL)
			buf_addu(out, items[r->items[i]].value(status));
		else
			write_other(s, out, items[r->items[i]].want, status);
	}
}

void status_item(struct status_request *r, const char *name)
{
	unsigned item;

	for (item = 0; strcmp(items[item].name, name) != 0; item++)
		ASSERT(item + 1 < ARRAY_LEN(items));
	r->items[r->count++] = item;
}

void status_say(struct session *s, struct buf *out, const char *name, const struct status_request *r,
    const struct mailbox_status *status)
{
	buf_adds(out, "* STATUS ");
	write_mailbox_name(s, out, name);
	write_items(s, out, r, status);
	buf_adds(out, ")\r\n");
}

int status_write(
    struct session *s, struct buf *out, const char *name, const struct status_request *r, struct err *e)
{
	struct mailbox_status status;
	unsigned want = 0;
	size_t i;

	for (i = 0; i < r->count; i++)
		want |= items[r->items[i]].want;
	if (r->modseq)
		condstore_enable(s);
	if (is_selected(s, name))
		status_of_selected(s, want, &status, e);
	else
		store_status(s->setup->store, name, want, &status, e);
	if (e->code != 0)
		return e->code;
	status_say(s, out, name, r, &status);
	return 0;
}

void command_status(struct session *s, struct parse *p)
{
	AUTO_BUF struct buf text = BUF_INIT;
	struct status_request request;
	struct err e = ERR_INIT;
	const char *name;

	if (!parse_sp(p) || !parse_mailbox(p, &name) || !parse_sp(p) || !status_parse(p, &request) ||
	    !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	if (status_write(s, &text, name, &request, &e) != 0) {
		reply_error(s, &e);
		return;
	}
	buf_addstr(session_out(s), buf_str(&text));
	reply_ok(s, NULL, "STATUS completed");
}
