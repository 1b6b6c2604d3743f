# modules/mbx: UW's shared mailbox file.
MBX_SOURCES = modules/mbx/mbx.c modules/mbx/box.h modules/mbx/box.c modules/mbx/header.c modules/mbx/record.c \
	modules/mbx/lock.c modules/mbx/line.c modules/mbx/scan.c modules/mbx/sync.c modules/mbx/change.c modules/mbx/compact.c modules/mbx/append.c
module_LTLIBRARIES += modules/mbx/mbx.la
modules_mbx_mbx_la_SOURCES = $(MBX_SOURCES)
modules_mbx_mbx_la_CPPFLAGS = $(MODULE_CPPFLAGS)
modules_mbx_mbx_la_LDFLAGS = $(MODULE_LDFLAGS)
MODULE_MANUALS += modules/mbx/mortise-mbx.5
EXTRA_DIST += modules/mbx/mortise-mbx.5.in

if HAVE_CMOCKA
# The unix driver's rig, about this one.
MBX_TEST_SUPPORT = modules/unix/test-support.h modules/unix/test-support.c $(MBX_SOURCES)
MBX_TEST_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) -DRIG_DRIVER=mbx -DRIG_LOCKS='"lock_directory"' \
	-DRIG_NEWLINE=MORTISE_NEWLINE_CRLF
MBX_TESTS = modules/mbx/test-mbx modules/mbx/test-copy modules/mbx/test-cursor modules/mbx/test-fault
check_PROGRAMS += $(MBX_TESTS) modules/mbx/drive
TESTS += $(MBX_TESTS)
modules_mbx_test_mbx_SOURCES = modules/mbx/test-mbx.c $(MBX_TEST_SUPPORT)
modules_mbx_test_mbx_CPPFLAGS = $(MBX_TEST_CPPFLAGS)
modules_mbx_test_mbx_LDFLAGS = -Wl,--wrap=lstat64
modules_mbx_test_mbx_LDADD = $(UNIX_TEST_LIBS)
modules_mbx_test_copy_SOURCES = modules/mbx/test-copy.c $(MBX_TEST_SUPPORT)
modules_mbx_test_copy_CPPFLAGS = $(MBX_TEST_CPPFLAGS)
modules_mbx_test_copy_LDADD = $(UNIX_TEST_LIBS)
modules_mbx_test_cursor_SOURCES = modules/mbx/test-cursor.c $(MBX_TEST_SUPPORT)
modules_mbx_test_cursor_CPPFLAGS = $(MBX_TEST_CPPFLAGS)
modules_mbx_test_cursor_LDFLAGS = -Wl,--wrap=pread64,--wrap=pwrite64,--wrap=fdatasync
modules_mbx_test_cursor_LDADD = $(UNIX_TEST_LIBS)
modules_mbx_test_fault_SOURCES = modules/mbx/test-fault.c modules/test-faults.h modules/test-faults.c $(MBX_TEST_SUPPORT)
modules_mbx_test_fault_CPPFLAGS = $(MBX_TEST_CPPFLAGS) -I$(top_srcdir)/modules
modules_mbx_test_fault_LDADD = $(UNIX_TEST_LIBS)

# The driver by hand, for tests/interop.
modules_mbx_drive_SOURCES = modules/unix/test-drive.c $(MBX_TEST_SUPPORT)
modules_mbx_drive_CPPFLAGS = $(MBX_TEST_CPPFLAGS)
modules_mbx_drive_LDADD = $(UNIX_TEST_LIBS) $(OPENSSL_LIBS)
endif
