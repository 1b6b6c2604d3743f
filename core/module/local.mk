# core/module: see the essays at the head of its headers.
noinst_LIBRARIES += core/module/libmodule.a
core_module_libmodule_a_SOURCES = \
	core/module/module.h core/module/module_int.h \
	core/module/journal.h core/module/journal.c \
	core/module/elf.h core/module/elf.c \
	core/module/host.c core/module/kind.c core/module/instance.c \
	core/module/descriptor.c core/module/loader.c core/module/probe.c \
	core/module/registry.c core/module/inspect.c

if HAVE_CMOCKA
check_PROGRAMS += core/module/test-journal core/module/test-registry
TESTS += core/module/test-journal core/module/test-registry
core_module_test_journal_SOURCES = core/module/test-journal.c
core_module_test_journal_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_module_test_journal_LDADD = core/module/libmodule.a core/log/liblog.a core/base/libbase.a $(CMOCKA_LIBS)
core_module_test_registry_SOURCES = core/module/test-registry.c
core_module_test_registry_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_module_test_registry_LDADD = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(CMOCKA_LIBS) $(LIBCONFIG_LIBS) $(LTDL_LIBS) -ldl
endif
