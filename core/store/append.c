/*
 * append.c: adding messages.
 *
 * A batch goes to the driver as it comes. When the mailbox is open in this store already, its box is used, so
 * that no second descriptor of the same file comes and goes under its locks.
 *
 * Flags and keywords that the format leaves out go to the index once the messages are there.
 */
#include "log/log.h"
#include "store/driver.h"
#include "store/quota_int.h"
#include "store/sync.h"
#include "base/banned.h"

/* What one message is to have. */
struct appended {
	uint32_t flags;
	const char **keywords;
	size_t keyword_count;
};

struct append {
	uint32_t magic;
	struct mailbox *m;
	bool own; /* m was opened for this */
	void *tx;
	bool within;        /* a message was begun */
	uint64_t announced; /* its size, or MORTISE_SIZE_UNKNOWN */
	uint64_t written;
	struct arena *arena;
	const uint32_t *given; /* the UIDs they must get, or NULL */
	bool exempt;           /* nothing is added to what the user has */
	struct quota_room room, freed;
	struct mailbox *replaced_in; /* append_replaces */
	uint32_t replaced;
	VEC(struct appended) messages;
};

static void release(struct append *a)
{
	if (a->own)
		mailbox_close(&a->m);
	vec_free(&a->messages);
	arena_free(&a->arena);
	a->magic = 0;
	mem_free(a);
}

/* The mailbox at the target: the open one, or one opened for this batch. */
static int find_mailbox(struct append *a, struct store *s, const char *name, struct err *e)
{
	struct arena *arena = arena_new("append");
	struct target t;

	if (target_mailbox(s, name, NAME_MAY_CHOOSE, arena, &t, e) != 0) {
		arena_free(&arena);
		return e->code;
	}
	a->m = mailbox_already(s, &t);
	if (a->m != NULL) {
		target_close(&t);
		arena_free(&arena);
		return 0;
	}
	a->own = true;
	return mailbox_attach(s, &t, arena, 0, &a->m, e);
}

static int ready(struct mailbox *m, struct err *e)
{
	if (mailbox_must_live(m, e) != 0)
		return e->code;
	if (mailbox_read_only(m))
		return err_fail(e, MORTISE_E_PERM, "Mailbox is read-only");
	if (m->box == NULL && mailbox_bring_about(m, e) != 0)
		return e->code;
	return mailbox_recover(m, e);
}

int append_begin(struct store *s, const char *name, struct append **out, struct err *e)
{
	struct append *a;

	CHECK_OBJ(s, STORE_MAGIC);
	*out = NULL;
	a = mem_new(struct append);
	a->magic = APPEND_MAGIC;
	a->arena = arena_new("append");
	if (find_mailbox(a, s, name, e) != 0 || ready(a->m, e) != 0 ||
	    box_append_begin(a->m, &a->tx, e) != 0) {
		release(a);
		return e->code;
	}
	a->exempt = a->m->target.where != NULL; /* it is others' to count */
	*out = a;
	return 0;
}

bool append_is_to(const struct append *a, const struct mailbox *m)
{
	CHECK_OBJ(a, APPEND_MAGIC);
	return a->m == m;
}

void append_give_uids(struct append *a, const uint32_t *uids)
{
	CHECK_OBJ(a, APPEND_MAGIC);
	a->given = uids;
}

void append_exempt(struct append *a)
{
	CHECK_OBJ(a, APPEND_MAGIC);
	a->exempt = true;
}

int append_replaces(struct append *a, struct mailbox *from, uint32_t uid, struct err *e)
{
	struct record *r;

	CHECK_OBJ(a, APPEND_MAGIC);
	if (mailbox_sync(from, e) < 0 || records_load(from, e) != 0)
		return e->code;
	r = record_find(from, uid);
	if (r == NULL)
		return err_fail(e, MORTISE_E_EXPUNGED, "The message no longer exists");
	a->replaced_in = from;
	a->replaced = uid;
	if (from->target.where != NULL)
		return 0; /* others count it */
	a->freed.more[QUOTA_MESSAGE] = 1;
	return quota_limits(from->store, QUOTA_STORAGE)
	           ? mailbox_octets(from, &r->m, &a->freed.more[QUOTA_STORAGE], e)
	           : 0;
}

