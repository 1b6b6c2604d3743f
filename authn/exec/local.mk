# authn/exec
module_LTLIBRARIES += authn/exec/exec.la
authn_exec_exec_la_SOURCES = authn/exec/exec.c authn/number.h
authn_exec_exec_la_CPPFLAGS = $(MODULE_CPPFLAGS)
authn_exec_exec_la_LDFLAGS = $(MODULE_LDFLAGS)
MODULE_MANUALS += authn/exec/mortise-exec.5
EXTRA_DIST += authn/exec/mortise-exec.5.in

if HAVE_CMOCKA
check_PROGRAMS += authn/exec/test-exec
TESTS += authn/exec/test-exec
authn_exec_test_exec_SOURCES = authn/exec/test-exec.c authn/test-modules.h
authn_exec_test_exec_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
authn_exec_test_exec_LDADD = $(AUTHN_TEST_LIBS)
authn_exec_test_exec_DEPENDENCIES = $(AUTHN_TEST_ROOMS) authn/exec/exec.la
endif
