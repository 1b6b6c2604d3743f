#include "store/derived.h"

#include "base/digest.h"
#include "base/vec.h"
#include "log/log.h"
#include "mime/preview.h"
#include "search/sort.h"
#include "store/mailbox_int.h"
#include "base/banned.h"

/* ---- sort records ---- */

/* What a record is made with; memory that the next one uses again. */
struct making {
	enum comparator comparator;
	struct arena *arena;
	struct buf header, envelope, packed;
};

static void making_free(struct making *w)
{
	arena_free(&w->arena);
	buf_free(&w->header);
	buf_free(&w->envelope);
	buf_free(&w->packed);
}

/* The record, in w->packed. */
static int compute_record(struct mailbox *m, const struct message *msg, struct making *w, struct err *e)
{
	struct str references;

	buf_reset(&w->header);
	buf_reset(&w->envelope);
	buf_reset(&w->packed);
	if (mailbox_header(m, msg, &w->header, e) != 0)
		return e->code;
	if (w->arena == NULL)
		w->arena = arena_new("sort record");
	arena_clear(w->arena);
	mime_envelope_of(buf_str(&w->header), NULL, &w->envelope);
	mime_field_of(buf_str(&w->header), STR("References"), NULL, w->arena, &references);
	sort_record_write_by(w->comparator, &w->packed, buf_str(&w->envelope), references);
	return 0;
}

/*
 * A pass over the index beside the messages: both are in order of UID. When the index has them all, that is
 * it. At the first one it does not have the pass ends, what is missing is computed and put there, and another
 * pass tells the rest; what is too large for the index is then computed again on the way.
 */
struct scanning {
	struct mailbox *m;
	const struct message *const *messages;
	size_t count, told;
	bool *there; /* of each message: the index has it */
	size_t looked;
	bool filled;
	struct making making;
	sort_record_fn *fn;
	void *arg;
	struct err *e;
};

static int on_there(void *arg, uint32_t uid, struct str text)
{
	struct scanning *x = arg;

	while (x->looked < x->count && x->messages[x->looked]->uid < uid)
		x->looked++;
	if (x->looked < x->count && x->messages[x->looked]->uid == uid)
		x->there[x->looked] = sort_record_current(text);
	return x->looked == x->count;
}

/* Records that the index does not have are computed and put there. */
static int compute_missing(struct scanning *x)
{
	size_t i;

	for (i = x->told; i < x->count; i++) {
		if (x->there[i])
			continue;
		if (store_stopped(x->m->store, x->e) != 0)
			return x->e->code;
		if (compute_record(x->m, x->messages[i], &x->making, x->e) == 0)
			index_wire_put(x->m->index, x->m->number, x->messages[i]->uid, INDEX_SORT, STR(""),
			    buf_str(&x->making.packed));
		else if (x->e->code != MORTISE_E_EXPUNGED)
			return x->e->code;
		err_clear(x->e);
	}
	index_wire_flush(x->m->index);
	return 0;
}

static int fill(struct scanning *x)
{
	int r;

	x->filled = true;
	x->there = mem_array(x->count, sizeof(*x->there));
	r = index_wire_scan(x->m->index, x->m->number, INDEX_SORT, STR(""), on_there, x, x->e);
	if (r >= 0)
		r = compute_missing(x);
	mem_free(x->there);
	return r;
}

/* Tells messages up to the next one with a UID of `before` or above: the index does not have them. */
static int tell_missing(struct scanning *x, uint32_t before)
{
	int r = 0;

	while (r == 0 && x->told < x->count && x->messages[x->told]->uid < before) {
		if (compute_record(x->m, x->messages[x->told], &x->making, x->e) == MORTISE_E_EXPUNGED) {
			err_clear(x->e);
			buf_reset(&x->making.packed);
		}
		r = x->e->code != 0 ? x->e->code : x->fn(x->arg, x->told++, buf_str(&x->making.packed));
	}
	return r;
}

/* 1: the pass ends. */
static int on_record(void *arg, uint32_t uid, struct str text)
{
	struct scanning *x = arg;
	int r;

	if (x->told == x->count)
		return 1;
	if (x->messages[x->told]->uid > uid)
		return 0;
	if (x->messages[x->told]->uid < uid || !sort_record_current(text)) {
		if (!x->filled)
			return 1;
		r = tell_missing(x, uid);
		if (r != 0 || x->told == x->count || x->messages[x->told]->uid != uid ||
		    !sort_record_current(text))
			return r;
	}
	return x->fn(x->arg, x->told++, text);
}

static int pass(struct scanning *x)
{
	return index_wire_scan(x->m->index, x->m->number, INDEX_SORT, STR(""), on_record, x, x->e);
}

