/*
 * ldap: passwords and records in an LDAP directory (RFC 4511).
 *
 * A user is found in one of two ways: by a search, with this server's own bind, for the one entry that
 * `filter` describes; or directly, by a distinguished name made from `user_dn`. The password is checked by
 * binding as that entry: so the directory's own rules (hashes, lockout, expiry) count, and no secret leaves
 * it. A third way is `compare`, for directories that let nobody bind: the value of an attribute is compared
 * by the directory.
 *
 * Templates have %u (the user name), %n (what is before the last '@') and %d (what is behind it). In a filter
 * (RFC 4515) and in a distinguished name (RFC 4514) every octet of them that is not a letter or a digit is
 * written as '\' and two hexadecimal digits, which both grammars take for that octet and nothing else: no
 * name can widen a filter or leave its place in the tree (attack-045). An empty password never binds: it
 * would be an anonymous success (RFC 4513 §5.1.2, attack-046).
 *
 * Connections: one for searches and one for binds in each worker, kept open, made anew once when the
 * directory has hung up meanwhile. Referrals are not followed: who may log in is not another server's
 * decision. A directory that is down, slow or talks nonsense is "cannot say".
 */
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include <ldap.h>

#include <mortise/password.h>

#include "../number.h"

#define VALUE_MAX 1024u /* octets of an attribute that is used */
#define OPTIONS_MAX 64u /* values of option_attribute */
#define DN_MAX 4096u    /* octets of a distinguished name or filter */

enum tls { TLS_NEVER, TLS_START };
enum scope { SCOPE_BASE, SCOPE_ONE, SCOPE_SUBTREE };

struct options {
	const char *url;
	int tls;
	const char *tls_ca;
	const char *bind_dn;
	struct mortise_secret bind_password;
	const char *base;
	int scope;
	const char *filter;
	const char *user_dn;
	bool compare;
	const char *password_attribute;
	const char *name_attribute, *uid_attribute, *gid_attribute, *home_attribute, *account_attribute,
	    *option_attribute;
	const char *account;
	uint64_t timeout;
};

static const struct mortise_enum tls_values[] = {{"start", TLS_START}, {"never", TLS_NEVER}, {NULL, 0}};
static const struct mortise_enum scopes[] = {
    {"base", SCOPE_BASE}, {"one", SCOPE_ONE}, {"subtree", SCOPE_SUBTREE}, {NULL, 0}};

#define OPTION(field, kind, text, ...) MORTISE_OPTION(struct options, field, kind, text, __VA_ARGS__)

static const struct mortise_option options[] = {
    OPTION(url, STRING, NULL, .flags = MORTISE_OPTION_REQUIRED, .since = "0.1",
        .help =
            "the directory: ldap://, ldaps:// or ldapi://; several with spaces between are tried in turn"),
    OPTION(tls, ENUM, "start", .values = tls_values, .since = "0.1",
        .help = "for ldap://: StartTLS before anything is sent, or never",
        .detail = "ldaps:// is under TLS from the beginning, ldapi:// never leaves the host."),
    OPTION(tls_ca, PATH, "", .since = "0.1",
        .help = "certificates (PEM) that the directory's is checked against; empty: the host's own"),
    OPTION(bind_dn, STRING, "", .since = "0.1", .help = "who searches; empty: anonymous"),
    OPTION(bind_password, SECRET, NULL, .since = "0.1", .help = "password of bind_dn"),
    OPTION(base, STRING, "", .since = "0.1", .help = "where the search begins"),
    OPTION(scope, ENUM, "subtree", .values = scopes, .since = "0.1", .help = "how far it goes"),
    OPTION(filter, STRING, "(&(objectClass=posixAccount)(uid=%u))", .since = "0.1",
        .help = "which entry is the user's: an RFC 4515 filter with %u, %n, %d",
        .detail = "%u is the user name, %n what is before its last @, %d what is behind it."),
    OPTION(user_dn, STRING, "", .since = "0.1",
        .help = "instead of a search: the distinguished name, with %u, %n, %d"),
    OPTION(compare, BOOL, "no", .since = "0.1",
        .help = "let the directory compare password_attribute instead of binding as the user",
        .detail = "For values in clear only; the account rules of the directory do not count then."),
    OPTION(password_attribute, STRING, "userPassword", .since = "0.1", .help = "what compare compares"),
    OPTION(name_attribute, STRING, "", .since = "0.1",
        .help = "attribute with the user's canonical name; empty: as the client wrote it"),
    OPTION(uid_attribute, STRING, "uidNumber", .since = "0.1",
        .help = "attribute with the uid; empty: account decides"),
    OPTION(gid_attribute, STRING, "gidNumber", .since = "0.1", .help = "attribute with the gid"),
    OPTION(home_attribute, STRING, "homeDirectory", .since = "0.1", .help = "attribute with the home"),
    OPTION(account_attribute, STRING, "", .since = "0.1",
        .help = "attribute with the host account whose uid and groups the session has"),
    OPTION(option_attribute, STRING, "", .since = "0.1",
        .help = "attribute with settings for the user, NAME=VALUE each"),
    OPTION(account, STRING, "", .since = "0.1",
        .help =
            "host account of users whose entry has neither uid nor account; empty: the one of the same name"),
    OPTION(timeout, DURATION, "5s", .min = "100ms", .max = "10m", .since = "0.1",
        .help = "time for one answer of the directory"),
};

