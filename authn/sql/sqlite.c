#include "sql.h"

#include <string.h>

#include <sqlite3.h>

struct connection {
	sqlite3 *db;
	sqlite3_stmt *query;
};

static const struct sql_options *options_of(const struct mortise_call *call)
{
	return call->instance->options;
}

static int sqlite_fault(struct mortise_call *call, sqlite3 *db, const char *what, int code)
{
	return call->host->fault(call, MORTISE_E_UNAVAILABLE, "%s %s: %s", what, options_of(call)->file,
	    db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(code));
}

static void sqlite_close_connection(void *p)
{
	struct connection *c = p;

	if (c == NULL)
		return;
	sqlite3_finalize(c->query);
	sqlite3_close(c->db);
	*c = (struct connection){NULL, NULL};
}

/* Stops a query that goes on too long: called every so many steps of it. */
static int is_late(void *arg)
{
	struct mortise_call *call = arg;

	return call->host->should_stop(call) != 0;
}

static int sqlite_open_connection(struct mortise_call *call, struct connection **out)
{
	const struct sql_options *o = options_of(call);
	struct connection *c = call->host->alloc(call, MORTISE_LIFE_INSTANCE, sizeof(*c));
	int r = sqlite3_open_v2(o->file, &c->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

	*out = c;
	if (r != SQLITE_OK)
		return sqlite_fault(call, c->db, "opening", r);
	sqlite3_limit(c->db, SQLITE_LIMIT_ATTACHED, 0);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	r = sqlite3_prepare_v3(c->db, o->query, -1, SQLITE_PREPARE_PERSISTENT, &c->query, NULL);
	if (r != SQLITE_OK || c->query == NULL)
		return sqlite_fault(call, c->db, "the query cannot be prepared in", r);
	if (!sqlite3_stmt_readonly(c->query) || sqlite3_bind_parameter_count(c->query) > (int)PARAMETERS_MAX)
		return call->host->fault(
		    call, MORTISE_E_INVALID, "the query must only read, and have three parameters at most");
	return 0;
}

static int take_row(struct mortise_call *call, sqlite3_stmt *query, struct rows *out)
{
	int count = sqlite3_column_count(query), i;

	for (i = 0; i < count && out->columns < COLUMNS_MAX; i++) {
		const char *text = (const char *)sqlite3_column_text(query, i);
		const char *name = sqlite3_column_name(query, i);

		if (text != NULL)
			text = sql_value(call, text, (size_t)sqlite3_column_bytes(query, i));
		if (text == NULL && sqlite3_column_type(query, i) != SQLITE_NULL)
			return -1;
		out->names[out->columns] =
		    call->host->print(call, MORTISE_LIFE_CALL, "%s", name != NULL ? name : "");
		out->values[out->columns++] = text;
	}
	return 0;
}

/* "$2" and "?2" are the second one; for SQLite "$2" is a name like any other. */
static size_t parameter_number(sqlite3_stmt *query, int place)
{
	const char *name = sqlite3_bind_parameter_name(query, place + 1);

	if (name != NULL && name[1] >= '1' && name[1] < '1' + (int)PARAMETERS_MAX && name[2] == '\0')
		return (size_t)(name[1] - '1');
	return (size_t)place < PARAMETERS_MAX ? (size_t)place : 0;
}

static int run_query(
    struct mortise_call *call, struct connection *c, const char *const parameters[], struct rows *out)
{
	int count = sqlite3_bind_parameter_count(c->query), i, r = SQLITE_OK;

	sqlite3_busy_timeout(c->db, (int)sql_patience(call));
	sqlite3_progress_handler(c->db, 10000, is_late, call);
	for (i = 0; i < count && r == SQLITE_OK; i++)
		r = sqlite3_bind_text(
		    c->query, i + 1, parameters[parameter_number(c->query, i)], -1, SQLITE_STATIC);
	while (r == SQLITE_OK && out->count < 2) {
		r = sqlite3_step(c->query);
		if (r != SQLITE_ROW)
			break;
		if (out->count++ == 0 && take_row(call, c->query, out) != 0)
			return -1;
		r = SQLITE_OK;
	}
	if (r != SQLITE_OK && r != SQLITE_DONE)
		return sqlite_fault(call, c->db, "asking", r);
	return 0;
}

static int sqlite_ask(struct mortise_call *call, void **connection,
    const char *const parameters[PARAMETERS_MAX], struct rows *out)
{
	struct connection *c = *connection;
	int r = 0;

	if (c == NULL || c->db == NULL) {
		r = sqlite_open_connection(call, &c);
		*connection = c;
	}
	if (r == 0)
		r = run_query(call, c, parameters, out);
	if (c->query != NULL) {
		sqlite3_reset(c->query);
		sqlite3_clear_bindings(c->query);
		sqlite3_progress_handler(c->db, 0, NULL, NULL);
	}
	if (r != 0) {
		sqlite_close_connection(c);
		*connection = NULL;
	}
	return r;
}

const struct database sql_sqlite = {.ask = sqlite_ask, .close = sqlite_close_connection};
