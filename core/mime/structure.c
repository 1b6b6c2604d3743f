/*
 * BODY and BODYSTRUCTURE (RFC 3501 §7.4.2). All extension data is always written, NIL when absent: clients
 * take what is missing at the end for "unknown". The tree is walked by its own links, not by recursion.
 */
#include "mime/mime_int.h"

#include "base/object.h"
#include "base/banned.h"

static void put_upper(struct buf *out, struct str s)
{
	struct buf b = BUF_INIT;
	size_t i;

	buf_addstr(&b, s);
	for (i = 0; i < b.n; i++)
		b.p[i] = ascii_upper(b.p[i]);
	imap_string(out, str_mem(buf_cstr(&b), b.n));
	buf_free(&b);
}

static void put_parameters(struct buf *out, const struct mime_parameters *p)
{
	size_t i;

	if (p->n == 0) {
		buf_adds(out, "NIL");
		return;
	}
	for (i = 0; i < p->n; i++) {
		buf_addc(out, i == 0 ? '(' : ' ');
		put_upper(out, p->v[i].name);
		buf_addc(out, ' ');
		imap_string(out, p->v[i].value);
	}
	buf_addc(out, ')');
}

/* body-fld-dsp, body-fld-lang, body-fld-loc */
static void put_extension(struct buf *out, const struct mime_part *part)
{
	size_t i;

	if (part->disposition.p != NULL) {
		buf_addc(out, '(');
		imap_string(out, part->disposition);
		buf_addc(out, ' ');
		put_parameters(out, &part->disposition_parameters);
		buf_addc(out, ')');
	} else {
		buf_adds(out, "NIL");
	}
	buf_addc(out, ' ');
	for (i = 0; i < part->language_count; i++) {
		buf_addc(out, i == 0 ? '(' : ' ');
		imap_string(out, part->languages[i]);
	}
	buf_adds(out, part->language_count != 0 ? ") " : "NIL ");
	imap_nstring(out, part->location);
}

/* body-type-1part up to what differs between its kinds: media type, body-fields. */
static void put_fields(struct buf *out, const struct mime_part *part)
{
	put_upper(out, part->type);
	buf_addc(out, ' ');
	put_upper(out, part->subtype);
	buf_addc(out, ' ');
	put_parameters(out, &part->parameters);
	buf_addc(out, ' ');
	imap_nstring(out, part->id);
	buf_addc(out, ' ');
	imap_nstring(out, part->description);
	buf_addc(out, ' ');
	imap_string(out, part->encoding.p != NULL ? part->encoding : STR("7BIT"));
	buf_addc(out, ' ');
	buf_addu(out, part->end - part->body_start);
}

static void enter(struct buf *out, const struct mime_part *part)
{
	buf_addc(out, '(');
	if (part->kind == MIME_MULTIPART)
		return;
	put_fields(out, part);
	if (part->kind == MIME_MESSAGE) {
		buf_addc(out, ' ');
		buf_addstr(out, part->envelope);
		buf_addc(out, ' ');
	}
}

static void leave(struct buf *out, const struct mime_part *part, bool extended)
{
	if (part->kind == MIME_MULTIPART) {
		buf_addc(out, ' ');
		put_upper(out, part->subtype);
		if (extended) {
			buf_addc(out, ' ');
			put_parameters(out, &part->parameters);
			buf_addc(out, ' ');
			put_extension(out, part);
		}
	} else {
		if (part->kind != MIME_LEAF) {
			buf_addc(out, ' ');
			buf_addu(out, part->lines);
		}
		if (extended) {
			buf_addc(out, ' ');
			imap_nstring(out, part->md5);
			buf_addc(out, ' ');
			put_extension(out, part);
		}
	}
	buf_addc(out, ')');
}

void mime_bodystructure(const struct mime_part *root, bool extended, struct buf *out)
{
	const struct mime_part *part = root;

	for (;;) {
		enter(out, part);
		if (part->child != NULL) {
			part = part->child;
			continue;
		}
		for (;;) {
			leave(out, part, extended);
			if (part == root)
				return;
			if (part->next != NULL)
				break;
			part = part->parent;
		}
		part = part->next;
	}
}
