#include "store/metadata.h"

#include "base/vec.h"
#include "store/quota_int.h"
#include "store/special_use.h"
#include "base/banned.h"

#define SPECIAL_USE STR("/private/specialuse")
#define PRIVATE STR("/private")
#define SHARED STR("/shared")

static bool is_below(struct str name, struct str level)
{
	return str_istarts(name, level) && name.n > level.n && name.p[level.n] == '/';
}

static bool is_at(struct str name, struct str level)
{
	return str_ieq(name, level) || is_below(name, level);
}

bool metadata_name_ok(struct str name, bool to_be_set)
{
	size_t i, levels = 0;

	for (i = 0; i < name.n; i++) {
		char c = name.p[i];

		if ((unsigned char)c < 0x20 || (unsigned char)c >= 0x7f || c == '*' || c == '%')
			return false;
		if (c == '/' && (i + 1 == name.n || name.p[i + 1] == '/'))
			return false;
		levels += c == '/';
	}
	if (!is_at(name, PRIVATE) && !is_at(name, SHARED))
		return false;
	if (!to_be_set)
		return true;
	return is_at(name, STR("/private/vendor")) || is_at(name, STR("/shared/vendor")) ? levels >= 4
	                                                                                 : levels >= 2;
}

/* ---- reading ---- */
struct reading {
	struct str name;
	enum metadata_depth depth;
	metadata_fn *fn;
	void *arg;
};

static bool is_wanted(const struct reading *r, struct str name)
{
	struct str rest;

	if (str_eq(name, r->name))
		return true;
	if (!is_below(name, r->name) || r->depth == METADATA_ENTRY)
		return false;
	rest = str_from(name, r->name.n + 1);
	return r->depth == METADATA_INFINITY || str_find(rest, '/') == rest.n;
}

static void tell(const struct reading *r, struct str name, struct str value)
{
	if (is_wanted(r, name))
		r->fn(r->arg, &(struct metadata){name, value.n > 0 ? value : STR("")});
}

static int on_attribute(void *arg, struct str name, struct str value)
{
	tell(arg, name, value);
	return 0;
}

static void tell_options(const struct store *s, const struct reading *r)
{
	if (s->o->admin != NULL && s->o->admin[0] != '\0')
		tell(r, STR("/shared/admin"), str_of(s->o->admin));
	if (s->o->comment != NULL && s->o->comment[0] != '\0')
		tell(r, STR("/shared/comment"), str_of(s->o->comment));
}

static void write_uses(unsigned uses, struct buf *out)
{
	unsigned i;

	for (i = 0; i < SPECIAL_USES; i++)
		if ((uses >> i & 1) != 0)
			buf_printf(out, "%s%s", out->n > 0 ? " " : "", special_use_names[i]);
}

static void tell_uses(struct store *s, const char *mailbox, const struct reading *r)
{
	AUTO_ARENA struct arena *a = NULL;
	AUTO_BUF struct buf value = BUF_INIT;
	struct special_uses uses;

	if (!is_wanted(r, SPECIAL_USE))
		return;
	a = arena_new("special use");
	store_special_uses(s, a, &uses);
	write_uses(special_use_of(&uses, mailbox), &value);
	if (value.n > 0)
		tell(r, SPECIAL_USE, buf_str(&value));
}

int store_metadata(struct store *s, const char *mailbox, struct str name, enum metadata_depth depth,
    metadata_fn *fn, void *arg, struct err *e)
{
	struct reading r = {name, depth, fn, arg};
	uint64_t number;
	int code;

	CHECK_OBJ(s, STORE_MAGIC);
	if (store_mailbox_number(s, mailbox, &number, e) != 0)
		return e->code;
	code = index_attributes(store_index(s, e), number, name, on_attribute, &r, e);
	if (code != 0)
		return code;
	if (mailbox == NULL)
		tell_options(s, &r);
	else
		tell_uses(s, mailbox, &r);
	return 0;
}

/* ---- setting ---- */
struct counting {
	const struct metadata *entries; /* to be set: they are not counted */
	size_t count;
	uint64_t others;
};

static void count_other(void *arg, const struct metadata *m)
{
	struct counting *c = arg;
	size_t i;

	for (i = 0; i < c->count && !str_eq(c->entries[i].name, m->name); i++)
		;
	c->others += i == c->count && !str_eq(m->name, SPECIAL_USE);
}

static int check_count(
    struct store *s, const char *mailbox, struct counting *c, enum metadata_refusal *refusal, struct err *e)
{
	uint64_t all;
	size_t i;

	if (store_metadata(s, mailbox, PRIVATE, METADATA_INFINITY, count_other, c, e) != 0 ||
	    store_metadata(s, mailbox, SHARED, METADATA_INFINITY, count_other, c, e) != 0)
		return e->code;
	for (i = 0, all = c->others; i < c->count; i++)
		all += c->entries[i].value.p != NULL;
	if (all == c->others || all <= s->o->metadata_entries)
		return 0;
	*refusal = METADATA_TOO_MANY;
	return err_fail(e, MORTISE_E_LIMIT, "Too many entries");
}

uint64_t store_metadata_size(const struct store *s)
{
	return s->o->metadata_size;
}

