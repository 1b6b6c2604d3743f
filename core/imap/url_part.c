#include "imap/url_part.h"

#include "base/mem.h"
#include "imap/fetch.h"
#include "base/banned.h"

void url_reader_close(struct url_reader *r)
{
	if (r->mailbox == NULL)
		return;
	view_close(&r->view);
	mailbox_close(&r->mailbox);
	mem_free(r->name);
	r->name = NULL;
}

static int open_mailbox(
    struct url_reader *r, const char *name, struct mailbox **m, struct view **v, struct err *e)
{
	*m = r->s->mailbox;
	*v = r->s->view;
	if (is_selected(r->s, name))
		return 0;
	if (r->mailbox == NULL || strcmp(r->name, name) != 0) {
		url_reader_close(r);
		if (mailbox_open(r->s->setup->store, name, MAILBOX_READ_ONLY | MAILBOX_KEEP_RECENT,
		        &r->mailbox, e) != 0)
			return e->code;
		if (view_open(r->mailbox, &r->view, e) != 0) {
			mailbox_close(&r->mailbox);
			return e->code;
		}
		r->name = mem_dup(name, strlen(name) + 1);
	}
	*m = r->mailbox;
	*v = r->view;
	return 0;
}

/* The section's octets, in the source or built. */
static int find(struct url_part *p, const struct mime_section *section, struct err *e)
{
	struct mime_part *whole = arena_new_of(p->arena, struct mime_part);
	const struct mime_part *root = whole;
	struct mime_range range;

	if (section->number_count > 0) {
		if (mailbox_parts(p->mailbox, p->message, &p->text, p->arena, &p->parts, e) != 0)
			return e->code;
		root = p->parts;
		if (section->text == MIME_WHOLE)
			p->part = mime_part_at(root, section->numbers, section->number_count);
	} else if (source_size(p->text, &whole->end, e) != 0 ||
	           (section->text != MIME_WHOLE && mime_header_end(p->text, &whole->body_start, e) != 0)) {
		return e->code;
	}
	if (mime_find(p->text, root, section, NULL, p->arena, &range, e) != 0)
		return e->code;
	if (!range.found)
		return err_fail(e, MORTISE_E_NOTFOUND, "There is no such part");
	if (range.is_built)
		p->built = range.built;
	p->from = range.is_built ? 0 : range.from;
	p->to = range.is_built ? range.built.n : range.to;
	return 0;
}

static void cut(struct url_part *p, const struct imap_url *u)
{
	struct fetch_item item = {
	    .partial = u->partial, .offset = u->offset, .size = u->size != 0 ? u->size : UINT64_MAX};

	fetch_cut(&item, &p->from, &p->to);
}

int url_part_open(struct url_reader *r, const struct imap_url *u, struct url_part *out, struct err *e)
{
	struct session *s = r->s;
	struct mime_section section = {.text = MIME_WHOLE};
	const char *name;
	struct view *v;
	uint32_t sequence;

	*out = (struct url_part){.arena = arena_new("url")};
	name = imap_url_mailbox(u, s->mailbox != NULL ? mailbox_name(s->mailbox) : NULL, out->arena);
	if (name == NULL || u->uid == 0)
		return err_fail(e, MORTISE_E_INVALID, "The URL names no message");
	if (u->has_section && !fetch_parse_section(s, u->section, out->arena, &section))
		return err_fail(e, MORTISE_E_INVALID, "The URL's section is none");
	if (open_mailbox(r, name, &out->mailbox, &v, e) != 0)
		return e->code;
	if (u->uidvalidity != 0 && u->uidvalidity != mailbox_uidvalidity(out->mailbox))
		return err_fail(e, MORTISE_E_NOTFOUND, "The URL's UIDVALIDITY is another one");
	sequence = view_sequence(v, u->uid);
	if (sequence == 0)
		return err_fail(e, MORTISE_E_NOTFOUND, "There is no such message");
	out->message = view_message(v, sequence);
	if (mailbox_read(out->mailbox, out->message, &out->text, e) != 0 || find(out, &section, e) != 0)
		return e->code;
	cut(out, u);
	return 0;
}

bool url_part_missing(int code)
{
	return code == MORTISE_E_NOTFOUND || code == MORTISE_E_EXPUNGED || code == MORTISE_E_INVALID ||
	       code == MORTISE_E_PERM || code == MORTISE_E_UNSUPPORTED;
}

int url_part_octets(struct url_part *p, uint64_t at, struct str *out, struct err *e)
{
	uint64_t left = p->to - at;

	if (p->built.p != NULL)
		*out = str_from(p->built, (size_t)at);
	else if (source_chunk(p->text, at, out, e) != 0)
		return e->code;
	if (out->n == 0)
		return err_fault(e, MORTISE_E_IO, "message %u ended early", p->message->uid);
	*out = str_sub(*out, 0, left < out->n ? (size_t)left : out->n);
	return 0;
}

void url_part_close(struct url_part *p)
{
	source_close(&p->text);
	arena_free(&p->arena);
}
