#include "mime/recode.h"

#include "base/codec.h"
#include "base/mem.h"
#include "base/vec.h"
#include "mime/mime_int.h"
#include "base/banned.h"

#define LINE 76u          /* characters of base64 a line (RFC 2045 §6.8) */
#define LINE_OCTETS 57u   /* what they hold */
#define PIECE_LINES 1000u /* written at a time */
#define ENCODING "Content-Transfer-Encoding"

struct planning {
	struct source *s;
	const struct mime_limits *l;
	struct arena *a;
	struct err *e;
	VEC(struct recode_cut) cuts;
	uint64_t at; /* what is before it is in the cuts */
	bool impossible;
};

/* ---- what a range holds ---- */

struct contents {
	bool nul, bare; /* a CR or LF that stands alone */
};

/* `cr`: the octet before was a CR. */
static void look(struct contents *c, struct str s, bool *cr)
{
	size_t i;

	c->nul = c->nul || memchr(s.p, '\0', s.n) != NULL;
	for (i = 0; i < s.n && !c->bare; i++) {
		c->bare = *cr != (s.p[i] == '\n');
		*cr = s.p[i] == '\r';
	}
}

static int look_at(struct source *s, uint64_t from, uint64_t to, struct contents *c, struct err *e)
{
	bool cr = false;
	struct str part;

	*c = (struct contents){false, false};
	for (; from < to; from += part.n) {
		if (source_chunk(s, from, &part, e) != 0)
			return e->code;
		if (part.n == 0)
			return err_fault(e, MORTISE_E_IO, "a message ended early while it was looked at");
		part = str_sub(part, 0, to - from < part.n ? (size_t)(to - from) : part.n);
		look(c, part, &cr);
	}
	c->bare = c->bare || cr;
	return 0;
}

/* ---- the plan ---- */

static void cut(struct planning *p, struct recode_cut c)
{
	*vec_push(&p->cuts) = c;
}

/* What lies between the recoded stretches goes along; there a NUL has no remedy. */
static int copy_up_to(struct planning *p, uint64_t to)
{
	struct contents c;

	if (to <= p->at)
		return 0;
	if (look_at(p->s, p->at, to, &c, p->e) != 0)
		return p->e->code;
	p->impossible = p->impossible || c.nul;
	cut(p, (struct recode_cut){.kind = RECODE_COPY, .from = p->at, .to = to});
	p->at = to;
	return 0;
}

static bool is_identity(struct str encoding)
{
	return encoding.p == NULL || str_ieqc(encoding, "7BIT") || str_ieqc(encoding, "8BIT") ||
	       str_ieqc(encoding, "BINARY");
}

/* The header with another Content-Transfer-Encoding, at its end. */
static int new_header(struct planning *p, const struct mime_part *part)
{
	bool version = part->parent != NULL;
	struct field_cursor cursor;
	struct raw_field field;
	struct str header;
	uint64_t at = part->header_start;

	if (part->body_start - part->header_start > p->l->header_size) {
		p->impossible = true;
		return 0;
	}
	if (source_read(p->s, part->header_start, part->body_start, p->l->header_size, p->a, &header, p->e) !=
	    0)
		return p->e->code;
	cursor.rest = header;
	while (field_step(&cursor, &field)) {
		version = version || str_ieqc(field.name, "MIME-Version");
		if (str_ieqc(field.name, ENCODING)) {
			if (copy_up_to(p, at) != 0)
				return p->e->code;
			p->at = at + field.raw.n;
		}
		at = part->header_start + (uint64_t)(field.raw.p + field.raw.n - header.p);
	}
	if (copy_up_to(p, at) != 0)
		return p->e->code;
	cut(p, (struct recode_cut){.kind = RECODE_TEXT,
	           .text = version ? STR(ENCODING ": base64\r\n")
	                           : STR("MIME-Version: 1.0\r\n" ENCODING ": base64\r\n")});
	return copy_up_to(p, part->body_start);
}

static int plan_leaf(struct planning *p, const struct mime_part *part)
{
	bool binary = part->encoding.p != NULL && str_ieqc(part->encoding, "BINARY");
	struct contents c;

	if (look_at(p->s, part->body_start, part->end, &c, p->e) != 0)
		return p->e->code;
	if (!c.nul && !(binary && c.bare))
		return 0;
	p->impossible = p->impossible || !is_identity(part->encoding);
	if (new_header(p, part) != 0)
		return p->e->code;
	cut(p, (struct recode_cut){.kind = RECODE_BASE64, .from = part->body_start, .to = part->end});
	p->at = part->end;
	return 0;
}

