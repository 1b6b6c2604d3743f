/*
 * identifier.c: names in access lists. They are the host's: what has none there is told by its number.
 */
#include <errno.h>
#include <grp.h>
#include <pwd.h>

#include "store/rights_int.h"
#include "base/banned.h"

#define RECORD_OCTETS 16384u /* of a user or group; a larger group is known by its number only */

static int unknown(struct err *e)
{
	return err_fail(e, MORTISE_E_INVALID, "There is no such user or group");
}

static int find_user(const struct store *s, const char *name, struct identity *out, struct err *e)
{
	char text[RECORD_OCTETS];
	struct passwd user, *found = NULL;

	out->kind = IDENTITY_USER;
	out->id = s->uid;
	if (strcmp(name, s->user) == 0)
		return 0;
	if (getpwnam_r(name, &user, text, sizeof(text), &found) != 0 || found == NULL)
		return unknown(e);
	out->id = found->pw_uid;
	return 0;
}

static int find_group(const char *name, struct identity *out, struct err *e)
{
	char text[RECORD_OCTETS];
	struct group group, *found = NULL;

	out->kind = IDENTITY_GROUP;
	if (getgrnam_r(name, &group, text, sizeof(text), &found) != 0 || found == NULL)
		return unknown(e);
	out->id = found->gr_gid;
	return 0;
}

int identity_parse(const struct store *s, const char *text, struct identity *out, struct err *e)
{
	struct str name = str_of(text);

	*out = (struct identity){.kind = IDENTITY_ANYONE};
	if (str_ieqc(name, "anyone"))
		return 0;
	if (name.p[0] == '-')
		return err_fail(e, MORTISE_E_UNSUPPORTED, "There are no negative rights here");
	if (str_starts(name, STR("group=")))
		return find_group(text + 6, out, e);
	if (str_starts(name, STR("uid=")) || str_starts(name, STR("gid="))) {
		out->kind = name.p[0] == 'u' ? IDENTITY_USER : IDENTITY_GROUP;
		return str_u32(str_from(name, 4), &out->id) && out->id != UINT32_MAX ? 0 : unknown(e);
	}
	return find_user(s, text, out, e);
}

const char *identity_text(const struct store *s, const struct identity *i, struct arena *a)
{
	char text[RECORD_OCTETS];
	struct passwd user, *u = NULL;
	struct group group, *g = NULL;

	switch (i->kind) {
	case IDENTITY_ANYONE:
		return "anyone";
	case IDENTITY_USER:
		if (i->id == s->uid)
			return s->user;
		if (getpwuid_r(i->id, &user, text, sizeof(text), &u) == 0 && u != NULL)
			return arena_strdup(a, u->pw_name);
		return arena_printf(a, "uid=%u", i->id);
	default:
		if (getgrgid_r(i->id, &group, text, sizeof(text), &g) == 0 && g != NULL)
			return arena_printf(a, "group=%s", g->gr_name);
		return arena_printf(a, "gid=%u", i->id);
	}
}
