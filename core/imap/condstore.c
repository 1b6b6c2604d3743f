#include "imap/condstore.h"
#include "log/log.h"
#include "base/banned.h"

#define RANGES_A_LINE 500u /* of VANISHED: below 12 KiB */

static const char *highest(struct session *s)
{
	return arena_printf(s->arena, "HIGHESTMODSEQ %llu", (unsigned long long)s->settled);
}

void condstore_enable(struct session *s)
{
	if (s->condstore)
		return;
	s->condstore = true;
	if (s->view != NULL && !s->no_modseq)
		response(
		    session_out(s), STR(""), RESPONSE_OK, highest(s), "Mod-sequences are told from now on");
}

bool condstore_possible(struct session *s)
{
	if (!s->no_modseq)
		return true;
	reply_bad(s, "The mailbox has no mod-sequences");
	return false;
}

void condstore_selected(struct session *s)
{
	s->settled = mailbox_highestmodseq(s->mailbox);
	s->no_modseq = s->settled == 0;
	s->unsettled = false;
	if (s->no_modseq)
		response(session_out(s), STR(""), RESPONSE_OK, "NOMODSEQ", "Mod-sequences are not kept");
	else
		response(session_out(s), STR(""), RESPONSE_OK, highest(s), "Highest mod-sequence");
}

void condstore_settle(struct session *s)
{
	bool needed = s->unsettled ? s->told_modseq : s->qresync && s->told_vanished;

	if (s->view == NULL || s->no_modseq || !s->condstore || !needed)
		return;
	if (s->reply.status == RESPONSE_OK && s->reply.code == NULL)
		s->reply.code = highest(s);
	else
		response(session_out(s), STR(""), RESPONSE_OK, highest(s), "All is told up to here");
}

bool session_vanishes(const struct session *s)
{
	return s->uidonly || (s->qresync && !s->no_modseq); /* RFC 9586 §3.6 */
}

void write_vanished(struct session *s, bool earlier, const struct number_set *uids)
{
	struct buf *out = session_out(s);
	size_t i;

	for (i = 0; i < uids->n && session_written(s); i += RANGES_A_LINE) {
		size_t n = uids->n - i < RANGES_A_LINE ? uids->n - i : RANGES_A_LINE;

		buf_adds(out, earlier ? "* VANISHED (EARLIER) " : "* VANISHED ");
		set_write(out, &(struct number_set){uids->v + i, n});
		buf_adds(out, "\r\n");
	}
}

static void view_uids(struct session *s, struct number_set *out)
{
	uint32_t count = view_count(s->view), i;
	size_t cap = 0;

	*out = (struct number_set){0};
	for (i = 1; i <= count; i++)
		set_add(s->arena, out, &cap, view_message(s->view, i)->uid);
}

/* Another session may have expunged what this client still has: that comes as VANISHED, in its turn. */
void write_vanished_earlier(struct session *s, uint64_t since, const struct number_set *uids)
{
	struct set_range ever = {1, mailbox_uidnext(s->mailbox) - 1};
	struct number_set asked, gone, present;
	struct err e = ERR_INIT;

	if (ever.high == 0)
		return;
	set_both(s->arena, uids, &(struct number_set){&ever, 1}, &asked);
	if (asked.n == 0)
		return;
	if (mailbox_vanished(s->mailbox, since, &asked, s->arena, &gone, &e) != 0) {
		log_err(MSG_IMAP_FAILED, &e, "VANISHED");
		gone = asked; /* what is not there: more than was asked for, and as true */
	}
	if (gone.n == 0)
		return;
	view_uids(s, &present);
	set_without(s->arena, &gone, &present, &asked);
	write_vanished(s, true, &asked);
}
