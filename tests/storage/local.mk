# tests/storage: mailboxes under bad circumstances.
if HAVE_CMOCKA
FAULT_WRAPS = -Wl,--wrap=pwrite64,--wrap=write,--wrap=ftruncate64,--wrap=fallocate64,--wrap=posix_fallocate64 \
	-Wl,--wrap=fsync,--wrap=fdatasync,--wrap=linkat,--wrap=unlinkat,--wrap=renameat,--wrap=openat64 \
	-Wl,--wrap=memfd_create,--wrap=futimens
check_PROGRAMS += tests/storage/crash
TESTS += tests/storage/crash
tests_storage_crash_SOURCES = tests/storage/crash.c tests/storage/faults.h tests/storage/faults.c $(UNIX_SOURCES)
tests_storage_crash_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/storage
tests_storage_crash_LDFLAGS = $(FAULT_WRAPS)
tests_storage_crash_LDADD = \
	core/store/libstore.a core/search/libsearch.a core/mime/libmime.a core/charset/libcharset.a \
	core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) $(UTF8PROC_LIBS) $(LMDB_LIBS)
endif
