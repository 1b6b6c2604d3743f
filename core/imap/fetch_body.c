/*
 * fetch_body.c: a section of a message, from the source to the socket in the pieces in which it is read.
 *
 * The literal's size is promised before its octets are read. When they cannot be read to the end (the file is
 * cut short or damaged under us) there is nothing right left to say, and the connection is closed.
 */
#include "imap/fetch.h"
#include "log/log.h"
#include "base/banned.h"

static int open_source(struct fetch_message *f, struct err *e)
{
	if (f->source != NULL)
		return 0;
	return mailbox_read(f->s->mailbox, f->message, &f->source, e);
}

/* For sections of the message itself its header's end is enough; the parts need all of it parsed. */
static int find_whole(struct fetch_message *f, const struct fetch_item *item, struct err *e)
{
	bool needs_header = item->section.text != MIME_WHOLE;

	if (f->whole == NULL) {
		f->whole = arena_new_of(f->arena, struct mime_part);
		if (source_size(f->source, &f->whole->end, e) != 0)
			return e->code;
	}
	if (needs_header && f->whole->body_start == 0)
		return mime_header_end(f->source, &f->whole->body_start, e);
	return 0;
}

static int find_range(
    struct fetch_message *f, const struct fetch_item *item, struct mime_range *r, struct err *e)
{
	const struct mime_part *root;

	if (open_source(f, e) != 0)
		return e->code;
	if (item->section.number_count == 0) {
		if (find_whole(f, item, e) != 0)
			return e->code;
		root = f->whole;
	} else {
		if (f->parts == NULL && mailbox_parts(f->s->mailbox, f->message, f->arena, &f->parts, e) != 0)
			return e->code;
		root = f->parts;
	}
	return mime_find(f->source, root, &item->section, NULL, f->arena, r, e);
}

static void cut(const struct fetch_item *item, uint64_t *from, uint64_t *to)
{
	if (!item->partial)
		return;
	*from += item->offset < *to - *from ? item->offset : *to - *from;
	if (item->size < *to - *from)
		*to = *from + item->size;
}

/* NUL may stand in no string (RFC 3501 §4.3): 0x80 keeps sizes and positions. */
static void write_octets(struct session *s, struct str octets)
{
	while (octets.n > 0) {
		size_t n = str_find(octets, '\0');

		stream_write(s->stream, str_sub(octets, 0, n));
		if (n < octets.n)
			stream_write(s->stream, STR("\x80"));
		octets = str_from(octets, n + 1);
	}
}

/* The first piece is read before anything is promised. */
static int send_range(struct fetch_message *f, const char *label, uint64_t from, uint64_t to, struct err *e)
{
	struct session *s = f->s;
	struct str piece;

	if (source_chunk(f->source, from, &piece, e) != 0)
		return e->code;
	if (piece.n == 0)
		return err_fault(
		    e, MORTISE_E_CORRUPT, "message %u is shorter than its size", f->message->uid);
	buf_printf(session_out(s), "%s {%llu}\r\n", label, (unsigned long long)(to - from));
	while (piece.n > 0) {
		piece = str_sub(piece, 0, to - from < piece.n ? (size_t)(to - from) : piece.n);
		write_octets(s, piece);
		from += piece.n;
		if (from == to)
			return 0;
		if (!session_written(s) || session_stopped(s) ||
		    source_chunk(f->source, from, &piece, e) != 0)
			break;
	}
	s->broken = true;
	if (e->code != 0)
		log_err(MSG_IMAP_CUT_SHORT, e, label);
	else if (piece.n == 0)
		log_msg(MSG_IMAP_CUT_SHORT, "message %u ended early", f->message->uid);
	session_end(s, MORTISE_E_IO);
	return MORTISE_E_IO;
}

int fetch_section(struct fetch_message *f, const struct fetch_item *item, struct err *e)
{
	struct buf *out = session_out(f->s);
	struct mime_range r;
	uint64_t from, to;

	if (find_range(f, item, &r, e) != 0)
		return e->code;
	if (!r.found) {
		buf_printf(out, "%s NIL", item->label);
		return 0;
	}
	from = r.is_built ? 0 : r.from;
	to = r.is_built ? r.built.n : r.to;
	cut(item, &from, &to);
	if (from == to) {
		buf_printf(out, "%s \"\"", item->label);
		return 0;
	}
	if (!r.is_built)
		return send_range(f, item->label, from, to, e);
	buf_printf(out, "%s {%llu}\r\n", item->label, (unsigned long long)(to - from));
	write_octets(f->s, str_sub(r.built, (size_t)from, (size_t)(to - from)));
	return 0;
}

void fetch_message_end(struct fetch_message *f)
{
	source_close(&f->source);
	f->parts = f->whole = NULL;
	arena_clear(f->arena);
}
