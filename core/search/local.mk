# core/search: see the essay at the head of search.h.
noinst_LIBRARIES += core/search/libsearch.a
core_search_libsearch_a_SOURCES = \
	core/search/search.h core/search/set.c \
	core/search/text.h core/search/text.c core/search/fuzzy.h core/search/fuzzy.c \
	core/search/program.c core/search/match.c \
	core/search/subject.h core/search/subject.c core/search/references.h core/search/references.c \
	core/search/sort.h core/search/sort.c core/search/sort_record.c \
	core/search/forest.h core/search/forest.c core/search/names.h core/search/names.c \
	core/search/thread.h core/search/thread_int.h core/search/thread.c core/search/thread_references.c

if HAVE_CMOCKA
search_tests = core/search/test-set core/search/test-search core/search/test-fuzzy core/search/test-charsets core/search/test-sort core/search/test-thread
check_PROGRAMS += $(search_tests)
TESTS += $(search_tests)
search_test_libs = core/search/libsearch.a core/mime/libmime.a core/charset/libcharset.a core/log/liblog.a core/base/libbase.a \
	$(CMOCKA_LIBS) $(UTF8PROC_LIBS)
core_search_test_set_SOURCES = core/search/test-set.c
core_search_test_set_LDADD = $(search_test_libs)
core_search_test_search_SOURCES = core/search/test-search.c core/mime/test-mime.h
core_search_test_search_LDADD = $(search_test_libs)
core_search_test_fuzzy_SOURCES = core/search/test-fuzzy.c
core_search_test_fuzzy_LDADD = $(search_test_libs)
core_search_test_charsets_SOURCES = core/search/test-charsets.c
core_search_test_charsets_LDADD = $(search_test_libs)
core_search_test_sort_SOURCES = core/search/test-sort.c
core_search_test_sort_LDADD = $(search_test_libs)
core_search_test_thread_SOURCES = core/search/test-thread.c
core_search_test_thread_LDADD = $(search_test_libs)
endif

check_PROGRAMS += core/search/fuzz-set
core_search_fuzz_set_SOURCES = core/search/fuzz-set.c
core_search_fuzz_set_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_search_fuzz_set_LDADD = $(FUZZ_MAIN) core/search/libsearch.a core/mime/libmime.a \
	core/charset/libcharset.a core/log/liblog.a core/base/libbase.a $(UTF8PROC_LIBS)
check_PROGRAMS += core/search/fuzz-search
core_search_fuzz_search_SOURCES = core/search/fuzz-search.c
core_search_fuzz_search_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_search_fuzz_search_LDADD = $(FUZZ_MAIN) core/search/libsearch.a core/mime/libmime.a \
	core/charset/libcharset.a core/log/liblog.a core/base/libbase.a $(UTF8PROC_LIBS)
check_PROGRAMS += core/search/fuzz-sort
core_search_fuzz_sort_SOURCES = core/search/fuzz-sort.c
core_search_fuzz_sort_LDFLAGS = $(FUZZ_LINK_FLAGS)
core_search_fuzz_sort_LDADD = $(FUZZ_MAIN) core/search/libsearch.a core/mime/libmime.a \
	core/charset/libcharset.a core/log/liblog.a core/base/libbase.a $(UTF8PROC_LIBS)
if !FUZZERS
TESTS += core/search/fuzz-set core/search/fuzz-search core/search/fuzz-sort
endif