struct state {
	LDAP *search, *bind; /* NULL: not connected */
};

static struct state *state_of(struct mortise_call *call)
{
	struct mortise_instance *inst = call->instance;

	if (inst->state == NULL)
		inst->state = call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(struct state));
	return inst->state;
}

static const struct options *options_of(const struct mortise_call *call)
{
	return call->instance->options;
}

static bool is_set(const char *text)
{
	return text != NULL && text[0] != '\0';
}

static void disconnect(LDAP **ld)
{
	if (*ld != NULL)
		ldap_unbind_ext(*ld, NULL, NULL);
	*ld = NULL;
}

/* The fault with what the directory said; MORTISE_AUTH_TEMP. */
static int directory_fault(struct mortise_call *call, LDAP *ld, const char *what, int code)
{
	char *text = NULL;

	if (ld != NULL)
		ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &text);
	call->host->fault(call, MORTISE_E_UNAVAILABLE, "%s: %s%s%.200s", what, ldap_err2string(code),
	    is_set(text) ? ": " : "", is_set(text) ? text : "");
	ldap_memfree(text);
	return MORTISE_AUTH_TEMP;
}

static struct timeval patience(struct mortise_call *call)
{
	uint64_t ms = options_of(call)->timeout, deadline = call->host->deadline(call),
	         now = call->host->now(call);

	if (deadline != 0 && deadline <= now)
		ms = 1;
	else if (deadline != 0 && deadline - now < ms)
		ms = deadline - now;
	return (struct timeval){.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

/* ---- connections ---- */

static int set_tls(struct mortise_call *call, LDAP *ld)
{
	const struct options *o = options_of(call);
	int demand = LDAP_OPT_X_TLS_HARD, fresh = 0, r;

	r = ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
	if (r == LDAP_SUCCESS && is_set(o->tls_ca))
		r = ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, o->tls_ca);
	if (r == LDAP_SUCCESS)
		r = ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &fresh);
	if (r == LDAP_SUCCESS && o->tls == TLS_START && strncmp(o->url, "ldap://", 7) == 0)
		r = ldap_start_tls_s(ld, NULL, NULL);
	return r;
}

static LDAP *connect_directory(struct mortise_call *call)
{
	const struct options *o = options_of(call);
	struct timeval wait = patience(call);
	int version = LDAP_VERSION3, r;
	LDAP *ld = NULL;

	r = ldap_initialize(&ld, o->url);
	if (r == LDAP_SUCCESS)
		r = ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	if (r == LDAP_SUCCESS) {
		ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
		ldap_set_option(ld, LDAP_OPT_RESTART, LDAP_OPT_ON);
		ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &wait);
		ldap_set_option(ld, LDAP_OPT_TIMEOUT, &wait);
		r = set_tls(call, ld);
	}
	if (r == LDAP_SUCCESS)
		return ld;
	directory_fault(call, ld, "connecting to the directory", r);
	disconnect(&ld);
	return NULL;
}

