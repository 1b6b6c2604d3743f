#include "auth/auth.h"
#include "auth/offer.h"
#include "base/mem.h"
#include "base/banned.h"

#define CONV_MAGIC 0x41434f31u

/* A mechanism that asks more often in one conversation is guessing for its client. */
#define VERIFY_MAX 3

struct auth_conv {
	struct mortise_conversation pub; /* first: the callbacks are given this */
	uint32_t magic;
	struct auth_chain *chain;
	struct auth_facts facts;
	struct arena *arena;    /* everything, wiped at the end; also the mechanism's LIFE_BOX */
	struct instance *owner; /* NULL: the LOGIN command, which needs no module */
	uint64_t deadline;      /* of the call being made */
	bool started;
	int outcome; /* the last MORTISE_SASL_… */

	unsigned verifies, credentials;
	int result;                    /* of the last question to the chain; MORTISE_AUTH_OK before any */
	const char *tried;             /* whom the last question was about, as the client wrote it */
	const char *verified;          /* whose password was right, as the client wrote it, or NULL */
	struct auth_identity identity; /* of `verified` (the master user in "target*master") */
	struct buf why;
};

static struct auth_conv *conv_of(struct mortise_conversation *pub)
{
	struct auth_conv *v = (struct auth_conv *)pub;

	CHECK_OBJ(v, CONV_MAGIC);
	return v;
}

static bool is_master(const struct auth_options *o, const char *user)
{
	size_t i;

	for (i = 0; i < o->master_users.count; i++)
		if (strcmp(o->master_users.items[i], user) == 0)
			return true;
	return false;
}

/* "target*master": the two names, when the last part is a master user; otherwise target is NULL. */
static void split_master(struct auth_conv *v, const char *name, const char **target, const char **user)
{
	const struct auth_options *o = auth_chain_options(v->chain);
	const char *separator = o->master_separator, *at, *last = NULL;

	*target = NULL;
	*user = name;
	if (separator == NULL || separator[0] == '\0')
		return;
	for (at = strstr(name, separator); at != NULL; at = strstr(at + 1, separator))
		last = at;
	if (last == NULL || !is_master(o, last + strlen(separator)))
		return;
	*target = arena_strndup(v->arena, name, (size_t)(last - name));
	*user = last + strlen(separator);
}

static int conv_verify(struct mortise_conversation *pub, struct mortise_call *call, const char *user,
    const char *password, size_t password_size)
{
	struct auth_conv *v = conv_of(pub);
	const char *target, *name;

	(void)call;
	v->verified = NULL;
	v->tried = arena_strdup(v->arena, user != NULL ? user : "");
	buf_reset(&v->why);
	if (++v->verifies > VERIFY_MAX || user == NULL || password == NULL) {
		buf_adds(&v->why, "the mechanism asked too often or for nobody");
		v->result = MORTISE_AUTH_INTERNAL;
		return v->result;
	}
	split_master(v, v->tried, &target, &name);
	/* Backends are promised a NUL behind the password. */
	if (password_size <= AUTH_PASSWORD_MAX)
		password = arena_strndup(v->arena, password, password_size);
	v->result = auth_verify(
	    v->chain, &v->facts, name, password, password_size, v->deadline, v->arena, &v->identity, &v->why);
	if (v->result == MORTISE_AUTH_OK)
		v->verified = v->tried;
	return v->result;
}

static int conv_credential(struct mortise_conversation *pub, struct mortise_call *call, const char *user,
    uint32_t kind, const char **text)
{
	struct auth_conv *v = conv_of(pub);
	const char *target, *name;

	(void)call;
	v->tried = arena_strdup(v->arena, user != NULL ? user : "");
	v->credentials++;
	buf_reset(&v->why);
	split_master(v, v->tried, &target, &name);
	v->result = auth_credential(v->chain, name, kind, v->deadline, v->arena, text, &v->why);
	/* Finding a credential proves nothing yet; what the mechanism makes of it decides. */
	if (v->result == MORTISE_AUTH_UNKNOWN || v->result == MORTISE_AUTH_NEXT)
		return MORTISE_AUTH_UNKNOWN;
	return v->result;
}

static struct auth_conv *conv_new(struct auth_chain *c, const struct auth_facts *f, struct instance *owner,
    const struct mortise_mechanism *m)
{
	struct auth_conv *v = mem_new(struct auth_conv);
	struct arena *a = arena_new_secret("conversation");

	v->magic = CONV_MAGIC;
	v->chain = c;
	v->arena = a;
	v->owner = owner;
	v->facts = (struct auth_facts){.service = arena_strdup(a, f->service != NULL ? f->service : "imap"),
	    .remote = arena_strdup(a, f->remote != NULL ? f->remote : ""),
	    .local = arena_strdup(a, f->local != NULL ? f->local : ""),
	    .host = arena_strdup(a, f->host != NULL ? f->host : "localhost"),
	    .tls = f->tls,
	    .exporter = auth_binding(a, f->exporter),
	    .endpoint = auth_binding(a, f->endpoint)};
	v->pub = (struct mortise_conversation){.size = sizeof(v->pub),
	    .mechanism = m != NULL ? m->name : "",
	    .service = v->facts.service,
	    .host = v->facts.host,
	    .remote = v->facts.remote,
	    .tls = v->facts.tls,
	    .verify = conv_verify,
	    .credential = conv_credential};
	v->tried = "";
	v->why.limit = 2048;
	return v;
}

