# core/module: see the essays at the head of its headers.
noinst_LIBRARIES += core/module/libmodule.a
core_module_libmodule_a_SOURCES = \
	core/module/module.h core/module/module_int.h \
	core/module/journal.h core/module/journal.c \
	core/module/host.c core/module/kind.c core/module/instance.c
