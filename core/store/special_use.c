#include "store/special_use.h"

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

int store_special_uses(struct store *s, struct arena *a UNUSED, struct special_uses *out, struct err *e)
{
	int i;

	CHECK_OBJ(s, STORE_MAGIC);
	for (i = 0; i < SPECIAL_USES; i++)
		out->names[i] = configured(s, (enum special_use)i);
	return e->code;
}

unsigned special_use_of(const struct special_uses *u, const char *name)
{
	unsigned bits = 0, i;

	for (i = 0; i < SPECIAL_USES; i++)
		if (u->names[i] != NULL && strcmp(u->names[i], name) == 0)
			bits |= 1u << i;
	return bits;
}
