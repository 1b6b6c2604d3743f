# authn/cyrus
module_LTLIBRARIES += authn/cyrus/cyrus.la
authn_cyrus_cyrus_la_SOURCES = authn/cyrus/cyrus.c
authn_cyrus_cyrus_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_cyrus_cyrus_la_CFLAGS = $(AM_CFLAGS) $(SASL_CFLAGS)
authn_cyrus_cyrus_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_cyrus_cyrus_la_LIBADD = $(SASL_LIBS)
