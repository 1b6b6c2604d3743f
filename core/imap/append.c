/*
 * append.c: APPEND (RFC 3501 §6.3.11), with APPENDUID (RFC 4315) and several messages in one command (RFC
 * 3502), REPLACE and UID REPLACE (RFC 8508).
 */
#include "imap/append.h"
#include "imap/notify.h"
#include "base/banned.h"

/* Everything of the command is there. */
static bool complete(struct appending *a)
{
	struct session *s = a->s;

	return a->err.code == 0 && !s->reply.given && !s->ended && arguments_end(s, a->p);
}

/* APPENDUID, or NULL when there is nothing to say. */
static const char *append_uid(struct appending *a, uint32_t uidvalidity, const uint32_t *uids, size_t count)
{
	AUTO_BUF struct buf code = BUF_INIT;
	struct number_set set = {0};
	size_t cap = 0, i;

	for (i = 0; i < count && uids[i] != 0; i++)
		set_add(a->s->arena, &set, &cap, uids[i]);
	if (i == 0 || i < count || uidvalidity == 0)
		return NULL;
	buf_printf(&code, "APPENDUID %u ", uidvalidity);
	set_write(&code, &set);
	return arena_strdup(a->s->arena, buf_cstr(&code));
}

/* REPLACE tells where the new message is before it tells that the old one is gone (RFC 8508 §4.3). */
static void conclude(struct appending *a)
{
	struct session *s = a->s;
	uint32_t uidvalidity, *uids;
	const char *code;
	size_t count;

	append_commit(&a->batch, &uidvalidity, s->arena, &uids, &count, &a->err);
	code = append_uid(a, uidvalidity, uids, count);
	notify_put_messages(s, a->mailbox, uids, count);
	if (count > 0)
		write_quota_warning(s);
	if (a->replaced.n > 0 && code != NULL)
		response(session_out(s), STR(""), RESPONSE_OK, code, "Replacement message ready");
	if (a->err.code == 0)
		reply_ok(s, a->replaced.n > 0 ? NULL : code,
		    a->replaced.n > 0 ? "REPLACE completed" : "APPEND completed");
}

static void end(struct appending *a)
{
	struct session *s = a->s;

	append_abort(&a->batch);
	url_reader_close(&a->reader);
	if (a->code != NULL)
		reply_no(s, a->code, a->err.client);
	else if (a->err.code == MORTISE_E_NOTFOUND && (s->mailbox == NULL || !mailbox_gone(s->mailbox)))
		reply_no(s, "TRYCREATE", a->err.client);
	else if (a->err.code != 0)
		reply_error(s, &a->err);
}

void command_append(struct session *s, struct parse *p)
{
	struct appending a = {.s = s, .p = p, .err = ERR_INIT, .reader = {.s = s}};

	if (!parse_sp(p) || !parse_mailbox(p, &a.mailbox)) {
		reply_bad(s, p->error);
		return;
	}
	while (append_take(&a) && (s->at_stream || !parse_at_end(p)))
		;
	if (complete(&a))
		conclude(&a);
	end(&a);
}

/* The one message that goes. False: NO or BAD was said. */
static bool parse_replaced(struct session *s, struct parse *p, struct number_set *uids)
{
	struct str word = str_sub(p->rest, 1, str_find(str_from(p->rest, 1), ' '));
	bool ghosts;

	if (str_find(word, ':') < word.n || str_find(word, ',') < word.n || str_eqc(word, "$")) {
		reply_bad(s, "REPLACE takes one message");
		return false;
	}
	if (!parse_messages(s, p, uids, &ghosts))
		return false;
	if (uids->n == 0 || ghosts) {
		reply_no(s, ghosts ? "EXPUNGEISSUED" : "NONEXISTENT", "There is no such message");
		return false;
	}
	return session_writable(s);
}

void command_replace(struct session *s, struct parse *p)
{
	struct appending a = {.s = s, .p = p, .err = ERR_INIT, .reader = {.s = s}};

	if (!parse_replaced(s, p, &a.replaced))
		return;
	if (!parse_sp(p) || !parse_mailbox(p, &a.mailbox)) {
		reply_bad(s, p->error);
		return;
	}
	append_take(&a);
	if (complete(&a))
		conclude(&a);
	end(&a);
}
