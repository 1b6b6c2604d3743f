/*
 * cyrus: SASL mechanisms of cyrus-sasl (libsasl2): PLAIN and LOGIN.
 *
 * A bridge, and a narrow one. libsasl2 is a library of its own mind: it reads a configuration file named
 * after the program, environment variables, every plug-in in its folder, a user database (sasldb), and it
 * asks a daemon (saslauthd) about passwords. None of that may happen here, because who may log in is told by
 * imapd.conf alone:
 *   - options:  SASL_CB_GETOPT answers, with fixed values; no configuration file is looked for
 *   - plug-ins: SASL_CB_VERIFYFILE lets through those of the mechanisms below and nothing else
 *   - passwords: SASL_CB_SERVER_USERDB_CHECKPASS asks the core (conv->verify); no verifier of the library's
 *     own is left to ask afterwards
 *   - who may act for whom: SASL_CB_PROXY_POLICY says yes; the core decides when the exchange is over
 *   - names: the server's name and the service are told; gethostname and getservbyname have no say
 *
 * What libsasl2 logs goes to the debug log, except its two loudest levels, which may hold passwords.
 *
 * LOGIN asks "Username:" and "Password:", as libsasl2 has it (UW imapd asked "User Name" and "Password", each
 * with a NUL). Clients do not read the prompts, Outlook excepted, which wants these.
 *
 * Space around a user name is cut off by libsasl2 before anybody sees it.
 */
#include <string.h>

#include <sasl/sasl.h>
#include <sasl/saslplug.h>

#include <mortise/sasl.h>

#define NAME_MAX_OCTETS 255u

struct cyrus_options {
	const char *plugins;
};

static const struct mortise_option options[] = {
    MORTISE_OPTION(struct cyrus_options, plugins, STRING, "", .since = "0.1",
        .help = "folder of libsasl2's plug-ins; empty: the one it was built with"),
};

static const struct mortise_mechanism mechanisms[] = {
    {"PLAIN", MORTISE_MECHANISM_PLAINTEXT | MORTISE_MECHANISM_CLIENT_FIRST, MORTISE_CREDENTIAL_VERIFY},
    {"LOGIN", MORTISE_MECHANISM_PLAINTEXT, MORTISE_CREDENTIAL_VERIFY},
    {NULL, 0, 0},
};

/* Files of the plug-ins that are let in, up to the first '.'. */
static const char *const plugin_stems[] = {"libplain", "liblogin"};

/* libsasl2 is initialised once in a process; its global callbacks have no place for a call. */
static struct {
	bool ready;
	struct mortise_call *call; /* the one being served, for the log */
	const char *plugins;
} library;

struct bridge {
	struct mortise_conversation *conv;
	struct mortise_call *call;
	sasl_conn_t *conn;
	sasl_callback_t callbacks[4];
	bool named;   /* LOGIN: the user name has come */
	int verified; /* MORTISE_AUTH_… of the last password; -1: none was asked for */
};

/* libsasl2 keeps callbacks of every type as int (*)(void). */
#define CALLBACK(function) ((int (*)(void))(void (*)(void))(function))

/* ---- the library as a whole ---- */

static int on_option(void *context, const char *plugin, const char *option, const char **result, unsigned *n)
{
	static const struct {
		const char *name, *value;
	} fixed[] = {
	    /* Nobody else is asked when the core said no. */
	    {"pwcheck_method", ""},
	    {"auxprop_plugin", "mortise"},
	    {"canon_user_plugin", "INTERNAL"},
	    {"auto_transition", "no"},
	    {"mech_list", "PLAIN LOGIN"},
	    {"log_level", "1"},
	};
	size_t i;

	(void)context;
	(void)plugin;
	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (strcmp(fixed[i].name, option) == 0) {
			*result = fixed[i].value;
			if (n != NULL)
				*n = (unsigned)strlen(fixed[i].value);
			return SASL_OK;
		}
	return SASL_FAIL;
}

static int on_log(void *context, int level, const char *message)
{
	(void)context;
	if (library.call != NULL && message != NULL && level < SASL_LOG_TRACE)
		library.call->host->log(library.call, MORTISE_LOG_DEBUG, "libsasl2: %s", message);
	return SASL_OK;
}

static int on_plugin_path(void *context, const char **path)
{
	(void)context;
	*path = library.plugins;
	return SASL_OK;
}

static int on_file(void *context, const char *file, sasl_verify_type_t type)
{
	const char *name = strrchr(file, '/');
	size_t i;

	(void)context;
	if (type != SASL_VRFY_PLUGIN)
		return SASL_CONTINUE;
	name = name != NULL ? name + 1 : file;
	for (i = 0; i < sizeof(plugin_stems) / sizeof(plugin_stems[0]); i++) {
		size_t n = strlen(plugin_stems[i]);

		if (strncmp(name, plugin_stems[i], n) == 0 && name[n] == '.')
			return SASL_OK;
	}
	return SASL_CONTINUE;
}

/*
 * libsasl2 looks up properties of whoever is authenticated or to be acted for, and fails when nobody can tell
 * it any. We tell it that there are none, which is also how sasldb and others have no say.
 */
static int no_properties(
    void *context, sasl_server_params_t *parameters, unsigned flags, const char *user, unsigned size)
{
	(void)context;
	(void)parameters;
	(void)flags;
	(void)user;
	(void)size;
	return SASL_OK;
}

