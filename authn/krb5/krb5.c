/*
 * krb5: passwords checked with Kerberos 5 (RFC 4120).
 *
 * A ticket-granting ticket got with the password proves nothing by itself: whoever can answer in the KDC's
 * name, on the way or by DNS, can make one that the "password" opens (attack-062). So the ticket is then used
 * to get one for this host's service, and that must open with the key in this host's key table. Without a
 * readable key table nobody gets in ("cannot say"); there is no option to do without.
 *
 * The user name is a principal of the default realm, or of `realm`. A name with '/' is another kind of
 * principal (fred/admin) and with '@' of another realm: both are refused unless their option allows them. The
 * host account is what the realm's rules (auth_to_local in krb5.conf(5)) make of the principal.
 *
 * "Expired" comes from the KDC before it has seen a proof, so it is believed only after the password has
 * opened a ticket for changing it.
 *
 * The library is asked for a context in each attempt: a changed krb5.conf counts at once, and nothing of one
 * attempt is left for the next. Tickets live in memory, for three minutes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <krb5.h>
#include <profile.h>

#include <mortise/password.h>

#define TICKET_SECONDS (3 * 60)
#define NAME_OCTETS 1024

struct options {
	const char *config, *realm, *service, *hostname, *keytab;
	bool instances, realms;
};

#define OPTION(field, kind, text, ...) MORTISE_OPTION(struct options, field, kind, text, __VA_ARGS__)

static const struct mortise_option options[] = {
    OPTION(config, PATH, "", .since = "0.1", .help = "krb5.conf to go by; empty: the library's own"),
    OPTION(realm, STRING, "", .since = "0.1",
        .help = "realm of user names without one; empty: krb5.conf's default"),
    OPTION(service, STRING, "", .since = "0.1",
        .help = "service whose key proves the KDC; empty: the protocol's own, imap or pop",
        .detail = "The key table must hold SERVICE/HOSTNAME."),
    OPTION(hostname, STRING, "", .since = "0.1", .help = "this host in that name; empty: the machine's name"),
    OPTION(keytab, STRING, "", .since = "0.1",
        .help = "key table, as FILE:/etc/krb5.keytab; empty: the library's default"),
    OPTION(
        instances, BOOL, "no", .since = "0.1", .help = "let principals with an instance (fred/admin) log in"),
    OPTION(realms, BOOL, "no", .since = "0.1", .help = "let a user name say its realm (fred@EXAMPLE.ORG)",
        .detail = "Whether that is a user of this host is decided by auth_to_local in krb5.conf(5)."),
};

/* What an error of the library says about the user; all others are "cannot say". */
static const struct {
	krb5_error_code code;
	int result;
} results[] = {{KRB5KRB_AP_ERR_BAD_INTEGRITY, MORTISE_AUTH_MISMATCH},
    {KRB5KDC_ERR_PREAUTH_FAILED, MORTISE_AUTH_MISMATCH}, {KRB5_PREAUTH_FAILED, MORTISE_AUTH_MISMATCH},
    {KRB5KDC_ERR_C_PRINCIPAL_UNKNOWN, MORTISE_AUTH_UNKNOWN},
    {KRB5KDC_ERR_CLIENT_REVOKED, MORTISE_AUTH_DISABLED}, {KRB5KDC_ERR_CLIENT_NOTYET, MORTISE_AUTH_DISABLED},
    {KRB5KDC_ERR_POLICY, MORTISE_AUTH_DISABLED}, {KRB5KDC_ERR_NAME_EXP, MORTISE_AUTH_DISABLED}};

/* One attempt; everything in it is freed at the end. */
struct attempt {
	struct mortise_call *call;
	krb5_context context;
	krb5_principal user, server;
	krb5_keytab keytab;
	krb5_get_init_creds_opt *wishes;
	krb5_creds ticket;
	bool has_ticket;
};

static const struct options *options_of(const struct mortise_call *call)
{
	return call->instance->options;
}

