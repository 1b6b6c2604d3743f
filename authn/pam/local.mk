# authn/pam
EXTRA_DIST += authn/pam/mortise-pam.5.in
if HAVE_PAM
module_LTLIBRARIES += authn/pam/pam.la
authn_pam_pam_la_SOURCES = authn/pam/pam.c
authn_pam_pam_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_pam_pam_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_pam_pam_la_LIBADD = $(PAM_LIBS)
MODULE_MANUALS += authn/pam/mortise-pam.5

if HAVE_CMOCKA
check_LTLIBRARIES += authn/pam/test-evil.la
authn_pam_test_evil_la_SOURCES = authn/pam/test-evil.c
authn_pam_test_evil_la_LDFLAGS = -module -avoid-version -shared -rpath /nowhere
authn_pam_test_evil_la_LIBADD = $(PAM_LIBS)

check_PROGRAMS += authn/pam/test-pam
TESTS += authn/pam/test-pam
authn_pam_test_pam_SOURCES = authn/pam/test-pam.c authn/test-modules.h
authn_pam_test_pam_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
authn_pam_test_pam_LDADD = $(AUTHN_TEST_LIBS)
authn_pam_test_pam_DEPENDENCIES = $(AUTHN_TEST_ROOMS) authn/pam/pam.la authn/pam/test-evil.la authn/cyrus/cyrus.la
endif
endif