static int on_auxprop(
    const sasl_utils_t *utils, int max_version, int *version, sasl_auxprop_plug_t **plug, const char *name)
{
	static char own_name[] = "mortise";
	static sasl_auxprop_plug_t own = {.auxprop_lookup = no_properties, .name = own_name};

	(void)utils;
	(void)name;
	if (max_version < SASL_AUXPROP_PLUG_VERSION)
		return SASL_BADVERS;
	*version = SASL_AUXPROP_PLUG_VERSION;
	*plug = &own;
	return SASL_OK;
}

static bool has_mechanism(const char *name)
{
	const char **list = sasl_global_listmech();
	size_t i;

	for (i = 0; list != NULL && list[i] != NULL; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

static int start_library(struct mortise_call *call)
{
	static const sasl_callback_t with_path[] = {{SASL_CB_GETOPT, CALLBACK(on_option), NULL},
	    {SASL_CB_LOG, CALLBACK(on_log), NULL}, {SASL_CB_VERIFYFILE, CALLBACK(on_file), NULL},
	    {SASL_CB_GETPATH, CALLBACK(on_plugin_path), NULL}, {SASL_CB_LIST_END, NULL, NULL}};
	static const sasl_callback_t without_path[] = {{SASL_CB_GETOPT, CALLBACK(on_option), NULL},
	    {SASL_CB_LOG, CALLBACK(on_log), NULL}, {SASL_CB_VERIFYFILE, CALLBACK(on_file), NULL},
	    {SASL_CB_LIST_END, NULL, NULL}};
	const struct cyrus_options *o = call->instance->options;
	size_t i;
	int r;

	if (library.ready)
		return 0;
	library.call = call;
	library.plugins = o->plugins;
	/* No program name: it would be the name of a configuration file. */
	r = sasl_server_init(o->plugins != NULL && o->plugins[0] != '\0' ? with_path : without_path, NULL);
	if (r == SASL_OK)
		r = sasl_auxprop_add_plugin("mortise", on_auxprop);
	library.call = NULL;
	if (r != SASL_OK)
		return call->host->fault(
		    call, MORTISE_E_UNAVAILABLE, "libsasl2: %s", sasl_errstring(r, NULL, NULL));
	for (i = 0; mechanisms[i].name != NULL; i++)
		if (!has_mechanism(mechanisms[i].name)) {
			sasl_server_done();
			return call->host->fault(call, MORTISE_E_UNAVAILABLE,
			    "libsasl2 has no plug-in for %s (Debian: package libsasl2-modules)",
			    mechanisms[i].name);
		}
	library.ready = true;
	return 0;
}

/* In the parent of the workers, so that each worker need not load the plug-ins again. */
static int cyrus_prepare(struct mortise_call *call, struct mortise_instance *inst)
{
	(void)inst;
	return start_library(call);
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
		/* Only a password that was asked for and found right is a proof. */
		if (b->verified != MORTISE_AUTH_OK)
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
	case SASL_FAIL: /* a user name of nothing but space */
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
	b->call = call;
	b->verified = -1;
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

/* One message of the client, the initial response or a later one. */
static bool message_ok(struct bridge *b, struct mortise_octets in)
{
	if (b->named || strcmp(b->conv->mechanism, "LOGIN") != 0 || in.data == NULL)
		return true;
	b->named = true;
	return name_ok(in);
}

static int cyrus_start(struct mortise_call *call, struct mortise_conversation *conv, struct mortise_octets in,
    struct mortise_octets *out)
{
	const char *challenge = NULL;
	unsigned size = 0;
	struct bridge *b;
	int r;

	if (start_library(call) != 0)
		return MORTISE_SASL_TEMP;
	library.call = call;
	b = bridge_new(call, conv);
	r = MORTISE_SASL_TEMP;
	if (b != NULL && !message_ok(b, in)) {
		r = MORTISE_SASL_BAD;
	} else if (b != NULL) {
		int code = sasl_server_start(
		    b->conn, conv->mechanism, in.data, (unsigned)in.size, &challenge, &size);

		r = outcome(b, code, challenge, size, out);
	}
	library.call = NULL;
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
	if (!message_ok(b, in))
		return MORTISE_SASL_BAD;
	b->call = library.call = call;
	r = sasl_server_step(b->conn, in.data, (unsigned)in.size, &challenge, &size);
	r = outcome(b, r, challenge, size, out);
	library.call = NULL;
	return r;
}

static void cyrus_dispose(struct mortise_call *call, struct mortise_conversation *conv)
{
	struct bridge *b = conv->state;

	if (b == NULL)
		return;
	b->call = library.call = call;
	if (b->conn != NULL)
		sasl_dispose(&b->conn);
	library.call = NULL;
	conv->state = NULL;
}

static const struct mortise_lifecycle lifecycle = {.size = sizeof(lifecycle), .prepare = cyrus_prepare};

static const struct mortise_sasl_ops ops = {.size = sizeof(ops),
    .mechanisms = mechanisms,
    .start = cyrus_start,
    .step = cyrus_step,
    .dispose = cyrus_dispose};

MORTISE_MODULE(cyrus, .kind = MORTISE_KIND_SASL, .api_major = MORTISE_SASL_MAJOR,
    .api_minor = MORTISE_SASL_MINOR, .name = "cyrus", .version = "0.1",
    .summary = "SASL mechanisms of cyrus-sasl: PLAIN, LOGIN", .licence = "Apache-2.0",
    .url = "https://mortise.example/", .options = options,
    .option_count = sizeof(options) / sizeof(options[0]), .instance_size = sizeof(struct cyrus_options),
    .lifecycle = &lifecycle, .ops = &ops);
