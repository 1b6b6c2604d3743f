#include "sql.h"

#include <poll.h>
#include <string.h>

#include <libpq-fe.h>

static const struct sql_options *options_of(const struct mortise_call *call)
{
	return call->instance->options;
}

static int server_fault(struct mortise_call *call, PGconn *c, const char *what)
{
	const char *text = c != NULL ? PQerrorMessage(c) : "";

	return call->host->fault(
	    call, MORTISE_E_UNAVAILABLE, "%s: %.*s", what, (int)strcspn(text, "\n"), text);
}

static void close_connection(void *c)
{
	PQfinish(c);
}

/* poll(2) events for what libpq waits for, until the deadline: 0, or a code with the fault recorded. */
static int wait_for(struct mortise_call *call, PGconn *c, short events, uint64_t deadline)
{
	if (call->host->wait_fd(call, PQsocket(c), events, deadline) == 1)
		return 0;
	return call->host->fault(call, MORTISE_E_TEMP, "the database does not answer");
}

static int connect_server(struct mortise_call *call, uint64_t deadline, PGconn **out)
{
	const struct sql_options *o = options_of(call);
	char *password = call->host->print(
	    call, MORTISE_LIFE_SECRET, "%.*s", (int)o->password.size, (const char *)o->password.data);
	/* The first one is a connection string and is expanded; the others add to it. */
	const char *keys[] = {"dbname", "fallback_application_name", "client_encoding",
	    o->password.size > 0 ? "password" : NULL, NULL};
	const char *values[] = {o->connection, "mortise", "UTF8", password, NULL};
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	PGconn *c = *out = PQconnectStartParams(keys, values, 1);
	int r = 0;

	if (c == NULL || PQstatus(c) == CONNECTION_BAD)
		return server_fault(call, c, "connecting to the database");
	while (r == 0 && state != PGRES_POLLING_OK) {
		r = wait_for(call, c, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline);
		if (r == 0)
			state = PQconnectPoll(c);
		if (r == 0 && state == PGRES_POLLING_FAILED)
			return server_fault(call, c, "connecting to the database");
	}
	if (r == 0 && PQsetnonblocking(c, 1) != 0)
		r = server_fault(call, c, "connecting to the database");
	return r;
}

/* Sends what is to be sent and waits for one result; NULL with the fault recorded. */
static PGresult *receive(struct mortise_call *call, PGconn *c, uint64_t deadline)
{
	PGresult *first = NULL, *next;
	int left;

	while ((left = PQflush(c)) == 1)
		if (wait_for(call, c, POLLOUT, deadline) != 0)
			return NULL;
	for (;;) {
		while (left == 0 && PQisBusy(c)) {
			if (wait_for(call, c, POLLIN, deadline) != 0) {
				PQclear(first);
				return NULL;
			}
			left = PQconsumeInput(c) == 1 ? 0 : -1;
		}
		if (left != 0 || (next = PQgetResult(c)) == NULL)
			break;
		PQclear(first);
		first = next;
	}
	if (left == 0 && first != NULL)
		return first;
	PQclear(first);
	server_fault(call, c, "asking the database");
	return NULL;
}

static int take_rows(struct mortise_call *call, const PGresult *result, struct rows *out)
{
	int count = PQnfields(result), i;

	out->count = PQntuples(result) > 1 ? 2 : (size_t)PQntuples(result);
	for (i = 0; out->count > 0 && i < count && out->columns < COLUMNS_MAX; i++) {
		const char *text = NULL;

		if (!PQgetisnull(result, 0, i)) {
			text = sql_value(call, PQgetvalue(result, 0, i), (size_t)PQgetlength(result, 0, i));
			if (text == NULL)
				return -1;
		}
		out->names[out->columns] =
		    call->host->print(call, MORTISE_LIFE_CALL, "%s", PQfname(result, i));
		out->values[out->columns++] = text;
	}
	return 0;
}

/* How many of $1, $2, $3 the query has: PostgreSQL wants as many, neither more nor fewer. */
static int parameters_in(const char *query)
{
	int n = 0;

	for (; *query != '\0'; query++)
		if (query[0] == '$' && query[1] > '0' + n && query[1] <= '0' + (int)PARAMETERS_MAX)
			n = query[1] - '0';
	return n;
}

static int run_query(
    struct mortise_call *call, PGconn *c, const char *const parameters[], uint64_t deadline, struct rows *out)
{
	const char *query = options_of(call)->query;
	PGresult *result;
	int r = -1;

	if (PQsendQueryParams(c, query, parameters_in(query), NULL, parameters, NULL, NULL, 0) != 1)
		return server_fault(call, c, "asking the database");
	result = receive(call, c, deadline);
	if (result == NULL)
		return -1;
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		r = take_rows(call, result, out);
	else
		server_fault(call, c, "the database does not take the query");
	PQclear(result);
	return r;
}

static int postgresql_ask(struct mortise_call *call, void **connection,
    const char *const parameters[PARAMETERS_MAX], struct rows *out)
{
	uint64_t deadline = call->host->now(call) + sql_patience(call);
	PGconn *c = *connection;
	int r = 0;

	*connection = NULL;
	/* What a server that has gone away meanwhile leaves behind is seen before the question is lost on it.
	 */
	if (c != NULL && (PQconsumeInput(c) != 1 || PQstatus(c) != CONNECTION_OK)) {
		PQfinish(c);
		c = NULL;
	}
	if (c == NULL)
		r = connect_server(call, deadline, &c);
	if (r == 0)
		r = run_query(call, c, parameters, deadline, out);
	if (r == 0)
		*connection = c;
	else
		PQfinish(c);
	return r;
}

const struct database sql_postgresql = {.ask = postgresql_ask, .close = close_connection};
