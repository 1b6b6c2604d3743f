# tests/storage: mailboxes under bad circumstances.
if HAVE_CMOCKA
FAULT_WRAPS = -Wl,--wrap=pwrite64,--wrap=write,--wrap=ftruncate64,--wrap=fallocate64,--wrap=posix_fallocate64 \
	-Wl,--wrap=fsync,--wrap=fdatasync,--wrap=linkat,--wrap=unlinkat,--wrap=renameat,--wrap=renameat2,--wrap=mkdirat,--wrap=openat64 \
	-Wl,--wrap=memfd_create,--wrap=futimens,--wrap=copy_file_range,--wrap=io_sync_all
CRASH_SOURCES = tests/storage/crash.h tests/storage/crash.c tests/storage/crash-world.c tests/storage/crash-do.c \
	tests/storage/crash-power.c tests/storage/crash-tree.c tests/storage/faults.h tests/storage/faults.c
CRASH_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/storage
CRASH_LDADD = \
	core/store/libstore.a core/search/libsearch.a core/mime/libmime.a core/charset/libcharset.a \
	core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) $(UTF8PROC_LIBS) $(LMDB_LIBS) $(ACL_LIBS) $(OPENSSL_LIBS)
CRASH_TESTS = tests/storage/crash tests/storage/crash-mbx tests/storage/crash-maildir tests/storage/crash-mh
check_PROGRAMS += $(CRASH_TESTS)
TESTS += $(CRASH_TESTS)
tests_storage_crash_SOURCES = $(CRASH_SOURCES) tests/storage/crash-unix.c $(UNIX_SOURCES)
tests_storage_crash_CPPFLAGS = $(CRASH_CPPFLAGS)
tests_storage_crash_LDFLAGS = $(FAULT_WRAPS)
tests_storage_crash_LDADD = $(CRASH_LDADD)
tests_storage_crash_mbx_SOURCES = $(CRASH_SOURCES) tests/storage/crash-mbx.c $(MBX_SOURCES)
tests_storage_crash_mbx_CPPFLAGS = $(CRASH_CPPFLAGS)
tests_storage_crash_mbx_LDFLAGS = $(FAULT_WRAPS)
tests_storage_crash_mbx_LDADD = $(CRASH_LDADD)
tests_storage_crash_maildir_SOURCES = $(CRASH_SOURCES) tests/storage/crash-maildir.c $(MAILDIR_SOURCES)
tests_storage_crash_maildir_CPPFLAGS = $(CRASH_CPPFLAGS)
tests_storage_crash_maildir_LDFLAGS = $(FAULT_WRAPS)
tests_storage_crash_maildir_LDADD = $(CRASH_LDADD)
tests_storage_crash_mh_SOURCES = $(CRASH_SOURCES) tests/storage/crash-mh.c $(MH_SOURCES)
tests_storage_crash_mh_CPPFLAGS = $(CRASH_CPPFLAGS)
tests_storage_crash_mh_LDFLAGS = $(FAULT_WRAPS)
tests_storage_crash_mh_LDADD = $(CRASH_LDADD)

check_PROGRAMS += tests/storage/test-convert
TESTS += tests/storage/test-convert
tests_storage_test_convert_SOURCES = tests/storage/test-convert.c $(UNIX_SOURCES) $(MBX_SOURCES) $(MAILDIR_SOURCES) \
	$(MH_SOURCES)
tests_storage_test_convert_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_storage_test_convert_LDADD = $(CRASH_LDADD) $(CMOCKA_LIBS)
endif