/* What is added, less what goes. */
static struct quota_room net_room(const struct append *a)
{
	struct quota_room net = a->room;
	size_t i;

	for (i = 0; i < QUOTA_RESOURCES; i++)
		net.more[i] -= a->freed.more[i] < net.more[i] ? a->freed.more[i] : net.more[i];
	return net;
}

/* A message more. What has no room is refused before it comes. */
static int make_room(struct append *a, uint64_t octets, struct err *e)
{
	struct quota_room net;

	if (a->exempt)
		return 0;
	a->room.more[QUOTA_MESSAGE]++;
	if (octets != MORTISE_SIZE_UNKNOWN)
		a->room.more[QUOTA_STORAGE] += octets;
	net = net_room(a);
	return quota_check(a->m->store, &net, e);
}

static uint32_t given(const struct append *a)
{
	return a->given != NULL ? a->given[a->messages.n] : 0;
}

static int end_message(struct append *a, struct err *e)
{
	/* A size that was not announced counts when it is known. */
	if (a->within && a->announced == MORTISE_SIZE_UNKNOWN)
		a->room.more[QUOTA_STORAGE] += a->written;
	if (a->within && a->announced != MORTISE_SIZE_UNKNOWN && a->written != a->announced)
		return err_fail(e, MORTISE_E_INVALID, "Message is shorter than announced");
	a->within = false;
	return 0;
}

static int too_big(const struct append *a, struct err *e)
{
	log_msg(MSG_STORE_TOO_BIG, "%s: message_size is %llu octets", a->m->target.place.name,
	    (unsigned long long)a->m->store->o->message_size);
	return err_fail(e, MORTISE_E_TOOBIG, "Message is too large");
}

int append_check(struct append *a, uint64_t octets, struct err *e)
{
	CHECK_OBJ(a, APPEND_MAGIC);
	if (octets != MORTISE_SIZE_UNKNOWN && octets > a->m->store->o->message_size)
		return too_big(a, e);
	return 0;
}

int append_message(struct append *a, uint32_t flags, const struct str *keywords, size_t keyword_count,
    int64_t internal_date, int zone, uint64_t octets, struct err *e)
{
	struct mortise_append_info info = {.size = sizeof(info),
	    .flags = flags & MORTISE_FLAGS_SYSTEM,
	    .internal_date = internal_date,
	    .zone = zone,
	    .octets = octets,
	    .uid = given(a)};
	struct appended is = {.flags = info.flags, .keyword_count = keyword_count};
	size_t i;

	CHECK_OBJ(a, APPEND_MAGIC);
	if (end_message(a, e) != 0 || append_check(a, octets, e) != 0)
		return e->code;
	if (make_room(a, octets, e) != 0)
		return e->code;
	is.keywords = arena_array(a->arena, keyword_count + 1, sizeof(*is.keywords));
	for (i = 0; i < keyword_count; i++) {
		if (keyword_check(keywords[i], e) != 0)
			return e->code;
		is.keywords[i] = arena_str(a->arena, keywords[i]).p;
	}
	info.keywords = is.keywords;
	info.keyword_count = keyword_count;
	if (box_append_message(a->m, a->tx, &info, e) != 0)
		return e->code;
	a->within = true;
	a->announced = octets;
	a->written = 0;
	*vec_push(&a->messages) = is;
	return 0;
}

int append_write(struct append *a, struct str octets, struct err *e)
{
	CHECK_OBJ(a, APPEND_MAGIC);
	ASSERT(a->within);
	if (octets.n > a->announced - a->written)
		return err_fail(e, MORTISE_E_INVALID, "Message is longer than announced");
	if (octets.n > a->m->store->o->message_size - a->written)
		return too_big(a, e);
	if (store_stopped(a->m->store, e) != 0)
		return e->code;
	if (octets.n > 0 && box_append_write(a->m, a->tx, octets.p, octets.n, e) != 0)
		return e->code;
	a->written += octets.n;
	return 0;
}

/* The record of a message that was appended. `from`: where to begin to look. */
static struct record *arrived(struct mailbox *m, const struct mortise_ref *ref, size_t *from)
{
	size_t i;

