# modules/debug
module_LTLIBRARIES += modules/debug/debug.la
modules_debug_debug_la_SOURCES = modules/debug/debug.c modules/memory/keep.h modules/memory/keep.c
modules_debug_debug_la_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_debug_debug_la_LDFLAGS = $(MODULE_LDFLAGS)
MODULE_MANUALS += modules/debug/mortise-debug.5
EXTRA_DIST += modules/debug/mortise-debug.5.in

if HAVE_CMOCKA
check_PROGRAMS += modules/debug/test-debug
TESTS += modules/debug/test-debug
modules_debug_test_debug_SOURCES = modules/debug/test-debug.c modules/debug/debug.c modules/memory/keep.h modules/memory/keep.c modules/memory/test-drive.h
modules_debug_test_debug_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_debug_test_debug_LDADD = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) $(CMOCKA_LIBS)
endif
