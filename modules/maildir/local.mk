# modules/maildir: directories with a file a message, shared with Dovecot.
MAILDIR_SOURCES = \
	modules/maildir/maildir.c modules/maildir/box.h modules/maildir/name.c modules/maildir/lock.c \
	modules/maildir/file.c modules/maildir/entry.c modules/maildir/list.c modules/maildir/keyword.c \
	modules/maildir/scan.c modules/maildir/sync.c modules/maildir/append.c modules/maildir/change.c \
	modules/maildir/directory.c modules/maildir/courier.c modules/maildir/quota.c modules/maildir/own.c
module_LTLIBRARIES += modules/maildir/maildir.la
modules_maildir_maildir_la_SOURCES = $(MAILDIR_SOURCES)
modules_maildir_maildir_la_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_maildir_maildir_la_LDFLAGS = $(MODULE_LDFLAGS)
MODULE_MANUALS += modules/maildir/mortise-maildir.5
EXTRA_DIST += modules/maildir/mortise-maildir.5.in

if HAVE_CMOCKA
check_PROGRAMS += modules/maildir/test-maildir
TESTS += modules/maildir/test-maildir
modules_maildir_test_maildir_SOURCES = modules/maildir/test-maildir.c modules/memory/test-drive.h $(MAILDIR_SOURCES)
modules_maildir_test_maildir_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_maildir_test_maildir_LDADD = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) $(CMOCKA_LIBS)
endif

check_PROGRAMS += modules/maildir/fuzz-maildir
modules_maildir_fuzz_maildir_SOURCES = modules/maildir/fuzz-maildir.c $(MAILDIR_SOURCES)
modules_maildir_fuzz_maildir_LDFLAGS = $(FUZZ_LINK_FLAGS)
modules_maildir_fuzz_maildir_LDADD = $(FUZZ_MAIN) core/base/libbase.a
if !FUZZERS
TESTS += modules/maildir/fuzz-maildir
endif
