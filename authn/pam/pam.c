/*
 * pam: passwords and accounts of the host, through Linux-PAM.
 *
 * verify is pam_start, pam_authenticate, pam_acct_mgmt (and pam_setcred when asked for), pam_end; lookup is
 * pam_acct_mgmt alone, for a master user who acts for somebody: whether that account may log in is PAM's to
 * say too. There is no pam_open_session: the session runs in another process.
 *
 * The conversation knows what the client sent and nothing more. A prompt without echo gets the password, one
 * with echo the user name, as often as a stack of modules asks (PROMPTS_MAX); what PAM wants to show is not
 * shown to anybody, only to the debug log. A prompt outside pam_authenticate is refused: it would be for a
 * new password.
 *
 * PAM modules like to wait after a failure. That would hold a worker; the core waits itself, without one, so
 * PAM's wish is noted and not granted (fail_delay).
 *
 * PAM modules are anybody's code. One that hangs, crashes or calls exit costs its worker and this attempt.
 */
#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>

#include <mortise/password.h>

#define PROMPTS_MAX 8   /* prompts with an answer in one attempt */
#define MESSAGES_MAX 32 /* in one call of the conversation (Linux-PAM's own limit) */
#define TEXT_MAX 200    /* octets of PAM's text in a log line */

struct pam_options {
	const char *service;
	bool setcred;
};

static const struct mortise_option options[] = {
    MORTISE_OPTION(struct pam_options, service, STRING, "", .since = "0.1",
        .help = "PAM service; empty: the protocol's own, imap or pop"),
    MORTISE_OPTION(struct pam_options, setcred, BOOL, "no", .since = "0.1", .help = "call pam_setcred too",
        .detail = "Credentials made by it belong to the process that checks passwords and are deleted "
                  "again at once; only modules that do something else there need it."),
};

struct talk {
	struct mortise_call *call;
	const char *user;
	const char *password; /* NULL: none to give */
	unsigned prompts;
	bool open; /* prompts may be answered */
};

/* What a PAM code means while authenticating (the password may still be unknown) and afterwards. */
static const struct {
	int code, early, late;
} results[] = {
    {PAM_SUCCESS, MORTISE_AUTH_OK, MORTISE_AUTH_OK},
    {PAM_AUTH_ERR, MORTISE_AUTH_MISMATCH, MORTISE_AUTH_DISABLED},
    {PAM_MAXTRIES, MORTISE_AUTH_MISMATCH, MORTISE_AUTH_DISABLED},
    {PAM_USER_UNKNOWN, MORTISE_AUTH_UNKNOWN, MORTISE_AUTH_UNKNOWN},
    {PAM_PERM_DENIED, MORTISE_AUTH_DISABLED, MORTISE_AUTH_DISABLED},
    {PAM_CRED_INSUFFICIENT, MORTISE_AUTH_TEMP, MORTISE_AUTH_DISABLED},
    /* Before the password is known to be right, "expired" would tell too much. */
    {PAM_ACCT_EXPIRED, MORTISE_AUTH_DISABLED, MORTISE_AUTH_EXPIRED},
    {PAM_AUTHTOK_EXPIRED, MORTISE_AUTH_DISABLED, MORTISE_AUTH_EXPIRED},
    {PAM_CRED_EXPIRED, MORTISE_AUTH_DISABLED, MORTISE_AUTH_EXPIRED},
    {PAM_NEW_AUTHTOK_REQD, MORTISE_AUTH_DISABLED, MORTISE_AUTH_EXPIRED},
};

/* Every other code is a fault of PAM or of what it asks: "cannot say". */
static int result_of(int code, bool late)
{
	size_t i;

	for (i = 0; i < sizeof(results) / sizeof(results[0]); i++)
		if (results[i].code == code)
			return late ? results[i].late : results[i].early;
	return MORTISE_AUTH_TEMP;
}

static void drop_answers(struct pam_response *answers, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (answers[i].resp != NULL) {
			explicit_bzero(answers[i].resp, strlen(answers[i].resp));
			free(answers[i].resp);
		}
	free(answers);
}

/* PAM_SUCCESS, or the code that ends the conversation. */
static int answer(struct talk *t, const struct pam_message *m, struct pam_response *r)
{
	const char *text = NULL;

	switch (m->msg_style) {
	case PAM_PROMPT_ECHO_OFF:
		text = t->password;
		break;
	case PAM_PROMPT_ECHO_ON:
		text = t->user;
		break;
	case PAM_TEXT_INFO:
	case PAM_ERROR_MSG:
		t->call->host->log(
		    t->call, MORTISE_LOG_DEBUG, "PAM says: %.*s", TEXT_MAX, m->msg != NULL ? m->msg : "");
		return PAM_SUCCESS;
	default:
		return PAM_CONV_ERR;
	}
	if (!t->open || text == NULL || ++t->prompts > PROMPTS_MAX)
		return PAM_CONV_ERR;
	r->resp = strdup(text);
	return r->resp != NULL ? PAM_SUCCESS : PAM_BUF_ERR;
}

static int converse(int count, const struct pam_message **messages, struct pam_response **out, void *arg)
{
	struct talk *t = arg;
	struct pam_response *answers;
	int i, r;

	if (count <= 0 || count > MESSAGES_MAX || messages == NULL || out == NULL || t == NULL)
		return PAM_CONV_ERR;
	answers = calloc((size_t)count, sizeof(*answers));
	if (answers == NULL)
		return PAM_BUF_ERR;
	for (i = 0; i < count; i++) {
		r = messages[i] != NULL ? answer(t, messages[i], &answers[i]) : PAM_CONV_ERR;
		if (r != PAM_SUCCESS) {
			drop_answers(answers, count);
			return r;
		}
	}
	*out = answers;
	return PAM_SUCCESS;
}