int mailbox_sort_records(struct mailbox *m, enum comparator c, const struct message *const *messages,
    size_t count, sort_record_fn *fn, void *arg, struct err *e)
{
	struct scanning x = {.m = m,
	    .messages = messages,
	    .count = count,
	    .making.comparator = c,
	    .fn = fn,
	    .arg = arg,
	    .e = e};
	bool kept = c == COMPARATOR_UNICODE_CASEMAP;
	int r = 0;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (count == 0)
		return 0;
	if (kept)
		r = pass(&x);
	if (kept && r >= 0 && x.told < count)
		r = fill(&x);
	if (kept && r >= 0 && x.told < count)
		r = pass(&x);
	if (r >= 0)
		r = tell_missing(&x, UINT32_MAX);
	making_free(&x.making);
	return r;
}

static int sort_record_of(
    struct mailbox *m, const struct message *msg, struct sort_record *out, struct err *e)
{
	struct making w = {.comparator = COMPARATOR_UNICODE_CASEMAP};
	struct str packed;

	if (wire_find(m, msg->uid, INDEX_SORT, &packed) && sort_record_read(packed, out))
		return 0;
	buf_reset(&m->wire);
	if (compute_record(m, msg, &w, e) == 0) {
		buf_addstr(&m->wire, buf_str(&w.packed));
		packed = wire_keep(m, msg->uid, INDEX_SORT);
		ASSERT(sort_record_read(packed, out));
	}
	making_free(&w);
	return e->code;
}

/* ---- preview ---- */
int mailbox_preview(struct mailbox *m, const struct message *msg, bool lazy, struct str *out, struct err *e)
{
	AUTO_ARENA struct arena *a = NULL;
	struct mime_part *root;
	struct source *s;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	*out = STR_NONE;
	if (wire_find(m, msg->uid, INDEX_PREVIEW, out)) {
		*out = out->n > 0 ? *out : STR("");
		return 0;
	}
	if (lazy)
		return 0;
	a = arena_new("preview");
	buf_reset(&m->wire);
	if (mailbox_read_whole(m, msg, &s, e) != 0)
		return e->code;
	if (mime_parse(s, NULL, a, &root, e) == 0 && mime_preview(s, root, &m->wire, e) == 0)
		*out = wire_keep(m, msg->uid, INDEX_PREVIEW);
	source_close(&s);
	return e->code;
}

/* ---- object ids ---- */
int mailbox_email_id(struct mailbox *m, const struct message *msg, struct str *out, struct err *e)
{
	struct digest *d;
	struct source *s;
	uint64_t at = 0;
	struct str part;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (wire_find(m, msg->uid, INDEX_EMAILID, out))
		return 0;
	if (mailbox_read_whole(m, msg, &s, e) != 0)
		return e->code;
	d = digest_new();
	while (source_chunk(s, at, &part, e) == 0 && part.n > 0) {
		digest_add(d, part);
		at += part.n;
	}
	source_close(&s);
	buf_reset(&m->wire);
	buf_addc(&m->wire, 'M');
	digest_name(&d, &m->wire);
	if (e->code == 0)
		*out = wire_keep(m, msg->uid, INDEX_EMAILID);
	return e->code;
}

int mailbox_thread_id(struct mailbox *m, const struct message *msg, struct str *out, struct err *e)
{
	struct digest *d;
	struct sort_record r;
	struct str begin;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (sort_record_of(m, msg, &r, e) != 0)
		return e->code;
	begin = r.texts[SORT_TEXT_REFERENCES];
	begin = begin.n > 0 ? str_cut(&begin, '\0') : r.texts[SORT_TEXT_ID];
	if (begin.n == 0 && mailbox_email_id(m, msg, &begin, e) != 0)
		return e->code;
	d = digest_new();
	digest_add(d, begin);
	buf_reset(&m->wire);
	buf_addc(&m->wire, 'T');
	digest_name(&d, &m->wire);
	*out = buf_str(&m->wire);
	return 0;
}

/*
 * MAILBOXID as it is kept: UIDVALIDITY, SP, id. A copy lies in the cache, with the messages' ids under the
 * UID that none has, so that SELECT need not look into the other file.
 */
#define MAILBOX_ID STR("objectid")
#define NO_UID 0u

static bool has_uidvalidity(struct str value, uint32_t uidvalidity, struct str *id)
{
	uint32_t n;

	*id = value;
	return str_u32(str_cut(id, ' '), &n) && n == uidvalidity && id->n > 0;
}

static void make_id(struct str identity, uint32_t uidvalidity, struct buf *out)
{
	AUTO_BUF struct buf all = BUF_INIT;
	struct digest *d = digest_new();

	buf_addstr(&all, identity);
	buf_printf(&all, "%c%u", '\0', uidvalidity);
	digest_add(d, buf_str(&all));
	buf_reset(out);
	buf_printf(out, "%u F", uidvalidity);
	digest_name(&d, out);
}

