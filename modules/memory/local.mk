# modules/memory
module_LTLIBRARIES += modules/memory/memory.la
modules_memory_memory_la_SOURCES = modules/memory/memory.c modules/memory/keep.h modules/memory/keep.c
modules_memory_memory_la_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_memory_memory_la_LDFLAGS = $(MODULE_LDFLAGS)
MODULE_MANUALS += modules/memory/mortise-memory.5
EXTRA_DIST += modules/memory/mortise-memory.5.in

if HAVE_CMOCKA
check_PROGRAMS += modules/memory/test-memory
TESTS += modules/memory/test-memory
modules_memory_test_memory_SOURCES = modules/memory/test-memory.c modules/memory/memory.c modules/memory/keep.h modules/memory/keep.c modules/memory/test-drive.h
modules_memory_test_memory_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_memory_test_memory_LDADD = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) $(CMOCKA_LIBS)
endif
