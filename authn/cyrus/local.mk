# authn/cyrus
module_LTLIBRARIES += authn/cyrus/cyrus.la
authn_cyrus_cyrus_la_SOURCES = authn/cyrus/cyrus.c authn/cyrus/cyrus.h authn/cyrus/library.c authn/cyrus/secret.c
authn_cyrus_cyrus_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_cyrus_cyrus_la_CFLAGS = $(AM_CFLAGS) $(SASL_CFLAGS) $(OPENSSL_CFLAGS)
authn_cyrus_cyrus_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_cyrus_cyrus_la_LIBADD = $(SASL_LIBS) $(OPENSSL_LIBS)
MODULE_MANUALS += authn/cyrus/mortise-cyrus.5
EXTRA_DIST += authn/cyrus/mortise-cyrus.5.in

if HAVE_CMOCKA
check_PROGRAMS += authn/cyrus/test-cyrus
TESTS += authn/cyrus/test-cyrus
authn_cyrus_test_cyrus_SOURCES = authn/cyrus/test-cyrus.c authn/test-modules.h
authn_cyrus_test_cyrus_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
authn_cyrus_test_cyrus_LDADD = $(AUTHN_TEST_LIBS)
authn_cyrus_test_cyrus_DEPENDENCIES = $(AUTHN_TEST_ROOMS) authn/cyrus/cyrus.la authn/file/file.la

check_PROGRAMS += authn/cyrus/test-mechanisms
TESTS += authn/cyrus/test-mechanisms
authn_cyrus_test_mechanisms_SOURCES = authn/cyrus/test-mechanisms.c authn/test-modules.h
authn_cyrus_test_mechanisms_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(SASL_CFLAGS)
authn_cyrus_test_mechanisms_LDADD = $(AUTHN_TEST_LIBS) $(SASL_LIBS)
authn_cyrus_test_mechanisms_DEPENDENCIES = $(AUTHN_TEST_ROOMS) authn/cyrus/cyrus.la authn/file/file.la
endif
