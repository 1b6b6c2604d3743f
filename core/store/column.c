#include "charset/charset.h"
#include "store/column.h"
#include "store/mailbox_int.h"
#include "base/banned.h"

#define COLUMN_MAGIC 0x436f6c75u /* "Colu" */

static const char *const usual[] = {"subject", "from", "to", "cc", "bcc", "message-id"};
#define USUAL ARRAY_LEN(usual)

struct cell {
	uint32_t uid;
	size_t end; /* of its values in `text` */
};

struct column {
	uint32_t magic;
	struct mailbox *m;
	struct buf field;
	VEC(struct cell) cells; /* in order of UID */
	struct buf text;
	size_t next; /* where the next message is expected */
	struct buf computed[USUAL + 1];
	struct buf utf8;
};

static int take(void *arg, uint32_t uid, struct str text)
{
	struct column *c = arg;

	buf_addstr(&c->text, text);
	*vec_push(&c->cells) = (struct cell){.uid = uid, .end = c->text.n};
	return 0;
}

int column_open(struct mailbox *m, struct str field, struct column **out, struct err *e)
{
	struct column *c = mem_new(struct column);

	c->magic = COLUMN_MAGIC;
	c->m = m;
	buf_addstr(&c->field, field);
	*out = c;
	index_wire_flush(m->index);
	if (index_wire_scan(m->index, m->number, INDEX_FOLDED, field, take, c, e) != 0)
		column_close(out);
	return e->code;
}

void column_close(struct column **cp)
{
	struct column *c;
	size_t i;

	if (*cp == NULL)
		return;
	TAKE_OBJ(c, cp, COLUMN_MAGIC);
	for (i = 0; i < ARRAY_LEN(c->computed); i++)
		buf_free(&c->computed[i]);
	buf_free(&c->utf8);
	buf_free(&c->text);
	buf_free(&c->field);
	vec_free(&c->cells);
	c->magic = 0;
	mem_free(c);
}

struct str column_field(const struct column *c)
{
	CHECK_OBJ(c, COLUMN_MAGIC);
	return buf_str(&c->field);
}

static size_t position(const struct column *c, uint32_t uid)
{
	size_t low = 0, high = c->cells.n;

	if (c->next < c->cells.n && c->cells.v[c->next].uid == uid)
		return c->next;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (c->cells.v[mid].uid < uid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* ---- what the index does not have ---- */
static struct str name_of(const struct column *c, size_t i)
{
	return i < USUAL ? str_of(usual[i]) : buf_str(&c->field);
}

static bool is_usual(const struct column *c)
{
	size_t i;

	for (i = 0; i < USUAL; i++)
		if (str_eq(buf_str(&c->field), str_of(usual[i])))
			return true;
	return false;
}

static int compute(struct column *c, const struct message *msg, size_t fields, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("column");
	AUTO_BUF struct buf header = BUF_INIT;
	struct mime_fields *open;
	struct mime_field f;
	size_t i;

	for (i = 0; i < fields; i++)
		buf_reset(&c->computed[i]);
	if (mailbox_header(c->m, msg, &header, e) != 0)
		return e->code;
	open = mime_fields_of(buf_str(&header), NULL, a);
	while (mime_fields_next(open, &f))
		for (i = 0; i < fields; i++) {
			if (!str_ieq(f.name, name_of(c, i)))
				continue;
			buf_reset(&c->utf8);
			charset_decode_header(&c->utf8, f.value);
			charset_fold(&c->computed[i], buf_str(&c->utf8));
			buf_addc(&c->computed[i], '\n');
		}
	return 0;
}

static int from_message(struct column *c, const struct message *msg, struct str *values, struct err *e)
{
	size_t fields = is_usual(c) ? USUAL : USUAL + 1, i;

	if (compute(c, msg, fields, e) != 0)
		return e->code;
	for (i = 0; i < fields; i++) {
		struct str value = buf_str(&c->computed[i]);

		if (value.p == NULL)
			value = STR("");
		index_wire_put(c->m->index, c->m->number, msg->uid, INDEX_FOLDED, name_of(c, i), value);
		if (str_eq(name_of(c, i), buf_str(&c->field)))
			*values = value;
	}
	return 0;
}

int column_get(struct column *c, const struct message *msg, struct str *values, struct err *e)
{
	size_t i, start;

	CHECK_OBJ(c, COLUMN_MAGIC);
	i = position(c, msg->uid);
	if (i == c->cells.n || c->cells.v[i].uid != msg->uid)
		return from_message(c, msg, values, e);
	start = i > 0 ? c->cells.v[i - 1].end : 0;
	*values = str_sub(buf_str(&c->text), start, c->cells.v[i].end - start);
	c->next = i + 1;
	return 0;
}
