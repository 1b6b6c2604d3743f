# authn/file
module_LTLIBRARIES += authn/file/file.la
authn_file_file_la_SOURCES = authn/file/file.c authn/file/table.h authn/file/table.c authn/secret.h authn/secret.c
authn_file_file_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_file_file_la_CFLAGS = $(AM_CFLAGS) $(OPENSSL_CFLAGS)
authn_file_file_la_LDFLAGS = $(MODULE_LDFLAGS)
authn_file_file_la_LIBADD = $(OPENSSL_LIBS) $(CRYPT_LIBS)
MODULE_MANUALS += authn/file/mortise-file.5
EXTRA_DIST += authn/file/mortise-file.5.in

if HAVE_CMOCKA
check_PROGRAMS += authn/file/test-file
TESTS += authn/file/test-file
authn_file_test_file_SOURCES = authn/file/test-file.c authn/test-modules.h
authn_file_test_file_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
authn_file_test_file_LDADD = $(AUTHN_TEST_LIBS) $(CRYPT_LIBS)
authn_file_test_file_DEPENDENCIES = $(AUTHN_TEST_ROOMS) authn/file/file.la core/tools/mortise-passwd
endif

check_PROGRAMS += authn/file/fuzz-passwd
authn_file_fuzz_passwd_SOURCES = authn/file/fuzz-passwd.c authn/file/table.h authn/file/table.c authn/secret.h \
	authn/secret.c
authn_file_fuzz_passwd_LDFLAGS = $(FUZZ_LINK_FLAGS)
authn_file_fuzz_passwd_LDADD = $(FUZZ_MAIN) core/base/libbase.a $(OPENSSL_LIBS) $(CRYPT_LIBS)
if !FUZZERS
TESTS += authn/file/fuzz-passwd
endif
