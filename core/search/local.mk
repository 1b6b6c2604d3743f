# core/search: see the essay at the head of search.h.
noinst_LIBRARIES += core/search/libsearch.a
core_search_libsearch_a_SOURCES = \
	core/search/search.h core/search/set.c
