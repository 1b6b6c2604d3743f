# core/conf: see the essays at the head of its headers.
noinst_LIBRARIES += core/conf/libconf.a
core_conf_libconf_a_CPPFLAGS = $(AM_CPPFLAGS) $(LIBCONFIG_CFLAGS)
core_conf_libconf_a_SOURCES = \
	core/conf/conf.h core/conf/conf_int.h \
	core/conf/report.c core/conf/scan.c core/conf/load.c core/conf/value.c core/conf/secret.c core/conf/fill.c \
	core/conf/seal.c core/conf/log_options.h core/conf/log_options.c \
	core/conf/mdoc.h core/conf/describe.c core/conf/table.c core/conf/dump.c \
	core/conf/manual.h core/conf/manual.c core/conf/commands.h core/conf/commands.c

if HAVE_CMOCKA
check_PROGRAMS += core/conf/test-conf
TESTS += core/conf/test-conf
core_conf_test_conf_SOURCES = core/conf/test-conf.c
core_conf_test_conf_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_conf_test_conf_LDADD = core/conf/libconf.a core/log/liblog.a core/base/libbase.a $(LIBCONFIG_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += core/conf/test-conf-files
TESTS += core/conf/test-conf-files
core_conf_test_conf_files_SOURCES = core/conf/test-conf-files.c
core_conf_test_conf_files_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_conf_test_conf_files_LDADD = core/conf/libconf.a core/log/liblog.a core/base/libbase.a $(LIBCONFIG_LIBS) $(CMOCKA_LIBS)
endif

check_PROGRAMS += core/conf/fuzz-conf
core_conf_fuzz_conf_SOURCES = core/conf/fuzz-conf.c
core_conf_fuzz_conf_LDADD = $(FUZZ_MAIN) core/conf/libconf.a core/log/liblog.a core/base/libbase.a $(LIBCONFIG_LIBS)
core_conf_fuzz_conf_LDFLAGS = $(FUZZ_LINK_FLAGS)
if !FUZZERS
TESTS += core/conf/fuzz-conf
endif
