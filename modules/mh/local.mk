# modules/mh: directories of numbered files, shared with nmh and mutt.
MH_SOURCES = \
	modules/mh/mh.c modules/mh/box.h modules/mh/sequence.c modules/mh/lock.c modules/mh/scan.c modules/mh/batch.c \
	modules/mh/append.c modules/mh/change.c modules/mh/folder.c
module_LTLIBRARIES += modules/mh/mh.la
modules_mh_mh_la_SOURCES = $(MH_SOURCES)
modules_mh_mh_la_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_mh_mh_la_LDFLAGS = $(MODULE_LDFLAGS)
MODULE_MANUALS += modules/mh/mortise-mh.5
EXTRA_DIST += modules/mh/mortise-mh.5.in

if HAVE_CMOCKA
check_PROGRAMS += modules/mh/test-mh
TESTS += modules/mh/test-mh
modules_mh_test_mh_SOURCES = modules/mh/test-mh.c modules/memory/test-drive.h $(MH_SOURCES)
modules_mh_test_mh_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_mh_test_mh_LDADD = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) $(CMOCKA_LIBS)
endif

check_PROGRAMS += modules/mh/fuzz-sequences
modules_mh_fuzz_sequences_SOURCES = modules/mh/fuzz-sequences.c modules/mh/box.h modules/mh/sequence.c
modules_mh_fuzz_sequences_LDFLAGS = $(FUZZ_LINK_FLAGS)
modules_mh_fuzz_sequences_LDADD = $(FUZZ_MAIN) core/base/libbase.a
if !FUZZERS
TESTS += modules/mh/fuzz-sequences
endif