static uint64_t base64_size(uint64_t n)
{
	uint64_t characters = (n + 2) / 3 * 4;

	return characters + (characters + LINE - 1) / LINE * 2;
}

static uint64_t result_size(const struct recode_cut *cuts, size_t n)
{
	uint64_t octets = 0;
	size_t i;

	for (i = 0; i < n; i++) {
		if (cuts[i].kind == RECODE_TEXT)
			octets += cuts[i].text.n;
		else if (cuts[i].kind == RECODE_COPY)
			octets += cuts[i].to - cuts[i].from;
		else
			octets += base64_size(cuts[i].to - cuts[i].from);
	}
	return octets;
}

static int plan(struct planning *p, const struct mime_part *root)
{
	const struct mime_part *part = root;

	while (part != NULL && !p->impossible) {
		if (part->child == NULL && plan_leaf(p, part) != 0)
			return p->e->code;
		if (part->child != NULL) {
			part = part->child;
			continue;
		}
		while (part != NULL && part->next == NULL)
			part = part->parent;
		part = part != NULL ? part->next : NULL;
	}
	return copy_up_to(p, root->end);
}

int mime_recode(
    struct source *s, const struct mime_limits *l, struct arena *a, struct recoding *out, struct err *e)
{
	struct mime_limits limits = mime_limits_of(l);
	struct planning p = {.s = s, .l = &limits, .a = a, .e = e, .cuts = VEC_INIT};
	struct mime_part *root;

	*out = (struct recoding){false, NULL, 0, 0};
	if (mime_parse(s, &limits, a, &root, e) != 0)
		return e->code;
	if (plan(&p, root) == 0) {
		out->possible = !p.impossible;
		out->cuts = arena_dup(a, p.cuts.v, p.cuts.n * sizeof(*p.cuts.v));
		out->count = p.cuts.n;
		out->octets = result_size(p.cuts.v, p.cuts.n);
	}
	vec_free(&p.cuts);
	return e->code;
}

/* ---- the result ---- */

/* [from, to) as lines of base64. `held`: octets of the line that is not full yet. */
static int write_base64(struct source *s, const struct recode_cut *c, recode_write *write, void *arg,
    struct buf *held, struct buf *lines, struct err *e)
{
	uint64_t at;
	struct str part;
	size_t i;

	for (at = c->from; at < c->to; at += part.n) {
		if (source_chunk(s, at, &part, e) != 0)
			return e->code;
		part = str_sub(part, 0, PIECE_LINES * LINE_OCTETS);
		part = str_sub(part, 0, c->to - at < part.n ? (size_t)(c->to - at) : part.n);
		if (part.n == 0)
			return err_fault(e, MORTISE_E_IO, "a message ended early while it was written");
		buf_addstr(held, part);
		for (i = 0; held->n - i >= LINE_OCTETS || (at + part.n == c->to && i < held->n);) {
			struct str line = str_sub(buf_str(held), i, LINE_OCTETS);

			base64_encode(lines, line);
			buf_adds(lines, "\r\n");
			i += line.n;
		}
		buf_consume(held, i);
		if (write(arg, buf_str(lines), e) != 0)
			return e->code;
		buf_reset(lines);
	}
	return 0;
}

static int write_copy(
    struct source *s, const struct recode_cut *c, recode_write *write, void *arg, struct err *e)
{
	uint64_t at;
	struct str part;

	for (at = c->from; at < c->to; at += part.n) {
		if (source_chunk(s, at, &part, e) != 0)
			return e->code;
		part = str_sub(part, 0, c->to - at < part.n ? (size_t)(c->to - at) : part.n);
		if (part.n == 0)
			return err_fault(e, MORTISE_E_IO, "a message ended early while it was written");
		if (write(arg, part, e) != 0)
			return e->code;
	}
	return 0;
}

int mime_recode_write(
    struct source *s, const struct recoding *r, recode_write *write, void *arg, struct err *e)
{
	AUTO_BUF struct buf held = BUF_INIT, lines = BUF_INIT;
	size_t i;
	int code = 0;

	for (i = 0; i < r->count && code == 0; i++) {
		const struct recode_cut *c = &r->cuts[i];

		if (c->kind == RECODE_TEXT)
			code = write(arg, c->text, e);
		else if (c->kind == RECODE_COPY)
			code = write_copy(s, c, write, arg, e);
		else
			code = write_base64(s, c, write, arg, &held, &lines, e);
	}
	return code;
}
