#include "store/derived.h"

#include "search/sort.h"
#include "store/mailbox_int.h"
#include "base/banned.h"

/* The message header, as far as it is looked at, and perhaps a little more. */
static int read_header(struct mailbox *m, const struct message *msg, struct buf *out, struct err *e)
{
	struct source *s;
	struct str part = STR_NONE;

	if (mailbox_read(m, msg, &s, e) != 0)
		return e->code;
	do {
		size_t from = out->n > 3 ? out->n - 3 : 0; /* an empty line may begin in the chunk before */

		if (source_chunk(s, out->n, &part, e) != 0)
			break;
		buf_addstr(out, str_sub(part, 0, mime_limits_default.header_size - out->n));
		if (str_search(str_from(buf_str(out), from), STR("\n\r\n")) != SIZE_MAX)
			break;
	} while (part.n > 0 && out->n < mime_limits_default.header_size);
	source_close(&s);
	return e->code;
}

/* Appends the record. */
static int compute_record(struct mailbox *m, const struct message *msg, struct buf *out, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("sort record");
	AUTO_BUF struct buf header = BUF_INIT, envelope = BUF_INIT;
	struct str references = STR_NONE;
	struct source *s;

	if (read_header(m, msg, &header, e) != 0)
		return e->code;
	s = source_memory(buf_str(&header));
	if (mime_envelope(s, 0, header.n, NULL, &envelope, e) == 0)
		mime_field_get(s, 0, header.n, STR("References"), NULL, a, &references, e);
	source_close(&s);
	if (e->code == 0)
		sort_record_write(out, buf_str(&envelope), references);
	return e->code;
}

int mailbox_sort_records(struct mailbox *m, const struct message *const *messages, size_t count,
    sort_record_fn *fn, void *arg, struct err *e)
{
	AUTO_BUF struct buf packed = BUF_INIT;
	size_t i;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	for (i = 0; i < count; i++) {
		int r;

		buf_reset(&packed);
		r = compute_record(m, messages[i], &packed, e);
		if (r == MORTISE_E_EXPUNGED)
			err_clear(e);
		else if (r != 0)
			return r;
		r = fn(arg, i, buf_str(&packed));
		if (r != 0)
			return r;
	}
	return 0;
}
