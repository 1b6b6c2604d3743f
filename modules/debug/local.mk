# modules/debug
module_LTLIBRARIES += modules/debug/debug.la
modules_debug_debug_la_SOURCES = modules/debug/debug.c modules/memory/keep.h modules/memory/keep.c
modules_debug_debug_la_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_debug_debug_la_LDFLAGS = $(MODULE_LDFLAGS)
