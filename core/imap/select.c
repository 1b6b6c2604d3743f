/*
 * select.c: SELECT, EXAMINE, CLOSE (RFC 3501 §6.3.1, §6.3.2, §6.4.2), UNSELECT (RFC 3691). The parameters of
 * RFC 7162 are in qresync.c.
 */
#include "imap/condstore.h"
#include "imap/contexts.h"
#include "imap/list.h"
#include "imap/search_result.h"
#include "imap/fetch.h"
#include "imap/notify.h"
#include "log/log.h"
#include "store/derived.h"
#include "base/banned.h"

void session_deselect(struct session *s)
{
	CHECK_OBJ(s, SESSION_MAGIC);
	if (s->view == NULL)
		return;
	saved_clear(s);
	fetch_kept_forget(s);
	contexts_clear(s);
	notify_left(s);
	view_close(&s->view);
	mailbox_close(&s->mailbox);
	log_set_mailbox(NULL);
}

bool is_selected(const struct session *s, const char *name)
{
	return s->mailbox != NULL && strcmp(mailbox_name(s->mailbox), name) == 0;
}

bool session_writable(struct session *s)
{
	if (!mailbox_read_only(s->mailbox))
		return true;
	reply_no(s, NULL, "Mailbox is open read-only");
	return false;
}

static int open_mailbox(struct session *s, const char *name, unsigned flags, struct err *e)
{
	if (mailbox_open(s->setup->store, name, flags, &s->mailbox, e) != 0)
		return e->code;
	if (view_open(s->mailbox, &s->view, e) != 0) {
		mailbox_close(&s->mailbox);
		return e->code;
	}
	log_set_mailbox(name);
	return 0;
}

/* RFC 9051 §6.3.2 has no RECENT and no UNSEEN, but LIST. */
static void describe(struct session *s, const char *oldname)
{
	struct buf *out = session_out(s);
	uint32_t unseen = s->rev2 || s->uidonly ? 0 : view_first_unseen(s->view);
	char id[MAILBOX_ID_SIZE];

	write_flag_lists(s);
	buf_printf(out, "* %u EXISTS\r\n", view_count(s->view));
	if (!s->rev2)
		buf_printf(out, "* %u RECENT\r\n", view_recent(s->view));
	if (unseen != 0)
		buf_printf(out, "* OK [UNSEEN %u] First unseen message\r\n", unseen);
	buf_printf(out, "* OK [UIDVALIDITY %u] UIDs valid\r\n", mailbox_uidvalidity(s->mailbox));
	buf_printf(out, "* OK [UIDNEXT %u] Predicted next UID\r\n", mailbox_uidnext(s->mailbox));
	mailbox_id(s->mailbox, id);
	buf_printf(out, "* OK [MAILBOXID (%s)] Object id\r\n", id);
	if (s->rev2)
		list_write(s, out,
		    &(struct list_line){.word = "LIST",
		        .entry = {.name = mailbox_name(s->mailbox), .separator = '/'},
		        .oldname = oldname});
	condstore_selected(s);
	response(out, STR(""), RESPONSE_OK, "URLMECH INTERNAL", "URLs are authorised so"); /* RFC 4467 §8 */
	if (!mailbox_uids_stick(s->mailbox))
		response(out, STR(""), RESPONSE_NO, "UIDNOTSTICKY", "UIDs are of this session only");
}

/* SP mailbox. *oldname: another spelling of INBOX, or NULL; the LIST tells it (RFC 9051 §8). */
static bool selected_name(struct session *s, struct parse *p, const char **name, const char **oldname)
{
	struct parse again;
	struct str given;

	*oldname = NULL;
	if (!parse_sp(p))
		return false;
	again = *p;
	if (!parse_mailbox(p, name))
		return false;
	if (strcmp(*name, "INBOX") == 0 && parse_astring(&again, &given) && !str_eqc(given, "INBOX"))
		*oldname = arena_str(s->arena, given).p;
	return true;
}

/* Whatever becomes of it, the mailbox that was selected before is not any more (RFC 3501 §6.3.1). */
static void select_mailbox(struct session *s, struct parse *p, unsigned flags)
{
	bool examine = (flags & MAILBOX_READ_ONLY) != 0;
	struct select_parameters parameters;
	struct err e = ERR_INIT;
	const char *name, *oldname;

	if (!selected_name(s, p, &name, &oldname) || !select_parameters(s, p, &parameters) || !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	if (s->view != NULL) /* RFC 7162 §3.2.11 */
		response(session_out(s), STR(""), RESPONSE_OK, "CLOSED", "The previous mailbox is closed");
	session_deselect(s);
	s->condstore = s->condstore || parameters.condstore;
	if (open_mailbox(s, name, flags, &e) != 0) {
		reply_error(s, &e);
		return;
	}
	notify_entered(s);
	describe(s, oldname);
	if (parameters.qresync)
		resynchronise(s, &parameters);
	reply_ok(s, mailbox_read_only(s->mailbox) ? "READ-ONLY" : "READ-WRITE",
	    examine ? "EXAMINE completed" : "SELECT completed");
}

void command_select(struct session *s, struct parse *p)
{
	select_mailbox(s, p, 0);
}

void command_examine(struct session *s, struct parse *p)
{
	select_mailbox(s, p, MAILBOX_READ_ONLY | MAILBOX_KEEP_RECENT);
}

/* Expunges silently. When it cannot, nothing is lost: the messages keep their \Deleted. */
void command_close(struct session *s, struct parse *p UNUSED)
{
	struct err e = ERR_INIT;
	uint32_t count;

	if (!mailbox_read_only(s->mailbox) && mailbox_expunge(s->mailbox, NULL, &count, &e) != 0)
		report_error(s, &e);
	session_deselect(s);
	reply_ok(s, NULL, "CLOSE completed");
}

void command_unselect(struct session *s, struct parse *p UNUSED)
{
	session_deselect(s);
	reply_ok(s, NULL, "UNSELECT completed");
}
