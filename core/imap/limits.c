#include "imap/limits.h"
#include "base/banned.h"

static const char *limit_code(struct session *s, uint64_t limit, uint32_t uid)
{
	if (uid == 0)
		return arena_printf(s->arena, "MESSAGELIMIT %llu", (unsigned long long)limit);
	return arena_printf(s->arena, "MESSAGELIMIT %llu %u", (unsigned long long)limit, uid);
}

bool limit_messages(struct session *s, struct number_set *uids)
{
	uint64_t limit = s->o->message_limit, count = set_count(uids);

	if (limit == 0 || count <= limit)
		return false;
	set_slice(s->arena, uids, count - limit, count, uids);
	s->limited_to = uids->v[0].low;
	return true;
}

bool limit_exceeded(struct session *s, uint64_t messages)
{
	if (s->o->message_limit == 0 || messages <= s->o->message_limit)
		return false;
	reply_no(s, limit_code(s, s->o->message_limit, 0), "Too many messages for one command");
	return true;
}

static uint64_t save_limit(const struct session *s)
{
	return s->o->message_limit != 0 ? s->o->message_limit : s->o->save_limit;
}

bool limit_copy(struct session *s, const struct number_set *uids)
{
	uint64_t limit = save_limit(s), count = set_count(uids);
	struct number_set last;

	if (limit == 0 || count <= limit)
		return false;
	set_slice(s->arena, uids, count - limit, count, &last);
	reply_no(s, limit_code(s, limit, last.v[0].low), "Too many messages to copy at once");
	return true;
}

uint64_t limit_append(struct session *s, const char **code)
{
	uint64_t limit = save_limit(s);

	*code = NULL;
	if (limit == 0 || limit >= s->o->append_messages)
		return s->o->append_messages;
	*code = limit_code(s, limit, 0);
	return limit;
}

/* Whether the numbers and UIDs that every match must have let a message through. */
static bool may_match(const struct search *k, uint32_t sequence, uint32_t uid)
{
	const struct search *child;

	if (k->key == SEARCH_SEQUENCE)
		return set_has(&k->set, sequence);
	if (k->key == SEARCH_UID)
		return set_has(&k->set, uid);
	if (k->key == SEARCH_AND)
		for (child = k->child; child != NULL; child = child->next)
			if (!may_match(child, sequence, uid))
				return false;
	return true;
}

uint32_t limit_search(struct session *s, const struct search *program)
{
	uint32_t i, lowest = 0;
	uint64_t searched = 0;

	for (i = s->o->message_limit != 0 ? view_count(s->view) : 0; i > 0; i--) {
		uint32_t uid = view_message(s->view, i)->uid;

		if (!may_match(program, i, uid))
			continue;
		if (searched++ == s->o->message_limit) {
			s->limited_to = lowest;
			return i;
		}
		lowest = uid;
	}
	return 0;
}

void limit_tell(struct session *s)
{
	const char *code, *text = "These are the last messages only";

	if (s->limited_to == 0 || s->reply.status != RESPONSE_OK)
		return;
	code = limit_code(s, s->o->message_limit, s->limited_to);
	if (s->reply.code == NULL)
		s->reply.code = code;
	else
		response(session_out(s), STR(""), RESPONSE_NO, code, text); /* RFC 9738 §3.1 */
}
