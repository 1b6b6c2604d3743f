/*
 * sql: users and passwords in a database: SQLite or PostgreSQL.
 *
 * One query finds a user; its row says all that is to be known. What the query is given are parameters of a
 * prepared statement, never text pasted into it, so that no name and no password can be SQL (attack-044). The
 * query is the administrator's; its parameters are the user name, what is before its last '@' and what is
 * behind it, in this order, as many of them as it has: $1, $2, $3 with PostgreSQL, ?1, ?2, ?3 with SQLite.
 *
 * The columns of the row count by their names: password (a hash of crypt(3), "{SCRAM-SHA-256}…" or, with
 * option plain, the password itself behind "{PLAIN}"; NULL: no password is right), name, uid, gid, home,
 * account, disabled (true: may not log in), and every "option.NAME".
 *
 * A database that is down, slow, locked or that does not understand the query is "cannot say"; a name that
 * has two rows may not log in.
 */
#include "sql.h"

#include <string.h>
#include <strings.h>

#include "../number.h"
#include "../secret.h"

static const struct mortise_enum types[] = {
    {"sqlite", DATABASE_SQLITE}, {"postgresql", DATABASE_POSTGRESQL}, {NULL, 0}};

#define OPTION(field, kind, text, ...) MORTISE_OPTION(struct sql_options, field, kind, text, __VA_ARGS__)

static const struct mortise_option options[] = {
    OPTION(database, ENUM, "sqlite", .values = types, .since = "0.1", .help = "which database"),
    OPTION(file, PATH, "users.sqlite", .since = "0.1", .help = "SQLite: the file; it is only read"),
    OPTION(connection, STRING, "", .since = "0.1",
        .help = "PostgreSQL: a connection string, as host=127.0.0.1 dbname=mail user=mortise "
                "sslmode=verify-full"),
    OPTION(password, SECRET, NULL, .since = "0.1", .help = "PostgreSQL: the password of that user"),
    OPTION(query, STRING, "SELECT password, uid, gid, home FROM users WHERE name = $1", .since = "0.1",
        .help = "finds a user: one row; $1 is the name, $2 what is before its last @, $3 what is behind it"),
    OPTION(account, STRING, "", .since = "0.1",
        .help =
            "host account of users whose row has neither uid nor account; empty: the one of the same name"),
    OPTION(plain, BOOL, "no", .since = "0.1", .help = "accept passwords in clear ({PLAIN}) in the database"),
    OPTION(timeout, DURATION, "5s", .min = "100ms", .max = "10m", .since = "0.1",
        .help = "time for an answer of the database"),
};

struct state {
	void *connection;
};

static const struct sql_options *options_of(const struct mortise_call *call)
{
	return call->instance->options;
}

static const struct database *database_of(const struct sql_options *o)
{
#ifdef HAVE_SQLITE
	if (o->database == DATABASE_SQLITE)
		return &sql_sqlite;
#endif
#ifdef HAVE_POSTGRESQL
	if (o->database == DATABASE_POSTGRESQL)
		return &sql_postgresql;
#endif
	(void)o;
	return NULL;
}

static struct state *state_of(struct mortise_call *call)
{
	struct mortise_instance *inst = call->instance;

	if (inst->state == NULL)
		inst->state = call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(struct state));
	return inst->state;
}

uint64_t sql_patience(struct mortise_call *call)
{
	uint64_t ms = options_of(call)->timeout, deadline = call->host->deadline(call),
	         now = call->host->now(call);

	if (deadline != 0 && deadline <= now)
		return 1;
	return deadline != 0 && deadline - now < ms ? deadline - now : ms;
}

const char *sql_value(struct mortise_call *call, const char *text, size_t size)
{
	char *out;

	if (size > VALUE_MAX || memchr(text, '\0', size) != NULL) {
		call->host->fault(call, MORTISE_E_INVALID, "a value is too long or holds a NUL");
		return NULL;
	}
	out = call->host->alloc(call, MORTISE_LIFE_SECRET, size + 1);
	memcpy(out, text, size);
	return out;
}

/* ---- a row as a record ---- */

static const char *column(const struct rows *r, const char *name)
{
	size_t i;

	for (i = 0; i < r->columns; i++)
		if (strcasecmp(r->names[i], name) == 0)
			return r->values[i];
	return NULL;
}

static bool is_true(const char *text)
{
	static const char *const words[] = {"1", "t", "true", "y", "yes", "on"};
	size_t i;

	for (i = 0; text != NULL && i < sizeof(words) / sizeof(words[0]); i++)
		if (strcasecmp(text, words[i]) == 0)
			return true;
	return false;
}

static void take_options(struct mortise_call *call, const struct rows *r, struct mortise_user *user)
{
	const char **list = call->host->alloc(call, MORTISE_LIFE_CALL, COLUMNS_MAX * sizeof(*list));
	size_t i;

	for (i = 0; i < r->columns; i++)
		if (strncasecmp(r->names[i], "option.", 7) == 0 && r->values[i] != NULL)
			list[user->option_count++] = call->host->print(
			    call, MORTISE_LIFE_CALL, "%s=%s", r->names[i] + 7, r->values[i]);
	user->options = list;
}

/* OK, or DISABLED. */
static int take_record(struct mortise_call *call, const struct rows *r, struct mortise_user *user)
{
	const struct sql_options *o = options_of(call);
	const char *uid = column(r, "uid"), *gid = column(r, "gid");

	if (is_true(column(r, "disabled"))) {
		call->host->fault(call, MORTISE_E_PERM, "the row says disabled");
		return MORTISE_AUTH_DISABLED;
	}
	user->name = column(r, "name");
	user->home = column(r, "home");
	user->account = column(r, "account");
	take_options(call, r, user);
	if (user->account != NULL)
		return MORTISE_AUTH_OK;
	if (uid == NULL && gid == NULL) {
		user->account = o->account[0] != '\0' ? o->account : NULL;
		return MORTISE_AUTH_OK;
	}
	user->has_ids = true;
	if (number_of(uid, &user->uid) && number_of(gid, &user->gid))
		return MORTISE_AUTH_OK;
	call->host->fault(call, MORTISE_E_INVALID, "uid and gid of the row are not two numbers");
	return MORTISE_AUTH_DISABLED;
}

