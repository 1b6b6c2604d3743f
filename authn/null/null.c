/*
 * null: no password is ever right.
 *
 * It yields nothing, so that alone in the list it turns passwords off: no mechanism that needs a password is
 * offered, LOGIN is disabled, and what proves users by other means (GSSAPI, EXTERNAL) is all that is left. It
 * still knows the host's accounts: those who have proved themselves need a record.
 */
#include <mortise/password.h>

static int null_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	(void)attempt;
	(void)user;
	call->host->fault(call, MORTISE_E_PERM, "passwords are turned off");
	return MORTISE_AUTH_DISABLED;
}

/* The account of the same name: the core looks it up, and refuses when there is none. */
static int null_lookup(
    struct mortise_call *call, const char *user, uint32_t credential, struct mortise_user *record)
{
	(void)call;
	(void)user;
	(void)record;
	return credential == 0 ? MORTISE_AUTH_OK : MORTISE_AUTH_NEXT;
}

static const struct mortise_password_ops ops = {
    .size = sizeof(ops), .verify = null_verify, .lookup = null_lookup};

MORTISE_MODULE(null, .kind = MORTISE_KIND_PASSWORD, .api_major = MORTISE_PASSWORD_MAJOR,
    .api_minor = MORTISE_PASSWORD_MINOR, .name = "null", .version = "0.1", .summary = "turns passwords off",
    .licence = "Apache-2.0", .url = "https://mortise.example/", .ops = &ops);
