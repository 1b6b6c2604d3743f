# core/search: see the essay at the head of search.h.
noinst_LIBRARIES += core/search/libsearch.a
core_search_libsearch_a_SOURCES = \
	core/search/search.h core/search/set.c \
	core/search/text.h core/search/text.c \
	core/search/program.c core/search/match.c
