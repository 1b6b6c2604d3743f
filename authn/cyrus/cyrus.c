/*
 * cyrus: SASL mechanisms of cyrus-sasl (libsasl2).
 *
 * A bridge, and a narrow one. libsasl2 is a library of its own mind: it reads a configuration file named
 * after the program, environment variables, every plug-in in its folder, a user database (sasldb), and it
 * asks a daemon (saslauthd) about passwords. None of that may happen here, because who may log in is told by
 * imapd.conf alone:
 *   - options:  SASL_CB_GETOPT answers, with fixed values; no configuration file is looked for
 *   - plug-ins: SASL_CB_VERIFYFILE lets through those of the mechanisms in library.c and nothing else
 *   - passwords: SASL_CB_SERVER_USERDB_CHECKPASS asks the core (conv->verify); no verifier of the library's
 *     own is left to ask afterwards
 *   - secrets:  an auxiliary property plug-in of our own asks the core (conv->credential); CRAM-MD5,
 * DIGEST-MD5 and NTLM get the password, SCRAM a verifier, also for users nobody knows (secret.c)
 *   - layers:   none: TLS is what protects a connection (SASL_SEC_PROPS stays at no layer)
 *   - who may act for whom: SASL_CB_PROXY_POLICY says yes; the core decides when the exchange is over
 *   - names: the server's name and the service are told; gethostname and getservbyname have no say
 *
 * What libsasl2 logs goes to the debug log, except its two loudest levels, which may hold passwords.
 *
 * LOGIN asks "Username:" and "Password:", as libsasl2 has it (UW imapd asked "User Name" and "Password", each
 * with a NUL). Clients do not read the prompts, Outlook excepted, which wants these.
 *
 * SCRAM's channel bindings are tls-exporter (RFC 9266) and tls-server-end-point (RFC 5929), whichever the
 * client names; tls-unique is neither offered nor taken. A client that says it could have bound but was shown
 * no mechanism that does ("y"), while the core offers one, was deceived on the way (RFC 5802 §6); libsasl2
 * does not look at that.
 *
 * Space around a user name is cut off by libsasl2 before anybody sees it.
 */
#include <string.h>

#include "cyrus.h"

#define NAME_MAX_OCTETS 255u
#define CRAM_DIGITS 32u

static const struct mortise_option options[] = {
    MORTISE_OPTION(struct cyrus_options, plugins, STRING, "", .since = "0.1",
        .help = "folder of libsasl2's plug-ins; empty: the one it was built with"),
    MORTISE_OPTION(struct cyrus_options, scram_iterations, UINT, "4096", .min = "4096", .max = "1000000",
        .since = "0.1", .help = "iterations of SCRAM for users whose password is kept in clear",
        .detail = "A verifier has its own number. Every attempt costs the server as many."),
    MORTISE_OPTION(struct cyrus_options, krb5_config, PATH, "", .since = "0.1",
        .help = "GSSAPI: krb5.conf to go by; empty: the library's own"),
    MORTISE_OPTION(struct cyrus_options, keytab, STRING, "", .since = "0.1",
        .help = "GSSAPI: key table, as FILE:/etc/krb5.keytab; empty: the library's default"),
};

/* libsasl2 keeps callbacks of every type as int (*)(void). */
#define CALLBACK(function) ((int (*)(void))(void (*)(void))(function))

/* In the parent of the workers, so that each worker need not load the plug-ins again. */
static int cyrus_prepare(struct mortise_call *call, struct mortise_instance *inst)
{
	(void)inst;
	return library_start(call);
}

/* ---- one conversation ---- */

static int on_password(sasl_conn_t *conn, void *context, const char *user, const char *password,
    unsigned size, struct propctx *properties)
{
	struct bridge *b = context;

	(void)conn;
	(void)properties;
	if (user == NULL || password == NULL)
		return SASL_BADPARAM;
	b->verified = b->conv->verify(b->conv, b->call, user, password, size);
	return b->verified == MORTISE_AUTH_OK ? SASL_OK : SASL_BADAUTH;
}

static int on_proxy(sasl_conn_t *conn, void *context, const char *requested, unsigned requested_size,
    const char *identity, unsigned identity_size, const char *realm, unsigned realm_size,
    struct propctx *properties)
{
	(void)conn;
	(void)context;
	(void)requested;
	(void)requested_size;
	(void)identity;
	(void)identity_size;
	(void)realm;
	(void)realm_size;
	(void)properties;
	return SASL_OK;
}

static const char *property(struct bridge *b, int which)
{
	const void *value = NULL;

	if (sasl_getprop(b->conn, which, &value) != SASL_OK || value == NULL)
		return NULL;
	return b->call->host->print(b->call, MORTISE_LIFE_BOX, "%s", (const char *)value);
}

