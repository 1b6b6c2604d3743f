# authn/sql
EXTRA_DIST += authn/sql/mortise-sql.5.in authn/sql/sqlite.c authn/sql/postgresql.c
if HAVE_SQL
module_LTLIBRARIES += authn/sql/sql.la
authn_sql_sql_la_SOURCES = authn/sql/sql.c authn/number.h authn/sql/sql.h authn/secret.h authn/secret.c
if HAVE_SQLITE
authn_sql_sql_la_SOURCES += authn/sql/sqlite.c
endif
if HAVE_POSTGRESQL
authn_sql_sql_la_SOURCES += authn/sql/postgresql.c
endif
authn_sql_sql_la_CPPFLAGS = $(MODULE_CPPFLAGS) $(SQL_CPPFLAGS)
authn_sql_sql_la_CFLAGS = $(AM_CFLAGS) $(OPENSSL_CFLAGS) $(SQLITE_CFLAGS) $(POSTGRESQL_CFLAGS)
authn_sql_sql_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_sql_sql_la_LIBADD = $(SQLITE_LIBS) $(POSTGRESQL_LIBS) $(OPENSSL_LIBS) $(CRYPT_LIBS)
MODULE_MANUALS += authn/sql/mortise-sql.5
endif