/* The LOGIN command: "user NUL password". */
static int direct_login(struct auth_conv *v, struct str in)
{
	struct str rest = in, user = str_cut(&rest, '\0');

	if (in.p == NULL || rest.p == NULL || str_find(rest, '\0') != rest.n)
		return MORTISE_SASL_BAD;
	v->pub.authentication = arena_strndup(v->arena, user.p, user.n);
	switch (conv_verify(&v->pub, NULL, v->pub.authentication, rest.p, rest.n)) {
	case MORTISE_AUTH_OK:
		return MORTISE_SASL_DONE;
	case MORTISE_AUTH_TEMP:
	case MORTISE_AUTH_INTERNAL:
		return MORTISE_SASL_TEMP;
	default:
		return MORTISE_SASL_FAIL;
	}
}

static bool known_outcome(int r)
{
	return r == MORTISE_SASL_CONTINUE || r == MORTISE_SASL_DONE || r == MORTISE_SASL_FAIL ||
	       r == MORTISE_SASL_BAD || r == MORTISE_SASL_TEMP;
}

/* One call of the mechanism. */
static int advance(struct auth_conv *v, struct str in, bool first, struct buf *challenge)
{
	const struct mortise_sasl_ops *ops = v->owner->ops;
	struct mortise_octets input = {in.p, in.n}, output = {NULL, 0};
	struct call_env env = {.box = v->arena, .deadline = v->deadline, .journal_dir = -1};
	struct err e = ERR_INIT;
	struct call call;
	int r;

	call_begin(&call, v->owner, &env, first ? "start" : "step");
	v->started = true;
	r = first ? ops->start(&call.pub, &v->pub, input, &output)
	          : ops->step(&call.pub, &v->pub, input, &output);
	r = call_end_keep(&call, r, &e);
	if (output.data != NULL && (r == MORTISE_SASL_CONTINUE || r == MORTISE_SASL_DONE))
		buf_add(challenge, output.data, output.size);
	call_clear(&call);
	if (!known_outcome(r)) {
		buf_printf(&v->why, "%s%s: %s", v->why.n > 0 ? ", " : "", v->owner->pub.name,
		    e.admin[0] != '\0' ? e.admin : "an outcome nobody knows");
		r = MORTISE_SASL_TEMP;
		v->result = MORTISE_AUTH_INTERNAL;
	} else if (e.code != 0) {
		buf_printf(&v->why, "%s%s: %s", v->why.n > 0 ? ", " : "", v->owner->pub.name, e.admin);
	}
	/* "Cannot say now" must not become "wrong password" because a library has only yes and no. */
	if (r == MORTISE_SASL_FAIL && (v->result == MORTISE_AUTH_TEMP || v->result == MORTISE_AUTH_INTERNAL))
		r = MORTISE_SASL_TEMP;
	return r;
}

/* Whether a mechanism is told of channel bindings: it needs one, or its sibling that does is offered, too. */
static bool may_bind(const struct mortise_mechanism *m, struct str offer)
{
	AUTO_BUF struct buf sibling = BUF_INIT;

	if ((m->flags & MORTISE_MECHANISM_BINDING) != 0)
		return true;
	buf_printf(&sibling, "%s-PLUS", m->name);
	return auth_offered(offer, buf_str(&sibling));
}

int auth_conv_start(struct auth_chain *c, const struct auth_facts *f, struct str mechanism, struct str in,
    uint64_t deadline, struct auth_conv **out, struct buf *challenge)
{
	const struct mortise_mechanism *m = NULL;
	struct instance *owner = NULL;
	AUTO_BUF struct buf offer = BUF_INIT;
	struct auth_conv *v;

	*out = NULL;
	auth_offer(auth_chain_registry(c), auth_chain_options(c), f->tls, &offer);
	if (!auth_offered(buf_str(&offer), mechanism))
		return MORTISE_SASL_BAD;
	if (mechanism.n > 0 && (owner = auth_mechanism(auth_chain_registry(c), mechanism, &m)) == NULL)
		return MORTISE_SASL_BAD;
	v = *out = conv_new(c, f, owner, m);
	v->deadline = deadline;
	if (m != NULL && may_bind(m, buf_str(&offer))) {
		v->pub.exporter = (struct mortise_octets){v->facts.exporter.p, v->facts.exporter.n};
		v->pub.endpoint = (struct mortise_octets){v->facts.endpoint.p, v->facts.endpoint.n};
	}
	v->outcome = owner == NULL ? direct_login(v, in) : advance(v, in, true, challenge);
	return v->outcome;
}

int auth_conv_step(struct auth_conv *v, struct str in, uint64_t deadline, struct buf *challenge)
{
	CHECK_OBJ(v, CONV_MAGIC);
	if (v->outcome != MORTISE_SASL_CONTINUE || v->owner == NULL)
		return MORTISE_SASL_BAD;
	v->deadline = deadline;
	v->outcome = advance(v, in, false, challenge);
	return v->outcome;
}

