#include "store/source_file.h"
#include "base/banned.h"

static struct record *live(struct mailbox *m, const struct message *msg)
{
	struct record *r = record_find(m, msg->uid);

	return r != NULL && &r->m == msg ? r : NULL;
}

int mailbox_read(struct mailbox *m, const struct message *msg, struct source **out, struct err *e)
{
	struct mortise_ref ref;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	*out = NULL;
	if (mailbox_must_live(m, e) != 0)
		return e->code;
	if (msg->expunged || m->box == NULL)
		return err_fail(e, MORTISE_E_EXPUNGED, "Some of the messages no longer exist");
	ref = record_ref(record_of(msg));
	return source_file(m, &ref, msg->octets, out, e);
}

int mailbox_read_whole(struct mailbox *m, const struct message *msg, struct source **out, struct err *e)
{
	if (mailbox_read(m, msg, out, e) != 0)
		return e->code;
	source_file_whole(*out);
	return 0;
}

int mailbox_octets(struct mailbox *m, const struct message *msg, uint64_t *octets, struct err *e)
{
	struct source *s;
	struct record *r;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (msg->octets != MORTISE_SIZE_UNKNOWN) {
		*octets = msg->octets;
		return 0;
	}
	if (mailbox_read_whole(m, msg, &s, e) != 0)
		return e->code;
	if (source_size(s, octets, e) == 0) {
		r = live(m, msg);
		if (r != NULL) {
			r->m.octets = *octets;
			r->measured = true;
			m->measured++;
			m->counts.unmeasured--;
			m->counts.octets += *octets;
		}
	}
	source_close(&s);
	return e->code;
}

int mailbox_parts(struct mailbox *m, const struct message *msg, struct source **text, struct arena *a,
    struct mime_part **out, struct err *e)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	*out = NULL;
	if (*text == NULL && mailbox_read_whole(m, msg, text, e) != 0)
		return e->code;
	return mime_parse(*text, &mime_limits_default, a, out, e);
}
