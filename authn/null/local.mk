# authn/null
module_LTLIBRARIES += authn/null/null.la
authn_null_null_la_SOURCES = authn/null/null.c
authn_null_null_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_null_null_la_LDFLAGS = $(MODULE_LDFLAGS)
MODULE_MANUALS += authn/null/mortise-null.5
EXTRA_DIST += authn/null/mortise-null.5.in

if HAVE_CMOCKA
check_PROGRAMS += authn/null/test-null
TESTS += authn/null/test-null
authn_null_test_null_SOURCES = authn/null/test-null.c authn/test-modules.h
authn_null_test_null_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
authn_null_test_null_LDADD = $(AUTHN_TEST_LIBS)
authn_null_test_null_DEPENDENCIES = $(AUTHN_TEST_ROOMS) authn/null/null.la
endif
