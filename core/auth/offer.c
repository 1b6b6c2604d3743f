#include "auth/auth.h"
#include "auth/offer.h"
#include "base/banned.h"

/* Everything the backends can yield between them. */
static uint32_t credentials(const struct registry *g)
{
	size_t count, i;
	struct instance *const *list = registry_instances(g, MORTISE_KIND_PASSWORD, &count);
	uint32_t all = 0;

	for (i = 0; i < count; i++)
		all |= ((const struct mortise_password_ops *)list[i]->ops)->credentials;
	return all;
}

struct instance *auth_mechanism(
    const struct registry *g, struct str name, const struct mortise_mechanism **out)
{
	size_t count, i;
	struct instance *const *list = registry_instances(g, MORTISE_KIND_SASL, &count);

	for (i = 0; i < count; i++) {
		const struct mortise_mechanism *m =
		    ((const struct mortise_sasl_ops *)list[i]->ops)->mechanisms;

		for (; m != NULL && m->name != NULL; m++)
			if (str_ieqc(name, m->name)) {
				*out = m;
				return list[i];
			}
	}
	return NULL;
}

void auth_offer(struct registry *g, const struct auth_options *o, bool tls, struct buf *out)
{
	uint32_t yields = credentials(g);
	size_t i;

	for (i = 0; i < o->mechanisms.count; i++) {
		const struct mortise_mechanism *m;

		if (auth_mechanism(g, str_of(o->mechanisms.items[i]), &m) == NULL)
			continue;
		if (m->needs != 0 && (m->needs & yields) == 0)
			continue;
		if ((m->flags & MORTISE_MECHANISM_PLAINTEXT) != 0 && !tls && !o->plaintext_without_tls)
			continue;
		if ((m->flags & MORTISE_MECHANISM_BINDING) != 0 && !tls)
			continue;
		if (auth_offered(buf_str(out), str_of(m->name)))
			continue;
		if (out->n > 0)
			buf_addc(out, ' ');
		buf_adds(out, m->name);
	}
}

bool auth_offered(struct str offer, struct str mechanism)
{
	if (mechanism.n == 0)
		return auth_offered(offer, STR("PLAIN")) || auth_offered(offer, STR("LOGIN"));
	while (offer.p != NULL)
		if (str_ieq(str_cut(&offer, ' '), mechanism))
			return true;
	return false;
}