static bool has_hung_up(int code)
{
	return code == LDAP_SERVER_DOWN || code == LDAP_CONNECT_ERROR || code == LDAP_UNAVAILABLE ||
	       code == LDAP_TIMEOUT || code == LDAP_DECODING_ERROR || code == LDAP_ENCODING_ERROR ||
	       code == LDAP_LOCAL_ERROR;
}

static int service_bind(struct mortise_call *call, LDAP *ld)
{
	const struct options *o = options_of(call);
	struct berval password = {o->bind_password.size, (char *)o->bind_password.data};

	if (!is_set(o->bind_dn))
		return LDAP_SUCCESS;
	return ldap_sasl_bind_s(ld, o->bind_dn, LDAP_SASL_SIMPLE, &password, NULL, NULL, NULL);
}

/* ---- names in filters and distinguished names ---- */

static bool is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool add_escaped(char *out, size_t *n, const char *text, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (*n + 4 > DN_MAX)
			return false;
		if (is_plain(c)) {
			out[(*n)++] = (char)c;
		} else {
			out[(*n)++] = '\\';
			out[(*n)++] = digits[c >> 4];
			out[(*n)++] = digits[c & 15];
		}
	}
	return true;
}

/* The template with the name in its places; NULL when it becomes too long. */
static char *expand(struct mortise_call *call, const char *template, const char *user)
{
	char *out = call->host->alloc(call, MORTISE_LIFE_CALL, DN_MAX + 1);
	const char *at = strrchr(user, '@');
	size_t n = 0, local = at != NULL ? (size_t)(at - user) : strlen(user);
	const char *domain = at != NULL ? at + 1 : "";
	bool fits = true;

	for (; *template != '\0' && fits; template ++) {
		if (template[0] == '%' && template[1] == 'u')
			fits = add_escaped(out, &n, user, strlen(user));
		else if (template[0] == '%' && template[1] == 'n')
			fits = add_escaped(out, &n, user, local);
		else if (template[0] == '%' && template[1] == 'd')
			fits = add_escaped(out, &n, domain, strlen(domain));
		else if (n < DN_MAX) {
			out[n++] = template[0] == '%' && template[1] == '%' ? *++template : *template;
			continue;
		} else
			fits = false;
		template ++;
	}
	return fits ? out : NULL;
}

/* ---- the entry ---- */

/* One value as a string; NULL when the entry has none, more than one, or one that cannot be used. */
static const char *value_of(struct mortise_call *call, LDAP *ld, LDAPMessage *entry, const char *attribute)
{
	struct berval **values = is_set(attribute) ? ldap_get_values_len(ld, entry, attribute) : NULL;
	const char *out = NULL;

	if (values != NULL && values[0] != NULL && values[1] == NULL && values[0]->bv_len <= VALUE_MAX &&
	    memchr(values[0]->bv_val, '\0', values[0]->bv_len) == NULL)
		out = call->host->print(
		    call, MORTISE_LIFE_CALL, "%.*s", (int)values[0]->bv_len, values[0]->bv_val);
	else if (values != NULL && values[0] != NULL)
		call->host->log(call, MORTISE_LOG_WARN,
		    "[LDAP-001] attribute %s is not one usable value: ignored", attribute);
	ldap_value_free_len(values);
	return out;
}

static void take_options(struct mortise_call *call, LDAP *ld, LDAPMessage *entry, struct mortise_user *user)
{
	const struct options *o = options_of(call);
	struct berval **values =
	    is_set(o->option_attribute) ? ldap_get_values_len(ld, entry, o->option_attribute) : NULL;
	const char **list = call->host->alloc(call, MORTISE_LIFE_CALL, OPTIONS_MAX * sizeof(*list));
	size_t i;

	for (i = 0; values != NULL && values[i] != NULL && user->option_count < OPTIONS_MAX; i++)
		list[user->option_count++] = call->host->print(
		    call, MORTISE_LIFE_CALL, "%.*s", (int)values[i]->bv_len, values[i]->bv_val);
	user->options = list;
	ldap_value_free_len(values);
}

