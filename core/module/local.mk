# core/module: see the essays at the head of its headers.
noinst_LIBRARIES += core/module/libmodule.a
core_module_libmodule_a_SOURCES = \
	core/module/module.h core/module/module_int.h \
	core/module/journal.h core/module/journal.c \
	core/module/elf.h core/module/elf.c \
	core/module/host.c core/module/kind.c core/module/instance.c \
	core/module/descriptor.c core/module/loader.c core/module/probe.c \
	core/module/registry.c core/module/inspect.c

# A built-in module's archive is made into one object that shows its descriptor only, as the shared one does: names
# of two modules, or of a module and the core, then cannot meet.
%.inside: %.la
	$(AM_V_GEN)archive=$(*D)/.libs/$(*F).a && $(LD) -r -o $@.o --whole-archive $$archive && \
	$(OBJCOPY) --wildcard --keep-global-symbol='*_LTX_mortise_module' --keep-global-symbol='*_LTX_mortise_modules' \
		$@.o && rm -f $$archive && $(AR) cr $$archive $@.o && $(RANLIB) $$archive && rm -f $@.o && touch $@
CLEANFILES += $(BUILTIN_DEPS)

if HAVE_CMOCKA
MODULE_TESTS = core/module/test-journal core/module/test-host core/module/test-registry core/module/test-builtin
MODULE_TEST_LIBS = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(CMOCKA_LIBS) $(LIBCONFIG_LIBS) $(LTDL_LIBS) -ldl
check_PROGRAMS += $(MODULE_TESTS)
TESTS += $(MODULE_TESTS)
core_module_test_journal_SOURCES = core/module/test-journal.c
core_module_test_journal_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_module_test_journal_LDADD = $(MODULE_TEST_LIBS)
core_module_test_host_SOURCES = core/module/test-host.c
core_module_test_host_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_module_test_host_LDADD = $(MODULE_TEST_LIBS)
core_module_test_registry_SOURCES = core/module/test-registry.c
core_module_test_registry_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_module_test_registry_LDADD = $(MODULE_TEST_LIBS)
core_module_test_builtin_SOURCES = core/module/test-builtin.c
core_module_test_builtin_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_module_test_builtin_LDFLAGS = $(AM_LDFLAGS) -dlpreopen tests/modules/inside.la -dlpreopen tests/modules/inside-two.la
core_module_test_builtin_LDADD = $(MODULE_TEST_LIBS)
core_module_test_builtin_DEPENDENCIES = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a \
	core/base/libbase.a tests/modules/inside.la tests/modules/inside-two.la
endif
