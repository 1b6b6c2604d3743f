# core/store: see the essays at the head of its headers.
noinst_LIBRARIES += core/store/libstore.a
core_store_libstore_a_SOURCES = \
	core/store/store.h core/store/store_int.h core/store/store.c \
	core/store/names.c core/store/place.c core/store/recognise.c \
	core/store/match.c core/store/list.c core/store/folders.c core/store/subscriptions.c \
	core/store/create.c core/store/delete.c core/store/rename.c \
	core/store/mailbox.h core/store/mailbox_int.h core/store/mailbox.c \
	core/store/driver.h core/store/driver.c \
	core/store/records.c core/store/keywords.c core/store/rows.c \
	core/store/sync.h core/store/sync.c core/store/apply.c core/store/store_index.c \
	core/store/change.c core/store/journal.c core/store/flags.c core/store/expunge.c \
	core/store/append.c core/store/copy.c core/store/convert.c core/store/column.h core/store/column.c core/store/status.c core/store/derived.h core/store/derived.c \
	core/store/special_use.h core/store/special_use.c core/store/metadata.h core/store/metadata.c \
	core/store/quota.h core/store/quota_int.h core/store/quota.c core/store/usage.c core/store/kernel_quota.c \
	core/store/rights.h core/store/rights_int.h core/store/rights.c core/store/identifier.c core/store/acl.c core/store/guests.c \
	core/store/view.c core/store/watch.c core/store/observe.h core/store/observe.c core/store/read.c \
	core/store/source_file.h core/store/source_file.c core/store/cache.c \
	core/store/spool.h core/store/spool.c core/store/url_keys.h core/store/url_keys.c \
	core/store/index.h core/store/index_int.h core/store/index.c core/store/index_names.c \
	core/store/index_rows.c core/store/index_read.c core/store/index_runs.c core/store/index_commit.c \
	core/store/index_checkpoint.c core/store/index_wire.c \
	core/store/index_attribute.c core/store/index_verify.c core/store/index_guard.c

if HAVE_CMOCKA
store_test_support = \
	core/store/test-support.h core/store/test-support.c \
	modules/memory/keep.h modules/memory/keep.c \
	modules/memory/memory.c modules/fail/fail.c modules/debug/debug.c
store_test_libs = \
	core/store/libstore.a core/search/libsearch.a core/mime/libmime.a core/charset/libcharset.a \
	core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) $(UTF8PROC_LIBS) $(LMDB_LIBS) $(ACL_LIBS) $(OPENSSL_LIBS) $(CMOCKA_LIBS)

check_PROGRAMS += core/store/test-names core/store/test-mailbox core/store/test-watch core/store/test-fail \
	core/store/test-source core/store/test-sync core/store/test-model core/store/test-index core/store/test-index-damage \
	core/store/test-derived core/store/test-quota
TESTS += core/store/test-names core/store/test-mailbox core/store/test-watch core/store/test-fail \
	core/store/test-source core/store/test-sync core/store/test-model core/store/test-index core/store/test-index-damage \
	core/store/test-derived core/store/test-quota
core_store_test_index_SOURCES = core/store/test-index.c
core_store_test_index_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_store_test_index_LDFLAGS = -Wl,--wrap=fstatfs64
core_store_test_index_LDADD = $(store_test_libs)
core_store_test_index_damage_SOURCES = core/store/test-index-damage.c
core_store_test_index_damage_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_store_test_index_damage_LDADD = $(store_test_libs)
core_store_test_names_SOURCES = core/store/test-names.c $(store_test_support)
core_store_test_names_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_store_test_names_LDADD = $(store_test_libs)
core_store_test_mailbox_SOURCES = core/store/test-mailbox.c $(store_test_support)
core_store_test_mailbox_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_store_test_mailbox_LDADD = $(store_test_libs)
core_store_test_watch_SOURCES = core/store/test-watch.c $(store_test_support)
core_store_test_watch_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_store_test_watch_LDADD = $(store_test_libs)
core_store_test_fail_SOURCES = core/store/test-fail.c $(store_test_support)
core_store_test_fail_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_store_test_fail_LDADD = $(store_test_libs)
core_store_test_source_SOURCES = core/store/test-source.c $(store_test_support)
core_store_test_source_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_store_test_source_LDADD = $(store_test_libs)
core_store_test_derived_SOURCES = core/store/test-derived.c $(store_test_support)
core_store_test_derived_LDADD = $(store_test_libs)
core_store_test_quota_SOURCES = core/store/test-quota.c $(store_test_support)
core_store_test_quota_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_store_test_quota_LDFLAGS = -Wl,--wrap=kernel_quota
core_store_test_quota_LDADD = $(store_test_libs)
core_store_test_sync_SOURCES = core/store/test-sync.c $(store_test_support)
core_store_test_sync_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_store_test_sync_LDADD = $(store_test_libs)
core_store_test_model_SOURCES = core/store/test-model.c $(store_test_support)
core_store_test_model_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
core_store_test_model_LDADD = $(store_test_libs)
endif

check_PROGRAMS += core/store/fuzz-names core/store/fuzz-index
core_store_fuzz_index_SOURCES = core/store/fuzz-index.c
core_store_fuzz_index_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_store_fuzz_index_LDADD = $(FUZZ_MAIN) core/store/libstore.a core/log/liblog.a core/base/libbase.a $(LMDB_LIBS) $(ACL_LIBS)
core_store_fuzz_names_SOURCES = core/store/fuzz-names.c
core_store_fuzz_names_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_store_fuzz_names_LDADD = $(FUZZ_MAIN) \
	core/store/libstore.a core/search/libsearch.a core/mime/libmime.a core/charset/libcharset.a \
	core/module/libmodule.a core/conf/libconf.a core/log/liblog.a core/base/libbase.a \
	$(LIBCONFIG_LIBS) $(LTDL_LIBS) $(UTF8PROC_LIBS) $(LMDB_LIBS) $(ACL_LIBS) $(OPENSSL_LIBS)
if !FUZZERS
TESTS += core/store/fuzz-names core/store/fuzz-index
endif

# Figures for a human, not a test.
EXTRA_PROGRAMS = core/store/measure-index
core_store_measure_index_SOURCES = core/store/measure-index.c
core_store_measure_index_LDADD = core/store/libstore.a core/log/liblog.a core/base/libbase.a $(LMDB_LIBS) $(ACL_LIBS)
