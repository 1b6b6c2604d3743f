# authn/passwd
module_LTLIBRARIES += authn/passwd/passwd.la
authn_passwd_passwd_la_SOURCES = authn/passwd/passwd.c
authn_passwd_passwd_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_passwd_passwd_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_passwd_passwd_la_LIBADD = $(CRYPT_LIBS)
MODULE_MANUALS += authn/passwd/mortise-passwd.5
EXTRA_DIST += authn/passwd/mortise-passwd.5.in

if HAVE_CMOCKA
check_PROGRAMS += authn/passwd/test-passwd
TESTS += authn/passwd/test-passwd
authn_passwd_test_passwd_SOURCES = authn/passwd/test-passwd.c authn/test-modules.h
authn_passwd_test_passwd_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
authn_passwd_test_passwd_LDADD = $(AUTHN_TEST_LIBS) $(CRYPT_LIBS)
authn_passwd_test_passwd_DEPENDENCIES = $(AUTHN_TEST_ROOMS) authn/passwd/passwd.la
endif
