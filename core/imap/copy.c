/*
 * copy.c: COPY and UID COPY (RFC 3501 §6.4.7) with COPYUID (RFC 4315), MOVE and UID MOVE (RFC 6851), and the
 * forms of EXPUNGE.
 */
#include "imap/limits.h"
#include "imap/notify.h"
#include "base/banned.h"

static void write_uids(struct session *s, struct buf *out, const uint32_t *uids, size_t count)
{
	struct number_set set = {0};
	size_t cap = 0, i;

	for (i = 0; i < count; i++)
		set_add(s->arena, &set, &cap, uids[i]);
	set_write(out, &set);
}

/* COPYUID, or NULL when there is nothing to say. */
static const char *copyuid(struct session *s, const struct copy_result *r)
{
	AUTO_BUF struct buf code = BUF_INIT;
	size_t i;

	for (i = 0; i < r->count && r->to[i] != 0; i++)
		;
	if (i == 0 || i < r->count || r->uidvalidity == 0)
		return NULL;
	buf_printf(&code, "COPYUID %u ", r->uidvalidity);
	write_uids(s, &code, r->from, r->count);
	buf_addc(&code, ' ');
	write_uids(s, &code, r->to, r->count);
	return arena_strdup(s->arena, buf_cstr(&code));
}

/* MOVE tells where the messages are before it tells that they are gone (RFC 6851 §4.3). */
static void concluded(struct session *s, const struct copy_result *r, bool move, const struct err *e)
{
	const char *code = copyuid(s, r);

	write_quota_warning(s);
	if (move && code != NULL)
		response(session_out(s), STR(""), RESPONSE_OK, code, "Copied");
	if (e->code == 0)
		reply_ok(s, move ? NULL : code, move ? "MOVE completed" : "COPY completed");
	else if (e->code == MORTISE_E_NOTFOUND && !mailbox_gone(s->mailbox))
		reply_no(s, "TRYCREATE", e->client);
	else
		reply_error(s, e);
}

static void copy_or_move(struct session *s, struct parse *p, bool move)
{
	struct copy_result result = {0};
	struct number_set uids;
	struct err e = ERR_INIT;
	const char *to;
	bool ghosts;

	if (!parse_messages(s, p, &uids, &ghosts))
		return;
	if (!parse_sp(p) || !parse_mailbox(p, &to) || !parse_end(p)) {
		reply_bad(s, p->error);
		return;
	}
	if (move && !session_writable(s))
		return;
	if (ghosts) { /* all or nothing */
		reply_no(s, "EXPUNGEISSUED", "Some of the messages no longer exist");
		return;
	}
	if (uids.n == 0) {
		reply_ok(
		    s, NULL, move ? "MOVE completed: no such messages" : "COPY completed: no such messages");
		return;
	}
	if (move)
		limit_messages(s, &uids);
	else if (limit_copy(s, &uids))
		return;
	session_progress(s, 0, 0);
	if (move)
		mailbox_move(s->mailbox, &uids, to, s->arena, &result, &e);
	else
		mailbox_copy(s->mailbox, &uids, to, s->arena, &result, &e);
	session_progress_end(s);
	notify_put_messages(s, to, result.to, result.count);
	concluded(s, &result, move, &e);
}

void command_copy(struct session *s, struct parse *p)
{
	copy_or_move(s, p, false);
}

void command_move(struct session *s, struct parse *p)
{
	copy_or_move(s, p, true);
}

/* The untagged EXPUNGEs come with the update that follows every command. */
static void expunge(struct session *s, const struct number_set *uids)
{
	struct err e = ERR_INIT;
	uint32_t count;

	if (!session_writable(s))
		return;
	if (mailbox_expunge(s->mailbox, uids, &count, &e) != 0)
		reply_error(s, &e);
	else
		reply_ok(s, NULL, "EXPUNGE completed");
}

void command_expunge(struct session *s, struct parse *p UNUSED)
{
	expunge(s, NULL);
}

/* What the limit counts. */
static void only_deleted(struct session *s, struct number_set *uids)
{
	struct number_set deleted = {0};
	uint32_t count = view_count(s->view), i;
	size_t cap = 0;

	for (i = 1; i <= count; i++) {
		const struct message *msg = view_message(s->view, i);

		if ((msg->flags & MORTISE_FLAG_DELETED) != 0 && set_has(uids, msg->uid))
			set_add(s->arena, &deleted, &cap, msg->uid);
	}
	*uids = deleted;
}

void command_uid_expunge(struct session *s, struct parse *p)
{
	struct number_set uids;

	if (!parse_messages(s, p, &uids, NULL) || !arguments_end(s, p))
		return;
	if (s->o->message_limit != 0) {
		only_deleted(s, &uids);
		limit_messages(s, &uids);
	}
	expunge(s, &uids);
}
