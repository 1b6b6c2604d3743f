#include "auth/auth.h"
#include "auth/identity.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/banned.h"

#define CHAIN_MAGIC 0x41434831u

struct auth_chain {
	uint32_t magic;
	struct registry *registry;
	const struct auth_options *options;
	bool unprivileged;
};

struct auth_chain *auth_chain_new(struct registry *g, const struct auth_options *o, bool unprivileged)
{
	struct auth_chain *c = mem_new(struct auth_chain);

	c->magic = CHAIN_MAGIC;
	c->registry = g;
	c->options = o;
	c->unprivileged = unprivileged;
	return c;
}

void auth_chain_free(struct auth_chain **cp)
{
	struct auth_chain *c;

	if (*cp == NULL)
		return;
	TAKE_OBJ(c, cp, CHAIN_MAGIC);
	c->magic = 0;
	mem_free(c);
}

const struct auth_options *auth_chain_options(const struct auth_chain *c)
{
	CHECK_OBJ(c, CHAIN_MAGIC);
	return c->options;
}

struct registry *auth_chain_registry(const struct auth_chain *c)
{
	CHECK_OBJ(c, CHAIN_MAGIC);
	return c->registry;
}

static const struct {
	int result;
	const char *name;
} result_names[] = {
    {MORTISE_AUTH_OK, "ok"},
    {MORTISE_AUTH_MISMATCH, "mismatch"},
    {MORTISE_AUTH_NEXT, "next"},
    {MORTISE_AUTH_UNKNOWN, "unknown"},
    {MORTISE_AUTH_DISABLED, "disabled"},
    {MORTISE_AUTH_EXPIRED, "expired"},
    {MORTISE_AUTH_TEMP, "temporary"},
    {MORTISE_AUTH_INTERNAL, "internal"},
};

const char *auth_result_name(int result)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(result_names); i++)
		if (result_names[i].result == result)
			return result_names[i].name;
	return "nonsense";
}

/* What a backend returned, as one of MORTISE_AUTH_…. */
static int result_of(int r)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(result_names); i++)
		if (result_names[i].result == r)
			return r;
	switch (r) {
	case MORTISE_E_TEMP:
	case MORTISE_E_UNAVAILABLE:
	case MORTISE_E_CANCELLED:
	case MORTISE_E_INUSE:
	case MORTISE_E_IO:
	case MORTISE_E_LIMIT:
		return MORTISE_AUTH_TEMP;
	default:
		return MORTISE_AUTH_INTERNAL;
	}
}

/* The length of a well-formed UTF-8 character at p (RFC 3629: no overlong forms, no surrogates), or 0. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	unsigned low = 0x80, high = 0xbf;
	size_t length, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (n < length || p[1] < low || p[1] > high)
		return 0;
	for (i = 2; i < length; i++)
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	return length;
}

bool auth_user_name_ok(struct str name)
{
	const unsigned char *p = (const unsigned char *)name.p;
	size_t i = 0;

	if (name.n == 0 || name.n > AUTH_USER_MAX)
		return false;
	while (i < name.n) {
		size_t length = utf8_length(p + i, name.n - i);

		if (length == 0 || p[i] < 0x20 || p[i] == 0x7f)
			return false;
		if (length == 2 && p[i] == 0xc2 && p[i + 1] < 0xa0) /* C1 controls */
			return false;
		i += length;
	}
	return true;
}

/* One question to one backend. */
struct question {
	const char *op;
	const struct mortise_attempt *attempt; /* verify */
	const char *user;
	uint32_t credential; /* lookup */
	uint64_t deadline;
};

static bool can_answer(const struct instance *i, const struct question *q)
{
	const struct mortise_password_ops *ops = i->ops;

	if (q->attempt != NULL)
		return ops->verify != NULL && (ops->credentials & MORTISE_CREDENTIAL_VERIFY) != 0;
	return ops->lookup != NULL && (q->credential == 0 || (ops->credentials & q->credential) != 0);
}