/* libsasl2's code, with what the core said about the password, as one outcome. */
static int outcome(struct bridge *b, int r, const char *out, unsigned size, struct mortise_octets *challenge)
{
	if (r == SASL_CONTINUE) {
		*challenge = (struct mortise_octets){out != NULL ? out : "", out != NULL ? size : 0};
		return MORTISE_SASL_CONTINUE;
	}
	if (r == SASL_OK) {
		/* Only a password that was found right, or a secret that is one, is a proof. */
		if (b->mechanism->proof != PROOF_LIBRARY && b->verified != MORTISE_AUTH_OK)
			return MORTISE_SASL_FAIL;
		b->conv->authentication = property(b, SASL_AUTHUSER);
		b->conv->authorisation = property(b, SASL_USERNAME);
		return MORTISE_SASL_DONE;
	}
	if (b->verified == MORTISE_AUTH_TEMP || b->verified == MORTISE_AUTH_INTERNAL)
		return MORTISE_SASL_TEMP;
	if (b->verified > MORTISE_AUTH_OK)
		return MORTISE_SASL_FAIL;
	switch (r) {
	case SASL_BADPROT:
	case SASL_BADPARAM:
	case SASL_BUFOVER:
	case SASL_FAIL: /* a user name of nothing but space; Kerberos' no is the same */
		if (b->mechanism->proof == PROOF_LIBRARY)
			return MORTISE_SASL_FAIL;
		return MORTISE_SASL_BAD;
	case SASL_NOTDONE:
		return MORTISE_SASL_BAD;
	case SASL_BADAUTH:
	case SASL_NOUSER:
	case SASL_NOAUTHZ:
		return MORTISE_SASL_FAIL;
	default:
		b->call->host->fault(
		    b->call, MORTISE_E_UNAVAILABLE, "libsasl2: %s (%d)", sasl_errdetail(b->conn), r);
		return MORTISE_SASL_TEMP;
	}
}

static struct bridge *bridge_new(struct mortise_call *call, struct mortise_conversation *conv)
{
	struct bridge *b = call->host->alloc(call, MORTISE_LIFE_BOX, sizeof(*b));
	int r;

	b->conv = conv;
	b->mechanism = library_mechanism(conv->mechanism);
	b->verified = -1;
	if (b->mechanism == NULL) {
		call->host->fault(call, MORTISE_E_INVALID, "no mechanism %s", conv->mechanism);
		return NULL;
	}
	b->callbacks[0] = (sasl_callback_t){SASL_CB_SERVER_USERDB_CHECKPASS, CALLBACK(on_password), b};
	b->callbacks[1] = (sasl_callback_t){SASL_CB_PROXY_POLICY, CALLBACK(on_proxy), b};
	b->callbacks[2] = (sasl_callback_t){SASL_CB_LIST_END, NULL, NULL};
	r = sasl_server_new(conv->service, conv->host, NULL, NULL, NULL, b->callbacks, 0, &b->conn);
	if (r != SASL_OK) {
		call->host->fault(call, MORTISE_E_UNAVAILABLE, "libsasl2: sasl_server_new: %s",
		    sasl_errstring(r, NULL, NULL));
		return NULL;
	}
	conv->state = b;
	return b;
}

/*
 * The name that LOGIN was asked for. libsasl2 finds it empty or too long only after it has the password, and
 * then forgets to free and wipe that.
 */
static bool name_ok(struct mortise_octets in)
{
	const char *p = in.data;
	size_t i;

	for (i = 0; i < in.size && strchr(" \t\n\v\f\r", p[i]) != NULL; i++)
		;
	return i < in.size && in.size <= NAME_MAX_OCTETS;
}

/* "p=NAME," at the beginning of SCRAM's first message (RFC 5802 §7): whether the client binds to that. */
static bool binds_to(struct mortise_octets in, const char *name)
{
	const char *p = in.data;
	size_t n = strlen(name);

	return in.size > n + 2 && p[0] == 'p' && p[1] == '=' && memcmp(p + 2, name, n) == 0 &&
	       p[n + 2] == ',';
}

static void set_binding(struct bridge *b, struct mortise_octets in)
{
	const struct mortise_conversation *conv = b->conv;
	const struct {
		const char *name;
		struct mortise_octets octets;
	} bindings[] = {{"tls-exporter", conv->exporter}, {"tls-server-end-point", conv->endpoint}};
	size_t i;

	for (i = 0; i < sizeof(bindings) / sizeof(bindings[0]); i++)
		if (bindings[i].octets.data != NULL && binds_to(in, bindings[i].name)) {
			b->binding = (sasl_channel_binding_t){.name = bindings[i].name,
			    .data = bindings[i].octets.data,
			    .len = (unsigned long)bindings[i].octets.size};
			sasl_setprop(b->conn, SASL_CHANNEL_BINDING, &b->binding);
		}
}

