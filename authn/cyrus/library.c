#include <stdlib.h>
#include <string.h>

#include "cyrus.h"

#define PLAIN_TEXT MORTISE_MECHANISM_PLAINTEXT
#define FIRST MORTISE_MECHANISM_CLIENT_FIRST
#define BINDING MORTISE_MECHANISM_BINDING
#define VERIFY MORTISE_CREDENTIAL_VERIFY
#define SECRET MORTISE_CREDENTIAL_PLAIN

#define SCRAM(name, more, hash, kind)                                                                      \
	{                                                                                                  \
		{name more, FIRST | (sizeof(more) > 1 ? BINDING : 0), SECRET | MORTISE_CREDENTIAL_##kind}, \
		    PROOF_SECRET, "libscram", name, hash, MORTISE_CREDENTIAL_##kind                        \
	}

static const struct mechanism known[] = {
    SCRAM("SCRAM-SHA-512", "-PLUS", "SHA512", SCRAM_SHA512),
    SCRAM("SCRAM-SHA-512", "", "SHA512", SCRAM_SHA512),
    SCRAM("SCRAM-SHA-256", "-PLUS", "SHA256", SCRAM_SHA256),
    SCRAM("SCRAM-SHA-256", "", "SHA256", SCRAM_SHA256),
    SCRAM("SCRAM-SHA-1", "-PLUS", "SHA1", SCRAM_SHA1),
    SCRAM("SCRAM-SHA-1", "", "SHA1", SCRAM_SHA1),
    {{"GSSAPI", FIRST, 0}, PROOF_LIBRARY, "libgssapiv2", NULL, NULL, 0},
    {{"GSS-SPNEGO", FIRST, 0}, PROOF_LIBRARY, "libgssapiv2", NULL, NULL, 0},
    {{"GS2-KRB5", FIRST, 0}, PROOF_LIBRARY, "libgs2", NULL, NULL, 0},
    {{"DIGEST-MD5", 0, SECRET}, PROOF_SECRET, "libdigestmd5", NULL, NULL, 0},
    {{"CRAM-MD5", 0, SECRET}, PROOF_SECRET, "libcrammd5", NULL, NULL, 0},
    {{"NTLM", FIRST, SECRET}, PROOF_SECRET, "libntlm", NULL, NULL, 0},
    {{"PLAIN", PLAIN_TEXT | FIRST, VERIFY}, PROOF_PASSWORD, "libplain", NULL, NULL, 0},
    {{"LOGIN", PLAIN_TEXT, VERIFY}, PROOF_PASSWORD, "liblogin", NULL, NULL, 0},
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

struct mortise_mechanism library_mechanisms[KNOWN + 1];

/* libsasl2 is initialised once in a process; its global callbacks have no place for a call. */
static struct {
	bool ready;
	struct mortise_call *call;
	struct bridge *bridge;
	const char *plugins;
} library;

const struct mechanism *library_mechanism(const char *name)
{
	size_t i;

	for (i = 0; i < KNOWN; i++)
		if (strcmp(known[i].pub.name, name) == 0)
			return &known[i];
	return NULL;
}

void library_serve(struct bridge *b, struct mortise_call *call)
{
	library.bridge = b;
	library.call = call;
	if (b != NULL)
		b->call = call;
}

/* libsasl2 keeps callbacks of every type as int (*)(void). */
#define CALLBACK(function) ((int (*)(void))(void (*)(void))(function))

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
	    {"mech_list",
	        "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1 GSSAPI GSS-SPNEGO GS2-KRB5 DIGEST-MD5 CRAM-MD5 NTLM "
	        "PLAIN LOGIN"},
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
	for (i = 0; i < KNOWN; i++) {
		size_t n = strlen(known[i].plugin);

		if (strncmp(name, known[i].plugin, n) == 0 && name[n] == '.')
			return SASL_OK;
	}
	return SASL_CONTINUE;
}

/*
 * libsasl2 looks up properties of whoever is authenticated or to be acted for, and fails when nobody can tell
 * it any. It hears from us what the conversation's mechanism needs and nothing else, which is also how sasldb
 * and others have no say.
 */
static int on_properties(
    void *context, sasl_server_params_t *parameters, unsigned flags, const char *user, unsigned size)
{
	(void)context;
	return library.bridge != NULL ? secret_fill(library.bridge, parameters, flags, user, size) : SASL_OK;
}

static int on_auxprop(
    const sasl_utils_t *utils, int max_version, int *version, sasl_auxprop_plug_t **plug, const char *name)
{
	static char own_name[] = "mortise";
	static sasl_auxprop_plug_t own = {.auxprop_lookup = on_properties, .name = own_name};

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

static bool is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

int library_start(struct mortise_call *call)
{
	static const sasl_callback_t with_path[] = {{SASL_CB_GETOPT, CALLBACK(on_option), NULL},
	    {SASL_CB_LOG, CALLBACK(on_log), NULL}, {SASL_CB_VERIFYFILE, CALLBACK(on_file), NULL},
	    {SASL_CB_GETPATH, CALLBACK(on_plugin_path), NULL}, {SASL_CB_LIST_END, NULL, NULL}};
	static const sasl_callback_t without_path[] = {{SASL_CB_GETOPT, CALLBACK(on_option), NULL},
	    {SASL_CB_LOG, CALLBACK(on_log), NULL}, {SASL_CB_VERIFYFILE, CALLBACK(on_file), NULL},
	    {SASL_CB_LIST_END, NULL, NULL}};
	const struct cyrus_options *o = call->instance->options;
	size_t i, n = 0;
	int r;

	if (library.ready)
		return 0;
	/* The Kerberos plug-ins take this from the environment alone. */
	if ((is_set(o->krb5_config) && setenv("KRB5_CONFIG", o->krb5_config, 1) != 0) ||
	    (is_set(o->keytab) && setenv("KRB5_KTNAME", o->keytab, 1) != 0))
		return call->host->fault_errno(call, "the environment");
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
	secret_start(call);
	for (i = 0; i < KNOWN; i++)
		if (has_mechanism(known[i].scheme != NULL ? known[i].scheme : known[i].pub.name))
			library_mechanisms[n++] = known[i].pub;
	if (n == 0) {
		sasl_server_done();
		return call->host->fault(call, MORTISE_E_UNAVAILABLE,
		    "libsasl2 has no plug-ins (Debian: package libsasl2-modules)");
	}
	library.ready = true;
	return 0;
}
