#include "store/special_use.h"

#include "log/log.h"
#include "store/store_int.h"
#include "base/banned.h"

const char *const special_use_names[SPECIAL_USES] = {
    [SPECIAL_USE_ARCHIVE] = "\\Archive",
    [SPECIAL_USE_DRAFTS] = "\\Drafts",
    [SPECIAL_USE_JUNK] = "\\Junk",
    [SPECIAL_USE_SENT] = "\\Sent",
    [SPECIAL_USE_TRASH] = "\\Trash",
};

bool special_use_parse(struct str name, enum special_use *out)
{
	int i;

	for (i = 0; i < SPECIAL_USES; i++)
		if (str_ieqc(name, special_use_names[i])) {
			*out = (enum special_use)i;
			return true;
		}
	return false;
}

static const char *configured(const struct store *s, enum special_use use)
{
	const char *const names[SPECIAL_USES] = {
	    [SPECIAL_USE_ARCHIVE] = s->o->archive,
	    [SPECIAL_USE_DRAFTS] = s->o->drafts,
	    [SPECIAL_USE_JUNK] = s->o->junk,
	    [SPECIAL_USE_SENT] = s->o->sent,
	    [SPECIAL_USE_TRASH] = s->o->trash,
	};

	return names[use] != NULL && names[use][0] != '\0' ? names[use] : NULL;
}

/* What clients gave. */
#define PREFIX "specialuse/"

struct reading {
	struct arena *arena;
	struct special_uses *out;
};

static int on_attribute(void *arg, struct str name, struct str value)
{
	struct reading *r = arg;
	enum special_use use;

	if (special_use_parse(str_from(name, strlen(PREFIX)), &use))
		r->out->names[use] = value.n > 0 ? arena_str(r->arena, value).p : NULL;
	return 0;
}

void store_special_uses(struct store *s, struct arena *a, struct special_uses *out)
{
	struct reading r = {a, out};
	struct err e = ERR_INIT;
	struct index *x;
	int i;

	CHECK_OBJ(s, STORE_MAGIC);
	for (i = 0; i < SPECIAL_USES; i++)
		out->names[i] = configured(s, (enum special_use)i);
	x = store_index(s, &e);
	if (x == NULL || index_attributes(x, 0, STR(PREFIX), on_attribute, &r, &e) < 0)
		log_err(MSG_STORE_INDEX, &e, s->user);
}

/* name NULL: back to what is configured. */
static int give(struct store *s, int use, const char *name, struct err *e)
{
	AUTO_BUF struct buf attribute = BUF_INIT;
	struct index *x = store_index(s, e);
	struct str value = str_of(name);

	if (x == NULL)
		return e->code;
	buf_printf(&attribute, PREFIX "%s", special_use_names[use]);
	return index_attribute_set(x, 0, buf_str(&attribute), name != NULL ? &value : NULL, e);
}

int store_special_use_set(struct store *s, const char *name, unsigned uses, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("special use");
	struct special_uses now;
	int i;

	store_special_uses(s, a, &now);
	for (i = 0; i < SPECIAL_USES && e->code == 0; i++) {
		const char *by_default = configured(s, (enum special_use)i);
		bool has = now.names[i] != NULL && strcmp(now.names[i], name) == 0;

		if ((uses >> i & 1) != 0 && !has)
			give(s, i, name, e);
		else if ((uses >> i & 1) == 0 && has)
			give(s, i, by_default != NULL && strcmp(by_default, name) == 0 ? "" : NULL, e);
	}
	return e->code;
}

static bool is_below(const char *name, const char *level)
{
	size_t n = strlen(level);

	return strncmp(name, level, n) == 0 && (name[n] == '\0' || name[n] == '/');
}

/* The uses of `from` and of mailboxes below it go to `to`; to NULL: what clients gave is taken back. */
static int move_uses(struct store *s, const char *from, const char *to, struct err *e)
{
	AUTO_ARENA struct arena *a = arena_new("special use");
	struct special_uses now;
	int i;

	store_special_uses(s, a, &now);
	for (i = 0; i < SPECIAL_USES && e->code == 0; i++) {
		const char *name = now.names[i], *by_default = configured(s, (enum special_use)i);

		if (name == NULL || !is_below(name, from))
			continue;
		if (to != NULL)
			give(s, i, arena_printf(a, "%s%s", to, name + strlen(from)), e);
		else if (by_default == NULL || strcmp(name, by_default) != 0)
			give(s, i, NULL, e);
	}
	return e->code;
}

static void change_names(struct store *s, const char *from, const char *to)
{
	struct err e = ERR_INIT;

	if (move_uses(s, from, to, &e) != 0)
		log_err(MSG_STORE_INDEX, &e, from);
}

void special_use_renamed(struct store *s, const char *from, const char *to)
{
	change_names(s, from, to);
}

void special_use_deleted(struct store *s, const char *name)
{
	change_names(s, name, NULL);
}

unsigned special_use_of(const struct special_uses *u, const char *name)
{
	unsigned bits = 0, i;

	for (i = 0; i < SPECIAL_USES; i++)
		if (u->names[i] != NULL && strcmp(u->names[i], name) == 0)
			bits |= 1u << i;
	return bits;
}
