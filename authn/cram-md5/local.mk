# authn/cram-md5
module_LTLIBRARIES += authn/cram-md5/cram-md5.la
authn_cram_md5_cram_md5_la_SOURCES = authn/cram-md5/cram-md5.c
authn_cram_md5_cram_md5_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_cram_md5_cram_md5_la_LDFLAGS = $(MODULE_LDFLAGS)
MODULE_MANUALS += authn/cram-md5/mortise-cram-md5.5
EXTRA_DIST += authn/cram-md5/mortise-cram-md5.5.in

if HAVE_CMOCKA
check_PROGRAMS += authn/cram-md5/test-cram-md5
TESTS += authn/cram-md5/test-cram-md5
authn_cram_md5_test_cram_md5_SOURCES = authn/cram-md5/test-cram-md5.c authn/test-modules.h
authn_cram_md5_test_cram_md5_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
authn_cram_md5_test_cram_md5_LDADD = $(AUTHN_TEST_LIBS)
authn_cram_md5_test_cram_md5_DEPENDENCIES = $(AUTHN_TEST_ROOMS) authn/cram-md5/cram-md5.la authn/cyrus/cyrus.la
endif
