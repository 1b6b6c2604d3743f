#include "store/mailbox_int.h"
#include "base/banned.h"

static int count(struct mailbox *m, struct mailbox_status *out, struct err *e)
{
	size_t i;

	*out = (struct mailbox_status){
	    .messages = (uint32_t)m->records.n, .uidnext = m->uidnext, .uidvalidity = m->uidvalidity};
	for (i = 0; i < m->records.n; i++) {
		const struct message *msg = &m->records.v[i]->m;

		out->recent += msg->recent ? 1 : 0;
		out->unseen += (msg->flags & MORTISE_FLAG_SEEN) == 0 ? 1 : 0;
		out->deleted += (msg->flags & MORTISE_FLAG_DELETED) != 0 ? 1 : 0;
		if (msg->octets != MORTISE_SIZE_UNKNOWN)
			out->size += msg->octets;
	}
	return e->code;
}

int store_status(struct store *s, const char *name, struct mailbox_status *out, struct err *e)
{
	struct mailbox *m;

	CHECK_OBJ(s, STORE_MAGIC);
	*out = (struct mailbox_status){0};
	if (mailbox_open(s, name, MAILBOX_READ_ONLY | MAILBOX_KEEP_RECENT, &m, e) != 0)
		return e->code;
	count(m, out, e);
	mailbox_close(&m);
	return e->code;
}