/* OK, or DISABLED when the entry has a uid or gid that is no number. */
static int take_entry(struct mortise_call *call, LDAP *ld, LDAPMessage *entry, struct mortise_user *user)
{
	const struct options *o = options_of(call);
	const char *uid = value_of(call, ld, entry, o->uid_attribute),
	           *gid = value_of(call, ld, entry, o->gid_attribute);

	user->name = value_of(call, ld, entry, o->name_attribute);
	user->home = value_of(call, ld, entry, o->home_attribute);
	user->account = value_of(call, ld, entry, o->account_attribute);
	take_options(call, ld, entry, user);
	if (user->account != NULL)
		return MORTISE_AUTH_OK;
	if (uid == NULL) {
		if (is_set(o->account))
			user->account = o->account;
		return MORTISE_AUTH_OK;
	}
	user->has_ids = true;
	if (number_of(uid, &user->uid) && number_of(gid, &user->gid))
		return MORTISE_AUTH_OK;
	call->host->fault(call, MORTISE_E_INVALID, "the entry's %s or %s is not a number", o->uid_attribute,
	    o->gid_attribute);
	return MORTISE_AUTH_DISABLED;
}

/* Looks for one entry: OK, UNKNOWN, DISABLED (more than one) or TEMP. *dn lives in the call. */
static int take_result(
    struct mortise_call *call, LDAP *ld, LDAPMessage *result, const char **dn, struct mortise_user *user)
{
	LDAPMessage *entry = ldap_first_entry(ld, result);
	char *name;

	if (entry == NULL)
		return MORTISE_AUTH_UNKNOWN;
	if (ldap_next_entry(ld, entry) != NULL) {
		call->host->fault(call, MORTISE_E_INVALID, "the filter finds more than one entry");
		return MORTISE_AUTH_DISABLED;
	}
	name = ldap_get_dn(ld, entry);
	*dn = name != NULL ? call->host->print(call, MORTISE_LIFE_CALL, "%s", name) : NULL;
	ldap_memfree(name);
	return is_set(*dn) ? take_entry(call, ld, entry, user) : MORTISE_AUTH_UNKNOWN;
}

struct place {
	const char *base, *filter;
	int scope;
};

static int search_once(struct mortise_call *call, LDAP *ld, const struct place *p, LDAPMessage **result)
{
	const struct options *o = options_of(call);
	char *wanted[] = {(char *)o->name_attribute, (char *)o->uid_attribute, (char *)o->gid_attribute,
	    (char *)o->home_attribute, (char *)o->account_attribute, (char *)o->option_attribute};
	static const int scopes_of[] = {LDAP_SCOPE_BASE, LDAP_SCOPE_ONELEVEL, LDAP_SCOPE_SUBTREE};
	char *asked[sizeof(wanted) / sizeof(wanted[0]) + 2] = {NULL};
	struct timeval wait = patience(call);
	size_t i, n = 0;

	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (is_set(wanted[i]))
			asked[n++] = wanted[i];
	if (n == 0)
		asked[0] = (char *)LDAP_NO_ATTRS;
	return ldap_search_ext_s(
	    ld, p->base, scopes_of[p->scope], p->filter, asked, 0, NULL, NULL, &wait, 2, result);
}

/* With the search connection, which is made anew once when it has gone bad. */
static int find_entry(
    struct mortise_call *call, const struct place *p, const char **dn, struct mortise_user *user)
{
	struct state *s = state_of(call);
	LDAPMessage *result = NULL;
	int code = LDAP_SERVER_DOWN, r, tries;
	bool fresh = s->search == NULL;

