/*
 * fetch_body.c: a section of a message, from the source to the socket in the pieces in which it is read.
 *
 * The literal's size is promised before its octets are read. When they cannot be read to the end (the file is
 * cut short or damaged under us) there is nothing right left to say, and the connection is closed.
 */
#include "base/mem.h"
#include "imap/fetch.h"
#include "log/log.h"
#include "mime/decoded.h"
#include "base/banned.h"

/* Octets of a part tree that are kept from one command to the next. */
#define KEPT_OCTETS (256u * 1024u)

int fetch_open(struct fetch_message *f, struct err *e)
{
	if (f->source != NULL)
		return 0;
	return mailbox_read(f->s->mailbox, f->message, &f->source, e);
}

static void forget_parts(struct fetch_kept *k)
{
	decoding_free(&k->decoding);
	arena_clear(k->arena);
	k->uid = 0;
	k->parts = NULL;
	k->part = NULL;
}

int fetch_parts(struct fetch_message *f, const struct mime_part **out, struct err *e)
{
	struct fetch_kept *k = f->s->kept;

	if (k == NULL) {
		f->s->kept = k = mem_new(struct fetch_kept);
		k->arena = arena_new("parts");
	}
	if (k->uid != f->message->uid || k->octets != f->message->octets) {
		forget_parts(k);
		if (mailbox_parts(f->s->mailbox, f->message, &f->source, k->arena, &k->parts, e) != 0)
			return e->code;
		k->uid = f->message->uid;
		k->octets = f->message->octets;
	}
	*out = k->parts;
	return 0;
}

void fetch_kept_forget(struct session *s)
{
	struct fetch_kept *k = s->kept;

	if (k == NULL)
		return;
	forget_parts(k);
	arena_free(&k->arena);
	mem_free(k);
	s->kept = NULL;
}

void fetch_kept_trim(struct session *s)
{
	if (s->kept != NULL && arena_size(s->kept->arena) > KEPT_OCTETS)
		fetch_kept_forget(s);
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

	if (fetch_open(f, e) != 0)
		return e->code;
	if (item->section.number_count == 0) {
		if (find_whole(f, item, e) != 0)
			return e->code;
		root = f->whole;
	} else {
		if (fetch_parts(f, &root, e) != 0)
			return e->code;
	}
	return mime_find(f->source, root, &item->section, NULL, f->arena, r, e);
}

void fetch_cut(const struct fetch_item *item, uint64_t *from, uint64_t *to)
{
	if (!item->partial)
		return;
	*from += item->offset < *to - *from ? item->offset : *to - *from;
	if (item->size < *to - *from)
		*to = *from + item->size;
}

/* NUL may stand in no string (RFC 3501 §4.3): 0x80 keeps sizes and positions. */
static void replace_nul(char *p, size_t n)
{
	char *end = p + n;

	while ((p = memchr(p, '\0', (size_t)(end - p))) != NULL)
		*p++ = '\x80';
}

static void write_octets(struct session *s, struct str octets)
{
	struct buf *out = session_out(s);
	size_t start = out->n;

	buf_addstr(out, octets);
	replace_nul(out->p + start, out->n - start);
}

/* What the client was promised cannot be had any more. */
static int broken_off(struct fetch_message *f, const char *label, bool early, struct err *e)
{
	f->s->broken = true;
	if (e->code != 0)
		log_err(MSG_IMAP_CUT_SHORT, e, label);
	else if (early)
		log_msg(MSG_IMAP_CUT_SHORT, "message %u ended early", f->message->uid);
	session_end(f->s, MORTISE_E_IO);
	return MORTISE_E_IO;
}

/* The promise leaves only with the first piece behind it. */
int fetch_send(struct fetch_message *f, struct source *source, const char *label, uint64_t from, uint64_t to,
    bool binary, struct err *e)
{
	struct session *s = f->s;
	struct buf *out = session_out(s);
	size_t before = out->n, got;
	uint64_t at = from;

	buf_printf(out, "%s %s{%llu}\r\n", label, binary ? "~" : "", (unsigned long long)(to - from));
	do {
		size_t start = out->n;

		if (source_add(source, at, to - at < SIZE_MAX ? (size_t)(to - at) : SIZE_MAX, out, e) != 0)
			got = 0;
		else
			got = out->n - start;
		if (!binary)
			replace_nul(out->p + start, got);
		at += got;
		if (at == to)
			return 0;
	} while (got > 0 && session_written(s) && !session_stopped(s));
	if (at > from)
		return broken_off(f, label, got == 0, e);
	buf_truncate(out, before);
	return e->code != 0
	           ? e->code
	           : err_fault(e, MORTISE_E_CORRUPT, "message %u is shorter than its size", f->message->uid);
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
	fetch_cut(item, &from, &to);
	if (from == to) {
		buf_printf(out, "%s \"\"", item->label);
		return 0;
	}
	if (!r.is_built)
		return fetch_send(f, f->source, item->label, from, to, false, e);
	buf_printf(out, "%s {%llu}\r\n", item->label, (unsigned long long)(to - from));
	write_octets(f->s, str_sub(r.built, (size_t)from, (size_t)(to - from)));
	return 0;
}

void fetch_message_end(struct fetch_message *f)
{
	source_close(&f->source);
	f->whole = NULL;
	f->unknown_cte = false;
	arena_clear(f->arena);
}
