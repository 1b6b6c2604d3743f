# authn/file
module_LTLIBRARIES += authn/file/file.la
authn_file_file_la_SOURCES = authn/file/file.c authn/file/table.h authn/file/table.c authn/file/secret.h authn/file/secret.c
authn_file_file_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_file_file_la_CFLAGS = $(AM_CFLAGS) $(OPENSSL_CFLAGS)
authn_file_file_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_file_file_la_LIBADD = $(OPENSSL_LIBS) $(CRYPT_LIBS)