	if (ref->uid != 0)
		return record_find(m, ref->uid);
	for (i = *from; i < m->records.n; i++) {
		struct record *r = m->records.v[i];

		if (r->m.identity_size > 0 && r->m.identity_size <= ref->locator_size &&
		    memcmp(r->m.locator, ref->locator, r->m.identity_size) == 0) {
			*from = i + 1;
			return r;
		}
	}
	return NULL;
}

/* Does the index have to hold anything of it? */
static bool left_out(const struct mailbox *m, const struct appended *is)
{
	size_t i;

	if ((is->flags & ~m->info.permanent_flags) != 0)
		return true;
	for (i = 0; i < is->keyword_count; i++) {
		int bit = keyword_bit(m, str_of(is->keywords[i]));

		if (bit < 0 || !m->keywords[bit].kept)
			return true;
	}
	return false;
}

struct completing {
	const struct append *a;
	const uint32_t *uids;
};

static void stage_complete(struct sync *s, void *arg)
{
	const struct completing *c = arg;
	size_t i, j;

	for (i = 0; i < c->a->messages.n; i++) {
		const struct appended *is = &c->a->messages.v[i];
		struct record *r = record_find(s->m, c->uids[i]);
		uint64_t keywords;
		bool lost = false;

		if (r == NULL || !left_out(s->m, is))
			continue;
		keywords = r->m.keywords;
		for (j = 0; j < is->keyword_count; j++) {
			int bit = keyword_keep(s->m, str_of(is->keywords[j]), &lost);

			if (bit >= 0)
				keywords |= UINT64_C(1) << bit;
		}
		sync_stage_flags(s, r, r->m.flags | is->flags, keywords);
	}
}

/* The messages are there. What the engine knows of them, and adds, may come later if it cannot be now. */
static void take_in(const struct append *a, struct mortise_ref *refs, uint32_t *uids)
{
	struct mailbox *m = a->m;
	struct completing c = {.a = a, .uids = uids};
	struct err e = ERR_INIT;
	size_t from = m->loaded ? m->records.n : m->counts.messages, i;
	bool more = false, numbered = true;

	if (sync_now(m, &e) < 0) {
		log_debug("store", "%s: not synced after an append: %s", m->target.place.name, e.admin);
		return;
	}
	for (i = 0; i < a->messages.n; i++) {
		more = more || left_out(m, &a->messages.v[i]);
		numbered = numbered && refs[i].uid != 0;
	}
	if (!more && numbered)
		return;
	if (records_load(m, &e) == 0) {
		for (i = 0; i < a->messages.n; i++) {
			const struct record *r = arrived(m, &refs[i], &from);

			uids[i] = r != NULL ? r->m.uid : 0;
		}
		if (more)
			sync_with(m, stage_complete, &c, &e);
	}
	if (e.code != 0)
		log_err(MSG_STORE_INDEX, &e, m->target.place.name);
}

/* The mailbox of what is replaced is held as in a change. 0: then it is still there. */
static int hold_replaced(struct append *a, struct err *e)
{
	if (a->replaced_in == NULL)
		return 0;
	if (change_begin(a->replaced_in, e) != 0)
		return e->code;
	if (record_find(a->replaced_in, a->replaced) != NULL)
		return 0;
	change_end(a->replaced_in);
	return err_fail(e, MORTISE_E_EXPUNGED, "The message no longer exists");
}

/* Under the mailbox's lock, so that it is synced before anybody else changes it. Held when it returns 0. */
static int hold_target(struct append *a, struct err *e)
{
	if (hold_replaced(a, e) != 0 || a->replaced_in == a->m)
		return e->code;
	/*
	 * With the engine's cursor the driver knows the mailbox; without, it would have to read it. And what is
	 * there already was not saved now (RFC 8514).
	 */
	if (box_lock(a->m, MORTISE_LOCK_EXCLUSIVE, lock_deadline(a->m), e) == 0 && sync_now(a->m, e) < 0)
		change_end(a->m);
	if (e->code != 0 && a->replaced_in != NULL)
		change_end(a->replaced_in);
	return e->code;
}

/* What was replaced goes when the rest is there, and not before. */
static void release_target(struct append *a, bool committed, struct err *e)
{
	if (a->replaced_in != a->m)
		change_end(a->m);
	if (a->replaced_in == NULL)
		return;
	if (committed && record_find(a->replaced_in, a->replaced) != NULL)
		expunge_uids(a->replaced_in, &a->replaced, 1, e);
	change_end(a->replaced_in);
}

