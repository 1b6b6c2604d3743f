/*
 * cache.c: envelopes and body structures in their wire form.
 *
 * They are in the index once they were asked for; what is not there is made from the message. A form is
 * given out as a window into the mailbox's one buffer for it.
 */
#include "store/mailbox_int.h"
#include "base/banned.h"

bool wire_find(struct mailbox *m, uint32_t uid, int kind, struct str *out)
{
	struct err e = ERR_INIT;

	buf_reset(&m->wire);
	if (index_wire(m->index, m->number, uid, kind, STR(""), &m->wire, &e) <= 0)
		return false;
	*out = buf_str(&m->wire);
	return true;
}

struct str wire_keep(struct mailbox *m, uint32_t uid, int kind)
{
	index_wire_put(m->index, m->number, uid, kind, STR(""), buf_str(&m->wire));
	return m->wire.n > 0 ? buf_str(&m->wire) : STR("");
}

int mailbox_envelope(
    struct mailbox *m, const struct message *msg, struct source **text, struct str *out, struct err *e)
{
	AUTO_BUF struct buf header = BUF_INIT;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (wire_find(m, msg->uid, INDEX_ENVELOPE, out))
		return 0;
	if (*text == NULL && mailbox_read(m, msg, text, e) != 0)
		return e->code;
	if (source_header(*text, &header, e) != 0)
		return e->code;
	mime_envelope_of(buf_str(&header), &mime_limits_default, &m->wire);
	*out = wire_keep(m, msg->uid, INDEX_ENVELOPE);
	return 0;
}

int mailbox_structure(struct mailbox *m, const struct message *msg, bool extended, struct source **text,
    struct str *out, struct err *e)
{
	AUTO_ARENA struct arena *a = NULL;
	int kind = extended ? INDEX_BODYSTRUCTURE : INDEX_BODY;
	struct mime_part *root;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (wire_find(m, msg->uid, kind, out))
		return 0;
	a = arena_new("structure");
	if (mailbox_parts(m, msg, text, a, &root, e) != 0)
		return e->code;
	mime_bodystructure(root, extended, &m->wire);
	*out = wire_keep(m, msg->uid, kind);
	return 0;
}
