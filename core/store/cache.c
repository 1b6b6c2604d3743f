/*
 * cache.c: envelopes and body structures in their wire form, for one open mailbox.
 *
 * A table with one place for each hash value: what comes later takes the place of what was there. When the
 * texts together reach the limit (cache_size) all of them go. Nothing here is needed; all of it can be made
 * again from the message.
 */
#include "store/mailbox_int.h"
#include "base/banned.h"

#define CACHE_PLACES 8192u

enum kind { ENVELOPE, STRUCTURE, EXTENDED, KINDS };

struct entry {
	uint32_t uid; /* 0: free */
	enum kind kind;
	struct buf text;
};

struct cache {
	struct entry entries[CACHE_PLACES];
	size_t held;
	struct buf large; /* the last text that alone is too large to be kept */
};

static struct entry *place(struct cache *c, uint32_t uid, enum kind kind)
{
	return &c->entries[(uid * KINDS + (uint32_t)kind) % CACHE_PLACES];
}

static void drop(struct cache *c, struct entry *x)
{
	c->held -= x->text.cap;
	buf_free(&x->text);
	x->uid = 0;
}

static void drop_all(struct cache *c)
{
	size_t i;

	for (i = 0; i < CACHE_PLACES; i++)
		drop(c, &c->entries[i]);
}

void cache_free(struct cache **cp)
{
	if (*cp == NULL)
		return;
	drop_all(*cp);
	buf_free(&(*cp)->large);
	mem_free(*cp);
	*cp = NULL;
}

void cache_forget(struct mailbox *m, uint32_t uid)
{
	int kind;

	if (m->cache == NULL)
		return;
	for (kind = 0; kind < KINDS; kind++) {
		struct entry *x = place(m->cache, uid, (enum kind)kind);

		if (x->uid == uid && x->kind == (enum kind)kind)
			drop(m->cache, x);
	}
}

static bool find(struct mailbox *m, uint32_t uid, enum kind kind, struct str *out)
{
	struct entry *x;

	if (m->cache == NULL)
		m->cache = mem_new(struct cache);
	x = place(m->cache, uid, kind);
	if (x->uid != uid || x->kind != kind)
		return false;
	*out = buf_str(&x->text);
	return true;
}

/* Takes the buffer over. */
static struct str keep(struct mailbox *m, uint32_t uid, enum kind kind, struct buf *text)
{
	struct cache *c = m->cache;
	struct entry *x = place(c, uid, kind);
	struct buf mine = *text;

	*text = (struct buf)BUF_INIT;
	if (mine.cap > m->store->o->cache_size / 4) {
		buf_free(&c->large);
		c->large = mine;
		return buf_str(&c->large);
	}
	drop(c, x);
	if (c->held + mine.cap > m->store->o->cache_size)
		drop_all(c);
	*x = (struct entry){.uid = uid, .kind = kind, .text = mine};
	c->held += mine.cap;
	return buf_str(&x->text);
}

/* Where the message header ends: behind its empty line, or as far as we look. */
static int header_end(struct source *s, uint64_t *end, struct err *e)
{
	unsigned line = 0; /* octets of the line so far, not counting CR */
	uint64_t at = 0;
	struct str part;
	size_t i;

	for (;;) {
		if (source_chunk(s, at, &part, e) != 0)
			return e->code;
		for (i = 0; i < part.n; i++) {
			if (part.p[i] == '\n') {
				if (line == 0) {
					*end = at + i + 1;
					return 0;
				}
				line = 0;
			} else if (part.p[i] != '\r') {
				line = 1;
			}
		}
		at += part.n;
		if (part.n == 0 || at >= mime_limits_default.header_size) {
			*end = at;
			return 0;
		}
	}
}

int mailbox_envelope(struct mailbox *m, const struct message *msg, struct str *out, struct err *e)
{
	AUTO_BUF struct buf text = BUF_INIT;
	struct source *s;
	uint64_t end = 0;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (find(m, msg->uid, ENVELOPE, out))
		return 0;
	if (mailbox_read(m, msg, &s, e) != 0)
		return e->code;
	if (header_end(s, &end, e) == 0 && mime_envelope(s, 0, end, &mime_limits_default, &text, e) == 0)
		*out = keep(m, msg->uid, ENVELOPE, &text);
	source_close(&s);
	return e->code;
}

int mailbox_structure(
    struct mailbox *m, const struct message *msg, bool extended, struct str *out, struct err *e)
{
	AUTO_ARENA struct arena *a = NULL;
	AUTO_BUF struct buf text = BUF_INIT;
	enum kind kind = extended ? EXTENDED : STRUCTURE;
	struct mime_part *root;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (find(m, msg->uid, kind, out))
		return 0;
	a = arena_new("structure");
	if (mailbox_parts(m, msg, a, &root, e) != 0)
		return e->code;
	mime_bodystructure(root, extended, &text);
	*out = keep(m, msg->uid, kind, &text);
	return 0;
}
