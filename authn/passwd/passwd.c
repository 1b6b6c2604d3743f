/*
 * passwd: the host's classic files, passwd(5) and shadow(5), through NSS: whatever nsswitch.conf names for
 * them. For a host without PAM, or where PAM's stack is not wanted.
 *
 * What the password is checked against is the passwd entry's own field, or the shadow entry's when that field
 * is "x". Then the account's dates are looked at, in days of UTC as shadow(5) keeps them; the day of expiry
 * is still good. "Expired" is said only to who knows the password. Shell, uid and groups are the core's
 * business (auth.valid_shell, auth.minimum_uid).
 *
 * A name nobody has costs a hash of the same kind as the last known one, so that the core's own levelling
 * has little left to do.
 */
#include <crypt.h>
#include <errno.h>
#include <pwd.h>
#include <shadow.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <mortise/password.h>

#define ENTRY_MAX (1024u * 1024) /* octets a passwd or shadow entry may need */
#define HASH_SHORTEST 2u         /* a field this short is no hash */

/* The setting of the last hash that was checked: what an unknown name is hashed with. */
struct state {
	char setting[CRYPT_OUTPUT_SIZE];
};

struct account {
	struct passwd pw;
	struct spwd shadow;
	bool has_shadow;
	const char *hash;
};

static struct state *state_of(struct mortise_call *call)
{
	struct mortise_instance *inst = call->instance;

	if (inst->state == NULL) {
		struct state *s = call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(*s));

		snprintf(s->setting, sizeof(s->setting), "$6$saltsaltsaltsalt$");
		inst->state = s;
	}
	return inst->state;
}

/* What the C library gives for "no such name" differs from system to system. */
static bool is_absent(int error)
{
	return error == 0 || error == ENOENT || error == ESRCH || error == EPERM || error == EBADF;
}

/* MORTISE_AUTH_OK, UNKNOWN or TEMP. */
static int find_passwd(struct mortise_call *call, const char *name, struct account *a)
{
	size_t size;
	int r = ERANGE;

	for (size = 4096; r == ERANGE && size <= ENTRY_MAX; size *= 4) {
		struct passwd *found = NULL;

		r = getpwnam_r(
		    name, &a->pw, call->host->alloc(call, MORTISE_LIFE_SECRET, size), size, &found);
		if (found != NULL)
			return MORTISE_AUTH_OK;
	}
	if (is_absent(r))
		return MORTISE_AUTH_UNKNOWN;
	errno = r;
	call->host->fault_errno(call, "the passwd entry cannot be read");
	return MORTISE_AUTH_TEMP;
}

/* OK with has_shadow set or not; TEMP when that cannot be said. Its strings live until the next one. */
static int find_shadow(struct mortise_call *call, struct account *a)
{
	const struct spwd *found;

	errno = 0;
	found = getspnam(a->pw.pw_name);
	if (found != NULL) {
		a->shadow = *found;
		a->has_shadow = true;
	} else if (errno == EACCES || !is_absent(errno)) {
		call->host->fault_errno(call, "the shadow entry of %s cannot be read", a->pw.pw_name);
		return MORTISE_AUTH_TEMP;
	}
	return MORTISE_AUTH_OK;
}

static int find_account(struct mortise_call *call, const char *name, struct account *a)
{
	int r;

	memset(a, 0, sizeof(*a));
	r = find_passwd(call, name, a);
	if (r != MORTISE_AUTH_OK)
		return r;
	r = find_shadow(call, a);
	if (r != MORTISE_AUTH_OK)
		return r;
	a->hash = a->pw.pw_passwd != NULL ? a->pw.pw_passwd : "";
	if (strcmp(a->hash, "x") == 0 && a->has_shadow)
		a->hash = a->shadow.sp_pwdp != NULL ? a->shadow.sp_pwdp : "";
	return MORTISE_AUTH_OK;
}

/* crypt(3): 1 the same, 0 another, -1 the hash is not known here. */
static int hash_matches(struct mortise_call *call, const char *password, const char *hash)
{
	struct crypt_data *data = call->host->alloc(call, MORTISE_LIFE_SECRET, sizeof(*data));
	const char *made = crypt_r(password, hash, data);
	size_t n = strlen(hash);

	if (made == NULL || made[0] == '*')
		return -1;
	return strlen(made) == n && call->host->equal(call, made, hash, n);
}