	for (tries = 0; tries < 2 && has_hung_up(code); tries++) {
		if (s->search == NULL) {
			s->search = connect_directory(call);
			if (s->search == NULL)
				return MORTISE_AUTH_TEMP;
			code = service_bind(call, s->search);
			if (code != LDAP_SUCCESS) {
				r = directory_fault(call, s->search, "binding as bind_dn", code);
				disconnect(&s->search);
				return r;
			}
		}
		ldap_msgfree(result);
		result = NULL;
		code = search_once(call, s->search, p, &result);
		if (has_hung_up(code) && (fresh || tries > 0)) {
			r = directory_fault(call, s->search, "searching", code);
			disconnect(&s->search);
			ldap_msgfree(result);
			return r;
		}
		if (has_hung_up(code))
			disconnect(&s->search);
	}
	if (code == LDAP_SUCCESS || code == LDAP_SIZELIMIT_EXCEEDED)
		r = take_result(call, s->search, result, dn, user);
	else if (code == LDAP_NO_SUCH_OBJECT)
		r = MORTISE_AUTH_UNKNOWN;
	else
		r = directory_fault(call, s->search, "searching", code);
	ldap_msgfree(result);
	return r;
}

/* ---- the password ---- */

/* What Active Directory means by "wrong credentials", in its text: "… data 533, …". */
static const struct {
	const char *data;
	int result;
	const char *why;
} active_directory[] = {{"data 525", MORTISE_AUTH_UNKNOWN, "no such user"},
    {"data 530", MORTISE_AUTH_DISABLED, "not at this time"},
    {"data 531", MORTISE_AUTH_DISABLED, "not from here"},
    {"data 532", MORTISE_AUTH_EXPIRED, "the password has expired"},
    {"data 533", MORTISE_AUTH_DISABLED, "the account is disabled"},
    {"data 701", MORTISE_AUTH_EXPIRED, "the account has expired"},
    {"data 773", MORTISE_AUTH_EXPIRED, "the password must be changed first"},
    {"data 775", MORTISE_AUTH_DISABLED, "the account is locked"}};

static int refused(struct mortise_call *call, LDAP *ld)
{
	char *text = NULL;
	int r = MORTISE_AUTH_MISMATCH;
	size_t i;

	ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &text);
	for (i = 0; text != NULL && i < sizeof(active_directory) / sizeof(active_directory[0]); i++)
		if (strstr(text, active_directory[i].data) != NULL) {
			call->host->fault(call, MORTISE_E_PERM, "%s", active_directory[i].why);
			r = active_directory[i].result;
		}
	ldap_memfree(text);
	return r;
}

/* draft-behera-ldap-password-policy: the control in the answer, if the directory sends one. */
static int policy_of(struct mortise_call *call, LDAP *ld, LDAPControl **controls, int result)
{
	LDAPControl *c = ldap_control_find(LDAP_CONTROL_PASSWORDPOLICYRESPONSE, controls, NULL);
	LDAPPasswordPolicyError error = PP_noError;
	ber_int_t expires = -1, grace = -1;

	if (c == NULL || ldap_parse_passwordpolicy_control(ld, c, &expires, &grace, &error) != LDAP_SUCCESS ||
	    error == PP_noError)
		return result;
	call->host->fault(call, MORTISE_E_PERM, "%s", ldap_passwordpolicy_err2txt(error));
	switch (error) {
	case PP_passwordExpired:
	case PP_changeAfterReset:
		return MORTISE_AUTH_EXPIRED;
	case PP_accountLocked:
		return MORTISE_AUTH_DISABLED;
	default:
		return result;
	}
}

/* The LDAP code of the bind; the verdict in *verdict when there is an answer. */
static int bind_once(
    struct mortise_call *call, LDAP *ld, const char *dn, const struct mortise_attempt *attempt, int *verdict)
{
	struct berval password = {attempt->password_size, (char *)attempt->password};
	LDAPControl request = {.ldctl_oid = (char *)LDAP_CONTROL_PASSWORDPOLICYREQUEST};
	LDAPControl *requests[] = {&request, NULL}, **answers = NULL;
	struct timeval wait = patience(call);
	LDAPMessage *result = NULL;
	int id = -1, code = ldap_sasl_bind(ld, dn, LDAP_SASL_SIMPLE, &password, requests, NULL, &id), got;