/* The answer for a conversation that did not prove anybody. */
static int failed(const struct auth_conv *v)
{
	if (v->result == MORTISE_AUTH_OK || v->result == MORTISE_AUTH_NEXT)
		return v->outcome == MORTISE_SASL_TEMP ? MORTISE_AUTH_TEMP : MORTISE_AUTH_MISMATCH;
	return v->result;
}

/* Whoever authenticated, as an identity: known from verify, or looked up. */
static int authenticated(struct auth_conv *v, const char *name, struct buf *why)
{
	if (v->verifies > 0) {
		/* A mechanism that asked for one password cannot have proved somebody else. */
		if (v->verified == NULL || strcmp(v->verified, v->pub.authentication) != 0) {
			buf_adds(why, "; the mechanism claims a user whose password was not verified");
			return MORTISE_AUTH_INTERNAL;
		}
		return MORTISE_AUTH_OK;
	}
	if (v->credentials > 0 &&
	    (v->result != MORTISE_AUTH_OK || strcmp(v->tried, v->pub.authentication) != 0)) {
		buf_adds(why, "; the mechanism claims a user whose secret it did not get");
		return MORTISE_AUTH_INTERNAL;
	}
	return auth_lookup(v->chain, name, v->deadline, v->arena, &v->identity, why);
}

static void copy_identity(const struct auth_identity *from, struct arena *a, struct auth_identity *to)
{
	const char **options = arena_array(a, from->option_count + 1, sizeof(*options));
	size_t i;

	*to = *from;
	to->user = arena_strdup(a, from->user);
	to->home = arena_strdup(a, from->home);
	for (i = 0; i < from->option_count; i++)
		options[i] = arena_strdup(a, from->options[i]);
	to->options = options;
}

/* Whether v->identity may act as `target`, and who that is. */
static int authorise(
    struct auth_conv *v, const char *target, struct arena *a, struct auth_identity *out, struct buf *why)
{
	AUTO_BUF struct buf said = BUF_INIT;
	int r;

	if (!is_master(auth_chain_options(v->chain), v->identity.user)) {
		buf_printf(why, "; %s is not a master user", v->identity.user);
		return MORTISE_AUTH_MISMATCH;
	}
	r = auth_lookup(v->chain, target, v->deadline, a, out, &said);
	buf_printf(why, "; %s acts as %s: %s", v->identity.user, target, buf_cstr(&said));
	return r == MORTISE_AUTH_NEXT ? MORTISE_AUTH_UNKNOWN : r;
}

int auth_conv_identity(
    struct auth_conv *v, uint64_t deadline, struct arena *a, struct auth_identity *out, struct buf *why)
{
	const char *target, *name, *claim;
	int r;

	CHECK_OBJ(v, CONV_MAGIC);
	v->deadline = deadline;
	buf_addstr(why, buf_str(&v->why));
	if (v->outcome != MORTISE_SASL_DONE)
		return failed(v);
	claim = v->pub.authentication;
	if (claim == NULL || !auth_user_name_ok(str_of(claim))) {
		buf_adds(why, "; the mechanism names no valid user");
		return MORTISE_AUTH_INTERNAL;
	}
	split_master(v, claim, &target, &name);
	r = authenticated(v, name, why);
	if (r != MORTISE_AUTH_OK)
		return r == MORTISE_AUTH_NEXT ? MORTISE_AUTH_UNKNOWN : r;
	if (v->pub.authorisation != NULL && v->pub.authorisation[0] != '\0' &&
	    strcmp(v->pub.authorisation, claim) != 0) {
		if (target != NULL && strcmp(target, v->pub.authorisation) != 0) {
			buf_adds(why, "; two different users to act as");
			return MORTISE_AUTH_MISMATCH;
		}
		target = arena_strdup(v->arena, v->pub.authorisation);
	}
	if (target == NULL || strcmp(target, v->identity.user) == 0) {
		copy_identity(&v->identity, a, out);
		return MORTISE_AUTH_OK;
	}
	return authorise(v, target, a, out, why);
}

const char *auth_conv_user(const struct auth_conv *v)
{
	CHECK_OBJ(v, CONV_MAGIC);
	if (v->pub.authentication != NULL && v->pub.authentication[0] != '\0')
		return v->pub.authentication;
	return v->tried;
}

void auth_conv_free(struct auth_conv **vp)
{
	struct auth_conv *v;

	if (*vp == NULL)
		return;
	TAKE_OBJ(v, vp, CONV_MAGIC);
	if (v->started) {
		const struct mortise_sasl_ops *ops = v->owner->ops;
		struct call_env env = {.box = v->arena, .journal_dir = -1};
		struct err e = ERR_INIT;
		struct call call;

		call_begin(&call, v->owner, &env, "dispose");
		ops->dispose(&call.pub, &v->pub);
		(void)call_end(&call, 0, &e);
	}
	buf_free(&v->why);
	arena_free(&v->arena);
	v->magic = 0;
	mem_free(v);
}