static size_t commit_held(struct append *a, uint32_t *uidvalidity, uint32_t *uids, struct err *e)
{
	struct mortise_ref *refs = arena_array(a->arena, a->messages.n, sizeof(*refs));
	size_t i;

	if (box_append_commit(a->m, a->tx, uidvalidity, refs, a->messages.n, e) != 0)
		return 0;
	for (i = 0; i < a->messages.n; i++)
		uids[i] = refs[i].uid;
	take_in(a, refs, uids);
	if (*uidvalidity == 0)
		*uidvalidity = a->m->uidvalidity;
	return a->messages.n;
}

int append_commit(struct append **ap, uint32_t *uidvalidity, struct arena *arena, uint32_t **uids,
    size_t *count, struct err *e)
{
	struct append *a = *ap;
	struct quota_room net;
	int quota = -1;

	CHECK_OBJ(a, APPEND_MAGIC);
	*count = 0;
	*uidvalidity = 0;
	*uids = NULL;
	if (end_message(a, e) != 0 || a->messages.n == 0) {
		append_abort(ap);
		return e->code;
	}
	net = net_room(a);
	if ((!a->exempt && quota_begin(a->m->store, &net, &quota, e) != 0) || hold_target(a, e) != 0) {
		quota_done(&quota);
		append_abort(ap);
		return e->code;
	}
	*ap = NULL;
	*uids = arena_array(arena, a->messages.n, sizeof(**uids));
	*count = commit_held(a, uidvalidity, *uids, e);
	release_target(a, *count > 0, e);
	quota_done(&quota);
	release(a);
	return e->code;
}

/* As make_room, of messages that are in another mailbox; they are measured only when there is a limit. */
static int room_for_copies(
    struct append *a, struct mailbox *from, const struct message *const *messages, size_t n, struct err *e)
{
	bool sizes = quota_limits(a->m->store, QUOTA_STORAGE);
	uint64_t octets = 0;
	size_t i;

	a->room.more[QUOTA_MESSAGE] += n;
	for (i = 0; i < n && sizes; i++) {
		if (mailbox_octets(from, messages[i], &octets, e) != 0)
			return e->code;
		a->room.more[QUOTA_STORAGE] += octets;
	}
	return quota_check(a->m->store, &a->room, e);
}

int append_copies(
    struct append *a, struct mailbox *from, const struct message *const *messages, size_t n, struct err *e)
{
	struct mortise_ref *refs = arena_array(a->arena, n + 1, sizeof(*refs));
	struct mortise_append_info *infos = arena_array(a->arena, n + 1, sizeof(*infos));
	struct quota_room before = a->room;
	size_t i;

	CHECK_OBJ(a, APPEND_MAGIC);
	/* One file in two mailboxes would have the permissions of one of them. */
	if (a->m->target.shared || from->target.shared)
		return err_fail(e, MORTISE_E_UNSUPPORTED, "Shared messages are copied");
	if (!a->exempt && room_for_copies(a, from, messages, n, e) != 0)
		return e->code;
	for (i = 0; i < n; i++) {
		const struct message *msg = messages[i];
		struct appended is = {.flags = msg->flags};

		is.keywords = keyword_names(from, msg->keywords, a->arena, &is.keyword_count);
		refs[i] = record_ref(record_of(msg));
		infos[i] = (struct mortise_append_info){.size = sizeof(infos[i]),
		    .flags = msg->flags,
		    .keywords = is.keywords,
		    .keyword_count = is.keyword_count,
		    .internal_date = msg->internal_date,
		    .zone = msg->zone,
		    .octets = msg->octets,
		    .uid = given(a)};
		*vec_push(&a->messages) = is;
	}
	if (box_append_copy(a->m, a->tx, from, refs, infos, n, e) != 0) {
		a->messages.n -= n;
		a->room = before;
	}
	return e->code;
}

void append_abort(struct append **ap)
{
	struct append *a;

	if (*ap == NULL)
		return;
	TAKE_OBJ(a, ap, APPEND_MAGIC);
	box_append_abort(a->m, a->tx);
	release(a);
}