#ifdef PAM_FAIL_DELAY
static void fail_delay(int code, unsigned microseconds, void *arg)
{
	(void)code;
	(void)microseconds;
	(void)arg;
}

/* PAM_FAIL_DELAY takes a function where pam_set_item takes a pointer to data. */
static int set_fail_delay(pam_handle_t *pam)
{
	void (*function)(int, unsigned, void *) = fail_delay;
	const void *item;

	memcpy(&item, &function, sizeof(item));
	return pam_set_item(pam, PAM_FAIL_DELAY, item);
}
#endif

static int set_items(pam_handle_t *pam, const char *service, const char *remote)
{
	int r = PAM_SUCCESS;

	if (remote != NULL && remote[0] != '\0')
		r = pam_set_item(pam, PAM_RHOST, remote);
	/* There is no terminal; modules that insist on one (pam_access, pam_time) get the service's name. */
	if (r == PAM_SUCCESS)
		r = pam_set_item(pam, PAM_TTY, service);
#ifdef PAM_FAIL_DELAY
	if (r == PAM_SUCCESS)
		r = set_fail_delay(pam);
#endif
	return r;
}

struct step {
	const char *name;
	int (*function)(pam_handle_t *, int);
	int flags;
	bool late, prompts;
};

static int set_credentials(pam_handle_t *pam, int flags)
{
	int r = pam_setcred(pam, flags | PAM_ESTABLISH_CRED);

	if (r == PAM_SUCCESS)
		(void)pam_setcred(pam, flags | PAM_DELETE_CRED);
	return r;
}

static const struct step steps[] = {
    {"pam_authenticate", pam_authenticate, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK, false, true},
    {"pam_acct_mgmt", pam_acct_mgmt, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK, true, false},
    {"pam_setcred", set_credentials, PAM_SILENT, true, false},
};

/* Steps first…last. The last PAM code is in *code. */
static int run_steps(pam_handle_t *pam, struct talk *t, size_t first, size_t last, int *code)
{
	size_t i;

	for (i = first; i <= last; i++) {
		int r;

		t->open = steps[i].prompts;
		*code = steps[i].function(pam, steps[i].flags);
		r = result_of(*code, steps[i].late);
		if (r != MORTISE_AUTH_OK) {
			t->call->host->fault(t->call, MORTISE_E_PERM, "%s: %s (%d)", steps[i].name,
			    pam_strerror(pam, *code), *code);
			return r;
		}
	}
	return MORTISE_AUTH_OK;
}

/* PAM may have found another spelling or another user altogether. */
static void take_user(
    struct mortise_call *call, pam_handle_t *pam, const char *asked, struct mortise_user *user)
{
	const void *item = NULL;

	if (pam_get_item(pam, PAM_USER, &item) == PAM_SUCCESS && item != NULL && strcmp(item, asked) != 0)
		user->name = call->host->print(call, MORTISE_LIFE_CALL, "%s", (const char *)item);
}

static int run_pam(struct mortise_call *call, struct talk *t, const char *protocol, const char *remote,
    size_t first, struct mortise_user *user)
{
	const struct pam_options *o = call->instance->options;
	const char *service = o->service != NULL && o->service[0] != '\0' ? o->service : protocol;
	struct pam_conv conv = {converse, t};
	pam_handle_t *pam = NULL;
	int code = pam_start(service, t->user, &conv, &pam), r;

	if (code == PAM_SUCCESS)
		code = set_items(pam, service, remote);
	if (code == PAM_SUCCESS) {
		r = run_steps(pam, t, first, o->setcred && first == 0 ? 2 : 1, &code);
	} else {
		call->host->fault(
		    call, MORTISE_E_UNAVAILABLE, "PAM service %s cannot be started (%d)", service, code);
		r = MORTISE_AUTH_TEMP;
	}
	if (r == MORTISE_AUTH_OK)
		take_user(call, pam, t->user, user);
	if (pam != NULL)
		(void)pam_end(pam, code);
	return r;
}

static int pam_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	struct talk t = {.call = call, .user = attempt->user, .password = attempt->password};

	return run_pam(call, &t, attempt->service, attempt->remote, 0, user);
}

static int pam_lookup(
    struct mortise_call *call, const char *name, uint32_t credential, struct mortise_user *record)
{
	struct talk t = {.call = call, .user = name};

	if (credential != 0)
		return MORTISE_AUTH_NEXT;
	return run_pam(call, &t, "imap", NULL, 1, record);
}

static const struct mortise_password_ops ops = {.size = sizeof(ops),
    .credentials = MORTISE_CREDENTIAL_VERIFY,
    .verify = pam_verify,
    .lookup = pam_lookup};

MORTISE_MODULE(pam, .kind = MORTISE_KIND_PASSWORD, .api_major = MORTISE_PASSWORD_MAJOR,
    .api_minor = MORTISE_PASSWORD_MINOR, .name = "pam", .version = "0.1",
    .summary = "the host's users, through PAM", .licence = "Apache-2.0", .url = "https://mortise.example/",
    .options = options, .option_count = sizeof(options) / sizeof(options[0]),
    .instance_size = sizeof(struct pam_options), .ops = &ops);
