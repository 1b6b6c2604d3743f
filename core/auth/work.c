#include "auth/work.h"
#include "base/banned.h"

void work_pack_ids(struct buf *b, const struct auth_identity *i)
{
	size_t n;

	pack_cstr(b, i->user);
	pack_u32(b, (uint32_t)i->uid);
	pack_u32(b, (uint32_t)i->gid);
	pack_u32(b, (uint32_t)i->group_count);
	for (n = 0; n < i->group_count; n++)
		pack_u32(b, (uint32_t)i->groups[n]);
	pack_cstr(b, i->home);
}

void work_pack_options(struct buf *b, const struct auth_identity *i)
{
	size_t n;

	pack_u32(b, (uint32_t)i->option_count);
	for (n = 0; n < i->option_count; n++)
		pack_cstr(b, i->options[n]);
}

void work_unpack_identity(struct unpack *u, struct arena *a, struct auth_identity *i)
{
	const char **options;
	uint32_t count, n;

	*i = (struct auth_identity){.user = unpack_cstr(u, a)};
	i->uid = unpack_u32(u);
	i->gid = unpack_u32(u);
	count = unpack_u32(u);
	if (count > MORTISE_USER_GROUPS_MAX)
		u->bad = true;
	for (n = 0; n < count && !u->bad; n++)
		i->groups[n] = unpack_u32(u);
	i->group_count = u->bad ? 0 : count;
	i->home = unpack_cstr(u, a);
	count = unpack_u32(u);
	if (u->bad || count > AUTH_OPTIONS_MAX) {
		u->bad = true;
		return;
	}
	options = arena_array(a, count + 1, sizeof(*options));
	for (n = 0; n < count; n++) {
		options[n] = unpack_cstr(u, a);
		if (options[n] == NULL)
			u->bad = true;
	}
	i->options = options;
	i->option_count = u->bad ? 0 : count;
}
