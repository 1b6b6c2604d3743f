# modules/fail
module_LTLIBRARIES += modules/fail/fail.la
modules_fail_fail_la_SOURCES = modules/fail/fail.c modules/memory/keep.h modules/memory/keep.c
modules_fail_fail_la_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_fail_fail_la_LDFLAGS = $(MODULE_LDFLAGS)
MODULE_MANUALS += modules/fail/mortise-fail.5
EXTRA_DIST += modules/fail/mortise-fail.5.in

if HAVE_CMOCKA
check_PROGRAMS += modules/fail/test-fail
TESTS += modules/fail/test-fail
modules_fail_test_fail_SOURCES = modules/fail/test-fail.c modules/fail/fail.c modules/memory/keep.h modules/memory/keep.c modules/memory/test-drive.h
modules_fail_test_fail_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_fail_test_fail_LDADD = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) $(CMOCKA_LIBS)
endif