static void make_own_id(struct mailbox *m, struct buf *out)
{
	AUTO_BUF struct buf identity = BUF_INIT;

	target_identity(&m->target, &identity);
	make_id(buf_str(&identity), m->uidvalidity, out);
}

/* UIDVALIDITY, SP, id. *durable: it is an attribute. */
static int find_id(struct mailbox *m, struct buf *out, bool *durable, struct err *e)
{
	struct str id;

	*durable = false;
	/* An INBOX that is not there yet is not in the index. */
	if (m->index != NULL) {
		int r = index_attribute(m->index, m->number, MAILBOX_ID, out, e);

		if (r < 0)
			return r;
		*durable = r > 0 && has_uidvalidity(buf_str(out), m->uidvalidity, &id);
	}
	if (!*durable)
		make_own_id(m, out);
	return 0;
}

void mailbox_id(struct mailbox *m, char out[MAILBOX_ID_SIZE])
{
	AUTO_BUF struct buf value = BUF_INIT;
	struct err e = ERR_INIT;
	struct str id = STR_NONE;
	bool durable;

	CHECK_OBJ(m, MAILBOX_MAGIC);
	if (m->index != NULL && wire_find(m, NO_UID, INDEX_EMAILID, &id) &&
	    has_uidvalidity(id, m->uidvalidity, &id)) {
		snprintf(out, MAILBOX_ID_SIZE, "%.*s", STR_FMT(id));
		return;
	}
	if (find_id(m, &value, &durable, &e) != 0) {
		log_err(MSG_STORE_INDEX, &e, mailbox_name(m));
		make_own_id(m, &value);
	} else if (m->index != NULL) {
		index_wire_put(m->index, m->number, NO_UID, INDEX_EMAILID, STR(""), buf_str(&value));
	}
	has_uidvalidity(buf_str(&value), m->uidvalidity, &id);
	snprintf(out, MAILBOX_ID_SIZE, "%.*s", STR_FMT(id));
}

/* ---- RENAME: what depended on the place becomes an attribute ---- */

struct keeping {
	struct arena *arena;
	struct str path;
	VEC(struct index_value) found; /* value: the identity */
};

/* At that path, or below it in either way: an id is the same whenever it is written down. */
static int note_mailbox(void *arg, struct str identity, uint64_t number)
{
	struct keeping *k = arg;
	struct str path = identity;

	str_cut(&path, '\0');
	if (path.p != NULL && str_starts(path, k->path) &&
	    (path.n == k->path.n || path.p[k->path.n] == '/' || path.p[k->path.n] == '.'))
		*vec_push(&k->found) =
		    (struct index_value){.mailbox = number, .value = arena_str(k->arena, identity)};
	return 0;
}

/* Its id in place of its identity: 1, or 0 when it has one, or nobody was told any. */
static int know_id(struct index *x, struct arena *a, struct index_value *v, struct err *e)
{
	AUTO_BUF struct buf value = BUF_INIT;
	struct index_head head;
	struct str id;

	if (index_head(x, v->mailbox, a, &head, e) != 0 ||
	    index_attribute(x, v->mailbox, MAILBOX_ID, &value, e) < 0)
		return e->code;
	if (head.uidvalidity == 0 || has_uidvalidity(buf_str(&value), head.uidvalidity, &id))
		return 0;
	make_id(v->value, head.uidvalidity, &value);
	v->value = arena_str(a, buf_str(&value));
	return 1;
}

void store_keep_ids(struct store *s, const char *path)
{
	AUTO_ARENA struct arena *a = arena_new("ids");
	struct keeping k = {.arena = a, .path = str_of(path), .found = VEC_INIT};
	struct err e = ERR_INIT;
	struct index *x = store_index(s, &e);
	size_t i, n = 0;

	if (x != NULL && index_persistent(x) && index_mailboxes(x, note_mailbox, &k, &e) == 0) {
		for (i = 0; i < k.found.n && e.code == 0; i++)
			if (know_id(x, a, &k.found.v[i], &e) > 0)
				k.found.v[n++] = k.found.v[i];
		if (e.code == 0 && n > 0)
			index_attribute_set_all(x, MAILBOX_ID, k.found.v, n, &e);
	}
	if (e.code != 0)
		log_err(MSG_STORE_INDEX, &e, path);
	vec_free(&k.found);
}

bool mailbox_keeps_save_dates(const struct mailbox *m)
{
	CHECK_OBJ(m, MAILBOX_MAGIC);
	return m->index != NULL && !m->unindexed && index_persistent(m->index);
}