/* Records the library's words; MORTISE_AUTH_TEMP unless the code says something of the user. */
static int kerberos_fault(struct attempt *a, const char *what, krb5_error_code code)
{
	const char *text = krb5_get_error_message(a->context, code);
	size_t i;

	a->call->host->fault(a->call, MORTISE_E_UNAVAILABLE, "%s: %s", what, text);
	krb5_free_error_message(a->context, text);
	for (i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (results[i].code == code)
			return results[i].result;
	return MORTISE_AUTH_TEMP;
}

/* The environment has no say in which files count. */
static krb5_error_code init_context(const struct options *o, krb5_context *out)
{
	profile_t profile = NULL;
	krb5_error_code code = 0;

	if (o->config[0] != '\0')
		code = profile_init_path(o->config, &profile);
	if (code == 0)
		code = krb5_init_context_profile(profile, KRB5_INIT_CONTEXT_SECURE, out);
	if (profile != NULL)
		profile_release(profile);
	return code;
}

static int begin(struct mortise_call *call, struct attempt *a)
{
	krb5_error_code code;

	memset(a, 0, sizeof(*a));
	a->call = call;
	code = init_context(options_of(call), &a->context);
	if (code == 0)
		return MORTISE_AUTH_OK;
	call->host->fault(call, MORTISE_E_UNAVAILABLE, "krb5.conf cannot be used (%d)", (int)code);
	return MORTISE_AUTH_TEMP;
}

static void end(struct attempt *a)
{
	if (a->context == NULL)
		return;
	if (a->has_ticket)
		krb5_free_cred_contents(a->context, &a->ticket);
	krb5_get_init_creds_opt_free(a->context, a->wishes);
	krb5_free_principal(a->context, a->user);
	krb5_free_principal(a->context, a->server);
	if (a->keytab != NULL)
		krb5_kt_close(a->context, a->keytab);
	krb5_free_context(a->context);
}

/* The principal that a user name is. */
static int parse_user(struct attempt *a, const char *name)
{
	const struct options *o = options_of(a->call);
	const char *full = name;
	krb5_error_code code;

	if ((strchr(name, '@') != NULL && !o->realms) || (strchr(name, '/') != NULL && !o->instances) ||
	    strchr(name, '\\') != NULL) {
		a->call->host->fault(a->call, MORTISE_E_PERM, "the name says a realm or an instance");
		return MORTISE_AUTH_UNKNOWN;
	}
	if (o->realm[0] != '\0' && strchr(name, '@') == NULL)
		full = a->call->host->print(a->call, MORTISE_LIFE_CALL, "%s@%s", name, o->realm);
	code = krb5_parse_name(a->context, full, &a->user);
	if (code == 0)
		return MORTISE_AUTH_OK;
	kerberos_fault(a, "the name is no principal", code);
	return MORTISE_AUTH_UNKNOWN;
}

/* The key that will prove the KDC. Looked for first: without it nobody's password is tried. */
static int find_key(struct attempt *a, const char *protocol)
{
	const struct options *o = options_of(a->call);
	const char *service = o->service[0] != '\0' ? o->service : protocol;
	krb5_keytab_entry entry;
	krb5_error_code code = krb5_sname_to_principal(
	    a->context, o->hostname[0] != '\0' ? o->hostname : NULL, service, KRB5_NT_SRV_HST, &a->server);

	if (code == 0)
		code = o->keytab[0] != '\0' ? krb5_kt_resolve(a->context, o->keytab, &a->keytab)
		                            : krb5_kt_default(a->context, &a->keytab);
	if (code == 0)
		code = krb5_kt_get_entry(a->context, a->keytab, a->server, 0, 0, &entry);
	if (code != 0) {
		kerberos_fault(a, "no service key", code);
		return MORTISE_AUTH_TEMP;
	}
	krb5_free_keytab_entry_contents(a->context, &entry);
	return MORTISE_AUTH_OK;
}

static krb5_error_code ask_kdc(
    struct attempt *a, const char *password, const char *service, krb5_creds *ticket)
{
	return krb5_get_init_creds_password(
	    a->context, ticket, a->user, password, NULL, NULL, 0, service, a->wishes);
}

/* The KDC says the password has expired, to anybody: does it open a ticket for changing it? */
static int check_expired(struct attempt *a, const char *password)
{
	krb5_creds ticket;
	krb5_error_code code = ask_kdc(a, password, "kadmin/changepw", &ticket);

	if (code != 0)
		return kerberos_fault(a, "the password has expired, and is wrong or cannot be tried", code);
	krb5_free_cred_contents(a->context, &ticket);
	a->call->host->fault(a->call, MORTISE_E_PERM, "the password has expired");
	return MORTISE_AUTH_EXPIRED;
}

static int get_ticket(struct attempt *a, const char *password)
{
	krb5_error_code code = krb5_get_init_creds_opt_alloc(a->context, &a->wishes);

	if (code != 0)
		return kerberos_fault(a, "preparing", code);
	krb5_get_init_creds_opt_set_tkt_life(a->wishes, TICKET_SECONDS);
	krb5_get_init_creds_opt_set_renew_life(a->wishes, 0);
	krb5_get_init_creds_opt_set_forwardable(a->wishes, 0);
	krb5_get_init_creds_opt_set_proxiable(a->wishes, 0);
	krb5_get_init_creds_opt_set_change_password_prompt(a->wishes, 0);
	code = ask_kdc(a, password, NULL, &a->ticket);
	if (code == KRB5KDC_ERR_KEY_EXP)
		return check_expired(a, password);
	if (code != 0)
		return kerberos_fault(a, "the KDC", code);
	a->has_ticket = true;
	return MORTISE_AUTH_OK;
}

/* The KDC is the one that shares our key. A failure is never the user's. */
static int prove_kdc(struct attempt *a)
{
	krb5_verify_init_creds_opt wishes;
	krb5_error_code code;

	krb5_verify_init_creds_opt_init(&wishes);
	krb5_verify_init_creds_opt_set_ap_req_nofail(&wishes, 1);
	code = krb5_verify_init_creds(a->context, &a->ticket, a->server, a->keytab, NULL, &wishes);
	if (code == 0)
		return MORTISE_AUTH_OK;
	kerberos_fault(a, "the KDC could not prove itself with our service key", code);
	return MORTISE_AUTH_TEMP;
}

/* The host account of the principal; UNKNOWN when the rules give none. */
static int take_account(struct attempt *a, struct mortise_user *user)
{
	char *name = a->call->host->alloc(a->call, MORTISE_LIFE_CALL, NAME_OCTETS);
	krb5_error_code code = krb5_aname_to_localname(a->context, a->user, NAME_OCTETS - 1, name);

	if (code == KRB5_LNAME_NOTRANS || code == KRB5_CONFIG_NOTENUFSPACE) {
		kerberos_fault(a, "auth_to_local gives no account", code);
		return MORTISE_AUTH_UNKNOWN;
	}
	if (code != 0)
		return kerberos_fault(a, "auth_to_local", code);
	user->name = user->account = name;
	return MORTISE_AUTH_OK;
}

static int krb5_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	struct attempt a;
	int r = begin(call, &a);

	if (r == MORTISE_AUTH_OK)
		r = parse_user(&a, attempt->user);
	if (r == MORTISE_AUTH_OK)
		r = find_key(&a, attempt->service);
	if (r == MORTISE_AUTH_OK)
		r = get_ticket(&a, attempt->password);
	if (r == MORTISE_AUTH_OK)
		r = prove_kdc(&a);
	if (r == MORTISE_AUTH_OK)
		r = take_account(&a, user);
	end(&a);
	return r;
}

/* Who proved himself otherwise (GSSAPI names a principal): the account it is. */
static int krb5_lookup(
    struct mortise_call *call, const char *name, uint32_t credential, struct mortise_user *record)
{
	struct attempt a;
	int r;

	if (credential != 0)
		return MORTISE_AUTH_NEXT;
	r = begin(call, &a);
	if (r == MORTISE_AUTH_OK)
		r = parse_user(&a, name);
	if (r == MORTISE_AUTH_OK)
		r = take_account(&a, record);
	end(&a);
	return r;
}

static const struct mortise_password_ops ops = {.size = sizeof(ops),
    .credentials = MORTISE_CREDENTIAL_VERIFY,
    .verify = krb5_verify,
    .lookup = krb5_lookup};

MORTISE_MODULE(krb5, .kind = MORTISE_KIND_PASSWORD, .api_major = MORTISE_PASSWORD_MAJOR,
    .api_minor = MORTISE_PASSWORD_MINOR, .name = "krb5", .version = "0.1", .summary = "Kerberos 5",
    .licence = "Apache-2.0", .url = "https://mortise.example/", .options = options,
    .option_count = sizeof(options) / sizeof(options[0]), .instance_size = sizeof(struct options),
    .ops = &ops);
