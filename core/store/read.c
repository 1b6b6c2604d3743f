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

/* *line: where the last line that was looked at begins. */
static bool has_empty_line(struct str s, size_t *line)
{
	while (*line + 1 < s.n && (s.p[*line] != '\r' || s.p[*line + 1] != '\n')) {
		size_t end = *line + str_find(str_from(s, *line), '\n');

		if (end == s.n)
			return false;
		*line = end + 1;
	}
	return *line + 1 < s.n;
}

int source_header(struct source *s, struct buf *out, struct err *e)
{
	size_t start = out->n, line = 0, most = mime_limits_default.header_size;
	struct str part = STR_NONE;

	do {
		if (source_chunk(s, out->n - start, &part, e) != 0)
			return e->code;
		buf_addstr(out, str_sub(part, 0, most - (out->n - start)));
	} while (
	    part.n > 0 && out->n - start < most && !has_empty_line(str_from(buf_str(out), start), &line));
	return 0;
}

int mailbox_header(struct mailbox *m, const struct message *msg, struct buf *out, struct err *e)
{
	struct source *s;

	if (mailbox_read(m, msg, &s, e) != 0)
		return e->code;
	source_header(s, out, e);
	source_close(&s);
	return e->code;
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