/* OK with the one row, UNKNOWN, DISABLED (several) or TEMP. */
static int find(struct mortise_call *call, const char *user, struct rows *r)
{
	const struct sql_options *o = options_of(call);
	const struct database *db = database_of(o);
	const char *at = strrchr(user, '@');
	const char *const parameters[PARAMETERS_MAX] = {user,
	    at != NULL ? call->host->print(call, MORTISE_LIFE_CALL, "%.*s", (int)(at - user), user) : user,
	    at != NULL ? at + 1 : ""};

	memset(r, 0, sizeof(*r));
	if (db->ask(call, &state_of(call)->connection, parameters, r) != 0)
		return MORTISE_AUTH_TEMP;
	if (r->count > 1) {
		call->host->fault(call, MORTISE_E_INVALID, "the query finds more than one row");
		return MORTISE_AUTH_DISABLED;
	}
	return r->count == 1 ? MORTISE_AUTH_OK : MORTISE_AUTH_UNKNOWN;
}

/* ---- the two questions ---- */

static int check_secret(struct mortise_call *call, const char *secret, const struct mortise_attempt *attempt)
{
	struct slice s = {secret, secret != NULL ? strlen(secret) : 0};
	int right;

	if (s.n == 0)
		return MORTISE_AUTH_MISMATCH;
	right = secret_check(call, s, attempt->password, attempt->password_size, options_of(call)->plain);
	if (right < 0) {
		call->host->fault(call, MORTISE_E_UNSUPPORTED, "the password in the row cannot be checked%s",
		    secret_is_plain(s) ? ": option plain is not set" : ": crypt(3) does not know the hash");
		return MORTISE_AUTH_DISABLED;
	}
	return right > 0 ? MORTISE_AUTH_OK : MORTISE_AUTH_MISMATCH;
}

/* A password of nobody costs what one of somebody does. */
static void check_for_nothing(struct mortise_call *call, const struct mortise_attempt *attempt)
{
	static const char nobody[] =
	    "$6$saltsaltsaltsalt$........................................................"
	    "..............................";
	struct slice s = {nobody, sizeof(nobody) - 1};

	(void)secret_check(call, s, attempt->password, attempt->password_size, options_of(call)->plain);
}

static int sql_verify(
    struct mortise_call *call, const struct mortise_attempt *attempt, struct mortise_user *user)
{
	struct rows rows;
	int r = find(call, attempt->user, &rows);

	if (r == MORTISE_AUTH_UNKNOWN)
		check_for_nothing(call, attempt);
	if (r == MORTISE_AUTH_OK)
		r = take_record(call, &rows, user);
	return r == MORTISE_AUTH_OK ? check_secret(call, column(&rows, "password"), attempt) : r;
}

static int sql_lookup(
    struct mortise_call *call, const char *name, uint32_t credential, struct mortise_user *record)
{
	struct rows rows;
	const char *secret, *text = NULL;
	int r = find(call, name, &rows);

	if (r == MORTISE_AUTH_OK)
		r = take_record(call, &rows, record);
	secret = r == MORTISE_AUTH_OK ? column(&rows, "password") : NULL;
	if (secret != NULL && credential != 0 &&
	    secret_credential(call, (struct slice){secret, strlen(secret)}, options_of(call)->plain, &text) ==
	        credential) {
		record->credential_kind = credential;
		record->credential = text;
	}
	return r;
}

static int sql_check(struct mortise_call *call, struct mortise_instance *inst)
{
	const struct sql_options *o = inst->options;

	if (database_of(o) == NULL)
		return call->host->fail(
		    call, MORTISE_E_UNSUPPORTED, "database: this module was built without that database");
	if (o->database == DATABASE_POSTGRESQL && o->connection[0] == '\0')
		return call->host->fail(call, MORTISE_E_INVALID, "connection: PostgreSQL needs one");
	return 0;
}

static void sql_stop(struct mortise_call *call, struct mortise_instance *inst)
{
	struct state *s = inst->state;

	(void)call;
	if (s == NULL)
		return;
	if (s->connection != NULL)
		database_of(inst->options)->close(s->connection);
	s->connection = NULL;
}

static const struct mortise_lifecycle lifecycle = {
    .size = sizeof(lifecycle), .check = sql_check, .stop = sql_stop};

static const struct mortise_password_ops ops = {.size = sizeof(ops),
    .credentials = MORTISE_CREDENTIAL_VERIFY | MORTISE_CREDENTIAL_PLAIN | MORTISE_CREDENTIAL_SCRAM_SHA1 |
                   MORTISE_CREDENTIAL_SCRAM_SHA256,
    .verify = sql_verify,
    .lookup = sql_lookup};

MORTISE_MODULE(sql, .kind = MORTISE_KIND_PASSWORD, .api_major = MORTISE_PASSWORD_MAJOR,
    .api_minor = MORTISE_PASSWORD_MINOR, .name = "sql", .version = "0.1",
    .summary = "a database: SQLite, PostgreSQL", .licence = "Apache-2.0", .url = "https://mortise.example/",
    .options = options, .option_count = sizeof(options) / sizeof(options[0]),
    .instance_size = sizeof(struct sql_options), .lifecycle = &lifecycle, .ops = &ops);
