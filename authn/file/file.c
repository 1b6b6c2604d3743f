/*
 * file: users and passwords in a file of our own, like passwd(5). The format is in table.h and secret.h,
 * for the administrator in mortise-file(5).
 *
 * An unknown user costs the same work as a known one (somebody's secret is checked and the answer thrown
 * away), so that the core's own levelling has little left to do. A file that cannot be read or trusted is
 * TEMP: the other backends must not answer in its place.
 */
#include <stdlib.h>
#include <string.h>

#include "../secret.h"
#include "table.h"

static const struct mortise_option options[] = {
    MORTISE_OPTION(struct file_options, path, PATH, "passwd", .since = "0.1", .help = "the password file",
        .detail = "A relative name counts from the folder of imapd.conf."),
    MORTISE_OPTION(struct file_options, account, STRING, "", .since = "0.1",
        .help = "host account of users whose line has no uid; empty: the account of the same name"),
    MORTISE_OPTION(struct file_options, plain, BOOL, "no", .since = "0.1",
        .help = "accept secrets in clear ({PLAIN}) in the file"),
    MORTISE_OPTION(struct file_options, group_readable, BOOL, "no", .since = "0.1",
        .help = "let the file's group read it (mode 0640), for auth.run_user"),
    MORTISE_OPTION(struct file_options, size_max, SIZE, "16M", .min = "1k", .max = "1G", .since = "0.1",
        .help = "larger files are refused"),
};

static struct table *table_of(struct mortise_call *call)
{
	struct mortise_instance *inst = call->instance;

	if (inst->state == NULL)
		inst->state = call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(struct table));
	return inst->state;
}

static char *copy_text(struct mortise_call *call, struct slice s)
{
	char *p = call->host->alloc(call, MORTISE_LIFE_CALL, s.n + 1);

	memcpy(p, s.p, s.n);
	return p;
}

static void fill_record(
    struct mortise_call *call, const struct entry *e, const struct fields *f, struct mortise_user *user)
{
	const struct file_options *o = call->instance->options;
	const char **list;
	size_t i;

	user->name = copy_text(call, e->user);
	user->has_ids = f->has_ids;
	if (f->has_ids) {
		user->uid = f->uid;
		user->gid = f->gid;
	} else if (o->account != NULL && o->account[0] != '\0') {
		user->account = o->account;
	}
	if (f->home.n > 0)
		user->home = copy_text(call, f->home);
	list = call->host->alloc(call, MORTISE_LIFE_CALL, (f->option_count + 1) * sizeof(*list));
	for (i = 0; i < f->option_count; i++)
		list[i] = copy_text(call, f->options[i]);
	user->options = list;
	user->option_count = f->option_count;
}

/* OK with the line taken apart, or why not. */
static int find_user(struct mortise_call *call, const struct table *t, const char *name,
    const struct entry **e, struct fields *f)
{
	const char *why;

	*e = table_find(t, name);
	if (*e == NULL)
		return MORTISE_AUTH_UNKNOWN;
	if ((*e)->refused || table_fields(*e, f, &why) != 0) {
		call->host->fault(call, MORTISE_E_INVALID, "line %u was refused", (unsigned)(*e)->line);
		return MORTISE_AUTH_DISABLED;
	}
	if (f->disabled) {
		call->host->fault(
		    call, MORTISE_E_PERM, "line %u: the account is disabled", (unsigned)(*e)->line);
		return MORTISE_AUTH_DISABLED;
	}
	return MORTISE_AUTH_OK;
}

static int file_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	const struct file_options *o = call->instance->options;
	struct table *t = table_of(call);
	struct slice secret = {NULL, 0};
	const struct entry *e;
	struct fields f;
	int r, right;

	if (table_refresh(call, t, o) != 0)
		return MORTISE_AUTH_TEMP;
	r = find_user(call, t, attempt->user, &e, &f);
	if (r == MORTISE_AUTH_OK && f.secret_count > 0)
		secret = f.secrets[0];
	else
		secret = table_any_secret(t);
	right = secret.p != NULL
	            ? secret_check(call, secret, attempt->password, attempt->password_size, o->plain)
	            : 0;
	if (r != MORTISE_AUTH_OK)
		return r;
	if (f.secret_count == 0)
		return MORTISE_AUTH_MISMATCH;
	if (right < 0) {
		call->host->fault(call, MORTISE_E_UNSUPPORTED, "line %u: the secret cannot be checked%s",
		    (unsigned)e->line,
		    secret_is_plain(secret) ? ": option plain is not set"
		                            : ": crypt(3) does not know the hash");
		return MORTISE_AUTH_DISABLED;
	}
	if (right == 0)
		return MORTISE_AUTH_MISMATCH;
	fill_record(call, e, &f, user);
	return MORTISE_AUTH_OK;
}

static int file_lookup(
    struct mortise_call *call, const char *name, uint32_t credential, struct mortise_user *record)
{
	const struct file_options *o = call->instance->options;
	struct table *t = table_of(call);
	const struct entry *e;
	struct fields f;
	size_t i;
	int r;

	if (table_refresh(call, t, o) != 0)
		return MORTISE_AUTH_TEMP;
	r = find_user(call, t, name, &e, &f);
	if (r != MORTISE_AUTH_OK)
		return r;
	fill_record(call, e, &f, record);
	for (i = 0; credential != 0 && i < f.secret_count; i++) {
		const char *text;

		if (secret_credential(call, f.secrets[i], o->plain, &text) == credential) {
			record->credential_kind = credential;
			record->credential = text;
			break;
		}
	}
	return MORTISE_AUTH_OK;
}

/* Once with the privileges of the start, so that a wrong path or mode is seen at once. */
static int file_prepare(struct mortise_call *call, struct mortise_instance *inst)
{
	(void)inst;
	if (table_refresh(call, table_of(call), call->instance->options) != 0)
		call->host->log(call, MORTISE_LOG_ERROR,
		    "[FILE-002] the password file cannot be used; logins are refused for now until it can");
	return 0;
}

static void file_stop(struct mortise_call *call, struct mortise_instance *inst)
{
	(void)call;
	if (inst->state != NULL)
		table_drop(inst->state);
}

static const struct mortise_lifecycle lifecycle = {
    .size = sizeof(lifecycle), .prepare = file_prepare, .stop = file_stop};

static const struct mortise_password_ops ops = {.size = sizeof(ops),
    .credentials = MORTISE_CREDENTIAL_VERIFY | MORTISE_CREDENTIAL_PLAIN | MORTISE_CREDENTIAL_SCRAM_SHA1 |
                   MORTISE_CREDENTIAL_SCRAM_SHA256,
    .verify = file_verify,
    .lookup = file_lookup};

MORTISE_MODULE(file, .kind = MORTISE_KIND_PASSWORD, .api_major = MORTISE_PASSWORD_MAJOR,
    .api_minor = MORTISE_PASSWORD_MINOR, .name = "file", .version = "0.1",
    .summary = "users and passwords in a passwd-like file", .licence = "Apache-2.0",
    .url = "https://mortise.example/", .options = options,
    .option_count = sizeof(options) / sizeof(options[0]), .instance_size = sizeof(struct file_options),
    .lifecycle = &lifecycle, .ops = &ops);
