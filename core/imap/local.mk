# core/imap: see the essays at the head of its headers.
noinst_LIBRARIES += core/imap/libimap.a
core_imap_libimap_a_SOURCES = \
	core/imap/reader.h core/imap/reader.c \
	core/imap/parse.h core/imap/parse.c core/imap/url.h core/imap/url.c \
	core/imap/response.h core/imap/response.c \
	core/imap/capability.h core/imap/capability.c \
	core/imap/prelogin.h core/imap/prelogin.c \
	core/imap/session.h core/imap/session_int.h core/imap/session.c core/imap/options.c \
	core/imap/dispatch.def core/imap/dispatch.c core/imap/update.c \
	core/imap/basic.c core/imap/limits.h core/imap/limits.c core/imap/enable.c core/imap/uidbatches.c core/imap/select.c core/imap/mailboxes.c core/imap/status.h core/imap/status.c core/imap/list.h core/imap/list.c \
	core/imap/list_parse.c core/imap/list_extended.c core/imap/metadata.c core/imap/acl.c core/imap/quota.c core/imap/idle.c \
	core/imap/append.h core/imap/append.c core/imap/append_data.c core/imap/url_part.h core/imap/url_part.c core/imap/urlauth.c \
	core/imap/store.c core/imap/copy.c \
	core/imap/compress.c core/imap/unauthenticate.c core/imap/notify.h core/imap/notify.c core/imap/notify_news.c \
	core/imap/fetch.h core/imap/fetch.c core/imap/fetch_parse.c core/imap/fetch_body.c core/imap/fetch_global.c core/imap/fetch_binary.c \
	core/imap/condstore.h core/imap/condstore.c core/imap/qresync.c \
	core/imap/search_parse.h core/imap/search_parse.c core/imap/search.c core/imap/search_result.h core/imap/search_result.c core/imap/contexts.h core/imap/contexts.c \
	core/imap/mailbox_filter.h core/imap/mailbox_filter.c core/imap/multisearch.c core/imap/comparator.c core/imap/scan.c \
	core/imap/sort.c

if HAVE_CMOCKA
IMAP_TESTS = core/imap/test-reader core/imap/test-prelogin core/imap/test-session \
	core/imap/test-messages core/imap/test-searching core/imap/test-condstore core/imap/test-parse core/imap/test-url
check_PROGRAMS += $(IMAP_TESTS)
TESTS += $(IMAP_TESTS)
core_imap_test_reader_LDADD = core/imap/libimap.a core/base/libbase.a $(CMOCKA_LIBS)
core_imap_test_prelogin_LDADD = core/imap/libimap.a core/search/libsearch.a core/mime/libmime.a core/charset/libcharset.a \
	core/log/liblog.a core/base/libbase.a $(CMOCKA_LIBS) $(UTF8PROC_LIBS)
imap_session_support = core/imap/test-support.h core/imap/test-support.c $(store_test_support)
imap_session_libs = core/imap/libimap.a core/net/libnet.a $(store_test_libs) $(ZLIB_LIBS) -lpthread
core_imap_test_parse_LDADD = core/imap/libimap.a core/search/libsearch.a core/mime/libmime.a \
	core/charset/libcharset.a core/log/liblog.a core/base/libbase.a $(CMOCKA_LIBS) $(UTF8PROC_LIBS)
core_imap_test_url_LDADD = $(core_imap_test_parse_LDADD)
core_imap_test_session_SOURCES = core/imap/test-session.c $(imap_session_support)
core_imap_test_session_LDADD = $(imap_session_libs)
core_imap_test_condstore_SOURCES = core/imap/test-condstore.c $(imap_session_support)
core_imap_test_condstore_LDADD = $(imap_session_libs)
core_imap_test_messages_SOURCES = core/imap/test-messages.c $(imap_session_support)
core_imap_test_messages_LDADD = $(imap_session_libs)
core_imap_test_searching_SOURCES = core/imap/test-searching.c $(imap_session_support)
core_imap_test_searching_LDADD = $(imap_session_libs)
endif

check_PROGRAMS += core/imap/fuzz-reader
core_imap_fuzz_reader_SOURCES = core/imap/fuzz-reader.c
core_imap_fuzz_reader_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_imap_fuzz_reader_LDADD = $(FUZZ_MAIN) core/imap/libimap.a core/search/libsearch.a core/mime/libmime.a \
	core/charset/libcharset.a core/log/liblog.a core/base/libbase.a $(UTF8PROC_LIBS)
if !FUZZERS
TESTS += core/imap/fuzz-reader
endif

check_PROGRAMS += core/imap/fuzz-url
core_imap_fuzz_url_SOURCES = core/imap/fuzz-url.c
core_imap_fuzz_url_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_imap_fuzz_url_LDADD = $(core_imap_fuzz_reader_LDADD)
if !FUZZERS
TESTS += core/imap/fuzz-url
endif

check_PROGRAMS += core/imap/fuzz-prelogin
core_imap_fuzz_prelogin_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proto
core_imap_fuzz_prelogin_SOURCES = core/imap/fuzz-prelogin.c $(GRAMMAR)
core_imap_fuzz_prelogin_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_imap_fuzz_prelogin_LDADD = $(core_imap_fuzz_reader_LDADD)
if !FUZZERS
TESTS += core/imap/fuzz-prelogin
endif

check_PROGRAMS += core/imap/fuzz-session
core_imap_fuzz_session_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/proto
core_imap_fuzz_session_SOURCES = core/imap/fuzz-session.c $(GRAMMAR) \
	modules/memory/keep.h modules/memory/keep.c modules/memory/memory.c
core_imap_fuzz_session_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_imap_fuzz_session_LDADD = $(FUZZ_MAIN) core/imap/libimap.a core/net/libnet.a core/store/libstore.a \
	core/search/libsearch.a core/mime/libmime.a core/charset/libcharset.a core/module/libmodule.a \
	core/conf/libconf.a core/log/liblog.a core/base/libbase.a $(LIBCONFIG_LIBS) $(LTDL_LIBS) $(UTF8PROC_LIBS) \
	$(LMDB_LIBS) $(ACL_LIBS) $(OPENSSL_LIBS) $(ZLIB_LIBS)
if !FUZZERS
TESTS += core/imap/fuzz-session
endif