static int ask(struct instance *i, const struct question *q, struct call *call, const struct call_env *env,
    struct mortise_user *record, struct buf *why)
{
	const struct mortise_password_ops *ops = i->ops;
	struct err e = ERR_INIT;
	int r;

	*record = (struct mortise_user){.size = sizeof(*record)};
	call_begin(call, i, env, q->op);
	r = q->attempt != NULL ? ops->verify(&call->pub, q->attempt, record)
	                       : ops->lookup(&call->pub, q->user, q->credential, record);
	r = result_of(call_end_keep(call, r, &e));
	buf_printf(why, "%s%s: %s", why->n > 0 ? ", " : "", i->pub.name, auth_result_name(r));
	if (e.code != 0)
		buf_printf(why, " (%s)", e.admin);
	return r;
}

/* Takes what is needed from the record before the call's memory goes. */
typedef int take_record(struct auth_chain *c, const struct question *q, const struct mortise_user *record,
    void *arg, struct buf *why);

static int run(struct auth_chain *c, const struct question *q, take_record *take, void *arg, struct buf *why)
{
	size_t count, i;
	struct instance *const *list = registry_instances(c->registry, MORTISE_KIND_PASSWORD, &count);
	struct call_env env = {.deadline = q->deadline, .journal_dir = -1};

	for (i = 0; i < count; i++) {
		struct mortise_user record;
		struct call call;
		int r;

		if (!can_answer(list[i], q))
			continue;
		if (list[i]->suspect) {
			buf_printf(why, "%s%s: out of service", why->n > 0 ? ", " : "", list[i]->pub.name);
			return MORTISE_AUTH_TEMP;
		}
		r = ask(list[i], q, &call, &env, &record, why);
		if (r == MORTISE_AUTH_OK)
			r = take(c, q, &record, arg, why);
		call_clear(&call);
		if (r != MORTISE_AUTH_NEXT && r != MORTISE_AUTH_UNKNOWN)
			return r;
	}
	if (why->n == 0)
		buf_adds(why, "no backend can say");
	return MORTISE_AUTH_UNKNOWN;
}

/* The same name in lower case, or NULL when it has no capitals (ASCII: account names are). */
static const char *lower_name(const char *user, struct arena *a)
{
	char *lower = arena_strdup(a, user), *p;

	for (p = lower; *p != '\0'; p++)
		*p = ascii_lower(*p);
	return strcmp(lower, user) != 0 ? lower : NULL;
}

struct identity_sink {
	struct arena *a;
	struct auth_identity *out;
};

static int take_identity(struct auth_chain *c, const struct question *q, const struct mortise_user *record,
    void *arg, struct buf *why)
{
	struct identity_sink *s = arg;

	return identity_resolve(c->options, c->unprivileged, record, q->user, s->a, s->out, why);
}

static struct mortise_attempt attempt_of(
    const struct auth_facts *f, const char *user, const char *password, size_t password_size)
{
	return (struct mortise_attempt){.size = sizeof(struct mortise_attempt),
	    .user = user,
	    .password = password,
	    .password_size = password_size,
	    .service = f->service,
	    .remote = f->remote != NULL ? f->remote : "",
	    .local = f->local != NULL ? f->local : "",
	    .tls = f->tls};
}

int auth_verify(struct auth_chain *c, const struct auth_facts *f, const char *user, const char *password,
    size_t password_size, uint64_t deadline, struct arena *a, struct auth_identity *out, struct buf *why)
{
	struct identity_sink sink = {a, out};
	struct mortise_attempt attempt = attempt_of(f, user, password, password_size);
	struct question q = {.op = "verify", .attempt = &attempt, .user = user, .deadline = deadline};
	const char *lower;
	int r;

	CHECK_OBJ(c, CHAIN_MAGIC);
	if (!auth_user_name_ok(str_of(user))) {
		buf_adds(why, "the user name is not valid");
		return MORTISE_AUTH_MISMATCH;
	}
	if (password_size == 0 || password_size > AUTH_PASSWORD_MAX ||
	    memchr(password, '\0', password_size) != NULL) {
		buf_adds(why, "the password is empty, too long or holds a NUL");
		return MORTISE_AUTH_MISMATCH;
	}
	r = run(c, &q, take_identity, &sink, why);
	if (r == MORTISE_AUTH_UNKNOWN && c->options->lowercase_retry &&
	    (lower = lower_name(user, a)) != NULL) {
		attempt.user = q.user = lower;
		r = run(c, &q, take_identity, &sink, why);
	}
	return r;
}