	if (code != LDAP_SUCCESS)
		return code;
	got = ldap_result(ld, id, LDAP_MSG_ALL, &wait, &result);
	if (got <= 0) {
		if (got == 0)
			return LDAP_TIMEOUT;
		ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &code);
		return code != LDAP_SUCCESS ? code : LDAP_SERVER_DOWN;
	}
	got = ldap_parse_result(ld, result, &code, NULL, NULL, NULL, &answers, 1);
	if (got != LDAP_SUCCESS)
		return got;
	switch (code) {
	case LDAP_SUCCESS:
		*verdict = MORTISE_AUTH_OK;
		break;
	case LDAP_INVALID_CREDENTIALS:
		*verdict = refused(call, ld);
		break;
	case LDAP_NO_SUCH_OBJECT:
	case LDAP_INVALID_DN_SYNTAX:
		*verdict = MORTISE_AUTH_UNKNOWN;
		break;
	case LDAP_INAPPROPRIATE_AUTH:
		call->host->fault(call, MORTISE_E_PERM, "the entry has no password");
		*verdict = MORTISE_AUTH_DISABLED;
		break;
	default:
		*verdict = has_hung_up(code) ? MORTISE_AUTH_TEMP
		                             : directory_fault(call, ld, "binding as the user", code);
	}
	if (!has_hung_up(code))
		*verdict = policy_of(call, ld, answers, *verdict);
	ldap_controls_free(answers);
	return has_hung_up(code) ? code : LDAP_SUCCESS;
}

static int compare_once(
    struct mortise_call *call, LDAP *ld, const char *dn, const struct mortise_attempt *attempt, int *verdict)
{
	struct berval value = {attempt->password_size, (char *)attempt->password};
	int code = ldap_compare_ext_s(ld, dn, options_of(call)->password_attribute, &value, NULL, NULL);

	if (has_hung_up(code))
		return code;
	if (code == LDAP_COMPARE_TRUE)
		*verdict = MORTISE_AUTH_OK;
	else if (code == LDAP_COMPARE_FALSE)
		*verdict = MORTISE_AUTH_MISMATCH;
	else if (code == LDAP_NO_SUCH_OBJECT || code == LDAP_INVALID_DN_SYNTAX)
		*verdict = MORTISE_AUTH_UNKNOWN;
	else if (code == LDAP_NO_SUCH_ATTRIBUTE) {
		call->host->fault(call, MORTISE_E_PERM, "the entry has no password");
		*verdict = MORTISE_AUTH_DISABLED;
	} else
		*verdict = directory_fault(call, ld, "comparing", code);
	return LDAP_SUCCESS;
}

/* With the second connection: who is bound there changes with each attempt. */
static int check_password(struct mortise_call *call, const char *dn, const struct mortise_attempt *attempt)
{
	struct state *s = state_of(call);
	int code = LDAP_SERVER_DOWN, verdict = MORTISE_AUTH_TEMP, tries;

	if (attempt->password_size == 0 || attempt->password[0] == '\0')
		return MORTISE_AUTH_MISMATCH;
	for (tries = 0; tries < 2; tries++) {
		bool fresh = s->bind == NULL;

		if (fresh)
			s->bind = connect_directory(call);
		if (s->bind == NULL)
			return MORTISE_AUTH_TEMP;
		code = LDAP_SUCCESS;
		if (options_of(call)->compare && fresh)
			code = service_bind(call, s->bind);
		if (code == LDAP_SUCCESS)
			code = options_of(call)->compare ? compare_once(call, s->bind, dn, attempt, &verdict)
			                                 : bind_once(call, s->bind, dn, attempt, &verdict);
		if (code == LDAP_SUCCESS)
			return verdict;
		if (fresh || !has_hung_up(code))
			directory_fault(call, s->bind, "checking the password", code);
		disconnect(&s->bind);
		if (fresh || code == LDAP_TIMEOUT)
			return MORTISE_AUTH_TEMP;
	}
	return MORTISE_AUTH_TEMP;
}