static void hash_for_nothing(struct mortise_call *call, const char *password)
{
	(void)hash_matches(call, password, state_of(call)->setting);
}

static int check_password(struct mortise_call *call, const struct account *a, const char *password)
{
	struct state *s = state_of(call);
	size_t n = strlen(a->hash);
	int right;

	if (n < HASH_SHORTEST || a->hash[0] == '!' || a->hash[0] == '*') {
		hash_for_nothing(call, password);
		call->host->fault(
		    call, MORTISE_E_PERM, n == 0 ? "the account has no password" : "the password is locked");
		return MORTISE_AUTH_DISABLED;
	}
	right = hash_matches(call, password, a->hash);
	if (right < 0) {
		call->host->fault(call, MORTISE_E_UNSUPPORTED, "crypt(3) does not know the hash");
		return MORTISE_AUTH_DISABLED;
	}
	if (n < sizeof(s->setting))
		memcpy(s->setting, a->hash, n + 1);
	return right > 0 ? MORTISE_AUTH_OK : MORTISE_AUTH_MISMATCH;
}

/* The dates of shadow(5). `password`: those of the password, too, not only of the account. */
static int check_dates(struct mortise_call *call, const struct account *a, bool password)
{
	const struct spwd *s = &a->shadow;
	long today = (long)(time(NULL) / 86400);

	if (!a->has_shadow)
		return MORTISE_AUTH_OK;
	if (s->sp_expire > 0 && today > s->sp_expire) {
		call->host->fault(
		    call, MORTISE_E_PERM, "the account expired %ld days ago", today - s->sp_expire);
		return MORTISE_AUTH_EXPIRED;
	}
	if (!password)
		return MORTISE_AUTH_OK;
	if (s->sp_lstchg == 0) {
		call->host->fault(call, MORTISE_E_PERM, "the password must be changed first");
		return MORTISE_AUTH_EXPIRED;
	}
	if (s->sp_lstchg > 0 && s->sp_max > 0 && today - s->sp_lstchg > s->sp_max) {
		call->host->fault(call, MORTISE_E_PERM, "the password expired %ld days ago",
		    today - s->sp_lstchg - s->sp_max);
		return MORTISE_AUTH_EXPIRED;
	}
	return MORTISE_AUTH_OK;
}

static void fill_record(struct mortise_call *call, const struct account *a, struct mortise_user *user)
{
	user->name = user->account = call->host->print(call, MORTISE_LIFE_CALL, "%s", a->pw.pw_name);
}

static int passwd_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	struct account a;
	int r = find_account(call, attempt->user, &a);

	if (r == MORTISE_AUTH_UNKNOWN)
		hash_for_nothing(call, attempt->password);
	if (r == MORTISE_AUTH_OK)
		r = check_password(call, &a, attempt->password);
	if (r == MORTISE_AUTH_OK)
		r = check_dates(call, &a, true);
	if (r == MORTISE_AUTH_OK)
		fill_record(call, &a, user);
	return r;
}

/* A locked password is no locked account: who proved himself otherwise may still come in. */
static int passwd_lookup(
    struct mortise_call *call, const char *name, uint32_t credential, struct mortise_user *record)
{
	struct account a;
	int r;

	if (credential != 0)
		return MORTISE_AUTH_NEXT;
	r = find_account(call, name, &a);
	if (r == MORTISE_AUTH_OK)
		r = check_dates(call, &a, false);
	if (r == MORTISE_AUTH_OK)
		fill_record(call, &a, record);
	return r;
}

static const struct mortise_password_ops ops = {.size = sizeof(ops),
    .credentials = MORTISE_CREDENTIAL_VERIFY,
    .verify = passwd_verify,
    .lookup = passwd_lookup};

MORTISE_MODULE(passwd, .kind = MORTISE_KIND_PASSWORD, .api_major = MORTISE_PASSWORD_MAJOR,
    .api_minor = MORTISE_PASSWORD_MINOR, .name = "passwd", .version = "0.1",
    .summary = "the host's passwd and shadow files, through NSS", .licence = "Apache-2.0",
    .url = "https://mortise.example/", .ops = &ops);