int auth_lookup(struct auth_chain *c, const char *user, uint64_t deadline, struct arena *a,
    struct auth_identity *out, struct buf *why)
{
	struct identity_sink sink = {a, out};
	struct question q = {.op = "lookup", .user = user, .deadline = deadline};
	int r;

	CHECK_OBJ(c, CHAIN_MAGIC);
	if (!auth_user_name_ok(str_of(user))) {
		buf_adds(why, "the user name is not valid");
		return MORTISE_AUTH_UNKNOWN;
	}
	r = run(c, &q, take_identity, &sink, why);
	if (r == MORTISE_AUTH_UNKNOWN && c->options->lowercase_retry &&
	    (q.user = lower_name(user, a)) != NULL)
		r = run(c, &q, take_identity, &sink, why);
	return r;
}

struct credential_sink {
	struct arena *a;
	const char **text;
};

static int take_credential(struct auth_chain *c, const struct question *q, const struct mortise_user *record,
    void *arg, struct buf *why)
{
	struct credential_sink *s = arg;

	(void)c;
	if (record->credential == NULL || record->credential_kind != q->credential) {
		buf_adds(why, "; no credential of that kind");
		return MORTISE_AUTH_NEXT;
	}
	*s->text = arena_strdup(s->a, record->credential);
	return MORTISE_AUTH_OK;
}

int auth_credential(struct auth_chain *c, const char *user, uint32_t kind, uint64_t deadline, struct arena *a,
    const char **text, struct buf *why)
{
	struct credential_sink sink = {a, text};
	struct question q = {.op = "lookup", .user = user, .credential = kind, .deadline = deadline};

	CHECK_OBJ(c, CHAIN_MAGIC);
	if (!auth_user_name_ok(str_of(user)) || kind == 0) {
		buf_adds(why, "the user name is not valid");
		return MORTISE_AUTH_UNKNOWN;
	}
	return run(c, &q, take_credential, &sink, why);
}

void auth_verdicts(struct auth_chain *c, const struct auth_facts *f, const char *user, const char *password,
    size_t password_size, uint64_t timeout, struct arena *a, auth_verdict *tell, void *arg)
{
	struct mortise_attempt attempt = attempt_of(f, user, password, password_size);
	struct question q = {.op = password != NULL ? "verify" : "lookup",
	    .attempt = password != NULL ? &attempt : NULL,
	    .user = user};
	struct auth_identity identity;
	struct identity_sink sink = {a, &identity};
	size_t count, i;
	struct instance *const *list;

	CHECK_OBJ(c, CHAIN_MAGIC);
	list = registry_instances(c->registry, MORTISE_KIND_PASSWORD, &count);
	for (i = 0; i < count; i++) {
		struct call_env env = {.deadline = clock_ms() + timeout, .journal_dir = -1};
		AUTO_BUF struct buf why = BUF_INIT;
		struct mortise_user record;
		struct call call;
		int r;

		if (!can_answer(list[i], &q)) {
			tell(arg, list[i]->pub.name, MORTISE_AUTH_NEXT, "cannot answer such a question");
			continue;
		}
		r = ask(list[i], &q, &call, &env, &record, &why);
		if (r == MORTISE_AUTH_OK)
			r = take_identity(c, &q, &record, &sink, &why);
		call_clear(&call);
		tell(arg, list[i]->pub.name, r, buf_cstr(&why));
	}
}