/* ---- the two questions ---- */

/* Where the user is: OK with a place to look, or UNKNOWN for a name that fits nowhere. */
static int place_of(struct mortise_call *call, const char *user, struct place *p)
{
	const struct options *o = options_of(call);

	if (is_set(o->user_dn))
		*p = (struct place){expand(call, o->user_dn, user), "(objectClass=*)", SCOPE_BASE};
	else
		*p = (struct place){o->base, expand(call, o->filter, user), o->scope};
	return p->base != NULL && p->filter != NULL ? MORTISE_AUTH_OK : MORTISE_AUTH_UNKNOWN;
}

static int ldap_lookup(
    struct mortise_call *call, const char *name, uint32_t credential, struct mortise_user *record)
{
	const char *dn = NULL;
	struct place p;
	int r;

	if (credential != 0)
		return MORTISE_AUTH_NEXT;
	r = place_of(call, name, &p);
	return r == MORTISE_AUTH_OK ? find_entry(call, &p, &dn, record) : r;
}

static int own_entry(struct mortise_call *call, const struct place *p, struct mortise_user *user)
{
	struct state *s = state_of(call);
	LDAPMessage *result = NULL;
	const char *dn = NULL;
	int code = search_once(call, s->bind, p, &result);
	int r = code == LDAP_SUCCESS ? take_result(call, s->bind, result, &dn, user)
	                             : directory_fault(call, s->bind, "reading the user's entry", code);

	ldap_msgfree(result);
	return r;
}

static int ldap_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	const char *dn = NULL;
	struct place p;
	int r = place_of(call, attempt->user, &p);

	/* Who may not search reads his own entry once he is in. */
	if (r == MORTISE_AUTH_OK && is_set(options_of(call)->user_dn) && !is_set(options_of(call)->bind_dn)) {
		r = check_password(call, p.base, attempt);
		return r == MORTISE_AUTH_OK ? own_entry(call, &p, user) : r;
	}
	if (r == MORTISE_AUTH_OK)
		r = find_entry(call, &p, &dn, user);
	return r == MORTISE_AUTH_OK ? check_password(call, dn, attempt) : r;
}

static int ldap_check(struct mortise_call *call, struct mortise_instance *inst)
{
	const struct options *o = inst->options;
	LDAP *ld = NULL;

	if (ldap_initialize(&ld, o->url) != LDAP_SUCCESS)
		return call->host->fail(call, MORTISE_E_INVALID, "url: %s is no LDAP URL", o->url);
	disconnect(&ld);
	if (is_set(o->bind_dn) && o->bind_password.size == 0)
		return call->host->fail(call, MORTISE_E_INVALID, "bind_dn without bind_password");
	if (is_set(o->uid_attribute) != is_set(o->gid_attribute))
		return call->host->fail(
		    call, MORTISE_E_INVALID, "uid_attribute and gid_attribute belong together");
	return 0;
}

static void ldap_stop(struct mortise_call *call, struct mortise_instance *inst)
{
	struct state *s = inst->state;

	(void)call;
	if (s == NULL)
		return;
	disconnect(&s->search);
	disconnect(&s->bind);
}

static const struct mortise_lifecycle lifecycle = {
    .size = sizeof(lifecycle), .check = ldap_check, .stop = ldap_stop};

static const struct mortise_password_ops ops = {.size = sizeof(ops),
    .credentials = MORTISE_CREDENTIAL_VERIFY,
    .verify = ldap_verify,
    .lookup = ldap_lookup};

MORTISE_MODULE(ldap, .kind = MORTISE_KIND_PASSWORD, .api_major = MORTISE_PASSWORD_MAJOR,
    .api_minor = MORTISE_PASSWORD_MINOR, .name = "ldap", .version = "0.1", .summary = "an LDAP directory",
    .licence = "Apache-2.0", .url = "https://mortise.example/", .options = options,
    .option_count = sizeof(options) / sizeof(options[0]), .instance_size = sizeof(struct options),
    .lifecycle = &lifecycle, .ops = &ops);
