# modules/fail
module_LTLIBRARIES += modules/fail/fail.la
modules_fail_fail_la_SOURCES = modules/fail/fail.c modules/memory/keep.h modules/memory/keep.c
modules_fail_fail_la_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_fail_fail_la_LDFLAGS = $(MODULE_LDFLAGS)
