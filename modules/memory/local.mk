# modules/memory
module_LTLIBRARIES += modules/memory/memory.la
modules_memory_memory_la_SOURCES = modules/memory/memory.c modules/memory/keep.h modules/memory/keep.c
modules_memory_memory_la_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_memory_memory_la_LDFLAGS = $(MODULE_LDFLAGS)