static bool was_deceived(const struct bridge *b, struct mortise_octets in)
{
	const struct mortise_conversation *conv = b->conv;

	return (b->mechanism->pub.flags & MORTISE_MECHANISM_BINDING) == 0 && in.size > 0 &&
	       ((const char *)in.data)[0] == 'y' &&
	       (conv->exporter.data != NULL || conv->endpoint.data != NULL);
}

/* "user SP 32 hexadecimal digits" (RFC 2195 §2): libsasl2 does not mind what follows them. */
static bool cram_ok(struct mortise_octets in)
{
	const char *p = in.data;
	size_t i;

	if (in.size <= CRAM_DIGITS + 1 || p[in.size - CRAM_DIGITS - 1] != ' ')
		return false;
	for (i = in.size - CRAM_DIGITS; i < in.size; i++)
		if ((p[i] < '0' || p[i] > '9') && (p[i] < 'a' || p[i] > 'f'))
			return false;
	return true;
}

/* The client's first message, wherever it comes: what the library does not look at itself. */
static bool message_ok(struct bridge *b, struct mortise_octets in)
{
	if (in.data == NULL || b->begun)
		return true;
	b->begun = true;
	if (strcmp(b->mechanism->pub.name, "LOGIN") == 0)
		return name_ok(in);
	if (strcmp(b->mechanism->pub.name, "CRAM-MD5") == 0)
		return cram_ok(in);
	if (b->mechanism->scheme == NULL)
		return true;
	set_binding(b, in);
	return !was_deceived(b, in);
}

static int cyrus_start(struct mortise_call *call, struct mortise_conversation *conv, struct mortise_octets in,
    struct mortise_octets *out)
{
	const char *challenge = NULL;
	unsigned size = 0;
	struct bridge *b;
	int r = MORTISE_SASL_TEMP;

	if (library_start(call) != 0)
		return MORTISE_SASL_TEMP;
	library_serve(NULL, call);
	b = bridge_new(call, conv);
	library_serve(b, call);
	if (b != NULL && !message_ok(b, in)) {
		r = MORTISE_SASL_BAD;
	} else if (b != NULL) {
		int code = sasl_server_start(
		    b->conn, conv->mechanism, in.data, (unsigned)in.size, &challenge, &size);

		r = outcome(b, code, challenge, size, out);
	}
	library_serve(NULL, NULL);
	return r;
}

static int cyrus_step(struct mortise_call *call, struct mortise_conversation *conv, struct mortise_octets in,
    struct mortise_octets *out)
{
	struct bridge *b = conv->state;
	const char *challenge = NULL;
	unsigned size = 0;
	int r;

	if (b == NULL)
		return MORTISE_SASL_BAD;
	if (in.data == NULL)
		in.data = "";
	library_serve(b, call);
	if (message_ok(b, in)) {
		r = sasl_server_step(b->conn, in.data, (unsigned)in.size, &challenge, &size);
		r = outcome(b, r, challenge, size, out);
	} else {
		r = MORTISE_SASL_BAD;
	}
	library_serve(NULL, NULL);
	return r;
}

static void cyrus_dispose(struct mortise_call *call, struct mortise_conversation *conv)
{
	struct bridge *b = conv->state;

	if (b == NULL)
		return;
	library_serve(b, call);
	if (b->conn != NULL)
		sasl_dispose(&b->conn);
	library_serve(NULL, NULL);
	conv->state = NULL;
}

static const struct mortise_lifecycle lifecycle = {.size = sizeof(lifecycle), .prepare = cyrus_prepare};

static const struct mortise_sasl_ops ops = {.size = sizeof(ops),
    .mechanisms = library_mechanisms,
    .start = cyrus_start,
    .step = cyrus_step,
    .dispose = cyrus_dispose};

MORTISE_MODULE(cyrus, .kind = MORTISE_KIND_SASL, .api_major = MORTISE_SASL_MAJOR,
    .api_minor = MORTISE_SASL_MINOR, .name = "cyrus", .version = "0.1",
    .summary = "SASL mechanisms of cyrus-sasl", .licence = "Apache-2.0", .url = "https://mortise.example/",
    .options = options, .option_count = sizeof(options) / sizeof(options[0]),
    .instance_size = sizeof(struct cyrus_options), .lifecycle = &lifecycle, .ops = &ops);
