/*
 * sql.h: inside the sql backend: what sql.c wants of a database, and who can do it.
 */
#ifndef MORTISE_AUTHN_SQL_H
#define MORTISE_AUTHN_SQL_H

#include <mortise/password.h>

#define PARAMETERS_MAX 3u /* the user name, its local part, its domain */
#define COLUMNS_MAX 64u
#define VALUE_MAX 8192u /* octets of a column that is used */

enum database_type { DATABASE_SQLITE, DATABASE_POSTGRESQL };

struct sql_options {
	int database;
	const char *file, *connection;
	struct mortise_secret password;
	const char *query, *account;
	bool plain;
	uint64_t timeout;
};

/* What a query found. Names and values live in the call; a value is NULL for SQL's NULL. */
struct rows {
	size_t count; /* 0, 1, or 2 for more */
	size_t columns;
	const char *names[COLUMNS_MAX], *values[COLUMNS_MAX]; /* of the first row */
};

/*
 * One database. `connection` is NULL or what `ask` left there; it is kept for the next question and is set to
 * NULL after every fault. ask: 0, or a code with the fault recorded. A connection that broke since the last
 * question is made anew and asked once more.
 */
struct database {
	int (*ask)(struct mortise_call *call, void **connection, const char *const parameters[PARAMETERS_MAX],
	    struct rows *out);
	void (*close)(void *connection);
};

extern const struct database sql_sqlite, sql_postgresql;

/* How long one answer may take yet, in ms, from the option and the call's deadline; at least 1. */
uint64_t sql_patience(struct mortise_call *call);
/* A value as it is kept; NULL (and a fault) when it is too long or holds a NUL. */
const char *sql_value(struct mortise_call *call, const char *text, size_t size);

#endif
