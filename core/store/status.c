#include "store/derived.h"
#include "store/mailbox_int.h"
#include "base/banned.h"

int mailbox_total(struct mailbox *m, uint64_t *out, struct err *e)
{
	uint64_t octets;
	size_t i;

	*out = m->counts.octets;
	if (m->counts.unmeasured == 0)
		return 0;
	if (records_load(m, e) != 0)
		return e->code;
	*out = 0;
	for (i = 0; i < m->records.n; i++) {
		if (mailbox_octets(m, &m->records.v[i]->m, &octets, e) != 0)
			return e->code;
		*out += octets;
	}
	return 0;
}

/* Of those with \Deleted. */
static int total_deleted(struct mailbox *m, uint64_t *out, struct err *e)
{
	uint64_t octets;
	size_t i;

	*out = 0;
	if (m->counts.deleted == 0)
		return 0;
	if (records_load(m, e) != 0)
		return e->code;
	for (i = 0; i < m->records.n; i++) {
		const struct message *msg = &m->records.v[i]->m;

		if ((msg->flags & MORTISE_FLAG_DELETED) == 0)
			continue;
		if (mailbox_octets(m, msg, &octets, e) != 0)
			return e->code;
		*out += octets;
	}
	return 0;
}

int mailbox_status_now(struct mailbox *m, unsigned want, struct mailbox_status *out, struct err *e)
{
	*out = (struct mailbox_status){.messages = m->counts.messages,
	    .recent = m->counts.recent,
	    .unseen = m->counts.unseen,
	    .deleted = m->counts.deleted,
	    .uidnext = m->uidnext,
	    .uidvalidity = m->uidvalidity,
	    .highestmodseq = mailbox_highestmodseq(m)};
	if ((want & STATUS_MAILBOX_ID) != 0)
		mailbox_id(m, out->mailbox_id);
	if ((want & STATUS_DELETED_SIZE) != 0 && total_deleted(m, &out->deleted_size, e) != 0)
		return e->code;
	return (want & STATUS_SIZE) != 0 ? mailbox_total(m, &out->size, e) : 0;
}

int store_status(struct store *s, const char *name, unsigned want, struct mailbox_status *out, struct err *e)
{
	struct mailbox *m;

	CHECK_OBJ(s, STORE_MAGIC);
	*out = (struct mailbox_status){0};
	if (mailbox_open(s, name, MAILBOX_READ_ONLY | MAILBOX_KEEP_RECENT, &m, e) != 0)
		return e->code;
	mailbox_status_now(m, want, out, e);
	mailbox_close(&m);
	return e->code;
}
