# modules/unix: the traditional mailbox file.
UNIX_SOURCES = \
	modules/unix/unix.c \
	modules/unix/box.h modules/unix/box.c modules/unix/locate.c modules/unix/lock.c modules/unix/sync.c \
	modules/unix/rewrite.c modules/unix/change.c modules/unix/expunge.c modules/unix/mark.c modules/unix/torn.c modules/unix/append.h modules/unix/append.c \
	modules/unix/commit.c \
	modules/unix/scan.h modules/unix/scan.c modules/unix/from.h modules/unix/from.c \
	modules/unix/status.h modules/unix/status.c
module_LTLIBRARIES += modules/unix/unix.la
modules_unix_unix_la_SOURCES = $(UNIX_SOURCES)
modules_unix_unix_la_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_unix_unix_la_LDFLAGS = $(MODULE_LDFLAGS)
MODULE_MANUALS += modules/unix/mortise-unix.5
EXTRA_DIST += modules/unix/mortise-unix.5.in

if HAVE_CMOCKA
UNIX_TESTS = modules/unix/test-scan modules/unix/test-unix modules/unix/test-believe modules/unix/test-lock modules/unix/test-fault \
	modules/unix/test-store modules/unix/test-cursor modules/unix/test-expunge modules/unix/test-append
UNIX_TEST_LIBS = core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(CMOCKA_LIBS) $(LIBCONFIG_LIBS) $(LTDL_LIBS) -ldl
UNIX_TEST_SUPPORT = modules/unix/test-support.h modules/unix/test-support.c $(UNIX_SOURCES)
check_PROGRAMS += $(UNIX_TESTS)
TESTS += $(UNIX_TESTS)
modules_unix_test_scan_SOURCES = modules/unix/test-scan.c modules/unix/scan.h modules/unix/scan.c \
	modules/unix/from.h modules/unix/from.c modules/unix/status.h modules/unix/status.c
modules_unix_test_scan_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_unix_test_scan_LDADD = $(CMOCKA_LIBS)
modules_unix_test_unix_SOURCES = modules/unix/test-unix.c $(UNIX_TEST_SUPPORT)
modules_unix_test_unix_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_unix_test_unix_LDADD = $(UNIX_TEST_LIBS)
modules_unix_test_believe_SOURCES = modules/unix/test-believe.c $(UNIX_TEST_SUPPORT)
modules_unix_test_believe_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_unix_test_believe_LDADD = $(UNIX_TEST_LIBS)
modules_unix_test_store_SOURCES = modules/unix/test-store.c $(UNIX_SOURCES)
modules_unix_test_store_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_unix_test_store_LDFLAGS = -Wl,--wrap=pread64
modules_unix_test_store_LDADD = core/store/libstore.a core/search/libsearch.a core/mime/libmime.a \
	core/charset/libcharset.a $(UNIX_TEST_LIBS) $(UTF8PROC_LIBS) $(LMDB_LIBS) $(ACL_LIBS) $(OPENSSL_LIBS)
modules_unix_test_lock_SOURCES = modules/unix/test-lock.c $(UNIX_TEST_SUPPORT)
modules_unix_test_lock_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_unix_test_lock_LDADD = $(UNIX_TEST_LIBS)
modules_unix_test_expunge_SOURCES = modules/unix/test-expunge.c $(UNIX_TEST_SUPPORT)
modules_unix_test_expunge_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_unix_test_expunge_LDADD = $(UNIX_TEST_LIBS)
modules_unix_test_append_SOURCES = modules/unix/test-append.c $(UNIX_TEST_SUPPORT)
modules_unix_test_append_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_unix_test_append_LDADD = $(UNIX_TEST_LIBS)
# Counts what is read.
modules_unix_test_cursor_SOURCES = modules/unix/test-cursor.c $(UNIX_TEST_SUPPORT)
modules_unix_test_cursor_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_unix_test_cursor_LDFLAGS = -Wl,--wrap=pread64
modules_unix_test_cursor_LDADD = $(UNIX_TEST_LIBS)
modules_unix_test_fault_SOURCES = modules/unix/test-fault.c modules/test-faults.h modules/test-faults.c $(UNIX_TEST_SUPPORT)
modules_unix_test_fault_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) -I$(top_srcdir)/modules
modules_unix_test_fault_LDADD = $(UNIX_TEST_LIBS)

# The driver by hand, for tests/interop.
check_PROGRAMS += modules/unix/drive
modules_unix_drive_SOURCES = modules/unix/test-drive.c $(UNIX_TEST_SUPPORT)
modules_unix_drive_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
modules_unix_drive_LDADD = $(UNIX_TEST_LIBS) $(OPENSSL_LIBS)
endif

check_PROGRAMS += modules/unix/fuzz-scan
modules_unix_fuzz_scan_SOURCES = modules/unix/fuzz-scan.c modules/unix/scan.h modules/unix/scan.c \
	modules/unix/from.h modules/unix/from.c modules/unix/status.h modules/unix/status.c
modules_unix_fuzz_scan_LDFLAGS = $(FUZZ_LINK_FLAGS)
modules_unix_fuzz_scan_LDADD = $(FUZZ_MAIN) core/base/libbase.a
if !FUZZERS
TESTS += modules/unix/fuzz-scan
endif