/* Before anything is changed. */
static int check(struct store *s, const char *mailbox, const struct metadata *entries, size_t count,
    enum metadata_refusal *refusal, struct err *e)
{
	struct counting c = {entries, count, 0};
	size_t i;

	if (count > s->o->metadata_entries) {
		*refusal = METADATA_TOO_MANY;
		return err_fail(e, MORTISE_E_LIMIT, "Too many entries at once");
	}
	for (i = 0; i < count; i++) {
		if (mailbox == NULL && is_below(entries[i].name, SHARED))
			return err_fail(e, MORTISE_E_PERM, "The server's shared entries are read-only");
		if (entries[i].value.n > s->o->metadata_size) {
			*refusal = METADATA_TOO_LARGE;
			return err_fail(e, MORTISE_E_TOOBIG, "The value is too large");
		}
	}
	return check_count(s, mailbox, &c, refusal, e);
}

/* How much larger what the entries say is than what they said. */
static int growth(struct store *s, uint64_t number, const struct metadata *entries, size_t count,
    struct quota_room *room, struct err *e)
{
	uint64_t more = 0, less = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		AUTO_BUF struct buf old = BUF_INIT;
		int there = index_attribute(store_index(s, e), number, entries[i].name, &old, e);

		if (there < 0)
			return there;
		less += there == 1 ? entries[i].name.n + old.n : 0;
		more += entries[i].value.p != NULL ? entries[i].name.n + entries[i].value.n : 0;
	}
	room->more[QUOTA_ANNOTATION_STORAGE] = more > less ? more - less : 0;
	return 0;
}

static int set_uses(struct store *s, const char *mailbox, struct str value, struct err *e)
{
	unsigned uses = 0;

	while (value.n > 0) {
		struct str word = str_cut(&value, ' ');
		enum special_use use;

		if (word.n == 0)
			continue;
		if (!special_use_parse(word, &use))
			return err_fail(e, MORTISE_E_INVALID, "This special use cannot be given");
		uses |= 1u << use;
	}
	return store_special_use_set(s, mailbox, uses, e);
}

static int set_one(
    struct store *s, const char *mailbox, uint64_t number, const struct metadata *m, struct err *e)
{
	if (mailbox != NULL && str_eq(m->name, SPECIAL_USE))
		return set_uses(s, mailbox, m->value, e);
	return index_attribute_set(
	    store_index(s, e), number, m->name, m->value.p != NULL ? &m->value : NULL, e);
}

struct saved {
	struct metadata entry;
	struct arena *arena;
};

static void save(void *arg, const struct metadata *m)
{
	struct saved *x = arg;

	x->entry.value = arena_str(x->arena, m->value);
}

/* All or none: what was set before the one that failed goes back. */
static int set_all(struct store *s, const char *mailbox, uint64_t number, const struct metadata *entries,
    size_t count, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("metadata");
	struct metadata *before = arena_array(a, count, sizeof(*before));
	struct err undo = ERR_INIT;
	size_t i;

	for (i = 0; i < count && e->code == 0; i++) {
		struct saved x = {.entry = {.name = entries[i].name}, .arena = a};

		if (store_metadata(s, mailbox, x.entry.name, METADATA_ENTRY, save, &x, e) != 0)
			break;
		before[i] = x.entry;
		if (set_one(s, mailbox, number, &entries[i], e) != 0)
			break;
	}
	while (e->code != 0 && i-- > 0)
		set_one(s, mailbox, number, &before[i], &undo);
	return e->code;
}

int store_metadata_set(struct store *s, const char *mailbox, const struct metadata *entries, size_t count,
    enum metadata_refusal *refusal, struct err *e)
{
	struct quota_room room = {.more = {0}};
	uint64_t number;
	int quota = -1;

	CHECK_OBJ(s, STORE_MAGIC);
	*refusal = METADATA_FINE;
	if (check(s, mailbox, entries, count, refusal, e) != 0 ||
	    store_mailbox_number(s, mailbox, &number, e) != 0 ||
	    growth(s, number, entries, count, &room, e) != 0 || quota_begin(s, &room, &quota, e) != 0)
		return e->code;
	set_all(s, mailbox, number, entries, count, e);
	quota_done(&quota);
	return e->code;
}

/* ---- RENAME of INBOX ---- */
struct copying {
	struct arena *arena;
	VEC(struct metadata) entries;
};

static void copy_entry(void *arg, const struct metadata *m)
{
	struct copying *c = arg;

	if (!str_eq(m->name, SPECIAL_USE))
		*vec_push(&c->entries) =
		    (struct metadata){arena_str(c->arena, m->name), arena_str(c->arena, m->value)};
}

int store_metadata_copy(struct store *s, const char *from, const char *to, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("metadata");
	struct copying c = {.arena = a, .entries = VEC_INIT};
	uint64_t number;
	size_t i;

	if (store_mailbox_number(s, to, &number, e) == 0 &&
	    store_metadata(s, from, PRIVATE, METADATA_INFINITY, copy_entry, &c, e) == 0)
		store_metadata(s, from, SHARED, METADATA_INFINITY, copy_entry, &c, e);
	for (i = 0; i < c.entries.n && e->code == 0; i++)
		set_one(s, to, number, &c.entries.v[i], e);
	vec_free(&c.entries);
	return e->code;
}
